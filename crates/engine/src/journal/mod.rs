//! The truth about our own past, in one SQLite file beside the site file.
//!
//! It holds the runs with their steps, and the site's state: small values that outlive a run, such
//! as the site's id. Every write is one transaction that is on disk when the call returns. Calls
//! block for as long as the disk takes and may be made from several tasks at once.
//!
//! Never here: retries, what a step means, reading the clock.

mod runs;
mod schema;
mod state;
mod stored;

pub(crate) use runs::TakenUp;
pub use runs::{KEPT_RUNS, RunEnd, RunStart, RunSummary, Unfinished};
pub use state::StateWrite;
pub use stored::{StepEvent, StepRecord};

use crate::crash::{Crash, CrashPlan};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use updraft_base::{Blame, Blamed};

/// How long a write waits for another process's write to end. Ours take milliseconds; a backup or
/// a person with `sqlite3` may take longer.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// The record of runs and the site's state.
#[derive(Debug)]
pub struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    crash: Crash,
}

impl Journal {
    /// Opens the journal at `path`, making it and its directory if need be, and brings its schema
    /// up to date. Both are for their owner's eyes only.
    ///
    /// # Errors
    /// When it cannot be used, is no journal, or was written by a newer updraft.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        prepare_file(path)
            .map_err(|source| JournalError::File { path: path.to_owned(), source })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)
            .and_then(|connection| {
                connection.busy_timeout(BUSY_WAIT)?;
                Ok(connection)
            })
            .map_err(|source| JournalError::Open { path: path.to_owned(), source })?;
        schema::prepare(&mut connection, path)?;
        Ok(Self::over(connection))
    }

    /// Opens the journal at `path` for reading only; `None` when there is none yet. Writes nothing
    /// and waits for no disk. Every write through it fails.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_read(path: &Path) -> Result<Option<Self>, JournalError> {
        if !path.exists() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)
            .and_then(|connection| {
                connection.busy_timeout(BUSY_WAIT)?;
                Ok(connection)
            })
            .map_err(|source| JournalError::Open { path: path.to_owned(), source })?;
        if schema::is_current(&mut connection, path)? {
            return Ok(Some(Self::over(connection)));
        }
        // Of an older updraft, or one that died while making it: brought up to date by writing.
        drop(connection);
        Self::open(path).map(Some)
    }

    /// A journal that is gone when it is dropped: for rehearsals and tests.
    ///
    /// # Errors
    /// When SQLite has no memory.
    pub fn in_memory() -> Result<Self, JournalError> {
        let path = Path::new(":memory:");
        let mut connection = Connection::open_in_memory()
            .map_err(|source| JournalError::Open { path: path.to_owned(), source })?;
        schema::prepare(&mut connection, path)?;
        Ok(Self::over(connection))
    }

    fn over(connection: Connection) -> Self {
        Self { inner: Mutex::new(Inner { connection, crash: Crash::default() }) }
    }

    /// Makes the journal die where `plan` says; its lines are counted from the opening.
    pub fn plan_crash(&self, plan: CrashPlan) {
        self.lock().crash.plan = Some(plan);
    }

    /// Ends a pretended death: the journal is as the next process would open it, its lines are
    /// counted anew and no crash is planned.
    pub fn come_alive(&self) {
        self.lock().crash = Crash::default();
    }

    /// How many lines were written since the journal was opened: the number of places where a
    /// [`CrashPlan`] can strike.
    pub fn lines_written(&self) -> u64 {
        self.lock().crash.written()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in between leaves a transaction that its drop has rolled back.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads within one transaction, so that everything read is of one moment.
    fn read<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let mut inner = self.lock();
        if inner.crash.is_dead() {
            return Err(JournalError::Crashed);
        }
        let fault = |source| JournalError::Read { what, source };
        let transaction = inner.connection.transaction().map_err(fault)?;
        let value = work(&transaction)?;
        transaction.finish().map_err(fault)?;
        Ok(value)
    }

    /// Writes within one transaction that is on disk when this returns. `work` says how many
    /// lines it wrote.
    fn write<T, E: From<JournalError>>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<(u64, T), E>,
    ) -> Result<T, E> {
        let mut inner = self.lock();
        let Inner { connection, crash } = &mut *inner;
        if crash.is_dead() {
            return Err(JournalError::Crashed.into());
        }
        let fault = |source| JournalError::Write { what, source };
        // Taking the write lock at once: a transaction that begins by reading could find at its
        // first write that another process wrote in between, and would have to start over.
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
        let (lines, value) = work(&transaction)?;
        if !crash.survives_before(lines) {
            return Err(JournalError::Crashed.into());
        }
        transaction.commit().map_err(fault)?;
        if !crash.survives_after(lines) {
            return Err(JournalError::Crashed.into());
        }
        Ok(value)
    }
}

