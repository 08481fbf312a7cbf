//! What a run tells while it goes on.

use crate::{Attempt, StepFault, StepId};
use std::sync::Arc;
use std::time::Duration;
use updraft_base::RunId;

/// How a run ended, as far as this execution of it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every step has ended well.
    Done,
    /// Steps failed; what did not depend on them was done.
    Failed,
    /// Somebody asked it to stop before it was through; it can be taken up again.
    Stopped,
}

/// How many steps came to which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ended well in an earlier execution of the run.
    pub already: usize,
    /// Ended well now.
    pub done: usize,
    /// Failed, undone or not.
    pub failed: usize,
    /// Of those, undone.
    pub undone: usize,
    /// Not started because another failed.
    pub skipped: usize,
    /// Not started, or dropped half way, because the run was stopped.
    pub left: usize,
}

/// What people need to know of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepLabel {
    /// Its place in the work.
    pub id: StepId,
    /// Its key.
    pub key: String,
    /// What it does.
    pub title: String,
    /// The machine or group it is about.
    pub subject: Option<String>,
}

/// Something a run tells. What is told has been written to the journal before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The run begins, or is taken up again.
    RunStarted {
        /// Which run.
        run: RunId,
        /// What it is about.
        title: String,
        /// Steps in all.
        steps: usize,
        /// Of those, ended well in an earlier execution.
        already: usize,
    },
    /// A step begins.
    StepStarted {
        /// Which step.
        step: Arc<StepLabel>,
        /// Whether it may have been begun before.
        attempt: Attempt,
    },
    /// A step says what it is doing.
    StepProgress {
        /// Which step.
        step: Arc<StepLabel>,
        /// A few words.
        text: String,
    },
    /// A phase of a step begins, and the one before is over.
    StepPhase {
        /// Which step.
        step: Arc<StepLabel>,
        /// A few words.
        name: String,
    },
    /// A step failed in passing and will be tried again.
    StepRetried {
        /// Which step.
        step: Arc<StepLabel>,
        /// Why it failed.
        fault: StepFault,
        /// How long until the next try.
        pause: Duration,
    },
    /// A step ended well.
    StepEnded {
        /// Which step.
        step: Arc<StepLabel>,
        /// How long it took.
        took: Duration,
    },
    /// A step failed for good.
    StepFailed {
        /// Which step.
        step: Arc<StepLabel>,
        /// Why.
        fault: StepFault,
        /// How long it took.
        took: Duration,
        /// It is being undone now.
        undoing: bool,
    },
    /// A failed step was undone, or could not be.
    StepUndone {
        /// Which step.
        step: Arc<StepLabel>,
        /// Why it could not be undone; `None` when it was.
        fault: Option<StepFault>,
    },
    /// A step is not done because another failed.
    StepSkipped {
        /// Which step.
        step: Arc<StepLabel>,
        /// The step that failed.
        because: Arc<StepLabel>,
    },
    /// The run is over.
    RunEnded {
        /// How.
        outcome: Outcome,
        /// How many steps came to which end.
        counts: Counts,
        /// How long this execution took.
        took: Duration,
    },
}
