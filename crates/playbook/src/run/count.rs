//! What the outcome of a task means for the hosts of a batch: counts, notified handlers, who is out.

use super::execute::truth;
use super::outcome::{Ended, Outcome};
use super::strategy::{Batch, Flow};
use crate::output::Event;
use crate::parse::tree::{Condition, Task};
use crate::template::Context;
use crate::value::Value;

impl Batch<'_> {
    /// Remembers who notified a handler.
    pub(super) fn notify(&mut self, task: &Task, name: &str, targets: &[usize]) {
        let Some(&first) = targets.first() else { return };
        let scope = self.scope(first);
        let notified = self.handlers.notify(name, targets, &scope, self.flushing);
        for text in self.handlers.unusable.drain(..) {
            self.crew.sink.event(Event::Warning(text));
        }
        match notified {
            Ok(()) => self.crew.sink.event(Event::Detail(
                2,
                format!("Notification for handler {name} has been saved."),
            )),
            Err(what) if self.crew.shared.options.error_on_missing_handler => {
                self.break_off(task, what);
            }
            Err(what) => self.crew.sink.event(Event::Warning(what)),
        }
    }

    /// What a task that runs once gave is there for all.
    pub(super) fn share(&self, task: &Task, from: usize, outcome: &Outcome) {
        // Even for hosts that do not come to the task.
        let all = (0..self.names.len()).filter(|index| self.flow[*index] != Flow::Gone);
        for index in all.filter(|index| *index != from) {
            let host = self.crew.shared.host(&self.names[index]);
            if let Some(name) = &task.register {
                host.set.put(name, Value::dict(outcome.result.clone()));
            }
            if let Some(facts) = outcome.result.get("ansible_facts").and_then(Value::as_dict) {
                let is_set = task.module() == Some("set_fact");
                if is_set { host.set.add(facts) } else { self.crew.learn(&host, facts) }
            }
        }
    }

    /// Counts an outcome and moves its host. `true` when it is a failure that counts.
    pub(super) fn count(&mut self, task: &Task, index: usize, outcome: &Outcome) -> bool {
        let name = self.names[index].clone();
        if let Some(role) =
            task.role.as_ref().filter(|_| matches!(outcome.ended, Ended::Well | Ended::Failed))
        {
            self.touched.insert((index, role.fingerprint.clone()));
        }
        let stats = &self.crew.shared;
        let changed = u64::from(outcome.changed);
        match outcome.ended {
            Ended::Well if !outcome.includes.is_empty() => false,
            Ended::Well => {
                stats.count(&name, |counts| {
                    counts.ok += 1;
                    counts.changed += changed;
                });
                false
            }
            Ended::Skipped => {
                stats.count(&name, |counts| counts.skipped += 1);
                false
            }
            Ended::Failed if outcome.ignored => {
                stats.count(&name, |counts| {
                    counts.ok += 1;
                    counts.ignored += 1;
                    counts.changed += changed;
                });
                false
            }
            Ended::Failed => {
                let rescued = self.rescues > 0;
                stats.count(
                    &name,
                    |counts| if rescued { counts.rescued += 1 } else { counts.failed += 1 },
                );
                match rescued {
                    true => self.tell_rescue(task, index, outcome),
                    false => drop(self.removed.insert(index)),
                }
                self.flow[index] = Flow::Failed;
                true
            }
            Ended::Unreachable if outcome.ignored => {
                stats.count(&name, |counts| {
                    counts.ok += 1;
                    counts.ignored += 1;
                });
                false
            }
            Ended::Unreachable => {
                stats.count(&name, |counts| counts.unreachable += 1);
                self.flow[index] = Flow::Gone;
                true
            }
        }
    }

    /// What failed, for the tasks that rescue it.
    fn tell_rescue(&self, task: &Task, index: usize, outcome: &Outcome) {
        let host = self.crew.shared.host(&self.names[index]);
        let context = self.scope(index).for_task(task).context();
        let shown = self.crew.shown_name(task, &context);
        let bare = task.name.as_ref().map_or(Value::str(""), |_| {
            Value::str(shown.rsplit_once(" : ").map_or(shown.as_str(), |(_, bare)| bare))
        });
        host.set.put("ansible_failed_task", self.about(task, bare, &context));
        host.set.put("ansible_failed_result", Value::dict(outcome.result.clone()));
    }

    /// A task with its keywords, as far as they can be settled; what cannot stays as it was written.
    fn about(&self, task: &Task, name: Value, context: &Context) -> Value {
        let (common, options) = (&task.common, &self.crew.shared.options);
        let settled = |value: &Value| match context.finish(value) {
            Ok(Value::Omit) => Value::None,
            Ok(value) => value,
            Err(_) => value.clone(),
        };
        let or = |value: &Option<Value>, usual: Value| value.as_ref().map_or(usual, settled);
        let all = |values: &[Value]| Value::list(values.iter().map(settled).collect());
        let conditions = |conditions: &[Condition]| {
            Value::strings(conditions.iter().map(|condition| condition.source()))
        };
        let args = match settled(&task.args) {
            Value::Dict(args) => {
                let given = args.iter().filter(|(_, value)| !matches!(value, Value::Omit));
                Value::dict(given.map(|(key, value)| (key.clone(), value.clone())).collect())
            }
            args => args,
        };
        let text = |text: &Option<String>| text.as_ref().map_or(Value::None, Value::str);
        let repeat = task.repeat.as_ref();
        let own = repeat.filter(|repeat| repeat.lookup.is_none());
        let resolved = self.crew.shared.modules.full_name(
            task.foreign
                .as_ref()
                .map_or(task.module().unwrap_or(&task.word), |it| it.name.as_str()),
        );
        let detach = || or(&task.detach, Value::Int(0));
        let poll = *self.crew.shared.world.config.poll_interval;
        Value::dict_of([
            ("_resolved_action", Value::from(resolved)),
            ("action", Value::str(&task.word)),
            ("any_errors_fatal", or(&common.any_errors_fatal, options.any_errors_fatal.into())),
            ("args", args),
            ("async", detach()),
            ("async_val", detach()),
            ("become", or(&common.become_it, options.become_it.into())),
            ("become_exe", or(&common.become_exe, Value::None)),
            ("become_flags", or(&common.become_flags, Value::None)),
            (
                "become_method",
                or(
                    &common.become_method,
                    Value::str(options.become_method.as_deref().unwrap_or("sudo")),
                ),
            ),
            ("become_user", or(&common.become_user, text(&options.become_user))),
            ("changed_when", conditions(task.changed_when.as_deref().unwrap_or_default())),
            ("check_mode", or(&common.check_mode, options.check.into())),
            ("collections", Value::strings(&common.collections)),
            (
                "connection",
                or(&common.connection, Value::str(options.connection.as_deref().unwrap_or("ssh"))),
            ),
            ("debugger", or(&common.debugger, Value::None)),
            ("delay", or(&task.delay, Value::Int(5))),
            ("delegate_facts", or(&common.delegate_facts, Value::None)),
            ("delegate_to", or(&common.delegate_to, Value::None)),
            ("diff", or(&common.diff, options.diff.into())),
            ("environment", all(&common.environment)),
            ("failed_when", conditions(task.failed_when.as_deref().unwrap_or_default())),
            ("finalized", true.into()),
            ("ignore_errors", or(&common.ignore_errors, Value::None)),
            ("ignore_unreachable", or(&common.ignore_unreachable, Value::None)),
            ("loop", own.map_or(Value::None, |repeat| settled(&repeat.over))),
            ("loop_with", repeat.map_or(Value::None, |repeat| text(&repeat.lookup))),
            ("module_defaults", all(&common.module_defaults)),
            ("name", name),
            ("no_log", or(&common.no_log, options.no_log.into())),
            ("notify", if common.notify.is_empty() { Value::None } else { all(&common.notify) }),
            ("poll", or(&task.poll, Value::Int(poll))),
            ("port", or(&common.port, Value::None)),
            ("register", text(&task.register)),
            ("remote_user", or(&common.remote_user, text(&options.remote_user))),
            ("retries", or(&task.retries, Value::None)),
            ("run_once", or(&common.run_once, Value::None)),
            ("squashed", true.into()),
            ("tags", all(&common.tags)),
            ("throttle", or(&common.throttle, Value::Int(0))),
            ("timeout", or(&common.timeout, Value::Int(0))),
            ("until", conditions(&task.until)),
            (
                "vars",
                Value::dict(
                    common.vars.iter().map(|(key, value)| (key.clone(), settled(value))).collect(),
                ),
            ),
            ("when", conditions(&common.when)),
        ])
    }

    /// Stops everybody where one failure, or too many, must.
    pub(super) fn after(
        &mut self,
        task: &Task,
        context: &Context,
        set: &[usize],
        once: bool,
        fatal: bool,
    ) {
        if self.free {
            return;
        }
        if self.too_many_failed() {
            self.running().into_iter().for_each(|index| self.flow[index] = Flow::Failed);
            // Ansible says so for the limit and once more for the end of the batch.
            self.crew.sink.event(Event::NoHostsLeft);
            self.crew.sink.event(Event::NoHostsLeft);
            self.play_ended = true;
            return;
        }
        if !fatal {
            return;
        }
        let options = &self.crew.shared.options;
        let strict = match &task.common.any_errors_fatal {
            Some(value) => truth(context, Some(value)).unwrap_or(false),
            None => options.any_errors_fatal,
        };
        if strict || once {
            for index in self.among(set) {
                self.flow[index] = Flow::Failed;
                // As in Ansible: what is rescued here counts as failed once the play is over, and
                // what failed for the one host that did the work is rescued for that one alone.
                self.dragged.insert(index);
                if once {
                    self.beyond_rescue.insert(index);
                }
            }
        }
    }

    /// Whether more hosts of the batch have failed for good than `max_fail_percentage` allows. Those
    /// that cannot be reached do not count.
    fn too_many_failed(&self) -> bool {
        let Some(most) = self.max_fail.filter(|_| self.rescues == 0) else { return false };
        let failed = self.flow.iter().filter(|flow| **flow == Flow::Failed).count();
        failed as f64 * 100.0 / self.vars.batch.len() as f64 > most
    }
}
