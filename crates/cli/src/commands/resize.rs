//! `updraft machine resize`: another shape for one machine.

use super::change::listen;
use super::{Context, Ended, FAILED, Result};
use crate::args::Resize;
use crate::ui;
use updraft_base::{ByteSize, MachineName};
use updraft_control::{Outcome, ShapeChange, SiteControl};
use updraft_site::{LEAST_MEMORY, MOST_DISK, MOST_MEMORY};

pub(crate) async fn resize(context: &Context, args: &Resize) -> Result {
    within("memory", args.memory, LEAST_MEMORY, MOST_MEMORY)
        .and_then(|()| within("disk", args.disk, ByteSize::bytes(0), MOST_DISK))
        .map_err(|message| context.asked(&message, None))?;
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

/// Refuses what the site file would refuse. Whether a disk is too small, its machine says.
fn within(
    what: &str,
    asked: Option<ByteSize>,
    least: ByteSize,
    most: ByteSize,
) -> std::result::Result<(), String> {
    match asked {
        Some(asked) if asked < least => {
            Err(format!("{asked} of {what} are too little: a machine has at least {least}"))
        }
        Some(asked) if asked > most => {
            Err(format!("{asked} of {what} are too much: a machine has at most {most}"))
        }
        _ => Ok(()),
    }
}
