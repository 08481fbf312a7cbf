//! Does the steps of a plan: each act looks first, so that it may be repeated.

use crate::becoming::Becoming;
use crate::identity;
use crate::observe::{play_mark, service_mark};
use crate::place::Place;
use crate::sessions::{Party, SessionError, Sessions};
use crate::settings::Settings;
use crate::still;
use crate::wake;
use crate::world::ImageStore;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use updraft_base::{Blame, Blamed, Clock, Digest, MachineName, RunId};
use updraft_engine::{Attempt, Journal, Step, StepContext, StepFault};
use updraft_host::FileLock;
use updraft_plan::{Act, MachineDrawn, Plan, ServiceMark};
use updraft_provider::{
    MachineOrder, MachineSeen, NetworkOrder, Nic, Provider, Start, Stop, TemplateOrder,
};
use updraft_site::{Service, Site};
use updraft_wire::{Exec, HostsLine, Observed, PowerAction, Put, Request, Response};

/// A request that an agent answers at once.
pub(crate) const SHORT: Duration = Duration::from_secs(30);

/// How long a machine may take to start an agent that was brought to it: seconds, emulated.
const RENEWED_WITHIN: Duration = Duration::from_secs(60);

/// How long a machine may take to begin with that: a fraction of a second, emulated.
const RESTART_BEGUN_WITHIN: Duration = Duration::from_secs(5);

/// Where the agent is on a machine.
const AGENT: &str = "/usr/lib/updraft/updraft-agent";

/// How long the operating system has to power itself off before the plug is pulled.
const OFF_WITHIN: Duration = Duration::from_secs(90);

/// Everything the acts of one run work with.
pub(crate) struct Actor {
    pub(crate) site: Arc<Site>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) place: Place,
    pub(crate) run: RunId,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) images: Arc<ImageStore>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    /// The machines that this run starts live.
    pub(crate) becoming: Becoming,
    /// Lines for `/etc/hosts`, made once for all machines.
    pub(crate) hosts: OnceLock<Arc<Vec<HostsLine>>>,
    /// What people are told when the run is over.
    pub(crate) told: Mutex<Vec<String>>,
}

/// What a machine is told besides its network.
struct Told {
    /// Digest of its identity.
    digest: String,
    /// Digest of the agent it should run.
    agent: Option<Digest>,
    /// Even where it has this identity.
    again: bool,
}

