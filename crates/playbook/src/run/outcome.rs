//! What a task gave on a host.

use crate::fault::Cause;
use crate::value::{Dict, Key, Value};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    Failed,
    Skipped,
    Unreachable,
}

/// What one task gave on one host.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) result: Dict,
    pub(crate) ended: Ended,
    pub(crate) changed: bool,
    pub(crate) ignored: bool,
    /// Includes that this host asks for.
    pub(crate) includes: Vec<Asked>,
    /// Handlers to be run.
    pub(crate) notify: Vec<String>,
    /// Whoever runs the playbook wants it to end here.
    pub(crate) quit: bool,
    /// Why it failed, from the outside in, where more is known than the result says.
    pub(crate) causes: Vec<Cause>,
}

/// An include that a host asks for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The file, or the role.
    pub(crate) what: String,
    /// Other arguments of `include_role`.
    pub(crate) args: Dict,
    /// Variables of the include, rendered as far as loops need it.
    pub(crate) vars: Dict,
    pub(crate) item: Option<String>,
}

pub(crate) fn flag(result: &Dict, name: &str) -> bool {
    result.get(name).is_some_and(|value| value.as_boolean().unwrap_or_else(|| value.is_true()))
}

/// A result with `failed` and `msg`.
pub(crate) fn failed(msg: impl Into<String>) -> Dict {
    let mut result = Dict::new();
    result.insert(Key::str("failed"), Value::Bool(true));
    result.insert(Key::str("msg"), Value::from(msg.into()));
    result
}

pub(crate) fn put(result: &mut Dict, name: &str, value: impl Into<Value>) {
    result.insert(Key::str(name), value.into());
}

/// `failed_when` has the last word. Of a loop one failed item is enough.
fn has_failed(result: &Dict) -> bool {
    let results = result.get("results").and_then(Value::as_list).unwrap_or_default();
    let judged = |result: &Value| result.get("failed_when_result").is_some();
    if let Some(judged) = result.get("failed_when_result") {
        return judged.is_true();
    }
    if results.iter().any(judged) {
        return results.iter().any(|one| one.get("failed_when_result").is_some_and(Value::is_true));
    }
    flag(result, "failed")
}

impl Outcome {
    pub(crate) fn of(result: Dict) -> Self {
        let ended = if flag(&result, "unreachable") {
            Ended::Unreachable
        } else if has_failed(&result) {
            Ended::Failed
        } else if flag(&result, "skipped") {
            Ended::Skipped
        } else {
            Ended::Well
        };
        Self {
            changed: flag(&result, "changed"),
            result,
            ended,
            ignored: false,
            includes: Vec::new(),
            notify: Vec::new(),
            quit: false,
            causes: Vec::new(),
        }
    }
}

/// What stands before a reason that the action has no words of its own for (ansible-core 2.19).
pub(crate) const UNEXPECTED: &str = "Unexpected AnsibleActionFail error: ";

/// How reasons begin that an action raises in place of a result: nothing stands before them
/// (ansible-core 2.19).
const RAISED: &[&str] = &[
    "Invalid options for ",
    "Unsupported parameters for (async_status)",
    "No key/value pairs provided",
    "name, host or hostname needs to be provided",
    "src (or content) and dest are required",
    "src and dest are required",
];

/// The same of what modules say, too, when they refuse their arguments.
const RAISED_HERE: &[&str] = &[
    "Unsupported parameters for ",
    "missing required arguments: ",
    "one of the following is required: _raw_params, cmd",
];

/// What an action says before its module has begun.
const BEFORE: &[&str] = &[
    "src (or content) is required",
    "dest is required",
    "can not use content with a dir as dest",
    "async task did not complete within the requested time",
];

/// One sentence on why a result is a failure, as ansible-core 2.19 begins it.
pub(crate) fn why(result: &Dict, on_host: bool) -> String {
    let msg = result.get("msg").map(Value::to_text).unwrap_or_default();
    if msg.is_empty() {
        return format!(
            "Task failed: {}.",
            if on_host { "Module failed" } else { "Action failed" }
        );
    }
    if msg.starts_with("Task failed") {
        return msg;
    }
    let begins = |with: &[&str]| with.iter().any(|start| msg.starts_with(start));
    if msg.starts_with(UNEXPECTED) || begins(RAISED) || !on_host && begins(RAISED_HERE) {
        return format!("Task failed: {msg}");
    }
    let kind = if on_host && !begins(BEFORE) { "Module failed" } else { "Action failed" };
    format!("Task failed: {kind}: {msg}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_who_gave_it_unless_it_was_raised() {
        for (msg, on_host, said) in [
            ("no such group", true, "Task failed: Module failed: no such group"),
            ("could not find job", false, "Task failed: Action failed: could not find job"),
            ("", true, "Task failed: Module failed."),
            ("Task failed: late", true, "Task failed: late"),
            ("Invalid options for fail: a", false, "Task failed: Invalid options for fail: a"),
            ("src and dest are required", false, "Task failed: src and dest are required"),
            (
                "Unsupported parameters for (debug) module: a.",
                false,
                "Task failed: Unsupported parameters for (debug) module: a.",
            ),
            (
                "Unsupported parameters for (file) module: a.",
                true,
                "Task failed: Module failed: Unsupported parameters for (file) module: a.",
            ),
            ("dest is required", true, "Task failed: Action failed: dest is required"),
        ] {
            assert_eq!(why(&failed(msg), on_host), said);
        }
    }
}
