//! Methods of Python's str, list and dict.
//!
//! Values never change. A method that changes its list or dict gives back the changed one, and the
//! caller puts it where the expression found the old one.

use super::{Fault, Interp, ops, printf};
use crate::value::{Call, Dict, Key, Object, Value, compare};
use std::sync::Arc;

/// Methods, and how many arguments each takes at most.
type Methods = &'static [(&'static str, usize)];

const STR: Methods = &[
    ("capitalize", 0),
    ("casefold", 0),
    ("center", 2),
    ("count", 3),
    ("encode", 2),
    ("endswith", 3),
    ("expandtabs", 1),
    ("find", 3),
    ("format", usize::MAX),
    ("index", 3),
    ("isalnum", 0),
    ("isalpha", 0),
    ("isdecimal", 0),
    ("isdigit", 0),
    ("islower", 0),
    ("isnumeric", 0),
    ("isspace", 0),
    ("istitle", 0),
    ("isupper", 0),
    ("join", 1),
    ("ljust", 2),
    ("lower", 0),
    ("lstrip", 1),
    ("partition", 1),
    ("removeprefix", 1),
    ("removesuffix", 1),
    ("replace", 3),
    ("rfind", 3),
    ("rindex", 3),
    ("rjust", 2),
    ("rpartition", 1),
    ("rsplit", 2),
    ("rstrip", 1),
    ("split", 2),
    ("splitlines", 1),
    ("startswith", 3),
    ("strip", 1),
    ("swapcase", 0),
    ("title", 0),
    ("upper", 0),
    ("zfill", 1),
];
const LIST: Methods = &[
    ("append", 1),
    ("clear", 0),
    ("copy", 0),
    ("count", 1),
    ("extend", 1),
    ("index", 3),
    ("insert", 2),
    ("pop", 1),
    ("remove", 1),
    ("reverse", 0),
    ("sort", 0),
];
const TUPLE: Methods = &[("count", 1), ("index", 3)];

const DICT: Methods = &[
    ("clear", 0),
    ("copy", 0),
    ("get", 2),
    ("items", 0),
    ("keys", 0),
    ("pop", 2),
    ("popitem", 0),
    ("setdefault", 2),
    ("update", 1),
    ("values", 0),
];

/// The methods of a value's type, and what Python calls that.
fn methods(value: &Value) -> (Methods, &'static str) {
    match value {
        Value::Str(_) => (STR, "str"),
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => (&[], ""),
        Value::Tuple(_) => (TUPLE, "tuple"),
        other if other.as_list().is_some() => (LIST, "list"),
        other if other.as_dict().is_some() => (DICT, "dict"),
        _ => (&[], ""),
    }
}

/// Does a value of this type have the method?
pub(crate) fn has(value: &Value, name: &str) -> bool {
    methods(value).0.iter().any(|(method, _)| *method == name)
}

/// Refuses more arguments than the method takes.
fn check(value: &Value, name: &str, call: &Call) -> Result<(), Fault> {
    let (all, kind) = methods(value);
    let (most, given) = (all.iter().find(|(method, _)| *method == name), call.args.len());
    let what = match most {
        Some((_, most)) if given > *most => match most {
            0 => format!("{kind}.{name}() takes no arguments ({given} given)"),
            1 => format!("{kind}.{name}() takes at most 1 argument ({given} given)"),
            _ => format!("{name}() takes at most {most} arguments ({given} given)"),
        },
        _ => return Ok(()),
    };
    Err(Fault::new(what))
}

/// Does the method change its value?
pub(crate) fn changes(value: &Value, name: &str) -> bool {
    match value {
        Value::List(_) => {
            matches!(
                name,
                "append" | "clear" | "extend" | "insert" | "pop" | "remove" | "reverse" | "sort"
            )
        }
        Value::Dict(_) => matches!(name, "clear" | "pop" | "popitem" | "setdefault" | "update"),
        _ => false,
    }
}

/// `value.name` without a call.
pub(crate) fn bound(value: Value, name: &str) -> Value {
    Value::Object(Arc::new(Bound { value, name: Arc::from(name) }))
}

struct Bound {
    value: Value,
    name: Arc<str>,
}

