//! Which actions there are, and which arguments they take.
//!
//! Modules that run on hosts are known from their own table; here stand the actions that this
//! side carries out.

use updraft_spec as spec;

/// An action of ours.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) name: &'static str,
    /// Arguments; `*` means any.
    pub(crate) args: &'static [&'static str],
    /// Free-form text is kept as `_raw_params` rather than split into arguments.
    pub(crate) raw: bool,
}

const fn control(name: &'static str, args: &'static [&'static str], raw: bool) -> Control {
    Control { name, args, raw }
}

/// What every module that makes a file takes of it.
pub(crate) const FILE: &[&str] = &[
    "mode",
    "owner",
    "group",
    "seuser",
    "serole",
    "setype",
    "selevel",
    "attributes",
    "attr",
    "unsafe_writes",
];

/// Actions that run here, or that this side prepares.
const CONTROL: &[Control] = &[
    control("add_host", &["*"], false),
    control("async_status", &["jid", "mode"], false),
    control("assert", &["that", "fail_msg", "msg", "success_msg", "quiet"], false),
    control("debug", &["msg", "var", "verbosity"], false),
    control("fail", &["msg"], false),
    control("group_by", &["key", "parents"], false),
    control("import_role", ROLE, false),
    control("import_tasks", &["file"], true),
    control("include_role", ROLE, false),
    control("include_tasks", &["file", "apply"], true),
    control(
        "include_vars",
        &[
            "file",
            "dir",
            "name",
            "depth",
            "files_matching",
            "ignore_files",
            "extensions",
            "ignore_unknown_extensions",
            "hash_behaviour",
        ],
        true,
    ),
    control("meta", &[], true),
    control("pause", &["seconds", "minutes", "prompt", "echo"], false),
    control("raw", &["executable"], false),
    control(
        "reboot",
        &[
            "boot_time_command",
            "connect_timeout",
            "connect_timeout_sec",
            "msg",
            "post_reboot_delay",
            "post_reboot_delay_sec",
            "pre_reboot_delay",
            "pre_reboot_delay_sec",
            "reboot_command",
            "reboot_timeout",
            "reboot_timeout_sec",
            "search_paths",
            "test_command",
        ],
        false,
    ),
    control("script", &["cmd", "creates", "removes", "chdir", "executable", "decrypt"], false),
    control("set_fact", &["*"], false),
    control(
        "validate_argument_spec",
        &["argument_spec", "provided_arguments", "validate_args_context"],
        false,
    ),
    control("set_stats", &["data", "per_host", "aggregate"], false),
    control(
        "template",
        &[
            "src",
            "dest",
            "backup",
            "newline_sequence",
            "block_start_string",
            "block_end_string",
            "variable_start_string",
            "variable_end_string",
            "comment_start_string",
            "comment_end_string",
            "trim_blocks",
            "lstrip_blocks",
            "force",
            "follow",
            "output_encoding",
            "validate",
        ],
        false,
    ),
    control("fetch", &["src", "dest", "flat", "fail_on_missing", "validate_checksum"], false),
    control("wait_for_connection", &["timeout", "delay", "sleep", "connect_timeout"], false),
];

const ROLE: &[&str] = &[
    "name",
    "role",
    "tasks_from",
    "vars_from",
    "defaults_from",
    "handlers_from",
    "apply",
    "public",
    "allow_duplicates",
    "rolespec_validate",
];

/// Modules whose free-form text is a command.
const COMMANDS: &[&str] = &["command", "shell", "raw", "script"];

/// The short name of an action as a playbook writes it.
pub(crate) fn short(word: &str) -> &str {
    for prefix in ["ansible.builtin.", "ansible.legacy."] {
        if let Some(short) = word.strip_prefix(prefix) {
            return short;
        }
    }
    word
}

/// One of ours?
pub(crate) fn find_control(name: &str) -> Option<&'static Control> {
    CONTROL.iter().find(|one| one.name == name)
}

/// The short name by which a module runs, if there is one of that name.
pub(crate) fn module(word: &str) -> Option<String> {
    let name = short(word);
    if find_control(name).is_some() {
        return Some(name.to_owned());
    }
    let found = spec::find(word).or_else(|| spec::find(name))?;
    let bare = word.rsplit('.').next().unwrap_or(word);
    // `shell` is `command` by another name and must stay itself.
    Some(
        if found.name == bare || found.aliases.contains(&bare) { bare } else { found.name }
            .to_owned(),
    )
}

/// Is the free-form text of this module a command?
pub(crate) fn is_command(name: &str) -> bool {
    COMMANDS.contains(&name)
}

/// Does the module keep free-form text whole?
pub(crate) fn keeps_raw(name: &str) -> bool {
    find_control(name).is_some_and(|one| one.raw)
}

/// Does the module take the argument?
pub(crate) fn takes(module: &str, arg: &str) -> bool {
    if arg == "_variable_params" {
        return true;
    }
    if arg == "_raw_params" {
        return is_command(module) || keeps_raw(module);
    }
    if module == "package" {
        // It takes what the module of the host's package manager takes, which says so itself.
        return true;
    }
    if let Some(one) = find_control(module) {
        return one.args.contains(&"*")
            || one.args.contains(&arg)
            || (one.name == "template" && FILE.contains(&arg));
    }
    spec::find(module).is_some_and(|spec| spec.arg(arg).is_some())
}

/// Arguments that the module refuses to run without, each with the other names it goes by.
pub(crate) fn required(module: &str) -> Vec<Vec<&'static str>> {
    match module {
        "template" => vec![vec!["src"], vec!["dest"]],
        "assert" => vec![vec!["that"]],
        "async_status" => vec![vec!["jid"]],
        "group_by" => vec![vec!["key"]],
        "include_role" | "import_role" => vec![vec!["name", "role"]],
        "fetch" => vec![vec!["src"], vec!["dest"]],
        module if find_control(module).is_some() => Vec::new(),
        module => spec::find(module).map_or_else(Vec::new, |spec| {
            spec.all_args()
                .filter(|arg| arg.required)
                .map(|arg| std::iter::once(arg.name).chain(arg.aliases.iter().copied()).collect())
                .collect()
        }),
    }
}

/// Every argument name that a command's text may carry as `name=value`.
pub(crate) const COMMAND_WORDS: &[&str] = &[
    "creates",
    "removes",
    "chdir",
    "executable",
    "warn",
    "stdin",
    "stdin_add_newline",
    "strip_empty_ends",
];

/// The nearest known word, for a suggestion.
pub(crate) fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    known
        .into_iter()
        .map(|other| (distance(word, other), other))
        .filter(|(distance, _)| *distance <= 1 + word.len() / 4)
        // Of equals the first, which stands closer to where the word was found.
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// How many letters have to change (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}

/// Names of everything a task may do.
pub(crate) fn all_names() -> impl Iterator<Item = &'static str> {
    let modules = spec::KNOWN
        .iter()
        .flat_map(|one| std::iter::once(one.name).chain(one.aliases.iter().copied()));
    CONTROL.iter().map(|one| one.name).chain(modules)
}

/// Names of the arguments of a module.
pub(crate) fn all_args(module: &str) -> Vec<&'static str> {
    if let Some(one) = find_control(module) {
        let file: &[&str] = if one.name == "template" { FILE } else { &[] };
        return one.args.iter().chain(file).copied().collect();
    }
    spec::find(module).map_or_else(Vec::new, |spec| spec.all_args().map(|arg| arg.name).collect())
}
