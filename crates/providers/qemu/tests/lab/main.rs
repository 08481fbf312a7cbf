//! Networks, guests and every provider's promises, on real bridges and real QEMU.
//!
//! Needs root, the tools of the provider, a package mirror for the image's first build, and the
//! agent: `cargo xtask agent`.

#![expect(clippy::unwrap_used, reason = "a test says so by failing")]
#![expect(clippy::print_stdout, reason = "stages and figures are told with --nocapture")]

mod common;
mod conformance;
mod firmware;
mod guest;
mod image;
mod live;
mod network;
mod others;
