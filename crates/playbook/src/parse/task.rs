//! Tasks and blocks.

use super::catalog;
use super::keywords::{COMMON, conditions, is_identifier, list, take, unknown};
use super::split;
use super::tree::{Action, Block, Common, Loop, LoopControl, Node, Task};
use super::{Place, Reader};
use crate::fault::LoadFault;
use crate::foreign::{Found, Modules};
use crate::template::{self, Dialect, Template};
use crate::value::{Dict, Key, Value};
use crate::yaml::{Kind, Node as Yaml, Origin};
use std::path::PathBuf;
use std::sync::Arc;

const TASK: &[&str] = &[
    "action",
    "local_action",
    "args",
    "loop",
    "loop_control",
    "register",
    "until",
    "retries",
    "delay",
    "changed_when",
    "failed_when",
    "notify",
    "listen",
    "async",
    "poll",
];
const BLOCK: &[&str] = &["block", "rescue", "always", "notify"];

/// What a task says beside the keywords it shares with others.
#[derive(Default)]
struct Draft {
    name: Option<Value>,
    word: Option<(String, Origin)>,
    args: Dict,
    /// The arguments are one template that gives them all.
    whole_args: Option<Value>,
    repeat: Option<(Option<String>, Value, Origin)>,
    control: LoopControl,
    register: Option<String>,
    until: Vec<super::tree::Condition>,
    retries: Option<Value>,
    delay: Option<Value>,
    changed_when: Option<Vec<super::tree::Condition>>,
    failed_when: Option<Vec<super::tree::Condition>>,
    detach: Option<Value>,
    poll: Option<Value>,
    listen: Vec<Value>,
}

/// That a task has text where only arguments by name belong.
pub(super) fn extra_params(word: &str) -> String {
    format!(
        "this task '{word}' has extra params, which is only allowed in the following modules: add_host, command, group_by, import_role, import_tasks, include_role, include_tasks, include_vars, meta, raw, script, set_fact, shell"
    )
}

