//! A world that does what plans say, for tests of the planner alone.

#![expect(unreachable_pub, reason = "a module of tests, not an interface")]

use std::collections::BTreeMap;
use updraft_base::{ByteSize, Digest, GroupName, SeededChance};
use updraft_plan::{
    Act, AgentFacts, BalancerWanted, Desired, Draw, GroupWanted, ImageWanted, MachineFacts, Made,
    Memory, NetworkFacts, NetworkWanted, Observed, Plan, Power, ServiceMark, ServiceWanted,
    TemplateFacts, plan_up,
};

pub struct World {
    pub observed: Observed,
    pub memory: Memory,
    seed: u64,
}

pub fn group(name: &str, count: u32) -> GroupWanted {
    GroupWanted {
        name: name.parse().unwrap(),
        provider: "sim".to_owned(),
        image: "debian".parse().unwrap(),
        network: "lan".parse().unwrap(),
        count,
        memory: ByteSize::mib(256),
        cpus: 1,
        disk: ByteSize::gib(2),
        live: false,
        play: Some(Digest::of(name)),
    }
}

/// The site of examples/hello.
pub fn hello(workers: u32) -> Desired {
    Desired {
        site: "hello".parse().unwrap(),
        domain: "hello.test".to_owned(),
        admins: Digest::of("nobody"),
        agent: None,
        networks: vec![NetworkWanted {
            name: "lan".parse().unwrap(),
            cidr: "10.64.0.0/16".parse().unwrap(),
        }],
        images: vec![ImageWanted {
            name: "debian".parse().unwrap(),
            digest: Digest::of("bookworm"),
        }],
        groups: vec![group("balancer", 1), group("worker", workers)],
        services: vec![ServiceWanted {
            name: "hello".parse().unwrap(),
            on: "worker".parse().unwrap(),
            version: "v1".to_owned(),
            content: Digest::of("deploy"),
            tested: true,
            balancer: Some(BalancerWanted {
                on: "balancer".parse().unwrap(),
                content: Digest::of("listen 80"),
            }),
        }],
    }
}

impl World {
    pub fn new() -> Self {
        Self { observed: Observed::default(), memory: Memory::default(), seed: 1 }
    }

    pub fn plan(&mut self, desired: &Desired) -> Plan {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut chance = SeededChance::new(self.seed);
        let draw = Draw { now, chance: &mut chance };
        plan_up(desired, &self.observed, &self.memory, draw).unwrap()
    }

    /// Plans and does all of it.
    pub fn up(&mut self, desired: &Desired) -> Plan {
        let plan = self.plan(desired);
        self.begin(&plan);
        (0..plan.steps.len()).for_each(|step| self.act(&plan, step));
        plan
    }

    /// What happens before the first step: choices are remembered.
    pub fn begin(&mut self, plan: &Plan) {
        self.memory = plan.memory.clone();
        self.seed += 1;
    }

    fn machine(&mut self, name: &str) -> &mut MachineFacts {
        let found = self.observed.machines.iter_mut().find(|m| m.name.as_str() == name);
        found.expect("a step names a machine that is there")
    }

