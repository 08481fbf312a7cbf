//! A module made ready to travel: how it is run, and a zip of what it needs.

use super::imports::{Import, scan};
use super::routing::Route;
use super::{Found, Modules, archive};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use updraft_base::Digest;
use updraft_wire::ForeignStyle;

const COMMON: &str = "ansible.module_utils";

/// A module that can be sent.
pub(crate) struct Bundle {
    pub(crate) style: ForeignStyle,
    pub(crate) payload: Content,
    /// What Python modules have in common; one for all modules of an ansible-core.
    pub(crate) library: Option<Arc<Content>>,
    /// The interpreter and its arguments in the program's first line.
    pub(crate) shebang: Vec<String>,
}

/// Bytes with their digest.
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

impl Content {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = Digest::of(&bytes);
        Self { bytes, digest }
    }
}

impl Modules {
    /// The module with all it needs.
    ///
    /// # Errors
    /// With a sentence when a file cannot be read, or something it imports is not there.
    pub(crate) fn bundle(&self, found: &Found) -> Result<Arc<Bundle>, String> {
        if let Some(why) = &found.obstacle {
            return Err(why.clone());
        }
        if let Some(bundle) = self.lock().bundles.get(&found.path) {
            return Ok(Arc::clone(bundle));
        }
        let content = std::fs::read(&found.path)
            .map_err(|error| format!("cannot read `{}`: {error}", found.path.display()))?;
        let bundle = Arc::new(self.made(found, content)?);
        self.lock().bundles.insert(found.path.clone(), Arc::clone(&bundle));
        Ok(bundle)
    }

    fn made(&self, found: &Found, content: Vec<u8>) -> Result<Bundle, String> {
        let style = style(&content);
        let shebang = shebang(&content);
        if style != ForeignStyle::Python {
            if style != ForeignStyle::Binary && shebang.is_empty() {
                return Err(format!("module ({}) is missing interpreter line", found.name));
            }
            return Ok(Bundle { style, payload: Content::new(content), library: None, shebang });
        }
        let text = String::from_utf8_lossy(&content).into_owned();
        let text = text.replace(OLD_INCLUDE, "from ansible.module_utils.basic import *");
        let mut packing = Packing { modules: self, files: BTreeMap::new(), seen: BTreeSet::new() };
        packing.python(&found.dotted, false, &text)?;
        let payload = Content::new(archive::zip(&packing.files));
        Ok(Bundle { style, payload, library: Some(self.common()?), shebang })
    }

    /// The zip of `ansible.module_utils`.
    fn common(&self) -> Result<Arc<Content>, String> {
        let Some(core) = self.core() else {
            return Err("modules in Python need `ansible.module_utils` of ansible-core, which is \
                        not installed here: install it with `pipx install ansible-core`"
                .to_owned());
        };
        core.library().cloned()
    }
}

/// The mark that old modules have instead of an import.
const OLD_INCLUDE: &str = "#<<INCLUDE_ANSIBLE_MODULE_COMMON>>";

/// How a module takes its arguments, by its text.
pub(super) fn style(content: &[u8]) -> ForeignStyle {
    let is_text = |byte: &u8| matches!(byte, 7..=10 | 12 | 13 | 27 | 0x20..=0x7e | 0x80..);
    if !content.iter().take(1024).all(is_text) {
        return ForeignStyle::Binary;
    }
    let text = String::from_utf8_lossy(content);
    if text.contains(OLD_INCLUDE) || text.lines().any(imports_common) {
        ForeignStyle::Python
    } else if text.contains("<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>") {
        ForeignStyle::Inlined
    } else if text.contains("WANT_JSON") {
        ForeignStyle::JsonFile
    } else {
        ForeignStyle::WordsFile
    }
}

