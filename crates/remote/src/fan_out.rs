//! The same work on many hosts at once, bounded, each host on its own.

use crate::RemoteError;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What came of the work on one host.
pub struct Outcome<T> {
    /// Place of the host in the list that was handed in.
    pub index: usize,
    /// Its result.
    pub result: Result<T, RemoteError>,
}

/// Outcomes as they come. Dropping it ends the work on all hosts that are not done.
pub struct Outcomes<T> {
    receiver: mpsc::Receiver<Outcome<T>>,
    _tasks: JoinSet<()>,
}

impl<T> Outcomes<T> {
    /// The next outcome; `None` once there is one of each host.
    pub async fn next(&mut self) -> Option<Outcome<T>> {
        self.receiver.recv().await
    }
}

/// Does `work` on every host, on at most `width` at a time.
///
/// Each host has `within` from the moment its work begins, so one that hangs or vanishes costs
/// nothing but its place. A panic in the work on one host becomes that host's error.
pub fn fan_out<H, T, F, W>(
    hosts: Vec<(String, H)>,
    width: usize,
    within: Duration,
    work: F,
) -> Outcomes<T>
where
    H: Send + 'static,
    T: Send + 'static,
    F: Fn(H) -> W + Send + Sync + 'static,
    W: Future<Output = Result<T, RemoteError>> + Send + 'static,
{
    // One outcome may wait for each host, so that no host waits for who reads them.
    let (sender, receiver) = mpsc::channel(hosts.len().max(1));
    let places = Arc::new(Semaphore::new(width.max(1)));
    let work = Arc::new(work);
    let mut tasks = JoinSet::new();
    for (index, (name, host)) in hosts.into_iter().enumerate() {
        let (places, work, sender) = (Arc::clone(&places), Arc::clone(&work), sender.clone());
        tasks.spawn(async move {
            let _place = places.acquire().await.expect("the semaphore is never closed");
            // A set of its own, so that a panic ends in a result and dropping us ends the work.
            let mut alone = JoinSet::new();
            alone.spawn(async move { work(host).await });
            let result = match timeout(within, alone.join_next()).await {
                Err(_) => Err(RemoteError::Deadline { host: name, what: "everything", within }),
                Ok(Some(Ok(result))) => result,
                Ok(Some(Err(fault))) => {
                    Err(RemoteError::Panicked { host: name, said: words(fault) })
                }
                Ok(None) => unreachable!("one task was spawned"),
            };
            // The reader may have gone.
            sender.send(Outcome { index, result }).await.ok();
        });
    }
    Outcomes { receiver, _tasks: tasks }
}

fn words(fault: tokio::task::JoinError) -> String {
    match fault.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without words".to_owned()),
        Err(fault) => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn hosts(count: usize) -> Vec<(String, usize)> {
        (0..count).map(|number| (format!("h{number}"), number)).collect()
    }

    async fn all<T>(mut outcomes: Outcomes<T>) -> Vec<Result<T, RemoteError>> {
        let mut found: Vec<Outcome<T>> = Vec::new();
        while let Some(outcome) = outcomes.next().await {
            found.push(outcome);
        }
        found.sort_by_key(|outcome| outcome.index);
        found.into_iter().map(|outcome| outcome.result).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_hosts_than_the_width_are_worked_on_at_once() {
        let now = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let (n, m) = (Arc::clone(&now), Arc::clone(&most));
        let outcomes = fan_out(hosts(50), 7, Duration::from_secs(9), move |number| {
            let (now, most) = (Arc::clone(&n), Arc::clone(&m));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(number)
            }
        });
        let found: Vec<usize> = all(outcomes).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(found, (0..50).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_hangs_or_panics_costs_only_itself() {
        let outcomes = fan_out(hosts(4), 2, Duration::from_secs(5), |number| async move {
            match number {
                0 => std::future::pending().await,
                1 => panic!("number {number}"),
                _ => Ok(number),
            }
        });
        let found = all(outcomes).await;
        assert!(matches!(&found[0], Err(RemoteError::Deadline { host, .. }) if host == "h0"));
        assert!(
            matches!(&found[1], Err(RemoteError::Panicked { host, said }) if host == "h1" && said == "number 1")
        );
        assert!(found[2].is_ok() && found[3].is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_outcomes_ends_the_work() {
        let ended = Arc::new(AtomicUsize::new(0));
        struct Guard(Arc<AtomicUsize>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let seen = Arc::clone(&ended);
        let outcomes: Outcomes<()> = fan_out(hosts(3), 3, Duration::MAX, move |_| {
            let guard = Guard(Arc::clone(&seen));
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        drop(outcomes);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ended.load(Ordering::SeqCst), 3);
    }
}
