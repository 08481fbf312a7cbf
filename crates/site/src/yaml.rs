//! YAML text to a tree with places.
//!
//! Reads one document of YAML 1.2 with its core schema. Duplicate keys, tags, merge keys, numbers
//! that other tools read differently, and input that is too deep or too large are faults.
//! Never here: what the keys mean.

use crate::fault::{Draft, Sink};
use crate::node::{Entry, Key, Kind, Node, Scalar, ScalarValue};
use crate::text::Span;
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// Size of a file. A site of ten thousand groups is below it.
pub(crate) const MOST_BYTES: usize = 1 << 20;
/// Lists and maps within each other.
const MOST_DEPTH: usize = 64;
/// Values in a file, each counted as often as aliases repeat it.
const MOST_NODES: usize = 100_000;

/// Reads a file. `None` when there is no document to go on with; the sink knows why, unless the
/// file is just empty, which is an empty map.
pub(crate) fn parse(file: usize, text: &str, sink: &mut Sink) -> Option<Node> {
    if let Some(draft) = bad_character(file, text) {
        sink.add(draft);
        return None;
    }
    let builder = Builder {
        file,
        bytes: Bytes::of(text),
        sink,
        stack: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
    };
    builder.run(text)
}

/// A character that YAML 1.2.2 section 5.1 does not allow in a file, or that would break excerpts.
fn bad_character(file: usize, text: &str) -> Option<Draft> {
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let span = Span { file, start: at, end: at + c.len_utf8() };
        match c {
            '\t' | '\n' => {}
            '\r' if rest.peek().is_some_and(|(_, next)| *next == '\n') => {}
            '\r' => {
                let message = "a carriage return stands alone; lines end with LF or CR LF";
                return Some(Draft::new("yaml", span, message).unseen());
            }
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                return Some(control(c, span));
            }
            c if c.is_control() || is_bidi(c) => return Some(control(c, span)),
            _ => {}
        }
    }
    None
}

/// Characters that change the direction of text: what is seen would not be what is read.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn control(c: char, span: Span) -> Draft {
    let message = format!("the character U+{:04X} cannot stand in a site file", u32::from(c));
    Draft::new("yaml", span, message)
        .help(
            "inside double quotes it can be written with a backslash, such as \"\\u0007\""
                .to_owned(),
        )
        .unseen()
}

/// From characters, which the parser counts, to bytes.
struct Bytes {
    /// Byte of each character and of the end; empty when all is ASCII.
    at: Vec<usize>,
    end: usize,
}

impl Bytes {
    fn of(text: &str) -> Self {
        let at = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().map(|(at, _)| at).collect(),
        };
        Self { at, end: text.len() }
    }

    fn byte(&self, character: usize) -> usize {
        match self.at.is_empty() {
            true => character.min(self.end),
            false => self.at.get(character).copied().unwrap_or(self.end),
        }
    }
}

/// A list or map whose end was not seen yet.
struct Open {
    at: Span,
    anchor: usize,
    /// How deep the deepest thing inside is.
    height: usize,
    /// Values inside, with itself.
    size: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        /// Where each key stands, to find its double.
        keys: HashMap<String, Span>,
        next: NextKey,
    },
}

enum NextKey {
    Wanted,
    Found(Key),
    /// The key was at fault: its value is read and dropped.
    Dropped,
}

struct Anchored {
    node: Node,
    height: usize,
    size: usize,
}

struct Builder<'s> {
    file: usize,
    bytes: Bytes,
    sink: &'s mut Sink,
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    root: Option<Node>,
}

/// Reading cannot go on; the sink knows why.
struct Stop;

