//! Points and spans of time: YAML dates, `now()`, `to_datetime`.

use super::{Call, Object, Value};
use crate::template::{Fault, Interp};
use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};
use std::sync::Arc;

/// A date, a date with a time, or the span between two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Moment {
    Date(Date),
    DateTime(DateTime),
    Delta(SignedDuration),
}

impl Moment {
    pub(crate) fn into_value(self) -> Value {
        Value::Object(Arc::new(self))
    }

    /// A YAML 1.1 timestamp; with an offset it is kept in UTC, as PyYAML's naive result would
    /// read after conversion.
    pub(crate) fn parse_yaml(text: &str) -> Option<Self> {
        if text.len() == 10 {
            return text.parse().ok().map(Self::Date);
        }
        let (day, rest) = text.split_at_checked(text.find(['T', 't', ' ', '\t'])?)?;
        let time = rest.trim_start_matches(['T', 't', ' ', '\t']);
        let mut parts = day.splitn(3, '-');
        let day = format!("{}-{:0>2}-{:0>2}", parts.next()?, parts.next()?, parts.next()?);
        let end =
            time.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(time.len());
        let (clock, zone) = time.split_at(end);
        let clock = if clock.find(':') == Some(1) { format!("0{clock}") } else { clock.to_owned() };
        let at: DateTime = format!("{day}T{}", clock.trim_end_matches('.')).parse().ok()?;
        let zone = zone.trim();
        if zone.is_empty() || zone == "Z" {
            return Some(Self::DateTime(at));
        }
        let (sign, zone) = match zone.as_bytes()[0] {
            b'+' => (1, &zone[1..]),
            b'-' => (-1, &zone[1..]),
            _ => return None,
        };
        let (hours, minutes) = zone.split_once(':').unwrap_or((zone, "0"));
        let offset = sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?);
        at.checked_sub(SignedDuration::from_mins(offset)).ok().map(Self::DateTime)
    }

    fn datetime(self) -> Option<DateTime> {
        match self {
            Self::Date(date) => Some(date.to_datetime(jiff::civil::Time::midnight())),
            Self::DateTime(at) => Some(at),
            Self::Delta(_) => None,
        }
    }

    fn micros(self) -> i32 {
        self.datetime().map_or(0, |at| at.subsec_nanosecond() / 1000)
    }
}

