//! Which reader a source wants.

use super::{Inventory, ini};
use crate::fault::{Faults, LoadFault};
use crate::value::{Dict, Value};
use crate::yaml::{Kind, Node};
use std::path::Path;

/// Runs inventory scripts. Whoever may start processes implements it.
pub trait Scripts: Send + Sync {
    /// Standard output of `script` with `args`.
    ///
    /// # Errors
    /// With one sentence on why it failed.
    fn run(&self, script: &Path, args: &[&str]) -> Result<String, String>;
}

/// Files in an inventory directory that are none.
const SKIPPED: &[&str] = &[
    ".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry",
];

pub(crate) fn load(sources: &[String], scripts: Option<&dyn Scripts>) -> Result<Inventory, Faults> {
    let mut inventory = Inventory::default();
    let mut faults = Vec::new();
    for source in sources {
        if source.contains(',') {
            for name in source.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                match ini::names(name) {
                    Ok((names, port)) => {
                        for name in names {
                            inventory.add_host(&name, Some("ungrouped"));
                            if let Some(port) = port {
                                inventory.set_host_var(&name, "ansible_port", Value::Int(port));
                            }
                        }
                    }
                    Err(what) => faults.push(LoadFault::bare(what)),
                }
            }
            continue;
        }
        let path = Path::new(source);
        if !path.exists() {
            faults.push(LoadFault::bare(format!("inventory `{source}` was not found")));
            continue;
        }
        let place = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
        inventory.beside.push(place.to_path_buf());
        inventory.sources.push(path.to_path_buf());
        if let Err(more) = any(&mut inventory, path, scripts) {
            faults.extend(more);
        }
    }
    inventory.settle();
    Faults::check(faults)?;
    Ok(inventory)
}

fn any(
    inventory: &mut Inventory,
    path: &Path,
    scripts: Option<&dyn Scripts>,
) -> Result<(), Vec<LoadFault>> {
    if path.is_dir() { directory(inventory, path, scripts) } else { file(inventory, path, scripts) }
}

