//! Which plugin reads a source.
//!
//! Plugins are tried in the order that `ansible.cfg` gives. A source that none can read is told and
//! passed over, unless the settings say that it ends the command.

use super::{Inventory, constructed, generator, ini, script, toml, yaml};
use crate::fault::{Faults, LoadFault};
use crate::template::World;
use crate::value::{Dict, Value};
use crate::yaml::Node;
use std::path::Path;
use std::sync::Arc;

/// Runs inventory scripts. Whoever may start processes implements it.
pub trait Scripts: Send + Sync {
    /// What `script` says to `args`.
    ///
    /// # Errors
    /// With one sentence on why it failed.
    fn run(&self, script: &Path, args: &[&str]) -> Result<script::Said, String>;
}

/// What inventories are read with.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Settings, passwords, the environment.
    pub world: &'a Arc<World>,
    /// Runs scripts; without it they cannot be read.
    pub scripts: Option<&'a dyn Scripts>,
    /// Variables that outrank all others.
    pub extra_vars: &'a Dict,
}

/// Names in a directory of inventories that are never one.
const NEVER: &[&str] = &["group_vars", "host_vars", "vars_plugins"];

pub(crate) fn load(sources: &[String], reading: &Reading<'_>) -> Result<Inventory, Faults> {
    let config = &reading.world.config;
    let mut inventory = Inventory {
        group_names: config.group_names.value,
        merge: config.merges(),
        precedence: config.precedence.value.clone(),
        ..Inventory::default()
    };
    let mut read_any = false;
    for source in sources.iter().filter(|source| !source.is_empty()) {
        let path = Path::new(source);
        if path.exists() || !source.contains(',') {
            let full = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
            let place = if full.is_dir() { full.as_path() } else { full.parent().unwrap_or(&full) };
            inventory.beside.push(place.to_path_buf());
            inventory.sources.push(full.clone());
            read_any |= one(&mut inventory, &full.display().to_string(), reading)?;
        } else {
            read_any |= one(&mut inventory, source, reading)?;
        }
    }
    if !read_any {
        if *config.inventory_unparsed_fails {
            return Err(LoadFault::bare(
                "No inventory was parsed, please check your configuration and options.",
            )
            .into());
        }
        if *config.inventory_unparsed_warning {
            inventory.warn("No inventory was parsed, only implicit localhost is available");
        }
    }
    inventory.settle();
    let both: Vec<String> = inventory
        .groups
        .keys()
        .filter(|name| inventory.hosts.contains_key(*name))
        .cloned()
        .collect();
    for name in both {
        inventory.warn(format!("Found both group and host with same name: {name}"));
    }
    Ok(inventory)
}

/// Reads one source, or every source in a directory. Was anything read?
fn one(inventory: &mut Inventory, source: &str, reading: &Reading<'_>) -> Result<bool, Faults> {
    let config = &reading.world.config;
    let path = Path::new(source);
    let mut read = false;
    let mut failures = Vec::new();
    if path.is_dir() {
        for name in entries(path, reading)? {
            read |= one(inventory, &path.join(name).display().to_string(), reading)?;
        }
    } else {
        for plugin in config.inventory_plugins.iter() {
            let Some(plugin) = Plugin::named(plugin) else {
                inventory.warn(format!("Failed to load inventory plugin, skipping {plugin}"));
                continue;
            };
            if !plugin.wants(source, reading) {
                continue;
            }
            if plugin == Plugin::Yaml
                && text(path, reading).is_ok_and(|text| begins_with_a_section(&text))
            {
                failures.push((plugin, None));
                continue;
            }
            match plugin.read(inventory, source, reading) {
                Ok(()) => {
                    read = true;
                    break;
                }
                Err(faults) => failures.push((plugin, Some(faults))),
            }
        }
    }
    if read || (source == "/etc/ansible/hosts" && !path.exists()) {
        return Ok(read);
    }
    for (plugin, faults) in failures {
        let faults = faults.or_else(|| plugin.read(inventory, source, reading).err());
        let (name, faults) = (plugin.name(), Faults(faults.unwrap_or_default()));
        inventory.warn(format!("Failed to parse inventory with '{name}' plugin: {faults}"));
    }
    if *config.inventory_any_unparsed_fails {
        return Err(LoadFault::bare(format!(
            "Completely failed to parse inventory source {source}"
        ))
        .into());
    }
    inventory.warn(format!("Unable to parse {source} as an inventory source"));
    Ok(false)
}

