//! `apt_repository`: a line is in apt's list of sources, or is not.

use crate::args::Args;
use crate::attributes::Attributes;
use crate::context::Context;
use crate::module::apt;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LIST: &str = "/etc/apt/sources.list";
const PARTS: &str = "/etc/apt/sources.list.d";

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let repo = args.text("repo").trim();
    if repo.starts_with("ppa:") {
        return Err(fail!("{repo}: personal archives are not supported, give the whole deb line"));
    }
    let wanted = Source::parse(repo).ok_or_else(|| fail!("Invalid repository string: {repo}"))?;
    if !wanted.enabled {
        return Err(fail!("Invalid repository string: {repo}"));
    }
    let present = args.text("state") == "present";
    let before = read_all()?;
    let file = match args.str("filename") {
        Some(name) if name.starts_with('/') => PathBuf::from(with_ending(name)),
        Some(name) => Path::new(PARTS).join(with_ending(name)),
        None => Path::new(PARTS).join(suggested_name(repo)),
    };
    let after = edit(&before, &wanted, present.then_some(file.as_path()));
    let changed = after != before;
    let added: Vec<String> = after
        .keys()
        .filter(|path| !before.contains_key(*path))
        .map(|path| path.display().to_string())
        .collect();
    let removed: Vec<String> = before
        .keys()
        .filter(|path| !after.contains_key(*path))
        .map(|path| path.display().to_string())
        .collect();
    let mut outcome = Outcome::changed(changed)
        .with("repo", repo)
        .with("state", args.text("state"))
        .with("sources_added", added)
        .with("sources_removed", removed);
    if ctx.diff {
        outcome = outcome.with("diff", diff(&before, &after));
    }
    if changed && !ctx.check {
        write_all(&before, &after, args, ctx)?;
        if args.flag("update_cache") {
            let updated = apt::update(args, ctx);
            if let Err(fault) = updated {
                // Sources that cannot be read would break every later use of apt.
                write_all(&after, &before, args, ctx)?;
                return Err(fault);
            }
        }
    }
    Ok(outcome)
}

type Files = BTreeMap<PathBuf, String>;

fn read_all() -> Result<Files, Fault> {
    let mut paths = vec![PathBuf::from(LIST)];
    for entry in fs::read_dir(PARTS).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "list") {
            paths.push(path);
        }
    }
    let existing = paths.into_iter().filter(|path| path.is_file());
    existing
        .map(|path| {
            let text = fs::read(&path).or_fail(format!("cannot read {}", path.display()))?;
            Ok((path, String::from_utf8_lossy(&text).into_owned()))
        })
        .collect()
}

