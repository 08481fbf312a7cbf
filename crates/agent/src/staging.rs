//! Directories for files of passing interest, which go with the connection.
//!
//! Others may pass through them but not list them, and the names in them cannot be guessed: a file
//! can be handed to another user by telling its name. An agent that is killed leaves them behind;
//! the next agent of the same user removes them, because nobody holds their lock any more.

use crate::connection::lock;
use crate::failure::{refused, system};
use crate::files::{Beside, random};
use crate::peer;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, StatVfsMountFlags, Uid};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use updraft_wire::Failure;

/// Where they are made; the first that can be written is taken.
const PARENTS: &[&str] = &["/var/tmp", "/tmp", "/dev/shm"];

const PREFIX: &str = ".updraft-";

/// The directories of one connection, made when first needed.
#[derive(Default)]
pub(crate) struct Staging {
    files: Mutex<Option<Directory>>,
    /// Where programs may be run, which is not so everywhere.
    programs: Mutex<Option<Directory>>,
}

impl Staging {
    fn directory(&self) -> Result<PathBuf, Failure> {
        let mut known = lock(&self.files);
        if known.is_none() {
            PARENTS.iter().for_each(|parent| sweep(Path::new(parent)));
            *known = Some(Directory::create(PARENTS.iter().map(Path::new))?);
        }
        Ok(known.as_ref().expect("it was just made").path.clone())
    }

    /// A new file's path.
    pub(crate) fn file(&self) -> Result<PathBuf, Failure> {
        Ok(self.directory()?.join(random()?))
    }

    /// A directory that only its owner can enter.
    pub(crate) fn private(&self) -> Result<PathBuf, Failure> {
        let directory = self.directory()?.join("work");
        match fs::DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => Ok(directory),
            Err(fault) if fault.kind() == std::io::ErrorKind::AlreadyExists => Ok(directory),
            Err(fault) => Err(system("cannot make a staging directory", fault)),
        }
    }

    /// [`Staging::private`] for modules. Where it cannot be made they are told where that was tried
    /// first: what they write goes through the same refusal, and its reason is theirs to tell.
    pub(crate) fn for_modules(&self) -> PathBuf {
        self.private().unwrap_or_else(|_| PathBuf::from(PARENTS[0]))
    }

    /// A directory whose files others can read when they are told their names.
    pub(crate) fn shared(&self, name: &str) -> Result<PathBuf, Failure> {
        let directory = self.directory()?.join(name);
        match fs::DirBuilder::new().mode(0o711).create(&directory) {
            Ok(()) => Ok(directory),
            Err(fault) if fault.kind() == std::io::ErrorKind::AlreadyExists => Ok(directory),
            Err(fault) => Err(system("cannot make a staging directory", fault)),
        }
    }

    /// Lets another user read a staged file: by giving it to them where we may, else by letting
    /// everybody read it who knows its name.
    pub(crate) fn share(&self, path: &str, user: &str) -> Result<(), Failure> {
        let staged = lock(&self.files)
            .as_ref()
            .is_some_and(|directory| Path::new(path).parent() == Some(&*directory.path));
        if !staged {
            return Ok(());
        }
        let fault = |fault| system(format_args!("cannot hand a staged file to `{user}`"), fault);
        match peer::account(|account| account.name == user) {
            Some(account) if rustix::process::geteuid().is_root() => {
                let owner = Some(Uid::from_raw(account.uid));
                rustix::fs::chownat(CWD, path, owner, None, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| fault(errno.into()))
            }
            _ => fs::set_permissions(path, Permissions::from_mode(0o644)).map_err(fault),
        }
    }

    /// A copy of this program that every user can run.
    pub(crate) fn program(&self) -> Result<PathBuf, Failure> {
        let fault = |fault: std::io::Error| system("cannot copy the agent", fault);
        let mut known = lock(&self.programs);
        if known.is_none() {
            let fit = PARENTS.iter().map(Path::new).filter(|parent| !forbids_programs(parent));
            *known = Some(Directory::create(fit)?);
        }
        let copy = known.as_ref().expect("it was just made").path.join("agent");
        if !copy.exists() {
            let mut own = File::open("/proc/self/exe").map_err(fault)?;
            let beside = Beside::create(&copy)?;
            std::io::copy(&mut own, &mut &beside.file).map_err(fault)?;
            beside.finish(&copy, 0o755)?;
        }
        Ok(copy)
    }

    /// Removes them and all in them.
    pub(crate) fn remove(&self) {
        drop(lock(&self.files).take());
        drop(lock(&self.programs).take());
    }
}

/// A directory that is removed when it is dropped. Its lock says that somebody still needs it.
struct Directory {
    path: PathBuf,
    _lock: OwnedFd,
}

impl Directory {
    fn create<'a>(parents: impl Iterator<Item = &'a Path>) -> Result<Self, Failure> {
        let name = format!("{PREFIX}{}", random()?);
        let mut refusal = None;
        for parent in parents {
            match Self::create_at(parent.join(&name)) {
                Ok(directory) => return Ok(directory),
                Err(fault) => refusal = Some(fault),
            }
        }
        Err(match refusal {
            Some(fault) => system("cannot make a staging directory", fault),
            None => refused("no directory allows programs to be run from it"),
        })
    }

    fn create_at(path: PathBuf) -> std::io::Result<Self> {
        fs::DirBuilder::new().mode(0o711).create(&path)?;
        // Between these two calls another agent may have swept it; then this one fails, and the
        // next parent is tried.
        let lock = claim(&path)?;
        // The umask may have taken bits away.
        fs::set_permissions(&path, Permissions::from_mode(0o711))?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next agent.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Takes a directory's lock; fails when somebody has it.
fn claim(path: &Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let directory = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
    Ok(directory)
}

/// Removes directories of ours that agents left behind when they were killed.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    let me = rustix::process::geteuid().as_raw();
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let ours = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).is_some_and(|rest| {
            rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let path = entry.path();
        let is_mine = |path: &Path| {
            fs::symlink_metadata(path).is_ok_and(|facts| facts.is_dir() && facts.uid() == me)
        };
        if ours
            && is_mine(&path)
            && let Ok(_lock) = claim(&path)
        {
            // What cannot be removed stays for the next sweep.
            drop(fs::remove_dir_all(&path));
        }
    }
}

/// Whether programs cannot be run from there.
fn forbids_programs(directory: &Path) -> bool {
    rustix::fs::statvfs(directory)
        .is_ok_and(|facts| facts.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_agent_left_is_swept_and_what_lives_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Directory::create([parent.path()].into_iter()).unwrap();
        fs::write(alive.path.join("file"), "needed").unwrap();
        let dead = parent.path().join(format!("{PREFIX}{}", "0".repeat(32)));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("file"), "secret").unwrap();
        let others = parent.path().join(".updraft-agent-0");
        fs::create_dir(&others).unwrap();
        sweep(parent.path());
        assert!(alive.path.join("file").exists());
        assert!(!dead.exists());
        assert!(others.exists());
        let path = alive.path.clone();
        drop(alive);
        assert!(!path.exists());
    }
}
