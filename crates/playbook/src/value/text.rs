//! What Python's `str()` and `repr()` show.

use super::{Lazy, Value};
use std::fmt::Write as _;

impl Value {
    /// Python's `str()`.
    pub fn to_text(&self) -> String {
        match self {
            Self::Str(text) => text.to_string(),
            Self::Undefined(_) | Self::Omit => String::new(),
            Self::Object(object) => object.text(),
            other => {
                let mut out = String::new();
                write_repr(&mut out, other);
                out
            }
        }
    }

    /// Python's `repr()`.
    pub(crate) fn repr(&self) -> String {
        let mut out = String::new();
        write_repr(&mut out, self);
        out
    }
}

fn write_repr(out: &mut String, value: &Value) {
    match value {
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::Omit => out.push_str("<<Omit>>"),
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(number) => push(out, format_args!("{number}")),
        Value::Float(number) => out.push_str(&float_text(*number)),
        Value::Str(text) => write_quoted(out, text),
        Value::List(items) => write_items(out, '[', items, ']'),
        Value::Tuple(items) => {
            if let [only] = items.as_slice() {
                out.push('(');
                write_repr(out, only);
                out.push_str(",)");
            } else {
                write_items(out, '(', items, ')');
            }
        }
        Value::Dict(entries) => write_entries(out, entries),
        Value::Object(object) => out.push_str(&object.repr()),
        Value::Lazy(lazy) => match &**lazy {
            Lazy::Text(template) => write_quoted(out, template.source()),
            Lazy::Vaulted(vaulted) => write_quoted(out, &vaulted.text),
            Lazy::List(items) => write_items(out, '[', items, ']'),
            Lazy::Dict(entries) => write_entries(out, entries),
        },
    }
}

fn write_items(out: &mut String, open: char, items: &[Value], close: char) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_repr(out, item);
    }
    out.push(close);
}

fn write_entries(out: &mut String, entries: &super::Dict) {
    out.push('{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_repr(out, &key.to_value());
        out.push_str(": ");
        write_repr(out, value);
    }
    out.push('}');
}

fn write_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                push(out, format_args!("\\x{:02x}", c as u32))
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

/// Python's text of a float: the shortest that reads back, with an exponent from 1e16 up and
/// below 1e-4.
pub(crate) fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').expect("`{:e}` writes an exponent");
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(rest) => ('-', rest),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = format!("{number}");
    if text.contains('.') { text } else { text + ".0" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_as_python_writes_them() {
        for (number, text) in [
            (1.0, "1.0"),
            (1.1, "1.1"),
            (1e16, "1e+16"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (-2.5, "-2.5"),
            (123456789012345.6, "123456789012345.6"),
        ] {
            assert_eq!(float_text(number), text);
        }
    }

    #[test]
    fn containers_read_as_python_writes_them() {
        let value = Value::list(vec![
            Value::Int(1),
            Value::str("it's"),
            Value::None,
            Value::Bool(true),
            Value::dict_of([("k", Value::Float(1.5))]),
            Value::tuple(vec![Value::Int(1)]),
        ]);
        assert_eq!(value.to_text(), r#"[1, "it's", None, True, {'k': 1.5}, (1,)]"#);
    }
}
