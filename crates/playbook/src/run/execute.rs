//! One task on one host: conditions, arguments, tries, what counts as changed and failed.

use super::debugger::Next;
use super::failure::{Failure, While};
use super::keywords::Settled;
use super::outcome::{Ended, Outcome, failed, flag, put, why};
use super::reach::{Operator, Reach};
use super::state::{HostState, Shared};
use super::vars::TaskScope;
use crate::fault::LoadFault;
use crate::foreign::Found;
use crate::output::{At, Event, NO_LOG, NO_TRACEBACK, SHOW, Sink, of_debug};
use crate::parse::catalog;
use crate::parse::task::meaning;
use crate::parse::tree::{Action, Condition, Task};
use crate::template::{Context, Dialect, Fault};
use crate::value::{Dict, Key, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Stands for an item that is kept out of sight.
pub(super) const HIDDEN: &str = "(censored due to no_log)";

/// What every task needs of the world.
#[derive(Clone, Copy)]
pub(crate) struct Crew<'r> {
    pub(crate) shared: &'r Arc<Shared>,
    pub(crate) reach: &'r dyn Reach,
    pub(crate) operator: &'r dyn Operator,
    pub(crate) sink: &'r dyn Sink,
}

/// One call of an action, everything about it decided.
pub(crate) struct Call<'c> {
    pub(crate) task: &'c Task,
    pub(crate) module: &'c str,
    /// The program that is run instead of one of our modules.
    pub(crate) foreign: Option<Arc<Found>>,
    pub(crate) args: Dict,
    pub(crate) scope: &'c TaskScope,
    pub(crate) context: &'c Context,
    pub(crate) check: bool,
    pub(crate) diff: bool,
    /// What its programs find in their environment.
    pub(crate) env: &'c BTreeMap<String, String>,
    /// The host that does the work instead.
    pub(crate) delegate: Option<Arc<HostState>>,
}

/// The outcome of a task or an item, and how to tell it.
pub(super) struct Told {
    pub(super) outcome: Outcome,
    pub(super) delegate: Option<String>,
    pub(super) no_log: bool,
    /// Tell the result even without `-v`.
    pub(super) always: bool,
}

impl Told {
    fn plain(outcome: Outcome) -> Self {
        Self { outcome, delegate: None, no_log: false, always: false }
    }
}

/// Whether the task itself asks for differences.
fn wants_diff(task: &Task, scope: &TaskScope) -> bool {
    let asks = |value| truth(&scope.clone().context(), Some(value)).unwrap_or(false);
    task.common.diff.as_ref().is_some_and(asks)
}

impl<'r> Crew<'r> {
    /// Runs a task on a host, tells it, and remembers what it registers.
    pub(crate) async fn host_task(&self, task: &Task, scope: &TaskScope) -> Outcome {
        let mut outcome = self.try_host_task(task, scope).await;
        let mut changed: Option<Task> = None;
        while self.debugs(task, scope, &outcome) {
            let now = changed.get_or_insert_with(|| task.clone());
            match self.debug_task(now, scope, &outcome).await {
                Next::Continue => break,
                Next::Redo => outcome = self.try_host_task(now, scope).await,
                Next::Quit => {
                    outcome.quit = true;
                    break;
                }
            }
        }
        outcome
    }

    async fn try_host_task(&self, task: &Task, scope: &TaskScope) -> Outcome {
        let scope = scope.for_task(task);
        let mut told = match &task.repeat {
            None => {
                let mut told = self.once(task, &scope).await;
                self.settle(task, &scope, &mut told);
                if told.outcome.includes.is_empty() {
                    self.tell(task, &scope, &told, None);
                }
                told
            }
            Some(repeat) => self.repeat(task, repeat, &scope).await,
        };
        if self.shared.options.settled {
            self.sink.event(Event::Settled {
                task: self.shown_name(task, &scope.clone().context()),
                action: task.word.clone(),
                origin: task.origin.clone(),
                told: Box::new(self.event_of(task, &scope, &told, None)),
            });
        }
        told.outcome.result.shift_remove(SHOW);
        if let Some(name) = &task.register {
            scope.host.set.put(name, Value::dict(told.outcome.result.clone()));
        }
        told.outcome
    }

