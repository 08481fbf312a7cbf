//! How it went, host by host.

use crate::fault::LoadFault;
use crate::value::Dict;
use crate::yaml::Origin;
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recap {
    /// By host, in the order they first did something.
    pub hosts: IndexMap<String, Counts>,
    /// The run ended because of something that belongs to no host.
    pub broken: Option<Broken>,
    /// The exit code for hosts that were lost, if the run came to its end. Errors that were cleared
    /// are in the counts and not in it.
    pub verdict: Option<u8>,
    /// What `set_stats` left, by host; under the empty name what is for the whole run.
    pub custom: IndexMap<String, Dict>,
}

/// Why a run ended though it was not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What, and where.
    pub fault: LoadFault,
    /// The exit code of `ansible-playbook` for it: 4 for a file that cannot be read as a playbook,
    /// 99 for whoever runs it having ended it, 1 for everything else.
    pub code: u8,
}

impl Broken {
    /// Something that belongs to no host.
    pub(crate) fn new(fault: LoadFault) -> Self {
        Self { fault, code: 1 }
    }

    /// Whoever runs the playbook has ended it.
    pub(crate) fn interrupted(at: Origin) -> Self {
        Self { fault: LoadFault::at(at, "the run was ended in the debugger"), code: 99 }
    }

    /// A file that was read while running is no list of tasks.
    pub(crate) fn unreadable(fault: LoadFault) -> Self {
        Self { fault, code: 4 }
    }
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
        if let Some(broken) = &self.broken {
            broken.code
        } else if let Some(verdict) = self.verdict {
            verdict
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
        json!({"hosts": hosts, "broken": self.broken.as_ref().map(|broken| broken.fault.to_string()), "exit_code": self.exit_code()})
    }
}
