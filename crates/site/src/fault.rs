//! What is wrong with a site file, and where.
//!
//! Every fault has a stable code, a place, one sentence, and, where there is something useful to
//! say, a way out. All faults of a load come together, in the order of the files.
//! Never here: deciding what is wrong; drawing excerpts.

use crate::text::{Span, Text, is_private_key};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use updraft_base::{Blame, Blamed};

/// Faults beyond this many are counted, not kept: nobody reads further, and a hostile file must
/// not make us draw a million excerpts.
const MOST_FAULTS: usize = 100;

/// One thing that is wrong in a site file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of fault; one of [`crate::CODES`], stable from version to version.
    pub code: &'static str,
    /// One sentence that names its operand, lowercase, no full stop.
    pub message: String,
    /// The file it is in, as it was named.
    pub file: Utf8PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The same place in bytes of the file (without a byte order mark).
    pub span: Range<usize>,
    /// A word under the excerpt.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that have to do with it.
    pub related: Vec<Related>,
    pub(crate) at: Span,
    pub(crate) excerpt: bool,
}

/// A place that has to do with a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// What is there.
    pub message: String,
    /// The file.
    pub file: Utf8PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The same place in bytes of the file.
    pub span: Range<usize>,
    pub(crate) at: Span,
}

/// Everything that is wrong with a site file. Never empty.
#[derive(Clone, Debug)]
pub struct Faults {
    pub(crate) faults: Vec<Fault>,
    pub(crate) texts: Vec<Text>,
    more: usize,
}

impl Faults {
    /// The faults, in the order of the files and of the places in them.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.faults.iter()
    }

    /// How many there are, with those that were only counted.
    pub fn count(&self) -> usize {
        self.faults.len() + self.more
    }

    /// How many there are beyond those that [`Faults::iter`] tells.
    pub fn more(&self) -> usize {
        self.more
    }

    /// The faults as `--json` prints them.
    pub fn to_json(&self) -> FaultsJson<'_> {
        FaultsJson {
            version: 1,
            faults: self.faults.iter().map(FaultJson::from).collect(),
            more: self.more,
        }
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.texts.first().map_or(Utf8Path::new("updraft.yaml"), |text| &text.path);
        match self.count() {
            1 => write!(f, "`{file}` has a fault"),
            count => write!(f, "`{file}` has {count} faults"),
        }
    }
}

impl std::error::Error for Faults {}

impl Blamed for Faults {
    fn blame(&self) -> Blame {
        Blame::Asked
    }
}

/// Faults in their JSON form.
#[derive(Debug, Serialize)]
pub struct FaultsJson<'a> {
    version: u32,
    faults: Vec<FaultJson<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    more: usize,
}

#[derive(Debug, Serialize)]
struct FaultJson<'a> {
    code: &'static str,
    message: &'a str,
    file: &'a str,
    line: usize,
    column: usize,
    span: [usize; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<RelatedJson<'a>>,
}

#[derive(Debug, Serialize)]
struct RelatedJson<'a> {
    message: &'a str,
    file: &'a str,
    line: usize,
    column: usize,
    span: [usize; 2],
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl<'a> From<&'a Fault> for FaultJson<'a> {
    fn from(fault: &'a Fault) -> Self {
        Self {
            code: fault.code,
            message: &fault.message,
            file: fault.file.as_str(),
            line: fault.line,
            column: fault.column,
            span: [fault.span.start, fault.span.end],
            label: fault.label.as_deref(),
            help: fault.help.as_deref(),
            related: fault
                .related
                .iter()
                .map(|related| RelatedJson {
                    message: &related.message,
                    file: related.file.as_str(),
                    line: related.line,
                    column: related.column,
                    span: [related.span.start, related.span.end],
                })
                .collect(),
        }
    }
}

/// A fault on its way into a [`Sink`].
#[derive(Debug)]
pub(crate) struct Draft {
    code: &'static str,
    at: Span,
    subject: &'static str,
    message: String,
    label: Option<String>,
    help: Option<String>,
    related: Vec<(Span, String)>,
    excerpt: bool,
}

impl Draft {
    pub(crate) fn new(code: &'static str, at: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            at,
            subject: "",
            message: shown(message.into()),
            label: None,
            help: None,
            related: Vec::new(),
            excerpt: true,
        }
    }

    /// Tells it from another fault of the same code at the same place.
    pub(crate) fn about(mut self, subject: &'static str) -> Self {
        self.subject = subject;
        self
    }

    /// A word under the excerpt.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(shown(label.into()));
        self
    }

    /// What to do about it.
    pub(crate) fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into().map(shown);
        self
    }

    /// Another place that has to do with it.
    pub(crate) fn also(mut self, at: Span, message: impl Into<String>) -> Self {
        self.related.push((at, shown(message.into())));
        self
    }

    /// Shows the place, not the line: it holds what must not be seen, or there is no line.
    pub(crate) fn unseen(mut self) -> Self {
        self.excerpt = false;
        self
    }
}

/// A text as it may be shown: nothing that moves a terminal's cursor, nothing that is a secret.
fn shown(text: String) -> String {
    if is_private_key(&text) {
        return "there is a private key here; take it out, and make a new one".to_owned();
    }
    match text.contains(char::is_control) {
        true => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
        false => text,
    }
}

/// Where faults gather while a site is read.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    drafts: Vec<Draft>,
    told: HashSet<(&'static str, &'static str, Span)>,
    places: HashSet<Span>,
    more: usize,
}

impl Sink {
    /// Takes a fault in. The same fault at the same place is told once: an alias shows one place
    /// many times.
    pub(crate) fn add(&mut self, draft: Draft) {
        if !self.told.insert((draft.code, draft.subject, draft.at)) {
            return;
        }
        self.places.insert(draft.at);
        if self.full() {
            self.more += 1;
        } else {
            self.drafts.push(draft);
        }
    }

    /// Whether something was told about this very place.
    pub(crate) fn knows(&self, at: Span) -> bool {
        self.places.contains(&at)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    /// Whether further faults are only counted, so that suggestions need not be looked for.
    pub(crate) fn full(&self) -> bool {
        self.drafts.len() >= MOST_FAULTS
    }

    /// The faults in order, with their places worked out.
    pub(crate) fn finish(self, texts: Vec<Text>) -> Faults {
        let mut faults: Vec<Fault> = self
            .drafts
            .into_iter()
            .map(|draft| {
                let place = Place::of(draft.at, &texts);
                Fault {
                    code: draft.code,
                    message: draft.message,
                    file: place.file,
                    line: place.line,
                    column: place.column,
                    span: draft.at.start..draft.at.end,
                    label: draft.label,
                    help: draft.help,
                    related: draft
                        .related
                        .into_iter()
                        .map(|(at, message)| {
                            let place = Place::of(at, &texts);
                            Related {
                                message,
                                file: place.file,
                                line: place.line,
                                column: place.column,
                                span: at.start..at.end,
                                at,
                            }
                        })
                        .collect(),
                    at: draft.at,
                    excerpt: draft.excerpt,
                }
            })
            .collect();
        faults.sort_by(|a, b| (a.at, a.code).cmp(&(b.at, b.code)));
        Faults { faults, texts, more: self.more }
    }
}

struct Place {
    file: Utf8PathBuf,
    line: usize,
    column: usize,
}

impl Place {
    fn of(at: Span, texts: &[Text]) -> Self {
        let text = &texts[at.file];
        let (line, column) = text.place(at.start);
        Self { file: text.path.clone(), line, column }
    }
}
