//! A YAML document as a tree in which every key and every value knows its place.
//!
//! Never here: reading YAML ([`crate::yaml`]), what the keys mean.

use crate::text::Span;
use serde_json::{Map, Number, Value};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Span,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map with its value. Keys of one map are all different.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Node,
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) at: Span,
    pub(crate) text: String,
}

/// A scalar as the core schema of YAML 1.2 reads it, with its text as written.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) value: ScalarValue,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ScalarValue {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
}

impl Node {
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.value == ScalarValue::Null)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) if scalar.value == ScalarValue::Text => Some(&scalar.text),
            _ => None,
        }
    }

    pub(crate) fn int(&self) -> Option<i128> {
        match &self.kind {
            Kind::Scalar(Scalar { value: ScalarValue::Int(number), .. }) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        match &self.kind {
            Kind::Scalar(Scalar { value: ScalarValue::Bool(flag), .. }) => Some(*flag),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key.text == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// What it is, for a sentence: `found a list`.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Scalar(scalar) => match scalar.value {
                ScalarValue::Null => "nothing",
                ScalarValue::Bool(_) => "true or false",
                ScalarValue::Int(_) => "a whole number",
                ScalarValue::Float(_) => "a number with a fraction",
                ScalarValue::Text => "text",
            },
        }
    }

    /// The same as JSON. Numbers that JSON cannot hold become null; reading refuses them before.
    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Map(_) => Value::Object(self.to_json_map()),
            Kind::Scalar(scalar) => match scalar.value {
                ScalarValue::Null => Value::Null,
                ScalarValue::Bool(value) => Value::Bool(value),
                ScalarValue::Int(number) => {
                    Number::from_i128(number).map_or(Value::Null, Value::Number)
                }
                ScalarValue::Float(number) => {
                    Number::from_f64(number).map_or(Value::Null, Value::Number)
                }
                ScalarValue::Text => Value::String(scalar.text.clone()),
            },
        }
    }

    /// The entries of a map as JSON; empty for anything else.
    pub(crate) fn to_json_map(&self) -> Map<String, Value> {
        let pair = |entry: &Entry| (entry.key.text.clone(), entry.value.to_json());
        self.entries().iter().map(pair).collect()
    }
}
