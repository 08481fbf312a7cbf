//! Playbook files to a checked tree.
//!
//! Everything that can be reached without running is read and checked: keywords, modules, their
//! arguments, templates, conditions, imported files, roles. All faults are told at once.
//!
//! Never here: variables of hosts, running anything.

pub(crate) mod catalog;
mod check;
mod digest;
pub(crate) mod keywords;
mod play;
pub(crate) mod role;
pub(crate) mod split;
pub(crate) mod task;
pub(crate) mod tree;

use crate::fault::{Faults, LoadFault};
use crate::foreign::Modules;
use crate::template::{Context, Scope, World};
use crate::value::{Dict, Key, Value};
use crate::yaml::{Node as Yaml, Origin};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tree::{Common, Node, Play, Role, RoleUse};

/// Where roles are looked for, and the controller's side for templates in names of files.
#[derive(Clone)]
pub struct Loader {
    /// Environment and clock for templates.
    pub world: Arc<World>,
    /// Directories that hold roles, after `roles/` beside the playbook.
    pub roles_path: Vec<PathBuf>,
    /// Variables that outrank all others; they may stand in the names of imported files.
    pub extra_vars: Dict,
    /// Where modules come from that are not built in.
    pub modules: Arc<Modules>,
    /// What Ansible would find only when it comes to it (an argument that a module does not have, a
    /// slip in a template) is a fault here and now.
    pub strict: bool,
}

/// Playbooks that were read whole and found to be in order.
pub struct Playbook {
    pub(crate) plays: Vec<Arc<Play>>,
    /// The files that were asked for, each with how many of the plays come from it.
    pub(crate) parts: Vec<(String, usize)>,
    pub(crate) loader: Loader,
    /// What deserves a word but is no error.
    pub warnings: Vec<LoadFault>,
    /// What will go wrong if a run comes to it. Empty where [`Loader::strict`] made faults of it.
    pub doubts: Vec<LoadFault>,
    pub(crate) files: BTreeSet<PathBuf>,
    pub(crate) roles: BTreeSet<PathBuf>,
}

impl Playbook {
    /// Reads playbooks and everything they reach.
    ///
    /// # Errors
    /// With everything that is wrong, each with its place, before anything was changed.
    pub fn load<P: AsRef<Path>>(paths: &[P], loader: &Loader) -> Result<Self, Faults> {
        let mut reader = Reader::new(loader);
        let mut plays = Vec::new();
        let mut parts = Vec::new();
        for path in paths {
            let found = reader.playbook(path.as_ref(), &Common::default());
            parts.push((path.as_ref().display().to_string(), found.len()));
            plays.extend(found);
        }
        Self::finish(reader, plays, parts)
    }

    /// Reads a playbook that is no file, with everything it reaches. `name` is what its faults are
    /// told with; it counts as standing in `dir`.
    ///
    /// # Errors
    /// With everything that is wrong, before anything was changed.
    pub fn from_text(name: &str, text: &str, dir: &Path, loader: &Loader) -> Result<Self, Faults> {
        let mut reader = Reader::new(loader);
        let parsed = crate::yaml::parse(name, text)?;
        let plays = match parsed.documents.first() {
            Some(node) => reader.plays_of(node, &dir.join(name), &Common::default()),
            None => Vec::new(),
        };
        let parts = vec![(name.to_owned(), plays.len())];
        Self::finish(reader, plays, parts)
    }

    fn finish(
        mut reader: Reader<'_>,
        plays: Vec<Play>,
        parts: Vec<(String, usize)>,
    ) -> Result<Self, Faults> {
        if reader.loader.strict {
            let doubts = std::mem::take(&mut reader.doubts);
            reader.faults.extend(doubts);
        }
        Faults::check(reader.faults)?;
        Ok(Self {
            plays: plays.into_iter().map(Arc::new).collect(),
            parts,
            loader: reader.loader.clone(),
            warnings: reader.warnings,
            doubts: reader.doubts,
            files: reader.files,
            roles: reader.roles,
        })
    }

    /// How many plays there are.
    pub fn plays(&self) -> usize {
        self.plays.len()
    }

    /// The patterns of hosts that the plays name, as they are written.
    pub fn hosts(&self) -> Vec<String> {
        self.plays
            .iter()
            .map(|play| match play.hosts.as_list() {
                Some(items) => items.iter().map(Value::to_text).collect::<Vec<_>>().join(","),
                None => play.hosts.as_str().map_or_else(|| play.hosts.to_text(), str::to_owned),
            })
            .collect()
    }
}

/// Variables of `key=value …`, as they stand on a command line.
///
/// # Errors
/// When a quote does not end.
pub fn key_values(text: &str) -> Result<Dict, String> {
    // Words that set nothing are passed over, as Ansible passes them over.
    let (pairs, _) = split::named(text)?;
    Ok(pairs.iter().map(|(key, value)| (Key::str(key), Value::trusted(value, None))).collect())
}

// Task numbers only tell tasks apart within one process.
static NEXT_TASK: AtomicUsize = AtomicUsize::new(0);

/// Where a list of tasks stands.
#[derive(Clone)]
pub(crate) struct Place {
    /// Directory of the file.
    pub(crate) dir: PathBuf,
    /// Directory of the playbook.
    pub(crate) playbook_dir: PathBuf,
    pub(crate) role: Option<Arc<Role>>,
    pub(crate) handlers: bool,
    /// Variables known without any host, for the names of imported files.
    pub(crate) known: Arc<Dict>,
    pub(crate) depth: usize,
}

