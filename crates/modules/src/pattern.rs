//! Regular expressions in Python's flavour over bytes, their replacement text, and shell globs.
//!
//! Ansible's modules hand patterns to Python's `re`. They are rewritten here for the engine we
//! have: `\Z`, `$` before a last newline, literal braces and brackets. Patterns match bytes, and
//! `\w` and the like mean ASCII, as in Python for byte patterns.

use crate::outcome::{Fault, fail};
use fancy_regex::{BytesMode, Regex, RegexBuilder};
use std::ops::Range;

/// How a pattern is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flags {
    /// No flags.
    None,
    /// `re.MULTILINE`: `^` and `$` match at every line.
    MultiLine,
    /// `re.DOTALL`: `.` matches newlines too.
    DotAll,
}

/// A compiled regular expression.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    multi_line: bool,
}

/// Where a pattern and its groups matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    groups: Vec<Option<Range<usize>>>,
    names: Vec<(String, usize)>,
}

impl Match {
    /// Where all of it matched.
    pub(crate) fn range(&self) -> Range<usize> {
        self.groups.first().cloned().flatten().unwrap_or(0..0)
    }

    /// Where each group matched; the first is all of it.
    pub(crate) fn groups(&self) -> &[Option<Range<usize>>] {
        &self.groups
    }

    /// Named groups and their numbers.
    pub(crate) fn names(&self) -> &[(String, usize)] {
        &self.names
    }

    /// Where a named group matched.
    pub(crate) fn named(&self, name: &str) -> Option<Range<usize>> {
        let (_, index) = self.names.iter().find(|(known, _)| known == name)?;
        self.groups.get(*index).cloned().flatten()
    }
}

impl Pattern {
    pub(crate) fn new(pattern: &str, flags: Flags) -> Result<Self, Fault> {
        let multi_line = multi_line(&pattern.chars().collect::<Vec<_>>(), flags);
        RegexBuilder::new(&translate(pattern, flags))
            .bytes_mode(BytesMode::Ascii)
            .multi_line(flags == Flags::MultiLine)
            .dot_matches_new_line(flags == Flags::DotAll)
            .build()
            .map(|regex| Self { regex, multi_line })
            .map_err(|error| fail!("cannot read the regular expression '{pattern}': {error}"))
    }

    /// The first match at or after `from`.
    pub(crate) fn find_at(&self, text: &[u8], from: usize) -> Result<Option<Match>, Fault> {
        let found = self.regex.captures_from_pos(text, from).map_err(|error| {
            fail!("the regular expression '{}' takes too long: {error}", self.regex.as_str())
        })?;
        Ok(found.map(|captures| Match {
            groups: (0..captures.len())
                .map(|index| captures.get(index).map(|group| group.range()))
                .collect(),
            names: self
                .regex
                .capture_names()
                .enumerate()
                .filter_map(|(index, name)| Some((name?.to_owned(), index)))
                .collect(),
        }))
    }

    /// Whether `^` and `$` match at every line, by flag or by the pattern's own word.
    pub(crate) fn multi_line(&self) -> bool {
        self.multi_line
    }

    /// The first match.
    pub(crate) fn find(&self, text: &[u8]) -> Result<Option<Match>, Fault> {
        self.find_at(text, 0)
    }

    pub(crate) fn is_match(&self, text: &[u8]) -> Result<bool, Fault> {
        Ok(self.find(text)?.is_some())
    }

    /// Replaces every match as Python's `re.subn` does; tells how many there were.
    pub(crate) fn replace_all(
        &self,
        text: &[u8],
        template: &Template,
    ) -> Result<(Vec<u8>, usize), Fault> {
        let (mut out, mut copied, mut from, mut count) = (Vec::new(), 0, 0, 0);
        while from <= text.len() {
            let Some(found) = self.find_at(text, from)? else { break };
            let range = found.range();
            out.extend_from_slice(&text[copied..range.start]);
            out.extend(template.expand(&found, text));
            copied = range.end;
            from = if range.is_empty() { range.end + 1 } else { range.end };
            count += 1;
        }
        out.extend_from_slice(&text[copied.min(text.len())..]);
        Ok((out, count))
    }
}

