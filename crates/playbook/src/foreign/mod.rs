//! Modules that are not built in: where they are found, and how they are made ready to travel. And
//! where filters, tests and lookups may be that are written in Python.
//!
//! They are looked for where Ansible looks: `library/` beside the playbook and in roles, the
//! directories that `ansible.cfg` and the environment name, collections, and an ansible-core that is
//! installed on this computer. Nothing is run here to find them, and nothing of theirs is ever run here.

mod archive;
mod bundle;
mod core;
mod groups;
mod imports;
mod plugins;
mod routing;

pub(crate) use bundle::Bundle;

use crate::config::Config;
use crate::template::Kind;
use routing::Route;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Files beside modules that are none.
const NO_MODULES: &[&str] = &[
    "pyc", "pyo", "swp", "bak", "rpm", "md", "txt", "rst", "yaml", "yml", "ini", "ps1", "psm1",
    "json", "cfg", "orig",
];

/// Modules of ansible-core that do all their work on the host; what Ansible's side of them does is
/// to choose among them.
const ALONE: &[&str] = &["dnf", "dnf5", "command", "shell", "service", "package"];

/// A redirect leads to another at most so often; more are a circle.
const REDIRECTS: usize = 10;

/// A module that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The name by which it goes in results and logs of the host.
    pub(crate) name: String,
    /// The file.
    pub(crate) path: PathBuf,
    /// Dotted name by which Python imports it: `ansible.modules.x` or within its collection.
    pub(crate) dotted: String,
    /// What stands in the way of running it, although it is there.
    pub(crate) obstacle: Option<Why>,
}

/// Why a module cannot be run, in one sentence with what to do.
pub(crate) type Why = String;

/// Where modules come from on this computer, and what was found there.
pub struct Modules {
    environment: BTreeMap<String, String>,
    home: Option<PathBuf>,
    named: Named,
    state: Mutex<State>,
    core: OnceLock<Option<core::Core>>,
    own_plugins: plugins::Known,
}

/// Directories that the settings name; where they name none, the usual ones are meant.
#[derive(Default)]
struct Named {
    library: Vec<PathBuf>,
    utils: Vec<PathBuf>,
    collections: Vec<PathBuf>,
    /// Of filters, tests and lookups.
    plugins: HashMap<Kind, Vec<PathBuf>>,
}

#[derive(Default)]
struct State {
    /// Directories of playbooks and roles.
    beside: Vec<PathBuf>,
    /// `library/` of playbooks and roles, in the order they came up.
    library: Vec<PathBuf>,
    /// `module_utils/` of playbooks and roles.
    utils: Vec<PathBuf>,
    /// `collections/` beside playbooks.
    collections: Vec<PathBuf>,
    /// Modules in a directory by their names.
    listed: HashMap<PathBuf, Arc<HashMap<String, PathBuf>>>,
    routes: HashMap<PathBuf, Arc<routing::Routes>>,
    bundles: HashMap<PathBuf, Arc<Bundle>>,
    /// Whether there may be a plugin, before ours or at all.
    plugins: HashMap<(bool, Kind, String), bool>,
}

