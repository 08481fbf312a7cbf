//! Keys of dicts: text nearly always, but YAML allows `80:` and `true:`.

use super::{Value, text};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What a dict may be keyed by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `null`.
    None,
    /// `true` and `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text, and everything else that YAML can put there, as its text.
    Str(Arc<str>),
}

impl Key {
    /// A text key.
    pub fn str(text: impl AsRef<str>) -> Self {
        Self::Str(Arc::from(text.as_ref()))
    }

    /// The key that a value stands for; `None` for what Python cannot hash.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::None => Some(Self::None),
            Value::Bool(truth) => Some(Self::Bool(*truth)),
            Value::Int(number) => Some(Self::Int(*number)),
            Value::Str(text) => Some(Self::Str(text.shared())),
            Value::Float(number) => Some(Self::Str(text::float_text(*number).into())),
            Value::Tuple(_) => Some(Self::Str(value.repr().into())),
            _ => None,
        }
    }

    /// The key as a value.
    pub fn to_value(&self) -> Value {
        match self {
            Self::None => Value::None,
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Int(number) => Value::Int(*number),
            Self::Str(text) => Value::Str(text.into()),
        }
    }

    /// The key as JSON writes it.
    pub fn to_json_key(&self) -> String {
        match self {
            Self::None => "null".to_owned(),
            Self::Bool(truth) => truth.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Str(text) => text.to_string(),
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_value().to_text())
    }
}

// A text key hashes as its text, so that a dict can be asked with a plain `&str`.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::None => 0u8.hash(state),
            Self::Bool(truth) => (1u8, truth).hash(state),
            Self::Int(number) => (2u8, number).hash(state),
            Self::Str(text) => (**text).hash(state),
        }
    }
}

impl indexmap::Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        matches!(key, Key::Str(text) if **text == *self)
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::str(text)
    }
}
