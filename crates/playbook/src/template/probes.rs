//! Tests, the words after `is`: Jinja's own and Ansible's.

use super::ast::Compare;
use super::filters::required;
use super::others::{Kind, with_value};
use super::signatures::check_test;
use super::{Fault, Interp, ops, pattern, url, version};
use crate::value::{Call, Value};
use std::cmp::Ordering;
use std::io::Read as _;

/// Bytes of a file that show whether it is encrypted.
const VAULT_MARK: u64 = 32;

/// A test: what stands before `is`, and the arguments.
type Probe = fn(&mut Interp<'_>, &Value, &Call) -> Result<bool, Fault>;

pub(crate) fn exists(name: &str) -> bool {
    find(name).is_some()
}

pub(crate) fn apply(
    cx: &mut Interp<'_>,
    name: &str,
    value: &Value,
    call: &Call,
) -> Result<bool, Fault> {
    let short = super::filters::short_name(name);
    match find(short) {
        Some(probe) => check_test(short, call)
            .and_then(|()| probe(cx, value, call))
            .map_err(|fault| super::filters::plugin_fault(fault, "test", name)),
        None => {
            let missing =
                || Fault::told(format!("Syntax error in template: No test named '{name}'."));
            cx.theirs(Kind::Test, name, &with_value(value, call), missing)
                .map(|value| value.is_true())
        }
    }
}

fn result<'v>(value: &'v Value, name: &str) -> Result<&'v crate::value::Dict, Fault> {
    value.as_dict().ok_or_else(|| Fault::new(format!("The '{name}' test expects a dictionary")))
}

fn flag(value: &Value, test: &str, key: &str) -> Result<bool, Fault> {
    Ok(result(value, test)?
        .get(key)
        .is_some_and(|value| value.as_boolean().unwrap_or_else(|| value.is_true())))
}

fn regex_test(value: &Value, call: &Call, kind: &str) -> Result<bool, Fault> {
    let source = call.text(0, "pattern").unwrap_or_default();
    let ignore_case = call.flag(1, "ignorecase").unwrap_or(false);
    let multiline = call.flag(2, "multiline").unwrap_or(false);
    let kind = match kind {
        "regex" => call.text(3, "match_type").unwrap_or_else(|| "search".to_owned()),
        other => other.to_owned(),
    };
    let source = match kind.as_str() {
        "match" => format!(r"\A(?:{source})"),
        "fullmatch" => format!(r"\A(?:{source})\z"),
        _ => source,
    };
    pattern::regex(&source, ignore_case, multiline, false)?
        .is_match(&value.to_text())
        .map_err(|error| Fault::new(error.to_string()))
}

/// A number for `odd` and `even`.
fn whole(value: &Value) -> Result<i64, Fault> {
    match value {
        Value::Float(number) => Ok(*number as i64),
        other => other.as_int().ok_or_else(|| {
            Fault::new(format!(
                "unsupported operand type(s) for %: '{}' and 'int'",
                other.type_name()
            ))
        }),
    }
}

/// Does text have letters, all of them of this case?
fn cased(text: &str, wanted: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    text.chars().any(wanted) && !text.chars().any(other)
}

/// `schemes` holds the scheme, or names none.
fn scheme_fits(call: &Call, scheme: &str) -> Result<bool, Fault> {
    match call.get(0, "schemes").filter(|schemes| schemes.is_true()) {
        Some(schemes) => ops::contains(schemes, &Value::str(scheme)),
        None => Ok(true),
    }
}

