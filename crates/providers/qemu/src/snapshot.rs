//! Snapshots of one guest: its disk as it was at one moment, each in a file of its own.
//!
//! ```text
//! snapshots/<id>/disk.qcow2      what differed from the image
//! snapshots/<id>/firmware.fd     what UEFI remembered, where there is one
//! snapshots/<id>/memory          memory and devices, where they were asked for
//! snapshots/<id>/snapshot.json   what it was made from, written last: without it, a leftover
//! ```
//!
//! Nothing of a guest's own disk lies in a snapshot, and no snapshot in another: any of them is
//! removed by removing its folder. The moment is fixed by a point inside the disk of a guest that
//! runs, which costs milliseconds; what it holds is then read out while the guest goes on, and the
//! point is taken away.
//!
//! Never here: holding filesystems, which is the agent's; which snapshots are kept.

use crate::Acceleration;
use crate::fault;
use crate::guest::Guest;
use crate::memory::{Layout, let_go};
use crate::qmp::{Qmp, QmpError};
use crate::template::Maker;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use updraft_base::{Blame, Blamed as _, ByteSize, SnapshotId};
use updraft_host::Cmd;
use updraft_provider::{MachineOrder, ProviderError, SnapshotOrder, SnapshotSeen, Stillness, Stop};

/// Name of the point inside a disk. There is never more than one: a second one means that somebody
/// was killed.
const POINT: &str = "updraft";

/// For a monitor to set or remove a point: milliseconds, more on a disk that is busy.
const POINT_WITHIN: Duration = Duration::from_secs(60);

/// Copying what a guest has written, on a slow disk.
pub(crate) const COPIED_WITHIN: Duration = Duration::from_secs(4 * 3600);

/// Room on the disk that is left alone.
const TO_SPARE: ByteSize = ByteSize::mib(256);

/// What `snapshot.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    version: u32,
    #[serde(flatten)]
    order: SnapshotOrder,
    /// What is needed to go on from its memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    going_on: Option<GoingOn>,
}

/// What only the same can take memory and devices of again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GoingOn {
    pub(crate) layout: Layout,
    pub(crate) maker: Maker,
    pub(crate) fits: Fits,
}

/// Memory, processors and disk of the guest that it is from.
type Fits = (ByteSize, u32, ByteSize);

pub(crate) fn fits(order: &MachineOrder) -> Fits {
    (order.memory, order.cpus, order.disk)
}

/// What `goes-on` says: the memory that belongs to the disk as it is now.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) memory: PathBuf,
    pub(crate) layout: Layout,
    pub(crate) fits: Fits,
}

