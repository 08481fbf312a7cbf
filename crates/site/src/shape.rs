//! A tree against the table: keys, types and formats.
//!
//! Tells everything that can be told without looking at another part of the file. What passes can be
//! decoded; what does not is left out by [`crate::check`] without another word.
//! Never here: names that refer to something, files.

use crate::fault::{Draft, Sink};
use crate::format::Format;
use crate::node::{Entry, Kind, Node, ScalarValue};
use crate::suggest::nearest;
use crate::table::{Field, Form, Need, Shape};
use crate::text::Span;
use crate::yaml::clip;

/// Checks the whole file.
pub(crate) fn check(root: &Node, shape: &'static Shape, sink: &mut Sink) {
    let start = Span { end: root.at.start, ..root.at };
    shaped(root, start, shape, "the site file", sink);
}

/// Checks a value against its form. `at` is its key; `whose` says what it is, such as
/// "`memory` of group `web`".
pub(crate) fn value(node: &Node, at: Span, form: &'static Form, whose: &str, sink: &mut Sink) {
    // Reading already said why this value is none, or an alias brought it here a second time.
    if sink.knows(node.at) {
        return;
    }
    match form {
        Form::Text(format) => text(node, *format, whose, sink),
        Form::Word(words, later) => word(node, words, later, whose, sink),
        Form::Int { min, max } => int(node, *min, *max, whose, sink),
        Form::Flag => {
            if !matches!(&node.kind, Kind::Scalar(s) if matches!(s.value, ScalarValue::Bool(_))) {
                sink.add(wrong_type(node, "true or false", whose));
            }
        }
        Form::List(item) => list(node, at, item, whose, sink),
        Form::Named(noun, format, form) => {
            if !matches!(node.kind, Kind::Map(_)) {
                let help = format!("write a name for each {noun}, and what it is under it");
                sink.add(wrong_type(node, "a map", whose).help(help));
            }
            for entry in node.entries() {
                name(entry, *format, sink);
                let whose = format!("{noun} `{}`", clip(&entry.key.text));
                value(&entry.value, entry.key.at, form, &whose, sink);
            }
        }
        Form::Shape(shape) => shaped(node, at, shape, whose, sink),
        Form::Either(scalar, shape) => match &node.kind {
            Kind::Map(_) => shaped(node, at, shape, whose, sink),
            Kind::Scalar(_) => value(node, at, scalar, whose, sink),
            Kind::List(_) => {
                let keys: Vec<&str> = shape.keys.iter().map(|field| field.name).collect();
                let help = format!("a map would have the keys {}", listed(&keys));
                sink.add(wrong_type(node, "a number or a map", whose).help(help));
            }
        },
        Form::Vars => {
            if !matches!(node.kind, Kind::Map(_)) {
                sink.add(wrong_type(node, "a map of variables", whose));
            }
            for entry in node.entries() {
                name(entry, Format::VariableName, sink);
            }
        }
        Form::Anything => {}
    }
}

