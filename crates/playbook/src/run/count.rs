//! What the outcome of a task means for the hosts of a batch: counts, notified handlers, who is out.

use super::execute::truth;
use super::outcome::{Ended, Outcome};
use super::strategy::{Batch, Flow};
use crate::output::Event;
use crate::parse::tree::Task;
use crate::template::Context;
use crate::value::{Dict, Value};

impl Batch<'_> {
    /// Remembers who notified a handler.
    pub(super) fn notify(&mut self, task: &Task, name: &str, targets: &[usize]) {
        let Some(&first) = targets.first() else { return };
        let context = self.scope(first).for_task(task).context();
        let notified = self.handlers.notify(name, targets, &context, self.flushing);
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
        let about = Value::dict_of([
            ("name", bare),
            ("action", Value::str(&task.word)),
            ("args", Value::dict(Dict::new())),
        ]);
        host.set.put("ansible_failed_task", about);
        host.set.put("ansible_failed_result", Value::dict(outcome.result.clone()));
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
