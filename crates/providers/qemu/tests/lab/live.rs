//! Machines that go on from a template: each is itself, and nothing of the template is left.
//!
//! [`check_identity`] is the contract that every machine keeps, however it came to life: the story
//! asks it of one that booted and of those that started live.

use crate::common::Lab;
use crate::guest::{BOOT, SOON, identity, keypair, lan, order, pid, session, shell, until};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use updraft_base::{Blamed as _, Clock as _, unix_nanos};
use updraft_host::{Cmd, Host as _, LocalHost, SystemClock};
use updraft_image::Image;
use updraft_provider::{MachineOrder, Power, Provider, Start, Stop};
use updraft_qemu::QemuProvider;
use updraft_remote::{AgentSession, Session as _, set_clock};
use updraft_wire::{Identity, Observed, Request, Response, Seed};

/// How many machines are asked at once. More would only take longer: what they could have in
/// common they have from their template.
const CLONES: u8 = 4;

fn live(image: &Image, number: u8) -> MachineOrder {
    let mut order = order(image);
    order.name = format!("worker-{number}").parse().unwrap();
    order.nics[0].mac = format!("52:54:00:12:34:{number:02x}").parse().unwrap();
    order.nics[0].address = [10, 77, 0, 10 + number].into();
    order.start = Start::Live;
    order
}

fn now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the guest's clock is held against this one")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

pub(crate) fn who(order: &MachineOrder, admin: &str) -> Identity {
    let mut wanted = identity(order, admin);
    wanted.interfaces[0].address = format!("{}/24", order.nics[0].address);
    wanted.seed = Some(Seed(format!("{:032x}", now().as_nanos())));
    wanted
}

pub(crate) async fn identify(agent: &AgentSession, wanted: &Identity) -> Observed {
    let mut wanted = wanted.clone();
    wanted.time = Some(unix_nanos(SystemClock.now()));
    let answer = agent.call(Request::Identify(Box::new(wanted)), SOON).await.unwrap();
    assert_eq!(answer, Response::Done);
    set_clock(agent, &SystemClock, SOON).await.unwrap();
    let Response::Observed(observed) = agent.call(Request::Observe, SOON).await.unwrap() else {
        panic!("not an observation");
    };
    *observed
}

/// What is a machine's alone: no other machine has any of it.
#[derive(Debug)]
pub(crate) struct Traits {
    pub(crate) all: Vec<String>,
}

