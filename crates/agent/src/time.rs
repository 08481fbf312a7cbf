//! Deadlines of blocking calls.

use std::time::{Duration, Instant};

/// A moment by which something has to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    #[expect(clippy::disallowed_methods, reason = "the agent's one look at the monotonic clock")]
    pub(crate) fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// What is left of it; zero once it has passed.
    #[expect(clippy::disallowed_methods, reason = "the agent's one look at the monotonic clock")]
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    pub(crate) fn passed(self) -> bool {
        self.left().is_zero()
    }
}

/// Waits for something that gives no sign when it comes about, before looking again.
#[expect(clippy::disallowed_methods, reason = "the agent's one pause; callers bound their loops")]
pub(crate) fn pause(span: Duration) {
    std::thread::sleep(span);
}
