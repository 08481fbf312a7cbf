//! Which step may start next: a pure bookkeeping of a graph, its lanes and what became of each
//! step.
//!
//! Only this module moves a step from one phase to another.

use crate::work::{self, WorkFault};
use crate::{Scope, StepEvent, StepId, StepRecord, Work};
use std::collections::{BTreeSet, HashMap};

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not begun in this execution.
    Waiting,
    /// Begun; it holds its lane and its place in the width until it is done or failed.
    Running,
    /// Ended well.
    Done,
    /// Failed, undone or not.
    Failed,
    /// Not done because another failed.
    Skipped,
}

/// The bookkeeping of one execution.
#[derive(Debug)]
pub(crate) struct Schedule {
    phases: Vec<Phase>,
    /// How many steps each step still waits for.
    waits: Vec<usize>,
    dependents: Vec<Vec<u32>>,
    lane_of: Vec<Option<usize>>,
    lanes: Vec<Lane>,
    /// Steps that could start now: those that are ready and in no lane, and of each free lane the
    /// first that is ready.
    candidates: BTreeSet<u32>,
    running: usize,
}

#[derive(Debug, Default)]
struct Lane {
    busy: bool,
    ready: BTreeSet<u32>,
}

impl Schedule {
    /// The bookkeeping of `work`, some of which is done already according to `records`. What
    /// failed or was skipped waits again.
    pub(crate) fn new(work: &Work, records: &[StepRecord]) -> Result<Self, WorkFault> {
        work::check(&work.steps)?;
        let count = work.steps.len();
        let mut names: HashMap<&str, usize> = HashMap::new();
        let mut schedule = Self {
            phases: vec![Phase::Waiting; count],
            waits: vec![0; count],
            dependents: vec![Vec::new(); count],
            lane_of: vec![None; count],
            lanes: Vec::new(),
            candidates: BTreeSet::new(),
            running: 0,
        };
        for record in records {
            if matches!(record.event, StepEvent::Ended { .. }) && record.step.index() < count {
                schedule.phases[record.step.index()] = Phase::Done;
            }
        }
        for step in &work.steps {
            let i = step.id.index();
            if let Some(lane) = &step.lane {
                let next = names.len();
                schedule.lane_of[i] = Some(*names.entry(lane).or_insert(next));
            }
            for before in &step.after {
                if schedule.phases[before.index()] != Phase::Done {
                    schedule.waits[i] += 1;
                    schedule.dependents[before.index()].push(step.id.0);
                }
            }
        }
        schedule.lanes.resize_with(names.len(), Lane::default);
        for i in 0..count {
            if schedule.waits[i] == 0 && schedule.phases[i] == Phase::Waiting {
                schedule.make_ready(work.steps[i].id);
            }
        }
        Ok(schedule)
    }

    /// Starts the earliest step that may start while fewer than `width` run.
    pub(crate) fn start_next(&mut self, width: usize) -> Option<StepId> {
        if self.running >= width.max(1) {
            return None;
        }
        let id = StepId(self.candidates.pop_first()?);
        self.phases[id.index()] = Phase::Running;
        self.running += 1;
        if let Some(lane) = self.lane_of[id.index()] {
            self.lanes[lane].busy = true;
            self.lanes[lane].ready.remove(&id.0);
        }
        Some(id)
    }

    /// A running step ended well.
    pub(crate) fn done(&mut self, id: StepId) {
        self.leave(id, Phase::Done);
        for dependent in std::mem::take(&mut self.dependents[id.index()]) {
            let dependent = StepId(dependent);
            self.waits[dependent.index()] -= 1;
            if self.waits[dependent.index()] == 0 && self.phase(dependent) == Phase::Waiting {
                self.make_ready(dependent);
            }
        }
    }

    /// A running step failed for good, and is undone if it had to be.
    pub(crate) fn failed(&mut self, id: StepId) {
        self.leave(id, Phase::Failed);
    }

    /// A running step was given up half way. It waits, and is not started again.
    pub(crate) fn interrupted(&mut self, id: StepId) {
        self.leave(id, Phase::Waiting);
    }

    /// Skips what a failed step stops. Returns the steps that are skipped now, in plan order.
    pub(crate) fn skip_after(&mut self, failed: StepId, scope: Scope) -> Vec<StepId> {
        let mut skipped = BTreeSet::new();
        match scope {
            Scope::Run => {
                self.candidates.clear();
                self.lanes.iter_mut().for_each(|lane| lane.ready.clear());
                for (id, phase) in (0..).zip(&self.phases) {
                    if *phase == Phase::Waiting {
                        skipped.insert(id);
                    }
                }
            }
            Scope::Dependents => {
                let mut reached = vec![failed.0];
                while let Some(id) = reached.pop() {
                    for dependent in &self.dependents[id as usize] {
                        if self.phases[*dependent as usize] == Phase::Waiting
                            && skipped.insert(*dependent)
                        {
                            reached.push(*dependent);
                        }
                    }
                }
            }
        }
        // What waits for a failed step was never ready, so its lane does not notice.
        for id in &skipped {
            self.phases[*id as usize] = Phase::Skipped;
        }
        skipped.into_iter().map(StepId).collect()
    }

    /// Where a step stands.
    pub(crate) fn phase(&self, id: StepId) -> Phase {
        self.phases[id.index()]
    }

