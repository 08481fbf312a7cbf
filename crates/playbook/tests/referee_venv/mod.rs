//! The ansible-core that tests compare with, and what both find on this computer.

pub(crate) mod venv;

pub(crate) use venv::ansible;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use updraft_base::{Chance, SeededChance, Timestamp};
use updraft_playbook::template::{Outside, Ran, World};

/// This computer as ansible-core sees it, with these environment variables.
pub(crate) fn world(env: BTreeMap<String, String>) -> Arc<World> {
    Arc::new(World {
        dialect: Default::default(),
        differences: None,
        env,
        clock: Arc::new(Clock),
        seed: 1,
        vault: Arc::default(),
        config: Arc::default(),
        commands: Arc::new(Controller),
    })
}

struct Clock;

impl updraft_base::Clock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Runs what lookups run.
struct Controller;

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
