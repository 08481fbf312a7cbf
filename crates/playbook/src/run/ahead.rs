//! Tasks that are sent together, so that a host far away is asked once and not once for each.
//!
//! Before a task is carried out it is rehearsed, with those that follow it: everything about them is
//! settled as if their turn had come, and what they would ask of the host is only noted. What was
//! noted goes out in one message; the agent carries it out in order, up to the first that fails.
//! When a task's turn comes it is settled once more, as ever. If it then asks for the very same
//! thing, the answer is on its way already.
//!
//! Whatever a task may not know before its turn ends the rehearsal there: what an earlier one gives,
//! other hosts, chance, the time, programs that run here.

use super::execute::{Call, Crew};
use super::following::set_names;
use super::outcome::Ended;
use super::reach::{HostTarget, Reach, ReachError};
use super::remote::{answer, unreachable};
use super::state::HostState;
use super::strategy::Batch;
use super::vars::{Layer, TaskScope};
use crate::output::{Event, Sink};
use crate::parse::tree::{Node, Task};
use crate::template::{Answer, Fault, Interp, Kind, Others, Outside, Ran, World};
use crate::value::{self, Dict, Value};
use async_trait::async_trait;
use serde_json::json;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use updraft_base::{Blame, Chance, Clock, SeededChance, Timestamp};
use updraft_remote::{Output, RemoteError, Session, Steps};
use updraft_wire::{
    Chain, Exec, Exit, FailureKind, ModuleRequest, ModuleResult, Peer, Put, Request, Response,
};

/// Requests that are sent together, at most: few enough that their answers find room on the line
/// while nobody fetches them.
const MOST: usize = 32;

/// Bytes of arguments that are sent together, about.
const MOST_BYTES: usize = 256 << 10;

/// Parts of results that are looked up without calling anything.
const PARTS: &[&str] = &[
    "changed",
    "cmd",
    "content",
    "exists",
    "failed",
    "msg",
    "rc",
    "results",
    "skipped",
    "stat",
    "stderr",
    "stderr_lines",
    "stdout",
    "stdout_lines",
];

/// Names that mean something else once other tasks have run, on this host or on others.
const UNSETTLED: &[&str] = &[
    "ansible_failed_result",
    "ansible_failed_task",
    "ansible_play_batch",
    "ansible_play_hosts",
    "play_hosts",
];

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of the requests that come next on a host.
pub(crate) enum Ahead {
    /// They go out with the first of them.
    Planned(VecDeque<ModuleRequest>),
    /// They have gone out.
    Sent { steps: Box<dyn Steps>, left: VecDeque<ModuleRequest> },
}

/// Minds what a rehearsal looks at.
pub(crate) struct Watch {
    /// The host as the tasks of the rehearsal leave it.
    pub(crate) host: Arc<HostState>,
    /// What results of earlier tasks are called.
    names: Mutex<BTreeSet<String>>,
    /// Variables that earlier tasks set. Of this host they are known; when they are set on others
    /// nobody knows.
    set: Mutex<BTreeSet<String>>,
    /// Variables that were looked at.
    seen: Mutex<Vec<String>>,
    /// Something was looked at that is not settled yet.
    hit: Arc<AtomicBool>,
    /// The world without what may be another a moment later.
    pub(crate) world: Arc<World>,
}

impl Watch {
    pub(super) fn new(world: &World, host: &HostState) -> Self {
        let hit = Arc::new(AtomicBool::new(false));
        let unsettled =
            Arc::new(Unsettled { hit: Arc::clone(&hit), outside: Arc::clone(&world.commands) });
        let world = World {
            clock: Arc::clone(&unsettled) as Arc<dyn Clock>,
            commands: unsettled,
            // They are noted when the task's turn has come.
            differences: None,
            ..world.clone()
        };
        Self {
            host: Arc::new(host.rehearsed()),
            names: Mutex::default(),
            set: Mutex::default(),
            seen: Mutex::default(),
            hit,
            world: Arc::new(world),
        }
    }

    /// Notes that a variable of a host was looked at.
    pub(crate) fn looks_at(&self, host: &str, name: &str) {
        lock(&self.seen).push(name.to_owned());
        let of_other = host != self.host.name && lock(&self.set).contains(name);
        if of_other || UNSETTLED.contains(&name) || lock(&self.names).contains(name) {
            self.looks_too_far();
        }
    }

