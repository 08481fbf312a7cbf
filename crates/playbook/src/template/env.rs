//! What a template is rendered in: variables, and the controller's side of the world.

use super::ast::Expr;
use super::dialect::{Dialect, Difference, Differences, holds_text};
use super::interp::{storable, with_last_newlines};
use super::{Expression, Fault, Interp, Others, Syntax, Template, parse};
use crate::config::Config;
use crate::value::{Lazy, Value};
use crate::vault::Vault;
use crate::yaml::Origin;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use updraft_base::{Chance, Clock};

/// Where variables come from.
pub trait Scope: Send + Sync {
    /// The variable as it was written: it may still hold templates.
    fn get(&self, name: &str) -> Option<Value>;

    /// The names of all variables, each once.
    fn names(&self) -> Vec<Arc<str>>;
}

/// What can be done about a condition that gives something else than yes or no.
const BROKEN_CONDITIONS: &str = "Broken conditionals can be temporarily allowed with the `ALLOW_BROKEN_CONDITIONALS` configuration option.";

/// No variables at all.
#[derive(Clone, Copy, Debug)]
pub struct NoScope;

impl Scope for NoScope {
    fn get(&self, _name: &str) -> Option<Value> {
        None
    }

    fn names(&self) -> Vec<Arc<str>> {
        Vec::new()
    }
}

/// The controller's side: what lookups and time filters may see of it.
#[derive(Clone)]
pub struct World {
    /// Environment variables for the `env` lookup and `~`.
    pub env: BTreeMap<String, String>,
    /// For `now()`.
    pub clock: Arc<dyn Clock>,
    /// Seed of what must come out the same for all who ask in one run.
    pub seed: u64,
    /// Passwords for what is encrypted.
    pub vault: Arc<Vault>,
    /// Settings of `ansible.cfg` and the environment.
    pub config: Arc<Config>,
    /// How the language is understood.
    pub dialect: Dialect,
    /// Where lines that the dialects read differently are noted, if anybody wants to know.
    pub differences: Option<Arc<Differences>>,
    /// What lookups may have done, and chance.
    pub commands: Arc<dyn Outside>,
}

/// What templates may have done on the controller beyond reading files.
pub trait Outside: Send + Sync {
    /// Runs a command through the shell, in a directory, with the environment of whoever runs us.
    ///
    /// # Errors
    /// With a sentence, when it cannot be run at all.
    fn shell(&self, command: &str, directory: &Path) -> Result<Ran, String>;

    /// Chance for filters and lookups that are given no seed.
    fn chance(&self) -> Box<dyn Chance>;

    /// Whether lookups may write files.
    fn may_write(&self) -> bool {
        true
    }

    /// Whoever has filters, tests and lookups that are not built in.
    fn others(&self) -> Option<&dyn Others> {
        None
    }
}

/// What became of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// All that it wrote.
    pub stdout: String,
    /// Its exit status; 0 is well.
    pub status: i32,
}

/// Variables together with the world.
#[derive(Clone)]
pub struct Context {
    /// Variables.
    pub scope: Arc<dyn Scope>,
    /// The controller's side.
    pub world: Arc<World>,
}

impl Context {
    /// The same world with other variables.
    pub fn with(&self, scope: Arc<dyn Scope>) -> Self {
        Self { scope, world: Arc::clone(&self.world) }
    }

    /// Renders everything in `value`. The result holds no template and nothing undefined.
    ///
    /// # Errors
    /// When something is undefined or fails.
    pub fn finish(&self, value: &Value) -> Result<Value, Fault> {
        let mut interp = Interp::new(self);
        let value = interp.deep(value)?;
        let value = interp.leave(value)?;
        storable(&value).map_err(|fault| fault.rendering("template"))?;
        Ok(value)
    }

    /// As [`Context::finish`], but what is undefined stays so, for the caller to judge.
    ///
    /// # Errors
    /// When something fails for another reason.
    pub fn finish_soft(&self, value: &Value) -> Result<Value, Fault> {
        Interp::new(self).deep(value)
    }

    /// The variable `name`, rendered; `None` when nobody set it.
    ///
    /// # Errors
    /// When rendering it fails.
    pub fn var(&self, name: &str) -> Result<Option<Value>, Fault> {
        match self.scope.get(name) {
            None => Ok(None),
            Some(value) => self.finish(&value).map(Some),
        }
    }

    /// The value of an expression; undefined is an error.
    ///
    /// # Errors
    /// When something is undefined or fails.
    pub fn evaluate(&self, expression: &Expression) -> Result<Value, Fault> {
        Self::run(&mut Interp::new(self), expression)
    }

    fn run(interp: &mut Interp<'_>, expression: &Expression) -> Result<Value, Fault> {
        expression.compiled(interp.cx.world.commands.others())?;
        let mut run = || {
            let value = interp.eval(&expression.tree)?;
            let value = interp.deep(&value)?;
            interp.leave(value)
        };
        run().map_err(|fault| fault.rendering("expression").at(expression.origin()))
    }

    /// The value of an expression; undefined is given as such.
    ///
    /// # Errors
    /// When something fails for another reason.
    pub fn evaluate_soft(&self, expression: &Expression) -> Result<Value, Fault> {
        expression.compiled(self.world.commands.others())?;
        let mut interp = Interp::new(self);
        let value = match interp.eval(&expression.tree) {
            Ok(value) => value,
            Err(fault) if fault.undefined => return Ok(Value::undefined(fault.what)),
            Err(fault) => return Err(fault.rendering("expression").at(expression.origin())),
        };
        interp.deep(&value)
    }

