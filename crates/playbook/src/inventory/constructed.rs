//! The `constructed` plugin: variables and groups from expressions over what is known of each host.

use super::{Inventory, Reading, VarsDir};
use crate::fault::LoadFault;
use crate::template::{Context, Expression, Scope};
use crate::value::{Dict, Key, Value};
use crate::yaml::Node;
use std::sync::Arc;

/// Variables of one host.
pub(super) struct Vars(pub(super) Dict);

impl Scope for Vars {
    fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0.keys().filter_map(Key::as_str).map(Arc::from).collect()
    }
}

struct Options<'a> {
    strict: bool,
    extra: bool,
    leading_separator: bool,
    beside: Vec<VarsDir>,
    root: &'a Node,
    reading: &'a Reading<'a>,
}

type Faults = Vec<LoadFault>;

fn fault(node: &Node, what: impl Into<String>) -> Faults {
    vec![LoadFault::at(node.at.clone(), what)]
}

pub(super) fn read(
    inventory: &mut Inventory,
    root: &Node,
    reading: &Reading<'_>,
) -> Result<(), Faults> {
    let truth = |name: &str| root.get(name).and_then(|node| node.to_value().as_boolean());
    let beside = match truth("use_vars_plugins") {
        Some(true) => inventory.read_beside(&reading.world.vault)?,
        _ => Vec::new(),
    };
    let sealed = inventory.sealed_for(inventory.hosts(), &beside.iter().collect::<Vec<_>>());
    if !sealed.is_empty() {
        return Err(sealed);
    }
    let options = Options {
        strict: truth("strict").unwrap_or(false),
        extra: truth("use_extra_vars").unwrap_or(false),
        leading_separator: truth("leading_separator").unwrap_or(true),
        beside,
        root,
        reading,
    };
    let hosts: Vec<String> = inventory.hosts().map(str::to_owned).collect();
    // Groups that are made on the way must not change what later hosts are told about.
    inventory.settle();
    for host in hosts {
        options.compose(inventory, &host)?;
        let vars = options.known(inventory, &host);
        options.groups(inventory, &host, &vars)?;
        options.keyed_groups(inventory, &host, &vars)?;
    }
    Ok(())
}

