//! What the caller knows about this computer and this user, handed in once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use updraft_base::{Clock, Digest, Secret};
use updraft_engine::CrashPlan;
use updraft_playbook::config::{Config, Setting, Source};
use updraft_playbook::template::{Dialect, Differences};
use updraft_playbook::vault::Vault;

/// What the caller knows. Environment variables are read in `cli` alone.
#[derive(Clone)]
pub struct Settings {
    /// The user's home, where it is known.
    pub home: Option<PathBuf>,
    /// Images and templates, shared by all sites of this user.
    pub store: PathBuf,
    /// Sockets of running guests.
    pub runtime: PathBuf,
    /// Login name, for the journal.
    pub user: String,
    /// Login name to use on other hosts when nothing else says one.
    pub login: String,
    /// Login name that the command line gave for hosts of an inventory.
    pub remote_user: Option<String>,
    /// Password for hosts of an inventory, that the person typed.
    pub password: Option<Secret<String>>,
    /// The command being run, as a person would type it; never with a secret in it.
    pub command: String,
    /// The agent that is put on machines: a static binary for this computer's architecture.
    /// Absent in a build without one.
    pub agent: Option<AgentProgram>,
    /// This program as a file, for what must go on when we are killed.
    pub program: Option<PathBuf>,
    /// The user's environment, for the `env` lookup of templates.
    pub environment: BTreeMap<String, String>,
    /// Directories that hold roles, after `roles/` beside a playbook.
    pub roles_path: Vec<PathBuf>,
    /// What `ansible.cfg` and the environment say.
    pub config: Arc<Config>,
    /// How playbooks are understood.
    pub dialect: Dialect,
    /// Where lines are noted that another dialect reads differently, if anybody wants to know.
    pub differences: Option<Arc<Differences>>,
    /// Passwords for what playbooks and inventories hold encrypted.
    pub vault: Arc<Vault>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How many steps run at once.
    pub width: usize,
    /// Die at this line of the journal: for crash tests.
    pub crash_at: Option<CrashPlan>,
    /// How long connections to hosts of an inventory are kept for later commands; `None`: not.
    pub keep: Option<Duration>,
    /// Socket of the user's SSH agent.
    pub ssh_auth_sock: Option<PathBuf>,
    /// Directories of modules that go before all others.
    pub module_path: Vec<PathBuf>,
}

/// What a command line says about connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connecting<'a> {
    /// Log in with this key.
    pub key: Option<&'a str>,
    /// Arguments for `ssh`, in place of those of `ansible.cfg`.
    pub common_args: Option<&'a str>,
    /// Arguments for `ssh`, beside those.
    pub extra_args: Option<&'a str>,
    /// Seconds until a connection must stand.
    pub timeout: Option<u32>,
}

impl Settings {
    /// What the command line says about connections outranks `ansible.cfg`; variables of hosts
    /// outrank both.
    pub fn connect(&mut self, told: &Connecting<'_>) {
        let config = Arc::make_mut(&mut self.config);
        if let Some(key) = told.key {
            config.private_key_file.value = Some(key.to_owned());
        }
        let common = told.common_args.map(str::to_owned);
        let common = common.or_else(|| config.ssh_common_args.value.take());
        let all: Vec<&str> = common.as_deref().into_iter().chain(told.extra_args).collect();
        config.ssh_common_args.value = (!all.is_empty()).then(|| all.join(" "));
        if let Some(seconds) = told.timeout {
            config.timeout = Setting { value: seconds.into(), from: Source::Asked };
        }
    }
}

/// The agent as a file's content. Its digest is computed once, when it is first asked for: megabytes
/// take milliseconds, and a plan asks several times.
#[derive(Clone, Debug)]
pub struct AgentProgram {
    bytes: &'static [u8],
    digest: Arc<OnceLock<Digest>>,
}

impl AgentProgram {
    /// The program with this content.
    pub fn new(bytes: &'static [u8]) -> Self {
        Self { bytes, digest: Arc::default() }
    }

    /// Its content.
    pub fn bytes(&self) -> &'static [u8] {
        self.bytes
    }

    /// The content's digest.
    pub fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| Digest::of(self.bytes))
    }
}
