//! What is in a directory of this side that is copied to a host, and under which names.
//!
//! Links are followed unless they are to stay links, or lead back to a directory that they are in.
//! Nothing is read here but names.

use super::outcome::put;
use crate::parse::catalog::FILE;
use crate::value::{Dict, Key, Value};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The content of a directory; names are relative to where it goes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tree {
    /// Where each file is here, and its name there.
    pub(super) files: Vec<(PathBuf, PathBuf)>,
    pub(super) dirs: Vec<PathBuf>,
    /// Where each link leads, and its name there.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
}

impl Tree {
    /// Looks through a directory. Names there begin with `below`.
    pub(super) fn of(root: &Path, below: &Path, follow: bool) -> io::Result<Self> {
        let mut tree = Self::default();
        let mut above = vec![identity(root)?];
        tree.walk(root, below, follow, &mut above)?;
        Ok(tree)
    }

    /// Arguments for `file`, one after the other, that make the directories and links of a tree.
    pub(super) fn file_tasks<'t>(
        &'t self,
        given: &'t Dict,
        dest: &'t str,
    ) -> impl Iterator<Item = Dict> + 't {
        let common = |name: &Path, state: &str| {
            let known = |key: &Key| key.as_str().is_some_and(|name| FILE.contains(&name));
            let mut args: Dict = given
                .iter()
                .filter(|(key, _)| known(key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            put(&mut args, "path", Value::from(Path::new(dest).join(name).display().to_string()));
            put(&mut args, "state", Value::str(state));
            args
        };
        let dirs = self.dirs.iter().map(move |name| {
            let mut args = common(name, "directory");
            args.shift_remove("mode");
            if let Some(mode) = given.get("directory_mode") {
                put(&mut args, "mode", mode.clone());
            }
            args
        });
        let links = self.links.iter().map(move |(target, name)| {
            let mut args = common(name, "link");
            if args.get("mode").and_then(Value::as_str) == Some("preserve") {
                args.shift_remove("mode");
            }
            put(&mut args, "src", Value::from(target.display().to_string()));
            put(&mut args, "force", true);
            if !self.dirs.is_empty() {
                put(&mut args, "follow", false);
            }
            args
        });
        dirs.chain(links)
    }

    /// `above` are the directories that this one is in, itself included.
    fn walk(
        &mut self,
        dir: &Path,
        below: &Path,
        follow: bool,
        above: &mut Vec<(u64, u64)>,
    ) -> io::Result<()> {
        let mut entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
        // Files come before directories, as from Python's `os.walk`.
        entries.sort_by_key(|entry| (entry.path().is_dir(), entry.file_name()));
        for entry in entries {
            let (path, name) = (entry.path(), below.join(entry.file_name()));
            let link = entry.file_type()?.is_symlink();
            // What a broken link leads to is neither.
            let (is_file, is_dir) = (path.is_file(), path.is_dir());
            if link && (!follow || !is_file && !is_dir) {
                self.links.push((fs::read_link(&path)?, name));
            } else if is_dir {
                let own = identity(&path)?;
                if above.contains(&own) {
                    self.links.push((fs::read_link(&path)?, name));
                    continue;
                }
                self.dirs.push(name.clone());
                above.push(own);
                self.walk(&path, &name, follow, above)?;
                above.pop();
            } else {
                self.files.push((path, name));
            }
        }
        Ok(())
    }
}

fn identity(dir: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(dir).map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_but_not_in_circles() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("sub/deep")).unwrap();
        fs::write(at("sub/file"), "x").unwrap();
        symlink("../..", at("sub/deep/circle")).unwrap();
        symlink("sub/file", at("link")).unwrap();
        symlink("nowhere", at("broken")).unwrap();
        symlink("sub", at("twin")).unwrap();
        let names = |list: &[(PathBuf, PathBuf)]| -> Vec<String> {
            list.iter().map(|(_, name)| name.display().to_string()).collect()
        };
        let tree = Tree::of(dir.path(), Path::new("to"), true).unwrap();
        assert_eq!(names(&tree.files), ["to/link", "to/sub/file", "to/twin/file"]);
        assert_eq!(tree.dirs.len(), 4, "{:?}", tree.dirs);
        assert_eq!(names(&tree.links), ["to/broken", "to/sub/deep/circle", "to/twin/deep/circle"]);
        let tree = Tree::of(dir.path(), Path::new(""), false).unwrap();
        assert_eq!(names(&tree.files), ["sub/file"]);
        assert_eq!(names(&tree.links), ["broken", "link", "sub/deep/circle", "twin"]);
    }
}
