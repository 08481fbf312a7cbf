//! The arguments of a task: what `module_defaults` give, what the task says, rendered.

use super::actions::OF_GATHER_FACTS;
use super::execute::{Call, Crew};
use super::failure::{Failure, While};
use super::outcome::{failed, put};
use crate::foreign::Found;
use crate::parse::catalog;
use crate::parse::tree::Task;
use crate::template::{Context, Fault};
use crate::value::{Dict, Key, Value};
use crate::yaml::Origin;
use std::sync::Arc;

/// Arguments, and the program that takes them where none of our modules does.
type Arguments = (Dict, Option<Arc<Found>>);

impl Crew<'_> {
    /// What `module_defaults` give the module: what the innermost of them say of a name or a group
    /// counts alone, and what is said of the module outranks what is said of its groups.
    pub(super) fn module_defaults(
        &self,
        task: &Task,
        module: &str,
        foreign: Option<&Found>,
        context: &Context,
    ) -> Result<Dict, Fault> {
        let mut args = Dict::new();
        if task.common.module_defaults.is_empty() {
            return Ok(args);
        }
        let modules = &self.shared.modules;
        let action = modules.full_name(foreign.map_or(module, |found| &found.name));
        let mut groups = Dict::new();
        let mut own = Value::None;
        for defaults in &task.common.module_defaults {
            let defaults = context.finish(defaults)?;
            for (key, value) in defaults.as_dict().into_iter().flatten() {
                let word = key.to_json_key();
                match word.strip_prefix("group/") {
                    Some(group) if modules.group_has(group, &action) => {
                        groups.insert(key.clone(), value.clone());
                    }
                    Some(_) => {}
                    None if catalog::short(&word) == module
                        || modules.full_name(&word) == action =>
                    {
                        own = value.clone();
                    }
                    None => {}
                }
            }
        }
        for defaults in groups.values().chain([&own]) {
            args.extend(defaults.as_dict().cloned().unwrap_or_default());
        }
        Ok(args)
    }

    /// The arguments of a call, below them what `module_defaults` says of the module that does the
    /// work, by any of its names.
    pub(super) fn with_defaults(&self, call: &Call<'_>, names: &[&str]) -> Result<Dict, Fault> {
        let mut args = Dict::new();
        for name in names {
            args.extend(self.module_defaults(call.task, name, None, call.context)?);
        }
        args.extend(call.args.clone());
        Ok(args)
    }

    /// What a task fails of that has text where only arguments by name belong.
    fn unexpected_text(&self, module: &str, foreign: Option<&Found>) -> Dict {
        let full = self.shared.modules.full_name(foreign.map_or(module, |found| &found.name));
        failed(match module {
            "add_host" => "Invalid raw parameters passed, requires a dictionary/mapping got a  <class 'ansible.module_utils._internal._datatag._AnsibleTaggedStr'>".to_owned(),
            "group_by" => "Invalid options for group_by: _raw_params".to_owned(),
            _ => format!("Task failed: Action '{full}' does not support raw params."),
        })
    }

    /// Arguments rendered, those that are omitted left out, defaults for the module filled in; and
    /// the program that takes them where our module does not.
    pub(super) fn arguments(
        &self,
        task: &Task,
        module: &str,
        mut foreign: Option<Arc<Found>>,
        context: &Context,
    ) -> Result<Arguments, Failure> {
        let full = if task.word.contains('.') {
            task.word.clone()
        } else {
            format!("ansible.builtin.{}", task.word)
        };
        let fault_of = |argument: Option<(&str, Option<&Origin>)>, fault: &Fault| {
            self.failure(task, While::Args(&full, argument), fault)
        };
        let mut args = self
            .module_defaults(task, module, foreign.as_deref(), context)
            .map_err(|fault| fault_of(None, &fault))?;
        let given = match &task.args {
            whole if whole.as_str().is_some() => {
                let value = context.finish(whole).map_err(|fault| fault_of(None, &fault))?;
                match value.as_dict() {
                    Some(entries) => entries.clone(),
                    None => {
                        return Err(failed(format!(
                            "Task failed: the arguments of '{full}' are {}, not a dict",
                            value.type_name()
                        ))
                        .into());
                    }
                }
            }
            args => args.as_dict().cloned().unwrap_or_default(),
        };
        let text_too = foreign.is_none() && catalog::takes(module, "_raw_params");
        if given.contains_key("_raw_params") && !text_too {
            let mut result = self.unexpected_text(module, foreign.as_deref());
            if module != "debug" {
                put(&mut result, "changed", false);
            }
            return Err(result.into());
        }
        // What our module does not know Ansible's own may.
        let known = |foreign: &mut Option<Arc<Found>>, key: &Key| {
            let name = key.to_json_key();
            let of_gatherer =
                task.word.ends_with("gather_facts") && OF_GATHER_FACTS.contains(&name.as_str());
            if foreign.is_none() && !of_gatherer && !catalog::takes(module, &name) {
                *foreign = self.shared.modules.core_knows(module, &name);
                // What `fetch` does not know it does not look at either.
                let looks = module != "fetch" && catalog::find_control(module).is_some();
                if foreign.is_none() && looks {
                    let names = given.keys().map(Key::to_json_key);
                    let mut unknown: Vec<_> =
                        names.filter(|name| !catalog::takes(module, name)).collect();
                    if !unknown.contains(&name) {
                        unknown.push(name);
                    }
                    return Err(Failure::from(unknown_arguments(task, module, unknown)));
                }
            }
            Ok(())
        };
        for (key, value) in &given {
            let name = key.to_json_key();
            if name == "_variable_params" {
                let at = value.origin();
                let value =
                    context.finish(value).map_err(|fault| fault_of(Some((&name, at)), &fault))?;
                if matches!(value, Value::Omit) {
                    continue;
                }
                let Some(more) = value.as_dict() else {
                    return Err(failed(format!(
                        "Task failed: Finalization of task args for '{full}' failed: Task args must resolve to a 'dict' not '{}'.",
                        value.type_name()
                    ))
                    .into());
                };
                for (key, value) in more {
                    if !given.contains_key(key) {
                        known(&mut foreign, key)?;
                        args.insert(key.clone(), value.clone());
                    }
                }
                continue;
            }
            // It looks at its conditions itself.
            if matches!((module, name.as_str()), ("assert", "that")) {
                args.insert(key.clone(), value.clone());
                continue;
            }
            let at = value.origin();
            let value =
                context.finish(value).map_err(|fault| fault_of(Some((&name, at)), &fault))?;
            if matches!(value, Value::Omit) {
                args.shift_remove(key);
                continue;
            }
            // Names within a dict that was rendered are data.
            let key = if name.contains("{{") && task.args.as_str().is_none() {
                let value = context
                    .finish(&Value::trusted(&name, None))
                    .map_err(|fault| fault_of(Some((&name, None)), &fault))?;
                Key::of(&value).unwrap_or_else(|| Key::from(value.to_text().as_str()))
            } else {
                key.clone()
            };
            known(&mut foreign, &key)?;
            args.insert(key, value);
        }
        Ok((args, foreign))
    }
}

