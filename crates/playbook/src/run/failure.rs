//! A task that fails before its module runs: what its result says, and what was behind it.
//!
//! ansible-core 2.19 tells the reasons from the outside in, each with its place. 2.14 has a sentence
//! for each kind, measured with 2.14.18; its advice on quotes is left out.
//!
//! Never here: what modules say of themselves.

use super::execute::Crew;
use super::outcome::{Outcome, failed, put};
use crate::fault::Cause;
use crate::output::offending_line;
use crate::parse::tree::Task;
use crate::template::{Dialect, Fault, IN_CONDITION, LAZY};
use crate::value::{Dict, Value};
use crate::yaml::Origin;
use updraft_wire::NOT_FOUND;

/// A failed result, and the reasons that it does not tell apart.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) result: Dict,
    pub(super) causes: Vec<Cause>,
}

impl From<Dict> for Failure {
    fn from(result: Dict) -> Self {
        Self { result, causes: Vec::new() }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self { causes: failure.causes, ..Self::of(failure.result) }
    }
}

/// What was looked at when a fault came up.
#[derive(Clone, Copy, Debug)]
pub(super) enum While<'w> {
    /// Anything of the task.
    Task,
    /// A keyword.
    Keyword(&'w str),
    /// The arguments of the action of this full name; the one that is meant, and where it stands.
    Args(&'w str, Option<(&'w str, Option<&'w Origin>)>),
}

impl Crew<'_> {
    /// What a task gives that fails of `fault`.
    pub(super) fn failure(&self, task: &Task, during: While<'_>, fault: &Fault) -> Failure {
        match self.shared.world.dialect {
            Dialect::Core214 => failed(classic(task, during, fault)).into(),
            Dialect::Core219 => {
                let causes = causes(task, during, fault);
                let mut result = failed(&causes[0].what);
                // `debug` tells nothing but what it was asked to.
                if task.module() != Some("debug") {
                    put(&mut result, "changed", false);
                }
                Failure { result, causes }
            }
        }
    }

    /// A failure as what a task gave.
    pub(super) fn failed_of(&self, task: &Task, during: While<'_>, fault: &Fault) -> Outcome {
        self.failure(task, during, fault).into()
    }

    /// What a condition says of the result that it was asked of, where 2.14 has words of its own.
    pub(super) fn judgement(&self, fault: &Fault) -> String {
        match self.shared.world.dialect {
            Dialect::Core214 => condition(fault).unwrap_or_else(|| words(fault, true)),
            Dialect::Core219 => fault.what.clone(),
        }
    }

    /// Notes in a result that its task failed of `fault` after all.
    pub(super) fn put_failure(&self, result: &mut Dict, fault: &Fault) {
        put(result, "failed", true);
        let msg = match self.shared.world.dialect {
            Dialect::Core214 => self.judgement(fault),
            Dialect::Core219 => format!("Task failed: {}", fault.what),
        };
        put(result, "msg", Value::from(msg));
    }
}

/// Keywords that 2.14 settles for the connection rather than for the task, and then says it once more.
const CONNECTION: &[&str] = &[
    "become",
    "become_exe",
    "become_flags",
    "become_method",
    "become_user",
    "check_mode",
    "diff",
    "remote_user",
];

/// What may be a truth, in an order of ours: Python's differs from run to run.
const TRUTHS: &str =
    "0, 1, '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'";

/// What a task gives that could not become who it was to be, out of what the host's agent says of
/// it. Where no password is at fault, 2.19 says nothing of the reason, so that our own message stays
/// beside the words of the program.
pub(super) fn not_become(result: &Dict, dialect: Dialect) -> Dict {
    let said = result.get("msg").map(Value::to_text).unwrap_or_default();
    let by = said.split_once(" by ").and_then(|(_, rest)| rest.split_once(": "));
    let (method, words) = by.unwrap_or(("sudo", &said));
    let password = match words {
        _ if words.ends_with("a password is required") => Some("Missing"),
        "the password was not accepted" => Some("Incorrect"),
        // It does not ask again.
        _ if words.ends_with("su: Authentication failure") => Some("Incorrect"),
        _ => None,
    };
    if let Some(which) = password {
        let what = format!("{which} {method} password");
        return failed(match dialect {
            Dialect::Core214 => what,
            Dialect::Core219 => format!("Task failed: {what}"),
        });
    }
    let missing = words.ends_with(NOT_FOUND);
    let words = if missing { format!("/bin/sh: 1: {words}") } else { words.to_owned() };
    let mut result = match dialect {
        Dialect::Core214 => failed("MODULE FAILURE\nSee stdout/stderr for the exact error"),
        Dialect::Core219 => failed(said),
    };
    put(&mut result, "changed", false);
    put(&mut result, "module_stderr", Value::from(format!("{words}\n")));
    put(&mut result, "module_stdout", Value::str(""));
    put(&mut result, "rc", Value::Int(if missing { 127 } else { 1 }));
    result
}

