//! A run that dies at any line of its journal reaches the same end.

use crate::model::{Model, Turn, check_records, go, go_on, run_id, step, work};
use proptest::prelude::*;
use proptest::sample::Index;
use updraft_base::Blame;
use updraft_engine::{
    CrashPlan, EngineError, Event, Journal, JournalError, Outcome, RunEnd, Step, StopSignal, Work,
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime needs nothing")
        .block_on(future)
}

/// Whether a run ended in a pretended crash; any other error is a failure of the test.
fn crashed(result: &Result<Outcome, EngineError>) -> bool {
    match result {
        Ok(_) => false,
        Err(EngineError::Journal(JournalError::Crashed)) => true,
        Err(error) => panic!("{error}"),
    }
}

/// Five machines behind a network, configured in two lanes, one creation that fails at first.
fn example() -> (Work, Model) {
    let mut steps = vec![step(0, &[])];
    for machine in 0..4 {
        let first = 1 + machine * 3;
        steps.push(Step { undo: true, ..step(first, &[0]) });
        steps.push(step(first + 1, &[first]));
        let lane = Some(format!("lane-{}", machine % 2));
        steps.push(Step { lane, ..step(first + 2, &[first + 1]) });
    }
    let work = work(steps);
    let model = Model::new(&work, 3);
    model.script(4, [Turn::FailsAfterEffect(Blame::World)]);
    model.script(8, [Turn::FailsAfterEffect(Blame::Passing)]);
    (work, model)
}

/// Runs again and again until it is done, as a person would.
async fn until_done(journal: &Journal, work: &Work, model: &Model) {
    for _ in 0..20 {
        journal.come_alive();
        model.come_alive();
        let outcome = go_on(journal, work, model, 3).await.expect("no crash is planned any more");
        model.check();
        if outcome == Outcome::Done {
            model.check_done(work);
            check_records(&journal.run_records(run_id()).expect("the run is there"));
            return;
        }
    }
    panic!("twenty runs did not do it");
}

#[test]
fn a_crash_at_any_line_costs_nothing() {
    block_on(async {
        let mut lines = 0;
        for line in 1.. {
            let mut survived = 0;
            for plan in [CrashPlan::before(line), CrashPlan::after(line)] {
                let (work, model) = example();
                let journal = Journal::in_memory().unwrap();
                journal.plan_crash(plan);
                let result = go_on(&journal, &work, &model, 3).await;
                model.check();
                survived += u32::from(!crashed(&result));
                until_done(&journal, &work, &model).await;
            }
            if survived == 2 {
                break;
            }
            lines = line;
        }
        // To begin, to end, and for 11 steps a start and an end; two more are skipped.
        assert!(lines >= 26, "only {lines} lines were tried");
    });
}

#[test]
fn crashes_one_after_the_other_cost_nothing() {
    block_on(async {
        for first in [2, 5, 9, 14, 20] {
            for second in 1..20 {
                let (work, model) = example();
                let journal = Journal::in_memory().unwrap();
                journal.plan_crash(CrashPlan::after(first));
                assert!(crashed(&go_on(&journal, &work, &model, 3).await));
                journal.come_alive();
                model.come_alive();
                journal.plan_crash(CrashPlan::before(second));
                crashed(&go_on(&journal, &work, &model, 3).await);
                model.check();
                until_done(&journal, &work, &model).await;
            }
        }
    });
}

#[test]
fn dropping_a_run_at_any_moment_costs_nothing() {
    block_on(async {
        for polls in 0..200 {
            let (work, model) = example();
            let journal = Journal::in_memory().unwrap();
            let mut left = polls;
            let patience = std::future::poll_fn(|context| {
                if left == 0 {
                    return std::task::Poll::Ready(());
                }
                left -= 1;
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            });
            tokio::select! {
                biased;
                () = patience => {}
                result = go_on(&journal, &work, &model, 3) => assert!(!crashed(&result)),
            }
            model.check();
            if journal.runs(1).unwrap().first().is_none_or(|run| run.outcome != Some(RunEnd::Done))
            {
                until_done(&journal, &work, &model).await;
            }
        }
    });
}

/// One step of random work.
#[derive(Clone, Debug)]
struct Drawn {
    after: Vec<Index>,
    lane: Option<u8>,
    undo: bool,
    turns: Vec<Turn>,
    yields: (u32, u32),
}

