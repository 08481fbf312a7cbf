//! Calls: macros, methods, filters, tests, functions of the language.

use super::ast::{Args, Expr, Macro};
use super::interp::{Frame, Home, Outside};
use super::others::{self, Kind};
use super::{Context, Fault, Interp, filters, globals, methods, probes};
use crate::value::{Call, Object, Value};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

impl<'a> Interp<'a> {
    /// An evaluation in other variables that still counts the depth of this one.
    pub(crate) fn nested<'b>(&self, cx: &'b Context) -> Interp<'b> {
        let mut inner = Interp::new(cx);
        inner.depth = self.depth + 1;
        inner
    }

    pub(crate) fn call_expr(&mut self, callee: &Expr, args: &Args) -> Result<Value, Fault> {
        let call = self.arguments(args)?;
        self.call_callee(callee, call)
    }

    pub(crate) fn call_with_caller(&mut self, expr: &Expr, caller: Value) -> Result<Value, Fault> {
        let Expr::Call(callee, args) = expr else {
            return Err(Fault::new("expected a call after 'call'"));
        };
        let mut call = self.arguments(args)?;
        call.named.push((Arc::from("caller"), caller));
        self.call_callee(callee, call)
    }

    fn call_callee(&mut self, callee: &Expr, call: Call) -> Result<Value, Fault> {
        match callee {
            Expr::Name(name) => {
                if &**name == "super" && !self.in_block.is_empty() {
                    let (block, level) = self.in_block.last().cloned().expect("checked above");
                    let pieces = self.capture(|this| this.block(&block, level + 1))?;
                    return self.concat(&pieces).map(Value::from);
                }
                if &**name == "loop"
                    && !call.args.is_empty()
                    && let Some(each) = self.recursive.last().cloned()
                {
                    let over = call.args[0].clone();
                    let pieces = self.capture(|this| this.for_loop(&each, &over))?;
                    return self.concat(&pieces).map(Value::from);
                }
                if !self.is_local_or_var(name)
                    && let Some(result) = globals::call(self, name, &call)
                {
                    return result;
                }
                let value = self.name(name)?;
                self.call_value(&value, &call)
            }
            Expr::Attr(base, method) => {
                let receiver = self.eval_deep(base)?;
                self.defined(&receiver)?;
                if let Value::Object(object) = &receiver {
                    let object = Arc::clone(object);
                    if let Some(result) = object.method(self, method, &call)? {
                        return Ok(result);
                    }
                    return match object.attr(self, &Value::Str(method.into()))? {
                        Some(value) => self.call_value(&value, &call),
                        None => Err(Fault::new(format!(
                            "'{}' object has no attribute '{method}'",
                            object.type_name()
                        ))),
                    };
                }
                if methods::changes(&receiver, method) {
                    let (changed, result) = methods::change(self, receiver, method, &call)?;
                    self.store(base, changed)?;
                    return Ok(result);
                }
                if let Some(result) = methods::call(self, &receiver, method, &call)? {
                    return Ok(result);
                }
                let value = self.item(&receiver, &Value::Str(method.into()))?;
                self.call_value(&value, &call)
            }
            other => {
                let value = self.eval(other)?;
                self.call_value(&value, &call)
            }
        }
    }

    pub(crate) fn call_value(&mut self, value: &Value, call: &Call) -> Result<Value, Fault> {
        self.defined(value)?;
        match value {
            Value::Object(object) => {
                let object = Arc::clone(object);
                object.call(self, call)
            }
            other => Err(Fault::new(format!("'{}' object is not callable", other.type_name()))),
        }
    }

    /// Puts a changed list or dict back where the expression found it, so that `list.append(x)`
    /// is seen by whoever looks at the name afterwards.
    fn store(&mut self, place: &Expr, value: Value) -> Result<(), Fault> {
        match place {
            Expr::Name(name) => {
                self.rebind(name, value);
                Ok(())
            }
            Expr::Attr(base, name) => self.store_item(base, Value::Str(name.into()), value),
            Expr::Item(base, key) => {
                let key = self.eval_defined(key)?;
                self.store_item(base, key, value)
            }
            // What `get` and `setdefault` give is held by the dict that was asked.
            Expr::Call(callee, args) => match (&**callee, args.args.first()) {
                (Expr::Attr(base, method), Some(key))
                    if matches!(&**method, "get" | "setdefault") =>
                {
                    let key = self.eval_defined(key)?;
                    self.store_item(base, key, value)
                }
                _ => Ok(()),
            },
            // Nobody else holds the result of any other expression.
            _ => Ok(()),
        }
    }

    fn store_item(&mut self, base: &Expr, key: Value, value: Value) -> Result<(), Fault> {
        let holder = self.eval_deep(base)?;
        match holder {
            Value::Object(object) => {
                if let Some(name) = key.as_str() {
                    object.set_attr(name, value);
                }
                Ok(())
            }
            holder => match methods::with_item(holder, &key, value) {
                Some(changed) => self.store(base, changed),
                None => Ok(()),
            },
        }
    }

    pub(crate) fn filter(&mut self, name: &str, value: Value, call: &Call) -> Result<Value, Fault> {
        let short = filters::short_name(name);
        if let Some(theirs) =
            self.theirs_first(Kind::Filter, name, || others::with_value(&value, call))
        {
            return theirs;
        }
        if !filters::accepts_undefined(short) {
            self.defined(&value)?;
        }
        if !filters::accepts_undefined_args(short) {
            for arg in call.args.iter().chain(call.named.iter().map(|(_, value)| value)) {
                self.defined(arg)?;
            }
        }
        filters::apply(self, name, value, call)
    }

    pub(crate) fn test(&mut self, name: &str, value: Value, call: &Call) -> Result<bool, Fault> {
        let short = filters::short_name(name);
        if let Some(theirs) =
            self.theirs_first(Kind::Test, name, || others::with_value(&value, call))
        {
            return theirs.map(|value| value.is_true());
        }
        if !matches!(short, "defined" | "undefined") {
            self.defined(&value)?;
            for arg in &call.args {
                self.defined(arg)?;
            }
        }
        probes::apply(self, name, &value, call)
    }
}

