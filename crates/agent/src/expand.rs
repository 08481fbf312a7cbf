//! Growing the root filesystem to a disk that grew while the machine ran.
//!
//! The kernel does it where it is ext4, as in all images of ours; otherwise the tools that came
//! with the image do. Whatever is so already is left so.
//! Never here: deciding how large anything should be.

#![expect(
    clippy::disallowed_methods,
    reason = "the agent runs on targets, where nothing stands between it and the system"
)]

use crate::failure::{refused, system};
use crate::time::{Deadline, pause};
use rustix::io::Errno;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use updraft_wire::{Failure, Response};

/// How long the kernel may take to see the new size of a disk, and somebody else who grows the
/// filesystem to come to an end. Each takes a fraction of a second, emulated.
const SHOWS_UP: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// `EXT4_IOC_RESIZE_FS`, `_IOW('f', 16, __u64)` of linux/fs/ext4/ext4.h.
const EXT4_RESIZE: u32 = 0x4008_6610;

/// Sectors of sysfs have 512 bytes, whatever the disk has (Linux, Documentation/ABI/stable/sysfs-block).
const SECTOR: u64 = 512;

/// Grows the root filesystem to a disk of so many bytes.
pub(crate) fn expand(disk: u64) -> Result<Response, Failure> {
    let mounts = read("/proc/self/mountinfo".as_ref())?;
    let root = RootMount::of(&mounts).ok_or_else(|| refused("nothing is mounted on `/`"))?;
    grow(&root, disk)?;
    Ok(Response::Done)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|fault| system(format_args!("cannot read `{}`", path.display()), fault))
}

/// Looks until it is so.
fn until<T>(
    mut look: impl FnMut() -> Result<Option<T>, Failure>,
    otherwise: impl FnOnce() -> Failure,
) -> Result<T, Failure> {
    let deadline = Deadline::after(SHOWS_UP);
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if deadline.passed() {
            return Err(otherwise());
        }
        pause(LOOK_AGAIN);
    }
}

/// What is mounted on `/`.
#[derive(Debug, PartialEq, Eq)]
struct RootMount {
    /// Major and minor number, `0:…` where there is no single block device.
    device: String,
    filesystem: String,
    source: String,
}

impl RootMount {
    /// From the lines of `/proc/self/mountinfo` (proc_pid_mountinfo(5)). The last one counts: it
    /// was mounted over the others.
    fn of(mountinfo: &str) -> Option<Self> {
        let parse = |line: &str| {
            let (left, right) = line.split_once(" - ")?;
            let left: Vec<&str> = left.split(' ').collect();
            let mut right = right.split(' ').map(str::to_owned);
            (*left.get(4)? == "/").then_some(())?;
            Some(Self {
                device: (*left.get(2)?).to_owned(),
                filesystem: right.next()?,
                source: right.next()?,
            })
        };
        mountinfo.lines().filter_map(parse).next_back()
    }

    /// Its block device in sysfs: `…/block/vda`, or `…/block/vda/vda1` for a partition.
    fn sysfs(&self) -> Option<PathBuf> {
        let by_number = Path::new("/sys/dev/block").join(&self.device);
        let name = Path::new(&self.source).file_name()?;
        let by_name = Path::new("/sys/class/block").join(name);
        fs::canonicalize(by_number).or_else(|_| fs::canonicalize(by_name)).ok()
    }
}

fn grow(root: &RootMount, disk: u64) -> Result<(), Failure> {
    let place = root.sysfs().filter(|place| !place.join("dm").exists()).ok_or_else(|| {
        refused(format_args!(
            "the root filesystem lies on `{}`, which only somebody inside can grow",
            root.source
        ))
    })?;
    let partition = fs::read_to_string(place.join("partition")).ok();
    let whole = match (&partition, place.parent()) {
        (Some(_), Some(parent)) => parent,
        _ => &place,
    };
    let has = || Ok(Some(size(whole)?).filter(|bytes| *bytes >= disk));
    until(has, || refused(format_args!("disk `{}` does not show its {disk} bytes", name(whole))))?;
    if let Some(number) = partition {
        grow_partition(name(whole), number.trim())?;
    }
    match root.filesystem.as_str() {
        "ext4" => grow_ext4(size(&place)?),
        "xfs" => run(&["xfs_growfs", "/"]).map(drop),
        "btrfs" => run(&["btrfs", "filesystem", "resize", "max", "/"]).map(drop),
        other => Err(refused(format_args!(
            "the root filesystem is {other}, which only somebody inside can grow"
        ))),
    }
}

