//! Owner, group, mode and flags of files: what a task asks, what there is, what to change.

use crate::accounts;
use crate::args::Args;
use crate::context::Context;
use crate::mode::{self, ModeError, Present};
use crate::outcome::{Fault, OrFail, fail};
use crate::place;
use crate::process::Cmd;
use serde_json::{Map, Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What a task asks of a file, apart from its content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) mode: Option<Value>,
    pub(crate) owner: Option<String>,
    pub(crate) group: Option<String>,
    flags: Option<String>,
    labels: Vec<(&'static str, String)>,
}

/// Owner and group of a `file` task that are not there, as check mode warns of them: an earlier
/// task may have made them if it had not only been checked.
pub(crate) fn unknown_accounts(args: &Args, ctx: &Context) -> Vec<String> {
    if args.text("state") == "absent" {
        return Vec::new();
    }
    let known_user = |told: &str| match told.parse() {
        Ok(uid) => accounts::user_by_id(uid, ctx).is_some(),
        Err(_) => accounts::user(told, ctx).is_some(),
    };
    let known_group = |told: &str| match told.parse() {
        Ok(gid) => accounts::group_by_id(gid, ctx).is_some(),
        Err(_) => accounts::group(told, ctx).is_some(),
    };
    let given = |name| args.str(name).map(str::trim);
    let owner = given("owner").filter(|told| !known_user(told));
    let group = given("group").filter(|told| !known_group(told));
    let warn = |kind: &str, number: &str, told: &str| {
        let with =
            if told.parse::<u32>().is_ok() { format!(" with {number}") } else { String::new() };
        format!(
            "failed to look up {kind}{with} {told}. Create {kind} up to this point in real play"
        )
    };
    let owner = owner.map(|told| warn("user", "uid", told));
    owner.into_iter().chain(group.map(|told| warn("group", "gid", told))).collect()
}

impl Attributes {
    /// The common file arguments of a task.
    pub(crate) fn asked(args: &Args) -> Self {
        let text = |name| args.str(name).map(str::to_owned);
        Self {
            mode: args.raw("mode").cloned(),
            owner: text("owner"),
            group: text("group"),
            flags: text("attributes"),
            labels: ["seuser", "serole", "setype", "selevel"]
                .into_iter()
                .filter_map(|name| Some((name, text(name)?)))
                .collect(),
        }
    }

    /// The same with another mode.
    pub(crate) fn with_mode(&self, mode: Option<Value>) -> Self {
        Self { mode, ..self.clone() }
    }

    /// Makes `path` as asked, or in check mode finds out whether it differs.
    ///
    /// Symbolic links are changed themselves, not what they lead to. What differs is noted in
    /// `diff`. Returns whether something changed.
    pub(crate) fn ensure(
        &self,
        path: &Path,
        diff: Option<&mut Diff>,
        ctx: &Context,
    ) -> Result<bool, Fault> {
        let mut unseen = Diff::default();
        let diff = diff.unwrap_or(&mut unseen);
        self.check_labels()?;
        let mut changed = self.ensure_owner(path, diff, ctx)?;
        changed |= self.ensure_group(path, diff, ctx)?;
        changed |= self.ensure_mode(path, diff, ctx)?;
        changed |= self.ensure_flags(path, diff, ctx)?;
        Ok(changed)
    }

    /// SELinux labels mean nothing where there is no SELinux, and we cannot set them where it is.
    fn check_labels(&self) -> Result<(), Fault> {
        match self.labels.first() {
            Some((name, _)) if Path::new("/sys/fs/selinux/enforce").exists() => Err(fail!(
                "{name}: setting SELinux labels is not supported on this SELinux machine"
            )),
            _ => Ok(()),
        }
    }

    fn ensure_owner(&self, path: &Path, diff: &mut Diff, ctx: &Context) -> Result<bool, Fault> {
        let Some(owner) = &self.owner else { return Ok(false) };
        if ctx.check && !path.exists() {
            return Ok(true);
        }
        let shown = path.display();
        let now = lstat(path)?.uid();
        let uid = match owner.trim().parse() {
            Ok(uid) => uid,
            Err(_) => accounts::user(owner, ctx).map(|user| user.uid).ok_or_else(|| {
                fail!("chown failed: failed to look up user {owner}")
                    .with("path", shown.to_string())
            })?,
        };
        if now == uid {
            return Ok(false);
        }
        diff.note("owner", now, uid);
        if !ctx.check {
            std::os::unix::fs::lchown(path, Some(uid), None)
                .map_err(|error| refused("chown failed", path, &error))?;
        }
        Ok(true)
    }

