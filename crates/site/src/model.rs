//! A checked site: what every other part of Updraft means by the word.
//!
//! A [`Site`] comes from [`crate::load`] alone. Each name in it that refers to something refers to
//! something that is there, every number is possible, and every default is filled in. Order is the
//! order of the file.
//! Never here: places in the file, faults, anything that is only asked of one provider.

use camino::Utf8PathBuf;
use ipnet::Ipv4Net;
use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;
use updraft_base::{
    ByteSize, Digest, GroupName, ImageName, MachineName, NetworkName, ServiceName, SiteName,
    UserName,
};

/// Everything one site file describes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Site {
    /// Name.
    pub name: SiteName,
    /// DNS domain that machines' names stand in.
    pub domain: String,
    /// People with an account on every machine.
    pub admins: Vec<Admin>,
    /// Networks; no two overlap.
    pub networks: Vec<Network>,
    /// Images.
    pub images: Vec<Image>,
    /// Groups of machines.
    pub groups: Vec<Group>,
    /// Services.
    pub services: Vec<Service>,
    /// The site file, as it was named to [`crate::load`].
    pub file: Utf8PathBuf,
    /// All site files that were read: the site file first, then what it extends.
    pub files: Vec<Utf8PathBuf>,
}

/// Someone with an account on every machine of the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Account name.
    pub name: UserName,
    /// SSH public keys, one line each, as `authorized_keys` has them. At least one.
    pub keys: Vec<String>,
}

/// A network that machines attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Name.
    pub name: NetworkName,
    /// Its addresses, between /16 and /29. The first host address is the provider's own.
    pub cidr: Ipv4Net,
}

impl Network {
    /// How many machines it has addresses for.
    pub fn capacity(&self) -> u32 {
        // Network and broadcast address, and the provider's own end.
        (1u32 << (32 - u32::from(self.cidr.prefix_len()))) - 3
    }
}

/// What machines start from.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Name.
    pub name: ImageName,
    /// How it is made.
    pub recipe: Recipe,
    /// Commands that must succeed inside, through `/bin/sh -c`, in the order of the file.
    pub test: Vec<String>,
    /// It is booted once and kept with its memory, for machines to start from.
    pub live: bool,
}

/// How an image is made: where it begins, and what is added to that.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Where it begins.
    pub origin: Origin,
    /// Packages to install, in the order of the file, each once.
    pub packages: Vec<String>,
    /// The play that is applied inside. Its file was there when the site was loaded.
    pub play: Option<Utf8PathBuf>,
    /// Variables for the play.
    pub vars: Map<String, Value>,
    /// Admins of the site whose accounts are in the image, in the order of the file, each once.
    pub admins: Vec<Admin>,
}

/// Where an image begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A distribution's packages.
    Bootstrap {
        /// Suite of the distribution, such as `bookworm`.
        suite: String,
        /// Where packages come from; the builder's own choice when not given.
        mirror: Option<String>,
        /// Size of the disk.
        disk: ByteSize,
    },
    /// A disk that others made.
    Import {
        /// Where its file is.
        place: ImportPlace,
        /// What the file is.
        format: ImportFormat,
        /// Content of the file.
        digest: Digest,
        /// What starts its boot loader.
        firmware: Firmware,
        /// Size of the disk.
        disk: ByteSize,
    },
    /// Another image of the site. There is no way from it back to this one.
    From(ImageName),
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportPlace {
    /// On this computer. It was there when the site was loaded.
    File(Utf8PathBuf),
    /// At a URL with http or https, without a user or a password in it.
    Url(String),
}

/// What the file of an imported disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportFormat {
    /// What its first bytes say.
    Detect,
    /// A disk in QEMU's format.
    Qcow2,
    /// The bytes of the disk.
    Raw,
    /// A Vagrant box for libvirt.
    Box,
}

/// What starts a machine's boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// A PC's BIOS.
    Bios,
    /// UEFI.
    Uefi,
}

/// A place machines come from, by its word in the site file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProviderKind {
    /// Guests of QEMU on this machine.
    Qemu,
    /// The simulated provider, for rehearsals.
    Sim,
}

