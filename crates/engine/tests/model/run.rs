//! What a run promises, one promise at a time.

use crate::model::{Model, Turn, go, go_on, now, options, run_id, step, work};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use updraft_base::{Blame, Blamed as _, Digest};
use updraft_engine::{
    Attempt, Counts, CrashPlan, EngineError, Event, Journal, JournalError, Options, Outcome,
    RunEnd, RunStart, Step, StepEvent, StepId, StopSignal, Work, run,
};

fn start() -> RunStart {
    RunStart { id: run_id(), command: String::new(), who: String::new(), at: now() }
}

fn undoable(id: u32, after: &[u32]) -> Step {
    Step { undo: true, ..step(id, after) }
}

/// The events of a run, in a word each.
fn told(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            Event::RunStarted { steps, already, .. } => format!("run of {steps}, {already} done"),
            Event::StepStarted { step, attempt } => format!("start {} {attempt:?}", step.id),
            Event::StepProgress { step, text } => format!("{}: {text}", step.id),
            Event::StepPhase { step, name } => format!("phase {} {name}", step.id),
            Event::StepRetried { step, pause, .. } => format!("retry {} in {pause:?}", step.id),
            Event::StepEnded { step, .. } => format!("end {}", step.id),
            Event::StepFailed { step, fault, undoing, .. } => {
                format!(
                    "fail {} {:?}{}",
                    step.id,
                    fault.blame,
                    if *undoing { ", undo" } else { "" }
                )
            }
            Event::StepUndone { step, fault: None } => format!("undone {}", step.id),
            Event::StepUndone { step, fault: Some(_) } => format!("not undone {}", step.id),
            Event::StepSkipped { step, because } => format!("skip {} for {}", step.id, because.id),
            Event::RunEnded { outcome, .. } => format!("{outcome:?}"),
        })
        .collect()
}

struct Ran {
    journal: Journal,
    events: Vec<Event>,
    outcome: Outcome,
}

async fn ran(work: &Work, model: &Model, width: usize) -> Ran {
    let journal = Journal::in_memory().expect("there is memory");
    let mut events = Vec::new();
    let outcome = go(&journal, work, model, width, &StopSignal::new(), &mut |e| events.push(e))
        .await
        .expect("the journal holds");
    model.check();
    crate::model::check_records(&journal.run_records(run_id()).expect("the run is there"));
    Ran { journal, events, outcome }
}

#[tokio::test]
async fn a_run_tells_its_story_in_order() {
    let work = work(vec![step(0, &[]), step(1, &[0]), step(2, &[0])]);
    let ran = ran(&work, &Model::new(&work, 2), 2).await;
    assert_eq!(
        told(&ran.events),
        [
            "run of 3, 0 done",
            "start 0 First",
            "0: step/0 at work",
            "phase 0 work",
            "end 0",
            "start 1 First",
            "start 2 First",
            "1: step/1 at work",
            "phase 1 work",
            "2: step/2 at work",
            "phase 2 work",
            "end 1",
            "end 2",
            "Done",
        ]
    );
    let run = ran.journal.run_summary(run_id()).unwrap();
    assert_eq!((run.outcome, run.ended), (Some(RunEnd::Done), Some(now())));
}

#[tokio::test]
async fn work_without_steps_is_done_at_once() {
    let work = work(vec![]);
    let ran = ran(&work, &Model::new(&work, 1), 1).await;
    assert_eq!(ran.outcome, Outcome::Done);
}

#[tokio::test]
async fn a_failure_skips_what_depends_on_it_and_the_rest_is_done() {
    let work = work(vec![step(0, &[]), step(1, &[0]), step(2, &[1]), step(3, &[])]);
    let model = Model::new(&work, 1);
    model.script(0, [Turn::Fails(Blame::World)]);
    let ran = ran(&work, &model, 1).await;
    assert_eq!(ran.outcome, Outcome::Failed);
    assert_eq!(model.present(), [3]);
    let told = told(&ran.events);
    assert!(told.contains(&"fail 0 World".to_owned()), "{told:?}");
    assert!(told.contains(&"skip 2 for 0".to_owned()), "{told:?}");
    let Some(Event::RunEnded { counts, .. }) = ran.events.last() else { panic!("no end") };
    let wanted = Counts { already: 0, done: 1, failed: 1, undone: 0, skipped: 2, left: 0 };
    assert_eq!(*counts, wanted);
    assert!(ran.journal.unfinished_run().unwrap().is_none(), "a failed run is over");
}

