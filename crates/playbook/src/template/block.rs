//! Walking the statements of a template.

use super::ast::{For, Stmt, Target};
use super::call::{LoopState, MacroValue, Module};
use super::interp::{Frame, Outside};
use super::{Fault, Interp, Syntax, ops, parse};
use crate::value::Value;
use std::sync::Arc;

/// How a run of statements ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    Break,
    Continue,
}

impl Interp<'_> {
    /// The native value of a template: that of its only piece, or the text of all.
    pub(crate) fn native_of(&mut self, tree: &[Stmt]) -> Result<Value, Fault> {
        // The most common template by far is one expression.
        if let [Stmt::Out(expr)] = tree {
            return self.eval(expr);
        }
        let pieces = self.capture(|this| this.document(tree))?;
        self.native(pieces)
    }

    /// What pieces of output are together: a single one keeps its type.
    pub(crate) fn native(&mut self, mut pieces: Vec<Value>) -> Result<Value, Fault> {
        pieces.retain(|piece| !piece.is_none());
        match pieces.len() {
            0 => Ok(Value::None),
            1 => Ok(pieces.remove(0)),
            _ => self.concat(&pieces).map(Value::from),
        }
    }

    /// The text of a template file.
    pub(crate) fn text_of(&mut self, tree: &[Stmt]) -> Result<String, Fault> {
        let pieces = self.capture(|this| this.document(tree))?;
        self.concat(&pieces)
    }

    pub(crate) fn concat(&mut self, pieces: &[Value]) -> Result<String, Fault> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Value::Str(piece) => text.push_str(piece),
                Value::None => {}
                Value::Undefined(missing) if missing.quiet => {}
                piece => {
                    let piece = self.deep(piece)?;
                    let piece = self.leave(piece)?;
                    if !piece.is_none() {
                        text.push_str(&piece.to_text());
                    }
                }
            }
        }
        Ok(text)
    }

    pub(crate) fn capture(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<Vec<Value>, Fault> {
        let outer = std::mem::take(&mut self.out);
        let result = run(self);
        let inner = std::mem::replace(&mut self.out, outer);
        result.map(|()| inner)
    }

    /// What a body puts out, which is a value like that of a template.
    pub(crate) fn captured(&mut self, body: &[Stmt]) -> Result<Value, Fault> {
        let pieces = self.capture(|this| this.scoped(|this| this.run(body).map(|_| ())))?;
        self.native(pieces)
    }

    /// A whole template, with the one it extends.
    fn document(&mut self, tree: &[Stmt]) -> Result<(), Fault> {
        self.run(tree)?;
        let mut hops = 0;
        while let Some(parent) = self.parent.take() {
            hops += 1;
            if hops > 20 {
                return Err(Fault::new("templates extend each other without end"));
            }
            // What a child writes outside of its blocks is dropped.
            self.out.clear();
            self.run(&parent)?;
        }
        Ok(())
    }

    fn scoped<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let height = self.frames.len();
        self.frames.push(Frame::new());
        let result = run(self);
        self.frames.truncate(height);
        result
    }

    pub(crate) fn run(&mut self, body: &[Stmt]) -> Result<Flow, Fault> {
        for statement in body {
            let flow = self.statement(statement)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &Stmt) -> Result<Flow, Fault> {
        match statement {
            Stmt::Text(text) => self.out.push(Value::Str(text.into())),
            Stmt::Out(expr) => {
                let value = self.eval(expr)?;
                self.out.push(value);
            }
            Stmt::Do(expr) => {
                self.eval(expr)?;
            }
            Stmt::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.truth(test)? {
                        return self.run(body);
                    }
                }
                return self.run(otherwise);
            }
            Stmt::For(each) => {
                let over = self.eval_deep(&each.over)?;
                self.for_loop(each, &over)?;
            }
            Stmt::Set(target, expr) => {
                let value = self.eval(expr)?;
                self.assign(target, value)?;
            }
            Stmt::SetBlock(target, filters, body) => {
                let mut value = self.captured(body)?;
                for (name, args) in filters {
                    let call = self.arguments(args)?;
                    value = self.filter(name, value, &call)?;
                }
                self.assign(target, value)?;
            }
            Stmt::FilterBlock(filters, body) => {
                let mut value = self.captured(body)?;
                for (name, args) in filters {
                    let call = self.arguments(args)?;
                    value = self.filter(name, value, &call)?;
                }
                self.out.push(value);
            }
            Stmt::Macro(one) => {
                let value = MacroValue::define(self, one);
                self.here().insert(Arc::clone(&one.name), value);
            }
            Stmt::CallBlock(call, body) => {
                let caller = MacroValue::define(self, body);
                let value = self.call_with_caller(call, caller)?;
                self.out.push(value);
            }
            Stmt::With(pairs, body) => {
                return self.scoped(|this| {
                    for (target, expr) in pairs {
                        let value = this.eval(expr)?;
                        this.assign(target, value)?;
                    }
                    this.run(body)
                });
            }
            Stmt::Include { name, ignore_missing, seeing } => {
                let names = self.eval_deep(name)?;
                self.defined(&names)?;
                let names = match names.as_list() {
                    Some(names) => names.to_vec(),
                    None => vec![names],
                };
                let found = names.iter().find_map(|name| self.load(&name.to_text()).transpose());
                match found.transpose()? {
                    Some(tree) if *seeing => {
                        self.deeper(|this| this.scoped(|this| this.run(&tree)))?;
                    }
                    Some(tree) => {
                        let inner = self.beside(false, |inner| inner.document(&tree))?;
                        self.out.extend(inner.out);
                    }
                    None if *ignore_missing => {}
                    None => {
                        let name = names.first().map(Value::to_text).unwrap_or_default();
                        return Err(Fault::new(format!("template `{name}` was not found")));
                    }
                }
            }
            Stmt::Import { name, alias, seeing } => {
                let module = self.import(name, *seeing)?;
                self.here().insert(Arc::clone(alias), module.into_value());
            }
            Stmt::FromImport { name, names, seeing } => {
                let module = self.import(name, *seeing)?;
                for (name, alias) in names {
                    let value = module.get(name).unwrap_or_else(|| {
                        Value::undefined(format!("the template does not export '{name}'"))
                    });
                    self.here().insert(Arc::clone(alias), value);
                }
            }
            Stmt::Extends(name) => {
                let name = self.eval_deep(name)?.to_text();
                let tree = self.load(&name)?;
                let tree =
                    tree.ok_or_else(|| Fault::new(format!("template `{name}` was not found")))?;
                self.parent = Some(tree);
            }
            Stmt::Block(name, body) => {
                self.blocks.entry(Arc::clone(name)).or_default().push(Arc::clone(body));
                if self.parent.is_none() {
                    self.block(&Arc::clone(name), 0)?;
                }
            }
            Stmt::Break => return Ok(Flow::Break),
            Stmt::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    /// Writes the `level`th definition of a block, 0 being that of the youngest child.
    pub(crate) fn block(&mut self, name: &Arc<str>, level: usize) -> Result<(), Fault> {
        let body = self.blocks.get(name).and_then(|bodies| bodies.get(level)).cloned();
        let Some(body) = body else {
            return Err(Fault::new(format!("there is no parent block called '{name}'")));
        };
        self.in_block.push((Arc::clone(name), level));
        let result = self.deeper(|this| this.scoped(|this| this.run(&body).map(|_| ())));
        self.in_block.pop();
        result
    }

    fn here(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("an evaluation has at least one frame")
    }

    pub(crate) fn assign(&mut self, target: &Target, value: Value) -> Result<(), Fault> {
        match target {
            Target::Name(name) => {
                self.here().insert(Arc::clone(name), value);
            }
            Target::Attr(base, name) => {
                let value = self.deep(&value)?;
                let set = match self.name(base)? {
                    Value::Object(object) => object.set_attr(name, value),
                    _ => false,
                };
                if !set {
                    return Err(Fault::new("cannot assign attribute on non-namespace object"));
                }
            }
            Target::Several(targets) => {
                let value = self.deep(&value)?;
                self.defined(&value)?;
                let parts = ops::iterate(&value)?;
                if parts.len() != targets.len() {
                    return Err(Fault::new(format!(
                        "cannot unpack {} values into {} names",
                        parts.len(),
                        targets.len()
                    )));
                }
                for (target, part) in targets.iter().zip(parts) {
                    self.assign(target, part)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn for_loop(&mut self, each: &Arc<For>, over: &Value) -> Result<(), Fault> {
        self.defined(over)?;
        let mut items = ops::iterate(over)?;
        if let Some(test) = &each.only_if {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                let keep = self.scoped(|this| {
                    this.assign(&each.target, item.clone())?;
                    this.truth(test)
                })?;
                if keep {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.scoped(|this| this.run(&each.otherwise)).map(|_| ());
        }
        if each.recursive {
            self.recursive.push(Arc::clone(each));
        }
        let result = self.deeper(|this| {
            let state = LoopState::over(items, each.recursive);
            let items = Arc::clone(&state.items);
            for (index, item) in items.iter().enumerate() {
                let flow = this.scoped(|this| {
                    this.assign(&each.target, item.clone())?;
                    this.here().insert(Arc::from("loop"), state.at(index));
                    this.run(&each.body)
                })?;
                if flow == Flow::Break {
                    break;
                }
            }
            Ok(())
        });
        if each.recursive {
            self.recursive.pop();
        }
        result
    }

    /// Another template, found beside the one that is rendered.
    fn load(&mut self, name: &str) -> Result<Option<Arc<Vec<Stmt>>>, Fault> {
        let around = match &self.outside.file {
            Some(file) => file.clone(),
            None => self.name("template_fullpath")?,
        };
        let beside = around
            .as_str()
            .and_then(|path| Some(std::path::Path::new(path).parent()?.join(name)))
            .filter(|path| path.is_file());
        let found = match beside {
            Some(path) => Some(path),
            None => super::find_file(self, "templates", name)?,
        };
        let Some(path) = found else { return Ok(None) };
        let text = self.cx.world.vault.read_text(&path).map_err(Fault::new)?;
        let tree = parse::parse_template(&text, &Syntax::default()).map_err(|fault| {
            Fault::new(format!("{}:{}: {}", path.display(), fault.line, fault.what))
        })?;
        Ok(Some(Arc::new(tree)))
    }

    fn import(&mut self, name: &super::ast::Expr, seeing: bool) -> Result<Module, Fault> {
        let name = self.eval_deep(name)?.to_text();
        let tree = self.load(&name)?;
        let tree = tree.ok_or_else(|| Fault::new(format!("template `{name}` was not found")))?;
        let mut inner = self.beside(seeing, |inner| inner.run(&tree).map(|_| ()))?;
        Ok(Module::new(inner.frames.swap_remove(0), inner.outside, inner.out))
    }

    /// Runs another template on its own. It sees the names of this one, or only functions.
    fn beside(
        &mut self,
        seeing: bool,
        run: impl FnOnce(&mut Interp<'_>) -> Result<(), Fault>,
    ) -> Result<Self, Fault> {
        let file = match &self.outside.file {
            Some(file) => file.clone(),
            None => self.name("template_fullpath")?,
        };
        let mut names = Frame::new();
        if seeing {
            names.extend(
                self.outside.names.iter().map(|(name, value)| (name.clone(), value.clone())),
            );
            for frame in &self.frames {
                names.extend(frame.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        }
        let outside = Outside {
            template: Some(Arc::new(())),
            names: Arc::new(names),
            hidden: !seeing || self.outside.hidden,
            file: Some(file),
        };
        self.deeper(|this| {
            let mut inner = Interp::new(this.cx);
            inner.depth = this.depth;
            inner.in_condition = this.in_condition;
            inner.outside = outside;
            run(&mut inner)?;
            Ok(inner)
        })
    }
}
