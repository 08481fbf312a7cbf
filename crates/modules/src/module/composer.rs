//! `composer`: has Composer do something in a project of PHP, or for the user.
//!
//! Composer is asked first which options the command takes, so that only these are passed. Never
//! here: what is in a `composer.json`.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail};
use crate::process::{Cmd, Ran, not_run};
use crate::shlex;
use serde_json::Value;
use std::path::Path;

/// Options that every command gets which takes them.
const ALWAYS: &[&str] = &["no-ansi", "no-interaction", "no-progress"];

/// Arguments that stand for options.
const FLAGS: &[(&str, &str)] = &[
    ("prefer_source", "prefer-source"),
    ("prefer_dist", "prefer-dist"),
    ("no_dev", "no-dev"),
    ("no_scripts", "no-scripts"),
    ("no_plugins", "no-plugins"),
    // Ansible's module (community.general 11.4) spells it so, and thus never passes it.
    ("apcu_autoloader", "acpu-autoloader"),
    ("optimize_autoloader", "optimize-autoloader"),
    ("classmap_authoritative", "classmap-authoritative"),
    ("ignore_platform_reqs", "ignore-platform-reqs"),
];

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let command = args.text("command");
    if command.contains(char::is_whitespace) {
        return Err(fail!("Use the 'arguments' param for passing arguments with the 'command'"));
    }
    let words = shlex::split(args.text("arguments"))
        .map_err(|_| strange("a quote among arguments that is not closed"))?;
    let composer = Composer { args, ctx };
    let takes = composer.options_of(command)?;
    let mut options = options(args, &takes);
    if ctx.check {
        if !takes.iter().any(|option| option == "dry-run") {
            let message = format!("command '{command}' does not support check mode, skipping");
            return Ok(Outcome::changed(false).with("skipped", true).with("msg", message));
        }
        options.push("--dry-run".to_owned());
    }
    options.extend(composer.place());
    options.extend(words);
    let ran = composer.run(&[command], options)?;
    if !ran.success() {
        return Err(Fault::new(on_one_line(&ran.err())).with("stdout", ran.err()));
    }
    let said = ran.out() + &ran.err();
    let message = on_one_line(&said);
    Ok(Outcome::changed(has_changed(&message)).with("msg", message).with("stdout", said))
}

fn strange(what: &str) -> Fault {
    Fault::beyond(format!("{what} is not supported"))
}

struct Composer<'a> {
    args: &'a Args,
    ctx: &'a Context,
}

impl Composer<'_> {
    /// Names of the options that a command takes.
    fn options_of(&self, command: &str) -> Result<Vec<String>, Fault> {
        let mut options = self.place();
        options.extend(["--no-interaction", "--format=json"].map(str::to_owned));
        let ran = self.run(&["help", command], options)?;
        if !ran.success() {
            return Err(Fault::new(on_one_line(&ran.err())));
        }
        options_told(&ran.out()).ok_or_else(|| strange("what Composer says of its options"))
    }

    /// The directory of the project, as an option.
    fn place(&self) -> Vec<String> {
        match self.args.str("working_dir").filter(|_| !self.args.flag("global_command")) {
            Some(dir) => vec!["--working-dir".to_owned(), dir.to_owned()],
            None => Vec::new(),
        }
    }

    fn run(&self, command: &[&str], more: Vec<String>) -> Result<Ran, Fault> {
        let program = |argument: &str, name: &str| match self.args.str(argument) {
            Some(own) => Ok(own.to_owned()),
            None => self.found(name),
        };
        let mut words = vec![program("executable", "php")?];
        words.push(program("composer_executable", "composer")?);
        if self.args.flag("global_command") {
            words.push("global".to_owned());
        }
        words.extend(command.iter().map(|word| (*word).to_owned()));
        words.extend(more);
        let cmd = Cmd::argv(&words).ok_or_else(|| strange("an empty command"))?;
        let cmd = cmd.expanded(self.ctx);
        cmd.run(self.ctx).map_err(|error| not_run(cmd.shown(), &error))
    }

    /// The full path of a program, which what was installed by hand comes before.
    fn found(&self, name: &str) -> Result<String, Fault> {
        let mut wider = self.ctx.clone();
        if Path::new("/usr/local/bin").exists() {
            let path = self.ctx.var("PATH").unwrap_or_default();
            wider.env.insert("PATH".to_owned(), format!("/usr/local/bin:{path}"));
        }
        Ok(wider.required(name)?.to_string_lossy().into_owned())
    }
}

/// Names of options in what `help --format=json` tells.
fn options_told(told: &str) -> Option<Vec<String>> {
    let told: Value = serde_json::from_str(told).ok()?;
    match told.get("definition")?.get("options")? {
        Value::Object(options) => Some(options.keys().cloned().collect()),
        // An empty mapping of PHP.
        Value::Array(options) if options.is_empty() => Some(Vec::new()),
        _ => None,
    }
}

/// What is passed of the options that a command takes.
fn options(args: &Args, takes: &[String]) -> Vec<String> {
    let asked = FLAGS.iter().filter(|(name, _)| args.flag(name)).map(|(_, option)| *option);
    let wanted = ALWAYS.iter().copied().chain(asked);
    wanted
        .filter(|wanted| takes.iter().any(|option| option == wanted))
        .map(|option| format!("--{option}"))
        .collect()
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has_changed(said: &str) -> bool {
    let nothing = ["Nothing to install or update", "Nothing to install, update or remove"];
    !nothing.iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(mut args: Value) -> Args {
        args["working_dir"] = "/x".into();
        let spec = updraft_spec::find("composer").unwrap();
        Args::check(spec, "composer", args.as_object().unwrap(), &Context::system()).unwrap()
    }

    #[test]
    fn options_are_read_from_the_help() {
        let told = r#"{"name":"x","definition":{"options":{"no-dev":{},"no-ansi":{}}}}"#;
        assert_eq!(options_told(told).unwrap(), ["no-dev", "no-ansi"]);
        assert!(options_told(r#"{"definition":{"options":[]}}"#).unwrap().is_empty());
        for told in ["", "{}", r#"{"definition":{}}"#, r#"{"definition":{"options":["x"]}}"#] {
            assert_eq!(options_told(told), None, "{told}");
        }
    }

    #[test]
    fn only_options_that_a_command_takes_are_passed() {
        let all: Vec<String> = ALWAYS.iter().map(|option| (*option).to_owned()).collect();
        let more = ["optimize-autoloader", "no-dev", "prefer-dist", "apcu-autoloader"];
        let all: Vec<String> = all.into_iter().chain(more.map(str::to_owned)).collect();
        for (args, takes, expected) in [
            (
                json!({}),
                &all[..],
                "--no-ansi --no-interaction --no-progress --no-dev --optimize-autoloader",
            ),
            (
                json!({ "no_dev": false, "prefer_dist": true }),
                &all[2..],
                "--no-progress --prefer-dist --optimize-autoloader",
            ),
            (
                json!({ "apcu_autoloader": true, "optimize_autoloader": false }),
                &all[3..],
                "--no-dev",
            ),
            (json!({}), &all[..0], ""),
        ] {
            assert_eq!(options(&asked(args.clone()), takes).join(" "), expected, "{args}");
        }
    }

    #[test]
    fn what_composer_says_tells_whether_it_did_something() {
        for (said, changed) in [
            ("Loading\n  - Installing a/b (1.0)\n", true),
            ("", true),
            ("Lock file\nNothing to install or update\n", false),
            ("Nothing  to install,\nupdate or remove", false),
        ] {
            assert_eq!(has_changed(&on_one_line(said)), changed, "{said}");
        }
    }
}