    /// Whether the failure counts.
    pub(super) fn settle(&self, task: &Task, scope: &TaskScope, told: &mut Told) {
        let context = scope.clone().context();
        let ignore = match told.outcome.ended {
            Ended::Failed => &task.common.ignore_errors,
            Ended::Unreachable => &task.common.ignore_unreachable,
            _ => return,
        };
        // The text of one that cannot be settled is a yes to ansible-core 2.19.
        let unsettled = self.shared.world.dialect == Dialect::Core219;
        told.outcome.ignored = truth(&context, ignore.as_ref()).unwrap_or(unsettled);
    }

    pub(super) fn tell(&self, task: &Task, scope: &TaskScope, told: &Told, item: Option<String>) {
        let mut event = self.event_of(task, scope, told, item);
        if let Event::Skipped { result, .. } | Event::Failed { result, .. } = &mut event
            && task.module() == Some("debug")
        {
            *result = of_debug(result);
        }
        self.sink.event(event);
    }

    /// How a task went on a host, or for an item of its loop.
    fn event_of(&self, task: &Task, scope: &TaskScope, told: &Told, item: Option<String>) -> Event {
        let outcome = &told.outcome;
        let result = match told.no_log {
            true => censored(task, outcome),
            false => Value::dict(outcome.result.clone()),
        };
        let hidden = match self.shared.world.dialect {
            Dialect::Core214 => "None",
            Dialect::Core219 => HIDDEN,
        };
        let item = if told.no_log { item.map(|_| hidden.to_owned()) } else { item };
        let at = At { host: scope.host.name.clone(), delegate: told.delegate.clone(), item };
        match outcome.ended {
            Ended::Well => Event::Ok {
                at,
                changed: outcome.changed,
                result,
                always: told.always && !told.no_log,
                diff: self.shared.options.diff || wants_diff(task, scope),
            },
            Ended::Skipped => Event::Skipped { at, result },
            Ended::Unreachable => Event::Unreachable {
                at,
                why: outcome
                    .result
                    .get("msg")
                    .map(Value::to_text)
                    .map_or_else(|| "Task failed.".to_owned(), |msg| format!("Task failed: {msg}")),
                result,
                origin: Some(task.origin.clone()),
                ignored: outcome.ignored,
            },
            Ended::Failed => {
                let why = match told.no_log {
                    true => "Task failed".to_owned(),
                    false => verdict(task, outcome),
                };
                let unsettled = why.starts_with("Task failed: ");
                let explains = unsettled && self.shared.options.explain && scope.watch.is_none();
                Event::Failed {
                    at,
                    why,
                    result,
                    origin: Some(task.origin.clone()),
                    causes: if told.no_log { Vec::new() } else { outcome.causes.clone() },
                    variables: if explains { self.explain(task, scope) } else { Vec::new() },
                    ignored: outcome.ignored,
                }
            }
        }
    }

