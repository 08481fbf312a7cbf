//! Random walks: sites are built and torn down by the engine in a simulated world that is busy,
//! delivers twice, loses answers, leaves things half made and has us die, while the journal dies
//! at lines of its own. Whatever happens, the same command again reaches the same end: no machine
//! doubled, none left behind, and nothing of another site touched.

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use updraft_base::{
    Blame, ByteSize, Digest, FixedClock, Mac, MachineId, RunId, SeededChance, SiteId, Timestamp,
};
use updraft_engine::{
    Actor, Attempt, CrashPlan, EngineError, Journal, JournalError, Options, Outcome, RunEnd,
    RunStart, Step, StepContext, StepFault, StepId, StopSignal, Timer, Work, policy, run,
};
use updraft_provider::sim::{Faults, Op, SimProvider, SimWorld, Tempo};
use updraft_provider::{
    Boot, ImageFiles, MachineOrder, NetworkOrder, Nic, Power, Provider, ProviderError, SiteMark,
    Stop,
};
use updraft_remote::{AgentSession, RemoteError, Session};
use updraft_wire::{Request, Response};

const SOON: Duration = Duration::from_secs(5);

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("it is a time")
}

fn site(seed: u64, name: &str) -> SiteMark {
    let id = SiteId::draw(now(), &mut SeededChance::new(seed));
    SiteMark { id, name: name.parse().expect("it is a name") }
}

fn network(number: u8) -> NetworkOrder {
    NetworkOrder {
        name: format!("lan-{number}").parse().expect("it is a name"),
        cidr: format!("10.{number}.0.0/24").parse().expect("it is a network"),
        bridge: format!("up-{number}"),
    }
}

fn machine(net: u8, number: u8) -> MachineOrder {
    let mut chance = SeededChance::new(u64::from(net) << 8 | u64::from(number));
    MachineOrder {
        id: MachineId::draw(now(), &mut chance),
        name: format!("m-{net}-{number}").parse().expect("it is a name"),
        group: "m".parse().expect("it is a name"),
        memory: ByteSize::bytes(256 << 20),
        cpus: 1,
        disk: ByteSize::bytes(1 << 30),
        image: Digest::of("image"),
        files: ImageFiles {
            disk: "/disk".into(),
            boot: Boot::Kernel {
                kernel: "/kernel".into(),
                initrd: "/initrd".into(),
                cmdline: String::new(),
            },
        },
        outlet: false,
        start: updraft_provider::Start::Cold,
        nics: vec![Nic {
            network: network(net).name,
            mac: Mac::draw(&mut chance),
            address: format!("10.{net}.0.{}", 10 + number).parse().expect("it is an address"),
        }],
    }
}

/// A network, then of each machine: made, started, up, marked.
fn up(machines: u8) -> Work {
    let mut steps = vec![step(0, &[], "network", 0)];
    for number in 0..machines {
        let first = 1 + u32::from(number) * 4;
        steps.push(Step { undo: true, ..step(first, &[0], "create", number) });
        steps.push(step(first + 1, &[first], "start", number));
        steps.push(step(first + 2, &[first + 1], "ready", number));
        steps.push(step(first + 3, &[first + 2], "mark", number));
    }
    Work::new("up", Digest::of("up"), steps).expect("the work is sound")
}

/// Of each machine: stopped, removed; then the network.
fn down(machines: u8) -> Work {
    let mut steps = Vec::new();
    for number in 0..machines {
        let first = u32::from(number) * 2;
        steps.push(step(first, &[], "stop", number));
        steps.push(step(first + 1, &[first], "destroy", number));
    }
    let last = u32::from(machines) * 2;
    let after: Vec<u32> = (0..u32::from(machines)).map(|n| n * 2 + 1).collect();
    steps.push(step(last, &after, "no network", 0));
    Work::new("down", Digest::of("down"), steps).expect("the work is sound")
}

fn step(id: u32, after: &[u32], act: &str, number: u8) -> Step {
    Step {
        id: StepId(id),
        key: format!("{act}/{number}"),
        title: format!("{act} {number}"),
        subject: None,
        after: after.iter().map(|id| StepId(*id)).collect(),
        lane: None,
        undo: false,
        spec: json!({ "act": act, "number": number }),
    }
}

/// Does the steps. A careless one does not look before it acts again: it asks for another machine.
struct Builder {
    provider: SimProvider,
    careless: bool,
}

