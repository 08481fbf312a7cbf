//! This computer as a host: its agent is a child of ours.

use crate::agent::STARTS_WITHIN;
use crate::{AgentSession, RemoteError};
use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use updraft_host::{Child, Cmd, Host};

/// Starts the agent at `agent` on this computer, with the environment of whoever asks, which is what
/// modules and commands see. The agent ends with the conversation.
///
/// # Errors
/// When it cannot be started or does not answer.
pub async fn local_session(
    host: &dyn Host,
    agent: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<AgentSession, RemoteError> {
    let name = "localhost";
    let cmd = Cmd::new(agent).args(["serve", "--stdio"]).environment(environment);
    let child = host
        .spawn(cmd)
        .await
        .map_err(|source| RemoteError::Helper { host: name.to_owned(), source })?;
    AgentSession::start(name, Pipes(child), STARTS_WITHIN).await
}

/// The streams of a running child, which is killed when they are dropped.
struct Pipes(Child);

impl AsyncRead for Pipes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0.stdout).poll_read(context, into)
    }
}

impl AsyncWrite for Pipes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match &mut self.0.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(context, bytes),
            None => Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        match &mut self.0.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.0.stdin = None;
        Poll::Ready(Ok(()))
    }
}
