//! Sealing: what is taken out of a system that was worked in, before it becomes an image.
//!
//! Whatever would make two machines the same, or tells what was done there, goes. It is done by a
//! script inside the system, which reports each thing; this module knows the list and reads the
//! report.
//! Never here: running it.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use updraft_base::ByteSize;

/// What was taken out of an image, of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// What kind: `logs`, `host keys`, ….
    pub what: String,
    /// How many files.
    pub files: u32,
    /// How much they held.
    pub bytes: ByteSize,
    /// Some of them, the largest first.
    pub examples: Vec<String>,
}

/// How many files of a kind a report names.
const EXAMPLES: usize = 5;

/// Kinds of things, and where they are: shell patterns. Files below a directory go, directories
/// stay: services do not start without those that their packages made.
const REMOVED: &[(&str, &[&str])] = &[
    (
        "package caches",
        &[
            "/var/cache/apt",
            "/var/lib/apt/lists",
            "/var/cache/debconf/*-old",
            "/var/lib/dpkg/*-old",
            "/var/cache/dnf",
            "/var/cache/yum",
            "/var/cache/ldconfig/aux-cache",
            "/root/.cache",
            "/home/*/.cache",
        ],
    ),
    ("logs", &["/var/log", "/var/lib/systemd/coredump", "/var/crash"]),
    ("machine-id", &["/var/lib/dbus/machine-id"]),
    ("host keys", &["/etc/ssh/ssh_host_*"]),
    (
        "histories",
        &[
            "/root/.*history",
            "/root/.lesshst",
            "/root/.viminfo",
            "/root/.wget-hsts",
            "/root/.ansible",
            "/root/.ssh/known_hosts*",
            "/home/*/.*history",
            "/home/*/.lesshst",
            "/home/*/.viminfo",
            "/home/*/.ssh/known_hosts*",
        ],
    ),
    (
        "leases",
        &[
            "/var/lib/dhcp",
            "/var/lib/dhclient",
            "/var/lib/dhcpcd",
            "/var/lib/NetworkManager/*lease*",
            "/var/lib/NetworkManager/secret_key",
        ],
    ),
    (
        "random seeds",
        &[
            "/var/lib/systemd/random-seed",
            "/var/lib/systemd/credential.secret",
            "/var/lib/urandom/random-seed",
            "/var/lib/misc/random-seed",
        ],
    ),
];

/// As above, with the directories inside: nobody misses them.
const CLEARED: &[(&str, &[&str])] = &[
    (
        "identity",
        &[
            "/etc/hostname",
            "/var/lib/updraft",
            "/etc/systemd/network/10-updraft-*",
            "/var/lib/cloud",
            "/etc/systemd/network/10-cloud-init-*",
            "/etc/netplan/50-cloud-init.yaml",
            "/etc/network/interfaces.d/50-cloud-init*",
            "/etc/udev/rules.d/70-persistent-net.rules",
        ],
    ),
    ("temporary files", &["/tmp", "/var/tmp"]),
];

/// Files that must stay, and be empty: programs make a difference between an empty machine-id and
/// none (machine-id(5)).
const EMPTIED: &[(&str, &[&str])] = &[("machine-id", &["/etc/machine-id"])];

/// Services that would write such things again while the system goes down.
const STOPPED: &[&str] = &[
    "systemd-random-seed.service",
    "systemd-update-utmp.service",
    "rsyslog.service",
    "syslog.socket",
    "cron.service",
    "unattended-upgrades.service",
];

/// The script that seals a system. It prints a line for each thing: kind, bytes, path.
pub fn script() -> String {
    let mut text = "\
set -u
export LC_ALL=C
mkdir -p /run/systemd/journald.conf.d
printf '[Journal]\\nStorage=volatile\\n' > /run/systemd/journald.conf.d/updraft-seal.conf
systemctl restart systemd-journald.service 2>/dev/null
out() {
    what=$1
    shift
    for path in \"$@\"; do
        [ -e \"$path\" ] || [ -L \"$path\" ] || continue
        find \"$path\" -xdev -depth ! -type d \\
            -printf \"$what\\t%s\\t%p\\n\" -delete
    done
}
clear() {
    out \"$@\"
    shift
    for path in \"$@\"; do
        [ -L \"$path\" ] || [ ! -d \"$path\" ] || find \"$path\" -xdev -mindepth 1 -depth -type d -empty -delete
    done
}
empty() {
    what=$1
    shift
    for path in \"$@\"; do
        [ -s \"$path\" ] || continue
        printf '%s\\t%s\\t%s\\n' \"$what\" \"$(wc -c < \"$path\")\" \"$path\"
        : > \"$path\"
    done
}
"
    .to_owned();
    writeln!(text, "systemctl stop {} 2>/dev/null", STOPPED.join(" ")).expect("text takes text");
    for (verb, list) in [("out", REMOVED), ("clear", CLEARED), ("empty", EMPTIED)] {
        for (what, paths) in list {
            writeln!(text, "{verb} '{what}' {}", paths.join(" ")).expect("text takes text");
        }
    }
    text.push_str(
        "[ ! -f /etc/resolv.conf ] || [ -L /etc/resolv.conf ] || rm -f /etc/resolv.conf\n\
         sync\nfstrim / 2>/dev/null\nexit 0\n",
    );
    text
}

/// Reads what the script printed.
pub fn read_report(report: &str) -> Vec<Removed> {
    let mut kinds: Vec<(Removed, Vec<(u64, String)>)> = Vec::new();
    for line in report.lines() {
        let mut fields = line.splitn(3, '\t');
        let (Some(what), Some(bytes), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let Ok(bytes) = bytes.parse::<u64>() else { continue };
        let at = kinds.iter().position(|(kind, _)| kind.what == what).unwrap_or_else(|| {
            let bytes = ByteSize::bytes(0);
            let kind = Removed { what: what.to_owned(), files: 0, bytes, examples: Vec::new() };
            kinds.push((kind, Vec::new()));
            kinds.len() - 1
        });
        let Some((kind, files)) = kinds.get_mut(at) else { continue };
        kind.files += 1;
        kind.bytes = ByteSize::bytes(kind.bytes.as_bytes() + bytes);
        files.push((bytes, path.to_owned()));
    }
    kinds
        .into_iter()
        .map(|(mut kind, mut files)| {
            files.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
            kind.examples = files.into_iter().take(EXAMPLES).map(|(_, path)| path).collect();
            kind
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_two_machines_the_same_is_on_the_list() {
        let script = script();
        for path in [
            "/etc/machine-id",
            "/etc/ssh/ssh_host_*",
            "/var/lib/systemd/random-seed",
            "/var/lib/dhcp",
            "/root/.*history",
            "/var/lib/cloud",
        ] {
            assert!(script.contains(path), "{path} stays");
        }
    }

    #[test]
    fn a_report_is_summed_up_by_kind() {
        let report = "logs\t10\t/var/log/a\nnoise\nlogs\t30\t/var/log/b c\n\
                      host keys\t400\t/etc/ssh/ssh_host_ed25519_key\n";
        let kinds = read_report(report);
        assert_eq!(kinds.len(), 2);
        assert_eq!((kinds[0].files, kinds[0].bytes), (2, ByteSize::bytes(40)));
        assert_eq!(kinds[0].examples, ["/var/log/b c", "/var/log/a"]);
    }
}
