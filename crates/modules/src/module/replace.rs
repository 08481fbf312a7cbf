//! `replace`: every match of a pattern in a file becomes something else.

use crate::args::Args;
use crate::attributes::Attributes;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::pattern::{Flags, Pattern, Template};
use crate::place::{self, Rewrite};
use serde_json::json;
use std::fs;
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let shown = args.text("path");
    let path = Path::new(shown);
    if path.is_dir() {
        return Err(fail!("Path {shown} is a directory !").with("rc", 256));
    }
    if !path.exists() {
        return Err(fail!("Path {shown} does not exist !").with("rc", 257));
    }
    let encoding = args.text("encoding").to_ascii_lowercase();
    if !matches!(encoding.as_str(), "utf-8" | "utf8" | "ascii" | "latin-1" | "iso-8859-1") {
        return Err(fail!("the encoding {encoding} is not supported here"));
    }
    let before = fs::read(path).or_fail(format!("Unable to read the contents of '{shown}'"))?;
    let range = match section(args)? {
        None => 0..before.len(),
        Some((pattern, text)) => {
            match pattern.find(&before)?.and_then(|found| found.named("subsection")) {
                Some(range) => range,
                None => {
                    let message = format!(
                        "Pattern for before/after params did not match the given file: {text}"
                    );
                    return Ok(Outcome::changed(false).with("msg", message).with("rc", 0));
                }
            }
        }
    };
    let pattern = Pattern::new(args.text("regexp"), Flags::MultiLine)?;
    let template = Template::new(args.text("replace"))
        .map_err(|fault| fail!("Unable to process replace due to error: {}", fault.message))?;
    let (replaced, count) = pattern.replace_all(&before[range.clone()], &template)?;
    let after = [&before[..range.start], &replaced, &before[range.end..]].concat();
    let mut changed = count > 0 && after != before;
    let mut outcome = Outcome::default().with("rc", 0);
    let mut message = if changed { format!("{count} replacements made") } else { String::new() };
    if changed {
        if ctx.diff {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let diff = json!({
                "before_header": shown, "before": text(&before),
                "after_header": shown, "after": text(&after),
            });
            outcome = outcome.with("diff", diff);
        }
        if !ctx.check {
            let rewrite = Rewrite {
                backup: args.flag("backup"),
                validate: args.str("validate"),
                unsafe_writes: args.flag("unsafe_writes"),
            };
            let backup = place::rewrite(path, &after, &rewrite, ctx)?;
            outcome = outcome.with_some("backup_file", backup);
        }
    }
    if Attributes::asked(args).ensure(path, None, ctx)? {
        if changed {
            message.push_str(" and ");
        }
        message.push_str("ownership, perms or SE linux context changed");
        changed = true;
    }
    Ok(outcome.with("msg", message).with("changed", changed))
}

/// The pattern that bounds where replacing happens, and its text.
fn section(args: &Args) -> Result<Option<(Pattern, String)>, Fault> {
    let after = args.str("after").filter(|text| !text.is_empty());
    let before = args.str("before").filter(|text| !text.is_empty());
    let text = match (after, before) {
        (Some(after), Some(before)) => format!("{after}(?P<subsection>.*?){before}"),
        (Some(after), None) => format!("{after}(?P<subsection>.*)"),
        (None, Some(before)) => format!("(?P<subsection>.*){before}"),
        (None, None) => return Ok(None),
    };
    Ok(Some((Pattern::new(&text, Flags::DotAll)?, text)))
}
