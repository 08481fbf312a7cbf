//! What a module hands back: an [`Outcome`] or a [`Fault`], both in Ansible's terms.
//!
//! Never here: how results are shown.

use serde_json::{Map, Value};
use std::fmt::Display;

/// A module's result when it went well.
pub(crate) type Done = Result<Outcome, Fault>;

/// Fields of a result. `changed` is false until said otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome(pub(crate) Map<String, Value>);

impl Outcome {
    /// A result that says whether something changed.
    pub(crate) fn changed(changed: bool) -> Self {
        Self::default().with("changed", changed)
    }

    /// Adds a field.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// Adds a field if there is something to say.
    pub(crate) fn with_some(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

/// Why a module failed: Ansible's `msg` and what else the result says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    /// Boxed so that the error path does not widen every result.
    pub(crate) fields: Box<Map<String, Value>>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), fields: Box::default() }
    }

    /// What is asked for is known and not built in: Ansible's own module may do it, where there is
    /// one. Said before anything was changed.
    pub(crate) fn beyond(message: impl Into<String>) -> Self {
        Self::new(message).with(updraft_wire::BEYOND, true)
    }

    /// Adds a field.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(key.to_owned(), value.into());
        self
    }
}

/// `return Err(fail!("..."))` with a formatted message.
macro_rules! fail {
    ($($part:tt)*) => {
        $crate::outcome::Fault::new(format!($($part)*))
    };
}
pub(crate) use fail;

/// Turns the errors of the operating system into faults that name what was tried.
pub(crate) trait OrFail<T> {
    /// `what` is a phrase such as `cannot read /etc/passwd`.
    fn or_fail(self, what: impl Display) -> Result<T, Fault>;
}

impl<T> OrFail<T> for Result<T, std::io::Error> {
    fn or_fail(self, what: impl Display) -> Result<T, Fault> {
        self.map_err(|error| Fault::new(format!("{what}: {}", plain(&error))))
    }
}

impl<T> OrFail<T> for Result<T, rustix::io::Errno> {
    fn or_fail(self, what: impl Display) -> Result<T, Fault> {
        self.map_err(std::io::Error::from).or_fail(what)
    }
}

/// An operating system error without Rust's `(os error 2)`.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// An error of the operating system as Python writes it.
pub(crate) fn numbered(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => format!("[Errno {number}] {}", plain(error)),
        None if error.kind() == std::io::ErrorKind::TimedOut => "timed out".to_owned(),
        None => plain(error),
    }
}
