//! Python's operators.

use super::ast::{Binary, Compare};
use super::{Fault, printf};
use crate::value::{Key, Lazy, Value, compare as order};
use std::cmp::Ordering;

/// The most elements or bytes that `*` may make, so that a slip does not eat all memory.
const REPEAT: usize = 50_000_000;

/// A Python index, negative from the end.
pub(crate) fn index(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let index = if index < 0 { index + length } else { index };
    usize::try_from(index).ok().filter(|index| *index < length as usize)
}

/// The elements one walks over: of a list, the keys of a dict, the characters of text.
pub(crate) fn iterate(value: &Value) -> Result<Vec<Value>, Fault> {
    match value {
        Value::Undefined(missing) => Err(Fault::undefined(missing)),
        Value::Str(text) => Ok(text.chars().map(|c| Value::from(c.to_string())).collect()),
        Value::Object(object) => {
            if let Some(items) = object.items() {
                Ok(items)
            } else {
                Err(Fault::new(format!("'{}' object is not iterable", object.type_name())))
            }
        }
        other => match (other.as_list(), other.as_dict()) {
            (Some(items), _) => Ok(items.to_vec()),
            (None, Some(entries)) => Ok(entries.keys().map(Key::to_value).collect()),
            (None, None) => {
                Err(Fault::new(format!("'{}' object is not iterable", other.type_name())))
            }
        },
    }
}

/// How many elements; `None` for what has no length.
pub(crate) fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Str(text) => Some(text.chars().count()),
        Value::List(items) | Value::Tuple(items) => Some(items.len()),
        Value::Dict(entries) => Some(entries.len()),
        Value::Object(object) => object.items().map(|items| items.len()),
        Value::Lazy(lazy) => match &**lazy {
            Lazy::List(items) => Some(items.len()),
            Lazy::Dict(entries) => Some(entries.len()),
            Lazy::Text(_) | Lazy::Vaulted(_) => None,
        },
        _ => None,
    }
}

/// `value[start:stop:step]`.
pub(crate) fn slice(value: &Value, bounds: [Option<i64>; 3]) -> Result<Value, Fault> {
    let step = bounds[2].unwrap_or(1);
    if step == 0 {
        return Err(Fault::new("slice step cannot be zero"));
    }
    let pick = |length: usize| -> Vec<usize> {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let clamp = |bound: i64, low: i64, high: i64| {
            let bound = if bound < 0 { bound.saturating_add(length) } else { bound };
            bound.clamp(low, high)
        };
        let mut picked = Vec::new();
        if step > 0 {
            let stop = bounds[1].map_or(length, |bound| clamp(bound, 0, length));
            let mut at = bounds[0].map_or(0, |bound| clamp(bound, 0, length));
            while at < stop {
                picked.push(at as usize);
                at = at.saturating_add(step);
            }
        } else {
            let stop = bounds[1].map_or(-1, |bound| clamp(bound, -1, length - 1));
            let mut at = bounds[0].map_or(length - 1, |bound| clamp(bound, -1, length - 1));
            while at > stop {
                picked.push(at as usize);
                at = at.saturating_add(step);
            }
        }
        picked
    };
    match value {
        Value::Str(text) => {
            let chars: Vec<char> = text.chars().collect();
            Ok(Value::from(pick(chars.len()).into_iter().map(|at| chars[at]).collect::<String>()))
        }
        Value::List(items) => {
            Ok(Value::list(pick(items.len()).into_iter().map(|at| items[at].clone()).collect()))
        }
        Value::Tuple(items) => {
            Ok(Value::tuple(pick(items.len()).into_iter().map(|at| items[at].clone()).collect()))
        }
        other => match iterate(other) {
            Ok(items) if matches!(other, Value::Object(_)) => {
                Ok(Value::list(pick(items.len()).into_iter().map(|at| items[at].clone()).collect()))
            }
            _ => Err(Fault::new(format!("'{}' object is not subscriptable", other.type_name()))),
        },
    }
}

fn mismatch(sign: &str, left: &Value, right: &Value) -> Fault {
    Fault::new(format!(
        "unsupported operand type(s) for {sign}: '{}' and '{}'",
        left.type_name(),
        right.type_name()
    ))
}

/// The arithmetic operators; `~` is not among them.
pub(crate) fn binary(operator: Binary, left: &Value, right: &Value) -> Result<Value, Fault> {
    let sign = match operator {
        Binary::Add => "+",
        Binary::Sub => "-",
        Binary::Mul => "*",
        Binary::Div => "/",
        Binary::FloorDiv => "//",
        Binary::Mod => "%",
        Binary::Pow => "** or pow()",
        Binary::Concat => "~",
    };
    if let Some(value) = containers(operator, left, right)? {
        return Ok(value);
    }
    if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
        return ints(operator, a, b);
    }
    match (left.as_float(), right.as_float()) {
        (Some(a), Some(b)) => floats(operator, a, b),
        _ => Err(mismatch(sign, left, right)),
    }
}

