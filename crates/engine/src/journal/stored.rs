//! The shapes in which runs are written down. They have their own version and are read by every
//! later updraft, so the types that the rest of the program uses may change without them.

use super::{JournalError, shorten};
use crate::{Attempt, Step, StepId, Work};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_base::{Blame, Digest, Timestamp};

/// One line of a run's record.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRecord {
    /// Number of the line within the run, from 1 without gaps.
    pub seq: u64,
    /// Which step.
    pub step: StepId,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub event: StepEvent,
}

/// What happened to a step.
#[derive(Clone, Debug, PartialEq)]
pub enum StepEvent {
    /// It is about to be done. Written before the act.
    Started {
        /// Whether it may have been begun before.
        attempt: Attempt,
    },
    /// It ended well.
    Ended {
        /// What the actor returned.
        output: Value,
    },
    /// It failed for good.
    Failed {
        /// Why.
        message: String,
        /// Who has to act.
        blame: Blame,
        /// What to do next.
        hint: Option<String>,
    },
    /// It is about to be undone. Written before the undoing.
    UndoStarted,
    /// It was undone.
    Undone,
    /// It could not be undone.
    UndoFailed {
        /// Why.
        message: String,
    },
    /// It was not done because another failed.
    Skipped {
        /// The step that failed.
        because: StepId,
    },
}

/// The only version there is.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct StoredWork {
    version: u32,
    title: String,
    basis: Digest,
    steps: Vec<StoredStep>,
}

#[derive(Serialize, Deserialize)]
struct StoredStep {
    key: String,
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lane: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    undo: bool,
    spec: Value,
}

/// Work as text. The same work gives the same text.
pub(crate) fn render_work(work: &Work) -> String {
    let steps = work
        .steps
        .iter()
        .map(|step| StoredStep {
            key: step.key.clone(),
            title: step.title.clone(),
            subject: step.subject.clone(),
            after: step.after.iter().map(|id| id.0).collect(),
            lane: step.lane.clone(),
            undo: step.undo,
            spec: step.spec.clone(),
        })
        .collect();
    let stored =
        StoredWork { version: VERSION, title: work.title.clone(), basis: work.basis, steps };
    serde_json::to_string(&stored).expect("work has only text keys")
}

pub(crate) fn parse_work(text: &str) -> Result<Work, JournalError> {
    let nonsense = || JournalError::Nonsense { what: "the work of a run", found: shorten(text) };
    let stored: StoredWork = serde_json::from_str(text).map_err(|_| nonsense())?;
    if stored.version != VERSION {
        return Err(nonsense());
    }
    let steps = (0..)
        .zip(stored.steps)
        .map(|(id, step)| Step {
            id: StepId(id),
            key: step.key,
            title: step.title,
            subject: step.subject,
            after: step.after.into_iter().map(StepId).collect(),
            lane: step.lane,
            undo: step.undo,
            spec: step.spec,
        })
        .collect();
    Work::new(stored.title, stored.basis, steps).map_err(|_| nonsense())
}

#[derive(Serialize, Deserialize)]
struct StoredFault {
    message: String,
    blame: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// An event as its word and its detail.
pub(crate) fn render_event(event: &StepEvent) -> (&'static str, Option<String>) {
    match event {
        StepEvent::Started { attempt: Attempt::First } => ("started", None),
        StepEvent::Started { attempt: Attempt::Again } => ("started-again", None),
        StepEvent::Ended { output } => ("ended", Some(output.to_string())),
        StepEvent::Failed { message, blame, hint } => {
            let stored = StoredFault {
                message: message.clone(),
                blame: blame_word(*blame).to_owned(),
                hint: hint.clone(),
            };
            ("failed", Some(serde_json::to_string(&stored).expect("a fault has only text keys")))
        }
        StepEvent::UndoStarted => ("undo-started", None),
        StepEvent::Undone => ("undone", None),
        StepEvent::UndoFailed { message } => ("undo-failed", Some(message.clone())),
        StepEvent::Skipped { because } => ("skipped", Some(because.to_string())),
    }
}

pub(crate) fn parse_event(word: &str, detail: Option<String>) -> Result<StepEvent, JournalError> {
    let nonsense = |detail: &str| JournalError::Nonsense {
        what: "a record of a step",
        found: shorten(&format!("{word} {detail}")),
    };
    let detail = detail.unwrap_or_default();
    Ok(match word {
        "started" => StepEvent::Started { attempt: Attempt::First },
        "started-again" => StepEvent::Started { attempt: Attempt::Again },
        "ended" => StepEvent::Ended {
            output: serde_json::from_str(&detail).map_err(|_| nonsense(&detail))?,
        },
        "failed" => {
            let stored: StoredFault =
                serde_json::from_str(&detail).map_err(|_| nonsense(&detail))?;
            StepEvent::Failed {
                blame: parse_blame(&stored.blame).ok_or_else(|| nonsense(&detail))?,
                message: stored.message,
                hint: stored.hint,
            }
        }
        "undo-started" => StepEvent::UndoStarted,
        "undone" => StepEvent::Undone,
        "undo-failed" => StepEvent::UndoFailed { message: detail },
        "skipped" => StepEvent::Skipped {
            because: detail.parse().map(StepId).map_err(|_| nonsense(&detail))?,
        },
        _ => return Err(nonsense(&detail)),
    })
}

fn blame_word(blame: Blame) -> &'static str {
    match blame {
        Blame::Asked => "asked",
        Blame::World => "world",
        Blame::Passing => "passing",
        Blame::Bug => "bug",
    }
}

fn parse_blame(word: &str) -> Option<Blame> {
    [Blame::Asked, Blame::World, Blame::Passing, Blame::Bug]
        .into_iter()
        .find(|blame| blame_word(*blame) == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::tests::{step, work};
    use serde_json::json;

    #[test]
    fn work_survives_its_text() {
        let full = Step {
            subject: Some("worker-1".to_owned()),
            lane: Some("worker".to_owned()),
            undo: true,
            spec: json!({"z": 1, "a": [1.5, null, "x"]}),
            ..step(1, &[0])
        };
        let work = work(vec![step(0, &[]), full]);
        assert_eq!(parse_work(&render_work(&work)).unwrap(), work);
    }

    #[test]
    fn every_event_survives_its_text() {
        let events = [
            StepEvent::Started { attempt: Attempt::First },
            StepEvent::Started { attempt: Attempt::Again },
            StepEvent::Ended { output: json!({"port": 8080}) },
            StepEvent::Failed {
                message: "no room".to_owned(),
                blame: Blame::World,
                hint: Some("make room".to_owned()),
            },
            StepEvent::UndoStarted,
            StepEvent::Undone,
            StepEvent::UndoFailed { message: "still busy".to_owned() },
            StepEvent::Skipped { because: StepId(3) },
        ];
        for event in events {
            let (word, detail) = render_event(&event);
            assert_eq!(parse_event(word, detail).unwrap(), event);
        }
    }

    #[test]
    fn work_of_another_version_or_with_a_cycle_is_not_believed() {
        let text = render_work(&work(vec![step(0, &[])]));
        assert!(parse_work(&text.replace("\"version\":1", "\"version\":2")).is_err());
        assert!(parse_work(&text.replace("\"spec\"", "\"after\":[0],\"spec\"")).is_err());
        assert!(parse_event("vanished", None).is_err());
    }
}
