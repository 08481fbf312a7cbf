//! The machine's clock.

use crate::failure::{refused, system};
use rustix::time::{ClockId, Timespec};
use updraft_wire::{Failure, Response};

const SECOND: i64 = 1_000_000_000;

/// A clock that is off by less, in nanoseconds, is left alone: being told takes about as long.
const SLACK: u64 = 50_000_000;

/// Nanoseconds since 1970.
fn now() -> Result<i64, Failure> {
    let now = rustix::time::clock_gettime(ClockId::Realtime);
    let nanos = now.tv_sec.checked_mul(SECOND).and_then(|nanos| nanos.checked_add(now.tv_nsec));
    nanos.ok_or_else(|| refused("the clock shows a time that cannot be told"))
}

fn set(nanos: i64) -> Result<(), Failure> {
    let time = Timespec { tv_sec: nanos.div_euclid(SECOND), tv_nsec: nanos.rem_euclid(SECOND) };
    rustix::time::clock_settime(ClockId::Realtime, time)
        .map_err(|fault| system("cannot set the clock", fault))
}

/// Sets the clock to so many nanoseconds since 1970, unless it shows about that.
pub(crate) fn bring_to(wanted: i64) -> Result<(), Failure> {
    if now()?.abs_diff(wanted) < SLACK { Ok(()) } else { set(wanted) }
}

/// Adds nanoseconds to the clock and says what it shows.
pub(crate) fn step(by: i64) -> Result<Response, Failure> {
    if by != 0 {
        let then = now()?.checked_add(by);
        set(then.ok_or_else(|| refused("no clock shows such a time"))?)?;
    }
    Ok(Response::Clock { now: now()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_it_changes_nothing_and_no_step_leads_out_of_time() {
        let (before, said, after) = (now().unwrap(), step(0).unwrap(), now().unwrap());
        let Response::Clock { now } = said else { panic!("{said:?}") };
        assert!((before..=after).contains(&now));
        assert!(step(i64::MAX).is_err());
    }
}
