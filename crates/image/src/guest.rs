//! What we add to a Debian system to make it a guest of ours.
//!
//! Everything that is not needed to answer, to log in and to run services is off: on an emulated
//! CPU that took a boot from 23 s of CPU time to 12 s, and the agent's first answer from 8.3 s to
//! 6 s (measured 2026-11-21, QEMU 7.2, Debian 12).

use crate::archive::Entry;

/// What of packages stays out, now and when they are upgraded inside. Without the programs of
/// update-motd a login does not start four of them first (pam_motd(8)): 0.3 s of an emulated
/// processor each time, for a line that tells the kernel's name.
pub(crate) const DPKG: &[&str] = &[
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/etc/update-motd.d*",
];

/// What every guest needs.
pub(crate) const PACKAGES: &[&str] = &[
    "busybox-static",
    "ca-certificates",
    "dbus",
    "iproute2",
    "openssh-server",
    "sudo",
    "systemd-sysv",
    "udev",
];

/// Where the agent is.
pub(crate) const AGENT: &str = "usr/lib/updraft/updraft-agent";

/// Kernel command line of our images. `net.ifnames=0` because the agent knows cards by their
/// Ethernet address, and renaming them costs time.
pub(crate) const CMDLINE: &str =
    "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet systemd.show_status=false";

/// Left out when unpacking the system: device nodes, the boot files that stand beside the disk,
/// and everything that would make two guests the same machine.
pub(crate) const LEFT_OUT: &[&str] = &[
    "./dev/*",
    "./boot/*",
    "./etc/ssh/ssh_host_*",
    "./etc/machine-id",
    "./etc/hostname",
    "./etc/hosts",
    "./etc/resolv.conf",
    "./var/lib/dbus/machine-id",
    "./var/lib/systemd/random-seed",
    "./var/cache/apt/*.bin",
    "./var/lib/apt/lists/*",
    "./var/log/*.log",
    "./var/log/apt/*",
];

/// Units that do nothing useful in a guest of ours.
const MASKED: &[&str] = &[
    // Work by the clock: guests are refreshed from outside.
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "man-db.timer",
    "systemd-tmpfiles-clean.timer",
    // The console is the serial line.
    "getty@tty1.service",
    "getty-static.service",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    // Root is mounted, writable and grown without these.
    "systemd-remount-fs.service",
    "systemd-repart.service",
    "systemd-quotacheck.service",
    "quotaon.service",
    // Identity comes from the agent.
    "systemd-firstboot.service",
    "systemd-machine-id-commit.service",
    "systemd-network-generator.service",
    "systemd-networkd-wait-online.service",
    // Kernel interfaces that are loaded by whoever needs them.
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "kmod-static-nodes.service",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "systemd-pstore.service",
    "systemd-pcrphase.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-rfkill.socket",
    // Done when the image was built.
    "systemd-sysusers.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-initctl.socket",
    "remote-fs.target",
];

/// Generators of units for hardware and habits that a guest does not have; running all of them
/// takes 2.5 s, the three that are left (fstab, getty, sysv) 0.5 s.
const SILENCED_GENERATORS: &[&str] = &[
    "cryptsetup",
    "debug",
    "gpt-auto",
    "hibernate-resume",
    "integritysetup",
    "rc-local",
    "run",
    "system-update",
    "veritysetup",
];

/// Units that wait until the agent runs: it should answer first.
const AFTER_AGENT: &[&str] = &[
    "systemd-modules-load.service",
    "systemd-random-seed.service",
    "systemd-udev-trigger.service",
];

/// Tells udev about the devices that a guest has; all of them, most of which are terminals and
/// chips that nobody drives, take 2.3 s longer.
const COLDPLUG: &str = "\
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add --subsystem-match=block --subsystem-match=net --subsystem-match=virtio-ports --subsystem-match=input --subsystem-match=rtc --subsystem-match=misc
ExecStart=-udevadm trigger --type=devices --action=add --sysname-match=ttyS0
";

