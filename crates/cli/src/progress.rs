//! The line that says what a playbook waits for, when it waits long.

use crate::ui::{self, Terminal, took};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use updraft_control::{Audience, Piece, PlayEvent};

/// A task that is over before this is not worth a line of its own.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(500);

/// Somebody is being asked something, on the same terminal.
static ASKING: AtomicBool = AtomicBool::new(false);

/// Keeps the line away as long as somebody is asked.
pub(crate) struct Quiet;

impl Quiet {
    pub(crate) fn keep() -> Self {
        ASKING.store(true, Ordering::Relaxed);
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        ASKING.store(false, Ordering::Relaxed);
    }
}

/// What a playbook is at.
struct Task {
    name: String,
    began: Instant,
    hosts: usize,
    awaited: BTreeSet<String>,
}

impl Task {
    /// The line, not longer than `columns`.
    fn line(&self, columns: usize) -> String {
        let so_far = took(self.began.elapsed());
        let told = self.hosts - self.awaited.len();
        let names: Vec<&str> = self.awaited.iter().map(String::as_str).collect();
        let names = names.join(", ");
        let hosts = match self.hosts {
            // Each goes on for itself.
            0 => String::new(),
            1 => format!(", waits for {names}"),
            all => format!(", {told} of {all} hosts, waits for {names}"),
        };
        let line = format!("{}: {so_far}{hosts}", self.name);
        match line.char_indices().nth(columns.saturating_sub(1)) {
            Some(_) => line.chars().take(columns.saturating_sub(2)).chain(['…']).collect(),
            None => line,
        }
    }
}

/// Prints a playbook's text, and below it what it waits for.
pub(crate) struct PlayView {
    bar: ProgressBar,
    task: Arc<Mutex<Option<Task>>>,
    /// Ends with the view.
    ticker: tokio::task::JoinHandle<()>,
}

fn lock(task: &Mutex<Option<Task>>) -> MutexGuard<'_, Option<Task>> {
    task.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PlayView {
    pub(crate) fn new(terminal: Terminal) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("{msg}").expect("the template is a constant"));
        let task = Arc::<Mutex<Option<Task>>>::default();
        let (shown, waited) = (bar.clone(), Arc::clone(&task));
        let ticker = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let waited = lock(&waited);
                match waited.as_ref().filter(|task| task.began.elapsed() > PATIENCE) {
                    Some(task) if !ASKING.load(Ordering::Relaxed) => {
                        shown.set_message(task.line(terminal.columns));
                    }
                    _ => clear(&shown),
                }
            }
        });
        Self { bar, task, ticker }
    }
}

fn clear(bar: &ProgressBar) {
    if !bar.message().is_empty() {
        bar.set_message("");
        bar.suspend(|| {});
    }
}

impl Audience for PlayView {
    fn print(&self, piece: &Piece) {
        // What is printed takes the line's place, and nobody draws another one meanwhile.
        let _task = lock(&self.task);
        clear(&self.bar);
        show(piece);
    }

    fn learn(&self, event: &PlayEvent) {
        let mut task = lock(&self.task);
        match event {
            PlayEvent::TaskBegan { name, .. } => {
                let (began, awaited) = (Instant::now(), BTreeSet::new());
                *task = Some(Task { name: name.clone(), began, hosts: 0, awaited });
            }
            PlayEvent::Awaited { hosts, .. } => {
                if let Some(task) = &mut *task {
                    task.hosts = hosts.len();
                    task.awaited = hosts.iter().cloned().collect();
                }
            }
            PlayEvent::Ok { at, .. }
            | PlayEvent::Failed { at, .. }
            | PlayEvent::Skipped { at, .. }
            | PlayEvent::Unreachable { at, .. }
                if at.item.is_none() =>
            {
                if let Some(task) = &mut *task {
                    task.awaited.remove(&at.host);
                }
            }
            PlayEvent::Ended(_) => *task = None,
            _ => {}
        }
        if task.as_ref().is_some_and(|task| task.hosts > 0 && task.awaited.is_empty()) {
            *task = None;
        }
    }
}

impl Drop for PlayView {
    fn drop(&mut self) {
        self.ticker.abort();
        self.bar.finish_and_clear();
    }
}

/// Only prints, as to a file.
pub(crate) struct Plain;

impl Audience for Plain {
    fn print(&self, piece: &Piece) {
        show(piece);
    }
}

/// Tells programs what happens, an object a line.
pub(crate) struct Lines;

impl Audience for Lines {
    fn print(&self, _piece: &Piece) {}

    fn learn(&self, event: &PlayEvent) {
        if let Some(told) = event.to_json() {
            ui::json_line(&told);
        }
    }
}

fn show(piece: &Piece) {
    match piece.error {
        true => ui::tell(&piece.text),
        false => ui::out(&piece.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_who_is_waited_for_and_fits() {
        let task = Task {
            name: "web : Install".to_owned(),
            began: Instant::now(),
            hosts: 3,
            awaited: BTreeSet::from(["h2".to_owned(), "h3".to_owned()]),
        };
        assert_eq!(task.line(80), "web : Install: 0.0s, 1 of 3 hosts, waits for h2, h3");
        assert_eq!(task.line(20), "web : Install: 0.0…");
        let alone = Task { hosts: 1, awaited: BTreeSet::from(["h1".to_owned()]), ..task };
        assert_eq!(alone.line(80), "web : Install: 0.0s, waits for h1");
        let free = Task { hosts: 0, awaited: BTreeSet::new(), ..alone };
        assert_eq!(free.line(80), "web : Install: 0.0s");
    }
}
