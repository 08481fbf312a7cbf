//! Snapshots of single machines, by the names people use.

use crate::ControlError;
use crate::actor::Actor;
use crate::sessions::{Party, SessionError, Sessions};
use crate::site::{Change, SiteControl};
use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use updraft_base::{Blame, Blamed as _, MachineName, SnapshotId};
use updraft_engine::StepFault;
use updraft_host::OsChance;
use updraft_plan::{AgentFacts, MachineFacts, Plan, Power, SnapshotFacts};
use updraft_provider::{ProviderError, SnapshotOrder, SnapshotSeen, Stillness};
use updraft_wire::{Request, Response};

/// For how long a machine's filesystems are held at most. A point in a disk is set within
/// milliseconds; services notice when nothing is written for longer than this.
const HELD_AT_MOST: Duration = Duration::from_secs(10);

/// An agent that is there answers at once; writing everything out first may take some time.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A snapshot, for people and for programs.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotView {
    /// Machine.
    pub machine: String,
    /// Short name: the end of the id.
    pub name: String,
    /// Identity.
    pub id: String,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it was asked for.
    pub taken: String,
    /// Bytes it takes on disk.
    pub bytes: u64,
    /// The same, for people.
    pub stored: String,
    /// Memory and devices too.
    pub memory: bool,
}

/// A snapshot that is asked for.
#[derive(Clone, Debug, Default)]
pub struct SnapshotWish {
    /// What to call it.
    pub label: Option<String>,
    /// Memory and devices too.
    pub memory: bool,
    /// Of those with the same label, so many stay.
    pub keep: Option<usize>,
}

fn facts(seen: &SnapshotSeen) -> SnapshotFacts {
    let SnapshotOrder { id, taken, label, memory } = seen.order.clone();
    SnapshotFacts { id, taken, label, memory }
}

impl SiteControl {
    /// The snapshots of one machine, or of all of them in the order of their names.
    ///
    /// # Errors
    /// When there is no such machine, or its provider cannot be asked.
    pub async fn snapshots(&self, name: Option<&str>) -> Result<Vec<SnapshotView>, ControlError> {
        let names: Vec<MachineName> = match name {
            Some(name) => vec![self.party(name)?.name],
            None => self.memory()?.machines.into_keys().collect(),
        };
        let sessions = self.sessions()?;
        let mut views = Vec::new();
        for name in names {
            let party = self.party(name.as_str())?;
            let provider = sessions.provider(&party.provider)?;
            let there = provider.observe().await?.machines;
            if !there.iter().any(|machine| machine.id == party.id) {
                continue;
            }
            for seen in provider.snapshots(party.id).await? {
                let SnapshotOrder { id, taken, label, memory } = seen.order;
                views.push(SnapshotView {
                    machine: name.to_string(),
                    name: id.tail(),
                    id: id.to_string(),
                    label,
                    taken: taken.to_string(),
                    bytes: seen.stored.as_bytes(),
                    stored: seen.stored.to_string(),
                    memory,
                });
            }
        }
        Ok(views)
    }
}

/// The snapshot that somebody means: by its id, the end of it, its label, or `last`.
fn choose(there: &[SnapshotFacts], wanted: &str) -> Result<SnapshotFacts, ControlError> {
    let known = || there.iter().map(SnapshotFacts::title).collect::<Vec<_>>();
    let named = |seen: &&SnapshotFacts| {
        seen.id.tail() == wanted.to_ascii_lowercase() || seen.id.to_string() == wanted
    };
    let labelled = |seen: &&SnapshotFacts| seen.label.as_deref() == Some(wanted);
    if let Some(seen) = there.iter().find(named) {
        return Ok(seen.clone());
    }
    let same: Vec<&SnapshotFacts> = match wanted {
        "last" => there.iter().max_by_key(|seen| seen.id).into_iter().collect(),
        _ => there.iter().filter(labelled).collect(),
    };
    match same.as_slice() {
        [seen] => Ok((*seen).clone()),
        [] => {
            Err(ControlError::Unknown { what: "snapshot", name: wanted.to_owned(), known: known() })
        }
        several => Err(ControlError::Ambiguous {
            what: "snapshot",
            name: wanted.to_owned(),
            those: several.iter().map(|seen| seen.title()).collect(),
        }),
    }
}

