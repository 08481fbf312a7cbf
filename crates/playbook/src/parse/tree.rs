//! What a playbook says, read and checked: plays, roles, blocks, tasks.

use crate::config::Config;
use crate::foreign::Found;
use crate::template::Expression;
use crate::value::{Dict, Value};
use crate::yaml::Origin;
use std::path::PathBuf;
use std::sync::Arc;

/// A condition: an expression, or a plain yes or no.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Plain(bool),
    Expr(Expression),
    /// A template that gives the answer, or the expression that does.
    Template(Value),
    /// It cannot be read: what it says, and why. That matters when a run comes to it.
    Broken(String, String),
}

impl Condition {
    /// What it says.
    pub(crate) fn source(&self) -> &str {
        match self {
            Self::Plain(true) => "True",
            Self::Plain(false) => "False",
            Self::Expr(expression) => expression.source(),
            Self::Template(value) => value.as_str().unwrap_or_default(),
            Self::Broken(text, _) => text,
        }
    }
}

/// Keywords that plays, roles, blocks and tasks share, with what they took from around them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Common {
    pub(crate) when: Vec<Condition>,
    pub(crate) tags: Vec<Value>,
    /// `vars` of the task and of the blocks around it.
    pub(crate) vars: Dict,
    /// `vars` of the includes and imports around it, which weigh more.
    pub(crate) params: Dict,
    pub(crate) environment: Vec<Value>,
    pub(crate) notify: Vec<Value>,
    pub(crate) module_defaults: Vec<Value>,
    pub(crate) become_it: Option<Value>,
    pub(crate) become_user: Option<Value>,
    pub(crate) become_method: Option<Value>,
    pub(crate) become_flags: Option<Value>,
    pub(crate) become_exe: Option<Value>,
    pub(crate) remote_user: Option<Value>,
    pub(crate) connection: Option<Value>,
    pub(crate) port: Option<Value>,
    pub(crate) ignore_errors: Option<Value>,
    pub(crate) ignore_unreachable: Option<Value>,
    pub(crate) no_log: Option<Value>,
    pub(crate) check_mode: Option<Value>,
    pub(crate) diff: Option<Value>,
    pub(crate) any_errors_fatal: Option<Value>,
    pub(crate) run_once: Option<Value>,
    pub(crate) timeout: Option<Value>,
    pub(crate) throttle: Option<Value>,
    pub(crate) debugger: Option<Value>,
    pub(crate) delegate_to: Option<Value>,
    pub(crate) delegate_facts: Option<Value>,
    /// Collections in which short names are looked for.
    pub(crate) collections: Vec<String>,
}

impl Common {
    /// These keywords, with what is not given taken from around.
    pub(crate) fn within(mut self, outer: &Self) -> Self {
        let join = |outer: &[Value], own: Vec<Value>| -> Vec<Value> {
            outer.iter().cloned().chain(own).collect()
        };
        let over = |outer: &Dict, own: Dict| -> Dict {
            let mut all = outer.clone();
            all.extend(own);
            all
        };
        self.when = outer.when.iter().cloned().chain(self.when).collect();
        self.tags = join(&outer.tags, self.tags);
        self.environment = join(&outer.environment, self.environment);
        self.notify = join(&outer.notify, self.notify);
        self.module_defaults = join(&outer.module_defaults, self.module_defaults);
        self.vars = over(&outer.vars, self.vars);
        self.params = over(&outer.params, self.params);
        let inherit = |own: &mut Option<Value>, outer: &Option<Value>| {
            if own.is_none() {
                own.clone_from(outer);
            }
        };
        if self.collections.is_empty() {
            self.collections.clone_from(&outer.collections);
        }
        for (own, outer) in [
            (&mut self.become_it, &outer.become_it),
            (&mut self.become_user, &outer.become_user),
            (&mut self.become_method, &outer.become_method),
            (&mut self.become_flags, &outer.become_flags),
            (&mut self.become_exe, &outer.become_exe),
            (&mut self.remote_user, &outer.remote_user),
            (&mut self.connection, &outer.connection),
            (&mut self.port, &outer.port),
            (&mut self.ignore_errors, &outer.ignore_errors),
            (&mut self.ignore_unreachable, &outer.ignore_unreachable),
            (&mut self.no_log, &outer.no_log),
            (&mut self.check_mode, &outer.check_mode),
            (&mut self.diff, &outer.diff),
            (&mut self.any_errors_fatal, &outer.any_errors_fatal),
            (&mut self.run_once, &outer.run_once),
            (&mut self.timeout, &outer.timeout),
            (&mut self.throttle, &outer.throttle),
            (&mut self.debugger, &outer.debugger),
            (&mut self.delegate_to, &outer.delegate_to),
            (&mut self.delegate_facts, &outer.delegate_facts),
        ] {
            inherit(own, outer);
        }
        self
    }
}

