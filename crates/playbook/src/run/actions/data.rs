//! Actions on variables: `debug`, `set_fact`, `assert`, `include_vars`.

use super::super::execute::{Call, Crew, number};
use super::super::outcome::{failed, put};
use super::done;
use crate::fault::{Faults, LoadFault};
use crate::inventory::{read_vars, sorted_entries};
use crate::output::{Event, NO_LOG, SHOW, SHOW_DEBUG, warning_text};
use crate::parse::keywords::{is_identifier, is_whole_template, reserved};
use crate::template::{
    Context, Dialect, Difference, Expression, Fault, Interp, UNTRUSTED, combine_dicts, fact,
    find_file, not_found,
};
use crate::value::{Dict, Key, Object, Value};
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
        let name = match call.args.get("var") {
            Some(Value::None) | None => {
                let msg = call.args.get("msg").cloned();
                put(&mut result, "msg", msg.unwrap_or_else(|| Value::str("Hello world!")));
                return result;
            }
            Some(Value::Str(name)) => name,
            Some(other) => {
                return failed(format!(
                    "argument 'var' is of type {} and we were unable to convert to _check_type_str_no_conversion: '{}' is not a string and conversion is not allowed",
                    other.type_name(),
                    other.to_text()
                ));
            }
        };
        if call.args.contains_key("msg") {
            return failed("parameters are mutually exclusive: msg|var");
        }
        let wrong = |what: &str| {
            failed(format!("Task failed: Error while resolving `var` expression: {what}"))
        };
        // 2.14 takes the name of a variable from anybody.
        let classic = call.context.world.dialect == Dialect::Core214;
        let may_be_read = name.is_own() || classic && is_path(name);
        if !may_be_read {
            return wrong(UNTRUSTED);
        }
        let expression = match Expression::new(name, None) {
            Ok(expression) => expression,
            Err(fault) => return wrong(&fault.what),
        };
        let mut seen = Seen { classic, ..Seen::default() };
        let value = match call.context.evaluate_soft(&expression) {
            Ok(Value::Omit) => {
                seen.warnings.push(Value::str("The result of the `var` expression could not be omitted; a placeholder was used instead."));
                Value::str("<<Omit>>")
            }
            Ok(value) => seen.visible(value),
            Err(fault) if fault.undefined => Value::from(seen.missing(&fault.what)),
            Err(fault) => return wrong(&fault.what),
        };
        let value = match &value {
            Value::Object(object) if object.type_name() == "HostVarsVars" => {
                match seen.each_visible(call.context, object.as_ref()) {
                    Ok(value) => value,
                    Err(fault) => {
                        return wrong(&fault.what);
                    }
                }
            }
            Value::Object(_) | Value::Tuple(_) => call.context.finish(&value).unwrap_or(value),
            _ => value,
        };
        put(&mut result, name, value);
        let warnings = seen.warnings();
        if !warnings.is_empty() {
            put(&mut result, "warnings", Value::list(warnings));
        }
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
        match &call.scope.watch {
            // What a run keeps for others is kept when its turn has come.
            Some(watch) if cacheable => watch.looks_too_far(),
            None if cacheable => self.learn(host, &facts),
            _ => {}
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
            let fault = LoadFault::at(call.task.origin.clone(), what);
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
        let classic = call.context.world.dialect == Dialect::Core214;
        let that = match call.args.get("that") {
            None if !classic => return failed("missing required arguments: that"),
            that => that.cloned().unwrap_or_default(),
        };
        // A template that stands for a list: its elements are conditions, not values.
        let that = match that.as_str().filter(|text| that.is_lazy() && is_whole_template(text)) {
            Some(_) => match call.context.container(&that) {
                Ok(found) if found.as_list().is_some() => found,
                _ => that,
            },
            None => that,
        };
        let conditions = that.as_list().map_or_else(|| vec![that.clone()], <[Value]>::to_vec);
        for condition in conditions {
            let shown = match &condition {
                Value::Lazy(_) => condition.as_written(),
                _ => condition.clone(),
            };
            let held = call.context.holds_value(&condition);
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
                Err(fault) => {
                    let mut result = Dict::new();
                    self.put_failure(&mut result, &fault);
                    return result;
                }
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
            Err(what) => return self.not_included(what),
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

    /// Why variables could not be read, where playbooks look for it.
    fn not_included(&self, what: String) -> Dict {
        let mut result = failed(&what);
        put(&mut result, "changed", false);
        put(&mut result, "ansible_facts", Value::dict(Dict::new()));
        put(&mut result, "ansible_included_var_files", Value::list(Vec::new()));
        put(&mut result, "message", Value::from(what));
        if self.shared.world.dialect == Dialect::Core214 {
            result.shift_remove("msg");
        }
        result
    }

    fn vars_path(&self, call: &Call<'_>, name: &str) -> Result<PathBuf, String> {
        let mut interp = Interp::new(call.context);
        match find_file(&mut interp, "vars", name) {
            Ok(Some(path)) => Ok(path),
            Ok(None) => Err(not_found(&mut interp, "vars", name)),
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
        let expression = |name: &str, source: &str| {
            fancy_regex::Regex::new(source).map_err(|error| format!("{name}: {error}"))
        };
        let ignored: Vec<_> = list("ignore_files", &[])
            .iter()
            .map(|end| expression("ignore_files", &format!("{end}$")))
            .collect::<Result<_, _>>()?;
        let matching = match call.args.get("files_matching").filter(|it| !it.is_none()) {
            Some(source) => Some(expression("files_matching", &source.to_text())?),
            None => None,
        };
        let only_known = call.args.get("ignore_unknown_extensions").and_then(Value::as_boolean);
        let depth = call.args.get("depth").and_then(Value::as_int).unwrap_or(0);
        // What a role reads by itself is not read again.
        let own = call.scope.role.as_ref().map(|role| role.path.join("vars/main.yml"));
        let mut directories = Vec::new();
        directories_below(path, &mut directories);
        directories.sort();
        if depth > 0 {
            // As in Ansible, the depth counts directories, not levels.
            directories.truncate(usize::try_from(depth).unwrap_or(usize::MAX));
        }
        let mut vars = Dict::new();
        for file in directories.iter().flat_map(|directory| sorted_entries(directory)) {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let is = |regex: &fancy_regex::Regex| regex.is_match(name.as_ref()).unwrap_or(false);
            if file.is_dir()
                || own.as_ref() == Some(&file)
                || matching.as_ref().is_some_and(|regex| !is(regex))
                || ignored.iter().any(is)
            {
                continue;
            }
            let extension = file.extension().unwrap_or_default().to_string_lossy();
            if extensions.iter().any(|known| *known == extension) {
                vars.extend(load(call, &file, read)?);
            } else if only_known != Some(true) {
                return Err(format!(
                    "{} does not have a valid extension: {}",
                    file.display(),
                    extensions.join(", ")
                ));
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

/// A directory and all directories in it, links to directories too.
fn directories_below(path: &Path, found: &mut Vec<PathBuf>) {
    found.push(path.to_path_buf());
    for entry in sorted_entries(path) {
        if entry.is_dir() {
            directories_below(&entry, found);
        }
    }
}

fn load(call: &Call<'_>, path: &Path, read: &mut BTreeSet<PathBuf>) -> Result<Dict, String> {
    read_vars(path, &call.scope.shared.world.vault, read, false)
        .map_err(|faults| Faults(faults).to_string())
}

/// A variable and what is reached in it by names and numbers alone: `x.y[0]`, `x[y.z]`.
fn is_path(text: &str) -> bool {
    text.split(['.', '[', ']'])
        .all(|part| part.chars().all(|c| c.is_ascii_digit()) || is_identifier(part))
}

/// What `debug` met that is not there.
#[derive(Default)]
struct Seen {
    /// In the words of 2.14, which warns of nothing.
    classic: bool,
    missing: Vec<String>,
    warnings: Vec<Value>,
}

impl Seen {
    /// What stands for something that is not there.
    fn missing(&mut self, why: &str) -> String {
        if self.classic {
            return "VARIABLE IS NOT DEFINED!".to_owned();
        }
        self.missing.push(why.to_owned());
        format!("<< error {} - {why} >>", self.missing.len())
    }

    /// What is undefined within, as the sentence about it.
    fn visible(&mut self, value: Value) -> Value {
        match &value {
            Value::Undefined(missing) => Value::from(self.missing(&missing.why)),
            Value::List(items) => {
                Value::list(items.iter().map(|item| self.visible(item.clone())).collect())
            }
            Value::Dict(entries) => Value::dict(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), self.visible(value.clone())))
                    .collect(),
            ),
            _ => value,
        }
    }

    /// Every variable of a host, with a word in place of those that are not there.
    fn each_visible(&mut self, context: &Context, vars: &dyn Object) -> Result<Value, Fault> {
        let mut interp = Interp::new(context);
        let mut all = Dict::new();
        for name in vars.items().unwrap_or_default() {
            let value = match vars.attr(&mut interp, &name) {
                Ok(value) => value.unwrap_or_default(),
                Err(fault) if fault.undefined => Value::undefined(fault.what),
                Err(fault) => return Err(fault),
            };
            all.insert(Key::str(name.to_text()), self.visible(value));
        }
        Ok(Value::dict(all))
    }

    fn warnings(mut self) -> Vec<Value> {
        if !self.missing.is_empty() {
            let count = updraft_base::counted(self.missing.len(), "template error");
            let mut text = format!("Encountered {count}.");
            for (index, why) in self.missing.iter().enumerate() {
                text.push_str(&format!("\nerror {} - {why}", index + 1));
            }
            self.warnings.push(Value::from(text));
        }
        self.warnings
    }
}
