//! Jinja as Ansible uses it: native results, lazy recursive variables, undefined that is strict but
//! can be chained, Python's methods and operators.
//!
//! The engine is our own. The differences from the Jinja that other crates offer are in the values,
//! not in the syntax: a name that is missing must say its name and still pass through `.a.b` to
//! `default`; a variable is rendered when it is used, in the variables of its host; lists and dicts
//! have Python's methods, those that change them too; a template of one expression gives a value
//! and not its text. Each of these touches every operation, so lexer, parser, values and operations
//! stand here together.
//!
//! The rule: only [`Template`]s are rendered, and only text from playbook files becomes one. What a
//! render gives is finished and never rendered again.
//!
//! Never here: deciding the order of variables, talking to hosts.

mod ast;
mod block;
mod call;
mod dialect;
mod env;
mod filters;
mod globals;
mod interp;
mod lex;
mod lines;
mod lookups;
mod mersenne;
mod methods;
mod ops;
mod others;
mod parse;
mod pattern;
mod printf;
mod probes;
mod signatures;
mod time;
mod url;
mod version;
mod wrap;

pub(crate) use dialect::fact;
pub use dialect::{Dialect, Difference, Differences};
pub use env::{Context, NoScope, Outside, Ran, Scope, World};
pub(crate) use filters::{
    Checksums, checksums, combine_dicts, encode, expand_user, human_to_bytes, in_pieces, plain,
};
pub(crate) use globals::is_of_the_language;
pub(crate) use interp::LAZY;
pub use interp::{Frame, Home, Interp};
pub use lex::SyntaxFault;
pub(crate) use lookups::{find_file, not_found, run as run_lookup};
pub use others::{Answer, Kind, Others};
pub(crate) use others::{is_ours, may_be};
pub(crate) use pattern::fnmatch;

/// Text that is no playbook's own was to be read as an expression.
pub(crate) const UNTRUSTED: &str = "Encountered untrusted template or expression.";

pub(crate) use time::strftime;

use crate::value::{Missing, Value};
use crate::yaml::Origin;
use ast::{Expr, Stmt, Uses};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Why something could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One sentence.
    pub what: String,
    /// Something was undefined; `default` and `is defined` may still save it.
    pub undefined: bool,
    /// It says what it is about: a plugin by its name, or that a template was rendered.
    pub told: bool,
    /// The template, when it has a place.
    pub at: Option<Origin>,
    /// What the way out of it added.
    pub(crate) trace: Option<Box<Trace>>,
}

/// What a fault came through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The templates, those of variables within others first.
    pub(crate) templates: Vec<Arc<str>>,
    /// The condition, and where it stands.
    pub(crate) condition: Option<(Arc<str>, Option<Origin>)>,
    /// The words at the end of the fault that stand alone, and what can be done about them.
    pub(crate) help: Option<(String, String)>,
}

/// How a fault begins of which a condition knows that something is undefined.
pub(crate) const IN_CONDITION: &str = "Error while evaluating conditional: ";

