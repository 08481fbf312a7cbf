//! Values as they go to Python and come back: JSON, and marks for what JSON lacks.
//!
//! A mark is an object with an empty key: `{"": "t", "v": [1, 2]}` is a tuple. A dict with other
//! keys than texts is marked too.

use crate::template::{Fault, Interp};
use crate::value::{Dict, Key, Lazy, Moment, Value, parse_float};
use serde_json::{Map, Value as Json, json};

fn mark(kind: &str, value: Json) -> Json {
    json!({ "": kind, "v": value })
}

/// A value as Python gets it, rendered.
///
/// # Errors
/// When rendering fails, or something in it is undefined.
pub(super) fn encode(cx: &mut Interp<'_>, value: &Value) -> Result<Json, Fault> {
    let value = cx.deep(value)?;
    finished(cx, &value)
}

fn finished(cx: &mut Interp<'_>, value: &Value) -> Result<Json, Fault> {
    Ok(match value {
        Value::Undefined(missing) => return Err(Fault::undefined(missing)),
        Value::List(items) => all(cx, items, finished)?,
        Value::Tuple(items) => mark("t", all(cx, items, finished)?),
        Value::Dict(entries) => pairs(cx, entries, finished)?,
        Value::Float(number) if !number.is_finite() => mark("f", Json::from(value.to_text())),
        Value::Object(object) => match object.type_name() {
            kind @ ("date" | "time" | "datetime") => mark(kind, Json::from(object.json_text())),
            _ => match object.finished(cx)? {
                Some(plain) => return finished(cx, &plain),
                None => value.to_json(),
            },
        },
        Value::Lazy(_) => return encode(cx, value),
        plain => plain.to_json(),
    })
}

/// A variable as it is written, found under these names: templates stay, and hosts are asked for
/// when they are looked at.
///
/// # Errors
/// When something encrypted in it cannot be decrypted.
pub(super) fn written(cx: &mut Interp<'_>, value: &Value, path: &[&str]) -> Result<Json, Fault> {
    Ok(match value {
        Value::Object(object) if object.as_dict().is_some() => mark("l", json!(path)),
        Value::Lazy(lazy) => match &**lazy {
            Lazy::Text(template) => mark("T", Json::from(template.source())),
            Lazy::Vaulted(_) => encode(cx, value)?,
            Lazy::List(items) => all(cx, items, |cx, item| written(cx, item, path))?,
            Lazy::Dict(entries) => pairs(cx, entries, |cx, item| written(cx, item, path))?,
        },
        finished => encode(cx, finished)?,
    })
}

fn all(
    cx: &mut Interp<'_>,
    items: &[Value],
    each: impl Fn(&mut Interp<'_>, &Value) -> Result<Json, Fault>,
) -> Result<Json, Fault> {
    items.iter().map(|item| each(cx, item)).collect()
}

fn pairs(
    cx: &mut Interp<'_>,
    entries: &Dict,
    each: impl Fn(&mut Interp<'_>, &Value) -> Result<Json, Fault>,
) -> Result<Json, Fault> {
    if entries.keys().all(|key| key.as_str().is_some_and(|key| !key.is_empty())) {
        let mut object = Map::new();
        for (key, value) in entries {
            object.insert(key.to_json_key(), each(cx, value)?);
        }
        return Ok(Json::Object(object));
    }
    let pairs =
        entries.iter().map(|(key, value)| Ok(json!([key.to_value().to_json(), each(cx, value)?])));
    Ok(mark("d", pairs.collect::<Result<_, Fault>>()?))
}

/// A value that Python gave. Text that it trusts is a template where `trusted` says so.
///
/// # Errors
/// With a sentence, when it is nothing that can be kept here.
pub(super) fn decode(json: Json, trusted: bool) -> Result<Value, String> {
    let again = |json: Json| decode(json, trusted);
    match json {
        Json::Array(items) => {
            Ok(Value::list(items.into_iter().map(again).collect::<Result<_, _>>()?))
        }
        Json::Object(mut object) => match object.remove("") {
            Some(Json::String(kind)) => {
                marked(&kind, object.remove("v").unwrap_or_default(), trusted)
            }
            _ => {
                let entries = object.into_iter();
                let entries = entries.map(|(key, value)| Ok((Key::Str(key.into()), again(value)?)));
                Ok(Value::dict(entries.collect::<Result<Dict, String>>()?))
            }
        },
        plain => Ok(Value::from(plain)),
    }
}

fn marked(kind: &str, inner: Json, trusted: bool) -> Result<Value, String> {
    let text = inner.as_str().unwrap_or_default();
    let odd = || format!("what is marked with `{kind}` is not understood");
    Ok(match kind {
        "T" if trusted => Value::trusted(text, None),
        "T" | "b" => Value::str(text),
        "f" => Value::Float(parse_float(text).ok_or_else(odd)?),
        "i" => return Err(format!("whole numbers beyond 64 bits are not supported: {text}")),
        "u" => Value::undefined(text),
        "date" | "time" | "datetime" => Moment::parse_iso(kind, text).ok_or_else(odd)?.into_value(),
        "t" => match decode(inner, trusted)? {
            Value::List(items) => Value::Tuple(items),
            other => other,
        },
        "d" => {
            let Json::Array(pairs) = inner else { return Err(odd()) };
            let mut entries = Dict::new();
            for pair in pairs {
                let Json::Array(pair) = pair else { return Err(odd()) };
                let [key, value] = <[Json; 2]>::try_from(pair).map_err(|_| odd())?;
                let key = decode(key, trusted)?;
                let name = Key::of(&key)
                    .ok_or_else(|| format!("a {} cannot be the key of a dict", key.type_name()))?;
                entries.insert(name, decode(value, trusted)?);
            }
            Value::dict(entries)
        }
        _ => return Err(odd()),
    })
}
