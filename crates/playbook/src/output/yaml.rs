//! Results as YAML, as Ansible's default callback shows them where `callback_result_format` asks for
//! it and as `community.general.yaml` does: text of several lines as such, and laid out for reading
//! rather than to be read back.

use crate::value::{Dict, Key, Value, YamlStyle, to_yaml};

/// How it is laid out.
#[derive(Clone, Copy)]
struct Layout {
    /// Spaces per level.
    indent: usize,
    /// Spaces in front of the outermost level.
    outer: usize,
    /// Text is folded at the first blank after so many columns, the outermost indent not counted.
    width: usize,
}

const DEFAULT: Layout = Layout { indent: 4, outer: 4, width: 80 };
const BLOCKS: Layout = Layout { indent: 2, outer: 2, width: 1_000 };

/// Columns of a tab.
const TAB: usize = 8;

/// A result on lines of its own, the first newline included, the last one not.
pub(super) fn render(result: &Value) -> String {
    let shown = once(result);
    let mut out = String::new();
    if shown.is_empty() {
        out.push_str(&format!("\n{}{{}}", " ".repeat(DEFAULT.outer)));
    }
    DEFAULT.entries(&mut out, &shown, DEFAULT.outer, true);
    out
}

/// Whether something changed or was skipped, and what else there is on lines of its own.
pub(super) fn blocks(result: &Value) -> String {
    // In words and a form of its own.
    if result.get("censored").is_some() {
        return "{\"censored\": \"The output has been hidden due to the fact that 'no_log: true' was specified for this result\"}".to_owned();
    }
    let mut shown = once(result);
    let mut out = String::new();
    for name in ["changed", "skipped"] {
        if let Some(value) = shown.shift_remove(name) {
            out.push_str(&format!("{name}={} ", value.to_text().to_lowercase()));
        }
    }
    BLOCKS.entries(&mut out, &shown, BLOCKS.outer, true);
    out.truncate(out.trim_end().len());
    out
}

/// The entries of a result, of which none says what another says.
fn once(result: &Value) -> Dict {
    let mut shown = result.as_dict().cloned().unwrap_or_default();
    for name in ["stdout", "stderr"] {
        let lines = format!("{name}_lines");
        if shown.contains_key(name) && shown.contains_key(lines.as_str()) {
            shown.insert(Key::from(lines.as_str()), Value::str("<omitted>"));
        }
    }
    shown
}

impl Layout {
    /// The entries of a dict. With `fresh` each is on a line of its own, otherwise the first goes on
    /// where the line is.
    fn entries(self, out: &mut String, dict: &Dict, indent: usize, fresh: bool) {
        let mut sorted: Vec<(&Key, &Value)> = dict.iter().collect();
        sorted.sort_by_key(|(key, _)| key.to_json_key());
        for (index, (key, value)) in sorted.into_iter().enumerate() {
            if fresh || index > 0 {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
            }
            let key = self.scalar(&key.to_value(), indent, 0);
            out.push_str(&key);
            out.push(':');
            match (value.as_dict(), value.as_list()) {
                (Some(inner), _) if !inner.is_empty() => {
                    self.entries(out, inner, indent + self.indent, true)
                }
                (None, Some(items)) if !items.is_empty() => self.elements(out, items, indent, true),
                _ => {
                    out.push(' ');
                    out.push_str(&self.scalar(value, indent, indent + key.chars().count() + 2));
                }
            }
        }
    }

    /// The elements of a list, as [`entries`].
    fn elements(self, out: &mut String, items: &[Value], indent: usize, fresh: bool) {
        for (index, item) in items.iter().enumerate() {
            if fresh || index > 0 {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
            }
            out.push('-');
            match (item.as_dict(), item.as_list()) {
                (Some(inner), _) if !inner.is_empty() => {
                    out.push_str(&" ".repeat(self.indent - 1));
                    self.entries(out, inner, indent + self.indent, false);
                }
                (None, Some(inner)) if !inner.is_empty() => {
                    out.push_str(&" ".repeat(self.indent - 1));
                    self.elements(out, inner, indent + self.indent, false);
                }
                _ => {
                    out.push(' ');
                    out.push_str(&self.scalar(item, indent, indent + 2));
                }
            }
        }
    }

    /// What is neither a dict nor a list with something in it. It begins in `column`; further lines
    /// stand one level deeper than `indent`.
    fn scalar(self, value: &Value, indent: usize, column: usize) -> String {
        let pad = format!("\n{}", " ".repeat(indent + self.indent));
        match value {
            Value::Str(text) if text.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) => {
                let text = readable(text);
                // Blanks at the beginning would be taken for the indent.
                let digit = self.indent.to_string();
                let hint = if text.starts_with([' ', '\n']) { &digit } else { "" };
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
                    indent: self.indent,
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
                    false => self.folded(text, column, &pad),
                }
            }
        }
    }

    /// Long text on several lines, as PyYAML folds it: at a single blank after the last column, the
    /// outermost indent not counted.
    fn folded(self, text: &str, column: usize, pad: &str) -> String {
        let chars: Vec<char> = text.chars().collect();
        let blank = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_none_or(|c| *c == ' ');
        let mut out = String::new();
        let mut column = column - self.outer.min(column);
        for (at, c) in chars.iter().enumerate() {
            let single = *c == ' ' && !blank(at.checked_sub(1)) && !blank(Some(at + 1));
            if single && column > self.width {
                out.push_str(pad);
                column = pad.len() - 1 - self.outer;
            } else {
                out.push(*c);
                column += 1;
            }
        }
        out
    }
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

    // Shown by community.general 11.4 on 2026-11-23.
    #[test]
    fn blocks_are_those_of_the_callback() {
        let text = "changed: true\nmsg: {a: [1, {p: 1, q: [x, [y]]}], c: \"line1\\n\\tline2  \\n\"}\nstdout: a\nstdout_lines: [a]\n";
        let value = crate::yaml::parse("t", text).unwrap().documents[0].to_value();
        let expected = "changed=true \n  msg:\n    a:\n    - 1\n    - p: 1\n      q:\n      - x\n      - - y\n    c: |-\n      line1\n              line2\n  stdout: a\n  stdout_lines: <omitted>";
        assert_eq!(blocks(&value), expected);
    }
}
