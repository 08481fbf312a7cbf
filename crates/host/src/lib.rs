//! The seam to one computer: run a program, read, write atomically, list, remove, lock.
//!
//! [`Host`] is the seam, [`LocalHost`] the computer we run on. This is the only crate that starts
//! processes on the operator's machine, the only one that reads the real clock ([`SystemClock`])
//! and the only one that asks the operating system for chance ([`OsChance`]).
//! Never here: knowing what a program is good for, retries, anything about machines or sites.

mod attended;
mod cmd;
mod error;
mod file;
mod local;
mod lock;
mod process;
mod replace;
mod system;

pub use attended::{attended, attended_input, attended_output};
pub use cmd::{Cmd, CmdOutput};
pub use error::{HostError, package_of};
pub use local::LocalHost;
pub use lock::{FileLock, Holder};
pub use process::{Child, Ended};
pub use replace::replace_process;
pub use system::{OsChance, SystemClock};

use async_trait::async_trait;
use std::path::Path;
use updraft_base::ByteSize;

/// One computer, seen through what Updraft needs of it.
///
/// Paths are absolute, or relative to the working directory of this process for [`LocalHost`].
/// Everything may be repeated: removing what is not there and making what is there are no errors.
#[async_trait]
pub trait Host: Send + Sync {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// When it cannot be started, ends with a status that [`Cmd::accept`] does not allow, or is
    /// still running at its deadline; then it was killed together with its children.
    async fn run(&self, cmd: Cmd) -> Result<CmdOutput, HostError>;

    /// Starts a program and hands out its three streams. It is killed when the answer is dropped.
    /// The deadline of the [`Cmd`] does not apply: the caller watches.
    ///
    /// # Errors
    /// When it cannot be started.
    async fn spawn(&self, cmd: Cmd) -> Result<Child, HostError>;

    /// Starts a program in a session of its own, so that it outlives us, with both outputs
    /// appended to the file `log`. Returns its process id.
    ///
    /// # Errors
    /// When it cannot be started, or `log` cannot be written.
    async fn spawn_detached(&self, cmd: Cmd, log: &Path) -> Result<u32, HostError>;

    /// Content of a file; `None` when there is no such file.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError>;

    /// Puts a file in place as a whole: written beside it, synced, renamed, the directory synced.
    /// Whoever reads sees the old content or the new one, after a crash too.
    ///
    /// # Errors
    /// When it cannot be written; the old content is then untouched.
    async fn write_atomic(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), HostError>;

    /// Puts a finished directory in its final place on the same filesystem: every file in it is
    /// synced first, then it is renamed. Whoever looks sees all of it or nothing.
    ///
    /// # Errors
    /// When something cannot be synced, or `to` is there and not empty.
    async fn publish(&self, from: &Path, to: &Path) -> Result<(), HostError>;

    /// Makes a directory with its parents. `mode` applies to those that were made.
    ///
    /// # Errors
    /// When it cannot be made.
    async fn make_dir(&self, path: &Path, mode: u32) -> Result<(), HostError>;

    /// Removes a file, or a directory with everything in it. Symbolic links are not followed.
    ///
    /// # Errors
    /// When something of it is still there.
    async fn remove(&self, path: &Path) -> Result<(), HostError>;

    /// Removes a directory if nothing is in it; one that is not empty or not there is no error.
    ///
    /// # Errors
    /// When it is empty and cannot be removed.
    async fn remove_empty_dir(&self, path: &Path) -> Result<(), HostError>;

    /// Names in a directory, sorted; empty when there is no such directory.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    async fn list(&self, path: &Path) -> Result<Vec<String>, HostError>;

    /// Takes an exclusive lock, if nobody has it.
    ///
    /// # Errors
    /// [`HostError::Held`] when somebody has it, with what is known about them.
    async fn lock(&self, path: &Path, holder: Holder) -> Result<FileLock, HostError>;

    /// Room left for an unprivileged user on the filesystem that holds `path`, which must exist.
    ///
    /// # Errors
    /// When the filesystem does not tell.
    async fn free_space(&self, path: &Path) -> Result<ByteSize, HostError>;
}
