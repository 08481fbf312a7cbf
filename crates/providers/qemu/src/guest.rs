//! One guest: its directory, its process, its taps.

use crate::command::{self, Memory, tap_name, tap_of};
use crate::link::{self, Link};
use crate::memory::let_go;
use crate::place::Place;
use crate::qmp::{Qmp, QmpError};
use crate::template::Template;
use crate::{Acceleration, fault, process, seed};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use updraft_base::{Blame, Blamed as _, Digest, MachineId};
use updraft_host::{Cmd, Host, HostError};
use updraft_provider::{
    Boot, Firmware, MachineOrder, MachineSeen, NetworkOrder, Power, Progress, ProviderError,
    SiteMark, Start, Stop,
};

/// QEMU opens its monitor some 0.1 s after its start; on a machine where everything starts at
/// once, much later.
const MONITOR_OPENS: Duration = Duration::from_secs(30);

/// For a monitor that is there.
pub(crate) const MONITOR_ANSWERS: Duration = Duration::from_secs(5);

/// While looking: a monitor that is busy with somebody else is not waited for.
const MONITOR_GLANCE: Duration = Duration::from_millis(300);

/// For a process that was told to end at once.
const ENDS_AT_ONCE: Duration = Duration::from_secs(10);

/// How soon a process that has just begun is looked at.
const LOOK_SOON: Duration = Duration::from_millis(4);

/// How long a guest that lost its network may take to power itself off before it is started anew.
const RECONNECTS_WITHIN: Duration = Duration::from_secs(60);

/// How often a process is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How much of the end of a console log is read for its last line.
const CONSOLE_TAIL: usize = 4096;

/// What is written down about a guest before anything of it is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub(crate) site: SiteMark,
    pub(crate) order: MachineOrder,
    /// The template its disk rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) template: Option<Digest>,
    /// The build of its image that its disk rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) build: Option<Digest>,
    /// The machine that it was made from, when that was no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clone_of: Option<MachineId>,
}

impl Record {
    pub(crate) fn new(site: &SiteMark, order: &MachineOrder, template: Option<Digest>) -> Self {
        Self {
            version: 1,
            site: site.clone(),
            order: order.clone(),
            template,
            build: None,
            clone_of: None,
        }
    }
}

/// One guest on one host.
pub(crate) struct Guest<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) mark: &'a SiteMark,
    pub(crate) id: MachineId,
    pub(crate) place: Place,
    /// The program that has it go on when we are killed while it stands still.
    pub(crate) guard: Option<&'a Path>,
}