/// A fault of a step, from what a provider or a session says.
struct Fault(StepFault);

impl From<ProviderError> for Fault {
    fn from(error: ProviderError) -> Self {
        Self(StepFault::from_error(&error))
    }
}

impl From<RemoteError> for Fault {
    fn from(error: RemoteError) -> Self {
        Self(StepFault::from_error(&error))
    }
}

impl Builder {
    async fn act(&self, step: &Step, attempt: Attempt) -> Result<Value, Fault> {
        let provider = &self.provider;
        let number = step.spec["number"].as_u64().and_then(|n| u8::try_from(n).ok());
        let mut order = machine(1, number.expect("the steps above have numbers"));
        if self.careless && attempt == Attempt::Again {
            order = machine(1, 100);
        }
        match step.spec["act"].as_str().expect("the steps above have acts") {
            "network" => provider.ensure_network(&network(1)).await?,
            "create" => provider.create_machine(&order).await?,
            "start" => provider.start_machine(order.id).await?,
            "ready" => self.ready(order.id).await?,
            "mark" => {
                let session = self.session(order.id).await?;
                let value = Some(json!(order.name.as_str()));
                let mark = Request::Mark { key: "play.m".to_owned(), value };
                let answer = session.call(mark, SOON).await?;
                assert_eq!(answer, Response::Done);
            }
            "stop" => provider.stop_machine(order.id, Stop::Now).await.or_else(gone)?,
            "destroy" => provider.destroy_machine(order.id).await?,
            "no network" => provider.destroy_network(&network(1).name).await?,
            other => panic!("no step says `{other}`"),
        }
        Ok(Value::Null)
    }

    async fn ready(&self, id: MachineId) -> Result<(), Fault> {
        let mut last = None;
        for _ in 0..10 {
            match self.session(id).await {
                Ok(_) => return Ok(()),
                Err(Fault(fault)) if fault.blame == Blame::Passing => last = Some(fault),
                Err(fault) => return Err(fault),
            }
            drop(self.provider.progress(id).await);
            tokio::task::yield_now().await;
        }
        Err(Fault(last.expect("it was tried")))
    }

    async fn session(&self, id: MachineId) -> Result<AgentSession, Fault> {
        let channel = self.provider.channel(id).await?;
        Ok(AgentSession::start("m", channel, SOON).await?)
    }
}

/// A machine that is not there is stopped.
fn gone(error: ProviderError) -> Result<(), ProviderError> {
    if error.message.ends_with("is not there") { Ok(()) } else { Err(error) }
}

#[async_trait]
impl Actor for Builder {
    async fn act(
        &self,
        step: &Step,
        attempt: Attempt,
        _: &StepContext,
    ) -> Result<Value, StepFault> {
        Builder::act(self, step, attempt).await.map_err(|Fault(fault)| fault)
    }

    async fn undo(&self, step: &Step, _: &StepContext) -> Result<(), StepFault> {
        let number = step.spec["number"].as_u64().and_then(|n| u8::try_from(n).ok());
        let order = machine(1, number.expect("the steps above have numbers"));
        self.provider.destroy_machine(order.id).await.map_err(|error| StepFault::from_error(&error))
    }
}

struct Hasty;

#[async_trait]
impl Timer for Hasty {
    async fn sleep(&self, _: Duration) {
        tokio::task::yield_now().await;
    }
}

/// What stands in the way of a walk.
#[derive(Clone, Debug)]
struct Weather {
    machines: u8,
    careless: bool,
    width: usize,
    seed: u64,
    per_mille: u64,
    faults: u32,
    journal: Vec<(u64, bool)>,
}

fn weather() -> impl Strategy<Value = Weather> {
    (
        1u8..5,
        1usize..6,
        any::<u64>(),
        0u64..500,
        0u32..15,
        prop::collection::vec((1u64..30, any::<bool>()), 0..4),
    )
        .prop_map(|(machines, width, seed, per_mille, faults, journal)| Weather {
            machines,
            careless: false,
            width,
            seed,
            per_mille,
            faults,
            journal,
        })
}

