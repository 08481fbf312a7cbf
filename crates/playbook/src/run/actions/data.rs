//! Actions on variables: `debug`, `set_fact`, `assert`, `include_vars`.

use super::super::execute::{Call, Crew, number};
use super::super::outcome::{failed, put};
use super::done;
use crate::fault::{Faults, LoadFault};
use crate::inventory::{read_vars, sorted_entries};
use crate::output::{Event, NO_LOG, SHOW, SHOW_DEBUG, warning_text};
use crate::parse::keywords::{is_identifier, reserved};
use crate::template::{Dialect, Difference, Expression, Interp, combine_dicts, fact, find_file};
use crate::value::{Dict, Key, Value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

impl Crew<'_> {
    pub(super) fn debug(&self, call: &Call<'_>) -> Dict {
        let wanted = match call.args.get("verbosity").map(|value| number(call.context, value)) {
            None => 0.0,
            Some(Ok(wanted)) => wanted,
            Some(Err(fault)) => return failed(format!("Task failed: verbosity: {}", fault.what)),
        };
        let mut result = done(false);
        if wanted > f64::from(self.shared.options.verbosity) {
            put(&mut result, "skipped", true);
            put(&mut result, "skipped_reason", Value::str("Verbosity threshold not met."));
            return result;
        }
        put(&mut result, SHOW, Value::str(SHOW_DEBUG));
        let Some(var) = call.args.get("var") else {
            let msg = call.args.get("msg").cloned().unwrap_or_else(|| Value::str("Hello world!"));
            put(&mut result, "msg", msg);
            return result;
        };
        // `var` is the name of what to show, or an expression; a template gives the name.
        let name = match call.context.finish(var) {
            Ok(Value::Str(name)) if var.is_lazy() && !is_path(&name) => {
                return failed(format!("Task failed: Invalid variable expression: {name}"));
            }
            Ok(Value::Str(name)) => name.to_string(),
            Ok(other) => {
                put(&mut result, &other.to_text(), other.clone());
                return result;
            }
            Err(fault) => return failed(format!("Task failed: {}", fault.what)),
        };
        let expression = match Expression::new(&name, None) {
            Ok(expression) => expression,
            Err(fault) => return failed(format!("Task failed: {}", fault.what)),
        };
        let value = match call.context.evaluate_soft(&expression) {
            Ok(value) => visible(value),
            Err(fault) if fault.undefined => Value::from(format!("<< error 1 - {} >>", fault.what)),
            Err(fault) => return failed(format!("Task failed: {}", fault.what)),
        };
        let value = match &value {
            Value::Object(_) | Value::Tuple(_) => call.context.finish(&value).unwrap_or(value),
            _ => value,
        };
        put(&mut result, &name, value);
        result
    }

    pub(super) fn set_fact(&self, call: &Call<'_>) -> Dict {
        let mut facts = Dict::new();
        let mut cacheable = false;
        for (key, value) in &call.args {
            let name = key.to_json_key();
            if name == "cacheable" {
                cacheable = value.as_boolean().unwrap_or(false);
            } else if key.as_str().is_some_and(is_identifier) {
                facts.insert(key.clone(), self.fact(call, &name, value));
            } else {
                return failed(invalid_name(key));
            }
        }
        if facts.is_empty() {
            return failed(
                "No key/value pairs provided, at least one is required for this action to succeed",
            );
        }
        let host = match (&call.delegate, &call.task.common.delegate_facts) {
            (Some(host), Some(value))
                if super::super::execute::truth(call.context, Some(value)).unwrap_or(false) =>
            {
                host
            }
            _ => &call.scope.host,
        };
        self.warn_of_names(call, &facts);
        host.set.add(&facts);
        if cacheable {
            host.facts.add(&facts);
        }
        let mut result = done(false);
        put(&mut result, "ansible_facts", Value::dict(facts));
        result
    }

    /// A fact as the dialect has it.
    fn fact(&self, call: &Call<'_>, name: &str, value: &Value) -> Value {
        let world = &call.context.world;
        let classic = fact(value);
        if let Some(differences) = &world.differences
            && classic.type_name() != value.type_name()
        {
            differences.note(Difference {
                at: Some(call.task.origin.clone()),
                text: format!("set_fact: {name}"),
                core214: classic.type_name().to_owned(),
                core219: value.type_name().to_owned(),
            });
        }
        if world.dialect == Dialect::Core214 { classic } else { value.clone() }
    }

    /// Names of variables that mean something else are warned of.
    fn warn_of_names(&self, call: &Call<'_>, vars: &Dict) {
        for what in vars.keys().filter_map(Key::as_str).filter_map(reserved) {
            let fault = LoadFault { at: Some(call.task.origin.clone()), what };
            self.sink.event(Event::Warning(warning_text(&fault)));
        }
    }

    pub(super) fn set_stats(&self, call: &Call<'_>) -> Dict {
        let Some(data) = call.args.get("data").map_or(Some(Dict::new()), |v| v.as_dict().cloned())
        else {
            return failed("The 'data' option needs to be a dictionary/hash");
        };
        if let Some(key) = data.keys().find(|key| !key.as_str().is_some_and(is_identifier)) {
            return failed(invalid_name(key));
        }
        let flag = |name: &str, default: bool| match call.args.get(name) {
            Some(value) => value.as_boolean().unwrap_or(false),
            None => default,
        };
        let stats = Value::dict_of([
            ("data", Value::dict(data)),
            ("per_host", Value::Bool(flag("per_host", false))),
            ("aggregate", Value::Bool(flag("aggregate", true))),
        ]);
        let mut result = done(false);
        put(&mut result, "ansible_stats", stats);
        result
    }

    pub(super) fn assert(&self, call: &Call<'_>) -> Dict {
        let text = |name: &str| call.args.get(name).filter(|value| !value.is_none()).cloned();
        let quiet = text("quiet").and_then(|value| value.as_boolean()).unwrap_or(false);
        let that = call.args.get("that").cloned().unwrap_or_default();
        // The list may come from a variable; its elements are conditions, not values.
        let that = match &that {
            Value::Lazy(_) if that.as_str().is_some() => match call.context.finish(&that) {
                // What a host said is data, and data is never evaluated.
                Ok(value) if holds_text(&value) => match own_conditions(call, &that) {
                    Some(own) => own,
                    None => {
                        return failed(
                            "Task failed: Encountered untrusted template or expression.",
                        );
                    }
                },
                Ok(value) => value,
                Err(fault) => return failed(format!("Task failed: {}", fault.what)),
            },
            _ => that,
        };
        let conditions = that.as_list().map_or_else(|| vec![that.clone()], <[Value]>::to_vec);
        for condition in conditions {
            let (shown, held) = match &condition {
                Value::Bool(truth) => (Value::Bool(*truth), Ok(*truth)),
                other => {
                    let source = other.as_str().map_or_else(|| other.to_text(), str::to_owned);
                    let bare = source.trim();
                    let inner = bare.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
                    let inner = inner.filter(|inner| !inner.contains("{{")).unwrap_or(bare);
                    let held = Expression::new(inner, None)
                        .and_then(|expression| call.context.holds(&expression));
                    (Value::from(source), held)
                }
            };
            match held {
                Ok(true) => {}
                Ok(false) => {
                    let mut result = failed("");
                    put(&mut result, "changed", false);
                    put(&mut result, "evaluated_to", false);
                    put(&mut result, "assertion", shown);
                    let msg = text("fail_msg")
                        .or_else(|| text("msg"))
                        .unwrap_or_else(|| Value::str("Assertion failed"));
                    put(&mut result, "msg", msg);
                    if !quiet {
                        put(&mut result, SHOW, true);
                    }
                    return result;
                }
                Err(fault) => return failed(format!("Task failed: {}", fault.what)),
            }
        }
        let mut result = done(false);
        put(
            &mut result,
            "msg",
            text("success_msg").unwrap_or_else(|| Value::str("All assertions passed")),
        );
        if !quiet {
            put(&mut result, SHOW, true);
        }
        result
    }

    pub(super) fn include_vars(&self, call: &Call<'_>) -> Dict {
        let text =
            |name: &str| call.args.get(name).filter(|value| !value.is_none()).map(Value::to_text);
        let mut read = BTreeSet::new();
        let found = match (text("file").or_else(|| text("_raw_params")), text("dir")) {
            (Some(file), None) => {
                self.vars_path(call, &file).and_then(|path| load(call, &path, &mut read))
            }
            (None, Some(dir)) => {
                self.vars_path(call, &dir).and_then(|path| self.vars_dir(call, &path, &mut read))
            }
            _ => Err("include_vars takes one of `file` and `dir`".to_owned()),
        };
        let mut vars = match found {
            Ok(vars) => vars,
            Err(what) => return failed(what),
        };
        if let Some(name) = text("name") {
            vars = std::iter::once((Key::from(name.as_str()), Value::dict(vars))).collect();
        }
        let included = &call.scope.host.included;
        if text("hash_behaviour").as_deref() == Some("merge") {
            vars = combine_dicts(&included.get(), &vars, true, "replace");
        }
        self.warn_of_names(call, &vars);
        included.add(&vars);
        let mut result = done(false);
        // Whoever encrypted a file does not want to see it in the output.
        let hidden = read
            .iter()
            .any(|path| std::fs::read(path).is_ok_and(|bytes| crate::vault::is_encrypted(&bytes)));
        if hidden {
            put(&mut result, NO_LOG, true);
        }
        put(&mut result, "ansible_facts", crate::template::plain(&Value::dict(vars)));
        put(
            &mut result,
            "ansible_included_var_files",
            Value::strings(read.iter().map(|path| path.display().to_string())),
        );
        result
    }

    fn vars_path(&self, call: &Call<'_>, name: &str) -> Result<PathBuf, String> {
        let mut interp = Interp::new(call.context);
        match find_file(&mut interp, "vars", name) {
            Ok(Some(path)) => Ok(path),
            Ok(None) => {
                Err(format!("Could not find or access '{name}' on the Ansible Controller."))
            }
            Err(fault) => Err(fault.what),
        }
    }

    fn vars_dir(
        &self,
        call: &Call<'_>,
        path: &Path,
        read: &mut BTreeSet<PathBuf>,
    ) -> Result<Dict, String> {
        if !path.is_dir() {
            return Err(format!("{} directory does not exist", path.display()));
        }
        let list = |name: &str, default: &[&str]| -> Vec<String> {
            match call.args.get(name) {
                Some(value) => value.as_list().map_or_else(
                    || vec![value.to_text()],
                    |items| items.iter().map(Value::to_text).collect(),
                ),
                None => default.iter().map(|word| (*word).to_owned()).collect(),
            }
        };
        let extensions = list("extensions", &["yaml", "yml", "json"]);
        let ignored = list("ignore_files", &[]);
        let depth = call.args.get("depth").and_then(Value::as_int).unwrap_or(0);
        let matching = match call.args.get("files_matching").map(Value::to_text) {
            Some(source) => Some(
                fancy_regex::Regex::new(&source)
                    .map_err(|error| format!("files_matching: {error}"))?,
            ),
            None => None,
        };
        let mut vars = Dict::new();
        let mut open = vec![(path.to_path_buf(), 1)];
        while let Some((directory, level)) = open.pop() {
            for entry in sorted_entries(&directory) {
                let name = entry
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default();
                if entry.is_dir() {
                    if depth == 0 || level < depth {
                        open.push((entry, level + 1));
                    }
                    continue;
                }
                let extension =
                    entry.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
                let wanted = extensions.contains(&extension)
                    && !ignored.contains(&name)
                    && matching
                        .as_ref()
                        .is_none_or(|regex| regex.is_match(name.as_str()).unwrap_or(false));
                if wanted {
                    vars.extend(load(call, &entry, read)?);
                }
            }
        }
        Ok(vars)
    }
}

