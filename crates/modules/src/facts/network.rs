//! Interfaces and addresses, asked of the kernel over netlink; no `ip` program is needed.

use super::{Facts, line, text};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use serde_json::{Map, Value, json};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    index: u32,
    address: IpAddr,
    prefix: u8,
    broadcast: Option<Ipv4Addr>,
    scope: u8,
    label: String,
}

/// What leads to this machine itself: its addresses, and whole networks that are its own.
fn own_addresses() -> Value {
    json!({
        "ipv4": own_v4(&text("/proc/net/fib_trie")),
        "ipv6": own_v6(&text("/proc/net/ipv6_route")),
    })
}

/// Leaves `|-- ADDRESS` of the local table, each with lines `/PREFIX SCOPE TYPE` below it.
fn own_v4(trie: &str) -> Vec<String> {
    let table = trie.split_once("Local:").map_or(trie, |(_, local)| local);
    let mut own = Vec::new();
    let mut address = "";
    for line in table.lines().map(str::trim) {
        if let Some(leaf) = line.strip_prefix("|-- ") {
            address = leaf;
        } else if let Some((prefix, "host LOCAL")) = line.split_once(' ') {
            let shown = if prefix == "/32" { "" } else { prefix };
            let route = format!("{address}{shown}");
            if !own.contains(&route) {
                own.push(route);
            }
        }
    }
    own
}

/// Of a route that leads to this machine itself (linux/ipv6_route.h).
const RTF_LOCAL: u32 = 0x8000_0000;

/// Lines of destination, its length, source, its length, gateway, metric, two counts, flags, device.
fn own_v6(routes: &str) -> Vec<String> {
    let mut own = Vec::new();
    for line in routes.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [to, length, .., flags, _] = words[..] else { continue };
        let flags = u32::from_str_radix(flags, 16).unwrap_or(0);
        let (Ok(to), Ok(length)) = (u128::from_str_radix(to, 16), u8::from_str_radix(length, 16))
        else {
            continue;
        };
        let shown = if length == 128 { String::new() } else { format!("/{length}") };
        let route = format!("{}{shown}", Ipv6Addr::from(to));
        if flags & RTF_LOCAL != 0 && !own.contains(&route) {
            own.push(route);
        }
    }
    own
}

pub(super) fn gather() -> Facts {
    let mut names: Vec<String> = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let addresses = dump_addresses().unwrap_or_default();
    let mut facts = Facts::new();
    let mut interfaces = Map::new();
    for name in &names {
        interfaces.insert(name.clone(), interface(name, &addresses));
    }
    let listed = |keep: fn(&IpAddr) -> bool| -> Vec<String> {
        addresses.iter().map(|a| a.address).filter(keep).map(|a| a.to_string()).collect()
    };
    let v4 = listed(|address| matches!(address, IpAddr::V4(v4) if !v4.is_loopback()));
    let v6 = listed(|address| matches!(address, IpAddr::V6(v6) if !v6.is_loopback()));
    facts.insert("all_ipv4_addresses".into(), v4.into());
    facts.insert("all_ipv6_addresses".into(), v6.into());
    let route4 = default_route(&text("/proc/net/route"));
    facts.insert("default_ipv4".into(), default_v4(route4, &interfaces, &addresses));
    let route6 = default_route6(&text("/proc/net/ipv6_route"));
    facts.insert("default_ipv6".into(), default_v6(route6, &interfaces));
    facts.insert("locally_reachable_ips".into(), own_addresses());
    facts.insert("interfaces".into(), names.into());
    for (name, value) in interfaces {
        facts.insert(name.replace('-', "_"), value);
    }
    facts
}

