//! Filters, tests and lookups of playbooks, roles and collections that are written in Python.
//!
//! One Python runs them all. It is started when the first is needed and ends with us. What goes to
//! it and comes back is one line of JSON each; while it works it may ask for variables and for
//! templates to be rendered, and rendering may need another plugin, so calls nest. Several hosts
//! wait for each other.
//!
//! The rule: what a plugin gives is data, and never rendered.
//!
//! Never here: starting processes; they come through [`Starter`].

mod line;
#[cfg(test)]
mod tests;
mod values;

use crate::foreign::Modules;
use crate::template::{Answer, Fault, Interp, Kind, Others, is_ours};
use crate::value::{Call, Value};
use line::Line;
use serde_json::{Value as Json, json};
use std::path::Path;
use std::sync::Arc;
use values::{decode, encode, written};

/// What the Python runs: first how it talks, then what it knows of Ansible.
const PROGRAM: &str = concat!(include_str!("talk.py"), include_str!("find.py"));

/// Reads the program itself.
const BEGINNING: &str =
    "import sys, json; start = json.loads(sys.stdin.readline()); exec(start['program'])";

/// Starts programs of this computer.
pub trait Starter: Send + Sync {
    /// Starts one that answers each line with one. It must not outlive us.
    ///
    /// # Errors
    /// With a sentence, when it cannot be started.
    fn start(&self, program: &Path, args: &[&str]) -> Result<Box<dyn Partner>, String>;
}

/// A program that answers each line with one. It ends when it is dropped.
pub trait Partner: Send {
    /// Says a line, without its end, and waits for the answer, for as long as it takes.
    ///
    /// # Errors
    /// With a sentence, when the program has ended.
    fn exchange(&mut self, line: &str) -> Result<String, String>;
}

/// Filters, tests and lookups in Python.
pub struct Plugins {
    modules: Arc<Modules>,
    starter: Arc<dyn Starter>,
    line: Line,
}

impl Plugins {
    /// Those of the places that `modules` knows. Nothing is started yet.
    pub fn new(modules: Arc<Modules>, starter: Arc<dyn Starter>) -> Self {
        Self { modules, starter, line: Line::default() }
    }

    /// Starts the Python.
    fn start(&self) -> Result<Box<dyn Partner>, String> {
        let python = self.modules.python()?;
        let mut partner = self.starter.start(&python.program, &["-c", BEGINNING])?;
        let packages = python.packages.as_ref().map(|path| path.display().to_string());
        let start = json!({ "program": PROGRAM, "packages": packages });
        let answer = partner.exchange(&start.to_string())?;
        let program = python.program.display();
        match serde_json::from_str::<Json>(&answer).ok().as_ref().and_then(|it| it.get("failed")) {
            None => Ok(partner),
            Some(why) => Err(format!(
                "`{program}` cannot use ansible-core{}: {}",
                packages.map(|path| format!(" in `{path}`")).unwrap_or_default(),
                why.as_str().unwrap_or_default()
            )),
        }
    }

    /// Why there is none to be found where nothing but Python itself is installed.
    fn noticed(&self, kind: Kind, name: &str, mut noticed: Vec<String>) -> Vec<String> {
        let bare = self.modules.python().is_ok_and(|python| python.packages.is_none());
        let needs = kind == Kind::Lookup || name.contains('.') || !noticed.is_empty();
        if bare && needs && self.modules.may_have(kind, name) {
            noticed.push(
                "it may need ansible-core, which is not installed here: install it with `pipx \
                 install ansible-core`"
                    .to_owned(),
            );
        }
        noticed
    }
}

impl Others for Plugins {
    fn before_ours(&self, kind: Kind, name: &str) -> bool {
        self.modules.may_be_before_ours(kind, name)
    }

    fn may_have(&self, kind: Kind, name: &str) -> bool {
        self.modules.may_have(kind, name)
    }

