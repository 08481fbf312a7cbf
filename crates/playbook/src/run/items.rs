//! Loops: `loop`, every `with_…`, and what `loop_control` asks.

use super::execute::{Crew, HIDDEN, Told, censored, number, skipped, truth};
use super::failure::While;
use super::outcome::{Ended, Outcome, failed, put};
use super::vars::TaskScope;
use crate::fault::Cause;
use crate::output::{At, Event, SHOW};
use crate::parse::keywords::is_identifier;
use crate::parse::tree::{Loop, Task};
use crate::template::{Context, Dialect, Fault, Interp, run_lookup};
use crate::value::{Call, Dict, Key, Value};
use crate::yaml::Origin;
use std::time::Duration;

/// Why there is nothing to loop over.
enum NoList {
    /// A template failed, and the task with it.
    Failed(Fault),
    /// What is there is no list, and ansible-core 2.19 tells that alone.
    Alone(Cause),
}

impl From<Fault> for NoList {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

/// What ansible-core 2.19 says of a name that no variable can have.
fn no_name(name: &str, at: Option<Origin>) -> Cause {
    let help = "Variable names must be strings starting with a letter or underscore character, and \
                contain only letters, numbers and underscores.";
    let what = format!("Invalid variable name '{name}'.");
    Cause { help: Some(help.to_owned()), ..Cause::new(what, at) }
}

/// The list that a loop goes over.
fn list(context: &Context, repeat: &Loop, action: &str) -> Result<Vec<Value>, NoList> {
    let newer = context.world.dialect == Dialect::Core219;
    let value = context.finish_soft(&repeat.over)?;
    let Some(lookup) = &repeat.lookup else {
        let value = match &value {
            Value::Undefined(missing) => return Err(Fault::undefined(missing).into()),
            Value::Object(_) => context.finish(&value)?,
            _ => value,
        };
        return match value.as_list() {
            Some(items) => {
                for item in items {
                    if let Value::Undefined(missing) = item {
                        return Err(Fault::undefined(missing).into());
                    }
                }
                Ok(items.to_vec())
            }
            None if newer => {
                let help = "Provide a list of items/templates, or a template resolving to a list.";
                let kind = value.type_name();
                let what = format!("The `loop` value must resolve to a 'list', not '{kind}'.");
                let why = Cause::new(what, Some(repeat.at.clone()));
                Err(NoList::Alone(Cause { help: Some(help.to_owned()), ..why }))
            }
            None => Err(Fault::new(format!(
                "Invalid data passed to 'loop', it requires a list, got this instead: {}. Hint: If you passed a list/dict of just one element, try adding wantlist=True to your lookup invocation or use q/query instead of lookup.",
                value.to_text()
            ))
            .into()),
        };
    };
    let terms = match (&value, value.as_list()) {
        (Value::Undefined(missing), _) if lookup != "first_found" => {
            return Err(Fault::undefined(missing).into());
        }
        (_, Some(items)) => items.to_vec(),
        _ => vec![value.clone()],
    };
    let mut interp = Interp::new(context);
    let mut call = Call::default();
    if lookup == "first_found" {
        // Where it looks goes by the action, and only as `with_first_found`.
        let subdir = match action {
            _ if action.contains("template") => "templates",
            _ if action.contains("var") => "vars",
            _ => "files",
        };
        call.named.push(("_subdir".into(), Value::str(subdir)));
    }
    run_lookup(&mut interp, lookup, &terms, &call).map_err(|fault| {
        match newer && !fault.undefined {
            true => NoList::Alone(Cause::new(fault.what, None)),
            false => NoList::Failed(fault),
        }
    })
}

/// A task that failed of one thing alone.
fn alone(why: Cause) -> Outcome {
    Outcome { causes: vec![why.clone()], ..Outcome::of(failed(why.what)) }
}

impl Crew<'_> {
    /// Runs a task for each item.
    pub(super) async fn repeat(&self, task: &Task, repeat: &Loop, scope: &TaskScope) -> Told {
        let plain =
            |outcome: Outcome| Told { outcome, delegate: None, no_log: false, always: false };
        let context = scope.clone().context();
        let items = match list(&context, repeat, &task.word) {
            Ok(items) => items,
            Err(why) => {
                // What is wrong with the list matters only if the task would run at all.
                let runs = self.all_hold(&context, &task.common.when);
                let mut told = plain(match (runs, why) {
                    (Ok(Some(condition)), _) => Outcome::of(skipped(&context, condition)),
                    (_, NoList::Failed(fault)) => self.failed_of(task, While::Task, &fault),
                    (_, NoList::Alone(why)) => alone(why),
                });
                self.settle(task, scope, &mut told);
                self.tell(task, scope, &told, None);
                return told;
            }
        };
        if items.is_empty() {
            let mut result = Dict::new();
            put(&mut result, "changed", false);
            put(&mut result, "skipped", true);
            put(&mut result, "skipped_reason", Value::str("No items in the list"));
            put(&mut result, "results", Value::list(Vec::new()));
            let told = plain(Outcome::of(result));
            self.tell(task, scope, &told, None);
            return told;
        }
        let control = &repeat.control;
        let around = scope;
        let loop_var = match context.text(&control.loop_var) {
            Ok(name) => name,
            Err(fault) => return self.broken(task, scope, fault),
        };
        if context.world.dialect == Dialect::Core219 && !is_identifier(&loop_var) {
            let at = Some(task.origin.clone());
            let mut told = plain(alone(no_name(&loop_var, at)));
            self.settle(task, scope, &mut told);
            self.tell(task, scope, &told, None);
            return told;
        }
        let extended = truth(&context, control.extended.as_ref()).unwrap_or(false);
        let all_items = control
            .extended_allitems
            .as_ref()
            .is_none_or(|value| truth(&context, Some(value)).unwrap_or(true));
        let pause = match control.pause.as_ref().map(|value| number(&context, value)).transpose() {
            Ok(pause) => pause.unwrap_or(0.0),
            Err(fault) => return self.broken(task, scope, fault),
        };
        let index_var = match control.index_var.as_ref().map(|name| context.text(name)).transpose()
        {
            Ok(name) => name,
            Err(fault) => return self.broken(task, scope, fault),
        };
        let mut results = Vec::with_capacity(items.len());
        let mut all = Outcome::of(Dict::new());
        let (mut any_failed, mut gone) = (false, false);
        let (mut all_skipped, mut no_log) = (true, false);
        // A loop is ignored when each of its failures is.
        let mut ignored = true;
        for (index, item) in items.iter().enumerate() {
            if index > 0 && pause > 0.0 {
                self.operator.sleep(Duration::from_secs_f64(pause)).await;
            }
            let mut scope = scope.with(&loop_var, item.clone());
            // What the last item gave can be seen by the next one.
            if let (Some(name), Some(last)) = (&task.register, results.last()) {
                scope.over.insert(Key::str(name), Value::clone(last));
            }
            scope.over.insert(Key::str("ansible_loop_var"), Value::str(&loop_var));
            if let Some(name) = &index_var {
                scope.over.insert(Key::str(name), Value::from(index));
                scope.over.insert(Key::str("ansible_index_var"), Value::str(name));
            }
            if extended {
                scope
                    .over
                    .insert(Key::str("ansible_loop"), extended_loop(&items, index, all_items));
            }
            let mut told = self.once(task, &scope).await;
            self.settle(task, &scope, &mut told);
            let seen = match &task.register {
                Some(name) => scope.with(name, Value::dict(told.outcome.result.clone())),
                None => scope.clone(),
            };
            let label = match self.label(control.label.as_ref(), &seen, item) {
                Ok(label) => label,
                Err(fault) => {
                    let result = &mut told.outcome.result;
                    put(result, "failed", true);
                    let msg = format!("Failed to template loop_control.label: {}", fault.what);
                    put(result, "msg", Value::from(msg));
                    told.outcome.ended = Ended::Failed;
                    self.settle(task, &scope, &mut told);
                    item.to_text()
                }
            };
            no_log |= told.no_log;
            let result = &mut told.outcome.result;
            result.insert(Key::str("ansible_loop_var"), Value::str(&loop_var));
            result.insert(Key::str(&loop_var), item.clone());
            if let Some(name) = &index_var {
                result.insert(Key::str(name), Value::from(index));
                result.insert(Key::str("ansible_index_var"), Value::str(name));
            }
            if extended {
                result.insert(Key::str("ansible_loop"), extended_loop(&items, index, all_items));
            }
            for asked in &mut told.outcome.includes {
                // The included tasks see the item under its name.
                asked.vars.insert(Key::str(&loop_var), item.clone());
                asked.vars.insert(Key::str("ansible_loop_var"), Value::str(&loop_var));
                if let Some(name) = &index_var {
                    asked.vars.insert(Key::str(name), Value::from(index));
                    asked.vars.insert(Key::str("ansible_index_var"), Value::str(name));
                }
                if extended {
                    let about = extended_loop(&items, index, all_items);
                    asked.vars.insert(Key::str("ansible_loop"), about);
                }
                let shown = if told.no_log { HIDDEN } else { label.as_str() };
                asked.item = Some(shown.to_owned());
            }
            if told.outcome.includes.is_empty() {
                self.tell(task, &scope, &told, Some(label));
            }
            let outcome = told.outcome;
            all.changed |= outcome.changed;
            any_failed |= outcome.ended == Ended::Failed;
            gone |= outcome.ended == Ended::Unreachable;
            ignored &=
                !matches!(outcome.ended, Ended::Failed | Ended::Unreachable) || outcome.ignored;
            all_skipped &= outcome.ended == Ended::Skipped;
            all.includes.extend(outcome.includes);
            for name in outcome.notify {
                if !all.notify.contains(&name) {
                    all.notify.push(name);
                }
            }
            let mut result = outcome.result;
            result.shift_remove(SHOW);
            results.push(Value::dict(result));
            if !control.break_when.is_empty() {
                let scope = match &task.register {
                    Some(name) => scope.with(name, results.last().cloned().unwrap_or_default()),
                    None => scope,
                };
                match self.all_hold(&scope.context(), &control.break_when) {
                    Ok(None) => break,
                    Ok(Some(_)) => {}
                    Err(fault) => return self.broken(task, around, fault),
                }
            }
        }
        put(&mut all.result, "results", Value::list(results));
        put(&mut all.result, "changed", all.changed);
        put(&mut all.result, "skipped", all_skipped);
        if any_failed {
            put(&mut all.result, "failed", true);
        }
        if gone {
            put(&mut all.result, "unreachable", true);
        }
        let msg = if any_failed {
            "One or more items failed"
        } else if all_skipped {
            "All items skipped"
        } else {
            "All items completed"
        };
        put(&mut all.result, "msg", Value::str(msg));
        all.ended = match () {
            () if any_failed => Ended::Failed,
            () if gone => Ended::Unreachable,
            () if all_skipped => Ended::Skipped,
            () => Ended::Well,
        };
        let mut told = Told { outcome: all, delegate: None, no_log, always: false };
        self.settle(task, scope, &mut told);
        if matches!(told.outcome.ended, Ended::Failed | Ended::Unreachable) {
            told.outcome.ignored = ignored;
        }
        match told.outcome.ended {
            Ended::Skipped => {
                let mut shown = told.outcome.clone();
                shown.result.shift_remove("results");
                let shown = Told { outcome: shown, delegate: None, no_log, always: false };
                self.tell(task, scope, &shown, None);
            }
            Ended::Failed | Ended::Unreachable => {
                self.sink.event(self.loop_ended(task, scope, &told));
            }
            // 2.14 has one more line where nothing is told of the items.
            Ended::Well
                if no_log
                    && told.outcome.includes.is_empty()
                    && self.shared.world.dialect == Dialect::Core214 =>
            {
                self.tell(task, scope, &told, None);
            }
            Ended::Well => {}
        }
        told
    }

