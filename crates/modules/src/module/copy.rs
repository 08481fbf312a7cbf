//! `copy`: a file holds this content, wherever the content comes from.
//!
//! The content is the `content` argument, a file the controller has sent (`_updraft_staged`), or
//! with `remote_src` a file or directory that is on the machine already.

use crate::args::{Args, text_of};
use crate::attributes::{Attributes, Diff};
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place::{self, Algorithm, Scratch};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use updraft_wire::{SAME, SEND};

/// Ansible shows no diff of files larger than this (`MAX_FILE_SIZE_FOR_DIFF`).
const DIFF_LIMIT: u64 = 104_448;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let Some(digest) = args.ours(SAME) else { return Copy::new(args, ctx)?.run() };
    match held(args, digest) {
        Some(file) => put_file(args, ctx, &file),
        None => Ok(Outcome::changed(false).with(SEND, true)),
    }
}

/// The file that a task is about, where it is there and has the content already.
fn held(args: &Args, digest: &str) -> Option<PathBuf> {
    let mut file = dest(args);
    if file.as_os_str().as_encoded_bytes().ends_with(b"/") || file.is_dir() {
        file.push(args.str("_original_basename")?);
    }
    let file = if args.flag("follow") { place::real(&file) } else { file };
    let plain = file.symlink_metadata().is_ok_and(|meta| meta.is_file());
    let same = || place::checksum(&file, Algorithm::Sha256).is_ok_and(|found| found == digest);
    (plain && same()).then_some(file)
}

/// Where a task wants the file.
fn dest(args: &Args) -> PathBuf {
    let dest = args.text("dest");
    PathBuf::from(if dest.contains('/') { dest.to_owned() } else { format!("./{dest}") })
}

/// Puts a file that is here already in the place a task names, by the same rules.
pub(crate) fn put_file(args: &Args, ctx: &Context, content: &Path) -> Done {
    let source = Source::File(content.to_owned());
    let attributes = Attributes::asked(args);
    Copy { args, ctx, source, dest: dest(args), remote: false, attributes }.run()
}

/// Where the content is.
enum Source {
    Text(Vec<u8>),
    File(PathBuf),
}

struct Copy<'a> {
    args: &'a Args,
    ctx: &'a Context,
    source: Source,
    dest: PathBuf,
    remote: bool,
    attributes: Attributes,
}

impl<'a> Copy<'a> {
    fn new(args: &'a Args, ctx: &'a Context) -> Result<Self, Fault> {
        let remote = args.flag("remote_src");
        let source = match (args.raw("content"), args.ours("_updraft_staged"), args.str("src")) {
            (Some(content @ (Value::Array(_) | Value::Object(_))), ..) => {
                Source::Text(crate::json::python(content).into_bytes())
            }
            (Some(content), ..) => Source::Text(text_of(content).into_bytes()),
            (None, Some(staged), _) => Source::File(PathBuf::from(staged)),
            (None, None, Some(src)) if remote => Source::File(PathBuf::from(src)),
            (None, None, Some(src)) => return Err(fail!("Source {src} was not sent")),
            (None, None, None) => return Err(fail!("src (or content) is required")),
        };
        if let Source::File(path) = &source {
            if !path.exists() {
                return Err(fail!("Source {} not found", path.display()));
            }
            if rustix::fs::access(path, rustix::fs::Access::READ_OK).is_err() {
                return Err(fail!("Source {} not readable", path.display()));
            }
        }
        let mut attributes = Attributes::asked(args);
        if attributes.mode.as_ref().and_then(Value::as_str) == Some("preserve") {
            attributes.mode = match (&source, args.ours("_updraft_mode")) {
                (_, Some(mode)) => Some(Value::from(mode)),
                (Source::File(path), None) => {
                    let meta = fs::metadata(path).or_fail("cannot look at the source")?;
                    Some(Value::from(crate::mode::render(meta.mode())))
                }
                (Source::Text(_), None) => None,
            };
        }
        Ok(Self { args, ctx, source, dest: dest(args), remote, attributes })
    }

