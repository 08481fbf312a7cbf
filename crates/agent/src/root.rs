//! Where the machine's files are: `/`, or a directory that stands in for it.

use std::path::{Path, PathBuf};

/// The top of the file tree that identity and marks are kept in.
///
/// Below a directory, nothing but files is touched: no hostname is set, no address, no clock.
#[derive(Clone, Debug)]
pub(crate) struct Root(Option<PathBuf>);

impl Root {
    /// The running system.
    pub(crate) fn system() -> Self {
        Self(None)
    }

    /// A directory that holds a file tree.
    pub(crate) fn below(directory: PathBuf) -> Self {
        Self(Some(directory))
    }

    /// Where an absolute path of the machine really is.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        match &self.0 {
            None => PathBuf::from(path),
            Some(directory) => directory.join(path.trim_start_matches('/')),
        }
    }

    /// Whether this is the running system, whose kernel and services may be told.
    pub(crate) fn is_system(&self) -> bool {
        self.0.is_none()
    }

    /// The directory that stands in for `/`.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}
