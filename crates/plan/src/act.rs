//! The plan: what will be done, to what, and why.

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use updraft_base::{
    ByteSize, Digest, GroupName, ImageName, Mac, MachineId, MachineName, NetworkName, ServiceName,
    SiteName, SnapshotId,
};

use crate::{Memory, Shape, SnapshotFacts};

/// Everything that would have to be done, complete: nothing is drawn later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`crate::VERSION`].
    pub version: u32,
    /// The site.
    pub site: SiteName,
    /// What kind of plan: `up`, `down`, `destroy`, `deploy`.
    pub verb: String,
    /// Digest of what was desired.
    pub desired: Digest,
    /// What changes, for people; in the order destroyed, changed, created.
    pub changes: Vec<Change>,
    /// What is done, in an order that respects dependencies.
    pub steps: Vec<PlanStep>,
    /// Domain of the site.
    pub domain: String,
    /// Every machine's name and address once the plan is done.
    pub names: Vec<NameEntry>,
    /// Choices to remember, complete, once the plan begins.
    pub memory: Memory,
}

impl Plan {
    /// There is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Something that exists would be destroyed or replaced.
    pub fn destroys(&self) -> bool {
        self.changes.iter().any(|c| matches!(c.kind, ChangeKind::Destroy | ChangeKind::Replace))
    }

    /// The same plan with only some of its steps, renumbered. What a step that stays waited for is
    /// taken as done already.
    #[must_use]
    pub fn keep(mut self, stays: impl Fn(&PlanStep) -> bool) -> Self {
        let mut places: Vec<Option<u32>> = Vec::with_capacity(self.steps.len());
        let mut next = 0;
        for step in &self.steps {
            places.push(stays(step).then(|| {
                next += 1;
                next - 1
            }));
        }
        self.steps.retain_mut(|step| match places[step.id as usize] {
            None => false,
            Some(place) => {
                step.id = place;
                step.after = step.after.iter().filter_map(|id| places[*id as usize]).collect();
                true
            }
        });
        self
    }

    /// Digest of the whole plan.
    pub fn digest(&self) -> Digest {
        Digest::of(serde_json::to_vec(self).expect("plain data always serializes"))
    }
}

/// A machine's name and address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameEntry {
    /// Name.
    pub name: MachineName,
    /// Address.
    pub address: Ipv4Addr,
}

/// One thing that changes, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// How.
    pub kind: ChangeKind,
    /// Group, or `network`, `image` for what belongs to none.
    pub group: String,
    /// Name of the thing.
    pub subject: String,
    /// What happens and why, in a few words; for a replacement, what forces it.
    pub because: String,
}

/// How something changes. The order is the order of display.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It goes away.
    Destroy,
    /// It goes away and another takes its place.
    Replace,
    /// It stays and changes.
    Change,
    /// It comes to be.
    Create,
}

/// One act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    /// Position in [`Plan::steps`].
    pub id: u32,
    /// Stable name, such as `machine/worker-1/create`.
    pub key: String,
    /// For people, such as `create worker-1`.
    pub title: String,
    /// Machine, group or network it is about.
    pub subject: String,
    /// Steps that must have been done before.
    pub after: Vec<u32>,
    /// Steps of one lane never overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// What to do.
    pub act: Act,
}

