//! `k=v` arguments: `copy: src=a dest="b c" mode={{ m }}`.
//!
//! Words end at spaces and line ends outside of quotes and templates, as in Ansible's own splitter:
//! what white space follows a word stays with it, so that a command can be put together again as it
//! was written. Quotes stay part of a word until the word is known to be a value.

/// What opens and closes a template, a statement and a comment.
const BRACES: [(&str, &str); 3] = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];

/// Splits free-form arguments into words, each with the white space that follows it.
///
/// # Errors
/// When a quote or a brace does not end.
fn pieces(text: &str) -> Result<Vec<String>, String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut quote: Option<char> = None;
    let mut depth = [0usize; BRACES.len()];
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        let mut joined = false;
        for (index, token) in line.split(' ').enumerate() {
            if token.is_empty() && index > 0 {
                // More than one space in a row.
                last(&mut pieces).push(' ');
                continue;
            }
            if token == "\\" && quote.is_none() {
                joined = true;
                continue;
            }
            let quoted = quote.is_some();
            let nested = depth.iter().any(|depth| *depth > 0);
            quote = quote_after(token, quote);
            let before = depth;
            for (depth, (open, close)) in depth.iter_mut().zip(BRACES) {
                let opened = *depth + token.matches(open).count();
                *depth = opened.saturating_sub(token.matches(close).count());
            }
            if nested || quoted {
                let place = last(&mut pieces);
                if index > 0 {
                    place.push(' ');
                }
                place.push_str(token);
            } else if !token.is_empty() || quote.is_some() || depth != before {
                pieces.push(token.to_owned());
            }
        }
        if lines.peek().is_some() && !joined {
            last(&mut pieces).push('\n');
        }
    }
    if quote.is_some() || depth.iter().any(|depth| *depth > 0) {
        return Err(format!(
            "failed at splitting arguments, either an unbalanced jinja2 block or quotes: {text}"
        ));
    }
    Ok(pieces)
}

/// The last piece, made where there is none.
fn last(pieces: &mut Vec<String>) -> &mut String {
    if pieces.is_empty() {
        pieces.push(String::new());
    }
    let end = pieces.len() - 1;
    &mut pieces[end]
}

/// Which quote is open after a token.
fn quote_after(token: &str, mut quote: Option<char>) -> Option<char> {
    let mut before = None;
    for c in token.chars() {
        if matches!(c, '"' | '\'') && before != Some('\\') {
            match quote {
                Some(open) if open == c => quote = None,
                Some(_) => {}
                None => quote = Some(c),
            }
        }
        before = Some(c);
    }
    quote
}

/// Puts pieces together again.
fn join(pieces: &[String]) -> String {
    let mut joined = String::new();
    for piece in pieces {
        if !joined.is_empty() && !joined.ends_with('\n') {
            joined.push(' ');
        }
        joined.push_str(piece);
    }
    joined
}

/// Splits free-form arguments into words, keeping quotes and templates together.
///
/// # Errors
/// When a quote or a brace does not end.
pub(crate) fn words(text: &str) -> Result<Vec<String>, String> {
    let pieces = pieces(text)?;
    let words = pieces.iter().map(|piece| piece.trim().to_owned());
    Ok(words.filter(|word| !word.is_empty()).collect())
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

/// A value with its escapes resolved and without the quotes around it, as Ansible has it: in that
/// order, and whether there are quotes or not.
pub(crate) fn unquote(value: &str) -> String {
    let value = decode(value.trim());
    for quote in ['"', '\''] {
        let inner = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| !inner.ends_with('\\')) {
            return inner.to_owned();
        }
    }
    value
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
    let mut rest = Vec::new();
    for piece in pieces(text)? {
        match pair(piece.trim()) {
            Some((name, value)) if known.contains(&name) => {
                pairs.push((name.to_owned(), unquote(value)));
            }
            _ if all_escaped(&piece) => rest.push(decode(&piece).replace("\\=", "=")),
            _ => rest.push(piece),
        }
    }
    Ok((join(&rest), pairs))
}

/// Whether a word has equals signs, and a backslash before each of them.
fn all_escaped(word: &str) -> bool {
    let mut signs = word.match_indices('=').filter(|(at, _)| *at > 0).peekable();
    signs.peek().is_some() && signs.all(|(at, _)| word[..at].ends_with('\\'))
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
        assert_eq!(split("a 'b c'd e"), ["a", "'b c'd", "e"]);
        assert!(words("echo it's fine").is_err());
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
        // What ansible-core 2.19's parse_kv makes of them.
        for (text, raw) in [
            ("a  b   c", "a  b   c"),
            (" a b ", "a b "),
            ("a\n b\n", "a\nb\n"),
            ("a \\\n  'b\n c' \\\n| d\ne\n", "a  'b\n c' | d\ne\n"),
            ("  chdir=/tmp  echo  hi", "  echo  hi"),
            ("echo hi\n\n\nchdir=/x\n echo y", "echo hi\n\n\necho y"),
            ("echo a\\=b", "echo a=b"),
        ] {
            assert_eq!(command(text, &known).unwrap().0, raw, "{text:?}");
        }
    }

    #[test]
    fn quoted_values_lose_quotes_and_escapes() {
        assert_eq!(unquote(r#""a\tb""#), "a\tb");
        assert_eq!(unquote("'a b'"), "a b");
        assert_eq!(unquote(r"a\tb"), "a\tb");
        assert_eq!(unquote(r#""a\"b c""#), "a\"b c");
        assert_eq!(unquote("\""), "\"");
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