/// Asks a machine who it is and holds that against what it was told; returns what must be its own.
pub(crate) async fn check_identity(
    lab: &Lab,
    key: &Path,
    agent: &AgentSession,
    order: &MachineOrder,
    observed: &Observed,
) -> Traits {
    let (address, mac) = (order.nics[0].address, order.nics[0].mac);
    // Our own images call it eth0, others as they like.
    let find = format!("basename $(dirname $(grep -il {mac} /sys/class/net/*/address))");
    let (card, _) = shell(agent, &find).await;
    // One that boots has its address when its network has started.
    until(BOOT, || async {
        let (said, _) = shell(agent, &format!("ip -4 -o addr show dev {card}")).await;
        if said.contains(&format!("inet {address}/24")) { Ok(()) } else { Err(said) }
    })
    .await;
    let ask = format!(
        "hostname; cat /etc/machine-id; cat /sys/class/net/{card}/address; \
         ip -4 -o addr show dev {card} | awk '{{print $4}}'; cat /proc/sys/kernel/random/boot_id; \
         head -c32 /dev/urandom | od -An -tx1 | tr -d ' \\n'; echo; date +%s.%N; \
         ls /etc/ssh/ssh_host_*_key | wc -l; id -un ops"
    );
    let before = now();
    let (said, _) = shell(agent, &ask).await;
    let after = now();
    let lines: Vec<&str> = said.lines().collect();
    let [hostname, machine_id, mac, addresses, boot, random, clock, keys, admin] = lines[..] else {
        panic!("{said}");
    };
    assert_eq!(hostname, order.name.as_str());
    assert_eq!(machine_id, order.id.as_hex());
    assert_eq!(mac, order.nics[0].mac.to_string());
    assert_eq!(addresses, format!("{address}/24"));
    assert_eq!(boot, observed.boot_id);
    assert_eq!(keys, observed.host_keys.len().to_string(), "a host key that nobody knows of");
    assert_eq!(admin, "ops");
    let clock = Duration::from_secs_f64(clock.parse().unwrap());
    let slack = Duration::from_millis(100);
    assert!(
        clock + slack > before && clock < after + slack,
        "the clock is {clock:?}, between {before:?} and {after:?} it was asked"
    );

    // SSH with these very host keys, as the admin, who may become root.
    let known = lab.dir.path().join(format!("known-{}", order.id));
    let lines = observed.host_keys.iter().map(|key| format!("{address} {key}\n"));
    std::fs::write(&known, lines.collect::<String>()).unwrap();
    let ssh = || {
        Cmd::new("ssh")
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", "ConnectTimeout=20", "-o"])
            .arg(format!("UserKnownHostsFile={}", known.display()))
            .arg("-i")
            .arg(key)
            .args([&format!("ops@{address}"), "hostname; sudo id -u"])
            .within(Duration::from_secs(60))
    };
    until(BOOT, || async {
        let out = lab.host().run(ssh()).await.map_err(|error| updraft_base::chain(&error))?;
        assert_eq!(out.text(), format!("{}\n0", order.name));
        Ok(())
    })
    .await;
    let keys = observed.host_keys.iter().map(|key| key.split_whitespace().nth(1).unwrap());
    let keys: Vec<String> = keys.map(str::to_owned).collect();
    let all = [machine_id, mac, addresses, boot, random].map(str::to_owned);
    Traits { all: all.into_iter().chain(keys).collect() }
}

/// Brings machines to life, all at once, and tells each who it is.
async fn bring_up(
    provider: &QemuProvider,
    orders: &[MachineOrder],
    admin: &str,
) -> Vec<(AgentSession, Observed)> {
    let began = Instant::now();
    let one = async |order: &MachineOrder| {
        provider.create_machine(order).await.unwrap();
        provider.start_machine(order.id).await.unwrap();
        let runs = began.elapsed();
        let agent = session(provider, order.id, BOOT).await;
        let answers = began.elapsed();
        let held = "cat /sys/fs/cgroup/system.slice/ssh.service/cgroup.freeze";
        assert_eq!(shell(&agent, held).await.0, "1", "it runs before it is itself");
        let observed = identify(&agent, &who(order, admin)).await;
        let named = began.elapsed();
        assert_eq!(shell(&agent, held).await.0, "0", "it still stands");
        println!("{}: runs {runs:.3?}, answers {answers:.3?}, is itself {named:.3?}", order.name);
        (agent, observed)
    };
    let mut up = Vec::new();
    let all: Vec<_> = orders.iter().map(one).collect();
    for machine in futures::future::join_all(all).await {
        up.push(machine);
    }
    up
}

