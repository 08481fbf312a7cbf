//! Markdown is never hard-wrapped, and decisions are numbered without gaps.
//!
//! A paragraph is one line, so that a changed word is one changed line and every reader's window
//! wraps for itself. Never here: grammar, spelling, links to other sites.

use super::Fault;
use super::tree::{File, Tree};

/// Lines of this many characters look as if a person or an editor had broken them.
const LOOKS_WRAPPED: std::ops::RangeInclusive<usize> = 50..=110;
const DECISIONS: &str = "docs/decisions/";

pub(super) fn check(tree: &Tree, faults: &mut Vec<Fault>) {
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md") && !file.is_data()) {
        check_wrapping(file, faults);
        check_links(tree, file, faults);
    }
    check_numbers(tree, faults);
}

/// Finds paragraphs of two or more lines where a line that is not the last ends inside a sentence.
fn check_wrapping(file: &File, faults: &mut Vec<Fault>) {
    let mut fence: Option<&str> = None;
    let mut before: Option<(usize, &str)> = None;
    let mut reported = false;
    for (number, line) in file.lines() {
        let text = line.trim_start();
        let marker = ["```", "~~~"].into_iter().find(|marker| text.starts_with(marker));
        if let Some(marker) = marker {
            fence = match fence {
                Some(open) if open == marker => None,
                Some(open) => Some(open),
                None => Some(marker),
            };
            before = None;
            continue;
        }
        if fence.is_some() || text.is_empty() {
            (before, reported) = (None, false);
            continue;
        }
        let continues = !starts_a_block(text);
        if let Some((start, earlier)) = before
            && continues
            && !reported
            && LOOKS_WRAPPED.contains(&earlier.chars().count())
            && !ends_a_sentence(earlier)
        {
            faults.push(Fault::new(
                &file.path,
                start,
                "hard-wrapped: write a paragraph as one line",
            ));
            reported = true;
        }
        before = Some((number, line));
    }
}

/// Lines that begin something of their own and so cannot be the rest of the line above.
fn starts_a_block(text: &str) -> bool {
    let numbered =
        text.split_once(". ").is_some_and(|(n, _)| n.chars().all(|c| c.is_ascii_digit()));
    numbered || text.starts_with(['#', '|', '>', '<', '[', '-', '*', '+', '='])
}

fn ends_a_sentence(line: &str) -> bool {
    // Two spaces or a backslash at the end are Markdown's own line break.
    line.ends_with("  ")
        || line.trim_end().ends_with(['.', ':', '!', '?', '\\', '|', ')', '`', '>'])
}

/// A link to a file of this repository leads somewhere.
fn check_links(tree: &Tree, file: &File, faults: &mut Vec<Fault>) {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut fenced = false;
    for (number, line) in file.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let Some((target, _)) = rest.split_once(')') else { continue };
            let target = target.split('#').next().unwrap_or("");
            if target.is_empty() || target.contains(':') || target.contains(' ') {
                continue;
            }
            let path = resolve(folder, target);
            let exists =
                tree.get(&path).is_some() || path.is_empty() || tree.below(&path).next().is_some();
            if !exists {
                faults.push(Fault::new(
                    &file.path,
                    number,
                    format!("the link `{target}` leads nowhere"),
                ));
            }
        }
    }
}

fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn check_numbers(tree: &Tree, faults: &mut Vec<Fault>) {
    let mut expected = 1;
    for file in &tree.files {
        let Some(name) = file.path.strip_prefix(DECISIONS) else { continue };
        if name == "README.md" {
            continue;
        }
        let number = name.split_once('-').map_or("", |(number, _)| number);
        let well_formed = number.len() == 4 && name.ends_with(".md");
        match number.parse::<u32>() {
            Ok(found) if well_formed && found == expected => expected += 1,
            Ok(found) if well_formed => {
                let message = format!("decision {found:04} stands where {expected:04} is due");
                faults.push(Fault::new(&file.path, 1, message));
                expected = found + 1;
            }
            _ => faults.push(Fault::new(&file.path, 1, "a decision is named NNNN-title.md")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_prose(files: &[(&str, &str)]) -> Vec<String> {
        let mut faults = Vec::new();
        check(&Tree::of(files), &mut faults);
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn a_paragraph_broken_inside_a_sentence_is_found_once() {
        let text = "# Title\n\nA paragraph that somebody broke by hand inside of its only\nsentence, so that the next editor has to break it again and\nagain whenever one word of it changes.\n";
        assert_eq!(
            check_prose(&[("a.md", text)]),
            ["a.md:3: hard-wrapped: write a paragraph as one line"]
        );
        let item =
            "- An item of a list that somebody broke by hand inside of its\n  only sentence.\n";
        assert_eq!(check_prose(&[("a.md", item)]).len(), 1);
    }

    #[test]
    fn lists_tables_code_and_one_sentence_a_line_are_fine() {
        let text = "One sentence stands on this line, and it is long enough to look.\nAnother sentence stands on the next line, and that is plain.\n\n- an item that is long enough to look as if it were broken\n- another item\n\n| a table row that is long enough to look as if it were it |\n| --- |\n\n```\ncode that is long enough to look as if it were hard-wrapped and\nmore of it\n```\n";
        assert_eq!(check_prose(&[("a.md", text)]), Vec::<String>::new());
    }

    #[test]
    fn a_link_inside_the_repository_leads_somewhere() {
        let text = "[code](../crates/base) [doc](glossary.md#site) [web](https://example.org) [gone](gone.md)\n";
        let files = [("docs/a.md", text), ("docs/glossary.md", ""), ("crates/base/Cargo.toml", "")];
        assert_eq!(check_prose(&files), ["docs/a.md:1: the link `gone.md` leads nowhere"]);
    }

    #[test]
    fn decisions_are_numbered_without_gaps() {
        let faults = check_prose(&[
            ("docs/decisions/0001-a.md", ""),
            ("docs/decisions/0003-c.md", ""),
            ("docs/decisions/0004-d.md", ""),
            ("docs/decisions/notes.md", ""),
        ]);
        assert_eq!(
            faults,
            [
                "docs/decisions/0003-c.md:1: decision 0003 stands where 0002 is due",
                "docs/decisions/notes.md:1: a decision is named NNNN-title.md",
            ]
        );
    }
}