impl Change<'_> {
    /// What taking a snapshot of a machine would do. A machine that runs and whose agent does not
    /// answer is refused: nobody could hold its disk still.
    ///
    /// # Errors
    /// When there is no such machine, it cannot be asked, or as [`SiteControl::plan`].
    pub async fn plan_snapshot(
        &self,
        name: &str,
        wish: SnapshotWish,
    ) -> Result<Plan, ControlError> {
        let look = self.look_at(name).await?;
        let SnapshotWish { label, memory, keep } = wish;
        let machine = &look.machine;
        match machine.power {
            Power::On | Power::Stuck => expect_agent(machine, &look.silent)?,
            Power::Off | Power::Dead if memory => {
                let state = "off: only a machine that runs has memory to keep".to_owned();
                return Err(ControlError::NotRunning { machine: name.to_owned(), state });
            }
            Power::Off | Power::Dead => {}
        }
        let taken = self.control().settings().clock.now();
        let id = SnapshotId::draw(taken, &mut OsChance);
        let too_many = updraft_plan::too_many(&look.there, label.as_deref(), keep);
        let snapshot = SnapshotFacts { id, taken, label, memory };
        let desired = self.control().desired()?;
        Ok(updraft_plan::plan_snapshot(&desired, &look.memory, machine, &snapshot, &too_many))
    }

    /// What removing a snapshot of a machine would do.
    ///
    /// # Errors
    /// As [`Change::plan_snapshot`], and when there is no such snapshot.
    pub async fn plan_drop(&self, name: &str, wanted: &str) -> Result<Plan, ControlError> {
        let look = self.look_at(name).await?;
        let snapshot = choose(&look.there, wanted)?;
        let desired = self.control().desired()?;
        Ok(updraft_plan::plan_drop_snapshot(&desired, &look.memory, &look.machine, &snapshot))
    }

    /// What bringing a machine back to a snapshot would do.
    ///
    /// # Errors
    /// As [`Change::plan_drop`].
    pub async fn plan_revert(&self, name: &str, wanted: &str) -> Result<Plan, ControlError> {
        let look = self.look_at(name).await?;
        let snapshot = choose(&look.there, wanted)?;
        let desired = self.control().desired()?;
        let mut chance = updraft_base::SeededChance::new(chance());
        let now = self.control().settings().clock.now();
        let draw = updraft_plan::Draw { now, chance: &mut chance };
        let name = &look.machine.name;
        let plan = updraft_plan::plan_revert(
            &desired,
            &look.observed,
            &look.memory,
            draw,
            name,
            &snapshot,
        )?;
        plan.ok_or_else(|| ControlError::NotRunning {
            machine: name.to_string(),
            state: "not as the site file asks for it: `up` would make another in its place"
                .to_owned(),
        })
    }

    pub(crate) async fn look_at(&self, name: &str) -> Result<Look, ControlError> {
        let party = self.control().party(name)?;
        let (memory, sight) = self.sight().await?;
        let absent = || ControlError::NotRunning {
            machine: name.to_owned(),
            state: "not made yet".to_owned(),
        };
        let machine = sight.observed.machines.iter().find(|seen| seen.id == party.id);
        let machine = machine.filter(|seen| seen.made.is_some()).ok_or_else(absent)?.clone();
        let details = sight.details.get(&machine.id);
        let silent = details.and_then(|d| d.fault.clone().or(d.busy.clone()).or(d.silent.clone()));
        let sessions = self.control().sessions()?;
        let there = sessions.provider(&party.provider)?.snapshots(party.id).await?;
        Ok(Look {
            machine,
            silent,
            there: there.iter().map(facts).collect(),
            memory,
            observed: sight.observed,
        })
    }
}

pub(crate) fn chance() -> u64 {
    use updraft_base::Chance as _;
    OsChance.next_u64()
}

/// A machine with its snapshots, and the site around it.
pub(crate) struct Look {
    pub(crate) machine: MachineFacts,
    /// Why its agent says nothing.
    pub(crate) silent: Option<String>,
    there: Vec<SnapshotFacts>,
    pub(crate) memory: updraft_plan::Memory,
    pub(crate) observed: updraft_plan::Observed,
}

/// Refuses a machine whose agent does not answer.
pub(crate) fn expect_agent(
    machine: &MachineFacts,
    silent: &Option<String>,
) -> Result<(), ControlError> {
    match machine.agent {
        AgentFacts::Answers { .. } => Ok(()),
        AgentFacts::Silent => Err(ControlError::Silent {
            machine: machine.name.to_string(),
            why: silent.clone().unwrap_or_else(|| "it says nothing".to_owned()),
        }),
    }
}

