//! Has a guest go on when we are killed while it stands still for us.
//!
//! QEMU does not notice that whoever stopped a guest has died. So another process is started first,
//! in a session of its own, that looks at a lock of ours: the kernel frees it when we end, however
//! that is, and once the guest runs again we take its file away.

use crate::fault;
use crate::guest::Guest;
use crate::memory::let_go;
use crate::qmp::QmpError;
use std::path::Path;
use std::time::Duration;
use updraft_base::{Blamed as _, Timestamp};
use updraft_host::{Cmd, FileLock, Holder};
use updraft_provider::ProviderError;

/// The subcommand of our program that calls [`guard`].
const SUBCOMMAND: &str = "guard";

/// How often the lock is looked at: so much longer may a guest stand still whose holder was killed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Guest<'_> {
    /// From here on the guest goes on when the lock is dropped or we are killed. Whoever had it go
    /// on removes the lock. There is none where nobody said which program guards.
    pub(crate) async fn guarded(&self) -> Result<Option<FileLock>, ProviderError> {
        let Some(program) = self.guard else { return Ok(None) };
        let what = || format!("cannot have machine {} guarded", self.id);
        let path = self.place.run.join(format!("held-{}", std::process::id()));
        let holder = Holder::this_process("writing memory", Timestamp::UNIX_EPOCH);
        let lock = self.host.lock(&path, holder).await.map_err(fault(what()))?;
        let guard = Cmd::new(program).arg(SUBCOMMAND).arg(&path).arg(self.place.qmp_socket());
        let log = self.place.run.join("guard.log");
        self.host.spawn_detached(guard, &log).await.map_err(fault(what()))?;
        Ok(Some(lock))
    }
}

/// Waits until a lock is let go, and has the guest behind a monitor go on unless the lock was
/// removed: then somebody else did.
///
/// # Errors
/// When the guest has ended, or its monitor does not answer.
pub async fn guard(lock: &Path, monitor: &Path) -> Result<(), ProviderError> {
    while FileLock::holder(lock).is_some() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    if !lock.exists() {
        return Ok(());
    }
    let what = || "cannot have a guest go on that stands still".to_owned();
    let lost = |error: QmpError| ProviderError::new(error.blame(), what()).because(error);
    let_go(monitor).await.map_err(lost)?;
    // Nobody holds it any more, so taking it is removing it.
    let holder = Holder::this_process("letting go", Timestamp::UNIX_EPOCH);
    FileLock::acquire(lock, &holder).and_then(FileLock::remove).map_err(fault(what()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::UnixListener;

    /// A monitor of a guest that was stopped while its memory was written; returns what it was
    /// asked until its caller went.
    async fn monitor(listener: UnixListener) -> Vec<String> {
        let (stream, _) = listener.accept().await.unwrap();
        let (from, mut to) = tokio::io::split(stream);
        let mut lines = BufReader::new(from).lines();
        let (mut asked, mut migration) = (Vec::new(), "pre-switchover");
        to.write_all(b"{\"QMP\": {}}\n").await.unwrap();
        while let Some(line) = lines.next_line().await.unwrap() {
            let said: Value = serde_json::from_str(&line).unwrap();
            let command = said["execute"].as_str().unwrap().to_owned();
            let answer = match command.as_str() {
                "query-migrate" => json!({ "status": migration }),
                "query-status" => json!({ "status": "paused" }),
                _ => json!({}),
            };
            if command == "migrate_cancel" {
                migration = "cancelled";
            }
            asked.push(command);
            let answer = json!({ "return": answer, "id": said["id"] });
            to.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        }
        asked
    }

    #[tokio::test]
    async fn a_guest_goes_on_when_whoever_stopped_it_is_gone_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let (path, socket) = (dir.path().join("held"), dir.path().join("qmp"));
        let asked = tokio::spawn(monitor(UnixListener::bind(&socket).unwrap()));
        let holder = Holder::this_process("a test", Timestamp::UNIX_EPOCH);
        let lock = FileLock::acquire(&path, &holder).unwrap();
        let waiting = guard(&path, &socket);
        tokio::pin!(waiting);
        let early = tokio::time::timeout(LOOK_EVERY * 5, &mut waiting).await;
        assert!(early.is_err() && !asked.is_finished(), "it did not wait");
        drop(lock);
        waiting.await.unwrap();
        let asked = asked.await.unwrap();
        assert!(asked.contains(&"migrate_cancel".to_owned()), "{asked:?}");
        assert_eq!(asked.last().unwrap(), "cont");
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_guest_that_somebody_had_go_on_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("held");
        let holder = Holder::this_process("a test", Timestamp::UNIX_EPOCH);
        FileLock::acquire(&path, &holder).unwrap().remove().unwrap();
        guard(&path, &dir.path().join("no monitor")).await.unwrap();
        assert!(!path.exists());
    }
}
