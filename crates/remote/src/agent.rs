//! A conversation with an agent over any stream of bytes.
//!
//! One task writes, one reads and hands each frame to the request it belongs to. Nothing is
//! retried here: after [`RemoteError::Lost`] or [`RemoteError::Deadline`] nobody knows whether a
//! request was carried out, and only the caller knows whether asking again is safe.

use crate::RemoteError;
use crate::session::{Output, Session, Steps, Stream};
use async_trait::async_trait;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use updraft_base::Hasher;
use updraft_wire::{
    Chain, Decoded, Decoder, Exec, Exit, Failure, FailureKind, Frame, Hello, Kind, MAX_ID,
    MAX_MESSAGE, OutputTag, PREAMBLE, Peer, Put, Request, Response, VERSION,
};

/// Frames on their way out: enough to keep a line busy.
const WAITING_OUT: usize = 16;

/// Frames of one request that its caller has not looked at yet. When they pile up the line waits,
/// and with it the command that writes so much.
const WAITING_IN: usize = 64;

/// How long an agent that was just started may take to answer the first hello.
pub(crate) const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A hello that is not answered is said again after this long, and then ever less often. A guest
/// that is booting, or whose agent starts anew, may have missed the first.
const HELLO_AGAIN: Duration = Duration::from_secs(1);

/// Silence after which an agent that owes an answer is asked whether it still lives.
const SILENCE: Duration = Duration::from_secs(20);

/// So many silences in a row, and the connection counts as lost. An emulated guest on a busy
/// machine may stand still for many seconds.
const SILENCES: u32 = 4;

/// A file transfer in which nothing moves for so long has failed.
const STALL: Duration = Duration::from_secs(60);

/// How long the agent may take to bring a file that it has received onto a slow disk.
const SETTLE: Duration = Duration::from_secs(600);

/// How much longer than a command's own deadline we wait for the agent to say that it passed.
const GRACE: Duration = Duration::from_secs(15);

/// Bytes of a file in one frame.
const CHUNK: usize = 128 << 10;

/// The id of what is said about the line itself, which no request has.
pub(crate) const LINE: u32 = 0;

/// The id of our own questions after life, which no request has.
const ALIVE: u32 = MAX_ID;

/// A conversation with an agent.
pub struct AgentSession {
    line: Arc<Line>,
    peer: Peer,
    reader: JoinHandle<()>,
}

/// What requests share.
struct Line {
    host: String,
    out: mpsc::Sender<Vec<u8>>,
    waiting: Mutex<Waiting>,
    next: AtomicU32,
    /// Grows with each frame of a request that found room in the queue. Its bound makes that a
    /// sign of life of the other end; our own questions do not count.
    taken: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    requests: HashMap<u32, mpsc::Sender<Frame>>,
    /// Why there will be no more answers.
    lost: Option<String>,
}

