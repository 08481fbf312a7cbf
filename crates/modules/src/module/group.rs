//! `group`: a group exists with this number, or does not.

use crate::accounts;
use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, OrFail, Outcome, fail};
use crate::process::Cmd;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let name = args.text("name");
    let gid = args.int("gid");
    if args.flag("local") {
        if args.flag("force") {
            return Err(fail!(
                "force is not a valid option for local, force=True and local=True are mutually exclusive"
            ));
        }
        for name in ["gid_min", "gid_max"] {
            if args.int(name).is_some() {
                return Err(fail!("'{name}' can not be used with 'local'"));
            }
        }
        if let Some(other) = accounts::local_groups()
            .into_iter()
            .find(|group| Some(i64::from(group.gid)) == gid && group.name != name)
            .filter(|_| args.text("state") == "present")
        {
            let gid = other.gid;
            return Err(fail!("GID '{gid}' already exists with group '{}'", other.name));
        }
    }
    let find = || {
        if args.flag("local") {
            accounts::local_groups().into_iter().find(|group| group.name == name)
        } else {
            accounts::group(name, ctx)
        }
    };
    let now = find();
    let state = args.text("state");
    let cmd = match (state, &now) {
        ("absent", None) => None,
        ("absent", Some(_)) => {
            let cmd = Cmd::new("groupdel");
            Some(if args.flag("force") { cmd.arg("-f") } else { cmd })
        }
        (_, None) => Some(add(args, gid)),
        (_, Some(group)) => match gid {
            Some(gid) if i64::from(group.gid) != gid => {
                let cmd = Cmd::new("groupmod").arg("-g").arg(gid.to_string());
                Some(if args.flag("non_unique") { cmd.arg("-o") } else { cmd })
            }
            _ => None,
        },
    };
    let mut outcome = Outcome::changed(cmd.is_some()).with("name", name).with("state", state);
    if let (Some(cmd), false) = (cmd, ctx.check) {
        let ran =
            cmd.arg("--").arg(name).plain_locale().run(ctx).or_fail("cannot change groups")?;
        if !ran.success() {
            return Err(fail!("{}", ran.err()).with("name", name));
        }
        for (key, text) in [("stdout", ran.out()), ("stderr", ran.err())] {
            if !text.is_empty() {
                outcome = outcome.with(key, text);
            }
        }
    }
    if let Some(group) = find() {
        outcome = outcome.with("gid", group.gid).with("system", args.flag("system"));
    }
    Ok(outcome)
}

fn add(args: &Args, gid: Option<i64>) -> Cmd {
    let mut cmd = Cmd::new("groupadd");
    if let Some(gid) = gid {
        cmd = cmd.arg("-g").arg(gid.to_string());
        if args.flag("non_unique") {
            cmd = cmd.arg("-o");
        }
    }
    if args.flag("system") {
        cmd = cmd.arg("-r");
    }
    for (name, key) in [("gid_min", "GID_MIN"), ("gid_max", "GID_MAX")] {
        if let Some(value) = args.int(name) {
            cmd = cmd.arg("-K").arg(format!("{key}={value}"));
        }
    }
    cmd
}
