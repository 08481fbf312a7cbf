//! Names, arguments, choices and defaults of every module, in one declarative table.
//!
//! The runner checks arguments against it on the target, and playbooks are checked against it
//! before anything is touched. It depends on nothing, so that a controller
//! knows the modules without having them. Never here: what a module does.

/// What an argument is converted to before a module sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; numbers and booleans are written out.
    Str,
    /// Yes or no, in any of YAML 1.1's spellings.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// Text in which `~` and environment variables are expanded.
    Path,
    /// A list; text is split at commas.
    List,
    /// A mapping; text is read as JSON or as `key=value` words.
    Dict,
    /// Left as it is.
    Raw,
}

/// What an argument is when it is not given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preset {
    /// Nothing: the module sees null.
    None,
    /// Text.
    Str(&'static str),
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A list of texts.
    List(&'static [&'static str]),
    /// An empty mapping.
    Dict,
}

/// One argument of a module.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// Its name.
    pub name: &'static str,
    /// What it is converted to.
    pub kind: Kind,
    /// What the elements of a list are converted to.
    pub elements: Kind,
    /// Other names it goes by.
    pub aliases: &'static [&'static str],
    /// The only values it may have; empty means any.
    pub choices: &'static [&'static str],
    /// Whether the module refuses to run without it.
    pub required: bool,
    /// What it is when it is not given.
    pub preset: Preset,
    /// Whether its value must never be shown.
    pub secret: bool,
}

/// One module.
#[derive(Clone, Copy, Debug)]
pub struct ModuleSpec {
    /// Short name, without collection.
    pub name: &'static str,
    /// Other short names for the same module.
    pub aliases: &'static [&'static str],
    /// The collection it comes from in Ansible.
    pub collection: &'static str,
    /// Its own arguments. [`ModuleSpec::all_args`] adds the common ones for files.
    pub args: &'static [Arg],
    /// Whether it also takes [`FILE_ARGS_COMMON`].
    pub file_args: bool,
    /// Whether it can say what it would do without doing it. Those that cannot are skipped in
    /// check mode.
    pub checks: bool,
    /// Groups of arguments of which at most one may be given.
    pub exclusive: &'static [&'static [&'static str]],
    /// Groups of arguments of which at least one must be given.
    pub one_of: &'static [&'static [&'static str]],
    /// Groups of arguments that are given together or not at all.
    pub together: &'static [&'static [&'static str]],
    /// `(argument, value, others)`: all the others are needed when the argument has that value.
    pub required_if: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// `(argument, others)`: all the others are needed when the argument is given.
    pub required_by: &'static [(&'static str, &'static [&'static str])],
}

impl ModuleSpec {
    /// Every argument the module takes.
    pub fn all_args(&self) -> impl Iterator<Item = &'static Arg> {
        let common = if self.file_args { FILE_ARGS_COMMON } else { &[] };
        self.args.iter().chain(common)
    }

    /// The argument that goes by `name`, its own or another.
    pub fn arg(&self, name: &str) -> Option<&'static Arg> {
        self.all_args().find(|arg| arg.name == name || arg.aliases.contains(&name))
    }
}

/// The specification of the module called `name`, with or without its collection.
pub fn find(name: &str) -> Option<&'static ModuleSpec> {
    KNOWN.iter().find(|spec| {
        let short = match name.rsplit_once('.') {
            None => name,
            Some(("ansible.builtin" | "ansible.legacy", short))
                if spec.collection == "ansible.builtin" =>
            {
                short
            }
            Some((collection, short)) if collection == spec.collection => short,
            Some(_) => return false,
        };
        spec.name == short || spec.aliases.contains(&short)
    })
}

const fn arg(name: &'static str, kind: Kind) -> Arg {
    Arg {
        name,
        kind,
        elements: Kind::Str,
        aliases: &[],
        choices: &[],
        required: false,
        preset: Preset::None,
        secret: false,
    }
}

impl Arg {
    const fn of(mut self, elements: Kind) -> Self {
        self.elements = elements;
        self
    }

