//! Gives a machine another shape, with a restart where that must be.
//!
//! It looks first, so it may be cut off anywhere and done again: a machine that is off by then is
//! resized and started. Before a machine is powered off, its provider is asked whether it could
//! start in its new shape.

use crate::ControlError;
use crate::actor::{Actor, SHORT, fault};
use crate::sessions::{Party, SessionError};
use crate::site::SiteControl;
use serde_json::{Value, json};
use updraft_base::{Blame, GroupName, MachineName};
use updraft_engine::{StepContext, StepFault};
use updraft_plan::{Shape, ShapeChange};
use updraft_provider::Power;
use updraft_wire::Request;

/// Key of the mark on a machine whose disk is being grown while it runs.
pub(crate) const RESIZING: &str = "resizing";

impl Actor {
    pub(crate) async fn resize(
        &self,
        party: Party,
        shape: Shape,
        restart: bool,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let provider = self.provider(&party.provider)?;
        let Shape { memory, cpus, disk } = shape;
        let wanted = updraft_provider::Shape { memory, cpus, disk };
        provider.may_resize(party.id, &wanted).await.map_err(|e| fault(&e))?;
        let seen = provider.observe().await.map_err(|e| fault(&e))?;
        let seen = seen.machines.into_iter().find(|machine| machine.id == party.id);
        let order = seen.as_ref().and_then(|machine| machine.order.as_ref());
        let Some((seen, order)) = seen.as_ref().zip(order) else {
            return Err(StepFault::new(Blame::World, format!("`{}` is gone", party.name))
                .hinting("`updraft up` makes it anew"));
        };
        let mut has = order.shape();
        if seen.power == Power::On && self.grows(&party, &has, &wanted, restart).await? {
            // While it runs, so that its filesystem is as large when this is done, and not at some
            // moment after it has booted.
            self.mark(&party, RESIZING.to_owned(), json!(true)).await?;
            has.disk = wanted.disk;
            provider.resize_machine(party.id, &has).await.map_err(|e| fault(&e))?;
            context.report("growing its filesystem");
            self.expand(&party, disk.as_bytes()).await?;
        }
        if restart && has != wanted && seen.power == Power::On {
            context.phase("stop");
            self.stop(party.clone(), context).await?;
        }
        if has != wanted {
            provider.resize_machine(party.id, &wanted).await.map_err(|e| fault(&e))?;
        }
        if restart {
            context.phase("start");
            self.sessions.forget(party.id).await;
            provider.start_machine(party.id).await.map_err(|e| fault(&e))?;
        }
        Ok(Value::Null)
    }

    /// Whether the disk of a running machine is to be grown before anything else. One that is
    /// restarted anyway and does not answer grows as it boots.
    async fn grows(
        &self,
        party: &Party,
        has: &updraft_provider::Shape,
        wanted: &updraft_provider::Shape,
        restart: bool,
    ) -> Result<bool, StepFault> {
        match self.observe(party).await {
            Ok(says) => Ok(has.disk != wanted.disk || says.marks.contains_key(RESIZING)),
            Err(_) if restart => Ok(false),
            Err(silent) => Err(silent),
        }
    }

    /// Has a running machine use all of its disk.
    async fn expand(&self, party: &Party, disk: u64) -> Result<(), StepFault> {
        let asked = self.sessions.ask(party, "grow", Request::Expand { disk }, SHORT * 4).await;
        match asked {
            Ok(_) => self.forget_mark(party, RESIZING).await,
            // It heard and cannot, so the next run need not ask again.
            Err(error @ SessionError::Refused { .. }) => {
                self.forget_mark(party, RESIZING).await?;
                let grow =
                    format!("the disk has grown; grow what is on it inside `{}`", party.name);
                Err(fault(&error).hinting(grow))
            }
            Err(error) => Err(fault(&error)),
        }
    }

    async fn forget_mark(&self, party: &Party, key: &str) -> Result<(), StepFault> {
        let request = Request::Mark { key: key.to_owned(), value: None };
        let asked = self.sessions.ask(party, "forget what was done", request, SHORT).await;
        asked.map(drop).map_err(|e| fault(&e))
    }
}

/// What the site file says of a machine's shape where a change says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidOtherwise {
    /// The machine's group.
    pub group: GroupName,
    /// As it is written there: `memory: 256MiB`.
    pub says: Vec<String>,
    /// It asks for a smaller disk than the machine has then, which no plan can give it.
    pub shrinks: bool,
}

impl SiteControl {
    /// What the site file says of a machine's shape where this change says otherwise.
    ///
    /// # Errors
    /// When a play cannot be read or has faults.
    pub fn said_otherwise(
        &self,
        name: &MachineName,
        change: ShapeChange,
    ) -> Result<Option<SaidOtherwise>, ControlError> {
        let desired = self.desired()?;
        let group = self.site().group_of(name).map(|group| &group.name);
        let Some(asks) = desired.groups.into_iter().find(|asks| Some(&asks.name) == group) else {
            return Ok(None);
        };
        let said = |said: Option<String>, asks: String, key: &str| {
            said.filter(|said| *said != asks).map(|_| format!("{key}: {asks}"))
        };
        let says: Vec<String> = [
            said(change.memory.map(|m| m.to_string()), asks.memory.to_string(), "memory"),
            said(change.cpus.map(|c| c.to_string()), asks.cpus.to_string(), "cpus"),
            said(change.disk.map(|d| d.to_string()), asks.disk.to_string(), "disk"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let shrinks = change.disk.is_some_and(|disk| disk > asks.disk);
        Ok((!says.is_empty()).then_some(SaidOtherwise { group: asks.name, says, shrinks }))
    }
}