/// What a step does. Each act may be repeated: it looks before it acts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Act {
    /// Builds an image, or finds that it is there.
    BuildImage {
        /// Name in the site file.
        image: ImageName,
        /// Its identity.
        digest: Digest,
    },
    /// Boots an image once and keeps it with its memory, or finds that this was done.
    EnsureTemplate {
        /// Kind of provider.
        provider: String,
        /// Image, by name.
        image: ImageName,
        /// Image, by content.
        digest: Digest,
        /// Memory.
        memory: ByteSize,
        /// Virtual CPUs.
        cpus: u32,
        /// Disk.
        disk: ByteSize,
    },
    /// Removes a template, unless machines rest on it by now.
    DropTemplate {
        /// Kind of provider.
        provider: String,
        /// Its name there.
        template: Digest,
    },
    /// Makes or repairs a network.
    EnsureNetwork {
        /// Kind of provider.
        provider: String,
        /// Name.
        network: NetworkName,
        /// Addresses.
        cidr: ipnet::Ipv4Net,
        /// Name of the bridge.
        bridge: String,
    },
    /// Removes a network.
    DestroyNetwork {
        /// Kind of provider.
        provider: String,
        /// Name.
        network: NetworkName,
    },
    /// Makes a machine, stopped.
    CreateMachine(Box<MachineDrawn>),
    /// Makes machines from another one that is on.
    CloneMachine {
        /// Kind of provider.
        provider: String,
        /// The machine that they are made from.
        of: MachineId,
        /// Its name.
        machine: MachineName,
        /// With its memory: they go on where it is.
        live: bool,
        /// The clones.
        clones: Vec<CloneDrawn>,
    },
    /// Powers a machine on.
    StartMachine {
        /// Kind of provider.
        provider: String,
        /// Which.
        id: MachineId,
        /// Its name.
        machine: MachineName,
    },
    /// Takes a snapshot of a machine.
    TakeSnapshot {
        /// Kind of provider.
        provider: String,
        /// Which.
        id: MachineId,
        /// Its name.
        machine: MachineName,
        /// The snapshot.
        snapshot: SnapshotFacts,
    },
    /// Brings a machine back to a snapshot of its own, powered off.
    RevertMachine {
        /// Kind of provider.
        provider: String,
        /// Which.
        id: MachineId,
        /// Its name.
        machine: MachineName,
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// Removes a snapshot of a machine.
    DropSnapshot {
        /// Kind of provider.
        provider: String,
        /// Which.
        id: MachineId,
        /// Its name.
        machine: MachineName,
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// Waits until the agent answers, brings it up to date and tells the machine who it is.
    Identify {
        /// Kind of provider.
        provider: String,
        /// Which.
        id: MachineId,
        /// Its name.
        machine: MachineName,
        /// Its Ethernet address.
        mac: Mac,
        /// Its address with prefix length.
        address: String,
        /// Its way out.
        gateway: Ipv4Addr,
        /// Digest of the identity.
        digest: String,
        /// Digest of the agent it should run: another one is replaced first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<Digest>,
        /// Tell it even where it has this identity: its clock and its random numbers are those of
        /// another moment.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    },
    /// Powers a machine off.
    StopMachine {
        /// Kind of provider.
        provider: String,
        /// Which.
        id: MachineId,
        /// Its name.
        machine: MachineName,
    },
    /// Takes a machine out of the balancers in front of its services.
    Withdraw {
        /// Its name.
        machine: MachineName,
        /// Services on it that have a balancer.
        services: Vec<ServiceName>,
    },
    /// Removes a machine with its disk.
    DestroyMachine {
        /// Kind of provider.
        provider: String,
        /// Which.
        id: MachineId,
        /// Its name.
        machine: MachineName,
    },
    /// Runs the group's play on some of its machines.
    Configure {
        /// Group.
        group: GroupName,
        /// Machines.
        machines: Vec<MachineName>,
        /// Digest of the play, kept on the machines when it worked.
        digest: Digest,
    },
    /// Brings a service on one machine to a version: drain, deploy, start, test, admit; back to
    /// the previous version when the test fails.
    Roll {
        /// Service.
        service: ServiceName,
        /// Machine.
        machine: MachineName,
        /// Version to reach.
        version: String,
        /// [`crate::ServiceWanted::content`].
        content: Digest,
        /// Version to go back to; `None` when there was none.
        previous: Option<String>,
        /// Do it even where the machine has this version and it is healthy.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    },
    /// Takes a machine out of a service's balancers and stops the service there.
    Halt {
        /// Service.
        service: ServiceName,
        /// Machine.
        machine: MachineName,
    },
    /// Starts a service that ought to run and does not pass its test.
    Revive {
        /// Service.
        service: ServiceName,
        /// Machine.
        machine: MachineName,
    },
    /// Gives a machine another shape, and has it use what it was given.
    ResizeMachine {
        /// Kind of provider.
        provider: String,
        /// Which.
        id: MachineId,
        /// Its name.
        machine: MachineName,
        /// The shape it is to have.
        shape: Shape,
        /// It has to be powered off in between; it is on afterwards.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        restart: bool,
    },
    /// Tells a new balancer who its members will be, while they are still being brought up: its
    /// software starts meanwhile. Nothing is waited for and nothing is remembered.
    Introduce {
        /// Service.
        service: ServiceName,
        /// Machine that runs the balancer.
        machine: MachineName,
        /// Members.
        members: Vec<BalancerMember>,
    },
    /// Tells a balancer its members, and waits until it serves them all.
    Balance {
        /// Service.
        service: ServiceName,
        /// Machine that runs the balancer.
        machine: MachineName,
        /// Members.
        members: Vec<BalancerMember>,
        /// Digest of configuration and members, kept on the machine.
        digest: String,
    },
}

/// A clone with everything about it decided; the rest is as in the machine that it is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloneDrawn {
    /// Identity.
    pub id: MachineId,
    /// Name.
    pub machine: MachineName,
    /// Ethernet address.
    pub mac: Mac,
    /// Address.
    pub address: Ipv4Addr,
}

/// A member of a balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerMember {
    /// Machine.
    pub machine: MachineName,
    /// Its address.
    pub address: Ipv4Addr,
}

/// A machine with everything about it decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineDrawn {
    /// Kind of provider.
    pub provider: String,
    /// Identity.
    pub id: MachineId,
    /// Name.
    pub machine: MachineName,
    /// Group.
    pub group: GroupName,
    /// Memory.
    pub memory: ByteSize,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Disk.
    pub disk: ByteSize,
    /// Image, by name.
    pub image: ImageName,
    /// Image, by content.
    pub image_digest: Digest,
    /// Network.
    pub network: NetworkName,
    /// Ethernet address.
    pub mac: Mac,
    /// Address.
    pub address: Ipv4Addr,
    /// It comes to life from a template of its image.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
}
