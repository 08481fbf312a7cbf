//! Services on machines, and the balancers in front of them.
//!
//! Machines that serve are brought to a new version one after the other: a failed one stops the
//! rest. Machines that never served are brought up together.

use crate::planner::Planner;
use crate::survey::Wanted;
use crate::{Act, AgentFacts, BalancerMember, ChangeKind, ServiceMark, ServiceWanted};
use std::collections::BTreeSet;
use updraft_base::{Hasher, MachineName};

/// Plans every service. Returns the steps after which no balancer points to what goes away.
pub(crate) fn plan_services<'a>(planner: &mut Planner<'a, '_>, wanted: &[Wanted<'a>]) -> Vec<u32> {
    let mut balanced = Vec::new();
    let desired = planner.desired;
    for service in &desired.services {
        let members: Vec<&Wanted<'a>> =
            wanted.iter().filter(|w| w.group.name == service.on).collect();
        let rolled = roll_members(planner, service, &members);
        balanced.extend(balance(planner, service, wanted, &members, &rolled));
    }
    balanced
}

/// What a machine remembers of a service; `None` when it has none or does not say.
fn mark<'a>(service: &ServiceWanted, w: &Wanted<'a>) -> Option<&'a ServiceMark> {
    match w.stays().map(|facts| &facts.agent) {
        Some(AgentFacts::Answers { services, .. }) => services.get(&service.name),
        _ => None,
    }
}

fn silent(w: &Wanted<'_>) -> bool {
    matches!(w.stays().map(|facts| &facts.agent), Some(AgentFacts::Silent))
}

fn roll_members<'a>(
    planner: &mut Planner<'a, '_>,
    service: &ServiceWanted,
    members: &[&Wanted<'a>],
) -> Vec<u32> {
    let mut steps = Vec::new();
    let mut last = None;
    let mut fresh = 0;
    for w in members {
        let place = (service.name.clone(), w.name.clone());
        let rolled = planner.builder.rolled.get(&place).copied();
        // A machine that is replaced or restarted got its services within its own chain.
        steps.extend(rolled);
        last = rolled.or(last);
        let mark = mark(service, w);
        let current = mark.is_some_and(|mark| {
            mark.settled
                && mark.version == service.version
                && mark.content == service.content.to_string()
        });
        let group = &w.group.name;
        match mark {
            Some(_) if current => {
                let down =
                    w.stays().and_then(|facts| facts.health.get(&service.name)) == Some(&false);
                if down && rolled.is_none() {
                    let because = format!("service {} is down: start it", service.name);
                    planner.builder.change(ChangeKind::Change, group, &w.name, because);
                    let after = planner.builder.ready_after(&w.name);
                    steps.push(planner.builder.step(
                        format!("service/{}/{}/revive", service.name, w.name),
                        format!("start {} on {}", service.name, w.name),
                        w.name.as_str(),
                        after,
                        Act::Revive { service: service.name.clone(), machine: w.name.clone() },
                    ));
                }
            }
            Some(mark) => {
                let because = match (mark.settled, mark.version == service.version) {
                    (false, _) => format!("service {}: finish {}", service.name, service.version),
                    (true, false) => {
                        format!("service {} {} → {}", service.name, mark.version, service.version)
                    }
                    (true, true) => format!("service {}: its deployment changed", service.name),
                };
                planner.builder.change(ChangeKind::Change, group, &w.name, because);
                if rolled.is_none() {
                    last = Some(roll(planner, service, w, last));
                    steps.extend(last);
                }
            }
            None if rolled.is_some() => {}
            None if silent(w) => {
                last = Some(roll(planner, service, w, last));
                steps.extend(last);
            }
            None => {
                fresh += 1;
                steps.push(roll(planner, service, w, None));
            }
        }
    }
    if fresh > 0 {
        let because = format!("{} on {fresh} × {}", service.version, service.on);
        planner.builder.change(ChangeKind::Create, "service", &service.name, because);
    }
    steps
}

