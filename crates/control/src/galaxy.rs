//! Installing roles and collections, as `ansible-galaxy` does it, from files, folders and git.
//!
//! Each comes whole or not at all: it is unpacked beside its place, looked at, and renamed.

use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use updraft_base::{Blame, Blamed, Digest};
use updraft_host::{Cmd, Host as _, HostError, LocalHost};
use updraft_playbook::galaxy::{Requirements, Source, Thing, Wish};
use updraft_playbook::{Faults, yaml};

/// How long fetching one archive or repository may take.
const FETCH: Duration = Duration::from_secs(600);

/// What is to be installed, and where.
#[derive(Clone, Debug)]
pub struct GalaxyWish {
    /// Requirements files.
    pub requirements: Vec<PathBuf>,
    /// Roles that the command line names.
    pub roles: Vec<String>,
    /// Collections that the command line names.
    pub collections: Vec<String>,
    /// The folder that takes roles.
    pub roles_path: PathBuf,
    /// The folder that holds `ansible_collections`.
    pub collections_path: PathBuf,
    /// Replace what is there.
    pub force: bool,
    /// Of requirements files, only what this is.
    pub only: Option<Thing>,
}

/// What became of one wish.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Installed {
    /// `role` or `collection`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its version, where it says one.
    pub version: Option<String>,
    /// Where it is.
    pub path: PathBuf,
    /// It was there already.
    pub already: bool,
    /// Names of what it depends on and is not there.
    pub missing: Vec<String>,
}