impl Object for Moment {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Date(_) => "date",
            Self::DateTime(_) => "datetime",
            Self::Delta(_) => "timedelta",
        }
    }

    fn attr(&self, _cx: &mut Interp<'_>, name: &Value) -> Result<Option<Value>, Fault> {
        let Some(name) = name.as_str() else { return Ok(None) };
        if let Self::Delta(span) = self {
            let seconds = span.as_secs();
            return Ok(match name {
                "days" => Some(Value::Int(seconds.div_euclid(86_400))),
                "seconds" => Some(Value::Int(seconds.rem_euclid(86_400))),
                "microseconds" => Some(Value::Int(i64::from(span.subsec_micros()))),
                _ => None,
            });
        }
        let Some(at) = self.datetime() else { return Ok(None) };
        let number = match name {
            "year" => i64::from(at.year()),
            "month" => i64::from(at.month()),
            "day" => i64::from(at.day()),
            "hour" => i64::from(at.hour()),
            "minute" => i64::from(at.minute()),
            "second" => i64::from(at.second()),
            "microsecond" => i64::from(self.micros()),
            _ => return Ok(None),
        };
        Ok(Some(Value::Int(number)))
    }

    fn method(
        &self,
        _cx: &mut Interp<'_>,
        name: &str,
        call: &Call,
    ) -> Result<Option<Value>, Fault> {
        if let Self::Delta(span) = self {
            return Ok((name == "total_seconds").then(|| Value::Float(span.as_secs_f64())));
        }
        let Some(at) = self.datetime() else { return Ok(None) };
        Ok(Some(match name {
            "strftime" => {
                let format = call.text(0, "format").unwrap_or_default();
                Value::from(crate::template::strftime(&format, at, None)?)
            }
            "isoformat" => Value::from(self.text().replace(' ', "T")),
            "date" => Self::Date(at.date()).into_value(),
            "timestamp" => {
                let zoned =
                    at.to_zoned(jiff::tz::TimeZone::UTC).map_err(|e| Fault::new(e.to_string()))?;
                Value::Float(zoned.timestamp().as_microsecond() as f64 / 1e6)
            }
            "weekday" => Value::Int(i64::from(at.weekday().to_monday_zero_offset())),
            "isoweekday" => Value::Int(i64::from(at.weekday().to_monday_one_offset())),
            _ => return Ok(None),
        }))
    }

    fn text(&self) -> String {
        match self {
            Self::Date(date) => date.to_string(),
            Self::DateTime(at) => {
                let mut text = at.strftime("%Y-%m-%d %H:%M:%S").to_string();
                if self.micros() != 0 {
                    text.push_str(&format!(".{:06}", self.micros()));
                }
                text
            }
            Self::Delta(span) => {
                let seconds = span.as_secs();
                let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
                let clock = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
                match days {
                    0 => clock,
                    1 | -1 => format!("{days} day, {clock}"),
                    _ => format!("{days} days, {clock}"),
                }
            }
        }
    }

    fn repr(&self) -> String {
        match self {
            Self::Date(date) => {
                format!("datetime.date({}, {}, {})", date.year(), date.month(), date.day())
            }
            Self::DateTime(at) => {
                let mut parts = vec![
                    i32::from(at.year()),
                    i32::from(at.month()),
                    i32::from(at.day()),
                    i32::from(at.hour()),
                    i32::from(at.minute()),
                ];
                // Python leaves out seconds and microseconds that are zero.
                if at.second() != 0 || self.micros() != 0 {
                    parts.push(i32::from(at.second()));
                }
                if self.micros() != 0 {
                    parts.push(self.micros());
                }
                let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
                format!("datetime.datetime({})", parts.join(", "))
            }
            Self::Delta(_) => self.text(),
        }
    }

    fn storable(&self) -> bool {
        !matches!(self, Self::Delta(_))
    }

    fn is_true(&self) -> bool {
        !matches!(self, Self::Delta(span) if span.is_zero())
    }

    fn arithmetic(&self, operator: char, other: &Value) -> Option<Value> {
        let Value::Object(other) = other else { return None };
        // The other side is known only through its text and rank, both of which are enough.
        match (operator, self.type_name(), other.type_name()) {
            ('-', "timedelta", "timedelta") | ('+', "timedelta", "timedelta") => {
                let sign = if operator == '-' { -1.0 } else { 1.0 };
                let total = self.rank()? + sign * other.rank()?;
                Some(Self::Delta(SignedDuration::from_micros((total * 1e6) as i64)).into_value())
            }
            ('-', "date" | "datetime", "date" | "datetime") => {
                let span = self.rank()? - other.rank()?;
                Some(
                    Self::Delta(SignedDuration::from_micros((span * 1e6).round() as i64))
                        .into_value(),
                )
            }
            (sign @ ('-' | '+'), "date" | "datetime", "timedelta") => {
                let span = SignedDuration::from_micros((other.rank()? * 1e6) as i64);
                let at = self.datetime()?;
                let moved = if sign == '-' { at.checked_sub(span) } else { at.checked_add(span) };
                Some(Self::DateTime(moved.ok()?).into_value())
            }
            _ => None,
        }
    }

    fn rank(&self) -> Option<f64> {
        match self {
            Self::Delta(span) => Some(span.as_secs_f64()),
            _ => {
                let zoned = self.datetime()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
                Some(zoned.timestamp().as_microsecond() as f64 / 1e6)
            }
        }
    }
}
