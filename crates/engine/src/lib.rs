//! Runs a plan: journal, resume, undo, cancel, events.
//!
//! Work is a graph of steps whose meaning is opaque here. What is about to be done is on disk
//! before it is done, so a run that was killed at any point is taken up again: what has ended is
//! not repeated, and what has a start without an end is looked at before it is acted on.
//!
//! - [`Work`] is what to do, [`Journal`] what was done, [`Actor`] who does it.
//! - [`run`] does it, and takes up a run that was left.
//!
//! That only one run of a site goes on at a time is the caller's promise: it holds a lock beside
//! the journal.
//!
//! Never here: what a step means, a provider, a machine, printing, reading the environment.

mod actor;
mod crash;
mod event;
mod journal;
mod retry;
mod run;
mod schedule;
mod stop;
mod work;

pub use actor::{Actor, Attempt, Scope, StepContext, StepFault};
pub use crash::{CrashPlan, CrashPlanError, Death, Moment};
pub use event::{Counts, Event, Outcome, StepLabel};
pub use journal::{
    Journal, JournalError, KEPT_RUNS, RunEnd, RunStart, RunSummary, StateWrite, StepEvent,
    StepRecord, Unfinished,
};
pub use retry::{Retry, Timer, TokioTimer, policy};
pub use run::{EngineError, Options, run};
pub use stop::StopSignal;
pub use work::{Step, StepId, Work, WorkFault};