    fn ensure_group(&self, path: &Path, diff: &mut Diff, ctx: &Context) -> Result<bool, Fault> {
        let Some(group) = &self.group else { return Ok(false) };
        if ctx.check && !path.exists() {
            return Ok(true);
        }
        let now = lstat(path)?.gid();
        let gid = match group.trim().parse() {
            Ok(gid) => gid,
            Err(_) => accounts::group(group, ctx).map(|group| group.gid).ok_or_else(|| {
                fail!("chgrp failed: failed to look up group {group}")
                    .with("path", path.display().to_string())
            })?,
        };
        if now == gid {
            return Ok(false);
        }
        diff.note("group", now, gid);
        if !ctx.check {
            std::os::unix::fs::lchown(path, None, Some(gid))
                .map_err(|error| refused("chgrp failed", path, &error))?;
        }
        Ok(true)
    }

    fn ensure_mode(&self, path: &Path, diff: &mut Diff, ctx: &Context) -> Result<bool, Fault> {
        let Some(asked) = &self.mode else { return Ok(false) };
        if ctx.check && !path.exists() {
            return Ok(true);
        }
        let meta = lstat(path)?;
        let now = meta.mode() & 0o7777;
        let wanted = resolve(asked, now, meta.is_dir(), path)?;
        if now == wanted {
            return Ok(false);
        }
        diff.note("mode", mode::render(now), mode::render(wanted));
        if ctx.check {
            return Ok(true);
        }
        // Linux has no mode of its own for a symbolic link, and what it leads to is not ours.
        if !meta.is_symlink() {
            fs::set_permissions(path, fs::Permissions::from_mode(wanted))
                .map_err(|error| refused("chmod failed", path, &error))?;
        }
        Ok(lstat(path)?.mode() & 0o7777 != now)
    }

    fn ensure_flags(&self, path: &Path, diff: &mut Diff, ctx: &Context) -> Result<bool, Fault> {
        let Some(asked) = self.flags.as_deref().filter(|flags| !flags.is_empty()) else {
            return Ok(false);
        };
        if ctx.check && !path.exists() {
            return Ok(true);
        }
        let now = flags_of(path).unwrap_or_default();
        let (sign, letters) = match asked.chars().next() {
            Some(sign @ ('+' | '-' | '=')) => (sign, &asked[1..]),
            _ => ('=', asked),
        };
        let same = match sign {
            '+' => letters.chars().all(|flag| now.contains(flag)),
            '-' => !letters.chars().any(|flag| now.contains(flag)),
            _ => {
                let sorted = |text: &str| {
                    let mut letters: Vec<_> = text.chars().collect();
                    letters.sort_unstable();
                    letters
                };
                // `e` says that a file uses extents; it cannot be set or cleared.
                sorted(&now.replace('e', "")) == sorted(&letters.replace('e', ""))
            }
        };
        if same {
            return Ok(false);
        }
        diff.note("attributes", now, asked);
        if !ctx.check {
            let cmd = Cmd::new("chattr").arg(format!("{sign}{letters}")).arg(path);
            let ran = cmd.run(ctx).or_fail("chattr failed")?;
            if !ran.success() {
                return Err(fail!("chattr failed")
                    .with("path", path.display().to_string())
                    .with("details", format!("Error while setting attributes: {}", ran.err())));
            }
        }
        Ok(true)
    }
}

/// The bits asked for on a file with these bits.
pub(crate) fn resolve(asked: &Value, now: u32, dir: bool, path: &Path) -> Result<u32, Fault> {
    let present = Present { bits: now, directory: dir, umask: place::umask() };
    mode::resolve(asked, present).map_err(|error| {
        let message = match error {
            ModeError::Clause(_) => "mode must be in octal or symbolic form",
            ModeError::NotPermissions(_) => {
                "Invalid mode supplied, only permission info is allowed"
            }
        };
        Fault::new(message)
            .with("path", path.display().to_string())
            .with("details", error.to_string())
    })
}

fn refused(what: &str, path: &Path, error: &std::io::Error) -> Fault {
    fail!("{what}: {}", crate::outcome::plain(error)).with("path", path.display().to_string())
}

fn lstat(path: &Path) -> Result<fs::Metadata, Fault> {
    path.symlink_metadata().or_fail(format!("cannot look at {}", path.display()))
}

