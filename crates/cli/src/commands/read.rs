//! Commands that look and change nothing.

use super::{Context, Ended, FAILED, PENDING, Result};
use crate::args;
use crate::ui::{self, table};
use updraft_control::Status;

/// `updraft plan`
pub(crate) async fn plan(context: &Context, args: &args::Plan) -> Result {
    let control = context.site()?;
    let plan = match &args.output {
        None => control.plan().await.map_err(|error| context.fail_control(&error))?,
        Some(path) => {
            let saved = control.plan_to_save().await;
            let saved = saved.map_err(|error| context.fail_control(&error))?;
            if let Err(error) = std::fs::write(path, updraft_control::plan_json(&saved)) {
                context.terminal.complain_text(&format!("cannot write `{path}`: {error}"), None);
                return Err(Ended(FAILED));
            }
            saved.plan
        }
    };
    match args.json {
        true => ui::out(&updraft_control::plan_json(&plan)),
        false => ui::out(&updraft_control::render_plan(&plan)),
    }
    if let Some(path) = &args.output {
        ui::say(&format!("Saved. `updraft up {path}` applies exactly this plan."));
    }
    Ok(if args.detailed_exitcode && !plan.is_empty() { PENDING } else { 0 })
}

/// `updraft status`
pub(crate) async fn status(context: &Context, json: bool) -> Result {
    let control = context.site()?;
    let status = control.status().await.map_err(|error| context.fail_control(&error))?;
    match json {
        true => ui::json(&status),
        false => ui::out(&render_status(&status)),
    }
    match &status.busy {
        Some(holder) => ui::say(&format!("It is being changed by {holder}.")),
        None => status.machines.iter().for_each(|machine| {
            if let Some(holder) = &machine.busy {
                ui::say(&format!("{} is in use by {holder}.", machine.name));
            }
        }),
    }
    Ok(0)
}

fn render_status(status: &Status) -> String {
    let head = ["machine", "state", "address", "uptime", "load", "services"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for machine in &status.machines {
        let services: Vec<String> = machine
            .services
            .iter()
            .map(|(name, service)| {
                let health = match (service.rolling, service.healthy) {
                    (true, _) => " (between versions)",
                    (false, Some(false)) => " (down)",
                    (false, _) => "",
                };
                format!("{name} {}{health}", service.version)
            })
            .collect();
        let state = match &machine.fault {
            Some(fault) => format!("{} ({fault})", machine.state),
            None if machine.busy.is_some() => "busy".to_owned(),
            None if !machine.configured && machine.state == "running" => {
                "running, not configured".to_owned()
            }
            None => machine.state.clone(),
        };
        let state = match &machine.clone_of {
            Some(of) => format!("{state}, clone of {of}"),
            None => state,
        };
        rows.push(vec![
            machine.name.clone(),
            state,
            machine.address.clone().unwrap_or_default(),
            machine.uptime.map(uptime).unwrap_or_default(),
            machine.load.map(|load| format!("{load:.2}")).unwrap_or_default(),
            services.join(", "),
        ]);
    }
    let mut text = table(&rows);
    for network in status.networks.iter().filter(|network| !network.intact) {
        text.push_str(&format!(
            "network {} is not intact: `updraft up` repairs it\n",
            network.name
        ));
    }
    text
}

fn uptime(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// `updraft doctor`
pub(crate) async fn doctor(context: &Context, json: bool) -> Result {
    let site = context.global.site.exists().then(|| context.global.site.as_std_path());
    let report = updraft_control::doctor(&context.settings, site).await;
    if json {
        ui::json(&report);
    } else {
        let mut rows = Vec::new();
        for check in &report.checks {
            let mark = match (check.ok, check.needed) {
                (true, _) => "ok",
                (false, true) => "missing",
                (false, false) => "warning",
            };
            rows.push(vec![mark.to_owned(), check.what.clone(), check.found.clone()]);
        }
        ui::out(&table(&rows));
        ui::out("\nKept on this computer:\n");
        let places = report.places.iter().map(|place| {
            let size = place.size.clone().unwrap_or_default();
            vec![format!("  {}", place.path), size, place.what.clone()]
        });
        ui::out(&table(&places.collect::<Vec<_>>()));
        for check in report.checks.iter().filter(|check| !check.ok) {
            if let Some(hint) = &check.hint {
                ui::say(&format!("{}: {hint}", check.what));
            }
        }
    }
    if report.checks.iter().all(|check| check.ok || !check.needed) {
        Ok(0)
    } else {
        Err(Ended(FAILED))
    }
}
