//! A running guest's memory and devices in a file, and a guest that goes on from there.
//!
//! Under KVM memory is written while the guest runs; what it dirties meanwhile is written again,
//! and only for the last of it does it stand still. The emulator now and then loses such a write,
//! where its thread is held up between deciding that a page is dirty already and writing to it: of
//! 16 clones of a busy guest on a busy computer 3 had a broken kernel (QEMU 7.2). So an emulated
//! guest stands still all the while. QEMU calls this migration, and holds it before the devices are
//! handed over (`pause-before-switchover`): that is the moment in which the disk is fixed, so that
//! both belong together. Nothing of it is shared with a template: the file holds all memory that
//! was ever touched.
//!
//! The file goes through a socket and this process. Where we are killed, QEMU gives up by itself or
//! waits at that moment; [`let_go`] has it go on, called by a guard (`guard.rs`) or by whoever comes
//! next.

use crate::command::Memory;
use crate::guest::{Guest, MONITOR_ANSWERS, refusal};
use crate::live::LOOK_AGAIN;
use crate::qmp::{Qmp, QmpError};
use crate::{Acceleration, fault};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, timeout};
use updraft_base::{Blame, Blamed as _};
use updraft_host::FileLock;
use updraft_provider::{MachineOrder, ProviderError};

/// Nothing more of a guest's memory came or went for so long: the disk here is lost, or QEMU.
const STALLED: Duration = Duration::from_secs(60);

/// A guest that dirties its memory as fast as it is written would never come to an end. From this
/// round on it stands still for the rest, however much that is.
const LAST_ROUND: u64 = 6;

/// Where the devices of a guest are, as it was started: its state fits no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Layout {
    /// Cards on the board.
    Plain,
    /// Cards in slots, as those have that came to life from a template.
    Slots,
}

