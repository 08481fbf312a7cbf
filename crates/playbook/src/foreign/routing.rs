//! `meta/runtime.yml`: names that lead elsewhere.

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
        Self { modules: part("modules"), utils: part("module_utils") }
    }
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
