//! Hosts, groups and their variables.
//!
//! Sources are read in the order they are given and laid on top of each other: INI, YAML or JSON
//! files, directories of them, executable scripts, and lists such as `web1,web2,`.
//!
//! Never here: connecting to hosts, rendering variables.

mod constructed;
mod generator;
mod ini;
mod listing;
pub(crate) mod literal;
mod load;
mod pattern;
mod range;
mod script;
mod toml;
mod vars;
mod yaml;

pub use listing::{Listing, ListingOptions};
pub(crate) use literal::parse as python_literal;
pub use load::{Reading, Scripts};
pub(crate) use pattern::is_localhost;
pub use script::Said;
pub use vars::VarsDir;
pub(crate) use vars::{place_in_folder, read_vars, sorted_entries};

use crate::config::{Config, GroupNames, lay};
use crate::fault::Faults;
use crate::value::{Dict, Key, Value};
use indexmap::{IndexMap, IndexSet};
use std::collections::HashSet;
use std::path::PathBuf;

/// One host.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Variables given to it in the sources.
    pub vars: Dict,
}

/// One group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Hosts given in it directly.
    pub hosts: IndexSet<String>,
    /// Groups within it.
    pub children: IndexSet<String>,
    /// Variables given to it in the sources.
    pub vars: Dict,
}

impl Group {
    fn priority(&self) -> i64 {
        match self.vars.get("ansible_group_priority") {
            Some(Value::Int(number)) => *number,
            Some(Value::Str(text)) => text.parse().unwrap_or(1),
            _ => 1,
        }
    }
}

/// Hosts and groups.
#[derive(Clone, Debug)]
pub struct Inventory {
    pub(crate) hosts: IndexMap<String, Host>,
    pub(crate) groups: IndexMap<String, Group>,
    /// Directories of sources, where `group_vars` and `host_vars` are looked for.
    pub(crate) beside: Vec<PathBuf>,
    /// The sources as they were named, for `inventory_file` and `inventory_dir`.
    pub(crate) sources: Vec<PathBuf>,
    /// What happens to names of groups that variables cannot have.
    group_names: GroupNames,
    /// Dicts from several places are brought together, not replaced.
    merge: bool,
    /// The order in which variables of groups are laid over each other.
    precedence: Vec<String>,
    /// What deserves a word, each once.
    pub warnings: IndexSet<String>,
    /// What only those want to know who look for a fault.
    pub notes: Vec<String>,
}

impl Default for Inventory {
    fn default() -> Self {
        let groups = ["all", "ungrouped"].map(|name| (name.to_owned(), Group::default()));
        let mut inventory = Self {
            hosts: IndexMap::new(),
            groups: groups.into_iter().collect(),
            beside: Vec::new(),
            sources: Vec::new(),
            group_names: GroupNames::Ignore,
            merge: false,
            precedence: Config::default().precedence.value,
            warnings: IndexSet::new(),
            notes: Vec::new(),
        };
        inventory.groups["all"].children.insert("ungrouped".to_owned());
        inventory
    }
}

impl Inventory {
    /// An inventory of groups that somebody else knows: each a name with its hosts, each host a
    /// name with its variables.
    pub fn from_groups<G, H>(groups: G) -> Self
    where
        G: IntoIterator<Item = (String, H)>,
        H: IntoIterator<Item = (String, serde_json::Map<String, serde_json::Value>)>,
    {
        let mut inventory = Self::default();
        for (group, hosts) in groups {
            let group = inventory.add_group(&group);
            for (host, vars) in hosts {
                inventory.add_host(&host, Some(&group));
                if let Some(vars) = Value::from(vars).as_dict() {
                    inventory.hosts[&host].vars.extend(vars.clone());
                }
            }
        }
        inventory.settle();
        inventory
    }

