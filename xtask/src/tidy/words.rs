//! Words that do not belong in a committed text, and the places where one of them may stand.
//!
//! This file names them all and is the only one that is not searched. Never here: matters of taste.

use super::Fault;
use super::tree::{File, Tree};

/// A text that may not occur, and what to do instead.
struct Word {
    text: &'static str,
    /// Count the text only where no letter, digit, dot, brace or slash stands before it.
    alone: bool,
    /// What follows it where it is harmless.
    unless_followed_by: &'static [&'static str],
    advice: &'static str,
}

const WORDS: &[Word] = &[
    word("todo!(", "write it, or leave it out"),
    word("unimplemented!(", "write it, or leave it out"),
    word("dbg!(", "use tracing, or an assertion in a test"),
    word("FIXME", "fix it, or write `TODO(#N)` with an issue"),
    // Six of them are a template for mktemp.
    Word {
        text: "XXX",
        alone: true,
        unless_followed_by: &["X"],
        advice: "say what is wrong, with an issue: `TODO(#N)`",
    },
    word("#[ignore", "a test that does not run proves nothing; give it a tier instead"),
    word("allow(dead_code", "remove what nobody uses"),
    word("<<<<<<< ", "a merge was left half done"),
    word(">>>>>>> ", "a merge was left half done"),
    place("/work/", &[]),
    place("/root/", &[".ssh", "authorized_keys", ".ansible"]),
    // The network of the hello example and of the lab are ours; any other is somebody's own.
    private("http://10.", &["77.", "78.", "79.", "0.0."]),
    private("http://192.168.", &[]),
];

/// Files where a word is right, and why.
const ALLOWED: &[(&str, &str, &str)] = &[
    (
        "allow(dead_code",
        "crates/providers/qemu/tests/common/",
        "a module that several tests share is not used whole by each",
    ),
    ("/root/", "crates/playbook/", "the home of root on a managed machine"),
    ("/root/", "crates/modules/", "the home of root on a managed machine"),
    ("/root/", "crates/image/", "the home of root inside an image"),
    ("/root/", "crates/remote/", "the home of root on a managed machine"),
];

const THIS_FILE: &str = "xtask/src/tidy/words.rs";

const fn word(text: &'static str, advice: &'static str) -> Word {
    Word { text, alone: false, unless_followed_by: &[], advice }
}

const fn place(text: &'static str, unless_followed_by: &'static [&'static str]) -> Word {
    Word { text, alone: true, unless_followed_by, advice: "a path of one developer's machine" }
}

const fn private(text: &'static str, unless_followed_by: &'static [&'static str]) -> Word {
    Word { text, alone: false, unless_followed_by, advice: "an address of one developer's network" }
}

pub(super) fn check(tree: &Tree, faults: &mut Vec<Fault>) {
    for file in tree.files.iter().filter(|file| !file.is_data() && file.path != THIS_FILE) {
        for (number, line) in file.lines() {
            for word in WORDS.iter().filter(|word| stands_in(word, line) && !is_allowed(word, file))
            {
                faults.push(Fault::new(
                    &file.path,
                    number,
                    format!("`{}`: {}", word.text, word.advice),
                ));
            }
            if has_bare_todo(line) {
                faults.push(Fault::new(
                    &file.path,
                    number,
                    "a TODO names its issue: `TODO(#N): …`",
                ));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            faults.push(Fault::new(&file.path, file.text.lines().count(), "no newline at the end"));
        }
    }
}

fn is_allowed(word: &Word, file: &File) -> bool {
    ALLOWED.iter().any(|(text, folder, _)| *text == word.text && file.path.starts_with(folder))
}

fn stands_in(word: &Word, line: &str) -> bool {
    line.match_indices(word.text).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let part_of_longer =
            before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '/' | '}' | '_' | '-'));
        let after = &line[at + word.text.len()..];
        let harmless = word.unless_followed_by.iter().any(|rest| after.starts_with(rest));
        !(harmless || word.alone && part_of_longer)
    })
}

fn has_bare_todo(line: &str) -> bool {
    line.match_indices("TODO").any(|(at, _)| {
        let bounded = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let after = &line[at + 4..];
        let number = after.strip_prefix("(#").and_then(|rest| rest.split_once(')')).map(|(n, _)| n);
        let named = number
            .is_some_and(|n| n == "N" || !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()));
        bounded(line[..at].chars().next_back()) && bounded(after.chars().next()) && !named
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(path: &str, line: &str) -> Vec<String> {
        let mut faults = Vec::new();
        check(&Tree::of(&[(path, &format!("{line}\n"))]), &mut faults);
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn each_forbidden_word_is_found() {
        for word in WORDS {
            let line = format!("x {}y", word.text);
            assert_eq!(check_line("crates/base/src/a.rs", &line).len(), 1, "{line}");
        }
    }

    #[test]
    fn a_word_is_fine_where_it_means_something_else() {
        for line in [
            "the upper and work folders of $base/work/upper",
            "target/work/",
            "curl http://10.77.0.2/",
            "cat /root/.ssh/authorized_keys",
            "TODO(#41): IPv6 leases",
            "TODOLIST",
            "mktemp -d updraft.XXXXXX",
        ] {
            assert_eq!(check_line("README.md", line), Vec::<String>::new(), "{line}");
        }
        assert_eq!(check_line("crates/modules/src/user.rs", "\"/root/x\""), Vec::<String>::new());
    }

    #[test]
    fn a_todo_without_an_issue_is_refused() {
        for line in ["// TODO: later", "// TODO(me): later", "// TODO(#): later", "TODO"] {
            assert_eq!(check_line("crates/base/src/a.rs", line).len(), 1, "{line}");
        }
    }

    #[test]
    fn a_text_ends_with_a_newline() {
        let mut faults = Vec::new();
        check(&Tree::of(&[("a.md", "one\ntwo")]), &mut faults);
        assert_eq!(faults[0].to_string(), "a.md:2: no newline at the end");
    }
}
