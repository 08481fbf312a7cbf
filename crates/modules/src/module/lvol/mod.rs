//! `lvol`: a logical volume of LVM is there, of some size, active or not, or is gone; it may be a
//! snapshot, a thin pool or in one.
//!
//! Sizes are compared as lvs(8) tells them in the unit of the task. In check mode lvm's programs
//! are asked with `--test`, the one that activates too: Ansible's module lets that one do its work.

mod size;

use super::lvg::{strange, told};
use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::process::{Cmd, Ran};
use size::{Group, Of, Size, Volume, Way};

/// The first lvm that can be told not to ask, as it numbers itself.
const YES: [u32; 3] = [2, 2, 99];

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let wish = Wish::new(args)?;
    let ran = call("lvm", &["version"], ctx)?;
    let version = version(&ran.out()).filter(|_| ran.success());
    let version = version.ok_or_else(|| fail!("Failed to get LVM version number"))?;
    let size = args.str("size").filter(|size| !size.is_empty());
    let size = size.map(|size| Size::parse(size, wish.snapshot.is_some())).transpose()?;
    let unit = size.as_ref().map_or('m', Size::unit).to_ascii_lowercase();
    let asked = |program: &str, fields: &str| {
        let unit = unit.to_string();
        let mut words = if program == "lvs" { vec!["-a"] } else { Vec::new() };
        words.extend(["--noheadings", "--nosuffix", "-o", fields, "--units", &unit]);
        words.extend(["--separator", ";", wish.vg]);
        call(program, &words, ctx)
    };
    let present = args.text("state") == "present";
    let absent = || format!("Volume group {} does not exist.", wish.vg);
    let ran = asked("vgs", "vg_name,size,free,vg_extent_size")?;
    if !ran.success() {
        if present {
            return Err(told(Fault::new(absent()), &ran));
        }
        return Ok(Outcome::changed(false).with("stdout", absent()));
    }
    let group = Group::parse(&ran.out()).ok_or_else(|| strange("vgs"))?;
    let ran = asked("lvs", "lv_name,size,lv_attr")?;
    if !ran.success() {
        if present {
            return Err(told(Fault::new(absent()), &ran));
        }
        return Ok(Outcome::changed(false).with("stdout", absent()));
    }
    let volumes = Volume::parse_all(&ran.out()).ok_or_else(|| strange("lvs"))?;
    let name = wish.meant(&volumes)?;
    let last = name.rsplit('/').next();
    let now = volumes.iter().find(|it| it.name == name || Some(it.name.as_str()) == last);
    let Some(now) = now else {
        if present {
            let yes = if version >= YES { &["--yes"][..] } else { &[] };
            let words = [testing(ctx), yes].concat();
            create(&wish, size.as_ref(), &volumes, words, ctx)?;
        }
        return Ok(Outcome::changed(present).with("msg", ""));
    };
    let force = args.flag("force");
    let full = format!("{}/{}", wish.vg, now.name);
    if !present {
        if !force {
            let name = &now.name;
            return Err(fail!("Sorry, no removal of logical volume {name} without force=true."));
        }
        let words = [testing(ctx), &["--force", full.as_str()]].concat();
        let ran = call("lvremove", &words, ctx)?;
        if !ran.success() {
            return Err(told(fail!("Failed to remove logical volume {}", wish.lv_told()), &ran));
        }
        return Ok(Outcome::changed(true));
    }
    let mut changed = false;
    if let Some(size) = &size
        && let Some(way) = size.decide(now, &group, args.flag("shrink"), force)?
    {
        let options = if args.flag("resizefs") { &["--resizefs"][..] } else { &[] };
        match resize(&wish, size, way, options, &full, ctx)? {
            Resized::Done => changed = true,
            Resized::Same => return Ok(seen(false, &wish, now)),
            Resized::Larger(err) => {
                let message = "Original size is larger than requested size";
                return Ok(seen(false, &wish, now).with("msg", message).with("err", err));
            }
        }
    }
    let (option, verb) =
        if args.flag("active") { ("-ay", "activate") } else { ("-an", "deactivate") };
    let words = [testing(ctx), &[option, full.as_str()]].concat();
    let ran = call("lvchange", &words, ctx)?;
    if !ran.success() {
        return Err(told(fail!("Failed to {verb} logical volume {}", wish.lv_told()), &ran));
    }
    Ok(seen(changed || now.active != args.flag("active"), &wish, now))
}

/// The result for a volume that was there.
fn seen(changed: bool, wish: &Wish<'_>, now: &Volume) -> Outcome {
    let outcome = Outcome::changed(changed).with("vg", wish.vg);
    outcome.with("lv", now.name.as_str()).with("size", now.size)
}

/// What keeps lvm's programs from doing what they are asked for.
fn testing(ctx: &Context) -> &'static [&'static str] {
    if ctx.check { &["--test"] } else { &[] }
}

/// What a task says of a volume, but its size.
struct Wish<'a> {
    vg: &'a str,
    lv: Option<&'a str>,
    snapshot: Option<&'a str>,
    pool: Option<&'a str>,
    opts: Vec<String>,
    pvs: Vec<String>,
}

