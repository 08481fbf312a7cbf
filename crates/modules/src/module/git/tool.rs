//! The git program on one checkout: what it is asked, and what its answers mean.
//!
//! Never here: the order in which a task asks.

use crate::context::Context;
use crate::discreet;
use crate::outcome::{Fault, OrFail, fail};
use crate::process::{Cmd, Ran, not_run};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Git, the checkout it works on and where that comes from.
pub(super) struct Git<'a> {
    pub(super) program: String,
    /// `GIT_SSH_COMMAND`, once it is known.
    pub(super) ssh: Option<String>,
    pub(super) umask: Option<u32>,
    /// The checkout, or the directory of a bare repository.
    pub(super) dest: PathBuf,
    pub(super) bare: bool,
    /// Its source, a url.
    pub(super) repo: &'a str,
    /// The name of the source in the checkout.
    pub(super) remote: &'a str,
    pub(super) ctx: &'a Context,
}

impl Git<'_> {
    /// Runs git in `dir`, or wherever we are if there is no such directory.
    pub(super) fn run_in(&self, dir: &Path, words: &[&str]) -> Result<Ran, Fault> {
        let mut cmd = Cmd::new(&self.program).args(words).umask(self.umask).plain_locale();
        cmd = cmd.env("LANGUAGE", "C").env("LC_CTYPE", "C");
        // Nobody would see a question on a terminal, and it would be waited for.
        if self.ctx.var("GIT_TERMINAL_PROMPT").is_none() {
            cmd = cmd.env("GIT_TERMINAL_PROMPT", "0");
        }
        if let Some(ssh) = &self.ssh {
            cmd = cmd.env("GIT_SSH_COMMAND", ssh);
        }
        if dir.is_dir() {
            cmd = cmd.dir(dir);
        }
        cmd.run(self.ctx).map_err(|error| not_run(self.line(words), &error))
    }

    /// Runs git in the checkout.
    pub(super) fn run(&self, words: &[&str]) -> Result<Ran, Fault> {
        self.run_in(&self.dest, words)
    }

    /// Runs git, which must succeed, and tells what it printed.
    pub(super) fn must_in(&self, dir: &Path, words: &[&str]) -> Result<String, Fault> {
        let ran = self.run_in(dir, words)?;
        if ran.success() {
            return Ok(ran.out());
        }
        Err(said(discreet::text(ran.err().trim_end()), &ran).with("cmd", self.line(words)))
    }

    pub(super) fn must(&self, words: &[&str]) -> Result<String, Fault> {
        self.must_in(&self.dest, words)
    }

    /// The command line without the passwords that urls may hold.
    pub(super) fn line(&self, words: &[&str]) -> String {
        Cmd::new(&self.program).args(words).shown()
    }

    /// The commit that `HEAD` is.
    pub(super) fn head(&self) -> Result<String, Fault> {
        Ok(self.run(&["rev-parse", "HEAD"])?.out().trim_end_matches('\n').to_owned())
    }

    /// Whether tracked files differ from what was checked out.
    pub(super) fn is_modified(&self) -> Result<bool, Fault> {
        if self.bare {
            return Ok(false);
        }
        let told = self.run(&["status", "--porcelain"])?.out();
        Ok(told.lines().any(|line| !line.starts_with("??")))
    }

    /// Whether `at`, a url or the name of a remote, has a branch `version`.
    pub(super) fn has_branch(&self, at: &str, version: &str) -> Result<bool, Fault> {
        // What follows the repository is a pattern, `-h` too.
        let told = self.must(&["ls-remote", at, "-h", &format!("refs/heads/{version}")])?;
        Ok(told.contains(version))
    }

    /// Whether `at` has a tag `version`.
    pub(super) fn has_tag(&self, at: &str, version: &str) -> Result<bool, Fault> {
        let told = self.must(&["ls-remote", at, "-t", &format!("refs/tags/{version}")])?;
        Ok(told.contains(version))
    }

    fn branches(&self) -> Result<Vec<String>, Fault> {
        let ran = self.run(&["branch", "--no-color", "-a"])?;
        if !ran.success() {
            let told = format!("Could not determine branch data - received {}", ran.out());
            return Err(Fault::new(told).with("stdout", ran.out()).with("stderr", ran.err()));
        }
        let lines = ran.out().lines().map(str::trim).map(str::to_owned).collect::<Vec<_>>();
        Ok(lines.into_iter().filter(|line| !line.is_empty()).collect())
    }

    /// Whether there is a branch `name` here.
    pub(super) fn has_local_branch(&self, name: &str) -> Result<bool, Fault> {
        let starred = format!("* {name}");
        Ok(self.branches()?.iter().any(|branch| branch == name || *branch == starred))
    }

    /// The branch that is checked out, or the one the remote checks out if it is none.
    ///
    /// Where nobody says so it is called `None`, as the real module has it.
    pub(super) fn head_branch(&self, bare: bool) -> Result<String, Fault> {
        let home = home_of(&self.dest, bare)?;
        let detached = self.branches()?.iter().any(|branch| {
            let none = ["no branch", "detached from", "detached at"];
            branch.starts_with("* ") && none.iter().any(|text| branch.contains(text))
        });
        let file = if detached {
            home.join("refs/remotes").join(self.remote).join("HEAD")
        } else {
            home.join("HEAD")
        };
        if !file.exists() {
            return Ok("None".to_owned());
        }
        let text = fs::read(&file);
        let text = text.map_err(|_| fail!("Unable to read {}", file.display()))?;
        let branch = branch_of(&String::from_utf8_lossy(&text), self.remote);
        Ok(branch.unwrap_or_else(|| "None".to_owned()))
    }

    /// The commit that `version` is at `at`.
    pub(super) fn remote_commit(&self, at: &str, version: &str) -> Result<String, Fault> {
        let from_afar = at == self.repo;
        let here;
        let mut tag = false;
        let heads = |name: &str| format!("refs/heads/{name}");
        let words: [&str; 4] = if version == "HEAD" {
            here = if from_afar { "HEAD".into() } else { heads(&self.head_branch(self.bare)?) };
            ["ls-remote", at, "-h", &here]
        } else if self.has_branch(at, version)? {
            here = heads(version);
            ["ls-remote", at, "-h", &here]
        } else if self.has_tag(at, version)? {
            tag = true;
            here = format!("refs/tags/{version}*");
            ["ls-remote", at, "-t", &here]
        } else {
            return Ok(version.to_owned());
        };
        // A url is asked from wherever we are.
        let dir = if from_afar { Path::new("") } else { &self.dest };
        let told = self.must_in(dir, &words)?;
        match commit_of(&told, tag.then_some(version)) {
            Some(commit) => Ok(commit),
            None => Err(fail!("Could not determine remote revision for {version}")
                .with("stdout", told)
                .with("stderr", "")
                .with("rc", 0)),
        }
    }

    /// Where the remote is, if this git tells.
    fn remote_url(&self) -> Result<Option<String>, Fault> {
        let ran = self.run(&["ls-remote", "--get-url", self.remote])?;
        Ok(ran.success().then(|| ran.out().trim_end_matches('\n').to_owned()))
    }

    /// Whether the remote is elsewhere than the task says; it is put right unless only looking.
    pub(super) fn point_remote(&self, look: bool) -> Result<bool, Fault> {
        let url = self.remote_url()?;
        let same = |url: &str| url == self.repo || self.place(url) == self.place(self.repo);
        if url.as_deref().is_some_and(same) {
            return Ok(false);
        }
        if !look {
            let ran = self.run(&["remote", "set-url", self.remote, self.repo])?;
            if !ran.success() {
                return Err(fail!(
                    "Failed to set a new url {} for {}: {} {}",
                    discreet::text(self.repo),
                    self.remote,
                    ran.out(),
                    discreet::text(&ran.err())
                ));
            }
        }
        Ok(url.is_some_and(|url| !url.is_empty()))
    }

    fn place(&self, url: &str) -> PathBuf {
        crate::place::real(Path::new(&crate::place::expand(url, self.ctx)))
    }

    /// The commits of the submodules at `version`, by name.
    pub(super) fn submodules(&self, version: &str) -> Result<BTreeMap<String, String>, Fault> {
        let words = ["submodule", "foreach", &self.program, "rev-parse", version];
        let ran = self.run(&words)?;
        if !ran.success() {
            return Err(said("Unable to determine hashes of submodules".to_owned(), &ran));
        }
        submodules_of(&ran.out())
    }
}

