//! `npm`: packages of Node.js, in a directory or for everyone.
//!
//! Npm is asked what is there and what is outdated, and installs or removes; which of these it is
//! to do is decided here. Never here: what is in a `package.json`.

use crate::args::{Args, text_of};
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::process::{Cmd, Ran, not_run};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Options that npm gets where the argument of that name is on, before and after the package.
const BEFORE: &[(&str, &str)] =
    &[("ignore_scripts", "--ignore-scripts"), ("unsafe_perm", "--unsafe-perm")];
const AFTER: &[(&str, &str)] =
    &[("no_optional", "--no-optional"), ("no_bin_links", "--no-bin-links"), ("force", "--force")];

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    if !is_given(args, "path") && !args.flag("global") {
        return Err(fail!("path must be specified when not using global"));
    }
    let npm = Npm { command: command(args, ctx)?, package: package(args)?, args, ctx };
    if args.flag("ci") {
        npm.change("ci")?;
        return Ok(Outcome::changed(true));
    }
    let listed = npm.list()?;
    let tasks: Vec<&str> = match args.text("state") {
        "absent" => {
            let is_there = listed.installed.iter().any(|name| name == args.text("name"));
            is_there.then_some("uninstall").into_iter().collect()
        }
        state => {
            let is_old = state == "latest" && npm.is_outdated()?;
            let install = listed.is_missing.then_some("install");
            install.into_iter().chain(is_old.then_some("update")).collect()
        }
    };
    for task in &tasks {
        npm.change(task)?;
    }
    Ok(Outcome::changed(!tasks.is_empty()))
}

fn strange(what: &str) -> Fault {
    Fault::beyond(format!("{what} is not supported"))
}

fn is_given(args: &Args, name: &str) -> bool {
    args.str(name).is_some_and(|text| !text.is_empty())
}

/// What npm is run by.
fn command(args: &Args, ctx: &Context) -> Result<Vec<String>, Fault> {
    match args.str("executable").filter(|own| !own.is_empty()) {
        Some(own) => Ok(own.split(' ').map(str::to_owned).collect()),
        None => Ok(vec![ctx.required("npm")?.to_string_lossy().into_owned()]),
    }
}

/// The package with the version that is asked for.
fn package(args: &Args) -> Result<Option<String>, Fault> {
    let version = args.str("version").filter(|version| !version.is_empty());
    match (args.str("name"), version.filter(|_| args.text("state") != "absent")) {
        (Some(name), Some(version)) => Ok(Some(format!("{name}@{version}"))),
        (None, Some(_)) => Err(strange("the version of no package")),
        (name, None) => Ok(name.map(str::to_owned)),
    }
}

struct Npm<'a> {
    command: Vec<String>,
    package: Option<String>,
    args: &'a Args,
    ctx: &'a Context,
}

impl Npm<'_> {
    /// Has npm do something, which must succeed; in check mode nothing is done.
    fn change(&self, task: &str) -> Result<(), Fault> {
        if self.ctx.check {
            return Ok(());
        }
        let cmd = self.asked(&[task], self.package.as_deref())?;
        cmd.checked(self.ctx).map(drop)
    }

    /// What is installed.
    fn list(&self) -> Result<Listed, Fault> {
        let ran = self.look(&["list", "--json", "--long"], None)?;
        Listed::parse(&ran.out(), self.package.as_deref())
            .ok_or_else(|| strange("what npm says is installed"))
    }

    /// Whether there are newer versions of something.
    fn is_outdated(&self) -> Result<bool, Fault> {
        let told = self.look(&["outdated"], self.package.as_deref())?.out();
        let mut lines = told.lines().filter(|line| !line.is_empty()).peekable();
        let is_outdated = lines.peek().is_some();
        match lines.all(|line| line.contains(|c: char| c.is_whitespace() || c == '@')) {
            true => Ok(is_outdated),
            false => Err(strange("what npm says is outdated")),
        }
    }

    /// Asks npm for something. It may say that not all is well, and does so by how it ends.
    fn look(&self, words: &[&str], package: Option<&str>) -> Result<Ran, Fault> {
        let cmd = self.asked(words, package)?;
        cmd.run(self.ctx).map_err(|error| not_run(cmd.shown(), &error))
    }

    /// A command, to be run in the directory of the task, which is made.
    fn asked(&self, words: &[&str], package: Option<&str>) -> Result<Cmd, Fault> {
        let words = self.command.iter().cloned().chain(options(self.args, words, package));
        let words: Vec<String> = words.collect();
        let cmd = Cmd::argv(&words).ok_or_else(|| strange("an empty command"))?;
        let cmd = cmd.expanded(self.ctx).env("LANGUAGE", "C").env("LC_ALL", "C");
        let Some(path) = self.args.str("path").filter(|path| !path.is_empty()) else {
            return Ok(cmd);
        };
        let dir = Path::new(path);
        if !dir.exists() {
            if self.ctx.check {
                // Npm would look further up, and Ansible's module makes it even now.
                return Err(strange("to foresee what is in a directory that is not there"));
            }
            fs::create_dir_all(dir).or_fail(format!("cannot create {path}"))?;
        }
        if !dir.is_dir() {
            return Err(fail!("path {path} is not a directory"));
        }
        Ok(cmd.dir(dir))
    }
}

