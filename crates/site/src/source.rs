//! The seam to the files a site is read from.
//!
//! [`crate::load`] asks for each file it needs by the path it was named with. The real source reads
//! this computer's disk and is handed in by `control`.
//! Never here: opening files.

use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;
use std::io;

/// Where site files, and the files they name, come from.
pub trait Source {
    /// The whole content of a file.
    ///
    /// # Errors
    /// Whatever reading it came to; `NotFound` when it is not there.
    fn read(&self, path: &Utf8Path) -> io::Result<Vec<u8>>;

    /// Whether there is such a file.
    fn exists(&self, path: &Utf8Path) -> bool;

    /// The directory that `~/` stands for, where it is known.
    fn home(&self) -> Option<Utf8PathBuf>;
}

/// A source held in memory: for tests, rehearsals and files that are not on disk yet.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    files: BTreeMap<Utf8PathBuf, Vec<u8>>,
    home: Option<Utf8PathBuf>,
}

impl MemorySource {
    /// The same with one more file.
    #[must_use]
    pub fn with(mut self, path: impl Into<Utf8PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }

    /// The same with `~/` standing for `home`.
    #[must_use]
    pub fn at_home(mut self, home: impl Into<Utf8PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }
}

impl Source for MemorySource {
    fn read(&self, path: &Utf8Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        self.files.contains_key(path)
    }

    fn home(&self) -> Option<Utf8PathBuf> {
        self.home.clone()
    }
}
