//! The site file: syntax with spans, validation, defaults, schema.
//!
//! [`load`] turns a site file into a [`Site`], which is valid by construction, or tells every fault
//! of it at once, each with its place. What keys there are stands in one table, from which the
//! decoder, [`schema`] and [`reference()`] are drawn.
//! Never here: opening files (they come through [`Source`]), printing, what a provider can do.

mod check;
mod codes;
mod extend;
mod fault;
mod format;
mod keys;
mod model;
mod node;
mod refer;
mod reference;
mod relate;
mod render;
mod schema;
mod shape;
mod source;
mod starter;
mod suggest;
mod table;
mod text;
mod yaml;

pub use check::{LEAST_MEMORY, MOST_DISK, MOST_MEMORY};
pub use codes::CODES;
pub use fault::{Fault, Faults, FaultsJson, Related};
pub use model::{
    Action, Admin, Balancer, Count, Firmware, Group, Image, ImportFormat, ImportPlace, Network,
    Origin, Probe, ProviderKind, Recipe, Service, Site, Test,
};
pub use reference::reference;
pub use schema::schema;
pub use source::{MemorySource, Source};
pub use starter::{starter, starter_plays};

use camino::Utf8Path;
use fault::Sink;

/// Reads a site file, what it extends and the keys it names, and checks all of it.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(path: &Utf8Path, source: &dyn Source) -> Result<Site, Faults> {
    let mut sink = Sink::default();
    let mut texts = Vec::new();
    let site = extend::read(path, source, &mut texts, &mut sink).and_then(|root| {
        shape::check(&root, &table::SITE, &mut sink);
        check::check(&root, source, &texts, &mut sink)
    });
    site.ok_or_else(|| {
        if sink.is_empty() {
            let message = "Updraft cannot read this file, and cannot say why: please report it";
            let start = text::Span { file: 0, start: 0, end: 0 };
            sink.add(fault::Draft::new("bug", start, message));
        }
        sink.finish(texts)
    })
}
