//! Facts: what a machine is, has and runs, in the shape of Ansible's `setup`.
//!
//! Almost everything is read from `/proc`, `/sys` and `/etc`, so gathering takes milliseconds.
//! Keys stand without the `ansible_` prefix. Never here: changing anything.

mod devices;
mod distribution;
mod hardware;
mod local;
mod network;
mod storage;
mod system;

use crate::context::Context;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
pub(crate) use system::{full_name, package_manager, service_manager};

/// Where facts of a machine's own making lie.
pub(crate) const LOCAL_FACTS: &str = "/etc/ansible/facts.d";

/// Facts of one kind.
pub(crate) type Facts = Map<String, Value>;

/// Something that brings facts of one kind: a subset that a task may ask for.
struct Collector {
    /// Name of the subset.
    name: &'static str,
    /// It is gathered whatever is asked for, unless `!min` is said.
    minimal: bool,
    /// Facts of it by whose names it can be asked for as well.
    facts: &'static [&'static str],
    /// Subsets that are gathered with it.
    needs: &'static [&'static str],
    /// It asks programs, so it is gathered beside the others.
    asks: bool,
    gather: fn(&Context, &str) -> Facts,
}

/// Short for the table below.
const fn least(name: &'static str, gather: fn(&Context, &str) -> Facts) -> Collector {
    Collector { name, minimal: true, facts: &[], needs: &[], asks: false, gather }
}

/// The same for what is gathered only when all is.
const fn more(name: &'static str, gather: fn(&Context, &str) -> Facts) -> Collector {
    Collector { minimal: false, ..least(name, gather) }
}

impl Collector {
    const fn asks(mut self) -> Self {
        self.asks = true;
        self
    }
}

/// All there are, as ansible-core 2.19 has them.
const COLLECTORS: &[Collector] = &[
    Collector {
        facts: &[
            "system",
            "kernel",
            "kernel_version",
            "machine",
            "python_version",
            "architecture",
            "machine_id",
        ],
        ..least("platform", |ctx, _| system::platform(ctx))
    },
    Collector {
        facts: &[
            "distribution_version",
            "distribution_release",
            "distribution_major_version",
            "os_family",
        ],
        ..least("distribution", |_, _| distribution::distribution())
    },
    least("lsb", |_, _| distribution::lsb()),
    least("selinux", |_, _| system::selinux()),
    least("apparmor", |_, _| system::apparmor()),
    Collector { facts: &["is_chroot"], ..more("chroot", |ctx, _| system::chroot(ctx)) },
    least("fips", |_, _| system::fips()),
    least("python", |ctx, _| system::interpreter(ctx)).asks(),
    Collector {
        facts: &["system_capabilities", "system_capabilities_enforced"],
        ..least("caps", |ctx, _| system::capabilities(ctx)).asks()
    },
    Collector { needs: &["distribution"], ..least("pkg_mgr", |_, _| system::packages()) },
    Collector {
        needs: &["platform", "distribution"],
        ..least("service_mgr", |ctx, _| system::services(ctx))
    },
    least("cmdline", |_, _| system::kernel_words()),
    least("date_time", |ctx, _| system::time(ctx)),
    least("env", |ctx, _| system::environment(ctx)),
    more("loadavg", |_, _| system::load()),
    Collector {
        facts: &[
            "ssh_host_pub_keys",
            "ssh_host_key_dsa_public",
            "ssh_host_key_rsa_public",
            "ssh_host_key_ecdsa_public",
            "ssh_host_key_ed25519_public",
        ],
        ..least("ssh_pub_keys", |_, _| system::host_keys())
    },
    Collector {
        facts: &[
            "user_id",
            "user_uid",
            "user_gid",
            "user_gecos",
            "user_dir",
            "user_shell",
            "real_user_id",
            "effective_user_id",
            "effective_group_ids",
        ],
        ..least("user", |ctx, _| system::user(ctx))
    },
    more("systemd", |ctx, _| system::systemd(ctx)).asks(),
    Collector {
        facts: &[
            "virtualization_type",
            "virtualization_role",
            "virtualization_tech_guest",
            "virtualization_tech_host",
        ],
        ..more("virtual", |_, _| hardware::virtualization())
    },
    Collector {
        facts: &["processor", "processor_cores", "processor_count", "mounts", "devices"],
        needs: &["platform"],
        ..more("hardware", |ctx, _| hardware::gather(ctx)).asks()
    },
    least("dns", |_, _| system::name_servers()),
    more("fibre_channel_wwn", |_, _| storage::fibre_channel()),
    Collector {
        facts: &[
            "interfaces",
            "default_ipv4",
            "default_ipv6",
            "all_ipv4_addresses",
            "all_ipv6_addresses",
        ],
        needs: &["platform", "distribution"],
        ..more("network", |_, _| network::gather())
    },
    more("iscsi", |_, _| storage::iscsi()),
    more("nvme", |_, _| storage::nvme()),
    least("local", |ctx, path| {
        Facts::from_iter([("local".to_owned(), Value::Object(local::gather(path, ctx)))])
    })
    .asks(),
    // Programs that bring facts of their own; they are not part of a native engine.
    more("facter", |_, _| Facts::new()),
    more("ohai", |_, _| Facts::new()),
];

/// Facts of the gathering itself, which alone have no `ansible_` before their names.
pub(crate) const UNPREFIXED: &[&str] = &["gather_subset", "module_setup"];

