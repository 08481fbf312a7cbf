//! The promises of every provider, kept by this one with real guests.

use crate::common::{Lab, site_mark};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use updraft_base::{ByteSize, Mac, MachineId, SeededChance, Timestamp};
use updraft_host::{Cmd, Host as _, LocalHost};
use updraft_image::Image;
use updraft_provider::conformance::{CHECKS, Ground, Whose, run_one};
use updraft_provider::{MachineOrder, NetworkOrder, Nic, Provider};

struct LabGround {
    lab: Lab,
    image: Image,
}

fn seed(whose: Whose) -> u64 {
    match whose {
        Whose::Mine => 1,
        Whose::Others => 2,
    }
}

#[async_trait]
impl Ground for LabGround {
    fn provider(&self, whose: Whose) -> Arc<dyn Provider> {
        Arc::new(self.lab.provider(seed(whose)))
    }

    fn network(&self, whose: Whose) -> NetworkOrder {
        let seed = seed(whose);
        NetworkOrder {
            name: "lan".parse().unwrap(),
            cidr: format!("10.77.{seed}.0/24").parse().unwrap(),
            bridge: format!("ubtest{seed}"),
        }
    }

    fn machine(&self, whose: Whose, number: u32) -> MachineOrder {
        let seed = seed(whose);
        let mut chance = SeededChance::new(seed * 1000 + u64::from(number));
        MachineOrder {
            id: MachineId::draw(Timestamp::UNIX_EPOCH, &mut chance),
            name: format!("worker-{number}").parse().unwrap(),
            group: "worker".parse().unwrap(),
            memory: ByteSize::mib(256),
            cpus: 1,
            disk: ByteSize::gib(4),
            image: self.image.digest,
            files: crate::image::files(&self.image),
            nics: vec![Nic {
                network: "lan".parse().unwrap(),
                mac: Mac::draw(&mut chance),
                address: format!("10.77.{seed}.{}", number + 10).parse().unwrap(),
            }],
            outlet: false,
            start: updraft_provider::Start::Cold,
        }
    }

    async fn half_make(&self, order: &MachineOrder) {
        self.provider(Whose::Mine).create_machine(order).await.unwrap();
        // As after a crash while the disk was made.
        let dir = self.lab.dir.path().join("site1/guests").join(order.id.to_string());
        std::fs::rename(dir.join("disk.qcow2"), dir.join("disk.new")).unwrap();
    }

    async fn kill(&self, id: MachineId) {
        let run = self.lab.dir.path().join("run").join(site_mark(1).id.tail()).join(id.tail());
        let pid = std::fs::read_to_string(run.join("pid")).unwrap();
        LocalHost.run(Cmd::new("kill").args(["-KILL", pid.trim()])).await.unwrap();
        for _ in 0..200 {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            if stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("process {pid} does not end");
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(180)
    }
}

#[tokio::test]
async fn the_promises_of_every_provider_are_kept() {
    let ground = LabGround { image: crate::image::build().await, lab: Lab::new("conforms").await };
    let before = ground.lab.photograph().await;
    for check in CHECKS {
        println!("{check}");
        run_one(check, &ground).await.unwrap();
    }
    assert_eq!(ground.lab.photograph().await, before);
    assert!(!ground.lab.dir.path().join("run").exists(), "the runtime directory is left");
}
