//! Groups of actions, which `module_defaults` may name: `group/NAME`, or
//! `group/NAMESPACE.COLLECTION.NAME`.

use super::{Modules, REDIRECTS, Step};
use std::collections::BTreeSet;

/// The collection of what belongs to none.
const BUILTIN: &str = "ansible.builtin";

impl Modules {
    /// The full name of an action: redirects followed, what comes with Ansible as
    /// `ansible.builtin.NAME`.
    pub(crate) fn full_name(&self, word: &str) -> String {
        let mut word = word.to_owned();
        for _ in 0..REDIRECTS {
            word = match word.strip_prefix("ansible.legacy.") {
                Some(short) => format!("{BUILTIN}.{short}"),
                None if !word.contains('.') => format!("{BUILTIN}.{word}"),
                None => word,
            };
            // What is built in here keeps its name.
            if crate::parse::catalog::module(&word).is_some() {
                return word;
            }
            match self.step(&word) {
                Ok(Step::Elsewhere(next)) => word = next,
                Ok(Step::Found(_)) | Err(_) => return word,
            }
        }
        word
    }

    /// Does the group hold the action, which is told by its full name?
    pub(crate) fn group_has(&self, group: &str, action: &str) -> bool {
        self.group_holds(group, action, &mut BTreeSet::new())
    }

    fn group_holds(&self, group: &str, action: &str, seen: &mut BTreeSet<String>) -> bool {
        let full = match group.matches('.').count() {
            0 => format!("{BUILTIN}.{group}"),
            _ => group.to_owned(),
        };
        let Some((collection, name)) = full.rsplit_once('.') else { return false };
        if !seen.insert(full.clone()) {
            return false;
        }
        let file = match (collection, self.core()) {
            (BUILTIN, Some(core)) => core.package.join("config/ansible_builtin_runtime.yml"),
            (BUILTIN, None) => return false,
            _ => match self.collection(collection) {
                Some(place) => place.join("meta/runtime.yml"),
                None => return false,
            },
        };
        let routes = self.routes(&file);
        let Some(found) = routes.groups.get(&full).or_else(|| routes.groups.get(name)) else {
            return false;
        };
        let whole = |word: &String| match word.contains('.') {
            true => word.clone(),
            false => format!("{collection}.{word}"),
        };
        found.actions.iter().any(|word| self.full_name(&whole(word)) == action)
            || found.more.iter().any(|more| self.group_holds(&whole(more), action, seen))
    }
}
