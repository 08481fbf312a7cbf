//! Which tasks come next, as far as that is known before their turn, and which of them may be
//! rehearsed.
//!
//! Never here: what they ask of their hosts.

use super::RunOptions;
use super::strategy::Batch;
use super::tags;
use crate::parse::tree::{Block, Condition, Node, RoleUse, Task, Unit};
use crate::value::{Key, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Tasks that are rehearsed, at most: some of them ask nothing of their host.
const MOST_TASKS: usize = 64;

/// What only this side does, and what changes nothing but what a host says of itself: whether it runs
/// a little earlier on one host than on others is seen by nobody.
const OWN: &[&str] = &[
    "acl",
    "alternatives",
    "apt",
    "apt_repository",
    "assemble",
    "assert",
    "authorized_key",
    "blockinfile",
    "copy",
    "cron",
    "debconf",
    "debug",
    "dpkg_selections",
    "fail",
    "file",
    "find",
    "group",
    "htpasswd",
    "ini_file",
    "known_hosts",
    "lineinfile",
    "locale_gen",
    "modprobe",
    "package",
    "ping",
    "replace",
    "set_fact",
    "set_stats",
    "slurp",
    "stat",
    "sysctl",
    "tempfile",
    "template",
    "timezone",
    "unarchive",
    "user",
    "validate_argument_spec",
];

/// What may have to do with other hosts. None of these asks for more when it has been answered, and
/// none gives facts.
const WIDE: &[&str] = &[
    "apt_key",
    "command",
    "deb822_repository",
    "get_url",
    "git",
    // Nobody knows the names of its variables before it has run.
    "include_vars",
    "iptables",
    "mount",
    "pip",
    "service",
    "shell",
    "systemd",
    "systemd_service",
    "ufw",
    "uri",
    "wait_for",
];

/// Whether a task may be rehearsed; with `alone` no other host is on its way through the play.
fn can_be_foreseen(task: &Task, alone: bool) -> bool {
    let Some(module) = task.module() else { return false };
    let common = &task.common;
    let plain = task.foreign.is_none()
        && task.until.is_empty()
        && task.retries.is_none()
        && task.detach.is_none()
        && common.delegate_to.is_none()
        && common.run_once.is_none()
        && common.throttle.is_none()
        && common.debugger.is_none()
        // Whether it runs at all is known when they are.
        && !are_templates(&common.tags)
        && (module != "set_fact" || set_names(task).is_some());
    let repeats = task.repeat.as_ref();
    let steady = repeats.is_none_or(|repeat| {
        repeat.control.pause.is_none() && repeat.control.break_when.is_empty()
    });
    let quiet = OWN.contains(&module) && common.any_errors_fatal.is_none();
    plain && steady && (quiet || alone && (OWN.contains(&module) || WIDE.contains(&module)))
}

/// Whether what comes after a task hangs on what this side makes of its result.
fn is_judged(task: &Task) -> bool {
    let judged = |conditions: &Option<Vec<Condition>>| {
        conditions.iter().flatten().any(|one| !matches!(one, Condition::Plain(_)))
    };
    judged(&task.changed_when) || judged(&task.failed_when) || are_templates(&task.common.notify)
}

/// The names of the variables that a task sets, if they stand there.
pub(super) fn set_names(task: &Task) -> Option<Vec<String>> {
    if task.module() != Some("set_fact") {
        return None;
    }
    let is_plain = |name: &String| name != "_variable_params" && !name.contains("{{");
    let names: Vec<String> = task.args.as_dict()?.keys().map(Key::to_json_key).collect();
    names.iter().all(is_plain).then_some(names)
}

fn are_templates(values: &[Value]) -> bool {
    let mut found = Vec::new();
    values.iter().for_each(|value| value.templates(&mut found));
    !found.is_empty()
}

/// Tasks in the order in which they come, as far as that is known.
#[derive(Clone, Default)]
pub(super) struct Following {
    tasks: Vec<Arc<Task>>,
    /// What comes after the last of them is what comes after where they stand.
    open: bool,
    /// Roles whose tasks are among them.
    roles: Vec<String>,
}

/// Collects the tasks that follow.
pub(super) struct Walk<'r> {
    options: &'r RunOptions,
    /// No other host is on its way through the play.
    alone: bool,
    /// What other hosts do does not end the play for this one.
    settled: bool,
    /// Roles that all of the hosts are through with: they are left out.
    through: BTreeSet<String>,
    /// Roles that some host is in or through with: they may be left out.
    known: BTreeSet<String>,
    /// Names that can be notified.
    notified: Arc<BTreeSet<String>>,
    /// What it goes through are handlers: they run whatever their tags, and may notify those that
    /// come after them.
    of_handlers: bool,
    found: Following,
}

