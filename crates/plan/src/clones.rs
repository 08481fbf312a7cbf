//! Plans for clones: machines that are made from another one, beside the site file.
//!
//! A clone carries the site's mark and is remembered by name like any other machine. `up` keeps it
//! and has it run, as long as the site file has its network and gives its name to no other; no play
//! configures it, and it serves behind no balancer.

use crate::builder::Builder;
use crate::planner::{Subject, Whole};
use crate::resize::Asked;
use crate::survey::{Kept, Standing};
use crate::teardown::{finish, group};
use crate::{
    Act, ChangeKind, CloneDrawn, Cloned, Desired, Draw, Drawn, MachineFacts, Memory, Observed,
    Plan, PlanError,
};
use std::collections::BTreeSet;
use updraft_base::{Blame, Blamed, MachineId, MachineName};

/// Clones that are asked for.
#[derive(Clone, Debug)]
pub struct CloneWish {
    /// The machine that they are made from.
    pub of: MachineName,
    /// The one name, where one was given.
    pub name: Option<MachineName>,
    /// How many.
    pub count: u32,
    /// With its memory.
    pub live: bool,
}

/// Why no clones can be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanCloneError {
    /// As for other plans.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The original is not there, or `up` would make another in its place.
    #[error("`{0}` is not as the site file asks for it, so that nothing can be made from it")]
    NotThere(MachineName),
    /// The name is in use.
    #[error("there is a machine `{0}` already")]
    Taken(MachineName),
    /// The site file may ask for a machine of that name.
    #[error("`{name}` is a name for the machines of group `{group}`")]
    OfGroup {
        /// The name.
        name: MachineName,
        /// The group.
        group: String,
    },
    /// No name can be made.
    #[error("`{0}` is too long to name clones after: give a name with --as")]
    TooLong(MachineName),
}

impl Blamed for PlanCloneError {
    fn blame(&self) -> Blame {
        match self {
            Self::Plan(error) => error.blame(),
            Self::NotThere(_) => Blame::World,
            Self::Taken(_) | Self::OfGroup { .. } | Self::TooLong(_) => Blame::Asked,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Plan(error) => error.hint(),
            Self::NotThere(_) => Some("`updraft plan` shows what it lacks".to_owned()),
            Self::Taken(_) | Self::OfGroup { .. } => Some("give another with --as".to_owned()),
            Self::TooLong(_) => None,
        }
    }
}

/// Plans clones of a machine. Those that an earlier run began and did not finish come first:
/// `told` are the machines that have been themselves.
///
/// # Errors
/// [`PlanCloneError`].
pub fn plan_clone(
    desired: &Desired,
    observed: &Observed,
    memory: &Memory,
    draw: Draw<'_>,
    wish: &CloneWish,
    told: &BTreeSet<MachineId>,
) -> Result<Plan, PlanCloneError> {
    let Draw { now, chance } = draw;
    let (asked, draw) = (Asked::AsTheSiteSays, Draw { now, chance: &mut *chance });
    let mut whole = Whole::new(desired, observed, memory, &asked, draw)?;
    let original = original(&whole, &wish.of)?.clone();
    let made = original.made.as_ref().expect("an original is made");
    let unfinished = |facts: &&MachineFacts| {
        facts.clone_of == Some(original.id) && (facts.made.is_none() || !told.contains(&facts.id))
    };
    let left: Vec<&MachineFacts> = observed.machines.iter().filter(unfinished).collect();
    let (mut fresh, mut finish) = (Vec::new(), Vec::new());
    for name in names(&whole, wish, &left)? {
        let begun = left.iter().find(|facts| facts.name == name);
        if begun.is_some_and(|facts| facts.made.is_some()) {
            finish.push(name);
            continue;
        }
        let network = &made.network;
        let known = memory.machines.get(&name).filter(|drawn| {
            begun.is_some_and(|facts| facts.id == drawn.id) && drawn.network == *network
        });
        let drawn = match known {
            Some(known) => known.clone(),
            None => Drawn {
                id: MachineId::draw(now, chance),
                mac: whole.survey.addresses.draw_mac(chance),
                network: network.clone(),
                address: whole.survey.addresses.draw(desired, network).map_err(PlanError::from)?,
                cloned: Some(Cloned {
                    provider: original.provider.clone(),
                    of: original.name.clone(),
                }),
            },
        };
        whole.more.insert(name.clone(), drawn.clone());
        fresh.push((name, drawn));
    }
    let clones = whole.survey.clones(&whole.wanted);
    let finish: Vec<&Kept<'_>> =
        clones.iter().filter(|kept| finish.contains(&kept.facts.name)).collect();
    let plan = whole.plan("machine clone", |planner| {
        let how = if wish.live { "with its memory" } else { "its disk" };
        let mut cloned = None;
        if let [(first, _), ..] = fresh.as_slice() {
            for (name, _) in &fresh {
                let because = format!("from {}, {how}", original.name);
                planner.builder.change(ChangeKind::Create, "clone", name, because);
            }
            let of = &original.name;
            cloned = Some(planner.builder.step(
                format!("machine/{of}/clone/{first}"),
                format!("clone {of}"),
                of.as_str(),
                [],
                Act::CloneMachine {
                    provider: original.provider.clone(),
                    of: original.id,
                    machine: of.clone(),
                    live: wish.live,
                    clones: fresh.iter().map(|(name, drawn)| clone_drawn(name, drawn)).collect(),
                },
            ));
        }
        for (name, drawn) in &fresh {
            let subject = Subject { name, provider: &original.provider, drawn };
            planner.come_up_again(&subject, cloned.expect("they are made"));
        }
        for kept in &finish {
            let name = &kept.facts.name;
            planner.builder.change(ChangeKind::Change, "clone", name, "finish: it was begun");
            let subject = Subject::clone_of(kept);
            let after = planner.repair_network(&subject).into_iter().collect();
            planner.start(&subject, after);
        }
    })?;
    Ok(plan)
}

