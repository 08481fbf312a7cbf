//! `lvg`: a volume group of LVM is there on these physical volumes, active or not, or is gone.
//!
//! What is there is what vgs(8) and pvs(8) tell. A state of the host in whose answers Ansible's
//! module would stumble is left to it as long as nothing was changed.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place;
use crate::process::{Cmd, Ran};
use std::path::Path;

const AUTOACTIVATION: &str = "--setautoactivation";
/// Devices of the device mapper by their numbers; a group knows them by name.
const NUMBERED: &str = "/dev/dm-";

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let wish = Wish {
        vg: args.text("vg"),
        state: args.text("state"),
        named: args.list("pvs"),
        pesize: args.text("pesize"),
        pv_options: args.text("pv_options").split_whitespace().collect(),
        vg_options: args.text("vg_options").split_whitespace().collect(),
    };
    if wish.vg.is_empty() || wish.named.iter().any(String::is_empty) {
        return Err(Fault::beyond("a name that is empty is not supported"));
    }
    let fields = ["--noheadings", "-o", "vg_name,pv_count,lv_count", "--separator", ";"];
    let said = checked("vgs", &fields, ctx)?.out();
    let volumes = volumes_of(&said, wish.vg).ok_or_else(|| strange("vgs"))?;
    let present = wish.state != "absent";
    if present && volumes.is_none() && wish.named.is_empty() {
        return Err(fail!("No physical volumes given."));
    }
    let devices: Vec<String> = wish
        .named
        .iter()
        .map(|dev| place::real(Path::new(dev)).to_string_lossy().into_owned())
        .collect();
    let Some(volumes) = volumes else {
        if !present {
            return Ok(Outcome::changed(false));
        }
        observe_members(&wish, &devices, ctx)?;
        create(&wish, &devices, ctx)?;
        return Ok(Outcome::changed(true));
    };
    if !present {
        if !ctx.check {
            remove(wish.vg, volumes == 0 || args.flag("force"), ctx)?;
        }
        return Ok(Outcome::changed(true));
    }
    let now = observe_members(&wish, &devices, ctx)?;
    let mut changed = match wish.state {
        "active" => activate(wish.vg, true, ctx)?,
        "inactive" => activate(wish.vg, false, ctx)?,
        _ => false,
    };
    if args.flag("reset_vg_uuid") {
        changed = true;
        act("vgchange", &["-u", wish.vg], ctx)?;
    }
    if devices.is_empty() {
        return Ok(Outcome::changed(changed));
    }
    for device in &now {
        if args.flag("pvresize") {
            changed |= resize(device, ctx)?;
        }
        if args.flag("reset_pv_uuid") {
            changed = true;
            rename(device, ctx)?;
        }
    }
    let added = only_in(&devices, &now);
    let removed = if args.flag("remove_extra_pvs") { only_in(&now, &devices) } else { Vec::new() };
    changed |= !added.is_empty() || !removed.is_empty();
    if !ctx.check {
        resize_group(&wish, &added, &removed, ctx)?;
    }
    Ok(Outcome::changed(changed))
}

/// What a task says of a group.
struct Wish<'a> {
    vg: &'a str,
    state: &'a str,
    /// Physical volumes as the task names them.
    named: Vec<String>,
    pesize: &'a str,
    pv_options: Vec<&'a str>,
    vg_options: Vec<&'a str>,
}

impl Wish<'_> {
    /// Which physical volumes pvs(8) is asked for: those of the task by either name, and those of
    /// the group.
    fn selection(&self, devices: &[String]) -> Option<String> {
        let names = devices.iter().chain(&self.named).map(|name| format!("pv_name = {name}"));
        let all: Vec<String> = names.chain([format!("vg_name = {}", self.vg)]).collect();
        (!devices.is_empty()).then(|| all.join(" || "))
    }
}

