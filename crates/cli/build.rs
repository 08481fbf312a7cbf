//! Puts the agent into the binary, when `cargo xtask agent` has built it.
//!
//! The agent has its own profile and target, so it is not built here: a build without it works,
//! and says so when the agent is needed.

#![expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts through the environment"
)]

use std::path::Path;

fn main() {
    // Asked for when it runs: what was there when it was compiled may have moved since.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts");
    let root = Path::new(&here).join("../..");
    let agent = root.join("target/agent/x86_64/updraft-agent");
    println!("cargo:rerun-if-changed={}", agent.display());
    let path = match agent.canonicalize() {
        Ok(agent) => agent,
        Err(_) => {
            let out = std::env::var_os("OUT_DIR").expect("cargo sets it for build scripts");
            let empty = Path::new(&out).join("no-agent");
            std::fs::write(&empty, []).expect("cargo's own folder can be written");
            // A file that is not there yet is noticed through its folder.
            println!("cargo:rerun-if-changed={}", root.join("target/agent").display());
            empty
        }
    };
    println!("cargo:rustc-env=UPDRAFT_AGENT={}", path.display());
}