impl Modules {
    /// Modules as this user has them. An installed ansible-core is looked for where `PATH` of
    /// `environment` leads; the settings name other directories.
    pub fn new(
        environment: &BTreeMap<String, String>,
        home: Option<&Path>,
        config: &Config,
    ) -> Self {
        let paths = |setting: &[String]| setting.iter().map(PathBuf::from).collect();
        Self {
            environment: environment.clone(),
            home: home.map(Path::to_path_buf),
            named: Named {
                library: paths(&config.library),
                utils: paths(&config.module_utils),
                collections: paths(&config.collections_path),
                plugins: HashMap::from([
                    (Kind::Filter, paths(&config.filters)),
                    (Kind::Test, paths(&config.tests)),
                    (Kind::Lookup, paths(&config.lookups)),
                ]),
            },
            state: Mutex::default(),
            core: OnceLock::new(),
            own_plugins: plugins::Known::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for modules in these directories before all others.
    pub fn prefer(&self, dirs: &[PathBuf]) {
        self.lock().library.splice(0..0, dirs.iter().cloned());
    }

    /// Adds what lies beside a playbook or in a role.
    pub(crate) fn beside(&self, dir: &Path) {
        let mut state = self.lock();
        if !state.beside.iter().any(|known| known == dir) {
            state.beside.push(dir.to_path_buf());
            state.plugins.clear();
            self.own_plugins.forget();
        }
        let State { library, utils, collections, .. } = &mut *state;
        for (known, name) in
            [(library, "library"), (utils, "module_utils"), (collections, "collections")]
        {
            let place = dir.join(name);
            if !known.contains(&place) && place.is_dir() {
                known.push(place);
            }
        }
    }

    /// `own` first, then what the settings name, or else the usual places.
    fn places(&self, own: Vec<PathBuf>, named: &[PathBuf], usual: &str) -> Vec<PathBuf> {
        let usual = || {
            let of_user = self.home.iter().map(|home| home.join(".ansible").join(usual));
            of_user.chain([Path::new("/usr/share/ansible").join(usual)]).collect()
        };
        let rest = if named.is_empty() { usual() } else { named.to_vec() };
        own.into_iter().chain(rest).collect()
    }

    fn library(&self) -> Vec<PathBuf> {
        let own = self.lock().library.clone();
        self.places(own, &self.named.library, "plugins/modules")
    }

    /// Directories whose files stand in for those of `ansible.module_utils`, or add to them.
    fn utils(&self) -> Vec<PathBuf> {
        let own = self.lock().utils.clone();
        self.places(own, &self.named.utils, "plugins/module_utils")
    }

    /// Directories that hold `ansible_collections`.
    fn collections(&self) -> Vec<PathBuf> {
        let own = self.lock().collections.clone();
        let mut places = self.places(own, &self.named.collections, "collections");
        // The `ansible` package brings collections beside ansible-core.
        places.extend(self.core().and_then(|core| core.package.parent()).map(Path::to_path_buf));
        places
    }

    /// The directory of a collection.
    fn collection(&self, name: &str) -> Option<PathBuf> {
        let (namespace, collection) = name.split_once('.')?;
        self.collections().into_iter().find_map(|place| {
            let top = if place.ends_with("ansible_collections") {
                place
            } else {
                place.join("ansible_collections")
            };
            let path = top.join(namespace).join(collection);
            path.is_dir().then_some(path)
        })
    }

    /// The ansible-core that is installed here.
    fn core(&self) -> Option<&core::Core> {
        self.core.get_or_init(|| core::Core::find(&self.environment, self.home.as_deref())).as_ref()
    }

    /// The module that a playbook means by `word` before any of ours: what lies in a `library`.
    pub(crate) fn before_ours(&self, word: &str) -> Option<Arc<Found>> {
        let short = match word.strip_prefix("ansible.legacy.") {
            Some(short) => short,
            None if word.contains('.') => return None,
            None => word,
        };
        let path = self.library().iter().find_map(|place| self.in_directory(place, short))?;
        Some(Arc::new(Found {
            name: word.to_owned(),
            path,
            dotted: format!("ansible.modules.{short}"),
            obstacle: None,
        }))
    }

    /// The module that a playbook means by `word` where we have none of that name.
    pub(crate) fn find(&self, word: &str) -> Result<Arc<Found>, Why> {
        let mut word = word.to_owned();
        for _ in 0..REDIRECTS {
            match self.step(&word)? {
                Step::Found(found) => return Ok(Arc::new(found)),
                Step::Elsewhere(next) => word = next,
            }
        }
        Err(format!("redirects of `{word}` lead in a circle"))
    }

    fn step(&self, word: &str) -> Result<Step, Why> {
        let builtin =
            ["ansible.builtin.", "ansible.legacy."].iter().find_map(|it| word.strip_prefix(it));
        match (builtin, word.split('.').collect::<Vec<_>>().as_slice()) {
            (Some(short), _) => self.step_core(short, word),
            (None, [_]) => self.step_core(word, word),
            (None, [namespace, name, rest @ ..]) if !rest.is_empty() => {
                self.step_collection(&format!("{namespace}.{name}"), rest, word)
            }
            _ => Err(format!("`{word}` is no name of a module")),
        }
    }

    fn step_core(&self, short: &str, word: &str) -> Result<Step, Why> {
        let Some(core) = self.core() else {
            return Err(
                "it is not built in, and ansible-core, which may have it, is not installed \
                        here: install it with `pipx install ansible-core`, or put the module into \
                        `library/` beside the playbook"
                    .to_owned(),
            );
        };
        if let Some(path) = self.in_directory(&core.package.join("modules"), short) {
            let action = core.package.join(format!("plugins/action/{short}.py"));
            let obstacle =
                (action.is_file() && !ALONE.contains(&short)).then(|| of_controller(word));
            let dotted = format!("ansible.modules.{short}");
            return Ok(Step::Found(Found { name: word.to_owned(), path, dotted, obstacle }));
        }
        let routes = self.routes(&core.package.join("config/ansible_builtin_runtime.yml"));
        routed(routes.modules.get(short), word)?.ok_or_else(|| {
            format!("neither we nor ansible-core {} have a module of that name", core.version)
        })
    }

    fn step_collection(&self, collection: &str, rest: &[&str], word: &str) -> Result<Step, Why> {
        let Some(place) = self.collection(collection) else {
            return Err(format!(
                "the collection `{collection}` is not installed here: install it with \
                 `ansible-galaxy collection install {collection}`, or put it into \
                 `collections/ansible_collections/` beside the playbook"
            ));
        };
        let name = rest.join(".");
        let routes = self.routes(&place.join("meta/runtime.yml"));
        if let Some(step) = routed(routes.modules.get(&name), word)? {
            return Ok(step);
        }
        let (last, folders) = rest.split_last().unwrap_or((&"", &[]));
        let modules = folders.iter().fold(place.join("plugins/modules"), |dir, it| dir.join(it));
        let Some(path) = self.in_directory(&modules, last) else {
            return Err(format!("the collection in `{}` has no module `{name}`", place.display()));
        };
        let action = place.join("plugins/action").join(format!("{last}.py"));
        let obstacle = action.is_file().then(|| of_controller(word));
        let dotted = format!("ansible_collections.{collection}.plugins.modules.{name}");
        Ok(Step::Found(Found { name: word.to_owned(), path, dotted, obstacle }))
    }

    /// The module called `name` in a directory.
    fn in_directory(&self, dir: &Path, name: &str) -> Option<PathBuf> {
        let known = self.lock().listed.get(dir).cloned();
        let listed = match known {
            Some(listed) => listed,
            None => {
                let listed = Arc::new(list(dir));
                self.lock().listed.insert(dir.to_path_buf(), Arc::clone(&listed));
                listed
            }
        };
        listed.get(name).cloned()
    }

    fn routes(&self, file: &Path) -> Arc<routing::Routes> {
        if let Some(routes) = self.lock().routes.get(file) {
            return Arc::clone(routes);
        }
        let routes = Arc::new(routing::Routes::read(file));
        self.lock().routes.insert(file.to_path_buf(), Arc::clone(&routes));
        routes
    }

    /// Whether Ansible's own module of this name may know an argument that ours does not: its text, or that of what documents it, has the word.
    pub(crate) fn core_knows(&self, short: &str, arg: &str) -> Option<Arc<Found>> {
        let found = self.core_has(short)?;
        let text = std::fs::read_to_string(&found.path).ok()?;
        has_word(&text, arg).then_some(found)
    }

    /// Ansible's own module of this name, of ansible-core or of the collection that it moved to,
    /// where it can run on its own.
    pub(crate) fn core_has(&self, short: &str) -> Option<Arc<Found>> {
        self.instead(short).ok()
    }

    /// The same, or what to do to have it.
    pub(crate) fn instead(&self, short: &str) -> Result<Arc<Found>, Why> {
        if self.core().is_none() {
            let spec = updraft_spec::find(short);
            let collection = spec.map(|spec| spec.collection).filter(|of| *of != "ansible.builtin");
            let and = collection.map_or_else(String::new, |collection| {
                format!(", then `ansible-galaxy collection install {collection}`")
            });
            return Err(format!(
                "Ansible's own `{short}` may do it, but ansible-core is not installed here: \
                 `pipx install ansible-core`{and}"
            ));
        }
        let found = self.find(short)?;
        match &found.obstacle {
            None => Ok(found),
            Some(why) => Err(why.clone()),
        }
    }
}

/// Does the text have this as a word of its own?
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}

enum Step {
    Found(Found),
    Elsewhere(String),
}

fn routed(route: Option<&Route>, word: &str) -> Result<Option<Step>, Why> {
    match route {
        Some(Route::To(name)) => Ok(Some(Step::Elsewhere(name.clone()))),
        Some(Route::Removed(why)) => Err(format!("`{word}` was removed: {why}")),
        None => Ok(None),
    }
}

fn of_controller(word: &str) -> Why {
    format!(
        "`{word}` does part of its work in Python on the controller (an action plugin), which is \
         not supported"
    )
}

/// Modules in a directory by their names; of two files with one name, Python's.
fn list(dir: &Path) -> HashMap<String, PathBuf> {
    let mut modules: HashMap<String, PathBuf> = HashMap::new();
    for path in crate::inventory::sorted_entries(dir) {
        let extension = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        let none = stem.starts_with('.')
            || stem == "__init__"
            || extension.ends_with('~')
            || NO_MODULES.contains(&extension)
            || !path.is_file();
        if none {
            continue;
        }
        // Old modules have a name that begins with `_`, and are called without.
        for name in [stem, stem.trim_start_matches('_')] {
            if extension == "py" || !modules.contains_key(name) {
                modules.insert(name.to_owned(), path.clone());
            }
        }
    }
    modules
}

#[cfg(test)]
mod tests;
