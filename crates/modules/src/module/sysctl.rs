//! `sysctl`: a kernel setting, now and after a boot.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, OrFail, Outcome, fail, plain};
use crate::place::{self, Rewrite};
use crate::process::Cmd;
use std::fs;
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let name = args.text("name").trim();
    if name.is_empty() {
        return Err(fail!("name cannot be blank"));
    }
    let present = args.text("state") == "present";
    let value = args.str("value").map(normal);
    if present && value.as_deref().unwrap_or_default().is_empty() {
        return Err(fail!("value cannot be None"));
    }
    let set_now = args.flag("sysctl_set") && present;
    let kernel = kernel_file(name);
    let live = fs::read_to_string(&kernel).map(|text| normal(&text));
    let ignore = args.flag("ignoreerrors");
    if let (Err(error), true, false) = (&live, set_now, ignore) {
        return Err(fail!("Failed to read {kernel}: {}", plain(error)));
    }
    let file = Path::new(args.text("sysctl_file"));
    let before = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(fail!("Failed to open {}: {}", file.display(), plain(&error))),
    };
    let after = edit(&before, name, value.as_deref().filter(|_| present));
    let write = after.is_some();
    let set = set_now && live.as_ref().ok() != value.as_ref();
    if let (Some(after), false) = (&after, ctx.check) {
        let rewrite = Rewrite { backup: false, validate: None, unsafe_writes: false };
        place::rewrite(file, after.as_bytes(), &rewrite, ctx)?;
    }
    if let (true, false, Some(value)) = (set, ctx.check, &value) {
        match fs::write(&kernel, value) {
            Err(error) if !ignore => {
                return Err(fail!("setting {name} failed: {}", plain(&error)));
            }
            _ => {}
        }
    }
    if write && args.flag("reload") && !ctx.check {
        let cmd = Cmd::new("sysctl").arg("-e").arg("-p").arg(file).plain_locale();
        let ran = cmd.run(ctx).or_fail("cannot run sysctl")?;
        if !ran.success() && !ignore {
            return Err(fail!("Failed to reload sysctl: {}{}", ran.out(), ran.err()));
        }
    }
    Ok(Outcome::changed(write || set))
}

/// The file below `/proc/sys` for a setting (sysctl(8): `/` and `.` may be swapped).
fn kernel_file(name: &str) -> String {
    let first = name.find(['.', '/']).map(|at| &name[at..=at]);
    let path = if first == Some("/") {
        name.to_owned()
    } else {
        name.chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect()
    };
    format!("/proc/sys/{path}")
}

/// A value with single spaces between its words, and yes and no as numbers.
fn normal(value: &str) -> String {
    let words: Vec<&str> = value.split_whitespace().collect();
    match words.join(" ").to_lowercase().as_str() {
        "yes" | "true" | "on" => "1".to_owned(),
        "no" | "false" | "off" => "0".to_owned(),
        _ => words.join(" "),
    }
}

/// The new text of a settings file, or nothing if it is as wanted already.
fn edit(before: &str, name: &str, value: Option<&str>) -> Option<String> {
    let mut lines = Vec::new();
    let mut placed = false;
    let mut changed = false;
    for line in before.lines() {
        let trimmed = line.trim();
        let entry = trimmed
            .split_once('=')
            .filter(|(key, _)| !trimmed.starts_with(['#', ';']) && key.trim() == name);
        match (entry, value) {
            (None, _) => lines.push(line.to_owned()),
            (Some((_, old)), Some(value)) if !placed => {
                placed = true;
                if normal(old) == value {
                    lines.push(line.to_owned());
                } else {
                    lines.push(format!("{name}={value}"));
                    changed = true;
                }
            }
            _ => changed = true,
        }
    }
    if let (Some(value), false) = (value, placed) {
        lines.push(format!("{name}={value}"));
        changed = true;
    }
    changed.then(|| lines.iter().map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_written_once() {
        let file = "# net\nnet.ipv4.ip_forward = 0\nvm.swappiness=10\n";
        assert_eq!(
            edit(file, "net.ipv4.ip_forward", Some("1")).unwrap(),
            "# net\nnet.ipv4.ip_forward=1\nvm.swappiness=10\n"
        );
        assert_eq!(edit(file, "vm.swappiness", Some("10")), None);
        assert_eq!(edit(file, "vm.swappiness", None).unwrap(), "# net\nnet.ipv4.ip_forward = 0\n");
        assert_eq!(edit("", "a.b", Some("1 2")).unwrap(), "a.b=1 2\n");
        assert_eq!(edit("a.b=1\na.b=2\n", "a.b", Some("1")).unwrap(), "a.b=1\n");
        assert_eq!(edit("", "a.b", None), None);
    }

    #[test]
    fn names_lead_to_kernel_files() {
        assert_eq!(kernel_file("net.ipv4.ip_forward"), "/proc/sys/net/ipv4/ip_forward");
        assert_eq!(kernel_file("net.ipv4.conf.eth0/1.x"), "/proc/sys/net/ipv4/conf/eth0.1/x");
        assert_eq!(kernel_file("net/ipv4/ip_forward"), "/proc/sys/net/ipv4/ip_forward");
        assert_eq!(normal(" 4096\t16384  1 \n"), "4096 16384 1");
        assert_eq!(normal("yes"), "1");
    }
}
