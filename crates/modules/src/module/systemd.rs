//! `systemd_service`: a unit runs or does not, now and at boot.
//!
//! One `systemctl show` tells everything there is to know; other calls only change things. Where
//! process 1 itself can be asked the same, it is: see [`crate::systemctl`].

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail};
use crate::systemctl::{Systemctl, offline, plain};
use serde_json::{Map, Value, json};
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let unit = args.str("name");
    if let Some(unit) = unit
        && let Some(sign) = ['*', '?', '['].into_iter().find(|sign| unit.contains(*sign))
    {
        return Err(fail!(
            "This module does not currently support using glob patterns, found '{sign}' in service name: {unit}"
        ));
    }
    let systemctl = Systemctl::new(args, ctx)?;
    let mut job = Job { systemctl, args, ctx, warnings: Vec::new(), changed: false };
    let enabled_before = job.enable_before_reload(unit)?;
    job.changed |= enabled_before;
    for action in ["daemon-reload", "daemon-reexec"] {
        job.daemon(action)?;
    }
    let mut outcome = Outcome::changed(false)
        .with("name", unit.map_or(Value::Null, Value::from))
        .with("status", json!({}));
    if let Some(unit) = unit {
        outcome = job.unit(unit, outcome)?;
    }
    if !job.warnings.is_empty() {
        outcome = outcome.with("warnings", job.warnings);
    }
    Ok(outcome.with("changed", job.changed))
}

struct Job<'a> {
    systemctl: Systemctl<'a>,
    args: &'a Args,
    ctx: &'a Context,
    warnings: Vec<String>,
    changed: bool,
}

