//! A conversation with one agent, whatever carries it.

use crate::RemoteError;
use async_trait::async_trait;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use updraft_wire::{Exec, Exit, Peer, Put, Request, Response};

/// Which of a command's two outputs a chunk belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Receives a command's output as it comes.
pub trait Output: Send {
    /// One chunk, in order within its stream.
    fn chunk(&mut self, stream: Stream, bytes: &[u8]);
}

/// A conversation with one agent.
///
/// Requests may overlap: many callers can share one session. Each wait has a deadline.
#[async_trait]
pub trait Session: Send + Sync {
    /// What the agent said of itself when the session began.
    fn peer(&self) -> &Peer;

    /// One request, one answer. [`Response::Failed`] is an answer, not an error.
    ///
    /// # Errors
    /// When the connection is lost or the deadline passes; then nobody knows whether the request
    /// was carried out.
    async fn call(&self, request: Request, within: Duration) -> Result<Response, RemoteError>;

    /// Runs a command and streams its output.
    ///
    /// # Errors
    /// As [`Session::call`]; a command that fails is not an error.
    async fn exec(&self, exec: Exec, output: &mut dyn Output) -> Result<Exit, RemoteError>;

    /// Sends a file. Returns the path it was written to.
    ///
    /// # Errors
    /// As [`Session::call`], and when the agent cannot write it; then the old file is untouched.
    async fn put(
        &self,
        put: Put,
        content: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<String, RemoteError>;

    /// Fetches a file; returns its permission bits.
    ///
    /// # Errors
    /// As [`Session::call`], and when the agent cannot read it.
    async fn get(
        &self,
        path: &str,
        into: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u32, RemoteError>;
}
