//! Tasks in the background: `async`, `poll` and `async_status`.
//!
//! The agent runs them in processes of their own, which outlive the connection and the run. What
//! became of one stands in a file on its host, where any later run finds it by its id.

use super::execute::{Call, Crew, number_as};
use super::foreign::in_words;
use super::outcome::{failed, flag, put};
use crate::foreign::Found;
use crate::output::Event;
use crate::parse::catalog;
use crate::parse::tree::Task;
use crate::template::{Context, Fault};
use crate::value::{Dict, Key, Value};
use std::time::Duration;
use updraft_wire::{BEYOND, Job};

/// Ids of jobs are drawn below this number_as, as Ansible draws them.
const MOST_JOBS: u64 = 999_999_999_999;

/// Where Ansible keeps the files of jobs.
const DIRECTORY: &str = "~/.ansible_async";

/// The module that tells what became of a job.
pub(super) const STATUS: &str = "async_status";

/// Actions that prepare something on this side and then leave a module of the host alone with it.
const DETACHED: &[&str] = &["package", "uri"];

/// Actions that do part of their work on this side, and so cannot go on without it. They are
/// modules too.
const ATTACHED: &[&str] = &["copy", "unarchive", "assemble", "synchronize"];

/// How long a task may run in the background and how often to look, in seconds. `None` is the
/// ordinary way.
fn background(task: &Task, context: &Context) -> Result<Option<(u64, u64)>, Fault> {
    let read = |value: &Option<Value>, default: f64| match value {
        Some(value) => number_as(context, value, "int").map(|number| number.max(0.0)),
        None => Ok(default),
    };
    let seconds = read(&task.detach, 0.0)?;
    let poll = read(&task.poll, *context.world.config.poll_interval as f64)?;
    Ok((seconds >= 1.0).then_some((seconds as u64, poll as u64)))
}

