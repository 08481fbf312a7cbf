//! Compares what is wanted with what is seen, machine by machine.
//!
//! Machines that exist and serve are touched one at a time; new ones come up together. What is
//! not known because a machine is off is planned, and its act looks before it acts.

use crate::builder::Builder;
use crate::resize::{Asked, Drift, RESIZE};
use crate::survey::{Kept, Standing, Survey, Wanted};
use crate::{
    Act, AgentFacts, ChangeKind, Desired, Draw, Drawn, GroupWanted, MachineDrawn, MachineFacts,
    Memory, NameEntry, NetworkWanted, Observed, Plan, PlanError, Power, TemplateFacts, VERSION,
    planner_services,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use updraft_base::{Digest, Hasher, ImageName, Mac, MachineId, MachineName, NetworkName, SiteId};

/// Plans how to make the world match what is desired.
///
/// # Errors
/// When a network has no address left, or a disk would have to shrink.
pub fn plan_up(
    desired: &Desired,
    observed: &Observed,
    memory: &Memory,
    draw: Draw<'_>,
) -> Result<Plan, PlanError> {
    plan_shaped(desired, observed, memory, &Asked::AsTheSiteSays, draw)
}

/// As [`plan_up`], with word on which shape machines are to have.
pub(crate) fn plan_shaped(
    desired: &Desired,
    observed: &Observed,
    memory: &Memory,
    asked: &Asked,
    draw: Draw<'_>,
) -> Result<Plan, PlanError> {
    let whole = Whole::new(desired, observed, memory, asked, draw)?;
    let unwanted = whole.survey.unwanted(&whole.wanted);
    whole.plan("up", |planner| planner.machines(whole.wanted.as_slice(), &unwanted))
}

/// The whole site, matched and drawn: what each plan that brings machines up begins with.
pub(crate) struct Whole<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    site: SiteId,
    pub(crate) survey: Survey<'a>,
    pub(crate) wanted: Vec<Wanted<'a>>,
    names: Vec<NameEntry>,
    /// Machines that are made besides those that the site file asks for.
    pub(crate) more: BTreeMap<MachineName, Drawn>,
}

impl<'a> Whole<'a> {
    pub(crate) fn new(
        desired: &'a Desired,
        observed: &'a Observed,
        memory: &'a Memory,
        asked: &'a Asked,
        draw: Draw<'_>,
    ) -> Result<Self, PlanError> {
        let mut survey = Survey::new(desired, observed, memory, asked);
        let site = memory.site.unwrap_or_else(|| SiteId::draw(draw.now, &mut *draw.chance));
        let wanted = survey.wanted(draw)?;
        let names = wanted
            .iter()
            .map(|w| NameEntry { name: w.name.clone(), address: w.drawn.address })
            .collect();
        let more = BTreeMap::new();
        Ok(Self { desired, observed, site, survey, wanted, names, more })
    }

    /// Names of all machines that were seen.
    pub(crate) fn names_seen(&self) -> impl Iterator<Item = &MachineName> {
        self.observed.machines.iter().map(|facts| &facts.name)
    }

    /// The group whose machines may have this name, now or when it grows.
    pub(crate) fn group_that_may_have(&self, name: &MachineName) -> Option<String> {
        let (group, number) = name.as_str().rsplit_once('-')?;
        let known = self.desired.groups.iter().any(|known| known.name.as_str() == group);
        (known && number.parse::<u32>().is_ok()).then(|| group.to_owned())
    }

    /// The plan whose steps and changes `fill` adds.
    pub(crate) fn plan(
        &self,
        verb: &str,
        fill: impl FnOnce(&mut Planner<'a, '_>),
    ) -> Result<Plan, PlanError> {
        let Self { desired, observed, survey, .. } = self;
        let mut builder = Builder::default();
        let identities = Identities::new(desired, &self.names);
        let mut planner = Planner { desired, observed, survey, identities, builder: &mut builder };
        fill(&mut planner);
        let mut memory = Memory { site: Some(self.site), ..survey.remembered(&self.wanted) };
        memory.machines.extend(self.more.clone());
        let mut changes = builder.changes;
        changes.sort_by(|a, b| (a.kind, &a.group).cmp(&(b.kind, &b.group)));
        Ok(Plan {
            version: VERSION,
            site: desired.site.clone(),
            verb: verb.to_owned(),
            desired: desired.digest(),
            changes,
            steps: builder.steps,
            domain: desired.domain.clone(),
            names: self.names.clone(),
            memory,
        })
    }
}

