//! The linear strategy: a batch of hosts goes through the tasks in step. Under the free strategies
//! each host is a batch of its own.

use super::Gathering;
use super::cache::GATHERED;
use super::execute::{Crew, truth};
use super::following::Following;
use super::handlers::Handlers;
use super::outcome::{Ended, Outcome};
use super::plays::{PlayFault, host_scope, play_context, play_number, play_truth, vars_files};
use super::tags;
use super::vars::{PlayVars, TaskScope};
use crate::fault::LoadFault;
use crate::output::{Broken, Event};
use crate::parse::tree::{Block, Common, Node, Play, RoleUse, Task, Unit};
use crate::parse::{Playbook, in_order};
use crate::value::{Dict, Key, Value};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Hosts that a run has lost, and how.
pub(super) type Lost = Arc<Mutex<BTreeMap<String, Flow>>>;

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
    /// It has left the role that runs.
    LeftRole,
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
    pub(super) rescues: usize,
    /// Hosts that earlier batches lost, or others that run freely beside this one.
    pub(super) lost: Lost,
    /// Each host goes on for itself.
    pub(super) free: bool,
    /// One of the hosts that go on beside each other has ended the batch for all of them.
    pub(super) over: Arc<AtomicBool>,
    /// Roles of which a host has run a task, and those that it has run to their end.
    pub(super) touched: BTreeSet<(usize, String)>,
    pub(super) completed: BTreeSet<(usize, String)>,
    /// Roles whose tasks are under way.
    pub(super) inside: Vec<String>,
    /// What follows where the lists stand that are under way, the outermost first.
    pub(super) around: Vec<Following>,
    pub(super) max_fail: Option<f64>,
    force_handlers: bool,
    pub(super) flushing: bool,
    /// Hosts whose failures were cleared since the innermost `always` began.
    forgiven: BTreeSet<usize>,
    /// Hosts that failed for good. Errors that are cleared do not bring them back into
    /// `ansible_play_hosts`.
    pub(super) removed: BTreeSet<usize>,
    pub(super) play_ended: bool,
    /// Hosts that failed because others did: lost for the plays to come, even when rescued.
    pub(super) dragged: BTreeSet<usize>,
    /// Those of them that the innermost `rescue` leaves as they are.
    pub(super) beyond_rescue: BTreeSet<usize>,
    /// Something is wrong that belongs to no host.
    pub(super) broken: Option<Broken>,
}

impl<'r> Batch<'r> {
    pub(super) fn new(
        crew: Crew<'r>,
        playbook: &'r Playbook,
        play: &'r Play,
        vars: Arc<PlayVars>,
        names: Vec<String>,
        lost: Lost,
        free: bool,
    ) -> Result<Self, PlayFault> {
        let known = &play_context(playbook, play, &crew.shared.options);
        let mut handlers = Handlers::default();
        for used in in_order(&play.roles) {
            handlers.add(&used.handlers);
            handlers.add_imported(&used.tasks);
        }
        for nodes in [&play.pre_tasks, &play.tasks, &play.post_tasks] {
            handlers.add_imported(nodes);
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
            free,
            over: Arc::default(),
            touched: BTreeSet::new(),
            completed: BTreeSet::new(),
            inside: Vec::new(),
            around: Vec::new(),
            max_fail: play_number(known, play.max_fail_percentage.as_ref())?,
            // What the play says outranks the command line.
            force_handlers: match &play.force_handlers {
                Some(value) => play_truth(known, Some(value))?,
                None => crew.shared.options.force_handlers,
            },
            flushing: false,
            forgiven: BTreeSet::new(),
            removed: BTreeSet::new(),
            play_ended: false,
            dragged: BTreeSet::new(),
            beyond_rescue: BTreeSet::new(),
            broken: None,
        };
        batch.read_files(false)?;
        Ok(batch)
    }

    /// Reads the play's files of variables; what is passed over is told once, at the play's start.
    fn read_files(&mut self, tell: bool) -> Result<(), PlayFault> {
        if self.play.vars_files.is_empty() {
            return Ok(());
        }
        let mut told = false;
        for index in self.running() {
            let scope = self.scope(index);
            let (vars, passed_over) = vars_files(self.play, &scope)?;
            self.files[index] = Arc::new(vars);
            told |= passed_over;
        }
        if told && tell {
            let text = "skipping vars_files item due to an undefined variable";
            self.crew.sink.event(Event::Warning(text.to_owned()));
        }
        Ok(())
    }

