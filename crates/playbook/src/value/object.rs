//! Values with behaviour: functions, namespaces, hosts, times.

use super::{Dict, Value};
use crate::template::{Fault, Interp};
use std::sync::Arc;

/// Arguments of a call.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// By position.
    pub args: Vec<Value>,
    /// By name.
    pub named: Vec<(Arc<str>, Value)>,
}

impl Call {
    /// The argument at `index`, or the one called `name`.
    pub fn get(&self, index: usize, name: &str) -> Option<&Value> {
        self.args.get(index).or_else(|| self.named(name))
    }

    /// The argument called `name`.
    pub fn named(&self, name: &str) -> Option<&Value> {
        self.named.iter().find(|(key, _)| &**key == name).map(|(_, value)| value)
    }

    pub(crate) fn text(&self, index: usize, name: &str) -> Option<String> {
        self.get(index, name).filter(|value| !value.is_none()).map(Value::to_text)
    }

    pub(crate) fn flag(&self, index: usize, name: &str) -> Option<bool> {
        self.get(index, name).map(|value| value.as_boolean().unwrap_or_else(|| value.is_true()))
    }

    pub(crate) fn int(&self, index: usize, name: &str) -> Option<i64> {
        self.get(index, name).and_then(|value| match value {
            Value::Str(text) => text.trim().parse().ok(),
            Value::Float(number) => Some(*number as i64),
            other => other.as_int(),
        })
    }
}

/// A place in an order: only those of one kind are equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rank {
    /// What is put in order: `date`, `datetime`, `aware`, `time`, `delta`.
    pub kind: &'static str,
    /// The place, in seconds for times.
    pub place: f64,
}

impl Rank {
    /// Python's order; `None` where it has none. A date begins where its day begins.
    pub(crate) fn compare(self, other: Self) -> Option<std::cmp::Ordering> {
        let days = |kind: &str| matches!(kind, "date" | "datetime");
        let comparable = self.kind == other.kind || (days(self.kind) && days(other.kind));
        comparable.then(|| self.place.partial_cmp(&other.place)).flatten()
    }
}

/// A value that decides itself what it answers.
pub trait Object: Send + Sync {
    /// Python's name of the type.
    fn type_name(&self) -> &'static str;

    /// An attribute or item by name.
    ///
    /// # Errors
    /// When looking it up means rendering something, and that fails.
    fn attr(&self, _cx: &mut Interp<'_>, _name: &Value) -> Result<Option<Value>, Fault> {
        Ok(None)
    }

    /// Sets an attribute, where that is allowed.
    fn set_attr(&self, _name: &str, _value: Value) -> bool {
        false
    }

    /// Calls it.
    ///
    /// # Errors
    /// When it is not a function, or the function fails.
    fn call(&self, _cx: &mut Interp<'_>, _call: &Call) -> Result<Value, Fault> {
        Err(Fault::new(format!("'{}' object is not callable", self.type_name())))
    }

    /// Calls one of its methods; `Ok(None)` when it has no such method.
    ///
    /// # Errors
    /// When the method fails.
    fn method(
        &self,
        _cx: &mut Interp<'_>,
        _name: &str,
        _call: &Call,
    ) -> Result<Option<Value>, Fault> {
        Ok(None)
    }

    /// Its elements, if one can walk over it.
    fn items(&self) -> Option<Vec<Value>> {
        None
    }

    /// The plain value that it becomes when it leaves a template.
    fn finished(&self, _cx: &mut Interp<'_>) -> Result<Option<Value>, Fault> {
        Ok(None)
    }

    /// May a variable hold it?
    fn storable(&self) -> bool {
        false
    }

    /// Python's text of it.
    fn text(&self) -> String {
        format!("<{}>", self.type_name())
    }

    /// Python's representation of it, as it stands in a list.
    fn repr(&self) -> String {
        self.text()
    }

    /// Its truth.
    fn is_true(&self) -> bool {
        self.items().is_none_or(|items| !items.is_empty())
    }

    /// `self + other` and `self - other` for points and spans of time.
    fn arithmetic(&self, _operator: char, _other: &Value) -> Option<Value> {
        None
    }

    /// Where it stands in the order of its kind, for comparisons.
    fn rank(&self) -> Option<Rank> {
        None
    }

    /// The text that it becomes in JSON.
    fn json_text(&self) -> String {
        self.text()
    }

    /// The same macro, seeing the other names of the template it was imported from.
    #[doc(hidden)]
    fn in_module(
        &self,
        _module: &Arc<std::sync::OnceLock<crate::template::Home>>,
    ) -> Option<Value> {
        None
    }

    /// A dict view of it, for filters that want one.
    fn as_dict(&self) -> Option<Dict> {
        None
    }
}