fn clone_drawn(name: &MachineName, drawn: &Drawn) -> CloneDrawn {
    CloneDrawn { id: drawn.id, machine: name.clone(), mac: drawn.mac, address: drawn.address }
}

fn original<'a>(whole: &Whole<'a>, name: &MachineName) -> Result<&'a MachineFacts, PlanCloneError> {
    let not_there = || PlanCloneError::NotThere(name.clone());
    if let Some(wanted) = whole.wanted.iter().find(|wanted| wanted.name == *name) {
        return match wanted.standing {
            Standing::There(facts, _) => Ok(facts),
            _ => Err(not_there()),
        };
    }
    let clones = whole.survey.clones(&whole.wanted);
    let kept = clones.iter().find(|kept| kept.facts.name == *name);
    kept.map(|kept| kept.facts).ok_or_else(not_there)
}

/// Names for the clones: the one that was given, or those of clones that were begun, and then the
/// lowest that are free.
fn names(
    whole: &Whole<'_>,
    wish: &CloneWish,
    left: &[&MachineFacts],
) -> Result<Vec<MachineName>, PlanCloneError> {
    let taken: BTreeSet<&MachineName> =
        whole.wanted.iter().map(|wanted| &wanted.name).chain(whole.names_seen()).collect();
    if let Some(name) = &wish.name {
        if let Some(group) = whole.group_that_may_have(name) {
            return Err(PlanCloneError::OfGroup { name: name.clone(), group });
        }
        let begun = left.iter().any(|facts| facts.name == *name);
        return match taken.contains(name) && !begun {
            true => Err(PlanCloneError::Taken(name.clone())),
            false => Ok(vec![name.clone()]),
        };
    }
    let many = usize::try_from(wish.count).unwrap_or(usize::MAX);
    let ours =
        |facts: &&&MachineFacts| facts.name.as_str().starts_with(&format!("{}-clone-", wish.of));
    let mut names: Vec<MachineName> =
        left.iter().filter(ours).map(|facts| facts.name.clone()).take(many).collect();
    let mut number = 0;
    while names.len() < many {
        number += 1;
        let name = format!("{}-clone-{number}", wish.of);
        let name: MachineName =
            name.parse().map_err(|_| PlanCloneError::TooLong(wish.of.clone()))?;
        let free = !taken.contains(&name) && whole.group_that_may_have(&name).is_none();
        if free && !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Plans to remove a clone with everything of it.
pub fn plan_destroy_clone(desired: &Desired, memory: &Memory, machine: &MachineFacts) -> Plan {
    let mut builder = Builder::default();
    let name = &machine.name;
    builder.change(ChangeKind::Destroy, group(machine), name, machine.belongings());
    builder.step(
        format!("machine/{name}/destroy/{}", machine.id.tail()),
        format!("destroy {name}"),
        name.as_str(),
        [],
        Act::DestroyMachine {
            provider: machine.provider.clone(),
            id: machine.id,
            machine: name.clone(),
        },
    );
    finish("machine destroy", desired, memory.clone(), builder)
}
