//! The seam for the time of day.

/// A point in time, UTC, as written in the journal and in output.
pub type Timestamp = jiff::Timestamp;

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
