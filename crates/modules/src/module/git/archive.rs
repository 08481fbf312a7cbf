//! The archive that a task makes of what it checked out.

use super::Task;
use crate::outcome::{Fault, OrFail, fail};
use crate::place;
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::Path;

impl Task<'_> {
    /// Packs the version into the archive, if the task names one.
    pub(super) fn archive(&mut self) -> Result<(), Fault> {
        let Some(archive) = self.args.str("archive").filter(|it| !it.is_empty()) else {
            return Ok(());
        };
        if self.git.ctx.check {
            self.set("changed", true);
            return Ok(());
        }
        let path = Path::new(archive);
        let Some(format) = archive_format(path) else {
            let details = "Please specify archive as filename with extension. File extension can be one of ['tar', 'tar.gz', 'zip', 'tgz']";
            let told = fail!("Unable to get file extension from archive file name : {archive}");
            return Err(told.with("details", details));
        };
        let scratch = place::Scratch::file(place::parent(path), "").map(|(scratch, _)| scratch);
        let scratch = scratch.or_fail(format!("cannot write beside {archive}"))?;
        let made = scratch.path().display().to_string();
        let mut words = vec!["archive", "--format", format, "--output", &made];
        if let Some(prefix) = self.args.str("archive_prefix") {
            words.extend(["--prefix", prefix]);
        }
        words.push(self.version);
        let ran = self.git.run(&words)?;
        if !ran.success() {
            let details = format!(
                "Git archive command failed to create archive {archive} using {} directory.Error: {}",
                self.git.dest.display(),
                ran.err()
            );
            return Err(fail!("Failed to perform archive operation").with("details", details));
        }
        let same = path.exists()
            && same_content(scratch.path(), path).or_fail("cannot compare archives")?;
        if !same {
            place::replace(scratch.path(), path, true, false)?;
        }
        self.set("changed", !same);
        Ok(())
    }
}

fn archive_format(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "zip" => Some("zip"),
        "gz" => Some("tar.gz"),
        "tar" => Some("tar"),
        "tgz" => Some("tgz"),
        _ => None,
    }
}

fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    if fs::metadata(one)?.len() != fs::metadata(other)?.len() {
        return Ok(false);
    }
    let bytes = |path: &Path| Ok::<_, io::Error>(BufReader::new(fs::File::open(path)?).bytes());
    for (a, b) in bytes(one)?.zip(bytes(other)?) {
        if a? != b? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_what_its_name_says() {
        for (name, format) in [
            ("a.zip", Some("zip")),
            ("a.tar.gz", Some("tar.gz")),
            ("a.tgz", Some("tgz")),
            ("a", None),
        ] {
            assert_eq!(archive_format(Path::new(name)), format);
        }
    }
}
