//! `file`: a path is a file, directory, link or nothing at all, with these attributes.

use crate::args::Args;
use crate::attributes::{Attributes, Diff};
use crate::context::Context;
use crate::module::stat::seconds;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail, numbered};
use crate::place::{self, Moment};
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use updraft_spec::CAUSE;

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Directory,
    File,
    Hard,
    Link,
}

impl State {
    fn of(path: &Path) -> Self {
        match path.symlink_metadata() {
            Ok(meta) if meta.is_symlink() => Self::Link,
            Ok(meta) if meta.is_dir() => Self::Directory,
            Ok(meta) if meta.nlink() > 1 => Self::Hard,
            Ok(_) => Self::File,
            Err(_) => Self::Absent,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Directory => "directory",
            Self::File => "file",
            Self::Hard => "hard",
            Self::Link => "link",
        }
    }
}

/// What all states share.
struct Job<'a> {
    path: PathBuf,
    src: Option<&'a str>,
    follow: bool,
    force: bool,
    attributes: Attributes,
    times: Times,
    ctx: &'a Context,
}

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let mut outcome = decide(args, ctx)?;
    if !ctx.diff {
        outcome.0.shift_remove("diff");
    }
    Ok(outcome)
}

fn decide(args: &Args, ctx: &Context) -> Done {
    let asked = args.str("state");
    let src = args.str("src");
    let mut path = args.text("path").to_owned();
    if !matches!(asked, Some("link" | "absent")) && Path::new(&path).is_dir() {
        let inside = args.str("_original_basename").or_else(|| src.map(place::base_name));
        if let Some(inside) = inside.filter(|name| !name.is_empty()) {
            path = Path::new(&path).join(inside).display().to_string();
        }
    }
    let now = State::of(Path::new(&path));
    let recurse = args.flag("recurse");
    let state = match asked {
        Some(state) => state,
        None if now != State::Absent => now.name(),
        None if recurse => "directory",
        None => "file",
    };
    if recurse && state != "directory" {
        return Err(fail!("recurse option requires state to be 'directory'").with("path", path));
    }
    if src.is_some() && !matches!(state, "link" | "hard") {
        return Err(fail!("src option requires state to be 'link' or 'hard'").with("path", path));
    }
    let job = Job {
        path: PathBuf::from(path),
        src,
        follow: args.flag("follow"),
        force: args.flag("force"),
        attributes: Attributes::asked(args),
        times: Times::asked(args, state)?,
        ctx,
    };
    match state {
        "absent" => job.absent(),
        "directory" => job.directory(recurse),
        "hard" => job.hard(),
        "link" => job.link(),
        "touch" => job.touch(),
        _ => job.file(),
    }
}

