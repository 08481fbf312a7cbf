//! `assemble`: a file is made of the fragments in a directory.

use crate::args::Args;
use crate::context::Context;
use crate::module::copy;
use crate::outcome::{Done, Fault, OrFail, fail};
use crate::pattern::{Flags, Pattern};
use crate::place;
use std::fs;
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    if !args.flag("remote_src") {
        return Err(fail!("remote_src=false: send the assembled content with copy instead"));
    }
    let src = Path::new(args.text("src"));
    if !src.exists() {
        return Err(fail!("Source ({}) does not exist", src.display()));
    }
    if !src.is_dir() {
        return Err(fail!("Source ({}) is not a directory", src.display()));
    }
    let content = join(args, src)?;
    let scratch = place::Scratch::holding(&ctx.staging, "", &content)
        .or_fail(format!("cannot write to {}", ctx.staging.display()))?;
    copy::put_file(args, ctx, scratch.path())
}

/// The fragments in the order of their names, with the delimiter between them.
fn join(args: &Args, dir: &Path) -> Result<Vec<u8>, Fault> {
    let pattern = args.str("regexp").map(|text| Pattern::new(text, Flags::None)).transpose()?;
    let delimiter = args.str("delimiter").map(unescape);
    let mut names: Vec<String> = fs::read_dir(dir)
        .or_fail(format!("cannot list {}", dir.display()))?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let mut content: Vec<u8> = Vec::new();
    let (mut first, mut needs_end) = (true, false);
    for name in names {
        let path = dir.join(&name);
        let hidden = args.flag("ignore_hidden") && name.starts_with('.');
        let fits = match &pattern {
            Some(pattern) => pattern.is_match(name.as_bytes())?,
            None => true,
        };
        if hidden || !fits || !path.is_file() {
            continue;
        }
        let fragment = fs::read(&path).or_fail(format!("cannot read {}", path.display()))?;
        if needs_end {
            content.push(b'\n');
        }
        if let (false, Some(delimiter)) = (first, &delimiter) {
            content.extend_from_slice(delimiter.as_bytes());
            if !delimiter.ends_with('\n') {
                content.push(b'\n');
            }
        }
        needs_end = !fragment.ends_with(b"\n");
        first = false;
        content.extend(fragment);
    }
    Ok(content)
}

/// `\n` and the like in a delimiter stand for what they stand for in Python.
fn unescape(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r").replace("\\\\", "\\")
}
