//! Values of the language: what variables hold and templates give.
//!
//! Lists and dicts of the finished kinds never hold a template: text from playbooks that still has
//! to be rendered lives in [`Lazy`] alone. So trust is a matter of type. What a module, a fact, a
//! file or a template gave is a plain string and is never rendered again.
//!
//! Never here: rendering, reading files, knowing hosts.

mod json;
mod key;
mod moment;
mod number;
mod object;
mod order;
mod own;
mod text;
mod yaml_out;

pub(crate) use json::{Indent, Marked, python_json, python_json_with};
pub use key::Key;
pub(crate) use moment::Moment;
pub(crate) use number::{parse_float, parse_int};
pub use object::{Call, Object, Rank};
pub(crate) use order::compare;
pub use own::Text;
pub(crate) use text::float_text;
pub(crate) use yaml_out::{YamlStyle, canonical_yaml, to_yaml};

use crate::template::Template;
use crate::yaml::Origin;
use indexmap::IndexMap;
use std::sync::Arc;

/// A dict keeps the order in which its keys came.
pub type Dict = IndexMap<Key, Value>;

/// One value.
#[derive(Clone, Default)]
pub enum Value {
    /// Something that is not there, with the sentence that says so.
    Undefined(Arc<Missing>),
    /// `null`.
    #[default]
    None,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Finished text.
    Str(Text),
    /// Text, list or dict from a playbook in which something is still to be rendered.
    Lazy(Arc<Lazy>),
    /// A list whose elements are finished.
    List(Arc<Vec<Value>>),
    /// As a list, but Python shows it with round brackets.
    Tuple(Arc<Vec<Value>>),
    /// A dict whose values are finished.
    Dict(Arc<Dict>),
    /// A function, a namespace, another host's variables, a point in time.
    Object(Arc<dyn Object>),
    /// The argument that carries it is left out.
    Omit,
}

/// Not yet rendered.
#[derive(Debug)]
pub enum Lazy {
    /// Text with `{{` or `{%` in it.
    Text(Template),
    /// A list with something lazy somewhere in it.
    List(Vec<Value>),
    /// A dict with something lazy somewhere in it.
    Dict(Dict),
    /// Encrypted text: decrypted when somebody looks. What was in it is data, never a template.
    Vaulted(Vaulted),
}

/// Encrypted text where it stands.
#[derive(Debug)]
pub struct Vaulted {
    /// The text as `ansible-vault` wrote it.
    pub text: String,
    /// Where it stands, if that is a file.
    pub origin: Option<crate::yaml::Origin>,
}

/// Why something is not there.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    /// A sentence without a full stop, such as `'port' is undefined`.
    pub why: String,
    /// In text it is nothing rather than an error, as an `if` without `else` is.
    pub quiet: bool,
    /// The template that needs it, when that has a place.
    pub at: Option<Origin>,
    /// The templates that need it, those of variables within others first.
    pub through: Vec<Arc<str>>,
}

impl Missing {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), quiet: false, at: None, through: Vec::new() }
    }
}

impl Value {
    /// Finished text.
    pub fn str(text: impl AsRef<str>) -> Self {
        Self::Str(Text::from(text.as_ref()))
    }

    /// Something that is not there.
    pub fn undefined(why: impl Into<String>) -> Self {
        Self::Undefined(Arc::new(Missing::new(why)))
    }

    /// What an inline `if` without an `else` gives when it does not hold.
    pub(crate) fn no_else() -> Self {
        let why = "the inline if-expression evaluated to false and no else section was defined";
        Self::Undefined(Arc::new(Missing { quiet: true, ..Missing::new(why) }))
    }

    /// A variable that nobody set.
    pub(crate) fn undefined_name(name: &str) -> Self {
        Self::undefined(format!("'{name}' is undefined"))
    }

    /// A list, lazy if one of its elements is.
    pub fn list(items: Vec<Self>) -> Self {
        if items.iter().any(Self::is_lazy) {
            Self::Lazy(Arc::new(Lazy::List(items)))
        } else {
            Self::List(Arc::new(items))
        }
    }

    /// A tuple of finished values.
    pub(crate) fn tuple(items: Vec<Self>) -> Self {
        Self::Tuple(Arc::new(items))
    }

