//! `gather_facts`: facts of a host from one module or from several.
//!
//! Never here: what the facts are, and whether a play gathers them.

use crate::output::Event;
use crate::parse::catalog;
use crate::parse::task::meaning;
use crate::run::execute::{Call, Crew};
use crate::run::outcome::{failed, flag, put};
use crate::template::combine_dicts;
use crate::value::{Dict, Key, Value};
use futures::future::join_all;
use std::collections::VecDeque;

/// Chooses by what the host is.
const SMART: &str = "smart";

/// Arguments of `gather_facts` itself, which no module is given.
pub(crate) const OWN: &[&str] = &["parallel", "network_os"];

/// Arguments that `setup` takes and other modules are not given.
const OF_SETUP: &[(&str, &str)] =
    &[("gather_subset", "subset"), ("gather_timeout", "timeout"), ("filter", "filter")];

impl Crew<'_> {
    /// Facts of the host from every module that is asked for, beside each other unless the task
    /// wants them one after the other; laid over each other in the order that they are asked for.
    pub(super) async fn gather_facts(&self, call: &Call<'_>) -> Dict {
        let modules = match self.fact_modules(call) {
            Ok(modules) => modules,
            Err(what) => return failed(what),
        };
        if let [only] = modules.as_slice()
            && catalog::short(only) == "setup"
        {
            return self.run_module(call, None, "setup", &self.facts_args(call, only)).await;
        }
        let mut all = Dict::new();
        put(&mut all, "ansible_facts", Value::dict(Dict::new()));
        let (mut broken, mut passed_over) = (Dict::new(), Dict::new());
        let asked = modules.iter().map(|module| self.facts_of(call, module));
        let mut results: VecDeque<_> = match self.facts_beside_each_other(call) {
            Ok(true) => join_all(asked).await.into(),
            Ok(false) => VecDeque::new(),
            Err(what) => return failed(what),
        };
        for module in &modules {
            let result = match results.pop_front() {
                Some(result) => result,
                None => self.facts_of(call, module).await,
            };
            let result = match result {
                Ok(result) => result,
                Err(what) => return failed(what),
            };
            if flag(&result, "unreachable") {
                return result;
            } else if flag(&result, "failed") {
                broken.insert(Key::str(module), Value::dict(result));
            } else if flag(&result, "skipped") {
                passed_over.insert(Key::str(module), Value::dict(result));
            } else {
                let kept = ["ansible_facts", "warnings", "deprecations"];
                let kept = |key: &Key| key.as_str().is_some_and(|key| kept.contains(&key));
                let told = result.into_iter().filter(|(key, _)| kept(key)).collect();
                all = combine_dicts(&all, &told, true, "append_rp");
            }
        }
        let names = |of: &Dict| of.keys().map(Key::to_json_key).collect::<Vec<_>>().join(", ");
        if !passed_over.is_empty() {
            let what = format!("The following modules were skipped: {}.", names(&passed_over));
            put(&mut all, "msg", Value::from(what));
            if passed_over.len() == modules.len() {
                put(&mut all, "skipped", true);
            }
            put(&mut all, "skipped_modules", Value::dict(passed_over));
        }
        if !broken.is_empty() {
            let what = format!("The following modules failed to execute: {}.", names(&broken));
            put(&mut all, "failed", true);
            put(&mut all, "msg", Value::from(what));
            put(&mut all, "failed_modules", Value::dict(broken));
        }
        all
    }

    /// Whether several modules run at the same time.
    fn facts_beside_each_other(&self, call: &Call<'_>) -> Result<bool, String> {
        let var = call.context.var("ansible_facts_parallel").map_err(|fault| fault.what)?;
        let told = var.as_ref().or_else(|| call.args.get("parallel"));
        Ok(told.filter(|told| !told.is_none()).is_none_or(|told| told.as_boolean() == Some(true)))
    }

    /// The modules that are asked for; at fault are words that mean none.
    fn fact_modules(&self, call: &Call<'_>) -> Result<Vec<String>, String> {
        let var = |name: &str| -> Result<Option<Value>, String> {
            let value = call.context.var(name).map_err(|fault| fault.what)?;
            Ok(value.filter(|value| !value.is_none()))
        };
        let mut modules = match var("ansible_facts_modules")? {
            Some(value) => match value.as_list() {
                Some(items) => items.iter().map(Value::to_text).collect(),
                None => value.to_text().split(',').map(|word| word.trim().to_owned()).collect(),
            },
            None => self.shared.world.config.facts_modules.to_vec(),
        };
        let is_setup = |word: &String| catalog::short(word) == "setup";
        if !modules.iter().any(|word| word == SMART) {
            return Ok(modules);
        }
        modules.retain(|word| word != SMART);
        let asked = call.args.get("network_os").cloned();
        let facts = call.context.scope.get("ansible_facts");
        let fact = facts.and_then(|facts| facts.get("network_os").cloned());
        match asked.or(var("ansible_network_os")?).or(fact).filter(Value::is_true) {
            Some(system) if modules.is_empty() => Err(format!(
                "No fact modules available and we could not find a fact module for your network OS ({}), try setting one via the `FACTS_MODULES` configuration.",
                system.to_text()
            )),
            Some(_) => {
                if modules.iter().any(is_setup) {
                    self.warn_of_facts("Detected 'setup' module and a network OS is set, the output when running it will reflect 'localhost' and not the target when a networking connection plugin is used.".to_owned());
                }
                Ok(modules)
            }
            None => {
                if !modules.iter().any(is_setup) {
                    modules.push("ansible.legacy.setup".to_owned());
                }
                Ok(modules)
            }
        }
    }

    /// The arguments of the task that one of the modules is given.
    fn facts_args(&self, call: &Call<'_>, module: &str) -> Dict {
        let mut args = call.args.clone();
        OWN.iter().for_each(|name| drop(args.shift_remove(*name)));
        if catalog::short(module) != "setup" {
            for (name, short) in OF_SETUP {
                let given = args.shift_remove(*name).filter(|given| !given.is_none());
                let all = |given: &Value| match given.as_list() {
                    Some([only]) => only.as_str() == Some("all"),
                    _ => given.as_str() == Some("all"),
                };
                if let Some(given) = given.filter(|given| *short != "subset" || !all(given)) {
                    let given = given.to_text();
                    self.warn_of_facts(format!("Not passing {short}({given}) to {module}"));
                }
            }
        }
        args.retain(|_, value| !value.is_none());
        args
    }

    /// What one module says of the host. A word that means none is at fault.
    async fn facts_of(&self, call: &Call<'_>, word: &str) -> Result<Dict, String> {
        let collections = &call.task.common.collections;
        let (name, found) = meaning(&self.shared.modules, word, collections).map_err(|_| {
            format!("Task failed: The module {word} was not found in configured module paths")
        })?;
        let mut args = self
            .module_defaults(call.task, &name, found.as_deref(), call.context)
            .map_err(|fault| format!("Task failed: {}", fault.what))?;
        args.extend(self.facts_args(call, word));
        Ok(self.run_module(call, found.as_deref(), &name, &args).await)
    }

    fn warn_of_facts(&self, what: String) {
        self.sink.event(Event::Warning(what));
    }
}

/// Whether a task is one of `gather_facts` rather than of `setup`, which both run `setup`.
pub(crate) fn gathers(word: &str, id: usize) -> bool {
    word.ends_with("gather_facts") || id == usize::MAX
}