    const fn aka(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn default(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

const fn module(name: &'static str, args: &'static [Arg]) -> ModuleSpec {
    ModuleSpec {
        name,
        aliases: &[],
        collection: "ansible.builtin",
        args,
        file_args: false,
        checks: false,
        exclusive: &[],
        one_of: &[],
        together: &[],
        required_if: &[],
        required_by: &[],
    }
}

impl ModuleSpec {
    const fn aka(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn from(mut self, collection: &'static str) -> Self {
        self.collection = collection;
        self
    }

    const fn file_args(mut self) -> Self {
        self.file_args = true;
        self
    }

    const fn checks(mut self) -> Self {
        self.checks = true;
        self
    }

    const fn exclusive(mut self, groups: &'static [&'static [&'static str]]) -> Self {
        self.exclusive = groups;
        self
    }

    const fn one_of(mut self, groups: &'static [&'static [&'static str]]) -> Self {
        self.one_of = groups;
        self
    }

    const fn together(mut self, groups: &'static [&'static [&'static str]]) -> Self {
        self.together = groups;
        self
    }

    const fn required_if(
        mut self,
        rules: &'static [(&'static str, &'static str, &'static [&'static str])],
    ) -> Self {
        self.required_if = rules;
        self
    }

    const fn required_by(
        mut self,
        rules: &'static [(&'static str, &'static [&'static str])],
    ) -> Self {
        self.required_by = rules;
        self
    }
}

/// Arguments of every module that leaves a file or directory behind.
pub const FILE_ARGS_COMMON: &[Arg] = &[
    arg("mode", Kind::Raw),
    arg("owner", Kind::Str),
    arg("group", Kind::Str),
    arg("seuser", Kind::Str),
    arg("serole", Kind::Str),
    arg("selevel", Kind::Str),
    arg("setype", Kind::Str),
    arg("attributes", Kind::Str).aka(&["attr"]),
    arg("unsafe_writes", Kind::Bool).default(Preset::Bool(false)),
];

const PING_ARGS: &[Arg] = &[arg("data", Kind::Str).default(Preset::Str("pong"))];

const COMMAND_ARGS: &[Arg] = &[
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

const STAT_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["dest", "name"]).required(),
    arg("follow", Kind::Bool).default(Preset::Bool(false)),
    arg("get_checksum", Kind::Bool).default(Preset::Bool(true)),
    arg("get_mime", Kind::Bool)
        .aka(&["mime", "mime_type", "mime-type"])
        .default(Preset::Bool(true)),
    arg("get_attributes", Kind::Bool).aka(&["attr", "attributes"]).default(Preset::Bool(true)),
    arg("checksum_algorithm", Kind::Str)
        .aka(&["checksum", "checksum_algo"])
        .choices(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
        .default(Preset::Str("sha1")),
];

const FILE_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["absent", "directory", "file", "hard", "link", "touch"]),
    arg("path", Kind::Path).aka(&["dest", "name"]).required(),
    arg("_original_basename", Kind::Str),
    arg("recurse", Kind::Bool).default(Preset::Bool(false)),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("follow", Kind::Bool).default(Preset::Bool(true)),
    arg("_diff_peek", Kind::Bool),
    arg("src", Kind::Path),
    arg("modification_time", Kind::Str),
    arg("modification_time_format", Kind::Str).default(Preset::Str("%Y%m%d%H%M.%S")),
    arg("access_time", Kind::Str),
    arg("access_time_format", Kind::Str).default(Preset::Str("%Y%m%d%H%M.%S")),
];

const APT_ARGS: &[Arg] = &[
    arg("state", Kind::Str)
        .choices(&["absent", "build-dep", "fixed", "latest", "present"])
        .default(Preset::Str("present")),
    arg("update_cache", Kind::Bool).aka(&["update-cache"]),
    arg("update_cache_retries", Kind::Int).default(Preset::Int(5)),
    arg("update_cache_retry_max_delay", Kind::Int).default(Preset::Int(12)),
    arg("cache_valid_time", Kind::Int).default(Preset::Int(0)),
    arg("purge", Kind::Bool).default(Preset::Bool(false)),
    arg("package", Kind::List).aka(&["pkg", "name"]),
    arg("deb", Kind::Path),
    arg("default_release", Kind::Str).aka(&["default-release"]),
    arg("install_recommends", Kind::Bool).aka(&["install-recommends"]),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("upgrade", Kind::Str)
        .choices(&["dist", "full", "no", "safe", "yes"])
        .default(Preset::Str("no")),
    arg("dpkg_options", Kind::Str).default(Preset::Str("force-confdef,force-confold")),
    arg("autoremove", Kind::Bool).default(Preset::Bool(false)),
    arg("autoclean", Kind::Bool).default(Preset::Bool(false)),
    arg("fail_on_autoremove", Kind::Bool).default(Preset::Bool(false)),
    arg("policy_rc_d", Kind::Int),
    arg("only_upgrade", Kind::Bool).default(Preset::Bool(false)),
    arg("force_apt_get", Kind::Bool).default(Preset::Bool(false)),
    arg("clean", Kind::Bool).default(Preset::Bool(false)),
    arg("allow_unauthenticated", Kind::Bool)
        .aka(&["allow-unauthenticated"])
        .default(Preset::Bool(false)),
    arg("allow_downgrade", Kind::Bool)
        .aka(&["allow-downgrade", "allow_downgrades", "allow-downgrades"])
        .default(Preset::Bool(false)),
    arg("allow_change_held_packages", Kind::Bool).default(Preset::Bool(false)),
    arg("lock_timeout", Kind::Int).default(Preset::Int(60)),
    arg("auto_install_module_deps", Kind::Bool).default(Preset::Bool(true)),
];

const SYSTEMD_SERVICE_ARGS: &[Arg] = &[
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

const SETUP_ARGS: &[Arg] = &[
    arg("gather_subset", Kind::List).default(Preset::List(&["all"])),
    arg("gather_timeout", Kind::Int).default(Preset::Int(10)),
    arg("filter", Kind::List).default(Preset::List(&[])),
    arg("fact_path", Kind::Path).default(Preset::Str("/etc/ansible/facts.d")),
];

const LINEINFILE_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["dest", "destfile", "name"]).required(),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("regexp", Kind::Str).aka(&["regex"]),
    arg("search_string", Kind::Str),
    arg("line", Kind::Str).aka(&["value"]),
    arg("insertafter", Kind::Str),
    arg("insertbefore", Kind::Str),
    arg("backrefs", Kind::Bool).default(Preset::Bool(false)),
    arg("create", Kind::Bool).default(Preset::Bool(false)),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("firstmatch", Kind::Bool).default(Preset::Bool(false)),
    arg("validate", Kind::Str),
];

const BLOCKINFILE_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["dest", "destfile", "name"]).required(),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("marker", Kind::Str).default(Preset::Str("# {mark} ANSIBLE MANAGED BLOCK")),
    arg("block", Kind::Str).aka(&["content"]).default(Preset::Str("")),
    arg("insertafter", Kind::Str),
    arg("insertbefore", Kind::Str),
    arg("create", Kind::Bool).default(Preset::Bool(false)),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("validate", Kind::Str),
    arg("marker_begin", Kind::Str).default(Preset::Str("BEGIN")),
    arg("marker_end", Kind::Str).default(Preset::Str("END")),
    arg("append_newline", Kind::Bool).default(Preset::Bool(false)),
    arg("prepend_newline", Kind::Bool).default(Preset::Bool(false)),
];

const REPLACE_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["dest", "destfile", "name"]).required(),
    arg("regexp", Kind::Str).required(),
    arg("replace", Kind::Str).default(Preset::Str("")),
    arg("after", Kind::Str),
    arg("before", Kind::Str),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("validate", Kind::Str),
    arg("encoding", Kind::Str).default(Preset::Str("utf-8")),
];

