//! What the site file asks for, with every file it names already turned into a digest.

use serde::Serialize;
use updraft_base::{
    ByteSize, Digest, GroupName, ImageName, MachineName, NetworkName, ServiceName, SiteName,
};

/// Everything that is wanted. Built from a checked site, so its names refer to each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Desired {
    /// The site's name.
    pub site: SiteName,
    /// Domain of the machines' names.
    pub domain: String,
    /// Digest of the admins and their keys.
    pub admins: Digest,
    /// Digest of the agent that machines should run; `None` when we have none to give.
    pub agent: Option<Digest>,
    /// Networks.
    pub networks: Vec<NetworkWanted>,
    /// Images.
    pub images: Vec<ImageWanted>,
    /// Groups, in the order of the site file.
    pub groups: Vec<GroupWanted>,
    /// Services, in the order of the site file.
    pub services: Vec<ServiceWanted>,
}

impl Desired {
    /// Digest of everything wanted: a saved plan is refused when it changed.
    pub fn digest(&self) -> Digest {
        Digest::of(serde_json::to_vec(self).expect("plain data always serializes"))
    }
}

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkWanted {
    /// Name.
    pub name: NetworkName,
    /// Addresses; the first host address is the gateway.
    pub cidr: ipnet::Ipv4Net,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageWanted {
    /// Name.
    pub name: ImageName,
    /// Identity of the image: digest of what it is made from.
    pub digest: Digest,
}

/// A group of machines.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupWanted {
    /// Name.
    pub name: GroupName,
    /// Kind of provider its machines come from.
    pub provider: String,
    /// Image its machines start from.
    pub image: ImageName,
    /// Network its machines attach to.
    pub network: NetworkName,
    /// How many.
    pub count: u32,
    /// Memory of each.
    pub memory: ByteSize,
    /// Virtual CPUs of each.
    pub cpus: u32,
    /// Disk of each.
    pub disk: ByteSize,
    /// They come to life from a template of their image.
    pub live: bool,
    /// Digest of the play that configures them, with every file it reaches and its variables.
    pub play: Option<Digest>,
}

impl GroupWanted {
    /// Names of its machines, in order.
    ///
    /// A site is checked so that these are always valid names.
    pub fn machines(&self) -> impl Iterator<Item = MachineName> + '_ {
        (1..=self.count).map(|number| {
            MachineName::numbered(&self.name, number).expect("checked when the site was read")
        })
    }
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceWanted {
    /// Name.
    pub name: ServiceName,
    /// Group it runs on.
    pub on: GroupName,
    /// Version.
    pub version: String,
    /// Digest of its deploy play with every file it reaches, its variables, start, stop and test;
    /// without the version.
    pub content: Digest,
    /// It has a test, so its health is observed.
    pub tested: bool,
    /// The balancer in front of it.
    pub balancer: Option<BalancerWanted>,
}

/// A balancer in front of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BalancerWanted {
    /// Group of machines that run the balancer.
    pub on: GroupName,
    /// Digest of everything in its configuration but the members.
    pub content: Digest,
}
