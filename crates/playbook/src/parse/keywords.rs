//! Keywords that several things share, read once.

use super::catalog::nearest;
use super::tree::{Common, Condition};
use crate::fault::LoadFault;
use crate::template::Expression;
use crate::value::{Dict, Key, Value};
use crate::yaml::{Kind, Node};

/// Keywords of [`Common`].
pub(crate) const COMMON: &[&str] = &[
    "name",
    "when",
    "tags",
    "vars",
    "environment",
    "module_defaults",
    "become",
    "become_user",
    "become_method",
    "become_flags",
    "become_exe",
    "remote_user",
    "connection",
    "port",
    "ignore_errors",
    "ignore_unreachable",
    "no_log",
    "check_mode",
    "diff",
    "any_errors_fatal",
    "run_once",
    "timeout",
    "delegate_to",
    "delegate_facts",
    "collections",
    "throttle",
    "debugger",
];

/// Faults found so far, and where to add more.
pub(crate) type Found<'f> = &'f mut Vec<LoadFault>;

/// Takes a keyword of [`Common`] into it. `false` when the keyword is none of them.
pub(crate) fn take(common: &mut Common, key: &str, value: &Node, faults: Found<'_>) -> bool {
    let plain = || Some(value.to_value());
    match key {
        "when" => common.when = conditions(value),
        "tags" => common.tags = words(value, faults),
        "vars" => common.vars = vars(value, faults),
        "environment" => common.environment = list(value),
        "module_defaults" => common.module_defaults = list(value),
        "become" => common.become_it = plain(),
        "become_user" => common.become_user = plain(),
        "become_method" => common.become_method = plain(),
        "become_flags" => common.become_flags = plain(),
        "become_exe" => common.become_exe = plain(),
        "remote_user" => common.remote_user = plain(),
        "connection" => common.connection = plain(),
        "port" => common.port = plain(),
        "ignore_errors" => common.ignore_errors = plain(),
        "ignore_unreachable" => common.ignore_unreachable = plain(),
        "no_log" => common.no_log = plain(),
        "check_mode" => common.check_mode = plain(),
        "diff" => common.diff = plain(),
        "any_errors_fatal" => common.any_errors_fatal = plain(),
        "run_once" => common.run_once = plain(),
        "timeout" => common.timeout = plain(),
        "delegate_to" => common.delegate_to = plain(),
        "delegate_facts" => common.delegate_facts = plain(),
        "collections" => {
            common.collections = list(value).iter().map(Value::to_text).collect();
        }
        "throttle" => common.throttle = plain(),
        "debugger" if value.is_null() => {}
        "debugger" => match value.as_str() {
            Some("always" | "on_failed" | "on_unreachable" | "on_skipped" | "never") => {
                common.debugger = plain();
            }
            _ => faults.push(LoadFault::at(
                value.at.clone(),
                format!(
                    "'{}' is not a valid value for debugger. Must be one of always, on_failed, on_unreachable, on_skipped, never",
                    value.to_value().to_text()
                ),
            )),
        },
        _ => return false,
    }
    true
}

pub(crate) fn list(value: &Node) -> Vec<Value> {
    match value.to_value() {
        Value::None => Vec::new(),
        other => other.as_list().map_or_else(|| vec![other.clone()], <[Value]>::to_vec),
    }
}

/// One word, several between commas, or a list of them.
pub(crate) fn words(value: &Node, faults: Found<'_>) -> Vec<Value> {
    let mut out = Vec::new();
    for item in list(value) {
        match (&item, item.as_str()) {
            (Value::Lazy(_), Some(_)) => out.push(item),
            (_, Some(text)) => {
                out.extend(
                    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(Value::str),
                );
            }
            (Value::Int(_), None) => out.push(Value::from(item.to_text())),
            _ => faults
                .push(LoadFault::at(value.at.clone(), "a word or a list of words belongs here")),
        }
    }
    out
}