impl Guest<'_> {
    fn alias(&self) -> String {
        format!("updraft:{}", self.mark.id)
    }

    /// What it was made from; `None` when there is no such guest.
    pub(crate) async fn record(&self) -> Result<Option<Record>, ProviderError> {
        let path = self.place.order();
        let read = self.host.read(&path).await;
        let Some(bytes) = read.map_err(fault(format!("cannot read machine {}", self.id)))? else {
            return Ok(None);
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(|source| {
            ProviderError::new(Blame::World, format!("`{}` cannot be understood", path.display()))
                .because(source)
        })?;
        if record.site.id != self.mark.id || record.order.id != self.id {
            return Err(ProviderError::new(
                Blame::World,
                format!("`{}` belongs to site {}", path.display(), record.site.name),
            )
            .hinting("give each site a directory of its own"));
        }
        Ok(Some(record))
    }

    pub(crate) async fn order(&self) -> Result<MachineOrder, ProviderError> {
        self.expect_record().await.map(|record| record.order)
    }

    pub(crate) async fn expect_record(&self) -> Result<Record, ProviderError> {
        self.record().await?.ok_or_else(|| {
            ProviderError::new(Blame::World, format!("there is no machine {} here", self.id))
        })
    }

    /// The process id of its QEMU, if it runs.
    pub(crate) async fn pid(&self) -> Result<Option<u32>, HostError> {
        let pid = self.host.read(&self.place.pidfile()).await?;
        let pid = pid.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse::<u32>().ok());
        match pid {
            Some(pid) => process::of_machine(self.host, pid, self.id).await,
            None => Ok(None),
        }
    }

    async fn wanted_on(&self) -> Result<bool, HostError> {
        Ok(self.host.read(&self.place.power()).await?.as_deref() == Some(b"on"))
    }

    async fn want(&self, power: &str) -> Result<(), HostError> {
        self.host.write_atomic(&self.place.power(), power.as_bytes(), 0o600).await
    }

    /// Makes its directory with order and disk, or what is missing of them.
    ///
    /// A machine that is to start live has its disk on `template`, and is among its users before
    /// it has a disk.
    pub(crate) async fn create(
        &self,
        order: &MachineOrder,
        template: Option<&Template>,
    ) -> Result<(), ProviderError> {
        let what = || format!("cannot make machine {}", order.name);
        let disk = self.place.disk();
        let known = self.record().await?.map(|record| record.order);
        let has_disk = self.exists(&disk).await.map_err(fault(what()))?;
        match known {
            Some(known) if known == *order && has_disk => return Ok(()),
            Some(known) if known != *order && has_disk => {
                return Err(ProviderError::new(
                    Blame::World,
                    format!("{}: it is there already, made from another order", what()),
                )
                .hinting("destroy it first"));
            }
            _ => {}
        }
        self.check_image(order).await?;
        let mut record = Record::new(self.mark, order, template.map(|template| template.name));
        record.build = Some(self.build(order).await?);
        let text = serde_json::to_vec_pretty(&record).expect("a record is JSON");
        self.host.make_dir(&self.place.dir, 0o700).await.map_err(fault(what()))?;
        let written = self.host.write_atomic(&self.place.order(), &text, 0o600).await;
        written.map_err(fault(what()))?;
        let backing = match template {
            Some(template) => {
                template
                    .join(self.host, self.id, &self.place.dir, &self.alias_for_people(order))
                    .await?;
                template.disk()
            }
            None => order.files.disk.clone(),
        };
        let new = self.place.new_disk();
        let create = Cmd::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
            .arg(&backing)
            .arg("--")
            .arg(&new)
            .arg(order.disk.as_bytes().to_string());
        self.host.run(create).await.map_err(fault(what()))?;
        let rename = Cmd::new("mv").arg("-T").arg("--").arg(&new).arg(&disk);
        self.host.run(rename).await.map(drop).map_err(fault(what()))
    }

    pub(crate) fn alias_for_people(&self, order: &MachineOrder) -> String {
        format!("{} of site {}", order.name, self.mark.name)
    }

    pub(crate) async fn exists(&self, path: &Path) -> Result<bool, HostError> {
        let found = self.host.run(Cmd::new("test").arg("-e").arg(path).accept(1)).await?;
        Ok(found.status == 0)
    }

    /// What there is of it. `status` asks the monitor too.
    pub(crate) async fn observe(&self, links: &[Link]) -> Result<MachineSeen, ProviderError> {
        let what = || format!("cannot look at machine {}", self.id);
        let record = self.expect_record().await?;
        let (order, clone_of) = (record.order, record.clone_of);
        let listed = self.host.list(&self.place.dir).await.map_err(fault(what()))?;
        let has_disk = listed.iter().any(|name| name == "disk.qcow2");
        let pid = self.pid().await.map_err(fault(what()))?;
        let power = match pid {
            Some(_) => Power::On,
            None if self.wanted_on().await.map_err(fault(what()))? => Power::Dead,
            None => Power::Off,
        };
        let fault = if !has_disk {
            Some("it has no disk".to_owned())
        } else if power == Power::On {
            match self.cut_off(&order, links) {
                Some(fault) => Some(fault),
                None => self.paused().await,
            }
        } else {
            None
        };
        Ok(MachineSeen {
            id: self.id,
            name: order.name.clone(),
            power,
            unborn: record.template.is_some() && !listed.iter().any(|name| name == "born"),
            order: has_disk.then_some(order),
            fault,
            snapshots: match listed.iter().any(|name| name == "snapshots") {
                true => self.snapshot_orders().await?.len(),
                false => 0,
            },
            clone_of,
            apart: listed.iter().any(|name| name == "apart"),
        })
    }

    /// A running guest whose tap is gone has lost its network card for good.
    fn cut_off(&self, order: &MachineOrder, links: &[Link]) -> Option<String> {
        (0..order.nics.len())
            .map(|index| tap_name(order, index))
            .find(|tap| !links.iter().any(|link| link.name == *tap))
            .map(|tap| format!("its network card has lost interface {tap}"))
    }

    /// Why a running guest stands still. A monitor that is busy counts as a guest that runs.
    async fn paused(&self) -> Option<String> {
        let mut qmp = Qmp::connect(&self.place.qmp_socket(), MONITOR_GLANCE).await.ok()?;
        let status = qmp.execute("query-status", json!({}), MONITOR_GLANCE).await.ok()?;
        match status.get("status")?.as_str()? {
            "io-error" => Some("it stands still: its disk cannot be written".to_owned()),
            "paused" | "postmigrate" | "finish-migrate" => {
                Some("it stands still: a snapshot of it did not come to its end".to_owned())
            }
            "internal-error" => Some("it stands still: the emulator failed".to_owned()),
            "guest-panicked" => Some("its kernel has panicked".to_owned()),
            _ => None,
        }
    }

    /// Powers it on; returns when its processors run.
    pub(crate) async fn start(
        &self,
        acceleration: &Acceleration,
        bridges: &[(usize, String)],
        networks: &[NetworkOrder],
        template: Option<&Template>,
    ) -> Result<(), ProviderError> {
        let record = self.expect_record().await?;
        let order = &record.order;
        let what = || format!("cannot start machine {}", order.name);
        self.check_image(order).await?;
        if !self.exists(&self.place.disk()).await.map_err(fault(what()))? {
            return Err(ProviderError::new(Blame::World, format!("{}: it has no disk", what())));
        }
        self.host.make_dir(&self.place.run, 0o700).await.map_err(fault(what()))?;
        let links = link::links(self.host).await.map_err(fault(what()))?;
        let on = self.pid().await.map_err(fault(what()))?.is_some();
        if !on {
            self.check_build(&record).await?;
        } else if self.cut_off(order, &links).is_some() {
            // A card that lost its interface gets no other one: only a new start connects it.
            self.stop(Stop::Orderly(RECONNECTS_WITHIN)).await?;
        }
        self.want("on").await.map_err(fault(what()))?;
        let unborn = template.filter(|_| order.start == Start::Live);
        let unborn = match unborn {
            Some(_) if self.exists(&self.place.born()).await.map_err(fault(what()))? => None,
            other => other,
        };
        let goes_on = self.exists(&self.place.goes_on()).await.map_err(fault(what()))?;
        if unborn.is_some() || goes_on {
            // One that was cut off on its way to life may be in any state.
            self.kill().await?;
        }
        if self.pid().await.map_err(fault(what()))?.is_none() {
            let apart = self.is_apart().await?;
            self.ensure_taps(order, bridges, !apart).await?;
            match unborn {
                Some(template) => {
                    self.revive(order, acceleration, template).await?;
                    return self.go_on_running(order).await;
                }
                None => {
                    self.prepare_boot(order, networks).await?;
                    if !self.go_on(order, acceleration).await? {
                        self.launch(order, acceleration, Memory::Own).await?;
                    }
                }
            }
        }
        self.run(order).await
    }

    /// Makes its interfaces here, and lets them into their bridges when it may be heard there.
    pub(crate) async fn ensure_taps(
        &self,
        order: &MachineOrder,
        bridges: &[(usize, String)],
        let_in: bool,
    ) -> Result<(), ProviderError> {
        let what = || format!("cannot connect machine {}", order.name);
        let links = link::links(self.host).await.map_err(fault(what()))?;
        let mut lines = Vec::new();
        for (index, bridge) in bridges {
            let tap = tap_name(order, *index);
            if !links.iter().any(|link| link.name == *bridge) {
                return Err(ProviderError::new(
                    Blame::World,
                    format!("{}: bridge {bridge} is not there", what()),
                )
                .hinting("`updraft up` makes it again"));
            }
            match links.iter().find(|link| link.name == tap) {
                None => lines.push(format!("tuntap add dev {tap} mode tap")),
                // Without an alias it is ours, half made: its name holds our random id.
                Some(link) if link.alias.is_none() || link.alias == Some(self.alias()) => {}
                Some(_) => {
                    return Err(ProviderError::new(
                        Blame::World,
                        format!(
                            "{}: there is an interface {tap} already and it is not ours",
                            what()
                        ),
                    ));
                }
            }
            lines.push(format!("link set dev {tap} alias {}", self.alias()));
            lines.push(format!("link set dev {tap} addrgenmode none"));
            lines.push(match let_in {
                true => format!("link set dev {tap} master {bridge} up"),
                false => format!("link set dev {tap} nomaster up"),
            });
        }
        if lines.is_empty() {
            return Ok(());
        }
        link::batch(self.host, &lines).await.map_err(fault(what()))
    }

    /// Puts what firmware and an image made by others need beside the disk.
    async fn prepare_boot(
        &self,
        order: &MachineOrder,
        networks: &[NetworkOrder],
    ) -> Result<(), ProviderError> {
        let Boot::Firmware { firmware, agent } = &order.files.boot else { return Ok(()) };
        let what = || format!("cannot prepare machine {} for its first words", order.name);
        let state = self.place.firmware_state();
        if *firmware == Firmware::Uefi && !self.exists(&state).await.map_err(fault(what()))? {
            let fresh = self.host.read(Path::new(command::UEFI_STATE)).await;
            let fresh = fresh.map_err(fault(what()))?.ok_or_else(|| {
                let message = format!("{}: there is no UEFI here", what());
                ProviderError::new(Blame::World, message).hinting("apt install ovmf")
            })?;
            self.host.write_atomic(&state, &fresh, 0o600).await.map_err(fault(what()))?;
        }
        let agent = self.host.read(agent).await.map_err(fault(what()))?.unwrap_or_default();
        let seed = seed::seed(order, networks, &agent);
        self.host.write_atomic(&self.place.seed(), &seed, 0o600).await.map_err(fault(what()))
    }

    pub(crate) async fn launch(
        &self,
        order: &MachineOrder,
        acceleration: &Acceleration,
        memory: Memory<'_>,
    ) -> Result<(), ProviderError> {
        let what = || format!("cannot start machine {}", order.name);
        let log = self.place.qemu_log();
        self.host.remove(&log).await.map_err(fault(what()))?;
        let cmd = command::qemu(order, &self.place, acceleration, memory);
        let pid = self.host.spawn_detached(cmd, &log).await.map_err(fault(what()))?;
        let deadline = Instant::now() + MONITOR_OPENS;
        let mut pause = LOOK_SOON;
        loop {
            if self.pid().await.map_err(fault(what()))?.is_some()
                && Qmp::connect(&self.place.qmp_socket(), MONITOR_GLANCE).await.is_ok()
            {
                return Ok(());
            }
            let ended = !process::lives(self.host, pid).await
                && self.pid().await.map_err(fault(what()))?.is_none();
            if ended || Instant::now() >= deadline {
                let said = self.host.read(&log).await.map_err(fault(what()))?.unwrap_or_default();
                let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
                let happened = if ended { "QEMU ended" } else { "QEMU's monitor did not open" };
                return Err(refusal(&what(), happened, &said));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 5 / 4).min(LOOK_EVERY);
        }
    }

    /// Lets a guest run that stands still, for instance because the disk was full.
    async fn run(&self, order: &MachineOrder) -> Result<(), ProviderError> {
        let what = || format!("machine {} was started and does not run", order.name);
        let lost = |error: QmpError| ProviderError::new(error.blame(), what()).because(error);
        let_go(&self.place.qmp_socket()).await.map_err(lost)?;
        self.go_on_running(order).await
    }

    async fn go_on_running(&self, order: &MachineOrder) -> Result<(), ProviderError> {
        let what = || format!("machine {} was started and does not run", order.name);
        let lost = |error: QmpError| ProviderError::new(error.blame(), what()).because(error);
        self.tell("cont").await.map_err(lost)
    }

    /// Powers it off; returns when its process has ended.
    pub(crate) async fn stop(&self, stop: Stop) -> Result<(), ProviderError> {
        let what = || format!("cannot stop machine {}", self.id);
        if self.record().await?.is_none() {
            return Ok(());
        }
        self.want("off").await.map_err(fault(what()))?;
        let Some(pid) = self.pid().await.map_err(fault(what()))? else { return Ok(()) };
        if let Stop::Orderly(within) = stop {
            // A monitor that does not answer cannot press the button: then time runs out.
            drop(self.tell("system_powerdown").await);
            if self.ends_within(within).await? {
                return Ok(());
            }
        }
        self.end(pid).await
    }

    /// Ends its process at once, whatever it is doing. Whether it ought to run stays as it was.
    pub(crate) async fn kill(&self) -> Result<(), ProviderError> {
        let what = || format!("cannot stop machine {}", self.id);
        match self.pid().await.map_err(fault(what()))? {
            Some(pid) => self.end(pid).await,
            None => Ok(()),
        }
    }

    async fn end(&self, pid: u32) -> Result<(), ProviderError> {
        let what = || format!("cannot stop machine {}", self.id);
        drop(self.tell("quit").await);
        if self.ends_within(ENDS_AT_ONCE / 2).await? {
            return Ok(());
        }
        let kill = Cmd::new("kill").args(["-KILL", &pid.to_string()]).accept_all();
        self.host.run(kill).await.map_err(fault(what()))?;
        if self.ends_within(ENDS_AT_ONCE).await? {
            return Ok(());
        }
        Err(ProviderError::new(Blame::World, format!("{}: process {pid} does not end", what())))
    }

    async fn tell(&self, command: &str) -> Result<(), QmpError> {
        let mut qmp = Qmp::connect(&self.place.qmp_socket(), MONITOR_ANSWERS).await?;
        qmp.execute(command, json!({}), MONITOR_ANSWERS).await.map(drop)
    }

    async fn ends_within(&self, within: Duration) -> Result<bool, ProviderError> {
        let deadline = Instant::now() + within;
        loop {
            let pid = self.pid().await;
            if pid.map_err(fault(format!("cannot look at machine {}", self.id)))?.is_none() {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Removes everything of it, its mark last.
    pub(crate) async fn destroy(&self, templates: &Path) -> Result<(), ProviderError> {
        let what = || format!("cannot remove machine {}", self.id);
        self.stop(Stop::Now).await?;
        let template = self.record().await?.and_then(|record| record.template);
        let links = link::links(self.host).await.map_err(fault(what()))?;
        let tails = [tap_of(&self.id.tail(), 0), format!("{}n", tap_of(&self.id.tail(), 0))];
        let lines: Vec<String> = links
            .iter()
            .filter(|link| link.name == tails[0] || link.name.starts_with(&tails[1]))
            .filter(|link| link.alias.is_none() || link.alias == Some(self.alias()))
            .map(|link| format!("link del dev {}", link.name))
            .collect();
        if !lines.is_empty() {
            link::batch(self.host, &lines).await.map_err(fault(what()))?;
        }
        self.host.remove(&self.place.run).await.map_err(fault(what()))?;
        for name in self.host.list(&self.place.dir).await.map_err(fault(what()))? {
            if name != "order.json" {
                self.host.remove(&self.place.dir.join(name)).await.map_err(fault(what()))?;
            }
        }
        if let Some(name) = template {
            Template::at(templates, name).leave(self.host, self.id).await?;
        }
        self.host.remove(&self.place.dir).await.map_err(fault(what()))
    }

    /// Signs of life.
    pub(crate) async fn progress(&self) -> Result<Progress, ProviderError> {
        let what = || format!("cannot look at machine {}", self.id);
        let console = self.host.read(&self.place.console_log()).await.map_err(fault(what()))?;
        let console = console.unwrap_or_default();
        let cpu_millis = match self.pid().await.map_err(fault(what()))? {
            None => 0,
            Some(pid) => process::cpu_millis(self.host, pid).await,
        };
        Ok(Progress {
            console_bytes: console.len() as u64,
            cpu_millis,
            last_line: last_line(&console[console.len().saturating_sub(CONSOLE_TAIL)..]),
        })
    }
}

/// The last line of a console that says something, without control sequences.
fn last_line(console: &[u8]) -> String {
    let text = String::from_utf8_lossy(console);
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // ECMA-48: an escape sequence ends with a byte from `@` to `~`; those with `[` have
            // parameters before.
            '\u{1b}' => {
                if chars.next() == Some('[') {
                    while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
                }
            }
            '\n' => plain.push('\n'),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// Why QEMU did not start, from its own words.
pub(crate) fn refusal(what: &str, happened: &str, said: &str) -> ProviderError {
    let said = if said.is_empty() { "it said nothing" } else { said };
    let error = ProviderError::new(Blame::World, format!("{what}: {happened}: {said}"));
    let hints = [
        ("No space left on device", "free some disk space and run the same command again"),
        ("Cannot allocate memory", "give the machines of the site less `memory:`"),
        ("Failed to get \"write\" lock", "another program uses its disk: find it with `fuser`"),
        ("Could not access KVM", "set `accel: auto` or `accel: emulated` for the provider"),
    ];
    match hints.iter().find(|(sign, _)| said.contains(sign)) {
        Some((_, hint)) => error.hinting(*hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_console_is_plain_text() {
        let console =
            b"\x1b[2J\x1b[0mSeaBIOS\r\nDebian GNU/Linux 12 web ttyS0\r\n\r\nweb login: \x1b[0m";
        assert_eq!(last_line(console), "web login:");
        assert_eq!(last_line(b"\n\n"), "");
    }

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let error =
            refusal("cannot start machine a", "QEMU ended", "disk: No space left on device");
        assert!(updraft_base::Blamed::hint(&error).unwrap().contains("disk space"));
    }
}