impl Options<'_> {
    /// What expressions see of a host: its variables, what it is called and where it belongs.
    fn known(&self, inventory: &Inventory, host: &str) -> Dict {
        let mut vars = inventory.host_vars(host, &self.beside, None);
        let short = host.split('.').next().unwrap_or_default();
        for (name, value) in [
            ("inventory_hostname", Value::str(host)),
            ("inventory_hostname_short", Value::str(short)),
            ("group_names", Value::strings(inventory.groups_of(host))),
        ] {
            vars.insert(Key::str(name), value);
        }
        vars
    }

    fn context(&self, vars: &Dict, extra: bool) -> Context {
        let mut vars = vars.clone();
        if extra {
            vars.extend(self.reading.extra_vars.clone());
        }
        Context { scope: Arc::new(Vars(vars)), world: Arc::clone(self.reading.world) }
    }

    fn expression(&self, node: &Node, vars: &Dict) -> Result<Value, String> {
        let source = node.scalar_text().unwrap_or_default();
        let expression =
            Expression::new(&source, Some(node.at.clone())).map_err(|fault| fault.what)?;
        self.context(vars, self.extra).evaluate(&expression).map_err(|fault| fault.what)
    }

    fn compose(&self, inventory: &mut Inventory, host: &str) -> Result<(), Faults> {
        let vars = self.known(inventory, host);
        for (name, node) in self.root.get("compose").and_then(Node::as_map).unwrap_or_default() {
            let name = name.scalar_text().unwrap_or_default();
            match self.expression(node, &vars) {
                Ok(value) => inventory.set_host_var(host, &name, value),
                Err(what) if self.strict => {
                    return Err(fault(
                        node,
                        format!("Could not set {name} for host {host}: {what}"),
                    ));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn groups(&self, inventory: &mut Inventory, host: &str, vars: &Dict) -> Result<(), Faults> {
        for (name, node) in self.root.get("groups").and_then(Node::as_map).unwrap_or_default() {
            let name = inventory.safe_name(&name.scalar_text().unwrap_or_default());
            let holds = match node.to_value() {
                Value::Bool(truth) => Ok(truth),
                _ => {
                    Expression::new(&node.scalar_text().unwrap_or_default(), Some(node.at.clone()))
                        .and_then(|condition| self.context(vars, false).holds(&condition))
                        .map_err(|fault| fault.what)
                }
            };
            match holds {
                Ok(true) => inventory.add_host(host, Some(&name)),
                Err(what) if self.strict => {
                    return Err(fault(
                        node,
                        format!("Could not add host {host} to group {name}: {what}"),
                    ));
                }
                Ok(false) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn keyed_groups(
        &self,
        inventory: &mut Inventory,
        host: &str,
        vars: &Dict,
    ) -> Result<(), Faults> {
        for keyed in self.root.get("keyed_groups").and_then(Node::as_seq).unwrap_or_default() {
            if keyed.as_map().is_none_or(<[_]>::is_empty) {
                return Err(fault(keyed, "Invalid keyed group entry, it must be a dictionary"));
            }
            self.keyed_group(inventory, host, vars, keyed)?;
        }
        Ok(())
    }

    fn keyed_group(
        &self,
        inventory: &mut Inventory,
        host: &str,
        vars: &Dict,
        keyed: &Node,
    ) -> Result<(), Faults> {
        let told = keyed.get("key").map(|key| (key, key.scalar_text().unwrap_or_default()));
        let Some((node, source)) = told else { return Err(fault(keyed, "`key` is needed")) };
        let key = match self.expression(node, vars) {
            Ok(key) => key,
            Err(what) if self.strict => {
                return Err(fault(
                    node,
                    format!("Could not generate group for host {host} from {source} entry: {what}"),
                ));
            }
            Err(_) => return Ok(()),
        };
        let default = keyed.get("default_value").and_then(Node::scalar_text);
        let trailing = keyed.get("trailing_separator").map(|node| node.to_value());
        if default.is_some() && trailing.is_some() {
            return Err(fault(
                keyed,
                "parameters are mutually exclusive for keyed groups: default_value|trailing_separator",
            ));
        }
        let blank = |value: &Value| value.is_none() || value.as_str() == Some("");
        if !key.is_true() && (!blank(&key) || default.is_none()) {
            let nothing = key.as_list().is_some() || key.as_dict().is_some();
            if self.strict && !nothing {
                return Err(fault(
                    node,
                    format!(
                        "No key or key resulted empty for {source} in host {host}, invalid entry"
                    ),
                ));
            }
            return Ok(());
        }
        let word = |name: &str, other: &str| {
            keyed.get(name).and_then(Node::as_str).unwrap_or(other).to_owned()
        };
        let (prefix, separator) = (word("prefix", ""), word("separator", "_"));
        let parent = match keyed.get("parent_group").filter(|node| !node.is_null()) {
            Some(node) => match self.context(vars, self.extra).text(&node.to_value()) {
                Ok(name) => Some(name),
                Err(fault_) if self.strict => return Err(fault(node, fault_.what)),
                Err(_) => return Ok(()),
            },
            None => None,
        };
        let or_default = |value: &Value| match &default {
            Some(default) if blank(value) => default.clone(),
            _ => value.to_text(),
        };
        let names: Vec<String> = if let Some(items) = key.as_list() {
            items.iter().map(or_default).collect()
        } else if let Some(entries) = key.as_dict() {
            let cut = trailing.as_ref().and_then(Value::as_boolean) == Some(false);
            let named = |(name, value): (&Key, &Value)| {
                let name = name.to_json_key();
                match (blank(value), &default) {
                    (true, Some(default)) => format!("{name}{separator}{default}"),
                    (true, None) if cut => name,
                    _ => format!("{name}{separator}{}", value.to_text()),
                }
            };
            entries.iter().map(named).collect()
        } else if key.as_str().is_some() || blank(&key) {
            vec![or_default(&key)]
        } else {
            return Err(fault(
                node,
                format!(
                    "Invalid group name format, expected a string or a list of them or dictionary, got: {}",
                    key.type_name()
                ),
            ));
        };
        let between = if prefix.is_empty() && !self.leading_separator { "" } else { &separator };
        for name in names {
            let name = inventory.safe_name(&format!("{prefix}{between}{name}"));
            inventory.add_host(host, Some(&name));
            if let Some(parent) = &parent {
                let parent = inventory.safe_name(parent);
                let parent = inventory.add_group(&parent);
                inventory.add_child(&parent, &name).map_err(|what| fault(keyed, what))?;
            }
        }
        Ok(())
    }
}
