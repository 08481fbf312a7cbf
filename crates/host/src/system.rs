//! The real clock and real chance.

use updraft_base::{Chance, Clock, Timestamp};

/// The clock of this computer.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
        let now = std::time::SystemTime::now();
        Timestamp::try_from(now).expect("a clock between the years -9999 and 9999")
    }
}

/// The operating system's random numbers, good enough for keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsChance;

impl Chance for OsChance {
    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0u8; 8];
        let mut filled = 0;
        while filled < bytes.len() {
            // getrandom(2): with no flags and at most 256 bytes it only fails when interrupted
            // while the pool is not yet seeded.
            filled += rustix::io::retry_on_intr(|| {
                rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            })
            .expect("a kernel with getrandom(2)");
        }
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_does_not_repeat_itself() {
        let drawn: std::collections::BTreeSet<u64> = (0..64).map(|_| OsChance.next_u64()).collect();
        assert_eq!(drawn.len(), 64);
    }
}