/// Digest of a machine's identity, as the machine keeps it.
pub(crate) struct Identities {
    common: Digest,
}

impl Identities {
    fn new(desired: &Desired, names: &[NameEntry]) -> Self {
        let mut hasher = Hasher::default();
        hasher.field(&desired.domain);
        hasher.field(desired.admins.to_string());
        for entry in names {
            hasher.field(entry.name.as_str());
            hasher.field(entry.address.octets());
        }
        Self { common: hasher.finish() }
    }

    /// The digest for one machine.
    fn of(&self, name: &MachineName, drawn: &Drawn) -> String {
        identity_digest(&self.common, name, drawn.id, drawn.mac, drawn.address)
    }
}

/// Digest of one machine's identity, given the digest of what all machines of the site share.
fn identity_digest(
    common: &Digest,
    name: &MachineName,
    id: MachineId,
    mac: Mac,
    address: Ipv4Addr,
) -> String {
    let mut hasher = Hasher::default();
    hasher.field(common.to_string());
    hasher.field(name.as_str());
    hasher.field(id.to_string());
    hasher.field(mac.octets());
    hasher.field(address.octets());
    hasher.finish().to_string()
}

/// A machine that is powered on or told who it is: one that the site file asks for, or a clone.
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a MachineName,
    pub(crate) provider: &'a str,
    pub(crate) drawn: &'a Drawn,
}

impl<'a> Subject<'a> {
    pub(crate) fn of(w: &'a Wanted<'_>) -> Self {
        Self { name: &w.name, provider: &w.group.provider, drawn: &w.drawn }
    }

    pub(crate) fn clone_of(kept: &'a Kept<'_>) -> Self {
        let facts = kept.facts;
        Self { name: &facts.name, provider: &facts.provider, drawn: &kept.drawn }
    }
}

pub(crate) struct Planner<'a, 'b> {
    pub(crate) desired: &'a Desired,
    pub(crate) observed: &'a Observed,
    survey: &'b Survey<'a>,
    identities: Identities,
    pub(crate) builder: &'b mut Builder,
}

