//! Processors, memory, disks, mounts, firmware, and what kind of machine is around it all.

use super::{Facts, devices, line, text};
use crate::context::Context;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

pub(super) fn gather(ctx: &Context) -> Facts {
    let mut facts = processors(&text("/proc/cpuinfo"));
    facts.extend(memory(&text("/proc/meminfo")));
    facts.extend(firmware());
    facts.insert("mounts".into(), mounts(&text("/proc/mounts")).into());
    facts.extend(devices::gather());
    facts.insert("lvm".into(), devices::volumes(ctx));
    let uptime = text("/proc/uptime");
    let seconds = uptime.split('.').next().and_then(|whole| whole.parse::<u64>().ok());
    facts.insert("uptime_seconds".into(), seconds.unwrap_or(0).into());
    facts
}

fn processors(cpuinfo: &str) -> Facts {
    let mut listed: Vec<String> = Vec::new();
    let mut sockets: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut count = 0_u64;
    let mut flags: Vec<&str> = Vec::new();
    for block in cpuinfo.split("\n\n") {
        let field = |name: &str| {
            block
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim())
        };
        let Some(number) = field("processor") else { continue };
        count += 1;
        listed.push(number.to_owned());
        listed.extend(field("vendor_id").map(str::to_owned));
        let model = field("model name").or_else(|| field("Processor")).or_else(|| field("cpu"));
        listed.extend(model.map(str::to_owned));
        let parse = |name| field(name).and_then(|value| value.parse().ok());
        if let Some(socket) = field("physical id") {
            let cores = parse("cpu cores").unwrap_or(1);
            sockets.insert(socket, (cores, parse("siblings").unwrap_or(cores)));
        }
        if flags.is_empty() {
            let words = field("flags").or_else(|| field("Features")).unwrap_or_default();
            flags = words.split_whitespace().collect();
        }
    }
    let (packages, cores, threads) = match sockets.values().next() {
        Some((cores, siblings)) => {
            (sockets.len() as u64, *cores, (siblings / (*cores).max(1)).max(1))
        }
        None => (count, 1, 1),
    };
    let vcpus = packages.saturating_mul(cores).saturating_mul(threads);
    let nproc = std::thread::available_parallelism().map_or(count, |n| n.get() as u64);
    let Value::Object(facts) = json!({
        "processor": listed,
        "processor_count": packages,
        "processor_cores": cores,
        "processor_threads_per_core": threads,
        "processor_vcpus": vcpus,
        "processor_nproc": nproc,
        "flags": flags,
    }) else {
        unreachable!("an object literal is an object")
    };
    facts
}

fn memory(meminfo: &str) -> Facts {
    let mb = |name: &str| {
        meminfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| value.split_whitespace().next()?.parse::<u64>().ok())
            .map_or(0, |kb| kb / 1024)
    };
    let (total, free) = (mb("MemTotal"), mb("MemFree"));
    let nocache = (free + mb("Cached") + mb("Buffers")).min(total);
    let (swap, swap_free) = (mb("SwapTotal"), mb("SwapFree"));
    let Value::Object(facts) = json!({
        "memtotal_mb": total,
        "memfree_mb": free,
        "swaptotal_mb": swap,
        "swapfree_mb": swap_free,
        "memory_mb": {
            "real": { "total": total, "used": total.saturating_sub(free), "free": free },
            "nocache": { "free": nocache, "used": total.saturating_sub(nocache) },
            "swap": {
                "total": swap,
                "free": swap_free,
                "used": swap.saturating_sub(swap_free),
                "cached": mb("SwapCached"),
            },
        },
    }) else {
        unreachable!("an object literal is an object")
    };
    facts
}

