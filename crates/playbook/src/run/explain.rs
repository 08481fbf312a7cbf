//! Where the variables come from that a failure is about: who said them last, and over whom.

use super::ahead::Watch;
use super::execute::Crew;
use super::vars::{Layer, TaskScope};
use crate::output::Provenance;
use crate::parse::tree::{Action, Role, Task};
use crate::template::is_of_the_language;
use crate::yaml::Origin;
use std::collections::BTreeSet;
use std::sync::Arc;

/// As many variables as a person will look through.
const MOST: usize = 8;

impl TaskScope {
    /// Where something is said of a variable, the strongest first; `None` where nobody asks that:
    /// it is a loop's, or means something by itself.
    fn places(&self, name: &str) -> Option<Vec<String>> {
        let own_meaning = self.magic(name).is_some() || self.of_host(name).is_some();
        if self.over.contains_key(name) || own_meaning {
            return None;
        }
        let vault = &self.shared.world.vault;
        let in_role = |role: &Role, part: &str| {
            let folder = role.path.join(part);
            let found = crate::inventory::place_in_folder(&folder, name, vault);
            found.map_or_else(|| format!("{part} of role `{}`", role.full()), |at| at.full())
        };
        let mut places = Vec::new();
        let in_its_role = self
            .roles()
            .flat_map(|role| [&role.vars, &role.defaults])
            .any(|said| said.own.contains_key(name) || said.needed.contains_key(name));
        for (layer, value) in self.layers(name) {
            let known = value.origin().map(Origin::full);
            let said = |what: &str| match &known {
                Some(at) => format!("{what}, {at}"),
                None => what.to_owned(),
            };
            places.push(match layer {
                Layer::CommandLine => "the command line".to_owned(),
                Layer::Include => said("the include"),
                Layer::RoleParams(role) => said(&format!("where role `{}` is used", role.full())),
                Layer::Set => "a task of this run".to_owned(),
                Layer::Included => said("include_vars"),
                Layer::Task => said("vars of the task"),
                Layer::RoleVars(role) => in_role(role, "vars"),
                // Those of the role itself were told of, where the task is one of it.
                Layer::RolesVars | Layer::RolesDefaults if in_its_role => continue,
                Layer::RolesVars => said("vars of a role of the play"),
                Layer::Files => said("vars_files"),
                Layer::Prompt => "vars_prompt".to_owned(),
                Layer::Play => said("vars of the play"),
                Layer::Facts => "facts".to_owned(),
                Layer::Inventory => {
                    let (host, inventory) = (&self.host.name, self.shared.inventory());
                    let dir = self.shared.dirs.get(&self.play.dir);
                    places.extend(inventory.places_of(
                        (host.as_str(), name),
                        &self.shared.beside,
                        dir,
                        vault,
                    ));
                    continue;
                }
                Layer::RoleDefaults(role) => in_role(role, "defaults"),
                Layer::RolesDefaults => said("defaults of a role of the play"),
            });
        }
        let mut seen = BTreeSet::new();
        places.retain(|place| seen.insert(place.clone()));
        Some(places)
    }
}

impl Crew<'_> {
    /// Where each variable comes from that was looked at where settling a task failed.
    ///
    /// What failed is settled once more, by somebody who notes what is looked at.
    pub(super) fn explain(&self, task: &Task, scope: &TaskScope) -> Vec<Provenance> {
        let watch = Arc::new(Watch::new(&self.shared.world, &scope.host));
        let watched = TaskScope { watch: Some(Arc::clone(&watch)), ..scope.clone() };
        let context = watched.context();
        let values = task.args.as_dict().into_iter().flat_map(|args| args.values());
        let fails = self.all_hold(&context, &task.common.when).is_err()
            || task.common.delegate_to.iter().chain(values).any(|value| {
                watch.seen();
                context.finish(value).is_err()
            });
        if !fails {
            // It is another part of it, and any of its variables may be meant.
            if let Action::Module(module) = &task.action {
                drop(self.arguments(task, module, task.foreign.clone(), &context));
            }
        }
        let mut told: Vec<Provenance> = Vec::new();
        for name in watch.seen() {
            let Some(mut places) = scope.places(&name) else { continue };
            if places.is_empty() && is_of_the_language(&name) {
                continue;
            }
            let set = (!places.is_empty()).then(|| places.remove(0));
            let found = Provenance { name: name.to_string(), set, over: places };
            if !told.contains(&found) {
                told.push(found);
            }
        }
        told.truncate(MOST);
        told
    }
}
