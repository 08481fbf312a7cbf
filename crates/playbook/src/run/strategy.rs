//! The linear strategy: a batch of hosts goes through the tasks in step.

use super::execute::{Crew, truth};
use super::handlers::Handlers;
use super::outcome::{Ended, Outcome};
use super::plays::{grouped, host_scope, play_number, play_truth, vars_files};
use super::tags;
use super::vars::{PlayVars, TaskScope};
use crate::output::Event;
use crate::parse::tree::{Action, Block, Common, Node, Play, Task};
use crate::parse::{Playbook, in_order};
use crate::template::Context;
use crate::value::{Dict, Key, Value};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where a host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It takes part.
    Running,
    /// A task failed, and nothing has rescued it.
    Failed,
    /// It cannot be reached.
    Gone,
    /// It was told to stop.
    Done,
}

/// A batch of hosts on their way through a play.
pub(super) struct Batch<'r> {
    pub(super) crew: Crew<'r>,
    pub(super) playbook: &'r Playbook,
    pub(super) play: &'r Play,
    pub(super) vars: Arc<PlayVars>,
    pub(super) names: Vec<String>,
    pub(super) flow: Vec<Flow>,
    files: Vec<Arc<Dict>>,
    pub(super) handlers: Handlers,
    /// How many blocks with a rescue are around.
    rescues: usize,
    /// Hosts that earlier batches lost.
    lost: BTreeSet<String>,
    /// Roles that have run and need not run again.
    pub(super) executed: BTreeSet<String>,
    max_fail: Option<f64>,
    force_handlers: bool,
    pub(super) play_ended: bool,
    /// Something is wrong that belongs to no host.
    pub(super) broken: Option<String>,
}

impl<'r> Batch<'r> {
    pub(super) fn new(
        crew: Crew<'r>,
        playbook: &'r Playbook,
        play: &'r Play,
        vars: Arc<PlayVars>,
        names: Vec<String>,
        lost: BTreeSet<String>,
        known: &Context,
    ) -> Result<Self, String> {
        let mut handlers = Handlers::default();
        for used in in_order(&play.roles) {
            handlers.add(&used.handlers);
        }
        handlers.add(&play.handlers);
        let mut batch = Self {
            crew,
            playbook,
            play,
            vars,
            flow: vec![Flow::Running; names.len()],
            files: vec![Arc::default(); names.len()],
            names,
            handlers,
            rescues: 0,
            lost,
            executed: BTreeSet::new(),
            max_fail: play_number(known, play.max_fail_percentage.as_ref())?,
            force_handlers: crew.shared.options.force_handlers
                || play_truth(known, play.force_handlers.as_ref())?,
            play_ended: false,
            broken: None,
        };
        batch.read_files(false)?;
        Ok(batch)
    }

    fn read_files(&mut self, strict: bool) -> Result<(), String> {
        if self.play.vars_files.is_empty() {
            return Ok(());
        }
        for index in self.running() {
            let scope = self.scope(index);
            self.files[index] = Arc::new(vars_files(self.play, &scope, strict)?);
        }
        Ok(())
    }

    pub(super) fn ends(&self) -> Vec<(String, Flow)> {
        self.names.iter().cloned().zip(self.flow.iter().copied()).collect()
    }

    /// The whole play for this batch.
    pub(super) async fn all(&mut self) -> Result<(), String> {
        self.gather().await?;
        self.read_files(true)?;
        let play = self.play;
        let everyone: Vec<usize> = (0..self.names.len()).collect();
        self.nodes(&play.pre_tasks, everyone.clone()).await;
        self.flush(&everyone).await;
        for used in in_order(&play.roles) {
            self.executed.insert(used.fingerprint.clone());
            self.nodes(&used.tasks, everyone.clone()).await;
        }
        self.nodes(&play.tasks, everyone.clone()).await;
        self.flush(&everyone).await;
        self.nodes(&play.post_tasks, everyone.clone()).await;
        self.flush(&everyone).await;
        if self.force_handlers {
            let failed: Vec<usize> =
                everyone.iter().copied().filter(|i| self.flow[*i] == Flow::Failed).collect();
            failed.iter().for_each(|i| self.flow[*i] = Flow::Running);
            self.flush(&failed).await;
            failed.iter().for_each(|i| {
                if self.flow[*i] == Flow::Running {
                    self.flow[*i] = Flow::Failed;
                }
            });
        }
        match self.broken.take() {
            Some(what) => Err(what),
            None => Ok(()),
        }
    }

