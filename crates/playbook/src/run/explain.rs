//! Where the variables come from that a failure is about: who said them last, and over whom.

use super::ahead::Watch;
use super::execute::Crew;
use super::vars::TaskScope;
use crate::parse::tree::{Action, Task};
use std::sync::Arc;

/// As many variables as a person will look through.
const MOST: usize = 8;

impl Crew<'_> {
    /// A line for each variable that was looked at where settling a task failed.
    ///
    /// What failed is settled once more, by somebody who notes what is looked at.
    pub(super) fn explain(&self, task: &Task, scope: &TaskScope) -> Vec<String> {
        let watch = Arc::new(Watch::new(&self.shared.world));
        let watched = TaskScope { watch: Some(Arc::clone(&watch)), ..scope.clone() };
        let context = watched.context();
        let values = task.args.as_dict().into_iter().flat_map(|args| args.values());
        let fails = self.all_hold(&context, &task.common.when).is_err()
            || task.common.delegate_to.iter().chain(values).any(|value| {
                watch.seen();
                context.finish(value).is_err()
            });
        if !fails {
            // It is another part of it, and any of its variables may be meant.
            if let Action::Module(module) = &task.action {
                drop(self.arguments(task, module, task.foreign.clone(), &context));
            }
        }
        let mut told: Vec<String> = Vec::new();
        for name in watch.seen() {
            let Some(places) = scope.places(&name) else { continue };
            let line = match places.split_first() {
                None => format!("{name}: nobody sets it"),
                Some((last, [])) => format!("{name}: {last}"),
                Some((last, over)) => format!("{name}: {last}, over {}", over.join(", over ")),
            };
            if !told.contains(&line) {
                told.push(line);
            }
        }
        told.truncate(MOST);
        told
    }
}
