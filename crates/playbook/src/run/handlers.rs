//! Handlers: who was notified, and what runs next.

use crate::parse::tree::{Node, Task};
use crate::template::Context;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The handlers of a play, in the order they are defined.
#[derive(Default)]
pub(super) struct Handlers {
    list: Vec<(Arc<Task>, BTreeSet<usize>)>,
    /// Names that were notified since the last flush, for whom, and what they were rendered in.
    pending: Vec<(String, BTreeSet<usize>, Context)>,
}

impl Handlers {
    pub(super) fn add(&mut self, nodes: &[Node]) {
        for node in nodes {
            match node {
                Node::Task(task) => {
                    if !self.list.iter().any(|(known, _)| known.id == task.id) {
                        self.list.push((Arc::clone(task), BTreeSet::new()));
                    }
                }
                Node::Block(block) => self.add(&block.body),
            }
        }
    }

    /// Remembers that a name or topic was notified for some hosts. Which handlers that means is
    /// decided when they run, since an included role may define one anew.
    pub(super) fn notify(
        &mut self,
        name: &str,
        hosts: &[usize],
        context: &Context,
        flushing: bool,
    ) -> Result<(), String> {
        if self.meant(name, context).is_empty() {
            return Err(format!(
                "The requested handler '{name}' was not found in either the main handlers list nor in the listening handlers list"
            ));
        }
        self.pending.push((name.to_owned(), hosts.iter().copied().collect(), context.clone()));
        if flushing {
            self.resolve();
        }
        Ok(())
    }

    /// The handlers of a name, of which the last one defined counts, and of a topic.
    fn meant(&self, name: &str, context: &Context) -> BTreeSet<usize> {
        let named = |task: &Task| -> bool {
            let Some(own) = &task.name else { return false };
            let own =
                context.text(own).unwrap_or_else(|_| own.as_str().unwrap_or_default().to_owned());
            let with_role =
                task.role.as_ref().is_some_and(|role| format!("{} : {own}", role.name) == name);
            own == name || with_role
        };
        let listens = |task: &Task| {
            task.listen.iter().any(|topic| {
                let topic = context.finish(topic).unwrap_or_else(|_| topic.clone());
                match topic.as_list() {
                    Some(items) => items.iter().any(|item| item.to_text() == name),
                    None => topic.to_text() == name,
                }
            })
        };
        let by_name = self.list.iter().rposition(|(task, _)| named(task));
        let by_topic = self
            .list
            .iter()
            .enumerate()
            .filter(|(_, (task, _))| listens(task))
            .map(|(index, _)| index);
        by_topic.chain(by_name).collect()
    }

    /// Decides which handlers are meant by what was notified.
    pub(super) fn resolve(&mut self) {
        for (name, hosts, context) in std::mem::take(&mut self.pending) {
            for index in self.meant(&name, &context) {
                self.list[index].1.extend(&hosts);
            }
        }
    }

    /// The next handler from `at` on that one of `hosts` was notified of. Its marks are taken.
    pub(super) fn next(
        &mut self,
        at: usize,
        hosts: &[usize],
    ) -> Option<(usize, Arc<Task>, Vec<usize>)> {
        for (index, (task, marks)) in self.list.iter_mut().enumerate().skip(at) {
            let meant: Vec<usize> =
                hosts.iter().copied().filter(|host| marks.contains(host)).collect();
            if !meant.is_empty() {
                marks.retain(|host| !meant.contains(host));
                return Some((index, Arc::clone(task), meant));
            }
        }
        None
    }
}