/// Checks a map with known keys. What is missing is told at `at`.
pub(crate) fn shaped(node: &Node, at: Span, shape: &'static Shape, whose: &str, sink: &mut Sink) {
    if !matches!(node.kind, Kind::Map(_)) {
        let help = format!("its keys are {}", known_keys(shape));
        return sink.add(wrong_type(node, "a map", whose).help(help));
    }
    for entry in node.entries() {
        match shape.field(&entry.key.text) {
            Some(field) => known(entry, field, shape, whose, sink),
            None => unknown(entry, node, shape, whose, sink),
        }
    }
    for field in shape.keys.iter().filter(|field| field.need == Need::Required) {
        if node.get(field.name).is_none() {
            let help = format!("add `{}: {}`", field.name, field.example);
            let message = format!("{whose} has no `{}`", field.name);
            sink.add(Draft::new("missing-key", at, message).about(field.name).help(help));
        }
    }
    let found: Vec<&Entry> = shape.one_of.iter().filter_map(|key| node.entry(key)).collect();
    if let ([], [first, ..]) = (found.as_slice(), shape.one_of) {
        let help = shape.field(first).map(|f| format!("add `{}: {}`", f.name, f.example));
        let message = format!("{whose} needs {}", either(shape.one_of));
        sink.add(Draft::new("missing-key", at, message).about("one of").help(help));
    }
    if let [first, second, ..] = found.as_slice() {
        let message = format!("{whose} has both `{}` and `{}`", first.key.text, second.key.text);
        let draft = Draft::new("exclusive-keys", second.key.at, message)
            .also(first.key.at, "there is already this one")
            .help(format!("keep {}", either(shape.one_of)));
        sink.add(draft);
    }
    for (key, with) in shape.only_with {
        // With none of the exclusive keys there, only that is said.
        let told = with.iter().any(|with| shape.one_of.contains(with)) && found.is_empty();
        let alone = with.iter().all(|with| node.get(with).is_none());
        if let (Some(entry), true, false) = (node.entry(key), alone, told) {
            let message = format!("`{key}` makes sense only beside {}", either(with));
            sink.add(Draft::new("useless-key", entry.key.at, message));
        }
    }
    for (key, needed) in shape.needs {
        if let (Some(entry), None) = (node.entry(key), node.get(needed)) {
            let help = shape.field(needed).map(|f| format!("add `{}: {}`", f.name, f.example));
            let message = format!("{whose} has `{key}` and no `{needed}`");
            sink.add(Draft::new("missing-key", entry.key.at, message).about(needed).help(help));
        }
    }
}

fn known(entry: &Entry, field: &'static Field, shape: &Shape, whose: &str, sink: &mut Sink) {
    if field.need == Need::NotYet {
        let message = format!("`{}` is not possible in this version of Updraft", field.name);
        let draft = Draft::new("not-yet", entry.key.at, message);
        sink.add(draft.help("the key is reserved for it; leave it out until then".to_owned()));
    }
    let inner = match shape.id {
        "site" => format!("`{}`", field.name),
        _ => format!("`{}` of {whose}", field.name),
    };
    value(&entry.value, entry.key.at, &field.form, &inner, sink);
}

fn unknown(entry: &Entry, node: &Node, shape: &'static Shape, whose: &str, sink: &mut Sink) {
    let key = entry.key.text.as_str();
    let free = || shape.keys.iter().filter(|field| node.get(field.name).is_none());
    let help = if sink.full() {
        None
    } else if let Some(near) = nearest(key, shape.keys.iter().map(|field| field.name)) {
        Some(format!("did you mean `{near}`?"))
    } else if let Some(field) = free().find(|field| field.also.contains(&key)) {
        Some(format!("it is called `{}` here", field.name))
    } else if let Some(field) =
        shape.keys.iter().find(|f| f.form.shape().is_some_and(|s| s.field(key).is_some()))
    {
        Some(match field.form {
            Form::Named(noun, ..) => format!("`{key}` belongs to a {noun} under `{}`", field.name),
            _ => format!("`{key}` belongs under `{}`", field.name),
        })
    } else {
        Some(match shape.keys {
            [_] => format!("the only key here is {}", known_keys(shape)),
            _ => format!("known here are {}", known_keys(shape)),
        })
    };
    let message = format!("unknown key `{}` in {whose}", clip(key));
    sink.add(Draft::new("unknown-key", entry.key.at, message).help(help));
}

fn text(node: &Node, format: Format, whose: &str, sink: &mut Sink) {
    if let Some(text) = node.text() {
        if let Err(misfit) = format.check(text) {
            let draft = Draft::new(misfit.code, node.at, misfit.message).help(misfit.help);
            let secret = ["private-key", "password-in-url"].contains(&misfit.code);
            sink.add(if secret { draft.unseen() } else { draft });
        }
        return;
    }
    let draft = wrong_type(node, format.describe(), whose);
    sink.add(match &node.kind {
        Kind::Scalar(scalar) if !node.is_null() => draft.help(match scalar.value {
            // Every decimal place is part of a version: 1.10 and 1.1 are two.
            ScalarValue::Float(float) if float.to_string() != scalar.text => {
                format!("{}; without them it is {float}", format.instead_of(&scalar.text))
            }
            _ => format.instead_of(&scalar.text),
        }),
        _ => draft,
    });
}