fn interface(name: &str, addresses: &[Address]) -> Value {
    let read = |file: &str| line(&format!("/sys/class/net/{name}/{file}"));
    let exists = |dir: &str| fs::metadata(format!("/sys/class/net/{name}/{dir}")).is_ok();
    let mut facts = Map::new();
    let mut put = |key: &str, value: Value| facts.insert(key.to_owned(), value);
    put("device", name.into());
    let hardware = read("address").filter(|mac| mac != "00:00:00:00:00:00");
    if let Some(mac) = hardware {
        put("macaddress", mac.into());
    }
    if let Some(mtu) = read("mtu").and_then(|mtu| mtu.parse::<u64>().ok()) {
        put("mtu", mtu.into());
    }
    if let Some(state) = read("operstate") {
        put("active", (state != "down").into());
    }
    // linux/if_arp.h ARPHRD_*.
    let kind = match read("type").as_deref() {
        _ if exists("bridge") => "bridge",
        _ if exists("bonding") => "bonding",
        Some("1") => "ether",
        Some("32") => "infiniband",
        Some("512") => "ppp",
        Some("772") => "loopback",
        Some("65534") => "tunnel",
        _ => "unknown",
    };
    put("type", kind.into());
    if exists("bridge") {
        put("id", read("bridge/bridge_id").unwrap_or_default().into());
        put("stp", (read("bridge/stp_state").as_deref() == Some("1")).into());
        let members: Vec<String> = fs::read_dir(format!("/sys/class/net/{name}/brif"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        put("interfaces", members.into());
    }
    if let Ok(driver) = fs::read_link(format!("/sys/class/net/{name}/device/driver/module"))
        && let Some(module) = driver.file_name()
    {
        put("module", module.to_string_lossy().into_owned().into());
    }
    if let Ok(device) = fs::read_link(format!("/sys/class/net/{name}/device"))
        && let Some(id) = device.file_name()
    {
        put("pciid", id.to_string_lossy().into_owned().into());
    }
    if let Some(speed) = read("speed").and_then(|speed| speed.parse::<i64>().ok()) {
        put("speed", speed.into());
    }
    // linux/if.h IFF_PROMISC.
    let flags = read("flags")
        .and_then(|flags| u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok());
    put("promisc", flags.is_some_and(|flags| flags & 0x100 != 0).into());
    let index = read("ifindex").and_then(|index| index.parse::<u32>().ok());
    let mut second = Vec::new();
    let mut v6 = Vec::new();
    for address in addresses.iter().filter(|address| Some(address.index) == index) {
        match address.address {
            IpAddr::V4(v4) => {
                let told = told_v4(v4, address);
                // A label of its own is an alias, which Ansible lists as an interface.
                if facts.contains_key("ipv4") {
                    second.push(told);
                } else {
                    facts.insert("ipv4".into(), told);
                }
            }
            IpAddr::V6(v6_address) => v6.push(json!({
                "address": v6_address.to_string(),
                "prefix": address.prefix.to_string(),
                "scope": scope(address.scope),
            })),
        }
    }
    if !second.is_empty() {
        facts.insert("ipv4_secondaries".into(), second.into());
    }
    if !v6.is_empty() {
        facts.insert("ipv6".into(), v6.into());
    }
    Value::Object(facts)
}

fn told_v4(v4: Ipv4Addr, address: &Address) -> Value {
    let mask = mask(address.prefix);
    json!({
        "address": v4.to_string(),
        "broadcast": address.broadcast.map_or_else(String::new, |broadcast| broadcast.to_string()),
        "netmask": mask.to_string(),
        "network": Ipv4Addr::from_bits(v4.to_bits() & mask.to_bits()).to_string(),
        "prefix": address.prefix.to_string(),
    })
}

fn mask(prefix: u8) -> Ipv4Addr {
    let bits = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    Ipv4Addr::from_bits(bits)
}

/// linux/rtnetlink.h `rt_scope_t`.
fn scope(scope: u8) -> &'static str {
    match scope {
        0 => "global",
        200 => "site",
        253 => "link",
        254 => "host",
        _ => "nowhere",
    }
}

fn default_v4(
    route: Option<(String, Ipv4Addr)>,
    interfaces: &Map<String, Value>,
    addresses: &[Address],
) -> Value {
    let Some((name, gateway)) = route else { return json!({}) };
    let Some(Value::Object(interface)) = interfaces.get(&name) else { return json!({}) };
    let mut facts = Map::new();
    facts.insert("gateway".into(), gateway.to_string().into());
    facts.insert("interface".into(), name.clone().into());
    if let Some(Value::Object(v4)) = interface.get("ipv4") {
        facts.extend(v4.clone());
    }
    for key in ["macaddress", "mtu", "type"] {
        if let Some(value) = interface.get(key) {
            facts.insert(key.to_owned(), value.clone());
        }
    }
    let label = addresses
        .iter()
        .find(|address| {
            Some(address.address.to_string().as_str())
                == facts.get("address").and_then(Value::as_str)
        })
        .map(|address| address.label.clone())
        .filter(|label| !label.is_empty());
    facts.insert("alias".into(), label.unwrap_or(name).into());
    Value::Object(facts)
}

fn default_v6(route: Option<(String, Ipv6Addr)>, interfaces: &Map<String, Value>) -> Value {
    let Some((name, gateway)) = route else { return json!({}) };
    let Some(Value::Object(interface)) = interfaces.get(&name) else { return json!({}) };
    let mut facts = Map::new();
    facts.insert("gateway".into(), gateway.to_string().into());
    facts.insert("interface".into(), name.into());
    let global = interface
        .get("ipv6")
        .and_then(Value::as_array)
        .and_then(|list| list.iter().find(|entry| entry["scope"] == "global"))
        .and_then(Value::as_object);
    facts.extend(global.cloned().unwrap_or_default());
    for key in ["macaddress", "mtu", "type"] {
        if let Some(value) = interface.get(key) {
            facts.insert(key.to_owned(), value.clone());
        }
    }
    Value::Object(facts)
}

/// Interface and gateway of the best default route in `/proc/net/route`.
fn default_route(table: &str) -> Option<(String, Ipv4Addr)> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, target, gateway, flags, _, _, metric, mask, ..] = words.as_slice() else {
                return None;
            };
            let hex = |word: &str| u32::from_str_radix(word, 16).ok();
            // linux/route.h RTF_UP and RTF_GATEWAY.
            let usable = hex(flags)? & 3 == 3;
            if hex(target)? != 0 || hex(mask)? != 0 || !usable {
                return None;
            }
            // The kernel prints addresses as it holds them, in network byte order.
            let gateway = Ipv4Addr::from(hex(gateway)?.to_ne_bytes());
            Some((metric.parse::<u32>().ok()?, (*name).to_owned(), gateway))
        })
        .min_by_key(|(metric, ..)| *metric)
        .map(|(_, name, gateway)| (name, gateway))
}

