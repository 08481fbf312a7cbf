//! `pip`: packages of Python, in an environment of their own or in that of an interpreter.
//!
//! Where a task names neither environment nor pip, the interpreter is the one that Ansible's own
//! modules would run by on this host; the controller tells which that may be. Never here: fetching
//! or unpacking packages, which pip does.

mod package;
mod version;

use crate::args::Args;
use crate::context::Context;
use crate::mode::umask_of;
use crate::outcome::{Done, Fault, Outcome, fail};
use crate::process::{Cmd, Ran, not_run};
use crate::shlex;
use package::{Package, gathered, is_fetched};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use updraft_wire::PYTHONS;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let asked = Asked::read(args)?;
    let umask = umask_of(args.raw("umask").filter(|mask| mask.as_str() != Some("")))?;
    let state = args.text("state");
    if state == "latest" && args.raw("version").is_some() {
        return Err(fail!("version is incompatible with state=latest"));
    }
    let dir = match args.str("chdir") {
        Some(dir) => PathBuf::from(dir),
        // So that whoever the task becomes may be there.
        None => PathBuf::from(ctx.var("TMPDIR").filter(|dir| !dir.is_empty()).unwrap_or("/tmp")),
    };
    let env = args.str("virtualenv").map(|env| match args.str("chdir") {
        Some(dir) if !env.is_empty() => Path::new(dir).join(env).display().to_string(),
        _ => env.to_owned(),
    });
    if env.as_ref().is_some_and(|env| !env.is_empty() && !env.starts_with('/')) {
        return Err(Fault::beyond("virtualenv is not an absolute path"));
    }
    let mut pip = Pip { argv: Vec::new(), breaks: false, dir, umask, ctx };
    let mut said = Said::default();
    let new = env.as_deref().filter(|env| !env.is_empty());
    let new = new.filter(|env| !Path::new(env).join("bin/activate").exists());
    if let Some(env) = new {
        if ctx.check {
            return Ok(Outcome::changed(true));
        }
        pip.create_env(env, args, &mut said)?;
    }
    pip.argv = observe_pip(args, env.as_deref(), ctx)?;
    if let Some(fault) = asked.refusal {
        return Err(fault);
    }
    pip.breaks = args.flag("break_system_packages");
    let requirements = args.str("requirements").filter(|file| !file.is_empty());
    let mut words: Vec<String> = match state {
        "absent" => vec!["uninstall", "-y"],
        "latest" => vec!["install", "-U"],
        "forcereinstall" => vec!["install", "-U", "--force-reinstall"],
        _ => vec!["install"],
    }
    .into_iter()
    .map(str::to_owned)
    .collect();
    words.extend(asked.extra.iter().flatten().cloned());
    match requirements {
        _ if !asked.packages.is_empty() => {
            words.extend(asked.packages.iter().map(|package| package.shown.clone()));
        }
        Some(file) => words.extend(["-r".to_owned(), file.to_owned()]),
        None => {
            let warning = "No valid name or requirements file found.";
            return Ok(Outcome::changed(false).with("warnings", vec![warning]));
        }
    }
    if ctx.check {
        if asked.extra.is_some() || requirements.is_some() || state == "latest" {
            return Ok(Outcome::changed(true));
        }
        return pip.foresee(&asked.packages, state);
    }
    let compares = requirements.is_some() || args.list("name").iter().any(|name| is_fetched(name));
    let before = compares.then(|| pip.list()).transpose()?;
    let ran = pip.run(&words, env.as_deref())?;
    said.add(&ran);
    let has = |text: &str| ran.out().contains(text);
    let is_gone = state == "absent"
        && ran.code == 1
        && (has("not installed") || ran.err().contains("not installed"));
    if !ran.success() && !is_gone {
        return Err(said.refused(pip.line(&words)));
    }
    let changed = match before {
        _ if state == "absent" => has("Successfully uninstalled"),
        None => has("Successfully installed"),
        Some(before) => before.said.out != pip.list()?.said.out,
    };
    let mut outcome = Outcome::changed(changed || new.is_some()).with("cmd", pip.line(&words));
    for name in ["name", "version", "state", "requirements"] {
        outcome = outcome.with(name, args.raw(name).cloned().unwrap_or_default());
    }
    Ok(outcome.with("virtualenv", env).with("stdout", said.out).with("stderr", said.err))
}