/// A macro together with the names around its definition.
pub(crate) struct MacroValue {
    one: Arc<Macro>,
    around: Vec<Frame>,
    /// The template in which it stands.
    template: Option<Arc<()>>,
    module: Arc<OnceLock<Home>>,
}

impl MacroValue {
    pub(crate) fn define(interp: &Interp<'_>, one: &Arc<Macro>) -> Value {
        Value::Object(Arc::new(Self {
            one: Arc::clone(one),
            around: interp.frames[1..].to_vec(),
            template: interp.outside.template.clone(),
            module: Arc::new(OnceLock::new()),
        }))
    }
}

impl Object for MacroValue {
    fn type_name(&self) -> &'static str {
        "Macro"
    }

    fn attr(&self, _cx: &mut Interp<'_>, name: &Value) -> Result<Option<Value>, Fault> {
        Ok(match name.as_str() {
            Some("name") => Some(Value::Str((&self.one.name).into())),
            Some("arguments") => {
                Some(Value::strings(self.one.params.iter().map(|param| &param.name)))
            }
            _ => None,
        })
    }

    fn in_module(&self, module: &Arc<OnceLock<Home>>) -> Option<Value> {
        Some(self.with_module(module))
    }

    fn call(&self, cx: &mut Interp<'_>, call: &Call) -> Result<Value, Fault> {
        cx.deeper(|cx| {
            let own = cx.outside.same(self.template.as_ref());
            let home = if own { Home::of(cx) } else { self.home(cx) };
            let mut frames = vec![home.names];
            frames.extend(self.around.iter().cloned());
            frames.push(Frame::new());
            let frames = std::mem::replace(&mut cx.frames, frames);
            let outside = std::mem::replace(&mut cx.outside, home.outside);
            if !own {
                cx.waiting.push(Home { outside: outside.clone(), names: frames[0].clone() });
            }
            let result = self.run(cx, call);
            if !own {
                cx.waiting.pop();
            }
            cx.frames = frames;
            cx.outside = outside;
            result
        })
    }
}

impl MacroValue {
    /// The template in which it stands, when it is called from another one.
    fn home(&self, cx: &Interp<'_>) -> Home {
        let calls_back = || {
            let template = self.template.as_ref();
            cx.waiting.iter().rev().find(|home| home.outside.same(template))
        };
        self.module.get().or_else(calls_back).cloned().unwrap_or_else(|| Home::of(cx))
    }

    fn run(&self, cx: &mut Interp<'_>, call: &Call) -> Result<Value, Fault> {
        let known = |name: &str| self.one.params.iter().any(|param| &*param.name == name);
        for (index, param) in self.one.params.iter().enumerate() {
            let value = match (call.get(index, &param.name), &param.default) {
                (Some(value), _) => value.clone(),
                (None, Some(default)) => cx.eval(default)?,
                (None, None) => {
                    Value::undefined(format!("parameter '{}' was not provided", param.name))
                }
            };
            cx.frames.last_mut().expect("pushed by call").insert(Arc::clone(&param.name), value);
        }
        let varargs = call.args.get(self.one.params.len()..).unwrap_or_default().to_vec();
        let mut kwargs = Vec::new();
        let mut caller = None;
        for (name, value) in &call.named {
            if &**name == "caller" {
                caller = Some(value.clone());
            } else if !known(name) {
                kwargs.push((Arc::clone(name), value.clone()));
            }
        }
        let frame = cx.frames.last_mut().expect("pushed by call");
        frame.insert(Arc::from("varargs"), Value::list(varargs));
        frame.insert(Arc::from("kwargs"), Value::dict_of(kwargs));
        if let Some(caller) = caller {
            frame.insert(Arc::from("caller"), caller);
        }
        cx.captured(&self.one.body)
    }
}

