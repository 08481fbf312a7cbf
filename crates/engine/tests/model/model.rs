//! A model of a world that steps act on, and of the promises an engine keeps to it.
//!
//! The model knows what an actor may rely on: steps it depends on have ended and their results are
//! there, lanes do not overlap, the width is kept, a first attempt finds the world untouched.
//! Whatever else happens is a violation, kept with the words for it.

use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use updraft_base::{Blame, Digest, FixedClock, RunId, SeededChance, Timestamp};
use updraft_engine::{
    Actor, Attempt, EngineError, Event, Journal, Options, Outcome, RunEnd, RunStart, Step,
    StepContext, StepEvent, StepFault, StepId, StepRecord, StopSignal, Timer, Work, policy, run,
};

/// How one attempt at a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It works.
    Works,
    /// It fails before it had any effect.
    Fails(Blame),
    /// It has its effect and then fails.
    FailsAfterEffect(Blame),
    /// As [`Turn::FailsAfterEffect`], stopping the run.
    StopsTheRun,
    /// It panics after its effect.
    Panics,
}

/// What is to become of each step.
#[derive(Debug, Default)]
struct Script {
    turns: BTreeMap<String, VecDeque<Turn>>,
    undo_fails: BTreeSet<String>,
    /// How often an act lets others go on, before and after its effect.
    yields: BTreeMap<String, (u32, u32)>,
}

/// The world.
#[derive(Debug, Default)]
struct State {
    script: Script,
    work: Option<Work>,
    width: usize,
    present: BTreeSet<String>,
    /// Effects and undone effects, by step.
    made: BTreeMap<String, u32>,
    unmade: BTreeMap<String, u32>,
    /// Steps whose act was ever entered.
    touched: BTreeSet<String>,
    running: BTreeSet<String>,
    attempts: Vec<(String, Attempt)>,
    violations: Vec<String>,
}

/// A world that steps act on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model(Arc<Mutex<State>>);

impl Model {
    /// A world where everything works.
    pub(crate) fn new(work: &Work, width: usize) -> Self {
        let model = Self::default();
        let mut state = model.state();
        state.work = Some(work.clone());
        state.width = width;
        drop(state);
        model
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with the lock held")
    }

    /// Says how the next attempts at a step go; after them it works.
    pub(crate) fn script(&self, step: u32, turns: impl IntoIterator<Item = Turn>) {
        self.state().script.turns.insert(key(step), turns.into_iter().collect());
    }

    /// The undoing of a step fails.
    pub(crate) fn undo_fails(&self, step: u32) {
        self.state().script.undo_fails.insert(key(step));
    }

    /// How often a step lets others go on before and after its effect.
    pub(crate) fn yields(&self, step: u32, before: u32, after: u32) {
        self.state().script.yields.insert(key(step), (before, after));
    }

    /// Attempts so far, in order.
    pub(crate) fn attempts(&self) -> Vec<(u32, Attempt)> {
        self.state().attempts.iter().map(|(key, attempt)| (number(key), *attempt)).collect()
    }

    /// Steps whose effect is there.
    pub(crate) fn present(&self) -> Vec<u32> {
        let mut present: Vec<u32> = self.state().present.iter().map(|key| number(key)).collect();
        present.sort_unstable();
        present
    }

    /// A new process: nothing runs any more.
    pub(crate) fn come_alive(&self) {
        self.state().running.clear();
    }

    /// Panics when a promise was broken so far, or an effect is there twice.
    pub(crate) fn check(&self) {
        let state = self.state();
        assert!(state.violations.is_empty(), "{:#?}", state.violations);
        for (key, made) in &state.made {
            let unmade = state.unmade.get(key).copied().unwrap_or(0);
            let there = u32::from(state.present.contains(key));
            assert_eq!(made - unmade, there, "{key} was made {made} times, unmade {unmade}");
        }
    }