fn containers(operator: Binary, left: &Value, right: &Value) -> Result<Option<Value>, Fault> {
    let value = match (operator, left, right) {
        (Binary::Add, Value::Str(a), Value::Str(b)) => Value::from(format!("{a}{b}")),
        (Binary::Add, Value::Str(_), other) => {
            return Err(Fault::new(format!(
                "can only concatenate str (not \"{}\") to str",
                other.type_name()
            )));
        }
        (Binary::Add, Value::List(a), Value::List(b)) => Value::list([a.as_slice(), b].concat()),
        (Binary::Add, Value::Tuple(a), Value::Tuple(b)) => Value::tuple([a.as_slice(), b].concat()),
        (Binary::Add, Value::List(_), other) => {
            return Err(Fault::new(format!(
                "can only concatenate list (not \"{}\") to list",
                other.type_name()
            )));
        }
        (Binary::Mul, Value::Str(text), count) | (Binary::Mul, count, Value::Str(text)) => {
            let Some(count) = count.as_int() else { return Err(mismatch("*", left, right)) };
            let count = usize::try_from(count).unwrap_or(0);
            if text.len().saturating_mul(count) > REPEAT {
                return Err(Fault::new("the repeated text would be too large"));
            }
            Value::from(text.repeat(count))
        }
        (Binary::Mul, Value::List(items), count) | (Binary::Mul, count, Value::List(items)) => {
            let Some(count) = count.as_int() else { return Err(mismatch("*", left, right)) };
            let count = usize::try_from(count).unwrap_or(0);
            if items.len().saturating_mul(count) > REPEAT {
                return Err(Fault::new("the repeated list would be too large"));
            }
            Value::list((0..count).flat_map(|_| items.iter().cloned()).collect())
        }
        (Binary::Mod, Value::Str(format), args) => Value::from(printf::percent(format, args)?),
        (Binary::Add, Value::Object(object), other) => match object.arithmetic('+', other) {
            Some(value) => value,
            None => return Ok(None),
        },
        (Binary::Sub, Value::Object(object), other) => match object.arithmetic('-', other) {
            Some(value) => value,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn ints(operator: Binary, a: i64, b: i64) -> Result<Value, Fault> {
    let overflow = || Fault::new("the number is too large");
    let number = match operator {
        Binary::Add => a.checked_add(b),
        Binary::Sub => a.checked_sub(b),
        Binary::Mul => a.checked_mul(b),
        Binary::Div => return floats(operator, a as f64, b as f64),
        Binary::FloorDiv if b == 0 => {
            return Err(Fault::new("integer division or modulo by zero"));
        }
        Binary::Mod if b == 0 => return Err(Fault::new("integer modulo by zero")),
        Binary::FloorDiv => {
            let (quotient, rest) =
                (a.checked_div(b).ok_or_else(overflow)?, a.checked_rem(b).unwrap_or(0));
            Some(if rest != 0 && (rest < 0) != (b < 0) { quotient - 1 } else { quotient })
        }
        Binary::Mod => {
            let rest = a.checked_rem(b).unwrap_or(0);
            Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
        }
        Binary::Pow => match u32::try_from(b) {
            Ok(power) => a.checked_pow(power),
            Err(_) => return floats(operator, a as f64, b as f64),
        },
        Binary::Concat => None,
    };
    number.map(Value::Int).ok_or_else(overflow)
}

fn floats(operator: Binary, a: f64, b: f64) -> Result<Value, Fault> {
    let zero = matches!(operator, Binary::Div | Binary::FloorDiv | Binary::Mod) && b == 0.0;
    if zero {
        return Err(Fault::new("division by zero"));
    }
    Ok(Value::Float(match operator {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::FloorDiv => (a / b).floor(),
        Binary::Mod => a - b * (a / b).floor(),
        Binary::Pow => a.powf(b),
        Binary::Concat => return Err(Fault::new("not a number")),
    }))
}

/// One comparison.
pub(crate) fn compare(operator: Compare, left: &Value, right: &Value) -> Result<bool, Fault> {
    let ordered = |sign: &str| {
        order(left, right).ok_or_else(|| {
            Fault::new(format!(
                "'{sign}' not supported between instances of '{}' and '{}'",
                left.type_name(),
                right.type_name()
            ))
        })
    };
    Ok(match operator {
        Compare::Eq => left == right,
        Compare::Ne => left != right,
        Compare::Lt => ordered("<")? == Ordering::Less,
        Compare::Le => ordered("<=")? != Ordering::Greater,
        Compare::Gt => ordered(">")? == Ordering::Greater,
        Compare::Ge => ordered(">=")? != Ordering::Less,
        Compare::In => contains(right, left)?,
        Compare::NotIn => !contains(right, left)?,
    })
}

/// `needle in hay`.
pub(crate) fn contains(hay: &Value, needle: &Value) -> Result<bool, Fault> {
    match (hay, needle) {
        (Value::Str(hay), Value::Str(needle)) => Ok(hay.contains(&**needle)),
        (Value::Str(_), other) => Err(Fault::new(format!(
            "'in <string>' requires string as left operand, not {}",
            other.type_name()
        ))),
        (hay, needle) => match (hay.as_dict(), hay) {
            (Some(entries), _) => Ok(Key::of(needle).is_some_and(|key| entries.contains_key(&key))),
            (None, Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_)) => {
                Err(Fault::new(format!("argument of type '{}' is not iterable", hay.type_name())))
            }
            _ => Ok(iterate(hay)?.contains(needle)),
        },
    }
}