    fn run(
        &self,
        cx: &mut Interp<'_>,
        kind: Kind,
        name: &str,
        call: &Call,
    ) -> Result<Answer, Fault> {
        let ours = is_ours(kind, name);
        let args = call.args.iter().map(|arg| encode(cx, arg)).collect::<Result<Vec<_>, _>>()?;
        let named = call.named.iter().map(|(name, value)| Ok(json!([name, encode(cx, value)?])));
        let named = named.collect::<Result<Vec<_>, Fault>>()?;
        let broken =
            |why: String| Fault::told(format!("The {kind} plugin '{name}' cannot be run: {why}"));
        let turn = self.line.turn();
        let beside = turn.news(&self.modules.all_beside(), || self.start()).map_err(broken)?;
        let mut say = json!({
            "call": kind.word(), "name": name, "ours": ours, "args": args, "named": named,
            "beside": beside,
        });
        loop {
            let heard = turn.exchange(&say.to_string()).map_err(broken)?;
            let mut heard: Json =
                serde_json::from_str(&heard).map_err(|error| broken(error.to_string()))?;
            let text = |name: &str| heard.get(name).and_then(Json::as_str).map(str::to_owned);
            if let Some(why) = text("failed") {
                return Err(Fault::told(why));
            }
            if let Some(why) = text("unsupported") {
                return Err(Fault::new(why));
            }
            if let Some(why) = text("undefined") {
                return Err(Fault { undefined: true, ..Fault::told(why) });
            }
            if let Some(noticed) = heard.get("none").and_then(Json::as_array) {
                let noticed = noticed.iter().filter_map(Json::as_str).map(str::to_owned).collect();
                if ours {
                    self.modules.has_none_before_ours(kind, name);
                }
                return Ok(Answer::None(self.noticed(kind, name, noticed)));
            }
            if let Some(gave) = heard.get_mut("gave") {
                let gave = decode(gave.take(), false).map_err(|why| {
                    Fault::told(format!("The {kind} plugin '{name}' failed: {why}"))
                })?;
                return Ok(Answer::Gave(gave));
            }
            say = answer(cx, &heard).unwrap_or_else(|fault| match fault.undefined {
                true => json!({ "undefined": fault.what }),
                false => json!({ "failed": fault.what }),
            });
        }
    }
}

/// What a plugin is told that asks back.
fn answer(cx: &mut Interp<'_>, question: &Json) -> Result<Json, Fault> {
    let path: Vec<&str> = question
        .get("path")
        .and_then(Json::as_array)
        .map(|path| path.iter().filter_map(Json::as_str).collect())
        .unwrap_or_default();
    match question.get("ask").and_then(Json::as_str) {
        Some("names") => {
            let names: Vec<Value> = match object(cx, &path)? {
                None => cx.context().scope.names().iter().map(Value::str).collect(),
                Some(Value::Object(object)) => object.items().unwrap_or_default(),
                Some(_) => Vec::new(),
            };
            let names: Result<Vec<Json>, Fault> =
                names.iter().map(|name| encode(cx, name)).collect();
            Ok(json!({ "names": names? }))
        }
        Some("item") => {
            let name = question.get("name").and_then(Json::as_str).unwrap_or_default();
            let mut inner = path.clone();
            inner.push(name);
            let rendered = question.get("rendered").and_then(Json::as_bool).unwrap_or(false);
            Ok(match object(cx, &inner)? {
                Some(value) if rendered => json!({ "value": encode(cx, &value)? }),
                Some(value) => json!({ "value": written(cx, &value, &inner)? }),
                None => json!({}),
            })
        }
        Some("template") => {
            let value = question.get("value").cloned().unwrap_or_default();
            let value = decode(value, true).map_err(Fault::new)?;
            Ok(json!({ "value": encode(cx, &value)? }))
        }
        _ => Err(Fault::new("that is nothing that can be asked")),
    }
}

/// What is found from the variables on by names.
fn object(cx: &mut Interp<'_>, path: &[&str]) -> Result<Option<Value>, Fault> {
    let Some((first, rest)) = path.split_first() else { return Ok(None) };
    let mut found = cx.context().scope.get(first);
    for name in rest {
        found = match found {
            Some(Value::Object(object)) => object.attr(cx, &Value::str(name))?,
            _ => None,
        };
    }
    Ok(found)
}
