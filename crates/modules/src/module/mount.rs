//! `mount`: a filesystem is mounted, now and after a boot, or is not.
//!
//! `/etc/fstab` (fstab(5)) says what a boot mounts, `/proc/self/mountinfo` (proc(5)) what is
//! mounted now.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place::{self, Rewrite};
use crate::process::{Cmd, Ran};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let path = match args.text("path") {
        "/" => "/",
        path => path.trim_end_matches('/'),
    };
    let state = args.text("state");
    let mut opts = args.text("opts").to_owned();
    if !args.flag("boot") && state != "ephemeral" && !opts.split(',').any(|it| it == "noauto") {
        opts.push_str(",noauto");
    }
    let task = Task { args, ctx, path, opts };
    let mut outcome = match state {
        "present" => task.note()?.outcome,
        "mounted" => task.mounted()?,
        "absent" => task.absent()?,
        "absent_from_fstab" => task.strike()?.outcome,
        "unmounted" => task.unmounted()?,
        "remounted" => task.remounted()?,
        _ => task.ephemeral()?,
    };
    for (key, value) in [
        ("name", path),
        ("opts", task.opts.as_str()),
        ("dump", args.text("dump")),
        ("passno", args.text("passno")),
    ] {
        outcome = outcome.with(key, value);
    }
    outcome = outcome.with("boot", if args.flag("boot") { "yes" } else { "no" });
    outcome = outcome.with("fstab", task.file().display().to_string());
    Ok(outcome.with_some("src", args.str("src")).with_some("fstype", args.str("fstype")))
}

struct Task<'a> {
    args: &'a Args,
    ctx: &'a Context,
    path: &'a str,
    opts: String,
}

/// What became of fstab.
struct Noted {
    changed: bool,
    outcome: Outcome,
}

impl Task<'_> {
    fn file(&self) -> PathBuf {
        PathBuf::from(self.args.str("fstab").unwrap_or("/etc/fstab"))
    }

    /// The line of fstab that is asked for.
    fn line(&self) -> [String; 6] {
        let text = |name: &str| self.args.text(name);
        [
            escaped(text("src")),
            escaped(self.path),
            escaped(text("fstype")),
            escaped(&self.opts),
            text("dump").to_owned(),
            text("passno").to_owned(),
        ]
    }

    fn note(&self) -> Result<Noted, Fault> {
        self.edit(|text| with_line(text, &self.line()))
    }

    fn strike(&self) -> Result<Noted, Fault> {
        self.edit(|text| without(text, &escaped(self.path), self.args.text("src")))
    }

    fn edit(&self, edit: impl Fn(&str) -> String) -> Result<Noted, Fault> {
        let file = self.file();
        let before = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).or_fail(format!("cannot read {}", file.display())),
        };
        let after = edit(&before);
        let changed = after != before;
        let mut backup = None;
        if changed && !self.ctx.check {
            let backup_too = self.args.flag("backup");
            let rewrite = Rewrite { backup: backup_too, validate: None, unsafe_writes: false };
            backup = place::rewrite(&file, after.as_bytes(), &rewrite, self.ctx)?;
        }
        let outcome = Outcome::changed(changed).with_some("backup_file", backup);
        Ok(Noted { changed, outcome })
    }

    fn mounted(&self) -> Result<Outcome, Fault> {
        let dir = Path::new(self.path);
        let made = !dir.exists();
        if made && !self.ctx.check {
            fs::create_dir_all(dir).or_fail(format!("Error making dir {}", dir.display()))?;
        }
        let noted = self.note()?;
        let now = current(self.path);
        let mut changed = noted.changed || made;
        if now.is_none() || noted.changed {
            changed = true;
            if !self.ctx.check {
                let done = match now {
                    Some(_) => self.remount()?,
                    None => self.call(&["mount", self.path])?,
                };
                if !done.success() {
                    return Err(fail!("Error mounting {}: {}", self.path, said(&done)));
                }
            }
        }
        Ok(noted.outcome.with("changed", changed))
    }

    fn absent(&self) -> Result<Outcome, Fault> {
        let noted = self.strike()?;
        let mounted = current(self.path).is_some();
        let dir = Path::new(self.path);
        if !self.ctx.check {
            if mounted {
                self.umount()?;
            }
            if dir.is_dir() {
                match fs::remove_dir(dir) {
                    Err(error) if error.kind() != std::io::ErrorKind::DirectoryNotEmpty => {
                        return Err(error).or_fail(format!("Error rmdir {}", dir.display()));
                    }
                    _ => {}
                }
            }
        }
        Ok(noted.outcome.with("changed", noted.changed || mounted))
    }

    fn unmounted(&self) -> Result<Outcome, Fault> {
        let mounted = current(self.path).is_some();
        if mounted && !self.ctx.check {
            self.umount()?;
        }
        Ok(Outcome::changed(mounted))
    }

    fn remounted(&self) -> Result<Outcome, Fault> {
        if !self.ctx.check {
            let ran = self.remount()?;
            if !ran.success() {
                return Err(fail!("Error remounting {}: {}", self.path, said(&ran)));
            }
        }
        Ok(Outcome::changed(true))
    }

    /// Mounts without a word in fstab.
    fn ephemeral(&self) -> Result<Outcome, Fault> {
        let src = self.args.text("src");
        if let Some(found) = current(self.path).filter(|found| found.source != src) {
            return Err(fail!(
                "Ephemeral mount point is already mounted with a different source: {}",
                found.source
            ));
        }
        let remount = current(self.path).is_some();
        let opts = if remount { format!("remount,{}", self.opts) } else { self.opts.clone() };
        if !self.ctx.check {
            let dir = Path::new(self.path);
            fs::create_dir_all(dir).or_fail(format!("Error making dir {}", dir.display()))?;
            let kind = self.args.text("fstype");
            let ran = self.call(&["mount", "-t", kind, "-o", &opts, src, self.path])?;
            if !ran.success() {
                return Err(fail!("Error mounting {}: {}", self.path, said(&ran)));
            }
        }
        Ok(Outcome::changed(true))
    }

    /// Mounts anew what is mounted, away in between where it cannot be otherwise.
    fn remount(&self) -> Result<Ran, Fault> {
        let ran = self.call(&["mount", "-o", "remount", self.path])?;
        if ran.success() {
            return Ok(ran);
        }
        self.umount()?;
        self.call(&["mount", self.path])
    }

    fn umount(&self) -> Result<(), Fault> {
        let ran = self.call(&["umount", self.path])?;
        if ran.success() {
            return Ok(());
        }
        Err(fail!("Error unmounting {}: {}", self.path, said(&ran)))
    }

    fn call(&self, words: &[&str]) -> Result<Ran, Fault> {
        let (program, rest) = words.split_first().expect("a command has a first word");
        let mut cmd = Cmd::new(program);
        if let (Some(file), true) = (self.args.str("fstab"), *program == "mount") {
            cmd = cmd.args(["-T", file]);
        }
        cmd.args(rest).plain_locale().run(self.ctx).or_fail(format!("cannot run {program}"))
    }
}

