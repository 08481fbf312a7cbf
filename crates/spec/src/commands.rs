//! Modules that run commands, look and wait.

use crate::{Arg, Kind, Preset, arg};

pub(crate) const PING_ARGS: &[Arg] = &[arg("data", Kind::Str).default(Preset::Str("pong"))];

pub(crate) const COMMAND_ARGS: &[Arg] = &[
    arg("_raw_params", Kind::Str),
    arg("_uses_shell", Kind::Bool).default(Preset::Bool(false)),
    arg("cmd", Kind::Str),
    arg("argv", Kind::List),
    arg("chdir", Kind::Path),
    arg("executable", Kind::Str),
    arg("expand_argument_vars", Kind::Bool).default(Preset::Bool(true)),
    arg("creates", Kind::Path),
    arg("removes", Kind::Path),
    arg("stdin", Kind::Str),
    arg("stdin_add_newline", Kind::Bool).default(Preset::Bool(true)),
    arg("strip_empty_ends", Kind::Bool).default(Preset::Bool(true)),
];

pub(crate) const SETUP_ARGS: &[Arg] = &[
    arg("gather_subset", Kind::List).default(Preset::List(&["all"])),
    arg("gather_timeout", Kind::Int).default(Preset::Int(10)),
    arg("filter", Kind::List).default(Preset::List(&[])),
    arg("fact_path", Kind::Path).default(Preset::Str("/etc/ansible/facts.d")),
];

pub(crate) const GETENT_ARGS: &[Arg] = &[
    arg("database", Kind::Str).required(),
    arg("key", Kind::Str),
    arg("service", Kind::Str),
    arg("split", Kind::Str),
    arg("fail_key", Kind::Bool).default(Preset::Bool(true)),
];

pub(crate) const WAIT_FOR_ARGS: &[Arg] = &[
    arg("host", Kind::Str).default(Preset::Str("127.0.0.1")),
    arg("timeout", Kind::Int).default(Preset::Int(300)),
    arg("connect_timeout", Kind::Int).default(Preset::Int(5)),
    arg("delay", Kind::Int).default(Preset::Int(0)),
    arg("port", Kind::Int),
    arg("active_connection_states", Kind::List).default(Preset::List(&[
        "ESTABLISHED",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "SYN_RECV",
        "SYN_SENT",
        "TIME_WAIT",
    ])),
    arg("path", Kind::Path),
    arg("search_regex", Kind::Str),
    arg("state", Kind::Str)
        .choices(&["absent", "drained", "present", "started", "stopped"])
        .default(Preset::Str("started")),
    arg("exclude_hosts", Kind::List),
    arg("sleep", Kind::Int).default(Preset::Int(1)),
    arg("msg", Kind::Str),
];

pub(crate) const PACKAGE_FACTS_ARGS: &[Arg] = &[
    arg("manager", Kind::List).default(Preset::List(&["auto"])),
    arg("strategy", Kind::Str).choices(&["first", "all"]).default(Preset::Str("first")),
];

pub(crate) const SERVICE_FACTS_ARGS: &[Arg] = &[];

pub(crate) const MAKE_ARGS: &[Arg] = &[
    arg("target", Kind::Str),
    arg("targets", Kind::List),
    arg("params", Kind::Dict),
    arg("chdir", Kind::Path).required(),
    arg("file", Kind::Path),
    arg("make", Kind::Path),
    arg("jobs", Kind::Int),
];
