//! The simulated provider: a world of machines that exist only here.
//!
//! It behaves like a real one: machines boot, stop, die and are half made; calls are slow, busy,
//! delivered twice, or end in an error after their effect; the agent inside each machine answers
//! the same requests as the real agent. It serves tests of everything above a provider, and
//! `provider: sim` rehearses a site file without touching anything.
//!
//! Never here: real processes, sockets or networks.

mod channel;
mod command;
mod facts;
mod fault;
mod haproxy;
mod machine;
mod session;
mod store;
mod world;

#[cfg(test)]
mod tests;

pub use fault::{Fault, Faults, Op};
pub use machine::{Disk, File, SimMachine, SimSnapshot};
pub use session::SimSession;

use crate::{
    Channel, MachineOrder, NetworkOrder, Power, Progress, Provider, ProviderError, Seen, Shape,
    SiteMark, SnapshotOrder, SnapshotSeen, Stillness, Stop, TemplateOrder, TemplateSeen,
};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Access, Store};
use tokio::sync::watch;
use updraft_base::{Blame, Digest, MachineId, NetworkName, SnapshotId};
use updraft_remote::Session;
use world::World;

/// How long things take in a simulated world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    /// Making a network or a machine.
    pub make: Duration,
    /// Powering a machine on or off.
    pub power: Duration,
    /// Removing a network or a machine.
    pub remove: Duration,
    /// Signs of life that a machine gives before its agent answers: each look at its progress and
    /// each try to reach it brings one.
    pub boot_signs: u32,
}

impl Tempo {
    /// Nothing takes any time; a machine boots in two signs of life.
    pub const INSTANT: Self =
        Self { make: Duration::ZERO, power: Duration::ZERO, remove: Duration::ZERO, boot_signs: 2 };

    /// Slow enough to watch.
    pub const LIFELIKE: Self = Self {
        make: Duration::from_millis(400),
        power: Duration::from_millis(200),
        remove: Duration::from_millis(200),
        boot_signs: 5,
    };
}

/// A simulated world. Clones are the same world.
#[derive(Clone, Debug)]
pub struct SimWorld {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tempo: Tempo,
    state: Mutex<State>,
    crashed: watch::Sender<bool>,
    /// Changes when a machine may have lost its power.
    power: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    world: World,
    store: Option<Store>,
    faults: Faults,
    /// How often each thing took effect, by what it was done to.
    effects: BTreeMap<(Op, String), u32>,
    /// Channels that are open, by a number that tells a channel from a later one.
    channels: HashMap<MachineId, u64>,
    channels_opened: u64,
}

impl SimWorld {
    /// An empty world in memory.
    pub fn new(tempo: Tempo) -> Self {
        Self::over(None, tempo)
    }

    /// The world that is kept in this file; an empty one when there is none. Other processes may
    /// use it at the same time. The file is made with the first change, and goes with the last
    /// machine and network.
    pub fn kept_in(path: impl Into<PathBuf>, tempo: Tempo) -> Self {
        Self::over(Some(Store::at(path.into())), tempo)
    }

    fn over(store: Option<Store>, tempo: Tempo) -> Self {
        let state = State {
            world: World::default(),
            store,
            faults: Faults::none(),
            effects: BTreeMap::new(),
            channels: HashMap::new(),
            channels_opened: 0,
        };
        Self {
            shared: Arc::new(Shared {
                tempo,
                state: Mutex::new(state),
                crashed: watch::Sender::new(false),
                power: watch::Sender::new(0),
            }),
        }
    }

    /// The world as one site sees it.
    pub fn provider(&self, mark: SiteMark) -> SimProvider {
        SimProvider { shared: Arc::clone(&self.shared), mark }
    }

    /// Sets the faults to come.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// How often `op` took effect on `subject`: a machine's or network's name.
    pub fn effects(&self, op: Op, subject: &str) -> u32 {
        self.shared.lock().effects.get(&(op, subject.to_owned())).copied().unwrap_or(0)
    }