#[tokio::test]
async fn a_failed_run_may_be_taken_up_again_and_repeats_only_what_is_not_done() {
    let work = work(vec![step(0, &[]), step(1, &[0]), step(2, &[])]);
    let model = Model::new(&work, 2);
    model.script(0, [Turn::FailsAfterEffect(Blame::World)]);
    let ran = ran(&work, &model, 2).await;
    assert_eq!(ran.outcome, Outcome::Failed);
    let outcome = go_on(&ran.journal, &work, &model, 2).await.unwrap();
    assert_eq!(outcome, Outcome::Done);
    model.check_done(&work);
    use Attempt::{Again, First};
    assert_eq!(model.attempts(), [(0, First), (2, First), (0, Again), (1, First)]);
}

#[tokio::test]
async fn a_step_that_says_nothing_goes_stops_the_run_and_lets_what_runs_finish() {
    let work = work(vec![step(0, &[]), step(1, &[]), step(2, &[])]);
    let model = Model::new(&work, 2);
    model.script(0, [Turn::StopsTheRun]);
    model.yields(1, 5, 5);
    let ran = ran(&work, &model, 2).await;
    assert_eq!(ran.outcome, Outcome::Failed);
    assert_eq!(model.present(), [0, 1]);
    assert!(told(&ran.events).contains(&"skip 2 for 0".to_owned()));
}

#[tokio::test]
async fn a_failed_creation_is_undone_and_both_are_in_the_journal_before_they_happen() {
    let work = work(vec![undoable(0, &[]), step(1, &[0])]);
    let model = Model::new(&work, 1);
    model.script(0, [Turn::FailsAfterEffect(Blame::World)]);
    let ran = ran(&work, &model, 1).await;
    assert_eq!(model.present(), [] as [u32; 0]);
    let events: Vec<StepEvent> =
        ran.journal.run_records(run_id()).unwrap().into_iter().map(|r| r.event).collect();
    assert!(matches!(
        events[..],
        [
            StepEvent::Started { .. },
            StepEvent::Failed { .. },
            StepEvent::Skipped { because: StepId(0) },
            StepEvent::UndoStarted,
            StepEvent::Undone
        ]
    ));
    assert!(told(&ran.events).ends_with(&["undone 0".to_owned(), "Failed".to_owned()]));
}

#[tokio::test]
async fn an_undo_that_fails_is_told_and_does_not_stop_the_run() {
    let work = work(vec![undoable(0, &[]), step(1, &[])]);
    let model = Model::new(&work, 1);
    model.script(0, [Turn::FailsAfterEffect(Blame::World)]);
    model.undo_fails(0);
    let ran = ran(&work, &model, 1).await;
    assert!(told(&ran.events).contains(&"not undone 0".to_owned()));
    assert_eq!(model.present(), [0, 1]);
}

#[tokio::test]
async fn a_step_holds_its_lane_until_it_is_undone() {
    let lane = |step: Step| Step { lane: Some("one".to_owned()), ..step };
    let work = work(vec![lane(undoable(0, &[])), lane(step(1, &[]))]);
    let model = Model::new(&work, 2);
    model.script(0, [Turn::FailsAfterEffect(Blame::World)]);
    let ran = ran(&work, &model, 2).await;
    let told = told(&ran.events);
    let place = |word: &str| told.iter().position(|told| told == word).unwrap();
    assert!(place("undone 0") < place("start 1 First"), "{told:?}");
}

