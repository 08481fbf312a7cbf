//! The simulated provider passes the suite, and the suite notices who does not.

use super::*;
use crate::conformance::{CHECKS, run, run_one};

#[tokio::test]
async fn the_simulated_provider_conforms_in_memory() {
    run(&SimGround(SimWorld::new(Tempo::INSTANT))).await.unwrap();
}

#[tokio::test]
async fn the_simulated_provider_conforms_in_a_file_and_leaves_none_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er/sim.json");
    for check in CHECKS {
        run_one(check, &SimGround(SimWorld::kept_in(&path, Tempo::INSTANT))).await.unwrap();
        assert!(!path.exists(), "after {check}");
    }
}

/// What the suite asks of a visitor, asked of every call and in both directions.
#[tokio::test]
async fn another_site_never_notices() {
    let ground = SimGround(SimWorld::new(Tempo { boot_signs: 0, ..Tempo::INSTANT }));
    run_one("another_site_never_notices", &ground).await.unwrap();
    let sites = [Whose::Mine, Whose::Others];
    for whose in sites {
        let provider = ground.provider(whose);
        provider.ensure_network(&network(whose)).await.unwrap();
        provider.create_machine(&order(whose, 1)).await.unwrap();
        provider.start_machine(order(whose, 1).id).await.unwrap();
    }
    let before = ground.0.machines().unwrap();
    for (whose, theirs) in [(sites[0], sites[1]), (sites[1], sites[0])] {
        let (provider, id) = (ground.provider(whose), order(theirs, 1).id);
        assert!(provider.create_machine(&order(theirs, 1)).await.is_err());
        assert!(provider.start_machine(id).await.is_err());
        assert!(provider.stop_machine(id, Stop::Now).await.is_err());
        assert!(provider.channel(id).await.is_err());
        assert!(provider.direct(id).is_none());
        assert!(provider.progress(id).await.is_err());
        // Not there, as far as this site can see: nothing to remove is no error.
        provider.destroy_machine(id).await.unwrap();
        provider.destroy_network(&network(theirs).name).await.unwrap();
    }
    assert_eq!(ground.0.machines().unwrap(), before);
    for whose in sites {
        assert_eq!(ground.provider(whose).observe().await.unwrap().networks.len(), 1);
    }
}

/// A provider that breaks one promise, to see that the suite notices.
struct Careless {
    inner: SimProvider,
    breaks: &'static str,
    made: Mutex<u32>,
}