impl Object for Bound {
    fn type_name(&self) -> &'static str {
        "builtin_function_or_method"
    }

    fn call(&self, cx: &mut Interp<'_>, arguments: &Call) -> Result<Value, Fault> {
        let value = cx.deep(&self.value)?;
        call(cx, &value, &self.name, arguments)?
            .ok_or_else(|| Fault::new(format!("'{}' can only be called on a name", self.name)))
    }

    fn text(&self) -> String {
        format!("<built-in method {} of {} object>", self.name, self.value.type_name())
    }
}

/// `holder[key] = value`, if the holder can take it.
pub(crate) fn with_item(holder: Value, key: &Value, value: Value) -> Option<Value> {
    match holder {
        Value::Dict(mut entries) => {
            Arc::make_mut(&mut entries).insert(Key::of(key)?, value);
            Some(Value::Dict(entries))
        }
        Value::List(mut items) => {
            let at = ops::index(key.as_int()?, items.len())?;
            Arc::make_mut(&mut items)[at] = value;
            Some(Value::List(items))
        }
        _ => None,
    }
}

/// A method that changes `receiver`: what it becomes, and what the method gives.
pub(crate) fn change(
    cx: &mut Interp<'_>,
    receiver: Value,
    name: &str,
    call: &Call,
) -> Result<(Value, Value), Fault> {
    check(&receiver, name, call)?;
    match receiver {
        Value::List(mut shared) => {
            let items = Arc::make_mut(&mut shared);
            let result = change_list(cx, items, name, call)?;
            Ok((Value::List(shared), result))
        }
        Value::Dict(mut shared) => {
            let entries = Arc::make_mut(&mut shared);
            let result = change_dict(entries, name, call)?;
            Ok((Value::Dict(shared), result))
        }
        other => Ok((other, Value::None)),
    }
}

fn arg<'c>(call: &'c Call, index: usize, method: &str) -> Result<&'c Value, Fault> {
    call.args
        .get(index)
        .ok_or_else(|| Fault::new(format!("{method}() takes at least {} arguments", index + 1)))
}

fn change_list(
    cx: &mut Interp<'_>,
    items: &mut Vec<Value>,
    name: &str,
    call: &Call,
) -> Result<Value, Fault> {
    match name {
        "append" => items.push(arg(call, 0, name)?.clone()),
        "extend" => items.extend(ops::iterate(arg(call, 0, name)?)?),
        "clear" => items.clear(),
        "reverse" => items.reverse(),
        "insert" => {
            let at = arg(call, 0, name)?.as_int().unwrap_or(0);
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let at = if at < 0 { at + length } else { at }.clamp(0, length);
            items.insert(at as usize, arg(call, 1, name)?.clone());
        }
        "pop" => {
            let at = call.int(0, "index").unwrap_or(-1);
            if items.is_empty() {
                return Err(Fault::new("pop from empty list"));
            }
            let at =
                ops::index(at, items.len()).ok_or_else(|| Fault::new("pop index out of range"))?;
            return Ok(items.remove(at));
        }
        "remove" => {
            let wanted = arg(call, 0, name)?;
            let at = items.iter().position(|item| item == wanted);
            let at = at.ok_or_else(|| Fault::new("list.remove(x): x not in list"))?;
            items.remove(at);
        }
        _ => {
            *items = super::filters::sorted(
                cx,
                items,
                call.flag(9, "reverse").unwrap_or(false),
                true,
                None,
            )?;
        }
    }
    Ok(Value::None)
}

fn change_dict(entries: &mut Dict, name: &str, call: &Call) -> Result<Value, Fault> {
    let key = |index: usize| {
        let value = arg(call, index, name)?;
        Key::of(value)
            .ok_or_else(|| Fault::new(format!("unhashable type: '{}'", value.type_name())))
    };
    match name {
        "clear" => entries.clear(),
        "popitem" => {
            let (key, value) =
                entries.pop().ok_or_else(|| Fault::new("popitem(): dictionary is empty"))?;
            return Ok(Value::tuple(vec![key.to_value(), value]));
        }
        "pop" => {
            let key = key(0)?;
            return match (entries.shift_remove(&key), call.args.get(1)) {
                (Some(value), _) => Ok(value),
                (None, Some(default)) => Ok(default.clone()),
                (None, None) => Err(Fault::new(key.to_value().repr())),
            };
        }
        "setdefault" => {
            let value = call.args.get(1).cloned().unwrap_or_default();
            return Ok(entries.entry(key(0)?).or_insert(value).clone());
        }
        _ => {
            if let Some(more) = call.args.first() {
                match more.as_dict() {
                    Some(more) => {
                        entries.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())))
                    }
                    None => {
                        for pair in ops::iterate(more)? {
                            let pair = ops::iterate(&pair)?;
                            if let [key, value] = pair.as_slice()
                                && let Some(key) = Key::of(key)
                            {
                                entries.insert(key, value.clone());
                            }
                        }
                    }
                }
            }
            for (name, value) in &call.named {
                entries.insert(Key::Str(Arc::clone(name)), value.clone());
            }
        }
    }
    Ok(Value::None)
}

