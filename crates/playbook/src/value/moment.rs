//! Points and spans of time: YAML dates, `now()`, `to_datetime`.

use super::{Call, Object, Rank, Value};
use crate::template::{Fault, Interp};
use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use std::sync::Arc;

/// The day that Python shows times of day with.
const DAY: Date = jiff::civil::date(1900, 1, 1);

/// A date, a time of day, both with or without their distance from universal time, or the span
/// between two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Moment {
    Date(Date),
    Time(Time),
    DateTime(DateTime),
    Aware(DateTime, Offset),
    Delta(SignedDuration),
}

impl Moment {
    pub(crate) fn into_value(self) -> Value {
        Value::Object(Arc::new(self))
    }

    /// A YAML 1.1 timestamp; with an offset it keeps that, as PyYAML's does.
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
        match zone.trim() {
            "" => Some(Self::DateTime(at)),
            "Z" => Some(Self::Aware(at, Offset::UTC)),
            zone => Some(Self::Aware(at, offset(zone)?)),
        }
    }

    /// What a module of the modern profile wrote with `isoformat()`.
    pub(crate) fn parse_iso(kind: &str, text: &str) -> Option<Self> {
        match kind {
            "date" => text.parse().ok().map(Self::Date),
            "time" => text.parse().ok().map(Self::Time),
            _ => Self::parse_yaml(text).filter(|moment| !matches!(moment, Self::Date(_))),
        }
    }

    fn datetime(self) -> Option<DateTime> {
        match self {
            Self::Date(date) => Some(date.to_datetime(Time::midnight())),
            Self::Time(time) => Some(DAY.to_datetime(time)),
            Self::DateTime(at) | Self::Aware(at, _) => Some(at),
            Self::Delta(_) => None,
        }
    }

    fn offset(self) -> Option<Offset> {
        match self {
            Self::Aware(_, offset) => Some(offset),
            _ => None,
        }
    }

    /// The same kind of time, somewhere else.
    fn at(self, at: DateTime) -> Self {
        match self {
            Self::Date(_) => Self::Date(at.date()),
            Self::Aware(_, offset) => Self::Aware(at, offset),
            _ => Self::DateTime(at),
        }
    }

    fn micros(self) -> i32 {
        self.datetime().map_or(0, |at| at.subsec_nanosecond() / 1000)
    }

    /// Fractions of a second as Python shows them: six digits, or nothing.
    fn fraction(self) -> String {
        match self.micros() {
            0 => String::new(),
            micros => format!(".{micros:06}"),
        }
    }

    /// `datetime` with this between date and time.
    fn iso(self, between: char) -> String {
        let fraction = self.fraction();
        match self {
            Self::Date(date) => date.to_string(),
            Self::Time(time) => format!("{}{fraction}", time.strftime("%H:%M:%S")),
            Self::DateTime(at) => {
                format!("{}{between}{}{fraction}", at.date(), at.strftime("%H:%M:%S"))
            }
            Self::Aware(at, offset) => {
                format!("{}{}", Self::DateTime(at).iso(between), offset_text(offset))
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

    fn strftime(self, format: &str) -> Result<Value, Fault> {
        let at = self.datetime().unwrap_or_default();
        // Python has nothing to say of a zone that is not known, and its own name for an offset.
        let name = self.offset().map(zone_name).unwrap_or_default();
        let mut text = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            match (c, chars.clone().next()) {
                ('%', Some('Z')) => {
                    chars.next();
                    text.push_str(&name);
                }
                ('%', Some('z')) if self.offset().is_none() => drop(chars.next()),
                ('%', Some(other)) => {
                    chars.next();
                    text.extend(['%', other]);
                }
                (c, _) => text.push(c),
            }
        }
        let zone = self.offset().map(TimeZone::fixed);
        crate::template::strftime(&text, at, zone.as_ref()).map(Value::from)
    }

    /// `replace(hour=3, …)`.
    fn replaced(self, call: &Call) -> Result<Value, Fault> {
        let wrong = |what: String| Fault::new(what);
        let mut parts = self.datetime().unwrap_or_default().with();
        let names = ["year", "month", "day", "hour", "minute", "second", "microsecond"];
        for (index, name) in names.into_iter().enumerate() {
            let Some(number) = call.int(index, name) else { continue };
            let out = || wrong(format!("{name} is out of range: {number}"));
            let small = || i8::try_from(number).map_err(|_| out());
            parts = match name {
                "year" => parts.year(i16::try_from(number).map_err(|_| out())?),
                "month" => parts.month(small()?),
                "day" => parts.day(small()?),
                "hour" => parts.hour(small()?),
                "minute" => parts.minute(small()?),
                "second" => parts.second(small()?),
                _ => {
                    let nanos = i32::try_from(number).ok().and_then(|n| n.checked_mul(1000));
                    parts.subsec_nanosecond(nanos.ok_or_else(out)?)
                }
            };
        }
        let at = parts.build().map_err(|error| wrong(error.to_string()))?;
        Ok(self.at(at).into_value())
    }
}

/// `+05:30`, `-7`.
fn offset(zone: &str) -> Option<Offset> {
    let (sign, zone) = match zone.as_bytes().first()? {
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = zone.split_once(':').unwrap_or((zone, "0"));
    let minutes = hours.parse::<i32>().ok()?.checked_mul(60)? + minutes.parse::<i32>().ok()?;
    Offset::from_seconds(sign * minutes.checked_mul(60)?).ok()
}

/// `-07:00`.
fn offset_text(offset: Offset) -> String {
    let seconds = offset.seconds();
    let (sign, span) = if seconds < 0 { ('-', -seconds) } else { ('+', seconds) };
    format!("{sign}{:02}:{:02}", span / 3600, span / 60 % 60)
}

/// Python's name of a zone that is only an offset.
fn zone_name(offset: Offset) -> String {
    match offset == Offset::UTC {
        true => "UTC".to_owned(),
        false => format!("UTC{}", offset_text(offset)),
    }
}

impl Object for Moment {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::DateTime(_) | Self::Aware(..) => "datetime",
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
        let (day, clock) = (!matches!(self, Self::Time(_)), !matches!(self, Self::Date(_)));
        let Some(at) = self.datetime() else { return Ok(None) };
        let number = match name {
            "year" if day => i64::from(at.year()),
            "month" if day => i64::from(at.month()),
            "day" if day => i64::from(at.day()),
            "hour" if clock => i64::from(at.hour()),
            "minute" if clock => i64::from(at.minute()),
            "second" if clock => i64::from(at.second()),
            "microsecond" if clock => i64::from(self.micros()),
            "tzinfo" if clock => {
                let name = self.offset().map(|offset| Value::from(zone_name(offset)));
                return Ok(Some(name.unwrap_or(Value::None)));
            }
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
        let (day, both) = match self {
            Self::Time(_) => (false, false),
            Self::Date(_) => (true, false),
            _ => (true, true),
        };
        Ok(Some(match name {
            "strftime" => self.strftime(&call.text(0, "format").unwrap_or_default())?,
            "isoformat" => Value::from(self.iso('T')),
            "date" if both => Self::Date(at.date()).into_value(),
            "time" if both => Self::Time(at.time()).into_value(),
            "replace" if day => self.replaced(call)?,
            "utcoffset" if both => match self.offset() {
                Some(offset) => {
                    Self::Delta(SignedDuration::from_secs(offset.seconds().into())).into_value()
                }
                None => Value::None,
            },
            "timestamp" if both => {
                let zone = self.offset().map_or_else(TimeZone::system, TimeZone::fixed);
                let zoned = at.to_zoned(zone).map_err(|e| Fault::new(e.to_string()))?;
                Value::Float(zoned.timestamp().as_microsecond() as f64 / 1e6)
            }
            "weekday" if day => Value::Int(i64::from(at.weekday().to_monday_zero_offset())),
            "isoweekday" if day => Value::Int(i64::from(at.weekday().to_monday_one_offset())),
            _ => return Ok(None),
        }))
    }

    fn text(&self) -> String {
        self.iso(' ')
    }

    fn json_text(&self) -> String {
        self.iso('T')
    }

    fn repr(&self) -> String {
        // Python leaves out seconds and microseconds that are zero.
        let clock = |at: DateTime| {
            let mut parts = vec![at.hour().to_string(), at.minute().to_string()];
            if at.second() != 0 || self.micros() != 0 {
                parts.push(at.second().to_string());
            }
            if self.micros() != 0 {
                parts.push(self.micros().to_string());
            }
            parts.join(", ")
        };
        let day = |at: DateTime| format!("{}, {}, {}", at.year(), at.month(), at.day());
        match self {
            Self::Date(date) => format!("datetime.date({})", day((*date).into())),
            Self::Time(time) => format!("datetime.time({})", clock(DAY.to_datetime(*time))),
            Self::DateTime(at) => format!("datetime.datetime({}, {})", day(*at), clock(*at)),
            Self::Aware(at, offset) => {
                let zone = match offset.seconds() {
                    0 => "datetime.timezone.utc".to_owned(),
                    seconds => {
                        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
                        let days = if days == 0 { String::new() } else { format!("days={days}, ") };
                        format!("datetime.timezone(datetime.timedelta({days}seconds={rest}))")
                    }
                };
                format!("datetime.datetime({}, {}, tzinfo={zone})", day(*at), clock(*at))
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
        // The other side is known only through its rank, which is enough.
        let (own, other) = (self.rank()?, other.rank()?);
        match (operator, own.kind, other.kind) {
            ('-' | '+', "delta", "delta") => {
                let sign = if operator == '-' { -1.0 } else { 1.0 };
                let total = own.place + sign * other.place;
                Some(Self::Delta(SignedDuration::from_micros((total * 1e6) as i64)).into_value())
            }
            ('-', "date", "date") | ('-', "datetime", "datetime") | ('-', "aware", "aware") => {
                let span = ((own.place - other.place) * 1e6).round() as i64;
                Some(Self::Delta(SignedDuration::from_micros(span)).into_value())
            }
            (sign @ ('-' | '+'), "date" | "datetime" | "aware", "delta") => {
                let span = SignedDuration::from_micros((other.place * 1e6) as i64);
                let at = self.datetime()?;
                let moved = if sign == '-' { at.checked_sub(span) } else { at.checked_add(span) };
                Some(self.at(moved.ok()?).into_value())
            }
            _ => None,
        }
    }

    fn rank(&self) -> Option<Rank> {
        let seconds = |zone: TimeZone| {
            let zoned = self.datetime()?.to_zoned(zone).ok()?;
            Some(zoned.timestamp().as_microsecond() as f64 / 1e6)
        };
        let (kind, place) = match self {
            Self::Delta(span) => ("delta", span.as_secs_f64()),
            Self::Aware(_, offset) => ("aware", seconds(TimeZone::fixed(*offset))?),
            Self::Date(_) => ("date", seconds(TimeZone::UTC)?),
            Self::DateTime(_) => ("datetime", seconds(TimeZone::UTC)?),
            Self::Time(time) => {
                let since = time.duration_since(Time::midnight());
                ("time", since.as_secs_f64())
            }
        };
        Some(Rank { kind, place })
    }
}
