//! What a machine that others go on from does beforehand, so that none of them does it for the first
//! time while it is waited for: an agent's first use of anything finds its memory, looks for what the
//! kernel offers and waits for the disk.
//!
//! Whatever is tried out here is gone again. Never here: anything that would be missed if it failed.

use super::{HOSTNAME, MACHINE_ID, RECORD, accounts, apply, network};
use crate::root::Root;
use crate::{clock, tell};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use updraft_wire::{AdminAccount, Identity, Interface, Request, Seed};

/// Stands in for `/` meanwhile. In memory, as the real one's journal need not grow for it.
const STAGE: &str = "/run/updraft/rehearsal";

/// Files that an identity is written beside or into.
const FILES: &[&str] = &[
    "/etc/group",
    "/etc/gshadow",
    HOSTNAME,
    "/etc/hosts",
    MACHINE_ID,
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/shadow",
];

/// Directories that it makes something in.
const DIRECTORIES: &[&str] =
    &["/etc", "/etc/ssh", "/etc/sudoers.d", "/etc/systemd/network", "/home"];

/// Where the files are that a home begins with.
const SKELETON: &str = "/etc/skel";

/// What a login reads, beside the settings and modules of PAM.
const LOGIN: &[&str] =
    &["/etc/bash.bashrc", "/etc/hosts.allow", "/etc/hosts.deny", "/etc/login.defs", "/etc/motd"];

/// Where PAM's settings are.
const PAM: &[&str] = &["/etc/pam.d", "/etc/security"];

/// Where a system's libraries are; PAM's modules are in their `security`.
const LIBRARIES: &[&str] = &["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// Name of what is made and removed again in each directory.
const PROP: &str = ".updraft-rehearsal";

/// Becomes somebody else on a stage, and touches what that would touch here.
pub(super) fn rehearse(root: &Root) {
    if let Err(fault) = play(root) {
        // What goes on from here then takes longer, and nothing else.
        tell(&format!("updraft-agent: cannot rehearse: {fault}\n"));
    }
}

fn play(root: &Root) -> io::Result<()> {
    let stage = root.at(STAGE);
    set(root, &stage)?;
    let there = Root::below(stage.clone());
    let wanted = serde_json::to_vec(&Request::Identify(Box::new(somebody())))?;
    if let Request::Identify(wanted) = serde_json::from_slice(&wanted)? {
        apply(&there, &wanted).map_err(|failure| io::Error::other(failure.message))?;
    }
    fs::remove_dir_all(&stage)?;
    for directory in DIRECTORIES.iter().map(|path| root.at(path)).filter(|path| path.is_dir()) {
        let prop = directory.join(PROP);
        fs::create_dir_all(&prop)?;
        fs::write(prop.join("prop"), PROP)?;
        fs::remove_dir_all(&prop)?;
    }
    read_for_login(root);
    if root.is_system() {
        run_shell(root)?;
        clock::step(0).map_err(|failure| io::Error::other(failure.message))?;
        network::rehearse();
    }
    Ok(())
}

/// Reads what a login over SSH reads and nobody has read before. Each that goes on from here finds
/// it in memory, which they share.
fn read_for_login(root: &Root) {
    let mut modules = BTreeSet::new();
    for directory in PAM {
        let files = fs::read_dir(root.at(directory)).into_iter().flatten().flatten();
        for text in files.filter_map(|file| fs::read_to_string(file.path()).ok()) {
            let words = text.split_whitespace().filter(|word| word.ends_with(".so"));
            modules.extend(words.map(str::to_owned));
        }
    }
    for (library, module) in
        LIBRARIES.iter().flat_map(|all| modules.iter().map(move |one| (all, one)))
    {
        drop(fs::read(root.at(library).join("security").join(module)));
    }
    LOGIN.iter().for_each(|file| drop(fs::read(root.at(file))));
}

/// Runs the shell that people get, which brings it and its libraries into memory.
#[expect(
    clippy::disallowed_methods,
    reason = "the agent runs on targets, where nothing stands between it and the system"
)]
fn run_shell(root: &Root) -> io::Result<()> {
    Command::new(accounts::shell(root)).args(["-c", ":"]).stdin(Stdio::null()).output().map(drop)
}