    /// Waits until a fault has us die. From then on every call hangs, as nobody is there to hear
    /// its end; who waits here drops them and goes on with [`SimWorld::come_alive`].
    pub async fn crashed(&self) {
        let mut crashed = self.shared.crashed.subscribe();
        // The sender lives in `self`, so the channel cannot be closed while this waits.
        drop(crashed.wait_for(|crashed| *crashed).await);
    }

    /// Whether a fault had us die.
    pub fn has_crashed(&self) -> bool {
        *self.shared.crashed.borrow()
    }

    /// The next process begins.
    pub fn come_alive(&self) {
        self.shared.crashed.send_replace(false);
        self.shared.lock().channels.clear();
    }

    /// Every machine of every site, ordered by id.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn machines(&self) -> Result<Vec<SimMachine>, ProviderError> {
        self.shared.with(Access::Look, |world| world.machines.values().cloned().collect())
    }

    /// A machine dies: it ought to run and does not.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn kill_machine(&self, id: MachineId) -> Result<(), ProviderError> {
        self.shared.with(Access::Change, |world| world.kill(id))?;
        self.shared.power_changed();
        Ok(())
    }

    /// The host reboots: all machines die, networks lose their parts in the kernel.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn reboot_host(&self) -> Result<(), ProviderError> {
        self.shared.with(Access::Change, World::reboot_host)?;
        self.shared.power_changed();
        Ok(())
    }

    /// Something is wrong with a machine, or no longer.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn set_machine_fault(
        &self,
        id: MachineId,
        fault: Option<String>,
    ) -> Result<(), ProviderError> {
        self.shared.with(Access::Change, |world| world.set_fault(id, fault))
    }

    /// Versions whose tests fail, besides those that contain `bad`.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn set_unhealthy(
        &self,
        versions: impl IntoIterator<Item = String>,
    ) -> Result<(), ProviderError> {
        let versions: BTreeSet<String> = versions.into_iter().collect();
        self.shared.with(Access::Change, |world| world.set_unhealthy(versions))
    }
}

/// How a fault shows to who asked.
enum Answered<T> {
    /// As if nothing were wrong.
    Well(T),
    /// The answer comes twice.
    Twice(T),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in between leaves at worst a change that was not written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at or changes the world, without faults.
    fn with<T>(
        &self,
        access: Access,
        work: impl FnOnce(&mut World) -> T,
    ) -> Result<T, ProviderError> {
        let mut state = self.lock();
        let State { world, store, .. } = &mut *state;
        let Some(store) = store else {
            let value = work(world);
            drop(world.take_changes());
            return Ok(value);
        };
        if access == Access::Look && store.is_current() {
            let value = work(world);
            drop(world.take_changes());
            return Ok(value);
        }
        let locked = store.begin(world, access)?;
        let value = work(world);
        match locked {
            Some(locked) => store.commit(locked, world)?,
            None => drop(world.take_changes()),
        }
        Ok(value)
    }

    fn power_changed(&self) {
        self.power.send_modify(|count| *count += 1);
    }

    /// What people call a machine.
    fn name_of(&self, id: MachineId) -> String {
        let state = self.lock();
        state.world.machines.get(&id).map_or_else(|| id.to_string(), |m| m.name.to_string())
    }