/// Holds a machine's filesystems through its agent.
pub(crate) struct ThroughAgent<'a> {
    pub(crate) sessions: &'a Sessions,
    pub(crate) party: &'a Party,
}

impl ThroughAgent<'_> {
    async fn ask(&self, request: Request) -> Result<Response, SessionError> {
        self.sessions.ask(self.party, "hold its filesystems", request, ANSWER_WITHIN).await
    }

    fn failed(&self, error: SessionError) -> ProviderError {
        let message = format!("the disk of `{}` cannot be held still", self.party.name);
        let told = ProviderError::new(error.blame(), message);
        let told = match error.hint() {
            Some(hint) => told.hinting(hint),
            None => told,
        };
        told.because(error)
    }
}

#[async_trait]
impl Stillness for ThroughAgent<'_> {
    async fn hold(&mut self) -> Result<(), ProviderError> {
        let within_ms = HELD_AT_MOST.as_millis() as u64;
        let held = match self.ask(Request::Freeze { within_ms }).await {
            // Whoever holds them was killed: nobody else may change the site now.
            Err(SessionError::Refused { .. }) => {
                self.ask(Request::Thaw).await.map_err(|error| self.failed(error))?;
                self.ask(Request::Freeze { within_ms }).await
            }
            other => other,
        };
        held.map(drop).map_err(|error| self.failed(error))
    }

    async fn release(&mut self) -> Result<Duration, ProviderError> {
        match self.ask(Request::Thaw).await.map_err(|error| self.failed(error))? {
            Response::Thawed { held: true, for_ms } => Ok(Duration::from_millis(for_ms)),
            _ => Err(ProviderError::new(
                Blame::Passing,
                format!(
                    "`{}` let its disk go after {} s, before it was looked at",
                    self.party.name,
                    HELD_AT_MOST.as_secs()
                ),
            )
            .hinting("this computer is too busy: run the same command again later")),
        }
    }
}

impl Actor {
    pub(crate) async fn take_snapshot(
        &self,
        party: &Party,
        snapshot: SnapshotFacts,
    ) -> Result<Value, StepFault> {
        let title = snapshot.title();
        let SnapshotFacts { id, taken, label, memory } = snapshot;
        let order = SnapshotOrder { id, taken, label, memory };
        let mut still = ThroughAgent { sessions: &self.sessions, party };
        let provider = self.provider(&party.provider)?;
        let stood = provider.take_snapshot(party.id, &order, &mut still).await;
        let stood = stood.map_err(|error| crate::actor::fault(&error))?;
        let machine = &party.name;
        self.announce(match stood.is_zero() {
            true => format!("snapshot {title} of {machine} is kept"),
            false => format!(
                "snapshot {title} of {machine} is kept; the machine stood still for {} ms",
                stood.as_millis().max(1)
            ),
        });
        Ok(json!({ "snapshot": id.to_string(), "stood_still_ms": stood.as_millis() as u64 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use updraft_base::{SeededChance, Timestamp};

    fn snapshot(number: u64, label: Option<&str>) -> SnapshotFacts {
        let taken = Timestamp::from_second(60 * number as i64).unwrap();
        let id = SnapshotId::draw(taken, &mut SeededChance::new(number));
        SnapshotFacts { id, taken, label: label.map(str::to_owned), memory: false }
    }

    #[test]
    fn a_snapshot_is_meant_by_its_id_its_end_its_label_or_by_being_the_last() {
        let there = [snapshot(1, Some("a")), snapshot(3, Some("b")), snapshot(2, Some("b"))];
        let chosen = |wanted: &str| choose(&there, wanted).map(|seen| seen.id);
        assert_eq!(chosen(&there[0].id.to_string()).unwrap(), there[0].id);
        assert_eq!(chosen(&there[2].id.tail()).unwrap(), there[2].id);
        assert_eq!(chosen(&there[2].id.tail().to_uppercase()).unwrap(), there[2].id);
        assert_eq!(chosen("a").unwrap(), there[0].id);
        assert_eq!(chosen("last").unwrap(), there[1].id);
        let two = chosen("b").unwrap_err().to_string();
        assert!(two.contains(&there[1].id.tail()) && two.contains(&there[2].id.tail()), "{two}");
        let none = chosen("c").unwrap_err().to_string();
        assert!(none.contains(&there[0].id.tail()), "{none}");
        assert!(choose(&[], "last").is_err());
    }
}