fn write_all(before: &Files, after: &Files, args: &Args, ctx: &Context) -> Result<(), Fault> {
    let attributes = Attributes::asked(args);
    for (path, text) in after.iter().filter(|(path, text)| before.get(*path) != Some(text)) {
        let what = format!("cannot write {}", path.display());
        fs::create_dir_all(place::parent(path)).or_fail(&what)?;
        let scratch = place::Scratch::holding(&ctx.staging, "", text.as_bytes()).or_fail(&what)?;
        place::replace(scratch.path(), path, true, false)?;
        attributes.ensure(path, None, ctx)?;
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        fs::remove_file(path).or_fail(format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn diff(before: &Files, after: &Files) -> serde_json::Value {
    let mut changes = Vec::new();
    for path in before.keys().chain(after.keys().filter(|path| !before.contains_key(*path))) {
        if before.get(path) == after.get(path) {
            continue;
        }
        let header = |files: &Files| match files.contains_key(path) {
            true => path.display().to_string(),
            false => "/dev/null".to_owned(),
        };
        changes.push(json!({
            "before": before.get(path).cloned().unwrap_or_default(),
            "before_header": header(before),
            "after": after.get(path).cloned().unwrap_or_default(),
            "after_header": header(after),
        }));
    }
    changes.into()
}

/// One line of a sources file (sources.list(5)).
#[derive(Clone, Debug)]
struct Source {
    enabled: bool,
    /// The line without comments and with single spaces.
    text: String,
}

impl Source {
    fn parse(line: &str) -> Option<Self> {
        let trimmed = line.trim();
        let (enabled, rest) = match trimmed.strip_prefix('#') {
            Some(rest) => (false, rest.trim_start_matches('#').trim()),
            None => (true, trimmed),
        };
        let text = rest.split('#').next().unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let source = matches!(words.first(), Some(&("deb" | "deb-src")));
        (source && words.len() >= 3).then(|| Self { enabled, text: words.join(" ") })
    }
}

/// What becomes of the files when a source is put into `to`, or taken out everywhere.
fn edit(before: &Files, wanted: &Source, to: Option<&Path>) -> Files {
    let mut after = Files::new();
    let mut found = false;
    for (path, text) in before {
        let mut lines = Vec::new();
        let mut touched = false;
        for line in text.lines() {
            let same = Source::parse(line).filter(|source| source.text == wanted.text);
            match (same, to) {
                (None, _) => lines.push(line.to_owned()),
                (Some(source), Some(_)) => {
                    found = true;
                    if source.enabled {
                        lines.push(line.to_owned());
                    } else {
                        touched = true;
                        lines.push(wanted.text.clone());
                    }
                }
                (Some(source), None) if source.enabled => touched = true,
                (Some(_), None) => lines.push(line.to_owned()),
            }
        }
        if !touched {
            after.insert(path.clone(), text.clone());
        } else if lines.iter().any(|line| !line.trim().is_empty()) {
            let text = lines.iter().map(|line| format!("{line}\n")).collect();
            after.insert(path.clone(), text);
        }
    }
    if let (Some(to), false) = (to, found) {
        let text = after.entry(to.to_owned()).or_default();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("{}\n", wanted.text));
    }
    after
}

fn with_ending(name: &str) -> String {
    if name.ends_with(".list") { name.to_owned() } else { format!("{name}.list") }
}

/// The file name Ansible makes from a source line: its address with underscores.
fn suggested_name(repo: &str) -> String {
    let without_options = match (repo.find('['), repo.find(']')) {
        (Some(start), Some(end)) if start < end => {
            format!("{}{}", &repo[..start], &repo[end + 1..])
        }
        _ => repo.to_owned(),
    };
    let address = without_options
        .split_whitespace()
        .find(|word| !matches!(*word, "deb" | "deb-src"))
        .unwrap_or_default();
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let address = address.split_once('@').map_or(address, |(_, rest)| rest);
    let words: Vec<&str> =
        address.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    format!("{}.list", words.join("_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPO: &str = "deb [arch=amd64] https://u:p@apt.example.test/debian bookworm main";

    fn files(entries: &[(&str, &str)]) -> Files {
        entries.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect()
    }

    #[test]
    fn a_source_is_added_enabled_and_removed() {
        let source = Source::parse(REPO).unwrap();
        let to = Path::new("/d/x.list");
        let empty = files(&[("/l", "deb http://a b c\n")]);
        let line = format!("{REPO}\n");
        let with = files(&[("/d/x.list", line.as_str()), ("/l", "deb http://a b c\n")]);
        assert_eq!(edit(&empty, &source, Some(to)), with);
        assert_eq!(edit(&with, &source, Some(to)), with);
        assert_eq!(edit(&with, &source, None), empty);
        let spaced = REPO.replace(' ', "   ");
        let commented = files(&[("/l", &format!("# {spaced}\n# note\n"))]);
        let enabled = files(&[("/l", &format!("{REPO}\n# note\n"))]);
        assert_eq!(edit(&commented, &source, Some(to)), enabled);
        assert_eq!(edit(&commented, &source, None), commented);
    }

    #[test]
    fn files_are_named_after_the_address() {
        assert_eq!(suggested_name(REPO), "apt_example_test_debian.list");
        assert_eq!(
            suggested_name("deb http://dl.google.com/linux/chrome/deb/ stable main"),
            "dl_google_com_linux_chrome_deb.list"
        );
        assert!(Source::parse("deb http://x").is_none());
        assert!(Source::parse("# just words").is_none());
    }
}
