//! What every provider keeps, as checks that run against a real or a simulated one.
//!
//! A provider's tests hand in a [`Ground`] and assert that [`run`] finds nothing. Each check
//! begins and ends with nothing of its sites on the ground, so they may run one after the other on
//! the same one; a check that fails leaves what it made, for people to look at.

use crate::{
    Channel, MachineOrder, MachineSeen, NetworkOrder, NetworkSeen, NothingRuns, Power, Provider,
    ProviderError, Seen, Shape, SnapshotOrder, Start, Stillness, Stop,
};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};
use updraft_base::{Blame, ByteSize, MachineId, SeededChance, SnapshotId, Timestamp};
use updraft_wire::{Decoded, Decoder, Frame, Hello, Kind, PREAMBLE, Peer, VERSION};

/// One of two sites that share the ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The site that the checks act for.
    Mine,
    /// Another one, which must never notice.
    Others,
}

/// Where a provider is checked.
///
/// Orders are the same each time they are asked for, and of all sites and numbers have ids, names,
/// MACs, addresses and bridges of their own.
#[async_trait]
pub trait Ground: Send + Sync {
    /// The provider as a site sees it.
    fn provider(&self, whose: Whose) -> Arc<dyn Provider>;

    /// The order of a site's network.
    fn network(&self, whose: Whose) -> NetworkOrder;

    /// The order of a site's machine of this number, attached to [`Ground::network`].
    fn machine(&self, whose: Whose, number: u32) -> MachineOrder;

    /// Leaves a machine of [`Whose::Mine`] half made, as a crash in `create_machine` does.
    async fn half_make(&self, order: &MachineOrder);

    /// Makes a machine of [`Whose::Mine`] die, as a crash of it does.
    async fn kill(&self, id: MachineId);

    /// How long a machine may take until its agent answers.
    fn patience(&self) -> Duration;
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Name of the check.
    pub check: &'static str,
    /// What was seen instead.
    pub saw: String,
}

macro_rules! checks {
    ($($name:ident),+ $(,)?) => {
        /// Names of all checks, in the order in which they run.
        pub const CHECKS: &[&str] = &[$(stringify!($name)),+];

        /// Runs one check.
        ///
        /// # Errors
        /// When the promise is not kept.
        ///
        /// # Panics
        /// When there is no check of this name.
        pub async fn run_one(check: &str, ground: &dyn Ground) -> Result<(), Breach> {
            match check {
                $(stringify!($name) => $name(ground)
                    .await
                    .map_err(|Saw(saw)| Breach { check: stringify!($name), saw }),)+
                _ => panic!("there is no check `{check}`"),
            }
        }
    };
}

checks!(
    nothing_is_there_at_first,
    a_network_may_be_ensured_and_destroyed_twice,
    a_machine_that_is_created_twice_is_there_once,
    a_half_made_machine_is_seen_and_completed,
    what_is_not_there_may_be_destroyed,
    machines_are_seen_in_the_order_of_their_ids,
    a_machine_starts_and_stops_again_and_again,
    a_killed_machine_is_seen_dead_and_starts_again,
    a_channel_serves_one_user_at_a_time,
    signs_of_life_move_while_a_machine_boots,
    a_machine_gets_another_shape_and_its_disk_never_shrinks,
    a_template_is_made_once_and_stays_while_machines_rest_on_it,
    a_snapshot_brings_a_machine_back_and_goes_with_it,
    a_clone_is_a_machine_of_its_own,
    another_site_never_notices,
);

/// Runs every check on one ground, up to the first that fails.
///
/// # Errors
/// When a promise is not kept.
pub async fn run(ground: &dyn Ground) -> Result<(), Breach> {
    for check in CHECKS {
        run_one(check, ground).await?;
    }
    Ok(())
}

/// What was seen instead of what was promised.
struct Saw(String);

impl From<ProviderError> for Saw {
    fn from(error: ProviderError) -> Self {
        Self(updraft_base::chain(&error))
    }
}