const USER_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("name", Kind::Str).aka(&["user"]).required(),
    arg("uid", Kind::Int),
    arg("non_unique", Kind::Bool).default(Preset::Bool(false)),
    arg("group", Kind::Str),
    arg("groups", Kind::List),
    arg("comment", Kind::Str),
    arg("home", Kind::Path),
    arg("shell", Kind::Path),
    arg("password", Kind::Str).secret(),
    arg("login_class", Kind::Str),
    arg("password_expire_max", Kind::Int),
    arg("password_expire_min", Kind::Int),
    arg("password_expire_warn", Kind::Int),
    arg("hidden", Kind::Bool),
    arg("seuser", Kind::Str),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("remove", Kind::Bool).default(Preset::Bool(false)),
    arg("create_home", Kind::Bool).aka(&["createhome"]).default(Preset::Bool(true)),
    arg("skeleton", Kind::Str),
    arg("system", Kind::Bool).default(Preset::Bool(false)),
    arg("move_home", Kind::Bool).default(Preset::Bool(false)),
    arg("append", Kind::Bool).default(Preset::Bool(false)),
    arg("generate_ssh_key", Kind::Bool),
    arg("ssh_key_bits", Kind::Int).default(Preset::Int(0)),
    arg("ssh_key_type", Kind::Str).default(Preset::Str("rsa")),
    arg("ssh_key_file", Kind::Path),
    arg("ssh_key_comment", Kind::Str),
    arg("ssh_key_passphrase", Kind::Str).secret(),
    arg("update_password", Kind::Str)
        .choices(&["always", "on_create"])
        .default(Preset::Str("always")),
    arg("expires", Kind::Float),
    arg("password_lock", Kind::Bool),
    arg("local", Kind::Bool),
    arg("profile", Kind::Str),
    arg("authorization", Kind::Str),
    arg("role", Kind::Str),
    arg("umask", Kind::Str),
    arg("password_expire_account_disable", Kind::Int),
    arg("uid_min", Kind::Int),
    arg("uid_max", Kind::Int),
];

const GROUP_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("name", Kind::Str).required(),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("gid", Kind::Int),
    arg("system", Kind::Bool).default(Preset::Bool(false)),
    arg("local", Kind::Bool).default(Preset::Bool(false)),
    arg("non_unique", Kind::Bool).default(Preset::Bool(false)),
    arg("gid_min", Kind::Int),
    arg("gid_max", Kind::Int),
];

const SLURP_ARGS: &[Arg] = &[arg("src", Kind::Path).aka(&["path"]).required()];

const TEMPFILE_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["file", "directory"]).default(Preset::Str("file")),
    arg("path", Kind::Path),
    arg("prefix", Kind::Str).default(Preset::Str("ansible.")),
    arg("suffix", Kind::Str).default(Preset::Str("")),
];

const GETENT_ARGS: &[Arg] = &[
    arg("database", Kind::Str).required(),
    arg("key", Kind::Str),
    arg("service", Kind::Str),
    arg("split", Kind::Str),
    arg("fail_key", Kind::Bool).default(Preset::Bool(true)),
];

const HOSTNAME_ARGS: &[Arg] = &[
    arg("name", Kind::Str).required(),
    arg("use", Kind::Str).choices(&[
        "alpine", "debian", "freebsd", "generic", "macos", "macosx", "darwin", "openbsd", "openrc",
        "redhat", "sles", "solaris", "systemd",
    ]),
];

