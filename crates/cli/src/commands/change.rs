//! Commands that change the world: each makes a plan, shows it, asks, and runs it.

use super::{Context, Ended, FAILED, Result};
use crate::args::{Confirm, Run, Up};
use crate::ui::{self, RunView};
use updraft_control::{Change, ControlError, Outcome, Plan, SavedPlan, SiteControl, StopSignal};

/// Listens for Ctrl-C and SIGTERM: once stops between steps, twice at once.
pub(crate) fn listen() -> StopSignal {
    let stop = StopSignal::new();
    let heard = stop.clone();
    tokio::spawn(async move {
        let Ok(mut terminate) =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        else {
            return;
        };
        loop {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            heard.press();
            match heard.now() {
                false => {
                    ui::say("Stopping when the running steps are done. Ctrl-C again stops at once.")
                }
                true => ui::say("Stopping at once."),
            }
        }
    });
    stop
}

impl Context {
    /// The same for a run of this width.
    pub(crate) fn open_for(&self, run: &Run) -> Result<SiteControl> {
        let mut control = self.site()?;
        control.set_width(usize::from(run.width));
        Ok(control)
    }

    fn take<'a>(&self, control: &'a SiteControl) -> Result<Change<'a>> {
        control.take().map_err(|error| self.fail_control(&error))
    }

    /// Shows a plan, asks if something would be destroyed, and runs it.
    pub(crate) async fn carry_out(
        &self,
        change: &Change<'_>,
        plan: Plan,
        yes: bool,
        run: &Run,
        stop: &StopSignal,
    ) -> Result<Outcome> {
        ui::say(updraft_control::render_plan(&plan).trim_end());
        if plan.destroys() && !yes {
            if !self.terminal.can_ask() {
                return Err(self.asked(
                    "this would destroy something, and nobody can be asked here",
                    Some("look at `updraft plan`, then run it again with --yes"),
                ));
            }
            if !self.terminal.ask("Go on?") {
                ui::say("Nothing was changed.");
                return Err(Ended(FAILED));
            }
        }
        let mut view = RunView::new(self.terminal, run.verbose);
        let ran = change.run(plan, stop, &mut |event| view.show(event)).await;
        let outcome = ran.map_err(|error| self.fail_control(&error))?;
        self.tell_notices(change);
        ui::say(&view.summary);
        Ok(outcome)
    }

    fn tell_notices(&self, change: &Change<'_>) {
        for notice in change.notices() {
            ui::say(&format!("{}: {notice}", self.terminal.paint("1;36", "note")));
        }
    }

    fn outcome(&self, outcome: Outcome) -> Result {
        match outcome {
            Outcome::Done => Ok(0),
            Outcome::Failed => Err(Ended(FAILED)),
            Outcome::Stopped => {
                ui::say("The same command goes on where this one stopped.");
                Err(Ended(FAILED))
            }
        }
    }
}

fn read_plan(path: &camino::Utf8Path) -> std::result::Result<SavedPlan, ControlError> {
    let fault = |why: String| ControlError::NotAPlan { path: path.into(), why };
    let text = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    updraft_control::parse_plan(&text).map_err(fault)
}

/// `updraft up`
pub(crate) async fn up(context: &Context, args: &Up) -> Result {
    let run = &args.confirm.run;
    let saved = args.plan.as_deref().map(read_plan).transpose();
    let saved = saved.map_err(|error| context.fail_control(&error))?;
    let control = context.open_for(run)?;
    let change = context.take(&control)?;
    let stop = listen();
    if let Some(saved) = saved {
        change.check_saved(&saved).await.map_err(|error| context.fail_control(&error))?;
        if saved.plan.is_empty() {
            ui::say("Nothing to do.");
            return Ok(0);
        }
        let outcome = context.carry_out(&change, saved.plan, true, run, &stop).await?;
        return context.outcome(outcome);
    }
    let mut view = RunView::new(context.terminal, run.verbose);
    let resumed = change.resume(&stop, &mut |event| view.show(event)).await;
    match resumed.map_err(|error| context.fail_control(&error))? {
        None => {}
        Some(outcome) => {
            context.tell_notices(&change);
            ui::say(&view.summary);
            if outcome != Outcome::Done {
                return context.outcome(outcome);
            }
        }
    }
    let plan = change.plan_up().await.map_err(|error| context.fail_control(&error))?;
    if plan.is_empty() {
        change.keep(&plan).map_err(|error| context.fail_control(&error))?;
        ui::say("Nothing to do.");
        return Ok(0);
    }
    let outcome = context.carry_out(&change, plan, args.confirm.yes, run, &stop).await?;
    context.outcome(outcome)
}

/// `updraft down`
pub(crate) async fn down(context: &Context, args: &Run) -> Result {
    let control = context.open_for(args)?;
    let change = context.take(&control)?;
    let plan = change.plan_down().await.map_err(|error| context.fail_control(&error))?;
    if plan.is_empty() {
        ui::say("Nothing to do: no machine is on.");
        return Ok(0);
    }
    let stop = listen();
    let outcome = context.carry_out(&change, plan, true, args, &stop).await?;
    context.outcome(outcome)
}

/// `updraft destroy`
pub(crate) async fn destroy(context: &Context, args: &Confirm) -> Result {
    let control = context.open_for(&args.run)?;
    if !control.place().root().exists() {
        ui::say("Nothing to do: nothing of this site is here.");
        return Ok(0);
    }
    let change = context.take(&control)?;
    let plan = change.plan_destroy().await.map_err(|error| context.fail_control(&error))?;
    if !plan.is_empty() {
        let stop = listen();
        let outcome = context.carry_out(&change, plan, args.yes, &args.run, &stop).await?;
        if outcome != Outcome::Done {
            return context.outcome(outcome);
        }
    }
    change.forget_everything().await.map_err(|error| context.fail_control(&error))?;
    ui::say(&format!("Nothing of site {} is left here but its images.", control.site().name));
    Ok(0)
}
