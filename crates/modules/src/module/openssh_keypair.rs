//! `openssh_keypair`: a private key of OpenSSH and the public one beside it.
//!
//! `ssh-keygen` makes, reads and changes them; a passphrase and forms of a key other than its own
//! are left to Ansible's module. New keys lie in a private directory until they are put in place.
//! Never here: what is in a key.

use crate::args::Args;
use crate::attributes::Attributes;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place::{self, Scratch};
use crate::process::{Cmd, Ran, not_run};
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let pair = Pair::asked(args, ctx)?;
    let before = Keys { private: pair.observe()?, public: Public::read(&pair.public)? };
    let mut changed = false;
    let mut after = None;
    if args.text("state") == "present" {
        changed = pair.ensure(&before, args)?;
        // Nothing else has changed them.
        let now = match changed && !ctx.check {
            true => Keys { private: pair.observe()?, public: Public::read(&pair.public)? },
            false => before.clone(),
        };
        let attributes = Attributes::asked(args);
        for path in [&pair.private, &pair.public] {
            changed |= ctx.check && !path.exists() || attributes.ensure(path, None, ctx)?;
        }
        after = Some(now);
    } else {
        for path in [&pair.private, &pair.public].into_iter().filter(|path| path.exists()) {
            changed = true;
            if !ctx.check {
                fs::remove_file(path).or_fail(format!("cannot remove {}", path.display()))?;
            }
        }
    }
    let told = after.as_ref().unwrap_or(&before);
    let private = told.private.as_ref().or(before.private.as_ref());
    let public = told.public.as_ref().or(before.public.as_ref());
    let outcome = Outcome::changed(changed)
        .with("size", pair.size)
        .with("type", pair.kind)
        .with("filename", args.text("path"))
        .with("fingerprint", private.map_or("", |key| &key.fingerprint))
        .with("public_key", public.map(Public::line).unwrap_or_default())
        .with("comment", public.map_or("", |key| &key.comment));
    if !ctx.diff {
        return Ok(outcome);
    }
    let after = after.as_ref().map(Keys::shown).unwrap_or_default();
    Ok(outcome.with("diff", json!({ "before": before.shown(), "after": after })))
}

fn strange(what: &str) -> Fault {
    Fault::beyond(format!("{what} is not supported"))
}

/// What a task asks for, and where.
struct Pair<'a> {
    program: PathBuf,
    kind: &'a str,
    size: i64,
    comment: Option<&'a str>,
    private: PathBuf,
    public: PathBuf,
    ctx: &'a Context,
}

impl<'a> Pair<'a> {
    fn asked(args: &'a Args, ctx: &'a Context) -> Result<Self, Fault> {
        let backend = args.text("backend");
        let program = match ctx.program("ssh-keygen") {
            Some(program) if backend != "cryptography" => program,
            None if backend == "opensshbin" => {
                return Err(fail!("Cannot find the OpenSSH binary in the PATH"));
            }
            _ => return Err(strange("a key that is not made by ssh-keygen")),
        };
        if args.str("passphrase").is_some_and(|passphrase| !passphrase.is_empty()) {
            return Err(strange("a passphrase"));
        }
        let (path, kind) = (args.text("path"), args.text("type"));
        let size = size_of(kind, args.int("size"))?;
        let dir = place::dir_of(path);
        if !Path::new(dir).is_dir() {
            return Err(fail!("The directory {dir} does not exist or the file is not a directory")
                .with("name", dir));
        }
        if Path::new(path).is_dir() {
            return Err(fail!("{path} is a directory. Please specify a path to a file."));
        }
        if args.text("private_key_format") != "auto" {
            return Err(fail!(
                "'auto' is the only valid option for 'private_key_format' when 'backend' is not 'cryptography'"
            ));
        }
        let (private, public) = (PathBuf::from(path), PathBuf::from(format!("{path}.pub")));
        for path in [&private, &public] {
            if place::lexists(path) && !path.is_file() || path.as_os_str().is_empty() {
                return Err(strange("something in the place of a key that is no file"));
            }
        }
        let comment = args.str("comment");
        Ok(Self { program, kind, size, comment, private, public, ctx })
    }

    fn keygen(&self, words: &[&str]) -> Cmd {
        Cmd::new(&self.program).args(words)
    }

    fn start(&self, cmd: &Cmd) -> Result<Ran, Fault> {
        cmd.run(self.ctx).map_err(|error| not_run(cmd.shown(), &error))
    }

