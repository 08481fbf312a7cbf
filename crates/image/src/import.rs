//! Taking in a disk that others made: fetched, compared with its digest, unpacked, converted.
//!
//! Nothing of a file is looked at before its digest is the one that was asked for, and a disk that
//! refers to other files is refused: it would show its guest what lies beside it.

use crate::builder::{LOCAL_WORK, Work};
use crate::recipe::{Format, Place};
use crate::{Agent, Facts, ImageError, Origin, Recipe};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use updraft_base::{ByteSize, Digest};
use updraft_host::Cmd;

const FETCHING: &str = "fetching the file";
const UNPACKING: &str = "unpacking the file";
const READING: &str = "reading the disk";

/// A transfer slower than this is stuck: bytes in a second, on average over a minute.
const SLOWEST: &str = "1024";

/// The longest that a transfer may take: 20 GB at 1 MB a second.
const FETCH: Duration = Duration::from_secs(6 * 3600);

/// First bytes of what may be inside: gzip (RFC 1952), xz (its file format, 2.1.1.1), zstd
/// (RFC 8878), qcow2 (QEMU, docs/interop/qcow2.txt).
const GZIP: &[u8] = b"\x1f\x8b";
const XZ: &[u8] = b"\xfd7zXZ\0";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const QCOW2: &[u8] = b"QFI\xfb";

/// The last two bytes of a first sector that a PC would boot, or that guards a GPT (UEFI 2.10,
/// 5.2.1).
const BOOT_SIGNATURE: &[u8] = b"\x55\xaa";

pub(crate) async fn run(
    work: &Work<'_>,
    recipe: &Recipe,
    _agent: &Agent,
) -> Result<Facts, ImageError> {
    let Origin::Import { import, format, digest, firmware } = &recipe.origin else {
        return Err(work.content("it is no import"));
    };
    let file = fetch(work, import, *digest).await?;
    let (disk, format) = match format {
        Format::Box => unpack_box(work, &file).await?,
        other => {
            let plain = unpack(work, file).await?;
            let format = decide_format(work, *other, &head(work, &plain).await?)?;
            (plain, format)
        }
    };
    let info = inspect(work, &disk, format).await?;
    let size = ByteSize::bytes(info.virtual_size);
    (work.progress)(&format!("converting a disk of {}", ByteSize::mib(size.as_mib())));
    work.need_room(ByteSize::bytes(info.actual_size)).await?;
    let image = work.dir.join("image");
    work.store.host.make_dir(&image, 0o755).await?;
    let to = image.join("disk.qcow2");
    let cmd = Cmd::new("qemu-img")
        .args(["convert", "-f", format, "-O", "qcow2", "--"])
        .arg(&disk)
        .arg(&to)
        .within(LOCAL_WORK);
    work.tool("converting the disk", cmd).await?;
    Ok(Facts {
        version: 1,
        recipe: recipe.clone(),
        agent: None,
        created: work.store.clock.now(),
        disk: size,
        stored: work.stored(&to).await?,
        content: work.digest_of(&to).await?,
        kernel: String::new(),
        packages: 0,
        package_list: None,
        firmware: Some(*firmware),
        removed: Vec::new(),
        cmdline: String::new(),
    })
}

