//! Runs playbooks: on the site's machines as a step of a plan, and on any inventory for a person.

use crate::ControlError;
use crate::actor::Actor;
use crate::hosts::{Reacher, Way, way_of};
use crate::python::InEnvironment;
use crate::settings::Settings;
use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use updraft_base::{Blame, Blamed as _, Chance, Digest, MachineName};
use updraft_engine::{StepContext, StepFault};
use updraft_host::{Cmd, Host as _, LocalHost, OsChance};
use updraft_playbook::config::Config;
use updraft_playbook::inventory::Inventory;
use updraft_playbook::output::{
    Callback, Event, Extra, Piece, Recap, Screen, ScreenOptions, Show, Sink, Teller,
};
use updraft_playbook::template::{Others, Outside, Ran, World};
use updraft_playbook::value::Dict;
use updraft_playbook::vault::Vault;
use updraft_playbook::{
    Faults, HostTarget, Listing, LoadFault, Loader, Modules, Operator, Playbook, Plugins, Reach,
    ReachError, RunOptions,
};
use updraft_remote::Session;

/// How a play went, machine by machine.
pub(crate) struct PlayReport {
    well: Vec<MachineName>,
    failed: Vec<(String, String)>,
}

impl PlayReport {
    /// Machines on which nothing failed.
    pub(crate) fn well(&self) -> &[MachineName] {
        &self.well
    }

    /// A fault that names what failed where, if anything did.
    pub(crate) fn into_result(self, play: &Utf8Path) -> Result<(), StepFault> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let name = play.file_name().unwrap_or(play.as_str());
        let told: Vec<String> =
            self.failed.iter().map(|(host, message)| format!("{host}: {message}")).collect();
        Err(StepFault::new(Blame::Asked, format!("{name} failed on {}", told.join("; ")))
            .hinting("`updraft log last` tells where its whole output is"))
    }
}

/// Variables as the playbook crate wants them.
pub(crate) fn dict(vars: Map<String, Value>) -> Dict {
    let value = updraft_playbook::value::Value::from(vars);
    value.as_dict().cloned().unwrap_or_default()
}

pub(crate) fn loader(settings: &Settings, extra_vars: Dict, strict: bool) -> Loader {
    let modules = Modules::new(&settings.environment, settings.home.as_deref(), &settings.config);
    modules.prefer(&settings.module_path);
    let modules = Arc::new(modules);
    let starter = Arc::new(InEnvironment(settings.environment.clone()));
    let commands = Controller {
        environment: settings.environment.clone(),
        plugins: Plugins::new(Arc::clone(&modules), starter),
    };
    Loader {
        world: Arc::new(World {
            env: settings.environment.clone(),
            clock: Arc::clone(&settings.clock),
            seed: OsChance.next_u64(),
            commands: Arc::new(commands),
            vault: Arc::clone(&settings.vault),
            config: Arc::clone(&settings.config),
            dialect: settings.dialect,
            differences: settings.differences.clone(),
        }),
        roles_path: settings.roles_path.clone(),
        extra_vars,
        modules,
        strict,
    }
}

/// This computer, for what lookups run.
struct Controller {
    environment: BTreeMap<String, String>,
    plugins: Plugins,
}

impl Outside for Controller {
    fn shell(&self, command: &str, directory: &Path) -> Result<Ran, String> {
        // As long as a command may need; whoever waits can interrupt.
        let hour = Duration::from_secs(3600);
        let cmd = Cmd::new("/bin/sh").args(["-c", command]).cwd(directory).within(hour);
        let cmd = cmd.environment(&self.environment);
        let ran = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(LocalHost.run(cmd.accept_all()))
        });
        let output = ran.map_err(|error| updraft_base::chain(&error))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Ran { stdout, status: output.status })
    }

    fn chance(&self) -> Box<dyn Chance> {
        Box::new(OsChance)
    }

    fn others(&self) -> Option<&dyn Others> {
        Some(&self.plugins)
    }
}

