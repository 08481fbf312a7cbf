//! Python literals, as INI inventories have them for values.

use crate::value::{Value, parse_float};

/// The value of a literal: a number, quoted text, `True`, `None`, a list or a dict. `None` when the
/// text is no literal; then it is meant as itself.
pub(crate) fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text.trim() };
    let value = reader.value(0)?;
    reader.rest.trim_start().is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, mark: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.rest = self.rest.trim_start();
        let first = self.rest.chars().next()?;
        if depth > 50 {
            return None;
        }
        match first {
            '\'' | '"' => self.string(first),
            '[' => self.items(depth, ']').map(Value::list),
            // Ansible makes lists of tuples and sets.
            '(' => self.items(depth, ')').map(Value::list),
            '{' if self.is_set(depth) => self.items(depth, '}').map(Value::list),
            '{' => self.dict(depth),
            '.' if self.rest.starts_with("...") => {
                self.rest = &self.rest[3..];
                Some(Value::str("..."))
            }
            // Bytes become text.
            'b' | 'B' if self.rest[1..].starts_with(['\'', '"']) => {
                let quote = self.rest.chars().nth(1)?;
                self.rest = &self.rest[1..];
                self.string(quote)
            }
            c if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => self.number(),
            _ => {
                for (word, value) in [
                    ("True", Value::Bool(true)),
                    ("False", Value::Bool(false)),
                    ("None", Value::None),
                    ("set()", Value::list(Vec::new())),
                ] {
                    if let Some(rest) = self.rest.strip_prefix(word) {
                        self.rest = rest;
                        return Some(value);
                    }
                }
                None
            }
        }
    }

    fn string(&mut self, quote: char) -> Option<Value> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Some(Value::trusted(&text, None));
                }
                '\\' => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    c @ ('\\' | '\'' | '"') => text.push(c),
                    c => {
                        text.push('\\');
                        text.push(c);
                    }
                },
                '\n' => return None,
                c => text.push(c),
            }
        }
        None
    }

    fn number(&mut self) -> Option<Value> {
        let end = self
            .rest
            .char_indices()
            .find(|(at, c)| {
                let exponent_sign =
                    matches!(c, '+' | '-') && (*at == 0 || self.rest[..*at].ends_with(['e', 'E']));
                !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || exponent_sign)
            })
            .map_or(self.rest.len(), |(at, _)| at);
        let (text, rest) = self.rest.split_at(end);
        let body = text.trim_start_matches(['-', '+']);
        // An imaginary number stays the text it is.
        if let Some(real) = body.strip_suffix(['j', 'J'])
            && real.parse::<f64>().is_ok()
        {
            self.rest = rest;
            return Some(Value::str(text));
        }
        let value = if body.bytes().all(|b| b.is_ascii_digit()) {
            // Python refuses leading zeros, so `0644` stays text.
            let zeros = body.len() > 1 && body.starts_with('0') && body.bytes().any(|b| b != b'0');
            if zeros || body.is_empty() {
                return None;
            }
            Value::Int(text.trim_start_matches('+').parse().ok()?)
        } else if body.len() > 2 && body[..2].eq_ignore_ascii_case("0x") {
            Value::Int(i64::from_str_radix(&body[2..], 16).ok()?)
        } else if body.len() > 2 && body[..2].eq_ignore_ascii_case("0o") {
            Value::Int(i64::from_str_radix(&body[2..], 8).ok()?)
        } else if body
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'))
        {
            Value::Float(parse_float(text)?)
        } else {
            return None;
        };
        self.rest = rest;
        Some(value)
    }

    fn items(&mut self, depth: usize, close: char) -> Option<Vec<Value>> {
        self.rest = &self.rest[1..];
        let mut items = Vec::new();
        while !self.eat(close) {
            if !items.is_empty() {
                if !self.eat(',') {
                    return None;
                }
                if self.eat(close) {
                    break;
                }
            }
            items.push(self.value(depth + 1)?);
        }
        Some(items)
    }

    /// Do braces hold elements without keys?
    fn is_set(&self, depth: usize) -> bool {
        let mut ahead = Reader { rest: &self.rest[1..] };
        ahead.value(depth + 1).is_some() && (ahead.eat(',') || ahead.eat('}'))
    }

    fn dict(&mut self, depth: usize) -> Option<Value> {
        self.rest = &self.rest[1..];
        let mut entries = crate::value::Dict::new();
        let mut first = true;
        while !self.eat('}') {
            if !first {
                if !self.eat(',') {
                    return None;
                }
                if self.eat('}') {
                    break;
                }
            }
            first = false;
            let key = crate::value::Key::of(&self.value(depth + 1)?)?;
            if !self.eat(':') {
                return None;
            }
            entries.insert(key, self.value(depth + 1)?);
        }
        Some(Value::dict(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_pythons() {
        for (text, repr) in [
            ("1", "1"),
            ("-2.5", "-2.5"),
            ("1e3", "1000.0"),
            ("'a b'", "'a b'"),
            ("True", "True"),
            ("None", "None"),
            ("[1, 'x', {'k': None}]", "[1, 'x', {'k': None}]"),
            ("0x10", "16"),
            ("{'a': 1}", "{'a': 1}"),
            ("{1, 2}", "[1, 2]"),
            ("(1, 2)", "[1, 2]"),
            ("set()", "[]"),
            ("b'x'", "'x'"),
            ("1j", "'1j'"),
            ("...", "'...'"),
        ] {
            assert_eq!(parse(text).unwrap().repr(), repr, "{text}");
        }
        for text in ["true", "0644", "10.0.0.1", "a", "", "'open", "1 2", "yes", "[a]", "-"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
