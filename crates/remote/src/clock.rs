//! Setting a machine's clock right over a line that is slow in an uneven way.
//!
//! A time that is sent is wrong by however long it travels, and on a busy machine that is hundreds
//! of milliseconds now and then. So the machine is asked what its clock shows, as NTP does (RFC
//! 5905, chapter 8): it read its clock at some moment between our question and its answer, the
//! middle is the best guess of when, and half the time between is how wrong the guess can be at
//! most. The quickest of a few answers counts.

use crate::{RemoteError, Session};
use std::time::Duration;
use tokio::time::Instant;
use updraft_base::{Clock, unix_nanos};
use updraft_wire::{Request, Response};

/// An answer that is known to be right to this is good enough to stop asking: a quarter of what a
/// machine that was copied may be off.
const SURE: Duration = Duration::from_millis(25);

/// A clock that is off by less is left alone: whatever keeps time on the machine does better.
const SLACK: Duration = Duration::from_millis(20);

/// How often a machine is asked at most.
const QUESTIONS: u32 = 8;

/// Between two questions: what made the line slow may be over.
const PAUSE: Duration = Duration::from_millis(20);

/// How far a machine's clock is ahead of ours.
#[derive(Clone, Copy, Debug)]
struct Lead {
    /// Nanoseconds; negative when it is behind.
    nanos: i64,
    /// How wrong that may be.
    unsure: Duration,
}

/// Steps the clock of a machine to what `clock` shows, if it is off by more than 20 ms.
///
/// # Errors
/// As [`Session::call`], and when the agent cannot set its clock.
pub async fn set_clock(
    session: &dyn Session,
    clock: &dyn Clock,
    within: Duration,
) -> Result<(), RemoteError> {
    let mut best = ask(session, clock, within).await?;
    for _ in 1..QUESTIONS {
        if best.unsure <= SURE {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        let next = ask(session, clock, within).await?;
        if next.unsure < best.unsure {
            best = next;
        }
    }
    if best.nanos.unsigned_abs() > SLACK.as_nanos() as u64 {
        say(session, best.nanos.saturating_neg(), within).await?;
    }
    Ok(())
}

async fn ask(
    session: &dyn Session,
    clock: &dyn Clock,
    within: Duration,
) -> Result<Lead, RemoteError> {
    // The way there and back is timed by a clock that nobody sets.
    let (asked, ours) = (Instant::now(), clock.now());
    let theirs = say(session, 0, within).await?;
    let unsure = asked.elapsed() / 2;
    let middle =
        unix_nanos(ours).saturating_add(i64::try_from(unsure.as_nanos()).unwrap_or(i64::MAX));
    Ok(Lead { nanos: theirs.saturating_sub(middle), unsure })
}

async fn say(session: &dyn Session, step: i64, within: Duration) -> Result<i64, RemoteError> {
    let host = || session.peer().hostname.clone();
    match session.call(Request::Clock { step }, within).await? {
        Response::Clock { now } => Ok(now),
        Response::Failed(failure) => Err(RemoteError::Failed { host: host(), failure }),
        _ => Err(RemoteError::Nonsense { host: host(), source: None }),
    }
}
