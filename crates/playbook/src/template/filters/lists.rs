//! Filters over lists.

use super::{Filter, required};
use crate::template::mersenne::{EMPTY, MersenneTwister};
use crate::template::methods::sort_order;
use crate::template::{Fault, Interp, ops};
use crate::value::{Call, Dict, Key, Object, Value};
use std::sync::Arc;
use updraft_base::Chance;

pub(super) fn find(name: &str) -> Option<Filter> {
    Some(match name {
        "length" | "count" => |_, value, _| {
            ops::length(&value).map(Value::from).ok_or_else(|| {
                Fault::new(format!("object of type '{}' has no len()", value.type_name()))
            })
        },
        "list" => |_, value, _| ops::iterate(&value).map(Value::list),
        "first" => |_, value, _| {
            Ok(ops::iterate(&value)?
                .into_iter()
                .next()
                .unwrap_or_else(|| Value::undefined("No first item, sequence was empty.")))
        },
        "last" => |_, value, _| {
            Ok(ops::iterate(&value)?
                .into_iter()
                .next_back()
                .unwrap_or_else(|| Value::undefined("No last item, sequence was empty.")))
        },
        "reverse" => |_, value, _| match &value {
            Value::Str(text) => Ok(Value::from(text.chars().rev().collect::<String>())),
            other => {
                let mut items = ops::iterate(other)?;
                items.reverse();
                Ok(Value::list(items))
            }
        },
        "sort" => |cx, value, call| {
            let reverse = call.flag(0, "reverse").unwrap_or(false);
            let with_case = call.flag(1, "case_sensitive").unwrap_or(false);
            let attribute = call.get(2, "attribute").filter(|name| !name.is_none()).cloned();
            let items = ops::iterate(&value)?;
            sorted(cx, &items, reverse, with_case, attribute.as_ref()).map(Value::list)
        },
        "unique" => |cx, value, call| {
            let asked = call.get(0, "case_sensitive").filter(|asked| !asked.is_none());
            let attribute = call.get(1, "attribute").filter(|name| !name.is_none()).cloned();
            let bound = asked.is_some_and(|asked| !asked.is_true()) || attribute.is_some();
            let mut with_case = asked.is_some_and(Value::is_true);
            // What Python cannot hash goes another way, which knows no options.
            let items = ops::iterate(&value)?;
            let hard = |item: &Value| item.as_dict().is_some() || item.as_list().is_some();
            if attribute.is_none() && items.iter().any(hard) {
                if bound {
                    return Err(Fault::new(
                        "Jinja2's unique filter failed and we cannot fall back to Ansible's version as it does not support the parameters supplied.",
                    ));
                }
                with_case = true;
            }
            let mut seen: Vec<Value> = Vec::new();
            let mut kept = Vec::new();
            for item in items {
                let mut key = match &attribute {
                    Some(name) => path(cx, &item, name)?,
                    None => item.clone(),
                };
                if let (false, Value::Str(text)) = (with_case, &key) {
                    key = Value::from(text.to_lowercase());
                }
                if !seen.contains(&key) {
                    seen.push(key);
                    kept.push(item);
                }
            }
            Ok(Value::list(kept))
        },
        "union" => |_, value, call| {
            let mut all = distinct(ops::iterate(&value)?);
            for item in ops::iterate(required(call, 0, "b")?)? {
                if !all.contains(&item) {
                    all.push(item);
                }
            }
            Ok(Value::list(all))
        },
        "intersect" => |_, value, call| {
            let other = ops::iterate(required(call, 0, "b")?)?;
            let kept =
                ops::iterate(&value)?.into_iter().filter(|item| other.contains(item)).collect();
            Ok(Value::list(distinct(kept)))
        },
        "difference" => |_, value, call| {
            let other = ops::iterate(required(call, 0, "b")?)?;
            let kept =
                ops::iterate(&value)?.into_iter().filter(|item| !other.contains(item)).collect();
            Ok(Value::list(distinct(kept)))
        },
        "symmetric_difference" => |_, value, call| {
            let (a, b) = (ops::iterate(&value)?, ops::iterate(required(call, 0, "b")?)?);
            let only = |one: &[Value], other: &[Value]| -> Vec<Value> {
                one.iter().filter(|item| !other.contains(item)).cloned().collect()
            };
            Ok(Value::list(distinct([only(&a, &b), only(&b, &a)].concat())))
        },
        "flatten" => |_, value, call| {
            let levels = call
                .int(0, "levels")
                .map_or(usize::MAX, |levels| usize::try_from(levels).unwrap_or(0));
            let skip_nulls = call.flag(1, "skip_nulls").unwrap_or(true);
            let mut out = Vec::new();
            flatten(&ops::iterate(&value)?, levels, skip_nulls, &mut out);
            Ok(Value::list(out))
        },
        "map" => map,
        "select" => |cx, value, call| select(cx, value, call, false, true),
        "reject" => |cx, value, call| select(cx, value, call, false, false),
        "selectattr" => |cx, value, call| select(cx, value, call, true, true),
        "rejectattr" => |cx, value, call| select(cx, value, call, true, false),
        "zip" => |_, value, call| zip(value, call, false),
        "zip_longest" => |_, value, call| zip(value, call, true),
        "product" => |_, value, call| {
            let mut lists = vec![ops::iterate(&value)?];
            for more in &call.args {
                lists.push(ops::iterate(more)?);
            }
            let times = call.named("repeat").and_then(Value::as_int).unwrap_or(1);
            let times = usize::try_from(times).unwrap_or(0).min(64);
            let lists: Vec<_> = (0..times).flat_map(|_| lists.clone()).collect();
            Ok(Value::list(product(&lists).into_iter().map(Value::list).collect()))
        },
        "permutations" => |_, value, call| {
            let items = ops::iterate(&value)?;
            let size =
                call.int(0, "r").and_then(|size| usize::try_from(size).ok()).unwrap_or(items.len());
            Ok(Value::list(permutations(&items, size).into_iter().map(Value::list).collect()))
        },
        "combinations" => |_, value, call| {
            let items = ops::iterate(&value)?;
            let size = call.int(0, "r").ok_or_else(|| {
                Fault::new("combinations() missing required argument 'r' (pos 2)")
            })?;
            let size = usize::try_from(size).map_err(|_| Fault::new("r must be non-negative"))?;
            Ok(Value::list(combinations(&items, size).into_iter().map(Value::list).collect()))
        },
        "batch" => |_, value, call| {
            let size = usize::try_from(call.int(0, "linecount").unwrap_or(1)).unwrap_or(1).max(1);
            let mut rows: Vec<Vec<Value>> =
                ops::iterate(&value)?.chunks(size).map(<[Value]>::to_vec).collect();
            if let (Some(fill), Some(last)) = (call.get(1, "fill_with"), rows.last_mut()) {
                last.resize(size, fill.clone());
            }
            Ok(Value::list(rows.into_iter().map(Value::list).collect()))
        },
        "slice" => |_, value, call| {
            let items = ops::iterate(&value)?;
            let count = usize::try_from(call.int(0, "slices").unwrap_or(1)).unwrap_or(1).max(1);
            let (size, more) = (items.len() / count, items.len() % count);
            let mut at = 0;
            let mut out = Vec::new();
            for index in 0..count {
                let take = size + usize::from(index < more);
                let mut part = items[at..at + take].to_vec();
                at += take;
                if let (Some(fill), true) = (call.get(1, "fill_with"), index >= more && more > 0) {
                    part.push(fill.clone());
                }
                out.push(Value::list(part));
            }
            Ok(Value::list(out))
        },
        "groupby" => |cx, value, call| {
            let name = required(call, 0, "attribute")?.clone();
            let items = ops::iterate(&value)?;
            let default = call.get(1, "default").cloned();
            let with_case = call.flag(2, "case_sensitive").unwrap_or(false);
            let mut keyed = Vec::with_capacity(items.len());
            for item in items {
                let key = match (path(cx, &item, &name)?, &default) {
                    (key, Some(default)) if key.is_undefined() => default.clone(),
                    (key, _) => key,
                };
                cx.defined(&key)?;
                keyed.push((key, item));
            }
            let mut fault = None;
            keyed.sort_by(|(a, _), (b, _)| {
                sort_order(a, b, with_case).unwrap_or_else(|error| {
                    fault = Some(error);
                    std::cmp::Ordering::Equal
                })
            });
            if let Some(fault) = fault {
                return Err(fault);
            }
            let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
            for (key, item) in keyed {
                match groups.last_mut() {
                    Some((last, members))
                        if sort_order(last, &key, with_case)
                            .is_ok_and(std::cmp::Ordering::is_eq) =>
                    {
                        members.push(item);
                    }
                    _ => groups.push((key, vec![item])),
                }
            }
            Ok(Value::list(
                groups
                    .into_iter()
                    .map(|(key, items)| {
                        Value::Object(Arc::new(Grouped { key, items: Value::list(items) }))
                    })
                    .collect(),
            ))
        },
        "subelements" => subelements,
        "shuffle" => |cx, value, call| {
            if ops::length(&value).is_none() {
                return Ok(value);
            }
            let mut items = ops::iterate(&value)?;
            // A seed that is empty is none there, and one that cannot be leaves all as it is.
            let seed = call.get(0, "seed").filter(|seed| seed.is_true());
            let Ok(mut chance) = chance(cx, seed) else { return Ok(Value::list(items)) };
            for index in (1..items.len()).rev() {
                let other = chance.below(index as u64 + 1) as usize;
                items.swap(index, other);
            }
            Ok(Value::list(items))
        },
        "random" => |cx, value, call| {
            let mut chance = chance(cx, call.named("seed").or_else(|| call.args.get(2)))?;
            if let Some(stop) = value.as_int() {
                let given = |index, name| call.get(index, name).filter(|value| value.is_true());
                let start = given(0, "start").map_or(Ok(0), whole)?;
                let step = given(1, "step").map_or(Ok(1), whole)?;
                return random_in_range(&mut *chance, start, stop, step).map(Value::Int);
            }
            let items = ops::iterate(&value)
                .map_err(|_| Fault::new("random can only be used on sequences and integers"))?;
            let given = |index, name| call.get(index, name).is_some_and(Value::is_true);
            if given(0, "start") || given(1, "step") {
                return Err(Fault::new("start and step can only be used with integer values"));
            }
            if items.is_empty() {
                return Err(Fault::new(EMPTY));
            }
            Ok(items[chance.below(items.len() as u64) as usize].clone())
        },
        _ => return None,
    })
}

