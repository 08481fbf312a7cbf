//! Who has to act on an error, and how an error is told.

use std::error::Error;

/// Who has to act before the same thing can work.
///
/// This alone picks the exit code, whether a retry makes sense, and who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// What was asked is wrong: fix the site file, the playbook or the command line.
    Asked,
    /// The host, the hypervisor or the cloud is in a state that a person must change.
    World,
    /// The world was busy or briefly away; the same call may work in a moment.
    Passing,
    /// Updraft is wrong.
    Bug,
}

/// An error that says who has to act on it.
///
/// Each error that crosses into `control` implements this.
pub trait Blamed: Error {
    /// Who has to act.
    fn blame(&self) -> Blame;

    /// One sentence on what to do next, where there is something useful to say.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// An error and its causes on one line, each told once, joined by `: `.
///
/// A cause whose text already ends the text before it is left out, so that wrappers which repeat
/// their source do not stutter.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read `a`")]
    struct Outer {
        source: std::io::Error,
    }

    #[test]
    fn a_chain_tells_each_cause_once() {
        let error = Outer { source: std::io::Error::other("no such file") };
        assert_eq!(chain(&error), "cannot read `a`: no such file");
    }
}
