//! Brings a machine that is to become a template to rest, through its agent.
//!
//! It is told who it is, so that what waits for an identity starts: with an identity that nobody
//! has, no address and no admin. A machine that starts from the template is told its own before it
//! has a network. Nothing is decided here about where templates are kept.

use crate::{Channel, Progress, ProviderError};
use async_trait::async_trait;
use std::time::Duration;
use tokio::time::Instant;
use updraft_base::{Blame, MachineId};
use updraft_remote::{AgentSession, Output, RemoteError, Session as _, Stream};
use updraft_wire::{Exec, Identity, Request, Response};

/// How long the machine may show no sign of life before it counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(120);

/// How long it may take to come to rest, whatever it shows.
const AT_REST_WITHIN: Duration = Duration::from_secs(900);

/// One try to reach the agent.
const HELLO: Duration = Duration::from_secs(2);

/// One question to it. An emulated machine that still boots answers slowly.
const ANSWER: Duration = Duration::from_secs(60);

/// Between two looks at whether it has started everything.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Over this long, it must have used less than a tenth of a processor to count as calm.
const CALM_FOR: Duration = Duration::from_secs(1);

/// What the machines that start from a template would otherwise each do when their first network
/// card shows up.
const PREPARE: &str = "modprobe -q virtio_net; sync";

/// A machine on its way to become a template.
#[async_trait]
pub trait Nursling: Send + Sync {
    /// A channel to the agent inside.
    async fn channel(&self) -> Result<Box<dyn Channel>, ProviderError>;

    /// Signs of life.
    async fn progress(&self) -> Result<Progress, ProviderError>;
}

/// Waits until the agent answers, names the machine `id`, and waits until everything in it has
/// started and it is calm: as long as it shows signs of life.
///
/// # Errors
/// When it does not come to rest, with the last line of its console.
pub async fn bring_to_rest(nursling: &dyn Nursling, id: MachineId) -> Result<(), ProviderError> {
    let mut watch = Watch::begin(nursling).await?;
    let session = loop {
        let tried = match nursling.channel().await {
            Ok(channel) => AgentSession::start("template", channel, HELLO).await.map_err(failed),
            Err(error) => Err(error),
        };
        match tried {
            Ok(session) => break session,
            Err(error) => watch.look("its agent does not answer", Some(error)).await?,
        }
        tokio::time::sleep(LOOK_AGAIN / 5).await;
    };
    let request = Request::Identify(Box::new(nobody(id)));
    match session.call(request, ANSWER).await.map_err(failed)? {
        Response::Failed(failure) => return Err(refused(failure.message)),
        _ => watch.look("it was told who it is", None).await?,
    }
    loop {
        let state = run(&session, "systemctl is-system-running").await?;
        // A unit that failed is part of the image: a machine that boots from it has it as well.
        if ["running", "degraded"].contains(&state.as_str()) {
            break;
        }
        watch.look(&format!("systemd says that it is {state}"), None).await?;
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    run(&session, PREPARE).await?;
    calm(nursling, &mut watch).await?;
    // Looking for the first time takes an agent a look at its whole program.
    session.call(Request::Observe, ANSWER).await.map_err(failed)?;
    match session.call(Request::Rest, ANSWER).await.map_err(failed)? {
        Response::Failed(failure) => return Err(refused(failure.message)),
        _ => watch.look("it was told to rest", None).await?,
    }
    drop(session);
    calm(nursling, &mut watch).await
}

/// Waits until it has next to nothing to do.
async fn calm(nursling: &dyn Nursling, watch: &mut Watch<'_>) -> Result<(), ProviderError> {
    loop {
        let before = nursling.progress().await?.cpu_millis;
        tokio::time::sleep(CALM_FOR).await;
        let used = nursling.progress().await?.cpu_millis.saturating_sub(before);
        if Duration::from_millis(used) < CALM_FOR / 10 {
            return Ok(());
        }
        watch.look("it is still busy", None).await?;
    }
}

/// An identity without address or admin, that no machine of a site has.
fn nobody(id: MachineId) -> Identity {
    Identity {
        digest: "template".to_owned(),
        machine: id.to_string(),
        machine_id: id.as_hex(),
        hostname: "template".to_owned(),
        domain: String::new(),
        interfaces: Vec::new(),
        resolvers: Vec::new(),
        hosts: Vec::new().into(),
        host_keys: Vec::new(),
        admins: Vec::new(),
        time: None,
        seed: None,
        quiet_ms: None,
    }
}

async fn run(session: &AgentSession, text: &str) -> Result<String, ProviderError> {
    let argv = ["/bin/sh", "-c", text].map(str::to_owned).into();
    let exec = Exec { argv, deadline_ms: 60_000, ..Exec::default() };
    let mut said = Said(String::new());
    session.exec(exec, &mut said).await.map_err(failed)?;
    Ok(said.0.trim().to_owned())
}

struct Said(String);

impl Output for Said {
    fn chunk(&mut self, _stream: Stream, bytes: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(bytes));
    }
}

fn failed(error: RemoteError) -> ProviderError {
    ProviderError::new(Blame::World, "the agent of the template does not answer").because(error)
}

fn refused(message: String) -> ProviderError {
    ProviderError::new(Blame::World, format!("the template cannot be brought to rest: {message}"))
        .hinting("an image whose machines cannot be told who they are cannot be `live`")
}

/// Patience that is renewed by signs of life.
struct Watch<'a> {
    nursling: &'a dyn Nursling,
    began: Instant,
    moved: Instant,
    last: Progress,
}

impl<'a> Watch<'a> {
    async fn begin(nursling: &'a dyn Nursling) -> Result<Self, ProviderError> {
        let (now, last) = (Instant::now(), nursling.progress().await?);
        Ok(Self { nursling, began: now, moved: now, last })
    }

    async fn look(&mut self, saw: &str, error: Option<ProviderError>) -> Result<(), ProviderError> {
        let now = self.nursling.progress().await?;
        if now != self.last {
            self.last = now;
            self.moved = Instant::now();
        }
        if self.moved.elapsed() < STUCK_AFTER && self.began.elapsed() < AT_REST_WITHIN {
            return Ok(());
        }
        let message = format!(
            "the template did not come to rest within {} s: {saw}; last on its console: {}",
            self.began.elapsed().as_secs(),
            self.last.last_line
        );
        let told = ProviderError::new(Blame::World, message);
        Err(match error {
            Some(error) => told.because(error),
            None => told,
        })
    }
}