    /// The private key, if there is one and it is understood.
    fn observe(&self) -> Result<Option<Private>, Fault> {
        if !self.private.exists() {
            return Ok(None);
        }
        let ran = self.start(&self.keygen(&["-l", "-f"]).arg(&self.private).expanded(self.ctx))?;
        Ok(ran.success().then(|| Private::parse(&ran.out())).flatten())
    }

    /// Asks for the public key that belongs to the private one.
    fn matching(&self) -> Cmd {
        self.keygen(&["-P", "", "-y", "-f"]).arg(&self.private).expanded(self.ctx)
    }

    /// Makes the keys as asked; whether something changes.
    fn ensure(&self, before: &Keys, args: &Args) -> Result<bool, Fault> {
        let mut matching = None;
        let regenerate = if args.flag("force") { "always" } else { args.text("regenerate") };
        if self.private.exists() && matches!(regenerate, "never" | "fail" | "partial_idempotence") {
            if before.private.is_some() {
                matching = Some(self.start(&self.matching())?);
            }
            if !matching.as_ref().is_some_and(is_readable) {
                return Err(fail!(
                    "Unable to read the key. The key is protected with a passphrase or broken. Will not proceed. To force regeneration, call the module with `generate` set to `full_idempotence` or `always`, or with `force=true`."
                ));
            }
        }
        let key = before.private.as_ref();
        let fits = key.is_some_and(|key| key.size == self.size && key.kind == self.kind);
        let is_new = match regenerate {
            _ if key.is_none() => true,
            "never" => false,
            "fail" if !fits => {
                return Err(fail!(
                    "Key has wrong type and/or size. Will not proceed. To force regeneration, call the module with `generate` set to `partial_idempotence`, `full_idempotence` or `always`, or with `force=true`."
                ));
            }
            "always" => true,
            _ => !fits,
        };
        if is_new {
            if !self.ctx.check {
                self.generate()?;
            }
            return Ok(true);
        }
        let matching = match matching {
            Some(ran) => ran,
            None => self.start(&self.matching())?,
        };
        let matching = self.matching().judged(matching)?;
        let wanted = Public::parse(matching.out().trim_matches('\n'))
            .ok_or_else(|| strange("such a public key"))?;
        if before.public.as_ref().is_some_and(|there| there.is(&wanted, self.comment)) {
            return Ok(false);
        }
        if !self.ctx.check {
            self.restore(&wanted)?;
        }
        Ok(true)
    }

    fn generate(&self) -> Result<(), Fault> {
        let scratch = self.scratch()?;
        let private = scratch.path().join(self.private.file_name().unwrap_or_default());
        let public = PathBuf::from(format!("{}.pub", private.display()));
        let (size, comment) = (self.size.to_string(), self.comment.unwrap_or_default());
        let cmd = self.keygen(&["-q", "-N", "", "-b", &size, "-t", self.kind, "-f"]);
        cmd.arg(&private).args(["-C", comment]).expanded(self.ctx).checked(self.ctx)?;
        let old = scratch.path().join("old");
        let replaces = self.private.exists();
        if replaces {
            place::copy_preserving(&self.private, &old)
                .or_fail(format!("cannot read {}", self.private.display()))?;
        }
        put(&private, &self.private)?;
        put(&public, &self.public).inspect_err(|_| {
            // One without the other is of no use; what went wrong is told in any case.
            drop(match replaces {
                true => place::replace(&old, &self.private, true, false),
                false => fs::remove_file(&self.private).or_fail("cannot remove it"),
            });
        })
    }

    /// Writes the public key anew, with its comment in both.
    ///
    /// The comment is written here, too: where the private key has it already, ssh-keygen writes
    /// nothing, and Ansible's module would go on to miss it.
    fn restore(&self, wanted: &Public) -> Result<(), Fault> {
        let scratch = self.scratch()?;
        let file = scratch.path().join("public");
        let mode = fs::metadata(&self.public).map_or(0o644, |meta| meta.permissions().mode());
        let comment = self.comment.filter(|comment| !comment.is_empty());
        let line = match comment {
            Some(comment) => format!("{} {}\n", wanted.line(), place::expand(comment, self.ctx)),
            None => format!("{}\n", wanted.line()),
        };
        let write = || {
            let mut made =
                File::options().write(true).create_new(true).mode(mode & 0o777).open(&file)?;
            made.write_all(line.as_bytes())
        };
        write().or_fail(format!("cannot write {}", file.display()))?;
        put(&file, &self.public)?;
        let Some(comment) = comment else { return Ok(()) };
        if rustix::fs::access(&self.private, rustix::fs::Access::WRITE_OK).is_err() {
            fs::set_permissions(&self.private, fs::Permissions::from_mode(0o600))
                .or_fail(format!("cannot write {}", self.private.display()))?;
        }
        let mut cmd = self.keygen(&["-q"]);
        if self.keeps_old_form()? {
            cmd = cmd.arg("-o");
        }
        cmd.args(["-c", "-C", comment, "-f"])
            .arg(&self.private)
            .expanded(self.ctx)
            .checked(self.ctx)
            .map(drop)
    }