/// A pair of `groupby`, whose halves have names too.
struct Grouped {
    key: Value,
    items: Value,
}

impl Grouped {
    fn pair(&self) -> Value {
        Value::tuple(vec![self.key.clone(), self.items.clone()])
    }
}

impl Object for Grouped {
    fn type_name(&self) -> &'static str {
        "GroupTuple"
    }

    fn attr(&self, _cx: &mut Interp<'_>, name: &Value) -> Result<Option<Value>, Fault> {
        Ok(match name {
            Value::Str(name) if matches!(&**name, "grouper") => Some(self.key.clone()),
            Value::Str(name) if matches!(&**name, "list") => Some(self.items.clone()),
            Value::Int(0 | -2) => Some(self.key.clone()),
            Value::Int(1 | -1) => Some(self.items.clone()),
            _ => None,
        })
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(vec![self.key.clone(), self.items.clone()])
    }

    fn finished(&self, _cx: &mut Interp<'_>) -> Result<Option<Value>, Fault> {
        Ok(Some(self.pair()))
    }

    fn text(&self) -> String {
        self.pair().to_text()
    }
}

/// Numbers as Python draws them for the seed, where one is given.
fn chance(cx: &Interp<'_>, seed: Option<&Value>) -> Result<Box<dyn Chance>, Fault> {
    Ok(match seed.filter(|seed| !seed.is_none()) {
        Some(seed) => Box::new(MersenneTwister::seeded(seed)?),
        None => cx.cx.world.commands.chance(),
    })
}

