//! Images in one file: carried to another store, and compared with their digests before anything
//! of them is taken in.
//!
//! ```text
//! manifest.json                      which images, the lowest first, and the digest of each file
//! <digest>/{disk.qcow2,vmlinuz,initrd,image.json}
//! ```

use crate::builder::{LOCAL_WORK, Work};
use crate::draft::{backing, publish};
use crate::{Facts, Image, ImageError, Store, import};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use updraft_base::{ByteSize, Digest};
use updraft_host::Cmd;

const MANIFEST: &str = "manifest.json";

/// Files that an image may have.
const FILES: &[&str] = &["disk.qcow2", "vmlinuz", "initrd", "image.json"];

/// Nobody else may be taking in the same file for longer.
const TURN: Duration = Duration::from_secs(600);

/// What the file says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// Version of this format.
    version: u32,
    /// The lowest first.
    images: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    digest: Digest,
    files: BTreeMap<String, Digest>,
}

/// An image that was in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The image.
    pub image: Image,
    /// It was in the store already.
    pub known: bool,
}

impl Store {
    /// An image and those it lies on, the lowest first.
    ///
    /// # Errors
    /// When one of them is not there.
    pub async fn chain(&self, digest: Digest) -> Result<Vec<Image>, ImageError> {
        let mut chain: Vec<Image> = Vec::new();
        let mut next = Some(digest);
        while let Some(digest) = next {
            let image = self.find(digest).await?.ok_or_else(|| ImageError::Bundle {
                path: self.image_dir(digest),
                what: "it is not in the store".to_owned(),
            })?;
            next = image.facts.recipe.below();
            chain.push(image);
        }
        chain.reverse();
        Ok(chain)
    }

    /// Writes an image, with those it lies on, to one file.
    ///
    /// # Errors
    /// When a file cannot be read or written; then there is no file.
    pub async fn export(&self, digest: Digest, to: &Path) -> Result<Vec<Image>, ImageError> {
        let chain = self.chain(digest).await?;
        let name = chain.last().map(|image| image.facts.recipe.name.clone());
        let name = name.expect("a chain holds the image itself");
        let tmp = self.root.join("tmp");
        let dir = tmp.join(format!("export.{}", std::process::id()));
        self.host.remove(&dir).await?;
        self.host.make_dir(&dir, 0o755).await?;
        let work = Work { store: self, name: &name, progress: &|_| (), dir: &dir };
        let written = write_bundle(&work, &chain, to).await;
        self.host.remove(&dir).await?;
        written.map(|()| chain)
    }

    /// Takes in every image of a file: nothing before all of it was compared.
    ///
    /// # Errors
    /// [`ImageError::Bundle`] when the file is not what it says; then nothing was taken.
    pub async fn import(&self, from: &Path) -> Result<Vec<Taken>, ImageError> {
        let key = Digest::of(from.as_os_str().as_encoded_bytes());
        let _lock = self.lock(key, "updraft image import", TURN, &|_| ()).await?;
        let name = "import".parse().expect("it is a name");
        let tmp = self.root.join("tmp");
        let dir = tmp.join(format!("{key}.{}", std::process::id()));
        self.host.remove(&dir).await?;
        self.host.make_dir(&dir, 0o755).await?;
        let work = Work { store: self, name: &name, progress: &|_| (), dir: &dir };
        let read = read_bundle(&work, from).await;
        let taken = match read {
            Ok(entries) => self.take_in(&dir, entries).await,
            Err(error) => Err(error),
        };
        self.host.remove(&dir).await?;
        taken
    }

    async fn take_in(
        &self,
        dir: &Path,
        entries: Vec<(Digest, Facts)>,
    ) -> Result<Vec<Taken>, ImageError> {
        let mut taken = Vec::new();
        for (digest, facts) in entries {
            let known = self.find(digest).await?;
            if let Some(image) = known {
                taken.push(Taken { image, known: true });
                continue;
            }
            let _lock = self.lock(digest, "updraft image import", TURN, &|_| ()).await?;
            if self.find(digest).await?.is_none() {
                publish(self, &dir.join(digest.to_string()), digest, &facts).await?;
            }
            let image = self.find(digest).await?.expect("an image that was published");
            taken.push(Taken { image, known: false });
        }
        Ok(taken)
    }
}

async fn write_bundle(work: &Work<'_>, chain: &[Image], to: &Path) -> Result<(), ImageError> {
    const STAGE: &str = "writing the file";
    let host = work.store.host.as_ref();
    let mut entries = Vec::new();
    let mut members = vec![PathBuf::from(MANIFEST)];
    for image in chain {
        let mut files = BTreeMap::new();
        for name in host.list(&image.dir).await? {
            if FILES.contains(&name.as_str()) {
                files.insert(name.clone(), work.digest_of(&image.dir.join(&name)).await?);
                members.push(PathBuf::from(image.digest.to_string()).join(&name));
            }
        }
        entries.push(Entry { digest: image.digest, files });
    }
    let manifest = Manifest { version: 1, images: entries };
    let text = serde_json::to_vec_pretty(&manifest).expect("a manifest is JSON");
    host.write_atomic(&work.dir.join(MANIFEST), &text, 0o644).await?;
    let part = with_part(to);
    let cmd = Cmd::new("tar")
        .args(["--create", "--sparse", "--owner=0", "--group=0", "--numeric-owner", "--file"])
        .arg(&part)
        .arg("-C")
        .arg(work.dir)
        .arg(MANIFEST)
        .arg("-C")
        .arg(work.store.root.join("images"))
        .args(members.iter().skip(1))
        .within(LOCAL_WORK);
    let written = work.tool(STAGE, cmd).await;
    if written.is_err() {
        host.remove(&part).await?;
    }
    written?;
    let cmd = Cmd::new("mv").arg("-T").arg("--").arg(&part).arg(to).within(LOCAL_WORK);
    work.tool(STAGE, cmd).await.map(drop)
}