    /// What was looked at since this was asked last.
    pub(super) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.seen))
    }

    /// Notes that something was looked at that is not settled yet.
    pub(crate) fn looks_too_far(&self) {
        self.hit.store(true, Ordering::Relaxed);
    }

    /// Notes what a task gives: of its result nothing is known, of the variables that it sets only
    /// those of its own host.
    fn gives(&self, task: &Task) {
        lock(&self.names).extend(task.register.clone());
        lock(&self.set).extend(set_names(task).into_iter().flatten());
    }

    fn is_hit(&self) -> bool {
        self.hit.load(Ordering::Relaxed)
    }
}

/// Time, chance and programs, whose answers count only when a task's turn has come.
struct Unsettled {
    hit: Arc<AtomicBool>,
    /// Who knows which filters there are.
    outside: Arc<dyn Outside>,
}

impl Clock for Unsettled {
    fn now(&self) -> Timestamp {
        self.hit.store(true, Ordering::Relaxed);
        Timestamp::UNIX_EPOCH
    }
}

impl Outside for Unsettled {
    fn shell(&self, _command: &str, _directory: &Path) -> Result<Ran, String> {
        self.hit.store(true, Ordering::Relaxed);
        Err("its turn has not come".to_owned())
    }

    fn chance(&self) -> Box<dyn Chance> {
        self.hit.store(true, Ordering::Relaxed);
        Box::new(SeededChance::new(0))
    }

    fn may_write(&self) -> bool {
        self.hit.store(true, Ordering::Relaxed);
        false
    }

    fn others(&self) -> Option<&dyn Others> {
        self.outside.others().is_some().then_some(self)
    }
}

impl Others for Unsettled {
    fn before_ours(&self, kind: Kind, name: &str) -> bool {
        self.outside.others().is_some_and(|others| others.before_ours(kind, name))
    }

    fn may_have(&self, kind: Kind, name: &str) -> bool {
        self.outside.others().is_some_and(|others| others.may_have(kind, name))
    }

    fn run(
        &self,
        _cx: &mut Interp<'_>,
        _kind: Kind,
        _name: &str,
        _call: &value::Call,
    ) -> Result<Answer, Fault> {
        self.hit.store(true, Ordering::Relaxed);
        Err(Fault::new("its turn has not come"))
    }
}

/// A session that only notes what it is asked, and a way to it.
#[derive(Default)]
struct Notes {
    requests: Mutex<Vec<ModuleRequest>>,
    /// Something else than a request was asked of it.
    more: AtomicBool,
    peer: Peer,
}

impl Notes {
    fn beyond<T>(&self) -> Result<T, RemoteError> {
        self.more.store(true, Ordering::Relaxed);
        Err(RemoteError::Lost { host: String::new(), reason: "its turn has not come".to_owned() })
    }
}

#[async_trait]
impl Session for Notes {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    async fn call(&self, request: Request, _within: Duration) -> Result<Response, RemoteError> {
        let Request::Module(request) = request else { return self.beyond() };
        // What a task asks for after it has been told a fact hangs on the fact.
        if request.foreign.is_some() || request.job.is_some() || request.name == "setup" {
            return self.beyond();
        }
        lock(&self.requests).push(request);
        let result = json!({ "changed": false });
        Ok(Response::Module(ModuleResult(result.as_object().cloned().unwrap_or_default())))
    }

    async fn exec(&self, _exec: Exec, _output: &mut dyn Output) -> Result<Exit, RemoteError> {
        self.beyond()
    }