    /// Whether comments need another form of the key than this OpenSSH writes by itself.
    fn keeps_old_form(&self) -> Result<bool, Fault> {
        let Some(ssh) = self.ctx.program("ssh") else { return Ok(false) };
        let ran = Cmd::new(ssh).args(["-V", "-q"]).checked(self.ctx)?;
        let version = version_of(&ran.err());
        Ok(version.is_some_and(|version| ((6, 5)..(7, 8)).contains(&version)))
    }

    fn scratch(&self) -> Result<Scratch, Fault> {
        let dir = &self.ctx.staging;
        Scratch::dir(dir).or_fail(format!("cannot write to {}", dir.display()))
    }
}

/// Puts a file in place: with the mode and owner of the one that is replaced, else with its own.
fn put(from: &Path, to: &Path) -> Result<(), Fault> {
    if to.exists() {
        return place::replace(from, to, true, false);
    }
    let copy = || {
        let (beside, _) = Scratch::file(place::parent(to), "")?;
        place::copy_preserving(from, beside.path())?;
        fs::rename(beside.path(), to)?;
        drop(beside.keep());
        Ok(())
    };
    let copied: std::io::Result<()> = copy();
    copied.or_fail(format!("cannot write {}", to.display()))
}

/// The size of a new key.
fn size_of(kind: &str, asked: Option<i64>) -> Result<i64, Fault> {
    match kind {
        "rsa" | "rsa1" => match asked.unwrap_or(4096) {
            ..1024 => Err(fail!(
                "For RSA keys, the minimum size is 1024 bits and the default is 4096 bits. Attempting to use bit lengths under 1024 will cause the module to fail."
            )),
            size => Ok(size),
        },
        "dsa" => match asked.unwrap_or(1024) {
            1024 => Ok(1024),
            _ => Err(fail!("DSA keys must be exactly 1024 bits as specified by FIPS 186-2.")),
        },
        "ecdsa" => match asked.unwrap_or(256) {
            size @ (256 | 384 | 521) => Ok(size),
            _ => Err(fail!(
                "For ECDSA keys, size determines the key length by selecting from one of three elliptic curve sizes: 256, 384 or 521 bits. Attempting to use bit lengths other than these three values for ECDSA keys will cause this module to fail."
            )),
        },
        _ => Ok(256),
    }
}

/// Whether what ssh-keygen said when it was asked for the public key tells of one it could read.
fn is_readable(ran: &Ran) -> bool {
    const COMPLAINTS: &[&str] =
        &["is not a public key file", "incorrect passphrase", "load failed"];
    let said = ran.err();
    ran.code != 255 && !COMPLAINTS.iter().any(|complaint| said.contains(complaint))
}

/// The version in what `ssh -V` tells.
fn version_of(told: &str) -> Option<(u32, u32)> {
    let told = told.to_lowercase();
    let (_, version) = told.rsplit_once("openssh_")?;
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    let mut parts = version[..end].split('.');
    Some((parts.next()?.parse().ok()?, parts.next().unwrap_or("0").parse().ok()?))
}

/// What lies on the host.
#[derive(Clone, Debug)]
struct Keys {
    private: Option<Private>,
    public: Option<Public>,
}

