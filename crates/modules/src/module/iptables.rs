//! `iptables`: rules, policies and chains of the kernel's packet filter (iptables(8)).
//!
//! One task is one rule, one policy or one chain. The words of a rule are put together in the
//! order of Ansible's module, which the program compares with what is there.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place;
use crate::process::Cmd;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let rule = words(args, args.str("jump"))?;
    let programs: &[&str] = match args.text("ip_version") {
        "ipv4" => &["iptables"],
        "ipv6" => &["ip6tables"],
        _ => &["iptables", "ip6tables"],
    };
    let programs: Vec<PathBuf> =
        programs.iter().map(|name| ctx.required(name)).collect::<Result<_, _>>()?;
    let full: Vec<String> =
        words(args, jump(args)?)?.iter().map(|word| place::expand(word, ctx)).collect();
    let act = Act::asked(args, !rule.is_empty());
    let mut changed = false;
    for program in &programs {
        let table = Table { program, args, rule: &full, wait: wait(program, args, ctx)?, ctx };
        changed |= table.ensure(act)?;
    }
    let mut outcome = Outcome::changed(changed).with("rule", rule.join(" "));
    for name in ["ip_version", "table", "chain", "flush", "state", "chain_management", "wait"] {
        outcome = outcome.with(name, args.raw(name).cloned().unwrap_or_default());
    }
    Ok(outcome)
}

/// Where a rule leads; what is logged with a prefix or level is logged.
fn jump(args: &Args) -> Result<Option<&str>, Fault> {
    let logs = ["log_prefix", "log_level"].iter().any(|name| args.str(name).is_some());
    match args.str("jump") {
        None if logs => Ok(Some("LOG")),
        Some(jump) if logs && jump != "LOG" => {
            Err(fail!("Logging options can only be used with the LOG jump target."))
        }
        jump => Ok(jump),
    }
}

/// What a task is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Flush,
    Policy,
    Chain { present: bool },
    Rule { present: bool },
}

impl Act {
    fn asked(args: &Args, has_rule: bool) -> Self {
        let present = args.text("state") == "present";
        if args.flag("flush") {
            Self::Flush
        } else if args.str("policy").is_some() {
            Self::Policy
        } else if has_rule {
            Self::Rule { present }
        } else {
            Self::Chain { present }
        }
    }
}

/// How long to wait for the lock, if the program can: since 1.4.20, with seconds since 1.6.0.
fn wait<'a>(program: &Path, args: &'a Args, ctx: &Context) -> Result<Option<&'a str>, Fault> {
    let ran = Cmd::new(program).arg("--version").plain_locale().checked(ctx)?;
    Ok(args.str("wait").filter(|wait| !wait.is_empty() && version(&ran.out()) >= vec![1, 6]))
}

/// The numbers in `iptables v1.8.9 (nf_tables)`.
fn version(text: &str) -> Vec<u32> {
    let told = text.split('v').nth(1).unwrap_or_default();
    let told = told.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or_default();
    told.split('.').map_while(|part| part.parse().ok()).collect()
}

/// One of the tables, as one of the programs sees it.
struct Table<'a> {
    program: &'a Path,
    args: &'a Args,
    rule: &'a [String],
    wait: Option<&'a str>,
    ctx: &'a Context,
}

