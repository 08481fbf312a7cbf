//! JSON as Python's modules write it, which may hold numbers that JSON has no room for.
//!
//! Never here: what a result means.

use serde_json::Value;
use std::borrow::Cow;

/// The value in `text`. A whole number of more than 64 bits, as that of a key, becomes the text of
/// its digits, and what is no number or without end the text that Python shows for it.
pub fn from_python(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(&quoted(text))
}

/// The text with quotes around numbers that would be refused or lose digits.
fn quoted(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let (mut out, mut kept, mut at) = (String::new(), 0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'-' | b'N' | b'I' | b'0'..=b'9' => {
                let more = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let end = at + bytes[at..].iter().take_while(|byte| more(byte)).count();
                if let Some(shown) = as_text(&text[at..end]) {
                    out.push_str(&text[kept..at]);
                    out.extend(["\"", shown, "\""]);
                    kept = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}

/// Where what follows a string begins.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// What stands for a word that is no number of JSON's, or for a whole one that is too long.
fn as_text(word: &str) -> Option<&str> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    match word {
        "NaN" => Some("nan"),
        "Infinity" => Some("inf"),
        "-Infinity" => Some("-inf"),
        _ if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => None,
        _ => word.parse::<i64>().is_err().then_some(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_without_room_are_texts() {
        let long = "9".repeat(1233);
        let text = format!(
            r#"{{"a": {long}, "b": [-{long}, 9223372036854775808], "c": NaN, "d": [Infinity, -Infinity]}}"#
        );
        let expected = json!({
            "a": long, "b": [format!("-{long}"), "9223372036854775808"],
            "c": "nan", "d": ["inf", "-inf"],
        });
        assert_eq!(from_python(&text).unwrap(), expected);
    }

    #[test]
    fn all_else_is_as_it_was() {
        for text in [
            r#"{"a": 1, "b": -9223372036854775808, "c": 1.5e300, "d": true, "e": null}"#,
            r#"{"99999999999999999999": "NaN 99999999999999999999 \" Infinity \\", "é": ["-"]}"#,
            "[]",
            r#""\\""#,
        ] {
            assert!(matches!(quoted(text), Cow::Borrowed(_)), "{text}");
            let plain: Value = serde_json::from_str(text).unwrap();
            assert_eq!(from_python(text).unwrap(), plain, "{text}");
        }
        for text in ["", "{", "\"", "\"\\", "-", "Nothing", "01", "--1", "{1: 2}"] {
            assert!(from_python(text).is_err(), "{text}");
        }
    }
}
