//! The task debugger: whoever runs a playbook looks at a task that failed, changes it, and has it
//! run again.

use super::execute::{Crew, truth};
use super::outcome::{Ended, Outcome};
use super::vars::TaskScope;
use crate::output::Event;
use crate::parse::tree::{Common, Task};
use crate::template::{Expression, Fault};
use crate::value::{Key, Value};
use std::sync::Arc;

/// What is to become of a task.
pub(super) enum Next {
    /// The run goes on.
    Continue,
    /// The task runs again, as it is now.
    Redo,
    /// The run ends here.
    Quit,
}

/// A line that was typed.
#[derive(Debug, PartialEq)]
enum Line<'l> {
    Nothing,
    Print(&'l str),
    /// `task.args["src"] = "b"`: what is changed, its entry, and the new value.
    Set(&'l str, Option<&'l str>, &'l str),
    Update,
    Redo,
    Continue,
    Quit,
    Help,
    Other(&'l str),
}

const HELP: &str = "\
p(print) EXPRESSION     show task, task.args, task_vars, host, result or what is in them
task.args[KEY] = VALUE  change an argument of the task
task.vars[KEY] = VALUE  change a variable of the task; task_vars is the same
u(pdate_task)           look at the task's variables anew
r(edo)                  run the task again
c(ontinue)              go on
q(uit)                  end the run";

/// What a line asks for.
fn read(line: &str) -> Line<'_> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match word {
        "" => Line::Nothing,
        "p" | "pprint" | "print" => Line::Print(rest.trim()),
        "u" | "update_task" => Line::Update,
        "r" | "redo" => Line::Redo,
        "c" | "continue" => Line::Continue,
        "q" | "quit" | "EOF" => Line::Quit,
        "h" | "help" | "?" => Line::Help,
        _ => assignment(line).unwrap_or(Line::Other(line)),
    }
}

fn assignment(line: &str) -> Option<Line<'_>> {
    let (target, value) = line.split_once('=')?;
    let target = target.trim();
    let (what, key) = match target.split_once('[') {
        Some((what, key)) => (what.trim(), Some(key.trim().strip_suffix(']')?.trim())),
        None => (target, None),
    };
    let known = matches!(what, "task.args" | "task.vars" | "task_vars");
    known.then_some(Line::Set(what, key, value.trim()))
}

impl Crew<'_> {
    /// Is somebody to be asked about how a task ended?
    pub(super) fn debugs(&self, task: &Task, scope: &TaskScope, outcome: &Outcome) -> bool {
        let options = &self.shared.options;
        let config = &self.shared.world.config;
        let spared = config.debugger_ignores_errors.value
            && truth(&scope.clone().context(), task.common.ignore_errors.as_ref()).unwrap_or(false);
        let failed = outcome.ended == Ended::Failed && !spared;
        let gone = outcome.ended == Ended::Unreachable;
        match task.common.debugger.as_ref().and_then(Value::as_str) {
            Some("always") => true,
            Some("never") => false,
            Some("on_failed") => failed,
            Some("on_unreachable") => gone,
            Some("on_skipped") => outcome.ended == Ended::Skipped,
            _ => (options.debugger || scope.play.debugged) && (failed || gone),
        }
    }

    /// Asks what is to become of a task until it is clear. The task is changed on the way.
    pub(super) async fn debug_task(
        &self,
        task: &mut Task,
        scope: &TaskScope,
        outcome: &Outcome,
    ) -> Next {
        // One host after the other: there is one person to ask.
        let _turn = self.shared.talk.lock().await;
        let context = scope.clone().context();
        let name = self.shown_name(task, &context);
        let prompt = format!("[{}] TASK: {name} (debug)> ", scope.host.name);
        let say = |text: String| self.sink.event(Event::Said(text));
        loop {
            let Some(line) = self.operator.ask(&prompt, false).await else {
                say("User interrupted execution".to_owned());
                return Next::Quit;
            };
            match read(&line) {
                Line::Nothing => {}
                Line::Redo => return Next::Redo,
                Line::Continue => return Next::Continue,
                Line::Quit => {
                    say("User interrupted execution".to_owned());
                    return Next::Quit;
                }
                Line::Help => say(HELP.to_owned()),
                // Arguments are rendered anew with each run of the task.
                Line::Update => {}
                Line::Print("task") => say(format!("TASK: {name}")),
                Line::Print("host") => say(scope.host.name.clone()),
                Line::Print(source) => match evaluate(source, task, scope, outcome) {
                    Ok(value) => say(value.repr()),
                    Err(fault) => say(format!("*** {}", fault.what)),
                },
                Line::Set(what, key, value) => {
                    if let Err(fault) = set(task, scope, outcome, (what, key, value)) {
                        say(format!("*** {}", fault.what));
                    }
                }
                Line::Other(line) => say(format!("*** `{line}` is no command; `h` lists them")),
            }
        }
    }
}

/// An expression with what the debugger knows.
fn evaluate(
    source: &str,
    task: &Task,
    scope: &TaskScope,
    outcome: &Outcome,
) -> Result<Value, Fault> {
    let scope = scope.for_task(task);
    let about = Value::dict_of([
        ("name", task.name.clone().unwrap_or_default()),
        ("action", Value::str(&task.word)),
        // As they are written: what is wrong with them may be what is looked for.
        ("args", task.args.as_written()),
        ("vars", Value::dict(task.common.vars.clone())),
    ]);
    let result = Value::dict_of([
        ("_result", Value::dict(outcome.result.clone())),
        ("_host", Value::str(&scope.host.name)),
    ]);
    let vars = scope.all_vars();
    let scope = scope
        .with("task", about)
        .with("task_vars", vars)
        .with("result", result)
        .with("host", Value::str(&scope.host.name));
    let expression = Expression::new(source, None)?;
    scope.context().evaluate(&expression)
}

/// Changes an argument or a variable of a task, or all of them.
fn set(
    task: &mut Task,
    scope: &TaskScope,
    outcome: &Outcome,
    (what, key, value): (&str, Option<&str>, &str),
) -> Result<(), Fault> {
    // What is typed here is the author's own, templates included.
    let value = match crate::inventory::python_literal(value) {
        Some(Value::Str(text)) => Value::trusted(&text, None),
        Some(value) => value,
        None => evaluate(value, task, scope, outcome)?,
    };
    let mut dict = match what {
        "task.args" => task.args.as_dict().cloned().unwrap_or_default(),
        _ => task.common.vars.clone(),
    };
    match key {
        Some(key) => {
            let key = evaluate(key, task, scope, outcome)?;
            dict.insert(Key::from(key.to_text().as_str()), value);
        }
        None => {
            let all = value.as_dict().cloned();
            dict = all.ok_or_else(|| Fault::new(format!("{what} is a dict")))?;
        }
    }
    match what {
        "task.args" => task.args = Value::dict(dict),
        _ => task.common = Arc::new(Common { vars: dict, ..(*task.common).clone() }),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_ansibles_debugger_reads_them() {
        for (line, meant) in [
            ("p task.args", Line::Print("task.args")),
            ("r", Line::Redo),
            ("", Line::Nothing),
            ("task.args['msg'] = 'a = b'", Line::Set("task.args", Some("'msg'"), "'a = b'")),
            ("task_vars[\"x\"]=1", Line::Set("task_vars", Some("\"x\""), "1")),
            ("task.args = {}", Line::Set("task.args", None, "{}")),
            ("import os", Line::Other("import os")),
        ] {
            assert_eq!(read(line), meant, "{line}");
        }
    }
}
