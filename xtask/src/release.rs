//! The release: the agent, and the program that carries it.

#![expect(clippy::disallowed_methods, reason = "xtask runs cargo, where no updraft_host is needed")]

use crate::agent;
use anyhow::{Context as _, Result, anyhow, ensure};
use std::path::Path;
use std::process::Command;

/// The program. It embeds the agent, so it is compiled when everything else is there.
const PROGRAM: &str = "updraft";

/// The crate below it, which all others of the program are below.
const REST: &str = "updraft-control";

/// Builds the agent, and beside it all that the program is made of; then the program. One after the
/// other they leave a processor idle for half a minute: the end of the agent's build is one long
/// step of the linker.
pub(crate) fn build(root: &Path) -> Result<()> {
    std::thread::scope(|scope| {
        let agent = scope.spawn(|| agent::build(root));
        // Named with the program, because it decides on features of what both are built on.
        let rest = cargo_build(root, ["--release", "--lib", "-p", REST, "-p", PROGRAM]);
        agent.join().map_err(|_| anyhow!("the build of the agent panicked"))?.and(rest)
    })?;
    cargo_build(root, ["--release", "-p", PROGRAM])
}

/// Runs `cargo build` with the committed lock file.
pub(crate) fn cargo_build<'w>(root: &Path, words: impl IntoIterator<Item = &'w str>) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build =
        Command::new(cargo).current_dir(root).args(["build", "--locked"]).args(words).status();
    ensure!(build.context("cannot run cargo")?.success(), "it does not build");
    Ok(())
}