impl Home {
    fn of(cx: &Interp<'_>) -> Self {
        Self { outside: cx.outside.clone(), names: cx.frames[0].clone() }
    }
}

/// What an imported template exports, and what it puts out.
pub(crate) struct Module(Arc<OnceLock<Home>>, Vec<Value>);

impl Module {
    pub(crate) fn new(names: Frame, outside: Outside, out: Vec<Value>) -> Self {
        let cell = Arc::new(OnceLock::new());
        // Each exported macro sees the others through the shared cell.
        let names = names.into_iter().map(|(name, value)| (name, share(value, &cell))).collect();
        drop(cell.set(Home { outside, names }));
        Self(cell, out)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        self.0.get()?.names.get(name).cloned()
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Object(Arc::new(self))
    }
}

/// Gives a macro the names of its module; other values stay as they are.
fn share(value: Value, module: &Arc<OnceLock<Home>>) -> Value {
    match &value {
        Value::Object(object) => object.in_module(module).unwrap_or(value),
        _ => value,
    }
}

impl MacroValue {
    pub(crate) fn with_module(&self, module: &Arc<OnceLock<Home>>) -> Value {
        Value::Object(Arc::new(Self {
            one: Arc::clone(&self.one),
            around: self.around.clone(),
            template: self.template.clone(),
            module: Arc::clone(module),
        }))
    }
}

impl Object for Module {
    fn type_name(&self) -> &'static str {
        "TemplateModule"
    }

    fn attr(&self, _cx: &mut Interp<'_>, name: &Value) -> Result<Option<Value>, Fault> {
        Ok(name.as_str().and_then(|name| self.get(name)))
    }

    fn finished(&self, cx: &mut Interp<'_>) -> Result<Option<Value>, Fault> {
        cx.native(self.1.clone()).map(Some)
    }

    fn text(&self) -> String {
        self.1.iter().map(Value::to_text).collect()
    }
}

/// The `loop` variable.
pub(crate) struct LoopState {
    pub(crate) items: Arc<Vec<Value>>,
    index: usize,
    last_seen: Arc<Mutex<Option<Vec<Value>>>>,
    depth: usize,
}

impl LoopState {
    pub(crate) fn over(items: Vec<Value>, recursive: bool) -> Self {
        Self {
            items: Arc::new(items),
            index: 0,
            last_seen: Arc::default(),
            depth: usize::from(recursive),
        }
    }

    pub(crate) fn at(&self, index: usize) -> Value {
        Value::Object(Arc::new(Self {
            items: Arc::clone(&self.items),
            index,
            last_seen: Arc::clone(&self.last_seen),
            depth: self.depth,
        }))
    }
}

impl Object for LoopState {
    fn type_name(&self) -> &'static str {
        "LoopContext"
    }

    fn attr(&self, cx: &mut Interp<'_>, name: &Value) -> Result<Option<Value>, Fault> {
        let length = self.items.len();
        let level = cx.recursive.len().max(1);
        Ok(match name.as_str() {
            Some("index") => Some(Value::from(self.index + 1)),
            Some("index0") => Some(Value::from(self.index)),
            Some("revindex") => Some(Value::from(length - self.index)),
            Some("revindex0") => Some(Value::from(length - self.index - 1)),
            Some("first") => Some(Value::Bool(self.index == 0)),
            Some("last") => Some(Value::Bool(self.index + 1 == length)),
            Some("length") => Some(Value::from(length)),
            Some("depth") => Some(Value::from(level)),
            Some("depth0") => Some(Value::from(level - 1)),
            Some("previtem") => Some(match self.index.checked_sub(1) {
                Some(index) => self.items[index].clone(),
                None => Value::undefined("there is no previous item"),
            }),
            Some("nextitem") => Some(match self.items.get(self.index + 1) {
                Some(item) => item.clone(),
                None => Value::undefined("there is no next item"),
            }),
            _ => None,
        })
    }

    fn method(
        &self,
        _cx: &mut Interp<'_>,
        name: &str,
        call: &Call,
    ) -> Result<Option<Value>, Fault> {
        match name {
            "cycle" if call.args.is_empty() => Err(Fault::new("no items for cycling given")),
            "cycle" => Ok(Some(call.args[self.index % call.args.len()].clone())),
            "changed" => {
                let mut last = self.last_seen.lock().unwrap_or_else(PoisonError::into_inner);
                let changed = last.as_ref() != Some(&call.args);
                *last = Some(call.args.clone());
                Ok(Some(Value::Bool(changed)))
            }
            _ => Ok(None),
        }
    }
}
