//! Threads that carry out requests, one request at a time. One of them waits for the next: starting a
//! thread takes a tenth of what an emulated machine runs on its way to become itself.

use crate::connection::lock;
use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};

/// Threads that wait, at most. Controllers mostly ask one thing at a time, and a thread that has worked
/// before finds memory of its own.
const KEPT: usize = 1;

type Work = Box<dyn FnOnce() + Send>;

struct Waiting {
    /// Work that somebody waits for already.
    work: VecDeque<Work>,
    /// Threads that have none.
    idle: usize,
}

static WAITING: Mutex<Waiting> = Mutex::new(Waiting { work: VecDeque::new(), idle: 0 });
static COME: Condvar = Condvar::new();

/// Has a thread do this, at once.
pub(crate) fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let work: Work = Box::new(work);
    let mut waiting = lock(&WAITING);
    if waiting.idle > waiting.work.len() {
        waiting.work.push_back(work);
        COME.notify_one();
        return Ok(());
    }
    drop(waiting);
    std::thread::Builder::new().name("request".to_owned()).spawn(|| go_on(work)).map(drop)
}

fn go_on(first: Work) {
    let mut next = Some(first);
    while let Some(work) = next {
        work();
        next = wait();
    }
}

/// The next thing to do; `None` when enough others wait.
fn wait() -> Option<Work> {
    let mut waiting = lock(&WAITING);
    if waiting.idle >= KEPT {
        return None;
    }
    waiting.idle += 1;
    loop {
        if let Some(work) = waiting.work.pop_front() {
            waiting.idle -= 1;
            return Some(work);
        }
        waiting = COME.wait(waiting).unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn work_never_waits_for_other_work() {
        // Each part ends only when all have begun.
        let all = 4 * KEPT;
        for _ in 0..3 {
            let gate = std::sync::Arc::new(std::sync::Barrier::new(all));
            let (done, ends) = channel();
            for _ in 0..all {
                let (gate, done) = (std::sync::Arc::clone(&gate), done.clone());
                start(move || {
                    gate.wait();
                    done.send(()).unwrap();
                })
                .unwrap();
            }
            drop(done);
            assert_eq!(ends.iter().count(), all);
        }
        assert!(lock(&WAITING).idle <= KEPT);
    }
}