    /// Whether a condition holds. A condition must be boolean: text that happens to be `false`
    /// would otherwise hold.
    ///
    /// # Errors
    /// When it is undefined, fails, or is not boolean.
    pub fn holds(&self, condition: &Expression) -> Result<bool, Fault> {
        let mut interp = Interp::new(self);
        interp.in_condition = true;
        let value = Self::run(&mut interp, condition)
            .map_err(|fault| fault.in_condition(condition.source(), condition.origin()))?;
        match value {
            Value::Bool(truth) => Ok(truth),
            other => {
                let rendered = matches!(&*condition.tree, Expr::Const(Value::Str(text)) if Template::is_one(text));
                self.judge(&other, condition.source(), condition.origin(), rendered)
            }
        }
    }

    /// Whether a condition holds that gave something else than yes or no: the dialects differ.
    fn judge(
        &self,
        value: &Value,
        text: &str,
        at: Option<&Origin>,
        rendered: bool,
    ) -> Result<bool, Fault> {
        let classic = match value {
            Value::Str(text) if rendered => holds_text(text),
            other => Some(other.is_true()),
        };
        if let Some(differences) = &self.world.differences {
            differences.note(Difference {
                at: at.cloned(),
                text: text.to_owned(),
                core214: match classic {
                    Some(true) => "it holds".to_owned(),
                    Some(false) => "it does not hold".to_owned(),
                    None => "its text is evaluated again".to_owned(),
                },
                core219: format!("an error: it is no bool but {}", value.type_name()),
            });
        }
        match (self.world.dialect, classic) {
            (Dialect::Core214, Some(holds)) => Ok(holds),
            (Dialect::Core214, None) => Err(Fault::new(
                "The text that a condition's template gives is data and not evaluated again; write the condition without braces",
            )
            .at(at)),
            (Dialect::Core219, _) if self.world.config.allow_broken_conditionals.value => {
                Ok(value.is_true())
            }
            (Dialect::Core219, _) => Err(Fault::new(format!(
                "Conditional result ({}) was derived from value of type '{}'{}. Conditionals must have a boolean result.",
                if value.is_true() { "True" } else { "False" },
                value.type_name(),
                at.map(|at| format!(" at '{}'", at.full())).unwrap_or_default(),
            ))
            .with_help(BROKEN_CONDITIONS)
            .at(at)
            .in_condition(text, at)),
        }
    }

    /// Whether a condition holds that is a value: text of a playbook's own is an expression, a
    /// template gives the answer or such text.
    ///
    /// # Errors
    /// As of [`Context::holds`], and when it is nobody's own text.
    pub(crate) fn holds_value(&self, condition: &Value) -> Result<bool, Fault> {
        let (value, rendered) = match condition {
            Value::Lazy(_)
                if condition
                    .as_str()
                    .is_some_and(|text| crate::parse::keywords::is_whole_template(text.trim())) =>
            {
                let text = condition.as_str().unwrap_or_default();
                let value = self.finish(condition);
                (value.map_err(|fault| fault.in_condition(text, condition.origin()))?, true)
            }
            other => (other.clone(), false),
        };
        let classic = self.world.dialect == Dialect::Core214;
        let lenient = classic || self.world.config.allow_broken_conditionals.value;
        let empty = value.is_none() || value.as_str().is_some_and(|text| text.trim().is_empty());
        let text = condition.as_str().unwrap_or_default();
        match &value {
            Value::Bool(truth) => Ok(*truth),
            _ if empty && lenient => Ok(true),
            _ if empty => Err(Fault::told("Empty conditional expressions are not allowed.")),
            Value::Str(said) if !said.is_own() && classic => {
                self.judge(&value, text, condition.origin(), rendered)
            }
            Value::Str(said) if !said.is_own() => Err(Fault::told(super::UNTRUSTED)),
            _ if value.as_str().is_some() => {
                let own = value.as_str().unwrap_or_default();
                self.holds(&super::Expression::new(own.trim(), condition.origin().cloned())?)
            }
            other if lenient || rendered => self.judge(other, text, condition.origin(), rendered),
            _ => Err(Fault::told("Conditional expressions must be strings.")),
        }
    }

    /// What a template stands for: of a list or dict its elements as they are written.
    ///
    /// # Errors
    /// When rendering fails.
    pub(crate) fn container(&self, value: &Value) -> Result<Value, Fault> {
        Interp::new(self).shallow(value)
    }

    /// Renders the text of a template file.
    ///
    /// # Errors
    /// When it is no template, something is undefined, or something fails.
    pub fn render_text(&self, source: &str, syntax: &Syntax) -> Result<String, Fault> {
        let tree = parse::parse_template(source, syntax).map_err(|fault| {
            let what = format!("Syntax error in template: {} (line {})", fault.what, fault.line);
            let mut fault = Fault::told(what);
            fault.traced().templates.push(Arc::from(source));
            fault
        })?;
        let text = Interp::new(self).text_of(&tree).map_err(|fault| fault.rendering("template"))?;
        Ok(with_last_newlines(Value::from(text), source, &syntax.newline).to_text())
    }

    /// The text of a value that must be text or a number, rendered.
    ///
    /// # Errors
    /// When rendering fails.
    pub fn text(&self, value: &Value) -> Result<String, Fault> {
        self.finish(value).map(|value| value.to_text())
    }
}

impl Value {
    /// Where it stands, if it is a template.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Lazy(lazy) => match &**lazy {
                Lazy::Text(template) => template.origin(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Every template within, for checks before a run.
    pub(crate) fn templates<'a>(&'a self, found: &mut Vec<&'a Template>) {
        let Self::Lazy(lazy) = self else { return };
        match &**lazy {
            Lazy::Text(template) => found.push(template),
            Lazy::Vaulted(_) => {}
            Lazy::List(items) => items.iter().for_each(|item| item.templates(found)),
            Lazy::Dict(entries) => entries.values().for_each(|value| value.templates(found)),
        }
    }
}
