//! `ufw`: the uncomplicated firewall: whether it runs, what it does unasked, its rules (ufw(8)).
//!
//! What was changed is found by looking at the firewall before and after. Command lines are told as
//! Ansible's module tells them, and are split into words as it does; no shell reads them.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place;
use crate::process::{Cmd, Ran};
use crate::shlex;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// Where releases of ufw keep the rules that were made by hand.
const RULES: &[&str] = &[
    "/lib/ufw/user.rules",
    "/lib/ufw/user6.rules",
    "/etc/ufw/user.rules",
    "/etc/ufw/user6.rules",
    "/var/lib/ufw/user.rules",
    "/var/lib/ufw/user6.rules",
];
/// How a line with a rule begins.
const RULE: &str = "### tuple";

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    // Quotes that are not closed would be noticed after the first changes.
    if ending(args).any(|words| shlex::split(&words).is_err()) {
        return Err(Fault::beyond("quotes in names, addresses and comments are not supported"));
    }
    let (ufw, grep) = (ctx.required("ufw")?, ctx.required("grep")?);
    let mut firewall = Firewall { ufw, grep, said: Vec::new(), args, ctx };
    let before = firewall.execute("status verbose")?;
    let rules = firewall.rules();
    let mut changed = false;
    if let Some(state) = given(args, "state") {
        changed |= firewall.switch(state, &before)?;
    }
    if let Some(policy) = given(args, "default") {
        changed |= firewall.policy(policy, &before)?;
    }
    if let Some(rule) = given(args, "rule") {
        changed |= firewall.rule(rule, &rules)?;
    }
    if let Some(level) = given(args, "logging") {
        changed |= logs_otherwise(&before, level);
        if !ctx.check {
            firewall.execute(&format!("logging {level}"))?;
        }
    }
    if ctx.check {
        return Ok(Outcome::changed(changed).with("commands", firewall.said));
    }
    let after = firewall.execute("status verbose")?;
    if !changed {
        let rules_now = firewall.rules();
        changed = before != after || rules != rules_now;
    }
    Ok(Outcome::changed(changed).with("commands", firewall.said).with("msg", after.trim_end()))
}

/// An argument that is there and not empty.
fn given<'a>(args: &'a Args, name: &str) -> Option<&'a str> {
    args.str(name).filter(|text| !text.is_empty())
}

/// What a rule ends with: interfaces, addresses, ports and the like.
fn ending(args: &Args) -> impl Iterator<Item = String> {
    let part = |name: &str, before: &str, after: &str| {
        given(args, name).map(|text| format!("{before}{text}{after}"))
    };
    [
        part("interface", "on ", ""),
        part("interface_in", "in on ", ""),
        part("interface_out", "out on ", ""),
        args.flag("log").then(|| "log".to_owned()),
        part("from_ip", "from ", ""),
        part("from_port", "port ", ""),
        part("to_ip", "to ", ""),
        part("to_port", "port ", ""),
        part("proto", "proto ", ""),
        part("name", "app '", "'"),
        part("comment", "comment '", "'"),
    ]
    .into_iter()
    .flatten()
}

struct Firewall<'a> {
    ufw: PathBuf,
    grep: PathBuf,
    /// Every command line so far.
    said: Vec<String>,
    args: &'a Args,
    ctx: &'a Context,
}

