//! Plans that stop or remove what carries our mark, whatever the site file says now.

use crate::builder::Builder;
use crate::{Act, ChangeKind, Desired, MachineFacts, Memory, Observed, Plan, Power, VERSION};

pub(crate) fn group(facts: &MachineFacts) -> String {
    facts.group.as_ref().map_or_else(|| "machine".to_owned(), ToString::to_string)
}

pub(crate) fn finish(verb: &str, desired: &Desired, memory: Memory, builder: Builder) -> Plan {
    let mut changes = builder.changes;
    changes.sort_by(|a, b| (a.kind, &a.group).cmp(&(b.kind, &b.group)));
    Plan {
        version: VERSION,
        site: desired.site.clone(),
        verb: verb.to_owned(),
        desired: desired.digest(),
        changes,
        steps: builder.steps,
        domain: desired.domain.clone(),
        names: Vec::new(),
        memory,
    }
}

/// Plans to power every machine off. Disks, identities and networks stay.
pub fn plan_down(desired: &Desired, observed: &Observed, memory: &Memory) -> Plan {
    let mut builder = Builder::default();
    for facts in observed.machines.iter().filter(|facts| facts.power != Power::Off) {
        builder.change(ChangeKind::Change, group(facts), &facts.name, "stop");
        builder.step(
            format!("machine/{}/stop", facts.name),
            format!("stop {}", facts.name),
            facts.name.as_str(),
            [],
            Act::StopMachine {
                provider: facts.provider.clone(),
                id: facts.id,
                machine: facts.name.clone(),
            },
        );
    }
    finish("down", desired, memory.clone(), builder)
}

/// Plans to remove everything that carries the site's mark. What was drawn is remembered until all
/// of it is gone: the mark is how the rest is found when the run is cut off.
pub fn plan_destroy(desired: &Desired, observed: &Observed, memory: &Memory) -> Plan {
    let mut builder = Builder::default();
    let destroyed: Vec<u32> = observed
        .machines
        .iter()
        .map(|facts| {
            builder.change(ChangeKind::Destroy, group(facts), &facts.name, facts.belongings());
            builder.step(
                format!("machine/{}/destroy/{}", facts.name, facts.id.tail()),
                format!("destroy {}", facts.name),
                facts.name.as_str(),
                [],
                Act::DestroyMachine {
                    provider: facts.provider.clone(),
                    id: facts.id,
                    machine: facts.name.clone(),
                },
            )
        })
        .collect();
    for network in &observed.networks {
        builder.change(ChangeKind::Destroy, "network", &network.name, network.cidr.to_string());
        builder.step(
            format!("network/{}/destroy", network.name),
            format!("remove network {}", network.name),
            network.name.as_str(),
            destroyed.iter().copied(),
            Act::DestroyNetwork {
                provider: network.provider.clone(),
                network: network.name.clone(),
            },
        );
    }
    finish("destroy", desired, memory.clone(), builder)
}
