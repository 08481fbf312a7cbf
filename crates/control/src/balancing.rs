//! The balancers of services: who is a member, who gets requests, and what HAProxy is told.

use crate::actor::{Actor, SHORT, answered_something_else, fault};
use crate::haproxy::{self, MemberState};
use crate::observe::balancer_mark;
use crate::sessions::{Party, SessionError};
use serde_json::{Map, Value, json};
use std::time::Duration;
use updraft_base::{Blame, MachineName, ServiceName};
use updraft_engine::{StepContext, StepFault};
use updraft_plan::BalancerMember;
use updraft_site::{Balancer, Service};
use updraft_wire::{Request, Response};

/// How often a balancer is asked while something is waited for. Its answer costs a millisecond.
const ASK_BALANCER_EVERY: Duration = Duration::from_millis(200);

/// How long HAProxy may take to open its socket after its machine has booted: an emulated guest
/// needs half a minute for all of its services.
const HAPROXY_STARTS_WITHIN: Duration = Duration::from_secs(90);

/// How long a member may take to be seen as healthy by a balancer after it passed its own test.
const ADMIT_WITHIN: Duration = Duration::from_secs(60);

/// Whether a module changed something.
fn changed(result: &Map<String, Value>) -> bool {
    result.get("changed") == Some(&json!(true))
}

