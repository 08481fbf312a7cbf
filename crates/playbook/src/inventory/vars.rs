//! `group_vars` and `host_vars`, and what all sources together say of a host.

use super::Inventory;
use crate::fault::LoadFault;
use crate::value::{Dict, Value};
use crate::vault::Vault;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// The `group_vars` and `host_vars` of one directory.
#[derive(Clone, Debug, Default)]
pub struct VarsDir {
    groups: HashMap<String, Dict>,
    hosts: HashMap<String, Dict>,
    /// Every file that was read.
    pub files: BTreeSet<PathBuf>,
    /// What no password opens. It matters to the hosts that it is about alone.
    sealed: Vec<Sealed>,
}

/// A file of variables that no password opens.
#[derive(Clone, Debug)]
struct Sealed {
    host: bool,
    name: String,
    fault: LoadFault,
}

impl VarsDir {
    /// Reads what lies in `directory/group_vars` and `directory/host_vars`.
    ///
    /// What cannot be decrypted is left out until somebody needs it: [`Inventory::sealed_for`].
    ///
    /// # Errors
    /// With everything in them that cannot be read.
    pub fn read(directory: &Path, vault: &Vault) -> Result<Self, Vec<LoadFault>> {
        let mut dir = Self::default();
        let mut faults = Vec::new();
        dir.groups = dir.named_files(&directory.join("group_vars"), vault, false, &mut faults);
        dir.hosts = dir.named_files(&directory.join("host_vars"), vault, true, &mut faults);
        if faults.is_empty() { Ok(dir) } else { Err(faults) }
    }

    fn named_files(
        &mut self,
        directory: &Path,
        vault: &Vault,
        host: bool,
        faults: &mut Vec<LoadFault>,
    ) -> HashMap<String, Dict> {
        let mut found: HashMap<String, Dict> = HashMap::new();
        for path in sorted_entries(directory) {
            let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if file.starts_with('.') || file.ends_with('~') {
                continue;
            }
            let name = if path.is_dir() { file } else { vars_name(file) }.to_owned();
            match read_vars(&path, vault, &mut self.files) {
                Ok(vars) => found.entry(name).or_default().extend(vars),
                Err(more) => {
                    let (sealed, other) = more.into_iter().partition(LoadFault::is_sealed);
                    let sealed: Vec<LoadFault> = sealed;
                    faults.extend::<Vec<_>>(other);
                    self.sealed.extend(sealed.into_iter().map(|fault| Sealed {
                        host,
                        name: name.clone(),
                        fault,
                    }));
                }
            }
        }
        found
    }
}

/// The name a variables file is for: `web` of `web`, `web.yml`, `web.yaml` and `web.json`.
fn vars_name(file: &str) -> &str {
    match file.rsplit_once('.') {
        Some((name, "yml" | "yaml" | "json")) => name,
        // Names of hosts hold dots, so a file without one of the three is a name as a whole.
        _ => file,
    }
}

pub(crate) fn sorted_entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The variables of a file, or of every file in a directory.
pub(crate) fn read_vars(
    path: &Path,
    vault: &Vault,
    files: &mut BTreeSet<PathBuf>,
) -> Result<Dict, Vec<LoadFault>> {
    if path.is_dir() {
        let mut all = Dict::new();
        let mut faults = Vec::new();
        for entry in sorted_entries(path) {
            let name = entry
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            let wanted = entry.is_dir()
                || matches!(
                    entry.extension().and_then(|e| e.to_str()),
                    Some("yml" | "yaml" | "json") | None
                );
            if name.starts_with('.') || name.ends_with('~') || !wanted {
                continue;
            }
            match read_vars(&entry, vault, files) {
                Ok(vars) => all.extend(vars),
                Err(more) => faults.extend(more),
            }
        }
        return if faults.is_empty() { Ok(all) } else { Err(faults) };
    }
    let name = path.display().to_string();
    let text = vault.read_text(path).map_err(|what| vec![LoadFault::bare(what)])?;
    files.insert(path.to_path_buf());
    let parsed = crate::yaml::parse(&name, &text).map_err(|fault| vec![fault])?;
    let Some(node) = parsed.documents.first() else { return Ok(Dict::new()) };
    if node.is_null() {
        return Ok(Dict::new());
    }
    let value = node.to_value();
    // A list of dicts counts as all of them, one after the other.
    let parts = value.as_list().unwrap_or(std::slice::from_ref(&value));
    match parts.iter().map(Value::as_dict).collect::<Option<Vec<_>>>() {
        Some(parts) => Ok(parts.into_iter().flat_map(Clone::clone).collect()),
        None => Err(vec![LoadFault::at(
            node.at.clone(),
            format!("a file of variables holds a dict, this one holds {}", node.kind_name()),
        )]),
    }
}