/// What follows npm: what it is to do, options, and a package among them.
fn options(args: &Args, words: &[&str], package: Option<&str>) -> Vec<String> {
    let mut all = words.to_vec();
    let fetches = matches!(words, ["install" | "update" | "ci", ..]);
    all.extend(args.flag("global").then_some("--global"));
    all.extend((fetches && args.flag("production")).then_some("--production"));
    let flags = |of: &[(&str, &'static str)]| -> Vec<&'static str> {
        of.iter().filter(|(name, _)| args.flag(name)).map(|(_, option)| *option).collect()
    };
    all.extend(flags(BEFORE));
    all.extend(package);
    if let Some(registry) = args.str("registry") {
        all.extend(["--registry", registry]);
    }
    all.extend(flags(AFTER));
    all.into_iter().map(str::to_owned).collect()
}

/// What npm says of the packages that are there or should be.
#[derive(Clone, Debug, PartialEq)]
struct Listed {
    /// Each by its name, and by its name and version.
    installed: Vec<String>,
    is_missing: bool,
}

impl Listed {
    /// Reads an answer of npm; `None` when it is not surely understood.
    fn parse(told: &str, package: Option<&str>) -> Option<Self> {
        let told = if told.is_empty() { "{}" } else { told };
        let told: Value = serde_json::from_str(told).ok()?;
        let mut listed = Self { installed: Vec::new(), is_missing: true };
        let Some(packages) = told.as_object()?.get("dependencies") else { return Some(listed) };
        listed.is_missing = false;
        for (name, about) in packages.as_object()? {
            let about = about.as_object()?;
            let says = |key: &str| about.get(key).filter(|value| is_true(value));
            if says("missing").or(says("invalid")).is_some() {
                listed.is_missing = true;
                continue;
            }
            listed.installed.push(name.clone());
            if let Some(version) = says("version") {
                listed.installed.push(format!("{name}@{}", text_of(version)));
            }
        }
        listed.is_missing |= package.is_some_and(|package| {
            !package.is_empty() && !listed.installed.iter().any(|name| name == package)
        });
        Some(listed)
    }
}

/// What Python takes for true.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(args: Value) -> Args {
        let spec = updraft_spec::find("npm").unwrap();
        Args::check(spec, "npm", args.as_object().unwrap(), &Context::system()).unwrap()
    }

    #[test]
    fn options_stand_around_the_package() {
        let all = json!({
            "global": true, "production": true, "ignore_scripts": true, "unsafe_perm": true,
            "registry": "http://here", "no_optional": true, "no_bin_links": true, "force": true,
            "name": "a", "version": "1",
        });
        let all = asked(all);
        let package = package(&all).unwrap();
        let words = options(&all, &["install"], package.as_deref()).join(" ");
        let expected = "install --global --production --ignore-scripts --unsafe-perm a@1 --registry http://here --no-optional --no-bin-links --force";
        assert_eq!(words, expected);
        let few = asked(json!({ "production": true, "path": "/x" }));
        assert_eq!(options(&few, &["list", "--json"], None), ["list", "--json"]);
        assert_eq!(options(&few, &["uninstall"], Some("a")), ["uninstall", "a"]);
    }

    #[test]
    fn a_version_is_asked_of_what_is_to_be_there() {
        for (args, expected) in [
            (json!({ "name": "a" }), Some(Some("a"))),
            (json!({ "name": "@s/a", "version": "^1" }), Some(Some("@s/a@^1"))),
            (json!({ "name": "a", "version": "" }), Some(Some("a"))),
            (json!({ "name": "a", "version": "1", "state": "absent" }), Some(Some("a"))),
            (json!({}), Some(None)),
            (json!({ "version": "1" }), None),
        ] {
            let read = package(&asked(args.clone())).ok();
            assert_eq!(read, expected.map(|name| name.map(str::to_owned)), "{args}");
        }
    }

    #[test]
    fn what_is_missing_is_known_from_what_npm_lists() {
        let a = r#"{"dependencies":{"a":{"version":"1.0.0"}}}"#;
        let gone = r#"{"dependencies":{"a":{"version":"1"},"b":{"missing":true,"required":"1"}}}"#;
        for (told, package, missing) in [
            ("", None, true),
            ("{}", Some("a"), true),
            (a, None, false),
            (a, Some("a"), false),
            (a, Some("a@1.0.0"), false),
            (a, Some("a@1"), true),
            (a, Some("b"), true),
            (gone, None, true),
            (gone, Some("a"), true),
            (r#"{"dependencies":{"a":{"invalid":"yes"}}}"#, None, true),
            (r#"{"dependencies":{"a":{"invalid":false,"missing":0}}}"#, None, false),
            (r#"{"dependencies":{}}"#, None, false),
        ] {
            let listed = Listed::parse(told, package).unwrap();
            assert_eq!(listed.is_missing, missing, "{told} {package:?}");
        }
        assert_eq!(Listed::parse(a, None).unwrap().installed, ["a", "a@1.0.0"]);
        for told in ["[]", "npm ERR!", r#"{"dependencies":[]}"#, r#"{"dependencies":{"a":"1"}}"#] {
            assert_eq!(Listed::parse(told, None), None, "{told}");
        }
    }
}