impl Job<'_> {
    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn diff(&self, to: &str, from: State) -> Diff {
        let mut diff = Diff::default();
        diff.note("path", self.shown(), self.shown());
        if from.name() != to {
            diff.note("state", from.name(), to);
        }
        diff
    }

    /// Attributes and times of what the path leads to, or of the link itself.
    fn dress(&self, path: &Path, diff: &mut Diff) -> Result<bool, Fault> {
        let path =
            if self.follow && place::is_link(path) { place::real(path) } else { path.to_owned() };
        let changed = self.attributes.ensure(&path, Some(diff), self.ctx)?;
        Ok(self.times.ensure(&path, Some(diff), self.ctx)? | changed)
    }

    fn absent(self) -> Done {
        let now = State::of(&self.path);
        let outcome = Outcome::changed(now != State::Absent)
            .with("path", self.shown())
            .with("state", "absent");
        if now == State::Absent {
            return Ok(outcome);
        }
        let mut diff = self.diff("absent", now);
        if now == State::Directory {
            let (mut directories, mut files) = (Vec::new(), Vec::new());
            walk(&self.path, &mut |path, is_dir| {
                let list = if is_dir { &mut directories } else { &mut files };
                list.push(path.display().to_string());
                Ok(())
            })?;
            let content = json!({ "directories": directories, "files": files });
            diff.before.insert("path_content".into(), content);
        }
        if !self.ctx.check {
            if now == State::Directory {
                fs::remove_dir_all(&self.path).or_fail("rmtree failed")?;
            } else {
                match fs::remove_file(&self.path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(self.refused("Unlinking failed.", &error));
                    }
                    _ => {}
                }
            }
        }
        Ok(outcome.with("diff", diff.into_value()))
    }

    fn file(mut self) -> Done {
        let mut now = State::of(&self.path);
        if self.follow && now == State::Link {
            self.path = place::real(&self.path);
            now = State::of(&self.path);
        }
        if !matches!(now, State::File | State::Hard) {
            let shown = self.shown();
            return Err(fail!("file ({shown}) is {}, cannot continue", now.name())
                .with("path", shown)
                .with("state", now.name()));
        }
        let mut diff = self.diff("file", now);
        let changed = self.dress(&self.path, &mut diff)?;
        Ok(Outcome::changed(changed).with("path", self.shown()).with("diff", diff.into_value()))
    }

    fn directory(mut self, recurse: bool) -> Done {
        let mut now = State::of(&self.path);
        if self.follow && now == State::Link {
            self.path = place::real(&self.path);
            now = State::of(&self.path);
        }
        let mut diff = self.diff("directory", now);
        let mut changed = false;
        match now {
            State::Absent => {
                changed = true;
                if !self.ctx.check {
                    self.create_directories(&mut diff)?;
                }
            }
            State::Directory => {
                changed |= self.dress(&self.path, &mut diff)?;
                if recurse {
                    changed |= self.dress_below(&self.path, 0)?;
                }
            }
            _ => {
                let shown = self.shown();
                return Err(fail!("{shown} already exists as a {}", now.name()).with("path", shown));
            }
        }
        Ok(Outcome::changed(changed).with("path", self.shown()).with("diff", diff.into_value()))
    }

    /// Makes the directory and those above it that are missing; all new ones get the attributes.
    fn create_directories(&self, diff: &mut Diff) -> Result<(), Fault> {
        let mut current = PathBuf::new();
        for part in self.path.components() {
            current.push(part);
            if current.exists() {
                continue;
            }
            match fs::create_dir(&current) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && current.is_dir() => {}
                Err(error) => {
                    let shown = current.display();
                    return Err(fail!(
                        "There was an issue creating {shown} as requested: {}: b'{shown}'",
                        numbered(&error)
                    )
                    .with("path", self.shown()));
                }
                Ok(()) => {}
            }
            self.attributes.ensure(&current, Some(diff), self.ctx)?;
            self.times.ensure(&current, Some(diff), self.ctx)?;
        }
        Ok(())
    }

    fn dress_below(&self, dir: &Path, depth: u32) -> Result<bool, Fault> {
        // A link may lead back up; deeper than any path may be long there is nothing new.
        if depth > 64 {
            return Err(fail!("Could not recursively set attributes on {}", dir.display()));
        }
        let mut changed = false;
        let mut entries = Vec::new();
        walk(dir, &mut |path, _| {
            entries.push(path.to_owned());
            Ok(())
        })?;
        for path in entries {
            changed |= self.attributes.ensure(&path, None, self.ctx)?;
            if !place::is_link(&path) {
                changed |= self.times.ensure(&path, None, self.ctx)?;
            } else if self.follow {
                let target = place::real(&path);
                if target.exists() {
                    if target.is_dir() {
                        changed |= self.dress_below(&target, depth + 1)?;
                    }
                    changed |= self.attributes.ensure(&target, None, self.ctx)?;
                    changed |= self.times.ensure(&target, None, self.ctx)?;
                }
            }
        }
        Ok(changed)
    }

    fn link(self) -> Done {
        let now = State::of(&self.path);
        let old = fs::read_link(&self.path).ok().map(|target| target.display().to_string());
        let src = match self.src {
            Some(src) => Some(src.to_owned()),
            None if self.follow && self.path.exists() => old.clone(),
            None => None,
        };
        let base = if now != State::Link && self.path.is_dir() {
            self.path.clone()
        } else {
            self.path.parent().unwrap_or(Path::new("")).to_owned()
        };
        let refuse = |message: String| Err(Fault::new(message).with("path", self.shown()));
        if let (false, Some(src)) = (self.force, &src) {
            let target = base.join(src);
            if !target.exists() {
                return Err(fail!(
                    "src file does not exist, use 'force=yes' if you really want to create the link: {}",
                    target.display()
                )
                .with("path", self.shown())
                .with("src", src.as_str()));
            }
        }
        let cannot =
            format!("refusing to convert from {} to symlink for {}", now.name(), self.shown());
        match now {
            State::Directory if !self.force => return refuse(cannot),
            State::Directory
                if fs::read_dir(&self.path).is_ok_and(|mut dir| dir.next().is_some()) =>
            {
                return refuse(format!(
                    "the directory {} is not empty, refusing to convert it",
                    self.shown()
                ));
            }
            State::File | State::Hard if !self.force => return refuse(cannot),
            _ => {}
        }
        let mut diff = self.diff("link", now);
        let mut changed = now != State::Link;
        match (&src, &old) {
            (None, _) if changed => return Err(fail!("src is required for creating new symlinks")),
            (Some(src), Some(old)) if now == State::Link && src != old => {
                diff.note("src", old.as_str(), src.as_str());
                changed = true;
            }
            _ => {}
        }
        if let (true, false, Some(src)) = (changed, self.ctx.check, &src) {
            self.place(now, |at| std::os::unix::fs::symlink(src, at), "linking")?;
        }
        let outcome = |changed: bool, diff: Diff| {
            Outcome::changed(changed)
                .with("dest", self.shown())
                .with("src", src.clone())
                .with("diff", diff.into_value())
        };
        if self.ctx.check && !self.path.exists() {
            return Ok(outcome(changed, diff));
        }
        if self.follow && place::is_link(&self.path) && !self.path.exists() {
            return Ok(outcome(changed, diff).with(
                "warnings",
                json!([
                    "Cannot set fs attributes on a non-existent symlink target. follow should be \
                     set to False to avoid this."
                ]),
            ));
        }
        changed |= self.dress(&self.path, &mut diff)?;
        Ok(outcome(changed, diff))
    }

    fn hard(self) -> Done {
        let now = State::of(&self.path);
        let Some(src) = self.src else {
            if now == State::Hard {
                return self.hard_as_it_is();
            }
            return Err(fail!("src is required for creating new hardlinks"));
        };
        let source = Path::new(src);
        let refuse =
            |message: &str| Err(fail!("{message}").with("dest", self.shown()).with("src", src));
        if !source.exists() {
            return refuse("src does not exist");
        }
        let mut diff = self.diff("hard", now);
        let inode = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
        let same = inode(&self.path) == inode(source);
        let mut changed = match now {
            State::Absent => true,
            State::Link => {
                let old = fs::read_link(&self.path).or_fail("cannot read the link")?;
                let differs = old != source;
                if differs {
                    diff.note("src", old.display().to_string(), src);
                }
                differs
            }
            State::Hard if same => false,
            State::Hard if !self.force => {
                return refuse("Cannot link, different hard link exists at destination");
            }
            State::File if !self.force => return refuse("Cannot link, file exists at destination"),
            State::Directory if same => {
                return Ok(Outcome::changed(false).with("path", self.shown()));
            }
            State::Directory if !self.force => {
                return refuse("Cannot link: different hard link exists at destination");
            }
            _ => true,
        };
        if changed && !self.ctx.check {
            let source = if now == State::Absent && self.follow && place::is_link(source) {
                fs::read_link(source).or_fail("cannot read the link")?
            } else {
                source.to_owned()
            };
            self.place(now, |at| fs::hard_link(&source, at), "linking")?;
        }
        if !self.ctx.check || self.path.exists() {
            changed |= self.dress(&self.path, &mut diff)?;
        }
        Ok(Outcome::changed(changed)
            .with("dest", self.shown())
            .with("src", src)
            .with("diff", diff.into_value()))
    }

    fn hard_as_it_is(self) -> Done {
        let mut diff = self.diff("hard", State::Hard);
        let changed = self.dress(&self.path, &mut diff)?;
        Ok(Outcome::changed(changed)
            .with("dest", self.shown())
            .with("src", Value::Null)
            .with("diff", diff.into_value()))
    }

    /// What the operating system refused about the path.
    fn refused(&self, what: &str, error: &io::Error) -> Fault {
        fail!("{what}")
            .with("path", self.shown())
            .with(CAUSE, format!("{}: b'{}'", numbered(error), self.shown()))
    }

    /// Makes a link at the path, in one move if something is there already.
    fn place(
        &self,
        now: State,
        make: impl Fn(&Path) -> io::Result<()>,
        doing: &str,
    ) -> Result<(), Fault> {
        if now == State::Absent {
            return make(&self.path).map_err(|error| {
                fail!("Error while {doing}: {}", numbered(&error)).with("path", self.shown())
            });
        }
        let replaced = (|| {
            let beside =
                place::parent(&self.path).join(format!(".updraft-{}.tmp", place::random_word()?));
            make(&beside)?;
            if now == State::Directory {
                fs::remove_dir(&self.path)?;
            }
            let moved = fs::rename(&beside, &self.path);
            if place::lexists(&beside) {
                // rename(2) leaves both names alone when they are links to one file already.
                fs::remove_file(&beside)?;
            }
            moved
        })();
        replaced.map_err(|error| {
            fail!("Error while replacing: {}", numbered(&error)).with("path", self.shown())
        })
    }

    fn touch(self) -> Done {
        let now = State::of(&self.path);
        let outcome = |changed: bool| Outcome::changed(changed).with("dest", self.shown());
        if now == State::Absent {
            if self.ctx.check {
                return Ok(outcome(true));
            }
            fs::File::create(&self.path)
                .map_err(|error| self.refused("Error, could not touch target.", &error))?;
        }
        let mut diff = self.diff("touch", now);
        let dressed = self.dress(&self.path, &mut diff);
        if dressed.is_err() && now == State::Absent {
            // Nobody asked for a file with other attributes, so none is left behind.
            drop(fs::remove_file(&self.path));
        }
        let changed = dressed? || now == State::Absent;
        Ok(outcome(changed).with("diff", diff.into_value()))
    }
}

