//! YAML inventories: `group: {hosts: {name: vars}, vars: {…}, children: {…}}`.

use super::{Inventory, ini};
use crate::fault::LoadFault;
use crate::value::{Dict, Value};
use crate::yaml::{Kind, Node};

/// Groups nested deeper are refused; nobody writes them.
const DEPTH: usize = 50;

pub(super) fn read(inventory: &mut Inventory, root: &Node) -> Result<(), Vec<LoadFault>> {
    let mut faults = Vec::new();
    for (key, body) in root.as_map().unwrap_or_default() {
        match key.as_str() {
            Some(name) => drop(group(inventory, name, body, 0, &mut faults)),
            None => faults.push(LoadFault::at(
                key.at.clone(),
                format!(
                    "Invalid group name supplied, expected a string but got {} for {}",
                    key.kind_name(),
                    key.scalar_text().unwrap_or_default()
                ),
            )),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Reads a group; gives the name it has.
fn group(
    inventory: &mut Inventory,
    name: &str,
    body: &Node,
    depth: usize,
    faults: &mut Vec<LoadFault>,
) -> String {
    if !body.is_null() && body.as_map().is_none() {
        inventory.warn(format!("Skipping '{name}' as this is not a valid group definition"));
        return inventory.add_group(name);
    }
    let name = inventory.add_group(name);
    if depth > DEPTH {
        faults.push(LoadFault::at(body.at.clone(), "groups are nested too deep"));
        return name;
    }
    for (key, value) in body.as_map().unwrap_or_default() {
        let word = key.as_str().unwrap_or_default();
        match (word, &value.kind) {
            ("vars" | "children" | "hosts", Kind::Seq(_)) => faults.push(LoadFault::at(
                value.at.clone(),
                format!(
                    "Invalid \"{word}\" entry for \"{name}\" group, requires a dictionary, found \"{}\" instead.",
                    value.kind_name()
                ),
            )),
            (_, Kind::Scalar(Value::None)) => {}
            ("vars", Kind::Map(_)) => {
                if let Some(vars) = value.to_value().as_dict() {
                    inventory.add_group_vars(&name, vars);
                }
            }
            ("children", _) => {
                for (child, body) in named(value) {
                    let child = group(inventory, &child, &body, depth + 1, faults);
                    if let Err(what) = inventory.add_child(&name, &child) {
                        faults.push(LoadFault::at(key.at.clone(), what));
                    }
                }
            }
            ("hosts", _) => hosts(inventory, &name, value, faults),
            (other, Kind::Map(_)) => inventory.warn(format!(
                "Skipping unexpected key ({other}) in group ({name}), only \"vars\", \"children\" and \"hosts\" are valid"
            )),
            (other, _) => inventory.warn(format!(
                "Skipping key ({other}) in group ({name}) as it is not a mapping, it is a {}",
                value.kind_name()
            )),
        }
    }
    name
}

fn hosts(inventory: &mut Inventory, group: &str, node: &Node, faults: &mut Vec<LoadFault>) {
    for (key, _) in node.as_map().unwrap_or_default() {
        if key.as_str().is_none() {
            faults.push(LoadFault::at(
                key.at.clone(),
                format!(
                    "Host pattern {} must be a string. Enclose integers/floats in quotation marks.",
                    key.scalar_text().unwrap_or_default()
                ),
            ));
            return;
        }
    }
    for (host, body) in named(node) {
        let (names, port) = match ini::names(&host) {
            Ok(found) => found,
            Err(what) => {
                faults.push(LoadFault::at(body.at.clone(), what));
                continue;
            }
        };
        let vars = body.to_value();
        for host in names {
            inventory.add_host(&host, Some(group));
            if let Some(port) = port {
                inventory.set_host_var(&host, "ansible_port", Value::Int(port));
            }
            let none = Dict::new();
            inventory.add_host_vars(&host, vars.as_dict().unwrap_or(&none));
        }
    }
}

/// A dict of names, or one name.
fn named(node: &Node) -> Vec<(String, Node)> {
    let empty = |at: &Node| Node { at: at.at.clone(), kind: Kind::Scalar(Value::None) };
    match &node.kind {
        Kind::Map(entries) => entries
            .iter()
            .filter_map(|(key, body)| Some((key.scalar_text()?, body.clone())))
            .collect(),
        Kind::Seq(_) => Vec::new(),
        Kind::Scalar(_) => node.scalar_text().map(|name| (name, empty(node))).into_iter().collect(),
    }
}
