//! Paths and files: expansion, links, atomic replacement, backups, checksums.
//!
//! Never here: ownership and modes that a task asks for (`attributes.rs`).

use crate::context::Context;
use crate::outcome::{Fault, OrFail, fail};
use crate::process::{Cmd, not_run};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
use sha1::Digest as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// `path` with a leading `~` or `~user` and `$NAME` or `${NAME}` filled in.
///
/// Names that are not set stay as they are.
pub(crate) fn expand(path: &str, ctx: &Context) -> String {
    expand_user(&expand_vars(path, ctx), ctx)
}

fn expand_vars(text: &str, ctx: &Context) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, used) = if let Some(braced) = after.strip_prefix('{') {
            match braced.find('}') {
                Some(end) => (&braced[..end], end + 3),
                None => ("", 1),
            }
        } else {
            let end =
                after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            (&after[..end], end + 1)
        };
        match ctx.var(name) {
            Some(value) if !name.is_empty() => out.push_str(value),
            _ => out.push_str(&rest[at..at + used]),
        }
        rest = &rest[at + used..];
    }
    out.push_str(rest);
    out
}

/// `text` with the home that it begins with written out.
pub(crate) fn expand_user(text: &str, ctx: &Context) -> String {
    let Some(rest) = text.strip_prefix('~') else { return text.to_owned() };
    let (name, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let home = if name.is_empty() {
        ctx.var("HOME").map(str::to_owned).or_else(|| {
            let uid = rustix::process::getuid().as_raw();
            Some(crate::accounts::user_by_id(uid, ctx)?.home)
        })
    } else {
        crate::accounts::user(name, ctx).map(|user| user.home)
    };
    match home {
        Some(home) if !tail.is_empty() => format!("{}{tail}", home.trim_end_matches('/')),
        Some(home) => home,
        None => text.to_owned(),
    }
}

/// Whether something is there, a dangling link included.
pub(crate) fn lexists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether `path` itself is a symbolic link.
pub(crate) fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_symlink())
}

/// The path with every link followed, as far as there is something to follow.
pub(crate) fn real(path: &Path) -> PathBuf {
    fn follow(path: &Path, depth: u32) -> PathBuf {
        // Linux gives up after 40 links (path_resolution(7)).
        if depth > 40 {
            return path.to_owned();
        }
        let mut out = PathBuf::new();
        for part in path.components() {
            match part {
                std::path::Component::ParentDir => {
                    out.pop();
                }
                std::path::Component::CurDir => {}
                part => out.push(part),
            }
            if let Ok(target) = fs::read_link(&out) {
                let parent = out.parent().unwrap_or(Path::new("/")).to_owned();
                out = follow(&parent.join(target), depth + 1);
            }
        }
        out
    }
    follow(&absolute(path), 0)
}

/// The path from the root, without looking at links.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The directory a path lies in; `.` for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The directory of a path, as Ansible names it.
pub(crate) fn dir_of(path: &str) -> &str {
    let dir = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
    match dir.trim_end_matches('/') {
        "" if dir.is_empty() => ".",
        "" => dir,
        bare => bare,
    }
}

/// The last part of a path as text, after any trailing slashes are gone.
pub(crate) fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// The process's umask, read without changing it.
pub(crate) fn umask() -> u32 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
            u32::from_str_radix(line.trim(), 8).ok()
        })
        .unwrap_or(0o022)
}

/// A temporary file or directory that is removed when it goes out of scope, unless it has moved.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new private file in `dir`.
    pub(crate) fn file(dir: &Path, suffix: &str) -> io::Result<(Self, File)> {
        attempt(dir, suffix, |path| {
            File::options().write(true).read(true).create_new(true).mode(0o600).open(path)
        })
    }

    /// A new private file in `dir` that holds `content`.
    pub(crate) fn holding(dir: &Path, suffix: &str, content: &[u8]) -> io::Result<Self> {
        let (scratch, mut file) = Self::file(dir, suffix)?;
        file.write_all(content)?;
        Ok(scratch)
    }

    /// A new private directory in `dir`.
    pub(crate) fn dir(dir: &Path) -> io::Result<Self> {
        attempt(dir, "", make_private_dir).map(|(scratch, ())| scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Leaves it where it is.
    pub(crate) fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // It may have been renamed into place, and nothing could be done about a failure here.
            drop(fs::remove_file(&self.0).or_else(|_| fs::remove_dir_all(&self.0)));
        }
    }
}

