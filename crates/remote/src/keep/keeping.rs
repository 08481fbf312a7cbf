//! Keeping connections for commands that come and go.

use super::{Answer, Question, Refusal, Want, Work, hear, is_ours, tell};
use crate::agent::{LINE, answer_to, greeting};
use crate::ssh::{AgentStream, Running, SharedConnection};
use crate::{AgentBinary, Output, RemoteError, Ssh, SshTarget, Stream};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use updraft_wire::{Decoder, Failure, FailureKind, Frame, Hello, OutputTag, PREAMBLE, Response};

/// How often is looked for connections that nobody has used for long enough.
const LOOK: Duration = Duration::from_secs(1);

/// A connection that was used so recently is taken to live.
const FRESH: Duration = Duration::from_millis(500);

/// How long a host may take to show that it is still there, before it is connected to anew.
const ALIVE: Duration = Duration::from_secs(3);

/// Chunks of output on their way to a command.
const WAITING: usize = 16;

/// Largest read.
const CHUNK: usize = 64 << 10;

/// What is kept.
struct Kept {
    ssh: Arc<Ssh>,
    agents: Vec<AgentBinary>,
    hosts: std::sync::Mutex<HashMap<SshTarget, Arc<Slot>>>,
    /// Commands that are being served.
    busy: AtomicUsize,
}

/// One host. Whoever connects holds it, and others wait for that.
#[derive(Default)]
struct Slot {
    connection: Mutex<Option<Used>>,
}

struct Used {
    connection: Arc<SharedConnection>,
    /// An agent on it that serves nobody now, as soon as it is done with the command before.
    agent: Option<JoinHandle<Option<AgentStream>>>,
    last: Instant,
}

impl Used {
    fn new(connection: Arc<SharedConnection>) -> Self {
        Self { connection, agent: None, last: Instant::now() }
    }
}

