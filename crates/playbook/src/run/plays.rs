//! Plays one after the other: which hosts, in which batches, with which variables.

use super::RunOptions;
use super::execute::{Crew, number, truth};
use super::free::FreeSink;
use super::reach::{Operator, Reach};
use super::state::Shared;
use super::strategy::{Batch, Flow, Lost};
use super::vars::{PlayVars, TaskScope};
use crate::fault::{Faults, LoadFault};
use crate::inventory::{Inventory, is_localhost, read_vars};
use crate::output::{Broken, Event, Sink};
use crate::parse::tree::{Common, Node, Play, Prompt, Role};
use crate::parse::{Playbook, in_order};
use crate::template::{Context, Expression, Fault, NoScope};
use crate::value::{Dict, Key, Value};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

/// What is wrong with a play as such.
pub(super) type PlayFault = String;

/// How the hosts of a play go through its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    /// In step.
    Linear,
    /// Each for itself.
    Free,
    /// Each for itself, and no more of them begun than there are forks.
    HostPinned,
}

impl Strategy {
    fn of(name: &str) -> Result<Self, PlayFault> {
        match crate::parse::catalog::short(name) {
            // The debug strategy is the linear one, with the debugger for what fails.
            "linear" | "debug" => Ok(Self::Linear),
            "free" => Ok(Self::Free),
            "host_pinned" => Ok(Self::HostPinned),
            other => Err(format!("Invalid play strategy specified: {other}")),
        }
    }
}

/// Runs plays.
pub(super) struct Runner<'r> {
    pub(super) playbook: &'r Playbook,
    pub(super) shared: Arc<Shared>,
    pub(super) reach: &'r dyn Reach,
    pub(super) operator: &'r dyn Operator,
    pub(super) sink: &'r dyn Sink,
    pub(super) options: &'r RunOptions,
    pub(super) broken: Option<Broken>,
    /// The exit code for hosts that are lost in the end.
    pub(super) verdict: u8,
}

/// The hosts a play is for, with the limit applied.
fn hosts_of(
    pattern: &str,
    inventory: &Inventory,
    limit: Option<&str>,
) -> Result<Vec<String>, String> {
    let hosts = inventory.hosts_matching(pattern)?;
    match limit {
        Some(limit) => inventory.limited(hosts, limit),
        None => Ok(hosts),
    }
}

fn pattern_of(value: &Value, context: &Context) -> Result<String, Fault> {
    let value = context.finish(value)?;
    Ok(match value.as_list() {
        Some(items) => items.iter().map(Value::to_text).collect::<Vec<_>>().join(","),
        None => value.to_text(),
    })
}

pub(super) fn hosts_of_plays(
    playbook: &Playbook,
    inventory: &Inventory,
    options: &RunOptions,
) -> Result<Vec<Vec<String>>, Faults> {
    let mut all = Vec::new();
    for play in &playbook.plays {
        let context = play_context(playbook, play, options);
        let pattern = pattern_of(&play.hosts, &context)
            .map_err(|fault| LoadFault::at(play.origin.clone(), fault.what))?;
        let hosts = hosts_of(&pattern, inventory, options.limit.as_deref())
            .map_err(|what| LoadFault::at(play.origin.clone(), what))?;
        all.push(hosts);
    }
    Ok(all)
}

/// What is known of a play without any host.
pub(super) fn play_context(playbook: &Playbook, play: &Play, options: &RunOptions) -> Context {
    let mut vars = play.vars.clone();
    vars.extend(options.extra_vars.clone());
    let bare = Context { scope: Arc::new(NoScope), world: Arc::clone(&playbook.loader.world) };
    bare.with(Arc::new(Plain(vars)))
}

struct Plain(Dict);

impl crate::template::Scope for Plain {
    fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0.keys().filter_map(Key::as_str).map(Arc::from).collect()
    }
}

