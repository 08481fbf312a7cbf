//! Walking the tree of an expression.

use super::ast::{Args, Binary, Compare, Expr, For, Stmt};
use super::dialect::{Dialect, classic};
use super::{Context, Fault, Template, ops};
use crate::value::{Call, Dict, Key, Lazy, Value, Vaulted};
use std::collections::HashMap;
use std::sync::Arc;

/// Local names of a template: loop variables, `set`, parameters of macros.
pub type Frame = HashMap<Arc<str>, Value>;

/// What a template sees that is not its own.
#[derive(Clone, Default)]
pub(crate) struct Outside {
    /// Which template it is; that of the evaluation itself has none.
    pub(crate) template: Option<Arc<()>>,
    /// Names of the template that imports it, `with context`.
    pub(crate) names: Arc<Frame>,
    /// It does not see the variables.
    pub(crate) hidden: bool,
    /// The file that was rendered first, where the names above may not say it: others are looked
    /// for beside it.
    pub(crate) file: Option<Value>,
}

impl Outside {
    /// Whether both are of one template.
    pub(crate) fn same(&self, other: Option<&Arc<()>>) -> bool {
        match (&self.template, other) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// A template whose macros are called from elsewhere: its outermost names, and what it sees of
/// others.
#[derive(Clone)]
pub struct Home {
    pub(crate) outside: Outside,
    pub(crate) names: Frame,
}

/// Deeper recursion of variables, macros or includes is refused, since it would cost stack.
const DEPTH: usize = 40;

/// One evaluation.
pub struct Interp<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) frames: Vec<Frame>,
    pub(crate) outside: Outside,
    /// Templates that wait for a macro of another one, which may call them back.
    pub(crate) waiting: Vec<Home>,
    pub(crate) out: Vec<Value>,
    /// Templates being rendered right now, to tell a variable that needs itself.
    trail: Vec<*const Template>,
    pub(crate) depth: usize,
    pub(crate) recursive: Vec<Arc<For>>,
    pub(crate) parent: Option<Arc<Vec<Stmt>>>,
    pub(crate) blocks: HashMap<Arc<str>, Vec<Arc<Vec<Stmt>>>>,
    pub(crate) in_block: Vec<(Arc<str>, usize)>,
    /// It is a condition, in which text with a template in it is rendered.
    pub(crate) in_condition: bool,
}

impl<'a> Interp<'a> {
    /// A fresh evaluation in `cx`.
    pub fn new(cx: &'a Context) -> Self {
        Self {
            cx,
            frames: vec![Frame::new()],
            outside: Outside::default(),
            waiting: Vec::new(),
            out: Vec::new(),
            trail: Vec::new(),
            depth: 0,
            recursive: Vec::new(),
            parent: None,
            blocks: HashMap::new(),
            in_block: Vec::new(),
            in_condition: false,
        }
    }

