//! The facts of a simulated Debian machine.

use super::machine::SimMachine;
use serde_json::{Map, Value, json};

/// What Debian 12 on such a machine would say, keyed without the `ansible_` prefix.
pub(super) fn facts(machine: &SimMachine) -> Map<String, Value> {
    let hostname = machine.hostname();
    let order = machine.order.as_ref();
    let nics = order.map(|order| order.nics.as_slice()).unwrap_or_default();
    let addresses: Vec<String> = nics.iter().map(|nic| nic.address.to_string()).collect();
    let default = nics.first().map_or_else(
        || json!({}),
        |nic| {
            json!({
                "address": nic.address.to_string(),
                "interface": "eth0",
                "macaddress": nic.mac.to_string(),
            })
        },
    );
    let facts = json!({
        "all_ipv4_addresses": addresses,
        "architecture": "x86_64",
        "default_ipv4": default,
        "distribution": "Debian",
        "distribution_file_variety": "Debian",
        "distribution_major_version": "12",
        "distribution_release": "bookworm",
        "distribution_version": "12.12",
        "fqdn": hostname,
        "hostname": hostname,
        "kernel": "6.1.0-40-amd64",
        "machine": "x86_64",
        "memtotal_mb": order.map_or(0, |order| order.memory.as_mib()),
        "nodename": hostname,
        "os_family": "Debian",
        "pkg_mgr": "apt",
        "processor_nproc": order.map_or(1, |order| order.cpus),
        "processor_vcpus": order.map_or(1, |order| order.cpus),
        "python": { "version": { "major": 3, "minor": 11, "micro": 2 } },
        "python_version": "3.11.2",
        "service_mgr": "systemd",
        "system": "Linux",
        "user_id": "root",
        "user_uid": 0,
        "virtualization_role": "guest",
        "virtualization_type": "kvm",
    });
    match facts {
        Value::Object(facts) => facts,
        _ => unreachable!("the literal above is an object"),
    }
}