/// What 2.14 says of a template file that cannot be rendered.
pub(super) fn unrendered(fault: &Fault) -> Dict {
    let words = words(fault, false);
    let kind = if fault.undefined { "AnsibleUndefinedVariable" } else { "AnsibleError" };
    let mut result = failed(format!("{kind}: {words}"));
    put(&mut result, "exception", Value::from(format!("ansible.errors.{kind}: {words}")));
    result
}

/// The reasons, from the outside in.
fn causes(task: &Task, during: While<'_>, fault: &Fault) -> Vec<Cause> {
    let mut list: Vec<(String, Option<Origin>, Option<String>)> =
        vec![("Task failed: ".to_owned(), Some(task.origin.clone()), None)];
    match during {
        While::Task => {}
        While::Keyword(word) => {
            let at = fault.at.clone();
            list.push((format!("Error processing keyword '{word}': "), at, None));
        }
        While::Args(full, argument) => {
            let text = format!("Finalization of task args for '{full}' failed: ");
            list.push((text, Some(task.action_at.clone()), None));
            if let Some((name, at)) = argument {
                let text = format!("Error while resolving value for '{name}': ");
                list.push((text, at.cloned(), None));
            }
        }
    }
    let trace = fault.trace.as_deref();
    let mut rest = fault.what.as_str();
    let (of_condition, inner) = match rest.strip_prefix(IN_CONDITION) {
        Some(inner) => (IN_CONDITION, inner),
        None => ("", rest),
    };
    if let Some((_, at)) = trace.and_then(|trace| trace.condition.as_ref())
        && !of_condition.is_empty()
    {
        list.push((of_condition.to_owned(), at.clone(), None));
        rest = inner;
    }
    match trace.and_then(|trace| trace.help.as_ref()) {
        Some((alone, help)) if rest.ends_with(alone.as_str()) => {
            let outer = &rest[..rest.len() - alone.len()];
            // Where nothing is around it, the place is its own.
            let at = fault.at.clone();
            if outer.is_empty() {
                list.push((alone.clone(), at, Some(help.clone())));
            } else {
                list.push((outer.to_owned(), at, None));
                list.push((alone.clone(), None, Some(help.clone())));
            }
        }
        _ => list.push((rest.to_owned(), fault.at.clone(), None)),
    }
    let mut what = String::new();
    let mut causes: Vec<Cause> = Vec::with_capacity(list.len());
    for (text, at, help) in list.into_iter().rev() {
        what.insert_str(0, &text);
        causes.push(Cause { help, ..Cause::new(&what, at) });
    }
    causes.reverse();
    causes
}

/// The whole message as 2.14 has it.
fn classic(task: &Task, during: While<'_>, fault: &Fault) -> String {
    let place = || offending_line(&task.origin);
    if let Some(text) = condition(fault) {
        return text + &place();
    }
    let words = words(fault, true);
    match during {
        While::Args(..) if fault.undefined => format!(
            "The task includes an option with an undefined variable. The error was: {words}{}",
            place()
        ),
        While::Keyword(word) if fault.undefined => {
            let (said, place) = match CONNECTION.contains(&word) {
                true => (format!("{words}. {words}"), String::new()),
                false => (words, place()),
            };
            format!(
                "The field '{word}' has an invalid value, which includes an undefined variable. The error was: {said}{place}"
            )
        }
        While::Keyword(word) if fault.what.ends_with("could not be converted to 'bool'.") => {
            let value = fault.what.split('\'').nth(1).unwrap_or_default();
            let why = format!(
                "The value '{value}' is not a valid boolean.  Valid booleans include: {TRUTHS}"
            );
            format!(
                "the field '{word}' has an invalid value ({value}), and could not be converted to an bool.The error was: {why}. {why}"
            )
        }
        _ => words,
    }
}

/// Of a condition, without the place of its task.
fn condition(fault: &Fault) -> Option<String> {
    let (text, _) = fault.trace.as_ref()?.condition.as_ref()?;
    let words = words(fault, false);
    let within = match fault.undefined {
        true => format!("error while evaluating conditional ({text}): "),
        false => String::new(),
    };
    Some(format!("The conditional check '{text}' failed. The error was: {within}{words}"))
}

