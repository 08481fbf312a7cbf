//! Everything the agent says goes through one thread, frame by frame.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use updraft_wire::Frame;

/// Frames that wait for a slow line: enough to keep it busy, little enough that a command with
/// much output waits for its reader instead of filling memory (64 KiB each at most, in practice).
const WAITING: usize = 64;

/// Where frames go.
pub(crate) trait Sink: Send + 'static {
    /// Writes all of it, or gives up when `stale` says that nobody waits for it any more.
    fn write(&mut self, bytes: &[u8], stale: &dyn Fn() -> bool) -> io::Result<()>;
}

/// The way out of one connection. Frames of a connection that has been replaced are dropped.
#[derive(Clone)]
pub(crate) struct Outbox {
    sender: SyncSender<(u64, Vec<u8>)>,
    newest: Arc<AtomicU64>,
    epoch: u64,
}

impl Outbox {
    /// Starts the thread that writes.
    pub(crate) fn start(mut sink: impl Sink) -> (Self, std::thread::JoinHandle<()>) {
        let (sender, receiver) = sync_channel(WAITING);
        let newest = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&newest);
        let writer = std::thread::spawn(move || write_all(&mut sink, &receiver, &seen));
        (Self { sender, newest, epoch: 0 }, writer)
    }

    /// The way out of the next connection; the earlier ones lead nowhere from now on.
    pub(crate) fn renewed(&self) -> Self {
        let epoch = self.newest.fetch_add(1, Ordering::SeqCst) + 1;
        Self { sender: self.sender.clone(), newest: Arc::clone(&self.newest), epoch }
    }

    /// Sends a frame; returns whether anybody may still read it.
    pub(crate) fn send(&self, frame: &Frame) -> bool {
        self.send_bytes(frame.to_bytes())
    }

    /// Sends bytes that are whole frames.
    pub(crate) fn send_bytes(&self, bytes: Vec<u8>) -> bool {
        self.epoch == self.newest.load(Ordering::SeqCst)
            && self.sender.send((self.epoch, bytes)).is_ok()
    }
}

fn write_all(sink: &mut impl Sink, frames: &Receiver<(u64, Vec<u8>)>, newest: &AtomicU64) {
    for (epoch, bytes) in frames {
        let stale = || epoch != newest.load(Ordering::SeqCst);
        if !stale() && sink.write(&bytes, &stale).is_err() {
            // The line is gone. Whoever reads from it finds that out and ends the agent.
            return;
        }
    }
}
