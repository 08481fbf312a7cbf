//! What goes to a host: bytes in memory, or a file of this side that is read as it goes.
//!
//! Many hosts may be given a large file at once; none of it waits in memory.

use super::execute::Call;
use super::outcome::failed;
use crate::template::{Checksums, Dialect, checksums, in_pieces};
use crate::value::Dict;
use crate::vault::{CANNOT_OPEN, is_encrypted};
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::block_in_place;
use updraft_base::{Digest, Hasher};
use updraft_remote::Session;
use updraft_wire::Put;

/// Text up to this many bytes travels inside a request. Longer files are read as they are sent.
pub(super) const INLINE: usize = 64 * 1024;

/// What is brought to a host.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// All of it.
    Whole(Arc<[u8]>),
    /// A file of this side.
    File {
        /// Where it lies.
        path: PathBuf,
        /// How long it is, in bytes.
        size: u64,
        /// What is in it.
        digest: Digest,
    },
}

/// Digests of files of this side. Many hosts are given the same one.
#[derive(Default)]
pub(crate) struct Digests(Mutex<HashMap<PathBuf, (Version, Digest)>>);

/// Tells one content of a file from another: device, inode, size, and when it was changed.
type Version = (u64, u64, u64, i64, i64);

fn version(meta: &Metadata) -> Version {
    (meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec())
}

impl Digests {
    /// The digest of a file, which is read where it has not been, or is another now.
    fn of(&self, path: &Path, meta: &Metadata) -> io::Result<Digest> {
        let now = version(meta);
        let known = |all: &HashMap<PathBuf, (Version, Digest)>| {
            all.get(path).filter(|(then, _)| *then == now).map(|(_, digest)| *digest)
        };
        if let Some(digest) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(digest);
        }
        let mut hasher = Hasher::default();
        let file = File::open(path)?;
        block_in_place(|| in_pieces(file, |piece| hasher.update(piece)))?;
        let digest = hasher.finish();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(path.to_owned(), (now, digest));
        Ok(digest)
    }
}

impl Content {
    /// A file of this side. One that is encrypted is what is in it, unless it is to go as it is.
    pub(super) fn of(call: &Call<'_>, path: &Path, decrypt: bool) -> Result<Self, Dict> {
        let cannot =
            |error: io::Error| failed(format!("cannot read `{}`: {error}", path.display()));
        let mut file = File::open(path).map_err(cannot)?;
        let meta = file.metadata().map_err(cannot)?;
        let mut head = Vec::with_capacity(INLINE);
        (&mut file).take(INLINE as u64).read_to_end(&mut head).map_err(cannot)?;
        if decrypt && is_encrypted(&head) {
            return decrypted(call, path).map(|plain| Self::Whole(plain.into()));
        }
        // What is no file in the usual sense has no size that one could rely on.
        if !meta.is_file() {
            file.read_to_end(&mut head).map_err(cannot)?;
        } else if meta.len() > INLINE as u64 {
            let digest = call.scope.shared.digests.of(path, &meta).map_err(cannot)?;
            return Ok(Self::File { path: path.to_owned(), size: meta.len(), digest });
        }
        Ok(Self::Whole(head.into()))
    }

    /// The text that can travel inside a request.
    pub(super) fn inline(&self) -> Option<&str> {
        match self {
            Self::Whole(bytes) if bytes.len() <= INLINE => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::Whole(bytes) => Digest::of(bytes),
            Self::File { digest, .. } => *digest,
        }
    }

    /// Its checksums as Ansible gives them.
    pub(super) fn checksums(&self) -> io::Result<Checksums> {
        match self {
            Self::Whole(bytes) => checksums(&**bytes),
            Self::File { path, .. } => checksums_of(path),
        }
    }

    /// Brings it to the host for as long as the connection lasts; where it lies there.
    pub(super) async fn staged(&self, session: &dyn Session, mode: u32) -> Result<String, Dict> {
        let (size, mut reader): (_, Box<dyn AsyncRead + Send + Unpin>) = match self {
            Self::Whole(bytes) => (bytes.len() as u64, Box::new(&**bytes)),
            Self::File { path, size, .. } => {
                let cannot = |error| failed(format!("cannot read `{}`: {error}", path.display()));
                (*size, Box::new(Here(File::open(path).map_err(cannot)?)))
            }
        };
        let put = Put { path: None, size, digest: self.digest(), mode, keep: false };
        let sent = session.put(put, &mut *reader).await;
        sent.map_err(|error| failed(updraft_base::chain(&error)))
    }
}

/// The checksums of a file of this side.
pub(super) fn checksums_of(path: &Path) -> io::Result<Checksums> {
    let file = File::open(path)?;
    block_in_place(|| checksums(file))
}

/// A file of this side, between its content and a session. Pieces of it are read and written where
/// they are asked for: that takes less time than to have another thread do it.
pub(super) struct Here(pub(super) File);

impl AsyncRead for Here {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.0.read(into.initialize_unfilled())?;
        into.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Here {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn decrypted(call: &Call<'_>, path: &Path) -> Result<Vec<u8>, Dict> {
    let vault = &call.scope.shared.world.vault;
    vault.read(path).map_err(|what| {
        if !what.starts_with(CANNOT_OPEN) || !vault.passwords().is_empty() {
            return failed(what);
        }
        // 2.19 has each action's own way to it.
        let task = match (call.context.world.dialect, call.module) {
            (Dialect::Core219, "copy" | "unarchive") => "Task failed: ",
            _ => "",
        };
        failed(format!(
            "{task}A vault password or secret must be specified to decrypt {}",
            path.display()
        ))
    })
}
