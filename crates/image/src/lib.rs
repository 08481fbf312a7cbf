//! Recipes to images; the content-addressed store.
//!
//! An image is a qcow2 disk with its kernel and initial RAM disk, named by what it is made from:
//! the recipe, the agent inside, and the files this crate adds ([`Recipe::digest`]). It is built
//! by tools that need no mounts, appears in the store as a whole or not at all, and is never
//! written again. Several processes may share a store: those who want the same image wait for the
//! one that builds it.
//! Never here: starting a machine, knowing which machines or sites exist beyond the small files
//! with which sites say that they use an image.

mod archive;
mod builder;
mod error;
mod guest;
mod initrd;
mod recipe;
mod sources;
mod store;
mod watch;

pub use builder::Progress;
pub use error::ImageError;
pub use recipe::{Agent, Recipe};
pub use store::{Facts, Image, Reference, Store};
