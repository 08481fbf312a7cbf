//! `unarchive`: what is in an archive lies in a directory.
//!
//! tar and unzip do the unpacking; `tar --diff` and the sums in a zip file tell whether there is
//! anything to unpack.

use crate::args::Args;
use crate::attributes::Attributes;
use crate::context::Context;
use crate::module::get_url;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place;
use crate::process::{Cmd, Ran};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    if let Some(path) = args.str("creates").filter(|path| place::lexists(Path::new(path))) {
        return Ok(Outcome::changed(false)
            .with("skipped", true)
            .with("msg", format!("skipped, since {path} exists")));
    }
    let src = args.text("src");
    let dest = Path::new(args.text("dest"));
    let remote = args.flag("remote_src") || !args.flag("copy");
    let fetched;
    let archive = match args.ours("_updraft_staged") {
        Some(staged) => PathBuf::from(staged),
        None if remote && src.contains("://") => {
            fetched = get_url::download(src, args.flag("validate_certs"), ctx)?;
            fetched.body.path().to_owned()
        }
        None if remote => PathBuf::from(src),
        None => return Err(fail!("Source '{src}' was not sent")),
    };
    if !archive.exists() {
        return Err(fail!("Source '{src}' does not exist"));
    }
    if !dest.is_dir() {
        return Err(fail!("Destination '{}' is not a directory", dest.display()));
    }
    let attributes = Attributes::asked(args);
    let mut magic = [0; 4];
    let mut file = fs::File::open(&archive).or_fail(format!("Source '{src}' not readable"))?;
    let read = std::io::Read::read(&mut file, &mut magic).or_fail("cannot read the archive")?;
    // APPNOTE.TXT 4.3.7: local file headers begin with PK\3\4, empty archives with PK\5\6.
    let zip = read == 4 && (magic == *b"PK\x03\x04" || magic == *b"PK\x05\x06");
    let unpacker = Unpacker { args, ctx, archive, dest };
    let files = if zip { unpacker.zip_files() } else { unpacker.tar_files() }?;
    let due = if zip { unpacker.zip_differs()? } else { unpacker.tar_differs()? };
    let mut outcome = Outcome::default()
        .with("dest", dest.display().to_string())
        .with("src", src)
        .with("handler", if zip { "ZipArchive" } else { "TarArchive" });
    let mut changed = due;
    if due && !ctx.check {
        let ran = if zip { unpacker.unzip() } else { unpacker.untar() }?;
        let results = json!({ "rc": ran.code, "out": ran.out(), "err": ran.err() });
        // unzip(1), DIAGNOSTICS: 1 is a warning.
        let fine = ran.success() || (zip && ran.code == 1);
        if !fine {
            return Err(fail!("failed to unpack {src} to {}", dest.display())
                .with("extract_results", results));
        }
        outcome = outcome.with("extract_results", results);
    }
    for file in &files {
        let path = dest.join(file.trim_end_matches('/'));
        if place::lexists(&path) {
            changed |= attributes.ensure(&path, None, ctx)?;
        }
    }
    if args.flag("list_files") {
        outcome = outcome.with("files", files);
    }
    Ok(outcome.with("changed", changed))
}

struct Unpacker<'a> {
    args: &'a Args,
    ctx: &'a Context,
    archive: PathBuf,
    dest: &'a Path,
}