fn whole(value: &Value) -> Result<i64, Fault> {
    value.as_int().ok_or_else(|| {
        Fault::new(format!("invalid literal for int() with base 10: '{}'", value.to_text()))
    })
}

/// One of `start`, `start + step` and so on before `stop`, as `randrange` chooses.
fn random_in_range(
    chance: &mut dyn Chance,
    start: i64,
    stop: i64,
    step: i64,
) -> Result<i64, Fault> {
    let width = i128::from(stop) - i128::from(start);
    let wide = i128::from(step);
    let count = (width + wide - wide.signum()) / wide;
    let below = u64::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
        let width = if step == 1 { format!(" ({start}, {stop}, {width})") } else { String::new() };
        Fault::new(format!("empty range for randrange(){width}"))
    })?;
    let chosen = i128::from(start) + wide * i128::from(chance.below(below));
    i64::try_from(chosen).map_err(|_| Fault::new("the range is beyond 64 bits"))
}

fn distinct(items: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::with_capacity(items.len());
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

/// `a.b.0` of an item, as `attribute=` takes it.
pub(super) fn path(cx: &mut Interp<'_>, item: &Value, name: &Value) -> Result<Value, Fault> {
    let Some(name) = name.as_str() else { return cx.item(item, name) };
    let mut value = item.clone();
    for part in name.split('.') {
        let key = part.parse().map_or_else(|_| Value::str(part), Value::Int);
        value = cx.item(&value, &key)?;
    }
    cx.deep(&value)
}

/// A sorted copy.
pub(crate) fn sorted(
    cx: &mut Interp<'_>,
    items: &[Value],
    reverse: bool,
    with_case: bool,
    attribute: Option<&Value>,
) -> Result<Vec<Value>, Fault> {
    let names: Vec<Value> = match attribute {
        Some(Value::Str(names)) => names.split(',').map(|name| Value::str(name.trim())).collect(),
        Some(other) => vec![other.clone()],
        None => Vec::new(),
    };
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let mut keys = Vec::new();
        for name in &names {
            keys.push(path(cx, item, name)?);
        }
        if names.is_empty() {
            keys.push(item.clone());
        }
        for key in &keys {
            cx.defined(key)?;
        }
        keyed.push((keys, item.clone()));
    }
    let mut fault = None;
    keyed.sort_by(|(a, _), (b, _)| {
        for (a, b) in a.iter().zip(b) {
            match sort_order(a, b, with_case) {
                Ok(std::cmp::Ordering::Equal) => {}
                Ok(order) => return if reverse { order.reverse() } else { order },
                Err(error) => fault = Some(error),
            }
        }
        std::cmp::Ordering::Equal
    });
    match fault {
        Some(fault) => Err(fault),
        None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
    }
}

