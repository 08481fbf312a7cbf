//! A machine that lives as long as something is done to an image: booted, identified, worked in,
//! switched off, removed.
//!
//! It belongs to no site. Everything of it is in one directory that somebody holds the lock of, so
//! one that was left behind by a run that died is found and removed by the next.
//! Never here: what becomes of the disk.

use crate::hosts::{Reacher, Way};
use crate::place::Place;
use crate::play::{Hosts, Unattended, loader};
use crate::sessions::{Party, Providers, SessionError, Sessions};
use crate::settings::Settings;
use crate::wake;
use crate::world::image_files;
use camino::Utf8Path;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use updraft_base::{
    Blame, ByteSize, Digest, ImageName, MachineId, SeededChance, SiteId, Timestamp, unix_nanos,
};
use updraft_engine::StepFault;
use updraft_host::{Cmd, Host as _, LocalHost, OsChance};
use updraft_image::{Image, Store};
use updraft_playbook::inventory::Inventory;
use updraft_playbook::output::{Event, Sink};
use updraft_playbook::value::Dict;
use updraft_playbook::{Playbook, RunOptions};
use updraft_provider::{MachineOrder, Provider, SiteMark, Start, Stop, outlet};
use updraft_qemu::{Accel, QemuProvider};
use updraft_remote::{Output, Stream};
use updraft_site::Admin;
use updraft_wire::{AdminAccount, Exec, Identity, Interface, PowerAction, Request, Response};

/// Receives one line for people at each stage.
pub(crate) type Report<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Enough for a package manager and for what plays compile.
const MEMORY: ByteSize = ByteSize::gib(1);
const CPUS: u32 = 2;

/// How long its services may take to start once it knows who it is. A stock cloud image took 100 s
/// on an emulated processor (measured 2026-11-21).
const SETTLED_WITHIN: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

const SHORT: Duration = Duration::from_secs(60);
const OFF_WITHIN: Duration = Duration::from_secs(120);

/// How much of the end of a console people are shown.
const CONSOLE_LINES: usize = 15;

/// The group that a play finds the machine in.
const GROUP: &str = "image";

/// A machine of an image.
pub(crate) struct Inside {
    provider: Arc<dyn Provider>,
    sessions: Arc<Sessions>,
    party: Party,
    dir: PathBuf,
    settings: Settings,
}

/// What a command said.
pub(crate) struct Said {
    /// Its exit status.
    pub(crate) code: i32,
    /// Its output, both streams.
    pub(crate) text: String,
}

/// The provider of machines in this directory. Its mark follows from the directory's name, so that
/// whoever finds the directory finds its machines.
fn provider_in(settings: &Settings, dir: &Path) -> Arc<dyn Provider> {
    let name = dir.file_name().unwrap_or_default();
    let digest = Digest::of(name.as_encoded_bytes()).to_string();
    let seed = u64::from_str_radix(&digest[..16], 16).expect("a digest is hexadecimal");
    let mark = SiteMark {
        id: SiteId::draw(Timestamp::UNIX_EPOCH, &mut SeededChance::new(seed)),
        name: GROUP.parse().expect("it is a name"),
    };
    Arc::new(QemuProvider::new(
        updraft_qemu::Settings {
            mark,
            state: dir.to_owned(),
            runtime: settings.runtime.clone(),
            verdicts: settings.store.join("kvm"),
            templates: settings.store.join("templates"),
            accel: Accel::Auto,
            guard: None,
        },
        Arc::new(LocalHost),
    ))
}

/// Removes what builds and tests that died left behind, their machines first.
///
/// # Errors
/// When a machine cannot be removed or the store cannot be written.
pub(crate) async fn sweep(settings: &Settings, store: &Store) -> Result<(), StepFault> {
    for left in store.leftovers().await.map_err(|e| StepFault::from_error(&e))? {
        let provider = provider_in(settings, &left.dir);
        let seen = provider.observe().await.map_err(|e| StepFault::from_error(&e))?;
        for machine in seen.machines {
            let gone = provider.destroy_machine(machine.id).await;
            gone.map_err(|e| StepFault::from_error(&e))?;
        }
        left.discard().await.map_err(|e| StepFault::from_error(&e))?;
    }
    Ok(())
}

