//! Plans for single machines and single services: what people ask for by name.

use crate::builder::Builder;
use crate::teardown::{finish, group, plan_down};
use crate::{Act, AgentFacts, ChangeKind, Desired, Memory, Observed, Plan};
use updraft_base::{MachineName, ServiceName};

/// What is to be done with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceVerb {
    /// Deploy its version again.
    Deploy,
    /// Start it where it is down.
    Start,
    /// Take it out of its balancers and stop it.
    Stop,
}

/// The part of an `up` plan that powers these machines on and tells them who they are.
pub fn plan_start(up: Plan, names: &[MachineName]) -> Plan {
    let named = |name: &MachineName| names.contains(name);
    let mut plan = up.keep(|step| match &step.act {
        Act::StartMachine { machine, .. } | Act::Identify { machine, .. } => named(machine),
        Act::EnsureNetwork { .. } => true,
        _ => false,
    });
    // A machine that is not made yet cannot be started by itself.
    let started = |name: &str| {
        let key = format!("machine/{name}/");
        plan.steps.iter().any(|step| step.key.starts_with(&key))
    };
    let kept = plan.changes.iter().filter(|change| {
        change.kind == ChangeKind::Change && (started(&change.subject) || change.group == "network")
    });
    plan.changes = kept.cloned().collect();
    plan.verb = "machine start".to_owned();
    plan
}

/// Plans to power these machines off.
pub fn plan_stop(
    desired: &Desired,
    observed: &Observed,
    memory: &Memory,
    names: &[MachineName],
) -> Plan {
    let mut plan = plan_down(desired, observed, memory).keep(
        |step| matches!(&step.act, Act::StopMachine { machine, .. } if names.contains(machine)),
    );
    plan.changes.retain(|change| names.iter().any(|name| name.as_str() == change.subject));
    plan.verb = "machine stop".to_owned();
    plan
}

/// Plans something for one service on these machines, one after the other. A service or machine
/// that is not there is left out: names are checked by the caller.
pub fn plan_service(
    desired: &Desired,
    observed: &Observed,
    memory: &Memory,
    service: &ServiceName,
    verb: ServiceVerb,
    names: &[MachineName],
) -> Plan {
    let mut builder = Builder::default();
    let wanted = desired.services.iter().find(|wanted| wanted.name == *service);
    let members = observed.machines.iter().filter(|facts| names.contains(&facts.name));
    let mut last = None;
    for (wanted, facts) in wanted.into_iter().flat_map(|w| members.clone().map(move |m| (w, m))) {
        let machine = facts.name.clone();
        let previous = match &facts.agent {
            AgentFacts::Answers { services, .. } => {
                services.get(service).map(|mark| mark.version.clone())
            }
            AgentFacts::Silent => None,
        };
        let (word, title, act) = match verb {
            ServiceVerb::Deploy => (
                "roll",
                format!("bring {service} {} to {machine}", wanted.version),
                Act::Roll {
                    service: service.clone(),
                    machine: machine.clone(),
                    version: wanted.version.clone(),
                    content: wanted.content,
                    previous: previous.filter(|previous| *previous != wanted.version),
                    again: true,
                },
            ),
            ServiceVerb::Start => (
                "revive",
                format!("start {service} on {machine}"),
                Act::Revive { service: service.clone(), machine: machine.clone() },
            ),
            ServiceVerb::Stop => (
                "halt",
                format!("stop {service} on {machine}"),
                Act::Halt { service: service.clone(), machine: machine.clone() },
            ),
        };
        builder.change(ChangeKind::Change, group(facts), &machine, title.clone());
        let key = format!("service/{service}/{machine}/{word}");
        last = Some(builder.step(key, title, machine.as_str(), last, act));
    }
    finish("service", desired, memory.clone(), builder)
}
