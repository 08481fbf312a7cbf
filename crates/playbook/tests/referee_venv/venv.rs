//! The ansible-core that tests compare with: made once, kept below the build directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const VERSION: &str = "2.19.14";

/// The directory with ansible-core's programs.
pub(crate) fn ansible() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| installed(VERSION))
}

/// The same of another version.
pub(crate) fn installed(version: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let venv = target.join(format!("ansible-core-{version}"));
    let (python, ready) = (venv.join("bin/python"), venv.join("ready"));
    if !ready.exists() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).status();
        assert!(made.expect("python3 runs").success(), "needs python3 with venv");
        let package = format!("ansible-core=={version}");
        let pip = Command::new(&python).args(["-m", "pip", "install", "-q", &package]).status();
        assert!(pip.expect("pip runs").success(), "needs an index that has {package}");
        fs::write(&ready, "").unwrap();
    }
    venv.join("bin")
}
