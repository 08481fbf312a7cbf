//! Playbooks on hosts: the linear strategy.
//!
//! Each task runs on all hosts of a batch at once, bounded by the number of forks, before the next
//! begins. Modules run through sessions that somebody hands in; waiting and asking are handed in
//! too.
//!
//! Never here: opening connections, starting processes, printing.

mod actions;
mod ahead;
mod args;
mod cache;
mod content;
mod count;
mod debugger;
mod execute;
mod explain;
mod failure;
mod fetch;
mod files;
mod following;
mod foreign;
mod free;
mod handlers;
mod include;
mod items;
mod jobs;
mod judge;
mod keywords;
mod listing;
mod meta;
mod outcome;
mod plays;
mod programs;
mod reach;
mod reboot;
mod remote;
mod sources;
mod state;
mod strategy;
mod synchronize;
mod tags;
mod tree;
mod vars;

pub(crate) use actions::OF_GATHER_FACTS;
pub use listing::Listing;
pub use reach::{HostTarget, Operator, Reach, ReachError};

use crate::fault::Faults;
use crate::inventory::{Inventory, VarsDir};
use crate::output::{Event, Recap, Sink};
use crate::parse::Playbook;
use crate::value::Dict;
use state::{Shared, Turns};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
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
    /// Whoever is told what happens shows of a result that went well only whether it changed
    /// something, and its diff. Modules may then leave out what takes them time to find.
    pub brief: bool,
    /// How long a module may take before its host counts as lost.
    pub deadline: Duration,
    /// How hosts go through the tasks of a play that does not say: `linear`, `free`, `host_pinned`.
    pub strategy: String,
    /// Whether plays that do not say so gather facts.
    pub gathering: Gathering,
    /// One failure ends a play for all of its hosts, where a play does not say.
    pub any_errors_fatal: bool,
    /// A task that notifies a handler that is nowhere ends the run; otherwise it is a warning.
    pub error_on_missing_handler: bool,
    /// Forget the facts of hosts that earlier runs kept.
    pub flush_cache: bool,
    /// Show nothing of any result, where a task does not say.
    pub no_log: bool,
    /// How long a task may take where it does not say, in seconds; 0 is for ever.
    pub task_timeout: u64,
    /// Begin at the task of this name, wildcards allowed.
    pub start_at: Option<String>,
    /// Ask before each task.
    pub step: bool,
    /// Ask what to do about each task that fails, where nothing says otherwise.
    pub debugger: bool,
    /// Say of a task that cannot be settled where its variables come from.
    pub explain: bool,
    /// Tell how each task went as a whole, too ([`Event::Settled`](crate::output::Event)).
    pub settled: bool,
    /// Reads the inventory anew, for `meta: refresh_inventory`.
    pub refresh: Option<Refresh>,
}

/// Reads an inventory.
pub type Refresh = Arc<dyn Fn() -> Result<Inventory, Faults> + Send + Sync>;

/// Whether plays gather facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gathering {
    /// Each does that does not say no.
    Implicit,
    /// Only those that say so.
    Explicit,
    /// Each, from hosts that have none yet.
    Smart,
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
            brief: false,
            // Package upgrades and image downloads take their time; a day is not work any more.
            deadline: Duration::from_secs(24 * 3600),
            strategy: "linear".to_owned(),
            gathering: Gathering::Implicit,
            any_errors_fatal: false,
            error_on_missing_handler: true,
            flush_cache: false,
            no_log: false,
            task_timeout: 0,
            start_at: None,
            step: false,
            debugger: false,
            explain: false,
            settled: false,
            refresh: None,
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
        let world = &self.loader.world;
        let beside = inventory.read_beside(&world.vault).map_err(Faults)?;
        let mut dirs: HashMap<PathBuf, VarsDir> = HashMap::new();
        let mut faults = Vec::new();
        for play in &self.plays {
            if !dirs.contains_key(&play.dir) {
                match VarsDir::read(&play.dir, &world.vault, world.config.merges()) {
                    Ok(dir) => {
                        dirs.insert(play.dir.clone(), dir);
                    }
                    Err(more) => faults.extend(more),
                }
            }
        }
        Faults::check(faults)?;
        // What cannot be decrypted matters to the hosts that it is about.
        let named: Vec<String> = match plays::hosts_of_plays(self, inventory, options) {
            Ok(hosts) => hosts.into_iter().flatten().collect(),
            Err(_) => inventory.hosts().map(str::to_owned).collect(),
        };
        let read: Vec<&VarsDir> = beside.iter().chain(dirs.values()).collect();
        Faults::check(inventory.sealed_for(named.iter().map(String::as_str), &read))?;
        for fault in inventory.sealed_for(inventory.hosts(), &read) {
            sink.event(Event::Warning(crate::output::warning_text(&fault)));
        }
        for warning in &self.warnings {
            sink.event(Event::Warning(crate::output::warning_text(warning)));
        }
        let (cache, warning) = cache::FactCache::of(&self.loader.world.config);
        if let Some(warning) = warning {
            sink.event(Event::Warning(warning));
        }
        if let (Some(cache), true) = (&cache, options.flush_cache) {
            inventory.hosts().for_each(|host| cache.forget(host));
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
            start_at: Mutex::new(options.start_at.clone()),
            stepping: AtomicBool::new(options.step),
            talk: tokio::sync::Mutex::default(),
            turns: Turns::new(options.forks),
            changes: Mutex::default(),
            digests: content::Digests::default(),
            cache,
        });
        let mut runner = plays::Runner {
            playbook: self,
            shared,
            reach,
            operator,
            sink,
            options,
            broken: None,
            verdict: 0,
        };
        runner.all().await;
        let mut recap = runner.shared.recap();
        recap.broken = runner.broken;
        recap.verdict = Some(runner.verdict);
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
