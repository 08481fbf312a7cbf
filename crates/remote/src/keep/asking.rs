//! Asking the keeper, who is started when there is none.

use super::{Answer, Question, Want, Work, hear, is_ours, tell};
use crate::agent::STARTS_WITHIN;
use crate::{AgentSession, Output, RemoteError, SshTarget, Stream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};
use updraft_host::{Cmd, Host};
use updraft_wire::{Decoded, Decoder, Exit, Hello, Kind, OutputTag, Response};

/// How long a keeper may take to listen; it has nothing else to do first.
const START: Duration = Duration::from_secs(2);

const NONSENSE: &str = "the process that keeps the connection said something that makes no sense";

/// The way to whoever keeps connections.
pub struct Keeper {
    host: Arc<dyn Host>,
    socket: PathBuf,
    /// What starts one.
    command: Box<dyn Fn() -> Cmd + Send + Sync>,
    /// Whether one that we started listens. It is started once.
    started: OnceCell<bool>,
}

impl Keeper {
    /// Asks at `socket`. Where nobody listens, `command` starts a keeper.
    pub fn new(
        host: Arc<dyn Host>,
        socket: &Path,
        command: impl Fn() -> Cmd + Send + Sync + 'static,
    ) -> Self {
        Self {
            host,
            socket: socket.to_owned(),
            command: Box::new(command),
            started: OnceCell::new(),
        }
    }

    /// Runs shell text as [`crate::SshConnection::exec`] does. `None`: connect yourself.
    pub async fn exec(
        &self,
        target: &SshTarget,
        shell: &str,
        output: &mut dyn Output,
        within: Option<Duration>,
    ) -> Option<Result<Exit, RemoteError>> {
        let work = Work::Exec { shell: shell.to_owned(), within };
        let (mut line, _) = match self.ask(target, work).await? {
            Ok(begun) => begun,
            Err(refused) => return Some(Err(refused)),
        };
        let mut decoder = Decoder::new();
        let mut chunk = vec![0; 64 << 10];
        let lost = |reason: &str| {
            Some(Err(RemoteError::Lost { host: target.name.clone(), reason: reason.to_owned() }))
        };
        loop {
            match decoder.decode() {
                Ok(Some(Decoded::Preamble)) => {}
                Ok(Some(Decoded::Frame(frame))) if frame.kind == Kind::Output => {
                    match frame.chunk() {
                        Ok((OutputTag::Out, bytes)) => output.chunk(Stream::Out, bytes),
                        Ok((OutputTag::Err, bytes)) => output.chunk(Stream::Err, bytes),
                        Err(_) => return lost(NONSENSE),
                    }
                }
                Ok(Some(Decoded::Frame(frame))) => match frame.message() {
                    Ok(Response::Exec(exit)) => return Some(Ok(exit)),
                    Ok(Response::Failed(failure)) => return lost(&failure.message),
                    _ => return lost(NONSENSE),
                },
                Ok(None) => match line.read(&mut chunk).await {
                    Ok(length @ 1..) => decoder.push(&chunk[..length]),
                    _ => return lost("the process that kept the connection has gone"),
                },
                Err(_) => return lost(NONSENSE),
            }
        }
    }

    /// Begins a conversation as [`crate::SshConnection::agent`] does. `None`: connect yourself.
    pub async fn agent(&self, target: &SshTarget) -> Option<Result<AgentSession, RemoteError>> {
        match self.ask(target, Work::Agent).await? {
            Ok((line, Some(hello))) => Some(AgentSession::greeted(&target.name, line, hello)),
            Ok((line, None)) => Some(AgentSession::start(&target.name, line, STARTS_WITHIN).await),
            Err(refused) => Some(Err(refused)),
        }
    }

    /// Has whoever comes next log in anew. Where nothing is kept, that is so already.
    pub async fn forget(&self, target: &SshTarget) {
        if let Some(mut line) = self.connect().await
            && tell(&mut line, &Question { target: target.clone(), want: Want::Forget })
                .await
                .is_ok()
        {
            // Who has gone keeps nothing.
            hear::<Answer>(&mut line).await.ok();
        }
    }

    /// A line on which what was asked for follows, and the hello of an agent that has said it.
    async fn ask(
        &self,
        target: &SshTarget,
        work: Work,
    ) -> Option<Result<(UnixStream, Option<Hello>), RemoteError>> {
        let mut line = match self.connect().await {
            Some(line) => line,
            None if *self.started.get_or_init(|| self.start()).await => self.connect().await?,
            None => return None,
        };
        let want = Want::Begin(work);
        tell(&mut line, &Question { target: target.clone(), want }).await.ok()?;
        match hear(&mut line).await.ok()? {
            Answer::Ready => Some(Ok((line, None))),
            Answer::Greeted(hello) => Some(Ok((line, Some(hello)))),
            Answer::Direct => None,
            Answer::Refused(refusal) => Some(Err(refusal.into_error(&target.name))),
        }
    }

    /// Starts one who keeps connections; whether somebody listens then.
    async fn start(&self) -> bool {
        let log = self.socket.with_extension("log");
        let Some(folder) = self.socket.parent() else { return false };
        if self.host.make_dir(folder, 0o700).await.is_err() || self.host.remove(&log).await.is_err()
        {
            return false;
        }
        if self.host.spawn_detached((self.command)(), &log).await.is_err() {
            return false;
        }
        let until = Instant::now() + START;
        while Instant::now() < until {
            if self.connect().await.is_some() {
                return true;
            }
            sleep(Duration::from_millis(2)).await;
        }
        false
    }

    async fn connect(&self) -> Option<UnixStream> {
        UnixStream::connect(&self.socket).await.ok().filter(is_ours)
    }
}