/// Keeps connections for who asks at `socket`, until nobody has for as long as `idle`. Connections
/// that nobody has used for so long are closed.
///
/// # Errors
/// When the socket cannot be made. Somebody who listens there already is no error.
pub async fn keep(
    ssh: Arc<Ssh>,
    agents: Vec<AgentBinary>,
    socket: &Path,
    idle: Duration,
) -> io::Result<()> {
    let Some(listener) = listen(socket).await? else { return Ok(()) };
    let kept = Arc::new(Kept {
        ssh,
        agents,
        hosts: std::sync::Mutex::default(),
        busy: AtomicUsize::new(0),
    });
    let mut last = Instant::now();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            came = listener.accept() => {
                last = Instant::now();
                if let Ok((line, _)) = came && is_ours(&line) {
                    kept.busy.fetch_add(1, Ordering::Relaxed);
                    let kept = Arc::clone(&kept);
                    // Ends when the command does; a failure is the command's to see.
                    tokio::spawn(async move {
                        kept.serve(line).await.ok();
                        kept.busy.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            }
            _ = look.tick() => {
                kept.forget_unused(idle).await;
                if kept.busy.load(Ordering::Relaxed) > 0 {
                    last = Instant::now();
                } else if last.elapsed() >= idle {
                    break;
                }
            }
        }
    }
    // Who comes now finds nobody and starts another.
    std::fs::remove_file(socket)?;
    // What we were started with; it is empty unless we failed.
    std::fs::remove_file(socket.with_extension("log")).ok();
    kept.forget_unused(Duration::ZERO).await;
    Ok(())
}

/// Listens at a place where nobody does, or says that somebody does already.
async fn listen(socket: &Path) -> io::Result<Option<UnixListener>> {
    if let Ok(listener) = UnixListener::bind(socket) {
        return Ok(Some(listener));
    }
    if UnixStream::connect(socket).await.is_ok() {
        return Ok(None);
    }
    // Left behind by one that was killed.
    std::fs::remove_file(socket)?;
    UnixListener::bind(socket).map(Some)
}

impl Kept {
    async fn serve(&self, mut line: UnixStream) -> io::Result<()> {
        let Question { target, want } = hear(&mut line).await?;
        let work = match want {
            Want::Begin(work) => work,
            Want::Forget => {
                // Who still uses the connection holds it.
                drop(self.slot(&target).connection.lock().await.take());
                return tell(&mut line, &Answer::Ready).await;
            }
        };
        // The connection is in use for as long as we hold it.
        let (begun, connection) = match self.begin(&target, &work).await {
            Ok(Some(begun)) => begun,
            Ok(None) => return tell(&mut line, &Answer::Direct).await,
            Err(error) => {
                return tell(&mut line, &Answer::Refused(Refusal::of(&error))).await;
            }
        };
        match begun {
            Begun::Shell(running, within) => {
                tell(&mut line, &Answer::Ready).await?;
                pass(running, line, within).await
            }
            Begun::Agent(mut agent, hello) => {
                tell(&mut line, &hello.map_or(Answer::Ready, |hello| Answer::Greeted(*hello)))
                    .await?;
                if converse(line, &mut agent).await {
                    self.put_by(&target, &connection, agent).await;
                }
                Ok(())
            }
        }
    }

    /// Keeps an agent that has served a command for the next one.
    async fn put_by(
        &self,
        target: &SshTarget,
        connection: &Arc<SharedConnection>,
        agent: AgentStream,
    ) {
        let done = tokio::spawn(parted(agent));
        let slot = self.slot(target);
        let mut held = slot.connection.lock().await;
        let before = match &mut *held {
            Some(used) if Arc::ptr_eq(&used.connection, connection) => {
                used.last = Instant::now();
                used.agent.replace(done)
            }
            _ => Some(done),
        };
        drop(held);
        if let Some(before) = before
            && let Ok(Some(agent)) = before.await
        {
            end(agent).await;
        }
    }

    /// An agent that was kept, if it still answers.
    async fn agent(&self, target: &SshTarget) -> Option<(Begun, Arc<SharedConnection>)> {
        let slot = self.slot(target);
        let (agent, connection) = {
            let mut held = slot.connection.lock().await;
            let used = held.as_mut()?;
            (used.agent.take()?, Arc::clone(&used.connection))
        };
        let mut agent = agent.await.ok()??;
        let hello = timeout(ALIVE, greet(&mut agent)).await.ok()?.ok()?;
        Some((Begun::Agent(agent, Some(Box::new(hello))), connection))
    }

    /// Begins what is wanted on a connection to the host. Where a kept one has gone, or takes no
    /// more, another takes its place. `None` when only `ssh` itself can connect.
    async fn begin(
        &self,
        target: &SshTarget,
        work: &Work,
    ) -> Result<Option<(Begun, Arc<SharedConnection>)>, RemoteError> {
        if matches!(work, Work::Agent)
            && let Some(begun) = self.agent(target).await
        {
            return Ok(Some(begun));
        }
        let Some((connection, was_kept)) = self.connection(target).await? else { return Ok(None) };
        match self.begin_on(&connection, work).await {
            Err(RemoteError::Lost { .. } | RemoteError::Deadline { .. }) if was_kept => {
                *self.slot(target).connection.lock().await = None;
                let Some((connection, _)) = self.connection(target).await? else {
                    return Ok(None);
                };
                self.begin_on(&connection, work).await.map(|begun| Some((begun, connection)))
            }
            begun => begun.map(|begun| Some((begun, connection))),
        }
    }

    async fn begin_on(
        &self,
        connection: &SharedConnection,
        work: &Work,
    ) -> Result<Begun, RemoteError> {
        match work {
            Work::Exec { shell, within } => {
                Ok(Begun::Shell(connection.begin(shell).await?, *within))
            }
            Work::Agent => Ok(Begun::Agent(connection.agent_stream(&self.agents).await?, None)),
        }
    }

    fn slot(&self, target: &SshTarget) -> Arc<Slot> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hosts.entry(target.clone()).or_default())
    }

    /// A connection to the host, and whether it was kept. `None` when only `ssh` itself can.
    async fn connection(
        &self,
        target: &SshTarget,
    ) -> Result<Option<(Arc<SharedConnection>, bool)>, RemoteError> {
        let slot = self.slot(target);
        let mut held = slot.connection.lock().await;
        if let Some(used) = &mut *held {
            let fresh = used.last.elapsed() < FRESH;
            if fresh || timeout(ALIVE, used.connection.is_alive()).await.unwrap_or(false) {
                used.last = Instant::now();
                return Ok(Some((Arc::clone(&used.connection), true)));
            }
            *held = None;
        }
        let Some(connection) = self.ssh.connect(target).await?.shared() else { return Ok(None) };
        let connection = Arc::new(connection);
        *held = Some(Used::new(Arc::clone(&connection)));
        Ok(Some((connection, false)))
    }

    /// Closes connections that nobody has used for so long. One that serves a command is in use.
    async fn forget_unused(&self, idle: Duration) {
        let slots: Vec<(SshTarget, Arc<Slot>)> = {
            let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            hosts.iter().map(|(target, slot)| (target.clone(), Arc::clone(slot))).collect()
        };
        for (target, slot) in slots {
            // Whoever holds it is connecting.
            let Ok(mut held) = slot.connection.try_lock() else { continue };
            let Some(used) = &mut *held else { continue };
            if Arc::strong_count(&used.connection) > 1 {
                used.last = Instant::now();
            } else if used.last.elapsed() >= idle
                && let Some(used) = held.take()
            {
                if let Some(connection) = Arc::into_inner(used.connection) {
                    connection.close().await;
                }
                drop(held);
                let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
                hosts.remove(&target);
            }
        }
    }
}

