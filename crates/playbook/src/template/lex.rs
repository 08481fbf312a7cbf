//! Template text to tokens.

use super::Syntax;
use crate::value::Value;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// Text outside of any braces.
    Text(Arc<str>),
    /// `{{`
    VarStart,
    /// `}}`
    VarEnd,
    /// `{%`
    BlockStart,
    /// `%}`
    BlockEnd,
    Name(Arc<str>),
    Str(Arc<str>),
    Int(i64),
    Float(f64),
    /// One of the operators, as it is written.
    Op(&'static str),
}

/// A token and the line it stands on, counted from 1.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) line: u32,
}

/// Why a template cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxFault {
    /// One sentence.
    pub what: String,
    /// Line within the template, counted from 1.
    pub line: u32,
}

// Longest first, so that `**` is not read as two stars.
const OPERATORS: &[&str] = &[
    "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[",
    "]", "{", "}", ",", ":", ".", "|", ";",
];

pub(crate) fn lex(source: &str, syntax: &Syntax) -> Result<Vec<Placed>, SyntaxFault> {
    let unified;
    let source = if source.contains('\r') {
        unified = source.replace("\r\n", "\n").replace('\r', "\n");
        unified.as_str()
    } else {
        source
    };
    let mut lexer = Lexer {
        rest: source,
        whole: source,
        line: 1,
        out: Vec::new(),
        syntax,
        after_newline: true,
        raw: false,
    };
    lexer.template()?;
    let mut out = lexer.out;
    if syntax.newline != "\n" {
        for placed in &mut out {
            if let Token::Text(text) = &mut placed.token {
                *text = text.replace('\n', &syntax.newline).into();
            }
        }
    }
    Ok(out)
}

/// Tokens of a bare expression, as in `when:`.
pub(crate) fn lex_expression(source: &str) -> Result<Vec<Placed>, SyntaxFault> {
    let syntax = Syntax::default();
    let mut lexer = Lexer {
        rest: source,
        whole: source,
        line: 1,
        out: Vec::new(),
        syntax: &syntax,
        after_newline: true,
        raw: false,
    };
    let mut open = Vec::new();
    while lexer.token(None, &mut open)?.is_some() {}
    Ok(lexer.out)
}

struct Lexer<'a> {
    rest: &'a str,
    line: u32,
    out: Vec<Placed>,
    syntax: &'a Syntax,
    /// All of the text.
    whole: &'a str,
    /// Nothing but the beginning of a line stands before `rest`.
    after_newline: bool,
    /// Backslashes in strings stand for themselves here.
    raw: bool,
}

impl<'a> Lexer<'a> {
    fn fault<T>(&self, what: impl Into<String>) -> Result<T, SyntaxFault> {
        Err(SyntaxFault { what: what.into(), line: self.line })
    }

    /// Nothing begins with this character, which stands before `rest`; counted as Jinja counts.
    fn odd<T>(&self, c: char) -> Result<T, SyntaxFault> {
        let at = self.whole.chars().count() - self.rest.chars().count();
        self.fault(format!("unexpected char {} at {at}", Value::from(c.to_string()).repr()))
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += u32::try_from(taken.matches('\n').count()).unwrap_or(0);
        self.rest = rest;
        taken
    }

    fn push(&mut self, token: Token) {
        self.out.push(Placed { token, line: self.line });
    }

    /// The nearest opening delimiter: where it is, and which of block, variable and comment.
    fn nearest(&self) -> Option<(usize, Opening)> {
        let mut best: Option<(usize, Opening, usize)> = None;
        for (mark, opening) in [
            (&self.syntax.block.0, Opening::Block),
            (&self.syntax.variable.0, Opening::Variable),
            (&self.syntax.comment.0, Opening::Comment),
        ] {
            if let Some(at) = self.rest.find(&**mark) {
                let better = best.is_none_or(|(found, _, length)| {
                    at < found || (at == found && mark.len() > length)
                });
                if better {
                    best = Some((at, opening, mark.len()));
                }
            }
        }
        best.map(|(at, opening, _)| (at, opening))
    }

