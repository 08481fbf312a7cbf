//! A real guest: from a recipe to a machine that answers, dies, is repaired and leaves nothing.

use crate::common::{Lab, site_mark};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use updraft_base::{Blamed as _, ByteSize, MachineId, Timestamp};
use updraft_host::{Cmd, Host as _, LocalHost, OsChance};
use updraft_image::Image;
use updraft_provider::{MachineOrder, NetworkOrder, Nic, Power, Provider, Stop};
use updraft_qemu::{Accel, Acceleration, QemuProvider};
use updraft_remote::{AgentSession, Output, Session as _, Stream};
use updraft_wire::{AdminAccount, Exec, Identity, Interface, Request, Response};

/// An emulated guest on a busy machine.
pub(crate) const BOOT: Duration = Duration::from_secs(180);
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) fn lan() -> NetworkOrder {
    NetworkOrder {
        name: "lan".parse().unwrap(),
        cidr: "10.77.0.0/24".parse().unwrap(),
        bridge: "ubtest0".to_owned(),
    }
}

pub(crate) fn order(image: &Image) -> MachineOrder {
    MachineOrder {
        id: MachineId::draw(Timestamp::UNIX_EPOCH, &mut OsChance),
        name: "worker-1".parse().unwrap(),
        group: "worker".parse().unwrap(),
        memory: ByteSize::mib(256),
        cpus: 1,
        disk: ByteSize::gib(8),
        image: image.digest,
        files: crate::image::files(image),
        nics: vec![Nic {
            network: "lan".parse().unwrap(),
            mac: "52:54:00:12:34:56".parse().unwrap(),
            address: "10.77.0.11".parse().unwrap(),
        }],
        outlet: false,
        start: updraft_provider::Start::Cold,
    }
}

pub(crate) async fn session(
    provider: &QemuProvider,
    id: MachineId,
    within: Duration,
) -> AgentSession {
    let channel = provider.channel(id).await.unwrap();
    AgentSession::start("worker-1", channel, within).await.unwrap()
}

struct Text(String);

impl Output for Text {
    fn chunk(&mut self, _stream: Stream, bytes: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(bytes));
    }
}

/// Runs shell text in the guest; returns what it printed and its exit status.
pub(crate) async fn shell(session: &AgentSession, text: &str) -> (String, i32) {
    let argv = ["/bin/bash", "-c", text].map(str::to_owned).into();
    let exec = Exec { argv, deadline_ms: 60_000, ..Exec::default() };
    let mut output = Text(String::new());
    let exit = session.exec(exec, &mut output).await.unwrap();
    (output.0.trim().to_owned(), exit.code)
}

pub(crate) async fn keypair(dir: &Path, name: &str) -> (PathBuf, String) {
    let path = dir.join(name);
    let make = Cmd::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]);
    LocalHost.run(make.arg(&path)).await.unwrap();
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    (path, public.trim().to_owned())
}

pub(crate) fn identity(order: &MachineOrder, admin: &str) -> Identity {
    Identity {
        digest: "lab".to_owned(),
        machine: order.id.to_string(),
        machine_id: order.id.as_hex(),
        hostname: order.name.to_string(),
        domain: "lab.test".to_owned(),
        interfaces: vec![Interface {
            mac: order.nics[0].mac,
            address: "10.77.0.11/24".to_owned(),
            gateway: Some("10.77.0.1".to_owned()),
        }],
        resolvers: vec!["192.0.2.1".to_owned()],
        hosts: vec![
            ("10.77.0.11".to_owned(), vec!["worker-1".to_owned(), "worker-1.lab.test".to_owned()]),
            ("10.77.0.12".to_owned(), vec!["worker-2".to_owned(), "worker-2.lab.test".to_owned()]),
        ]
        .into(),
        host_keys: Vec::new(),
        admins: vec![AdminAccount { name: "ops".to_owned(), keys: vec![admin.to_owned()] }],
        time: None,
        seed: None,
        quiet_ms: None,
    }
}

pub(crate) async fn pid(lab: &Lab, order: &MachineOrder) -> String {
    let run = lab.dir.path().join("run").join(site_mark(1).id.tail()).join(order.id.tail());
    std::fs::read_to_string(run.join("pid")).unwrap().trim().to_owned()
}

