//! How a site stands, for people and for programs.

use crate::observe::{self, Details};
use crate::site::SiteControl;
use crate::{ControlError, sessions::Sessions};
use serde::Serialize;
use std::collections::BTreeMap;
use updraft_plan::{AgentFacts, MachineFacts, Power};
use updraft_site::Site;

/// How a site stands.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The site's name.
    pub site: String,
    /// Every machine it asks for has what it needs and every tested service passes its test.
    pub ok: bool,
    /// Who is changing it right now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy: Option<String>,
    /// Machines: those asked for in the order of the site file, then others that carry our mark.
    pub machines: Vec<MachineStatus>,
    /// Networks.
    pub networks: Vec<NetworkStatus>,
}

/// How one machine stands.
#[derive(Clone, Debug, Serialize)]
pub struct MachineStatus {
    /// Name.
    pub name: String,
    /// Group.
    pub group: String,
    /// In a word: `running`, `busy`, `booting`, `stuck`, `off`, `dead`, `absent`,
    /// `half-made`, `unwanted`.
    pub state: String,
    /// The machine that it was made from, where the site file did not ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clone_of: Option<String>,
    /// Kind of provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Seconds since it booted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
    /// One-minute load average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// Its configuration is not that of the play as it is now, or not known.
    pub configured: bool,
    /// Services deployed on it.
    pub services: BTreeMap<String, ServiceStatus>,
    /// Who talks to its agent, which can be asked nothing meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy: Option<String>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// How a service stands on a machine.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceStatus {
    /// Version deployed.
    pub version: String,
    /// Its test passed just now; absent when it has no test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// What the test saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saw: Option<String>,
    /// A run died, or is, between two versions.
    pub rolling: bool,
}

/// How a network stands.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkStatus {
    /// Name.
    pub name: String,
    /// Kind of provider.
    pub provider: String,
    /// Addresses.
    pub cidr: String,
    /// Name of its bridge.
    pub bridge: String,
    /// Every part of it is there.
    pub intact: bool,
}

impl SiteControl {
    /// How the site stands.
    ///
    /// # Errors
    /// When the journal cannot be read or a provider cannot be asked.
    pub async fn status(&self) -> Result<Status, ControlError> {
        let sessions: Sessions = self.sessions()?;
        let sight = observe::observe(self.site(), &sessions, []).await?;
        let mut machines = Vec::new();
        let mut told = std::collections::HashSet::new();
        let by_name: std::collections::HashMap<_, _> =
            sight.observed.machines.iter().map(|facts| (&facts.name, facts)).collect();
        let silence = Details::default();
        let remembered = self.memory()?.machines;
        for group in &self.site().groups {
            for name in group.machine_names() {
                match by_name.get(&name) {
                    Some(facts) => {
                        told.insert(facts.id);
                        let details = sight.details.get(&facts.id).unwrap_or(&silence);
                        machines.push(machine(self.site(), facts, details, false));
                    }
                    None => machines.push(absent(name.to_string(), group.name.to_string())),
                }
            }
        }
        for facts in sight.observed.machines.iter().filter(|facts| !told.contains(&facts.id)) {
            let details = sight.details.get(&facts.id).unwrap_or(&silence);
            let of = remembered.get(&facts.name).and_then(|drawn| drawn.cloned.as_ref());
            let of = of.filter(|_| facts.clone_of.is_some()).map(|cloned| cloned.of.to_string());
            let told = machine(self.site(), facts, details, of.is_none());
            machines.push(MachineStatus { clone_of: of, ..told });
        }
        let networks: Vec<NetworkStatus> = sight
            .observed
            .networks
            .iter()
            .map(|network| NetworkStatus {
                name: network.name.to_string(),
                provider: network.provider.clone(),
                cidr: network.cidr.to_string(),
                bridge: network.bridge.clone(),
                intact: network.intact,
            })
            .collect();
        let healthy = |m: &MachineStatus| {
            m.state == "running"
                && m.configured
                && m.services.values().all(|s| s.healthy != Some(false) && !s.rolling)
        };
        let ok = machines.iter().all(healthy) && networks.iter().all(|network| network.intact);
        Ok(Status {
            site: self.site().name.to_string(),
            ok,
            busy: self.holder().map(|holder| holder.to_string()),
            machines,
            networks,
        })
    }
}

fn absent(name: String, group: String) -> MachineStatus {
    MachineStatus {
        name,
        group,
        state: "absent".to_owned(),
        clone_of: None,
        provider: None,
        id: None,
        address: None,
        uptime: None,
        load: None,
        configured: false,
        services: BTreeMap::new(),
        busy: None,
        fault: None,
    }
}

fn machine(site: &Site, facts: &MachineFacts, details: &Details, unwanted: bool) -> MachineStatus {
    let state = match (facts.made.is_some(), facts.power, &facts.agent) {
        (false, ..) => "half-made",
        (true, Power::Off, _) => "off",
        (true, Power::Dead, _) => "dead",
        (true, Power::Stuck, _) => "stuck",
        (true, Power::On, AgentFacts::Silent) if details.busy.is_some() => "busy",
        (true, Power::On, AgentFacts::Silent) => "booting",
        (true, Power::On, AgentFacts::Answers { .. }) => "running",
    };
    let group = facts.group.as_ref();
    let mine = group.filter(|_| facts.clone_of.is_none());
    let has_play = mine.and_then(|name| site.group(name)).is_some_and(|g| g.play.is_some());
    let mut services = BTreeMap::new();
    let mut configured = !has_play;
    if let AgentFacts::Answers { play, services: marks, .. } = &facts.agent {
        configured |= play.is_some();
        for (name, mark) in marks {
            services.insert(
                name.to_string(),
                ServiceStatus {
                    version: mark.version.clone(),
                    healthy: facts.health.get(name).copied(),
                    saw: details.probes.get(name).cloned(),
                    rolling: !mark.settled,
                },
            );
        }
    }
    MachineStatus {
        name: facts.name.to_string(),
        group: group.map(ToString::to_string).unwrap_or_default(),
        state: if unwanted { format!("{state}, unwanted") } else { state.to_owned() },
        clone_of: None,
        provider: Some(facts.provider.clone()),
        id: Some(facts.id.to_string()),
        address: facts.made.as_ref().map(|made| made.address.to_string()),
        uptime: details.agent.as_ref().map(|agent| agent.uptime),
        load: details.agent.as_ref().map(|agent| agent.load),
        configured,
        services,
        busy: details.busy.clone(),
        fault: details.fault.clone().or_else(|| details.silent.clone()),
    }
}
