//! The image that guests of the lab start from.

use std::path::PathBuf;
use std::sync::Arc;
use updraft_host::{LocalHost, SystemClock};
use updraft_image::{Agent, Image, Recipe, Store};
use updraft_provider::{Boot, ImageFiles};

fn target() -> PathBuf {
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
