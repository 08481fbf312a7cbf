//! TOML inventories: `[group.hosts]`, `[group.vars]`, `group.children = […]`.

use super::{Inventory, ini};
use crate::fault::LoadFault;
use crate::value::{Dict, Key, Moment, Value};
use toml::Value as Toml;

pub(super) fn read(
    inventory: &mut Inventory,
    file: &str,
    text: &str,
) -> Result<(), Vec<LoadFault>> {
    let bare = |what: String| vec![LoadFault::bare(what)];
    let root: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        bare(format!("TOML file '{file}' is invalid. {error}"))
    })?;
    if root.is_empty() {
        return Err(bare("Parsed empty TOML file".to_owned()));
    }
    if root.contains_key("plugin") {
        return Err(bare("Plugin configuration TOML file, not TOML inventory".to_owned()));
    }
    for (name, body) in &root {
        group(inventory, name, body).map_err(bare)?;
    }
    Ok(())
}

fn group(inventory: &mut Inventory, name: &str, body: &Toml) -> Result<(), String> {
    let Some(entries) = body.as_table() else {
        inventory.warn(format!("Skipping '{name}' as this is not a valid group definition"));
        return Ok(());
    };
    let name = inventory.add_group(name);
    let wrong = |word: &str, kind: &str, found: &Toml| {
        format!(
            "Invalid \"{word}\" entry for \"{name}\" group, requires a {kind}, found \"{}\" instead.",
            found.type_str()
        )
    };
    for (key, data) in entries {
        match key.as_str() {
            "vars" => {
                let vars = data.as_table().ok_or_else(|| wrong("vars", "dict", data))?;
                inventory.groups[&name].vars.extend(dict(vars));
            }
            "children" => {
                let children = data.as_array().ok_or_else(|| wrong("children", "list", data))?;
                for child in children.iter().filter_map(Toml::as_str) {
                    let child = inventory.add_group(child);
                    inventory.add_child(&name, &child)?;
                }
            }
            "hosts" => {
                let hosts = data.as_table().ok_or_else(|| wrong("hosts", "dict", data))?;
                for (pattern, vars) in hosts {
                    let (names, port) = ini::names(pattern)?;
                    for host in names {
                        inventory.add_host(&host, Some(&name));
                        if let Some(port) = port {
                            inventory.set_host_var(&host, "ansible_port", Value::Int(port));
                        }
                        let vars = vars.as_table().map(dict).unwrap_or_default();
                        inventory.hosts[&host].vars.extend(vars);
                    }
                }
            }
            other => inventory.warn(format!(
                "Skipping unexpected key \"{other}\" in group \"{name}\", only \"vars\", \"children\" and \"hosts\" are valid"
            )),
        }
    }
    Ok(())
}

fn dict(entries: &toml::Table) -> Dict {
    entries.iter().map(|(key, value)| (Key::str(key), value_of(value))).collect()
}

fn value_of(toml: &Toml) -> Value {
    match toml {
        Toml::String(text) => Value::trusted(text, None),
        Toml::Integer(number) => Value::Int(*number),
        Toml::Float(number) => Value::Float(*number),
        Toml::Boolean(truth) => Value::Bool(*truth),
        Toml::Datetime(moment) => {
            let (text, kind) = (
                moment.to_string(),
                match (moment.date, moment.time) {
                    (Some(_), None) => "date",
                    (None, _) => "time",
                    _ => "datetime",
                },
            );
            Moment::parse_iso(kind, &text).map_or_else(|| Value::from(text), Moment::into_value)
        }
        Toml::Array(items) => Value::list(items.iter().map(value_of).collect()),
        Toml::Table(entries) => Value::dict(dict(entries)),
    }
}
