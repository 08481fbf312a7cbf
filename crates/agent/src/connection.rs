//! One connection: its requests, each in a thread of its own while it lasts, and what ends with it.

use crate::becoming::{Child, Users};
use crate::blobs::Blobs;
use crate::failure::{answer, refused, system};
use crate::files;
use crate::foreign::Zygotes;
use crate::outbox::Outbox;
use crate::root::Root;
use crate::staging::Staging;
use crate::time::Deadline;
use crate::{
    clock, exec, expand, foreign, freeze, identity, job, module, observe, power, probe, workers,
};
use rustix::fd::OwnedFd;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use updraft_wire::{
    Become, Failure, FailureKind, Frame, Kind, MAX_MESSAGE, ModuleRequest, OutputTag, Request,
    Response,
};

/// Chunks of a file that wait to be written; the line waits when the disk is slower.
const WAITING_CHUNKS: usize = 8;

/// How long the end of a connection waits for modules in the middle of their work. A package
/// upgrade may take that long, and cutting it off would leave the machine half upgraded.
const LAST_WORK: Duration = Duration::from_secs(3600);

/// Requests at once, more than any controller sends; the bound keeps a wild one from taking all
/// threads of the machine.
const MOST_REQUESTS: usize = 256;

/// Locks, whatever happened to the thread that held it before: each critical section here leaves
/// its map whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A conversation with one controller.
pub(crate) struct Connection {
    outbox: Outbox,
    pub(crate) root: Root,
    tasks: Mutex<HashMap<u32, Arc<Task>>>,
    finished: Condvar,
    pub(crate) staging: Arc<Staging>,
    pub(crate) blobs: Blobs,
    pub(crate) zygotes: Zygotes,
    users: Users,
}

/// A request that is being carried out.
pub(crate) struct Task {
    pub(crate) id: u32,
    /// Set when the controller no longer wants it; modules watch it.
    pub(crate) cancelled: Arc<AtomicBool>,
    /// Set when the connection ends: what has begun goes on, and nothing after it is begun.
    ending: AtomicBool,
    /// What the end of the connection does to it.
    at_end: AtEnd,
    /// A byte written here wakes the thread that waits for a command.
    wake: Mutex<Option<OwnedFd>>,
    chunks: Mutex<Option<SyncSender<Vec<u8>>>>,
    /// Set while another agent carries it out, with the id that it has there.
    child: Mutex<Option<(Arc<Child>, u32)>>,
}

/// What the end of a connection does to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtEnd {
    /// A command is killed: its output has no reader.
    Cancel,
    /// A module goes on: cutting it off would leave its work half done.
    Finish,
}

impl Task {
    fn new(id: u32, at_end: AtEnd) -> Arc<Self> {
        Arc::new(Self {
            id,
            cancelled: Arc::default(),
            ending: AtomicBool::new(false),
            at_end,
            wake: Mutex::default(),
            chunks: Mutex::default(),
            child: Mutex::default(),
        })
    }

