//! The provider: the trait's acts, put together from guests and networks.

use crate::command::tap_name;
use crate::guest::Guest;
use crate::network::Networks;
use crate::place::Place;
use crate::template::{self, Maker, Template, Templates};
use crate::{Accel, Acceleration, Barrier, accel, fault, firewall, link, room};
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{OnceCell, Semaphore};
use updraft_base::{Blame, ByteSize, Digest, MachineId, NetworkName, SnapshotId};
use updraft_host::Host;
use updraft_provider::{
    Channel, ImageFiles, MachineOrder, NetworkOrder, Power, Progress, Provider, ProviderError,
    Seen, Shape, SiteMark, SnapshotOrder, SnapshotSeen, Start, Stillness, Stop, TemplateOrder,
    TemplateSeen,
};

/// Where a site's guests live and how they run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The site.
    pub mark: SiteMark,
    /// The site's state directory: `.updraft` beside the site file. Guests go to `guests/`,
    /// networks to `networks/` in it.
    pub state: PathBuf,
    /// The runtime directory that all sites of this user share: `/run/updraft`. It must be short,
    /// because sockets live in it, and must not survive a reboot.
    pub runtime: PathBuf,
    /// Where verdicts on KVM are kept: a directory in the image store.
    pub verdicts: PathBuf,
    /// Where templates are kept: a directory in the image store.
    pub templates: PathBuf,
    /// KVM or emulation.
    pub accel: Accel,
    /// A program that calls [`crate::guard()`] with its second and third argument when its first is
    /// `guard`: ours. Without it a guest stands still when we are killed while its memory is kept,
    /// until it is started again.
    pub guard: Option<PathBuf>,
}

/// Guests on one host, seen from one site.
pub struct QemuProvider {
    settings: Settings,
    host: Arc<dyn Host>,
    acceleration: OnceCell<Acceleration>,
    made_by: OnceCell<Maker>,
    starting: Semaphore,
    /// What keeps guests from getting out, as it was when a network was made or a guest started.
    barriers: Mutex<Vec<Barrier>>,
}

impl QemuProvider {
    /// A provider; nothing is looked at or made yet.
    pub fn new(settings: Settings, host: Arc<dyn Host>) -> Self {
        Self {
            settings,
            host,
            acceleration: OnceCell::new(),
            made_by: OnceCell::new(),
            starting: Semaphore::new(
                std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            ),
            barriers: Mutex::default(),
        }
    }

    /// How guests made from this image run here. The first call may take some seconds: KVM is
    /// proven by running a guest. [`Provider::start_machine`] asks it too.
    ///
    /// # Errors
    /// When the emulator is not installed.
    pub async fn acceleration(&self, files: &ImageFiles) -> Result<Acceleration, ProviderError> {
        let decide = || async {
            let Settings { accel, verdicts, .. } = &self.settings;
            let decided = accel::decide(self.host.as_ref(), *accel, files, verdicts).await;
            decided.map_err(fault("cannot tell whether KVM works here".to_owned()))
        };
        self.acceleration.get_or_try_init(decide).await.cloned()
    }

    /// The socket on which a machine's serial console is, for one user at a time.
    pub fn console_path(&self, id: MachineId) -> PathBuf {
        self.place(id).console_socket()
    }

    /// Everything a machine's console has printed since it was made.
    pub fn console_log(&self, id: MachineId) -> PathBuf {
        self.place(id).console_log()
    }

    /// The site's part of the runtime directory.
    fn runtime(&self) -> PathBuf {
        self.settings.runtime.join(self.settings.mark.id.tail())
    }

    fn place(&self, id: MachineId) -> Place {
        Place::new(&self.settings.state, &self.runtime(), id)
    }

