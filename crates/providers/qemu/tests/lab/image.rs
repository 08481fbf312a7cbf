//! The image that guests of the lab start from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use updraft_host::{Cmd, Host as _, LocalHost, SystemClock};
use updraft_image::{Agent, Image, Recipe, Store};
use updraft_provider::{Boot, ImageFiles};

pub(crate) fn target() -> PathBuf {
    // target/debug/deps/<this test>
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// The image of the lab, built once for all tests and runs with the same agent.
pub(crate) async fn build() -> Image {
    let store = Store::new(target().join("lab-store"), Arc::new(LocalHost), Arc::new(SystemClock));
    let binary = target().join("agent/x86_64/updraft-agent");
    let agent =
        Agent::load(&LocalHost, &binary).await.expect("the agent must be built: cargo xtask agent");
    let recipe = Recipe::bootstrap("lab".parse().unwrap(), "bookworm", &[]);
    let image = store.build(&recipe, &agent, &|line| println!("{line}")).await.unwrap();
    // Those with an earlier agent: nobody will ask for them again.
    for other in store.list().await.unwrap() {
        if other.facts.recipe == recipe && other.digest != image.digest {
            store.remove(other.digest).await.unwrap();
        }
    }
    image
}

pub(crate) fn files(image: &Image) -> ImageFiles {
    ImageFiles {
        disk: image.disk(),
        boot: Boot::Kernel {
            kernel: image.kernel(),
            initrd: image.initrd(),
            cmdline: image.cmdline().to_owned(),
        },
    }
}

/// A disk as distributions make theirs, as qcow2 in this directory. The script that makes it leaves
/// one that is there.
pub(crate) async fn stock_disk(dir: &Path) -> PathBuf {
    let raw = target().join("lab-stock/disk.raw");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../lab/stock-disk.sh");
    let make = Cmd::new("bash").arg(script).arg(&raw).within(Duration::from_secs(1800));
    LocalHost.run(make).await.unwrap();
    let disk = dir.join("stock.qcow2");
    let convert = Cmd::new("qemu-img").args(["convert", "-O", "qcow2"]).arg(&raw).arg(&disk);
    LocalHost.run(convert.within(Duration::from_secs(600))).await.unwrap();
    disk
}
