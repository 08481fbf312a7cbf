//! Dying on purpose at a line of the journal, to prove that a run survives it anywhere.

use std::str::FromStr;

/// When and how to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPlan {
    /// Number of the journal line, counted from 1 since the journal was opened.
    pub line: u64,
    /// On which side of the line's commit.
    pub moment: Moment,
    /// How.
    pub death: Death,
}

/// A side of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The line, and what is committed with it, is lost.
    Before,
    /// The line is on disk.
    After,
}

/// A way to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// This and every later use of the journal fails, and a run over it drops everything where it
    /// stands: a crash within a test's process.
    Pretend,
    /// The process is killed as by `kill -9`.
    Kill,
}

impl CrashPlan {
    /// Pretends to die before line `line` is committed.
    pub fn before(line: u64) -> Self {
        Self { line, moment: Moment::Before, death: Death::Pretend }
    }

    /// Pretends to die after line `line` is committed.
    pub fn after(line: u64) -> Self {
        Self { line, moment: Moment::After, death: Death::Pretend }
    }

    /// The same line, but the process is really killed.
    #[must_use]
    pub fn killing(self) -> Self {
        Self { death: Death::Kill, ..self }
    }
}

/// Not a place in a journal.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a journal line such as 7, after:7 or before:7")]
pub struct CrashPlanError(String);

impl FromStr for CrashPlan {
    type Err = CrashPlanError;

    /// Reads `7` or `after:7`, and `before:7`. Such a plan kills the process.
    fn from_str(text: &str) -> Result<Self, CrashPlanError> {
        let fault = || CrashPlanError(text.to_owned());
        let (moment, line) = match text.split_once(':') {
            None => (Moment::After, text),
            Some(("after", line)) => (Moment::After, line),
            Some(("before", line)) => (Moment::Before, line),
            Some(_) => return Err(fault()),
        };
        let line = line.parse().ok().filter(|line| *line > 0).ok_or_else(fault)?;
        Ok(Self { line, moment, death: Death::Kill })
    }
}

/// Counts journal lines and dies where the plan says.
#[derive(Debug, Default)]
pub(crate) struct Crash {
    pub(crate) plan: Option<CrashPlan>,
    written: u64,
    dead: bool,
}

impl Crash {
    /// Whether the pretended death has happened.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    /// Lines written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Tells that `lines` are about to be committed together. False: we died instead.
    pub(crate) fn survives_before(&mut self, lines: u64) -> bool {
        self.survives(lines, Moment::Before)
    }

    /// Tells that `lines` were committed together. False: we died after it.
    pub(crate) fn survives_after(&mut self, lines: u64) -> bool {
        let alive = self.survives(lines, Moment::After);
        self.written += lines;
        alive
    }

    fn survives(&mut self, lines: u64, moment: Moment) -> bool {
        let due = self.plan.is_some_and(|plan| {
            plan.moment == moment && (self.written + 1..=self.written + lines).contains(&plan.line)
        });
        if due {
            if self.plan.is_some_and(|plan| plan.death == Death::Kill) {
                kill_myself();
            }
            self.dead = true;
        }
        !self.dead
    }
}

fn kill_myself() {
    // SIGKILL cannot be refused by a process to itself; should the kernel do so all the same,
    // aborting ends it as suddenly.
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).ok();
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_from_text() {
        let read = |text: &str| text.parse::<CrashPlan>().ok();
        assert_eq!(read("7"), Some(CrashPlan::after(7).killing()));
        assert_eq!(read("after:7"), read("7"));
        assert_eq!(read("before:12"), Some(CrashPlan::before(12).killing()));
        for bad in ["", "0", "-1", "before", "during:3", "before:x"] {
            assert_eq!(read(bad), None, "`{bad}` was accepted");
        }
    }

    #[test]
    fn lines_that_are_committed_together_die_together() {
        for line in [3, 4, 5] {
            let mut crash = Crash { plan: Some(CrashPlan::before(line)), ..Crash::default() };
            assert!(crash.survives_before(2) && crash.survives_after(2));
            assert!(!crash.survives_before(3), "line {line}");
            assert!(crash.is_dead());
        }
        let mut crash = Crash { plan: Some(CrashPlan::after(2)), ..Crash::default() };
        assert!(crash.survives_before(2) && !crash.survives_after(2));
    }
}