impl Table<'_> {
    /// Returns whether something was, or in check mode would be, changed.
    fn ensure(&self, act: Act) -> Result<bool, Fault> {
        let changes = match act {
            Act::Flush => true,
            Act::Policy => self.policy()? != self.args.text("policy"),
            // The names of what rules have as numbers are nothing to wait for.
            Act::Chain { present } => self.holds(self.command("-L").arg("--numeric"))? != present,
            Act::Rule { present } => self.holds(self.command("-C").args(self.rule))? != present,
        };
        if !changes || self.ctx.check {
            return Ok(changes);
        }
        let manages = self.args.flag("chain_management");
        let cmd = match act {
            Act::Flush => self.command("-F"),
            Act::Policy => self.command("-P").arg(self.args.text("policy")),
            Act::Chain { .. } if !manages => return Ok(true),
            Act::Chain { present: true } => self.command("-N"),
            Act::Chain { present: false } => self.command("-X"),
            Act::Rule { present: false } => self.command("-D").args(self.rule),
            Act::Rule { present: true } if self.args.text("action") == "insert" => {
                self.command("-I").args(self.rule)
            }
            Act::Rule { present: true } => self.command("-A").args(self.rule),
        };
        cmd.checked(self.ctx)?;
        Ok(true)
    }

    /// The program with an action on the chain.
    fn command(&self, action: &str) -> Cmd {
        let given = |name| self.args.str(name).map(|text| place::expand(text, self.ctx));
        let number = given("rule_num").filter(|it| action == "-I" && !it.is_empty());
        let wait = self.wait.map(|wait| place::expand(wait, self.ctx));
        Cmd::new(self.program)
            .args(["-t", self.args.text("table"), action])
            .args(given("chain"))
            .args(number)
            .args(wait.map(|wait| ["-w".to_owned(), wait]).into_iter().flatten())
            .plain_locale()
    }

    fn holds(&self, cmd: Cmd) -> Result<bool, Fault> {
        let what = format!("cannot run {}", self.program.display());
        Ok(cmd.run(self.ctx).or_fail(what)?.success())
    }

    fn policy(&self) -> Result<String, Fault> {
        let ran = self.command("-L").arg("--numeric").checked(self.ctx)?;
        let policy = policy_of(&ran.out()).map(str::to_owned);
        policy.ok_or_else(|| fail!("Can't detect current policy"))
    }
}

/// What `Chain INPUT (policy ACCEPT)` says.
fn policy_of(listed: &str) -> Option<&str> {
    let (_, rest) = listed.lines().next()?.split_once("(policy ")?;
    let end = rest.find(|c: char| !c.is_ascii_uppercase()).filter(|end| *end > 0)?;
    rest[end..].starts_with(')').then_some(&rest[..end])
}

/// The words of a rule that leads to `jump`.
fn words(args: &Args, jump: Option<&str>) -> Result<Vec<String>, Fault> {
    let mut rule = Rule { words: Vec::new(), args };
    rule.asks(&[("protocol", "-p"), ("source", "-s"), ("destination", "-d")])?;
    let matches = args.list("match");
    for name in &matches {
        rule.says("-m", name)?;
    }
    rule.tcp_flags()?;
    rule.maybe("-j", jump)?;
    if jump.is_some_and(|jump| jump.eq_ignore_ascii_case("tee")) {
        rule.asks(&[("gateway", "--gateway")])?;
    }
    rule.asks(&[
        ("log_prefix", "--log-prefix"),
        ("log_level", "--log-level"),
        ("to_destination", "--to-destination"),
    ])?;
    rule.several("destination_ports", "--dports", Some("multiport"));
    rule.asks(&[
        ("to_source", "--to-source"),
        ("goto", "-g"),
        ("in_interface", "-i"),
        ("out_interface", "-o"),
        ("fragment", "-f"),
        ("set_counters", "-c"),
        ("source_port", "--source-port"),
        ("destination_port", "--destination-port"),
        ("to_ports", "--to-ports"),
    ])?;
    for (name, flag) in
        [("set_dscp_mark", "--set-dscp"), ("set_dscp_mark_class", "--set-dscp-class")]
    {
        rule.asks(&[(name, flag)])?;
        let elsewhere = jump.is_some_and(|jump| !jump.eq_ignore_ascii_case("dscp"));
        if args.str(name).is_some() && elsewhere {
            rule.push(&["-j", "DSCP"]);
        }
    }
    rule.switch("syn", "--syn");
    let has = |name: &str| matches.iter().any(|it| it == name);
    match () {
        () if has("conntrack") => rule.several("ctstate", "--ctstate", None),
        () if has("state") => rule.several("ctstate", "--state", None),
        () => rule.several("ctstate", "--ctstate", Some("conntrack")),
    }
    let ranges = args.str("src_range").or(args.str("dst_range")).is_some();
    if ranges && !has("iprange") {
        rule.push(&["-m", "iprange"]);
    }
    rule.asks(&[("src_range", "--src-range"), ("dst_range", "--dst-range")])?;
    rule.set(has("set"))?;
    if args.str("limit").or(args.str("limit_burst")).is_some() {
        rule.push(&["-m", "limit"]);
    }
    rule.asks(&[("limit", "--limit"), ("limit_burst", "--limit-burst")])?;
    for (name, flag) in [("uid_owner", "--uid-owner"), ("gid_owner", "--gid-owner")] {
        if args.str(name).is_some() {
            rule.push(&["-m", "owner"]);
        }
        rule.switch(name, flag);
        rule.asks(&[(name, flag)])?;
    }
    if jump.is_none() && args.str("reject_with").is_some() {
        rule.push(&["-j", "REJECT"]);
    }
    let icmp = match args.text("ip_version") {
        "ipv4" => "--icmp-type",
        "ipv6" => "--icmpv6-type",
        // One word, which the program refuses.
        _ => "--icmp-type --icmpv6-type",
    };
    rule.asks(&[("reject_with", "--reject-with"), ("icmp_type", icmp)])?;
    if args.str("comment").is_some() {
        rule.push(&["-m", "comment"]);
    }
    rule.asks(&[("comment", "--comment")])?;
    Ok(rule.words)
}

