//! Filters, tests and lookups in Python: where they may be, and which Python has what they need.
//!
//! A file of filters does not show their names but to Python. A file that has the name as a word may
//! have the filter; whoever runs it finds out.

use super::{Modules, Why};
use crate::template::Kind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

/// A Python on this computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Python {
    /// The program.
    pub(crate) program: PathBuf,
    /// The directory in which the package `ansible` lies, if there is one.
    pub(crate) packages: Option<PathBuf>,
}

/// Below a directory that the settings name, files are found so many levels deep.
const LEVELS: usize = 2;

/// Of which kinds there are files at all, beside playbooks and where the settings say. Every filter
/// that a template applies asks for it.
#[derive(Default)]
pub(super) struct Known(AtomicU8);

impl Known {
    /// Not known any more.
    pub(super) fn forget(&self) {
        self.0.store(0, Ordering::Release);
    }

    fn any(&self, kind: Kind, look: impl FnOnce() -> bool) -> bool {
        let bit = match kind {
            Kind::Filter => 0,
            Kind::Test => 2,
            Kind::Lookup => 4,
        };
        let known = self.0.load(Ordering::Acquire) >> bit & 3;
        if known != 0 {
            return known & 2 != 0;
        }
        let any = look();
        self.0.fetch_or(if any { 2 } else { 1 } << bit, Ordering::AcqRel);
        any
    }
}

impl Modules {
    /// Directories of playbooks and roles, in the order they came up.
    pub(crate) fn all_beside(&self) -> Vec<PathBuf> {
        self.lock().beside.clone()
    }

    /// Does a playbook, a role or a directory of the settings have a plugin of this short name,
    /// which would stand before ours?
    pub(crate) fn may_be_before_ours(&self, kind: Kind, name: &str) -> bool {
        let Some(short) = short(name) else { return false };
        if !self.own_plugins.any(kind, || !self.plugin_dirs(kind).is_empty()) {
            return false;
        }
        self.remembered((true, kind, short.to_owned()), || self.beside_has(kind, short, is_named))
    }

    /// May there be a plugin of this name anywhere?
    pub(crate) fn may_have(&self, kind: Kind, name: &str) -> bool {
        let builtin =
            ["ansible.builtin.", "ansible.legacy."].iter().find_map(|it| name.strip_prefix(it));
        self.remembered((false, kind, name.to_owned()), || {
            short(name).is_some_and(|short| self.beside_has(kind, short, super::has_word))
                || match (builtin, name.split('.').collect::<Vec<_>>().as_slice()) {
                    (Some(short), _) => self.of_core(kind, short),
                    (None, [_]) => self.of_core(kind, name),
                    (None, [namespace, collection, rest @ ..]) if !rest.is_empty() => {
                        self.of_collection(kind, &format!("{namespace}.{collection}"), rest)
                    }
                    _ => false,
                }
        })
    }

    fn beside_has(&self, kind: Kind, short: &str, names: Names) -> bool {
        self.plugin_dirs(kind).iter().any(|dir| has(dir, kind, short, names))
    }

    /// Notes that nobody brings a plugin of this short name after all.
    pub(crate) fn has_none_before_ours(&self, kind: Kind, name: &str) {
        if let Some(short) = short(name) {
            self.lock().plugins.insert((true, kind, short.to_owned()), false);
        }
    }

    fn remembered(&self, key: (bool, Kind, String), look: impl FnOnce() -> bool) -> bool {
        if let Some(known) = self.lock().plugins.get(&key) {
            return *known;
        }
        let found = look();
        self.lock().plugins.insert(key, found);
        found
    }

    /// Directories with plugins of a kind: beside playbooks and in roles, then those that the
    /// settings name or the usual ones.
    fn plugin_dirs(&self, kind: Kind) -> Vec<PathBuf> {
        let own = self.all_beside();
        let own = own.iter().map(|dir| dir.join(format!("{kind}_plugins"))).collect();
        let named = self.named.plugins.get(&kind).map(Vec::as_slice).unwrap_or_default();
        let mut dirs = self.places(own, named, &format!("plugins/{kind}"));
        dirs.retain(|dir| dir.is_dir());
        let mut level = dirs.clone();
        for _ in 0..LEVELS {
            level = level.iter().flat_map(|dir| crate::inventory::sorted_entries(dir)).collect();
            level.retain(|dir| dir.is_dir());
            dirs.extend(level.iter().cloned());
        }
        dirs
    }

    fn of_core(&self, kind: Kind, short: &str) -> bool {
        let Some(core) = self.core() else { return false };
        has(&core.package.join("plugins").join(kind.word()), kind, short, super::has_word)
            || self
                .routes(&core.package.join("config/ansible_builtin_runtime.yml"))
                .names_plugin(kind, short)
    }

    fn of_collection(&self, kind: Kind, collection: &str, rest: &[&str]) -> bool {
        let place = match (collection, self.core()) {
            ("ansible._protomatter", Some(core)) => {
                Some(core.package.join("_internal/ansible_collections/ansible/_protomatter"))
            }
            _ => self.collection(collection),
        };
        let (Some(place), Some((name, folders))) = (place, rest.split_last()) else { return false };
        let dir =
            folders.iter().fold(place.join("plugins").join(kind.word()), |dir, it| dir.join(it));
        has(&dir, kind, name, super::has_word)
            || self.routes(&place.join("meta/runtime.yml")).names_plugin(kind, &rest.join("."))
    }

    /// The Python that runs plugins: the one of the ansible-core that is installed, or any.
    pub(crate) fn python(&self) -> Result<Python, Why> {
        let path = self.environment.get("PATH").map(String::as_str).unwrap_or_default();
        let mut path: Vec<PathBuf> =
            path.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect();
        path.push(PathBuf::from("/usr/bin"));
        let core = self.core();
        let program = match core {
            Some(core) => core.python(&path),
            None => path.iter().map(|dir| dir.join("python3")).find(|it| it.is_file()),
        };
        let packages = core.and_then(|core| core.package.parent()).map(Path::to_path_buf);
        match program {
            Some(program) => Ok(Python { program, packages }),
            None => Err("it is written in Python, and there is no python3 here: install it with \
                         `apt-get install python3`"
                .to_owned()),
        }
    }
}

/// The name without a collection; `None` for one of a collection.
fn short(name: &str) -> Option<&str> {
    match name.strip_prefix("ansible.legacy.") {
        Some(short) => Some(short),
        None if name.contains('.') => None,
        None => Some(name),
    }
}

/// Whether the text of a file names something.
type Names = fn(&str, &str) -> bool;

/// Does the text of a file look as if it gave this name to something? Of names that are ours every
/// other file has some as words.
fn is_named(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        let quoted = ['\'', '"'].iter().any(|&it| before.ends_with(it) && after.starts_with(it));
        let word = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || ".\"'_".contains(c));
        quoted || before.ends_with("def ") || word && after.trim_start_matches(' ').starts_with('=')
    })
}

/// May a directory have a plugin of this name? A lookup has a file of its own name, the others are
/// in any file.
fn has(dir: &Path, kind: Kind, name: &str, names: Names) -> bool {
    if kind == Kind::Lookup {
        return dir.join(format!("{name}.py")).is_file();
    }
    let files = crate::inventory::sorted_entries(dir);
    files.iter().filter(|file| file.extension().is_some_and(|end| end == "py")).any(|file| {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        stem == name || std::fs::read_to_string(file).is_ok_and(|text| names(&text, name))
    })
}
