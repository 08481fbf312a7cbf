//! The store: images by digest, who uses them, and how they get in as a whole or not at all.
//!
//! ```text
//! <root>/images/<digest>/{disk.qcow2,vmlinuz,initrd,image.json}
//! <root>/bases/<digest>/root.tar     the system of images that differ only in what we add
//! <root>/refs/<digest>/<site id>     one small file for each site that uses the image
//! <root>/locks/<digest>              held while the image is built or removed
//! <root>/tmp/<digest>.<…>/           an image that is being built
//! ```

use crate::{ImageError, Recipe, guest};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use updraft_base::{ByteSize, Clock, Digest, SiteId, Timestamp};
use updraft_host::{FileLock, Holder, Host};

/// An image in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name in the store.
    pub digest: Digest,
    /// Where its files are.
    pub dir: PathBuf,
    /// What is known about it.
    pub facts: Facts,
}

impl Image {
    /// The disk, qcow2.
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disk.qcow2")
    }

    /// The kernel.
    pub fn kernel(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// The initial RAM disk.
    pub fn initrd(&self) -> PathBuf {
        self.dir.join("initrd")
    }

    /// The kernel's command line.
    pub fn cmdline(&self) -> &str {
        &self.facts.cmdline
    }
}

/// What `image.json` says about an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Version of this description.
    pub version: u32,
    /// What it was made from.
    pub recipe: Recipe,
    /// Digest of the agent inside.
    pub agent: Digest,
    /// When it was built.
    pub created: Timestamp,
    /// Size of the disk as its guest sees it: no guest's disk may be smaller.
    pub disk: ByteSize,
    /// What the image takes in the store.
    pub stored: ByteSize,
    /// Content of `disk.qcow2`.
    pub content: Digest,
    /// Version of the kernel.
    pub kernel: String,
    /// How many packages are installed.
    pub packages: u32,
    /// Digest of the list of packages with their versions.
    pub package_list: Digest,
    /// The kernel's command line.
    pub cmdline: String,
}

/// A site that uses an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The site.
    pub site: SiteId,
    /// Name and place of the site, for people.
    pub note: String,
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "site {} ({})", self.note, self.site)
    }
}

/// Images of one user on one host.
#[derive(Clone)]
pub struct Store {
    pub(crate) root: PathBuf,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Store {
    /// The store at `root`. Nothing is made until something is built.
    pub fn new(root: impl Into<PathBuf>, host: Arc<dyn Host>, clock: Arc<dyn Clock>) -> Self {
        Self { root: root.into(), host, clock }
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All images, the newest first.
    ///
    /// # Errors
    /// When the store or a description in it cannot be read.
    pub async fn list(&self) -> Result<Vec<Image>, ImageError> {
        let mut images = Vec::new();
        for name in self.host.list(&self.root.join("images")).await? {
            if let Ok(digest) = name.parse() {
                images.extend(self.find(digest).await?);
            }
        }
        images.sort_by(|a, b| b.facts.created.cmp(&a.facts.created).then(a.digest.cmp(&b.digest)));
        Ok(images)
    }

    /// One image, if it is there.
    ///
    /// # Errors
    /// When its description cannot be read.
    pub async fn find(&self, digest: Digest) -> Result<Option<Image>, ImageError> {
        let dir = self.image_dir(digest);
        let path = dir.join("image.json");
        let Some(text) = self.host.read(&path).await? else { return Ok(None) };
        let facts = serde_json::from_slice(&text)
            .map_err(|source| ImageError::Description { path, source })?;
        Ok(Some(Image { digest, dir, facts }))
    }

    /// Writes down that a site uses an image; `note` tells people which site that is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn refer(&self, digest: Digest, site: SiteId, note: &str) -> Result<(), ImageError> {
        let dir = self.refs_dir(digest);
        let path = dir.join(site.to_string());
        if self.host.read(&path).await?.as_deref() != Some(note.as_bytes()) {
            self.host.make_dir(&dir, 0o755).await?;
            self.host.write_atomic(&path, note.as_bytes(), 0o644).await?;
        }
        Ok(())
    }

    /// Forgets that a site uses an image.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub async fn unrefer(&self, digest: Digest, site: SiteId) -> Result<(), ImageError> {
        let dir = self.refs_dir(digest);
        self.host.remove(&dir.join(site.to_string())).await?;
        if self.host.list(&dir).await?.is_empty() {
            self.host.remove(&dir).await?;
        }
        Ok(())
    }

