//! Options of ad-hoc commands: one module on many hosts.

use super::VaultOptions;
use camino::Utf8PathBuf;
use clap::Args;
use std::path::PathBuf;
use updraft_control::{Connecting, Settings};

/// One module with its arguments, and how to run it.
#[derive(Args, Clone, Debug)]
pub(crate) struct AdHoc {
    /// The module to run, instead of a command.
    #[arg(short = 'm', long = "module-name", visible_alias = "module", value_name = "MODULE")]
    pub(crate) module: Option<String>,
    /// Its arguments: `key=value …`, or a JSON object.
    #[arg(short = 'a', long = "args", value_name = "ARGS", allow_hyphen_values = true)]
    pub(crate) module_args: Option<String>,
    /// Only these of the hosts.
    #[arg(short, long, value_name = "PATTERN", allow_hyphen_values = true)]
    pub(crate) limit: Option<String>,
    /// Variables: `key=value`, JSON, or `@file`.
    #[arg(short, long, value_name = "VARS")]
    pub(crate) extra_vars: Vec<String>,
    /// Say what would change, change nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// Show how files change.
    #[arg(short = 'D', long)]
    pub(crate) diff: bool,
    /// How to reach hosts that say nothing of it: ssh, local.
    #[arg(short, long, value_name = "WAY")]
    pub(crate) connection: Option<String>,
    /// Log in as this user.
    #[arg(short, long, value_name = "USER")]
    pub(crate) user: Option<String>,
    #[command(flatten)]
    pub(crate) become_: Become,
    #[command(flatten)]
    pub(crate) login: Login,
    /// One line for each host.
    #[arg(short, long)]
    pub(crate) one_line: bool,
    /// Write each host's result to a file in this directory.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) tree: Option<Utf8PathBuf>,
    /// Let it go on in the background for so many seconds.
    #[arg(short = 'B', long = "background", value_name = "SECONDS", default_value_t = 0)]
    pub(crate) background: u64,
    /// Seconds between two looks at what goes on in the background.
    #[arg(short = 'P', long = "poll", value_name = "SECONDS")]
    pub(crate) poll: Option<u64>,
    /// Seconds the module may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) task_timeout: u64,
    /// Look for files and variables beside a playbook here.
    #[arg(long, value_name = "DIR")]
    pub(crate) playbook_dir: Option<Utf8PathBuf>,
    /// Only list the hosts.
    #[arg(long)]
    pub(crate) list_hosts: bool,
    #[command(flatten)]
    pub(crate) vault: VaultOptions,
    /// Tell more.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Whether and how to become another user.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Become {
    /// Become another user.
    #[arg(short = 'b', long = "become")]
    pub(crate) become_other: bool,
    /// How to become another user: sudo, su.
    #[arg(long, value_name = "METHOD")]
    pub(crate) become_method: Option<String>,
    /// Whom to become.
    #[arg(long, value_name = "USER")]
    pub(crate) become_user: Option<String>,
    /// Ask for the password for becoming.
    #[arg(short = 'K', long = "ask-become-pass", conflicts_with = "become_password_file")]
    pub(crate) ask_become_pass: bool,
    /// A file with the password for becoming.
    #[arg(long, visible_alias = "become-pass-file", value_name = "FILE")]
    pub(crate) become_password_file: Option<Utf8PathBuf>,
}

/// How to prove who logs in, beside keys.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Login {
    /// Ask for the password to log in with.
    #[arg(short = 'k', long, conflicts_with = "password_file")]
    pub(crate) ask_pass: bool,
    /// A file with the password to log in with.
    #[arg(
        id = "password_file",
        long = "connection-password-file",
        visible_alias = "conn-pass-file",
        value_name = "FILE"
    )]
    pub(crate) password_file: Option<Utf8PathBuf>,
}

/// How to connect.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Connect {
    /// Log in with this key.
    #[arg(long, visible_alias = "key-file", value_name = "FILE")]
    pub(crate) private_key: Option<String>,
    /// Arguments for `ssh`.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub(crate) ssh_common_args: Option<String>,
    /// More arguments for `ssh`.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub(crate) ssh_extra_args: Option<String>,
    /// Taken for scripts that give it: files go through the connection there is.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, hide = true)]
    pub(crate) scp_extra_args: Option<String>,
    /// Taken for scripts that give it: files go through the connection there is.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, hide = true)]
    pub(crate) sftp_extra_args: Option<String>,
    /// A connection must stand within so many seconds.
    #[arg(short = 'T', long = "timeout", id = "connect_timeout", value_name = "SECONDS")]
    pub(crate) timeout: Option<u32>,
    /// Directories of modules, with colons between them, that go before all others.
    #[arg(short = 'M', long, value_name = "DIRS", value_delimiter = ':')]
    pub(crate) module_path: Vec<PathBuf>,
}

impl Connect {
    /// Lays this over what `ansible.cfg` says.
    pub(crate) fn apply(&self, settings: &mut Settings) {
        settings.connect(&Connecting {
            key: self.private_key.as_deref(),
            common_args: self.ssh_common_args.as_deref(),
            extra_args: self.ssh_extra_args.as_deref(),
            timeout: self.timeout,
        });
        settings.module_path.clone_from(&self.module_path);
    }
}

/// What `ansible` takes beside the pattern and the module.
#[derive(Args, Clone, Debug)]
pub(crate) struct AnsibleOnly {
    /// Inventory: file, directory, script or `host,host`.
    #[arg(short, long, visible_alias = "inventory-file", value_name = "INVENTORY")]
    pub(crate) inventory: Vec<String>,
    /// How many hosts at once.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) forks: Option<u16>,
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// Forget the facts of hosts that earlier runs kept (`fact_caching` of ansible.cfg).
    #[arg(long)]
    pub(crate) flush_cache: bool,
}