/// A `diff` of attributes: two mappings of the same keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Diff {
    pub(crate) before: Map<String, Value>,
    pub(crate) after: Map<String, Value>,
}

impl Diff {
    pub(crate) fn note(&mut self, key: &str, before: impl Into<Value>, after: impl Into<Value>) {
        self.before.insert(key.to_owned(), before.into());
        self.after.insert(key.to_owned(), after.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    pub(crate) fn into_value(self) -> Value {
        json!({ "before": self.before, "after": self.after })
    }

    /// As the editing modules add it to the diff of the content.
    pub(crate) fn under(self, path: &str) -> Value {
        let header = format!("{path} (file attributes)");
        let mut value = Map::new();
        if !self.is_empty() {
            value.insert("before".into(), self.before.into());
            value.insert("after".into(), self.after.into());
        }
        value.insert("before_header".into(), header.clone().into());
        value.insert("after_header".into(), header.into());
        Value::Object(value)
    }
}

// linux/fs.h FS_*_FL, in the order lsattr writes its letters (e2fsprogs lib/e2p/pf.c).
const FLAGS: &[(u32, char, &str)] = &[
    (0x0000_0001, 's', "secure-deletion"),
    (0x0000_0002, 'u', "undelete"),
    (0x0000_0008, 'S', "synchronous"),
    (0x0001_0000, 'D', "synchronous-dirs"),
    (0x0000_0010, 'i', "immutable"),
    (0x0000_0020, 'a', "append"),
    (0x0000_0040, 'd', "nodump"),
    (0x0000_0080, 'A', "noatime"),
    (0x0000_0004, 'c', "compressed"),
    (0x0000_0800, 'E', "encrypted"),
    (0x0000_4000, 'j', "journal-data"),
    (0x0000_1000, 'I', "indexed"),
    (0x0000_8000, 't', "notail"),
    (0x0002_0000, 'T', "topdir"),
    (0x0008_0000, 'e', "extents"),
    (0x0080_0000, 'C', "nocow"),
    (0x0200_0000, 'x', "dax"),
    (0x4000_0000, 'F', "casefold"),
    (0x1000_0000, 'N', "inlinedata"),
    (0x2000_0000, 'P', "projectinherited"),
    (0x0010_0000, 'V', "verity"),
];

fn raw_flags(path: &Path) -> Option<u32> {
    let meta = path.symlink_metadata().ok()?;
    if !meta.is_file() && !meta.is_dir() {
        return None;
    }
    let file = fs::File::open(path).ok()?;
    rustix::fs::ioctl_getflags(file).ok().map(|flags| flags.bits())
}

/// The letters `lsattr` shows for a file.
pub(crate) fn flags_of(path: &Path) -> Option<String> {
    let raw = raw_flags(path)?;
    Some(FLAGS.iter().filter(|(bit, ..)| raw & bit != 0).map(|(_, letter, _)| *letter).collect())
}

/// The words Ansible has for those letters.
pub(crate) fn flag_names(letters: &str) -> Vec<&'static str> {
    letters
        .chars()
        .filter_map(|letter| Some(FLAGS.iter().find(|flag| flag.1 == letter)?.2))
        .collect()
}

/// Adds owner, group, mode, size and state of the file a result is about, as Ansible does to every
/// result with a `path` or `dest`.
pub(crate) fn describe(result: &mut Map<String, Value>, ctx: &Context) {
    let path = result.get("path").or_else(|| result.get("dest")).and_then(Value::as_str);
    let Some(path) = path.map(PathBuf::from) else { return };
    let (Ok(link), Ok(meta)) = (path.symlink_metadata(), path.metadata()) else { return };
    let state = if link.is_symlink() {
        "link"
    } else if link.is_dir() {
        "directory"
    } else if meta.nlink() > 1 {
        "hard"
    } else {
        "file"
    };
    let owner = accounts::user_by_id(link.uid(), ctx)
        .map_or_else(|| link.uid().to_string(), |user| user.name);
    let group = accounts::group_by_id(link.gid(), ctx)
        .map_or_else(|| link.gid().to_string(), |group| group.name);
    let mut put = |key: &str, value: Value| result.insert(key.to_owned(), value);
    put("uid", link.uid().into());
    put("gid", link.gid().into());
    put("owner", owner.into());
    put("group", group.into());
    put("mode", mode::render(link.mode()).into());
    put("state", state.into());
    put("size", link.size().into());
}
