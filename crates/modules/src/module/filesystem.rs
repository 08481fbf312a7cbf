//! `filesystem`: a device or an image holds a filesystem of some type, fills what it lies on, has
//! another UUID, or is blank.
//!
//! What is there is what blkid(8) tells, how large it is what its type's own program tells. Types
//! that are not in the table below are left to Ansible's module, and so is an answer that is not
//! understood.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::process::{Cmd, Ran};
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// A type of filesystems, and the programs that make and change them.
struct Type {
    /// What messages call it.
    name: &'static str,
    /// What tasks and blkid call it.
    known: &'static [&'static str],
    /// The program that makes one, and words without which it would ask or refuse.
    make: &'static [&'static str],
    /// Options that give a new one its UUID, by the first of which it is given.
    born: &'static [&'static str],
    /// What follows the UUID of a new one.
    born_with: &'static [&'static str],
    /// The program that changes a UUID, and its option.
    rename: &'static [&'static str],
    /// Whether that option takes the UUID, and none is drawn.
    renamed_to: bool,
    grow: Option<Growth>,
}

/// How filesystems of a type are made as large as what they lie on.
struct Growth {
    sized_by: Sizer,
    /// The program and its words.
    program: &'static [&'static str],
    /// Whether it wants the place where the filesystem is mounted.
    mounted: bool,
    /// How much may be left over.
    slack: u64,
}

/// The program that tells a size.
#[derive(Clone, Copy)]
enum Sizer {
    Tune2fs,
    XfsInfo,
    Btrfs,
    Fatresize,
    Pvs,
}

const fn ext(
    name: &'static str,
    known: &'static [&'static str],
    make: &'static [&'static str],
) -> Type {
    Type {
        name,
        known,
        make,
        born: &["-U"],
        born_with: &[],
        rename: &["tune2fs", "-U"],
        renamed_to: true,
        grow: Some(Growth {
            sized_by: Sizer::Tune2fs,
            program: &["resize2fs"],
            mounted: false,
            slack: 0,
        }),
    }
}

/// A type whose UUID cannot be chosen and which does not grow.
const fn plain(
    name: &'static str,
    known: &'static [&'static str],
    make: &'static [&'static str],
) -> Type {
    Type {
        name,
        known,
        make,
        born: &[],
        born_with: &[],
        rename: &[],
        renamed_to: false,
        grow: None,
    }
}

