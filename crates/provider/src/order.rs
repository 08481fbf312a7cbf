//! What is asked of a provider. Every choice in it was made while planning.

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use updraft_base::{
    ByteSize, Digest, GroupName, Hasher, Mac, MachineId, MachineName, NetworkName, SiteId, SiteName,
};

/// The mark that everything a provider makes for a site carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteMark {
    /// The site's identity.
    pub id: SiteId,
    /// Its name, for people.
    pub name: SiteName,
}

/// A network to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkOrder {
    /// Name in the site file.
    pub name: NetworkName,
    /// Addresses, IPv4. The first host address is the gateway: the provider's own end.
    pub cidr: ipnet::Ipv4Net,
    /// Name of the bridge, at most 15 bytes, drawn while planning.
    pub bridge: String,
}

impl NetworkOrder {
    /// The provider's own address in this network: the first one.
    pub fn gateway(&self) -> Ipv4Addr {
        self.cidr.hosts().next().unwrap_or_else(|| self.cidr.network())
    }

    /// What makes two networks the same.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        for field in [self.name.as_str(), &self.cidr.to_string(), &self.bridge] {
            hasher.field(field);
        }
        hasher.finish()
    }
}

/// A machine to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineOrder {
    /// Identity, drawn before the machine exists.
    pub id: MachineId,
    /// Name, also the hostname.
    pub name: MachineName,
    /// Group.
    pub group: GroupName,
    /// Memory.
    pub memory: ByteSize,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Size of the disk; at least the image's.
    pub disk: ByteSize,
    /// Image to start from.
    pub image: Digest,
    /// Where the image's files are on the provider's host.
    pub files: ImageFiles,
    /// Network cards.
    pub nics: Vec<Nic>,
    /// A way out that nobody can come in by, without any network of the site: for machines that
    /// live as long as an image is made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outlet: bool,
    /// How it comes to life the first time. Later starts are cold, from its own disk.
    #[serde(default, skip_serializing_if = "Start::is_cold")]
    pub start: Start,
}

impl MachineOrder {
    /// The template that a live machine of this order starts from.
    pub fn template(&self) -> TemplateOrder {
        TemplateOrder {
            image: self.image,
            files: self.files.clone(),
            memory: self.memory,
            cpus: self.cpus,
            disk: self.disk,
        }
    }
}

/// How a machine comes to life the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// It boots.
    #[default]
    Cold,
    /// It goes on from a template: a machine that was booted before and kept with its memory.
    Live,
}

impl Start {
    /// Whether it boots.
    pub fn is_cold(&self) -> bool {
        *self == Self::Cold
    }
}

/// A template to make: an image, booted once on a machine of a shape, at rest, with its memory.
///
/// A machine that starts from it has the same shape, because what runs inside has seen it. What a
/// provider adds of its own (emulator, kind of processor) tells its templates apart too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateOrder {
    /// Image it is booted from.
    pub image: Digest,
    /// Where the image's files are on the provider's host.
    pub files: ImageFiles,
    /// Memory.
    pub memory: ByteSize,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Size of the disk.
    pub disk: ByteSize,
}

impl TemplateOrder {
    /// What makes two templates the same. The place of the image's disk tells builds of one image
    /// apart.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        hasher.field(self.image.to_string());
        hasher.field(self.files.disk.as_os_str().as_encoded_bytes());
        for number in [self.memory.as_bytes(), u64::from(self.cpus), self.disk.as_bytes()] {
            hasher.field(number.to_le_bytes());
        }
        hasher.finish()
    }
}

/// A disk image, and how a machine starts from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFiles {
    /// Disk, qcow2, never written.
    pub disk: PathBuf,
    /// How a machine boots it.
    #[serde(flatten)]
    pub boot: Boot,
}

impl ImageFiles {
    /// Every file that must be there.
    pub fn paths(&self) -> Vec<&PathBuf> {
        match &self.boot {
            Boot::Kernel { kernel, initrd, .. } => vec![&self.disk, kernel, initrd],
            Boot::Firmware { agent, .. } => vec![&self.disk, agent],
        }
    }
}

/// How a machine boots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Boot {
    /// A kernel beside the disk: nothing on the disk has to know how to boot.
    Kernel {
        /// Kernel.
        kernel: PathBuf,
        /// Initial RAM disk.
        initrd: PathBuf,
        /// Kernel command line of the image, such as `root=/dev/vda console=ttyS0`.
        cmdline: String,
    },
    /// The image's own boot loader, started by the machine's firmware. Such an image was made by
    /// others: it is told what to become by a NoCloud seed, which brings the agent.
    Firmware {
        /// Which.
        firmware: Firmware,
        /// The agent's binary, on the provider's host.
        agent: PathBuf,
    },
}

/// What starts a machine's boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// A PC's BIOS.
    Bios,
    /// UEFI.
    Uefi,
}

/// What a machine with [`MachineOrder::outlet`] finds: the fixed addresses of QEMU's user-mode
/// networking (qemu(1), "-netdev user").
pub mod outlet {
    /// Its card.
    pub const MAC: &str = "52:54:00:12:34:56";
    /// Its own address.
    pub const ADDRESS: &str = "10.0.2.15/24";
    /// The way out.
    pub const GATEWAY: &str = "10.0.2.2";
    /// Who answers for names.
    pub const RESOLVER: &str = "10.0.2.3";
}

/// One network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Network it attaches to.
    pub network: NetworkName,
    /// Its Ethernet address.
    pub mac: Mac,
    /// The machine's address there.
    pub address: Ipv4Addr,
}
