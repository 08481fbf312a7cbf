//! No text makes the YAML reader fall over, and what it reads has places that are in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // What is missing at the end stands on a line of its own. YAML breaks lines at a carriage return too.
    let lines = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 2;
    match updraft_playbook::yaml::parse("fuzz.yml", text) {
        Ok(parsed) => {
            for document in &parsed.documents {
                assert!(document.at.line as usize <= lines, "{} lines: {}", lines, document.at);
                drop(document.to_value().to_json());
            }
        }
        Err(fault) => assert!(!fault.what.is_empty()),
    }
});
