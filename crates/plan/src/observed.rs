//! What was seen: by providers, and by the agents inside the machines.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use updraft_base::{
    ByteSize, Digest, GroupName, Hasher, Mac, MachineId, MachineName, NetworkName, ServiceName,
};

use crate::GroupWanted;

/// Everything seen of a site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Images that are there.
    pub images: BTreeSet<Digest>,
    /// Templates that are there, of this site or of others. Looked for only where a group wants
    /// one or the site has one.
    pub templates: Vec<TemplateFacts>,
    /// Networks that carry our mark.
    pub networks: Vec<NetworkFacts>,
    /// Machines that carry our mark.
    pub machines: Vec<MachineFacts>,
}

/// A template: an image that was booted once and kept with its memory.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateFacts {
    /// Kind of provider it is at.
    pub provider: String,
    /// Its name there.
    pub name: Digest,
    /// Image it was booted from.
    pub image: Digest,
    /// Memory.
    pub memory: ByteSize,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Disk.
    pub disk: ByteSize,
    /// Machines can still start from it.
    pub current: bool,
    /// Machines rest on it.
    pub used: bool,
}

impl TemplateFacts {
    /// Whether the machines of this group, made from this image, can start from it.
    pub(crate) fn fits(&self, group: &GroupWanted, image: Digest) -> bool {
        self.current
            && self.provider == group.provider
            && self.image == image
            && (self.memory, self.cpus, self.disk) == (group.memory, group.cpus, group.disk)
    }
}

/// A network that carries our mark.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkFacts {
    /// Kind of provider it is at.
    pub provider: String,
    /// Name.
    pub name: NetworkName,
    /// Addresses.
    pub cidr: ipnet::Ipv4Net,
    /// Name of its bridge.
    pub bridge: String,
    /// Every part of it is there.
    pub intact: bool,
}

/// Whether a machine is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// It runs.
    On,
    /// It was stopped in order.
    Off,
    /// It ought to run and does not.
    Dead,
    /// It is on, but stands still or is cut off: to start it again mends it.
    Stuck,
}

/// A machine that carries our mark.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineFacts {
    /// Kind of provider it is at.
    pub provider: String,
    /// Identity.
    pub id: MachineId,
    /// Name.
    pub name: MachineName,
    /// Group.
    pub group: Option<GroupName>,
    /// Whether it is on.
    pub power: Power,
    /// What it was made from; `None` when it is half made.
    pub made: Option<Made>,
    /// It is to start live and never did: nothing of it is worth keeping.
    pub unborn: bool,
    /// Its disk was being grown while it ran, and it may not use all of it yet.
    pub resizing: bool,
    /// What its agent says.
    pub agent: AgentFacts,
    /// Tested services on it: whether their test passed just now.
    pub health: BTreeMap<ServiceName, bool>,
    /// How many snapshots of it are kept: they go with it.
    pub snapshots: usize,
    /// The machine that it was made from, where the site file did not ask for it.
    pub clone_of: Option<MachineId>,
    /// It goes on as the machine that it was made from, cut off from its networks.
    pub apart: bool,
}

impl MachineFacts {
    /// What goes with it when it is destroyed, for people.
    pub(crate) fn belongings(&self) -> &'static str {
        match self.snapshots {
            0 => "with its disk",
            1 => "with its disk and a snapshot",
            _ => "with its disk and all its snapshots",
        }
    }
}

/// What a machine was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Memory.
    pub memory: ByteSize,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Disk.
    pub disk: ByteSize,
    /// Image.
    pub image: Digest,
    /// Network.
    pub network: NetworkName,
    /// Ethernet address.
    pub mac: Mac,
    /// Address.
    pub address: Ipv4Addr,
}

/// What a machine's agent says.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentFacts {
    /// Nothing: the machine is off, or its agent did not answer.
    Silent,
    /// It answers.
    Answers {
        /// Digest of the identity the machine was given; empty before it got one.
        identity: String,
        /// Digest of the agent itself; `None` where it is no program.
        agent: Option<Digest>,
        /// Digest of the play that configured it last.
        play: Option<String>,
        /// Services deployed on it.
        services: BTreeMap<ServiceName, ServiceMark>,
        /// Digests of the balancer configurations on it.
        balancers: BTreeMap<ServiceName, String>,
    },
}

/// What a machine remembers of a service deployed on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceMark {
    /// Version.
    pub version: String,
    /// [`crate::ServiceWanted::content`] when it was deployed.
    pub content: String,
    /// False while it is being replaced: a run that died in between left it so.
    pub settled: bool,
    /// The version before, kept until this one is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

impl Observed {
    /// One short digest per subject, leaving out what changes by itself. Two observations with
    /// the same fingerprints lead to the same plan.
    pub(crate) fn fingerprints(&self) -> BTreeMap<String, String> {
        let mut prints = BTreeMap::new();
        let mut print = |subject: String, text: String| {
            prints.insert(subject, Digest::of(text).short());
        };
        for network in &self.networks {
            let subject = format!("network {} at {}", network.name, network.provider);
            print(subject, format!("{network:?}"));
        }
        for machine in &self.machines {
            print(format!("machine {} ({})", machine.name, machine.id), format!("{machine:?}"));
        }
        for template in &self.templates {
            let subject = format!("template {} at {}", template.name.short(), template.provider);
            print(subject, format!("{template:?}"));
        }
        if !self.images.is_empty() {
            let mut hasher = Hasher::default();
            self.images.iter().for_each(|image| hasher.field(image.to_string()));
            print("the image store".to_owned(), hasher.finish().to_string());
        }
        prints
    }
}
