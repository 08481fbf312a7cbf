//! Conversations with simulated agents, without any bytes in between.

use super::machine::{SimMachine, Wires};
use super::store::Access;
use super::{Answered, Op, Shared};
use crate::ProviderError;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use updraft_base::{Blame, MachineId, SiteId};
use updraft_remote::{Output, RemoteError, Session, Stream};
use updraft_wire::{Exec, Exit, Peer, Put, Request, Response};

/// A conversation with the agent of one simulated machine.
#[derive(Debug)]
pub struct SimSession {
    line: Line,
    peer: Peer,
    staged: Mutex<BTreeMap<String, String>>,
}

/// Which machine, in which of its lives.
#[derive(Clone, Debug)]
pub(super) struct Line {
    shared: Arc<Shared>,
    site: SiteId,
    pub(super) id: MachineId,
    pub(super) name: String,
    boots: u64,
}

impl Line {
    pub(super) fn to(shared: Arc<Shared>, machine: &SimMachine) -> Self {
        let SimMachine { site, id, boots, .. } = *machine;
        Self { shared, site, id, name: machine.name.to_string(), boots }
    }

    /// The machine is still on, and was all the time.
    pub(super) fn is_alive(&self) -> bool {
        let state = self.shared.lock();
        state.world.machines.get(&self.id).is_some_and(|machine| {
            machine.site == self.site && machine.is_up() && machine.boots == self.boots
        })
    }

    /// Asks the agent once. An error means that nobody knows what became of the request.
    pub(super) async fn ask(
        &self,
        request: &Request,
        wires: &mut Wires,
    ) -> Result<Answered<Response>, ProviderError> {
        // Only what changes nothing may be asked without the file's lock; a try to reach a machine
        // that boots is a sign of life, which does.
        let access = match super::world::changes(request) || !self.is_alive() {
            true => Access::Change,
            false => Access::Look,
        };
        let ask = |world: &mut super::World| {
            let machine = world.reach(self.site, self.id)?;
            if machine.boots != self.boots {
                return Err(ProviderError::new(Blame::Passing, "the machine was started anew"));
            }
            Ok(world.ask(self.id, request.clone(), wires))
        };
        let op = (Op::Ask, access);
        let result = self.shared.perform(op, &self.name, Duration::ZERO, ask, |_| ()).await;
        if matches!(request, Request::Power { .. }) {
            self.shared.power_changed();
        }
        result
    }
}

impl SimSession {
    pub(super) fn new(shared: Arc<Shared>, machine: &SimMachine) -> Self {
        let peer = machine.peer();
        Self { line: Line::to(shared, machine), peer, staged: Mutex::default() }
    }

    async fn ask(&self, request: &Request, wires: &mut Wires) -> Result<Response, RemoteError> {
        wires.staged.clone_from(&self.staged.lock().unwrap_or_else(PoisonError::into_inner));
        let (Answered::Well(response) | Answered::Twice(response)) =
            self.line.ask(request, wires).await.map_err(|error| RemoteError::Lost {
                host: self.line.name.clone(),
                reason: error.message,
            })?;
        if matches!(request, Request::Put(_)) {
            let staged = std::mem::take(&mut wires.staged);
            self.staged.lock().unwrap_or_else(PoisonError::into_inner).extend(staged);
        }
        Ok(response)
    }

    fn unexpected(&self, response: Response) -> RemoteError {
        let host = self.line.name.clone();
        match response {
            Response::Failed(failure) => RemoteError::Failed { host, failure },
            _ => RemoteError::Nonsense { host, source: None },
        }
    }

    fn local(&self, act: &'static str, source: std::io::Error) -> RemoteError {
        RemoteError::Local { host: self.line.name.clone(), act, source }
    }
}

#[async_trait]
impl Session for SimSession {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    async fn call(&self, request: Request, within: Duration) -> Result<Response, RemoteError> {
        let mut wires = Wires::default();
        tokio::time::timeout(within, self.ask(&request, &mut wires)).await.map_err(|_| {
            RemoteError::Deadline {
                host: self.line.name.clone(),
                what: "the answer to a request",
                within,
            }
        })?
    }

    async fn exec(&self, exec: Exec, output: &mut dyn Output) -> Result<Exit, RemoteError> {
        let mut wires = Wires::default();
        let response = self.ask(&Request::Exec(exec), &mut wires).await?;
        for (stream, chunk) in [(Stream::Out, &wires.stdout), (Stream::Err, &wires.stderr)] {
            if !chunk.is_empty() {
                output.chunk(stream, chunk);
            }
        }
        match response {
            Response::Exec(exit) => Ok(exit),
            other => Err(self.unexpected(other)),
        }
    }

    async fn put(
        &self,
        put: Put,
        content: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<String, RemoteError> {
        let mut wires = Wires::default();
        content
            .read_to_end(&mut wires.incoming)
            .await
            .map_err(|source| self.local("read", source))?;
        match self.ask(&Request::Put(put), &mut wires).await? {
            Response::File { path, .. } => Ok(path),
            other => Err(self.unexpected(other)),
        }
    }

    async fn get(
        &self,
        path: &str,
        into: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u32, RemoteError> {
        let mut wires = Wires::default();
        match self.ask(&Request::Get { path: path.to_owned() }, &mut wires).await? {
            Response::File { mode, .. } => {
                into.write_all(&wires.outgoing)
                    .await
                    .map_err(|source| self.local("write", source))?;
                into.flush().await.map_err(|source| self.local("write", source))?;
                Ok(mode)
            }
            other => Err(self.unexpected(other)),
        }
    }
}
