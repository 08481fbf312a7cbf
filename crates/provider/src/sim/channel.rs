//! Simulated agents at the end of a channel, speaking `wire` as the real one does.

use super::machine::{SimMachine, Wires};
use super::session::Line;
use super::{Answered, Shared};
use crate::{Channel, ProviderError};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};
use tokio::sync::watch;
use updraft_base::{Blame, MachineId};
use updraft_remote::OneByOne;
use updraft_wire::{
    Chain, Decoded, Decoder, Frame, Hello, Kind, MAX_BODY, OutputTag, PREAMBLE, Put, Request,
    Response, VERSION,
};

/// Bytes that may be on their way in one direction, as in a pipe.
const PIPE: usize = 64 << 10;

/// Our end of a channel. Dropping it makes room for the next one.
struct SimChannel {
    stream: DuplexStream,
    shared: Arc<Shared>,
    id: MachineId,
    number: u64,
}

/// Opens the channel of a machine that is up.
pub(super) fn open(
    shared: &Arc<Shared>,
    machine: &SimMachine,
) -> Result<Box<dyn Channel>, ProviderError> {
    let number = {
        let mut state = shared.lock();
        if state.channels.contains_key(&machine.id) {
            let message = format!("the channel of `{}` is in use", machine.name);
            return Err(ProviderError::new(Blame::Passing, message));
        }
        state.channels_opened += 1;
        let number = state.channels_opened;
        state.channels.insert(machine.id, number);
        number
    };
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let line = Line::to(Arc::clone(shared), machine);
    let agent = Agent {
        line,
        peer: machine.peer(),
        stream: theirs,
        greeted: false,
        staged: BTreeMap::new(),
        puts: BTreeMap::new(),
    };
    // Ends with our end of the channel, or with the machine's power.
    tokio::spawn(agent.serve(shared.power.subscribe()));
    let shared = Arc::clone(shared);
    Ok(Box::new(SimChannel { stream: ours, shared, id: machine.id, number }))
}

impl Drop for SimChannel {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.channels.get(&self.id) == Some(&self.number) {
            state.channels.remove(&self.id);
        }
    }
}

impl AsyncRead for SimChannel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for SimChannel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The agent's end.
struct Agent {
    line: Line,
    peer: updraft_wire::Peer,
    stream: DuplexStream,
    greeted: bool,
    staged: BTreeMap<String, String>,
    /// Files on their way in, by request.
    puts: BTreeMap<u32, (Put, Vec<u8>)>,
}

/// The line is gone.
struct Gone;

impl Agent {
    async fn serve(mut self, mut power: watch::Receiver<u64>) {
        let mut decoder = Decoder::new();
        let mut chunk = vec![0; PIPE];
        loop {
            let length = tokio::select! {
                read = self.stream.read(&mut chunk) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(length) => length,
                },
                changed = power.changed() => {
                    if changed.is_err() || !self.line.is_alive() {
                        return;
                    }
                    continue;
                }
            };
            decoder.push(&chunk[..length]);
            loop {
                match decoder.decode() {
                    Ok(None) => break,
                    Ok(Some(Decoded::Preamble)) => {
                        self.greeted = false;
                        self.puts.clear();
                    }
                    Ok(Some(Decoded::Frame(frame))) => {
                        if self.take(frame).await.is_err() {
                            return;
                        }
                    }
                    // What is no frame is skipped up to the next preamble.
                    Err(_) => self.greeted = false,
                }
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Gone> {
        if !self.line.is_alive() {
            return Err(Gone);
        }
        match frame.kind {
            Kind::Hello => {
                let Ok(hello) = frame.message::<Hello>() else { return Ok(()) };
                self.greeted = hello.version == VERSION;
                let answer =
                    Hello { version: VERSION, nonce: hello.nonce, peer: Some(self.peer.clone()) };
                let mut bytes = PREAMBLE.to_vec();
                Frame::hello(&answer).encode(&mut bytes);
                self.send(&bytes).await
            }
            Kind::Request if self.greeted => match frame.message::<Request>() {
                Ok(Request::Put(put)) => {
                    self.puts.insert(frame.id, (put, Vec::new()));
                    Ok(())
                }
                Ok(Request::Chain(chain)) => self.chain(frame.id, chain).await,
                Ok(request) => self.answer(frame.id, &request, Vec::new()).await,
                // The real agent refuses; here such a request is a fault in the test.
                Err(_) => Err(Gone),
            },
            Kind::Data => match self.puts.remove(&frame.id) {
                Some((put, content)) if frame.body.is_empty() => {
                    self.answer(frame.id, &Request::Put(put), content).await
                }
                Some((put, mut content)) => {
                    content.extend_from_slice(&frame.body);
                    self.puts.insert(frame.id, (put, content));
                    Ok(())
                }
                None => Ok(()),
            },
            Kind::Cancel => {
                self.puts.remove(&frame.id);
                Ok(())
            }
            Kind::Request | Kind::Response | Kind::Step | Kind::Output | Kind::Part => Ok(()),
        }
    }

    /// Modules one after the other. Each may be lost on the way as if it had been asked for alone.
    async fn chain(&mut self, id: u32, chain: Chain) -> Result<(), Gone> {
        let mut modules = OneByOne::of(chain);
        while let Some(module) = modules.next() {
            let mut wires = Wires { staged: std::mem::take(&mut self.staged), ..Wires::default() };
            let answered = self.line.ask(&Request::Module(module), &mut wires).await;
            self.staged = std::mem::take(&mut wires.staged);
            let (Answered::Well(response) | Answered::Twice(response)) =
                answered.map_err(|_| Gone)?;
            modules.answered(response);
        }
        let mut bytes = Vec::new();
        modules.answers.iter().for_each(|answer| Frame::step(id, answer).encode(&mut bytes));
        Frame::response(id, &Response::Done).encode(&mut bytes);
        self.send(&bytes).await
    }

    async fn answer(&mut self, id: u32, request: &Request, content: Vec<u8>) -> Result<(), Gone> {
        let mut wires = Wires {
            incoming: content,
            staged: std::mem::take(&mut self.staged),
            ..Wires::default()
        };
        let answered = self.line.ask(request, &mut wires).await;
        self.staged = std::mem::take(&mut wires.staged);
        // An error is a line that broke: who asked does not hear why.
        let (response, copies) = match answered.map_err(|_| Gone)? {
            Answered::Well(response) => (response, 1),
            Answered::Twice(response) => (response, 2),
        };
        let mut bytes = Vec::new();
        for (tag, text) in [(OutputTag::Out, &wires.stdout), (OutputTag::Err, &wires.stderr)] {
            for piece in text.chunks(MAX_BODY / 2) {
                Frame::output(id, tag, piece).encode(&mut bytes);
            }
        }
        if matches!(request, Request::Get { .. }) {
            for piece in wires.outgoing.chunks(MAX_BODY / 2) {
                Frame::data(id, piece.to_vec()).encode(&mut bytes);
            }
            Frame::data(id, Vec::new()).encode(&mut bytes);
        }
        for _ in 0..copies {
            Frame::response(id, &response).encode(&mut bytes);
        }
        self.send(&bytes).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.stream.write_all(bytes).await.map_err(|_| Gone)
    }
}
