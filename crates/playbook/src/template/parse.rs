//! Tokens to a tree: Jinja's grammar.

use super::Syntax;
use super::ast::{Args, Binary, Compare, Expr, For, Macro, Param, Stmt, Target};
use super::lex::{Placed, SyntaxFault, Token, lex, lex_expression};
use crate::value::Value;
use std::sync::Arc;

/// Deeper nesting of expressions or blocks is refused, since it would cost stack.
const DEPTH: usize = 120;

type Parse<T> = Result<T, SyntaxFault>;

/// Reads a template.
pub(crate) fn parse_template(source: &str, syntax: &Syntax) -> Parse<Vec<Stmt>> {
    let tokens = lex(&super::lines::spelled_out(source, syntax), syntax)?;
    let mut parser = Parser { tokens, tags: Vec::new(), at: 0, depth: 0 };
    let (body, end) = parser.statements(&[])?;
    match end {
        None => Ok(body),
        Some(name) => parser.fault(format!("Encountered unknown tag '{name}'.")),
    }
}

/// Reads a bare expression.
pub(crate) fn parse_expression(source: &str) -> Parse<Expr> {
    let tokens = lex_expression(source)?;
    let mut parser = Parser { tokens, tags: Vec::new(), at: 0, depth: 0 };
    let expr = parser.tuple()?;
    match parser.peek() {
        None => Ok(expr),
        Some(token) => {
            let text = show(token);
            parser.fault(format!("chunk after expression: unexpected '{text}'"))
        }
    }
}

/// What Jinja calls a token.
fn show(token: &Token) -> String {
    match token {
        Token::Text(_) => "template data".to_owned(),
        Token::VarStart => "begin of print statement".to_owned(),
        Token::BlockStart => "begin of statement block".to_owned(),
        Token::VarEnd => "end of print statement".to_owned(),
        Token::BlockEnd => "end of statement block".to_owned(),
        Token::Name(name) => name.to_string(),
        Token::Str(_) => "string".to_owned(),
        Token::Int(_) => "integer".to_owned(),
        Token::Float(_) => "float".to_owned(),
        Token::Op(operator) => (*operator).to_owned(),
    }
}

/// Stands for whatever an expression may begin with.
const EXPRESSION: &str = "expression";

