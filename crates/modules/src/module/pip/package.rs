//! What a task asks pip for: names with versions (PEP 508), and what pip takes beside them.
//!
//! Never here: whether it is installed.

use super::version::{Clause, OPERATORS, Version};
use std::collections::BTreeSet;

/// What the sources are fetched by when a url begins so.
const FETCHED_BY: &[&str] = &["svn+", "git+", "hg+", "bzr+"];

/// What follows a name in a url or path, and never in what is asked of a package of that name.
const NOT_OF_NAMES: &[char] = &['+', '/', ':', '\\', '?', '%', '$', '&', '*', '|', '\'', '"'];

/// One thing that a task asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    /// As pip is told.
    pub(super) shown: String,
    /// What is asked of which package; of a url or path nothing is known.
    asked: Option<Asked>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    name: String,
    clauses: Vec<Clause>,
}

impl Package {
    /// Reads what is asked for; `None` when it is not surely understood.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let other = || Some(Self { shown: text.to_owned(), asked: None });
        let rest = text.trim_start_matches(' ');
        if rest.chars().next().is_none_or(|first| first.is_ascii_punctuation()) {
            return other();
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        if !name.is_empty() && rest.starts_with(NOT_OF_NAMES) {
            return other();
        }
        is_name(name).then_some(())?;
        let rest = rest.trim_matches(' ');
        let (extras, rest) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (inner, rest) = inner.split_once(']')?;
                (extras_of(inner)?, rest.trim_start_matches(' '))
            }
            None => (BTreeSet::new(), rest),
        };
        let clauses = match rest.strip_prefix('(') {
            Some(inner) => clauses_of(inner.strip_suffix(')')?)?,
            None if rest.is_empty() => Vec::new(),
            None => clauses_of(rest)?,
        };
        let mut shown = name.to_owned();
        if !extras.is_empty() {
            let extras: Vec<&str> = extras.into_iter().collect();
            shown.push_str(&format!("[{}]", extras.join(",")));
        }
        let texts: Vec<&str> = clauses.iter().map(|clause| clause.text.as_str()).collect();
        shown.push_str(&texts.join(","));
        Some(Self { shown, asked: Some(Asked { name: canonical(name), clauses }) })
    }

    /// The same in a version that is told apart from it.
    pub(super) fn at(&self, version: &str) -> Option<Self> {
        if version.is_empty() {
            return Self::parse(&self.shown);
        }
        let version = version.trim_start();
        let digit = version.chars().next()?.is_ascii_digit();
        let text = format!("{}{}{version}", self.shown, if digit { "==" } else { " " });
        let read = Self::parse(&text)?;
        // Of a url only the url is left.
        Some(if read.asked.is_some() { read } else { Self { shown: self.shown.clone(), ..read } })
    }

    /// Whether it says which versions will do.
    pub(super) fn is_bound(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| !asked.clauses.is_empty())
    }

    /// Whether a line of those that pip lists is what is asked for.
    fn is_line(&self, line: &str) -> Option<bool> {
        let Some((name, version)) = line.split_once("==") else { return Some(false) };
        let Some(asked) = self.asked.as_ref().filter(|asked| asked.name == canonical(name)) else {
            return Some(false);
        };
        let version = Version::parse(version)?;
        asked.clauses.iter().try_fold(true, |all, clause| Some(all && clause.holds(&version)?))
    }

    /// Whether it is among what pip lists; `None` when that is not surely understood.
    pub(super) fn is_among(&self, listed: &str) -> Option<bool> {
        let notes = ["You are using", "You should consider"];
        let lines = listed.split('\n').filter(|line| !notes.iter().any(|it| line.starts_with(it)));
        let mut found = false;
        for line in lines {
            found |= self.is_line(line)?;
        }
        Some(found)
    }
}

/// Names that were taken apart at the commas between versions and extras, put together again.
pub(super) fn gathered(given: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    let mut parts: Vec<&str> = Vec::new();
    let mut in_brackets = false;
    for part in given.iter().flat_map(|text| text.split(',')) {
        let is_more =
            OPERATORS.iter().any(|operator| part.trim_start().starts_with(operator)) || in_brackets;
        if !is_more && !parts.is_empty() {
            names.push(std::mem::take(&mut parts).join(","));
        }
        in_brackets = (in_brackets || part.contains('[')) && !part.contains(']');
        parts.push(part);
    }
    names.push(parts.join(","));
    names
}

/// Whether pip fetches it by a tool for sources.
pub(super) fn is_fetched(name: &str) -> bool {
    FETCHED_BY.iter().any(|tool| name.starts_with(tool))
}

/// A name as all of its spellings are compared.
fn canonical(name: &str) -> String {
    let mut made = String::new();
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if made.ends_with('-') => {}
            '-' | '_' | '.' => made.push('-'),
            c => made.extend(c.to_lowercase()),
        }
    }
    made
}