/// What a task asks pip for.
struct Asked {
    packages: Vec<Package>,
    /// More words for pip, if there are any.
    extra: Option<Vec<String>>,
    /// Why it is refused, once there is a pip to ask.
    refusal: Option<Fault>,
}

impl Asked {
    fn read(args: &Args) -> Result<Self, Fault> {
        let unsure = |text: &str| Fault::beyond(format!("`{text}` is not surely understood"));
        let given = args.list("name");
        let names = if given.is_empty() { Vec::new() } else { gathered(&given) };
        let read = |name: &String| Package::parse(name).ok_or_else(|| unsure(name));
        let mut packages = names.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let mut refusal = None;
        if let Some(version) = args.str("version") {
            match packages.as_mut_slice() {
                [] => {}
                [package] if package.is_bound() => {
                    refusal = Some(fail!(
                        "The 'version' argument conflicts with any version specifier provided along with a package name. Please keep the version specifier, but remove the 'version' argument."
                    ));
                }
                [package] => *package = package.at(version).ok_or_else(|| unsure(version))?,
                _ => {
                    refusal = Some(fail!(
                        "'version' argument is ambiguous when installing multiple package distributions. Please specify version restrictions next to each package in 'name' argument."
                    ));
                }
            }
        }
        let extra = extra_of(args.text("extra_args"), args.flag("editable"));
        let extra = extra.map(|extra| shlex::split(&extra).map_err(|_| unsure(&extra)));
        Ok(Self { packages, extra: extra.transpose()?, refusal })
    }
}

/// What is handed on to pip beside names, as text; nothing where there is none.
fn extra_of(given: &str, editable: bool) -> Option<String> {
    match (given, editable && !given.split(' ').any(|word| word == "-e")) {
        ("", false) => None,
        ("", true) => Some("-e".to_owned()),
        (given, true) => Some(format!("{given} -e")),
        (given, false) => Some(given.to_owned()),
    }
}

/// What was said so far.
#[derive(Default)]
struct Said {
    out: String,
    err: String,
}

impl Said {
    fn add(&mut self, ran: &Ran) {
        self.out.push_str(&ran.out());
        self.err.push_str(&ran.err());
    }

    fn refused(&self, line: Vec<String>) -> Fault {
        let mut message = String::new();
        if !self.out.is_empty() {
            message.push_str(&format!("stdout: {}", self.out));
        }
        if !self.err.is_empty() {
            message.push_str(&format!("\n:stderr: {}", self.err));
        }
        Fault::new(message).with("cmd", line)
    }
}

/// What pip lists, and by which command.
struct Listed {
    said: Said,
    line: Vec<String>,
    /// It is older than `pip list --format`, and does not list itself.
    is_frozen: bool,
}

/// The program, and how it is run.
struct Pip<'a> {
    /// It may be a module of an interpreter.
    argv: Vec<String>,
    /// Whether it may change what the system's own packages brought.
    breaks: bool,
    dir: PathBuf,
    umask: Option<u32>,
    ctx: &'a Context,
}