    async fn put(
        &self,
        _put: Put,
        _content: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<String, RemoteError> {
        self.beyond()
    }

    async fn get(
        &self,
        _path: &str,
        _into: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u32, RemoteError> {
        self.beyond()
    }
}

/// The way to [`Notes`].
struct ToNotes {
    notes: Arc<Notes>,
    /// The host of the first task, and how to reach it. Another one is another way.
    target: Mutex<Option<HostTarget>>,
}

#[async_trait]
impl Reach for ToNotes {
    async fn session(&self, host: &HostTarget) -> Result<Arc<dyn Session>, ReachError> {
        // Nothing is far here, and a file that a task writes may be the source of the next.
        let loopback = ["localhost", "127.0.0.1", "::1"].contains(&host.address().as_str());
        let is_near =
            host.is_here() || host.connection() != "ssh" || loopback && host.port().is_none();
        let is_other = lock(&self.target).get_or_insert_with(|| host.clone()) != host;
        if is_near || is_other {
            self.notes.more.store(true, Ordering::Relaxed);
            let message = "its turn has not come".to_owned();
            return Err(ReachError { message, blame: Blame::Passing });
        }
        let notes: Arc<Notes> = Arc::clone(&self.notes);
        Ok(notes)
    }

    async fn forget(&self, _host: &HostTarget) {}

    async fn log_in_anew(&self, _host: &HostTarget) {}
}

/// Nothing of a rehearsal is told.
struct Silence;

impl Sink for Silence {
    fn event(&self, _event: Event) {}
}

/// Whether a task only shows what an earlier task gave. It asks nothing of its host, gives nothing
/// and cannot fail, whatever that was.
fn only_shows(task: &Task, scope: &TaskScope, watch: &Watch) -> bool {
    let common = &task.common;
    let plain = task.module() == Some("debug")
        && task.foreign.is_none()
        && task.repeat.is_none()
        && common.when.is_empty()
        && common.module_defaults.is_empty()
        && [&common.check_mode, &common.diff, &common.timeout].iter().all(|it| it.is_none());
    let args = task.args.as_dict().filter(|args| plain && args.len() == 1);
    let Some(Value::Str(shown)) = args.and_then(|args| args.get("var")) else { return false };
    let mut parts = shown.split('.');
    let Some(name) = parts.next() else { return false };
    // What outranks results may be a template, and fail.
    let is_result = lock(&watch.names).contains(name)
        && scope.magic(name).is_none()
        && scope.for_task(task).layers(name).next().is_none_or(|(layer, _)| {
            !matches!(layer, Layer::CommandLine | Layer::Include | Layer::RoleParams(_))
        });
    is_result && parts.all(|part| PARTS.contains(&part))
}

/// One after the other.
type Tasks = Vec<Arc<Task>>;

impl Batch<'_> {
    /// Plans what is asked together of each host, beginning with the first of these tasks.
    pub(super) async fn look_ahead(&self, nodes: &[Node], set: &[usize]) {
        let mut tasks = None;
        for index in set.iter().copied().filter(|index| self.looks_ahead(*index)) {
            let tasks = tasks.get_or_insert_with(|| {
                let mut walk = self.walk(set);
                let open = walk.nodes(nodes);
                walk.and_then(open, &self.around)
            });
            self.plan(tasks, index).await;
        }
    }

    /// Plans what is asked together of hosts that were notified of a handler: with it the others
    /// that each was notified of, which stand from `at` on, and what comes after them. `set` are
    /// the hosts that are on their way through the handlers.
    pub(super) async fn look_ahead_of_handlers(
        &self,
        first: &Arc<Task>,
        at: usize,
        hosts: &[usize],
        set: &[usize],
    ) {
        // Most hosts were notified of the same, and a walk looks at all of them.
        let mut walked: Vec<(Tasks, Tasks)> = Vec::new();
        for index in hosts.iter().copied().filter(|index| self.looks_ahead(*index)) {
            let left = self.handlers.left_for(at, index);
            let same = |other: &Tasks| {
                left.len() == other.len() && left.iter().zip(other).all(|(a, b)| Arc::ptr_eq(a, b))
            };
            if let Some((_, tasks)) = walked.iter().find(|(other, _)| same(other)) {
                self.plan(tasks, index).await;
                continue;
            }
            let mut walk = self.walk(set);
            let open = walk.handlers(std::iter::once(first).chain(&left));
            let tasks = walk.and_then(open, &self.around);
            self.plan(&tasks, index).await;
            walked.push((left, tasks));
        }
    }

    /// Whether there is anything to plan for a host.
    fn looks_ahead(&self, index: usize) -> bool {
        let options = &self.crew.shared.options;
        let asks = options.step || options.debugger || self.vars.debugged;
        let host = self.crew.shared.host(&self.names[index]);
        let is_under_way = matches!(*lock(&host.ahead), Some(Ahead::Sent { .. }));
        !(asks || options.start_at.is_some() || is_under_way)
    }

    async fn plan(&self, tasks: &[Arc<Task>], index: usize) {
        if tasks.len() > 1 || tasks.first().is_some_and(|it| it.repeat.is_some()) {
            self.crew.look_ahead(tasks, &self.scope(index)).await;
        }
    }

    /// Forgets what was planned and has not gone out: the next task plans anew.
    pub(super) fn look_no_more(&self, set: &[usize]) {
        for index in set {
            let host = self.crew.shared.host(&self.names[*index]);
            let mut ahead = lock(&host.ahead);
            if matches!(*ahead, Some(Ahead::Planned(_))) {
                *ahead = None;
            }
        }
    }
}

impl Crew<'_> {
    /// Plans what is asked of a host together.
    pub(super) async fn look_ahead(&self, tasks: &[Arc<Task>], scope: &TaskScope) {
        let requests = self.rehearse(tasks, scope).await;
        *lock(&scope.host.ahead) =
            (requests.len() > 1).then(|| Ahead::Planned(VecDeque::from(requests)));
    }

