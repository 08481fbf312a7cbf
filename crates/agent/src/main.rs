//! The static binary that serves wire on a target.
//!
//! It carries out one request after another, or several at once, and keeps nothing of its own but
//! the identity and the marks of a machine, under `/var/lib/updraft`. It has no listening port:
//! whoever can write to its standard input, or to the host's end of its virtio-serial line, is its
//! master. No secret enters an argument list, an environment or a log.
//!
//! Never here: deciding what should be done, an async runtime, a configuration file.

mod becoming;
mod blobs;
mod clock;
mod connection;
mod exec;
mod expand;
mod failure;
mod files;
mod foreign;
mod freeze;
mod identity;
mod job;
mod module;
mod observe;
mod outbox;
mod peer;
mod port;
mod power;
mod probe;
mod root;
mod serve;
mod staging;
mod time;
mod workers;

use root::Root;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: updraft-agent serve --stdio [--announce] [--root DIR]
       updraft-agent serve --port PATH [--root DIR]
       updraft-agent await-identity [--root DIR]
       updraft-agent job
       updraft-agent digest
       updraft-agent version

The agent of updraft. It is started by updraft and by nobody else.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Usage) => {
            tell(USAGE);
            ExitCode::from(2)
        }
        Err(Stop::Fault(fault)) => {
            tell(&format!("updraft-agent: {fault}\n"));
            ExitCode::FAILURE
        }
    }
}

enum Stop {
    Usage,
    Fault(String),
}

fn run(words: &[&str]) -> Result<(), Stop> {
    let (command, mut rest) = words.split_first().ok_or(Stop::Usage)?;
    let mut root = Root::system();
    let mut stdio = false;
    let mut announce = false;
    let mut port = None;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        let mut value = || {
            let (value, after) = rest.split_first().ok_or(Stop::Usage)?;
            rest = after;
            Ok(PathBuf::from(value))
        };
        match *word {
            "--stdio" => stdio = true,
            "--announce" => announce = true,
            "--port" => port = Some(value()?),
            "--root" => root = Root::below(value()?),
            _ => return Err(Stop::Usage),
        }
    }
    match (*command, port, stdio) {
        ("serve", None, true) => {
            serve::stdio(root, announce);
            Ok(())
        }
        ("serve", Some(path), false) => serve::port(root, &path).map_err(Stop::Fault),
        ("job", None, false) => job::run().map_err(Stop::Fault),
        ("await-identity", None, false) => identity::wait(&root).map_err(Stop::Fault),
        ("digest", None, false) => digest(),
        ("version", None, false) => {
            let version = env!("CARGO_PKG_VERSION");
            say(&format!("updraft-agent {version} wire {}\n", updraft_wire::VERSION))
        }
        _ => Err(Stop::Usage),
    }
}

/// Says the digest of this very program.
///
/// Who brings us here asks before it starts us. The host's `sha256sum` would say the same, but
/// Debian's makes no use of what processors have for it: 28 ms for 4.8 MB where this takes 4 ms.
fn digest() -> Result<(), Stop> {
    let fault = |fault: std::io::Error| Stop::Fault(format!("cannot read myself: {fault}"));
    let mut content = std::fs::File::open("/proc/self/exe").map_err(fault)?;
    // In pieces, since memory for all of it would cost as much as the hashing.
    let mut piece = vec![0; 64 << 10];
    let mut hasher = updraft_base::Hasher::default();
    loop {
        match content.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => hasher.update(&piece[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fault(error)),
        }
    }
    say(&format!("{}\n", hasher.finish()))
}

/// Says something to whoever asked.
fn say(text: &str) -> Result<(), Stop> {
    let said = std::io::stdout().write_all(text.as_bytes());
    said.map_err(|fault| Stop::Fault(fault.to_string()))
}

/// Says something to whoever reads our standard error: an operator's terminal or the journal.
fn tell(text: &str) {
    // If nobody can be told, there is nobody to tell that either.
    drop(std::io::stderr().write_all(text.as_bytes()));
}