/// How a task repeats itself.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    /// `None` for `loop`, the lookup's name for `with_…`.
    pub(crate) lookup: Option<String>,
    pub(crate) over: Value,
    pub(crate) at: Origin,
    pub(crate) control: LoopControl,
}

#[derive(Clone, Debug)]
pub(crate) struct LoopControl {
    pub(crate) loop_var: Value,
    pub(crate) index_var: Option<Value>,
    pub(crate) label: Option<Value>,
    pub(crate) pause: Option<Value>,
    pub(crate) extended: Option<Value>,
    pub(crate) extended_allitems: Option<Value>,
    pub(crate) break_when: Vec<Condition>,
}

impl Default for LoopControl {
    fn default() -> Self {
        Self {
            loop_var: Value::str("item"),
            index_var: None,
            label: None,
            pause: None,
            extended: None,
            extended_allitems: None,
            break_when: Vec::new(),
        }
    }
}

/// What a task does.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// A module on the host, or an action of ours; by its short name.
    Module(String),
    /// A module whose name is a template.
    Named(Value),
    /// `include_tasks`
    IncludeTasks { apply: Arc<Common> },
    /// `include_role`
    IncludeRole { apply: Arc<Common> },
}

/// One task.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) id: usize,
    pub(crate) name: Option<Value>,
    /// The action as it was written, which names the task when nothing else does.
    pub(crate) word: String,
    pub(crate) action: Action,
    /// The program that is run, where none of ours does what the action names.
    pub(crate) foreign: Option<Arc<Found>>,
    /// Arguments, still to be rendered. Text that holds them all is under `_raw_params`.
    pub(crate) args: Value,
    pub(crate) common: Arc<Common>,
    /// The keywords around the task, for what it includes.
    pub(crate) outer: Arc<Common>,
    pub(crate) repeat: Option<Loop>,
    pub(crate) register: Option<String>,
    pub(crate) until: Vec<Condition>,
    pub(crate) retries: Option<Value>,
    pub(crate) delay: Option<Value>,
    pub(crate) changed_when: Option<Vec<Condition>>,
    pub(crate) failed_when: Option<Vec<Condition>>,
    /// How long it may run on its own (`async`), in seconds, and how often to look whether it ended.
    pub(crate) detach: Option<Value>,
    pub(crate) poll: Option<Value>,
    pub(crate) listen: Vec<Value>,
    pub(crate) origin: Origin,
    /// Where its action stands.
    pub(crate) action_at: Origin,
    pub(crate) role: Option<Arc<Role>>,
    /// Directories in which files of the task are looked for first.
    pub(crate) dir: PathBuf,
}

impl Task {
    /// A task that nobody wrote.
    pub(crate) fn made(
        name: String,
        module: &str,
        args: Dict,
        common: Arc<Common>,
        origin: Origin,
        dir: PathBuf,
    ) -> Self {
        Self {
            id: usize::MAX,
            name: Some(Value::from(name)),
            word: format!("ansible.builtin.{module}"),
            action: Action::Module(module.to_owned()),
            foreign: None,
            args: Value::dict(args),
            outer: Arc::clone(&common),
            common,
            repeat: None,
            register: None,
            until: Vec::new(),
            retries: None,
            delay: None,
            changed_when: None,
            failed_when: None,
            detach: None,
            poll: None,
            listen: Vec::new(),
            action_at: origin.clone(),
            origin,
            role: None,
            dir,
        }
    }

    /// The module, where it is certain which one it is.
    pub(crate) fn module(&self) -> Option<&str> {
        match &self.action {
            Action::Module(name) => Some(name),
            _ => None,
        }
    }

    /// The word after `meta:`.
    pub(crate) fn meta(&self) -> Option<String> {
        (self.module() == Some("meta"))
            .then(|| self.args.get("_raw_params").map(Value::to_text).unwrap_or_default())
    }
}

/// Tasks with what is done when one fails, and what is done anyway.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    pub(crate) body: Vec<Node>,
    pub(crate) rescue: Vec<Node>,
    pub(crate) always: Vec<Node>,
    /// The role whose tasks these are, if it was imported or included here.
    pub(crate) role: Option<Arc<Role>>,
    /// These are all the tasks of one role.
    pub(crate) unit: Option<Unit>,
    /// The handlers of that role.
    pub(crate) handlers: Vec<Node>,
}

