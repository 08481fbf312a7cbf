//! Parts of a site against each other: addresses, ports, sizes, names that meet.
//!
//! Reads the tree rather than the decoded site, so that it says what it can even where other parts
//! are at fault.
//! Never here: what can be told by looking at one value.

use crate::check::place;
use crate::fault::{Draft, Sink};
use crate::format;
use crate::node::{Entry, Node};
use crate::table;
use crate::text::Span;
use ipnet::Ipv4Net;
use std::collections::{HashMap, HashSet};
use updraft_base::ByteSize;

/// Tells every fault that lies between parts.
pub(crate) fn check(root: &Node, sink: &mut Sink) {
    let under = |key: &str| root.get(key).map_or(&[][..], Node::entries);
    let (networks, images) = (under("networks"), under("images"));
    let (groups, services) = (under("groups"), under("services"));
    overlaps(networks, sink);
    cycles(images, sink);
    disks(images, groups, sink);
    templates(images, groups, sink);
    addresses(networks, groups, sink);
    hostnames(groups, sink);
    ports(services, sink);
}

fn cidr(entry: &Entry) -> Option<(Ipv4Net, Span)> {
    let node = entry.value.get("cidr")?;
    Some((format::cidr(node.text()?).ok()?, node.at))
}

/// Networks sorted by their first address: one that overlaps another overlaps the widest before it.
fn overlaps(networks: &[Entry], sink: &mut Sink) {
    let mut nets: Vec<_> = networks
        .iter()
        .filter_map(|entry| cidr(entry).map(|(net, at)| (net, at, entry.key.text.as_str())))
        .collect();
    nets.sort_by_key(|(net, _, _)| (net.network(), net.prefix_len()));
    let Some(mut widest) = nets.first().copied() else { return };
    for next in nets.into_iter().skip(1) {
        let (net, at, name) = next;
        if net.network() <= widest.0.broadcast() {
            // The one further down is the one that was added to a file that was right.
            let (first, second) = match widest.1 <= at {
                true => (widest, (net, at, name)),
                false => ((net, at, name), widest),
            };
            let message = format!("network `{}` overlaps network `{}`", second.2, first.2);
            sink.add(
                Draft::new("overlap", second.1, message)
                    .also(first.1, format!("`{}` is here", first.2)),
            );
        }
        if net.broadcast() > widest.0.broadcast() {
            widest = next;
        }
    }
}

/// Images that are made from one another in a circle. Each circle is told once.
fn cycles(images: &[Entry], sink: &mut Sink) {
    let from: HashMap<&str, &Node> = images
        .iter()
        .filter_map(|entry| Some((entry.key.text.as_str(), entry.value.get("from")?)))
        .collect();
    let mut done: HashSet<&str> = HashSet::new();
    for entry in images {
        let mut way: Vec<&str> = Vec::new();
        let mut next = Some(entry.key.text.as_str());
        while let Some(name) = next {
            if let Some(start) = way.iter().position(|before| *before == name) {
                let circle: Vec<_> =
                    way[start..].iter().chain([&name]).map(|name| format!("`{name}`")).collect();
                let message =
                    format!("images are made from one another: {}", circle.join(" from "));
                if let Some(node) = from.get(name) {
                    let help = "one of them needs a `bootstrap` instead".to_owned();
                    sink.add(Draft::new("image-cycle", node.at, message).help(help));
                }
                break;
            }
            if done.contains(name) {
                break;
            }
            way.push(name);
            next = from.get(name).and_then(|node| node.text());
        }
        done.extend(way);
    }
}

/// A group's disk holds its image.
fn disks(images: &[Entry], groups: &[Entry], sink: &mut Sink) {
    let images: HashMap<&str, &Entry> =
        images.iter().map(|entry| (entry.key.text.as_str(), entry)).collect();
    for group in groups {
        let (Some(disk), Some(image)) = (group.value.get("disk"), group.value.get("image")) else {
            continue;
        };
        let Some(asked) = disk.text().and_then(|text| format::size(text).ok()) else { continue };
        let Some((image, needed)) = image.text().and_then(|name| image_disk(name, &images)) else {
            continue;
        };
        if asked < needed && !sink.knows(disk.at) {
            let message =
                format!("a disk of {asked} does not hold the image, which needs {needed}");
            let place = place(image, "disk");
            let said = match image.value.get("disk") {
                Some(_) => format!("{needed} here"),
                None => format!("{needed}, as nothing else is said"),
            };
            sink.add(Draft::new("out-of-range", disk.at, message).also(place, said));
        }
    }
}

/// The disk of an image, or of the one it is made from in the end.
fn image_disk<'a>(name: &str, images: &HashMap<&str, &'a Entry>) -> Option<(&'a Entry, ByteSize)> {
    let mut image = *images.get(name)?;
    // A circle is told elsewhere.
    for _ in 0..images.len() {
        match image.value.get("from").and_then(Node::text) {
            Some(from) => image = *images.get(from)?,
            None => break,
        }
    }
    let text = image.value.get("disk").map_or(Some(table::DEFAULT_DISK), Node::text)?;
    Some((image, format::size(text).ok()?))
}

/// The most machines a group may have.
fn most(group: &Entry) -> Option<u64> {
    let Some(count) = group.value.get("count") else { return table::DEFAULT_COUNT.parse().ok() };
    let most = count.get("max").unwrap_or(count);
    // A number that is impossible by itself was told, and sums of it say nothing more.
    let fits = (1..=table::MOST_MACHINES.into()).contains(&most.int()?);
    most.int().filter(|_| fits).and_then(|most| u64::try_from(most).ok())
}