/// A method that changes nothing; `None` when there is none of that name.
pub(crate) fn call(
    _cx: &mut Interp<'_>,
    receiver: &Value,
    name: &str,
    call: &Call,
) -> Result<Option<Value>, Fault> {
    check(receiver, name, call)?;
    match receiver {
        Value::Str(text) => str_method(text, name, call),
        Value::List(items) | Value::Tuple(items) => match name {
            "copy" => Ok(Some(receiver.clone())),
            "count" => {
                let wanted = arg(call, 0, name)?;
                Ok(Some(Value::from(items.iter().filter(|item| *item == wanted).count())))
            }
            "index" => {
                let wanted = arg(call, 0, name)?;
                match items.iter().position(|item| item == wanted) {
                    Some(at) => Ok(Some(Value::from(at))),
                    None => Err(Fault::new(format!("{} is not in list", wanted.repr()))),
                }
            }
            _ => Ok(None),
        },
        Value::Dict(entries) => Ok(Some(match name {
            "keys" => Value::list(entries.keys().map(Key::to_value).collect()),
            "values" => Value::list(entries.values().cloned().collect()),
            "items" => Value::list(
                entries
                    .iter()
                    .map(|(key, value)| Value::tuple(vec![key.to_value(), value.clone()]))
                    .collect(),
            ),
            "get" => {
                let found = Key::of(arg(call, 0, name)?).and_then(|key| entries.get(&key).cloned());
                found.or_else(|| call.get(1, "default").cloned()).unwrap_or_default()
            }
            "copy" => receiver.clone(),
            _ => return Ok(None),
        })),
        Value::Int(number) => Ok(match name {
            "bit_length" => {
                Some(Value::from(i64::from(64 - number.unsigned_abs().leading_zeros())))
            }
            _ => None,
        }),
        Value::Float(number) => {
            Ok((name == "is_integer").then(|| Value::Bool(number.fract() == 0.0)))
        }
        _ => Ok(None),
    }
}

