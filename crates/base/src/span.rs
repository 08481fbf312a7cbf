//! Spans of time as people write them: `30s`, `10m`, `1h30m`, `250ms`.

use std::time::Duration;

/// Why a text is not a span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Not numbers with units.
    #[error("`{0}` is not a duration such as 30s, 10m or 1h30m")]
    NotASpan(String),
    /// A number without its unit.
    #[error("`{0}` has no unit; write {0}s or {0}m")]
    NoUnit(String),
    /// The unit is none that is known.
    #[error("`{unit}` is not a unit of time; use ms, s, m, h or d")]
    Unit {
        /// The unit as given.
        unit: String,
    },
}

/// Reads a span of time.
///
/// # Errors
/// When the text is empty, has a number without a unit, an unknown unit, or does not fit.
pub fn parse(text: &str) -> Result<Duration, SpanError> {
    let fault = || SpanError::NotASpan(text.to_owned());
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(fault());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..end].parse().map_err(|_| fault())?;
        let after = &rest[end..];
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let millis = match &after[..unit_end] {
            "" if end == text.trim().len() => return Err(SpanError::NoUnit(text.to_owned())),
            "" => return Err(fault()),
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            unit => return Err(SpanError::Unit { unit: unit.to_owned() }),
        };
        let part = number.checked_mul(millis).map(Duration::from_millis).ok_or_else(fault)?;
        total = total.checked_add(part).ok_or_else(fault)?;
        rest = after[unit_end..].trim_start();
    }
    Ok(total)
}

/// Writes a span of time so that [`parse`] reads the same back, down to a millisecond.
pub fn render(span: Duration) -> String {
    let mut millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
    {
        if millis >= size {
            text.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "30", "s", "30 parsecs", "1h30", "-1s", "1.5h"] {
            assert!(parse(bad).is_err(), "`{bad}` was accepted");
        }
    }

    #[test]
    fn a_span_is_written_so_that_it_reads_back() {
        for millis in [0, 1, 999, 1_000, 61_001, 90_061_000] {
            let span = Duration::from_millis(millis);
            assert_eq!(parse(&render(span)), Ok(span));
        }
    }
}
