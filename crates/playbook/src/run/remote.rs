//! Modules on hosts: where they run, as whom, with what around them.

use super::execute::{Call, Crew, truth};
use super::failure::While;
use super::jobs::STATUS;
use super::outcome::{failed, flag, put};
use super::reach::HostTarget;
use super::state::HostState;
use super::vars::TaskScope;
use crate::output::Event;
use crate::parse::tree::Task;
use crate::template::{Context, Dialect, Fault};
use crate::value::{Dict, Key, Value};
use serde_json::Map;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use updraft_remote::{RemoteError, Session};
use updraft_spec::Preset;
use updraft_wire::{BEYOND, Become, FailureKind, Job, ModuleRequest, Request, Response};

/// Variables that say how to connect.
const CONNECTION: &[&str] = &[
    "ansible_host",
    "ansible_ssh_host",
    "ansible_port",
    "ansible_ssh_port",
    "ansible_user",
    "ansible_ssh_user",
    "ansible_connection",
    "ansible_ssh_private_key_file",
    "ansible_private_key_file",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "ansible_ssh_executable",
    "ansible_host_key_checking",
    "ansible_ssh_host_key_checking",
    "ansible_timeout",
    "ansible_ssh_timeout",
    "ansible_password",
    "ansible_ssh_pass",
    "ansible_ssh_password",
];

/// Marks the result of a task that could not become who it was to be.
pub(super) const NOT_BECOME: &str = "_updraft_not_become";