pub(crate) fn vars(value: &Node, faults: Found<'_>) -> Dict {
    match &value.kind {
        Kind::Map(_) => {
            let vars = value.to_value().as_dict().cloned().unwrap_or_default();
            for name in vars.keys() {
                if !is_name(name) {
                    faults.push(LoadFault::at(
                        value.at.clone(),
                        format!("`{name}` is not a name for a variable"),
                    ));
                }
            }
            vars
        }
        Kind::Scalar(Value::None) => Dict::new(),
        Kind::Seq(items) => items.iter().flat_map(|item| vars(item, faults)).collect(),
        Kind::Scalar(_) => {
            faults.push(LoadFault::at(
                value.at.clone(),
                format!("`vars` is a dict, this is {}", value.kind_name()),
            ));
            Dict::new()
        }
    }
}

/// Names that mean something else where variables are used: keywords, and what templates know.
const RESERVED: &[&str] = &[
    // Keywords of plays, roles, blocks and tasks that are none of [`COMMON`].
    "action",
    "always",
    "args",
    "async",
    "block",
    "changed_when",
    "delay",
    "failed_when",
    "fact_path",
    "force_handlers",
    "gather_facts",
    "gather_timeout",
    "handlers",
    "hosts",
    "local_action",
    "loop",
    "loop_control",
    "max_fail_percentage",
    "notify",
    "order",
    "poll",
    "post_tasks",
    "pre_tasks",
    "register",
    "rescue",
    "retries",
    "roles",
    "serial",
    "strategy",
    "tasks",
    "until",
    "vars_files",
    "vars_prompt",
    "with_",
    // Functions of templates.
    "cycler",
    "dict",
    "joiner",
    "lipsum",
    "lookup",
    "namespace",
    "now",
    "q",
    "query",
    "range",
    "undef",
];

/// What is said of a variable whose name means something else, if it does.
pub(crate) fn reserved(name: &str) -> Option<String> {
    let taken = RESERVED.contains(&name) || COMMON.contains(&name) && name != "vars";
    taken.then(|| format!("Found variable using reserved name '{name}'."))
}

/// Is it a Python identifier?
pub(crate) fn is_name(key: &Key) -> bool {
    key.as_str().is_some_and(is_identifier)
}

pub(crate) fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_ascii_alphabetic())
        && chars.all(|c| c == '_' || c.is_ascii_alphanumeric())
        && !matches!(text, "True" | "False" | "None" | "true" | "false" | "none" | "not")
}

pub(crate) fn conditions(value: &Node) -> Vec<Condition> {
    match &value.kind {
        Kind::Seq(items) => items.iter().flat_map(conditions).collect(),
        Kind::Scalar(Value::None) => Vec::new(),
        Kind::Scalar(Value::Bool(truth)) => vec![Condition::Plain(*truth)],
        Kind::Scalar(scalar) => {
            let text = scalar.as_str().map_or_else(|| scalar.to_text(), str::to_owned);
            vec![match scalar {
                Value::Str(own) if !own.is_own() => {
                    Condition::Broken(text, crate::template::UNTRUSTED.to_owned())
                }
                _ => condition(&text, value),
            }]
        }
        Kind::Map(_) => vec![Condition::Broken(
            value.to_value().to_text(),
            "Conditional expressions must be strings.".to_owned(),
        )],
    }
}

/// Does a template begin and end the text?
pub(crate) fn is_whole_template(text: &str) -> bool {
    let within = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
    within("{{", "}}") || within("{%", "%}") || within("{#", "#}")
}

fn condition(text: &str, value: &Node) -> Condition {
    let bare = text.trim();
    if bare.is_empty() {
        return Condition::Broken(
            String::new(),
            "Empty conditional expressions are not allowed.".to_owned(),
        );
    }
    if is_whole_template(bare) {
        return Condition::Template(Value::trusted(bare, Some(value.at.clone())));
    }
    match Expression::new(bare, Some(value.at.clone())) {
        Ok(expression) => Condition::Expr(expression),
        Err(fault) => Condition::Broken(bare.to_owned(), fault.what),
    }
}

/// A keyword that does not belong here, with the one that was perhaps meant. `what` is what Ansible
/// calls the thing: `Play`, `Block`, `Task`.
pub(crate) fn unknown(key: &Node, what: &str, known: &[&str]) -> LoadFault {
    let word = key.scalar_text().unwrap_or_default();
    let hint = nearest(&word, known.iter().copied().chain(COMMON.iter().copied()))
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    LoadFault::at(key.at.clone(), format!("'{word}' is not a valid attribute for a {what}{hint}"))
}
