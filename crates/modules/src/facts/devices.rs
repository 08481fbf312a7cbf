//! Disks, their partitions and the names that lead to them, and what LVM makes of them.

use super::hardware::human;
use super::{Facts, line};
use crate::context::Context;
use crate::process::Cmd;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Names by what they lead to.
type Links = BTreeMap<String, BTreeSet<String>>;

/// Where udev keeps names of disks, and what `device_links` calls each kind.
const LINKS: &[(&str, &str)] =
    &[("ids", "/dev/disk/by-id"), ("uuids", "/dev/disk/by-uuid"), ("labels", "/dev/disk/by-label")];

/// What udev puts before the world wide name of a disk.
const WORLD_WIDE: &str = "wwn-";

/// `devices` and `device_links`.
pub(super) fn gather() -> Facts {
    let mut links: BTreeMap<&str, Links> =
        LINKS.iter().map(|(kind, folder)| (*kind, names_in(folder))).collect();
    links.insert("masters", masters());
    let devices: Map<String, Value> = names("/sys/block")
        .into_iter()
        .filter_map(|name| {
            let device = device(&name, &links)?;
            Some((name, device))
        })
        .collect();
    let mut facts = Facts::new();
    facts.insert("devices".into(), Value::Object(devices));
    facts.insert("device_links".into(), json!(links));
    facts
}

/// What is in a folder, sorted.
fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The links in a folder by the names of what they lead to.
fn names_in(folder: &str) -> Links {
    let mut links = Links::new();
    for name in names(folder) {
        let target = fs::read_link(format!("{folder}/{name}")).ok();
        let target = target.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        if let Some(target) = target {
            links.entry(target).or_default().insert(name);
        }
    }
    links
}

/// What is made of each device.
fn masters() -> Links {
    let mut links = Links::new();
    for device in names("/sys/block") {
        for below in names(format!("/sys/block/{device}/slaves")) {
            links.entry(below).or_default().insert(device.clone());
        }
    }
    links
}

fn device(name: &str, links: &BTreeMap<&str, Links>) -> Option<Value> {
    let folder = format!("/sys/block/{name}");
    // Where the kernel has links here, as it has for long, Ansible says 1 of every device.
    fs::read_link(&folder).ok()?;
    let read = |file: &str| line(&format!("{folder}/{file}"));
    let (sectors, size) = length(&folder);
    let mut device = Map::new();
    let mut put = |key: &str, value: Value| drop(device.insert(key.to_owned(), value));
    put("virtual", 1.into());
    put("links", links_of(name, links));
    for key in ["vendor", "model", "sas_address", "sas_device_handle"] {
        put(key, read(&format!("device/{key}")).into());
    }
    if let Some(serial) = read("device/serial") {
        put("serial", serial.into());
    }
    put("removable", read("removable").into());
    put("support_discard", read("queue/discard_granularity").into());
    let ids = links.get("ids").and_then(|ids| ids.get(name)).into_iter().flatten();
    // The last one that udev has; mostly there is one.
    if let Some(id) = ids.filter_map(|id| id.strip_prefix(WORLD_WIDE)).next_back() {
        put("wwn", id.into());
    }
    let partitions: Map<String, Value> = names(&folder)
        .into_iter()
        .filter(|part| is_partition(name, part))
        .map(|part| {
            let told = partition(&folder, &part, links);
            (part, told)
        })
        .collect();
    put("partitions", Value::Object(partitions));
    put("rotational", read("queue/rotational").into());
    put("scheduler_mode", scheduler(&read("queue/scheduler").unwrap_or_default()).into());
    put("sectors", sectors.into());
    put("sectorsize", sector_size(&folder));
    put("size", size.into());
    // It would be in the words of `lspci`, which no machine without a list of vendors has.
    put("host", "".into());
    put("holders", holders(&folder));
    Some(Value::Object(device))
}