#[tokio::test]
async fn a_passing_fault_is_tried_again_with_growing_pauses_and_looks_first() {
    let work = work(vec![step(0, &[])]);
    let model = Model::new(&work, 1);
    model.script(0, [Turn::Fails(Blame::Passing), Turn::FailsAfterEffect(Blame::Passing)]);
    let ran = ran(&work, &model, 1).await;
    assert_eq!(ran.outcome, Outcome::Done);
    use Attempt::{Again, First};
    assert_eq!(model.attempts(), [(0, First), (0, Again), (0, Again)]);
    let told = told(&ran.events);
    assert!(told.contains(&"retry 0 in 2s".to_owned()), "{told:?}");
    assert!(told.contains(&"retry 0 in 4s".to_owned()), "{told:?}");
    model.check_done(&work);
}

#[tokio::test]
async fn patience_ends_and_no_other_fault_is_tried_again() {
    let work = work(vec![step(0, &[]), step(1, &[])]);
    let model = Model::new(&work, 1);
    model.script(0, [Turn::Fails(Blame::Passing); 9]);
    model.script(1, [Turn::Fails(Blame::Asked); 9]);
    let ran = ran(&work, &model, 1).await;
    assert_eq!(ran.outcome, Outcome::Failed);
    let tries = |step| model.attempts().iter().filter(|(of, _)| *of == step).count();
    assert_eq!((tries(0), tries(1)), (6, 1));
}

#[tokio::test]
async fn a_panic_in_a_step_is_a_bug_of_that_step_alone() {
    let work = work(vec![step(0, &[]), step(1, &[])]);
    let model = Model::new(&work, 2);
    model.script(0, [Turn::Panics]);
    let ran = ran(&work, &model, 2).await;
    assert_eq!(ran.outcome, Outcome::Failed);
    let fault = ran.events.iter().find_map(|event| match event {
        Event::StepFailed { fault, .. } => Some(fault.clone()),
        _ => None,
    });
    let fault = fault.unwrap();
    assert_eq!((fault.blame, fault.message.as_str()), (Blame::Bug, "the step panicked: as told"));
    assert_eq!(model.present(), [0, 1]);
}

#[tokio::test]
async fn asked_to_stop_nothing_new_starts_and_what_runs_finishes() {
    let work = work(vec![step(0, &[]), step(1, &[]), step(2, &[]), step(3, &[])]);
    let model = Model::new(&work, 2);
    let (journal, stop) = (Journal::in_memory().unwrap(), StopSignal::new());
    let outcome = go(&journal, &work, &model, 2, &stop, &mut |event| {
        if matches!(event, Event::StepProgress { ref step, .. } if step.id == StepId(1)) {
            stop.press();
        }
    })
    .await
    .unwrap();
    assert_eq!(outcome, Outcome::Stopped);
    assert_eq!(model.present(), [0, 1]);
    let left = journal.unfinished_run().unwrap().unwrap();
    assert_eq!(left.run.outcome, Some(RunEnd::Stopped));
    assert_eq!(go_on(&journal, &work, &model, 2).await.unwrap(), Outcome::Done);
    model.check_done(&work);
    assert!(model.attempts().iter().all(|(_, attempt)| *attempt == Attempt::First));
}

#[tokio::test]
async fn asked_twice_what_runs_is_dropped_where_it_stands() {
    let work = work(vec![step(0, &[]), step(1, &[0])]);
    let model = Model::new(&work, 1);
    model.yields(0, 1, u32::MAX);
    let (journal, stop) = (Journal::in_memory().unwrap(), StopSignal::new());
    let outcome = go(&journal, &work, &model, 1, &stop, &mut |event| {
        if matches!(event, Event::StepProgress { .. }) {
            stop.press();
            stop.press();
        }
    })
    .await
    .unwrap();
    assert_eq!(outcome, Outcome::Stopped);
    let records = journal.run_records(run_id()).unwrap();
    assert!(matches!(records[..], [ref only] if matches!(only.event, StepEvent::Started { .. })));
    model.yields(0, 1, 1);
    assert_eq!(go_on(&journal, &work, &model, 1).await.unwrap(), Outcome::Done);
    assert_eq!(model.attempts()[1], (0, Attempt::Again));
    model.check_done(&work);
}