/// Interface and gateway of the best default route in `/proc/net/ipv6_route`.
fn default_route6(table: &str) -> Option<(String, Ipv6Addr)> {
    table
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [target, prefix, _, _, gateway, metric, _, _, flags, name] = words.as_slice()
            else {
                return None;
            };
            let flags = u32::from_str_radix(flags, 16).ok()?;
            let default = target.bytes().all(|byte| byte == b'0') && *prefix == "00";
            if !default || flags & 3 != 3 {
                return None;
            }
            let gateway = Ipv6Addr::from_bits(u128::from_str_radix(gateway, 16).ok()?);
            let metric = u32::from_str_radix(metric, 16).ok()?;
            Some((metric, (*name).to_owned(), gateway))
        })
        .min_by_key(|(metric, ..)| *metric)
        .map(|(_, name, gateway)| (name, gateway))
}

/// Asks the kernel for every address of every interface (rtnetlink(7), RTM_GETADDR).
fn dump_addresses() -> rustix::io::Result<Vec<Address>> {
    const RTM_GETADDR: u16 = 22;
    const NLM_F_REQUEST_DUMP: u16 = 0x301;
    const NLMSG_ERROR: u16 = 2;
    const NLMSG_DONE: u16 = 3;
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        // Protocol 0 of this family is NETLINK_ROUTE.
        None,
    )?;
    let mut request = Vec::with_capacity(24);
    request.extend(24_u32.to_ne_bytes());
    request.extend(RTM_GETADDR.to_ne_bytes());
    request.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    request.extend([0; 16]);
    rustix::net::send(&socket, &request, SendFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (length, _) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = &buffer[..length];
        while rest.len() >= 16 {
            let size = u32_at(rest, 0) as usize;
            if size < 16 || size > rest.len() {
                return Ok(found);
            }
            match u16_at(rest, 4) {
                NLMSG_DONE | NLMSG_ERROR => return Ok(found),
                _ => found.extend(parse_address(&rest[16..size])),
            }
            rest = &rest[size.next_multiple_of(4).min(rest.len())..];
        }
        if length == 0 {
            return Ok(found);
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_ne_bytes([b[0], b[1]]))
}

