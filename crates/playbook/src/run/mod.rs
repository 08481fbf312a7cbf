//! Playbooks on hosts: the linear strategy.
//!
//! Each task runs on all hosts of a batch at once, bounded by the number of forks, before the next
//! begins. Modules run through sessions that somebody hands in; waiting and asking are handed in
//! too.
//!
//! Never here: opening connections, starting processes, printing.

mod actions;
mod execute;
mod files;
mod foreign;
mod handlers;
mod include;
mod items;
mod outcome;
mod plays;
mod programs;
mod reach;
mod remote;
mod sources;
mod state;
mod strategy;
mod tags;
mod vars;

pub use reach::{HostTarget, Operator, Reach, ReachError};

use crate::fault::Faults;
use crate::inventory::{Inventory, VarsDir};
use crate::output::{Event, Recap, Sink};
use crate::parse::Playbook;
use crate::value::Dict;
use state::Shared;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;
use updraft_base::Secret;

/// How to run.
#[derive(Clone)]
pub struct RunOptions {
    /// Variables that outrank all others.
    pub extra_vars: Dict,
    /// Only tasks with one of these tags; empty means all.
    pub tags: Vec<String>,
    /// No tasks with one of these tags.
    pub skip_tags: Vec<String>,
    /// Only hosts of this pattern.
    pub limit: Option<String>,
    /// Change nothing, say what would be changed.
    pub check: bool,
    /// Have modules tell how files change.
    pub diff: bool,
    /// How many hosts at once.
    pub forks: usize,
    /// Become another user where a play does not say.
    pub become_it: bool,
    /// Whom to become where a play does not say.
    pub become_user: Option<String>,
    /// How to become where a play does not say.
    pub become_method: Option<String>,
    /// Password for becoming.
    pub become_password: Option<Secret<String>>,
    /// Log in as this user where nothing else says.
    pub remote_user: Option<String>,
    /// How to connect where nothing else says: `ssh` or `local`.
    pub connection: Option<String>,
    /// Run notified handlers on hosts that failed, too, whatever the play says.
    pub force_handlers: bool,
    /// `-v` so many times; only for `ansible_verbosity` and `debug`.
    pub verbosity: u8,
    /// How long a module may take before its host counts as lost.
    pub deadline: Duration,
}

impl RunOptions {
    /// What `ansible-playbook` does without options.
    pub fn ordinary() -> Self {
        Self {
            extra_vars: Dict::new(),
            tags: Vec::new(),
            skip_tags: Vec::new(),
            limit: None,
            check: false,
            diff: false,
            forks: 5,
            become_it: false,
            become_user: None,
            become_method: None,
            become_password: None,
            remote_user: None,
            connection: None,
            force_handlers: false,
            verbosity: 0,
            // Package upgrades and image downloads take their time; a day is not work any more.
            deadline: Duration::from_secs(24 * 3600),
        }
    }
}

impl Playbook {
    /// Runs every play and tells what happens.
    ///
    /// # Errors
    /// When the variables beside the inventory or the playbook cannot be read, or a pattern of
    /// hosts makes no sense; then nothing was changed. What goes wrong later is in the [`Recap`].
    pub async fn run(
        &self,
        inventory: &Inventory,
        reach: &dyn Reach,
        operator: &dyn Operator,
        options: &RunOptions,
        sink: &dyn Sink,
    ) -> Result<Recap, Faults> {
        let beside = inventory.read_beside(&self.loader.world.vault).map_err(Faults)?;
        let mut dirs: HashMap<PathBuf, VarsDir> = HashMap::new();
        let mut faults = Vec::new();
        for play in &self.plays {
            if !dirs.contains_key(&play.dir) {
                match VarsDir::read(&play.dir, &self.loader.world.vault) {
                    Ok(dir) => {
                        dirs.insert(play.dir.clone(), dir);
                    }
                    Err(more) => faults.extend(more),
                }
            }
        }
        Faults::check(faults)?;
        for warning in &self.warnings {
            sink.event(Event::Warning(warning.to_string()));
        }
        let shared = Arc::new(Shared {
            inventory: RwLock::new(inventory.clone()),
            hosts: RwLock::default(),
            beside,
            dirs,
            world: Arc::clone(&self.loader.world),
            modules: Arc::clone(&self.loader.modules),
            extra_vars: options.extra_vars.clone(),
            options: options.clone(),
            stats: Mutex::default(),
        });
        let mut runner =
            plays::Runner { playbook: self, shared, reach, operator, sink, options, broken: None };
        runner.all().await;
        let mut recap = runner.shared.recap();
        recap.broken = runner.broken;
        sink.event(Event::Ended(recap.clone()));
        Ok(recap)
    }

    /// The hosts of each play, without running anything.
    ///
    /// # Errors
    /// When a pattern of hosts makes no sense.
    pub fn hosts_of_plays(
        &self,
        inventory: &Inventory,
        options: &RunOptions,
    ) -> Result<Vec<Vec<String>>, Faults> {
        plays::hosts_of_plays(self, inventory, options)
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
