//! Where a guest's files are.

use std::path::{Path, PathBuf};
use updraft_base::MachineId;

/// Where one guest's files are: what must last in `dir`, what lives as long as its process in
/// `run`, whose path is short because a socket's may have 107 bytes (unix(7)).
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) run: PathBuf,
}

impl Place {
    pub(crate) fn new(state: &Path, runtime: &Path, id: MachineId) -> Self {
        Self { dir: state.join("guests").join(id.to_string()), run: runtime.join(id.tail()) }
    }

    /// What the machine was made from, and whose it is: the mark.
    pub(crate) fn order(&self) -> PathBuf {
        self.dir.join("order.json")
    }

    /// Whether it ought to run: `on` or `off`.
    pub(crate) fn power(&self) -> PathBuf {
        self.dir.join("power")
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.dir.join("disk.qcow2")
    }

    /// Where a disk is written before it takes the place of the other.
    pub(crate) fn new_disk(&self) -> PathBuf {
        self.dir.join("disk.new")
    }

    /// What an image made by others is told.
    pub(crate) fn seed(&self) -> PathBuf {
        self.dir.join("seed.iso")
    }

    /// What UEFI remembers.
    pub(crate) fn firmware_state(&self) -> PathBuf {
        self.dir.join("firmware.fd")
    }

    /// Its snapshots, each in a folder of its own.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.dir.join("snapshots")
    }

    /// Says that it is cut off from its networks: it is, or may be, as another machine.
    pub(crate) fn apart(&self) -> PathBuf {
        self.dir.join("apart")
    }

    /// Memory of the machine that a clone goes on as.
    pub(crate) fn memory(&self) -> PathBuf {
        self.dir.join("memory")
    }

    /// Says from which memory it goes on at its next start.
    pub(crate) fn goes_on(&self) -> PathBuf {
        self.dir.join("goes-on")
    }

    /// Says that it has come to life once: from then on its disk is ahead of any template.
    pub(crate) fn born(&self) -> PathBuf {
        self.dir.join("born")
    }

    /// Where the state of its devices is handed over.
    pub(crate) fn state_socket(&self) -> PathBuf {
        self.run.join("state")
    }

    pub(crate) fn console_log(&self) -> PathBuf {
        self.dir.join("console.log")
    }

    /// What QEMU itself says.
    pub(crate) fn qemu_log(&self) -> PathBuf {
        self.dir.join("qemu.log")
    }

    pub(crate) fn pidfile(&self) -> PathBuf {
        self.run.join("pid")
    }

    pub(crate) fn qmp_socket(&self) -> PathBuf {
        self.run.join("qmp")
    }

    pub(crate) fn agent_socket(&self) -> PathBuf {
        self.run.join("agent")
    }

    pub(crate) fn console_socket(&self) -> PathBuf {
        self.run.join("console")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use updraft_base::{ByteSize, Digest};
    use updraft_provider::{Boot, ImageFiles, MachineOrder, Nic};

    pub(crate) fn order() -> MachineOrder {
        let nic = |network: &str, mac: &str, address: &str| Nic {
            network: network.parse().unwrap(),
            mac: mac.parse().unwrap(),
            address: address.parse().unwrap(),
        };
        MachineOrder {
            id: "01JD6N2QHZ8M4T6W9XK3PBCDEF".parse().unwrap(),
            name: "worker-1".parse().unwrap(),
            group: "worker".parse().unwrap(),
            memory: ByteSize::mib(256),
            cpus: 2,
            disk: ByteSize::gib(10),
            image: Digest::of("image"),
            files: ImageFiles {
                disk: "/store/images/x/disk.qcow2".into(),
                boot: Boot::Kernel {
                    kernel: "/store/images/x/vmlinuz".into(),
                    initrd: "/store/images/x/initrd".into(),
                    cmdline: "root=/dev/vda rw console=ttyS0".to_owned(),
                },
            },
            outlet: false,
            start: updraft_provider::Start::Cold,
            nics: vec![
                nic("lan", "52:54:00:12:34:56", "10.77.0.11"),
                nic("back", "52:54:00:12:34:57", "10.78.0.11"),
            ],
        }
    }

    pub(crate) fn place() -> Place {
        Place::new(Path::new("/srv/hello/.updraft"), Path::new("/run/updraft/abc123"), order().id)
    }

    #[test]
    fn sockets_fit_a_socket_address() {
        assert!(place().console_socket().as_os_str().len() < 108);
    }
}
