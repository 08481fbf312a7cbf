//! `setup`: facts of this machine.

use crate::args::Args;
use crate::context::Context;
use crate::facts;
use crate::outcome::{Done, Outcome, fail};
use serde_json::{Map, Value};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let subset = args.list("gather_subset");
    if let Some(why) = facts::refused(&subset) {
        return Err(fail!("{why}"));
    }
    let filters = args.list("filter");
    let found: Map<String, Value> = facts::gather(&subset, args.text("fact_path"), ctx)
        .into_iter()
        .map(|(key, value)| match facts::UNPREFIXED.contains(&key.as_str()) {
            true => (key, value),
            false => (format!("ansible_{key}"), value),
        })
        .filter(|(key, _)| {
            filters.is_empty()
                || filters.iter().any(|filter| {
                    // An empty one is for all.
                    filter.is_empty()
                        || crate::pattern::glob(filter, key)
                        || crate::pattern::glob(&format!("ansible_{filter}"), key)
                })
        })
        .collect();
    Ok(Outcome::changed(false).with("ansible_facts", found))
}
