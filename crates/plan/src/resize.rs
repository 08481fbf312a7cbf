//! Machines whose shape is not the one that is asked for: what differs, and what it costs to
//! change it.
//!
//! A disk grows while its machine runs, and never shrinks. Memory and processors change with a
//! restart ([decision 14](../../../docs/decisions/0014-memory-and-processors-change-with-a-restart.md)).
//! Never here: doing it.

use crate::survey::{Draw, PlanError};
use crate::{
    Act, Desired, GroupWanted, MachineFacts, Made, Memory, Observed, Plan, Power, planner,
};
use serde::{Deserialize, Serialize};
use updraft_base::{ByteSize, GroupName, MachineName};

/// What a machine has of what can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Memory.
    pub memory: ByteSize,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Disk.
    pub disk: ByteSize,
}

/// A change of shape: what is not given stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShapeChange {
    /// Memory.
    pub memory: Option<ByteSize>,
    /// Virtual CPUs.
    pub cpus: Option<u32>,
    /// Disk.
    pub disk: Option<ByteSize>,
}

impl ShapeChange {
    /// The shape that it makes of another one.
    pub fn of(&self, now: Shape) -> Shape {
        Shape {
            memory: self.memory.unwrap_or(now.memory),
            cpus: self.cpus.unwrap_or(now.cpus),
            disk: self.disk.unwrap_or(now.disk),
        }
    }
}

impl GroupWanted {
    /// The shape of its machines.
    pub fn shape(&self) -> Shape {
        Shape { memory: self.memory, cpus: self.cpus, disk: self.disk }
    }
}

impl Made {
    /// The shape it has.
    pub fn shape(&self) -> Shape {
        Shape { memory: self.memory, cpus: self.cpus, disk: self.disk }
    }
}

/// Which shape each machine is to have.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// Its group's.
    AsTheSiteSays,
    /// This one has its own, and all others keep theirs.
    Only(MachineName, ShapeChange),
}

impl Asked {
    pub(crate) fn of(&self, name: &MachineName, group: &GroupWanted, made: &Made) -> Shape {
        match self {
            Self::AsTheSiteSays => group.shape(),
            Self::Only(only, change) if only == name => change.of(made.shape()),
            Self::Only(..) => made.shape(),
        }
    }
}

/// How a machine's shape differs from the one it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drift {
    pub(crate) shape: Shape,
    /// What differs, each with what its change costs.
    pub(crate) told: Vec<String>,
    /// It has to be powered off in between.
    pub(crate) restart: bool,
}

/// What is different, if anything is. A disk that would have to shrink is not told here: see
/// [`shrinks`].
pub(crate) fn drift(facts: &MachineFacts, made: &Made, asked: Shape) -> Option<Drift> {
    let runs = matches!(facts.power, Power::On | Power::Stuck);
    let has = made.shape();
    let mut drift = Drift { shape: asked, told: Vec::new(), restart: false };
    let mut tell = |what: &str, from: String, to: String, restart: bool| {
        let cost = if restart { "restart" } else { "no restart" };
        drift.told.push(format!("{what} {from} → {to} ({cost})"));
        drift.restart |= restart;
    };
    if has.memory != asked.memory {
        tell("memory", has.memory.to_string(), asked.memory.to_string(), runs);
    }
    if has.cpus != asked.cpus {
        tell("cpus", has.cpus.to_string(), asked.cpus.to_string(), runs);
    }
    if has.disk != asked.disk {
        tell("disk", has.disk.to_string(), asked.disk.to_string(), false);
    }
    let unfinished = facts.resizing && facts.power == Power::On;
    if drift.told.is_empty() && unfinished {
        drift.told.push("finish it (no restart)".to_owned());
    }
    (!drift.told.is_empty()).then_some(drift)
}

/// A disk that has more than is asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk of `{machine}` has {has} and {asked} are asked for: a disk never shrinks")]
pub struct DiskShrinks {
    /// Machine.
    pub machine: MachineName,
    /// Its group.
    pub group: GroupName,
    /// What its disk has.
    pub has: ByteSize,
    /// What is asked for.
    pub asked: ByteSize,
}

impl DiskShrinks {
    /// What to do about it.
    pub(crate) fn advice(&self) -> String {
        format!(
            "write `disk: {}` for group `{}`; a machine gets a smaller disk only by being made anew",
            self.has, self.group
        )
    }
}

/// Refuses a disk that would have to shrink.
pub(crate) fn shrinks(
    name: &MachineName,
    group: &GroupWanted,
    made: &Made,
    asked: Shape,
) -> Result<(), DiskShrinks> {
    match made.disk > asked.disk {
        false => Ok(()),
        true => Err(DiskShrinks {
            machine: name.clone(),
            group: group.name.clone(),
            has: made.disk,
            asked: asked.disk,
        }),
    }
}

/// Plans to give one machine another shape than its group has. Nothing else is touched, and what
/// the site file says of the group stays what the next `up` asks for.
///
/// # Errors
/// When its disk would have to shrink.
pub fn plan_resize(
    desired: &Desired,
    observed: &Observed,
    memory: &Memory,
    name: &MachineName,
    change: ShapeChange,
    draw: Draw<'_>,
) -> Result<Plan, PlanError> {
    let asked = Asked::Only(name.clone(), change);
    let up = planner::plan_shaped(desired, observed, memory, &asked, draw)?;
    let about = |machine: &MachineName| machine == name;
    let restart = up.steps.iter().any(|step| {
        matches!(&step.act, Act::ResizeMachine { machine, restart: true, .. } if about(machine))
    });
    let mut plan = up.keep(|step| match &step.act {
        Act::ResizeMachine { machine, .. } => about(machine),
        // What brings it back into service after a restart.
        Act::Withdraw { machine, .. } | Act::Identify { machine, .. } => restart && about(machine),
        Act::Roll { machine, .. } => restart && about(machine),
        _ => false,
    });
    plan.changes.retain(|change| {
        change.subject == name.as_str()
            && change.because.starts_with(RESIZE)
            && !plan.steps.is_empty()
    });
    plan.verb = "machine resize".to_owned();
    Ok(plan)
}

/// What the story of a machine that is resized begins with.
pub(crate) const RESIZE: &str = "resize: ";
