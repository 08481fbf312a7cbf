//! Tests, the words after `is`: Jinja's own and Ansible's.

use super::ast::Compare;
use super::filters::required;
use super::{Fault, Interp, ops, pattern};
use crate::value::{Call, Value};
use std::cmp::Ordering;

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
    match find(name) {
        Some(probe) => probe(cx, value, call),
        None => Err(Fault::new(format!("No test named '{name}'."))),
    }
}

fn result<'v>(value: &'v Value, name: &str) -> Result<&'v crate::value::Dict, Fault> {
    value.as_dict().ok_or_else(|| {
        Fault::new(format!(
            "The '{name}' test expects a dictionary, it was given '{}'",
            value.type_name()
        ))
    })
}

fn flag(value: &Value, test: &str, key: &str) -> Result<bool, Fault> {
    Ok(result(value, test)?
        .get(key)
        .is_some_and(|value| value.as_boolean().unwrap_or_else(|| value.is_true())))
}

fn regex_test(value: &Value, call: &Call, kind: &str) -> Result<bool, Fault> {
    let source = required(call, 0, "pattern")?.to_text();
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
    let text = match value {
        Value::Str(text) => text.to_string(),
        Value::List(_) | Value::Dict(_) | Value::None => {
            return Err(Fault::new(format!(
                "expected text to match against, got '{}'",
                value.type_name()
            )));
        }
        other => other.to_text(),
    };
    pattern::regex(&source, ignore_case, multiline, false)?
        .is_match(&text)
        .map_err(|error| Fault::new(error.to_string()))
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
        "mapping" => |_, value, _| {
            Ok(value.as_dict().is_some()
                || matches!(value, Value::Object(o) if o.as_dict().is_some()))
        },
        "sequence" => |_, value, _| Ok(ops::length(value).is_some()),
        "iterable" => |_, value, _| Ok(ops::iterate(value).is_ok()),
        "callable" => |_, value, _| {
            Ok(matches!(value, Value::Object(o) if matches!(o.type_name(), "Macro" | "function")))
        },
        "sameas" => |_, value, call| {
            let other = required(call, 0, "other")?;
            Ok(value.type_name() == other.type_name() && value == other)
        },
        "odd" => |_, value, _| Ok(value.as_int().is_some_and(|number| number % 2 != 0)),
        "even" => |_, value, _| Ok(value.as_int().is_some_and(|number| number % 2 == 0)),
        "divisibleby" => |_, value, call| {
            let by = call
                .int(0, "num")
                .filter(|by| *by != 0)
                .ok_or_else(|| Fault::new("divisibleby takes a number"))?;
            Ok(value.as_int().is_some_and(|number| number % by == 0))
        },
        "lower" => |_, value, _| Ok(value.to_text().chars().all(|c| !c.is_uppercase())),
        "upper" => |_, value, _| Ok(value.to_text().chars().all(|c| !c.is_lowercase())),
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
            |_, value, _| Ok(result(value, "started")?.get("started").is_some_and(Value::is_true))
        }
        "finished" => {
            |_, value, _| Ok(result(value, "finished")?.get("finished").is_none_or(Value::is_true))
        }
        "timedout" => {
            |_, value, _| Ok(result(value, "timedout")?.get("timedout").is_some_and(Value::is_true))
        }
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
        "version" | "version_compare" => version,
        "file" | "is_file" => |_, value, _| Ok(std::path::Path::new(&value.to_text()).is_file()),
        "directory" | "is_dir" => |_, value, _| Ok(std::path::Path::new(&value.to_text()).is_dir()),
        "exists" => |_, value, _| Ok(std::path::Path::new(&value.to_text()).exists()),
        "link" | "is_link" => |_, value, _| Ok(std::path::Path::new(&value.to_text()).is_symlink()),
        "link_exists" => |_, value, _| Ok(std::fs::symlink_metadata(value.to_text()).is_ok()),
        "abs" | "is_abs" => |_, value, _| Ok(value.to_text().starts_with('/')),
        "mount" => |_, value, _| {
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
        "url" | "uri" => |_, value, _| {
            let text = value.to_text();
            Ok(text.split_once("://").is_some_and(|(scheme, rest)| {
                !rest.is_empty() && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            }))
        },
        "urn" => |_, value, _| Ok(value.to_text().to_ascii_lowercase().starts_with("urn:")),
        "vault_encrypted" | "vaulted_file" => {
            |_, value, _| Ok(value.to_text().starts_with("$ANSIBLE_VAULT;"))
        }
        _ => return None,
    })
}

