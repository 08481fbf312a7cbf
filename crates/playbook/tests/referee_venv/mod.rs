//! The ansible-core that tests compare with, and what both find on this computer.

mod talk;
pub(crate) mod venv;

pub(crate) use venv::ansible;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use updraft_base::{Chance, SeededChance, Timestamp};
use updraft_playbook::config::Config;
use updraft_playbook::template::{Others, Outside, Ran, World};
use updraft_playbook::{Modules, Plugins};

/// This computer as ansible-core sees it, with these environment variables and plugins of the places
/// that `modules` knows.
pub(crate) fn world(env: BTreeMap<String, String>, modules: Option<&Arc<Modules>>) -> Arc<World> {
    let nowhere = || Arc::new(Modules::new(&BTreeMap::new(), None, &Config::default()));
    let modules = modules.map_or_else(nowhere, Arc::clone);
    let plugins = Plugins::new(modules, Arc::new(talk::Starts));
    Arc::new(World {
        dialect: Default::default(),
        differences: None,
        env,
        clock: Arc::new(Clock),
        seed: 1,
        vault: Arc::default(),
        config: Arc::default(),
        commands: Arc::new(Controller(plugins)),
    })
}

struct Clock;

impl updraft_base::Clock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Runs what lookups run.
struct Controller(Plugins);

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

    fn others(&self) -> Option<&dyn Others> {
        Some(&self.0)
    }
}
