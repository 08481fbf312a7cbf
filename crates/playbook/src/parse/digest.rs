//! What a playbook is, as a digest of everything it can reach.

use super::check::find_near;
use super::tree::{Node, Play, Task};
use super::{Playbook, in_order};
use crate::inventory::sorted_entries;
use crate::value::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use updraft_base::{Digest, Hasher};

/// Directories beside a playbook whose files its tasks may name while they run.
const BESIDE: &[&str] = &[
    "files",
    "templates",
    "vars",
    "tasks",
    "handlers",
    "group_vars",
    "host_vars",
    "filter_plugins",
    "test_plugins",
    "lookup_plugins",
];

/// Directories that say nothing of what is run.
const APART: &[&str] = &[".git", "__pycache__"];

impl Playbook {
    /// A digest of the playbooks and of every file they may read: files that were read, the roles
    /// as a whole, the usual directories beside the playbook, and files that tasks name.
    ///
    /// Two equal digests mean that the same tasks would be run with the same files. Variables that
    /// somebody hands in, inventories and hosts are not part of it.
    pub fn digest(&self) -> Digest {
        let mut files: BTreeSet<PathBuf> = self.files.clone();
        for role in &self.roles {
            tree(role, &mut files, 0);
        }
        for play in &self.plays {
            for name in BESIDE {
                tree(&play.dir.join(name), &mut files, 0);
            }
            named(play, &mut files);
        }
        // Places are told from the first playbook's directory on, so that a checkout elsewhere
        // gives the same digest.
        let base = self.plays.first().map(|play| play.dir.clone()).unwrap_or_default();
        let base = base.canonicalize().unwrap_or(base);
        let mut hasher = Hasher::default();
        for file in &files {
            let real = file.canonicalize().unwrap_or_else(|_| file.clone());
            let name = real.strip_prefix(&base).unwrap_or(&real);
            hasher.field(name.as_os_str().as_encoded_bytes());
            match std::fs::read(file) {
                Ok(content) => hasher.field(content),
                Err(error) => hasher.field(format!("unreadable: {:?}", error.kind())),
            }
        }
        hasher.finish()
    }
}

/// Every file below a directory.
fn tree(path: &Path, files: &mut BTreeSet<PathBuf>, depth: usize) {
    if path.is_file() {
        files.insert(path.to_path_buf());
    } else if path.is_dir()
        && depth < 20
        && path.file_name().is_none_or(|name| APART.iter().all(|apart| name != *apart))
    {
        for entry in sorted_entries(path) {
            tree(&entry, files, depth + 1);
        }
    }
}

/// Files that tasks name outright.
fn named(play: &Play, files: &mut BTreeSet<PathBuf>) {
    let lists = [&play.pre_tasks, &play.tasks, &play.post_tasks, &play.handlers];
    lists.into_iter().for_each(|nodes| walk(nodes, files));
    for used in in_order(&play.roles) {
        walk(&used.tasks, files);
        walk(&used.handlers, files);
    }
    for file in &play.vars_files {
        for name in file.as_list().map_or_else(|| vec![file.clone()], <[Value]>::to_vec) {
            if !name.is_lazy() {
                tree(&play.dir.join(name.to_text()), files, 0);
            }
        }
    }
}

fn walk(nodes: &[Node], files: &mut BTreeSet<PathBuf>) {
    for node in nodes {
        match node {
            Node::Task(task) => task_files(task, files),
            Node::Block(block) => {
                [&block.body, &block.rescue, &block.always]
                    .into_iter()
                    .for_each(|nodes| walk(nodes, files));
            }
        }
    }
}

fn task_files(task: &Task, files: &mut BTreeSet<PathBuf>) {
    for name in ["src", "file", "dir", "_raw_params"] {
        let Some(value) = task.args.get(name).filter(|value| !value.is_lazy()) else { continue };
        let Some(text) =
            value.as_str().filter(|text| text.len() < 256 && !text.contains(char::is_whitespace))
        else {
            continue;
        };
        for subdir in ["files", "templates", "tasks", "vars"] {
            if let Some(path) = find_near(task, subdir, text)
                .filter(|path| !path.is_absolute() || !text.starts_with('/'))
            {
                tree(&path, files, 0);
            }
        }
    }
}
