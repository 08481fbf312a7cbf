//! `stat`: everything the kernel knows about a path.

use crate::accounts;
use crate::args::Args;
use crate::attributes;
use crate::context::Context;
use crate::outcome::{Done, Outcome, fail, plain};
use crate::place::{self, Algorithm};
use crate::process::Cmd;
use rustix::fs::Access;
use serde_json::{Map, Value, json};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let text = args.text("path");
    let path = Path::new(text);
    let seen = if args.flag("follow") { path.metadata() } else { path.symlink_metadata() };
    let meta = match seen {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Outcome::changed(false).with("stat", json!({ "exists": false })));
        }
        Err(error) => return Err(fail!("{}", plain(&error))),
    };
    let mut stat = basics(text, &meta);
    let mut put = |key: &str, value: Value| stat.insert(key.to_owned(), value);
    for (key, access) in [
        ("readable", Access::READ_OK),
        ("writeable", Access::WRITE_OK),
        ("executable", Access::EXEC_OK),
    ] {
        put(key, rustix::fs::access(path, access).is_ok().into());
    }
    if meta.is_symlink() {
        put("lnk_source", place::real(path).display().to_string().into());
        if let Ok(target) = std::fs::read_link(path) {
            put("lnk_target", target.display().to_string().into());
        }
    }
    if let Some(user) = accounts::user_by_id(meta.uid(), ctx) {
        put("pw_name", user.name.into());
    }
    if let Some(group) = accounts::group_by_id(meta.gid(), ctx) {
        put("gr_name", group.name.into());
    }
    if meta.is_file() && args.flag("get_checksum") {
        let algorithm = Algorithm::named(args.text("checksum_algorithm"))
            .expect("the table lists only algorithms there are");
        if let Ok(sum) = place::checksum(path, algorithm) {
            put("checksum", sum.into());
        }
    }
    if args.flag("get_mime") {
        let (mime, charset) = mime(path, ctx);
        put("mimetype", mime.into());
        put("charset", charset.into());
    }
    if args.flag("get_attributes") {
        let letters = attributes::flags_of(path).unwrap_or_default();
        put("version", Value::Null);
        put("attributes", attributes::flag_names(&letters).into());
        put("attr_flags", letters.into());
    }
    Ok(Outcome::changed(false).with("stat", stat))
}

fn basics(path: &str, meta: &Metadata) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("exists".into(), true.into());
    map.insert("path".into(), path.into());
    map.extend(described(meta));
    map.insert("blocks".into(), meta.blocks().into());
    map.insert("block_size".into(), meta.blksize().into());
    map.insert("device_type".into(), meta.rdev().into());
    map
}

/// What `stat` and `find` tell of every path.
pub(crate) fn described(meta: &Metadata) -> Map<String, Value> {
    let (mode, kind) = (meta.mode(), meta.file_type());
    let bit = |bit: u32| mode & bit != 0;
    let Value::Object(map) = json!({
        "mode": format!("{:04o}", mode & 0o7777),
        "isdir": kind.is_dir(),
        "ischr": kind.is_char_device(),
        "isblk": kind.is_block_device(),
        "isreg": kind.is_file(),
        "isfifo": kind.is_fifo(),
        "islnk": kind.is_symlink(),
        "issock": kind.is_socket(),
        "uid": meta.uid(),
        "gid": meta.gid(),
        "size": meta.size(),
        "inode": meta.ino(),
        "dev": meta.dev(),
        "nlink": meta.nlink(),
        "atime": seconds(meta.atime(), meta.atime_nsec()),
        "mtime": seconds(meta.mtime(), meta.mtime_nsec()),
        "ctime": seconds(meta.ctime(), meta.ctime_nsec()),
        "wusr": bit(0o200), "rusr": bit(0o400), "xusr": bit(0o100),
        "wgrp": bit(0o020), "rgrp": bit(0o040), "xgrp": bit(0o010),
        "woth": bit(0o002), "roth": bit(0o004), "xoth": bit(0o001),
        "isuid": bit(0o4000), "isgid": bit(0o2000),
    }) else {
        unreachable!("an object literal is an object")
    };
    map
}

/// Seconds since 1970 as Python counts them.
#[expect(clippy::cast_precision_loss, reason = "Python's os.stat gives floating point seconds too")]
pub(crate) fn seconds(whole: i64, nanos: i64) -> f64 {
    whole as f64 + nanos as f64 * 1e-9
}

/// What `file` says about the content, if it is installed.
fn mime(path: &Path, ctx: &Context) -> (String, String) {
    let unknown = || ("unknown".to_owned(), "unknown".to_owned());
    let Some(program) = ctx.program("file") else { return unknown() };
    let cmd = Cmd::new(program).args(["--mime-type", "--mime-encoding"]).arg(path);
    let Ok(ran) = cmd.plain_locale().run(ctx) else { return unknown() };
    let out = ran.out();
    let parts = out.rsplit_once(':').and_then(|(_, said)| said.split_once(';'));
    match parts.and_then(|(mime, charset)| Some((mime, charset.split_once('=')?.1))) {
        Some((mime, charset)) if ran.success() => {
            (mime.trim().to_owned(), charset.trim().to_owned())
        }
        _ => unknown(),
    }
}