    /// Reads sources in order.
    ///
    /// # Errors
    /// When a source is not there or is none that can be read.
    pub fn load(sources: &[String], reading: &Reading<'_>) -> Result<Self, Faults> {
        load::load(sources, reading)
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.insert(text.into());
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The name under which a group is kept: as it was told, or with `_` where variables could not
    /// have that character.
    fn safe_name(&mut self, name: &str) -> String {
        if self.groups.contains_key(name) {
            return name.to_owned();
        }
        let fits = |c: char| c.is_alphanumeric() || c == '_';
        let odd = |(at, c): (usize, char)| !fits(c) || (at == 0 && c.is_ascii_digit());
        if !name.char_indices().any(odd) {
            return name.to_owned();
        }
        let told = |replaced: &str| {
            format!(
                "Invalid characters were found in group names {replaced}, use -vvvv to see details"
            )
        };
        match self.group_names {
            GroupNames::Ignore => return name.to_owned(),
            GroupNames::Never => {
                self.warn(told("but not replaced"));
                return name.to_owned();
            }
            GroupNames::Always => self.warn(told("and automatically replaced")),
            GroupNames::Silently => {}
        }
        name.char_indices().map(|(at, c)| if odd((at, c)) { '_' } else { c }).collect()
    }

    /// Adds a group if it is not there. Gives the name it is kept under.
    pub fn add_group(&mut self, name: &str) -> String {
        let name = self.safe_name(name);
        self.groups.entry(name.clone()).or_default();
        name
    }

    /// Puts a group within another one. Both must be there.
    fn add_child(&mut self, group: &str, child: &str) -> Result<(), String> {
        if group == child {
            return Err(format!("can't add group to itself: `{group}`"));
        }
        if self.group_within(group, child) {
            return Err(format!("group `{group}` would hold itself through `{child}`"));
        }
        self.groups[group].children.insert(child.to_owned());
        Ok(())
    }

    /// Adds a host if it is not there, to a group if one is named.
    pub fn add_host(&mut self, name: &str, group: Option<&str>) {
        self.hosts.entry(name.to_owned()).or_default();
        if let Some(group) = group {
            let group = self.add_group(group);
            self.groups[&group].hosts.insert(name.to_owned());
        }
    }

    /// Gives a host a variable.
    pub fn set_host_var(&mut self, host: &str, name: &str, value: Value) {
        self.add_host_vars(host, &Dict::from_iter([(Key::str(name), value)]));
    }

    /// Gives a group a variable.
    pub fn set_group_var(&mut self, group: &str, name: &str, value: Value) {
        self.add_group_vars(group, &Dict::from_iter([(Key::str(name), value)]));
    }

    fn add_host_vars(&mut self, host: &str, vars: &Dict) {
        let merge = self.merge;
        lay(&mut self.hosts.entry(host.to_owned()).or_default().vars, vars, merge);
    }

    fn add_group_vars(&mut self, group: &str, vars: &Dict) {
        let merge = self.merge;
        lay(&mut self.groups.entry(group.to_owned()).or_default().vars, vars, merge);
    }

    /// Puts groups without a parent under `all`, and hosts without a group under `ungrouped`.
    pub(crate) fn settle(&mut self) {
        let children: HashSet<String> =
            self.groups.values().flat_map(|group| group.children.iter().cloned()).collect();
        let orphans: Vec<String> = self
            .groups
            .keys()
            .filter(|name| *name != "all" && !children.contains(*name))
            .cloned()
            .collect();
        self.groups["all"].children.extend(orphans);
        let grouped: HashSet<String> = self
            .groups
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "all" | "ungrouped"))
            .flat_map(|(_, group)| group.hosts.iter().cloned())
            .collect();
        let loose: Vec<String> =
            self.hosts.keys().filter(|name| !grouped.contains(*name)).cloned().collect();
        let ungrouped = &mut self.groups["ungrouped"].hosts;
        ungrouped.retain(|name| !grouped.contains(name));
        ungrouped.extend(loose);
        self.groups["all"].hosts.clear();
    }

    /// Every host, in the order it came.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// Is there a host of that name?
    pub fn contains(&self, host: &str) -> bool {
        self.hosts.contains_key(host)
    }

    /// Names of all groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// Every host of a group and of the groups within it, in the order of the inventory.
    pub fn group_hosts(&self, group: &str) -> Vec<String> {
        if group == "all" {
            return self.hosts.keys().cloned().collect();
        }
        let mut names = HashSet::new();
        let mut seen = HashSet::new();
        let mut open = vec![group];
        while let Some(name) = open.pop() {
            if !seen.insert(name) {
                continue;
            }
            if let Some(group) = self.groups.get(name) {
                names.extend(group.hosts.iter().map(String::as_str));
                open.extend(group.children.iter().map(String::as_str));
            }
        }
        // Members keep the order of their own group where it is the only one; across groups that
        // of the inventory.
        self.hosts.keys().filter(|name| names.contains(name.as_str())).cloned().collect()
    }

    /// The groups a host is in, through parents too, without `all`; alphabetical.
    pub fn groups_of(&self, host: &str) -> Vec<String> {
        let mut found: HashSet<&str> = self
            .groups
            .iter()
            .filter(|(_, group)| group.hosts.contains(host))
            .map(|(name, _)| name.as_str())
            .collect();
        loop {
            let more: Vec<&str> = self
                .groups
                .iter()
                .filter(|(name, group)| {
                    !found.contains(name.as_str())
                        && group.children.iter().any(|child| found.contains(child.as_str()))
                })
                .map(|(name, _)| name.as_str())
                .collect();
            if more.is_empty() {
                break;
            }
            found.extend(more);
        }
        found.remove("all");
        let mut names: Vec<String> = found.into_iter().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// How deep a group lies under `all`.
    fn depth(&self, group: &str) -> usize {
        let mut depth = 0;
        let mut level: Vec<&str> = vec![group];
        // No group lies deeper than there are groups, unless they go in a circle.
        while depth <= self.groups.len() {
            let parents: Vec<&str> = self
                .groups
                .iter()
                .filter(|(_, parent)| level.iter().any(|child| parent.children.contains(*child)))
                .map(|(name, _)| name.as_str())
                .collect();
            if parents.is_empty() {
                break;
            }
            depth += 1;
            level = parents;
        }
        depth
    }

    /// The groups of a host from the weakest to the strongest: by depth, priority and name.
    pub(crate) fn groups_by_strength(&self, host: &str) -> Vec<String> {
        let mut names = self.groups_of(host);
        names.sort_by_cached_key(|name| {
            (self.depth(name), self.groups.get(name).map_or(1, Group::priority), name.clone())
        });
        names
    }
}

#[cfg(test)]
mod tests;
