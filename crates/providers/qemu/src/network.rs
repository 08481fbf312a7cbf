//! A network of guests: a bridge with our address, the way out, and the switches for it.
//!
//! Each part carries a mark: the bridge its alias (and, because an alias is set a moment after the
//! bridge is made, an Ethernet address that is drawn from the site's id), the nftables table its
//! name and comments, the switches a file that says what they were. What carries another mark or
//! none is left alone.

use crate::link::{self, Link, Route};
use crate::{fault, nft};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use updraft_base::{Blame, Digest, Mac, NetworkName, Timestamp};
use updraft_host::{Cmd, FileLock, Holder, Host, HostError};
use updraft_provider::{NetworkOrder, NetworkSeen, ProviderError, SiteMark};

/// The networks of one site on one host.
pub(crate) struct Networks<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) mark: &'a SiteMark,
    /// The site's state directory.
    pub(crate) state: &'a Path,
    /// The runtime directory that all sites of this host share.
    pub(crate) shared: &'a Path,
}

/// What is written down about a network before anything of it is made.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    site: SiteMark,
    order: NetworkOrder,
}

impl Networks<'_> {
    fn dir(&self) -> PathBuf {
        self.state.join("networks")
    }

    fn record_path(&self, name: &NetworkName) -> PathBuf {
        self.dir().join(format!("{name}.json"))
    }

    /// What every part of ours is called.
    pub(crate) fn alias(&self) -> String {
        format!("updraft:{}", self.mark.id)
    }

    /// The Ethernet address of a bridge of ours: locally administered, unicast.
    fn bridge_mac(&self, bridge: &str) -> Mac {
        let digest = Digest::of(format!("{} {bridge}", self.mark.id)).to_string();
        let pairs: Vec<&str> = (0..5).map(|n| &digest[n * 2..n * 2 + 2]).collect();
        format!("02:{}", pairs.join(":")).parse().expect("six pairs of digits")
    }

    fn is_ours(&self, link: &Link) -> bool {
        match &link.alias {
            Some(alias) => *alias == self.alias(),
            None => link.is_bridge() && link.has_mac(self.bridge_mac(&link.name)),
        }
    }

    /// The networks that were ordered, by name.
    pub(crate) async fn orders(&self) -> Result<Vec<NetworkOrder>, ProviderError> {
        let what = || "cannot read the networks of this site".to_owned();
        let mut orders = Vec::new();
        for name in self.host.list(&self.dir()).await.map_err(fault(what()))? {
            let Some(name) = name.strip_suffix(".json").and_then(|name| name.parse().ok()) else {
                continue;
            };
            orders.extend(self.record(&name).await?);
        }
        Ok(orders)
    }

    async fn record(&self, name: &NetworkName) -> Result<Option<NetworkOrder>, ProviderError> {
        let path = self.record_path(name);
        let read = self.host.read(&path).await;
        let Some(bytes) = read.map_err(fault(format!("cannot read network {name}")))? else {
            return Ok(None);
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(|source| {
            ProviderError::new(Blame::World, format!("`{}` cannot be understood", path.display()))
                .because(source)
        })?;
        if record.site.id != self.mark.id {
            return Err(ProviderError::new(
                Blame::World,
                format!("`{}` belongs to site {}", path.display(), record.site.name),
            )
            .hinting("give each site a directory of its own"));
        }
        Ok(Some(record.order))
    }

    /// Which networks there are and whether each part of them is. `attached` are the taps that
    /// ought to be on a bridge: tap and network.
    pub(crate) async fn observe(
        &self,
        links: &[Link],
        routes: &[Route],
        attached: &[(String, NetworkName)],
    ) -> Result<Vec<NetworkSeen>, ProviderError> {
        let mut seen = Vec::new();
        for order in self.orders().await? {
            let taps_attached = attached
                .iter()
                .filter(|(_, network)| *network == order.name)
                .filter_map(|(tap, _)| links.iter().find(|link| link.name == *tap))
                .all(|tap| tap.master.as_deref() == Some(&order.bridge));
            let intact = taps_attached
                && self.bridge_intact(&order, links)
                && self.table_intact(&order).await?
                && self.forwarding_intact(&order, routes).await?;
            seen.push(NetworkSeen { name: order.name.clone(), order, intact });
        }
        Ok(seen)
    }

    fn bridge_intact(&self, order: &NetworkOrder, links: &[Link]) -> bool {
        links.iter().find(|link| link.name == order.bridge).is_some_and(|link| {
            link.is_bridge()
                && link.is_up()
                && link.alias == Some(self.alias())
                && link.networks().iter().any(|net| {
                    net.addr() == order.gateway() && net.prefix_len() == order.cidr.prefix_len()
                })
        })
    }

    async fn table(&self, order: &NetworkOrder) -> Result<serde_json::Value, ProviderError> {
        let what = || format!("cannot look at the way out of network {}", order.name);
        let table = nft::table(self.mark.id, &order.bridge);
        let asked = Cmd::new("nft").args(["-j", "list", "table", "ip", &table]).accept(1);
        let out = self.host.run(asked).await.map_err(fault(what()))?;
        match out.status {
            0 => out.json().map_err(fault(what())),
            _ if out.stderr_tail().contains("No such file") => Ok(serde_json::Value::Null),
            _ => {
                Err(ProviderError::new(Blame::World, format!("{}: {}", what(), out.stderr_tail()))
                    .hinting("run as root"))
            }
        }
    }

    async fn table_intact(&self, order: &NetworkOrder) -> Result<bool, ProviderError> {
        Ok(nft::intact(&self.table(order).await?, self.mark.id, order))
    }

    async fn forwarding_intact(
        &self,
        order: &NetworkOrder,
        routes: &[Route],
    ) -> Result<bool, ProviderError> {
        for interface in uplinks(routes, &order.bridge).iter().chain([&order.bridge]) {
            if self.forwarding(interface).await?.as_deref() != Some("1") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn forwarding(&self, interface: &str) -> Result<Option<String>, ProviderError> {
        let what = format!("cannot see whether packets pass interface {interface}");
        let bytes = self.host.read(&link::forwarding_switch(interface)).await;
        let bytes = bytes.map_err(fault(what))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    async fn set_forwarding(&self, interface: &str, value: &str) -> Result<(), ProviderError> {
        let what = format!("cannot let packets pass interface {interface}");
        // A switch in /proc is written in place; `tee` is a writer that any host has.
        let cmd = Cmd::new("tee").arg(link::forwarding_switch(interface)).stdin(value);
        self.host.run(cmd).await.map(drop).map_err(fault(what))
    }

    /// Makes the network, or what is missing of it.
    pub(crate) async fn ensure(
        &self,
        order: &NetworkOrder,
        taps: &[String],
    ) -> Result<(), ProviderError> {
        if let Some(old) = self.record(&order.name).await?.filter(|old| old != order) {
            self.destroy(&old.name).await?;
        }
        let what = || format!("cannot make network {}", order.name);
        let links = link::links(self.host).await.map_err(fault(what()))?;
        let routes = link::routes(self.host).await.map_err(fault(what()))?;
        let bridge = links.iter().find(|link| link.name == order.bridge);
        if bridge.is_some_and(|link| !self.is_ours(link)) {
            return Err(ProviderError::new(
                Blame::World,
                format!(
                    "{}: there is an interface {} already and it is not ours",
                    what(),
                    order.bridge
                ),
            )
            .hinting(format!("look at it with `ip -d link show {}`", order.bridge)));
        }
        let cidr = order.cidr.trunc();
        if let Some((interface, net)) = link::taken(cidr, &order.bridge, &links, &routes) {
            return Err(ProviderError::new(
                Blame::World,
                format!("{}: {cidr} overlaps {net} on interface {interface}", what()),
            )
            .hinting(format!("give network {} another `cidr:` in the site file", order.name)));
        }
        self.write_record(order).await?;
        self.ensure_bridge(order, bridge, &links, taps).await.map_err(fault(what()))?;
        self.ensure_forwarding(order, &routes).await?;
        self.refuse_foreign_table(order).await?;
        let text = nft::ensure(self.mark.id, order);
        let cmd = Cmd::new("nft").args(["-f", "-"]).stdin(text);
        self.host.run(cmd).await.map(drop).map_err(fault(what()))
    }

    async fn write_record(&self, order: &NetworkOrder) -> Result<(), ProviderError> {
        let what = || format!("cannot write down network {}", order.name);
        let record = Record { version: 1, site: self.mark.clone(), order: order.clone() };
        let text = serde_json::to_vec_pretty(&record).expect("a record is JSON");
        self.host.make_dir(&self.dir(), 0o700).await.map_err(fault(what()))?;
        let path = self.record_path(&order.name);
        self.host.write_atomic(&path, &text, 0o600).await.map_err(fault(what()))
    }

    async fn ensure_bridge(
        &self,
        order: &NetworkOrder,
        bridge: Option<&Link>,
        links: &[Link],
        taps: &[String],
    ) -> Result<(), HostError> {
        let name = &order.bridge;
        let address = format!("{}/{}", order.gateway(), order.cidr.prefix_len());
        let mut lines = Vec::new();
        if bridge.is_none() {
            let mac = self.bridge_mac(name);
            lines.push(format!("link add name {name} address {mac} type bridge"));
        }
        lines.push(format!("link set dev {name} alias {}", self.alias()));
        // No IPv6 addresses nobody asked for.
        lines.push(format!("link set dev {name} addrgenmode none"));
        let present = bridge.map(Link::networks).unwrap_or_default();
        for other in present.iter().filter(|net| net.to_string() != address) {
            lines.push(format!("addr del {other} dev {name}"));
        }
        lines.push(format!("addr replace {address} dev {name}"));
        lines.push(format!("link set dev {name} up"));
        for tap in links.iter().filter(|link| taps.contains(&link.name)) {
            lines.push(format!("link set dev {} master {name} up", tap.name));
        }
        link::batch(self.host, &lines).await
    }

    async fn refuse_foreign_table(&self, order: &NetworkOrder) -> Result<(), ProviderError> {
        let table = self.table(order).await?;
        if nft::is_foreign(&table, self.mark.id) {
            let name = nft::table(self.mark.id, &order.bridge);
            return Err(ProviderError::new(
                Blame::World,
                format!("the nftables table `ip {name}` holds rules that are not ours"),
            )
            .hinting(format!("look at it with `nft list table ip {name}`")));
        }
        Ok(())
    }

    /// Packets may pass the bridge and the interfaces that lead out. Interfaces are shared: the
    /// first network that needs one writes down what its switch was, the last one restores that.
    async fn ensure_forwarding(
        &self,
        order: &NetworkOrder,
        routes: &[Route],
    ) -> Result<(), ProviderError> {
        let what = || format!("cannot make the way out of network {}", order.name);
        let lock = self.lock().await.map_err(fault(what()))?;
        for interface in uplinks(routes, &order.bridge) {
            let dir = self.shared.join("forwarding").join(&interface);
            self.host.make_dir(&dir, 0o700).await.map_err(fault(what()))?;
            let was = dir.join("was");
            let known = self.host.read(&was).await.map_err(fault(what()))?;
            if known.is_none() {
                let value = self.forwarding(&interface).await?.unwrap_or_else(|| "0".to_owned());
                let written = self.host.write_atomic(&was, value.as_bytes(), 0o600).await;
                written.map_err(fault(what()))?;
            }
            let user = dir.join(self.user(&order.name));
            self.host.write_atomic(&user, b"", 0o600).await.map_err(fault(what()))?;
            self.set_forwarding(&interface, "1").await?;
        }
        drop(lock);
        self.set_forwarding(&order.bridge, "1").await
    }

    fn user(&self, name: &NetworkName) -> String {
        format!("{}.{name}", self.mark.id)
    }

    async fn lock(&self) -> Result<FileLock, HostError> {
        self.host.make_dir(self.shared, 0o755).await?;
        let holder = Holder::this_process("changing networks", Timestamp::UNIX_EPOCH);
        let path = self.shared.join("lock");
        FileLock::acquire_within(&path, &holder, Duration::from_secs(30), &|_| ()).await
    }

    async fn release_forwarding(&self, name: &NetworkName) -> Result<(), ProviderError> {
        let what = || format!("cannot restore what network {name} has switched");
        let forwarding = self.shared.join("forwarding");
        if self.host.list(self.shared).await.map_err(fault(what()))?.is_empty() {
            return Ok(());
        }
        let lock = self.lock().await.map_err(fault(what()))?;
        for interface in self.host.list(&forwarding).await.map_err(fault(what()))? {
            let dir = forwarding.join(&interface);
            let user = dir.join(self.user(name));
            self.host.remove(&user).await.map_err(fault(what()))?;
            let left = self.host.list(&dir).await.map_err(fault(what()))?;
            if left.iter().any(|name| name != "was") {
                continue;
            }
            let was = self.host.read(&dir.join("was")).await.map_err(fault(what()))?;
            let present = self.forwarding(&interface).await?.is_some();
            if let Some(was) = was.filter(|_| present) {
                self.set_forwarding(&interface, &String::from_utf8_lossy(&was)).await?;
            }
            self.host.remove(&dir).await.map_err(fault(what()))?;
        }
        if self.host.list(&forwarding).await.map_err(fault(what()))?.is_empty() {
            self.host.remove(&forwarding).await.map_err(fault(what()))?;
        }
        if self.host.list(self.shared).await.map_err(fault(what()))? == ["lock"] {
            lock.remove().map_err(fault(what()))?;
            // Somebody may have come in the meantime: only an empty directory goes.
            self.host.remove_empty_dir(self.shared).await.map_err(fault(what()))?;
        }
        Ok(())
    }

    /// Removes everything of a network; what is gone already is no error.
    pub(crate) async fn destroy(&self, name: &NetworkName) -> Result<(), ProviderError> {
        let what = || format!("cannot remove network {name}");
        let Some(order) = self.record(name).await? else {
            return self.release_forwarding(name).await;
        };
        self.refuse_foreign_table(&order).await?;
        let text = nft::destroy(self.mark.id, &order.bridge);
        let cmd = Cmd::new("nft").args(["-f", "-"]).stdin(text);
        self.host.run(cmd).await.map_err(fault(what()))?;
        let links = link::links(self.host).await.map_err(fault(what()))?;
        if links.iter().any(|link| link.name == order.bridge && self.is_ours(link)) {
            let lines = [format!("link del dev {}", order.bridge)];
            link::batch(self.host, &lines).await.map_err(fault(what()))?;
        }
        self.release_forwarding(name).await?;
        self.host.remove(&self.record_path(name)).await.map_err(fault(what()))?;
        self.host.remove_empty_dir(&self.dir()).await.map_err(fault(what()))
    }
}

/// The interfaces that lead out: those of the default routes.
fn uplinks(routes: &[Route], bridge: &str) -> BTreeSet<String> {
    routes
        .iter()
        .filter(|route| route.is_default())
        .filter_map(|route| route.dev.clone())
        .filter(|dev| dev != bridge)
        .collect()
}
