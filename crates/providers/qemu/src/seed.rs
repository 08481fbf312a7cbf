//! The NoCloud seed: how an image that others made is told who it is, and gets the agent.
//!
//! A small disk labelled `cidata`, which cloud-init of any distribution looks for by itself
//! (cloud-init, "NoCloud"). It holds no secret: keys and accounts come over the agent's line. The
//! same order gives the same bytes.
//! Never here: what the agent is told.

use std::fmt::Write as _;
use updraft_provider::{MachineOrder, NetworkOrder};

/// The unit that runs the agent, as our own images have it.
const UNIT: &str = include_str!("../../../agent/units/updraft-agent.service");

/// The same for an image of others, where the agent configures a network that runs already: after
/// the bus by which it tells networkd, and so not before what that waits for.
fn unit() -> String {
    UNIT.replace(
        "DefaultDependencies=no\n",
        "DefaultDependencies=no\nWants=dbus.socket\nAfter=dbus.socket\n",
    )
    .replace("WantedBy=sysinit.target", "WantedBy=multi-user.target")
}

/// Installs the agent on each boot, which does nothing when it is there. It runs before
/// cloud-init's other work, and waits for nobody.
const USER_DATA: &str = r#"#cloud-config
bootcmd:
  - |
    seed=/run/updraft-seed
    mkdir -p "$seed"
    mount -o ro -L cidata "$seed" || mount -o ro -L CIDATA "$seed"
    sh "$seed/install.sh"
    umount "$seed"
    rmdir "$seed"
"#;

const INSTALL: &str = r#"set -e
seed=$(dirname "$0")
put() {
    cmp -s "$1" "$2" && return 0
    cp "$1" "$2.new"
    chmod "$3" "$2.new"
    mv "$2.new" "$2"
}
mkdir -p /usr/lib/updraft /var/lib/updraft
chmod 700 /var/lib/updraft
put "$seed/agent" /usr/lib/updraft/updraft-agent 755
put "$seed/agent.ser" /etc/systemd/system/updraft-agent.service 644
command -v restorecon >/dev/null && restorecon -R /usr/lib/updraft /etc/systemd/system || true
modprobe virtio_console 2>/dev/null || true
systemctl daemon-reload
systemctl enable --no-reload updraft-agent.service 2>/dev/null || true
systemctl start --no-block updraft-agent.service
"#;

/// The seed of a machine, as a disk.
pub(crate) fn seed(order: &MachineOrder, networks: &[NetworkOrder], agent: &[u8]) -> Vec<u8> {
    let meta = format!("instance-id: {}\nlocal-hostname: {}\n", order.id, order.name);
    let network = network_config(order, networks);
    iso9660(
        "cidata",
        &[
            ("AGENT", agent),
            ("AGENT.SER", unit().as_bytes()),
            ("INSTALL.SH", INSTALL.as_bytes()),
            ("META-DATA", meta.as_bytes()),
            ("NETWORK-CONFIG", network.as_bytes()),
            ("USER-DATA", USER_DATA.as_bytes()),
        ],
    )
}

/// Network configuration of version 2: planned addresses, nothing leased.
fn network_config(order: &MachineOrder, networks: &[NetworkOrder]) -> String {
    let mut text = "version: 2\nethernets:\n".to_owned();
    if order.outlet {
        text.push_str("  outlet:\n    match: { name: \"e*\" }\n    dhcp4: true\n");
        return text;
    }
    for (index, nic) in order.nics.iter().enumerate() {
        let Some(network) = networks.iter().find(|network| network.name == nic.network) else {
            continue;
        };
        let prefix = network.cidr.prefix_len();
        write!(
            text,
            "  card{index}:\n    match: {{ macaddress: \"{}\" }}\n    addresses: [{}/{prefix}]\n",
            nic.mac, nic.address
        )
        .expect("a string takes all text");
        if index == 0 {
            let gateway = network.gateway();
            writeln!(text, "    routes: [{{ to: 0.0.0.0/0, via: {gateway} }}]")
                .expect("a string takes all text");
        }
    }
    if order.nics.is_empty() {
        return "version: 2\nethernets: {}\n".to_owned();
    }
    text
}

/// Bytes of a sector, the unit of everything below (ECMA-119, 6.1.2).
const SECTOR: usize = 2048;

/// Where the directory is: after the system area, two descriptors and two path tables.
const ROOT: usize = 20;

