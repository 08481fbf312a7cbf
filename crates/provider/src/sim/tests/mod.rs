//! The simulated world keeps what a real one would.
//!
//! Two sites share a world; their orders are the same each time they are asked for.

mod agent;
mod conforms;
mod faults;

use super::*;
use crate::conformance::{Ground, Whose};
use crate::{Boot, ImageFiles, Nic};
use std::net::Ipv4Addr;
use updraft_base::{ByteSize, Digest, Mac, SeededChance, SiteId, Timestamp};

const SOON: Duration = Duration::from_secs(5);

fn at() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn mark(whose: Whose) -> SiteMark {
    let (seed, name) = match whose {
        Whose::Mine => (1, "mine"),
        Whose::Others => (2, "others"),
    };
    let id = SiteId::draw(at(), &mut SeededChance::new(seed));
    SiteMark { id, name: name.parse().unwrap() }
}

fn network(whose: Whose) -> NetworkOrder {
    let (cidr, bridge) = match whose {
        Whose::Mine => ("10.77.0.0/16", "up-mine"),
        Whose::Others => ("10.78.0.0/16", "up-others"),
    };
    NetworkOrder {
        name: format!("lan-{}", mark(whose).name).parse().unwrap(),
        cidr: cidr.parse().unwrap(),
        bridge: bridge.to_owned(),
    }
}

fn order(whose: Whose, number: u32) -> MachineOrder {
    let net = network(whose);
    let mut chance = SeededChance::new(
        1000 + u64::from(number) + net.cidr.addr().octets()[1] as u64 * 1_000_000,
    );
    MachineOrder {
        id: MachineId::draw(at(), &mut chance),
        name: format!("{}-{number}", mark(whose).name).parse().unwrap(),
        group: "worker".parse().unwrap(),
        memory: ByteSize::bytes(256 << 20),
        cpus: 1,
        disk: ByteSize::bytes(2 << 30),
        image: Digest::of("image"),
        files: ImageFiles {
            disk: "/images/disk".into(),
            boot: Boot::Kernel {
                kernel: "/images/kernel".into(),
                initrd: "/images/initrd".into(),
                cmdline: "root=/dev/vda".to_owned(),
            },
        },
        outlet: false,
        start: crate::Start::Cold,
        nics: vec![Nic {
            network: net.name,
            mac: Mac::draw(&mut chance),
            address: Ipv4Addr::from(u32::from(net.cidr.network()) + 10 + number),
        }],
    }
}

struct SimGround(SimWorld);

#[async_trait]
impl Ground for SimGround {
    fn provider(&self, whose: Whose) -> Arc<dyn Provider> {
        Arc::new(self.0.provider(mark(whose)))
    }

    fn network(&self, whose: Whose) -> NetworkOrder {
        network(whose)
    }

    fn machine(&self, whose: Whose, number: u32) -> MachineOrder {
        order(whose, number)
    }

    async fn half_make(&self, order: &MachineOrder) {
        let name = order.name.as_str();
        self.0.set_faults(Faults::none().and(Op::Create, Some(name), 1, Fault::HalfMade));
        assert!(self.0.provider(mark(Whose::Mine)).create_machine(order).await.is_err());
    }

    async fn kill(&self, id: MachineId) {
        self.0.kill_machine(id).unwrap();
    }

    fn patience(&self) -> Duration {
        SOON
    }
}

/// A world with a network and this many machines that are up.
async fn world_with(count: u32) -> (SimWorld, SimProvider) {
    let world = SimWorld::new(Tempo { boot_signs: 0, ..Tempo::INSTANT });
    let provider = world.provider(mark(Whose::Mine));
    provider.ensure_network(&network(Whose::Mine)).await.unwrap();
    for number in 1..=count {
        let order = order(Whose::Mine, number);
        provider.create_machine(&order).await.unwrap();
        provider.start_machine(order.id).await.unwrap();
    }
    (world, provider)
}
