//! Building the agent: one static binary, on its own, because its profile and its flags are not
//! those of the rest.

use crate::release::cargo_build;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::io::{Write as _, stderr};
use std::path::Path;

/// The one target whose standard library every installed toolchain has.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the agent into `target/agent/x86_64/updraft-agent`.
pub(crate) fn build(root: &Path) -> Result<()> {
    // Given here and not in a file, so that it changes nothing for other builds.
    let flags = format!("target.{TARGET}.rustflags=[\"-Ctarget-feature=+crt-static\"]");
    let words = ["--profile", "agent", "--package", "updraft-agent", "--target", TARGET];
    cargo_build(root, words.into_iter().chain(["--config", flags.as_str()]))?;
    let built = root.join("target").join(TARGET).join("agent/updraft-agent");
    ensure_static(&built)?;
    let place = root.join("target/agent/x86_64");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let place = place.join("updraft-agent");
    writeln!(stderr(), "agent: {} ({} bytes)", place.display(), fs::metadata(&built)?.len())?;
    // The program that embeds it is built again whenever this file is newer.
    if fs::read(&place).is_ok_and(|there| fs::read(&built).is_ok_and(|fresh| there == fresh)) {
        return Ok(());
    }
    // Renamed into place, because somebody may be running or reading the old one.
    let beside = place.with_extension("new");
    let put = fs::copy(&built, &beside).and_then(|_| fs::rename(&beside, &place));
    put.with_context(|| format!("cannot write {}", place.display()))
}

/// Refuses a binary that would need a loader or libraries on the target.
fn ensure_static(binary: &Path) -> Result<()> {
    let bytes = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    ensure!(!asks_for_a_loader(&bytes), "{} is not static", binary.display());
    Ok(())
}

/// Whether an ELF file of 64 bits and little endian has a program header of type PT_INTERP
/// (System V ABI, chapter 5). Whatever is no such file counts as asking.
fn asks_for_a_loader(elf: &[u8]) -> bool {
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let headers = || {
        let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count).map(|index| number(start + index * size, 4)).collect::<Option<Vec<_>>>()
    };
    !elf.starts_with(b"\x7fELF\x02\x01") || headers().is_none_or(|types| types.contains(&3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(types: &[u8]) -> Vec<u8> {
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[32], elf[54], elf[56]) = (64, 56, types.len() as u8);
        for kind in types {
            elf.push(*kind);
            elf.extend_from_slice(&[0; 55]);
        }
        elf
    }

    #[test]
    fn only_a_whole_program_without_a_loader_counts_as_static() {
        assert!(!asks_for_a_loader(&elf(&[1, 2])));
        assert!(asks_for_a_loader(&elf(&[1, 3])));
        assert!(asks_for_a_loader(&elf(&[1])[..66]));
        assert!(asks_for_a_loader(b"#!/bin/sh\n"));
    }
}