    /// What is said of a loop in which something was wrong. Ansible's callback takes the items out of
    /// what `debug` gave, and then tells it like a task without items; so does 2.14 with `no_log`.
    fn loop_ended(&self, task: &Task, scope: &TaskScope, told: &Told) -> Event {
        let outcome = &told.outcome;
        let unreachable = outcome.ended == Ended::Unreachable;
        let classic = self.shared.world.dialect == Dialect::Core214;
        let result = match task.module() {
            _ if told.no_log && (classic || unreachable) => Some(censored(task, outcome)),
            _ if unreachable => {
                let mut result = outcome.result.clone();
                result.shift_remove("skipped");
                Some(Value::dict(result))
            }
            Some("debug") if !told.no_log => {
                let msg = outcome.result.get("msg").cloned().unwrap_or_default();
                Some(Value::dict_of([("msg", msg)]))
            }
            _ => None,
        };
        let at = At { host: scope.host.name.clone(), delegate: told.delegate.clone(), item: None };
        Event::LoopEnded { at, result, unreachable, ignored: outcome.ignored }
    }

    fn broken(&self, task: &Task, scope: &TaskScope, fault: Fault) -> Told {
        let outcome = self.failed_of(task, While::Task, &fault);
        let mut told = Told { outcome, delegate: None, no_log: false, always: false };
        self.settle(task, scope, &mut told);
        self.tell(task, scope, &told, None);
        told
    }

    fn label(
        &self,
        label: Option<&Value>,
        scope: &TaskScope,
        item: &Value,
    ) -> Result<String, Fault> {
        match label {
            Some(label) => scope.clone().context().text(label),
            None => Ok(item.to_text()),
        }
    }
}

fn extended_loop(items: &[Value], index: usize, all_items: bool) -> Value {
    let length = items.len();
    let mut entries = vec![
        ("index", Value::from(index + 1)),
        ("index0", Value::from(index)),
        ("first", Value::Bool(index == 0)),
        ("last", Value::Bool(index + 1 == length)),
        ("length", Value::from(length)),
        ("revindex", Value::from(length - index)),
        ("revindex0", Value::from(length - index - 1)),
    ];
    if all_items {
        entries.push(("allitems", Value::list(items.to_vec())));
    }
    if let Some(next) = items.get(index + 1) {
        entries.push(("nextitem", next.clone()));
    }
    if let Some(before) = index.checked_sub(1).and_then(|index| items.get(index)) {
        entries.push(("previtem", before.clone()));
    }
    Value::dict_of(entries)
}
