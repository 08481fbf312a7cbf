//! `ping`: the agent answers.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Outcome, fail};

pub(crate) fn run(args: &Args, _ctx: &Context) -> Done {
    match args.text("data") {
        "crash" => Err(fail!("Task failed: Module failed: boom")),
        data => Ok(Outcome::changed(false).with("ping", data)),
    }
}