/// A rule in the making.
struct Rule<'a> {
    words: Vec<String>,
    args: &'a Args,
}

impl Rule<'_> {
    fn push(&mut self, words: &[&str]) {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// A flag with its value; an exclamation mark before the value turns its meaning around.
    fn says(&mut self, flag: &str, value: &str) -> Result<(), Fault> {
        match value.strip_prefix('!') {
            _ if value.is_empty() => {
                return Err(Fault::beyond(format!("{flag} needs a value that is not empty")));
            }
            Some(value) => self.push(&["!", flag, value]),
            None => self.push(&[flag, value]),
        }
        Ok(())
    }

    fn maybe(&mut self, flag: &str, value: Option<&str>) -> Result<(), Fault> {
        value.map_or(Ok(()), |value| self.says(flag, value))
    }

    /// Flags of the arguments that are given.
    fn asks(&mut self, flags: &[(&str, &str)]) -> Result<(), Fault> {
        flags.iter().try_for_each(|(name, flag)| self.maybe(flag, self.args.str(name)))
    }

    /// A flag with the elements of a list, after the match that knows it.
    fn several(&mut self, name: &str, flag: &str, matching: Option<&str>) {
        let values = self.args.list(name);
        if values.is_empty() {
            return;
        }
        if let Some(matching) = matching {
            self.push(&["-m", matching]);
        }
        self.push(&[flag, &values.join(",")]);
    }

    /// A flag without a value, which `match` asks for and `negate` turns around.
    fn switch(&mut self, name: &str, flag: &str) {
        match self.args.str(name) {
            Some("match") => self.push(&[flag]),
            Some("negate") => self.push(&["!", flag]),
            _ => {}
        }
    }

    fn tcp_flags(&mut self) -> Result<(), Fault> {
        let Some(given) = self.args.dict("tcp_flags") else { return Ok(()) };
        let (Some(flags), Some(set), 2) =
            (texts(given, "flags"), texts(given, "flags_set"), given.len())
        else {
            return Err(Fault::beyond("tcp_flags needs both flags and flags_set, as lists"));
        };
        self.push(&["--tcp-flags", &flags, &set]);
        Ok(())
    }

    fn set(&mut self, matched: bool) -> Result<(), Fault> {
        let (name, flags) = (self.args.str("match_set"), self.args.str("match_set_flags"));
        if name.is_none() && !matched {
            return Ok(());
        }
        let Some(flags) = flags else {
            return Err(Fault::beyond("a set is matched with match_set_flags"));
        };
        if !matched {
            self.push(&["-m", "set"]);
        }
        self.maybe("--match-set", name)?;
        self.push(&[flags]);
        Ok(())
    }
}

