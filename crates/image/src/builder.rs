//! Building an image: packages to a system, the system to a filesystem, that to a disk.
//!
//! As root the tools run directly. Otherwise they run in a user namespace in which we are root:
//! file owners are right inside the filesystem all the same, and nothing is ever mounted.

use crate::archive::{Entry, tar};
use crate::draft::Begun;
use crate::recipe::{all_packages, is_ubuntu};
use crate::{
    Agent, Facts, Image, ImageError, Origin, Recipe, Store, guest, import, initrd, sources, watch,
};
use std::path::{Path, PathBuf};
use std::time::Duration;
use updraft_base::{ByteSize, Digest, ImageName};
use updraft_host::{Cmd, HostError};

/// Receives one line for people at each stage of a build, and the tools' own lines in between.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// What a build of our own base takes at most: system, archive, raw disk and qcow2 side by side
/// came to 1.7 GiB with 150 packages (measured 2026-11-21).
const ROOM: ByteSize = ByteSize::gib(3);

/// A tool that prints nothing for so long has lost its mirror: the longest silence of a good
/// build, on a busy emulated machine, was 20 s.
const IDLE: Duration = Duration::from_secs(300);

/// For a tool that works on local files and prints nothing.
pub(crate) const LOCAL_WORK: Duration = Duration::from_secs(600);

/// For waiting until another process has built the same image.
pub(crate) const OTHERS_WORK: Duration = Duration::from_secs(3600);

impl Store {
    /// The image of a recipe: built, unless it is there or somebody else is building it already.
    ///
    /// A layer cannot be built here: it takes a machine. See [`Store::begin`].
    ///
    /// # Errors
    /// When a tool is missing or fails, or there is too little room. Nothing half made is ever
    /// found in the store; what was begun is discarded.
    pub async fn build(
        &self,
        recipe: &Recipe,
        agent: &Agent,
        progress: Progress<'_>,
    ) -> Result<Image, ImageError> {
        let draft = match self.begin(recipe, agent, progress).await? {
            Begun::There(image) => return Ok(image),
            Begun::Draft(draft) => draft,
        };
        let dir = draft.dir().to_owned();
        let work = Work { store: self, name: &recipe.name, progress, dir: &dir };
        let built = match &recipe.origin {
            Origin::Bootstrap { .. } => Build { work, recipe, agent }.run().await,
            Origin::Import { .. } => import::run(&work, recipe, agent).await,
            Origin::Layer { .. } => Err(work.content("a layer is made inside a machine")),
        };
        let image = draft.end(built).await?;
        let facts = &image.facts;
        let inside = match facts.packages {
            0 => String::new(),
            packages => format!("{packages} packages, "),
        };
        progress(&format!("image {} is ready: {inside}{} stored", recipe.name, facts.stored));
        Ok(image)
    }
}

/// What every kind of build works with.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) store: &'a Store,
    pub(crate) name: &'a ImageName,
    pub(crate) progress: Progress<'a>,
    /// The draft's directory.
    pub(crate) dir: &'a Path,
}

impl Work<'_> {
    pub(crate) fn content(&self, what: impl Into<String>) -> ImageError {
        ImageError::Content { image: self.name.clone(), what: what.into() }
    }

    /// Refuses to begin without this much room.
    pub(crate) async fn need_room(&self, needed: ByteSize) -> Result<(), ImageError> {
        let free = self.store.host.free_space(self.dir).await?;
        if free < needed {
            return Err(ImageError::Space {
                image: self.name.clone(),
                needed,
                free: ByteSize::mib(free.as_bytes() >> 20),
                path: self.store.root.clone(),
            });
        }
        Ok(())
    }

    pub(crate) async fn tool(
        &self,
        stage: &'static str,
        cmd: Cmd,
    ) -> Result<updraft_host::CmdOutput, ImageError> {
        let ran = self.store.host.run(cmd).await;
        ran.map_err(|source| ImageError::Build { image: self.name.clone(), stage, source })
    }

    /// Runs a tool that talks while it works, for as long as it talks.
    pub(crate) async fn watched(&self, stage: &'static str, cmd: Cmd) -> Result<(), ImageError> {
        let image = self.name.clone();
        watch::run(self.store.host.as_ref(), cmd, IDLE, self.progress).await.map_err(
            |how| match how {
                watch::Fault::Lost(source) => ImageError::Build { image, stage, source },
                watch::Fault::Stuck { said } => {
                    ImageError::Stuck { image, stage, idle: IDLE, said }
                }
                watch::Fault::Ended { status, said } => {
                    ImageError::Tool { image, stage, status, said }
                }
            },
        )
    }

    pub(crate) async fn digest_of(&self, path: &Path) -> Result<Digest, ImageError> {
        let cmd = Cmd::new("sha256sum").arg("--").arg(path).within(LOCAL_WORK);
        let text = self.tool("reading a file back", cmd).await?.text();
        // sha256sum(1) puts a backslash first when the name holds odd characters.
        let word = text.split_whitespace().next().map(|word| word.trim_start_matches('\\'));
        let digest = word.and_then(|word| word.parse().ok());
        digest.ok_or_else(|| self.content(format!("sha256sum answered `{text}`")))
    }

    /// What a directory takes on the disk.
    pub(crate) async fn stored(&self, dir: &Path) -> Result<ByteSize, ImageError> {
        let cmd = Cmd::new("du").args(["-s", "--block-size=1M", "--"]).arg(dir);
        let text = self.tool("measuring the image", cmd).await?.text();
        let mib = text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        Ok(ByteSize::mib(mib))
    }
}