/// Digest of a playbook with everything it can reach.
pub(crate) fn digest(path: &Utf8Path, settings: &Settings) -> Result<Digest, ControlError> {
    let playbook = Playbook::load(&[path], &loader(settings, Dict::new(), true));
    Ok(playbook.map_err(ControlError::Playbook)?.digest())
}

/// Reaches hosts for a run of a playbook and keeps what it opened.
pub(crate) struct Hosts<'a> {
    pub(crate) reacher: &'a Reacher,
    pub(crate) settings: &'a Settings,
    pub(crate) machines: HashMap<String, Way>,
    pub(crate) open: tokio::sync::Mutex<HashMap<String, Arc<dyn Session>>>,
}

#[async_trait]
impl Reach for Hosts<'_> {
    async fn session(&self, host: &HostTarget) -> Result<Arc<dyn Session>, ReachError> {
        let way = self.way(host);
        // Variables of a task may lead to the same host as somebody else, or elsewhere.
        let key = format!("{} {way:?}", host.name);
        // A machine of the site has one channel for everybody, which is kept elsewhere.
        if !matches!(way, Way::Machine(_))
            && let Some(session) = self.open.lock().await.get(&key)
        {
            return Ok(Arc::clone(session));
        }
        let session = self.reacher.session(&way).await.map_err(|error| ReachError {
            message: updraft_base::chain(&error),
            blame: error.blame(),
        })?;
        self.open.lock().await.insert(key, Arc::clone(&session));
        Ok(session)
    }

    async fn forget(&self, host: &HostTarget) {
        let way = self.way(host);
        self.open.lock().await.remove(&format!("{} {way:?}", host.name));
    }

    async fn log_in_anew(&self, host: &HostTarget) {
        self.forget(host).await;
        self.reacher.log_in_anew(&self.way(host)).await;
    }
}

impl Hosts<'_> {
    fn way(&self, host: &HostTarget) -> Way {
        let machine = self.machines.get(&host.name).cloned();
        machine.unwrap_or_else(|| way_of(&host.name, &host.vars, self.settings))
    }
}

/// Nobody to ask; waits in real time.
pub(crate) struct Unattended;

#[async_trait]
impl Operator for Unattended {
    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    async fn ask(&self, _question: &str, _hidden: bool) -> Option<String> {
        None
    }
}

/// Keeps a play's output and what failed, and tells the step which task runs.
struct StepSink<'a> {
    context: &'a StepContext,
    inner: Mutex<StepOutput>,
}

struct StepOutput {
    screen: Screen,
    log: Option<std::fs::File>,
    task: String,
    failed: HashMap<String, String>,
}

impl Sink for StepSink<'_> {
    fn event(&self, event: Event) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let text = inner.screen.render(&event);
        if let Some(log) = &mut inner.log {
            // The log is for reading afterwards; a run does not fail because of it.
            drop(log.write_all(text.as_bytes()));
        }
        match event {
            Event::TaskBegan { name, .. } => {
                self.context.report(name.clone());
                self.context.phase(name.clone());
                inner.task = name;
            }
            Event::Failed { at, why, ignored: false, .. } => {
                let told = format!("task `{}`: {why}", inner.task);
                inner.failed.insert(at.host, told);
            }
            Event::Unreachable { at, result, ignored: false, .. } => {
                let json = result.to_json();
                let why = json.get("msg").and_then(Value::as_str).unwrap_or("it was lost");
                inner.failed.insert(at.host, format!("unreachable: {why}"));
            }
            Event::Fault(fault) => {
                inner.failed.insert(String::new(), fault.to_string());
            }
            _ => {}
        }
    }
}