/// Waits until something is so, saying what was seen last when it never is.
pub(crate) async fn until<F: Future<Output = Result<(), String>>>(
    within: Duration,
    mut look: impl FnMut() -> F,
) {
    let deadline = Instant::now() + within;
    loop {
        match look().await {
            Ok(()) => return,
            Err(saw) if Instant::now() >= deadline => panic!("{saw}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

#[tokio::test]
async fn a_disk_is_not_started_on_another_build_of_its_image() {
    let image = crate::image::build().await;
    let lab = Lab::new("build").await;
    let provider = lab.provider(1);
    provider.ensure_network(&lan()).await.unwrap();
    let mut order = order(&image);
    order.files.disk = lab.dir.path().join("image.qcow2");
    let build = async |content: &str| {
        let raw = lab.dir.path().join("raw");
        std::fs::write(&raw, content.repeat(1 << 20)).unwrap();
        let (raw, disk) = (raw.display(), order.files.disk.display());
        lab.sh(&format!("qemu-img convert -f raw -O qcow2 -c {raw} {disk}")).await;
    };
    build("one").await;
    provider.create_machine(&order).await.unwrap();
    build("two").await;
    let error = provider.start_machine(order.id).await.unwrap_err();
    assert!(error.to_string().contains("worker-1 was made on another build"), "{error}");
    assert!(error.hint().unwrap().contains("image.qcow2"));
    assert_eq!(provider.observe().await.unwrap().machines[0].power, Power::Off);
    build("one").await;
    provider.start_machine(order.id).await.unwrap();
    provider.destroy_machine(order.id).await.unwrap();
}

#[tokio::test]
async fn a_guest_lives_dies_is_repaired_and_leaves_nothing() {
    let image = crate::image::build().await;
    let lab = Lab::new("guest").await;
    let before = lab.photograph().await;
    let provider = lab.provider(1);
    provider.ensure_network(&lan()).await.unwrap();
    let order = order(&image);
    provider.create_machine(&order).await.unwrap();
    provider.create_machine(&order).await.unwrap();
    let seen = provider.observe().await.unwrap();
    assert_eq!(seen.machines.len(), 1);
    assert_eq!(seen.machines[0].power, Power::Off);
    assert_eq!(seen.machines[0].order.as_ref(), Some(&order));

    let began = Instant::now();
    provider.start_machine(order.id).await.unwrap();
    provider.start_machine(order.id).await.unwrap();
    println!("QEMU runs after {:?}", began.elapsed());
    let agent = session(&provider, order.id, BOOT).await;
    let cpu = async || provider.progress(order.id).await.unwrap().cpu_millis;
    println!("the agent answers after {:?}, {} ms of CPU", began.elapsed(), cpu().await);
    assert!(provider.progress(order.id).await.unwrap().cpu_millis > 0);

    let (key, public) = keypair(lab.dir.path(), "ops").await;
    let answer = agent.call(Request::Identify(Box::new(identity(&order, &public))), SOON).await;
    assert_eq!(answer.unwrap(), Response::Done);
    println!("it knows who it is after {:?}, {} ms of CPU", began.elapsed(), cpu().await);
    let Response::Observed(observed) = agent.call(Request::Observe, SOON).await.unwrap() else {
        panic!("not an observation");
    };
    assert_eq!(observed.identity, "lab");

    // SSH with the host key that the agent tells, and no blind trust.
    let (host_key, _) = shell(&agent, "cat /etc/ssh/ssh_host_ed25519_key.pub").await;
    let known = lab.dir.path().join("known_hosts");
    std::fs::write(&known, format!("10.77.0.11 {host_key}\n")).unwrap();
    let ssh = |command: &str| {
        Cmd::new("ssh")
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", "ConnectTimeout=20", "-o"])
            .arg(format!("UserKnownHostsFile={}", known.display()))
            .arg("-i")
            .arg(&key)
            .args(["ops@10.77.0.11", command])
            .within(Duration::from_secs(60))
    };
    let ask = "hostname; cat /etc/machine-id; sudo id -u; getent hosts worker-2";
    until(BOOT, || async {
        let out = lab.host().run(ssh(ask)).await.map_err(|error| error.to_string())?;
        let said = out.text();
        let expected = format!("worker-1\n{}\n0\n10.77.0.12", order.id.as_hex());
        assert!(said.starts_with(&expected), "{said}");
        Ok(())
    })
    .await;
    println!("ssh lets an admin in after {:?}, {} ms of CPU", began.elapsed(), cpu().await);
    println!("{}", shell(&agent, "systemctl is-system-running --wait; systemd-analyze; systemctl --failed --no-legend; systemd-analyze blame --no-pager | head -25; lsmod; free -m").await.0);
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid(&lab, &order).await));
    println!("{}", status.unwrap().lines().find(|line| line.starts_with("VmRSS")).unwrap());

    // The way out, under the host's address.
    let listen = "python3 -c \"import socket; s=socket.create_server(('', 8000)); print(s.accept()[1][0], flush=True)\"";
    let accepted = lab.hears(&lab.world(), listen).await;
    assert_eq!(shell(&agent, "exec 3<>/dev/tcp/192.0.2.1/8000").await.1, 0);
    assert_eq!(accepted.said().await, "192.0.2.2");
    let (size, _) = shell(&agent, "df --output=size -BG / | tail -1").await;
    assert!(size.trim().trim_end_matches('G').parse::<u64>().unwrap() >= 7, "the disk is {size}");
    drop(agent);

    // Another command finds it running, quickly.
    let later = lab.provider(1);
    let began = Instant::now();
    let seen = later.observe().await.unwrap();
    println!("looked within {:?}", began.elapsed());
    assert_eq!((seen.machines[0].power, &seen.machines[0].fault), (Power::On, &None), "{seen:?}");
    assert!(seen.networks[0].intact);
    let log = std::fs::read_to_string(later.console_log(order.id)).unwrap();
    assert!(log.contains("login:"), "{log}");

    // It dies; it is seen; it is repaired and is the same machine.
    LocalHost.run(Cmd::new("kill").args(["-KILL", &pid(&lab, &order).await])).await.unwrap();
    until(SOON, || async {
        match later.observe().await.unwrap().machines[0].power {
            Power::Dead => Ok(()),
            other => Err(format!("the machine is {other:?}")),
        }
    })
    .await;
    lab.sh(&format!("ip link del ud{}", order.id.tail())).await;
    let began = Instant::now();
    later.start_machine(order.id).await.unwrap();
    let agent = session(&later, order.id, BOOT).await;
    println!("the agent answers after {:?} of the second boot", began.elapsed());
    assert_eq!(agent.peer().machine.as_deref(), Some(order.id.to_string().as_str()));
    assert_eq!(agent.peer().hostname, "worker-1");
    until(BOOT, || async {
        lab.host().run(ssh("true")).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    println!("ssh lets an admin in after {:?} of the second boot", began.elapsed());

    // A card that lost its tap is seen, because only a restart gives it back.
    lab.sh(&format!("ip link del ud{}", order.id.tail())).await;
    let fault = later.observe().await.unwrap().machines[0].fault.clone();
    assert!(fault.unwrap().contains("network card"));

    let began = Instant::now();
    later.stop_machine(order.id, Stop::Orderly(Duration::from_secs(90))).await.unwrap();
    println!("it stopped in order within {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(90), "the plug was pulled");
    assert_eq!(later.observe().await.unwrap().machines[0].power, Power::Off);

    later.destroy_machine(order.id).await.unwrap();
    later.destroy_machine(order.id).await.unwrap();
    later.destroy_network(&lan().name).await.unwrap();
    assert_eq!(lab.photograph().await, before);
    assert!(!lab.dir.path().join("run").exists(), "the runtime directory is left");
    let left = LocalHost.list(&lab.dir.path().join("site1")).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_is_missing_is_one_clear_error_and_the_same_call_completes_it() {
    let image = crate::image::build().await;
    let lab = Lab::new("missing").await;
    let provider = lab.provider(1);
    let order = order(&image);

    let mut absent = order.clone();
    absent.files.disk = "/nowhere/disk.qcow2".into();
    let error = provider.create_machine(&absent).await.unwrap_err();
    assert!(error.to_string().contains("`/nowhere/disk.qcow2` is missing"), "{error}");
    assert!(error.hint().unwrap().contains("updraft up"));
    assert!(provider.observe().await.unwrap().machines.is_empty());

    // As after a crash between order and disk.
    provider.create_machine(&order).await.unwrap();
    let dir = lab.dir.path().join("site1/guests").join(order.id.to_string());
    std::fs::rename(dir.join("disk.qcow2"), dir.join("disk.new")).unwrap();
    let seen = provider.observe().await.unwrap();
    assert_eq!(seen.machines[0].order, None);
    assert!(seen.machines[0].fault.is_some());
    provider.create_machine(&order).await.unwrap();
    assert_eq!(provider.observe().await.unwrap().machines[0].order.as_ref(), Some(&order));

    let error = provider.start_machine(order.id).await.unwrap_err();
    assert!(error.to_string().contains("network lan is not there"), "{error}");
    provider.ensure_network(&lan()).await.unwrap();
    lab.sh("ip link set ubtest0 down").await;
    let tap = format!("ud{}", order.id.tail());
    lab.sh(&format!("ip tuntap add dev {tap} mode tap; ip link set {tap} alias mine")).await;
    let error = provider.start_machine(order.id).await.unwrap_err();
    assert!(error.to_string().contains("not ours"), "{error}");
    lab.sh(&format!("ip link del {tap}")).await;

    // QEMU's own words reach the operator.
    let kernel = dir.join("order.json");
    let text = std::fs::read_to_string(&kernel).unwrap();
    let vmlinuz = order.files.paths()[1].display().to_string();
    let broken = lab.dir.path().join("broken");
    std::fs::write(&broken, "no kernel").unwrap();
    std::fs::write(&kernel, text.replace(&vmlinuz, &broken.display().to_string())).unwrap();
    let error = provider.start_machine(order.id).await.unwrap_err();
    assert!(error.to_string().contains("QEMU ended"), "{error}");
    assert!(error.to_string().contains("kernel"), "{error}");
    assert_eq!(provider.observe().await.unwrap().machines[0].power, Power::Dead);

    // Another site does not touch it.
    let stranger = lab.provider_with(2, Accel::Emulated);
    let theirs = lab.dir.path().join("site2/guests");
    LocalHost.make_dir(&theirs, 0o700).await.unwrap();
    let copy = Cmd::new("cp").arg("-r").arg(&dir).arg(&theirs);
    LocalHost.run(copy).await.unwrap();
    let error = stranger.destroy_machine(order.id).await.unwrap_err();
    assert!(error.to_string().contains("belongs to site lab1"), "{error}");
    assert!(theirs.join(order.id.to_string()).join("order.json").exists());

    provider.destroy_machine(order.id).await.unwrap();
    provider.destroy_network(&lan().name).await.unwrap();
}

#[tokio::test]
async fn kvm_is_proven_once_and_never_hangs() {
    let image = crate::image::build().await;
    let lab = Lab::new("accel").await;
    let began = Instant::now();
    let verdict =
        lab.provider_with(1, Accel::Auto).acceleration(&crate::image::files(&image)).await.unwrap();
    println!("{verdict:?} after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(20));
    if let Acceleration::Emulated { why } = &verdict {
        assert!(why.contains("/dev/kvm"), "{why}");
    }
    let began = Instant::now();
    let again =
        lab.provider_with(1, Accel::Auto).acceleration(&crate::image::files(&image)).await.unwrap();
    assert_eq!(again, verdict);
    assert!(began.elapsed() < Duration::from_secs(2), "the verdict was not kept");
}

#[tokio::test]
async fn looking_at_a_handful_of_running_machines_takes_milliseconds() {
    let image = crate::image::build().await;
    let lab = Lab::new("quick").await;
    let provider = lab.provider(1);
    provider.ensure_network(&lan()).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let order = order(&image);
        provider.create_machine(&order).await.unwrap();
        provider.start_machine(order.id).await.unwrap();
        ids.push(order.id);
    }
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let began = Instant::now();
        let seen = provider.observe().await.unwrap();
        best = best.min(began.elapsed());
        assert!(
            seen.machines.iter().all(|m| m.power == Power::On && m.fault.is_none()),
            "{seen:?}"
        );
        assert!(seen.networks[0].intact);
    }
    println!("three machines were looked at within {best:?}");
    // A debug build on a machine that boots three guests meanwhile; nsenter starts each tool.
    assert!(best < Duration::from_millis(200), "it took {best:?}");
    for id in ids {
        provider.destroy_machine(id).await.unwrap();
    }
    provider.destroy_network(&lan().name).await.unwrap();
}