/// Whether a line imports from `module_utils`.
fn imports_common(line: &str) -> bool {
    let Some(at) = line.find("from ").or_else(|| line.find("import ")) else { return false };
    let line = &line[at..];
    let words: Vec<&str> = line.split_whitespace().collect();
    let of_collection = |name: &str| {
        let parts: Vec<&str> = name.split('.').collect();
        matches!(parts.as_slice(), ["ansible_collections", _, _, "plugins", last, ..] if *last == "module_utils")
    };
    match words.as_slice() {
        ["from", from, rest @ ..] => {
            let relative = from.starts_with("..")
                && (from.trim_start_matches('.').starts_with("module_utils")
                    || rest.first().is_some_and(|word| word.starts_with("module_utils")));
            rest.contains(&"import")
                && (relative || from.starts_with(COMMON) || of_collection(from))
        }
        ["import", name, ..] => name.starts_with("ansible.module_utils.") || of_collection(name),
        _ => false,
    }
}

/// The words of the first line after `#!`.
fn shebang(content: &[u8]) -> Vec<String> {
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let words = line.strip_prefix("#!").unwrap_or_default();
    words.split_whitespace().map(str::to_owned).collect()
}

/// A zip that is being filled.
struct Packing<'m> {
    modules: &'m Modules,
    files: BTreeMap<String, Vec<u8>>,
    seen: BTreeSet<String>,
}

impl Packing<'_> {
    /// Adds a Python text under its dotted name, and what it imports.
    fn python(&mut self, dotted: &str, is_package: bool, text: &str) -> Result<(), String> {
        let path = dotted.replace('.', "/");
        let path = if is_package { format!("{path}/__init__.py") } else { format!("{path}.py") };
        self.files.insert(path, text.as_bytes().to_vec());
        self.packages(dotted);
        let package = if is_package {
            dotted
        } else {
            dotted.rsplit_once('.').map_or("", |(above, _)| above)
        };
        for import in scan(text, package) {
            self.import(dotted, &import)?;
        }
        Ok(())
    }

    /// The packages above a name. Those of Ansible go on in the library.
    fn packages(&mut self, dotted: &str) {
        let parts: Vec<&str> = dotted.split('.').collect();
        for end in 1..parts.len() {
            let name = format!("{}/__init__.py", parts[..end].join("/"));
            let text = if parts[0] == "ansible" { EXTENDED } else { "" };
            self.files.entry(name).or_insert_with(|| text.as_bytes().to_vec());
        }
    }

    fn import(&mut self, by: &str, import: &Import) -> Result<(), String> {
        let ours =
            import.from.starts_with(COMMON) || import.from.starts_with("ansible_collections.");
        if !ours {
            return Ok(());
        }
        if let Some(name) = import.name.as_deref().filter(|name| *name != "*")
            && self.add(&format!("{}.{name}", import.from))?
        {
            return Ok(());
        }
        if self.add(&import.from)? || import.optional {
            return Ok(());
        }
        Err(format!(
            "Could not find imported module support code for {by}. Looked for ({})",
            import.name.as_ref().map_or_else(
                || format!("['{}']", import.from),
                |name| format!("['{0}.{name}', '{0}']", import.from)
            )
        ))
    }

    /// Adds a module of support code by its name; whether there is one.
    fn add(&mut self, dotted: &str) -> Result<bool, String> {
        if self.seen.contains(dotted) {
            return Ok(true);
        }
        let Some(source) = self.source(dotted) else { return Ok(false) };
        self.seen.insert(dotted.to_owned());
        match source {
            Source::Library => Ok(true),
            Source::Folder => {
                self.packages(&format!("{dotted}.x"));
                Ok(true)
            }
            Source::File { path, is_package } => {
                let text = std::fs::read(&path)
                    .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
                // The packages above it may do something of their own when they are imported.
                if let Some((above, _)) = dotted.rsplit_once('.') {
                    self.add(above)?;
                }
                self.python(dotted, is_package, &String::from_utf8_lossy(&text))?;
                Ok(true)
            }
            Source::Redirect(to) => {
                let text =
                    format!("import sys\nimport {to} as mod\n\nsys.modules['{dotted}'] = mod\n");
                self.python(dotted, false, &text)?;
                Ok(true)
            }
        }
    }

    /// Where support code comes from.
    fn source(&self, dotted: &str) -> Option<Source> {
        if let Some(rest) = dotted.strip_prefix(COMMON) {
            let below = rest.trim_start_matches('.').replace('.', "/");
            if below.is_empty() {
                return Some(Source::Library);
            }
            let overlays = self.modules.utils();
            if let Some(found) = overlays.iter().find_map(|place| file(&place.join(&below))) {
                return Some(found);
            }
            let core = self.modules.core()?;
            // What `six` calls `moves` is made by its text, no file has these names.
            let below = if below.starts_with("six/moves") { "six" } else { below.as_str() };
            if file(&core.package.join("module_utils").join(below)).is_some() {
                return Some(Source::Library);
            }
            let routes =
                self.modules.routes(&core.package.join("config/ansible_builtin_runtime.yml"));
            return redirect(&routes.utils, rest.trim_start_matches('.'));
        }
        let parts: Vec<&str> = dotted.split('.').collect();
        let ["ansible_collections", namespace, name, rest @ ..] = parts.as_slice() else {
            return None;
        };
        let place = self.modules.collection(&format!("{namespace}.{name}"))?;
        if let ["plugins", "module_utils", utils @ ..] = rest
            && !utils.is_empty()
        {
            let routes = self.modules.routes(&place.join("meta/runtime.yml"));
            if let Some(found) = redirect(&routes.utils, &utils.join(".")) {
                return Some(found);
            }
        }
        let path = rest.iter().fold(place, |dir, part| dir.join(part));
        file(&path).or_else(|| path.is_dir().then_some(Source::Folder))
    }
}

