//! Times in templates: `now()`, `strftime`, `to_datetime`.

use super::Fault;
use crate::value::{Moment, Value};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// `format` filled in with the time.
pub(crate) fn strftime(
    format: &str,
    at: DateTime,
    zone: Option<&TimeZone>,
) -> Result<String, Fault> {
    let zoned = at
        .to_zoned(zone.cloned().unwrap_or(TimeZone::UTC))
        .map_err(|error| Fault::new(format!("cannot show this time: {error}")))?;
    // Python's %f is always six digits; jiff's has as many as it needs.
    let format = format.replace("%f", &format!("{:06}", at.subsec_nanosecond() / 1000));
    jiff::fmt::strtime::format(&format, &zoned)
        .map_err(|error| Fault::new(format!("cannot format a time as `{format}`: {error}")))
}

/// Seconds since 1970 as local or universal time.
pub(crate) fn from_seconds(seconds: f64, utc: bool) -> Result<DateTime, Fault> {
    let micros = (seconds * 1e6).round() as i64;
    let stamp = Timestamp::from_microsecond(micros)
        .map_err(|_| Fault::new(format!("`{seconds}` is no time anybody can show")))?;
    Ok(civil(stamp, utc))
}

/// The civil time of a moment.
pub(crate) fn civil(stamp: Timestamp, utc: bool) -> DateTime {
    let zone = if utc { TimeZone::UTC } else { TimeZone::system() };
    stamp.to_zoned(zone).datetime()
}

/// Reads a time in the given format.
pub(crate) fn to_datetime(text: &str, format: &str) -> Result<Value, Fault> {
    let fault = || Fault::new(format!("time data '{text}' does not match format '{format}'"));
    let parsed = jiff::fmt::strtime::parse(format, text).map_err(|_| fault())?;
    let at = parsed
        .to_datetime()
        .or_else(|_| parsed.to_date().map(|date| date.to_datetime(jiff::civil::Time::midnight())))
        .map_err(|_| fault())?;
    Ok(Moment::DateTime(at).into_value())
}