/// A role as a host passes through it.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// As of [`RoleUse`].
    pub(crate) fingerprint: String,
    /// A host runs it as often as it comes to it.
    pub(crate) allow_duplicates: bool,
}

impl Block {
    /// A plain list of tasks.
    pub(crate) fn plain(body: Vec<Node>) -> Self {
        Self { body, ..Self::default() }
    }
}

/// A step in a list of tasks.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Task(Arc<Task>),
    Block(Arc<Block>),
}

/// A role as it is used in one place.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// The collection it lies in.
    pub(crate) collection: Option<String>,
    pub(crate) defaults: Said,
    pub(crate) vars: Said,
    /// Variables given where it is used, which outrank nearly all others.
    pub(crate) params: Dict,
    /// `vars` where it is used, which outrank its own.
    pub(crate) given: Dict,
    /// A task pulled it in, not a list of roles.
    pub(crate) pulled: bool,
    /// The roles it was pulled in by, outermost first.
    pub(crate) parents: Vec<Arc<Role>>,
    pub(crate) public: bool,
    /// As of [`RoleUse`].
    pub(crate) fingerprint: String,
}

impl Role {
    /// What a role that one of its tasks pulls in is given as well, over what that task says: what
    /// this one was given where it is listed.
    pub(crate) fn hands_on(&self) -> Dict {
        if self.pulled { Dict::new() } else { self.params.clone() }
    }

    /// Its name with that of its collection.
    pub(crate) fn full(&self) -> String {
        match &self.collection {
            Some(collection) => format!("{collection}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// What a role says in its files, and below it what the roles say that it depends on.
///
/// Apart, since the tasks of its dependencies see the one and not the other.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) own: Dict,
    pub(crate) needed: Dict,
}

impl Said {
    /// Both together, as others see them.
    pub(crate) fn all(&self, config: &Config) -> Dict {
        let mut all = self.needed.clone();
        config.lay_over(&mut all, &self.own);
        all
    }
}

/// A role with what it does.
#[derive(Clone, Debug)]
pub(crate) struct RoleUse {
    pub(crate) role: Arc<Role>,
    /// Dependencies, in the order they run before it.
    pub(crate) dependencies: Vec<RoleUse>,
    pub(crate) tasks: Vec<Node>,
    pub(crate) handlers: Vec<Node>,
    /// Tells whether another use of the same role says the same.
    pub(crate) fingerprint: String,
    pub(crate) allow_duplicates: bool,
}

impl RoleUse {
    /// The names of all roles that it depends on, each once.
    pub(crate) fn needs(&self, names: &mut Vec<String>) {
        for one in &self.dependencies {
            one.needs(names);
            let name = one.role.full();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }

    pub(crate) fn unit(&self) -> Unit {
        Unit { fingerprint: self.fingerprint.clone(), allow_duplicates: self.allow_duplicates }
    }
}

/// `vars_prompt`
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) default: Option<Value>,
    pub(crate) private: bool,
    pub(crate) confirm: bool,
    /// The answer is hashed with this scheme, with this salt.
    pub(crate) encrypt: Option<Value>,
    pub(crate) salt: Option<Value>,
    pub(crate) salt_size: Option<Value>,
}

/// One play.
#[derive(Debug)]
pub(crate) struct Play {
    pub(crate) name: Option<Value>,
    pub(crate) hosts: Value,
    pub(crate) origin: Origin,
    pub(crate) common: Arc<Common>,
    pub(crate) vars: Dict,
    pub(crate) vars_files: Vec<Value>,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) gather_facts: Option<Value>,
    pub(crate) gather_subset: Option<Value>,
    pub(crate) serial: Vec<Value>,
    pub(crate) max_fail_percentage: Option<Value>,
    pub(crate) force_handlers: Option<Value>,
    pub(crate) order: Option<Value>,
    pub(crate) strategy: Option<Value>,
    pub(crate) gather_timeout: Option<Value>,
    pub(crate) fact_path: Option<Value>,
    pub(crate) pre_tasks: Vec<Node>,
    pub(crate) roles: Vec<RoleUse>,
    pub(crate) tasks: Vec<Node>,
    pub(crate) post_tasks: Vec<Node>,
    pub(crate) handlers: Vec<Node>,
    /// The directory of the playbook file.
    pub(crate) dir: PathBuf,
}
