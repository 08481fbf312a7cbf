//! Why the computer did not do what it was asked.

use crate::Holder;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use updraft_base::{Blame, Blamed};

/// Why the computer did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The program is not installed.
    #[error("`{program}` is not installed")]
    Missing {
        /// Its name.
        program: String,
    },
    /// The program is there and could not be started.
    #[error("cannot start `{cmd}`")]
    Start {
        /// The command, redacted.
        cmd: String,
        /// Why.
        source: io::Error,
    },
    /// The program ended with a status that means failure.
    #[error("`{cmd}` ended with status {status}{}", told(.stderr))]
    Failed {
        /// The command, redacted.
        cmd: String,
        /// Exit status, or 128 plus the signal's number.
        status: i32,
        /// The last lines of its standard error.
        stderr: String,
    },
    /// The program was still running at its deadline and was killed.
    #[error("`{cmd}` was still running after {within:?} and was killed{}", told(.stderr))]
    Deadline {
        /// The command, redacted.
        cmd: String,
        /// The deadline.
        within: Duration,
        /// The last lines of its standard error.
        stderr: String,
    },
    /// Talking to a running program failed.
    #[error("lost `{cmd}`")]
    Lost {
        /// The command, redacted.
        cmd: String,
        /// Why.
        source: io::Error,
    },
    /// A program's output is not the JSON it ought to be.
    #[error("`{cmd}` did not print the JSON that was expected")]
    NotJson {
        /// The command, redacted.
        cmd: String,
        /// Where it stopped making sense.
        source: serde_json::Error,
    },
    /// A file or directory could not be used.
    #[error("cannot {act} `{path}`")]
    File {
        /// What was tried, as a verb: `read`, `write`, `remove`, ….
        act: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else has the lock.
    #[error("`{path}` is locked{}", holder.as_ref().map(|h| format!(" by {h}")).unwrap_or_default())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who has it, when they wrote it down already.
        holder: Option<Holder>,
    },
}

fn told(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

impl HostError {
    /// The disk is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::File { source, .. } | Self::Start { source, .. } | Self::Lost { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Failed { stderr, .. } | Self::Deadline { stderr, .. } => {
                stderr.contains("No space left on device")
            }
            Self::Missing { .. } | Self::NotJson { .. } | Self::Held { .. } => false,
        }
    }
}

impl Blamed for HostError {
    fn blame(&self) -> Blame {
        match self {
            Self::NotJson { .. } => Blame::Bug,
            Self::Held { .. } | Self::Deadline { .. } | Self::Lost { .. } => Blame::Passing,
            Self::Missing { .. } | Self::Start { .. } | Self::Failed { .. } | Self::File { .. } => {
                Blame::World
            }
        }
    }

    fn hint(&self) -> Option<String> {
        if self.is_disk_full() {
            return Some("free some disk space and run the same command again".to_owned());
        }
        match self {
            Self::Missing { program } => Some(match package_of(program) {
                Some(package) => format!("install it: apt-get install {package}"),
                None => format!("install `{program}` and run the same command again"),
            }),
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run as root, or as the user who owns it".to_owned())
            }
            _ => None,
        }
    }
}

/// The Debian package that brings a program we use.
pub fn package_of(program: &str) -> Option<&'static str> {
    let name = program.rsplit('/').next().unwrap_or(program);
    Some(match name {
        "qemu-system-x86_64" => "qemu-system-x86",
        "qemu-system-aarch64" => "qemu-system-arm",
        "qemu-img" => "qemu-utils",
        "mmdebstrap" => "mmdebstrap",
        "mke2fs" | "debugfs" | "resize2fs" => "e2fsprogs",
        "nft" => "nftables",
        "ip" | "ss" => "iproute2",
        "ssh" | "ssh-keygen" | "sftp" => "openssh-client",
        "newuidmap" | "newgidmap" => "uidmap",
        "unshare" | "setsid" | "flock" => "util-linux",
        "tar" => "tar",
        "cpio" => "cpio",
        "haproxy" => "haproxy",
        _ => return None,
    })
}
