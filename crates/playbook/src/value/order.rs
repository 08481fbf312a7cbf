//! Equality and order, as Python has them.

use super::{Lazy, Value};
use std::cmp::Ordering;

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) | (Self::Omit, Self::Omit) => true,
            (Self::Undefined(_), Self::Undefined(_)) => true,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => a == b,
            (Self::Dict(a), Self::Dict(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => {
                std::sync::Arc::ptr_eq(a, b) || a.rank().is_some_and(|rank| Some(rank) == b.rank())
            }
            (Self::Lazy(a), Self::Lazy(b)) => match (&**a, &**b) {
                (Lazy::Text(a), Lazy::Text(b)) => a.source() == b.source(),
                (Lazy::Vaulted(a), Lazy::Vaulted(b)) => a.text == b.text,
                (Lazy::List(a), Lazy::List(b)) => a == b,
                (Lazy::Dict(a), Lazy::Dict(b)) => a == b,
                _ => false,
            },
            (Self::Int(a), Self::Int(b)) => a == b,
            (a, b) => match (a.as_float(), b.as_float()) {
                (Some(a), Some(b)) => a == b,
                _ => false,
            },
        }
    }
}

/// Python's `<`; `None` where Python raises a TypeError.
pub(crate) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            for (a, b) in a.iter().zip(b.iter()) {
                if a != b {
                    return compare(a, b);
                }
            }
            Some(a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => a.rank()?.compare(b.rank()?),
        (a, b) => a.as_float()?.partial_cmp(&b.as_float()?),
    }
}