/// Fact and file below `/sys/class/dmi/id`.
const FIRMWARE: &[(&str, &str)] = &[
    ("bios_date", "bios_date"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];

/// DMTF DSP0134 (SMBIOS) section 7.4.1: chassis types by number.
const CHASSIS: &[&str] = &[
    "Unknown",
    "Other",
    "Unknown",
    "Desktop",
    "Low Profile Desktop",
    "Pizza Box",
    "Mini Tower",
    "Tower",
    "Portable",
    "Laptop",
    "Notebook",
    "Hand Held",
    "Docking Station",
    "All In One",
    "Sub Notebook",
    "Space-saving",
    "Lunch Box",
    "Main Server Chassis",
    "Expansion Chassis",
    "Sub Chassis",
    "Bus Expansion Chassis",
    "Peripheral Chassis",
    "RAID Chassis",
    "Rack Mount Chassis",
    "Sealed-case PC",
    "Multi-system",
    "CompactPCI",
    "AdvancedTCA",
    "Blade",
    "Blade Enclosure",
    "Tablet",
    "Convertible",
    "Detachable",
    "IoT Gateway",
    "Embedded PC",
    "Mini PC",
    "Stick PC",
];

fn firmware() -> Facts {
    let dmi = |file: &str| line(&format!("/sys/class/dmi/id/{file}"));
    let mut facts: Facts = FIRMWARE
        .iter()
        .map(|(fact, file)| {
            ((*fact).to_owned(), dmi(file).unwrap_or_else(|| "NA".to_owned()).into())
        })
        .collect();
    let form = dmi("chassis_type")
        .and_then(|number| CHASSIS.get(number.parse::<usize>().ok()?).copied())
        .unwrap_or("NA");
    facts.insert("form_factor".into(), form.into());
    facts
}

fn mounts(mounts: &str) -> Vec<Value> {
    let uuids = links("/dev/disk/by-uuid");
    let mut found = Vec::new();
    for line in mounts.lines() {
        let words: Vec<String> = line.split(' ').map(unescape).collect();
        let [device, mount, fstype, options, ..] = words.as_slice() else { continue };
        if (!device.starts_with('/') && !device.contains(":/")) || fstype == "none" {
            continue;
        }
        let uuid = Path::new(device)
            .canonicalize()
            .ok()
            .and_then(|device| uuids.get(device.to_str()?).cloned())
            .unwrap_or_else(|| "N/A".to_owned());
        let mut entry = Map::new();
        let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
        put("mount", mount.as_str().into());
        put("device", device.as_str().into());
        put("fstype", fstype.as_str().into());
        put("options", options.as_str().into());
        put("dump", 0.into());
        put("passno", 0.into());
        // A dead server would hold us up, so filesystems over the network tell no sizes.
        let remote = device.contains(":/") || device.starts_with("//");
        if let (false, Ok(stat)) = (remote, rustix::fs::statvfs(mount.as_str())) {
            put("size_total", stat.f_frsize.saturating_mul(stat.f_blocks).into());
            put("size_available", stat.f_frsize.saturating_mul(stat.f_bavail).into());
            put("block_size", stat.f_bsize.into());
            put("block_total", stat.f_blocks.into());
            put("block_available", stat.f_bavail.into());
            put("block_used", stat.f_blocks.saturating_sub(stat.f_bavail).into());
            put("inode_total", stat.f_files.into());
            put("inode_available", stat.f_favail.into());
            put("inode_used", stat.f_files.saturating_sub(stat.f_favail).into());
        }
        put("uuid", uuid.into());
        found.push(Value::Object(entry));
    }
    found
}

/// Undoes the octal escapes of `/proc/mounts` (proc_pid_mounts(5), fstab(5)).
fn unescape(word: &str) -> String {
    word.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Real path to name, for a directory of links.
fn links(dir: &str) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(dir) else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let real = entry.path().canonicalize().ok()?;
            Some((real.to_str()?.to_owned(), entry.file_name().into_string().ok()?))
        })
        .collect()
}

