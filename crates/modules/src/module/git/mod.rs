//! `git`: a checkout that is at a version of a repository.
//!
//! It asks the remote as seldom as the real module's results allow.

mod archive;
mod tool;

use crate::args::Args;
use crate::context::Context;
use crate::discreet;
use crate::mode::umask_of;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place;
use crate::process::Cmd;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use tool::{Git, fingerprint_of, home_of, said, version_of};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let program = match args.str("executable") {
        Some(program) => program.to_owned(),
        None => match ctx.program("git") {
            Some(program) => program.display().to_string(),
            None => {
                let paths = ctx.var("PATH").unwrap_or_default();
                return Err(fail!("Failed to find required executable \"git\" in paths: {paths}"));
            }
        },
    };
    let umask = umask_of(args.raw("umask"))?;
    let expanded = place::expand(args.text("repo"), ctx);
    // What lies in a directory is cloned through git's own protocol, which knows of depth.
    let repo = match expanded.starts_with('/') {
        true => format!("file://{expanded}"),
        false => args.text("repo").to_owned(),
    };
    let dest = args.str("dest").filter(|dest| !dest.is_empty());
    if dest.is_none() && args.flag("clone") {
        return Err(fail!("the destination directory must be specified unless clone=no"));
    }
    let mut task = Task {
        git: Git {
            program,
            ssh: None,
            umask,
            dest: dest.map(plain).unwrap_or_default(),
            bare: args.flag("bare"),
            repo: &repo,
            remote: args.text("remote"),
            ctx,
        },
        version: args.text("version"),
        depth: args.int("depth").filter(|depth| *depth != 0).map(|depth| depth.to_string()),
        separate: args.str("separate_git_dir").map(|dir| place::real(Path::new(dir))),
        force: args.flag("force"),
        args,
        warnings: Vec::new(),
        result: Outcome::changed(false),
    };
    // 2.3 is the first that has GIT_SSH_COMMAND; what is older needs more care than we take.
    let told = task.git.run_in(Path::new(""), &["--version"])?;
    if version_of(&told.out()).is_none_or(|version| version < (2, 3)) {
        return Err(Fault::beyond("git is older than 2.3"));
    }
    let new_keys = args.flag("accept_newhostkey") && task.ssh_knows_new_keys()?;
    let env = |name: &str| ctx.var(name).filter(|value| !value.is_empty());
    let ssh = env("GIT_SSH").or(env("GIT_SSH_COMMAND")).unwrap_or("ssh");
    task.git.ssh = Some(ssh_command(
        ssh,
        env("GIT_SSH_OPTS"),
        args.str("ssh_opts"),
        match (args.flag("accept_hostkey"), new_keys) {
            (true, _) => Some("StrictHostKeyChecking=no"),
            (_, true) => Some("StrictHostKeyChecking=accept-new"),
            _ => None,
        },
        args.str("key_file"),
    ));
    let done = task.run(dest.is_some());
    let Task { result, warnings, .. } = task;
    match done {
        Ok(()) if warnings.is_empty() => Ok(result),
        Ok(()) => Ok(result.with("warnings", warnings)),
        Err(fault) if warnings.is_empty() => Err(fault),
        Err(fault) => Err(fault.with("warnings", warnings)),
    }
}

/// The path from the root, without a slash at its end.
fn plain(path: &str) -> PathBuf {
    place::absolute(Path::new(path)).components().collect()
}

/// What git runs to reach a host: never a question, and the task's key and options.
fn ssh_command(
    ssh: &str,
    env: Option<&str>,
    given: Option<&str>,
    keys: Option<&str>,
    key_file: Option<&str>,
) -> String {
    let mut command: Vec<String> = vec![ssh.to_owned()];
    command.extend(env.into_iter().chain(given).map(str::to_owned));
    let has = |command: &[String], text: &str| command[1..].iter().any(|part| part.contains(text));
    if let Some(keys) = keys {
        let known = ["StrictHostKeyChecking=no", "StrictHostKeyChecking=accept-new"];
        if !known.iter().any(|text| given.is_some_and(|given| given.contains(text))) {
            command.push(format!("-o {keys}"));
        }
    }
    if !has(&command, "BatchMode=yes") {
        command.push("-o BatchMode=yes".to_owned());
    }
    if let Some(key) = key_file {
        let option = format!("-i {key}");
        if !has(&command, &option) {
            command.push(option);
        }
        if !has(&command, "IdentitiesOnly=yes") {
            command.push("-o IdentitiesOnly=yes".to_owned());
        }
    }
    command.join(" ")
}

