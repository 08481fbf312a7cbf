//! Includes, which are read while a play runs.

use super::execute::Crew;
use super::failure::{Failure, While};
use super::outcome::{Asked, Outcome, failed, put};
use super::plays::grouped;
use super::strategy::Batch;
use crate::fault::LoadFault;
use crate::output::{At, Broken, Event};
use crate::parse::role::{Asked as AskedRole, role_block};
use crate::parse::task::{MISSING, find_tasks, missing_file};
use crate::parse::tree::{Action, Common, Node, RoleUse, Task};
use crate::parse::{Place, Reader};
use crate::template::{Context, Dialect, Fault};
use crate::value::{Dict, Key, Value};
use crate::yaml::{Kind, Node as Yaml};
use std::sync::Arc;

/// Why an include brought nothing.
pub(super) enum IncludeFault {
    /// What it names is not there: the hosts that asked have failed.
    Host(String),
    /// What it names cannot be read: the run ends.
    Run(Broken),
}

impl From<String> for IncludeFault {
    fn from(what: String) -> Self {
        Self::Host(what)
    }
}

/// The first of what is wrong in a file that was read.
fn unreadable(faults: Vec<LoadFault>, task: &Task) -> IncludeFault {
    let first = faults.into_iter().next();
    if let Some(missing) = first.as_ref().filter(|fault| fault.what.starts_with(MISSING)) {
        return IncludeFault::Host(missing.what.clone());
    }
    let fault = first.unwrap_or_else(|| LoadFault::at(task.origin.clone(), "it cannot be read"));
    IncludeFault::Run(Broken::unreadable(fault))
}

/// What an include brought.
pub(super) struct Found {
    pub(super) nodes: Vec<Node>,
    /// The file or role, for the screen.
    pub(super) shown: String,
}

/// Lists of tasks that were included, each with its hosts.
pub(super) type Loaded = Vec<(Vec<Node>, Vec<usize>)>;

impl Crew<'_> {
    /// What an include asks for.
    pub(super) fn include(&self, task: &Task, context: &Context) -> Result<Outcome, Failure> {
        let fault_of = |fault: Fault| self.failure(task, While::Task, &fault);
        let mut args = Dict::new();
        for (key, value) in task.args.as_dict().into_iter().flatten() {
            if key.as_str() != Some("apply") {
                let value = context.finish(value).map_err(fault_of)?;
                if !matches!(value, Value::Omit) {
                    args.insert(key.clone(), value);
                }
            }
        }
        let names: &[&str] = match task.action {
            Action::IncludeRole { .. } => &["name", "role"],
            _ => &["file", "_raw_params"],
        };
        let what = names.iter().find_map(|name| args.get(*name)).map(Value::to_text);
        let Some(what) = what else {
            return Err(failed(format!("Task failed: `{}` needs a name", task.word)).into());
        };
        let mut result = Dict::new();
        put(&mut result, "changed", false);
        let mut rest = args.clone();
        if !matches!(task.action, Action::IncludeRole { .. }) {
            put(&mut result, "include", Value::str(&what));
            names.iter().for_each(|name| drop(rest.shift_remove(*name)));
        }
        put(&mut result, "include_args", Value::dict(rest));
        let mut outcome = Outcome::of(result);
        outcome.includes.push(Asked { what, args, vars: task.common.params.clone(), item: None });
        Ok(outcome)
    }
}