fn invalid_name(key: &Key) -> String {
    let kind = match key.as_str() {
        Some(_) => String::new(),
        None => format!(" of type '{}'", key.to_value().type_name()),
    };
    format!("Invalid variable name '{}'{kind}.", key.to_value().to_text())
}

fn load(call: &Call<'_>, path: &Path, read: &mut BTreeSet<PathBuf>) -> Result<Dict, String> {
    read_vars(path, &call.scope.shared.world.vault, read)
        .map_err(|faults| Faults(faults).to_string())
}

/// Is it text, or a list with text in it?
fn holds_text(value: &Value) -> bool {
    let text = |value: &Value| matches!(value, Value::Str(_));
    text(value) || value.as_list().is_some_and(|items| items.iter().any(text))
}

/// The conditions that a variable of the playbook holds, as they are written there; `None` where
/// they may come from a host.
fn own_conditions(call: &Call<'_>, that: &Value) -> Option<Value> {
    let name = that.as_str()?.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let host = &call.scope.host;
    let said = [host.set.look(name), host.facts.look(name), call.scope.over.get(name).cloned()];
    if !is_identifier(name) || said.iter().any(Option::is_some) {
        return None;
    }
    // Text with braces in it may render to what a host said.
    call.context.scope.get(name).filter(|value| matches!(value, Value::Str(_) | Value::List(_)))
}

/// A variable and what is reached in it by names and numbers alone: `x.y[0]`, `x[y.z]`.
fn is_path(text: &str) -> bool {
    text.split(['.', '[', ']'])
        .all(|part| part.chars().all(|c| c.is_ascii_digit()) || is_identifier(part))
}

/// What is undefined within, as the sentence about it.
fn visible(value: Value) -> Value {
    match &value {
        Value::Undefined(missing) => Value::from(format!("<< error 1 - {} >>", missing.why)),
        Value::List(items) => Value::list(items.iter().cloned().map(visible).collect()),
        Value::Dict(entries) => Value::dict(
            entries.iter().map(|(key, value)| (key.clone(), visible(value.clone()))).collect(),
        ),
        _ => value,
    }
}