impl Firewall<'_> {
    fn execute(&mut self, words: &str) -> Result<String, Fault> {
        let line = format!("{} {words}", self.ufw.display());
        self.said.push(line);
        let words = shlex::split(words).map_err(|error| fail!("{error}"))?;
        let words: Vec<_> = words.iter().map(|word| place::expand(word, self.ctx)).collect();
        let ran = self.call(&words)?;
        if ran.success() {
            return Ok(ran.out());
        }
        let said = if ran.stderr.is_empty() { ran.out() } else { ran.err() };
        Err(fail!("{said}").with("commands", self.said.clone()))
    }

    fn call(&self, words: &[String]) -> Result<Ran, Fault> {
        let cmd = Cmd::new(&self.ufw).args(words).plain_locale();
        cmd.run(self.ctx).or_fail(format!("cannot run {}", self.ufw.display()))
    }

    /// The rules there are, a line each. What is told is a command that finds the same.
    fn rules(&mut self) -> String {
        self.said.push(format!("{} -h '^{RULE}' {}", self.grep.display(), RULES.join(" ")));
        let files = RULES.iter().filter_map(|file| fs::read(file).ok());
        files.map(|file| rules_of(&String::from_utf8_lossy(&file))).collect()
    }

    fn switch(&mut self, state: &str, before: &str) -> Result<bool, Fault> {
        let verb = match state {
            "enabled" => "enable",
            "disabled" => "disable",
            "reloaded" => "reload",
            _ => "reset",
        };
        if !self.ctx.check {
            self.execute(&format!("-f {verb}"))?;
        }
        let runs = before.contains(" active");
        Ok(match state {
            "enabled" => self.ctx.check && !runs,
            "disabled" => self.ctx.check && runs,
            _ => true,
        })
    }

    fn policy(&mut self, policy: &str, before: &str) -> Result<bool, Fault> {
        let direction = self.args.str("direction");
        if direction.is_some_and(|it| !["outgoing", "incoming", "routed"].contains(&it)) {
            return Err(fail!(
                "For default, direction must be one of \"outgoing\", \"incoming\" and \"routed\", or direction must not be specified."
            ));
        }
        if self.ctx.check {
            let now = policy_of(before, direction.unwrap_or("incoming"));
            return Ok(now.is_none_or(|now| now != policy && now != "disabled"));
        }
        let direction = direction.map(|it| format!(" {it}")).unwrap_or_default();
        self.execute(&format!("default {policy}{direction}"))?;
        Ok(false)
    }

    fn rule(&mut self, rule: &str, rules: &str) -> Result<bool, Fault> {
        let args = self.args;
        let direction = args.str("direction");
        if direction.is_some_and(|it| !["in", "out"].contains(&it)) {
            return Err(fail!(
                "For rules, direction must be one of \"in\" and \"out\", or direction must not be specified."
            ));
        }
        let both = given(args, "interface_in").and(given(args, "interface_out")).is_some();
        if both && !args.flag("route") {
            return Err(fail!("Only route rules can combine interface_in and interface_out"));
        }
        let flag = |name: &str, word: &str| args.flag(name).then(|| word.to_owned());
        let mut words: Vec<String> = Vec::new();
        words.extend(self.ctx.check.then(|| "--dry-run".to_owned()));
        words.extend(flag("route", "route"));
        words.extend(flag("delete", "delete"));
        if !args.flag("delete")
            && let Some(at) = self.position()?
        {
            words.push(format!("insert {at}"));
        }
        words.push(rule.to_owned());
        words.extend(direction.map(str::to_owned));
        words.extend(ending(args));
        let told = self.execute("--version")?;
        let Some(version) = version(&told) else {
            return Err(fail!("Failed to get ufw version.").with("rc", 0).with("out", told));
        };
        // Comments came with 0.35.
        if version < (0, 35) && given(args, "comment").is_some() {
            words.pop();
        }
        let would = self.execute(&words.join(" "))?;
        let ends = [args.text("from_ip"), args.text("to_ip")];
        Ok(self.ctx.check && changes(rules, &would, ends))
    }

    /// Where among the rules the new one goes, if not to the end.
    fn position(&self) -> Result<Option<i64>, Fault> {
        let Some(at) = self.args.int("insert") else { return Ok(None) };
        match self.args.text("insert_relative_to") {
            "zero" => Ok(Some(at)),
            anchor => {
                let listed = self.call(&["status".to_owned(), "numbered".to_owned()])?;
                Ok(relative(&listed.out(), anchor, at))
            }
        }
    }
}

/// The lines that hold a rule.
fn rules_of(text: &str) -> String {
    text.lines().filter(|line| line.starts_with(RULE)).map(|line| format!("{line}\n")).collect()
}

/// The number of a place that is told from the first or last rule of a family, if it is not
/// beyond the last rule, which ufw does not like.
fn relative(listed: &str, anchor: &str, at: i64) -> Option<i64> {
    let numbered: Vec<(i64, bool)> = listed
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.strip_prefix('[')?.split_once(']')?;
            let number = number.trim_start_matches(' ').parse().ok()?;
            rest.starts_with(' ').then(|| (number, line.contains("(v6)")))
        })
        .collect();
    let last = numbered.iter().map(|(number, _)| *number).max().unwrap_or(0);
    let last_v4 = numbered.iter().filter(|(_, v6)| !v6).map(|(number, _)| *number).max();
    let anchor = match anchor {
        "first-ipv4" => 1,
        "last-ipv4" => last_v4.unwrap_or(1),
        "first-ipv6" => last_v4.map_or(1, |number| number + 1),
        _ if numbered.iter().any(|(_, v6)| *v6) => last,
        _ => last + 1,
    };
    Some(at + anchor).filter(|number| *number <= last)
}

/// Whether a rehearsal, which shows the rules there would be, tells of a change.
///
/// With an address it shows those of the address's family alone.
fn changes(rules: &str, would: &str, ends: [&str; 2]) -> bool {
    let skipped = would.lines().filter(|line| line.contains("Skipping")).count();
    if skipped > 0 && skipped == would.lines().count() {
        return false;
    }
    let would = rules_of(would);
    let of = |rules: &str, family: fn(&str) -> bool| -> Vec<String> {
        let holds = |line: &&str| line.split_whitespace().any(family);
        rules.lines().filter(holds).map(str::to_owned).collect()
    };
    if ends.into_iter().any(is_v4) {
        of(rules, is_v4) != of(&would, is_v4)
    } else if ends.into_iter().any(is_v6) {
        of(rules, is_v6) != of(&would, is_v6)
    } else {
        rules != would
    }
}