/// A fault that also shows how git ended.
pub(super) fn said(message: String, ran: &Ran) -> Fault {
    let fault = Fault::new(message).with("rc", ran.code);
    fault.with("stdout", ran.out()).with("stderr", ran.err())
}

/// The directory that holds a repository's history, wherever a checkout says it lies.
pub(super) fn home_of(dest: &Path, bare: bool) -> Result<PathBuf, Fault> {
    let home = if bare { dest.to_owned() } else { dest.join(".git") };
    if !home.is_file() {
        return Ok(home);
    }
    let refuse = |why: String| {
        fail!(
            "Current repo does not have a valid reference to a separate Git dir or it refers to the invalid path"
        )
        .with("details", why)
    };
    let text = fs::read_to_string(&home).or_fail(format!("cannot read {}", home.display()))?;
    let lead = text
        .trim_end()
        .strip_prefix("gitdir: ")
        .ok_or_else(|| refuse(".git file has invalid git dir reference format".to_owned()))?;
    let led = dest.join(lead);
    if !led.is_dir() {
        return Err(refuse(format!("{} is not a directory", led.display())));
    }
    Ok(led)
}

/// The branch that a `HEAD` file names; the commit itself if it is detached.
fn branch_of(text: &str, remote: &str) -> Option<String> {
    let line = text.split_inclusive('\n').next()?;
    let line = line.replacen(&format!("refs/remotes/{remote}"), "", 1);
    let name = line.rsplit(' ').next()?;
    Some(name.splitn(3, '/').last()?.trim_end_matches('\n').to_owned())
}

