//! Matches what is wanted with what is seen, and draws what a wanted machine still lacks.
//!
//! It says how each wanted machine stands; what is done about it is the planner's.

use crate::addresses::Addresses;
use crate::resize::{self, Asked, Drift};
use crate::{
    AddressesExhausted, Cloned, Desired, Drawn, GroupWanted, MachineFacts, Made, Memory, Observed,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;
use updraft_base::{
    Blame, Blamed, Chance, Digest, ImageName, MachineId, MachineName, NetworkName, Timestamp,
};

/// What choices are drawn from.
pub struct Draw<'a> {
    /// The present moment: identities sort by it.
    pub now: Timestamp,
    /// Chance.
    pub chance: &'a mut dyn Chance,
}

/// No plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A network is full.
    #[error(transparent)]
    Addresses(#[from] AddressesExhausted),
    /// A disk would have to shrink.
    #[error(transparent)]
    Disk(#[from] resize::DiskShrinks),
}

impl Blamed for PlanError {
    fn blame(&self) -> Blame {
        Blame::Asked
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Addresses(_) => {
                "give the network a larger cidr, or the group a smaller count".to_owned()
            }
            Self::Disk(disk) => disk.advice(),
        })
    }
}

/// How a wanted machine stands.
pub(crate) enum Standing<'a> {
    /// It is not there, or only half made under the identity that was drawn for it.
    Absent,
    /// It is there but was made from something else.
    Differs(&'a MachineFacts, Vec<String>),
    /// It is as asked, but perhaps for its shape, which can be changed.
    There(&'a MachineFacts, Option<Drift>),
}

/// A wanted machine with what was drawn for it and how it stands.
pub(crate) struct Wanted<'a> {
    pub(crate) name: MachineName,
    pub(crate) group: &'a GroupWanted,
    pub(crate) drawn: Drawn,
    pub(crate) standing: Standing<'a>,
}

impl<'a> Wanted<'a> {
    /// The machine as it will go on, if it will.
    pub(crate) fn stays(&self) -> Option<&'a MachineFacts> {
        match self.standing {
            Standing::There(facts, _) => Some(facts),
            Standing::Absent | Standing::Differs(..) => None,
        }
    }
}

/// Which observed machine is which wanted one.
pub(crate) struct Survey<'a> {
    desired: &'a Desired,
    memory: &'a Memory,
    observed: &'a Observed,
    asked: &'a Asked,
    by_id: HashMap<MachineId, &'a MachineFacts>,
    by_name: HashMap<&'a MachineName, &'a MachineFacts>,
    images: BTreeMap<&'a ImageName, Digest>,
    pub(crate) bridges: BTreeMap<NetworkName, String>,
    /// Networks whose addresses changed, so that everything on them is made anew.
    moved: BTreeSet<NetworkName>,
    pub(crate) addresses: Addresses,
}

/// A clone that goes on.
pub(crate) struct Kept<'a> {
    pub(crate) facts: &'a MachineFacts,
    pub(crate) drawn: Drawn,
}

impl<'a> Survey<'a> {
    pub(crate) fn new(
        desired: &'a Desired,
        observed: &'a Observed,
        memory: &'a Memory,
        asked: &'a Asked,
    ) -> Self {
        let mut by_name: HashMap<&MachineName, &MachineFacts> = HashMap::new();
        for machine in observed.machines.iter() {
            if machine.made.is_none() || machine.clone_of.is_some() {
                continue;
            }
            // Of two with one name the older is kept: ids sort by age.
            by_name
                .entry(&machine.name)
                .and_modify(|kept| *kept = if machine.id < kept.id { machine } else { kept })
                .or_insert(machine);
        }
        let moved = desired
            .networks
            .iter()
            .filter(|wanted| {
                let mut same = observed.networks.iter().filter(|seen| seen.name == wanted.name);
                same.any(|seen| seen.cidr != wanted.cidr)
            })
            .map(|wanted| wanted.name.clone())
            .collect();
        Self {
            desired,
            memory,
            observed,
            asked,
            by_id: observed.machines.iter().map(|machine| (machine.id, machine)).collect(),
            by_name,
            images: desired.images.iter().map(|image| (&image.name, image.digest)).collect(),
            bridges: memory.bridges.clone(),
            moved,
            addresses: Addresses::new(memory, observed),
        }
    }

