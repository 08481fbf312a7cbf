//! A lab: a network namespace that stands in for the operator's machine, with an uplink to a
//! world of its own, and the provider inside it.

use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use updraft_base::{ByteSize, Chance as _, SeededChance, SiteId, Timestamp};
use updraft_host::{Child, Cmd, CmdOutput, FileLock, Holder, Host, HostError, LocalHost, OsChance};
use updraft_provider::SiteMark;
use updraft_qemu::{Accel, QemuProvider, Settings};

/// This computer with the network of a namespace.
pub(crate) struct InNamespace(pub(crate) String);

impl InNamespace {
    fn enter(&self, cmd: Cmd) -> Cmd {
        cmd.wrapped("nsenter", &[&format!("--net=/run/netns/{}", self.0), "--"])
    }
}

#[async_trait]
impl Host for InNamespace {
    async fn run(&self, cmd: Cmd) -> Result<CmdOutput, HostError> {
        LocalHost.run(self.enter(cmd)).await
    }
    async fn spawn(&self, cmd: Cmd) -> Result<Child, HostError> {
        LocalHost.spawn(self.enter(cmd)).await
    }
    async fn spawn_detached(&self, cmd: Cmd, log: &Path) -> Result<u32, HostError> {
        LocalHost.spawn_detached(self.enter(cmd), log).await
    }
    async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        // Each namespace has its own switches, told to whoever reads from inside.
        if path.starts_with("/proc/sys/net") {
            let out = self.run(Cmd::new("cat").arg(path).accept(1)).await?;
            return Ok((out.status == 0).then_some(out.stdout));
        }
        LocalHost.read(path).await
    }
    async fn write_atomic(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), HostError> {
        LocalHost.write_atomic(path, bytes, mode).await
    }
    async fn publish(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        LocalHost.publish(from, to).await
    }
    async fn make_dir(&self, path: &Path, mode: u32) -> Result<(), HostError> {
        LocalHost.make_dir(path, mode).await
    }
    async fn remove(&self, path: &Path) -> Result<(), HostError> {
        LocalHost.remove(path).await
    }
    async fn remove_empty_dir(&self, path: &Path) -> Result<(), HostError> {
        LocalHost.remove_empty_dir(path).await
    }
    async fn list(&self, path: &Path) -> Result<Vec<String>, HostError> {
        LocalHost.list(path).await
    }
    async fn lock(&self, path: &Path, holder: Holder) -> Result<FileLock, HostError> {
        LocalHost.lock(path, holder).await
    }
    async fn free_space(&self, path: &Path) -> Result<ByteSize, HostError> {
        LocalHost.free_space(path).await
    }
}

pub(crate) fn site_mark(seed: u64) -> SiteMark {
    SiteMark {
        id: SiteId::draw(Timestamp::UNIX_EPOCH, &mut SeededChance::new(seed)),
        name: format!("lab{seed}").parse().unwrap(),
    }
}

/// Something that listens in a namespace and says one line.
pub(crate) struct Listener(Child);

impl Listener {
    pub(crate) async fn said(mut self) -> String {
        let mut line = String::new();
        let read = BufReader::new(&mut self.0.stdout).read_line(&mut line).await;
        read.unwrap();
        line.trim().to_owned()
    }
}

/// Namespaces of one test, removed when it ends.
pub(crate) struct Lab {
    pub(crate) name: String,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) guests: std::sync::Mutex<Vec<String>>,
}