impl Crew<'_> {
    /// Why a call cannot run in the background, if that is asked for.
    pub(super) fn no_background(&self, call: &Call<'_>) -> Option<Dict> {
        let attached = ATTACHED.contains(&call.module)
            || catalog::find_control(call.module).is_some() && !DETACHED.contains(&call.module);
        if call.foreign.is_some() || !attached {
            return None;
        }
        match background(call.task, call.context) {
            Ok(None) => None,
            Ok(Some(_)) => {
                Some(failed(format!("This action ({}) does not support async.", call.task.word)))
            }
            Err(fault) => Some(failed(format!("Task failed: {}", fault.what))),
        }
    }

    /// Runs the module that a task is about, in the background where that is asked for.
    pub(super) async fn run_module(
        &self,
        call: &Call<'_>,
        foreign: Option<&Found>,
        name: &str,
        args: &Dict,
    ) -> Dict {
        match background(call.task, call.context) {
            Ok(None) => match foreign {
                Some(found) => self.foreign(call, found, args, None).await,
                None => self.module(call, name, args).await,
            },
            Ok(Some((seconds, poll))) => {
                let what = (foreign, name, args);
                self.in_background(call, what, seconds, poll).await
            }
            Err(fault) => failed(format!("Task failed: {}", fault.what)),
        }
    }

    /// Begins a module in the background, and waits for it where that is asked for.
    async fn in_background(
        &self,
        call: &Call<'_>,
        (foreign, name, args): (Option<&Found>, &str, &Dict),
        seconds: u64,
        poll: u64,
    ) -> Dict {
        let directory = match self.jobs_directory(call) {
            Ok(directory) => directory,
            Err(fault) => return failed(format!("Task failed: {}", fault.what)),
        };
        let drawn = self.shared.world.commands.chance().below(MOST_JOBS);
        let job = Job { id: format!("j{drawn}"), limit: seconds, directory };
        // Nobody may ever hear what a job finds beyond it, so what can be seen from here is seen.
        let core = || self.shared.modules.core_has(name);
        let instead = (foreign.is_none() && !ours_takes(name, args)).then(core).flatten();
        let foreign = foreign.or(instead.as_deref());
        let begun = match foreign {
            Some(found) => self.foreign(call, found, args, Some(job)).await,
            None => self.native(call, name, args, Some(job)).await,
        };
        let id = begun.get("ansible_job_id").map(Value::to_text);
        let Some(id) = id.filter(|_| !flag(&begun, "failed")) else { return begun };
        if poll == 0 {
            return begun;
        }
        let anew = foreign.is_none() && core().is_some();
        let mut result = self.wait_for(call, &id, (seconds, poll), anew).await;
        if flag(&result, "finished") {
            // Nobody else asks for it any more.
            drop(self.ask_for(call, &id, "cleanup").await);
        }
        if result.shift_remove(BEYOND).is_some()
            && foreign.is_none()
            && let Some(found) = core()
        {
            // It ended before it changed anything.
            let what = (Some(found.as_ref()), name, args);
            return Box::pin(self.in_background(call, what, seconds, poll)).await;
        }
        result
    }

    async fn wait_for(
        &self,
        call: &Call<'_>,
        id: &str,
        (seconds, poll): (u64, u64),
        anew: bool,
    ) -> Dict {
        let host = call.worker_name();
        let say = |text: String| self.sink.event(Event::Said(text));
        let mut left = i64::try_from(seconds).unwrap_or(i64::MAX);
        while left > 0 {
            self.operator.sleep(Duration::from_secs(poll)).await;
            let result = self.ask_for(call, id, "status").await;
            // One that is begun anew by Ansible's own module has not failed.
            if result.contains_key(BEYOND) && anew {
                return result;
            }
            if flag(&result, "finished") {
                let word = if flag(&result, "failed") { "FAILED" } else { "OK" };
                say(format!("ASYNC {word} on {host}: jid={id}"));
                return result;
            }
            left -= i64::try_from(poll).unwrap_or(i64::MAX);
            say(format!("ASYNC POLL on {host}: jid={id} started=True finished=False"));
        }
        say(format!("ASYNC FAILED on {host}: jid={id}"));
        let mut result =
            failed(format!("async task did not complete within the requested time - {seconds}s"));
        let last = self.ask_for(call, id, "status").await;
        put(&mut result, "async_result", Value::dict(last));
        result
    }

    /// What the host says of a job.
    async fn ask_for(&self, call: &Call<'_>, id: &str, mode: &str) -> Dict {
        let directory = match self.jobs_directory(call) {
            Ok(directory) => directory,
            Err(fault) => return failed(format!("Task failed: {}", fault.what)),
        };
        let mut args = Dict::new();
        put(&mut args, "jid", Value::str(id));
        put(&mut args, "mode", Value::str(mode));
        put(&mut args, "_async_dir", Value::from(directory));
        let mut result = self.native(call, STATUS, &args, None).await;
        if flag(&result, "unreachable") {
            return result;
        }
        result.retain(|key, _| !key.as_str().is_some_and(|key| key.starts_with("_ansible_")));
        // What the job left is what its module said, as it said it.
        let mut result = in_words(result);
        for (name, empty) in [
            ("stdout", Value::str("")),
            ("stderr", Value::str("")),
            ("finished", Value::Bool(false)),
            ("changed", Value::Bool(false)),
        ] {
            result.entry(Key::str(name)).or_insert(empty);
        }
        for name in ["stdout", "stderr"] {
            let text = result.get(name).map(Value::to_text).unwrap_or_default();
            let lines = Value::list(text.lines().map(Value::str).collect());
            result.entry(Key::from(format!("{name}_lines").as_str())).or_insert(lines);
        }
        result
    }

    /// Where the files of jobs lie on the host.
    fn jobs_directory(&self, call: &Call<'_>) -> Result<String, Fault> {
        let (_, context) = self.worker(call);
        let told = context.var("ansible_async_dir")?.filter(|told| !told.is_none());
        let of_environment = || self.shared.world.env.get("ANSIBLE_ASYNC_DIR").cloned();
        let told = told.map(|told| told.to_text()).or_else(of_environment);
        Ok(told.unwrap_or_else(|| DIRECTORY.to_owned()))
    }

    /// `async_status`
    pub(super) async fn async_status(&self, call: &Call<'_>) -> Dict {
        let text = |name: &str| call.args.get(name).map(Value::to_text).unwrap_or_default();
        let mode = match text("mode").as_str() {
            "cleanup" => "cleanup",
            _ => "status",
        };
        let mut result = self.ask_for(call, &text("jid"), mode).await;
        result.shift_remove(BEYOND);
        result
    }
}

/// Whether one of our modules knows every argument of a call.
fn ours_takes(name: &str, args: &Dict) -> bool {
    updraft_spec::find(name).is_none_or(|spec| {
        let known = |key: &str| key.starts_with('_') || spec.arg(key).is_some();
        args.keys().all(|key| key.as_str().is_some_and(known))
    })
}

impl Call<'_> {
    /// The host that does the work.
    pub(super) fn worker_name(&self) -> String {
        self.delegate
            .as_ref()
            .map_or_else(|| self.scope.host.name.clone(), |host| host.name.clone())
    }
}