/// The physical volumes of the group, by their real paths; it fails when a device of the task is
/// not there or belongs to another group.
fn observe_members(
    wish: &Wish<'_>,
    devices: &[String],
    ctx: &Context,
) -> Result<Vec<String>, Fault> {
    if let Some(gone) = devices.iter().find(|device| !Path::new(device).exists()) {
        return Err(fail!("Device {gone} not found."));
    }
    let selection = wish.selection(devices);
    let mut words = vec!["--noheadings", "-o", "pv_name,vg_name", "--separator", ";"];
    words.extend(selection.iter().flat_map(|selection| ["--select", selection]));
    let ran = call("pvs", &words, ctx)?;
    if !ran.success() {
        return Err(told(fail!("Failed executing pvs command."), &ran));
    }
    let mut members = Vec::new();
    for line in ran.out().lines() {
        let mut parts = line.trim().split(';');
        let (Some(name), Some(group)) = (parts.next(), parts.next()) else {
            return Err(strange("pvs"));
        };
        let name = if name.starts_with(NUMBERED) { mapped(name, ctx)? } else { name.to_owned() };
        if group == wish.vg {
            members.push(place::real(Path::new(&name)).to_string_lossy().into_owned());
        } else if !group.is_empty() && devices.contains(&name) {
            return Err(fail!("Device {name} is already in {group} volume group."));
        }
    }
    Ok(members)
}

/// The name of a device of the device mapper.
fn mapped(device: &str, ctx: &Context) -> Result<String, Fault> {
    let ran = call("dmsetup", &["info", "-C", "--noheadings", "-o", "name", device], ctx)?;
    if !ran.success() {
        return Err(told(fail!("Failed executing dmsetup command."), &ran));
    }
    Ok(format!("/dev/mapper/{}", ran.out().trim_end()))
}

/// How many logical volumes a group has, if it is there; nothing when the answer is none.
fn volumes_of(said: &str, vg: &str) -> Option<Option<u64>> {
    let mut found = None;
    for line in said.lines() {
        let mut parts = line.trim().split(';');
        let name = parts.next()?;
        let _: u64 = parts.next()?.parse().ok()?;
        let volumes: u64 = parts.next()?.parse().ok()?;
        if name == vg && found.is_none() {
            found = Some(volumes);
        }
    }
    Some(found)
}

fn create(wish: &Wish<'_>, devices: &[String], ctx: &Context) -> Result<(), Fault> {
    let mut words = wish.vg_options.clone();
    let knows = checked("vgcreate", &["--help"], ctx)?.out().contains(AUTOACTIVATION);
    if knows && !words.contains(&AUTOACTIVATION) {
        match wish.state {
            "active" => words.extend([AUTOACTIVATION, "y"]),
            "inactive" => words.extend([AUTOACTIVATION, "n"]),
            _ => {}
        }
    }
    if ctx.check {
        return Ok(());
    }
    for device in devices {
        prepare(wish, device, ctx)?;
    }
    words.extend(["-s", wish.pesize, wish.vg]);
    words.extend(devices.iter().map(String::as_str));
    let ran = call("vgcreate", &words, ctx)?;
    if ran.success() {
        return Ok(());
    }
    Err(told(fail!("Creating volume group '{}' failed", wish.vg), &ran))
}

/// Makes a physical volume of a device.
fn prepare(wish: &Wish<'_>, device: &str, ctx: &Context) -> Result<(), Fault> {
    let mut words = wish.pv_options.clone();
    words.extend(["-f", device]);
    let ran = call("pvcreate", &words, ctx)?;
    if ran.success() {
        return Ok(());
    }
    Err(told(fail!("Creating physical volume '{device}' failed"), &ran))
}

fn remove(vg: &str, may: bool, ctx: &Context) -> Result<(), Fault> {
    if !may {
        return Err(fail!("Refuse to remove non-empty volume group {vg} without force=true"));
    }
    let ran = call("vgremove", &["--force", vg], ctx)?;
    if ran.success() {
        return Ok(());
    }
    Err(told(fail!("Failed to remove volume group {vg}"), &ran))
}

/// What has to be done so that all logical volumes of a group are active, now and at a boot, or
/// none is: the words of vgchange(8).
fn decide_activation(said: &str, knows: bool, active: bool) -> Option<Vec<[&'static str; 2]>> {
    let (mut others, mut at_boot) = (false, false);
    for line in said.lines() {
        let mut parts = line.trim().split(';');
        others |= (parts.next()?.chars().nth(4)? == 'a') != active;
        at_boot |= knows && parts.next()? == "enabled";
    }
    let answer = if active { "y" } else { "n" };
    let mut acts = Vec::new();
    if knows && at_boot != active {
        acts.push([AUTOACTIVATION, answer]);
    }
    if others {
        acts.push(["--activate", answer]);
    }
    Some(acts)
}