impl ProviderKind {
    /// The word for it in the site file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Sim => "sim",
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many machines a group may have. `1 <= min <= max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Never fewer.
    pub min: u32,
    /// Never more.
    pub max: u32,
}

impl Count {
    /// How many there should be while nothing scales the group.
    pub const fn wanted(self) -> u32 {
        self.min
    }
}

/// Machines of one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Name.
    pub name: GroupName,
    /// What its machines start from.
    pub image: ImageName,
    /// Where they come from.
    pub provider: ProviderKind,
    /// The network they attach to.
    pub network: NetworkName,
    /// How many.
    pub count: Count,
    /// Memory of each, at least 64 MiB.
    pub memory: ByteSize,
    /// Virtual CPUs of each, at least 1.
    pub cpus: u32,
    /// Disk of each, at least the image's; the image's when not given.
    pub disk: Option<ByteSize>,
    /// They boot, even when their image is `live`; see [`Site::starts_live`].
    pub cold: bool,
    /// The play that configures them. Its file was there when the site was loaded.
    pub play: Option<Utf8PathBuf>,
    /// Variables for the play.
    pub vars: Map<String, Value>,
}

impl Group {
    /// Names of the machines that are wanted, in order: `worker-1`, `worker-2`, ….
    pub fn machine_names(&self) -> impl Iterator<Item = MachineName> + '_ {
        (1..=self.count.wanted()).map(|number| {
            MachineName::numbered(&self.name, number)
                .expect("a group's name leaves room for its numbers")
        })
    }
}

/// Something deployed on the machines of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Name.
    pub name: ServiceName,
    /// The group it runs on.
    pub on: GroupName,
    /// The version that should run.
    pub version: String,
    /// Variables for the deploy play.
    pub vars: Map<String, Value>,
    /// The play that puts a version on a machine. Its file was there when the site was loaded.
    pub deploy: Utf8PathBuf,
    /// How to start it, where deploying does not.
    pub start: Option<Action>,
    /// How to stop it.
    pub stop: Option<Action>,
    /// How to know that it is healthy.
    pub test: Option<Test>,
    /// The balancer in front of it.
    pub balancer: Option<Balancer>,
}

/// One thing done to a service on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start or stop this systemd unit.
    Unit(String),
    /// Run this through `/bin/sh -c`.
    Command(String),
}

/// How to know that a service is healthy on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// What is tried.
    pub probe: Probe,
    /// How long until it must be healthy. More than zero.
    pub within: Duration,
    /// How long between two tries. More than zero, at most `within`.
    pub every: Duration,
}

/// One try at a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `GET http://<machine>:<port><path>`.
    Http {
        /// Port, at least 1.
        port: u16,
        /// Path with its query, starting with `/`.
        path: String,
        /// Text that the body must contain.
        expect: Option<String>,
        /// The status that the answer must have.
        status: u16,
    },
    /// A connection to this port is accepted.
    Tcp(u16),
    /// This exits with 0 when run on the machine through `/bin/sh -c`.
    Command(String),
}

/// A balancer in front of a service: an HAProxy on each machine of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancer {
    /// The group it runs on.
    pub on: GroupName,
    /// The port it listens on. No two balancers of a group share one.
    pub listen: u16,
    /// The port of the service's machines that it spreads over.
    pub port: u16,
    /// How long a machine's open connections have to end before it is touched.
    pub drain: Duration,
}

impl Site {
    /// The network of that name.
    pub fn network(&self, name: &NetworkName) -> Option<&Network> {
        self.networks.iter().find(|network| network.name == *name)
    }

    /// Size of the disk that machines get from an image, unless their group says more.
    pub fn image_disk(&self, image: &Image) -> ByteSize {
        match &image.recipe.origin {
            Origin::Bootstrap { disk, .. } | Origin::Import { disk, .. } => *disk,
            Origin::From(below) => {
                let below = self.image(below).expect("a checked site names only images it has");
                self.image_disk(below)
            }
        }
    }

    /// Whether a group's machines come to life from their image's template.
    pub fn starts_live(&self, group: &Group) -> bool {
        !group.cold && self.image(&group.image).is_some_and(|image| image.live)
    }

    /// The image of that name.
    pub fn image(&self, name: &ImageName) -> Option<&Image> {
        self.images.iter().find(|image| image.name == *name)
    }

    /// The group of that name.
    pub fn group(&self, name: &GroupName) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == *name)
    }

    /// The group that a machine of this name belongs to, if the site asks for such a machine.
    pub fn group_of(&self, machine: &MachineName) -> Option<&Group> {
        let (group, number) = machine.as_str().rsplit_once('-')?;
        let number: u32 = number.parse().ok()?;
        let group = self.groups.iter().find(|candidate| candidate.name.as_str() == group)?;
        (1..=group.count.wanted()).contains(&number).then_some(group)
    }

    /// The service of that name.
    pub fn service(&self, name: &ServiceName) -> Option<&Service> {
        self.services.iter().find(|service| service.name == *name)
    }

    /// The services that run on a group.
    pub fn services_on<'a>(&'a self, group: &'a GroupName) -> impl Iterator<Item = &'a Service> {
        self.services.iter().filter(move |service| service.on == *group)
    }

    /// The services whose balancer runs on a group, each with its balancer.
    pub fn balanced_by<'a>(
        &'a self,
        group: &'a GroupName,
    ) -> impl Iterator<Item = (&'a Service, &'a Balancer)> {
        self.services
            .iter()
            .filter_map(|service| Some((service, service.balancer.as_ref()?)))
            .filter(move |(_, balancer)| balancer.on == *group)
    }
}
