//! Machines from a disk that others made keep the same contract as those from images of ours.

use crate::common::Lab;
use crate::guest::{SOON, keypair, lan, shell, until};
use crate::image::{stock_disk, target};
use crate::live::{check_identity, identify, who};
use std::collections::BTreeSet;
use std::time::Duration;
use updraft_base::{ByteSize, Digest, MachineId, Timestamp};
use updraft_host::{OsChance, SystemClock};
use updraft_provider::{
    Boot, Firmware, ImageFiles, MachineOrder, Nic, Provider as _, Shape, Start, Stop,
};
use updraft_remote::{AgentSession, Session as _, set_clock};
use updraft_wire::{Request, Response};

/// A stock Debian with cloud-init needs more than a minute of an emulated processor; what counts is
/// that something moves.
const STUCK: Duration = Duration::from_secs(120);

fn order(files: &ImageFiles, number: u8) -> MachineOrder {
    MachineOrder {
        id: MachineId::draw(Timestamp::UNIX_EPOCH, &mut OsChance),
        name: format!("stock-{number}").parse().unwrap(),
        group: "stock".parse().unwrap(),
        memory: ByteSize::mib(384),
        cpus: 1,
        disk: ByteSize::gib(2),
        image: Digest::of("stock"),
        files: files.clone(),
        nics: vec![Nic {
            network: "lan".parse().unwrap(),
            mac: format!("52:54:00:12:35:{number:02x}").parse().unwrap(),
            address: [10, 77, 0, 20 + number].into(),
        }],
        outlet: false,
        start: Start::Cold,
    }
}

/// Waits until the agent answers, as long as there are signs of life.
async fn answers(provider: &updraft_qemu::QemuProvider, order: &MachineOrder) -> AgentSession {
    let mut last = provider.progress(order.id).await.unwrap();
    let mut moved = tokio::time::Instant::now();
    loop {
        let channel = provider.channel(order.id).await.unwrap();
        match AgentSession::start(order.name.as_str(), channel, Duration::from_secs(5)).await {
            Ok(session) => return session,
            Err(error) => {
                let now = provider.progress(order.id).await.unwrap();
                if now != last {
                    (last, moved) = (now, tokio::time::Instant::now());
                }
                assert!(
                    moved.elapsed() < STUCK,
                    "{error}; last on its console: {}",
                    last.last_line
                );
            }
        }
    }
}

#[tokio::test]
async fn machines_from_a_disk_that_others_made_are_themselves_and_share_nothing() {
    let lab = Lab::new("others").await;
    let provider = lab.provider(1);
    let (key, admin) = keypair(lab.dir.path(), "ops").await;
    provider.ensure_network(&lan()).await.unwrap();
    let files = ImageFiles {
        disk: stock_disk(lab.dir.path()).await,
        boot: Boot::Firmware {
            firmware: Firmware::Bios,
            agent: target().join("agent/x86_64/updraft-agent"),
        },
    };
    let orders = [order(&files, 1), order(&files, 2)];
    for order in &orders {
        provider.create_machine(order).await.unwrap();
        provider.start_machine(order.id).await.unwrap();
    }
    let mut traits: BTreeSet<String> = BTreeSet::new();
    let mut sessions = Vec::new();
    for order in &orders {
        let agent = answers(&provider, order).await;
        // What cloud-init does on a first boot is over: it makes host keys, and sets the name.
        until(STUCK * 3, || async {
            match shell(&agent, "systemctl is-active cloud-init.service").await {
                (_, 0) => Ok(()),
                (said, _) => Err(format!("cloud-init is {said}")),
            }
        })
        .await;
        let observed = identify(&agent, &who(order, &admin)).await;
        for its_own in check_identity(&lab, &key, &agent, order, &observed).await.all {
            assert!(traits.insert(its_own.clone()), "two machines have {its_own}");
        }
        sessions.push((agent, observed));
    }

    // Its partition and what is on it grow while it runs.
    let (agent, before) = &sessions[0];
    let disk = ByteSize::gib(3);
    let shape = Shape { disk, ..orders[0].shape() };
    provider.resize_machine(orders[0].id, &shape).await.unwrap();
    for _ in 0..2 {
        let grow = Request::Expand { disk: disk.as_bytes() };
        assert_eq!(agent.call(grow, SOON * 4).await.unwrap(), Response::Done);
    }
    let (size, _) = shell(agent, "df --output=size -BM / | tail -n 1 | tr -dc 0-9").await;
    assert!(size.parse::<u32>().unwrap() > 2700, "the root filesystem has {size} MiB");

    // Started again it is the same machine.
    let (id, host_keys, boot) = (orders[0].id, before.host_keys.clone(), before.boot_id.clone());
    sessions.remove(0);
    provider.stop_machine(id, Stop::Orderly(STUCK)).await.unwrap();
    provider.start_machine(id).await.unwrap();
    let agent = answers(&provider, &orders[0]).await;
    set_clock(&agent, &SystemClock, SOON).await.unwrap();
    let Response::Observed(after) = agent.call(Request::Observe, SOON).await.unwrap() else {
        panic!("not an observation");
    };
    assert_eq!((after.identity.as_str(), &after.host_keys), ("lab", &host_keys));
    assert_ne!(after.boot_id, boot);
    check_identity(&lab, &key, &agent, &orders[0], &after).await;
    drop((agent, sessions));
    for order in &orders {
        provider.destroy_machine(order.id).await.unwrap();
    }
    provider.destroy_network(&lan().name).await.unwrap();
}