const TYPES: &[Type] = &[
    ext("Ext2", &["ext2"], &["mkfs.ext2", "-F"]),
    ext("Ext3", &["ext3"], &["mkfs.ext3", "-F"]),
    ext("Ext4", &["ext4", "ext4dev"], &["mkfs.ext4", "-F"]),
    Type {
        rename: &["xfs_admin", "-U"],
        renamed_to: true,
        grow: Some(Growth {
            sized_by: Sizer::XfsInfo,
            program: &["xfs_growfs"],
            mounted: true,
            // Less than 64 blocks make no allocation group (xfs_growfs(8)).
            slack: 64 * 4096 - 1,
        }),
        ..plain("XFS", &["xfs"], &["mkfs.xfs", "-f"])
    },
    Type {
        grow: Some(Growth {
            sized_by: Sizer::Btrfs,
            program: &["btrfs", "filesystem", "resize", "max"],
            mounted: true,
            slack: 0,
        }),
        ..plain("Btrfs", &["btrfs"], &["mkfs.btrfs", "-f"])
    },
    Type {
        grow: Some(Growth {
            sized_by: Sizer::Fatresize,
            program: &["fatresize", "-s", "max"],
            mounted: false,
            slack: 0,
        }),
        ..plain("VFAT", &["vfat"], &["mkfs.vfat"])
    },
    Type {
        born: &["-u", "--uuid"],
        born_with: &["--norestorefile"],
        rename: &["pvchange", "-u"],
        grow: Some(Growth {
            sized_by: Sizer::Pvs,
            program: &["pvresize"],
            mounted: false,
            slack: 0,
        }),
        ..plain("LVM", &["lvm", "LVM2_member"], &["pvcreate", "-f"])
    },
    plain("Swap", &["swap"], &["mkswap", "-f"]),
];

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let (dev, present) = (args.text("dev"), args.text("state") == "present");
    if !Path::new(dev).exists() {
        let message = format!("Device {dev} not found.");
        if present {
            return Err(Fault::new(message));
        }
        return Ok(Outcome::changed(false).with("msg", message));
    }
    let opts: Vec<&str> = args.text("opts").split_whitespace().collect();
    let uuid = args.str("uuid").filter(|uuid| !uuid.is_empty());
    let asked = ["-c", "/dev/null", "-o", "value", "-s", "TYPE", dev];
    let ran = call("blkid", &asked, ctx)?;
    let held = ran.out().trim().to_owned();
    if !present {
        if !held.is_empty() && !ctx.check {
            checked("wipefs", &["--all", dev], ctx)?;
        }
        return Ok(Outcome::changed(!held.is_empty()));
    }
    let fstype = args.text("fstype");
    let wanted = find(fstype)
        .ok_or_else(|| Fault::beyond(format!("the filesystem {fstype} is not supported")))?;
    if wanted.make[0] == "mkfs.btrfs" {
        forces(ctx)?;
    }
    if uuid.is_some() && wanted.rename.is_empty() && wanted.born.is_empty() {
        return Err(fail!(
            "module does not support UUID option for this filesystem ({fstype}) yet."
        ));
    }
    let force = args.flag("force");
    if wanted.known.contains(&held.as_str()) {
        if args.flag("resizefs") {
            let growth = wanted.grow.as_ref().ok_or_else(|| {
                fail!("module does not support resizing {fstype} filesystem yet.")
            })?;
            return grow(wanted.name, growth, dev, ctx);
        }
        if let Some(uuid) = uuid {
            if ctx.check {
                // Ansible's module tells of it by a key that is not `changed`.
                let message = format!("Changing {} filesystem UUID on device {dev}", wanted.name);
                return Ok(Outcome::changed(false).with("change", true).with("msg", message));
            }
            let ran = rename(wanted, uuid, dev, ctx)?;
            return Ok(Outcome::changed(true).with("msg", ran.out()));
        }
        if !force {
            return Ok(Outcome::changed(false));
        }
    } else if !held.is_empty() && !force {
        let message = format!("'{dev}' is already used as {held}, use force=true to overwrite");
        return Err(Fault::new(message).with("rc", ran.code).with("err", ran.err()));
    }
    if !ctx.check {
        let (program, words) = making(wanted, &opts, uuid, dev);
        checked(program, &words, ctx)?;
        if let (Some(uuid), true) = (uuid, wanted.born.is_empty()) {
            rename(wanted, uuid, dev, ctx)?;
        }
    }
    Ok(Outcome::changed(true))
}

/// The type that a task or blkid calls by this name.
fn find(name: &str) -> Option<&'static Type> {
    TYPES.iter().find(|known| known.known.contains(&name))
}

/// The words that follow the program which makes a filesystem, after its name.
fn making<'w>(
    wanted: &Type,
    opts: &[&'w str],
    uuid: Option<&'w str>,
    dev: &'w str,
) -> (&'static str, Vec<&'w str>) {
    let mut words: Vec<&'w str> = wanted.make[1..].to_vec();
    words.extend(opts);
    if let (Some(uuid), Some(option)) = (uuid, wanted.born.first())
        && !opts.iter().any(|opt| wanted.born.contains(opt))
    {
        words.extend([*option, uuid]);
        words.extend(wanted.born_with);
    }
    words.push(dev);
    (wanted.make[0], words)
}

fn rename(wanted: &Type, uuid: &str, dev: &str, ctx: &Context) -> Result<Ran, Fault> {
    let mut words: Vec<&str> = wanted.rename[1..].to_vec();
    words.extend(wanted.renamed_to.then_some(uuid));
    words.push(dev);
    checked(wanted.rename[0], &words, ctx)
}

