//! The tables and their versions.

use super::{BUSY_WAIT, JournalError};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use std::path::Path;
use std::time::Duration;

/// Written into the file's header, so that a database of something else is told apart: `UPDR`.
const APPLICATION_ID: u32 = 0x5550_4452;

/// One entry per version: what leads from the version before to it. Entries are never changed once
/// released.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE state (
        key TEXT PRIMARY KEY NOT NULL,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        command TEXT NOT NULL,
        who TEXT NOT NULL,
        started TEXT NOT NULL,
        ended TEXT,
        outcome TEXT,
        why TEXT,
        work TEXT
    );
    CREATE TABLE records (
        run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
        seq INTEGER NOT NULL,
        step INTEGER NOT NULL,
        event TEXT NOT NULL,
        at TEXT NOT NULL,
        detail TEXT,
        PRIMARY KEY (run, seq)
    ) WITHOUT ROWID;
"];

/// The version this updraft writes.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Whether the schema can be used as it is. All of it is read at one moment: outside a transaction
/// another process could make the tables between two reads, and they would seem to be nobody's.
pub(super) fn is_current(connection: &mut Connection, path: &Path) -> Result<bool, JournalError> {
    let fault = |source| JournalError::Open { path: path.to_owned(), source };
    let transaction = connection.transaction().map_err(fault)?;
    let current = is_current_within(&transaction, path)?;
    transaction.finish().map_err(fault)?;
    Ok(current)
}

fn is_current_within(transaction: &Transaction<'_>, path: &Path) -> Result<bool, JournalError> {
    let fault = |source| JournalError::Open { path: path.to_owned(), source };
    let number = |name| {
        transaction.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).map_err(fault)
    };
    let (owner, version) = (number("application_id")?, number("user_version")?);
    if owner != APPLICATION_ID {
        let tables: u32 = transaction
            .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
            .map_err(fault)?;
        // A file without owner and tables is new, or its maker died before the first commit.
        return match (owner, version, tables) {
            (0, 0, 0) => Ok(false),
            _ => Err(JournalError::Foreign { path: path.to_owned() }),
        };
    }
    if version > VERSION {
        return Err(JournalError::Newer { path: path.to_owned(), found: version, known: VERSION });
    }
    Ok(version == VERSION)
}

/// Keeps the journal as a write-ahead log. SQLite does not wait where two connections turn a file
/// into one at once, for fear that each waits for the other: it is told to try again.
#[expect(clippy::disallowed_methods, reason = "the condition is another process's lock")]
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    const PAUSE: Duration = Duration::from_millis(5);
    let mut left = BUSY_WAIT;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && !left.is_zero() =>
            {
                std::thread::sleep(PAUSE);
                left = left.saturating_sub(PAUSE);
            }
            done => return done,
        }
    }
}

/// Sets the connection up for writing and brings the schema up to date.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), JournalError> {
    let fault = |source| JournalError::Open { path: path.to_owned(), source };
    let current = is_current(connection, path)?;
    write_ahead(connection)
        // FULL: with WAL, NORMAL may lose the last commits when the power goes (SQLite, "PRAGMA
        // synchronous"), and then a machine could exist that no line tells of.
        .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
        .and_then(|()| connection.pragma_update(None, "foreign_keys", true))
        .map_err(fault)?;
    if current {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
    // Another process may have done it while we waited for the lock.
    if !is_current_within(&transaction, path)? {
        let version: u32 = transaction
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(fault)?;
        for migration in &MIGRATIONS[version as usize..] {
            transaction.execute_batch(migration).map_err(fault)?;
        }
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .and_then(|()| transaction.pragma_update(None, "user_version", VERSION))
            .map_err(fault)?;
    }
    transaction.commit().map_err(fault)
}
