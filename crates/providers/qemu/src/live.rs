//! Taking a guest's state away and giving it to another: what makes a template, and a live start.
//!
//! Memory stays in its file; what QEMU migrates is the rest, some 430 KiB, over a socket. That is
//! migration with `x-ignore-shared` (QEMU, migration/ram.c), which 7.2 and 10.0 were seen to do
//! into memory that is mapped privately, copy-on-write.

use crate::command::{Memory, cards_of_template, slot_name, tap_name};
use crate::guest::{Guest, MONITOR_ANSWERS, refusal};
use crate::qmp::{Qmp, QmpError};
use crate::template::Template;
use crate::{Acceleration, fault};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, timeout};
use updraft_base::{Blame, Blamed as _};
use updraft_provider::{MachineOrder, ProviderError};

/// For the state to be handed over: it takes 20 ms, on a machine where everything starts at once
/// much longer.
const HANDED_OVER: Duration = Duration::from_secs(30);

/// How often QEMU is asked how far it is.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(3);

impl Guest<'_> {
    /// Stops a running guest for good and returns the state of its devices; its memory is in its
    /// file when this returns.
    pub(crate) async fn freeze(&self) -> Result<Vec<u8>, ProviderError> {
        let what = || "cannot keep the state of the template".to_owned();
        let lost = |error: QmpError| ProviderError::new(error.blame(), what()).because(error);
        let socket = self.place.state_socket();
        self.host.remove(&socket).await.map_err(fault(what()))?;
        let io = |error: std::io::Error| ProviderError::new(Blame::World, what()).because(error);
        let listener = UnixListener::bind(&socket).map_err(io)?;
        let mut qmp =
            Qmp::connect(&self.place.qmp_socket(), MONITOR_ANSWERS).await.map_err(lost)?;
        qmp.execute("stop", json!({}), MONITOR_ANSWERS).await.map_err(lost)?;
        ignore_shared(&mut qmp).await.map_err(lost)?;
        let uri = json!({ "uri": format!("unix:{}", socket.display()) });
        qmp.execute("migrate", uri, MONITOR_ANSWERS).await.map_err(lost)?;
        let receive = async {
            let (mut stream, _) = listener.accept().await?;
            let mut state = Vec::new();
            stream.read_to_end(&mut state).await?;
            Ok::<_, std::io::Error>(state)
        };
        let late = |_| ProviderError::new(Blame::World, format!("{}: it took too long", what()));
        let state = timeout(HANDED_OVER, receive).await.map_err(late)?.map_err(io)?;
        let said = qmp.execute("query-migrate", json!({}), MONITOR_ANSWERS).await.map_err(lost)?;
        if said.get("status").and_then(|status| status.as_str()) != Some("completed") {
            return Err(ProviderError::new(Blame::World, format!("{}: {said}", what())));
        }
        self.kill().await?;
        Ok(state)
    }

    /// Starts the guest's process with a template's memory and state, gives it its other cards, and
    /// leaves it standing still: it has run for no moment without them.
    pub(crate) async fn revive(
        &self,
        order: &MachineOrder,
        acceleration: &Acceleration,
        template: &Template,
    ) -> Result<(), ProviderError> {
        let what = || format!("cannot start machine {} live", order.name);
        let state = self.host.read(&template.state()).await.map_err(fault(what()))?;
        let state = state.ok_or_else(|| template.missing())?;
        self.launch(order, acceleration, Memory::Copied(&template.ram())).await?;
        if let Err(error) = self.restore(order, acceleration, &state).await {
            // What QEMU says of a state that it cannot take stands in its log.
            let said = self.host.read(&self.place.qemu_log()).await.map_err(fault(what()))?;
            let said =
                String::from_utf8_lossy(&said.unwrap_or_default()).trim().replace('\n', "; ");
            self.kill().await?;
            let told = refusal(&what(), &updraft_base::chain(&error), &said);
            return Err(match told.hint {
                Some(_) => told,
                None => told.hinting("say `start: cold` for its group to boot it instead"),
            });
        }
        let born = self.host.write_atomic(&self.place.born(), b"", 0o600).await;
        born.map_err(fault(what()))
    }

    async fn restore(
        &self,
        order: &MachineOrder,
        acceleration: &Acceleration,
        state: &[u8],
    ) -> Result<(), QmpError> {
        let socket = self.place.state_socket();
        let mut qmp = Qmp::connect(&self.place.qmp_socket(), MONITOR_ANSWERS).await?;
        ignore_shared(&mut qmp).await?;
        // It is in no network yet whose bridges would have to learn where it is now; one round is the
        // least. With none the card has no timer for them, and QEMU dies of that when the guest
        // restarts (7.2, virtio-net.c, `virtio_net_post_load_device` and `virtio_net_reset`).
        let once = json!({ "announce-rounds": 1 });
        qmp.execute("migrate-set-parameters", once, MONITOR_ANSWERS).await?;
        let uri = json!({ "uri": format!("unix:{}", socket.display()) });
        qmp.execute("migrate-incoming", uri, MONITOR_ANSWERS).await?;
        let give = async {
            let mut stream = UnixStream::connect(&socket).await?;
            stream.write_all(state).await?;
            stream.shutdown().await
        };
        let deadline =
            |command: &str| QmpError::Deadline { command: command.to_owned(), within: HANDED_OVER };
        let given = timeout(HANDED_OVER, give).await.map_err(|_| deadline("migrate-incoming"))?;
        given.map_err(|source| QmpError::Lost { source })?;
        let late = Instant::now() + HANDED_OVER;
        loop {
            let said = qmp.execute("query-status", json!({}), MONITOR_ANSWERS).await?;
            let status = said.get("status").and_then(|status| status.as_str()).unwrap_or_default();
            match status {
                "inmigrate" if Instant::now() < late => tokio::time::sleep(LOOK_AGAIN).await,
                "inmigrate" => return Err(deadline("migrate-incoming")),
                "paused" | "prelaunch" => break,
                other => {
                    return Err(QmpError::Refused {
                        command: "migrate-incoming".to_owned(),
                        reason: format!("it is {other}"),
                    });
                }
            }
        }
        for (index, nic) in order.nics.iter().enumerate().skip(cards_of_template(order)) {
            let vhost = matches!(acceleration, Acceleration::Kvm);
            let netdev = json!({
                "type": "tap", "id": format!("net{index}"), "ifname": tap_name(order, index),
                "script": "no", "downscript": "no", "vhost": vhost,
            });
            qmp.execute("netdev_add", netdev, MONITOR_ANSWERS).await?;
            let device = json!({
                "driver": "virtio-net-pci", "netdev": format!("net{index}"), "romfile": "",
                "mac": nic.mac.to_string(), "bus": slot_name(index), "id": format!("nic{index}"),
            });
            qmp.execute("device_add", device, MONITOR_ANSWERS).await?;
        }
        Ok(())
    }
}

async fn ignore_shared(qmp: &mut Qmp<UnixStream>) -> Result<(), QmpError> {
    let wanted = json!({ "capabilities": [{ "capability": "x-ignore-shared", "state": true }] });
    qmp.execute("migrate-set-capabilities", wanted, MONITOR_ANSWERS).await.map(drop)
}