fn str_method(text: &str, name: &str, call: &Call) -> Result<Option<Value>, Fault> {
    let words = |index: usize| -> Result<Vec<String>, Fault> {
        let value = arg(call, index, name)?;
        Ok(match value.as_list() {
            Some(items) => items.iter().map(Value::to_text).collect(),
            None => vec![value.to_text()],
        })
    };
    let chars = || call.text(0, "chars");
    let strip = |side: fn(&str, &dyn Fn(char) -> bool) -> String| match chars() {
        Some(set) => side(text, &|c| set.contains(c)),
        None => side(text, &char::is_whitespace),
    };
    let all = |test: fn(char) -> bool| Value::Bool(!text.is_empty() && text.chars().all(test));
    let width = || {
        call.int(0, "width")
            .and_then(|width| usize::try_from(width).ok())
            .unwrap_or(0)
            .min(1_000_000)
    };
    let fill = || call.text(1, "fillchar").and_then(|fill| fill.chars().next()).unwrap_or(' ');
    let missing = |width: usize| width.saturating_sub(text.chars().count());
    let padding = |count: usize| fill().to_string().repeat(count);
    let at = |byte: Option<usize>| byte.map(|byte| text[..byte].chars().count());
    Ok(Some(match name {
        "upper" => Value::from(text.to_uppercase()),
        "lower" => Value::from(text.to_lowercase()),
        // Beyond lower case only the sharp s matters in practice.
        "casefold" => Value::from(text.to_lowercase().replace('ß', "ss")),
        "swapcase" => Value::from(
            text.chars()
                .flat_map(|c| -> Vec<char> {
                    if c.is_uppercase() {
                        c.to_lowercase().collect()
                    } else {
                        c.to_uppercase().collect()
                    }
                })
                .collect::<String>(),
        ),
        "capitalize" => Value::from(capitalize(text)),
        "title" => Value::from(title(text)),
        "strip" => Value::from(strip(|text, test| text.trim_matches(test).to_owned())),
        "lstrip" => Value::from(strip(|text, test| text.trim_start_matches(test).to_owned())),
        "rstrip" => Value::from(strip(|text, test| text.trim_end_matches(test).to_owned())),
        "startswith" => {
            let part = &text[within(text, call)];
            Value::Bool(words(0)?.iter().any(|word| part.starts_with(word.as_str())))
        }
        "endswith" => {
            let part = &text[within(text, call)];
            Value::Bool(words(0)?.iter().any(|word| part.ends_with(word.as_str())))
        }
        "replace" => {
            let (from, to) = (arg(call, 0, name)?.to_text(), arg(call, 1, name)?.to_text());
            match call.int(2, "count").and_then(|count| usize::try_from(count).ok()) {
                Some(count) => Value::from(text.replacen(&from, &to, count)),
                None => Value::from(text.replace(&from, &to)),
            }
        }
        "split" | "rsplit" => {
            let most = call.int(1, "maxsplit").and_then(|most| usize::try_from(most).ok());
            Value::strings(split(text, call.text(0, "sep").as_deref(), most, name == "rsplit")?)
        }
        "splitlines" => {
            let keep = call.flag(0, "keepends").unwrap_or(false);
            Value::strings(text.split_inclusive('\n').map(|line| {
                if keep { line } else { line.trim_end_matches('\n').trim_end_matches('\r') }
            }))
        }
        "join" => {
            let items = ops::iterate(arg(call, 0, name)?)?;
            let mut words = Vec::with_capacity(items.len());
            for item in &items {
                match item {
                    Value::Str(word) => words.push(word.to_string()),
                    other => {
                        return Err(Fault::new(format!(
                            "sequence item {}: expected str instance, {} found",
                            words.len(),
                            other.type_name()
                        )));
                    }
                }
            }
            Value::from(words.join(text))
        }
        "find" => at(text.find(&arg(call, 0, name)?.to_text())).map_or(Value::Int(-1), Value::from),
        "rfind" => {
            at(text.rfind(&arg(call, 0, name)?.to_text())).map_or(Value::Int(-1), Value::from)
        }
        "index" => at(text.find(&arg(call, 0, name)?.to_text()))
            .map(Value::from)
            .ok_or_else(|| Fault::new("substring not found"))?,
        "rindex" => at(text.rfind(&arg(call, 0, name)?.to_text()))
            .map(Value::from)
            .ok_or_else(|| Fault::new("substring not found"))?,
        "count" => {
            let wanted = arg(call, 0, name)?.to_text();
            Value::from(if wanted.is_empty() {
                text.chars().count() + 1
            } else {
                text.matches(&wanted).count()
            })
        }
        "format" => Value::from(printf::braces(text, call)?),
        "ljust" => Value::from(format!("{text}{}", padding(missing(width())))),
        "rjust" => Value::from(format!("{}{text}", padding(missing(width())))),
        "center" => {
            let missing = missing(width());
            let left = missing / 2 + (missing & width() & 1);
            Value::from(format!("{}{text}{}", padding(left), padding(missing - left)))
        }
        "zfill" => {
            let (sign, digits) = match text.strip_prefix(['-', '+']) {
                Some(rest) => (&text[..1], rest),
                None => ("", text),
            };
            Value::from(format!("{sign}{}{digits}", "0".repeat(missing(width()))))
        }
        "partition" | "rpartition" => {
            let separator = arg(call, 0, name)?.to_text();
            let found = if name == "partition" {
                text.split_once(&separator)
            } else {
                text.rsplit_once(&separator)
            };
            Value::tuple(match (found, name) {
                (Some((before, after)), _) => {
                    vec![before.into(), separator.as_str().into(), after.into()]
                }
                (None, "partition") => vec![text.into(), "".into(), "".into()],
                (None, _) => vec!["".into(), "".into(), text.into()],
            })
        }
        "removeprefix" => {
            Value::str(text.strip_prefix(&arg(call, 0, name)?.to_text()).unwrap_or(text))
        }
        "removesuffix" => {
            Value::str(text.strip_suffix(&arg(call, 0, name)?.to_text()).unwrap_or(text))
        }
        "expandtabs" => {
            let size =
                call.int(0, "tabsize").and_then(|size| usize::try_from(size).ok()).unwrap_or(8);
            let mut out = String::new();
            let mut column = 0;
            for c in text.chars() {
                match c {
                    '\t' if size > 0 => {
                        let step = size - column % size;
                        out.push_str(&" ".repeat(step));
                        column += step;
                    }
                    '\t' => {}
                    c => {
                        column = if c == '\n' { 0 } else { column + 1 };
                        out.push(c);
                    }
                }
            }
            Value::from(out)
        }
        "encode" => Value::str(text),
        "isdecimal" => all(|c| c.is_ascii_digit()),
        "isdigit" => all(|c| c.is_ascii_digit() || "²³¹⁰⁴⁵⁶⁷⁸⁹".contains(c)),
        "isnumeric" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(char::is_whitespace),
        "islower" => Value::Bool(
            text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase),
        ),
        "isupper" => Value::Bool(
            text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase),
        ),
        "istitle" => Value::Bool(!text.is_empty() && title(text) == text),
        _ => return Ok(None),
    }))
}

