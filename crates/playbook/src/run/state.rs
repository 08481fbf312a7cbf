//! What a run knows: hosts with their facts and variables, counts.

use super::RunOptions;
use super::ahead::Ahead;
use super::cache::FactCache;
use super::content::Digests;
use crate::foreign::Modules;
use crate::inventory::{Inventory, VarsDir, is_localhost};
use crate::output::{Counts, Recap};
use crate::parse::tree::{Node, Play, Task};
use crate::template::World;
use crate::value::{Dict, Key, Value};
use indexmap::IndexMap;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A dict that is read often and replaced as a whole.
#[derive(Default)]
pub(crate) struct Cell(RwLock<Arc<Dict>>);

impl Cell {
    pub(crate) fn get(&self) -> Arc<Dict> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn look(&self, name: &str) -> Option<Value> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn put(&self, name: &str, value: Value) {
        self.change(|all| {
            all.insert(Key::str(name), value);
        });
    }

    pub(crate) fn add(&self, more: &Dict) {
        self.change(|all| all.extend(more.iter().map(|(key, value)| (key.clone(), value.clone()))));
    }

    pub(crate) fn clear(&self) {
        self.change(Dict::clear);
    }

    fn change(&self, change: impl FnOnce(&mut Dict)) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut all));
    }
}

/// One host, for the whole run.
pub(crate) struct HostState {
    pub(crate) name: String,
    /// What the inventory says, by the directory of the playbook.
    inventory: RwLock<HashMap<PathBuf, Arc<Dict>>>,
    /// Facts, keyed as modules gave them: `ansible_distribution`.
    pub(crate) facts: Cell,
    /// `set_fact` and `register`.
    pub(crate) set: Cell,
    /// `include_vars`
    pub(crate) included: Cell,
    /// No inventory lists it: it is this computer.
    pub(crate) implicit: bool,
    /// What its next tasks ask of it.
    pub(crate) ahead: Mutex<Option<Ahead>>,
}

impl HostState {
    /// The same host for a rehearsal: what is set there is seen there alone.
    pub(crate) fn rehearsed(&self) -> Self {
        let copy = |cell: &Cell| Cell(RwLock::new(cell.get()));
        Self {
            name: self.name.clone(),
            inventory: RwLock::default(),
            facts: copy(&self.facts),
            set: copy(&self.set),
            included: copy(&self.included),
            implicit: self.implicit,
            ahead: Mutex::default(),
        }
    }
}

/// Shared by everything in a run.
pub(crate) struct Shared {
    pub(crate) inventory: RwLock<Inventory>,
    pub(crate) hosts: RwLock<HashMap<String, Arc<HostState>>>,
    pub(crate) beside: Vec<VarsDir>,
    pub(crate) dirs: HashMap<PathBuf, VarsDir>,
    pub(crate) world: Arc<World>,
    pub(crate) modules: Arc<Modules>,
    pub(crate) extra_vars: Dict,
    pub(crate) options: RunOptions,
    pub(crate) stats: Mutex<Recap>,
    /// The task to start at, until it was reached.
    pub(crate) start_at: Mutex<Option<String>>,
    /// Ask before each task.
    pub(crate) stepping: AtomicBool,
    /// Held by whoever talks to the person who runs the playbook.
    pub(crate) talk: tokio::sync::Mutex<()>,
    pub(crate) turns: Turns,
    /// Where facts are kept between runs.
    pub(crate) cache: Option<FactCache>,
    /// What was done to the inventory while running.
    pub(crate) changes: Mutex<Vec<Change>>,
    /// What large files of this side hold.
    pub(crate) digests: Digests,
}

/// Something done to an inventory, to be repeated.
pub(crate) type Change = Box<dyn Fn(&mut Inventory) + Send + Sync>;

