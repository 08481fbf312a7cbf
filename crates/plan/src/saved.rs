//! A plan that is kept in a file until somebody applies it, with what it was made from.

use crate::{Observed, Plan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A plan with fingerprints of the world it was made from. Its JSON is the plan's with one more
/// key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
    /// One short digest per subject that was observed.
    basis: BTreeMap<String, String>,
}

impl SavedPlan {
    /// A plan, and what was observed when it was made.
    pub fn new(plan: Plan, observed: &Observed) -> Self {
        Self { plan, basis: observed.fingerprints() }
    }

    /// What differs between the world it was made from and the world as it is now; nothing when it
    /// can be applied.
    pub fn moved(&self, now: &Observed) -> Vec<String> {
        let (then, now) = (&self.basis, now.fingerprints());
        let mut told = Vec::new();
        for (subject, print) in then {
            match now.get(subject) {
                None => told.push(format!("{subject} is gone")),
                Some(other) if other != print => told.push(format!("{subject} changed")),
                Some(_) => {}
            }
        }
        let new = now.keys().filter(|subject| !then.contains_key(*subject));
        told.extend(new.map(|subject| format!("{subject} is new")));
        told
    }
}