    /// Does something to the world at its tempo and with its faults. `half` does as much of it as
    /// leaves a thing half made.
    async fn perform<T>(
        &self,
        (op, access): (Op, Access),
        subject: &str,
        pause: Duration,
        mut work: impl FnMut(&mut World) -> Result<T, ProviderError> + Send,
        half: impl FnOnce(&mut World) + Send,
    ) -> Result<Answered<T>, ProviderError> {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        if *self.crashed.borrow() {
            return std::future::pending().await;
        }
        let fault = self.lock().faults.draw(op, subject);
        let mut effect = || {
            let value = self.with(access, &mut work)??;
            *self.lock().effects.entry((op, subject.to_owned())).or_default() += 1;
            Ok::<T, ProviderError>(value)
        };
        let saying = |blame, what: &str| {
            Err(ProviderError::new(blame, format!("{subject}: the simulated provider {what}")))
        };
        match fault {
            None => effect().map(Answered::Well),
            Some(Fault::Busy) => saying(Blame::Passing, "is busy"),
            Some(Fault::Refused) => saying(Blame::World, "refuses"),
            Some(Fault::ErrorAfterEffect) => {
                effect()?;
                saying(Blame::World, "failed after all was done")
            }
            Some(Fault::LostAnswer) => {
                effect()?;
                saying(Blame::Passing, "did not answer in time")
            }
            // An agent's request arrives once; it is the answer that comes twice.
            Some(Fault::Twice) if op == Op::Ask => effect().map(Answered::Twice),
            Some(Fault::Twice) => {
                effect()?;
                effect().map(Answered::Well)
            }
            Some(Fault::HalfMade) => {
                self.with(Access::Change, half)?;
                saying(Blame::World, "stopped half way")
            }
            Some(Fault::CrashBeforeEffect) => self.die().await,
            Some(Fault::CrashAfterEffect) => {
                // Nobody is there to hear whether it worked.
                drop(effect());
                self.die().await
            }
        }
    }

    /// As [`Shared::perform`], for what is never half made.
    async fn simply<T>(
        &self,
        op: Op,
        subject: &str,
        pause: Duration,
        work: impl FnMut(&mut World) -> Result<T, ProviderError> + Send,
    ) -> Result<T, ProviderError> {
        let access = if op == Op::Observe { Access::Look } else { Access::Change };
        let (Answered::Well(value) | Answered::Twice(value)) =
            self.perform((op, access), subject, pause, work, |_| ()).await?;
        Ok(value)
    }

    async fn die<T>(&self) -> T {
        self.crashed.send_replace(true);
        std::future::pending().await
    }
}

/// A simulated world as one site sees it.
#[derive(Clone, Debug)]
pub struct SimProvider {
    shared: Arc<Shared>,
    mark: SiteMark,
}

impl SimProvider {
    /// A conversation with the agent of a machine, without a channel. It ends when the machine is
    /// powered off or dies. `None` when there is no such machine, or it is not on.
    pub fn session(&self, id: MachineId) -> Option<SimSession> {
        let site = self.mark.id;
        let on = |world: &mut World| {
            let machine = world.machines.get(&id)?;
            (machine.site == site && machine.power == Power::On)
                .then(|| SimSession::new(Arc::clone(&self.shared), machine))
        };
        self.shared.with(Access::Look, on).ok().flatten()
    }
}

