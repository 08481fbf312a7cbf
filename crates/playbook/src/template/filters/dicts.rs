//! Filters over dicts.

use super::lists::dict_from;
use super::{Filter, required};
use crate::template::methods::sort_order;
use crate::template::{Fault, ops};
use crate::value::{Dict, Value};
use std::borrow::Cow;
use std::sync::Arc;

/// What a dict holds, or something that is read like one: `hostvars` and `vars`.
fn entries_of(value: &Value) -> Option<Cow<'_, Dict>> {
    match value {
        Value::Object(object) => object.as_dict().map(Cow::Owned),
        plain => plain.as_dict().map(Cow::Borrowed),
    }
}

pub(super) fn find(name: &str) -> Option<Filter> {
    Some(match name {
        "combine" => |_, value, call| {
            if call.named.iter().any(|(name, _)| !matches!(&**name, "recursive" | "list_merge")) {
                return Err(Fault::new(
                    "'recursive' and 'list_merge' are the only valid keyword arguments",
                ));
            }
            let recursive = call.named("recursive").is_some_and(Value::is_true);
            let list_merge =
                call.named("list_merge").map_or_else(|| "replace".to_owned(), Value::to_text);
            if !matches!(
                list_merge.as_str(),
                "replace" | "keep" | "append" | "prepend" | "append_rp" | "prepend_rp"
            ) {
                return Err(Fault::new(
                    "merge_hash: 'list_merge' argument can only be equal to 'replace', 'keep', 'append', 'prepend', 'append_rp' or 'prepend_rp'",
                ));
            }
            let mut parts = Vec::new();
            for part in std::iter::once(&value).chain(&call.args) {
                match part.as_list() {
                    Some(items) => items.iter().try_for_each(|item| collect(item, &mut parts))?,
                    None => collect(part, &mut parts)?,
                }
            }
            let mut all = Dict::new();
            for part in parts {
                all = combine_dicts(&all, &part, recursive, &list_merge);
            }
            Ok(Value::dict(all))
        },
        "dict2items" => |_, value, call| {
            let key_name = call.text(0, "key_name").unwrap_or_else(|| "key".to_owned());
            let value_name = call.text(1, "value_name").unwrap_or_else(|| "value".to_owned());
            let Some(entries) = entries_of(&value) else {
                return Err(Fault::new(format!(
                    "dict2items requires a dictionary, got <class '{}'> instead.",
                    value.type_name()
                )));
            };
            Ok(Value::list(
                entries
                    .iter()
                    .map(|(key, value)| {
                        Value::dict_of([(&key_name, key.to_value()), (&value_name, value.clone())])
                    })
                    .collect(),
            ))
        },
        "items2dict" => |cx, value, call| {
            let key_name =
                Value::from(call.text(0, "key_name").unwrap_or_else(|| "key".to_owned()));
            let value_name =
                Value::from(call.text(1, "value_name").unwrap_or_else(|| "value".to_owned()));
            let Some(items) = value.as_list() else {
                return Err(Fault::new(format!(
                    "items2dict requires a list, got <class '{}'> instead.",
                    value.type_name()
                )));
            };
            let mut pairs = Vec::new();
            for item in items {
                if item.as_dict().is_none() {
                    return Err(Fault::new(format!(
                        "items2dict requires a list of dictionaries, got {} instead.",
                        value.to_text()
                    )));
                }
                let (key, found) = (cx.item(item, &key_name)?, cx.item(item, &value_name)?);
                if key.is_undefined() || found.is_undefined() {
                    return Err(Fault::new(format!(
                        "items2dict requires each dictionary in the list to contain the keys '{}' and '{}', got {} instead.",
                        key_name.to_text(),
                        value_name.to_text(),
                        value.to_text()
                    )));
                }
                pairs.push((key, found));
            }
            Ok(dict_from(pairs))
        },
        "dictsort" => |_, value, call| {
            let with_case = call.flag(0, "case_sensitive").unwrap_or(false);
            let by_value = match call.text(1, "by").as_deref() {
                None | Some("key") => false,
                Some("value") => true,
                Some(_) => {
                    return Err(Fault::new("You can only sort by either \"key\" or \"value\""));
                }
            };
            let reverse = call.flag(2, "reverse").unwrap_or(false);
            let Some(entries) = entries_of(&value) else {
                return Err(Fault::new("dictsort takes a dict"));
            };
            let mut pairs: Vec<(Value, Value)> =
                entries.iter().map(|(key, value)| (key.to_value(), value.clone())).collect();
            let mut fault = None;
            pairs.sort_by(|a, b| {
                let (a, b) = if by_value { (&a.1, &b.1) } else { (&a.0, &b.0) };
                let order = sort_order(a, b, with_case).unwrap_or_else(|error| {
                    fault = Some(error);
                    std::cmp::Ordering::Equal
                });
                if reverse { order.reverse() } else { order }
            });
            match fault {
                Some(fault) => Err(fault),
                None => Ok(Value::list(
                    pairs
                        .into_iter()
                        .map(|(key, value)| Value::List(Arc::new(vec![key, value])))
                        .collect(),
                )),
            }
        },
        "items" => |_, value, _| match entries_of(&value) {
            Some(entries) => Ok(Value::list(
                entries
                    .iter()
                    .map(|(key, value)| Value::tuple(vec![key.to_value(), value.clone()]))
                    .collect(),
            )),
            None => Err(Fault::new("Can only get item pairs from a mapping.")),
        },
        "extract" => |cx, value, call| {
            let container = required(call, 0, "container")?.clone();
            let mut found = cx.item(&container, &value)?;
            if let Some(more) = call.get(1, "morekeys").filter(|more| !more.is_none()) {
                let keys = more.as_list().map_or_else(|| vec![more.clone()], <[Value]>::to_vec);
                for key in keys {
                    found = cx.item(&found, &key)?;
                }
            }
            Ok(found)
        },
        "rekey_on_member" => |cx, value, call| {
            let name = required(call, 0, "key")?.clone();
            let items: Vec<Value> = match value.as_dict() {
                Some(entries) => entries.values().cloned().collect(),
                None if matches!(value, Value::Str(_)) => {
                    return Err(Fault::new("Type is not a valid list, set, or dict"));
                }
                None => ops::iterate(&value)
                    .map_err(|_| Fault::new("Type is not a valid list, set, or dict"))?,
            };
            let duplicates = call.text(1, "duplicates").unwrap_or_else(|| "error".to_owned());
            if !matches!(duplicates.as_str(), "error" | "overwrite") {
                return Err(Fault::new(format!(
                    "duplicates parameter to rekey_on_member has unknown value '{duplicates}'"
                )));
            }
            let mut pairs: Vec<(Value, Value)> = Vec::new();
            for item in items {
                if item.as_dict().is_none() {
                    return Err(Fault::new("List item is not a valid dict"));
                }
                let key = cx.item(&item, &name)?;
                if key.is_undefined() {
                    return Err(Fault::new(format!("Key {} was not found.", name.repr())));
                }
                if duplicates == "error" && pairs.iter().any(|(other, _)| *other == key) {
                    return Err(Fault::new(format!(
                        "Key {} is not unique, cannot convert to dict.",
                        key.repr()
                    )));
                }
                pairs.push((key, item));
            }
            Ok(dict_from(pairs))
        },
        _ => return None,
    })
}