fn attempt<T>(
    dir: &Path,
    suffix: &str,
    create: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<(Scratch, T)> {
    loop {
        let path = dir.join(format!(".updraft-{}{suffix}", random_word()?));
        match create(&path) {
            Ok(made) => return Ok((Scratch(path), made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Eight random letters and digits, from the kernel.
pub(crate) fn random_word() -> io::Result<String> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz012345";
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

/// A private directory of that name.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Puts the file `from` in the place of `to` in one move.
///
/// With `keep`, mode and owner of a file that is replaced are kept; a file that is new gets what
/// the umask allows. Where the two lie on different filesystems `from` is copied beside `to`
/// first. `from` is gone afterwards.
pub(crate) fn replace(
    from: &Path,
    to: &Path,
    keep: bool,
    unsafe_writes: bool,
) -> Result<(), Fault> {
    let what = || format!("Could not replace '{}' with '{}'", to.display(), from.display());
    let old = fs::metadata(to).ok();
    if let (Some(old), true) = (&old, keep) {
        allow_eperm(std::os::unix::fs::chown(from, Some(old.uid()), Some(old.gid())))
            .or_fail(what())?;
        allow_eperm(fs::set_permissions(from, old.permissions())).or_fail(what())?;
        copy_xattrs(to, from);
    }
    match fs::rename(from, to) {
        Ok(()) => {}
        Err(error) if can_copy_instead(&error) => {
            copy_into_place(from, to, unsafe_writes).or_fail(what())?;
            drop(fs::remove_file(from));
        }
        Err(error) => return Err(error).or_fail(what()),
    }
    if old.is_none() {
        let mode = fs::Permissions::from_mode(0o666 & !umask());
        fs::set_permissions(to, mode).or_fail(what())?;
        let dir = fs::metadata(parent(to)).or_fail(what())?;
        let uid = rustix::process::geteuid().as_raw();
        let gid =
            if dir.mode() & 0o2000 != 0 { dir.gid() } else { rustix::process::getegid().as_raw() };
        // Only root may give files away; for anyone else the file is theirs already.
        drop(std::os::unix::fs::chown(to, Some(uid), Some(gid)));
    }
    Ok(())
}

fn allow_eperm(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// Copies access control lists and other extended attributes, as far as it is allowed.
fn copy_xattrs(from: &Path, to: &Path) {
    let mut names = vec![0; 4096];
    let Ok(length) = rustix::fs::listxattr(from, &mut names[..]) else { return };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 4096];
        if let Ok(length) = rustix::fs::getxattr(from, name, &mut value[..]) {
            // Security attributes may be refused; the copy is as good as it can be without them.
            rustix::fs::setxattr(to, name, &value[..length], rustix::fs::XattrFlags::empty()).ok();
        }
    }
}

fn can_copy_instead(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.raw_os_error().is_some_and(|code| {
        [Errno::PERM, Errno::XDEV, Errno::ACCESS, Errno::TXTBSY, Errno::BUSY]
            .iter()
            .any(|errno| errno.raw_os_error() == code)
    })
}

fn copy_into_place(from: &Path, to: &Path, unsafe_writes: bool) -> io::Result<()> {
    let copied = (|| {
        let (beside, mut file) = Scratch::file(parent(to), "")?;
        let mut source = File::open(from)?;
        io::copy(&mut source, &mut file)?;
        let meta = source.metadata()?;
        allow_eperm(std::os::unix::fs::chown(beside.path(), Some(meta.uid()), Some(meta.gid())))?;
        file.set_permissions(meta.permissions())?;
        copy_xattrs(from, beside.path());
        fs::rename(beside.path(), to)?;
        drop(beside.keep());
        Ok(())
    })();
    if copied.is_err() && unsafe_writes {
        io::copy(&mut File::open(from)?, &mut File::create(to)?)?;
        return Ok(());
    }
    copied
}

/// Copies a file with its mode, owner and times beside itself, named as Ansible names backups.
pub(crate) fn backup(path: &Path, ctx: &Context) -> Result<String, Fault> {
    let stamp = ctx.time.local("%Y-%m-%d@%H:%M:%S~");
    let to = format!("{}.{}.{stamp}", path.display(), std::process::id());
    copy_preserving(path, Path::new(&to))
        .or_fail(format!("Could not make backup of '{}' to '{to}'", path.display()))?;
    Ok(to)
}

/// Copies content, mode, owner and times.
pub(crate) fn copy_preserving(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut file)?;
    let meta = source.metadata()?;
    allow_eperm(std::os::unix::fs::fchown(&file, Some(meta.uid()), Some(meta.gid())))?;
    file.set_permissions(meta.permissions())?;
    copy_xattrs(from, to);
    let times = fs::FileTimes::new().set_accessed(meta.accessed()?).set_modified(meta.modified()?);
    file.set_times(times)
}

/// When a file was last read and written, or is to have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Now,
    /// Seconds and nanoseconds since 1970.
    At(i64, i64),
}

/// Sets the access and modification time of what `path` leads to.
pub(crate) fn set_times(path: &Path, accessed: Moment, modified: Moment) -> io::Result<()> {
    let spec = |moment| match moment {
        Moment::Now => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Moment::At(tv_sec, tv_nsec) => Timespec { tv_sec, tv_nsec },
    };
    let times = Timestamps { last_access: spec(accessed), last_modification: spec(modified) };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())?)
}

/// Runs a task's `validate` command on a file that is about to be put in place.
///
/// The command line may hold `%s` more than once. The error is that of the caller's module.
pub(crate) fn validate(
    command: &str,
    file: &Path,
    ctx: &Context,
) -> Result<crate::process::Ran, Fault> {
    if !command.contains("%s") {
        return Err(fail!("validate must contain %s: {command}"));
    }
    let line = command.replace("%%", "\u{0}").replace("%s", &file.to_string_lossy());
    let words = crate::shlex::split(&line.replace('\u{0}', "%"))
        .map_err(|error| fail!("cannot read the validate command `{command}`: {error}"))?;
    let words: Vec<_> = words.iter().map(|word| expand(word, ctx)).collect();
    let cmd = Cmd::argv(&words).ok_or_else(|| fail!("the validate command is empty"))?;
    cmd.run(ctx).map_err(|error| not_run(cmd.shown(), &error))
}

/// Replaces a text file's content, with backup and validation as the editing modules have them.
///
/// Returns the path of the backup, or nothing.
pub(crate) fn rewrite(
    path: &Path,
    content: &[u8],
    rules: &Rewrite<'_>,
    ctx: &Context,
) -> Result<Option<String>, Fault> {
    let backup = if rules.backup && path.exists() { Some(backup(path, ctx)?) } else { None };
    let target = real(path);
    let scratch = Scratch::holding(&ctx.staging, "", content)
        .or_fail(format!("cannot write to {}", ctx.staging.display()))?;
    if let Some(command) = rules.validate {
        let ran = validate(command, scratch.path(), ctx)?;
        if !ran.success() {
            return Err(fail!("failed to validate: rc:{} error:{}", ran.code, ran.err()));
        }
    }
    replace(scratch.path(), &target, true, rules.unsafe_writes)?;
    Ok(backup)
}

/// How [`rewrite`] goes about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewrite<'a> {
    pub(crate) backup: bool,
    pub(crate) validate: Option<&'a str>,
    pub(crate) unsafe_writes: bool,
}