fn name(place: &Path) -> &str {
    place.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Bytes of a block device.
fn size(place: &Path) -> Result<u64, Failure> {
    let path = place.join("size");
    let text = read(&path)?;
    let sectors: u64 = text
        .trim()
        .parse()
        .map_err(|fault| system(format_args!("cannot understand `{}`", path.display()), fault))?;
    Ok(sectors * SECTOR)
}

/// Grows a partition up to the next one, or the end of the disk. growpart also moves the second
/// copy of a GPT to the end of the disk; it comes with cloud-init.
fn grow_partition(disk: &str, number: &str) -> Result<(), Failure> {
    let device = format!("/dev/{disk}");
    let (code, said) = start(&["growpart", &device, number])?;
    // growpart(1): 1 when there is nothing to change.
    if code == 0 || (code == 1 && said.contains("NOCHANGE")) {
        return Ok(());
    }
    Err(refused(format_args!("growpart {device} {number}: {}", said.trim())))
}

fn grow_ext4(bytes: u64) -> Result<(), Failure> {
    let fault = |fault: &dyn std::fmt::Display| system("cannot grow the root filesystem", fault);
    let root = fs::File::open("/").map_err(|error| fault(&error))?;
    let block = rustix::fs::statvfs("/").map_err(|errno| fault(&errno))?.f_bsize;
    let blocks = bytes / block.max(1);
    let resize = || {
        // SAFETY: the number and the type of its argument are those of linux/fs/ext4/ext4.h.
        #[expect(unsafe_code, reason = "an ioctl by its number, with the argument it reads")]
        let done = unsafe {
            rustix::ioctl::ioctl(&root, rustix::ioctl::Setter::<EXT4_RESIZE, u64>::new(blocks))
        };
        match done {
            Ok(()) => Ok(Some(())),
            // Somebody else grows it just now, as when a machine has just booted.
            Err(Errno::BUSY) => Ok(None),
            Err(errno) => Err(fault(&errno)),
        }
    };
    until(resize, || fault(&"somebody else grows it and does not come to an end"))
}

fn run(argv: &[&str]) -> Result<String, Failure> {
    match start(argv)? {
        (0, said) => Ok(said),
        (_, said) => Err(refused(format_args!("{}: {}", argv.join(" "), said.trim()))),
    }
}

/// Runs a program of the image to its end.
fn start(argv: &[&str]) -> Result<(i32, String), Failure> {
    let run = Command::new(argv[0]).args(&argv[1..]).stdin(Stdio::null()).output();
    let done = run.map_err(|fault| {
        let package = if argv[0] == "growpart" { " (package cloud-guest-utils)" } else { "" };
        system(format_args!("cannot run {}{package}, which grows it", argv[0]), fault)
    })?;
    let said = [done.stdout, done.stderr].concat();
    Ok((done.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_on_the_root_counts() {
        let text = "\
1 0 0:2 / / rw - rootfs rootfs rw
22 1 254:1 / / rw,noatime shared:1 - ext4 /dev/vda1 rw
23 22 0:20 / /proc rw shared:2 - proc proc rw
";
        let root = RootMount::of(text).unwrap();
        assert_eq!(root.device, "254:1");
        assert_eq!((root.filesystem.as_str(), root.source.as_str()), ("ext4", "/dev/vda1"));
        assert_eq!(RootMount::of("23 22 0:20 / /proc rw - proc proc rw"), None);
    }
}