/// The error alone. 2.14 says it twice for each template that it comes through, but for the outermost
/// where that is what the task says itself.
fn words(fault: &Fault, own_template: bool) -> String {
    let twice = |text: String| format!("{text}. {text}");
    let trace = fault.trace.as_deref();
    let templates = trace.map(|trace| trace.templates.as_slice()).unwrap_or_default();
    let in_condition = trace.and_then(|trace| trace.condition.as_ref());
    let own = fault.what.strip_prefix(IN_CONDITION).unwrap_or(&fault.what);
    if fault.undefined {
        let inner = match (own_template && in_condition.is_none(), templates.split_last()) {
            (true, Some((_, inner))) => inner,
            _ => templates,
        };
        return inner
            .iter()
            .fold(twice(undefined(own)), |text, template| twice(format!("{template}: {text}")));
    }
    let unreadable = ["Syntax error in template: ", "Syntax error in expression: "]
        .iter()
        .find_map(|start| own.strip_prefix(start))
        .or_else(|| own.starts_with("no ").then_some(own));
    if let Some(rest) = unreadable {
        // The line is our own addition.
        let rest = syntax(rest.rsplit_once(" (line ").map_or(rest, |(rest, _)| rest));
        let rest = match in_condition {
            // Conditions are within an `if` there.
            Some(_) => match rest.strip_prefix("chunk after expression: unexpected ") {
                Some(found) => format!("expected token 'end of statement block', got {found}"),
                None => rest,
            },
            None => rest,
        };
        let source = match (in_condition, templates.first()) {
            (Some((text, _)), None) => {
                format!("{{% if {text} %}} True {{% else %}} False {{% endif %}}")
            }
            (_, Some(template)) => template.to_string(),
            (None, None) => String::new(),
        };
        return format!("template error while templating string: {rest}. String: {source}. {rest}");
    }
    if let Some(why) = own.strip_prefix("Error rendering template: ")
        && ["can only concatenate", "unsupported operand", "'"]
            .iter()
            .any(|start| why.starts_with(start))
        && let Some(template) = templates.first()
    {
        return format!("Unexpected templating type error occurred on ({template}): {why}. {why}");
    }
    if let Some((_, why)) =
        own.strip_prefix("The filter plugin '").and_then(|rest| rest.split_once("' failed: "))
    {
        return why.to_owned();
    }
    let plugin = own.strip_prefix("The lookup plugin '").and_then(|rest| rest.split_once("' "));
    match plugin {
        Some((name, "was not found.")) => format!("lookup plugin ({name}) not found"),
        Some((name, why)) => match why.strip_prefix("failed: ") {
            Some(why) => {
                let why = unlocated(why);
                format!(
                    "An unhandled exception occurred while running the lookup plugin '{name}'. Error was a <class 'ansible.errors.AnsibleError'>, original message: {why}. {why}"
                )
            }
            None => own.to_owned(),
        },
        None => own.to_owned(),
    }
}

/// That a file is nowhere, as the lookup `file` of 2.14 says it.
fn unlocated(why: &str) -> String {
    let name = why
        .strip_prefix("Unable to access the file '")
        .and_then(|rest| rest.strip_suffix("': File not found. Use -vvvvv to see paths searched."));
    match name {
        Some(name) => format!("could not locate file in lookup: {name}"),
        None => why.to_owned(),
    }
}

/// That a name is unknown, as 2.14 says it.
fn syntax(rest: &str) -> String {
    let late = ["No filter named '", "No test named '"]
        .iter()
        .find_map(|start| rest.strip_prefix(start)?.strip_suffix("'."));
    let early = ["no filter named `", "no test named `"]
        .iter()
        .find_map(|start| rest.strip_prefix(start)?.strip_suffix('`'));
    let name = late.or(early);
    match name {
        Some(name) => format!("Could not load \"{name}\": '{name}'"),
        None => rest.to_owned(),
    }
}

/// What is undefined, as 2.14 says it.
fn undefined(why: &str) -> String {
    if let Some((kind, rest)) =
        why.strip_prefix("object of type '").and_then(|rest| rest.split_once("' has no "))
    {
        return match rest.strip_prefix("attribute ") {
            Some(name) if name.parse::<i64>().is_ok() => {
                format!("{kind} object has no element {name}")
            }
            _ => format!("'{kind} object' has no {rest}"),
        };
    }
    if let Some(rest) = why.strip_prefix(LAZY) {
        let (class, rest) = rest.split_at(4);
        return class.to_lowercase() + rest;
    }
    match why.strip_prefix("hostvars[") {
        Some(_) => format!("\"{why}\" is undefined"),
        None => why.to_owned(),
    }
}
