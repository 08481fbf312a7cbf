//! Actions that this side carries out, and the dispatch of all others to their hosts.

mod data;
mod facts;
mod hosts;
mod spec;

pub(crate) use facts::OWN as OF_GATHER_FACTS;

use super::cache::GATHERED;
use super::execute::{Call, Crew};
use super::outcome::{failed, flag, put};
use super::state::HostState;
use crate::output::Event;
use crate::parse::catalog;
use crate::value::{Dict, Value};
use facts::gathers;

impl Crew<'_> {
    /// Carries out one call.
    pub(super) async fn act(&self, call: Call<'_>) -> Dict {
        let mut result = match call.module {
            _ if let Some(result) = self.no_background(&call) => result,
            _ if let Some(found) = &call.foreign => {
                self.run_module(&call, Some(found.as_ref()), &found.name, &call.args).await
            }
            // Its arguments are always expanded.
            "shell" if call.args.contains_key("expand_argument_vars") => failed(format!(
                "Unsupported parameters for ({}) module: expand_argument_vars",
                call.task.word
            )),
            "setup" if gathers(&call.task.word, call.task.id) => self.gather_facts(&call).await,
            "debug" => self.debug(&call),
            "set_fact" => self.set_fact(&call),
            "assert" => self.assert(&call),
            "fail" => {
                let msg = call.args.get("msg").map(Value::to_text);
                failed(msg.unwrap_or_else(|| "Failed as requested from task".to_owned()))
            }
            "include_vars" => self.include_vars(&call),
            "set_stats" => self.set_stats(&call),
            "validate_argument_spec" => self.validate_argument_spec(&call),
            "add_host" => self.add_host(&call),
            "group_by" => self.group_by(&call),
            "pause" => self.pause(&call).await,
            "wait_for_connection" => self.wait_for_connection(&call).await,
            "template" => self.template(&call).await,
            "copy" => self.copy(&call).await,
            "fetch" => self.fetch(&call).await,
            "raw" => self.raw(&call).await,
            "script" => self.script(&call).await,
            "package" => self.package(&call).await,
            "unarchive" => self.unarchive(&call).await,
            "assemble" => self.assemble(&call).await,
            "synchronize" => self.synchronize(&call).await,
            "uri" => self.uri(&call).await,
            "reboot" => self.reboot(&call).await,
            "async_status" => self.async_status(&call).await,
            "service" => match self.service_args(&call).await {
                Ok(args) => self.run_module(&call, None, "service", &args).await,
                Err(result) => result,
            },
            name => self.run_module(&call, None, name, &call.args).await,
        };
        if !matches!(call.module, "set_fact" | "include_vars") {
            self.keep_facts(&call, &result);
        }
        if call.module == "setup" && !flag(&result, "failed") {
            // The facts are kept; the result would only repeat all of them on the screen.
            result.shift_remove("invocation");
        }
        if call.foreign.is_none() && catalog::find_control(call.module).is_some() {
            result.entry("changed".into()).or_insert(Value::Bool(false));
        }
        result
    }

    /// Remembers `ansible_facts` of a result.
    fn keep_facts(&self, call: &Call<'_>, result: &Dict) {
        let Some(facts) = result.get("ansible_facts").and_then(Value::as_dict) else { return };
        let for_delegate =
            call.task.common.delegate_facts.as_ref().is_some_and(|value| {
                super::execute::truth(call.context, Some(value)).unwrap_or(false)
            });
        let host = match (&call.delegate, for_delegate) {
            (Some(host), true) => host,
            _ => &call.scope.host,
        };
        if call.module == "setup" && gathers(&call.task.word, call.task.id) {
            let mut facts = facts.clone();
            put(&mut facts, GATHERED, true);
            return self.learn(host, &facts);
        }
        self.learn(host, facts);
    }

    /// Remembers facts of a host.
    pub(in crate::run) fn learn(&self, host: &HostState, facts: &Dict) {
        if let Err(what) = self.shared.learn(host, facts) {
            self.sink.event(Event::Warning(what));
        }
    }
}

pub(super) fn done(changed: bool) -> Dict {
    let mut result = Dict::new();
    put(&mut result, "changed", changed);
    result
}
