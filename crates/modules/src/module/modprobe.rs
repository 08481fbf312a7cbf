//! `modprobe`: a kernel module is loaded, now and after a boot, or is not.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place::{self, Rewrite};
use crate::process::Cmd;
use std::fs;
use std::path::{Path, PathBuf};

/// Where modules that a boot loads are listed (modules-load.d(5)).
const LOAD: &str = "/etc/modules-load.d";
/// Where their parameters are (modprobe.d(5)).
const OPTIONS: &str = "/etc/modprobe.d";

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let (name, params) = (args.text("name"), args.text("params"));
    let present = args.text("state") == "present";
    let mut changed = false;
    let loaded = is_loaded(name);
    if loaded != present {
        changed = true;
        if !ctx.check {
            let words = crate::shlex::split(params)
                .map_err(|error| fail!("cannot read params: {error}"))?;
            let cmd = Cmd::new(ctx.required("modprobe")?);
            let cmd = if present { cmd.arg(name).args(words) } else { cmd.args(["-r", name]) };
            let ran = cmd.plain_locale().run(ctx).or_fail("cannot run modprobe")?;
            if !ran.success() {
                return Err(fail!("{}", ran.err().trim())
                    .with("rc", ran.code)
                    .with("stdout", ran.out())
                    .with("stderr", ran.err())
                    .with("name", name)
                    .with("params", params)
                    .with("state", args.text("state")));
            }
        }
    }
    changed |= match args.text("persistent") {
        "present" => persist(Path::new("/"), name, params, ctx)?,
        "absent" => withdraw(Path::new("/"), name, ctx)?,
        _ => false,
    };
    Ok(Outcome::changed(changed)
        .with("name", name)
        .with("params", params)
        .with("state", args.text("state")))
}

/// Names of modules are told with either of two marks.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

fn is_loaded(name: &str) -> bool {
    let name = plain(name);
    let loaded = fs::read_to_string("/proc/modules").unwrap_or_default();
    if loaded.lines().any(|line| line.split(' ').next() == Some(name.as_str())) {
        return true;
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let builtin = fs::read_to_string(format!("/lib/modules/{release}/modules.builtin"));
    builtin.unwrap_or_default().lines().any(|line| {
        let file = line.rsplit('/').next().unwrap_or_default();
        plain(file.split(".ko").next().unwrap_or_default()) == name
    })
}

/// Files of a directory that end with `.conf`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "conf"))
        .collect();
    files.sort();
    files
}

/// Whether a line of `modules-load.d` names the module.
fn names(line: &str, name: &str) -> bool {
    plain(line.split(['#', ';']).next().unwrap_or_default().trim()) == plain(name)
}

/// What a line of `modprobe.d` gives the module as parameters.
fn options<'l>(line: &'l str, name: &str) -> Option<Vec<&'l str>> {
    let mut words = line.split('#').next()?.split_whitespace();
    (words.next()? == "options" && plain(words.next()?) == plain(name)).then(|| words.collect())
}

/// Has the module loaded with these parameters at a boot. `root` is `/` but in tests.
fn persist(root: &Path, name: &str, params: &str, ctx: &Context) -> Result<bool, Fault> {
    let (load, conf) = (root.join(&LOAD[1..]), root.join(&OPTIONS[1..]));
    let read = |file: &PathBuf| fs::read_to_string(file).unwrap_or_default();
    let mut changed = false;
    if !files(&load).iter().any(|file| read(file).lines().any(|line| names(line, name))) {
        changed = true;
        write(&load.join(format!("{name}.conf")), &format!("{name}\n"), ctx)?;
    }
    let wanted: Vec<&str> = params.split_whitespace().collect();
    let mut found: Vec<String> = Vec::new();
    for file in files(&conf) {
        let text = read(&file);
        found.extend(
            text.lines().filter_map(|line| options(line, name)).flatten().map(str::to_owned),
        );
    }
    if found != wanted {
        changed = true;
        strike(&conf, |line| options(line, name).is_some(), ctx)?;
        if !wanted.is_empty() {
            let line = format!("options {name} {}\n", wanted.join(" "));
            let file = conf.join(format!("{name}.conf"));
            let text = if ctx.check { String::new() } else { read(&file) };
            write(&file, &(text + &line), ctx)?;
        }
    }
    Ok(changed)
}

/// Takes the module out of what a boot loads.
fn withdraw(root: &Path, name: &str, ctx: &Context) -> Result<bool, Fault> {
    let loads = strike(&root.join(&LOAD[1..]), |line| names(line, name), ctx)?;
    let conf = root.join(&OPTIONS[1..]);
    Ok(loads | strike(&conf, |line| options(line, name).is_some(), ctx)?)
}

/// Makes comments of lines in all files of a directory.
fn strike(dir: &Path, meant: impl Fn(&str) -> bool, ctx: &Context) -> Result<bool, Fault> {
    let mut changed = false;
    for file in files(dir) {
        let text = fs::read_to_string(&file).or_fail(format!("cannot read {}", file.display()))?;
        if !text.lines().any(&meant) {
            continue;
        }
        changed = true;
        let lines: String = text
            .lines()
            .map(|line| if meant(line) { format!("#{line}\n") } else { format!("{line}\n") })
            .collect();
        write(&file, &lines, ctx)?;
    }
    Ok(changed)
}

fn write(file: &Path, text: &str, ctx: &Context) -> Result<(), Fault> {
    if ctx.check {
        return Ok(());
    }
    let dir = place::parent(file);
    fs::create_dir_all(dir).or_fail(format!("cannot create {}", dir.display()))?;
    let rewrite = Rewrite { backup: false, validate: None, unsafe_writes: false };
    place::rewrite(file, text.as_bytes(), &rewrite, ctx).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_loads_a_module_until_it_is_withdrawn() {
        let dir = tempfile::tempdir().unwrap();
        let (root, ctx) = (dir.path(), Context::system());
        assert!(persist(root, "dummy", "numdummies=2", &ctx).unwrap());
        assert!(!persist(root, "dummy", "numdummies=2", &ctx).unwrap());
        let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
        assert_eq!(read("etc/modules-load.d/dummy.conf"), "dummy\n");
        assert_eq!(read("etc/modprobe.d/dummy.conf"), "options dummy numdummies=2\n");
        assert!(persist(root, "dummy", "numdummies=3", &ctx).unwrap());
        assert_eq!(
            read("etc/modprobe.d/dummy.conf"),
            "#options dummy numdummies=2\noptions dummy numdummies=3\n"
        );
        assert!(withdraw(root, "dummy", &ctx).unwrap());
        assert!(!withdraw(root, "dummy", &ctx).unwrap());
        assert_eq!(read("etc/modules-load.d/dummy.conf"), "#dummy\n");
    }

    #[test]
    fn dashes_and_underscores_are_the_same() {
        assert!(names("nf_conntrack # for nat", "nf-conntrack"));
        assert!(!names("# nf_conntrack", "nf_conntrack"));
        assert_eq!(options("options snd-hda x=1 y=2", "snd_hda").unwrap(), ["x=1", "y=2"]);
    }
}
