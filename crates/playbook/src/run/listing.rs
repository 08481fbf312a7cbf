//! What a playbook would do, told without doing it: `--list-hosts`, `--list-tasks`, `--list-tags`.

use super::RunOptions;
use super::plays::{hosts_of_plays, play_context};
use super::tags;
use crate::fault::Faults;
use crate::inventory::Inventory;
use crate::parse::Playbook;
use crate::parse::tree::{Node, Play, RoleUse, Task};
use crate::template::Context;
use crate::value::Value;
use std::collections::BTreeSet;

/// What to tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listing {
    /// The hosts of each play.
    pub hosts: bool,
    /// The tasks that are known before a run.
    pub tasks: bool,
    /// Their tags.
    pub tags: bool,
}

impl Listing {
    /// Is anything to be told?
    pub fn any(self) -> bool {
        self.hosts || self.tasks || self.tags
    }
}

impl Playbook {
    /// What there is, as `ansible-playbook` prints it.
    ///
    /// # Errors
    /// When a pattern of hosts makes no sense.
    pub fn listing(
        &self,
        inventory: &Inventory,
        options: &RunOptions,
        what: Listing,
    ) -> Result<String, Faults> {
        let hosts = hosts_of_plays(self, inventory, options)?;
        let mut text = String::new();
        let mut plays = self.plays.iter().zip(hosts);
        for (file, count) in &self.parts {
            text.push_str(&format!("\nplaybook: {file}\n"));
            for (index, (play, hosts)) in plays.by_ref().take(*count).enumerate() {
                let context = play_context(self, play, options);
                let told = Told { context: &context, play, options };
                text.push_str(&told.play(index + 1, &hosts, what));
            }
        }
        Ok(text)
    }
}

/// A play that is told.
struct Told<'p> {
    context: &'p Context,
    play: &'p Play,
    options: &'p RunOptions,
}

impl Told<'_> {
    fn play(&self, number: usize, hosts: &[String], what: Listing) -> String {
        let pattern = self.context.finish(&self.play.hosts).unwrap_or_default();
        let patterns: Vec<String> = match pattern.as_list() {
            Some(items) => items.iter().map(Value::to_text).collect(),
            None => vec![pattern.to_text()],
        };
        let name = match &self.play.name {
            Some(name) => self.context.text(name).unwrap_or_else(|_| name.to_text()),
            None => patterns.join(","),
        };
        let own = self.tags(&self.play.common.tags);
        let mut text = format!(
            "\n  play #{number} ({}): {name}\tTAGS: [{}]",
            patterns.join(","),
            own.join(",")
        );
        if what.hosts {
            let shown = Value::strings(&patterns).to_text();
            text.push_str(&format!("\n    pattern: {shown}\n    hosts ({}):", hosts.len()));
            hosts.iter().for_each(|host| text.push_str(&format!("\n      {host}")));
        }
        text.push('\n');
        if !what.tasks && !what.tags {
            return text;
        }
        if what.tasks {
            text.push_str("    tasks:\n");
        }
        let mut all: BTreeSet<String> = own.into_iter().collect();
        let (chosen, skipped) = (&self.options.tags, &self.options.skip_tags);
        for task in self.tasks() {
            let tags = self.tags(&task.common.tags);
            // Who asks for tags alone is told of all of them.
            let all_of_them = what.tags && chosen.is_empty() && skipped.is_empty();
            if !all_of_them && !tags::selected(&tags, chosen, skipped) {
                continue;
            }
            if what.tasks {
                let sorted: BTreeSet<&str> = tags.iter().map(String::as_str).collect();
                let sorted: Vec<&str> = sorted.into_iter().collect();
                let line = format!("      {}\tTAGS: [{}]\n", task_name(task), sorted.join(", "));
                text.push_str(&line);
            }
            all.extend(tags);
        }
        if what.tags {
            let all: Vec<String> = all.into_iter().collect();
            text.push_str(&format!("      TASK TAGS: [{}]\n", all.join(", ")));
        }
        text
    }

    fn tasks(&self) -> Vec<&Task> {
        let mut found = Vec::new();
        collect(&self.play.pre_tasks, &mut found);
        self.play.roles.iter().for_each(|used| collect_role(used, &mut found));
        collect(&self.play.tasks, &mut found);
        collect(&self.play.post_tasks, &mut found);
        found
    }

    fn tags(&self, tags: &[Value]) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for tag in tags {
            // What needs a host to be known is shown as it is written.
            let value = self.context.finish(tag).unwrap_or_else(|_| Value::from(tag.to_text()));
            for word in tags::words(&[value]) {
                if !words.contains(&word) {
                    words.push(word);
                }
            }
        }
        words
    }
}

/// The tasks of a role after those of what it depends on. Whether something has run already shows
/// when it runs.
fn collect_role<'n>(used: &'n RoleUse, found: &mut Vec<&'n Task>) {
    used.dependencies.iter().for_each(|needed| collect_role(needed, found));
    collect(&used.tasks, found);
}

/// The tasks of a list; what a block does after a failure or in the end is not told.
fn collect<'n>(nodes: &'n [Node], found: &mut Vec<&'n Task>) {
    for node in nodes {
        match node {
            Node::Task(task) => found.push(task),
            Node::Block(block) => collect(&block.body, found),
        }
    }
}

fn task_name(task: &Task) -> String {
    let role = task.role.as_ref().map(|role| format!("{} : ", role.name)).unwrap_or_default();
    match &task.name {
        Some(name) => {
            format!("{role}{}", name.as_str().map_or_else(|| name.to_text(), str::to_owned))
        }
        None => task.word.clone(),
    }
}