    /// What it is rendered in.
    pub fn context(&self) -> &'a Context {
        self.cx
    }

    pub(crate) fn deeper<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.depth >= DEPTH {
            return Err(Fault::told("Recursive loop detected in template"));
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    /// Renders one template, with the variables alone: names local to the template around it are
    /// not seen.
    fn render(&mut self, template: &Template) -> Result<Value, Fault> {
        let identity: *const Template = template;
        if self.trail.contains(&identity) {
            return Err(Fault::told(format!(
                "Recursive loop detected in template: {}",
                template.source()
            ))
            .at(template.origin()));
        }
        let tree = template.tree().map_err(|fault| fault.through(template))?;
        let tree = Arc::clone(tree);
        self.deeper(|outer| {
            let mut inner = Interp::new(outer.cx);
            inner.depth = outer.depth;
            inner.trail = std::mem::take(&mut outer.trail);
            inner.trail.push(identity);
            let result = inner.native_of(&tree);
            inner.trail.pop();
            outer.trail = inner.trail;
            match result {
                Err(fault) if fault.undefined => Ok(fault.through(template).into_missing()),
                Err(fault) => Err(fault.rendering("template").through(template)),
                Ok(value) => {
                    let value = outer.in_dialect(value, template, &tree)?;
                    if let Value::Undefined(missing) = &value
                        && !missing.quiet
                    {
                        return Ok(Fault::undefined(missing).through(template).into_missing());
                    }
                    Ok(with_last_newlines(value, template.source(), "\n"))
                }
            }
        })
    }

    fn in_dialect(
        &mut self,
        value: Value,
        template: &Template,
        tree: &[Stmt],
    ) -> Result<Value, Fault> {
        let world = &self.cx.world;
        if world.dialect == Dialect::Core219 && world.differences.is_none() {
            return Ok(value);
        }
        // What is made when it is looked at (`map`, `range`) is a list then.
        let value = match &value {
            Value::Object(object) => object.finished(self)?.unwrap_or(value),
            _ => value,
        };
        let old = classic(value.clone(), tree, &*self.cx.scope);
        if let Some(differences) = &world.differences {
            differences.compare(template, &old, &value);
        }
        Ok(if world.dialect == Dialect::Core214 { old } else { value })
    }

    /// Renders the value itself if it is a template. Lists and dicts stay as they are: their
    /// elements are rendered when they are reached.
    pub(crate) fn shallow(&mut self, value: &Value) -> Result<Value, Fault> {
        let mut value = value.clone();
        // One round per level of indirection; `render` bounds the recursion.
        loop {
            let Value::Lazy(lazy) = &value else { return Ok(value) };
            value = match &**lazy {
                Lazy::Text(template) => self.render(template)?,
                Lazy::Vaulted(vaulted) => self.decrypt(vaulted)?,
                Lazy::List(_) | Lazy::Dict(_) => return Ok(value),
            };
        }
    }

    fn decrypt(&self, vaulted: &Vaulted) -> Result<Value, Fault> {
        self.cx.world.vault.value(&vaulted.text).map(|text| Value::Str(text.into())).map_err(
            |error| {
                Fault::new(format!("Attempt to use undecryptable variable: {error}"))
                    .at(vaulted.origin.as_ref())
            },
        )
    }

    /// Renders everything within. Undefined stays.
    pub(crate) fn deep(&mut self, value: &Value) -> Result<Value, Fault> {
        let value = self.shallow(value)?;
        let Value::Lazy(lazy) = &value else { return Ok(value) };
        self.deeper(|this| match &**lazy {
            Lazy::Text(_) | Lazy::Vaulted(_) => Ok(value.clone()),
            Lazy::List(items) => {
                let mut done = Vec::with_capacity(items.len());
                for item in items {
                    let item = this.deep(item)?;
                    if !matches!(item, Value::Omit) {
                        done.push(item);
                    }
                }
                Ok(Value::list(done))
            }
            Lazy::Dict(entries) => {
                let mut done = Dict::with_capacity(entries.len());
                for (key, value) in entries {
                    let value = this.deep(value)?;
                    if !matches!(value, Value::Omit) {
                        done.insert(key.clone(), value);
                    }
                }
                Ok(Value::dict(done))
            }
        })
    }

    /// A finished value on its way out: nothing undefined, no objects that only templates know.
    pub(crate) fn leave(&mut self, value: Value) -> Result<Value, Fault> {
        match &value {
            Value::Undefined(missing) => Err(Fault::undefined(missing)),
            Value::List(items) => {
                if items.iter().all(is_plain) {
                    return Ok(value);
                }
                self.leave_all(items).map(Value::list)
            }
            Value::Tuple(items) => self.leave_all(items).map(|items| Value::List(Arc::new(items))),
            Value::Dict(entries) => {
                if entries.values().all(is_plain) {
                    return Ok(value);
                }
                let mut done = Dict::with_capacity(entries.len());
                for (key, value) in entries.iter() {
                    if !matches!(value, Value::Omit) {
                        done.insert(key.clone(), self.leave(value.clone())?);
                    }
                }
                Ok(Value::dict(done))
            }
            Value::Object(object) => {
                let object = Arc::clone(object);
                match object.finished(self)? {
                    Some(plain) => self.leave(plain),
                    None => Ok(value),
                }
            }
            _ => Ok(value),
        }
    }

    fn leave_all(&mut self, items: &[Value]) -> Result<Vec<Value>, Fault> {
        let kept = items.iter().filter(|item| !matches!(item, Value::Omit));
        kept.map(|item| self.leave(item.clone())).collect()
    }

    /// The value, or the error that it is not there.
    pub(crate) fn defined(&self, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Undefined(missing) => Err(Fault::undefined(missing)),
            _ => Ok(()),
        }
    }

    /// The value of an expression, defined or not; containers may still be lazy inside.
    pub(crate) fn eval(&mut self, expr: &Expr) -> Result<Value, Fault> {
        match expr {
            Expr::Const(Value::Str(text)) if self.in_condition && Template::is_one(text) => {
                let value = Value::trusted(text, None);
                self.deep(&value)
            }
            Expr::Const(value) => Ok(value.clone()),
            Expr::Name(name) => self.name(name),
            Expr::Attr(base, name) => {
                let base = self.eval(base)?;
                self.attr(&base, name)
            }
            Expr::Item(base, key) => {
                let base = self.eval(base)?;
                let key = self.eval(key)?;
                self.defined(&key)?;
                self.item(&base, &key)
            }
            Expr::Slice(base, parts) => {
                let base = self.eval_deep(base)?;
                let mut bounds = [None; 3];
                for (bound, part) in bounds.iter_mut().zip(parts.iter()) {
                    if let Some(part) = part {
                        let value = self.eval_defined(part)?;
                        *bound = value.as_int();
                        if bound.is_none() && !value.is_none() {
                            return Err(Fault::new("slice indices must be integers or None"));
                        }
                    }
                }
                self.defined(&base)?;
                ops::slice(&base, bounds)
            }
            Expr::Call(callee, args) => self.call_expr(callee, args),
            Expr::Filter(base, name, args) => {
                let value = match base {
                    Some(base) => self.eval_soft(base)?,
                    None => Value::None,
                };
                let call = self.arguments(args)?;
                self.filter(name, value, &call)
            }
            Expr::Test(base, name, args) => {
                // That something is encrypted is seen without its password.
                if super::filters::short_name(name) == "vault_encrypted" && self.is_vaulted(base) {
                    return Ok(Value::Bool(true));
                }
                let value = self.eval_soft(base)?;
                let call = self.arguments(args)?;
                self.test(name, value, &call).map(Value::Bool)
            }
            Expr::Not(inner) => Ok(Value::Bool(!self.truth(inner)?)),
            Expr::Minus(inner) => match self.eval_defined(inner)? {
                Value::Float(number) => Ok(Value::Float(-number)),
                other => match other.as_int().and_then(i64::checked_neg) {
                    Some(number) => Ok(Value::Int(number)),
                    None => Err(Fault::new(format!(
                        "bad operand type for unary -: '{}'",
                        other.type_name()
                    ))),
                },
            },
            Expr::Plus(inner) => self.eval_defined(inner),
            Expr::Binary(operator, left, right) => {
                let left = self.eval_deep(left)?;
                let right = self.eval_deep(right)?;
                self.defined(&left)?;
                self.defined(&right)?;
                self.binary(*operator, &left, &right)
            }
            Expr::And(left, right) => {
                let value = self.eval_defined(left)?;
                if self.is_true(&value)? { self.eval(right) } else { Ok(value) }
            }
            Expr::Or(left, right) => {
                let value = self.eval_defined(left)?;
                if self.is_true(&value)? { Ok(value) } else { self.eval(right) }
            }
            Expr::Compare(first, rest) => self.compare(first, rest),
            Expr::If(test, then, otherwise) => {
                if self.truth(test)? {
                    self.eval(then)
                } else if let Some(otherwise) = otherwise {
                    self.eval(otherwise)
                } else {
                    Ok(Value::no_else())
                }
            }
            Expr::List(items) => Ok(Value::list(self.all(items)?)),
            Expr::Tuple(items) => {
                let items = self.all(items)?;
                if items.iter().any(Value::is_lazy) {
                    let items: Result<Vec<_>, _> =
                        items.iter().map(|item| self.deep(item)).collect();
                    return Ok(Value::tuple(items?));
                }
                Ok(Value::tuple(items))
            }
            Expr::Dict(entries) => {
                let mut dict = Dict::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = self.eval_defined(key)?;
                    let Some(key) = Key::of(&key) else {
                        return Err(Fault::new(format!("unhashable type: '{}'", key.type_name())));
                    };
                    dict.insert(key, self.eval(value)?);
                }
                Ok(Value::dict(dict))
            }
        }
    }

    /// Is this the name of a variable that is encrypted where it stands?
    fn is_vaulted(&self, expr: &Expr) -> bool {
        let Expr::Name(name) = expr else { return false };
        let value = if self.local(name).is_some() { None } else { self.variable(name) };
        matches!(value, Some(Value::Lazy(lazy)) if matches!(&*lazy, Lazy::Vaulted(_)))
    }

    fn all(&mut self, items: &[Expr]) -> Result<Vec<Value>, Fault> {
        items.iter().map(|item| self.eval(item)).collect()
    }

    pub(crate) fn eval_defined(&mut self, expr: &Expr) -> Result<Value, Fault> {
        let value = self.eval(expr)?;
        self.defined(&value)?;
        Ok(value)
    }

    pub(crate) fn eval_deep(&mut self, expr: &Expr) -> Result<Value, Fault> {
        let value = self.eval(expr)?;
        self.deep(&value)
    }

    /// As `eval_deep`, with an undefined error turned back into an undefined value.
    fn eval_soft(&mut self, expr: &Expr) -> Result<Value, Fault> {
        match self.eval_deep(expr) {
            Err(fault) if fault.undefined => Ok(Value::undefined(fault.what)),
            result => result,
        }
    }

    pub(crate) fn truth(&mut self, expr: &Expr) -> Result<bool, Fault> {
        let value = self.eval_defined(expr)?;
        self.is_true(&value)
    }

    pub(crate) fn is_true(&mut self, value: &Value) -> Result<bool, Fault> {
        self.defined(value)?;
        Ok(match value {
            Value::Lazy(lazy) => match &**lazy {
                Lazy::Text(_) | Lazy::Vaulted(_) => self.deep(value)?.is_true(),
                Lazy::List(items) => !items.is_empty(),
                Lazy::Dict(entries) => !entries.is_empty(),
            },
            value => value.is_true(),
        })
    }

    pub(crate) fn arguments(&mut self, args: &Args) -> Result<Call, Fault> {
        let mut call = Call::default();
        for arg in &args.args {
            call.args.push(self.eval_deep(arg)?);
        }
        if let Some(spread) = &args.spread {
            let more = self.eval_deep(spread)?;
            call.args.extend(ops::iterate(&more)?);
        }
        for (name, arg) in &args.named {
            call.named.push((Arc::clone(name), self.eval_deep(arg)?));
        }
        if let Some(spread) = &args.spread_named {
            let more = self.eval_deep(spread)?;
            let Some(entries) = more.as_dict() else {
                return Err(Fault::new("argument after ** must be a mapping"));
            };
            for (key, value) in entries {
                call.named.push((Arc::from(key.to_json_key()), value.clone()));
            }
        }
        Ok(call)
    }

    /// A name: local, variable, or function of the language.
    pub(crate) fn name(&mut self, name: &str) -> Result<Value, Fault> {
        if let Some(value) = self.local(name) {
            return Ok(value.clone());
        }
        if let Some(value) = self.variable(name) {
            return self.shallow(&value);
        }
        Ok(super::globals::value(name).unwrap_or_else(|| Value::undefined_name(name)))
    }

    pub(crate) fn is_local_or_var(&self, name: &str) -> bool {
        self.local(name).is_some() || self.variable(name).is_some()
    }

    /// A name that a template has given.
    fn local(&self, name: &str) -> Option<&Value> {
        let own = self.frames.iter().rev().find_map(|frame| frame.get(name));
        own.or_else(|| self.outside.names.get(name))
    }

    /// A variable as it was written, where this template sees variables.
    fn variable(&self, name: &str) -> Option<Value> {
        if self.outside.hidden { None } else { self.cx.scope.get(name) }
    }

    /// `base.name`: Python's attributes and methods first, then entries.
    fn attr(&mut self, base: &Value, name: &Arc<str>) -> Result<Value, Fault> {
        if !matches!(base, Value::Undefined(_) | Value::Object(_))
            && super::methods::has(base, name)
        {
            return Ok(super::methods::bound(base.clone(), name));
        }
        self.item(base, &Value::Str(name.into()))
    }

    /// `base[key]`: entries first.
    pub(crate) fn item(&mut self, base: &Value, key: &Value) -> Result<Value, Fault> {
        let found = match base {
            Value::Undefined(_) => return Ok(base.clone()),
            Value::Object(object) => {
                let object = Arc::clone(object);
                object.attr(self, key)?
            }
            Value::Str(text) => key.as_int().and_then(|index| {
                let count = text.chars().count();
                let index = ops::index(index, count)?;
                text.chars().nth(index).map(|c| Value::from(c.to_string()))
            }),
            other => match (other.as_dict(), other.as_list()) {
                (Some(entries), _) => Key::of(key).and_then(|key| entries.get(&key).cloned()),
                (None, Some(items)) => key
                    .as_int()
                    .and_then(|index| items.get(ops::index(index, items.len())?).cloned()),
                (None, None) => None,
            },
        };
        match found {
            Some(value) => self.shallow(&value),
            None if base.type_name() == "HostVars" => {
                Ok(Value::undefined(format!("hostvars[{}]", key.repr())))
            }
            None => match key {
                Value::Str(name)
                    if !matches!(base, Value::Object(_)) && super::methods::has(base, name) =>
                {
                    Ok(super::methods::bound(base.clone(), name))
                }
                _ => Ok(Value::undefined(has_no(base, key))),
            },
        }
    }

    pub(crate) fn binary(
        &mut self,
        operator: Binary,
        left: &Value,
        right: &Value,
    ) -> Result<Value, Fault> {
        if operator == Binary::Concat {
            let (left, right) = (self.leave(left.clone())?, self.leave(right.clone())?);
            return Ok(Value::from(left.to_text() + &right.to_text()));
        }
        ops::binary(operator, left, right)
    }

    fn compare(&mut self, first: &Expr, rest: &[(Compare, Expr)]) -> Result<Value, Fault> {
        let mut left = self.eval_deep(first)?;
        self.defined(&left)?;
        for (operator, right) in rest {
            let right = self.eval_deep(right)?;
            self.defined(&right)?;
            if !ops::compare(*operator, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    /// Sets a name where it is visible, or here.
    pub(crate) fn rebind(&mut self, name: &Arc<str>, value: Value) {
        let frame = self.frames.iter().rposition(|frame| frame.contains_key(name)).unwrap_or(0);
        self.frames[frame].insert(Arc::clone(name), value);
    }
}

/// What is said of an item or attribute that is not there.
fn has_no(base: &Value, key: &Value) -> String {
    let kind = base.type_name();
    if let Value::Str(name) = key {
        return format!("object of type '{kind}' has no attribute '{name}'");
    }
    let key = key.repr();
    // Of what is empty Jinja2 itself tells, by the name of the class.
    let class = match (base.as_dict(), base.as_list()) {
        (Some(entries), _) => entries.is_empty().then(|| format!("{LAZY}Dict")),
        (None, Some(items)) if kind == "list" => items.is_empty().then(|| format!("{LAZY}List")),
        (None, Some(items)) => items.is_empty().then(|| kind.to_owned()),
        (None, None) => (!base.is_true()).then(|| kind.to_owned()),
    };
    match class {
        Some(class) => format!("{class} object has no element {key}"),
        None => format!("object of type '{kind}' has no attribute {key}"),
    }
}

/// How the classes of containers in variables are called (ansible-core 2.19).
pub(crate) const LAZY: &str = "ansible._internal._templating._lazy_containers._AnsibleLazyTemplate";

/// The newlines at the end of a template are at the end of its text too, unless the text brings
/// its own. A value that is no text stays what it is.
pub(crate) fn with_last_newlines(value: Value, source: &str, newline: &str) -> Value {
    let at_end = |text: &str| text.len() - text.trim_end_matches('\n').len();
    let Value::Str(text) = &value else { return value };
    match at_end(source).saturating_sub(at_end(text)) {
        0 => value,
        missing => Value::from(format!("{text}{}", newline.repeat(missing)).as_str()),
    }
}

/// Refuses what a variable cannot hold: functions, macros, loops.
pub(crate) fn storable(value: &Value) -> Result<(), Fault> {
    match value {
        Value::Object(object) if !object.storable() => Err(Fault::new(format!(
            "Type '{}' is unsupported for variable storage.",
            object.type_name()
        ))),
        Value::List(items) => items.iter().try_for_each(storable),
        Value::Dict(entries) => entries.values().try_for_each(storable),
        _ => Ok(()),
    }
}

fn is_plain(value: &Value) -> bool {
    matches!(value, Value::Str(_) | Value::Int(_) | Value::Bool(_) | Value::None | Value::Float(_))
}
