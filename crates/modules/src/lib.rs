//! What Ansible's modules do, natively, on the machine they run on.
//!
//! [`run`] takes a module's name and arguments and answers what Ansible's module of that name
//! would: the same defaults, the same results, the same refusals, check mode and diff included.
//! It observes first, changes only what differs, and a second run changes nothing. [`facts`] is
//! what Ansible's `setup` gathers.
//!
//! Everything is synchronous and needs nothing but the kernel and the programs the modules stand
//! for (apt, systemd, useradd). Never here: templates, loops, conditions, anything of a playbook's
//! control flow, the way a request reached the machine.

mod accounts;
mod args;
mod askpass;
mod attributes;
mod context;
mod discreet;
mod facts;
mod http;
mod json;
mod manager;
mod mode;
mod module;
mod outcome;
mod pattern;
mod place;
mod process;
#[cfg(test)]
mod properties;
mod shlex;
mod systemctl;

pub use context::{Context, StagingDir, SystemTime, Time};

use args::Args;
use outcome::{Done, Fault};
use serde_json::{Map, Value};
use updraft_wire::ModuleResult;

/// Facts of this machine, keyed without the `ansible_` prefix.
///
/// `subset` is as Ansible's `gather_subset`; empty means everything.
pub fn facts(subset: &[String]) -> Map<String, Value> {
    facts::gather(subset, facts::LOCAL_FACTS, &Context::system())
}

/// Runs a module. It never panics and never prints; what goes wrong is in the result.
pub fn run(name: &str, args: &Map<String, Value>, ctx: &Context) -> ModuleResult {
    let short = name.rsplit('.').next().unwrap_or(name);
    if short == "package" && args.get("use").is_none_or(|manager| manager == "auto") {
        return package(args, ctx);
    }
    let Some(spec) = updraft_spec::find(name) else {
        let message = format!("there is no native module called {name}");
        return ModuleResult(finish(Err(Fault::new(message)), &Args::default()));
    };
    let checked = match Args::check(spec, short, args, ctx) {
        Ok(mut args) => {
            if spec.name == "file" && ctx.check {
                let warnings = attributes::unknown_accounts(&args, ctx);
                args.warnings.extend(warnings);
            }
            args
        }
        Err(fault) => return ModuleResult(finish(Err(fault), &Args::default())),
    };
    if ctx.check && !spec.checks {
        let message = format!("remote module ({short}) does not support check mode");
        let skipped = outcome::Outcome::changed(false).with("skipped", true).with("msg", message);
        return ModuleResult(finish(Ok(skipped), &checked));
    }
    let mut result = finish(module::dispatch(spec.name, short, &checked, ctx), &checked);
    attributes::describe(&mut result, ctx);
    ModuleResult(result)
}

/// Runs the module of this machine's package manager, or says that it is none of ours.
fn package(args: &Map<String, Value>, ctx: &Context) -> ModuleResult {
    match facts::package_manager() {
        "apt" => {
            let mut args = args.clone();
            args.remove("use");
            run("apt", &args, ctx)
        }
        other => {
            let message = format!("there is no native module for the package manager {other}");
            let fault = Fault::new(message).with(updraft_wire::MANAGER, other);
            ModuleResult(finish(Err(fault), &Args::default()))
        }
    }
}

/// Adds what every result has, and takes secrets out.
fn finish(done: Done, args: &Args) -> Map<String, Value> {
    let mut result = match done {
        Ok(outcome) => outcome.0,
        Err(fault) => {
            let mut fields = *fault.fields;
            fields.insert("failed".into(), Value::from(true));
            fields.insert("msg".into(), Value::from(fault.message));
            fields
        }
    };
    result.entry("changed").or_insert(Value::from(false));
    let mut warnings: Vec<Value> = args.warnings.iter().cloned().map(Value::from).collect();
    if let Some(Value::Array(more)) = result.shift_remove("warnings") {
        // Two programs may say the same; one is told.
        for warning in more {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    if !warnings.is_empty() {
        result.insert("warnings".into(), warnings.into());
    }
    for (text, lines) in [("stdout", "stdout_lines"), ("stderr", "stderr_lines")] {
        if let (Some(Value::String(text)), false) = (result.get(text), result.contains_key(lines)) {
            let split = Value::from(split_lines(text));
            result.insert(lines.into(), split);
        }
    }
    if !args.secrets.is_empty() {
        for value in result.values_mut() {
            censor(value, &args.secrets);
        }
    }
    result
}

/// Lines as Python's `splitlines` tells them.
fn split_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let mut end = at + c.len_utf8();
        match c {
            '\r' => {
                if let Some((_, '\n')) = chars.peek() {
                    chars.next();
                    end += 1;
                }
            }
            '\n' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}' => {}
            _ => continue,
        }
        lines.push(&text[start..at]);
        start = end;
    }
    if start < text.len() {
        lines.push(&text[start..]);
    }
    lines
}

/// Replaces every secret in a value by stars.
fn censor(value: &mut Value, secrets: &[String]) {
    match value {
        Value::String(text) => {
            for secret in secrets {
                if text == secret {
                    "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER".clone_into(text);
                } else if text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), "********");
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| censor(item, secrets)),
        Value::Object(map) => map.values_mut().for_each(|item| censor(item, secrets)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_as_python_splits_them() {
        assert_eq!(split_lines("a\nb\r\nc\rd\n\ne"), ["a", "b", "c", "d", "", "e"]);
        assert_eq!(split_lines("a\u{2028}b\x0c"), ["a", "b"]);
        assert!(split_lines("").is_empty());
    }

    #[test]
    fn a_secret_never_shows_in_a_result() {
        let mut value = serde_json::json!({ "a": ["x hunter2 y", "hunter2"], "b": 2 });
        censor(&mut value, &["hunter2".to_owned()]);
        assert_eq!(
            value,
            serde_json::json!({
                "a": ["x ******** y", "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"], "b": 2
            })
        );
    }

    #[test]
    fn package_is_the_module_of_the_package_manager_or_tells_its_name() {
        let args = serde_json::json!({ "name": "x", "nonsense": true, "use": "auto" });
        let mut args = args.as_object().expect("a map").clone();
        let told = run("ansible.builtin.package", &args, &Context::system());
        args.remove("use");
        match facts::package_manager() {
            "apt" => assert_eq!(told, run("apt", &args, &Context::system())),
            other => assert_eq!(told.0[updraft_wire::MANAGER], other),
        }
    }

    #[test]
    fn every_module_of_the_table_is_built() {
        for spec in updraft_spec::KNOWN {
            assert!(module::exists(spec.name), "{} has no code", spec.name);
        }
    }
}
