//! What a plan needs to know about the machine, and what it asked the machine to remember.

use crate::failure::{refused, system};
use crate::root::Root;
use crate::{files, identity, peer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::sync::{Mutex, OnceLock};
use updraft_base::Digest;
use updraft_wire::{Failure, Observed, Response};

/// Where marks are kept.
const MARKS: &str = "/var/lib/updraft/marks.json";

/// Held while marks are changed, so that two requests at once keep both marks.
static CHANGING: Mutex<()> = Mutex::new(());

/// Looks at the machine. What cannot be learned is left empty: a plan copes with that.
pub(crate) fn observe(root: &Root) -> Response {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let disk = rustix::fs::statvfs(root.directory().unwrap_or("/".as_ref()));
    Response::Observed(Box::new(Observed {
        boot_id: peer::boot_id(),
        uptime: first_number(&read("/proc/uptime")) as u64,
        identity: identity::digest(root),
        agent: itself(),
        host_keys: identity::host_keys(root),
        marks: marks(root).unwrap_or_default(),
        load: first_number(&read("/proc/loadavg")),
        memory_free: memory_free(&read("/proc/meminfo")),
        disk_free: disk.map(|disk| disk.f_bavail * disk.f_frsize).unwrap_or_default(),
    }))
}

/// Digest of the program that runs, which may be another than the one on the disk by now.
fn itself() -> Option<Digest> {
    static ITSELF: OnceLock<Option<Digest>> = OnceLock::new();
    *ITSELF.get_or_init(|| fs::read("/proc/self/exe").ok().map(Digest::of))
}

/// Remembers or forgets something.
pub(crate) fn mark(root: &Root, key: &str, value: Option<Value>) -> Result<Response, Failure> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
    if key.is_empty() || !key.chars().all(fits) {
        return Err(refused(format_args!("`{key}` is not a mark's name")));
    }
    let _changing = crate::connection::lock(&CHANGING);
    let mut marks = marks(root)?;
    match value {
        Some(value) => drop(marks.insert(key.to_owned(), value)),
        None => drop(marks.remove(key)),
    }
    let path = root.at(MARKS);
    let directory = path.parent().expect("marks are in a directory");
    fs::create_dir_all(directory)
        .map_err(|fault| system(format_args!("cannot make `{}`", directory.display()), fault))?;
    let text = serde_json::to_vec_pretty(&marks).expect("marks have string keys");
    files::write(&path, &text, 0o600)?;
    Ok(Response::Done)
}

fn marks(root: &Root) -> Result<BTreeMap<String, Value>, Failure> {
    let path = root.at(MARKS);
    let fault = |fault: &dyn std::fmt::Display| {
        system(format_args!("cannot read `{}`", path.display()), fault)
    };
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| fault(&error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(fault(&error)),
    }
}

fn first_number(text: &str) -> f64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// `MemAvailable` of `/proc/meminfo` in bytes.
fn memory_free(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.map_or(0, |line| first_number(line) as u64 * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_what_the_kernel_calls_available() {
        let text = "MemTotal:  100 kB\nMemFree:  10 kB\nMemAvailable:      42 kB\n";
        assert_eq!(memory_free(text), 42 * 1024);
        assert_eq!(memory_free(""), 0);
    }
}
