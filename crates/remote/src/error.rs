//! What can go wrong between us and a machine.

use std::time::Duration;
use updraft_base::{Blame, Blamed};
use updraft_wire::{Failure, FailureKind, FrameError};

/// Why a machine could not be reached, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Nothing answers at its address.
    #[error("`{host}` cannot be reached: {reason}")]
    Unreachable {
        /// The host as the inventory names it.
        host: String,
        /// What the network said.
        reason: String,
    },
    /// It answers, but lets us not in.
    #[error("`{host}` does not let `{user}` in: {reason}")]
    AuthFailed {
        /// The host as the inventory names it.
        host: String,
        /// The login name that was tried.
        user: String,
        /// What was tried.
        reason: String,
    },
    /// Its key is in no known_hosts file.
    #[error("the host key of `{host}` is not known: {fingerprint}")]
    HostKeyUnknown {
        /// The host as the inventory names it.
        host: String,
        /// SHA-256 fingerprint of the key it showed.
        fingerprint: String,
        /// What makes the key known.
        fix: String,
    },
    /// Its key is another than the known one.
    #[error(
        "the host key of `{host}` is not the one in `{file}` line {line}: it shows {fingerprint}"
    )]
    HostKeyChanged {
        /// The host as the inventory names it.
        host: String,
        /// SHA-256 fingerprint of the key it showed.
        fingerprint: String,
        /// The known_hosts file that says otherwise.
        file: String,
        /// The line that says otherwise.
        line: usize,
        /// What forgets the old key.
        fix: String,
    },
    /// A setting of the user's ssh configuration or of the inventory makes no sense.
    #[error("the ssh settings of `{host}` cannot be used: {reason}")]
    Settings {
        /// The host as the inventory names it.
        host: String,
        /// What is wrong with them.
        reason: String,
    },
    /// The agent cannot run there.
    #[error("the agent cannot run on `{host}`: {reason}")]
    NoAgent {
        /// The host as the inventory names it.
        host: String,
        /// What stood in the way.
        reason: String,
    },
    /// The agent there speaks another version.
    #[error("the agent on `{host}` speaks version {theirs}, this updraft version {ours}")]
    Version {
        /// The host as the inventory names it.
        host: String,
        /// Our version.
        ours: u16,
        /// The agent's version.
        theirs: u16,
    },
    /// The connection ended; nobody knows what became of requests that had no answer yet.
    #[error("lost the connection to `{host}`: {reason}")]
    Lost {
        /// The host as the inventory names it.
        host: String,
        /// What is known of the cause.
        reason: String,
    },
    /// No answer in time; nobody knows whether the request was carried out.
    #[error("`{host}` did not answer within {}: {what}", updraft_base::span::render(*.within))]
    Deadline {
        /// The host as the inventory names it.
        host: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        within: Duration,
    },
    /// The agent could not do it.
    #[error("on `{host}`: {}", .failure.message)]
    Failed {
        /// The host as the inventory names it.
        host: String,
        /// What the agent said.
        failure: Failure,
    },
    /// The agent said something that makes no sense here.
    #[error("the agent on `{host}` gave an answer that does not fit the request")]
    Nonsense {
        /// The host as the inventory names it.
        host: String,
        /// What is wrong with it, when it is not even a message.
        source: Option<FrameError>,
    },
    /// Content that was to be sent could not be read, or fetched content not be written, here.
    #[error("cannot {act} the file for `{host}` here")]
    Local {
        /// The host as the inventory names it.
        host: String,
        /// `read` or `write`.
        act: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// A program on this computer is missing or failed.
    #[error("cannot reach `{host}` with the help of another program")]
    Helper {
        /// The host as the inventory names it.
        host: String,
        /// The cause.
        source: updraft_host::HostError,
    },
    /// What the process that keeps connections said about it.
    #[error("{said}")]
    Kept {
        /// The host as the inventory names it.
        host: String,
        /// The error it met, with its causes.
        said: String,
        /// What it advised.
        hint: Option<String>,
        /// Whether the host could not be reached at all.
        unreachable: bool,
        /// Who has to act.
        blame: Blame,
    },
    /// A task of ours ended in a panic; the other hosts go on.
    #[error("updraft failed while it worked on `{host}`: {said}")]
    Panicked {
        /// The host as the inventory names it.
        host: String,
        /// The panic's message.
        said: String,
    },
}

impl RemoteError {
    /// The host it is about.
    pub fn host(&self) -> &str {
        match self {
            Self::Unreachable { host, .. }
            | Self::AuthFailed { host, .. }
            | Self::HostKeyUnknown { host, .. }
            | Self::HostKeyChanged { host, .. }
            | Self::Settings { host, .. }
            | Self::NoAgent { host, .. }
            | Self::Version { host, .. }
            | Self::Lost { host, .. }
            | Self::Deadline { host, .. }
            | Self::Failed { host, .. }
            | Self::Nonsense { host, .. }
            | Self::Local { host, .. }
            | Self::Helper { host, .. }
            | Self::Kept { host, .. }
            | Self::Panicked { host, .. } => host,
        }
    }

    /// Whether the host could not be reached at all, which Ansible tells apart from a failure.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::AuthFailed { .. }
                | Self::HostKeyUnknown { .. }
                | Self::HostKeyChanged { .. }
                | Self::NoAgent { .. }
                | Self::Version { .. }
                | Self::Lost { .. }
                | Self::Deadline { .. }
                | Self::Helper { .. }
                | Self::Kept { unreachable: true, .. }
        )
    }
}

impl Blamed for RemoteError {
    fn blame(&self) -> Blame {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } | Self::Deadline { .. } => Blame::Passing,
            Self::Settings { .. } => Blame::Asked,
            Self::AuthFailed { .. }
            | Self::HostKeyUnknown { .. }
            | Self::HostKeyChanged { .. }
            | Self::NoAgent { .. }
            | Self::Version { .. }
            | Self::Local { .. } => Blame::World,
            Self::Helper { source, .. } => source.blame(),
            Self::Kept { blame, .. } => *blame,
            Self::Failed { failure, .. } => match failure.kind {
                FailureKind::Refused => Blame::Bug,
                FailureKind::System | FailureKind::Become => Blame::World,
                FailureKind::Deadline => Blame::Passing,
            },
            Self::Nonsense { .. } | Self::Panicked { .. } => Blame::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Kept { hint, .. } => hint.clone(),
            Self::HostKeyUnknown { fix, .. } => {
                Some(format!("compare the fingerprint with the host's own, then run: {fix}"))
            }
            Self::HostKeyChanged { fix, .. } => Some(format!(
                "if the host was rebuilt, forget its old key with: {fix}; if not, somebody else \
                 answers in its place"
            )),
            Self::AuthFailed { user, .. } => Some(format!(
                "see that `{user}` is the right login and that one of your keys is in its \
                 authorized_keys"
            )),
            Self::Version { .. } => {
                Some("build the image again, or let updraft replace the agent there".to_owned())
            }
            _ => None,
        }
    }
}
