//! What a requirements file of `ansible-galaxy` asks for: roles and collections, and where they
//! come from.

use crate::fault::{Faults, LoadFault};
use crate::yaml::{self, Node};

/// Roles and collections that are wished for, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Roles.
    pub roles: Vec<Wish>,
    /// Collections.
    pub collections: Vec<Wish>,
    /// Other requirements files that this one includes, as they are written.
    pub includes: Vec<String>,
}

/// One role or collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The name it was given; for a role, the one it is installed under.
    pub name: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// The version: of a git repository, a branch, a tag or a commit.
    pub version: Option<String>,
}

/// Where a role or a collection comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or a folder of this computer, as it is written.
    Path(String),
    /// A git repository, and the folder in it.
    Git {
        /// What `git clone` is given.
        repository: String,
        /// A folder in it.
        folder: Option<String>,
    },
    /// An archive that a web server has.
    Web(String),
    /// A name that only a galaxy server knows.
    Galaxy(String),
}

/// What kind of thing a wish is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A role.
    Role,
    /// A collection.
    Collection,
}

impl Requirements {
    /// Reads a requirements file. An old one is a list of roles.
    ///
    /// # Errors
    /// All of its faults.
    pub fn parse(file: &str, text: &str) -> Result<Self, Faults> {
        let parsed = yaml::parse(file, text)?;
        let mut found = Self::default();
        let mut faults = Vec::new();
        for root in &parsed.documents {
            found.read(root, &mut faults);
        }
        Faults::check(faults)?;
        Ok(found)
    }

    fn read(&mut self, root: &Node, faults: &mut Vec<LoadFault>) {
        if let Some(roles) = root.as_seq() {
            self.read_list(Thing::Role, roles, faults);
        } else if let Some(entries) = root.as_map() {
            for (key, value) in entries {
                let thing = match key.as_str() {
                    Some("roles") => Thing::Role,
                    Some("collections") => Thing::Collection,
                    _ => {
                        let what = "only `roles` and `collections` are known here";
                        faults.push(LoadFault::at(key.at.clone(), what));
                        continue;
                    }
                };
                match value.as_seq() {
                    Some(items) => self.read_list(thing, items, faults),
                    None if value.is_null() => {}
                    None => faults.push(LoadFault::at(value.at.clone(), "this must be a list")),
                }
            }
        } else if !root.is_null() {
            let what = "a requirements file is a list of roles, or has `roles` and `collections`";
            faults.push(LoadFault::at(root.at.clone(), what));
        }
    }

    fn read_list(&mut self, thing: Thing, items: &[Node], faults: &mut Vec<LoadFault>) {
        for item in items {
            if let Some(file) = item.get("include").and_then(Node::scalar_text) {
                self.includes.push(file);
                continue;
            }
            match wish(thing, item) {
                Ok(wish) if thing == Thing::Role => self.roles.push(wish),
                Ok(wish) => self.collections.push(wish),
                Err(fault) => faults.push(fault),
            }
        }
    }
}

fn wish(thing: Thing, item: &Node) -> Result<Wish, LoadFault> {
    let fault = |what: &str| LoadFault::at(item.at.clone(), what);
    if let Some(text) = item.as_str() {
        return Wish::parse(thing, text).ok_or_else(|| fault("this names nothing"));
    }
    if item.as_map().is_none() {
        return Err(fault("this must be a name or a mapping"));
    }
    let text =
        |key: &str| item.get(key).and_then(Node::scalar_text).filter(|text| !text.is_empty());
    let (name, version) = (text("name"), text("version"));
    let version = version.filter(|version| version != "*");
    let from = match thing {
        Thing::Role => text("src").or_else(|| text("role")).or_else(|| name.clone()),
        Thing::Collection => text("source").filter(|_| text("type").is_some()).or(name.clone()),
    };
    let from = from.ok_or_else(|| match thing {
        Thing::Role => fault("a role needs `src` or `name`"),
        Thing::Collection => fault("a collection needs `name`"),
    })?;
    let told = text("type").or_else(|| text("scm"));
    let source = match told.as_deref() {
        Some("git") => git(&from),
        Some("file" | "dir" | "subdirs") => Source::Path(from),
        Some("url") => Source::Web(from),
        Some("galaxy") => Source::Galaxy(from),
        Some(other) => {
            return Err(fault(&format!("`{other}` is not known; use git, file, dir or url")));
        }
        None => source_of(thing, &from),
    };
    let name = name.filter(|name| thing == Thing::Role && source != Source::Galaxy(name.clone()));
    Ok(Wish { name, source, version })
}

impl Wish {
    /// Reads `SOURCE[,VERSION[,NAME]]`, or for a collection `SOURCE[:VERSION]`, as the command line
    /// has it. `None` when it is empty.
    pub fn parse(thing: Thing, text: &str) -> Option<Self> {
        let mut parts = text.split(',').map(str::trim);
        let from = parts.next().filter(|from| !from.is_empty())?;
        let given = |part: Option<&str>| part.filter(|part| !part.is_empty()).map(str::to_owned);
        let (mut version, name) = (given(parts.next()), given(parts.next()));
        let mut source = source_of(thing, from);
        if let (Thing::Collection, Source::Galaxy(named)) = (thing, &source)
            && let Some((named, wanted)) = named.split_once(':')
        {
            version = Some(wanted.to_owned());
            source = Source::Galaxy(named.to_owned());
        }
        Some(Self { name, source, version })
    }