/// How the content of a file is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "md5" => Self::Md5,
            "sha1" | "sha" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }
}

/// The checksum of a file, in hexadecimal.
pub(crate) fn checksum(path: &Path, algorithm: Algorithm) -> io::Result<String> {
    sum(File::open(path)?, algorithm)
}

/// The checksum of everything a reader gives, in hexadecimal.
pub(crate) fn sum(mut reader: impl Read, algorithm: Algorithm) -> io::Result<String> {
    fn run<D: sha1::Digest>(reader: &mut impl Read) -> io::Result<String> {
        let mut hasher = D::new();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match reader.read(&mut chunk)? {
                0 => return Ok(hex(&hasher.finalize())),
                read => hasher.update(&chunk[..read]),
            }
        }
    }
    match algorithm {
        Algorithm::Md5 => run::<md5::Md5>(&mut reader),
        Algorithm::Sha1 => run::<sha1::Sha1>(&mut reader),
        Algorithm::Sha224 => run::<sha2::Sha224>(&mut reader),
        Algorithm::Sha256 => run::<sha2::Sha256>(&mut reader),
        Algorithm::Sha384 => run::<sha2::Sha384>(&mut reader),
        Algorithm::Sha512 => run::<sha2::Sha512>(&mut reader),
    }
}

/// SHA-1 of bytes, in hexadecimal.
pub(crate) fn sha1_of(bytes: &[u8]) -> String {
    hex(&sha1::Sha1::digest(bytes))
}