/// A copy of our own with the digest that was asked for.
///
/// What was fetched of a URL is kept where the next try goes on with it.
async fn fetch(work: &Work<'_>, from: &Place, wanted: Digest) -> Result<PathBuf, ImageError> {
    let host = work.store.host.as_ref();
    let own = work.dir.join("file");
    let url = match from {
        Place::File(path) => {
            let cmd = Cmd::new("du").args(["-s", "--apparent-size", "--block-size=1M", "--"]);
            let text = work.tool(FETCHING, cmd.arg(path)).await?.text();
            let mib = text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
            work.need_room(ByteSize::mib(mib)).await?;
            let cmd = Cmd::new("cp").args(["--reflink=auto", "--sparse=auto", "--"]);
            work.tool(FETCHING, cmd.arg(path).arg(&own).within(LOCAL_WORK)).await?;
            compare(work, from, wanted, &own).await?;
            return Ok(own);
        }
        Place::Url(url) => url,
    };
    let part = work.store.root.join("downloads").join(wanted.to_string());
    host.make_dir(&work.store.root.join("downloads"), 0o755).await?;
    (work.progress)(&format!("fetching {url}"));
    let cmd = Cmd::new("curl")
        .args(["--fail", "--silent", "--show-error", "--location", "--max-redirs", "5"])
        .args(["--proto", "=http,https", "--retry", "3", "--retry-connrefused"])
        .args(["--speed-limit", SLOWEST, "--speed-time", "60", "--continue-at", "-"])
        .arg("--output")
        .arg(&part)
        .arg("--")
        .arg(url)
        .within(FETCH);
    let fetched = work.tool(FETCHING, cmd.clone()).await;
    if fetched.is_err() && whole(work, &part, wanted).await? {
        // A server that is asked for what follows the last byte says that there is none.
    } else {
        fetched?;
    }
    if !whole(work, &part, wanted).await? {
        // Its beginning may be of another file: once more from the start.
        host.remove(&part).await?;
        work.tool(FETCHING, cmd).await?;
    }
    let compared = compare(work, from, wanted, &part).await;
    if compared.is_err() {
        host.remove(&part).await?;
    }
    compared?;
    work.tool(FETCHING, Cmd::new("mv").arg("--").arg(&part).arg(&own).within(LOCAL_WORK)).await?;
    host.remove_empty_dir(&work.store.root.join("downloads")).await?;
    Ok(own)
}

async fn whole(work: &Work<'_>, file: &Path, wanted: Digest) -> Result<bool, ImageError> {
    let there = Cmd::new("test").arg("-f").arg(file).accept(1);
    Ok(work.tool(FETCHING, there).await?.status == 0 && work.digest_of(file).await? == wanted)
}

async fn compare(
    work: &Work<'_>,
    from: &Place,
    wanted: Digest,
    file: &Path,
) -> Result<(), ImageError> {
    let found = work.digest_of(file).await?;
    if found != wanted {
        let (image, place) = (work.name.clone(), from.to_string());
        return Err(ImageError::Mismatch { image, place, wanted, found });
    }
    Ok(())
}

/// The first bytes of a file.
async fn head(work: &Work<'_>, file: &Path) -> Result<Vec<u8>, ImageError> {
    let cmd = Cmd::new("head").args(["-c", "512", "--"]).arg(file);
    Ok(work.tool(READING, cmd).await?.stdout)
}

/// What its first bytes say that a file is packed with: the suffix and the tool.
fn packed_with(head: &[u8]) -> Option<(&'static str, &'static str)> {
    [(GZIP, "gz", "gzip"), (XZ, "xz", "xz"), (ZSTD, "zst", "zstd")]
        .into_iter()
        .find(|(magic, ..)| head.starts_with(magic))
        .map(|(_, suffix, tool)| (suffix, tool))
}

async fn unpack(work: &Work<'_>, file: PathBuf) -> Result<PathBuf, ImageError> {
    let Some((suffix, tool)) = packed_with(&head(work, &file).await?) else { return Ok(file) };
    (work.progress)("unpacking");
    let packed = file.with_extension(suffix);
    work.tool(UNPACKING, Cmd::new("mv").arg("--").arg(&file).arg(&packed)).await?;
    let cmd = Cmd::new(tool).args(["-d", "-q", "--"]).arg(&packed).within(LOCAL_WORK);
    work.tool(UNPACKING, cmd).await?;
    Ok(file)
}

