//! Roles: finding them, reading what lies in them.

use super::keywords::take;
use super::tree::{Block, Common, Condition, Node, Role, RoleUse, Said, Task};
use super::{Place, Reader};
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
    /// `vars` of an entry of `roles:`, or of an `import_role`.
    pub(crate) given: Dict,
    /// A task asks for it.
    pub(crate) pulled: bool,
    /// What it is given is not compared with its argument specs.
    pub(crate) unchecked: bool,
    /// Its variables are seen outside of it; `None` leaves that to `ansible.cfg`.
    pub(crate) public: Option<bool>,
    pub(crate) allow_duplicates: bool,
    /// Tags and conditions of an entry of `roles:` or `dependencies:`, without those around it: with
    /// others it is not the same role again.
    pub(crate) apart: String,
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
        let mut asked = Asked::default();
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
                            asked.given.extend(vars);
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
        let when: Vec<_> = own.when.iter().map(Condition::source).collect();
        asked.apart = format!("{:?}|{when:?}", own.tags);
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
        let Some((path, collection)) = self.find_role(name, &common.collections, place) else {
            let shown = |path: &Path| {
                let here = if path.as_os_str().is_empty() { Path::new(".") } else { path };
                std::path::absolute(here)
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
        // What a run reads later shows its variables to nobody, unless it is asked to.
        let private = self.loader.world.config.private_role_vars.told().copied();
        let public = asked.public.unwrap_or_else(|| private.map_or(!self.running, |yes| !yes));
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
        // What a task says of it outranks what the role says.
        let told = meta.as_ref().and_then(|meta| meta.get("allow_duplicates"));
        let allow_duplicates = match asked.pulled {
            true => asked.allow_duplicates,
            false => told.is_some_and(|value| value.to_value().as_boolean() == Some(true)),
        };
        let mut collections: Vec<String> = collection.iter().cloned().collect();
        let told = meta.as_ref().and_then(|meta| meta.get("collections"));
        collections.extend(told.map(super::keywords::list).iter().flatten().map(Value::to_text));
        // A role looks in its own collections, not in those of whoever uses it.
        let common = &match common.collections == collections {
            true => Arc::clone(common),
            false => Arc::new(Common { collections, ..(**common).clone() }),
        };
        let spec = match asked.unchecked {
            true => None,
            false => self.argument_spec(&path, meta.as_ref(), asked.tasks_from.as_deref()),
        };
        let inner = Place { depth: place.depth + 1, role: place.role.clone(), ..place.clone() };
        let own_defaults =
            self.role_vars(&path.join("defaults"), asked.defaults_from.as_deref(), at);
        let own_vars = self.role_vars(&path.join("vars"), asked.vars_from.as_deref(), at);
        // Dependencies see the role that needs them as their parent.
        let shell = Arc::new(Role {
            name: short.clone(),
            path: path.clone(),
            defaults: Said { own: own_defaults.clone(), needed: Dict::new() },
            vars: Said { own: own_vars.clone(), needed: Dict::new() },
            params: asked.params.clone(),
            given: asked.given.clone(),
            pulled: asked.pulled,
            collection: collection.clone(),
            parents: parents.clone(),
            public,
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
        let mut defaults = Said { own: own_defaults, needed: Dict::new() };
        let mut vars = Said { own: own_vars, needed: Dict::new() };
        let config = &self.loader.world.config;
        for dependency in &dependencies {
            config.lay_over(&mut defaults.needed, &dependency.role.defaults.all(config));
            config.lay_over(&mut vars.needed, &dependency.role.vars.all(config));
        }
        let mut known = (*place.known).clone();
        known.extend(defaults.all(config));
        known.extend(vars.all(config));
        known.extend(asked.given.clone());
        known.extend(asked.params.clone());
        known.insert(Key::str("role_path"), Value::from(path.display().to_string()));
        known.insert(Key::str("role_name"), Value::str(&short));
        let fingerprint = format!(
            "{}|{:?}|{:?}|{:?}|{}",
            path.display(),
            asked.tasks_from,
            asked.params,
            asked.given,
            asked.apart,
        );
        let role = Arc::new(Role {
            name: short,
            path: path.clone(),
            defaults,
            vars,
            params: asked.params.clone(),
            given: asked.given.clone(),
            pulled: asked.pulled,
            collection: collection.clone(),
            parents,
            public,
            fingerprint: fingerprint.clone(),
        });
        let place = Place {
            role: Some(Arc::clone(&role)),
            known: Arc::new(known),
            depth: place.depth + 1,
            ..place.clone()
        };
        let mut tasks = match part(&path.join("tasks"), asked.tasks_from.as_deref()) {
            Ok(Some(file)) => self.task_file(&file, common, &place),
            Ok(None) => Vec::new(),
            Err(what) => {
                self.fault(at, what);
                Vec::new()
            }
        };
        if let Some(spec) = spec {
            let entry = asked.tasks_from.as_deref().unwrap_or("main");
            tasks.insert(0, validation(&spec, entry, &role, common, &place));
        }
        let handlers = match part(&path.join("handlers"), asked.handlers_from.as_deref()) {
            Ok(Some(file)) => {
                let place = Place { handlers: true, ..place.clone() };
                self.task_file(&file, common, &place)
            }
            Ok(None) => Vec::new(),
            Err(what) => {
                self.fault(at, what);
                Vec::new()
            }
        };
        Some(RoleUse { role, dependencies, tasks, handlers, fingerprint, allow_duplicates })
    }

    /// What a role says of the arguments of one of its entries, if it says anything:
    /// `meta/argument_specs.yml`, or where there is none `meta/main.yml`.
    fn argument_spec(
        &mut self,
        role: &Path,
        meta: Option<&Yaml>,
        entry: Option<&str>,
    ) -> Option<Yaml> {
        let file = ["yml", "yaml", "json"]
            .iter()
            .map(|end| role.join("meta").join(format!("argument_specs.{end}")))
            .find(|file| file.is_file());
        let own = match file {
            Some(file) => Some(self.document(&file)?),
            None => None,
        };
        let specs = own.as_ref().or(meta)?.get("argument_specs")?;
        specs.get(entry.unwrap_or("main")).filter(|spec| spec.as_map().is_some()).cloned()
    }

    fn role_vars(&mut self, directory: &Path, from: Option<&str>, at: &Yaml) -> Dict {
        let file = match (from, directory.join("main").is_dir()) {
            (None, true) => Some(directory.join("main")),
            _ => match part(directory, from) {
                Ok(file) => file,
                Err(what) => {
                    self.fault(at, what);
                    None
                }
            },
        };
        let Some(file) = file else { return Dict::new() };
        let world = &self.loader.world;
        match read_vars(&file, &world.vault, &mut self.files, world.config.merges()) {
            Ok(vars) => vars,
            Err(faults) => {
                self.faults.extend(faults);
                Dict::new()
            }
        }
    }

    /// The directory of a role, and the collection that it lies in.
    fn find_role(
        &self,
        name: &str,
        collections: &[String],
        place: &Place,
    ) -> Option<(PathBuf, Option<String>)> {
        let real = |path: PathBuf| std::fs::canonicalize(&path).unwrap_or(path);
        let in_collection = |collection: &str, role: &str| -> Option<PathBuf> {
            let below = Path::new("ansible_collections")
                .join(collection.replace('.', "/"))
                .join("roles")
                .join(role.replace('.', "/"));
            self.collection_places(place).map(|top| top.join(&below)).find(|path| path.is_dir())
        };
        if let [namespace, collection, role] = name.splitn(3, '.').collect::<Vec<_>>()[..] {
            let collection = format!("{namespace}.{collection}");
            if let Some(path) = in_collection(&collection, role) {
                return Some((real(path), Some(collection)));
            }
        }
        for collection in collections {
            if let Some(path) = in_collection(collection, name) {
                return Some((real(path), Some(collection.clone())));
            }
        }
        let mut candidates = Vec::new();
        if let Some(role) = &place.role {
            // Roles beside the one that asks.
            candidates.extend(role.path.parent().map(|siblings| siblings.join(name)));
            candidates.push(role.path.join("roles").join(name));
        }
        candidates.push(place.playbook_dir.join("roles").join(name));
        candidates.extend(self.loader.roles_path.iter().map(|directory| directory.join(name)));
        candidates.push(place.playbook_dir.join(name));
        Some((real(candidates.into_iter().find(|path| path.is_dir())?), None))
    }

    /// Directories that hold `ansible_collections`.
    fn collection_places<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = PathBuf> + 'a {
        let told = self.loader.world.config.collections_path.iter().map(PathBuf::from);
        std::iter::once(place.playbook_dir.join("collections")).chain(told)
    }

    /// What an `import_role` or `include_role` asks of its role.
    pub(crate) fn asked(
        &mut self,
        task: &Task,
        at: &Yaml,
        place: &Place,
    ) -> Option<(String, Asked)> {
        for word in ["tasks_from", "vars_from", "defaults_from", "handlers_from"] {
            let odd = task.args.get(word).filter(|value| value.as_str().is_none());
            if let Some(odd) = odd.filter(|odd| !odd.is_none()) {
                let kind = odd.type_name();
                self.fault(
                    at,
                    format!("Expected a string for {word} but got <class '{kind}'> instead"),
                );
                return None;
            }
        }
        // What the task itself says may stand in the names.
        let mut known = (*place.known).clone();
        known.extend(task.common.vars.clone());
        let place = &Place { known: Arc::new(known), ..place.clone() };
        let text = |reader: &mut Self, name: &str| -> Option<String> {
            let value = task.args.get(name).filter(|value| !value.is_none())?.clone();
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
        let truth = |reader: &mut Self, name: &str| -> Option<bool> {
            Value::from(text(reader, name)?).as_boolean()
        };
        let asked = Asked {
            tasks_from: text(self, "tasks_from"),
            vars_from: text(self, "vars_from"),
            defaults_from: text(self, "defaults_from"),
            handlers_from: text(self, "handlers_from"),
            apart: String::new(),
            params: task.common.params.clone(),
            given: Dict::new(),
            pulled: true,
            unchecked: truth(self, "rolespec_validate") == Some(false),
            public: truth(self, "public"),
            allow_duplicates: truth(self, "allow_duplicates") != Some(false),
        };
        Some((name, asked))
    }

    pub(crate) fn import_role(
        &mut self,
        task: &Task,
        mut own: Common,
        at: &Yaml,
        place: &Place,
    ) -> Option<Node> {
        if task.repeat.is_some() {
            self.fault(at, "`import_role` cannot loop; use `include_role`");
            return None;
        }
        let (name, mut asked) = self.asked(task, at, place)?;
        asked.given = own.vars.clone();
        own.params.extend(place.role.iter().flat_map(|role| role.hands_on()));
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

/// The task that compares what a role is given with what it asks for.
fn validation(
    spec: &Yaml,
    entry: &str,
    role: &Arc<Role>,
    common: &Arc<Common>,
    place: &Place,
) -> Node {
    let described = spec.get("short_description").and_then(Yaml::scalar_text);
    let described = described.map(|text| format!(" - {text}")).unwrap_or_default();
    let options = spec.get("options").filter(|options| !options.is_null()).map(Yaml::to_value);
    let nothing = || Value::dict(Dict::new());
    let about = Value::dict_of([
        ("type", Value::str("role")),
        ("name", Value::str(&role.name)),
        ("argument_spec_name", Value::str(entry)),
        ("path", Value::from(role.path.display().to_string())),
    ]);
    let provided = if role.pulled { nothing() } else { Value::dict(role.params.clone()) };
    let args = [
        ("argument_spec", options.unwrap_or_else(nothing)),
        ("provided_arguments", provided),
        ("validate_args_context", about),
    ];
    let own = Common { tags: vec![Value::str("always")], ..Common::default() };
    let task = Task::made(
        format!("Validating arguments against arg spec '{entry}'{described}"),
        "validate_argument_spec",
        args.into_iter().map(|(name, value)| (Key::str(name), value)).collect(),
        Arc::new(own.within(common)),
        spec.at.clone(),
        place.dir.clone(),
    );
    Node::Task(Arc::new(Task { id: Reader::next_id(), role: Some(Arc::clone(role)), ..task }))
}

/// The tasks of a role and of what it depends on, as one block.
pub(crate) fn role_block(used: &RoleUse) -> Node {
    let mut body: Vec<Node> = used.dependencies.iter().map(role_block).collect();
    let own = Block {
        unit: Some(used.unit()),
        handlers: used.handlers.clone(),
        ..Block::plain(used.tasks.clone())
    };
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
    let found = exact.is_file().then_some(exact).or_else(|| main_file(directory, name));
    let missing = || {
        let shown = directory.file_name().map(|name| name.to_string_lossy().into_owned());
        format!("Could not find specified file in role: {}/{name}", shown.unwrap_or_default())
    };
    let found = found.ok_or_else(missing)?;
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    match real(&found).starts_with(real(directory)) {
        true => Ok(Some(found)),
        false => Err(format!(
            "Failed loading '{}' for role ({}) as it is not inside the expected role path: '{}'",
            found.display(),
            directory
                .parent()
                .and_then(Path::file_name)
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            directory.display()
        )),
    }
}
