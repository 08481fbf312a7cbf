//! The texts of a checkout: every file that git would not ignore, read once.
//!
//! The disk is walked instead of asking git, so that the check also works in an unpacked archive
//! and in a checkout that belongs to another user. For that it reads `.gitignore` itself, and knows
//! only the forms of pattern used there. Never here: binary files, files of fixtures' meaning.

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Folders whose files are data for tests and may look like anything.
const DATA_FOLDERS: &[&str] =
    &["cases", "corpus", "fixtures", "golden", "goldens", "proptest-regressions", "snapshots"];

/// One text file.
pub(super) struct File {
    /// Path from the root of the checkout, with forward slashes.
    pub(super) path: String,
    pub(super) text: String,
    pub(super) executable: bool,
}

impl File {
    /// Whether the file is input or expected output of a test rather than something we wrote.
    pub(super) fn is_data(&self) -> bool {
        let of_a_test = self.path.contains("/tests/") && !self.is_rust();
        of_a_test || self.path.split('/').any(|part| DATA_FOLDERS.contains(&part))
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Lines with their numbers, counted from one.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// All text files of a checkout, in order of path.
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

impl Tree {
    /// Reads everything below `root` that `.gitignore` does not name.
    pub(super) fn read(root: &Path) -> Result<Tree> {
        let text = fs::read_to_string(root.join(".gitignore")).context("cannot read .gitignore")?;
        let ignored = Ignored::parse(&text)?;
        let mut files = Vec::new();
        walk(root, "", &ignored, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Tree { files })
    }

    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Files below a folder, which is given without a final slash.
    pub(super) fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a File> {
        let prefix = format!("{folder}/");
        self.files.iter().filter(move |file| file.path.starts_with(&prefix))
    }

    /// A tree of the given paths and texts.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Tree {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
            executable: false,
        };
        Tree { files: files.iter().map(file).collect() }
    }
}

fn walk(root: &Path, folder: &str, ignored: &Ignored, files: &mut Vec<File>) -> Result<()> {
    let entries =
        fs::read_dir(root.join(folder)).with_context(|| format!("cannot list `{folder}`"))?;
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            bail!("a file below `{folder}` has a name that is not UTF-8");
        };
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if name == ".git" || ignored.matches(&path, &name) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(root, &path, ignored, files)?;
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).with_context(|| format!("cannot read `{path}`"))?;
            let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { path, text, executable });
            }
        }
    }
    Ok(())
}

/// The patterns of a `.gitignore`, as far as ours uses them.
#[derive(Debug, Default, PartialEq)]
struct Ignored {
    paths: Vec<String>,
    names: Vec<String>,
    /// What a name begins and ends with, around one star.
    stars: Vec<(String, String)>,
}

impl Ignored {
    fn parse(text: &str) -> Result<Ignored> {
        let mut ignored = Ignored::default();
        for line in text.lines().map(str::trim) {
            let pattern = line.trim_end_matches('/');
            let fancy = |text: &str| text.contains(['*', '?', '[', '!', '/']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            } else if let Some(path) = pattern.strip_prefix('/') {
                if path.contains(['*', '?', '[']) {
                    bail!("tidy does not know the form of the .gitignore pattern `{line}`");
                }
                ignored.paths.push(path.to_owned());
            } else if let Some((start, end)) =
                pattern.split_once('*').filter(|(start, end)| !fancy(start) && !fancy(end))
            {
                ignored.stars.push((start.to_owned(), end.to_owned()));
            } else if !fancy(pattern) {
                ignored.names.push(pattern.to_owned());
            } else {
                bail!("tidy does not know the form of the .gitignore pattern `{line}`");
            }
        }
        Ok(ignored)
    }

    fn matches(&self, path: &str, name: &str) -> bool {
        self.paths.iter().any(|known| known == path)
            || self.names.iter().any(|known| known == name)
            || self.stars.iter().any(|(start, end)| {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start.as_str())
                    && name.ends_with(end.as_str())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_files_are_those_git_ignores() {
        let ignored = Ignored::parse("# built\n/target\n.updraft*/\n*.plan\n/bench/out\n").unwrap();
        for (path, expected) in [
            ("target", true),
            ("crates/target", false),
            (".updraft", true),
            ("examples/hello/.updraft", true),
            ("examples/hello/.updraft-prod", true),
            ("examples/hello/updraft.yaml", false),
            ("examples/hello/next.plan", true),
            ("bench/out", true),
            ("bench/plan.sh", false),
        ] {
            let name = path.rsplit('/').next().unwrap();
            assert_eq!(ignored.matches(path, name), expected, "{path}");
        }
    }

    #[test]
    fn a_pattern_we_do_not_understand_is_refused() {
        for pattern in ["!kept", "a/**/b", "/x*"] {
            assert!(Ignored::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn fixtures_are_data_and_sources_are_not() {
        for (path, expected) in [
            ("crates/wire/tests/golden/hello.rs", true),
            ("crates/playbook/tests/referee/site.yml", true),
            ("crates/wire/tests/hello.rs", false),
            ("crates/wire/src/lib.rs", false),
        ] {
            assert_eq!(Tree::of(&[(path, "")]).files[0].is_data(), expected, "{path}");
        }
    }
}
