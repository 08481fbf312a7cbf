//! Watches machines that something is done with: one that stands still would be waited for until
//! some deadline far away.

use crate::actor::Actor;
use crate::sessions::Party;
use std::collections::BTreeSet;
use std::time::Duration;
use updraft_base::{Blame, MachineName};
use updraft_engine::StepFault;
use updraft_plan::Act;
use updraft_provider::Power;

/// How often machines are looked at meanwhile. A look costs a few milliseconds.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Actor {
    /// Does something with machines for as long as they move.
    ///
    /// # Errors
    /// Those of the work, or why one of the machines stands still. The work is then dropped where
    /// it is, as in a crash.
    pub(crate) async fn while_moving<T>(
        &self,
        machines: &[MachineName],
        work: impl Future<Output = Result<T, StepFault>>,
    ) -> Result<T, StepFault> {
        if machines.is_empty() {
            return work.await;
        }
        tokio::select! {
            biased;
            done = work => done,
            stuck = self.until_stuck(machines) => Err(stuck),
        }
    }

    async fn until_stuck(&self, machines: &[MachineName]) -> StepFault {
        let parties: Vec<Party> =
            machines.iter().filter_map(|machine| self.party(machine).ok()).collect();
        let kinds: BTreeSet<&str> = parties.iter().map(|party| party.provider.as_str()).collect();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            for kind in &kinds {
                let Ok(provider) = self.provider(kind) else { continue };
                // A look that fails tells nothing about machines.
                let Ok(seen) = provider.observe().await else { continue };
                let on = seen.machines.into_iter().filter(|machine| machine.power == Power::On);
                for (machine, why) in on.filter_map(|machine| Some((machine.id, machine.fault?))) {
                    if let Some(party) = parties.iter().find(|party| party.id == machine) {
                        return stuck(party, &why);
                    }
                }
            }
        }
    }
}

fn stuck(party: &Party, why: &str) -> StepFault {
    let hint = match why.contains("disk") {
        true => {
            "free some disk space where the site keeps its guests, then run the same command again"
        }
        false => "the same command again starts it",
    };
    StepFault::new(Blame::World, format!("`{}` cannot go on: {why}", party.name)).hinting(hint)
}

/// The machines whose agents an act waits for.
pub(crate) fn waited_for(act: &Act) -> Vec<MachineName> {
    match act {
        Act::Identify { machine, .. }
        | Act::Halt { machine, .. }
        | Act::Roll { machine, .. }
        | Act::Revive { machine, .. }
        | Act::Introduce { machine, .. }
        | Act::Balance { machine, .. } => vec![machine.clone()],
        Act::Configure { machines, .. } => machines.clone(),
        _ => Vec::new(),
    }
}
