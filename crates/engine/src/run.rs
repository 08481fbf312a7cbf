//! One execution of a run.
//!
//! A turn of its loop takes what has ended, lets the schedule choose what starts, commits both to
//! the journal together, and only then tells of the ends and begins the starts. All acts are
//! futures of the one task that runs the loop; nothing here outlives the call.

use crate::actor::{Results, Said};
use crate::journal::{RunEnd, TakenUp};
use crate::schedule::{Phase, Schedule};
use crate::{
    Actor, Attempt, Counts, Event, Journal, JournalError, Outcome, Retry, Scope, Step, StepContext,
    StepEvent, StepFault, StepId, StepLabel, StepRecord, StopSignal, Timer, TokioTimer, Work,
    WorkFault, policy,
};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use serde_json::Value;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use updraft_base::{Blame, Blamed, Clock, RunId, Timestamp};

/// How to run.
#[derive(Clone)]
pub struct Options {
    /// How many steps may run at once; 0 counts as 1.
    pub width: usize,
    /// Stamps the journal.
    pub clock: Arc<dyn Clock>,
    /// Lets the pauses between tries pass.
    pub timer: Arc<dyn Timer>,
    /// How steps that failed in passing are tried again.
    pub retry: Retry,
}

impl Options {
    /// This many steps at once, real pauses, [`policy::STEP`].
    pub fn new(width: usize, clock: Arc<dyn Clock>) -> Self {
        Self { width, clock, timer: Arc::new(TokioTimer), retry: policy::STEP }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("width", &self.width)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// Why a run could not go on. What it had begun is in the journal.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal failed. Nothing was begun that it does not tell of.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The work cannot be run.
    #[error(transparent)]
    Work(#[from] WorkFault),
    /// The run was begun for other work.
    #[error("run {0} was begun for other work")]
    OtherWork(RunId),
}

impl Blamed for EngineError {
    fn blame(&self) -> Blame {
        match self {
            Self::Journal(error) => error.blame(),
            Self::Work(fault) => fault.blame(),
            Self::OtherWork(_) => Blame::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Journal(error) => error.hint(),
            Self::Work(fault) => fault.hint(),
            Self::OtherWork(_) => None,
        }
    }
}

/// How many words of progress may wait to be told. The loop tells them whenever an act waits, so
/// more than this in one go is more than anybody reads.
const PROGRESS_BOUND: usize = 4_096;

/// Does what is left of a run: all of it when [`Journal::begin_run`] has just begun it, or what an
/// earlier execution that was killed, stopped or failed has left. Steps that have ended are not
/// repeated; those that have a start are done with [`Attempt::Again`].
///
/// The caller sees to it that only one run of a site goes on at a time. Dropping the future is like a kill: everything stops
/// where it stands, and the run can be taken up again.
///
/// # Errors
/// When the journal fails, before anything is begun that it does not tell of; when the run is
/// over or was begun for other work.
pub async fn run(
    journal: &Journal,
    run: RunId,
    work: &Work,
    actor: &dyn Actor,
    options: &Options,
    stop: &StopSignal,
    events: &mut (dyn FnMut(Event) + Send),
) -> Result<Outcome, EngineError> {
    let records = match journal.take_up(run, work)? {
        TakenUp::Records(records) => records,
        TakenUp::OtherWork => return Err(EngineError::OtherWork(run)),
    };
    let begun = options.clock.now();
    let mut execution = Execution::new(journal, run, work, actor, options, stop, events, &records)?;
    let already = execution.schedule.count(Phase::Done);
    (execution.events)(Event::RunStarted {
        run,
        title: work.title.clone(),
        steps: work.steps.len(),
        already,
    });
    execution.go().await?;
    let (outcome, counts) = execution.sum_up(already);
    let end = match outcome {
        Outcome::Done => RunEnd::Done,
        Outcome::Failed => RunEnd::Failed,
        Outcome::Stopped => RunEnd::Stopped,
    };
    let now = options.clock.now();
    journal.end_run(run, end, now)?;
    (execution.events)(Event::RunEnded { outcome, counts, took: between(begun, now) });
    Ok(outcome)
}

struct Execution<'a> {
    journal: &'a Journal,
    run: RunId,
    work: &'a Work,
    actor: &'a dyn Actor,
    options: &'a Options,
    stop: &'a StopSignal,
    events: &'a mut (dyn FnMut(Event) + Send),
    schedule: Schedule,
    labels: Vec<Arc<StepLabel>>,
    /// Steps that the journal has a start of, from this execution or an earlier one.
    begun: Vec<bool>,
    started_at: Vec<Option<Timestamp>>,
    undone: usize,
    results: Results,
    acts: FuturesUnordered<BoxFuture<'a, Finished>>,
    notes: mpsc::Receiver<Note>,
    note: mpsc::Sender<Note>,
    progress: mpsc::Receiver<(StepId, Said)>,
    report: mpsc::Sender<(StepId, Said)>,
    /// The first failure of the journal: nothing new starts.
    broken: Option<JournalError>,
}

/// An act came to its end.
struct Finished {
    step: StepId,
    end: End,
}

enum End {
    Acted(Result<Value, StepFault>),
    Undone(Result<(), StepFault>),
    /// Given up between two tries because the run was asked to stop.
    Interrupted,
}

/// Word of a retry from within an act.
struct Note {
    step: StepId,
    fault: StepFault,
    pause: Duration,
}

/// What one turn writes, and what it does once that is written.
#[derive(Default)]
struct Turn {
    lines: Vec<(StepId, StepEvent)>,
    tell: Vec<Event>,
    start: Vec<(StepId, Attempt)>,
    undo: Vec<StepId>,
}

impl<'a> Execution<'a> {
    #[expect(clippy::too_many_arguments, reason = "the parameters of `run`, once more")]
    fn new(
        journal: &'a Journal,
        run: RunId,
        work: &'a Work,
        actor: &'a dyn Actor,
        options: &'a Options,
        stop: &'a StopSignal,
        events: &'a mut (dyn FnMut(Event) + Send),
        records: &[StepRecord],
    ) -> Result<Self, EngineError> {
        let schedule = Schedule::new(work, records)?;
        let mut begun = vec![false; work.steps.len()];
        let results = Results::default();
        for record in records {
            let Some(step) = work.steps.get(record.step.index()) else { continue };
            match &record.event {
                StepEvent::Started { .. } => begun[step.id.index()] = true,
                StepEvent::Ended { output } => results.put(&step.key, output.clone()),
                StepEvent::Failed { .. }
                | StepEvent::UndoStarted
                | StepEvent::Undone
                | StepEvent::UndoFailed { .. }
                | StepEvent::Skipped { .. } => {}
            }
        }
        let label = |step: &Step| {
            Arc::new(StepLabel {
                id: step.id,
                key: step.key.clone(),
                title: step.title.clone(),
                subject: step.subject.clone(),
            })
        };
        let (note, notes) = mpsc::channel(PROGRESS_BOUND);
        let (report, progress) = mpsc::channel(PROGRESS_BOUND);
        Ok(Self {
            journal,
            run,
            work,
            actor,
            options,
            stop,
            events,
            schedule,
            labels: work.steps.iter().map(label).collect(),
            begun,
            started_at: vec![None; work.steps.len()],
            undone: 0,
            results,
            acts: FuturesUnordered::new(),
            notes,
            note,
            progress,
            report,
            broken: None,
        })
    }

