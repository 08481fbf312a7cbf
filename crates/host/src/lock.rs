//! Locks that vanish with their holder, and say who it is.

use crate::HostError;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use updraft_base::Timestamp;

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Since when.
    pub since: Timestamp,
    /// What it is doing, as its user would say it: `updraft up`.
    pub command: String,
}

impl Holder {
    /// This process, doing `command` since `since`.
    pub fn this_process(command: impl Into<String>, since: Timestamp) -> Self {
        Self { pid: std::process::id(), since, command: command.into() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (process {}) since {}", self.command, self.pid, self.since)
    }
}

/// An exclusive lock on a file, held until it is dropped or the process ends, however it ends.
///
/// It is an `flock(2)` lock: children do not inherit it, because the descriptor closes on exec.
/// The file stays when the lock goes, empty, unless its holder removes it with
/// [`FileLock::remove`]: whoever then finds that the file it locked is not the one of that name
/// any more tries again.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    /// Takes the lock if nobody has it, and writes down who we are.
    ///
    /// # Errors
    /// [`HostError::Held`] when somebody has it.
    pub fn acquire(path: &Path, holder: &Holder) -> Result<Self, HostError> {
        let fault = |source| HostError::File { act: "lock", path: path.to_owned(), source };
        let mut patience = UNSIGNED_TRIES;
        let mut file = loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .map_err(fault)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_at(&file, path).map_err(fault)? => break file,
                // Its holder removed it between our two calls.
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let holder = read_holder(&mut file);
                    if holder.is_some() || patience == 0 {
                        return Err(HostError::Held { path: path.to_owned(), holder });
                    }
                    // Somebody has just taken it and not signed yet, or only asks who has it.
                    patience -= 1;
                    drop(rustix::thread::nanosleep(&UNSIGNED_PAUSE));
                }
                Err(error) => return Err(fault(error.into())),
            }
        };
        let text = serde_json::to_vec(holder).expect("a holder is JSON");
        file.set_len(0).and_then(|()| file.rewind()).map_err(fault)?;
        file.write_all(&text).map_err(fault)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Who has the lock now; `None` when nobody has it, or it cannot be told. Asking keeps nobody
    /// from taking it.
    pub fn holder(path: &Path) -> Option<Holder> {
        let mut file = File::open(path).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => None,
            Err(_) => read_holder(&mut file),
        }
    }

    /// Takes the lock, waiting until whoever has it lets go, at most `within`.
    ///
    /// `waiting` is told once who is waited for.
    ///
    /// # Errors
    /// [`HostError::Held`] when it is still held after `within`.
    pub async fn acquire_within(
        path: &Path,
        holder: &Holder,
        within: Duration,
        waiting: &(dyn Fn(Option<&Holder>) + Send + Sync),
    ) -> Result<Self, HostError> {
        let deadline = tokio::time::Instant::now() + within;
        let mut told = false;
        loop {
            match Self::acquire(path, holder) {
                Err(HostError::Held { path, holder }) => {
                    if tokio::time::Instant::now() >= deadline {
                        return Err(HostError::Held { path, holder });
                    }
                    if !told {
                        waiting(holder.as_ref());
                        told = true;
                    }
                    // There is no flock with a deadline; a tenth of a second is not felt by a
                    // caller who waits for another's work.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => return other,
            }
        }
    }

    /// Lets go and removes the lock file.
    ///
    /// # Errors
    /// When the file cannot be removed; the lock is free all the same.
    pub fn remove(self) -> Result<(), HostError> {
        crate::file::remove(&self.path)
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether the file of that name is this one.
fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// How often a lock that is held by somebody who has not signed is tried again.
const UNSIGNED_TRIES: u32 = 50;

/// How long between two such tries: signing takes microseconds.
const UNSIGNED_PAUSE: rustix::fs::Timespec = rustix::fs::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // What it said is no longer true. Should this fail, the next holder overwrites it.
        drop(self.file.set_len(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(command: &str) -> Holder {
        Holder::this_process(command, "2026-01-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_second_holder_is_refused_and_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = FileLock::acquire(&path, &holder("updraft up")).unwrap();
        let error = FileLock::acquire(&path, &holder("updraft down")).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("`updraft up`"), "{told}");
        assert!(told.contains("2026-01-01T00:00:00Z"), "{told}");
        drop(first);
        FileLock::acquire(&path, &holder("updraft down")).unwrap();
    }

    #[test]
    fn a_lock_file_that_was_removed_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        FileLock::acquire(&path, &holder("first")).unwrap().remove().unwrap();
        assert!(!path.exists());
        let _second = FileLock::acquire(&path, &holder("second")).unwrap();
        assert!(path.exists());
    }

    #[test]
    fn asking_who_has_a_lock_keeps_nobody_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(FileLock::holder(&path), None);
        let asker = File::create(&path).unwrap();
        flock(&asker, FlockOperation::LockShared).unwrap();
        let asking = std::thread::spawn(move || drop(asker));
        let held = FileLock::acquire(&path, &holder("updraft up")).unwrap();
        asking.join().unwrap();
        assert_eq!(FileLock::holder(&path).unwrap().command, "updraft up");
        drop(held);
        assert_eq!(FileLock::holder(&path), None);
    }

    #[tokio::test]
    async fn a_waiting_holder_gets_the_lock_when_it_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = FileLock::acquire(&path, &holder("first")).unwrap();
        let waiting = tokio::sync::Notify::new();
        let wait = async {
            FileLock::acquire_within(&path, &holder("second"), Duration::from_secs(20), &|who| {
                assert_eq!(who.map(|who| who.command.as_str()), Some("first"));
                waiting.notify_one();
            })
            .await
        };
        let release = async {
            waiting.notified().await;
            drop(first);
        };
        let (second, ()) = tokio::join!(wait, release);
        assert_eq!(second.unwrap().path(), path);
    }
}