/// Does a run until it is done, over as many lives as it takes.
async fn walk(world: &SimWorld, work: &Work, journal: &Journal, id: RunId, weather: &Weather) {
    let ours = site(1, "ours");
    let wanted: BTreeSet<MachineId> = (0..weather.machines).map(|n| machine(1, n).id).collect();
    let mut crashes = weather.journal.iter();
    let options = Options {
        width: weather.width,
        clock: Arc::new(FixedClock(now())),
        timer: Arc::new(Hasty),
        retry: policy::STEP,
    };
    // At most 15 faults and 4 crashes of the journal can each cost a life.
    for _ in 0..30 {
        world.come_alive();
        journal.come_alive();
        let builder =
            Builder { provider: world.provider(ours.clone()), careless: weather.careless };
        if let Some((line, before)) = crashes.next() {
            let plan = if *before { CrashPlan::before } else { CrashPlan::after };
            journal.plan_crash(plan(*line));
        }
        let life = async {
            let begun = journal.runs(10)?.iter().find(|run| run.id == id).map(|run| run.outcome);
            match begun {
                Some(Some(RunEnd::Done)) => return Ok(Outcome::Done),
                Some(_) => {}
                None => {
                    let (command, who) = (work.title.clone(), "ops".to_owned());
                    journal.begin_run(&RunStart { id, command, who, at: now() }, work)?;
                }
            }
            run(journal, id, work, &builder, &options, &StopSignal::new(), &mut |_| ()).await
        };
        let outcome = tokio::select! {
            biased;
            () = world.crashed() => None,
            outcome = life => match outcome {
                Err(EngineError::Journal(JournalError::Crashed)) => None,
                outcome => Some(outcome.unwrap_or_else(|error| panic!("{error}"))),
            },
        };
        let there = world.machines().expect("it is in memory");
        let mine: Vec<MachineId> =
            there.iter().filter(|m| m.site == ours.id).map(|m| m.id).collect();
        assert!(mine.iter().all(|id| wanted.contains(id)), "a stranger among {mine:?}");
        if outcome == Some(Outcome::Done) {
            return;
        }
    }
    panic!("thirty lives did not do it");
}

async fn build_and_tear_down(weather: &Weather) {
    let world = SimWorld::new(Tempo::INSTANT);
    let others = world.provider(site(2, "others"));
    others.ensure_network(&network(2)).await.expect("nothing is wrong yet");
    others.create_machine(&machine(2, 0)).await.expect("nothing is wrong yet");
    others.start_machine(machine(2, 0).id).await.expect("nothing is wrong yet");
    let theirs = others.observe().await.expect("nothing is wrong yet");
    world.set_faults(Faults::seeded(weather.seed, weather.per_mille, weather.faults));
    let journal = Journal::in_memory().expect("there is memory");
    let draw = |seed| RunId::draw(now(), &mut SeededChance::new(seed));

    walk(&world, &up(weather.machines), &journal, draw(1), weather).await;
    let ours = world.provider(site(1, "ours"));
    world.set_faults(Faults::none());
    let seen = ours.observe().await.expect("no faults are left");
    assert_eq!(seen.machines.len(), usize::from(weather.machines));
    for number in 0..weather.machines {
        let order = machine(1, number);
        let found = seen.machines.iter().find(|m| m.id == order.id).expect("it was made");
        assert_eq!((found.power, found.order.as_ref()), (Power::On, Some(&order)));
        let session = ours.session(order.id).expect("it is on");
        let answer = session.call(Request::Observe, SOON).await.expect("it is up");
        let Response::Observed(observed) = answer else { panic!("{answer:?}") };
        assert_eq!(observed.marks["play.m"], order.name.as_str());
        assert!(world.effects(Op::Start, order.name.as_str()) >= 1);
    }

    let seed = weather.seed.wrapping_add(1);
    world.set_faults(Faults::seeded(seed, weather.per_mille, weather.faults));
    walk(&world, &down(weather.machines), &journal, draw(2), weather).await;
    world.set_faults(Faults::none());
    assert_eq!(ours.observe().await.expect("no faults are left"), Default::default());
    assert_eq!(others.observe().await.expect("no faults are left"), theirs);
}

fn go(weather: &Weather) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime needs nothing")
        .block_on(build_and_tear_down(weather));
}

#[test]
#[should_panic(expected = "a stranger among")]
fn a_builder_that_does_not_look_before_it_acts_again_is_found_out() {
    let journal = vec![(3, false)];
    let (machines, width) = (3, 2);
    for seed in 0..20 {
        let journal = journal.clone();
        go(&Weather { machines, careless: true, width, seed, per_mille: 0, faults: 0, journal });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_weather_the_same_command_again_reaches_the_same_end(weather in weather()) {
        go(&weather);
    }
}