impl Job<'_> {
    /// Enables a unit whose file is there before the reload that is asked for too: `enable` would
    /// reload once more, which takes an emulated machine two seconds. What stands on the disk and
    /// what systemd knows is the same in the end. Whatever is not as simple takes the usual way.
    fn enable_before_reload(&self, unit: Option<&str>) -> Result<bool, Fault> {
        let Some(unit) = unit else { return Ok(false) };
        let asked = self.args.flag("daemon_reload") && self.args.maybe("enabled") == Some(true);
        if !asked || self.args.maybe("masked").is_some() || self.ctx.check {
            return Ok(false);
        }
        let (_, word) = self.is_enabled(unit)?;
        Ok(word == "disabled" && self.systemctl.call(&["--no-reload", "enable", unit])?.success())
    }

    fn daemon(&mut self, action: &str) -> Result<(), Fault> {
        if !self.args.flag(&action.replace('-', "_")) || self.ctx.check {
            return Ok(());
        }
        let ran = self.systemctl.call(&[action])?;
        if ran.success() {
            return Ok(());
        }
        if !offline(self.ctx) {
            return Err(fail!("failure {} during {action}: {}", ran.code, ran.err()));
        }
        self.warnings.push(format!(
            "{action} failed, but target is a chroot or systemd is offline. Continuing. Error was: {} / {}",
            ran.code,
            ran.err()
        ));
        Ok(())
    }

    fn unit(&mut self, unit: &str, mut outcome: Outcome) -> Done {
        let seen = self.look(unit)?;
        outcome = outcome.with("status", seen.status.clone());
        let missing = || fail!("Could not find the requested service {unit}: host");
        if let Some(wanted) = self.args.maybe("masked")
            && wanted != seen.masked
        {
            self.changed = true;
            if !self.ctx.check {
                let action = if wanted { "mask" } else { "unmask" };
                let ran = self.systemctl.call(&[action, unit])?;
                if !ran.success() {
                    if !seen.found {
                        return Err(missing());
                    }
                    let err = ran.err();
                    return Err(fail!("Failed to {action} the service ({unit}): {}", err.trim()));
                }
            }
        }
        if let Some(wanted) = self.args.maybe("enabled") {
            if !seen.found {
                return Err(missing());
            }
            outcome = outcome.with("enabled", wanted);
            if wanted != seen.enabled {
                self.changed = true;
                if !self.ctx.check {
                    let action = if wanted { "enable" } else { "disable" };
                    self.act(action, unit, true)?;
                }
            }
        }
        if let Some(wanted) = self.args.str("state") {
            if !seen.found {
                return Err(missing());
            }
            let Some(active) = seen.status.get("ActiveState").and_then(Value::as_str) else {
                if offline(self.ctx) {
                    self.warnings.push(
                        "Target is a chroot or systemd is offline. This can lead to false \
                         positives or prevent the init system tools from working."
                            .to_owned(),
                    );
                    return Ok(outcome.with("state", wanted));
                }
                return Err(fail!("Service is in unknown state").with("status", seen.status));
            };
            let (action, state) = decide(wanted, active);
            outcome = outcome.with("state", state);
            if let Some(action) = action {
                self.changed = true;
                if !self.ctx.check {
                    self.act(action, unit, false)?;
                }
            }
        }
        Ok(outcome)
    }

    fn act(&self, action: &str, unit: &str, with_output: bool) -> Result<(), Fault> {
        let ran = self.systemctl.call(&[action, unit])?;
        if ran.success() {
            return Ok(());
        }
        let out = if with_output { ran.out() } else { String::new() };
        Err(fail!("Unable to {action} service {unit}: {out}{}", ran.err()))
    }

    /// What decides, without the two hundred properties that nobody will look at. Nothing if the
    /// unit is not in order, which takes the long look.
    fn glance(&self, unit: &str) -> Option<Seen> {
        let mut manager = self.systemctl.manager.borrow_mut();
        let manager = manager.as_mut().filter(|_| self.ctx.brief && plain(unit))?;
        let mut status = Map::new();
        for name in ["LoadState", "UnitFileState", "ActiveState"] {
            status.insert(name.to_owned(), manager.property(unit, name).ok()?.into());
        }
        let state = status["UnitFileState"].as_str().unwrap_or_default();
        let settled = matches!(state, "enabled" | "disabled" | "static")
            || self.args.raw("enabled").is_none() && state != "masked";
        let enabled = counts_as_enabled(state);
        (status["LoadState"] == "loaded" && settled).then(|| Seen {
            found: true,
            enabled,
            masked: false,
            status,
        })
    }

    fn look(&self, unit: &str) -> Result<Seen, Fault> {
        if let Some(seen) = self.glance(unit) {
            return Ok(seen);
        }
        let ran = self.systemctl.call(&["show", unit])?;
        let (out, err) = (ran.out(), ran.err());
        let script = Path::new("/etc/init.d").join(unit).is_file();
        if ran.success() && !ignored(&out) && !ignored(&err) && !out.is_empty() {
            let status = parse_show(&out);
            let field = |name: &str| status.get(name).and_then(Value::as_str).unwrap_or_default();
            let load = field("LoadState").to_owned();
            let found = !load.is_empty() && load != "not-found";
            if found && load != "masked" && status.contains_key("LoadError") {
                let error = field("LoadError");
                return Err(fail!("Error loading unit file '{unit}': {error}"));
            }
            let file_state = field("UnitFileState").to_owned();
            let enabled = match file_state.as_str() {
                // Units made from init scripts answer for their script, which takes a question
                // to systemd-sysv-install.
                "generated" | "indirect" | "" if self.args.raw("enabled").is_some() => {
                    self.is_enabled(unit)?.0
                }
                state => counts_as_enabled(state),
            };
            let masked = file_state == "masked" || load == "masked";
            return Ok(Seen { found: found || script, enabled, masked, status });
        }
        // No manager answers: a chroot, a container, an image being built. Unit files still tell.
        let (enabled, word) = self.is_enabled(unit)?;
        let known = matches!(
            word.as_str(),
            "enabled"
                | "enabled-runtime"
                | "linked"
                | "linked-runtime"
                | "masked"
                | "masked-runtime"
                | "static"
                | "indirect"
                | "disabled"
                | "generated"
                | "transient"
        );
        let found = known || self.systemctl.call(&["list-unit-files", unit])?.success();
        let masked = word == "masked";
        Ok(Seen { found: found || script, enabled, masked, status: Map::new() })
    }

    /// What `is-enabled` says, as yes or no and as the word itself.
    fn is_enabled(&self, unit: &str) -> Result<(bool, String), Fault> {
        let ran = self.systemctl.call(&["is-enabled", unit])?;
        let word = ran.out().lines().next().unwrap_or_default().trim().to_owned();
        let mut enabled = ran.success();
        if enabled && matches!(word.as_str(), "enabled-runtime" | "indirect" | "alias") {
            // It is enabled through other units, if the long answer names their links.
            let long = self.systemctl.call(&["is-enabled", unit, "-l"])?;
            enabled = long.out().trim_end() != word;
        }
        Ok((enabled, word))
    }
}