impl Runner<'_> {
    pub(super) async fn all(&mut self) {
        let gone = Lost::default();
        self.plays(&gone).await;
        let nowhere = self.shared.start_at.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = nowhere {
            self.sink.event(Event::Fault(LoadFault::bare(format!(
                "No matching task \"{task}\" found. Note: --start-at-task can only follow static includes."
            ))));
        }
        let gone = gone.lock().unwrap_or_else(PoisonError::into_inner);
        self.verdict = if gone.values().any(|flow| *flow == Flow::Gone) {
            4
        } else if gone.is_empty() {
            0
        } else {
            2
        };
    }

    /// One playbook after the other, up to the first that loses a host.
    async fn plays(&mut self, gone: &Lost) {
        let mut index = 0;
        for (file, count) in &self.playbook.parts {
            self.sink.event(Event::PlaybookBegan { file: file.clone(), plays: *count });
            let plays = &self.playbook.plays[index..index + count];
            index += count;
            let mut ended = false;
            for play in plays.iter().map(Arc::clone) {
                match self.play(&play, gone).await {
                    Ok(true) => {}
                    Ok(false) => {
                        ended = true;
                        break;
                    }
                    Err(broken) => {
                        self.sink.event(Event::Fault(broken.fault.clone()));
                        self.broken = Some(broken);
                        return;
                    }
                }
            }
            let lost = gone.lock().unwrap_or_else(PoisonError::into_inner);
            if !lost.is_empty() {
                self.keep_for_retry(Path::new(file), lost.keys().map(String::as_str).collect());
            }
            self.sink.event(Event::Ended(self.shared.recap()));
            if ended || !lost.is_empty() {
                return;
            }
        }
    }

    /// Writes down who is to be tried again, where the settings want that.
    fn keep_for_retry(&self, playbook: &Path, mut names: Vec<&str>) {
        let config = &self.shared.world.config;
        if !*config.retry_files_enabled {
            return;
        }
        names.sort_unstable();
        let playbook = std::path::absolute(playbook).unwrap_or_else(|_| playbook.to_path_buf());
        let folder = match config.retry_files_save_path.as_deref() {
            Some(folder) => PathBuf::from(folder),
            None => playbook.parent().unwrap_or(Path::new("/")).to_path_buf(),
        };
        let file = folder.join(playbook.with_extension("retry").file_name().unwrap_or_default());
        let written = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&file, names.join("\n") + "\n"));
        let file = file.display();
        self.sink.event(match written {
            Ok(()) => Event::Said(format!("\tto retry, use: --limit @{file}")),
            Err(error) => Event::Warning(format!("Could not create retry file '{file}'. {error}")),
        });
    }

    /// One play. `false` when the run ends with it.
    async fn play(&mut self, play: &Play, gone: &Lost) -> Result<bool, Broken> {
        let here = |what: PlayFault| Broken::new(LoadFault::at(play.origin.clone(), what));
        let known = play_context(self.playbook, play, self.options);
        let prompted = self.prompts(play, &known).await.map_err(here)?;
        let pattern = pattern_of(&play.hosts, &known).map_err(|fault| here(fault.what))?;
        let name = match &play.name {
            Some(name) => {
                known.text(name).unwrap_or_else(|_| name.as_str().unwrap_or_default().to_owned())
            }
            None => pattern.clone(),
        };
        let mut hosts = {
            let inventory = self.shared.inventory();
            let how = &self.shared.world.config.host_pattern_mismatch;
            for said in inventory.mismatches(&pattern, how).map_err(here)? {
                self.sink.event(Event::Warning(said));
            }
            let mut hosts =
                hosts_of(&pattern, &inventory, self.options.limit.as_deref()).map_err(here)?;
            // A limit cannot take this computer away from a play that is only for it.
            if hosts.is_empty() && is_localhost(&pattern) && self.options.limit.is_none() {
                hosts.push(pattern.clone());
            }
            hosts
        };
        self.order(play, &known, &mut hosts).map_err(here)?;
        let strategy = match &play.strategy {
            Some(value) => known.text(value).map_err(|fault| here(fault.what))?,
            None => self.options.strategy.clone(),
        };
        let debugged = crate::parse::catalog::short(&strategy) == "debug";
        let strategy = Strategy::of(&strategy).map_err(here)?;
        let check = self.options.check;
        let origin = Some(play.origin.clone());
        let began = Event::PlayBegan { name: name.clone(), check, origin };
        self.sink.event(began.clone());
        if hosts.is_empty() {
            self.sink.event(Event::NoHostsMatched);
            return Ok(true);
        }
        let all = hosts.clone();
        let batches = self.batches(play, &known, hosts).map_err(here)?;
        let roles = in_order(&play.roles);
        let mut role_defaults = Dict::new();
        let mut role_vars = Dict::new();
        let config = &self.shared.world.config;
        for used in roles.iter().filter(|used| used.role.public) {
            config.lay_over(&mut role_defaults, &used.role.defaults.all(config));
            config.lay_over(&mut role_vars, &used.role.vars.all(config));
        }
        let mut role_names: Vec<String> = play.roles.iter().map(|used| used.role.full()).collect();
        let mut needed_names = Vec::new();
        play.roles.iter().for_each(|used| used.needs(&mut needed_names));
        // A role that is imported anywhere in the play shows its variables to all of it.
        let mut imported = Vec::new();
        let lists = [&play.pre_tasks, &play.tasks, &play.post_tasks, &play.handlers];
        lists.into_iter().for_each(|nodes| imported_roles(nodes, &mut imported));
        roles.iter().for_each(|used| imported_roles(&used.tasks, &mut imported));
        for role in imported {
            if role.public {
                config.lay_over(&mut role_defaults, &role.defaults.all(config));
                config.lay_over(&mut role_vars, &role.vars.all(config));
            }
            let names = if role.pulled { &mut role_names } else { &mut needed_names };
            names.push(role.full());
        }
        for (index, batch) in batches.into_iter().enumerate() {
            if index > 0 {
                self.sink.event(began.clone());
            }
            let vars = Arc::new(PlayVars {
                dir: play.dir.clone(),
                name: name.clone(),
                vars: play.vars.clone(),
                prompted: prompted.clone(),
                role_defaults: role_defaults.clone(),
                role_vars: role_vars.clone(),
                role_names: role_names.clone(),
                needed_names: needed_names.clone(),
                debugged,
                none: false,
                batch: batch.clone(),
                all: all.clone(),
            });
            // Hosts that are lost are counted, though they take part no more.
            let size = batch.len();
            let batch: Vec<String> = {
                let gone = gone.lock().unwrap_or_else(PoisonError::into_inner);
                batch.into_iter().filter(|host| !gone.contains_key(host)).collect()
            };
            if batch.is_empty() {
                continue;
            }
            let crew = Crew {
                shared: &self.shared,
                reach: self.reach,
                operator: self.operator,
                sink: self.sink,
            };
            let (ends, ended) = match strategy {
                Strategy::Linear => {
                    let lost = Arc::clone(gone);
                    let mut run = Batch::new(crew, self.playbook, play, vars, batch, lost, false)
                        .map_err(here)?;
                    run.all().await?;
                    (run.ends(), run.play_ended)
                }
                _ => {
                    let run = self.freely(crew, play, vars, batch, gone, strategy);
                    run.boxed().await?
                }
            };
            let mut lost = 0;
            for (host, flow) in ends {
                if matches!(flow, Flow::Failed | Flow::Gone) {
                    gone.lock().unwrap_or_else(PoisonError::into_inner).insert(host, flow);
                    lost += 1;
                }
            }
            if lost == size {
                return Ok(false);
            }
            if ended {
                break;
            }
        }
        Ok(true)
    }

    /// The hosts of a batch, each for itself.
    async fn freely(
        &self,
        crew: Crew<'_>,
        play: &Play,
        vars: Arc<PlayVars>,
        hosts: Vec<String>,
        gone: &Lost,
        strategy: Strategy,
    ) -> Result<(Vec<(String, Flow)>, bool), Broken> {
        let here = |what: PlayFault| Broken::new(LoadFault::at(play.origin.clone(), what));
        if play.max_fail_percentage.is_some() {
            let text = "Using max_fail_percentage with the free strategy is not supported, as tasks are executed independently on each host";
            self.sink.event(Event::Warning(text.to_owned()));
        }
        let last = std::sync::Mutex::default();
        let sinks: Vec<FreeSink<'_>> =
            hosts.iter().map(|_| FreeSink::new(self.sink, &last)).collect();
        let over = Arc::default();
        let mut runs = Vec::new();
        for (host, sink) in hosts.into_iter().zip(&sinks) {
            let crew = Crew { sink, ..crew };
            let (vars, lost) = (Arc::clone(&vars), Arc::clone(gone));
            let mut run = Batch::new(crew, self.playbook, play, vars, vec![host], lost, true)
                .map_err(here)?;
            run.over = Arc::clone(&over);
            runs.push(run);
        }
        let width = match strategy {
            Strategy::HostPinned => self.options.forks.max(1),
            _ => runs.len(),
        };
        let runs: Vec<BoxFuture<'_, _>> = runs.into_iter().map(|run| alone(run).boxed()).collect();
        let ran: Vec<_> = stream::iter(runs).buffer_unordered(width).collect().await;
        let mut ends = Vec::new();
        let mut ended = false;
        for one in ran {
            let (more, over) = one?;
            ends.extend(more);
            ended |= over;
        }
        Ok((ends, ended))
    }

    fn order(&self, play: &Play, known: &Context, hosts: &mut [String]) -> Result<(), String> {
        let Some(order) = &play.order else { return Ok(()) };
        match known.text(order).map_err(|fault| fault.what)?.as_str() {
            "inventory" => {}
            "reverse_inventory" => hosts.reverse(),
            "sorted" => hosts.sort(),
            "reverse_sorted" => {
                hosts.sort();
                hosts.reverse();
            }
            "shuffle" => {
                let mut chance = updraft_base::SeededChance::new(self.shared.world.seed);
                for index in (1..hosts.len()).rev() {
                    let other = updraft_base::Chance::below(&mut chance, index as u64 + 1) as usize;
                    hosts.swap(index, other);
                }
            }
            other => return Err(format!("`{other}` is not an order of hosts")),
        }
        Ok(())
    }

    fn batches(
        &self,
        play: &Play,
        known: &Context,
        hosts: Vec<String>,
    ) -> Result<Vec<Vec<String>>, String> {
        let mut sizes = Vec::new();
        for value in &play.serial {
            let value = known.finish(value).map_err(|fault| fault.what)?;
            if matches!(value, Value::Omit | Value::None) {
                continue;
            }
            let values = value.as_list().map_or_else(|| vec![value.clone()], <[Value]>::to_vec);
            for value in values {
                let text = value.to_text();
                let size = match text.strip_suffix('%') {
                    Some(percent) => {
                        let percent: f64 = percent
                            .trim()
                            .parse()
                            .map_err(|_| format!("`serial: {text}` is not a number"))?;
                        ((percent / 100.0 * hosts.len() as f64) as usize).max(1)
                    }
                    None => text
                        .parse::<i64>()
                        .map_err(|_| format!("`serial: {text}` is not a number"))?
                        .max(0) as usize,
                };
                // Nothing and zero both mean all at once.
                sizes.push(if size == 0 { hosts.len() } else { size });
            }
        }
        if sizes.is_empty() {
            return Ok(vec![hosts]);
        }
        let mut rest = hosts.as_slice();
        let mut batches = Vec::new();
        let mut index = 0;
        while !rest.is_empty() {
            let size = sizes[index.min(sizes.len() - 1)].min(rest.len());
            batches.push(rest[..size].to_vec());
            rest = &rest[size..];
            index += 1;
        }
        Ok(batches)
    }

    /// What is said to a question, twice the same where that is asked for.
    async fn answer(&self, prompt: &Prompt, shown: &str) -> Option<String> {
        loop {
            let Some(said) = self.operator.ask(shown, prompt.private).await else {
                let text = "Not prompting as we are not in interactive mode";
                self.sink.event(Event::Warning(text.to_owned()));
                return None;
            };
            if !prompt.confirm {
                return Some(said);
            }
            let again = self.operator.ask(&format!("confirm {shown}"), prompt.private).await;
            if again.is_none() || again.as_ref() == Some(&said) {
                return again;
            }
            self.sink.event(Event::Said("***** VALUES ENTERED DO NOT MATCH ****".to_owned()));
        }
    }

    async fn prompts(&self, play: &Play, known: &Context) -> Result<Dict, PlayFault> {
        let mut vars = Dict::new();
        for prompt in &play.prompts {
            if self.options.extra_vars.contains_key(prompt.name.as_str()) {
                continue;
            }
            let default = prompt.default.as_ref().map(Value::to_text);
            let shown = match &default {
                Some(default) if !prompt.private => format!("{} [{default}]: ", prompt.text),
                _ => format!("{}: ", prompt.text),
            };
            let said = self.answer(prompt, &shown).await;
            let value = match said.clone().filter(|said| !said.is_empty()).or(default).or(said) {
                Some(value) => value,
                None if self.playbook.loader.strict || prompt.encrypt.is_some() => {
                    return Err(format!(
                        "`{}` is asked for, and there is nobody to ask; give it as an extra variable",
                        prompt.name
                    ));
                }
                // What Python makes of nothing.
                None => "None".to_owned(),
            };
            let value = match &prompt.encrypt {
                None => Value::from(value),
                Some(scheme) => encrypted(known, prompt, scheme, value)?,
            };
            vars.insert(Key::str(&prompt.name), value);
        }
        Ok(vars)
    }
}

