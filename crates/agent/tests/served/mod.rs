//! The real agent on its standard streams, for tests that speak to it.

use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use updraft_remote::AgentSession;

/// An interpreter or an agent that starts on a busy machine takes its time.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// An agent of this test's own, over a directory that stands in for `/`.
#[allow(dead_code, reason = "not every test looks at the agent's files or ends it")]
pub(crate) struct Served {
    pub(crate) session: AgentSession,
    pub(crate) child: Child,
    pub(crate) root: tempfile::TempDir,
}

impl Served {
    #[expect(clippy::disallowed_methods, reason = "the test starts the program it is about")]
    pub(crate) async fn start() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_updraft-agent"))
            .args(["serve", "--stdio", "--root"])
            .arg(root.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the agent starts");
        let stream = tokio::io::join(
            child.stdout.take().expect("a piped stdout"),
            child.stdin.take().expect("a piped stdin"),
        );
        let session = AgentSession::start("here", stream, SOON).await.expect("a session");
        Self { session, child, root }
    }
}
