//! What usually is wrong with a line that is no YAML, as ansible-core 2.19 guesses it.

use fancy_regex::Regex;
use std::sync::LazyLock;

/// What is probably wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Guess {
    /// A sentence.
    pub(super) what: &'static str,
    /// Where in the line, counted from one, where it is not where the parser stopped.
    pub(super) column: Option<u32>,
    /// An example.
    pub(super) help: Option<&'static str>,
}

const TEMPLATE: &str = "For example:

    raw: {{ some_var }}

Should be:

    raw: \"{{ some_var }}\"
";

const COLON: &str = "For example:

    raw: echo 'name: ansible'

Should be:

    raw: \"echo 'name: ansible'\"
";

const OPEN_QUOTE: &str = "For example:

    raw: \"foo\" in bar

Should be:

    raw: '\"foo\" in bar'
";

const TWO_QUOTED: &str = "For example:

    raw: \"foo\" in \"bar\"

Should be:

    raw: '\"foo\" in \"bar\"'
";

/// One of the expressions below; they are constants, and a test compiles each.
fn regex(pattern: &str) -> Option<Regex> {
    Regex::new(pattern).ok()
}

static BARE_TEMPLATE: LazyLock<Option<Regex>> =
    LazyLock::new(|| regex(r"^\s*(?:-\s+)*(?:[\w\s]+:\s+)?(?P<value>\{\{.*\}\})"));
static VALUE: LazyLock<Option<Regex>> =
    LazyLock::new(|| regex(r"^\s*(?:-\s+)*(?:[\w\s\[\]{}]+:\s+)?(?P<value>.*)$"));
static QUOTED: LazyLock<Option<Regex>> = LazyLock::new(|| regex(r#"^\s*(?:'[^']*'|"[^"]*")\s*$"#));
static LOOSE_COLON: LazyLock<Option<Regex>> = LazyLock::new(|| regex(r"(?P<value>:)($| )"));
static QUOTES: LazyLock<Option<Regex>> =
    LazyLock::new(|| regex(r#"^\s*(?:-\s+)*(?:[\w\s]+:\s+)?(?P<value>["'].*?\s*)$"#));

/// Where the expression finds what it calls `value`, and what that is.
fn find<'a>(regex: &LazyLock<Option<Regex>>, text: &'a str) -> Option<(usize, &'a str)> {
    let found = regex.as_ref()?.captures(text).ok()??.name("value")?;
    Some((found.start(), found.as_str()))
}

/// The column of a byte of the line.
fn column(line: &str, byte: usize) -> Option<u32> {
    u32::try_from(line.get(..byte)?.chars().count() + 1).ok()
}

/// What is probably wrong with a line in which a parser stopped.
pub(super) fn guess(line: &str) -> Option<Guess> {
    let guess = |what, at, help| Some(Guess { what, column: column(line, at), help });
    if let Some(tab) = line.find('\t') {
        return guess("Tabs are usually invalid in YAML.", tab, None);
    }
    if let Some((at, _)) = find(&BARE_TEMPLATE, line) {
        let what = "This may be an issue with missing quotes around a template block.";
        return guess(what, at, Some(TEMPLATE));
    }
    if let Some((at, value)) = find(&VALUE, line)
        && !line.trim_start().starts_with(':')
        && !QUOTED.as_ref().is_some_and(|quoted| quoted.is_match(value).unwrap_or(false))
        && let Some((colon, _)) = find(&LOOSE_COLON, value)
    {
        let what = "Colons in unquoted values must be followed by a non-space character.";
        return guess(what, at + colon, Some(COLON));
    }
    let (at, value) = find(&QUOTES, line)?;
    let (first, last) = (value.chars().next()?, value.chars().next_back()?);
    if first != last {
        let what = "Values starting with a quote must end with the same quote.";
        return guess(what, at, Some(OPEN_QUOTE));
    }
    if line.matches(first).count() > 2 {
        let what = "Values starting with a quote must end with the same quote, and not contain \
                    that quote.";
        return guess(what, at, Some(TWO_QUOTED));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_is_one() {
        for regex in [&BARE_TEMPLATE, &VALUE, &QUOTED, &LOOSE_COLON, &QUOTES] {
            assert!(regex.is_some());
        }
    }

    /// As ansible-core 2.19.14 tells them.
    #[test]
    fn the_usual_faults_are_named_where_they_are() {
        for (line, what, column) in [
            ("    - debug: msg=a: b: c", "Colons in unquoted", Some(19)),
            ("  name: {{ x }}", "This may be an issue with missing quotes", Some(9)),
            ("- {{ x }} and", "This may be an issue with missing quotes", Some(3)),
            ("\tname: x", "Tabs are usually invalid", Some(1)),
            (
                "  x: \"foo\" in bar",
                "Values starting with a quote must end with the same quote.",
                Some(6),
            ),
            (
                "  x: \"foo\" in \"bar\"",
                "Values starting with a quote must end with the same quote, and",
                Some(6),
            ),
        ] {
            let guess = guess(line).unwrap();
            assert!(guess.what.starts_with(what), "{line}: {}", guess.what);
            assert_eq!(guess.column, column, "{line}");
        }
        assert_eq!(guess("  x: 'a: b'"), None);
        assert_eq!(guess("{ }}"), None);
    }
}
