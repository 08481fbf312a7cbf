//! What a run needs from whoever starts it.

use async_trait::async_trait;
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use std::time::Duration;
use updraft_base::{Blame, Blamed};
use updraft_remote::Session;

/// A host to be reached, with everything said about how.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTarget {
    /// Its name in the inventory.
    pub name: String,
    /// Variables about the connection, rendered: `ansible_host`, `ansible_port`, … .
    pub vars: Map<String, Json>,
}

impl HostTarget {
    fn text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| match self.vars.get(*name)? {
            Json::String(text) if !text.is_empty() => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            _ => None,
        })
    }

    /// Where to connect to.
    pub fn address(&self) -> String {
        self.text(&["ansible_ssh_host", "ansible_host"]).unwrap_or_else(|| self.name.clone())
    }

    /// The port, if one is given.
    pub fn port(&self) -> Option<u16> {
        self.text(&["ansible_ssh_port", "ansible_port"])?.parse().ok()
    }

    /// The login name, if one is given.
    pub fn user(&self) -> Option<String> {
        self.text(&["ansible_ssh_user", "ansible_user"])
    }

    /// `local` when it is this computer itself.
    pub fn connection(&self) -> String {
        self.text(&["ansible_connection"]).unwrap_or_else(|| "ssh".to_owned())
    }

    /// Whether it is this computer itself.
    pub(crate) fn is_here(&self) -> bool {
        let by_itself = self.name == "localhost" && self.address() == "localhost";
        self.connection() == "local" || by_itself
    }

    /// The private key to log in with, if one is given.
    pub fn private_key(&self) -> Option<String> {
        self.text(&["ansible_ssh_private_key_file", "ansible_private_key_file"])
    }

    /// Arguments for `ssh`, if any are given.
    pub fn ssh_args(&self) -> Option<String> {
        let parts: Vec<String> = ["ansible_ssh_common_args", "ansible_ssh_extra_args"]
            .iter()
            .filter_map(|name| self.text(&[name]))
            .collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// A host could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ReachError {
    /// One sentence.
    pub message: String,
    /// Who has to act.
    pub blame: Blame,
}

impl Blamed for ReachError {
    fn blame(&self) -> Blame {
        self.blame
    }
}

/// Opens sessions. It may keep them and give the same one again.
#[async_trait]
pub trait Reach: Send + Sync {
    /// A session with the agent on a host.
    ///
    /// # Errors
    /// When the host cannot be reached; the run goes on without it.
    async fn session(&self, host: &HostTarget) -> Result<Arc<dyn Session>, ReachError>;

    /// The session with a host is no good any more: the next one is a new one.
    async fn forget(&self, host: &HostTarget);

    /// The next session with a host begins with a login of its own, also where connections are kept
    /// from run to run: what a login gives, such as groups, is another now.
    async fn log_in_anew(&self, host: &HostTarget);
}

/// The person who runs a playbook, and the time they have.
#[async_trait]
pub trait Operator: Send + Sync {
    /// Waits.
    async fn sleep(&self, span: Duration);

    /// Asks; `None` when there is nobody to ask.
    async fn ask(&self, question: &str, hidden: bool) -> Option<String>;
}