/// Every machine has an address.
fn addresses(networks: &[Entry], groups: &[Entry], sink: &mut Sink) {
    let only = match networks {
        [only] => Some(only.key.text.as_str()),
        _ => None,
    };
    let mut asked: HashMap<&str, Vec<(&Entry, u64)>> = HashMap::new();
    for group in groups {
        let network = match group.value.get("network") {
            Some(node) => node.text(),
            None => only,
        };
        if let (Some(network), Some(most)) = (network, most(group)) {
            asked.entry(network).or_default().push((group, most));
        }
    }
    for network in networks {
        let name = network.key.text.as_str();
        let (Some((net, at)), Some(groups)) = (cidr(network), asked.get(name)) else { continue };
        // Network and broadcast address, and the host's own.
        let room = (1u64 << (32 - net.prefix_len())) - 3;
        let sum: u64 = groups.iter().map(|(_, most)| most).sum();
        if sum <= room {
            continue;
        }
        let message = format!(
            "network `{name}` has addresses for {room} machines, but up to {sum} are asked for"
        );
        let prefix = (16..net.prefix_len()).rev().find(|prefix| (1u64 << (32 - prefix)) - 3 >= sum);
        let help = prefix.map(|prefix| format!("a /{prefix} has room for them"));
        let mut draft = Draft::new("too-many-machines", at, message).help(help);
        let mut largest = groups.clone();
        largest.sort_by_key(|(group, most)| (std::cmp::Reverse(*most), group.key.at));
        for (group, most) in largest.into_iter().take(3) {
            draft = draft.also(place(group, "count"), format!("{most} for `{}`", group.key.text));
        }
        sink.add(draft);
    }
}

/// Machines start live only from an image that is `live`, and an image can only be that when it
/// boots without a boot loader of its own.
fn templates(images: &[Entry], groups: &[Entry], sink: &mut Sink) {
    let by_name: HashMap<&str, &Node> =
        images.iter().map(|entry| (entry.key.text.as_str(), &entry.value)).collect();
    let flag = |node: &Node| node.get("live").and_then(Node::flag).unwrap_or_default();
    for entry in images.iter().filter(|entry| flag(&entry.value)) {
        let mut below = &entry.value;
        // As many steps as there are images: a circle is told elsewhere.
        for _ in images {
            let from = below.get("from").and_then(Node::text);
            below = from.and_then(|name| by_name.get(name).copied()).unwrap_or(below);
        }
        let imported = ["file", "url", "box"].iter().find_map(|key| below.get(key));
        if let (Some(imported), Some(live)) = (imported, entry.value.get("live")) {
            let message = format!("image `{}` cannot be `live`", entry.key.text);
            sink.add(
                Draft::new("not-live", live.at, message)
                    .also(imported.at, "it boots through a boot loader of its own")
                    .help("leave out `live`: its machines boot".to_owned()),
            );
        }
    }
    for group in groups {
        let Some(start) = group.value.get("start").filter(|node| node.text() == Some("live"))
        else {
            continue;
        };
        let name = group.value.get("image").and_then(Node::text).unwrap_or_default();
        if let Some(image) = by_name.get(name).filter(|image| !flag(image)) {
            let message = format!("the machines of `{}` cannot start live", group.key.text);
            sink.add(
                Draft::new("not-live", start.at, message)
                    .also(image.at, format!("image `{name}` is not `live`"))
                    .help(format!("add `live: true` to image `{name}`")),
            );
        }
    }
}

/// No machine is called like a group: a playbook could not tell them apart.
fn hostnames(groups: &[Entry], sink: &mut Sink) {
    let most: HashMap<&str, (&Entry, u64)> = groups
        .iter()
        .filter_map(|group| Some((group.key.text.as_str(), (group, most(group)?))))
        .collect();
    for group in groups {
        let name = group.key.text.as_str();
        let Some((front, number)) = name.rsplit_once('-') else { continue };
        let written = !number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit());
        let (Some((other, most)), Ok(number), true) =
            (most.get(front), number.parse::<u64>(), written)
        else {
            continue;
        };
        if number <= *most {
            let message =
                format!("group `{name}` is called like machine {number} of group `{front}`");
            let draft = Draft::new("name-clash", group.key.at, message)
                .also(other.key.at, format!("its machines are `{front}-1` to `{front}-{most}`"))
                .help(
                    "playbooks know groups and machines by name: rename one of the groups"
                        .to_owned(),
                );
            sink.add(draft);
        }
    }
}

/// One port is listened on once.
fn ports(services: &[Entry], sink: &mut Sink) {
    let mut taken: HashMap<(&str, i128), (&str, Span)> = HashMap::new();
    for service in services {
        let name = service.key.text.as_str();
        let Some(balancer) = service.value.get("balancer") else { continue };
        let (Some(on), Some(listen)) =
            (balancer.get("on").and_then(Node::text), balancer.get("listen"))
        else {
            continue;
        };
        let Some(number) = listen.int() else { continue };
        if let Some((other, first)) = taken.get(&(on, number)) {
            let message = format!(
                "port {number} of group `{on}` is already taken by the balancer of service `{other}`"
            );
            sink.add(Draft::new("port-taken", listen.at, message).also(*first, "taken here"));
        } else {
            taken.insert((on, number), (name, listen.at));
        }
        let same = service.value.get("on").and_then(Node::text) == Some(on);
        let port = balancer.get("port").filter(|port| same && port.int() == Some(number));
        if let Some(port) = port {
            let message = format!(
                "the balancer listens where the service does: port {number} of group `{on}`"
            );
            sink.add(
                Draft::new("port-taken", listen.at, message)
                    .also(port.at, "the service's port")
                    .help("put the balancer on another group or another port".to_owned()),
            );
        }
    }
}
