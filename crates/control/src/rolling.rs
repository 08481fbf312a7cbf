//! Brings a service on one machine to a version, with a way back.
//!
//! Drain, deploy, start, test, admit. While a machine is between versions its mark says so, so that
//! a run that died is finished by the next one, whatever the site file says by then.

use crate::actor::{Actor, SHORT, answered_something_else, fault};
use crate::observe::{probe, service_mark};
use crate::sessions::Party;
use serde_json::{Map, Value, json};
use std::time::Duration;
use updraft_base::{Blame, MachineName, ServiceName};
use updraft_engine::{StepContext, StepFault};
use updraft_plan::ServiceMark;
use updraft_site::{Action, Service};
use updraft_wire::{Exec, ModuleRequest, Request, Response};

/// How soon a service is tried again after the first time. A try that is refused costs as little.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What is done to a service.
#[derive(Clone, Copy)]
pub(crate) enum Verb {
    Start,
    Stop,
    Restart,
}

impl Verb {
    /// The state that a unit is then in, as modules say it.
    fn state(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::Restart => "restarted",
        }
    }
}

impl Actor {
    pub(crate) async fn roll(
        &self,
        step: u32,
        service: &ServiceName,
        machine: &MachineName,
        wanted: ServiceMark,
        again: bool,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let service = self.service(service)?;
        let party = self.party(machine)?;
        let found = self.service_mark(&party, service).await?;
        let same = |mark: &ServiceMark| {
            mark.settled && mark.version == wanted.version && mark.content == wanted.content
        };
        if !again
            && found.as_ref().is_some_and(same)
            && self.comes_back(service, &party, &wanted.version, context).await?
        {
            // It may have been drained: for a restart, or by a run that was cut off.
            context.phase("admit");
            self.admit(service, machine, context).await?;
            return Ok(json!({ "version": wanted.version }));
        }
        let previous = match &found {
            Some(mark) if mark.settled => Some(mark.version.clone()),
            Some(mark) => mark.previous.clone(),
            None => wanted.previous.clone(),
        }
        .filter(|previous| *previous != wanted.version);
        let between = ServiceMark { settled: false, previous: previous.clone(), ..wanted.clone() };
        self.set_service_mark(&party, service, &between).await?;
        context.phase("drain");
        self.drain(service, machine, context).await?;
        let Err(failure) = self.bring(step, service, &party, &wanted.version, context).await else {
            let settled = ServiceMark { settled: true, previous: None, ..wanted.clone() };
            self.set_service_mark(&party, service, &settled).await?;
            context.phase("admit");
            self.admit(service, machine, context).await?;
            return Ok(json!({ "version": wanted.version }));
        };
        let Some(previous) = previous else { return Err(failure) };
        context.report(format!("{}; going back to {previous}", failure.message));
        match self.bring(step, service, &party, &previous, context).await {
            Ok(()) => {
                let back = ServiceMark {
                    version: previous.clone(),
                    settled: true,
                    previous: None,
                    ..wanted.clone()
                };
                self.set_service_mark(&party, service, &back).await?;
                self.admit(service, machine, context).await?;
                Err(StepFault {
                    message: format!(
                        "{}; `{machine}` went back to {previous}, and no other machine was touched",
                        failure.message
                    ),
                    hint: Some(format!(
                        "fix version {} or set `version: {previous}`, then run `updraft up` again",
                        wanted.version
                    )),
                    ..failure
                })
            }
            Err(second) => Err(StepFault {
                message: format!(
                    "{}; going back to {previous} failed too: {}; `{machine}` stays out of the balancer",
                    failure.message, second.message
                ),
                hint: second.hint,
                ..failure
            }),
        }
    }

    /// Whether a service that is deployed as asked passes its test, now or once it has started: its
    /// machine may just have booted.
    async fn comes_back(
        &self,
        service: &Service,
        party: &Party,
        version: &str,
        context: &StepContext,
    ) -> Result<bool, StepFault> {
        if self.try_once(service, party).await?.0 {
            return Ok(true);
        }
        if let Some(start) = &service.start {
            self.action(party, start, Verb::Start).await?;
        }
        Ok(self.await_health(service, party, version, context).await.is_ok())
    }

    async fn set_service_mark(
        &self,
        party: &Party,
        service: &Service,
        mark: &ServiceMark,
    ) -> Result<(), StepFault> {
        let value = serde_json::to_value(mark).expect("plain data always serializes");
        self.mark(party, service_mark(&service.name), value).await
    }

    /// Deploys, starts and tests one version.
    async fn bring(
        &self,
        step: u32,
        service: &Service,
        party: &Party,
        version: &str,
        context: &StepContext,
    ) -> Result<(), StepFault> {
        context.report(format!("deploying {version}"));
        context.phase("deploy");
        let vars = Map::from_iter([
            ("updraft_service".to_owned(), json!(service.name)),
            ("updraft_version".to_owned(), json!(version)),
        ]);
        let machines = std::slice::from_ref(&party.name);
        let report = self.play(step, &service.deploy, machines, vars, context).await?;
        report.into_result(&service.deploy)?;
        if let Some(start) = &service.start {
            context.phase("start");
            self.action(party, start, Verb::Start).await?;
        }
        self.await_health(service, party, version, context).await
    }

    /// Starts, restarts or stops a service by its unit or by its command.
    pub(crate) async fn action(
        &self,
        party: &Party,
        action: &Action,
        verb: Verb,
    ) -> Result<(), StepFault> {
        match action {
            Action::Unit(unit) => {
                let args = json!({ "name": unit, "state": verb.state() });
                self.module(party, "systemd_service", args).await.map(drop)
            }
            Action::Command(text) => self.run(party, &["/bin/sh", "-c", text], text).await,
        }
    }

