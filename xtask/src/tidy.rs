//! The rules of this repository that no compiler checks.
//!
//! A rule is a pure function from a [`Tree`] of texts to faults, so each one is tested on a tree
//! made of a few lines. Only [`check`] touches the disk. Never here: fixing anything, formatting,
//! or what rustc and clippy already know.

mod crates;
mod edges;
mod promises;
mod prose;
mod sources;
mod tree;
mod words;

use anyhow::{Context as _, Result};
use crates::Package;
use std::fmt;
use std::path::Path;
use tree::Tree;

pub(crate) use crates::packages;

/// One broken rule, at the place where it is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    path: String,
    line: usize,
    message: String,
}

impl Fault {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Fault { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// What a look at the repository found.
pub(crate) struct Report {
    /// Broken rules, in order of path and line. Any makes the check fail.
    pub(crate) faults: Vec<Fault>,
    /// Things worth a thought that fail nothing.
    pub(crate) notes: Vec<Fault>,
    /// How many files were read.
    pub(crate) files: usize,
}

/// Checks the checkout at `root` against every rule.
pub(crate) fn check(root: &Path) -> Result<Report> {
    let tree = Tree::read(root).context("cannot read the checkout")?;
    let packages = packages(root)?;
    let (mut faults, mut notes) = judge(&tree, &packages);
    faults.sort();
    notes.sort();
    Ok(Report { faults, notes, files: tree.files.len() })
}

/// The `edges` block as the manifests have it, for pasting into ARCHITECTURE.md.
pub(crate) fn edges_of(packages: &[Package]) -> String {
    edges::render(packages)
}

fn judge(tree: &Tree, packages: &[Package]) -> (Vec<Fault>, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut notes = Vec::new();
    edges::check(tree, packages, &mut faults);
    promises::check(tree, packages, &mut faults);
    crates::check(tree, packages, &mut faults);
    sources::check(tree, &mut faults, &mut notes);
    prose::check(tree, &mut faults);
    words::check(tree, &mut faults);
    (faults, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules hold for the checkout this test was built from.
    #[test]
    fn the_repository_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let report = check(&root).expect("the checkout can be read");
        let list: Vec<String> = report.faults.iter().map(Fault::to_string).collect();
        assert!(list.is_empty(), "{} faults:\n{}", list.len(), list.join("\n"));
        assert!(
            report.files > 50,
            "only {} files were found below {}",
            report.files,
            root.display()
        );
    }
}
