//! `dpkg_selections`: what dpkg is asked to do with a package (dpkg(1), `--set-selections`).

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Outcome, fail};
use crate::process::Cmd;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let (name, wanted) = (args.text("name"), args.text("selection"));
    let dpkg = ctx.required("dpkg")?;
    let ran = plainly(Cmd::new(&dpkg).args(["--get-selections", name])).checked(ctx)?;
    if ran.err().contains("no packages found matching") {
        return Err(fail!("Failed to find package '{name}' to perform selection '{wanted}'."));
    }
    let said = ran.out();
    let before = said.split_whitespace().nth(1).unwrap_or("not present");
    let changed = before != wanted;
    if changed && !ctx.check {
        let line = format!("{name} {wanted}\n");
        plainly(Cmd::new(&dpkg).arg("--set-selections").input(line)).checked(ctx)?;
    }
    Ok(Outcome::changed(changed).with("before", before).with("after", wanted))
}

fn plainly(cmd: Cmd) -> Cmd {
    cmd.plain_locale().env("LC_CTYPE", "C").env("LANGUAGE", "C")
}