const FIND_ARGS: &[Arg] = &[
    arg("paths", Kind::List).of(Kind::Path).aka(&["name", "path"]).required(),
    arg("patterns", Kind::List).aka(&["pattern"]).default(Preset::List(&[])),
    arg("excludes", Kind::List).aka(&["exclude"]),
    arg("contains", Kind::Str),
    arg("read_whole_file", Kind::Bool).default(Preset::Bool(false)),
    arg("file_type", Kind::Str)
        .choices(&["any", "directory", "file", "link"])
        .default(Preset::Str("file")),
    arg("age", Kind::Str),
    arg("age_stamp", Kind::Str).choices(&["atime", "ctime", "mtime"]).default(Preset::Str("mtime")),
    arg("size", Kind::Str),
    arg("recurse", Kind::Bool).default(Preset::Bool(false)),
    arg("hidden", Kind::Bool).default(Preset::Bool(false)),
    arg("follow", Kind::Bool).default(Preset::Bool(false)),
    arg("get_checksum", Kind::Bool).default(Preset::Bool(false)),
    arg("checksum_algorithm", Kind::Str)
        .aka(&["checksum", "checksum_algo"])
        .choices(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
        .default(Preset::Str("sha1")),
    arg("use_regex", Kind::Bool).default(Preset::Bool(false)),
    arg("depth", Kind::Int),
    arg("mode", Kind::Raw),
    arg("exact_mode", Kind::Bool).default(Preset::Bool(true)),
    arg("encoding", Kind::Str),
    arg("limit", Kind::Int),
];

const GET_URL_ARGS: &[Arg] = &[
    arg("url", Kind::Str).required(),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("http_agent", Kind::Str).default(Preset::Str("ansible-httpget")),
    arg("use_proxy", Kind::Bool).default(Preset::Bool(true)),
    arg("validate_certs", Kind::Bool).default(Preset::Bool(true)),
    arg("url_username", Kind::Str).aka(&["username"]),
    arg("url_password", Kind::Str).aka(&["password"]).secret(),
    arg("force_basic_auth", Kind::Bool).default(Preset::Bool(false)),
    arg("client_cert", Kind::Path),
    arg("client_key", Kind::Path),
    arg("use_gssapi", Kind::Bool).default(Preset::Bool(false)),
    arg("dest", Kind::Path).required(),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("checksum", Kind::Str).default(Preset::Str("")),
    arg("timeout", Kind::Int).default(Preset::Int(10)),
    arg("headers", Kind::Dict),
    arg("tmp_dest", Kind::Path),
    arg("unredirected_headers", Kind::List).default(Preset::List(&[])),
    arg("decompress", Kind::Bool).default(Preset::Bool(true)),
    arg("ciphers", Kind::List),
    arg("use_netrc", Kind::Bool).default(Preset::Bool(true)),
];

const URI_ARGS: &[Arg] = &[
    arg("url", Kind::Str).required(),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("http_agent", Kind::Str).default(Preset::Str("ansible-httpget")),
    arg("use_proxy", Kind::Bool).default(Preset::Bool(true)),
    arg("validate_certs", Kind::Bool).default(Preset::Bool(true)),
    arg("url_username", Kind::Str).aka(&["user"]),
    arg("url_password", Kind::Str).aka(&["password"]).secret(),
    arg("force_basic_auth", Kind::Bool).default(Preset::Bool(false)),
    arg("client_cert", Kind::Path),
    arg("client_key", Kind::Path),
    arg("use_gssapi", Kind::Bool).default(Preset::Bool(false)),
    arg("follow_redirects", Kind::Str)
        .choices(&["all", "no", "none", "safe", "urllib2", "yes"])
        .default(Preset::Str("safe")),
    arg("dest", Kind::Path),
    arg("body", Kind::Raw),
    arg("body_format", Kind::Str)
        .choices(&["form-urlencoded", "json", "raw", "form-multipart"])
        .default(Preset::Str("raw")),
    arg("src", Kind::Path),
    arg("method", Kind::Str).default(Preset::Str("GET")),
    arg("return_content", Kind::Bool).default(Preset::Bool(false)),
    arg("creates", Kind::Path),
    arg("removes", Kind::Path),
    arg("status_code", Kind::List).of(Kind::Int).default(Preset::List(&["200"])),
    arg("timeout", Kind::Int).default(Preset::Int(30)),
    arg("headers", Kind::Dict).default(Preset::Dict),
    arg("unix_socket", Kind::Path),
    arg("remote_src", Kind::Bool).default(Preset::Bool(false)),
    arg("ca_path", Kind::Path),
    arg("unredirected_headers", Kind::List).default(Preset::List(&[])),
    arg("decompress", Kind::Bool).default(Preset::Bool(true)),
    arg("ciphers", Kind::List),
    arg("use_netrc", Kind::Bool).default(Preset::Bool(true)),
];

const WAIT_FOR_ARGS: &[Arg] = &[
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

const PACKAGE_FACTS_ARGS: &[Arg] = &[
    arg("manager", Kind::List).default(Preset::List(&["auto"])),
    arg("strategy", Kind::Str).choices(&["first", "all"]).default(Preset::Str("first")),
];

const SERVICE_FACTS_ARGS: &[Arg] = &[];

const APT_REPOSITORY_ARGS: &[Arg] = &[
    arg("repo", Kind::Str).required(),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("mode", Kind::Raw),
    arg("update_cache", Kind::Bool).aka(&["update-cache"]).default(Preset::Bool(true)),
    arg("update_cache_retries", Kind::Int).default(Preset::Int(5)),
    arg("update_cache_retry_max_delay", Kind::Int).default(Preset::Int(12)),
    arg("filename", Kind::Str),
    arg("install_python_apt", Kind::Bool).default(Preset::Bool(true)),
    arg("validate_certs", Kind::Bool).default(Preset::Bool(true)),
    arg("codename", Kind::Str),
];

const ASSEMBLE_ARGS: &[Arg] = &[
    arg("src", Kind::Path).required(),
    arg("delimiter", Kind::Str),
    arg("dest", Kind::Path).required(),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("remote_src", Kind::Bool).default(Preset::Bool(true)),
    arg("regexp", Kind::Str),
    arg("ignore_hidden", Kind::Bool).default(Preset::Bool(false)),
    arg("validate", Kind::Str),
    arg("decrypt", Kind::Bool).default(Preset::Bool(true)),
];

const CRON_ARGS: &[Arg] = &[
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

const UNARCHIVE_ARGS: &[Arg] = &[
    arg("src", Kind::Path).required(),
    arg("dest", Kind::Path).required(),
    arg("remote_src", Kind::Bool).default(Preset::Bool(false)),
    arg("creates", Kind::Path),
    arg("list_files", Kind::Bool).default(Preset::Bool(false)),
    arg("keep_newer", Kind::Bool).default(Preset::Bool(false)),
    arg("exclude", Kind::List).default(Preset::List(&[])),
    arg("include", Kind::List).default(Preset::List(&[])),
    arg("extra_opts", Kind::List).default(Preset::List(&[])),
    arg("validate_certs", Kind::Bool).default(Preset::Bool(true)),
    arg("io_buffer_size", Kind::Int).default(Preset::Int(65536)),
    arg("copy", Kind::Bool).default(Preset::Bool(true)),
    arg("decrypt", Kind::Bool).default(Preset::Bool(true)),
];

const PACKAGE_ARGS: &[Arg] = &[
    arg("use", Kind::Str).default(Preset::Str("auto")),
    arg("state", Kind::Str)
        .choices(&["absent", "build-dep", "fixed", "latest", "present"])
        .default(Preset::Str("present")),
    arg("update_cache", Kind::Bool).aka(&["update-cache"]),
    arg("update_cache_retries", Kind::Int).default(Preset::Int(5)),
    arg("update_cache_retry_max_delay", Kind::Int).default(Preset::Int(12)),
    arg("cache_valid_time", Kind::Int).default(Preset::Int(0)),
    arg("purge", Kind::Bool).default(Preset::Bool(false)),
    arg("package", Kind::List).aka(&["pkg", "name"]),
    arg("deb", Kind::Path),
    arg("default_release", Kind::Str).aka(&["default-release"]),
    arg("install_recommends", Kind::Bool).aka(&["install-recommends"]),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("upgrade", Kind::Str)
        .choices(&["dist", "full", "no", "safe", "yes"])
        .default(Preset::Str("no")),
    arg("dpkg_options", Kind::Str).default(Preset::Str("force-confdef,force-confold")),
    arg("autoremove", Kind::Bool).default(Preset::Bool(false)),
    arg("autoclean", Kind::Bool).default(Preset::Bool(false)),
    arg("fail_on_autoremove", Kind::Bool).default(Preset::Bool(false)),
    arg("policy_rc_d", Kind::Int),
    arg("only_upgrade", Kind::Bool).default(Preset::Bool(false)),
    arg("force_apt_get", Kind::Bool).default(Preset::Bool(false)),
    arg("clean", Kind::Bool).default(Preset::Bool(false)),
    arg("allow_unauthenticated", Kind::Bool)
        .aka(&["allow-unauthenticated"])
        .default(Preset::Bool(false)),
    arg("allow_downgrade", Kind::Bool)
        .aka(&["allow-downgrade", "allow_downgrades", "allow-downgrades"])
        .default(Preset::Bool(false)),
    arg("allow_change_held_packages", Kind::Bool).default(Preset::Bool(false)),
    arg("lock_timeout", Kind::Int).default(Preset::Int(60)),
    arg("auto_install_module_deps", Kind::Bool).default(Preset::Bool(true)),
];

const SERVICE_ARGS: &[Arg] = &[
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

const COPY_ARGS: &[Arg] = &[
    arg("src", Kind::Path),
    arg("_original_basename", Kind::Str),
    arg("content", Kind::Raw),
    arg("dest", Kind::Path).required(),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("decrypt", Kind::Bool).default(Preset::Bool(true)),
    arg("force", Kind::Bool).default(Preset::Bool(true)),
    arg("validate", Kind::Str),
    arg("directory_mode", Kind::Raw),
    arg("remote_src", Kind::Bool).default(Preset::Bool(false)),
    arg("local_follow", Kind::Bool),
    arg("checksum", Kind::Str),
    arg("follow", Kind::Bool).default(Preset::Bool(false)),
];

const AUTHORIZED_KEY_ARGS: &[Arg] = &[
    arg("user", Kind::Str).required(),
    arg("key", Kind::Str).required(),
    arg("path", Kind::Path),
    arg("manage_dir", Kind::Bool).default(Preset::Bool(true)),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("key_options", Kind::Str),
    arg("exclusive", Kind::Bool).default(Preset::Bool(false)),
    arg("comment", Kind::Str),
    arg("validate_certs", Kind::Bool).default(Preset::Bool(true)),
    arg("follow", Kind::Bool).default(Preset::Bool(false)),
];

const SYNCHRONIZE_ARGS: &[Arg] = &[
    arg("src", Kind::Path).required(),
    arg("dest", Kind::Path).required(),
    arg("dest_port", Kind::Int),
    arg("delete", Kind::Bool).default(Preset::Bool(false)),
    arg("private_key", Kind::Path),
    arg("rsync_path", Kind::Str),
    arg("_local_rsync_path", Kind::Path).default(Preset::Str("rsync")),
    arg("_local_rsync_password", Kind::Str).secret(),
    arg("_substitute_controller", Kind::Bool).default(Preset::Bool(false)),
    arg("archive", Kind::Bool).default(Preset::Bool(true)),
    arg("checksum", Kind::Bool).default(Preset::Bool(false)),
    arg("compress", Kind::Bool).default(Preset::Bool(true)),
    arg("existing_only", Kind::Bool).default(Preset::Bool(false)),
    arg("dirs", Kind::Bool).default(Preset::Bool(false)),
    arg("recursive", Kind::Bool),
    arg("links", Kind::Bool),
    arg("copy_links", Kind::Bool).default(Preset::Bool(false)),
    arg("perms", Kind::Bool),
    arg("times", Kind::Bool),
    arg("owner", Kind::Bool),
    arg("group", Kind::Bool),
    arg("set_remote_user", Kind::Bool).default(Preset::Bool(true)),
    arg("rsync_timeout", Kind::Int).default(Preset::Int(0)),
    arg("rsync_opts", Kind::List).default(Preset::List(&[])),
    arg("_ssh_args", Kind::Str),
    arg("use_ssh_args", Kind::Bool).default(Preset::Bool(false)),
    arg("ssh_connection_multiplexing", Kind::Bool).default(Preset::Bool(false)),
    arg("partial", Kind::Bool).default(Preset::Bool(false)),
    arg("verify_host", Kind::Bool).default(Preset::Bool(false)),
    arg("delay_updates", Kind::Bool).default(Preset::Bool(true)),
    arg("mode", Kind::Str).choices(&["pull", "push"]).default(Preset::Str("push")),
    arg("link_dest", Kind::List).of(Kind::Path),
];

const SYSCTL_ARGS: &[Arg] = &[
    arg("name", Kind::Str).aka(&["key"]).required(),
    arg("value", Kind::Str).aka(&["val"]),
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
    arg("reload", Kind::Bool).default(Preset::Bool(true)),
    arg("sysctl_set", Kind::Bool).default(Preset::Bool(false)),
    arg("ignoreerrors", Kind::Bool).default(Preset::Bool(false)),
    arg("sysctl_file", Kind::Path).default(Preset::Str("/etc/sysctl.conf")),
];

const ALTERNATIVES_ARGS: &[Arg] = &[
    arg("name", Kind::Str).required(),
    arg("path", Kind::Path),
    arg("family", Kind::Str),
    arg("link", Kind::Path),
    arg("priority", Kind::Int),
    arg("state", Kind::Str)
        .choices(&["present", "selected", "absent", "auto"])
        .default(Preset::Str("selected")),
];

const HTPASSWD_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["dest", "destfile"]).required(),
    arg("name", Kind::Str).aka(&["username"]).required(),
    arg("password", Kind::Str).secret(),
    arg("hash_scheme", Kind::Str).aka(&["crypt_scheme"]).default(Preset::Str("apr_md5_crypt")),
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
    arg("create", Kind::Bool).default(Preset::Bool(true)),
];

const INI_FILE_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["dest"]).required(),
    arg("section", Kind::Str),
    arg("option", Kind::Str),
    arg("value", Kind::Str),
    arg("values", Kind::List),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("exclusive", Kind::Bool).default(Preset::Bool(true)),
    arg("no_extra_spaces", Kind::Bool).default(Preset::Bool(false)),
    arg("ignore_spaces", Kind::Bool).default(Preset::Bool(false)),
    arg("allow_no_value", Kind::Bool).default(Preset::Bool(false)),
    arg("modify_inactive_option", Kind::Bool).default(Preset::Bool(true)),
    arg("create", Kind::Bool).default(Preset::Bool(true)),
    arg("follow", Kind::Bool).default(Preset::Bool(false)),
];