    /// How many steps stand there.
    pub(crate) fn count(&self, phase: Phase) -> usize {
        self.phases.iter().filter(|found| **found == phase).count()
    }

    fn make_ready(&mut self, id: StepId) {
        match self.lane_of[id.index()] {
            None => {
                self.candidates.insert(id.0);
            }
            Some(lane) => {
                self.lanes[lane].ready.insert(id.0);
                self.offer_lane(lane);
            }
        }
    }

    /// Makes the first ready step of a free lane its only candidate.
    fn offer_lane(&mut self, lane: usize) {
        let Lane { busy: false, ready } = &self.lanes[lane] else { return };
        let mut ready = ready.iter();
        if let Some(first) = ready.next() {
            self.candidates.insert(*first);
        }
        // At most one other was offered before: the first until now.
        if let Some(second) = ready.next() {
            self.candidates.remove(second);
        }
    }

    fn leave(&mut self, id: StepId, phase: Phase) {
        self.phases[id.index()] = phase;
        self.running -= 1;
        if let Some(lane) = self.lane_of[id.index()] {
            self.lanes[lane].busy = false;
            self.offer_lane(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Step;
    use crate::work::tests::{step, work};

    fn in_lane(id: u32, after: &[u32], lane: &str) -> Step {
        Step { lane: Some(lane.to_owned()), ..step(id, after) }
    }

    fn start_all(schedule: &mut Schedule, width: usize) -> Vec<u32> {
        std::iter::from_fn(|| schedule.start_next(width)).map(|id| id.0).collect()
    }

    #[test]
    fn of_the_steps_that_could_start_the_earliest_goes_first_up_to_the_width() {
        let work = work(vec![step(0, &[3]), step(1, &[]), step(2, &[]), step(3, &[])]);
        let mut schedule = Schedule::new(&work, &[]).unwrap();
        assert_eq!(start_all(&mut schedule, 2), [1, 2]);
        schedule.done(StepId(2));
        assert_eq!(start_all(&mut schedule, 2), [3]);
        schedule.done(StepId(3));
        assert_eq!(start_all(&mut schedule, 2), [0]);
    }

    #[test]
    fn steps_of_one_lane_start_one_by_one_and_hold_nobody_else_up() {
        let work = work(vec![
            in_lane(0, &[], "a"),
            in_lane(1, &[], "a"),
            in_lane(2, &[], "b"),
            step(3, &[]),
        ]);
        let mut schedule = Schedule::new(&work, &[]).unwrap();
        assert_eq!(start_all(&mut schedule, 9), [0, 2, 3]);
        schedule.done(StepId(0));
        assert_eq!(start_all(&mut schedule, 9), [1]);
    }

    #[test]
    fn a_step_that_becomes_ready_late_takes_its_place_in_its_lane() {
        let work =
            work(vec![in_lane(0, &[2], "a"), in_lane(1, &[], "a"), step(2, &[]), step(3, &[])]);
        let mut schedule = Schedule::new(&work, &[]).unwrap();
        assert_eq!(schedule.start_next(1), Some(StepId(1)));
        schedule.done(StepId(1));
        assert_eq!(schedule.start_next(1), Some(StepId(2)));
        schedule.done(StepId(2));
        assert_eq!(start_all(&mut schedule, 2), [0, 3]);
    }

    #[test]
    fn a_failure_skips_what_depends_on_it_and_nothing_else() {
        let work =
            work(vec![step(0, &[]), step(1, &[0]), step(2, &[1, 3]), step(3, &[]), step(4, &[3])]);
        let mut schedule = Schedule::new(&work, &[]).unwrap();
        assert_eq!(schedule.start_next(1), Some(StepId(0)));
        schedule.failed(StepId(0));
        assert_eq!(schedule.skip_after(StepId(0), Scope::Dependents), [StepId(1), StepId(2)]);
        assert_eq!(start_all(&mut schedule, 9), [3]);
        schedule.done(StepId(3));
        assert_eq!(start_all(&mut schedule, 9), [4]);
        schedule.failed(StepId(4));
        assert_eq!(schedule.count(Phase::Skipped), 2);
    }

    #[test]
    fn a_failure_of_the_run_skips_everything_that_waits() {
        let work = work(vec![step(0, &[]), step(1, &[]), in_lane(2, &[], "a"), step(3, &[1])]);
        let mut schedule = Schedule::new(&work, &[]).unwrap();
        assert_eq!(start_all(&mut schedule, 2), [0, 1]);
        schedule.failed(StepId(0));
        assert_eq!(schedule.skip_after(StepId(0), Scope::Run), [StepId(2), StepId(3)]);
        schedule.done(StepId(1));
        assert_eq!(schedule.start_next(9), None);
    }

    #[test]
    fn ten_thousand_steps_of_one_lane_are_scheduled_in_no_time() {
        let steps = (0..10_000).map(|id| in_lane(id, &[], "all")).collect();
        let mut schedule = Schedule::new(&work(steps), &[]).unwrap();
        for id in 0..10_000 {
            assert_eq!(start_all(&mut schedule, 9), [id]);
            schedule.done(StepId(id));
        }
        assert_eq!(schedule.count(Phase::Done), 10_000);
    }
}
