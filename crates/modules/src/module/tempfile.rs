//! `tempfile`: a private file or directory with a name nobody else uses.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, OrFail, Outcome, fail, numbered};
use crate::place;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let dir = args.str("path").or_else(|| ctx.var("TMPDIR")).unwrap_or("/tmp");
    let what = format!("cannot create a temporary file in {dir}");
    for name in ["prefix", "suffix"] {
        if args.text(name).contains('/') {
            let told = args.text(name);
            return Err(fail!("{name} must be a valid file name component, got '{told}'"));
        }
    }
    let path = loop {
        let word = place::random_word().or_fail(&what)?;
        let path =
            Path::new(dir).join(format!("{}{word}{}", args.text("prefix"), args.text("suffix")));
        let made = if args.text("state") == "directory" {
            place::make_private_dir(&path)
        } else {
            File::options().write(true).create_new(true).mode(0o600).open(&path).map(drop)
        };
        match made {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fail!("{}: '{}'", numbered(&error), path.display())),
            Ok(()) => break path,
        }
    };
    Ok(Outcome::changed(true).with("path", path.display().to_string()))
}