impl Inside {
    /// Makes the machine, switched off. `dir` is the caller's alone.
    pub(crate) async fn make(
        settings: &Settings,
        dir: &Path,
        image: &Image,
        name: &ImageName,
    ) -> Result<Self, StepFault> {
        let world = |e: updraft_provider::ProviderError| StepFault::from_error(&e);
        let provider = provider_in(settings, dir);
        let now = settings.clock.now();
        let id = MachineId::draw(now, &mut OsChance);
        let party = Party {
            provider: provider.kind().to_owned(),
            id,
            name: name.as_str().parse().expect("a name of an image is one of a machine"),
        };
        let place = Place::beside(&dir.join("updraft.yaml"));
        let channels = place.channel_lock(id);
        let channels = channels.parent().unwrap_or(dir);
        LocalHost.make_dir(channels, 0o700).await.map_err(|e| StepFault::from_error(&e))?;
        let order = MachineOrder {
            id,
            name: party.name.clone(),
            group: GROUP.parse().expect("it is a name"),
            memory: MEMORY,
            cpus: CPUS,
            disk: image.facts.disk,
            image: image.digest,
            files: image_files(image, settings).await.map_err(world)?,
            nics: Vec::new(),
            outlet: true,
            start: Start::Cold,
        };
        provider.create_machine(&order).await.map_err(world)?;
        let providers: Providers =
            [(party.provider.clone(), Arc::clone(&provider))].into_iter().collect();
        let command = settings.command.clone();
        let sessions = Arc::new(Sessions::new(None, providers, place, command, now));
        Ok(Self { provider, sessions, party, dir: dir.to_owned(), settings: settings.clone() })
    }

