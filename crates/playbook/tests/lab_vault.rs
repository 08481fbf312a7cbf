//! What we encrypt Ansible reads, and what Ansible encrypts we read.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test runs the reference")]

use std::path::{Path, PathBuf};
use std::process::Command;
use updraft_playbook::vault::{Password, SALT, Vault};

#[path = "referee_venv/venv.rs"]
mod venv;

const SECRET: &[u8] = b"letmein";

/// `ansible-vault` of the reference.
fn reference(args: &[&str], at: &Path) -> Vec<u8> {
    let program = venv::ansible().join("ansible-vault");
    let ran = Command::new(program).args(args).current_dir(at).env("HOME", at).output().unwrap();
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    ran.stdout
}

fn texts() -> [Vec<u8>; 5] {
    // Around the block of 16 bytes that texts are padded to, and what is no text at all.
    [b"a".to_vec(), vec![b'x'; 15], vec![b'x'; 16], vec![b'x'; 17], (0..=255).collect()]
}

fn file(at: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = at.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn files_are_exchanged_with_ansible_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    file(at, "password", SECRET);
    let password = Password::new("dev", SECRET.to_vec());
    let vault = Vault::new(vec![password.clone()], true);
    for (index, text) in texts().into_iter().enumerate() {
        let salt = [u8::try_from(index).unwrap(); SALT];
        let ours = password.encrypt(&text, Some("dev"), &salt).unwrap();
        file(at, "ours", ours.as_bytes());
        let args = ["decrypt", "--vault-id", "dev@password", "--output", "-", "ours"];
        assert_eq!(reference(&args, at), text, "Ansible reads text {index} of ours otherwise");

        file(at, "plain", &text);
        let args = ["encrypt", "--vault-id", "dev@password", "--output", "-", "plain"];
        let theirs = reference(&args, at);
        let opened = vault.open(&theirs).unwrap();
        assert_eq!(*opened.plain, text, "we read text {index} of Ansible's otherwise");
        assert_eq!(opened.id.as_deref(), Some("dev"));
    }
}
