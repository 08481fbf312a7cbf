//! `make`: targets of a makefile are brought up to date by whatever `make` there is.
//!
//! Make itself is asked first whether there is something to do; in check mode that is all. What
//! Ansible's module would write in a way of Python's own in the command is left to it, and so is a
//! directory that is not there.

use crate::args::{Args, text_of};
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome};
use crate::process::{Cmd, not_run};
use serde_json::{Map, Value};
use std::path::Path;

/// Arguments that a result repeats as they were given.
const TOLD: &[&str] = &["target", "targets", "params", "chdir", "file", "jobs"];

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let program = match args.str("make") {
        Some(program) => program.to_owned(),
        None => {
            let found = ctx.program("gmake").map_or_else(|| ctx.required("make"), Ok)?;
            found.to_string_lossy().into_owned()
        }
    };
    let targets = match args.str("target") {
        Some(target) if !target.is_empty() => vec![target.to_owned()],
        _ => args.list("targets"),
    };
    let words = words(args.int("jobs"), args.str("file"), targets, args.dict("params"))?;
    let chdir = args.text("chdir");
    if !Path::new(chdir).is_dir() {
        return Err(strange("a directory that is not there"));
    }
    let cmd = Cmd::new(program).args(words).dir(chdir);
    let question = cmd.clone().arg("-q").expanded(ctx);
    let mut ran = question.run(ctx).map_err(|error| not_run(question.shown(), &error))?;
    let changed = !ran.success();
    if changed && !ctx.check {
        ran = cmd.clone().expanded(ctx).checked(ctx)?;
    }
    let outcome = Outcome::changed(changed)
        .with("stdout", ran.out().trim_end_matches(['\r', '\n']))
        .with("stderr", ran.err().trim_end_matches(['\r', '\n']))
        .with("command", cmd.line());
    Ok(TOLD.iter().fold(outcome, |outcome, &name| {
        outcome.with(name, args.raw(name).cloned().unwrap_or_default())
    }))
}

fn strange(what: impl std::fmt::Display) -> Fault {
    Fault::beyond(format!("{what} is not supported"))
}

/// What follows the program: options, targets, and parameters, which are variables or options.
fn words(
    jobs: Option<i64>,
    file: Option<&str>,
    targets: Vec<String>,
    params: Option<&Map<String, Value>>,
) -> Result<Vec<String>, Fault> {
    let mut words = Vec::new();
    if let Some(jobs) = jobs {
        words.extend(["-j".to_owned(), jobs.to_string()]);
    }
    if let Some(file) = file {
        words.extend(["-f".to_owned(), file.to_owned()]);
    }
    words.extend(targets);
    for (name, value) in params.into_iter().flatten() {
        words.push(match value {
            Value::Null => name.clone(),
            Value::Number(number) if !number.is_i64() => {
                return Err(strange(format!("the number {number}")));
            }
            Value::Array(_) | Value::Object(_) => return Err(strange("a list or mapping")),
            value => format!("{name}={}", text_of(value)),
        });
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_come_before_targets_and_parameters_behind_them() {
        let params = json!({ "V": null, "-k": null, "PREFIX": "/usr", "N": 3, "Y": true, "E": "" });
        let targets = vec!["all".to_owned(), "install".to_owned()];
        let asked = words(Some(2), Some("my.mk"), targets, params.as_object()).unwrap();
        let expected = "-j 2 -f my.mk all install V -k PREFIX=/usr N=3 Y=True E=";
        assert_eq!(asked.join(" "), expected);
        assert!(words(None, None, Vec::new(), None).unwrap().is_empty());
    }

    #[test]
    fn values_that_python_writes_its_own_way_are_left_to_it() {
        for value in [json!([1]), json!({}), json!(1.5)] {
            let params = json!({ "X": value });
            assert!(words(None, None, Vec::new(), params.as_object()).is_err(), "{params}");
        }
    }
}