/// Turns an error that knows whom to blame into the fault of a step.
pub(crate) fn fault(error: &(impl Blamed + 'static)) -> StepFault {
    StepFault::from_error(error)
}

#[async_trait]
impl updraft_engine::Actor for Actor {
    async fn act(
        &self,
        step: &Step,
        _attempt: Attempt,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let act: Act = serde_json::from_value(step.spec.clone()).map_err(|error| {
            StepFault::new(Blame::Bug, format!("the step `{}` cannot be read: {error}", step.key))
        })?;
        let machines = still::waited_for(&act);
        self.while_moving(&machines, self.carry_out(act, step, context)).await
    }

    async fn undo(&self, step: &Step, _context: &StepContext) -> Result<(), StepFault> {
        let act: Act = serde_json::from_value(step.spec.clone())
            .map_err(|error| StepFault::new(Blame::Bug, error.to_string()))?;
        match act {
            Act::CreateMachine(drawn) => {
                let provider = self.provider(&drawn.provider)?;
                provider.destroy_machine(drawn.id).await.map_err(|e| fault(&e))
            }
            Act::CloneMachine { provider, clones, .. } => {
                let provider = self.provider(&provider)?;
                for clone in clones {
                    provider.destroy_machine(clone.id).await.map_err(|e| fault(&e))?;
                }
                Ok(())
            }
            Act::EnsureNetwork { provider, network, .. } => {
                // A network that machines are on is left as it is: it was there before, and this
                // step only failed to repair it.
                let provider = self.provider(&provider)?;
                let seen = provider.observe().await.map_err(|e| fault(&e))?;
                let on_it = |order: &MachineOrder| order.nics.iter().any(|n| n.network == network);
                if seen.machines.iter().any(|machine| machine.order.as_ref().is_some_and(on_it)) {
                    return Ok(());
                }
                provider.destroy_network(&network).await.map_err(|e| fault(&e))
            }
            _ => Ok(()),
        }
    }
}

impl Actor {
    async fn carry_out(
        &self,
        act: Act,
        step: &Step,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        match act {
            Act::BuildImage { image, digest } => {
                self.images.build(&self.site, &image, digest, context).await
            }
            Act::EnsureTemplate { provider, image, digest, memory, cpus, disk } => {
                let files = self.images.files(&self.site, &provider, &image, digest, disk).await?;
                let order = TemplateOrder { image: digest, files, memory, cpus, disk };
                self.provider(&provider)?.ensure_template(&order).await.map_err(|e| fault(&e))?;
                Ok(Value::Null)
            }
            Act::DropTemplate { provider, template } => {
                self.provider(&provider)?.drop_template(template).await.map_err(|e| fault(&e))?;
                Ok(Value::Null)
            }
            Act::EnsureNetwork { provider, network, cidr, bridge } => {
                let order = NetworkOrder { name: network, cidr, bridge };
                self.provider(&provider)?.ensure_network(&order).await.map_err(|e| fault(&e))?;
                Ok(Value::Null)
            }
            Act::DestroyNetwork { provider, network } => {
                self.provider(&provider)?.destroy_network(&network).await.map_err(|e| fault(&e))?;
                Ok(Value::Null)
            }
            Act::CreateMachine(drawn) => self.create(&drawn).await,
            Act::StartMachine { provider, id, .. } => {
                self.sessions.forget(id).await;
                self.provider(&provider)?.start_machine(id).await.map_err(|e| fault(&e))?;
                Ok(Value::Null)
            }
            Act::CloneMachine { provider, of, machine, live, clones } => {
                self.clone_machine(&Party { provider, id: of, name: machine }, live, &clones).await
            }
            Act::TakeSnapshot { provider, id, machine, snapshot } => {
                self.take_snapshot(&Party { provider, id, name: machine }, snapshot).await
            }
            Act::RevertMachine { provider, id, snapshot, .. } => {
                self.sessions.forget(id).await;
                let provider = self.provider(&provider)?;
                provider.revert_machine(id, snapshot).await.map_err(|e| fault(&e))?;
                Ok(Value::Null)
            }
            Act::DropSnapshot { provider, id, snapshot, .. } => {
                let provider = self.provider(&provider)?;
                provider.drop_snapshot(id, snapshot).await.map_err(|e| fault(&e))?;
                Ok(Value::Null)
            }
            Act::Identify {
                provider,
                id,
                machine,
                mac,
                address,
                gateway,
                digest,
                agent,
                again,
            } => {
                let party = Party { provider, id, name: machine };
                let interface =
                    updraft_wire::Interface { mac, address, gateway: Some(gateway.to_string()) };
                let told = Told { digest, agent, again };
                self.identify(&party, interface, told, context).await
            }
            Act::StopMachine { provider, id, machine } => {
                self.stop(Party { provider, id, name: machine }, context).await
            }
            Act::ResizeMachine { provider, id, machine, shape, restart } => {
                self.resize(Party { provider, id, name: machine }, shape, restart, context).await
            }
            Act::Withdraw { machine, services } => {
                for service in services {
                    if let Some(service) = self.site.service(&service) {
                        self.drain(service, &machine, context).await?;
                    }
                }
                Ok(Value::Null)
            }
            Act::DestroyMachine { provider, id, machine } => {
                self.sessions.forget(id).await;
                self.provider(&provider)?.destroy_machine(id).await.map_err(|e| fault(&e))?;
                identity::forget(&self.journal, &machine, id).map_err(|e| fault(&e))?;
                Ok(Value::Null)
            }
            Act::Configure { group, machines, digest } => {
                self.configure(step.id.0, &group, machines, digest, context).await
            }
            Act::Halt { service, machine } => self.halt(&service, &machine, context).await,
            Act::Roll { service, machine, version, content, previous, again } => {
                let mark =
                    ServiceMark { version, content: content.to_string(), settled: true, previous };
                self.roll(step.id.0, &service, &machine, mark, again, context).await
            }
            Act::Revive { service, machine } => self.revive(&service, &machine, context).await,
            Act::Introduce { service, machine, members } => {
                self.introduce(&service, &machine, &members, context).await
            }
            Act::Balance { service, machine, members, digest } => {
                self.balance(&service, &machine, &members, &digest, context).await
            }
        }
    }

    /// Has people told when the run is over.
    pub(crate) fn announce(&self, text: String) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    pub(crate) fn provider(&self, kind: &str) -> Result<&Arc<dyn Provider>, StepFault> {
        self.sessions.provider(kind).map_err(|error| fault(&error))
    }

    /// The service of that name in the site file as it is now.
    pub(crate) fn service(&self, name: &updraft_base::ServiceName) -> Result<&Service, StepFault> {
        self.site.service(name).ok_or_else(|| {
            StepFault::new(Blame::Asked, format!("service `{name}` is not in the site file"))
        })
    }

    /// A machine as the plan knows it.
    pub(crate) fn party(&self, name: &MachineName) -> Result<Party, StepFault> {
        let drawn = self.plan.memory.machines.get(name).ok_or_else(|| {
            StepFault::new(Blame::Bug, format!("the plan does not know a machine `{name}`"))
        })?;
        Ok(Party { provider: self.provider_of(name), id: drawn.id, name: name.clone() })
    }

    fn provider_of(&self, name: &MachineName) -> String {
        let drawn = self.plan.memory.machines.get(name);
        match drawn.and_then(|drawn| drawn.cloned.as_ref()) {
            Some(cloned) => cloned.provider.clone(),
            None => {
                self.site.group_of(name).map_or("qemu", |group| group.provider.as_str()).to_owned()
            }
        }
    }

    async fn create(&self, drawn: &MachineDrawn) -> Result<Value, StepFault> {
        let files = self
            .images
            .files(&self.site, &drawn.provider, &drawn.image, drawn.image_digest, drawn.disk)
            .await?;
        let order = MachineOrder {
            id: drawn.id,
            name: drawn.machine.clone(),
            group: drawn.group.clone(),
            memory: drawn.memory,
            cpus: drawn.cpus,
            disk: drawn.disk,
            image: drawn.image_digest,
            files,
            nics: vec![Nic {
                network: drawn.network.clone(),
                mac: drawn.mac,
                address: drawn.address,
            }],
            outlet: false,
            start: if drawn.live { Start::Live } else { Start::Cold },
        };
        let provider = self.provider(&drawn.provider)?;
        provider.create_machine(&order).await.map_err(|e| fault(&e))?;
        Ok(Value::Null)
    }

    async fn identify(
        &self,
        party: &Party,
        interface: updraft_wire::Interface,
        what: Told,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let turn = self.becoming.turn(party.id).await;
        let told = self.tell_identity(party, interface, what, context).await;
        drop(turn);
        if told.is_ok() {
            return told;
        }
        self.sessions.forget(party.id).await;
        // Somebody else who talks to it may be doing this very work.
        let busy = FileLock::holder(&self.place.channel_lock(party.id)).is_some();
        if !busy && self.is_unborn(party).await? {
            // It goes on as the template that it comes from, and nobody knows how far it got.
            context.report("removing it: it did not become itself");
            let provider = self.provider(&party.provider)?;
            provider.destroy_machine(party.id).await.map_err(|e| fault(&e))?;
        }
        told
    }

    /// Whether a machine that started live was never told who it is.
    async fn is_unborn(&self, party: &Party) -> Result<bool, StepFault> {
        let known = identity::is_remembered(&self.journal, party).map_err(|e| fault(&e))?;
        let seen = self.provider(&party.provider)?.observe().await.map_err(|e| fault(&e))?;
        let seen = seen.machines.into_iter().find(|m| m.id == party.id);
        let live = |m: MachineSeen| m.apart || m.order.is_some_and(|o| o.start == Start::Live);
        Ok(!known && seen.is_some_and(live))
    }

    async fn tell_identity(
        &self,
        party: &Party,
        interface: updraft_wire::Interface,
        what: Told,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let Told { digest, agent, again } = what;
        context.phase("wait");
        let mut seen = self.wait_for_agent(party, context).await?;
        if let (Some(wanted), Some(runs)) = (agent, seen.agent)
            && wanted != runs
        {
            seen = self.renew_agent(party, wanted, context).await?;
        }
        if again || seen.identity != digest {
            context.report("telling it who it is");
            context.phase("identify");
            let hosts = self.hosts.get_or_init(|| identity::hosts(&self.plan)).clone();
            let mut identity = identity::render(
                &self.site,
                &self.plan,
                hosts,
                party,
                interface,
                digest,
                &*self.clock,
            );
            identity.quiet_ms = u64::try_from(self.becoming.quiet().as_millis()).ok();
            self.sessions
                .ask(party, "take its identity", Request::Identify(Box::new(identity)), SHORT * 4)
                .await
                .map_err(|e| fault(&e))?;
            seen = self.observe(party).await?;
        }
        // One that started again is off too: the chip that it read its clock from counts seconds.
        let session = self.sessions.get(party, SHORT).await.map_err(|e| fault(&e))?;
        let lost = |source| fault(&SessionError::Agent { machine: party.name.clone(), source });
        updraft_remote::set_clock(&*session, &*self.clock, SHORT).await.map_err(lost)?;
        // One that went on as another machine is heard from here on.
        let provider = self.provider(&party.provider)?;
        provider.connect_machine(party.id).await.map_err(|e| fault(&e))?;
        identity::remember(&self.journal, party, &seen.host_keys).map_err(|e| fault(&e))?;
        Ok(json!({ "boot_id": seen.boot_id }))
    }

    /// Puts our agent in the place of another one and waits until it answers.
    async fn renew_agent(
        &self,
        party: &Party,
        wanted: Digest,
        context: &StepContext,
    ) -> Result<Observed, StepFault> {
        let ours = self.settings.agent.as_ref().filter(|agent| agent.digest() == wanted);
        let ours = ours.ok_or_else(|| {
            StepFault::new(Blame::Asked, "the plan was made by another updraft")
                .hinting("run `updraft up` again")
        })?;
        let ours = ours.bytes();
        context.report("bringing its agent up to date");
        context.phase("agent");
        let lost = |source| fault(&SessionError::Agent { machine: party.name.clone(), source });
        let session = self.sessions.get(party, SHORT).await.map_err(|e| fault(&e))?;
        let put = Put {
            path: Some(AGENT.to_owned()),
            size: ours.len() as u64,
            digest: wanted,
            mode: 0o755,
            keep: false,
        };
        session.put(put, &mut &*ours).await.map_err(lost)?;
        // It ends itself with this, so its answer may never come, and need not.
        let argv = ["systemctl", "--no-block", "restart", "updraft-agent.service"];
        let restart = Exec { argv: argv.map(str::to_owned).to_vec(), ..Exec::default() };
        drop(session.call(Request::Exec(restart), RESTART_BEGUN_WITHIN).await);
        drop(session);
        let began = tokio::time::Instant::now();
        loop {
            self.sessions.forget(party.id).await;
            let seen = self.wait_for_agent(party, context).await?;
            if seen.agent == Some(wanted) {
                return Ok(seen);
            }
            if began.elapsed() > RENEWED_WITHIN {
                let message = format!("`{}` still runs another agent", party.name);
                let hint = format!(
                    "look at it with `updraft exec {} -- systemctl status updraft-agent`",
                    party.name
                );
                return Err(StepFault::new(Blame::World, message).hinting(hint));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn wait_for_agent(
        &self,
        party: &Party,
        context: &StepContext,
    ) -> Result<Observed, StepFault> {
        let provider = self.provider(&party.provider)?;
        wake::agent(&self.sessions, &**provider, party, &|text| context.report(text)).await
    }

    pub(crate) async fn observe(&self, party: &Party) -> Result<Observed, StepFault> {
        match self.sessions.ask(party, "say how it is", Request::Observe, SHORT).await {
            Ok(Response::Observed(seen)) => Ok(*seen),
            Ok(_) => Err(answered_something_else(party)),
            Err(error) => Err(fault(&error)),
        }
    }

    /// Remembers something about a machine on the machine.
    pub(crate) async fn mark(
        &self,
        party: &Party,
        key: String,
        value: Value,
    ) -> Result<(), StepFault> {
        let request = Request::Mark { key, value: Some(value) };
        let asked = self.sessions.ask(party, "remember what was done", request, SHORT).await;
        asked.map(drop).map_err(|e| fault(&e))
    }

    pub(crate) async fn stop(
        &self,
        party: Party,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        context.report("shutting down");
        let off = Request::Power { action: PowerAction::Off };
        // When the agent cannot pass the word on, the provider's power button does.
        drop(self.sessions.ask(&party, "power off", off, Duration::from_secs(5)).await);
        self.sessions.forget(party.id).await;
        let provider = self.provider(&party.provider)?;
        provider.stop_machine(party.id, Stop::Orderly(OFF_WITHIN)).await.map_err(|e| fault(&e))?;
        Ok(Value::Null)
    }

    async fn configure(
        &self,
        step: u32,
        group: &updraft_base::GroupName,
        machines: Vec<MachineName>,
        digest: updraft_base::Digest,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let wanted = Value::String(digest.to_string());
        let key = play_mark(group);
        let mut stale = Vec::new();
        for machine in machines {
            let seen = self.observe(&self.party(&machine)?).await?;
            if seen.marks.get(&key) != Some(&wanted) {
                stale.push(machine);
            }
        }
        if stale.is_empty() {
            return Ok(json!({ "configured": 0 }));
        }
        let group = self.site.group(group).ok_or_else(|| {
            StepFault::new(Blame::Asked, format!("group `{group}` is not in the site file"))
        })?;
        let Some(play) = &group.play else { return Ok(Value::Null) };
        let report = self.play(step, play, &stale, serde_json::Map::new(), context).await?;
        for machine in report.well() {
            self.mark(&self.party(machine)?, key.clone(), wanted.clone()).await?;
        }
        report.into_result(play)?;
        Ok(json!({ "configured": stale.len() }))
    }

    /// What a machine remembers of a service.
    pub(crate) async fn service_mark(
        &self,
        party: &Party,
        service: &Service,
    ) -> Result<Option<ServiceMark>, StepFault> {
        let seen = self.observe(party).await?;
        let mark = seen.marks.get(&service_mark(&service.name));
        Ok(mark.and_then(|mark| serde_json::from_value(mark.clone()).ok()))
    }

    /// A machine's address, as planned.
    pub(crate) fn address(&self, name: &MachineName) -> Result<std::net::Ipv4Addr, StepFault> {
        self.plan.memory.machines.get(name).map(|drawn| drawn.address).ok_or_else(|| {
            StepFault::new(Blame::Bug, format!("the plan does not know a machine `{name}`"))
        })
    }
}

pub(crate) fn answered_something_else(party: &Party) -> StepFault {
    StepFault::new(Blame::Bug, format!("`{}` gave an answer to another question", party.name))
}