/// A list of texts in a dict, or text with commas, as the program takes it.
fn texts(given: &Map<String, Value>, name: &str) -> Option<String> {
    match given.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            Some(items.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn given(args: Value) -> Args {
        let spec = updraft_spec::find("iptables").unwrap();
        let args = args.as_object().unwrap();
        Args::check(spec, "iptables", args, &Context::system()).unwrap()
    }

    #[track_caller]
    fn check(args: Value, rule: &str) {
        let args = given(args);
        let jump = jump(&args).unwrap();
        assert_eq!(words(&args, jump).unwrap().join(" "), rule);
    }

    #[test]
    fn the_words_of_a_rule_stand_in_one_order() {
        check(json!({ "chain": "INPUT" }), "");
        check(
            json!({ "chain": "INPUT", "jump": "ACCEPT", "destination_port": 22, "protocol": "tcp", "source": "!10.0.0.0/8", "comment": "a b" }),
            "-p tcp ! -s 10.0.0.0/8 -j ACCEPT --destination-port 22 -m comment --comment a b",
        );
        check(
            json!({ "chain": "INPUT", "ctstate": "ESTABLISHED,RELATED", "jump": "ACCEPT" }),
            "-j ACCEPT -m conntrack --ctstate ESTABLISHED,RELATED",
        );
        check(
            json!({ "chain": "INPUT", "match": ["state"], "ctstate": ["NEW"], "syn": "negate" }),
            "-m state ! --syn --state NEW",
        );
        check(
            json!({ "chain": "X", "destination_ports": ["80", "8000:8010"], "protocol": "tcp", "goto": "Y" }),
            "-p tcp -m multiport --dports 80,8000:8010 -g Y",
        );
        check(
            json!({ "chain": "X", "tcp_flags": { "flags": "ALL", "flags_set": ["ACK", "RST"] } }),
            "--tcp-flags ALL ACK,RST",
        );
        check(
            json!({ "chain": "X", "match_set": "admins", "match_set_flags": "src", "src_range": "10.0.0.1-10.0.0.9" }),
            "-m iprange --src-range 10.0.0.1-10.0.0.9 -m set --match-set admins src",
        );
        check(
            json!({ "chain": "X", "jump": "TEE", "gateway": "10.0.0.1", "uid_owner": "root", "limit": "2/s" }),
            "-j TEE --gateway 10.0.0.1 -m limit --limit 2/s -m owner --uid-owner root",
        );
        check(
            json!({ "chain": "X", "set_dscp_mark": "8", "jump": "ACCEPT" }),
            "-j ACCEPT --set-dscp 8 -j DSCP",
        );
        check(
            json!({ "chain": "X", "reject_with": "tcp-reset" }),
            "-j REJECT --reject-with tcp-reset",
        );
        check(json!({ "chain": "X", "icmp_type": "8", "ip_version": "ipv6" }), "--icmpv6-type 8");
    }

    #[test]
    fn what_has_a_prefix_is_logged_and_nothing_else() {
        check(json!({ "chain": "X", "log_prefix": "drop: " }), "-j LOG --log-prefix drop: ");
        let args = given(json!({ "chain": "X", "log_level": "info", "jump": "DROP" }));
        assert!(jump(&args).is_err());
    }

    #[test]
    fn what_makes_no_rule_is_left_to_others() {
        for args in [
            json!({ "chain": "X", "source": "" }),
            json!({ "chain": "X", "match_set": "admins" }),
            json!({ "chain": "X", "tcp_flags": { "flags": "ALL" } }),
        ] {
            let fault = words(&given(args), None).unwrap_err();
            assert!(fault.fields.contains_key(updraft_wire::BEYOND));
        }
    }

    #[test]
    fn a_task_is_about_one_thing() {
        let act = |args: Value, has_rule| Act::asked(&given(args), has_rule);
        assert_eq!(act(json!({ "flush": true }), true), Act::Flush);
        assert_eq!(act(json!({ "chain": "X", "policy": "DROP" }), false), Act::Policy);
        let absent = json!({ "chain": "X", "state": "absent" });
        assert_eq!(act(absent.clone(), false), Act::Chain { present: false });
        assert_eq!(act(absent, true), Act::Rule { present: false });
    }

    #[test]
    fn answers_of_the_program_are_read() {
        assert_eq!(version("iptables v1.8.9 (nf_tables)\n"), [1, 8, 9]);
        assert!(version("iptables v1.4.21\n") < vec![1, 6]);
        assert_eq!(policy_of("Chain INPUT (policy DROP)\ntarget prot\n"), Some("DROP"));
        assert_eq!(policy_of("Chain own (1 references)\n"), None);
    }
}
