//! Values from and to JSON.

use super::{Key, Lazy, Value};
use serde_json::{Map, Number};
use std::fmt::Write as _;

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::None,
            serde_json::Value::Bool(truth) => Self::Bool(truth),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(number) => Self::Int(number),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Self::from(text),
            serde_json::Value::Array(items) => {
                Self::List(std::sync::Arc::new(items.into_iter().map(Self::from).collect()))
            }
            serde_json::Value::Object(entries) => Self::from(entries),
        }
    }
}

impl From<Map<String, serde_json::Value>> for Value {
    fn from(entries: Map<String, serde_json::Value>) -> Self {
        Self::Dict(std::sync::Arc::new(
            entries
                .into_iter()
                .map(|(key, value)| (Key::Str(key.into()), Self::from(value)))
                .collect(),
        ))
    }
}

/// Whether an object of JSON is one of the marks that Ansible writes for values that JSON lacks.
pub(crate) enum Marked {
    /// It is an object.
    Not,
    /// It stands for this.
    As(Value),
    /// It is one of the marks with something in it that cannot be.
    Wrongly(String),
}

impl Value {
    /// What `{"__ansible_unsafe": …}` and `{"__ansible_vault": …}` stand for.
    pub(crate) fn marked(
        entries: &Map<String, serde_json::Value>,
        at: Option<&crate::yaml::Origin>,
    ) -> Marked {
        let told = ["__ansible_unsafe", "__ansible_vault"]
            .iter()
            .find_map(|mark| Some((*mark, entries.get(*mark)?)));
        match told {
            None => Marked::Not,
            Some(("__ansible_unsafe", serde_json::Value::String(text))) => {
                Marked::As(Self::str(text))
            }
            Some((_, serde_json::Value::String(text))) => {
                Marked::As(Self::vaulted(text, at.cloned()))
            }
            Some((mark, other)) => {
                let kind = Self::from(other.clone()).type_name();
                Marked::Wrongly(format!("{mark} is <class '{kind}'> not <class 'str'>"))
            }
        }
    }

    /// The value as JSON; what JSON does not know becomes its text.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Undefined(_) | Self::None | Self::Omit => serde_json::Value::Null,
            Self::Bool(truth) => (*truth).into(),
            Self::Int(number) => (*number).into(),
            Self::Float(number) => Number::from_f64(*number)
                .map_or_else(|| super::float_text(*number).into(), Into::into),
            Self::Str(text) => text.to_string().into(),
            Self::List(items) | Self::Tuple(items) => items.iter().map(Self::to_json).collect(),
            Self::Dict(entries) => json_entries(entries),
            Self::Object(object) => match (object.as_dict(), object.items()) {
                (Some(entries), _) => json_entries(&entries),
                (None, Some(items)) => items.iter().map(Self::to_json).collect(),
                (None, None) => object.json_text().into(),
            },
            Self::Lazy(lazy) => match &**lazy {
                Lazy::Text(template) => template.source().to_owned().into(),
                // What Ansible writes for it into JSON, and reads back.
                Lazy::Vaulted(vaulted) => serde_json::json!({"__ansible_vault": vaulted.text}),
                Lazy::List(items) => items.iter().map(Self::to_json).collect(),
                Lazy::Dict(entries) => json_entries(entries),
            },
        }
    }
}

fn json_entries(entries: &super::Dict) -> serde_json::Value {
    let entries: Map<_, _> =
        entries.iter().map(|(key, value)| (key.to_json_key(), value.to_json())).collect();
    serde_json::Value::Object(entries)
}

/// How Python's `json.dumps` lays text out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Indent {
    /// Spaces per level; `None` puts everything on one line.
    pub(crate) width: Option<usize>,
    /// Keys in alphabetical order.
    pub(crate) sorted: bool,
    /// Characters beyond ASCII as `\u` escapes.
    pub(crate) ascii: bool,
}

/// Text as Python's `json.dumps` writes it.
pub(crate) fn python_json(value: &serde_json::Value, indent: Indent) -> String {
    let between = (if indent.width.is_some() { "," } else { ", " }, ": ");
    python_json_with(value, indent, between)
}

/// As [`python_json`], with other marks between items and between a key and its value.
pub(crate) fn python_json_with(
    value: &serde_json::Value,
    indent: Indent,
    between: (&str, &str),
) -> String {
    let mut out = String::new();
    write_json(&mut out, value, &Layout { indent, between }, 0);
    out
}

struct Layout<'l> {
    indent: Indent,
    between: (&'l str, &'l str),
}

fn write_json(out: &mut String, value: &serde_json::Value, layout: &Layout<'_>, depth: usize) {
    let indent = layout.indent;
    match value {
        serde_json::Value::Array(items) => {
            write_group(out, layout, depth, ('[', ']'), items, |out, item| {
                write_json(out, item, layout, depth + 1);
            });
        }
        serde_json::Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            if indent.sorted {
                entries.sort_by_key(|(key, _)| key.as_str());
            }
            write_group(out, layout, depth, ('{', '}'), &entries, |out, (key, value)| {
                out.push_str(&json_string(key, indent.ascii));
                out.push_str(layout.between.1);
                write_json(out, value, layout, depth + 1);
            });
        }
        serde_json::Value::String(text) => out.push_str(&json_string(text, indent.ascii)),
        serde_json::Value::Number(number) if number.is_f64() => {
            out.push_str(&super::float_text(number.as_f64().unwrap_or(f64::NAN)));
        }
        other => out.push_str(&other.to_string()),
    }
}

fn write_group<T>(
    out: &mut String,
    layout: &Layout<'_>,
    depth: usize,
    (open, close): (char, char),
    items: &[T],
    mut write: impl FnMut(&mut String, &T),
) {
    out.push(open);
    let newline = |out: &mut String, depth: usize| {
        if let Some(width) = layout.indent.width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * depth));
        }
    };
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(layout.between.0);
        }
        newline(out, depth + 1);
        write(out, item);
    }
    if !items.is_empty() {
        newline(out, depth);
    }
    out.push(close);
}

/// Text in JSON's quotes.
pub(crate) fn json_string(text: &str, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || (ascii && !c.is_ascii()) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("a String takes everything");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_as_python_lays_it_out() {
        let json = serde_json::json!({"b": [1, 2.0, "é"], "a": {}, "c": []});
        let flat = Indent { width: None, sorted: false, ascii: true };
        assert_eq!(python_json(&json, flat), r#"{"b": [1, 2.0, "\u00e9"], "a": {}, "c": []}"#);
        let nice = Indent { width: Some(4), sorted: true, ascii: false };
        assert_eq!(
            python_json(&json, nice),
            "{\n    \"a\": {},\n    \"b\": [\n        1,\n        2.0,\n        \"é\"\n    ],\n    \"c\": []\n}"
        );
    }
}
