//! The ansible-core that is installed on this computer.

use super::bundle::Content;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Names the package `ansible` of an ansible-core that is not found by itself.
const SETTING: &str = "UPDRAFT_ANSIBLE_CORE";

/// An installed ansible-core.
pub(super) struct Core {
    /// The directory of the Python package `ansible`.
    pub(super) package: PathBuf,
    pub(super) version: String,
    /// The zip of its `module_utils`, made when it is first needed.
    pub(super) common: OnceLock<Result<Arc<Content>, String>>,
}

impl Core {
    /// Looks where a setting says, where `PYTHONPATH` says, at the interpreter that runs `ansible`,
    /// and beside the programs in `PATH`.
    pub(super) fn find(env: &BTreeMap<String, String>, home: Option<&Path>) -> Option<Self> {
        let parts = |name: &str| -> Vec<PathBuf> {
            let told = env.get(name).map(String::as_str).unwrap_or_default();
            told.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect()
        };
        let told = parts(SETTING).into_iter();
        let python_path = parts("PYTHONPATH").into_iter().map(|place| place.join("ansible"));
        let path = parts("PATH");
        let runners = path.iter().filter_map(|dir| prefix_of_script(&dir.join("ansible")));
        let prefixes = path.iter().filter_map(|dir| dir.parent().map(Path::to_path_buf));
        let of_user = home.map(|home| home.join(".local"));
        let prefixes = runners.chain(prefixes).chain(of_user).chain([PathBuf::from("/usr")]);
        told.chain(python_path).chain(prefixes.flat_map(|prefix| packages(&prefix))).find_map(of)
    }
}

impl Core {
    /// The Python that has it: `/opt/venv/bin/python3.11` of
    /// `/opt/venv/lib/python3.11/site-packages/ansible`, or else the one in `path` that is called so.
    pub(super) fn python(&self, path: &[PathBuf]) -> Option<PathBuf> {
        let lib = self.package.ancestors().find(|place| {
            let name = place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("python3")
        });
        let name = lib.and_then(Path::file_name).unwrap_or("python3".as_ref());
        let prefix = lib.and_then(|lib| Some(lib.parent()?.parent()?.join("bin")));
        let places: Vec<PathBuf> = prefix.into_iter().chain(path.iter().cloned()).collect();
        let called = |name: &OsStr| places.iter().map(|dir| dir.join(name)).find(|it| it.is_file());
        called(name).or_else(|| called("python3".as_ref()))
    }
}

/// A directory as the package, if it is one.
fn of(package: PathBuf) -> Option<Core> {
    if !package.join("module_utils/basic.py").is_file() || !package.join("modules").is_dir() {
        return None;
    }
    let release = std::fs::read_to_string(package.join("release.py")).ok()?;
    let version = release
        .lines()
        .find_map(|line| line.strip_prefix("__version__"))?
        .trim_matches(|c: char| " ='\"".contains(c))
        .to_owned();
    Some(Core { package, version, common: OnceLock::new() })
}

/// The prefix of the interpreter in a script's first line: `/opt/venv` of `#!/opt/venv/bin/python3`.
fn prefix_of_script(script: &Path) -> Option<PathBuf> {
    use std::io::Read as _;
    let mut head = [0; 512];
    let length = std::fs::File::open(script).ok()?.read(&mut head).ok()?;
    let line = head[..length].split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.strip_prefix("#!")?;
    let interpreter = Path::new(line.split_whitespace().next()?);
    Some(interpreter.parent()?.parent()?.to_path_buf())
}

/// Where the package may be below a prefix.
fn packages(prefix: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for lib in ["lib", "lib64"] {
        for python in crate::inventory::sorted_entries(&prefix.join(lib)) {
            let is_python = python
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with("python3"));
            if is_python {
                found.push(python.join("site-packages/ansible"));
                found.push(python.join("dist-packages/ansible"));
            }
        }
    }
    found
}
