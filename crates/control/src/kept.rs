//! Connections to hosts that are kept for later commands of the same user.

use crate::ControlError;
use crate::hosts::{agents_of, ssh_of};
use crate::settings::Settings;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use updraft_base::Digest;
use updraft_host::{Cmd, HostError, LocalHost};
use updraft_remote::Keeper;

/// Keeps connections for commands that ask at `socket`, until none has for as long as `idle`.
///
/// # Errors
/// When the socket cannot be made.
pub async fn keep(settings: &Settings, socket: &Path, idle: Duration) -> Result<(), ControlError> {
    let agents = agents_of(settings);
    updraft_remote::keep(ssh_of(settings), agents, socket, idle).await.map_err(|source| {
        ControlError::Host(HostError::File {
            act: "keep connections at",
            path: socket.to_owned(),
            source,
        })
    })
}

/// Whoever keeps connections for this user, if they want that.
pub(crate) fn keeper(settings: &Settings) -> Option<Keeper> {
    let (idle, program) = (settings.keep?, settings.program.clone()?);
    let socket = socket(settings)?;
    let at = socket.clone();
    let home = settings.home.clone();
    let auth_sock = settings.ssh_auth_sock.clone();
    let login = settings.login.clone();
    let start = move || {
        let mut cmd = Cmd::new(&program).arg("keep").arg(&at).arg(updraft_base::span::render(idle));
        cmd = cmd.env("USER", &login);
        if let Some(home) = &home {
            cmd = cmd.env("HOME", home);
        }
        if let Some(auth_sock) = &auth_sock {
            cmd = cmd.env("SSH_AUTH_SOCK", auth_sock);
        }
        cmd.cwd("/")
    };
    Some(Keeper::new(Arc::new(LocalHost), &socket, start))
}

/// Where this user's keeper listens. What its connections depend on is in the name: the program
/// that speaks over them, the network and the files it sees, and whose keys it uses.
fn socket(settings: &Settings) -> Option<PathBuf> {
    let program = std::fs::metadata(settings.program.as_ref()?).ok()?;
    let mut told = format!("{} {} {} ", program.dev(), program.ino(), program.mtime_nsec());
    for namespace in ["net", "mnt"] {
        let link = std::fs::read_link(format!("/proc/self/ns/{namespace}")).ok()?;
        told.push_str(&link.to_string_lossy());
    }
    for path in [&settings.home, &settings.ssh_auth_sock] {
        told.push_str(&format!("{path:?}"));
    }
    told.push_str(&settings.login);
    let name = Digest::of(told.as_bytes()).short();
    Some(settings.runtime.join("kept").join(name))
}
