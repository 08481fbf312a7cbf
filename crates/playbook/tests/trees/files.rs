//! The files of a tree, and what is said on the command line. JSON is YAML too.

use super::{Named, Place, ROLES, Role, Watch, Whom};
use serde_json::{Map, Value, json};

impl Named<'_> {
    /// Each file: its path and its content. The playbook is `site.yml`, the inventory `inv/hosts`.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let mut files = vec![
            ("site.yml".to_owned(), written(&self.plays())),
            ("inv/hosts".to_owned(), self.inventory()),
            ("included.yml".to_owned(), written(&json!([self.watch(Watch::Included)]))),
            ("imported.yml".to_owned(), written(&json!([self.watch(Watch::Imported)]))),
        ];
        let mut add = |path: String, place: Place| {
            let vars = self.set_by(place);
            if !vars.is_empty() {
                files.push((path, written(&vars.into())));
            }
        };
        for (folder, beside) in
            [("inv/", Place::BesideInventory as fn(Whom) -> Place), ("", Place::BesidePlaybook)]
        {
            add(format!("{folder}group_vars/all.yml"), beside(Whom::All));
            for at in 0..self.tree.groups.len() {
                let path = format!("{folder}group_vars/{}.yml", self.group(at));
                add(path, beside(Whom::Group(at)));
            }
            for at in 0..self.tree.hosts.len() {
                let path = format!("{folder}host_vars/{}.yml", self.host(at));
                add(path, beside(Whom::Host(at)));
            }
        }
        for role in ROLES {
            let name = role.name();
            add(format!("roles/{name}/defaults/main.yml"), Place::Defaults(role));
            add(format!("roles/{name}/vars/main.yml"), Place::RoleVars(role));
        }
        for (at, place) in self.steps() {
            if let Place::IncludeVars(..) = place {
                let vars = json!({self.variable(at): place.mark()});
                files.push((format!("vars/{}.yml", self.step_name(at, place)), written(&vars)));
            }
        }
        for at in 0..2 {
            let vars = Value::Object(self.set_by(Place::File(at)));
            files.push((format!("vars/file{at}.yml"), written(&vars)));
        }
        for role in ROLES {
            let mut tasks = vec![self.watch(Watch::In(role))];
            if role == Role::Lone {
                let vars = self.set_by(Place::IncludeNested);
                tasks.push(json!({"include_role": {"name": "nested"}, "vars": vars}));
            }
            let tasks = Value::Array(tasks);
            files.push((format!("roles/{}/tasks/main.yml", role.name()), written(&tasks)));
        }
        for (role, needed) in [(Role::User, Role::Needed), (Role::Guest, Role::Friend)] {
            let meta = json!({"dependencies": [self.listed_role(needed)]});
            files.push((format!("roles/{}/meta/main.yml", role.name()), written(&meta)));
        }
        files
    }

    /// Variables of the command line.
    pub(crate) fn extra(&self) -> Vec<(String, String)> {
        let vars = self.set_by(Place::Extra).into_iter();
        vars.map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned())).collect()
    }

    /// The variables that are set in a place.
    fn set_by(&self, place: Place) -> Map<String, Value> {
        let variables = self.tree.variables.iter().enumerate();
        variables
            .filter(|(_, places)| places.contains(&place))
            .map(|(at, _)| (self.variable(at), place.mark().into()))
            .collect()
    }

    /// What tasks set, each with the number of its variable.
    fn steps(&self) -> impl Iterator<Item = (usize, Place)> {
        let variables = self.tree.variables.iter().enumerate();
        variables.flat_map(|(at, places)| places.iter().map(move |place| (at, *place)))
    }

    fn step_name(&self, at: usize, place: Place) -> String {
        format!("v{at}.{}", place.mark())
    }

    fn inventory(&self) -> String {
        let lines = |whom| {
            let vars = self.set_by(Place::Listed(whom)).into_iter();
            vars.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
                .collect::<Vec<_>>()
        };
        let mut text = String::new();
        for at in 0..self.tree.hosts.len() {
            text += &format!("{} {}\n", self.host(at), lines(Whom::Host(at)).join(" "));
        }
        text += &format!("[all:vars]\n{}\n", lines(Whom::All).join("\n"));
        for (at, group) in self.tree.groups.iter().enumerate() {
            let name = self.group(at);
            text += &format!("[{name}]\n");
            for (host, groups) in self.tree.hosts.iter().enumerate() {
                if groups.contains(&at) {
                    text += &format!("{}\n", self.host(host));
                }
            }
            text += &format!("[{name}:children]\n");
            for (child, other) in self.tree.groups.iter().enumerate() {
                if other.parents.contains(&at) {
                    text += &format!("{}\n", self.group(child));
                }
            }
            text += &format!("[{name}:vars]\n{}\n", lines(Whom::Group(at)).join("\n"));
            if let Some(priority) = group.priority {
                text += &format!("ansible_group_priority={priority}\n");
            }
        }
        text
    }

    fn plays(&self) -> Value {
        let hosts: Vec<String> = (0..self.tree.hosts.len()).map(|at| self.host(at)).collect();
        let prompts = self.set_by(Place::Prompt).into_iter();
        let prompts = prompts.map(|(name, value)| json!({"name": name, "default": value}));
        let mut before = self.done_at(0);
        before.push(self.watch(Watch::Start));
        let block = json!({"vars": self.set_by(Place::OuterBlock), "block": [
            {"vars": self.set_by(Place::InnerBlock), "block": [self.watch(Watch::Middle)]},
            {"include_tasks": "included.yml", "vars": self.set_by(Place::IncludeTasks)},
            {"import_tasks": "imported.yml", "vars": self.set_by(Place::ImportTasks)},
            {"include_role": {"name": "guest", "public": self.tree.public},
             "vars": self.set_by(Place::IncludeRole)},
            {"import_role": {"name": "brought"}, "vars": self.set_by(Place::ImportRole)},
        ]});
        let mut tasks = self.done_at(1);
        tasks.push(block);
        tasks.extend(self.done_at(2));
        tasks.extend([self.watch(Watch::After), self.watch(Watch::Elsewhere)]);
        json!([
            {
                "hosts": hosts,
                "gather_facts": self.tree.gathers,
                "gather_subset": ["!all"],
                "vars": self.set_by(Place::Play),
                "vars_prompt": prompts.collect::<Vec<_>>(),
                "vars_files": ["vars/file0.yml", "vars/file1.yml"],
                "pre_tasks": before,
                "roles": [self.listed_role(Role::Lone), self.listed_role(Role::User)],
                "tasks": tasks,
            },
            {"hosts": hosts, "gather_facts": false, "tasks": [self.watch(Watch::Next)]},
        ])
    }

    fn listed_role(&self, role: Role) -> Value {
        let mut listed = self.set_by(Place::Params(role));
        listed.insert("role".to_owned(), role.name().into());
        listed.insert("vars".to_owned(), self.set_by(Place::Given(role)).into());
        listed.into()
    }

    /// The tasks that set something at a moment.
    fn done_at(&self, moment: u8) -> Vec<Value> {
        let mut tasks = Vec::new();
        for (at, place) in self.steps() {
            let (name, mark) = (self.variable(at), place.mark());
            let (task, on) = match place {
                Place::IncludeVars(when, on) if when == moment => {
                    let file = format!("vars/{}.yml", self.step_name(at, place));
                    (json!({"include_vars": file}), on)
                }
                Place::SetFact(when, on) if when == moment => {
                    (json!({"set_fact": {name: mark}}), on)
                }
                Place::Register(when) if when == moment => {
                    (json!({"debug": {"msg": mark}, "register": name}), None)
                }
                _ => continue,
            };
            let Value::Object(mut task) = task else { continue };
            if let Some(host) = on {
                let when = format!("inventory_hostname == '{}'", self.host(host));
                task.insert("when".to_owned(), when.into());
            }
            tasks.push(task.into());
        }
        tasks
    }

    /// A task that shows all variables.
    fn watch(&self, watch: Watch) -> Value {
        let from = match watch {
            Watch::Elsewhere => format!("hostvars['{}'].", self.host(0)),
            _ => String::new(),
        };
        let mut text = format!("seen {} {{{{ inventory_hostname }}}}", watch.name());
        for at in 0..self.tree.variables.len() {
            let name = self.variable(at);
            // What was registered is the result of a task.
            text += &format!(
                " {name}={{{{ {from}{name}.msg | default({from}{name}) | default('-') }}}}"
            );
        }
        let mut task = json!({"debug": {"msg": text}});
        if !matches!(watch, Watch::Elsewhere | Watch::Next) {
            task["vars"] = self.set_by(Place::Task).into();
        }
        task
    }
}

fn written(value: &Value) -> String {
    format!("{value:#}\n")
}