/// What runs on a host for a command.
enum Begun {
    Shell(Running, Option<Duration>),
    /// One that was kept has said hello; a new one waits for it.
    Agent(AgentStream, Option<Box<Hello>>),
}

/// Output on its way to a command.
struct Passed(mpsc::Sender<Vec<u8>>);

impl Output for Passed {
    fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        let tag = match stream {
            Stream::Out => OutputTag::Out,
            Stream::Err => OutputTag::Err,
        };
        let frame = Frame::output(0, tag, bytes).to_bytes();
        // Waits where the command does not read as fast as the host writes; it may have gone.
        tokio::task::block_in_place(|| self.0.blocking_send(frame).ok());
    }
}

/// Passes what shell text says on to a command, which may leave before it ends.
async fn pass(mut running: Running, line: UnixStream, within: Option<Duration>) -> io::Result<()> {
    let (chunks, mut passed) = mpsc::channel::<Vec<u8>>(WAITING);
    let (mut left, mut to) = line.into_split();
    // Ends when the last chunk is through or the command has left. A task of its own, because the
    // output waits for it.
    let passing = tokio::spawn(async move {
        to.write_all(&PREAMBLE).await?;
        while let Some(frame) = passed.recv().await {
            to.write_all(&frame).await?;
        }
        Ok::<_, io::Error>(to)
    });
    let mut output = Passed(chunks);
    let mut byte = [0];
    let ended = tokio::select! {
        ended = running.finish(&mut output, within) => Some(ended),
        _ = left.read(&mut byte) => None,
    };
    let Some(ended) = ended else {
        running.leave().await;
        return Ok(());
    };
    drop(output);
    let response = match ended {
        Ok(exit) => Response::Exec(exit),
        Err(RemoteError::Lost { reason, .. }) => failed(reason),
        Err(error) => failed(updraft_base::chain(&error)),
    };
    let mut to = passing.await??;
    to.write_all(&Frame::response(0, &response).to_bytes()).await
}

