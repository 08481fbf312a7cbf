//! Site files and the files they extend, made one tree.
//!
//! A file's keys override those of the file it extends: maps are merged key by key, scalars and lists
//! are replaced, and null removes a key. Every value keeps the place it came from.
//! Never here: what the keys mean.

use crate::fault::{Draft, Sink};
use crate::format::Format;
use crate::node::{Entry, Kind, Node};
use crate::source::Source;
use crate::suggest::nearest;
use crate::text::{Span, Text};
use crate::yaml::{self, clip};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use std::collections::HashMap;
use std::io;

/// Files that extend one another. Whoever needs more has lost the overview.
const MOST_FILES: usize = 8;

/// Reads the site file and what it extends. `None` when there is no tree to go on with; the sink
/// knows why. `texts` holds every file that was looked for.
pub(crate) fn read(
    path: &Utf8Path,
    source: &dyn Source,
    texts: &mut Vec<Text>,
    sink: &mut Sink,
) -> Option<Node> {
    let mut trees = Vec::new();
    let mut seen: Vec<Utf8PathBuf> = vec![normal(path)];
    let mut next = path.to_owned();
    let mut asked: Option<Span> = None;
    loop {
        let tree = one(&next, asked, source, texts, sink);
        let base = tree.as_ref().and_then(|tree| tree.get("extends")).cloned();
        trees.push(tree);
        let Some(base) = base else { break };
        // A base that is not a path is told with everything else that is of the wrong type.
        let Some(text) = base.text().filter(|text| Format::Path.check(text).is_ok()) else { break };
        let target = beside(&texts[base.at.file].path, text, source);
        if seen.contains(&normal(&target)) {
            let message = format!("`{}` extends itself", clip(text));
            let help = match seen.len() {
                1 => "leave `extends` out".to_owned(),
                _ => format!("the way here was {}", way(texts)),
            };
            sink.add(Draft::new("extends-cycle", base.at, message).help(help));
            break;
        }
        if trees.len() == MOST_FILES {
            let message = format!("more than {MOST_FILES} files extend one another");
            sink.add(Draft::new("too-deep", base.at, message));
            break;
        }
        seen.push(normal(&target));
        asked = Some(base.at);
        next = target;
    }
    // One unreadable file makes everything that is missing in the others look like a fault.
    let mut trees: Vec<Node> = trees.into_iter().collect::<Option<_>>()?;
    let mut merged = trees.pop()?;
    while let Some(over) = trees.pop() {
        if let Kind::Map(entries) = &mut merged.kind {
            entries.retain(|entry| entry.key.text != "extends");
        }
        merged = merge(merged, over, false, sink);
    }
    Some(merged)
}

fn way(texts: &[Text]) -> String {
    let paths: Vec<_> = texts.iter().map(|text| format!("`{}`", text.path)).collect();
    paths.join(" to ")
}

/// Reads one file. `asked` is where its name stands, unless the caller gave it.
fn one(
    path: &Utf8Path,
    asked: Option<Span>,
    source: &dyn Source,
    texts: &mut Vec<Text>,
    sink: &mut Sink,
) -> Option<Node> {
    let file = texts.len();
    let start = Span { file, start: 0, end: 0 };
    let read = source.read(path);
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => {
            texts.push(Text::new(path.to_owned(), ""));
            sink.add(match asked {
                Some(at) => unreadable(path, &error, at),
                None if error.kind() == io::ErrorKind::NotFound => unreadable(path, &error, start)
                    .unseen()
                    .help("`updraft init` writes one to start from".to_owned()),
                None => unreadable(path, &error, start).unseen(),
            });
            return None;
        }
    };
    if bytes.len() > yaml::MOST_BYTES {
        texts.push(Text::new(path.to_owned(), ""));
        let message = format!("`{path}` is larger than {} KiB", yaml::MOST_BYTES >> 10);
        sink.add(Draft::new("too-large", start, message).unseen());
        return None;
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            let good = good.strip_prefix('\u{feff}').unwrap_or(&good);
            let at = Span { file, start: good.len(), end: good.len() };
            texts.push(Text::new(path.to_owned(), good));
            let message = "this is not UTF-8 from here on";
            sink.add(Draft::new("yaml", at, message).unseen());
            return None;
        }
    };
    texts.push(Text::new(path.to_owned(), text));
    yaml::parse(file, text, sink)
}

/// The fault of a file that could not be read.
pub(crate) fn unreadable(path: &Utf8Path, error: &io::Error, at: Span) -> Draft {
    match error.kind() {
        io::ErrorKind::NotFound => missing_file(path, at),
        _ => Draft::new("unreadable-file", at, format!("cannot read `{path}`: {error}")),
    }
}

/// The fault of a file that is not there.
pub(crate) fn missing_file(path: &Utf8Path, at: Span) -> Draft {
    Draft::new("missing-file", at, format!("there is no file `{path}`"))
}

/// The path that a text in a file means: relative to that file, with `~/` for the home directory.
pub(crate) fn beside(file: &Utf8Path, text: &str, source: &dyn Source) -> Utf8PathBuf {
    if let (Some(rest), Some(home)) = (text.strip_prefix("~/"), source.home()) {
        return home.join(rest);
    }
    let text = text.strip_prefix("./").unwrap_or(text);
    match file.parent() {
        Some(parent) if !parent.as_str().is_empty() => parent.join(text),
        _ => Utf8PathBuf::from(text),
    }
}

/// The same path in one spelling, to see whether two are the same. Links are not followed: a cycle
/// through one ends at [`MOST_FILES`].
fn normal(path: &Utf8Path) -> Utf8PathBuf {
    let mut parts: Vec<Utf8Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Utf8Component::CurDir, _) => {}
            (Utf8Component::ParentDir, Some(Utf8Component::Normal(_))) => {
                parts.pop();
            }
            (part, _) => parts.push(part),
        }
    }
    parts.iter().collect()
}

/// Puts `over` on top of `base`. Inside variables, null is a value like any other where there is
/// nothing to remove.
fn merge(base: Node, over: Node, variables: bool, sink: &mut Sink) -> Node {
    let (mut entries, changes) = match (base.kind, over.kind) {
        (Kind::Map(base), Kind::Map(over)) => (base.into_iter().map(Some).collect(), over),
        (_, Kind::Map(over)) => (Vec::new(), over),
        (_, kind) => return Node { at: over.at, kind },
    };
    let places: HashMap<String, usize> = entries
        .iter()
        .enumerate()
        .filter_map(|(at, entry): (usize, &Option<Entry>)| {
            Some((entry.as_ref()?.key.text.clone(), at))
        })
        .collect();
    for Entry { key, value } in changes {
        let inner = variables || key.text == "vars";
        match places.get(&key.text) {
            Some(&at) if value.is_null() => entries[at] = None,
            Some(&at) => {
                let below = entries[at].take();
                let value = match below {
                    Some(below) => merge(below.value, value, inner, sink),
                    None => value,
                };
                entries[at] = Some(Entry { key, value });
            }
            None if value.is_null() && !variables => {
                let message =
                    format!("there is no `{}` in the extended file to remove", clip(&key.text));
                let near = match sink.full() {
                    true => None,
                    false => nearest(&key.text, places.keys().map(String::as_str)),
                };
                let help = near.map(|near| format!("did you mean `{near}`?"));
                sink.add(Draft::new("nothing-to-remove", key.at, message).help(help));
            }
            None => entries.push(Some(Entry { key, value })),
        }
    }
    Node { at: over.at, kind: Kind::Map(entries.into_iter().flatten().collect()) }
}
