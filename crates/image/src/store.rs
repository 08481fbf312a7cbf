//! The store: images by digest, who uses them, and how they get in as a whole or not at all.
//!
//! ```text
//! <root>/images/<digest>/{disk.qcow2,vmlinuz,initrd,image.json}
//! <root>/bases/<digest>/root.tar     the system of images that differ only in what we add
//! <root>/refs/<digest>/<site id>     one small file for each site that uses the image
//! <root>/downloads/<digest>          what was fetched so far
//! <root>/locks/<digest>              held while the image is built or removed
//! <root>/tmp/<digest>.<…>/           an image that is being built
//! ```

use crate::seal::Removed;
use crate::{Firmware, ImageError, Recipe, guest};
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
    /// Digest of the agent that was put inside; an image made by others gets it when it boots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Digest>,
    /// When it was built.
    pub created: Timestamp,
    /// Size of the disk as its guest sees it: no guest's disk may be smaller.
    pub disk: ByteSize,
    /// What the image takes in the store.
    pub stored: ByteSize,
    /// Content of `disk.qcow2`.
    pub content: Digest,
    /// Version of the kernel beside the disk; empty where the disk has its own boot loader.
    #[serde(default)]
    pub kernel: String,
    /// How many packages are installed; 0 where nobody counted.
    #[serde(default)]
    pub packages: u32,
    /// Digest of the list of packages with their versions, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_list: Option<Digest>,
    /// What starts the disk's own boot loader; `None` where a kernel lies beside the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// What was taken out when the image was sealed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Removed>,
    /// The kernel's command line; empty where the disk has its own boot loader.
    #[serde(default)]
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

    /// The sites that use an image.
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

    /// The layers that lie directly on an image.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn layers_on(&self, digest: Digest) -> Result<Vec<Image>, ImageError> {
        let mut layers = self.list().await?;
        layers.retain(|image| image.facts.recipe.below() == Some(digest));
        Ok(layers)
    }

    /// Everybody who uses an image, for people: sites, templates, layers that are there or being
    /// made.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn users(&self, digest: Digest) -> Result<Vec<String>, ImageError> {
        let references = self.references(digest).await?;
        let mut users: Vec<String> = references.iter().map(Reference::to_string).collect();
        for layer in self.layers_on(digest).await? {
            let name = &layer.facts.recipe.name;
            users.push(format!("image {} ({name})", layer.digest.short()));
        }
        users.extend(self.templates_of(digest).await?);
        users.extend(self.drafts_on(digest).await?);
        Ok(users)
    }

    /// Booted templates of an image. Whoever keeps them says in `template.json` which files of an
    /// image each is made from.
    async fn templates_of(&self, digest: Digest) -> Result<Vec<String>, ImageError> {
        let templates = self.root.join("templates");
        let mut found = Vec::new();
        for name in self.host.list(&templates).await? {
            let text = self.host.read(&templates.join(&name).join("template.json")).await;
            // What is no directory holds no template.
            let text = text.ok().flatten().unwrap_or_default();
            if String::from_utf8_lossy(&text).contains(&format!("/images/{digest}/")) {
                found.push(format!("template {}", name.get(..12).unwrap_or(&name)));
            }
        }
        Ok(found)
    }

    /// Removes every image that nobody uses, layers before what they lie on, and what builds and
    /// transfers left behind. Returns the images removed.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub async fn remove_unused(&self) -> Result<Vec<Digest>, ImageError> {
        for left in self.leftovers().await? {
            if self.host.list(&left.dir.join("guests")).await?.is_empty() {
                left.discard().await?;
            }
        }
        let mut removed = Vec::new();
        loop {
            let mut unused = Vec::new();
            for image in self.list().await? {
                if self.users(image.digest).await?.is_empty() {
                    unused.push(image.digest);
                }
            }
            if unused.is_empty() {
                break;
            }
            for digest in unused {
                match self.remove(digest).await {
                    Ok(()) => removed.push(digest),
                    // Somebody was faster: then it is not unused.
                    Err(ImageError::InUse { .. }) => return Ok(removed),
                    Err(error) => return Err(error),
                }
            }
        }
        self.host.remove(&self.root.join("downloads")).await?;
        Ok(removed)
    }

    /// Removes an image, and with the last one of its packages the system they were made from, so
    /// that the next build fetches new versions. One that is not there is no error.
    ///
    /// # Errors
    /// [`ImageError::InUse`] when somebody uses it.
    pub async fn remove(&self, digest: Digest) -> Result<(), ImageError> {
        let dir = self.image_dir(digest);
        if self.host.list(&dir).await?.is_empty() {
            return Ok(());
        }
        let _lock = self.lock(digest, "updraft image rm", Duration::from_secs(10), &|_| ()).await?;
        let users = self.users(digest).await?;
        if !users.is_empty() {
            return Err(ImageError::InUse { digest, users });
        }
        let base = self.find(digest).await?.and_then(|image| image.facts.recipe.base_digest());
        // The description first: without it the rest is no image.
        self.host.remove(&dir.join("image.json")).await?;
        self.host.remove(&dir).await?;
        if let Some(base) = base {
            let others = self.list().await?;
            if others.iter().all(|image| image.facts.recipe.base_digest() != Some(base)) {
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
            recipe: Recipe::bootstrap("debian".parse().unwrap(), "bookworm", &[]),
            agent: Some(Digest::of("agent")),
            created: created.parse().unwrap(),
            disk: ByteSize::gib(2),
            stored: ByteSize::mib(400),
            content: Digest::of("disk"),
            kernel: "6.1.0-1-cloud-amd64".to_owned(),
            packages: 150,
            package_list: Some(Digest::of("packages")),
            firmware: None,
            removed: Vec::new(),
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

    /// An image that lies on another.
    async fn put_on(store: &Store, below: Digest, content: &str) -> Digest {
        let digest = put(store, content, "2026-03-01T00:00:00Z").await;
        let mut facts = store.find(digest).await.unwrap().unwrap().facts;
        facts.recipe.origin = crate::Origin::Layer {
            below,
            dressing: Digest::of(content),
            packages: Vec::new(),
            play: None,
        };
        let text = serde_json::to_vec(&facts).unwrap();
        let path = store.image_dir(digest).join("image.json");
        store.host.write_atomic(&path, &text, 0o644).await.unwrap();
        digest
    }

    #[tokio::test]
    async fn an_image_below_others_is_not_removed_and_all_unused_go_from_the_top() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let base = put(&store, "base", "2026-01-01T00:00:00Z").await;
        let middle = put_on(&store, base, "middle").await;
        let top = put_on(&store, middle, "top").await;
        let used = put_on(&store, base, "used").await;
        let error = store.remove(middle).await.unwrap_err();
        assert!(error.to_string().contains(&top.short()), "{error}");
        let template = dir.path().join("templates/0123456789abcdef");
        store.host.make_dir(&template, 0o755).await.unwrap();
        let disk = store.image_dir(used).join("disk.qcow2");
        let text = format!("{{\"files\": {{\"disk\": \"{}\"}}}}", disk.display());
        std::fs::write(template.join("template.json"), text).unwrap();
        let error = store.remove(used).await.unwrap_err();
        assert!(error.to_string().contains("template 0123456789ab"), "{error}");
        assert_eq!(store.remove_unused().await.unwrap(), [top, middle]);
        store.host.remove(&template).await.unwrap();
        assert_eq!(store.remove_unused().await.unwrap(), [used, base]);
    }

    #[tokio::test]
    async fn an_image_that_a_layer_is_being_made_on_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let base = put(&store, "base", "2026-01-01T00:00:00Z").await;
        let recipe = Recipe {
            name: "web".parse().unwrap(),
            origin: crate::Origin::Layer {
                below: base,
                dressing: Digest::of("play"),
                packages: Vec::new(),
                play: None,
            },
        };
        let agent = crate::Agent { binary: "/agent".into(), digest: Digest::of("agent") };
        let crate::Begun::Draft(draft) = store.begin(&recipe, &agent, &|_| ()).await.unwrap()
        else {
            panic!("nobody made it")
        };
        let error = store.remove(base).await.unwrap_err();
        assert!(error.to_string().contains("being made"), "{error}");
        draft.discard().await.unwrap();
        store.remove(base).await.unwrap();
    }

    #[tokio::test]
    async fn the_last_image_of_a_base_takes_it_along() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let one = put(&store, "one", "2026-01-01T00:00:00Z").await;
        let two = put(&store, "two", "2026-01-01T00:00:00Z").await;
        let facts = store.find(one).await.unwrap().unwrap().facts;
        let base = store.base_dir(facts.recipe.base_digest().unwrap());
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
        for left in store.leftovers().await.unwrap() {
            left.discard().await.unwrap();
        }
        assert!(!left("dead").exists());
        assert!(left("alive").exists());
        drop(lock);
    }
}