    fn guest(&self, id: MachineId) -> Guest<'_> {
        let Settings { mark, guard, .. } = &self.settings;
        let (host, guard) = (self.host.as_ref(), guard.as_deref());
        Guest { host, mark, id, place: self.place(id), guard }
    }

    /// Looks whether guests get out. Others may change their firewalls at any time, so this is word
    /// for people and no error.
    async fn look_for_barriers(&self) {
        let found = firewall::barriers(self.host.as_ref()).await.unwrap_or_default();
        *self.barriers.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    fn networks(&self) -> Networks<'_> {
        let Settings { mark, state, runtime, .. } = &self.settings;
        Networks { host: self.host.as_ref(), mark, state, shared: runtime }
    }

    /// Refuses a start for which there is not enough memory, before it hurts what runs: each guest
    /// of the site that runs may still take what it has not touched yet, and this one all of its.
    async fn check_room(&self, order: &MachineOrder) -> Result<(), ProviderError> {
        let running = self.running().await?;
        if running.iter().any(|(id, ..)| *id == order.id) {
            return Ok(());
        }
        let running: Vec<_> = running.into_iter().map(|(_, memory, pid)| (memory, pid)).collect();
        room::check(self.host.as_ref(), order, &running).await
    }

    /// The guests of the site that run, with their memory and process.
    async fn running(&self) -> Result<Vec<(MachineId, ByteSize, u32)>, ProviderError> {
        let mut running = Vec::new();
        for guest in self.guests().await? {
            let pid = guest.pid().await.map_err(fault("cannot look at the guests".to_owned()))?;
            if let Some(pid) = pid {
                running.push((guest.id, guest.order().await?.memory, pid));
            }
        }
        Ok(running)
    }

    fn templates(&self) -> Templates<'_> {
        let Settings { mark, templates, runtime, .. } = &self.settings;
        Templates { host: self.host.as_ref(), mark, root: templates, runtime }
    }

    /// How templates of this image are made here.
    async fn maker(&self, files: &ImageFiles) -> Result<(Acceleration, Maker), ProviderError> {
        let acceleration = self.acceleration(files).await?;
        let ask = || async { self.templates().maker(&acceleration).await };
        let maker = self.made_by.get_or_try_init(ask).await?.clone();
        Ok((acceleration, maker))
    }

    /// The bridge of each of a machine's cards.
    async fn bridges(&self, order: &MachineOrder) -> Result<Vec<(usize, String)>, ProviderError> {
        let networks = self.networks().orders().await?;
        let mut bridges = Vec::new();
        for (index, nic) in order.nics.iter().enumerate() {
            let network = networks.iter().find(|network| network.name == nic.network);
            let network = network.ok_or_else(|| {
                let message = format!(
                    "cannot start machine {}: network {} is not there",
                    order.name, nic.network
                );
                ProviderError::new(Blame::World, message).hinting("`updraft up` makes it")
            })?;
            bridges.push((index, network.bridge.clone()));
        }
        Ok(bridges)
    }

    /// By what memory of a guest of ours is kept here, and taken again.
    async fn maker_for(&self, id: MachineId) -> Result<Maker, ProviderError> {
        let order = self.guest(id).order().await?;
        Ok(self.maker(&order.files).await?.1)
    }

    /// The guests that carry the site's mark, by id.
    async fn guests(&self) -> Result<Vec<Guest<'_>>, ProviderError> {
        let dir = self.settings.state.join("guests");
        let what = || "cannot read the machines of this site".to_owned();
        let mut guests = Vec::new();
        for name in self.host.list(&dir).await.map_err(fault(what()))? {
            let Ok(id) = name.parse() else { continue };
            let guest = self.guest(id);
            if guest.record().await?.is_some() {
                guests.push(guest);
            }
        }
        Ok(guests)
    }
}