impl Pip<'_> {
    fn line(&self, words: &[String]) -> Vec<String> {
        self.argv.iter().chain(words).cloned().collect()
    }

    fn start(&self, cmd: Cmd) -> Result<Ran, Fault> {
        let mut cmd = cmd.umask(self.umask);
        if self.breaks {
            // Versions that do not know the option pass this over.
            cmd = cmd.env("PIP_BREAK_SYSTEM_PACKAGES", "1");
        }
        if self.dir.is_dir() {
            cmd = cmd.dir(&self.dir);
        }
        cmd.run(self.ctx).map_err(|error| not_run(cmd.shown(), &error))
    }

    fn command(&self, words: &[String]) -> Cmd {
        let line = self.line(words);
        let (program, args) = line.split_first().map_or(("", &[][..]), |(one, all)| (one, all));
        Cmd::new(program).args(args)
    }

    /// Runs pip; what it builds finds the programs of its environment.
    fn run(&self, words: &[String], env: Option<&str>) -> Result<Ran, Fault> {
        let mut cmd = self.command(words);
        if let Some(env) = env {
            let own = Path::new(env).join("bin").display().to_string();
            let path = self.ctx.var("PATH").filter(|path| !path.is_empty());
            cmd = cmd.env("PATH", path.map_or(own.clone(), |path| format!("{own}:{path}")));
        }
        self.start(cmd)
    }

    /// What is installed.
    fn list(&self) -> Result<Listed, Fault> {
        let mut listed = Listed { said: Said::default(), line: Vec::new(), is_frozen: false };
        for words in [&["list", "--format=freeze"][..], &["freeze"]] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let cmd = self.command(&words);
            let ran = self.start(if listed.is_frozen { cmd } else { cmd.plain_locale() })?;
            listed.line = self.line(&words);
            listed.said = Said::default();
            listed.said.add(&ran);
            if ran.success() {
                return Ok(listed);
            }
            listed.is_frozen = true;
        }
        Err(listed.said.refused(listed.line))
    }

    /// Whether anything would change.
    fn foresee(&self, packages: &[Package], state: &str) -> Done {
        let listed = self.list()?;
        let unsure = || Fault::beyond("what pip lists is not surely understood");
        if listed.is_frozen {
            return Err(unsure());
        }
        let mut changed = false;
        for package in packages {
            let there = package.is_among(&listed.said.out).ok_or_else(unsure)?;
            changed |= (state, there) == ("present", false) || (state, there) == ("absent", true);
        }
        let outcome = Outcome::changed(changed).with("cmd", listed.line.join(" "));
        Ok(outcome.with("stdout", listed.said.out).with("stderr", listed.said.err))
    }

    /// Makes an environment.
    fn create_env(&self, env: &str, args: &Args, said: &mut Said) -> Result<(), Fault> {
        let command = args.text("virtualenv_command");
        let words = shlex::split(command).unwrap_or_default();
        let own = is_venv(&words);
        let mut words = words.into_iter();
        let program = match words.next() {
            Some(program) if program.starts_with('/') => program,
            Some(program) if !program.contains('/') => {
                self.ctx.required(&program)?.display().to_string()
            }
            _ => return Err(Fault::beyond(format!("`{command}` is not surely understood"))),
        };
        let mut cmd = Cmd::new(&program).args(words.clone());
        let mut line: Vec<String> = std::iter::once(program.clone()).chain(words).collect();
        let mut more = Vec::new();
        if args.flag("virtualenv_site_packages") {
            more.push("--system-site-packages".to_owned());
        } else if !own && self.has_option(&program, "--no-site-packages")? {
            more.push("--no-site-packages".to_owned());
        }
        let python = args.str("virtualenv_python").filter(|python| !python.is_empty());
        match (own, python) {
            (true, None) => {}
            (true, Some(_)) => {
                return Err(fail!(
                    "virtualenv_python should not be used when using the venv module or pyvenv as virtualenv_command"
                ));
            }
            (false, Some(python)) => more.push(format!("-p{python}")),
            (false, None) => more.push(format!("-p{}", Python::observe(args, self.ctx)?.path)),
        }
        more.push(env.to_owned());
        cmd = cmd.args(&more);
        line.extend(more);
        let ran = self.start(cmd)?;
        said.add(&ran);
        if ran.success() { Ok(()) } else { Err(said.refused(line)) }
    }

    /// Whether a program says in its help that it has an option.
    fn has_option(&self, program: &str, option: &str) -> Result<bool, Fault> {
        let ran = self.start(Cmd::new(program).arg("--help"))?;
        if !ran.success() {
            let told = ran.out() + &ran.err();
            return Err(fail!("Could not get output from {program} --help: {told}"));
        }
        Ok(ran.out().split_whitespace().any(|word| word == option))
    }
}