    /// Runs until nothing runs and nothing may start.
    async fn go(&mut self) -> Result<(), EngineError> {
        let mut turn = Turn::default();
        loop {
            self.choose(&mut turn);
            self.commit(std::mem::take(&mut turn))?;
            if self.acts.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                () = self.stop.wait_now() => {
                    // Dropped where they stand: the journal keeps their starts without ends.
                    self.acts.clear();
                    break;
                }
                Some(finished) = self.acts.next() => {
                    self.settle(finished, &mut turn);
                    // Whatever else is through by now shares the commit.
                    while let Some(Some(finished)) = self.acts.next().now_or_never() {
                        self.settle(finished, &mut turn);
                    }
                }
                Some(note) = self.notes.recv() => self.tell_note(note),
                Some((step, said)) = self.progress.recv() => self.tell_progress(step, said),
            }
        }
        self.broken.take().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Lets the schedule choose what starts in this turn.
    fn choose(&mut self, turn: &mut Turn) {
        while self.broken.is_none() && !self.stop.asked() {
            let Some(id) = self.schedule.start_next(self.options.width) else { break };
            let again = std::mem::replace(&mut self.begun[id.index()], true);
            let attempt = if again { Attempt::Again } else { Attempt::First };
            turn.lines.push((id, StepEvent::Started { attempt }));
            turn.start.push((id, attempt));
        }
    }