const IPTABLES_ARGS: &[Arg] = &[
    arg("table", Kind::Str)
        .choices(&["filter", "nat", "mangle", "raw", "security"])
        .default(Preset::Str("filter")),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("action", Kind::Str).choices(&["append", "insert"]).default(Preset::Str("append")),
    arg("ip_version", Kind::Str).choices(&["ipv4", "ipv6", "both"]).default(Preset::Str("ipv4")),
    arg("chain", Kind::Str),
    arg("rule_num", Kind::Str),
    arg("protocol", Kind::Str),
    arg("wait", Kind::Str),
    arg("source", Kind::Str),
    arg("to_source", Kind::Str),
    arg("destination", Kind::Str),
    arg("to_destination", Kind::Str),
    arg("match", Kind::List).default(Preset::List(&[])),
    arg("tcp_flags", Kind::Dict),
    arg("jump", Kind::Str),
    arg("gateway", Kind::Str),
    arg("log_prefix", Kind::Str),
    arg("log_level", Kind::Str).choices(&[
        "0", "1", "2", "3", "4", "5", "6", "7", "emerg", "alert", "crit", "error", "warning",
        "notice", "info", "debug",
    ]),
    arg("goto", Kind::Str),
    arg("in_interface", Kind::Str),
    arg("out_interface", Kind::Str),
    arg("fragment", Kind::Str),
    arg("set_counters", Kind::Str),
    arg("source_port", Kind::Str),
    arg("destination_port", Kind::Str),
    arg("destination_ports", Kind::List).default(Preset::List(&[])),
    arg("to_ports", Kind::Str),
    arg("set_dscp_mark", Kind::Str),
    arg("set_dscp_mark_class", Kind::Str),
    arg("comment", Kind::Str),
    arg("ctstate", Kind::List).default(Preset::List(&[])),
    arg("src_range", Kind::Str),
    arg("dst_range", Kind::Str),
    arg("match_set", Kind::Str),
    arg("match_set_flags", Kind::Str)
        .choices(&["src", "dst", "src,dst", "dst,src", "src,src", "dst,dst"]),
    arg("limit", Kind::Str),
    arg("limit_burst", Kind::Str),
    arg("uid_owner", Kind::Str),
    arg("gid_owner", Kind::Str),
    arg("reject_with", Kind::Str),
    arg("icmp_type", Kind::Str),
    arg("syn", Kind::Str).choices(&["ignore", "match", "negate"]).default(Preset::Str("ignore")),
    arg("flush", Kind::Bool).default(Preset::Bool(false)),
    arg("policy", Kind::Str).choices(&["ACCEPT", "DROP", "QUEUE", "RETURN"]),
    arg("chain_management", Kind::Bool).default(Preset::Bool(false)),
    arg("numeric", Kind::Bool).default(Preset::Bool(false)),
];

