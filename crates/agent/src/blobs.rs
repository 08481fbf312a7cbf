//! Content that is kept under its digest, so that it travels to a machine once: foreign modules
//! and what they import.
//!
//! A blob is verified when it arrives and again before an agent uses it for the first time. Each
//! user keeps their own; the oldest give way.

use crate::connection::{Connection, lock};
use crate::failure::{refused, system};
use crate::files;
use crate::peer;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use updraft_base::{Digest, Hasher};
use updraft_wire::{Blob, Failure};

/// Blobs that are kept: a play of many modules has a few dozen of some kilobytes each.
const MOST: usize = 256;

/// Where root keeps them.
const OF_ROOT: &str = "/var/lib/updraft/modules";

/// What an agent knows of its blobs.
#[derive(Default)]
pub(crate) struct Blobs {
    /// Those whose content was seen to be right.
    verified: Mutex<HashSet<PathBuf>>,
}

impl Blobs {
    /// Where a blob with this digest belongs. The directory is there.
    pub(crate) fn place(connection: &Connection, digest: &Digest) -> Result<PathBuf, Failure> {
        Ok(directory(connection)?.join(digest.to_string()))
    }

    /// The blob as a file that can be read, or `None` when we do not have it.
    pub(crate) fn find(
        &self,
        connection: &Connection,
        blob: &Blob,
    ) -> Result<Option<PathBuf>, Failure> {
        let path = match &blob.path {
            Some(path) => PathBuf::from(path),
            None => Self::place(connection, &blob.digest)?,
        };
        if lock(&self.verified).contains(&path) && path.exists() {
            return Ok(Some(path));
        }
        let Ok(mut file) = File::open(&path) else { return Ok(None) };
        let mut hasher = Hasher::default();
        let mut chunk = vec![0; 64 << 10];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => hasher.update(&chunk[..length]),
                Err(fault) => {
                    return Err(system(format_args!("cannot read `{}`", path.display()), fault));
                }
            }
        }
        if hasher.finish() != blob.digest {
            if blob.path.is_some() {
                return Err(refused(format_args!("`{}` is not what was sent", path.display())));
            }
            // Cut short by a full disk, or changed: it comes anew.
            drop(fs::remove_file(&path));
            return Ok(None);
        }
        lock(&self.verified).insert(path.clone());
        Ok(Some(path))
    }

    /// Remembers that a blob just arrived whole, and makes room for others.
    pub(crate) fn arrived(&self, path: &Path) {
        lock(&self.verified).insert(path.to_owned());
        if let Some(directory) = path.parent() {
            trim(directory, MOST);
        }
    }

    /// A path to the blob that another user of this machine can read.
    pub(crate) fn for_others(connection: &Connection, path: &Path) -> Result<PathBuf, Failure> {
        let open = path.ancestors().skip(1).all(|above| {
            fs::metadata(above).is_ok_and(|facts| facts.permissions().mode() & 0o001 != 0)
        });
        if open {
            return Ok(path.to_owned());
        }
        let fault = |fault| system(format_args!("cannot hand on `{}`", path.display()), fault);
        let content = fs::read(path).map_err(fault)?;
        let copy = connection.staging.file()?;
        files::write(&copy, &content, 0o644)?;
        Ok(copy)
    }
}

/// The directory of this user's blobs.
fn directory(connection: &Connection) -> Result<PathBuf, Failure> {
    let me = rustix::process::geteuid();
    let wanted = if me.is_root() || !connection.root.is_system() {
        Some(connection.root.at(OF_ROOT))
    } else {
        peer::account(|account| account.uid == me.as_raw())
            .map(|account| PathBuf::from(account.home).join(".cache/updraft/modules"))
    };
    if let Some(path) = wanted {
        let mode = if me.is_root() { 0o755 } else { 0o700 };
        if path.is_dir() || fs::DirBuilder::new().recursive(true).mode(mode).create(&path).is_ok() {
            return Ok(path);
        }
    }
    // Without a home, or on a disk that takes nothing, they go with the connection.
    connection.staging.shared("blobs")
}

/// Removes the oldest files until `most` are left.
fn trim(directory: &Path, most: usize) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    if files.len() <= most {
        return;
    }
    files.sort();
    for (_, path) in &files[..files.len() - most] {
        // Whoever runs from it has it open; whoever needs it again is sent it again.
        drop(fs::remove_file(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_give_way() {
        let place = tempfile::tempdir().unwrap();
        let long_ago = std::time::UNIX_EPOCH;
        for number in 0..5u64 {
            let file = File::create(place.path().join(number.to_string())).unwrap();
            file.set_modified(long_ago + std::time::Duration::from_secs(number)).unwrap();
        }
        trim(place.path(), 2);
        let mut left: Vec<_> =
            fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["3", "4"]);
    }
}