impl Line {
    /// What requests share of a stream, and the half of it that is read.
    fn over<S>(host: String, stream: S) -> (Arc<Self>, ReadHalf<S>)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(stream);
        let (out, frames) = mpsc::channel(WAITING_OUT);
        // Ends when the last sender is gone or the stream no longer takes bytes.
        tokio::spawn(write(writer, frames));
        let line = Self {
            host,
            out,
            waiting: Mutex::default(),
            next: AtomicU32::new(1),
            taken: AtomicU64::new(0),
        };
        (Arc::new(line), reader)
    }

    fn waiting<T>(&self, act: impl FnOnce(&mut Waiting) -> T) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lost(&self) -> RemoteError {
        let reason = self.waiting(|waiting| waiting.lost.clone());
        let reason = reason.unwrap_or_else(|| "the connection was closed".to_owned());
        RemoteError::Lost { host: self.host.clone(), reason }
    }

    fn nonsense(&self) -> RemoteError {
        RemoteError::Nonsense { host: self.host.clone(), source: None }
    }

    async fn send(&self, frame: &Frame) -> Result<(), RemoteError> {
        self.out.send(frame.to_bytes()).await.map_err(|_| self.lost())?;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A request that has no answer yet. Dropping it before the answer tells the agent to stop.
struct Pending {
    id: u32,
    line: Arc<Line>,
    frames: mpsc::Receiver<Frame>,
    answered: bool,
}

impl Pending {
    fn register(line: &Arc<Line>) -> Result<Self, RemoteError> {
        let (sender, frames) = mpsc::channel(WAITING_IN);
        let id = loop {
            let id = line.next.fetch_add(1, Ordering::Relaxed) & MAX_ID;
            let free = line.waiting(|waiting| !waiting.requests.contains_key(&id));
            if id != LINE && id != ALIVE && free {
                break id;
            }
        };
        let lost = line.waiting(|waiting| {
            waiting.requests.insert(id, sender);
            waiting.lost.is_some()
        });
        let pending = Self { id, line: Arc::clone(line), frames, answered: lost };
        if lost { Err(line.lost()) } else { Ok(pending) }
    }

    /// The next frame of this request.
    async fn frame(&mut self) -> Result<Frame, RemoteError> {
        let frame = self.frames.recv().await.ok_or_else(|| self.line.lost())?;
        self.answered |= frame.kind == Kind::Response;
        Ok(frame)
    }

    fn response(&self, frame: &Frame) -> Result<Response, RemoteError> {
        frame.message().map_err(|source| RemoteError::Nonsense {
            host: self.line.host.clone(),
            source: Some(source),
        })
    }

    /// The answer, past any other frames.
    async fn answer(&mut self) -> Result<Response, RemoteError> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == Kind::Response {
                return self.response(&frame);
            }
        }
    }
}

#[async_trait]
impl Steps for Pending {
    async fn next(&mut self, within: Duration) -> Result<Option<Response>, RemoteError> {
        if self.answered {
            return Ok(None);
        }
        let frame = timeout(within, self.frame()).await.map_err(|_| RemoteError::Deadline {
            host: self.line.host.clone(),
            what: "the answer to a request",
            within,
        })??;
        let response = self.response(&frame)?;
        match (frame.kind, &response) {
            (Kind::Step, _) => Ok(Some(response)),
            (Kind::Response, Response::Done) => Ok(None),
            // They end with it.
            (Kind::Response, Response::Failed(_)) => Ok(Some(response)),
            _ => Err(self.line.nonsense()),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.line.waiting(|waiting| waiting.requests.remove(&self.id));
        if self.answered {
            return;
        }
        let cancel = Frame::cancel(self.id).to_bytes();
        if let Err(mpsc::error::TrySendError::Full(cancel)) = self.line.out.try_send(cancel)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let out = self.line.out.clone();
            // Ends when the line moves again or is lost. Either way nobody waits for it.
            runtime.spawn(async move { out.send(cancel).await.ok() });
        }
    }
}

