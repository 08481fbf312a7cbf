//! Modules of keys, requests and certificates that `openssl` makes, signs and reads.
//!
//! Private keys go to and from `openssl` through pipes: none is in an argument, in the environment
//! or in a file, but for the one that is put in place. What cannot be told of a file for certain is
//! left to Ansible's module before anything changes. A host without `openssl` 3 is, too.

mod certificate;
pub(crate) mod csr;
mod der;
mod extension;
mod pem;
pub(crate) mod privatekey;
mod public;
mod request;
mod signature;
pub(crate) mod x509_certificate;

use crate::args::Args;
use crate::attributes::{self, Attributes};
use crate::context::Context;
use crate::outcome::{Fault, OrFail, fail, plain};
use crate::place::{self, Algorithm, Scratch};
use crate::process::{Cmd, Ran};
use serde_json::{Map, Value};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn strange(what: &str) -> Fault {
    Fault::beyond(format!("{what} is not supported"))
}

/// The program, and what is needed to run it.
struct Openssl<'a> {
    program: PathBuf,
    ctx: &'a Context,
}

impl<'a> Openssl<'a> {
    fn find(ctx: &'a Context) -> Result<Self, Fault> {
        let program = ctx.program("openssl").ok_or_else(|| strange("a host without openssl"))?;
        let openssl = Self { program, ctx };
        let told = openssl.reads(&["version"], &[])?.unwrap_or_default();
        match is_new(&String::from_utf8_lossy(&told)) {
            true => Ok(openssl),
            false => Err(strange("such an openssl")),
        }
    }

    /// How it ends when it is given `input`.
    fn run(&self, words: &[&str], input: &[u8]) -> Result<Ran, Fault> {
        let cmd = Cmd::new(&self.program).args(words).input(input);
        cmd.run(self.ctx).or_fail("cannot run openssl")
    }

    /// What it writes, and nothing if it fails.
    fn reads(&self, words: &[&str], input: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let ran = self.run(words, input)?;
        Ok(ran.success().then_some(ran.stdout))
    }

    /// The same of what has to succeed. What it wrote may be secret, and is not in the fault.
    fn makes(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>, Fault> {
        let ran = self.run(words, input)?;
        if !ran.success() {
            return Err(fail!("openssl failed: {}", ran.err().trim_end()).with("rc", ran.code));
        }
        Ok(ran.stdout)
    }

    /// Sums of bytes in every way that Python always has, as openssl shows fingerprints.
    fn fingerprints(&self, bytes: &[u8]) -> Result<Value, Fault> {
        const OURS: &[(&str, Algorithm)] = &[
            ("md5", Algorithm::Md5),
            ("sha1", Algorithm::Sha1),
            ("sha224", Algorithm::Sha224),
            ("sha256", Algorithm::Sha256),
            ("sha384", Algorithm::Sha384),
            ("sha512", Algorithm::Sha512),
        ];
        const THEIRS: &[(&str, &[&str])] = &[
            ("blake2b", &["-blake2b512"]),
            ("blake2s", &["-blake2s256"]),
            ("sha3_224", &["-sha3-224"]),
            ("sha3_256", &["-sha3-256"]),
            ("sha3_384", &["-sha3-384"]),
            ("sha3_512", &["-sha3-512"]),
            ("shake_128", &["-shake128", "-xoflen", "32"]),
            ("shake_256", &["-shake256", "-xoflen", "32"]),
        ];
        let mut all = Map::new();
        for (name, algorithm) in OURS {
            all.insert((*name).to_owned(), colons(&sum(bytes, *algorithm)?).into());
        }
        for (name, options) in THEIRS {
            let words = [&["dgst", "-r"], *options].concat();
            // One that this host's openssl must not use is left out, as it is by Python.
            if let Some(told) = self.reads(&words, bytes)? {
                let told = String::from_utf8_lossy(&told);
                let sum = told.split_whitespace().next().unwrap_or_default();
                all.insert((*name).to_owned(), colons(sum).into());
            }
        }
        Ok(all.into())
    }
}

/// Whether this is said by a version that has all that is asked of it here.
fn is_new(told: &str) -> bool {
    let version = told.strip_prefix("OpenSSL ").and_then(|rest| rest.split('.').next());
    version.and_then(|major| major.parse().ok()).is_some_and(|major: u32| major >= 3)
}

fn sum(bytes: &[u8], algorithm: Algorithm) -> Result<String, Fault> {
    place::sum(bytes, algorithm).or_fail("cannot sum up a key")
}

/// Bytes in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that are written in hexadecimal digits.
fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<_>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
    let pairs = digits?;
    let pairs = pairs.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    pairs.collect()
}

