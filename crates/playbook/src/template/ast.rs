//! What a template says, as a tree.

use crate::value::Value;
use std::sync::Arc;

/// An expression.
#[derive(Debug)]
pub(crate) enum Expr {
    Const(Value),
    Name(Arc<str>),
    Attr(Box<Expr>, Arc<str>),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    Call(Box<Expr>, Args),
    Filter(Option<Box<Expr>>, Arc<str>, Args),
    Test(Box<Expr>, Arc<str>, Args),
    Not(Box<Expr>),
    Minus(Box<Expr>),
    Plus(Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Compare(Box<Expr>, Vec<(Compare, Expr)>),
    If(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
}

/// Arguments of a call, a filter or a test.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) args: Vec<Expr>,
    pub(crate) named: Vec<(Arc<str>, Expr)>,
    /// `*list`
    pub(crate) spread: Option<Box<Expr>>,
    /// `**dict`
    pub(crate) spread_named: Option<Box<Expr>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
    Concat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

/// What `for` and `set` assign to.
#[derive(Debug)]
pub(crate) enum Target {
    Name(Arc<str>),
    /// `namespace.name`
    Attr(Arc<str>, Arc<str>),
    Several(Vec<Target>),
}

/// A parameter of a macro.
#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) name: Arc<str>,
    pub(crate) default: Option<Expr>,
}

/// A macro, or the body of `{% call %}`.
#[derive(Debug)]
pub(crate) struct Macro {
    pub(crate) name: Arc<str>,
    pub(crate) params: Vec<Param>,
    pub(crate) body: Vec<Stmt>,
}

/// A piece of a template.
#[derive(Debug)]
pub(crate) enum Stmt {
    Text(Arc<str>),
    Out(Expr),
    Do(Expr),
    For(std::sync::Arc<For>),
    If(Vec<(Expr, Vec<Stmt>)>, Vec<Stmt>),
    Set(Target, Expr),
    SetBlock(Target, Vec<(Arc<str>, Args)>, Vec<Stmt>),
    Macro(Arc<Macro>),
    CallBlock(Expr, Arc<Macro>),
    FilterBlock(Vec<(Arc<str>, Args)>, Vec<Stmt>),
    With(Vec<(Target, Expr)>, Vec<Stmt>),
    Include {
        name: Expr,
        ignore_missing: bool,
        seeing: bool,
    },
    /// `seeing`: with what is known where it stands, which is not the usual.
    Import {
        name: Expr,
        alias: Arc<str>,
        seeing: bool,
    },
    FromImport {
        name: Expr,
        names: Vec<(Arc<str>, Arc<str>)>,
        seeing: bool,
    },
    Extends(Expr),
    Block(Arc<str>, Arc<Vec<Stmt>>),
    Break,
    Continue,
}

#[derive(Debug)]
pub(crate) struct For {
    pub(crate) target: Target,
    pub(crate) over: Expr,
    pub(crate) only_if: Option<Expr>,
    pub(crate) recursive: bool,
    pub(crate) body: Vec<Stmt>,
    pub(crate) otherwise: Vec<Stmt>,
}

/// Words a template uses that must exist before it can run.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    pub(crate) filters: Vec<Arc<str>>,
    pub(crate) tests: Vec<Arc<str>>,
    pub(crate) lookups: Vec<Arc<str>>,
}

/// Collects the filters, tests and lookups that `statements` name.
pub(crate) fn uses(statements: &[Stmt], found: &mut Uses) {
    for statement in statements {
        match statement {
            Stmt::Text(_) | Stmt::Break | Stmt::Continue => {}
            Stmt::Out(expr) | Stmt::Do(expr) | Stmt::Set(_, expr) | Stmt::Extends(expr) => {
                expr_uses(expr, found)
            }
            Stmt::For(each) => {
                expr_uses(&each.over, found);
                each.only_if.iter().for_each(|expr| expr_uses(expr, found));
                uses(&each.body, found);
                uses(&each.otherwise, found);
            }
            Stmt::If(branches, otherwise) => {
                for (test, body) in branches {
                    expr_uses(test, found);
                    uses(body, found);
                }
                uses(otherwise, found);
            }
            Stmt::SetBlock(_, filters, body) | Stmt::FilterBlock(filters, body) => {
                for (name, args) in filters {
                    found.filters.push(Arc::clone(name));
                    args_uses(args, found);
                }
                uses(body, found);
            }
            Stmt::Macro(one) => uses(&one.body, found),
            Stmt::CallBlock(expr, one) => {
                expr_uses(expr, found);
                uses(&one.body, found);
            }
            Stmt::With(pairs, body) => {
                pairs.iter().for_each(|(_, expr)| expr_uses(expr, found));
                uses(body, found);
            }
            Stmt::Include { name, .. }
            | Stmt::Import { name, .. }
            | Stmt::FromImport { name, .. } => {
                expr_uses(name, found);
            }
            Stmt::Block(_, body) => uses(body, found),
        }
    }
}

fn args_uses(args: &Args, found: &mut Uses) {
    args.args.iter().for_each(|expr| expr_uses(expr, found));
    args.named.iter().for_each(|(_, expr)| expr_uses(expr, found));
    args.spread.iter().chain(&args.spread_named).for_each(|expr| expr_uses(expr, found));
}

pub(crate) fn expr_uses(expr: &Expr, found: &mut Uses) {
    match expr {
        Expr::Const(_) | Expr::Name(_) => {}
        Expr::Attr(base, _) | Expr::Not(base) | Expr::Minus(base) | Expr::Plus(base) => {
            expr_uses(base, found)
        }
        Expr::Item(a, b) | Expr::Binary(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) => {
            expr_uses(a, found);
            expr_uses(b, found);
        }
        Expr::Slice(base, parts) => {
            expr_uses(base, found);
            parts.iter().flatten().for_each(|expr| expr_uses(expr, found));
        }
        Expr::Call(function, args) => {
            if let Expr::Name(name) = &**function
                && matches!(&**name, "lookup" | "query" | "q")
                && let Some(Expr::Const(first)) = args.args.first()
                && let Some(lookup) = first.as_str()
            {
                found.lookups.push(Arc::from(lookup));
            }
            expr_uses(function, found);
            args_uses(args, found);
        }
        Expr::Filter(base, name, args) => {
            base.iter().for_each(|expr| expr_uses(expr, found));
            found.filters.push(Arc::clone(name));
            args_uses(args, found);
        }
        Expr::Test(base, name, args) => {
            expr_uses(base, found);
            found.tests.push(Arc::clone(name));
            args_uses(args, found);
        }
        Expr::Compare(first, rest) => {
            expr_uses(first, found);
            rest.iter().for_each(|(_, expr)| expr_uses(expr, found));
        }
        Expr::If(a, b, c) => {
            expr_uses(a, found);
            expr_uses(b, found);
            c.iter().for_each(|expr| expr_uses(expr, found));
        }
        Expr::List(items) | Expr::Tuple(items) => {
            items.iter().for_each(|expr| expr_uses(expr, found))
        }
        Expr::Dict(entries) => entries.iter().for_each(|(key, value)| {
            expr_uses(key, found);
            expr_uses(value, found);
        }),
    }
}
