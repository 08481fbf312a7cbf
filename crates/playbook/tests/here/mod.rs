//! Hosts that are all this computer, without a connection: modules run in the process of the test.

use async_trait::async_trait;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use updraft_modules::Context;
use updraft_playbook::output::{Event, Sink, Teller};
use updraft_playbook::{HostTarget, Operator, Reach, ReachError};
use updraft_remote::{OneByOne, Output, RemoteError, Session, Steps};
use updraft_wire::{Chain, Exec, Exit, ModuleResult, Peer, Put, Request, Response};

/// Modules in this process, as the agent would run them.
pub(crate) struct Here {
    pub(crate) peer: Peer,
    pub(crate) staging: tempfile::TempDir,
    /// How many modules were asked for together, each time.
    pub(crate) chains: Mutex<Vec<usize>>,
}

#[async_trait]
impl Session for Here {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    async fn call(&self, request: Request, _within: Duration) -> Result<Response, RemoteError> {
        let Request::Module(request) = request else { panic!("only modules are asked for") };
        let context = Context {
            check: request.check,
            diff: request.diff,
            env: request.env.clone(),
            staging: self.staging.path().to_path_buf().into(),
            ..Context::system()
        };
        let result = updraft_modules::run(&request.name, &request.args, &context);
        Ok(Response::Module(ModuleResult(result.0)))
    }

    async fn chain(&self, chain: Chain) -> Result<Box<dyn Steps>, RemoteError> {
        self.chains.lock().unwrap().push(chain.modules.len());
        let mut modules = OneByOne::of(chain);
        while let Some(module) = modules.next() {
            modules.answered(self.call(Request::Module(module), Duration::MAX).await?);
        }
        Ok(Box::new(modules.answers))
    }

    async fn exec(&self, _exec: Exec, _output: &mut dyn Output) -> Result<Exit, RemoteError> {
        panic!("nothing is executed")
    }

    async fn put(
        &self,
        _put: Put,
        content: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<String, RemoteError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).await.unwrap();
        let path = self.staging.path().join("staged");
        fs::write(&path, bytes).unwrap();
        Ok(path.display().to_string())
    }

    async fn get(
        &self,
        path: &str,
        into: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u32, RemoteError> {
        into.write_all(&fs::read(path).unwrap()).await.unwrap();
        Ok(0o644)
    }
}

/// Every host is here.
pub(crate) struct Everywhere(pub(crate) Arc<Here>);

#[async_trait]
impl Reach for Everywhere {
    async fn session(&self, _host: &HostTarget) -> Result<Arc<dyn Session>, ReachError> {
        let here: Arc<Here> = Arc::clone(&self.0);
        Ok(here)
    }

    async fn forget(&self, _host: &HostTarget) {}

    async fn log_in_anew(&self, _host: &HostTarget) {}
}

/// Nobody answers.
pub(crate) struct Nobody;

#[async_trait]
impl Operator for Nobody {
    async fn sleep(&self, span: Duration) {
        std::thread::sleep(span);
    }

    async fn ask(&self, _question: &str, _hidden: bool) -> Option<String> {
        None
    }
}

/// What is on the screen.
pub(crate) struct Printed(pub(crate) Mutex<(Teller, String)>);

impl Sink for Printed {
    fn event(&self, event: Event) {
        let mut inner = self.0.lock().unwrap();
        let text: String = inner.0.pieces(&event).into_iter().map(|piece| piece.text).collect();
        inner.1.push_str(&text);
    }
}
