//! `package_facts`: what is installed, from dpkg's own notes.

use crate::args::Args;
use crate::context::Context;
use crate::module::apt::{STATUS_FILE, Status};
use crate::outcome::{Done, OrFail, Outcome, fail};
use serde_json::{Map, Value, json};

pub(crate) fn run(args: &Args, _ctx: &Context) -> Done {
    let managers = args.list("manager");
    if let Some(other) = managers.iter().find(|name| !matches!(name.as_str(), "auto" | "apt")) {
        return Err(fail!("there is no native module for the package manager {other}"));
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