impl AgentSession {
    /// Begins a conversation: says hello and waits until the agent has answered it.
    ///
    /// The agent may still be starting at the other end. What it said to others before is skipped.
    ///
    /// # Errors
    /// When nothing answers in time, the stream ends, or the agent speaks another version.
    pub async fn start<S>(
        host: impl Into<String>,
        stream: S,
        within: Duration,
    ) -> Result<Self, RemoteError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (line, mut reader) = Line::over(host.into(), stream);
        let mut decoder = Decoder::new();
        let greeting = greet(&line, &mut reader, &mut decoder);
        let hello = timeout(within, greeting).await.map_err(|_| RemoteError::Deadline {
            host: line.host.clone(),
            what: "the agent's hello",
            within,
        })??;
        Self::of(line, reader, decoder, hello)
    }

    /// Goes on with a conversation in which the agent has said this hello to another process of
    /// ours, and nothing since.
    pub(crate) fn greeted<S>(host: &str, stream: S, hello: Hello) -> Result<Self, RemoteError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (line, reader) = Line::over(host.to_owned(), stream);
        let mut decoder = Decoder::new();
        // The other process has read it.
        decoder.push(&PREAMBLE);
        Self::of(line, reader, decoder, hello)
    }

    fn of<R>(
        line: Arc<Line>,
        reader: R,
        decoder: Decoder,
        hello: Hello,
    ) -> Result<Self, RemoteError>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        if hello.version != VERSION {
            return Err(RemoteError::Version {
                host: line.host.clone(),
                ours: VERSION,
                theirs: hello.version,
            });
        }
        let peer = hello.peer.ok_or_else(|| line.nonsense())?;
        let task = read(Arc::clone(&line), reader, decoder, hello.nonce);
        Ok(Self { line, peer, reader: tokio::spawn(task) })
    }

    /// The host as the inventory names it.
    pub fn host(&self) -> &str {
        &self.line.host
    }

    /// Whether the conversation has ended.
    pub fn is_lost(&self) -> bool {
        self.line.waiting(|waiting| waiting.lost.is_some())
    }

    /// Whether the agent answers, and how long it took.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub async fn ping(&self, within: Duration) -> Result<Duration, RemoteError> {
        let start = Instant::now();
        match self.call(Request::Ping, within).await? {
            Response::Done => Ok(start.elapsed()),
            other => Err(self.unexpected(other)),
        }
    }

    fn unexpected(&self, response: Response) -> RemoteError {
        match response {
            Response::Failed(failure) => {
                RemoteError::Failed { host: self.line.host.clone(), failure }
            }
            _ => self.line.nonsense(),
        }
    }

    fn deadline(&self, what: &'static str, within: Duration) -> RemoteError {
        RemoteError::Deadline { host: self.line.host.clone(), what, within }
    }

    fn local(&self, act: &'static str) -> impl Fn(std::io::Error) -> RemoteError {
        let host = self.line.host.clone();
        move |source| RemoteError::Local { host: host.clone(), act, source }
    }

    async fn begin(&self, request: &Request) -> Result<Pending, RemoteError> {
        let mut pending = Pending::register(&self.line)?;
        let frame = Frame::request(pending.id, request);
        if frame.body.len() > MAX_MESSAGE {
            // The agent never hears of it, so there is nothing to take back either.
            pending.answered = true;
            let message = format!("a request of {} bytes is too long", frame.body.len());
            let failure = Failure { kind: FailureKind::Refused, message };
            return Err(RemoteError::Failed { host: self.line.host.clone(), failure });
        }
        self.line.send(&frame).await?;
        Ok(pending)
    }

    /// Sends the content of a file; returns the answer if one came before the end.
    async fn send_content(
        &self,
        pending: &mut Pending,
        content: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<Option<Response>, RemoteError> {
        loop {
            let mut chunk = vec![0; CHUNK];
            let length = content.read(&mut chunk).await.map_err(self.local("read"))?;
            chunk.truncate(length);
            let frame = Frame::data(pending.id, chunk);
            tokio::select! {
                // The agent answers before the end only when it has failed.
                early = pending.answer() => return early.map(Some),
                sent = timeout(STALL, self.line.send(&frame)) => {
                    sent.map_err(|_| self.deadline("nothing more of a file went out", STALL))??;
                }
            }
            if length == 0 {
                return Ok(None);
            }
        }
    }
}

impl Drop for AgentSession {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

#[async_trait]
impl Session for AgentSession {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    async fn call(&self, request: Request, within: Duration) -> Result<Response, RemoteError> {
        let answer = async { self.begin(&request).await?.answer().await };
        timeout(within, answer)
            .await
            .map_err(|_| self.deadline("the answer to a request", within))?
    }

    async fn chain(&self, chain: Chain) -> Result<Box<dyn Steps>, RemoteError> {
        Ok(Box::new(self.begin(&Request::Chain(chain)).await?))
    }