/// Rewrites a Python pattern for the engine.
fn translate(pattern: &str, flags: Flags) -> String {
    let chars: Vec<char> = pattern.chars().collect();
    let multi_line = multi_line(&chars, flags);
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        at += 1;
        match c {
            '\\' => {
                let Some(&escaped) = chars.get(at) else {
                    out.push('\\');
                    break;
                };
                at += 1;
                match escaped {
                    'Z' => out.push_str("\\z"),
                    c if c.is_ascii_alphanumeric() => out.extend(['\\', c]),
                    c => literal(&mut out, c),
                }
            }
            '$' if !multi_line => out.push_str("(?=\\n?\\z)"),
            '{' => {
                let rest: String = chars[at..].iter().take_while(|c| **c != '}').collect();
                let closed = chars.len() > at + rest.chars().count();
                let bounds: Vec<_> = rest.split(',').collect();
                let counts = closed
                    && bounds.len() <= 2
                    && bounds.iter().all(|b| b.bytes().all(|b| b.is_ascii_digit()))
                    && bounds.iter().any(|b| !b.is_empty());
                match (counts, rest.strip_prefix(',')) {
                    (true, Some(most)) => {
                        out.push_str(&format!("{{0,{most}}}"));
                        at += rest.chars().count() + 1;
                    }
                    (true, None) => {
                        out.push_str(&format!("{{{rest}}}"));
                        at += rest.chars().count() + 1;
                    }
                    (false, _) => out.push_str("\\{"),
                }
            }
            '}' => out.push_str("\\}"),
            '[' => at = class(&chars, at, &mut out),
            '(' if chars[at..].starts_with(&['?', '#']) => {
                at += chars[at..].iter().position(|c| *c == ')').map_or(chars.len(), |end| end + 1);
            }
            c => out.push(c),
        }
    }
    out
}

/// Copies a bracketed class, whose opening bracket has been read, and returns where it ends.
///
/// What the engine would take for set operations stands for itself in Python.
fn class(chars: &[char], mut at: usize, out: &mut String) -> usize {
    out.push('[');
    if chars.get(at) == Some(&'^') {
        out.push('^');
        at += 1;
    }
    if chars.get(at) == Some(&']') {
        out.push_str("\\]");
        at += 1;
    }
    while let Some(&c) = chars.get(at) {
        at += 1;
        match c {
            ']' => {
                out.push(']');
                break;
            }
            '\\' => {
                let Some(&escaped) = chars.get(at) else { break };
                at += 1;
                match escaped {
                    'b' => out.push_str("\\x08"),
                    c if c.is_ascii_alphanumeric() => out.extend(['\\', c]),
                    c => literal(out, c),
                }
            }
            '[' | '&' | '~' => literal(out, c),
            '-' if chars.get(at) == Some(&'-') => out.push_str("\\-"),
            c => out.push(c),
        }
    }
    at
}

fn literal(out: &mut String, c: char) {
    if c.is_ascii_punctuation() {
        out.push('\\');
    }
    // The engine reads `\<` and `\>` as the edges of a word.
    match c {
        '<' | '>' => out.push_str(&format!("x{:02x}", u32::from(c))),
        c => out.push(c),
    }
}

fn multi_line(pattern: &[char], flags: Flags) -> bool {
    flags == Flags::MultiLine || has_inline_flag(pattern, 'm')
}

/// Whether the pattern begins by switching a flag on, as in `(?ms)`.
fn has_inline_flag(chars: &[char], flag: char) -> bool {
    let Some(rest) = chars.strip_prefix(&['(', '?']) else { return false };
    let flags: Vec<char> = rest.iter().take_while(|c| c.is_ascii_lowercase()).copied().collect();
    rest.get(flags.len()) == Some(&')') && flags.contains(&flag)
}

/// Replacement text with `\1`, `\g<name>` and Python's escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Group(usize),
    Named(String),
}

