//! An image that is being made: a directory of its own, published as a whole or not at all.
//!
//! Whoever makes it holds its lock; others who want the same image wait for the lock and then find
//! the image. What a maker that died left behind is discarded by the next one.
//! Never here: how images are made.

use crate::builder::{LOCAL_WORK, OTHERS_WORK, Work};
use crate::seal::Removed;
use crate::{Agent, Facts, Image, ImageError, Progress, Recipe, Store};
use std::path::{Path, PathBuf};
use std::time::Duration;
use updraft_base::{ByteSize, Digest};
use updraft_host::{Cmd, FileLock, HostError};

/// What there is when somebody begins to make an image.
pub enum Begun {
    /// The image: somebody was earlier.
    There(Image),
    /// The right to make it.
    Draft(Draft),
}

/// The right to make an image, and where.
pub struct Draft {
    store: Store,
    recipe: Recipe,
    digest: Digest,
    dir: PathBuf,
    _lock: FileLock,
}

/// What a maker that died left behind. Nobody else touches it while this is held.
pub struct Leftover {
    /// Its directory.
    pub dir: PathBuf,
    store: Store,
    _lock: FileLock,
}

impl Leftover {
    /// Removes it. Machines that were run in it must be gone.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub async fn discard(self) -> Result<(), ImageError> {
        Ok(self.store.host.remove(&self.dir).await?)
    }
}

/// A file in a draft that names the image below: whoever removes images looks for it.
const BELOW: &str = "below";

/// Where machines are kept that run while a layer is made.
const GUESTS: &str = "guests";

impl Store {
    /// Takes the right to make an image, unless it is there or somebody else makes it already.
    ///
    /// # Errors
    /// When the recipe is none, somebody else makes it for too long, or the store cannot be
    /// written.
    pub async fn begin(
        &self,
        recipe: &Recipe,
        agent: &Agent,
        progress: Progress<'_>,
    ) -> Result<Begun, ImageError> {
        recipe.check()?;
        let digest = recipe.digest(agent);
        if let Some(image) = self.find(digest).await? {
            return Ok(Begun::There(image));
        }
        let command = format!("building image {}", recipe.name);
        let waiting = |holder: Option<&updraft_host::Holder>| {
            let who = holder.map_or_else(String::new, |holder| format!(" by {holder}"));
            progress(&format!("waiting for the same image, being built{who}"));
        };
        let lock = self.lock(digest, &command, OTHERS_WORK, &waiting).await?;
        if let Some(image) = self.find(digest).await? {
            return Ok(Begun::There(image));
        }
        for left in self.leftovers().await? {
            // One with machines is for those who know how to stop them.
            if self.host.list(&left.dir.join(GUESTS)).await?.is_empty() {
                left.discard().await?;
            }
        }
        let tmp = self.root.join("tmp");
        self.host.make_dir(&tmp, 0o755).await?;
        let dir = tmp.join(format!("{digest}.{}", std::process::id()));
        self.host.remove(&dir).await?;
        self.host.make_dir(&dir, 0o755).await?;
        let draft = Draft { store: self.clone(), recipe: recipe.clone(), digest, dir, _lock: lock };
        if let Some(below) = recipe.below() {
            let text = below.to_string();
            self.host.write_atomic(&draft.dir.join(BELOW), text.as_bytes(), 0o644).await?;
            if self.find(below).await?.is_none() {
                self.host.remove(&draft.dir).await?;
                let what = format!("image {} below it is not in the store", below.short());
                return Err(ImageError::Content { image: recipe.name.clone(), what });
            }
        }
        Ok(Begun::Draft(draft))
    }

    /// A directory for something that is thrown away afterwards. One that is left behind is found
    /// as [`Store::leftovers`].
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn scratch(&self, purpose: &str) -> Result<Leftover, ImageError> {
        let key = Digest::of(format!("{purpose} {} {}", std::process::id(), self.clock.now()));
        let lock = self.lock(key, purpose, Duration::ZERO, &|_| ()).await?;
        let dir = self.root.join("tmp").join(format!("{key}.{}", std::process::id()));
        self.host.make_dir(&dir, 0o755).await?;
        Ok(Leftover { dir, store: self.clone(), _lock: lock })
    }

