//! `updraft log`: past runs, and the steps of one.

use super::{Context, Result};
use crate::args::Log;
use crate::ui::{self, table};
use updraft_control::{RunView, StepView};

/// `updraft log`
pub(crate) fn log(context: &Context, args: &Log) -> Result {
    let control = context.site()?;
    let fail = |error| context.fail_control(&error);
    let Some(run) = &args.run else {
        let runs = control.runs(args.limit).map_err(fail)?;
        match args.json {
            true => ui::json(&runs),
            false if runs.is_empty() => ui::say("There was no run yet."),
            false => ui::out(&table(&rows_of_runs(&runs))),
        }
        return Ok(0);
    };
    let (summary, steps) = control.run_steps(run).map_err(fail)?;
    if args.json {
        ui::json(&serde_json::json!({ "run": summary, "steps": steps }));
        return Ok(0);
    }
    ui::out(&table(&rows_of_runs(std::slice::from_ref(&summary))));
    ui::out("\n");
    ui::out(&table(&rows_of_steps(&steps)));
    for step in steps.iter().filter_map(|step| step.message.as_ref().map(|m| (step, m))) {
        ui::out(&format!("\n{}: {}\n", step.0.title, step.1));
    }
    Ok(0)
}

fn rows_of_runs(runs: &[RunView]) -> Vec<Vec<String>> {
    let head = ["run", "began", "took", "outcome", "who", "command"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(runs.iter().map(|run| {
        vec![
            run.id.clone(),
            run.began.clone(),
            run.took_ms
                .map(|ms| ui::took(std::time::Duration::from_millis(ms)))
                .unwrap_or_default(),
            run.outcome.clone(),
            run.who.clone(),
            run.command.clone(),
        ]
    }));
    rows
}

fn rows_of_steps(steps: &[StepView]) -> Vec<Vec<String>> {
    let head = ["step", "state", "took", "what"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(steps.iter().map(|step| {
        vec![
            step.number.to_string(),
            step.state.clone(),
            step.took_ms
                .map(|ms| ui::took(std::time::Duration::from_millis(ms)))
                .unwrap_or_default(),
            step.title.clone(),
        ]
    }));
    rows
}
