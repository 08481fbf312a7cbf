//! `apt` and `package`: packages are installed, current or gone.
//!
//! What is installed is read from dpkg's status file, so a run that changes nothing starts no
//! program. apt is asked only for what it alone knows: candidates, and the change itself.

mod status;

use crate::args::Args;
use crate::context::Context;
use crate::module::get_url;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail, plain};
use crate::place::Scratch;
use crate::process::{Cmd, Ran};
use serde_json::{Map, Value, json};
pub(crate) use status::{Status, compare};
use std::cmp::Ordering;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

pub(crate) const STATUS_FILE: &str = "/var/lib/dpkg/status";

pub(crate) fn run_package(args: &Args, ctx: &Context) -> Done {
    match args.text("use") {
        "auto" | "apt" => run(args, ctx),
        other => Err(fail!("there is no native module for the package manager {other}")),
    }
}

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    if ctx.program("apt-get").is_none() {
        return Err(fail!("apt-get was not found: this is not a Debian-like machine"));
    }
    Apt { args, ctx }.run()
}

/// Fetches the lists of what can be installed.
pub(crate) fn update(args: &Args, ctx: &Context) -> Result<(), Fault> {
    Apt { args, ctx }.update()
}

/// Clauses of a package's name: `name`, `name=version`, `name>=version`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    name: String,
    version: Option<(bool, String)>,
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, Fault> {
        if text.matches('=').count() > 1 {
            return Err(fail!("invalid package spec: {text}"));
        }
        let (name, version) = match text.split_once('=') {
            None => (text, None),
            Some((name, version)) => match name.strip_suffix('>') {
                Some(name) => (name, Some((true, version.to_owned()))),
                None => (name, Some((false, version.to_owned()))),
            },
        };
        Ok(Self { name: name.trim().to_owned(), version })
    }

    /// Whether an installed version is what is wanted.
    fn accepts(&self, version: &str) -> bool {
        match &self.version {
            None => true,
            Some((true, least)) => compare(version, least) != Ordering::Less,
            Some((false, pattern)) => crate::pattern::glob(pattern, version),
        }
    }

    fn is_pattern(&self) -> bool {
        self.name.contains(['*', '?', '[', ']', '!'])
    }
}

struct Apt<'a> {
    args: &'a Args,
    ctx: &'a Context,
}

/// The index of what could be installed, after an update if one was due.
struct Cache {
    updated: bool,
    time: i64,
}