impl Batch<'_> {
    /// What hosts ask to be included: those that ask for the same run it together. Also whether
    /// some of it is not there.
    pub(super) fn load_includes(
        &mut self,
        task: &Arc<Task>,
        includes: Vec<(Asked, usize)>,
        handler: bool,
    ) -> (Loaded, bool) {
        let keyed = includes.into_iter().map(|(asked, index)| {
            let key = (
                asked.what.clone(),
                asked.args.clone(),
                asked.item.clone(),
                format!("{:?}", asked.vars),
            );
            (key, (asked, index))
        });
        let mut loaded = Vec::new();
        let mut missing = false;
        for (_, members) in grouped(keyed) {
            // A task that runs once includes for the host that it ran for.
            let hosts: Vec<usize> = members.iter().map(|(_, index)| *index).collect();
            let hosts = self.among(&hosts);
            if hosts.is_empty() || self.broken.is_some() {
                break;
            }
            let asked = &members[0].0;
            match self.load_include(task, asked, hosts[0], handler) {
                Ok(found) => {
                    let names: Vec<String> =
                        hosts.iter().map(|index| self.names[*index].clone()).collect();
                    names
                        .iter()
                        .for_each(|name| self.crew.shared.count(name, |counts| counts.ok += 1));
                    self.crew.sink.event(Event::Included {
                        what: found.shown,
                        hosts: names,
                        item: asked.item.clone(),
                    });
                    loaded.push((found.nodes, hosts));
                }
                Err(IncludeFault::Host(what)) => {
                    missing = true;
                    self.include_failed(task, asked, &what, &hosts);
                }
                Err(IncludeFault::Run(broken)) => {
                    self.broken = self.broken.take().or(Some(broken));
                    break;
                }
            }
        }
        (loaded, missing)
    }

    fn include_failed(&mut self, task: &Arc<Task>, asked: &Asked, what: &str, hosts: &[usize]) {
        self.crew.sink.event(Event::Fault(LoadFault::at(task.origin.clone(), what)));
        for index in hosts {
            let mut result = Dict::new();
            let reason = match self.crew.shared.world.dialect {
                Dialect::Core214 => {
                    what.split(": Unable to retrieve").next().map(|what| format!("{what}."))
                }
                Dialect::Core219 => {
                    result.insert(Key::str("changed"), Value::Bool(false));
                    if matches!(task.action, Action::IncludeTasks { .. }) {
                        result.insert(Key::str("include"), Value::str(&asked.what));
                    }
                    None
                }
            };
            let reason = reason.unwrap_or_else(|| what.to_owned());
            result.insert(Key::str("reason"), Value::from(reason));
            result.insert(Key::str("failed"), Value::Bool(true));
            let outcome = Outcome::of(result);
            self.crew.sink.event(Event::Failed {
                at: At { host: self.names[*index].clone(), delegate: None, item: None },
                result: Value::dict(outcome.result.clone()),
                why: String::new(),
                origin: None,
                causes: Vec::new(),
                variables: Vec::new(),
                ignored: false,
            });
            self.count(task, *index, &outcome);
        }
    }

    pub(super) fn load_include(
        &mut self,
        task: &Task,
        asked: &Asked,
        host: usize,
        handler: bool,
    ) -> Result<Found, IncludeFault> {
        match &task.action {
            Action::IncludeRole { apply } => self.load_role(task, asked, apply, host),
            Action::IncludeTasks { apply } => self.load_tasks(task, asked, apply, handler),
            _ => Err(format!("`{}` includes nothing", task.word).into()),
        }
    }

    fn place(&self, task: &Task, vars: &Dict) -> Place {
        let mut known = vars.clone();
        known.insert(
            Key::str("playbook_dir"),
            Value::from(
                std::path::absolute(&self.play.dir)
                    .unwrap_or_else(|_| self.play.dir.clone())
                    .display()
                    .to_string(),
            ),
        );
        if let Some(role) = &task.role {
            known.insert(Key::str("role_path"), Value::from(role.path.display().to_string()));
        }
        Place {
            dir: task.dir.clone(),
            playbook_dir: self.play.dir.clone(),
            role: task.role.clone(),
            handlers: false,
            known: Arc::new(known),
            depth: 0,
        }
    }

    /// Keywords for what an include brings: those around it, its variables, and what `apply` says.
    /// Its own conditions and tags were for itself.
    fn around(task: &Task, asked: &Asked, apply: &Common) -> Arc<Common> {
        let own = Common { params: asked.vars.clone(), ..apply.clone() };
        Arc::new(own.within(&task.outer))
    }

    fn load_tasks(
        &mut self,
        task: &Task,
        asked: &Asked,
        apply: &Common,
        handler: bool,
    ) -> Result<Found, IncludeFault> {
        let place = Place { handlers: handler, ..self.place(task, &asked.vars) };
        let Some(path) = find_tasks(&asked.what, &place) else {
            return Err(missing_file(&place, &asked.what).into());
        };
        let mut reader = Reader::while_running(&self.playbook.loader);
        let nodes = reader.task_file(&path, &Self::around(task, asked, apply), &place);
        if !reader.faults.is_empty() {
            return Err(unreadable(reader.faults, task));
        }
        self.handlers.add_imported(&nodes);
        let shown = std::path::absolute(&path).unwrap_or(path).display().to_string();
        Ok(Found { nodes, shown })
    }

    fn load_role(
        &mut self,
        task: &Task,
        asked: &Asked,
        apply: &Common,
        _host: usize,
    ) -> Result<Found, IncludeFault> {
        let place = self.place(task, &asked.vars);
        let text =
            |name: &str| asked.args.get(name).filter(|value| !value.is_none()).map(Value::to_text);
        let wanted = AskedRole {
            tasks_from: text("tasks_from"),
            vars_from: text("vars_from"),
            defaults_from: text("defaults_from"),
            handlers_from: text("handlers_from"),
            apart: String::new(),
            params: asked.vars.clone(),
            given: Dict::new(),
            pulled: true,
            unchecked: asked.args.get("rolespec_validate").and_then(Value::as_boolean)
                == Some(false),
            public: asked.args.get("public").and_then(Value::as_boolean),
            allow_duplicates: asked
                .args
                .get("allow_duplicates")
                .and_then(Value::as_boolean)
                .unwrap_or(true),
        };
        let mut common = Self::around(task, asked, apply);
        let handed = task.role.iter().flat_map(|role| role.hands_on());
        Arc::make_mut(&mut common).params.extend(handed);
        let at = Yaml { at: task.origin.clone(), kind: Kind::Scalar(Value::None) };
        let mut reader = Reader::while_running(&self.playbook.loader);
        let used = reader.role(&asked.what, wanted, &common, &at, &place);
        let Some(used) = used else {
            let missing =
                reader.faults.iter().find(|fault| fault.at.as_ref() == Some(&task.origin));
            return Err(match missing {
                Some(fault) => IncludeFault::Host(fault.what.clone()),
                None => unreadable(reader.faults, task),
            });
        };
        if !reader.faults.is_empty() {
            return Err(unreadable(reader.faults, task));
        }
        for part in crate::parse::in_order(std::slice::from_ref(&used)) {
            self.handlers.add(&part.handlers);
            self.handlers.add_imported(&part.tasks);
        }
        self.publish(&used);
        Ok(Found { nodes: vec![role_block(&used)], shown: used.role.full() })
    }

    /// Makes a role known to the rest of the play, with its variables if they are for all.
    fn publish(&mut self, used: &RoleUse) {
        let config = &self.crew.shared.world.config;
        let vars = Arc::make_mut(&mut self.vars);
        if used.role.public {
            config.lay_over(&mut vars.role_defaults, &used.role.defaults.all(config));
            config.lay_over(&mut vars.role_vars, &used.role.vars.all(config));
        }
        vars.role_names.push(used.role.full());
        used.needs(&mut vars.needed_names);
    }
}
