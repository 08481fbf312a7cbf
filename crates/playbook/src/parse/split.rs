//! `k=v` arguments: `copy: src=a dest="b c" mode={{ m }}`.
//!
//! Words end at white space outside of quotes and braces. Quotes stay part of a word until the
//! word is known to be a value.

/// Splits free-form arguments into words, keeping quotes and templates together.
///
/// # Errors
/// When a quote or a brace does not end.
pub(crate) fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut depth: Vec<&'static str> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(close) = depth.last()
            && let Some(after) = rest.strip_prefix(*close)
        {
            word.push_str(close);
            rest = after;
            depth.pop();
            continue;
        }
        let opened = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")]
            .into_iter()
            .find(|(open, _)| depth.is_empty() && rest.starts_with(open));
        if let Some((open, close)) = opened {
            word.push_str(open);
            rest = &rest[open.len()..];
            depth.push(close);
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if !depth.is_empty() {
            word.push(c);
            continue;
        }
        match (c, quote) {
            ('\\', None) if rest.starts_with('\n') => {
                // A backslash at the end of a line joins it with the next one.
                rest = rest[1..].trim_start_matches([' ', '\t']);
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            ('\\', _) => {
                word.push('\\');
                if let Some(escaped) = rest.chars().next() {
                    word.push(escaped);
                    rest = &rest[escaped.len_utf8()..];
                }
            }
            (c, Some(open)) if c == open => {
                word.push(c);
                quote = None;
            }
            (c, None) if (c == '"' || c == '\'') && (word.is_empty() || word.ends_with('=')) => {
                word.push(c);
                quote = Some(c);
            }
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (c, _) => word.push(c),
        }
    }
    if quote.is_some() || !depth.is_empty() {
        return Err("failed at splitting arguments: a quote or a template does not end".to_owned());
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// The name of an action and what stands after it. A name may be a template with spaces in it.
pub(crate) fn action(text: &str) -> (&str, &str) {
    let name = match text.starts_with("{{").then(|| text.find("}}")).flatten() {
        Some(end) => end + "}}".len(),
        None => text.find(char::is_whitespace).unwrap_or(text.len()),
    };
    (&text[..name], text[name..].trim_start())
}

/// `name=value` of a word, if it is one.
pub(crate) fn pair(word: &str) -> Option<(&str, &str)> {
    let at = word.find('=')?;
    if at > 0 && word[..at].ends_with('\\') {
        return None;
    }
    let name = &word[..at];
    let is_name =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    is_name.then(|| (name, &word[at + 1..]))
}

/// As [`pair`], but the name may be a template: `{{ item }}=1`.
fn name_and_value(word: &str) -> Option<(&str, &str)> {
    if !word.contains("{{") {
        return pair(word);
    }
    let mut depth = 0usize;
    for (at, c) in word.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '=' if depth == 0 && at > 0 => return Some((&word[..at], &word[at + 1..])),
            _ => {}
        }
    }
    None
}

/// A value without the quotes around it, escapes resolved as Ansible resolves them.
pub(crate) fn unquote(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        let inner = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| value.len() > 1 && !inner.ends_with('\\')) {
            return decode(inner);
        }
    }
    value.to_owned()
}

/// `\n`, `\t`, `\x41`, `\u00e9` and the like, outside of templates.
fn decode(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let mut ahead = chars.clone();
        let Some(escape) = ahead.next() else {
            out.push('\\');
            break;
        };
        let mut hex = |count: usize| {
            let digits: String = ahead.by_ref().take(count).collect();
            (digits.len() == count)
                .then(|| u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32))?
        };
        let decoded = match escape {
            'n' => Some('\n'),
            't' => Some('\t'),
            'r' => Some('\r'),
            '\\' | '\'' | '"' => Some(escape),
            'a' => Some('\u{7}'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'v' => Some('\u{b}'),
            'x' => hex(2),
            'u' => hex(4),
            'U' => hex(8),
            _ => None,
        };
        match decoded {
            Some(c) => {
                out.push(c);
                chars = ahead;
            }
            None => out.push('\\'),
        }
    }
    out
}

