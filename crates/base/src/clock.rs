//! The seam for the time of day.

/// A point in time, UTC, as written in the journal and in output.
pub type Timestamp = jiff::Timestamp;

/// Nanoseconds since 1970; the nearest that can be told for times before 1678 and after 2261.
pub fn unix_nanos(time: Timestamp) -> i64 {
    let bound = if time.as_second() < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(time.as_nanosecond()).unwrap_or(bound)
}

/// Says what time it is. The real one lives in `updraft_host`.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// A clock that stands still; for tests and goldens.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}
