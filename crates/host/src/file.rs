//! Files and directories of this computer.

use crate::HostError;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use updraft_base::ByteSize;

fn fault(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HostError {
    let path = path.to_owned();
    move |source| HostError::File { act, path, source }
}

fn missing_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, HostError> {
    missing_is_none(fs::read(path)).map_err(fault("read", path))
}

/// A name beside `path` that no other writer of this process or another uses.
fn beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}.{number}.tmp", std::process::id()))
}

pub(crate) fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), HostError> {
    let new = beside(path);
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
        // The mode given to open(2) is cut by the umask.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_dir(path.parent().unwrap_or(Path::new("/")))
    })();
    if written.is_err() {
        // What matters is the first error; the leftover has a name of its own.
        drop(fs::remove_file(&new));
    }
    written.map_err(fault("write", path))
}

fn sync_dir(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

pub(crate) fn publish(from: &Path, to: &Path) -> Result<(), HostError> {
    fn sync_all(path: &Path) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                sync_all(&entry.path())?;
            } else if kind.is_file() {
                File::open(entry.path())?.sync_all()?;
            }
        }
        sync_dir(path)
    }
    sync_all(from).map_err(fault("sync", from))?;
    fs::rename(from, to)
        .and_then(|()| sync_dir(to.parent().unwrap_or(Path::new("/"))))
        .map_err(fault("put in place", to))
}

pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<(), HostError> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(fault("make directory", path))
}

pub(crate) fn remove(path: &Path) -> Result<(), HostError> {
    let removed = match missing_is_none(fs::symlink_metadata(path)) {
        Ok(None) => return Ok(()),
        Ok(Some(found)) if found.is_dir() => fs::remove_dir_all(path),
        Ok(Some(_)) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    missing_is_none(removed).map(drop).map_err(fault("remove", path))
}

pub(crate) fn remove_empty_dir(path: &Path) -> Result<(), HostError> {
    match missing_is_none(fs::remove_dir(path)) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        other => other.map(drop).map_err(fault("remove directory", path)),
    }
}

pub(crate) fn list(path: &Path) -> Result<Vec<String>, HostError> {
    let Some(entries) = missing_is_none(fs::read_dir(path)).map_err(fault("list", path))? else {
        return Ok(Vec::new());
    };
    let names: io::Result<Vec<String>> =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect();
    let mut names = names.map_err(fault("list", path))?;
    names.sort();
    Ok(names)
}

pub(crate) fn free_space(path: &Path) -> Result<ByteSize, HostError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|errno| fault("ask for the free space of", path)(errno.into()))?;
    Ok(ByteSize::bytes(stat.f_bavail.saturating_mul(stat.f_frsize)))
}
