//! Facts: what a machine is, has and runs, in the shape of Ansible's `setup`.
//!
//! Almost everything is read from `/proc`, `/sys` and `/etc`, so gathering takes milliseconds.
//! Keys stand without the `ansible_` prefix. Never here: changing anything.

mod distribution;
mod hardware;
mod local;
mod network;
mod system;

use crate::context::Context;
use serde_json::{Map, Value};
pub(crate) use system::{full_name, package_manager, service_manager};

/// Where facts of a machine's own making lie.
pub(crate) const LOCAL_FACTS: &str = "/etc/ansible/facts.d";

/// Facts of one kind.
pub(crate) type Facts = Map<String, Value>;

/// Names a task may give as a subset, and the group each belongs to.
const SUBSETS: &[(&str, Group)] = &[
    ("min", Group::Min),
    ("hardware", Group::Hardware),
    ("devices", Group::Hardware),
    ("dmi", Group::Hardware),
    ("memory", Group::Hardware),
    ("mounts", Group::Hardware),
    ("processor", Group::Hardware),
    ("network", Group::Network),
    ("interfaces", Group::Network),
    ("default_ipv4", Group::Network),
    ("default_ipv6", Group::Network),
    ("all_ipv4_addresses", Group::Network),
    ("all_ipv6_addresses", Group::Network),
    ("virtual", Group::Virtual),
    ("virtualization_type", Group::Virtual),
    ("virtualization_role", Group::Virtual),
    ("chroot", Group::Other),
    ("is_chroot", Group::Other),
    ("loadavg", Group::Other),
    ("systemd", Group::Other),
    ("apparmor", Group::Min),
    ("architecture", Group::Min),
    ("caps", Group::Min),
    ("cmdline", Group::Min),
    ("date_time", Group::Min),
    ("distribution", Group::Min),
    ("distribution_major_version", Group::Min),
    ("distribution_release", Group::Min),
    ("distribution_version", Group::Min),
    ("dns", Group::Min),
    ("env", Group::Min),
    ("fips", Group::Min),
    ("hostname", Group::Min),
    ("kernel", Group::Min),
    ("local", Group::Min),
    ("lsb", Group::Min),
    ("machine", Group::Min),
    ("machine_id", Group::Min),
    ("os_family", Group::Min),
    ("pkg_mgr", Group::Min),
    ("platform", Group::Min),
    ("python", Group::Min),
    ("python_version", Group::Min),
    ("selinux", Group::Min),
    ("service_mgr", Group::Min),
    ("ssh_pub_keys", Group::Min),
    ("system", Group::Min),
    ("user", Group::Min),
    ("user_id", Group::Min),
    // Programs that bring facts of their own; they are not part of a native engine.
    ("facter", Group::None),
    ("ohai", Group::None),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Min,
    Hardware,
    Network,
    Virtual,
    Other,
    None,
}

const ALL: [Group; 5] = [Group::Min, Group::Hardware, Group::Network, Group::Virtual, Group::Other];

/// The first name in `subset` that is not one Ansible knows.
pub(crate) fn unknown_subset(subset: &[String]) -> Option<&str> {
    subset.iter().map(String::as_str).find(|name| {
        let bare = name.strip_prefix('!').unwrap_or(name);
        bare != "all" && !SUBSETS.iter().any(|(known, _)| *known == bare)
    })
}

fn wanted(subset: &[String]) -> Vec<Group> {
    let group = |name: &str| SUBSETS.iter().find(|(known, _)| *known == name).map(|found| found.1);
    let named = |sign: bool| {
        subset
            .iter()
            .filter(move |name| name.starts_with('!') == sign)
            .map(|name| name.trim_start_matches('!'))
    };
    let mut groups: Vec<Group> = Vec::new();
    if named(false).next().is_none() || named(false).any(|name| name == "all") {
        groups.extend(ALL);
    }
    groups.extend(named(false).filter_map(group));
    let out: Vec<Group> = named(true).filter_map(group).collect();
    let nothing = named(true).any(|name| name == "all");
    let asked: Vec<Group> = named(false).filter_map(group).collect();
    groups.retain(|group| !out.contains(group) && (!nothing || asked.contains(group)));
    if !out.contains(&Group::Min) && !groups.contains(&Group::Min) {
        groups.push(Group::Min);
    }
    groups
}

