//! Collects steps and changes while a plan is made.

use crate::{Act, Change, ChangeKind, PlanStep};
use std::collections::BTreeMap;
use updraft_base::{MachineName, ServiceName};

/// Steps and changes so far, and which step leaves each machine ready for what comes next.
#[derive(Default)]
pub(crate) struct Builder {
    pub(crate) steps: Vec<PlanStep>,
    pub(crate) changes: Vec<Change>,
    /// Last step of a machine's own chain, if it has one.
    pub(crate) ready: BTreeMap<MachineName, u32>,
    /// Steps that bring a service to a machine.
    pub(crate) rolled: BTreeMap<(ServiceName, MachineName), u32>,
}

impl Builder {
    /// Adds a step after those given; returns its id.
    pub(crate) fn step(
        &mut self,
        key: String,
        title: String,
        subject: &str,
        after: impl IntoIterator<Item = u32>,
        act: Act,
    ) -> u32 {
        let id = u32::try_from(self.steps.len()).expect("a plan has fewer than 2^32 steps");
        let mut after: Vec<u32> = after.into_iter().collect();
        after.sort_unstable();
        after.dedup();
        self.steps.push(PlanStep {
            id,
            key,
            title,
            subject: subject.to_owned(),
            after,
            lane: None,
            act,
        });
        id
    }

    /// Adds a line for people.
    pub(crate) fn change(
        &mut self,
        kind: ChangeKind,
        group: impl ToString,
        subject: impl ToString,
        because: impl Into<String>,
    ) {
        self.changes.push(Change {
            kind,
            group: group.to_string(),
            subject: subject.to_string(),
            because: because.into(),
        });
    }

    /// The step after which this machine can be worked on, if it has one.
    pub(crate) fn ready_after(&self, machine: &MachineName) -> Option<u32> {
        self.ready.get(machine).copied()
    }
}
