//! Filters: Jinja's own and Ansible's.

mod data;
mod dicts;
mod json;
mod lists;
mod numbers;
mod paths;
mod text;
mod urlize;
mod vault;

pub(crate) use data::{Checksums, checksums, decode, encode, in_pieces, plain, sha1_hex};
pub(crate) use dicts::combine_dicts;
pub(crate) use lists::{product, sorted};
pub(crate) use numbers::human_to_bytes;
pub(crate) use paths::expand_user;

use super::others::{Kind, with_value};
use super::signatures::check_filter;
use super::{Fault, Interp, methods};
use crate::value::{Call, Value};

/// A filter: the value before the bar, and the arguments in brackets.
pub(crate) type Filter = fn(&mut Interp<'_>, Value, &Call) -> Result<Value, Fault>;

/// The name without the collection that every Ansible has.
pub(crate) fn short_name(name: &str) -> &str {
    [
        "ansible.builtin.",
        "ansible.legacy.",
        "ansible._protomatter.",
        "community.general.",
        "ansible.utils.",
    ]
    .iter()
    .find_map(|prefix| name.strip_prefix(prefix))
    .unwrap_or(name)
}

fn find(name: &str) -> Option<Filter> {
    text::find(name)
        .or_else(|| lists::find(name))
        .or_else(|| dicts::find(name))
        .or_else(|| data::find(name))
        .or_else(|| numbers::find(name))
        .or_else(|| paths::find(name))
        .or_else(|| vault::find(name))
        .or_else(|| basic(name))
}

pub(crate) fn exists(name: &str) -> bool {
    find(name).is_some()
}

/// Filters that may be given something undefined.
pub(crate) fn accepts_undefined(name: &str) -> bool {
    matches!(name, "default" | "d" | "mandatory" | "type_debug")
}

/// Filters whose arguments may be undefined: not all of them are used.
pub(crate) fn accepts_undefined_args(name: &str) -> bool {
    accepts_undefined(name) || name == "ternary"
}

pub(crate) fn apply(
    cx: &mut Interp<'_>,
    name: &str,
    value: Value,
    call: &Call,
) -> Result<Value, Fault> {
    match find(short_name(name)) {
        Some(filter) => check_filter(short_name(name), call)
            .and_then(|()| filter(cx, value, call))
            .map_err(|fault| plugin_fault(fault, "filter", name)),
        None => cx.theirs(Kind::Filter, name, &with_value(&value, call), || {
            Fault::told(format!("Syntax error in template: No filter named '{name}'."))
        }),
    }
}

/// The fault of a filter or test, under its full name.
pub(crate) fn plugin_fault(fault: Fault, kind: &str, name: &str) -> Fault {
    if fault.undefined || fault.told {
        return fault;
    }
    let full = if name.contains('.') { name.to_owned() } else { format!("ansible.builtin.{name}") };
    Fault {
        what: format!("The {kind} plugin '{full}' failed: {}", fault.what),
        told: true,
        ..fault
    }
}

/// Every text, list and dict argument must be there.
pub(crate) fn required<'c>(call: &'c Call, index: usize, name: &str) -> Result<&'c Value, Fault> {
    call.get(index, name).ok_or_else(|| Fault::new(format!("missing argument `{name}`")))
}

fn basic(name: &str) -> Option<Filter> {
    Some(match name {
        "default" | "d" => |_, value, call| {
            let otherwise = call.get(0, "default_value").cloned().unwrap_or_else(|| Value::str(""));
            let falsy_too = call.flag(1, "boolean").unwrap_or(false);
            Ok(if value.is_undefined() || (falsy_too && !value.is_true()) {
                otherwise
            } else {
                value
            })
        },
        "mandatory" => |_, value, call| match &value {
            Value::Undefined(missing) => {
                Err(Fault::new(call.text(0, "msg").unwrap_or_else(|| {
                    // The name is the last thing that the sentence quotes.
                    let name = missing.why.rsplit('\'').nth(1);
                    let name = name.map(|name| format!("'{name}' ")).unwrap_or_default();
                    format!("Mandatory variable {name}not defined.")
                })))
            }
            _ => Ok(value),
        },
        "ternary" => |_, value, call| {
            let index = if value.is_none() && call.get(2, "none_val").is_some_and(|v| !v.is_none())
            {
                2
            } else {
                usize::from(!value.is_true())
            };
            let name = ["true_val", "false_val", "none_val"][index];
            Ok(required(call, index, name)?.clone())
        },
        "bool" => |_, value, _| {
            Ok(Value::Bool(match &value {
                Value::Str(text) => {
                    matches!(text.to_lowercase().as_str(), "yes" | "on" | "true" | "1")
                }
                other => other.as_float() == Some(1.0),
            }))
        },
        "type_debug" => |_, value, _| Ok(Value::str(value.type_name())),
        "string" => |_, value, _| Ok(Value::from(value.to_text())),
        "attr" => |cx, value, call| {
            let name = required(call, 0, "name")?;
            match (&value, name.as_str()) {
                (Value::Object(_), _) => cx.item(&value, name),
                (_, Some(method)) if methods::has(&value, method) => {
                    Ok(methods::bound(value.clone(), method))
                }
                _ => Ok(Value::undefined(format!(
                    "object of type '{}' has no attribute {}",
                    value.type_name(),
                    name.repr()
                ))),
            }
        },
        "pprint" => |_, value, _| Ok(Value::from(value.repr())),
        // From ansible-core's own `ansible._protomatter`: the value with nothing lazy in it.
        "finalize" => |cx, value, _| cx.leave(value),
        "safe" => |_, value, _| Ok(value),
        _ => return None,
    })
}
