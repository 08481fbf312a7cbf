//! Running modules and gathering facts.

use crate::connection::{Connection, Task};
use std::sync::Arc;
use std::time::Duration;
use updraft_modules::{Context, StagingDir};
use updraft_wire::{FactsRequest, ModuleRequest, Response};

/// Runs one module.
pub(crate) fn run(connection: &Connection, task: &Arc<Task>, request: &ModuleRequest) -> Response {
    let mut context = Context::system();
    context.cancel = Arc::clone(&task.cancelled);
    let staging = Arc::clone(&connection.staging);
    context.staging = StagingDir::new(move || staging.for_modules());
    context.check = request.check;
    context.diff = request.diff;
    context.brief = request.brief;
    context.env.clone_from(&request.env);
    if request.timeout > 0 {
        context.deadline = Some(context.time.steady() + Duration::from_secs(request.timeout));
    }
    Response::Module(updraft_modules::run(&request.name, &request.args, &context))
}

/// Gathers facts.
pub(crate) fn facts(request: &FactsRequest) -> Response {
    Response::Facts { facts: updraft_modules::facts(&request.subset) }
}
