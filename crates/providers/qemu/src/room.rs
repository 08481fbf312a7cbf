//! Whether there is memory for one more guest.
//!
//! Linux promises more memory than it has, and takes it back by killing. So a guest counts with all
//! it may ever touch, not with what it has touched: one that starts live has touched next to nothing.

use crate::fault;
use std::path::{Path, PathBuf};
use updraft_base::{Blame, ByteSize};
use updraft_host::Host;
use updraft_provider::{MachineOrder, ProviderError};

/// What an emulator takes besides its guest's memory: 128 MiB of translated code, and its own.
/// Measured 2026-11-22, QEMU 7.2: 101 MiB of a guest that is idle, 178 MiB of one that was
/// configured, a part of it shared.
const EMULATOR: u64 = 160 << 20;

/// Refuses an order that does not fit beside the guests that run: their memory and process.
pub(crate) async fn check(
    host: &dyn Host,
    order: &MachineOrder,
    running: &[(ByteSize, u32)],
) -> Result<(), ProviderError> {
    check_with(host, order, running, None).await
}

/// The same for a guest that runs in process `own` and would be started anew.
pub(crate) async fn check_growth(
    host: &dyn Host,
    order: &MachineOrder,
    others: &[(ByteSize, u32)],
    own: u32,
) -> Result<(), ProviderError> {
    check_with(host, order, others, Some(own)).await
}

async fn check_with(
    host: &dyn Host,
    order: &MachineOrder,
    running: &[(ByteSize, u32)],
    ends: Option<u32>,
) -> Result<(), ProviderError> {
    let what = || "cannot see how much memory there is".to_owned();
    let read = async |path: PathBuf| {
        let text = host.read(&path).await.map_err(fault(what()))?;
        Ok::<_, ProviderError>(String::from_utf8_lossy(&text.unwrap_or_default()).into_owned())
    };
    let available = kib(&read(Path::new("/proc/meminfo").to_owned()).await?, "MemAvailable:");
    // Where the kernel does not tell, there is nothing to refuse by.
    let Some(available) = available else { return Ok(()) };
    let touched = async |pid: u32| {
        let status = read(PathBuf::from(format!("/proc/{pid}/status"))).await?;
        Ok::<_, ProviderError>(kib(&status, "RssAnon:").unwrap_or(0))
    };
    let mut promised = 0;
    for (memory, pid) in running {
        promised += (memory.as_bytes() + EMULATOR).saturating_sub(touched(*pid).await?);
    }
    let given_back = match ends {
        Some(pid) => touched(pid).await?,
        None => 0,
    };
    decide(order, available + given_back, promised)
}

fn decide(order: &MachineOrder, available: u64, promised: u64) -> Result<(), ProviderError> {
    let needed = order.memory.as_bytes() + EMULATOR;
    if promised + needed <= available {
        return Ok(());
    }
    let size = |bytes: u64| ByteSize::mib(bytes >> 20);
    let message = format!(
        "cannot start machine {}: it may need {} of memory, and of the {} that are available {} are \
         promised to guests that run",
        order.name,
        size(needed),
        size(available),
        size(promised)
    );
    Err(ProviderError::new(Blame::World, message)
        .hinting("give the machines of the site less `memory:`, or stop others"))
}

/// A number of KiB in a file of /proc, in bytes.
fn kib(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::tests::order;

    #[test]
    fn memory_is_read_from_the_kernels_own_words() {
        let text = "MemTotal:  100 kB\nMemAvailable:      42 kB\n";
        assert_eq!(kib(text, "MemAvailable:"), Some(42 << 10));
        assert_eq!(kib(text, "RssAnon:"), None);
    }

    #[test]
    fn a_guest_counts_with_all_it_may_touch() {
        let order = order();
        let needed = order.memory.as_bytes() + EMULATOR;
        assert!(decide(&order, needed, 0).is_ok());
        assert!(decide(&order, needed - 1, 0).is_err());
        let error = decide(&order, 2 * needed, needed + 1).unwrap_err();
        assert!(error.to_string().contains("worker-1"), "{error}");
    }
}
