//! Plans for snapshots of one machine: taking, going back to, and removing them.

use crate::builder::Builder;
use crate::planner::{Subject, Whole};
use crate::resize::Asked;
use crate::survey::Standing;
use crate::teardown::{finish, group};
use crate::{Act, ChangeKind, Desired, Draw, MachineFacts, Memory, Observed, Plan, PlanError};
use serde::{Deserialize, Serialize};
use updraft_base::{MachineName, SnapshotId, Timestamp};

/// A snapshot of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFacts {
    /// Identity.
    pub id: SnapshotId,
    /// When it was asked for.
    pub taken: Timestamp,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Memory and devices too.
    #[serde(default)]
    pub memory: bool,
}

impl SnapshotFacts {
    /// For people: the end of its id, and its label.
    pub fn title(&self) -> String {
        match &self.label {
            Some(label) => format!("{} ({label})", self.id.tail()),
            None => self.id.tail(),
        }
    }
}

/// Plans to take a snapshot, and then to remove those that are too many.
pub fn plan_snapshot(
    desired: &Desired,
    memory: &Memory,
    machine: &MachineFacts,
    snapshot: &SnapshotFacts,
    too_many: &[SnapshotFacts],
) -> Plan {
    let mut builder = Builder::default();
    let (name, title) = (&machine.name, snapshot.title());
    let what = if snapshot.memory { "with its memory" } else { "of its disk" };
    let because = format!("snapshot {title} {what}");
    builder.change(ChangeKind::Change, group(machine), name, because);
    let taken = builder.step(
        format!("machine/{name}/snapshot/{}", snapshot.id),
        format!("take snapshot {title} of {name}"),
        name.as_str(),
        [],
        Act::TakeSnapshot {
            provider: machine.provider.clone(),
            id: machine.id,
            machine: name.clone(),
            snapshot: snapshot.clone(),
        },
    );
    for old in too_many {
        builder.change(
            ChangeKind::Change,
            group(machine),
            name,
            format!("remove snapshot {}", old.title()),
        );
        drop_one(&mut builder, machine, old, [taken]);
    }
    finish("machine snapshot", desired, memory.clone(), builder)
}

/// Plans to remove a snapshot.
pub fn plan_drop_snapshot(
    desired: &Desired,
    memory: &Memory,
    machine: &MachineFacts,
    snapshot: &SnapshotFacts,
) -> Plan {
    let mut builder = Builder::default();
    let because = format!("remove snapshot {}", snapshot.title());
    builder.change(ChangeKind::Change, group(machine), &machine.name, because);
    drop_one(&mut builder, machine, snapshot, []);
    finish("machine drop", desired, memory.clone(), builder)
}

fn drop_one(
    builder: &mut Builder,
    machine: &MachineFacts,
    snapshot: &SnapshotFacts,
    after: impl IntoIterator<Item = u32>,
) {
    let name = &machine.name;
    builder.step(
        format!("machine/{name}/drop/{}", snapshot.id),
        format!("remove snapshot {} of {name}", snapshot.title()),
        name.as_str(),
        after,
        Act::DropSnapshot {
            provider: machine.provider.clone(),
            id: machine.id,
            machine: name.clone(),
            snapshot: snapshot.id,
        },
    );
}

/// Plans to bring a machine back to a snapshot of its own, and to tell it again who it is. `None`
/// when there is no such machine, or `up` would make another in its place.
///
/// # Errors
/// When a network has no address left.
pub fn plan_revert(
    desired: &Desired,
    observed: &Observed,
    memory: &Memory,
    draw: Draw<'_>,
    name: &MachineName,
    snapshot: &SnapshotFacts,
) -> Result<Option<Plan>, PlanError> {
    let asked = Asked::AsTheSiteSays;
    let whole = Whole::new(desired, observed, memory, &asked, draw)?;
    let clones = whole.survey.clones(&whole.wanted);
    let wanted = whole.wanted.iter().find(|wanted| wanted.name == *name);
    let (facts, subject) = match (wanted, clones.iter().find(|kept| kept.facts.name == *name)) {
        (Some(machine), _) => match machine.standing {
            Standing::There(facts, _) => (facts, Subject::of(machine)),
            _ => return Ok(None),
        },
        (None, Some(kept)) => (kept.facts, Subject::clone_of(kept)),
        (None, None) => return Ok(None),
    };
    let title = snapshot.title();
    whole
        .plan("machine revert", |planner| {
            let because = format!("back to snapshot {title}: what it wrote since is lost");
            planner.builder.change(ChangeKind::Replace, group(facts), name, because);
            let reverted = planner.builder.step(
                format!("machine/{name}/revert"),
                format!("bring {name} back to snapshot {title}"),
                name.as_str(),
                [],
                Act::RevertMachine {
                    provider: facts.provider.clone(),
                    id: facts.id,
                    machine: name.clone(),
                    snapshot: snapshot.id,
                },
            );
            planner.come_up_again(&subject, reverted);
        })
        .map(Some)
}

/// The snapshots that go when this one is taken and so many with its label are kept: the oldest.
pub fn too_many(
    there: &[SnapshotFacts],
    label: Option<&str>,
    keep: Option<usize>,
) -> Vec<SnapshotFacts> {
    let Some(keep) = keep else { return Vec::new() };
    let mut same: Vec<&SnapshotFacts> =
        there.iter().filter(|seen| seen.label.as_deref() == label).collect();
    same.sort_by_key(|seen| seen.id);
    let stay = keep.saturating_sub(1);
    same.iter().take(same.len().saturating_sub(stay)).map(|seen| (*seen).clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use updraft_base::SeededChance;

    fn seen(number: i64, label: Option<&str>) -> SnapshotFacts {
        let taken = Timestamp::from_second(number * 60).unwrap();
        let id = SnapshotId::draw(taken, &mut SeededChance::new(1));
        SnapshotFacts { id, taken, label: label.map(str::to_owned), memory: false }
    }

    #[test]
    fn the_oldest_with_the_same_label_go_and_no_others() {
        let nightly = Some("nightly");
        let there = [seen(3, nightly), seen(1, nightly), seen(2, None), seen(4, nightly)];
        let gone = |label, keep| too_many(&there, label, keep);
        assert_eq!(gone(nightly, None), []);
        assert_eq!(gone(nightly, Some(4)), []);
        assert_eq!(gone(nightly, Some(3)), [seen(1, nightly)]);
        assert_eq!(gone(nightly, Some(1)), [seen(1, nightly), seen(3, nightly), seen(4, nightly)]);
        assert_eq!(gone(None, Some(1)), [seen(2, None)]);
        assert_eq!(gone(Some("other"), Some(1)), []);
    }
}
