//! Sizes, times and labels as people write them, as the daemon takes them.

use super::beyond;
use crate::args::{repr, text_of};
use crate::outcome::{Fault, fail};
use serde_json::{Map, Value};

/// Labels, all of them texts.
pub(super) fn labels(labels: &Map<String, Value>) -> Result<Map<String, Value>, Fault> {
    labels
        .iter()
        .map(|(key, value)| match value {
            Value::Bool(_) => Err(odd_label(key, value)),
            Value::Number(number) if number.is_f64() => Err(odd_label(key, value)),
            _ => Ok((key.clone(), text_of(value).into())),
        })
        .collect()
}

fn odd_label(key: &str, value: &Value) -> Fault {
    let (key, value) = (repr(&key.into()), repr(value));
    fail!(
        "The value {value} for {key} of labels is not a string or something than can be safely converted to a string!"
    )
}

/// A mapping whose values Docker wants to be texts, and booleans in Go's words.
pub(super) fn worded(map: &Map<String, Value>) -> Map<String, Value> {
    let word = |value: &Value| match value {
        Value::Bool(flag) => flag.to_string(),
        other => text_of(other),
    };
    map.iter().map(|(key, value)| (key.clone(), word(value).into())).collect()
}

/// A number of bytes as people write it: `512m`, `2G`, `64KB`.
pub(super) fn bytes(text: &str) -> Result<i64, Fault> {
    let text = text.trim_end();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim_start());
    let odd = || beyond(format!("the size {text}"));
    let shift = match unit {
        "" | "b" | "B" => 0,
        "k" | "K" | "KB" => 10,
        "m" | "M" | "MB" => 20,
        "g" | "G" | "GB" => 30,
        "t" | "T" | "TB" => 40,
        "p" | "P" | "PB" => 50,
        _ => return Err(odd()),
    };
    if number.is_empty() || number.ends_with('.') || number.matches('.').count() > 1 {
        return Err(odd());
    }
    match number.parse::<i64>() {
        Ok(whole) => whole.checked_mul(1 << shift).ok_or_else(odd),
        Err(_) => {
            let parsed: f64 = number.parse().map_err(|_| odd())?;
            rounded(parsed * (1_i64 << shift) as f64).ok_or_else(odd)
        }
    }
}

/// The nearest whole number, as Python's `round` finds it.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
pub(super) fn rounded(number: f64) -> Option<i64> {
    let number = number.round_ties_even();
    (number.abs() < 9.0e15).then_some(number as i64)
}

/// A length of time as `1h30m`, in nanoseconds.
pub(super) fn nanoseconds(text: &str) -> Result<i64, Fault> {
    const UNITS: &[(&str, i64)] =
        &[("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];
    let bad = || fail!("Invalid time duration - {text}");
    let (mut rest, mut next, mut total) = (text, 0, 0_i64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: i64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let at = UNITS.iter().position(|(unit, _)| *unit == &rest[..end]).ok_or_else(bad)?;
        if at < next {
            return Err(bad());
        }
        next = at + 1;
        total = number
            .checked_mul(UNITS[at].1)
            .and_then(|more| total.checked_add(more))
            .ok_or_else(bad)?;
        rest = &rest[end..];
    }
    total.checked_mul(1_000).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_size_and_time_is_read_or_refused(text in "[0-9. ]{0,4}[hmsuKMGTPBb]{0,3}[0-9hmsu]{0,6}") {
            drop((bytes(&text), nanoseconds(&text)));
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, expected) in [
            ("0", 0),
            ("512m", 512 << 20),
            ("1.5G", 3 << 29),
            ("64KB", 64 << 10),
            ("2 T", 2 << 40),
            (".5k", 512),
            ("2.5", 2),
            ("1b", 1),
        ] {
            assert_eq!(bytes(text).unwrap(), expected, "{text}");
        }
        for text in ["", "m", "1.", "1Mb", "1kb", "1..5", "-1", "1x", "99999999P"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_read_as_go_writes_them() {
        for (text, expected) in [
            ("", 0),
            ("30s", 30_000_000_000),
            ("1h2m3s4ms5us", 3_723_004_005_000),
            ("1m", 60_000_000_000),
            ("500ms", 500_000_000),
        ] {
            assert_eq!(nanoseconds(text).unwrap(), expected, "{text}");
        }
        for text in ["30", "s", "1s1m", "1d", "1m1m", "1.5s"] {
            assert!(nanoseconds(text).is_err(), "{text}");
        }
    }
}