    /// A task that no controller can cancel.
    pub(crate) fn alone() -> Arc<Self> {
        Self::new(0, AtEnd::Cancel)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Whether nothing more is to be begun for it.
    fn is_over(&self) -> bool {
        self.is_cancelled() || self.ending.load(Ordering::SeqCst)
    }

    /// From now on a cancellation writes a byte to `wake`.
    pub(crate) fn wake_by(&self, wake: OwnedFd) {
        *lock(&self.wake) = Some(wake);
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        lock(&self.chunks).take();
        if let Some(wake) = &*lock(&self.wake) {
            // The pipe can only be full of such bytes already, or have lost its reader.
            rustix::io::write(wake, &[0]).ok();
        }
        if let Some((child, id)) = &*lock(&self.child) {
            child.send(&Frame::cancel(*id));
        }
    }
}

impl Connection {
    /// A new conversation.
    pub(crate) fn begin(outbox: Outbox, root: Root) -> Arc<Self> {
        Arc::new(Self {
            outbox,
            root,
            tasks: Mutex::default(),
            finished: Condvar::new(),
            staging: Arc::default(),
            blobs: Blobs::default(),
            zygotes: Zygotes::default(),
            users: Users::default(),
        })
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Takes one frame from the controller.
    pub(crate) fn take(self: &Arc<Self>, frame: Frame) {
        match frame.kind {
            Kind::Request => match frame.message::<Request>() {
                Ok(request) => self.ask(frame.id, request),
                Err(fault) => {
                    let fault = refused(format_args!("not a request this agent knows: {fault}"));
                    self.outbox.send(&Frame::response(frame.id, &Response::Failed(fault)));
                }
            },
            Kind::Data => {
                let task = lock(&self.tasks).get(&frame.id).cloned();
                let chunks = task.and_then(|task| lock(&task.chunks).clone());
                if let Some(chunks) = chunks {
                    // Who no longer takes chunks has failed and says so in its answer.
                    drop(chunks.send(frame.body));
                }
            }
            Kind::Cancel => {
                let task = lock(&self.tasks).get(&frame.id).cloned();
                if let Some(task) = task {
                    task.cancel();
                }
            }
            Kind::Hello | Kind::Response | Kind::Step | Kind::Output | Kind::Part => {}
        }
    }

    fn ask(self: &Arc<Self>, id: u32, request: Request) {
        match request {
            // Cheaper than starting a thread for them.
            Request::Ping => self.answer(id, &Response::Done),
            Request::Observe => self.answer(id, &observe::observe(&self.root)),
            // Whoever asks measures how long the answer takes.
            Request::Clock { step } => self.answer(id, &answer(clock::step(step))),
            request => self.start(id, request),
        }
    }

    fn start(self: &Arc<Self>, id: u32, request: Request) {
        let at_end = match request {
            Request::Module(_)
            | Request::Chain(_)
            | Request::Facts(_)
            | Request::Identify(_)
            | Request::Expand { .. }
            | Request::Freeze { .. }
            | Request::Thaw
            | Request::Rest
            | Request::Power { .. } => AtEnd::Finish,
            _ => AtEnd::Cancel,
        };
        let task = Task::new(id, at_end);
        let chunks = match &request {
            Request::Put(_) => {
                let (sender, receiver) = sync_channel(WAITING_CHUNKS);
                *lock(&task.chunks) = Some(sender);
                Some(receiver)
            }
            _ => None,
        };
        {
            let mut tasks = lock(&self.tasks);
            if tasks.len() >= MOST_REQUESTS || tasks.contains_key(&id) {
                drop(tasks);
                let fault =
                    refused(format_args!("request {id} is one too many or one asked twice"));
                self.outbox.send(&Frame::response(id, &Response::Failed(fault)));
                return;
            }
            tasks.insert(id, Arc::clone(&task));
        }
        let this = Arc::clone(self);
        let identifies = match &request {
            Request::Identify(wanted) => Some(wanted.quiet_ms.map(Duration::from_millis)),
            _ => None,
        };
        let started = workers::start(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| this.carry_out(&task, request, chunks)));
            match outcome {
                Ok(Some(response)) => this.answer(id, &response),
                Ok(None) => {}
                Err(panic) => this.answer(id, &Response::Failed(crashed(panic.as_ref()))),
            }
            if let Some(quiet) = identifies {
                identity::follow_up(&this.root, quiet);
            }
        });
        if let Err(fault) = started {
            self.answer(id, &Response::Failed(system("cannot start a thread", fault)));
        }
    }

    /// Carries out a request; `None` when another agent answers it.
    fn carry_out(
        self: &Arc<Self>,
        task: &Arc<Task>,
        request: Request,
        chunks: Option<Receiver<Vec<u8>>>,
    ) -> Option<Response> {
        if !matches!(request, Request::Identify(_) | Request::Probe(_)) {
            identity::let_rest_go(&self.root);
        }
        let (mut request, wanted) = without_become(request);
        if let Some(wanted) = wanted.filter(|wanted| !self.users.is_self(&wanted.user)) {
            let located = foreign::locate(self, &mut request);
            if let Some(missing) = located.transpose() {
                return Some(answer(missing));
            }
            return self.forward(task, &request, &wanted).err().map(Response::Failed);
        }
        let outcome = match request {
            Request::Ping => Ok(Response::Done),
            Request::Observe => Ok(observe::observe(&self.root)),
            Request::Clock { step } => clock::step(step),
            // A disk that is copied then says whose it is.
            Request::Freeze { within_ms } => identity::settle(&self.root)
                .and_then(|()| freeze::freeze(&self.root, Duration::from_millis(within_ms))),
            Request::Thaw => Ok(freeze::thaw()),
            Request::Rest => identity::rest(&self.root),
            Request::Facts(facts) => Ok(module::facts(&facts)),
            Request::Module(request) if request.name == job::STATUS => job::status(&request.args),
            Request::Module(request) => match &request.foreign {
                _ if let Some(wanted) = &request.job => job::begin(self, &request, wanted),
                Some(module) => foreign::run(self, task, &request, module),
                None => Ok(module::run(self, task, &request)),
            },
            Request::Chain(chain) => self.chain(task, chain.modules),
            Request::Exec(command) => exec::run(self, task, &command),
            Request::Put(put) => {
                files::put(self, &put, &chunks.expect("start makes a channel for each put"))
            }
            Request::Get { path } => files::get(self, task, &path),
            Request::Identify(wanted) => identity::apply(&self.root, &wanted),
            Request::Mark { key, value } => observe::mark(&self.root, &key, value),
            Request::Probe(wanted) => Ok(probe::probe(&wanted)),
            Request::Socket { path, send } => probe::socket(&path, &send),
            Request::Expand { disk } => expand::expand(disk),
            Request::Power { action } => power::switch(&self.root, action),
        };
        Some(answer(outcome))
    }

    /// Runs modules up to the first that does not do well, and tells of each as it ends.
    fn chain(
        self: &Arc<Self>,
        task: &Arc<Task>,
        modules: Vec<ModuleRequest>,
    ) -> Result<Response, Failure> {
        for mut request in modules {
            if task.is_over() {
                break;
            }
            if request.foreign.is_some() || request.job.is_some() {
                return Err(refused(format_args!("`{}` cannot be in a chain", request.name)));
            }
            let wanted = request.become_user.take();
            let response = match wanted.filter(|wanted| !self.users.is_self(&wanted.user)) {
                None => module::run(self, task, &request),
                Some(wanted) => self.ask_as(task, request, &wanted)?,
            };
            let goes_on = matches!(&response, Response::Module(result) if result.goes_on());
            let frame = Frame::step(task.id, &response);
            if frame.body.len() > MAX_MESSAGE {
                // It was run: nobody may take this for a chain that was not taken.
                return Err(Failure { kind: FailureKind::System, ..too_long(&frame) });
            }
            self.outbox.send(&frame);
            if !goes_on {
                break;
            }
        }
        Ok(Response::Done)
    }

    /// Hands a request to an agent of another user, which then answers it.
    fn forward(
        self: &Arc<Self>,
        task: &Arc<Task>,
        request: &Request,
        wanted: &Become,
    ) -> Result<(), Failure> {
        let child = self.users.agent_for(self, wanted)?;
        if let Request::Module(module) = request {
            self.share_staged(module, wanted)?;
        }
        *lock(&task.child) = Some((Arc::clone(&child), task.id));
        if task.is_cancelled() {
            return Err(failure_cancelled());
        }
        child.forward(task.id, request)
    }

    /// Has an agent of another user run a module, and waits for its answer.
    fn ask_as(
        self: &Arc<Self>,
        task: &Task,
        request: ModuleRequest,
        wanted: &Become,
    ) -> Result<Response, Failure> {
        let child = self.users.agent_for(self, wanted)?;
        self.share_staged(&request, wanted)?;
        let asked = child.ask(&Request::Module(request))?;
        *lock(&task.child) = Some((Arc::clone(&child), asked.id));
        if task.is_cancelled() {
            // It came before anybody knew whom to tell.
            child.send(&Frame::cancel(asked.id));
        }
        let answered = asked.answer(&wanted.user);
        lock(&task.child).take();
        answered
    }

    /// Lets another user read the content that a module is given, if there is any.
    fn share_staged(&self, module: &ModuleRequest, wanted: &Become) -> Result<(), Failure> {
        let staged = module.args.get("_updraft_staged").and_then(serde_json::Value::as_str);
        staged.map_or(Ok(()), |path| self.staging.share(path, &wanted.user))
    }

    /// Answers a request, once.
    pub(crate) fn answer(&self, id: u32, response: &Response) {
        let mut frame = Frame::response(id, response);
        if frame.body.len() > MAX_MESSAGE {
            frame = Frame::response(id, &Response::Failed(too_long(&frame)));
        }
        self.outbox.send(&frame);
        self.forget(id);
    }

    /// Passes on a frame of an agent of another user.
    pub(crate) fn pass_on(&self, frame: &Frame) {
        self.outbox.send(frame);
        if frame.kind == Kind::Response {
            self.forget(frame.id);
        }
    }

    fn forget(&self, id: u32) {
        lock(&self.tasks).remove(&id);
        self.finished.notify_all();
    }

    /// Sends a chunk of output; returns whether anybody may still read it.
    pub(crate) fn output(&self, id: u32, tag: OutputTag, chunk: &[u8]) -> bool {
        self.outbox.send(&Frame::output(id, tag, chunk))
    }

    /// Sends a chunk of a file; returns whether anybody may still read it.
    pub(crate) fn data(&self, id: u32, chunk: Vec<u8>) -> bool {
        self.outbox.send(&Frame::data(id, chunk))
    }

    /// Whether its end is nothing to wait for.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.tasks).is_empty() && self.users.are_none()
    }

    /// Ends everything that belongs to the connection.
    pub(crate) fn end(&self) {
        let open: Vec<Arc<Task>> = lock(&self.tasks).values().cloned().collect();
        open.iter().for_each(|task| task.ending.store(true, Ordering::SeqCst));
        self.users.end();
        for task in open.iter().filter(|task| task.at_end == AtEnd::Cancel) {
            task.cancel();
        }
        let deadline = Deadline::after(LAST_WORK);
        let mut tasks = lock(&self.tasks);
        while !tasks.is_empty() && !deadline.passed() {
            tasks = self
                .finished
                .wait_timeout(tasks, deadline.left())
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(tasks);
        self.staging.remove();
    }
}

/// What a request answers when nobody wants its answer any more.
pub(crate) fn failure_cancelled() -> Failure {
    Failure { kind: FailureKind::Refused, message: "cancelled".to_owned() }
}

fn too_long(frame: &Frame) -> Failure {
    let length = frame.body.len();
    refused(format_args!("an answer of {length} bytes is too long to be sent"))
}

fn crashed(panic: &(dyn std::any::Any + Send)) -> Failure {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    system("the agent failed in this request", said)
}

/// Takes the wish to become another user out of a request.
fn without_become(mut request: Request) -> (Request, Option<Become>) {
    let wanted = match &mut request {
        Request::Facts(facts) => facts.become_user.take(),
        Request::Module(module) => module.become_user.take(),
        Request::Chain(chain) => chain.become_user.take(),
        Request::Exec(exec) => exec.become_user.take(),
        _ => None,
    };
    (request, wanted)
}
