//! The agent that is built into this binary.

/// The agent for this computer's architecture, as `cargo xtask agent` built it; `None` in a build
/// without one.
pub(crate) fn binary() -> Option<&'static [u8]> {
    let bytes: &'static [u8] = include_bytes!(env!("UPDRAFT_AGENT"));
    (!bytes.is_empty()).then_some(bytes)
}
