//! Looks at the world: what providers have of ours, and what the agents inside say.

use crate::resize::RESIZING;
use crate::sessions::{Party, SessionError, Sessions};
use futures::StreamExt as _;
use std::collections::BTreeMap;
use std::time::Duration;
use updraft_base::{Digest, GroupName, MachineId, ServiceName};
use updraft_plan::{AgentFacts, MachineFacts, Made, NetworkFacts, Observed, Power, ServiceMark};
use updraft_provider::{MachineSeen, ProviderError, Seen};
use updraft_site::{Probe, Service, Site};
use updraft_wire::{ProbeTarget, Request, Response};

/// How many agents are asked at once. Bounds open sockets and memory, not speed: an answer takes
/// milliseconds.
const ASKED_AT_ONCE: usize = 64;

/// An agent that runs answers within milliseconds; one that boots does not answer at all.
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);

/// A service that answers does so within this; a slower one counts as down.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

/// Everything seen at one moment.
#[derive(Debug, Default)]
pub struct Sight {
    /// What a plan needs.
    pub observed: Observed,
    /// What people want to know besides, by machine.
    pub details: BTreeMap<MachineId, Details>,
}

/// What people want to know of a machine besides what a plan needs.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// Who talks to its agent, so that it cannot be asked anything now.
    pub busy: Option<String>,
    /// Why its agent did not answer.
    pub silent: Option<String>,
    /// What is wrong with it, says its provider.
    pub fault: Option<String>,
    /// What the agent said.
    pub agent: Option<updraft_wire::Observed>,
    /// What the tests of its services saw.
    pub probes: BTreeMap<ServiceName, String>,
}

/// Looks at everything of a site. `images` are those already known to be there.
///
/// # Errors
/// When a provider cannot be asked. An agent that does not answer is no error.
pub(crate) async fn observe(
    site: &Site,
    sessions: &Sessions,
    images: impl IntoIterator<Item = Digest>,
) -> Result<Sight, ProviderError> {
    let mut sight = Sight::default();
    sight.observed.images.extend(images);
    let mut asked = Vec::new();
    for (kind, provider) in sessions.providers() {
        let Seen { machines, networks } = provider.observe().await?;
        sight.observed.networks.extend(networks.into_iter().map(|network| NetworkFacts {
            provider: kind.clone(),
            name: network.name,
            cidr: network.order.cidr,
            bridge: network.order.bridge,
            intact: network.intact,
        }));
        asked.extend(machines.into_iter().map(|seen| (kind.clone(), seen)));
    }
    let answers = futures::stream::iter(asked)
        .map(|(kind, seen)| look(site, sessions, kind, seen))
        .buffered(ASKED_AT_ONCE);
    let all: Vec<(MachineFacts, Details)> = answers.collect().await;
    for (facts, details) in all {
        sight.details.insert(facts.id, details);
        sight.observed.machines.push(facts);
    }
    Ok(sight)
}