struct Build<'a> {
    work: Work<'a>,
    recipe: &'a Recipe,
    agent: &'a Agent,
}

impl Build<'_> {
    async fn run(&self) -> Result<Facts, ImageError> {
        self.work.need_room(ROOM).await?;
        let root = self.is_root().await?;
        self.check_tools(root).await?;
        let archive = self.base(root).await?;
        let tree = self.unpack(&archive, root).await?;
        let image = self.work.dir.join("image");
        self.work.store.host.make_dir(&image, 0o755).await?;
        let kernel = self.kernel(&archive, &tree, &image).await?;
        let (packages, package_list) = self.packages(&tree).await?;
        let disk = self.disk(&tree, &image, root).await?;
        let content = self.work.digest_of(&image.join("disk.qcow2")).await?;
        let stored = self.work.stored(&image).await?;
        // Here rather than with everything else: in a user namespace its files belong to others.
        let remove = Cmd::new("rm").args(["-rf", "--"]).arg(&tree).within(LOCAL_WORK);
        self.work.tool("removing the unpacked system", inside(remove, root)).await?;
        Ok(Facts {
            version: 1,
            recipe: self.recipe.clone(),
            agent: Some(self.agent.digest),
            created: self.work.store.clock.now(),
            disk,
            stored,
            content,
            kernel,
            packages,
            package_list: Some(package_list),
            firmware: None,
            removed: Vec::new(),
            cmdline: Store::cmdline(),
        })
    }

    /// All of them before the first minute is spent.
    async fn check_tools(&self, root: bool) -> Result<(), ImageError> {
        if !root {
            // It gives a user namespace more than one user; asked nothing, it only complains.
            let cmd = Cmd::new("newuidmap").accept_all();
            self.work.tool("looking for the tools", cmd).await?;
        }
        for (tool, version) in [
            ("mmdebstrap", "--version"),
            ("mke2fs", "-V"),
            ("qemu-img", "--version"),
            ("tar", "--version"),
            ("sha256sum", "--version"),
        ] {
            self.work.tool("looking for the tools", Cmd::new(tool).arg(version)).await?;
        }
        Ok(())
    }

    async fn is_root(&self) -> Result<bool, ImageError> {
        Ok(self.work.tool("asking who we are", Cmd::new("id").arg("-u")).await?.text() == "0")
    }

    /// The archive of the system: fetched and installed once for all images that hold the same
    /// packages, however often the agent inside changes.
    async fn base(&self, root: bool) -> Result<PathBuf, ImageError> {
        let store = self.work.store;
        let digest = self.recipe.base_digest().expect("a bootstrap has a base");
        let base = store.base_dir(digest);
        let archive = base.join("root.tar");
        let is_there = async || -> Result<bool, ImageError> {
            Ok(store.host.list(&base).await?.iter().any(|name| name == "root.tar"))
        };
        if is_there().await? {
            return Ok(archive);
        }
        let command = format!("installing the packages of image {}", self.recipe.name);
        let waiting = |_: Option<&updraft_host::Holder>| {
            (self.work.progress)(
                "waiting for the same packages, being installed for another image",
            );
        };
        let _lock = store.lock(digest, &command, OTHERS_WORK, &waiting).await?;
        if is_there().await? {
            return Ok(archive);
        }
        let dir = self.work.dir.join("base");
        store.host.make_dir(&dir, 0o755).await?;
        self.bootstrap(root, &dir.join("root.tar")).await?;
        store.host.make_dir(&store.root.join("bases"), 0o755).await?;
        store.host.publish(&dir, &base).await?;
        Ok(archive)
    }

    async fn bootstrap(&self, root: bool, archive: &Path) -> Result<(), ImageError> {
        const STAGE: &str = "fetching and installing packages";
        let Origin::Bootstrap { bootstrap, packages, mirror } = &self.recipe.origin else {
            return Err(self.work.content("it is no bootstrap"));
        };
        let packages = all_packages(bootstrap, packages)?;
        (self.work.progress)(&format!(
            "fetching and installing {} packages of {bootstrap} and what they need",
            packages.len(),
        ));
        let mut cmd = Cmd::new("mmdebstrap")
            .arg(if root { "--mode=root" } else { "--mode=unshare" })
            .args(["--variant=minbase", "--format=tar", "--verbose"])
            .arg("--aptopt=Apt::Install-Recommends \"false\"")
            .args(guest::DPKG.iter().map(|option| format!("--dpkgopt={option}")))
            .arg(format!("--include={}", packages.join(",")))
            // The hooks of initramfs-tools honour it; nobody would use the result.
            .env("INITRD", "No")
            .env("TMPDIR", self.work.dir);
        for proxy in self.proxies().await? {
            cmd = cmd.arg(format!("--aptopt={proxy}"));
        }
        if is_ubuntu(bootstrap) {
            cmd = cmd.arg("--components=main,universe");
        }
        cmd = cmd.arg(bootstrap).arg(archive);
        match mirror {
            Some(mirror) => cmd = cmd.arg(mirror),
            None => {
                let lines = sources::serving(&self.lists().await?, bootstrap);
                if !lines.is_empty() {
                    cmd = cmd.arg("-").stdin(lines.join("\n") + "\n");
                }
            }
        }
        self.work.watched(STAGE, cmd).await
    }

    /// Settings for apt by which this computer's own apt gets out.
    async fn proxies(&self) -> Result<Vec<String>, ImageError> {
        let asked = Cmd::new("apt-config").args([
            "dump",
            "--no-empty",
            "--format=%f \"%v\";%n",
            "Acquire::http::Proxy",
            "Acquire::https::Proxy",
        ]);
        match self.work.store.host.run(asked).await {
            Ok(out) => Ok(out.text().lines().map(str::to_owned).collect()),
            // Not a Debian: then there is nothing to take over.
            Err(HostError::Missing { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// The contents of apt's source lists.
    async fn lists(&self) -> Result<Vec<String>, ImageError> {
        let parts = Path::new("/etc/apt/sources.list.d");
        let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
        for name in self.work.store.host.list(parts).await? {
            if name.ends_with(".list") || name.ends_with(".sources") {
                paths.push(parts.join(name));
            }
        }
        let mut lists = Vec::new();
        for path in paths {
            let bytes = self.work.store.host.read(&path).await?;
            lists.extend(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        }
        Ok(lists)
    }

    /// Unpacks the system and lays our own files over it.
    async fn unpack(&self, archive: &Path, root: bool) -> Result<PathBuf, ImageError> {
        const STAGE: &str = "unpacking the system";
        (self.work.progress)("making the disk");
        let tree = self.work.dir.join("tree");
        self.work.store.host.make_dir(&tree, 0o755).await?;
        let unpack = || {
            let cmd = Cmd::new("tar").arg("-C").arg(&tree).args(["-xp", "--numeric-owner"]);
            cmd.args(["--xattrs", "--xattrs-include=*"]).within(LOCAL_WORK)
        };
        let left_out = guest::LEFT_OUT.iter().map(|path| format!("--exclude={path}"));
        let cmd = unpack().args(left_out).arg("-f").arg(archive);
        self.work.tool(STAGE, inside(cmd, root)).await?;
        let agent = self.work.store.host.read(&self.agent.binary).await?;
        let agent = agent.filter(|bytes| Digest::of(bytes) == self.agent.digest);
        let Some(agent) = agent else {
            return Err(ImageError::NoAgent(self.agent.binary.clone()));
        };
        let mut files = guest::files();
        files.push(Entry::file(guest::AGENT, 0o755, agent));
        let cmd = unpack().args(["-f", "-"]).stdin(tar(&files));
        self.work.tool(STAGE, inside(cmd, root)).await?;
        Ok(tree)
    }

    /// Puts kernel and initial RAM disk beside the disk; returns the kernel's version.
    async fn kernel(
        &self,
        archive: &Path,
        tree: &Path,
        image: &Path,
    ) -> Result<String, ImageError> {
        const STAGE: &str = "packing the initial RAM disk";
        let content = |what: String| self.work.content(what);
        let versions = self.work.store.host.list(&tree.join("usr/lib/modules")).await?;
        let [version] = versions.as_slice() else {
            return Err(content(format!(
                "{} kernels are installed instead of one",
                versions.len()
            )));
        };
        // `./boot` is not unpacked, so the kernel is taken from the archive.
        let member = format!("./boot/vmlinuz-{version}");
        let cmd = Cmd::new("tar").arg("-xOf").arg(archive).arg("--").arg(&member);
        let kernel = self.work.tool(STAGE, cmd.within(LOCAL_WORK)).await?.stdout;
        self.work.store.host.write_atomic(&image.join("vmlinuz"), &kernel, 0o644).await?;

        let modules_dir = tree.join("usr/lib/modules").join(version);
        let read = async |path: PathBuf| -> Result<Vec<u8>, ImageError> {
            let bytes = self.work.store.host.read(&path).await?;
            bytes.ok_or_else(|| content(format!("`{}` is missing", path.display())))
        };
        let text = async |name: &str| -> Result<String, ImageError> {
            Ok(String::from_utf8_lossy(&read(modules_dir.join(name)).await?).into_owned())
        };
        let (dep, builtin) = (text("modules.dep").await?, text("modules.builtin").await?);
        let mut modules = Vec::new();
        for file in initrd::modules_for(initrd::DRIVERS, &dep, &builtin).map_err(content)? {
            let packed = read(modules_dir.join(&file)).await?;
            let name = file.rsplit('/').next().unwrap_or(&file).to_owned();
            // busybox loads plain modules only.
            let unpacker = match name.rsplit('.').next() {
                Some("xz") => Some("xz"),
                Some("zst") => Some("zstd"),
                _ => None,
            };
            let plain = match unpacker {
                None => packed,
                Some(tool) => {
                    self.work.tool(STAGE, Cmd::new(tool).arg("-dc").stdin(packed)).await?.stdout
                }
            };
            let stem = name.split(".ko").next().unwrap_or(&name);
            modules.push((format!("{stem}.ko"), plain));
        }
        let busybox = read(tree.join("usr/bin/busybox")).await;
        let busybox = match busybox {
            Err(ImageError::Content { .. }) => read(tree.join("bin/busybox")).await?,
            other => other?,
        };
        let packed = initrd::pack(busybox, modules);
        self.work.store.host.write_atomic(&image.join("initrd"), &packed, 0o644).await?;
        Ok(version.clone())
    }

    async fn packages(&self, tree: &Path) -> Result<(u32, Digest), ImageError> {
        let status = self.work.store.host.read(&tree.join("var/lib/dpkg/status")).await?;
        let list = package_list(&String::from_utf8_lossy(&status.unwrap_or_default()));
        Ok((u32::try_from(list.len()).unwrap_or(u32::MAX), Digest::of(list.join("\n"))))
    }

    /// Makes the filesystem and the disk; returns the size that a guest sees.
    async fn disk(&self, tree: &Path, image: &Path, root: bool) -> Result<ByteSize, ImageError> {
        const STAGE: &str = "making the filesystem";
        let cmd = Cmd::new("du").args(["-s", "--block-size=1M", "--"]).arg(tree);
        let used = self.work.tool(STAGE, inside(cmd.within(LOCAL_WORK), root)).await?.text();
        let used: u64 = used.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        // Room to work in before it is grown, in whole GiB; it costs nothing until it is written.
        let size = ByteSize::gib((used * 3 / 2).div_ceil(1024).max(2));
        let raw = self.work.dir.join("root.raw");
        let cmd = Cmd::new("mke2fs")
            .args(["-q", "-t", "ext4", "-L", "root", "-m", "1", "-d"])
            .arg(tree)
            .arg("--")
            .arg(&raw)
            .arg(format!("{}M", size.as_mib()))
            .within(LOCAL_WORK);
        self.work.tool(STAGE, inside(cmd, root)).await?;
        let cmd = Cmd::new("qemu-img")
            .args(["convert", "-f", "raw", "-O", "qcow2", "--"])
            .arg(&raw)
            .arg(image.join("disk.qcow2"))
            .within(LOCAL_WORK);
        self.work.tool("making the disk", cmd).await?;
        self.work.store.host.remove(&raw).await?;
        Ok(size)
    }
}

/// Runs a tool as the one who owns the unpacked files.
fn inside(cmd: Cmd, root: bool) -> Cmd {
    if root {
        return cmd;
    }
    cmd.wrapped("unshare", &["--map-root-user", "--map-auto", "--"])
}

/// `name version` of each installed package, sorted, from dpkg's status file.
fn package_list(status: &str) -> Vec<String> {
    let mut list: Vec<String> = status
        .split("\n\n")
        .filter_map(|stanza| {
            let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
            let installed = field("Status: ")?.ends_with(" installed");
            installed.then(|| Some(format!("{} {}", field("Package: ")?, field("Version: ")?)))?
        })
        .collect();
    list.sort();
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use updraft_base::{Blamed as _, FixedClock};
    use updraft_host::{Child, CmdOutput, FileLock, Holder, Host, LocalHost};

    /// This computer with a full disk.
    struct Full;

    #[async_trait::async_trait]
    impl Host for Full {
        async fn run(&self, cmd: Cmd) -> Result<CmdOutput, HostError> {
            panic!("`{}` was run without room for it", cmd.redacted());
        }
        async fn spawn(&self, cmd: Cmd) -> Result<Child, HostError> {
            panic!("`{}` was run without room for it", cmd.redacted());
        }
        async fn spawn_detached(&self, cmd: Cmd, _: &Path) -> Result<u32, HostError> {
            panic!("`{}` was run without room for it", cmd.redacted());
        }
        async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
            LocalHost.read(path).await
        }
        async fn write_atomic(&self, path: &Path, _: &[u8], _: u32) -> Result<(), HostError> {
            let source = std::io::ErrorKind::StorageFull.into();
            Err(HostError::File { act: "write", path: path.to_owned(), source })
        }
        async fn publish(&self, from: &Path, to: &Path) -> Result<(), HostError> {
            LocalHost.publish(from, to).await
        }
        async fn make_dir(&self, path: &Path, mode: u32) -> Result<(), HostError> {
            LocalHost.make_dir(path, mode).await
        }
        async fn remove(&self, path: &Path) -> Result<(), HostError> {
            LocalHost.remove(path).await
        }
        async fn remove_empty_dir(&self, path: &Path) -> Result<(), HostError> {
            LocalHost.remove_empty_dir(path).await
        }
        async fn list(&self, path: &Path) -> Result<Vec<String>, HostError> {
            LocalHost.list(path).await
        }
        async fn lock(&self, path: &Path, holder: Holder) -> Result<FileLock, HostError> {
            LocalHost.lock(path, holder).await
        }
        async fn free_space(&self, _: &Path) -> Result<ByteSize, HostError> {
            Ok(ByteSize::mib(200))
        }
    }

    #[tokio::test]
    async fn too_little_room_is_told_before_anything_is_run() {
        let dir = tempfile::tempdir().unwrap();
        let clock = FixedClock("2026-01-01T00:00:00Z".parse().unwrap());
        let store = Store::new(dir.path().join("store"), Arc::new(Full), Arc::new(clock));
        let recipe = Recipe::bootstrap("debian".parse().unwrap(), "bookworm", &[]);
        let agent = Agent { binary: "/agent".into(), digest: Digest::of("agent") };
        let error = store.build(&recipe, &agent, &|_| ()).await.unwrap_err();
        assert!(error.to_string().contains("needs 3GiB of disk space"), "{error}");
        assert!(error.to_string().contains("has 200MiB"), "{error}");
        assert!(error.hint().unwrap().contains("free some space"));
        assert_eq!(LocalHost.list(&dir.path().join("store/tmp")).await.unwrap(), [""; 0]);
    }

    #[test]
    fn the_list_of_packages_holds_what_is_installed() {
        let status = "Package: b\nStatus: install ok installed\nVersion: 2\n\n\
                      Package: a\nStatus: install ok installed\nVersion: 1:1-1\n\n\
                      Package: c\nStatus: deinstall ok config-files\nVersion: 3\n";
        assert_eq!(package_list(status), ["a 1:1-1", "b 2"]);
    }

    #[test]
    fn without_root_a_tool_runs_where_files_can_belong_to_anybody() {
        let cmd = inside(Cmd::new("mke2fs").arg("-q"), false);
        assert_eq!(cmd.argv(), ["unshare", "--map-root-user", "--map-auto", "--", "mke2fs", "-q"]);
    }
}
