//! The ansible-core that tests compare with, and what both find on this computer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use updraft_base::{Chance, SeededChance};
use updraft_playbook::template::{Outside, Ran};

const VERSION: &str = "2.19.14";

/// The directory with ansible-core's programs.
pub(crate) fn ansible() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let venv = target.join(format!("ansible-core-{VERSION}"));
        let (python, ready) = (venv.join("bin/python"), venv.join("ready"));
        if !ready.exists() {
            let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).status();
            assert!(made.expect("python3 runs").success(), "needs python3 with venv");
            let package = format!("ansible-core=={VERSION}");
            let pip = Command::new(&python).args(["-m", "pip", "install", "-q", &package]).status();
            assert!(pip.expect("pip runs").success(), "needs an index that has {package}");
            fs::write(&ready, "").unwrap();
        }
        venv.join("bin")
    })
}

/// This computer, for what lookups run.
pub(crate) struct Controller;

impl Outside for Controller {
    fn shell(&self, command: &str, directory: &Path) -> Result<Ran, String> {
        let out = Command::new("/bin/sh").args(["-c", command]).current_dir(directory).output();
        let out = out.map_err(|error| error.to_string())?;
        let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
        Ok(Ran { stdout, status: out.status.code().unwrap_or(-1) })
    }

    fn chance(&self) -> Box<dyn Chance> {
        Box::new(SeededChance::new(1))
    }
}
