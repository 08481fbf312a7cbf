//! Running modules and gathering facts.

use crate::connection::{Connection, Task};
use std::sync::Arc;
use std::time::Duration;
use updraft_modules::Context;
use updraft_wire::{FactsRequest, Failure, ModuleRequest, Response};

/// Runs one module.
pub(crate) fn run(
    connection: &Connection,
    task: &Arc<Task>,
    request: &ModuleRequest,
) -> Result<Response, Failure> {
    let mut context = context(connection, task)?;
    context.check = request.check;
    context.diff = request.diff;
    context.brief = request.brief;
    context.env.clone_from(&request.env);
    if request.timeout > 0 {
        context.deadline = Some(context.time.steady() + Duration::from_secs(request.timeout));
    }
    Ok(Response::Module(updraft_modules::run(&request.name, &request.args, &context)))
}

/// Gathers facts.
pub(crate) fn facts(request: &FactsRequest) -> Response {
    Response::Facts { facts: updraft_modules::facts(&request.subset) }
}

fn context(connection: &Connection, task: &Arc<Task>) -> Result<Context, Failure> {
    let mut context = Context::system();
    context.cancel = Arc::clone(&task.cancelled);
    context.staging = connection.staging.private()?;
    Ok(context)
}