enum Source {
    /// In the library that every Python module has.
    Library,
    /// A directory without a text of its own.
    Folder,
    File {
        path: PathBuf,
        is_package: bool,
    },
    Redirect(String),
}

fn file(path: &Path) -> Option<Source> {
    let package = path.join("__init__.py");
    if package.is_file() {
        return Some(Source::File { path: package, is_package: true });
    }
    let module = PathBuf::from(format!("{}.py", path.display()));
    module.is_file().then_some(Source::File { path: module, is_package: false })
}

fn redirect(routes: &std::collections::HashMap<String, Route>, name: &str) -> Option<Source> {
    match routes.get(name)? {
        Route::To(to) if to.starts_with("ansible_collections.") || to.starts_with("ansible.") => {
            Some(Source::Redirect(to.clone()))
        }
        // `namespace.collection.name`
        Route::To(to) => {
            let mut parts = to.splitn(3, '.');
            let (namespace, collection, rest) = (parts.next()?, parts.next()?, parts.next()?);
            Some(Source::Redirect(format!(
                "ansible_collections.{namespace}.{collection}.plugins.module_utils.{rest}"
            )))
        }
        Route::Removed(_) => None,
    }
}

/// The text of a package that several zips share.
const EXTENDED: &str =
    "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n";

impl super::core::Core {
    /// The zip of what all modules have in common.
    pub(super) fn library(&self) -> Result<&Arc<Content>, String> {
        let made = self.common.get_or_init(|| {
            let mut files = BTreeMap::new();
            let top = format!("{EXTENDED}__version__ = '{}'\n__author__ = ''\n", self.version);
            files.insert("ansible/__init__.py".to_owned(), top.into_bytes());
            files.insert("ansible/modules/__init__.py".to_owned(), EXTENDED.into());
            collect(&self.package.join("module_utils"), "ansible/module_utils", &mut files, 0)?;
            files.insert("ansible/module_utils/__init__.py".to_owned(), EXTENDED.into());
            Ok(Arc::new(Content::new(archive::zip(&files))))
        });
        made.as_ref().map_err(Clone::clone)
    }
}

fn collect(
    dir: &Path,
    name: &str,
    files: &mut BTreeMap<String, Vec<u8>>,
    depth: usize,
) -> Result<(), String> {
    if depth > 20 {
        return Err(format!("`{}` is nested too deep", dir.display()));
    }
    for path in crate::inventory::sorted_entries(dir) {
        let Some(last) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.is_dir() {
            // What only PowerShell and C# use.
            if !matches!(last, "__pycache__" | "powershell" | "csharp") {
                collect(&path, &format!("{name}/{last}"), files, depth + 1)?;
            }
        } else if last.ends_with(".py") {
            let text = std::fs::read(&path)
                .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
            files.insert(format!("{name}/{last}"), text);
        }
    }
    Ok(())
}
