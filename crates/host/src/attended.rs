//! Programs that a person is at: editors, pagers, scripts that know a password.
//!
//! They have our terminal, our standard input and our environment, and no deadline: people take
//! their time, and whoever asked can stop them.
#![expect(clippy::disallowed_methods, reason = "this crate is where processes are started")]

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Output, Stdio};

/// Runs a program to its end. Its exit status, `128 + n` after signal `n`.
///
/// # Errors
/// When it cannot be started.
pub fn attended(program: impl AsRef<OsStr>, args: &[impl AsRef<OsStr>]) -> io::Result<i32> {
    Command::new(program).args(args).status().map(code)
}

/// Runs a program and keeps its standard output. What it says on standard error is seen by the
/// person, unless `quiet`: then it is kept too.
///
/// # Errors
/// When it cannot be started.
pub fn attended_output(
    program: impl AsRef<OsStr>,
    args: &[impl AsRef<OsStr>],
    quiet: bool,
) -> io::Result<(i32, Vec<u8>, Vec<u8>)> {
    let errors = if quiet { Stdio::piped() } else { Stdio::inherit() };
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()?;
    let Output { status, stdout, stderr } = child.wait_with_output()?;
    Ok((code(status), stdout, stderr))
}

/// Gives bytes to a program that shows them, such as a pager.
///
/// # Errors
/// When it cannot be started.
pub fn attended_input(
    program: impl AsRef<OsStr>,
    args: &[impl AsRef<OsStr>],
    input: &[u8],
) -> io::Result<i32> {
    let mut child = Command::new(program).args(args).stdin(Stdio::piped()).spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // A pager that is left early wants no more of it.
        drop(io::Write::write_all(&mut pipe, input));
    }
    child.wait().map(code)
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