    /// Facts first, unless the play says no.
    async fn gather(&mut self) -> Result<(), String> {
        let wanted = match &self.play.gather_facts {
            Some(value) => {
                let context = self.scope(0).context();
                truth(&context, Some(value)).map_err(|fault| fault.what)?
            }
            None => true,
        };
        if !wanted {
            return Ok(());
        }
        let mut common = Common::default().within(&self.play.common);
        common.tags.push(Value::str("always"));
        let common = Arc::new(common);
        let mut args = Dict::new();
        if let Some(subset) = &self.play.gather_subset {
            args.insert(Key::str("gather_subset"), subset.clone());
        }
        let task = Arc::new(Task {
            id: usize::MAX,
            name: Some(Value::str("Gathering Facts")),
            word: "ansible.builtin.setup".to_owned(),
            action: Action::Module("setup".to_owned()),
            foreign: None,
            args: Value::dict(args),
            outer: Arc::clone(&common),
            common,
            repeat: None,
            register: None,
            until: Vec::new(),
            retries: None,
            delay: None,
            changed_when: None,
            failed_when: None,
            notify: Vec::new(),
            listen: Vec::new(),
            origin: self.play.origin.clone(),
            role: None,
            dir: self.play.dir.clone(),
        });
        let everyone: Vec<usize> = (0..self.names.len()).collect();
        self.task(&task, &everyone, false).await;
        Ok(())
    }

    fn running(&self) -> Vec<usize> {
        (0..self.names.len()).filter(|index| self.flow[*index] == Flow::Running).collect()
    }

    fn among(&self, set: &[usize]) -> Vec<usize> {
        set.iter().copied().filter(|index| self.flow[*index] == Flow::Running).collect()
    }

    pub(super) fn scope(&self, index: usize) -> TaskScope {
        let lost = |name: &String| {
            self.lost.contains(name)
                || self
                    .names
                    .iter()
                    .position(|own| own == name)
                    .is_some_and(|index| matches!(self.flow[index], Flow::Failed | Flow::Gone))
        };
        let left: Vec<String> = self.vars.all.iter().filter(|name| !lost(name)).cloned().collect();
        host_scope(
            self.crew.shared,
            &self.vars,
            &self.play.common,
            &self.names[index],
            Arc::clone(&self.files[index]),
            Arc::new(left),
        )
    }

    pub(super) fn nodes<'a>(&'a mut self, nodes: &'a [Node], set: Vec<usize>) -> BoxFuture<'a, ()> {
        async move {
            for node in nodes {
                let set = self.among(&set);
                if set.is_empty() || self.broken.is_some() {
                    return;
                }
                match node {
                    Node::Task(task) => self.task(task, &set, false).await,
                    Node::Block(block) => self.block(block, &set).await,
                }
            }
        }
        .boxed()
    }

