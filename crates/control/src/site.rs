//! A site and what can be done with it: look, plan, run.

use crate::actor::Actor;
use crate::becoming::Becoming;
use crate::identity::{self, MEMORY};
use crate::observe::{self, Sight};
use crate::place::Place;
use crate::sessions::{Providers, Sessions};
use crate::settings::Settings;
use crate::world::{self, ImageStore};
use crate::{ControlError, desire, templates};
use camino::Utf8Path;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use updraft_base::{Chance as _, MachineName, RunId, SeededChance, ServiceName, chain};
use updraft_engine::{Event, Journal, Options, Outcome, RunStart, Step, StepId, StopSignal, Work};
use updraft_host::{FileLock, Holder, HostError, OsChance};
use updraft_plan::{Act, Desired, Draw, Memory, Plan, SavedPlan, ShapeChange};
use updraft_site::Site;

/// Receives what a run tells.
pub type Events<'a> = &'a mut (dyn FnMut(Event) + Send);

/// A site, read and checked.
pub struct SiteControl {
    site: Arc<Site>,
    place: Place,
    settings: Settings,
}

/// Twice the size a site file may have.
const LARGEST_FILE: u64 = 2 << 20;

/// Files of this computer, for reading site files.
struct Disk<'a> {
    home: Option<&'a Path>,
}

impl updraft_site::Source for Disk<'_> {
    fn read(&self, path: &Utf8Path) -> std::io::Result<Vec<u8>> {
        use std::io::Read as _;
        // A little more than a site file may have, so that one that is too large is told as such.
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(LARGEST_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        path.is_file()
    }

    fn home(&self) -> Option<camino::Utf8PathBuf> {
        self.home.and_then(|home| camino::Utf8PathBuf::from_path_buf(home.to_owned()).ok())
    }
}

impl SiteControl {
    /// Reads and checks a site file.
    ///
    /// # Errors
    /// [`ControlError::Site`] with every fault in it.
    pub fn open(file: &Utf8Path, settings: Settings) -> Result<Self, ControlError> {
        let source = Disk { home: settings.home.as_deref() };
        let site = updraft_site::load(file, &source).map_err(ControlError::Site)?;
        let place = Place::beside(file.as_std_path());
        Ok(Self { site: Arc::new(site), place, settings })
    }

    /// The site.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Where it keeps its state.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What the caller knows.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it asks for, with every file it names read.
    ///
    /// # Errors
    /// When a play cannot be read or has faults.
    pub fn desired(&self) -> Result<Desired, ControlError> {
        desire::desire(&self.site, &self.settings)
    }

