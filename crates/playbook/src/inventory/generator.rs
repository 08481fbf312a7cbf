//! The `generator` plugin: hosts from every combination of layers, with groups named by templates.

use super::constructed::Vars;
use super::{Inventory, Reading};
use crate::fault::LoadFault;
use crate::template::Context;
use crate::value::{Dict, Key, Value};
use crate::yaml::Node;
use std::sync::Arc;

/// Combinations beyond this are refused: nobody has so many hosts, and a slip in a layer would.
const MOST: usize = 1_000_000;

pub(super) fn read(
    inventory: &mut Inventory,
    root: &Node,
    reading: &Reading<'_>,
) -> Result<(), Vec<LoadFault>> {
    let fault = |what: &str| vec![LoadFault::at(root.at.clone(), what.to_owned())];
    let Some(layers) = root.get("layers").and_then(Node::as_map) else {
        return Err(fault("`layers` is needed: a dict of lists"));
    };
    let hosts = root.get("hosts").ok_or_else(|| fault("`hosts` is needed"))?;
    let mut combined: Vec<Dict> = vec![Dict::new()];
    for (name, values) in layers {
        let name = Key::str(name.scalar_text().unwrap_or_default());
        let values = values.as_seq().unwrap_or_default();
        if combined.len().saturating_mul(values.len()) > MOST {
            return Err(fault("the layers have more than a million combinations"));
        }
        let longer = |vars: &Dict| {
            let (vars, name) = (vars.clone(), name.clone());
            values
                .iter()
                .map(move |value| {
                    let mut vars = vars.clone();
                    vars.insert(name.clone(), value.to_value());
                    vars
                })
                .collect::<Vec<_>>()
        };
        combined = combined.iter().flat_map(longer).collect();
    }
    let name = hosts.get("name").ok_or_else(|| fault("`hosts` needs a `name`"))?;
    for vars in combined {
        let context = Context { scope: Arc::new(Vars(vars)), world: Arc::clone(reading.world) };
        let one = text(&context, name)?;
        inventory.add_host(&one, None);
        parents(inventory, Child::Host(&one), hosts.get("parents"), &context)?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Child<'a> {
    Host(&'a str),
    Group(&'a str),
}

fn parents(
    inventory: &mut Inventory,
    child: Child<'_>,
    node: Option<&Node>,
    context: &Context,
) -> Result<(), Vec<LoadFault>> {
    for parent in node.and_then(Node::as_seq).unwrap_or_default() {
        let named = parent.get("name").filter(|name| !name.is_null());
        let group = match named {
            Some(name) => text(context, name)?,
            None => String::new(),
        };
        if group.is_empty() {
            let (Child::Host(name) | Child::Group(name)) = child;
            let what = format!("Element {name} has a parent with no name.");
            return Err(vec![LoadFault::at(parent.at.clone(), what)]);
        }
        let group = inventory.add_group(&group);
        for (key, value) in parent.get("vars").and_then(Node::as_map).unwrap_or_default() {
            // Only text is rendered here; what is in lists and dicts waits until it is used.
            let written = value.to_value();
            let value = match written.as_str() {
                Some(_) => finish(context, &written, value)?,
                None => written,
            };
            inventory.set_group_var(&group, &key.scalar_text().unwrap_or_default(), value);
        }
        match child {
            Child::Host(host) => inventory.add_host(host, Some(&group)),
            Child::Group(inner) => inventory
                .add_child(&group, inner)
                .map_err(|what| vec![LoadFault::at(parent.at.clone(), what)])?,
        }
        parents(inventory, Child::Group(&group), parent.get("parents"), context)?;
    }
    Ok(())
}

fn text(context: &Context, node: &Node) -> Result<String, Vec<LoadFault>> {
    finish(context, &node.to_value(), node).map(|value| value.to_text())
}

fn finish(context: &Context, value: &Value, at: &Node) -> Result<Value, Vec<LoadFault>> {
    context.finish(value).map_err(|fault| vec![LoadFault::at(at.at.clone(), fault.what)])
}
