//! Programs that answer `--list`, and `--host` where they have no `_meta`.
//!
//! The person chose to run them, so their answers are theirs: text with `{{` is a template, as it
//! is in every other inventory, unless it is marked as unsafe.

use super::{Inventory, Scripts};
use crate::value::{Dict, Key, Value};
use serde_json::Value as Json;
use std::path::Path;

pub(super) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

pub(super) fn read(
    inventory: &mut Inventory,
    path: &Path,
    scripts: Option<&dyn Scripts>,
) -> Result<(), String> {
    let name = path.display();
    let scripts = scripts
        .ok_or_else(|| format!("inventory `{name}` is a script, and nothing here may run it"))?;
    let said = scripts.run(path, &["--list"])?;
    let said: Json = serde_json::from_str(&said)
        .map_err(|error| format!("Inventory script result could not be parsed as JSON. {error}"))?;
    let Some(entries) = said.as_object() else {
        return Err("Value is not a dict.".to_owned());
    };
    let meta = match entries.get("_meta") {
        None => None,
        Some(meta) => match meta.get("hostvars") {
            Some(Json::Object(vars)) => Some(vars),
            _ => {
                return Err("Value contains '_meta.hostvars' which is not a 'dict'.".to_owned());
            }
        },
    };
    let mut hosts: Vec<String> = Vec::new();
    for (group, body) in entries.iter().filter(|(name, _)| *name != "_meta") {
        group_of(inventory, group, body, &mut hosts)?;
    }
    for host in hosts {
        let vars = match meta {
            Some(meta) => meta.get(&host).cloned(),
            None => {
                let said = scripts.run(path, &["--host", &host])?;
                let read = |text: &str| serde_json::from_str::<Json>(text);
                match said.trim().is_empty() {
                    true => None,
                    false => Some(read(&said).map_err(|error| {
                        format!(
                            "Inventory script result for host '{host}' could not be parsed as JSON. {error}"
                        )
                    })?),
                }
            }
        };
        if let Some(vars) = vars.as_ref().and_then(Json::as_object) {
            inventory.hosts[&host].vars.extend(dict(vars));
        }
    }
    Ok(())
}

fn group_of(
    inventory: &mut Inventory,
    name: &str,
    body: &Json,
    hosts: &mut Vec<String>,
) -> Result<(), String> {
    let group = inventory.add_group(name);
    let mut add = |inventory: &mut Inventory, host: &str| {
        inventory.add_host(host, Some(&group));
        if !hosts.iter().any(|known| known == host) {
            hosts.push(host.to_owned());
        }
    };
    let entries = match body {
        Json::Object(entries) => entries,
        Json::Array(names) => {
            names.iter().filter_map(Json::as_str).for_each(|host| add(inventory, host));
            return Ok(());
        }
        _ => return Err(format!("Value contains '{group}.hosts' which is not a 'list'.")),
    };
    if !["hosts", "vars", "children"].iter().any(|word| entries.contains_key(*word)) {
        inventory.warn(format!(
            "Treating malformed group '{group}' as the sole host of that group. Variables provided in this manner cannot be templated."
        ));
        add(inventory, name);
        let vars = Value::from(entries.clone());
        inventory.groups[&group].vars.extend(vars.as_dict().cloned().unwrap_or_default());
        return Ok(());
    }
    match entries.get("hosts") {
        None => {}
        Some(Json::Array(names)) => {
            names.iter().filter_map(Json::as_str).for_each(|host| add(inventory, host));
        }
        Some(_) => {
            return Err(format!("Value contains '{group}.hosts' which is not a 'list'."));
        }
    }
    match entries.get("vars") {
        None => {}
        Some(Json::Object(vars)) => inventory.groups[&group].vars.extend(dict(vars)),
        Some(_) => return Err(format!("Value contains '{group}.vars' which is not a 'dict'.")),
    }
    for child in entries.get("children").and_then(Json::as_array).into_iter().flatten() {
        if let Some(child) = child.as_str() {
            let child = inventory.add_group(child);
            inventory.add_child(&group, &child)?;
        }
    }
    Ok(())
}

fn dict(entries: &serde_json::Map<String, Json>) -> Dict {
    entries.iter().map(|(key, value)| (Key::str(key), trusted(value))).collect()
}

/// The value, with templates in it unless it is marked as unsafe.
fn trusted(json: &Json) -> Value {
    match json {
        Json::String(text) => Value::trusted(text, None),
        Json::Array(items) => Value::list(items.iter().map(trusted).collect()),
        Json::Object(entries) => {
            let only = |name: &str| entries.get(name).filter(|_| entries.len() == 1);
            if let Some(Json::String(text)) = only("__ansible_unsafe") {
                return Value::str(text);
            }
            if let Some(Json::String(text)) = only("__ansible_vault") {
                return Value::vaulted(text, None);
            }
            Value::dict(dict(entries))
        }
        other => Value::from(other.clone()),
    }
}
