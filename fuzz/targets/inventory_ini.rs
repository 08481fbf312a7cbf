//! No text makes the reader of INI inventories fall over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use updraft_playbook::template::World;

static WORLD: LazyLock<Arc<World>> =
    LazyLock::new(|| updraft_fuzz::world(&[("ANSIBLE_INVENTORY_ENABLED", "ini")]));

/// In memory: it is written anew for each text.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| PathBuf::from(format!("/dev/shm/updraft-fuzz-{}", std::process::id())));

fuzz_target!(|text: &str| {
    std::fs::write(&*FILE, text).expect("memory can be written to");
    updraft_fuzz::inventory(&WORLD, &FILE.display().to_string(), "");
});
