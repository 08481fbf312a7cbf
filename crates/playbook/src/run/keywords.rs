//! Keywords that must have a value before a task runs, whoever needs them.
//!
//! ansible-core settles all of them for every task, also for those that no host has a part in, and
//! names the one that is at fault.
//!
//! Never here: conditions, loops, and what decides whether a task is tried again.

use super::execute::{Crew, truth};
use super::failure::{Failure, While};
use super::remote::environment;
use crate::output::Event;
use crate::parse::tree::Task;
use crate::template::{Context, Fault};
use crate::value::Value;
use std::collections::BTreeMap;

/// What the keywords of a task gave.
pub(super) struct Settled {
    /// Nothing is changed; `None` where the task says nothing of it.
    pub(super) check: Option<bool>,
    /// It is shown how files change.
    pub(super) diff: Option<bool>,
    /// What its programs find in their environment.
    pub(super) env: BTreeMap<String, String>,
}

impl Crew<'_> {
    /// Settles the keywords of a task that runs `module`.
    pub(super) fn settle_keywords(
        &self,
        task: &Task,
        module: &str,
        context: &Context,
    ) -> Result<Settled, Failure> {
        let common = &task.common;
        let wrong = |word: &str, fault: &Fault| self.failure(task, While::Keyword(word), fault);
        let flag = |word: &str, value: &Option<Value>| {
            let given = value.as_ref().map(|value| truth(context, Some(value))).transpose();
            given.map_err(|fault| {
                let at = fault.at.clone().or_else(|| value.as_ref()?.origin().cloned());
                wrong(word, &Fault { at, ..fault })
            })
        };
        // Whether anything is to be hidden is settled before there is anything.
        flag("no_log", &common.no_log)?;
        for (word, value) in [
            ("ignore_errors", &common.ignore_errors),
            ("ignore_unreachable", &common.ignore_unreachable),
            ("delegate_facts", &common.delegate_facts),
            ("become", &common.become_it),
        ] {
            flag(word, value)?;
        }
        let (check, diff) = (flag("check_mode", &common.check_mode)?, flag("diff", &common.diff)?);
        for (word, value) in [
            ("become_user", &common.become_user),
            ("become_method", &common.become_method),
            ("become_flags", &common.become_flags),
            ("become_exe", &common.become_exe),
            ("remote_user", &common.remote_user),
            ("connection", &common.connection),
            ("port", &common.port),
            ("timeout", &common.timeout),
        ] {
            if let Some(value) = value.as_ref().filter(|value| value.is_lazy()) {
                context.finish(value).map_err(|fault| wrong(word, &fault))?;
            }
        }
        let env = environment(task, module, context);
        let (env, odd) = env.map_err(|fault| wrong("environment", &fault))?;
        if odd {
            let said = Value::list(common.environment.iter().map(as_written).collect());
            let what = format!("could not parse environment value, skipping: {}", said.repr());
            self.sink.event(Event::Warning(what));
        }
        Ok(Settled { check, diff, env })
    }
}

/// A value that shows its templates instead of what they give.
fn as_written(value: &Value) -> Value {
    value.as_str().map_or_else(|| value.clone(), Value::str)
}
