//! Past runs and their steps, for people.

use crate::ControlError;
use crate::site::SiteControl;
use serde::Serialize;
use std::collections::BTreeMap;
use updraft_base::{RunId, Timestamp};
use updraft_engine::{RunSummary, StepEvent, StepId, StepRecord, Work};

/// A run in one line.
#[derive(Clone, Debug, Serialize)]
pub struct RunView {
    /// Identity.
    pub id: String,
    /// What it was about.
    pub title: String,
    /// Command that began it.
    pub command: String,
    /// Who gave it.
    pub who: String,
    /// When it began.
    pub began: String,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// `done`, `failed`, `stopped`, `abandoned`, or `unfinished`.
    pub outcome: String,
    /// Why it was abandoned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A step of a run.
#[derive(Clone, Debug, Serialize)]
pub struct StepView {
    /// Its place, counted from 1.
    pub number: u32,
    /// Stable name.
    pub key: String,
    /// What it does.
    pub title: String,
    /// `waiting`, `started`, `done`, `failed`, `undone`, `skipped`.
    pub state: String,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Why it failed or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

fn millis(from: Timestamp, to: Timestamp) -> Option<u64> {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).ok()
}

fn run_view(run: &RunSummary) -> RunView {
    RunView {
        id: run.id.to_string(),
        title: run.title.clone(),
        command: run.command.clone(),
        who: run.who.clone(),
        began: run.started.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        took_ms: run.ended.and_then(|ended| millis(run.started, ended)),
        outcome: run.outcome.map_or("unfinished", |outcome| outcome.word()).to_owned(),
        why: run.why.clone(),
    }
}

impl SiteControl {
    /// The newest runs, newest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn runs(&self, limit: u32) -> Result<Vec<RunView>, ControlError> {
        match self.journal()? {
            None => Ok(Vec::new()),
            Some(journal) => Ok(journal.runs(limit)?.iter().map(run_view).collect()),
        }
    }

    /// One run and its steps. It is named by `last`, or by the beginning or end of its id.
    ///
    /// # Errors
    /// When there is no such run, or the journal cannot be read.
    pub fn run_steps(&self, name: &str) -> Result<(RunView, Vec<StepView>), ControlError> {
        let unknown =
            || ControlError::Unknown { what: "run", name: name.to_owned(), known: Vec::new() };
        let journal = self.journal()?.ok_or_else(unknown)?;
        let wanted = name.to_ascii_uppercase();
        let all = journal.runs(u32::MAX)?;
        let fits = |run: &&RunSummary| {
            let id = run.id.to_string();
            id.starts_with(&wanted) || id.ends_with(&wanted)
        };
        let run = match (name, all.iter().filter(fits).collect::<Vec<_>>().as_slice()) {
            ("last", _) => all.first().ok_or_else(unknown)?,
            (_, [run]) => run,
            (_, []) => return Err(unknown()),
            (_, several) => {
                return Err(ControlError::Unknown {
                    what: "single run",
                    name: name.to_owned(),
                    known: several.iter().take(12).map(|run| run.id.to_string()).collect(),
                });
            }
        };
        let id: RunId = run.id;
        let work = journal.run_work(id)?;
        let records = journal.run_records(id)?;
        Ok((run_view(run), step_views(work.as_ref(), &records)))
    }
}

fn step_views(work: Option<&Work>, records: &[StepRecord]) -> Vec<StepView> {
    let mut by_step: BTreeMap<StepId, Vec<&StepRecord>> = BTreeMap::new();
    for record in records {
        by_step.entry(record.step).or_default().push(record);
    }
    let Some(work) = work else { return Vec::new() };
    work.steps
        .iter()
        .map(|step| {
            let mut view = StepView {
                number: step.id.0 + 1,
                key: step.key.clone(),
                title: step.title.clone(),
                state: "waiting".to_owned(),
                took_ms: None,
                message: None,
            };
            let mut started = None;
            for record in by_step.get(&step.id).into_iter().flatten() {
                let (state, message) = match &record.event {
                    StepEvent::Started { .. } => {
                        started = Some(record.at);
                        ("started", None)
                    }
                    StepEvent::Ended { .. } => ("done", None),
                    StepEvent::Failed { message, .. } => ("failed", Some(message.clone())),
                    StepEvent::UndoStarted => ("undoing", view.message.clone()),
                    StepEvent::Undone => ("undone", view.message.clone()),
                    StepEvent::UndoFailed { message } => ("failed", Some(message.clone())),
                    StepEvent::Skipped { because } => {
                        let title = work.steps.get(because.index()).map(|step| &step.title);
                        ("skipped", title.map(|title| format!("`{title}` failed")))
                    }
                };
                if matches!(record.event, StepEvent::Ended { .. } | StepEvent::Failed { .. }) {
                    view.took_ms = started.and_then(|started| millis(started, record.at));
                }
                view.state = state.to_owned();
                view.message = message;
            }
            view
        })
        .collect()
}
