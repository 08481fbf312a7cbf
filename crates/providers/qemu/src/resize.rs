//! Giving a guest another shape.
//!
//! Its disk grows while it runs. Memory and processors are those that its process is started with:
//! see docs/decisions/0014-memory-and-processors-change-with-a-restart.md. The order is written
//! last: what was cut off is done again as a whole, and everything here may be done twice.

use crate::guest::{Guest, MONITOR_ANSWERS};
use crate::qmp::{Qmp, QmpError};
use crate::{fault, room};
use serde_json::{Value, json};
use updraft_base::{Blame, Blamed as _, ByteSize};
use updraft_host::Cmd;
use updraft_provider::{MachineOrder, ProviderError, Shape};

impl Guest<'_> {
    /// Refuses a shape that it cannot have. `others` are the other guests of the site that run.
    pub(crate) async fn may_resize(
        &self,
        shape: &Shape,
        others: &[(ByteSize, u32)],
    ) -> Result<(), ProviderError> {
        let order = self.order().await?;
        shape.check(&order)?;
        let what = || format!("cannot look at machine {}", order.name);
        let pid = self.pid().await.map_err(fault(what()))?;
        match pid {
            Some(pid) if shape.memory > order.memory => {
                room::check_growth(self.host, &order.shaped(shape), others, pid).await
            }
            _ => Ok(()),
        }
    }

    /// Gives it another shape.
    pub(crate) async fn resize(&self, shape: &Shape) -> Result<(), ProviderError> {
        let mut record = self.expect_record().await?;
        let order = record.order.clone();
        shape.check(&order)?;
        let what = || format!("cannot resize machine {}", order.name);
        match self.pid().await.map_err(fault(what()))? {
            Some(_) if !shape.grows_only_disk(&order) => return Err(Shape::needs_off(&order.name)),
            Some(_) => {
                let lost =
                    |error: QmpError| ProviderError::new(error.blame(), what()).because(error);
                let mut qmp =
                    Qmp::connect(&self.place.qmp_socket(), MONITOR_ANSWERS).await.map_err(lost)?;
                let disk = json!({ "node-name": "disk", "size": shape.disk.as_bytes() });
                qmp.execute("block_resize", disk, MONITOR_ANSWERS).await.map_err(lost)?;
            }
            None => self.grow_disk(&order, shape.disk).await?,
        }
        if order.shape() == *shape {
            return Ok(());
        }
        record.order = order.clone().shaped(shape);
        let text = serde_json::to_vec_pretty(&record).expect("a record is JSON");
        let written = self.host.write_atomic(&self.place.order(), &text, 0o600).await;
        written.map_err(fault(what()))
    }

    /// Grows the disk of a guest that is off. What runs inside grows its filesystem as it boots.
    pub(crate) async fn grow_disk(
        &self,
        order: &MachineOrder,
        wanted: ByteSize,
    ) -> Result<(), ProviderError> {
        let what = || format!("cannot grow the disk of machine {}", order.name);
        let disk = self.place.disk();
        let info = Cmd::new("qemu-img").args(["info", "--output=json", "--"]).arg(&disk);
        let info = self.host.run(info).await.map_err(fault(what()))?;
        let info: Value = serde_json::from_str(&info.text())
            .map_err(|source| ProviderError::new(Blame::World, what()).because(source))?;
        if info.get("virtual-size").and_then(Value::as_u64) == Some(wanted.as_bytes()) {
            return Ok(());
        }
        let grow = Cmd::new("qemu-img")
            .args(["resize", "-q", "-f", "qcow2", "--"])
            .arg(&disk)
            .arg(wanted.as_bytes().to_string());
        self.host.run(grow).await.map(drop).map_err(fault(what()))
    }
}