#[tokio::test]
async fn asked_to_stop_between_two_tries_a_step_is_left_for_later() {
    let work = work(vec![step(0, &[])]);
    let model = Model::new(&work, 1);
    model.script(0, [Turn::Fails(Blame::Passing); 3]);
    let (journal, stop) = (Journal::in_memory().unwrap(), StopSignal::new());
    let outcome = go(&journal, &work, &model, 1, &stop, &mut |event| {
        if matches!(event, Event::StepRetried { .. }) {
            stop.press();
        }
    })
    .await
    .unwrap();
    assert_eq!(outcome, Outcome::Stopped);
    assert_eq!(go_on(&journal, &work, &model, 1).await.unwrap(), Outcome::Done);
    model.check_done(&work);
}

#[tokio::test]
async fn a_pause_between_two_tries_is_cut_short_when_asked_to_stop() {
    struct Endless;
    #[async_trait::async_trait]
    impl updraft_engine::Timer for Endless {
        async fn sleep(&self, _: Duration) {
            std::future::pending().await
        }
    }
    let work = work(vec![step(0, &[])]);
    let model = Model::new(&work, 1);
    model.script(0, [Turn::Fails(Blame::Passing)]);
    let (journal, stop) = (Journal::in_memory().unwrap(), StopSignal::new());
    journal.begin_run(&start(), &work).unwrap();
    let options = Options { timer: Arc::new(Endless), ..options(1) };
    let outcome = run(&journal, run_id(), &work, &model, &options, &stop, &mut |event| {
        if matches!(event, Event::StepRetried { .. }) {
            stop.press();
        }
    })
    .await
    .unwrap();
    assert_eq!(outcome, Outcome::Stopped);
}

#[tokio::test]
async fn a_failed_run_that_dies_when_taken_up_again_is_unfinished() {
    let work = work(vec![step(0, &[]), step(1, &[])]);
    let model = Model::new(&work, 1);
    model.script(0, [Turn::Fails(Blame::World)]);
    let ran = ran(&work, &model, 1).await;
    assert!(ran.journal.unfinished_run().unwrap().is_none());
    let written = ran.journal.lines_written();
    ran.journal.plan_crash(CrashPlan::after(written + 2));
    assert!(go_on(&ran.journal, &work, &model, 1).await.is_err());
    ran.journal.come_alive();
    model.come_alive();
    let left = ran.journal.unfinished_run().unwrap().expect("it is unfinished");
    assert_eq!((left.run.outcome, left.run.ended), (None, None));
    assert_eq!(go_on(&ran.journal, &work, &model, 1).await.unwrap(), Outcome::Done);
    model.check_done(&work);
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_stops_the_run_before_the_act() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let work = work(vec![step(0, &[]), step(1, &[]), step(2, &[]), step(3, &[])]);
    let model = Model::new(&work, 2);
    model.yields(1, 9, 9);
    let journal = Journal::open(&path).unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "CREATE TRIGGER full BEFORE INSERT ON records WHEN new.event = 'started' AND new.step = 2
         BEGIN SELECT RAISE(ABORT, 'no room'); END",
    )
    .unwrap();
    let error = go_on(&journal, &work, &model, 2).await.unwrap_err();
    assert!(matches!(error, EngineError::Journal(JournalError::Write { .. })), "{error}");
    assert!(updraft_base::chain(&error).contains("no room"), "{error:?}");
    model.check();
    assert_eq!(model.present(), [0, 1], "what ran was not left alone");
    raw.execute_batch("DROP TRIGGER full").unwrap();
    // The end of step 0 was to be written together with the start that could not be.
    assert_eq!(go_on(&journal, &work, &model, 2).await.unwrap(), Outcome::Done);
    use Attempt::{Again, First};
    assert_eq!(model.attempts()[2..], [(0, Again), (2, First), (3, First)]);
    model.check_done(&work);
}

