//! Regular expressions and shell patterns as Python has them.

use super::Fault;
use fancy_regex::{Captures, Regex};
use std::fmt::Write as _;

/// A compiled pattern of Python's `re`.
///
/// # Errors
/// When the pattern is malformed.
pub(crate) fn regex(
    pattern: &str,
    ignore_case: bool,
    multiline: bool,
    dotall: bool,
) -> Result<Regex, Fault> {
    let mut flags = String::new();
    if ignore_case {
        flags.push('i');
    }
    if multiline {
        flags.push('m');
    }
    if dotall {
        flags.push('s');
    }
    let mut translated = translate(pattern);
    if !flags.is_empty() {
        translated = format!("(?{flags}){translated}");
    }
    Regex::new(&translated).map_err(|error| {
        let python = python_fault(pattern);
        Fault::new(
            python.unwrap_or_else(|| format!("invalid regular expression `{pattern}`: {error}")),
        )
    })
}

/// What Python's `re` says of the slips that are made most.
fn python_fault(pattern: &str) -> Option<String> {
    let mut open = Vec::new();
    let mut before = None;
    let mut chars = pattern.chars().enumerate();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '(' => open.push(at),
            ')' if open.pop().is_none() => {
                return Some(format!("unbalanced parenthesis at position {at}"));
            }
            '[' => {
                let rest: Vec<(usize, char)> =
                    chars.by_ref().take_while(|(_, c)| *c != ']').collect();
                if at + rest.len() + 1 >= pattern.chars().count() {
                    return Some(format!("unterminated character set at position {at}"));
                }
            }
            '*' | '+' | '?' if matches!(before, None | Some('(' | '|')) && c != '?' => {
                return Some(format!("nothing to repeat at position {at}"));
            }
            _ => {}
        }
        before = Some(c);
    }
    open.pop().map(|at| format!("missing ), unterminated subpattern at position {at}"))
}

/// Spellings that Python's `re` has and the engine has not.
fn translate(pattern: &str) -> String {
    // Python's `\Z` is the very end, which the engine calls `\z`; `$` of Python also matches
    // before a last newline, so it becomes a look-ahead. Inside a set neither is special.
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    let mut in_set = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                match chars.next() {
                    Some('Z') if !in_set => out.push_str("\\z"),
                    Some(next) => {
                        out.push('\\');
                        out.push(next);
                    }
                    None => out.push_str("\\\\"),
                }
                continue;
            }
            '[' if !in_set => {
                in_set = true;
                out.push('[');
                if let Some(caret) = chars.next_if_eq(&'^') {
                    out.push(caret);
                }
                // A bracket that comes first is meant as itself.
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
                continue;
            }
            // The engine would begin a set within the set.
            '[' => {
                out.push_str("\\[");
                continue;
            }
            ']' => in_set = false,
            '&' | '~' if in_set && chars.peek() == Some(&c) => {
                out.push('\\');
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

/// Python's replacement text: `\1`, `\g<1>`, `\g<name>`, `\n`.
pub(crate) fn expand(replacement: &str, found: &Captures<'_, str>) -> Result<String, Fault> {
    let mut out = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some(digit) if digit.is_ascii_digit() => {
                let mut number = digit.to_string();
                if let Some(more) = chars.next_if(char::is_ascii_digit) {
                    number.push(more);
                }
                let group: usize = number.parse().unwrap_or(0);
                if group >= found.len() {
                    return Err(Fault::new(format!("invalid group reference {group}")));
                }
                out.push_str(found.get(group).map_or("", |m| m.as_str()));
            }
            Some('g') if chars.peek() == Some(&'<') => {
                chars.next();
                let name: String = chars.by_ref().take_while(|c| *c != '>').collect();
                let group = match name.parse::<usize>() {
                    Ok(number) => found.get(number),
                    Err(_) => found.name(&name),
                };
                out.push_str(group.map_or("", |m| m.as_str()));
            }
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('\\') => out.push('\\'),
            Some(other) if other.is_ascii_alphabetic() => {
                return Err(Fault::new(format!("bad escape \\{other} in the replacement")));
            }
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => return Err(Fault::new("bad escape (end of pattern)")),
        }
    }
    Ok(out)
}

/// Does `text` match the shell pattern: `*`, `?`, `[a-z]`, `[!a]`?
pub(crate) fn fnmatch(pattern: &str, text: &str) -> bool {
    let mut source = String::from("(?s)\\A");
    let chars: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        match chars[at] {
            '*' => source.push_str(".*"),
            '?' => source.push('.'),
            '[' => {
                let first = at + 1 + usize::from(chars.get(at + 1) == Some(&'!'));
                let close = (first + 1..chars.len()).find(|index| chars[*index] == ']');
                match close {
                    None => source.push_str("\\["),
                    Some(close) => {
                        source.push('[');
                        for (index, c) in chars[at + 1..close].iter().enumerate() {
                            match c {
                                '!' if index == 0 => source.push('^'),
                                '\\' | '[' | ']' | '^' | '&' | '~' => {
                                    source.push('\\');
                                    source.push(*c);
                                }
                                c => source.push(*c),
                            }
                        }
                        source.push(']');
                        at = close;
                    }
                }
            }
            c if c.is_alphanumeric() || c == '_' => source.push(c),
            c => write!(source, "\\x{{{:x}}}", c as u32).expect("a String takes everything"),
        }
        at += 1;
    }
    source.push_str("\\z");
    Regex::new(&source).is_ok_and(|regex| regex.is_match(text).unwrap_or(false))
}

/// `re.escape`.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_patterns_match_whole_names() {
        assert!(fnmatch("web*", "web1"));
        assert!(!fnmatch("web", "web1"));
        assert!(fnmatch("w?b[0-9]", "wib3"));
        assert!(fnmatch("[!a]b", "cb") && !fnmatch("[!a]b", "ab"));
        assert!(fnmatch("a.b*", "a.bc") && !fnmatch("a.b", "axb"));
    }

    #[test]
    fn pythons_spellings_are_understood() {
        assert!(regex(r"\Aa\Z", false, false, false).unwrap().is_match("a").unwrap());
        assert!(regex("[[]x", false, false, false).unwrap().is_match("[x").unwrap());
        assert!(regex("a(?=b)", false, false, false).unwrap().is_match("ab").unwrap());
        assert!(regex("(?P<n>a)(?P=n)", false, false, false).unwrap().is_match("aa").unwrap());
    }
}
