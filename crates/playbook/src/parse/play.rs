//! Plays, and playbooks that import others.

use super::keywords::{list, take, unknown, vars};
use super::tree::{Common, Node, Play, Prompt, RoleUse};
use super::{Place, Reader};
use crate::fault::LoadFault;
use crate::value::{Dict, Key, Value};
use crate::yaml::{Kind, Node as Yaml};
use std::path::Path;
use std::sync::Arc;

const PLAY: &[&str] = &[
    "hosts",
    "vars_files",
    "vars_prompt",
    "gather_facts",
    "gather_subset",
    "gather_timeout",
    "fact_path",
    "serial",
    "max_fail_percentage",
    "force_handlers",
    "order",
    "strategy",
    "pre_tasks",
    "roles",
    "tasks",
    "post_tasks",
    "handlers",
    "user",
    "import_playbook",
];

impl Reader<'_> {
    /// The plays of a playbook file.
    pub(crate) fn playbook(&mut self, path: &Path, outer: &Common) -> Vec<Play> {
        if self.files.len() > 10_000 {
            self.faults.push(LoadFault::bare("playbooks import each other in a circle"));
            return Vec::new();
        }
        self.loader.modules.beside(path.parent().unwrap_or(Path::new("")));
        let known = self.faults.len();
        match self.document(path) {
            Some(node) => self.plays_of(&node, path, outer),
            None => {
                if self.faults.len() == known {
                    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
                    self.faults.push(LoadFault::bare(format!(
                        "Empty playbook, nothing to do: {}",
                        path.display()
                    )));
                }
                Vec::new()
            }
        }
    }

    /// The plays of a document that stands at `path`, or would.
    pub(crate) fn plays_of(&mut self, node: &Yaml, path: &Path, outer: &Common) -> Vec<Play> {
        let Some(items) = node.as_seq() else {
            self.fault(
                node,
                format!("a playbook is a list of plays, this is {}", node.kind_name()),
            );
            return Vec::new();
        };
        if items.is_empty() {
            self.fault(node, "A playbook must contain at least one play");
        }
        let mut plays = Vec::new();
        for item in items {
            let Some(entries) = item.as_map() else {
                self.fault(item, format!("a play is a dict, this is {}", item.kind_name()));
                continue;
            };
            let import = entries.iter().find(|(key, _)| {
                key.as_str().is_some_and(|word| super::catalog::short(word) == "import_playbook")
            });
            match import {
                Some((_, file)) => {
                    plays.extend(self.import_playbook(item, entries, file, path, outer))
                }
                None => plays.extend(self.play(item, entries, path, outer)),
            }
        }
        plays
    }

    fn import_playbook(
        &mut self,
        item: &Yaml,
        entries: &[(Yaml, Yaml)],
        file: &Yaml,
        path: &Path,
        outer: &Common,
    ) -> Vec<Play> {
        let mut own = Common::default();
        for (key, value) in entries {
            let word = key.as_str().unwrap_or_default();
            let fine = super::catalog::short(word) == "import_playbook"
                || word == "name"
                || take(&mut own, word, value, &mut self.faults);
            if !fine {
                self.faults.push(unknown(key, "PlaybookInclude", &[]));
            }
        }
        let common = own.within(outer);
        let dir = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let place = self.place(&dir, common.vars.clone());
        let Some(name) =
            self.known_text(&file.to_value(), file, &place, "the file of `import_playbook`")
        else {
            return Vec::new();
        };
        let target = dir.join(&name);
        if !target.is_file() {
            self.fault(item, format!("playbook `{name}` was not found"));
            return Vec::new();
        }
        if target.canonicalize().ok() == path.canonicalize().ok() {
            self.fault(item, format!("playbook `{name}` imports itself"));
            return Vec::new();
        }
        self.playbook(&target, &common)
    }

    fn place(&self, dir: &Path, mut known: Dict) -> Place {
        let shown = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
        known.insert(Key::str("playbook_dir"), Value::from(shown.display().to_string()));
        Place {
            dir: dir.to_path_buf(),
            playbook_dir: dir.to_path_buf(),
            role: None,
            handlers: false,
            known: Arc::new(known),
            depth: 0,
        }
    }

    fn play(
        &mut self,
        item: &Yaml,
        entries: &[(Yaml, Yaml)],
        path: &Path,
        outer: &Common,
    ) -> Option<Play> {
        let get = |word: &str| {
            entries.iter().find(|(key, _)| key.as_str() == Some(word)).map(|(_, value)| value)
        };
        let mut own = Common::default();
        let mut play_vars = Dict::new();
        for (key, value) in entries {
            match key.as_str() {
                Some("name") => {}
                Some("vars") => {
                    self.check_names(value);
                    play_vars = vars(value, &mut self.faults);
                }
                Some("user") => own.remote_user = Some(value.to_value()),
                Some(word) if PLAY.contains(&word) => {}
                Some(word) if take(&mut own, word, value, &mut self.faults) => {}
                _ => self.faults.push(unknown(key, "Play", PLAY)),
            }
        }
        let Some(hosts) = get("hosts") else {
            self.fault(item, "a play needs `hosts`");
            return None;
        };
        let empty = match &hosts.kind {
            Kind::Seq(items) => items.is_empty(),
            Kind::Scalar(Value::None) => true,
            _ => hosts.as_str() == Some(""),
        };
        if empty {
            self.fault(hosts, "Hosts list cannot be empty. Please check your playbook");
        } else if hosts.as_map().is_some() {
            self.fault(
                hosts,
                "Hosts list must be a sequence or string. Please check your playbook.",
            );
        }
        if get("user").is_some() && get("remote_user").is_some() {
            self.fault(
                item,
                "both 'user' and 'remote_user' are set for this play. The use of 'user' is deprecated, and should be removed",
            );
        }
        for word in ["pre_tasks", "tasks", "post_tasks", "handlers", "roles"] {
            let odd = get(word).filter(|node| node.as_seq().is_none() && !node.is_null());
            if let Some(node) = odd {
                let what = match word {
                    "roles" => "A malformed role declaration was encountered".to_owned(),
                    word => format!("A malformed block was encountered while loading {word}"),
                };
                let text = node.to_value().to_text();
                self.fault(node, format!("{what}: {text} should be a list or None"));
                return None;
            }
        }
        let dir = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let mut around = outer.clone();
        let mut imported_vars = std::mem::take(&mut around.vars);
        imported_vars.extend(play_vars);
        let common = Arc::new(own.within(&around));
        self.check_common(&common, item);
        self.check_vars(&imported_vars, item);
        let place = self.place(&dir, imported_vars.clone());
        // The play's own conditions hold for its tasks; variables are laid out on their own.
        let tasks = |reader: &mut Self, word: &str, handlers: bool| -> Vec<Node> {
            let place = Place { handlers, ..place.clone() };
            get(word).map(|node| reader.tasks(node, &common, &place)).unwrap_or_default()
        };
        let pre_tasks = tasks(self, "pre_tasks", false);
        let roles: Vec<RoleUse> = match get("roles") {
            Some(node) => match &node.kind {
                Kind::Seq(items) => items
                    .iter()
                    .filter_map(|entry| self.role_entry(entry, &common, &place))
                    .collect(),
                Kind::Scalar(Value::None) => Vec::new(),
                _ => {
                    self.fault(node, "`roles` is a list");
                    Vec::new()
                }
            },
            None => Vec::new(),
        };
        let body = tasks(self, "tasks", false);
        let post_tasks = tasks(self, "post_tasks", false);
        let handlers = tasks(self, "handlers", true);
        let prompts = get("vars_prompt").map(|node| self.prompts(node)).unwrap_or_default();
        Some(Play {
            name: get("name").map(Yaml::to_value).filter(|name| !name.is_none()),
            hosts: hosts.to_value(),
            origin: item.at.clone(),
            common,
            vars: imported_vars,
            vars_files: get("vars_files").map(list).unwrap_or_default(),
            prompts,
            gather_facts: get("gather_facts").map(Yaml::to_value),
            gather_subset: get("gather_subset").map(Yaml::to_value),
            serial: get("serial").map(list).unwrap_or_default(),
            max_fail_percentage: get("max_fail_percentage").map(Yaml::to_value),
            force_handlers: get("force_handlers").map(Yaml::to_value),
            order: get("order").map(Yaml::to_value),
            strategy: get("strategy").map(Yaml::to_value),
            gather_timeout: get("gather_timeout").map(Yaml::to_value),
            fact_path: get("fact_path").map(Yaml::to_value),
            pre_tasks,
            roles,
            tasks: body,
            post_tasks,
            handlers,
            dir,
        })
    }

    fn prompts(&mut self, node: &Yaml) -> Vec<Prompt> {
        let mut prompts = Vec::new();
        for entry in node.as_seq().unwrap_or_default() {
            let flag = |word: &str, default: bool| {
                entry
                    .get(word)
                    .map_or(default, |value| value.to_value().as_boolean().unwrap_or(default))
            };
            let given =
                |word: &str| entry.get(word).filter(|value| !value.is_null()).map(Yaml::to_value);
            const KNOWN: [&str; 9] = [
                "name",
                "prompt",
                "default",
                "private",
                "confirm",
                "encrypt",
                "salt_size",
                "salt",
                "unsafe",
            ];
            for (key, _) in entry.as_map().unwrap_or_default() {
                if !key.as_str().is_some_and(|word| KNOWN.contains(&word)) {
                    let word = key.scalar_text().unwrap_or_default();
                    self.fault(
                        key,
                        format!(
                            "Invalid vars_prompt data structure, found unsupported key '{word}'"
                        ),
                    );
                }
            }
            match entry.get("name").and_then(Yaml::as_str) {
                Some(name) => prompts.push(Prompt {
                    name: name.to_owned(),
                    text: entry
                        .get("prompt")
                        .and_then(Yaml::scalar_text)
                        .unwrap_or_else(|| name.to_owned()),
                    default: entry.get("default").map(Yaml::to_value),
                    private: flag("private", true),
                    confirm: flag("confirm", false),
                    encrypt: given("encrypt"),
                    salt: given("salt"),
                    salt_size: given("salt_size"),
                }),
                None => {
                    self.fault(entry, "Invalid vars_prompt data structure, missing 'name' key");
                }
            }
        }
        prompts
    }
}
