//! SSH host keys.

use super::ensure_file;
use crate::failure::system;
use crate::root::Root;
use crate::tell;
use crate::time::{Deadline, pause};
use rustix::process::{Pid, Signal};
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey};
use ssh_key::{LineEnding, PrivateKey};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
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
///
/// Here and not by ssh-keygen, whose start alone takes a tenth of a second of an emulated
/// processor, for which a machine that goes on from a template is waited for.
fn make(root: &Root, hostname: &str) -> Result<bool, Failure> {
    let fault = |why: &dyn std::fmt::Display| system("cannot make an SSH host key", why);
    if !root.at(DIRECTORY).is_dir() {
        return Ok(false);
    }
    let mut chance = [0; Ed25519PrivateKey::BYTE_SIZE];
    rustix::rand::getrandom(&mut chance, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| fault(&errno))?;
    let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&chance));
    key.set_comment(hostname);
    let private = key.to_openssh(LineEnding::LF).map_err(|error| fault(&error))?;
    let public = key.public_key().to_openssh().map_err(|error| fault(&error))?;
    let path = format!("{DIRECTORY}/ssh_host_ed25519_key");
    // The public half last: whoever sees it finds the other.
    ensure_file(root, &path, private.as_bytes(), 0o600)?;
    ensure_file(root, &format!("{path}.pub"), format!("{public}\n").as_bytes(), 0o644)
}

/// Where sshd says which process it is. It removes the file when it is told to start anew, and
/// writes another one when it listens again (OpenSSH 9.2, sshd.c, `sighup_restart` and `main`).
const PID_FILE: &str = "/run/sshd.pid";

/// An sshd that was told to start anew within its process.
pub(super) struct Relisten(Option<(u64, i64, i64)>);

/// An emulated sshd takes up to a second; one that was told not to write the file is waited for in
/// vain.
const RELISTENS: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

fn stamp() -> Option<(u64, i64, i64)> {
    let facts = fs::metadata(PID_FILE).ok()?;
    Some((facts.ino(), facts.mtime(), facts.mtime_nsec()))
}

impl Relisten {
    /// Whether there is anything to wait for.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.is_some()
    }

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

/// The program of an sshd that is given the keys by the one that listens, since OpenSSH 9.8. Before,
/// each connection had an sshd start anew and read the keys from their files (`-R`).
const SESSION: &str = "/usr/lib/openssh/sshd-session";

/// Lets a running sshd read its keys again, where it is the one that listens who reads them. It
/// would take a second of an emulated processor otherwise, and refuse connections meanwhile.
fn reload() -> Relisten {
    if !Path::new(SESSION).exists() {
        return Relisten(None);
    }
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

    #[test]
    #[expect(clippy::disallowed_methods, reason = "OpenSSH's own word on our key")]
    fn a_key_is_made_as_openssh_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path().to_owned());
        assert_eq!(make(&root, "web-1"), Ok(false), "a machine without OpenSSH needs no key");
        fs::create_dir_all(root.at(DIRECTORY)).unwrap();
        assert_eq!(make(&root, "web-1"), Ok(true));
        let path = root.at(&format!("{DIRECTORY}/ssh_host_ed25519_key"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let said = std::process::Command::new("ssh-keygen").arg("-y").arg("-f").arg(&path).output();
        let said = String::from_utf8(said.unwrap().stdout).unwrap();
        assert_eq!(host_keys(&root), [said.trim()]);
        assert!(said.trim().ends_with(" web-1"), "{said}");
    }

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