/// Hexadecimal digits with a colon after each pair.
fn colons(hex: &str) -> String {
    let digits: Vec<char> = hex.chars().collect();
    digits.chunks(2).map(|pair| pair.iter().collect()).collect::<Vec<String>>().join(":")
}

/// The file a task is about.
struct Target<'a> {
    path: &'a str,
    args: &'a Args,
    attributes: Attributes,
    ctx: &'a Context,
}

impl<'a> Target<'a> {
    /// The file, if there is a directory for it; a new one gets `mode` if no other is asked for.
    fn asked(args: &'a Args, mode: Option<&str>, ctx: &'a Context) -> Result<Self, Fault> {
        let dir = place::dir_of(args.text("path"));
        if !Path::new(dir).is_dir() {
            return Err(fail!("The directory {dir} does not exist or the file is not a directory")
                .with("name", dir));
        }
        Self::anywhere(args, mode, ctx)
    }

    /// The same where there may be no directory for it.
    fn anywhere(args: &'a Args, mode: Option<&str>, ctx: &'a Context) -> Result<Self, Fault> {
        let path = args.text("path");
        if path.is_empty() {
            return Err(strange("an empty path"));
        }
        let mut attributes = Attributes::asked(args);
        if attributes.mode.is_none() {
            attributes = attributes.with_mode(mode.map(Value::from));
        }
        Ok(Self { path, args, attributes, ctx })
    }

    fn path(&self) -> &'a Path {
        Path::new(self.path)
    }

    /// What is in it, if it is there.
    fn content(&self) -> Result<Option<Vec<u8>>, Fault> {
        match fs::read(self.path()) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fail!(
                "Error while loading {} - [Errno {}] {}: {}",
                self.path,
                error.raw_os_error().unwrap_or_default(),
                plain(&error),
                crate::args::repr(&self.path.into())
            )),
        }
    }

    /// Copies it beside itself if that is asked for; where the copy is.
    fn backup(&self) -> Result<Option<String>, Fault> {
        if !self.args.flag("backup") || self.ctx.check || !self.path().exists() {
            return Ok(None);
        }
        place::backup(self.path(), self.ctx).map(Some)
    }

    /// Puts `content` in its place. Nobody who may not read the file in the end can before.
    fn write(&self, content: &[u8]) -> Result<(), Fault> {
        let path = self.path();
        let cannot = || format!("Error while writing result: {}", path.display());
        if path.exists() {
            self.attributes.ensure(path, None, self.ctx)?;
            let dir = &self.ctx.staging;
            let new = Scratch::holding(dir, "", content).or_fail(cannot())?;
            return place::replace(new.path(), path, true, self.args.flag("unsafe_writes"));
        }
        let new = Scratch::holding(place::parent(path), "", content).or_fail(cannot())?;
        let Some(mode) = &self.attributes.mode else {
            return place::replace(new.path(), path, false, false);
        };
        // Letters such as `g=r` are about what a new file has.
        let mode = attributes::resolve(mode, 0o666 & !place::umask(), false, path)?;
        let attributes = self.attributes.with_mode(Some(format!("{mode:04o}").into()));
        attributes.ensure(new.path(), None, self.ctx)?;
        fs::rename(new.path(), path).or_fail(cannot())?;
        drop(new.keep());
        Ok(())
    }

    /// Gives it the owner and mode that are asked for; whether something changes.
    fn ensure_attributes(&self) -> Result<bool, Fault> {
        if self.ctx.check && !self.path().exists() {
            return Ok(true);
        }
        self.attributes.ensure(self.path(), None, self.ctx)
    }

    /// Takes it away; whether it was there.
    fn remove(&self) -> Result<bool, Fault> {
        if self.ctx.check {
            return Ok(self.path().exists());
        }
        match fs::remove_file(self.path()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).or_fail(format!("cannot remove {}", self.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_other_programs_are_told_apart() {
        assert!(is_new("OpenSSL 3.0.19 27 Jan 2026 (Library: OpenSSL 3.0.19 27 Jan 2026)"));
        assert!(!is_new("OpenSSL 1.1.1w  11 Sep 2023") && !is_new("LibreSSL 3.8.2"));
    }

    #[test]
    fn fingerprints_have_a_colon_between_bytes() {
        assert_eq!(colons("00ff1a"), "00:ff:1a");
        assert_eq!(colons(""), "");
        assert_eq!(colons(&hex(&unhex("00Ff1a").unwrap())), "00:ff:1a");
        assert_eq!((unhex("0"), unhex("0g"), unhex("")), (None, None, Some(Vec::new())));
    }
}