impl Actor {
    /// Runs a play on some machines, as part of a step. Its output is kept in a file.
    pub(crate) async fn play(
        &self,
        step: u32,
        play: &Utf8Path,
        machines: &[MachineName],
        vars: Map<String, Value>,
        context: &StepContext,
    ) -> Result<PlayReport, StepFault> {
        let asked = |faults: Faults| StepFault::new(Blame::Asked, faults.to_string());
        let extra_vars = dict(vars);
        let playbook = Playbook::load(&[play], &loader(&self.settings, extra_vars.clone(), true))
            .map_err(asked)?;
        let inventory = crate::hosts::site_inventory(&self.site, &self.plan.memory, &self.place);
        let mut ways = HashMap::new();
        for name in self.plan.memory.machines.keys() {
            ways.insert(name.to_string(), Way::Machine(self.party(name)?));
        }
        let reacher = Reacher::new(&self.settings, Some(Arc::clone(&self.sessions)));
        let hosts = Hosts {
            reacher: &reacher,
            settings: &self.settings,
            machines: ways,
            open: tokio::sync::Mutex::default(),
        };
        let limit: Vec<&str> = machines.iter().map(MachineName::as_str).collect();
        let options = RunOptions {
            extra_vars,
            limit: Some(limit.join(",")),
            forks: machines.len().clamp(1, 50),
            diff: true,
            brief: true,
            explain: true,
            ..RunOptions::ordinary()
        };
        let screen = Screen::new(ScreenOptions {
            verbosity: 0,
            colour: false,
            width: 79,
            dialect: self.settings.dialect,
            show: Show::default(),
        });
        let sink = StepSink {
            context,
            inner: Mutex::new(StepOutput {
                screen,
                log: self.open_log(step),
                task: String::new(),
                failed: HashMap::new(),
            }),
        };
        let recap =
            playbook.run(&inventory, &hosts, &Unattended, &options, &sink).await.map_err(asked)?;
        let output = sink.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(report(machines, &recap, output.failed))
    }

    fn open_log(&self, step: u32) -> Option<std::fs::File> {
        let path = self.place.play_log(self.run, step);
        std::fs::create_dir_all(path.parent()?).ok()?;
        std::fs::OpenOptions::new().create(true).append(true).open(path).ok()
    }
}

fn report(
    machines: &[MachineName],
    recap: &Recap,
    mut told: HashMap<String, String>,
) -> PlayReport {
    let mut report = PlayReport { well: Vec::new(), failed: Vec::new() };
    let nobody =
        told.remove("").or_else(|| recap.broken.as_ref().map(|broken| broken.fault.to_string()));
    for machine in machines {
        let counts = recap.host(machine.as_str());
        let bad = counts.failed > 0 || counts.unreachable > 0 || nobody.is_some();
        if bad {
            let why = told.remove(machine.as_str()).or_else(|| nobody.clone());
            let why = why.unwrap_or_else(|| "a task failed".to_owned());
            report.failed.push((machine.to_string(), why));
        } else {
            report.well.push(machine.clone());
        }
    }
    report
}

/// What a person asks of `updraft play`.
pub struct PlayRequest {
    /// Playbooks, in order.
    pub playbooks: Vec<Utf8PathBuf>,
    /// Hosts.
    pub inventory: Inventory,
    /// How to run.
    pub options: RunOptions,
    /// How to show it.
    pub screen: ScreenOptions,
    /// Who shows it.
    pub callback: Callback,
    /// Who tells something besides.
    pub extras: Vec<Extra>,
    /// What is told to [`PlayRequest::log`] alone: what `-v` so many times would show besides.
    pub log_verbosity: u8,
    /// Keeps what is not shown.
    pub log: fn(&str),
    /// Only check that they can be read.
    pub syntax_check: bool,
    /// Only tell what there is, in this order: hosts, tasks, tags.
    pub list: Listing,
}

/// Whoever looks on while a play runs.
pub trait Audience: Sync {
    /// Shows the next piece of the text people know.
    fn print(&self, piece: &Piece);

    /// Learns what happens, before it is shown.
    fn learn(&self, _event: &Event) {}
}

/// Prints as a play goes on.
struct PersonSink<'a> {
    teller: Mutex<Teller>,
    audience: &'a dyn Audience,
    /// Details of these verbosities are not shown, but kept.
    kept: std::ops::RangeInclusive<u8>,
    log: fn(&str),
}

