//! From events to nodes: anchors, aliases, merge keys, tags.

use super::{Kind, Node, Origin, resolve_plain};
use crate::fault::LoadFault;
use crate::value::Value;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use std::collections::HashMap;
use std::sync::Arc;

/// Deeper nesting is refused: nobody writes it, and it would cost stack.
const DEPTH: usize = 100;

/// Most nodes a file may hold once its aliases are written out, against files that grow without
/// end. The largest playbook file of 77 popular repositories holds a hundredth of this.
const NODES: usize = 1_000_000;

/// What reading a file gave.
#[derive(Debug)]
pub struct Parsed {
    /// One node for each document.
    pub documents: Vec<Node>,
    /// What deserves a word but is no error: keys that are given twice.
    pub warnings: Vec<LoadFault>,
}

/// Reads every document of `text`, which may be JSON: that means something else by a few words, as
/// by `1e3` and `"\ud83d\ude00"`.
///
/// # Errors
/// At the first thing that is not YAML, or is YAML that cannot be kept.
pub fn parse(file: &str, text: &str) -> Result<Parsed, LoadFault> {
    let parsed = parse_yaml(file, text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match super::overlay::json(text) {
        Some(json) => super::overlay::overlaid(file, parsed.ok(), &json),
        None => parsed,
    }
}

/// As [`parse`], without a look at whether it is JSON.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_yaml(file: &str, text: &str) -> Result<Parsed, LoadFault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let strict = read(file, text);
    match strict {
        // The fault that is told is that of the text as it was written.
        Err(fault) => read(file, &super::lenient::indented(text)).map_err(|_| {
            let over = fault.at.as_ref().is_some_and(|at| is_over(file, text, at));
            let what = if over { format!("{NO_YAML}: {NO_DOCUMENT}") } else { fault.what };
            LoadFault { what, ..fault }
        }),
        read => read,
    }
}

/// Is what stands before a place a document in brackets, so that only another one may follow?
fn is_over(file: &str, text: &str, at: &Origin) -> bool {
    let (line, column) = (at.line as usize - 1, at.column as usize - 1);
    let mut head: String = text.split_inclusive('\n').take(line).collect();
    head.extend(text.lines().nth(line).unwrap_or_default().chars().take(column));
    head.trim_start().starts_with(['{', '['])
        && read(file, &head).is_ok_and(|parsed| parsed.documents.len() == 1)
}

fn read(file: &str, text: &str) -> Result<Parsed, LoadFault> {
    let mut builder = Builder {
        file: Arc::from(file),
        text,
        lines: Vec::new(),
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        warnings: Vec::new(),
        nodes: 0,
        last: (1, 1),
    };
    let mut documents = Vec::new();
    loop {
        let (event, span) = builder.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            event => documents.push(builder.node(event, span, 0)?),
        }
    }
    Ok(Parsed { documents, warnings: builder.warnings })
}

/// How the sentence begins that something is no YAML; people look for it.
const NO_YAML: &str = "YAML parsing failed";

/// A fault as libyaml tells it: a sentence.
fn sentence(info: &str) -> String {
    let mut letters = info.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    let dot = if info.ends_with('.') { "" } else { "." };
    first.into_iter().chain(letters).collect::<String>() + dot
}

/// What libyaml says of something that follows a document and begins no other one.
const NO_DOCUMENT: &str = "Did not find expected <document start>.";