impl Keys {
    /// As a diff shows them.
    fn shown(&self) -> Map<String, Value> {
        let mut shown = Map::new();
        if let Some(key) = &self.private {
            shown.insert("size".into(), key.size.into());
            shown.insert("type".into(), key.kind.as_str().into());
            shown.insert("fingerprint".into(), key.fingerprint.as_str().into());
            // Only the library for Python tells which form a key has.
            shown.insert("format".into(), "".into());
        }
        if let Some(key) = &self.public {
            shown.insert("comment".into(), key.comment.as_str().into());
            shown.insert("public_key".into(), key.data.as_str().into());
        }
        shown
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Private {
    size: i64,
    kind: String,
    fingerprint: String,
}

impl Private {
    /// Reads a line such as `256 SHA256:… comment (ED25519)`.
    fn parse(told: &str) -> Option<Self> {
        let mut words = told.split_whitespace();
        let size = words.next()?.parse().ok()?;
        let fingerprint = words.next()?.to_owned();
        let mut kind = words.next_back().unwrap_or(&fingerprint).chars();
        kind.next();
        kind.next_back();
        Some(Self { size, kind: kind.as_str().to_lowercase(), fingerprint })
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Public {
    kind: String,
    data: String,
    comment: String,
}

impl Public {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ').map(str::to_owned);
        let (kind, data) = (parts.next()?, parts.next()?);
        Some(Self { kind, data, comment: parts.next().unwrap_or_default() })
    }

    /// The key of a file, if there is one that looks so.
    fn read(path: &Path) -> Result<Option<Self>, Fault> {
        let Ok(bytes) = fs::read(path) else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| strange("a public key that is no text"))?;
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        Ok(Self::parse(text.trim_matches([' ', '\n'])))
    }

    fn line(&self) -> String {
        format!("{} {}", self.kind, self.data)
    }

    /// Whether it is the same key, and has the comment if one is asked for.
    fn is(&self, wanted: &Self, comment: Option<&str>) -> bool {
        let same = self.kind == wanted.kind && self.data == wanted.data;
        same && comment.is_none_or(|comment| self.comment == comment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fit_their_kind() {
        for (kind, asked, size) in [
            ("rsa", None, Some(4096)),
            ("rsa", Some(2048), Some(2048)),
            ("rsa", Some(1023), None),
            ("dsa", None, Some(1024)),
            ("dsa", Some(2048), None),
            ("ecdsa", None, Some(256)),
            ("ecdsa", Some(521), Some(521)),
            ("ecdsa", Some(512), None),
            ("ed25519", Some(7), Some(256)),
        ] {
            assert_eq!(size_of(kind, asked).ok(), size, "{kind} {asked:?}");
        }
    }

    #[test]
    fn what_ssh_keygen_tells_of_a_key_is_read() {
        for (told, kind, size) in [
            ("256 SHA256:abc me@here (ED25519)\n", "ed25519", 256),
            ("4096 SHA256:abc a comment of words (RSA)\n", "rsa", 4096),
            ("521 SHA256:abc no comment (ECDSA)\n", "ecdsa", 521),
        ] {
            let fingerprint = "SHA256:abc".to_owned();
            let key = Private { size, kind: kind.to_owned(), fingerprint };
            assert_eq!(Private::parse(told), Some(key), "{told}");
        }
        assert_eq!(Private::parse("x is not a key file."), None);
        assert_eq!(Private::parse(""), None);
    }

    #[test]
    fn a_comment_counts_when_it_is_asked_for() {
        let key = Public::parse("ssh-ed25519 AAAA me and you").unwrap();
        assert_eq!((key.comment.as_str(), key.line().as_str()), ("me and you", "ssh-ed25519 AAAA"));
        let bare = Public::parse("ssh-ed25519 AAAA").unwrap();
        for (comment, same) in [(None, true), (Some("me and you"), true), (Some(""), false)] {
            assert_eq!(key.is(&bare, comment), same, "{comment:?}");
        }
        assert!(!key.is(&Public::parse("ssh-ed25519 BBBB").unwrap(), None));
        assert_eq!(Public::parse("one"), None);
    }

    #[test]
    fn keys_that_cannot_be_read_are_told_by_what_is_said_of_them() {
        let said = |code: i32, text: &str| Ran { code, stdout: Vec::new(), stderr: text.into() };
        for (ran, readable) in [
            (said(0, ""), true),
            (said(255, "Load key \"x\": invalid format"), false),
            (said(1, "incorrect passphrase supplied"), false),
            (said(1, "something else"), true),
        ] {
            assert_eq!(is_readable(&ran), readable, "{ran:?}");
        }
    }

    #[test]
    fn versions_of_openssh_are_known() {
        let old = "OpenSSH_7.4p1 Raspbian-10+deb9u7, OpenSSL 1.0.2u  20 Dec 2019";
        assert_eq!(version_of(old), Some((7, 4)));
        assert_eq!(version_of("OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0"), Some((9, 2)));
        assert_eq!(version_of("dropbear"), None);
    }
}