    /// Who uses an image.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn references(&self, digest: Digest) -> Result<Vec<Reference>, ImageError> {
        let dir = self.refs_dir(digest);
        let mut references = Vec::new();
        for name in self.host.list(&dir).await? {
            let Ok(site) = name.parse() else { continue };
            let note = self.host.read(&dir.join(&name)).await?.unwrap_or_default();
            references.push(Reference { site, note: String::from_utf8_lossy(&note).into_owned() });
        }
        Ok(references)
    }

    /// Removes an image, and with the last one of its packages the system they were made from, so
    /// that the next build fetches new versions. One that is not there is no error.
    ///
    /// # Errors
    /// [`ImageError::InUse`] when a site uses it.
    pub async fn remove(&self, digest: Digest) -> Result<(), ImageError> {
        let dir = self.image_dir(digest);
        if self.host.list(&dir).await?.is_empty() {
            return Ok(());
        }
        let _lock = self.lock(digest, "updraft image rm", Duration::from_secs(10), &|_| ()).await?;
        let users = self.references(digest).await?;
        if !users.is_empty() {
            let users = users.iter().map(Reference::to_string).collect();
            return Err(ImageError::InUse { digest, users });
        }
        let base = self.find(digest).await?.map(|image| image.facts.recipe.base_digest());
        // The description first: without it the rest is no image.
        self.host.remove(&dir.join("image.json")).await?;
        self.host.remove(&dir).await?;
        if let Some(base) = base {
            let others = self.list().await?;
            if others.iter().all(|image| image.facts.recipe.base_digest() != base) {
                self.host.remove(&self.base_dir(base)).await?;
            }
        }
        Ok(())
    }

    pub(crate) fn base_dir(&self, digest: Digest) -> PathBuf {
        self.root.join("bases").join(digest.to_string())
    }

    pub(crate) fn image_dir(&self, digest: Digest) -> PathBuf {
        self.root.join("images").join(digest.to_string())
    }

    fn refs_dir(&self, digest: Digest) -> PathBuf {
        self.root.join("refs").join(digest.to_string())
    }

    pub(crate) async fn lock(
        &self,
        digest: Digest,
        command: &str,
        within: Duration,
        waiting: &(dyn Fn(Option<&Holder>) + Send + Sync),
    ) -> Result<FileLock, ImageError> {
        let dir = self.root.join("locks");
        self.host.make_dir(&dir, 0o755).await?;
        let holder = Holder::this_process(command, self.clock.now());
        let path = dir.join(digest.to_string());
        Ok(FileLock::acquire_within(&path, &holder, within, waiting).await?)
    }

    /// Removes what builds that were interrupted left behind.
    pub(crate) async fn discard_leftovers(&self) -> Result<(), ImageError> {
        let tmp = self.root.join("tmp");
        for name in self.host.list(&tmp).await? {
            let Some(digest) = name.split('.').next().and_then(|text| text.parse().ok()) else {
                continue;
            };
            // Whoever builds it holds its lock.
            match self.lock(digest, "updraft", Duration::ZERO, &|_| ()).await {
                Ok(_lock) => self.host.remove(&tmp.join(&name)).await?,
                Err(ImageError::Host(updraft_host::HostError::Held { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn cmdline() -> String {
        guest::CMDLINE.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use updraft_base::{Blamed as _, FixedClock, SeededChance};
    use updraft_host::LocalHost;

    fn store(root: &Path) -> Store {
        let clock = FixedClock("2026-01-01T00:00:00Z".parse().unwrap());
        Store::new(root, Arc::new(LocalHost), Arc::new(clock))
    }

    async fn put(store: &Store, content: &str, created: &str) -> Digest {
        let digest = Digest::of(content);
        let facts = Facts {
            version: 1,
            recipe: Recipe {
                name: "debian".parse().unwrap(),
                bootstrap: "bookworm".to_owned(),
                packages: Vec::new(),
                mirror: None,
            },
            agent: Digest::of("agent"),
            created: created.parse().unwrap(),
            disk: ByteSize::gib(2),
            stored: ByteSize::mib(400),
            content: Digest::of("disk"),
            kernel: "6.1.0-1-cloud-amd64".to_owned(),
            packages: 150,
            package_list: Digest::of("packages"),
            cmdline: Store::cmdline(),
        };
        let dir = store.image_dir(digest);
        store.host.make_dir(&dir, 0o755).await.unwrap();
        let text = serde_json::to_vec(&facts).unwrap();
        store.host.write_atomic(&dir.join("image.json"), &text, 0o644).await.unwrap();
        digest
    }

    fn site(seed: u64) -> SiteId {
        SiteId::draw(Timestamp::UNIX_EPOCH, &mut SeededChance::new(seed))
    }

    #[tokio::test]
    async fn an_empty_store_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir.path().join("absent"));
        assert_eq!(store.list().await.unwrap(), []);
        assert_eq!(store.find(Digest::of("x")).await.unwrap(), None);
        store.remove(Digest::of("x")).await.unwrap();
        assert!(!store.root().exists(), "looking made something");
    }

    #[tokio::test]
    async fn images_are_listed_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let old = put(&store, "old", "2026-01-01T00:00:00Z").await;
        let new = put(&store, "new", "2026-02-01T00:00:00Z").await;
        let listed: Vec<Digest> =
            store.list().await.unwrap().iter().map(|image| image.digest).collect();
        assert_eq!(listed, [new, old]);
    }

    #[tokio::test]
    async fn an_image_in_use_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let digest = put(&store, "a", "2026-01-01T00:00:00Z").await;
        store.refer(digest, site(1), "hello in /srv/hello").await.unwrap();
        store.refer(digest, site(1), "hello in /srv/hello").await.unwrap();
        let error = store.remove(digest).await.unwrap_err();
        assert!(error.to_string().contains("hello in /srv/hello"), "{error}");
        assert!(error.hint().is_some());
        store.unrefer(digest, site(1)).await.unwrap();
        store.remove(digest).await.unwrap();
        assert_eq!(store.find(digest).await.unwrap(), None);
        assert_eq!(store.references(digest).await.unwrap(), []);
    }

    #[tokio::test]
    async fn the_last_image_of_a_base_takes_it_along() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let one = put(&store, "one", "2026-01-01T00:00:00Z").await;
        let two = put(&store, "two", "2026-01-01T00:00:00Z").await;
        let facts = store.find(one).await.unwrap().unwrap().facts;
        let base = store.base_dir(facts.recipe.base_digest());
        store.host.make_dir(&base, 0o755).await.unwrap();
        store.remove(one).await.unwrap();
        assert!(base.exists());
        store.remove(two).await.unwrap();
        assert!(!base.exists());
    }

    #[tokio::test]
    async fn leftovers_are_discarded_unless_their_builder_lives() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let tmp = dir.path().join("tmp");
        let left = |what: &str| tmp.join(format!("{}.1", Digest::of(what)));
        for what in ["dead", "alive"] {
            store.host.make_dir(&left(what), 0o755).await.unwrap();
        }
        let alive = Digest::of("alive");
        let lock = store.lock(alive, "build", Duration::ZERO, &|_| ()).await.unwrap();
        store.discard_leftovers().await.unwrap();
        assert!(!left("dead").exists());
        assert!(left("alive").exists());
        drop(lock);
    }
}
