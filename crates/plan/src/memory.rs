//! What was drawn before and must not be drawn again.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use updraft_base::{Mac, MachineId, MachineName, NetworkName, SiteId};

/// Choices of earlier plans, kept in the site's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The site's identity: the mark on everything of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// Machines by name.
    #[serde(default)]
    pub machines: BTreeMap<MachineName, Drawn>,
    /// Names of bridges by network.
    #[serde(default)]
    pub bridges: BTreeMap<NetworkName, String>,
}

/// What was drawn for a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// Identity.
    pub id: MachineId,
    /// Ethernet address.
    pub mac: Mac,
    /// Network.
    pub network: NetworkName,
    /// Address there.
    pub address: Ipv4Addr,
    /// It was made from another machine, beside the site file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloned: Option<Cloned>,
}

/// Where a clone comes from: the site file does not say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cloned {
    /// Kind of its provider.
    pub provider: String,
    /// The machine that it was made from.
    pub of: MachineName,
}
