//! Accounts of admins: login, keys, the right to become root.

#![expect(
    clippy::disallowed_methods,
    reason = "the agent runs on targets, where nothing stands between it and the system"
)]

use super::{ALONE, Origin, WROTE, block, ensure_file, read};
use crate::failure::{refused, system};
use crate::files::random;
use crate::peer::{Account, accounts};
use crate::root::Root;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use updraft_wire::{AdminAccount, Failure, Identity};

const SUDOERS: &str = "/etc/sudoers.d/updraft-admins";

/// Where Debian's adduser begins with people (adduser.conf, FIRST_UID).
const FIRST_UID: u32 = 1000;
const LAST_UID: u32 = 59_999;

/// Sees to it that each admin has an account with these keys, and that those who no longer are
/// admins have none of our keys.
pub(super) fn ensure(
    root: &Root,
    wanted: &Identity,
    before: Option<&Identity>,
    origin: Origin,
) -> Result<(), Failure> {
    for admin in &wanted.admins {
        let account = match find(root, &admin.name)? {
            Some(account) => account,
            None => create(root, admin, origin)?,
        };
        ensure_keys(root, &account, &admin.keys)?;
    }
    let gone = before.iter().flat_map(|before| &before.admins);
    for admin in gone.filter(|old| wanted.admins.iter().all(|new| new.name != old.name)) {
        if let Some(account) = find(root, &admin.name)? {
            ensure_keys(root, &account, &[])?;
        }
    }
    ensure_sudoers(root, wanted)
}

fn find(root: &Root, name: &str) -> Result<Option<Account>, Failure> {
    Ok(accounts(&read(root, "/etc/passwd")?).find(|account| account.name == name))
}

fn create(root: &Root, admin: &AdminAccount, origin: Origin) -> Result<Account, Failure> {
    // A machine that goes on from a template is waited for, and useradd takes a third of a second
    // of an emulated processor.
    let by_tool = root.is_system() && origin != Origin::Memory;
    if !(by_tool && create_by_tool(root, admin)?) {
        create_by_hand(root, admin)?;
    }
    find(root, &admin.name)?
        .ok_or_else(|| system(format_args!("cannot create `{}`", admin.name), "it is not there"))
}

/// Creates an account with useradd, which knows the machine's own rules; returns whether there is
/// a useradd.
fn create_by_tool(root: &Root, admin: &AdminAccount) -> Result<bool, Failure> {
    let groups = read(root, "/etc/group")?;
    let prefix = format!("{}:", admin.name);
    let mut command = Command::new("useradd");
    command.args(["--create-home", "--shell", shell(root)]);
    // A star lets nobody in by password, and unlike a lock it lets sshd's keys be used without PAM.
    command.args(["--password", "*"]);
    if groups.lines().any(|line| line.starts_with(&prefix)) {
        command.args(["--gid", &admin.name]);
    }
    let said = command.arg("--").arg(&admin.name).stdin(Stdio::null()).output();
    match said {
        Ok(said) if said.status.success() => Ok(true),
        Ok(said) => {
            let words = String::from_utf8_lossy(&said.stderr);
            Err(system(format_args!("cannot create `{}`", admin.name), words.trim()))
        }
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(fault) => Err(system(format_args!("cannot create `{}`", admin.name), fault)),
    }
}

/// Which shell people get.
pub(super) fn shell(root: &Root) -> &'static str {
    if root.at("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" }
}

fn create_by_hand(root: &Root, admin: &AdminAccount) -> Result<(), Failure> {
    let name = &admin.name;
    let (passwd, group) = (read(root, "/etc/passwd")?, read(root, "/etc/group")?);
    let third = |text: &str| -> Vec<u32> {
        text.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect()
    };
    let (uids, gids) = (third(&passwd), third(&group));
    let id = (FIRST_UID..=LAST_UID)
        .find(|id| !uids.contains(id) && !gids.contains(id))
        .ok_or_else(|| system(format_args!("cannot create `{name}`"), "no user id is free"))?;
    let home = format!("/home/{name}");
    let append = |path: &str, mode: u32, line: String| -> Result<(), Failure> {
        let old = read(root, path)?;
        let prefix = format!("{name}:");
        if old.lines().any(|line| line.starts_with(&prefix)) {
            return Ok(());
        }
        let gap = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
        ensure_file(root, path, format!("{old}{gap}{line}\n").as_bytes(), mode).map(drop)
    };
    append("/etc/group", 0o644, format!("{name}:x:{id}:"))?;
    append("/etc/shadow", 0o640, format!("{name}:*::0:99999:7:::"))?;
    if root.at("/etc/gshadow").is_file() {
        append("/etc/gshadow", 0o640, format!("{name}:!::"))?;
    }
    append("/etc/passwd", 0o644, format!("{name}:x:{id}:{id}::{home}:{}", shell(root)))?;
    make_home(root, &home, id).map_err(|fault| system(format_args!("cannot make `{home}`"), fault))
}

fn make_home(root: &Root, home: &str, id: u32) -> std::io::Result<()> {
    let own = |path: &Path| match may_give_away() {
        true => Ok(rustix::fs::chownat(
            CWD,
            path,
            Some(Uid::from_raw(id)),
            Some(Gid::from_raw(id)),
            AtFlags::SYMLINK_NOFOLLOW,
        )?),
        false => Ok::<(), std::io::Error>(()),
    };
    let place = root.at(home);
    if place.exists() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&place)?;
    own(&place)?;
    let Ok(skeleton) = fs::read_dir(root.at("/etc/skel")) else {
        return Ok(());
    };
    for entry in skeleton {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            // Read and written, because whoever is told about copies of files takes longer.
            let copy = place.join(entry.file_name());
            let mode = entry.metadata()?.permissions().mode() & 0o777;
            super::write_there(&copy, &fs::read(entry.path())?, mode)?;
            own(&copy)?;
        }
    }
    Ok(())
}