impl Unpacker<'_> {
    fn call(&self, cmd: Cmd, program: &str) -> Result<Ran, Fault> {
        if self.ctx.program(program).is_none() {
            return Err(fail!(
                "Failed to find handler for \"{}\". Make sure the required command to extract the \
                 file is installed.\nUnable to find required '{program}' binary in the path.",
                self.args.text("src")
            ));
        }
        cmd.plain_locale().env("TZ", "UTC").run(self.ctx).or_fail(format!("cannot run {program}"))
    }

    fn tar(&self, verb: &str) -> Cmd {
        let mut cmd = Cmd::new("tar").arg(verb).arg("-C").arg(self.dest);
        cmd = cmd.args(self.args.list("extra_opts"));
        for (name, flag) in [("owner", "--owner"), ("group", "--group")] {
            if let Some(value) = self.args.str(name) {
                cmd = cmd.arg(format!("{flag}={value}"));
            }
        }
        if self.args.flag("keep_newer") {
            cmd = cmd.arg("--keep-newer-files");
        }
        for pattern in self.args.list("exclude") {
            cmd = cmd.arg(format!("--exclude={pattern}"));
        }
        let include = self.args.list("include");
        let cmd = cmd.arg("-f").arg(&self.archive);
        if include.is_empty() { cmd } else { cmd.arg("--").args(include) }
    }

    fn tar_files(&self) -> Result<Vec<String>, Fault> {
        let ran = self.call(self.tar("--list"), "tar")?;
        if !ran.success() {
            return Err(fail!("Unable to list files in the archive: {}", ran.err().trim()));
        }
        Ok(ran.out().lines().map(str::to_owned).collect())
    }

    fn tar_differs(&self) -> Result<bool, Fault> {
        let ran = self.call(self.tar("--diff"), "tar")?;
        if ran.success() {
            return Ok(false);
        }
        let root = rustix::process::geteuid().is_root();
        let given = |name: &str| self.args.raw(name).is_some();
        let said = format!("{}{}", ran.out(), ran.err());
        Ok(said.lines().any(|line| {
            let line = line.trim_end();
            let ends = |ends: &[&str]| ends.iter().any(|end| line.ends_with(end));
            (ends(&["Uid differs"]) && root && !given("owner"))
                || (ends(&["Gid differs"]) && root && !given("group"))
                || (ends(&["Mode differs"]) && !given("mode"))
                || ends(&[
                    "Mod time differs",
                    "No such file or directory",
                    "Symlink differs",
                    "Contents differ",
                    "Size differs",
                    "File type differs",
                    "Not linked to",
                ])
        }))
    }

    fn untar(&self) -> Result<Ran, Fault> {
        self.call(self.tar("--extract"), "tar")
    }

    /// Name, size and sum of everything in a zip archive.
    fn zip_entries(&self) -> Result<Vec<(String, u64, u32)>, Fault> {
        let ran = self.call(Cmd::new("unzip").arg("-v").arg(&self.archive), "unzip")?;
        if !ran.success() && ran.code != 1 {
            return Err(fail!("Unable to list files in the archive: {}", ran.err().trim()));
        }
        let (include, exclude) = (self.args.list("include"), self.args.list("exclude"));
        let fits = |list: &[String], name: &str| {
            list.iter().any(|pattern| crate::pattern::glob(pattern, name))
        };
        Ok(parse_zip(&ran.out())
            .into_iter()
            .filter(|(name, ..)| !fits(&exclude, name))
            .filter(|(name, ..)| include.is_empty() || fits(&include, name))
            .collect())
    }

    fn zip_files(&self) -> Result<Vec<String>, Fault> {
        Ok(self.zip_entries()?.into_iter().map(|(name, ..)| name).collect())
    }

    fn zip_differs(&self) -> Result<bool, Fault> {
        for (name, size, sum) in self.zip_entries()? {
            let path = self.dest.join(&name);
            let same = if name.ends_with('/') {
                path.is_dir()
            } else {
                fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == size)
                    && fs::read(&path).is_ok_and(|bytes| crc32(&bytes) == sum)
            };
            if !same {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn unzip(&self) -> Result<Ran, Fault> {
        let overwrite = if self.args.flag("keep_newer") { "-u" } else { "-o" };
        let mut cmd = Cmd::new("unzip").arg(overwrite).args(self.args.list("extra_opts"));
        cmd = cmd.arg(&self.archive).args(self.args.list("include"));
        let exclude = self.args.list("exclude");
        if !exclude.is_empty() {
            cmd = cmd.arg("-x").args(exclude);
        }
        self.call(cmd.arg("-d").arg(self.dest), "unzip")
    }
}

/// The table of `unzip -v`: length, method, size, ratio, date, time, sum, name.
fn parse_zip(text: &str) -> Vec<(String, u64, u32)> {
    text.lines()
        .filter_map(|line| {
            let mut rest = line;
            let mut fields = Vec::new();
            for _ in 0..7 {
                rest = rest.trim_start();
                let end = rest.find(' ')?;
                fields.push(&rest[..end]);
                rest = &rest[end..];
            }
            let sum = u32::from_str_radix(fields[6], 16).ok().filter(|_| fields[6].len() == 8)?;
            Some((rest.trim_start().to_owned(), fields[0].parse().ok()?, sum))
        })
        .collect()
}

/// The sum zip files carry (ISO 3309, polynomial 0xEDB88320 with bits reversed).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |mut sum, byte| {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
        }
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run as run_module;
    use serde_json::Value;

    #[test]
    fn sums_and_tables_of_zip_files_are_read() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let table = "Archive:  x.zip\n Length   Method    Size  Cmpr    Date    Time   CRC-32   Name\n\
                     --------  ------  ------- ---- ---------- ----- --------  ----\n\
                     \u{20}      6  Stored        6   0% 2024-01-01 00:00 363a3020  a b.txt\n\
                     \u{20}      0  Stored        0   0% 2024-01-01 00:00 00000000  d/\n\
                     --------          -------  ---                            -------\n\
                     \u{20}      6                6   0%                            2 files\n";
        assert_eq!(
            parse_zip(table),
            [("a b.txt".to_owned(), 6, 0x363a_3020), ("d/".to_owned(), 0, 0)]
        );
    }

    #[test]
    fn an_archive_is_unpacked_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("in/d")).unwrap();
        fs::create_dir(at("out")).unwrap();
        fs::write(at("in/d/f"), "x").unwrap();
        let ctx = Context::system();
        let tar = Cmd::new("tar").arg("-czf").arg(at("a.tgz")).arg("-C").arg(at("in")).arg("d");
        assert!(tar.run(&ctx).unwrap().success());
        let args = json!({ "src": at("a.tgz"), "dest": at("out"), "remote_src": true, "list_files": true });
        let run = |args: &Value| {
            let Value::Object(args) = args else { panic!("arguments are an object") };
            run_module("unarchive", args, &ctx).0
        };
        let first = run(&args);
        assert_eq!(first["changed"], true, "{first:?}");
        assert_eq!(first["files"], json!(["d/", "d/f"]));
        assert_eq!(fs::read_to_string(at("out/d/f")).unwrap(), "x");
        assert_eq!(run(&args)["changed"], false);
        fs::write(at("out/d/f"), "changed").unwrap();
        assert_eq!(run(&args)["changed"], true);
    }
}
