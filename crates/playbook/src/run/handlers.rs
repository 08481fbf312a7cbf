//! Handlers: who was notified, and what runs next.

use super::vars::TaskScope;
use crate::parse::tree::{Node, Task};
use crate::value::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A handler, and the hosts that it was notified for.
struct Handler {
    task: Arc<Task>,
    marks: BTreeSet<usize>,
    /// The list that it stands in.
    list: usize,
}

/// The handlers of a play, in the order they are defined.
#[derive(Default)]
pub(super) struct Handlers {
    list: Vec<Handler>,
    /// How many lists of handlers were added.
    lists: usize,
    /// Names and topics that are written out.
    plain: Arc<BTreeSet<String>>,
    /// Handlers whose names could not be rendered when they were looked for, and why; told once.
    pub(super) unusable: Vec<String>,
    told: BTreeSet<usize>,
    /// Names that were notified since the last flush, for whom, and where names of handlers are
    /// rendered.
    pending: Vec<(String, BTreeSet<usize>, TaskScope)>,
}

impl Handlers {
    /// Adds one list of handlers: those of the play, or of a role.
    pub(super) fn add(&mut self, nodes: &[Node]) {
        self.lists += 1;
        self.add_all(nodes);
    }

    /// Adds the handlers of the roles that are imported among some tasks.
    pub(super) fn add_imported(&mut self, nodes: &[Node]) {
        for node in nodes {
            if let Node::Block(block) = node {
                if !block.handlers.is_empty() {
                    self.add(&block.handlers);
                }
                for part in [&block.body, &block.rescue, &block.always] {
                    self.add_imported(part);
                }
            }
        }
    }

    fn add_all(&mut self, nodes: &[Node]) {
        for node in nodes {
            match node {
                Node::Task(task) => {
                    if !self.list.iter().any(|known| known.task.id == task.id) {
                        let words = task.name.iter().chain(&task.listen);
                        let words = words.filter(|word| !word.is_lazy()).map(Value::to_text);
                        Arc::make_mut(&mut self.plain).extend(words);
                        let (task, marks) = (Arc::clone(task), BTreeSet::new());
                        self.list.push(Handler { task, marks, list: self.lists });
                    }
                }
                Node::Block(block) => self.add_all(&block.body),
            }
        }
    }

    /// Remembers that a name or topic was notified for some hosts. Which handlers that means is
    /// decided when they run, since an included role may define one anew.
    pub(super) fn notify(
        &mut self,
        name: &str,
        hosts: &[usize],
        scope: &TaskScope,
        flushing: bool,
    ) -> Result<(), String> {
        if self.meant(name, scope).is_empty() {
            return Err(format!(
                "The requested handler '{name}' was not found in either the main handlers list nor in the listening handlers list"
            ));
        }
        self.pending.push((name.to_owned(), hosts.iter().copied().collect(), scope.clone()));
        if flushing {
            self.resolve();
        }
        Ok(())
    }

    fn look_for_unusable(&mut self, scope: &TaskScope) {
        for (index, Handler { task, .. }) in self.list.iter().enumerate() {
            let Some(name) = task.name.as_ref().filter(|name| name.is_lazy()) else { continue };
            if !task.listen.is_empty() || self.told.contains(&index) {
                continue;
            }
            if let Err(fault) = scope.for_task(task).context().text(name) {
                self.told.insert(index);
                self.unusable.push(format!(
                    "Handler '{}' is unusable because it has no listen topics and the name could not be templated (host-specific variables are not supported in handler names). The error: {}",
                    name.as_str().unwrap_or_default(),
                    fault.what
                ));
            }
        }
    }

    /// The handler of a name, and those of a topic. Of several of one name the one in the last
    /// list counts, and within a list the first.
    fn meant(&mut self, name: &str, scope: &TaskScope) -> BTreeSet<usize> {
        self.look_for_unusable(scope);
        let mut order: Vec<usize> = (0..self.list.len()).collect();
        order.sort_by_key(|index| (std::cmp::Reverse(self.list[*index].list), *index));
        let name_of = |task: &Task| -> Option<String> {
            let own = task.name.as_ref()?;
            // With the variables of its own role: another entry of the same role names another.
            match own.is_lazy() {
                true => scope.for_task(task).context().text(own).ok(),
                false => Some(own.to_text()),
            }
        };
        let named = |task: &Task| -> bool {
            let Some(own) = name_of(task) else { return false };
            let of_role = |role: &str| format!("{role} : {own}") == name;
            let with_role =
                task.role.as_ref().is_some_and(|role| of_role(&role.name) || of_role(&role.full()));
            own == name || with_role
        };
        let listens = |task: &Task| {
            let role = task.role.as_ref();
            let is_topic = |topic: &Value| {
                let topic = topic.to_text();
                let of_role = |role: &str| format!("{role} : {topic}") == name;
                topic == name
                    || role.is_some_and(|role| of_role(&role.name) || of_role(&role.full()))
            };
            // Topics are never templates.
            task.listen.iter().any(|topic| is_topic(&topic.as_written()))
        };
        let mut meant = BTreeSet::new();
        meant.extend(order.iter().copied().find(|index| named(&self.list[*index].task)));
        let mut seen = BTreeSet::new();
        for index in order.into_iter().filter(|index| listens(&self.list[*index].task)) {
            if name_of(&self.list[index].task).is_none_or(|name| seen.insert(name)) {
                meant.insert(index);
            }
        }
        meant
    }

    /// Is there anything that a host was notified of?
    pub(super) fn are_for(&self, host: usize) -> bool {
        self.pending.iter().any(|(_, hosts, _)| hosts.contains(&host))
            || self.list.iter().any(|handler| handler.marks.contains(&host))
    }

    /// Decides which handlers are meant by what was notified.
    pub(super) fn resolve(&mut self) {
        for (name, hosts, scope) in std::mem::take(&mut self.pending) {
            for index in self.meant(&name, &scope) {
                self.list[index].marks.extend(&hosts);
            }
        }
    }

    /// Names and topics that a handler answers to in any case.
    pub(super) fn plain_names(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.plain)
    }

    /// The handlers from `at` on that a host was notified of.
    pub(super) fn left_for(&self, at: usize, host: usize) -> Vec<Arc<Task>> {
        let left = self.list.iter().skip(at).filter(|handler| handler.marks.contains(&host));
        left.map(|handler| Arc::clone(&handler.task)).collect()
    }

    /// The next handler from `at` on that one of `hosts` was notified of. Its marks are taken.
    pub(super) fn next(
        &mut self,
        at: usize,
        hosts: &[usize],
    ) -> Option<(usize, Arc<Task>, Vec<usize>)> {
        for (index, Handler { task, marks, .. }) in self.list.iter_mut().enumerate().skip(at) {
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