    /// Writes what the turn says; then tells of it and begins what starts. When it cannot be
    /// written, nothing of it is begun and what runs may finish.
    fn commit(&mut self, turn: Turn) -> Result<(), EngineError> {
        let now = self.options.clock.now();
        if !turn.lines.is_empty()
            && let Err(error) = self.journal.record(self.run, now, &turn.lines)
        {
            // As in a real crash, what runs is dropped where it stands.
            if matches!(error, JournalError::Crashed) {
                return Err(error.into());
            }
            for step in &turn.undo {
                self.schedule.failed(*step);
            }
            self.broken.get_or_insert(error);
            return Ok(());
        }
        self.tell_waiting();
        for event in turn.tell {
            (self.events)(event);
        }
        for (id, attempt) in turn.start {
            self.started_at[id.index()] = Some(now);
            let step = self.labels[id.index()].clone();
            (self.events)(Event::StepStarted { step, attempt });
            let act = self.act(id, attempt);
            self.acts.push(act);
        }
        for id in turn.undo {
            let undo = self.undo(id);
            self.acts.push(undo);
        }
        Ok(())
    }

    /// Takes the end of an act into the schedule and the turn.
    fn settle(&mut self, finished: Finished, turn: &mut Turn) {
        let Finished { step: id, end } = finished;
        let label = self.labels[id.index()].clone();
        let step = self.work.step(id);
        match end {
            End::Acted(Ok(output)) => {
                self.schedule.done(id);
                self.results.put(&step.key, output.clone());
                turn.lines.push((id, StepEvent::Ended { output }));
                turn.tell.push(Event::StepEnded { step: label, took: self.took(id) });
            }
            End::Acted(Err(fault)) => {
                let undoing = step.undo && self.broken.is_none();
                turn.lines.push((
                    id,
                    StepEvent::Failed {
                        message: fault.message.clone(),
                        blame: fault.blame,
                        hint: fault.hint.clone(),
                    },
                ));
                turn.tell.push(Event::StepFailed {
                    step: label,
                    fault: fault.clone(),
                    took: self.took(id),
                    undoing,
                });
                self.skip_after(id, fault.stop, turn);
                if undoing {
                    turn.lines.push((id, StepEvent::UndoStarted));
                    turn.undo.push(id);
                } else {
                    self.schedule.failed(id);
                }
            }
            End::Undone(result) => {
                self.schedule.failed(id);
                let fault = result.err();
                turn.lines.push((
                    id,
                    match &fault {
                        None => StepEvent::Undone,
                        Some(fault) => StepEvent::UndoFailed { message: fault.message.clone() },
                    },
                ));
                self.undone += usize::from(fault.is_none());
                turn.tell.push(Event::StepUndone { step: label, fault });
            }
            End::Interrupted => self.schedule.interrupted(id),
        }
    }

    fn skip_after(&mut self, failed: StepId, scope: Scope, turn: &mut Turn) {
        for id in self.schedule.skip_after(failed, scope) {
            turn.lines.push((id, StepEvent::Skipped { because: failed }));
            turn.tell.push(Event::StepSkipped {
                step: self.labels[id.index()].clone(),
                because: self.labels[failed.index()].clone(),
            });
        }
    }