fn activate(vg: &str, active: bool, ctx: &Context) -> Result<bool, Fault> {
    let knows = checked("vgchange", &["--help"], ctx)?.out().contains(AUTOACTIVATION);
    let fields = if knows { "lv_attr,autoactivation" } else { "lv_attr" };
    let said = checked("vgs", &["--noheadings", "-o", fields, "--separator", ";", vg], ctx)?.out();
    let acts = decide_activation(&said, knows, active).ok_or_else(|| strange("vgs"))?;
    for [option, answer] in &acts {
        act("vgchange", &[option, answer, vg], ctx)?;
    }
    Ok(!acts.is_empty())
}

/// What pvdisplay(8) tells of the room of a physical volume, in bytes.
#[derive(Debug, PartialEq)]
struct Room {
    device: u64,
    volume: u64,
    start: u64,
    extent: u64,
}

impl Room {
    fn parse(said: &str) -> Option<Self> {
        let mut numbers = said.trim().split(';').map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Self { device: next()?, volume: next()?, start: next()?, extent: next()? })
    }

    /// Whether more than an extent of the device is not used.
    fn is_left(&self) -> bool {
        let used = self.start.saturating_add(self.volume);
        self.device.saturating_sub(used) > self.extent
    }
}

fn observe_room(device: &str, ctx: &Context) -> Result<Room, Fault> {
    let mut words = vec![device, "--units", "b", "--columns", "--noheadings", "--nosuffix"];
    words.extend(["--separator", ";", "-o", "dev_size,pv_size,pe_start,vg_extent_size"]);
    let said = checked("pvdisplay", &words, ctx)?.out();
    Room::parse(&said).ok_or_else(|| fail!("what pvdisplay tells of {device} is not understood"))
}

/// Gives a physical volume all of its device.
fn resize(device: &str, ctx: &Context) -> Result<bool, Fault> {
    let room = observe_room(device, ctx)?;
    if !room.is_left() {
        return Ok(false);
    }
    if !ctx.check {
        // It also fails when another volume of the group is missing, so what counts is the size.
        let ran = call("pvresize", &[device], ctx)?;
        if observe_room(device, ctx)?.volume == room.volume {
            let fault = told(fail!("Failed executing pvresize command."), &ran);
            return Err(fault.with("out", ran.out()));
        }
    }
    Ok(true)
}

/// Gives a physical volume another UUID.
fn rename(device: &str, ctx: &Context) -> Result<(), Fault> {
    let asked = ["--noheadings", "-o", "uuid", device];
    let before = checked("pvs", &asked, ctx)?.out();
    if ctx.check {
        return Ok(());
    }
    let ran = call("pvchange", &["-u", device], ctx)?;
    if checked("pvs", &asked, ctx)?.out().trim() == before.trim() {
        let fault = told(fail!("PV ({device}) UUID change failed"), &ran);
        return Err(fault.with("out", ran.out()));
    }
    Ok(())
}

/// What is in `these` and not in `those`, each once.
fn only_in<'a>(these: &'a [String], those: &[String]) -> Vec<&'a str> {
    let mut more: Vec<&str> = Vec::new();
    for one in these.iter().filter(|one| !those.contains(one)) {
        if !more.contains(&one.as_str()) {
            more.push(one);
        }
    }
    more
}

/// Gives a group more devices, then takes others from it.
fn resize_group(
    wish: &Wish<'_>,
    added: &[&str],
    removed: &[&str],
    ctx: &Context,
) -> Result<(), Fault> {
    for device in added {
        prepare(wish, device, ctx)?;
    }
    for (program, options, devices) in
        [("vgextend", &[][..], added), ("vgreduce", &["--force"][..], removed)]
    {
        if devices.is_empty() {
            continue;
        }
        let words: Vec<&str> = [options, &[wish.vg][..], devices].concat();
        let ran = call(program, &words, ctx)?;
        if !ran.success() {
            let verb = program.trim_start_matches("vg");
            let message = format!("Unable to {verb} {} by {}.", wish.vg, devices.join(" "));
            return Err(told(Fault::new(message), &ran));
        }
    }
    Ok(())
}

