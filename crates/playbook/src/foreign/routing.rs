//! `meta/runtime.yml`: names that lead elsewhere.

use crate::template::Kind;
use crate::value::Value;
use std::collections::HashMap;
use std::path::Path;

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To another name.
    To(String),
    /// Nowhere any more, and why.
    Removed(String),
}

/// The routes of a collection.
#[derive(Default)]
pub(super) struct Routes {
    pub(super) modules: HashMap<String, Route>,
    pub(super) utils: HashMap<String, Route>,
    pub(super) groups: HashMap<String, Group>,
    plugins: HashMap<Kind, HashMap<String, Route>>,
}

/// A group of actions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) actions: Vec<String>,
    /// Groups that are part of it.
    pub(super) more: Vec<String>,
}

impl Routes {
    /// Reads a file; without one, or one that makes no sense, there are no routes.
    pub(super) fn read(file: &Path) -> Self {
        let Ok(text) = std::fs::read_to_string(file) else { return Self::default() };
        let Ok(parsed) = crate::yaml::parse(&file.display().to_string(), &text) else {
            return Self::default();
        };
        let Some(document) = parsed.documents.first() else { return Self::default() };
        let value = document.to_value();
        let routing = value.get("plugin_routing").cloned().unwrap_or_default();
        let part = |name: &str| routing.get(name).map(routes).unwrap_or_default();
        let groups = value.get("action_groups").and_then(Value::as_dict).into_iter().flatten();
        let groups = groups.map(|(name, group)| (name.to_json_key(), group_of(group))).collect();
        let plugins = Kind::ALL.into_iter().map(|kind| (kind, part(kind.word()))).collect();
        Self { modules: part("modules"), utils: part("module_utils"), groups, plugins }
    }

    /// Does the file say anything of a filter, test or lookup of this name?
    pub(super) fn names_plugin(&self, kind: Kind, name: &str) -> bool {
        self.plugins.get(&kind).is_some_and(|routes| routes.contains_key(name))
    }
}

/// A group: names of actions, and at most one `metadata`, which tells of other groups.
fn group_of(entries: &Value) -> Group {
    let mut group = Group::default();
    for entry in entries.as_list().unwrap_or_default() {
        let more = entry.get("metadata").and_then(|about| about.get("extend_group"));
        match (entry.as_str(), more) {
            (Some(name), _) => group.actions.push(name.to_owned()),
            (None, Some(more)) => group.more.extend(match more.as_list() {
                Some(names) => names.iter().map(Value::to_text).collect(),
                None => vec![more.to_text()],
            }),
            (None, None) => {}
        }
    }
    group
}

fn routes(part: &Value) -> HashMap<String, Route> {
    let entries = part.as_dict().into_iter().flatten();
    entries
        .filter_map(|(name, entry)| {
            let route = match (entry.get("tombstone"), entry.get("redirect")) {
                (Some(tombstone), _) if !tombstone.is_none() => {
                    let why = tombstone.get("warning_text").map(Value::to_text);
                    Route::Removed(why.unwrap_or_else(|| "it is no more".to_owned()))
                }
                (_, Some(to)) if !to.is_none() => Route::To(to.to_text()),
                _ => return None,
            };
            Some((name.to_json_key(), route))
        })
        .collect()
}
