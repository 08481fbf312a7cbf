//! Becoming another program: for `ssh` and the like, which want the terminal to themselves.
#![expect(clippy::disallowed_methods, reason = "this crate is where processes are started")]

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;

/// Replaces this process by another program, with our terminal and environment. Returns only when
/// that failed.
pub fn replace_process(program: &str, args: &[impl AsRef<OsStr>]) -> io::Error {
    std::process::Command::new(program).args(args).exec()
}