    /// The journal for reading; `None` before the first run.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn journal(&self) -> Result<Option<Journal>, ControlError> {
        Ok(Journal::open_read(&self.place.journal())?)
    }

    /// Choices of earlier plans; none before the first run.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn memory(&self) -> Result<Memory, ControlError> {
        match self.journal()? {
            Some(journal) => Ok(identity::memory(&journal)?),
            None => Ok(Memory::default()),
        }
    }

    fn providers(&self, memory: &Memory) -> Result<Providers, ControlError> {
        match memory.site {
            // Without an identity there is no mark that anything could carry.
            None => Ok(Providers::new()),
            Some(id) => Ok(world::providers(&self.site, id, &self.place, &self.settings)?),
        }
    }

    /// Conversations with the machines of the site as it is remembered.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn sessions(&self) -> Result<Sessions, ControlError> {
        self.sessions_of(&self.memory()?)
    }

    fn sessions_of(&self, memory: &Memory) -> Result<Sessions, ControlError> {
        let now = self.settings.clock.now();
        let command = self.settings.command.clone();
        let providers = self.providers(memory)?;
        Ok(Sessions::new(memory.site, providers, self.place.clone(), command, now))
    }

    /// Looks at everything.
    ///
    /// # Errors
    /// When a provider cannot be asked.
    pub async fn look(&self, sessions: &Sessions) -> Result<Sight, ControlError> {
        let images = ImageStore::new(&self.settings, None).present(&self.site).await;
        let mut sight = observe::observe(&self.site, sessions, images).await?;
        sight.observed.templates =
            templates::observe(&self.site, sessions.site(), &self.place, &self.settings).await?;
        Ok(sight)
    }

    /// What `up` would do. Changes nothing.
    ///
    /// # Errors
    /// When plays have faults, the world cannot be looked at, or no plan can be made.
    pub async fn plan(&self) -> Result<Plan, ControlError> {
        let memory = self.memory()?;
        let sight = self.look(&self.sessions_of(&memory)?).await?;
        self.plan_over(&sight, &memory)
    }

    /// As [`SiteControl::plan`], with what [`Change::check_saved`] needs to know later.
    ///
    /// # Errors
    /// As [`SiteControl::plan`].
    pub async fn plan_to_save(&self) -> Result<SavedPlan, ControlError> {
        let memory = self.memory()?;
        let sight = self.look(&self.sessions_of(&memory)?).await?;
        Ok(SavedPlan::new(self.plan_over(&sight, &memory)?, &sight.observed))
    }

    fn plan_over(&self, sight: &Sight, memory: &Memory) -> Result<Plan, ControlError> {
        let desired = self.desired()?;
        let mut chance = SeededChance::new(OsChance.next_u64());
        let draw = Draw { now: self.settings.clock.now(), chance: &mut chance };
        Ok(updraft_plan::plan_up(&desired, &sight.observed, memory, draw)?)
    }

    /// How many steps run at once.
    pub fn set_width(&mut self, width: usize) {
        self.settings.width = width;
    }

    /// Who is changing the site now, if anybody.
    pub fn holder(&self) -> Option<Holder> {
        FileLock::holder(&self.place.lock())
    }

    /// Takes the right to change the site. Nobody else has it until the answer is dropped.
    ///
    /// # Errors
    /// [`ControlError::Held`] when somebody has it.
    pub fn take(&self) -> Result<Change<'_>, ControlError> {
        self.make_place()?;
        let now = self.settings.clock.now();
        let me = Holder::this_process(self.settings.command.clone(), now);
        let lock = FileLock::acquire(&self.place.lock(), &me).map_err(|error| match error {
            HostError::Held { holder, .. } => ControlError::Held {
                site: self.site.name.to_string(),
                holder: holder.map_or_else(|| "another run".to_owned(), |h| h.to_string()),
            },
            other => ControlError::Host(other),
        })?;
        let journal = Journal::open(&self.place.journal())?;
        if let Some(plan) = self.settings.crash_at {
            journal.plan_crash(plan);
        }
        let notices = Mutex::default();
        Ok(Change { control: self, journal: Arc::new(journal), _lock: lock, notices })
    }

    fn make_place(&self) -> Result<(), ControlError> {
        use std::os::unix::fs::DirBuilderExt as _;
        for dir in [self.place.root().to_owned(), self.place.root().join("channels")] {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
            made.map_err(|source| HostError::File { act: "make", path: dir, source })?;
        }
        Ok(())
    }
}

/// The right to change a site.
pub struct Change<'a> {
    control: &'a SiteControl,
    journal: Arc<Journal>,
    _lock: FileLock,
    notices: Mutex<BTreeSet<String>>,
}

