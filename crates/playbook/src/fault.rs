//! What is wrong with the files of a playbook, and where.

use crate::yaml::Origin;
use std::fmt;
use updraft_base::{Blame, Blamed};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadFault {
    /// Where, if it is a place in a file.
    pub at: Option<Origin>,
    /// One sentence, lowercase, no full stop.
    pub what: String,
    /// What can be done about it.
    pub help: Option<&'static str>,
}

impl LoadFault {
    pub(crate) fn at(at: Origin, what: impl Into<String>) -> Self {
        Self { at: Some(at), what: what.into(), help: None }
    }

    /// A fault of no place.
    pub fn bare(what: impl Into<String>) -> Self {
        Self { at: None, what: what.into(), help: None }
    }
}

impl LoadFault {
    /// Is it that a file could not be decrypted? Then nothing is wrong with the file.
    pub fn is_sealed(&self) -> bool {
        self.what.starts_with(crate::vault::CANNOT_OPEN)
    }

    /// Is it that a file or a role is not there? Then nothing is wrong with the file that wants it.
    pub fn is_missing(&self) -> bool {
        self.what.starts_with("Could not find or access '")
            || self.what.starts_with("the role '") && self.what.contains("' was not found in ")
    }
}

impl fmt::Display for LoadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// One of the reasons for which a task failed, from the outside in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What went wrong, with all that was behind it: `a: b: c`, then `b: c`, then `c`.
    pub what: String,
    /// Where, if it is a place in a file.
    pub at: Option<Origin>,
    /// What can be done about it.
    pub help: Option<String>,
    /// Is it told apart from what it caused, though it has no place of its own?
    pub apart: bool,
}

impl Cause {
    /// What went wrong at a place.
    pub(crate) fn new(what: impl Into<String>, at: Option<Origin>) -> Self {
        Self { what: what.into(), at, help: None, apart: false }
    }
}

/// Everything that is wrong, found before anything was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<LoadFault>);

impl Faults {
    pub(crate) fn check(list: Vec<LoadFault>) -> Result<(), Self> {
        if list.is_empty() { Ok(()) } else { Err(Self(list)) }
    }
}

impl From<LoadFault> for Faults {
    fn from(fault: LoadFault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(fault, f)?;
        }
        Ok(())
    }
}

impl Blamed for Faults {
    fn blame(&self) -> Blame {
        Blame::Asked
    }
}
