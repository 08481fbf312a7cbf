//! Networks of the qemu provider, in network namespaces of the test's own.

use crate::common::{InNamespace, Lab, site_mark};
use std::time::Duration;
use updraft_base::Blamed as _;
use updraft_host::{Cmd, Host as _, HostError, LocalHost};
use updraft_provider::{NetworkOrder, Provider as _};

impl Lab {
    async fn in_namespace(&self, ns: &str, text: &str) -> Result<String, HostError> {
        let cmd = Cmd::new("sh").args(["-ec", text]).within(Duration::from_secs(20));
        Ok(InNamespace(ns.to_owned()).run(cmd).await?.text())
    }

    /// A stand-in for a guest: a namespace with one interface on a bridge.
    async fn attach(&self, name: &str, address: &str, bridge: &str) {
        let (ns, host) = (self.guest(name), &self.name);
        self.guests.lock().unwrap().push(ns.clone());
        for line in [
            format!("netns add {ns}"),
            format!("link add {name} netns {host} type veth peer name eth0 netns {ns}"),
            format!("-n {host} link set {name} master {bridge} up"),
            format!("-n {ns} addr add {address}/24 dev eth0"),
            format!("-n {ns} link set eth0 up"),
            format!("-n {ns} route add default via 10.77.0.1"),
        ] {
            LocalHost.run(Cmd::new("ip").args(line.split_whitespace())).await.unwrap();
        }
    }

    async fn inside(&self, guest: &str, text: &str) -> Result<String, HostError> {
        self.in_namespace(&self.guest(guest), text).await
    }
}

fn lan() -> NetworkOrder {
    NetworkOrder {
        name: "lan".parse().unwrap(),
        cidr: "10.77.0.0/24".parse().unwrap(),
        bridge: "ubtest0".to_owned(),
    }
}

#[tokio::test]
async fn a_network_leaves_nothing_behind() {
    let lab = Lab::new("leaves").await;
    let before = lab.photograph().await;
    let provider = lab.provider(1);
    provider.ensure_network(&lan()).await.unwrap();
    provider.ensure_network(&lan()).await.unwrap();
    assert_ne!(lab.photograph().await, before, "nothing was made");
    let seen = provider.observe().await.unwrap();
    assert_eq!(seen.networks.len(), 1);
    assert!(seen.networks[0].intact, "{seen:?}");
    assert_eq!(seen.networks[0].order, lan());

    provider.destroy_network(&lan().name).await.unwrap();
    provider.destroy_network(&lan().name).await.unwrap();
    assert_eq!(lab.photograph().await, before);
    assert!(provider.observe().await.unwrap().networks.is_empty());
    assert!(!lab.dir.path().join("run").exists(), "the runtime directory is left");
    assert!(!lab.dir.path().join("site1/networks").exists(), "records are left");
}

#[tokio::test]
async fn each_damage_is_seen_and_repaired() {
    let lab = Lab::new("damage").await;
    let provider = lab.provider(1);
    let table = format!("updraft_{}_ubtest0", site_mark(1).id.tail());
    let damages = [
        "ip link del ubtest0".to_owned(),
        "ip link set ubtest0 down".to_owned(),
        "ip addr flush dev ubtest0".to_owned(),
        "ip addr replace 10.77.0.9/24 dev ubtest0; ip addr del 10.77.0.1/24 dev ubtest0".to_owned(),
        format!("nft delete table ip {table}"),
        format!("nft flush chain ip {table} postrouting"),
        "echo 0 > /proc/sys/net/ipv4/conf/up0/forwarding".to_owned(),
        "echo 0 > /proc/sys/net/ipv4/conf/ubtest0/forwarding".to_owned(),
    ];
    for damage in damages {
        provider.ensure_network(&lan()).await.unwrap();
        assert!(provider.observe().await.unwrap().networks[0].intact, "before `{damage}`");
        lab.sh(&damage).await;
        assert!(!provider.observe().await.unwrap().networks[0].intact, "`{damage}` was not seen");
        provider.ensure_network(&lan()).await.unwrap();
        assert!(provider.observe().await.unwrap().networks[0].intact, "after `{damage}`");
    }
}

#[tokio::test]
async fn an_address_in_use_is_one_clear_error_that_changes_nothing() {
    let lab = Lab::new("taken").await;
    let before = lab.photograph().await;
    let provider = lab.provider(1);
    let taken = NetworkOrder { cidr: "192.0.2.0/25".parse().unwrap(), ..lan() };
    let error = provider.ensure_network(&taken).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot make network lan: 192.0.2.0/25 overlaps 192.0.2.0/24 on interface up0"
    );
    assert!(error.hint().is_some());
    assert_eq!(lab.photograph().await, before);
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let lab = Lab::new("foreign").await;
    lab.sh("ip link add ubtest0 type bridge").await;
    let provider = lab.provider(1);
    let error = provider.ensure_network(&lan()).await.unwrap_err();
    assert!(error.to_string().contains("not ours"), "{error}");
    lab.sh("ip link set ubtest0 alias updraft:somebody-else").await;
    provider.ensure_network(&lan()).await.unwrap_err();
    provider.destroy_network(&lan().name).await.unwrap();
    lab.sh("ip link show ubtest0").await;

    lab.sh("ip link del ubtest0").await;
    provider.ensure_network(&lan()).await.unwrap();
    let table = format!("updraft_{}_ubtest0", site_mark(1).id.tail());
    lab.sh(&format!("nft add rule ip {table} forward counter")).await;
    let error = provider.ensure_network(&lan()).await.unwrap_err();
    assert!(error.to_string().contains("rules that are not ours"), "{error}");
}

