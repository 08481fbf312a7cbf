//! Programs that answer `--list`, and `--host` where they have no `_meta`.
//!
//! The person chose to run them, so their answers are theirs: text with `{{` is a template, as it
//! is in every other inventory, unless it is marked as unsafe.

use super::{Inventory, Reading};
use crate::template::plain;
use crate::value::{Dict, Key, Marked, Value};
use serde_json::{Map, Value as Json};
use std::path::Path;

/// What an inventory script wrote.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Its answer.
    pub stdout: String,
    /// What it says to the person.
    pub stderr: String,
}

/// A text is about variables, or about anything that an inventory holds.
const PROFILE: &str = "inventory_legacy";

pub(super) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

pub(super) fn read(
    inventory: &mut Inventory,
    path: &Path,
    reading: &Reading<'_>,
) -> Result<(), String> {
    let name = path.display();
    let scripts = reading
        .scripts
        .ok_or_else(|| format!("inventory `{name}` is a script, and nothing here may run it"))?;
    let said = scripts.run(path, &["--list"])?;
    let entries = list(&said.stdout).map_err(|what| explained(&what, &said))?;
    if *reading.world.config.script_stderr && !said.stderr.trim().is_empty() {
        inventory.warn(said.stderr.trim_end());
    }
    let mut hosts: Vec<String> = Vec::new();
    let mut meta = None;
    for (group, body) in &entries {
        if group != "_meta" {
            group_of(inventory, group, body, &mut hosts)?;
            continue;
        }
        meta = Some(match body.get("hostvars") {
            Some(Json::Object(vars)) => vars,
            other => return Err(wrong("_meta.hostvars", other, "dict")),
        });
    }
    for host in hosts {
        let vars = match meta {
            Some(meta) => meta.get(&host).cloned(),
            None => {
                let said = scripts.run(path, &["--host", &host])?;
                of_host(&said.stdout).map_err(|error| {
                    let what = format!(
                        "Inventory script result for host '{host}' could not be parsed as JSON. {error}"
                    );
                    explained(&what, &said)
                })?
            }
        };
        match vars {
            None => {}
            Some(Json::Object(vars)) => inventory.hosts[&host].vars.extend(dict(&vars)?),
            Some(other) => {
                return Err(format!(
                    "Invalid data from file, expected dictionary and got:\n\n{other}"
                ));
            }
        }
    }
    Ok(())
}

/// What went wrong, with what the script said of it.
fn explained(what: &str, said: &Said) -> String {
    match said.stderr.trim() {
        "" => what.to_owned(),
        told => format!("{what} Standard error from inventory script: {told}"),
    }
}

/// The answer to `--list`.
fn list(said: &str) -> Result<Map<String, Json>, String> {
    let no_decoder =
        |why: String| format!("Unable to get JSON decoder for inventory script result. {why}");
    let parsed = serde_json::from_str(said)
        .map_err(|error| no_decoder(format!("Value could not be parsed as JSON. {error}")))?;
    let Json::Object(entries) = parsed else {
        return Err(no_decoder(format!("Value is '{}' instead of 'dict'.", kind(&parsed))));
    };
    match entries.get("_meta") {
        None => {}
        Some(Json::Object(meta)) => match meta.get("profile") {
            None => {}
            Some(Json::String(profile)) if profile == PROFILE => {}
            Some(Json::String(profile)) if profile.starts_with("inventory_") => {
                return Err(no_decoder(format!("Unknown profile name '{profile}'.")));
            }
            Some(Json::String(profile)) => {
                return Err(no_decoder(format!(
                    "Non-inventory profile '{profile}' is not allowed."
                )));
            }
            other => return Err(no_decoder(wrong("_meta.profile", other, "str"))),
        },
        other => return Err(no_decoder(wrong("_meta", other, "dict"))),
    }
    Ok(match Value::marked(&entries, None) {
        Marked::Wrongly(what) => {
            return Err(format!("Inventory script result could not be parsed as JSON. {what}"));
        }
        Marked::As(_) | Marked::Not => entries,
    })
}

/// The answer to `--host`, if there is one.
fn of_host(said: &str) -> serde_json::Result<Option<Json>> {
    match said.trim().is_empty() {
        true => Ok(None),
        false => serde_json::from_str(said).map(Some),
    }
}

/// Python's name of the type of what JSON holds.
fn kind(json: &Json) -> &'static str {
    Value::from(json.clone()).type_name()
}

fn wrong(place: &str, found: Option<&Json>, wanted: &str) -> String {
    let found = found.map_or("NoneType", kind);
    format!("Value contains '{place}' which is '{found}' instead of '{wanted}'.")
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
    let only_hosts = Map::from_iter([("hosts".to_owned(), body.clone())]);
    let entries = match body {
        Json::Object(entries) => entries,
        other => {
            let kind = kind(other);
            inventory.warn(format!("Group '{group}' was converted to 'dict' from '{kind}'."));
            &only_hosts
        }
    };
    if !["hosts", "vars", "children"].iter().any(|word| entries.contains_key(*word)) {
        inventory.warn(format!(
            "Treating malformed group '{group}' as the sole host of that group. Variables provided in this manner cannot be templated."
        ));
        add(inventory, name);
        let vars = plain(&Value::dict(dict(entries)?));
        inventory.groups[&group].vars.extend(vars.as_dict().cloned().unwrap_or_default());
        return Ok(());
    }
    match entries.get("hosts") {
        None => {}
        Some(Json::Array(names)) => {
            names.iter().filter_map(Json::as_str).for_each(|host| add(inventory, host));
        }
        other => return Err(wrong(&format!("{group}.hosts"), other, "list")),
    }
    match entries.get("vars") {
        None => {}
        Some(Json::Object(vars)) => inventory.groups[&group].vars.extend(dict(vars)?),
        other => return Err(wrong(&format!("{group}.vars"), other, "dict")),
    }
    for child in entries.get("children").and_then(Json::as_array).into_iter().flatten() {
        if let Some(child) = child.as_str() {
            let child = inventory.add_group(child);
            inventory.add_child(&group, &child)?;
        }
    }
    Ok(())
}

fn dict(entries: &Map<String, Json>) -> Result<Dict, String> {
    entries.iter().map(|(key, value)| Ok((Key::str(key), trusted(value)?))).collect()
}

/// The value, with templates in it unless it is marked as unsafe.
fn trusted(json: &Json) -> Result<Value, String> {
    Ok(match json {
        Json::String(text) => Value::trusted(text, None),
        Json::Array(items) => Value::list(items.iter().map(trusted).collect::<Result<_, _>>()?),
        Json::Object(entries) => match Value::marked(entries, None) {
            Marked::As(value) => value,
            Marked::Not => Value::dict(dict(entries)?),
            Marked::Wrongly(what) => {
                return Err(format!("Inventory script result could not be parsed as JSON. {what}"));
            }
        },
        other => Value::from(other.clone()),
    })
}
