//! The image below a guest's disk: whether it is there, and whether it is the very one that the disk
//! was made on.
//!
//! A disk holds only what differs from its image. A store that was lost is built again from the same
//! recipe under the same name, but its blocks lie elsewhere: a guest would boot from a mixture of
//! both. So each guest writes down which build its disk rests on, and does not start on another.

use crate::fault;
use crate::guest::{Guest, Record};
use std::path::Path;
use updraft_base::{Blame, Digest, Hasher};
use updraft_host::Cmd;
use updraft_provider::{MachineOrder, ProviderError};

/// How much of the beginning of an image tells builds apart. It holds the superblock, with the
/// identity that mke2fs draws for each filesystem, and thousands of blocks after it.
const TELLING: &str = "4194304";

impl Guest<'_> {
    pub(crate) async fn check_image(&self, order: &MachineOrder) -> Result<(), ProviderError> {
        let what = || format!("cannot look at the image of machine {}", order.name);
        for path in order.files.paths() {
            if !self.exists(path).await.map_err(fault(what()))? {
                return Err(ProviderError::new(
                    Blame::World,
                    format!(
                        "image {} of machine {} is not there: `{}` is missing",
                        order.image.short(),
                        order.name,
                        path.display()
                    ),
                )
                .hinting(
                    "put it back if you can; `updraft up` builds it again, for new machines only",
                ));
            }
        }
        Ok(())
    }

    /// Which build of its image a disk would rest on now.
    pub(crate) async fn build(&self, order: &MachineOrder) -> Result<Digest, ProviderError> {
        let what = || format!("cannot look at the image of machine {}", order.name);
        let path: &Path = &order.files.disk;
        let size = Cmd::new("stat").args(["-L", "-c", "%s", "--"]).arg(path);
        let size = self.host.run(size).await.map_err(fault(what()))?;
        let head = Cmd::new("head").args(["-c", TELLING, "--"]).arg(path);
        let head = self.host.run(head).await.map_err(fault(what()))?;
        let mut hasher = Hasher::default();
        hasher.field(size.text());
        hasher.field(head.stdout);
        Ok(hasher.finish())
    }

    /// Refuses to go on when the image is not the one that the disk was made on.
    pub(crate) async fn check_build(&self, record: &Record) -> Result<(), ProviderError> {
        let order = &record.order;
        // Guests of an updraft that did not write it down start as they always did.
        let Some(known) = record.build else { return Ok(()) };
        if self.build(order).await? == known {
            return Ok(());
        }
        Err(ProviderError::new(
            Blame::World,
            format!(
                "machine {} was made on another build of image {}; on the present one its disk would be garbage",
                order.name,
                order.image.short()
            ),
        )
        .hinting(format!(
            "put back `{}` as it was, or make the site anew: `updraft destroy`, then `updraft up`",
            order.files.disk.display()
        )))
    }
}
