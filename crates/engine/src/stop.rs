//! How a run is asked to stop: once in order, twice at once.

use std::sync::Arc;
use tokio::sync::watch;

/// Asks a run to stop. Clones are the same signal.
#[derive(Clone, Debug)]
pub struct StopSignal {
    asked: Arc<watch::Sender<u32>>,
}

impl StopSignal {
    /// A signal that nobody has given yet.
    pub fn new() -> Self {
        Self { asked: Arc::new(watch::Sender::new(0)) }
    }

    /// Asks once more. The first time, nothing new starts and what runs may finish; the second
    /// time, what runs is dropped where it stands.
    pub fn press(&self) {
        self.asked.send_modify(|asked| *asked = asked.saturating_add(1));
    }

    /// Somebody has asked: start nothing new.
    pub fn asked(&self) -> bool {
        *self.asked.borrow() >= 1
    }

    /// Somebody has asked twice: stop where you are.
    pub fn now(&self) -> bool {
        *self.asked.borrow() >= 2
    }

    /// Waits until [`StopSignal::asked`].
    pub async fn wait_asked(&self) {
        self.wait(1).await;
    }

    /// Waits until [`StopSignal::now`].
    pub async fn wait_now(&self) {
        self.wait(2).await;
    }

    async fn wait(&self, times: u32) {
        let mut asked = self.asked.subscribe();
        // The sender lives in `self`, so the channel cannot be closed while this waits.
        drop(asked.wait_for(|asked| *asked >= times).await);
    }
}

impl Default for StopSignal {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn once_asks_and_twice_demands() {
        let stop = StopSignal::new();
        assert!(!stop.asked());
        stop.clone().press();
        assert!(stop.asked() && !stop.now());
        stop.wait_asked().await;
        stop.press();
        stop.wait_now().await;
        assert!(stop.now());
    }
}