impl<'a> Wish<'a> {
    fn new(args: &'a Args) -> Result<Self, Fault> {
        let opts = crate::shlex::split(args.text("opts"))
            .map_err(|error| Fault::beyond(format!("cannot read opts: {error}")))?;
        let wish = Self {
            vg: args.text("vg"),
            lv: args.str("lv"),
            snapshot: args.str("snapshot"),
            pool: args.str("thinpool"),
            opts,
            pvs: args.list("pvs"),
        };
        let names = [Some(wish.vg), wish.lv, wish.snapshot, wish.pool];
        if names.into_iter().flatten().any(str::is_empty) {
            return Err(Fault::beyond("a name that is empty is not supported"));
        }
        Ok(wish)
    }

    /// The volume's name in messages, where Python's nothing shows.
    fn lv_told(&self) -> &'a str {
        self.lv.unwrap_or("None")
    }

    /// The name of what the task is about, once what that needs is there.
    fn meant(&self, volumes: &[Volume]) -> Result<&'a str, Fault> {
        let (vg, lv) = (self.vg, self.lv);
        let named = |name: &str| volumes.iter().find(|volume| volume.name == name);
        match (self.snapshot, self.pool) {
            (Some(snapshot), pool) => {
                let from = |it: &&Volume| Some(&*it.name) == lv || Some(&*it.name) == pool;
                let Some(origin) = volumes.iter().find(from) else {
                    let lv = self.lv_told();
                    return Err(fail!(
                        "Snapshot origin LV {lv} does not exist in volume group {vg}."
                    ));
                };
                if origin.is_pool || pool.is_some() {
                    return Err(fail!("Snapshots of thin pool LVs are not supported."));
                }
                Ok(snapshot)
            }
            (None, Some(pool)) => match lv {
                Some(lv) if named(pool).is_some() => Ok(lv),
                Some(_) => Err(fail!("Thin pool LV {pool} does not exist in volume group {vg}.")),
                None => Ok(pool),
            },
            // One of the two is required.
            (None, None) => Ok(lv.unwrap_or_default()),
        }
    }
}

/// Makes a volume; `words` come first.
fn create(
    wish: &Wish<'_>,
    size: Option<&Size>,
    volumes: &[Volume],
    words: Vec<&'static str>,
    ctx: &Context,
) -> Result<(), Fault> {
    let mut all: Vec<String> = words.into_iter().map(str::to_owned).collect();
    all.extend(making(wish, size, volumes)?);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let ran = call("lvcreate", &all, ctx)?;
    if ran.success() {
        return Ok(());
    }
    Err(told(fail!("Creating logical volume '{}' failed", wish.lv_told()), &ran))
}

/// The words by which lvcreate(8) makes a volume.
fn making(wish: &Wish<'_>, size: Option<&Size>, volumes: &[Volume]) -> Result<Vec<String>, Fault> {
    match size {
        Some(Size { sign: Some('-'), text, .. }) => {
            return Err(fail!("Bad size specification of '-{text}' for creating LV"));
        }
        Some(Size { sign: Some(_), of: Of::Unit(..), .. }) => {
            return Err(Fault::beyond("a volume that is not there cannot become larger"));
        }
        None => {
            let thin = volumes.iter().any(|it| Some(&*it.name) == wish.lv && it.is_thin);
            if wish.snapshot.is_none() || !thin {
                return Err(fail!("No size given."));
            }
        }
        Some(_) => {}
    }
    let (vg, lv) = (wish.vg, wish.lv_told().to_owned());
    let mut words = Vec::new();
    let mut option = size.map_or("-L", Size::option);
    if let (None, Some(_), Some(_)) = (wish.snapshot, wish.pool, wish.lv) {
        if option == "-l" {
            return Err(fail!("Thin volume sizing with percentage not supported."));
        }
        option = "-V";
    }
    if wish.snapshot.is_none() && wish.lv.is_some() {
        words.extend(["-n".to_owned(), lv.clone()]);
    }
    words.extend(size.map(|size| [option.to_owned(), size.told()]).into_iter().flatten());
    match (wish.snapshot, wish.pool) {
        (Some(snapshot), _) => {
            words.extend(["-s", "-n", snapshot].map(str::to_owned));
            words.extend(wish.opts.iter().cloned().chain([format!("{vg}/{lv}")]));
        }
        (None, Some(pool)) => {
            words.extend(wish.opts.iter().cloned());
            words.extend(["-T".to_owned(), format!("{vg}/{pool}")]);
        }
        (None, None) => {
            words.extend(wish.opts.iter().cloned().chain([vg.to_owned()]));
            words.extend(wish.pvs.iter().cloned());
        }
    }
    Ok(words)
}

/// What came of an attempt to give a volume another size.
enum Resized {
    Done,
    /// It has that size already.
    Same,
    /// It is larger already, as lvm said on its error output.
    Larger(String),
}

