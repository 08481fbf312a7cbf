//! The inventory as `ansible-inventory` shows it.

use super::{Inventory, VarsDir};
use crate::fault::{Faults, LoadFault};
use crate::value::{Dict, Indent, Key, Lazy, Value, YamlStyle, python_json, to_yaml};
use crate::vault::Vault;
use serde_json::{Map, Value as Json, json};
use std::collections::HashSet;
use std::sync::Arc;

/// Names that `ansible-inventory` leaves out (ansible-core 2.19, `INTERNAL_STATIC_VARS`).
const INTERNAL: &[&str] = &[
    "ansible_async_path",
    "ansible_collection_name",
    "ansible_config_file",
    "ansible_dependent_role_names",
    "ansible_diff_mode",
    "ansible_facts",
    "ansible_forks",
    "ansible_inventory_sources",
    "ansible_limit",
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_role_names",
    "ansible_playbook_python",
    "ansible_role_name",
    "ansible_role_names",
    "ansible_run_tags",
    "ansible_skip_tags",
    "ansible_verbosity",
    "ansible_version",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "groups",
    "group_names",
    "omit",
    "hostvars",
    "playbook_dir",
    "play_hosts",
    "role_name",
    "role_names",
    "role_path",
    "role_uuid",
];

/// What is shown, and how.
#[derive(Clone, Debug, Default)]
pub struct ListingOptions {
    /// Variables where they were given, instead of all of a host with it.
    pub export: bool,
    /// Only these hosts.
    pub limit: Option<HashSet<String>>,
    /// Variables that outrank all others.
    pub extra_vars: Dict,
    /// Variables beside the playbooks of this directory too.
    pub playbook_dir: Option<std::path::PathBuf>,
}

/// An inventory that is being shown.
pub struct Listing<'a> {
    inventory: &'a Inventory,
    vault: &'a Vault,
    beside: Vec<VarsDir>,
    playbook: Option<VarsDir>,
    options: ListingOptions,
}