/// Why something could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum GalaxyError {
    /// A requirements file has faults.
    #[error("{0}")]
    Requirements(Faults),
    /// A file could not be read or written.
    #[error("cannot {act} `{}`", .path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A program failed, or is not there.
    #[error("cannot get `{from}`")]
    Fetch {
        /// Where it should have come from.
        from: String,
        /// The cause.
        source: HostError,
    },
    /// A program said why not.
    #[error("cannot get `{from}`: {said}")]
    Refused {
        /// Where it should have come from.
        from: String,
        /// The end of what it said.
        said: String,
    },
    /// Only a galaxy server has it.
    #[error("`{0}` is a name that only a galaxy server knows")]
    Server(String),
    /// What came is not what was asked for.
    #[error("`{from}` is no {kind}: {why}")]
    NotOne {
        /// Where it came from.
        from: String,
        /// `role` or `collection`.
        kind: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl Blamed for GalaxyError {
    fn blame(&self) -> Blame {
        match self {
            Self::Requirements(_) | Self::Server(_) | Self::NotOne { .. } => Blame::Asked,
            Self::File { .. } | Self::Refused { .. } => Blame::World,
            Self::Fetch { source, .. } => source.blame(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Server(name) => Some(format!(
                "fetch its archive (`ansible-galaxy collection download {name}`, or the role's \
                 repository) and name that: a file, a folder or git+https://…"
            )),
            Self::Fetch { source, .. } => source.hint(),
            _ => None,
        }
    }
}

fn fault(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GalaxyError {
    let path = path.to_owned();
    move |source| GalaxyError::File { act, path, source }
}

/// Installs everything that is wished for, in order, and tells each as it is done. Roles that a
/// role depends on come with it where they say where they come from.
///
/// # Errors
/// At the first that cannot be installed. What was installed before it stays.
pub async fn galaxy_install(
    wish: &GalaxyWish,
    tell: &mut (dyn FnMut(&Installed) + Send),
) -> Result<(), GalaxyError> {
    let mut waiting: VecDeque<(Thing, Wish, PathBuf)> = VecDeque::new();
    for file in &wish.requirements {
        let read = read_requirements(file)?.into_iter();
        waiting.extend(read.filter(|(thing, ..)| wish.only.is_none_or(|only| only == *thing)));
    }
    let named = wish.roles.iter().map(|role| (Thing::Role, role));
    let named = named.chain(wish.collections.iter().map(|name| (Thing::Collection, name)));
    for (thing, text) in named {
        let asked = Wish::parse(thing, text).ok_or_else(|| GalaxyError::Server(text.clone()))?;
        waiting.push_back((thing, asked, PathBuf::new()));
    }
    while let Some((thing, asked, folder)) = waiting.pop_front() {
        let done = match thing {
            Thing::Role => {
                let (done, more) = role(wish, &asked, &folder).await?;
                waiting.extend(more.into_iter().map(|more| (Thing::Role, more, PathBuf::new())));
                done
            }
            Thing::Collection => collection(wish, &asked, &folder).await?,
        };
        tell(&done);
    }
    Ok(())
}

/// All wishes of a requirements file and of those it includes, each with the folder that relative
/// paths begin at.
fn read_requirements(file: &Path) -> Result<Vec<(Thing, Wish, PathBuf)>, GalaxyError> {
    let mut found = Vec::new();
    let mut files = vec![file.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(file) = files.pop() {
        // Files that include each other are read once.
        if !seen.insert(fs::canonicalize(&file).map_err(fault("read", &file))?) {
            continue;
        }
        let text = fs::read_to_string(&file).map_err(fault("read", &file))?;
        let read = Requirements::parse(&file.display().to_string(), &text);
        let read = read.map_err(GalaxyError::Requirements)?;
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        files.extend(read.includes.iter().map(|more| folder.join(more)));
        let roles = read.roles.into_iter().map(|role| (Thing::Role, role, folder.clone()));
        found.extend(roles);
        let collections = read.collections.into_iter();
        found.extend(collections.map(|wish| (Thing::Collection, wish, folder.clone())));
    }
    Ok(found)
}

/// A folder that is removed when it is dropped, on the file system of what is installed.
struct Beside(PathBuf);

impl Beside {
    fn new(parent: &Path) -> Result<Self, GalaxyError> {
        fs::create_dir_all(parent).map_err(fault("make", parent))?;
        let name = format!(".updraft-new-{}", std::process::id());
        let path = parent.join(name);
        // Left behind by a process of the same number that was killed.
        fs::remove_dir_all(&path).ok();
        fs::create_dir(&path).map_err(fault("make", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // What is left has a name of ours and is in nobody's way.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Brings what a wish names into `into`: the folder where it lies then, and what it was.
async fn fetch(wish: &Wish, folder: &Path, into: &Path) -> Result<PathBuf, GalaxyError> {
    match &wish.source {
        Source::Galaxy(name) => Err(GalaxyError::Server(name.clone())),
        Source::Path(path) => {
            let path = folder.join(path);
            if path.is_dir() {
                let to = into.join("folder");
                let cmd = Cmd::new("cp").args(["-a", "--"]).arg(&path).arg(&to);
                run(cmd, &path.display().to_string()).await?;
                // Its history is not part of it.
                fs::remove_dir_all(to.join(".git")).ok();
                return Ok(to);
            }
            unpack(&path, into).await
        }
        Source::Web(address) => {
            let file = into.join("archive.tar.gz");
            let cmd = Cmd::new("curl").args(["--fail", "--silent", "--show-error", "--location"]);
            run(cmd.arg("--output").arg(&file).arg("--").arg(address), address).await?;
            unpack(&file, into).await
        }
        Source::Git { repository, folder: within } => {
            let to = into.join("repository");
            let here = folder.join(repository);
            let from = if here.is_dir() { here.into_os_string() } else { repository.into() };
            let clone = Cmd::new("git").args(["clone", "--quiet", "--"]).arg(from).arg(&to);
            run(clone, repository).await?;
            if let Some(version) = &wish.version {
                let cmd = Cmd::new("git").arg("-C").arg(&to).args(["checkout", "--quiet"]);
                run(cmd.arg(version).arg("--"), repository).await?;
            }
            fs::remove_dir_all(to.join(".git")).ok();
            Ok(within.as_ref().map_or(to.clone(), |within| to.join(within)))
        }
    }
}

async fn unpack(archive: &Path, into: &Path) -> Result<PathBuf, GalaxyError> {
    let from = archive.display().to_string();
    fs::metadata(archive).map_err(fault("read", archive))?;
    let to = into.join("archive");
    fs::create_dir(&to).map_err(fault("make", &to))?;
    let cmd = Cmd::new("tar").args(["--extract", "--no-same-owner", "--file"]).arg(archive);
    run(cmd.arg("--directory").arg(&to), &from).await?;
    // tar keeps to its folder; a link may still point out of it.
    refuse_links_out(&to, &to, &from)?;
    Ok(to)
}

async fn run(cmd: Cmd, from: &str) -> Result<(), GalaxyError> {
    let ran = LocalHost.run(cmd.within(FETCH).accept_all()).await;
    let ran = ran.map_err(|source| GalaxyError::Fetch { from: from.to_owned(), source })?;
    match ran.status {
        0 => Ok(()),
        _ => Err(GalaxyError::Refused { from: from.to_owned(), said: ran.stderr_tail() }),
    }
}

fn refuse_links_out(root: &Path, folder: &Path, from: &str) -> Result<(), GalaxyError> {
    for entry in fs::read_dir(folder).map_err(fault("read", folder))? {
        let path = entry.map_err(fault("read", folder))?.path();
        let kind = fs::symlink_metadata(&path).map_err(fault("read", &path))?;
        if kind.is_dir() {
            refuse_links_out(root, &path, from)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(fault("read", &path))?;
            let depth = path.strip_prefix(root).map_or(0, |below| below.components().count() - 1);
            if leads_out(&target, depth) {
                let why = format!("its link `{}` leads out of it", path.display());
                return Err(GalaxyError::NotOne { from: from.to_owned(), kind: "archive", why });
            }
        }
    }
    Ok(())
}

/// Whether a link that lies so many folders deep leads above the first of them.
fn leads_out(target: &Path, depth: usize) -> bool {
    let mut depth = depth;
    for part in target.components() {
        match part {
            Component::Prefix(_) | Component::RootDir => return true,
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
        }
    }
    false
}

/// Puts what was brought in its place, all at once.
fn put(from: &Path, to: &Path, beside: &Path) -> Result<(), GalaxyError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(fault("make", parent))?;
    }
    if fs::symlink_metadata(to).is_ok() {
        fs::rename(to, beside.join("old")).map_err(fault("replace", to))?;
    }
    fs::rename(from, to).map_err(fault("write", to))
}

/// The folder that holds `file`, at most two folders deep: archives have one around everything.
fn holding(folder: &Path, files: &[&str]) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    if let Ok(entries) = fs::read_dir(folder) {
        let mut inner: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        inner.sort();
        folders.extend(inner.into_iter().filter(|path| path.is_dir()));
    }
    folders.into_iter().find(|folder| files.iter().any(|file| folder.join(file).exists()))
}

fn read_yaml(path: &Path) -> Option<yaml::Node> {
    let text = fs::read_to_string(path).ok()?;
    yaml::parse(&path.display().to_string(), &text).ok()?.documents.into_iter().next()
}

async fn role(
    wish: &GalaxyWish,
    asked: &Wish,
    folder: &Path,
) -> Result<(Installed, Vec<Wish>), GalaxyError> {
    let name = asked.usual_name();
    let place = wish.roles_path.join(&name);
    let version = asked.version.clone();
    let done = |already| Installed {
        kind: "role",
        name: name.clone(),
        version: version.clone(),
        path: place.clone(),
        already,
        missing: Vec::new(),
    };
    if place.exists() && !wish.force {
        return Ok((done(true), Vec::new()));
    }
    let beside = Beside::new(&wish.roles_path)?;
    let brought = fetch(asked, folder, &beside.0).await?;
    let files = ["meta/main.yml", "meta/main.yaml", "tasks/main.yml", "tasks/main.yaml"];
    let found = holding(&brought, &files).ok_or_else(|| GalaxyError::NotOne {
        from: name.clone(),
        kind: "role",
        why: "it has neither meta/main.yml nor tasks/main.yml".to_owned(),
    })?;
    let (more, missing) = dependencies(&found);
    put(&found, &place, &beside.0)?;
    Ok((Installed { missing, ..done(false) }, more))
}

/// What a role depends on: what can be fetched, and names of what cannot.
fn dependencies(role: &Path) -> (Vec<Wish>, Vec<String>) {
    let meta = ["meta/main.yml", "meta/main.yaml"].map(|file| role.join(file));
    let Some(meta) = meta.iter().find_map(|path| read_yaml(path)) else {
        return Default::default();
    };
    let meta = meta.to_value().to_json();
    let listed = meta["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
    let (mut more, mut missing) = (Vec::new(), Vec::new());
    for dependency in listed {
        let text = |key: &str| dependency[key].as_str().map(str::to_owned);
        let from = dependency.as_str().map(str::to_owned).or_else(|| text("src"));
        let Some(wish) = from.as_deref().and_then(|from| Wish::parse(Thing::Role, from)) else {
            missing.extend(text("role").or_else(|| text("name")));
            continue;
        };
        match wish.source {
            Source::Galaxy(name) => missing.push(name),
            _ => more.push(Wish {
                name: text("name").or(wish.name.clone()),
                version: text("version").or(wish.version.clone()),
                ..wish
            }),
        }
    }
    (more, missing)
}

async fn collection(
    wish: &GalaxyWish,
    asked: &Wish,
    folder: &Path,
) -> Result<Installed, GalaxyError> {
    let root = wish.collections_path.join("ansible_collections");
    if let Source::Galaxy(name) = &asked.source {
        // One that is there needs no server.
        if let Some((namespace, short)) = name.split_once('.')
            && let place = root.join(namespace).join(short)
            && place.is_dir()
        {
            return Ok(Installed {
                kind: "collection",
                name: name.clone(),
                version: asked.version.clone(),
                path: place,
                already: true,
                missing: Vec::new(),
            });
        }
        return Err(GalaxyError::Server(name.clone()));
    }
    let beside = Beside::new(&root)?;
    let brought = fetch(asked, folder, &beside.0).await?;
    let from = asked.usual_name();
    let not_one = |why: &str| GalaxyError::NotOne {
        from: from.clone(),
        kind: "collection",
        why: why.to_owned(),
    };
    let found = holding(&brought, &["MANIFEST.json", "galaxy.yml", "galaxy.yaml"])
        .ok_or_else(|| not_one("it has neither MANIFEST.json nor galaxy.yml"))?;
    let told = match fs::read(found.join("MANIFEST.json")) {
        Ok(bytes) => {
            let manifest: Value = serde_json::from_slice(&bytes)
                .map_err(|error| not_one(&format!("MANIFEST.json cannot be read: {error}")))?;
            check_files(&found, &manifest).map_err(|why| not_one(&why))?;
            manifest["collection_info"].clone()
        }
        Err(_) => {
            let files = ["galaxy.yml", "galaxy.yaml"].map(|file| found.join(file));
            let node = files.iter().find_map(|path| read_yaml(path));
            let node = node.ok_or_else(|| not_one("galaxy.yml cannot be read"))?;
            node.to_value().to_json()
        }
    };
    let text = |key: &str| told[key].as_str().filter(|text| is_word(text)).map(str::to_owned);
    let (Some(namespace), Some(short)) = (text("namespace"), text("name")) else {
        return Err(not_one("it does not say its namespace and name"));
    };
    let version = told["version"].as_str().map(str::to_owned);
    let place = root.join(&namespace).join(&short);
    let missing = told["dependencies"].as_object().map(|needs| {
        let there =
            |name: &str| name.split_once('.').is_some_and(|(a, b)| root.join(a).join(b).is_dir());
        needs.keys().filter(|name| !there(name)).cloned().collect()
    });
    let already = place.exists() && !wish.force;
    if !already {
        put(&found, &place, &beside.0)?;
    }
    Ok(Installed {
        kind: "collection",
        name: format!("{namespace}.{short}"),
        version,
        path: place,
        already,
        missing: missing.unwrap_or_default(),
    })
}

/// A name that is safe as a folder's.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Holds an archive's files against the sums that it brings with it.
fn check_files(folder: &Path, manifest: &Value) -> Result<(), String> {
    let sum = |path: &Path| fs::read(path).map(|bytes| Digest::of(&bytes).to_string());
    let check = |name: &str, wanted: &str| match sum(&folder.join(name)) {
        Ok(found) if found == wanted => Ok(()),
        Ok(_) => Err(format!("`{name}` is not the file that its manifest names")),
        Err(error) => Err(format!("`{name}` cannot be read: {error}")),
    };
    let list = &manifest["file_manifest_file"];
    let list_name = list["name"].as_str().unwrap_or("FILES.json");
    let wanted = list["chksum_sha256"].as_str().ok_or("MANIFEST.json has no sum of FILES.json")?;
    check(list_name, wanted)?;
    let listed = fs::read(folder.join(list_name)).map_err(|error| error.to_string())?;
    let listed: Value = serde_json::from_slice(&listed).map_err(|error| error.to_string())?;
    for file in listed["files"].as_array().into_iter().flatten() {
        if let (Some(name), Some(wanted)) = (file["name"].as_str(), file["chksum_sha256"].as_str())
        {
            check(name, wanted)?;
        }
    }
    Ok(())
}