    fn act(&self, id: StepId, attempt: Attempt) -> BoxFuture<'a, Finished> {
        let (actor, step, options) = (self.actor, self.work.step(id), self.options);
        let (context, note) = (self.context(id), self.note.clone());
        async move {
            let mut attempt = attempt;
            let end = patiently(options, &context, &note, || {
                let now = std::mem::replace(&mut attempt, Attempt::Again);
                actor.act(step, now, &context)
            })
            .await;
            Finished { step: id, end: end.map_or(End::Interrupted, End::Acted) }
        }
        .boxed()
    }

    fn undo(&self, id: StepId) -> BoxFuture<'a, Finished> {
        let (actor, step, options) = (self.actor, self.work.step(id), self.options);
        let (context, note) = (self.context(id), self.note.clone());
        async move {
            let end = patiently(options, &context, &note, || actor.undo(step, &context)).await;
            let end = end.map_or(End::Interrupted, End::Undone);
            Finished { step: id, end }
        }
        .boxed()
    }

    fn context(&self, step: StepId) -> StepContext {
        StepContext {
            step,
            progress: self.report.clone(),
            results: self.results.clone(),
            stop: self.stop.clone(),
        }
    }

    fn took(&self, id: StepId) -> Duration {
        self.started_at[id.index()]
            .map_or(Duration::ZERO, |started| between(started, self.options.clock.now()))
    }

    /// Tells what acts have said before their end is told.
    fn tell_waiting(&mut self) {
        while let Ok(note) = self.notes.try_recv() {
            self.tell_note(note);
        }
        while let Ok((step, said)) = self.progress.try_recv() {
            self.tell_progress(step, said);
        }
    }

    fn tell_note(&mut self, note: Note) {
        let step = self.labels[note.step.index()].clone();
        (self.events)(Event::StepRetried { step, fault: note.fault, pause: note.pause });
    }

    fn tell_progress(&mut self, step: StepId, said: Said) {
        let step = self.labels[step.index()].clone();
        (self.events)(match said {
            Said::Progress(text) => Event::StepProgress { step, text },
            Said::Phase(name) => Event::StepPhase { step, name },
        });
    }

    fn sum_up(&self, already: usize) -> (Outcome, Counts) {
        let count = |phase| self.schedule.count(phase);
        let counts = Counts {
            already,
            done: count(Phase::Done) - already,
            failed: count(Phase::Failed),
            undone: self.undone,
            skipped: count(Phase::Skipped),
            left: count(Phase::Waiting) + count(Phase::Running),
        };
        let outcome = match counts {
            Counts { left: 0, failed: 0, .. } => Outcome::Done,
            Counts { left: 0, .. } => Outcome::Failed,
            _ => Outcome::Stopped,
        };
        (outcome, counts)
    }
}

/// Tries until it works, fails for good, or the tries are used up; `None` when the run was asked
/// to stop between two tries. A panic counts as a fault of ours.
async fn patiently<'f, T>(
    options: &Options,
    context: &StepContext,
    note: &mpsc::Sender<Note>,
    mut attempt: impl FnMut() -> BoxFuture<'f, Result<T, StepFault>> + Send,
) -> Option<Result<T, StepFault>> {
    for tries in 1.. {
        // Nothing of ours is shared with the act but channels and the results, which a panic
        // leaves whole.
        let act = AssertUnwindSafe(async { attempt().await }).catch_unwind();
        let result = act.await.unwrap_or_else(|panic| {
            Err(StepFault::new(Blame::Bug, format!("the step panicked: {}", words(&*panic))))
        });
        let fault = match result {
            Err(fault) if fault.blame == Blame::Passing => fault,
            result => return Some(result),
        };
        let Some(pause) = options.retry.pause(tries) else { return Some(Err(fault)) };
        if context.stop.asked() {
            return None;
        }
        // For eyes only, as progress is.
        drop(note.try_send(Note { step: context.step, fault, pause }));
        tokio::select! {
            biased;
            () = context.stop.wait_asked() => return None,
            () = options.timer.sleep(pause) => {}
        }
    }
    None
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it did not say why")
}

fn between(start: Timestamp, end: Timestamp) -> Duration {
    // A clock that was set back in between must not make a negative time.
    Duration::try_from(end.duration_since(start)).unwrap_or(Duration::ZERO)
}