impl Builder<'_> {
    fn run(mut self, text: &str) -> Option<Node> {
        let mut documents = 0;
        let mut parser = Parser::new_from_str(text);
        // The parser tells an error again for ever when asked again.
        while let Some(next) = parser.next_event() {
            let (event, span) = match next {
                Ok((event, span)) => (event, span),
                Err(error) => {
                    let start = self.bytes.byte(error.marker().index());
                    self.syntax(text, start, error.info());
                    return None;
                }
            };
            let start = self.bytes.byte(span.start.index());
            let end = self.bytes.byte(span.end.index()).max(start);
            let at = Span { file: self.file, start, end };
            if matches!(event, Event::DocumentStart(_)) {
                documents += 1;
                if documents > 1 {
                    let message = "a site file is one document; a second one starts here";
                    self.sink.add(Draft::new("yaml", at, message));
                    return None;
                }
            }
            if self.event(event, at).is_err() {
                return None;
            }
        }
        let empty = Span { file: self.file, start: 0, end: 0 };
        Some(self.root.unwrap_or(Node { at: empty, kind: Kind::Map(Vec::new()) }))
    }

    fn syntax(&mut self, text: &str, start: usize, info: &str) {
        if info == "recursion limit exceeded" {
            // The scanner looks ahead for the end of a key, so it may be the first to see it.
            let at = Span { file: self.file, start, end: start };
            let message = format!("lists and maps stand more than {MOST_DEPTH} deep in each other");
            return self.sink.add(Draft::new("too-deep", at, message));
        }
        let next = text[start..].chars().next().map_or(0, char::len_utf8);
        let at = Span { file: self.file, start, end: start + next };
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let indent = &line[..line.len() - line.trim_start().len()];
        let help = match indent.contains('\t') {
            true => Some("indent with spaces; YAML does not allow tabs there"),
            false => way_out(info),
        };
        let message = format!("this is not YAML: {}", clip_to(info.trim_end_matches('.'), 120));
        self.sink.add(Draft::new("yaml", at, message).help(help.map(ToOwned::to_owned)));
    }

    fn event(&mut self, event: Event<'_>, at: Span) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, at)?;
                if self.wants_key() {
                    return self.key(text.into_owned(), style, anchor, tag.as_deref(), at);
                }
                let node = self.scalar(text, style, tag.as_deref(), at);
                self.keep(anchor, &node, 0, 1);
                self.place(node, 0, 1);
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(at, anchor, tag.as_deref(), Content::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                let (entries, keys) = (Vec::new(), HashMap::new());
                let content = Content::Map { entries, keys, next: NextKey::Wanted };
                self.open(at, anchor, tag.as_deref(), content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
            Event::Alias(anchor) => self.alias(anchor, at)?,
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn wants_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Open { content: Content::Map { next: NextKey::Wanted, .. }, .. })
        )
    }

    fn count(&mut self, more: usize, at: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes <= MOST_NODES {
            return Ok(());
        }
        let message = format!("there are more than {MOST_NODES} values in this file");
        let help = "aliases count as often as they repeat a value".to_owned();
        self.sink.add(Draft::new("too-large", at, message).help(help));
        Err(Stop)
    }

    fn deep(&mut self, depth: usize, at: Span) -> Result<(), Stop> {
        if depth <= MOST_DEPTH {
            return Ok(());
        }
        let message = format!("lists and maps stand more than {MOST_DEPTH} deep in each other");
        self.sink.add(Draft::new("too-deep", at, message));
        Err(Stop)
    }

    fn open(
        &mut self,
        at: Span,
        anchor: usize,
        tag: Option<&Tag>,
        content: Content,
    ) -> Result<(), Stop> {
        self.count(1, at)?;
        self.deep(self.stack.len() + 1, at)?;
        if self.wants_key() {
            self.sink.add(Draft::new("bad-key", at, "a key must be text, not a list or a map"));
        }
        if let Some(tag) = tag {
            self.tag(tag, at);
        }
        self.stack.push(Open { at, anchor, height: 1, size: 1, content });
        Ok(())
    }

    fn close(&mut self, end: Span) {
        let Some(open) = self.stack.pop() else { return };
        // The end of a block is known only where the next thing starts, so its last child says
        // where it ends; the end of a flow is its bracket.
        let last = match &open.content {
            Content::List(items) => items.last().map(|item| item.at),
            Content::Map { entries, .. } => entries.last().map(|entry| entry.value.at),
        };
        let at = match last {
            _ if end.end > end.start => open.at.to(end),
            Some(last) if last.file == open.at.file && last.end > open.at.end => open.at.to(last),
            _ => open.at,
        };
        let kind = match open.content {
            Content::List(items) => Kind::List(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        let node = Node { at, kind };
        self.keep(open.anchor, &node, open.height, open.size);
        self.place(node, open.height, open.size);
    }

    fn keep(&mut self, anchor: usize, node: &Node, height: usize, size: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), height, size });
        }
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node, height: usize, size: usize) {
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.height = open.height.max(height + 1);
        open.size += size;
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, next, .. } => {
                match std::mem::replace(next, NextKey::Wanted) {
                    NextKey::Found(key) => entries.push(Entry { key, value: node }),
                    // A list or map in the place of a key: its own value comes next.
                    NextKey::Wanted => *next = NextKey::Dropped,
                    NextKey::Dropped => {}
                }
            }
        }
    }

    fn alias(&mut self, anchor: usize, at: Span) -> Result<(), Stop> {
        let Some(found) = self.anchors.get(&anchor) else {
            // An anchor that is still open contains this alias.
            let message = "this alias stands inside the value it repeats";
            self.sink.add(Draft::new("yaml", at, message));
            return Err(Stop);
        };
        let (height, size) = (found.height, found.size);
        self.count(size, at)?;
        self.deep(self.stack.len() + height, at)?;
        if self.wants_key() {
            self.sink.add(Draft::new("bad-key", at, "a key must be text, not an alias"));
            self.set_next(NextKey::Dropped);
            return Ok(());
        }
        let node = self.anchors[&anchor].node.clone();
        self.place(node, height, size);
        Ok(())
    }

    fn set_next(&mut self, value: NextKey) {
        if let Some(Open { content: Content::Map { next, .. }, .. }) = self.stack.last_mut() {
            *next = value;
        }
    }

    fn key(
        &mut self,
        text: String,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: Span,
    ) -> Result<(), Stop> {
        if let Some(tag) = tag {
            self.tag(tag, at);
        }
        if anchor != 0 {
            let node = self.scalar(Cow::Owned(text.clone()), style, None, at);
            self.keep(anchor, &node, 0, 1);
        }
        if text == "<<" && style == ScalarStyle::Plain {
            let help = "repeat the keys, or use an alias for the whole value".to_owned();
            let message = "the merge key `<<` is not part of YAML 1.2";
            self.sink.add(Draft::new("bad-key", at, message).help(help));
            self.set_next(NextKey::Dropped);
            return Ok(());
        }
        let Some(Open { content: Content::Map { keys, next, .. }, .. }) = self.stack.last_mut()
        else {
            return Ok(());
        };
        if let Some(first) = keys.get(&text) {
            let draft = Draft::new(
                "duplicate-key",
                at,
                format!("the key `{}` stands here twice", clip(&text)),
            )
            .label("a second time")
            .also(*first, "the first time");
            self.sink.add(draft);
            *next = NextKey::Dropped;
            return Ok(());
        }
        keys.insert(text.clone(), at);
        *next = NextKey::Found(Key { at, text });
        Ok(())
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: Span,
    ) -> Node {
        let plain = match tag {
            Some(tag) => {
                self.tag(tag, at);
                false
            }
            None => style == ScalarStyle::Plain,
        };
        let value = if plain { self.resolve(&text, at) } else { ScalarValue::Text };
        Node { at, kind: Kind::Scalar(Scalar { text: text.into_owned(), value }) }
    }

    /// Only `!!str` and `!` say nothing new: they make text of a scalar.
    fn tag(&mut self, tag: &Tag, at: Span) {
        let name = match tag.is_yaml_core_schema() {
            true => format!("!!{}", tag.suffix),
            false => format!("{}{}", tag.handle, tag.suffix),
        };
        match name.as_str() {
            "!!str" | "!" => {}
            "!vault" => {
                let message = "values sealed with `!vault` cannot stand in a site file in this version of Updraft";
                let help = "vaulted files belong to plays: keep the value in group_vars".to_owned();
                self.sink.add(Draft::new("not-yet", at, message).help(help));
            }
            _ => {
                let message = format!("the tag `{}` means nothing in a site file", clip(&name));
                self.sink.add(Draft::new("unknown-tag", at, message));
            }
        }
    }

    /// YAML 1.2.2 section 10.3.2.
    fn resolve(&mut self, text: &str, at: Span) -> ScalarValue {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return ScalarValue::Null,
            "true" | "True" | "TRUE" => return ScalarValue::Bool(true),
            "false" | "False" | "FALSE" => return ScalarValue::Bool(false),
            _ => {}
        }
        match number(text) {
            None => ScalarValue::Text,
            Some(Ok(value)) => {
                let digits = text.trim_start_matches(['+', '-']);
                if digits.len() > 1
                    && digits.starts_with('0')
                    && digits.bytes().all(|b| b.is_ascii_digit())
                {
                    let message =
                        format!("`{text}` is octal to some programs and decimal to others");
                    let bare = digits.trim_start_matches('0');
                    let help = format!(
                        "write \"{text}\" for text, or {} for the number",
                        if bare.is_empty() { "0" } else { bare }
                    );
                    self.sink.add(Draft::new("ambiguous-number", at, message).help(help));
                }
                value
            }
            Some(Err(())) => {
                let message = format!("`{}` is a number that cannot be kept exactly", clip(text));
                let help = "put it in quotes if it is text".to_owned();
                self.sink.add(Draft::new("ambiguous-number", at, message).help(help));
                ScalarValue::Text
            }
        }
    }
}

