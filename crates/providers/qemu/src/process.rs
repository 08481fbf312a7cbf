//! Processes of guests, as proc(5) tells of them.

use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use updraft_base::MachineId;
use updraft_host::{Host, HostError};

/// How long a process that ends may take to give back its memory and then its disk. A busy computer
/// frees 256 MiB within a second.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Between two looks at one that ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Of a process that ends (linux/sched.h). It has no memory any more, so no command line, and
/// may still have its files and the locks on them.
const PF_EXITING: u64 = 4;

/// The kernel counts the time of processes in hundredths of a second (`USER_HZ`).
const MILLIS_PER_TICK: u64 = 10;

/// The process of this id, if it is that of a machine.
///
/// The id alone may have been given to another process since, so its command line must name the
/// machine. One that is about to end is waited for: until then nobody else can have its disk.
pub(crate) async fn of_machine(
    host: &dyn Host,
    pid: u32,
    machine: MachineId,
) -> Result<Option<u32>, HostError> {
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        if is_of_machine(host, pid, machine).await {
            return Ok(Some(pid));
        }
        if !is_ending(host, pid).await {
            return Ok(None);
        }
        if Instant::now() >= deadline {
            return Ok(Some(pid));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn is_of_machine(host: &dyn Host, pid: u32, machine: MachineId) -> bool {
    // A process that ended between two looks may be gone while it is read.
    let cmdline = host.read(Path::new(&format!("/proc/{pid}/cmdline"))).await;
    let cmdline = cmdline.ok().flatten().unwrap_or_default();
    let uuid = machine.as_uuid();
    // As a word of its own, or as the end of its generation id: a template has no uuid.
    cmdline.split(|byte| *byte == 0).any(|word| word.ends_with(uuid.as_bytes()))
}

/// Whether a process has begun to end and is not yet done with it.
async fn is_ending(host: &dyn Host, pid: u32) -> bool {
    stat(host, pid)
        .await
        .is_some_and(|stat| !stat.is_over() && stat.number(FLAGS) & PF_EXITING != 0)
}

/// Whether a process is there and no zombie.
pub(crate) async fn lives(host: &dyn Host, pid: u32) -> bool {
    stat(host, pid).await.is_some_and(|stat| !stat.is_over())
}

/// Milliseconds of processor that a process has used.
pub(crate) async fn cpu_millis(host: &dyn Host, pid: u32) -> u64 {
    let ticks = stat(host, pid).await.map_or(0, |stat| stat.number(UTIME) + stat.number(STIME));
    ticks * MILLIS_PER_TICK
}

// Fields of `/proc/<pid>/stat` by their numbers in proc(5); those after the name begin with 3.
const STATE: usize = 3;
const FLAGS: usize = 9;
const UTIME: usize = 14;
const STIME: usize = 15;

/// The fields after the name, which may hold anything.
struct Stat(Vec<String>);

impl Stat {
    /// Ended, and not yet looked at by its parent.
    fn is_over(&self) -> bool {
        matches!(self.0.first().map(String::as_str), None | Some("Z" | "X"))
    }

    fn number(&self, field: usize) -> u64 {
        self.0.get(field - STATE).and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

async fn stat(host: &dyn Host, pid: u32) -> Option<Stat> {
    let bytes = host.read(Path::new(&format!("/proc/{pid}/stat"))).await.ok()??;
    parse(&String::from_utf8_lossy(&bytes))
}

fn parse(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    Some(Stat(rest.split_whitespace().map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use updraft_host::LocalHost;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let text = "4711 (qemu) (x) S 1 4711 4711 0 -1 4194564 1 2 3 4 50 7 0 0 20 0";
        let stat = parse(text).unwrap();
        assert!(!stat.is_over());
        assert_eq!(stat.number(FLAGS) & PF_EXITING, PF_EXITING);
        assert_eq!((stat.number(UTIME), stat.number(STIME)), (50, 7));
        assert!(parse("1 (a) Z 0").unwrap().is_over());
    }

    #[tokio::test]
    async fn who_runs_and_who_is_gone_is_not_about_to_end() {
        let own = std::process::id();
        assert!(lives(&LocalHost, own).await && !is_ending(&LocalHost, own).await);
        // Beyond the largest id that Linux gives (proc(5), pid_max).
        let none = 1 << 30;
        assert!(!lives(&LocalHost, none).await && !is_ending(&LocalHost, none).await);
    }
}
