//! Tasks in the background: `async`, `poll` and `async_status`.
//!
//! A task in the background runs in its host's session while the play goes on. Those that are not
//! done when the plays are over are waited for, as long as they may take.

use super::execute::{Call, Crew, number};
use super::outcome::{failed, flag, put};
use crate::output::Event;
use crate::parse::tree::Task;
use crate::template::{Context, Fault};
use crate::value::{Dict, Value};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::{BoxFuture, FutureExt as _};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use updraft_wire::Request;

/// What a task in the background gave, once it has.
type Outcome = Arc<Mutex<Option<Dict>>>;

/// The tasks in the background of a run.
pub(crate) struct Jobs {
    /// By host and number.
    known: Mutex<HashMap<(String, String), Outcome>>,
    running: Mutex<Option<UnboundedSender<BoxFuture<'static, ()>>>>,
    next: AtomicUsize,
}

impl Jobs {
    /// No tasks yet, and where they will come from.
    pub(crate) fn new() -> (Self, UnboundedReceiver<BoxFuture<'static, ()>>) {
        let (sender, receiver) = unbounded();
        let running = Mutex::new(Some(sender));
        (Self { known: Mutex::default(), running, next: AtomicUsize::new(0) }, receiver)
    }

    /// How many are not done. No more can be begun.
    pub(crate) fn close(&self) -> usize {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().filter(|outcome| done(outcome).is_none()).count()
    }

    fn find(&self, host: &str, jid: &str) -> Option<Outcome> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(host.to_owned(), jid.to_owned())).cloned()
    }

    fn forget(&self, host: &str, jid: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&(host.to_owned(), jid.to_owned()));
    }
}

fn done(outcome: &Outcome) -> Option<Dict> {
    outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A result with what tells of the task in the background.
fn told(mut result: Dict, jid: &str, finished: bool) -> Dict {
    put(&mut result, "ansible_job_id", Value::str(jid));
    put(&mut result, "started", true);
    put(&mut result, "finished", finished);
    put(&mut result, "results_file", Value::from(format!("~/.ansible_async/{jid}")));
    result
}

/// How long a task may run in the background and how often to look, in seconds. `None` is the
/// ordinary way.
pub(super) fn background(task: &Task, context: &Context) -> Result<Option<(u64, u64)>, Fault> {
    let read = |value: &Option<Value>, default: f64| match value {
        Some(value) => number(context, value).map(|number| number.max(0.0)),
        None => Ok(default),
    };
    let seconds = read(&task.detach, 0.0)?;
    // Ansible looks every 15 seconds where nobody says anything else.
    let poll = read(&task.poll, 15.0)?;
    Ok((seconds >= 1.0).then_some((seconds as u64, poll as u64)))
}

impl Crew<'_> {
    /// Begins a module in the background, and waits for it where that is asked for.
    pub(super) async fn in_background(&self, call: &Call<'_>, seconds: u64, poll: u64) -> Dict {
        let bundle = match &call.foreign {
            Some(found) => match self.bundle(call, found) {
                Ok(bundle) => Some(bundle),
                Err(result) => return result,
            },
            None => None,
        };
        let request = match (&call.foreign, &bundle) {
            (Some(found), Some(bundle)) => self.foreign_request(call, found, bundle, &call.args),
            _ => self.request(call, call.module, &call.args),
        };
        let mut request = match request {
            Ok(request) => request,
            Err(fault) => return failed(format!("Task failed: {}", fault.what)),
        };
        request.timeout = seconds;
        let session = match self.session(call).await {
            Ok(session) => session,
            Err(result) => return result,
        };
        let host = call.worker_name();
        let jobs = &self.shared.jobs;
        let number = jobs.next.fetch_add(1, Ordering::Relaxed);
        let jid = format!("j{:012}.{number}", self.shared.world.seed % 1_000_000_000_000);
        let outcome = Outcome::default();
        let keep = Arc::clone(&outcome);
        // The agent gives up first; this is for an agent that does not answer.
        let deadline = Duration::from_secs(seconds + 30);
        let job = async move {
            let result = match bundle {
                Some(bundle) => {
                    super::foreign::ask(session.as_ref(), request, &bundle, deadline).await
                }
                None => {
                    super::remote::answer(session.call(Request::Module(request), deadline).await)
                }
            };
            *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        };
        let running = jobs.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if running.is_none_or(|running| running.unbounded_send(job.boxed()).is_err()) {
            return failed("the run is over; nothing can be begun any more");
        }
        jobs.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((host.clone(), jid.clone()), Arc::clone(&outcome));
        let mut begun = told(Dict::new(), &jid, false);
        put(&mut begun, "changed", true);
        if poll == 0 {
            return begun;
        }
        let result = self.wait_for(&outcome, &host, &jid, seconds, poll).await;
        jobs.forget(&host, &jid);
        result
    }

    async fn wait_for(
        &self,
        outcome: &Outcome,
        host: &str,
        jid: &str,
        seconds: u64,
        poll: u64,
    ) -> Dict {
        let say = |text: String| self.sink.event(Event::Said(text));
        let mut left = i64::try_from(seconds).unwrap_or(i64::MAX);
        while left > 0 {
            self.operator.sleep(Duration::from_secs(poll)).await;
            tokio::task::yield_now().await;
            if let Some(result) = done(outcome) {
                let word = if flag(&result, "failed") { "FAILED" } else { "OK" };
                say(format!("ASYNC {word} on {host}: jid={jid}"));
                return told(result, jid, true);
            }
            left -= i64::try_from(poll).unwrap_or(i64::MAX);
            say(format!("ASYNC POLL on {host}: jid={jid} started=True finished=False"));
        }
        say(format!("ASYNC FAILED on {host}: jid={jid}"));
        let mut result =
            failed(format!("async task did not complete within the requested time - {seconds}s"));
        put(&mut result, "async_result", Value::dict(told(Dict::new(), jid, false)));
        result
    }

    /// `async_status`
    pub(super) async fn async_status(&self, call: &Call<'_>) -> Dict {
        // What is in the background has its turn first.
        tokio::task::yield_now().await;
        let jid = call.args.get("jid").map(Value::to_text).unwrap_or_default();
        let host = call.worker_name();
        let Some(outcome) = self.shared.jobs.find(&host, &jid) else {
            return told(failed("could not find job"), &jid, true);
        };
        if call.args.get("mode").map(Value::to_text).as_deref() == Some("cleanup") {
            self.shared.jobs.forget(&host, &jid);
            let mut result = Dict::new();
            put(&mut result, "ansible_job_id", Value::str(&jid));
            put(&mut result, "erased", Value::from(format!("~/.ansible_async/{jid}")));
            put(&mut result, "changed", false);
            return result;
        }
        match done(&outcome) {
            Some(result) => told(result, &jid, true),
            None => told(super::actions::done(false), &jid, false),
        }
    }
}

impl Call<'_> {
    /// The host that does the work.
    pub(super) fn worker_name(&self) -> String {
        self.delegate
            .as_ref()
            .map_or_else(|| self.scope.host.name.clone(), |host| host.name.clone())
    }
}