/// One host of those that go on for themselves, to its end.
async fn alone(mut run: Batch<'_>) -> Result<(Vec<(String, Flow)>, bool), Broken> {
    let ended = run.all().await;
    if ended.is_err() {
        run.over.store(true, std::sync::atomic::Ordering::Relaxed);
    }
    let ends = run.ends();
    let mut lost = run.lost.lock().unwrap_or_else(PoisonError::into_inner);
    let failed = ends.iter().filter(|(_, flow)| matches!(flow, Flow::Failed | Flow::Gone));
    lost.extend(failed.cloned());
    drop(lost);
    ended.map(|()| (ends, run.play_ended))
}

/// An answer, hashed as the `password_hash` filter does it.
fn encrypted(
    known: &Context,
    prompt: &Prompt,
    scheme: &Value,
    answer: String,
) -> Result<Value, PlayFault> {
    let mut vars = Dict::new();
    let mut source = "answer | password_hash(scheme".to_owned();
    vars.insert(Key::str("answer"), Value::from(answer));
    vars.insert(Key::str("scheme"), scheme.clone());
    for (name, value) in [("salt", &prompt.salt), ("salt_size", &prompt.salt_size)] {
        if let Some(value) = value {
            source.push_str(&format!(", {name}={name}"));
            vars.insert(Key::str(name), value.clone());
        }
    }
    let expression = Expression::new(&(source + ")"), None).map_err(|fault| fault.what)?;
    known.with(Arc::new(Plain(vars))).evaluate(&expression).map_err(|fault| fault.what)
}

