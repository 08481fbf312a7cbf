//! Recipes to images; the content-addressed store.
//!
//! An image is a qcow2 disk, named by what it is made from ([`Recipe::digest`]): packages of a
//! release, with its kernel and initial RAM disk beside it; a disk that others made, which boots
//! by itself; or a layer, which is another image and what was done inside a machine that had
//! booted it. Everything but the machine is here: it is made by tools that need no mounts, appears in the store as a whole or not at all, and is never
//! written again. Several processes may share a store: those who want the same image wait for the
//! one that builds it.
//! Never here: starting a machine (a [`Draft`] is filled by whoever does), knowing which machines or sites exist beyond the small files
//! with which sites say that they use an image.

mod archive;
mod builder;
mod bundle;
mod draft;
mod error;
mod guest;
mod import;
mod initrd;
mod recipe;
pub mod seal;
mod sources;
mod store;
mod watch;

pub use builder::Progress;
pub use bundle::Taken;
pub use draft::{Begun, Draft, Leftover};
pub use error::ImageError;
pub use recipe::{Agent, Firmware, Format, Origin, Place, Recipe};
pub use store::{Facts, Image, Reference, Store};