    fn run(mut self) -> Done {
        if let Source::File(path) = &self.source
            && path.is_dir()
        {
            let path = path.clone();
            return self.directory(&path);
        }
        if let Source::File(path) = &self.source
            && !path.is_file()
        {
            return Err(fail!("Cannot copy invalid source '{}': not a file", path.display()));
        }
        let (sha1, md5) = self.sums()?;
        if let Some(expected) = self.args.str("checksum").filter(|sum| !sum.is_empty())
            && expected != sha1
        {
            return Err(fail!(
                "Copied file does not match the expected checksum. Transfer failed."
            )
            .with("checksum", sha1)
            .with("expected_checksum", expected));
        }
        let mut changed = false;
        if let Some(early) = self.settle_dest(&mut changed)? {
            return Ok(early);
        }
        let shown = self.dest.display().to_string();
        let exists = self.dest.exists();
        if exists && self.args.maybe("force") == Some(false) {
            return Ok(Outcome::changed(false)
                .with("msg", "file already exists")
                .with("dest", shown)
                .with("src", self.args.raw("src").cloned().unwrap_or(Value::Null)));
        }
        let old = if exists && self.dest.is_file() {
            place::checksum(&self.dest, Algorithm::Sha1).ok()
        } else {
            None
        };
        let dir = place::parent(&self.dest);
        if !exists && !dir.exists() {
            return Err(fail!("Destination directory {} does not exist", dir.display()));
        }
        let writable = rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
        if !writable && !self.args.flag("unsafe_writes") {
            return Err(fail!("Destination {} not writable", dir.display()));
        }
        let differs = old.as_deref() != Some(&sha1) || place::is_link(&self.dest);
        let mut diffs = Vec::new();
        let mut backup = None;
        // Ansible tells how a file changes only where the content comes from the controller.
        let told = self.ctx.diff && !self.remote;
        if differs {
            if told {
                diffs.push(self.content_diff(&shown)?);
            }
            if !self.ctx.check {
                backup = self.put()?;
            }
            changed = true;
        }
        let mut attribute_diff = Diff::default();
        let target =
            if self.args.flag("follow") { place::real(&self.dest) } else { self.dest.clone() };
        changed |= self.attributes.ensure(&target, Some(&mut attribute_diff), self.ctx)?;
        if told && !attribute_diff.is_empty() {
            attribute_diff.note("path", shown.clone(), shown.clone());
            diffs.push(attribute_diff.into_value());
        }
        let mut outcome = Outcome::changed(changed).with_some("backup_file", backup);
        if told {
            outcome = outcome.with("diff", diffs);
        }
        Ok(self.finish(outcome, &sha1, &md5))
    }

    fn finish(&self, outcome: Outcome, sha1: &str, md5: &str) -> Outcome {
        outcome
            .with("dest", self.dest.display().to_string())
            .with("src", self.args.raw("src").cloned().unwrap_or(Value::Null))
            .with("checksum", sha1)
            .with("md5sum", md5)
    }

    /// SHA-1 and MD5 of the content.
    fn sums(&self) -> Result<(String, String), Fault> {
        match &self.source {
            Source::Text(bytes) => Ok((place::sha1_of(bytes), place::md5_of(bytes))),
            Source::File(path) => {
                let what = format!("cannot read {}", path.display());
                let sha1 = place::checksum(path, Algorithm::Sha1).or_fail(&what)?;
                Ok((sha1, place::checksum(path, Algorithm::Md5).or_fail(&what)?))
            }
        }
    }

    /// The name the content goes by, for destinations that are directories.
    fn base_name(&self) -> Option<String> {
        let original = self.args.str("_original_basename");
        let name = original.or_else(|| self.args.str("src").map(place::base_name))?;
        Some(name.to_owned()).filter(|name| !name.is_empty())
    }

