//! Functions of the language itself: `range`, `lookup`, `now`, …

use super::{Fault, Interp, lookups, ops, signatures, time};
use crate::value::{Call, Dict, Key, Moment, Object, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// Names that are a value rather than a call.
pub(crate) fn value(name: &str) -> Option<Value> {
    match name {
        "omit" => Some(Value::Omit),
        "true" | "True" => Some(Value::Bool(true)),
        "range" | "dict" | "namespace" | "lookup" | "query" | "q" | "now" | "undef" | "cycler"
        | "joiner" | "lipsum" => Some(Value::Object(Arc::new(Function(Arc::from(name))))),
        _ => None,
    }
}

/// Does the language itself bring something of this name?
pub(crate) fn is_of_the_language(name: &str) -> bool {
    value(name).is_some()
}

/// Calls a function of the language; `None` when there is none of that name.
pub(crate) fn call(cx: &mut Interp<'_>, name: &str, call: &Call) -> Option<Result<Value, Fault>> {
    Some(match name {
        "range" => range(call),
        "dict" => dict(call),
        "namespace" => dict(call).map(|value| {
            let entries = value.as_dict().cloned().unwrap_or_default();
            Value::Object(Arc::new(Namespace(Mutex::new(entries))))
        }),
        "lookup" | "query" | "q" => lookups::call(cx, name != "lookup", call),
        "now" => now(cx, call),
        "undef" => Ok(Value::undefined(
            call.text(0, "hint")
                .unwrap_or_else(|| "Mandatory variable has not been overridden".to_owned()),
        )),
        "cycler" => {
            Ok(Value::Object(Arc::new(Cycler { items: call.args.clone(), at: Mutex::new(0) })))
        }
        "joiner" => Ok(Value::Object(Arc::new(Joiner {
            separator: call.text(0, "sep").unwrap_or_else(|| ", ".to_owned()),
            used: Mutex::new(false),
        }))),
        "lipsum" => Err(Fault::new("`lipsum` is not supported")),
        _ => return None,
    })
}

/// A function that is passed around without being called.
struct Function(Arc<str>);

impl Object for Function {
    fn type_name(&self) -> &'static str {
        "function"
    }

    fn call(&self, cx: &mut Interp<'_>, arguments: &Call) -> Result<Value, Fault> {
        call(cx, &self.0, arguments)
            .unwrap_or_else(|| Err(Fault::new(format!("no function `{}`", self.0))))
    }
}

/// No range is longer, so that a slip does not eat all memory.
const RANGE: u64 = 10_000_000;

fn range(call: &Call) -> Result<Value, Fault> {
    let numbers: Option<Vec<i64>> = call.args.iter().map(Value::as_int).collect();
    let numbers = numbers.ok_or_else(|| Fault::new("range() takes whole numbers"))?;
    let (start, stop, step) = match numbers[..] {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        [start, stop, step] if step != 0 => (start, stop, step),
        _ => return Err(Fault::new("range() takes one to three numbers, the third of them not 0")),
    };
    let span = if step > 0 { stop.saturating_sub(start) } else { start.saturating_sub(stop) };
    let count = u64::try_from(span).unwrap_or(0).div_ceil(step.unsigned_abs());
    if count > RANGE {
        return Err(Fault::new(format!("a range of {count} numbers is too long")));
    }
    let items = (0..count as i64).map(|index| Value::Int(start + index * step)).collect();
    Ok(Value::List(Arc::new(items)))
}

fn dict(call: &Call) -> Result<Value, Fault> {
    let mut entries = Dict::new();
    if let Some(first) = call.args.first() {
        match first.as_dict() {
            Some(more) => {
                entries.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())))
            }
            None => {
                for pair in ops::iterate(first)? {
                    let pair = ops::iterate(&pair)?;
                    let [key, value] = pair.as_slice() else {
                        return Err(Fault::new("dict() takes pairs of a key and a value"));
                    };
                    let key = Key::of(key)
                        .ok_or_else(|| Fault::new("a key cannot be a list or a dict"))?;
                    entries.insert(key, value.clone());
                }
            }
        }
    }
    for (name, value) in &call.named {
        entries.insert(Key::Str(Arc::clone(name)), value.clone());
    }
    Ok(Value::dict(entries))
}

fn now(cx: &Interp<'_>, call: &Call) -> Result<Value, Fault> {
    signatures::check_now(call)?;
    let utc = call.flag(0, "utc").unwrap_or(false);
    let at = time::civil(cx.cx.world.clock.now(), utc);
    match call.text(1, "fmt") {
        Some(format) => time::strftime(&format, at, None).map(Value::from),
        None => Ok(Moment::DateTime(at).into_value()),
    }
}

/// `namespace(…)`: attributes that `{% set ns.x = … %}` changes from any depth.
struct Namespace(Mutex<Dict>);

impl Object for Namespace {
    fn type_name(&self) -> &'static str {
        "Namespace"
    }

    fn attr(&self, _cx: &mut Interp<'_>, name: &Value) -> Result<Option<Value>, Fault> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Key::of(name).and_then(|key| entries.get(&key).cloned()))
    }

    fn set_attr(&self, name: &str, value: Value) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(Key::str(name), value);
        true
    }

    fn method(&self, cx: &mut Interp<'_>, name: &str, call: &Call) -> Result<Option<Value>, Fault> {
        // `ns.list.append(x)` arrives through the list; here only functions kept as attributes.
        match self.attr(cx, &Value::str(name))? {
            Some(value) => cx.call_value(&value, call).map(Some),
            None => Ok(None),
        }
    }

    fn as_dict(&self) -> Option<Dict> {
        Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

struct Cycler {
    items: Vec<Value>,
    at: Mutex<usize>,
}

impl Cycler {
    fn current(&self) -> Value {
        let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        self.items.get(at).cloned().unwrap_or_default()
    }
}

impl Object for Cycler {
    fn type_name(&self) -> &'static str {
        "Cycler"
    }

    fn attr(&self, _cx: &mut Interp<'_>, name: &Value) -> Result<Option<Value>, Fault> {
        Ok((name.as_str() == Some("current")).then(|| self.current()))
    }

    fn method(
        &self,
        _cx: &mut Interp<'_>,
        name: &str,
        _call: &Call,
    ) -> Result<Option<Value>, Fault> {
        let value = self.current();
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        match name {
            "next" => {
                *at = (*at + 1) % self.items.len().max(1);
                Ok(Some(value))
            }
            "reset" => {
                *at = 0;
                Ok(Some(Value::None))
            }
            _ => Ok(None),
        }
    }
}

struct Joiner {
    separator: String,
    used: Mutex<bool>,
}

impl Object for Joiner {
    fn type_name(&self) -> &'static str {
        "Joiner"
    }

    fn call(&self, _cx: &mut Interp<'_>, _call: &Call) -> Result<Value, Fault> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let first = !std::mem::replace(&mut *used, true);
        Ok(Value::str(if first { "" } else { &self.separator }))
    }
}
