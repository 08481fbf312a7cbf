//! INI inventories: hosts with variables, `[group]`, `[group:children]`, `[group:vars]`.

use super::{Inventory, literal, range};
use crate::fault::LoadFault;
use crate::value::Value;
use crate::yaml::Origin;
use indexmap::IndexMap;

enum Section {
    Hosts,
    Children,
    Vars,
}

/// Reads a file. With faults in it, what stands before the first of them is known.
pub(crate) fn read(
    inventory: &mut Inventory,
    file: &str,
    text: &str,
) -> Result<(), Vec<LoadFault>> {
    let mut faults = Vec::new();
    let mut before: Option<Inventory> = None;
    let mut group = "ungrouped".to_owned();
    let mut section = Section::Hosts;
    // Groups that are named and not yet declared: the line, and the group that holds them.
    let mut pending: IndexMap<String, (u32, Option<String>)> = IndexMap::new();
    for (index, line) in text.lines().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let at = |column: usize| Origin {
            file: file.into(),
            line: number,
            column: u32::try_from(column + 1).unwrap_or(1),
        };
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[')
            && let Some((name, after)) = rest.split_once(']')
            && (after.trim().is_empty() || after.trim_start().starts_with('#'))
        {
            let (name, kind) = name.split_once(':').unwrap_or((name, "hosts"));
            section = match kind {
                "hosts" => Section::Hosts,
                "children" => Section::Children,
                "vars" => Section::Vars,
                other => {
                    before.get_or_insert_with(|| inventory.clone());
                    let what = format!("unknown kind of section `{other}`");
                    faults.push(LoadFault::at(at(indent), what));
                    continue;
                }
            };
            let safe = inventory.safe_name(name.trim());
            let known = inventory.groups.contains_key(&safe);
            group = inventory.add_group(name.trim());
            match section {
                // Variables alone do not make a group.
                Section::Vars if !known => {
                    pending.entry(group.clone()).or_insert((number, None));
                }
                Section::Vars => {}
                Section::Hosts | Section::Children => drop(pending.shift_remove(&group)),
            }
            continue;
        }
        let result = match section {
            Section::Hosts => host_line(inventory, &group, line),
            Section::Children => {
                let child = line.split_whitespace().next().unwrap_or_default();
                let child = child.split('#').next().unwrap_or_default();
                let safe = inventory.safe_name(child);
                if !inventory.groups.contains_key(&safe) {
                    pending.insert(safe, (number, Some(group.clone())));
                }
                let child = inventory.add_group(child);
                inventory.add_child(&group, &child)
            }
            Section::Vars => match line.split_once('=') {
                Some((name, value)) => {
                    inventory.set_group_var(&group, name.trim(), value_of(value.trim()));
                    Ok(())
                }
                None => Err(format!("Expected key=value, got: {line}")),
            },
        };
        if let Err(what) = result {
            before.get_or_insert_with(|| inventory.clone());
            faults.push(LoadFault::at(at(indent), what));
        }
    }
    for (name, (line, parent)) in pending {
        let at = Origin { file: file.into(), line, column: 1 };
        let what = match parent {
            None => format!("Section [{name}:vars] not valid for undefined group '{name}'."),
            Some(parent) => {
                format!("Section [{parent}:children] includes undefined group '{name}'.")
            }
        };
        faults.push(LoadFault::at(at, what));
    }
    if let Some(before) = before {
        *inventory = before;
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

impl Inventory {
    /// Does `outer` lie within `inner`?
    pub(crate) fn group_within(&self, outer: &str, inner: &str) -> bool {
        let mut open = vec![inner];
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = open.pop() {
            if name == outer {
                return true;
            }
            if seen.insert(name)
                && let Some(group) = self.groups.get(name)
            {
                open.extend(group.children.iter().map(String::as_str));
            }
        }
        false
    }
}

/// A value is a Python literal, or else the text itself.
fn value_of(text: &str) -> Value {
    literal::parse(text).unwrap_or_else(|| Value::trusted(text, None))
}

fn host_line(inventory: &mut Inventory, group: &str, line: &str) -> Result<(), String> {
    let words = words(line)?;
    let Some((pattern, vars)) = words.split_first() else { return Ok(()) };
    let (names, port) = names(pattern)?;
    if pattern.ends_with(':') && port.is_none() {
        return Err(format!(
            "Invalid host pattern '{pattern}' supplied, ending in ':' is not allowed, this character is reserved to provide a port."
        ));
    }
    if pattern == "---" {
        return Err(format!(
            "Invalid host pattern '{pattern}' supplied, '---' is normally a sign this is a YAML file."
        ));
    }
    let mut pairs = Vec::new();
    for word in vars {
        let Some((name, value)) = word.split_once('=') else {
            return Err(format!("Expected key=value host variable assignment, got: {word}"));
        };
        pairs.push((name, value_of(value)));
    }
    for name in names {
        inventory.add_host(&name, Some(group));
        if let Some(port) = port {
            inventory.set_host_var(&name, "ansible_port", Value::Int(port));
        }
        for (key, value) in &pairs {
            inventory.set_host_var(&name, key, value.clone());
        }
    }
    Ok(())
}

/// The hosts that a word stands for, and the port after its colon.
pub(crate) fn names(word: &str) -> Result<(Vec<String>, Option<i64>), String> {
    let (pattern, port) = match word.rsplit_once(':') {
        // One colon outside of brackets: a port. More of them: an IPv6 address.
        Some((host, port))
            if !port.is_empty()
                && port.bytes().all(|b| b.is_ascii_digit())
                && (host.ends_with(']')
                    || !host.contains(':')
                    || host.rfind(']').is_some_and(|at| !host[at..].contains(':'))) =>
        {
            (host, port.parse().ok())
        }
        _ => (word, None),
    };
    let address = pattern.trim_start_matches('[').trim_end_matches(']');
    if address.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok((vec![address.to_owned()], port));
    }
    range::expand(pattern).map(|names| (names, port))
}

/// Words of a line as a shell splits them; `#` begins a comment.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_none() => break,
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' | '"' => {
                let text = word.get_or_insert_default();
                // The quotes of a value that is a literal as a whole belong to the literal, which
                // makes `a='1'` a number and `a="'1'"` text, as Ansible has it.
                let mut closed = false;
                while let Some(inner) = chars.next() {
                    if inner == c {
                        closed = true;
                        break;
                    }
                    if inner == '\\' && c == '"' {
                        match chars.next() {
                            Some(escaped @ ('"' | '\\')) => text.push(escaped),
                            Some(other) => {
                                text.push('\\');
                                text.push(other);
                            }
                            None => break,
                        }
                    } else {
                        text.push(inner);
                    }
                }
                if !closed {
                    return Err("a quote does not end".to_owned());
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}
