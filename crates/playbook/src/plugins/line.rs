//! The line to the one Python: one call at a time, and those within it.

use super::Partner;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

/// The line.
#[derive(Default)]
pub(super) struct Line {
    /// Whose turn it is, and how many calls of his are within each other.
    owner: Mutex<Option<(ThreadId, u32)>>,
    free: Condvar,
    running: Mutex<Option<Running>>,
}

struct Running {
    partner: Box<dyn Partner>,
    /// How many of the directories it was told.
    told: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    /// Waits for the turn. Whoever has it gets it again at once.
    pub(super) fn turn(&self) -> Turn<'_> {
        let me = std::thread::current().id();
        let mut owner = lock(&self.owner);
        while owner.is_some_and(|(other, _)| other != me) {
            owner = self.free.wait(owner).unwrap_or_else(PoisonError::into_inner);
        }
        let depth = owner.map_or(0, |(_, depth)| depth);
        *owner = Some((me, depth + 1));
        Turn { line: self }
    }
}

/// The right to talk.
pub(super) struct Turn<'l> {
    line: &'l Line,
}

impl Turn<'_> {
    /// Of the directories those that it was not told yet. Starts it where it does not run.
    pub(super) fn news(
        &self,
        all: &[PathBuf],
        start: impl FnOnce() -> Result<Box<dyn Partner>, String>,
    ) -> Result<Vec<String>, String> {
        let mut running = lock(&self.line.running);
        let running = match &mut *running {
            Some(running) => running,
            none => none.insert(Running { partner: start()?, told: 0 }),
        };
        let news = all.iter().skip(running.told).map(|dir| dir.display().to_string()).collect();
        running.told = all.len().max(running.told);
        Ok(news)
    }

    /// Says a line and hears one. After an error it does not run any more.
    pub(super) fn exchange(&self, line: &str) -> Result<String, String> {
        let mut running = lock(&self.line.running);
        let Some(one) = &mut *running else { return Err("it has ended".to_owned()) };
        let heard = one.partner.exchange(line);
        if heard.is_err() {
            *running = None;
        }
        heard
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut owner = lock(&self.line.owner);
        *owner = match *owner {
            Some((me, depth)) if depth > 1 => Some((me, depth - 1)),
            _ => None,
        };
        if owner.is_none() {
            self.line.free.notify_one();
        }
    }
}