/// What usually went wrong when the parser says this (saphyr-parser 0.3.3).
fn way_out(info: &str) -> Option<&'static str> {
    const WAYS: [(&str, &str); 7] = [
        (
            "mapping values are not allowed",
            "text with `: ` in it needs quotes, and keys of one map start in one column",
        ),
        ("did not find expected key", "keys of one map start in one column"),
        ("did not find expected ',' or '}'", "a `}` or a comma is missing here or above"),
        ("did not find expected ',' or ']'", "a `]` or a comma is missing here or above"),
        ("found unknown anchor", "a text that starts with `*` needs quotes, unless it is an alias"),
        ("invalid indentation in quoted scalar", "is the closing quote missing?"),
        ("unexpected end of stream", "is a closing quote missing?"),
    ];
    WAYS.iter().find(|(part, _)| info.contains(part)).map(|(_, help)| *help)
}

/// A number of the core schema; `Err` when it is one that does not fit.
fn number(text: &str) -> Option<Result<ScalarValue, ()>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let radix = |digits: &str, radix: u32| {
        let fits = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        fits.then(|| {
            u64::from_str_radix(digits, radix).map(|n| ScalarValue::Int(n.into())).map_err(|_| ())
        })
    };
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err(()));
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let number = text.strip_prefix('+').unwrap_or(text).parse::<i128>().map_err(|_| ());
        let fits = |n: &i128| i128::from(i64::MIN) <= *n && *n <= i128::from(u64::MAX);
        return Some(number.and_then(|n| if fits(&n) { Ok(ScalarValue::Int(n)) } else { Err(()) }));
    }
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    if !(digits(whole) && digits(part) && exponent_fits) || (whole.is_empty() && part.is_empty()) {
        return None;
    }
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
    Some(value.map(ScalarValue::Float).ok_or(()))
}

/// A text short enough for a sentence, without line breaks and without what must not be seen.
pub(crate) fn clip(text: &str) -> String {
    clip_to(text, 48)
}

fn clip_to(text: &str, most: usize) -> String {
    if crate::text::is_private_key(text) {
        return "***".to_owned();
    }
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", line[..at].trim_end()),
        None => line,
    }
}

#[cfg(test)]
mod tests;