/// The keys that are possible in this version.
fn known_keys(shape: &Shape) -> String {
    let possible = shape.keys.iter().filter(|field| field.need != Need::NotYet);
    listed(&possible.map(|field| field.name).collect::<Vec<_>>())
}

fn word(
    node: &Node,
    words: &'static [&'static str],
    later: &'static [&'static str],
    whose: &str,
    sink: &mut Sink,
) {
    let Some(text) = node.text() else {
        return sink.add(wrong_type(node, &either(words), whose));
    };
    if words.contains(&text) {
        return;
    }
    if later.contains(&text) {
        let message = format!("`{text}` is not possible in this version of Updraft");
        let help = format!("possible are {}", listed(words));
        return sink.add(Draft::new("not-yet", node.at, message).help(help));
    }
    let message = format!("{whose} cannot be `{}`", clip(text));
    let help = match nearest(text, words.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("possible are {}", listed(words)),
    };
    sink.add(Draft::new("unknown-word", node.at, message).help(help));
}

fn int(node: &Node, min: i64, max: i64, whose: &str, sink: &mut Sink) {
    let Some(number) = node.int() else {
        let draft = wrong_type(node, "a whole number", whose);
        let quoted = node.text().filter(|text| text.parse::<i64>().is_ok());
        return sink.add(draft.help(quoted.map(|text| format!("write {text} without quotes"))));
    };
    if number < i128::from(min) || number > i128::from(max) {
        let message = match number < i128::from(min) {
            true => format!("{whose} is {number}, but must be at least {min}"),
            false => format!("{whose} is {number}, but can be at most {max}"),
        };
        sink.add(Draft::new("out-of-range", node.at, message));
    }
}

fn list(node: &Node, at: Span, item: &'static Form, whose: &str, sink: &mut Sink) {
    let Kind::List(items) = &node.kind else {
        let draft = wrong_type(node, "a list", whose);
        let one = node.text().filter(|text| !text.contains(['\n', ',', '[', ']', '{', '}', '"']));
        return sink.add(draft.help(one.map(|one| format!("write [{}]", clip(one)))));
    };
    if items.is_empty() {
        let message = format!("{whose} is empty");
        sink.add(
            Draft::new("empty", at, message)
                .help("leave the key out, or name something".to_owned()),
        );
    }
    let mut seen = std::collections::HashMap::new();
    for node in items {
        value(node, node.at, item, &format!("an item of {whose}"), sink);
        let Some(text) = node.text() else { continue };
        if let Some(first) = seen.insert(text, node.at).filter(|first| *first != node.at) {
            let draft = Draft::new(
                "duplicate-item",
                node.at,
                format!("`{}` stands here twice", clip(text)),
            )
            .label("a second time")
            .also(first, "the first time");
            sink.add(draft);
        }
    }
}

/// Checks a name that stands as a key.
fn name(entry: &Entry, format: Format, sink: &mut Sink) {
    if let Err(misfit) = format.check(&entry.key.text) {
        sink.add(Draft::new(misfit.code, entry.key.at, misfit.message).help(misfit.help));
    }
}

fn wrong_type(node: &Node, expected: &str, whose: &str) -> Draft {
    let message = match &node.kind {
        Kind::Scalar(scalar) if !node.is_null() => {
            format!(
                "{whose} must be {expected}, but `{}` is {}",
                clip(&scalar.text),
                node.describe()
            )
        }
        _ => format!("{whose} must be {expected}, but there is {}", node.describe()),
    };
    Draft::new("wrong-type", node.at, message)
}

/// "`a`, `b` or `c`".
pub(crate) fn either(words: &[&str]) -> String {
    listed(words).replace("` and `", "` or `")
}

/// "`a`, `b` and `c`".
pub(crate) fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [most @ .., last] => {
            let most: Vec<_> = most.iter().map(|word| format!("`{word}`")).collect();
            format!("{} and `{last}`", most.join(", "))
        }
    }
}
