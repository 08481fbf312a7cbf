//! Filters, tests and lookups that are not built in: the seam to whoever has them.
//!
//! The rule: what is built in is ours, and nobody is asked, unless a playbook brings its own of the
//! same short name. What others give is data and never rendered.
//!
//! Never here: where they are found, how they are run.

use super::ast::Uses;
use super::{Fault, Interp, filters, lookups, probes};
use crate::value::{Call, Value};
use std::fmt;
use std::sync::Arc;

/// What templates call by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `value | name`
    Filter,
    /// `value is name`
    Test,
    /// `lookup('name', …)`
    Lookup,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 3] = [Self::Filter, Self::Test, Self::Lookup];

    /// The word for it, which is also the name of its folder in a collection.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Test => "test",
            Self::Lookup => "lookup",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What came of asking others.
#[derive(Debug)]
pub enum Answer {
    /// They have none of that name; what they noticed when they looked.
    None(Vec<String>),
    /// What it gave; a lookup gives a list.
    Gave(Value),
}

/// Whoever has filters, tests and lookups that are not built in.
pub trait Others: Send + Sync {
    /// Does a playbook or a role bring one that stands before ours of this short name?
    fn before_ours(&self, kind: Kind, name: &str) -> bool;

    /// May there be one of this name? A file says so; nothing is run to find out.
    fn may_have(&self, kind: Kind, name: &str) -> bool;

    /// Runs one: of a filter or a test the value is the first argument, of a lookup the terms are
    /// all of them.
    ///
    /// # Errors
    /// When it fails, or cannot be run here.
    fn run(
        &self,
        cx: &mut Interp<'_>,
        kind: Kind,
        name: &str,
        call: &Call,
    ) -> Result<Answer, Fault>;
}

/// Is one of this name built in?
pub(crate) fn is_ours(kind: Kind, name: &str) -> bool {
    let short = filters::short_name(name);
    match kind {
        Kind::Filter => filters::exists(short),
        Kind::Test => probes::exists(short),
        Kind::Lookup => lookups::exists(short),
    }
}

/// Is there one of this name, as far as can be known without running anything?
pub(crate) fn may_be(kind: Kind, name: &str, others: Option<&dyn Others>) -> bool {
    is_ours(kind, name) || others.is_some_and(|others| others.may_have(kind, name))
}

/// A name that others may have.
pub(super) type Stranger = (Kind, Arc<str>);

/// The names in `found` that are not built in.
pub(super) fn strangers(found: Uses) -> Vec<Stranger> {
    let of = |kind: Kind, names: Vec<Arc<str>>| {
        names.into_iter().filter(move |name| !is_ours(kind, name)).map(move |name| (kind, name))
    };
    of(Kind::Filter, found.filters)
        .chain(of(Kind::Test, found.tests))
        .chain(of(Kind::Lookup, found.lookups))
        .collect()
}

/// The first name of these kinds that nobody has.
pub(super) fn nobodys<'s>(
    strangers: &'s [Stranger],
    others: Option<&dyn Others>,
    kinds: &[Kind],
) -> Option<&'s Stranger> {
    strangers.iter().find(|(kind, name)| {
        kinds.contains(kind) && others.is_none_or(|others| !others.may_have(*kind, name))
    })
}

/// The fault of the first name that nobody has.
pub(super) fn check(strangers: &[Stranger], others: Option<&dyn Others>) -> Result<(), Fault> {
    match nobodys(strangers, others, &Kind::ALL) {
        Some((kind, name)) => Err(Fault::new(format!("no {kind} named `{name}`"))),
        None => Ok(()),
    }
}

impl Interp<'_> {
    /// What others make of it, where one of theirs stands before ours.
    pub(super) fn theirs_first(
        &mut self,
        kind: Kind,
        name: &str,
        call: impl FnOnce() -> Call,
    ) -> Option<Result<Value, Fault>> {
        let outside = Arc::clone(&self.cx.world.commands);
        let others = outside.others().filter(|others| others.before_ours(kind, name))?;
        match others.run(self, kind, name, &call()) {
            Ok(Answer::Gave(value)) => Some(Ok(value)),
            Ok(Answer::None(_)) => None,
            Err(fault) => Some(Err(fault)),
        }
    }

    /// What others make of it, where we have none of that name. `missing` is the fault where they
    /// have none either.
    pub(super) fn theirs(
        &mut self,
        kind: Kind,
        name: &str,
        call: &Call,
        missing: impl FnOnce() -> Fault,
    ) -> Result<Value, Fault> {
        let outside = Arc::clone(&self.cx.world.commands);
        let Some(others) = outside.others().filter(|others| others.may_have(kind, name)) else {
            return Err(missing());
        };
        match others.run(self, kind, name, call)? {
            Answer::Gave(value) => Ok(value),
            Answer::None(noticed) if noticed.is_empty() => Err(missing()),
            Answer::None(noticed) => Err(missing().with_help(noticed.join("\n"))),
        }
    }
}

/// `call` with the value before it.
pub(super) fn with_value(value: &Value, call: &Call) -> Call {
    let args = std::iter::once(value).chain(&call.args).cloned().collect();
    Call { args, named: call.named.clone() }
}