    /// What makers that died left behind.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn leftovers(&self) -> Result<Vec<Leftover>, ImageError> {
        let tmp = self.root.join("tmp");
        let mut left = Vec::new();
        for name in self.host.list(&tmp).await? {
            let Some(digest) = name.split('.').next().and_then(|text| text.parse().ok()) else {
                continue;
            };
            // Whoever builds it holds its lock.
            match self.lock(digest, "updraft", Duration::ZERO, &|_| ()).await {
                Ok(lock) => {
                    left.push(Leftover { dir: tmp.join(&name), store: self.clone(), _lock: lock });
                }
                Err(ImageError::Host(HostError::Held { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(left)
    }

    /// Layers on an image that are being made.
    pub(crate) async fn drafts_on(&self, digest: Digest) -> Result<Vec<String>, ImageError> {
        let tmp = self.root.join("tmp");
        let mut drafts = Vec::new();
        for name in self.host.list(&tmp).await? {
            let below = self.host.read(&tmp.join(&name).join(BELOW)).await?;
            if below.as_deref() == Some(digest.to_string().as_bytes()) {
                let short = name.get(..12).unwrap_or(&name);
                drafts.push(format!("image {short}, which is being made or was left half made"));
            }
        }
        Ok(drafts)
    }
}

impl Draft {
    /// Where to make it. Nobody else is here.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the image will be called.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Publishes what was made in `image` below the directory, or discards everything.
    pub(crate) async fn end(self, built: Result<Facts, ImageError>) -> Result<Image, ImageError> {
        let Self { store, digest, dir, .. } = &self;
        let published = match built {
            Ok(facts) => publish(store, &dir.join("image"), *digest, &facts).await,
            Err(error) => Err(error),
        };
        store.host.remove(dir).await?;
        published?;
        Ok(store.find(*digest).await?.expect("an image that was published"))
    }

    /// Gives up: nothing stays.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub async fn discard(self) -> Result<(), ImageError> {
        Ok(self.store.host.remove(&self.dir).await?)
    }

    /// Publishes a layer: what `overlay`, the disk of a machine that booted `below`, holds more.
    /// The machine must be off.
    ///
    /// # Errors
    /// When there is too little room or a tool fails; then everything is discarded.
    pub async fn publish_layer(
        self,
        below: &Image,
        overlay: &Path,
        packages: u32,
        removed: Vec<Removed>,
    ) -> Result<Image, ImageError> {
        let dir = self.dir.clone();
        let name = self.recipe.name.clone();
        let store = self.store.clone();
        let work = Work { store: &store, name: &name, progress: &|_| (), dir: &dir };
        let made = self.layer(&work, below, overlay, packages, removed).await;
        self.end(made).await
    }

    async fn layer(
        &self,
        work: &Work<'_>,
        below: &Image,
        overlay: &Path,
        packages: u32,
        removed: Vec<Removed>,
    ) -> Result<Facts, ImageError> {
        const STAGE: &str = "keeping the layer";
        let cmd = Cmd::new("du").args(["-s", "--block-size=1M", "--"]).arg(overlay);
        let used = work.tool(STAGE, cmd).await?.text();
        let used: u64 = used.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        work.need_room(ByteSize::mib(used + 64)).await?;
        let image = self.dir.join("image");
        work.store.host.make_dir(&image, 0o755).await?;
        let disk = image.join("disk.qcow2");
        // Copies what differs from the image below, without what was freed again.
        let cmd = Cmd::new("qemu-img")
            .args(["convert", "-f", "qcow2", "-O", "qcow2", "-F", "qcow2", "-B"])
            .arg(below.disk())
            .arg("--")
            .arg(overlay)
            .arg(&disk)
            .within(LOCAL_WORK);
        work.tool(STAGE, cmd).await?;
        // By its place beside this one, so that a store may be moved.
        let cmd = Cmd::new("qemu-img")
            .args(["rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b"])
            .arg(backing(below.digest))
            .arg("--")
            .arg(&disk)
            .within(LOCAL_WORK);
        work.tool(STAGE, cmd).await?;
        if below.facts.firmware.is_none() {
            for file in [below.kernel(), below.initrd()] {
                let cmd = Cmd::new("cp").arg("--link").arg("--").arg(file).arg(&image);
                work.tool(STAGE, cmd).await?;
            }
        }
        Ok(Facts {
            version: 1,
            recipe: self.recipe.clone(),
            agent: below.facts.agent,
            created: work.store.clock.now(),
            disk: below.facts.disk,
            stored: work.stored(&disk).await?,
            content: work.digest_of(&disk).await?,
            kernel: below.facts.kernel.clone(),
            packages,
            package_list: None,
            firmware: below.facts.firmware,
            removed,
            cmdline: below.facts.cmdline.clone(),
        })
    }
}

/// How a layer's disk names the disk below.
pub(crate) fn backing(below: Digest) -> String {
    format!("../{below}/disk.qcow2")
}

/// Moves a finished image to its place.
pub(crate) async fn publish(
    store: &Store,
    made: &Path,
    digest: Digest,
    facts: &Facts,
) -> Result<(), ImageError> {
    let text = serde_json::to_vec_pretty(facts).expect("facts are JSON");
    store.host.write_atomic(&made.join("image.json"), &text, 0o644).await?;
    store.host.make_dir(&store.root.join("images"), 0o755).await?;
    Ok(store.host.publish(made, &store.image_dir(digest)).await?)
}
