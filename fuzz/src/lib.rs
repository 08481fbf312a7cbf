//! What several fuzz targets share: a controller on which nothing happens.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use updraft_base::{Chance, FixedClock, SeededChance, Timestamp};
use updraft_playbook::config::{Config, Here};
use updraft_playbook::inventory::{Inventory, Reading, Said, Scripts};
use updraft_playbook::template::{Outside, Ran, World};
use updraft_playbook::value::Dict;
use updraft_playbook::vault::{Password, Vault};

/// The password of everything that targets encrypt.
pub const PASSWORD: &[u8] = b"letmein";

/// Runs nothing.
struct Nobody;

impl Outside for Nobody {
    fn shell(&self, _command: &str, _directory: &Path) -> Result<Ran, String> {
        Err("nothing is run here".to_owned())
    }

    fn chance(&self) -> Box<dyn Chance> {
        Box::new(SeededChance::new(0))
    }
}

/// A script that says what it is given.
struct Says<'t>(&'t str);

impl Scripts for Says<'_> {
    fn run(&self, _script: &Path, _args: &[&str]) -> Result<Said, String> {
        // Without `_meta` it is asked for each host; then its text is what it says of each.
        Ok(Said { stdout: self.0.to_owned(), stderr: String::new() })
    }
}

/// A world in which nothing can be reached, with these settings.
pub fn world(settings: &[(&str, &str)]) -> Arc<World> {
    let env: BTreeMap<String, String> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let here = Here { env: &env, home: None, cwd: Path::new("/nonexistent") };
    Arc::new(World {
        dialect: Default::default(),
        differences: None,
        config: Arc::new(Config::load(&here).expect("these settings are sound")),
        env,
        clock: Arc::new(FixedClock(Timestamp::UNIX_EPOCH)),
        seed: 0,
        vault: Arc::new(Vault::new(vec![Password::new("default", PASSWORD.to_vec())], false)),
        commands: Arc::new(Nobody),
    })
}

/// Reads a source with one plugin and looks at every host in it.
pub fn inventory(world: &Arc<World>, source: &str, said: &str) {
    let extra_vars = Dict::new();
    let scripts = Says(said);
    let reading = Reading { world, scripts: Some(&scripts), extra_vars: &extra_vars };
    let Ok(inventory) = Inventory::load(&[source.to_owned()], &reading) else { return };
    // Ranges make a million hosts of few letters, and each look is at all of them.
    if inventory.hosts().count() > 1000 {
        return;
    }
    for host in inventory.hosts().take(20) {
        assert!(inventory.contains(host));
        drop(inventory.host_vars(host, &[], None));
        for group in inventory.groups_of(host) {
            assert!(inventory.group_hosts(&group).iter().any(|name| name == host));
        }
    }
}
