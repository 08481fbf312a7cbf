//! Results as YAML, as Ansible's default callback shows them where `callback_result_format` asks for
//! it: text of several lines as such, and laid out for reading rather than to be read back.

use crate::value::{Dict, Key, Value, YamlStyle, to_yaml};

/// Spaces per level.
const INDENT: usize = 4;

/// Columns of a tab.
const TAB: usize = 8;

/// A result on lines of its own, the first newline included, the last one not.
pub(super) fn render(result: &Value) -> String {
    let mut shown = result.as_dict().cloned().unwrap_or_default();
    // What stands in one must not stand in the other again.
    for name in ["stdout", "stderr"] {
        let lines = format!("{name}_lines");
        if shown.contains_key(name) && shown.contains_key(lines.as_str()) {
            shown.insert(Key::from(lines.as_str()), Value::str("<omitted>"));
        }
    }
    let mut out = String::new();
    if shown.is_empty() {
        out.push_str(&format!("\n{}{{}}", " ".repeat(INDENT)));
    }
    entries(&mut out, &shown, INDENT, true);
    out
}

/// The entries of a dict. With `fresh` each is on a line of its own, otherwise the first goes on
/// where the line is.
fn entries(out: &mut String, dict: &Dict, indent: usize, fresh: bool) {
    let mut sorted: Vec<(&Key, &Value)> = dict.iter().collect();
    sorted.sort_by_key(|(key, _)| key.to_json_key());
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        if fresh || index > 0 {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
        }
        let key = scalar(&key.to_value(), indent, 0);
        out.push_str(&key);
        out.push(':');
        match (value.as_dict(), value.as_list()) {
            (Some(inner), _) if !inner.is_empty() => entries(out, inner, indent + INDENT, true),
            (None, Some(items)) if !items.is_empty() => elements(out, items, indent, true),
            _ => {
                out.push(' ');
                out.push_str(&scalar(value, indent, indent + key.chars().count() + 2));
            }
        }
    }
}

/// The elements of a list, as [`entries`].
fn elements(out: &mut String, items: &[Value], indent: usize, fresh: bool) {
    for (index, item) in items.iter().enumerate() {
        if fresh || index > 0 {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
        }
        out.push('-');
        match (item.as_dict(), item.as_list()) {
            (Some(inner), _) if !inner.is_empty() => {
                out.push_str(&" ".repeat(INDENT - 1));
                entries(out, inner, indent + INDENT, false);
            }
            (None, Some(inner)) if !inner.is_empty() => {
                out.push_str(&" ".repeat(INDENT - 1));
                elements(out, inner, indent + INDENT, false);
            }
            _ => {
                out.push(' ');
                out.push_str(&scalar(item, indent, indent + 2));
            }
        }
    }
}

/// What is neither a dict nor a list with something in it. It begins in `column`; further lines
/// stand one level deeper than `indent`.
fn scalar(value: &Value, indent: usize, column: usize) -> String {
    let pad = format!("\n{}", " ".repeat(indent + INDENT));
    match value {
        Value::Str(text) if text.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) => {
            let text = readable(text);
            // Blanks at the beginning would be taken for the indent.
            let hint = if text.starts_with([' ', '\n']) { "4" } else { "" };
            let lines = text.split('\n').map(|line| match line {
                "" => "\n".to_owned(),
                line => format!("{pad}{line}"),
            });
            format!("|{hint}-{}", lines.collect::<String>())
        }
        Value::Dict(_) => "{}".to_owned(),
        Value::List(_) | Value::Tuple(_) => "[]".to_owned(),
        other => {
            let style = YamlStyle {
                indent: INDENT,
                flow: Some(false),
                sorted: true,
                width: Some(usize::MAX),
                begin: false,
                end: false,
                quote: None,
            };
            let text = to_yaml(other, style);
            let text = text.trim_end_matches('\n').trim_end_matches("\n...");
            match text.starts_with('"') {
                true => text.to_owned(),
                false => folded(text, column, &pad),
            }
        }
    }
}

/// Long text on several lines, as PyYAML folds it: at a single blank after column 80, the outermost
/// indent not counted.
fn folded(text: &str, column: usize, pad: &str) -> String {
    const WIDTH: usize = 80;
    let chars: Vec<char> = text.chars().collect();
    let blank = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_none_or(|c| *c == ' ');
    let mut out = String::new();
    let mut column = column - INDENT.min(column);
    for (at, c) in chars.iter().enumerate() {
        let single = *c == ' ' && !blank(at.checked_sub(1)) && !blank(Some(at + 1));
        if single && column > WIDTH {
            out.push_str(pad);
            column = pad.len() - 1 - INDENT;
        } else {
            out.push(*c);
            column += 1;
        }
    }
    out
}

/// Text as a block of lines can show it: no tabs, no blanks before the end of a line, nothing that
/// cannot be seen.
fn readable(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for c in text.trim_end().chars() {
        match c {
            '\t' => {
                let blanks = TAB - column % TAB;
                out.push_str(&" ".repeat(blanks));
                column += blanks;
            }
            '\n' => {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
                column = 0;
            }
            c if c.is_control() || c == '\u{feff}' => {}
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shown by ansible-core 2.19.14 on 2026-11-22.
    #[test]
    fn results_are_laid_out_as_ansible_lays_them_out() {
        let text = "msg: {a: [1, {p: 1, q: [x, [y]]}], b: 'x: y', c: \"line1\\nline2  \\n\", d: '', e: null, f: true, g: 'yes', h: {}, i: []}\nstdout: a\nstdout_lines: [a]\n";
        let value = crate::yaml::parse("t", text).unwrap().documents[0].to_value();
        let expected = "
    msg:
        a:
        - 1
        -   p: 1
            q:
            - x
            -   - y
        b: 'x: y'
        c: |-
            line1
            line2
        d: ''
        e: null
        f: true
        g: 'yes'
        h: {}
        i: []
    stdout: a
    stdout_lines: <omitted>";
        assert_eq!(render(&value), expected);
    }
}