fn said(ran: &Ran) -> String {
    format!("{}{}", ran.out(), ran.err())
}

/// What is mounted on a directory.
struct Mounted {
    source: String,
}

fn current(path: &str) -> Option<Mounted> {
    let real = place::real(Path::new(path)).display().to_string();
    let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
    text.lines().rev().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let point = unescaped(left.split(' ').nth(4)?);
        (point == real || point == path)
            .then(|| Mounted { source: unescaped(right.split(' ').nth(1).unwrap_or_default()) })
    })
}

/// A field of fstab (fstab(5): spaces and tabs are written in octal).
fn escaped(text: &str) -> String {
    text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011")
}

fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

/// The fields of a line of fstab, if it is an entry.
fn fields(line: &str) -> Option<Vec<&str>> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    (matches!(fields.len(), 4..=6) && !fields[0].starts_with('#')).then_some(fields)
}

/// Whether an entry is for this mount point. Swap has none, and goes by its source.
fn is_for(fields: &[&str], path: &str, src: &str) -> bool {
    fields[1] == path && (!matches!(path, "none" | "swap") || fields[0] == src)
}

/// fstab with this entry, in the place of the one for its mount point or at the end.
fn with_line(text: &str, entry: &[String; 6]) -> String {
    let (path, src) = (entry[1].as_str(), entry[0].as_str());
    let mut lines: Vec<String> = Vec::new();
    let mut placed = false;
    for line in text.lines() {
        match fields(line).filter(|fields| is_for(fields, path, src)) {
            Some(found) => {
                placed = true;
                let mut whole = found.clone();
                whole.extend(["0"; 2].into_iter().take(6 - found.len()));
                let same = whole.iter().zip(entry).all(|(have, want)| have == want);
                lines.push(if same { line.to_owned() } else { entry.join(" ") });
            }
            None => lines.push(line.to_owned()),
        }
    }
    if !placed {
        lines.push(entry.join(" "));
    }
    if text.lines().eq(lines.iter().map(String::as_str)) {
        return text.to_owned();
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// fstab without the entry for a mount point.
fn without(text: &str, path: &str, src: &str) -> String {
    let meant = |line: &&str| fields(line).is_some_and(|fields| is_for(&fields, path, src));
    if !text.lines().any(|line| meant(&line)) {
        return text.to_owned();
    }
    text.lines().filter(|line| !meant(line)).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(words: &str) -> [String; 6] {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        words.try_into().unwrap()
    }

    #[test]
    fn an_entry_is_in_fstab_once() {
        let text = "# root\nUUID=1 / ext4 defaults 0 1\n/dev/b /srv xfs noatime\n";
        let same = entry("/dev/b /srv xfs noatime 0 0");
        assert_eq!(with_line(text, &same), text);
        let other = entry("/dev/c /srv xfs noatime 0 0");
        assert_eq!(
            with_line(text, &other),
            "# root\nUUID=1 / ext4 defaults 0 1\n/dev/c /srv xfs noatime 0 0\n"
        );
        assert_eq!(without(text, "/srv", ""), "# root\nUUID=1 / ext4 defaults 0 1\n");
        assert_eq!(without(text, "/mnt", ""), text);
        let swap = "/dev/s none swap sw 0 0\n";
        let second = entry("/dev/t none swap sw 0 0");
        assert_eq!(with_line(swap, &second), format!("{swap}/dev/t none swap sw 0 0\n"));
    }

    #[test]
    fn spaces_survive_fstab() {
        assert_eq!(unescaped(&escaped("/srv/my \\data")), "/srv/my \\data");
        assert_eq!(escaped("a b"), "a\\040b");
    }
}
