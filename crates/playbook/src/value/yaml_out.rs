//! Values as YAML text, laid out as PyYAML's dumper lays it out.
//!
//! Files made with `to_nice_yaml` are compared byte by byte with what Ansible made before, so the
//! rules for quoting, folding at 80 columns and dashes without indent are PyYAML's.

use super::{Dict, Lazy, Value};
use crate::yaml::resolve_plain;
use std::cmp::Ordering;

/// PyYAML's `best_width`.
const WIDTH: usize = 80;

/// How to lay it out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct YamlStyle {
    /// Spaces per level.
    pub(crate) indent: usize,
    /// `Some(true)`: everything in brackets; `Some(false)`: nothing; `None`: innermost only.
    pub(crate) flow: Option<bool>,
    /// Keys in alphabetical order.
    pub(crate) sorted: bool,
    /// Where lines are folded.
    pub(crate) width: Option<usize>,
    /// `---` stands before it.
    pub(crate) begin: bool,
    /// `...` stands after it.
    pub(crate) end: bool,
    /// The quote around every scalar.
    pub(crate) quote: Option<char>,
}

/// The value as a YAML document.
pub(crate) fn to_yaml(value: &Value, style: YamlStyle) -> String {
    let mut out =
        Writer { out: String::new(), column: 0, style, width: style.width.unwrap_or(WIDTH) };
    if style.begin {
        let block = is_collection(value) && !out.flow(value, false);
        out.out.push_str(if block { "---\n" } else { "--- " });
        out.column = if block { 0 } else { 4 };
    }
    out.node(value, None, false, false, false);
    if !out.out.ends_with('\n') {
        out.out.push('\n');
    }
    // Blank lines at the end of a block are its own, up to a mark that it ends.
    let open = matches!(value, Value::Str(text) if text.ends_with("\n\n"));
    if open && style.quote == Some('|') {
        out.out.push_str("\n...\n");
    }
    if style.end {
        out.out.push_str("...\n");
    }
    out.out
}

/// The value as YAML that leaves nothing to be guessed: every tag is there, everything stands in
/// brackets.
pub(crate) fn canonical_yaml(value: &Value, style: YamlStyle) -> String {
    let width = style.width.unwrap_or(WIDTH);
    let mut out = Writer { out: "---\n".to_owned(), column: 0, style, width };
    out.canonical(value, 0);
    out.out.push('\n');
    out.out
}

struct Writer {
    out: String,
    column: usize,
    style: YamlStyle,
    width: usize,
}

fn is_collection(value: &Value) -> bool {
    matches!(value, Value::List(_) | Value::Tuple(_) | Value::Dict(_))
}

fn is_leaf(value: &Value) -> bool {
    match value {
        Value::List(items) | Value::Tuple(items) => !items.iter().any(is_collection),
        Value::Dict(entries) => !entries.values().any(is_collection),
        _ => true,
    }
}

impl Writer {
    fn write(&mut self, text: &str) {
        self.out.push_str(text);
        match text.rfind('\n') {
            Some(at) => self.column = text[at + 1..].chars().count(),
            None => self.column += text.chars().count(),
        }
    }

    fn newline(&mut self, indent: usize) {
        self.write("\n");
        let pad = " ".repeat(indent);
        self.write(&pad);
    }

    fn flow(&self, value: &Value, in_flow: bool) -> bool {
        let empty = match value {
            Value::List(items) | Value::Tuple(items) => items.is_empty(),
            Value::Dict(entries) => entries.is_empty(),
            _ => true,
        };
        empty || in_flow || self.style.flow.unwrap_or_else(|| is_leaf(value))
    }

    /// `indent` is that of the surrounding collection, `None` at the root.
    fn node(
        &mut self,
        value: &Value,
        indent: Option<usize>,
        in_map: bool,
        in_flow: bool,
        is_key: bool,
    ) {
        match value {
            Value::List(items) | Value::Tuple(items) => {
                if self.flow(value, in_flow) {
                    self.flow_list(items, indent);
                } else {
                    self.block_list(items, indent, in_map);
                }
            }
            Value::Dict(entries) => {
                let entries = self.in_order(entries);
                if self.flow(value, in_flow) {
                    self.flow_dict(&entries, indent);
                } else {
                    self.block_dict(&entries, indent, in_map);
                }
            }
            Value::Object(object) if object.as_dict().is_some() => {
                let entries: Dict = object.as_dict().unwrap_or_default();
                self.node(&Value::dict(entries), indent, in_map, in_flow, is_key);
            }
            scalar => self.scalar(scalar, indent, in_flow, is_key),
        }
    }