fn blame() -> impl Strategy<Value = Blame> {
    prop_oneof![Just(Blame::World), Just(Blame::Passing), Just(Blame::Asked), Just(Blame::Bug)]
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        4 => Just(Turn::Works),
        2 => blame().prop_map(Turn::Fails),
        2 => blame().prop_map(Turn::FailsAfterEffect),
        1 => Just(Turn::StopsTheRun),
    ]
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (
        prop::collection::vec(any::<Index>(), 0..4),
        prop::option::weighted(0.4, 0u8..3),
        any::<bool>(),
        prop::collection::vec(turn(), 0..3),
        (0u32..4, 0u32..4),
    )
        .prop_map(|(after, lane, undo, turns, yields)| Drawn {
            after,
            lane,
            undo,
            turns,
            yields,
        })
}

/// How one life of the run ends, unless it is through before.
#[derive(Clone, Copy, Debug)]
enum Life {
    CrashBefore(u64),
    CrashAfter(u64),
    StopAt(usize),
    StopAtOnceAt(usize),
    Undisturbed,
}

fn life() -> impl Strategy<Value = Life> {
    prop_oneof![
        (1u64..25).prop_map(Life::CrashBefore),
        (1u64..25).prop_map(Life::CrashAfter),
        (0usize..25).prop_map(Life::StopAt),
        (0usize..25).prop_map(Life::StopAtOnceAt),
        Just(Life::Undisturbed),
    ]
}

/// Random work; steps may wait for later ones as long as there is no cycle, so they are shuffled.
fn build(steps: &[Drawn], order: &[Index]) -> Work {
    let mut places: Vec<usize> = (0..steps.len()).collect();
    for (i, index) in order.iter().enumerate().take(steps.len()) {
        places.swap(i, index.index(steps.len()));
    }
    let mut built: Vec<Option<Step>> = vec![None; steps.len()];
    for (i, drawn) in steps.iter().enumerate() {
        let after: Vec<u32> = drawn
            .after
            .iter()
            .filter(|_| i > 0)
            .map(|index| u32::try_from(places[index.index(i.max(1))]).expect("few steps"))
            .collect();
        let id = u32::try_from(places[i]).expect("few steps");
        built[places[i]] = Some(Step {
            lane: drawn.lane.map(|lane| format!("lane-{lane}")),
            undo: drawn.undo,
            ..step(id, &after)
        });
    }
    work(built.into_iter().map(|step| step.expect("each place is taken once")).collect())
}

async fn live(
    journal: &Journal,
    work: &Work,
    model: &Model,
    width: usize,
    life: Life,
) -> Option<Outcome> {
    journal.come_alive();
    model.come_alive();
    if journal
        .runs(1)
        .expect("it is readable")
        .first()
        .is_some_and(|run| run.outcome == Some(RunEnd::Done))
    {
        return Some(Outcome::Done);
    }
    let stop = StopSignal::new();
    match life {
        Life::CrashBefore(line) => journal.plan_crash(CrashPlan::before(line)),
        Life::CrashAfter(line) => journal.plan_crash(CrashPlan::after(line)),
        Life::StopAt(_) | Life::StopAtOnceAt(_) | Life::Undisturbed => {}
    }
    let mut heard = 0;
    let mut ended = 0;
    let result = go(journal, work, model, width, &stop, &mut |event| {
        match life {
            Life::StopAt(at) if at == heard => stop.press(),
            Life::StopAtOnceAt(at) if at == heard => {
                stop.press();
                stop.press();
            }
            _ => {}
        }
        heard += 1;
        ended += usize::from(matches!(event, Event::RunEnded { .. }));
    })
    .await;
    model.check();
    if crashed(&result) {
        return None;
    }
    assert_eq!(ended, 1, "a run that returns tells its end once");
    result.ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_work_with_crashes_stops_and_failures_reaches_its_end(
        steps in prop::collection::vec(drawn(), 1..12),
        order in prop::collection::vec(any::<Index>(), 12),
        width in 1usize..5,
        lives in prop::collection::vec(life(), 0..6),
    ) {
        let work = build(&steps, &order);
        let model = Model::new(&work, width);
        for (place, drawn) in steps.iter().enumerate() {
            let place = u32::try_from(place).expect("few steps");
            model.script(place, drawn.turns.iter().copied());
            model.yields(place, drawn.yields.0, drawn.yields.1);
        }
        block_on(async {
            let journal = Journal::in_memory().unwrap();
            let mut outcome = None;
            for life in lives {
                outcome = live(&journal, &work, &model, width, life).await;
                if outcome == Some(Outcome::Done) {
                    break;
                }
            }
            // Each step has at most two turns that are not its last word, so this ends.
            for _ in 0..30 {
                if outcome == Some(Outcome::Done) {
                    break;
                }
                outcome = live(&journal, &work, &model, width, Life::Undisturbed).await;
                assert_ne!(outcome, Some(Outcome::Stopped), "nobody asked it to stop");
            }
            assert_eq!(outcome, Some(Outcome::Done));
            model.check_done(&work);
            check_records(&journal.run_records(run_id()).unwrap());
        });
    }
}