    /// Does one step.
    pub fn act(&mut self, plan: &Plan, step: usize) {
        match plan.steps[step].act.clone() {
            Act::BuildImage { digest, .. } => {
                self.observed.images.insert(digest);
            }
            Act::EnsureTemplate { provider, digest, memory, cpus, disk, .. } => {
                assert!(self.observed.images.contains(&digest), "no image");
                let name = Digest::of(format!("{digest} {memory} {cpus} {disk}"));
                self.observed.templates.retain(|seen| seen.name != name);
                self.observed.templates.push(TemplateFacts {
                    provider,
                    name,
                    image: digest,
                    memory,
                    cpus,
                    disk,
                    current: true,
                    used: false,
                });
            }
            Act::DropTemplate { template, .. } => {
                self.observed.templates.retain(|seen| seen.name != template);
            }
            Act::EnsureNetwork { provider, network, cidr, bridge } => {
                self.observed.networks.retain(|seen| seen.name != network);
                self.observed.networks.push(NetworkFacts {
                    provider,
                    name: network,
                    cidr,
                    bridge,
                    intact: true,
                });
            }
            Act::DestroyNetwork { network, .. } => {
                let on_it =
                    |m: &MachineFacts| m.made.as_ref().is_some_and(|m| m.network == network);
                assert!(!self.observed.machines.iter().any(on_it), "machines are still on it");
                self.observed.networks.retain(|seen| seen.name != network);
            }
            Act::CreateMachine(drawn) => {
                assert!(self.observed.images.contains(&drawn.image_digest), "no image");
                let template = self.observed.templates.iter_mut().find(|seen| {
                    (seen.image, seen.memory, seen.cpus, seen.disk)
                        == (drawn.image_digest, drawn.memory, drawn.cpus, drawn.disk)
                });
                if drawn.live {
                    template.expect("no template").used = true;
                }
                assert!(self.observed.networks.iter().any(|n| n.name == drawn.network));
                self.observed.machines.retain(|m| m.id != drawn.id);
                let same = self.observed.machines.iter().any(|m| m.name == drawn.machine);
                assert!(!same, "{} is there twice", drawn.machine);
                self.observed.machines.push(MachineFacts {
                    provider: drawn.provider,
                    id: drawn.id,
                    name: drawn.machine,
                    group: Some(drawn.group),
                    power: Power::Off,
                    made: Some(Made {
                        memory: drawn.memory,
                        cpus: drawn.cpus,
                        disk: drawn.disk,
                        image: drawn.image_digest,
                        network: drawn.network,
                        mac: drawn.mac,
                        address: drawn.address,
                    }),
                    unborn: drawn.live,
                    resizing: false,
                    agent: AgentFacts::Silent,
                    health: BTreeMap::new(),
                    snapshots: 0,
                    clone_of: None,
                    apart: false,
                });
            }
            Act::StartMachine { machine, .. } => {
                let facts = self.machine(machine.as_str());
                (facts.power, facts.unborn) = (Power::On, false);
            }
            Act::ResizeMachine { machine, shape, restart, .. } => {
                let facts = self.machine(machine.as_str());
                let made = facts.made.as_mut().expect("a half made machine is not resized");
                assert!(made.disk <= shape.disk, "the disk of {machine} shrinks");
                let live = (made.memory, made.cpus) == (shape.memory, shape.cpus);
                assert!(restart || live || facts.power != Power::On, "{machine} is on");
                (made.memory, made.cpus, made.disk) = (shape.memory, shape.cpus, shape.disk);
                facts.resizing = false;
                if restart {
                    facts.power = Power::On;
                    // Whatever was drained is out until it is let in again.
                    facts.health.values_mut().for_each(|healthy| *healthy = false);
                }
            }
            Act::TakeSnapshot { machine, .. } => self.machine(machine.as_str()).snapshots += 1,
            Act::DropSnapshot { machine, .. } => self.machine(machine.as_str()).snapshots -= 1,
            Act::RevertMachine { machine, .. } => {
                let facts = self.machine(machine.as_str());
                assert!(facts.snapshots > 0, "{machine} has no snapshot");
                facts.power = Power::Off;
                facts.agent = AgentFacts::Silent;
            }
            Act::CloneMachine { of, clones, live, .. } => {
                let of = self.observed.machines.iter().find(|m| m.id == of).unwrap().clone();
                assert_eq!(of.power, Power::On);
                for drawn in clones {
                    let AgentFacts::Answers { .. } = &of.agent else { panic!("it is silent") };
                    let same = self.observed.machines.iter().any(|m| m.name == drawn.machine);
                    assert!(!same, "{} is there twice", drawn.machine);
                    let made = of.made.clone().unwrap();
                    self.observed.machines.push(MachineFacts {
                        id: drawn.id,
                        name: drawn.machine,
                        power: Power::Off,
                        made: Some(Made { mac: drawn.mac, address: drawn.address, ..made }),
                        agent: AgentFacts::Silent,
                        snapshots: 0,
                        clone_of: Some(of.id),
                        apart: live,
                        ..of.clone()
                    });
                }
            }
            Act::StopMachine { machine, .. } => self.machine(machine.as_str()).power = Power::Off,
            Act::Identify { machine, digest, agent, .. } => {
                let facts = self.machine(machine.as_str());
                assert_eq!(facts.power, Power::On);
                facts.apart = false;
                match &mut facts.agent {
                    AgentFacts::Answers { identity, agent: runs, .. } => {
                        (*identity, *runs) = (digest, agent);
                    }
                    AgentFacts::Silent => {
                        facts.agent = AgentFacts::Answers {
                            identity: digest,
                            agent,
                            play: None,
                            services: BTreeMap::new(),
                            balancers: BTreeMap::new(),
                        }
                    }
                }
            }
            Act::Withdraw { .. } => {}
            Act::DestroyMachine { id, .. } => self.observed.machines.retain(|m| m.id != id),
            Act::Configure { machines, digest, .. } => {
                for name in machines {
                    let AgentFacts::Answers { play, .. } = &mut self.machine(name.as_str()).agent
                    else {
                        panic!("{name} is configured before its agent answers")
                    };
                    *play = Some(digest.to_string());
                }
            }
            Act::Roll { service, machine, version, content, .. } => {
                let facts = self.machine(machine.as_str());
                let AgentFacts::Answers { services, play, .. } = &mut facts.agent else {
                    panic!("{machine} gets a service before its agent answers")
                };
                assert!(play.is_some(), "{machine} gets a service before it is configured");
                let mark = ServiceMark {
                    version,
                    content: content.to_string(),
                    settled: true,
                    previous: None,
                };
                services.insert(service.clone(), mark);
                facts.health.insert(service, true);
            }
            Act::Halt { service, machine } => {
                self.machine(machine.as_str()).health.insert(service, false);
            }
            Act::Revive { service, machine } => {
                self.machine(machine.as_str()).health.insert(service, true);
            }
            Act::Introduce { machine, .. } => {
                let agent = &self.machine(machine.as_str()).agent;
                assert!(matches!(agent, AgentFacts::Answers { .. }), "{machine} does not answer");
            }
            Act::Balance { service, machine, digest, .. } => {
                let AgentFacts::Answers { balancers, .. } =
                    &mut self.machine(machine.as_str()).agent
                else {
                    panic!("{machine} balances before its agent answers")
                };
                balancers.insert(service, digest);
            }
        }
    }
}

/// Changes the number of machines of a group.
pub fn recount(desired: &mut Desired, name: &str, count: u32) {
    let name: GroupName = name.parse().unwrap();
    desired.groups.iter_mut().find(|group| group.name == name).unwrap().count = count;
}