/// One machine of a service, after the one before it in the row.
pub(crate) fn roll<'a>(
    planner: &mut Planner<'a, '_>,
    service: &ServiceWanted,
    w: &Wanted<'a>,
    last: Option<u32>,
) -> u32 {
    let previous = mark(service, w).and_then(|mark| match mark.settled {
        true => Some(mark.version.clone()),
        false => mark.previous.clone(),
    });
    let after = planner.builder.ready_after(&w.name).into_iter().chain(last);
    let step = planner.builder.step(
        format!("service/{}/{}/roll", service.name, w.name),
        format!("bring {} {} to {}", service.name, service.version, w.name),
        w.name.as_str(),
        after,
        Act::Roll {
            service: service.name.clone(),
            machine: w.name.clone(),
            version: service.version.clone(),
            content: service.content,
            previous: previous.filter(|previous| *previous != service.version),
            again: false,
        },
    );
    planner.builder.ready.insert(w.name.clone(), step);
    planner.builder.rolled.insert((service.name.clone(), w.name.clone()), step);
    step
}

fn balance<'a>(
    planner: &mut Planner<'a, '_>,
    service: &ServiceWanted,
    wanted: &[Wanted<'a>],
    members: &[&Wanted<'a>],
    rolled: &[u32],
) -> Vec<u32> {
    let Some(balancer) = &service.balancer else { return Vec::new() };
    let members: Vec<BalancerMember> = members
        .iter()
        .map(|w| BalancerMember { machine: w.name.clone(), address: w.drawn.address })
        .collect();
    let mut hasher = Hasher::default();
    hasher.field(balancer.content.to_string());
    for member in &members {
        hasher.field(member.machine.as_str());
        hasher.field(member.address.octets());
    }
    let digest = hasher.finish().to_string();
    let withdrawn: BTreeSet<u32> = planner
        .builder
        .steps
        .iter()
        .filter(|step| matches!(step.act, Act::Withdraw { .. }))
        .map(|step| step.id)
        .collect();
    let mut steps = Vec::new();
    for w in wanted.iter().filter(|w| w.group.name == balancer.on) {
        let known = match w.stays().map(|facts| &facts.agent) {
            Some(AgentFacts::Answers { balancers, .. }) => balancers.get(&service.name),
            _ => None,
        };
        // A balancer whose play runs again may have lost its configuration.
        let touched = planner.builder.ready_after(&w.name).is_some();
        if known == Some(&digest) && !touched {
            continue;
        }
        if known.is_some_and(|known| *known != digest) {
            let because = format!("members of {}: {}", service.name, list(&members));
            planner.builder.change(ChangeKind::Change, &w.group.name, &w.name, because);
        }
        let introduced = (w.stays().is_none() && !rolled.is_empty()).then(|| {
            planner.builder.step(
                format!("service/{}/{}/introduce", service.name, w.name),
                format!("tell {} who will serve {}", w.name, service.name),
                w.name.as_str(),
                planner.builder.ready_after(&w.name),
                Act::Introduce {
                    service: service.name.clone(),
                    machine: w.name.clone(),
                    members: members.clone(),
                },
            )
        });
        let after = rolled
            .iter()
            .copied()
            .chain(withdrawn.iter().copied())
            .chain(introduced)
            .chain(planner.builder.ready_after(&w.name));
        steps.push(planner.builder.step(
            format!("service/{}/{}/balance", service.name, w.name),
            format!("tell {} the members of {}", w.name, service.name),
            w.name.as_str(),
            after,
            Act::Balance {
                service: service.name.clone(),
                machine: w.name.clone(),
                members: members.clone(),
                digest: digest.clone(),
            },
        ));
    }
    steps
}

fn list(members: &[BalancerMember]) -> String {
    let names: Vec<&MachineName> = members.iter().map(|member| &member.machine).collect();
    crate::render::collapse(&names)
}