impl Actor {
    /// The machines that balance a service and know of it.
    async fn balancers<'s>(
        &self,
        service: &'s Service,
    ) -> Result<Vec<(Party, &'s Balancer)>, StepFault> {
        let Some(balancer) = &service.balancer else { return Ok(Vec::new()) };
        let Some(group) = self.site.group(&balancer.on) else { return Ok(Vec::new()) };
        let mut known = Vec::new();
        for name in group.machine_names() {
            let Ok(party) = self.party(&name) else { continue };
            // One that does not answer balances nothing that could be drained; a step of its own
            // repairs it.
            let Ok(seen) = self.observe(&party).await else { continue };
            if seen.marks.contains_key(&balancer_mark(&service.name)) {
                known.push((party, balancer));
            }
        }
        Ok(known)
    }

    /// Speaks to HAProxy's runtime socket. On a machine that has just booted the agent answers
    /// before HAProxy has started, so a socket that is not there yet is waited for.
    async fn haproxy(&self, party: &Party, send: String) -> Result<String, StepFault> {
        let began = tokio::time::Instant::now();
        loop {
            if let Some(text) = self.ask_haproxy(party, send.clone()).await? {
                return Ok(text);
            }
            if began.elapsed() >= HAPROXY_STARTS_WITHIN {
                return Err(StepFault::new(
                    Blame::World,
                    format!("HAProxy on `{}` does not answer at {}", party.name, haproxy::SOCKET),
                )
                .hinting(format!(
                    "`updraft exec {} -- journalctl -u haproxy -n 20` shows what it says",
                    party.name
                )));
            }
            tokio::time::sleep(ASK_BALANCER_EVERY).await;
        }
    }

    /// Speaks to HAProxy's runtime socket once; `None` when nobody listens there.
    async fn ask_haproxy(&self, party: &Party, send: String) -> Result<Option<String>, StepFault> {
        let request = Request::Socket { path: haproxy::SOCKET.to_owned(), send };
        match self.sessions.ask(party, "talk to HAProxy", request, SHORT).await {
            Ok(Response::Text { text }) => Ok(Some(text)),
            Ok(_) => Err(answered_something_else(party)),
            Err(SessionError::Refused { .. }) => Ok(None),
            Err(error) => {
                let hint = format!("is HAProxy running on `{}`?", party.name);
                Err(fault(&error).hinting(hint))
            }
        }
    }

    async fn members(
        &self,
        party: &Party,
        service: &ServiceName,
    ) -> Result<Vec<MemberState>, StepFault> {
        let text = self.haproxy(party, haproxy::show_stat()).await?;
        Ok(haproxy::parse_stat(service, &text))
    }

    /// Takes a machine out of every balancer of a service and waits for what is open to end.
    pub(crate) async fn drain(
        &self,
        service: &Service,
        machine: &MachineName,
        context: &StepContext,
    ) -> Result<(), StepFault> {
        for (party, balancer) in self.balancers(service).await? {
            let find = |members: Vec<MemberState>| {
                members.into_iter().find(|member| member.machine == machine.as_str())
            };
            if find(self.members(&party, &service.name).await?).is_none() {
                continue;
            }
            context.report(format!("draining in {}", party.name));
            self.haproxy(&party, haproxy::set_drain(&service.name, machine)).await?;
            let began = tokio::time::Instant::now();
            while let Some(member) = find(self.members(&party, &service.name).await?) {
                if member.open == 0 {
                    break;
                }
                if began.elapsed() >= balancer.drain {
                    context.report(format!("{} connections are still open; going on", member.open));
                    break;
                }
                tokio::time::sleep(ASK_BALANCER_EVERY).await;
            }
        }
        Ok(())
    }

    /// Puts a machine back into every balancer of a service and waits until it gets requests.
    pub(crate) async fn admit(
        &self,
        service: &Service,
        machine: &MachineName,
        context: &StepContext,
    ) -> Result<(), StepFault> {
        for (party, _) in self.balancers(service).await? {
            let known = self.members(&party, &service.name).await?;
            if !known.iter().any(|member| member.machine == machine.as_str()) {
                continue;
            }
            context.report(format!("admitting in {}", party.name));
            self.haproxy(&party, haproxy::set_ready(&service.name, machine)).await?;
            self.await_members(&party, service, std::slice::from_ref(machine)).await?;
        }
        Ok(())
    }

    async fn await_members(
        &self,
        party: &Party,
        service: &Service,
        wanted: &[MachineName],
    ) -> Result<(), StepFault> {
        let began = tokio::time::Instant::now();
        loop {
            let members = self.members(party, &service.name).await?;
            let missing: Vec<String> = wanted
                .iter()
                .filter_map(|name| {
                    match members.iter().find(|member| member.machine == name.as_str()) {
                        Some(member) if member.serves() => None,
                        Some(member) => Some(format!("{name} is {}", member.status)),
                        None => Some(format!("{name} is unknown to it")),
                    }
                })
                .collect();
            if missing.is_empty() {
                return Ok(());
            }
            if began.elapsed() >= ADMIT_WITHIN {
                return Err(StepFault::new(
                    Blame::World,
                    format!(
                        "the balancer on `{}` does not serve {} fully: {}",
                        party.name,
                        service.name,
                        missing.join(", ")
                    ),
                ));
            }
            tokio::time::sleep(ASK_BALANCER_EVERY).await;
        }
    }

    /// Tells a new balancer who its members will be. It finds by its own checks when they serve.
    pub(crate) async fn introduce(
        &self,
        service: &ServiceName,
        machine: &MachineName,
        members: &[BalancerMember],
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let service = self.service(service)?;
        if let Some(balancer) = &service.balancer {
            self.tell(&self.party(machine)?, service, balancer, members, context).await?;
        }
        Ok(Value::Null)
    }

    /// Tells a balancer its members and waits until it serves them all.
    pub(crate) async fn balance(
        &self,
        service: &ServiceName,
        machine: &MachineName,
        members: &[BalancerMember],
        digest: &str,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let service = self.service(service)?;
        let Some(balancer) = &service.balancer else { return Ok(Value::Null) };
        let party = self.party(machine)?;
        let key = balancer_mark(&service.name);
        // What it was told before is not true any more from here on, however this ends.
        if self.observe(&party).await?.marks.get(&key).is_some_and(|known| known != digest) {
            self.mark(&party, key.clone(), json!("")).await?;
        }
        self.tell(&party, service, balancer, members, context).await?;
        let names: Vec<MachineName> = members.iter().map(|m| m.machine.clone()).collect();
        self.await_members(&party, service, &names).await?;
        self.mark(&party, key, json!(digest)).await?;
        Ok(json!({ "members": names }))
    }

    /// Writes a balancer's configuration and has HAProxy read it.
    async fn tell(
        &self,
        party: &Party,
        service: &Service,
        balancer: &Balancer,
        members: &[BalancerMember],
        context: &StepContext,
    ) -> Result<(), StepFault> {
        let check = haproxy::CHECK;
        let config = haproxy::config_path(&service.name);
        let text = haproxy::render(&service.name, balancer, service.test.as_ref(), members);
        // Where nothing is served yet nothing can be lost, and the start is the check: either takes
        // a second of an emulated processor.
        let now = self.ask_haproxy(party, haproxy::show_all()).await?;
        let idle = now.is_some_and(|text| haproxy::serves_nothing(&text));
        let dir = json!({ "path": haproxy::CONFIG_DIR, "state": "directory", "mode": "0755" });
        self.module(party, "file", dir).await?;
        let limits = self.limit(party, balancer).await?;
        let mut copy = json!({ "dest": config, "content": text, "mode": "0644" });
        if !idle {
            copy["validate"] = json!(format!("{check} -f %s"));
        }
        let copied = self.module(party, "copy", copy).await.map_err(|fault| {
            fault.hinting(format!("does the play of group `{}` install HAProxy?", balancer.on))
        })?;
        let defaults = json!({
            "path": haproxy::DEFAULTS_FILE,
            "regexp": "^EXTRAOPTS=",
            "line": haproxy::DEFAULTS_LINE,
            "create": true,
        });
        let defaults = self.module(party, "lineinfile", defaults).await?;
        // What it was started with is read at start alone; the files behind it at reload as well.
        let state = match (changed(&defaults), changed(&copied) || limits) {
            (true, _) => "restarted",
            (false, true) => "reloaded",
            (false, false) => "started",
        };
        context.report(format!("HAProxy is {state}"));
        let unit = json!({ "name": "haproxy", "state": state, "enabled": true });
        let Err(failure) = self.module(party, "systemd", unit).await else { return Ok(()) };
        if !idle || !changed(&copied) {
            return Err(failure);
        }
        // It says more than that its start failed, and goes on without our file.
        let why = self.run(party, &["/bin/sh", "-c", &format!("{check} -f {config}")], check).await;
        self.module(party, "file", json!({ "path": config, "state": "absent" })).await?;
        let again = json!({ "name": "haproxy", "state": "restarted" });
        // Should that fail too, the first reason is still the one to be told.
        drop(self.module(party, "systemd", again).await);
        Err(why.err().unwrap_or(failure))
    }

    /// Has HAProxy take no more of its machine than that can give; tells whether that is new.
    async fn limit(&self, party: &Party, balancer: &Balancer) -> Result<bool, StepFault> {
        let info = self.ask_haproxy(party, haproxy::show_info()).await?;
        let (Some(info), Some(group)) = (info, self.site.group(&balancer.on)) else {
            return Ok(false);
        };
        let session = self.sessions.get(party, SHORT).await.map_err(|e| fault(&e))?;
        let mut owners = Vec::new();
        // One that is not there says nothing.
        drop(session.get(haproxy::OWNERS_CONFIG, &mut owners).await);
        let limits = haproxy::limits(&info, &String::from_utf8_lossy(&owners), group.memory);
        let path = haproxy::LIMITS_FILE;
        let done = match limits {
            Some(text) => {
                let copy = json!({ "dest": path, "content": text, "mode": "0644" });
                self.module(party, "copy", copy).await?
            }
            None => self.module(party, "file", json!({ "path": path, "state": "absent" })).await?,
        };
        Ok(changed(&done))
    }
}