/// Lets a filesystem have all of what it lies on.
fn grow(name: &str, growth: &Growth, dev: &str, ctx: &Context) -> Done {
    let whole = room(dev, ctx)?;
    let mounted = if growth.mounted { mountpoint(dev, ctx)? } else { None };
    let unmounted = || fail!("{dev} needs to be mounted for {name} operations");
    let place = mounted.as_deref().unwrap_or(dev);
    let (program, words): (&str, &[&str]) = match growth.sized_by {
        Sizer::Tune2fs => ("tune2fs", &["-l", dev]),
        Sizer::XfsInfo => ("xfs_info", &[place]),
        Sizer::Btrfs if mounted.is_none() => return Err(unmounted()),
        Sizer::Btrfs => ("btrfs", &["filesystem", "usage", "-b", place]),
        Sizer::Fatresize => ("fatresize", &["--info", dev]),
        Sizer::Pvs => {
            ("pvs", &["--noheadings", "-o", "pv_size", "--units", "b", "--nosuffix", dev])
        }
    };
    let said = Cmd::new(ctx.required(program)?)
        .args(words)
        .expanded(ctx)
        .plain_locale()
        .checked(ctx)?
        .out();
    let size = growth
        .sized_by
        .read(&said)
        .ok_or_else(|| Fault::beyond(format!("what {program} tells of {dev} is not understood")))?;
    if size.saturating_add(growth.slack) >= whole {
        let message = format!("{name} filesystem is using the whole device {dev}");
        return Ok(Outcome::changed(false).with("msg", message));
    }
    if ctx.check {
        let message = format!("resizing filesystem {name} on device {dev}");
        return Ok(Outcome::changed(true).with("msg", message));
    }
    if growth.mounted && mounted.is_none() {
        return Err(unmounted());
    }
    let mut words: Vec<&str> = growth.program[1..].to_vec();
    words.push(place);
    let ran = checked(growth.program[0], &words, ctx)?;
    Ok(Outcome::changed(true).with("msg", ran.out()))
}

/// How many bytes there is room for.
fn room(dev: &str, ctx: &Context) -> Result<u64, Fault> {
    let meta = fs::metadata(dev).or_fail(format!("cannot look at {dev}"))?;
    if meta.file_type().is_block_device() {
        let ran = checked("blockdev", &["--getsize64", dev], ctx)?;
        let told = ran.out().trim().parse();
        return told.map_err(|_| Fault::beyond("what blockdev tells is not understood"));
    }
    if meta.is_file() {
        return Ok(meta.len());
    }
    Err(fail!("Target device not supported: {dev}"))
}

/// The first place where a device is mounted.
fn mountpoint(dev: &str, ctx: &Context) -> Result<Option<String>, Fault> {
    let words = ["--mtab", "--noheadings", "--output", "TARGET", "--source", dev];
    let ran = call("findmnt", &words, ctx)?;
    let first = ran.out().split('\n').next().map(str::to_owned);
    Ok(first.filter(|place| ran.success() && !place.is_empty()))
}

impl Sizer {
    /// The bytes of a filesystem, as this program tells of it.
    fn read(self, said: &str) -> Option<u64> {
        match self {
            Self::Tune2fs => {
                let field = |name: &str| -> Option<u64> {
                    let line = said.lines().find(|line| line.contains(name))?;
                    line.split(':').nth(1)?.trim().parse().ok()
                };
                field("Block count:")?.checked_mul(field("Block size:")?)
            }
            Self::XfsInfo => {
                let line = said.lines().find(|line| {
                    line.split_once('=').is_some_and(|(section, _)| section.trim() == "data")
                })?;
                let mut parts = line.split('=').skip(1);
                (parts.next()?.trim() == "bsize").then_some(())?;
                let (size, blocks) = parts.next()?.trim().split_once(' ')?;
                (blocks.trim() == "blocks").then_some(())?;
                let count = parts.next()?.split(',').next()?.trim().parse::<u64>().ok()?;
                count.checked_mul(size.parse().ok()?)
            }
            Self::Btrfs => {
                let line = said.lines().find(|line| line.contains("Device size"))?;
                line.split_whitespace().next_back()?.parse().ok()
            }
            Self::Fatresize => {
                let mut fields = said.lines().skip(1).filter_map(|line| line.split_once(':'));
                let (_, size) =
                    fields.find(|(name, _)| matches!(name.trim(), "Size" | "Cur size"))?;
                size.trim().parse().ok()
            }
            Self::Pvs => said.trim().parse().ok(),
        }
    }
}

/// Whether mkfs.btrfs is one that can be told to overwrite; older ones are left to Ansible.
fn forces(ctx: &Context) -> Result<(), Fault> {
    let ran = checked("mkfs.btrfs", &["--version"], ctx)?;
    let version = version(&ran.out()).or_else(|| version(&ran.err()));
    if version.is_some_and(|version| version >= (3, 12)) {
        return Ok(());
    }
    Err(Fault::beyond("this version of mkfs.btrfs is not supported"))
}

/// The version in an answer such as `mkfs.btrfs, part of btrfs-progs v6.2`.
fn version(said: &str) -> Option<(u32, u32)> {
    let (_, version) = said.split_once(" v")?;
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    let mut parts = version[..end].split('.');
    let major = parts.next()?.parse().ok()?;
    Some((major, parts.next().map_or(Some(0), |minor| minor.parse().ok())?))
}