impl Inventory {
    /// The directories beside sources that may hold `group_vars` and `host_vars`.
    pub(crate) fn read_beside(&self, vault: &Vault) -> Result<Vec<VarsDir>, Vec<LoadFault>> {
        let mut dirs = Vec::new();
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for place in &self.beside {
            if seen.insert(place) {
                match VarsDir::read(place, vault) {
                    Ok(dir) => dirs.push(dir),
                    Err(more) => faults.extend(more),
                }
            }
        }
        if faults.is_empty() { Ok(dirs) } else { Err(faults) }
    }

    /// What no password opens of the variables of these hosts, each thing once.
    pub(crate) fn sealed_for<'h>(
        &self,
        hosts: impl IntoIterator<Item = &'h str>,
        dirs: &[&VarsDir],
    ) -> Vec<LoadFault> {
        let sealed = || dirs.iter().flat_map(|dir| &dir.sealed);
        if sealed().next().is_none() {
            return Vec::new();
        }
        let (mut names, mut groups) = (BTreeSet::new(), BTreeSet::from(["all".to_owned()]));
        for host in hosts {
            groups.extend(self.groups_of(host));
            names.insert(host);
        }
        let mut faults = Vec::new();
        for Sealed { host, name, fault } in sealed() {
            let needed = if *host { names.contains(name.as_str()) } else { groups.contains(name) };
            if needed && !faults.contains(fault) {
                faults.push(fault.clone());
            }
        }
        faults
    }

    /// What is said of a host itself.
    pub(super) fn own_vars(
        &self,
        host: &str,
        beside: &[VarsDir],
        playbook: Option<&VarsDir>,
    ) -> Dict {
        let own = self.hosts.get(host).map(|host| &host.vars);
        let dirs = beside.iter().chain(playbook).filter_map(|dir| dir.hosts.get(host));
        own.into_iter().chain(dirs).flat_map(Clone::clone).collect()
    }

    /// What is said of a group itself.
    pub(super) fn vars_of_group(
        &self,
        group: &str,
        beside: &[VarsDir],
        playbook: Option<&VarsDir>,
    ) -> Dict {
        let own = self.groups.get(group).map(|group| &group.vars);
        let dirs = beside.iter().chain(playbook).filter_map(|dir| dir.groups.get(group));
        own.into_iter().chain(dirs).flat_map(Clone::clone).collect()
    }

    /// Everything said of a host, the strongest last and so on top.
    ///
    /// Groups come in the order that `ansible.cfg` asks for, from far to near; then the host's own.
    pub fn host_vars(&self, host: &str, beside: &[VarsDir], playbook: Option<&VarsDir>) -> Dict {
        let mut all = Dict::new();
        let mut lay = |vars: Option<&Dict>| {
            if let Some(vars) = vars {
                crate::config::lay(&mut all, vars, self.merge);
            }
        };
        let groups = self.groups_by_strength(host);
        for place in &self.precedence {
            match place.as_str() {
                "all_inventory" => lay(self.groups.get("all").map(|group| &group.vars)),
                "all_plugins_inventory" => {
                    beside.iter().for_each(|dir| lay(dir.groups.get("all")));
                }
                "all_plugins_play" => lay(playbook.and_then(|dir| dir.groups.get("all"))),
                "groups_inventory" => {
                    groups.iter().for_each(|name| lay(self.groups.get(name).map(|g| &g.vars)));
                }
                "groups_plugins_inventory" => {
                    for dir in beside {
                        groups.iter().for_each(|name| lay(dir.groups.get(name)));
                    }
                }
                "groups_plugins_play" => {
                    groups.iter().for_each(|name| lay(playbook.and_then(|d| d.groups.get(name))));
                }
                "plugins_by_groups" => {
                    for name in &groups {
                        beside.iter().for_each(|dir| lay(dir.groups.get(name)));
                        lay(playbook.and_then(|dir| dir.groups.get(name)));
                    }
                }
                _ => {}
            }
        }
        lay(self.hosts.get(host).map(|host| &host.vars));
        beside.iter().for_each(|dir| lay(dir.hosts.get(host)));
        lay(playbook.and_then(|dir| dir.hosts.get(host)));
        all.shift_remove("ansible_group_priority");
        all
    }
}
