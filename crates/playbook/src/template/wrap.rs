//! Folding of paragraphs as Python's textwrap folds them.

/// The lines of one paragraph, none longer than `width` letters unless a word is and `break_long`
/// is not set.
pub(crate) fn wrap(text: &str, width: usize, break_long: bool, on_hyphens: bool) -> Vec<String> {
    let width = width.max(1);
    let mut words: std::collections::VecDeque<String> = chunks(text, on_hyphens).into();
    let mut lines = Vec::new();
    while !words.is_empty() {
        let mut line: Vec<String> = Vec::new();
        let mut length = 0;
        if !lines.is_empty() && words.front().is_some_and(|word| word.trim().is_empty()) {
            words.pop_front();
        }
        while let Some(word) = words.front() {
            let size = word.chars().count();
            if length + size > width {
                break;
            }
            length += size;
            line.extend(words.pop_front());
        }
        if words.front().is_some_and(|word| word.chars().count() > width) {
            let room = width - length;
            if break_long && room > 0 {
                let word = words.pop_front().unwrap_or_default();
                line.push(word.chars().take(room).collect());
                words.push_front(word.chars().skip(room).collect());
            } else if line.is_empty() {
                line.extend(words.pop_front());
            }
        }
        if line.last().is_some_and(|word| word.trim().is_empty()) {
            line.pop();
        }
        if !line.is_empty() {
            lines.push(line.concat());
        }
    }
    lines
}

/// Words and the spaces between them; words are cut after hyphens between letters.
fn chunks(text: &str, on_hyphens: bool) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = text.chars().collect();
    for (at, c) in chars.iter().enumerate() {
        let turn =
            word.chars().next_back().is_some_and(|last| last.is_whitespace() != c.is_whitespace());
        if turn {
            out.push(std::mem::take(&mut word));
        }
        word.push(*c);
        let letter = |at: Option<usize>| {
            at.and_then(|at| chars.get(at)).is_some_and(|c| c.is_alphanumeric() || *c == '_')
        };
        if on_hyphens && *c == '-' && letter(at.checked_sub(1)) && letter(Some(at + 1)) {
            out.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_as_python_folds_them() {
        // textwrap.wrap(text, width, break_long_words=…, break_on_hyphens=…), Python 3.11.
        for (text, width, long, hyphens, lines) in [
            ("Hello World, this is", 10, true, true, vec!["Hello", "World,", "this is"]),
            ("aaaaaaaaaa b", 4, true, true, vec!["aaaa", "aaaa", "aa b"]),
            ("aaaaaaaa b", 5, false, true, vec!["aaaaaaaa", "b"]),
            ("a-b-c-d", 4, true, true, vec!["a-b-", "c-d"]),
            ("a-b-c-d", 4, true, false, vec!["a-b-", "c-d"]),
            ("a  b", 80, true, true, vec!["a  b"]),
            ("", 5, true, true, vec![]),
        ] {
            assert_eq!(wrap(text, width, long, hyphens), lines, "{text}");
        }
    }
}