async fn look(
    site: &Site,
    sessions: &Sessions,
    kind: String,
    seen: MachineSeen,
) -> (MachineFacts, Details) {
    let group = seen.order.as_ref().map(|order| order.group.clone());
    let address = seen.order.as_ref().and_then(|order| order.nics.first()).map(|nic| nic.address);
    let mut details = Details { fault: seen.fault.clone(), ..Details::default() };
    let mut facts = MachineFacts {
        provider: kind.clone(),
        id: seen.id,
        name: seen.name.clone(),
        group: group.clone(),
        power: power(&seen),
        made: seen.order.as_ref().and_then(made),
        unborn: seen.unborn,
        resizing: false,
        agent: AgentFacts::Silent,
        health: BTreeMap::new(),
        snapshots: seen.snapshots,
        clone_of: seen.clone_of,
        apart: seen.apart,
    };
    if facts.power != Power::On {
        return (facts, details);
    }
    let party = Party { provider: kind, id: seen.id, name: seen.name };
    match sessions.ask(&party, "say how it is", Request::Observe, ANSWER_WITHIN).await {
        Ok(Response::Observed(answer)) => {
            facts.resizing = answer.marks.contains_key(RESIZING);
            facts.agent = agent_facts(group.as_ref(), &answer);
            details.agent = Some(*answer);
        }
        Ok(_) => details.silent = Some("it gave an answer to another question".to_owned()),
        Err(SessionError::Busy { holder, .. }) => {
            let holder = holder.map(|holder| holder.to_string());
            details.busy = Some(holder.unwrap_or_else(|| "another command".to_owned()));
        }
        Err(error) => details.silent = Some(updraft_base::chain(&error)),
    }
    if let (AgentFacts::Answers { services, .. }, Some(address)) = (&facts.agent, address) {
        let here = site.services.iter().filter(|s| services.contains_key(&s.name));
        for service in here {
            let Some(request) = probe(service, &address.to_string(), PROBE_WITHIN) else {
                continue;
            };
            let (healthy, saw) =
                match sessions.ask(&party, "try a service", request, PROBE_WITHIN * 2).await {
                    Ok(Response::Probed(probed)) => (probed.healthy, probed.saw),
                    Ok(_) => (false, "no answer to the test".to_owned()),
                    Err(error) => (false, updraft_base::chain(&error)),
                };
            facts.health.insert(service.name.clone(), healthy);
            details.probes.insert(service.name.clone(), saw);
        }
    }
    (facts, details)
}

fn power(seen: &MachineSeen) -> Power {
    match seen.power {
        updraft_provider::Power::On if seen.fault.is_some() => Power::Stuck,
        updraft_provider::Power::On => Power::On,
        updraft_provider::Power::Off => Power::Off,
        updraft_provider::Power::Dead => Power::Dead,
    }
}

fn made(order: &updraft_provider::MachineOrder) -> Option<Made> {
    let nic = order.nics.first()?;
    Some(Made {
        memory: order.memory,
        cpus: order.cpus,
        disk: order.disk,
        image: order.image,
        network: nic.network.clone(),
        mac: nic.mac,
        address: nic.address,
    })
}

/// Key of the mark that a group's play leaves on a machine.
pub(crate) fn play_mark(group: &GroupName) -> String {
    format!("play.{group}")
}

/// Key of the mark that a service leaves on a machine.
pub(crate) fn service_mark(service: &ServiceName) -> String {
    format!("service.{service}")
}

/// Key of the mark that a balancer's configuration leaves on a machine.
pub(crate) fn balancer_mark(service: &ServiceName) -> String {
    format!("balancer.{service}")
}

fn agent_facts(group: Option<&GroupName>, answer: &updraft_wire::Observed) -> AgentFacts {
    let text = |key: String| answer.marks.get(&key)?.as_str().map(str::to_owned);
    let named = |prefix: &'static str| {
        answer.marks.iter().filter_map(move |(key, value)| {
            let name: ServiceName = key.strip_prefix(prefix)?.parse().ok()?;
            Some((name, value))
        })
    };
    AgentFacts::Answers {
        identity: answer.identity.clone(),
        agent: answer.agent,
        play: group.and_then(|group| text(play_mark(group))),
        services: named("service.")
            .filter_map(|(name, value)| {
                serde_json::from_value::<ServiceMark>(value.clone()).ok().map(|mark| (name, mark))
            })
            .collect(),
        balancers: named("balancer.")
            .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
            .collect(),
    }
}

/// The request that tries a service on a machine; `None` when it has no test.
pub(crate) fn probe(service: &Service, host: &str, within: Duration) -> Option<Request> {
    let host = host.to_owned();
    let target = match &service.test.as_ref()?.probe {
        Probe::Http { port, path, expect, status } => ProbeTarget::Http {
            host,
            port: *port,
            path: path.clone(),
            status: Some(*status),
            expect: expect.clone(),
        },
        Probe::Tcp(port) => ProbeTarget::Tcp { host, port: *port },
        Probe::Command(shell) => ProbeTarget::Command { shell: shell.clone() },
    };
    let deadline_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    Some(Request::Probe(updraft_wire::Probe { target, deadline_ms }))
}