    fn template(&mut self) -> Result<(), SyntaxFault> {
        while let Some((at, opening)) = self.nearest() {
            let mark = match opening {
                Opening::Block => &self.syntax.block.0,
                Opening::Variable => &self.syntax.variable.0,
                Opening::Comment => &self.syntax.comment.0,
            };
            let mark_len = mark.len();
            let control = self.rest[at + mark_len..].chars().next();
            let mut text = self.rest[..at].to_owned();
            let line_start = self.after_newline;
            match control {
                Some('-') => text.truncate(text.trim_end().len()),
                Some('+') => {}
                _ if self.syntax.lstrip_blocks && opening != Opening::Variable => {
                    let kept = text.trim_end_matches([' ', '\t']).len();
                    if text[..kept].ends_with('\n') || (kept == 0 && line_start) {
                        text.truncate(kept);
                    }
                }
                _ => {}
            }
            let line = self.line;
            self.advance(at);
            if !text.is_empty() {
                self.out.push(Placed { token: Token::Text(text.into()), line });
            }
            self.advance(mark_len);
            if matches!(control, Some('-' | '+')) {
                self.advance(1);
            }
            self.after_newline = false;
            match opening {
                Opening::Comment => self.comment()?,
                Opening::Variable => {
                    self.push(Token::VarStart);
                    self.raw = self.syntax.raw_strings;
                    self.inside(&self.syntax.variable.1.clone(), Token::VarEnd)?;
                }
                Opening::Block => {
                    if !self.raw()? {
                        self.push(Token::BlockStart);
                        self.raw = false;
                        self.inside(&self.syntax.block.1.clone(), Token::BlockEnd)?;
                    }
                }
            }
        }
        let mut text = self.rest;
        if !self.syntax.keep_trailing_newline {
            text = text.strip_suffix('\n').unwrap_or(text);
        }
        if !text.is_empty() {
            self.push(Token::Text(text.into()));
        }
        Ok(())
    }

    /// After a closing mark: `-` eats all white space, `trim_blocks` one newline.
    fn after_close(&mut self, trimmed: bool, kept: bool, block: bool) {
        if trimmed {
            let eaten = self.rest.len() - self.rest.trim_start().len();
            self.advance(eaten);
        } else if block && self.syntax.trim_blocks && !kept && self.rest.starts_with('\n') {
            self.advance(1);
            self.after_newline = true;
        }
    }

    fn comment(&mut self) -> Result<(), SyntaxFault> {
        let close = self.syntax.comment.1.clone();
        let Some(end) = self.rest.find(&*close) else {
            return self.fault("Missing end of comment tag");
        };
        let body = self.advance(end);
        let (trimmed, kept) = (body.ends_with('-'), body.ends_with('+'));
        self.advance(close.len());
        self.after_close(trimmed, kept, true);
        Ok(())
    }

    /// `{% raw %} … {% endraw %}`, the opening mark already taken.
    fn raw(&mut self) -> Result<bool, SyntaxFault> {
        let close = self.syntax.block.1.clone();
        let body = self.rest.trim_start();
        let Some(after) = body.strip_prefix("raw") else { return Ok(false) };
        let after = after.trim_start();
        let (trim_start, after) = match after.strip_prefix('-') {
            Some(rest) if rest.starts_with(&*close) => (true, rest),
            _ => (false, after),
        };
        let Some(inner) = after.strip_prefix(&*close) else { return Ok(false) };
        let skipped = self.rest.len() - inner.len();
        self.advance(skipped);
        self.after_close(trim_start, false, true);
        let open = self.syntax.block.0.clone();
        let mut from = 0;
        while let Some(at) = self.rest[from..].find(&*open) {
            let start = from + at;
            let tail = &self.rest[start + open.len()..];
            let (trim_before, tail) = match tail.strip_prefix('-') {
                Some(tail) => (true, tail),
                None => (false, tail.strip_prefix('+').unwrap_or(tail)),
            };
            if let Some(tail) = tail.trim_start().strip_prefix("endraw") {
                let tail = tail.trim_start();
                let (trim_after, tail) = match tail.strip_prefix('-') {
                    Some(tail) if tail.starts_with(&*close) => (true, tail),
                    _ => (false, tail),
                };
                if let Some(tail) = tail.strip_prefix(&*close) {
                    let mut text = &self.rest[..start];
                    if trim_before {
                        text = text.trim_end();
                    }
                    if !text.is_empty() {
                        self.push(Token::Text(text.into()));
                    }
                    let end = self.rest.len() - tail.len();
                    self.advance(end);
                    self.after_close(trim_after, false, true);
                    return Ok(true);
                }
            }
            from = start + open.len();
        }
        self.fault("Missing end of raw directive")
    }

    fn inside(&mut self, close: &str, end: Token) -> Result<(), SyntaxFault> {
        let mut open = Vec::new();
        loop {
            match self.token(Some((close, &end)), &mut open)? {
                Some(true) => {}
                Some(false) => return Ok(()),
                None => {
                    let what = if end == Token::VarEnd {
                        "end of print statement"
                    } else {
                        "end of statement block"
                    };
                    return self.fault(format!("unexpected end of template, expected '{what}'"));
                }
            }
        }
    }