impl Sink for PersonSink<'_> {
    fn event(&self, event: Event) {
        if let Event::Detail(level, text) = &event
            && self.kept.contains(level)
        {
            (self.log)(text);
        }
        let mut teller = self.teller.lock().unwrap_or_else(PoisonError::into_inner);
        self.audience.learn(&event);
        teller.pieces(&event).iter().for_each(|piece| self.audience.print(piece));
    }
}

/// Runs playbooks for a person.
///
/// # Errors
/// When a playbook or the inventory has faults; then nothing was changed.
pub async fn play(
    request: &PlayRequest,
    reacher: &Reacher,
    machines: Vec<(String, Way)>,
    settings: &Settings,
    operator: &dyn Operator,
    audience: &dyn Audience,
) -> Result<Recap, ControlError> {
    let loader = loader(settings, request.options.extra_vars.clone(), false);
    let playbook = Playbook::load(&request.playbooks, &loader).map_err(ControlError::Playbook)?;
    if request.syntax_check && !request.list.any() {
        for file in &request.playbooks {
            audience.print(&Piece { error: false, text: format!("\nplaybook: {file}\n") });
        }
        for doubt in &playbook.doubts {
            audience.print(&Piece { error: true, text: format!("[WARNING]: {doubt}\n") });
        }
        return Ok(Recap::default());
    }
    if request.list.any() {
        let text = playbook
            .listing(&request.inventory, &request.options, request.list)
            .map_err(ControlError::Playbook)?;
        audience.print(&Piece { error: false, text });
        return Ok(Recap::default());
    }
    let hosts = Hosts {
        reacher,
        settings,
        machines: machines.into_iter().collect(),
        open: tokio::sync::Mutex::default(),
    };
    let teller = Teller::new(request.callback, &request.extras, request.screen, &settings.clock);
    let sink = PersonSink {
        teller: Mutex::new(teller),
        audience,
        kept: request.screen.verbosity.saturating_add(1)..=request.log_verbosity,
        log: request.log,
    };
    playbook
        .run(&request.inventory, &hosts, operator, &request.options, &sink)
        .await
        .map_err(ControlError::Playbook)
}

/// Reads `--extra-vars`: `key=value …`, a YAML or JSON map, or `@file` with one.
///
/// # Errors
/// When one of them makes no sense.
pub fn extra_vars(texts: &[String], vault: &Vault) -> Result<Dict, ControlError> {
    let mut all = Dict::new();
    for text in texts {
        let told = text.trim_start();
        let read = match told.strip_prefix('@') {
            Some(path) => {
                let cannot = |what: String| ControlError::Unknown {
                    what: "file of variables",
                    name: format!("{path}: {what}"),
                    known: Vec::new(),
                };
                Some((path, vault.read_text(path.as_ref()).map_err(cannot)?))
            }
            None if told.starts_with(['{', '[']) => Some(("--extra-vars", text.clone())),
            None => None,
        };
        match read {
            Some((name, text)) => {
                let parsed = updraft_playbook::yaml::parse(name, &text)
                    .map_err(|fault| ControlError::Playbook(fault.into()))?;
                let value = parsed.documents.first().map(|document| document.to_value());
                let known = value.as_ref().and_then(|value| value.as_dict()).cloned();
                all.extend(known.ok_or_else(|| ControlError::Unknown {
                    what: "map of variables in",
                    name: name.to_owned(),
                    known: Vec::new(),
                })?);
            }
            None => {
                let fault = |what: String| LoadFault::bare(what);
                let pairs = updraft_playbook::key_values(text)
                    .map_err(|what| ControlError::Playbook(fault(what).into()))?;
                all.extend(pairs);
            }
        }
    }
    Ok(all)
}

/// Directories that hold roles, as they were told, or the usual places.
pub fn roles_path(config: &Config, home: Option<&std::path::Path>) -> Vec<PathBuf> {
    if let Some(told) = config.roles_path.told() {
        return told.iter().map(PathBuf::from).collect();
    }
    let own = home.map(|home| home.join(".ansible/roles"));
    own.into_iter()
        .chain(["/usr/share/ansible/roles", "/etc/ansible/roles"].map(PathBuf::from))
        .collect()
}
