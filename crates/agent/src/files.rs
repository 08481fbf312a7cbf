//! Receiving and sending files, and writing them so that a reader sees the old or the new one.

use crate::blobs::Blobs;
use crate::connection::{Connection, Task, failure_cancelled};
use crate::failure::{refused, system};
use rustix::fs::{Gid, Uid};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use updraft_base::{Digest, Hasher};
use updraft_wire::{Failure, Put, Response};

/// Bytes of a file in one frame.
const CHUNK: usize = 256 << 10;

/// Receives a file and puts it in its place when it is whole and right.
pub(crate) fn put(
    connection: &Connection,
    put: &Put,
    chunks: &Receiver<Vec<u8>>,
) -> Result<Response, Failure> {
    let target = match &put.path {
        Some(path) => resolve(Path::new(path))?,
        None if put.keep => Blobs::place(connection, &put.digest)?,
        None => connection.staging.file()?,
    };
    let mode = if put.keep { 0o644 } else { put.mode & 0o7777 };
    let file = Beside::create(&target)?;
    let digest = receive(&file, put, chunks)?;
    file.finish(&target, mode)?;
    if put.keep {
        connection.blobs.arrived(&target);
    }
    let path = target.to_string_lossy().into_owned();
    Ok(Response::File { path, size: put.size, mode, digest })
}

/// Writes a small file whole: beside its place, synced, then renamed into it.
pub(crate) fn write(target: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    filled(target, content)?.finish(target, mode)
}

/// As [`write`], but the caller syncs, for several files at once.
pub(crate) fn place(target: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    filled(target, content)?.place(target, mode)
}

fn filled(target: &Path, content: &[u8]) -> Result<Beside, Failure> {
    let file = Beside::create(target)?;
    let fault = |fault| system(format_args!("cannot write `{}`", target.display()), fault);
    (&file.file).write_all(content).map_err(fault)?;
    Ok(file)
}

/// Sends a file.
pub(crate) fn get(
    connection: &Connection,
    task: &Arc<Task>,
    path: &str,
) -> Result<Response, Failure> {
    let fault = |fault: std::io::Error| system(format_args!("cannot read `{path}`"), fault);
    let mut file = File::open(path).map_err(fault)?;
    let facts = file.metadata().map_err(fault)?;
    if !facts.is_file() {
        return Err(refused(format_args!("`{path}` is not a regular file")));
    }
    let mut hasher = Hasher::default();
    let mut size = 0;
    loop {
        let mut chunk = vec![0; CHUNK];
        let length = file.read(&mut chunk).map_err(fault)?;
        if length == 0 {
            break;
        }
        chunk.truncate(length);
        hasher.update(&chunk);
        size += length as u64;
        if task.is_cancelled() || !connection.data(task.id, chunk) {
            return Err(failure_cancelled());
        }
    }
    connection.data(task.id, Vec::new());
    let mode = facts.mode() & 0o7777;
    Ok(Response::File { path: path.to_owned(), size, mode, digest: hasher.finish() })
}

/// Where a path leads: a link to a file is followed, so that the link stays one.
fn resolve(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_absolute() {
        return Err(refused(format_args!("`{}` is not an absolute path", path.display())));
    }
    if path.is_dir() {
        return Err(refused(format_args!("`{}` is a directory", path.display())));
    }
    if path.is_symlink() && path.exists() {
        return fs::canonicalize(path)
            .map_err(|fault| system(format_args!("cannot follow `{}`", path.display()), fault));
    }
    Ok(path.to_owned())
}

fn receive(file: &Beside, put: &Put, chunks: &Receiver<Vec<u8>>) -> Result<Digest, Failure> {
    let mut hasher = Hasher::default();
    let mut size = 0u64;
    loop {
        // The sender goes with the connection or a cancellation, so this wait ends.
        let Ok(chunk) = chunks.recv() else {
            return Err(failure_cancelled());
        };
        if chunk.is_empty() {
            break;
        }
        size += chunk.len() as u64;
        if size > put.size {
            return Err(refused("more bytes came than were announced"));
        }
        hasher.update(&chunk);
        (&file.file).write_all(&chunk).map_err(|fault| {
            system(format_args!("cannot write `{}`", file.path.display()), fault)
        })?;
    }
    let digest = hasher.finish();
    if size != put.size {
        return Err(refused(format_args!("{size} bytes came, {} were announced", put.size)));
    }
    if digest != put.digest {
        return Err(refused("the content is not the one that was announced"));
    }
    Ok(digest)
}

/// A file beside its final place, removed unless it gets there.
pub(crate) struct Beside {
    pub(crate) file: File,
    path: PathBuf,
    placed: bool,
}

impl Beside {
    pub(crate) fn create(target: &Path) -> Result<Self, Failure> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // A name may have 255 bytes (NAME_MAX), and ours is longer than the target's.
        let short: String = name.chars().take(32).collect();
        let path = target.with_file_name(format!(".{short}.updraft-{}", random()?));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|fault| {
            system(format_args!("cannot write beside `{}`", target.display()), fault)
        })?;
        Ok(Self { file, path, placed: false })
    }

    /// Gives the file its mode, and the owner of what it replaces, and renames it, all of it synced.
    pub(crate) fn finish(self, target: &Path, mode: u32) -> Result<(), Failure> {
        let fault = |fault: std::io::Error| {
            system(format_args!("cannot put `{}` in its place", target.display()), fault)
        };
        self.file.sync_all().map_err(fault)?;
        self.place(target, mode)?;
        if let Some(directory) = target.parent().and_then(|parent| File::open(parent).ok()) {
            // Some filesystems cannot sync a directory; the file's content is safe all the same.
            drop(directory.sync_all());
        }
        Ok(())
    }

    fn place(mut self, target: &Path, mode: u32) -> Result<(), Failure> {
        let fault = |fault: std::io::Error| {
            system(format_args!("cannot put `{}` in its place", target.display()), fault)
        };
        if let Ok(old) = fs::symlink_metadata(target)
            && rustix::process::geteuid().is_root()
        {
            let owner = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
            rustix::fs::fchown(&self.file, Some(owner.0), Some(owner.1))
                .map_err(|errno| fault(errno.into()))?;
        }
        self.file.set_permissions(Permissions::from_mode(mode)).map_err(fault)?;
        fs::rename(&self.path, target).map_err(fault)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.placed {
            // Nothing more can be done about a leftover than to have tried.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// 128 bits of chance in hexadecimal, from the kernel.
pub(crate) fn random() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|fault| system("cannot draw a random name", fault))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