impl Template {
    /// Reads replacement text, refusing what Python refuses.
    pub(crate) fn new(text: &str) -> Result<Self, Fault> {
        let chars: Vec<char> = text.chars().collect();
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            at += 1;
            if c != '\\' {
                plain.push(c);
                continue;
            }
            let Some(&escaped) = chars.get(at) else {
                return Err(fail!("bad escape (end of pattern) at position {}", at - 1));
            };
            at += 1;
            let digit = |at: usize| chars.get(at).copied().and_then(|c| c.to_digit(10));
            let octal = |at: usize| chars.get(at).copied().and_then(|c| c.to_digit(8));
            let group = match escaped {
                'g' => {
                    let name: String =
                        chars[at..].iter().skip(1).take_while(|c| **c != '>').collect();
                    let end = at + name.chars().count() + 1;
                    if chars.get(at) != Some(&'<') || chars.get(end) != Some(&'>') {
                        return Err(fail!("missing group name at position {at}"));
                    }
                    at = end + 1;
                    match name.parse() {
                        Ok(index) => Piece::Group(index),
                        Err(_) => Piece::Named(name),
                    }
                }
                '0' => {
                    let mut code = 0;
                    while let (Some(value), true) = (octal(at), code < 8) {
                        code = code * 8 + value;
                        at += 1;
                    }
                    plain.extend(char::from_u32(code));
                    continue;
                }
                c if c.is_ascii_digit() => {
                    let mut index = c.to_digit(10).unwrap_or(0);
                    if let Some(next) = digit(at) {
                        if let (Some(a), Some(b), Some(c)) =
                            (c.to_digit(8), octal(at), octal(at + 1))
                        {
                            plain.extend(char::from_u32((a * 64 + b * 8 + c) & 0xff));
                            at += 2;
                            continue;
                        }
                        index = index * 10 + next;
                        at += 1;
                    }
                    Piece::Group(index as usize)
                }
                c => {
                    let known = match c {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        'a' => '\x07',
                        'b' => '\x08',
                        'f' => '\x0c',
                        'v' => '\x0b',
                        '\\' => '\\',
                        c if c.is_ascii_alphabetic() => {
                            return Err(fail!("bad escape \\{c} at position {}", at - 2));
                        }
                        c => {
                            plain.push('\\');
                            c
                        }
                    };
                    plain.push(known);
                    continue;
                }
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain).into_bytes()));
            }
            pieces.push(group);
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into_bytes()));
        }
        Ok(Self(pieces))
    }

    /// The text for one match; groups that took no part are empty.
    pub(crate) fn expand(&self, found: &Match, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            let range = match piece {
                Piece::Text(plain) => {
                    out.extend_from_slice(plain);
                    continue;
                }
                Piece::Group(index) => found.groups.get(*index).cloned().flatten(),
                Piece::Named(name) => found.named(name),
            };
            out.extend_from_slice(range.map_or(&[], |range| &text[range]));
        }
        out
    }
}