fn call(program: &str, words: &[&str], ctx: &Context) -> Result<Ran, Fault> {
    let cmd = Cmd::new(ctx.required(program)?).args(words).expanded(ctx);
    cmd.run(ctx).or_fail(format!("cannot run {program}"))
}

fn checked(program: &str, words: &[&str], ctx: &Context) -> Result<Ran, Fault> {
    Cmd::new(ctx.required(program)?).args(words).expanded(ctx).checked(ctx)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, opts: &str, uuid: Option<&str>) -> String {
        let opts: Vec<&str> = opts.split_whitespace().collect();
        let (program, words) = making(find(name).unwrap(), &opts, uuid, "/dev/x");
        format!("{program} {}", words.join(" "))
    }

    #[test]
    fn each_type_is_made_by_its_own_program() {
        for (name, opts, uuid, expected) in [
            ("ext4", "", None, "mkfs.ext4 -F /dev/x"),
            ("ext4dev", "-L a", Some("random"), "mkfs.ext4 -F -L a -U random /dev/x"),
            ("ext2", "-U clear", Some("random"), "mkfs.ext2 -F -U clear /dev/x"),
            ("xfs", "-m crc=0", Some("generate"), "mkfs.xfs -f -m crc=0 /dev/x"),
            ("lvm", "", Some("a-b"), "pvcreate -f -u a-b --norestorefile /dev/x"),
            ("lvm", "--uuid c", Some("a-b"), "pvcreate -f --uuid c /dev/x"),
            ("vfat", "-n A", None, "mkfs.vfat -n A /dev/x"),
            ("swap", "", None, "mkswap -f /dev/x"),
        ] {
            assert_eq!(made(name, opts, uuid), expected);
        }
    }

    #[test]
    fn what_blkid_tells_is_of_the_type_that_is_asked_for_or_is_not() {
        for (asked, held, same) in [
            ("ext4", "ext4", true),
            ("ext4", "ext4dev", true),
            ("ext4", "ext3", false),
            ("lvm", "LVM2_member", true),
            ("vfat", "", false),
            ("swap", "zfs_member", false),
        ] {
            assert_eq!(find(asked).unwrap().known.contains(&held), same, "{asked} {held}");
        }
        assert!(find("bcachefs").is_none());
    }

    #[test]
    fn sizes_are_read_where_programs_tell_them() {
        let tune2fs = "tune2fs 1.47.0 (5-Feb-2023)\nInode count:              4096\n\
            Block count:              16384\nReserved block count:     819\n\
            First block:              1\nBlock size:               1024\n";
        let xfs = "meta-data=/dev/loop0   isize=512    agcount=4, agsize=19200 blks\n         \
            =                       sectsz=512   attr=2, projid32bit=1\n\
            data     =                       bsize=4096   blocks=76800, imaxpct=25\n         \
            =                       sunit=0      swidth=0 blks\n\
            log      =internal log           bsize=4096   blocks=16384, version=2\n";
        let btrfs = "Overall:\n    Device size:\t\t         134217728\n    Device allocated: 1\n";
        let fat = "FAT: FAT16\nSize: 33554432\nMin size: 1048576\nMax size: 67108864\n";
        let old = "fatresize 1.0\nFAT: FAT16\nCur size: 5\n";
        for (sizer, said, size) in [
            (Sizer::Tune2fs, tune2fs, Some(16384 * 1024)),
            (Sizer::Tune2fs, "Block count: 1\n", None),
            (Sizer::XfsInfo, xfs, Some(76800 * 4096)),
            (Sizer::XfsInfo, "data = blocks=1\n", None),
            (Sizer::Btrfs, btrfs, Some(134_217_728)),
            (Sizer::Fatresize, fat, Some(33_554_432)),
            (Sizer::Fatresize, old, Some(5)),
            (Sizer::Pvs, "  67108864\n", Some(67_108_864)),
            (Sizer::Pvs, "  64.00m\n", None),
        ] {
            assert_eq!(sizer.read(said), size, "{said}");
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let told = "mkfs.btrfs, part of btrfs-progs v";
        for (number, expected) in
            [("6.2", (6, 2)), ("3.12", (3, 12)), ("0.20-rc1", (0, 20)), ("6", (6, 0))]
        {
            assert_eq!(version(&format!("{told}{number}\n")), Some(expected));
        }
        assert_eq!(version("mkfs.btrfs"), None);
    }
}