/// Whether a folder of a disk is that of one of its partitions: `sda1`, `nvme0n1p1`.
fn is_partition(disk: &str, folder: &str) -> bool {
    folder.strip_prefix(disk).is_some_and(|rest| {
        let number = rest.strip_prefix('p').unwrap_or(rest);
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn partition(disk: &str, name: &str, links: &BTreeMap<&str, Links>) -> Value {
    let folder = format!("{disk}/{name}");
    let (sectors, size) = length(&folder);
    let uuid = links.get("uuids").and_then(|uuids| uuids.get(name)?.first());
    json!({
        "links": links_of(name, links),
        "start": line(&format!("{folder}/start")).map_or(json!(0), Value::from),
        "sectors": sectors,
        "sectorsize": sector_size(&folder),
        "size": size,
        "uuid": uuid,
        "holders": holders(&folder),
    })
}

/// Sectors of a device and its size in words. The kernel counts in 512 bytes, whatever a sector has.
fn length(folder: &str) -> (u64, String) {
    let told = line(&format!("{folder}/size")).and_then(|size| size.parse::<u64>().ok());
    let bytes = told.unwrap_or(0).saturating_mul(512);
    let sector = sector_size(folder);
    let sector = sector.as_u64().or_else(|| sector.as_str()?.parse().ok()).unwrap_or(512);
    (bytes / sector.max(1), human(bytes))
}

/// A partition has none of its own, and is said to have 512.
fn sector_size(folder: &str) -> Value {
    let told = ["logical_block_size", "hw_sector_size"];
    let told = told.iter().find_map(|file| line(&format!("{folder}/queue/{file}")));
    told.map_or(json!(512), Value::from)
}

fn links_of(name: &str, links: &BTreeMap<&str, Links>) -> Value {
    let of = |kind: &BTreeMap<_, _>| json!(kind.get(name).cloned().unwrap_or_default());
    links.iter().map(|(kind, names)| ((*kind).to_owned(), of(names))).collect()
}

/// What the device mapper makes of a device, by name.
fn holders(folder: &str) -> Value {
    names(format!("{folder}/holders"))
        .into_iter()
        .filter(|holder| holder.starts_with("dm-"))
        .map(|holder| line(&format!("{folder}/holders/{holder}/dm/name")).unwrap_or(holder))
        .collect()
}

/// The word in brackets: `none [mq-deadline]`.
fn scheduler(text: &str) -> &str {
    let inner = text.split_once('[').and_then(|(_, rest)| rest.rsplit_once(']'));
    inner.map_or("", |(word, _)| word)
}

/// What LVM has, for root where its programs are; `N/A` otherwise.
pub(super) fn volumes(ctx: &Context) -> Value {
    let root = rustix::process::getuid().is_root();
    if !root || ctx.program("vgs").is_none() {
        return "N/A".into();
    }
    let lines = &|name: &str| -> Vec<Vec<String>> {
        let Some(program) = ctx.program(name) else { return Vec::new() };
        let words = ["--noheadings", "--nosuffix", "--units", "g", "--separator", ","];
        let said = Cmd::new(program).args(words).plain_locale().run(ctx);
        let said = said.map(|ran| ran.out()).unwrap_or_default();
        said.lines().map(|line| line.trim().split(',').map(str::to_owned).collect()).collect()
    };
    // Each looks at all disks, so they take turns at nothing.
    let [groups, logical, physical] = std::thread::scope(|beside| {
        let asked = ["vgs", "lvs", "pvs"].map(|name| beside.spawn(move || lines(name)));
        asked.map(|one| one.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault)))
    });
    json!({
        "vgs": table(&groups, &[("num_pvs", 1), ("num_lvs", 2), ("size_g", 5), ("free_g", 6)]),
        "lvs": table(&logical, &[("vg", 1), ("size_g", 3)]),
        "pvs": table(&physical, &[("vg", 1), ("size_g", 4), ("free_g", 5)]),
    })
}

/// Lines of one of LVM's programs by their first field; the others by their places.
fn table(lines: &[Vec<String>], fields: &[(&str, usize)]) -> Value {
    let row = |line: &Vec<String>| -> Map<String, Value> {
        let field = |at: usize| Value::from(line.get(at).map_or("", String::as_str));
        fields.iter().map(|(name, at)| ((*name).to_owned(), field(*at))).collect()
    };
    let rows = lines.iter().filter(|line| line.len() > 1);
    rows.map(|line| (line[0].clone(), Value::Object(row(line)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_known_by_their_names() {
        assert!(is_partition("sda", "sda1") && is_partition("nvme0n1", "nvme0n1p12"));
        assert!(!is_partition("sda", "queue") && !is_partition("sda", "sda"));
        assert!(!is_partition("sda", "sdap"));
    }

    #[test]
    fn the_scheduler_is_the_one_in_brackets() {
        assert_eq!(scheduler("none [mq-deadline] kyber"), "mq-deadline");
        assert_eq!(scheduler("none"), "");
    }

    #[test]
    fn volumes_are_told_by_their_names() {
        let line = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let groups = [line("vg0,1,2,0,wz--n-,9.99,3.99"), line("")];
        assert_eq!(
            table(&groups, &[("num_pvs", 1), ("free_g", 6)]),
            json!({ "vg0": { "num_pvs": "1", "free_g": "3.99" } })
        );
    }
}