impl Fault {
    /// Something went wrong.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), undefined: false, told: false, at: None, trace: None }
    }

    /// The fault of a plugin, or of the text itself.
    pub(crate) fn told(what: impl Into<String>) -> Self {
        Self { told: true, ..Self::new(what) }
    }

    /// Says that it came up while rendering, unless it says more already.
    fn rendering(self, kind: &str) -> Self {
        if self.told || self.undefined {
            return self;
        }
        Self { what: format!("Error rendering {kind}: {}", self.what), told: true, ..self }
    }

    /// Something that is not there was used.
    pub fn undefined(missing: &Missing) -> Self {
        let mut fault = Self { undefined: true, ..Self::told(missing.why.clone()) };
        fault.at.clone_from(&missing.at);
        if !missing.through.is_empty() {
            fault.traced().templates.clone_from(&missing.through);
        }
        fault
    }

    fn traced(&mut self) -> &mut Trace {
        self.trace.get_or_insert_default()
    }

    /// With what can be done about it.
    fn with_help(mut self, help: impl Into<String>) -> Self {
        self.traced().help = Some((self.what.clone(), help.into()));
        self
    }

    /// It came up while this was rendered.
    fn through(self, template: &Template) -> Self {
        let mut fault = self.at(template.origin());
        fault.traced().templates.push(Arc::clone(&template.source));
        fault
    }

    /// It came up while this condition was looked at.
    pub(crate) fn in_condition(mut self, text: &str, at: Option<&Origin>) -> Self {
        if self.undefined {
            self.what = format!("{IN_CONDITION}{}", self.what);
        }
        // The condition may be a template as a whole.
        self.traced().templates.pop_if(|last| **last == *text);
        self.traced().condition = Some((Arc::from(text), at.cloned()));
        self
    }

    /// What is undefined, as a value that may still be saved.
    fn into_missing(self) -> Value {
        let through = self.trace.map(|trace| trace.templates).unwrap_or_default();
        Value::Undefined(Arc::new(Missing { why: self.what, quiet: false, at: self.at, through }))
    }

    fn at(mut self, at: Option<&Origin>) -> Self {
        if self.at.is_none() {
            self.at = at.cloned();
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

/// Delimiters and white space rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// Around statements.
    pub block: (String, String),
    /// Around expressions.
    pub variable: (String, String),
    /// Around comments.
    pub comment: (String, String),
    /// A newline right after a statement is dropped.
    pub trim_blocks: bool,
    /// White space before a statement at the beginning of a line is dropped.
    pub lstrip_blocks: bool,
    /// The last newline stays.
    pub keep_trailing_newline: bool,
    /// What a line begins with that is a statement as a whole.
    pub line_statement: Option<String>,
    /// What a comment begins with that goes to the end of its line.
    pub line_comment: Option<String>,
    /// What a line of the template's own text ends with. Values keep theirs.
    pub newline: String,
    /// A backslash in a string within an expression stands for itself, as in playbooks, where
    /// `'\\1'` and `'\\b'` are written for regular expressions. In template files it does not.
    pub raw_strings: bool,
}

impl Default for Syntax {
    fn default() -> Self {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        Self {
            block: pair("{%", "%}"),
            variable: pair("{{", "}}"),
            comment: pair("{#", "#}"),
            trim_blocks: true,
            lstrip_blocks: false,
            keep_trailing_newline: false,
            line_statement: None,
            line_comment: None,
            newline: "\n".to_owned(),
            raw_strings: false,
        }
    }
}

impl Syntax {
    /// Takes over what a first line `#jinja2: trim_blocks:True, …` says, and gives the text below.
    ///
    /// # Errors
    /// With a sentence, when the line says what is not understood.
    pub(crate) fn header<'s>(&mut self, source: &'s str) -> Result<&'s str, String> {
        let Some(rest) = source.strip_prefix("#jinja2:") else { return Ok(source) };
        let (line, body) = rest.split_once('\n').unwrap_or((rest, ""));
        for pair in line.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once(':') else {
                return Err(format!(
                    "Missing key-value separator `:` in '#jinja2:' override pair '{pair}'."
                ));
            };
            let value = value.trim();
            let text = value.trim_matches(['\'', '"']);
            let truth = matches!(value, "True" | "true" | "yes" | "1");
            match name.trim() {
                "trim_blocks" => self.trim_blocks = truth,
                "lstrip_blocks" => self.lstrip_blocks = truth,
                "keep_trailing_newline" => self.keep_trailing_newline = truth,
                "block_start_string" => self.block.0 = text.to_owned(),
                "block_end_string" => self.block.1 = text.to_owned(),
                "variable_start_string" => self.variable.0 = text.to_owned(),
                "variable_end_string" => self.variable.1 = text.to_owned(),
                "comment_start_string" => self.comment.0 = text.to_owned(),
                "comment_end_string" => self.comment.1 = text.to_owned(),
                "line_statement_prefix" => self.line_statement = Some(text.to_owned()),
                "line_comment_prefix" => self.line_comment = Some(text.to_owned()),
                "newline_sequence" => {
                    self.newline = text.replace("\\n", "\n").replace("\\r", "\r");
                }
                other => return Err(format!("`{other}` in the #jinja2 line is not supported")),
            }
        }
        Ok(body)
    }
}

/// Text from a playbook that has to be rendered.
pub struct Template {
    source: Arc<str>,
    origin: Option<Origin>,
    tree: OnceLock<Result<Arc<Vec<Stmt>>, SyntaxFault>>,
}

