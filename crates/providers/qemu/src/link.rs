//! Interfaces and routes of this computer, as `ip -j` tells them.
//!
//! The `ip` tool and not a netlink socket of our own: it answers in 2 ms, works the same through
//! any [`updraft_host::Host`], and its batch mode does several changes in one process.

use ipnet::Ipv4Net;
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use updraft_base::Mac;
use updraft_host::{Cmd, Host, HostError};

/// One interface.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Link {
    #[serde(rename = "ifname")]
    pub(crate) name: String,
    /// Ethernet address; other kinds of links have other kinds of addresses.
    #[serde(default)]
    pub(crate) address: String,
    #[serde(default, rename = "ifalias")]
    pub(crate) alias: Option<String>,
    /// The bridge it belongs to.
    #[serde(default)]
    pub(crate) master: Option<String>,
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    #[serde(default)]
    linkinfo: Kind,
    #[serde(default, rename = "addr_info")]
    addresses: Vec<Address>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Kind {
    #[serde(default)]
    info_kind: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Address {
    family: String,
    #[serde(default)]
    local: String,
    #[serde(default)]
    prefixlen: u8,
}

impl Link {
    pub(crate) fn is_bridge(&self) -> bool {
        self.linkinfo.info_kind.as_deref() == Some("bridge")
    }

    pub(crate) fn is_up(&self) -> bool {
        self.flags.iter().any(|flag| flag == "UP")
    }

    pub(crate) fn has_mac(&self, mac: Mac) -> bool {
        self.address.parse().is_ok_and(|found: Mac| found == mac)
    }

    /// Its IPv4 addresses, each with its network.
    pub(crate) fn networks(&self) -> Vec<Ipv4Net> {
        self.addresses
            .iter()
            .filter(|address| address.family == "inet")
            .filter_map(|address| {
                Ipv4Net::new(address.local.parse::<Ipv4Addr>().ok()?, address.prefixlen).ok()
            })
            .collect()
    }
}

/// One IPv4 route.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Route {
    dst: String,
    #[serde(default)]
    pub(crate) dev: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

impl Route {
    pub(crate) fn is_default(&self) -> bool {
        self.dst == "default"
    }

    /// Where it leads, if to a part of the address space that somebody uses.
    pub(crate) fn network(&self) -> Option<Ipv4Net> {
        let unicast = matches!(self.kind.as_deref(), None | Some("unicast" | "local"));
        if self.is_default() || !unicast {
            return None;
        }
        self.dst.parse().ok().or_else(|| Ipv4Net::new(self.dst.parse().ok()?, 32).ok())
    }
}

pub(crate) async fn links(host: &dyn Host) -> Result<Vec<Link>, HostError> {
    host.run(Cmd::new("ip").args(["-j", "-d", "addr", "show"])).await?.json()
}

pub(crate) async fn routes(host: &dyn Host) -> Result<Vec<Route>, HostError> {
    let out = host.run(Cmd::new("ip").args(["-j", "-4", "route", "show", "table", "all"])).await?;
    // Older versions print nothing rather than an empty list.
    if out.text().is_empty() { Ok(Vec::new()) } else { out.json() }
}

/// Several changes in one process; stops at the first that fails.
pub(crate) async fn batch(host: &dyn Host, lines: &[String]) -> Result<(), HostError> {
    let text = lines.join("\n") + "\n";
    host.run(Cmd::new("ip").args(["-batch", "-"]).stdin(text)).await.map(drop)
}

/// The switch that lets packets pass that came in by this interface.
pub(crate) fn forwarding_switch(interface: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net/ipv4/conf").join(interface).join("forwarding")
}

/// Who uses a part of `wanted` already, other than the interface `except`: the interface's name
/// and the network it has there.
pub(crate) fn taken(
    wanted: Ipv4Net,
    except: &str,
    links: &[Link],
    routes: &[Route],
) -> Option<(String, Ipv4Net)> {
    let overlaps =
        |other: &Ipv4Net| wanted.contains(&other.network()) || other.contains(&wanted.network());
    let by_address = links
        .iter()
        .filter(|link| link.name != except)
        .flat_map(|link| link.networks().into_iter().map(|net| (link.name.clone(), net)));
    let by_route = routes.iter().filter_map(|route| {
        let dev = route.dev.clone().filter(|dev| dev != except)?;
        Some((dev, route.network()?))
    });
    by_address.chain(by_route).find(|(_, net)| overlaps(net)).map(|(name, net)| (name, net.trunc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: &str = r#"[
        {"ifname":"lo","flags":["LOOPBACK","UP"],"address":"00:00:00:00:00:00",
         "addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},
        {"ifname":"eth0","flags":["BROADCAST","UP"],"address":"02:fc:00:00:00:01",
         "addr_info":[{"family":"inet","local":"192.0.2.2","prefixlen":24},
                      {"family":"inet6","local":"fd00::2","prefixlen":64}]},
        {"ifname":"ub0","flags":["BROADCAST"],"address":"02:11:22:33:44:55","ifalias":"updraft:x",
         "linkinfo":{"info_kind":"bridge"},
         "addr_info":[{"family":"inet","local":"10.77.0.1","prefixlen":24}]}]"#;
    const ROUTES: &str = r#"[
        {"dst":"default","gateway":"192.0.2.1","dev":"eth0","flags":[]},
        {"dst":"10.200.0.0/16","dev":"tun0"},
        {"type":"broadcast","dst":"10.99.0.255","dev":"eth1","table":"local"},
        {"type":"local","dst":"10.98.0.7","dev":"eth1","table":"local"}]"#;

    #[test]
    fn an_address_in_use_is_found_by_interface_or_route() {
        let links: Vec<Link> = serde_json::from_str(LINKS).unwrap();
        let routes: Vec<Route> = serde_json::from_str(ROUTES).unwrap();
        let taken =
            |net: &str| taken(net.parse().unwrap(), "ub0", &links, &routes).map(|(name, _)| name);
        assert_eq!(taken("192.0.2.128/25").as_deref(), Some("eth0"));
        assert_eq!(taken("192.0.0.0/16").as_deref(), Some("eth0"));
        assert_eq!(taken("10.200.7.0/24").as_deref(), Some("tun0"));
        assert_eq!(taken("10.98.0.0/24").as_deref(), Some("eth1"));
        assert_eq!(taken("10.99.0.0/24"), None, "a broadcast address is nobody's network");
        assert_eq!(taken("10.77.0.0/24"), None, "our own bridge does not stand in our way");
    }

    #[test]
    fn what_ip_prints_is_understood() {
        let links: Vec<Link> = serde_json::from_str(LINKS).unwrap();
        assert!(links[2].is_bridge() && !links[2].is_up());
        assert!(links[2].has_mac("02:11:22:33:44:55".parse().unwrap()));
        assert_eq!(links[2].alias.as_deref(), Some("updraft:x"));
    }
}
