//! Layouts that libyaml reads and our event parser refuses, brought into a form that both read.
//!
//! Lines within brackets and quotes may stand anywhere to libyaml, even left of what they belong
//! to, and a tab may stand where white space means nothing. The text is the same afterwards but for
//! that white space, so columns of such lines differ and lines do not.

/// How far inside a line that goes on is moved: deeper than anybody nests.
const DEEP: usize = 80;

/// The text with every line that goes on within brackets or quotes moved to the right.
pub(super) fn indented(text: &str) -> String {
    let mut scan =
        Scan { out: String::with_capacity(text.len() + text.len() / 4), ..Scan::default() };
    for line in text.split_inclusive('\n') {
        scan.line(line);
    }
    scan.out
}

#[derive(Default)]
struct Scan {
    out: String,
    quote: Option<char>,
    depth: usize,
    /// Indent of the line that opened a block scalar; its lines stand deeper and mean themselves.
    block: Option<usize>,
}

impl Scan {
    fn line(&mut self, line: &str) {
        let body = line.trim_end_matches(['\n', '\r']);
        let bare = body.trim_start_matches(' ');
        let indent = body.len() - bare.len();
        if let Some(outer) = self.block {
            if bare.trim().is_empty() || indent > outer {
                self.out.push_str(line);
                return;
            }
            self.block = None;
        }
        if self.quote.is_some() || self.depth > 0 {
            let rest = body.trim_start_matches([' ', '\t']);
            if !rest.is_empty() {
                self.out.push_str(&" ".repeat(DEEP));
            }
            self.out.push_str(rest);
        } else if body.trim().is_empty() {
            // A tab on an empty line is nothing.
        } else {
            self.out.push_str(body);
        }
        self.out.push_str(&line[body.len()..]);
        self.tokens(bare, indent);
    }

    /// What is open at the end of the line.
    fn tokens(&mut self, line: &str, indent: usize) {
        let mut before = ' ';
        let mut fresh = self.quote.is_none();
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match (self.quote, c) {
                (Some('"'), '\\') => drop(chars.next()),
                (Some('\''), '\'') if chars.next_if_eq(&'\'').is_some() => {}
                (Some(open), c) if c == open => {
                    self.quote = None;
                    fresh = false;
                }
                (Some(_), _) => {}
                (None, '#') if before.is_whitespace() => return,
                (None, '"' | '\'') if fresh || self.depth > 0 && before_value(before) => {
                    self.quote = Some(c);
                }
                (None, '[' | '{') if fresh || self.depth > 0 => {
                    self.depth += 1;
                    fresh = true;
                }
                (None, ']' | '}') if self.depth > 0 => self.depth -= 1,
                (None, '|' | '>') if fresh && self.depth == 0 && before.is_whitespace() => {
                    let rest: String = chars.clone().collect();
                    let rest = rest.split(" #").next().unwrap_or_default().trim();
                    if rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-')) {
                        self.block = Some(indent);
                        return;
                    }
                    fresh = false;
                }
                // A value may begin after a key, a dash and a comma.
                (None, ':' | '-' | '?' | ',') if chars.peek().is_none_or(|c| c.is_whitespace()) => {
                    fresh = c != ',' || self.depth > 0;
                }
                (None, c) if c.is_whitespace() => {}
                (None, '&' | '!') if fresh => {
                    while chars.next_if(|c| !c.is_whitespace()).is_some() {}
                }
                (None, _) => fresh = false,
            }
            before = c;
        }
    }
}

fn before_value(before: char) -> bool {
    before.is_whitespace() || matches!(before, '[' | '{' | ',' | ':')
}

#[cfg(test)]
mod tests {

    /// What PyYAML's safe loader gives for each.
    #[test]
    fn layouts_that_libyaml_reads_are_read() {
        for (text, repr) in [
            ("a: \"{{ {\n'x': 1\n}[y] }}\"\nb: 1\n", r#"{'a': "{{ { 'x': 1 }[y] }}", 'b': 1}"#),
            ("a: [\n  1,\n  2\n]\nb: 2\n", "{'a': [1, 2], 'b': 2}"),
            (
                "x:\n  a: {\n\"b\": [\n1], # {\n'c': \"]\"\n}\n  d: 1\n",
                "{'x': {'a': {'b': [1], 'c': ']'}, 'd': 1}}",
            ),
            ("a: 1\n\t\nb: [\n2]\n", "{'a': 1, 'b': [2]}"),
            ("a: |\n  don't [\n\n  x\nb: {\n}\n", r#"{'a': "don't [\n\nx\n", 'b': {}}"#),
            (
                "- k: >-\n    it's\n  l: don't {x\n- [\n1]\n",
                r#"[{'k': "it's", 'l': "don't {x"}, [1]]"#,
            ),
            ("a: 'x\n\ny'\nb: [\n]\n", r"{'a': 'x\ny', 'b': []}"),
        ] {
            let read = crate::yaml::parse("t.yml", text).unwrap();
            let value = crate::template::plain(&read.documents[0].to_value());
            assert_eq!(value.repr(), repr, "{text}");
        }
    }

    #[test]
    fn what_libyaml_refuses_is_refused_where_it_is() {
        for text in ["a: [1\nb: 2\n", "a: 'x\n", "a:\n  - b\n c: 1\n", "a: }\n"] {
            assert!(crate::yaml::parse("t.yml", text).is_err(), "{text}");
        }
        let fault = crate::yaml::parse("t.yml", "a: 1\nb: [\n2\nc: d: e\n").unwrap_err();
        assert!(fault.to_string().starts_with("t.yml:"), "{fault}");
        assert_eq!(crate::yaml::parse("t.yml", "").unwrap().documents.len(), 0);
    }
}