fn resize(
    wish: &Wish<'_>,
    size: &Size,
    way: Way,
    options: &[&str],
    full: &str,
    ctx: &Context,
) -> Result<Resized, Fault> {
    let (program, force) = match way {
        Way::Extend => ("lvextend", &[][..]),
        Way::Reduce => ("lvreduce", &["--force"][..]),
    };
    let amount = size.sign.map(String::from).unwrap_or_default() + &size.told();
    let asked = [size.option(), amount.as_str(), full];
    let mut words = [force, options, testing(ctx), &asked[..]].concat();
    words.extend(wish.pvs.iter().map(String::as_str));
    let ran = call(program, &words, ctx)?;
    let (out, err) = (ran.out(), ran.err());
    let says = |text: &str| out.contains(text) || err.contains(text);
    let failed = || told(fail!("Unable to resize {} to {}", wish.lv_told(), size.told()), &ran);
    if out.contains("Reached maximum COW size") {
        return Err(failed().with("out", out));
    }
    if ran.success() {
        return Ok(Resized::Done);
    }
    if says("matches existing size") {
        return Ok(Resized::Same);
    }
    if says("not larger than existing size") {
        return Ok(Resized::Larger(err));
    }
    Err(failed())
}

/// The version in lvm's answer, such as `LVM version:     2.03.16(2) (2022-05-18)`.
fn version(said: &str) -> Option<[u32; 3]> {
    let (_, rest) = said.split_once("LVM version:")?;
    let line = rest.lines().next()?.trim_start();
    let mut parts = line.splitn(3, '.');
    let (major, minor, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some([major.parse().ok()?, minor.parse().ok()?, rest[..end].parse().ok()?])
}

fn call(program: &str, words: &[&str], ctx: &Context) -> Result<Ran, Fault> {
    let cmd = Cmd::new(ctx.required(program)?)
        .args(words)
        .expanded(ctx)
        .plain_locale()
        .env("LC_CTYPE", "C");
    cmd.run(ctx).or_fail(format!("cannot run {program}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const LVS: &str = "  root;512.00;-wi-ao----\n  pool;64.00;twi-a-tz--\n  thin;128.00;Vwi---tz--\n  [pool_tdata];64.00;Twi-ao----\n";

    fn args(given: Value) -> Args {
        let spec = updraft_spec::find("community.general.lvol").unwrap();
        Args::check(spec, "lvol", given.as_object().unwrap(), &Context::system()).unwrap()
    }

    fn words(given: Value) -> String {
        let args = args(given);
        let wish = Wish::new(&args).unwrap();
        let size = args.str("size").map(|size| Size::parse(size, wish.snapshot.is_some()).unwrap());
        let volumes = Volume::parse_all(LVS).unwrap();
        match wish.meant(&volumes).and_then(|_| making(&wish, size.as_ref(), &volumes)) {
            Ok(words) => words.join(" "),
            Err(fault) => fault.message,
        }
    }

    #[test]
    fn the_version_of_lvm_is_read() {
        let told = "  LVM version:     2.03.16(2) (2022-05-18)\n  Library version: 1.02.185\n";
        assert_eq!(version(told), Some([2, 3, 16]));
        assert_eq!(version("lvm"), None);
    }

    #[test]
    fn a_volume_is_made_with_the_words_of_its_kind() {
        for (given, expected) in [
            (
                json!({ "lv": "a", "size": 8, "pvs": "/dev/x", "opts": "-r 16" }),
                "-n a -L 8m -r 16 vg /dev/x",
            ),
            (json!({ "lv": "a", "size": "+100%FREE" }), "-n a -l 100%FREE vg"),
            (json!({ "lv": "a", "size": "-8m" }), "Bad size specification of '-8' for creating LV"),
            (
                json!({ "lv": "a", "size": "+8m" }),
                "a volume that is not there cannot become larger",
            ),
            (json!({ "lv": "a" }), "No size given."),
            (json!({ "thinpool": "p", "size": "1g" }), "-L 1g -T vg/p"),
            (json!({ "lv": "a", "thinpool": "pool", "size": "1g" }), "-n a -V 1g -T vg/pool"),
            (
                json!({ "lv": "a", "thinpool": "pool", "size": "9%VG" }),
                "Thin volume sizing with percentage not supported.",
            ),
            (
                json!({ "lv": "a", "thinpool": "p", "size": "1g" }),
                "Thin pool LV p does not exist in volume group vg.",
            ),
            (
                json!({ "lv": "root", "snapshot": "s", "size": "9%ORIGIN" }),
                "-l 9%ORIGIN -s -n s vg/root",
            ),
            (json!({ "lv": "thin", "snapshot": "s" }), "-s -n s vg/thin"),
            (json!({ "lv": "root", "snapshot": "s" }), "No size given."),
            (
                json!({ "lv": "none", "snapshot": "s", "size": 1 }),
                "Snapshot origin LV none does not exist in volume group vg.",
            ),
            (
                json!({ "thinpool": "pool", "snapshot": "s", "size": 1 }),
                "Snapshots of thin pool LVs are not supported.",
            ),
        ] {
            let mut given = given;
            given["vg"] = json!("vg");
            assert_eq!(words(given.clone()), expected, "{given}");
        }
    }
}
