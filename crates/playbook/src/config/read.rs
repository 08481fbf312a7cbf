//! From text to the type of a setting.

use super::ini::Ini;
use super::{GroupNames, Here, Setting, Source};
use crate::fault::LoadFault;
use std::path::{Path, PathBuf};

/// Names of environment variables, the strongest first.
type Env<'n> = &'n [&'static str];

/// Sections and keys of the file, the strongest first.
type File<'n> = &'n [(&'static str, &'static str)];

/// Reads one setting after the other.
pub(super) struct Reader<'a> {
    here: &'a Here<'a>,
    pub(super) file: Option<&'a Path>,
    ini: &'a Ini,
    pub(super) faults: Vec<LoadFault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(here: &'a Here<'a>, file: Option<&'a Path>, ini: &'a Ini) -> Self {
        Self { here, file, ini, faults: Vec::new() }
    }

    fn look(&self, env: Env<'_>, file: File<'_>) -> Option<(String, Source)> {
        let named = env
            .iter()
            .find_map(|name| Some((self.here.env.get(*name)?.clone(), Source::Env(name))));
        named.or_else(|| {
            file.iter().rev().find_map(|(section, key)| {
                let value = self.ini.get(&((*section).to_owned(), (*key).to_owned()))?;
                Some((unquoted(value).to_owned(), Source::File(section, key)))
            })
        })
    }

    fn read<T>(
        &mut self,
        env: Env<'_>,
        file: File<'_>,
        default: T,
        make: impl FnOnce(&Self, &str, &Source) -> Result<T, String>,
    ) -> Setting<T> {
        let Some((text, from)) = self.look(env, file) else {
            return Setting { value: default, from: Source::Default };
        };
        match make(self, &text, &from) {
            Ok(value) => Setting { value, from },
            Err(what) => {
                let place = match &from {
                    Source::Env(name) => (*name).to_owned(),
                    Source::File(section, key) => {
                        let file = self.file.unwrap_or(Path::new("ansible.cfg")).display();
                        format!("{file}: [{section}] {key}")
                    }
                    Source::Default | Source::Asked => String::new(),
                };
                self.faults.push(LoadFault::bare(format!("{place}: {what}")));
                Setting { value: default, from: Source::Default }
            }
        }
    }

    pub(super) fn text(&mut self, env: Env<'_>, file: File<'_>, default: &str) -> Setting<String> {
        self.read(env, file, default.to_owned(), |_, text, _| Ok(text.to_owned()))
    }

    pub(super) fn word(&mut self, env: Env<'_>, file: File<'_>) -> Setting<Option<String>> {
        self.read(env, file, None, |_, text, _| Ok(Some(text.to_owned())))
    }

    /// As Ansible: what is none of its words for true is false.
    pub(super) fn truth(&mut self, env: Env<'_>, file: File<'_>, default: bool) -> Setting<bool> {
        self.read(env, file, default, |_, text, _| {
            let text = text.trim().to_ascii_lowercase();
            Ok(matches!(text.as_str(), "y" | "yes" | "on" | "1" | "true" | "t" | "1.0"))
        })
    }

    pub(super) fn number(&mut self, env: Env<'_>, file: File<'_>, default: i64) -> Setting<i64> {
        self.read(env, file, default, |_, text, _| {
            text.trim().parse().map_err(|_| format!("`{text}` is not a whole number"))
        })
    }

    pub(super) fn list(
        &mut self,
        env: Env<'_>,
        file: File<'_>,
        default: &[&str],
    ) -> Setting<Vec<String>> {
        let default = default.iter().map(|word| (*word).to_owned()).collect();
        self.read(env, file, default, |_, text, _| {
            let words = text.split(',').map(|word| unquoted(word.trim()).to_owned());
            Ok(words.collect())
        })
    }

    pub(super) fn place(&mut self, env: Env<'_>, file: File<'_>) -> Setting<Option<String>> {
        self.read(env, file, None, |this, text, from| Ok(Some(this.path(text, from))))
    }

    pub(super) fn places(
        &mut self,
        env: Env<'_>,
        file: File<'_>,
        between: char,
    ) -> Setting<Vec<String>> {
        self.read(env, file, Vec::new(), |this, text, from| {
            Ok(text.split(between).map(|part| this.path(part.trim(), from)).collect())
        })
    }

    pub(super) fn group_names(&mut self, env: Env<'_>, file: File<'_>) -> Setting<GroupNames> {
        self.read(env, file, GroupNames::Never, |_, text, _| {
            Ok(match text.to_ascii_lowercase().as_str() {
                "always" => GroupNames::Always,
                "silently" => GroupNames::Silently,
                "ignore" => GroupNames::Ignore,
                "never" => GroupNames::Never,
                other => return Err(format!("`{other}` is not always, never, ignore or silently")),
            })
        })
    }

    /// A path: what the file says is meant from the file's directory.
    fn path(&self, text: &str, from: &Source) -> String {
        let base = match (from, self.file.and_then(Path::parent)) {
            (Source::File(..), Some(directory)) => directory,
            _ => self.here.cwd,
        };
        expand(text, base, self.here).display().to_string()
    }
}

/// An absolute path, with `~`, `$NAME`, `{{CWD}}`, `.` and `..` resolved.
pub(super) fn expand(text: &str, base: &Path, here: &Here<'_>) -> PathBuf {
    let text = text.replace("{{CWD}}", &here.cwd.display().to_string());
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, end) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = after.find(|c| !word(c)).unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        match here.env.get(name) {
            Some(value) => out.push_str(value),
            None => out.push_str(&rest[at..=at + end]),
        }
        rest = &after[end..];
    }
    out.push_str(rest);
    let path = match (out.strip_prefix('~'), here.home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => base.join(&out),
    };
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean
}

fn unquoted(text: &str) -> &str {
    for mark in ['"', '\''] {
        if text.len() > 1
            && let Some(inner) = text.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark))
        {
            return inner;
        }
    }
    text
}