impl Guest<'_> {
    fn snapshot_dir(&self, id: SnapshotId) -> PathBuf {
        self.place.snapshots().join(id.to_string())
    }

    async fn snapshot_facts(&self, id: SnapshotId) -> Result<Option<Facts>, ProviderError> {
        let path = self.snapshot_dir(id).join("snapshot.json");
        let what = || format!("cannot read the snapshots of machine {}", self.id);
        let Some(text) = self.host.read(&path).await.map_err(fault(what()))? else {
            return Ok(None);
        };
        let facts = serde_json::from_slice(&text).map_err(|source| {
            ProviderError::new(Blame::World, format!("`{}` cannot be understood", path.display()))
                .because(source)
        })?;
        Ok(Some(facts))
    }

    /// What its snapshots were made from, the oldest first: ids sort by age.
    pub(crate) async fn snapshot_orders(&self) -> Result<Vec<SnapshotOrder>, ProviderError> {
        let what = || format!("cannot read the snapshots of machine {}", self.id);
        let mut orders = Vec::new();
        for name in self.host.list(&self.place.snapshots()).await.map_err(fault(what()))? {
            let Ok(id) = name.parse() else { continue };
            orders.extend(self.snapshot_facts(id).await?.map(|facts| facts.order));
        }
        Ok(orders)
    }

    /// Its snapshots with what they take.
    pub(crate) async fn snapshots(&self) -> Result<Vec<SnapshotSeen>, ProviderError> {
        let mut seen = Vec::new();
        for order in self.snapshot_orders().await? {
            let stored = self.room_of(&self.snapshot_dir(order.id)).await?;
            seen.push(SnapshotSeen { order, stored });
        }
        Ok(seen)
    }

    /// What a file or directory takes on the disk; nothing where there is none.
    pub(crate) async fn room_of(&self, path: &Path) -> Result<ByteSize, ProviderError> {
        let what = || format!("cannot see how large `{}` is", path.display());
        let size = Cmd::new("du").args(["-s", "--block-size=1", "--"]).arg(path).accept(1);
        let text = self.host.run(size).await.map_err(fault(what()))?.text();
        let bytes = text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        Ok(ByteSize::bytes(bytes))
    }

    /// Refuses to write more than there is room for.
    pub(crate) async fn check_disk_room(&self, needed: ByteSize) -> Result<(), ProviderError> {
        let what = || "cannot see how much room there is".to_owned();
        let free = self.host.free_space(&self.place.dir).await.map_err(fault(what()))?;
        if free.as_bytes() >= needed.as_bytes() + TO_SPARE.as_bytes() {
            return Ok(());
        }
        let message = format!(
            "there is no room for {} more in `{}`: {free} are free, and {TO_SPARE} stay so",
            ByteSize::mib((needed.as_bytes() >> 20) + 1),
            self.place.dir.display()
        );
        Err(ProviderError::new(Blame::World, message).hinting(
            "free some disk space, or remove snapshots: `updraft machine snapshots` shows them",
        ))
    }

    /// Takes a snapshot, or finds that it is there.
    pub(crate) async fn take_snapshot(
        &self,
        order: &SnapshotOrder,
        maker: Option<Maker>,
        still: &mut dyn Stillness,
    ) -> Result<Duration, ProviderError> {
        self.order().await?;
        if self.snapshot_facts(order.id).await?.is_some() {
            return Ok(Duration::ZERO);
        }
        self.tidy_snapshots().await?;
        let made = self.make_snapshot(order, maker, still).await;
        if made.is_err() {
            // The first error is the one to tell; the next call tidies up again.
            drop(self.tidy_snapshots().await);
        }
        made
    }

    async fn make_snapshot(
        &self,
        order: &SnapshotOrder,
        maker: Option<Maker>,
        still: &mut dyn Stillness,
    ) -> Result<Duration, ProviderError> {
        let what = || format!("cannot take a snapshot of machine {}", self.id);
        let machine = self.order().await?;
        let disk = self.place.disk();
        let mut room = self.room_of(&disk).await?.as_bytes();
        if order.memory {
            room += machine.memory.as_bytes();
        }
        self.check_disk_room(ByteSize::bytes(room)).await?;
        let dir = self.snapshot_dir(order.id);
        self.host.make_dir(&dir, 0o700).await.map_err(fault(what()))?;
        let copy = dir.join("disk.qcow2");
        let mut going_on = None;
        let stood = match self.pid().await.map_err(fault(what()))? {
            None if order.memory => {
                return Err(ProviderError::new(Blame::World, format!("{}: it is off", what())));
            }
            Some(pid) if order.memory => {
                let maker = maker.ok_or_else(|| {
                    ProviderError::new(Blame::Bug, format!("{}: by which emulator?", what()))
                })?;
                let layout = self.layout(pid).await?;
                going_on = Some(GoingOn { layout, maker, fits: fits(&machine) });
                let stood = self.write_memory(&dir.join("memory")).await?;
                self.read_point(&copy).await?;
                self.remove_point().await?;
                stood
            }
            None => {
                self.copy(&disk, &copy).await.map_err(fault(what()))?;
                Duration::ZERO
            }
            Some(_) => {
                let stood = self.set_point(still).await?;
                self.read_point(&copy).await?;
                self.remove_point().await?;
                stood
            }
        };
        let mut files = vec![copy];
        let firmware = self.place.firmware_state();
        if self.exists(&firmware).await.map_err(fault(what()))? {
            let copy = dir.join("firmware.fd");
            self.copy(&firmware, &copy).await.map_err(fault(what()))?;
            files.push(copy);
        }
        let sync = Cmd::new("sync").arg("--").args(&files).within(COPIED_WITHIN);
        self.host.run(sync).await.map_err(fault(what()))?;
        let facts = Facts { version: 1, order: order.clone(), going_on };
        let text = serde_json::to_vec_pretty(&facts).expect("facts are JSON");
        let path = dir.join("snapshot.json");
        self.host.write_atomic(&path, &text, 0o600).await.map_err(fault(what()))?;
        Ok(stood)
    }

    async fn monitor(&self) -> Result<Qmp<UnixStream>, QmpError> {
        Qmp::connect(&self.place.qmp_socket(), POINT_WITHIN).await
    }

    /// Fixes the present content of a running guest's disk while what runs inside holds it.
    pub(crate) async fn set_point(
        &self,
        still: &mut dyn Stillness,
    ) -> Result<Duration, ProviderError> {
        let lost = |error: QmpError| {
            let message = format!("cannot take a snapshot of machine {}", self.id);
            ProviderError::new(error.blame(), message).because(error)
        };
        let mut qmp = self.monitor().await.map_err(lost)?;
        still.hold().await?;
        let set = self.fix_disk(&mut qmp).await;
        // Let go first, whatever came of it.
        let released = still.release().await;
        set.map_err(lost)?;
        released
    }

    /// Fixes the present content of a guest's disk that stands still.
    pub(crate) async fn fix_disk(&self, qmp: &mut Qmp<UnixStream>) -> Result<(), QmpError> {
        let point = json!({ "device": "disk", "name": POINT });
        qmp.execute("blockdev-snapshot-internal-sync", point, POINT_WITHIN).await.map(drop)
    }

    /// Writes what the point holds into a disk of its own on the same image.
    pub(crate) async fn read_point(&self, to: &Path) -> Result<(), ProviderError> {
        let what = || format!("cannot read the disk of machine {}", self.id);
        let disk = self.place.disk();
        let info = Cmd::new("qemu-img").args(["info", "-U", "--output=json", "--"]).arg(&disk);
        let info = self.host.run(info).await.map_err(fault(what()))?;
        let info: serde_json::Value = serde_json::from_slice(&info.stdout).map_err(|source| {
            ProviderError::new(Blame::Bug, format!("{}: not JSON", what())).because(source)
        })?;
        let image = info.get("full-backing-filename").and_then(|name| name.as_str());
        let image = image.ok_or_else(|| {
            ProviderError::new(Blame::World, format!("{}: it rests on no image", what()))
        })?;
        // What a point holds is never written again, so that another process may read it.
        let convert = Cmd::new("qemu-img")
            .args(["convert", "-U", "-l", &format!("snapshot.name={POINT}")])
            .args(["-B", image, "-F", "qcow2", "-O", "qcow2", "--"])
            .arg(&disk)
            .arg(to)
            .within(COPIED_WITHIN);
        self.host.run(convert).await.map(drop).map_err(fault(what()))
    }

    /// Takes the point away, if there is one.
    pub(crate) async fn remove_point(&self) -> Result<(), ProviderError> {
        let what = || format!("cannot tidy up the disk of machine {}", self.id);
        if self.pid().await.map_err(fault(what()))?.is_some() {
            let lost = |error: QmpError| ProviderError::new(error.blame(), what()).because(error);
            let mut qmp = self.monitor().await.map_err(lost)?;
            let point = json!({ "device": "disk", "name": POINT });
            let command = "blockdev-snapshot-delete-internal-sync";
            return match qmp.execute(command, point, POINT_WITHIN).await {
                Err(QmpError::Refused { reason, .. }) if reason.contains("does not exist") => {
                    Ok(())
                }
                other => other.map(drop).map_err(lost),
            };
        }
        let disk = self.place.disk();
        if !self.exists(&disk).await.map_err(fault(what()))? {
            return Ok(());
        }
        let list = Cmd::new("qemu-img").args(["snapshot", "-l", "--"]).arg(&disk);
        let listed = self.host.run(list).await.map_err(fault(what()))?.text();
        if listed.lines().any(|line| line.split_whitespace().nth(1) == Some(POINT)) {
            let remove = Cmd::new("qemu-img").args(["snapshot", "-d", POINT, "--"]).arg(&disk);
            self.host.run(remove.within(COPIED_WITHIN)).await.map_err(fault(what()))?;
        }
        Ok(())
    }

    /// Takes away what somebody left who did not come to their end.
    pub(crate) async fn tidy_snapshots(&self) -> Result<(), ProviderError> {
        let what = || format!("cannot tidy up the snapshots of machine {}", self.id);
        if self.pid().await.map_err(fault(what()))?.is_some() {
            let lost = |error: QmpError| ProviderError::new(error.blame(), what()).because(error);
            let_go(&self.place.qmp_socket()).await.map_err(lost)?;
        }
        self.remove_point().await?;
        let dir = self.place.snapshots();
        for name in self.host.list(&dir).await.map_err(fault(what()))? {
            let whole = match name.parse() {
                Ok(id) => self.snapshot_facts(id).await?.is_some(),
                Err(_) => false,
            };
            if !whole {
                self.host.remove(&dir.join(name)).await.map_err(fault(what()))?;
            }
        }
        self.host.remove_empty_dir(&dir).await.map_err(fault(what()))
    }

    pub(crate) async fn copy(&self, from: &Path, to: &Path) -> Result<(), updraft_host::HostError> {
        let copy = Cmd::new("cp")
            .args(["--reflink=auto", "--sparse=always", "--"])
            .arg(from)
            .arg(to)
            .within(COPIED_WITHIN);
        self.host.run(copy).await.map(drop)
    }

    /// Puts its disk back as a snapshot has it, powered off.
    pub(crate) async fn revert(
        &self,
        id: SnapshotId,
        maker: Option<Maker>,
    ) -> Result<(), ProviderError> {
        let what = || format!("cannot bring machine {} back to snapshot {}", self.id, id.tail());
        let order = self.order().await?;
        let facts = self.snapshot_facts(id).await?.ok_or_else(|| {
            ProviderError::new(Blame::World, format!("{}: it has none", what()))
                .hinting("`updraft machine snapshots` shows those there are")
        })?;
        if let Some(GoingOn { maker: known, .. }) = &facts.going_on
            && maker.is_some_and(|maker| maker != *known)
        {
            let message =
                format!("{}: its memory was kept by {} ({})", what(), known.emulator, known.how);
            return Err(ProviderError::new(Blame::World, message)
                .hinting("another emulator or processor cannot go on from it"));
        }
        if let Some(GoingOn { fits: (memory, cpus, disk), .. }) = facts.going_on
            && (memory, cpus, disk) != fits(&order)
        {
            let message = format!(
                "{}: it had {memory} of memory, {cpus} cpus and a disk of {disk} then",
                what()
            );
            return Err(ProviderError::new(Blame::World, message)
                .hinting("memory goes on only in a machine of the same shape"));
        }
        let dir = self.snapshot_dir(id);
        self.check_disk_room(self.room_of(&dir).await?).await?;
        // What it is doing is given up with its disk.
        self.stop(Stop::Now).await?;
        self.host.remove(&self.place.goes_on()).await.map_err(fault(what()))?;
        for name in ["firmware.fd", "disk.qcow2"] {
            let kept = dir.join(name);
            if !self.exists(&kept).await.map_err(fault(what()))? {
                continue;
            }
            let new = self.place.new_disk();
            self.copy(&kept, &new).await.map_err(fault(what()))?;
            let sync = Cmd::new("sync").arg("--").arg(&new).within(COPIED_WITHIN);
            self.host.run(sync).await.map_err(fault(what()))?;
            let place = Cmd::new("mv").arg("-T").arg("--").arg(&new).arg(self.place.dir.join(name));
            self.host.run(place).await.map_err(fault(what()))?;
        }
        match facts.going_on {
            // Only now: memory belongs to this disk and to no other.
            Some(GoingOn { layout, fits, .. }) => {
                self.go_on_later(&Pending { memory: dir.join("memory"), layout, fits }).await
            }
            // It may have been smaller then.
            None => self.grow_disk(&order, order.disk).await,
        }
    }

    /// Writes down from which memory it goes on at its next start.
    pub(crate) async fn go_on_later(&self, pending: &Pending) -> Result<(), ProviderError> {
        let what = || format!("cannot have machine {} go on from its memory", self.id);
        let text = serde_json::to_vec(pending).expect("it is JSON");
        let written = self.host.write_atomic(&self.place.goes_on(), &text, 0o600).await;
        written.map_err(fault(what()))
    }

    /// Starts it from the memory that belongs to its disk, if there is one, and leaves it standing
    /// still. Only once: after that its disk is ahead of that memory.
    pub(crate) async fn go_on(
        &self,
        order: &MachineOrder,
        acceleration: &Acceleration,
    ) -> Result<bool, ProviderError> {
        let what = || format!("machine {} cannot go on from its memory", self.id);
        let path = self.place.goes_on();
        let Some(text) = self.host.read(&path).await.map_err(fault(what()))? else {
            return Ok(false);
        };
        let mut goes = false;
        if let Ok(Pending { memory, layout, fits: known }) = serde_json::from_slice(&text)
            && known == fits(order)
            // Where the snapshot was removed, or the guest got another shape, the disk boots.
            && self.exists(&memory).await.map_err(fault(what()))?
        {
            self.read_memory(order, acceleration, layout, &memory).await?;
            goes = true;
        }
        self.host.remove(&path).await.map_err(fault(what()))?;
        // A clone's own copy; that of a snapshot stays.
        self.host.remove(&self.place.memory()).await.map_err(fault(what()))?;
        Ok(goes)
    }

    /// Removes a snapshot, its name first.
    pub(crate) async fn drop_snapshot(&self, id: SnapshotId) -> Result<(), ProviderError> {
        let what = || format!("cannot remove snapshot {} of machine {}", id.tail(), self.id);
        if self.record().await?.is_none() {
            return Ok(());
        }
        let facts = self.snapshot_dir(id).join("snapshot.json");
        self.host.remove(&facts).await.map_err(fault(what()))?;
        self.tidy_snapshots().await
    }
}