    async fn exec(&self, exec: Exec, output: &mut dyn Output) -> Result<Exit, RemoteError> {
        let limit = Duration::from_millis(exec.deadline_ms);
        let until = (!limit.is_zero()).then(|| Instant::now() + limit + GRACE);
        let mut pending = self.begin(&Request::Exec(exec)).await?;
        loop {
            let frame = match until {
                None => pending.frame().await?,
                Some(until) => timeout_at(until, pending.frame())
                    .await
                    .map_err(|_| self.deadline("the end of a command", limit + GRACE))??,
            };
            match frame.kind {
                Kind::Output => {
                    let (tag, chunk) = frame.chunk().map_err(|source| RemoteError::Nonsense {
                        host: self.line.host.clone(),
                        source: Some(source),
                    })?;
                    let stream = match tag {
                        OutputTag::Out => Stream::Out,
                        OutputTag::Err => Stream::Err,
                    };
                    output.chunk(stream, chunk);
                }
                Kind::Response => {
                    return match pending.response(&frame)? {
                        Response::Exec(exit) => Ok(exit),
                        other => Err(self.unexpected(other)),
                    };
                }
                _ => return Err(self.line.nonsense()),
            }
        }
    }

    async fn put(
        &self,
        put: Put,
        content: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<String, RemoteError> {
        let mut pending = self.begin(&Request::Put(put)).await?;
        let early = self.send_content(&mut pending, content).await?;
        let answer = match early {
            Some(answer) => answer,
            None => timeout(SETTLE, pending.answer())
                .await
                .map_err(|_| self.deadline("the end of a file transfer", SETTLE))??,
        };
        match answer {
            Response::File { path, .. } => Ok(path),
            other => Err(self.unexpected(other)),
        }
    }

    async fn get(
        &self,
        path: &str,
        into: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u32, RemoteError> {
        let mut pending = self.begin(&Request::Get { path: path.to_owned() }).await?;
        let mut hasher = Hasher::default();
        loop {
            let frame = timeout(STALL, pending.frame())
                .await
                .map_err(|_| self.deadline("more of a file", STALL))??;
            match frame.kind {
                Kind::Data => {
                    hasher.update(&frame.body);
                    into.write_all(&frame.body).await.map_err(self.local("write"))?;
                }
                Kind::Response => match pending.response(&frame)? {
                    Response::File { mode, digest, .. } if digest == hasher.finish() => {
                        into.flush().await.map_err(self.local("write"))?;
                        return Ok(mode);
                    }
                    other => return Err(self.unexpected(other)),
                },
                _ => return Err(self.line.nonsense()),
            }
        }
    }
}

/// A hello, and what tells it from others.
pub(crate) fn greeting() -> (u64, Vec<u8>) {
    // Two connections on one line must differ; nothing else hangs on it, so the keys of a hash
    // map will do as a source of chance.
    let nonce = std::hash::RandomState::new().build_hasher().finish();
    let mut greeting = PREAMBLE.to_vec();
    Frame::hello(&Hello { version: VERSION, nonce, peer: None }).encode(&mut greeting);
    (nonce, greeting)
}

/// The answer to a hello, if it has come. What stands before it belongs to an earlier connection.
pub(crate) fn answer_to(nonce: u64, decoder: &mut Decoder) -> Option<Hello> {
    // A fault here is in such bytes, and skipped.
    while let Some(found) = decoder.decode().transpose() {
        let Ok(Decoded::Frame(frame)) = found else {
            continue;
        };
        if frame.kind == Kind::Hello
            && let Ok(hello) = frame.message::<Hello>()
            && hello.nonce == nonce
        {
            return Some(hello);
        }
    }
    None
}

/// Says hello until the agent answers it.
async fn greet(
    line: &Line,
    reader: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
) -> Result<Hello, RemoteError> {
    let (nonce, greeting) = greeting();
    let mut pause = HELLO_AGAIN;
    let mut chunk = vec![0; 16 << 10];
    loop {
        line.out.send(greeting.clone()).await.map_err(|_| line.lost())?;
        let again = Instant::now() + pause;
        pause = (pause * 2).min(HELLO_AGAIN * 4);
        loop {
            if let Some(hello) = answer_to(nonce, decoder) {
                return Ok(hello);
            }
            match timeout_at(again, reader.read(&mut chunk)).await {
                Err(_) => break,
                Ok(Ok(0)) => return Err(line.lost()),
                Ok(Ok(length)) => decoder.push(&chunk[..length]),
                Ok(Err(fault)) => {
                    let reason = fault.to_string();
                    return Err(RemoteError::Lost { host: line.host.clone(), reason });
                }
            }
        }
    }
}

/// Writes what requests send, until the last of them is gone.
async fn write(mut writer: impl AsyncWrite + Unpin, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = frames.recv().await {
        let mut written = writer.write_all(&bytes).await;
        if frames.is_empty() && written.is_ok() {
            written = writer.flush().await;
        }
        if written.is_err() {
            // The reader learns it too and tells everybody who waits.
            return;
        }
    }
    // The other end may be gone already.
    writer.shutdown().await.ok();
}

/// Hands frames to the requests they belong to, until the stream ends.
async fn read(
    line: Arc<Line>,
    mut reader: impl AsyncRead + Unpin,
    mut decoder: Decoder,
    nonce: u64,
) {
    let reason = follow(&line, &mut reader, &mut decoder, nonce).await;
    // Dropping the senders wakes everybody who waits; they find the reason.
    line.waiting(|waiting| {
        waiting.lost = Some(reason);
        waiting.requests.clear();
    });
}

async fn follow(
    line: &Line,
    reader: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
    nonce: u64,
) -> String {
    let mut chunk = vec![0; 64 << 10];
    let mut silences = 0;
    let mut taken = 0;
    loop {
        loop {
            match decoder.decode() {
                Ok(None) => break,
                // The agent answers a repeated hello again; that begins nothing new.
                Ok(Some(Decoded::Preamble)) => {}
                Ok(Some(Decoded::Frame(frame))) => match last_word(&frame, nonce) {
                    Some(reason) => return reason,
                    None => deliver(line, frame).await,
                },
                Err(fault) => return fault.to_string(),
            }
        }
        match timeout(SILENCE, reader.read(&mut chunk)).await {
            Ok(Ok(0)) => return "the other end closed it".to_owned(),
            Ok(Ok(length)) => {
                silences = 0;
                decoder.push(&chunk[..length]);
            }
            Ok(Err(fault)) => return fault.to_string(),
            Err(_) if line.waiting(|waiting| waiting.requests.is_empty()) => silences = 0,
            // A line that is full of a file has no room for questions, but it moves.
            Err(_) if moved(line, &mut taken) => silences = 0,
            Err(_) if silences == SILENCES => {
                let silent = updraft_base::span::render(SILENCE * (SILENCES + 1));
                return format!("the agent has been silent for {silent}");
            }
            Err(_) => {
                silences += 1;
                // A full queue says that the line is stuck; the next silence counts that.
                line.out.try_send(Frame::request(ALIVE, &Request::Ping).to_bytes()).ok();
            }
        }
    }
}

/// Why the line ends. Either from whoever passed an agent's bytes on to us until then: the answer
/// to a request that nobody made. Or from an agent that has just started on this line, and knows
/// nothing of what the one before it was asked: its hello is not the answer to ours.
fn last_word(frame: &Frame, nonce: u64) -> Option<String> {
    if frame.kind == Kind::Hello && frame.message::<Hello>().is_ok_and(|said| said.nonce != nonce) {
        return Some("the agent has started anew, perhaps with its machine".to_owned());
    }
    if frame.id != LINE || frame.kind != Kind::Response {
        return None;
    }
    match frame.message() {
        Ok(Response::Failed(failure)) => Some(failure.message),
        _ => None,
    }
}

/// Whether the other end has taken anything since the last look.
fn moved(line: &Line, taken: &mut u64) -> bool {
    let now = line.taken.load(Ordering::Relaxed);
    std::mem::replace(taken, now) != now
}

async fn deliver(line: &Line, frame: Frame) {
    let request = line.waiting(|waiting| waiting.requests.get(&frame.id).cloned());
    if let Some(request) = request {
        // Who no longer listens has given the request up.
        request.send(frame).await.ok();
    }
}