/// What is known of a unit.
struct Seen {
    found: bool,
    enabled: bool,
    masked: bool,
    status: Map<String, Value>,
}

/// Unit file states for which `systemctl is-enabled` succeeds and nothing is left to enable.
fn counts_as_enabled(state: &str) -> bool {
    matches!(state, "enabled" | "static" | "generated")
}

/// The act that leads from an active state to the wanted one, and the state the result tells.
fn decide<'a>(wanted: &'a str, active: &str) -> (Option<&'static str>, &'a str) {
    let running = matches!(active, "active" | "activating");
    match wanted {
        "started" => ((!running).then_some("start"), wanted),
        "stopped" => ((running || active == "deactivating").then_some("stop"), wanted),
        _ if !running => (Some("start"), "started"),
        "restarted" => (Some("restart"), "started"),
        _ => (Some("reload"), "started"),
    }
}

fn ignored(text: &str) -> bool {
    !text.contains('=') && (text.contains("ignoring request") || text.contains("ignoring command"))
}

/// The properties `systemctl show` prints; only `Exec…` ones may go over several lines.
fn parse_show(text: &str) -> Map<String, Value> {
    let mut status = Map::new();
    let mut open: Option<(String, Vec<&str>)> = None;
    for line in text.split('\n') {
        if let Some((key, mut lines)) = open.take() {
            lines.push(line);
            if line.trim_end().ends_with('}') {
                status.insert(key, lines.join("\n").trim().into());
            } else {
                open = Some((key, lines));
            }
        } else if let Some((key, value)) = line.split_once('=') {
            let block = key.starts_with("Exec") && value.trim_start().starts_with('{');
            if block && !value.trim_end().ends_with('}') {
                open = Some((key.to_owned(), vec![value]));
            } else {
                status.insert(key.to_owned(), value.trim().into());
            }
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::tests::{Answer, FakeManager};

    #[test]
    fn the_state_decides_what_is_done() {
        for (wanted, active, action, state) in [
            ("started", "active", None, "started"),
            ("started", "activating", None, "started"),
            ("started", "inactive", Some("start"), "started"),
            ("started", "failed", Some("start"), "started"),
            ("stopped", "active", Some("stop"), "stopped"),
            ("stopped", "deactivating", Some("stop"), "stopped"),
            ("stopped", "failed", None, "stopped"),
            ("restarted", "active", Some("restart"), "started"),
            ("restarted", "inactive", Some("start"), "started"),
            ("reloaded", "active", Some("reload"), "started"),
            ("reloaded", "failed", Some("start"), "started"),
        ] {
            assert_eq!(decide(wanted, active), (action, state), "{wanted} from {active}");
        }
    }

    #[test]
    fn properties_over_several_lines_are_kept_together() {
        let text = "Id=ssh.service\nExecStart={ path=/usr/sbin/sshd ;\n argv[]=a }\n\
                    Description={ odd\nActiveState=active\nEnvironment=A=B\n";
        let status = parse_show(text);
        assert_eq!(status["Id"], "ssh.service");
        assert_eq!(status["ExecStart"], "{ path=/usr/sbin/sshd ;\n argv[]=a }");
        assert_eq!(status["Description"], "{ odd");
        assert_eq!(status["ActiveState"], "active");
        assert_eq!(status["Environment"], "A=B");
    }

    #[test]
    fn only_settled_unit_files_count_as_enabled() {
        for (state, enabled) in [
            ("enabled", true),
            ("static", true),
            ("enabled-runtime", false),
            ("indirect", false),
            ("alias", false),
            ("disabled", false),
            ("masked", false),
            ("linked", false),
        ] {
            assert_eq!(counts_as_enabled(state), enabled, "{state}");
        }
    }

    /// A `systemctl` that keeps units as files below a directory and notes how it is called.
    const FAKE: &str = r#"#!/bin/sh
state=${0%/*}/state
echo "$*" >> "$state/calls"
while case $1 in --*) true ;; *) false ;; esac; do shift; done
verb=$1 unit=$2
case $verb in
show)
    if [ -e "$state/$unit.active" ]; then
        echo LoadState=loaded
        echo "ActiveState=$(cat "$state/$unit.active")"
        echo "UnitFileState=$(cat "$state/$unit.file")"
    else
        echo LoadState=not-found
        echo ActiveState=inactive
    fi ;;
start|restart) echo active > "$state/$unit.active" ;;
stop) echo inactive > "$state/$unit.active" ;;
is-enabled) cat "$state/$unit.file"; grep -q ^enabled "$state/$unit.file" ;;
enable) echo enabled > "$state/$unit.file" ;;
disable) echo disabled > "$state/$unit.file" ;;
mask) echo masked > "$state/$unit.file" ;;
esac
"#;

    struct Fake {
        dir: tempfile::TempDir,
        ctx: Context,
    }

    impl Fake {
        fn new() -> Self {
            use std::os::unix::fs::PermissionsExt;
            let dir = tempfile::tempdir().unwrap();
            let program = dir.path().join("systemctl");
            std::fs::write(&program, FAKE).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::create_dir(dir.path().join("state")).unwrap();
            let mut ctx = Context { manager: None, ..Context::system() };
            let path = format!("{}:/usr/bin:/bin", dir.path().display());
            ctx.env.insert("PATH".to_owned(), path);
            let fake = Self { dir, ctx };
            fake.set("web.active", "inactive");
            fake.set("web.file", "disabled");
            fake
        }

        fn set(&self, file: &str, text: &str) {
            std::fs::write(self.dir.path().join("state").join(file), text).unwrap();
        }

        fn calls(&self) -> Vec<String> {
            let file = self.dir.path().join("state/calls");
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            std::fs::write(file, "").unwrap();
            text.lines().map(str::to_owned).collect()
        }

        fn run(&self, args: Value) -> Map<String, Value> {
            let Value::Object(args) = args else { panic!("arguments are an object") };
            crate::run("systemd_service", &args, &self.ctx).0
        }
    }

    #[test]
    fn one_look_decides_and_only_what_differs_is_done() {
        let mut fake = Fake::new();
        let args = json!({ "name": "web", "state": "started", "enabled": true });
        fake.ctx.check = true;
        assert_eq!(fake.run(args.clone())["changed"], true);
        assert_eq!(fake.calls(), ["show web"]);
        fake.ctx.check = false;
        let first = fake.run(args.clone());
        assert_eq!((&first["changed"], &first["enabled"]), (&true.into(), &true.into()));
        assert_eq!(first["state"], "started");
        assert_eq!(fake.calls(), ["show web", "enable web", "start web"]);
        let second = fake.run(args);
        assert_eq!(second["changed"], false);
        assert_eq!(second["status"]["ActiveState"], "active");
        assert_eq!(fake.calls(), ["show web"]);
    }

    #[test]
    fn a_unit_is_enabled_before_a_reload_that_is_asked_for_too() {
        let mut fake = Fake::new();
        let args = json!({ "name": "web", "enabled": true, "daemon_reload": true });
        fake.ctx.check = true;
        assert_eq!(fake.run(args.clone())["changed"], true);
        assert_eq!(fake.calls(), ["show web"]);
        fake.ctx.check = false;
        let first = fake.run(args.clone());
        assert_eq!((&first["changed"], &first["enabled"]), (&true.into(), &true.into()));
        let calls = ["is-enabled web", "--no-reload enable web", "daemon-reload", "show web"];
        assert_eq!(fake.calls(), calls);
        assert_eq!(fake.run(args)["changed"], false);
        assert_eq!(fake.calls(), ["is-enabled web", "daemon-reload", "show web"]);
    }

    #[test]
    fn restarting_reloading_and_masking_call_systemctl_once_more() {
        let fake = Fake::new();
        fake.set("web.active", "active");
        let args = json!({ "name": "web", "state": "restarted", "daemon_reload": true });
        assert_eq!(fake.run(args)["changed"], true);
        assert_eq!(fake.calls(), ["daemon-reload", "show web", "restart web"]);
        let args = json!({ "name": "web", "state": "reloaded", "no_block": true });
        assert_eq!(fake.run(args)["changed"], true);
        assert_eq!(fake.calls(), ["--no-block show web", "--no-block reload web"]);
        assert_eq!(fake.run(json!({ "name": "web", "masked": true }))["changed"], true);
        assert_eq!(fake.run(json!({ "name": "web", "masked": true }))["changed"], false);
    }

    #[test]
    fn a_service_that_is_not_there_is_named() {
        let fake = Fake::new();
        for args in [
            json!({ "name": "nope", "state": "started" }),
            json!({ "name": "nope", "enabled": true }),
        ] {
            let result = fake.run(args);
            assert_eq!(result["msg"], "Could not find the requested service nope: host");
        }
        let result = fake.run(json!({ "name": "we*", "state": "started" }));
        assert!(result["msg"].as_str().unwrap().contains("glob patterns"));
        let result = fake.run(json!({ "state": "started" }));
        assert_eq!(result["msg"], "missing parameter(s) required by 'state': name");
    }

    /// Runs once with a manager that answers like this, and tells what it was asked.
    fn with_manager(
        fake: &mut Fake,
        answers: &'static [Answer],
        args: Value,
    ) -> (Map<String, Value>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let manager = FakeManager::start(dir.path(), answers);
        fake.ctx.manager = Some(manager.socket.clone());
        fake.ctx.brief = true;
        let result = fake.run(args);
        (result, manager.asked())
    }

    #[test]
    fn a_manager_that_answers_spares_the_program() {
        let mut fake = Fake::new();
        let answers = &[
            Answer::Text("disabled"),
            Answer::Done,
            Answer::Done,
            Answer::Property("loaded"),
            Answer::Property("enabled"),
            Answer::Property("inactive"),
            Answer::Done,
            Answer::Job("done"),
        ];
        let args =
            json!({ "name": "web", "enabled": true, "state": "restarted", "daemon_reload": true });
        let (result, asked) = with_manager(&mut fake, answers, args);
        assert_eq!((&result["changed"], &result["state"]), (&true.into(), &"started".into()));
        let reload = ["GetUnitFileState", "EnableUnitFiles", "Reload"];
        let start = ["Get", "Get", "Get", "Subscribe", "StartUnit"];
        assert_eq!(asked, [&reload[..], &start].concat());
        assert_eq!(fake.calls(), [] as [&str; 0]);
    }

    #[test]
    fn whatever_a_manager_refuses_is_asked_of_the_program() {
        let mut fake = Fake::new();
        let args = json!({ "name": "web", "state": "started" });
        let refused = &[Answer::Refused, Answer::Done, Answer::Refused];
        let (result, _) = with_manager(&mut fake, refused, args);
        assert_eq!(result["changed"], true);
        assert_eq!(fake.calls(), ["show web", "start web"]);
    }

    #[test]
    fn a_job_that_fails_is_told_as_systemctl_tells_it() {
        let mut fake = Fake::new();
        let answers = &[
            Answer::Property("loaded"),
            Answer::Property("enabled"),
            Answer::Property("inactive"),
            Answer::Done,
            Answer::Job("failed"),
            Answer::Property("exit-code"),
        ];
        let args = json!({ "name": "web", "state": "started" });
        let (result, _) = with_manager(&mut fake, answers, args);
        assert_eq!(
            result["msg"],
            "Unable to start service web: Job for web.service failed because the control process \
             exited with error code.\nSee \"systemctl status web.service\" and \"journalctl -xeu \
             web.service\" for details.\n"
        );
        assert_eq!(fake.calls(), [] as [&str; 0]);
    }
}