    /// What tasks will ask of a host, up to the first of which it cannot be known.
    async fn rehearse(&self, tasks: &[Arc<Task>], scope: &TaskScope) -> Vec<ModuleRequest> {
        let notes = Arc::new(Notes::default());
        let watch = Arc::new(Watch::new(&self.shared.world, &scope.host));
        let reach = ToNotes { notes: Arc::clone(&notes), target: Mutex::default() };
        let crew = Crew { reach: &reach, sink: &Silence, ..*self };
        let scope = TaskScope {
            host: Arc::clone(&watch.host),
            watch: Some(Arc::clone(&watch)),
            ..scope.clone()
        };
        let mut bytes = 0;
        for task in tasks {
            if only_shows(task, &scope, &watch) {
                watch.gives(task);
                continue;
            }
            let known = lock(&notes.requests).len();
            // Each item of a loop can see what the one before it gave.
            if task.repeat.is_some() {
                watch.gives(task);
            }
            let task = Task { changed_when: None, failed_when: None, ..Task::clone(task) };
            let scope = scope.for_task(&task);
            let told = match &task.repeat {
                None => crew.once(&task, &scope).await,
                Some(repeat) => crew.repeat(&task, repeat, &scope).await,
            };
            let mut requests = lock(&notes.requests);
            let failed = matches!(told.outcome.ended, Ended::Failed | Ended::Unreachable);
            if failed || watch.is_hit() || notes.more.load(Ordering::Relaxed) {
                requests.truncate(known);
                break;
            }
            bytes += requests[known..].iter().map(size).sum::<usize>();
            if requests.len() > MOST || bytes > MOST_BYTES {
                // Of a long loop the first items, otherwise up to the task before.
                requests.truncate(if known > 0 { known } else { MOST });
                break;
            }
            drop(requests);
            watch.gives(&task);
        }
        std::mem::take(&mut *lock(&notes.requests))
    }

    /// The answer to a request that goes out with others or has gone out before; `None` when it is
    /// to be asked for alone.
    pub(super) async fn sent_together(
        &self,
        call: &Call<'_>,
        session: &dyn Session,
        request: &ModuleRequest,
    ) -> Option<Dict> {
        let host = call.delegate.is_none().then_some(&call.scope.host)?;
        let within = self.deadline(request);
        let ahead = lock(&host.ahead).take()?;
        let (mut steps, mut left) = match ahead {
            Ahead::Planned(planned) if planned.front() == Some(request) => {
                match session.chain(chain_of(&planned)).await {
                    Ok(steps) => (steps, planned),
                    Err(error) => return Some(unreachable(&updraft_base::chain(&error))),
                }
            }
            Ahead::Planned(_) => return None,
            Ahead::Sent { steps, left } => (steps, left),
        };
        if left.pop_front().as_ref() != Some(request) {
            // It was told otherwise than it was foreseen. What is under way comes to its end first.
            while let Ok(Some(_)) = steps.next(within).await {}
            return None;
        }
        match steps.next(within).await {
            Ok(None) => None,
            // An agent of another day, which knows no chains.
            Ok(Some(Response::Failed(failure))) if failure.kind == FailureKind::Refused => None,
            Ok(Some(response)) => {
                let goes_on = matches!(&response, Response::Module(result) if result.goes_on());
                if goes_on && !left.is_empty() {
                    *lock(&host.ahead) = Some(Ahead::Sent { steps, left });
                } else if goes_on {
                    // The end comes with the last answer.
                    steps.next(within).await.ok();
                }
                Some(answer(Ok(response)))
            }
            Err(error) => Some(unreachable(&updraft_base::chain(&error))),
        }
    }
}

/// Requests as one, with the user whom all of them become said once.
fn chain_of(requests: &VecDeque<ModuleRequest>) -> Chain {
    let become_user = requests.front().and_then(|first| first.become_user.clone());
    let mut modules: Vec<ModuleRequest> = requests.iter().cloned().collect();
    if modules.iter().any(|request| request.become_user != become_user) {
        return Chain { modules, become_user: None };
    }
    modules.iter_mut().for_each(|request| request.become_user = None);
    Chain { modules, become_user }
}

/// How many bytes a request takes, about.
fn size(request: &ModuleRequest) -> usize {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.len(),
        other => other.to_string().len(),
    };
    request.args.iter().map(|(name, value)| name.len() + text(value)).sum()
}
