//! `ini_file`: an option of a section has these values, or is not there.

use crate::args::Args;
use crate::attributes::Attributes;
use crate::context::Context;
use crate::outcome::{Done, OrFail, Outcome, fail};
use crate::place::{self, Rewrite};
use serde_json::json;
use std::fs;
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let shown = args.text("path");
    let given = Path::new(shown);
    let real = place::real(given);
    let path = if args.flag("follow") { real.as_path() } else { given };
    let exists = path.exists();
    let present = args.text("state") == "present";
    if !exists && !args.flag("create") && present {
        return Err(fail!("Destination {shown} does not exist!").with("rc", 257));
    }
    let wanted = Wanted {
        section: args.str("section").unwrap_or_default(),
        option: args.str("option"),
        values: match (args.str("value"), args.raw("values")) {
            (Some(value), _) => vec![value.to_owned()],
            (None, Some(_)) => args.list("values"),
            (None, None) => Vec::new(),
        },
        present,
        exclusive: args.flag("exclusive"),
        tight: args.flag("no_extra_spaces"),
        ignore_spaces: args.flag("ignore_spaces"),
        bare: args.flag("allow_no_value"),
        revive: args.flag("modify_inactive_option"),
    };
    if present && wanted.option.is_some() && wanted.values.is_empty() && !wanted.bare {
        return Err(fail!("Parameter 'value(s)' must be defined if state=present."));
    }
    let before = if exists {
        fs::read_to_string(path).or_fail(format!("cannot read {shown}"))?
    } else {
        String::new()
    };
    // As community.general's: an empty file has an empty line, and a last line without an end gets
    // one, which is a change.
    let whole = match before.strip_suffix('\n') {
        Some(_) => before.clone(),
        None => format!("{before}\n"),
    };
    let (after, message) = wanted.apply(&whole);
    let message = if after == whole { "OK" } else { message };
    let mut changed = after != whole || !before.is_empty() && whole != before;
    let after = if changed { after } else { before.clone() };
    let mut backup = None;
    if changed && !ctx.check {
        let dir = place::parent(path);
        fs::create_dir_all(dir).or_fail(format!("cannot create {}", dir.display()))?;
        let rewrite = Rewrite {
            backup: args.flag("backup"),
            validate: None,
            unsafe_writes: args.flag("unsafe_writes"),
        };
        backup = place::rewrite(path, after.as_bytes(), &rewrite, ctx)?;
    }
    if path.exists() {
        changed |= Attributes::asked(args).ensure(path, None, ctx)?;
    }
    let outcome = Outcome::changed(changed)
        .with("path", shown)
        .with("msg", message)
        .with_some("backup_file", backup);
    Ok(if ctx.diff {
        let content = json!({
            "before_header": format!("{shown} (content)"), "after_header": format!("{shown} (content)"),
            "before": before, "after": after,
        });
        outcome.with("diff", content)
    } else {
        outcome
    })
}

struct Wanted<'a> {
    /// Empty is what stands before the first section.
    section: &'a str,
    option: Option<&'a str>,
    values: Vec<String>,
    present: bool,
    /// No other values.
    exclusive: bool,
    tight: bool,
    ignore_spaces: bool,
    /// An option may stand without a value.
    bare: bool,
    /// A line that is a comment may become the option.
    revive: bool,
}

/// An option in a line of a file.
struct Found<'l> {
    active: bool,
    /// None without an equals sign.
    value: Option<&'l str>,
}

impl Wanted<'_> {
    /// The new text, and what was done to it.
    fn apply(&self, text: &str) -> (String, &'static str) {
        let lines: Vec<&str> = text.lines().collect();
        let header =
            |line: &str| line.trim().strip_prefix('[')?.strip_suffix(']').map(str::to_owned);
        let start = if self.section.is_empty() {
            Some(0)
        } else {
            let at = lines.iter().position(|line| header(line).as_deref() == Some(self.section));
            at.map(|at| at + 1)
        };
        let Some(start) = start else { return self.without_section(text) };
        let end = lines[start..].iter().position(|line| header(line).is_some());
        let end = end.map_or(lines.len(), |length| start + length);
        let Some(option) = self.option else {
            if self.present || self.section.is_empty() {
                return (text.to_owned(), "OK");
            }
            let kept = [&lines[..start - 1], &lines[end..]].concat();
            return (joined(kept.iter().map(|line| (*line).to_owned())), "section removed");
        };
        let (body, message) = self.section_with(option, &lines[start..end]);
        let head = lines[..start].iter().map(|line| (*line).to_owned());
        let tail = lines[end..].iter().map(|line| (*line).to_owned());
        if body.iter().eq(&lines[start..end]) {
            return (text.to_owned(), "OK");
        }
        (joined(head.chain(body).chain(tail)), message)
    }

    fn without_section(&self, text: &str) -> (String, &'static str) {
        if !self.present {
            return (text.to_owned(), "OK");
        }
        let mut out = text.to_owned();
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&format!("[{}]\n", self.section));
        let Some(option) = self.option else { return (out, "only section added") };
        for value in self.wanted_values() {
            out.push_str(&self.line(option, value));
            out.push('\n');
        }
        (out, "section and option added")
    }

    fn wanted_values(&self) -> Vec<Option<&str>> {
        match self.values.as_slice() {
            [] => vec![None],
            values => values.iter().map(|value| Some(value.as_str())).collect(),
        }
    }

    fn line(&self, option: &str, value: Option<&str>) -> String {
        match value {
            None => option.to_owned(),
            Some(value) if self.tight => format!("{option}={value}"),
            Some(value) => format!("{option} = {value}"),
        }
    }

    /// The lines of the section with the option as it is asked for.
    fn section_with(&self, option: &str, lines: &[&str]) -> (Vec<String>, &'static str) {
        let found = |line: &'_ str| -> Option<(bool, Option<String>)> {
            let found = option_in(line, option)?;
            Some((found.active, found.value.map(str::to_owned)))
        };
        if !self.present {
            let gone = |line: &str| match found(line) {
                Some((true, value)) => {
                    self.exclusive || value.is_some_and(|value| self.values.contains(&value))
                }
                _ => false,
            };
            let kept = lines.iter().filter(|line| !gone(line)).map(|line| (*line).to_owned());
            return (kept.collect(), "option removed");
        }
        let mut missing = self.wanted_values();
        let mut out: Vec<Option<String>> =
            lines.iter().map(|line| Some((*line).to_owned())).collect();
        let mut settled = vec![false; lines.len()];
        // What has its value already stays where it is.
        for (index, line) in lines.iter().enumerate() {
            let Some((true, value)) = found(line) else { continue };
            if let Some(at) = missing.iter().position(|wanted| *wanted == value.as_deref()) {
                missing.remove(at);
                settled[index] = true;
                if !self.ignore_spaces {
                    out[index] = Some(self.line(option, value.as_deref()));
                }
            }
        }
        let mut message = "option changed";
        if self.exclusive {
            // What has another value gets one that is missing, or goes; comments only get one.
            for active in [true, false] {
                for (index, line) in lines.iter().enumerate().filter(|(at, _)| !settled[*at]) {
                    let is = found(line).is_some_and(|(is, _)| is == active);
                    if !is || (!active && (missing.is_empty() || !self.revive)) {
                        continue;
                    }
                    out[index] = if missing.is_empty() {
                        None
                    } else {
                        Some(self.line(option, missing.remove(0)))
                    };
                }
            }
        }
        let mut out: Vec<String> = out.into_iter().flatten().collect();
        if !missing.is_empty() {
            message = "option added";
            let at = out.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |at| at + 1);
            let new = missing.into_iter().map(|value| self.line(option, value));
            out.splice(at..at, new.collect::<Vec<_>>());
        }
        (out, message)
    }
}