/// Names of everything that can be asked for.
fn names() -> BTreeSet<&'static str> {
    COLLECTORS.iter().flat_map(|one| one.facts.iter().copied().chain([one.name])).collect()
}

/// Why a list of subsets is refused, if it is. One that is not known may be left out.
pub(crate) fn refused(subset: &[String]) -> Option<String> {
    let known = names();
    let unknown = subset.iter().find(|name| {
        !name.starts_with('!')
            && !matches!(name.as_str(), "all" | "min")
            && !known.contains(name.as_str())
    })?;
    let all = Vec::from_iter(known).join(", ");
    Some(format!(
        "Bad subset '{unknown}' given to Ansible. gather_subset options allowed: all, {all}"
    ))
}

/// Names of the collectors that a list of subsets asks for.
///
/// The least is always meant, and then what is named; leaving out is for what nobody named. So
/// `!hardware` alone is the least, and `all,!hardware` all but that.
fn wanted(subset: &[String]) -> BTreeSet<&'static str> {
    let all = names();
    let least: BTreeSet<&str> =
        COLLECTORS.iter().filter(|one| one.minimal).map(|one| one.name).collect();
    let mut asked = least.clone();
    let mut out: BTreeSet<&str> = BTreeSet::new();
    let mut explicit: BTreeSet<&str> = BTreeSet::new();
    if subset.is_empty() {
        asked.extend(&all);
    }
    for name in subset {
        match name.as_str() {
            "min" => {}
            "all" => asked.extend(&all),
            "!min" => out.extend(&least),
            "!all" => out.extend(all.difference(&least)),
            name => match name.strip_prefix('!') {
                Some(name) => {
                    let of = COLLECTORS.iter().find(|one| one.name == name);
                    out.extend(of.into_iter().flat_map(|one| one.facts));
                    out.extend(all.get(name));
                }
                None => {
                    explicit.extend(all.get(name));
                    asked.extend(all.get(name));
                }
            },
        }
    }
    asked.retain(|name| explicit.contains(name) || !out.contains(name));
    let is_asked = |one: &&Collector| {
        asked.contains(one.name) || one.facts.iter().any(|fact| asked.contains(fact))
    };
    let found = COLLECTORS.iter().filter(is_asked);
    found.flat_map(|one| one.needs.iter().copied().chain([one.name])).collect()
}

/// Gathers facts. `subset` is as Ansible's `gather_subset`; empty means everything.
pub(crate) fn gather(subset: &[String], fact_path: &str, ctx: &Context) -> Facts {
    let wanted = wanted(subset);
    let wanted = COLLECTORS.iter().filter(|one| wanted.contains(one.name));
    let (asking, reading): (Vec<_>, Vec<_>) = wanted.partition(|one| one.asks);
    let mut facts = Facts::new();
    std::thread::scope(|beside| {
        let asked: Vec<_> = asking
            .into_iter()
            .map(|one| beside.spawn(move || (one.gather)(ctx, fact_path)))
            .collect();
        for one in reading {
            facts.extend((one.gather)(ctx, fact_path));
        }
        for one in asked {
            facts.extend(one.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault)));
        }
    });
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

    /// Which of these few collectors are asked for.
    fn chosen(subset: &[&str]) -> String {
        let subset: Vec<String> = subset.iter().map(|name| (*name).to_owned()).collect();
        let wanted = wanted(&subset);
        let few = ["platform", "distribution", "lsb", "hardware", "network", "chroot"];
        Vec::from_iter(few.into_iter().filter(|name| wanted.contains(name))).join(" ")
    }

    #[test]
    fn subsets_are_chosen_as_ansible_chooses_them() {
        let all = "platform distribution lsb hardware network chroot";
        let least = "platform distribution lsb";
        for (subset, expected) in [
            (&[][..], all),
            (&["all"], all),
            (&["min"], least),
            (&["!all"], least),
            (&["network"], "platform distribution lsb network"),
            (&["mounts"], "platform distribution lsb hardware"),
            (&["is_chroot"], "platform distribution lsb chroot"),
            (&["!all", "!min", "network"], "platform distribution network"),
            (&["!all", "!min", "distribution"], "distribution"),
            (&["!all", "!min"], ""),
            (&["!hardware"], least),
            (&["!distribution"], least),
            (&["all", "!hardware"], "platform distribution lsb network chroot"),
            (&["all", "!lsb", "!nonsense"], "platform distribution hardware network chroot"),
        ] {
            assert_eq!(chosen(subset), expected, "{subset:?}");
        }
        let said = refused(&["!all".into(), "netwrok".into()]).unwrap();
        assert!(said.starts_with("Bad subset 'netwrok' given to Ansible. gather_subset options allowed: all, all_ipv4_addresses, "), "{said}");
        assert_eq!(refused(&["!all".into(), "min".into(), "!nonsense".into()]), None);
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
            "device_links",
            "lvm",
            "locally_reachable_ips",
            "fibre_channel_wwn",
            "iscsi_iqn",
            "hostnqn",
            "system_capabilities",
        ] {
            assert!(facts.contains_key(key), "{key}");
        }
        assert_eq!(facts["system"], "Linux");
        assert!(facts["memtotal_mb"].as_u64().unwrap() > 0);
        assert!(facts["python"]["version"]["major"].is_u64());
    }
}
