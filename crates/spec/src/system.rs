//! Modules of services, the kernel and the machine as a whole.

use crate::{Arg, Kind, Preset, arg};

pub(crate) const SYSTEMD_SERVICE_ARGS: &[Arg] = &[
    arg("name", Kind::Str).aka(&["service", "unit"]),
    arg("state", Kind::Str).choices(&["reloaded", "restarted", "started", "stopped"]),
    arg("enabled", Kind::Bool),
    arg("force", Kind::Bool),
    arg("masked", Kind::Bool),
    arg("daemon_reload", Kind::Bool).aka(&["daemon-reload"]).default(Preset::Bool(false)),
    arg("daemon_reexec", Kind::Bool).aka(&["daemon-reexec"]).default(Preset::Bool(false)),
    arg("scope", Kind::Str).choices(&["system", "user", "global"]).default(Preset::Str("system")),
    arg("no_block", Kind::Bool).default(Preset::Bool(false)),
];

pub(crate) const HOSTNAME_ARGS: &[Arg] = &[
    arg("name", Kind::Str).required(),
    arg("use", Kind::Str).choices(&[
        "alpine", "debian", "freebsd", "generic", "macos", "macosx", "darwin", "openbsd", "openrc",
        "redhat", "sles", "solaris", "systemd",
    ]),
];

pub(crate) const CRON_ARGS: &[Arg] = &[
    arg("name", Kind::Str).required(),
    arg("user", Kind::Str),
    arg("job", Kind::Str).aka(&["value"]),
    arg("cron_file", Kind::Path),
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("minute", Kind::Str).default(Preset::Str("*")),
    arg("hour", Kind::Str).default(Preset::Str("*")),
    arg("day", Kind::Str).aka(&["dom"]).default(Preset::Str("*")),
    arg("month", Kind::Str).default(Preset::Str("*")),
    arg("weekday", Kind::Str).aka(&["dow"]).default(Preset::Str("*")),
    arg("special_time", Kind::Str)
        .choices(&["reboot", "yearly", "annually", "monthly", "weekly", "daily", "hourly"]),
    arg("disabled", Kind::Bool).default(Preset::Bool(false)),
    arg("env", Kind::Bool).default(Preset::Bool(false)),
    arg("insertafter", Kind::Str),
    arg("insertbefore", Kind::Str),
];

pub(crate) const SERVICE_ARGS: &[Arg] = &[
    arg("name", Kind::Str).aka(&["service", "unit"]).required(),
    arg("state", Kind::Str).choices(&["started", "stopped", "reloaded", "restarted"]),
    arg("enabled", Kind::Bool),
    arg("use", Kind::Str).default(Preset::Str("auto")),
    arg("sleep", Kind::Int),
    arg("pattern", Kind::Str),
    arg("runlevel", Kind::Str).default(Preset::Str("default")),
    arg("arguments", Kind::Str).aka(&["args"]).default(Preset::Str("")),
    arg("force", Kind::Bool),
    arg("masked", Kind::Bool),
    arg("daemon_reload", Kind::Bool).aka(&["daemon-reload"]).default(Preset::Bool(false)),
    arg("daemon_reexec", Kind::Bool).aka(&["daemon-reexec"]).default(Preset::Bool(false)),
    arg("scope", Kind::Str).choices(&["system", "user", "global"]).default(Preset::Str("system")),
    arg("no_block", Kind::Bool).default(Preset::Bool(false)),
];

pub(crate) const SYSCTL_ARGS: &[Arg] = &[
    arg("name", Kind::Str).aka(&["key"]).required(),
    arg("value", Kind::Str).aka(&["val"]),
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
    arg("reload", Kind::Bool).default(Preset::Bool(true)),
    arg("sysctl_set", Kind::Bool).default(Preset::Bool(false)),
    arg("ignoreerrors", Kind::Bool).default(Preset::Bool(false)),
    arg("sysctl_file", Kind::Path).default(Preset::Str("/etc/sysctl.conf")),
];

