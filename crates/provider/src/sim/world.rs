//! What there is in a simulated world, and what can be done to it. No time, no files, no chance.

use super::machine::{Around, Disk, SimMachine, SimSnapshot, Wires, answer};
use super::store::Line;
use crate::{
    MachineOrder, MachineSeen, NetworkOrder, NetworkSeen, Power, Progress, ProviderError, Seen,
    Shape, SnapshotOrder, SnapshotSeen, Start, TemplateOrder, TemplateSeen,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use updraft_base::{Blame, ByteSize, Digest, Mac, MachineId, NetworkName, SiteId, SnapshotId};
use updraft_wire::{ProbeTarget, Request, Response};

/// Machines and networks of any number of sites.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct World {
    pub(super) machines: BTreeMap<MachineId, SimMachine>,
    pub(super) networks: BTreeMap<(SiteId, NetworkName), (NetworkOrder, bool)>,
    pub(super) unhealthy: BTreeSet<String>,
    /// Templates by name, of all sites. They go with the world when nothing else is in it.
    pub(super) templates: BTreeMap<Digest, TemplateOrder>,
    /// Which machine has an address, or an Ethernet address.
    addresses: HashMap<(SiteId, NetworkName, Ipv4Addr), MachineId>,
    macs: HashMap<(SiteId, Mac), MachineId>,
    /// What changed since it was last asked for.
    changed: BTreeSet<Changed>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Changed {
    Machine(MachineId),
    Network(SiteId, NetworkName),
    Unhealthy,
    Template(Digest),
}

/// Whether a request may change the machine it is asked of.
pub(super) fn changes(request: &Request) -> bool {
    !matches!(
        request,
        Request::Ping
            | Request::Observe
            | Request::Clock { step: 0 }
            | Request::Facts(_)
            | Request::Probe(_)
            | Request::Get { .. }
    )
}

fn world(message: impl Into<String>) -> ProviderError {
    ProviderError::new(Blame::World, message)
}

impl World {
    pub(super) fn observe(&self, site: SiteId) -> Seen {
        let machines = self
            .machines
            .values()
            .filter(|machine| machine.site == site)
            .map(|machine| MachineSeen {
                id: machine.id,
                name: machine.name.clone(),
                power: machine.power,
                order: machine.order.clone(),
                fault: machine.fault.clone(),
                unborn: machine.is_unborn(),
                snapshots: machine.snapshots.len(),
                clone_of: machine.clone_of,
                apart: machine.apart,
            })
            .collect();
        let networks = self
            .networks
            .iter()
            .filter(|((of, _), _)| *of == site)
            .map(|((_, name), (order, intact))| NetworkSeen {
                name: name.clone(),
                order: order.clone(),
                intact: *intact,
            })
            .collect();
        Seen { machines, networks }
    }

    pub(super) fn ensure_network(
        &mut self,
        site: SiteId,
        order: &NetworkOrder,
    ) -> Result<(), ProviderError> {
        let key = (site, order.name.clone());
        for ((of, name), (other, _)) in &self.networks {
            if (of, name) == (&key.0, &key.1) {
                continue;
            }
            if other.bridge == order.bridge {
                return Err(world(format!("bridge `{}` exists already", order.bridge)));
            }
            if other.cidr.contains(&order.cidr.network())
                || order.cidr.contains(&other.cidr.network())
            {
                return Err(world(format!(
                    "network `{}`: {} overlaps {} of `{name}`",
                    order.name, order.cidr, other.cidr
                )));
            }
        }
        let whole = (order.clone(), true);
        if self.networks.get(&key) != Some(&whole) {
            self.changed.insert(Changed::Network(key.0, key.1.clone()));
            self.networks.insert(key, whole);
        }
        Ok(())
    }

    pub(super) fn destroy_network(
        &mut self,
        site: SiteId,
        name: &NetworkName,
    ) -> Result<(), ProviderError> {
        let user = self.machines.values().find(|machine| {
            machine.site == site
                && machine.power == Power::On
                && machine.order.iter().flat_map(|o| &o.nics).any(|nic| nic.network == *name)
        });
        if let Some(user) = user {
            return Err(world(format!("network `{name}` is in use by `{}`", user.name)));
        }
        if self.networks.remove(&(site, name.clone())).is_some() {
            self.changed.insert(Changed::Network(site, name.clone()));
        }
        Ok(())
    }

    pub(super) fn templates(&self) -> Vec<TemplateSeen> {
        let seen = |(name, order): (&Digest, &TemplateOrder)| TemplateSeen {
            name: *name,
            order: order.clone(),
            current: true,
            stored: order.memory,
            users: self.rest_on(*name),
        };
        self.templates.iter().map(seen).collect()
    }

    /// Names of the machines that rest on a template.
    fn rest_on(&self, template: Digest) -> Vec<String> {
        let on_it = |machine: &&SimMachine| machine.template == Some(template);
        self.machines.values().filter(on_it).map(|machine| machine.name.to_string()).collect()
    }

    pub(super) fn ensure_template(&mut self, order: &TemplateOrder) -> Result<(), ProviderError> {
        let name = order.digest();
        if self.templates.insert(name, order.clone()).is_none() {
            self.changed.insert(Changed::Template(name));
        }
        Ok(())
    }

    pub(super) fn drop_template(&mut self, name: Digest) -> Result<(), ProviderError> {
        let users = self.rest_on(name);
        if !users.is_empty() {
            let (name, users) = (name.short(), users.join(", "));
            return Err(world(format!("cannot remove template {name}: {users} rest on it")));
        }
        if self.templates.remove(&name).is_some() {
            self.changed.insert(Changed::Template(name));
        }
        Ok(())
    }

    /// Makes a machine, or only its mark.
    pub(super) fn create(
        &mut self,
        site: SiteId,
        order: &MachineOrder,
        whole: bool,
    ) -> Result<(), ProviderError> {
        if let Some(known) = self.machines.get(&order.id) {
            if known.site != site {
                return Err(world(format!("machine {} belongs to another site", order.id)));
            }
            match &known.order {
                Some(made) if made == order => return Ok(()),
                Some(_) => {
                    return Err(world(format!(
                        "machine `{}` was made from another order",
                        known.name
                    )));
                }
                None => {}
            }
        }
        let template = order.template().digest();
        if order.start == Start::Live && !self.templates.contains_key(&template) {
            return Err(world(format!("template {} is not there", template.short()))
                .hinting("`updraft up` makes it again"));
        }
        for nic in &order.nics {
            let address = (site, nic.network.clone(), nic.address);
            let holders = [self.addresses.get(&address), self.macs.get(&(site, nic.mac))];
            if let Some(holder) = holders.into_iter().flatten().find(|id| **id != order.id) {
                return Err(world(format!(
                    "machine `{}`: address {} or {} is taken by `{}`",
                    order.name, nic.address, nic.mac, self.machines[holder].name
                )));
            }
        }
        let machine =
            self.machines.entry(order.id).or_insert_with(|| SimMachine::half_made(site, order));
        if whole {
            machine.order = Some(order.clone());
            machine.template = (order.start == Start::Live).then_some(template);
            self.index(order.id);
        }
        self.changed.insert(Changed::Machine(order.id));
        Ok(())
    }

    pub(super) fn start(
        &mut self,
        site: SiteId,
        id: MachineId,
        boot_signs: u32,
    ) -> Result<(), ProviderError> {
        let machine = self.ours(site, id)?;
        let Some(order) = &machine.order else {
            return Err(world(format!("machine `{}` is only half made", machine.name)));
        };
        if let Some(fault) = &machine.fault {
            return Err(world(format!("machine `{}` cannot start: {fault}", machine.name)));
        }
        if machine.power == Power::On {
            return Ok(());
        }
        for nic in &order.nics {
            if self.networks.get(&(site, nic.network.clone())).is_none_or(|(_, intact)| !intact) {
                return Err(world(format!(
                    "machine `{}` cannot start: network `{}` is not there",
                    machine.name, nic.network
                )));
            }
        }
        let machine = self.change(id);
        machine.power = Power::On;
        if !std::mem::take(&mut machine.goes_on) {
            machine.boots += 1;
            machine.boot_left = boot_signs;
            // Nothing keeps time while it is off.
            machine.disk.clock = 0;
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, site: SiteId, id: MachineId) -> Result<(), ProviderError> {
        if self.ours(site, id)?.power != Power::Off {
            self.change(id).power = Power::Off;
        }
        Ok(())
    }

    /// Whether a machine can get this shape, and without being powered off.
    pub(super) fn may_resize(
        &self,
        site: SiteId,
        id: MachineId,
        shape: &Shape,
    ) -> Result<bool, ProviderError> {
        let machine = self.ours(site, id)?;
        let Some(order) = &machine.order else {
            return Err(world(format!("machine `{}` is only half made", machine.name)));
        };
        shape.check(order)?;
        Ok(shape.grows_only_disk(order) || machine.power != Power::On)
    }

    pub(super) fn resize(
        &mut self,
        site: SiteId,
        id: MachineId,
        shape: &Shape,
    ) -> Result<(), ProviderError> {
        if !self.may_resize(site, id, shape)? {
            return Err(Shape::needs_off(&self.ours(site, id)?.name));
        }
        let order = self.ours(site, id)?.order.clone().expect("a half made one was refused");
        if order.shape() != *shape {
            self.change(id).order = Some(order.shaped(shape));
        }
        Ok(())
    }

    pub(super) fn destroy(&mut self, site: SiteId, id: MachineId) {
        if self.ours(site, id).is_ok() {
            self.remove(id);
            self.changed.insert(Changed::Machine(id));
        }
    }

    pub(super) fn snapshots(
        &self,
        site: SiteId,
        id: MachineId,
    ) -> Result<Vec<SnapshotSeen>, ProviderError> {
        let seen = |kept: &SimSnapshot| SnapshotSeen {
            order: kept.order.clone(),
            stored: ByteSize::mib(1),
        };
        Ok(self.ours(site, id)?.snapshots.iter().map(seen).collect())
    }

    pub(super) fn take_snapshot(
        &mut self,
        site: SiteId,
        id: MachineId,
        order: &SnapshotOrder,
    ) -> Result<(), ProviderError> {
        let machine = self.ours(site, id)?;
        if machine.snapshots.iter().any(|kept| kept.order.id == order.id) {
            return Ok(());
        }
        if machine.order.is_none() {
            return Err(world(format!("machine `{}` is only half made", machine.name)));
        }
        if order.memory && machine.power != Power::On {
            return Err(world(format!("machine `{}` is off: it has no memory", machine.name)));
        }
        let machine = self.change(id);
        let disk = Disk { held: false, ..machine.disk.clone() };
        machine.snapshots.push(SimSnapshot { order: order.clone(), disk, boots: machine.boots });
        machine.snapshots.sort_by_key(|kept| kept.order.id);
        Ok(())
    }

    pub(super) fn revert(
        &mut self,
        site: SiteId,
        id: MachineId,
        snapshot: SnapshotId,
    ) -> Result<(), ProviderError> {
        let machine = self.ours(site, id)?;
        let kept = machine.snapshots.iter().find(|kept| kept.order.id == snapshot).cloned();
        let kept = kept.ok_or_else(|| {
            world(format!("machine `{}` has no snapshot {}", machine.name, snapshot.tail()))
        })?;
        let machine = self.change(id);
        machine.power = Power::Off;
        machine.disk = kept.disk;
        machine.goes_on = kept.order.memory;
        if kept.order.memory {
            machine.boots = kept.boots;
        }
        Ok(())
    }

    pub(super) fn drop_snapshot(&mut self, site: SiteId, id: MachineId, snapshot: SnapshotId) {
        let there = |machine: &SimMachine| machine.snapshots.iter().any(|s| s.order.id == snapshot);
        if self.ours(site, id).is_ok_and(there) {
            self.change(id).snapshots.retain(|kept| kept.order.id != snapshot);
        }
    }

    pub(super) fn clone_machine(
        &mut self,
        site: SiteId,
        of: MachineId,
        orders: &[MachineOrder],
        live: bool,
    ) -> Result<(), ProviderError> {
        let original = self.ours(site, of)?.clone();
        if !original.is_up() {
            return Err(world(format!("machine `{}` is off", original.name)));
        }
        for order in orders {
            let whole = |machine: &SimMachine| machine.order.is_some();
            if self.machines.get(&order.id).is_some_and(whole) {
                continue;
            }
            self.create(site, order, true)?;
            let clone = self.change(order.id);
            clone.disk = Disk { held: false, ..original.disk.clone() };
            clone.clone_of = Some(of);
            (clone.goes_on, clone.apart) = (live, live);
        }
        Ok(())
    }

    pub(super) fn connect(&mut self, site: SiteId, id: MachineId) -> Result<(), ProviderError> {
        if self.ours(site, id)?.apart {
            self.change(id).apart = false;
        }
        Ok(())
    }

    /// Takes note of a machine's addresses. Its order never changes once it has one.
    fn index(&mut self, id: MachineId) {
        let machine = &self.machines[&id];
        for nic in machine.order.iter().flat_map(|order| &order.nics) {
            self.addresses.insert((machine.site, nic.network.clone(), nic.address), id);
            self.macs.insert((machine.site, nic.mac), id);
        }
    }

    fn remove(&mut self, id: MachineId) {
        let Some(machine) = self.machines.remove(&id) else { return };
        for nic in machine.order.iter().flat_map(|order| &order.nics) {
            self.addresses.remove(&(machine.site, nic.network.clone(), nic.address));
            self.macs.remove(&(machine.site, nic.mac));
        }
    }

    pub(super) fn progress(
        &mut self,
        site: SiteId,
        id: MachineId,
    ) -> Result<Progress, ProviderError> {
        let booting = {
            let machine = self.ours(site, id)?;
            machine.power == Power::On && machine.boot_left > 0
        };
        if booting {
            self.change(id).tick();
        }
        let machine = self.ours(site, id)?;
        Ok(Progress {
            console_bytes: machine.console_bytes,
            cpu_millis: machine.console_bytes,
            last_line: match machine.power {
                Power::On if machine.boot_left > 0 => {
                    format!("[ OK ] {} targets to go", machine.boot_left)
                }
                Power::On => format!("{} login:", machine.hostname()),
                Power::Off => "reboot: Power down".to_owned(),
                Power::Dead => String::new(),
            },
        })
    }

    /// The machine if its agent answers; trying is a sign of life.
    pub(super) fn reach(
        &mut self,
        site: SiteId,
        id: MachineId,
    ) -> Result<&SimMachine, ProviderError> {
        let (power, booting) = {
            let machine = self.ours(site, id)?;
            (machine.power, machine.boot_left > 0)
        };
        if power == Power::On && booting {
            self.change(id).tick();
        }
        let machine = self.ours(site, id)?;
        match power {
            Power::On if machine.is_up() => Ok(machine),
            Power::On => Err(ProviderError::new(
                Blame::Passing,
                format!("the agent of `{}` does not answer yet", machine.name),
            )),
            Power::Off => Err(world(format!("machine `{}` is off", machine.name))),
            Power::Dead => Err(world(format!("machine `{}` is dead", machine.name))),
        }
    }

    /// Asks the agent of a machine that is up.
    pub(super) fn ask(&mut self, id: MachineId, request: Request, wires: &mut Wires) -> Response {
        let around = self.around(id, &request);
        if changes(&request) {
            self.changed.insert(Changed::Machine(id));
        }
        let machine = self.machines.get_mut(&id).expect("who is asked was reached before");
        answer(machine, request, &around, wires)
    }

    /// As much of the surroundings as the request needs.
    fn around(&self, id: MachineId, request: &Request) -> Around {
        let mut around = Around { unhealthy: self.unhealthy.clone(), ..Around::default() };
        let wanted: Option<Ipv4Addr> = match request {
            Request::Socket { .. } => None,
            Request::Probe(probe) => match &probe.target {
                ProbeTarget::Http { host, .. } | ProbeTarget::Tcp { host, .. } => {
                    match host.parse() {
                        Ok(address) => Some(address),
                        Err(_) => return around,
                    }
                }
                ProbeTarget::Command { .. } => return around,
            },
            _ => return around,
        };
        let site = self.machines[&id].site;
        let mut healthy = BTreeMap::new();
        for machine in self.machines.values().filter(|machine| machine.site == site) {
            for nic in machine.order.iter().flat_map(|order| &order.nics) {
                if wanted.is_none_or(|wanted| wanted == nic.address) {
                    healthy.insert(nic.address, machine.is_healthy(&around));
                }
            }
        }
        around.healthy = healthy;
        around
    }

    /// Pulls the plug, as a crash of the machine does.
    pub(super) fn kill(&mut self, id: MachineId) {
        if self.machines.get(&id).is_some_and(|machine| machine.power == Power::On) {
            self.change(id).power = Power::Dead;
        }
    }

    /// What a reboot of the host does: everything that ran is dead, networks are gone from the
    /// kernel.
    pub(super) fn reboot_host(&mut self) {
        let all: Vec<MachineId> = self.machines.keys().copied().collect();
        all.into_iter().for_each(|id| self.kill(id));
        for ((site, name), (_, intact)) in &mut self.networks {
            *intact = false;
            self.changed.insert(Changed::Network(*site, name.clone()));
        }
    }

    pub(super) fn set_fault(&mut self, id: MachineId, fault: Option<String>) {
        if self.machines.contains_key(&id) {
            self.change(id).fault = fault;
        }
    }

    pub(super) fn set_unhealthy(&mut self, versions: BTreeSet<String>) {
        self.unhealthy = versions;
        self.changed.insert(Changed::Unhealthy);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.machines.is_empty() && self.networks.is_empty() && self.unhealthy.is_empty()
    }

    fn ours(&self, site: SiteId, id: MachineId) -> Result<&SimMachine, ProviderError> {
        self.machines
            .get(&id)
            .filter(|machine| machine.site == site)
            .ok_or_else(|| world(format!("machine {id} is not there")))
    }

    fn change(&mut self, id: MachineId) -> &mut SimMachine {
        self.changed.insert(Changed::Machine(id));
        self.machines.get_mut(&id).expect("who is changed was found before")
    }

    /// What changed since the last time, as lines for the file.
    pub(super) fn take_changes(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|changed| match changed {
                Changed::Machine(id) => match self.machines.get(&id) {
                    Some(machine) => Line::Machine(Box::new(machine.clone())),
                    None => Line::MachineGone { machine: id },
                },
                Changed::Network(site, name) => match self.networks.get(&(site, name.clone())) {
                    Some((order, intact)) => {
                        Line::Network { site, order: order.clone(), intact: *intact }
                    }
                    None => Line::NetworkGone { site, name },
                },
                Changed::Unhealthy => Line::Unhealthy { versions: self.unhealthy.clone() },
                Changed::Template(name) => match self.templates.get(&name) {
                    Some(order) => Line::Template { order: order.clone() },
                    None => Line::TemplateGone { template: name },
                },
            })
            .collect()
    }

    /// Everything, as lines for the file.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut all = self.clone();
        all.changed = self.machines.keys().map(|id| Changed::Machine(*id)).collect();
        all.changed
            .extend(self.networks.keys().map(|(site, name)| Changed::Network(*site, name.clone())));
        all.changed.extend(self.templates.keys().map(|name| Changed::Template(*name)));
        if !self.unhealthy.is_empty() {
            all.changed.insert(Changed::Unhealthy);
        }
        all.take_changes()
    }

    /// Takes a line of the file in.
    pub(super) fn apply(&mut self, line: Line) {
        match line {
            Line::Machine(machine) => {
                let id = machine.id;
                self.remove(id);
                self.machines.insert(id, *machine);
                self.index(id);
            }
            Line::MachineGone { machine } => self.remove(machine),
            Line::Network { site, order, intact } => {
                self.networks.insert((site, order.name.clone()), (order, intact));
            }
            Line::NetworkGone { site, name } => {
                self.networks.remove(&(site, name));
            }
            Line::Unhealthy { versions } => self.unhealthy = versions,
            Line::Template { order } => {
                self.templates.insert(order.digest(), order);
            }
            Line::TemplateGone { template } => {
                self.templates.remove(&template);
            }
        }
    }
}
