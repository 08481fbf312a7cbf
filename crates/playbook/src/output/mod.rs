//! What happens in a run, told as events, and the text people know for them.
//!
//! The run tells events to a [`Sink`]; [`Screen`] turns events into the lines of Ansible's default
//! callback. Never here: printing.

mod account;
mod diff;
mod faults;
mod json;
mod minimal;
mod profile;
mod recap;
mod screen;
mod show;
mod teller;
mod yaml;

pub use faults::fault_text;
pub(crate) use faults::{offending_line, warning_text};
pub use minimal::{Minimal, MinimalOptions};
pub use recap::{Broken, Counts, Recap};
pub(crate) use screen::{NO_LOG, NO_TRACEBACK, SHOW, SHOW_DEBUG, of_debug};
pub use screen::{Piece, Screen, ScreenOptions};
pub use show::{Show, Style};
pub use teller::{Callback, Extra, Teller};

use crate::fault::{Cause, LoadFault};
use crate::value::Value;
use crate::yaml::Origin;

/// Receives what happens, in order.
pub trait Sink: Send + Sync {
    /// One event.
    fn event(&self, event: Event);
}

/// Where an event happened.
#[derive(Clone, Debug, PartialEq)]
pub struct At {
    /// The host as the inventory names it.
    pub host: String,
    /// The host that did the work instead.
    pub delegate: Option<String>,
    /// The label of the item, in a loop.
    pub item: Option<String>,
}

/// Where a variable comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The variable.
    pub name: String,
    /// Where it is set, in words with the place where there is one; `None` where nobody does.
    pub set: Option<String>,
    /// What that overrode, the strongest first.
    pub over: Vec<String>,
}

impl std::fmt::Display for Provenance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.set.as_deref().unwrap_or("nobody sets it"))?;
        self.over.iter().try_for_each(|over| write!(f, ", over {over}"))
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A playbook begins.
    PlaybookBegan {
        /// Its file.
        file: String,
        /// How many plays it has.
        plays: usize,
    },
    /// A play begins.
    PlayBegan {
        /// Its name, or its pattern of hosts.
        name: String,
        /// Nothing is changed.
        check: bool,
        /// Where it stands.
        origin: Option<Origin>,
    },
    /// A task begins.
    TaskBegan {
        /// Its name, with the role before it.
        name: String,
        /// Its arguments as they stand there, where those are to be shown.
        args: String,
        /// Its action, as it stands there.
        action: String,
        /// Its role.
        role: Option<String>,
        /// It is a handler.
        handler: bool,
        /// Nothing is changed.
        check: bool,
        /// Where it stands.
        origin: Option<Origin>,
    },
    /// The hosts that are at the task now: it ends when all of them have told how it went.
    Awaited {
        /// Its name, with the role before it.
        task: String,
        /// The hosts.
        hosts: Vec<String>,
    },
    /// A task or an item went well.
    Ok {
        /// Where.
        at: At,
        /// Something is different now.
        changed: bool,
        /// What the module said.
        result: Value,
        /// Tell the result whatever the verbosity, as for `debug`.
        always: bool,
        /// The run or the task wants to see what is different.
        diff: bool,
    },
    /// A task or an item failed.
    Failed {
        /// Where.
        at: At,
        /// What the module said.
        result: Value,
        /// One sentence on why.
        why: String,
        /// Where the task stands.
        origin: Option<Origin>,
        /// What was behind it, from the outside in, each with its place.
        causes: Vec<Cause>,
        /// Where the variables come from that it is about.
        variables: Vec<Provenance>,
        /// It does not count.
        ignored: bool,
    },
    /// A task or an item was skipped.
    Skipped {
        /// Where.
        at: At,
        /// Why.
        result: Value,
    },
    /// A host cannot be reached.
    Unreachable {
        /// Where.
        at: At,
        /// What is known of it.
        result: Value,
        /// One sentence on why.
        why: String,
        /// Where the task stands.
        origin: Option<Origin>,
        /// It does not count.
        ignored: bool,
    },
    /// Every item of a loop is done, and something was wrong with some of them.
    LoopEnded {
        /// Where.
        at: At,
        /// What is said of the loop as a whole, where its items did not say it all.
        result: Option<Value>,
        /// The host cannot be reached.
        unreachable: bool,
        /// It does not count.
        ignored: bool,
    },
    /// A host is done with a task, all items of its loop included. Only where
    /// [`RunOptions::settled`](crate::RunOptions) asks for it: what is told of a task without a loop
    /// and of each item is told besides.
    Settled {
        /// The name of the task, with the role before it.
        task: String,
        /// Its action, as it stands there.
        action: String,
        /// Where it stands.
        origin: Origin,
        /// How it went for the task as a whole: well, failed, skipped, or unreachable.
        told: Box<Event>,
    },
    /// A task is tried again.
    Retrying {
        /// Where.
        at: At,
        /// Its name.
        task: String,
        /// How often it will still be tried.
        left: u64,
        /// What the last try gave.
        result: Value,
    },
    /// A file of tasks was included.
    Included {
        /// The file, or the role's name.
        what: String,
        /// The hosts that run it.
        hosts: Vec<String>,
        /// The label of the item, in a loop.
        item: Option<String>,
    },
    /// No host matches the play's pattern.
    NoHostsMatched,
    /// Every host of the play has failed.
    NoHostsLeft,
    /// Something to say to the person who watches.
    Said(String),
    /// Something deserves a look.
    Warning(String),
    /// Something will mean something else one day.
    Deprecated(LoadFault),
    /// Something went wrong that belongs to no host.
    Fault(LoadFault),
    /// Something for those who asked to be told more, with how often they must have said `-v`.
    Detail(u8, String),
    /// A playbook is over; what is counted is counted from the beginning of the run.
    Ended(Recap),
}