/// The play's `vars_files` for one host, and whether some were passed over whose names nobody can
/// know yet. A list among them means the first that is there.
pub(super) fn vars_files(play: &Play, scope: &TaskScope) -> Result<(Dict, bool), String> {
    let context = scope.clone().context();
    // Once there are facts, what is undefined stays so.
    let strict = scope.host.facts.get().contains_key(&Key::str("module_setup"));
    let (mut vars, mut passed_over) = (Dict::new(), false);
    for entry in &play.vars_files {
        let choices = entry.as_list().map_or_else(|| vec![entry.clone()], <[Value]>::to_vec);
        let mut found = false;
        let mut names = Vec::new();
        for choice in &choices {
            let name = match context.text(choice) {
                Ok(name) => name,
                Err(_) if !strict => {
                    (found, passed_over) = (true, true);
                    continue;
                }
                Err(fault) => return Err(format!("vars_files: {}", fault.what)),
            };
            let path = [play.dir.join("vars").join(&name), play.dir.join(&name)]
                .into_iter()
                .find(|path| path.exists());
            names.push(name);
            if let Some(path) = path {
                let more = read_vars(&path, &scope.shared.world.vault, &mut BTreeSet::new(), false)
                    .map_err(|faults| Faults(faults).to_string())?;
                scope.shared.world.config.lay_over(&mut vars, &more);
                found = true;
                break;
            }
        }
        if !found {
            return Err(format!("vars file {} was not found", names.join(" or ")));
        }
    }
    Ok((vars, passed_over))
}