impl Lab {
    /// A machine with an interface `up0`, 192.0.2.2/24, and a default route to 192.0.2.1, which is
    /// the world's.
    pub(crate) async fn new(name: &str) -> Self {
        let tag = format!("{:06x}", OsChance.next_u64() & 0xff_ffff);
        let lab = Self {
            name: format!("updraft-{name}-{tag}"),
            dir: tempfile::tempdir().unwrap(),
            guests: std::sync::Mutex::default(),
        };
        let world = lab.world();
        let (host, ns) = (LocalHost, &lab.name);
        let out = |line: &str| Cmd::new("ip").args(line.split_whitespace());
        for line in [
            format!("netns add {ns}"),
            format!("netns add {world}"),
            format!("link add up0 netns {ns} type veth peer name down0 netns {world}"),
            format!("-n {ns} addr add 192.0.2.2/24 dev up0"),
            format!("-n {ns} link set up0 up"),
            format!("-n {ns} link set lo up"),
            format!("-n {ns} route add default via 192.0.2.1"),
            format!("-n {world} addr add 192.0.2.1/24 dev down0"),
            format!("-n {world} link set down0 up"),
        ] {
            host.run(out(&line)).await.expect("the lab needs root and network namespaces");
        }
        lab
    }

    pub(crate) fn world(&self) -> String {
        format!("{}-world", self.name)
    }

    pub(crate) fn host(&self) -> InNamespace {
        InNamespace(self.name.clone())
    }

    pub(crate) fn provider(&self, seed: u64) -> QemuProvider {
        self.provider_with(seed, Accel::Emulated)
    }

    pub(crate) fn provider_with(&self, seed: u64, accel: Accel) -> QemuProvider {
        let dir = self.dir.path();
        let settings = Settings {
            mark: site_mark(seed),
            state: dir.join(format!("site{seed}")),
            runtime: dir.join("run"),
            verdicts: dir.join("verdicts"),
            templates: dir.join("templates"),
            accel,
            guard: None,
        };
        QemuProvider::new(settings, Arc::new(self.host()))
    }

    /// Shell text on the machine; must succeed.
    pub(crate) async fn sh(&self, text: &str) -> String {
        self.host().run(Cmd::new("sh").args(["-ec", text])).await.unwrap().text()
    }

    pub(crate) fn guest(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// Starts something that listens, in the world or in a guest, and waits until it does.
    pub(crate) async fn hears(&self, place: &str, text: &str) -> Listener {
        let ns = if place == self.world() { place.to_owned() } else { self.guest(place) };
        let host = InNamespace(ns);
        let listening = || host.run(Cmd::new("ss").args(["-Hltn"]));
        let before = listening().await.unwrap().text().lines().count();
        let child =
            host.spawn(Cmd::new("sh").args(["-ec", &format!("exec {text}")])).await.unwrap();
        for _ in 0..200 {
            if listening().await.unwrap().text().lines().count() > before {
                return Listener(child);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nothing listens in {place}");
    }

    /// Interfaces, rules and switches: everything a network may leave behind.
    pub(crate) async fn photograph(&self) -> String {
        let links = self
            .sh("ip -j addr | python3 -c \"import json,sys; print([(l['ifname'], l['flags'], \
                 [a['local'] for a in l['addr_info'] if a['family'] == 'inet']) for l in json.load(sys.stdin)])\"")
            .await;
        let rules = self.sh("nft list ruleset").await;
        let switches =
            self.sh("grep -r . /proc/sys/net/ipv4/conf /proc/sys/net/ipv4/ip_forward").await;
        format!("{links}\n{rules}\n{switches}")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A test that failed leaves its guest running.
        let run = self.dir.path().join("run");
        for site in std::fs::read_dir(run).into_iter().flatten().flatten() {
            for guest in std::fs::read_dir(site.path()).into_iter().flatten().flatten() {
                if let Ok(pid) = std::fs::read_to_string(guest.path().join("pid")) {
                    #[expect(clippy::disallowed_methods, reason = "a destructor cannot await")]
                    drop(std::process::Command::new("kill").args(["-KILL", pid.trim()]).status());
                }
            }
        }
        let mut names = std::mem::take(&mut *self.guests.lock().unwrap());
        names.extend([self.world(), self.name.clone()]);
        for name in names {
            // Runs where no runtime may be waited for; a namespace that is left is told by `ip`.
            #[expect(clippy::disallowed_methods, reason = "a destructor cannot await")]
            drop(std::process::Command::new("ip").args(["netns", "del", &name]).status());
        }
    }
}