    /// Boots it, tells it who it is for now, and waits until its services have started.
    pub(crate) async fn come_up(
        &self,
        admins: &[Admin],
        report: Report<'_>,
    ) -> Result<(), StepFault> {
        report("booting it");
        let started = self.provider.start_machine(self.party.id).await;
        started.map_err(|e| StepFault::from_error(&e))?;
        self.wait_for_agent(report).await?;
        report("telling it who it is for now");
        let request = Request::Identify(Box::new(self.identity(admins)));
        self.ask("take its identity", request, SHORT * 2).await?;
        let began = Instant::now();
        loop {
            let said = self.shell("systemctl is-system-running", SHORT, None).await?;
            let state = said.text.trim().to_owned();
            // A unit that failed is part of the image, and 127 means that there is no systemd.
            if ["running", "degraded"].contains(&state.as_str()) || said.code == 127 {
                return Ok(());
            }
            if began.elapsed() > SETTLED_WITHIN {
                let jobs = self.shell("systemctl list-jobs --no-legend", SHORT, None).await?;
                let message = format!(
                    "`{}` does not settle: systemd says that it is {state}, and waits for {}",
                    self.party.name,
                    jobs.text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
                );
                return Err(self.with_console(StepFault::new(Blame::World, message)).await);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// An identity that no machine of a site has, with a way out.
    fn identity(&self, admins: &[Admin]) -> Identity {
        let now = self.settings.clock.now();
        Identity {
            digest: "image".to_owned(),
            machine: self.party.id.to_string(),
            machine_id: self.party.id.as_hex(),
            hostname: self.party.name.to_string(),
            domain: String::new(),
            interfaces: vec![Interface {
                mac: outlet::MAC.parse().expect("it is an Ethernet address"),
                address: outlet::ADDRESS.to_owned(),
                gateway: Some(outlet::GATEWAY.to_owned()),
            }],
            resolvers: vec![outlet::RESOLVER.to_owned()],
            hosts: Vec::new().into(),
            host_keys: Vec::new(),
            admins: admins
                .iter()
                .map(|a| AdminAccount { name: a.name.to_string(), keys: a.keys.clone() })
                .collect(),
            time: Some(unix_nanos(now)),
            seed: None,
            quiet_ms: None,
        }
    }

    async fn wait_for_agent(&self, report: Report<'_>) -> Result<(), StepFault> {
        let told = wake::agent(&self.sessions, &*self.provider, &self.party, report).await;
        let Err(fault) = told else { return Ok(()) };
        let fault = StepFault {
            message: format!("the image did not come up: {}", fault.message),
            ..fault.hinting(
                "an image made by others needs cloud-init inside, the firmware it was made \
                 for, and a console on the first serial line to be seen",
            )
        };
        Err(self.with_console(fault).await)
    }

    async fn ask(
        &self,
        what: &'static str,
        request: Request,
        within: Duration,
    ) -> Result<Response, StepFault> {
        let asked = self.sessions.ask(&self.party, what, request, within).await;
        asked.map_err(|e| StepFault::from_error(&e))
    }

    /// Runs shell text; lines of its output are told as they come.
    pub(crate) async fn shell(
        &self,
        text: &str,
        within: Duration,
        report: Option<Report<'_>>,
    ) -> Result<Said, StepFault> {
        let lost = |source| {
            let machine = self.party.name.clone();
            StepFault::from_error(&SessionError::Agent { machine, source })
        };
        let session = self.sessions.get(&self.party, SHORT).await;
        let session = session.map_err(|e| StepFault::from_error(&e))?;
        let mut lines = Lines { text: Vec::new(), told: 0, report };
        let exec = Exec {
            argv: ["/bin/sh", "-c", text].map(str::to_owned).to_vec(),
            deadline_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            ..Exec::default()
        };
        let exit = session.exec(exec, &mut lines).await.map_err(lost)?;
        let text = String::from_utf8_lossy(&lines.text).into_owned();
        if exit.timed_out {
            let last = text.lines().last().unwrap_or_default().to_owned();
            let message = format!("a command did not end within {within:?}; its last word: {last}");
            return Err(StepFault::new(Blame::World, message));
        }
        Ok(Said { code: exit.code, text })
    }

    /// Installs packages with the system's own tool.
    pub(crate) async fn install(
        &self,
        packages: &[String],
        report: Report<'_>,
    ) -> Result<(), StepFault> {
        report(&format!("installing {}", updraft_base::counted(packages.len(), "package")));
        let names = shlex::try_join(packages.iter().map(String::as_str)).unwrap_or_default();
        let text = INSTALL.replace("PACKAGES", &names);
        let said = self.shell(&text, Duration::from_secs(3600), Some(report)).await?;
        if said.code == 0 {
            return Ok(());
        }
        let telling: Vec<&str> = said.text.lines().filter(|line| line.starts_with("E:")).collect();
        let why = match telling.as_slice() {
            [] => said.text.lines().last().unwrap_or("nothing was said").to_owned(),
            lines => lines.join("; "),
        };
        let message = format!("cannot install packages in `{}`: {why}", self.party.name);
        Err(StepFault::new(Blame::World, message)
            .hinting("correct the names under `packages:` of the image, or look at its mirror"))
    }

    /// Applies a play. It finds the machine by the image's name, in the group `image`.
    pub(crate) async fn play(
        &self,
        play: &Utf8Path,
        vars: &Map<String, Value>,
        report: Report<'_>,
    ) -> Result<(), StepFault> {
        let asked =
            |faults: updraft_playbook::Faults| StepFault::new(Blame::Asked, faults.to_string());
        let name = self.party.name.to_string();
        let playbook =
            Playbook::load(&[play], &loader(&self.settings, Dict::new(), true)).map_err(asked)?;
        let mut known = vars.clone();
        known.insert("updraft_image".to_owned(), Value::String(name.clone()));
        let inventory = Inventory::from_groups([(GROUP.to_owned(), [(name.clone(), known)])]);
        let options = RunOptions { forks: 1, ..RunOptions::ordinary() };
        let hosts = playbook.hosts_of_plays(&inventory, &options).map_err(asked)?;
        if hosts.iter().all(|hosts| hosts.is_empty()) {
            let message = format!("no play of `{play}` is for `{name}` or the group `{GROUP}`");
            return Err(StepFault::new(Blame::Asked, message)
                .hinting("write `hosts: all` in a play that is for images too"));
        }
        let reacher = Reacher::new(&self.settings, Some(Arc::clone(&self.sessions)));
        let hosts = Hosts {
            reacher: &reacher,
            settings: &self.settings,
            machines: HashMap::from([(name.clone(), Way::Machine(self.party.clone()))]),
            open: tokio::sync::Mutex::default(),
        };
        let sink = Tasks { report, inner: Mutex::default() };
        let recap = playbook.run(&inventory, &hosts, &Unattended, &options, &sink).await;
        let recap = recap.map_err(asked)?;
        let told = sink.inner.into_inner().unwrap_or_else(PoisonError::into_inner).failed;
        let counts = recap.host(&name);
        if counts.failed == 0 && counts.unreachable == 0 && recap.broken.is_none() {
            return Ok(());
        }
        let why = told
            .or(recap.broken.map(|broken| broken.fault.to_string()))
            .unwrap_or_else(|| "a task failed".to_owned());
        let file = play.file_name().unwrap_or(play.as_str());
        Err(StepFault::new(Blame::Asked, format!("{file} failed in image `{name}`: {why}")))
    }

    /// Switches it off in order and hands over its disk. The rest of it is removed.
    pub(crate) async fn hand_over(&self) -> Result<PathBuf, StepFault> {
        let off = Request::Power { action: PowerAction::Off };
        // When the agent cannot pass the word on, the power button does.
        drop(self.sessions.ask(&self.party, "power off", off, Duration::from_secs(5)).await);
        self.sessions.forget(self.party.id).await;
        let stopped = self.provider.stop_machine(self.party.id, Stop::Orderly(OFF_WITHIN)).await;
        stopped.map_err(|e| StepFault::from_error(&e))?;
        let disk = self.dir.join("guests").join(self.party.id.to_string()).join("disk.qcow2");
        let kept = self.dir.join("overlay.qcow2");
        let mv = Cmd::new("mv").arg("-T").arg("--").arg(&disk).arg(&kept);
        LocalHost.run(mv).await.map_err(|e| StepFault::from_error(&e))?;
        self.end().await?;
        Ok(kept)
    }

    /// Removes the machine, whatever it does.
    pub(crate) async fn end(&self) -> Result<(), StepFault> {
        self.sessions.forget(self.party.id).await;
        let gone = self.provider.destroy_machine(self.party.id).await;
        gone.map_err(|e| StepFault::from_error(&e))
    }

    /// The end of what its console printed.
    pub(crate) async fn console(&self) -> String {
        let Ok((_, log)) = self.provider.console(self.party.id).await else { return String::new() };
        let bytes = LocalHost.read(&log).await.ok().flatten().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>())
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n")
    }

    /// A fault with what the console printed last.
    pub(crate) async fn with_console(&self, mut fault: StepFault) -> StepFault {
        let console = self.console().await;
        if !console.is_empty() {
            fault.message = format!("{}\nthe end of its console:\n{console}", fault.message);
        }
        fault
    }
}

const INSTALL: &str = r#"exec 2>&1
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
set -- PACKAGES
if command -v apt-get >/dev/null; then
    apt-get -q -o Acquire::Languages=none update && apt-get -q -y --no-install-recommends install -- "$@"
elif command -v dnf >/dev/null; then
    dnf -y install -- "$@"
elif command -v zypper >/dev/null; then
    zypper --non-interactive install -- "$@"
elif command -v apk >/dev/null; then
    apk add -- "$@"
else
    echo "E: no tool that installs packages is known here"
    exit 127
fi
"#;

/// Output of a command, whose lines are told.
struct Lines<'a> {
    text: Vec<u8>,
    told: usize,
    report: Option<Report<'a>>,
}

impl Output for Lines<'_> {
    fn chunk(&mut self, _stream: Stream, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
        let Some(report) = self.report else { return };
        while let Some(end) = self.text[self.told..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.text[self.told..self.told + end]).into_owned();
            self.told += end + 1;
            if !line.trim().is_empty() {
                report(line.trim());
            }
        }
    }
}

/// Tells which task runs and keeps what failed.
struct Tasks<'a> {
    report: Report<'a>,
    inner: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    task: String,
    failed: Option<String>,
}

impl Sink for Tasks<'_> {
    fn event(&self, event: Event) {
        let mut heard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::TaskBegan { name, .. } => {
                (self.report)(&name);
                heard.task = name;
            }
            Event::Failed { why, ignored: false, .. } => {
                heard.failed = Some(format!("task `{}`: {why}", heard.task));
            }
            Event::Unreachable { ignored: false, .. } => {
                heard.failed = Some(format!("it was lost during task `{}`", heard.task));
            }
            Event::Fault(fault) => heard.failed = Some(fault.to_string()),
            _ => {}
        }
    }
}