    /// Works out the file to write, and makes directories a trailing slash asks for.
    fn settle_dest(&mut self, changed: &mut bool) -> Result<Option<Outcome>, Fault> {
        let name = self.base_name();
        if self.dest.as_os_str().as_encoded_bytes().ends_with(b"/") {
            // The name may have directories of its own, as a file of a tree has.
            if let Some(name) = &name {
                self.dest.push(name);
            }
            let dir = place::parent(&self.dest).to_owned();
            if !dir.exists() && self.ctx.check {
                let message = format!("dest directory {} would be created", dir.display());
                return Ok(Some(
                    Outcome::changed(true)
                        .with("msg", message)
                        .with("src", self.args.raw("src").cloned().unwrap_or(Value::Null))
                        .with("dest", self.dest.display().to_string()),
                ));
            }
            if !dir.exists() {
                self.make_directories(&dir)?;
                *changed = true;
            }
        }
        if self.dest.is_dir() {
            let Some(name) = name else {
                return Err(fail!("can not use content with a dir as dest"));
            };
            self.dest.push(name);
        }
        if self.args.flag("follow") && place::is_link(&self.dest) && self.dest.exists() {
            self.dest = place::real(&self.dest);
        }
        Ok(None)
    }

    fn make_directories(&self, dir: &Path) -> Result<(), Fault> {
        let attributes = self.attributes.with_mode(self.args.raw("directory_mode").cloned());
        let mut missing: Vec<_> = dir.ancestors().take_while(|path| !path.exists()).collect();
        missing.reverse();
        for path in missing.into_iter().filter(|path| !path.as_os_str().is_empty()) {
            fs::create_dir(path).or_fail(format!("cannot create {}", path.display()))?;
            attributes.ensure(path, None, self.ctx)?;
        }
        Ok(())
    }

    /// Writes the content, by way of a temporary file and the task's `validate` command.
    fn put(&self) -> Result<Option<String>, Fault> {
        let dest = &self.dest;
        let args = self.args;
        let backup = if args.flag("backup") && dest.exists() {
            Some(place::backup(dest, self.ctx)?)
        } else {
            None
        };
        let what = || format!("cannot write {}", dest.display());
        let scratch = if let Some(command) = args.str("validate") {
            let suffix = dest.extension().map(|ext| format!(".{}", ext.display()));
            let scratch = self.spill(&self.ctx.staging, &suffix.unwrap_or_default())?;
            self.attributes.ensure(scratch.path(), None, self.ctx)?;
            let ran = place::validate(command, scratch.path(), self.ctx)?;
            if !ran.success() {
                return Err(fail!("failed to validate")
                    .with("exit_status", ran.code)
                    .with("stdout", ran.out())
                    .with("stderr", ran.err()));
            }
            scratch
        } else {
            match self.spill(place::parent(dest), "") {
                Err(_) if args.flag("unsafe_writes") => self.spill(&self.ctx.staging, "")?,
                spilled => spilled?,
            }
        };
        if place::is_link(dest) {
            fs::remove_file(dest).or_fail(what())?;
            fs::File::create(dest).or_fail(what())?;
        }
        place::replace(scratch.path(), dest, !self.remote, args.flag("unsafe_writes"))?;
        Ok(backup)
    }

    fn spill(&self, dir: &Path, suffix: &str) -> Result<Scratch, Fault> {
        let what = || format!("cannot write to {}", dir.display());
        let (scratch, mut file) = Scratch::file(dir, suffix).or_fail(what())?;
        match &self.source {
            Source::Text(bytes) => file.write_all(bytes).or_fail(what())?,
            Source::File(path) => {
                let mut source =
                    fs::File::open(path).or_fail(format!("cannot read {}", path.display()))?;
                std::io::copy(&mut source, &mut file).or_fail(what())?;
                if self.remote {
                    let meta = source.metadata().or_fail(what())?;
                    let mode = fs::Permissions::from_mode(meta.mode() & 0o7777);
                    file.set_permissions(mode).or_fail(what())?;
                }
            }
        }
        Ok(scratch)
    }