impl Guest<'_> {
    /// Where the devices of the running guest are: its process says so.
    pub(crate) async fn layout(&self, pid: u32) -> Result<Layout, ProviderError> {
        let what = || format!("cannot look at machine {}", self.id);
        let path = format!("/proc/{pid}/cmdline");
        let words = self.host.read(Path::new(&path)).await.map_err(fault(what()))?;
        let words = String::from_utf8_lossy(&words.unwrap_or_default()).into_owned();
        Ok(match words.contains("pcie-root-port") {
            true => Layout::Slots,
            false => Layout::Plain,
        })
    }

    /// Writes memory and devices into a file and fixes the disk, all of one moment. Returns for how
    /// long the guest stood still, at most.
    pub(crate) async fn write_memory(&self, to: &Path) -> Result<Duration, ProviderError> {
        let what = || format!("cannot keep the memory of machine {}", self.id);
        let lost = |error: QmpError| ProviderError::new(error.blame(), what()).because(error);
        let io = |error: std::io::Error| ProviderError::new(Blame::World, what()).because(error);
        let socket = self.place.state_socket();
        self.host.remove(&socket).await.map_err(fault(what()))?;
        let listener = UnixListener::bind(&socket).map_err(io)?;
        let file = File::create(to).await.map_err(io)?.into_std().await;
        let receive = async {
            let stream = listener.accept().await?.0.into_std()?;
            stream.set_nonblocking(false)?;
            // Within the kernel, as an emulated guest stands still for it.
            tokio::task::spawn_blocking(move || {
                std::io::copy(&mut &stream, &mut &file)?;
                file.sync_all()
            })
            .await?
        };
        let mut qmp =
            Qmp::connect(&self.place.qmp_socket(), MONITOR_ANSWERS).await.map_err(lost)?;
        // Dropped where anything fails, so that the guest goes on then too.
        let guard = self.guarded().await?;
        let hand_over = async {
            capabilities(&mut qmp, true).await?;
            // 8 GiB/s: nothing but the disk here holds it up.
            let limits = json!({ "max-bandwidth": 8_u64 << 30, "downtime-limit": 100 });
            qmp.execute("migrate-set-parameters", limits, MONITOR_ANSWERS).await?;
            let mut stopped = None;
            if !is_kvm(&mut qmp).await? {
                stopped = Some(Instant::now());
                qmp.execute("stop", json!({}), MONITOR_ANSWERS).await?;
            }
            let uri = json!({ "uri": format!("unix:{}", socket.display()) });
            qmp.execute("migrate", uri, MONITOR_ANSWERS).await?;
            let ran = until_it_stands(&mut qmp).await?;
            let stopped = stopped.unwrap_or(ran);
            self.fix_disk(&mut qmp).await?;
            let go_on = json!({ "state": "pre-switchover" });
            qmp.execute("migrate-continue", go_on, MONITOR_ANSWERS).await?;
            until_handed_over(&mut qmp).await?;
            qmp.execute("cont", json!({}), MONITOR_ANSWERS).await?;
            Ok::<_, QmpError>(stopped.elapsed())
        };
        let (received, stood) = tokio::join!(timed(receive), hand_over);
        let stood = stood.map_err(lost)?;
        guard.map_or(Ok(()), FileLock::remove).map_err(fault(what()))?;
        received.map_err(io)?;
        self.host.remove(&socket).await.map_err(fault(what()))?;
        Ok(stood)
    }

    /// Starts the guest's process with memory and devices from a file, and leaves it standing
    /// still.
    pub(crate) async fn read_memory(
        &self,
        order: &MachineOrder,
        acceleration: &Acceleration,
        layout: Layout,
        from: &Path,
    ) -> Result<(), ProviderError> {
        let what = || format!("machine {} cannot go on from its memory", order.name);
        self.launch(order, acceleration, Memory::Handed(layout)).await?;
        let Err(error) = self.take_in(from).await else { return Ok(()) };
        // What QEMU says of a state that it cannot take stands in its log.
        let said = self.host.read(&self.place.qemu_log()).await.map_err(fault(what()))?;
        let said = String::from_utf8_lossy(&said.unwrap_or_default()).trim().replace('\n', "; ");
        self.kill().await?;
        Err(refusal(&what(), &updraft_base::chain(&error), &said))
    }

    async fn take_in(&self, from: &Path) -> Result<(), QmpError> {
        let socket = self.place.state_socket();
        let lost = |source| QmpError::Lost { source };
        let mut file = File::open(from).await.map_err(lost)?;
        let mut qmp = Qmp::connect(&self.place.qmp_socket(), MONITOR_ANSWERS).await?;
        capabilities(&mut qmp, false).await?;
        let uri = json!({ "uri": format!("unix:{}", socket.display()) });
        qmp.execute("migrate-incoming", uri, MONITOR_ANSWERS).await?;
        let give = async {
            let mut stream = UnixStream::connect(&socket).await?;
            tokio::io::copy(&mut file, &mut stream).await?;
            stream.shutdown().await
        };
        timed(give).await.map_err(lost)?;
        let late = Instant::now() + STALLED;
        loop {
            let said = qmp.execute("query-status", json!({}), MONITOR_ANSWERS).await?;
            match text(&said, "status") {
                "paused" | "prelaunch" | "postmigrate" => return Ok(()),
                "inmigrate" if Instant::now() < late => tokio::time::sleep(LOOK_AGAIN).await,
                "inmigrate" => return Err(deadline("migrate-incoming")),
                other => {
                    return Err(QmpError::Refused {
                        command: "migrate-incoming".to_owned(),
                        reason: format!("it is {other}"),
                    });
                }
            }
        }
    }
}