#[tokio::test]
async fn a_run_that_is_over_or_of_other_work_is_refused() {
    let small = work(vec![step(0, &[])]);
    let model = Model::new(&small, 1);
    let ran = ran(&small, &model, 1).await;
    let (width, stop) = (options(1), StopSignal::new());
    let again =
        run(&ran.journal, run_id(), &small, &model, &width, &stop, &mut |_| ()).await.unwrap_err();
    assert!(matches!(again, EngineError::Journal(JournalError::Over(_))), "{again}");
    let journal = Journal::in_memory().unwrap();
    let unknown =
        run(&journal, run_id(), &small, &model, &options(1), &StopSignal::new(), &mut |_| ())
            .await
            .unwrap_err();
    assert!(matches!(unknown, EngineError::Journal(JournalError::NoSuchRun(_))), "{unknown}");
    journal.begin_run(&start(), &small).unwrap();
    let other = Work::new("test", Digest::of("another basis"), vec![step(0, &[])]).unwrap();
    let error =
        run(&journal, run_id(), &other, &model, &options(1), &StopSignal::new(), &mut |_| ())
            .await
            .unwrap_err();
    assert!(matches!(error, EngineError::OtherWork(_)), "{error}");
    assert_eq!(error.blame(), Blame::Bug);
}

#[tokio::test]
async fn progress_that_nobody_keeps_up_with_is_lost_and_holds_nobody_up() {
    struct Chatty;
    #[async_trait::async_trait]
    impl updraft_engine::Actor for Chatty {
        async fn act(
            &self,
            _: &Step,
            _: Attempt,
            context: &updraft_engine::StepContext,
        ) -> Result<serde_json::Value, updraft_engine::StepFault> {
            (0..100_000).for_each(|n| context.report(n.to_string()));
            Ok(serde_json::Value::Null)
        }
        async fn undo(
            &self,
            _: &Step,
            _: &updraft_engine::StepContext,
        ) -> Result<(), updraft_engine::StepFault> {
            unreachable!("nothing is undone")
        }
    }
    let work = work(vec![step(0, &[])]);
    let journal = Journal::in_memory().unwrap();
    journal.begin_run(&start(), &work).unwrap();
    let mut heard = 0;
    let outcome =
        run(&journal, run_id(), &work, &Chatty, &options(1), &StopSignal::new(), &mut |event| {
            heard += usize::from(matches!(event, Event::StepProgress { .. }));
        })
        .await
        .unwrap();
    assert_eq!(outcome, Outcome::Done);
    assert!((1_000..100_000).contains(&heard), "{heard} were heard");
}

#[tokio::test]
async fn the_same_work_gives_the_same_journal() {
    let story = async || {
        let steps = (0..40).map(|id| step(id, if id % 3 == 0 { &[] } else { &[0] })).collect();
        let work = work(steps);
        let model = Model::new(&work, 4);
        model.script(7, [Turn::Fails(Blame::World)]);
        let ran = ran(&work, &model, 4).await;
        ran.journal.run_records(run_id()).unwrap()
    };
    assert_eq!(story().await, story().await);
}

#[tokio::test]
async fn pauses_are_asked_of_the_timer_that_was_handed_in() {
    let work = work(vec![step(0, &[])]);
    let model = Model::new(&work, 1);
    model.script(0, [Turn::Fails(Blame::Passing); 2]);
    let timer = Arc::new(crate::model::Hasty(Mutex::default()));
    let options = Options { timer: timer.clone(), ..options(1) };
    let journal = Journal::in_memory().unwrap();
    journal.begin_run(&start(), &work).unwrap();
    run(&journal, run_id(), &work, &model, &options, &StopSignal::new(), &mut |_| ())
        .await
        .unwrap();
    let asked = timer.0.lock().unwrap().clone();
    assert_eq!(asked, [Duration::from_secs(2), Duration::from_secs(4)]);
}
