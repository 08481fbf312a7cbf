//! What a run knows: hosts with their facts and variables, counts.

use super::RunOptions;
use crate::foreign::Modules;
use crate::inventory::{Inventory, VarsDir, is_localhost};
use crate::output::{Counts, Recap};
use crate::template::World;
use crate::value::{Dict, Key, Value};
use indexmap::IndexMap;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

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
}

impl Shared {
    pub(crate) fn inventory(&self) -> RwLockReadGuard<'_, Inventory> {
        self.inventory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the inventory; what was remembered of it is looked up again.
    pub(crate) fn change_inventory(&self, change: impl FnOnce(&mut Inventory)) {
        let mut inventory = self.inventory.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut inventory);
        inventory.settle();
        drop(inventory);
        for host in self.hosts.read().unwrap_or_else(PoisonError::into_inner).values() {
            host.inventory.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// The state of a host, made when it is first needed.
    pub(crate) fn host(&self, name: &str) -> Arc<HostState> {
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        let state = hosts.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(HostState {
                name: name.to_owned(),
                inventory: RwLock::default(),
                facts: Cell::default(),
                set: Cell::default(),
                included: Cell::default(),
                implicit: is_localhost(name) && !self.inventory().contains(name),
            })
        });
        Arc::clone(state)
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

    pub(crate) fn recap(&self) -> Recap {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Names of all groups with their hosts, as `groups`.
pub(crate) fn groups_value(inventory: &Inventory) -> Value {
    let names: IndexMap<String, Vec<String>> =
        inventory.groups().map(|group| (group.to_owned(), inventory.group_hosts(group))).collect();
    Value::dict_of(names.into_iter().map(|(group, hosts)| (group, Value::strings(hosts))))
}
