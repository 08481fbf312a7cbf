//! What a container is compared by: where each option stands, and how strictly it is compared.

use super::super::compare::{Rule, Shape};
use crate::args::{Args, text_of};
use crate::outcome::{Fault, fail};

/// Where an option stands in what the daemon says of a container, and in what makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In `Config`, and at the top of what makes a container.
    Config(&'static str),
    /// In `HostConfig`.
    Host(&'static str),
    /// Found and set in a way of its own.
    Own,
}

/// One option of a container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) place: Place,
    /// Whether a container can be given another value while it lives.
    pub(super) lives: bool,
    rule: Rule,
    aliases: &'static [&'static str],
    /// Whether a task can name it.
    named: bool,
}

const fn opt(name: &'static str, shape: Shape, place: Place) -> Opt {
    let rule = match shape {
        Shape::Value | Shape::List => Rule::Strict,
        Shape::Set | Shape::Dicts | Shape::Dict => Rule::AllowMore,
    };
    Opt { name, shape, place, lives: false, rule, aliases: &[], named: true }
}

impl Opt {
    const fn lives(mut self) -> Self {
        self.lives = true;
        self
    }

    const fn rule(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }

    const fn aka(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn unnamed(mut self) -> Self {
        self.named = false;
        self
    }
}

use Place::{Config, Host, Own};
use Shape::{Dict, Dicts, List, Set, Value as One};

/// Every option, in the order in which differences are told.
pub(super) const OPTIONS: &[Opt] = &[
    opt("auto_remove", One, Host("AutoRemove")),
    opt("blkio_weight", One, Host("BlkioWeight")).lives(),
    opt("capabilities", Set, Host("CapAdd")),
    opt("cap_drop", Set, Host("CapDrop")),
    opt("cgroupns_mode", One, Host("CgroupnsMode")),
    opt("cgroup_parent", One, Host("CgroupParent")),
    opt("command", List, Config("Cmd")),
    opt("cpu_period", One, Host("CpuPeriod")).lives(),
    opt("cpu_quota", One, Host("CpuQuota")).lives(),
    opt("cpuset_cpus", One, Host("CpusetCpus")).lives(),
    opt("cpuset_mems", One, Host("CpusetMems")).lives(),
    opt("cpu_shares", One, Host("CpuShares")).lives(),
    opt("entrypoint", List, Config("Entrypoint")),
    opt("cpus", One, Host("NanoCpus")),
    opt("detach", One, Own),
    opt("interactive", One, Own),
    opt("devices", Dicts, Host("Devices")),
    opt("device_read_bps", Dicts, Host("BlkioDeviceReadBps")),
    opt("device_write_bps", Dicts, Host("BlkioDeviceWriteBps")),
    opt("device_read_iops", Dicts, Host("BlkioDeviceReadIOps")),
    opt("device_write_iops", Dicts, Host("BlkioDeviceWriteIOps")),
    opt("device_requests", Dicts, Host("DeviceRequests")),
    opt("device_cgroup_rules", List, Host("DeviceCgroupRules")),
    opt("dns_servers", List, Host("Dns")),
    opt("dns_opts", Set, Host("DnsOptions")),
    opt("dns_search_domains", List, Host("DnsSearch")),
    opt("domainname", One, Config("Domainname")),
    opt("env", Set, Config("Env")),
    opt("etc_hosts", Set, Host("ExtraHosts")),
    opt("groups", Set, Host("GroupAdd")),
    opt("healthcheck", Dict, Config("Healthcheck")),
    opt("hostname", One, Config("Hostname")),
    opt("image", One, Own),
    opt("init", One, Host("Init")),
    opt("ipc_mode", One, Host("IpcMode")),
    opt("kernel_memory", One, Host("KernelMemory")).lives(),
    opt("labels", Dict, Config("Labels")),
    opt("links", Set, Host("Links")),
    opt("log_driver", One, Own),
    opt("log_options", Dict, Own).aka(&["log_opt"]),
    opt("mac_address", One, Config("MacAddress")),
    opt("memory", One, Host("Memory")).lives(),
    opt("memory_reservation", One, Host("MemoryReservation")).lives(),
    opt("memory_swap", One, Host("MemorySwap")).lives(),
    opt("memory_swappiness", One, Host("MemorySwappiness")),
    opt("stop_timeout", One, Config("StopTimeout")).rule(Rule::Ignore),
    opt("network_mode", One, Host("NetworkMode")),
    opt("networks", Dicts, Own),
    opt("oom_killer", One, Host("OomKillDisable")),
    opt("oom_score_adj", One, Host("OomScoreAdj")),
    opt("pid_mode", One, Host("PidMode")),
    opt("pids_limit", One, Host("PidsLimit")),
    opt("platform", One, Own),
    opt("privileged", One, Host("Privileged")),
    opt("read_only", One, Host("ReadonlyRootfs")),
    opt("restart_policy", One, Own).lives(),
    opt("restart_retries", One, Own).lives(),
    opt("runtime", One, Host("Runtime")),
    opt("security_opts", Set, Host("SecurityOpt")),
    opt("shm_size", One, Host("ShmSize")),
    opt("stop_signal", One, Config("StopSignal")),
    opt("storage_opts", Dict, Host("StorageOpt")),
    opt("sysctls", Dict, Host("Sysctls")),
    opt("tmpfs", Dict, Host("Tmpfs")),
    opt("tty", One, Config("Tty")),
    opt("ulimits", Dicts, Host("Ulimits")),
    opt("user", One, Config("User")),
    opt("userns_mode", One, Host("UsernsMode")),
    opt("uts", One, Host("UTSMode")),
    opt("volume_driver", One, Host("VolumeDriver")),
    opt("volumes_from", Set, Host("VolumesFrom")),
    opt("working_dir", One, Config("WorkingDir")),
    opt("mounts", Dicts, Own),
    opt("volumes", Set, Own),
    opt("volume_binds", Set, Own).unnamed(),
    opt("exposed_ports", Set, Own).aka(&["exposed", "expose"]),
    opt("publish_all_ports", One, Own),
    opt("published_ports", Dict, Own).aka(&["ports"]),
];

/// How strictly each option is compared, by a task's `comparisons`.
#[derive(Clone, Debug)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    pub(super) fn asked(args: &Args) -> Result<Self, Fault> {
        let mut rules: Vec<Rule> = OPTIONS.iter().map(|option| option.rule).collect();
        let at = |name: &str| OPTIONS.iter().position(|option| option.name == name);
        let Some(comparisons) = args.dict("comparisons") else { return Ok(Self(rules)) };
        if let Some(all) = comparisons.get("*") {
            let rule = match all.as_str() {
                Some("strict") => Rule::Strict,
                Some("ignore") => Rule::Ignore,
                _ => {
                    return Err(fail!(
                        "The wildcard can only be used with comparison modes 'strict' and 'ignore'!"
                    ));
                }
            };
            for (option, known) in OPTIONS.iter().zip(&mut rules) {
                if option.name != "networks" || args.raw("networks").is_some() {
                    *known = rule;
                }
            }
        }
        let mut used: Vec<(&str, &str)> = Vec::new();
        for (key, value) in comparisons.iter().filter(|(key, _)| *key != "*") {
            let (index, option) = OPTIONS
                .iter()
                .enumerate()
                .find(|(_, option)| {
                    option.named && (option.name == *key || option.aliases.contains(&key.as_str()))
                })
                .ok_or_else(|| fail!("Unknown module option '{key}' in comparisons dict!"))?;
            if let Some((_, other)) = used.iter().find(|(name, _)| *name == option.name) {
                return Err(fail!(
                    "Both '{key}' and '{other}' (aliases of {}) are specified in comparisons dict!",
                    option.name
                ));
            }
            used.push((option.name, key));
            rules[index] = match value.as_str() {
                Some("strict") => Rule::Strict,
                Some("ignore") => Rule::Ignore,
                Some("allow_more_present") if option.shape == Shape::Value => {
                    return Err(fail!(
                        "Option '{key}' is a value and not a set/list/dict, so its comparison cannot be allow_more_present"
                    ));
                }
                Some("allow_more_present") => Rule::AllowMore,
                _ => return Err(fail!("Unknown comparison mode '{}'!", text_of(value))),
            };
        }
        if let (Some(from), Some(to)) = (at("volumes"), at("volume_binds")) {
            rules[to] = rules[from];
        }
        Ok(Self(rules))
    }

    pub(super) fn of(&self, name: &str) -> Rule {
        let at = OPTIONS.iter().position(|option| option.name == name);
        at.and_then(|at| self.0.get(at)).copied().unwrap_or(Rule::Strict)
    }
}

/// Refuses an address of the host that is none.
pub(super) fn check_host_ip(args: &Args) -> Result<(), Fault> {
    let Some(ip) = args.str("default_host_ip").filter(|ip| !ip.is_empty()) else { return Ok(()) };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let hex =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
    let parts: Vec<&str> = ip.split('.').collect();
    let old = parts.len() == 4 && parts.iter().all(|part| digits(part));
    let bare = ip.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(ip);
    if old || hex(bare) {
        return Ok(());
    }
    Err(fail!(
        "The value of default_host_ip must be an empty string, an IPv4 address, or an IPv6 address. Got \"{ip}\" instead."
    ))
}
