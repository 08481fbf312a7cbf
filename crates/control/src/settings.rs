//! What the caller knows about this computer and this user, handed in once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use updraft_base::Clock;
use updraft_engine::CrashPlan;

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
    /// The command being run, as a person would type it; never with a secret in it.
    pub command: String,
    /// The agent that is put on machines: a static binary for this computer's architecture.
    /// Absent in a build without one.
    pub agent: Option<&'static [u8]>,
    /// The user's environment, for the `env` lookup of templates.
    pub environment: BTreeMap<String, String>,
    /// Directories that hold roles, after `roles/` beside a playbook.
    pub roles_path: Vec<PathBuf>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How many steps run at once.
    pub width: usize,
    /// Die at this line of the journal: for crash tests.
    pub crash_at: Option<CrashPlan>,
    /// Socket of the user's SSH agent.
    pub ssh_auth_sock: Option<PathBuf>,
}