impl Apt<'_> {
    fn run(&self) -> Done {
        let args = self.args;
        let names: Vec<String> =
            args.list("package").iter().map(|name| name.trim().to_owned()).collect();
        let everything = names.iter().any(|name| name == "*");
        let names: Vec<String> =
            names.into_iter().filter(|name| name != "*" && !name.is_empty()).collect();
        let state = args.text("state");
        let upgrade = Some(args.text("upgrade")).filter(|mode| *mode != "no");
        let deb = args.str("deb");
        let idle = names.is_empty() && !everything && upgrade.is_none() && deb.is_none();
        if args.flag("clean") {
            let ran = self.apt_get(&["clean"])?;
            if !ran.success() {
                return Err(fail!("apt-get clean failed: {}", ran.err()).with("rc", ran.code));
            }
            if idle {
                return Ok(Outcome::changed(true)
                    .with("msg", ran.out())
                    .with("stdout", ran.out())
                    .with("stderr", ran.err()));
            }
        }
        let cache = self.refresh()?;
        let asked = args.flag("update_cache") || args.int("cache_valid_time").unwrap_or(0) > 0;
        if asked && idle {
            return Ok(Outcome::changed(cache.updated)
                .with("cache_updated", cache.updated)
                .with("cache_update_time", cache.time));
        }
        if let Some(mode) = upgrade {
            return self.upgrade(mode);
        }
        if let Some(deb) = deb {
            return self.install_files(deb);
        }
        if state == "latest" && everything {
            if !names.is_empty() {
                return Err(fail!(
                    "unable to install additional packages when upgrading all installed packages"
                ));
            }
            return self.upgrade("yes");
        }
        if names.is_empty() {
            for operation in ["autoclean", "autoremove"] {
                if args.flag(operation) {
                    return self.clean_up(operation);
                }
            }
        }
        let outcome = if state == "absent" { self.remove(&names)? } else { self.install(&names)? };
        if state == "absent" {
            return Ok(outcome);
        }
        Ok(outcome.with("cache_updated", cache.updated).with("cache_update_time", cache.time))
    }

    /// Updates the lists if they are older than the task allows.
    fn refresh(&self) -> Result<Cache, Fault> {
        let valid = self.args.int("cache_valid_time").unwrap_or(0);
        let before = lists_time();
        let due = self.args.flag("update_cache") || valid > 0;
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
        if !due || before.saturating_add(valid) as f64 >= self.ctx.epoch() {
            return Ok(Cache { updated: false, time: before });
        }
        if self.ctx.check {
            return Ok(Cache { updated: true, time: before });
        }
        self.update()?;
        let time = lists_time();
        Ok(Cache { updated: time != before, time })
    }

    /// Fetches the lists, more than once if need be.
    fn update(&self) -> Result<(), Fault> {
        let tries = self.args.int("update_cache_retries").unwrap_or(5).max(1);
        let most = self.args.seconds("update_cache_retry_max_delay");
        let mut error = String::new();
        for attempt in 0..tries {
            let ran = self.apt_get(&["update", "-q", "--error-on=any"])?;
            let ran = if ran.code == 100 && ran.err().contains("--error-on") {
                // apt before 2.1.8 does not know the option.
                self.apt_get(&["update", "-q"])?
            } else {
                ran
            };
            if ran.success() {
                return Ok(());
            }
            error = ran.err();
            if self.ctx.stopped() {
                break;
            }
            if attempt + 1 < tries {
                let delay = Duration::from_secs(1 << attempt.min(10));
                self.ctx.time.sleep(delay.min(most));
            }
        }
        Err(fail!("Failed to update apt cache after {tries} retries: {}", error.trim()))
    }

    fn install(&self, names: &[String]) -> Done {
        let args = self.args;
        if args.text("state") == "build-dep" {
            let packages = names.to_vec();
            return self.change("build-dep", &packages, &[]);
        }
        let text = read_status();
        let status = Status::parse(&text);
        let native = native_arch();
        let wanted = self.expand(names, &status)?;
        let latest = args.text("state") == "latest";
        let lacks = |want: &Wanted| {
            let have = status.find(&want.name, &native).filter(|package| package.installed);
            !have.is_some_and(|package| want.accepts(package.version))
        };
        let at_least = |want: &Wanted| matches!(want.version, Some((true, _)));
        let candidates = if latest || wanted.iter().any(|want| at_least(want) && lacks(want)) {
            self.candidates(&wanted)?
        } else {
            Map::new()
        };
        let candidate = |name: &str| candidates.get(name).and_then(Value::as_str);
        let mut packages = Vec::new();
        for want in &wanted {
            let have = status.find(&want.name, &native).filter(|package| package.installed);
            if have.is_none() {
                if args.flag("only_upgrade") {
                    continue;
                }
                if want.version.is_none() && self.is_provided(&want.name, &status)? {
                    continue;
                }
            }
            let fits = have.is_some_and(|package| want.accepts(package.version));
            let best = candidate(&want.name);
            let newer = latest
                && have
                    .zip(best)
                    .is_some_and(|(have, best)| have.version != best && want.accepts(best));
            if fits && !newer {
                continue;
            }
            packages.push(match (&want.version, best) {
                (Some((true, _)), Some(best)) if want.accepts(best) => {
                    format!("{}={best}", want.name)
                }
                (Some((true, least)), _) => {
                    return Err(fail!(
                        "no available installation candidate for {}>={least}",
                        want.name
                    ));
                }
                (Some((false, version)), _) => format!("{}={version}", want.name),
                (None, Some(best)) => format!("{}={best}", want.name),
                (None, None) => want.name.clone(),
            });
        }
        let fixing = args.text("state") == "fixed";
        if packages.is_empty() && !fixing {
            self.mark_manual(&wanted)?;
            return Ok(Outcome::changed(false));
        }
        let extra: &[&str] = if fixing { &["--fix-broken"] } else { &[] };
        let outcome = self.change("install", &packages, extra)?;
        self.mark_manual(&wanted)?;
        Ok(outcome)
    }

    /// Replaces patterns by the names they fit.
    fn expand(&self, names: &[String], status: &Status<'_>) -> Result<Vec<Wanted>, Fault> {
        let mut wanted = Vec::new();
        for name in names {
            let want = Wanted::parse(name)?;
            if !want.is_pattern() {
                wanted.push(want);
                continue;
            }
            let mut found = status.matching(&want.name);
            if self.args.text("state") != "absent" {
                let ran = self.query("apt-cache", &["pkgnames".to_owned()])?;
                found.extend(
                    ran.out()
                        .lines()
                        .filter(|known| crate::pattern::glob(&want.name, known))
                        .map(str::to_owned),
                );
                found.sort_unstable();
                found.dedup();
            }
            if found.is_empty() {
                return Err(fail!("No package(s) matching '{}' available", want.name));
            }
            wanted.extend(found.into_iter().map(|name| Wanted { name, version: None }));
        }
        Ok(wanted)
    }

    /// Whether a name stands for nothing but what installed packages provide.
    fn is_provided(&self, name: &str, status: &Status<'_>) -> Result<bool, Fault> {
        if status.providers(name).is_empty() {
            return Ok(false);
        }
        let want = Wanted { name: name.to_owned(), version: None };
        Ok(!self.candidates(std::slice::from_ref(&want))?.contains_key(name))
    }

    /// The version apt would install of each package; those it does not know are absent.
    fn candidates(&self, wanted: &[Wanted]) -> Result<Map<String, Value>, Fault> {
        let mut words = vec!["policy".to_owned()];
        if let Some(release) = self.args.str("default_release") {
            words.extend(["-o".to_owned(), format!("APT::Default-Release={release}")]);
        }
        words.extend(wanted.iter().map(|want| want.name.clone()));
        let ran = self.query("apt-cache", &words)?;
        Ok(parse_policy(&ran.out(), wanted))
    }

    /// Packages a task names are wanted for themselves, even if others brought them in.
    fn mark_manual(&self, wanted: &[Wanted]) -> Result<(), Fault> {
        if self.ctx.check {
            return Ok(());
        }
        let text = fs::read_to_string("/var/lib/apt/extended_states").unwrap_or_default();
        let automatic = status::automatic(&text);
        let names: Vec<_> = wanted
            .iter()
            .map(|want| want.name.clone())
            .filter(|name| automatic.contains(&name.split(':').next().unwrap_or(name)))
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let mut words = vec!["manual".to_owned()];
        words.extend(names);
        let ran = self.query("apt-mark", &words)?;
        if ran.success() {
            return Ok(());
        }
        Err(fail!("'apt-mark {}' failed: {}", words.join(" "), ran.err()).with("rc", ran.code))
    }

    fn remove(&self, names: &[String]) -> Done {
        let text = read_status();
        let status = Status::parse(&text);
        let native = native_arch();
        let purge = self.args.flag("purge");
        let mut packages = Vec::new();
        for want in self.expand(names, &status)? {
            let Some(have) = status.find(&want.name, &native) else { continue };
            let there = have.installed && want.accepts(have.version);
            if there || (have.leftover && purge) {
                packages.push(want.name);
            }
        }
        if packages.is_empty() {
            return Ok(Outcome::changed(false));
        }
        self.change("remove", &packages, &[])
    }

    /// Lets apt-get change something, or say what it would change.
    fn change(&self, operation: &str, packages: &[String], extra: &[&str]) -> Done {
        let args = self.args;
        let mut words = vec!["-q".to_owned(), "-y".to_owned()];
        words.extend(self.dpkg_options());
        let installing = operation != "remove";
        for (asked, word) in [
            (installing && args.flag("only_upgrade"), "--only-upgrade"),
            (args.flag("force"), "--force-yes"),
            (args.flag("autoremove") && operation != "build-dep", "--auto-remove"),
            (installing && args.flag("fail_on_autoremove"), "--no-remove"),
            (!installing && args.flag("purge"), "--purge"),
            (self.ctx.check, "--simulate"),
            (installing && args.flag("allow_unauthenticated"), "--allow-unauthenticated"),
            (installing && args.flag("allow_downgrade"), "--allow-downgrades"),
            (args.flag("allow_change_held_packages"), "--allow-change-held-packages"),
        ] {
            if asked {
                words.push(word.to_owned());
            }
        }
        words.extend(extra.iter().map(|word| (*word).to_owned()));
        if let (true, Some(release)) = (installing, args.str("default_release")) {
            words.extend(["-t".to_owned(), release.to_owned()]);
        }
        if let (true, Some(recommends)) = (installing, args.maybe("install_recommends")) {
            let answer = if recommends { "yes" } else { "no" };
            words.extend(["-o".to_owned(), format!("APT::Install-Recommends={answer}")]);
        }
        words.push(operation.to_owned());
        words.push("--".to_owned());
        words.extend(packages.iter().cloned());
        let ran = self.with_policy(|| self.query("apt-get", &words))?;
        let (out, err) = (ran.out(), ran.err());
        if !ran.success() {
            let unknown = err
                .lines()
                .find_map(|line| line.strip_prefix("E: Unable to locate package ").map(str::trim));
            if let Some(name) = unknown {
                return Err(fail!("No package matching '{name}' is available"));
            }
            return Err(fail!("'apt-get {}' failed: {err}", words.join(" "))
                .with("stdout", out)
                .with("stderr", err)
                .with("rc", ran.code));
        }
        let changed = operation != "build-dep" && !extra.contains(&"--fix-broken")
            || !out.contains("\n0 upgraded, 0 newly installed, 0 to remove");
        Ok(self.told(Outcome::changed(changed), &ran))
    }

    fn upgrade(&self, mode: &str) -> Done {
        let args = self.args;
        let mut words = vec!["-q".to_owned(), "-y".to_owned()];
        words.extend(self.dpkg_options());
        for (asked, word) in [
            (args.flag("force"), "--force-yes"),
            (args.flag("fail_on_autoremove"), "--no-remove"),
            (args.flag("allow_unauthenticated"), "--allow-unauthenticated"),
            (args.flag("allow_downgrade"), "--allow-downgrades"),
            (args.flag("autoremove"), "--auto-remove"),
            (self.ctx.check, "--simulate"),
        ] {
            if asked {
                words.push(word.to_owned());
            }
        }
        if let Some(release) = args.str("default_release") {
            words.extend(["-t".to_owned(), release.to_owned()]);
        }
        let operation = if matches!(mode, "dist" | "full") {
            "dist-upgrade"
        } else {
            words.push("--with-new-pkgs".to_owned());
            "upgrade"
        };
        words.push(operation.to_owned());
        let ran = self.with_policy(|| self.query("apt-get", &words))?;
        if !ran.success() {
            return Err(fail!("'apt-get {operation}' failed: {}", ran.err())
                .with("stdout", ran.out())
                .with("rc", ran.code));
        }
        let out = ran.out();
        let changed = !out.contains("0 upgraded, 0 newly installed, 0 to remove");
        Ok(self.told(Outcome::changed(changed), &ran).with("msg", out))
    }

    fn clean_up(&self, operation: &str) -> Done {
        let mut words = vec!["-q".to_owned(), "-y".to_owned()];
        words.extend(self.dpkg_options());
        for (asked, word) in [
            (self.args.flag("purge"), "--purge"),
            (self.args.flag("force"), "--force-yes"),
            (self.ctx.check, "--simulate"),
        ] {
            if asked {
                words.push(word.to_owned());
            }
        }
        words.push(operation.to_owned());
        let ran = self.with_policy(|| self.query("apt-get", &words))?;
        if !ran.success() {
            return Err(fail!("'apt-get {operation}' failed: {}", ran.err())
                .with("stdout", ran.out())
                .with("stderr", ran.err())
                .with("rc", ran.code));
        }
        let sign = if operation == "autoclean" {
            "Del "
        } else {
            "The following packages will be REMOVED"
        };
        let changed = ran.out().contains(sign);
        Ok(self.told(Outcome::changed(changed), &ran))
    }

    /// Installs package files, and what they need, if that version is not there yet.
    fn install_files(&self, debs: &str) -> Done {
        if self.args.text("state") != "present" {
            return Err(fail!("deb only supports state=present"));
        }
        let text = read_status();
        let status = Status::parse(&text);
        let native = native_arch();
        let mut files = Vec::new();
        let mut fetched = Vec::new();
        for file in debs.split(',').map(str::trim).filter(|file| !file.is_empty()) {
            let mut file = file.to_owned();
            if file.contains("://") {
                let kept = self.download(&file)?;
                file = kept.path().display().to_string();
                fetched.push(kept);
            }
            let file = &file;
            if let Err(error) = std::fs::metadata(file) {
                let number = error.raw_os_error().unwrap_or_default();
                return Err(fail!(
                    "Unable to install package: E:Could not open file {file} - open ({number}: {})",
                    plain(&error)
                ));
            }
            let cmd = Cmd::new("dpkg-deb")
                .args(["--showformat=${Package}\\n${Version}\\n${Architecture}\\n", "--show"])
                .arg(file);
            let ran = cmd.plain_locale().run(self.ctx).or_fail("cannot run dpkg-deb")?;
            if !ran.success() {
                return Err(fail!("Unable to install package: {}", ran.err().trim()));
            }
            let out = ran.out();
            let mut fields = out.lines();
            let (name, version, arch) = (
                fields.next().unwrap_or_default(),
                fields.next().unwrap_or_default(),
                fields.next().unwrap_or_default(),
            );
            let key = if arch == "all" || arch == native {
                name.to_owned()
            } else {
                format!("{name}:{arch}")
            };
            let same = status.find(&key, &native).is_some_and(|have| {
                have.installed && compare(have.version, version) == Ordering::Equal
            });
            if !same {
                // apt takes an argument with a slash for a file.
                let path = crate::place::absolute(Path::new(file));
                files.push(path.display().to_string());
            }
        }
        if files.is_empty() {
            return Ok(Outcome::changed(false).with("stdout", "").with("stderr", ""));
        }
        self.change("install", &files, &[])
    }

    /// A package from the web, under a name that apt takes for one.
    fn download(&self, url: &str) -> Result<Scratch, Fault> {
        let response = get_url::download(url, true, self.ctx)?;
        let what = || format!("cannot write to {}", self.ctx.staging.display());
        let (kept, _) = Scratch::file(&self.ctx.staging, ".deb").or_fail(what())?;
        fs::rename(response.body.path(), kept.path()).or_fail(what())?;
        Ok(kept)
    }

    fn dpkg_options(&self) -> Vec<String> {
        let mut words = Vec::new();
        for option in self.args.text("dpkg_options").split(',').filter(|o| !o.is_empty()) {
            words.extend(["-o".to_owned(), format!("Dpkg::Options::=--{option}")]);
        }
        let timeout = self.args.int("lock_timeout").unwrap_or(60);
        words.extend(["-o".to_owned(), format!("DPkg::Lock::Timeout={timeout}")]);
        words
    }

    fn apt_get(&self, words: &[&str]) -> Result<Ran, Fault> {
        let timeout = self.args.int("lock_timeout").unwrap_or(60);
        let mut all = vec!["-o".to_owned(), format!("DPkg::Lock::Timeout={timeout}")];
        all.extend(words.iter().map(|word| (*word).to_owned()));
        self.query("apt-get", &all)
    }

    fn query(&self, program: &str, words: &[String]) -> Result<Ran, Fault> {
        let cmd = ["LANG", "LC_ALL", "LC_MESSAGES", "LC_CTYPE", "LANGUAGE"]
            .into_iter()
            .fold(Cmd::new(program).args(words), |cmd, name| cmd.env(name, "C.UTF-8"))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("DEBIAN_PRIORITY", "critical");
        cmd.run(self.ctx).or_fail(format!("cannot run {program}"))
    }

    fn told(&self, outcome: Outcome, ran: &Ran) -> Outcome {
        let outcome = outcome.with("stdout", ran.out()).with("stderr", ran.err());
        if self.ctx.diff {
            outcome.with("diff", json!({ "prepared": prepared(&ran.out()) }))
        } else {
            outcome.with("diff", json!({}))
        }
    }

    /// Runs something while `/usr/sbin/policy-rc.d` answers as the task wants.
    fn with_policy<T>(&self, act: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        const POLICY: &str = "/usr/sbin/policy-rc.d";
        let Some(code) = self.args.int("policy_rc_d").filter(|_| !self.ctx.check) else {
            return act();
        };
        let aside = format!("{POLICY}.updraft-{}", std::process::id());
        let had = Path::new(POLICY).exists();
        if had {
            fs::rename(POLICY, &aside).or_fail(format!("Fail to move {POLICY} aside"))?;
        }
        let written = fs::write(POLICY, format!("#!/bin/sh\nexit {code}\n"))
            .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
            .or_fail(format!("Failed to create or chmod {POLICY}"));
        let done = written.and_then(|()| act());
        let restored = if had { fs::rename(&aside, POLICY) } else { fs::remove_file(POLICY) };
        restored.or_fail(format!("cannot put {POLICY} back"))?;
        done
    }
}