    /// Panics unless every step has had its effect, once.
    pub(crate) fn check_done(&self, work: &Work) {
        self.check();
        let all: Vec<u32> = (0..).take(work.steps.len()).collect();
        assert_eq!(self.present(), all);
    }
}

fn key(step: u32) -> String {
    format!("step/{step}")
}

fn number(key: &str) -> u32 {
    key.rsplit('/').next().and_then(|n| n.parse().ok()).expect("keys end in their number")
}

/// Notes that a step runs for as long as it lives, however it ends.
struct Running {
    model: Model,
    key: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.model.state().running.remove(&self.key);
    }
}

impl Model {
    fn enter(&self, step: &Step) -> Running {
        let mut state = self.state();
        let work = state.work.clone().expect("the model knows the work");
        let clash = state
            .running
            .iter()
            .find(|other| work.step(StepId(number(other))).lane == step.lane && step.lane.is_some())
            .cloned();
        if let Some(clash) = clash {
            state.violations.push(format!("{} overlaps {clash} in its lane", step.key));
        }
        if !state.running.insert(step.key.clone()) {
            state.violations.push(format!("{} runs twice at once", step.key));
        }
        if state.running.len() > state.width {
            let crowd = format!("{:?} run at once", state.running);
            state.violations.push(crowd);
        }
        Running { model: self.clone(), key: step.key.clone() }
    }
}

#[async_trait]
impl Actor for Model {
    async fn act(
        &self,
        step: &Step,
        attempt: Attempt,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let _running = self.enter(step);
        let (turn, before, after) = {
            let mut state = self.state();
            state.attempts.push((step.key.clone(), attempt));
            let fresh = state.touched.insert(step.key.clone());
            if attempt == Attempt::First && !fresh {
                state.violations.push(format!("{} is tried first a second time", step.key));
            }
            for before in &step.after {
                let before = key(before.0);
                if !state.present.contains(&before) {
                    state.violations.push(format!("{} runs before {before}", step.key));
                }
                if context.result(&before) != Some(json!({ "of": before })) {
                    state.violations.push(format!("{} has no result of {before}", step.key));
                }
            }
            let turn = state.script.turns.get_mut(&step.key).and_then(VecDeque::pop_front);
            let (before, after) = state.script.yields.get(&step.key).copied().unwrap_or((1, 1));
            (turn.unwrap_or(Turn::Works), before, after)
        };
        context.report(format!("{} at work", step.key));
        context.phase("work");
        for _ in 0..before {
            tokio::task::yield_now().await;
        }
        if let Turn::Fails(blame) = turn {
            return Err(StepFault::new(blame, "failed as told"));
        }
        {
            // Looks before it acts.
            let mut state = self.state();
            if state.present.insert(step.key.clone()) {
                *state.made.entry(step.key.clone()).or_default() += 1;
            }
        }
        for _ in 0..after {
            tokio::task::yield_now().await;
        }
        match turn {
            Turn::Works | Turn::Fails(_) => Ok(json!({ "of": step.key })),
            Turn::FailsAfterEffect(blame) => Err(StepFault::new(blame, "failed after all")),
            Turn::StopsTheRun => {
                Err(StepFault::new(Blame::World, "nothing goes").stopping_the_run())
            }
            Turn::Panics => panic!("as told"),
        }
    }

    async fn undo(&self, step: &Step, _context: &StepContext) -> Result<(), StepFault> {
        let _running = self.enter(step);
        if !step.undo {
            self.state().violations.push(format!("{} is undone unasked", step.key));
        }
        tokio::task::yield_now().await;
        let mut state = self.state();
        if state.script.undo_fails.contains(&step.key) {
            return Err(StepFault::new(Blame::World, "it stays"));
        }
        if state.present.remove(&step.key) {
            *state.unmade.entry(step.key.clone()).or_default() += 1;
        }
        Ok(())
    }
}

