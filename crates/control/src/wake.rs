//! Waits for machines that are on their way up, as long as they show signs of life.

use crate::actor::fault;
use crate::sessions::{Party, SessionError, Sessions};
use std::time::Duration;
use updraft_base::Blame;
use updraft_engine::StepFault;
use updraft_provider::{Progress, Provider};
use updraft_wire::{Observed, Request, Response};

/// How long a machine may show no sign of life on its way up before it counts as stuck. An
/// emulated guest prints something every few seconds; a disk check on a slow disk does not.
const STUCK_AFTER: Duration = Duration::from_secs(120);

/// How long a machine may take to come up, whatever it shows.
const UP_WITHIN: Duration = Duration::from_secs(900);

/// How long somebody else may talk to it: a look at the site takes seconds, and is no reason to
/// give a run up.
const BUSY_WITHIN: Duration = Duration::from_secs(60);

/// How often a machine on its way up is looked at, to see that it has not gone off.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(500);

/// Waits until the agent answers: as long as the machine shows signs of life.
pub(crate) async fn agent(
    sessions: &Sessions,
    provider: &dyn Provider,
    party: &Party,
    report: &(dyn Fn(&str) + Sync),
) -> Result<Observed, StepFault> {
    let began = tokio::time::Instant::now();
    let mut moved_at = began;
    let mut progress = Progress::default();
    let mut looked = began;
    let mut pause = Duration::from_millis(5);
    let mut busy = None;
    loop {
        let within = Duration::from_millis(700);
        let asked = sessions.ask(party, "say how it is", Request::Observe, within).await;
        let error = match asked {
            Ok(Response::Observed(seen)) => return Ok(*seen),
            Ok(_) => None,
            Err(error @ SessionError::Busy { .. }) => {
                if busy.get_or_insert_with(tokio::time::Instant::now).elapsed() > BUSY_WITHIN {
                    return Err(fault(&error));
                }
                report(&error.to_string());
                None
            }
            Err(error) => {
                busy = None;
                Some(error)
            }
        };
        let now = provider.progress(party.id).await.map_err(|e| fault(&e))?;
        if now != progress {
            if now.last_line != progress.last_line {
                report(&now.last_line);
            }
            progress = now;
            moved_at = tokio::time::Instant::now();
        }
        // Looking at everything is dear where there are many machines.
        if looked.elapsed() > LOOKED_AT_EVERY {
            still_on(provider, party, &progress).await?;
            looked = tokio::time::Instant::now();
        }
        if moved_at.elapsed() > STUCK_AFTER || began.elapsed() > UP_WITHIN {
            let why = error.as_ref().map(|e| updraft_base::chain(e)).unwrap_or_default();
            return Err(StepFault::new(
                Blame::World,
                format!(
                    "`{}` did not come up: no sign of life for {} s ({why}); last on its console: {}",
                    party.name,
                    moved_at.elapsed().as_secs(),
                    progress.last_line
                ),
            )
            .hinting(format!("`updraft machine console {}` shows more", party.name)));
        }
        // The agent cannot announce itself on a line that nobody listens to: look again soon.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

async fn still_on(
    provider: &dyn Provider,
    party: &Party,
    progress: &Progress,
) -> Result<(), StepFault> {
    let seen = provider.observe().await.map_err(|e| fault(&e))?;
    let on = |m: &updraft_provider::MachineSeen| m.power == updraft_provider::Power::On;
    match seen.machines.iter().find(|machine| machine.id == party.id) {
        Some(machine) if on(machine) => Ok(()),
        Some(machine) => Err(StepFault::new(
            Blame::World,
            format!(
                "`{}` went off while it was coming up{}; last on its console: {}",
                party.name,
                machine.fault.as_ref().map(|f| format!(": {f}")).unwrap_or_default(),
                progress.last_line
            ),
        )
        .hinting("`updraft up` starts it again")),
        None => Err(StepFault::new(Blame::World, format!("`{}` is gone", party.name))
            .hinting("`updraft up` makes it anew")),
    }
}
