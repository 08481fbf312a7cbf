//! The real agent on its standard streams, for tests that speak to it.

mod chain;
mod foreign;
mod jobs;
mod requests;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use updraft_remote::{AgentSession, Session as _};
use updraft_wire::{Request, Response};

/// An interpreter or an agent that starts on a busy machine takes its time.
const SOON: Duration = Duration::from_secs(120);

/// An agent of this test's own, over a directory that stands in for `/`.
struct Served {
    session: AgentSession,
    child: Child,
    root: tempfile::TempDir,
}

/// Starts an agent on pipes.
#[expect(clippy::disallowed_methods, reason = "the test starts the program it is about")]
fn begin(root: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_updraft-agent"))
        .args(["serve", "--stdio", "--root"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the agent starts")
}

impl Served {
    async fn start() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut child = begin(root.path());
        let stream = tokio::io::join(
            child.stdout.take().expect("a piped stdout"),
            child.stdin.take().expect("a piped stdin"),
        );
        let session = AgentSession::start("here", stream, SOON).await.expect("a session");
        Self { session, child, root }
    }

    async fn ask(&self, request: Request) -> Response {
        self.session.call(request, SOON).await.expect("an answer")
    }
}

/// Waits until something is so; says what it waited for when it never is.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("after 10 s still not so: {what}");
}
