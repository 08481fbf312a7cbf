//! Commands that change the world: each makes a plan, shows it, asks, and runs it.

use super::{Context, Ended, FAILED, Result};
use crate::args::{Confirm, Run, Up};
use crate::ui::{self, RunView, Teller};
use std::cell::OnceCell;
use updraft_control::{Change, ControlError, Outcome, Plan, SavedPlan, SiteControl, StopSignal};

/// Listens for Ctrl-C and SIGTERM. What they do is up to who waits for the signal: a run stops
/// between its steps when it comes once and at once when it comes twice, anything else at once.
pub(crate) fn listen() -> StopSignal {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = StopSignal::new();
    let heard = stop.clone();
    // Caught from here on, not from when the task below is first run: a signal before that would
    // end the process where it stands.
    let caught = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = caught else { return stop };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            heard.press();
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

    /// Looks, plans or asks: nothing is changed yet, so Ctrl-C ends it where it stands.
    pub(crate) async fn unless_stopped<T>(
        &self,
        stop: &StopSignal,
        work: impl Future<Output = T>,
    ) -> Result<T> {
        tokio::select! {
            done = work => Ok(done),
            () = stop.wait_asked() => {
                ui::say("\nNothing was changed.");
                Err(Ended(FAILED))
            }
        }
    }

    /// The same for a plan.
    pub(crate) async fn planned(
        &self,
        stop: &StopSignal,
        plan: impl Future<Output = std::result::Result<Plan, ControlError>>,
    ) -> Result<Plan> {
        self.unless_stopped(stop, plan).await?.map_err(|error| self.fail_control(&error))
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
            let terminal = self.terminal;
            // A thread of its own, because it reads until a line is typed, come what may.
            let asked = tokio::task::spawn_blocking(move || terminal.ask("Go on?"));
            if !self.unless_stopped(stop, asked).await?.unwrap_or(false) {
                ui::say("Nothing was changed.");
                return Err(Ended(FAILED));
            }
        }
        let mut view = RunView::new(self.terminal, run);
        let teller = view.teller();
        let mut show = |event| view.show(event);
        let ran = while_telling(stop, &teller, change.run(plan, stop, &mut show)).await;
        let outcome = ran.map_err(|error| self.fail_control(&error))?;
        self.tell_end(change, &mut view);
        Ok(outcome)
    }

    fn tell_end(&self, change: &Change<'_>, view: &mut RunView) {
        if let Some(timings) = view.timings() {
            ui::say(timings.trim_end());
        }
        for notice in change.notices() {
            ui::say(&format!("{}: {notice}", self.terminal.paint("1;36", "note")));
        }
        ui::say(&view.summary);
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

/// Runs, and says what a stop that is asked for meanwhile will do.
async fn while_telling<T>(stop: &StopSignal, teller: &Teller, run: impl Future<Output = T>) -> T {
    let (once, twice) = (OnceCell::new(), OnceCell::new());
    let tell_once = || {
        once.get_or_init(|| {
            teller.line("Stopping when the running steps are done. Ctrl-C again stops at once.");
        });
    };
    let tell_twice = || {
        twice.get_or_init(|| teller.line("Stopping at once."));
    };
    let tell = async {
        stop.wait_asked().await;
        tell_once();
        stop.wait_now().await;
        tell_twice();
        std::future::pending().await
    };
    let ended = tokio::select! {
        ended = tell => ended,
        ended = run => ended,
    };
    // The run may have heard of it, and ended, before it was told.
    if stop.asked() {
        tell_once();
    }
    if stop.now() {
        tell_twice();
    }
    ended
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
    let mut view = RunView::new(context.terminal, run);
    let teller = view.teller();
    let mut show = |event| view.show(event);
    let resumed = while_telling(&stop, &teller, change.resume(&stop, &mut show)).await;
    match resumed.map_err(|error| context.fail_control(&error))? {
        None => {}
        Some(outcome) => {
            context.tell_end(&change, &mut view);
            if outcome != Outcome::Done {
                return context.outcome(outcome);
            }
        }
    }
    let plan = context.planned(&stop, change.plan_up()).await?;
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
    let stop = listen();
    let plan = context.planned(&stop, change.plan_down()).await?;
    if plan.is_empty() {
        ui::say("Nothing to do: no machine is on.");
        return Ok(0);
    }
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
    let stop = listen();
    let plan = context.planned(&stop, change.plan_destroy()).await?;
    if !plan.is_empty() {
        let outcome = context.carry_out(&change, plan, args.yes, &args.run, &stop).await?;
        if outcome != Outcome::Done {
            return context.outcome(outcome);
        }
    }
    change.forget_everything().await.map_err(|error| context.fail_control(&error))?;
    ui::say(&format!("Nothing of site {} is left here but its images.", control.site().name));
    Ok(0)
}