    async fn block(&mut self, block: &Block, set: &[usize]) {
        if let Some(fingerprint) = &block.dependency
            && !self.executed.insert(fingerprint.clone())
        {
            return;
        }
        let rescues = !block.rescue.is_empty();
        self.rescues += usize::from(rescues);
        self.nodes(&block.body, set.to_vec()).await;
        self.rescues -= usize::from(rescues);
        let failed: Vec<usize> =
            set.iter().copied().filter(|i| self.flow[*i] == Flow::Failed).collect();
        if rescues && !failed.is_empty() && !self.play_ended {
            failed.iter().for_each(|index| self.flow[*index] = Flow::Running);
            self.nodes(&block.rescue, failed).await;
        }
        if !block.always.is_empty() {
            // It runs for hosts that failed, too, and does not heal them.
            let failed: Vec<usize> =
                set.iter().copied().filter(|i| self.flow[*i] == Flow::Failed).collect();
            failed.iter().for_each(|index| self.flow[*index] = Flow::Running);
            self.nodes(&block.always, set.to_vec()).await;
            failed.iter().for_each(|index| {
                if self.flow[*index] == Flow::Running {
                    self.flow[*index] = Flow::Failed;
                }
            });
        }
    }

    /// Do the tags on the command line leave the task?
    fn selected(&mut self, task: &Task, index: usize) -> bool {
        let options = &self.crew.shared.options;
        if task.common.tags.is_empty() {
            return tags::selected(&[], &options.tags, &options.skip_tags);
        }
        let context = self.scope(index).for_task(task).context();
        let mut words = Vec::new();
        for tag in &task.common.tags {
            match context.finish(tag) {
                Ok(value) => words.extend(tags::words(&[value])),
                Err(fault) => {
                    self.broken = Some(format!("{}: tags: {}", task.origin, fault.what));
                    return false;
                }
            }
        }
        tags::selected(&words, &options.tags, &options.skip_tags)
    }

    /// One task on a set of hosts.
    pub(super) async fn task(&mut self, task: &Arc<Task>, set: &[usize], handler: bool) {
        let Some(&first) = set.first() else { return };
        // A handler that was notified runs whatever its tags.
        if !handler && !self.selected(task, first) {
            return;
        }
        let context = self.scope(first).for_task(task).context();
        let name = self.crew.shown_name(task, &context);
        let options = &self.crew.shared.options;
        let check = match &task.common.check_mode {
            Some(value) => truth(&context, Some(value)).unwrap_or(options.check),
            None => options.check,
        };
        let began = Event::TaskBegan { name, handler, check, origin: Some(task.origin.clone()) };
        if let Action::Module(module) = &task.action
            && module == "meta"
        {
            let word = task.args.get("_raw_params").map(Value::to_text).unwrap_or_default();
            // Ansible announces what it does host by host once for each of them.
            let times = match word.as_str() {
                "noop" | "flush_handlers" | "end_host" | "reset_connection" => set.len(),
                _ => 1,
            };
            (0..times).for_each(|_| self.crew.sink.event(began.clone()));
            return self.meta(task, &word, set).await;
        }
        let once = match truth(&context, task.common.run_once.as_ref()) {
            Ok(once) => once,
            Err(fault) => {
                self.broken = Some(format!("{}: run_once: {}", task.origin, fault.what));
                return;
            }
        };
        // A host is added to the inventory once, whoever asks for it.
        let only = matches!(&task.action, Action::Module(name) if name == "add_host");
        self.crew.sink.event(began);
        let hosts: Vec<usize> = if once || only { vec![first] } else { set.to_vec() };
        let crew = self.crew;
        let mut outcomes: Vec<(usize, Outcome)> = {
            let scopes: Vec<(usize, TaskScope)> =
                hosts.iter().map(|index| (*index, self.scope(*index))).collect();
            stream::iter(scopes)
                .map(|(index, scope)| async move { (index, crew.host_task(task, &scope).await) })
                .buffer_unordered(self.crew.shared.options.forks.max(1))
                .collect()
                .await
        };
        outcomes.sort_by_key(|(index, _)| *index);
        if once && let Some((from, outcome)) = outcomes.first() {
            self.share(task, *from, outcome, set);
        }
        let mut includes = Vec::new();
        let mut fatal = false;
        for (index, outcome) in outcomes {
            includes.extend(outcome.includes.iter().map(|asked| (asked.clone(), index)));
            fatal |= self.count(task, index, &outcome);
            for name in &outcome.notify {
                let targets: &[usize] = if once { set } else { std::slice::from_ref(&index) };
                let context = self.scope(index).for_task(task).context();
                if let Err(what) = self.handlers.notify(name, targets, &context) {
                    self.broken = Some(format!("{}: {what}", task.origin));
                }
            }
        }
        self.after(task, &context, set, once, fatal);
        self.included(task, includes, set, once).await;
    }