    /// The task once: for a host, or for one item of its loop.
    pub(super) async fn once(&self, task: &Task, scope: &TaskScope) -> Told {
        let context = scope.clone().context();
        let no_log = match &task.common.no_log {
            Some(value) => truth(&context, Some(value)).unwrap_or(true),
            None => self.shared.options.no_log,
        };
        // Who does the work is settled before whether there is any.
        let delegate = match self.delegate(task, &context) {
            Ok(delegate) => delegate,
            Err(result) => {
                // 2.14 looks at the condition first.
                if context.world.dialect == Dialect::Core214
                    && let Ok(Some(condition)) = self.all_hold(&context, &task.common.when)
                {
                    let outcome = Outcome::of(skipped(&context, condition));
                    return Told { no_log, ..Told::plain(outcome) };
                }
                let wanted = task.common.delegate_to.as_ref().and_then(Value::as_str);
                let outcome = Outcome::from(result);
                let delegate = wanted.map(str::to_owned);
                return Told { no_log, delegate, ..Told::plain(outcome) };
            }
        };
        let delegated = delegate.as_ref().map(|host| scope.delegated(host));
        let scope = delegated.as_ref().unwrap_or(scope);
        let context = match &delegated {
            Some(scope) => scope.clone().context(),
            None => context,
        };
        match self.all_hold(&context, &task.common.when) {
            Ok(None) => {}
            Ok(Some(condition)) => {
                return Told { no_log, ..Told::plain(Outcome::of(skipped(&context, condition))) };
            }
            Err(fault) => {
                return Told { no_log, ..Told::plain(self.failed_of(task, While::Task, &fault)) };
            }
        }
        let mut told = match self.prepared(task, scope, &context, delegate).await {
            Ok(told) => told,
            Err(failure) => Told::plain(failure.into()),
        };
        let hidden = told.outcome.result.shift_remove(NO_LOG).is_some_and(|hide| hide.is_true());
        told.no_log = no_log || hidden;
        self.put_template(task, &mut told.outcome);
        self.put_cause(task, &mut told.outcome);
        if told.outcome.ended == Ended::Failed {
            self.put_verdict(task, &mut told.outcome);
            self.put_missing(task, &mut told.outcome);
            // What Ansible has here where tracebacks are not asked for.
            let exception = Value::str(NO_TRACEBACK);
            told.outcome.result.entry(Key::str("exception")).or_insert(exception);
        }
        if told.outcome.changed && told.outcome.ended == Ended::Well {
            match names(&context, &task.common.notify) {
                Ok(names) => told.outcome.notify = names,
                Err(fault) => told.outcome = self.failed_of(task, While::Task, &fault),
            }
        }
        told
    }