    /// A dict, lazy if one of its values is.
    pub fn dict(entries: Dict) -> Self {
        if entries.values().any(Self::is_lazy) {
            Self::Lazy(Arc::new(Lazy::Dict(entries)))
        } else {
            Self::Dict(Arc::new(entries))
        }
    }

    /// A dict with text for keys.
    pub fn dict_of<K: AsRef<str>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::dict(entries.into_iter().map(|(key, value)| (Key::str(key), value)).collect())
    }

    /// A list of texts.
    pub(crate) fn strings<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(Arc::new(items.into_iter().map(Self::str).collect()))
    }

    /// Text from a playbook: a template if it holds one, plain text otherwise.
    pub fn trusted(text: &str, origin: Option<crate::yaml::Origin>) -> Self {
        if Template::is_one(text) {
            Self::Lazy(Arc::new(Lazy::Text(Template::new(text, origin))))
        } else {
            Self::Str(Text::own(text))
        }
    }

    /// Encrypted text, for whoever has the password.
    pub fn vaulted(text: &str, origin: Option<crate::yaml::Origin>) -> Self {
        Self::Lazy(Arc::new(Lazy::Vaulted(Vaulted { text: text.to_owned(), origin })))
    }

    /// The value with templates as the text they are written as. What is encrypted stays so.
    pub(crate) fn as_written(&self) -> Self {
        match self {
            Self::Lazy(lazy) => match &**lazy {
                Lazy::Text(template) => Self::str(template.source()),
                Lazy::List(items) => {
                    Self::List(Arc::new(items.iter().map(Self::as_written).collect()))
                }
                Lazy::Dict(entries) => Self::Dict(Arc::new(
                    entries.iter().map(|(key, value)| (key.clone(), value.as_written())).collect(),
                )),
                Lazy::Vaulted(_) => self.clone(),
            },
            other => other.clone(),
        }
    }

    pub(crate) fn is_lazy(&self) -> bool {
        matches!(self, Self::Lazy(_))
    }

    pub(crate) fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The text, if this is text. A template gives its source.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            Self::Lazy(lazy) => match &**lazy {
                Lazy::Text(template) => Some(template.source()),
                _ => None,
            },
            _ => None,
        }
    }

    /// The elements, if this is a list or a tuple.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) | Self::Tuple(items) => Some(items),
            Self::Lazy(lazy) => match &**lazy {
                Lazy::List(items) => Some(items),
                _ => None,
            },
            _ => None,
        }
    }

    /// The entries, if this is a dict.
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Self::Dict(entries) => Some(entries),
            Self::Lazy(lazy) => match &**lazy {
                Lazy::Dict(entries) => Some(entries),
                _ => None,
            },
            _ => None,
        }
    }

    /// The entry of a dict under a text key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_dict().and_then(|entries| entries.get(key))
    }

    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bool(truth) => Some(i64::from(*truth)),
            _ => None,
        }
    }

    pub(crate) fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            other => other.as_int().map(|number| number as f64),
        }
    }

    /// Python's truth of a finished value.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(truth) => *truth,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(items) | Self::Tuple(items) => !items.is_empty(),
            Self::Dict(entries) => !entries.is_empty(),
            Self::Object(object) => object.is_true(),
            Self::Lazy(_) | Self::Omit => true,
        }
    }

    /// Python's name of the type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "UndefinedMarker",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Object(object) => object.type_name(),
            Self::Omit => "Omit",
            Self::Lazy(lazy) => match &**lazy {
                Lazy::Text(_) | Lazy::Vaulted(_) => "str",
                Lazy::List(_) => "list",
                Lazy::Dict(_) => "dict",
            },
        }
    }

    /// As Ansible reads a boolean argument: `yes`, `on`, `1`, `true` and their opposites.
    pub(crate) fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            Self::Int(1) => Some(true),
            Self::Int(0) => Some(false),
            Self::Float(number) if *number == 1.0 => Some(true),
            Self::Float(number) if *number == 0.0 => Some(false),
            Self::Str(text) => match text.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Some(true),
                "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::str(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.repr())
    }
}