struct Builder<'a> {
    file: Arc<str>,
    text: &'a str,
    /// The lines of the text, once a fault or a block of text asks for them.
    lines: Vec<&'a str>,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    warnings: Vec<LoadFault>,
    nodes: usize,
    last: (u32, u32),
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), LoadFault> {
        match self.parser.next_event() {
            Some(Ok(pair)) => Ok(pair),
            Some(Err(error)) => {
                let mut at = self.origin(error.marker().line(), error.marker().col());
                let is_file = &*self.file != super::TEXT;
                let guess = is_file.then(|| super::guess::guess(self.line(at.line))).flatten();
                if let Some(column) = guess.as_ref().and_then(|guess| guess.column) {
                    at.column = column;
                }
                let what = match &guess {
                    Some(guess) => guess.what.to_owned(),
                    None => sentence(error.info()),
                };
                let help = guess.and_then(|guess| guess.help);
                Err(LoadFault { help, ..LoadFault::at(at, format!("{NO_YAML}: {what}")) })
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn origin(&self, line: usize, column: usize) -> Origin {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Origin {
            file: Arc::clone(&self.file),
            line: number(line.max(1)),
            column: number(column + 1),
        }
    }

    /// The line of this number, counted from one; nothing where there is none.
    fn line(&mut self, number: u32) -> &'a str {
        if self.lines.is_empty() {
            self.lines = self.text.lines().collect();
        }
        self.lines.get(number as usize - 1).copied().unwrap_or_default()
    }

    /// Where the sign of a block of text stands, `|` or `>`, whose text begins at this place: the
    /// place of the value, as Ansible has it.
    fn sign(&mut self, mut at: Origin) -> Origin {
        for line in (1..at.line).rev() {
            let text = self.line(line);
            if text.trim().is_empty() {
                continue;
            }
            let before_comment = text.rfind(" #").map_or(text, |end| &text[..end]);
            let modifiers = |c: char| matches!(c, '+' | '-' | '1'..='9');
            let sign = before_comment.trim_end().trim_end_matches(modifiers);
            if let Some(before) = sign.strip_suffix(['|', '>']) {
                at.line = line;
                at.column = u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX);
            }
            break;
        }
        at
    }

    /// Where a node begins. saphyr gives a tagged node no place of its own; then the last place
    /// known is told.
    fn place(&mut self, span: Span) -> Origin {
        let mut at = self.origin(span.start.line(), span.start.col());
        if span.start.line() == 0 {
            (at.line, at.column) = self.last;
        }
        self.last = (at.line, at.column);
        at
    }

    fn count(&mut self, more: usize, at: &Origin) -> Result<(), LoadFault> {
        self.nodes += more;
        if self.nodes > NODES {
            return Err(LoadFault::at(
                at.clone(),
                format!("the file holds more than {NODES} nodes"),
            ));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, LoadFault> {
        let at = self.place(span);
        if depth > DEPTH {
            return Err(LoadFault::at(at, format!("nested more than {DEPTH} levels deep")));
        }
        self.count(1, &at)?;
        let before = self.nodes;
        let (anchor, node) = match event {
            Event::Alias(id) => {
                let Some((node, size)) = self.anchors.get(&id).cloned() else {
                    return Err(LoadFault::at(at, "this alias is used inside its own anchor"));
                };
                self.count(size, &at)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let at = match style {
                    ScalarStyle::Literal | ScalarStyle::Folded => self.sign(at),
                    _ => at,
                };
                let value = scalar(&text, style, tag.as_deref(), &at)?;
                (anchor, Node { at, kind: Kind::Scalar(value) })
            }
            Event::SequenceStart(anchor, tag) => {
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                        break;
                    }
                    items.push(self.node(event, span, depth + 1)?);
                }
                let node = Node { at, kind: Kind::Seq(items) };
                (anchor, if is_unsafe(tag.as_deref()) { node.plain() } else { node })
            }
            Event::MappingStart(anchor, tag) => {
                let entries = self.mapping(depth)?;
                let node = Node { at, kind: Kind::Map(entries) };
                (anchor, if is_unsafe(tag.as_deref()) { node.plain() } else { node })
            }
            _ => return Err(LoadFault::at(at, "a value is missing here")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, LoadFault> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut merged: Vec<(Node, Node)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                break;
            }
            let is_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if is_merge {
                merge(&mut merged, &value)?;
                continue;
            }
            let Some(name) = key.as_key() else {
                return Err(LoadFault::at(key.at, "a list or a dict cannot be a key"));
            };
            let name = format!("{name:?}");
            match places.get(&name) {
                Some(&index) => {
                    self.warnings.push(LoadFault::at(
                        key.at.clone(),
                        format!(
                            "Found duplicate mapping key '{}'. Using last defined value only.",
                            key.scalar_text().unwrap_or_default(),
                        ),
                    ));
                    entries[index] = (key, value);
                }
                None => {
                    places.insert(name, entries.len());
                    entries.push((key, value));
                }
            }
        }
        if merged.is_empty() {
            return Ok(entries);
        }
        // PyYAML puts merged keys first; the mapping's own win.
        let mut all = Vec::with_capacity(merged.len() + entries.len());
        for (key, value) in merged {
            let own = entries.iter().position(|(name, _)| name.as_key() == key.as_key());
            match own {
                Some(index) => all.push(entries.remove(index)),
                None => all.push((key, value)),
            }
        }
        all.append(&mut entries);
        Ok(all)
    }
}

/// Adds what `<<: value` brings; the first of several sources wins.
fn merge(merged: &mut Vec<(Node, Node)>, value: &Node) -> Result<(), LoadFault> {
    match &value.kind {
        Kind::Map(entries) => {
            for (key, value) in entries {
                if !merged.iter().any(|(name, _)| name.as_key() == key.as_key()) {
                    merged.push((key.clone(), value.clone()));
                }
            }
            Ok(())
        }
        Kind::Seq(items) => items.iter().try_for_each(|item| merge(merged, item)),
        Kind::Scalar(_) => {
            Err(LoadFault::at(value.at.clone(), "`<<` takes a dict or a list of dicts"))
        }
    }
}

