//! Conversations with the agents inside our machines: one per machine, shared, kept while it works.

use crate::place::Place;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use updraft_base::{Blame, Blamed, MachineId, MachineName, SiteId, Timestamp};
use updraft_host::{FileLock, Holder};
use updraft_provider::{Provider, ProviderError};
use updraft_remote::{AgentSession, RemoteError, Session};
use updraft_wire::{Request, Response};

/// The providers of a site, by kind.
pub(crate) type Providers = BTreeMap<String, Arc<dyn Provider>>;

/// Why a machine's agent could not be talked to.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Another command talks to it.
    #[error("the agent of `{machine}` is in use{}", holder.as_ref().map(|h| format!(" by {h}")).unwrap_or_default())]
    Busy {
        /// Machine.
        machine: MachineName,
        /// Who.
        holder: Option<Holder>,
    },
    /// The provider has no channel to it.
    #[error("cannot reach `{machine}`")]
    Channel {
        /// Machine.
        machine: MachineName,
        /// Why.
        source: ProviderError,
    },
    /// The agent does not answer, or the connection broke.
    #[error("the agent of `{machine}` does not answer")]
    Agent {
        /// Machine.
        machine: MachineName,
        /// Why.
        source: RemoteError,
    },
    /// The agent could not do what it was asked.
    #[error("`{machine}` could not {what}: {message}")]
    Refused {
        /// Machine.
        machine: MachineName,
        /// What it was asked.
        what: &'static str,
        /// Its answer.
        message: String,
    },
}

impl Blamed for SessionError {
    fn blame(&self) -> Blame {
        match self {
            Self::Busy { .. } => Blame::World,
            Self::Channel { source, .. } => source.blame(),
            Self::Agent { source, .. } => source.blame(),
            Self::Refused { .. } => Blame::World,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Busy { .. } => Some("wait until it is done".to_owned()),
            Self::Channel { source, .. } => source.hint(),
            Self::Agent { machine, .. } => {
                Some(format!("`updraft machine console {machine}` shows what it is doing"))
            }
            Self::Refused { .. } => None,
        }
    }
}

/// Which machine, for a conversation.
#[derive(Clone, Debug)]
pub struct Party {
    /// Kind of its provider.
    pub provider: String,
    /// Identity.
    pub id: MachineId,
    /// Name.
    pub name: MachineName,
}

struct Open {
    session: Arc<dyn Session>,
    // Held as long as the conversation: a machine's channel has room for one.
    _lock: Option<FileLock>,
}

/// The line to one machine, once it is open. Locked while it is opened: two steps that need the same
/// machine at the same moment would otherwise both lock its channel, and the second would be told
/// that we have it.
type Line = Arc<Mutex<Option<Open>>>;

/// Conversations that are open.
pub struct Sessions {
    site: Option<SiteId>,
    providers: Providers,
    place: Place,
    command: String,
    since: Timestamp,
    lines: std::sync::Mutex<HashMap<MachineId, Line>>,
}

impl Sessions {
    /// None yet. `site` is the mark of its machines; `command` and `since` tell others who holds a channel.
    pub(crate) fn new(
        site: Option<SiteId>,
        providers: Providers,
        place: Place,
        command: String,
        since: Timestamp,
    ) -> Self {
        Self { site, providers, place, command, since, lines: Default::default() }
    }

    /// The mark that the site's machines carry; `None` before its first run.
    pub(crate) fn site(&self) -> Option<SiteId> {
        self.site
    }

    /// The provider of this kind.
    pub fn provider(&self, kind: &str) -> Result<&Arc<dyn Provider>, ProviderError> {
        self.providers.get(kind).ok_or_else(|| {
            ProviderError::new(Blame::Bug, format!("there is no provider `{kind}` in this run"))
        })
    }

    /// All providers.
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// A conversation with a machine's agent, which must answer within this time.
    ///
    /// # Errors
    /// When another command talks to it, or it does not answer.
    pub async fn get(
        &self,
        party: &Party,
        within: Duration,
    ) -> Result<Arc<dyn Session>, SessionError> {
        self.known_or_fresh(party, within).await.map(|(session, _)| session)
    }

    /// A conversation with a machine's agent, and whether it was open before.
    async fn known_or_fresh(
        &self,
        party: &Party,
        within: Duration,
    ) -> Result<(Arc<dyn Session>, bool), SessionError> {
        let line = self.line(party.id);
        // Whoever has it opens the line within a time of its own, and leaves it open for us.
        let mut line = line.lock().await;
        if let Some(open) = &*line {
            return Ok((Arc::clone(&open.session), true));
        }
        let open = self.begin(party, within).await?;
        let session = Arc::clone(&open.session);
        *line = Some(open);
        Ok((session, false))
    }

    fn line(&self, id: MachineId) -> Line {
        // Nothing that could panic happens under the lock.
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lines.entry(id).or_default())
    }

    async fn begin(&self, party: &Party, within: Duration) -> Result<Open, SessionError> {
        let machine = || party.name.clone();
        let provider = self
            .provider(&party.provider)
            .map_err(|source| SessionError::Channel { machine: machine(), source })?;
        if let Some(session) = provider.direct(party.id) {
            return Ok(Open { session, _lock: None });
        }
        let path = self.place.channel_lock(party.id);
        let me = Holder::this_process(self.command.clone(), self.since);
        let lock = FileLock::acquire_within(&path, &me, within, &|_| {}).await.map_err(
            |error| match error {
                updraft_host::HostError::Held { holder, .. } => {
                    SessionError::Busy { machine: machine(), holder }
                }
                other => SessionError::Channel {
                    machine: machine(),
                    source: ProviderError::new(other.blame(), "its channel cannot be locked")
                        .because(other),
                },
            },
        )?;
        let channel = provider
            .channel(party.id)
            .await
            .map_err(|source| SessionError::Channel { machine: machine(), source })?;
        let session = AgentSession::start(party.name.as_str(), channel, within)
            .await
            .map_err(|source| SessionError::Agent { machine: machine(), source })?;
        Ok(Open { session: Arc::new(session), _lock: Some(lock) })
    }

    /// Ends the conversation with a machine: it was powered off, or the line broke.
    pub async fn forget(&self, id: MachineId) {
        self.line(id).lock().await.take();
    }

    /// One request, one answer that is not a refusal. A line that broke since it was last used is
    /// opened again once.
    ///
    /// # Errors
    /// As [`Sessions::get`], and when the agent refuses.
    pub async fn ask(
        &self,
        party: &Party,
        what: &'static str,
        request: Request,
        within: Duration,
    ) -> Result<Response, SessionError> {
        let (session, known) = self.known_or_fresh(party, within).await?;
        let answer = match session.call(request.clone(), within).await {
            Err(_) if known => {
                self.forget(party.id).await;
                self.get(party, within).await?.call(request, within).await
            }
            other => other,
        };
        match answer {
            Ok(Response::Failed(failure)) => Err(SessionError::Refused {
                machine: party.name.clone(),
                what,
                message: failure.message,
            }),
            Ok(response) => Ok(response),
            Err(source) => {
                self.forget(party.id).await;
                Err(SessionError::Agent { machine: party.name.clone(), source })
            }
        }
    }
}
