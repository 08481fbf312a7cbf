//! A conversation with one agent, whatever carries it.

use crate::RemoteError;
use async_trait::async_trait;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use updraft_wire::{Become, Chain, Exec, Exit, ModuleRequest, Peer, Put, Request, Response};

/// Longer than anything is waited for.
const DAY: Duration = Duration::from_secs(24 * 3600);

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

/// What modules that were asked for together answer. Dropping it before its end tells the agent to
/// stop.
#[async_trait]
pub trait Steps: Send {
    /// The answer to the next module; `None` when no more of them were run.
    ///
    /// # Errors
    /// As [`Session::call`].
    async fn next(&mut self, within: Duration) -> Result<Option<Response>, RemoteError>;
}

#[async_trait]
impl Steps for VecDeque<Response> {
    async fn next(&mut self, _within: Duration) -> Result<Option<Response>, RemoteError> {
        Ok(self.pop_front())
    }
}

/// The modules of a chain, for whoever asks for them one by one.
pub struct OneByOne {
    left: VecDeque<ModuleRequest>,
    become_user: Option<Become>,
    /// What was answered so far.
    pub answers: VecDeque<Response>,
}

impl OneByOne {
    /// The modules of a chain.
    pub fn of(chain: Chain) -> Self {
        let Chain { modules, become_user } = chain;
        Self { left: modules.into(), become_user, answers: VecDeque::new() }
    }

    /// The next module, as it is asked for alone; `None` at the end, and once none is run any more.
    #[expect(clippy::should_implement_trait, reason = "what comes next hangs on the answers")]
    pub fn next(&mut self) -> Option<ModuleRequest> {
        let goes_on = |last: &Response| matches!(last, Response::Module(it) if it.goes_on());
        if !self.answers.back().is_none_or(goes_on) {
            return None;
        }
        let module = self.left.pop_front()?;
        let become_user = self.become_user.clone().or(module.become_user);
        Some(ModuleRequest { become_user, ..module })
    }

    /// Takes the answer to the module that was given last.
    pub fn answered(&mut self, answer: Response) {
        self.answers.push_back(answer);
    }
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

    /// Has modules run one after the other, up to the first that does not do well, without asking
    /// in between. What they answer is fetched one by one as it comes.
    ///
    /// # Errors
    /// As [`Session::call`], when they could not be asked for at all.
    async fn chain(&self, chain: Chain) -> Result<Box<dyn Steps>, RemoteError> {
        // For sessions that are not far from anywhere: nothing is won by asking once.
        let mut modules = OneByOne::of(chain);
        while let Some(module) = modules.next() {
            modules.answered(self.call(Request::Module(module), DAY).await?);
        }
        Ok(Box::new(modules.answers))
    }

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
