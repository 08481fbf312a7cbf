//! `timezone`: what local time is here.
//!
//! `/etc/localtime` leads to the zone (localtime(5)), Debian keeps its name in `/etc/timezone` too.
//! Whether the hardware clock runs in local time is the third line of `/etc/adjtime` (adjtime(5)).

use crate::args::Args;
use crate::context::Context;
use crate::facts;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place::{self, Rewrite};
use crate::process::Cmd;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

const ZONES: &str = "/usr/share/zoneinfo";
const LINK: &str = "/etc/localtime";
const NAME: &str = "/etc/timezone";
const ADJTIME: &str = "/etc/adjtime";

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let (mut before, mut after) = (Map::new(), Map::new());
    let mut changed = false;
    // A bus is what timedatectl needs, and images that are being built have none.
    let asks = facts::service_manager(ctx) == "systemd"
        && Path::new("/run/systemd/system").exists()
        && Path::new("/run/dbus/system_bus_socket").exists();
    if let Some(name) = args.str("name") {
        let traversed = name.split('/').any(|part| matches!(part, "" | "." | ".."));
        if traversed || !Path::new(ZONES).join(name).is_file() {
            return Err(fail!("given timezone \"{name}\" is not available"));
        }
        let now = zone(LINK, NAME);
        before.insert("name".into(), now.clone().into());
        after.insert("name".into(), name.into());
        if now != name {
            changed = true;
            match (ctx.check, asks) {
                (true, _) => {}
                (_, true) => call(&["set-timezone", name], ctx)?,
                _ => set_zone(name, ctx)?,
            }
        }
    }
    if let Some(wanted) = args.str("hwclock") {
        let now = clock(&fs::read_to_string(ADJTIME).unwrap_or_default());
        before.insert("hwclock".into(), now.into());
        after.insert("hwclock".into(), wanted.into());
        if now != wanted {
            changed = true;
            let local = if wanted == "local" { "yes" } else { "no" };
            match (ctx.check, asks) {
                (true, _) => {}
                (_, true) => call(&["set-local-rtc", local], ctx)?,
                _ => set_clock(wanted, ctx)?,
            }
        }
    }
    let outcome = Outcome::changed(changed);
    Ok(if ctx.diff {
        outcome.with("diff", json!({ "before": Value::from(before), "after": Value::from(after) }))
    } else {
        outcome
    })
}

fn call(words: &[&str], ctx: &Context) -> Result<(), Fault> {
    let cmd = Cmd::new("timedatectl").args(words).plain_locale();
    let ran = cmd.run(ctx).or_fail("cannot run timedatectl")?;
    if ran.success() {
        return Ok(());
    }
    Err(fail!("cannot {} with timedatectl: {}", words.join(" "), ran.err().trim()))
}

/// The name of the zone that a link leads to, or the one that is written down.
fn zone(link: &str, name: &str) -> String {
    let target = fs::read_link(link).unwrap_or_default().display().to_string();
    match target.split_once("zoneinfo/") {
        Some((_, zone)) => zone.to_owned(),
        None => fs::read_to_string(name).unwrap_or_default().trim().to_owned(),
    }
}

fn set_zone(name: &str, ctx: &Context) -> Result<(), Fault> {
    let beside = format!("{LINK}.updraft-{}", place::random_word().or_fail("no random word")?);
    std::os::unix::fs::symlink(Path::new(ZONES).join(name), &beside)
        .and_then(|()| fs::rename(&beside, LINK))
        .or_fail(format!("cannot lead {LINK} to {name}"))?;
    if Path::new(NAME).exists() {
        rewrite(NAME, &format!("{name}\n"), ctx)?;
    }
    Ok(())
}

fn rewrite(file: &str, text: &str, ctx: &Context) -> Result<(), Fault> {
    let rewrite = Rewrite { backup: false, validate: None, unsafe_writes: false };
    place::rewrite(Path::new(file), text.as_bytes(), &rewrite, ctx).map(drop)
}

/// What the hardware clock runs in.
fn clock(adjtime: &str) -> &'static str {
    if adjtime.lines().nth(2).map(str::trim) == Some("LOCAL") { "local" } else { "UTC" }
}

fn set_clock(wanted: &str, ctx: &Context) -> Result<(), Fault> {
    let text = fs::read_to_string(ADJTIME).unwrap_or_default();
    rewrite(ADJTIME, &with_clock(&text, wanted), ctx)
}

fn with_clock(adjtime: &str, wanted: &str) -> String {
    let mut lines = adjtime.lines();
    let drift = lines.next().unwrap_or("0.0 0 0.0");
    let last = lines.next().unwrap_or("0");
    format!("{drift}\n{last}\n{}\n", if wanted == "local" { "LOCAL" } else { "UTC" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_read_and_written_where_adjtime_has_it() {
        assert_eq!(clock(""), "UTC");
        let text = with_clock("1.5 2 0\n3\nUTC\n", "local");
        assert_eq!(text, "1.5 2 0\n3\nLOCAL\n");
        assert_eq!(clock(&text), "local");
        assert_eq!(with_clock("", "UTC"), "0.0 0 0.0\n0\nUTC\n");
    }

    #[test]
    fn the_zone_is_where_the_link_leads() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::os::unix::fs::symlink("/usr/share/zoneinfo/Europe/Vienna", at("link")).unwrap();
        fs::write(at("name"), "Etc/UTC\n").unwrap();
        assert_eq!(zone(&at("link"), &at("name")), "Europe/Vienna");
        assert_eq!(zone(&at("none"), &at("name")), "Etc/UTC");
    }
}