    /// The name it is installed under where nothing else says one: what its address ends with.
    pub fn usual_name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let from = match &self.source {
            Source::Path(from) | Source::Web(from) | Source::Galaxy(from) => from,
            Source::Git { repository, .. } => repository,
        };
        let last = from.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or(from);
        let endings = [".git", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar"];
        let bare = endings.iter().find_map(|ending| last.strip_suffix(ending)).unwrap_or(last);
        bare.to_owned()
    }
}

fn source_of(thing: Thing, from: &str) -> Source {
    if let Some(repository) = from.strip_prefix("git+") {
        return git(repository);
    }
    if from.starts_with("git@") || from.starts_with("ssh://") {
        return git(from);
    }
    if let Some(path) = from.strip_prefix("file://") {
        return Source::Path(path.to_owned());
    }
    if from.starts_with("http://") || from.starts_with("https://") {
        // A role's repository needs no more than its address.
        return match from.ends_with(".git") && thing == Thing::Role {
            true => git(from),
            false => Source::Web(from.to_owned()),
        };
    }
    let is_path = from.contains('/')
        || from.starts_with('.')
        || from.contains(".tar")
        || from.ends_with(".tgz");
    match is_path {
        true => Source::Path(from.to_owned()),
        false => Source::Galaxy(from.to_owned()),
    }
}

/// A repository's address; `#/folder` at its end names a folder in it.
fn git(from: &str) -> Source {
    let from = from.strip_prefix("git+").unwrap_or(from);
    let (repository, folder) = match from.split_once('#') {
        Some((repository, folder)) => (repository, Some(folder.trim_matches('/').to_owned())),
        None => (from, None),
    };
    Source::Git { repository: repository.to_owned(), folder: folder.filter(|f| !f.is_empty()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(from: &str) -> Source {
        Source::Path(from.to_owned())
    }

    fn repository(repository: &str, folder: Option<&str>) -> Source {
        Source::Git { repository: repository.to_owned(), folder: folder.map(str::to_owned) }
    }

    #[test]
    fn both_forms_of_requirements_files_are_read() {
        let old = "- src: git+https://host/ansible-role-web.git\n  version: v1\n- geerlingguy.nginx\n- include: more.yml\n";
        let read = Requirements::parse("r.yml", old).unwrap();
        assert_eq!(read.roles[0].source, repository("https://host/ansible-role-web.git", None));
        assert_eq!(read.roles[0].version.as_deref(), Some("v1"));
        assert_eq!(read.roles[0].usual_name(), "ansible-role-web");
        assert_eq!(read.roles[1].source, Source::Galaxy("geerlingguy.nginx".to_owned()));
        assert_eq!(read.includes, ["more.yml"]);

        let new = "roles:\n  - name: web\n    src: ./web.tar.gz\ncollections:\n  - community.general\n  \
                   - name: https://host/c.git#/sub/\n    type: git\n    version: main\n  - name: ./c-1.0.0.tar.gz\n    \
                   type: file\n  - name: a.b\n    version: '*'\n";
        let read = Requirements::parse("r.yml", new).unwrap();
        assert_eq!(read.roles[0].source, path("./web.tar.gz"));
        assert_eq!(read.roles[0].usual_name(), "web");
        let sources: Vec<Source> = read.collections.iter().map(|w| w.source.clone()).collect();
        assert_eq!(
            sources,
            [
                Source::Galaxy("community.general".to_owned()),
                repository("https://host/c.git", Some("sub")),
                path("./c-1.0.0.tar.gz"),
                Source::Galaxy("a.b".to_owned()),
            ]
        );
        assert_eq!(read.collections[3].version, None);
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let faults = Requirements::parse("r.yml", "rolls: []\nroles:\n  - {version: 1}\n  - 5\n");
        let told = faults.unwrap_err().to_string();
        assert_eq!(
            told,
            "r.yml:1:1: only `roles` and `collections` are known here\n\
             r.yml:3:5: a role needs `src` or `name`\n\
             r.yml:4:5: this must be a name or a mapping"
        );
    }

    #[test]
    fn the_command_line_names_versions_and_names() {
        let role = Wish::parse(Thing::Role, "git+ssh://git@host/x.git,main,web").unwrap();
        assert_eq!(role.source, repository("ssh://git@host/x.git", None));
        assert_eq!((role.version.as_deref(), role.usual_name()), (Some("main"), "web".to_owned()));
        let collection = Wish::parse(Thing::Collection, "a.b:1.2.3").unwrap();
        assert_eq!(collection.source, Source::Galaxy("a.b".to_owned()));
        assert_eq!(collection.version.as_deref(), Some("1.2.3"));
        assert_eq!(Wish::parse(Thing::Role, " "), None);
        assert_eq!(Wish::parse(Thing::Role, "/srv/roles/web.tar").unwrap().usual_name(), "web");
    }
}
