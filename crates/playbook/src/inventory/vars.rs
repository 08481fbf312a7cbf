//! `group_vars` and `host_vars`, and what all sources together say of a host.

use super::Inventory;
use crate::fault::LoadFault;
use crate::value::{Dict, Value};
use crate::vault::Vault;
use crate::yaml::Origin;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// The `group_vars` and `host_vars` of one directory.
#[derive(Clone, Debug, Default)]
pub struct VarsDir {
    path: PathBuf,
    groups: HashMap<String, Dict>,
    hosts: HashMap<String, Dict>,
    /// Every file that was read.
    pub files: BTreeSet<PathBuf>,
    /// What no password opens. It matters to the hosts that it is about alone.
    sealed: Vec<Sealed>,
    merge: bool,
}

/// A file of variables that no password opens.
#[derive(Clone, Debug)]
struct Sealed {
    host: bool,
    name: String,
    fault: LoadFault,
}

impl VarsDir {
    /// Reads what lies in `directory/group_vars` and `directory/host_vars`; `merge` brings the dicts
    /// of several files of one name together.
    ///
    /// What cannot be decrypted is left out until somebody needs it: [`Inventory::sealed_for`].
    ///
    /// # Errors
    /// With everything in them that cannot be read.
    pub fn read(directory: &Path, vault: &Vault, merge: bool) -> Result<Self, Vec<LoadFault>> {
        let mut dir = Self { merge, path: directory.to_owned(), ..Self::default() };
        let mut faults = Vec::new();
        dir.groups = dir.named_files(&directory.join("group_vars"), vault, false, &mut faults);
        dir.hosts = dir.named_files(&directory.join("host_vars"), vault, true, &mut faults);
        if faults.is_empty() { Ok(dir) } else { Err(faults) }
    }

    /// Where its files say something of a name that means a group, or a host.
    fn places(&self, whom: &Whom<'_>, name: &str, vault: &Vault) -> Vec<Origin> {
        let (folder, whom) = match whom {
            Whom::Group(group) => ("group_vars", group),
            Whom::Host(host) => ("host_vars", host),
        };
        let folder = self.path.join(folder);
        let is_its = |file: &&PathBuf| {
            let first = file.strip_prefix(&folder).ok().and_then(|rest| rest.iter().next());
            first.and_then(|first| first.to_str()).is_some_and(|first| vars_name(first) == *whom)
        };
        let files = self.files.iter().filter(is_its);
        files.filter_map(|file| place_in(file, name, vault)).collect()
    }

