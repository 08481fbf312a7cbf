//! A plan as text that fits a screen, however many machines it touches.

use crate::{Change, ChangeKind, Plan};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The plan for people: destroyed, changed, created, each grouped by group. Machines with the
/// same story share a line.
pub fn render(plan: &Plan) -> String {
    if plan.is_empty() {
        return "Nothing to do.\n".to_owned();
    }
    let mut text = String::new();
    let sections: [(&str, &[ChangeKind]); 3] = [
        ("Destroy", &[ChangeKind::Destroy, ChangeKind::Replace]),
        ("Change", &[ChangeKind::Change]),
        ("Create", &[ChangeKind::Create]),
    ];
    let width = plan.changes.iter().map(|change| change.group.len()).max().unwrap_or(0);
    for (title, kinds) in sections {
        let stories = stories(plan.changes.iter().filter(|c| kinds.contains(&c.kind)));
        if stories.is_empty() {
            continue;
        }
        line(&mut text, title);
        for story in stories {
            let subjects = collapse(&story.subjects);
            let sign = sign(story.kind);
            let because = match story.because {
                "" => String::new(),
                because => format!("  {because}"),
            };
            line(&mut text, &format!("  {:width$}  {sign:>3} {subjects}{because}", story.group));
        }
        text.push('\n');
    }
    line(&mut text, &summary_line(plan));
    text
}

/// `1 to destroy, 2 to change, 3 to create`, with zero counts left out.
pub fn summary_line(plan: &Plan) -> String {
    let count =
        |kinds: &[ChangeKind]| plan.changes.iter().filter(|c| kinds.contains(&c.kind)).count();
    let parts: Vec<String> = [
        (count(&[ChangeKind::Destroy]), "to destroy"),
        (count(&[ChangeKind::Replace]), "to replace"),
        (count(&[ChangeKind::Change]), "to change"),
        (count(&[ChangeKind::Create]), "to create"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    match parts.is_empty() {
        true => "nothing to do".to_owned(),
        false => parts.join(", "),
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{}", line.trim_end()).expect("a string takes all text");
}

fn sign(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Destroy => "-",
        ChangeKind::Replace => "-/+",
        ChangeKind::Change => "~",
        ChangeKind::Create => "+",
    }
}

/// Subjects that share kind, group and reason.
struct Story<'a> {
    kind: ChangeKind,
    group: &'a str,
    because: &'a str,
    subjects: Vec<&'a str>,
}

fn stories<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<Story<'a>> {
    let mut index: BTreeMap<(ChangeKind, &str, &str), usize> = BTreeMap::new();
    let mut stories: Vec<Story<'a>> = Vec::new();
    for change in changes {
        let key = (change.kind, change.group.as_str(), change.because.as_str());
        let at = *index.entry(key).or_insert_with(|| {
            stories.push(Story { kind: key.0, group: key.1, because: key.2, subjects: Vec::new() });
            stories.len() - 1
        });
        stories[at].subjects.push(&change.subject);
    }
    stories
}

/// Names on one line: all of up to four, else the first two, the last, and how many.
pub(crate) fn collapse<T: AsRef<str>>(names: &[T]) -> String {
    match names {
        [first, second, .., last] if names.len() > 4 => {
            let (first, second, last) = (first.as_ref(), second.as_ref(), last.as_ref());
            format!("{first}, {second} … {last} ({})", names.len())
        }
        _ => names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
    }
}
