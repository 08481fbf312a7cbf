//! Holding the filesystems still for a moment, so that what is taken of the disk is consistent.
//!
//! Whatever writes to a filesystem that is held waits, so they are never held without an end: a
//! thread lets them go when the time is over, and an agent that starts lets go what one before it
//! left held.
//!
//! Never here: taking anything of the disk, which is the host's.

use crate::connection::lock;
use crate::failure::{refused, system};
use crate::root::Root;
use crate::tell;
use crate::time::Deadline;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;
use updraft_wire::{Failure, Response};

/// Says what is held, for an agent that starts anew. It lies in memory: no filesystem that can be
/// held is needed to write it.
const HELD: &str = "/run/updraft/held";

/// Nobody may ask for longer: services would be given up by those who wait for them.
const LONGEST: Duration = Duration::from_secs(60);

/// Filesystems on disks of this machine. Those in memory and those of other machines are not part
/// of what is taken; neither is what only shows others (overlay, squashfs).
const KINDS: &[&str] = &["bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "xfs"];

/// What is held now, and how it ended last.
static HOLD: Mutex<Option<Hold>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

struct Hold {
    open: Vec<OwnedFd>,
    within: Duration,
    deadline: Deadline,
    /// How long it lasted, when the time was over before anybody let go.
    over: Option<Duration>,
}

impl Hold {
    fn lasted(&self) -> Duration {
        self.over.unwrap_or_else(|| self.within.saturating_sub(self.deadline.left()))
    }
}

/// Writes the filesystems out and holds them for so long at most.
pub(crate) fn freeze(root: &Root, within: Duration) -> Result<Response, Failure> {
    if within.is_zero() || within > LONGEST {
        return Err(refused(format_args!("filesystems are not held for {within:?}")));
    }
    let mut hold = lock(&HOLD);
    if hold.as_ref().is_some_and(|hold| hold.over.is_none()) {
        return Err(refused("the filesystems are held already"));
    }
    let places = if root.is_system() { places()? } else { Vec::new() };
    let open = places.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    if root.is_system() {
        // What is written out before need not be waited for while they are held.
        rustix::fs::sync();
        let text: String = places.iter().map(|place| format!("{}\n", place.display())).collect();
        fs::create_dir_all("/run/updraft").map_err(|fault| system("cannot hold", fault))?;
        fs::write(HELD, text).map_err(|fault| system("cannot hold", fault))?;
    }
    let deadline = Deadline::after(within);
    std::thread::Builder::new()
        .name("thaw".to_owned())
        .spawn(let_go_in_time)
        .map_err(|fault| system("cannot start a thread", fault))?;
    // From here on the thread lets go whatever is held.
    let mut held = Vec::new();
    for (place, file) in places.iter().zip(open) {
        match ioctl::<FIFREEZE>(&file) {
            Ok(()) => held.push(file),
            // A filesystem that knows no such thing.
            Err(Errno::OPNOTSUPP | Errno::NOTTY) => {}
            Err(fault) => {
                release(&held);
                return Err(system(format_args!("cannot hold `{}`", place.display()), fault));
            }
        }
    }
    *hold = Some(Hold { open: held, within, deadline, over: None });
    CHANGED.notify_all();
    Ok(Response::Done)
}

/// Lets the filesystems go.
pub(crate) fn thaw() -> Response {
    let hold = lock(&HOLD).take();
    CHANGED.notify_all();
    let Some(hold) = hold else { return Response::Thawed { held: false, for_ms: 0 } };
    let held = hold.over.is_none();
    let lasted = hold.lasted();
    if held {
        release(&hold.open);
    }
    let for_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
    Response::Thawed { held, for_ms }
}

/// Lets go what an agent before this one held and could not let go.
pub(crate) fn let_go_of_the_dead() {
    let Ok(text) = fs::read_to_string(HELD) else { return };
    for place in text.lines() {
        if let Ok(file) = open(&PathBuf::from(place)) {
            // One that is not held says so, and is left alone.
            ioctl::<FITHAW>(&file).ok();
        }
    }
    fs::remove_file(HELD).ok();
    tell("updraft-agent: let go of the filesystems that an earlier agent held\n");
}

/// Waits until somebody lets go or the time is over.
fn let_go_in_time() {
    let mut hold = lock(&HOLD);
    loop {
        let Some(now) = hold.as_mut().filter(|hold| hold.over.is_none()) else { return };
        if now.deadline.passed() {
            now.over = Some(now.within);
            release(&now.open);
            now.open.clear();
            drop(hold);
            tell("updraft-agent: let go of the filesystems: the time was over\n");
            return;
        }
        let left = now.deadline.left();
        hold = CHANGED.wait_timeout(hold, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn release(open: &[OwnedFd]) {
    // The other way round: what lies on another filesystem goes before it.
    for file in open.iter().rev() {
        if let Err(fault) = ioctl::<FITHAW>(file)
            && fault != Errno::INVAL
        {
            tell(&format!("updraft-agent: cannot let go of a filesystem: {fault}\n"));
        }
    }
    fs::remove_file(HELD).ok();
}

/// FIFREEZE and FITHAW, `_IOWR('X', 119, int)` and `_IOWR('X', 120, int)` of linux/fs.h.
const FIFREEZE: u32 = 0xc004_5877;
const FITHAW: u32 = 0xc004_5878;

fn ioctl<const OPCODE: u32>(file: &OwnedFd) -> rustix::io::Result<()> {
    #[expect(unsafe_code, reason = "an ioctl whose argument the kernel does not look at")]
    unsafe {
        rustix::ioctl::ioctl(file, rustix::ioctl::NoArg::<OPCODE>::new())
    }
}

fn open(place: &PathBuf) -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(place, flags, Mode::empty())
        .map_err(|fault| system(format_args!("cannot open `{}`", place.display()), fault))
}

fn places() -> Result<Vec<PathBuf>, Failure> {
    let text = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|fault| system("cannot read what is mounted", fault))?;
    Ok(on_disks(&text))
}

/// One place of each filesystem on a disk that is mounted for writing, in the order in which they
/// were mounted. From the text of mountinfo (proc_pid_mountinfo(5)).
fn on_disks(text: &str) -> Vec<PathBuf> {
    let mut known = Vec::new();
    let mut places = Vec::new();
    for line in text.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (left, right): (Vec<&str>, Vec<&str>) =
            (left.split(' ').collect(), right.split(' ').collect());
        let (Some(device), Some(place)) = (left.get(2), left.get(4)) else { continue };
        let (Some(kind), Some(options)) = (right.first(), right.get(2)) else { continue };
        let writable = !options.split(',').any(|option| option == "ro");
        if KINDS.contains(kind) && writable && !known.contains(device) {
            known.push(*device);
            places.push(PathBuf::from(unescape(place)));
        }
    }
    places
}

/// Spaces and the like stand as three octal digits after a backslash.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filesystem_on_a_disk_is_held_once() {
        let text = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
23 22 0:21 / /proc rw - proc proc rw
24 22 254:0 /srv /mnt/again rw - ext4 /dev/vda rw
25 22 254:16 / /mnt/a\\040b rw shared:2 - xfs /dev/vdb rw,attr2
26 22 254:32 / /mnt/cd ro - ext4 /dev/vdc ro
27 22 0:30 / /run rw - tmpfs tmpfs rw
";
        assert_eq!(on_disks(text), [PathBuf::from("/"), PathBuf::from("/mnt/a b")]);
        assert_eq!(on_disks("garbage\n- -\n"), Vec::<PathBuf>::new());
    }

    /// One story, because what is held is one thing for the whole agent.
    #[test]
    fn what_is_held_is_let_go_by_whoever_comes_first() {
        let root = Root::below("/nonexistent".into());
        assert!(freeze(&root, Duration::ZERO).is_err());
        assert!(freeze(&root, Duration::from_secs(3600)).is_err());
        assert_eq!(thaw(), Response::Thawed { held: false, for_ms: 0 });

        freeze(&root, Duration::from_secs(50)).unwrap();
        assert!(freeze(&root, Duration::from_secs(50)).is_err(), "held twice");
        let Response::Thawed { held, for_ms } = thaw() else { panic!() };
        assert!(held && for_ms < 50_000);

        freeze(&root, Duration::from_millis(1)).unwrap();
        let over = || lock(&HOLD).as_ref().is_some_and(|hold| hold.over.is_some());
        let deadline = Deadline::after(Duration::from_secs(30));
        while !over() {
            assert!(!deadline.passed(), "nobody let go");
            std::thread::yield_now();
        }
        assert_eq!(thaw(), Response::Thawed { held: false, for_ms: 1 });
        // And again: a thread that is left over from before lets nothing go too early.
        freeze(&root, Duration::from_secs(50)).unwrap();
        let Response::Thawed { held, .. } = thaw() else { panic!() };
        assert!(held);
    }
}
