//! Includes, which are read while a play runs.

use super::outcome::Asked;
use super::strategy::Batch;
use crate::fault::Faults;
use crate::parse::role::{Asked as AskedRole, role_block};
use crate::parse::task::find_tasks;
use crate::parse::tree::{Action, Common, Node, Task};
use crate::parse::{Place, Reader};
use crate::value::{Dict, Key, Value};
use crate::yaml::{Kind, Node as Yaml};
use std::sync::Arc;

/// What an include brought.
pub(super) struct Found {
    pub(super) nodes: Vec<Node>,
    /// The file or role, for the screen.
    pub(super) shown: String,
}

impl Batch<'_> {
    pub(super) fn load_include(
        &mut self,
        task: &Task,
        asked: &Asked,
        host: usize,
    ) -> Result<Found, String> {
        match &task.action {
            Action::IncludeRole { apply } => self.load_role(task, asked, apply),
            Action::IncludeTasks { apply } => self.load_tasks(task, asked, apply, host),
            Action::Module(name) => Err(format!("`{name}` includes nothing")),
        }
    }

    fn place(&self, task: &Task, vars: &Dict) -> Place {
        let mut known = vars.clone();
        known.insert(
            Key::str("playbook_dir"),
            Value::from(
                std::path::absolute(&self.play.dir)
                    .unwrap_or_else(|_| self.play.dir.clone())
                    .display()
                    .to_string(),
            ),
        );
        if let Some(role) = &task.role {
            known.insert(Key::str("role_path"), Value::from(role.path.display().to_string()));
        }
        Place {
            dir: task.dir.clone(),
            playbook_dir: self.play.dir.clone(),
            role: task.role.clone(),
            handlers: false,
            known: Arc::new(known),
            depth: 0,
        }
    }

    /// Keywords for what an include brings: those around it, its variables, and what `apply` says.
    /// Its own conditions and tags were for itself.
    fn around(task: &Task, asked: &Asked, apply: &Common) -> Arc<Common> {
        let own = Common { params: asked.vars.clone(), ..apply.clone() };
        Arc::new(own.within(&task.outer))
    }

    fn load_tasks(
        &mut self,
        task: &Task,
        asked: &Asked,
        apply: &Common,
        _host: usize,
    ) -> Result<Found, String> {
        let place = self.place(task, &asked.vars);
        let Some(path) = find_tasks(&asked.what, &place) else {
            return Err(format!(
                "Could not find or access '{}' on the Ansible Controller.",
                asked.what
            ));
        };
        let mut reader = Reader::new(&self.playbook.loader);
        let nodes = reader.task_file(&path, &Self::around(task, asked, apply), &place);
        if !reader.faults.is_empty() {
            return Err(Faults(reader.faults).to_string());
        }
        let shown = std::path::absolute(&path).unwrap_or(path).display().to_string();
        Ok(Found { nodes, shown })
    }

    fn load_role(&mut self, task: &Task, asked: &Asked, apply: &Common) -> Result<Found, String> {
        let place = self.place(task, &asked.vars);
        let text =
            |name: &str| asked.args.get(name).filter(|value| !value.is_none()).map(Value::to_text);
        let public = asked.args.get("public").and_then(Value::as_boolean).unwrap_or(false);
        let wanted = AskedRole {
            tasks_from: text("tasks_from"),
            vars_from: text("vars_from"),
            defaults_from: text("defaults_from"),
            handlers_from: text("handlers_from"),
            params: asked.vars.clone(),
            public,
            allow_duplicates: true,
        };
        let common = Self::around(task, asked, apply);
        let at = Yaml { at: task.origin.clone(), kind: Kind::Scalar(Value::None) };
        let mut reader = Reader::new(&self.playbook.loader);
        let used = reader.role(&asked.what, wanted, &common, &at, &place);
        if !reader.faults.is_empty() {
            return Err(Faults(reader.faults).to_string());
        }
        let Some(used) = used else {
            return Err(format!("the role `{}` was not found", asked.what));
        };
        for part in crate::parse::in_order(std::slice::from_ref(&used)) {
            self.handlers.add(&part.handlers);
        }
        if used.role.public {
            self.publish(&used.role.defaults, &used.role.vars);
        }
        Ok(Found { nodes: vec![role_block(&used)], shown: used.role.name.clone() })
    }

    /// Shows a role's variables to the rest of the play.
    fn publish(&mut self, defaults: &Dict, vars: &Dict) {
        let old = &self.vars;
        let over = |old: &Dict, new: &Dict| -> Dict {
            let mut all = old.clone();
            all.extend(new.clone());
            all
        };
        self.vars = Arc::new(super::vars::PlayVars {
            dir: old.dir.clone(),
            name: old.name.clone(),
            vars: old.vars.clone(),
            prompted: old.prompted.clone(),
            role_defaults: over(&old.role_defaults, defaults),
            role_vars: over(&old.role_vars, vars),
            role_names: old.role_names.clone(),
            batch: old.batch.clone(),
            all: old.all.clone(),
        });
    }
}
