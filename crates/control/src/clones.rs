//! Clones of single machines, by the names people use.

use crate::ControlError;
use crate::actor::{Actor, fault};
use crate::identity;
use crate::sessions::Party;
use crate::site::Change;
use crate::snapshots::{Look, ThroughAgent, chance, expect_agent};
use serde_json::{Value, json};
use updraft_base::Blame;
use updraft_engine::StepFault;
use updraft_plan::{CloneDrawn, CloneWish, Plan, Power};
use updraft_provider::{MachineOrder, Nic, Start};

impl Change<'_> {
    /// What cloning a machine would do. One whose agent does not answer is refused: nobody could
    /// tell its clone who it is.
    ///
    /// # Errors
    /// When there is no such machine, it cannot be cloned, or as [`crate::SiteControl::plan`].
    pub async fn plan_clone(&self, wish: &CloneWish) -> Result<Plan, ControlError> {
        let look = self.look_at(wish.of.as_str()).await?;
        let machine = look.machine.name.to_string();
        match look.machine.power {
            Power::On | Power::Stuck => expect_agent(&look.machine, &look.silent)?,
            Power::Off | Power::Dead => {
                let state = "off: nobody knows whether a clone of it could be told who it is";
                return Err(ControlError::NotRunning { machine, state: state.to_owned() });
            }
        }
        if look.machine.apart {
            let state = "not itself yet".to_owned();
            return Err(ControlError::NotRunning { machine, state });
        }
        let told = identity::all_remembered(self.journal())?;
        let desired = self.control().desired()?;
        let mut chance = updraft_base::SeededChance::new(chance());
        let now = self.control().settings().clock.now();
        let draw = updraft_plan::Draw { now, chance: &mut chance };
        let Look { observed, memory, .. } = &look;
        Ok(updraft_plan::plan_clone(&desired, observed, memory, draw, wish, &told)?)
    }

    /// What removing a clone would do. Machines of the site file are not removed one by one.
    ///
    /// # Errors
    /// When there is no such clone.
    pub async fn plan_destroy_clone(&self, name: &str) -> Result<Plan, ControlError> {
        let look = self.look_at(name).await?;
        if look.machine.clone_of.is_none() {
            return Err(ControlError::Asked { machine: name.to_owned() });
        }
        let desired = self.control().desired()?;
        Ok(updraft_plan::plan_destroy_clone(&desired, &look.memory, &look.machine))
    }
}

impl Actor {
    pub(crate) async fn clone_machine(
        &self,
        original: &Party,
        live: bool,
        clones: &[CloneDrawn],
    ) -> Result<Value, StepFault> {
        let provider = self.provider(&original.provider)?;
        let seen = provider.observe().await.map_err(|e| fault(&e))?;
        let order = seen.machines.into_iter().find(|seen| seen.id == original.id);
        let order = order
            .and_then(|seen| seen.order)
            .ok_or_else(|| StepFault::new(Blame::World, format!("`{}` is gone", original.name)))?;
        let orders: Vec<MachineOrder> =
            clones.iter().map(|drawn| clone_order(&order, drawn)).collect();
        let mut still = ThroughAgent { sessions: &self.sessions, party: original };
        let stood = provider.clone_machine(original.id, &orders, live, &mut still).await;
        let stood = stood.map_err(|e| fault(&e))?;
        if !stood.is_zero() {
            let ms = stood.as_millis().max(1);
            self.announce(format!("{} stood still for {ms} ms", original.name));
        }
        Ok(json!({ "stood_still_ms": stood.as_millis() as u64 }))
    }
}

/// The original's order for somebody else. A clone comes to life from its own disk.
fn clone_order(original: &MachineOrder, drawn: &CloneDrawn) -> MachineOrder {
    let nic = |nic: &Nic| Nic { mac: drawn.mac, address: drawn.address, ..nic.clone() };
    MachineOrder {
        id: drawn.id,
        name: drawn.machine.clone(),
        nics: original.nics.iter().take(1).map(nic).collect(),
        start: Start::Cold,
        ..original.clone()
    }
}
