//! Machines of one run that start live and become themselves beside each other.

use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use updraft_base::MachineId;
use updraft_plan::{Act, Plan};

/// So long for each of them on one processor, new machines leave this computer to whoever waits for
/// one of them. An emulated machine's first login over SSH takes 2 s of a processor among nineteen
/// others; what a machine does for itself meanwhile would make it half as much again.
const QUIET_EACH: Duration = Duration::from_millis(2500);

/// Never less: somebody who starts one machine logs in within seconds.
const LEAST_QUIET: Duration = Duration::from_secs(5);

/// Never more: what is logged on a machine waits so long, twice that by its own chance.
const MOST_QUIET: Duration = Duration::from_secs(25);

/// The machines that a run starts live, and whose turn it is.
pub(crate) struct Becoming {
    live: BTreeSet<MachineId>,
    /// They become themselves so many at a time as there are processors: each needs one of them for
    /// a second, and all at once would each wait for all others.
    turns: Semaphore,
    processors: usize,
}

impl Becoming {
    /// What `plan` starts live, on this computer.
    pub(crate) fn of(plan: &Plan) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut live = BTreeSet::new();
        for step in &plan.steps {
            match &step.act {
                Act::CreateMachine(drawn) if drawn.live => drop(live.insert(drawn.id)),
                Act::CloneMachine { live: true, clones, .. } => {
                    live.extend(clones.iter().map(|drawn| drawn.id));
                }
                _ => {}
            }
        }
        Self { live, turns: Semaphore::new(processors), processors }
    }

    /// Waits for the turn of a machine that starts live; any other has no need of one.
    pub(crate) async fn turn(&self, machine: MachineId) -> Option<SemaphorePermit<'_>> {
        match self.live.contains(&machine) {
            true => Some(self.turns.acquire().await.expect("it is never closed")),
            false => None,
        }
    }

    /// How long each of them is to leave the processors to whoever waits for any.
    pub(crate) fn quiet(&self) -> Duration {
        let crowd = self.live.len().div_ceil(self.processors);
        let crowd = u32::try_from(crowd).unwrap_or(u32::MAX);
        QUIET_EACH.saturating_mul(crowd).clamp(LEAST_QUIET, MOST_QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use updraft_base::SeededChance;

    #[test]
    fn the_more_come_to_life_together_the_longer_they_are_quiet() {
        let quiet = |machines: u64, processors| {
            let chance = &mut SeededChance::new(machines);
            let at = updraft_base::Timestamp::default();
            let live = (0..machines).map(|_| MachineId::draw(at, chance)).collect();
            Becoming { live, turns: Semaphore::new(processors), processors }.quiet()
        };
        assert_eq!(quiet(1, 2), LEAST_QUIET);
        assert_eq!(quiet(8, 2), Duration::from_secs(10));
        assert_eq!(quiet(8, 64), LEAST_QUIET);
        assert_eq!(quiet(1000, 2), MOST_QUIET);
    }
}
