//! Nothing that an inventory script says makes its reader fall over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use updraft_playbook::template::World;

static WORLD: LazyLock<Arc<World>> =
    LazyLock::new(|| updraft_fuzz::world(&[("ANSIBLE_INVENTORY_ENABLED", "script")]));

fuzz_target!(|text: &str| {
    // It is there and can be run, which is all that is asked of it.
    updraft_fuzz::inventory(&WORLD, "/bin/true", text);
});
