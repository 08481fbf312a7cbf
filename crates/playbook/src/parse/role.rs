//! Roles: finding them, reading what lies in them.

use super::keywords::take;
use super::tree::{Block, Common, Condition, Node, Role, RoleUse, Task};
use super::{Place, Reader};
use crate::fault::LoadFault;
use crate::inventory::read_vars;
use crate::value::{Dict, Key, Value};
use crate::yaml::{Kind, Node as Yaml};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to take from a role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) tasks_from: Option<String>,
    pub(crate) vars_from: Option<String>,
    pub(crate) defaults_from: Option<String>,
    pub(crate) handlers_from: Option<String>,
    pub(crate) params: Dict,
    pub(crate) public: bool,
    pub(crate) allow_duplicates: bool,
}

impl Reader<'_> {
    /// One entry of `roles:` or of `dependencies:`.
    pub(crate) fn role_entry(
        &mut self,
        node: &Yaml,
        outer: &Arc<Common>,
        place: &Place,
    ) -> Option<RoleUse> {
        let mut own = Common::default();
        let mut asked = Asked { public: true, ..Asked::default() };
        let mut name = None;
        match &node.kind {
            Kind::Map(entries) => {
                for (key, value) in entries {
                    match key.as_str() {
                        Some("role" | "name" | "src")
                            if name.is_none() || key.as_str() == Some("role") =>
                        {
                            name = Some(value.to_value());
                        }
                        Some("name" | "version" | "scm") => {}
                        Some("tasks_from") => asked.tasks_from = value.scalar_text(),
                        Some("vars") => {
                            let vars = super::keywords::vars(value, &mut self.faults);
                            asked.params.extend(vars);
                        }
                        Some(word)
                            if word != "vars" && take(&mut own, word, value, &mut self.faults) => {}
                        // Everything else is a variable for the role.
                        Some(word) => {
                            asked.params.insert(Key::str(word), value.to_value());
                        }
                        None => self.fault(key, "a keyword is text"),
                    }
                }
            }
            Kind::Scalar(_) => {
                let text = node.scalar_text().unwrap_or_default();
                if text.contains(',') {
                    self.fault(node, format!("Invalid old style role requirement: {text}"));
                    return None;
                }
                name = Some(node.to_value());
            }
            Kind::Seq(_) => {}
        }
        let Some(name) = name else {
            self.fault(node, "a role needs a name: `role: web`");
            return None;
        };
        let name = self.known_text(&name, node, place, "the name of a role")?;
        let common = Arc::new(own.within(outer));
        self.check_common(&common, node);
        self.role(&name, asked, &common, node, place)
    }

    /// Reads a role.
    pub(crate) fn role(
        &mut self,
        name: &str,
        asked: Asked,
        common: &Arc<Common>,
        at: &Yaml,
        place: &Place,
    ) -> Option<RoleUse> {
        if place.depth > super::DEPTH {
            self.fault(
                at,
                format!(
                    "role `{name}` is needed {} levels deep; do roles need each other in a circle?",
                    super::DEPTH
                ),
            );
            return None;
        }
        let Some(path) = self.find_role(name, place) else {
            let shown = |path: &Path| {
                std::path::absolute(path)
                    .unwrap_or_else(|_| path.to_path_buf())
                    .display()
                    .to_string()
            };
            let own = [place.playbook_dir.join("roles")];
            let places = own.iter().chain(&self.loader.roles_path).chain([&place.playbook_dir]);
            let places: Vec<String> = places.map(|path| shown(path)).collect();
            self.fault(at, format!("the role '{name}' was not found in {}", places.join(":")));
            return None;
        };
        self.roles.insert(path.clone());
        self.loader.modules.beside(&path);
        let short = path
            .file_name()
            .map_or_else(|| name.to_owned(), |name| name.to_string_lossy().into_owned());
        let mut parents = Vec::new();
        if let Some(parent) = &place.role {
            parents.extend(parent.parents.iter().cloned());
            parents.push(Arc::clone(parent));
        }
        let meta = main_file(&path.join("meta"), "main").and_then(|file| self.document(&file));
        let allow_duplicates = asked.allow_duplicates
            || meta
                .as_ref()
                .and_then(|meta| meta.get("allow_duplicates"))
                .is_some_and(|value| value.to_value().as_boolean() == Some(true));
        if main_file(&path.join("meta"), "argument_specs").is_some()
            || meta.as_ref().is_some_and(|meta| meta.get("argument_specs").is_some())
        {
            self.warnings.push(LoadFault::at(
                at.at.clone(),
                format!("the argument specs of role `{short}` are not checked yet"),
            ));
        }
        let inner = Place { depth: place.depth + 1, role: place.role.clone(), ..place.clone() };
        // Dependencies see the role that needs them as their parent.
        let shell = Arc::new(Role {
            name: short.clone(),
            path: path.clone(),
            defaults: Dict::new(),
            vars: Dict::new(),
            params: asked.params.clone(),
            parents: parents.clone(),
            public: asked.public,
            fingerprint: String::new(),
        });
        let dependencies: Vec<RoleUse> = meta
            .as_ref()
            .and_then(|meta| meta.get("dependencies"))
            .and_then(Yaml::as_seq)
            .unwrap_or_default()
            .iter()
            .filter_map(|entry| {
                let place = Place { role: Some(Arc::clone(&shell)), ..inner.clone() };
                self.role_entry(entry, common, &place)
            })
            .collect();
        let mut defaults = Dict::new();
        let mut vars = Dict::new();
        for dependency in &dependencies {
            defaults.extend(dependency.role.defaults.clone());
            vars.extend(dependency.role.vars.clone());
        }
        defaults.extend(self.role_vars(&path.join("defaults"), asked.defaults_from.as_deref(), at));
        vars.extend(self.role_vars(&path.join("vars"), asked.vars_from.as_deref(), at));
        let mut known = (*place.known).clone();
        known.extend(defaults.clone());
        known.extend(vars.clone());
        known.extend(asked.params.clone());
        known.insert(Key::str("role_path"), Value::from(path.display().to_string()));
        known.insert(Key::str("role_name"), Value::str(&short));
        let fingerprint = format!(
            "{}|{:?}|{:?}|{:?}|{:?}",
            path.display(),
            asked.tasks_from,
            asked.params,
            common.tags,
            common.when.iter().map(Condition::source).collect::<Vec<_>>()
        );
        let role = Arc::new(Role {
            name: short,
            path: path.clone(),
            defaults,
            vars,
            params: asked.params.clone(),
            parents,
            public: asked.public,
            fingerprint: fingerprint.clone(),
        });
        let place = Place {
            role: Some(Arc::clone(&role)),
            known: Arc::new(known),
            depth: place.depth + 1,
            ..place.clone()
        };
        let tasks = match part(&path.join("tasks"), asked.tasks_from.as_deref()) {
            Ok(Some(file)) => self.task_file(&file, common, &place),
            Ok(None) => Vec::new(),
            Err(file) => {
                self.fault(at, format!("role `{name}` has no task file `{file}`"));
                Vec::new()
            }
        };
        let handlers = match part(&path.join("handlers"), asked.handlers_from.as_deref()) {
            Ok(Some(file)) => {
                let place = Place { handlers: true, ..place.clone() };
                self.task_file(&file, common, &place)
            }
            Ok(None) => Vec::new(),
            Err(file) => {
                self.fault(at, format!("role `{name}` has no handler file `{file}`"));
                Vec::new()
            }
        };
        Some(RoleUse { role, dependencies, tasks, handlers, fingerprint, allow_duplicates })
    }

    fn role_vars(&mut self, directory: &Path, from: Option<&str>, at: &Yaml) -> Dict {
        let file = match (from, directory.join("main").is_dir()) {
            (None, true) => Some(directory.join("main")),
            _ => match part(directory, from) {
                Ok(file) => file,
                Err(file) => {
                    self.fault(at, format!("`{file}` was not found in `{}`", directory.display()));
                    None
                }
            },
        };
        let Some(file) = file else { return Dict::new() };
        match read_vars(&file, &self.loader.world.vault, &mut self.files) {
            Ok(vars) => vars,
            Err(faults) => {
                self.faults.extend(faults);
                Dict::new()
            }
        }
    }

    fn find_role(&self, name: &str, place: &Place) -> Option<PathBuf> {
        let mut candidates = Vec::new();
        if let Some(role) = &place.role {
            // Roles beside the one that asks.
            candidates.extend(role.path.parent().map(|siblings| siblings.join(name)));
            candidates.push(role.path.join("roles").join(name));
        }
        if let [namespace, collection, role] = name.splitn(3, '.').collect::<Vec<_>>()[..] {
            let below = Path::new("ansible_collections")
                .join(namespace)
                .join(collection)
                .join("roles")
                .join(role.replace('.', "/"));
            candidates.push(place.playbook_dir.join("collections").join(&below));
            let told = self.loader.world.config.collections_path.iter();
            candidates.extend(told.map(|directory| Path::new(directory).join(&below)));
        }
        candidates.push(place.playbook_dir.join("roles").join(name));
        candidates.extend(self.loader.roles_path.iter().map(|directory| directory.join(name)));
        candidates.push(place.playbook_dir.join(name));
        let found = candidates.into_iter().find(|path| path.is_dir())?;
        Some(std::fs::canonicalize(&found).unwrap_or(found))
    }

    /// What an `import_role` or `include_role` asks of its role.
    pub(crate) fn asked(
        &mut self,
        task: &Task,
        at: &Yaml,
        place: &Place,
    ) -> Option<(String, Asked)> {
        let text = |reader: &mut Self, name: &str| -> Option<String> {
            let value = task.args.get(name)?.clone();
            reader.known_text(&value, at, place, "the role of `import_role`")
        };
        let name = match text(self, "name").or_else(|| text(self, "role")) {
            Some(name) => name,
            None => {
                if task.args.get("name").or_else(|| task.args.get("role")).is_none() {
                    self.fault(at, "a role needs a name: `name: web`");
                }
                return None;
            }
        };
        let asked = Asked {
            tasks_from: text(self, "tasks_from"),
            vars_from: text(self, "vars_from"),
            defaults_from: text(self, "defaults_from"),
            handlers_from: text(self, "handlers_from"),
            params: task.common.params.clone(),
            public: task.args.get("public").is_some_and(|value| value.as_boolean() == Some(true)),
            allow_duplicates: task
                .args
                .get("allow_duplicates")
                .is_none_or(|value| value.as_boolean() != Some(false)),
        };
        Some((name, asked))
    }

    pub(crate) fn import_role(
        &mut self,
        task: &Task,
        own: Common,
        at: &Yaml,
        place: &Place,
    ) -> Option<Node> {
        if task.repeat.is_some() {
            self.fault(at, "`import_role` cannot loop; use `include_role`");
            return None;
        }
        let (name, mut asked) = self.asked(task, at, place)?;
        // A role that is imported shows its variables to the whole play.
        asked.public = true;
        let common = Arc::new(own.within(&task.outer));
        let used = self.role(&name, asked, &common, at, place)?;
        Some(role_block(&used))
    }

    /// Reads the role of an `include_role` for its faults alone, where its name is known.
    pub(crate) fn preview_role(&mut self, task: &Task, own: &Common, at: &Yaml, place: &Place) {
        let named = ["name", "role", "tasks_from", "vars_from", "defaults_from", "handlers_from"];
        let certain =
            named.iter().all(|name| task.args.get(name).is_none_or(|value| !value.is_lazy()));
        // A role that includes itself under a condition is fine; reading it here would not end.
        let circle = place.depth > 8;
        if certain
            && task.repeat.is_none()
            && !circle
            && let Some((name, asked)) = self.asked(task, at, place)
        {
            let within = place.role.as_ref().is_some_and(|role| {
                role.name == name || role.parents.iter().any(|parent| parent.name == name)
            });
            if !within {
                let common = Arc::new(own.clone().within(&task.outer));
                let before = self.faults.len();
                drop(self.role(&name, asked, &common, at, place));
                // It is read again when a run comes to it, and counts then.
                let found = self.faults.split_off(before);
                for fault in found {
                    if !self.doubts.contains(&fault) {
                        self.doubts.push(fault);
                    }
                }
            }
        }
    }
}

/// The tasks of a role and of what it depends on, as one block.
pub(crate) fn role_block(used: &RoleUse) -> Node {
    let mut body: Vec<Node> = used.dependencies.iter().map(role_block).collect();
    let own = Block { unit: Some(used.unit()), ..Block::plain(used.tasks.clone()) };
    body.push(Node::Block(Arc::new(own)));
    Node::Block(Arc::new(Block { role: Some(Arc::clone(&used.role)), ..Block::plain(body) }))
}

/// `main.yml` and its other spellings.
pub(crate) fn main_file(directory: &Path, name: &str) -> Option<PathBuf> {
    ["yml", "yaml", "json"]
        .iter()
        .map(|extension| directory.join(format!("{name}.{extension}")))
        .chain([directory.join(name)])
        .find(|path| path.is_file())
}

/// The file of a part of a role; what is asked for by name must be there.
fn part(directory: &Path, from: Option<&str>) -> Result<Option<PathBuf>, String> {
    let Some(name) = from else { return Ok(main_file(directory, "main")) };
    let exact = directory.join(name);
    let found = main_file(directory, name).or_else(|| exact.is_file().then_some(exact));
    found.map(Some).ok_or_else(|| name.to_owned())
}
