//! Which value a name has, for one task on one host.

use super::ahead::Watch;
use super::state::{HostState, Shared, groups_value};
use crate::parse::tree::{Common, Role, Task};
use crate::template::{Context, Fault, Interp, Scope, combine_dicts};
use crate::value::{Call, Dict, Key, Object, Value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// What the play adds to the variables of its hosts.
#[derive(Clone, Default)]
pub(crate) struct PlayVars {
    pub(crate) dir: PathBuf,
    pub(crate) name: String,
    pub(crate) vars: Dict,
    pub(crate) prompted: Dict,
    /// Defaults and variables of the roles that the play lists.
    pub(crate) role_defaults: Dict,
    pub(crate) role_vars: Dict,
    pub(crate) role_names: Vec<String>,
    /// There is no play: these are the variables of a host, as `hostvars` has them.
    pub(crate) none: bool,
    /// The strategy of the play asks what to do about tasks that fail.
    pub(crate) debugged: bool,
    /// The roles that these depend on.
    pub(crate) needed_names: Vec<String>,
    /// Hosts of the batch and of the play.
    pub(crate) batch: Vec<String>,
    pub(crate) all: Vec<String>,
}

/// Everything that a name is looked up in.
#[derive(Clone)]
pub(crate) struct TaskScope {
    pub(crate) shared: Arc<Shared>,
    pub(crate) host: Arc<HostState>,
    pub(crate) play: Arc<PlayVars>,
    /// `vars_files`, which may differ from host to host.
    pub(crate) files: Arc<Dict>,
    pub(crate) common: Arc<Common>,
    pub(crate) role: Option<Arc<Role>>,
    pub(crate) dir: PathBuf,
    pub(crate) check: bool,
    pub(crate) diff: bool,
    /// Loop variables and what an action adds for itself.
    pub(crate) over: Dict,
    /// Hosts of the play that have not failed.
    pub(crate) left: Arc<Vec<String>>,
    /// The host that does the work instead.
    pub(crate) delegate: Option<Arc<HostState>>,
    /// What the inventory says, looked up once.
    pub(crate) inventory: Arc<OnceLock<Arc<Dict>>>,
    /// Its turn has not come yet, and somebody minds what is looked at.
    pub(crate) watch: Option<Arc<Watch>>,
}

impl TaskScope {
    pub(crate) fn with(&self, name: &str, value: Value) -> Self {
        let mut scope = self.clone();
        scope.over.insert(Key::str(name), value);
        scope
    }

    /// The same for a task that another host carries out, with that host's variables.
    pub(crate) fn delegated(&self, host: &Arc<HostState>) -> Self {
        let own = Self {
            host: Arc::clone(host),
            delegate: None,
            inventory: Arc::default(),
            ..self.clone()
        };
        let own = own.with("inventory_hostname", Value::str(&self.host.name));
        let vars = Value::Object(Arc::new(AllVars { scope: own }));
        let all = Dict::from_iter([(Key::str(&host.name), vars)]);
        let delegate = Some(Arc::clone(host));
        Self { delegate, ..self.with("ansible_delegated_vars", Value::dict(all)) }
    }

    /// What `hostvars` has of a host.
    pub(super) fn of_other(&self, name: &str) -> Option<Self> {
        if !self.shared.knows(name) {
            return None;
        }
        // What a play says is for its own hosts while it runs, and no variable of any host.
        let play = PlayVars {
            vars: Dict::new(),
            prompted: Dict::new(),
            role_defaults: Dict::new(),
            role_vars: Dict::new(),
            none: true,
            ..(*self.play).clone()
        };
        Some(Self {
            host: self.host_called(name),
            play: Arc::new(play),
            files: Arc::default(),
            common: Arc::new(Common::default()),
            role: None,
            over: Dict::new(),
            delegate: None,
            inventory: Arc::default(),
            ..self.clone()
        })
    }

    /// All variables, as one value.
    pub(crate) fn all_vars(&self) -> Value {
        Value::Object(Arc::new(AllVars { scope: self.clone() }))
    }

    pub(crate) fn context(self) -> Context {
        let world = match &self.watch {
            Some(watch) => Arc::clone(&watch.world),
            None => Arc::clone(&self.shared.world),
        };
        Context { scope: Arc::new(self), world }
    }

    /// The same for a task.
    pub(crate) fn for_task(&self, task: &Task) -> Self {
        Self {
            common: Arc::clone(&task.common),
            role: task.role.clone(),
            dir: task.dir.clone(),
            over: Dict::new(),
            ..self.clone()
        }
    }

    /// The state of a host of this name.
    fn host_called(&self, name: &str) -> Arc<HostState> {
        match &self.watch {
            Some(watch) if watch.host.name == name => Arc::clone(&watch.host),
            _ => self.shared.host(name),
        }
    }

    fn inventory(&self) -> &Dict {
        self.inventory.get_or_init(|| self.shared.inventory_vars(&self.host, &self.play.dir))
    }

    pub(super) fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.role.iter().chain(self.role.iter().flat_map(|role| role.parents.iter().rev()))
    }

    /// The roles whose tasks included or imported the role of the task, the nearest first.
    fn includers(&self) -> Vec<&Arc<Role>> {
        let chain: Vec<&Arc<Role>> = self.roles().collect();
        chain.windows(2).filter(|pair| pair[0].pulled).map(|pair| pair[1]).collect()
    }

    pub(super) fn magic(&self, name: &str) -> Option<Value> {
        let path = |path: &Path| {
            // A playbook named without a directory stands in this one.
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let full = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
            Value::from(full.display().to_string())
        };
        let names = |names: &[String]| Value::strings(names);
        Some(match name {
            "groups" => groups_value(&self.shared.inventory()),
            "hostvars" => Value::Object(Arc::new(HostVars { scope: self.clone() })),
            "vars" => Value::Object(Arc::new(AllVars { scope: self.clone() })),
            "playbook_dir" => path(&self.play.dir),
            "inventory_dir" => match self.shared.inventory().beside.first() {
                Some(dir) => path(dir),
                None => Value::None,
            },
            "inventory_file" => match self.shared.inventory().sources.first() {
                Some(file) => path(file),
                None => Value::None,
            },
            "ansible_inventory_sources" => Value::list(
                self.shared.inventory().sources.iter().map(|source| path(source)).collect(),
            ),
            "ansible_play_name" => Value::str(&self.play.name),
            "ansible_play_hosts" => names(&self.left),
            "play_hosts" | "ansible_play_batch" => {
                let here: Vec<String> = self
                    .play
                    .batch
                    .iter()
                    .filter(|name| self.left.contains(name))
                    .cloned()
                    .collect();
                names(&here)
            }
            "ansible_play_hosts_all" => names(&self.play.all),
            "ansible_play_role_names" | "role_names" => names(&self.play.role_names),
            "ansible_role_names" => {
                let all = [&self.play.needed_names[..], &self.play.role_names].concat();
                let mut seen = BTreeSet::new();
                Value::strings(all.iter().filter(|name| seen.insert(*name)))
            }
            "ansible_dependent_role_names" => names(&self.play.needed_names),
            "role_path" => path(&self.role.as_ref()?.path),
            "role_name" => Value::str(&self.role.as_ref()?.name),
            "ansible_role_name" => Value::from(self.role.as_ref()?.full()),
            "ansible_collection_name" => match &self.role.as_ref()?.collection {
                Some(collection) => Value::str(collection),
                None => Value::None,
            },
            "ansible_parent_role_names" => {
                let parents = self.includers();
                if parents.is_empty() {
                    return None;
                }
                Value::strings(parents.iter().map(|role| role.full()))
            }
            "ansible_parent_role_paths" => {
                let parents = self.includers();
                if parents.is_empty() {
                    return None;
                }
                Value::list(parents.iter().map(|role| path(&role.path)).collect())
            }
            // What was asked of the whole run, whatever a task says for itself.
            "ansible_check_mode" => Value::Bool(self.shared.options.check),
            "ansible_diff_mode" => Value::Bool(self.shared.options.diff),
            "ansible_forks" => Value::from(self.shared.options.forks),
            "ansible_verbosity" => Value::Int(i64::from(self.shared.options.verbosity)),
            "ansible_limit" => Value::str(self.shared.options.limit.as_ref()?),
            "ansible_run_tags" => {
                let tags = &self.shared.options.tags;
                if tags.is_empty() { Value::strings(["all"]) } else { names(tags) }
            }
            "ansible_skip_tags" => names(&self.shared.options.skip_tags),
            "ansible_version" => Value::dict_of([
                ("full", Value::str("2.19.14")),
                ("major", Value::Int(2)),
                ("minor", Value::Int(19)),
                ("revision", Value::Int(14)),
                ("string", Value::str("2.19.14")),
            ]),
            "ansible_search_path" => {
                Value::list(self.search_path().iter().map(|place| path(place)).collect())
            }
            "ansible_facts" => self.namespaced_facts(),
            "environment" => Value::list(self.common.environment.clone()),
            _ => return None,
        })
    }

    /// What a host is called and where it belongs: variables of the host like others, which whoever
    /// outranks the inventory may hide.
    pub(super) fn of_host(&self, name: &str) -> Option<Value> {
        Some(match name {
            "inventory_hostname" => Value::str(&self.host.name),
            "inventory_hostname_short" => {
                Value::str(self.host.name.split('.').next().unwrap_or_default())
            }
            "group_names" => Value::strings(self.shared.inventory().groups_of(&self.host.name)),
            _ => return None,
        })
    }

    /// Facts under names without `ansible_`, which `ansible_local` alone keeps.
    fn namespaced_facts(&self) -> Value {
        let facts = self.host.facts.get();
        Value::dict(
            facts
                .iter()
                .map(|(key, value)| {
                    match key.as_str().and_then(|name| name.strip_prefix("ansible_")) {
                        Some(name) if name != "local" => (Key::str(name), value.clone()),
                        _ => (key.clone(), value.clone()),
                    }
                })
                .collect(),
        )
    }

    /// Where files of the task are looked for: its role, the roles around, its own directory.
    pub(crate) fn search_path(&self) -> Vec<PathBuf> {
        let mut places: Vec<PathBuf> = self.roles().map(|role| role.path.clone()).collect();
        places.push(self.dir.clone());
        places.push(self.play.dir.clone());
        let mut seen = BTreeSet::new();
        places.retain(|place| seen.insert(place.clone()));
        places
    }

    /// A Python of this computer, if there is one.
    fn controller_python(&self) -> Option<Value> {
        let path = self.shared.world.env.get("PATH")?;
        let mut places = path.split(':').map(|place| Path::new(place).join("python3"));
        places.find(|place| place.is_file()).map(|place| Value::from(place.display().to_string()))
    }

    /// What the places say that a variable may come from, from the strongest to the weakest, as
    /// Ansible documents the precedence of variables.
    pub(super) fn layers<'s>(
        &'s self,
        name: &'s str,
    ) -> impl Iterator<Item = (Layer<'s>, Value)> + 's {
        let injected = self.shared.world.config.facts_as_vars.value;
        let facts = (injected || name == "ansible_local").then_some(&self.host.facts);
        let parents = || self.role.iter().flat_map(|role| role.parents.iter().rev());
        let of_role = self.role.iter().flat_map(|role| {
            [(role, &role.given), (role, &role.vars.own), (role, &role.vars.needed)]
        });
        // What is inherited is the other way round.
        let inherited = parents().flat_map(|role| [(role, &role.vars.own), (role, &role.given)]);
        let own_defaults = self.role.iter().chain(parents()).map(|role| (role, &role.defaults.own));
        let needed_defaults = self.role.iter().map(|role| (role, &role.defaults.needed));
        at(Layer::CommandLine, move || self.shared.extra_vars.get(name).cloned())
            .chain(at(Layer::Include, move || self.common.params.get(name).cloned()))
            .chain(self.roles().filter_map(move |role| {
                Some((Layer::RoleParams(role), role.params.get(name).cloned()?))
            }))
            .chain(at(Layer::Set, move || self.host.set.look(name)))
            .chain(at(Layer::Included, move || self.host.included.look(name)))
            .chain(at(Layer::Task, move || self.common.vars.get(name).cloned()))
            .chain(of_role.chain(inherited).filter_map(move |(role, vars)| {
                Some((Layer::RoleVars(role), vars.get(name).cloned()?))
            }))
            .chain(at(Layer::RolesVars, move || self.play.role_vars.get(name).cloned()))
            .chain(at(Layer::Files, move || self.files.get(name).cloned()))
            .chain(at(Layer::Prompt, move || self.play.prompted.get(name).cloned()))
            .chain(at(Layer::Play, move || self.play.vars.get(name).cloned()))
            .chain(at(Layer::Facts, move || facts?.look(name)))
            // It is a variable in any case, be it an empty one.
            .chain(at(Layer::Facts, move || {
                (!injected && name == "ansible_local").then(|| Value::dict(Dict::new()))
            }))
            .chain(at(Layer::Inventory, move || self.of_host(name)))
            .chain(at(Layer::Inventory, move || self.inventory().get(name).cloned()))
            .chain(own_defaults.chain(needed_defaults).filter_map(move |(role, defaults)| {
                Some((Layer::RoleDefaults(role), defaults.get(name).cloned()?))
            }))
            .chain(at(Layer::RolesDefaults, move || self.play.role_defaults.get(name).cloned()))
    }

    /// What is there though nobody said it.
    fn fallback(&self, name: &str) -> Option<Value> {
        Some(match name {
            // How a host is reached is a matter of plays, unless the inventory tells.
            "ansible_host" | "ansible_connection" | "ansible_port" | "ansible_user"
                if self.play.none =>
            {
                return None;
            }
            "ansible_host" => match &self.delegate {
                None => Value::str(&self.host.name),
                Some(host) => {
                    let vars = self.shared.inventory_vars(host, &self.play.dir);
                    let told = ["ansible_ssh_host", "ansible_host"];
                    let address = told.iter().find_map(|name| vars.get(*name)).cloned();
                    address.unwrap_or_else(|| Value::str(&host.name))
                }
            },
            "ansible_connection" => match &self.common.connection {
                Some(connection) => connection.clone(),
                None => Value::str(self.shared.options.connection.as_deref().unwrap_or("ssh")),
            },
            "ansible_port" => self.common.port.clone()?,
            "ansible_user" => match &self.common.remote_user {
                Some(user) => user.clone(),
                None => Value::str(self.shared.options.remote_user.as_ref()?),
            },
            "ansible_managed" => Value::str("Ansible managed"),
            "ansible_playbook_python" => self.controller_python()?,
            // The Python that runs Ansible runs the modules of a host that nobody named.
            "ansible_python_interpreter" if self.host.implicit => self.controller_python()?,
            _ => return None,
        })
    }
}