/// Whether `text` fits a shell pattern of `*`, `?` and `[...]`, all of it, by `fnmatch`'s rules.
///
/// Takes time proportional to the product of both lengths at most.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut seen) = (0, 0);
    // Where to go on when what follows the last star did not fit.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        let step = pattern.get(at).and_then(|c| match c {
            '*' => None,
            '?' => Some((at + 1, true)),
            '[' => Some(set(&pattern, at, text[seen])),
            c => Some((at + 1, *c == text[seen])),
        });
        match step {
            None if pattern.get(at) == Some(&'*') => {
                star = Some((at + 1, seen));
                at += 1;
            }
            Some((next, true)) => (at, seen) = (next, seen + 1),
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (at, seen) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// Whether `c` is in the set that begins at a bracket, and where the pattern goes on after it. A
/// bracket that is never closed stands for itself.
fn set(pattern: &[char], at: usize, c: char) -> (usize, bool) {
    let mut start = at + 1;
    let negated = pattern.get(start) == Some(&'!');
    if negated {
        start += 1;
    }
    // A closing bracket that comes first is part of the set.
    let end = (start + 1..pattern.len()).find(|end| pattern[*end] == ']');
    let Some(end) = end else { return (at + 1, c == '[') };
    let mut found = false;
    let mut place = start;
    while place < end {
        if pattern[place + 1] == '-' && place + 2 < end {
            found |= (pattern[place]..=pattern[place + 2]).contains(&c);
            place += 3;
        } else {
            found |= pattern[place] == c;
            place += 1;
        }
    }
    (end + 1, found != negated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: Option<&str>) {
        let found = Pattern::new(pattern, Flags::None).unwrap().find(text.as_bytes()).unwrap();
        assert_eq!(found.map(|found| &text[found.range()]), expected, "{pattern} in {text:?}");
    }

    #[test]
    fn patterns_mean_what_they_mean_in_python() {
        check("foo$", "foo\n", Some("foo"));
        check("foo$", "foo\nbar", None);
        check(r"foo\Z", "foo\n", None);
        check(r"^\s*#?\s*Port\s", "#Port 22\n", Some("#Port "));
        check("a{", "a{", Some("a{"));
        check("a{,2}", "aaa", Some("aa"));
        check("a{2}", "aaa", Some("aa"));
        check("${x}", "${x}", None);
        check(r"\${x}", "${x}", Some("${x}"));
        check(r"\<b\>", "<b>", Some("<b>"));
        check("[[a]", "[", Some("["));
        check("[]a]", "]", Some("]"));
        check("[a&&b]", "&", Some("&"));
        check(r"[\w.-]+", "a-b.c d", Some("a-b.c"));
        check(r"(?i)PORT", "port", Some("port"));
        check(r"(?#note)x", "x", Some("x"));
        check(r"(?P<q>['\x22]).*?(?P=q)", "say 'hi' now", Some("'hi'"));
        check(r"(a)(b)?\1", "aa", Some("aa"));
        check(r"^(?!#).*secret", "secret", Some("secret"));
        check(r"^(?!#).*secret", "# secret", None);
        check(r"(?<=x)y", "xy", Some("y"));
        check("é", "café", Some("é"));
        check(r"a\/b\-c\ d\#", "a/b-c d#", Some("a/b-c d#"));
    }

    #[test]
    fn several_lines_are_matched_one_by_one_when_asked() {
        let pattern = Pattern::new("^b$", Flags::MultiLine).unwrap();
        assert!(pattern.is_match(b"a\nb\nc").unwrap());
        assert!(!Pattern::new("^b$", Flags::None).unwrap().is_match(b"a\nb\nc").unwrap());
        assert!(Pattern::new("a.b", Flags::DotAll).unwrap().is_match(b"a\nb").unwrap());
    }

    #[test]
    fn every_match_is_replaced_as_python_replaces() {
        let check = |pattern: &str, template: &str, text: &str, expected: &str, count: usize| {
            let pattern = Pattern::new(pattern, Flags::MultiLine).unwrap();
            let template = Template::new(template).unwrap();
            let (out, n) = pattern.replace_all(text.as_bytes(), &template).unwrap();
            assert_eq!((String::from_utf8(out).unwrap().as_str(), n), (expected, count));
        };
        check(r"(\w+)=(\w+)", r"\2=\g<1>", "a=b c=d", "b=a d=c", 2);
        check(r"(?P<k>a)(x)?", r"[\g<k>\2]\n", "ab", "[a]\nb", 1);
        check("x*", "-", "abxc", "-a-b--c-", 5);
        check("^", "# ", "a\nb\n", "# a\n# b\n# ", 3);
        check("$", ";", "a\nb", "a;\nb;", 2);
        check("a", r"\.\\", "a", r"\.\", 1);
    }

    #[test]
    fn replacement_text_that_python_refuses_is_refused() {
        for text in [r"\q", r"\g<a", "\\"] {
            assert!(Template::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn globs_fit_whole_names() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("lib*", "libc6", true),
            ("lib*-dev", "libc6", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("1.2.*", "1.2.3-4", true),
            ("[", "[", true),
            ("[!", "[!", true),
            ("[]a]*", "]x", true),
            ("[a-]", "-", true),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyybzz", false),
            ("a**", "a", true),
            ("?", "", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
        // A backtracking matcher would not come back from this.
        assert!(!glob(&"*a".repeat(30), &"a".repeat(10_000).replace("aa", "ab")[..29]));
        assert!(!glob(&format!("{}b", "*a".repeat(40)), &"a".repeat(2000)));
    }
}
