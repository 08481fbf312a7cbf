//! Making guests from a guest that runs: with its disk as it is at one moment, and with its memory.
//!
//! A clone is written down first and has its disk last, so that one that is half made is seen as
//! such and finished by the same call again. It rests on nothing of the original: only on the image,
//! or the template, that the original rests on.
//!
//! One that goes on as the original has the original's card, address and all, so its interface here
//! is kept out of the bridge until it is somebody else (`apart`).

use crate::fault;
use crate::guest::{Guest, Record};
use crate::snapshot::{COPIED_WITHIN, GoingOn, Pending, fits};
use crate::template::{Maker, Template};
use std::path::Path;
use std::time::Duration;
use updraft_base::{Blame, ByteSize};
use updraft_host::Cmd;
use updraft_provider::{MachineOrder, ProviderError, Stillness};

impl Guest<'_> {
    /// Makes these guests from this one; with its memory, when it is told by what that is kept.
    pub(crate) async fn clone_into(
        &self,
        clones: &[(Guest<'_>, &MachineOrder)],
        maker: Option<Maker>,
        templates: &Path,
        still: &mut dyn Stillness,
    ) -> Result<Duration, ProviderError> {
        let what = || format!("cannot clone machine {}", self.id);
        let original = self.expect_record().await?;
        let mut missing = Vec::new();
        for clone in clones {
            if !clone.0.is_whole_clone(clone.1).await? {
                missing.push(clone);
            }
        }
        let [(first, _), others @ ..] = missing.as_slice() else { return Ok(Duration::ZERO) };
        let pid = self.pid().await.map_err(fault(what()))?.ok_or_else(|| {
            ProviderError::new(Blame::World, format!("{}: it is off", what()))
                .hinting("`updraft up` starts it")
        })?;
        self.tidy_snapshots().await?;
        let mut room = self.room_of(&self.place.disk()).await?.as_bytes();
        if maker.is_some() {
            room += original.order.memory.as_bytes();
        }
        self.check_disk_room(ByteSize::bytes(room * missing.len() as u64)).await?;
        for (clone, order) in &missing {
            clone.begin_clone(&original, order, templates).await?;
        }
        let stood = match &maker {
            None => self.set_point(still).await,
            Some(_) => self.write_memory(&first.place.memory()).await,
        };
        let made = async {
            let stood = stood?;
            let going_on = match maker {
                Some(maker) => {
                    let layout = self.layout(pid).await?;
                    Some(GoingOn { layout, maker, fits: fits(&original.order) })
                }
                None => None,
            };
            for (clone, _) in others.iter().filter(|_| going_on.is_some()) {
                let copied = self.copy(&first.place.memory(), &clone.place.memory()).await;
                copied.map_err(fault(what()))?;
            }
            for (clone, _) in &missing {
                self.write_disk(clone, going_on.as_ref()).await?;
            }
            Ok(stood)
        };
        let made = made.await;
        // The first error is the one to tell; the next call tidies up again. Clones are whole only
        // after this: nobody calls again for one that is, and the point would stay.
        let tidied = self.tidy_snapshots().await;
        let stood = made?;
        tidied?;
        for (clone, _) in &missing {
            clone.take_disk().await?;
        }
        Ok(stood)
    }

    async fn is_whole_clone(&self, order: &MachineOrder) -> Result<bool, ProviderError> {
        let what = || format!("cannot make machine {}", order.name);
        let Some(record) = self.record().await? else { return Ok(false) };
        let has_disk = self.exists(&self.place.disk()).await.map_err(fault(what()))?;
        if has_disk && record.order != *order {
            let message = format!("{}: it is there already, made from another order", what());
            return Err(ProviderError::new(Blame::World, message).hinting("destroy it first"));
        }
        Ok(has_disk)
    }

    /// Writes a clone down, without a disk.
    async fn begin_clone(
        &self,
        original: &Record,
        order: &MachineOrder,
        templates: &Path,
    ) -> Result<(), ProviderError> {
        let what = || format!("cannot make machine {}", order.name);
        let mut record = Record::new(self.mark, order, original.template);
        record.build = original.build;
        record.clone_of = Some(original.order.id);
        let text = serde_json::to_vec_pretty(&record).expect("a record is JSON");
        self.host.make_dir(&self.place.dir, 0o700).await.map_err(fault(what()))?;
        let written = self.host.write_atomic(&self.place.order(), &text, 0o600).await;
        written.map_err(fault(what()))?;
        if let Some(name) = original.template {
            let template = Template::at(templates, name);
            let note = self.alias_for_people(order);
            template.join(self.host, self.id, &self.place.dir, &note).await?;
        }
        Ok(())
    }

    /// Writes what the point in this guest's disk holds beside a clone's place for it.
    async fn write_disk(
        &self,
        clone: &Guest<'_>,
        going_on: Option<&GoingOn>,
    ) -> Result<(), ProviderError> {
        let what = || format!("cannot give machine {} its disk", clone.id);
        let new = clone.place.new_disk();
        self.read_point(&new).await?;
        let firmware = self.place.firmware_state();
        if self.exists(&firmware).await.map_err(fault(what()))? {
            let copied = self.copy(&firmware, &clone.place.firmware_state()).await;
            copied.map_err(fault(what()))?;
        }
        let sync = Cmd::new("sync").arg("--").arg(&new).within(COPIED_WITHIN);
        self.host.run(sync).await.map_err(fault(what()))?;
        // It is ahead of any template.
        let born = self.host.write_atomic(&clone.place.born(), b"", 0o600).await;
        born.map_err(fault(what()))?;
        if let Some(GoingOn { layout, fits, .. }) = going_on {
            let apart = self.host.write_atomic(&clone.place.apart(), b"", 0o600).await;
            apart.map_err(fault(what()))?;
            let memory = clone.place.memory();
            clone.go_on_later(&Pending { memory, layout: *layout, fits: *fits }).await?;
        }
        Ok(())
    }

    /// Puts the disk that was written for this clone in its place: then it is whole.
    async fn take_disk(&self) -> Result<(), ProviderError> {
        let what = || format!("cannot give machine {} its disk", self.id);
        let (new, place) = (self.place.new_disk(), self.place.disk());
        let place = Cmd::new("mv").arg("-T").arg("--").arg(&new).arg(&place);
        self.host.run(place).await.map(drop).map_err(fault(what()))
    }

    /// Whether it is kept out of its networks.
    pub(crate) async fn is_apart(&self) -> Result<bool, ProviderError> {
        let what = || format!("cannot look at machine {}", self.id);
        self.exists(&self.place.apart()).await.map_err(fault(what()))
    }

    /// Lets it into its networks.
    pub(crate) async fn connect(
        &self,
        order: &MachineOrder,
        bridges: &[(usize, String)],
    ) -> Result<(), ProviderError> {
        let what = || format!("cannot connect machine {}", order.name);
        if !self.is_apart().await? {
            return Ok(());
        }
        self.ensure_taps(order, bridges, true).await?;
        self.host.remove(&self.place.apart()).await.map_err(fault(what()))
    }
}
