//! Machines as they are named to this crate, and the agent that is brought to them.

use crate::RemoteError;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use updraft_base::{Digest, Secret};

/// An SSH host as an inventory describes it. What is not said here comes from the user's ssh
/// configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SshTarget {
    /// Name in the inventory: what errors and output call it.
    pub name: String,
    /// `ansible_host`: what `ssh` would be given. May be an alias of the ssh configuration.
    pub address: String,
    /// `ansible_user`.
    pub user: Option<String>,
    /// `ansible_port`.
    pub port: Option<u16>,
    /// `ansible_ssh_private_key_file`.
    pub key: Option<PathBuf>,
    /// `ansible_ssh_common_args` and `ansible_ssh_extra_args`, split into words.
    pub args: Vec<String>,
    /// `ansible_host_key_checking`, where somebody said it: `false` accepts any key.
    pub check_host_key: Option<bool>,
    /// `ansible_password`: tried after the keys. It is never written anywhere, and such a connection
    /// is not kept by anybody else.
    #[serde(skip)]
    pub password: Option<Password>,
}

/// A password to log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password(pub Secret<String>);

// Equal passwords have equal hashes, as all others have; nothing of it gets out by its hash.
impl std::hash::Hash for Password {
    fn hash<H: std::hash::Hasher>(&self, _state: &mut H) {}
}

impl SshTarget {
    /// A host that is reached by its own name.
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { address: name.clone(), name, ..Self::default() }
    }

    /// Refuses what `ssh` would read as something else.
    pub(crate) fn check(&self) -> Result<(), RemoteError> {
        let fault = |reason: String| RemoteError::Settings { host: self.name.clone(), reason };
        if self.address.is_empty()
            || self.address.starts_with('-')
            || self.address.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err(fault(format!("`{}` is not an address", self.address)));
        }
        match &self.user {
            Some(user)
                if user.is_empty() || user.starts_with('-') || user.contains(['\0', '\n']) =>
            {
                Err(fault(format!("`{user}` is not a login name")))
            }
            _ => Ok(()),
        }
    }
}

/// What the ssh side needs to know of the person at this computer. The command line reads it from
/// the environment.
#[derive(Clone, Debug, Default)]
pub struct SshUser {
    /// The home directory.
    pub home: PathBuf,
    /// The login name here, which is the one there unless somebody says otherwise.
    pub name: String,
    /// Where `SSH_AUTH_SOCK` points.
    pub agent: Option<PathBuf>,
    /// Other variables that `ssh` should see, such as `KRB5CCNAME`.
    pub environment: Vec<(String, String)>,
}

/// An agent for one kind of processor.
#[derive(Clone)]
pub struct AgentBinary {
    /// As `uname -m` tells it.
    pub arch: String,
    /// The program.
    pub bytes: Arc<[u8]>,
    /// Its content's digest, which names it on targets.
    pub digest: Digest,
}

impl AgentBinary {
    /// An agent from its bytes.
    pub fn new(arch: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { arch: arch.into(), digest: Digest::of(&bytes), bytes }
    }
}

impl std::fmt::Debug for AgentBinary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgentBinary({} {})", self.arch, self.digest.short())
    }
}
