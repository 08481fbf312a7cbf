//! `meta`: what a play may ask of the run itself.

use super::remote::target;
use super::strategy::{Batch, Flow};
use crate::output::{At, Event};
use crate::parse::tree::Task;
use crate::value::Value;
use std::sync::atomic::Ordering;

/// What the hosts of a meta task come to.
struct Asked {
    /// Hosts for which its conditions hold.
    meant: Vec<usize>,
    /// Hosts for which they do not, with the condition.
    skipped: Vec<usize>,
}

impl Batch<'_> {
    /// Carries out a meta task.
    pub(super) async fn meta(&mut self, task: &Task, word: &str, set: &[usize], began: &Event) {
        // What belongs to a host is announced for each of them, the rest once.
        let each = matches!(
            word,
            "noop" | "flush_handlers" | "end_host" | "end_role" | "reset_connection"
        );
        let hosts = if each { set } else { &set[..1] };
        let unconditional = matches!(word, "noop" | "refresh_inventory" | "reset_connection");
        let mut asked = Asked { meant: Vec::new(), skipped: Vec::new() };
        for index in hosts.iter().copied() {
            self.crew.sink.event(began.clone());
            if unconditional {
                if !task.common.when.is_empty() {
                    let text = format!("{word} task does not support when conditional");
                    self.crew.sink.event(Event::Warning(text));
                }
                self.detail(&done(word, &self.names[index], task));
                asked.meant.push(index);
                continue;
            }
            let context = self.scope(index).for_task(task).context();
            match self.crew.all_hold(&context, &task.common.when) {
                Ok(None) => asked.meant.push(index),
                Ok(Some(_)) => {
                    self.skip_meta(word, index);
                    asked.skipped.push(index);
                    continue;
                }
                Err(fault) => return self.break_off(task, fault.what),
            }
            self.detail(&done(word, &self.names[index], task));
        }
        if !asked.meant.is_empty() {
            self.carry_out(task, word, &asked.meant).await;
        }
    }

    fn detail(&self, text: &str) {
        self.crew.sink.event(Event::Detail(2, format!("META: {text}")));
    }

    fn skip_meta(&self, word: &str, index: usize) {
        let host = &self.names[index];
        let more = match word {
            "flush_handlers" => format!(", not running handlers for {host}"),
            "clear_facts" => format!(", not clearing facts and fact cache for {host}"),
            "clear_host_errors" => format!(", not clearing host error state for {host}"),
            "end_batch" => ", continuing current batch".to_owned(),
            "end_play" => ", continuing play".to_owned(),
            "end_host" => format!(", continuing execution for {host}"),
            // Ansible leaves out the comma here.
            "end_role" => format!("continuing role for {host}"),
            _ => String::new(),
        };
        let reason = format!("{word} conditional evaluated to False{more}");
        self.detail(&reason);
        let msg = match word {
            "end_host" => {
                format!("end_host conditional evaluated to false, continuing execution for {host}")
            }
            _ => word.to_owned(),
        };
        let at = At { host: host.clone(), delegate: None, item: None };
        let result =
            Value::dict_of([("msg", Value::from(msg)), ("skip_reason", Value::from(reason))]);
        self.crew.sink.event(Event::Skipped { at, result });
    }

    async fn carry_out(&mut self, task: &Task, word: &str, meant: &[usize]) {
        match word {
            "flush_handlers" if self.flushing => {
                self.break_off(task, "flush_handlers cannot be used as a handler");
            }
            "flush_handlers" => self.flush(meant).await,
            "end_host" => meant.iter().for_each(|index| self.flow[*index] = Flow::Done),
            "end_role" => meant.iter().for_each(|index| self.flow[*index] = Flow::LeftRole),
            "end_batch" | "end_play" => {
                self.running().into_iter().for_each(|index| self.flow[index] = Flow::Done);
                self.play_ended = word == "end_play";
                self.over.store(true, Ordering::Relaxed);
            }
            "clear_facts" => {
                self.names.iter().for_each(|name| self.crew.shared.unlearn(name));
            }
            "clear_host_errors" => self.clear_errors(),
            "refresh_inventory" => {
                if let Err(what) = self.crew.shared.refresh_inventory() {
                    self.break_off(task, what);
                }
            }
            "noop" => {}
            "reset_connection" => {
                for index in meant.iter().copied() {
                    let context = self.scope(index).for_task(task).context();
                    // Where it cannot be told how to reach a host, the next task says so.
                    if let Ok(host) = target(&self.names[index], &context) {
                        self.crew.reach.log_in_anew(&host).await;
                    }
                }
            }
            word => self.break_off(task, format!("invalid meta action requested: {word}")),
        }
    }
}

/// What is said of a meta task that is carried out.
fn done(word: &str, host: &str, task: &Task) -> String {
    match word {
        "flush_handlers" => format!("triggered running handlers for {host}"),
        "refresh_inventory" => "inventory successfully refreshed".to_owned(),
        "clear_facts" => "facts cleared".to_owned(),
        "clear_host_errors" => "cleared host errors".to_owned(),
        "end_batch" => "ending batch".to_owned(),
        "end_play" => "ending play".to_owned(),
        "end_host" => format!("ending play for {host}"),
        "end_role" => {
            let role = task.role.as_ref().map_or("", |role| role.name.as_str());
            format!("ending role {role} for {host}")
        }
        "reset_connection" => "reset connection".to_owned(),
        word => word.to_owned(),
    }
}
