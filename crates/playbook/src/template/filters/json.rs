//! `from_json`: what Python's `json` says of a text that is none.

use crate::template::Fault;
use crate::value::Value;
use serde_json::error::Category;

/// The value that a JSON text is.
pub(super) fn parse(text: &str) -> Result<Value, Fault> {
    serde_json::from_str::<serde_json::Value>(text)
        .map(Value::from)
        .map_err(|error| Fault::new(words(text, &error)))
}

/// The words of Python 3.11, with the place, for what serde_json says of a text.
fn words(text: &str, error: &serde_json::Error) -> String {
    let said = error.to_string();
    let mut at = match error.classify() {
        Category::Eof => text.len(),
        _ => offset(text, error.line(), error.column()),
    };
    let before = text.get(..at).unwrap_or(text).trim_end();
    let what = match &said {
        _ if said.starts_with("trailing characters") => "Extra data",
        _ if said.starts_with("key must be a string") => PROPERTY,
        _ if said.starts_with("trailing comma") => match text[at..].starts_with('}') {
            true => PROPERTY,
            false => VALUE,
        },
        _ if said.starts_with("expected `:`") => "Expecting ':' delimiter",
        _ if said.starts_with("expected `,`") => DELIMITER,
        _ if said.starts_with("invalid escape") => "Invalid \\escape",
        _ if said.starts_with("control character") => "Invalid control character at",
        _ if said.starts_with("EOF while parsing a string") => {
            at = open_string(text);
            "Unterminated string starting at"
        }
        _ if said.starts_with("EOF while parsing an object") => match before.chars().last() {
            Some('{' | ',') => PROPERTY,
            _ if after_key(before) => "Expecting ':' delimiter",
            _ => DELIMITER,
        },
        _ if said.starts_with("EOF while parsing a list") => match before.chars().last() {
            Some('[' | ',') => VALUE,
            _ => DELIMITER,
        },
        _ => {
            // A word that is none is told where it begins.
            let letters = |c: char| c.is_ascii_alphanumeric();
            at = text.get(..at).unwrap_or(text).trim_end_matches(letters).len();
            VALUE
        }
    };
    let head = text.get(..at).unwrap_or(text);
    let line = head.matches('\n').count() + 1;
    let column = head.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{what}: line {line} column {column} (char {})", head.chars().count())
}

const VALUE: &str = "Expecting value";
const PROPERTY: &str = "Expecting property name enclosed in double quotes";
const DELIMITER: &str = "Expecting ',' delimiter";

/// The byte at a place that serde_json tells: lines from one, bytes of the line from one.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    let at = lines.map(str::len).sum::<usize>() + column.saturating_sub(1);
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Where the string begins that does not end.
fn open_string(text: &str) -> usize {
    let (mut open, mut escaped) = (None, false);
    for (at, c) in text.char_indices() {
        match (c, open) {
            _ if escaped => escaped = false,
            ('\\', Some(_)) => escaped = true,
            ('"', Some(_)) => open = None,
            ('"', None) => open = Some(at),
            _ => {}
        }
    }
    open.unwrap_or(text.len())
}

/// Is the last string of an object that ends too early a key?
fn after_key(before: &str) -> bool {
    let Some(rest) = before.strip_suffix('"') else { return false };
    let start = rest.rfind('"').map_or("", |at| &rest[..at]).trim_end();
    start.ends_with(['{', ','])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python 3.11.7.
    #[test]
    fn faults_are_told_in_the_words_of_python() {
        for (text, said) in [
            ("", "Expecting value: line 1 column 1 (char 0)"),
            ("abc", "Expecting value: line 1 column 1 (char 0)"),
            ("tru", "Expecting value: line 1 column 1 (char 0)"),
            ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
            (
                "{a: 1}",
                "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
            ),
            ("[1,]", "Expecting value: line 1 column 4 (char 3)"),
            (
                "{\"a\": 1,}",
                "Expecting property name enclosed in double quotes: line 1 column 9 (char 8)",
            ),
            ("{\"a\" 1}", "Expecting ':' delimiter: line 1 column 6 (char 5)"),
            ("{\"a\"", "Expecting ':' delimiter: line 1 column 5 (char 4)"),
            ("{\"a\": 1", "Expecting ',' delimiter: line 1 column 8 (char 7)"),
            ("[1 2]", "Expecting ',' delimiter: line 1 column 4 (char 3)"),
            ("[1", "Expecting ',' delimiter: line 1 column 3 (char 2)"),
            ("[", "Expecting value: line 1 column 2 (char 1)"),
            ("[1,\n ü]", "Expecting value: line 2 column 2 (char 5)"),
            ("[\"a, \\\"b]", "Unterminated string starting at: line 1 column 2 (char 1)"),
            ("1 2", "Extra data: line 1 column 3 (char 2)"),
        ] {
            assert_eq!(parse(text).unwrap_err().what, said, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_fall_over(text in r#"[\[\]{}:,"\\a1é \n]{0,12}"#) {
            drop(parse(&text));
        }
    }
}