/// Whether a text begins with `[name]` and goes on: that is INI. For YAML the list would be all there
/// is. It takes YAML's reader as long as all the rest to find that out in a text of 10,000 hosts.
fn begins_with_a_section(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_end).filter(|line| {
        let line = line.trim_start();
        !(line.is_empty() || line.starts_with('#'))
    });
    let is_section = |line: &str| {
        let name = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        name.is_some_and(|name| !name.contains(['[', ']', '#', '"', '\'']))
    };
    lines.next().is_some_and(is_section)
        && lines.next().is_some_and(|line| !line.starts_with("---") && !line.starts_with("..."))
}

/// What may be inventories in a directory, in order.
fn entries(path: &Path, reading: &Reading<'_>) -> Result<Vec<String>, Faults> {
    let config = &reading.world.config;
    let mut patterns = Vec::new();
    for source in config.inventory_ignored_patterns.iter().filter(|source| !source.is_empty()) {
        patterns.push(fancy_regex::Regex::new(source).map_err(|error| {
            LoadFault::bare(format!("inventory_ignore_patterns: `{source}`: {error}"))
        })?);
    }
    let cannot = |error: std::io::Error| {
        LoadFault::bare(format!("cannot read inventory directory `{}`: {error}", path.display()))
    };
    let listed = std::fs::read_dir(path).map_err(cannot)?;
    let mut names: Vec<String> = listed
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            !(name.starts_with('.')
                || NEVER.contains(&name.as_str())
                || config.inventory_ignored_ends.iter().any(|end| name.ends_with(end.as_str()))
                || patterns.iter().any(|pattern| pattern.is_match(name).unwrap_or(false)))
        })
        .collect();
    names.sort();
    Ok(names)
}

/// A reader of one kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plugin {
    HostList,
    AdvancedHostList,
    Script,
    Auto,
    Yaml,
    Ini,
    Toml,
    Constructed,
    Generator,
}

impl Plugin {
    const ALL: [Self; 9] = [
        Self::HostList,
        Self::AdvancedHostList,
        Self::Script,
        Self::Auto,
        Self::Yaml,
        Self::Ini,
        Self::Toml,
        Self::Constructed,
        Self::Generator,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::HostList => "host_list",
            Self::AdvancedHostList => "advanced_host_list",
            Self::Script => "script",
            Self::Auto => "auto",
            Self::Yaml => "yaml",
            Self::Ini => "ini",
            Self::Toml => "toml",
            Self::Constructed => "constructed",
            Self::Generator => "generator",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let short = name.strip_prefix("ansible.builtin.").unwrap_or(name);
        Self::ALL.into_iter().find(|plugin| plugin.name() == short)
    }

    /// May this source be one of its kind?
    fn wants(self, source: &str, reading: &Reading<'_>) -> bool {
        let path = Path::new(source);
        let file = path.is_file();
        let end = path.extension().map(|end| format!(".{}", end.to_string_lossy()));
        let yaml = |end: &Option<String>| {
            end.as_ref().is_none_or(|end| reading.world.config.yaml_ends.contains(end))
        };
        match self {
            Self::HostList | Self::AdvancedHostList => !path.exists() && source.contains(','),
            Self::Script => file && script::is_executable(path),
            Self::Auto => file && matches!(end.as_deref(), Some(".yml" | ".yaml")),
            Self::Yaml => file && yaml(&end),
            Self::Ini => file && end.as_deref() != Some(".toml"),
            Self::Toml => file && end.as_deref() == Some(".toml"),
            Self::Constructed | Self::Generator => {
                file && (yaml(&end) || end.as_deref() == Some(".config"))
            }
        }
    }