impl Crew<'_> {
    /// The host that does the work of a call, with its own variables for connection and become.
    pub(super) fn worker(&self, call: &Call<'_>) -> (Arc<HostState>, Context) {
        match &call.delegate {
            None => (Arc::clone(&call.scope.host), call.context.clone()),
            Some(host) => {
                let scope = TaskScope {
                    host: Arc::clone(host),
                    delegate: None,
                    inventory: Arc::default(),
                    ..call.scope.clone()
                };
                (Arc::clone(host), scope.context())
            }
        }
    }

    /// A session with the host that does the work.
    pub(super) async fn session(&self, call: &Call<'_>) -> Result<Arc<dyn Session>, Dict> {
        let (host, context) = self.worker(call);
        let target = target(&host.name, &context)
            .map_err(|fault| failed(format!("Task failed: {}", fault.what)))?;
        let session = self.reach.session(&target).await;
        let session = session.map_err(|error| unreachable(&updraft_base::chain(&error)))?;
        let text = format!("<{}> EXEC {}", host.name, call.task.word);
        self.sink.event(Event::Detail(3, text));
        Ok(session)
    }

    /// Whether the host that does the work is this computer.
    pub(super) fn is_here(&self, call: &Call<'_>) -> bool {
        let (host, context) = self.worker(call);
        target(&host.name, &context).is_ok_and(|target| target.is_here())
    }

    /// Lets go of the session with the host that does the work.
    pub(super) async fn forget(&self, call: &Call<'_>) {
        let (host, context) = self.worker(call);
        if let Ok(target) = target(&host.name, &context) {
            self.reach.forget(&target).await;
        }
    }

    /// Runs a module on the host that does the work.
    pub(super) async fn module(&self, call: &Call<'_>, name: &str, args: &Dict) -> Dict {
        self.native(call, name, args, None).await
    }

    /// Runs one of our modules, or begins it as a job.
    pub(super) async fn native(
        &self,
        call: &Call<'_>,
        name: &str,
        args: &Dict,
        job: Option<Job>,
    ) -> Dict {
        self.native_as(call, name, name, args, job).await
    }

    /// Runs one of our modules, which is asked for by the name that lets the host choose it.
    pub(super) async fn native_as(
        &self,
        call: &Call<'_>,
        asked: &str,
        name: &str,
        args: &Dict,
        job: Option<Job>,
    ) -> Dict {
        let request = self.request(call, asked, args).and_then(|mut request| {
            self.tell_pythons(call, &mut request)?;
            Ok(request)
        });
        let request = match request {
            Ok(request) => {
                // What a job found is asked for later.
                ModuleRequest { brief: request.brief && job.is_none(), job: job.clone(), ..request }
            }
            Err(fault) => return self.failure(call.task, While::Task, &fault).result,
        };
        let session = match self.session(call).await {
            Ok(session) => session,
            Err(result) => return result,
        };
        let mut result = match self.sent_together(call, session.as_ref(), &request).await {
            Some(result) => result,
            None => self.ask(session.as_ref(), request).await,
        };
        if flag(&result, "unreachable") {
            // Who tries again does so with another connection.
            self.forget(call).await;
        }
        // What became of a job is not what asks for it.
        if name != STATUS && result.shift_remove(BEYOND).is_some() {
            match self.shared.modules.instead(name) {
                Ok(found) => return self.foreign(call, &found, args, job).await,
                Err(why) => self.say_what_would(&mut result, &why),
            }
        }
        self.with_invocation(name, args, result)
    }

    /// Adds to a refusal what would do what was asked for.
    fn say_what_would(&self, result: &mut Dict, why: &str) {
        if let Some(message) = result.get("msg").map(Value::to_text) {
            put(result, "msg", format!("{message}. {why}"));
        }
    }

    /// A result with what the module was given, which only whoever asks for it is shown.
    pub(super) fn with_invocation(&self, name: &str, args: &Dict, mut result: Dict) -> Dict {
        let shown = self.shared.options.verbosity >= 3 || self.shared.options.settled;
        if shown && !flag(&result, "unreachable") {
            let shown = Value::dict_of([("module_args", module_args(name, args))]);
            result.entry(Key::str("invocation")).or_insert(shown);
        }
        result
    }

    /// Runs a module that an action needs, or what stands in its place beside the playbook.
    pub(super) async fn legacy(&self, call: &Call<'_>, name: &str, args: &Dict) -> Dict {
        match self.shared.modules.before_ours(name) {
            Some(found) => self.foreign(call, &found, args, None).await,
            None => self.module(call, name, args).await,
        }
    }

    /// Runs a module in a session that is open.
    pub(super) async fn ask(&self, session: &dyn Session, request: ModuleRequest) -> Dict {
        let within = self.deadline(&request);
        answer(session.call(Request::Module(request), within).await)
    }

    /// How long a module may take before its host counts as lost.
    pub(super) fn deadline(&self, request: &ModuleRequest) -> Duration {
        match request.timeout {
            0 => self.shared.options.deadline,
            // The agent gives up first; this is for an agent that does not answer.
            seconds => Duration::from_secs(seconds + 30),
        }
    }

    pub(super) fn request(
        &self,
        call: &Call<'_>,
        name: &str,
        args: &Dict,
    ) -> Result<ModuleRequest, Fault> {
        let (_, context) = self.worker(call);
        let timeout = self.timeout(call.task, call.context)?;
        Ok(ModuleRequest {
            name: name.to_owned(),
            args: args
                .iter()
                .map(|(key, value)| (key.to_json_key(), value.to_json()))
                .collect::<Map<_, _>>(),
            check: call.check,
            diff: call.diff,
            brief: self.shared.options.brief && call.task.register.is_none(),
            env: call.env.clone(),
            become_user: self.become_user(call, &context)?,
            timeout,
            foreign: None,
            job: None,
        })
    }

    pub(super) fn become_user(
        &self,
        call: &Call<'_>,
        context: &Context,
    ) -> Result<Option<Become>, Fault> {
        let options = &self.shared.options;
        let common = &call.task.common;
        let wanted = match context.var("ansible_become")? {
            Some(value) => value.as_boolean().unwrap_or(false),
            None => match &common.become_it {
                Some(value) => truth(call.context, Some(value))?,
                None => options.become_it,
            },
        };
        if !wanted {
            return Ok(None);
        }
        let text = |names: &[&str],
                    keyword: Option<&Value>,
                    option: Option<&String>|
         -> Result<Option<String>, Fault> {
            for name in names {
                if let Some(value) = context.var(name)?.filter(|value| !value.is_none()) {
                    return Ok(Some(value.to_text()));
                }
            }
            match keyword {
                Some(value) => call.context.text(value).map(Some),
                None => Ok(option.cloned()),
            }
        };
        let method = text(
            &["ansible_become_method"],
            common.become_method.as_ref(),
            options.become_method.as_ref(),
        )?;
        let method = method.unwrap_or_else(|| "sudo".to_owned());
        let method = crate::parse::catalog::short(&method).to_owned();
        if !matches!(method.as_str(), "sudo" | "su") {
            return Err(Fault::new(match context.world.dialect {
                Dialect::Core214 => format!(
                    "Invalid become method specified, could not find matching plugin: '{method}'. Use `ansible-doc -t become -l` to list available plugins."
                ),
                Dialect::Core219 => {
                    format!("become_method `{method}` is not supported; `sudo` and `su` are")
                }
            }));
        }
        // What is said of the method alone outranks what is said of any.
        let by =
            |what: &str| [format!("ansible_{method}_{what}"), format!("ansible_become_{what}")];
        let [own_user, any_user] = by("user");
        let user = text(
            &[&own_user, &any_user],
            common.become_user.as_ref(),
            options.become_user.as_ref(),
        )?;
        let [own_exe, any_exe] = by("exe");
        let exe = text(&[&own_exe, &any_exe], common.become_exe.as_ref(), None)?;
        let [own_flags, any_flags] = by("flags");
        let flags = text(&[&own_flags, &any_flags], common.become_flags.as_ref(), None)?;
        let [own_pass, any_pass] = by("pass");
        let option = options.become_password.as_ref().map(|password| password.expose().clone());
        let password =
            text(&[&own_pass, &any_pass, "ansible_become_password"], None, option.as_ref())?;
        let words = |text: Option<String>| -> Vec<String> {
            text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        Ok(Some(Become {
            method,
            exe: words(exe),
            user: user.filter(|user| !user.is_empty()).unwrap_or_else(|| "root".to_owned()),
            flags: words(flags),
            password,
        }))
    }
}