/// Adds a dict to those that are combined; nothing is left out.
fn collect(value: &Value, parts: &mut Vec<Dict>) -> Result<(), Fault> {
    let nothing = value.is_none() || matches!(value.as_str(), Some("None" | "null"));
    let entries = match value {
        Value::Object(object) => object.as_dict(),
        value => value.as_dict().cloned(),
    };
    match entries {
        Some(entries) => parts.push(entries),
        None if nothing => {}
        None => {
            return Err(Fault::new(format!(
                "failed to combine variables, expected dicts but got a '{}'",
                value.type_name()
            )));
        }
    }
    Ok(())
}

/// `under` with `over` laid on top of it.
pub(crate) fn combine_dicts(under: &Dict, over: &Dict, recursive: bool, list_merge: &str) -> Dict {
    let mut all = under.clone();
    for (key, value) in over {
        let merged = match (all.get(key), value) {
            (Some(old), new) => {
                match (old.as_dict(), new.as_dict(), old.as_list(), new.as_list()) {
                    (Some(old), Some(new), ..) if recursive => {
                        Value::dict(combine_dicts(old, new, recursive, list_merge))
                    }
                    (.., Some(old), Some(new)) => Value::list(merge_lists(old, new, list_merge)),
                    _ => value.clone(),
                }
            }
            (None, value) => value.clone(),
        };
        all.insert(key.clone(), merged);
    }
    all
}

fn merge_lists(old: &[Value], new: &[Value], how: &str) -> Vec<Value> {
    let without = |items: &[Value], others: &[Value]| -> Vec<Value> {
        items.iter().filter(|item| !others.contains(item)).cloned().collect()
    };
    match how {
        "keep" => old.to_vec(),
        "append" => [old, new].concat(),
        "prepend" => [new, old].concat(),
        "append_rp" => [without(old, new), new.to_vec()].concat(),
        "prepend_rp" => [new.to_vec(), without(old, new)].concat(),
        _ => new.to_vec(),
    }
}
