//! Single machines and services, by the names people use.

use crate::ControlError;
use crate::observe::probe;
use crate::sessions::{Party, Sessions};
use crate::settings::Settings;
use crate::site::SiteControl;
use serde::Serialize;
use std::io::ErrorKind::{ConnectionRefused, NotFound};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;
use updraft_base::{MachineName, ServiceName};
use updraft_host::{FileLock, Holder, HostError};
use updraft_site::{ProviderKind, Service};
use updraft_wire::Response;

/// How long one test of a service may take.
const TEST_WITHIN: Duration = Duration::from_secs(10);

/// A machine's console: for one user at a time.
#[derive(Clone, Debug)]
pub struct Console {
    machine: MachineName,
    socket: PathBuf,
    lock: PathBuf,
    /// The file that keeps everything it printed.
    pub log: PathBuf,
}

/// A console that was attached to, until it is dropped.
#[derive(Debug)]
pub struct Attached {
    /// The line, both ways.
    pub line: UnixStream,
    _lock: FileLock,
}

impl Console {
    /// Attaches to it. Somebody who came second would hear nothing, so they are told who is there.
    ///
    /// # Errors
    /// [`ControlError::AtConsole`] when somebody is there, [`ControlError::NotRunning`] when the
    /// machine is off.
    pub async fn attach(&self, settings: &Settings) -> Result<Attached, ControlError> {
        let machine = self.machine.to_string();
        let me = Holder::this_process(settings.command.clone(), settings.clock.now());
        let lock = FileLock::acquire(&self.lock, &me).map_err(|error| match error {
            HostError::Held { holder, .. } => ControlError::AtConsole {
                machine: machine.clone(),
                holder: holder.map_or_else(|| "another command".to_owned(), |h| h.to_string()),
            },
            other => ControlError::Host(other),
        })?;
        match UnixStream::connect(&self.socket).await {
            Ok(line) => Ok(Attached { line, _lock: lock }),
            Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => {
                Err(ControlError::NotRunning { machine, state: "off".to_owned() })
            }
            Err(source) => {
                let path = self.socket.clone();
                Err(ControlError::Host(HostError::File { act: "attach to", path, source }))
            }
        }
    }
}

/// How one test of a service went.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceTest {
    /// Service.
    pub service: String,
    /// Machine.
    pub machine: String,
    /// It passed.
    pub healthy: bool,
    /// What was seen.
    pub saw: String,
}

impl SiteControl {
    /// Names of all machines that the site asks for.
    pub fn machine_names(&self) -> Vec<MachineName> {
        self.site().groups.iter().flat_map(|group| group.machine_names()).collect()
    }

    /// The service of this name.
    ///
    /// # Errors
    /// When the site has none.
    pub fn service(&self, name: &str) -> Result<&Service, ControlError> {
        let found = self.site().services.iter().find(|service| service.name.as_str() == name);
        found.ok_or_else(|| ControlError::Unknown {
            what: "service",
            name: name.to_owned(),
            known: self.site().services.iter().map(|s| s.name.to_string()).collect(),
        })
    }

    /// A service and the machines it runs on, narrowed by a pattern.
    ///
    /// # Errors
    /// When there is no such service, or the pattern names nothing.
    pub fn members(
        &self,
        service: &str,
        limit: Option<&str>,
    ) -> Result<(ServiceName, Vec<MachineName>), ControlError> {
        let service = self.service(service)?;
        let group = self.site().group(&service.on);
        let mut names: Vec<MachineName> =
            group.into_iter().flat_map(|group| group.machine_names()).collect();
        if let Some(limit) = limit {
            let chosen = self.machines_matching(limit)?;
            names.retain(|name| chosen.contains(name));
        }
        Ok((service.name.clone(), names))
    }

    /// One machine as it is remembered.
    ///
    /// # Errors
    /// When the site has no such machine, or it was never made.
    pub fn party(&self, name: &str) -> Result<Party, ControlError> {
        let unknown = || ControlError::Unknown {
            what: "machine",
            name: name.to_owned(),
            known: self.machine_names().iter().take(12).map(ToString::to_string).collect(),
        };
        let machine: MachineName = name.parse().map_err(|_| unknown())?;
        let memory = self.memory()?;
        let Some(drawn) = memory.machines.get(&machine) else {
            return Err(match self.site().group_of(&machine).is_some() {
                true => ControlError::NotRunning {
                    machine: name.to_owned(),
                    state: "not made yet".to_owned(),
                },
                false => unknown(),
            });
        };
        let group = self.site().group_of(&machine);
        let provider = match &drawn.cloned {
            Some(cloned) => cloned.provider.clone(),
            None => group.map_or(ProviderKind::Qemu, |group| group.provider).as_str().to_owned(),
        };
        Ok(Party { provider, id: drawn.id, name: machine })
    }

    /// Where a machine's console is.
    ///
    /// # Errors
    /// When there is no such machine, or its provider has no consoles.
    pub async fn console(&self, name: &str) -> Result<Console, ControlError> {
        let party = self.party(name)?;
        let sessions = self.sessions()?;
        let (socket, log) = sessions.provider(&party.provider)?.console(party.id).await?;
        let lock = self.place().console_lock(party.id);
        Ok(Console { machine: party.name, socket, lock, log })
    }

    /// Tests a service, or all of them, on each machine.
    ///
    /// # Errors
    /// When there is no such service. A machine that does not answer fails its test.
    pub async fn test_services(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<ServiceTest>, ControlError> {
        let services: Vec<&Service> = match name {
            Some(name) => vec![self.service(name)?],
            None => self.site().services.iter().collect(),
        };
        let sessions = self.sessions()?;
        let mut tests = Vec::new();
        for service in services {
            let (_, names) = self.members(service.name.as_str(), None)?;
            for machine in names {
                let (healthy, saw) = self.test(&sessions, service, &machine).await;
                tests.push(ServiceTest {
                    service: service.name.to_string(),
                    machine: machine.to_string(),
                    healthy,
                    saw,
                });
            }
        }
        Ok(tests)
    }

    async fn test(
        &self,
        sessions: &Sessions,
        service: &Service,
        machine: &MachineName,
    ) -> (bool, String) {
        let told = |error: &(dyn std::error::Error + 'static)| (false, updraft_base::chain(error));
        let party = match self.party(machine.as_str()) {
            Ok(party) => party,
            Err(error) => return told(&error),
        };
        let memory = match self.memory() {
            Ok(memory) => memory,
            Err(error) => return told(&error),
        };
        let Some(drawn) = memory.machines.get(machine) else {
            return (false, "it is not made yet".to_owned());
        };
        let Some(request) = probe(service, &drawn.address.to_string(), TEST_WITHIN) else {
            return (true, "it has no test".to_owned());
        };
        match sessions.ask(&party, "try a service", request, TEST_WITHIN * 2).await {
            Ok(Response::Probed(probed)) => (probed.healthy, probed.saw),
            Ok(_) => (false, "no answer to the test".to_owned()),
            Err(error) => told(&error),
        }
    }
}