/// A place that variables come from.
pub(super) enum Layer<'s> {
    CommandLine,
    Include,
    RoleParams(&'s Role),
    Set,
    Included,
    Task,
    RoleVars(&'s Role),
    /// Of the roles that the play lists.
    RolesVars,
    Files,
    Prompt,
    Play,
    Facts,
    Inventory,
    RoleDefaults(&'s Role),
    RolesDefaults,
}

/// What one place says, looked up when it is asked for.
fn at<'s>(
    layer: Layer<'s>,
    look: impl FnOnce() -> Option<Value>,
) -> impl Iterator<Item = (Layer<'s>, Value)> {
    std::iter::once_with(move || look().map(|value| (layer, value))).flatten()
}

impl Scope for TaskScope {
    fn get(&self, name: &str) -> Option<Value> {
        if let Some(watch) = &self.watch {
            watch.looks_at(&self.host.name, name);
        }
        if let Some(value) = self.over.get(name) {
            return Some(value.clone());
        }
        if let Some(value) = self.magic(name) {
            return Some(value);
        }
        let mut layers = self.layers(name).map(|(_, value)| value);
        let mut found = layers.next();
        if self.shared.world.config.merges() {
            for under in layers {
                let merged = match (&found, under.as_dict()) {
                    (Some(over), Some(under)) => over.as_dict().map(|over| (over, under)),
                    _ => None,
                };
                // What is no dict hides all below it.
                let Some((over, under)) = merged else { break };
                found = Some(Value::dict(combine_dicts(under, over, true, "replace")));
            }
        }
        found.or_else(|| self.fallback(name))
    }

    fn names(&self) -> Vec<Arc<str>> {
        if let Some(watch) = &self.watch {
            watch.looks_too_far();
        }
        let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut add = |dict: &Dict| {
            names.extend(dict.keys().filter_map(Key::as_str).map(Arc::from));
        };
        add(&self.over);
        add(&self.shared.extra_vars);
        add(&self.common.params);
        add(&self.common.vars);
        for role in self.roles() {
            add(&role.params);
            add(&role.given);
            add(&role.vars.own);
            add(&role.defaults.own);
        }
        if let Some(role) = &self.role {
            add(&role.vars.needed);
            add(&role.defaults.needed);
        }
        add(&self.host.set.get());
        add(&self.host.included.get());
        add(&self.play.role_vars);
        add(&self.files);
        add(&self.play.prompted);
        add(&self.play.vars);
        if self.shared.world.config.facts_as_vars.value {
            add(&self.host.facts.get());
        }
        add(self.inventory());
        add(&self.play.role_defaults);
        for name in [
            "inventory_hostname",
            "groups",
            "group_names",
            "playbook_dir",
            "ansible_facts",
            "ansible_version",
        ] {
            names.insert(Arc::from(name));
        }
        names.into_iter().collect()
    }
}

/// `hostvars`: every host's variables, rendered in that host's own.
struct HostVars {
    scope: TaskScope,
}

impl HostVars {
    fn of(&self, name: &str) -> Option<Value> {
        Some(Value::Object(Arc::new(AllVars { scope: self.scope.of_other(name)? })))
    }

    fn names(&self) -> Vec<String> {
        self.scope.shared.inventory().hosts().map(str::to_owned).collect()
    }
}

impl Object for HostVars {
    fn type_name(&self) -> &'static str {
        "HostVars"
    }

    fn attr(&self, _cx: &mut Interp<'_>, name: &Value) -> Result<Option<Value>, Fault> {
        Ok(name.as_str().and_then(|name| self.of(name)))
    }

    fn method(
        &self,
        _cx: &mut Interp<'_>,
        name: &str,
        call: &Call,
    ) -> Result<Option<Value>, Fault> {
        Ok(Some(match name {
            "get" => {
                let host = call.args.first().map(Value::to_text).unwrap_or_default();
                self.of(&host).or_else(|| call.args.get(1).cloned()).unwrap_or_default()
            }
            "keys" => Value::strings(self.names()),
            "values" => Value::list(self.names().iter().filter_map(|name| self.of(name)).collect()),
            "items" => Value::list(
                self.names()
                    .iter()
                    .filter_map(|name| Some(Value::tuple(vec![Value::str(name), self.of(name)?])))
                    .collect(),
            ),
            _ => return Ok(None),
        }))
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.names().into_iter().map(Value::from).collect())
    }

    fn as_dict(&self) -> Option<Dict> {
        Some(
            self.names().iter().filter_map(|name| Some((Key::str(name), self.of(name)?))).collect(),
        )
    }

    fn finished(&self, cx: &mut Interp<'_>) -> Result<Option<Value>, Fault> {
        let mut all = Dict::new();
        for (key, value) in self.as_dict().unwrap_or_default() {
            all.insert(key, cx.leave(value)?);
        }
        Ok(Some(Value::dict(all)))
    }
}

