//! SSH host keys.

#![expect(
    clippy::disallowed_methods,
    reason = "the agent runs on targets, where nothing stands between it and the system"
)]

use super::ensure_file;
use crate::failure::system;
use crate::root::Root;
use crate::tell;
use crate::time::{Deadline, pause};
use rustix::process::{Pid, Signal};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use updraft_wire::{Failure, Identity};

const DIRECTORY: &str = "/etc/ssh";

/// Public SSH host keys, one line each.
pub(crate) fn host_keys(root: &Root) -> Vec<String> {
    let mut keys: Vec<String> = key_files(root, "_key.pub")
        .iter()
        .filter_map(|name| fs::read_to_string(root.at(&format!("{DIRECTORY}/{name}"))).ok())
        .map(|line| line.trim().to_owned())
        .collect();
    keys.sort();
    keys
}

/// Writes the given keys, or makes one where none is given and none is there. A running sshd is
/// told; the answer waits until it has heard.
pub(super) fn ensure_host_keys(root: &Root, wanted: &Identity) -> Result<Relisten, Failure> {
    let mut changed = false;
    for key in &wanted.host_keys {
        let path = format!("{DIRECTORY}/ssh_host_{}_key", key.algorithm);
        changed |= ensure_file(root, &path, key.private.as_bytes(), 0o600)?;
        ensure_file(root, &format!("{path}.pub"), format!("{}\n", key.public).as_bytes(), 0o644)?;
    }
    if wanted.host_keys.is_empty() && key_files(root, "_key").is_empty() {
        changed = make(root, &wanted.hostname)?;
    }
    if changed && root.is_system() { Ok(reload()) } else { Ok(Relisten(None)) }
}

/// Every file of a host key.
pub(super) fn key_paths(root: &Root) -> Vec<PathBuf> {
    let names = [key_files(root, "_key"), key_files(root, "_key.pub")].concat();
    names.iter().map(|name| root.at(&format!("{DIRECTORY}/{name}"))).collect()
}

fn key_files(root: &Root, end: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.at(DIRECTORY)) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with("ssh_host_") && name.ends_with(end)).collect()
}

/// Makes an ed25519 key. A machine without OpenSSH needs none.
fn make(root: &Root, hostname: &str) -> Result<bool, Failure> {
    let directory = root.at(DIRECTORY);
    if !directory.is_dir() {
        return Ok(false);
    }
    let said = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", hostname, "-f"])
        .arg(directory.join("ssh_host_ed25519_key"))
        .stdin(Stdio::null())
        .output();
    match said {
        Ok(said) if said.status.success() => Ok(true),
        Ok(said) => {
            let words = String::from_utf8_lossy(&said.stderr);
            Err(system("cannot make an SSH host key", words.trim()))
        }
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(fault) => Err(system("cannot make an SSH host key", fault)),
    }
}

/// Where sshd says which process it is. It removes the file when it is told to start anew, and
/// writes another one when it listens again (OpenSSH 9.2, sshd.c, `sighup_restart` and `main`).
const PID_FILE: &str = "/run/sshd.pid";

/// An sshd that was told to start anew within its process.
pub(super) struct Relisten(Option<(u64, i64, i64)>);

/// An emulated sshd takes 0.2 s; one that was told not to write the file is waited for in vain.
const RELISTENS: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

fn stamp() -> Option<(u64, i64, i64)> {
    let facts = fs::metadata(PID_FILE).ok()?;
    Some((facts.ino(), facts.mtime(), facts.mtime_nsec()))
}

impl Relisten {
    /// Waits until it listens with its new keys. One that does not say so is told from one that
    /// does only by the time that passes; connections read the keys anew in any case.
    pub(super) fn wait(self) {
        let Some(old) = self.0 else { return };
        let deadline = Deadline::after(RELISTENS);
        while stamp().is_none_or(|now| now == old) && !deadline.passed() {
            pause(LOOK_AGAIN);
        }
    }
}

/// Lets a running sshd read its keys again.
fn reload() -> Relisten {
    let old = stamp();
    let pid = fs::read_to_string(PID_FILE).ok();
    let pid = pid.and_then(|text| text.trim().parse().ok()).and_then(Pid::from_raw);
    let Some(pid) = pid else { return Relisten(None) };
    match rustix::process::kill_process(pid, Signal::HUP) {
        Ok(()) => Relisten(old),
        Err(rustix::io::Errno::SRCH) => Relisten(None),
        Err(fault) => {
            tell(&format!("updraft-agent: cannot tell sshd about its new keys: {fault}\n"));
            Relisten(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_key_that_is_there_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path().to_owned());
        let ssh: &Path = &root.at(DIRECTORY);
        fs::create_dir_all(ssh).unwrap();
        fs::write(ssh.join("ssh_host_rsa_key"), "old").unwrap();
        fs::write(ssh.join("ssh_host_rsa_key.pub"), "ssh-rsa OLD me\n").unwrap();
        assert_eq!(key_files(&root, "_key"), ["ssh_host_rsa_key"]);
        assert_eq!(host_keys(&root), ["ssh-rsa OLD me"]);
    }
}