/// The address in `10.0.0.0/8`.
fn address(text: &str) -> &str {
    text.split(['/', '%']).next().unwrap_or(text)
}

fn is_v4(text: &str) -> bool {
    address(text).parse::<Ipv4Addr>().is_ok()
}

fn is_v6(text: &str) -> bool {
    address(text).parse::<Ipv6Addr>().is_ok()
}

/// What `Default: deny (incoming), allow (outgoing), disabled (routed)` says of a direction.
fn policy_of<'a>(status: &'a str, direction: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix("Default: "))?;
    line.split(", ").find_map(|part| part.strip_suffix(&format!(" ({direction})")))
}

/// Whether `Logging: on (low)` is something else than what is asked.
fn logs_otherwise(status: &str, level: &str) -> bool {
    let Some(now) = status.lines().find_map(|line| line.strip_prefix("Logging: ")) else {
        return true;
    };
    let on = now.starts_with("on");
    let depth = now.split_once('(').map(|(_, rest)| rest.trim_end_matches(')'));
    match level {
        "off" => on,
        "on" => !on,
        level => !on || depth != Some(level),
    }
}

/// The first two numbers of `ufw 0.36.2`.
fn version(told: &str) -> Option<(u32, u32)> {
    let line = told.lines().find(|line| !line.trim().is_empty())?;
    let mut parts = line.strip_prefix("ufw ")?.split_whitespace().next()?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const STATUS: &str = "Status: active\nLogging: on (low)\nDefault: deny (incoming), allow (outgoing), disabled (routed)\nNew profiles: skip\n";
    const V4: &str = "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n";
    const V6: &str = "### tuple ### allow tcp 22 ::/0 any ::/0 in\n";

    fn words(args: Value) -> String {
        let spec = updraft_spec::find("ufw").unwrap();
        let args = args.as_object().unwrap();
        let args = Args::check(spec, "ufw", args, &Context::system()).unwrap();
        ending(&args).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_rule_says_where_from_and_where_to() {
        assert_eq!(words(json!({ "rule": "allow", "port": 22 })), "from any to any port 22");
        assert_eq!(
            words(
                json!({ "rule": "deny", "if": "eth0", "direction": "in", "log": true, "src": "10.0.0.1", "from_port": "5", "proto": "udp", "comment": "a b" })
            ),
            "on eth0 log from 10.0.0.1 port 5 to any proto udp comment 'a b'"
        );
        assert_eq!(
            words(json!({ "rule": "allow", "app": "OpenSSH" })),
            "from any to any app 'OpenSSH'"
        );
    }

    #[test]
    fn a_place_is_told_from_the_rules_there_are() {
        let listed = "Status: active\n\n     To   Action  From\n[ 1] 22 ALLOW IN Anywhere\n[ 2] 80 ALLOW IN Anywhere\n[ 3] 22 (v6) ALLOW IN Anywhere (v6)\n[10] 80 (v6) ALLOW IN Anywhere (v6)\n";
        for (anchor, at, place) in [
            ("first-ipv4", 0, Some(1)),
            ("last-ipv4", -1, Some(1)),
            ("first-ipv6", 0, Some(3)),
            ("last-ipv6", 0, Some(10)),
            ("last-ipv6", 1, None),
        ] {
            assert_eq!(relative(listed, anchor, at), place, "{anchor} {at}");
        }
        assert_eq!(relative("Status: inactive\n", "first-ipv4", 0), None);
    }

    #[test]
    fn a_rehearsal_is_compared_in_the_family_it_shows() {
        let both = [V4, V6].concat();
        assert!(!changes(&both, &both, ["any", "any"]));
        assert!(changes(V4, &both, ["any", "any"]));
        assert!(!changes(&both, &format!("*filter\n{V4}"), ["10.0.0.0/8", "0.0.0.0/0"]));
        assert!(changes(V6, V4, ["10.0.0.0/8", "any"]));
        assert!(!changes(&both, V6, ["any", "2001:db8::/32"]));
        assert!(!changes(
            V4,
            "Skipping adding existing rule\nSkipping adding existing rule (v6)\n",
            ["any", "any"]
        ));
    }

    #[test]
    fn the_status_is_read() {
        assert_eq!(policy_of(STATUS, "incoming"), Some("deny"));
        assert_eq!(policy_of(STATUS, "routed"), Some("disabled"));
        assert_eq!(policy_of("Status: inactive\n", "incoming"), None);
        for (level, other) in [("low", false), ("on", false), ("off", true), ("full", true)] {
            assert_eq!(logs_otherwise(STATUS, level), other, "{level}");
            assert!(logs_otherwise("Status: inactive\n", level));
        }
        assert!(!logs_otherwise("Logging: off\n", "off"));
        assert_eq!(version("\nufw 0.36.2\nCopyright 2008\n"), Some((0, 36)));
        assert_eq!(version("nothing"), None);
    }
}
