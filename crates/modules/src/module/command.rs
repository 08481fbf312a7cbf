//! `command` and `shell`: run a program unless what it makes is there, or what it removes is not.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail, numbered};
use crate::place;
use crate::process::{Cmd, not_run};
use crate::shlex;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use updraft_spec::CAUSE;

pub(crate) fn run(shell: bool, args: &Args, ctx: &Context) -> Done {
    let text = args.str("_raw_params").or_else(|| args.str("cmd"));
    let words = match text {
        Some(text) if !shell => {
            Some(shlex::split(text).map_err(|error| fail!("cannot split `{text}`: {error}"))?)
        }
        Some(_) => None,
        None => Some(args.list("argv")),
    };
    let shown = words.clone().map_or_else(|| Value::from(text.unwrap_or_default()), Value::from);
    let blank = |message: &str| {
        Outcome::changed(false)
            .with("stdout", "")
            .with("stderr", "")
            .with("rc", Value::Null)
            .with("cmd", shown.clone())
            .with("start", Value::Null)
            .with("end", Value::Null)
            .with("delta", Value::Null)
            .with("msg", message)
    };
    let dir = args.str("chdir").map(|dir| place::absolute(Path::new(dir)));
    if let Some(dir) = &dir
        && let Err(error) = enterable(dir)
    {
        let cause = format!("{}: b'{}'", numbered(&error), dir.display());
        let refused = blank("Unable to change directory before execution.");
        return Err(as_fault(refused.with(CAUSE, cause)));
    }
    if let Some(skipped) = skip(args, dir.as_deref(), ctx, &blank) {
        return Ok(skipped);
    }
    if ctx.check {
        let would = blank("Command would have run if not in check mode").with("rc", 0);
        let decided = args.raw("creates").is_some() || args.raw("removes").is_some();
        return Ok(if decided { would.with("changed", true) } else { would.with("skipped", true) });
    }
    let cmd = match &words {
        Some(words) => {
            let words: Vec<_> = words
                .iter()
                .map(|word| {
                    if args.flag("expand_argument_vars") {
                        place::expand(word, ctx)
                    } else {
                        word.clone()
                    }
                })
                .collect();
            Cmd::argv(&words)
        }
        None => {
            let program = args.str("executable").unwrap_or("/bin/sh");
            text.map(|text| Cmd::new(program).args(["-c", text]))
        }
    };
    let mut cmd = cmd.ok_or_else(|| as_fault(blank("no command given").with("rc", 256)))?;
    if let Some(dir) = dir {
        cmd = cmd.dir(dir);
    }
    if let Some(input) = args.str("stdin").filter(|input| !input.is_empty()) {
        let newline = if args.flag("stdin_add_newline") { "\n" } else { "" };
        cmd = cmd.input(format!("{input}{newline}"));
    }
    let (start, began) = (ctx.stamp(), ctx.time.steady());
    let ran = cmd.run(ctx).map_err(|error| not_run(cmd.shown(), &error))?;
    let took = ctx.time.steady().saturating_sub(began);
    let strip = args.flag("strip_empty_ends");
    let clean = |text: String| {
        if strip { text.trim_end_matches(['\r', '\n']).to_owned() } else { text }
    };
    let outcome = blank("")
        .with("changed", true)
        .with("stdout", clean(ran.out()))
        .with("stderr", clean(ran.err()))
        .with("rc", ran.code)
        .with("start", start)
        .with("end", ctx.stamp())
        .with("delta", delta(took));
    let outcome = match args.str("executable") {
        Some(program) if !shell => outcome.with(
            "warnings",
            json!([format!(
                "As of Ansible 2.4, the parameter 'executable' is no longer supported with the \
                 'command' module. Not using '{program}'."
            )]),
        ),
        _ => outcome,
    };
    if ran.success() {
        Ok(outcome)
    } else {
        Err(as_fault(outcome.with("msg", "non-zero return code")))
    }
}

/// A result that counts as a failure.
/// Can a program begin in this directory?
fn enterable(dir: &Path) -> std::io::Result<()> {
    if !std::fs::metadata(dir)?.is_dir() {
        return Err(rustix::io::Errno::NOTDIR.into());
    }
    Ok(rustix::fs::access(dir, rustix::fs::Access::EXEC_OK)?)
}

fn as_fault(outcome: Outcome) -> Fault {
    let mut fields = outcome.0;
    let message = match fields.remove("msg") {
        Some(Value::String(message)) => message,
        _ => String::new(),
    };
    Fault { message, fields: Box::new(fields) }
}

/// The result when there is nothing to run for.
fn skip(
    args: &Args,
    dir: Option<&Path>,
    ctx: &Context,
    blank: &dyn Fn(&str) -> Outcome,
) -> Option<Outcome> {
    let could = if ctx.check { "Would" } else { "Did" };
    let (path, state) = match (args.str("creates"), args.str("removes")) {
        (Some(path), _) if any_file(path, dir) => (path, "exists"),
        (_, Some(path)) if !any_file(path, dir) => (path, "does not exist"),
        _ => return None,
    };
    let said = blank(&format!("{could} not run command since '{path}' {state}"));
    Some(said.with("stdout", format!("skipped, since {path} {state}")).with("rc", 0))
}

/// Whether a path, in which shell wildcards may stand, names anything.
pub(crate) fn any_file(pattern: &str, dir: Option<&Path>) -> bool {
    let base = dir.map_or_else(PathBuf::new, Path::to_owned);
    if !pattern.contains(['*', '?', '[']) {
        return place::lexists(&base.join(pattern));
    }
    let mut found = vec![if pattern.starts_with('/') { PathBuf::from("/") } else { base }];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = found.iter().flat_map(|dir| matching(dir, part)).collect();
    }
    !found.is_empty()
}

fn matching(dir: &Path, part: &str) -> Vec<PathBuf> {
    if !part.contains(['*', '?', '[']) {
        let path = dir.join(part);
        return if place::lexists(&path) { vec![path] } else { Vec::new() };
    }
    let here = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let Ok(entries) = std::fs::read_dir(here) else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            (part.starts_with('.') || !name.starts_with('.')) && crate::pattern::glob(part, name)
        })
        .map(|name| dir.join(name))
        .collect()
}

/// A span of time as Python writes one: `0:00:01.002003`, `1 day, 2:00:00`.
fn delta(took: Duration) -> String {
    let (seconds, micros) = (took.as_secs(), took.subsec_micros());
    let days = match seconds / 86_400 {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    let rest = seconds % 86_400;
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{days}{}:{:02}:{:02}{fraction}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_python_writes_them() {
        assert_eq!(delta(Duration::from_micros(1_002_003)), "0:00:01.002003");
        assert_eq!(delta(Duration::from_secs(3 * 86_400 + 61)), "3 days, 0:01:01");
        assert_eq!(delta(Duration::from_secs(86_400)), "1 day, 0:00:00");
    }

    #[test]
    fn wildcards_look_through_directories() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/c.txt"), "").unwrap();
        std::fs::write(dir.path().join("a/.hidden"), "").unwrap();
        let root = dir.path().display();
        assert!(any_file(&format!("{root}/*/b/*.txt"), None));
        assert!(any_file("a/?/c.[st]xt", Some(dir.path())));
        assert!(!any_file("a/*.conf", Some(dir.path())));
        assert!(!any_file("a/*hidden", Some(dir.path())));
        assert!(any_file("a/b", Some(dir.path())));
    }
}
