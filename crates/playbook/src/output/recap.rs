//! How it went, host by host.

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

/// How often each thing happened on a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks that went well, changed or not, or whose failure was ignored.
    pub ok: u64,
    /// Tasks that changed something.
    pub changed: u64,
    /// Tasks for which the host could not be reached.
    pub unreachable: u64,
    /// Tasks that failed for good.
    pub failed: u64,
    /// Tasks that were skipped.
    pub skipped: u64,
    /// Failures that a rescue took care of.
    pub rescued: u64,
    /// Failures that were ignored.
    pub ignored: u64,
}

/// How a run went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recap {
    /// By host, in the order they first did something.
    pub hosts: IndexMap<String, Counts>,
    /// The run ended because of something that belongs to no host.
    pub broken: Option<String>,
}

impl Recap {
    /// The counts of one host.
    pub fn host(&self, name: &str) -> Counts {
        self.hosts.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn count(&mut self, name: &str) -> &mut Counts {
        self.hosts.entry(name.to_owned()).or_default()
    }

    /// Did everything go well?
    pub fn is_well(&self) -> bool {
        self.exit_code() == 0
    }

    /// The exit code of `ansible-playbook`: 0 well, 1 broken, 2 a host failed, 4 one could not be
    /// reached.
    pub fn exit_code(&self) -> u8 {
        if self.broken.is_some() {
            1
        } else if self.hosts.values().any(|counts| counts.unreachable > 0) {
            4
        } else if self.hosts.values().any(|counts| counts.failed > 0) {
            2
        } else {
            0
        }
    }

    /// For programs.
    pub fn to_json(&self) -> Json {
        let hosts: serde_json::Map<String, Json> = self
            .hosts
            .iter()
            .map(|(name, counts)| {
                let counts = json!({
                    "ok": counts.ok,
                    "changed": counts.changed,
                    "unreachable": counts.unreachable,
                    "failed": counts.failed,
                    "skipped": counts.skipped,
                    "rescued": counts.rescued,
                    "ignored": counts.ignored,
                });
                (name.clone(), counts)
            })
            .collect();
        json!({"hosts": hosts, "broken": self.broken, "exit_code": self.exit_code()})
    }
}