/// All variables of one host, as `hostvars[host]` and `vars`.
struct AllVars {
    scope: TaskScope,
}

impl AllVars {
    fn one(&self, cx: &Interp<'_>, name: &str) -> Result<Option<Value>, Fault> {
        let Some(value) = self.scope.get(name) else { return Ok(None) };
        let context = self.scope.clone().context();
        cx.nested(&context).deep(&value).map(Some)
    }
}

impl Object for AllVars {
    fn type_name(&self) -> &'static str {
        "HostVarsVars"
    }

    fn attr(&self, cx: &mut Interp<'_>, name: &Value) -> Result<Option<Value>, Fault> {
        match name.as_str() {
            Some(name) => cx.deeper(|cx| self.one(cx, name)),
            None => Ok(None),
        }
    }

    fn method(&self, cx: &mut Interp<'_>, name: &str, call: &Call) -> Result<Option<Value>, Fault> {
        match name {
            "get" => {
                let wanted = call.args.first().map(Value::to_text).unwrap_or_default();
                let found = self.one(cx, &wanted)?;
                Ok(Some(found.or_else(|| call.args.get(1).cloned()).unwrap_or_default()))
            }
            "keys" => Ok(self.items().map(Value::list)),
            "values" | "items" => {
                let mut found = Vec::new();
                for key in self.scope.names() {
                    let Some(value) = self.one(cx, &key)? else { continue };
                    found.push(match name {
                        "items" => Value::tuple(vec![Value::Str(key.into()), value]),
                        _ => value,
                    });
                }
                Ok(Some(Value::list(found)))
            }
            _ => Ok(None),
        }
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.scope.names().into_iter().map(|name| Value::Str(name.into())).collect())
    }

    fn as_dict(&self) -> Option<Dict> {
        // For `in`, `is mapping` and filters over names; values are as they were written.
        let names = self.scope.names();
        Some(
            names
                .into_iter()
                .filter_map(|name| Some((Key::Str(Arc::clone(&name)), self.scope.get(&name)?)))
                .collect(),
        )
    }

    fn finished(&self, cx: &mut Interp<'_>) -> Result<Option<Value>, Fault> {
        let mut all = Dict::new();
        for name in self.scope.names() {
            if let Some(value) = self.one(cx, &name)? {
                all.insert(Key::Str(name), cx.leave(value)?);
            }
        }
        Ok(Some(Value::dict(all)))
    }
}
