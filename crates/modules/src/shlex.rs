//! Splits command lines into words as a POSIX shell does, without running anything, and quotes
//! words so that a shell reads them back unchanged.

/// A quote that is never closed, or a backslash with nothing after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SplitError {
    #[error("No closing quotation")]
    OpenQuote,
    #[error("No escaped character")]
    LoneBackslash,
}

/// The words of `text`, by the rules of Python's `shlex.split`.
pub(crate) fn split(text: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\\' => {
                let next = chars.next().ok_or(SplitError::LoneBackslash)?;
                word.get_or_insert_default().push(next);
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(SplitError::OpenQuote)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(SplitError::OpenQuote)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or(SplitError::OpenQuote)? {
                            c @ ('"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// `word` so that a POSIX shell reads it back unchanged.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%_-+=:,./".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_split_as_in_a_posix_shell() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("a  b\tc\n", &["a", "b", "c"]),
            (r#"echo "a b" 'c d'"#, &["echo", "a b", "c d"]),
            (r#"a"b"'c'd"#, &["abcd"]),
            (r#"'' """#, &["", ""]),
            (r"a\ b \'", &["a b", "'"]),
            (r#""a\"b\\c\d""#, &[r#"a"b\c\d"#]),
            (r"'a\b'", &[r"a\b"]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text).unwrap(), *words, "{text}");
        }
        assert_eq!(split("a 'b"), Err(SplitError::OpenQuote));
        assert_eq!(split("a \\"), Err(SplitError::LoneBackslash));
    }

    #[test]
    fn a_quoted_word_splits_back_into_itself() {
        for word in ["", "plain", "a b", "it's", "$HOME", "a\"b", "ü", "a;b"] {
            assert_eq!(split(&quote(word)).unwrap(), [word]);
        }
    }
}