#[tokio::test]
async fn machines_that_start_live_are_themselves_and_share_nothing() {
    let image = crate::image::build().await;
    let lab = Lab::new("live").await;
    let provider = lab.provider(1);
    let (key, admin) = keypair(lab.dir.path(), "ops").await;
    provider.ensure_network(&lan()).await.unwrap();

    // Without a template there is one clear error.
    let first = live(&image, 1);
    let error = provider.create_machine(&first).await.unwrap_err();
    assert!(error.hint().unwrap().contains("updraft up"), "{error}");

    // Two who want one template get one, and one that is there costs nothing.
    let began = Instant::now();
    let template = first.template();
    let other = lab.provider(1);
    let (one, two) =
        tokio::join!(provider.ensure_template(&template), other.ensure_template(&template));
    one.and(two).unwrap();
    println!("the template took {:.1?}", began.elapsed());
    let began = Instant::now();
    provider.ensure_template(&template).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "a template that was there was made again");
    let seen = provider.templates().await.unwrap();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].current && seen[0].users.is_empty());
    assert_eq!(seen[0].order, template);
    println!("it takes {} on disk", seen[0].stored);

    let orders: Vec<MachineOrder> = (1..=CLONES).map(|number| live(&image, number)).collect();
    let up = bring_up(&provider, &orders, &admin).await;
    let mut traits: BTreeSet<String> = BTreeSet::new();
    for (order, (agent, observed)) in orders.iter().zip(&up) {
        assert_eq!(observed.host_keys.len(), 1, "a host key of another machine is left");
        for its_own in check_identity(&lab, &key, agent, order, observed).await.all {
            assert!(traits.insert(its_own.clone()), "two machines have {its_own}");
        }
    }
    let seen = provider.observe().await.unwrap();
    assert!(seen.machines.iter().all(|m| m.power == Power::On && m.fault.is_none()), "{seen:?}");
    for order in &orders {
        let path = format!("/proc/{}/smaps_rollup", pid(&lab, order).await);
        let rollup = std::fs::read_to_string(path).unwrap();
        let pss = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap();
        println!("{}: {pss}", order.name);
    }

    // The log goes on under the machine's own id, once services were told.
    let (agent, _) = &up[0];
    until(BOOT, || async {
        let journal = format!("/run/log/journal/{}/system.journal", orders[0].id.as_hex());
        let (said, status) = shell(
            agent,
            &format!("logger told; ls {journal}; journalctl --no-pager -n 20 | grep told"),
        )
        .await;
        if status == 0 { Ok(()) } else { Err(said) }
    })
    .await;

    // A template in use stays.
    let name = provider.templates().await.unwrap()[0].name;
    let error = provider.drop_template(name).await.unwrap_err();
    assert!(error.to_string().contains("worker-1 of site lab1"), "{error}");

    // Started again it boots from its own disk and is the same machine.
    let (agent, before) = &up[0];
    shell(agent, "echo mine >/var/lib/kept; sync").await;
    provider.stop_machine(orders[0].id, Stop::Orderly(Duration::from_secs(90))).await.unwrap();
    provider.start_machine(orders[0].id).await.unwrap();
    let agent = session(&provider, orders[0].id, BOOT).await;
    // The chip that a booting machine reads its clock from counts seconds.
    set_clock(&agent, &SystemClock, SOON).await.unwrap();
    let Response::Observed(after) = agent.call(Request::Observe, SOON).await.unwrap() else {
        panic!("not an observation");
    };
    assert_eq!(after.identity, "lab");
    assert_eq!(after.host_keys, before.host_keys, "a host key must stay");
    assert_ne!(after.boot_id, before.boot_id);
    assert_eq!(shell(&agent, "cat /var/lib/kept").await.0, "mine");
    check_identity(&lab, &key, &agent, &orders[0], &after).await;
    drop(agent);

    // One that was cut off before it came to life is begun again from the template.
    let born = lab.dir.path().join("site1/guests").join(orders[1].id.to_string()).join("born");
    std::fs::remove_file(&born).unwrap();
    let old = pid(&lab, &orders[1]).await;
    provider.start_machine(orders[1].id).await.unwrap();
    assert_ne!(pid(&lab, &orders[1]).await, old);
    assert!(born.exists());

    drop(up);
    for order in &orders {
        provider.destroy_machine(order.id).await.unwrap();
    }
    provider.destroy_network(&lan().name).await.unwrap();
    provider.drop_template(name).await.unwrap();
    provider.drop_template(name).await.unwrap();
    assert!(provider.templates().await.unwrap().is_empty());
    let left = LocalHost.list(&lab.dir.path().join("templates/tmp")).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    let left = LocalHost.list(&lab.dir.path().join("templates/locks")).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}
