//! Chores of this repository that are code: its rules, and the agent's own build.
//!
//! Run as `cargo xtask COMMAND`. Never here: anything the `updraft` program needs at run time.

mod agent;
mod release;
mod tidy;

use anyhow::{Result, bail};
use std::io::{Write as _, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  build          build the agent, and the program with the agent inside, as a release
  agent          build the agent into target/agent/x86_64/updraft-agent
  tidy           check the rules of the repository; exit 1 if one is broken
  tidy --edges   print the edges block of ARCHITECTURE.md as the manifests have it
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => code,
        Err(error) => {
            drop(writeln!(stderr(), "xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<ExitCode> {
    match words {
        ["build"] => {
            release::build(&root())?;
            Ok(ExitCode::SUCCESS)
        }
        ["agent"] => {
            agent::build(&root())?;
            Ok(ExitCode::SUCCESS)
        }
        ["tidy"] => check_rules(),
        ["tidy", "--edges"] => {
            write!(stdout(), "{}", tidy::edges_of(&tidy::packages(&root())?))?;
            Ok(ExitCode::SUCCESS)
        }
        ["help" | "--help" | "-h"] => {
            write!(stdout(), "{USAGE}")?;
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("unknown command `{}`\n{USAGE}", words.join(" ")),
    }
}

fn check_rules() -> Result<ExitCode> {
    let report = tidy::check(&root())?;
    for note in &report.notes {
        writeln!(stderr(), "note: {note}")?;
    }
    for fault in &report.faults {
        writeln!(stdout(), "{fault}")?;
    }
    writeln!(stderr(), "tidy: {} files, {} faults", report.files, report.faults.len())?;
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The checkout this program was built from.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
