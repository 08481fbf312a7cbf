//! Names, arguments, choices and defaults of every module, in one declarative table; the arguments
//! stand in a file for each family of modules.
//!
//! The runner checks arguments against it on the target, and playbooks are checked against it
//! before anything is touched. It depends on nothing, so that a controller
//! knows the modules without having them. Never here: what a module does.

mod accounts;
mod commands;
mod containers;
mod databases;
mod files;
mod keys;
mod network;
mod packages;
mod system;

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
    /// What may stand in it, if it is a mapping or a list of them; empty means anything.
    pub options: &'static [Arg],
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
    /// The group of its collection that it is in, for `module_defaults`; empty if there is none.
    pub group: &'static str,
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

pub(crate) const fn arg(name: &'static str, kind: Kind) -> Arg {
    Arg {
        name,
        kind,
        elements: Kind::Str,
        aliases: &[],
        choices: &[],
        required: false,
        preset: Preset::None,
        secret: false,
        options: &[],
    }
}

impl Arg {
    pub(crate) const fn of(mut self, elements: Kind) -> Self {
        self.elements = elements;
        self
    }

    pub(crate) const fn aka(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(crate) const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(crate) const fn default(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    pub(crate) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(crate) const fn options(mut self, options: &'static [Arg]) -> Self {
        self.options = options;
        self
    }
}

pub(crate) const fn module(name: &'static str, args: &'static [Arg]) -> ModuleSpec {
    ModuleSpec {
        name,
        aliases: &[],
        collection: "ansible.builtin",
        group: "",
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
    pub(crate) const fn aka(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(crate) const fn from(mut self, collection: &'static str) -> Self {
        self.collection = collection;
        self
    }

    pub(crate) const fn group(mut self, group: &'static str) -> Self {
        self.group = group;
        self
    }

    pub(crate) const fn file_args(mut self) -> Self {
        self.file_args = true;
        self
    }

    pub(crate) const fn checks(mut self) -> Self {
        self.checks = true;
        self
    }

    pub(crate) const fn exclusive(mut self, groups: &'static [&'static [&'static str]]) -> Self {
        self.exclusive = groups;
        self
    }

    pub(crate) const fn one_of(mut self, groups: &'static [&'static [&'static str]]) -> Self {
        self.one_of = groups;
        self
    }

    pub(crate) const fn together(mut self, groups: &'static [&'static [&'static str]]) -> Self {
        self.together = groups;
        self
    }

    pub(crate) const fn required_if(
        mut self,
        rules: &'static [(&'static str, &'static str, &'static [&'static str])],
    ) -> Self {
        self.required_if = rules;
        self
    }

    pub(crate) const fn required_by(
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

/// What a result calls the reason behind its `msg`, an error of the operating system as Python
/// writes it. It is for whoever tells people why a task failed, and no part of the result.
pub const CAUSE: &str = "_updraft_cause";

/// Every module there is, sorted by name.
pub const KNOWN: &[ModuleSpec] = &[
    module("acl", files::ACL_ARGS).from("ansible.posix").checks(),
    module("alternatives", system::ALTERNATIVES_ARGS)
        .from("community.general")
        .checks()
        .one_of(&[&["path", "family"]]),
    module("apt", packages::APT_ARGS)
        .checks()
        .exclusive(&[&["deb", "package", "upgrade"]])
        .one_of(&[&["autoremove", "deb", "package", "update_cache", "upgrade"]]),
    module("apt_key", packages::APT_KEY_ARGS).checks().exclusive(&[&[
        "data",
        "file",
        "keyserver",
        "url",
    ]]),
    module("apt_repository", packages::APT_REPOSITORY_ARGS).checks(),
    module("assemble", files::ASSEMBLE_ARGS).file_args().checks(),
    module("authorized_key", accounts::AUTHORIZED_KEY_ARGS).from("ansible.posix").checks(),
    module("blockinfile", files::BLOCKINFILE_ARGS)
        .file_args()
        .checks()
        .exclusive(&[&["insertbefore", "insertafter"]]),
    module("command", commands::COMMAND_ARGS)
        .aka(&["shell"])
        .checks()
        .exclusive(&[&["_raw_params", "cmd", "argv"]])
        .one_of(&[&["_raw_params", "cmd", "argv"]]),
    module("composer", packages::COMPOSER_ARGS)
        .from("community.general")
        .checks()
        .required_if(&[("global_command", "False", &["working_dir"])]),
    module("copy", files::COPY_ARGS).file_args().checks(),
    module("cron", system::CRON_ARGS).checks().exclusive(&[&["insertafter", "insertbefore"]]),
    module("deb822_repository", packages::DEB822_REPOSITORY_ARGS).checks(),
    module("debconf", packages::DEBCONF_ARGS).checks().together(&[&["question", "vtype", "value"]]),
    module("docker_container", containers::DOCKER_CONTAINER_ARGS)
        .from("community.docker")
        .group("docker")
        .checks()
        .together(containers::TOGETHER)
        .required_if(&[("state", "present", &["image"])])
        .required_by(&[("log_options", &["log_driver"]), ("restart_retries", &["restart_policy"])]),
    module("docker_image", containers::DOCKER_IMAGE_ARGS)
        .from("community.docker")
        .group("docker")
        .checks()
        .together(containers::TOGETHER)
        .required_if(&[
            ("state", "present", &["source"]),
            ("source", "build", &["build"]),
            ("source", "load", &["load_path"]),
        ]),
    module("docker_network", containers::DOCKER_NETWORK_ARGS)
        .from("community.docker")
        .group("docker")
        .checks()
        .together(containers::TOGETHER),
    module("dpkg_selections", packages::DPKG_SELECTIONS_ARGS).checks(),
    module("file", files::FILE_ARGS).file_args().checks(),
    module("filesystem", system::FILESYSTEM_ARGS)
        .from("community.general")
        .checks()
        .exclusive(&[&["resizefs", "uuid"]])
        .required_if(&[("state", "present", &["fstype"])]),
    module("find", files::FIND_ARGS).checks(),
    module("get_url", network::GET_URL_ARGS).file_args().checks(),
    module("getent", commands::GETENT_ARGS).checks(),
    module("git", packages::GIT_ARGS)
        .checks()
        .exclusive(&[&["separate_git_dir", "bare"], &["accept_hostkey", "accept_newhostkey"]])
        .required_by(&[("archive_prefix", &["archive"])]),
    module("group", accounts::GROUP_ARGS).checks().required_if(&[("non_unique", "True", &["gid"])]),
    module("hostname", system::HOSTNAME_ARGS).checks(),
    module("htpasswd", accounts::HTPASSWD_ARGS).from("community.general").file_args().checks(),
    module("ini_file", files::INI_FILE_ARGS)
        .from("community.general")
        .file_args()
        .checks()
        .exclusive(&[&["value", "values"]]),
    module("iptables", network::IPTABLES_ARGS)
        .checks()
        .exclusive(&[&["set_dscp_mark", "set_dscp_mark_class"], &["flush", "policy"]])
        .required_if(&[
            ("jump", "TEE", &["gateway"]),
            ("jump", "tee", &["gateway"]),
            ("flush", "False", &["chain"]),
        ])
        .required_by(&[("set_dscp_mark", &["jump"]), ("set_dscp_mark_class", &["jump"])]),
    module("known_hosts", accounts::KNOWN_HOSTS_ARGS).checks(),
    module("lineinfile", files::LINEINFILE_ARGS).file_args().checks().exclusive(&[
        &["insertbefore", "insertafter"],
        &["regexp", "search_string"],
        &["backrefs", "search_string"],
    ]),
    module("locale_gen", system::LOCALE_GEN_ARGS).from("community.general").checks(),
    module("lvg", system::LVG_ARGS).from("community.general").checks().required_if(&[(
        "reset_pv_uuid",
        "True",
        &["pvs"],
    )]),
    module("lvol", system::LVOL_ARGS)
        .from("community.general")
        .checks()
        .one_of(&[&["lv", "thinpool"]]),
    module("make", commands::MAKE_ARGS)
        .from("community.general")
        .checks()
        .exclusive(&[&["target", "targets"]]),
    module("modprobe", system::MODPROBE_ARGS).from("community.general").checks(),
    module("mount", system::MOUNT_ARGS).from("ansible.posix").checks().required_if(&[
        ("state", "mounted", &["src", "fstype"]),
        ("state", "present", &["src", "fstype"]),
        ("state", "ephemeral", &["src", "fstype"]),
    ]),
    module("mysql_db", databases::MYSQL_DB_ARGS).from("community.mysql").group("all").checks(),
    module("mysql_user", databases::MYSQL_USER_ARGS)
        .from("community.mysql")
        .group("all")
        .checks()
        .exclusive(&[&["append_privs", "subtract_privs"]]),
    module("npm", packages::NPM_ARGS).from("community.general").checks().required_if(&[(
        "state",
        "absent",
        &["name"],
    )]),
    module("openssh_keypair", accounts::OPENSSH_KEYPAIR_ARGS)
        .from("community.crypto")
        .file_args()
        .checks(),
    module("openssl_csr", keys::OPENSSL_CSR_ARGS)
        .from("community.crypto")
        .file_args()
        .checks()
        .exclusive(&[&["privatekey_path", "privatekey_content"], &["subject", "subject_ordered"]])
        .together(&[&["authority_cert_issuer", "authority_cert_serial_number"]]),
    module("openssl_privatekey", keys::OPENSSL_PRIVATEKEY_ARGS)
        .from("community.crypto")
        .file_args()
        .checks()
        .required_if(&[("type", "ECC", &["curve"])]),
    module("package", packages::PACKAGE_ARGS).checks(),
    module("package_facts", commands::PACKAGE_FACTS_ARGS).checks(),
    module("ping", commands::PING_ARGS).checks(),
    module("pip", packages::PIP_ARGS)
        .checks()
        .one_of(&[&["name", "requirements"]])
        .exclusive(&[&["name", "requirements"], &["executable", "virtualenv"]]),
    module("postgresql_db", databases::POSTGRESQL_DB_ARGS)
        .from("community.postgresql")
        .group("all")
        .checks(),
    module("postgresql_privs", databases::POSTGRESQL_PRIVS_ARGS)
        .from("community.postgresql")
        .group("all")
        .checks(),
    module("postgresql_user", databases::POSTGRESQL_USER_ARGS)
        .from("community.postgresql")
        .group("all")
        .checks(),
    module("replace", files::REPLACE_ARGS).file_args().checks(),
    module("service", system::SERVICE_ARGS).checks().one_of(&[&[
        "state",
        "enabled",
        "masked",
        "daemon_reload",
        "daemon_reexec",
    ]]),
    module("service_facts", commands::SERVICE_FACTS_ARGS).checks(),
    module("setup", commands::SETUP_ARGS).checks(),
    module("slurp", files::SLURP_ARGS).checks(),
    module("stat", files::STAT_ARGS).checks(),
    module("synchronize", files::SYNCHRONIZE_ARGS).from("ansible.posix").checks(),
    module("sysctl", system::SYSCTL_ARGS).from("ansible.posix").checks().required_if(&[(
        "state",
        "present",
        &["value"],
    )]),
    module("systemd_service", system::SYSTEMD_SERVICE_ARGS)
        .aka(&["systemd"])
        .checks()
        .one_of(&[&["state", "enabled", "masked", "daemon_reload", "daemon_reexec"]])
        .required_by(&[("state", &["name"]), ("enabled", &["name"]), ("masked", &["name"])]),
    module("tempfile", files::TEMPFILE_ARGS),
    module("timezone", system::TIMEZONE_ARGS)
        .from("community.general")
        .checks()
        .one_of(&[&["hwclock", "name"]]),
    module("ufw", network::UFW_ARGS)
        .from("community.general")
        .checks()
        .exclusive(&[
            &["name", "proto", "logging"],
            &["direction", "interface_in"],
            &["direction", "interface_out"],
        ])
        .one_of(&[&["state", "default", "rule", "logging"]])
        .required_by(&[("interface", &["direction"])]),
    module("unarchive", files::UNARCHIVE_ARGS)
        .file_args()
        .checks()
        .exclusive(&[&["include", "exclude"]]),
    module("uri", network::URI_ARGS).file_args().exclusive(&[&["body", "src"]]),
    module("user", accounts::USER_ARGS).checks(),
    module("wait_for", commands::WAIT_FOR_ARGS),
    module("x509_certificate", keys::X509_CERTIFICATE_ARGS)
        .from("community.crypto")
        .file_args()
        .checks()
        .exclusive(&[
            &["csr_path", "csr_content"],
            &["privatekey_path", "privatekey_content"],
            &["ownca_path", "ownca_content"],
            &["ownca_privatekey_path", "ownca_privatekey_content"],
        ])
        .required_if(&[("state", "present", &["provider"])]),
];