/// A size as Ansible writes it: `10.00 GB`.
#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
pub(super) fn human(bytes: u64) -> String {
    const UNITS: &[(&str, u32)] = &[("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10)];
    UNITS.iter().find(|(_, shift)| bytes >> shift != 0).map_or_else(
        || format!("{bytes}.00 Bytes"),
        |(unit, shift)| format!("{:.2} {unit}", bytes as f64 / (1_u64 << shift) as f64),
    )
}

pub(super) fn virtualization() -> Facts {
    let seen = Surroundings {
        environ: text("/proc/1/environ"),
        cgroup: text("/proc/1/cgroup"),
        docker: Path::new("/.dockerenv").exists() || Path::new("/.dockerinit").exists(),
        podman: Path::new("/run/.containerenv").exists(),
        nspawn: line("/run/systemd/container").as_deref() == Some("systemd-nspawn"),
        product: line("/sys/class/dmi/id/product_name").unwrap_or_default(),
        vendor: line("/sys/class/dmi/id/sys_vendor").unwrap_or_default(),
        bios: line("/sys/class/dmi/id/bios_vendor").unwrap_or_default(),
        hypervisor: line("/sys/hypervisor/type"),
        cpuinfo: text("/proc/cpuinfo"),
        modules: text("/proc/modules"),
        kvm: Path::new("/dev/kvm").exists(),
    };
    let (kind, role, guest, host) = seen.decide();
    let Value::Object(facts) = json!({
        "virtualization_type": kind,
        "virtualization_role": role,
        "virtualization_tech_guest": guest,
        "virtualization_tech_host": host,
    }) else {
        unreachable!("an object literal is an object")
    };
    facts
}

/// What a machine shows of what it runs on.
#[derive(Default)]
struct Surroundings {
    environ: String,
    cgroup: String,
    docker: bool,
    podman: bool,
    nspawn: bool,
    product: String,
    vendor: String,
    bios: String,
    hypervisor: Option<String>,
    cpuinfo: String,
    modules: String,
    kvm: bool,
}

type Virtual = (&'static str, &'static str, BTreeSet<&'static str>, BTreeSet<&'static str>);

impl Surroundings {
    fn decide(&self) -> Virtual {
        let mut host = BTreeSet::new();
        let module =
            |name: &str| self.modules.lines().any(|line| line.split(' ').next() == Some(name));
        if self.kvm || module("kvm") {
            host.insert("kvm");
        }
        if module("vboxdrv") {
            host.insert("virtualbox");
        }
        let mut guest = BTreeSet::new();
        let container = self.environ.split('\0').find_map(|word| word.strip_prefix("container="));
        let mut first = None;
        let mut add = |kind: &'static str| {
            guest.insert(kind);
            first.get_or_insert(kind);
        };
        if self.docker || self.cgroup.contains("/docker") {
            add("docker");
        }
        if self.podman || container == Some("podman") {
            add("podman");
        }
        if self.nspawn || container == Some("systemd-nspawn") {
            add("systemd-nspawn");
        }
        if container == Some("lxc") || self.cgroup.contains("/lxc/") {
            add("lxc");
        }
        if container.is_some() || self.docker || self.podman {
            add("container");
        }
        if self.hypervisor.as_deref() == Some("xen") {
            add("xen");
        }
        let has = |text: &str, words: &[&str]| words.iter().any(|word| text.contains(word));
        if self.product == "OpenStack Nova" || self.product == "OpenStack Compute" {
            add("openstack");
            add("kvm");
        } else if has(&self.product, &["KVM", "KVM Server", "Bochs", "AHV"])
            || has(&self.vendor, &["QEMU", "Red Hat", "oVirt", "Nutanix"])
            || matches!(self.vendor.as_str(), "Amazon EC2" | "Google" | "Hetzner")
        {
            add("kvm");
        } else if has(&self.product, &["VMware", "VMW"]) || has(&self.vendor, &["VMware"]) {
            add("VMware");
        } else if has(&self.product, &["VirtualBox"]) || has(&self.bios, &["innotek GmbH"]) {
            add("virtualbox");
        } else if self.vendor == "Microsoft Corporation" && self.product == "Virtual Machine" {
            add("VirtualPC");
        } else if has(&self.product, &["Parallels"]) {
            add("parallels");
        } else if has(&self.bios, &["Xen"]) || has(&self.product, &["HVM domU"]) {
            add("xen");
        } else if has(
            &self.cpuinfo,
            &["QEMU Virtual CPU", "Common KVM processor", "User Mode Linux"],
        ) || (guest.is_empty() && self.product.is_empty() && self.guest_flag())
        {
            // Machines without firmware tables, as Firecracker and direct kernel boots make them,
            // show only the processor's flag.
            guest.insert("kvm");
            first.get_or_insert("kvm");
        }
        match (first, host.iter().next()) {
            (Some(kind), _) => (kind, "guest", guest, host),
            (None, Some(kind)) => (kind, "host", guest, host),
            (None, None) => ("NA", "NA", guest, host),
        }
    }

    fn guest_flag(&self) -> bool {
        self.cpuinfo
            .lines()
            .filter(|line| line.starts_with("flags"))
            .any(|line| line.split_whitespace().any(|flag| flag == "hypervisor"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_by_socket_core_and_thread() {
        let block = |n: u32, socket: u32| {
            format!(
                "processor\t: {n}\nvendor_id\t: V\nmodel name\t: M\nphysical id\t: {socket}\n\
                 siblings\t: 4\ncpu cores\t: 2\nflags\t: a b\n\n"
            )
        };
        let info: String = (0..8).map(|n| block(n, n / 4)).collect();
        let facts = processors(&info);
        assert_eq!(facts["processor_count"], 2);
        assert_eq!(facts["processor_cores"], 2);
        assert_eq!(facts["processor_threads_per_core"], 2);
        assert_eq!(facts["processor_vcpus"], 8);
        assert_eq!(
            facts["processor"].as_array().unwrap()[..3].to_vec(),
            ["0", "V", "M"].map(Value::from)
        );
        let arm = "processor\t: 0\nBogoMIPS\t: 50\n\nprocessor\t: 1\n";
        let facts = processors(arm);
        assert_eq!(facts["processor_vcpus"], 2);
        assert_eq!(facts["processor_cores"], 1);
    }

    #[test]
    fn memory_is_told_in_mebibytes() {
        let facts = memory(
            "MemTotal: 2048000 kB\nMemFree: 1024000 kB\nBuffers: 1024 kB\nCached: 2048 kB\n\
             SwapTotal: 4096 kB\nSwapFree: 1024 kB\n",
        );
        assert_eq!(facts["memtotal_mb"], 2000);
        assert_eq!(facts["memory_mb"]["real"]["used"], 1000);
        assert_eq!(facts["memory_mb"]["nocache"]["free"], 1003);
        assert_eq!(facts["memory_mb"]["swap"]["used"], 3);
    }

    #[test]
    fn sizes_are_written_as_ansible_writes_them() {
        assert_eq!(human(10 << 30), "10.00 GB");
        assert_eq!(human((3 << 20) / 2), "1.50 MB");
        assert_eq!(human(0), "0.00 Bytes");
    }

    #[test]
    fn what_is_around_the_machine_is_recognised() {
        let check = |seen: Surroundings, kind: &str, role: &str| {
            let (got, got_role, ..) = seen.decide();
            assert_eq!((got, got_role), (kind, role));
        };
        let none = Surroundings::default;
        check(none(), "NA", "NA");
        check(Surroundings { kvm: true, ..none() }, "kvm", "host");
        check(Surroundings { docker: true, kvm: true, ..none() }, "docker", "guest");
        check(Surroundings { environ: "A=b\0container=lxc\0".into(), ..none() }, "lxc", "guest");
        check(Surroundings { vendor: "QEMU".into(), ..none() }, "kvm", "guest");
        check(Surroundings { product: "OpenStack Nova".into(), ..none() }, "openstack", "guest");
        check(Surroundings { product: "VirtualBox".into(), ..none() }, "virtualbox", "guest");
        check(Surroundings { cpuinfo: "flags : fpu hypervisor".into(), ..none() }, "kvm", "guest");
    }
}