/// Calls `visit` for everything below a directory, without following links; parents first.
fn walk(dir: &Path, visit: &mut dyn FnMut(&Path, bool) -> Result<(), Fault>) -> Result<(), Fault> {
    let what = || format!("cannot list {}", dir.display());
    let mut entries: Vec<_> = fs::read_dir(dir)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .or_fail(what())?
        .into_iter()
        .map(|entry| (entry.path(), entry.file_type().is_ok_and(|kind| kind.is_dir())))
        .collect();
    entries.sort();
    for (path, is_dir) in &entries {
        visit(path, *is_dir)?;
    }
    for (path, _) in entries.iter().filter(|(_, is_dir)| *is_dir) {
        walk(path, visit)?;
    }
    Ok(())
}

/// The times a task asks for; `None` keeps what there is.
struct Times {
    modified: Option<Moment>,
    accessed: Option<Moment>,
}

impl Times {
    fn asked(args: &Args, state: &str) -> Result<Self, Fault> {
        let one = |name: &str, format: &str| {
            let usual = if state == "touch" { "now" } else { "preserve" };
            moment(args.str(name).unwrap_or(usual), args.text(format))
        };
        Ok(Self {
            modified: one("modification_time", "modification_time_format")?,
            accessed: one("access_time", "access_time_format")?,
        })
    }