/// `!unsafe`: what is within is data.
fn is_unsafe(tag: Option<&Tag>) -> bool {
    tag.is_some_and(|tag| !tag.is_yaml_core_schema() && tag.suffix == "unsafe")
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: &Origin,
) -> Result<Value, LoadFault> {
    let trusted = |text: &str| Value::trusted(text, Some(at.clone()));
    let Some(tag) = tag else {
        if style != ScalarStyle::Plain {
            return Ok(trusted(text));
        }
        let value = resolve_plain(text);
        return Ok(if let Value::Str(_) = value { trusted(text) } else { value });
    };
    let name = format!("{}{}", tag.handle, tag.suffix);
    let standard = tag.is_yaml_core_schema();
    match (standard, tag.suffix.as_str()) {
        (true, "str") => Ok(trusted(text)),
        (true, "null") => Ok(Value::None),
        (true, "int" | "float" | "bool" | "timestamp") => {
            let value = resolve_plain(text);
            if tag.suffix == "float"
                && let Some(number) = value.as_float()
            {
                return Ok(Value::Float(number));
            }
            match value {
                Value::Str(_) => {
                    Err(LoadFault::at(at.clone(), format!("`{text}` is not a !!{}", tag.suffix)))
                }
                value => Ok(value),
            }
        }
        (true, "binary") => {
            // As Python does it: what is no letter of the alphabet counts for nothing.
            let plain: String = text
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='))
                .collect();
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, plain)
                .ok()
                .map(|bytes| Value::from(String::from_utf8_lossy(&bytes).into_owned()))
                .ok_or_else(|| LoadFault::at(at.clone(), "this !!binary is not base64 of text"))
        }
        (false, "unsafe") if style == ScalarStyle::Plain => Ok(resolve_plain(text)),
        (false, "unsafe") => Ok(Value::str(text)),
        (false, "vault" | "vault-encrypted") => {
            Ok(Value::vaulted(text.trim_start(), Some(at.clone())))
        }
        (false, "") => Ok(trusted(text)),
        _ => Err(LoadFault::at(at.clone(), format!("unknown tag `{name}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        parse("t.yml", text).unwrap().documents[0].to_value()
    }

    #[test]
    fn merge_keys_fill_in_what_is_not_given() {
        let value =
            value("base: &b {a: 1, b: 2}\nmore: {<<: *b, b: 3}\nlist: {<<: [{a: 9}, *b]}\n");
        assert_eq!(value.get("more").unwrap().repr(), "{'a': 1, 'b': 3}");
        assert_eq!(value.get("list").unwrap().repr(), "{'a': 9, 'b': 2}");
    }

    #[test]
    fn the_last_of_equal_keys_counts_and_is_told() {
        let parsed = parse("t.yml", "a: 1\nb: 2\na: 3\n").unwrap();
        assert_eq!(parsed.documents[0].to_value().repr(), "{'a': 3, 'b': 2}");
        assert_eq!(parsed.warnings.len(), 1);
        assert_eq!(
            parsed.warnings[0].to_string(),
            "t.yml:3:1: Found duplicate mapping key 'a'. Using last defined value only."
        );
    }

    #[test]
    fn text_with_a_template_is_lazy_unless_it_is_unsafe() {
        assert!(value("a: '{{ b }}'").is_lazy());
        assert!(!value("a: !unsafe '{{ b }}'").is_lazy());
        // ansible-core 2.19.14 keeps the types of what is within.
        let within = value("a: !unsafe [1, '{{ b }}', {x: '{{ c }}', '{{ d }}': 2}, !unsafe 5]");
        assert!(!within.is_lazy());
        assert_eq!(within.repr(), "{'a': [1, '{{ b }}', {'x': '{{ c }}', '{{ d }}': 2}, 5]}");
        assert!(!value("a: b").is_lazy());
    }

    #[test]
    fn places_are_counted_from_one() {
        let parsed = parse("t.yml", "- a\n-  b: '{{ c }}'\n").unwrap();
        let entry = &parsed.documents[0].as_seq().unwrap()[1].as_map().unwrap()[0];
        assert_eq!(entry.0.at.to_string(), "t.yml:2:4");
        assert_eq!(entry.1.at.to_string(), "t.yml:2:7");
    }

    #[test]
    fn a_file_that_is_not_yaml_names_its_first_fault_and_ends() {
        let fault = parse("t.yml", "a: [1, 2\nb: }\n").unwrap_err();
        assert!(fault.to_string().starts_with("t.yml:"), "{fault}");
    }

    #[test]
    fn what_follows_a_document_begins_another_one() {
        let fault = parse("t.yml", "{ }}").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "t.yml:1:4: YAML parsing failed: Did not find expected <document start>."
        );
    }

    #[test]
    fn aliases_cannot_grow_without_end() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let alias = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 10].join(", ")));
        }
        assert!(parse("t.yml", &text).unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn an_encrypted_value_stays_encrypted() {
        let value = value("a: 1\nb: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  00\n");
        assert_eq!(
            value.to_json(),
            serde_json::json!({
                "a": 1, "b": {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n00\n"}
            })
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_fall_over(
            text in r#"([\[\]{}:,&*!|>'"%@`# \n\t-]|a|<<|\*a|&a|!!int|yes|[0-9]|\?){0,40}"#
        ) {
            if let Ok(parsed) = parse("t.yml", &text) {
                parsed.documents.iter().for_each(|node| drop(node.to_value()));
            }
        }
    }
}