    /// What changes inside the file, unless it is binary or large.
    fn content_diff(&self, shown: &str) -> Result<Value, Fault> {
        let mut diff = serde_json::Map::new();
        match fs::metadata(&self.dest) {
            Err(_) => {
                diff.insert("before".into(), "".into());
            }
            Ok(meta) if meta.len() > DIFF_LIMIT => {
                diff.insert("dst_larger".into(), DIFF_LIMIT.into());
            }
            Ok(_) => {
                let bytes = fs::read(&self.dest).or_fail(format!("cannot read {shown}"))?;
                if bytes.contains(&0) {
                    diff.insert("dst_binary".into(), 1.into());
                } else {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    diff.insert("before_header".into(), shown.into());
                    diff.insert("before".into(), text.into());
                }
            }
        }
        let bytes = match &self.source {
            Source::Text(bytes) => bytes.clone(),
            Source::File(path) => {
                let large = fs::metadata(path).is_ok_and(|meta| meta.len() > DIFF_LIMIT);
                if large {
                    diff.insert("src_larger".into(), DIFF_LIMIT.into());
                    return Ok(Value::Object(diff));
                }
                fs::read(path).or_fail("cannot read the source")?
            }
        };
        if bytes.contains(&0) {
            diff.insert("src_binary".into(), 1.into());
        } else {
            let header = self.args.str("src").unwrap_or(shown);
            diff.insert("after_header".into(), header.into());
            diff.insert("after".into(), String::from_utf8_lossy(&bytes).into_owned().into());
        }
        Ok(Value::Object(diff))
    }

    /// Copies a directory that is on the machine already.
    fn directory(&self, src: &Path) -> Done {
        let name = src.file_name().map(PathBuf::from).unwrap_or_default();
        let contents = src.as_os_str().as_encoded_bytes().ends_with(b"/");
        let to = if contents { self.dest.clone() } else { self.dest.join(&name) };
        if self.dest.exists() && !self.dest.is_dir() {
            return Err(fail!("{} is not a directory", self.dest.display()));
        }
        // After a trailing slash the name of the source is empty, which leaves one on the path.
        let dressed = match (self.dest.is_dir(), contents) {
            (true, true) => self.dest.join(""),
            (true, false) => self.dest.join(&name),
            (false, _) => self.dest.clone(),
        };
        let mut changed = self.tree(src, &to)?;
        changed |= self.attributes.ensure(&dressed, None, self.ctx)?;
        Ok(Outcome::changed(changed)
            .with("dest", dressed.display().to_string())
            .with("src", src.display().to_string())
            .with("checksum", Value::Null)
            .with("md5sum", Value::Null))
    }