#[async_trait]
impl Provider for SimProvider {
    fn kind(&self) -> &'static str {
        "sim"
    }

    async fn observe(&self) -> Result<Seen, ProviderError> {
        let site = self.mark.id;
        let look = move |world: &mut World| Ok(world.observe(site));
        self.shared.simply(Op::Observe, "the site", Duration::ZERO, look).await
    }

    async fn ensure_network(&self, order: &NetworkOrder) -> Result<(), ProviderError> {
        let (site, pause) = (self.mark.id, self.shared.tempo.make);
        let work = |world: &mut World| world.ensure_network(site, order);
        self.shared.simply(Op::EnsureNetwork, order.name.as_str(), pause, work).await
    }

    async fn destroy_network(&self, name: &NetworkName) -> Result<(), ProviderError> {
        let (site, pause) = (self.mark.id, self.shared.tempo.remove);
        let work = |world: &mut World| world.destroy_network(site, name);
        self.shared.simply(Op::DestroyNetwork, name.as_str(), pause, work).await
    }

    async fn templates(&self) -> Result<Vec<TemplateSeen>, ProviderError> {
        let look = move |world: &mut World| Ok(world.templates());
        self.shared.simply(Op::Observe, "the site", Duration::ZERO, look).await
    }

    async fn ensure_template(&self, order: &TemplateOrder) -> Result<(), ProviderError> {
        let (subject, pause) = (order.digest().short(), self.shared.tempo.make);
        let work = |world: &mut World| world.ensure_template(order);
        self.shared.simply(Op::EnsureTemplate, &subject, pause, work).await
    }

    async fn drop_template(&self, name: Digest) -> Result<(), ProviderError> {
        let (subject, pause) = (name.short(), self.shared.tempo.remove);
        let work = |world: &mut World| world.drop_template(name);
        self.shared.simply(Op::DropTemplate, &subject, pause, work).await
    }

    async fn create_machine(&self, order: &MachineOrder) -> Result<(), ProviderError> {
        let (site, pause) = (self.mark.id, self.shared.tempo.make);
        let whole = |world: &mut World| world.create(site, order, true);
        // Whether even the mark could be made, the fault leaves open.
        let half = |world: &mut World| drop(world.create(site, order, false));
        let op = (Op::Create, Access::Change);
        self.shared.perform(op, order.name.as_str(), pause, whole, half).await.map(drop)
    }

    async fn start_machine(&self, id: MachineId) -> Result<(), ProviderError> {
        let (site, tempo) = (self.mark.id, self.shared.tempo);
        let work = |world: &mut World| world.start(site, id, tempo.boot_signs);
        self.shared.simply(Op::Start, &self.shared.name_of(id), tempo.power, work).await
    }

    async fn stop_machine(&self, id: MachineId, stop: Stop) -> Result<(), ProviderError> {
        let site = self.mark.id;
        let pause = match stop {
            Stop::Orderly(within) => self.shared.tempo.power.min(within),
            Stop::Now => Duration::ZERO,
        };
        let work = |world: &mut World| world.stop(site, id);
        let result = self.shared.simply(Op::Stop, &self.shared.name_of(id), pause, work).await;
        self.shared.power_changed();
        result
    }

    async fn may_resize(&self, id: MachineId, shape: &Shape) -> Result<(), ProviderError> {
        let site = self.mark.id;
        let look = |world: &mut World| world.may_resize(site, id, shape).map(drop);
        self.shared.simply(Op::Observe, &self.shared.name_of(id), Duration::ZERO, look).await
    }

    async fn resize_machine(&self, id: MachineId, shape: &Shape) -> Result<(), ProviderError> {
        let (site, pause) = (self.mark.id, self.shared.tempo.make);
        let work = |world: &mut World| world.resize(site, id, shape);
        self.shared.simply(Op::Resize, &self.shared.name_of(id), pause, work).await
    }

    async fn destroy_machine(&self, id: MachineId) -> Result<(), ProviderError> {
        let (site, pause) = (self.mark.id, self.shared.tempo.remove);
        let work = |world: &mut World| {
            world.destroy(site, id);
            Ok(())
        };
        let result = self.shared.simply(Op::Destroy, &self.shared.name_of(id), pause, work).await;
        self.shared.power_changed();
        result
    }

    async fn snapshots(&self, id: MachineId) -> Result<Vec<SnapshotSeen>, ProviderError> {
        let site = self.mark.id;
        let look = |world: &mut World| world.snapshots(site, id);
        let name = self.shared.name_of(id);
        self.shared.simply(Op::Observe, &name, Duration::ZERO, look).await
    }

    async fn take_snapshot(
        &self,
        id: MachineId,
        order: &SnapshotOrder,
        still: &mut dyn Stillness,
    ) -> Result<Duration, ProviderError> {
        let (site, pause) = (self.mark.id, self.shared.tempo.make);
        let (name, there) = (self.shared.name_of(id), self.snapshots(id).await?);
        if there.iter().any(|seen| seen.order.id == order.id) {
            return Ok(Duration::ZERO);
        }
        let on = |world: &mut World| Ok(world.machines.get(&id).is_some_and(SimMachine::is_up));
        let on = self.shared.simply(Op::Observe, &name, Duration::ZERO, on).await?;
        let hold = on && !order.memory;
        if hold {
            still.hold().await?;
        }
        let work = |world: &mut World| world.take_snapshot(site, id, order);
        let taken = self.shared.simply(Op::TakeSnapshot, &name, pause, work).await;
        let held = if hold { still.release().await } else { Ok(Duration::ZERO) };
        taken?;
        if held.is_err() {
            self.drop_snapshot(id, order.id).await?;
        }
        held
    }

    async fn revert_machine(
        &self,
        id: MachineId,
        snapshot: SnapshotId,
    ) -> Result<(), ProviderError> {
        let (site, pause) = (self.mark.id, self.shared.tempo.make);
        let work = |world: &mut World| world.revert(site, id, snapshot);
        let result = self.shared.simply(Op::Revert, &self.shared.name_of(id), pause, work).await;
        self.shared.power_changed();
        result
    }

    async fn drop_snapshot(
        &self,
        id: MachineId,
        snapshot: SnapshotId,
    ) -> Result<(), ProviderError> {
        let (site, pause) = (self.mark.id, self.shared.tempo.remove);
        let work = |world: &mut World| {
            world.drop_snapshot(site, id, snapshot);
            Ok(())
        };
        self.shared.simply(Op::DropSnapshot, &self.shared.name_of(id), pause, work).await
    }

    async fn clone_machine(
        &self,
        of: MachineId,
        orders: &[MachineOrder],
        live: bool,
        still: &mut dyn Stillness,
    ) -> Result<Duration, ProviderError> {
        let (site, pause) = (self.mark.id, self.shared.tempo.make);
        let (name, there) = (self.shared.name_of(of), self.observe().await?.machines);
        let whole = |order: &MachineOrder| {
            there.iter().any(|seen| seen.id == order.id && seen.order.as_ref() == Some(order))
        };
        if orders.iter().all(whole) {
            return Ok(Duration::ZERO);
        }
        let on = there.iter().any(|seen| seen.id == of && seen.power == Power::On);
        let hold = on && !live;
        if hold {
            still.hold().await?;
        }
        let work = |world: &mut World| world.clone_machine(site, of, orders, live);
        // What is left half made of them is found by the same call again.
        let half = |world: &mut World| {
            orders.first().map(|order| world.create(site, order, false));
        };
        let op = (Op::Clone, Access::Change);
        let made = self.shared.perform(op, &name, pause, work, half).await;
        let held = if hold { still.release().await } else { Ok(Duration::ZERO) };
        made?;
        if held.is_err() {
            for order in orders.iter().filter(|order| !whole(order)) {
                self.destroy_machine(order.id).await?;
            }
        }
        held
    }

    async fn connect_machine(&self, id: MachineId) -> Result<(), ProviderError> {
        let site = self.mark.id;
        let work = |world: &mut World| world.connect(site, id);
        self.shared.simply(Op::Connect, &self.shared.name_of(id), Duration::ZERO, work).await
    }

    async fn channel(&self, id: MachineId) -> Result<Box<dyn Channel>, ProviderError> {
        let site = self.mark.id;
        let reach = |world: &mut World| world.reach(site, id).cloned();
        let name = self.shared.name_of(id);
        let machine = self.shared.simply(Op::Channel, &name, Duration::ZERO, reach).await?;
        channel::open(&self.shared, &machine)
    }

    fn direct(&self, id: MachineId) -> Option<Arc<dyn Session>> {
        self.session(id).map(|session| Arc::new(session) as Arc<dyn Session>)
    }

    async fn progress(&self, id: MachineId) -> Result<Progress, ProviderError> {
        let site = self.mark.id;
        let look = |world: &mut World| world.progress(site, id);
        self.shared.simply(Op::Progress, &self.shared.name_of(id), Duration::ZERO, look).await
    }
}
