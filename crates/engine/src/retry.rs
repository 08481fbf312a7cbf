//! When a step that failed in passing is tried again.

use async_trait::async_trait;
use std::time::Duration;

/// How often and after which pauses something is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, the first included.
    pub tries: u32,
    /// Pause after the first try.
    pub first: Duration,
    /// The longest pause. Each pause is twice the one before, up to this.
    pub most: Duration,
}

/// The named policies.
pub mod policy {
    use super::{Duration, Retry};

    /// For steps of a run: a minute of patience in all. A hypervisor or package mirror that is
    /// busy for longer is something a person wants to hear of.
    pub const STEP: Retry =
        Retry { tries: 6, first: Duration::from_secs(2), most: Duration::from_secs(20) };

    /// One try only.
    pub const NEVER: Retry = Retry { tries: 1, first: Duration::ZERO, most: Duration::ZERO };
}

impl Retry {
    /// How long to wait after `tries` failed tries; `None` when that was the last.
    pub fn pause(&self, tries: u32) -> Option<Duration> {
        if tries >= self.tries {
            return None;
        }
        let doublings = tries.saturating_sub(1).min(31);
        Some(self.first.saturating_mul(1 << doublings).min(self.most))
    }
}

/// Lets time pass.
#[async_trait]
pub trait Timer: Send + Sync {
    /// Returns after `pause`.
    async fn sleep(&self, pause: Duration);
}

/// Real time.
#[derive(Clone, Copy, Debug)]
pub struct TokioTimer;

#[async_trait]
impl Timer for TokioTimer {
    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_then_end() {
        let pauses: Vec<_> =
            (1..).map_while(|tries| policy::STEP.pause(tries)).map(|p| p.as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 20]);
        assert_eq!(policy::NEVER.pause(1), None);
        let endless = Retry { tries: u32::MAX, ..policy::STEP };
        assert_eq!(endless.pause(u32::MAX - 1), Some(policy::STEP.most));
    }
}
