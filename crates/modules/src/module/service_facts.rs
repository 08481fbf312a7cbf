//! `service_facts`: every service systemd or an init script knows.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, OrFail, Outcome};
use crate::process::Cmd;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) fn run(_args: &Args, ctx: &Context) -> Done {
    let mut services = Map::new();
    if ctx.program("systemctl").is_some() {
        let ask = |words: &[&str]| {
            let cmd = Cmd::new("systemctl").args(words).plain_locale();
            cmd.run(ctx).map(|ran| ran.out()).or_fail("cannot run systemctl")
        };
        let common = ["--no-pager", "--no-legend", "--plain", "--type=service", "--all"];
        let units = ask(&[&["list-units"], &common[..]].concat())?;
        let files = ask(&[&["list-unit-files"], &common[..]].concat())?;
        services = told(&units, &files);
    }
    for script in std::fs::read_dir("/etc/init.d").into_iter().flatten().flatten() {
        let Ok(name) = script.file_name().into_string() else { continue };
        let unit = format!("{name}.service");
        if name != "README" && script.path().is_file() && !services.contains_key(&unit) {
            let started = Path::new("/run").join(format!("{name}.pid")).exists();
            let state = if started { "running" } else { "stopped" };
            services
                .insert(name.clone(), json!({ "name": name, "state": state, "source": "sysv" }));
        }
    }
    Ok(Outcome::changed(false).with("ansible_facts", json!({ "services": services })))
}

/// Services from the tables of loaded units and of unit files.
fn told(units: &str, files: &str) -> Map<String, Value> {
    const BAD: [&str; 3] = ["not-found", "masked", "failed"];
    let mut found: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for line in units.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, ..] = fields.as_slice() else { continue };
        if !name.contains(".service") || fields.len() < 4 {
            continue;
        }
        let bad = BAD.iter().find(|bad| fields[..4].contains(bad));
        let state = if fields[3] == "running" { "running" } else { "stopped" };
        found.insert(name, (state, bad.copied().unwrap_or(fields[2])));
    }
    for line in files.lines() {
        let mut fields = line.split_whitespace();
        let (Some(name), Some(status)) = (fields.next(), fields.next()) else { continue };
        let entry = found.entry(name).or_insert(("inactive", status));
        if !BAD.contains(&entry.1) {
            entry.1 = status;
        }
    }
    found
        .into_iter()
        .map(|(name, (state, status))| {
            let entry =
                json!({ "name": name, "state": state, "status": status, "source": "systemd" });
            (name.to_owned(), entry)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_make_one() {
        let units = "ssh.service loaded active running OpenBSD Secure Shell\n\
                     gone.service not-found inactive dead gone.service\n\
                     once.service loaded active exited Once\n";
        let files = "ssh.service enabled enabled\nidle@.service disabled enabled\n\
                     gone.service disabled -\n";
        let services = told(units, files);
        assert_eq!(services["ssh.service"]["state"], "running");
        assert_eq!(services["ssh.service"]["status"], "enabled");
        assert_eq!(services["once.service"]["state"], "stopped");
        assert_eq!(services["gone.service"]["status"], "not-found");
        assert_eq!(services["idle@.service"]["state"], "inactive");
    }
}
