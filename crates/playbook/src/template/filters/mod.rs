//! Filters: Jinja's own and Ansible's.

mod data;
mod dicts;
mod lists;
mod numbers;
mod paths;
mod text;

pub(crate) use data::{plain, sha1_hex};
pub(crate) use dicts::combine_dicts;
pub(crate) use lists::{product, sorted};
pub(crate) use paths::expand_user;

use super::{Fault, Interp};
use crate::value::{Call, Value};

/// A filter: the value before the bar, and the arguments in brackets.
pub(crate) type Filter = fn(&mut Interp<'_>, Value, &Call) -> Result<Value, Fault>;

/// The name without the collection that every Ansible has.
pub(crate) fn short_name(name: &str) -> &str {
    ["ansible.builtin.", "ansible.legacy.", "community.general.", "ansible.utils."]
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
        .or_else(|| basic(name))
}

pub(crate) fn exists(name: &str) -> bool {
    find(name).is_some()
}

/// Filters that may be given something undefined.
pub(crate) fn accepts_undefined(name: &str) -> bool {
    matches!(name, "default" | "d" | "mandatory" | "type_debug")
}

pub(crate) fn apply(
    cx: &mut Interp<'_>,
    name: &str,
    value: Value,
    call: &Call,
) -> Result<Value, Fault> {
    match find(name) {
        Some(filter) => filter(cx, value, call)
            .map_err(|fault| if fault.undefined { fault } else { named(fault, name) }),
        None => Err(Fault::new(format!("No filter named '{name}'."))),
    }
}

fn named(mut fault: Fault, name: &str) -> Fault {
    if !fault.what.starts_with("The filter plugin") {
        fault.what = format!("The filter plugin '{name}' failed: {}", fault.what);
    }
    fault
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
            Value::Undefined(missing) => Err(Fault::new(
                call.text(0, "msg")
                    .unwrap_or_else(|| format!("Mandatory variable {} not defined.", missing.why)),
            )),
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
        "bool" => |_, value, _| match value.as_boolean() {
            Some(truth) => Ok(Value::Bool(truth)),
            None if value.is_none() => Ok(Value::Bool(false)),
            None => Ok(Value::Bool(false)),
        },
        "type_debug" => |_, value, _| Ok(Value::str(value.type_name())),
        "string" => |cx, value, _| cx.leave(value).map(|value| Value::from(value.to_text())),
        "attr" => |cx, value, call| cx.item(&value, required(call, 0, "name")?),
        "pprint" => |_, value, _| Ok(Value::from(value.repr())),
        "safe" => |_, value, _| Ok(value),
        _ => return None,
    })
}
