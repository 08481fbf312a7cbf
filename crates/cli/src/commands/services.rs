//! Commands for services.

use super::change::listen;
use super::{Context, Ended, FAILED, Result};
use crate::args::{Service, ServiceRun};
use crate::ui::{self, table};
use updraft_control::{Outcome, ServiceVerb};

/// `updraft service …`
pub(crate) async fn service(context: &Context, command: &Service) -> Result {
    match command {
        Service::Deploy(args) => change(context, args, ServiceVerb::Deploy).await,
        Service::Start(args) => change(context, args, ServiceVerb::Start).await,
        Service::Stop(args) => change(context, args, ServiceVerb::Stop).await,
        Service::Test { service, json } => test(context, service.as_deref(), *json).await,
    }
}

async fn change(context: &Context, args: &ServiceRun, verb: ServiceVerb) -> Result {
    let control = context.open_for(&args.run)?;
    let fail = |error| context.fail_control(&error);
    let (service, names) = control.members(&args.service, args.limit.as_deref()).map_err(fail)?;
    let change = control.take().map_err(fail)?;
    let stop = listen();
    let plan = context.planned(&stop, change.plan_service(&service, verb, &names)).await?;
    if plan.is_empty() {
        ui::say("Nothing to do: none of its machines is there.");
        return Ok(0);
    }
    match context.carry_out(&change, plan, true, &args.run, &stop).await? {
        Outcome::Done => Ok(0),
        Outcome::Failed | Outcome::Stopped => Err(Ended(FAILED)),
    }
}

async fn test(context: &Context, service: Option<&str>, json: bool) -> Result {
    let control = context.site()?;
    let tests =
        control.test_services(service).await.map_err(|error| context.fail_control(&error))?;
    if json {
        ui::json(&tests);
    } else {
        let mut rows = Vec::new();
        for test in &tests {
            let word = if test.healthy { "passes" } else { "fails" };
            rows.push(vec![
                test.service.clone(),
                test.machine.clone(),
                word.to_owned(),
                test.saw.clone(),
            ]);
        }
        ui::out(&table(&rows));
    }
    let failed = tests.iter().filter(|test| !test.healthy).count();
    ui::say(&format!("{} of {} pass.", tests.len() - failed, tests.len()));
    if failed == 0 { Ok(0) } else { Err(Ended(FAILED)) }
}
