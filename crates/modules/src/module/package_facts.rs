//! `package_facts`: what is installed, from dpkg's own notes.

use crate::args::Args;
use crate::context::Context;
use crate::module::apt::{STATUS_FILE, Status};
use crate::outcome::{Done, Fault, OrFail, Outcome};
use serde_json::{Map, Value, json};
use std::path::Path;

pub(crate) fn run(args: &Args, _ctx: &Context) -> Done {
    let managers = args.list("manager");
    let other = managers.iter().find(|name| !matches!(name.as_str(), "auto" | "apt"));
    if let Some(other) = other.filter(|_| managers.first().is_none_or(|first| first != "apt")) {
        let message = format!("there is no native module for the package manager {other}");
        return Err(Fault::beyond(message));
    }
    if !Path::new(STATUS_FILE).exists() || args.text("strategy") == "all" && managers != ["apt"] {
        return Err(Fault::beyond("the native module tells what dpkg has installed, and no more"));
    }
    let bytes = std::fs::read(STATUS_FILE).or_fail(format!("cannot read {STATUS_FILE}"))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut packages: Map<String, Value> = Map::new();
    let status = Status::parse(&text);
    let mut installed: Vec<_> = status.installed().collect();
    installed.sort_by_key(|package| (package.name, package.arch));
    for package in installed {
        let entry = json!({
            "name": package.name,
            "version": package.version,
            "arch": package.arch,
            "category": package.section,
            "source": "apt",
        });
        if let Some(list) = packages.entry(package.name).or_insert_with(|| json!([])).as_array_mut()
        {
            list.push(entry);
        }
    }
    Ok(Outcome::changed(false).with("ansible_facts", json!({ "packages": packages })))
}
