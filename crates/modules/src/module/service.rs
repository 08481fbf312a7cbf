//! `service`: systemd where it is in charge, init scripts elsewhere.

use crate::args::Args;
use crate::context::Context;
use crate::facts;
use crate::module::systemd;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::process::{Cmd, Ran};
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let manager = match args.text("use") {
        "auto" => facts::service_manager(ctx),
        "systemd" | "systemd_service" => "systemd".to_owned(),
        other => other.to_owned(),
    };
    // While an image is built nobody runs services, but units can be enabled all the same.
    let script = Path::new("/etc/init.d").join(args.text("name"));
    let units =
        args.text("use") == "auto" && !script.exists() && ctx.program("systemctl").is_some();
    if manager == "systemd" || units {
        return systemd::run(args, ctx);
    }
    for name in ["masked", "scope", "force", "no_block"] {
        let asked = args.flag(name) || args.str(name).is_some_and(|scope| scope != "system");
        if asked {
            return Err(fail!("{name} needs systemd, but services here are run by {manager}"));
        }
    }
    Script { name: args.text("name"), args, ctx }.run()
}

/// A service with a script in `/etc/init.d`.
struct Script<'a> {
    name: &'a str,
    args: &'a Args,
    ctx: &'a Context,
}

impl Script<'_> {
    fn run(&self) -> Done {
        let name = self.name;
        if !Path::new("/etc/init.d").join(name).exists() {
            return Err(fail!("Could not find the requested service {name}: host"));
        }
        let mut changed = false;
        let mut outcome = Outcome::default().with("name", name);
        if let Some(wanted) = self.args.maybe("enabled") {
            if wanted != starts_at_boot(name) {
                changed = true;
                self.enable(wanted)?;
            }
            outcome = outcome.with("enabled", wanted);
        }
        if let Some(wanted) = self.args.str("state") {
            let running = self.running()?;
            let actions: &[&str] = match (wanted, running) {
                ("started", true) | ("stopped", false) => &[],
                ("stopped", true) => &["stop"],
                ("restarted", true) => &["stop", "start"],
                ("reloaded", true) => &["reload"],
                _ => &["start"],
            };
            for (index, action) in actions.iter().enumerate() {
                changed = true;
                if self.ctx.check {
                    break;
                }
                if index > 0 {
                    self.ctx.time.sleep(self.args.seconds("sleep"));
                }
                let ran = self.call(&[action])?;
                if !ran.success() {
                    let said = format!("{}{}", ran.out(), ran.err());
                    return Err(fail!("Unable to {action} service {name}: {}", said.trim()));
                }
            }
            let state = if wanted == "stopped" { "stopped" } else { "started" };
            outcome = outcome.with("state", state);
        }
        Ok(outcome.with("changed", changed))
    }

    fn call(&self, words: &[&str]) -> Result<Ran, Fault> {
        let script = format!("/etc/init.d/{}", self.name);
        let extra = crate::shlex::split(self.args.text("arguments"))
            .map_err(|error| fail!("cannot read arguments: {error}"))?;
        Cmd::new(script)
            .args(words)
            .args(extra)
            .plain_locale()
            .run(self.ctx)
            .or_fail(format!("cannot run the script of service {}", self.name))
    }

    fn running(&self) -> Result<bool, Fault> {
        if let Some(pattern) = self.args.str("pattern") {
            return Ok(any_process(pattern));
        }
        // Linux Standard Base core 22.2: 0 is running, 1 to 3 are kinds of not running.
        let ran = self.call(&["status"])?;
        match ran.code {
            0 => Ok(true),
            1..=3 => Ok(false),
            code => Err(fail!("the script of service {} answers status with {code}", self.name)),
        }
    }

    fn enable(&self, wanted: bool) -> Result<(), Fault> {
        if self.ctx.check {
            return Ok(());
        }
        let calls: &[&[&str]] =
            if wanted { &[&["defaults"], &["enable"]] } else { &[&["disable"]] };
        for words in calls {
            let cmd = Cmd::new("update-rc.d").arg(self.name).args(*words).plain_locale();
            let ran = cmd.run(self.ctx).or_fail("cannot run update-rc.d")?;
            if !ran.success() {
                let verb = if wanted { "enable" } else { "disable" };
                return Err(fail!("Unable to {verb} service {}: {}", self.name, ran.err()));
            }
        }
        Ok(())
    }
}

/// Whether a start link for the service is in one of the runlevels that boot into.
fn starts_at_boot(name: &str) -> bool {
    (2..=5).any(|level| {
        std::fs::read_dir(format!("/etc/rc{level}.d")).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                let file = entry.file_name().to_string_lossy().into_owned();
                file.strip_prefix('S').is_some_and(|rest| {
                    rest.trim_start_matches(|c: char| c.is_ascii_digit()) == name
                })
            })
        })
    })
}

/// Whether the command line of any process contains a text.
fn any_process(pattern: &str) -> bool {
    std::fs::read_dir("/proc").is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(pattern)
        })
    })
}
