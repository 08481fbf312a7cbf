//! `updraft machine resize`: another shape for one machine.

use super::change::listen;
use super::{Context, Ended, FAILED, Result};
use crate::args::Resize;
use crate::ui;
use updraft_base::{ByteSize, MachineName};
use updraft_control::{Outcome, ShapeChange, SiteControl};

/// The least memory that a machine can have, as in the site file.
const LEAST_MEMORY: ByteSize = ByteSize::mib(64);

pub(crate) async fn resize(context: &Context, args: &Resize) -> Result {
    if let Some(memory) = args.memory
        && memory < LEAST_MEMORY
    {
        let message = format!("{memory} of memory are too little: a machine has at least 64MiB");
        return Err(context.asked(&message, None));
    }
    let control = context.open_for(&args.run)?;
    let fail = |error| context.fail_control(&error);
    let name = control.party(&args.machine).map_err(fail)?.name;
    let Resize { memory, cpus, disk, .. } = *args;
    let shape = ShapeChange { memory, cpus, disk };
    let change = control.take().map_err(fail)?;
    let stop = listen();
    let plan = context.planned(&stop, change.plan_resize(&name, shape)).await?;
    tell_site_file(context, &control, &name, shape)?;
    if plan.is_empty() {
        ui::say("Nothing to do.");
        return Ok(0);
    }
    match context.carry_out(&change, plan, true, &args.run, &stop).await? {
        Outcome::Done => Ok(0),
        Outcome::Failed | Outcome::Stopped => Err(Ended(FAILED)),
    }
}

/// Says where the site file says otherwise, because the next `up` goes by that.
fn tell_site_file(
    context: &Context,
    control: &SiteControl,
    name: &MachineName,
    shape: ShapeChange,
) -> Result<()> {
    let said = control.said_otherwise(name, shape).map_err(|error| context.fail_control(&error))?;
    let Some(said) = said else { return Ok(()) };
    let then = match said.shrinks {
        true => "is refused, because a disk never shrinks",
        false => "takes this back",
    };
    ui::say(&format!(
        "{}: `{}` says {} for group {}: write the new values there, or the next `updraft up` {then}",
        context.terminal.paint("1;36", "note"),
        context.global.site,
        said.says.join(", "),
        said.group,
    ));
    Ok(())
}
