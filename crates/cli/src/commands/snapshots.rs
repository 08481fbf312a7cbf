//! Commands for snapshots of single machines.

use super::change::listen;
use super::{Context, Ended, FAILED, Result};
use crate::args::{Confirm, Run, Snapshot};
use crate::ui::{self, table};
use updraft_control::{Change, Outcome, Plan, SnapshotWish, StopSignal};

/// `updraft machine snapshot`
pub(crate) async fn take(context: &Context, args: &Snapshot) -> Result {
    let control = context.open_for(&args.run)?;
    let change = control.take().map_err(|error| context.fail_control(&error))?;
    let stop = listen();
    let wish = SnapshotWish {
        label: args.label.clone(),
        memory: args.memory,
        keep: args.keep.map(usize::from),
    };
    let plan = context.planned(&stop, change.plan_snapshot(&args.machine, wish)).await?;
    end(context, &change, plan, true, &args.run, &stop).await
}

/// `updraft machine revert`
pub(crate) async fn revert(
    context: &Context,
    machine: &str,
    snapshot: &str,
    confirm: &Confirm,
) -> Result {
    let control = context.open_for(&confirm.run)?;
    let change = control.take().map_err(|error| context.fail_control(&error))?;
    let stop = listen();
    let plan = context.planned(&stop, change.plan_revert(machine, snapshot)).await?;
    end(context, &change, plan, confirm.yes, &confirm.run, &stop).await
}

/// `updraft machine drop`
pub(crate) async fn drop_one(
    context: &Context,
    machine: &str,
    snapshot: &str,
    run: &Run,
) -> Result {
    let control = context.open_for(run)?;
    let change = control.take().map_err(|error| context.fail_control(&error))?;
    let stop = listen();
    let plan = context.planned(&stop, change.plan_drop(machine, snapshot)).await?;
    end(context, &change, plan, true, run, &stop).await
}

/// Runs a plan for one machine to its end.
pub(crate) async fn end(
    context: &Context,
    change: &Change<'_>,
    plan: Plan,
    yes: bool,
    run: &Run,
    stop: &StopSignal,
) -> Result {
    match context.carry_out(change, plan, yes, run, stop).await? {
        Outcome::Done => Ok(0),
        Outcome::Failed | Outcome::Stopped => Err(Ended(FAILED)),
    }
}

/// `updraft machine snapshots`
pub(crate) async fn list(context: &Context, machine: Option<&str>, json: bool) -> Result {
    let control = context.site()?;
    let views = control.snapshots(machine).await.map_err(|error| context.fail_control(&error))?;
    if json {
        ui::json(&views);
        return Ok(0);
    }
    if views.is_empty() {
        ui::say("There are no snapshots.");
        return Ok(0);
    }
    let head = ["machine", "snapshot", "label", "taken", "size", "memory"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for view in views {
        let memory = if view.memory { "yes" } else { "" };
        let label = view.label.unwrap_or_default();
        rows.push(vec![view.machine, view.name, label, view.taken, view.stored, memory.to_owned()]);
    }
    ui::out(&table(&rows));
    Ok(0)
}