    fn tree(&self, from: &Path, to: &Path) -> Result<bool, Fault> {
        let what = |path: &Path| format!("cannot copy {}", path.display());
        let mut changed = false;
        let owned = self.attributes.with_mode(None);
        if !to.exists() {
            changed = true;
            if !self.ctx.check {
                fs::create_dir_all(to).or_fail(what(to))?;
                let mode = fs::metadata(from).or_fail(what(from))?.permissions();
                fs::set_permissions(to, mode).or_fail(what(to))?;
                owned.ensure(to, None, self.ctx)?;
            }
        }
        let follow = self.args.maybe("local_follow").unwrap_or(true);
        let mut entries = fs::read_dir(from)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .or_fail(what(from))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            if place::is_link(&source) && !follow {
                let link = fs::read_link(&source).or_fail(what(&source))?;
                if fs::read_link(&target).ok().as_ref() != Some(&link) {
                    changed = true;
                    if !self.ctx.check {
                        if place::lexists(&target) {
                            fs::remove_file(&target).or_fail(what(&target))?;
                        }
                        std::os::unix::fs::symlink(&link, &target).or_fail(what(&target))?;
                    }
                }
            } else if source.is_dir() {
                changed |= self.tree(&source, &target)?;
            } else if source.is_file() {
                let sum = |path: &Path| place::checksum(path, Algorithm::Sha1);
                let same = target.is_file()
                    && sum(&source).or_fail(what(&source))?
                        == sum(&target).or_fail(what(&target))?;
                if !same {
                    changed = true;
                    if !self.ctx.check {
                        fs::copy(&source, &target).or_fail(what(&source))?;
                        owned.ensure(&target, None, self.ctx)?;
                    }
                }
            }
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run as run_module;
    use serde_json::{Map, json};

    fn copy(args: Value) -> Map<String, Value> {
        let mut ctx = Context::system();
        ctx.diff = true;
        let Value::Object(args) = args else { panic!("arguments are an object") };
        run_module("copy", &args, &ctx).0
    }

    #[test]
    fn content_is_written_once_and_found_the_same_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("motd");
        let args = json!({ "content": "hello\n", "dest": dest, "mode": "0600" });
        let first = copy(args.clone());
        assert_eq!(first["changed"], true, "{first:?}");
        assert_eq!(first["mode"], "0600");
        assert_eq!(first["checksum"], place::sha1_of(b"hello\n"));
        assert_eq!(first["diff"][0]["after"], "hello\n");
        assert_eq!(copy(args)["changed"], false);
        assert_eq!(fs::read_to_string(dest).unwrap(), "hello\n");
    }

    #[test]
    fn a_staged_file_lands_in_a_directory_under_its_own_name() {
        let dir = tempfile::tempdir().unwrap();
        let staged = dir.path().join("staged");
        fs::write(&staged, "x").unwrap();
        let result = copy(json!({
            "src": "files/app.conf", "dest": format!("{}/new/", dir.path().display()),
            "_updraft_staged": staged, "_original_basename": "app.conf", "directory_mode": "0750"
        }));
        assert_eq!(result["changed"], true, "{result:?}");
        assert_eq!(fs::read_to_string(dir.path().join("new/app.conf")).unwrap(), "x");
        assert_eq!(fs::metadata(dir.path().join("new")).unwrap().mode() & 0o777, 0o750);
    }

    #[test]
    fn content_that_is_there_need_not_be_sent() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("big");
        let digest = updraft_base::Digest::of("big").to_string();
        let ask = |dest: &Path, follow: bool| {
            copy(json!({ "dest": dest, "mode": "0640", "follow": follow, SAME: digest,
                         "_original_basename": "big", "src": "files/big" }))
        };
        let missing = ask(&file, false);
        assert_eq!((&missing["changed"], &missing[SEND]), (&false.into(), &true.into()));
        assert!(!file.exists());
        fs::write(&file, "other").unwrap();
        assert_eq!(ask(&file, false)[SEND], true);
        fs::write(&file, "big").unwrap();
        for dest in [&file, &dir.path().to_path_buf()] {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            let held = ask(dest, false);
            assert!(!held.contains_key(SEND), "{held:?}");
            assert_eq!((&held["changed"], &held["mode"]), (&true.into(), &"0640".into()));
            assert_eq!(ask(dest, false)["changed"], false);
        }
        // A link is replaced by a file, unless it is followed.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(ask(&link, false)[SEND], true);
        assert_eq!(ask(&link, true)["changed"], false);
    }

    #[test]
    fn a_file_that_does_not_validate_is_not_put_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("x");
        fs::write(&dest, "good").unwrap();
        let result = copy(json!({
            "content": "bad", "dest": dest, "validate": "grep -q good %s"
        }));
        assert_eq!(result["failed"], true);
        assert_eq!(result["msg"], "failed to validate");
        assert_eq!(fs::read_to_string(&dest).unwrap(), "good");
    }
}