impl<'a> Planner<'a, '_> {
    fn machines(&mut self, wanted: &[Wanted<'a>], unwanted: &[&'a MachineFacts]) {
        // What goes away is first taken out of the balancers; it is removed last of all, when
        // what takes its place serves.
        let withdrawn: Vec<Option<u32>> =
            unwanted.iter().map(|facts| self.withdraw(facts, None)).collect();
        for facts in unwanted {
            let (group, why) = self.why_unwanted(facts);
            self.builder.change(ChangeKind::Destroy, group, &facts.name, why);
        }

        let images = self.images(wanted);
        let templates = self.templates(wanted, &images);
        let (network_ready, bulk_destroyed) = self.networks(wanted);
        let mut previous_in_group: BTreeMap<&str, u32> = BTreeMap::new();
        let mut to_configure: BTreeMap<&str, Vec<&Wanted<'a>>> = BTreeMap::new();

        for w in wanted {
            let before_create: Vec<u32> = [
                images.get(&w.group.image).copied(),
                network_ready.get(&(&w.group.provider, &w.group.network)).copied(),
                templates.get(w.group.name.as_str()).copied(),
            ]
            .into_iter()
            .flatten()
            .collect();
            match &w.standing {
                Standing::There(facts, Some(drift)) if drift.restart => {
                    // As when one is replaced: the next one goes when this one serves again.
                    let last = previous_in_group.get(w.group.name.as_str()).copied();
                    let network = network_ready.get(&(&w.group.provider, &w.group.network));
                    let after = network.into_iter().copied().chain(last).collect();
                    self.restart(w, facts, drift, after);
                    if let Some(ready) = self.builder.ready_after(&w.name) {
                        previous_in_group.insert(w.group.name.as_str(), ready);
                    }
                }
                Standing::There(facts, drift) => {
                    let network = network_ready.get(&(&w.group.provider, &w.group.network));
                    let drift = drift.as_ref().map(|drift| (w, drift));
                    self.keep(&Subject::of(w), w.group.name.as_str(), facts, drift, network);
                    to_configure.entry(w.group.name.as_str()).or_default().push(w);
                }
                Standing::Absent => {
                    let because = format!(
                        "image {}, {}, {} cpu{}",
                        w.group.image,
                        w.group.memory,
                        w.group.cpus,
                        if w.group.cpus == 1 { "" } else { "s" }
                    );
                    self.builder.change(ChangeKind::Create, &w.group.name, &w.name, because);
                    self.create(w, before_create);
                    to_configure.entry(w.group.name.as_str()).or_default().push(w);
                }
                Standing::Differs(facts, reasons) => {
                    let mut because = reasons.join(", ");
                    if facts.snapshots > 0 {
                        because = format!("{because}; it goes {}", facts.belongings());
                    }
                    self.builder.change(ChangeKind::Replace, &w.group.name, &w.name, because);
                    let mut after = before_create;
                    match bulk_destroyed.get(&facts.id) {
                        Some(destroyed) => after.push(*destroyed),
                        None => {
                            // One at a time: the next one goes when this one is configured and
                            // serves.
                            let last = previous_in_group.get(w.group.name.as_str()).copied();
                            let withdrawn = self.withdraw(facts, last);
                            after.push(self.destroy(facts, withdrawn.or(last)));
                        }
                    }
                    self.create(w, after);
                    if bulk_destroyed.contains_key(&facts.id) {
                        to_configure.entry(w.group.name.as_str()).or_default().push(w);
                    } else {
                        self.configure(w.group, &[w]);
                        self.roll_replaced(w);
                        if let Some(ready) = self.builder.ready_after(&w.name) {
                            previous_in_group.insert(w.group.name.as_str(), ready);
                        }
                    }
                }
            }
        }

        for kept in self.survey.clones(wanted) {
            let network = network_ready.get(&(&kept.facts.provider, &kept.drawn.network));
            self.keep(&Subject::clone_of(&kept), "clone", kept.facts, None, network);
        }

        for group in &self.desired.groups {
            let Some(members) = to_configure.get(group.name.as_str()) else { continue };
            let stale: Vec<&Wanted<'a>> =
                members.iter().copied().filter(|w| Self::wants_play(w)).collect();
            self.configure(group, &stale);
            for w in stale {
                self.tell_play(w);
            }
        }

        let balanced = planner_services::plan_services(self, wanted);
        let destroyed: Vec<u32> = unwanted
            .iter()
            .zip(withdrawn)
            .map(|(facts, withdrawn)| {
                let after = withdrawn.into_iter().chain(balanced.iter().copied());
                self.destroy(facts, after)
            })
            .collect();
        self.drop_networks(wanted, &destroyed);
        self.drop_templates(&destroyed);
    }

    fn why_unwanted(&self, facts: &MachineFacts) -> (String, String) {
        let group = facts.group.as_ref();
        let wanted = group.and_then(|name| self.desired.groups.iter().find(|g| g.name == *name));
        let why = match (facts.made.is_some(), wanted) {
            (false, _) => "it is half made".to_owned(),
            (true, _) if facts.clone_of.is_some() => {
                "a clone whose name or network the site file has for others".to_owned()
            }
            (true, Some(group)) => format!("count is {}", group.count),
            (true, None) => "no longer in the site file".to_owned(),
        };
        let why = match facts.snapshots {
            0 => why,
            _ => format!("{why}; it goes {}", facts.belongings()),
        };
        (group.map_or_else(|| "machine".to_owned(), ToString::to_string), why)
    }

    /// Images that must be built before something can be made from them.
    fn images(&mut self, wanted: &[Wanted<'a>]) -> BTreeMap<ImageName, u32> {
        let mut built = BTreeMap::new();
        for w in wanted.iter().filter(|w| w.stays().is_none()) {
            let image = &w.group.image;
            let digest = self.survey.image(w.group);
            if built.contains_key(image) || self.observed.images.contains(&digest) {
                continue;
            }
            let step = self.builder.step(
                format!("image/{image}/build"),
                format!("build image {image}"),
                image.as_str(),
                [],
                Act::BuildImage { image: image.clone(), digest },
            );
            self.builder.change(ChangeKind::Create, "image", image, digest.short());
            built.insert(image.clone(), step);
        }
        built
    }

    /// Templates that must be made before machines of a group can come to life, by group.
    fn templates(
        &mut self,
        wanted: &[Wanted<'a>],
        images: &BTreeMap<ImageName, u32>,
    ) -> BTreeMap<&'a str, u32> {
        let mut made = BTreeMap::new();
        let mut shapes = BTreeMap::new();
        for w in wanted.iter().filter(|w| w.group.live && w.stays().is_none()) {
            let group = w.group;
            let digest = self.survey.image(group);
            let there = self.observed.templates.iter().any(|seen| seen.fits(group, digest));
            if there || made.contains_key(group.name.as_str()) {
                continue;
            }
            let shape = (&group.provider, digest, group.memory, group.cpus, group.disk);
            let step = *shapes.entry(shape).or_insert_with(|| {
                let image = &group.image;
                let (memory, cpus, disk) = (group.memory, group.cpus, group.disk);
                let plural = if cpus == 1 { "" } else { "s" };
                let because =
                    format!("{memory}, {cpus} cpu{plural}: booted once for {}", group.name);
                self.builder.change(ChangeKind::Create, "template", image, because);
                self.builder.step(
                    format!("template/{image}/{}", group.name),
                    format!("boot image {image} once, as a template"),
                    image.as_str(),
                    images.get(image).copied(),
                    Act::EnsureTemplate {
                        provider: group.provider.clone(),
                        image: image.clone(),
                        digest,
                        memory,
                        cpus,
                        disk,
                    },
                )
            });
            made.insert(group.name.as_str(), step);
        }
        made
    }

    /// Removes templates that nothing rests on and that nothing can start from any more: the
    /// emulator changed, or the groups of this site's images have other shapes now.
    fn drop_templates(&mut self, destroyed: &[u32]) {
        let groups = || self.desired.groups.iter().map(|group| (group, self.survey.image(group)));
        let stale = |seen: &&TemplateFacts| {
            let ours = groups().any(|(_, image)| image == seen.image);
            let wanted = groups().any(|(group, image)| group.live && seen.fits(group, image));
            !seen.used && !wanted && (ours || !seen.current)
        };
        let stale: Vec<&TemplateFacts> = self.observed.templates.iter().filter(stale).collect();
        for seen in stale {
            let name = seen.name.short();
            // Nothing is lost that could not be made again, so nobody has to be asked.
            self.builder.change(
                ChangeKind::Change,
                "template",
                &name,
                "remove: nothing starts from it",
            );
            self.builder.step(
                format!("template/{name}/drop"),
                format!("remove template {name}"),
                &name,
                destroyed.iter().copied(),
                Act::DropTemplate { provider: seen.provider.clone(), template: seen.name },
            );
        }
    }

    /// Networks that must be made or repaired; and, where a network's addresses changed, the
    /// removal of everything on it.
    #[expect(clippy::type_complexity, reason = "two small maps, named where they are used")]
    fn networks(
        &mut self,
        wanted: &[Wanted<'a>],
    ) -> (BTreeMap<(&'a String, &'a NetworkName), u32>, BTreeMap<MachineId, u32>) {
        let mut ready = BTreeMap::new();
        let mut destroyed = BTreeMap::new();
        let mut used: BTreeSet<(&'a String, &'a NetworkName)> =
            wanted.iter().map(|w| (&w.group.provider, &w.group.network)).collect();
        for kept in self.survey.clones(wanted) {
            let made = kept.facts.made.as_ref().expect("a clone that goes on is made");
            used.insert((&kept.facts.provider, &made.network));
        }
        for (provider, name) in used {
            let network = self.network(name);
            let seen = self
                .observed
                .networks
                .iter()
                .find(|seen| seen.name == *name && seen.provider == *provider);
            let mut after = Vec::new();
            match seen {
                Some(seen) if seen.cidr != network.cidr => {
                    for w in wanted {
                        if let Standing::Differs(facts, _) = &w.standing
                            && w.group.network == *name
                        {
                            let gone = self.destroy(facts, None);
                            destroyed.insert(facts.id, gone);
                            after.push(gone);
                        }
                    }
                    let because = format!("{} → {}", seen.cidr, network.cidr);
                    self.builder.change(ChangeKind::Replace, "network", name, because);
                    after = vec![self.builder.step(
                        format!("network/{name}/destroy"),
                        format!("remove network {name}"),
                        name.as_str(),
                        after,
                        Act::DestroyNetwork { provider: provider.clone(), network: name.clone() },
                    )];
                }
                Some(seen) if seen.intact => continue,
                Some(_) => {
                    self.builder.change(ChangeKind::Change, "network", name, "repair");
                }
                None => {
                    let cidr = network.cidr.to_string();
                    self.builder.change(ChangeKind::Create, "network", name, cidr);
                }
            }
            let step = self.ensure_network(provider, network, after);
            ready.insert((provider, name), step);
        }
        (ready, destroyed)
    }

    fn ensure_network(
        &mut self,
        provider: &str,
        network: &NetworkWanted,
        after: impl IntoIterator<Item = u32>,
    ) -> u32 {
        let name = &network.name;
        self.builder.step(
            format!("network/{name}/ensure"),
            format!("make network {name}"),
            name.as_str(),
            after,
            Act::EnsureNetwork {
                provider: provider.to_owned(),
                network: name.clone(),
                cidr: network.cidr,
                bridge: self.survey.bridges[name].clone(),
            },
        )
    }

    fn network(&self, name: &NetworkName) -> &'a NetworkWanted {
        self.desired
            .networks
            .iter()
            .find(|network| network.name == *name)
            .expect("a checked site names only networks it has")
    }

    /// Removes networks of ours that nothing wanted uses.
    fn drop_networks(&mut self, wanted: &[Wanted<'a>], destroyed: &[u32]) {
        let clones = self.survey.clones(wanted);
        let clones = clones.iter().map(|kept| (kept.facts.provider.as_str(), &kept.drawn.network));
        let used: BTreeSet<(&str, &NetworkName)> = wanted
            .iter()
            .map(|w| (w.group.provider.as_str(), &w.group.network))
            .chain(clones)
            .collect();
        for seen in &self.observed.networks {
            if used.contains(&(seen.provider.as_str(), &seen.name)) {
                continue;
            }
            self.builder.change(ChangeKind::Destroy, "network", &seen.name, "no longer used");
            self.builder.step(
                format!("network/{}/destroy", seen.name),
                format!("remove network {}", seen.name),
                seen.name.as_str(),
                destroyed.iter().copied(),
                Act::DestroyNetwork { provider: seen.provider.clone(), network: seen.name.clone() },
            );
        }
    }

    fn create(&mut self, w: &Wanted<'a>, after: Vec<u32>) {
        let (group, name) = (w.group, &w.name);
        let drawn = MachineDrawn {
            provider: group.provider.clone(),
            id: w.drawn.id,
            machine: name.clone(),
            group: group.name.clone(),
            memory: group.memory,
            cpus: group.cpus,
            disk: group.disk,
            image: group.image.clone(),
            image_digest: self.survey.image(group),
            network: group.network.clone(),
            mac: w.drawn.mac,
            address: w.drawn.address,
            live: group.live,
        };
        let created = self.builder.step(
            format!("machine/{name}/create"),
            format!("create {name}"),
            name.as_str(),
            after,
            Act::CreateMachine(Box::new(drawn)),
        );
        self.start(&Subject::of(w), vec![created]);
    }

    pub(crate) fn start(&mut self, w: &Subject<'_>, after: Vec<u32>) {
        let name = w.name;
        let started = self.builder.step(
            format!("machine/{name}/start"),
            format!("start {name}"),
            name.as_str(),
            after,
            Act::StartMachine {
                provider: w.provider.to_owned(),
                id: w.drawn.id,
                machine: name.clone(),
            },
        );
        self.identify(w, vec![started]);
    }

    /// A machine that was powered off for something else: on again, and told again who it is.
    pub(crate) fn come_up_again(&mut self, w: &Subject<'_>, after: u32) {
        let after = std::iter::once(after).chain(self.repair_network(w)).collect();
        self.start(w, after);
        self.tell_again();
    }

    /// The network of a machine, where it is not intact.
    pub(crate) fn repair_network(&mut self, w: &Subject<'_>) -> Option<u32> {
        let network = self.network(&w.drawn.network);
        let seen = self.observed.networks.iter();
        let mut seen = seen.filter(|n| n.name == network.name && n.provider == w.provider);
        let intact = seen.any(|network| network.intact);
        (!intact).then(|| self.ensure_network(w.provider, network, []))
    }

    /// The machine of the last step is told whatever it has been told before.
    fn tell_again(&mut self) {
        let told = self.builder.steps.last_mut().map(|step| &mut step.act);
        if let Some(Act::Identify { again, .. }) = told {
            *again = true;
        }
    }

    pub(crate) fn identify(&mut self, w: &Subject<'_>, after: Vec<u32>) {
        let name = w.name;
        let cidr = self.network(&w.drawn.network).cidr;
        let ready = self.builder.step(
            format!("machine/{name}/identify"),
            format!("wait for {name} and tell it who it is"),
            name.as_str(),
            after,
            Act::Identify {
                provider: w.provider.to_owned(),
                id: w.drawn.id,
                machine: name.clone(),
                mac: w.drawn.mac,
                address: format!("{}/{}", w.drawn.address, cidr.prefix_len()),
                gateway: cidr.hosts().next().unwrap_or_else(|| cidr.network()),
                digest: self.identities.of(name, w.drawn),
                agent: self.desired.agent,
                again: false,
            },
        );
        self.builder.ready.insert(name.clone(), ready);
    }

    fn resize(
        &mut self,
        w: &Wanted<'a>,
        drift: &Drift,
        after: impl IntoIterator<Item = u32>,
    ) -> u32 {
        let (group, name) = (w.group, &w.name);
        let because = format!("{RESIZE}{}", drift.told.join(", "));
        self.builder.change(ChangeKind::Change, &group.name, name, because);
        let title = match drift.restart {
            true => format!("restart {name} in another shape"),
            false => format!("resize {name}"),
        };
        let act = Act::ResizeMachine {
            provider: group.provider.clone(),
            id: w.drawn.id,
            machine: name.clone(),
            shape: drift.shape,
            restart: drift.restart,
        };
        self.builder.step(format!("machine/{name}/resize"), title, name.as_str(), after, act)
    }

    /// A machine that gets another shape by a restart: out of its balancers, back in when it
    /// passes the tests of its services.
    fn restart(&mut self, w: &Wanted<'a>, facts: &MachineFacts, drift: &Drift, after: Vec<u32>) {
        let withdrawn = self.withdraw(facts, after.iter().copied());
        let resized = self.resize(w, drift, after.into_iter().chain(withdrawn));
        self.identify(&Subject::of(w), vec![resized]);
        if Self::wants_play(w) {
            self.configure(w.group, &[w]);
            self.tell_play(w);
        }
        self.roll_replaced(w);
    }

    /// A machine that goes on: powered on, told its identity and resized where that is needed.
    fn keep(
        &mut self,
        w: &Subject<'_>,
        group: &str,
        facts: &MachineFacts,
        drift: Option<(&Wanted<'a>, &Drift)>,
        network: Option<&u32>,
    ) {
        let mut after: Vec<u32> = network.into_iter().copied().collect();
        // One that is off gets its new shape before it starts, one that runs once it answers.
        if facts.power != Power::On
            && let Some((wanted, drift)) = drift
        {
            after = vec![self.resize(wanted, drift, after)];
        }
        match (facts.power, &facts.agent) {
            (Power::Off, _) => {
                self.builder.change(ChangeKind::Change, group, w.name, "start: it is off");
                self.start(w, after);
            }
            (Power::Dead, _) => {
                self.builder.change(ChangeKind::Change, group, w.name, "start: it died");
                self.start(w, after);
            }
            (Power::Stuck, _) => {
                self.builder.change(ChangeKind::Change, group, w.name, "start: it stands still");
                self.start(w, after);
            }
            (Power::On, AgentFacts::Silent) => {
                self.builder.change(
                    ChangeKind::Change,
                    group,
                    w.name,
                    "wait: its agent does not answer yet",
                );
                self.identify(w, after);
            }
            (Power::On, AgentFacts::Answers { identity, agent, .. }) => {
                let because = if *identity != self.identities.of(w.name, w.drawn) {
                    Some(match identity.is_empty() {
                        true => "identity: it has none yet",
                        false => "identity: names, addresses or admins changed",
                    })
                } else if agent.is_some()
                    && self.desired.agent.is_some_and(|ours| *agent != Some(ours))
                {
                    Some("agent: it is of another updraft")
                } else if facts.apart {
                    Some("network: it was made and cut off before it had one")
                } else {
                    None
                };
                if let Some(because) = because {
                    self.builder.change(ChangeKind::Change, group, w.name, because);
                    self.identify(w, after);
                }
            }
        }
        if facts.power == Power::On
            && let Some((wanted, drift)) = drift
        {
            let ready = self.builder.ready_after(w.name);
            let resized = self.resize(wanted, drift, ready.into_iter().chain(network.copied()));
            self.builder.ready.insert(w.name.clone(), resized);
        }
    }

    /// The machine may not have been configured by the play as it is now.
    fn wants_play(w: &Wanted<'_>) -> bool {
        let Some(wanted) = w.group.play else { return false };
        match w.stays().map(|facts| &facts.agent) {
            Some(AgentFacts::Answers { play: Some(play), .. }) => *play != wanted.to_string(),
            _ => true,
        }
    }

    /// Says why the play of a machine that was there before runs.
    fn tell_play(&mut self, w: &Wanted<'a>) {
        let Some(AgentFacts::Answers { play, .. }) = w.stays().map(|facts| &facts.agent) else {
            return;
        };
        let because = match play {
            Some(_) => "configure: its play changed",
            None => "configure: its play has not run yet",
        };
        self.builder.change(ChangeKind::Change, &w.group.name, &w.name, because);
    }

    fn configure(&mut self, group: &GroupWanted, members: &[&Wanted<'a>]) {
        let Some(digest) = group.play else { return };
        let [first, rest @ ..] = members else { return };
        let machines: Vec<MachineName> = members.iter().map(|w| w.name.clone()).collect();
        let after: Vec<u32> =
            machines.iter().filter_map(|name| self.builder.ready_after(name)).collect();
        let subject = match rest {
            [] => first.name.to_string(),
            _ => group.name.to_string(),
        };
        let step = self.builder.step(
            format!("group/{}/configure/{}", group.name, first.name),
            format!("configure {subject}"),
            &subject,
            after,
            Act::Configure { group: group.name.clone(), machines: machines.clone(), digest },
        );
        for name in machines {
            self.builder.ready.insert(name, step);
        }
    }

    /// Brings the services of a replaced machine back before the next one is touched.
    fn roll_replaced(&mut self, w: &Wanted<'a>) {
        for service in self.desired.services.iter().filter(|s| s.on == w.group.name) {
            planner_services::roll(self, service, w, None);
        }
    }

    fn withdraw(
        &mut self,
        facts: &MachineFacts,
        after: impl IntoIterator<Item = u32>,
    ) -> Option<u32> {
        let services: Vec<_> = self
            .desired
            .services
            .iter()
            .filter(|s| s.balancer.is_some() && facts.group.as_ref() == Some(&s.on))
            .map(|s| s.name.clone())
            .collect();
        (!services.is_empty() && facts.power == Power::On).then(|| {
            self.builder.step(
                format!("machine/{}/withdraw", facts.name),
                format!("drain {}", facts.name),
                facts.name.as_str(),
                after,
                Act::Withdraw { machine: facts.name.clone(), services },
            )
        })
    }

    fn destroy(&mut self, facts: &MachineFacts, after: impl IntoIterator<Item = u32>) -> u32 {
        self.builder.step(
            format!("machine/{}/destroy/{}", facts.name, facts.id.tail()),
            format!("destroy {}", facts.name),
            facts.name.as_str(),
            after,
            Act::DestroyMachine {
                provider: facts.provider.clone(),
                id: facts.id,
                machine: facts.name.clone(),
            },
        )
    }
}