/// Passes bytes between a command and an agent until one of them has ended; whether the agent has
/// not. When the connection below the agent ends, its reason is the last that the command hears.
async fn converse(line: UnixStream, agent: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    let (mut asked, mut to_command) = line.into_split();
    let (mut said, mut to_agent) = tokio::io::split(agent);
    let up = async {
        let mut chunk = vec![0; CHUNK];
        while let Ok(length @ 1..) = asked.read(&mut chunk).await {
            // When nothing can be written any more, nothing will be read either, and that says why.
            if say(&mut to_agent, &chunk[..length]).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let down = async {
        let mut chunk = vec![0; CHUNK];
        loop {
            match said.read(&mut chunk).await {
                Ok(0) => return false,
                Ok(length) => {
                    if to_command.write_all(&chunk[..length]).await.is_err() {
                        return true;
                    }
                }
                Err(fault) => {
                    // The agent's last frame may have been cut off: the preamble begins anew.
                    let mut bytes = PREAMBLE.to_vec();
                    Frame::response(LINE, &failed(fault.to_string())).encode(&mut bytes);
                    to_command.write_all(&bytes).await.ok();
                    return false;
                }
            }
        }
    };
    tokio::select! {
        () = up => true,
        goes_on = down => goes_on,
    }
}

async fn say(agent: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    agent.write_all(bytes).await?;
    agent.flush().await
}

/// Has an agent end what belonged to the command that it has served, other users' agents among it:
/// another hello does. All that it still says to that command is read meanwhile, for a line that is
/// full would keep it, and others on the connection, from everything else. Nothing if it does not
/// answer; then it is told to end.
async fn parted(mut agent: AgentStream) -> Option<AgentStream> {
    if matches!(timeout(ALIVE, greet(&mut agent)).await, Ok(Ok(_))) {
        return Some(agent);
    }
    end(agent).await;
    None
}

/// An agent ends with its input, and if that cannot be closed, with the connection.
async fn end(mut agent: AgentStream) {
    timeout(ALIVE, agent.shutdown()).await.ok();
}

/// Says hello to an agent and waits for its answer, past whatever it said to others.
async fn greet(agent: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Hello> {
    let (nonce, hello) = greeting();
    let (mut said, mut told) = tokio::io::split(agent);
    let answer = async {
        let mut decoder = Decoder::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            if let Some(hello) = answer_to(nonce, &mut decoder) {
                return Ok(hello);
            }
            match said.read(&mut chunk).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => decoder.push(&chunk[..length]),
            }
        }
    };
    let ((), hello) = tokio::try_join!(say(&mut told, &hello), answer)?;
    Ok(hello)
}

fn failed(message: String) -> Response {
    Response::Failed(Failure { kind: FailureKind::System, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::io::ReadBuf;
    use updraft_wire::{Decoded, Decoder};

    /// The line to an agent that breaks in the middle of a frame.
    struct Breaking(Option<Vec<u8>>);

    impl AsyncRead for Breaking {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            match self.0.take() {
                Some(bytes) => into.put_slice(&bytes),
                None => return Poll::Ready(Err(io::Error::other("no answer came for 1m"))),
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Breaking {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_command_hears_why_the_connection_below_its_agent_ended() {
        let frame = Frame::response(7, &failed("half of this arrives".to_owned())).to_bytes();
        let mut sent = PREAMBLE.to_vec();
        sent.extend(&frame[..frame.len() / 2]);
        let (line, mut command) = UnixStream::pair().unwrap();
        let passing = tokio::spawn(async move { converse(line, &mut Breaking(Some(sent))).await });
        let mut heard = Vec::new();
        command.read_to_end(&mut heard).await.unwrap();
        drop(command);
        assert!(!passing.await.unwrap(), "nobody else may use it");
        let mut decoder = Decoder::new();
        decoder.push(&heard);
        let mut frames = Vec::new();
        while let Some(found) = decoder.decode().unwrap() {
            if let Decoded::Frame(frame) = found {
                frames.push((frame.id, frame.message::<Response>().unwrap()));
            }
        }
        assert_eq!(frames, [(LINE, failed("no answer came for 1m".to_owned()))]);
    }
}