    /// One token. `Some(false)` when the closing mark came, `None` at the end of the text.
    fn token(
        &mut self,
        close: Option<(&str, &Token)>,
        open: &mut Vec<&'static str>,
    ) -> Result<Option<bool>, SyntaxFault> {
        // Python's str.isspace includes the no-break space that people paste from web pages.
        let spaces = self.rest.len() - self.rest.trim_start_matches(char::is_whitespace).len();
        self.advance(spaces);
        if let Some((mark, end)) = close {
            let is_block = *end == Token::BlockEnd;
            for (prefix, trimmed, kept) in
                [("-", true, false), ("+", false, true), ("", false, false)]
            {
                let matched =
                    self.rest.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(mark));
                // A closing brace of a dict is not the end of the expression.
                if matched && (open.is_empty() || !prefix.is_empty()) {
                    self.advance(prefix.len() + mark.len());
                    self.push(end.clone());
                    self.after_close(trimmed, kept, is_block);
                    return Ok(Some(false));
                }
            }
        }
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        if first == '"' || first == '\'' {
            let text = self.string(first)?;
            self.push(Token::Str(text.into()));
        } else if first.is_ascii_digit() {
            self.number()?;
        } else if first == '_' || first.is_alphabetic() {
            let end = self
                .rest
                .find(|c: char| c != '_' && !c.is_alphanumeric())
                .unwrap_or(self.rest.len());
            let name = self.advance(end);
            self.push(Token::Name(name.into()));
        } else if let Some(operator) = OPERATORS.iter().find(|op| self.rest.starts_with(**op)) {
            match *operator {
                "(" | "[" | "{" => open.push(operator),
                ")" | "]" | "}" => {
                    let expected = match open.pop() {
                        Some("(") => ")",
                        Some("[") => "]",
                        Some(_) => "}",
                        None => return self.fault(format!("unexpected '{operator}'")),
                    };
                    if expected != *operator {
                        return self
                            .fault(format!("unexpected '{operator}', expected '{expected}'"));
                    }
                }
                _ => {}
            }
            self.push(Token::Op(operator));
            self.advance(operator.len());
        } else {
            return self.odd(first);
        }
        Ok(Some(true))
    }

    fn string(&mut self, quote: char) -> Result<String, SyntaxFault> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.advance(at + 1);
                return Ok(text);
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let Some((_, escape)) = chars.next() else { break };
            if self.raw {
                text.push('\\');
                text.push(escape);
                continue;
            }
            let hex = |chars: &mut dyn Iterator<Item = (usize, char)>, count: usize| {
                let digits: String = chars.take(count).map(|(_, c)| c).collect();
                u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
            };
            match escape {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                '0' => text.push('\0'),
                'a' => text.push('\u{7}'),
                'b' => text.push('\u{8}'),
                'f' => text.push('\u{c}'),
                'v' => text.push('\u{b}'),
                '\n' => {}
                '\\' | '\'' | '"' => text.push(escape),
                'x' | 'u' | 'U' => {
                    let count = match escape {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    match hex(&mut chars, count) {
                        Some(c) => text.push(c),
                        None => return self.fault(format!("bad escape `\\{escape}` in a string")),
                    }
                }
                other => {
                    text.push('\\');
                    text.push(other);
                }
            }
        }
        self.odd(quote)
    }

    fn number(&mut self) -> Result<(), SyntaxFault> {
        let text = self.rest;
        let radix = match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
            Some("0x") => 16,
            Some("0o") => 8,
            Some("0b") => 2,
            _ => 10,
        };
        if radix != 10 {
            let end = 2 + text[2..]
                .find(|c: char| !c.is_digit(radix) && c != '_')
                .unwrap_or(text.len() - 2);
            let digits = self.advance(end)[2..].replace('_', "");
            return match i64::from_str_radix(&digits, radix) {
                Ok(number) => {
                    self.push(Token::Int(number));
                    Ok(())
                }
                Err(_) => self.fault("a number is malformed"),
            };
        }
        let digits = |from: usize| {
            from + text[from..]
                .find(|c: char| !c.is_ascii_digit() && c != '_')
                .unwrap_or(text.len() - from)
        };
        let mut end = digits(0);
        let mut float = false;
        if text[end..].starts_with('.') && text[end + 1..].starts_with(|c: char| c.is_ascii_digit())
        {
            float = true;
            end = digits(end + 1);
        }
        if let Some(exponent) = text[end..].strip_prefix(['e', 'E']) {
            let sign = usize::from(exponent.starts_with(['+', '-']));
            if exponent[sign..].starts_with(|c: char| c.is_ascii_digit()) {
                float = true;
                end = digits(end + 1 + sign);
            }
        }
        let digits = self.advance(end).replace('_', "");
        let token = if float {
            digits.parse().ok().map(Token::Float)
        } else {
            digits.parse().ok().map(Token::Int)
        };
        match token {
            Some(token) => {
                self.push(token);
                Ok(())
            }
            None => self.fault(format!("`{digits}` is more than can be counted")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Block,
    Variable,
    Comment,
}
