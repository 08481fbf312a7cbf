//! Who does the steps: the seam that the engine declares and others implement.

use crate::{Step, StepId, StopSignal};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::mpsc;
use updraft_base::Blame;

/// Whether a step may have been begun before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The journal knows nothing of it: it was never begun.
    First,
    /// It was begun before and nobody knows how far it came: look before acting.
    Again,
}

/// Does steps, and undoes them.
///
/// The engine drops a future of `act` or `undo` where it stands when the run is stopped at once,
/// so whatever they begin must be safe to leave half way.
#[async_trait]
pub trait Actor: Send + Sync {
    /// Does the step. What it returns is written to the journal and handed to later steps, so it
    /// never holds a secret.
    ///
    /// # Errors
    /// A fault of [`Blame::Passing`] is tried again, with [`Attempt::Again`].
    async fn act(
        &self,
        step: &Step,
        attempt: Attempt,
        context: &StepContext,
    ) -> Result<Value, StepFault>;

    /// Takes back what a failed `act` of this step may have left. Called only for steps that say
    /// `undo`, and may be repeated.
    ///
    /// # Errors
    /// As [`Actor::act`].
    async fn undo(&self, step: &Step, context: &StepContext) -> Result<(), StepFault>;
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StepFault {
    /// One sentence that names its operand, with its causes, lowercase, no full stop, no secret.
    pub message: String,
    /// Who has to act.
    pub blame: Blame,
    /// What to do next.
    pub hint: Option<String>,
    /// How much of the run it stops.
    pub stop: Scope,
}

impl StepFault {
    /// A fault that stops only what depends on the step.
    pub fn new(blame: Blame, message: impl Into<String>) -> Self {
        Self { message: message.into(), blame, hint: None, stop: Scope::Dependents }
    }

    /// A fault from an error that knows whom to blame.
    pub fn from_error(error: &(impl updraft_base::Blamed + 'static)) -> Self {
        Self {
            message: updraft_base::chain(error),
            blame: error.blame(),
            hint: error.hint(),
            stop: Scope::Dependents,
        }
    }

    /// The same with a word on what to do next.
    #[must_use]
    pub fn hinting(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, stopping the whole run: nothing new starts.
    #[must_use]
    pub fn stopping_the_run(mut self) -> Self {
        self.stop = Scope::Run;
        self
    }
}

impl updraft_base::Blamed for StepFault {
    fn blame(&self) -> Blame {
        self.blame
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// How much of a run a failed step stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What waits for the step, directly or not.
    Dependents,
    /// Everything that has not started.
    Run,
}

/// What an actor may know and say while it does a step.
#[derive(Clone, Debug)]
pub struct StepContext {
    pub(crate) step: StepId,
    pub(crate) progress: mpsc::Sender<(StepId, Said)>,
    pub(crate) results: Results,
    pub(crate) stop: StopSignal,
}

impl StepContext {
    /// Tells people what is going on, in a few words. Never blocks; when nobody keeps up with
    /// reading, the text is lost.
    pub fn report(&self, text: impl Into<String>) {
        // Progress is for eyes only: a full queue means that they see enough already.
        drop(self.progress.try_send((self.step, Said::Progress(text.into()))));
    }

    /// Says that a phase of the step begins, and with it that the one before is over: a few words
    /// that say where the step's time goes. As [`StepContext::report`], for eyes only.
    pub fn phase(&self, name: impl Into<String>) {
        // As for progress.
        drop(self.progress.try_send((self.step, Said::Phase(name.into()))));
    }

    /// What the step with this key returned; `None` when it has not ended well. Only of steps in
    /// [`Step::after`] is it certain that they have.
    pub fn result(&self, key: &str) -> Option<Value> {
        self.results.get(key)
    }

    /// The stop signal of this run. [`StopSignal::now`] is true once the run is to stop at once.
    pub fn stop(&self) -> &StopSignal {
        &self.stop
    }
}

/// What an act says while it goes on.
#[derive(Debug)]
pub(crate) enum Said {
    /// What is going on.
    Progress(String),
    /// A phase begins.
    Phase(String),
}

/// Results of the steps that have ended well, by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results(Arc<RwLock<HashMap<String, Value>>>);

impl Results {
    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn put(&self, key: &str, value: Value) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), value);
    }
}