    /// What a task that runs once gave is there for all.
    fn share(&self, task: &Task, from: usize, outcome: &Outcome, set: &[usize]) {
        for index in set.iter().copied().filter(|index| *index != from) {
            let host = self.crew.shared.host(&self.names[index]);
            if let Some(name) = &task.register {
                host.set.put(name, Value::dict(outcome.result.clone()));
            }
            if let Some(facts) = outcome.result.get("ansible_facts").and_then(Value::as_dict) {
                let is_set = matches!(&task.action, Action::Module(name) if name == "set_fact");
                if is_set { host.set.add(facts) } else { host.facts.add(facts) }
            }
        }
    }

    /// Counts an outcome and moves its host. `true` when it is a failure that counts.
    fn count(&mut self, task: &Task, index: usize, outcome: &Outcome) -> bool {
        let name = self.names[index].clone();
        let stats = &self.crew.shared;
        let changed = u64::from(outcome.changed);
        match outcome.ended {
            Ended::Well if !outcome.includes.is_empty() => false,
            Ended::Well => {
                stats.count(&name, |counts| {
                    counts.ok += 1;
                    counts.changed += changed;
                });
                false
            }
            Ended::Skipped => {
                stats.count(&name, |counts| counts.skipped += 1);
                false
            }
            Ended::Failed if outcome.ignored => {
                stats.count(&name, |counts| {
                    counts.ok += 1;
                    counts.ignored += 1;
                    counts.changed += changed;
                });
                false
            }
            Ended::Failed => {
                let rescued = self.rescues > 0;
                stats.count(
                    &name,
                    |counts| if rescued { counts.rescued += 1 } else { counts.failed += 1 },
                );
                self.flow[index] = Flow::Failed;
                let host = stats.host(&name);
                let context = self.scope(index).for_task(task).context();
                let mut about = Dict::new();
                let shown = self.crew.shown_name(task, &context);
                let bare = task.name.as_ref().map_or(Value::str(""), |_| {
                    Value::str(shown.rsplit_once(" : ").map_or(shown.as_str(), |(_, bare)| bare))
                });
                about.insert(Key::str("name"), bare);
                about.insert(Key::str("action"), Value::str(&task.word));
                about.insert(Key::str("args"), crate::value::Value::dict(Dict::new()));
                host.set.put("ansible_failed_task", Value::dict(about));
                host.set.put("ansible_failed_result", Value::dict(outcome.result.clone()));
                true
            }
            Ended::Unreachable if outcome.ignored => {
                stats.count(&name, |counts| {
                    counts.skipped += 1;
                    counts.ignored += 1;
                });
                false
            }
            Ended::Unreachable => {
                stats.count(&name, |counts| counts.unreachable += 1);
                self.flow[index] = Flow::Gone;
                true
            }
        }
    }

    /// Stops everybody where one failure, or too many, must.
    fn after(&mut self, task: &Task, context: &Context, set: &[usize], once: bool, fatal: bool) {
        if !fatal {
            return;
        }
        let strict = truth(context, task.common.any_errors_fatal.as_ref()).unwrap_or(false);
        let lost =
            self.flow.iter().filter(|flow| matches!(flow, Flow::Failed | Flow::Gone)).count();
        let too_many =
            self.max_fail.is_some_and(|most| lost as f64 * 100.0 / self.names.len() as f64 > most);
        if strict || once {
            for index in self.among(set) {
                self.flow[index] = Flow::Failed;
            }
        }
        if too_many {
            for index in self.running() {
                self.flow[index] = Flow::Failed;
            }
        }
        if too_many && self.running().is_empty() && self.rescues == 0 {
            self.crew.sink.event(Event::NoHostsLeft);
        }
    }