    fn ensure(&self, path: &Path, diff: Option<&mut Diff>, ctx: &Context) -> Result<bool, Fault> {
        if self.modified.is_none() && self.accessed.is_none() {
            return Ok(false);
        }
        let what = "Error while updating modification or access time";
        if ctx.check && !path.exists() {
            return Ok(true);
        }
        let meta = fs::metadata(path).or_fail(what)?;
        let had = (
            Moment::At(meta.mtime(), meta.mtime_nsec()),
            Moment::At(meta.atime(), meta.atime_nsec()),
        );
        let wanted = (self.modified.unwrap_or(had.0), self.accessed.unwrap_or(had.1));
        if wanted == had {
            return Ok(false);
        }
        if !ctx.check {
            place::set_times(path, wanted.1, wanted.0).or_fail(what)?;
        }
        if let Some(diff) = diff {
            let number = |moment| match moment {
                Moment::Now => ctx.epoch(),
                Moment::At(whole, nanos) => seconds(whole, nanos),
            };
            if wanted.0 != had.0 {
                diff.note("mtime", number(had.0), number(wanted.0));
            }
            if wanted.1 != had.1 {
                diff.note("atime", number(had.1), number(wanted.1));
            }
        }
        Ok(true)
    }
}

/// A moment as a task writes it: `now`, `preserve`, or local time in some format.
fn moment(text: &str, format: &str) -> Result<Option<Moment>, Fault> {
    match text {
        "preserve" => return Ok(None),
        "now" => return Ok(Some(Moment::Now)),
        _ => {}
    }
    jiff::civil::DateTime::strptime(format, text)
        .and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::system()))
        .map(|zoned| Some(Moment::At(zoned.timestamp().as_second(), 0)))
        .map_err(|error| {
            fail!("Error while obtaining timestamp for time {text} using format {format}: {error}")
        })
}
