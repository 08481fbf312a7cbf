//! No bytes make the vault fall over; what is no envelope is refused, and an envelope that is read
//! is written as one that is read alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use updraft_playbook::vault::{Envelope, Password, Vault};

static VAULT: LazyLock<Vault> = LazyLock::new(|| {
    Vault::new(vec![Password::new("default", updraft_fuzz::PASSWORD.to_vec())], false)
});

fuzz_target!(|bytes: &[u8]| {
    let framed = [b"$ANSIBLE_VAULT;1.1;AES256\n", bytes].concat();
    for text in [bytes, &framed] {
        let Ok(envelope) = Envelope::parse(text) else { continue };
        let again = envelope.to_text();
        let read = Envelope::parse(again.as_bytes()).expect("we wrote it");
        assert_eq!(read.to_text(), again);
        // The rounds of the keys are what costs; texts of one salt share them.
        drop(VAULT.open(again.as_bytes()));
    }
});
