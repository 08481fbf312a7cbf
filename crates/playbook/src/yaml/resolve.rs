//! What a plain scalar means in YAML 1.1.
//!
//! The rules are the patterns of PyYAML's resolver: `yes` is true, `0644` is 420, `1:30` is 90,
//! `1e3` is text because the exponent wants a sign and the mantissa a point.

use crate::value::{Moment, Value};

/// The value of a plain (unquoted, untagged) scalar.
pub(crate) fn resolve_plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::None,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    let begins_like_a_number =
        text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if begins_like_a_number
        && let Some(value) = int(text).or_else(|| float(text)).or_else(|| date(text))
    {
        return value;
    }
    Value::str(text)
}

fn digits(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(|c| c == '_' || allowed(c))
}

fn int(text: &str) -> Option<Value> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let plain = body.replace('_', "");
    let number = if let Some(bits) = body.strip_prefix("0b") {
        digits(bits, |c| matches!(c, '0' | '1'))
            .then(|| i64::from_str_radix(&plain[2..], 2).ok())??
    } else if let Some(hex) = body.strip_prefix("0x") {
        digits(hex, |c| c.is_ascii_hexdigit())
            .then(|| i64::from_str_radix(&plain[2..], 16).ok())??
    } else if body == "0" {
        0
    } else if let Some(octal) = body.strip_prefix('0') {
        digits(octal, |c| ('0'..='7').contains(&c))
            .then(|| i64::from_str_radix(&plain, 8).ok())??
    } else if body.contains(':') {
        return sexagesimal(body, false).map(|number| Value::Int(sign * number as i64));
    } else if body.starts_with(|c: char| c.is_ascii_digit()) && digits(body, |c| c.is_ascii_digit())
    {
        plain.parse().ok()?
    } else {
        return None;
    };
    Some(Value::Int(sign * number))
}

fn float(text: &str) -> Option<Value> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match body {
        ".inf" | ".Inf" | ".INF" => return Some(Value::Float(sign * f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if body.len() == text.len() => {
            return Some(Value::Float(f64::NAN));
        }
        _ => {}
    }
    if body.contains(':') {
        return sexagesimal(body, true).map(|number| Value::Float(sign * number));
    }
    let (whole, rest) = body.split_once('.')?;
    let (fraction, exponent) = match rest.split_once(['e', 'E']) {
        Some((fraction, exponent)) => (fraction, Some(exponent)),
        None => (rest, None),
    };
    if let Some(exponent) = exponent {
        let power = exponent.strip_prefix(['+', '-'])?;
        if power.is_empty() || !power.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
    }
    let is_digits = |text: &str| text.chars().all(|c| c == '_' || c.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || whole.starts_with('_') {
        return None;
    }
    if whole.is_empty()
        && (fraction.is_empty() || fraction.starts_with('_') || body.len() != text.len())
    {
        return None;
    }
    let mut plain = body.replace('_', "");
    if let Some(rest) = plain.strip_prefix('.') {
        plain = format!("0.{rest}");
    }
    plain.parse::<f64>().ok().map(|number| Value::Float(sign * number))
}

/// `1:30` and `1:30.5`: base 60.
fn sexagesimal(body: &str, fraction: bool) -> Option<f64> {
    let (body, part) = match (fraction, body.rsplit_once('.')) {
        (true, Some((body, part))) if part.chars().all(|c| c == '_' || c.is_ascii_digit()) => {
            (body, format!("0.{}", part.replace('_', "")).parse().unwrap_or(0.0))
        }
        (true, _) => return None,
        (false, Some(_)) => return None,
        (false, None) => (body, 0.0),
    };
    let mut groups = body.split(':');
    let first = groups.next()?;
    let begins = if fraction { '0'..='9' } else { '1'..='9' };
    if !first.starts_with(|c| begins.contains(&c)) || !digits(first, |c| c.is_ascii_digit()) {
        return None;
    }
    let mut total: f64 = first.replace('_', "").parse().ok()?;
    for group in groups {
        let fits = matches!(group.len(), 1 | 2)
            && group.bytes().all(|b| b.is_ascii_digit())
            && (group.len() == 1 || group.as_bytes()[0] < b'6');
        if !fits {
            return None;
        }
        total = total * 60.0 + group.parse::<f64>().ok()?;
    }
    Some(total + part)
}

fn date(text: &str) -> Option<Value> {
    let bytes = text.as_bytes();
    let looks = bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-';
    if !looks {
        return None;
    }
    Moment::parse_yaml(text).map(Moment::into_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_they_mean_to_pyyaml() {
        // Each pair was read with PyYAML 6.0 on 2026-11-21.
        let cases = [
            ("yes", Value::Bool(true)),
            ("Off", Value::Bool(false)),
            ("y", Value::str("y")),
            ("oN", Value::str("oN")),
            ("~", Value::None),
            ("", Value::None),
            ("nULL", Value::str("nULL")),
            ("0644", Value::Int(420)),
            ("0o644", Value::str("0o644")),
            ("08", Value::str("08")),
            ("0x1F", Value::Int(31)),
            ("0b101", Value::Int(5)),
            ("1_000", Value::Int(1000)),
            ("-12", Value::Int(-12)),
            ("+12", Value::Int(12)),
            ("1:30", Value::Int(90)),
            ("1:60", Value::str("1:60")),
            ("0:30", Value::str("0:30")),
            ("1:30:00", Value::Int(5400)),
            ("1:30.5", Value::Float(90.5)),
            ("1e3", Value::str("1e3")),
            ("1.0e3", Value::str("1.0e3")),
            ("1.0e+3", Value::Float(1000.0)),
            ("1.10", Value::Float(1.1)),
            ("1.", Value::Float(1.0)),
            (".5", Value::Float(0.5)),
            ("-.5", Value::str("-.5")),
            (".", Value::str(".")),
            ("-", Value::str("-")),
            ("1.2.3", Value::str("1.2.3")),
            (".inf", Value::Float(f64::INFINITY)),
            ("-.INF", Value::Float(f64::NEG_INFINITY)),
            ("12a", Value::str("12a")),
            ("2024-1-2", Value::str("2024-1-2")),
            ("10.77.0.1", Value::str("10.77.0.1")),
            ("0", Value::Int(0)),
            ("00", Value::Int(0)),
        ];
        for (text, value) in cases {
            assert_eq!(resolve_plain(text), value, "`{text}`");
        }
        assert_eq!(resolve_plain("2024-01-02").to_text(), "2024-01-02");
        assert_eq!(resolve_plain("2024-01-02").type_name(), "date");
        assert_eq!(resolve_plain("2024-01-02 03:04:05").type_name(), "datetime");
    }
}