struct Parser {
    tokens: Vec<Placed>,
    /// The blocks that are open, the innermost last.
    tags: Vec<String>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn fault<T>(&self, what: impl Into<String>) -> Parse<T> {
        let line =
            self.tokens.get(self.at).or_else(|| self.tokens.last()).map_or(1, |placed| placed.line);
        Err(SyntaxFault { what: what.into(), line })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    fn peek_second(&self) -> Option<&Token> {
        self.tokens.get(self.at + 1).map(|placed| &placed.token)
    }

    fn unexpected<T>(&self, wanted: &str) -> Parse<T> {
        match self.peek() {
            Some(token) if wanted == EXPRESSION => {
                self.fault(format!("unexpected '{}'", show(token)))
            }
            Some(token) => self.fault(format!("expected token '{wanted}', got '{}'", show(token))),
            None => self.fault(format!("unexpected end of template, expected '{wanted}'.")),
        }
    }

    fn op(&mut self, operator: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Op(op)) if *op == operator);
        self.at += usize::from(found);
        found
    }

    fn is_op(&self, operator: &str) -> bool {
        matches!(self.peek(), Some(Token::Op(op)) if *op == operator)
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(name)) if **name == *word)
    }

    fn expect_op(&mut self, operator: &'static str) -> Parse<()> {
        if self.op(operator) { Ok(()) } else { self.unexpected(operator) }
    }

    fn expect_word(&mut self, word: &str) -> Parse<()> {
        if self.word(word) { Ok(()) } else { self.unexpected(word) }
    }

    fn name(&mut self) -> Parse<Arc<str>> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = Arc::clone(name);
                self.at += 1;
                Ok(name)
            }
            _ => self.unexpected("name"),
        }
    }

    fn expect(&mut self, token: Token) -> Parse<()> {
        if self.peek() == Some(&token) {
            self.at += 1;
            Ok(())
        } else {
            self.unexpected(&show(&token))
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.depth >= DEPTH {
            return self.fault(format!("nested more than {DEPTH} levels deep"));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// Statements up to one of `ends`, whose name is given back with its `%}` still to come.
    fn statements(&mut self, ends: &[&str]) -> Parse<(Vec<Stmt>, Option<Arc<str>>)> {
        self.deeper(|parser| {
            let mut body = Vec::new();
            loop {
                match parser.peek() {
                    None => return Ok((body, None)),
                    Some(Token::Text(text)) => {
                        body.push(Stmt::Text(Arc::clone(text)));
                        parser.at += 1;
                    }
                    Some(Token::VarStart) => {
                        parser.at += 1;
                        let expr = parser.tuple()?;
                        parser.expect(Token::VarEnd)?;
                        body.push(Stmt::Out(expr));
                    }
                    Some(Token::BlockStart) => {
                        parser.at += 1;
                        let name = parser.name()?;
                        if ends.contains(&&*name)
                            || name.starts_with("end")
                            || &*name == "else"
                            || &*name == "elif"
                        {
                            return Ok((body, Some(name)));
                        }
                        parser.tags.push(name.to_string());
                        body.push(parser.statement(&name)?);
                        parser.tags.pop();
                    }
                    Some(_) => return parser.unexpected("text or a block"),
                }
            }
        })
    }

    /// Statements up to exactly one of `ends`.
    fn body(&mut self, ends: &[&str]) -> Parse<(Vec<Stmt>, Arc<str>)> {
        match self.statements(ends)? {
            (body, Some(end)) if ends.contains(&&*end) => Ok((body, end)),
            (_, end) => {
                let what = match end {
                    Some(end) => format!("Encountered unknown tag '{end}'."),
                    None => "Unexpected end of template.".to_owned(),
                };
                self.fault(format!(
                    "{what} Jinja was looking for the following tags: '{}'.{}",
                    ends.join("' or '"),
                    self.innermost()
                ))
            }
        }
    }

    fn innermost(&self) -> String {
        let tag = self.tags.last();
        tag.map(|tag| format!(" The innermost block that needs to be closed is '{tag}'."))
            .unwrap_or_default()
    }

    fn close(&mut self) -> Parse<()> {
        self.expect(Token::BlockEnd)
    }

    fn statement(&mut self, name: &str) -> Parse<Stmt> {
        match name {
            "for" => self.for_loop(),
            "if" => self.if_chain(),
            "set" => self.set(),
            "macro" => {
                let name = self.name()?;
                let params = self.params()?;
                self.close()?;
                let (body, _) = self.body(&["endmacro"])?;
                if matches!(self.peek(), Some(Token::Name(_))) {
                    self.at += 1;
                }
                self.close()?;
                Ok(Stmt::Macro(Arc::new(Macro { name, params, body })))
            }
            "call" => {
                let params = if self.is_op("(") { self.params()? } else { Vec::new() };
                let call = self.expression()?;
                if !matches!(call, Expr::Call(..)) {
                    return self.fault("expected a call after 'call'");
                }
                self.close()?;
                let (body, _) = self.body(&["endcall"])?;
                self.close()?;
                Ok(Stmt::CallBlock(
                    call,
                    Arc::new(Macro { name: Arc::from("caller"), params, body }),
                ))
            }
            "filter" => {
                let filters = self.filter_chain()?;
                self.close()?;
                let (body, _) = self.body(&["endfilter"])?;
                self.close()?;
                Ok(Stmt::FilterBlock(filters, body))
            }
            "with" => {
                let mut pairs = Vec::new();
                while !matches!(self.peek(), Some(Token::BlockEnd)) {
                    if !pairs.is_empty() {
                        self.expect_op(",")?;
                    }
                    let target = self.target()?;
                    self.expect_op("=")?;
                    pairs.push((target, self.expression()?));
                }
                self.close()?;
                let (body, _) = self.body(&["endwith"])?;
                self.close()?;
                Ok(Stmt::With(pairs, body))
            }
            "do" => {
                let expr = self.tuple()?;
                self.close()?;
                Ok(Stmt::Do(expr))
            }
            "include" => {
                let name = self.expression()?;
                let ignore_missing = if self.is_word("ignore") {
                    self.at += 1;
                    self.expect_word("missing")?;
                    true
                } else {
                    false
                };
                let seeing = self.context_words()?.unwrap_or(true);
                self.close()?;
                Ok(Stmt::Include { name, ignore_missing, seeing })
            }
            "import" => {
                let name = self.expression()?;
                self.expect_word("as")?;
                let alias = self.name()?;
                let seeing = self.context_words()?.unwrap_or(false);
                self.close()?;
                Ok(Stmt::Import { name, alias, seeing })
            }
            "from" => {
                let name = self.expression()?;
                self.expect_word("import")?;
                let mut names = Vec::new();
                let seeing = loop {
                    if self.is_word("with") || self.is_word("without") {
                        break self.context_words()?;
                    }
                    let imported = self.name()?;
                    let alias = if self.word("as") { self.name()? } else { Arc::clone(&imported) };
                    names.push((imported, alias));
                    if !self.op(",") {
                        break self.context_words()?;
                    }
                };
                let seeing = seeing.unwrap_or(false);
                self.close()?;
                Ok(Stmt::FromImport { name, names, seeing })
            }
            "extends" => {
                let name = self.expression()?;
                self.close()?;
                Ok(Stmt::Extends(name))
            }
            "block" => {
                let name = self.name()?;
                while self.word("scoped") || self.word("required") {}
                self.close()?;
                let (body, _) = self.body(&["endblock"])?;
                if matches!(self.peek(), Some(Token::Name(_))) {
                    self.at += 1;
                }
                self.close()?;
                Ok(Stmt::Block(name, Arc::new(body)))
            }
            "break" | "continue" => {
                self.close()?;
                Ok(if name == "break" { Stmt::Break } else { Stmt::Continue })
            }
            "autoescape" => {
                self.expression()?;
                self.close()?;
                let (body, _) = self.body(&["endautoescape"])?;
                self.close()?;
                Ok(Stmt::With(Vec::new(), body))
            }
            other => self.fault(format!("Encountered unknown tag '{other}'.")),
        }
    }

    /// `with context`, `without context`: the whole context is always seen.
    /// `with context` or `without context`, where one of them is said.
    fn context_words(&mut self) -> Parse<Option<bool>> {
        let said = match () {
            () if self.word("with") => Some(true),
            () if self.word("without") => Some(false),
            () => None,
        };
        if said.is_some() {
            self.expect_word("context")?;
        }
        Ok(said)
    }

    fn params(&mut self) -> Parse<Vec<Param>> {
        self.expect_op("(")?;
        let mut params = Vec::new();
        while !self.op(")") {
            if !params.is_empty() {
                self.expect_op(",")?;
                if self.op(")") {
                    break;
                }
            }
            let name = self.name()?;
            let default = if self.op("=") { Some(self.expression()?) } else { None };
            params.push(Param { name, default });
        }
        Ok(params)
    }

    fn target(&mut self) -> Parse<Target> {
        let mut targets = Vec::new();
        let mut several = false;
        loop {
            if self.op("(") {
                targets.push(self.target()?);
                self.expect_op(")")?;
            } else {
                let name = self.name()?;
                if self.op(".") {
                    let attr = self.name()?;
                    targets.push(Target::Attr(name, attr));
                } else {
                    targets.push(Target::Name(name));
                }
            }
            if !self.op(",") {
                break;
            }
            several = true;
            if !matches!(self.peek(), Some(Token::Name(_))) && !self.is_op("(")
                || self.is_word("in")
            {
                break;
            }
        }
        match targets.pop() {
            Some(only) if targets.is_empty() && !several => Ok(only),
            Some(last) => {
                targets.push(last);
                Ok(Target::Several(targets))
            }
            None => self.unexpected("name"),
        }
    }

    fn for_loop(&mut self) -> Parse<Stmt> {
        let target = self.target()?;
        self.expect_word("in")?;
        let over = self.tuple_of(Self::without_if)?;
        let only_if = if self.word("if") { Some(self.expression()?) } else { None };
        let recursive = self.word("recursive");
        self.close()?;
        let (body, end) = self.body(&["else", "endfor"])?;
        let mut otherwise = Vec::new();
        if &*end == "else" {
            self.close()?;
            otherwise = self.body(&["endfor"])?.0;
        }
        self.close()?;
        Ok(Stmt::For(Arc::new(For { target, over, only_if, recursive, body, otherwise })))
    }

    fn if_chain(&mut self) -> Parse<Stmt> {
        let mut branches = Vec::new();
        let mut test = self.tuple_of(Self::expression)?;
        loop {
            self.close()?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            branches.push((test, body));
            match &*end {
                "elif" => test = self.tuple_of(Self::expression)?,
                "else" => {
                    self.close()?;
                    let (otherwise, _) = self.body(&["endif"])?;
                    self.close()?;
                    return Ok(Stmt::If(branches, otherwise));
                }
                _ => {
                    self.close()?;
                    return Ok(Stmt::If(branches, Vec::new()));
                }
            }
        }
    }

    fn set(&mut self) -> Parse<Stmt> {
        let target = self.target()?;
        if self.op("=") {
            let value = self.tuple()?;
            self.close()?;
            return Ok(Stmt::Set(target, value));
        }
        let filters = if self.op("|") { self.filter_chain()? } else { Vec::new() };
        self.close()?;
        let (body, _) = self.body(&["endset"])?;
        self.close()?;
        Ok(Stmt::SetBlock(target, filters, body))
    }

    fn filter_chain(&mut self) -> Parse<Vec<(Arc<str>, Args)>> {
        let mut filters = Vec::new();
        loop {
            let name = self.dotted()?;
            let args = if self.is_op("(") { self.args()? } else { Args::default() };
            filters.push((name, args));
            if !self.op("|") {
                return Ok(filters);
            }
        }
    }

    fn dotted(&mut self) -> Parse<Arc<str>> {
        let mut name = self.name()?.to_string();
        while self.op(".") {
            name.push('.');
            name.push_str(&self.name()?);
        }
        Ok(name.into())
    }

    /// An expression, or several with commas between: a tuple without brackets.
    fn tuple(&mut self) -> Parse<Expr> {
        self.tuple_of(Self::expression)
    }

    fn tuple_of(&mut self, item: impl Fn(&mut Self) -> Parse<Expr>) -> Parse<Expr> {
        if let Some(token @ (Token::VarEnd | Token::BlockEnd)) = self.peek() {
            return self.fault(format!("Expected an expression, got '{}'", show(token)));
        }
        let first = item(self)?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.op(",") {
            if matches!(self.peek(), None | Some(Token::VarEnd | Token::BlockEnd))
                || self.is_op(")")
            {
                break;
            }
            items.push(item(self)?);
        }
        Ok(Expr::Tuple(items))
    }

    fn expression(&mut self) -> Parse<Expr> {
        self.deeper(|parser| {
            let mut value = parser.or()?;
            while parser.word("if") {
                let test = parser.or()?;
                let otherwise =
                    if parser.word("else") { Some(Box::new(parser.expression()?)) } else { None };
                value = Expr::If(Box::new(test), Box::new(value), otherwise);
            }
            Ok(value)
        })
    }

    fn without_if(&mut self) -> Parse<Expr> {
        self.deeper(Self::or)
    }

    fn or(&mut self) -> Parse<Expr> {
        let mut left = self.and()?;
        while self.word("or") {
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Parse<Expr> {
        let mut left = self.not()?;
        while self.word("and") {
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Parse<Expr> {
        if self.word("not") {
            return self.deeper(|parser| Ok(Expr::Not(Box::new(parser.not()?))));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parse<Expr> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let operator = match self.peek() {
                Some(Token::Op("==")) => Compare::Eq,
                Some(Token::Op("!=")) => Compare::Ne,
                Some(Token::Op("<")) => Compare::Lt,
                Some(Token::Op("<=")) => Compare::Le,
                Some(Token::Op(">")) => Compare::Gt,
                Some(Token::Op(">=")) => Compare::Ge,
                Some(Token::Name(name)) if &**name == "in" => Compare::In,
                Some(Token::Name(name))
                    if &**name == "not"
                        && matches!(self.peek_second(), Some(Token::Name(next)) if &**next == "in") =>
                {
                    self.at += 1;
                    Compare::NotIn
                }
                _ => break,
            };
            self.at += 1;
            rest.push((operator, self.sum()?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    fn binary(
        &mut self,
        operators: &[(&str, Binary)],
        next: impl Fn(&mut Self) -> Parse<Expr>,
    ) -> Parse<Expr> {
        let mut left = next(self)?;
        loop {
            let found = match self.peek() {
                Some(Token::Op(op)) => operators.iter().find(|(name, _)| name == op),
                _ => None,
            };
            let Some((_, operator)) = found else { return Ok(left) };
            self.at += 1;
            left = Expr::Binary(*operator, Box::new(left), Box::new(next(self)?));
        }
    }

    fn sum(&mut self) -> Parse<Expr> {
        self.binary(&[("+", Binary::Add), ("-", Binary::Sub)], Self::concat)
    }

    fn concat(&mut self) -> Parse<Expr> {
        self.binary(&[("~", Binary::Concat)], Self::product)
    }

    fn product(&mut self) -> Parse<Expr> {
        let operators =
            [("*", Binary::Mul), ("/", Binary::Div), ("//", Binary::FloorDiv), ("%", Binary::Mod)];
        self.binary(&operators, Self::power)
    }

    fn unary(&mut self, with_filter: bool) -> Parse<Expr> {
        self.deeper(|parser| {
            let node = if parser.op("-") {
                Expr::Minus(Box::new(parser.unary(false)?))
            } else if parser.op("+") {
                Expr::Plus(Box::new(parser.unary(false)?))
            } else {
                parser.primary()?
            };
            let node = parser.postfix(node)?;
            if with_filter { parser.filters_and_tests(node) } else { Ok(node) }
        })
    }

    /// Unlike in Python, powers are taken from the left, and a sign binds closer.
    fn power(&mut self) -> Parse<Expr> {
        let mut left = self.unary(true)?;
        while self.op("**") {
            let right = self.unary(true)?;
            left = Expr::Binary(Binary::Pow, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn primary(&mut self) -> Parse<Expr> {
        let Some(token) = self.peek().cloned() else { return self.unexpected(EXPRESSION) };
        match token {
            Token::Name(name) => {
                self.at += 1;
                Ok(match &*name {
                    "true" | "True" => Expr::Const(Value::Bool(true)),
                    "false" | "False" => Expr::Const(Value::Bool(false)),
                    "none" | "None" => Expr::Const(Value::None),
                    _ => Expr::Name(name),
                })
            }
            Token::Str(first) => {
                self.at += 1;
                let mut text = first.to_string();
                // Strings that stand side by side are one.
                while let Some(Token::Str(more)) = self.peek() {
                    text.push_str(more);
                    self.at += 1;
                }
                Ok(Expr::Const(Value::from(text)))
            }
            Token::Int(number) => {
                self.at += 1;
                Ok(Expr::Const(Value::Int(number)))
            }
            Token::Float(number) => {
                self.at += 1;
                Ok(Expr::Const(Value::Float(number)))
            }
            Token::Op("(") => {
                self.at += 1;
                if self.op(")") {
                    return Ok(Expr::Tuple(Vec::new()));
                }
                let inner = self.tuple()?;
                self.expect_op(")")?;
                Ok(inner)
            }
            Token::Op("[") => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.op("]") {
                    if !items.is_empty() {
                        self.expect_op(",")?;
                        if self.op("]") {
                            break;
                        }
                    }
                    items.push(self.expression()?);
                }
                Ok(Expr::List(items))
            }
            Token::Op("{") => {
                self.at += 1;
                let mut entries = Vec::new();
                while !self.op("}") {
                    if !entries.is_empty() {
                        self.expect_op(",")?;
                        if self.op("}") {
                            break;
                        }
                    }
                    let key = self.expression()?;
                    self.expect_op(":")?;
                    entries.push((key, self.expression()?));
                }
                Ok(Expr::Dict(entries))
            }
            _ => self.unexpected(EXPRESSION),
        }
    }

    fn postfix(&mut self, mut node: Expr) -> Parse<Expr> {
        loop {
            if self.op(".") {
                node = match self.peek().cloned() {
                    Some(Token::Name(name)) => {
                        self.at += 1;
                        Expr::Attr(Box::new(node), name)
                    }
                    Some(Token::Int(index)) => {
                        self.at += 1;
                        Expr::Item(Box::new(node), Box::new(Expr::Const(Value::Int(index))))
                    }
                    // `a.0.1` is read as a, point, the float 0.1.
                    Some(Token::Float(number)) => {
                        self.at += 1;
                        let text = crate::value::float_text(number);
                        text.split('.').filter_map(|part| part.parse().ok()).fold(
                            node,
                            |node, index| {
                                Expr::Item(Box::new(node), Box::new(Expr::Const(Value::Int(index))))
                            },
                        )
                    }
                    _ => return self.fault("expected name or number"),
                };
            } else if self.op("[") {
                node = self.subscript(node)?;
            } else if self.is_op("(") {
                let args = self.args()?;
                node = Expr::Call(Box::new(node), args);
            } else {
                return Ok(node);
            }
        }
    }

    fn subscript(&mut self, node: Expr) -> Parse<Expr> {
        let mut parts: [Option<Expr>; 3] = [None, None, None];
        let mut index = 0;
        let mut is_slice = false;
        loop {
            if self.op("]") {
                break;
            }
            if self.op(":") {
                is_slice = true;
                index += 1;
                if index > 2 {
                    return self.unexpected("]");
                }
                continue;
            }
            if parts[index].is_some() {
                return self.unexpected("]");
            }
            parts[index] = Some(self.tuple()?);
        }
        if is_slice {
            return Ok(Expr::Slice(Box::new(node), Box::new(parts)));
        }
        match parts {
            [Some(key), ..] => Ok(Expr::Item(Box::new(node), Box::new(key))),
            _ => self.fault("expected a subscript between '[' and ']'"),
        }
    }

    fn args(&mut self) -> Parse<Args> {
        self.expect_op("(")?;
        let mut args = Args::default();
        let mut first = true;
        while !self.op(")") {
            if !first {
                self.expect_op(",")?;
                if self.op(")") {
                    break;
                }
            }
            first = false;
            if self.op("**") {
                args.spread_named = Some(Box::new(self.expression()?));
            } else if self.op("*") {
                args.spread = Some(Box::new(self.expression()?));
            } else if let (Some(Token::Name(name)), Some(Token::Op("="))) =
                (self.peek().cloned(), self.peek_second())
            {
                self.at += 2;
                args.named.push((name, self.expression()?));
            } else {
                if !args.named.is_empty() {
                    return self.fault("invalid syntax for function call expression");
                }
                args.args.push(self.expression()?);
            }
        }
        Ok(args)
    }

    fn filters_and_tests(&mut self, mut node: Expr) -> Parse<Expr> {
        loop {
            if self.op("|") {
                let name = self.dotted()?;
                let args = if self.is_op("(") { self.args()? } else { Args::default() };
                node = Expr::Filter(Some(Box::new(node)), name, args);
            } else if self.word("is") {
                node = self.test(node)?;
            } else if self.is_op("(") {
                let args = self.args()?;
                node = Expr::Call(Box::new(node), args);
            } else {
                return Ok(node);
            }
        }
    }

    fn test(&mut self, node: Expr) -> Parse<Expr> {
        let negated = self.word("not");
        let name = self.dotted()?;
        let mut args = Args::default();
        if self.is_op("(") {
            args = self.args()?;
        } else {
            let begins = match self.peek() {
                Some(Token::Name(name)) => !matches!(
                    &**name,
                    "else" | "or" | "and" | "is" | "if" | "in" | "not" | "recursive"
                ),
                Some(Token::Str(_) | Token::Int(_) | Token::Float(_)) => true,
                Some(Token::Op(op)) => matches!(*op, "[" | "{"),
                _ => false,
            };
            if begins {
                let primary = self.primary()?;
                args.args.push(self.postfix(primary)?);
            }
        }
        let test = Expr::Test(Box::new(node), name, args);
        Ok(if negated { Expr::Not(Box::new(test)) } else { test })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jinja_reads_is_read() {
        for source in [
            "{{ a, b }}",
            "{% for x in 'kube', 'system' %}{% endfor %}",
            "{{ +i }}",
            "{{\u{a0}a\u{a0}}}",
            "{% macro m(a, b=1) %}{% block x %}{% endblock %}{% endmacro %}",
            "{{ {'a': {'b': 1}}['a'] }}",
            "{{ x.0.1 }}",
            "{% set a, b = 1, 2 %}",
            "{% if a is not defined or b is match('x') and c in d %}{% elif e %}{% else %}{% endif %}",
            "{{ a | ansible.builtin.combine(b, recursive=true) }}",
            "{{ a[1:] }}{{ a[::-1] }}{{ a[:, ] }}",
            "{%- raw -%}{{ x }}{%- endraw -%}",
            "{% for a, (b, c) in d.items() if a recursive %}{% else %}{% endfor %}",
            "{{ f(*a, **b) }}",
            "{% import 'x' as y with context %}{% from 'a' import b as c, d %}{% include 'z' ignore missing %}",
            "{% call(x) f(y) %}{% endcall %}{% filter upper | trim %}{% endfilter %}",
            "{# comment #}{{ '}}' }}{{ \"{%\" }}",
        ] {
            if source.contains("[:, ]") {
                assert!(parse_template(source, &Syntax::default()).is_err());
                continue;
            }
            if let Err(fault) = parse_template(source, &Syntax::default()) {
                panic!("{source}: {fault:?}");
            }
        }
    }

    #[test]
    fn what_jinja_refuses_is_refused_with_a_line() {
        for (source, line) in [
            ("{{ a", 1),
            ("\n{% if a %}", 2),
            ("\n\n{% endif %}", 3),
            ("{{ a b }}", 1),
            ("{% nope %}", 1),
            ("{{ 'a }}", 1),
            ("{% for x %}", 1),
            ("{{ a | }}", 1),
        ] {
            let fault = parse_template(source, &Syntax::default()).unwrap_err();
            assert_eq!(fault.line, line, "{source}: {}", fault.what);
        }
    }
}