/// Who may run a task now, where hosts go on for themselves.
pub(crate) struct Turns {
    forks: Arc<Semaphore>,
    /// Tasks that fewer hosts may run at once, by where they stand: each host that includes a file
    /// has tasks of its own from it.
    throttled: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Turns {
    pub(crate) fn new(forks: usize) -> Self {
        Self { forks: Arc::new(Semaphore::new(forks.max(1))), throttled: Mutex::default() }
    }

    /// Waits until a host may run a task that `width` hosts may run at once.
    pub(crate) async fn take(&self, task: &Task, width: usize) -> Vec<OwnedSemaphorePermit> {
        let own = {
            let mut throttled = self.throttled.lock().unwrap_or_else(PoisonError::into_inner);
            let place = throttled.entry(task.origin.to_string());
            Arc::clone(place.or_insert_with(|| Arc::new(Semaphore::new(width))))
        };
        let mut permits = Vec::new();
        for semaphore in [own, Arc::clone(&self.forks)] {
            permits.push(semaphore.acquire_owned().await.expect("it is never closed"));
        }
        permits
    }
}

impl Shared {
    pub(crate) fn inventory(&self) -> RwLockReadGuard<'_, Inventory> {
        self.inventory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the inventory, now and whenever it is read anew.
    pub(crate) fn change_inventory(&self, change: impl Fn(&mut Inventory) + Send + Sync + 'static) {
        let mut inventory = self.inventory.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut inventory);
        inventory.settle();
        drop(inventory);
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(change));
        self.forget_inventory();
    }

    /// Reads the inventory anew. What was added to it while running stays.
    pub(crate) fn refresh_inventory(&self) -> Result<(), String> {
        let Some(read) = &self.options.refresh else { return Ok(()) };
        let mut fresh = read().map_err(|faults| faults.to_string())?;
        for change in self.changes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            change(&mut fresh);
        }
        fresh.settle();
        *self.inventory.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        self.forget_inventory();
        Ok(())
    }

    /// What was remembered of the inventory is looked up again.
    fn forget_inventory(&self) {
        for host in self.hosts.read().unwrap_or_else(PoisonError::into_inner).values() {
            host.inventory.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// The state of a host, made when it is first needed.
    pub(crate) fn host(&self, name: &str) -> Arc<HostState> {
        if let Some(known) = self.hosts.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(known);
        }
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        let state = hosts.entry(name.to_owned()).or_insert_with(|| {
            let kept = self.cache.as_ref().and_then(|kept| kept.read(name, &*self.world.clock));
            Arc::new(HostState {
                name: name.to_owned(),
                inventory: RwLock::default(),
                facts: Cell(RwLock::new(Arc::new(kept.unwrap_or_default()))),
                set: Cell::default(),
                included: Cell::default(),
                implicit: is_localhost(name) && !self.inventory().contains(name),
                ahead: Mutex::default(),
            })
        });
        Arc::clone(state)
    }

    /// The state of a host that is told by its name, or else by the address of one.
    pub(crate) fn host_at(&self, name: &str) -> Arc<HostState> {
        if !self.inventory().contains(name) {
            let found = {
                let inventory = self.inventory();
                let is_there = |host: &&str| {
                    let vars = inventory.host_vars(host, &self.beside, None);
                    let address = vars.get("ansible_ssh_host").or_else(|| vars.get("ansible_host"));
                    address.and_then(Value::as_str) == Some(name)
                };
                inventory.hosts().find(is_there).map(str::to_owned)
            };
            if let Some(found) = found {
                return self.host(&found);
            }
        }
        self.host(name)
    }

    /// Remembers facts of a host, and keeps them for other runs where that is asked for.
    ///
    /// # Errors
    /// With a sentence, when they cannot be kept; then this run knows them all the same.
    pub(crate) fn learn(&self, host: &HostState, facts: &Dict) -> Result<(), String> {
        host.facts.add(facts);
        match &self.cache {
            Some(kept) => kept.write(&host.name, &host.facts.get()),
            None => Ok(()),
        }
    }

    /// Forgets what is known of a host.
    pub(crate) fn unlearn(&self, host: &str) {
        self.host(host).facts.clear();
        if let Some(kept) = &self.cache {
            kept.forget(host);
        }
    }

    /// Is there such a host, in the inventory or by being this computer?
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.inventory().contains(name) || is_localhost(name)
    }

    /// What the inventory and the directories beside it and beside the playbook say of a host.
    pub(crate) fn inventory_vars(&self, host: &HostState, dir: &Path) -> Arc<Dict> {
        if let Some(known) = host.inventory.read().unwrap_or_else(PoisonError::into_inner).get(dir)
        {
            return Arc::clone(known);
        }
        let mut vars = self.inventory().host_vars(&host.name, &self.beside, self.dirs.get(dir));
        if host.implicit {
            vars.entry(Key::str("ansible_connection")).or_insert_with(|| Value::str("local"));
        }
        let vars = Arc::new(vars);
        host.inventory
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(dir.to_path_buf(), Arc::clone(&vars));
        vars
    }

    pub(crate) fn count(&self, host: &str, count: impl FnOnce(&mut Counts)) {
        count(self.stats.lock().unwrap_or_else(PoisonError::into_inner).count(host));
    }

    /// Keeps what `set_stats` gave, for hosts or for the run.
    pub(crate) fn keep_stats(&self, told: &Value, hosts: &[&str]) {
        let yes = |name: &str, default| told.get(name).map_or(default, Value::is_true);
        let Some(data) = told.get("data").and_then(Value::as_dict) else { return };
        let hosts = if yes("per_host", true) { hosts } else { &[""] };
        let mut recap = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        for host in hosts {
            let stats = recap.custom.entry((*host).to_owned()).or_default();
            for (key, value) in data {
                let old = stats.get(key).filter(|_| yes("aggregate", false));
                let new = match (old, value) {
                    (Some(Value::Dict(_)), Value::Dict(new)) => {
                        let mut all = old.and_then(Value::as_dict).cloned().unwrap_or_default();
                        all.extend(new.iter().map(|(key, value)| (key.clone(), value.clone())));
                        Value::dict(all)
                    }
                    (Some(Value::Int(old)), Value::Int(new)) => Value::Int(old + new),
                    (Some(Value::Str(old)), Value::Str(new)) => Value::from(format!("{old}{new}")),
                    (Some(Value::List(old)), Value::List(new)) => {
                        Value::list(old.iter().chain(new.iter()).cloned().collect())
                    }
                    // Ansible does not add up things of two kinds.
                    (Some(_), _) => continue,
                    (None, value) => value.clone(),
                };
                stats.insert(key.clone(), new);
            }
        }
    }

    /// Does the play hold the task that the run starts at, or does it start anywhere?
    pub(crate) fn starts_in(&self, play: &Play) -> bool {
        let start_at = self.start_at.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(wanted) = &*start_at else { return true };
        fn any(nodes: &[Node], wanted: &str) -> bool {
            nodes.iter().any(|node| match node {
                Node::Task(task) => is_start(task, None, wanted),
                Node::Block(block) => [&block.body, &block.rescue, &block.always]
                    .into_iter()
                    .any(|nodes| any(nodes, wanted)),
            })
        }
        let roles = crate::parse::in_order(&play.roles);
        [&play.pre_tasks, &play.tasks, &play.post_tasks].into_iter().any(|nodes| any(nodes, wanted))
            || roles.iter().any(|used| any(&used.tasks, wanted))
    }

    /// Has the run come to the task that it starts at? Facts are gathered in any case.
    pub(crate) fn started(&self, task: &Task, shown: &str) -> bool {
        let mut start_at = self.start_at.lock().unwrap_or_else(PoisonError::into_inner);
        match &*start_at {
            Some(wanted) if is_start(task, Some(shown), wanted) => *start_at = None,
            Some(_) => return task.id == usize::MAX,
            None => {}
        }
        true
    }

    pub(crate) fn recap(&self) -> Recap {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Is it the task that the run was asked to start at? Wildcards may stand in its name.
fn is_start(task: &Task, shown: Option<&str>, wanted: &str) -> bool {
    let Some(name) = task.name.as_ref().and_then(Value::as_str) else { return false };
    let role = task.role.as_ref().map(|role| format!("{} : {name}", role.name));
    let names = [Some(name), role.as_deref(), shown];
    names.into_iter().flatten().any(|name| name == wanted || crate::template::fnmatch(wanted, name))
}

/// Names of all groups with their hosts, as `groups`.
pub(crate) fn groups_value(inventory: &Inventory) -> Value {
    let names: IndexMap<String, Vec<String>> =
        inventory.groups().map(|group| (group.to_owned(), inventory.group_hosts(group))).collect();
    Value::dict_of(names.into_iter().map(|(group, hosts)| (group, Value::strings(hosts))))
}