fn version(_cx: &mut Interp<'_>, value: &Value, call: &Call) -> Result<bool, Fault> {
    let other = required(call, 0, "version")?.to_text();
    let operator = call.text(1, "operator").unwrap_or_else(|| "eq".to_owned());
    let strict = call.flag(2, "strict").unwrap_or(false);
    let kind = call
        .text(3, "version_type")
        .unwrap_or_else(|| if strict { "strict" } else { "loose" }.to_owned());
    let own = value.to_text();
    if own.is_empty() {
        return Err(Fault::new("Input version value cannot be empty"));
    }
    if other.is_empty() {
        return Err(Fault::new("Version parameter to compare against cannot be empty"));
    }
    let order = match kind.as_str() {
        "loose" | "strict" => loose(&own, &other)?,
        "semver" | "semantic" | "pep440" => semantic(&own, &other),
        other => return Err(Fault::new(format!("Invalid version type ({other})"))),
    };
    Ok(match operator.as_str() {
        "==" | "=" | "eq" => order == Ordering::Equal,
        "!=" | "<>" | "ne" => order != Ordering::Equal,
        "<" | "lt" => order == Ordering::Less,
        "<=" | "le" => order != Ordering::Greater,
        ">" | "gt" => order == Ordering::Greater,
        ">=" | "ge" => order != Ordering::Less,
        other => return Err(Fault::new(format!("Invalid operator type ({other})"))),
    })
}

/// Python's LooseVersion: runs of digits and runs of letters, compared one by one.
fn loose(a: &str, b: &str) -> Result<Ordering, Fault> {
    let parts = |text: &str| -> Vec<Value> {
        let mut out: Vec<String> = Vec::new();
        let mut kind = ' ';
        for c in text.chars() {
            let now = if c.is_ascii_digit() {
                '0'
            } else if c.is_ascii_lowercase() {
                'a'
            } else {
                '-'
            };
            if c == '.' {
                kind = ' ';
                continue;
            }
            if now == kind
                && let Some(last) = out.last_mut()
            {
                last.push(c);
            } else {
                out.push(c.to_string());
                kind = now;
            }
        }
        out.into_iter()
            .map(|part| part.parse().map_or_else(|_| Value::from(part), Value::Int))
            .collect()
    };
    let (a_parts, b_parts) = (parts(a), parts(b));
    crate::value::compare(&Value::list(a_parts), &Value::list(b_parts)).ok_or_else(|| {
        Fault::new(format!("Version comparison failed: '{a}' and '{b}' cannot be compared"))
    })
}

fn semantic(a: &str, b: &str) -> Ordering {
    let split = |text: &str| -> (Vec<u64>, Option<String>) {
        let text = text.trim_start_matches('v').split('+').next().unwrap_or_default().to_owned();
        let (core, pre) = match text.split_once('-') {
            Some((core, pre)) => (core.to_owned(), Some(pre.to_owned())),
            None => (text, None),
        };
        let mut numbers: Vec<u64> = core.split('.').map(|part| part.parse().unwrap_or(0)).collect();
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        (numbers, pre)
    };
    let ((a, a_pre), (b, b_pre)) = (split(a), split(b));
    a.cmp(&b).then_with(|| match (a_pre, b_pre) {
        (None, None) => Ordering::Equal,
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(a), Some(b)) => {
            let (mut a, mut b) = (a.split('.'), b.split('.'));
            loop {
                match (a.next(), b.next()) {
                    (None, None) => return Ordering::Equal,
                    (None, Some(_)) => return Ordering::Less,
                    (Some(_), None) => return Ordering::Greater,
                    (Some(x), Some(y)) if x == y => {}
                    (Some(x), Some(y)) => {
                        return match (x.parse::<u64>(), y.parse::<u64>()) {
                            (Ok(x), Ok(y)) => x.cmp(&y),
                            (Ok(_), Err(_)) => Ordering::Less,
                            (Err(_), Ok(_)) => Ordering::Greater,
                            (Err(_), Err(_)) => x.cmp(y),
                        };
                    }
                }
            }
        }
    })
}