fn flatten(items: &[Value], levels: usize, skip_nulls: bool, out: &mut Vec<Value>) {
    for item in items {
        match item.as_list() {
            _ if skip_nulls
                && (item.is_none() || matches!(item.as_str(), Some("None" | "null"))) => {}
            Some(inner) if levels > 0 => flatten(inner, levels - 1, skip_nulls, out),
            _ => out.push(item.clone()),
        }
    }
}

fn map(cx: &mut Interp<'_>, value: Value, call: &Call) -> Result<Value, Fault> {
    let items = ops::iterate(&value)?;
    let mut out = Vec::with_capacity(items.len());
    if let Some(name) = call.named("attribute").filter(|_| call.args.is_empty()) {
        let default = call.named("default");
        for item in items {
            let found = path(cx, &item, name)?;
            out.push(match (found.is_undefined(), default) {
                (true, Some(default)) => default.clone(),
                _ => found,
            });
        }
        return Ok(Value::list(out));
    }
    let name = required(call, 0, "name")?.to_text();
    let rest = Call { args: call.args[1..].to_vec(), named: call.named.clone() };
    for item in items {
        out.push(cx.filter(&name, item, &rest)?);
    }
    Ok(Value::list(out))
}

fn select(
    cx: &mut Interp<'_>,
    value: Value,
    call: &Call,
    by_attribute: bool,
    keep: bool,
) -> Result<Value, Fault> {
    let skip = usize::from(by_attribute);
    let test = call.args.get(skip).map(Value::to_text);
    let rest = Call {
        args: call.args.get(skip + 1..).unwrap_or_default().to_vec(),
        named: call.named.clone(),
    };
    let mut kept = Vec::new();
    for item in ops::iterate(&value)? {
        let subject = if by_attribute {
            path(cx, &item, required(call, 0, "attribute")?)?
        } else {
            item.clone()
        };
        let holds = match &test {
            Some(name) => cx.test(name, subject, &rest)?,
            None => {
                cx.defined(&subject)?;
                subject.is_true()
            }
        };
        if holds == keep {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn zip(value: Value, call: &Call, longest: bool) -> Result<Value, Fault> {
    let mut lists = vec![ops::iterate(&value)?];
    for more in &call.args {
        lists.push(ops::iterate(more)?);
    }
    let lengths = lists.iter().map(Vec::len);
    let count = if longest { lengths.max() } else { lengths.min() }.unwrap_or(0);
    let fill = call.named("fillvalue").cloned().unwrap_or_default();
    let row = |index: usize| {
        Value::List(Arc::new(
            lists.iter().map(|list| list.get(index).unwrap_or(&fill).clone()).collect(),
        ))
    };
    Ok(Value::list((0..count).map(row).collect()))
}

/// Every way to take one from each list.
pub(crate) fn product(lists: &[Vec<Value>]) -> Vec<Vec<Value>> {
    lists.iter().fold(vec![Vec::new()], |rows, list| {
        rows.iter()
            .flat_map(|row| {
                list.iter().map(move |item| [row.as_slice(), std::slice::from_ref(item)].concat())
            })
            .collect()
    })
}

fn combinations(items: &[Value], size: usize) -> Vec<Vec<Value>> {
    if size == 0 {
        return vec![Vec::new()];
    }
    let mut out = Vec::new();
    for (index, item) in items.iter().enumerate() {
        for mut rest in combinations(&items[index + 1..], size - 1) {
            rest.insert(0, item.clone());
            out.push(rest);
        }
    }
    out
}

fn permutations(items: &[Value], size: usize) -> Vec<Vec<Value>> {
    if size == 0 {
        return vec![Vec::new()];
    }
    let mut out = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let others = [&items[..index], &items[index + 1..]].concat();
        for rest in permutations(&others, size - 1) {
            out.push([std::slice::from_ref(item), &rest].concat());
        }
    }
    out
}

fn subelements(cx: &mut Interp<'_>, value: Value, call: &Call) -> Result<Value, Fault> {
    let name = required(call, 0, "subelements")?.clone();
    let skip_missing = call.flag(1, "skip_missing").unwrap_or(false);
    let items: Vec<Value> = match value.as_dict() {
        Some(entries) => entries.values().cloned().collect(),
        None if value.as_list().is_some() => ops::iterate(&value)?,
        None => return Err(Fault::new("obj must be a list of dicts or a nested dict")),
    };
    let names: Vec<Value> = match (&name, name.as_list()) {
        (_, Some(names)) => names.to_vec(),
        (Value::Str(text), None) => text.split('.').map(Value::str).collect(),
        _ => return Err(Fault::new("subelements must be a list or a string")),
    };
    let mut pairs = Vec::new();
    'items: for item in items {
        let mut inner = item.clone();
        for name in &names {
            let (Some(entries), Some(key)) = (inner.as_dict(), Key::of(name)) else {
                return Err(Fault::new(format!(
                    "the key {} should point to a dictionary, got '{}'",
                    name.to_text(),
                    inner.to_text()
                )));
            };
            match entries.get(&key).cloned() {
                Some(found) => inner = cx.deep(&found)?,
                None if skip_missing => continue 'items,
                None => {
                    return Err(Fault::new(format!(
                        "could not find {} key in iterated item {}",
                        name.repr(),
                        inner.repr()
                    )));
                }
            }
        }
        let Some(elements) = inner.as_list() else {
            let last = names.last().map(Value::repr).unwrap_or_default();
            return Err(Fault::new(format!(
                "the key {last} should point to a list, got {}",
                inner.repr()
            )));
        };
        for element in elements {
            pairs.push(Value::tuple(vec![item.clone(), element.clone()]));
        }
    }
    Ok(Value::list(pairs))
}

/// A dict from `key` and `value` pairs, skipping what is no key.
pub(super) fn dict_from(pairs: impl IntoIterator<Item = (Value, Value)>) -> Value {
    Value::dict(
        pairs
            .into_iter()
            .filter_map(|(key, value)| Some((Key::of(&key)?, value)))
            .collect::<Dict>(),
    )
}
