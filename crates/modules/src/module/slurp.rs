//! `slurp`: a file's content, in Base64.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Outcome, fail, numbered, plain};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;
use updraft_spec::CAUSE;

pub(crate) fn run(args: &Args, _ctx: &Context) -> Done {
    let source = args.text("src");
    let bytes = std::fs::read(source).map_err(|error| {
        let fault = match error.kind() {
            std::io::ErrorKind::NotFound => fail!("File not found: {source}"),
            std::io::ErrorKind::PermissionDenied => fail!("File is not readable: {source}"),
            _ if Path::new(source).is_dir() => {
                fail!("Source is a directory and must be a file: {source}")
            }
            _ => return fail!("Unable to slurp file: {}", plain(&error)),
        };
        fault.with(CAUSE, format!("{}: '{source}'", numbered(&error)))
    })?;
    Ok(Outcome::changed(false)
        .with("content", STANDARD.encode(&bytes))
        .with("source", source)
        .with("encoding", "base64"))
}