/// Gathers facts. `subset` is as Ansible's `gather_subset`; empty means everything.
pub(crate) fn gather(subset: &[String], fact_path: &str, ctx: &Context) -> Facts {
    let groups = wanted(subset);
    let has = |group| groups.contains(&group);
    let mut facts = Facts::new();
    if has(Group::Min) {
        facts.extend(system::platform(ctx));
        facts.extend(distribution::distribution());
        facts.extend(system::surroundings(ctx));
        facts.insert("local".into(), Value::Object(local::gather(fact_path, ctx)));
    }
    if has(Group::Hardware) {
        facts.extend(hardware::gather());
    }
    if has(Group::Network) {
        facts.extend(network::gather());
    }
    if has(Group::Virtual) {
        facts.extend(hardware::virtualization());
    }
    if has(Group::Other) {
        facts.extend(system::others(ctx));
    }
    let shown = if subset.is_empty() { vec!["all".to_owned()] } else { subset.to_vec() };
    facts.insert("gather_subset".into(), shown.into());
    facts.insert("module_setup".into(), true.into());
    facts
}

/// A small file without the white space around it.
pub(crate) fn line(path: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&std::fs::read(path).ok()?).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// A file, or nothing.
pub(crate) fn text(path: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(subset: &[&str], expected: &[Group]) {
        let subset: Vec<String> = subset.iter().map(|name| (*name).to_owned()).collect();
        let mut got = wanted(&subset);
        got.sort_by_key(|group| *group as u8);
        got.dedup();
        assert_eq!(got, expected, "{subset:?}");
    }

    #[test]
    fn subsets_are_chosen_as_ansible_chooses_them() {
        check(&[], &ALL);
        check(&["all"], &ALL);
        check(&["min"], &[Group::Min]);
        check(&["!all"], &[Group::Min]);
        check(&["network"], &[Group::Min, Group::Network]);
        check(&["!all", "!min", "network"], &[Group::Network]);
        check(&["!all", "!min"], &[]);
        check(&["!hardware"], &[Group::Min, Group::Network, Group::Virtual, Group::Other]);
        assert_eq!(unknown_subset(&["!all".into(), "netwrok".into()]), Some("netwrok"));
    }

    #[test]
    fn the_facts_roles_read_are_there() {
        let facts = gather(&[], "/nonexistent", &Context::system());
        for key in [
            "os_family",
            "distribution",
            "distribution_version",
            "distribution_major_version",
            "distribution_release",
            "architecture",
            "kernel",
            "hostname",
            "fqdn",
            "nodename",
            "domain",
            "machine",
            "system",
            "processor",
            "processor_vcpus",
            "processor_cores",
            "memtotal_mb",
            "memfree_mb",
            "memory_mb",
            "swaptotal_mb",
            "swapfree_mb",
            "mounts",
            "devices",
            "interfaces",
            "lo",
            "default_ipv4",
            "default_ipv6",
            "all_ipv4_addresses",
            "all_ipv6_addresses",
            "service_mgr",
            "pkg_mgr",
            "virtualization_type",
            "virtualization_role",
            "date_time",
            "env",
            "user_id",
            "user_uid",
            "user_gid",
            "user_dir",
            "user_shell",
            "python",
            "python_version",
            "lsb",
            "uptime_seconds",
            "selinux",
            "cmdline",
            "local",
            "dns",
            "is_chroot",
            "apparmor",
            "fips",
        ] {
            assert!(facts.contains_key(key), "{key}");
        }
        assert_eq!(facts["system"], "Linux");
        assert!(facts["memtotal_mb"].as_u64().unwrap() > 0);
        assert!(facts["python"]["version"]["major"].is_u64());
    }
}