/// One `ifaddrmsg` with its attributes.
fn parse_address(message: &[u8]) -> Option<Address> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    const IFA_LABEL: u16 = 3;
    const IFA_BROADCAST: u16 = 4;
    let (head, mut rest) = message.split_at_checked(8)?;
    let (prefix, scope, index) = (head[1], head[3], u32_at(head, 4));
    let (mut address, mut local, mut broadcast) = (None, None, None);
    let mut label = String::new();
    while rest.len() >= 4 {
        let size = usize::from(u16_at(rest, 0));
        if size < 4 || size > rest.len() {
            break;
        }
        let value = &rest[4..size];
        match u16_at(rest, 2) {
            IFA_ADDRESS => address = ip(value),
            IFA_LOCAL => local = ip(value),
            IFA_BROADCAST => broadcast = ip(value),
            IFA_LABEL => {
                let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
                label = String::from_utf8_lossy(&value[..end]).into_owned();
            }
            _ => {}
        }
        rest = &rest[size.next_multiple_of(4).min(rest.len())..];
    }
    let broadcast = match broadcast {
        Some(IpAddr::V4(v4)) => Some(v4),
        _ => None,
    };
    // On a point-to-point link IFA_ADDRESS is the other end.
    Some(Address { index, address: local.or(address)?, prefix, broadcast, scope, label })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_here_is_read_from_the_tables() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
                    Local:\n  +-- 127.0.0.0/8 2 0 2\n     |-- 127.0.0.0\n        /8 host LOCAL\n     \
                    |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 127.255.255.255\n        \
                    /32 link BROADCAST\n";
        assert_eq!(own_v4(trie), ["127.0.0.0/8", "127.0.0.1"]);
        let routes = "00000000000000000000000000000001 80 00000000000000000000000000000000 00 \
                      00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo\n\
                      fe800000000000000000000000000000 40 00000000000000000000000000000000 00 \
                      00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n";
        assert_eq!(own_v6(routes), ["::1"]);
    }

    #[test]
    fn the_cheapest_default_route_wins() {
        let gateway = |a: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(a));
        let table = format!(
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
             wlan0 00000000 {} 0003 0 0 600 00000000 0 0 0\n\
             eth0 00000000 {} 0003 0 0 100 00000000 0 0 0\n\
             eth0 0000A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n",
            gateway([10, 0, 0, 1]),
            gateway([192, 168, 0, 1]),
        );
        assert_eq!(default_route(&table), Some(("eth0".into(), Ipv4Addr::new(192, 168, 0, 1))));
        assert_eq!(default_route("Iface\n"), None);
    }

    #[test]
    fn the_default_route_of_ipv6_is_found() {
        let zero = "0".repeat(32);
        let gateway = "fd000000000000000000000000000001";
        let table = format!(
            "{zero} 00 {zero} 00 {gateway} 00000400 00000001 00000000 00000003 eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n"
        );
        assert_eq!(default_route6(&table), Some(("eth0".into(), "fd00::1".parse().unwrap())));
    }

    #[test]
    fn an_address_message_is_read() {
        let mut message = vec![2, 24, 0, 0];
        message.extend(7_u32.to_ne_bytes());
        let mut attribute = |kind: u16, value: &[u8]| {
            message.extend(u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend(value);
            message.resize(message.len().next_multiple_of(4), 0);
        };
        attribute(2, &[10, 1, 2, 3]);
        attribute(4, &[10, 1, 2, 255]);
        attribute(3, b"eth0\0");
        let address = parse_address(&message).unwrap();
        assert_eq!(address.index, 7);
        assert_eq!(
            told_v4(Ipv4Addr::new(10, 1, 2, 3), &address),
            json!({
                "address": "10.1.2.3", "broadcast": "10.1.2.255", "netmask": "255.255.255.0",
                "network": "10.1.2.0", "prefix": "24",
            })
        );
        assert_eq!(address.label, "eth0");
        assert_eq!(parse_address(&[1, 2]), None);
    }

    #[test]
    fn the_loopback_address_is_seen() {
        let addresses = dump_addresses().unwrap();
        assert!(addresses.iter().any(|address| address.address == IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