const MODPROBE_ARGS: &[Arg] = &[
    arg("name", Kind::Str).required(),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("params", Kind::Str).default(Preset::Str("")),
    arg("persistent", Kind::Str)
        .choices(&["absent", "disabled", "present"])
        .default(Preset::Str("disabled")),
];

const MOUNT_ARGS: &[Arg] = &[
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

const GIT_ARGS: &[Arg] = &[
    arg("dest", Kind::Path),
    arg("repo", Kind::Str).aka(&["name"]).required(),
    arg("version", Kind::Str).default(Preset::Str("HEAD")),
    arg("remote", Kind::Str).default(Preset::Str("origin")),
    arg("refspec", Kind::Str),
    arg("reference", Kind::Str),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("depth", Kind::Int),
    arg("clone", Kind::Bool).default(Preset::Bool(true)),
    arg("update", Kind::Bool).default(Preset::Bool(true)),
    arg("verify_commit", Kind::Bool).default(Preset::Bool(false)),
    arg("gpg_allowlist", Kind::List).aka(&["gpg_whitelist"]).default(Preset::List(&[])),
    arg("accept_hostkey", Kind::Bool).default(Preset::Bool(false)),
    arg("accept_newhostkey", Kind::Bool).default(Preset::Bool(false)),
    arg("key_file", Kind::Path),
    arg("ssh_opts", Kind::Str),
    arg("executable", Kind::Path),
    arg("bare", Kind::Bool).default(Preset::Bool(false)),
    arg("recursive", Kind::Bool).default(Preset::Bool(true)),
    arg("single_branch", Kind::Bool).default(Preset::Bool(false)),
    arg("track_submodules", Kind::Bool).default(Preset::Bool(false)),
    arg("umask", Kind::Raw),
    arg("archive", Kind::Path),
    arg("archive_prefix", Kind::Str),
    arg("separate_git_dir", Kind::Path),
];

const KNOWN_HOSTS_ARGS: &[Arg] = &[
    arg("name", Kind::Str).aka(&["host"]).required(),
    arg("key", Kind::Str),
    arg("path", Kind::Path).default(Preset::Str("~/.ssh/known_hosts")),
    arg("hash_host", Kind::Bool).default(Preset::Bool(false)),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
];

const PIP_ARGS: &[Arg] = &[
    arg("state", Kind::Str).default(Preset::Str("present")).choices(&[
        "present",
        "absent",
        "latest",
        "forcereinstall",
    ]),
    arg("name", Kind::List),
    arg("version", Kind::Str),
    arg("requirements", Kind::Str),
    arg("virtualenv", Kind::Path),
    arg("virtualenv_site_packages", Kind::Bool).default(Preset::Bool(false)),
    arg("virtualenv_command", Kind::Path).default(Preset::Str("virtualenv")),
    arg("virtualenv_python", Kind::Str),
    arg("extra_args", Kind::Str),
    arg("editable", Kind::Bool).default(Preset::Bool(false)),
    arg("chdir", Kind::Path),
    arg("executable", Kind::Path),
    arg("umask", Kind::Str),
    arg("break_system_packages", Kind::Bool).default(Preset::Bool(false)),
];

const TIMEZONE_ARGS: &[Arg] =
    &[arg("hwclock", Kind::Str).choices(&["local", "UTC"]).aka(&["rtc"]), arg("name", Kind::Str)];

const APT_KEY_ARGS: &[Arg] = &[
    arg("id", Kind::Str),
    arg("url", Kind::Str),
    arg("data", Kind::Str),
    arg("file", Kind::Path),
    arg("keyring", Kind::Path),
    arg("validate_certs", Kind::Bool).default(Preset::Bool(true)),
    arg("keyserver", Kind::Str),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
];

const DEB822_REPOSITORY_ARGS: &[Arg] = &[
    arg("allow_downgrade_to_insecure", Kind::Bool),
    arg("allow_insecure", Kind::Bool),
    arg("allow_weak", Kind::Bool),
    arg("architectures", Kind::List),
    arg("by_hash", Kind::Bool),
    arg("check_date", Kind::Bool),
    arg("check_valid_until", Kind::Bool),
    arg("components", Kind::List),
    arg("date_max_future", Kind::Int),
    arg("enabled", Kind::Bool),
    arg("inrelease_path", Kind::Str),
    arg("languages", Kind::List),
    arg("name", Kind::Str).required(),
    arg("pdiffs", Kind::Bool),
    arg("signed_by", Kind::Str),
    arg("suites", Kind::List),
    arg("targets", Kind::List),
    arg("trusted", Kind::Bool),
    arg("types", Kind::List).choices(&["deb", "deb-src"]).default(Preset::List(&["deb"])),
    arg("uris", Kind::List),
    arg("mode", Kind::Raw).default(Preset::Str("0644")),
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
];

const DEBCONF_ARGS: &[Arg] = &[
    arg("name", Kind::Str).aka(&["pkg"]).required(),
    arg("question", Kind::Str).aka(&["selection", "setting"]),
    arg("vtype", Kind::Str).choices(&[
        "boolean",
        "error",
        "multiselect",
        "note",
        "password",
        "seen",
        "select",
        "string",
        "text",
        "title",
    ]),
    arg("value", Kind::Raw).aka(&["answer"]),
    arg("unseen", Kind::Bool).default(Preset::Bool(false)),
];

const DPKG_SELECTIONS_ARGS: &[Arg] = &[
    arg("name", Kind::Str).required(),
    arg("selection", Kind::Str).choices(&["install", "hold", "deinstall", "purge"]).required(),
];

const LOCALE_GEN_ARGS: &[Arg] = &[
    arg("name", Kind::List).required(),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
];

const ACL_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["name"]).required(),
    arg("entry", Kind::Str),
    arg("entity", Kind::Str).default(Preset::Str("")),
    arg("etype", Kind::Str).choices(&["group", "mask", "other", "user"]),
    arg("permissions", Kind::Str),
    arg("state", Kind::Str).choices(&["absent", "present", "query"]).default(Preset::Str("query")),
    arg("follow", Kind::Bool).default(Preset::Bool(true)),
    arg("default", Kind::Bool).default(Preset::Bool(false)),
    arg("recursive", Kind::Bool).aka(&["recurse"]).default(Preset::Bool(false)),
    arg("recalculate_mask", Kind::Str)
        .choices(&["default", "mask", "no_mask"])
        .default(Preset::Str("default")),
    arg("use_nfsv4_acls", Kind::Bool).default(Preset::Bool(false)),
];