/// Makes the directory and the empty file, private from their first moment. SQLite gives the files
/// it makes beside it the same permissions.
fn prepare_file(path: &Path) -> std::io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !dir.exists() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let mut options = std::fs::File::options();
    options.read(true).write(true).mode(0o600);
    match options.create_new(true).open(path) {
        Ok(_) => {
            // SQLite syncs what it writes into the directory, but not the directory's own name.
            std::fs::File::open(dir)?.sync_all()?;
            let above = dir.canonicalize()?;
            match std::fs::File::open(above.parent().unwrap_or(&above)) {
                Ok(above) => above.sync_all(),
                // A directory we may pass but not read cannot be synced by us.
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
                Err(error) => Err(error),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Why the journal could not be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file or its directory cannot be made or opened.
    #[error("cannot use `{path}`")]
    File {
        /// The journal's file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite cannot open it.
    #[error("cannot open the journal `{path}`")]
    Open {
        /// The journal's file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A database of something else.
    #[error("`{path}` is not a journal of updraft")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by an updraft that knows more than this one.
    #[error("the journal `{path}` has version {found}, this updraft knows up to {known}")]
    Newer {
        /// The journal's file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// A read failed.
    #[error("cannot read {what} from the journal")]
    Read {
        /// What was read.
        what: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// A write failed; nothing of it was kept.
    #[error("cannot write {what} to the journal")]
    Write {
        /// What was written.
        what: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// Something in it does not make sense.
    #[error("the journal holds {what} that makes no sense: {found}")]
    Nonsense {
        /// What.
        what: &'static str,
        /// As found, shortened.
        found: String,
    },
    /// There is no such run.
    #[error("the journal knows no run {0}")]
    NoSuchRun(updraft_base::RunId),
    /// An earlier run was not brought to its end.
    #[error("run {0} was left unfinished")]
    Unfinished(updraft_base::RunId),
    /// The run is over.
    #[error("run {0} is over")]
    Over(updraft_base::RunId),
    /// A planned crash happened.
    #[error("the journal crashed as planned")]
    Crashed,
}

impl JournalError {
    fn sqlite(&self) -> Option<ErrorCode> {
        match self {
            Self::Open { source, .. } | Self::Read { source, .. } | Self::Write { source, .. } => {
                source.sqlite_error_code()
            }
            _ => None,
        }
    }
}

impl Blamed for JournalError {
    fn blame(&self) -> Blame {
        match self {
            Self::File { .. } | Self::Foreign { .. } | Self::Newer { .. } => Blame::World,
            Self::Unfinished(_) | Self::NoSuchRun(_) | Self::Over(_) => Blame::Asked,
            Self::Nonsense { .. } => Blame::World,
            Self::Crashed => Blame::Bug,
            Self::Open { .. } | Self::Read { .. } | Self::Write { .. } => match self.sqlite() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Blame::Passing,
                Some(
                    ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::ReadOnly
                    | ErrorCode::CannotOpen
                    | ErrorCode::PermissionDenied
                    | ErrorCode::NotADatabase
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::OutOfMemory
                    | ErrorCode::FileLockingProtocolFailed,
                ) => Blame::World,
                _ => Blame::Bug,
            },
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Newer { .. } => Some("run the updraft that wrote it, or a newer one".to_owned()),
            Self::Unfinished(_) => {
                Some("the same command again takes it up where it was left".to_owned())
            }
            _ => match self.sqlite()? {
                ErrorCode::DiskFull => Some("make room on the disk and try again".to_owned()),
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                    Some("another program holds the journal open for writing".to_owned())
                }
                ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt => Some(
                    "the file is damaged; put back a copy of it, or move it away and adopt what \
                     runs"
                        .to_owned(),
                ),
                _ => None,
            },
        }
    }
}

/// The start of a text that may be long, for an error.
fn shorten(text: &str) -> String {
    const ENOUGH: usize = 80;
    match text.char_indices().nth(ENOUGH) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