    /// The condition that does not hold, if there is one.
    pub(super) fn all_hold(
        &self,
        context: &Context,
        conditions: &[Condition],
    ) -> Result<Option<Value>, Fault> {
        for condition in conditions {
            match condition {
                Condition::Plain(true) => {}
                Condition::Plain(false) => return Ok(Some(Value::Bool(false))),
                Condition::Broken(text, why) => {
                    let allowed = self.shared.world.config.allow_broken_conditionals.value
                        || context.world.dialect == Dialect::Core214;
                    if !(allowed && text.is_empty()) {
                        return Err(Fault::new(why.clone()).in_condition(text, None));
                    }
                }
                Condition::Template(value) => {
                    self.braces_are_deprecated(value);
                    if !context.holds_value(value)? {
                        return Ok(Some(Value::Bool(false)));
                    }
                }
                Condition::Expr(expression) => {
                    if !context.holds(expression)? {
                        return Ok(Some(Value::str(condition.source())));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The host that does the work of a task instead.
    fn delegate(&self, task: &Task, context: &Context) -> Result<Option<Arc<HostState>>, Failure> {
        let Some(value) = &task.common.delegate_to else { return Ok(None) };
        let name = match context.finish(value) {
            Ok(Value::Omit) => return Ok(None),
            Ok(name) => name.to_text(),
            Err(fault) => {
                let during = match context.world.dialect {
                    Dialect::Core214 => While::Keyword("delegate_to"),
                    Dialect::Core219 => While::Task,
                };
                return Err(self.failure(task, during, &fault));
            }
        };
        if name.is_empty() && !value.is_lazy() {
            return Ok(None);
        }
        if name.is_empty() {
            let said = value.as_str().unwrap_or_default();
            let what = format!("Task failed: Empty hostname produced from delegate_to: \"{said}\"");
            let mut result = failed(what);
            if context.world.dialect == Dialect::Core219 && task.module() != Some("debug") {
                put(&mut result, "changed", false);
            }
            return Err(result.into());
        }
        Ok(Some(self.shared.host_at(&name)))
    }

    fn braces_are_deprecated(&self, condition: &Value) {
        if self.shared.world.dialect == Dialect::Core214 {
            let text = condition.as_str().unwrap_or_default();
            self.sink.event(Event::Warning(format!(
                "conditional statements should not include jinja2 templating delimiters such as {{{{ }}}} or {{% %}}. Found: {text}"
            )));
            return;
        }
        let mut found = Vec::new();
        condition.templates(&mut found);
        if *self.shared.world.config.deprecation_warnings {
            let what = "Conditionals should not be surrounded by templating delimiters such as {{ }} or {% %}. This feature will be removed from ansible-core version 2.23.";
            let at = found.first().and_then(|template| template.origin()).cloned();
            self.sink.event(Event::Deprecated(LoadFault { at, ..LoadFault::bare(what) }));
        }
    }

    async fn prepared(
        &self,
        task: &Task,
        scope: &TaskScope,
        context: &Context,
        delegate: Option<Arc<HostState>>,
    ) -> Result<Told, Failure> {
        let keyword = |fault: Fault| self.failure(task, While::Task, &fault);
        let (module, named) = match &task.action {
            Action::Module(module) => (module.clone(), task.foreign.clone()),
            Action::Named(name) => {
                let word = context.text(name).map_err(keyword)?;
                let rejected = &self.shared.world.config.rejected_modules;
                let meaning = match rejected.contains(catalog::short(&word)) {
                    true => None,
                    false => meaning(&self.shared.modules, &word, &task.common.collections).ok(),
                };
                meaning.ok_or_else(|| {
                    failed(format!(
                        "Task failed: couldn't resolve module/action '{word}'. This often indicates a misspelling, missing collection, or incorrect module path."
                    ))
                })?
            }
            _ => return Ok(Told::plain(self.include(task, context)?)),
        };
        let module = module.as_str();
        let Settled { check, diff, env } = self.settle_keywords(task, module, context)?;
        let (check, diff) = (check.unwrap_or(scope.check), diff.unwrap_or(scope.diff));
        let scope = TaskScope { check, diff, ..scope.clone() };
        let context = scope.clone().context();
        let (args, foreign) = self.arguments(task, module, named, &context)?;
        let of = |word: &'static str| {
            move |fault: Fault| self.failure(task, While::Keyword(word), &fault)
        };
        let timeout = self.timeout(task, &context).map_err(of("timeout"))?;
        // Ansible tries once more than `retries` says, which is three times where nothing is said;
        // ansible-core 2.14 tried three times in all then.
        let tries = match &task.retries {
            None if task.until.is_empty() => 1,
            None if context.world.dialect == Dialect::Core214 => 3,
            None => 4,
            Some(value) => match number_as(&context, value, "int").map_err(of("retries"))? {
                count if count >= 1.0 => count as u64 + 1,
                _ => 1,
            },
        };
        let delay = match &task.delay {
            Some(value) => number(&context, value).map_err(of("delay"))?.max(0.0),
            None => 5.0,
        };
        let until_wanted = !task.until.is_empty() || task.retries.is_some();
        let mut attempt = 0;
        let delegate_name =
            delegate.as_ref().map(|host| host.name.clone()).filter(|name| *name != scope.host.name);
        loop {
            attempt += 1;
            let call = Call {
                task,
                module,
                foreign: foreign.clone(),
                args: args.clone(),
                scope: &scope,
                context: &context,
                check,
                diff,
                env: &env,
                delegate: delegate.clone(),
            };
            let mut result = self.act_within(call, timeout).await;
            let always = result.contains_key(SHOW);
            if until_wanted && tries > 1 {
                put(
                    &mut result,
                    "attempts",
                    Value::Int(i64::try_from(attempt).unwrap_or(i64::MAX)),
                );
            }
            if !flag(&result, "unreachable") {
                self.judge(task, &scope, &mut result);
            }
            let done = |result: Dict| {
                Ok(Told {
                    outcome: Outcome::of(result),
                    delegate: delegate_name.clone(),
                    no_log: false,
                    always,
                })
            };
            if !until_wanted || flag(&result, "unreachable") {
                return done(result);
            }
            let held = if task.until.is_empty() {
                Ok(!flag(&result, "failed"))
            } else {
                let scope = self.with_result(task, &scope, &result);
                self.all_hold(&scope.context(), &task.until).map(|missing| missing.is_none())
            };
            match held {
                Ok(true) => return done(result),
                Ok(false) if attempt < tries => {
                    self.sink.event(Event::Retrying {
                        at: At {
                            host: scope.host.name.clone(),
                            delegate: delegate_name.clone(),
                            item: None,
                        },
                        task: self.shown_name(task, &context),
                        left: tries - attempt,
                        result: Value::dict(result),
                    });
                    self.operator.sleep(Duration::from_secs_f64(delay)).await;
                }
                Ok(false) => {
                    put(&mut result, "failed", true);
                    if tries > 1 {
                        // Ansible does not count the last one.
                        put(
                            &mut result,
                            "attempts",
                            Value::Int(i64::try_from(tries - 1).unwrap_or(i64::MAX)),
                        );
                    }
                    return done(result);
                }
                Err(fault) => {
                    let outcome = match context.world.dialect {
                        Dialect::Core214 => Outcome::of(failed(self.judgement(&fault))),
                        Dialect::Core219 => {
                            let mut outcome = self.failed_of(task, While::Task, &fault);
                            put(&mut outcome.result, "changed", false);
                            outcome
                        }
                    };
                    return Ok(Told { outcome, ..done(result)? });
                }
            }
        }
    }

    /// How long the task may take, in seconds; 0 is for ever.
    pub(super) fn timeout(&self, task: &Task, context: &Context) -> Result<u64, Fault> {
        // The bound of Ansible's timers.
        const MOST: f64 = 100_000_000.0;
        let Some(value) = &task.common.timeout else { return Ok(self.shared.options.task_timeout) };
        let seconds = number_as(context, value, "int")?;
        match (0.0..=MOST).contains(&seconds) {
            true => Ok(seconds as u64),
            false => Err(Fault::new(format!(
                "Timeout {seconds} is invalid, it must be between 0 and {MOST}."
            ))),
        }
    }

    /// Carries out a call, but not for longer than it may take.
    async fn act_within(&self, call: Call<'_>, timeout: u64) -> Dict {
        if timeout == 0 {
            return self.act(call).await;
        }
        let late = || {
            let mut result = failed(format!("Task failed: Timed out after {timeout} second(s)."));
            let frame = "Configure `DISPLAY_TRACEBACK` to see a traceback on timeout errors.";
            let about = Value::dict_of([
                ("frame", Value::str(frame)),
                ("period", Value::Int(i64::try_from(timeout).unwrap_or(i64::MAX))),
            ]);
            put(&mut result, "timedout", about);
            result
        };
        let waits = call.module == "pause";
        let clock = &self.shared.world.clock;
        let began = clock.now();
        if waits {
            let sleep = self.operator.sleep(Duration::from_secs(timeout));
            return tokio::select! {
                result = self.act(call) => result,
                () = sleep => late(),
            };
        }
        // On a host it is the agent that stops what takes too long.
        let result = self.act(call).await;
        let over = clock.now().duration_since(began).as_secs_f64() >= timeout as f64;
        if over && flag(&result, "failed") { late() } else { result }
    }

    /// Asks whether the task is to run, where the operator asked to be asked.
    pub(crate) async fn step(&self, name: &str, host: Option<&str>) -> bool {
        if !self.shared.stepping.load(Ordering::Relaxed) {
            return true;
        }
        let on = host.map(|host| format!("on {host} ")).unwrap_or_default();
        let question = format!("Perform task: TASK: {name} {on}(N)o/(y)es/(c)ontinue: ");
        let said = self.operator.ask(&question, false).await.unwrap_or_default();
        match said.trim().to_lowercase().as_str() {
            "y" | "yes" => true,
            "c" | "continue" => {
                self.shared.stepping.store(false, Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }

    /// The task's name as the banner shows it.
    pub(crate) fn shown_name(&self, task: &Task, context: &Context) -> String {
        let bare = match &task.name {
            Some(name) => match context.finish(name) {
                Ok(name) => name.to_text(),
                Err(_) => name.as_str().unwrap_or_default().to_owned(),
            },
            None => match (&task.action, task.args.get("name").or_else(|| task.args.get("role"))) {
                (Action::IncludeRole { .. }, Some(role)) => {
                    let role = context.text(role);
                    let role = role.unwrap_or_else(|_| "?".to_owned());
                    return format!("{} : {role}", task.word);
                }
                _ => task.word.clone(),
            },
        };
        match &task.role {
            Some(role) => format!("{} : {bare}", role.full()),
            None => bare,
        }
    }
}

/// One sentence on why a task failed.
fn verdict(task: &Task, outcome: &Outcome) -> String {
    let on_host = task.module().is_some_and(|name| {
        catalog::find_control(name)
            .is_none_or(|one| matches!(one.name, "template" | "async_status"))
    });
    let cause = outcome.causes.first().map(|cause| cause.what.clone());
    cause.unwrap_or_else(|| why(&outcome.result, on_host))
}

/// What is shown of a result that nobody is to see.
pub(super) fn censored(task: &Task, outcome: &Outcome) -> Value {
    const WHY: &str = "the output has been hidden due to the fact that 'no_log: true' was specified for this result";
    let mut shown = vec![("censored", Value::str(WHY))];
    // `debug` tells nothing but what it was asked to.
    if task.module() != Some("debug") {
        shown.push(("changed", Value::Bool(outcome.changed)));
    }
    Value::dict_of(shown)
}

/// The result of a task whose condition did not hold.
pub(super) fn skipped(context: &Context, condition: Value) -> Dict {
    let mut result = Dict::new();
    put(&mut result, "changed", false);
    put(&mut result, "skipped", true);
    put(&mut result, "skip_reason", Value::str("Conditional result was False"));
    if context.world.dialect == Dialect::Core219 {
        put(&mut result, "false_condition", condition);
    }
    result
}

/// A keyword that is yes or no; absent means no.
pub(crate) fn truth(context: &Context, value: Option<&Value>) -> Result<bool, Fault> {
    let Some(value) = value else { return Ok(false) };
    let value = context.finish(value)?;
    value.as_boolean().ok_or_else(|| {
        Fault::new(format!("The value {} could not be converted to 'bool'.", value.repr()))
    })
}

pub(crate) fn number(context: &Context, value: &Value) -> Result<f64, Fault> {
    number_as(context, value, "float")
}

/// The same of what Ansible takes for a number of this kind, `int` or `float`.
pub(super) fn number_as(context: &Context, value: &Value, kind: &str) -> Result<f64, Fault> {
    let value = context.finish(value)?;
    let found = match &value {
        Value::Str(text) => crate::value::parse_float(text),
        other => other.as_float(),
    };
    found.filter(|number| number.is_finite()).ok_or_else(|| {
        let said = value.to_text();
        Fault::new(format!("The value '{said}' could not be converted to '{kind}'."))
    })
}

/// Names in a list of values, rendered.
pub(crate) fn names(context: &Context, values: &[Value]) -> Result<Vec<String>, Fault> {
    let mut out = Vec::new();
    for value in values {
        let value = context.finish(value)?;
        match value.as_list() {
            Some(items) => out.extend(items.iter().map(Value::to_text)),
            None if matches!(value, Value::Omit | Value::None) => {}
            None => out.push(value.to_text()),
        }
    }
    Ok(out)
}