/// What a task fails of that gives an action arguments it does not know, as ansible-core says it:
/// some actions have a specification, and others a list of names.
fn unknown_arguments(task: &Task, module: &str, mut unknown: Vec<String>) -> Dict {
    let supported = match module {
        "assert" => Some("fail_msg, quiet, success_msg, that (msg)"),
        "async_status" => Some("jid, mode"),
        "debug" => Some("msg, var, verbosity"),
        "pause" => Some("echo, minutes, prompt, seconds"),
        "script" => Some("_raw_params, chdir, cmd, creates, executable, removes"),
        _ => None,
    };
    let mut result = failed(match (module, supported) {
        (_, Some(supported)) => {
            unknown.sort_unstable();
            let called = match task.word.starts_with("ansible.builtin.") {
                true => format!("ansible_collections.ansible.builtin.plugins.action.{module}"),
                false => module.to_owned(),
            };
            format!(
                "Unsupported parameters for ({called}) module: {}. Supported parameters include: {supported}.",
                unknown.join(", ")
            )
        }
        ("include_vars", _) => {
            unknown.sort_unstable();
            format!("Task failed: {} is not a valid option in include_vars", unknown[0])
        }
        ("fail" | "group_by" | "reboot" | "set_stats" | "wait_for_connection", _) => {
            format!("Invalid options for {}: {}", task.word, unknown.join(","))
        }
        _ => format!("Task failed: `{module}` has no argument `{}`", unknown[0]),
    });
    if module != "debug" {
        put(&mut result, "changed", false);
    }
    result
}