/// One task, and what came of it so far.
struct Task<'a> {
    git: Git<'a>,
    version: &'a str,
    depth: Option<String>,
    separate: Option<PathBuf>,
    force: bool,
    args: &'a Args,
    warnings: Vec<String>,
    result: Outcome,
}

impl Task<'_> {
    fn set(&mut self, key: &str, value: impl Into<serde_json::Value>) {
        self.result.0.insert(key.to_owned(), value.into());
    }

    /// A fault that tells all that is known by then.
    fn with_result(&self, mut fault: Fault) -> Fault {
        for (key, value) in &self.result.0 {
            fault = fault.with(key, value.clone());
        }
        fault
    }

    fn ssh_knows_new_keys(&mut self) -> Result<bool, Fault> {
        let ctx = self.git.ctx;
        let Some(ssh) = ctx.program("ssh") else {
            return Err(fail!(
                "Remote host is missing ssh command, so you cannot use acceptnewhostkey option."
            ));
        };
        let cmd = Cmd::new(ssh).args(["-o", "StrictHostKeyChecking=accept-new", "-V"]);
        let known = cmd.run(ctx).or_fail("cannot run ssh")?.success();
        if !known {
            self.warnings.push(
                "Your ssh client does not support accept_newhostkey option, therefore it cannot be used."
                    .to_owned(),
            );
        }
        Ok(known)
    }

    fn run(&mut self, has_dest: bool) -> Result<(), Fault> {
        let check = self.git.ctx.check;
        let mut there = false;
        if has_dest {
            let home = self.moved_home()?;
            there = home.join("config").exists();
        }
        self.set("before", None::<String>);
        let before = if there { Some(self.git.head()?) } else { None };
        let mut modified = false;
        let mut moved = false;
        if !there {
            if check || !self.args.flag("clone") {
                let after = self.git.remote_commit(self.git.repo, self.version)?;
                self.set("changed", true);
                self.show(None, &after)?;
                self.set("after", after);
                return Ok(());
            }
            self.clone()?;
        } else if !self.args.flag("update") {
            self.set("before", before.clone());
            self.set("after", before);
            return self.archive();
        } else {
            modified = self.git.is_modified()?;
            self.set("before", before.clone());
            if modified {
                let told = format!("in the destination: {}", self.git.dest.display());
                if !self.force {
                    let told = format!("Local modifications exist {told} (force=no).");
                    return Err(self.with_result(Fault::new(told)));
                }
                if !check {
                    self.git.must(&["reset", "--hard", "HEAD"])?;
                    self.set("changed", true);
                    self.set("msg", format!("Local modifications exist {told}"));
                }
            }
            moved = self.git.point_remote(check)?;
            self.set("remote_url_changed", moved);
            if check {
                let after = self.git.remote_commit(self.git.remote, self.version)?;
                self.set("changed", before.as_ref() != Some(&after) || moved);
                self.show(before.as_deref(), &after)?;
                self.set("after", after);
                return Ok(());
            }
            self.fetch()?;
        }
        if !self.git.bare {
            self.switch()?;
        }
        let submodules =
            self.args.flag("recursive") && !self.git.bare && self.submodules_moved()?;
        if submodules {
            self.set("submodules_changed", true);
            self.update_submodules()?;
        }
        let after = self.git.head()?;
        if before.as_ref() != Some(&after) || modified || submodules || moved {
            self.set("changed", true);
            self.show(before.as_deref(), &after)?;
        }
        self.set("after", after);
        self.archive()
    }

    /// Where the history lies, after it was moved to where the task wants it.
    fn moved_home(&mut self) -> Result<PathBuf, Fault> {
        let home = home_of(&self.git.dest, self.git.bare)?;
        let Some(wanted) = self.separate.clone().filter(|dir| home.exists() && *dir != home) else {
            return Ok(home);
        };
        self.set("changed", true);
        if self.git.ctx.check {
            return Ok(home);
        }
        if wanted.exists() {
            return Err(fail!("Separate-git-dir path {} already exists.", wanted.display()));
        }
        fs::rename(&home, &wanted).or_fail("Unable to move git dir.")?;
        let link = self.git.dest.join(".git");
        let led = fs::write(&link, format!("gitdir: {}", wanted.display()));
        if led.is_err() {
            // What cannot be moved back stays where the message says it was to go.
            drop(fs::rename(&wanted, &home));
        }
        led.or_fail("Unable to move git dir.")?;
        self.set("git_dir_before", home.display().to_string());
        self.set("git_dir_now", wanted.display().to_string());
        Ok(wanted)
    }

    fn clone(&mut self) -> Result<(), Fault> {
        let (git, version) = (&self.git, self.version);
        let parent = place::parent(&git.dest).to_owned();
        let made = match git.umask {
            None => fs::create_dir_all(&parent),
            Some(_) => {
                let mkdir = Cmd::new("mkdir").args(["-p", "--"]).arg(&parent);
                mkdir.umask(git.umask).run(git.ctx).map(drop)
            }
        };
        // Git itself says what is wrong with the place.
        drop(made);
        let dest = git.dest.display().to_string();
        let mut words = vec!["clone"];
        if git.bare {
            words.push("--bare");
        } else {
            words.extend(["--origin", git.remote]);
        }
        let refspec = self.args.str("refspec").filter(|refspec| !refspec.is_empty());
        let single = self.args.flag("single_branch");
        let named = || -> Result<bool, Fault> {
            Ok(git.has_branch(git.repo, version)? || git.has_tag(git.repo, version)?)
        };
        // For a plain clone nothing hangs on it, and it would cost two more questions.
        let named = (self.depth.is_some() || single) && named()?;
        if let Some(depth) = &self.depth {
            if version == "HEAD" || refspec.is_some() {
                words.extend(["--depth", depth]);
            } else if named {
                words.extend(["--depth", depth, "--branch", version]);
            } else {
                self.warnings.push(
                    "Ignoring depth argument. Shallow clones are only available for HEAD, branches, tags or in combination with refspec."
                        .to_owned(),
                );
            }
        }
        if let Some(reference) = self.args.str("reference").filter(|it| !it.is_empty()) {
            words.extend(["--reference", reference]);
        }
        if single {
            words.push("--single-branch");
            if named {
                words.extend(["--branch", version]);
            }
        }
        let separate = self.separate.as_ref();
        let separate = separate.map(|dir| format!("--separate-git-dir={}", dir.display()));
        words.extend(separate.as_deref());
        words.extend([git.repo, &dest]);
        if let Err(fault) = git.must_in(&parent, &words) {
            // The real module asks first, and what went wrong there is what it tells.
            git.has_branch(git.repo, version)?;
            return Err(fault);
        }
        if git.bare && git.remote != "origin" {
            git.must(&["remote", "add", git.remote, git.repo])?;
        }
        if let Some(refspec) = refspec {
            let mut words = vec!["fetch"];
            if let Some(depth) = &self.depth {
                words.extend(["--depth", depth]);
            }
            words.extend([git.remote, refspec]);
            git.must(&words)?;
        }
        match self.args.flag("verify_commit") {
            true => self.verify(),
            false => Ok(()),
        }
    }

    /// Brings what the remote has, or no more than the version needs if a depth is asked for.
    fn fetch(&self) -> Result<(), Fault> {
        let (git, version) = (&self.git, self.version);
        let refspec = self.args.str("refspec").filter(|refspec| !refspec.is_empty());
        let mut words = vec!["fetch".to_owned()];
        let mut refs: Vec<String> = Vec::new();
        if let Some(depth) = &self.depth {
            let current = git.head_branch(false)?;
            if let Some(refspec) = refspec {
                refs.push(refspec.to_owned());
            } else if version == "HEAD" {
                refs.push(current);
            } else if git.has_branch(git.repo, version)? {
                if current != version {
                    refs.push(format!("+refs/heads/{version}:refs/heads/{version}"));
                }
                refs.push(format!("+refs/heads/{version}:refs/remotes/{}/{version}", git.remote));
            } else if git.has_tag(git.repo, version)? {
                refs.push(format!("+refs/tags/{version}:refs/tags/{version}"));
            }
            if !refs.is_empty() {
                words.extend(["--depth".to_owned(), depth.clone()]);
            }
        }
        if refs.is_empty() {
            if git.bare {
                refs.extend(
                    ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"].map(Into::into),
                );
            } else {
                words.push("--tags".to_owned());
            }
            refs.extend(refspec.map(str::to_owned));
        }
        if self.force {
            words.push("--force".to_owned());
        }
        words.push(git.remote.to_owned());
        words.extend(refs);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.download(&words)
    }

    fn download(&self, words: &[&str]) -> Result<(), Fault> {
        let ran = self.git.run(words)?;
        if ran.success() {
            return Ok(());
        }
        let told = discreet::text(&format!("{} {}", ran.out(), ran.err()));
        let cmd: Vec<String> = [self.git.program.as_str()]
            .iter()
            .chain(words)
            .map(|word| discreet::text(word))
            .collect();
        Err(fail!("Failed to download remote objects and refs: {told}").with("cmd", cmd))
    }

    /// Checks the version out.
    fn switch(&self) -> Result<(), Fault> {
        let (git, version) = (&self.git, self.version);
        let branch_at = |branch: &str| format!("{}/{branch}", git.remote);
        let checkout = |branch: &str| {
            let ran = git.run(&["checkout", "--force", branch])?;
            match ran.success() {
                true => Ok(()),
                false => Err(said(format!("Failed to checkout branch {branch}"), &ran)),
            }
        };
        let (words, what): (Vec<String>, String) = if version == "HEAD" {
            let branch = git.head_branch(false)?;
            checkout(&branch)?;
            (
                ["reset", "--hard", &branch_at(&branch), "--"].map(Into::into).into(),
                format!("branch {branch}"),
            )
        } else if git.has_branch(git.remote, version)? {
            let mut local = git.has_local_branch(version)?;
            if let (Some(depth), false) = (&self.depth, local) {
                // A shallow clone follows one branch only.
                let ran = git.run(&[
                    "fetch",
                    &format!("--depth={depth}"),
                    git.remote,
                    &format!("+refs/heads/{version}:refs/heads/{version}"),
                    &format!("+refs/heads/{version}:refs/remotes/{}/{version}", git.remote),
                ])?;
                if !ran.success() {
                    return Err(said(
                        format!("Failed to fetch branch from remote: {version}"),
                        &ran,
                    ));
                }
                local = git.has_local_branch(version)?;
            }
            let at = branch_at(version);
            let words: Vec<String> = if local {
                checkout(version)?;
                ["reset", "--hard", &at].map(Into::into).into()
            } else {
                ["checkout", "--track", "-b", version, &at].map(Into::into).into()
            };
            (words, version.to_owned())
        } else {
            (["checkout", "--force", version].map(Into::into).into(), version.to_owned())
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = git.run(&words)?;
        if !ran.success() {
            return Err(
                said(format!("Failed to checkout {what}"), &ran).with("cmd", git.line(&words))
            );
        }
        match self.args.flag("verify_commit") {
            true => self.verify(),
            false => Ok(()),
        }
    }

    /// Refuses a version that nobody signed, or nobody of those who may.
    fn verify(&self) -> Result<(), Fault> {
        let (git, version) = (&self.git, self.version);
        let format = "%(objecttype):%(refname:short)";
        let tags = git.run(&["for-each-ref", "refs/tags/", "--format", format])?;
        if !tags.success() {
            let told = format!("Could not determine tag data - received {}", tags.out());
            return Err(Fault::new(told).with("stdout", tags.out()).with("stderr", tags.err()));
        }
        let tag = tags.out().lines().any(|line| line.trim() == format!("tag:{version}"));
        let allowed = self.args.list("gpg_allowlist");
        let mut words = vec![if tag { "verify-tag" } else { "verify-commit" }, version];
        if !allowed.is_empty() {
            words.push("--raw");
        }
        let ran = git.run(&words)?;
        if !ran.success() {
            let told = format!("Failed to verify GPG signature of commit/tag \"{version}\"");
            return Err(said(told, &ran));
        }
        let told = ran.err();
        let found = fingerprint_of(&told).unwrap_or("None");
        if !allowed.is_empty() && !allowed.iter().any(|key| key == found) {
            let told = format!(
                "The gpg_allowlist does not include the public key \"{found}\" for this commit"
            );
            return Err(said(told, &ran));
        }
        Ok(())
    }

    /// Whether submodules are missing or not where they should be.
    fn submodules_moved(&self) -> Result<bool, Fault> {
        let git = &self.git;
        let Ok(text) = fs::read_to_string(git.dest.join(".gitmodules")) else { return Ok(false) };
        let paths = text.lines().map(str::trim).filter(|line| line.starts_with("path"));
        let mut paths = paths.filter_map(|line| line.split_once('=')).map(|(_, path)| path.trim());
        if paths.any(|path| !git.dest.join(path).join(".git").exists()) {
            return Ok(true);
        }
        let before = git.submodules("HEAD")?;
        git.must(&["submodule", "foreach", &git.program, "fetch"])?;
        if self.args.flag("track_submodules") {
            return Ok(before != git.submodules(&format!("{}/master", git.remote))?);
        }
        Ok(git.must(&["submodule", "status"])?.lines().any(|line| !line.starts_with(' ')))
    }

    fn update_submodules(&self) -> Result<(), Fault> {
        self.git.must(&["submodule", "sync"])?;
        let mut words = vec!["submodule", "update", "--init", "--recursive"];
        if self.args.flag("track_submodules") {
            words.push("--remote");
        }
        if self.force {
            words.push("--force");
        }
        let ran = self.git.run(&words)?;
        if !ran.success() {
            return Err(fail!(
                "Failed to init/update submodules: {}{}",
                ran.out(),
                discreet::text(&ran.err())
            ));
        }
        Ok(())
    }

    /// Adds what the difference between two versions is, if it is asked for.
    fn show(&mut self, before: Option<&str>, after: &str) -> Result<(), Fault> {
        if !self.git.ctx.diff || before == Some(after) {
            return Ok(());
        }
        let prepared = match before {
            None => format!(">> Newly checked out {after}"),
            Some(before) => {
                if self.git.ctx.check {
                    self.peek(after)?;
                }
                let ran = self.git.run(&["diff", before, after])?;
                let (out, err) = (ran.out(), ran.err());
                match (ran.success(), out.is_empty(), err.is_empty()) {
                    (true, false, _) => out,
                    (true, true, _) => {
                        format!(">> No visual differences between {before} and {after}")
                    }
                    (false, _, false) => format!(
                        ">> Failed to get proper diff between {before} and {after}:\n>> {err}"
                    ),
                    (false, _, true) => {
                        format!(">> Failed to get proper diff between {before} and {after}")
                    }
                }
            }
        };
        self.set("diff", json!({ "prepared": prepared }));
        Ok(())
    }

    /// Brings a commit to compare with, and moves no name; the real module moves those of the remote.
    fn peek(&self, commit: &str) -> Result<(), Fault> {
        let of = |what| {
            ["fetch", "--no-tags", "--no-write-fetch-head", "--refmap=", self.git.repo, what]
        };
        // A server of the older protocol gives nothing but what it has a name for.
        match self.git.run(&of(commit))?.success() {
            true => Ok(()),
            false => self.download(&of(self.version)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_never_asks_and_takes_what_the_task_gives() {
        let no = Some("StrictHostKeyChecking=no");
        for (given, keys, file, command) in [
            (None, None, None, "ssh -o BatchMode=yes"),
            (None, no, None, "ssh -o StrictHostKeyChecking=no -o BatchMode=yes"),
            (
                Some("-o StrictHostKeyChecking=no"),
                no,
                None,
                "ssh -o StrictHostKeyChecking=no -o BatchMode=yes",
            ),
            (
                Some("-p 22 -o BatchMode=yes"),
                None,
                Some("/k"),
                "ssh -p 22 -o BatchMode=yes -i /k -o IdentitiesOnly=yes",
            ),
        ] {
            assert_eq!(ssh_command("ssh", None, given, keys, file), command);
        }
    }
}