fn may_give_away() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes the account's authorized_keys hold exactly these keys in our block.
///
/// The home belongs to a user who may put links anywhere in it, so nothing here follows one: each
/// step goes from an open directory to a name in it.
fn ensure_keys(root: &Root, account: &Account, keys: &[String]) -> Result<(), Failure> {
    let home = root.at(&account.home);
    let shown = home.join(".ssh/authorized_keys");
    let fault = |fault: Errno| {
        system(format_args!("cannot write `{}`", shown.display()), std::io::Error::from(fault))
    };
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let top = match rustix::fs::open(&home, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT) if keys.is_empty() => return Ok(()),
        Err(errno) => return Err(fault(errno)),
    };
    let open = || rustix::fs::openat(&top, ".ssh", directory, Mode::empty());
    let ssh = match open() {
        Ok(ssh) => ssh,
        Err(Errno::NOENT) if keys.is_empty() => return Ok(()),
        Err(Errno::NOENT) => {
            rustix::fs::mkdirat(&top, ".ssh", Mode::from_raw_mode(0o700)).map_err(fault)?;
            let ssh = open().map_err(fault)?;
            give(&ssh, account).map_err(fault)?;
            ssh
        }
        Err(Errno::LOOP | Errno::NOTDIR) => {
            let place = home.join(".ssh");
            return Err(refused(format_args!("`{}` is not a directory", place.display())));
        }
        Err(errno) => return Err(fault(errno)),
    };
    let old = read_keys(&ssh).map_err(fault)?;
    let new = block::replace(&old, keys);
    if new == old {
        return Ok(());
    }
    write_keys(&ssh, account, &new)
        .map_err(|error| system(format_args!("cannot write `{}`", shown.display()), error))
}

fn give(to: impl AsFd, account: &Account) -> Result<(), Errno> {
    if !may_give_away() {
        return Ok(());
    }
    rustix::fs::fchown(to, Some(Uid::from_raw(account.uid)), Some(Gid::from_raw(account.gid)))
}

fn read_keys(ssh: &OwnedFd) -> Result<String, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::openat(ssh, "authorized_keys", flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(String::new()),
        Err(errno) => return Err(errno),
    };
    let mut text = String::new();
    // More than any authorized_keys; the file belongs to somebody else.
    File::from(file).take(1 << 20).read_to_string(&mut text).map_err(|_| Errno::ILSEQ)?;
    Ok(text)
}

/// Of an authorized_keys.
const MODE: Mode = Mode::from_raw_mode(0o600);

fn write_keys(ssh: &OwnedFd, account: &Account, text: &str) -> std::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if ALONE.load(Ordering::Relaxed)
        && let Ok(file) = rustix::fs::openat(ssh, "authorized_keys", flags, MODE)
    {
        give(&file, account)?;
        return File::from(file).write_all(text.as_bytes());
    }
    let name = random().map_err(|failure| std::io::Error::other(failure.message))?;
    let beside = format!(".authorized_keys.updraft-{name}");
    let mut file = File::from(rustix::fs::openat(ssh, &*beside, flags, MODE)?);
    let write = || -> std::io::Result<()> {
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        give(&file, account)?;
        WROTE.store(true, Ordering::Relaxed);
        Ok(rustix::fs::renameat(ssh, &*beside, ssh, "authorized_keys")?)
    };
    let mut write = write;
    let outcome = write();
    if outcome.is_err() {
        // The first error is the one to tell.
        rustix::fs::unlinkat(ssh, &*beside, AtFlags::empty()).ok();
    }
    outcome
}

/// Gives the admins the right to become root, where sudo is there to give it.
fn ensure_sudoers(root: &Root, wanted: &Identity) -> Result<(), Failure> {
    let path = root.at(SUDOERS);
    let names = wanted.admins.iter().map(|admin| admin.name.as_str());
    let lines: Vec<String> = names
        .filter(|name| *name != "root")
        .map(|name| format!("{name} ALL=(ALL:ALL) NOPASSWD: ALL\n"))
        .collect();
    if lines.is_empty() || !root.at("/etc/sudoers.d").is_dir() {
        return match fs::remove_file(&path) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => {
                Err(system(format_args!("cannot remove `{SUDOERS}`"), fault))
            }
            _ => Ok(()),
        };
    }
    let text = format!("# Written by updraft, do not edit.\n{}", lines.concat());
    ensure_file(root, SUDOERS, text.as_bytes(), 0o440).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_a_home_leads_us_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path().to_owned());
        let (home, prey) = (root.at("/home/eve"), root.at("/prey"));
        fs::create_dir_all(&home).unwrap();
        fs::create_dir_all(&prey).unwrap();
        std::os::unix::fs::symlink(&prey, home.join(".ssh")).unwrap();
        let eve = Account { name: "eve".into(), uid: 1, gid: 1, home: "/home/eve".into() };
        let keys = ["ssh-ed25519 AAAA".to_owned()];
        assert!(ensure_keys(&root, &eve, &keys).is_err());
        assert_eq!(fs::read_dir(&prey).unwrap().count(), 0);

        fs::remove_file(home.join(".ssh")).unwrap();
        fs::create_dir(home.join(".ssh")).unwrap();
        fs::write(prey.join("file"), "untouched").unwrap();
        std::os::unix::fs::symlink(prey.join("file"), home.join(".ssh/authorized_keys")).unwrap();
        assert!(ensure_keys(&root, &eve, &keys).is_err());
        assert_eq!(fs::read_to_string(prey.join("file")).unwrap(), "untouched");
    }
}
