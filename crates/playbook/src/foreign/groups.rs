//! Groups of actions, which `module_defaults` may name: `group/NAME`, or
//! `group/NAMESPACE.COLLECTION.NAME`.

use super::routing::Routes;
use super::{Modules, REDIRECTS, Step};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The collection of what belongs to none.
const BUILTIN: &str = "ansible.builtin";

/// Groups of old that ansible-core knows by their last word.
const OF_OLD: &[(&str, &str)] = &[("docker", "community.docker.docker")];

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
            // What moved to a collection has its name, other things that are built in keep theirs.
            let moved = word.strip_prefix("ansible.builtin.").and_then(updraft_spec::find);
            if let Some(spec) = moved.filter(|spec| spec.collection != BUILTIN) {
                return format!("{}.{}", spec.collection, spec.name);
            }
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
        match self.groups_of(collection) {
            Some(routes) => routes.groups.contains_key(&full) || routes.groups.contains_key(name),
            None => ours(collection, name).next().is_some(),
        }
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
        let Some(routes) = self.groups_of(collection) else {
            let old = OF_OLD.iter().find(|(old, _)| collection == BUILTIN && *old == name);
            return old.is_some_and(|(_, more)| self.group_holds(more, action, seen))
                || ours(collection, name).any(|full| full == action);
        };
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

/// Full names of what is built in of a group whose collection is not installed.
fn ours(collection: &str, group: &str) -> impl Iterator<Item = String> {
    let named = updraft_spec::KNOWN.iter().filter(move |spec| {
        !group.is_empty() && spec.group == group && spec.collection == collection
    });
    named.map(|spec| format!("{}.{}", spec.collection, spec.name))
}

/// The name of a group with its collection's.
fn full_group(group: &str) -> String {
    match group.contains('.') {
        true => group.to_owned(),
        false => format!("{BUILTIN}.{group}"),
    }
}