    /// Runs one module on a machine.
    pub(crate) async fn module(
        &self,
        party: &Party,
        name: &str,
        args: Value,
    ) -> Result<Map<String, Value>, StepFault> {
        let Value::Object(args) = args else {
            return Err(StepFault::new(Blame::Bug, format!("arguments of `{name}` are no map")));
        };
        let name = name.to_owned();
        let request = ModuleRequest { name: name.clone(), args, brief: true, ..Default::default() };
        let request = Request::Module(request);
        let within = Duration::from_secs(600);
        match self.sessions.ask(party, "run a module", request, within).await {
            Ok(Response::Module(result)) => match result.0.get("failed") {
                Some(Value::Bool(true)) => {
                    let said = result.0.get("msg").and_then(Value::as_str).unwrap_or("it failed");
                    Err(StepFault::new(
                        Blame::World,
                        format!("module `{name}` on `{}`: {said}", party.name),
                    ))
                }
                _ => Ok(result.0),
            },
            Ok(_) => Err(answered_something_else(party)),
            Err(error) => Err(fault(&error)),
        }
    }

    pub(crate) async fn run(
        &self,
        party: &Party,
        argv: &[&str],
        text: &str,
    ) -> Result<(), StepFault> {
        let session = self.sessions.get(party, SHORT).await.map_err(|e| fault(&e))?;
        let exec = Exec {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            deadline_ms: 600_000,
            ..Exec::default()
        };
        let mut said = Tail::default();
        let exit = session.exec(exec, &mut said).await.map_err(|e| fault(&e))?;
        if exit.code == 0 {
            return Ok(());
        }
        Err(StepFault::new(
            Blame::World,
            format!(
                "`{text}` on `{}` ended with status {}: {}",
                party.name,
                exit.code,
                String::from_utf8_lossy(&said.0).trim()
            ),
        ))
    }

    /// Tries a service once; healthy when it has no test. Also says what was seen.
    pub(crate) async fn try_once(
        &self,
        service: &Service,
        party: &Party,
    ) -> Result<(bool, String), StepFault> {
        let address = self.address(&party.name)?.to_string();
        let Some(request) = probe(service, &address, Duration::from_secs(5)) else {
            return Ok((true, "it has no test".to_owned()));
        };
        match self.sessions.ask(party, "try a service", request, SHORT).await {
            Ok(Response::Probed(probed)) => Ok((probed.healthy, probed.saw)),
            Ok(_) => Err(answered_something_else(party)),
            Err(error) => Err(fault(&error)),
        }
    }

    async fn await_health(
        &self,
        service: &Service,
        party: &Party,
        version: &str,
        context: &StepContext,
    ) -> Result<(), StepFault> {
        let Some(test) = &service.test else { return Ok(()) };
        context.report("testing");
        context.phase("test");
        let began = tokio::time::Instant::now();
        // What was just started is mostly there before the first pause of `every` would be over.
        let mut pause = FIRST_PAUSE.min(test.every);
        loop {
            let (healthy, saw) = self.try_once(service, party).await?;
            if healthy {
                return Ok(());
            }
            if began.elapsed() >= test.within {
                let fault = StepFault::new(
                    Blame::Asked,
                    format!(
                        "{} {version} does not pass its test on `{}` within {}: {saw}",
                        service.name,
                        party.name,
                        updraft_base::span::render(test.within)
                    ),
                );
                return Err(match &service.start {
                    Some(Action::Unit(unit)) => fault.hinting(format!(
                        "`updraft exec {} -- journalctl -u {unit} -n 20` shows what it says",
                        party.name
                    )),
                    _ => fault,
                });
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(test.every);
        }
    }

    pub(crate) async fn revive(
        &self,
        service: &ServiceName,
        machine: &MachineName,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let service = self.service(service)?;
        let party = self.party(machine)?;
        if self.try_once(service, &party).await?.0 {
            self.admit(service, machine, context).await?;
            return Ok(Value::Null);
        }
        match (&service.start, &service.stop) {
            (Some(start @ Action::Unit(_)), _) => self.action(&party, start, Verb::Restart).await?,
            (Some(start), stop) => {
                if let Some(stop) = stop {
                    self.action(&party, stop, Verb::Stop).await?;
                }
                self.action(&party, start, Verb::Start).await?;
            }
            (None, _) => {
                return Err(StepFault::new(
                    Blame::Asked,
                    format!("{} is down on `{machine}` and says no `start`", service.name),
                )
                .hinting(format!("`updraft service deploy {}` deploys it again", service.name)));
            }
        }
        self.await_health(service, &party, &service.version, context).await?;
        self.admit(service, machine, context).await?;
        Ok(Value::Null)
    }

    /// Takes a machine out of a service's balancers and stops the service there.
    pub(crate) async fn halt(
        &self,
        service: &ServiceName,
        machine: &MachineName,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let service = self.service(service)?;
        let party = self.party(machine)?;
        let Some(stop) = &service.stop else {
            return Err(StepFault::new(Blame::Asked, format!("{} says no `stop`", service.name))
                .hinting(
                    "add `stop: { unit: NAME }` or `stop: { command: TEXT }` to the service",
                ));
        };
        self.drain(service, machine, context).await?;
        self.action(&party, stop, Verb::Stop).await?;
        Ok(Value::Null)
    }
}

/// Keeps the end of what a command says.
#[derive(Default)]
struct Tail(Vec<u8>);

/// Enough for a stack of error lines, little enough for a journal.
const TAIL_BYTES: usize = 2000;

impl updraft_remote::Output for Tail {
    fn chunk(&mut self, _stream: updraft_remote::Stream, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let over = self.0.len().saturating_sub(TAIL_BYTES);
        self.0.drain(..over);
    }
}