impl Change<'_> {
    /// What was learned of providers while plans were run, each thing once.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *notices).into_iter().collect()
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    fn sessions(&self, memory: &Memory) -> Result<Sessions, ControlError> {
        self.control.sessions_of(memory)
    }

    /// The site.
    pub(crate) fn control(&self) -> &SiteControl {
        self.control
    }

    /// What is remembered and what is seen now.
    pub(crate) async fn sight(&self) -> Result<(Memory, Sight), ControlError> {
        let memory = identity::memory(&self.journal)?;
        let sight = self.control.look(&self.sessions(&memory)?).await?;
        Ok((memory, sight))
    }

    /// What `up` would do now.
    ///
    /// # Errors
    /// As [`SiteControl::plan`].
    pub async fn plan_up(&self) -> Result<Plan, ControlError> {
        let memory = identity::memory(&self.journal)?;
        let sight = self.control.look(&self.sessions(&memory)?).await?;
        self.control.plan_over(&sight, &memory)
    }

    /// What `down` would do now.
    ///
    /// # Errors
    /// As [`SiteControl::plan`].
    pub async fn plan_down(&self) -> Result<Plan, ControlError> {
        let memory = identity::memory(&self.journal)?;
        let sight = self.control.look(&self.sessions(&memory)?).await?;
        Ok(updraft_plan::plan_down(&self.control.desired()?, &sight.observed, &memory))
    }

    /// What `destroy` would do now.
    ///
    /// # Errors
    /// As [`SiteControl::plan`].
    pub async fn plan_destroy(&self) -> Result<Plan, ControlError> {
        let memory = identity::memory(&self.journal)?;
        let sight = self.control.look(&self.sessions(&memory)?).await?;
        Ok(updraft_plan::plan_destroy(&self.control.desired()?, &sight.observed, &memory))
    }

    /// What powering these machines on would do.
    ///
    /// # Errors
    /// As [`SiteControl::plan`].
    pub async fn plan_start(&self, names: &[MachineName]) -> Result<Plan, ControlError> {
        Ok(updraft_plan::plan_start(self.plan_up().await?, names))
    }

    /// What powering these machines off would do.
    ///
    /// # Errors
    /// As [`SiteControl::plan`].
    pub async fn plan_stop(&self, names: &[MachineName]) -> Result<Plan, ControlError> {
        let memory = identity::memory(&self.journal)?;
        let sight = self.control.look(&self.sessions(&memory)?).await?;
        Ok(updraft_plan::plan_stop(&self.control.desired()?, &sight.observed, &memory, names))
    }

    /// What giving one machine another shape would do.
    ///
    /// # Errors
    /// As [`SiteControl::plan`]; when the machine is not there, or its disk would have to shrink.
    pub async fn plan_resize(
        &self,
        name: &MachineName,
        change: ShapeChange,
    ) -> Result<Plan, ControlError> {
        let memory = identity::memory(&self.journal)?;
        let sight = self.control.look(&self.sessions(&memory)?).await?;
        let mut machines = sight.observed.machines.iter();
        if !machines.any(|facts| facts.name == *name && facts.made.is_some()) {
            let (machine, state) = (name.to_string(), "not made yet".to_owned());
            return Err(ControlError::NotRunning { machine, state });
        }
        let desired = self.control.desired()?;
        let mut chance = SeededChance::new(OsChance.next_u64());
        let draw = Draw { now: self.control.settings.clock.now(), chance: &mut chance };
        Ok(updraft_plan::plan_resize(&desired, &sight.observed, &memory, name, change, draw)?)
    }

    /// What deploying, starting or stopping a service on these machines would do.
    ///
    /// # Errors
    /// As [`SiteControl::plan`].
    pub async fn plan_service(
        &self,
        service: &ServiceName,
        verb: updraft_plan::ServiceVerb,
        names: &[MachineName],
    ) -> Result<Plan, ControlError> {
        let memory = identity::memory(&self.journal)?;
        let sight = self.control.look(&self.sessions(&memory)?).await?;
        let desired = self.control.desired()?;
        Ok(updraft_plan::plan_service(&desired, &sight.observed, &memory, service, verb, names))
    }

    /// Keeps what a plan without steps has found out: machines that were adopted.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn keep(&self, plan: &Plan) -> Result<(), ControlError> {
        if identity::memory(&self.journal)? != plan.memory {
            self.journal.state_put(MEMORY, &json(&plan.memory))?;
        }
        // A run that was killed may have left them as they were before.
        Ok(identity::write_ssh_files(&self.journal, &self.control.place, &self.control.site)?)
    }

    /// Forgets a clone that is gone: its name and address are free again.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn forget_clone(&self, name: &str) -> Result<(), ControlError> {
        let mut memory = identity::memory(&self.journal)?;
        memory.machines.retain(|known, drawn| known.as_str() != name || drawn.cloned.is_none());
        self.journal.state_put(MEMORY, &json(&memory))?;
        Ok(identity::write_ssh_files(&self.journal, &self.control.place, &self.control.site)?)
    }

    /// Whether a saved plan still fits the site file and the world.
    ///
    /// # Errors
    /// [`ControlError::Stale`] with what moved.
    pub async fn check_saved(&self, saved: &SavedPlan) -> Result<(), ControlError> {
        let memory = identity::memory(&self.journal)?;
        let plan = &saved.plan;
        let mut moved = Vec::new();
        if memory.site.is_some() && plan.memory.site != memory.site {
            moved.push("the site was destroyed or made anew".to_owned());
        }
        if self.control.desired()?.digest() != plan.desired {
            moved.push("the site file, or a file it names, changed".to_owned());
        }
        let sight = self.control.look(&self.sessions(&memory)?).await?;
        moved.extend(saved.moved(&sight.observed));
        match moved.is_empty() {
            true => Ok(()),
            false => Err(ControlError::Stale { moved }),
        }
    }

    /// Takes up a run that was killed or stopped, if the site file still says what it said then.
    /// One that does not fit any more is given up: what it left is seen by the next plan.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub async fn resume(
        &self,
        stop: &StopSignal,
        events: Events<'_>,
    ) -> Result<Option<Outcome>, ControlError> {
        let Some(left) = self.journal.unfinished_run()? else { return Ok(None) };
        let plan: Option<serde_json::Value> = self.journal.state_get(&plan_key(left.run.id))?;
        // What another version of updraft wrote may not be read, and is given up like the rest.
        let plan = plan.and_then(|plan| serde_json::from_value::<Plan>(plan).ok());
        let fits = match &plan {
            Some(plan) => self.control.desired()?.digest() == plan.desired && plan.verb == "up",
            None => false,
        };
        match plan.filter(|_| fits) {
            Some(plan) => {
                let work = left.work;
                self.execute(left.run.id, Arc::new(plan), &work, stop, events).await.map(Some)
            }
            None => {
                let now = self.control.settings.clock.now();
                self.journal.abandon(left.run.id, "the site file changed since", now)?;
                Ok(None)
            }
        }
    }

    /// Runs a plan.
    ///
    /// # Errors
    /// When the journal cannot be written. Steps that fail are no error here, but the outcome.
    pub async fn run(
        &self,
        plan: Plan,
        stop: &StopSignal,
        events: Events<'_>,
    ) -> Result<Outcome, ControlError> {
        let settings = &self.control.settings;
        let now = settings.clock.now();
        let run = RunId::draw(now, &mut OsChance);
        let work = work(&plan);
        if let Some(left) = self.journal.unfinished_run()? {
            self.journal.abandon(left.run.id, "another plan took its place", now)?;
        }
        self.journal.state_write::<_, ControlError>(|state| {
            for (key, _) in state.all(PLAN_PREFIX)? {
                state.forget(&key)?;
            }
            state.put(&plan_key(run), &json(&plan))?;
            state.put(MEMORY, &json(&plan.memory))?;
            Ok(())
        })?;
        let start = RunStart {
            id: run,
            command: settings.command.clone(),
            who: settings.user.clone(),
            at: now,
        };
        self.journal.begin_run(&start, &work)?;
        self.execute(run, Arc::new(plan), &work, stop, events).await
    }

    async fn execute(
        &self,
        run: RunId,
        plan: Arc<Plan>,
        work: &Work,
        stop: &StopSignal,
        events: Events<'_>,
    ) -> Result<Outcome, ControlError> {
        let settings = &self.control.settings;
        let actor = Actor {
            becoming: Becoming::of(&plan),
            site: Arc::clone(&self.control.site),
            sessions: Arc::new(self.sessions(&plan.memory)?),
            images: Arc::new(ImageStore::new(settings, plan.memory.site)),
            plan,
            place: self.control.place.clone(),
            run,
            journal: Arc::clone(&self.journal),
            clock: Arc::clone(&settings.clock),
            settings: settings.clone(),
            hosts: OnceLock::new(),
            told: Mutex::default(),
        };
        let options = Options::new(settings.width, Arc::clone(&settings.clock));
        let ran =
            updraft_engine::run(&self.journal, run, work, &actor, &options, stop, events).await;
        let mut left = Ok(());
        if stop.now() {
            // A build that was broken off leaves its machine to whoever comes next: to us.
            left = crate::store::sweep_images(settings).await;
        }
        let wrote =
            identity::write_ssh_files(&self.journal, &self.control.place, &self.control.site);
        let learned = actor.sessions.providers().values().filter_map(|provider| provider.notice());
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.extend(learned);
        notices.extend(actor.told.into_inner().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = left {
            notices
                .insert(format!("a build that was broken off left something: {}", chain(&error)));
        }
        // How the run ended is told whatever became of these files; the next run writes them again.
        if let Err(error) = wrote {
            notices.insert(format!("`ssh` may not know the machines: {}", chain(&error)));
        }
        Ok(ran?)
    }

    /// Removes the site's state: the last act of `destroy`, when nothing carries its mark.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    pub async fn forget_everything(self) -> Result<(), ControlError> {
        let Self { control, journal, _lock, notices: _ } = self;
        if let Some(site) = identity::memory(&journal)?.site {
            ImageStore::new(&control.settings, Some(site)).release().await?;
        }
        drop(journal);
        let root = control.place.root();
        std::fs::remove_dir_all(root).map_err(|source| {
            ControlError::Host(HostError::File { act: "remove", path: root.to_owned(), source })
        })
    }
}

fn json(value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).expect("plain data always serializes")
}

const PLAN_PREFIX: &str = "plan/";

fn plan_key(run: RunId) -> String {
    format!("{PLAN_PREFIX}{run}")
}

/// The plan as work for the engine.
fn work(plan: &Plan) -> Work {
    let steps = plan
        .steps
        .iter()
        .map(|step| Step {
            id: StepId(step.id),
            key: step.key.clone(),
            title: step.title.clone(),
            subject: Some(step.subject.clone()),
            after: step.after.iter().map(|id| StepId(*id)).collect(),
            lane: step.lane.clone(),
            undo: matches!(
                step.act,
                Act::CreateMachine(_) | Act::CloneMachine { .. } | Act::EnsureNetwork { .. }
            ),
            spec: serde_json::to_value(&step.act).expect("plain data always serializes"),
        })
        .collect();
    Work::new(format!("{} {}", plan.verb, plan.site), plan.digest(), steps)
        .expect("a plan's steps have distinct keys and wait for earlier ones only")
}