pub(crate) const ALTERNATIVES_ARGS: &[Arg] = &[
    arg("name", Kind::Str).required(),
    arg("path", Kind::Path),
    arg("family", Kind::Str),
    arg("link", Kind::Path),
    arg("priority", Kind::Int),
    arg("state", Kind::Str)
        .choices(&["present", "selected", "absent", "auto"])
        .default(Preset::Str("selected")),
];

pub(crate) const MODPROBE_ARGS: &[Arg] = &[
    arg("name", Kind::Str).required(),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("params", Kind::Str).default(Preset::Str("")),
    arg("persistent", Kind::Str)
        .choices(&["absent", "disabled", "present"])
        .default(Preset::Str("disabled")),
];

pub(crate) const MOUNT_ARGS: &[Arg] = &[
    arg("boot", Kind::Bool).default(Preset::Bool(true)),
    arg("dump", Kind::Str).default(Preset::Str("0")),
    arg("fstab", Kind::Str),
    arg("fstype", Kind::Str),
    arg("path", Kind::Path).aka(&["name"]).required(),
    arg("opts", Kind::Str).default(Preset::Str("defaults")),
    arg("passno", Kind::Str).default(Preset::Str("0")),
    arg("src", Kind::Path),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("state", Kind::Str)
        .choices(&[
            "absent",
            "absent_from_fstab",
            "mounted",
            "present",
            "unmounted",
            "remounted",
            "ephemeral",
        ])
        .required(),
];

pub(crate) const FILESYSTEM_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
    arg("fstype", Kind::Str).aka(&["type"]).choices(&[
        "bcachefs", "btrfs", "ext2", "ext3", "ext4", "ext4dev", "f2fs", "lvm", "ocfs2", "reiserfs",
        "swap", "ufs", "vfat", "xfs",
    ]),
    arg("dev", Kind::Path).aka(&["device"]).required(),
    arg("opts", Kind::Str),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("resizefs", Kind::Bool).default(Preset::Bool(false)),
    arg("uuid", Kind::Str),
];

pub(crate) const LVG_ARGS: &[Arg] = &[
    arg("vg", Kind::Str).required(),
    arg("pvs", Kind::List),
    arg("pesize", Kind::Str).default(Preset::Str("4")),
    arg("pv_options", Kind::Str).default(Preset::Str("")),
    arg("pvresize", Kind::Bool).default(Preset::Bool(false)),
    arg("vg_options", Kind::Str).default(Preset::Str("")),
    arg("state", Kind::Str)
        .choices(&["absent", "present", "active", "inactive"])
        .default(Preset::Str("present")),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("reset_vg_uuid", Kind::Bool).default(Preset::Bool(false)),
    arg("reset_pv_uuid", Kind::Bool).default(Preset::Bool(false)),
    arg("remove_extra_pvs", Kind::Bool).default(Preset::Bool(true)),
];

pub(crate) const LVOL_ARGS: &[Arg] = &[
    arg("vg", Kind::Str).required(),
    arg("lv", Kind::Str),
    arg("size", Kind::Str),
    arg("opts", Kind::Str),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("shrink", Kind::Bool).default(Preset::Bool(true)),
    arg("active", Kind::Bool).default(Preset::Bool(true)),
    arg("snapshot", Kind::Str),
    arg("pvs", Kind::List),
    arg("resizefs", Kind::Bool).default(Preset::Bool(false)),
    arg("thinpool", Kind::Str),
];

pub(crate) const TIMEZONE_ARGS: &[Arg] =
    &[arg("hwclock", Kind::Str).choices(&["local", "UTC"]).aka(&["rtc"]), arg("name", Kind::Str)];

pub(crate) const LOCALE_GEN_ARGS: &[Arg] = &[
    arg("name", Kind::List).required(),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
];
