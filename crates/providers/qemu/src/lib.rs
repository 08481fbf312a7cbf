//! Guests on this machine under plain QEMU.
//!
//! A guest is a directory in the site's state and one QEMU process that outlives us. What is true
//! stands in the world, not in our memory: the directory's `order.json` says whose the guest is
//! and what it was made from, `power` whether it ought to run, the process whether it does. So
//! every call looks first, may be repeated, and completes what an interrupted one began.
//! Never here: building images, choosing names or addresses, talking to what runs inside.

mod accel;
mod backing;
mod clones;
mod command;
mod firewall;
mod guard;
mod guest;
mod link;
mod live;
mod memory;
mod network;
mod nft;
mod place;
mod process;
mod provider;
mod qmp;
mod resize;
mod room;
mod seed;
mod snapshot;
mod template;

pub use accel::{Accel, Acceleration};
pub use firewall::{Barrier, barriers};
pub use guard::guard;
pub use provider::{QemuProvider, Settings};

use updraft_base::Blamed as _;
use updraft_host::HostError;
use updraft_provider::ProviderError;

/// Tells what could not be done, with the host's own word on why and what to do.
fn fault(message: String) -> impl FnOnce(HostError) -> ProviderError {
    move |error| {
        let told = ProviderError::new(error.blame(), message);
        let hint = match &error {
            HostError::Failed { stderr, .. } if stderr.contains("Operation not permitted") => {
                Some("run as root: networks and taps need CAP_NET_ADMIN".to_owned())
            }
            _ => error.hint(),
        };
        let told = match hint {
            Some(hint) => told.hinting(hint),
            None => told,
        };
        told.because(error)
    }
}