const UFW_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["enabled", "disabled", "reloaded", "reset"]),
    arg("default", Kind::Str).aka(&["policy"]).choices(&["allow", "deny", "reject"]),
    arg("logging", Kind::Str).choices(&["full", "high", "low", "medium", "off", "on"]),
    arg("direction", Kind::Str).choices(&["in", "incoming", "out", "outgoing", "routed"]),
    arg("delete", Kind::Bool).default(Preset::Bool(false)),
    arg("route", Kind::Bool).default(Preset::Bool(false)),
    arg("insert", Kind::Int),
    arg("insert_relative_to", Kind::Str)
        .choices(&["zero", "first-ipv4", "last-ipv4", "first-ipv6", "last-ipv6"])
        .default(Preset::Str("zero")),
    arg("rule", Kind::Str).choices(&["allow", "deny", "limit", "reject"]),
    arg("interface", Kind::Str).aka(&["if"]),
    arg("interface_in", Kind::Str).aka(&["if_in"]),
    arg("interface_out", Kind::Str).aka(&["if_out"]),
    arg("log", Kind::Bool).default(Preset::Bool(false)),
    arg("from_ip", Kind::Str).aka(&["from", "src"]).default(Preset::Str("any")),
    arg("from_port", Kind::Str),
    arg("to_ip", Kind::Str).aka(&["dest", "to"]).default(Preset::Str("any")),
    arg("to_port", Kind::Str).aka(&["port"]),
    arg("proto", Kind::Str)
        .aka(&["protocol"])
        .choices(&["ah", "any", "esp", "ipv6", "tcp", "udp", "gre", "igmp", "vrrp"]),
    arg("name", Kind::Str).aka(&["app"]),
    arg("comment", Kind::Str),
];