impl<'a> Listing<'a> {
    /// Reads the variables beside the sources.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn new(
        inventory: &'a Inventory,
        vault: &'a Vault,
        options: ListingOptions,
    ) -> Result<Self, Faults> {
        let beside = inventory.read_beside(vault).map_err(Faults)?;
        let read = |dir: &std::path::PathBuf| VarsDir::read(dir, vault, inventory.merge);
        let playbook = options.playbook_dir.as_ref().map(read);
        let playbook = playbook.transpose().map_err(Faults)?;
        let dirs: Vec<&VarsDir> = beside.iter().chain(&playbook).collect();
        Faults::check(inventory.sealed_for(inventory.hosts(), &dirs))?;
        Ok(Self { inventory, vault, beside, playbook, options })
    }

    fn shown(&self, host: &str) -> bool {
        self.options.limit.as_ref().is_none_or(|limit| limit.contains(host))
    }

    fn host_vars(&self, host: &str) -> Dict {
        let playbook = self.playbook.as_ref();
        let mut vars = if self.options.export {
            self.inventory.own_vars(host, &self.beside, playbook)
        } else {
            let mut vars = self.inventory.host_vars(host, &self.beside, playbook);
            vars.extend(self.options.extra_vars.clone());
            vars
        };
        vars.retain(|name, _| name.as_str().is_none_or(|name| !INTERNAL.contains(&name)));
        vars
    }

    fn group_vars(&self, group: &str) -> Dict {
        let mut vars = self.inventory.vars_of_group(group, &self.beside, self.playbook.as_ref());
        vars.shift_remove("ansible_group_priority");
        let priority = self.inventory.groups.get(group).map_or(1, super::Group::priority);
        if priority != 1 {
            vars.insert(Key::str("ansible_group_priority"), Value::Int(priority));
        }
        vars.retain(|name, _| name.as_str().is_none_or(|name| !INTERNAL.contains(&name)));
        vars
    }

    fn json_vars(vars: Dict) -> Json {
        Value::dict(vars).to_json()
    }

    /// What `--list` gives: `_meta` with every host's variables, then the groups.
    pub fn list(&self) -> Json {
        let mut out = Map::new();
        let mut seen = HashSet::new();
        self.list_group("all", &mut seen, &mut out);
        let mut hostvars = Map::new();
        for host in self.inventory.hosts().filter(|host| self.shown(host)) {
            let vars = self.host_vars(host);
            if !vars.is_empty() {
                hostvars.insert(host.to_owned(), Self::json_vars(vars));
            }
        }
        out.insert(
            "_meta".to_owned(),
            json!({"hostvars": hostvars, "profile": "inventory_legacy"}),
        );
        Json::Object(out)
    }

    fn list_group(&self, name: &str, seen: &mut HashSet<String>, out: &mut Map<String, Json>) {
        if !seen.insert(name.to_owned()) {
            return;
        }
        let group = &self.inventory.groups[name];
        let mut entry = Map::new();
        let hosts: Vec<&String> = group.hosts.iter().filter(|host| self.shown(host)).collect();
        if name != "all" && !hosts.is_empty() {
            entry.insert("hosts".to_owned(), json!(hosts));
        }
        if !group.children.is_empty() {
            entry.insert("children".to_owned(), json!(group.children));
            group.children.iter().for_each(|child| self.list_group(child, seen, out));
        }
        if self.options.export {
            let vars = self.group_vars(name);
            if !vars.is_empty() {
                entry.insert("vars".to_owned(), Self::json_vars(vars));
            }
        }
        if !entry.is_empty() {
            out.insert(name.to_owned(), Json::Object(entry));
        }
    }

    /// What `--host` gives: the variables of one host; `None` if there is no such host.
    pub fn host(&self, name: &str) -> Option<Value> {
        let implicit = super::is_localhost(name);
        if !self.inventory.contains(name) && implicit {
            return Some(Value::dict_of([("ansible_connection", Value::str("local"))]));
        }
        self.inventory.contains(name).then(|| Value::dict(self.host_vars(name)))
    }

    /// Text as `ansible-inventory` prints JSON.
    pub fn json_text(json: &Json) -> String {
        python_json(json, Indent { width: Some(4), sorted: true, ascii: false }) + "\n"
    }

    /// Text as `ansible-inventory --yaml` prints it.
    pub fn yaml_text(value: &Value) -> String {
        let style = YamlStyle {
            indent: 2,
            flow: Some(false),
            sorted: true,
            width: None,
            begin: false,
            end: false,
            quote: None,
        };
        to_yaml(&value.as_written(), style)
    }

    /// What `--list --yaml` gives: groups within groups, hosts with their variables.
    pub fn tree(&self) -> Value {
        let (mut groups, mut hosts) = (HashSet::new(), HashSet::new());
        let entry = self.tree_group("all", &mut groups, &mut hosts);
        Value::dict(entry.into_iter().map(|entry| (Key::str("all"), entry)).collect())
    }

    fn tree_group(
        &self,
        name: &str,
        groups: &mut HashSet<String>,
        hosts: &mut HashSet<String>,
    ) -> Option<Value> {
        let group = &self.inventory.groups[name];
        let mut children = Dict::new();
        for child in group.children.iter().filter(|child| *child != "all") {
            if groups.contains(child) {
                children.insert(Key::str(child), Value::dict(Dict::new()));
            } else {
                if let Some(entry) = self.tree_group(child, groups, hosts) {
                    children.insert(Key::str(child), entry);
                }
                groups.insert(child.clone());
            }
        }
        let mut members = Dict::new();
        for host in group.hosts.iter().filter(|host| name != "all" && self.shown(host)) {
            let first = hosts.insert(host.clone());
            let vars = if first { self.host_vars(host) } else { Dict::new() };
            members.insert(Key::str(host), Value::dict(vars));
        }
        let vars = if self.options.export { self.group_vars(name) } else { Dict::new() };
        entry_of(children, members, vars)
    }

    /// What `--list --toml` gives: groups beside each other.
    pub fn table(&self) -> Value {
        let mut out = Dict::new();
        let mut hosts = HashSet::new();
        self.table_group("all", &mut hosts, &mut out);
        Value::dict(out)
    }

    fn table_group(&self, name: &str, hosts: &mut HashSet<String>, out: &mut Dict) {
        let group = &self.inventory.groups[name];
        let lonely = self.inventory.groups["ungrouped"].hosts.is_empty();
        let mut entry = Dict::new();
        let kept: Vec<&String> =
            group.children.iter().filter(|child| !(*child == "ungrouped" && lonely)).collect();
        if name != "all" && !kept.is_empty() {
            entry.insert(Key::str("children"), Value::strings(&kept));
        }
        kept.iter().for_each(|child| self.table_group(child, hosts, out));
        let mut members = Dict::new();
        for host in group.hosts.iter().filter(|host| name != "all" && self.shown(host)) {
            let first = hosts.insert(host.clone());
            let vars = if first { self.host_vars(host) } else { Dict::new() };
            members.insert(Key::str(host), Value::dict(vars));
        }
        if !members.is_empty() {
            entry.insert(Key::str("hosts"), Value::dict(members));
        }
        let vars = if self.options.export { self.group_vars(name) } else { Dict::new() };
        if !vars.is_empty() {
            entry.insert(Key::str("vars"), Value::dict(vars));
        }
        if !entry.is_empty() {
            out.insert(Key::str(name), Value::dict(entry));
        }
    }

    /// What `--list --toml` prints.
    ///
    /// # Errors
    /// With a sentence on what TOML cannot say, such as null.
    pub fn toml_text(&self) -> Result<String, String> {
        let table: toml::Table = serde_json::from_value(self.table().to_json())
            .map_err(|error| format!("this inventory cannot be said in TOML: {error}"))?;
        toml::to_string(&table)
            .map_err(|error| format!("this inventory cannot be said in TOML: {error}"))
    }

    /// What `--graph` prints, from a group down; `None` if there is no such group.
    ///
    /// # Errors
    /// When `vars` are to be shown, and no password opens one of them.
    pub fn graph(&self, group: &str, vars: bool) -> Result<Option<String>, Faults> {
        if !self.inventory.groups.contains_key(group) {
            return Ok(None);
        }
        let mut lines = Vec::new();
        self.graph_group(group, 0, vars, &mut lines)?;
        Ok(Some(lines.join("\n") + "\n"))
    }

    /// The value with templates as they are written and nothing encrypted, as Ansible's graph alone
    /// shows it.
    fn opened(&self, value: &Value) -> Result<Value, LoadFault> {
        Ok(match value {
            Value::Lazy(lazy) => {
                match &**lazy {
                    Lazy::Vaulted(vaulted) => {
                        let opened = self.vault.value(&vaulted.text);
                        let at = vaulted.origin.clone();
                        Value::from(&*opened.map_err(|error| LoadFault {
                            at,
                            ..LoadFault::bare(error.to_string())
                        })?)
                    }
                    _ => self.opened(&value.as_written())?,
                }
            }
            Value::List(items) => {
                let items: Result<_, _> = items.iter().map(|item| self.opened(item)).collect();
                Value::List(Arc::new(items?))
            }
            Value::Dict(entries) => {
                let open = |(key, item): (&Key, &Value)| Ok((key.clone(), self.opened(item)?));
                let entries: Result<_, LoadFault> = entries.iter().map(open).collect();
                Value::Dict(Arc::new(entries?))
            }
            other => other.clone(),
        })
    }

    fn graph_group(
        &self,
        name: &str,
        depth: usize,
        vars: bool,
        lines: &mut Vec<String>,
    ) -> Result<(), LoadFault> {
        let line = |text: String, depth: usize| match depth {
            0 => text,
            depth => format!("{}--{text}", "  |".repeat(depth)),
        };
        let show = |vars: Dict, depth: usize, lines: &mut Vec<String>| {
            let mut vars: Vec<(String, Value)> =
                vars.into_iter().map(|(key, value)| (key.to_json_key(), value)).collect();
            vars.sort_by(|a, b| a.0.cmp(&b.0));
            for (key, value) in vars {
                let shown = self.opened(&value)?.to_text();
                lines.push(line(format!("{{{key} = {shown}}}"), depth));
            }
            Ok(())
        };
        lines.push(line(format!("@{name}:"), depth));
        let group = &self.inventory.groups[name];
        for child in &group.children {
            self.graph_group(child, depth + 1, vars, lines)?;
        }
        if name != "all" {
            for host in &group.hosts {
                lines.push(line(host.clone(), depth + 1));
                if vars {
                    show(self.host_vars(host), depth + 2, lines)?;
                }
            }
        }
        if vars {
            show(self.group_vars(name), depth + 1, lines)?;
        }
        Ok(())
    }
}

fn entry_of(children: Dict, hosts: Dict, vars: Dict) -> Option<Value> {
    let parts = [("children", children), ("hosts", hosts), ("vars", vars)];
    let entry: Dict = parts
        .into_iter()
        .filter(|(_, part)| !part.is_empty())
        .map(|(name, part)| (Key::str(name), Value::dict(part)))
        .collect();
    (!entry.is_empty()).then(|| Value::dict(entry))
}