    fn in_order<'e>(&self, entries: &'e Dict) -> Vec<(Value, &'e Value)> {
        let mut entries: Vec<_> = entries.iter().map(|(k, v)| (k.to_value(), v)).collect();
        // As Python's sort, which gives up on keys that cannot be compared.
        let comparable =
            entries.windows(2).all(|pair| super::compare(&pair[0].0, &pair[1].0).is_some());
        if self.style.sorted && comparable {
            entries.sort_by(|a, b| super::compare(&a.0, &b.0).unwrap_or(Ordering::Equal));
        }
        entries
    }

    fn canonical(&mut self, value: &Value, indent: usize) {
        let inner = indent + self.style.indent;
        match value {
            Value::List(items) | Value::Tuple(items) => {
                self.write("!!seq [");
                for item in items.iter() {
                    self.newline(inner);
                    self.canonical(item, inner);
                    self.write(",");
                }
                if !items.is_empty() {
                    self.newline(indent);
                }
                self.write("]");
            }
            Value::Dict(entries) => {
                self.write("!!map {");
                for (key, item) in self.in_order(entries) {
                    self.newline(inner);
                    self.write("? ");
                    self.canonical(&key, inner);
                    self.newline(inner);
                    self.write(": ");
                    self.canonical(item, inner);
                    self.write(",");
                }
                if !entries.is_empty() {
                    self.newline(indent);
                }
                self.write("}");
            }
            scalar => {
                let (tag, text) = match scalar {
                    Value::None => ("!!null", "null".to_owned()),
                    Value::Bool(truth) => ("!!bool", truth.to_string()),
                    Value::Int(number) => ("!!int", number.to_string()),
                    Value::Float(number) => ("!!float", super::float_text(*number)),
                    Value::Object(_) => ("!!timestamp", scalar.to_text()),
                    Value::Lazy(lazy) => match &**lazy {
                        Lazy::Vaulted(vaulted) => ("!vault", vaulted.text.clone()),
                        _ => ("!!str", scalar.to_text()),
                    },
                    _ => ("!!str", scalar.to_text()),
                };
                self.write(tag);
                self.write(" ");
                self.double_quoted(&text, inner, true);
            }
        }
    }

    fn block_list(&mut self, items: &[Value], indent: Option<usize>, in_map: bool) {
        // PyYAML does not indent a list under a key.
        let indent = match indent {
            None => 0,
            Some(indent) if in_map => indent,
            Some(indent) => indent + self.style.indent,
        };
        for (index, item) in items.iter().enumerate() {
            if index > 0 || in_map {
                self.newline(indent);
            }
            self.write("-");
            if is_collection(item) && !self.flow(item, false) {
                // The item's own lines stand at the next level; the first follows the dash.
                let pad = self.style.indent.max(2) - 1;
                self.write(&" ".repeat(pad));
            } else {
                self.write(" ");
            }
            self.node(item, Some(indent), false, false, false);
        }
    }

    fn block_dict(&mut self, entries: &[(Value, &Value)], indent: Option<usize>, in_map: bool) {
        let indent = indent.map_or(0, |indent| indent + self.style.indent);
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 || in_map {
                self.newline(indent);
            }
            self.node(key, Some(indent), true, false, true);
            self.write(":");
            if is_collection(value) && !self.flow(value, false) {
                self.node(value, Some(indent), true, false, false);
            } else {
                self.write(" ");
                self.node(value, Some(indent), true, false, false);
            }
        }
    }

    fn flow_list(&mut self, items: &[Value], indent: Option<usize>) {
        let indent = indent.map_or(self.style.indent, |indent| indent + self.style.indent);
        self.write("[");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.write(",");
            }
            if self.column > self.width {
                self.newline(indent);
            } else if index > 0 {
                self.write(" ");
            }
            self.node(item, Some(indent), false, true, false);
        }
        self.write("]");
    }

    fn flow_dict(&mut self, entries: &[(Value, &Value)], indent: Option<usize>) {
        let indent = indent.map_or(self.style.indent, |indent| indent + self.style.indent);
        self.write("{");
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 {
                self.write(",");
            }
            if self.column > self.width {
                self.newline(indent);
            } else if index > 0 {
                self.write(" ");
            }
            self.node(key, Some(indent), true, true, true);
            self.write(": ");
            self.node(value, Some(indent), true, true, false);
        }
        self.write("}");
    }

    fn scalar(&mut self, value: &Value, indent: Option<usize>, in_flow: bool, is_key: bool) {
        let text = match value {
            Value::None | Value::Undefined(_) | Value::Omit => return self.write("null"),
            Value::Bool(true) => return self.write("true"),
            Value::Bool(false) => return self.write("false"),
            Value::Float(number) if number.is_infinite() => {
                return self.write(if *number > 0.0 { ".inf" } else { "-.inf" });
            }
            Value::Float(number) if number.is_nan() => return self.write(".nan"),
            // A float has a point even before its exponent, or YAML 1.1 reads it as text.
            Value::Float(number) => {
                let text = super::float_text(*number);
                let pointed = match text.split_once('e') {
                    Some((digits, power)) if !digits.contains('.') => format!("{digits}.0e{power}"),
                    _ => text,
                };
                return self.write(&pointed);
            }
            Value::Str(text) => text.to_string(),
            Value::Lazy(lazy) => match &**lazy {
                Lazy::Vaulted(vaulted) => return self.vaulted(&vaulted.text, indent),
                _ => return self.write(&value.to_text()),
            },
            other => return self.write(&other.to_text()),
        };
        // Continuation lines of text stand one level deeper than its collection.
        let indent = indent.map_or(self.style.indent, |indent| indent + self.style.indent);
        let special =
            text.chars().any(|c| (c as u32) < 0x20 && !matches!(c, '\n') || c as u32 == 0x7f)
                || text.contains(" \n")
                || text.contains("\n ");
        let asked = self.style.quote;
        let blank_end = text.ends_with(' ') || text.starts_with(' ');
        if asked == Some('|') && !(special || is_key || in_flow || blank_end) {
            self.literal(&text, indent);
        } else if special || (is_key && text.contains('\n')) || asked == Some('"') {
            self.double_quoted(&text, indent, !is_key);
        } else if asked.is_none() && plain_allowed(&text, in_flow) && !resolves_away(&text) {
            self.plain(&text, indent, !is_key);
        } else {
            self.single_quoted(&text, indent, !is_key);
        }
    }

    /// Text as a block that keeps its lines.
    fn literal(&mut self, text: &str, indent: usize) {
        self.write("|");
        if text.starts_with('\n') {
            let width = self.style.indent.to_string();
            self.write(&width);
        }
        match text.strip_suffix('\n') {
            None => self.write("-"),
            Some(rest) if rest.is_empty() || rest.ends_with('\n') => self.write("+"),
            Some(_) => {}
        }
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            match line.is_empty() {
                true => self.write("\n"),
                false => {
                    self.newline(indent);
                    self.write(line);
                }
            }
        }
    }

    /// Encrypted text as the block that `!vault` stands before.
    fn vaulted(&mut self, text: &str, indent: Option<usize>) {
        self.write("!vault |");
        let indent = indent.map_or(self.style.indent, |indent| indent + self.style.indent);
        for line in text.lines() {
            self.newline(indent);
            self.write(line);
        }
    }

    fn plain(&mut self, text: &str, indent: usize, split: bool) {
        self.words(text, indent, split, false);
    }

    fn words(&mut self, text: &str, indent: usize, split: bool, quoted: bool) {
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        while at < chars.len() {
            let is_space = chars[at] == ' ';
            let mut end = at;
            while end < chars.len() && (chars[end] == ' ') == is_space {
                end += 1;
            }
            let run: String = chars[at..end].iter().collect();
            let inner = !quoted || (at > 0 && end < chars.len());
            if is_space && end - at == 1 && self.column > self.width && split && inner {
                self.newline(indent);
            } else if quoted {
                self.write(&run.replace('\'', "''"));
            } else {
                self.write(&run);
            }
            at = end;
        }
    }

    fn single_quoted(&mut self, text: &str, indent: usize, split: bool) {
        self.write("'");
        let mut rest = text;
        while !rest.is_empty() {
            let breaks = rest.len() - rest.trim_start_matches('\n').len();
            if breaks > 0 {
                self.out.push_str(&"\n".repeat(breaks + 1));
                self.column = 0;
                rest = &rest[breaks..];
                self.write(&" ".repeat(indent));
                continue;
            }
            let end = rest.find('\n').unwrap_or(rest.len());
            self.words(&rest[..end], indent, split, true);
            rest = &rest[end..];
        }
        self.write("'");
    }

    fn double_quoted(&mut self, text: &str, indent: usize, split: bool) {
        self.write("\"");
        let count = text.chars().count();
        for (index, c) in text.chars().enumerate() {
            let escaped = match c {
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                '\n' => "\\n".to_owned(),
                '\r' => "\\r".to_owned(),
                '\t' => "\\t".to_owned(),
                '\0' => "\\0".to_owned(),
                '\u{7}' => "\\a".to_owned(),
                '\u{8}' => "\\b".to_owned(),
                '\u{b}' => "\\v".to_owned(),
                '\u{c}' => "\\f".to_owned(),
                '\u{1b}' => "\\e".to_owned(),
                c if (c as u32) < 0x20 || c as u32 == 0x7f => format!("\\x{:02X}", c as u32),
                c => c.to_string(),
            };
            self.write(&escaped);
            if split && index > 0 && index + 1 < count && c == ' ' && self.column > self.width {
                self.write("\\");
                self.newline(indent);
                if text.chars().nth(index + 1) == Some(' ') {
                    self.write("\\");
                }
            }
        }
        self.write("\"");
    }
}