/// Every argument of one of our modules with what it has, secrets left out.
fn module_args(module: &str, given: &Dict) -> Value {
    let mut shown = given.clone();
    shown.retain(|name, _| !name.as_str().is_some_and(|name| name.starts_with("_updraft_")));
    for arg in updraft_spec::find(module).iter().flat_map(|spec| spec.all_args()) {
        let names = || std::iter::once(arg.name).chain(arg.aliases.iter().copied());
        let value = names().find_map(|name| given.get(name)).cloned();
        // What a file is to hold is nobody's business either, though its diff is shown.
        let secret = arg.secret || (module, arg.name) == ("copy", "content");
        let value = match (value, arg.preset) {
            (Some(value), _) if secret && !value.is_none() => {
                names().for_each(|name| drop(shown.shift_remove(name)));
                Value::str("VALUE_SPECIFIED_IN_NO_LOG_PARAMETER")
            }
            (Some(value), _) => value,
            (None, Preset::None) => Value::None,
            (None, Preset::Str(text)) => Value::str(text),
            (None, Preset::Bool(truth)) => Value::Bool(truth),
            (None, Preset::Int(number)) => Value::Int(number),
            (None, Preset::List(items)) => Value::strings(items),
            (None, Preset::Dict) => Value::dict(Dict::new()),
        };
        shown.insert(Key::str(arg.name), value);
    }
    if module == "shell" {
        shown.insert(Key::str("_uses_shell"), Value::Bool(true));
    }
    Value::dict(shown)
}

/// `environment` of the play, the blocks and the task, the innermost on top; and whether something
/// else than dicts was among it.
pub(super) fn environment(
    task: &Task,
    module: &str,
    context: &Context,
) -> Result<(BTreeMap<String, String>, bool), Fault> {
    let mut all = BTreeMap::new();
    let mut odd = false;
    let gathers = matches!(module, "setup" | "gather_facts");
    for layer in &task.common.environment {
        if let Value::Lazy(_) = layer
            && let Some(entries) = layer.as_dict()
        {
            for (key, value) in entries {
                match context.finish(value) {
                    Ok(Value::Omit) => {}
                    Ok(value) => {
                        all.insert(key.to_json_key(), value.to_text());
                    }
                    // The environment of a host is a fact, and facts are what is asked for.
                    Err(fault)
                        if gathers
                            && (fault.what.contains("ansible_env")
                                || fault.what.contains("ansible_facts.env")) => {}
                    Err(fault) => return Err(fault),
                }
            }
            continue;
        }
        let layer = context.finish(layer)?;
        match layer.as_dict() {
            Some(entries) => {
                for (key, value) in entries {
                    all.insert(key.to_json_key(), value.to_text());
                }
            }
            None if matches!(layer, Value::None | Value::Omit) => {}
            None => odd = true,
        }
    }
    Ok((all, odd))
}

/// A host with the variables about its connection.
pub(super) fn target(name: &str, context: &Context) -> Result<HostTarget, Fault> {
    let mut vars = Map::new();
    for key in CONNECTION {
        if let Some(value) = context.var(key)?
            && !matches!(value, Value::None | Value::Omit)
        {
            vars.insert((*key).to_owned(), value.to_json());
        }
    }
    Ok(HostTarget { name: name.to_owned(), vars })
}

/// What an agent answered to a module, as its result.
pub(super) fn answer(answered: Result<Response, RemoteError>) -> Dict {
    match answered {
        Ok(Response::Module(result)) => {
            Value::from(result.0).as_dict().cloned().unwrap_or_default()
        }
        Ok(Response::Failed(failure)) => {
            let mut result = failed(failure.message);
            if failure.kind == FailureKind::Become {
                put(&mut result, NOT_BECOME, true);
            }
            result
        }
        Ok(other) => failed(format!("the agent answered something else than a result: {other:?}")),
        Err(error) => unreachable(&updraft_base::chain(&error)),
    }
}

pub(super) fn unreachable(message: &str) -> Dict {
    let mut result = Dict::new();
    put(&mut result, "changed", false);
    put(&mut result, "unreachable", true);
    put(&mut result, "msg", Value::str(message));
    result
}