    pub(crate) fn image(&self, group: &GroupWanted) -> Digest {
        *self.images.get(&group.image).expect("a checked site names only images it has")
    }

    /// Every wanted machine, matched and drawn, in the order of the site file.
    pub(crate) fn wanted(&mut self, draw: Draw<'_>) -> Result<Vec<Wanted<'a>>, PlanError> {
        for network in &self.desired.networks {
            if !self.bridges.contains_key(&network.name) {
                let seen = self.observed.networks.iter().find(|seen| seen.name == network.name);
                // The kernel allows 15 bytes for the name of an interface (IFNAMSIZ less one).
                let bridge = seen.map_or_else(
                    || format!("ud-{:08x}", draw.chance.next_u64() >> 32),
                    |seen| seen.bridge.clone(),
                );
                self.bridges.insert(network.name.clone(), bridge);
            }
        }
        let mut addresses = std::mem::take(&mut self.addresses);
        let mut all = Vec::new();
        let desired = self.desired;
        for group in &desired.groups {
            for name in group.machines() {
                let known = self.memory.machines.get(&name);
                let seen = known
                    .and_then(|drawn| self.by_id.get(&drawn.id))
                    .or_else(|| self.by_name.get(&name))
                    .copied();
                let standing = match seen {
                    Some(facts) => self.standing(&name, group, facts)?,
                    None => Standing::Absent,
                };
                let fresh_address = |addresses: &mut Addresses| {
                    addresses.draw(desired, &group.network).map_err(PlanError::from)
                };
                let moved = self.moved.contains(&group.network);
                let drawn = match (&standing, known) {
                    (Standing::There(facts, _), _) => {
                        let made = facts.made.as_ref().expect("one that is there is made");
                        Drawn {
                            id: facts.id,
                            mac: made.mac,
                            network: made.network.clone(),
                            address: made.address,
                            cloned: None,
                        }
                    }
                    (Standing::Absent, Some(known))
                        if known.network == group.network && known.cloned.is_none() && !moved =>
                    {
                        known.clone()
                    }
                    (Standing::Differs(facts, _), _) => {
                        let made = facts.made.as_ref().expect("one that differs is made");
                        let keeps = made.network == group.network && !moved;
                        let address = match keeps {
                            true => made.address,
                            false => fresh_address(&mut addresses)?,
                        };
                        Self::fresh(draw.now, &mut *draw.chance, group, address, &mut addresses)
                    }
                    (Standing::Absent, _) => {
                        let address = fresh_address(&mut addresses)?;
                        Self::fresh(draw.now, &mut *draw.chance, group, address, &mut addresses)
                    }
                };
                all.push(Wanted { name, group, drawn, standing });
            }
        }
        self.addresses = addresses;
        Ok(all)
    }

    /// The clones that go on: those whose network is still asked for under the same addresses, and
    /// whose name is no other machine's.
    pub(crate) fn clones(&self, wanted: &[Wanted<'_>]) -> Vec<Kept<'a>> {
        let names: HashSet<&MachineName> = wanted.iter().map(|w| &w.name).collect();
        let goes_on = |facts: &&'a MachineFacts| {
            let made = facts.made.as_ref().filter(|_| facts.clone_of.is_some());
            made.is_some_and(|made| self.has_network(&made.network)) && !names.contains(&facts.name)
        };
        self.observed.machines.iter().filter(goes_on).map(|facts| self.kept(facts)).collect()
    }

    fn has_network(&self, name: &NetworkName) -> bool {
        self.desired.networks.iter().any(|network| network.name == *name)
            && !self.moved.contains(name)
    }

    fn kept(&self, facts: &'a MachineFacts) -> Kept<'a> {
        let made = facts.made.as_ref().expect("a clone that goes on is made");
        let of = facts.clone_of.and_then(|id| self.by_id.get(&id));
        let known = self.memory.machines.get(&facts.name).and_then(|drawn| drawn.cloned.clone());
        let of = match (of, known) {
            (Some(of), _) => of.name.clone(),
            (None, Some(known)) => known.of,
            // Nobody knows any more; its own name is a name.
            (None, None) => facts.name.clone(),
        };
        let cloned = Some(Cloned { provider: facts.provider.clone(), of });
        let drawn = Drawn {
            id: facts.id,
            mac: made.mac,
            network: made.network.clone(),
            address: made.address,
            cloned,
        };
        Kept { facts, drawn }
    }

    fn fresh(
        now: Timestamp,
        chance: &mut dyn Chance,
        group: &GroupWanted,
        address: Ipv4Addr,
        addresses: &mut Addresses,
    ) -> Drawn {
        Drawn {
            id: MachineId::draw(now, chance),
            mac: addresses.draw_mac(chance),
            network: group.network.clone(),
            address,
            cloned: None,
        }
    }

    /// How a machine that is seen stands.
    fn standing(
        &self,
        name: &MachineName,
        group: &GroupWanted,
        facts: &'a MachineFacts,
    ) -> Result<Standing<'a>, PlanError> {
        let Some(made) = &facts.made else { return Ok(Standing::Absent) };
        let mut reasons = self.reasons(group, facts, made);
        let asked = self.asked.of(name, group, made);
        let drift = resize::drift(facts, made, asked);
        if facts.unborn {
            reasons.extend(drift.iter().flat_map(|drift| drift.told.iter().cloned()));
        }
        if !reasons.is_empty() {
            return Ok(Standing::Differs(facts, reasons));
        }
        resize::shrinks(name, group, made, asked)?;
        Ok(Standing::There(facts, drift))
    }

    /// Why a machine cannot go on as what it is, whatever its shape. Empty when it can.
    fn reasons(&self, group: &GroupWanted, facts: &MachineFacts, made: &Made) -> Vec<String> {
        let mut reasons = Vec::new();
        if facts.provider != group.provider {
            reasons.push(format!("provider {} → {}", facts.provider, group.provider));
        }
        if made.image != self.image(group) {
            reasons.push(format!("image {} changed", group.image));
        }
        if made.network != group.network {
            reasons.push(format!("network {} → {}", made.network, group.network));
        } else if self.moved.contains(&group.network) {
            reasons.push(format!("network {} has other addresses", group.network));
        }
        reasons
    }

    /// Machines that carry our mark and are not wanted.
    pub(crate) fn unwanted(&self, wanted: &[Wanted<'_>]) -> Vec<&'a MachineFacts> {
        let kept: HashSet<MachineId> = wanted
            .iter()
            .map(|w| match &w.standing {
                Standing::Differs(facts, _) | Standing::There(facts, _) => facts.id,
                Standing::Absent => w.drawn.id,
            })
            .chain(self.clones(wanted).iter().map(|clone| clone.facts.id))
            .collect();
        self.observed.machines.iter().filter(|machine| !kept.contains(&machine.id)).collect()
    }

    pub(crate) fn remembered(&self, wanted: &[Wanted<'_>]) -> Memory {
        let clones = self.clones(wanted);
        let clones = clones.iter().map(|clone| (clone.facts.name.clone(), clone.drawn.clone()));
        Memory {
            site: None,
            machines: wanted
                .iter()
                .map(|w| (w.name.clone(), w.drawn.clone()))
                .chain(clones)
                .collect(),
            bridges: self.bridges.clone(),
        }
    }
}
