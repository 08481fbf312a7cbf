//! What `ansible.cfg` and the environment say: each setting with its type, its default, and where
//! its value came from.
//!
//! The environment outranks the file. Of several files the first that is there counts alone:
//! `$ANSIBLE_CONFIG`, `./ansible.cfg`, `~/.ansible.cfg`, `/etc/ansible/ansible.cfg`.
//!
//! Never here: reading the environment (it is handed in), acting on a setting.

mod ini;
mod read;
#[cfg(test)]
mod tests;

use crate::fault::LoadFault;
use crate::value::Dict;
use ini::Ini;
use read::Reader;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// An environment variable.
    Env(&'static str),
    /// The file, under a section and a key.
    File(&'static str, &'static str),
    /// The command line.
    Asked,
}

/// A value, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub from: Source,
}

impl<T> Setting<T> {
    /// Did somebody say it?
    pub fn is_set(&self) -> bool {
        self.from != Source::Default
    }

    /// The value, if somebody said it.
    pub fn told(&self) -> Option<&T> {
        self.is_set().then_some(&self.value)
    }
}

impl<T> Deref for Setting<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Who is looking: what a configuration is read with.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    /// Environment variables.
    pub env: &'a BTreeMap<String, String>,
    /// The user's home.
    pub home: Option<&'a Path>,
    /// The working directory.
    pub cwd: &'a Path,
}