/// Every module there is, sorted by name.
pub const KNOWN: &[ModuleSpec] = &[
    module("acl", ACL_ARGS).from("ansible.posix").checks(),
    module("alternatives", ALTERNATIVES_ARGS)
        .from("community.general")
        .checks()
        .one_of(&[&["path", "family"]]),
    module("apt", APT_ARGS).checks().exclusive(&[&["deb", "package", "upgrade"]]).one_of(&[&[
        "autoremove",
        "deb",
        "package",
        "update_cache",
        "upgrade",
    ]]),
    module("apt_key", APT_KEY_ARGS).checks().exclusive(&[&["data", "file", "keyserver", "url"]]),
    module("apt_repository", APT_REPOSITORY_ARGS).checks(),
    module("assemble", ASSEMBLE_ARGS).file_args().checks(),
    module("authorized_key", AUTHORIZED_KEY_ARGS).from("ansible.posix").checks(),
    module("blockinfile", BLOCKINFILE_ARGS)
        .file_args()
        .checks()
        .exclusive(&[&["insertbefore", "insertafter"]]),
    module("command", COMMAND_ARGS)
        .aka(&["shell"])
        .checks()
        .exclusive(&[&["_raw_params", "cmd", "argv"]])
        .one_of(&[&["_raw_params", "cmd", "argv"]]),
    module("copy", COPY_ARGS).file_args().checks(),
    module("cron", CRON_ARGS).checks().exclusive(&[&["insertafter", "insertbefore"]]),
    module("deb822_repository", DEB822_REPOSITORY_ARGS).checks(),
    module("debconf", DEBCONF_ARGS).checks().together(&[&["question", "vtype", "value"]]),
    module("dpkg_selections", DPKG_SELECTIONS_ARGS).checks(),
    module("file", FILE_ARGS).file_args().checks(),
    module("find", FIND_ARGS).checks(),
    module("get_url", GET_URL_ARGS).file_args().checks(),
    module("getent", GETENT_ARGS).checks(),
    module("git", GIT_ARGS)
        .checks()
        .exclusive(&[&["separate_git_dir", "bare"], &["accept_hostkey", "accept_newhostkey"]])
        .required_by(&[("archive_prefix", &["archive"])]),
    module("group", GROUP_ARGS).checks().required_if(&[("non_unique", "True", &["gid"])]),
    module("hostname", HOSTNAME_ARGS).checks(),
    module("htpasswd", HTPASSWD_ARGS).from("community.general").file_args().checks(),
    module("ini_file", INI_FILE_ARGS)
        .from("community.general")
        .file_args()
        .checks()
        .exclusive(&[&["value", "values"]]),
    module("iptables", IPTABLES_ARGS)
        .checks()
        .exclusive(&[&["set_dscp_mark", "set_dscp_mark_class"], &["flush", "policy"]])
        .required_if(&[
            ("jump", "TEE", &["gateway"]),
            ("jump", "tee", &["gateway"]),
            ("flush", "False", &["chain"]),
        ])
        .required_by(&[("set_dscp_mark", &["jump"]), ("set_dscp_mark_class", &["jump"])]),
    module("known_hosts", KNOWN_HOSTS_ARGS).checks(),
    module("lineinfile", LINEINFILE_ARGS).file_args().checks().exclusive(&[
        &["insertbefore", "insertafter"],
        &["regexp", "search_string"],
        &["backrefs", "search_string"],
    ]),
    module("locale_gen", LOCALE_GEN_ARGS).from("community.general").checks(),
    module("modprobe", MODPROBE_ARGS).from("community.general").checks(),
    module("mount", MOUNT_ARGS).from("ansible.posix").checks().required_if(&[
        ("state", "mounted", &["src", "fstype"]),
        ("state", "present", &["src", "fstype"]),
        ("state", "ephemeral", &["src", "fstype"]),
    ]),
    module("package", PACKAGE_ARGS).checks(),
    module("package_facts", PACKAGE_FACTS_ARGS).checks(),
    module("ping", PING_ARGS).checks(),
    module("pip", PIP_ARGS)
        .checks()
        .one_of(&[&["name", "requirements"]])
        .exclusive(&[&["name", "requirements"], &["executable", "virtualenv"]]),
    module("replace", REPLACE_ARGS).file_args().checks(),
    module("service", SERVICE_ARGS).checks().one_of(&[&[
        "state",
        "enabled",
        "masked",
        "daemon_reload",
        "daemon_reexec",
    ]]),
    module("service_facts", SERVICE_FACTS_ARGS).checks(),
    module("setup", SETUP_ARGS).checks(),
    module("slurp", SLURP_ARGS).checks(),
    module("stat", STAT_ARGS).checks(),
    module("synchronize", SYNCHRONIZE_ARGS).from("ansible.posix").checks(),
    module("sysctl", SYSCTL_ARGS).from("ansible.posix").checks().required_if(&[(
        "state",
        "present",
        &["value"],
    )]),
    module("systemd_service", SYSTEMD_SERVICE_ARGS)
        .aka(&["systemd"])
        .checks()
        .one_of(&[&["state", "enabled", "masked", "daemon_reload", "daemon_reexec"]])
        .required_by(&[("state", &["name"]), ("enabled", &["name"]), ("masked", &["name"])]),
    module("tempfile", TEMPFILE_ARGS),
    module("timezone", TIMEZONE_ARGS)
        .from("community.general")
        .checks()
        .one_of(&[&["hwclock", "name"]]),
    module("ufw", UFW_ARGS)
        .from("community.general")
        .checks()
        .exclusive(&[
            &["name", "proto", "logging"],
            &["direction", "interface_in"],
            &["direction", "interface_out"],
        ])
        .one_of(&[&["state", "default", "rule", "logging"]])
        .required_by(&[("interface", &["direction"])]),
    module("unarchive", UNARCHIVE_ARGS).file_args().checks().exclusive(&[&["include", "exclude"]]),
    module("uri", URI_ARGS).file_args().exclusive(&[&["body", "src"]]),
    module("user", USER_ARGS).checks(),
    module("wait_for", WAIT_FOR_ARGS),
];