/// `option = value` of a line, also where it is a comment.
fn option_in<'l>(line: &'l str, option: &str) -> Option<Found<'l>> {
    let text = line.trim_start_matches([' ', '\t']);
    let (active, text) = match text.strip_prefix(['#', ';']) {
        Some(rest) => (false, rest.trim_start_matches([' ', '\t'])),
        None => (true, text),
    };
    let rest = text.strip_prefix(option)?.trim_start_matches([' ', '\t']);
    match rest.strip_prefix('=') {
        Some(value) => Some(Found { active, value: Some(value.trim()) }),
        None if rest.trim().is_empty() => Some(Found { active, value: None }),
        None => None,
    }
}

fn joined(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "top = 1\n\n[a]\n# x = 0\nx = 1\ny=2\n\n[b]\nx = 9\n";

    fn wanted<'a>(section: &'a str, option: &'a str, values: &[&str]) -> Wanted<'a> {
        Wanted {
            section,
            option: Some(option),
            values: values.iter().map(|&value| value.to_owned()).collect(),
            present: true,
            exclusive: true,
            tight: false,
            ignore_spaces: false,
            bare: false,
            revive: true,
        }
    }

    #[test]
    fn an_option_is_changed_added_and_removed_in_its_own_section() {
        let (text, message) = wanted("a", "x", &["5"]).apply(FILE);
        assert_eq!(
            (text.as_str(), message),
            (FILE.replace("x = 1", "x = 5").as_str(), "option changed")
        );
        assert_eq!(wanted("a", "x", &["5"]).apply(&text).0, text);
        let (text, message) = wanted("a", "z", &["3"]).apply(FILE);
        assert_eq!(
            (text.as_str(), message),
            (FILE.replace("y=2\n", "y=2\nz = 3\n").as_str(), "option added")
        );
        let (text, message) = wanted("c", "z", &["3"]).apply(FILE);
        assert_eq!((text, message), (format!("{FILE}[c]\nz = 3\n"), "section and option added"));
        let absent = Wanted { present: false, ..wanted("a", "x", &[]) };
        assert_eq!(absent.apply(FILE), (FILE.replace("x = 1\n", ""), "option removed"));
        assert_eq!(wanted("", "top", &["2"]).apply(FILE).0, FILE.replace("top = 1", "top = 2"));
        let section = Wanted { option: None, ..absent };
        assert_eq!(section.apply(FILE).0, "top = 1\n\n[b]\nx = 9\n");
    }

    #[test]
    fn spaces_comments_and_several_values_are_as_asked() {
        assert_eq!(wanted("a", "y", &["2"]).apply(FILE).0, FILE.replace("y=2", "y = 2"));
        let loose = Wanted { ignore_spaces: true, ..wanted("a", "y", &["2"]) };
        assert_eq!(loose.apply(FILE).0, FILE);
        assert_eq!(wanted("s", "k", &["1"]).apply("[s]\n#k = 0\n").0, "[s]\nk = 1\n");
        let still = Wanted { revive: false, ..wanted("s", "k", &["1"]) };
        assert_eq!(still.apply("[s]\n#k = 0\n").0, "[s]\n#k = 0\nk = 1\n");
        assert_eq!(
            wanted("s", "k", &["1", "2"]).apply("[s]\nk = 2\nk = 3\nk = 4\n").0,
            "[s]\nk = 2\nk = 1\n"
        );
        let more = Wanted { exclusive: false, ..wanted("s", "k", &["1"]) };
        assert_eq!(more.apply("[s]\nk = 2\n").0, "[s]\nk = 2\nk = 1\n");
        let bare = Wanted { bare: true, ..wanted("s", "k", &[]) };
        assert_eq!(bare.apply("").0, "[s]\nk\n");
    }
}
