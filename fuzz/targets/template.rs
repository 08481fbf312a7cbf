//! No text makes the reader of templates and expressions fall over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use updraft_playbook::template::{Expression, Template};

fuzz_target!(|text: &str| {
    drop(Template::new(text, None).check(None));
    drop(Expression::new(text, None));
});