fn imported_roles<'n>(nodes: &'n [Node], found: &mut Vec<&'n Role>) {
    for node in nodes {
        if let Node::Block(block) = node {
            found.extend(block.role.as_deref());
            [&block.body, &block.rescue, &block.always]
                .into_iter()
                .for_each(|nodes| imported_roles(nodes, found));
        }
    }
}

/// Whether a keyword of the play holds, without any host.
pub(super) fn play_truth(known: &Context, value: Option<&Value>) -> Result<bool, String> {
    truth(known, value).map_err(|fault| fault.what)
}

pub(super) fn play_number(known: &Context, value: Option<&Value>) -> Result<Option<f64>, String> {
    value.map(|value| number(known, value)).transpose().map_err(|fault| fault.what)
}

/// A scope for one host of a play, before any task.
pub(super) fn host_scope(
    shared: &Arc<Shared>,
    vars: &Arc<PlayVars>,
    common: &Arc<Common>,
    host: &str,
    files: Arc<Dict>,
    left: Arc<Vec<String>>,
) -> TaskScope {
    TaskScope {
        shared: Arc::clone(shared),
        host: shared.host(host),
        play: Arc::clone(vars),
        files,
        common: Arc::clone(common),
        role: None,
        dir: vars.dir.clone(),
        check: shared.options.check,
        diff: shared.options.diff,
        over: Dict::new(),
        left,
        delegate: None,
        inventory: Arc::default(),
        watch: None,
    }
}

/// Groups equal things in the order they first came.
pub(super) fn grouped<K: PartialEq, V>(
    pairs: impl IntoIterator<Item = (K, V)>,
) -> Vec<(K, Vec<V>)> {
    let mut groups: Vec<(K, Vec<V>)> = Vec::new();
    for (key, value) in pairs {
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => groups.push((key, vec![value])),
        }
    }
    groups
}