#[tokio::test]
async fn the_last_of_two_sites_restores_what_the_first_found() {
    let lab = Lab::new("shared").await;
    let switch = "/proc/sys/net/ipv4/conf/up0/forwarding";
    let before = lab.photograph().await;
    let other = NetworkOrder {
        name: "lan".parse().unwrap(),
        cidr: "10.78.0.0/24".parse().unwrap(),
        bridge: "ubtest1".to_owned(),
    };
    let (one, two) = (lab.provider(1), lab.provider(2));
    one.ensure_network(&lan()).await.unwrap();
    two.ensure_network(&other).await.unwrap();
    one.destroy_network(&lan().name).await.unwrap();
    assert_eq!(lab.sh(&format!("cat {switch}")).await, "1", "the other site is cut off");
    assert!(two.observe().await.unwrap().networks[0].intact);
    two.destroy_network(&other.name).await.unwrap();
    assert_eq!(lab.sh(&format!("cat {switch}")).await, "0");
    assert_eq!(lab.photograph().await, before);
}

#[tokio::test]
async fn a_half_made_bridge_is_completed_and_a_half_removed_network_is_removed() {
    let lab = Lab::new("half").await;
    let before = lab.photograph().await;
    let provider = lab.provider(1);
    provider.ensure_network(&lan()).await.unwrap();
    // As after a crash between making the bridge and giving it its alias.
    lab.sh("ip link set ubtest0 alias ''; ip addr flush dev ubtest0").await;
    assert!(!provider.observe().await.unwrap().networks[0].intact);
    provider.ensure_network(&lan()).await.unwrap();
    assert!(provider.observe().await.unwrap().networks[0].intact);
    // As after a crash in the middle of removing it.
    lab.sh("ip link del ubtest0").await;
    provider.destroy_network(&lan().name).await.unwrap();
    assert_eq!(lab.photograph().await, before);
}

#[tokio::test]
async fn a_firewall_that_keeps_guests_in_is_told_with_what_lets_them_out() {
    let lab = Lab::new("barred").await;
    let order = NetworkOrder { bridge: "ud-test0".to_owned(), ..lan() };
    // As Docker does.
    lab.sh("nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'").await;
    let provider = lab.provider(1);
    provider.ensure_network(&order).await.unwrap();
    lab.attach("ga", "10.77.0.11", "ud-test0").await;
    // Nobody listens there: whoever is refused has reached it.
    let out = "python3 -c \"import socket, sys; s = socket.socket(); s.settimeout(2); \
               sys.exit(s.connect_ex(('192.0.2.1', 9)) != 111)\"";
    lab.inside("ga", out).await.unwrap_err();
    let told = provider.notice().expect("the barrier is told");
    assert!(told.contains("`ip filter FORWARD`"), "{told}");
    let remedy = &told[told.find("nft '").unwrap()..=told.rfind('\'').unwrap()];
    lab.sh(remedy).await;
    lab.inside("ga", out).await.unwrap();
    provider.ensure_network(&order).await.unwrap();
    assert_eq!(provider.notice(), None);
}

#[tokio::test]
async fn guests_get_out_and_nobody_gets_in() {
    let lab = Lab::new("nat").await;
    let provider = lab.provider(1);
    provider.ensure_network(&lan()).await.unwrap();
    // Two stand-ins for guests on the bridge, and a world behind the uplink that listens.
    lab.attach("ga", "10.77.0.11", "ubtest0").await;
    lab.attach("gb", "10.77.0.12", "ubtest0").await;
    let listen = |port: u16| {
        format!(
            "python3 -c \"import socket; s=socket.create_server(('', {port})); print(s.accept()[1][0], flush=True)\""
        )
    };
    let connect = |address: &str, port: u16| {
        format!(
            "python3 -c \"import socket; socket.create_connection(('{address}', {port}), timeout=3)\""
        )
    };
    let world = lab.world();
    let accepted = lab.hears(&world, &listen(8000)).await;
    lab.inside("ga", &connect("192.0.2.1", 8000)).await.unwrap();
    assert_eq!(accepted.said().await, "192.0.2.2", "a guest gets out under the host's address");

    let accepted = lab.hears("gb", &listen(8001)).await;
    lab.inside("ga", &connect("10.77.0.12", 8001)).await.unwrap();
    assert_eq!(accepted.said().await, "10.77.0.11", "guests see each other's own addresses");

    let _listening = lab.hears("gb", &listen(8002)).await;
    lab.in_namespace(&world, "ip route add 10.77.0.0/24 via 192.0.2.2").await.unwrap();
    assert!(
        lab.in_namespace(&world, &connect("10.77.0.12", 8002)).await.is_err(),
        "the world reached a guest"
    );
}