#[async_trait]
impl Provider for QemuProvider {
    fn kind(&self) -> &'static str {
        "qemu"
    }

    async fn observe(&self) -> Result<Seen, ProviderError> {
        let guests = self.guests().await?;
        let networks = self.networks();
        if guests.is_empty() && networks.orders().await?.is_empty() {
            return Ok(Seen::default());
        }
        let what = || "cannot look at the interfaces of this computer".to_owned();
        let host = self.host.as_ref();
        let (links, routes) = tokio::join!(link::links(host), link::routes(host));
        let (links, routes) = (links.map_err(fault(what()))?, routes.map_err(fault(what()))?);
        let mut seen = Seen::default();
        let mut attached = Vec::new();
        let looks = guests.iter().map(|guest| guest.observe(&links));
        for machine in futures::future::join_all(looks).await {
            let machine = machine?;
            if let (Power::On, false, Some(order)) = (machine.power, machine.apart, &machine.order)
            {
                let nics = order.nics.iter().enumerate();
                attached.extend(nics.map(|(at, nic)| (tap_name(order, at), nic.network.clone())));
            }
            seen.machines.push(machine);
        }
        seen.networks = networks.observe(&links, &routes, &attached).await?;
        Ok(seen)
    }

    async fn ensure_network(&self, order: &NetworkOrder) -> Result<(), ProviderError> {
        let mut taps = Vec::new();
        for guest in self.guests().await? {
            let machine = guest.order().await?;
            if guest.is_apart().await? {
                continue;
            }
            let nics = machine.nics.iter().enumerate();
            taps.extend(
                nics.filter(|(_, nic)| nic.network == order.name)
                    .map(|(index, _)| tap_name(&machine, index)),
            );
        }
        self.networks().ensure(order, &taps).await?;
        self.look_for_barriers().await;
        Ok(())
    }

    async fn destroy_network(&self, name: &NetworkName) -> Result<(), ProviderError> {
        self.networks().destroy(name).await
    }

    async fn create_machine(&self, order: &MachineOrder) -> Result<(), ProviderError> {
        let template = match order.start {
            Start::Cold => None,
            Start::Live => {
                template::check(order)?;
                let (_, maker) = self.maker(&order.files).await?;
                // One that is there already rests on what it rests on.
                match self.guest(order.id).record().await? {
                    Some(record) if record.order == *order => {
                        record.template.map(|name| Template::at(&self.settings.templates, name))
                    }
                    _ => Some(self.templates().find(&order.template(), &maker).await?),
                }
            }
        };
        self.guest(order.id).create(order, template.as_ref()).await
    }

    async fn templates(&self) -> Result<Vec<TemplateSeen>, ProviderError> {
        let seen = self.templates().list(None).await?;
        let Some(first) = seen.first() else { return Ok(seen) };
        // Where one was made, it is known how guests run. An emulator that is gone makes none
        // current.
        match self.maker(&first.order.files).await {
            Ok((_, maker)) => self.templates().list(Some(&maker)).await,
            Err(_) => Ok(seen),
        }
    }

    async fn ensure_template(&self, order: &TemplateOrder) -> Result<(), ProviderError> {
        let (acceleration, maker) = self.maker(&order.files).await?;
        self.templates().ensure(order, &acceleration, &maker).await
    }

    async fn drop_template(&self, name: Digest) -> Result<(), ProviderError> {
        self.templates().drop(name).await
    }

    async fn start_machine(&self, id: MachineId) -> Result<(), ProviderError> {
        let guest = self.guest(id);
        let order = guest.order().await?;
        let networks = self.networks().orders().await?;
        let bridges = self.bridges(&order).await?;
        let acceleration = self.acceleration(&order.files).await?;
        // So many at a time as there are processors: an emulator's start keeps one busy.
        let _turn = self.starting.acquire().await.expect("it is never closed");
        self.check_room(&order).await?;
        let template = guest.record().await?.and_then(|record| record.template);
        let template = template.map(|name| Template::at(&self.settings.templates, name));
        let start = guest.start(&acceleration, &bridges, &networks, template.as_ref());
        tokio::join!(start, self.look_for_barriers()).0
    }

    async fn stop_machine(&self, id: MachineId, stop: Stop) -> Result<(), ProviderError> {
        self.guest(id).stop(stop).await
    }

    async fn may_resize(&self, id: MachineId, shape: &Shape) -> Result<(), ProviderError> {
        let running = self.running().await?;
        let others = running.into_iter().filter(|(other, ..)| *other != id);
        let others: Vec<_> = others.map(|(_, memory, pid)| (memory, pid)).collect();
        self.guest(id).may_resize(shape, &others).await
    }

    async fn resize_machine(&self, id: MachineId, shape: &Shape) -> Result<(), ProviderError> {
        self.guest(id).resize(shape).await
    }

    async fn destroy_machine(&self, id: MachineId) -> Result<(), ProviderError> {
        self.guest(id).destroy(&self.settings.templates).await?;
        let what = || format!("cannot tidy up after machine {id}");
        for dir in
            [self.settings.state.join("guests"), self.runtime(), self.settings.runtime.clone()]
        {
            self.host.remove_empty_dir(&dir).await.map_err(fault(what()))?;
        }
        Ok(())
    }

    async fn snapshots(&self, id: MachineId) -> Result<Vec<SnapshotSeen>, ProviderError> {
        self.guest(id).snapshots().await
    }

    async fn take_snapshot(
        &self,
        id: MachineId,
        order: &SnapshotOrder,
        still: &mut dyn Stillness,
    ) -> Result<Duration, ProviderError> {
        let maker = match order.memory {
            true => Some(self.maker_for(id).await?),
            false => None,
        };
        self.guest(id).take_snapshot(order, maker, still).await
    }

    async fn revert_machine(
        &self,
        id: MachineId,
        snapshot: SnapshotId,
    ) -> Result<(), ProviderError> {
        let maker = self.maker_for(id).await?;
        self.guest(id).revert(snapshot, Some(maker)).await
    }

    async fn drop_snapshot(
        &self,
        id: MachineId,
        snapshot: SnapshotId,
    ) -> Result<(), ProviderError> {
        self.guest(id).drop_snapshot(snapshot).await
    }

    async fn clone_machine(
        &self,
        of: MachineId,
        orders: &[MachineOrder],
        live: bool,
        still: &mut dyn Stillness,
    ) -> Result<Duration, ProviderError> {
        let original = self.guest(of);
        let maker = match live {
            true => Some(self.maker_for(of).await?),
            false => None,
        };
        let clones: Vec<_> = orders.iter().map(|order| (self.guest(order.id), order)).collect();
        original.clone_into(&clones, maker, &self.settings.templates, still).await
    }

    async fn connect_machine(&self, id: MachineId) -> Result<(), ProviderError> {
        let guest = self.guest(id);
        let order = guest.order().await?;
        let bridges = self.bridges(&order).await?;
        guest.connect(&order, &bridges).await
    }

    async fn channel(&self, id: MachineId) -> Result<Box<dyn Channel>, ProviderError> {
        let path = self.place(id).agent_socket();
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(source) => {
                let message = format!("cannot reach the agent's line of machine {id}");
                Err(ProviderError::new(Blame::Passing, message).because(source))
            }
        }
    }

    fn notice(&self) -> Option<String> {
        let emulated = match self.acceleration.get() {
            Some(Acceleration::Emulated { why }) if !why.is_empty() => {
                Some(format!("guests are emulated here, which is about ten times slower: {why}"))
            }
            _ => None,
        };
        let barriers = self.barriers.lock().unwrap_or_else(PoisonError::into_inner);
        let barred = barriers.iter().map(|barrier| {
            format!(
                "guests cannot reach anything outside: the firewall's chain `{barrier}` drops it; {} lets them pass",
                barrier.remedy()
            )
        });
        let all: Vec<String> = emulated.into_iter().chain(barred).collect();
        (!all.is_empty()).then(|| all.join("\n"))
    }

    async fn console(&self, id: MachineId) -> Result<(PathBuf, PathBuf), ProviderError> {
        Ok((self.console_path(id), self.console_log(id)))
    }

    async fn progress(&self, id: MachineId) -> Result<Progress, ProviderError> {
        self.guest(id).progress().await
    }
}