/// A step that depends on these.
pub(crate) fn step(id: u32, after: &[u32]) -> Step {
    Step {
        id: StepId(id),
        key: key(id),
        title: format!("do {id}"),
        subject: None,
        after: after.iter().map(|id| StepId(*id)).collect(),
        lane: None,
        undo: false,
        spec: Value::Null,
    }
}

/// Work of these steps.
pub(crate) fn work(steps: Vec<Step>) -> Work {
    Work::new("test", Digest::of("basis"), steps).expect("the work is sound")
}

/// The moment everything happens at.
pub(crate) fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("it is a time")
}

/// The only run there is.
pub(crate) fn run_id() -> RunId {
    RunId::draw(now(), &mut SeededChance::new(1))
}

/// A timer that takes no time and remembers what it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Hasty(pub(crate) Mutex<Vec<Duration>>);

#[async_trait]
impl Timer for Hasty {
    async fn sleep(&self, pause: Duration) {
        self.0.lock().expect("no test panics with the lock held").push(pause);
        tokio::task::yield_now().await;
    }
}

/// Options of a test.
pub(crate) fn options(width: usize) -> Options {
    Options {
        width,
        clock: Arc::new(FixedClock(now())),
        timer: Arc::new(Hasty::default()),
        retry: policy::STEP,
    }
}

/// Begins the run if the journal does not know it, then does what is left of it. A run that is
/// done has nothing left, as after a crash that only its last word was lost in.
pub(crate) async fn go(
    journal: &Journal,
    work: &Work,
    model: &Model,
    width: usize,
    stop: &StopSignal,
    events: &mut (dyn FnMut(Event) + Send),
) -> Result<Outcome, EngineError> {
    if journal.runs(1)?.is_empty() {
        let start = RunStart {
            id: run_id(),
            command: "updraft up".to_owned(),
            who: "ops".to_owned(),
            at: now(),
        };
        journal.begin_run(&start, work)?;
    }
    if journal.run_summary(run_id())?.outcome == Some(RunEnd::Done) {
        return Ok(Outcome::Done);
    }
    if let Some(left) = journal.unfinished_run()? {
        assert_eq!(left.work, *work, "the journal remembers other work");
    }
    run(journal, run_id(), work, model, &options(width), stop, events).await
}

/// As [`go`], without anybody listening or stopping it.
pub(crate) async fn go_on(
    journal: &Journal,
    work: &Work,
    model: &Model,
    width: usize,
) -> Result<Outcome, EngineError> {
    go(journal, work, model, width, &StopSignal::new(), &mut |_| ()).await
}

/// Panics unless the records of each step tell a story that can have happened.
pub(crate) fn check_records(records: &[StepRecord]) {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum At {
        New,
        Skipped,
        Started,
        Ended,
        Failed,
        Undoing,
    }
    let mut at: BTreeMap<StepId, At> = BTreeMap::new();
    let mut begun: BTreeSet<StepId> = BTreeSet::new();
    for (place, record) in (1..).zip(records) {
        assert_eq!(record.seq, place, "lines are missing");
        let now = at.get(&record.step).copied().unwrap_or(At::New);
        let next = match (now, &record.event) {
            (At::Ended, event) => panic!("step {}: {event:?} after its end", record.step),
            (_, StepEvent::Started { attempt }) => {
                let first = begun.insert(record.step);
                assert_eq!(*attempt == Attempt::First, first, "step {}", record.step);
                At::Started
            }
            (At::Started, StepEvent::Ended { .. }) => At::Ended,
            (At::Started, StepEvent::Failed { .. }) => At::Failed,
            (At::Failed, StepEvent::UndoStarted) => At::Undoing,
            (At::Undoing, StepEvent::Undone | StepEvent::UndoFailed { .. }) => At::Failed,
            (
                At::New | At::Skipped | At::Started | At::Failed | At::Undoing,
                StepEvent::Skipped { .. },
            ) => At::Skipped,
            (now, event) => panic!("step {}: {event:?} when {now:?}", record.step),
        };
        at.insert(record.step, next);
    }
}