/// Everything we add, but for the agent itself.
pub(crate) fn files() -> Vec<Entry> {
    let etc = |path: &str, text: &str| Entry::file(&format!("etc/{path}"), 0o644, text);
    let unit = |name: &str, text: &str| etc(&format!("systemd/system/{name}"), text);
    let wanted = |target: &str, name: &str, at: &str| {
        Entry::link(&format!("etc/systemd/system/{target}.wants/{name}"), at)
    };
    let mut files = vec![
        etc("machine-id", ""),
        etc("hostname", "updraft\n"),
        etc("hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"),
        etc("resolv.conf", ""),
        etc(
            "fstab",
            "# The root filesystem is mounted by the initial RAM disk, /dev/vda noatime.\n",
        ),
        etc(
            "modprobe.d/updraft.conf",
            "# Hardware that a guest has no use for.\n\
             blacklist kvm\nblacklist kvm_amd\nblacklist kvm_intel\nblacklist powernow_k8\n\
             blacklist psmouse\nblacklist qemu_fw_cfg\nblacklist serio_raw\n",
        ),
        // What udev would load by itself if it were told about the chips: the power button.
        etc("modules-load.d/updraft.conf", "button\nevdev\n"),
        unit("systemd-udev-trigger.service.d/updraft-coldplug.conf", COLDPLUG),
        etc(
            "systemd/journald.conf.d/updraft.conf",
            "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\nAudit=no\n",
        ),
        etc(
            "ssh/sshd_config.d/updraft.conf",
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUseDNS no\n",
        ),
        // sshd starts only with keys that the agent wrote.
        unit(
            "ssh.service.d/updraft.conf",
            "[Unit]\nAfter=updraft-identity.service\n\
             ConditionPathExistsGlob=/etc/ssh/ssh_host_*_key\n",
        ),
        unit("systemd-networkd.service.d/updraft.conf", "[Unit]\nAfter=updraft-identity.service\n"),
        // While everything starts at once, whoever makes the machine itself goes first.
        unit("updraft-agent.service.d/updraft-weight.conf", "[Service]\nStartupCPUWeight=1000\n"),
        unit(
            "updraft-growfs.service",
            "[Unit]\nDescription=Grow the root filesystem to its disk\nDefaultDependencies=no\n\
             After=local-fs.target updraft-agent.service\nBefore=shutdown.target\nConflicts=shutdown.target\n\n\
             [Service]\nType=oneshot\nExecStart=/lib/systemd/systemd-growfs /\n",
        ),
        unit("updraft-agent.service", include_str!("../../agent/units/updraft-agent.service")),
        unit(
            "updraft-identity.service",
            include_str!("../../agent/units/updraft-identity.service"),
        ),
        wanted("sysinit.target", "updraft-agent.service", "../updraft-agent.service"),
        wanted("multi-user.target", "updraft-identity.service", "../updraft-identity.service"),
        wanted("sysinit.target", "updraft-growfs.service", "../updraft-growfs.service"),
        wanted(
            "multi-user.target",
            "systemd-networkd.service",
            "/lib/systemd/system/systemd-networkd.service",
        ),
        Entry::link("etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target"),
    ];
    for name in MASKED {
        files.push(Entry::link(&format!("etc/systemd/system/{name}"), "/dev/null"));
    }
    for name in SILENCED_GENERATORS {
        let path = format!("etc/systemd/system-generators/systemd-{name}-generator");
        files.push(Entry::link(&path, "/dev/null"));
    }
    for name in AFTER_AGENT {
        let after = "[Unit]\nAfter=updraft-agent.service\n";
        files.push(unit(&format!("{name}.d/updraft-order.conf"), after));
    }
    let mut dirs: Vec<String> = files
        .iter()
        .filter_map(|entry| entry.path().rsplit_once('/').map(|(dir, _)| dir.to_owned()))
        .chain(["usr/lib/updraft".to_owned(), "boot".to_owned()])
        .collect();
    dirs.sort();
    dirs.dedup();
    let mut all: Vec<Entry> = dirs.iter().map(|dir| Entry::dir(dir)).collect();
    // Holds identity and marks: nobody's but root's business.
    all.push(Entry::Dir { path: "var/lib/updraft".to_owned(), mode: 0o700 });
    all.append(&mut files);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_path_is_written_once_and_fits_an_archive() {
        let files = files();
        let paths: BTreeSet<&str> = files.iter().map(Entry::path).collect();
        assert_eq!(paths.len(), files.len());
        assert!(paths.iter().all(|path| path.len() < 100 && !path.starts_with('/')));
    }

    #[test]
    fn nothing_of_an_identity_is_left_in_an_image() {
        for path in ["./etc/machine-id", "./etc/ssh/ssh_host_*", "./var/lib/systemd/random-seed"] {
            assert!(LEFT_OUT.contains(&path), "{path} is kept");
        }
    }
}
