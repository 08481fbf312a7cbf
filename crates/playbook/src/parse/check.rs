//! What can be known to be wrong with a task before anything runs.

use super::Reader;
use super::catalog;
use super::tree::{Common, Condition, Task};
use crate::fault::LoadFault;
use crate::run::OF_GATHER_FACTS;
use crate::template::Syntax;
use crate::value::{Dict, Value};
use crate::yaml::{Node as Yaml, Origin};
use std::path::{Path, PathBuf};

impl Reader<'_> {
    /// Reads every template within a value.
    fn check_value(&mut self, value: &Value, at: &Origin) {
        let mut templates = Vec::new();
        value.templates(&mut templates);
        for template in templates {
            if let Err(fault) = template.check(self.loader.world.commands.others()) {
                let at = fault.at.clone().unwrap_or_else(|| at.clone());
                self.doubt(at, format!("{} in `{}`", fault.what, shorten(template.source())));
            }
        }
    }

    /// Names of variables that mean something else are warned of.
    pub(crate) fn check_names(&mut self, vars: &Yaml) {
        for (key, _) in vars.as_map().unwrap_or_default() {
            if let Some(what) = key.as_str().and_then(super::keywords::reserved) {
                self.warnings.push(LoadFault::at(key.at.clone(), what));
            }
        }
    }

    pub(crate) fn check_vars(&mut self, vars: &Dict, item: &Yaml) {
        vars.values().for_each(|value| self.check_value(value, &item.at));
    }

    /// Groups of actions that nobody knows.
    fn check_groups(&mut self, module_defaults: &[Value]) {
        for (key, _) in module_defaults.iter().filter_map(Value::as_dict).flatten() {
            let word = key.to_json_key();
            let Some(group) = word.strip_prefix("group/") else { continue };
            if !self.loader.modules.has_group(group) {
                let fault = LoadFault::bare(format!(
                    "Error loading module_defaults: could not resolve the module_defaults group {group}"
                ));
                // What the play says comes down to its tasks.
                if !self.faults.contains(&fault) {
                    self.faults.push(fault);
                }
            }
        }
    }

    /// Templates among the keywords.
    pub(crate) fn check_common(&mut self, common: &Common, item: &Yaml) {
        let single = [
            &common.become_it,
            &common.become_user,
            &common.become_flags,
            &common.ignore_errors,
            &common.no_log,
            &common.check_mode,
            &common.delegate_to,
            &common.run_once,
            &common.remote_user,
        ];
        for value in single.into_iter().flatten().chain(&common.environment).chain(&common.tags) {
            self.check_value(value, &item.at);
        }
        self.check_conditions(&common.when, &item.at);
        self.check_groups(&common.module_defaults);
        let method = common.become_method.as_ref().filter(|method| !method.is_lazy());
        if let Some(method) = method.filter(|method| {
            !matches!(
                method.as_str(),
                Some("sudo" | "su" | "ansible.builtin.sudo" | "ansible.builtin.su")
            )
        }) {
            self.doubt(
                item.at.clone(),
                format!(
                    "become_method `{}` is not supported; `sudo` and `su` are",
                    method.to_text()
                ),
            );
        }
    }

    fn check_conditions(&mut self, conditions: &[Condition], at: &Origin) {
        for condition in conditions {
            match condition {
                Condition::Broken(text, why) => {
                    self.doubt(at.clone(), format!("{why} in the condition `{text}`"));
                }
                Condition::Template(value) => self.check_value(value, at),
                Condition::Expr(expression) => {
                    if let Err(fault) = expression.check(self.loader.world.commands.others()) {
                        let text = expression.source();
                        self.doubt(at.clone(), format!("{} in the condition `{text}`", fault.what));
                    }
                }
                Condition::Plain(_) => {}
            }
        }
    }

    /// Arguments and templates of a task.
    pub(crate) fn check_task(
        &mut self,
        task: &mut Task,
        module: &str,
        item: &Yaml,
        word_at: &Origin,
    ) {
        self.check_common(&task.common, item);
        self.check_vars(&task.common.vars, item);
        self.check_value(&task.args, &task.origin);
        let single = [&task.name, &task.retries, &task.delay].into_iter().flatten();
        for value in single.chain(&task.common.notify) {
            self.check_value(value, &task.origin);
        }
        if let Some(repeat) = &task.repeat {
            self.check_value(&repeat.over, &repeat.at);
            if let Some(label) = &repeat.control.label {
                self.check_value(label, &repeat.at);
            }
        }
        for conditions in [Some(&task.until), task.changed_when.as_ref(), task.failed_when.as_ref()]
        {
            self.check_conditions(conditions.map_or(&[], Vec::as_slice), &task.origin);
        }
        if task.foreign.is_some() {
            // It knows its arguments itself.
            return;
        }
        let Some(args) = task.args.as_dict().cloned() else { return };
        // A task that may fail without harm is there to see what it says.
        let may_fail = task.common.ignore_errors.is_some() || task.failed_when.is_some();
        for name in args.keys() {
            let name = name.to_json_key();
            if catalog::takes(module, &name) {
                continue;
            }
            // Names that are rendered are known only later.
            if name.contains("{{") {
                continue;
            }
            if task.word.ends_with("gather_facts") && OF_GATHER_FACTS.contains(&name.as_str()) {
                continue;
            }
            if name == "_raw_params" {
                if !may_fail {
                    self.doubt(word_at.clone(), super::task::extra_params(&task.word));
                }
                continue;
            }
            // Ansible's own module may know it; then the task is that one's.
            if catalog::find_control(module).is_none()
                && let Some(found) = self.loader.modules.core_knows(module, &name)
            {
                task.foreign = Some(found);
                return;
            }
            if may_fail {
                continue;
            }
            let at = argument_place(item, &name).unwrap_or_else(|| word_at.clone());
            let hint = catalog::nearest(&name, catalog::all_args(module))
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            self.doubt(at, format!("`{module}` has no argument `{name}`{hint}"));
        }
        for names in catalog::required(module) {
            let given = names.iter().any(|name| args.contains_key(*name))
                || (catalog::keeps_raw(module) && args.contains_key("_raw_params"));
            // `module_defaults` may still give it.
            if !given && !may_fail && task.common.module_defaults.is_empty() {
                self.doubt(
                    word_at.clone(),
                    format!("`{module}` needs the argument `{}`", names[0]),
                );
            }
        }
        if module == "meta" {
            self.check_meta(&args, word_at);
        }
        if module == "template" {
            self.check_template_file(task, &args, word_at);
        }
    }

    fn check_meta(&mut self, args: &Dict, at: &Origin) {
        let known = [
            "flush_handlers",
            "noop",
            "end_play",
            "end_host",
            "end_batch",
            "end_role",
            "clear_facts",
            "clear_host_errors",
            "refresh_inventory",
            "reset_connection",
        ];
        let word = args.get("_raw_params").map(Value::to_text).unwrap_or_default();
        if !known.contains(&word.as_str()) {
            self.doubt(at.clone(), format!("invalid meta action requested: {word}"));
        }
    }

    /// A template whose name is certain is read now, so that a slip in it stops nothing halfway.
    fn check_template_file(&mut self, task: &Task, args: &Dict, at: &Origin) {
        let Some(src) = args.get("src").filter(|src| !src.is_lazy()).map(Value::to_text) else {
            return;
        };
        let marks = ["block_start_string", "variable_start_string", "comment_start_string"];
        if marks.iter().any(|name| args.contains_key(*name)) {
            return;
        }
        let Some(path) = find_near(task, "templates", &src) else { return };
        self.files.insert(path.clone());
        let Ok(text) = self.loader.world.vault.read_text(&path) else { return };
        if text.starts_with("#jinja2:") {
            return;
        }
        let syntax = Syntax { keep_trailing_newline: true, ..Syntax::default() };
        if let Err(fault) =
            crate::template::check_text(&text, &syntax, self.loader.world.commands.others())
        {
            let line = fault.0;
            let place = Origin { file: path.display().to_string().into(), line, column: 1 };
            self.doubt(place, format!("{} (used at {at})", fault.1));
        }
    }
}

/// Where an argument stands within its task.
fn argument_place(item: &Yaml, name: &str) -> Option<Origin> {
    for (_, value) in item.as_map()? {
        let found = value
            .as_map()
            .and_then(|entries| entries.iter().find(|(key, _)| key.as_str() == Some(name)));
        if let Some((key, _)) = found {
            return Some(key.at.clone());
        }
    }
    None
}

/// A file of a task, looked for without running.
pub(crate) fn find_near(task: &Task, subdir: &str, name: &str) -> Option<PathBuf> {
    let mut places: Vec<&Path> = Vec::new();
    if let Some(role) = &task.role {
        places.push(&role.path);
        places.extend(role.parents.iter().rev().map(|parent| parent.path.as_path()));
    }
    places.push(&task.dir);
    places
        .iter()
        .flat_map(|place| [place.join(subdir).join(name), place.join(name)])
        .find(|path| path.exists())
}

fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(80).collect();
    if short.len() < text.len() { short + "…" } else { short }
}