/// Would the text read back as something else than text?
fn resolves_away(text: &str) -> bool {
    !matches!(resolve_plain(text), Value::Str(_)) || matches!(text, "=" | "<<")
}

fn plain_allowed(text: &str, in_flow: bool) -> bool {
    let Some(first) = text.chars().next() else { return false };
    if text.starts_with(' ') || text.ends_with(' ') || text.contains('\n') {
        return false;
    }
    if text.starts_with("---") || text.starts_with("...") {
        return false;
    }
    let second = text.chars().nth(1);
    let followed = |c: Option<char>| c.is_none_or(|c| c == ' ');
    let bad_first = match first {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
        | '@' | '`' => true,
        '?' | ':' => in_flow || followed(second),
        '-' => followed(second),
        _ => false,
    };
    if bad_first {
        return false;
    }
    let mut previous = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ',' | '[' | ']' | '{' | '}' | '?' if in_flow => return false,
            ':' if in_flow || followed(chars.peek().copied()) => return false,
            '#' if previous == ' ' => return false,
            _ => {}
        }
        previous = c;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        crate::yaml::parse(
            "t",
            "z: [1, 2]\na: {b: [x, {c: 1, d: 'yes'}], e: '0644', f: '', g: null}\nt: \"a\\nb\\n\"\ns: 'k: v'\n",
        )
        .unwrap()
        .documents[0]
            .to_value()
    }

    #[test]
    fn nice_yaml_is_laid_out_as_pyyaml_lays_it_out() {
        let nice = YamlStyle {
            indent: 4,
            flow: Some(false),
            sorted: true,
            width: None,
            begin: false,
            end: false,
            quote: None,
        };
        // yaml.dump(value, indent=4, default_flow_style=False, allow_unicode=True), PyYAML 6.0.
        assert_eq!(
            to_yaml(&sample(), nice),
            "a:\n    b:\n    - x\n    -   c: 1\n        d: 'yes'\n    e: '0644'\n    f: ''\n    g: null\ns: 'k: v'\nt: 'a\n\n    b\n\n    '\nz:\n- 1\n- 2\n"
        );
    }

    #[test]
    fn other_styles_are_pyyamls_too() {
        // yaml.dump(…, canonical=True) and default_style='|', PyYAML 6.0.
        let style = |quote| YamlStyle {
            indent: 2,
            flow: None,
            sorted: true,
            width: None,
            begin: false,
            end: false,
            quote,
        };
        let value = crate::yaml::parse("t", "{c: {d: null}, a: 1, b: [1.5, x, [], true]}").unwrap();
        assert_eq!(
            canonical_yaml(&value.documents[0].to_value(), style(None)),
            "---\n!!map {\n  ? !!str \"a\"\n  : !!int \"1\",\n  ? !!str \"b\"\n  : !!seq [\n    !!float \"1.5\",\n    !!str \"x\",\n    !!seq [],\n    !!bool \"true\",\n  ],\n  ? !!str \"c\"\n  : !!map {\n    ? !!str \"d\"\n    : !!null \"null\",\n  },\n}\n"
        );
        for (text, yaml) in [
            ("thing", "|-\n  thing\n"),
            ("a\n\nb\n", "|\n  a\n\n  b\n"),
            ("a\n\n", "|+\n  a\n\n...\n"),
            ("\na", "|2-\n\n  a\n"),
        ] {
            assert_eq!(to_yaml(&Value::str(text), style(Some('|'))), yaml, "{text:?}");
        }
    }

    #[test]
    fn plain_yaml_keeps_the_innermost_collections_in_brackets() {
        let plain = YamlStyle {
            indent: 2,
            flow: None,
            sorted: true,
            width: None,
            begin: false,
            end: false,
            quote: None,
        };
        // yaml.dump(value, allow_unicode=True, default_flow_style=None), PyYAML 6.0.
        assert_eq!(
            to_yaml(&sample(), plain),
            "a:\n  b:\n  - x\n  - {c: 1, d: 'yes'}\n  e: '0644'\n  f: ''\n  g: null\ns: 'k: v'\nt: 'a\n\n  b\n\n  '\nz: [1, 2]\n"
        );
    }
}