/// The commit in an answer of `ls-remote`; for a tag the one that it stands for.
fn commit_of(told: &str, tag: Option<&str>) -> Option<String> {
    let mut line = told;
    if let Some(tag) = tag {
        let meant = format!("{tag}^{{}}");
        for found in told.split('\n') {
            if found.ends_with(&meant) {
                line = found;
                break;
            }
            if found.ends_with(tag) {
                line = found;
            }
        }
    }
    line.split_whitespace().next().map(str::to_owned)
}

/// What `submodule foreach … rev-parse` told.
fn submodules_of(told: &str) -> Result<BTreeMap<String, String>, Fault> {
    let mut found = BTreeMap::new();
    let mut name: Option<&str> = None;
    for line in told.lines() {
        if let Some(entered) = line.strip_prefix("Entering '") {
            name = Some(entered.strip_suffix('\'').unwrap_or(entered));
        } else if line.trim().len() == 40
            && let Some(name) = name.take()
        {
            found.insert(name.to_owned(), line.trim().to_owned());
        } else {
            return Err(fail!("Unable to parse submodule hash line: {}", line.trim()));
        }
    }
    match name {
        Some(name) => Err(fail!("Unable to find hash for submodule: {name}")),
        None => Ok(found),
    }
}

/// The version of git as `git --version` tells it.
pub(super) fn version_of(told: &str) -> Option<(u32, u32)> {
    let mut parts = told.split_once("git version ")?.1.split('.');
    let mut number = || parts.next()?.trim().parse().ok();
    Some((number()?, number()?))
}

/// The fingerprint of the key that signed, from what gpg says of itself.
pub(super) fn fingerprint_of(told: &str) -> Option<&str> {
    let mut lines = told.lines().map(|line| line.split_whitespace().skip(1));
    // The real module means to take the primary key's, and takes this one.
    lines.find_map(|mut words| words.next().filter(|word| *word == "VALIDSIG").and(words.next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_file_names_its_branch() {
        for (text, branch) in [
            ("ref: refs/heads/main\n", Some("main")),
            ("ref: refs/heads/fix/it\n", Some("fix/it")),
            ("ref: refs/remotes/origin/main\n", Some("main")),
            ("1234abcd\n", Some("1234abcd")),
            ("", None),
        ] {
            assert_eq!(branch_of(text, "origin").as_deref(), branch, "{text:?}");
        }
    }

    #[test]
    fn a_tag_is_the_commit_it_stands_for() {
        let told = "aaa\trefs/tags/v1\nbbb\trefs/tags/v1^{}\nccc\trefs/tags/v10\n";
        assert_eq!(commit_of(told, Some("v1")).as_deref(), Some("bbb"));
        assert_eq!(commit_of("aaa\trefs/heads/main\n", None).as_deref(), Some("aaa"));
        assert_eq!(commit_of("", None), None);
    }

    #[test]
    fn submodules_are_told_by_name() {
        let hash = "0123456789012345678901234567890123456789";
        let told = format!("Entering 'a'\n{hash}\nEntering 'b c'\n{hash}\n");
        let found = submodules_of(&told).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b c"]);
        assert!(submodules_of("Entering 'a'\n").is_err());
        assert!(submodules_of("fatal\n").is_err());
    }

    #[test]
    fn versions_fingerprints_and_umasks_are_read() {
        assert_eq!(version_of("git version 2.47.3\n"), Some((2, 47)));
        assert_eq!(version_of("git version 2.39.windows\n"), Some((2, 39)));
        assert_eq!(version_of("nonsense"), None);
        let told = "[GNUPG:] NEWSIG\n[GNUPG:] VALIDSIG F 2026-01-01 1 0 4 0 22 8 00 PRIMARY\n";
        assert_eq!(fingerprint_of(told), Some("F"));
        assert_eq!(fingerprint_of("[GNUPG:] ERRSIG"), None);
    }
}