/// QEMU's word for the format.
fn decide_format(work: &Work<'_>, asked: Format, head: &[u8]) -> Result<&'static str, ImageError> {
    let foreign =
        |what: &str| ImageError::Foreign { image: work.name.clone(), what: what.to_owned() };
    let is_qcow2 = head.starts_with(QCOW2);
    let boots = head.get(510..512) == Some(BOOT_SIGNATURE);
    match asked {
        Format::Qcow2 | Format::Detect if is_qcow2 => Ok("qcow2"),
        Format::Raw => Ok("raw"),
        Format::Detect if boots => Ok("raw"),
        Format::Detect | Format::Box => Err(foreign(
            "its file is neither qcow2 nor a raw disk that boots; `format: raw` takes it as it is",
        )),
        Format::Qcow2 => Err(foreign("its file is not qcow2")),
    }
}

/// What `qemu-img info` tells of a disk.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    virtual_size: u64,
    #[serde(default)]
    actual_size: u64,
    #[serde(default)]
    backing_filename: Option<String>,
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    format_specific: Option<serde_json::Value>,
}

async fn inspect(work: &Work<'_>, disk: &Path, format: &str) -> Result<Info, ImageError> {
    let info: Info = work.tool(READING, info_cmd(disk, format)).await?.json()?;
    if let Some(what) = refers_elsewhere(&info) {
        return Err(ImageError::Foreign { image: work.name.clone(), what: what.to_owned() });
    }
    if let Some(other) = &info.backing_filename {
        let what = format!("its disk is only what differs from another one, `{other}`");
        return Err(ImageError::Foreign { image: work.name.clone(), what });
    }
    Ok(info)
}

fn info_cmd(disk: &Path, format: &str) -> Cmd {
    Cmd::new("qemu-img").args(["info", "--output=json", "-f", format, "--"]).arg(disk)
}

fn refers_elsewhere(info: &Info) -> Option<&'static str> {
    let data = |value: &serde_json::Value| value.pointer("/data/data-file").is_some();
    if info.encrypted {
        return Some("its disk is encrypted");
    }
    info.format_specific.as_ref().is_some_and(data).then_some("its disk keeps its data elsewhere")
}

/// The disk below a disk, for one that came from elsewhere and must refer to nothing else.
pub(crate) async fn backing_of(work: &Work<'_>, disk: &Path) -> Result<Option<String>, ImageError> {
    let info: Info = work.tool(READING, info_cmd(disk, "qcow2")).await?.json()?;
    match refers_elsewhere(&info) {
        Some(what) => Err(work.content(what)),
        None => Ok(info.backing_filename),
    }
}

/// What `metadata.json` of a Vagrant box says (Vagrant 2.4, "Box File Format"; vagrant-libvirt
/// 0.12, "Box Format", both versions).
#[derive(Debug, Deserialize)]
struct BoxFacts {
    provider: String,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    disks: Vec<BoxDisk>,
}

#[derive(Debug, Deserialize)]
struct BoxDisk {
    #[serde(default)]
    format: Option<String>,
    path: String,
}

impl BoxFacts {
    /// The file of its disk and QEMU's word for its format.
    fn disk(&self) -> Result<(String, &'static str), String> {
        if self.provider != "libvirt" {
            return Err(format!("its box is for {}, not for libvirt", self.provider));
        }
        let (path, format) = match self.disks.as_slice() {
            [] => ("box.img".to_owned(), self.format.as_deref()),
            [only] => (only.path.clone(), only.format.as_deref()),
            more => return Err(format!("its box has {} disks instead of one", more.len())),
        };
        if path.contains('/') || path.starts_with('-') {
            return Err(format!("its box names a disk outside of itself: `{path}`"));
        }
        match format.unwrap_or("qcow2") {
            "qcow2" => Ok((path, "qcow2")),
            "raw" => Ok((path, "raw")),
            other => Err(format!("the disk in its box is {other}, not qcow2 or raw")),
        }
    }
}