    fn read(
        self,
        inventory: &mut Inventory,
        source: &str,
        reading: &Reading<'_>,
    ) -> Result<(), Vec<LoadFault>> {
        let path = Path::new(source);
        match self {
            Self::HostList => {
                host_list(inventory, source);
                Ok(())
            }
            Self::AdvancedHostList => {
                advanced_host_list(inventory, source).map_err(|what| vec![LoadFault::bare(what)])
            }
            Self::Script => {
                script::read(inventory, path, reading).map_err(|what| vec![LoadFault::bare(what)])
            }
            Self::Ini => ini::read(inventory, source, &text(path, reading)?),
            Self::Toml => toml::read(inventory, source, &text(path, reading)?),
            Self::Yaml => match document(path, reading)? {
                Some(node) if node.as_map().is_none() => Err(vec![LoadFault::at(
                    node.at.clone(),
                    format!(
                        "YAML inventory has invalid structure, it should be a dictionary, got: {}",
                        node.kind_name()
                    ),
                )]),
                Some(node) if node.get("plugin").is_some() => Err(vec![LoadFault::at(
                    node.at.clone(),
                    "Plugin configuration YAML file, not YAML inventory",
                )]),
                Some(node) => yaml::read(inventory, &node),
                None => Err(vec![LoadFault::bare("Parsed empty YAML file")]),
            },
            Self::Auto => auto(inventory, path, reading),
            Self::Constructed | Self::Generator => {
                let node = document(path, reading)?
                    .ok_or_else(|| vec![LoadFault::bare(format!("{source} is empty"))])?;
                let told = node.get("plugin").and_then(Node::as_str).unwrap_or("none found");
                if Self::named(told) != Some(self) {
                    return Err(vec![LoadFault::at(
                        node.at.clone(),
                        format!("Incorrect plugin name in file: {told}"),
                    )]);
                }
                match self {
                    Self::Constructed => constructed::read(inventory, &node, reading),
                    _ => generator::read(inventory, &node, reading),
                }
            }
        }
    }
}

/// A file that names the plugin it is for.
fn auto(
    inventory: &mut Inventory,
    path: &Path,
    reading: &Reading<'_>,
) -> Result<(), Vec<LoadFault>> {
    let name = path.display();
    let node = document(path, reading)?;
    let told = node.as_ref().and_then(|node| node.get("plugin"));
    let Some(told) = told.and_then(Node::as_str) else {
        return Err(vec![LoadFault::bare(format!(
            "no root 'plugin' key found, '{name}' is not a valid YAML inventory plugin config file"
        ))]);
    };
    match Plugin::named(told).filter(|plugin| *plugin != Plugin::Auto) {
        Some(plugin) if plugin.wants(&name.to_string(), reading) => {
            plugin.read(inventory, &name.to_string(), reading)
        }
        Some(_) => Err(vec![LoadFault::bare(format!(
            "inventory source '{name}' could not be verified by inventory plugin '{told}'"
        ))]),
        None => Err(vec![LoadFault::bare(format!(
            "inventory config '{name}' specifies unknown plugin '{told}'"
        ))]),
    }
}

fn text(path: &Path, reading: &Reading<'_>) -> Result<String, Vec<LoadFault>> {
    reading.world.vault.read_text(path).map_err(|what| vec![LoadFault::bare(what)])
}

/// The first document of a file, if there is anything in it.
fn document(path: &Path, reading: &Reading<'_>) -> Result<Option<Node>, Vec<LoadFault>> {
    let parsed = crate::yaml::parse(&path.display().to_string(), &text(path, reading)?)
        .map_err(|fault| vec![fault])?;
    let empty = |node: &Node| node.is_null() || node.as_map().is_some_and(<[_]>::is_empty);
    Ok(parsed.documents.into_iter().next().filter(|node| !empty(node)))
}

/// `a,b:22`: names as they stand, each with its port.
fn host_list(inventory: &mut Inventory, source: &str) {
    for name in source.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let (name, port) = match ini::names(name) {
            Ok((names, port)) if !name.contains('[') || names.len() == 1 => {
                (names.into_iter().next().unwrap_or_default(), port)
            }
            _ => (name.to_owned(), None),
        };
        add(inventory, &name, port);
    }
}

/// `a[1:3],b`: ranges too.
fn advanced_host_list(inventory: &mut Inventory, source: &str) -> Result<(), String> {
    for name in source.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match ini::names(name) {
            Ok((names, port)) => names.iter().for_each(|name| add(inventory, name, port)),
            Err(what) if what.contains("must specify end value") => {
                inventory.note(format!(
                    "Unable to parse address from hostname, leaving unchanged: {what}"
                ));
                add(inventory, name, None);
            }
            Err(what) => return Err(format!("Invalid data from string, could not parse: {what}")),
        }
    }
    Ok(())
}

fn add(inventory: &mut Inventory, name: &str, port: Option<i64>) {
    if inventory.contains(name) {
        return;
    }
    inventory.add_host(name, Some("ungrouped"));
    if let Some(port) = port {
        inventory.set_host_var(name, "ansible_port", Value::Int(port));
    }
}
