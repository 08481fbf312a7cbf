//! The two ways in which Ansible understands its own language.
//!
//! ansible-core 2.14, which Debian 12 ships, renders every template to text and makes a value of
//! that again if it looks like one; a condition holds if its value is not empty. Since 2.19 a
//! template gives the value itself, and a condition must be boolean. Playbooks of the one kind do
//! other things, or nothing, under the other: so the dialect can be chosen, and what both read
//! differently can be told.
//!
//! Never here: rendering, and how errors are told.

use super::Template;
use super::ast::{Expr, Stmt};
use super::env::Scope;
use crate::inventory::literal;
use crate::value::{Lazy, Value};
use crate::yaml::Origin;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// Which one is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As ansible-core 2.14 and others before 2.19 understand it.
    Core214,
    /// As ansible-core 2.19 and later understand it.
    #[default]
    Core219,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Core214 => "2.14",
            Self::Core219 => "2.19",
        })
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Core214, Self::Core219]
            .into_iter()
            .find(|dialect| dialect.to_string() == text)
            .ok_or_else(|| format!("`{text}` is not a dialect: there are 2.14 and 2.19"))
    }
}

/// Where the dialects differ, gathered while something is run in one of them.
#[derive(Debug, Default)]
pub struct Differences(Mutex<BTreeMap<Place, Difference>>);

/// File, line and column; then the text, because not all has a place.
type Place = (String, u32, u32, String);

/// One line that both read differently. Never holds a value, which might be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where it stands, if that is known.
    pub at: Option<Origin>,
    /// The template or condition.
    pub text: String,
    /// What 2.14 makes of it: a type, or what becomes of the condition.
    pub core214: String,
    /// What 2.19 makes of it.
    pub core219: String,
}

impl Difference {
    /// `at` (`file`, `line`, `column`, or null), `text`, `2.14` and `2.19`.
    pub fn to_json(&self) -> Json {
        let at = self
            .at
            .as_ref()
            .map(|at| json!({ "file": *at.file, "line": at.line, "column": at.column }));
        json!({ "at": at, "text": self.text, "2.14": self.core214, "2.19": self.core219 })
    }
}

impl Differences {
    /// All of them, by their place.
    pub fn all(&self) -> Vec<Difference> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.values().cloned().collect()
    }

    pub(crate) fn note(&self, found: Difference) {
        let (file, line, column) = match &found.at {
            Some(at) => (at.file.to_string(), at.line, at.column),
            None => Default::default(),
        };
        let place = (file, line, column, found.text.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place, found);
    }

    /// Notes a template whose values differ. The text of two values is compared, and never kept.
    pub(super) fn compare(&self, template: &Template, core214: &Value, core219: &Value) {
        let same = match (core214, core219) {
            (Value::Str(one), Value::Str(other)) => one == other,
            (one, other) => one.type_name() == other.type_name(),
        };
        if !same {
            self.note(Difference {
                at: template.origin().cloned(),
                text: template.source().to_owned(),
                core214: core214.type_name().to_owned(),
                core219: core219.type_name().to_owned(),
            });
        }
    }
}

/// Filters whose text stays text, whatever it looks like (2.14, `STRING_TYPE_FILTERS`).
const TEXT_FILTERS: &[&str] =
    &["json", "ppretty", "string", "to_json", "to_nice_json", "to_nice_yaml", "to_yaml"];

/// What 2.14 makes of the value of a template.
pub(super) fn classic(value: Value, tree: &[Stmt], scope: &dyn Scope) -> Value {
    let alone = match tree {
        [Stmt::Out(expr)] => Some(expr),
        _ => None,
    };
    if let Some(Expr::Name(name)) = alone
        && let Some(raw @ (Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::None)) =
            scope.get(name)
    {
        return raw;
    }
    match &value {
        Value::Undefined(missing) if missing.quiet => Value::str(""),
        Value::None => Value::str(""),
        Value::Int(_) | Value::Float(_) | Value::Tuple(_) => Value::from(value.to_text()),
        Value::Object(object) if matches!(object.type_name(), "date" | "datetime") => {
            Value::from(value.to_text())
        }
        Value::Str(text) if !alone.is_some_and(|expr| stays_text(expr, scope, 0)) => {
            let looks = text.starts_with(['{', '[']) || matches!(&**text, "True" | "False");
            let read = looks.then(|| literal::parse(text)).flatten();
            read.unwrap_or(value)
        }
        _ => value,
    }
}

/// Variables that stand for variables are followed this far.
const DEPTH: usize = 40;

/// Whether the text comes from one of the [`TEXT_FILTERS`], or from a variable that does.
fn stays_text(expr: &Expr, scope: &dyn Scope, depth: usize) -> bool {
    match expr {
        Expr::Filter(_, name, _) => TEXT_FILTERS.contains(&super::filters::short_name(name)),
        Expr::Name(name) if depth < DEPTH => {
            let Some(Value::Lazy(lazy)) = scope.get(name) else { return false };
            let Lazy::Text(template) = &*lazy else { return false };
            let tree = template.tree().map(|tree| tree.as_slice());
            matches!(tree, Ok([Stmt::Out(inner)]) if stays_text(inner, scope, depth + 1))
        }
        _ => false,
    }
}

/// What 2.14 makes of text that a condition's template gave, which it evaluates once more: only
/// words and numbers, because such text may come from a host. `None`: it is something else.
pub(super) fn holds_text(text: &str) -> Option<bool> {
    match text.trim() {
        "" | "False" | "false" | "None" | "none" => Some(false),
        "True" | "true" => Some(true),
        number => number.parse::<f64>().ok().map(|number| number != 0.0),
    }
}

/// What 2.14 makes `true` or `false` of in `set_fact`.
pub(crate) fn fact(value: &Value) -> Value {
    match value {
        Value::Str(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" => Value::Bool(true),
            "false" | "no" => Value::Bool(false),
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}