fn with_part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

async fn read_bundle(work: &Work<'_>, from: &Path) -> Result<Vec<(Digest, Facts)>, ImageError> {
    const STAGE: &str = "reading the file";
    let host = work.store.host.as_ref();
    let bad = |what: String| ImageError::Bundle { path: from.to_owned(), what };
    let size = Cmd::new("du").args(["-s", "--apparent-size", "--block-size=1M", "--"]).arg(from);
    let size = work.tool(STAGE, size).await?.text();
    let mib = size.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    work.need_room(ByteSize::mib(mib + 16)).await?;
    let tar = || Cmd::new("tar").within(LOCAL_WORK);
    let no_archive = |error: ImageError| match error {
        ImageError::Build { source: updraft_host::HostError::Failed { .. }, .. } => {
            bad("it is no file of exported images".to_owned())
        }
        other => other,
    };
    let listed = work.tool(STAGE, tar().arg("-tf").arg(from)).await.map_err(no_archive)?.text();
    if !listed.lines().any(|line| line == MANIFEST) {
        return Err(bad(format!("it has no `{MANIFEST}`")));
    }
    let cmd = tar().arg("-xOf").arg(from).args(["--", MANIFEST]);
    let text = work.tool(STAGE, cmd).await?.stdout;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| bad(format!("`{MANIFEST}` makes no sense: {error}")))?;
    let members = check_manifest(&manifest).map_err(bad)?;
    for name in &members {
        if !listed.lines().any(|line| line == name) {
            return Err(bad(format!("`{name}` is missing")));
        }
    }
    // Those members alone; a name that is told twice would be written twice, and compared after.
    let cmd = tar().args(["--no-same-owner", "--no-same-permissions", "-C"]).arg(work.dir);
    work.tool(STAGE, cmd.arg("-xf").arg(from).arg("--").args(&members))
        .await
        .map_err(no_archive)?;
    let mut images = Vec::new();
    for (at, entry) in manifest.images.iter().enumerate() {
        let dir = work.dir.join(entry.digest.to_string());
        for (name, wanted) in &entry.files {
            let path = dir.join(name);
            let plain =
                Cmd::new("test").arg("-f").arg(&path).arg("-a").arg("!").arg("-L").arg(&path);
            let is_plain = work.tool(STAGE, plain.accept(1)).await?.status == 0;
            if !is_plain || work.digest_of(&path).await? != *wanted {
                return Err(bad(format!("`{}/{name}` was changed since", entry.digest.short())));
            }
        }
        let text = host.read(&dir.join("image.json")).await?.unwrap_or_default();
        let facts: Facts = serde_json::from_slice(&text)
            .map_err(|error| bad(format!("an image describes itself badly: {error}")))?;
        let below = facts.recipe.below();
        let carried = manifest.images.iter().take(at).map(|entry| entry.digest);
        if let Some(below) = below
            && !carried
                .chain(work.store.find(below).await?.map(|image| image.digest))
                .any(|d| d == below)
        {
            return Err(bad(format!("image {} below another is missing", below.short())));
        }
        let found = import::backing_of(work, &dir.join("disk.qcow2")).await?;
        if found != below.map(backing) {
            return Err(bad("a disk in it refers to other files than it says".to_owned()));
        }
        images.push((entry.digest, facts));
    }
    Ok(images)
}

/// What must be in the file.
fn check_manifest(manifest: &Manifest) -> Result<Vec<String>, String> {
    if manifest.version != 1 {
        return Err(format!("it has version {}, and this updraft reads 1", manifest.version));
    }
    if manifest.images.is_empty() {
        return Err("there is no image in it".to_owned());
    }
    let mut members = Vec::new();
    for entry in &manifest.images {
        for needed in ["disk.qcow2", "image.json"] {
            if !entry.files.contains_key(needed) {
                return Err(format!("image {} has no `{needed}`", entry.digest.short()));
            }
        }
        for name in entry.files.keys() {
            if !FILES.contains(&name.as_str()) {
                return Err(format!("it names a file that no image has: `{name}`"));
            }
            members.push(format!("{}/{name}", entry.digest));
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(files: &[&str]) -> Manifest {
        let files = files.iter().map(|name| ((*name).to_owned(), Digest::of(name))).collect();
        Manifest { version: 1, images: vec![Entry { digest: Digest::of("image"), files }] }
    }

    #[test]
    fn only_files_that_an_image_has_are_taken_out() {
        assert_eq!(check_manifest(&manifest(&["disk.qcow2", "image.json"])).unwrap().len(), 2);
        for bad in [&["disk.qcow2"][..], &["disk.qcow2", "image.json", "../../etc/passwd"]] {
            assert!(check_manifest(&manifest(bad)).is_err(), "{bad:?}");
        }
        assert!(check_manifest(&Manifest { version: 2, images: Vec::new() }).is_err());
    }
}