/// MD5 of bytes, in hexadecimal.
pub(crate) fn md5_of(bytes: &[u8]) -> String {
    hex(&md5::Md5::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ctx() -> Context {
        let mut ctx = Context::system();
        ctx.inherited = [("HOME".to_owned(), "/home/me".to_owned())].into();
        ctx.env = [("APP".to_owned(), "shop".to_owned())].into();
        ctx
    }

    #[test]
    fn a_path_lies_where_ansible_says() {
        for (path, dir) in [
            ("key", "."),
            ("/key", "/"),
            ("a/key", "a"),
            ("/a//key", "/a"),
            ("//key", "//"),
            ("/a/b/", "/a/b"),
        ] {
            assert_eq!(dir_of(path), dir, "{path}");
        }
    }

    #[test]
    fn home_and_variables_are_filled_in_and_unknown_ones_stay() {
        let cases = [
            ("~/x", "/home/me/x"),
            ("~", "/home/me"),
            ("~root/x", "/root/x"),
            ("~nobody-of-that-name/x", "~nobody-of-that-name/x"),
            ("/srv/$APP/${APP}s", "/srv/shop/shops"),
            ("/srv/$NOPE/${NOPE}/$/100$", "/srv/$NOPE/${NOPE}/$/100$"),
            ("${open", "${open"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &ctx()), expected, "{text}");
        }
    }

    #[test]
    fn replacing_keeps_the_mode_of_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o751)).unwrap();
        replace(&from, &to, true, false).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "new");
        assert_eq!(fs::metadata(&to).unwrap().mode() & 0o7777, 0o751);
        assert!(!from.exists());
    }

    #[test]
    fn replacing_works_from_another_filesystem() {
        let (memory, disk) =
            (tempfile::tempdir_in("/dev/shm").unwrap(), tempfile::tempdir().unwrap());
        let (from, to) = (memory.path().join("from"), disk.path().join("to"));
        for (old, mode) in [(None, 0o666 & !umask()), (Some("old"), 0o640)] {
            fs::write(&from, "new").unwrap();
            if let Some(old) = old {
                fs::write(&to, old).unwrap();
                fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
            }
            replace(&from, &to, true, false).unwrap();
            assert_eq!(fs::read_to_string(&to).unwrap(), "new");
            assert_eq!(fs::metadata(&to).unwrap().mode() & 0o7777, mode);
            assert!(!from.exists());
            assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1, "nothing is left behind");
        }
    }

    #[test]
    fn a_real_path_follows_links_even_to_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::os::unix::fs::symlink("b/../nowhere", root.join("a")).unwrap();
        assert_eq!(real(&root.join("a")), root.join("nowhere"));
        assert_eq!(real(&root.join("x/./y/../z")), root.join("x/z"));
    }

    #[test]
    fn checksums_are_the_published_ones() {
        // FIPS 180-4 and RFC 1321 give these for "abc".
        assert_eq!(sha1_of(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(md5_of(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
        let sha224 = sum(&b"abc"[..], Algorithm::Sha224).unwrap();
        assert_eq!(sha224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7");
    }
}
