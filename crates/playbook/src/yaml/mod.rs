//! YAML as Ansible reads it: version 1.1 in the resolution of PyYAML's safe loader, every node with
//! its place.
//!
//! The event parser is saphyr's. It refuses a few layouts that libyaml accepts (shallow indent
//! inside multi-line quoted text and brackets, tabs on blank lines); a file that it refuses is
//! brought into a form that it reads and tried again.
//!
//! Never here: templates, meaning of keys.

mod build;
mod guess;
mod lenient;
mod overlay;
mod resolve;

pub(crate) use build::parse_yaml;
pub use build::{Parsed, parse};
pub(crate) use resolve::resolve_plain;

use crate::value::{Dict, Key, Value};
use std::fmt;
use std::sync::Arc;

/// What a text is called that comes from no file; nobody guesses what is wrong with its lines.
pub(crate) const TEXT: &str = "<text>";

/// A place in a file, counted from 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The file as it was named.
    pub file: Arc<str>,
    /// Line; 0 where only the file is known.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl Origin {
    /// The file with its whole path.
    pub(crate) fn absolute(&self) -> String {
        std::path::absolute(&*self.file)
            .map_or_else(|_| self.file.to_string(), |path| path.display().to_string())
    }

    /// The place with the whole path of its file.
    pub(crate) fn full(&self) -> String {
        format!("{}:{}:{}", self.absolute(), self.line, self.column)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One node of a document.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub at: Origin,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A scalar, resolved.
    Scalar(Value),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping, merge keys applied, the last of equal keys kept.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The value of the node. Its text becomes templates where it holds any.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::Seq(items) => Value::list(items.iter().map(Self::to_value).collect()),
            Kind::Map(entries) => Value::dict(
                entries
                    .iter()
                    .filter_map(|(key, value)| Some((key.as_key()?, value.to_value())))
                    .collect::<Dict>(),
            ),
        }
    }

    /// The node with its templates as text that is never rendered.
    fn plain(self) -> Self {
        let kind = match self.kind {
            Kind::Scalar(value) => Kind::Scalar(crate::template::plain(&value)),
            Kind::Seq(items) => Kind::Seq(items.into_iter().map(Self::plain).collect()),
            Kind::Map(entries) => Kind::Map(
                entries.into_iter().map(|(key, value)| (key.plain(), value.plain())).collect(),
            ),
        };
        Self { at: self.at, kind }
    }

    fn as_key(&self) -> Option<Key> {
        match &self.kind {
            Kind::Scalar(Value::Lazy(_)) => self.as_str().map(Key::str),
            Kind::Scalar(Value::Object(object)) => Some(Key::str(object.text())),
            Kind::Scalar(value) => Key::of(value),
            _ => None,
        }
    }

    /// The text, if it is a scalar of text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(value) => value.as_str(),
            _ => None,
        }
    }

    /// The scalar's text whatever its type; `None` for collections and null.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match &self.kind {
            Kind::Scalar(Value::None) => None,
            Kind::Scalar(value) => {
                Some(value.as_str().map_or_else(|| value.to_text(), str::to_owned))
            }
            _ => None,
        }
    }

    pub(crate) fn as_seq(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::Seq(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn as_map(&self) -> Option<&[(Self, Self)]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Scalar(Value::None))
    }

    /// The value under a text key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// What it is, for a message.
    pub(crate) fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(value) => match value.type_name() {
                "NoneType" => "nothing",
                "str" => "text",
                "bool" => "a boolean",
                "int" | "float" => "a number",
                _ => "a scalar",
            },
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a dict",
        }
    }
}