/// How a program failed, as Ansible's module tells it.
pub(super) fn told(fault: Fault, ran: &Ran) -> Fault {
    fault.with("rc", ran.code).with("err", ran.err())
}

pub(super) fn strange(program: &str) -> Fault {
    Fault::beyond(format!("what {program} tells is not understood"))
}

fn call(program: &str, words: &[&str], ctx: &Context) -> Result<Ran, Fault> {
    let cmd = Cmd::new(ctx.required(program)?).args(words).expanded(ctx);
    cmd.run(ctx).or_fail(format!("cannot run {program}"))
}

fn checked(program: &str, words: &[&str], ctx: &Context) -> Result<Ran, Fault> {
    Cmd::new(ctx.required(program)?).args(words).expanded(ctx).checked(ctx)
}

/// Runs what changes something, unless that is only to be told.
fn act(program: &str, words: &[&str], ctx: &Context) -> Result<(), Fault> {
    if !ctx.check {
        checked(program, words, ctx)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_among_those_that_vgs_tells() {
        let said = "  data;2;0\n  root;1;3\n";
        assert_eq!(volumes_of(said, "root"), Some(Some(3)));
        assert_eq!(volumes_of(said, "data"), Some(Some(0)));
        assert_eq!(volumes_of(said, "dat"), Some(None));
        assert_eq!(volumes_of("", "data"), Some(None));
        assert_eq!(volumes_of("  WARNING: something\n", "data"), None);
    }

    #[test]
    fn volumes_are_made_active_now_and_at_a_boot_where_they_are_not() {
        let y = [AUTOACTIVATION, "y"];
        let n = [AUTOACTIVATION, "n"];
        let (up, down) = (["--activate", "y"], ["--activate", "n"]);
        for (said, knows, active, expected) in [
            ("  -wi-a-----;enabled\n", true, true, vec![]),
            ("  -wi-a-----;enabled\n", true, false, vec![n, down]),
            ("  -wi-------;\n", true, true, vec![y, up]),
            ("  -wi-------;enabled\n  -wi-a-----;enabled\n", true, true, vec![up]),
            ("  -wi-------;\n", true, false, vec![]),
            ("  -wi-a-----\n  -wi-------\n", false, false, vec![down]),
            ("  -wi-------\n", false, false, vec![]),
        ] {
            assert_eq!(decide_activation(said, knows, active), Some(expected), "{said}");
        }
        // A group without volumes has no attributes of any.
        assert_eq!(decide_activation("  ;enabled\n", true, true), None);
    }

    #[test]
    fn a_physical_volume_grows_when_more_than_an_extent_is_left() {
        const EXTENT: u64 = 4 << 20;
        for (device, volume, left) in [
            (64 << 20, 60 << 20, false),
            (70 << 20, 60 << 20, true),
            (65 << 20, 60 << 20, false),
            (32 << 20, 60 << 20, false),
        ] {
            let room = Room::parse(&format!("  {device};{volume};{};{EXTENT}\n", 1 << 20)).unwrap();
            assert_eq!(room, Room { device, volume, start: 1 << 20, extent: EXTENT });
            assert_eq!(room.is_left(), left, "{room:?}");
        }
        assert_eq!(Room::parse("  67108864;67108864;1048576;\n"), None);
    }

    #[test]
    fn devices_are_asked_for_by_either_name() {
        let wish = Wish {
            vg: "data",
            state: "present",
            named: vec!["/dev/disk/by-id/a".to_owned()],
            pesize: "4",
            pv_options: Vec::new(),
            vg_options: Vec::new(),
        };
        assert_eq!(
            wish.selection(&["/dev/vdb".to_owned()]).unwrap(),
            "pv_name = /dev/vdb || pv_name = /dev/disk/by-id/a || vg_name = data"
        );
        assert_eq!(wish.selection(&[]), None);
    }

    #[test]
    fn what_is_in_one_list_only_is_told_once() {
        let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(only_in(&list("b a b c"), &list("c")), ["b", "a"]);
        assert!(only_in(&list("a"), &list("b a")).is_empty());
    }
}
