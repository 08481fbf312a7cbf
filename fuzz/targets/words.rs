//! No text makes the reader of `key=value` words fall over.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(pairs) = updraft_playbook::key_values(text) {
        assert!(pairs.len() <= text.matches('=').count());
    }
});