fn find(name: &str) -> Option<Probe> {
    Some(match name {
        "defined" => |_, value, _| Ok(!value.is_undefined()),
        "undefined" => |_, value, _| Ok(value.is_undefined()),
        "none" => |_, value, _| Ok(value.is_none()),
        "boolean" => |_, value, _| Ok(matches!(value, Value::Bool(_))),
        "true" => |_, value, _| Ok(matches!(value, Value::Bool(true))),
        "false" => |_, value, _| Ok(matches!(value, Value::Bool(false))),
        "integer" => |_, value, _| Ok(matches!(value, Value::Int(_))),
        "float" => |_, value, _| Ok(matches!(value, Value::Float(_))),
        "number" => {
            |_, value, _| Ok(matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)))
        }
        "string" => |_, value, _| Ok(matches!(value, Value::Str(_))),
        // Of the tags of Ansible's own tests there is one here: text that a playbook says.
        "tagged_with" => |_, value, call| {
            let own = matches!(value, Value::Str(text) if text.is_own());
            Ok(own && required(call, 0, "tag_name")?.to_text() == "TrustedAsTemplate")
        },
        "mapping" => |_, value, _| {
            Ok(value.as_dict().is_some()
                || matches!(value, Value::Object(o) if o.as_dict().is_some()))
        },
        "sequence" => |_, value, _| Ok(ops::length(value).is_some()),
        "iterable" => |_, value, _| Ok(ops::iterate(value).is_ok()),
        "callable" => |_, value, _| {
            Ok(
                matches!(value, Value::Object(o) if matches!(o.type_name(), "Macro" | "function" | "builtin_function_or_method")),
            )
        },
        "sameas" => |_, value, call| {
            let other = required(call, 0, "other")?;
            Ok(value.type_name() == other.type_name() && value == other)
        },
        "odd" => |_, value, _| Ok(whole(value)? % 2 != 0),
        "even" => |_, value, _| Ok(whole(value)? % 2 == 0),
        "divisibleby" => |_, value, call| {
            let by = call.int(0, "num").ok_or_else(|| Fault::new("divisibleby takes a number"))?;
            if by == 0 {
                return Err(Fault::new("integer modulo by zero"));
            }
            Ok(whole(value)? % by == 0)
        },
        "lower" => {
            |_, value, _| Ok(cased(&value.to_text(), char::is_lowercase, char::is_uppercase))
        }
        "upper" => {
            |_, value, _| Ok(cased(&value.to_text(), char::is_uppercase, char::is_lowercase))
        }
        "eq" | "equalto" | "==" => {
            |_, value, call| ops::compare(Compare::Eq, value, required(call, 0, "other")?)
        }
        "ne" | "!=" => {
            |_, value, call| ops::compare(Compare::Ne, value, required(call, 0, "other")?)
        }
        "lt" | "lessthan" | "<" => {
            |_, value, call| ops::compare(Compare::Lt, value, required(call, 0, "other")?)
        }
        "le" | "<=" => {
            |_, value, call| ops::compare(Compare::Le, value, required(call, 0, "other")?)
        }
        "gt" | "greaterthan" | ">" => {
            |_, value, call| ops::compare(Compare::Gt, value, required(call, 0, "other")?)
        }
        "ge" | ">=" => {
            |_, value, call| ops::compare(Compare::Ge, value, required(call, 0, "other")?)
        }
        "in" => |_, value, call| ops::contains(required(call, 0, "seq")?, value),
        "contains" => |_, value, call| ops::contains(value, required(call, 0, "item")?),
        "filter" => {
            |_, value, _| Ok(super::filters::exists(super::filters::short_name(&value.to_text())))
        }
        "test" => |_, value, _| Ok(exists(super::filters::short_name(&value.to_text()))),
        "match" => |_, value, call| regex_test(value, call, "match"),
        "search" => |_, value, call| regex_test(value, call, "search"),
        "regex" => |_, value, call| regex_test(value, call, "regex"),
        "changed" | "change" => |_, value, _| {
            let entries = result(value, "changed")?;
            let own = flag(value, "changed", "changed")?;
            let in_items = entries.get("results").and_then(Value::as_list).is_some_and(|items| {
                items.iter().any(|item| item.get("changed").is_some_and(Value::is_true))
            });
            Ok(own || (!entries.contains_key("changed") && in_items))
        },
        "failed" | "failure" => |_, value, _| flag(value, "failed", "failed"),
        "succeeded" | "success" | "successful" => {
            |_, value, _| flag(value, "success", "failed").map(|failed| !failed)
        }
        "skipped" | "skip" => |_, value, _| flag(value, "skipped", "skipped"),
        "unreachable" => |_, value, _| flag(value, "unreachable", "unreachable"),
        "reachable" => |_, value, _| flag(value, "reachable", "unreachable").map(|gone| !gone),
        "started" => {
            |_, value, _| Ok(result(value, "started")?.get("started").is_none_or(Value::is_true))
        }
        "finished" => {
            |_, value, _| Ok(result(value, "finished")?.get("finished").is_none_or(Value::is_true))
        }
        "timedout" => |_, value, _| match result(value, "timedout")?.get("timedout") {
            Some(when) if when.is_true() => match when.as_dict() {
                Some(when) => Ok(when.get("period").is_some_and(Value::is_true)),
                None => {
                    Err(Fault::new(format!("'{}' object has no attribute 'get'", when.type_name())))
                }
            },
            _ => Ok(false),
        },
        "truthy" => |_, value, call| {
            let convert = call.flag(0, "convert_bool").unwrap_or(false);
            Ok(if convert {
                value.as_boolean().unwrap_or_else(|| value.is_true())
            } else {
                value.is_true()
            })
        },
        "falsy" => |_, value, call| {
            let convert = call.flag(0, "convert_bool").unwrap_or(false);
            Ok(!if convert {
                value.as_boolean().unwrap_or_else(|| value.is_true())
            } else {
                value.is_true()
            })
        },
        "subset" | "issubset" => |_, value, call| {
            let all = ops::iterate(required(call, 0, "b")?)?;
            Ok(ops::iterate(value)?.iter().all(|item| all.contains(item)))
        },
        "superset" | "issuperset" => |_, value, call| {
            let all = ops::iterate(value)?;
            Ok(ops::iterate(required(call, 0, "b")?)?.iter().all(|item| all.contains(item)))
        },
        "all" => |_, value, _| Ok(ops::iterate(value)?.iter().all(Value::is_true)),
        "any" => |_, value, _| Ok(ops::iterate(value)?.iter().any(Value::is_true)),
        "nan" | "isnan" => |_, value, _| Ok(value.as_float().is_some_and(f64::is_nan)),
        "version" | "version_compare" => version_test,
        "file" | "is_file" => |_, value, _| Ok(std::path::Path::new(&value.to_text()).is_file()),
        "directory" | "is_dir" => |_, value, _| Ok(std::path::Path::new(&value.to_text()).is_dir()),
        "exists" => |_, value, _| Ok(std::path::Path::new(&value.to_text()).exists()),
        "link" | "is_link" => |_, value, _| Ok(std::path::Path::new(&value.to_text()).is_symlink()),
        "link_exists" => |_, value, _| Ok(std::fs::symlink_metadata(value.to_text()).is_ok()),
        "abs" | "is_abs" => |_, value, _| Ok(value.to_text().starts_with('/')),
        "mount" | "is_mount" => |_, value, _| {
            use std::os::unix::fs::MetadataExt as _;
            let path = std::path::PathBuf::from(value.to_text());
            let device =
                |path: &std::path::Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
            Ok(device(&path).is_some() && device(&path) != device(&path.join(".."))
                || value.to_text() == "/")
        },
        "same_file" | "is_same_file" => |_, value, call| {
            let real = |text: String| std::fs::canonicalize(text).ok();
            let other = required(call, 0, "path")?.to_text();
            Ok(real(value.to_text()).is_some_and(|path| Some(path) == real(other)))
        },
        "uri" => |_, value, call| match value.as_str() {
            Some(text) => scheme_fits(call, &url::split(text).scheme),
            None => Ok(false),
        },
        "url" => {
            |_, value, call| match value.as_str().map(url::split) {
                Some(url) => Ok((!url.netloc.is_empty() || url.scheme == "file")
                    && scheme_fits(call, &url.scheme)?),
                None => Ok(false),
            }
        }
        "urn" => {
            |_, value, _| Ok(value.as_str().is_some_and(|text| url::split(text).scheme == "urn"))
        }
        "vault_encrypted" => |cx, value, _| {
            cx.defined(value)?;
            let vault = &cx.context().world.vault;
            Ok(matches!(value, Value::Str(text) if vault.sealed(&text.shared()).is_some()))
        },
        "vaulted_file" => |_, value, _| {
            let mut start = Vec::new();
            let opened = std::fs::File::open(value.to_text());
            let read = opened.and_then(|file| file.take(VAULT_MARK).read_to_end(&mut start));
            read.map_err(|error| {
                Fault::new(format!("Cannot test if the file {} is a vault: {error}", value.repr()))
            })?;
            Ok(crate::vault::is_encrypted(&start))
        },
        _ => return None,
    })
}