fn read_status() -> String {
    String::from_utf8_lossy(&fs::read(STATUS_FILE).unwrap_or_default()).into_owned()
}

/// Debian's name for this machine's architecture.
pub(crate) fn native_arch() -> String {
    if let Ok(text) = fs::read_to_string("/var/lib/dpkg/arch")
        && let Some(first) = text.lines().next()
    {
        return first.trim().to_owned();
    }
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        "arm" => "armhf",
        "powerpc64" => "ppc64el",
        other => other,
    }
    .to_owned()
}

/// When the lists were last updated, in seconds since 1970.
fn lists_time() -> i64 {
    let stamp = fs::metadata("/var/lib/apt/periodic/update-success-stamp");
    stamp.or_else(|_| fs::metadata("/var/lib/apt/lists")).map_or(0, |meta| meta.mtime())
}

/// The candidate of each package in the output of `apt-cache policy`.
fn parse_policy(text: &str, wanted: &[Wanted]) -> Map<String, Value> {
    let mut found = Map::new();
    let mut name = "";
    for line in text.lines() {
        if !line.starts_with(' ') {
            name = line.trim_end().trim_end_matches(':');
        } else if let Some(version) = line.trim().strip_prefix("Candidate: ")
            && version != "(none)"
        {
            found.insert(name.to_owned(), version.into());
            // apt leaves out the architecture of native packages even if it was asked with one.
            let asked = wanted
                .iter()
                .find(|want| want.name.split(':').next() == Some(name) && want.name.contains(':'));
            if let Some(asked) = asked {
                found.entry(asked.name.clone()).or_insert(version.into());
            }
        }
    }
    found
}