/// Whether it is Python's own tool for environments, which takes no interpreter.
fn is_venv(words: &[String]) -> bool {
    let Some((program, args)) = words.split_first() else { return false };
    let mut module = None;
    let mut args = args.iter();
    while let Some(word) = args.next() {
        match word.strip_prefix("-m") {
            Some("") => module = args.next().map(String::as_str),
            Some(joined) => module = Some(joined.strip_prefix('=').unwrap_or(joined)),
            None => {}
        }
    }
    program == "pyvenv" || module == Some("venv")
}

/// The interpreter that Ansible's own modules would run by.
struct Python {
    path: String,
    has_pip: bool,
}

impl Python {
    fn observe(args: &Args, ctx: &Context) -> Result<Self, Fault> {
        const ASK: &str = "import sys, importlib.util as u\nprint(sys.executable, bool(u.find_spec('pip')), sep='\\n')";
        let missing = || Fault::beyond("no Python is known that modules would run by");
        let python = ctx.interpreter(&args.ours_list(PYTHONS)).ok_or_else(missing)?;
        let ran = Cmd::new(python).args(["-c", ASK]).dir("/").run(ctx).map_err(|_| missing())?;
        let told = ran.out();
        let mut lines = told.lines();
        match (ran.success(), lines.next(), lines.next()) {
            (true, Some(path), Some(has)) if path.starts_with('/') => {
                Ok(Self { path: path.to_owned(), has_pip: has == "True" })
            }
            _ => Err(missing()),
        }
    }
}

/// What pip is run by.
fn observe_pip(args: &Args, env: Option<&str>, ctx: &Context) -> Result<Vec<String>, Fault> {
    let found = |name: &str| match ctx.program(name) {
        Some(path) => Ok(vec![path.display().to_string()]),
        None => Err(fail!("Unable to find any of {name} to use.  pip needs to be installed.")),
    };
    match (args.str("executable"), env) {
        (Some(own), _) if own.starts_with('/') => Ok(vec![own.to_owned()]),
        (Some(own), _) => found(own),
        (None, None) => {
            let python = Python::observe(args, ctx)?;
            if !python.has_pip {
                return found("pip3");
            }
            Ok([python.path.as_str(), "-m", "pip"].map(str::to_owned).to_vec())
        }
        (None, Some(env)) => {
            let bin = Path::new(env).join("bin");
            let may_run = |path: &Path| {
                fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o111 != 0)
            };
            let path =
                ["pip3", "pip"].map(|name| bin.join(name)).into_iter().find(|it| may_run(it));
            path.map(|path| vec![path.display().to_string()]).ok_or_else(|| {
                fail!(
                    "Unable to find pip in the virtualenv, {env}, under any of these names: pip3, pip. Make sure pip is present in the virtualenv."
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_of_python_itself_is_told_from_others() {
        for (command, expected) in [
            ("python3 -m venv", true),
            ("/usr/bin/python3.11 -I -m venv --copies", true),
            ("python3 -mvenv", true),
            ("pyvenv", true),
            ("/usr/bin/pyvenv", false),
            ("virtualenv", false),
            ("python3 -m virtualenv", false),
            ("python3 -Im venv", false),
            ("virtualenv -m", false),
            ("", false),
        ] {
            assert_eq!(is_venv(&shlex::split(command).unwrap()), expected, "{command}");
        }
    }

    #[test]
    fn editable_is_one_more_word() {
        for (given, editable, expected) in [
            ("", false, None),
            ("", true, Some("-e")),
            ("--user", false, Some("--user")),
            ("--user", true, Some("--user -e")),
            ("-e --user", true, Some("-e --user")),
        ] {
            assert_eq!(extra_of(given, editable).as_deref(), expected);
        }
    }

    #[test]
    fn what_both_streams_held_is_told_apart() {
        let said = Said { out: "a\n".to_owned(), err: "b\n".to_owned() };
        assert_eq!(said.refused(Vec::new()).message, "stdout: a\n\n:stderr: b\n");
        let said = Said { out: String::new(), ..said };
        assert_eq!(said.refused(Vec::new()).message, "\n:stderr: b\n");
    }
}