/// Puts on the stage what is there and what an identity looks at.
fn set(root: &Root, stage: &Path) -> io::Result<()> {
    let on = |path: &str| stage.join(path.trim_start_matches('/'));
    for directory in DIRECTORIES.iter().chain(&[SKELETON, super::rest::RUN]) {
        fs::create_dir_all(on(directory))?;
    }
    for file in FILES {
        if let Ok(text) = fs::read(root.at(file)) {
            fs::write(on(file), text)?;
        }
    }
    for entry in fs::read_dir(root.at(SKELETON)).into_iter().flatten() {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::write(on(SKELETON).join(entry.file_name()), fs::read(entry.path())?)?;
        }
    }
    drop(fs::read(root.at(RECORD)));
    super::rest::mark(&Root::below(stage.to_owned()), "somebody else")
        .map_err(|failure| io::Error::other(failure.message))
}

/// With one of everything that an identity may have.
fn somebody() -> Identity {
    Identity {
        digest: "rehearsal".to_owned(),
        machine: "0".repeat(26),
        machine_id: "0".repeat(32),
        hostname: "rehearsal".to_owned(),
        domain: "rehearsal".to_owned(),
        interfaces: vec![Interface {
            mac: updraft_base::Mac::TEMPLATE,
            address: "192.0.2.2/24".to_owned(),
            gateway: Some("192.0.2.1".to_owned()),
        }],
        resolvers: vec!["192.0.2.1".to_owned()],
        hosts: vec![("192.0.2.2".to_owned(), vec!["rehearsal".to_owned()])].into(),
        host_keys: Vec::new(),
        admins: vec![AdminAccount {
            name: "rehearsal".to_owned(),
            keys: vec!["ssh-ed25519 AAAA rehearsal".to_owned()],
        }],
        time: Some(0),
        seed: Some(Seed("00".to_owned())),
        quiet_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::inherited::remember_boot;
    use super::super::{rest, tests::wanted};
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// Everything below a directory: paths, modes and content.
    fn tree(top: &Path) -> Vec<(String, u32, Vec<u8>)> {
        let mut all = Vec::new();
        let mut open = vec![top.to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let (path, facts) = (entry.as_ref().unwrap().path(), entry.unwrap().metadata());
                let facts = facts.unwrap();
                let text = if facts.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
                let shown = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
                all.push((shown, facts.permissions().mode() & 0o7777, text));
                if facts.is_dir() {
                    open.push(path);
                }
            }
        }
        all.sort();
        all
    }

    fn machine(directory: &Path) -> Root {
        let root = Root::below(directory.to_owned());
        for directory in DIRECTORIES.iter().chain(&[SKELETON, rest::RUN, "/var/lib/updraft"]) {
            fs::create_dir_all(root.at(directory)).unwrap();
        }
        fs::write(root.at("/etc/skel/.profile"), "umask 022\n").unwrap();
        for path in ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"] {
            fs::write(root.at(path), "root:x:0:0::/root:/bin/sh\n").unwrap();
        }
        fs::write(root.at("/etc/resolv.conf"), "nameserver 192.0.2.99\nnameserver 192.0.2.98\n")
            .unwrap();
        root
    }

    fn template() -> Identity {
        let nobody = Identity { time: None, ..somebody() };
        Identity { interfaces: Vec::new(), resolvers: Vec::new(), admins: Vec::new(), ..nobody }
    }

    #[test]
    fn a_rehearsal_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let root = machine(directory.path());
        apply(&root, &template()).unwrap();
        let before = tree(directory.path());
        play(&root).unwrap();
        assert_eq!(tree(directory.path()), before);
    }

    #[test]
    fn what_goes_on_from_a_rest_becomes_what_a_machine_that_boots_becomes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // A name that is shorter than the template's, and files that shrink.
        let wanted = Identity { hostname: "w".to_owned(), ..wanted() };
        let live = machine(one.path());
        apply(&live, &template()).unwrap();
        rest::rest(&live).unwrap();
        assert_eq!(super::super::machine(&live), Some("0".repeat(26)));
        apply(&live, &wanted).unwrap();
        rest::let_rest_go(&live).unwrap();
        let cold = machine(two.path());
        remember_boot(&cold, &wanted.machine).unwrap();
        apply(&cold, &wanted).unwrap();
        assert_eq!(tree(one.path()), tree(two.path()));
    }
}
