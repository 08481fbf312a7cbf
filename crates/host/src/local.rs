//! The computer we run on.

use crate::{Child, Cmd, CmdOutput, FileLock, Holder, Host, HostError, file, process};
use async_trait::async_trait;
use std::path::Path;
use updraft_base::ByteSize;

/// The computer we run on.
///
/// File operations happen on the calling thread: they are small, except [`Host::remove`] and
/// [`Host::publish`], which go to a thread of their own because trees may be large.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalHost;

#[async_trait]
impl Host for LocalHost {
    async fn run(&self, cmd: Cmd) -> Result<CmdOutput, HostError> {
        process::run(cmd).await
    }

    async fn spawn(&self, cmd: Cmd) -> Result<Child, HostError> {
        process::spawn(cmd)
    }

    async fn spawn_detached(&self, cmd: Cmd, log: &Path) -> Result<u32, HostError> {
        process::spawn_detached(cmd, log)
    }

    async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        file::read(path)
    }

    async fn write_atomic(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), HostError> {
        file::write_atomic(path, bytes, mode)
    }

    async fn publish(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        let published = tokio::task::spawn_blocking(move || file::publish(&from, &to)).await;
        published.expect("syncing files does not panic")
    }

    async fn make_dir(&self, path: &Path, mode: u32) -> Result<(), HostError> {
        file::make_dir(path, mode)
    }

    async fn remove(&self, path: &Path) -> Result<(), HostError> {
        let path = path.to_owned();
        let removed = tokio::task::spawn_blocking(move || file::remove(&path)).await;
        removed.expect("removing files does not panic")
    }

    async fn remove_empty_dir(&self, path: &Path) -> Result<(), HostError> {
        file::remove_empty_dir(path)
    }

    async fn list(&self, path: &Path) -> Result<Vec<String>, HostError> {
        file::list(path)
    }

    async fn lock(&self, path: &Path, holder: Holder) -> Result<FileLock, HostError> {
        FileLock::acquire(path, &holder)
    }

    async fn free_space(&self, path: &Path) -> Result<ByteSize, HostError> {
        file::free_space(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use updraft_base::{Blame, Blamed};

    fn sh(script: &str) -> Cmd {
        Cmd::new("sh").args(["-c", script]).within(Duration::from_secs(20))
    }

    #[tokio::test]
    async fn a_child_sees_a_clean_environment_and_closed_input() {
        let names = async |cmd: Cmd| -> Vec<String> {
            let out = LocalHost.run(cmd).await.unwrap().text();
            let names = out.lines().map(|line| line.split('=').next().unwrap_or_default());
            let own = ["_", "SHLVL", "PWD", "OLDPWD"];
            names.filter(|name| !own.contains(name)).map(str::to_owned).collect()
        };
        let look = || sh("env | sort; cat");
        assert_eq!(names(look().env("COLOUR", "red")).await, ["COLOUR", "LC_ALL", "PATH"]);
        // Whose environment it is may have no locale.
        assert_eq!(names(look().environment([("COLOUR", "red")])).await, ["COLOUR", "PATH"]);
    }

    #[tokio::test]
    async fn input_of_any_size_reaches_the_child() {
        let bytes = vec![b'x'; 3 << 20];
        let out = LocalHost.run(Cmd::new("cat").stdin(bytes.clone())).await.unwrap();
        assert_eq!(out.stdout, bytes);
        // A child that does not care for its input is no error.
        LocalHost.run(Cmd::new("true").stdin(bytes)).await.unwrap();
    }

    #[tokio::test]
    async fn a_failure_tells_command_status_and_complaint() {
        let error = LocalHost.run(sh("echo oh no >&2; exit 3")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c 'echo oh no >&2; exit 3'` ended with status 3: oh no"
        );
        assert_eq!(LocalHost.run(sh("exit 3").accept(3)).await.unwrap().status, 3);
        assert_eq!(LocalHost.run(sh("kill -9 $$").accept_all()).await.unwrap().status, 137);
    }

    #[tokio::test]
    async fn a_missing_program_is_told_with_its_package() {
        let error = LocalHost.run(Cmd::new("/nowhere/qemu-img")).await.unwrap_err();
        assert_eq!(error.blame(), Blame::World);
        assert_eq!(error.hint().as_deref(), Some("install it: apt-get install qemu-utils"));
    }

    #[tokio::test]
    async fn a_deadline_ends_the_program_and_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("sleep 60 & echo $! > {}/pid; wait", dir.path().display());
        let cmd = sh(&script).within(Duration::from_millis(500));
        let error = LocalHost.run(cmd).await.unwrap_err();
        assert!(matches!(error, HostError::Deadline { .. }), "{error}");
        let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap();
        assert!(gone(pid.trim()).await, "the grandchild {pid} still runs");
    }

    #[tokio::test]
    async fn a_dropped_child_is_killed_with_its_children() {
        let mut child = LocalHost.spawn(sh("sleep 60 & echo $!; wait")).await.unwrap();
        let mut line = [0; 32];
        let read = child.stdout.read(&mut line).await.unwrap();
        let pid = String::from_utf8_lossy(&line[..read]).trim().to_owned();
        drop(child);
        assert!(gone(&pid).await, "the grandchild {pid} still runs");
    }

    #[tokio::test]
    async fn a_spawned_program_can_be_talked_to() {
        let mut child = LocalHost.spawn(Cmd::new("cat")).await.unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"hello").await.unwrap();
        drop(stdin);
        let mut text = String::new();
        child.stdout.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
        assert_eq!(child.wait().await.unwrap().status, 0);
    }

    #[tokio::test]
    async fn a_detached_program_leads_its_own_session_and_logs_to_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let script = sh("cut -d' ' -f6 /proc/$$/stat; echo done; echo bad >&2");
        let id = LocalHost.spawn_detached(script, &log).await.unwrap();
        assert!(gone(&id.to_string()).await);
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text, format!("{id}\ndone\nbad\n"));
    }

    #[tokio::test]
    async fn a_file_is_replaced_as_a_whole_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/file");
        assert!(LocalHost.write_atomic(&path, b"x", 0o600).await.is_err());
        LocalHost.make_dir(path.parent().unwrap(), 0o700).await.unwrap();
        LocalHost.make_dir(path.parent().unwrap(), 0o700).await.unwrap();
        LocalHost.write_atomic(&path, b"one", 0o666).await.unwrap();
        LocalHost.write_atomic(&path, b"two", 0o640).await.unwrap();
        assert_eq!(LocalHost.read(&path).await.unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(LocalHost.list(path.parent().unwrap()).await.unwrap(), ["file"]);
    }

    #[tokio::test]
    async fn a_directory_is_published_once() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for content in ["one", "two"] {
            std::fs::create_dir(&from).unwrap();
            std::fs::write(from.join("file"), content).unwrap();
            assert_eq!(LocalHost.publish(&from, &to).await.is_ok(), content == "one");
        }
        assert_eq!(std::fs::read_to_string(to.join("file")).unwrap(), "one");
    }

    #[tokio::test]
    async fn what_is_not_there_reads_as_nothing_and_is_removed_already() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("absent");
        assert_eq!(LocalHost.read(&path).await.unwrap(), None);
        assert!(LocalHost.list(&path).await.unwrap().is_empty());
        LocalHost.remove(&path).await.unwrap();
    }

    #[tokio::test]
    async fn removing_a_link_leaves_what_it_points_to() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, link) = (dir.path().join("kept"), dir.path().join("link"));
        std::fs::create_dir(&kept).unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        LocalHost.remove(&link).await.unwrap();
        assert_eq!(LocalHost.list(dir.path()).await.unwrap(), ["kept"]);
    }

    /// Waits, bounded, until a process has ended.
    async fn gone(pid: &str) -> bool {
        for _ in 0..200 {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            if matches!(state, None | Some('Z')) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}