/// Has a guest go on that somebody left standing at the moment of a snapshot.
pub(crate) async fn let_go(monitor: &Path) -> Result<(), QmpError> {
    let mut qmp = Qmp::connect(monitor, MONITOR_ANSWERS).await?;
    let late = Instant::now() + STALLED;
    loop {
        let status = migration(&mut qmp).await?.status;
        match status.as_str() {
            "" | "none" | "completed" | "cancelled" | "failed" => break,
            "cancelling" => {}
            _ => {
                qmp.execute("migrate_cancel", json!({}), MONITOR_ANSWERS).await?;
            }
        }
        if Instant::now() > late {
            return Err(deadline("migrate_cancel"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let said = qmp.execute("query-status", json!({}), MONITOR_ANSWERS).await?;
    if matches!(text(&said, "status"), "paused" | "postmigrate" | "finish-migrate") {
        qmp.execute("cont", json!({}), MONITOR_ANSWERS).await?;
    }
    Ok(())
}

/// A transfer between this process and QEMU: bounded by far more than any takes, because QEMU ends
/// it when its side fails.
async fn timed<T>(work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    const LONGEST: Duration = Duration::from_secs(4 * 3600);
    timeout(LONGEST, work).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

fn deadline(command: &str) -> QmpError {
    QmpError::Deadline { command: command.to_owned(), within: STALLED }
}

fn text<'a>(said: &'a Value, key: &str) -> &'a str {
    said.get(key).and_then(Value::as_str).unwrap_or_default()
}

async fn capabilities(qmp: &mut Qmp<UnixStream>, pause: bool) -> Result<(), QmpError> {
    let wanted = json!({ "capabilities": [
        { "capability": "pause-before-switchover", "state": pause },
        { "capability": "x-ignore-shared", "state": false },
    ] });
    qmp.execute("migrate-set-capabilities", wanted, MONITOR_ANSWERS).await.map(drop)
}

async fn is_kvm(qmp: &mut Qmp<UnixStream>) -> Result<bool, QmpError> {
    let said = qmp.execute("query-kvm", json!({}), MONITOR_ANSWERS).await?;
    Ok(said.get("enabled").and_then(Value::as_bool) == Some(true))
}

/// How far QEMU is.
struct Migration {
    status: String,
    /// Bytes written so far.
    moved: u64,
    /// How often it began anew with what was dirtied.
    round: u64,
}

async fn migration(qmp: &mut Qmp<UnixStream>) -> Result<Migration, QmpError> {
    let said = qmp.execute("query-migrate", json!({}), MONITOR_ANSWERS).await?;
    let number = |key: &str| said.get("ram").and_then(|ram| ram.get(key)?.as_u64()).unwrap_or(0);
    Ok(Migration {
        status: text(&said, "status").to_owned(),
        moved: number("transferred"),
        round: number("dirty-sync-count"),
    })
}

fn ended(status: String) -> QmpError {
    QmpError::Refused { command: "migrate".to_owned(), reason: format!("it is {status}") }
}

/// Waits until the guest stands still with all its memory written; returns a moment when it still
/// ran.
async fn until_it_stands(qmp: &mut Qmp<UnixStream>) -> Result<Instant, QmpError> {
    let mut ran = Instant::now();
    let (mut moved, mut moved_at) = (0, ran);
    let mut pressed = false;
    loop {
        let looked = Instant::now();
        let now = migration(qmp).await?;
        match now.status.as_str() {
            "pre-switchover" => return Ok(ran),
            "setup" | "active" => ran = looked,
            _ => return Err(ended(now.status)),
        }
        if now.moved != moved {
            (moved, moved_at) = (now.moved, looked);
        } else if moved_at.elapsed() > STALLED {
            return Err(deadline("migrate"));
        }
        if now.round >= LAST_ROUND && !pressed {
            pressed = true;
            let limits = json!({ "downtime-limit": 60_000 });
            qmp.execute("migrate-set-parameters", limits, MONITOR_ANSWERS).await?;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn until_handed_over(qmp: &mut Qmp<UnixStream>) -> Result<(), QmpError> {
    let late = Instant::now() + STALLED;
    loop {
        let now = migration(qmp).await?;
        match now.status.as_str() {
            "completed" => return Ok(()),
            "pre-switchover" | "device" | "active" if Instant::now() < late => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            "pre-switchover" | "device" | "active" => return Err(deadline("migrate-continue")),
            _ => return Err(ended(now.status)),
        }
    }
}
