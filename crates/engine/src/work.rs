//! What a run has to do: steps and their order.

use serde_json::Value;
use std::collections::HashSet;
use std::fmt;
use updraft_base::{Blame, Blamed, Digest};

/// Position of a step within its [`Work`], counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub u32);

impl StepId {
    /// The same as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One act of a plan. Every choice in it is made already, so acting twice asks the world for the
/// same thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its place in the work; equal to its index.
    pub id: StepId,
    /// Stable and unique within the work, such as `machine/worker-1/create`.
    pub key: String,
    /// What it does, for people: `create worker-1`.
    pub title: String,
    /// The machine or group it is about, for display.
    pub subject: Option<String>,
    /// Steps that must have ended well before this one starts.
    pub after: Vec<StepId>,
    /// Steps of one lane never overlap.
    pub lane: Option<String>,
    /// Whether the step is undone when its own act fails, so that nothing half made stays.
    pub undo: bool,
    /// What the actor needs to know; opaque here. It is written to the journal, so it never holds
    /// a secret.
    pub spec: Value,
}

/// Everything one run has to do. Made by [`Work::new`], which refuses a graph that cannot be run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Work {
    /// What the run is about, for people: `up hello`.
    pub title: String,
    /// Digest of the site and the plan it was made from. A run is taken up again only for the
    /// same basis.
    pub basis: Digest,
    /// The steps, in plan order: of those that could start, the earliest goes first.
    pub steps: Vec<Step>,
}

impl Work {
    /// Work of these steps.
    ///
    /// # Errors
    /// When ids are not 0, 1, 2, …, a key appears twice, a step waits for one that is not there,
    /// or steps wait for each other.
    pub fn new(
        title: impl Into<String>,
        basis: Digest,
        steps: Vec<Step>,
    ) -> Result<Self, WorkFault> {
        check(&steps)?;
        Ok(Self { title: title.into(), basis, steps })
    }

    /// The step with this id. The id must be one of this work.
    pub fn step(&self, id: StepId) -> &Step {
        &self.steps[id.index()]
    }
}

/// Why steps are not work that can be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkFault {
    /// A step's id is not its index.
    #[error("step `{key}` has id {found}, its place is {place}")]
    Place {
        /// Key of the step.
        key: String,
        /// Its id.
        found: StepId,
        /// Its index.
        place: usize,
    },
    /// Two steps have the same key.
    #[error("two steps have the key `{0}`")]
    TwiceTheKey(String),
    /// A step waits for one that is not there.
    #[error("step `{key}` waits for step {missing}, which does not exist")]
    NoSuchStep {
        /// Key of the step.
        key: String,
        /// What it waits for.
        missing: StepId,
    },
    /// Steps wait for each other.
    #[error("steps wait for each other: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// More steps than can be numbered.
    #[error("{0} steps are more than can be numbered")]
    TooMany(usize),
}

impl Blamed for WorkFault {
    fn blame(&self) -> Blame {
        Blame::Bug
    }
}

pub(crate) fn check(steps: &[Step]) -> Result<(), WorkFault> {
    if u32::try_from(steps.len()).is_err() {
        return Err(WorkFault::TooMany(steps.len()));
    }
    let mut keys = HashSet::with_capacity(steps.len());
    for (place, step) in steps.iter().enumerate() {
        if step.id.index() != place {
            return Err(WorkFault::Place { key: step.key.clone(), found: step.id, place });
        }
        if !keys.insert(step.key.as_str()) {
            return Err(WorkFault::TwiceTheKey(step.key.clone()));
        }
        if let Some(missing) = step.after.iter().find(|id| id.index() >= steps.len()) {
            return Err(WorkFault::NoSuchStep { key: step.key.clone(), missing: *missing });
        }
    }
    match cycle(steps) {
        None => Ok(()),
        Some(around) => {
            Err(WorkFault::Cycle(around.iter().map(|i| steps[*i].key.clone()).collect()))
        }
    }
}

/// One cycle among the steps, first step repeated at the end; `None` when there is none.
fn cycle(steps: &[Step]) -> Option<Vec<usize>> {
    let mut waits: Vec<usize> = steps.iter().map(|step| step.after.len()).collect();
    let mut dependents = vec![Vec::new(); steps.len()];
    for (i, step) in steps.iter().enumerate() {
        for before in &step.after {
            dependents[before.index()].push(i);
        }
    }
    let mut free: Vec<usize> = (0..steps.len()).filter(|i| waits[*i] == 0).collect();
    while let Some(i) = free.pop() {
        for dependent in &dependents[i] {
            waits[*dependent] -= 1;
            if waits[*dependent] == 0 {
                free.push(*dependent);
            }
        }
    }
    // What still waits, waits for something that still waits: following it must come around.
    let mut at = waits.iter().position(|left| *left > 0)?;
    let mut path = Vec::new();
    while !path.contains(&at) {
        path.push(at);
        at = steps[at]
            .after
            .iter()
            .map(|id| id.index())
            .find(|i| waits[*i] > 0)
            .expect("a step that waits, waits for one that waits");
    }
    let start = path.iter().position(|i| *i == at).expect("the loop ended on a step of the path");
    path.drain(..start);
    path.push(at);
    Some(path)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn step(id: u32, after: &[u32]) -> Step {
        Step {
            id: StepId(id),
            key: format!("step/{id}"),
            title: format!("do {id}"),
            subject: None,
            after: after.iter().map(|id| StepId(*id)).collect(),
            lane: None,
            undo: false,
            spec: Value::Null,
        }
    }

    pub(crate) fn work(steps: Vec<Step>) -> Work {
        Work::new("test", Digest::of("basis"), steps).unwrap()
    }

    #[test]
    fn work_that_cannot_be_run_is_refused() {
        let refused = |steps| Work::new("test", Digest::of(""), steps).unwrap_err();
        assert!(matches!(refused(vec![step(1, &[])]), WorkFault::Place { place: 0, .. }));
        assert!(matches!(refused(vec![step(0, &[7])]), WorkFault::NoSuchStep { .. }));
        assert!(matches!(refused(vec![step(0, &[0])]), WorkFault::Cycle(_)));
        let twice = Step { key: "step/0".to_owned(), ..step(1, &[]) };
        assert!(matches!(refused(vec![step(0, &[]), twice]), WorkFault::TwiceTheKey(_)));
    }

    #[test]
    fn a_cycle_is_told_by_the_keys_on_it_and_no_others() {
        let steps =
            vec![step(0, &[]), step(1, &[3, 0]), step(2, &[1]), step(3, &[2]), step(4, &[3])];
        let Err(WorkFault::Cycle(keys)) = Work::new("test", Digest::of(""), steps) else {
            panic!("a cycle was accepted");
        };
        assert_eq!(keys, ["step/1", "step/3", "step/2", "step/1"]);
    }

    #[test]
    fn a_step_may_wait_for_a_later_one_and_for_the_same_one_twice() {
        let steps = vec![step(0, &[1, 1]), step(1, &[])];
        assert!(Work::new("test", Digest::of(""), steps).is_ok());
    }
}