async fn unpack_box(work: &Work<'_>, file: &Path) -> Result<(PathBuf, &'static str), ImageError> {
    let foreign = |what: String| ImageError::Foreign { image: work.name.clone(), what };
    (work.progress)("unpacking the box");
    let tar = || Cmd::new("tar").within(LOCAL_WORK);
    let listed = work.tool(UNPACKING, tar().arg("-tf").arg(file)).await?.text();
    let member = |name: &str| {
        listed.lines().find(|line| line.trim_start_matches("./") == name).map(str::to_owned)
    };
    let facts = member("metadata.json").ok_or_else(|| foreign("its file is no box".to_owned()))?;
    let text = work.tool(UNPACKING, tar().arg("-xOf").arg(file).arg("--").arg(facts)).await?;
    let facts: BoxFacts = serde_json::from_slice(&text.stdout)
        .map_err(|error| foreign(format!("its box describes itself badly: {error}")))?;
    let (path, format) = facts.disk().map_err(foreign)?;
    let inside = member(&path).ok_or_else(|| foreign(format!("its box lacks `{path}`")))?;
    let to = work.dir.join("box");
    work.store.host.make_dir(&to, 0o755).await?;
    let cmd = tar().args(["--no-same-owner", "-C"]).arg(&to).arg("-xf").arg(file).arg("--");
    work.tool(UNPACKING, cmd.arg(&inside)).await?;
    let disk = to.join(&path);
    let plain = Cmd::new("test").arg("-f").arg(&disk).arg("-a").arg("!").arg("-L").arg(&disk);
    if work.tool(UNPACKING, plain.accept(1)).await?.status != 0 {
        return Err(foreign(format!("`{path}` in its box is no plain file")));
    }
    Ok((disk, format))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(text: &str) -> Result<(String, &'static str), String> {
        serde_json::from_str::<BoxFacts>(text).unwrap().disk()
    }

    #[test]
    fn a_box_of_either_version_names_its_disk() {
        let old = r#"{"provider":"libvirt","format":"qcow2","virtual_size":2}"#;
        assert_eq!(facts(old), Ok(("box.img".to_owned(), "qcow2")));
        let new = r#"{"provider":"libvirt","disks":[{"format":"qcow2","path":"disk1.qcow2"}]}"#;
        assert_eq!(facts(new), Ok(("disk1.qcow2".to_owned(), "qcow2")));
    }

    #[test]
    fn a_box_for_others_or_with_a_disk_outside_of_itself_is_refused() {
        assert!(facts(r#"{"provider":"virtualbox"}"#).unwrap_err().contains("virtualbox"));
        let outside = r#"{"provider":"libvirt","disks":[{"path":"../../etc/shadow"}]}"#;
        assert!(facts(outside).is_err());
        let two = r#"{"provider":"libvirt","disks":[{"path":"a"},{"path":"b"}]}"#;
        assert!(facts(two).unwrap_err().contains("2 disks"));
    }

    #[test]
    fn what_a_file_is_packed_with_is_told_by_its_first_bytes() {
        assert_eq!(packed_with(b"\x1f\x8b\x08"), Some(("gz", "gzip")));
        assert_eq!(packed_with(b"\xfd7zXZ\0\0"), Some(("xz", "xz")));
        assert_eq!(packed_with(b"\x28\xb5\x2f\xfd"), Some(("zst", "zstd")));
        assert_eq!(packed_with(b"QFI\xfb"), None);
    }

    #[test]
    fn a_disk_that_refers_elsewhere_is_refused() {
        let info = |text: &str| serde_json::from_str::<Info>(text).unwrap();
        let plain = r#"{"virtual-size": 1, "format-specific": {"data": {"compat": "1.1"}}}"#;
        assert_eq!(refers_elsewhere(&info(plain)), None);
        let data = r#"{"virtual-size": 1, "format-specific": {"data": {"data-file": "/etc/x"}}}"#;
        assert!(refers_elsewhere(&info(data)).is_some());
        assert!(refers_elsewhere(&info(r#"{"virtual-size": 1, "encrypted": true}"#)).is_some());
    }
}