/// What the `version` test can ask.
const OPERATORS: &[&str] =
    &["==", "=", "eq", "<", "lt", "<=", "le", ">", "gt", ">=", "ge", "!=", "<>", "ne"];

fn version_test(_cx: &mut Interp<'_>, value: &Value, call: &Call) -> Result<bool, Fault> {
    let other = required(call, 0, "version")?.to_text();
    let operator = call.text(1, "operator").unwrap_or_else(|| "eq".to_owned());
    let strict = call.get(2, "strict").filter(|strict| !strict.is_none()).map(Value::is_true);
    let kind = call.text(3, "version_type");
    if strict.is_some() && kind.is_some() {
        return Err(Fault::new("Cannot specify both 'strict' and 'version_type'"));
    }
    let kind =
        kind.unwrap_or_else(|| if strict == Some(true) { "strict" } else { "loose" }.to_owned());
    let own = value.to_text();
    if !value.is_true() {
        return Err(Fault::new("Input version value cannot be empty"));
    }
    if other.is_empty() {
        return Err(Fault::new("Version parameter to compare against cannot be empty"));
    }
    if !OPERATORS.contains(&operator.as_str()) {
        return Err(Fault::new(format!(
            "Invalid operator type ({operator}). Must be one of '==', '=', 'eq', '<', 'lt', '<=', 'le', '>', 'gt', '>=', 'ge', '!=', '<>', 'ne'"
        )));
    }
    let order = version::compare(&kind, &own, &other)?;
    Ok(match operator.as_str() {
        "==" | "=" | "eq" => order == Ordering::Equal,
        "!=" | "<>" | "ne" => order != Ordering::Equal,
        "<" | "lt" => order == Ordering::Less,
        "<=" | "le" => order != Ordering::Greater,
        ">" | "gt" => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}