impl Template {
    /// Is there anything to render in `text`?
    pub fn is_one(text: &str) -> bool {
        text.contains("{{") || text.contains("{%") || text.contains("{#")
    }

    /// A template; it is read when it is first used or checked.
    pub fn new(source: &str, origin: Option<Origin>) -> Self {
        Self { source: Arc::from(source), origin, tree: OnceLock::new() }
    }

    /// Its text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Where it stands.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    fn tree(&self) -> Result<&Arc<Vec<Stmt>>, Fault> {
        let tree = self.tree.get_or_init(|| {
            parse::parse_template(&self.source, &Syntax { raw_strings: true, ..Syntax::default() })
                .map(Arc::new)
        });
        tree.as_ref().map_err(|fault| {
            Fault::told(format!("Syntax error in template: {}", fault.what))
                .at(self.origin.as_ref())
        })
    }

    /// Reads the template and looks up every filter, test and lookup it names, here and among those
    /// of others.
    ///
    /// # Errors
    /// With the first thing that cannot work, whatever the variables are.
    pub fn check(&self, others: Option<&dyn Others>) -> Result<(), Fault> {
        let mut found = Uses::default();
        ast::uses(self.tree()?, &mut found);
        others::check(&others::strangers(found), others)
            .map_err(|fault| fault.at(self.origin.as_ref()))
    }
}

/// Reads the text of a template file and looks up every filter, test and lookup it names. A fault
/// is a line and a sentence.
pub(crate) fn check_text(
    text: &str,
    syntax: &Syntax,
    others: Option<&dyn Others>,
) -> Result<(), (u32, String)> {
    let tree = parse::parse_template(text, syntax).map_err(|fault| (fault.line, fault.what))?;
    let mut found = Uses::default();
    ast::uses(&tree, &mut found);
    others::check(&others::strangers(found), others).map_err(|fault| (1, fault.what))
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.source)
    }
}

/// A bare expression, as in `when:`, read once.
#[derive(Clone, Debug)]
pub struct Expression {
    source: Arc<str>,
    origin: Option<Origin>,
    tree: Arc<Expr>,
    /// What it names that is not built in.
    strangers: Arc<[others::Stranger]>,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// When it is not one.
    pub fn new(source: &str, origin: Option<Origin>) -> Result<Self, Fault> {
        let tree = parse::parse_expression(source).map_err(|fault| {
            Fault::told(format!("Syntax error in expression: {}", fault.what)).at(origin.as_ref())
        })?;
        let mut found = Uses::default();
        ast::expr_uses(&tree, &mut found);
        let strangers = others::strangers(found).into();
        Ok(Self { source: Arc::from(source), origin, tree: Arc::new(tree), strangers })
    }

    /// Looks up every filter, test and lookup that it names, here and among those of others.
    ///
    /// # Errors
    /// With the first that nobody has.
    pub fn check(&self, others: Option<&dyn Others>) -> Result<(), Fault> {
        others::check(&self.strangers, others).map_err(|fault| fault.at(self.origin()))
    }

    /// As Ansible tells it of an expression that is to be evaluated: that a lookup is not there is
    /// seen when it is called.
    fn compiled(&self, others: Option<&dyn Others>) -> Result<(), Fault> {
        match others::nobodys(&self.strangers, others, &[Kind::Filter, Kind::Test]) {
            Some((kind, name)) => {
                Err(Fault::told(format!("Syntax error in expression: No {kind} named '{name}'."))
                    .at(self.origin()))
            }
            None => Ok(()),
        }
    }

    /// Its text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Where it stands.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }
}

/// A controller on which nothing can be run, and chance is always the same.
#[cfg(test)]
pub(crate) struct Alone;

#[cfg(test)]
impl Outside for Alone {
    fn shell(&self, command: &str, _directory: &std::path::Path) -> Result<Ran, String> {
        match command.strip_prefix("echo ") {
            Some(text) => Ok(Ran { stdout: format!("{text}\n"), status: 0 }),
            None => Ok(Ran { stdout: String::new(), status: 3 }),
        }
    }

    fn chance(&self) -> Box<dyn updraft_base::Chance> {
        Box::new(updraft_base::SeededChance::new(0))
    }
}

#[cfg(test)]
mod tests;
