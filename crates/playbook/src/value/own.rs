//! Text, and whether a playbook says it.
//!
//! Text that stands in a playbook, an inventory or a file of variables is the author's own; only
//! that is ever read as an expression. What a host, a file or a template gave is not.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Finished text.
#[derive(Clone)]
pub struct Text {
    text: Arc<str>,
    own: bool,
}

impl Text {
    /// Text that stands in a playbook.
    pub(crate) fn own(text: &str) -> Self {
        Self { text: Arc::from(text), own: true }
    }

    /// Does it stand in a playbook, so that it may be read as an expression?
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }

    /// The text alone.
    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl From<Arc<str>> for Text {
    fn from(text: Arc<str>) -> Self {
        Self { text, own: false }
    }
}

impl From<&Arc<str>> for Text {
    fn from(text: &Arc<str>) -> Self {
        Self::from(Arc::clone(text))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(Arc::<str>::from(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(Arc::<str>::from(text))
    }
}

// Whoever says it, it is the same text.
impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}
