//! What a provider sees.

use serde::{Deserialize, Serialize};
use updraft_base::{ByteSize, Digest, MachineId, MachineName, NetworkName};

use crate::{MachineOrder, NetworkOrder, TemplateOrder};

/// Whether a machine is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// It runs.
    On,
    /// It does not, in order.
    Off,
    /// It ought to run and does not: it died, or its host rebooted.
    Dead,
}

/// A machine that carries our mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSeen {
    /// Identity.
    pub id: MachineId,
    /// Name.
    pub name: MachineName,
    /// Whether it is on.
    pub power: Power,
    /// What it was made from; `None` when it was only half made.
    pub order: Option<MachineOrder>,
    /// What is wrong with it, if anything.
    pub fault: Option<String>,
    /// It is to start live and never did: nothing of it is worth keeping.
    #[serde(default)]
    pub unborn: bool,
    /// How many snapshots of it are kept: they go with it.
    #[serde(default)]
    pub snapshots: usize,
    /// The machine that it was made from, when that was no image.
    #[serde(default)]
    pub clone_of: Option<MachineId>,
    /// It is cut off from its networks until [`crate::Provider::connect_machine`].
    #[serde(default)]
    pub apart: bool,
}

/// A network that carries our mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSeen {
    /// Name.
    pub name: NetworkName,
    /// What it was made from.
    pub order: NetworkOrder,
    /// Every part of it is there: bridge, address, NAT. A reboot of the host takes them away.
    pub intact: bool,
}

/// Everything at a provider that carries a site's mark.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Machines, ordered by id.
    pub machines: Vec<MachineSeen>,
    /// Networks, ordered by name.
    pub networks: Vec<NetworkSeen>,
}

/// Signs of life of a machine on its way up. Two equal answers mean that nothing moved between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes its console has printed.
    pub console_bytes: u64,
    /// CPU time it has used, in milliseconds.
    pub cpu_millis: u64,
    /// Last line of its console, for people.
    pub last_line: String,
}

/// A template at a provider, of whichever site: templates are shared like images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSeen {
    /// Its name: what it was made from and by which emulator.
    pub name: Digest,
    /// What it was made from.
    pub order: TemplateOrder,
    /// Machines can still start from it: the emulator that made it is the one there is.
    pub current: bool,
    /// What it takes on disk.
    pub stored: ByteSize,
    /// Machines whose disks rest on it, each as people know it.
    pub users: Vec<String>,
}