impl Walk<'_> {
    /// Goes through a list; whether it came to its end.
    pub(super) fn nodes(&mut self, nodes: &[Node]) -> bool {
        nodes.iter().all(|node| match node {
            Node::Task(task) => self.task(task),
            Node::Block(block) => self.block(block),
        })
    }

    /// Goes through handlers; whether it came to their end.
    pub(super) fn handlers<'t>(&mut self, tasks: impl IntoIterator<Item = &'t Arc<Task>>) -> bool {
        self.of_handlers = true;
        let open = tasks.into_iter().all(|task| self.task(task));
        self.of_handlers = false;
        open
    }

    fn task(&mut self, task: &Arc<Task>) -> bool {
        let common = &task.common;
        if !self.of_handlers && !are_templates(&common.tags) && !self.is_selected(task) {
            return true;
        }
        let apart = self.alone || self.settled;
        if self.found.tasks.len() >= MOST_TASKS || !apart || !can_be_foreseen(task, self.alone) {
            return false;
        }
        self.found.tasks.push(Arc::clone(task));
        let notifies = common.notify.iter().flat_map(|names| match names.as_list() {
            Some(names) => names.to_vec(),
            None => vec![names.clone()],
        });
        // Whoever notifies a handler that is not there ends the run.
        let mut notifies = notifies.map(|name| self.notified.contains(&name.to_text()));
        !is_judged(task) && notifies.all(|known| known && !self.of_handlers)
    }

    /// Whether the tags leave the task.
    fn is_selected(&self, task: &Task) -> bool {
        let RunOptions { tags: only, skip_tags: skip, .. } = self.options;
        tags::selected(&tags::words(&task.common.tags), only, skip)
    }

    fn block(&mut self, block: &Block) -> bool {
        match &block.unit {
            Some(unit) => self.unit(unit, &block.body),
            None => self.nodes(&block.body) && self.nodes(&block.always),
        }
    }

    fn unit(&mut self, unit: &Unit, tasks: &[Node]) -> bool {
        if unit.allow_duplicates {
            return self.nodes(tasks);
        }
        if self.through.contains(&unit.fingerprint) {
            return true;
        }
        self.found.roles.push(unit.fingerprint.clone());
        self.known.insert(unit.fingerprint.clone()) && self.nodes(tasks)
    }

    /// Goes through a role and what it depends on.
    pub(super) fn role(&mut self, used: &RoleUse) -> bool {
        used.dependencies.iter().all(|one| self.role(one)) && self.unit(&used.unit(), &used.tasks)
    }

    /// What was found. With `open`, what comes after it is what comes after where it stands.
    pub(super) fn end(self, open: bool) -> Following {
        Following { open, ..self.found }
    }

    /// What was found, and what comes after it, given what follows where each list stands, the
    /// outermost first. That was found out when the list began: a role that ran since may be left
    /// out now.
    pub(super) fn and_then(mut self, mut open: bool, around: &[Following]) -> Vec<Arc<Task>> {
        for next in around.iter().rev() {
            let repeats = next.roles.iter().any(|role| !self.known.insert(role.clone()));
            if !open || repeats {
                break;
            }
            self.found.tasks.extend(next.tasks.iter().cloned());
            open = next.open;
        }
        self.found.tasks.truncate(MOST_TASKS);
        self.found.tasks
    }
}

impl<'r> Batch<'r> {
    /// Goes through tasks that a set of hosts comes to after the one it is at.
    pub(super) fn walk(&self, set: &[usize]) -> Walk<'r> {
        let settled =
            self.play.max_fail_percentage.is_none() && !self.crew.shared.options.any_errors_fatal;
        let mut known: BTreeSet<String> = self.inside.iter().cloned().collect();
        known.extend(self.completed.iter().map(|(_, fingerprint)| fingerprint.clone()));
        let of_all = |role: &&String| {
            set.iter().all(|at| self.completed.contains(&(*at, String::clone(role))))
        };
        let through = known.iter().filter(of_all).cloned().collect();
        Walk {
            options: &self.crew.shared.options,
            alone: set.len() == 1,
            settled,
            through,
            known,
            notified: self.handlers.plain_names(),
            of_handlers: false,
            found: Following::default(),
        }
    }
}
