//! What happens in a run, for programs: an object for each event.
//!
//! What people are shown in words is in fields here: the place of a fault with the lines it stands
//! in, and where each variable that it is about comes from. Never here: printing.

use super::faults::excerpt;
use super::{At, Event, Provenance};
use crate::fault::{Cause, LoadFault};
use crate::value::Value;
use crate::yaml::Origin;
use serde_json::{Map, Value as Json, json};

impl Event {
    /// The event as an object; `None` for details that only people ask for, and for the end, which
    /// the recap tells.
    pub fn to_json(&self) -> Option<Json> {
        Some(match self {
            Self::PlaybookBegan { file, plays } => {
                json!({"event": "playbook", "file": file, "plays": plays})
            }
            Self::PlayBegan { name, check, .. } => {
                json!({"event": "play", "name": name.trim(), "check": check})
            }
            Self::TaskBegan { name, handler, check, origin, .. } => {
                let told = json!({
                    "event": "task", "name": name.trim(), "handler": handler, "check": check,
                });
                with(told, origin.iter().flat_map(spot))
            }
            Self::Awaited { hosts, .. } => json!({"event": "awaited", "hosts": hosts}),
            Self::Ok { at, changed, result, .. } => {
                with(of("ok", at, result), [("changed", json!(changed))])
            }
            Self::Skipped { at, result } => of("skipped", at, result),
            Self::Failed { at, result, why, origin, causes, variables, ignored } => {
                let whole = Cause::new(why, origin.clone());
                let causes = if causes.is_empty() { std::slice::from_ref(&whole) } else { causes };
                with(
                    of("failed", at, result),
                    [
                        ("ignored", json!(ignored)),
                        ("why", json!(why)),
                        ("causes", causes.iter().map(cause).collect()),
                        ("variables", variables.iter().map(provenance).collect()),
                    ],
                )
            }
            Self::Unreachable { at, result, why, origin, ignored } => {
                let whole = Cause::new(why, origin.clone());
                with(
                    of("unreachable", at, result),
                    [
                        ("ignored", json!(ignored)),
                        ("why", json!(why)),
                        ("causes", json!([cause(&whole)])),
                    ],
                )
            }
            Self::LoopEnded { at, unreachable, ignored, .. } => json!({
                "event": "loop_failed", "host": at.host, "unreachable": unreachable,
                "ignored": ignored,
            }),
            Self::Retrying { at, task, left, result } => {
                let more = [("task", json!(task)), ("retries_left", json!(left))];
                with(of("retrying", at, result), more)
            }
            Self::Included { what, hosts, item } => {
                json!({"event": "included", "what": what, "hosts": hosts, "item": item})
            }
            Self::NoHostsMatched => json!({"event": "no_hosts_matched"}),
            Self::NoHostsLeft => json!({"event": "no_hosts_left"}),
            Self::Said(text) => json!({"event": "said", "text": text}),
            Self::Warning(text) => json!({"event": "warning", "what": text}),
            Self::Deprecated(fault) => with(fault.to_json(), [("event", json!("deprecated"))]),
            Self::Fault(fault) => fault.to_json(),
            Self::Settled { .. } | Self::Detail(..) | Self::Ended(_) => return None,
        })
    }
}

impl LoadFault {
    /// For programs: what is wrong, where, and the lines it stands in.
    pub fn to_json(&self) -> Json {
        let told = json!({"event": "fault", "what": self.what, "help": self.help});
        with(told, self.at.iter().flat_map(place))
    }
}

/// What happened at a host, with the result that a module gave.
fn of(event: &str, at: &At, result: &Value) -> Json {
    let mut result = result.to_json();
    if let Json::Object(entries) = &mut result {
        // What Ansible tells itself.
        entries.retain(|name, _| !name.starts_with("_ansible_"));
    }
    json!({
        "event": event, "host": at.host, "delegate": at.delegate, "item": at.item, "result": result,
    })
}

fn with<'n>(object: Json, more: impl IntoIterator<Item = (&'n str, Json)>) -> Json {
    let mut entries = match object {
        Json::Object(entries) => entries,
        _ => Map::new(),
    };
    entries.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Json::Object(entries)
}

fn spot(origin: &Origin) -> [(&'static str, Json); 3] {
    [
        ("file", json!(origin.absolute())),
        ("line", json!(origin.line)),
        ("column", json!(origin.column)),
    ]
}

/// A place with the lines around it.
fn place(origin: &Origin) -> impl Iterator<Item = (&'static str, Json)> {
    let lines = if origin.line == 0 { String::new() } else { excerpt(origin) };
    let lines = json!(lines.lines().collect::<Vec<_>>());
    spot(origin).into_iter().chain([("excerpt", lines)])
}

fn cause(cause: &Cause) -> Json {
    let told = json!({"what": cause.what, "help": cause.help});
    with(told, cause.at.iter().flat_map(place))
}

fn provenance(variable: &Provenance) -> Json {
    json!({"name": variable.name, "set": variable.set, "over": variable.over})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_its_place_its_lines_and_its_variables_as_fields() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("site.yml").display().to_string();
        std::fs::write(&file, "- hosts: all\n  tasks:\n    - debug: msg={{ port }}\n").unwrap();
        let origin = Some(Origin { file: file.as_str().into(), line: 3, column: 7 });
        let failed = Event::Failed {
            at: At { host: "web".to_owned(), delegate: None, item: None },
            result: Value::dict_of([("msg", Value::str("no")), ("_ansible_x", Value::Bool(true))]),
            why: "Task failed: no".to_owned(),
            origin,
            causes: Vec::new(),
            variables: vec![Provenance {
                name: "port".to_owned(),
                set: Some("group_vars/web.yml:2".to_owned()),
                over: vec!["defaults of a role".to_owned()],
            }],
            ignored: false,
        };
        let expected = json!({
            "event": "failed", "host": "web", "delegate": null, "item": null,
            "result": {"msg": "no"}, "ignored": false, "why": "Task failed: no",
            "causes": [{
                "what": "Task failed: no", "help": null, "file": file, "line": 3, "column": 7,
                "excerpt": ["1 - hosts: all", "2   tasks:", "3     - debug: msg={{ port }}", "        ^ column 7"],
            }],
            "variables": [{
                "name": "port", "set": "group_vars/web.yml:2", "over": ["defaults of a role"],
            }],
        });
        assert_eq!(failed.to_json(), Some(expected));
    }

    #[test]
    fn details_and_the_end_are_not_told() {
        assert_eq!(Event::Detail(3, "EXEC".to_owned()).to_json(), None);
        assert_eq!(Event::Ended(super::super::Recap::default()).to_json(), None);
    }
}
