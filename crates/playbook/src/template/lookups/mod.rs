//! Lookups: what templates fetch from the controller's side, and the `with_…` loops.
//!
//! Files are read, the environment handed in is consulted, and commands run by whoever handed in the
//! world.

mod commands;
mod config;
mod files;
mod password;
mod sequence;
mod tables;

pub(crate) use files::{find_file, glob, not_found};

use super::filters::short_name;
use super::others::Kind;
use super::{Fault, Interp, ops, pattern};
use crate::value::{Call, Value};

/// A lookup: its terms, and the named arguments.
type Lookup = fn(&mut Interp<'_>, &[Value], &Call) -> Result<Vec<Value>, Fault>;

pub(crate) fn exists(name: &str) -> bool {
    find(name).is_some()
}

/// `lookup(name, …)` and, with `as_list`, `query(name, …)`.
pub(crate) fn call(cx: &mut Interp<'_>, as_list: bool, call: &Call) -> Result<Value, Fault> {
    let Some(name) = call.args.first() else {
        return Err(Fault::new("lookup() takes the name of a lookup"));
    };
    let name = name.to_text();
    let as_list = as_list || call.named("wantlist").is_some_and(Value::is_true);
    let found = match run(cx, &name, &call.args[1..], call) {
        Ok(found) => found,
        Err(fault) => {
            return match call.text(usize::MAX, "errors").as_deref() {
                Some("ignore" | "warn") if as_list => Ok(Value::list(Vec::new())),
                Some("ignore" | "warn") => Ok(Value::None),
                _ => Err(fault),
            };
        }
    };
    if as_list {
        return Ok(Value::list(found));
    }
    match found.len() {
        0 => Ok(Value::list(Vec::new())),
        1 => Ok(found.into_iter().next().expect("has one element")),
        _ if found.iter().all(|value| matches!(value, Value::Str(_))) => {
            Ok(Value::from(found.iter().map(Value::to_text).collect::<Vec<_>>().join(",")))
        }
        _ => Ok(Value::list(found)),
    }
}

/// Runs a lookup over terms, as `with_<name>` does.
pub(crate) fn run(
    cx: &mut Interp<'_>,
    name: &str,
    terms: &[Value],
    call: &Call,
) -> Result<Vec<Value>, Fault> {
    let short = short_name(name);
    let theirs = || {
        let for_us = |key: &str| matches!(key, "wantlist" | "errors");
        let named = call.named.iter().filter(|(key, _)| !for_us(key)).cloned().collect();
        Call { args: terms.to_vec(), named }
    };
    let items = |value: Value| value.as_list().map_or_else(|| vec![value.clone()], <[_]>::to_vec);
    if let Some(given) = cx.theirs_first(Kind::Lookup, name, theirs) {
        return given.map(items);
    }
    let Some(lookup) = find(short) else {
        return cx
            .theirs(Kind::Lookup, name, &theirs(), || {
                Fault::told(format!("The lookup plugin '{name}' was not found."))
            })
            .map(items);
    };
    if !matches!(short, "vars" | "first_found") {
        for term in terms {
            cx.defined(term)?;
        }
    }
    let found = lookup(cx, terms, call).map(|found| {
        // What leaves a lookup is kept in variables, which know lists but no tuples.
        found
            .into_iter()
            .map(|value| match value {
                Value::Tuple(items) => Value::List(items),
                value => value,
            })
            .collect()
    });
    found.map_err(|mut fault| {
        if !fault.undefined && !fault.told {
            fault.what = format!("The lookup plugin '{name}' failed: {}", fault.what);
            fault.told = true;
        }
        fault
    })
}

fn find(name: &str) -> Option<Lookup> {
    Some(match name {
        "env" => |cx, terms, call| {
            let mut out = Vec::new();
            for term in terms {
                let name = term.to_text();
                out.push(match (cx.cx.world.env.get(name.trim()), call.named("default")) {
                    (Some(value), _) => Value::str(value),
                    (None, Some(default)) => default.clone(),
                    (None, None) => Value::str(""),
                });
            }
            Ok(out)
        },
        "file" => |cx, terms, call| {
            let strip_end = call.named("rstrip").is_none_or(Value::is_true);
            let strip_start = call.named("lstrip").is_some_and(Value::is_true);
            files::read_each(cx, terms, "files", |text| {
                let text = if strip_end { text.trim_end() } else { text };
                Value::str(if strip_start { text.trim_start() } else { text })
            })
        },
        "unvault" => |cx, terms, _| files::read_each(cx, terms, "files", |text| Value::str(text)),
        "pipe" => |cx, terms, _| {
            terms.iter().map(|term| commands::output(cx, term).map(Value::from)).collect()
        },
        "lines" => |cx, terms, _| {
            let mut out = Vec::new();
            for term in terms {
                out.extend(commands::output(cx, term)?.lines().map(Value::str));
            }
            Ok(out)
        },
        "config" => config::lookup,
        "password" => password::lookup,
        "template" => files::template,
        "fileglob" => files::fileglob,
        "first_found" => files::first_found,
        "vars" => |cx, terms, call| {
            let mut out = Vec::new();
            for term in terms {
                let Value::Str(name) = term else {
                    return Err(Fault::new(format!(
                        "Variable name must be 'str' not '{}'.",
                        term.type_name()
                    )));
                };
                let value = match cx.cx.scope.get(name) {
                    Some(value) => cx.deep(&value)?,
                    None => match call.named("default") {
                        Some(default) => default.clone(),
                        None => {
                            return Err(Fault {
                                undefined: true,
                                ..Fault::new(format!("No variable named '{name}' was found."))
                            });
                        }
                    },
                };
                out.push(value);
            }
            Ok(out)
        },
        "varnames" => |cx, terms, _| {
            let mut out = Vec::new();
            let mut names = cx.cx.scope.names();
            names.sort();
            for term in terms {
                let Value::Str(source) = term else {
                    return Err(Fault::new(format!(
                        "Invalid setting identifier, \"{}\" is not a string, it is a <class '{}'>",
                        term.to_text(),
                        term.type_name()
                    )));
                };
                let regex = pattern::regex(source, false, false, false).map_err(|why| {
                    Fault::new(format!("Unable to use \"{source}\" as a search parameter: {why}"))
                })?;
                out.extend(
                    names
                        .iter()
                        .filter(|name| regex.is_match(&***name).unwrap_or(false))
                        .map(Value::str),
                );
            }
            Ok(out)
        },
        "dict" => |_, terms, _| {
            let mut out = Vec::new();
            for term in terms {
                let Some(entries) = term.as_dict() else {
                    return Err(Fault::new(format!(
                        "the 'dict' lookup plugin expects a dictionary, got '{}' of type <class '{}'>)",
                        term.to_text(),
                        term.type_name()
                    )));
                };
                for (key, value) in entries {
                    out.push(Value::dict_of([("key", key.to_value()), ("value", value.clone())]));
                }
            }
            Ok(out)
        },
        "items" => |_, terms, _| {
            let mut out = Vec::new();
            for term in terms {
                match term.as_list() {
                    Some(items) => out.extend_from_slice(items),
                    None => out.push(term.clone()),
                }
            }
            Ok(out)
        },
        "list" => |_, terms, _| Ok(terms.to_vec()),
        "flattened" => |_, terms, _| {
            fn flatten(items: &[Value], out: &mut Vec<Value>) {
                for item in items {
                    match item.as_list() {
                        Some(inner) => flatten(inner, out),
                        None if item.is_none() => {}
                        None => out.push(item.clone()),
                    }
                }
            }
            let mut out = Vec::new();
            flatten(terms, &mut out);
            Ok(out)
        },
        "indexed_items" => |_, terms, _| {
            let mut all = Vec::new();
            for term in terms {
                match term.as_list() {
                    Some(items) => all.extend_from_slice(items),
                    None => all.push(term.clone()),
                }
            }
            Ok(all
                .into_iter()
                .enumerate()
                .map(|(index, item)| Value::tuple(vec![Value::from(index), item]))
                .collect())
        },
        "together" => |_, terms, _| {
            if terms.is_empty() {
                return Err(Fault::new("with_together requires at least one element in each list"));
            }
            let lists: Result<Vec<_>, _> = terms.iter().map(ops::iterate).collect();
            let lists = lists?;
            let count = lists.iter().map(Vec::len).max().unwrap_or(0);
            Ok((0..count)
                .map(|index| {
                    Value::list(
                        lists
                            .iter()
                            .map(|list| list.get(index).cloned().unwrap_or_default())
                            .collect(),
                    )
                })
                .collect())
        },
        "nested" | "cartesian" => |_, terms, _| {
            if terms.is_empty() {
                let what = "with_nested requires at least one element in the nested list";
                return Err(Fault::new(what));
            }
            let lists: Result<Vec<_>, _> = terms
                .iter()
                .map(|term| {
                    if term.as_str().is_some() {
                        Ok(vec![term.clone()])
                    } else {
                        ops::iterate(term)
                    }
                })
                .collect();
            Ok(super::filters::product(&lists?).into_iter().map(Value::list).collect())
        },
        "subelements" => |_, terms, _| subelements(terms),
        "sequence" => |_, terms, call| {
            let mut out = Vec::new();
            let asked =
                call.named.iter().any(|(name, _)| !matches!(&**name, "wantlist" | "errors"));
            if terms.is_empty() && asked {
                out.extend(sequence::count("", call)?);
            }
            for term in terms {
                out.extend(sequence::count(&term.to_text(), call)?);
            }
            Ok(out)
        },
        "random_choice" => |cx, terms, _| match terms {
            [] => Ok(Vec::new()),
            terms => {
                let list = Value::list(terms.to_vec());
                cx.filter("random", list, &Call::default()).map(|one| vec![one])
            }
        },
        "inventory_hostnames" => |cx, terms, _| {
            let groups = cx.name("groups")?;
            let mut out: Vec<Value> = Vec::new();
            let all = groups.get("all").and_then(Value::as_list).unwrap_or_default();
            for part in terms.iter().flat_map(|term| {
                term.to_text().split([':', ',']).map(str::to_owned).collect::<Vec<_>>()
            }) {
                let (sign, name) = match part.chars().next() {
                    Some(sign @ ('!' | '&')) => (sign, &part[1..]),
                    _ => ('+', part.as_str()),
                };
                let in_groups = groups.as_dict().into_iter().flatten().filter(|(group, _)| {
                    group.as_str().is_some_and(|group| pattern::fnmatch(name, group))
                });
                let mut members: Vec<Value> = in_groups
                    .flat_map(|(_, hosts)| hosts.as_list().unwrap_or_default().to_vec())
                    .collect();
                members.extend(
                    all.iter().filter(|host| pattern::fnmatch(name, &host.to_text())).cloned(),
                );
                match sign {
                    '!' => out.retain(|host| !members.contains(host)),
                    '&' => out.retain(|host| members.contains(host)),
                    _ => members.into_iter().for_each(|host| {
                        if !out.contains(&host) {
                            out.push(host);
                        }
                    }),
                }
            }
            Ok(out)
        },
        "ini" => tables::ini,
        "csvfile" => tables::csvfile,
        _ => return None,
    })
}

/// The pairs of an item and each element of a list within it, the list itself taken out.
fn subelements(terms: &[Value]) -> Result<Vec<Value>, Fault> {
    let expects = |what: &str| {
        Fault::new(format!("subelements lookup expects a list of two or three items, {what}"))
    };
    let ([items, name] | [items, name, _]) = terms else { return Err(expects("")) };
    let shape = || expects("first a dict or a list, second a string pointing to the subkey");
    let Value::Str(name) = name else { return Err(shape()) };
    let marked = |item: &crate::value::Dict| {
        item.get("skipped").is_some_and(|skipped| *skipped != Value::Bool(false))
    };
    let items: Vec<Value> = match (items.as_dict(), items.as_list()) {
        (Some(entries), _) if marked(entries) => return Ok(Vec::new()),
        (Some(entries), _) => entries.values().cloned().collect(),
        (None, Some(items)) => items.to_vec(),
        (None, None) => return Err(shape()),
    };
    if terms.get(2).is_some_and(|flags| flags.as_dict().is_none()) {
        return Err(expects("the optional third item must be a dict with flags ('skip_missing',)"));
    }
    let skip = terms
        .get(2)
        .and_then(|flags| flags.get("skip_missing"))
        .is_some_and(|flag| flag.as_boolean().unwrap_or(false));
    let keys: Vec<&str> = name.split('.').collect();
    let mut out = Vec::new();
    for item in &items {
        let Some(entries) = item.as_dict() else {
            return Err(Fault::new(format!(
                "subelements lookup expects a dictionary, got '{}'",
                item.to_text()
            )));
        };
        if marked(entries) {
            continue;
        }
        if let Some((rest, elements)) = taken_out(entries, &keys, skip)? {
            out.extend(elements.iter().map(|one| Value::list(vec![rest.clone(), one.clone()])));
        }
    }
    Ok(out)
}

/// A dict without the list under a path of keys, and that list; `None` where it may be missing.
fn taken_out(
    entries: &crate::value::Dict,
    keys: &[&str],
    skip: bool,
) -> Result<Option<(Value, Vec<Value>)>, Fault> {
    let Some((key, deeper)) = keys.split_first() else { return Ok(None) };
    let shown = || Value::dict(entries.clone()).to_text();
    let Some(found) = entries.get(*key) else {
        if skip {
            return Ok(None);
        }
        return Err(Fault::new(format!(
            "could not find '{key}' key in iterated item '{}'",
            shown()
        )));
    };
    let mut rest = entries.clone();
    if deeper.is_empty() {
        let Some(elements) = found.as_list().map(<[Value]>::to_vec) else {
            return Err(Fault::new(format!(
                "the key {key} should point to a list, got '{}'",
                found.to_text()
            )));
        };
        rest.shift_remove(*key);
        return Ok(Some((Value::dict(rest), elements)));
    }
    match found.as_dict() {
        Some(inner) => Ok(taken_out(inner, deeper, skip)?.map(|(inner, elements)| {
            rest.insert((*key).into(), inner);
            (Value::dict(rest), elements)
        })),
        None if skip => Ok(None),
        None => Err(Fault::new(format!(
            "the key {key} should point to a dictionary, got '{}'",
            found.to_text()
        ))),
    }
}
