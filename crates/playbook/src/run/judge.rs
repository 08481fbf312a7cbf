//! What a task says of its own result: `changed_when` and `failed_when`.

use super::execute::Crew;
use super::failure::not_become;
use super::files::{TEMPLATE, TEMPLATE_LINE};
use super::outcome::{Ended, Outcome, flag, put};
use super::remote::NOT_BECOME;
use super::vars::TaskScope;
use crate::fault::Cause;
use crate::output::NO_TRACEBACK;
use crate::parse::tree::Task;
use crate::template::Dialect;
use crate::value::{Dict, Key, Value};
use crate::yaml::Origin;
use updraft_spec::CAUSE;

impl Crew<'_> {
    /// The scope in which `changed_when`, `failed_when` and `until` see the result.
    pub(super) fn with_result(&self, task: &Task, scope: &TaskScope, result: &Dict) -> TaskScope {
        match &task.register {
            Some(name) => scope.with(name, Value::dict(result.clone())),
            None => scope.clone(),
        }
    }

    /// Notes that it is the task's own verdict of which it fails, and not what the module said. Where
    /// the module has no message, that is the message too.
    pub(super) fn put_verdict(&self, task: &Task, outcome: &mut Outcome) {
        let result = &mut outcome.result;
        // A module that failed on its own said so, with where.
        let judged = ["failed_when_result", "changed_when_result", "attempts"];
        let own = judged.iter().any(|name| result.contains_key(*name))
            && !result.contains_key("exception")
            && outcome.causes.is_empty();
        if !own || self.shared.world.dialect == Dialect::Core214 {
            return;
        }
        let what = match result.get("msg").map(Value::to_text) {
            Some(msg) if msg.is_empty() => "Task failed: Action failed.".to_owned(),
            Some(msg) => format!("Task failed: Action failed: {msg}"),
            None => "Task failed: Action failed: Unknown error.".to_owned(),
        };
        result.entry(Key::str("msg")).or_insert_with(|| Value::str(&what));
        outcome.causes = vec![Cause::new(what, Some(task.origin.clone()))];
    }

    /// Notes that it is no module that says that a file of this side is nowhere.
    pub(super) fn put_missing(&self, task: &Task, outcome: &mut Outcome) {
        let told = outcome.result.get("msg").map(Value::to_text).unwrap_or_default();
        let tells = matches!(task.module(), Some("template" | "script" | "uri"))
            && told.starts_with("Could not find or access '")
            && told.contains(" on the Ansible Controller.");
        if tells && outcome.causes.is_empty() && self.shared.world.dialect == Dialect::Core219 {
            let why = Cause::new(format!("Task failed: {told}"), Some(task.origin.clone()));
            outcome.causes = vec![why, Cause { apart: true, ..Cause::new(told, None) }];
        }
    }

    /// Takes the place of a template file that failed out of the result, for whoever is told of it.
    pub(super) fn put_template(&self, task: &Task, outcome: &mut Outcome) {
        let line = outcome.result.shift_remove(TEMPLATE_LINE).and_then(|line| line.as_int());
        let Some(file) = outcome.result.shift_remove(TEMPLATE) else { return };
        let told = outcome.result.get("msg").map(Value::to_text).unwrap_or_default();
        let line = line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
        let place = Origin { file: file.to_text().into(), line, column: 1 };
        let inner = told.strip_prefix("Task failed: ").unwrap_or(&told).to_owned();
        let why = Cause::new(&told, Some(task.origin.clone()));
        outcome.causes = vec![why, Cause { apart: true, ..Cause::new(inner, Some(place)) }];
    }

    /// Takes the reason behind a failure out of the result, for whoever is told of it. 2.14 has it
    /// in the message.
    pub(super) fn put_cause(&self, task: &Task, outcome: &mut Outcome) {
        let Some(cause) = outcome.result.shift_remove(CAUSE).map(|cause| cause.to_text()) else {
            return;
        };
        let told = outcome.result.get("msg").map(Value::to_text).unwrap_or_default();
        let whole = format!("{}: {cause}", told.trim_end_matches('.'));
        if self.shared.world.dialect == Dialect::Core214 {
            if told == "Error executing command." {
                put(&mut outcome.result, "msg", Value::from(cause));
            } else if told.ends_with('.') {
                put(&mut outcome.result, "msg", Value::from(whole));
            }
        } else if outcome.ended == Ended::Failed && outcome.causes.is_empty() {
            let what = format!("Task failed: Module failed: {whole}");
            outcome.causes = vec![Cause::new(what, Some(task.origin.clone()))];
        }
    }

    /// Applies `changed_when` and `failed_when`.
    pub(super) fn judge(&self, task: &Task, scope: &TaskScope, result: &mut Dict) {
        if result.shift_remove(NOT_BECOME).is_some() {
            *result = not_become(result, self.shared.world.dialect);
        }
        result.entry(Key::str("changed")).or_insert(Value::Bool(false));
        if flag(result, "failed") {
            let exception = Value::str(NO_TRACEBACK);
            result.entry(Key::str("exception")).or_insert(exception);
        }
        result.entry(Key::str("failed")).or_insert(Value::Bool(false));
        for (conditions, name) in [(&task.changed_when, "changed"), (&task.failed_when, "failed")] {
            let Some(conditions) = conditions else { continue };
            if flag(result, "skipped") {
                continue;
            }
            let context = self.with_result(task, scope, result).context();
            match self.all_hold(&context, conditions) {
                Ok(missing) => {
                    // An empty list of conditions says nothing.
                    if conditions.is_empty() {
                        continue;
                    }
                    put(result, name, missing.is_none());
                    if name == "failed" {
                        put(result, "failed_when_result", missing.is_none());
                        if missing.is_some()
                            && let Some(exception) = result.shift_remove("exception")
                        {
                            put(result, "failed_when_suppressed_exception", exception);
                        }
                    }
                }
                Err(fault) => {
                    let said = self.judgement(&fault);
                    put(result, &format!("{name}_when_result"), Value::from(said));
                    put(result, "failed", true);
                }
            }
        }
    }
}
