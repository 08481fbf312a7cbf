//! Hosts that go on for themselves: what they say, what they do not know of, and how many of them
//! may be at one task.

use super::execute::truth;
use super::strategy::Batch;
use crate::output::{Event, Sink};
use crate::parse::tree::Task;
use crate::template::Context;
use crate::value::Value;
use std::sync::{Mutex, PoisonError};

/// The task whose banner stands last on the screen: its name and where it stands.
pub(super) type Last = Mutex<Option<(String, Option<crate::yaml::Origin>)>>;

/// Tells the banner of a task before the first thing that a host says of it, and again where
/// another host has told of another task in between.
pub(super) struct FreeSink<'s> {
    inner: &'s dyn Sink,
    last: &'s Last,
    task: Mutex<Option<Event>>,
}

impl<'s> FreeSink<'s> {
    pub(super) fn new(inner: &'s dyn Sink, last: &'s Last) -> Self {
        Self { inner, last, task: Mutex::default() }
    }
}

impl Sink for FreeSink<'_> {
    fn event(&self, event: Event) {
        let of_host = matches!(
            event,
            Event::Ok { .. }
                | Event::Failed { .. }
                | Event::Skipped { .. }
                | Event::Unreachable { .. }
                | Event::Included { .. }
        );
        // Whose task that would be nobody could tell.
        if matches!(event, Event::Awaited { .. }) {
            return;
        }
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(event, Event::TaskBegan { .. }) {
            *task = Some(event);
            return;
        }
        // It is held until the event is told, so that nobody comes between banner and line.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if of_host && let Some(Event::TaskBegan { name, origin, .. }) = &*task {
            let key = Some((name.clone(), origin.clone()));
            if *last != key {
                *last = key;
                self.inner.event(task.clone().expect("it was just looked at"));
            }
        }
        self.inner.event(event);
    }
}

impl Batch<'_> {
    /// How many hosts may be at the task at once: the forks, or fewer where it is throttled.
    pub(super) fn width(&self, task: &Task, context: &Context) -> Result<usize, String> {
        let forks = self.crew.shared.options.forks.max(1);
        let Some(throttle) = &task.common.throttle else { return Ok(forks) };
        let wrong =
            |why: String| format!("Failed to convert the throttle value to an integer: {why}");
        let value = context.finish(throttle).map_err(|fault| wrong(fault.what))?;
        let number = match &value {
            Value::Str(text) => text
                .trim()
                .parse::<i64>()
                .map_err(|_| wrong(format!("invalid literal for int() with base 10: '{text}'")))?,
            other => other
                .as_float()
                .map(|number| number as i64)
                .ok_or_else(|| wrong(format!("int() cannot take '{}'", other.type_name())))?,
        };
        Ok(usize::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .map_or(forks, |n| n.min(forks)))
    }

    /// What the free strategies do not know of: it is said, and each host runs the task.
    pub(super) fn free_for_all(
        &mut self,
        task: &Task,
        context: &Context,
        once: bool,
        only: bool,
    ) -> bool {
        if !self.free {
            return false;
        }
        if only {
            self.break_off(
                task,
                format!(
                    "The '{}' module bypasses the host loop, which is currently not supported in the free strategy and would instead execute for every host in the inventory list.",
                    task.word
                ),
            );
        }
        let warn = |text: &str| self.crew.sink.event(Event::Warning(text.to_owned()));
        if once {
            warn(
                "Using run_once with the free strategy is not currently supported. This task will still be executed for every host in the inventory list.",
            );
        }
        if truth(context, task.common.any_errors_fatal.as_ref()).unwrap_or(false) {
            warn(
                "Using any_errors_fatal with the free strategy is not supported, as tasks are executed independently on each host",
            );
        }
        true
    }
}