/// The part of apt's output that tells what changes.
fn prepared(out: &str) -> String {
    let lines: Vec<&str> = out.lines().collect();
    let start = lines
        .iter()
        .position(|line| *line == "Reading state information...")
        .map_or(0, |at| at + 1);
    let end = lines
        .iter()
        .position(|line| {
            let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
            rest.len() < line.len()
                && (rest.starts_with(" upgraded") || rest.starts_with(" packages upgraded"))
        })
        .map_or(lines.len(), |at| at + 1);
    lines.get(start..end).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_may_be_named_with_a_version() {
        let parse = |text| Wanted::parse(text).unwrap();
        assert_eq!(parse("nginx").version, None);
        assert_eq!(parse("nginx=1.2-1").version, Some((false, "1.2-1".to_owned())));
        assert_eq!(parse("nginx>=1.2").version, Some((true, "1.2".to_owned())));
        assert!(parse("nginx=1.2*").accepts("1.2.3-4"));
        assert!(!parse("nginx=1.2").accepts("1.2-1"));
        assert!(parse("nginx>=1.2").accepts("1.10"));
        assert!(!parse("nginx>=1.2").accepts("1.2~rc1"));
        assert!(Wanted::parse("a=b=c").is_err());
    }

    #[test]
    fn candidates_are_read_from_policy() {
        let text = "curl:\n  Installed: 7.88\n  Candidate: 7.89\n  Version table:\n \
                    *** 7.88 500\nawk:\n  Installed: (none)\n  Candidate: (none)\n";
        let wanted = [Wanted::parse("curl:amd64").unwrap()];
        let found = parse_policy(text, &wanted);
        assert_eq!(found["curl"], "7.89");
        assert_eq!(found["curl:amd64"], "7.89");
        assert!(!found.contains_key("awk"));
    }

    #[test]
    fn the_diff_is_what_apt_prepares() {
        let out = "Reading package lists...\nReading state information...\n\
                   The following NEW packages will be installed:\n  jq\n\
                   0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.\nInst jq\n";
        assert_eq!(
            prepared(out),
            "The following NEW packages will be installed:\n  jq\n\
             0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded."
        );
    }
}