#[async_trait]
impl Provider for Careless {
    fn kind(&self) -> &'static str {
        "careless"
    }
    async fn observe(&self) -> Result<Seen, ProviderError> {
        let mut seen = self.inner.observe().await?;
        match self.breaks {
            "order" => seen.machines.reverse(),
            "half" => {
                for machine in &mut seen.machines {
                    let whole = order(Whose::Mine, 1);
                    machine.order.get_or_insert(whole);
                }
            }
            "dead" => {
                for machine in &mut seen.machines {
                    if machine.power == Power::Dead {
                        machine.power = Power::On;
                    }
                }
            }
            _ => {}
        }
        Ok(seen)
    }
    async fn ensure_network(&self, order: &NetworkOrder) -> Result<(), ProviderError> {
        self.inner.ensure_network(order).await
    }
    async fn destroy_network(&self, name: &NetworkName) -> Result<(), ProviderError> {
        match self.breaks {
            "network stays" => Ok(()),
            _ => self.inner.destroy_network(name).await,
        }
    }
    async fn templates(&self) -> Result<Vec<TemplateSeen>, ProviderError> {
        let mut seen = self.inner.templates().await?;
        if self.breaks == "users" {
            seen.iter_mut().for_each(|seen| seen.users.clear());
        }
        Ok(seen)
    }
    async fn ensure_template(&self, order: &TemplateOrder) -> Result<(), ProviderError> {
        self.inner.ensure_template(order).await
    }
    async fn drop_template(&self, name: Digest) -> Result<(), ProviderError> {
        self.inner.drop_template(name).await
    }
    async fn create_machine(&self, order: &MachineOrder) -> Result<(), ProviderError> {
        let mut order = order.clone();
        if self.breaks == "twice" {
            let mut made = self.made.lock().unwrap();
            *made += 1;
            if *made == 2 {
                order = super::order(Whose::Mine, 99);
            }
        }
        self.inner.create_machine(&order).await
    }
    async fn start_machine(&self, id: MachineId) -> Result<(), ProviderError> {
        self.inner.start_machine(id).await
    }
    async fn stop_machine(&self, id: MachineId, stop: Stop) -> Result<(), ProviderError> {
        match self.breaks {
            "stop" => Ok(()),
            _ => self.inner.stop_machine(id, stop).await,
        }
    }
    async fn may_resize(&self, id: MachineId, shape: &Shape) -> Result<(), ProviderError> {
        self.inner.may_resize(id, shape).await
    }
    async fn resize_machine(&self, id: MachineId, shape: &Shape) -> Result<(), ProviderError> {
        match self.breaks {
            "shape" => Ok(()),
            _ => self.inner.resize_machine(id, shape).await,
        }
    }
    async fn destroy_machine(&self, id: MachineId) -> Result<(), ProviderError> {
        if self.breaks == "absent" {
            let there = self.inner.observe().await?.machines.iter().any(|m| m.id == id);
            if !there {
                return Err(ProviderError::new(Blame::World, "no such machine"));
            }
        }
        if self.breaks == "others" {
            let others = Careless {
                inner: SimProvider { mark: mark(Whose::Others), ..self.inner.clone() },
                breaks: "",
                made: Mutex::new(0),
            };
            others.stop_machine(id, Stop::Now).await.ok();
            others.destroy_machine(id).await?;
        }
        self.inner.destroy_machine(id).await
    }
    async fn snapshots(&self, id: MachineId) -> Result<Vec<SnapshotSeen>, ProviderError> {
        self.inner.snapshots(id).await
    }
    async fn take_snapshot(
        &self,
        id: MachineId,
        order: &SnapshotOrder,
        still: &mut dyn Stillness,
    ) -> Result<Duration, ProviderError> {
        if self.breaks == "stillness" {
            return self.inner.take_snapshot(id, order, &mut crate::NothingRuns).await;
        }
        self.inner.take_snapshot(id, order, still).await
    }
    async fn revert_machine(&self, id: MachineId, to: SnapshotId) -> Result<(), ProviderError> {
        self.inner.revert_machine(id, to).await
    }
    async fn drop_snapshot(&self, id: MachineId, which: SnapshotId) -> Result<(), ProviderError> {
        self.inner.drop_snapshot(id, which).await
    }
    async fn clone_machine(
        &self,
        of: MachineId,
        orders: &[MachineOrder],
        live: bool,
        still: &mut dyn Stillness,
    ) -> Result<Duration, ProviderError> {
        let stood = self.inner.clone_machine(of, orders, live, still).await?;
        if self.breaks == "apart" && live {
            self.inner.connect_machine(orders[0].id).await?;
        }
        Ok(stood)
    }
    async fn connect_machine(&self, id: MachineId) -> Result<(), ProviderError> {
        self.inner.connect_machine(id).await
    }
    async fn channel(&self, id: MachineId) -> Result<Box<dyn Channel>, ProviderError> {
        if self.breaks == "channel" {
            self.inner.shared.lock().channels.clear();
        }
        self.inner.channel(id).await
    }
    async fn progress(&self, id: MachineId) -> Result<Progress, ProviderError> {
        match self.breaks {
            "progress" => Ok(Progress::default()),
            _ => self.inner.progress(id).await,
        }
    }
}

struct CarelessGround {
    ground: SimGround,
    breaks: &'static str,
}

#[async_trait]
impl Ground for CarelessGround {
    fn provider(&self, whose: Whose) -> Arc<dyn Provider> {
        let inner = self.ground.0.provider(mark(whose));
        Arc::new(Careless { inner, breaks: self.breaks, made: Mutex::new(0) })
    }
    fn network(&self, whose: Whose) -> NetworkOrder {
        network(whose)
    }
    fn machine(&self, whose: Whose, number: u32) -> MachineOrder {
        order(whose, number)
    }
    async fn half_make(&self, order: &MachineOrder) {
        self.ground.half_make(order).await;
    }
    async fn kill(&self, id: MachineId) {
        self.ground.kill(id).await;
    }
    fn patience(&self) -> Duration {
        Duration::from_millis(100)
    }
}

#[tokio::test]
async fn the_suite_notices_every_kind_of_carelessness() {
    for (breaks, check) in [
        ("network stays", "a_network_may_be_ensured_and_destroyed_twice"),
        ("twice", "a_machine_that_is_created_twice_is_there_once"),
        ("half", "a_half_made_machine_is_seen_and_completed"),
        ("absent", "what_is_not_there_may_be_destroyed"),
        ("order", "machines_are_seen_in_the_order_of_their_ids"),
        ("stop", "a_machine_starts_and_stops_again_and_again"),
        ("dead", "a_killed_machine_is_seen_dead_and_starts_again"),
        ("channel", "a_channel_serves_one_user_at_a_time"),
        ("progress", "signs_of_life_move_while_a_machine_boots"),
        ("shape", "a_machine_gets_another_shape_and_its_disk_never_shrinks"),
        ("users", "a_template_is_made_once_and_stays_while_machines_rest_on_it"),
        ("stillness", "a_snapshot_brings_a_machine_back_and_goes_with_it"),
        ("apart", "a_clone_is_a_machine_of_its_own"),
        ("others", "another_site_never_notices"),
    ] {
        let ground = SimGround(SimWorld::new(Tempo::INSTANT));
        let breach = run(&CarelessGround { ground, breaks }).await.unwrap_err();
        assert_eq!(breach.check, check, "{breaks}: {}", breach.saw);
    }
}