/// Fails the check unless it is so.
fn so(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Saw> {
    if holds { Ok(()) } else { Err(Saw(otherwise())) }
}

fn seen(seen: &Seen, id: MachineId) -> Result<&MachineSeen, Saw> {
    let mut found = seen.machines.iter().filter(|machine| machine.id == id);
    match (found.next(), found.next()) {
        (Some(machine), None) => Ok(machine),
        (None, _) => Err(Saw(format!("machine {id} is not seen"))),
        (Some(_), Some(_)) => Err(Saw(format!("machine {id} is seen twice"))),
    }
}

/// My network and these machines, made.
async fn with_machines(ground: &dyn Ground, numbers: &[u32]) -> Result<Arc<dyn Provider>, Saw> {
    let provider = ground.provider(Whose::Mine);
    provider.ensure_network(&ground.network(Whose::Mine)).await?;
    for number in numbers {
        provider.create_machine(&ground.machine(Whose::Mine, *number)).await?;
    }
    Ok(provider)
}

/// Removes everything of a site and sees that it is gone.
async fn clear(ground: &dyn Ground, whose: Whose) -> Result<(), Saw> {
    let provider = ground.provider(whose);
    let there = provider.observe().await?;
    for machine in &there.machines {
        provider.stop_machine(machine.id, Stop::Now).await?;
        provider.destroy_machine(machine.id).await?;
    }
    for network in &there.networks {
        provider.destroy_network(&network.name).await?;
    }
    let left = provider.observe().await?;
    so(left == Seen::default(), || format!("after everything was destroyed, {left:?} is left"))
}

async fn nothing_is_there_at_first(ground: &dyn Ground) -> Result<(), Saw> {
    for whose in [Whose::Mine, Whose::Others] {
        let there = ground.provider(whose).observe().await?;
        so(there == Seen::default(), || format!("{there:?}"))?;
    }
    Ok(())
}

async fn a_network_may_be_ensured_and_destroyed_twice(ground: &dyn Ground) -> Result<(), Saw> {
    let (provider, order) = (ground.provider(Whose::Mine), ground.network(Whose::Mine));
    for round in 1..=2 {
        for _ in 0..2 {
            provider.ensure_network(&order).await?;
            let there = provider.observe().await?.networks;
            let wanted =
                NetworkSeen { name: order.name.clone(), order: order.clone(), intact: true };
            so(there == [wanted], || format!("in round {round}, {there:?}"))?;
        }
        for _ in 0..2 {
            provider.destroy_network(&order.name).await?;
            let there = provider.observe().await?.networks;
            so(there.is_empty(), || format!("in round {round}, {there:?} is left"))?;
        }
    }
    Ok(())
}

async fn a_machine_that_is_created_twice_is_there_once(ground: &dyn Ground) -> Result<(), Saw> {
    let provider = with_machines(ground, &[1, 1]).await?;
    let order = ground.machine(Whose::Mine, 1);
    let there = provider.observe().await?;
    so(there.machines.len() == 1, || format!("{:?}", there.machines))?;
    let machine = seen(&there, order.id)?;
    so(machine.order.as_ref() == Some(&order), || format!("it was made from {:?}", machine.order))?;
    so(machine.name == order.name, || format!("it is called {}", machine.name))?;
    so(machine.power == Power::Off, || format!("it is {:?} before it was started", machine.power))?;
    so(machine.fault.is_none(), || format!("it has a fault: {:?}", machine.fault))?;
    clear(ground, Whose::Mine).await
}

async fn a_half_made_machine_is_seen_and_completed(ground: &dyn Ground) -> Result<(), Saw> {
    let provider = with_machines(ground, &[]).await?;
    let order = ground.machine(Whose::Mine, 1);
    ground.half_make(&order).await;
    let there = provider.observe().await?;
    let half = seen(&there, order.id)?;
    so(half.order.is_none(), || "a half made machine is seen as whole".to_owned())?;
    so(half.power != Power::On, || "a half made machine is on".to_owned())?;
    provider.create_machine(&order).await?;
    let there = provider.observe().await?;
    let whole = seen(&there, order.id)?;
    so(whole.order.as_ref() == Some(&order), || format!("it was completed to {whole:?}"))?;
    // And one that is not wanted any more goes without a trace.
    provider.destroy_machine(order.id).await?;
    ground.half_make(&order).await;
    clear(ground, Whose::Mine).await
}

async fn what_is_not_there_may_be_destroyed(ground: &dyn Ground) -> Result<(), Saw> {
    let provider = with_machines(ground, &[1]).await?;
    let (order, network) = (ground.machine(Whose::Mine, 1), ground.network(Whose::Mine));
    for _ in 0..2 {
        provider.destroy_machine(order.id).await?;
    }
    provider.destroy_machine(ground.machine(Whose::Mine, 2).id).await?;
    for _ in 0..2 {
        provider.destroy_network(&network.name).await?;
    }
    clear(ground, Whose::Mine).await
}

async fn machines_are_seen_in_the_order_of_their_ids(ground: &dyn Ground) -> Result<(), Saw> {
    let provider = with_machines(ground, &[3, 1, 2]).await?;
    let ids: Vec<MachineId> = provider.observe().await?.machines.iter().map(|m| m.id).collect();
    so(ids.len() == 3 && ids.is_sorted(), || format!("{ids:?}"))?;
    clear(ground, Whose::Mine).await
}

async fn expect_power(
    provider: &dyn Provider,
    id: MachineId,
    wanted: Power,
    when: &str,
) -> Result<(), Saw> {
    let there = provider.observe().await?;
    let found = seen(&there, id)?.power;
    so(found == wanted, || format!("{when}, it is {found:?}"))
}

async fn a_machine_starts_and_stops_again_and_again(ground: &dyn Ground) -> Result<(), Saw> {
    let provider = with_machines(ground, &[1]).await?;
    let id = ground.machine(Whose::Mine, 1).id;
    provider.stop_machine(id, Stop::Now).await?;
    expect_power(&*provider, id, Power::Off, "stopped before it was started").await?;
    for _ in 0..2 {
        for _ in 0..2 {
            provider.start_machine(id).await?;
            expect_power(&*provider, id, Power::On, "started").await?;
        }
        for _ in 0..2 {
            provider.stop_machine(id, Stop::Now).await?;
            expect_power(&*provider, id, Power::Off, "stopped").await?;
        }
    }
    clear(ground, Whose::Mine).await
}

async fn a_killed_machine_is_seen_dead_and_starts_again(ground: &dyn Ground) -> Result<(), Saw> {
    let provider = with_machines(ground, &[1]).await?;
    let id = ground.machine(Whose::Mine, 1).id;
    provider.start_machine(id).await?;
    ground.kill(id).await;
    expect_power(&*provider, id, Power::Dead, "killed").await?;
    provider.start_machine(id).await?;
    expect_power(&*provider, id, Power::On, "started after it was killed").await?;
    ground.kill(id).await;
    provider.stop_machine(id, Stop::Now).await?;
    expect_power(&*provider, id, Power::Off, "stopped after it was killed").await?;
    clear(ground, Whose::Mine).await
}

async fn a_channel_serves_one_user_at_a_time(ground: &dyn Ground) -> Result<(), Saw> {
    let provider = with_machines(ground, &[1]).await?;
    let id = ground.machine(Whose::Mine, 1).id;
    so(provider.channel(id).await.is_err(), || "a machine that is off has a channel".to_owned())?;
    provider.start_machine(id).await?;
    let (channel, _) = greet_patiently(ground, id, 1).await?;
    let second = match provider.channel(id).await {
        Err(error) => {
            so(error.blame == Blame::Passing, || {
                format!("a channel in use is refused for good: {error}")
            })?;
            None
        }
        Ok(second) => greet(second, 2, Duration::from_millis(300)).await,
    };
    so(second.is_none(), || "a channel in use was opened a second time".to_owned())?;
    drop(channel);
    let (channel, _) = greet_patiently(ground, id, 3).await?;
    provider.stop_machine(id, Stop::Now).await?;
    let after = greet(channel, 4, Duration::from_millis(300)).await;
    so(after.is_none(), || "the agent of a stopped machine answers".to_owned())?;
    clear(ground, Whose::Mine).await
}

async fn a_template_is_made_once_and_stays_while_machines_rest_on_it(
    ground: &dyn Ground,
) -> Result<(), Saw> {
    let provider = with_machines(ground, &[]).await?;
    let order = MachineOrder { start: Start::Live, ..ground.machine(Whose::Mine, 1) };
    let template = order.template();
    let there = async || {
        let seen = provider.templates().await?;
        Ok::<_, Saw>(seen.into_iter().filter(|seen| seen.order == template).collect::<Vec<_>>())
    };
    so(there().await?.is_empty(), || "a template is there that nobody made".to_owned())?;
    so(provider.create_machine(&order).await.is_err(), || {
        "a machine starts live without a template".to_owned()
    })?;
    provider.destroy_machine(order.id).await?;
    for _ in 0..2 {
        provider.ensure_template(&template).await?;
        let seen = there().await?;
        so(seen.len() == 1 && seen[0].current && seen[0].users.is_empty(), || format!("{seen:?}"))?;
    }
    let name = there().await?[0].name;
    for _ in 0..2 {
        provider.create_machine(&order).await?;
        provider.start_machine(order.id).await?;
        expect_power(&*provider, order.id, Power::On, "started live").await?;
    }
    greet_patiently(ground, order.id, 5).await?;
    let users = there().await?.remove(0).users;
    so(users.len() == 1, || format!("the machines on the template are {users:?}"))?;
    so(provider.drop_template(name).await.is_err(), || {
        "a template was removed from under its machine".to_owned()
    })?;
    // Its second life begins from its own disk.
    provider.stop_machine(order.id, Stop::Now).await?;
    provider.start_machine(order.id).await?;
    greet_patiently(ground, order.id, 6).await?;
    provider.stop_machine(order.id, Stop::Now).await?;
    provider.destroy_machine(order.id).await?;
    for _ in 0..2 {
        provider.drop_template(name).await?;
        so(there().await?.is_empty(), || "a removed template is still there".to_owned())?;
    }
    clear(ground, Whose::Mine).await
}

async fn a_machine_gets_another_shape_and_its_disk_never_shrinks(
    ground: &dyn Ground,
) -> Result<(), Saw> {
    let provider = with_machines(ground, &[1]).await?;
    let order = ground.machine(Whose::Mine, 1);
    let shaped = async |wanted: &Shape, when: &str| {
        let there = provider.observe().await?;
        let has = seen(&there, order.id)?.order.as_ref().map(MachineOrder::shape);
        so(has == Some(*wanted), || format!("{when}, its shape is {has:?}, not {wanted:?}"))
    };
    let more = |by: ByteSize, than: ByteSize| ByteSize::bytes(by.as_bytes() + than.as_bytes());
    let first = order.shape();
    let smaller = Shape { disk: ByteSize::bytes(first.disk.as_bytes() - 1), ..first };
    let larger = Shape {
        memory: more(ByteSize::mib(64), first.memory),
        cpus: first.cpus + 1,
        disk: more(ByteSize::gib(1), first.disk),
    };
    so(provider.may_resize(order.id, &smaller).await.is_err(), || "a disk may shrink".to_owned())?;
    so(provider.resize_machine(order.id, &smaller).await.is_err(), || "a disk shrinks".to_owned())?;
    shaped(&first, "refused").await?;
    for _ in 0..2 {
        provider.may_resize(order.id, &larger).await?;
        provider.resize_machine(order.id, &larger).await?;
        shaped(&larger, "resized while it was off").await?;
    }
    provider.start_machine(order.id).await?;
    drop(greet_patiently(ground, order.id, 7).await?);
    let refused = provider.resize_machine(order.id, &Shape { disk: larger.disk, ..first }).await;
    so(refused.is_err(), || "memory and processors are taken from one that runs".to_owned())?;
    shaped(&larger, "refused while it ran").await?;
    let disk = Shape { disk: more(ByteSize::gib(1), larger.disk), ..larger };
    for _ in 0..2 {
        provider.resize_machine(order.id, &disk).await?;
        shaped(&disk, "with a disk that grew while it ran").await?;
    }
    expect_power(&*provider, order.id, Power::On, "resized").await?;
    let others = ground.provider(Whose::Others);
    so(others.resize_machine(order.id, &larger).await.is_err(), || {
        "another site resizes it".to_owned()
    })?;
    clear(ground, Whose::Mine).await
}

/// Tells how often it was asked to hold a machine, and can say that it could not.
#[derive(Default)]
struct Counted {
    held: u32,
    released: u32,
    lost: bool,
}

#[async_trait]
impl Stillness for Counted {
    async fn hold(&mut self) -> Result<(), ProviderError> {
        self.held += 1;
        Ok(())
    }

    async fn release(&mut self) -> Result<Duration, ProviderError> {
        self.released += 1;
        match self.lost {
            false => Ok(Duration::from_millis(7)),
            true => Err(ProviderError::new(Blame::Passing, "the time was over before")),
        }
    }
}

async fn a_snapshot_brings_a_machine_back_and_goes_with_it(ground: &dyn Ground) -> Result<(), Saw> {
    let provider = with_machines(ground, &[1]).await?;
    let id = ground.machine(Whose::Mine, 1).id;
    let order = |number: u64| SnapshotOrder {
        id: SnapshotId::draw(
            Timestamp::UNIX_EPOCH + Duration::from_secs(number),
            &mut SeededChance::new(number),
        ),
        taken: Timestamp::UNIX_EPOCH,
        label: Some("nightly".to_owned()),
        memory: false,
    };
    let there = async || {
        let seen = provider.snapshots(id).await?;
        let counted = provider.observe().await?.machines[0].snapshots;
        so(counted == seen.len(), || format!("{counted} snapshots are counted of {seen:?}"))?;
        Ok::<_, Saw>(seen.into_iter().map(|seen| seen.order).collect::<Vec<_>>())
    };
    // Of a machine that is off: nothing has to be held.
    for _ in 0..2 {
        provider.take_snapshot(id, &order(1), &mut NothingRuns).await?;
        so(there().await? == [order(1)], || "a snapshot taken twice is not there once".to_owned())?;
    }
    let memory = SnapshotOrder { memory: true, ..order(9) };
    so(provider.take_snapshot(id, &memory, &mut NothingRuns).await.is_err(), || {
        "the memory of a machine that is off was taken".to_owned()
    })?;
    // Of one that runs: it is held once and let go, whatever comes of it.
    provider.start_machine(id).await?;
    let (channel, _) = greet_patiently(ground, id, 7).await?;
    drop(channel);
    let mut lost = Counted { lost: true, ..Counted::default() };
    let taken = provider.take_snapshot(id, &order(2), &mut lost).await;
    so(taken.is_err() && there().await? == [order(1)], || {
        "a snapshot is kept of a machine that was let go too early".to_owned()
    })?;
    let mut still = Counted::default();
    let stood = provider.take_snapshot(id, &order(2), &mut still).await?;
    so(stood == Duration::from_millis(7), || format!("it is said to have stood still {stood:?}"))?;
    for still in [&lost, &still] {
        so((still.held, still.released) == (1, 1), || {
            format!("it was held {} times and let go {} times", still.held, still.released)
        })?;
    }
    expect_power(&*provider, id, Power::On, "after a snapshot").await?;
    so(there().await? == [order(1), order(2)], || "snapshots are not in order".to_owned())?;
    // Back, and up again.
    for _ in 0..2 {
        provider.revert_machine(id, order(1).id).await?;
        expect_power(&*provider, id, Power::Off, "brought back").await?;
    }
    provider.start_machine(id).await?;
    let (channel, before) = greet_patiently(ground, id, 8).await?;
    drop(channel);
    // With memory it goes on where it was, twice.
    provider.take_snapshot(id, &memory, &mut NothingRuns).await?;
    expect_power(&*provider, id, Power::On, "after a snapshot with memory").await?;
    for nonce in [9, 10] {
        provider.revert_machine(id, memory.id).await?;
        provider.start_machine(id).await?;
        let (channel, after) = greet_patiently(ground, id, nonce).await?;
        drop(channel);
        so(after.boot_id == before.boot_id, || "it booted, and was to go on".to_owned())?;
    }
    provider.stop_machine(id, Stop::Now).await?;
    provider.start_machine(id).await?;
    let (channel, after) = greet_patiently(ground, id, 11).await?;
    drop(channel);
    so(after.boot_id != before.boot_id, || "it went on, and was to boot".to_owned())?;
    provider.drop_snapshot(id, memory.id).await?;
    so(there().await?.len() == 2, || {
        "snapshots went when the machine was brought back".to_owned()
    })?;
    so(provider.revert_machine(id, order(5).id).await.is_err(), || {
        "a machine was brought back to a snapshot that is not there".to_owned()
    })?;
    expect_power(&*provider, id, Power::On, "after a refusal").await?;
    for _ in 0..2 {
        provider.drop_snapshot(id, order(1).id).await?;
        so(there().await? == [order(2)], || "a removed snapshot is still there".to_owned())?;
    }
    clear(ground, Whose::Mine).await
}

async fn a_clone_is_a_machine_of_its_own(ground: &dyn Ground) -> Result<(), Saw> {
    let provider = with_machines(ground, &[1]).await?;
    let order = |number: u32| ground.machine(Whose::Mine, number);
    let id = order(1).id;
    let cold = [order(2), order(3)];
    so(provider.clone_machine(id, &cold, false, &mut NothingRuns).await.is_err(), || {
        "a machine that is off was cloned".to_owned()
    })?;
    so(provider.observe().await?.machines.len() == 1, || {
        "a clone is there that was refused".to_owned()
    })?;
    provider.start_machine(id).await?;
    let (channel, _) = greet_patiently(ground, id, 20).await?;
    drop(channel);
    let mut still = Counted::default();
    let stood = provider.clone_machine(id, &cold, false, &mut still).await?;
    so(stood == Duration::from_millis(7), || format!("it is said to have stood still {stood:?}"))?;
    let stood = provider.clone_machine(id, &cold, false, &mut still).await?;
    so(stood.is_zero() && (still.held, still.released) == (1, 1), || {
        "the original was held for clones that were there".to_owned()
    })?;
    expect_power(&*provider, id, Power::On, "after it was cloned").await?;
    for wanted in &cold {
        let there = provider.observe().await?;
        let clone = seen(&there, wanted.id)?;
        so(clone.order.as_ref() == Some(wanted) && clone.clone_of == Some(id), || {
            format!("the clone is seen as {clone:?}")
        })?;
        so(clone.power == Power::Off && !clone.apart, || format!("it is {clone:?}"))?;
    }
    provider.start_machine(cold[0].id).await?;
    let (channel, _) = greet_patiently(ground, cold[0].id, 21).await?;
    drop(channel);
    // Its disk is its own: it goes, and the other one starts.
    provider.destroy_machine(cold[0].id).await?;
    // With memory: it goes on, cut off until it is let in.
    let live = order(4);
    provider.clone_machine(id, std::slice::from_ref(&live), true, &mut NothingRuns).await?;
    expect_power(&*provider, id, Power::On, "after it was cloned live").await?;
    for _ in 0..2 {
        provider.start_machine(live.id).await?;
        expect_power(&*provider, live.id, Power::On, "a live clone, started").await?;
    }
    let (channel, _) = greet_patiently(ground, live.id, 22).await?;
    drop(channel);
    let apart = async || Ok::<_, Saw>(seen(&provider.observe().await?, live.id)?.apart);
    so(apart().await?, || "a live clone is in its network before it was let in".to_owned())?;
    for _ in 0..2 {
        provider.connect_machine(live.id).await?;
        so(!apart().await?, || "a live clone is not let in".to_owned())?;
    }
    // Its second life begins from its own disk, without the original.
    provider.stop_machine(live.id, Stop::Now).await?;
    provider.destroy_machine(id).await?;
    provider.start_machine(live.id).await?;
    let (channel, _) = greet_patiently(ground, live.id, 23).await?;
    drop(channel);
    clear(ground, Whose::Mine).await
}

async fn signs_of_life_move_while_a_machine_boots(ground: &dyn Ground) -> Result<(), Saw> {
    let provider = with_machines(ground, &[1]).await?;
    let id = ground.machine(Whose::Mine, 1).id;
    provider.start_machine(id).await?;
    let first = provider.progress(id).await?;
    let deadline = Instant::now() + ground.patience();
    loop {
        if provider.progress(id).await? != first {
            break;
        }
        so(Instant::now() < deadline, || format!("nothing moves: {first:?}"))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    clear(ground, Whose::Mine).await
}

async fn another_site_never_notices(ground: &dyn Ground) -> Result<(), Saw> {
    let others = ground.provider(Whose::Others);
    others.ensure_network(&ground.network(Whose::Others)).await?;
    let theirs = ground.machine(Whose::Others, 1);
    others.create_machine(&theirs).await?;
    others.start_machine(theirs.id).await?;
    let before = others.observe().await?;
    let mine = with_machines(ground, &[1]).await?;
    let id = ground.machine(Whose::Mine, 1).id;
    let there = mine.observe().await?;
    so(there.machines.iter().all(|m| m.id == id) && there.networks.len() == 1, || {
        format!("one site sees what belongs to another: {there:?}")
    })?;
    // Whether these say no or nothing, they must not touch it.
    drop(mine.stop_machine(theirs.id, Stop::Now).await);
    drop(mine.destroy_machine(theirs.id).await);
    drop(mine.destroy_network(&ground.network(Whose::Others).name).await);
    so(mine.channel(theirs.id).await.is_err(), || {
        "one site has a channel to a machine of another".to_owned()
    })?;
    clear(ground, Whose::Mine).await?;
    let after = others.observe().await?;
    so(after == before, || format!("it was {before:?}, and is {after:?}"))?;
    clear(ground, Whose::Others).await
}

/// Opens the channel and waits until the agent answers, as long as the ground has patience.
async fn greet_patiently(
    ground: &dyn Ground,
    id: MachineId,
    nonce: u64,
) -> Result<(Box<dyn Channel>, Peer), Saw> {
    let provider = ground.provider(Whose::Mine);
    let deadline = Instant::now() + ground.patience();
    loop {
        let saw = match provider.channel(id).await {
            Ok(channel) => match greet(channel, nonce, Duration::from_secs(2)).await {
                Some(greeted) => return Ok(greeted),
                None => "its agent does not answer".to_owned(),
            },
            Err(error) if error.blame == Blame::Passing => updraft_base::chain(&error),
            Err(error) => return Err(error.into()),
        };
        so(Instant::now() < deadline, || format!("after {:?}, {saw}", ground.patience()))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Says hello; `None` when the agent has not said hello back in time.
async fn greet(
    mut channel: Box<dyn Channel>,
    nonce: u64,
    within: Duration,
) -> Option<(Box<dyn Channel>, Peer)> {
    let deadline = Instant::now() + within;
    let mut hello = PREAMBLE.to_vec();
    Frame::hello(&Hello { version: VERSION, nonce, peer: None }).encode(&mut hello);
    timeout_at(deadline, channel.write_all(&hello)).await.ok()?.ok()?;
    let mut decoder = Decoder::new();
    let mut chunk = vec![0; 16 << 10];
    loop {
        let length = timeout_at(deadline, channel.read(&mut chunk)).await.ok()?.ok()?;
        if length == 0 {
            return None;
        }
        decoder.push(&chunk[..length]);
        while let Some(found) = decoder.decode().transpose() {
            // What an earlier connection left on the line is skipped.
            let Ok(Decoded::Frame(frame)) = found else { continue };
            if frame.kind == Kind::Hello
                && let Ok(Hello { nonce: echoed, peer: Some(peer), .. }) = frame.message()
                && echoed == nonce
            {
                return Some((channel, peer));
            }
        }
    }
}
