//! The file that `log_path` in `ansible.cfg` names: what was said, when, by which process of whom.
//!
//! A line is one thing that was said, as Ansible's logger writes it; what has more lines goes on
//! below. Never here: what is said, and whether a person sees it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use updraft_base::Clock;

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    file: Mutex<File>,
    clock: Arc<dyn Clock>,
    user: String,
}

/// Keeps what is said from now on.
///
/// # Errors
/// When the file can be neither made nor written to.
pub(crate) fn begin(path: &Path, user: &str, clock: Arc<dyn Clock>) -> std::io::Result<()> {
    let file = File::options().append(true).create(true).open(path)?;
    // Whoever was first keeps the file; one process runs one command.
    drop(LOG.set(Log { file: Mutex::new(file), clock, user: user.to_owned() }));
    Ok(())
}

/// Keeps what was said, if anything is kept.
pub(crate) fn keep(said: &str) {
    let Some(log) = LOG.get() else { return };
    let record = record(said, &log.clock.now(), std::process::id(), &log.user);
    let mut file = log.file.lock().unwrap_or_else(PoisonError::into_inner);
    // A disk that is full must not end a run that goes well.
    drop(file.write_all(record.as_bytes()));
}

/// What the file gets; nothing for what is only white space.
fn record(said: &str, now: &updraft_base::Timestamp, process: u32, user: &str) -> String {
    let plain = without_colour(said);
    let text = plain.trim_start_matches('\n');
    if text.trim().is_empty() {
        return String::new();
    }
    let level = if text.starts_with("[WARNING]") {
        "WARNING"
    } else if ["[ERROR]", "fatal: ", "failed: ["].iter().any(|start| text.starts_with(start)) {
        "ERROR"
    } else {
        "INFO"
    };
    let text = text.strip_suffix('\n').unwrap_or(text);
    let local = now.to_zoned(jiff::tz::TimeZone::system());
    let when = local.strftime("%Y-%m-%d %H:%M:%S,%3f").to_string();
    format!("{when} p={process} u={user} n=ansible {level}| {text}\n")
}

/// The text without what makes a terminal colour it (ECMA-48, SGR).
fn without_colour(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        let after = &rest[at + 2..];
        let digits = after.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(after.len());
        match after[digits..].strip_prefix('m') {
            Some(left) => {
                out.push_str(&rest[..at]);
                rest = left;
            }
            None => {
                out.push_str(&rest[..at + 2]);
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_laid_out_as_ansibles_logger_lays_it_out() {
        let now = updraft_base::Timestamp::UNIX_EPOCH;
        let record = |said: &str| record(said, &now, 7, "me");
        let told = record("\nTASK [a] \x1b[0;32m***\x1b[0m\n");
        let (when, rest) = told.split_once(" p=").unwrap();
        assert_eq!(rest, "7 u=me n=ansible INFO| TASK [a] ***\n");
        assert_eq!(
            (when.len(), &when[when.len() - 4..]),
            ("1970-01-01 00:00:00,000".len(), ",000")
        );
        assert!(
            record("\x1b[1;35m[WARNING]: x\x1b[0m\n\n").ends_with(" WARNING| [WARNING]: x\n\n")
        );
        assert!(record("fatal: [h]: FAILED! => {}\n").contains(" ERROR| fatal"));
        assert_eq!(record("\n"), "");
        assert_eq!(without_colour("a\x1b[2Kb\x1b[31mc"), "a\x1b[2Kbc");
    }
}