/// A disk with these files, in the plain format of ECMA-119 (ISO 9660). Names are upper case and
/// sorted; Linux shows them in lower case and without their version.
fn iso9660(label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let names: Vec<String> = files
        .iter()
        .map(|(name, _)| format!("{name}{};1", if name.contains('.') { "" } else { "." }))
        .collect();
    let mut places = Vec::new();
    let mut end = ROOT + 1;
    for (_, bytes) in files {
        places.push(end);
        end += bytes.len().div_ceil(SECTOR).max(1);
    }
    let mut disk = vec![0; end * SECTOR];
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);

    let primary = 16 * SECTOR;
    put(primary, b"\x01CD001\x01");
    put(primary + 8, &[b' '; 64]);
    put(primary + 40, label.as_bytes());
    put(primary + 80, &both32(end));
    for at in [120, 124] {
        put(primary + at, &both16(1));
    }
    put(primary + 128, &both16(SECTOR));
    // One path table entry: the root.
    put(primary + 132, &both32(10));
    put(primary + 140, &little(18));
    put(primary + 148, &big(19));
    put(primary + 156, &record(b"\0", ROOT, SECTOR, true));
    put(primary + 190, &[b' '; 623]);
    for at in [813, 830, 847, 864] {
        put(primary + at, b"0000000000000000\0");
    }
    put(primary + 881, &[1]);
    put(17 * SECTOR, b"\xffCD001\x01");
    put(18 * SECTOR, &[1, 0]);
    put(18 * SECTOR + 2, &little(ROOT));
    put(18 * SECTOR + 6, &[1, 0]);
    put(19 * SECTOR, &[1, 0]);
    put(19 * SECTOR + 2, &big(ROOT));
    put(19 * SECTOR + 6, &[0, 1]);

    let mut at = ROOT * SECTOR;
    let own = [record(b"\0", ROOT, SECTOR, true), record(b"\x01", ROOT, SECTOR, true)];
    let listed = names
        .iter()
        .zip(files)
        .zip(&places)
        .map(|((name, (_, bytes)), place)| record(name.as_bytes(), *place, bytes.len(), false));
    for entry in own.into_iter().chain(listed) {
        put(at, &entry);
        at += entry.len();
    }
    assert!(at <= (ROOT + 1) * SECTOR, "the directory fits its sector");
    for ((_, bytes), place) in files.iter().zip(places) {
        put(place * SECTOR, bytes);
    }
    disk
}

/// An entry of a directory (ECMA-119, 9.1).
fn record(name: &[u8], place: usize, size: usize, dir: bool) -> Vec<u8> {
    let length = (33 + name.len()).next_multiple_of(2);
    let mut entry = vec![u8::try_from(length).expect("names are short"), 0];
    entry.extend(both32(place));
    entry.extend(both32(size));
    // 1980-01-01: a time that everybody can show.
    entry.extend([80, 1, 1, 0, 0, 0, 0]);
    entry.extend([if dir { 2 } else { 0 }, 0, 0]);
    entry.extend(both16(1));
    entry.push(u8::try_from(name.len()).expect("names are short"));
    entry.extend(name);
    entry.resize(length, 0);
    entry
}

fn little(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("a seed is small").to_le_bytes()
}

fn big(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("a seed is small").to_be_bytes()
}

/// A number in both byte orders (ECMA-119, 7.3.3).
fn both32(number: usize) -> Vec<u8> {
    [little(number), big(number)].concat()
}

fn both16(number: usize) -> Vec<u8> {
    let number = u16::try_from(number).expect("sizes of sectors are small");
    [number.to_le_bytes(), number.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::AGENT_PORT;
    use crate::place::tests::order;

    fn networks() -> Vec<NetworkOrder> {
        vec![NetworkOrder {
            name: "lan".parse().unwrap(),
            cidr: "10.77.0.0/24".parse().unwrap(),
            bridge: "ub0".to_owned(),
        }]
    }

    #[test]
    fn a_machine_is_told_its_planned_address_and_its_way_out() {
        let text = network_config(&order(), &networks());
        assert!(text.contains("macaddress: \"52:54:00:12:34:56\""), "{text}");
        assert!(text.contains("addresses: [10.77.0.11/24]"), "{text}");
        assert!(text.contains("via: 10.77.0.1 }"), "{text}");
    }

    #[test]
    fn the_agent_serves_the_port_that_the_machine_has() {
        assert!(UNIT.contains(AGENT_PORT), "{UNIT}");
        assert!(unit().contains("After=dbus.socket") && !unit().contains("sysinit.target"));
    }

    #[test]
    fn the_disk_is_found_by_its_label_and_the_same_order_gives_the_same_bytes() {
        let disk = seed(&order(), &networks(), b"agent");
        assert_eq!(disk, seed(&order(), &networks(), b"agent"));
        // As blkid and the kernel look for it: libblkid/src/superblocks/iso9660.c.
        assert_eq!(&disk[0x8000..0x8006], b"\x01CD001");
        assert_eq!(&disk[0x8028..0x8048], b"cidata                          ");
        assert_eq!(disk.len() % SECTOR, 0);
        let directory = &disk[ROOT * SECTOR..(ROOT + 1) * SECTOR];
        let text = String::from_utf8_lossy(directory);
        for name in ["META-DATA.;1", "USER-DATA.;1", "NETWORK-CONFIG.;1", "AGENT.SER;1"] {
            assert!(text.contains(name), "{name} is missing");
        }
    }
}