fn directory(
    inventory: &mut Inventory,
    path: &Path,
    scripts: Option<&dyn Scripts>,
) -> Result<(), Vec<LoadFault>> {
    let name = path.display();
    let entries = std::fs::read_dir(path).map_err(|error| {
        vec![LoadFault::bare(format!("cannot read inventory directory `{name}`: {error}"))]
    })?;
    let mut names: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect();
    names.sort();
    let mut faults = Vec::new();
    for name in names {
        let text = name.to_string_lossy();
        let skipped = text.starts_with('.')
            || matches!(&*text, "group_vars" | "host_vars")
            || SKIPPED.iter().any(|end| text.ends_with(end));
        if !skipped && let Err(more) = any(inventory, &path.join(&name), scripts) {
            faults.extend(more);
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn file(
    inventory: &mut Inventory,
    path: &Path,
    scripts: Option<&dyn Scripts>,
) -> Result<(), Vec<LoadFault>> {
    let name = path.display().to_string();
    if is_executable(path) {
        return script(inventory, path, scripts).map_err(|what| vec![LoadFault::bare(what)]);
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![LoadFault::bare(format!("cannot read inventory `{name}`: {error}"))]
    })?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let certain = matches!(extension, "yml" | "yaml" | "json");
    if certain || extension.is_empty() {
        match crate::yaml::parse(&name, &text) {
            Ok(parsed) => match parsed.documents.first() {
                Some(node) if node.as_map().is_some() => return yaml(inventory, node),
                Some(node) if certain && !node.is_null() => {
                    return Err(vec![LoadFault::at(
                        node.at.clone(),
                        "an inventory is a dict of groups",
                    )]);
                }
                _ if certain => return Ok(()),
                _ => {}
            },
            Err(fault) if certain => return Err(vec![fault]),
            Err(_) => {}
        }
    }
    ini::read(inventory, &name, &text)
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let data = matches!(
        path.extension().and_then(|extension| extension.to_str()),
        Some("yml" | "yaml" | "json" | "ini")
    );
    !data
        && std::fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// `group: {hosts: {name: vars}, vars: {…}, children: {…}}`
fn yaml(inventory: &mut Inventory, root: &Node) -> Result<(), Vec<LoadFault>> {
    let mut faults = Vec::new();
    for (key, body) in root.as_map().unwrap_or_default() {
        match key.scalar_text() {
            Some(name) => group(inventory, &name, body, 0, &mut faults),
            None => faults.push(LoadFault::at(key.at.clone(), "a group needs a name")),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn group(
    inventory: &mut Inventory,
    name: &str,
    body: &Node,
    depth: usize,
    faults: &mut Vec<LoadFault>,
) {
    inventory.add_group(name);
    if body.is_null() {
        return;
    }
    let Some(entries) = body.as_map() else {
        faults.push(LoadFault::at(
            body.at.clone(),
            format!("group `{name}` is {}, not a dict", body.kind_name()),
        ));
        return;
    };
    if depth > 50 {
        faults.push(LoadFault::at(body.at.clone(), "groups are nested too deep"));
        return;
    }
    for (key, value) in entries {
        match key.as_str() {
            Some("vars") => {
                if let Some(vars) = value.to_value().as_dict() {
                    inventory.groups[name].vars.extend(vars.clone());
                } else if !value.is_null() {
                    faults.push(LoadFault::at(value.at.clone(), "`vars` is a dict"));
                }
            }
            Some("children") => {
                for (child, body) in named(value) {
                    group(inventory, &child, &body, depth + 1, faults);
                    if child == name || inventory.group_within(name, &child) {
                        faults.push(LoadFault::at(
                            key.at.clone(),
                            format!("group `{name}` would hold itself through `{child}`"),
                        ));
                    } else {
                        inventory.groups[name].children.insert(child);
                    }
                }
            }
            Some("hosts") => {
                for (host, body) in named(value) {
                    let names = match ini::names(&host) {
                        Ok((names, _)) => names,
                        Err(what) => {
                            faults.push(LoadFault::at(body.at.clone(), what));
                            continue;
                        }
                    };
                    let vars = body.to_value();
                    for host in names {
                        inventory.add_host(&host, Some(name));
                        if let Some(vars) = vars.as_dict() {
                            inventory.hosts[&host].vars.extend(vars.clone());
                        }
                    }
                }
            }
            other => faults.push(LoadFault::at(
                key.at.clone(),
                format!(
                    "a group has `hosts`, `children` and `vars`, not `{}`",
                    other.unwrap_or("something without a name")
                ),
            )),
        }
    }
}

/// A dict of names, a list of names, or one name.
fn named(node: &Node) -> Vec<(String, Node)> {
    let empty = |at: &Node| Node { at: at.at.clone(), kind: Kind::Scalar(Value::None) };
    match &node.kind {
        Kind::Map(entries) => entries
            .iter()
            .filter_map(|(key, body)| Some((key.scalar_text()?, body.clone())))
            .collect(),
        Kind::Seq(items) => {
            items.iter().filter_map(|item| Some((item.scalar_text()?, empty(item)))).collect()
        }
        Kind::Scalar(_) => node.scalar_text().map(|name| (name, empty(node))).into_iter().collect(),
    }
}

/// What a script says to `--list`, and to `--host` where it has no `_meta`.
fn script(
    inventory: &mut Inventory,
    path: &Path,
    scripts: Option<&dyn Scripts>,
) -> Result<(), String> {
    let name = path.display();
    let Some(scripts) = scripts else {
        return Err(format!("inventory `{name}` is a script, and nothing here may run it"));
    };
    // A bare name would be looked for in PATH.
    let path =
        if path.components().count() == 1 { Path::new(".").join(path) } else { path.to_path_buf() };
    let said = scripts.run(&path, &["--list"])?;
    let said: serde_json::Value = serde_json::from_str(&said)
        .map_err(|error| format!("inventory `{name}` did not answer in JSON: {error}"))?;
    let said = Value::from(said);
    let Some(entries) = said.as_dict() else {
        return Err(format!("inventory `{name}` answered something other than an object"));
    };
    let meta = entries.get("_meta").and_then(|meta| meta.get("hostvars")).cloned();
    for (group, body) in entries {
        let Some(group) = group.as_str().filter(|group| *group != "_meta") else { continue };
        inventory.add_group(group);
        let texts = |value: Option<&Value>| -> Vec<String> {
            value.and_then(Value::as_list).unwrap_or_default().iter().map(Value::to_text).collect()
        };
        let hosts =
            if body.as_list().is_some() { texts(Some(body)) } else { texts(body.get("hosts")) };
        for host in hosts {
            inventory.add_host(&host, Some(group));
        }
        if let Some(vars) = body.get("vars").and_then(Value::as_dict) {
            inventory.groups[group].vars.extend(vars.clone());
        }
        for child in texts(body.get("children")) {
            inventory.add_group(&child);
            if child != group && !inventory.group_within(group, &child) {
                inventory.groups[group].children.insert(child);
            }
        }
    }
    let mut give = |host: &str, vars: &Dict| inventory.hosts[host].vars.extend(vars.clone());
    match meta {
        Some(meta) => {
            for (host, vars) in meta.as_dict().cloned().unwrap_or_default() {
                let host = host.to_json_key();
                if inventory.hosts.contains_key(&host)
                    && let Some(vars) = vars.as_dict()
                {
                    inventory.hosts[&host].vars.extend(vars.clone());
                }
            }
        }
        None => {
            let hosts: Vec<String> = texts_of_hosts(entries);
            for host in hosts {
                let said = scripts.run(&path, &["--host", &host])?;
                if said.trim().is_empty() {
                    continue;
                }
                let vars: serde_json::Value = serde_json::from_str(&said).map_err(|error| {
                    format!("inventory `{name}` did not answer in JSON: {error}")
                })?;
                if let Some(vars) = Value::from(vars).as_dict() {
                    give(&host, vars);
                }
            }
        }
    }
    Ok(())
}

fn texts_of_hosts(entries: &Dict) -> Vec<String> {
    let mut names = Vec::new();
    for body in entries.values() {
        let hosts = body
            .as_list()
            .or_else(|| body.get("hosts").and_then(Value::as_list))
            .unwrap_or_default();
        for host in hosts {
            let host = host.to_text();
            if !names.contains(&host) {
                names.push(host);
            }
        }
    }
    names
}