/// Reads files and keeps what is found wrong.
pub(crate) struct Reader<'l> {
    pub(crate) loader: &'l Loader,
    pub(crate) faults: Vec<LoadFault>,
    pub(crate) warnings: Vec<LoadFault>,
    /// What goes wrong only when a run comes to it.
    pub(crate) doubts: Vec<LoadFault>,
    pub(crate) files: BTreeSet<PathBuf>,
    pub(crate) roles: BTreeSet<PathBuf>,
    /// What is read is included by a run.
    pub(crate) running: bool,
    /// Collections in which a short name in the task at hand is looked for.
    pub(crate) search: Vec<String>,
}

/// Deeper imports are refused; they are nearly always a circle.
const DEPTH: usize = 40;

impl<'l> Reader<'l> {
    pub(crate) fn new(loader: &'l Loader) -> Self {
        Self {
            loader,
            faults: Vec::new(),
            warnings: Vec::new(),
            doubts: Vec::new(),
            files: BTreeSet::new(),
            roles: BTreeSet::new(),
            running: false,
            search: Vec::new(),
        }
    }

    /// As [`Reader::new`], for what a run includes.
    pub(crate) fn while_running(loader: &'l Loader) -> Self {
        Self { running: true, ..Self::new(loader) }
    }

    fn next_id() -> usize {
        NEXT_TASK.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn fault(&mut self, node: &Yaml, what: impl Into<String>) {
        self.faults.push(LoadFault::at(node.at.clone(), what));
    }

    /// Something that goes wrong only when a run comes to it. Keywords come down from the blocks
    /// around, so the same may be found again; it is told once.
    pub(crate) fn doubt(&mut self, at: Origin, what: impl Into<String>) {
        let doubt = LoadFault::at(at, what);
        if !self.doubts.contains(&doubt) {
            self.doubts.push(doubt);
        }
    }

    /// The first document of a file; `None` after a fault or when there is nothing in it.
    pub(crate) fn document(&mut self, path: &Path) -> Option<Yaml> {
        let name = path.display().to_string();
        let text = match self.loader.world.vault.read_text(path) {
            Ok(text) => text,
            Err(what) => {
                self.faults.push(LoadFault::bare(what));
                return None;
            }
        };
        self.files.insert(path.to_path_buf());
        match crate::yaml::parse(&name, &text) {
            Ok(mut parsed) => {
                match self.loader.world.config.duplicate_dict_key.as_str() {
                    "ignore" => {}
                    "error" => self.faults.append(&mut parsed.warnings),
                    _ => self.warnings.append(&mut parsed.warnings),
                }
                if parsed.documents.len() > 1 {
                    let at = parsed.documents[1].at.clone();
                    self.faults
                        .push(LoadFault::at(at, "a second document begins here; only one is read"));
                }
                parsed.documents.into_iter().next().filter(|node| !node.is_null())
            }
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    /// Text rendered with what is known before a run; a fault if that is not enough.
    pub(crate) fn known_text(
        &mut self,
        value: &Value,
        at: &Yaml,
        place: &Place,
        what: &str,
    ) -> Option<String> {
        if !value.is_lazy() {
            return Some(value.to_text());
        }
        let scope = Known { vars: Arc::clone(&place.known), extra: self.loader.extra_vars.clone() };
        let context = Context { scope: Arc::new(scope), world: Arc::clone(&self.loader.world) };
        match context.text(value) {
            Ok(text) => Some(text),
            Err(fault) => {
                self.fault(
                    at,
                    format!(
                        "{what} is read before the run and cannot be known here: {fault}; the include_ form decides while running"
                    ),
                );
                None
            }
        }
    }

    /// A list of tasks in a file.
    pub(crate) fn task_file(
        &mut self,
        path: &Path,
        outer: &Arc<Common>,
        place: &Place,
    ) -> Vec<Node> {
        let place = Place {
            dir: path.parent().map(Path::to_path_buf).unwrap_or_default(),
            depth: place.depth + 1,
            ..place.clone()
        };
        if place.depth > DEPTH {
            self.faults.push(LoadFault::bare(format!(
                "`{}` is imported {DEPTH} levels deep; do files import each other in a circle?",
                path.display()
            )));
            return Vec::new();
        }
        match self.document(path) {
            Some(node) => self.tasks(&node, outer, &place),
            None => Vec::new(),
        }
    }
}

/// Variables that are known before a run.
struct Known {
    vars: Arc<Dict>,
    extra: Dict,
}

impl Scope for Known {
    fn get(&self, name: &str) -> Option<Value> {
        self.extra.get(name).or_else(|| self.vars.get(name)).cloned()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.extra.keys().chain(self.vars.keys()).map(|key| Arc::from(key.to_json_key())).collect()
    }
}

/// Roles in the order they run: dependencies before those that need them, each use once.
pub(crate) fn in_order(uses: &[RoleUse]) -> Vec<&RoleUse> {
    fn visit<'r>(one: &'r RoleUse, seen: &mut BTreeSet<&'r str>, out: &mut Vec<&'r RoleUse>) {
        if !one.allow_duplicates && !seen.insert(&one.fingerprint) {
            return;
        }
        for dependency in &one.dependencies {
            visit(dependency, seen, out);
        }
        out.push(one);
    }
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    uses.iter().for_each(|one| visit(one, &mut seen, &mut out));
    out
}

#[cfg(test)]
mod tests;
