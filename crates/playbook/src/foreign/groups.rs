//! Groups of actions, which `module_defaults` may name: `group/NAME`, or
//! `group/NAMESPACE.COLLECTION.NAME`.

use super::routing::Routes;
use super::{Modules, REDIRECTS, Step};
use std::collections::BTreeSet;
use std::sync::Arc;

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

    /// Is there such a group? The ones that come with Ansible are known where it is installed;
    /// elsewhere there may be any.
    pub(crate) fn has_group(&self, group: &str) -> bool {
        let full = full_group(group);
        let Some((collection, name)) = full.rsplit_once('.') else { return false };
        if collection == BUILTIN && self.core().is_none() {
            return true;
        }
        let Some(routes) = self.groups_of(collection) else { return false };
        routes.groups.contains_key(&full) || routes.groups.contains_key(name)
    }

    /// What a collection says of its groups; nothing where it is not installed.
    fn groups_of(&self, collection: &str) -> Option<Arc<Routes>> {
        let file = match collection {
            BUILTIN => self.core()?.package.join("config/ansible_builtin_runtime.yml"),
            _ => self.collection(collection)?.join("meta/runtime.yml"),
        };
        Some(self.routes(&file))
    }

    fn group_holds(&self, group: &str, action: &str, seen: &mut BTreeSet<String>) -> bool {
        let full = full_group(group);
        let Some((collection, name)) = full.rsplit_once('.') else { return false };
        if !seen.insert(full.clone()) {
            return false;
        }
        let Some(routes) = self.groups_of(collection) else { return false };
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

/// The name of a group with its collection's.
fn full_group(group: &str) -> String {
    match group.contains('.') {
        true => group.to_owned(),
        false => format!("{BUILTIN}.{group}"),
    }
}
