//! The site's state: small JSON values by key.

use super::{Journal, JournalError, shorten};
use rusqlite::{OptionalExtension as _, Transaction};
use serde::de::DeserializeOwned;
use serde_json::Value;

impl Journal {
    /// The value of a key.
    ///
    /// # Errors
    /// When the journal cannot be read, or holds something else under this key.
    pub fn state_get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, JournalError> {
        self.read("state", |transaction| get(transaction, key))
    }

    /// Every key that begins with `prefix`, in order, with its value. An empty prefix means all.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn state_all(&self, prefix: &str) -> Result<Vec<(String, Value)>, JournalError> {
        self.read("state", |transaction| all(transaction, prefix))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// When the journal cannot be written; then nothing has changed.
    pub fn state_put(&self, key: &str, value: &Value) -> Result<(), JournalError> {
        self.state_write(|state| state.put(key, value))
    }

    /// Forgets a key. One that is not there is no error.
    ///
    /// # Errors
    /// When the journal cannot be written; then nothing has changed.
    pub fn state_forget(&self, key: &str) -> Result<(), JournalError> {
        self.state_write(|state| state.forget(key))
    }

    /// Reads and writes state in one transaction: all of it is kept, or nothing when `work` fails.
    /// Nobody else writes in between. `work` must not use the journal in any other way.
    ///
    /// # Errors
    /// What `work` says; when the journal cannot be written.
    pub fn state_write<T, E: From<JournalError>>(
        &self,
        work: impl FnOnce(&mut StateWrite<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write("state", |transaction| {
            let mut state = StateWrite { transaction, lines: 0 };
            let value = work(&mut state)?;
            Ok((state.lines, value))
        })
    }
}

/// The state within one transaction. Reads see the writes before them.
#[derive(Debug)]
pub struct StateWrite<'a> {
    transaction: &'a Transaction<'a>,
    lines: u64,
}

impl StateWrite<'_> {
    /// The value of a key.
    ///
    /// # Errors
    /// When the journal cannot be read, or holds something else under this key.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, JournalError> {
        get(self.transaction, key)
    }

    /// Every key that begins with `prefix`, in order, with its value.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn all(&self, prefix: &str) -> Result<Vec<(String, Value)>, JournalError> {
        all(self.transaction, prefix)
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn put(&mut self, key: &str, value: &Value) -> Result<(), JournalError> {
        self.lines += 1;
        self.transaction
            .prepare_cached(
                "INSERT INTO state (key, value) VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET value = ?2",
            )
            .and_then(|mut put| put.execute((key, value.to_string())))
            .map(drop)
            .map_err(|source| JournalError::Write { what: "state", source })
    }

    /// Forgets a key.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn forget(&mut self, key: &str) -> Result<(), JournalError> {
        self.lines += 1;
        self.transaction
            .prepare_cached("DELETE FROM state WHERE key = ?1")
            .and_then(|mut forget| forget.execute([key]))
            .map(drop)
            .map_err(|source| JournalError::Write { what: "state", source })
    }
}

fn get<T: DeserializeOwned>(
    transaction: &Transaction<'_>,
    key: &str,
) -> Result<Option<T>, JournalError> {
    transaction
        .prepare_cached("SELECT value FROM state WHERE key = ?1")
        .and_then(|mut get| get.query_row([key], |row| row.get::<_, String>(0)).optional())
        .map_err(|source| JournalError::Read { what: "state", source })?
        .map(|text| parse(&text))
        .transpose()
}

fn all(transaction: &Transaction<'_>, prefix: &str) -> Result<Vec<(String, Value)>, JournalError> {
    let fault = |source| JournalError::Read { what: "state", source };
    // Keys are ordered by bytes, so those with the prefix follow each other from it on.
    let mut all = transaction
        .prepare_cached("SELECT key, value FROM state WHERE key >= ?1 ORDER BY key")
        .map_err(fault)?;
    let mut rows = all.query([prefix]).map_err(fault)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        let key: String = row.get(0).map_err(fault)?;
        if !key.starts_with(prefix) {
            break;
        }
        let value = parse(&row.get::<_, String>(1).map_err(fault)?)?;
        found.push((key, value));
    }
    Ok(found)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, JournalError> {
    serde_json::from_str(text)
        .map_err(|_| JournalError::Nonsense { what: "a state value", found: shorten(text) })
}
