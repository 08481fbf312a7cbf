//! `ansible.cfg`: sections, `key = value` or `key: value`, comments, lines that go on when indented.

use std::collections::HashMap;

/// The values of a file by section and key. Keys are in lower case, as Python's parser has them.
pub(super) type Ini = HashMap<(String, String), String>;

/// Reads a file.
///
/// # Errors
/// With a sentence that names the line.
pub(super) fn parse(text: &str) -> Result<Ini, String> {
    let mut found = Ini::new();
    let mut section: Option<String> = None;
    let mut open: Option<(String, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let body = without_comment(line);
        if body.trim().is_empty() {
            continue;
        }
        if body.starts_with([' ', '\t'])
            && let Some(place) = &open
            && let Some(value) = found.get_mut(place)
        {
            value.push('\n');
            value.push_str(body.trim());
            continue;
        }
        let body = body.trim();
        if let Some(name) = body.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = Some(name.to_owned());
            open = None;
            continue;
        }
        let Some(section) = &section else {
            return Err(format!("line {number} stands before the first [section]"));
        };
        let Some((key, value)) = body.split_once(['=', ':']) else {
            return Err(format!("line {number} is not `key = value`: `{body}`"));
        };
        let place = (section.clone(), key.trim().to_ascii_lowercase());
        found.insert(place.clone(), value.trim().to_owned());
        open = Some(place);
    }
    Ok(found)
}

/// `#` and `;` begin a comment at the start of a line, `;` after a blank too.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with(['#', ';']) {
        return "";
    }
    match line.match_indices(';').find(|(at, _)| line[..*at].ends_with(char::is_whitespace)) {
        Some((at, _)) => &line[..at],
        None => line,
    }
}