    /// Hosts that failed or were lost take part again, in this play and in those to come.
    pub(super) fn clear_errors(&mut self) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &self.vars.all {
            lost.remove(name);
        }
        self.forgiven.extend(0..self.names.len());
        self.dragged.clear();
        for flow in &mut self.flow {
            if matches!(flow, Flow::Failed | Flow::Gone) {
                *flow = Flow::Running;
            }
        }
    }

    pub(super) fn ends(&self) -> Vec<(String, Flow)> {
        let end = |(index, flow): (usize, &Flow)| match flow {
            Flow::Gone => Flow::Gone,
            _ if self.dragged.contains(&index) => Flow::Failed,
            flow => *flow,
        };
        self.names.iter().cloned().zip(self.flow.iter().enumerate().map(end)).collect()
    }

    /// The whole play for this batch.
    pub(super) async fn all(&mut self) -> Result<(), Broken> {
        let here = |what: PlayFault| Broken::new(LoadFault::at(self.play.origin.clone(), what));
        if !self.crew.shared.starts_in(self.play) {
            return Ok(());
        }
        self.gather().await.map_err(here)?;
        let play = self.play;
        self.read_files(true)
            .map_err(|what| Broken::new(LoadFault::at(play.origin.clone(), what)))?;
        let everyone: Vec<usize> = (0..self.names.len()).collect();
        self.nodes(&play.pre_tasks, everyone.clone()).await;
        self.end_section(&everyone).await;
        for (at, used) in play.roles.iter().enumerate() {
            self.role(used, &everyone, Some(&play.roles[at + 1..])).await;
        }
        self.nodes(&play.tasks, everyone.clone()).await;
        self.end_section(&everyone).await;
        self.nodes(&play.post_tasks, everyone.clone()).await;
        self.end_section(&everyone).await;
        match self.broken.take() {
            Some(broken) => Err(broken),
            None => Ok(()),
        }
    }

    /// Handlers that were notified, on hosts that failed only where that is asked for.
    async fn end_section(&mut self, everyone: &[usize]) {
        for index in self.among(everyone) {
            if self.handlers.are_for(index) {
                let text = format!("META: triggered running handlers for {}", self.names[index]);
                self.crew.sink.event(Event::Detail(2, text));
            }
        }
        self.flush(everyone).await;
        if self.force_handlers && self.broken.is_none() && !self.play_ended {
            let failed: Vec<usize> =
                everyone.iter().copied().filter(|i| self.flow[*i] == Flow::Failed).collect();
            self.although_failed(&failed);
            self.flush(&failed).await;
            self.failed_after_all(&failed);
        }
    }

    /// Hosts that failed take part once more.
    fn although_failed(&mut self, failed: &[usize]) {
        failed.iter().for_each(|index| self.flow[*index] = Flow::Running);
    }

    fn failed_after_all(&mut self, failed: &[usize]) {
        for index in failed {
            if self.flow[*index] == Flow::Running {
                self.flow[*index] = Flow::Failed;
            }
        }
    }

    /// A role with what it depends on. After it come other roles and the tasks of the play, if
    /// it is one that the play lists.
    fn role<'a>(
        &'a mut self,
        used: &'a RoleUse,
        set: &'a [usize],
        next: Option<&'a [RoleUse]>,
    ) -> BoxFuture<'a, ()> {
        async move {
            for dependency in &used.dependencies {
                self.role(dependency, set, None).await;
            }
            let mut walk = self.walk(set);
            if let Some(next) = next
                && next.iter().all(|used| walk.role(used))
            {
                walk.nodes(&self.play.tasks);
            }
            // Handlers come after the tasks.
            self.around.push(walk.end(false));
            self.unit(&used.unit(), &used.tasks, set).await;
            self.around.pop();
        }
        .boxed()
    }

    /// The tasks of a role, without the hosts that are through with it.
    async fn unit(&mut self, unit: &Unit, body: &[Node], set: &[usize]) {
        let through = |index: &usize| self.completed.contains(&(*index, unit.fingerprint.clone()));
        let hosts: Vec<usize> =
            set.iter().copied().filter(|index| unit.allow_duplicates || !through(index)).collect();
        self.inside.push(unit.fingerprint.clone());
        self.nodes(body, hosts.clone()).await;
        self.inside.pop();
        for index in hosts {
            if self.flow[index] == Flow::LeftRole {
                self.flow[index] = Flow::Running;
            }
            let mark = (index, unit.fingerprint.clone());
            if self.flow[index] == Flow::Running && self.touched.contains(&mark) {
                self.completed.insert(mark);
            }
        }
    }

    /// Facts first, unless the play says no.
    async fn gather(&mut self) -> Result<(), PlayFault> {
        let asked = match &self.play.gather_facts {
            Some(value) => {
                let context = self.scope(0).context();
                Some(truth(&context, Some(value)).map_err(|fault| fault.what)?)
            }
            None => None,
        };
        let everyone: Vec<usize> = match (asked, self.crew.shared.options.gathering) {
            (Some(false), _) | (None, Gathering::Explicit) => return Ok(()),
            // Whoever has facts already needs none.
            (_, Gathering::Smart) => (0..self.names.len())
                .filter(|index| {
                    let host = self.crew.shared.host(&self.names[*index]);
                    !host.facts.look(GATHERED).is_some_and(|yes| yes.is_true())
                })
                .collect(),
            _ => (0..self.names.len()).collect(),
        };
        let mut common = Common::default().within(&self.play.common);
        common.tags.push(Value::str("always"));
        let common = Arc::new(common);
        let mut args = Dict::new();
        for (name, value) in [
            ("gather_subset", &self.play.gather_subset),
            ("gather_timeout", &self.play.gather_timeout),
            ("fact_path", &self.play.fact_path),
        ] {
            if let Some(value) = value {
                args.insert(Key::str(name), value.clone());
            }
        }
        let task = Arc::new(Task::made(
            "Gathering Facts".to_owned(),
            "setup",
            args,
            common,
            self.play.origin.clone(),
            self.play.dir.clone(),
        ));
        self.task(&task, &everyone, false).await;
        Ok(())
    }

    pub(super) fn running(&self) -> Vec<usize> {
        (0..self.names.len()).filter(|index| self.flow[*index] == Flow::Running).collect()
    }

    pub(super) fn among(&self, set: &[usize]) -> Vec<usize> {
        set.iter().copied().filter(|index| self.flow[*index] == Flow::Running).collect()
    }

    /// Hosts of the play that are not lost.
    fn left(&self) -> Arc<Vec<String>> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone: BTreeSet<&str> = lost.keys().map(String::as_str).collect();
        for (index, (name, flow)) in self.names.iter().zip(&self.flow).enumerate() {
            if self.removed.contains(&index) || !matches!(flow, Flow::Running | Flow::LeftRole) {
                gone.insert(name);
            }
        }
        let all = self.vars.all.iter().filter(|name| !gone.contains(name.as_str()));
        Arc::new(all.cloned().collect())
    }

    pub(super) fn scope(&self, index: usize) -> TaskScope {
        self.scope_with(index, self.left())
    }

    fn scope_with(&self, index: usize, left: Arc<Vec<String>>) -> TaskScope {
        host_scope(
            self.crew.shared,
            &self.vars,
            &self.play.common,
            &self.names[index],
            Arc::clone(&self.files[index]),
            left,
        )
    }

    pub(super) fn nodes<'a>(&'a mut self, nodes: &'a [Node], set: Vec<usize>) -> BoxFuture<'a, ()> {
        async move {
            for (at, node) in nodes.iter().enumerate() {
                let set = self.among(&set);
                if set.is_empty() || self.broken.is_some() || self.over.load(Ordering::Relaxed) {
                    return;
                }
                match node {
                    // After the handlers that it runs come the tasks after it.
                    Node::Task(task) if task.meta().is_some() => {
                        let mut walk = self.walk(&set);
                        let open = walk.nodes(&nodes[at + 1..]);
                        self.around.push(walk.end(open));
                        self.task(task, &set, false).await;
                        self.around.pop();
                    }
                    Node::Task(task) => {
                        self.look_ahead(&nodes[at..], &set).await;
                        self.task(task, &set, false).await;
                        self.look_no_more(&set);
                    }
                    Node::Block(block) => {
                        let mut walk = self.walk(&set);
                        let open = walk.nodes(&nodes[at + 1..]);
                        self.around.push(walk.end(open));
                        self.block(block, &set).await;
                        self.around.pop();
                    }
                }
            }
        }
        .boxed()
    }

    async fn block(&mut self, block: &Block, set: &[usize]) {
        if let Some(unit) = &block.unit {
            return self.unit(unit, &block.body, set).await;
        }
        let rescues = !block.rescue.is_empty();
        self.rescues += usize::from(rescues);
        let mut walk = self.walk(set);
        let open = walk.nodes(&block.always);
        self.around.push(walk.end(open));
        self.nodes(&block.body, set.to_vec()).await;
        self.around.pop();
        self.rescues -= usize::from(rescues);
        let failed: Vec<usize> =
            set.iter().copied().filter(|i| self.flow[*i] == Flow::Failed).collect();
        if rescues && !failed.is_empty() && !self.play_ended {
            let beyond = std::mem::take(&mut self.beyond_rescue);
            let failed: Vec<usize> =
                failed.into_iter().filter(|index| !beyond.contains(index)).collect();
            self.although_failed(&failed);
            self.around.push(Following::default());
            self.nodes(&block.rescue, failed).await;
            self.around.pop();
        }
        if !block.always.is_empty() && !self.play_ended {
            // It runs for hosts that failed, too, and does not heal them.
            let failed: Vec<usize> =
                set.iter().copied().filter(|i| self.flow[*i] == Flow::Failed).collect();
            self.although_failed(&failed);
            let around = std::mem::take(&mut self.forgiven);
            // Hosts that failed go no further.
            self.around.push(Following::default());
            self.nodes(&block.always, set.to_vec()).await;
            self.around.pop();
            let still: Vec<usize> =
                failed.into_iter().filter(|index| !self.forgiven.contains(index)).collect();
            self.failed_after_all(&still);
            self.forgiven.extend(around);
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
                    self.break_off(task, format!("tags: {}", fault.what));
                    return false;
                }
            }
        }
        tags::selected(&words, &options.tags, &options.skip_tags)
    }

    /// What the banner of a task shows of its arguments.
    fn shown_args(&self, task: &Task) -> String {
        if !*self.crew.shared.world.config.display_args || task.common.no_log.is_some() {
            return String::new();
        }
        let args = task.args.as_dict().into_iter().flatten();
        let args = args.map(|(key, value)| {
            let value = value.as_str().map_or_else(|| value.to_text(), str::to_owned);
            format!("{}={value}", key.to_json_key())
        });
        format!(" {}", args.collect::<Vec<_>>().join(", "))
    }

    /// Ends the run because of something that is wrong with a task and belongs to no host.
    pub(super) fn break_off(&mut self, task: &Task, what: impl Into<String>) {
        if self.broken.is_none() {
            self.broken = Some(Broken::new(LoadFault::at(task.origin.clone(), what)));
        }
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
        if !handler && !self.crew.shared.started(task, &name) {
            return;
        }
        let options = &self.crew.shared.options;
        let check = match &task.common.check_mode {
            Some(value) => truth(&context, Some(value)).unwrap_or(options.check),
            None => options.check,
        };
        let began = Event::TaskBegan {
            name: name.clone(),
            args: self.shown_args(task),
            action: task.word.clone(),
            role: task.role.as_ref().map(|role| role.full()),
            handler,
            check,
            origin: Some(task.origin.clone()),
        };
        if let Some(word) = task.meta() {
            return self.meta(task, &word, set, &began).await;
        }
        let who = self.free.then(|| self.names[first].as_str());
        if !self.crew.step(&name, who).await {
            return;
        }
        let once = match truth(&context, task.common.run_once.as_ref()) {
            Ok(once) => once,
            Err(fault) => return self.break_off(task, format!("run_once: {}", fault.what)),
        };
        // A host is added to the inventory once, whoever asks for it.
        let only = task.module() == Some("add_host");
        let width = match self.width(task, &context) {
            Ok(width) => width,
            Err(what) => return self.break_off(task, what),
        };
        let once = once && !self.free_for_all(task, &context, once, only);
        if self.broken.is_some() {
            return;
        }
        self.crew.sink.event(began);
        let hosts: Vec<usize> = if once || only { vec![first] } else { set.to_vec() };
        let crew = self.crew;
        let awaited = hosts.iter().map(|index| self.names[*index].clone()).collect();
        crew.sink.event(Event::Awaited { task: name, hosts: awaited });
        let left = self.left();
        let mut outcomes: Vec<(usize, Outcome)> = {
            let scopes: Vec<(usize, TaskScope)> = hosts
                .iter()
                .map(|index| (*index, self.scope_with(*index, Arc::clone(&left))))
                .collect();
            let _turn = match self.free {
                true => Some(self.crew.shared.turns.take(task, width).await),
                false => None,
            };
            stream::iter(scopes)
                .map(|(index, scope)| async move { (index, crew.host_task(task, &scope).await) })
                .buffer_unordered(if once { 1 } else { width.max(1) })
                .collect()
                .await
        };
        outcomes.sort_by_key(|(index, _)| *index);
        if outcomes.iter().any(|(_, outcome)| outcome.quit) && self.broken.is_none() {
            self.broken = Some(Broken::interrupted(task.origin.clone()));
        }
        if once && let Some((from, outcome)) = outcomes.first() {
            self.share(task, *from, outcome);
        }
        let mut includes = Vec::new();
        let mut fatal = false;
        for (index, outcome) in outcomes {
            includes.extend(outcome.includes.iter().map(|asked| (asked.clone(), index)));
            fatal |= self.count(task, index, &outcome);
            for name in &outcome.notify {
                let targets: &[usize] = if once { set } else { std::slice::from_ref(&index) };
                self.notify(task, name, targets);
            }
            let told = outcome.result.get("ansible_stats").filter(|_| outcome.ended == Ended::Well);
            if let Some(stats) = told {
                let hosts: &[usize] = if once { set } else { std::slice::from_ref(&index) };
                let names: Vec<&str> = hosts.iter().map(|at| self.names[*at].as_str()).collect();
                self.crew.shared.keep_stats(stats, &names);
            }
        }
        let (loaded, missing) = self.load_includes(task, includes, handler);
        self.after(task, &context, set, once, fatal || missing);
        self.around.push(Following::default());
        for (nodes, hosts) in loaded {
            let hosts = self.among(&hosts);
            match handler {
                true => self.handler_nodes(&nodes, &hosts).await,
                false => self.nodes(&nodes, hosts).await,
            }
        }
        self.around.pop();
    }

    /// Runs the handlers that were notified, in the order they are defined.
    pub(super) fn flush<'a>(&'a mut self, set: &'a [usize]) -> BoxFuture<'a, ()> {
        async move {
            let around = std::mem::replace(&mut self.flushing, true);
            let mut at = 0;
            self.handlers.resolve();
            while let Some((index, task, hosts)) = self.handlers.next(at, &self.among(set)) {
                at = index + 1;
                for host in &hosts {
                    let text = format!("NOTIFIED HANDLER {} for {}", task.word, self.names[*host]);
                    self.crew.sink.event(Event::Detail(3, text));
                }
                let going = self.among(set);
                self.look_ahead_of_handlers(&task, at, &hosts, &going).await;
                self.task(&task, &hosts, true).await;
                self.look_no_more(&hosts);
                if self.broken.is_some() {
                    break;
                }
            }
            self.flushing = around;
        }
        .boxed()
    }

    /// Handlers that an include brought run as such.
    fn handler_nodes<'a>(&'a mut self, nodes: &'a [Node], set: &'a [usize]) -> BoxFuture<'a, ()> {
        async move {
            for node in nodes {
                let set = self.among(set);
                match node {
                    _ if set.is_empty() || self.broken.is_some() => return,
                    Node::Task(task) => self.task(task, &set, true).await,
                    Node::Block(block) => self.handler_nodes(&block.body, &set).await,
                }
            }
        }
        .boxed()
    }
}