/// Free-form text of an action that knows only arguments by name.
///
/// # Errors
/// When a word is no `name=value`, or a quote does not end.
pub(crate) fn named(text: &str) -> Result<(Vec<(String, String)>, String), String> {
    let mut pairs = Vec::new();
    let mut rest: Vec<String> = Vec::new();
    for word in words(text)? {
        match name_and_value(&word) {
            Some((name, value)) => pairs.push((name.to_owned(), unquote(value))),
            None => rest.push(word),
        }
    }
    Ok((pairs, rest.join(" ")))
}

/// Free-form text of `command`, `shell` and the like: known names are arguments, the rest is the
/// command as it was written.
///
/// # Errors
/// When a quote does not end.
pub(crate) fn command(
    text: &str,
    known: &[&str],
) -> Result<(String, Vec<(String, String)>), String> {
    let mut pairs = Vec::new();
    let mut raw = String::new();
    for word in words(text)? {
        match pair(&word) {
            Some((name, value)) if known.contains(&name) => {
                pairs.push((name.to_owned(), unquote(value)));
            }
            _ => {
                if !raw.is_empty() {
                    raw.push(' ');
                }
                raw.push_str(&word.replacen("\\=", "=", usize::from(word.contains("\\="))));
            }
        }
    }
    // A command without arguments among its words keeps its own spacing and line breaks.
    if pairs.is_empty() {
        raw = text.trim().to_owned();
    }
    Ok((raw, pairs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_keep_quotes_and_templates_together() {
        let split = |text: &str| words(text).unwrap();
        assert_eq!(
            split("src=a dest=\"b c\"  mode={{ m | d('0 6') }}"),
            ["src=a", "dest=\"b c\"", "mode={{ m | d('0 6') }}"]
        );
        assert_eq!(split("a='x y' \\\n   b=2"), ["a='x y'", "b=2"]);
        assert_eq!(split("echo it's fine"), ["echo", "it's", "fine"]);
        assert!(words("a='x").is_err());
        assert!(words("a={{ x").is_err());
    }

    #[test]
    fn commands_keep_what_is_not_an_argument() {
        let known = ["creates", "chdir"];
        let (raw, pairs) = command("echo a=b creates=/x 'c d'", &known).unwrap();
        assert_eq!(
            (raw.as_str(), pairs),
            ("echo a=b 'c d'", vec![("creates".to_owned(), "/x".to_owned())])
        );
        let (raw, _) = command("  a   b\n  c ", &known).unwrap();
        assert_eq!(raw, "a   b\n  c");
    }

    #[test]
    fn quoted_values_lose_quotes_and_escapes() {
        assert_eq!(unquote(r#""a\tb""#), "a\tb");
        assert_eq!(unquote("'a b'"), "a b");
        assert_eq!(unquote(r"a\tb"), r"a\tb");
        assert_eq!(unquote(r#""\w+\x41""#), r"\w+A");
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(values in prop::collection::vec("[a-z =:/.,-]{0,12}", 1..6)) {
            let text = values
                .iter()
                .enumerate()
                .map(|(index, value)| format!("k{index}=\"{value}\""))
                .collect::<Vec<_>>()
                .join(" ");
            let pairs = named(&text).unwrap().0;
            prop_assert_eq!(pairs.len(), values.len());
            for (index, (name, value)) in pairs.iter().enumerate() {
                prop_assert_eq!(name, &format!("k{index}"));
                prop_assert_eq!(value.as_str(), values[index].trim_matches(|_| false));
            }
        }

        #[test]
        fn no_text_makes_it_fall_over(text in ".{0,60}") {
            drop(words(&text));
            drop(named(&text));
            drop(command(&text, &["chdir"]));
        }
    }
}