fn is_name(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    edge(text.bytes().next())
        && edge(text.bytes().last())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn extras_of(inner: &str) -> Option<BTreeSet<&str>> {
    let inner = inner.trim_matches(' ');
    if inner.is_empty() {
        return Some(BTreeSet::new());
    }
    let extras = inner.split(',').map(|extra| extra.trim_matches(' '));
    extras.map(|extra| is_name(extra).then_some(extra)).collect()
}

/// The clauses in the order in which they are shown.
fn clauses_of(text: &str) -> Option<Vec<Clause>> {
    let clauses = text.split(',').map(|clause| Clause::parse(clause.trim_matches(' ')));
    let mut clauses = clauses.collect::<Option<Vec<_>>>()?;
    clauses.sort_by(|one, next| one.text.cmp(&next.text));
    clauses.dedup_by(|next, one| next.text == one.text);
    // Which of two spellings is kept is chance.
    let mut pairs = clauses.iter().enumerate();
    let twice = pairs.any(|(at, one)| clauses[at + 1..].iter().any(|it| one.is_as(it)));
    (!twice).then_some(clauses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_told_as_tools_write_it() {
        for (text, shown) in [
            ("django", "django"),
            (" Django ", "Django"),
            ("django >= 3, <4", "django<4,>=3"),
            ("django (>=3)", "django>=3"),
            ("a[y, x,x] ~= 1.2", "a[x,y]~=1.2"),
            ("a[]", "a"),
            ("a.b_c-d==1.*", "a.b_c-d==1.*"),
            ("a>1,>1", "a>1"),
            ("a==2.1+cu118", "a==2.1+cu118"),
            ("hello-1.0-py3-none-any.whl", "hello-1.0-py3-none-any.whl"),
        ] {
            let read = Package::parse(text).unwrap();
            assert_eq!(read.shown, shown, "{text}");
            assert!(read.asked.is_some(), "{text}");
        }
    }

    #[test]
    fn urls_and_paths_are_left_as_they_are() {
        for text in [
            "",
            " ",
            "./a",
            "/srv/a.whl",
            "a/b.tar.gz",
            "git+https://x/y@v1#egg=z",
            "https://x/y.zip",
            "file:///srv/a.whl",
            "svn+http://x",
            "-e .",
            "--pre",
            "~/a",
            "<2",
            " git+ssh://git@x/y",
        ] {
            let read = Package::parse(text).unwrap();
            assert_eq!((read.shown.as_str(), &read.asked), (text, &None));
            assert!(!read.is_bound());
            assert_eq!(read.at("1.0").unwrap(), read);
        }
        assert!(
            is_fetched("git+https://x") && !is_fetched("https://git+x") && !is_fetched(" hg+x")
        );
    }

    #[test]
    fn what_is_not_surely_understood_is_left_to_others() {
        for text in [
            "a; python_version < '3'",
            "a @ https://x/y.whl",
            "a b",
            "a=1",
            "a==",
            "a===1",
            "a[x",
            "a[x y]",
            "a (>=1",
            "a ()",
            "a>=1,",
            "a>=1,>=1.0",
            "a==v1",
            "a-",
            "a_",
            "ä",
            "\ta",
            "a\n",
            "a # b",
            "a~1",
            "a,b",
        ] {
            assert_eq!(Package::parse(text), None, "{text}");
        }
        let plain = Package::parse("a").unwrap();
        assert_eq!((plain.at(" "), plain.at("v1"), plain.at("new")), (None, None, None));
    }

    #[test]
    fn a_version_that_is_told_apart_is_asked_for_exactly() {
        for (name, version, shown) in [
            ("a", "1.0", "a==1.0"),
            ("a[x]", " 1.0", "a[x]==1.0"),
            ("a", ">=1,<2", "a<2,>=1"),
            ("a", "1.*", "a==1.*"),
            ("a", "", "a"),
        ] {
            let read = Package::parse(name).unwrap().at(version).unwrap();
            assert_eq!(read.shown, shown);
            assert_eq!(read.is_bound(), !version.is_empty());
        }
    }

    #[test]
    fn names_are_put_together_again_at_commas() {
        for (given, names) in [
            (
                &["django>1.11.1", "<1.11.3", "ipaddress"][..],
                &["django>1.11.1,<1.11.3", "ipaddress"][..],
            ),
            (&["a>1,<2,b", " !=3"], &["a>1,<2", "b, !=3"]),
            (&["a[x", "y]>1", "b"], &["a[x,y]>1", "b"]),
            (&["a", "b[x]", "c"], &["a", "b[x]", "c"]),
            (&[], &[""]),
        ] {
            let given: Vec<String> = given.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(gathered(&given), names);
        }
    }

    #[test]
    fn what_pip_lists_is_looked_through() {
        let listed = "You are using pip\nhello==1.2\nMy_Odd.name==2.0rc1\nold==1.0-x\n-e /a\n";
        for (text, expected) in [
            ("hello", Some(true)),
            ("HELLO[x]>=1", Some(true)),
            ("hello>1.2", Some(false)),
            ("my-odd..name<2", Some(false)),
            ("my-odd..name", Some(true)),
            ("hell", Some(false)),
            ("./hello", Some(false)),
            ("old", None),
        ] {
            assert_eq!(Package::parse(text).unwrap().is_among(listed), expected, "{text}");
        }
    }
}
