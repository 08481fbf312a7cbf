//! Hands out addresses of a network, and Ethernet addresses: planned, not leased.

use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;
use updraft_base::{Chance, Mac, NetworkName};

use crate::{Desired, Memory, Observed};

/// A network has no address left.
#[derive(Debug, thiserror::Error)]
#[error("network `{network}` ({cidr}) has no free address left")]
pub struct AddressesExhausted {
    /// Its name.
    pub network: NetworkName,
    /// Its range.
    pub cidr: ipnet::Ipv4Net,
}

/// Addresses in use, and where to look for the next free one.
#[derive(Default)]
pub(crate) struct Addresses {
    taken: HashSet<Ipv4Addr>,
    macs: HashSet<Mac>,
    cursors: BTreeMap<NetworkName, u32>,
}

// The first addresses of a network are left to the gateway and to what people configure by hand.
const FIRST_OFFSET: u32 = 10;

impl Addresses {
    pub(crate) fn new(memory: &Memory, observed: &Observed) -> Self {
        let drawn = memory.machines.values().map(|drawn| drawn.address);
        let made =
            observed.machines.iter().filter_map(|m| m.made.as_ref().map(|made| made.address));
        let drawn_macs = memory.machines.values().map(|drawn| drawn.mac);
        let made_macs =
            observed.machines.iter().filter_map(|m| m.made.as_ref().map(|made| made.mac));
        Self {
            taken: drawn.chain(made).collect(),
            macs: drawn_macs.chain(made_macs).collect(),
            cursors: BTreeMap::new(),
        }
    }

    /// An Ethernet address that no machine of the site has. Of ten thousand that are drawn from
    /// 2^24 about three would be the same.
    pub(crate) fn draw_mac(&mut self, chance: &mut dyn Chance) -> Mac {
        loop {
            let mac = Mac::draw(chance);
            if self.macs.insert(mac) {
                return mac;
            }
        }
    }

    /// The lowest free address.
    pub(crate) fn draw(
        &mut self,
        desired: &Desired,
        network: &NetworkName,
    ) -> Result<Ipv4Addr, AddressesExhausted> {
        let cidr = desired
            .networks
            .iter()
            .find(|wanted| wanted.name == *network)
            .map(|wanted| wanted.cidr)
            .expect("a checked site names only networks it has");
        let first = u32::from(cidr.network());
        let last = u32::from(cidr.broadcast());
        // A small network cannot spare ten addresses: there the gateway alone comes first.
        let offset = if last - first > 64 { FIRST_OFFSET } else { 2 };
        let mut next = self.cursors.get(network).copied().unwrap_or(first + offset);
        while next < last {
            let address = Ipv4Addr::from(next);
            next += 1;
            if self.taken.insert(address) {
                self.cursors.insert(network.clone(), next);
                return Ok(address);
            }
        }
        Err(AddressesExhausted { network: network.clone(), cidr })
    }
}