impl Reader<'_> {
    /// A list of tasks and blocks.
    pub(crate) fn tasks(&mut self, node: &Yaml, outer: &Arc<Common>, place: &Place) -> Vec<Node> {
        let Some(items) = node.as_seq() else {
            if !node.is_null() {
                self.fault(
                    node,
                    format!("a list of tasks belongs here, this is {}", node.kind_name()),
                );
            }
            return Vec::new();
        };
        let mut nodes = Vec::new();
        for item in items {
            match &item.kind {
                Kind::Map(entries)
                    if entries.iter().any(|(key, _)| key.as_str() == Some("block")) =>
                {
                    nodes.extend(self.block(item, entries, outer, place));
                }
                Kind::Map(entries) => nodes.extend(self.task(item, entries, outer, place)),
                Kind::Scalar(Value::None) => {}
                _ => self.fault(item, format!("a task is a dict, this is {}", item.kind_name())),
            }
        }
        nodes
    }

    fn block(
        &mut self,
        item: &Yaml,
        entries: &[(Yaml, Yaml)],
        outer: &Arc<Common>,
        place: &Place,
    ) -> Option<Node> {
        let mut own = Common::default();
        let mut parts: [Option<&Yaml>; 3] = [None; 3];
        for (key, value) in entries {
            match key.as_str() {
                Some("block") => parts[0] = Some(value),
                Some("rescue") => parts[1] = Some(value),
                Some("always") => parts[2] = Some(value),
                Some("notify") => own.notify = list(value),
                Some("name") => {}
                Some(word) if take(&mut own, word, value, &mut self.faults) => {}
                _ => self.faults.push(unknown(key, "Block", BLOCK)),
            }
        }
        if place.handlers {
            self.fault(item, "Using a block as a handler is not supported.");
        }
        if let Some(vars) = item.get("vars") {
            self.check_names(vars);
        }
        let common = Arc::new(own.within(outer));
        self.check_common(&common, item);
        let place = Place { depth: place.depth + 1, ..place.clone() };
        if place.depth > super::DEPTH {
            self.fault(item, "blocks are nested too deep");
            return None;
        }
        let mut read = |part: Option<&Yaml>| {
            part.map(|part| self.tasks(part, &common, &place)).unwrap_or_default()
        };
        let (body, rescue, always) = (read(parts[0]), read(parts[1]), read(parts[2]));
        Some(Node::Block(Arc::new(Block { rescue, always, ..Block::plain(body) })))
    }

    fn task(
        &mut self,
        item: &Yaml,
        entries: &[(Yaml, Yaml)],
        outer: &Arc<Common>,
        place: &Place,
    ) -> Option<Node> {
        let before = self.faults.len();
        let mut own = Common::default();
        let mut draft = Draft::default();
        self.search = match entries.iter().find(|(key, _)| key.as_str() == Some("collections")) {
            Some((_, value)) => list(value).iter().map(Value::to_text).collect(),
            None => outer.collections.clone(),
        };
        // What an action's text gives outranks `args`, so `args` goes first.
        if let Some((_, value)) = entries.iter().find(|(key, _)| key.as_str() == Some("args")) {
            let args = value.to_value();
            match args.as_dict() {
                Some(args) => draft.args.extend(args.clone()),
                None if args.is_lazy() => {
                    draft.args.insert(Key::str("_variable_params"), args);
                }
                None => self.fault(value, "`args` is a dict of arguments"),
            }
        }
        for (key, value) in entries {
            self.task_key(key, value, &mut own, &mut draft, place);
        }
        let Some((word, word_at)) = draft.word.take() else {
            if self.faults.len() == before {
                self.fault(item, "no module or action in this task");
            }
            return None;
        };
        let inner = draft
            .args
            .keys()
            .find_map(|key| Some(key.as_str()?).filter(|key| key.starts_with("_ansible_")));
        if let Some(key) = inner.filter(|_| !catalog::is_command(catalog::short(&word))) {
            let what = format!(
                "Invalid parameter specified beginning with keyword '_ansible_' for action '{word}': '{key}'. The prefix '_ansible_' is reserved for internal use only."
            );
            self.faults.push(LoadFault::at(item.at.clone(), what));
            return None;
        }
        if self.loader.world.config.rejected_modules.contains(catalog::short(&word)) {
            let what = format!("module `{word}` is rejected by the plugin filters of ansible.cfg");
            self.faults.push(LoadFault::at(word_at, what));
            return None;
        }
        let late = Template::is_one(&word);
        let meaning = if late { Ok((word.clone(), None)) } else { self.meaning(&word) };
        let Ok((module, foreign)) = meaning else {
            let why = meaning.err().map(|why| format!(": {why}")).unwrap_or_default();
            let hint = catalog::nearest(
                &word,
                catalog::all_names().chain(COMMON.iter().copied()).chain(TASK.iter().copied()),
            )
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or(why);
            self.faults.push(LoadFault::at(
                word_at,
                format!(
                    "`{word}` is neither a keyword of a task nor a module that is supported{hint}"
                ),
            ));
            return None;
        };
        let repeat = draft.repeat.take().map(|(lookup, over, at)| Loop {
            lookup,
            over,
            at,
            control: draft.control.clone(),
        });
        let args = match draft.whole_args.take() {
            Some(whole) => whole,
            None => Value::dict(std::mem::take(&mut draft.args)),
        };
        if let Some(vars) = item.get("vars") {
            self.check_names(vars);
        }
        let own = self.shape(own, &module);
        let mut task = Task {
            id: Self::next_id(),
            name: draft.name,
            word,
            action: match late {
                true => Action::Named(Value::trusted(&module, Some(word_at.clone()))),
                false => Action::Module(module.clone()),
            },
            foreign,
            args,
            common: Arc::new(own.clone().within(outer)),
            outer: Arc::clone(outer),
            repeat,
            register: draft.register,
            until: draft.until,
            retries: draft.retries,
            delay: draft.delay,
            changed_when: draft.changed_when,
            failed_when: draft.failed_when,
            detach: draft.detach,
            poll: draft.poll,
            listen: draft.listen,
            origin: item.at.clone(),
            action_at: word_at.clone(),
            role: place.role.clone(),
            dir: place.dir.clone(),
        };
        // Where a condition decides, the task may never run.
        if let Some(why) = foreign_obstacle(&task).filter(|_| task.common.when.is_empty()) {
            self.doubt(word_at.clone(), why);
        }
        if !late {
            self.check_task(&mut task, &module, item, &word_at);
        }
        if task.meta().as_deref() == Some("end_role") {
            let wrong = match (&place.role, place.handlers) {
                (_, true) => Some("from a handler"),
                (None, false) => Some("from outside of a role"),
                _ => None,
            };
            if let Some(wrong) = wrong {
                self.fault(item, format!("Cannot execute 'end_role' {wrong}"));
            }
        }
        if place.handlers && matches!(module.as_str(), "import_role" | "include_role") {
            self.fault(item, format!("Using '{}' as a handler is not supported.", task.word));
            return None;
        }
        match module.as_str() {
            "import_tasks" if task.args.get("apply").is_some() => {
                self.fault(item, format!("Invalid options for {}: apply", task.word));
                None
            }
            "import_tasks" => self.import_tasks(&task, own, item, place),
            "import_role" => self.import_role(&task, own, item, place),
            "include_tasks" => {
                let named = ["file", "_raw_params", "_variable_params"];
                let missing = |name: &&str| task.args.get(name).is_none_or(Value::is_none);
                if task.args.as_dict().is_some() && named.iter().all(missing) {
                    self.fault(item, format!("No file specified for {}", task.word));
                    return None;
                }
                let apply = self.apply(entries, item);
                Some(Node::Task(Arc::new(Task { action: Action::IncludeTasks { apply }, ..task })))
            }
            "include_role" => {
                let apply = self.apply(entries, item);
                self.preview_role(&task, &own, item, place);
                Some(Node::Task(Arc::new(Task { action: Action::IncludeRole { apply }, ..task })))
            }
            _ => Some(Node::Task(Arc::new(task))),
        }
    }

    /// `vars` of what is brought while the play runs weigh more than those of a task.
    fn shape(&self, mut own: Common, module: &str) -> Common {
        if matches!(module, "include_tasks" | "include_role") {
            own.params = own.vars.clone();
        }
        own
    }

    fn task_key(
        &mut self,
        key: &Yaml,
        value: &Yaml,
        own: &mut Common,
        draft: &mut Draft,
        place: &Place,
    ) {
        let Some(word) = key.as_str().map(str::to_owned) else {
            self.fault(key, "a keyword is text");
            return;
        };
        let plain = || Some(value.to_value());
        match word.as_str() {
            "name" => draft.name = plain().filter(|name| !name.is_none()),
            "args" => {}
            "action" | "local_action" => {
                if word == "local_action" {
                    own.delegate_to = Some(Value::str("localhost"));
                }
                self.old_action(value, draft);
            }
            "loop" => draft.repeat = Some((None, value.to_value(), value.at.clone())),
            "loop_control" => self.loop_control(value, &mut draft.control),
            "register" => match value.as_str() {
                Some(name) if is_identifier(name) => draft.register = Some(name.to_owned()),
                _ => self.fault(
                    value,
                    format!(
                        "Invalid 'register' specified: Invalid variable name '{}'. Variable names must be strings starting with a letter or underscore character, and contain only letters, numbers and underscores.",
                        value.scalar_text().unwrap_or_default()
                    ),
                ),
            },
            "until" => draft.until = conditions(value),
            "retries" => draft.retries = plain(),
            "delay" => draft.delay = plain(),
            "changed_when" => draft.changed_when = Some(conditions(value)),
            "failed_when" => draft.failed_when = Some(conditions(value)),
            "notify" => own.notify = list(value),
            "listen" if place.handlers => draft.listen = list(value),
            "async" => draft.detach = plain(),
            "poll" => draft.poll = plain(),
            with if with.starts_with("with_") => {
                let lookup = &with["with_".len()..];
                let others = self.loader.world.commands.others();
                if template::may_be(template::Kind::Lookup, lookup, others) {
                    draft.repeat =
                        Some((Some(lookup.to_owned()), value.to_value(), value.at.clone()));
                } else {
                    self.fault(
                        key,
                        format!(
                            "'{with}' is not a valid attribute for a Task: there is no lookup `{lookup}`"
                        ),
                    );
                }
            }
            _ if take(own, &word, value, &mut self.faults) => {}
            _ => {
                if let Some((first, _)) = &draft.word {
                    let text = if self.meaning(&word).is_ok() && self.meaning(first).is_ok() {
                        format!("conflicting action statements: `{first}` and `{word}`")
                    } else {
                        // One of the two is no module: that one is the fault.
                        let odd = if self.meaning(&word).is_err() { &word } else { first };
                        let hint = catalog::nearest(odd, TASK.iter().chain(COMMON).copied())
                            .map(|near| format!("; did you mean `{near}`?"))
                            .unwrap_or_default();
                        format!("'{odd}' is not a valid attribute for a Task{hint}")
                    };
                    self.fault(key, text);
                    return;
                }
                draft.word = Some((word.clone(), key.at.clone()));
                self.action_args(&word, value, draft);
            }
        }
    }

    /// `action: copy src=a dest=b`, `local_action: {module: copy, src: a}`
    fn old_action(&mut self, value: &Yaml, draft: &mut Draft) {
        match &value.kind {
            Kind::Map(entries) => {
                let Some((_, module)) =
                    entries.iter().find(|(key, _)| key.as_str() == Some("module"))
                else {
                    self.fault(value, "the action has no `module`");
                    return;
                };
                let text = module.scalar_text().unwrap_or_default();
                let (word, rest) = split::action(&text);
                draft.word = Some((word.to_owned(), module.at.clone()));
                if !rest.is_empty() {
                    self.text_args(word, rest, value, draft);
                }
                for (key, value) in entries {
                    match key.as_str() {
                        None | Some("module") => {}
                        Some("args") if value.as_map().is_some() => {
                            draft
                                .args
                                .extend(value.to_value().as_dict().cloned().unwrap_or_default());
                        }
                        Some(key) => drop(draft.args.insert(Key::str(key), value.to_value())),
                    }
                }
            }
            _ => {
                let text = value.scalar_text().unwrap_or_default();
                let (word, rest) = split::action(text.trim());
                draft.word = Some((word.to_owned(), value.at.clone()));
                self.text_args(word, rest, value, draft);
            }
        }
    }

    fn action_args(&mut self, word: &str, value: &Yaml, draft: &mut Draft) {
        match &value.kind {
            Kind::Map(_) => {
                if let Some(args) = value.to_value().as_dict() {
                    draft.args.extend(args.clone());
                }
            }
            Kind::Scalar(Value::None) => {}
            Kind::Seq(_) => {
                self.fault(value, format!("arguments of `{word}` are a dict or text, not a list"))
            }
            Kind::Scalar(_) => {
                let text = value.scalar_text().unwrap_or_default();
                self.text_args(word, &text, value, draft);
            }
        }
    }

    fn text_args(&mut self, word: &str, text: &str, at: &Yaml, draft: &mut Draft) {
        let known = match Template::is_one(word) {
            true => Ok((word.to_owned(), None)),
            false => self.meaning(word),
        };
        // A name that nobody knows is told where the task is put together.
        let Ok((module, foreign)) = known else { return };
        let trusted = |text: &str| Value::trusted(text, Some(at.at.clone()));
        let mut put = |name: &str, value: Value| {
            draft.args.insert(Key::str(name), value);
        };
        if foreign.is_none() && catalog::is_command(&module) {
            match split::command(text, catalog::COMMAND_WORDS) {
                Ok((raw, pairs)) => {
                    if !raw.is_empty() {
                        put("_raw_params", trusted(&raw));
                    }
                    pairs.iter().for_each(|(name, value)| put(name, trusted(value)));
                }
                Err(what) => self.fault(at, what),
            }
        } else if foreign.is_none() && catalog::keeps_raw(&module) {
            match split::command(text, &["file", "name", "dir"]) {
                Ok((raw, pairs)) => {
                    if !raw.trim().is_empty() {
                        put("_raw_params", trusted(raw.trim()));
                    }
                    pairs.iter().for_each(|(name, value)| put(name, trusted(value)));
                }
                Err(what) => self.fault(at, what),
            }
        } else if text.trim_start().starts_with("{{")
            && text.trim_end().ends_with("}}")
            && split::named(text).is_ok_and(|(pairs, _)| pairs.is_empty())
        {
            draft.whole_args = Some(trusted(text));
        } else if !text.trim().is_empty() {
            let (pairs, rest) = match split::named(text) {
                Ok(found) => found,
                Err(what) => return self.fault(at, what),
            };
            pairs.iter().for_each(|(name, value)| put(name, trusted(value)));
            // A template may give the rest of the arguments as a dict.
            match Template::is_one(&rest) {
                true => put("_variable_params", trusted(&rest)),
                false if rest.is_empty() || module == "set_fact" => {}
                // 2.19 says so when the task runs.
                false
                    if self.loader.world.dialect == Dialect::Core219
                        && !matches!(module.as_str(), "include_role" | "import_role") =>
                {
                    put("_raw_params", trusted(&rest));
                }
                false => self.fault(at, extra_params(word)),
            }
        }
    }

    fn meaning(&self, word: &str) -> Result<(String, Option<Arc<Found>>), String> {
        meaning(&self.loader.modules, word, &self.search)
    }

    fn loop_control(&mut self, value: &Yaml, control: &mut LoopControl) {
        let Some(entries) = value.as_map() else {
            self.fault(value, "`loop_control` is a dict");
            return;
        };
        const KNOWN: &[&str] = &[
            "loop_var",
            "index_var",
            "label",
            "pause",
            "extended",
            "extended_allitems",
            "break_when",
        ];
        for (key, value) in entries {
            let plain = value.to_value();
            match key.as_str() {
                Some("loop_var") => control.loop_var = plain,
                Some("index_var") => control.index_var = Some(plain),
                Some("label") => control.label = Some(plain),
                Some("pause") => control.pause = Some(plain),
                Some("extended") => control.extended = Some(plain),
                Some("extended_allitems") => control.extended_allitems = Some(plain),
                Some("break_when") => control.break_when = conditions(value),
                _ => self.faults.push(unknown(key, "LoopControl", KNOWN)),
            }
        }
    }

    /// `apply:` of an include, as keywords.
    fn apply(&mut self, entries: &[(Yaml, Yaml)], item: &Yaml) -> Arc<Common> {
        let mut common = Common::default();
        let args = entries.iter().filter(|(key, _)| {
            key.as_str().is_some_and(|word| {
                matches!(catalog::short(word), "include_tasks" | "include_role" | "args")
            })
        });
        for (_, value) in args {
            let Some(apply) = value.get("apply") else { continue };
            for (key, value) in apply.as_map().unwrap_or_default() {
                let known = key.as_str().is_some_and(|word| {
                    if word == "notify" {
                        common.notify = list(value);
                    }
                    word == "notify" || take(&mut common, word, value, &mut self.faults)
                });
                if !known {
                    self.faults.push(unknown(key, "Block", COMMON));
                }
            }
        }
        self.check_common(&common, item);
        Arc::new(common)
    }

    fn import_tasks(
        &mut self,
        task: &Task,
        own: Common,
        item: &Yaml,
        place: &Place,
    ) -> Option<Node> {
        if task.repeat.is_some() {
            self.fault(item, "`import_tasks` cannot loop; use `include_tasks`");
            return None;
        }
        let Some(file) = task.args.get("file").or_else(|| task.args.get("_raw_params")).cloned()
        else {
            self.fault(item, format!("No file specified for {}", task.word));
            return None;
        };
        let mut known = (*place.known).clone();
        known.extend(own.vars.clone());
        let place = Place { known: Arc::new(known), ..place.clone() };
        let name = self.known_text(&file, item, &place, "the file of `import_tasks`")?;
        let Some(path) = find_tasks(&name, &place) else {
            self.fault(item, missing_file(&place, &name));
            return None;
        };
        let common = Arc::new(own.within(&task.outer));
        let body = self.task_file(&path, &common, &place);
        Some(Node::Block(Arc::new(Block::plain(body))))
    }
}

