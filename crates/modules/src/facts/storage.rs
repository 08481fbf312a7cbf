//! What a machine is called in networks of disks.

use super::{Facts, line, text};
use serde_json::Value;
use std::fs;

/// World wide names of its fibre channel ports, without `0x`.
pub(super) fn fibre_channel() -> Facts {
    let ports = fs::read_dir("/sys/class/fc_host").into_iter().flatten().flatten();
    let names: Vec<String> = ports
        .filter_map(|port| line(port.path().join("port_name").to_str()?))
        .map(|name| name.get(2..).unwrap_or_default().to_owned())
        .collect();
    Facts::from_iter([("fibre_channel_wwn".to_owned(), names.into())])
}

/// Its name as an initiator of iSCSI.
pub(super) fn iscsi() -> Facts {
    let file = text("/etc/iscsi/initiatorname.iscsi");
    let name = settings(&file).find_map(|line| line.strip_prefix("InitiatorName="));
    Facts::from_iter([("iscsi_iqn".to_owned(), Value::from(name.unwrap_or_default()))])
}

/// Its name as a host of NVMe over a network.
pub(super) fn nvme() -> Facts {
    let file = text("/etc/nvme/hostnqn");
    let name = settings(&file).find(|line| line.starts_with("nqn."));
    Facts::from_iter([("hostnqn".to_owned(), Value::from(name.unwrap_or_default()))])
}

/// Lines that are no comments.
fn settings(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with(['#', ';']) && !line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_passed_over() {
        let file = "## DO NOT EDIT\n\n;x\nInitiatorName=iqn.1993-08.org.debian:01:44a4\n";
        assert_eq!(
            settings(file).collect::<Vec<_>>(),
            ["InitiatorName=iqn.1993-08.org.debian:01:44a4"]
        );
    }
}
