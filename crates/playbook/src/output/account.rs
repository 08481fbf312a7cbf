//! The object that Ansible's `ansible.posix.json` callback prints at the end.

use super::screen::{NO_LOG, SHOW};
use super::{Counts, Event, Recap};
use crate::value::{Dict, Indent, Value, python_json};
use crate::yaml::Origin;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use updraft_base::Clock;

/// Gathers what happens.
pub(super) struct Account {
    plays: Vec<PlayTold>,
    /// What `set_stats` left is told, too.
    custom_stats: bool,
    clock: Arc<dyn Clock>,
    /// Plays and tasks that were numbered.
    numbered: u64,
}

struct PlayTold {
    about: Map<String, Json>,
    began: String,
    ended: Option<String>,
    tasks: Vec<TaskTold>,
}

struct TaskTold {
    name: String,
    origin: Option<Origin>,
    about: Map<String, Json>,
    began: String,
    ended: Option<String>,
    hosts: Map<String, Json>,
}

impl Account {
    pub(super) fn new(custom_stats: bool, clock: Arc<dyn Clock>) -> Self {
        Self { plays: Vec::new(), custom_stats, clock, numbered: 0 }
    }

    /// Hears of an event; at the end, what is told of all of them.
    pub(super) fn hear(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::PlayBegan { name, origin, .. } => {
                let (about, began) = (self.about(name, origin.as_ref()), self.now());
                self.plays.push(PlayTold { about, began, ended: None, tasks: Vec::new() });
            }
            Event::TaskBegan { name, origin, .. } => self.task(name, origin.clone()),
            Event::Settled { task, action, origin, told } => {
                let (host, result) = result_of(action, told)?;
                let fits = |told: &TaskTold| {
                    told.name == *task
                        && told.origin.as_ref() == Some(origin)
                        && !told.hosts.contains_key(&host)
                };
                let last = self.plays.last().and_then(|play| play.tasks.last());
                // Hosts that go their own way begin tasks that others are through with.
                if !last.is_some_and(fits) {
                    self.task(task, Some(origin.clone()));
                }
                let now = self.now();
                let play = self.plays.last_mut()?;
                play.ended = Some(now.clone());
                let task = play.tasks.last_mut()?;
                task.ended = Some(now);
                task.hosts.insert(host, result);
            }
            Event::Ended(recap) if recap.broken.is_none() => return Some(self.text(recap)),
            _ => {}
        }
        None
    }

    fn task(&mut self, name: &str, origin: Option<Origin>) {
        let (about, began) = (self.about(name, origin.as_ref()), self.now());
        if let Some(play) = self.plays.last_mut() {
            let (name, hosts) = (name.to_owned(), Map::new());
            play.tasks.push(TaskTold { name, origin, about, began, ended: None, hosts });
        }
    }

    /// What a play or a task is called, and where it stands. The id is in the form of Ansible's, and
    /// nobody else's in this run.
    fn about(&mut self, name: &str, origin: Option<&Origin>) -> Map<String, Json> {
        self.numbered += 1;
        let path = origin.map(|origin| format!("{}:{}", origin.absolute(), origin.line));
        let id = format!("00000000-0000-0000-0000-{:012x}", self.numbered);
        Map::from_iter([
            ("name".to_owned(), Json::from(name.trim())),
            ("id".to_owned(), Json::from(id)),
            ("path".to_owned(), Json::from(path.unwrap_or_default())),
        ])
    }

    fn now(&self) -> String {
        self.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    }

    fn text(&self, recap: &Recap) -> String {
        let plays: Vec<Json> = self.plays.iter().map(PlayTold::to_json).collect();
        let stats = recap.hosts.iter().map(|(host, counts)| (host.clone(), stats(counts)));
        let json_of = |stats: &Dict| Value::dict(stats.clone()).to_json();
        let (mut custom, mut global) = (Map::new(), json!({}));
        if self.custom_stats {
            for (host, stats) in &recap.custom {
                match host.as_str() {
                    "" => global = json_of(stats),
                    host => drop(custom.insert(host.to_owned(), json_of(stats))),
                }
            }
        }
        let all = json!({
            "plays": plays, "stats": stats.collect::<Map<_, _>>(),
            "custom_stats": custom, "global_custom_stats": global,
        });
        python_json(&all, Indent { width: Some(4), sorted: true, ascii: true }) + "\n"
    }
}

impl PlayTold {
    fn to_json(&self) -> Json {
        let tasks: Vec<Json> = self.tasks.iter().map(TaskTold::to_json).collect();
        json!({"play": lasting(&self.about, &self.began, self.ended.as_ref()), "tasks": tasks})
    }
}

impl TaskTold {
    fn to_json(&self) -> Json {
        json!({
            "task": lasting(&self.about, &self.began, self.ended.as_ref()), "hosts": self.hosts,
        })
    }
}

fn lasting(about: &Map<String, Json>, began: &str, ended: Option<&String>) -> Json {
    let mut about = about.clone();
    let mut duration = Map::from_iter([("start".to_owned(), Json::from(began))]);
    duration.extend(ended.map(|ended| ("end".to_owned(), Json::from(ended.as_str()))));
    about.insert("duration".to_owned(), duration.into());
    about.into()
}

fn stats(counts: &Counts) -> Json {
    json!({
        "ok": counts.ok, "changed": counts.changed, "unreachable": counts.unreachable,
        "failures": counts.failed, "skipped": counts.skipped, "rescued": counts.rescued,
        "ignored": counts.ignored,
    })
}

/// The host, and what is kept of its result.
fn result_of(action: &str, told: &Event) -> Option<(String, Json)> {
    let (at, result, mark) = match told {
        Event::Ok { at, result, .. } => (at, result, None),
        Event::Failed { at, result, .. } => (at, result, Some("failed")),
        Event::Skipped { at, result } => (at, result, Some("skipped")),
        Event::Unreachable { at, result, .. } => (at, result, None),
        _ => return None,
    };
    let mut result = match result.to_json() {
        Json::Object(entries) => entries,
        _ => Map::new(),
    };
    // What is not so is told of items alone.
    for name in ["failed", "skipped"] {
        result.retain(|key, value| key != name || *value != false);
    }
    if let Some(always) = result.get_mut(SHOW) {
        *always = Json::from(true);
    }
    if !result.contains_key("results") {
        result.insert(NO_LOG.to_owned(), result.contains_key("censored").into());
    }
    result.extend(mark.map(|mark| (mark.to_owned(), Json::from(true))));
    result.insert("action".to_owned(), action.into());
    Some((at.host.clone(), result.into()))
}