/// What a word in the place of an action means: its short name, and the program that is run where
/// it is none of ours. Otherwise why it cannot be run. A short name is looked for in the collections
/// of `search` first.
pub(crate) fn meaning(
    modules: &Modules,
    word: &str,
    search: &[String],
) -> Result<(String, Option<Arc<Found>>), String> {
    if !word.contains('.') {
        for collection in search {
            if matches!(collection.as_str(), "ansible.builtin" | "ansible.legacy") {
                break;
            }
            let full = format!("{collection}.{word}");
            let ours = catalog::module(&full).map(|module| (module, None));
            if let Some(found) = ours.or_else(|| {
                let found = modules.find(&full).ok()?;
                Some((word.to_owned(), Some(found)))
            }) {
                return Ok(found);
            }
        }
    }
    let short = catalog::short(word);
    if catalog::find_control(short).is_some() {
        return Ok((short.to_owned(), None));
    }
    if let Some(found) = modules.before_ours(word) {
        return Ok((short.to_owned(), Some(found)));
    }
    // What it adds is the choice among facts of other systems.
    let word = if short == "gather_facts" { "ansible.builtin.setup" } else { word };
    if let Some(module) = catalog::module(word) {
        return Ok((module, None));
    }
    let found = modules.find(word)?;
    // A redirect may lead to one of ours.
    if let Some(module) = catalog::module(&found.name) {
        return Ok((module, None));
    }
    Ok((short.to_owned(), Some(found)))
}