    async fn meta(&mut self, task: &Task, word: &str, set: &[usize]) {
        let mut meant = Vec::new();
        for index in set.iter().copied() {
            let context = self.scope(index).for_task(task).context();
            match self.crew.all_hold(&context, &task.common.when) {
                Ok(None) => meant.push(index),
                Ok(Some(_)) => {}
                Err(fault) => {
                    self.broken = Some(format!("{}: {}", task.origin, fault.what));
                    return;
                }
            }
        }
        if meant.is_empty() {
            return;
        }
        match word {
            "flush_handlers" => self.flush(&meant).await,
            "end_host" => meant.iter().for_each(|index| self.flow[*index] = Flow::Done),
            "end_batch" | "end_play" => {
                self.running().into_iter().for_each(|index| self.flow[index] = Flow::Done);
                self.play_ended = word == "end_play";
            }
            "clear_facts" => meant.iter().for_each(|index| {
                let host = self.crew.shared.host(&self.names[*index]);
                host.facts.clear();
            }),
            "clear_host_errors" => {
                for index in 0..self.flow.len() {
                    if matches!(self.flow[index], Flow::Failed | Flow::Gone) {
                        self.flow[index] = Flow::Running;
                    }
                }
            }
            // Sessions are looked up for each task; there is nothing to reset or to do.
            _ => {}
        }
    }

    /// Runs the handlers that were notified, in the order they are defined.
    pub(super) fn flush<'a>(&'a mut self, set: &'a [usize]) -> BoxFuture<'a, ()> {
        async move {
            let mut at = 0;
            while let Some((index, task, hosts)) = self.handlers.next(at, &self.among(set)) {
                at = index + 1;
                self.task(&task, &hosts, true).await;
                if self.broken.is_some() {
                    return;
                }
            }
        }
        .boxed()
    }

    /// Hosts that ask for the same include run it together.
    async fn included(
        &mut self,
        task: &Arc<Task>,
        includes: Vec<(super::outcome::Asked, usize)>,
        set: &[usize],
        once: bool,
    ) {
        let keyed = includes.into_iter().map(|(asked, index)| {
            let key = (
                asked.what.clone(),
                asked.args.clone(),
                asked.item.clone(),
                format!("{:?}", asked.vars),
            );
            (key, (asked, index))
        });
        let mut loaded = Vec::new();
        for (_, members) in grouped(keyed) {
            let hosts: Vec<usize> =
                if once { set.to_vec() } else { members.iter().map(|(_, index)| *index).collect() };
            let hosts = self.among(&hosts);
            if hosts.is_empty() || self.broken.is_some() {
                return;
            }
            let asked = &members[0].0;
            match self.load_include(task, asked, hosts[0]) {
                Ok(found) => {
                    let names: Vec<String> =
                        hosts.iter().map(|index| self.names[*index].clone()).collect();
                    names
                        .iter()
                        .for_each(|name| self.crew.shared.count(name, |counts| counts.ok += 1));
                    self.crew.sink.event(Event::Included {
                        what: found.shown,
                        hosts: names,
                        item: asked.item.clone(),
                    });
                    loaded.push((found.nodes, hosts));
                }
                Err(what) => self.include_failed(task, &what, &hosts),
            }
        }
        for (nodes, hosts) in loaded {
            self.nodes(&nodes, hosts).await;
        }
    }

    fn include_failed(&mut self, task: &Arc<Task>, what: &str, hosts: &[usize]) {
        for index in hosts {
            let outcome = Outcome::of(super::outcome::failed(what));
            self.crew.sink.event(Event::Failed {
                at: crate::output::At {
                    host: self.names[*index].clone(),
                    delegate: None,
                    item: None,
                },
                result: Value::dict(outcome.result.clone()),
                why: format!("Task failed: {what}"),
                origin: Some(task.origin.clone()),
                ignored: false,
            });
            self.count(task, *index, &outcome);
        }
    }
}