    fn named_files(
        &mut self,
        directory: &Path,
        vault: &Vault,
        host: bool,
        faults: &mut Vec<LoadFault>,
    ) -> HashMap<String, Dict> {
        let mut found: HashMap<String, Dict> = HashMap::new();
        for (name, path) in by_name(directory) {
            match read_vars(&path, vault, &mut self.files, self.merge) {
                Ok(vars) => drop(found.insert(name, vars)),
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

/// The one entry for each name: of several the one that Ansible looks for first, which is the one
/// without an extension.
fn by_name(directory: &Path) -> BTreeMap<String, PathBuf> {
    let mut found: BTreeMap<String, (usize, PathBuf)> = BTreeMap::new();
    for path in sorted_entries(directory) {
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if file.starts_with('.') || file.ends_with('~') {
            continue;
        }
        let name = if path.is_dir() { file } else { vars_name(file) }.to_owned();
        let extension = file.get(name.len()..).unwrap_or_default();
        let rank = EXTENSIONS.iter().position(|one| *one == extension).unwrap_or_default();
        if found.get(&name).is_none_or(|(other, _)| rank < *other) {
            found.insert(name, (rank, path));
        }
    }
    found.into_iter().map(|(name, (_, path))| (name, path)).collect()
}

/// What a file of variables may be called behind its name, in the order of ansible-core 2.19's
/// `find_vars_files`.
const EXTENSIONS: &[&str] = &["", ".yml", ".yaml", ".json"];

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

/// The variables of a file, or of every file in a directory, a later one over those before it.
pub(crate) fn read_vars(
    path: &Path,
    vault: &Vault,
    files: &mut BTreeSet<PathBuf>,
    merge: bool,
) -> Result<Dict, Vec<LoadFault>> {
    if path.is_dir() {
        let mut all = Dict::new();
        let mut faults = Vec::new();
        for entry in sorted_entries(path) {
            let name = entry
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            let wanted = match entry.extension().and_then(|extension| extension.to_str()) {
                None => true,
                Some(extension) => !entry.is_dir() && matches!(extension, "yml" | "yaml" | "json"),
            };
            if name.starts_with('.') || name.ends_with('~') || !wanted {
                continue;
            }
            match read_vars(&entry, vault, files, merge) {
                Ok(vars) => crate::config::lay(&mut all, &vars, merge),
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
                match VarsDir::read(place, vault, self.merge) {
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
        self.together(own.into_iter().chain(dirs))
    }

    fn together<'d>(&self, all: impl Iterator<Item = &'d Dict>) -> Dict {
        all.fold(Dict::new(), |mut under, over| {
            crate::config::lay(&mut under, over, self.merge);
            under
        })
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
        self.together(own.into_iter().chain(dirs))
    }

    /// Everything said of a host, the strongest last and so on top.
    ///
    /// Groups come in the order that `ansible.cfg` asks for, from far to near; then the host's own.
    pub fn host_vars(&self, host: &str, beside: &[VarsDir], playbook: Option<&VarsDir>) -> Dict {
        let mut all = Dict::new();
        self.each_layer(host, beside, playbook, |_, _, vars| {
            crate::config::lay(&mut all, vars, self.merge);
        });
        all.shift_remove("ansible_group_priority");
        all
    }

    /// Where something is said of a variable of a host, the strongest first.
    pub(crate) fn places_of(
        &self,
        (host, name): (&str, &str),
        beside: &[VarsDir],
        playbook: Option<&VarsDir>,
        vault: &Vault,
    ) -> Vec<String> {
        let mut places = Vec::new();
        self.each_layer(host, beside, playbook, |whom, dir, vars| {
            if vars.contains_key(name) {
                let files = dir.map(|dir| dir.places(&whom, name, vault)).unwrap_or_default();
                match files.last() {
                    Some(place) => places.push(place.full()),
                    None => places.push(match whom {
                        Whom::Group(group) => format!("group `{group}` of the inventory"),
                        Whom::Host(host) => format!("host `{host}` of the inventory"),
                    }),
                }
            }
        });
        places.reverse();
        places
    }

    /// Everything said of a host, the strongest last.
    fn each_layer(
        &self,
        host: &str,
        beside: &[VarsDir],
        playbook: Option<&VarsDir>,
        mut each: impl FnMut(Whom<'_>, Option<&VarsDir>, &Dict),
    ) {
        let mut lay = |whom: Whom<'_>, dir: Option<&VarsDir>, vars: Option<&Dict>| {
            if let Some(vars) = vars {
                each(whom, dir, vars);
            }
        };
        let listed = |group: &str| self.groups.get(group).map(|group| &group.vars);
        let groups = self.groups_by_strength(host);
        for place in &self.precedence {
            match place.as_str() {
                "all_inventory" => lay(Whom::Group("all"), None, listed("all")),
                "all_plugins_inventory" => {
                    for dir in beside {
                        lay(Whom::Group("all"), Some(dir), dir.groups.get("all"));
                    }
                }
                "all_plugins_play" => {
                    let vars = playbook.and_then(|dir| dir.groups.get("all"));
                    lay(Whom::Group("all"), playbook, vars);
                }
                "groups_inventory" => {
                    for name in &groups {
                        lay(Whom::Group(name), None, listed(name));
                    }
                }
                "groups_plugins_inventory" => {
                    for (dir, name) in
                        beside.iter().flat_map(|dir| groups.iter().map(move |name| (dir, name)))
                    {
                        lay(Whom::Group(name), Some(dir), dir.groups.get(name));
                    }
                }
                "groups_plugins_play" => {
                    for name in &groups {
                        let vars = playbook.and_then(|dir| dir.groups.get(name));
                        lay(Whom::Group(name), playbook, vars);
                    }
                }
                "plugins_by_groups" => {
                    for name in &groups {
                        for dir in beside {
                            lay(Whom::Group(name), Some(dir), dir.groups.get(name));
                        }
                        let vars = playbook.and_then(|dir| dir.groups.get(name));
                        lay(Whom::Group(name), playbook, vars);
                    }
                }
                _ => {}
            }
        }
        lay(Whom::Host(host), None, self.hosts.get(host).map(|host| &host.vars));
        for dir in beside.iter().chain(playbook) {
            lay(Whom::Host(host), Some(dir), dir.hosts.get(host));
        }
    }
}

/// Whom a layer of variables is about.
#[derive(Clone, Copy)]
enum Whom<'w> {
    Group(&'w str),
    Host(&'w str),
}

/// Where a file of variables says something of one of them.
pub(crate) fn place_in(file: &Path, name: &str, vault: &Vault) -> Option<Origin> {
    let text = vault.read_text(file).ok()?;
    let parsed = crate::yaml::parse(&file.display().to_string(), &text).ok()?;
    let entries = parsed.documents.first()?.as_map()?;
    let found = entries.iter().find(|(key, _)| key.as_str() == Some(name));
    found.map(|(key, _)| key.at.clone())
}

/// The same for `main` of a role's folder, which is a file or a folder of files.
pub(crate) fn place_in_folder(folder: &Path, name: &str, vault: &Vault) -> Option<Origin> {
    let inside = sorted_entries(&folder.join("main"));
    let files = ["main.yml", "main.yaml", "main.json"].map(|file| folder.join(file));
    inside.iter().rev().chain(&files).find_map(|file| place_in(file, name, vault))
}