/// The bytes between the second and third arguments of a method that looks into text, which count
/// letters.
fn within(text: &str, call: &Call) -> std::ops::Range<usize> {
    let count = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let byte = |index: usize, default: i64| {
        let at = call.args.get(index).and_then(Value::as_int).unwrap_or(default);
        let at = if at < 0 { (at + count).max(0) } else { at.min(count) };
        text.char_indices().nth(at as usize).map_or(text.len(), |(byte, _)| byte)
    };
    let (start, end) = (byte(1, 0), byte(2, count));
    start..end.max(start)
}

/// Python's `str.split`.
pub(crate) fn split(
    text: &str,
    separator: Option<&str>,
    most: Option<usize>,
    from_right: bool,
) -> Result<Vec<String>, Fault> {
    let own = |parts: Vec<&str>| parts.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let Some(separator) = separator else {
        let mut parts = Vec::new();
        let mut rest = if from_right { text.trim_end() } else { text.trim_start() };
        while !rest.is_empty() {
            if most.is_some_and(|most| parts.len() >= most) {
                parts.push(if from_right { rest.trim_start() } else { rest.trim_end() });
                break;
            }
            if from_right {
                let at = rest
                    .rfind(char::is_whitespace)
                    .map_or(0, |at| at + rest[at..].chars().next().map_or(1, char::len_utf8));
                parts.push(&rest[at..]);
                rest = rest[..at].trim_end();
            } else {
                let at = rest.find(char::is_whitespace).unwrap_or(rest.len());
                parts.push(&rest[..at]);
                rest = rest[at..].trim_start();
            }
        }
        // What only the bound cut off may be nothing but space.
        parts.retain(|part| !part.is_empty());
        if from_right {
            parts.reverse();
        }
        return Ok(own(parts));
    };
    if separator.is_empty() {
        return Err(Fault::new("empty separator"));
    }
    Ok(match (most, from_right) {
        (None, _) => own(text.split(separator).collect()),
        (Some(most), false) => own(text.splitn(most + 1, separator).collect()),
        (Some(most), true) => {
            let mut parts: Vec<&str> = text.rsplitn(most + 1, separator).collect();
            parts.reverse();
            own(parts)
        }
    })
}

/// First letter large, the others small.
pub(crate) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().collect::<String>() + &chars.as_str().to_lowercase(),
        None => String::new(),
    }
}

/// Each word's first letter large; a word begins after whatever is not a letter.
pub(crate) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

/// The order of two values for sorting; text without regard to case if asked.
pub(crate) fn sort_order(
    a: &Value,
    b: &Value,
    with_case: bool,
) -> Result<std::cmp::Ordering, Fault> {
    if !with_case && let (Value::Str(a), Value::Str(b)) = (a, b) {
        return Ok(a.to_lowercase().cmp(&b.to_lowercase()));
    }
    compare(a, b).ok_or_else(|| {
        Fault::new(format!(
            "'<' not supported between instances of '{}' and '{}'",
            a.type_name(),
            b.type_name()
        ))
    })
}
