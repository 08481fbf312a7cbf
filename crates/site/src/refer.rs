//! Names that are there, and texts that refer to them.
//!
//! Never here: what is behind a name.

use crate::fault::{Draft, Sink};
use crate::node::{Kind, Node};
use crate::suggest::nearest;
use crate::yaml::clip;
use std::collections::HashSet;
use std::str::FromStr;

/// The names under one key of the top.
pub(crate) struct Names<'a> {
    noun: &'static str,
    order: Vec<&'a str>,
    known: HashSet<&'a str>,
    sound: bool,
}

impl<'a> Names<'a> {
    pub(crate) fn of(root: &'a Node, key: &str, noun: &'static str) -> Self {
        let node = root.get(key);
        let sound = node.is_none_or(|node| matches!(node.kind, Kind::Map(_)));
        let entries = node.map_or(&[][..], Node::entries);
        let order: Vec<&str> = entries.iter().map(|entry| entry.key.text.as_str()).collect();
        Self { noun, known: order.iter().copied().collect(), order, sound }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether the names could be read at all. Where not, that was told, and nothing follows from
    /// names that are not there.
    pub(crate) fn is_sound(&self) -> bool {
        self.sound
    }

    /// The name, when there is just one.
    pub(crate) fn only(&self) -> Option<&'a str> {
        match self.order.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The first few names, for a sentence.
    pub(crate) fn some(&self) -> String {
        const MOST: usize = 8;
        let some: Vec<_> =
            self.order.iter().take(MOST).map(|name| format!("`{}`", clip(name))).collect();
        match self.order.len() > MOST {
            true => format!("{} and {} more", some.join(", "), self.order.len() - MOST),
            false => some.join(", "),
        }
    }

    /// The name that a text refers to.
    pub(crate) fn refer<T: FromStr>(&self, node: &Node, sink: &mut Sink) -> Option<T> {
        let text = node.text()?;
        if self.known.contains(text) {
            return text.parse().ok();
        }
        // A text that is no name was told already, and refers to nothing that could be meant.
        if sink.knows(node.at) || !self.sound {
            return None;
        }
        let noun = self.noun;
        let help = if sink.full() {
            None
        } else if let Some(near) = nearest(text, self.order.iter().copied()) {
            Some(format!("did you mean `{near}`?"))
        } else if self.is_empty() {
            Some(format!("there is nothing under `{noun}s`"))
        } else {
            Some(format!("there are {}", self.some()))
        };
        let message = format!("there is no {noun} `{}`", clip(text));
        sink.add(Draft::new("dangling-name", node.at, message).help(help));
        None
    }
}