fn foreign_obstacle(task: &Task) -> Option<String> {
    task.foreign.as_ref()?.obstacle.clone()
}

/// What is said of a task file that is not there.
pub(crate) fn missing_file(place: &Place, name: &str) -> String {
    let path = place.playbook_dir.join(name);
    let path = std::path::absolute(&path).unwrap_or(path).display().to_string();
    let missing = format!("{MISSING} '{path}' on the Ansible Controller");
    format!(
        "{missing}: Unable to retrieve file contents.\n{missing}.\nIf you are using a module and expect the file to exist on the remote, see the remote_src option: [Errno 2] No such file or directory: '{path}'"
    )
}

/// How it is said that a file is not there.
pub(crate) const MISSING: &str = "Could not find or access";

/// A task file by the name an include gives it.
pub(crate) fn find_tasks(name: &str, place: &Place) -> Option<PathBuf> {
    let mut candidates = vec![place.dir.join(name)];
    if let Some(role) = &place.role {
        candidates.push(role.path.join("tasks").join(name));
        candidates.push(role.path.join(name));
    }
    candidates.push(place.playbook_dir.join(name));
    candidates.push(place.playbook_dir.join("tasks").join(name));
    if place.handlers
        && let Some(role) = &place.role
    {
        candidates.insert(1, role.path.join("handlers").join(name));
    }
    candidates.into_iter().find(|path| path.is_file())
}