/// What is done with characters in names of groups that variables cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupNames {
    /// They stay; a warning says so.
    Never,
    /// They stay, and nothing is said.
    Ignore,
    /// They become `_`, with a warning.
    Always,
    /// They become `_`, and nothing is said.
    Silently,
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $kind:ty =
        $how:ident($env:expr, $file:expr $(, $default:expr)?);)*) => {
        /// Every setting that is known here.
        #[derive(Clone, Debug)]
        pub struct Config {
            /// The file it was read from.
            pub file: Option<PathBuf>,
            /// What deserves a word.
            pub warnings: Vec<String>,
            /// Modules that may not be used, as the file of `plugin_filters` has it.
            pub rejected_modules: BTreeSet<String>,
            $($(#[$doc])* pub $name: Setting<$kind>,)*
        }

        impl Config {
            fn fill(reader: &mut Reader<'_>) -> Self {
                Self {
                    file: reader.file.map(Path::to_path_buf),
                    warnings: Vec::new(),
                    rejected_modules: BTreeSet::new(),
                    $($name: reader.$how(&$env, &$file $(, $default)?),)*
                }
            }
        }
    };
}

settings! {
    /// Inventories that are read when none is named.
    inventory: Vec<String> = places(["ANSIBLE_INVENTORY"], [("defaults", "inventory")], ',');
    /// Plugins for inventories, in the order in which they are tried.
    inventory_plugins: Vec<String> = list(["ANSIBLE_INVENTORY_ENABLED"],
        [("inventory", "enable_plugins")], &["host_list", "script", "auto", "yaml", "ini", "toml"]);
    /// One inventory that no plugin can read ends the command.
    inventory_any_unparsed_fails: bool = truth(["ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED"],
        [("inventory", "any_unparsed_is_failed")], false);
    /// No inventory that any plugin can read ends the command.
    inventory_unparsed_fails: bool = truth(["ANSIBLE_INVENTORY_UNPARSED_FAILED"],
        [("inventory", "unparsed_is_failed")], false);
    /// Say so when no inventory was read and only `localhost` is there.
    inventory_unparsed_warning: bool = truth(["ANSIBLE_INVENTORY_UNPARSED_WARNING"],
        [("inventory", "inventory_unparsed_warning")], true);
    /// What inventory scripts write to standard error is shown though they went well.
    script_stderr: bool = truth(["ANSIBLE_INVENTORY_PLUGIN_SCRIPT_STDERR"],
        [("inventory_plugin_script", "always_show_stderr")], true);
    /// Ends of names of files that are no inventories, in a directory of them.
    inventory_ignored_ends: Vec<String> = list(["ANSIBLE_INVENTORY_IGNORE"],
        [("defaults", "inventory_ignore_extensions"), ("inventory", "ignore_extensions")],
        &[".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"]);
    /// Regular expressions for names of files that are no inventories, in a directory of them.
    inventory_ignored_patterns: Vec<String> = list(["ANSIBLE_INVENTORY_IGNORE_REGEX"],
        [("defaults", "inventory_ignore_patterns"), ("inventory", "ignore_patterns")], &[]);
    /// What a pattern does that no host matches: `warning`, `error` or `ignore`.
    host_pattern_mismatch: String = text(["ANSIBLE_HOST_PATTERN_MISMATCH"],
        [("inventory", "host_pattern_mismatch")], "warning");
    /// What happens to names of groups that variables cannot have.
    group_names: GroupNames = group_names(["ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS"],
        [("defaults", "force_valid_group_names")]);
    /// Say so when only `localhost` is there.
    localhost_warning: bool = truth(["ANSIBLE_LOCALHOST_WARNING"],
        [("defaults", "localhost_warning")], true);
    /// Ends of names of YAML files.
    yaml_ends: Vec<String> = list(["ANSIBLE_YAML_FILENAME_EXT"],
        [("defaults", "yaml_valid_extensions")], &[".yml", ".yaml", ".json"]);
    /// Directories that hold roles.
    roles_path: Vec<String> = places(["ANSIBLE_ROLES_PATH"], [("defaults", "roles_path")], ':');
    /// Directories that hold collections.
    collections_path: Vec<String> = places(["ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_COLLECTIONS_PATHS"],
        [("defaults", "collections_path"), ("defaults", "collections_paths")], ':');
    /// Directories that hold modules.
    library: Vec<String> = places(["ANSIBLE_LIBRARY"], [("defaults", "library")], ':');
    /// Directories that hold support code of modules.
    module_utils: Vec<String> = places(["ANSIBLE_MODULE_UTILS"], [("defaults", "module_utils")], ':');
    /// Directories that hold filters.
    filters: Vec<String> = places(["ANSIBLE_FILTER_PLUGINS"], [("defaults", "filter_plugins")], ':');
    /// Directories that hold callbacks.
    callbacks: Vec<String> = places(["ANSIBLE_CALLBACK_PLUGINS"],
        [("defaults", "callback_plugins")], ':');
    /// Callbacks that tell something besides.
    callbacks_enabled: Vec<String> = list(["ANSIBLE_CALLBACKS_ENABLED"],
        [("defaults", "callbacks_enabled")], &[]);
    /// Directories that hold tests.
    tests: Vec<String> = places(["ANSIBLE_TEST_PLUGINS"], [("defaults", "test_plugins")], ':');
    /// Directories that hold lookups.
    lookups: Vec<String> = places(["ANSIBLE_LOOKUP_PLUGINS"], [("defaults", "lookup_plugins")], ':');
    /// A file that says which modules may not be used.
    plugin_filters: Option<String> = place([], [("defaults", "plugin_filters_cfg")]);
    /// Write down which hosts failed.
    retry_files_enabled: bool = truth(["ANSIBLE_RETRY_FILES_ENABLED"],
        [("defaults", "retry_files_enabled")], false);
    /// The directory for that, if it is not the playbook's.
    retry_files_save_path: Option<String> = place(["ANSIBLE_RETRY_FILES_SAVE_PATH"],
        [("defaults", "retry_files_save_path")]);
    /// How many hosts at once.
    forks: i64 = number(["ANSIBLE_FORKS"], [("defaults", "forks")], 5);
    /// Log in as this user.
    remote_user: Option<String> = word(["ANSIBLE_REMOTE_USER"], [("defaults", "remote_user")]);
    /// Log in with this key.
    private_key_file: Option<String> = place(["ANSIBLE_PRIVATE_KEY_FILE"],
        [("defaults", "private_key_file")]);
    /// Refuse hosts whose key is not known.
    host_key_checking: bool = truth(["ANSIBLE_HOST_KEY_CHECKING"],
        [("defaults", "host_key_checking")], true);
    /// How to connect.
    transport: Option<String> = word(["ANSIBLE_TRANSPORT"], [("defaults", "transport")]);
    /// Seconds until a connection must stand.
    timeout: i64 = number(["ANSIBLE_TIMEOUT"], [("defaults", "timeout")], 10);
    /// Arguments for `ssh`.
    ssh_args: Option<String> = word(["ANSIBLE_SSH_ARGS"], [("ssh_connection", "ssh_args")]);
    /// More arguments for `ssh`.
    ssh_common_args: Option<String> = word(["ANSIBLE_SSH_COMMON_ARGS"],
        [("ssh_connection", "ssh_common_args")]);
    /// Ask for the password of the login.
    ask_pass: bool = truth(["ANSIBLE_ASK_PASS"], [("defaults", "ask_pass")], false);
    /// A file with the password of the login.
    connection_password_file: Option<String> = place(["ANSIBLE_CONNECTION_PASSWORD_FILE"],
        [("defaults", "connection_password_file")]);
    /// Become another user.
    become_it: bool = truth(["ANSIBLE_BECOME"], [("privilege_escalation", "become")], false);
    /// How to become another user.
    become_method: Option<String> = word(["ANSIBLE_BECOME_METHOD"],
        [("privilege_escalation", "become_method")]);
    /// Whom to become.
    become_user: Option<String> = word(["ANSIBLE_BECOME_USER"],
        [("privilege_escalation", "become_user")]);
    /// Ask for the password for becoming.
    become_ask_pass: bool = truth(["ANSIBLE_BECOME_ASK_PASS"],
        [("privilege_escalation", "become_ask_pass")], false);
    /// A file with the password for becoming.
    become_password_file: Option<String> = place(["ANSIBLE_BECOME_PASSWORD_FILE"],
        [("defaults", "become_password_file")]);
    /// A file, or a script, with a vault password.
    vault_password_file: Option<String> = place(["ANSIBLE_VAULT_PASSWORD_FILE"],
        [("defaults", "vault_password_file")]);
    /// Vault passwords as `label@source`.
    vault_identities: Vec<String> = list(["ANSIBLE_VAULT_IDENTITY_LIST"],
        [("defaults", "vault_identity_list")], &[]);
    /// The label of passwords that have none.
    vault_identity: String = text(["ANSIBLE_VAULT_IDENTITY"],
        [("defaults", "vault_identity")], "default");
    /// The label that is encrypted with where none is named.
    vault_encrypt_identity: Option<String> = word(["ANSIBLE_VAULT_ENCRYPT_IDENTITY"],
        [("defaults", "vault_encrypt_identity")]);
    /// Only passwords of the same label open a text with a label.
    vault_id_match: bool = truth(["ANSIBLE_VAULT_ID_MATCH"],
        [("defaults", "vault_id_match")], false);
    /// The salt to encrypt with, instead of one drawn by chance.
    vault_encrypt_salt: Option<String> = word(["ANSIBLE_VAULT_ENCRYPT_SALT"],
        [("defaults", "vault_encrypt_salt")]);
    /// Ask for a vault password.
    ask_vault_pass: bool = truth(["ANSIBLE_ASK_VAULT_PASS"],
        [("defaults", "ask_vault_pass")], false);
    /// The program that edits files.
    editor: String = text(["ANSIBLE_EDITOR", "EDITOR"], [("defaults", "editor")], "vi");
    /// The program that shows files.
    pager: String = text(["ANSIBLE_PAGER", "PAGER"], [("defaults", "pager")], "less");
    /// The module of an ad-hoc command that names none.
    module_name: String = text([], [("defaults", "module_name")], "command");
    /// Arguments of an ad-hoc command that has none.
    module_args: Option<String> = word(["ANSIBLE_MODULE_ARGS"], [("defaults", "module_args")]);
    /// Seconds between two looks at a task in the background.
    poll_interval: i64 = number(["ANSIBLE_POLL_INTERVAL"], [("defaults", "poll_interval")], 15);
    /// What prints.
    stdout_callback: String = text(["ANSIBLE_STDOUT_CALLBACK"],
        [("defaults", "stdout_callback")], "default");
    /// Ad-hoc commands print with [`Config::stdout_callback`] too.
    ad_hoc_callbacks: bool = truth(["ANSIBLE_LOAD_CALLBACK_PLUGINS"],
        [("defaults", "bin_ansible_callbacks")], false);
    /// A file that keeps what is printed.
    log_path: Option<String> = place(["ANSIBLE_LOG_PATH"], [("defaults", "log_path")]);
    /// What the file keeps besides: as much as `-v` so many times would show.
    log_verbosity: i64 = number(["ANSIBLE_LOG_VERBOSITY"], [("defaults", "log_verbosity")], 0);
    /// Conditions and variables that will mean something else one day are told.
    deprecation_warnings: bool = truth(["ANSIBLE_DEPRECATION_WARNINGS"],
        [("defaults", "deprecation_warnings")], true);
    /// Have modules tell how files change, without `--diff`.
    diff_always: bool = truth(["ANSIBLE_DIFF_ALWAYS"], [("diff", "always")], false);
    /// Lines around a change that are shown with it.
    diff_context: i64 = number(["ANSIBLE_DIFF_CONTEXT"], [("diff", "context")], 3);
    /// Colour everywhere.
    force_colour: bool = truth(["ANSIBLE_FORCE_COLOR"], [("defaults", "force_color")], false);
    /// Colour nowhere, unless it is forced.
    no_colour: bool = truth(["ANSIBLE_NOCOLOR"], [("defaults", "nocolor")], false);
    /// Whether and when facts are gathered: `implicit`, `explicit` or `smart`.
    gathering: String = text(["ANSIBLE_GATHERING"], [("defaults", "gathering")], "implicit");
    /// How dicts from several places come together: `replace` or `merge`.
    hash_behaviour: String = text(["ANSIBLE_HASH_BEHAVIOUR"],
        [("defaults", "hash_behaviour")], "replace");
    /// The order in which variables of groups are laid over each other, the weakest first.
    precedence: Vec<String> = list(["ANSIBLE_PRECEDENCE"], [("defaults", "precedence")],
        &["all_inventory", "groups_inventory", "all_plugins_inventory", "all_plugins_play",
            "groups_plugins_inventory", "groups_plugins_play"]);
    /// What keeps facts between runs: `memory` does not, `jsonfile` does.
    fact_caching: String = text(["ANSIBLE_CACHE_PLUGIN"], [("defaults", "fact_caching")], "memory");
    /// The directory in which facts are kept.
    fact_caching_connection: Option<String> = place(["ANSIBLE_CACHE_PLUGIN_CONNECTION"],
        [("defaults", "fact_caching_connection")]);
    /// What the names of files with facts begin with.
    fact_caching_prefix: Option<String> = word(["ANSIBLE_CACHE_PLUGIN_PREFIX"],
        [("defaults", "fact_caching_prefix")]);
    /// How long facts are good for, in seconds; 0 is for ever.
    fact_caching_timeout: i64 = number(["ANSIBLE_CACHE_PLUGIN_TIMEOUT"],
        [("defaults", "fact_caching_timeout")], 86400);
    /// Extensions of Jinja.
    jinja2_extensions: Vec<String> = list(["ANSIBLE_JINJA2_EXTENSIONS"],
        [("defaults", "jinja2_extensions")], &[]);
    /// The order in which hosts run where a play does not say.
    strategy: String = text(["ANSIBLE_STRATEGY"], [("defaults", "strategy")], "linear");
    /// Run notified handlers on hosts that failed, too.
    force_handlers: bool = truth(["ANSIBLE_FORCE_HANDLERS"],
        [("defaults", "force_handlers")], false);
    /// One failure on one host ends every play.
    any_errors_fatal: bool = truth(["ANSIBLE_ANY_ERRORS_FATAL"],
        [("defaults", "any_errors_fatal")], false);
    /// A condition may give something else than yes or no, and may be empty.
    allow_broken_conditionals: bool = truth(["ANSIBLE_ALLOW_BROKEN_CONDITIONALS"],
        [("defaults", "allow_broken_conditionals")], false);
    /// A task that notifies a handler that is nowhere ends the run; otherwise it is a warning.
    error_on_missing_handler: bool = truth(["ANSIBLE_ERROR_ON_MISSING_HANDLER"],
        [("defaults", "error_on_missing_handler")], true);
    /// Variables of roles are seen inside of them alone.
    private_role_vars: bool = truth(["ANSIBLE_PRIVATE_ROLE_VARS"],
        [("defaults", "private_role_vars")], false);
    /// What a key does that a dict has twice: `warn`, `error` or `ignore`.
    duplicate_dict_key: String = text(["ANSIBLE_DUPLICATE_YAML_DICT_KEY"],
        [("defaults", "duplicate_dict_key")], "warn");
    /// Text that is no UTF-8 is refused where modules and JSON bring it.
    strict_utf8: bool = truth(["ANSIBLE_MODULE_STRICT_UTF8_RESPONSE"],
        [("defaults", "module_strict_utf8_response")], true);
    /// Nothing of results is shown.
    no_log: bool = truth(["ANSIBLE_NO_LOG"], [("defaults", "no_log")], false);
    /// How long a task may take, in seconds; 0 is for ever.
    task_timeout: i64 = number(["ANSIBLE_TASK_TIMEOUT"], [("defaults", "task_timeout")], 0);
    /// Hosts on which nothing changed are shown.
    display_ok_hosts: bool = truth(["ANSIBLE_DISPLAY_OK_HOSTS"],
        [("defaults", "display_ok_hosts")], true);
    /// Hosts that skip a task are shown.
    display_skipped_hosts: bool = truth(["ANSIBLE_DISPLAY_SKIPPED_HOSTS"],
        [("defaults", "display_skipped_hosts")], true);
    /// Failures go to standard error.
    display_failed_stderr: bool = truth(["ANSIBLE_DISPLAY_FAILED_STDERR"],
        [("defaults", "display_failed_stderr")], false);
    /// What `set_stats` left is shown.
    show_custom_stats: bool = truth(["ANSIBLE_SHOW_CUSTOM_STATS"],
        [("defaults", "show_custom_stats")], false);
    /// Plays and tasks that change nothing say so.
    check_mode_markers: bool = truth(["ANSIBLE_CHECK_MODE_MARKERS"],
        [("defaults", "check_mode_markers")], false);
    /// Banners of tasks show their arguments.
    display_args: bool = truth(["ANSIBLE_DISPLAY_ARGS_TO_STDOUT"],
        [("defaults", "display_args_to_stdout")], false);
    /// Each host that begins a task is shown.
    show_per_host_start: bool = truth(["ANSIBLE_SHOW_PER_HOST_START"],
        [("defaults", "show_per_host_start")], false);
    /// Where a task stands that failed is shown.
    show_task_path_on_failure: bool = truth(["ANSIBLE_SHOW_TASK_PATH_ON_FAILURE"],
        [("defaults", "show_task_path_on_failure")], false);
    /// Facts are variables of their own too.
    facts_as_vars: bool = truth(["ANSIBLE_INJECT_FACT_VARS"],
        [("defaults", "inject_facts_as_vars")], true);
    /// How results are shown: `json` or `yaml`.
    result_format: String = text(["ANSIBLE_CALLBACK_RESULT_FORMAT"],
        [("defaults", "callback_result_format")], "json");
    /// Results are shown over several lines, or on one.
    pretty_results: bool = truth(["ANSIBLE_CALLBACK_FORMAT_PRETTY"],
        [("defaults", "callback_format_pretty")], false);
    /// What only those want to know who look for a fault is shown.
    debug: bool = truth(["ANSIBLE_DEBUG"], [("defaults", "debug")], false);
    /// Whoever runs a playbook is asked what to do when a task fails.
    task_debugger: bool = truth(["ANSIBLE_ENABLE_TASK_DEBUGGER"],
        [("defaults", "enable_task_debugger")], false);
    /// They are not asked about failures that do not count.
    debugger_ignores_errors: bool = truth(["ANSIBLE_TASK_DEBUGGER_IGNORE_ERRORS"],
        [("defaults", "task_debugger_ignore_errors")], true);
    /// `-v` so many times.
    verbosity: i64 = number(["ANSIBLE_VERBOSITY"], [("defaults", "verbosity")], 0);
    /// Modules that `gather_facts` runs.
    facts_modules: Vec<String> = list(["ANSIBLE_FACTS_MODULES"],
        [("defaults", "facts_modules")], &["smart"]);
    /// Only tasks with one of these tags.
    run_tags: Vec<String> = list(["ANSIBLE_RUN_TAGS"], [("tags", "run")], &[]);
    /// No tasks with one of these tags.
    skip_tags: Vec<String> = list(["ANSIBLE_SKIP_TAGS"], [("tags", "skip")], &[]);
    /// Python on hosts.
    interpreter_python: String = text(["ANSIBLE_PYTHON_INTERPRETER"],
        [("defaults", "interpreter_python")], "auto");
}

impl Default for Config {
    fn default() -> Self {
        let here = Here { env: &BTreeMap::new(), home: None, cwd: Path::new("/") };
        Self::fill(&mut Reader::new(&here, None, &Ini::new()))
    }
}

impl Config {
    /// Do dicts from several places come together?
    pub(crate) fn merges(&self) -> bool {
        self.hash_behaviour.value == "merge"
    }

    /// Lays variables over others, dicts replaced or brought together.
    pub(crate) fn lay_over(&self, under: &mut Dict, over: &Dict) {
        lay(under, over, self.merges());
    }

    /// Finds and reads the file, and lays the environment over it.
    ///
    /// # Errors
    /// When the file cannot be read, or a value is none of its type.
    pub fn load(here: &Here<'_>) -> Result<Self, Vec<LoadFault>> {
        let (file, warnings) = find(here);
        let ini = match &file {
            Some(path) => {
                let cannot = |what: String| {
                    vec![LoadFault::bare(format!("cannot read `{}`: {what}", path.display()))]
                };
                let text =
                    std::fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
                ini::parse(&text).map_err(cannot)?
            }
            None => Ini::new(),
        };
        let mut reader = Reader::new(here, file.as_deref(), &ini);
        let mut config = Self::fill(&mut reader);
        if !reader.faults.is_empty() {
            return Err(reader.faults);
        }
        config.warnings = warnings;
        if let Some(path) = config.plugin_filters.value.clone() {
            config.rejected_modules = rejected(&path).map_err(|fault| vec![fault])?;
        }
        Ok(config)
    }
}

/// Lays variables over others. With `merge` dicts are brought together, otherwise replaced.
pub(crate) fn lay(under: &mut Dict, over: &Dict, merge: bool) {
    if merge && !under.is_empty() {
        *under = crate::template::combine_dicts(under, over, true, "replace");
    } else {
        under.extend(over.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}

/// The modules that a file of filters rejects.
fn rejected(path: &str) -> Result<BTreeSet<String>, LoadFault> {
    if !Path::new(path).exists() {
        return Ok(BTreeSet::new());
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| LoadFault::bare(format!("cannot read `{path}`: {error}")))?;
    let parsed = crate::yaml::parse(path, &text)?;
    let list = parsed.documents.first().and_then(|root| root.get("module_rejectlist"));
    let names: BTreeSet<String> = list
        .and_then(crate::yaml::Node::as_seq)
        .unwrap_or_default()
        .iter()
        .filter_map(crate::yaml::Node::scalar_text)
        .collect();
    // Other modules look at files through it.
    if names.contains("stat") {
        return Err(LoadFault::bare(format!(
            "The stat module was specified in the module reject list file, {path}, but Ansible will not function without the stat module.  Please remove stat from the reject list."
        )));
    }
    Ok(names)
}

/// The file that counts, and what is to be said about others.
fn find(here: &Here<'_>) -> (Option<PathBuf>, Vec<String>) {
    let mut candidates = Vec::new();
    if let Some(told) = here.env.get("ANSIBLE_CONFIG") {
        let path = read::expand(told, here.cwd, here);
        candidates.push(if path.is_dir() { path.join("ansible.cfg") } else { path });
    }
    let own = here.cwd.join("ansible.cfg");
    // Whoever else may write here could otherwise decide what we run.
    let public = is_world_writable(here.cwd);
    if !public {
        candidates.push(own.clone());
    }
    candidates.extend(here.home.map(|home| home.join(".ansible.cfg")));
    candidates.push(PathBuf::from("/etc/ansible/ansible.cfg"));
    let told = here.env.contains_key("ANSIBLE_CONFIG").then(|| candidates[0].clone());
    let found = candidates.into_iter().find(|path| path.is_file());
    let mut warnings = Vec::new();
    if public && own.exists() && (told.is_none() || found != told) {
        warnings.push(format!(
            "Ansible is being run in a world writable directory ({}), ignoring it as an ansible.cfg \
             source. For more information see \
             https://docs.ansible.com/ansible/devel/reference_appendices/config.html#cfg-in-world-writable-dir",
            here.cwd.display()
        ));
    }
    (found, warnings)
}

fn is_world_writable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o002 != 0)
}
