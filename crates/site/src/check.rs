//! A tree to a [`Site`]: names that refer to something, files, numbers against each other.
//!
//! [`crate::shape`] went before and told every fault of keys, types and formats, so a value that
//! cannot be decoded here is left out. A site comes out only when nothing was told.
//! Never here: what keys there are.

use crate::extend::{beside, missing_file};
use crate::fault::{Draft, Sink};
use crate::format;
use crate::keys;
use crate::model::{
    Action, Admin, Balancer, Count, Firmware, Group, Image, ImportFormat, ImportPlace, Network,
    Origin, Probe, ProviderKind, Recipe, Service, Site, Test,
};
use crate::node::{Entry, Key, Kind, Node};
use crate::refer::Names;
use crate::relate;
use crate::source::Source;
use crate::table;
use crate::text::{Span, Text};
use camino::Utf8PathBuf;
use serde_json::{Map, Value};
use std::str::FromStr;
use std::time::Duration;
use updraft_base::{ByteSize, NetworkName, SiteName, UserName};

/// The least memory of a machine. Linux boots in less, but a distribution's initrd does not unpack.
pub const LEAST_MEMORY: ByteSize = ByteSize::mib(64);
/// The most memory of a machine: more than any has.
pub const MOST_MEMORY: ByteSize = ByteSize::gib(16 << 10);
/// The smallest Debian with a kernel does not fit on less.
const LEAST_DISK: ByteSize = ByteSize::mib(256);
/// The largest disk of a machine. ext4 with blocks of 4 KiB and 32-bit block numbers ends here.
pub const MOST_DISK: ByteSize = ByteSize::gib(16 << 10);

/// Decodes the tree and checks what one part of it says about another.
pub(crate) fn check(
    root: &Node,
    source: &dyn Source,
    texts: &[Text],
    sink: &mut Sink,
) -> Option<Site> {
    let mut decoder = Decoder {
        source,
        texts,
        people: Vec::new(),
        admins: Names::of(root, "admins", "admin"),
        networks: Names::of(root, "networks", "network"),
        images: Names::of(root, "images", "image"),
        groups: Names::of(root, "groups", "group"),
        sink,
    };
    let name: Option<SiteName> = root.get("site").and_then(|node| decoder.parsed(node));
    let domain = match root.get("domain") {
        Some(node) => node.text().map(ToOwned::to_owned),
        None => name.as_ref().map(|name| format!("{name}.test")),
    };
    let admins = decoder.each(root, "admins", Decoder::admin);
    decoder.people = admins.clone().unwrap_or_default();
    let networks = decoder.each(root, "networks", Decoder::network);
    let images = decoder.each(root, "images", Decoder::image);
    let groups = decoder.each(root, "groups", Decoder::group);
    let services = decoder.each(root, "services", Decoder::service);
    relate::check(root, decoder.sink);
    let site = Site {
        name: name?,
        domain: domain?,
        admins: admins?,
        networks: networks?,
        images: images?,
        groups: groups?,
        services: services?,
        file: texts.first()?.path.clone(),
        files: texts.iter().map(|text| text.path.clone()).collect(),
    };
    decoder.sink.is_empty().then_some(site)
}

struct Decoder<'a> {
    source: &'a dyn Source,
    texts: &'a [Text],
    /// Admins that could be read: images name some of them.
    people: Vec<Admin>,
    admins: Names<'a>,
    networks: Names<'a>,
    images: Names<'a>,
    groups: Names<'a>,
    sink: &'a mut Sink,
}

impl<'a> Decoder<'a> {
    /// Everything under one key of the top. `None` when one of it could not be decoded.
    fn each<T>(
        &mut self,
        root: &'a Node,
        key: &str,
        decode: fn(&mut Self, &'a Key, &'a Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let entries: &'a [Entry] = root.get(key).map_or(&[], Node::entries);
        // All are decoded before the first that failed says so.
        let decoded: Vec<Option<T>> =
            entries.iter().map(|entry| decode(self, &entry.key, &entry.value)).collect();
        decoded.into_iter().collect()
    }

    /// A text through its parser. Told here only when nothing was told about it before.
    fn parsed<T: FromStr>(&mut self, node: &Node) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        match node.text()?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                if !self.sink.knows(node.at) {
                    self.sink.add(Draft::new("bad-value", node.at, error.to_string()));
                }
                None
            }
        }
    }

    fn key<T: FromStr>(&mut self, key: &Key) -> Option<T> {
        key.text.parse().ok()
    }

    /// The file that a text names, which must be there.
    fn file(&mut self, node: &Node) -> Option<Utf8PathBuf> {
        let text = node.text().filter(|text| format::Format::Path.check(text).is_ok())?;
        let path = beside(&self.texts[node.at.file].path, text, self.source);
        if !self.source.exists(&path) {
            self.sink.add(missing_file(&path, node.at));
        }
        Some(path)
    }

    fn size(&mut self, node: &Node, least: ByteSize, most: ByteSize) -> Option<ByteSize> {
        let size = format::size(node.text()?).ok()?;
        let message = match size {
            size if size < least => format!("`{size}` is too little: at least {least}"),
            size if size > most => format!("`{size}` is too much: at most {most}"),
            size => return Some(size),
        };
        self.sink.add(Draft::new("out-of-range", node.at, message));
        None
    }

    fn admin(&mut self, key: &'a Key, node: &'a Node) -> Option<Admin> {
        let mut lines = Vec::new();
        for item in node.get("keys")?.list() {
            let Some(text) = item.text().filter(|t| format::Format::Key.check(t).is_ok()) else {
                continue;
            };
            let found = match keys::is_literal(text) {
                true => keys::literal(text, item.at).map(|line| vec![line]),
                false => {
                    let path = beside(&self.texts[item.at.file].path, text, self.source);
                    keys::from_file(&path, self.source, item.at)
                }
            };
            match found {
                Ok(found) => lines.extend(found),
                Err(draft) => self.sink.add(*draft),
            }
        }
        let mut once = std::collections::HashSet::new();
        lines.retain(|line: &String| once.insert(line.clone()));
        Some(Admin { name: self.key(key)?, keys: lines })
    }

    fn network(&mut self, key: &'a Key, node: &'a Node) -> Option<Network> {
        let cidr = node.get("cidr").and_then(Node::text).and_then(|text| format::cidr(text).ok());
        Some(Network { name: self.key(key)?, cidr: cidr? })
    }

    fn image(&mut self, key: &'a Key, node: &'a Node) -> Option<Image> {
        let texts = |node: &Node| {
            node.list().iter().filter_map(Node::text).map(ToOwned::to_owned).collect()
        };
        let origin = self.origin(node);
        let play = node.get("play").map(|play| self.file(play));
        let mut admins = Vec::new();
        for item in node.get("admins").map_or(&[][..], Node::list) {
            let name: Option<UserName> = self.admins.refer(item, self.sink);
            admins.extend(name.and_then(|name| self.people.iter().find(|a| a.name == name)));
        }
        let recipe = Recipe {
            origin: origin?,
            packages: node.get("packages").map(texts).unwrap_or_default(),
            play: all(play)?,
            vars: vars(node),
            admins: admins.into_iter().cloned().collect(),
        };
        let test = node.get("test").map(texts).unwrap_or_default();
        let live = node.get("live").and_then(Node::flag).unwrap_or_default();
        Some(Image { name: self.key(key)?, recipe, test, live })
    }

    fn origin(&mut self, node: &'a Node) -> Option<Origin> {
        let disk = match node.get("disk") {
            Some(disk) => self.size(disk, LEAST_DISK, MOST_DISK),
            None => table::DEFAULT_DISK.parse().ok(),
        };
        if let Some(from) = node.get("from") {
            return self.images.refer(from, self.sink).map(Origin::From);
        }
        if let Some(suite) = node.get("bootstrap") {
            return Some(Origin::Bootstrap {
                suite: suite.text()?.to_owned(),
                mirror: node.get("mirror").and_then(Node::text).map(ToOwned::to_owned),
                disk: disk?,
            });
        }
        let (file, url, boxed) = (node.get("file"), node.get("url"), node.get("box"));
        let named = file.or(url).or(boxed)?;
        let text = named.text()?;
        let place = match url.is_some() || (boxed.is_some() && format::is_url(text)) {
            true => Some(ImportPlace::Url(text.to_owned())),
            false => self.file(named).map(ImportPlace::File),
        };
        let format = match (boxed, node.get("format").and_then(Node::text)) {
            (Some(_), _) => ImportFormat::Box,
            (None, Some("qcow2")) => ImportFormat::Qcow2,
            (None, Some("raw")) => ImportFormat::Raw,
            (None, _) => ImportFormat::Detect,
        };
        let firmware = match node.get("firmware").and_then(Node::text) {
            Some("uefi") => Firmware::Uefi,
            _ => Firmware::Bios,
        };
        let digest = format::sha256(node.get("digest")?.text()?).ok();
        Some(Origin::Import { place: place?, format, digest: digest?, firmware, disk: disk? })
    }

    fn group(&mut self, key: &'a Key, node: &'a Node) -> Option<Group> {
        let image = node.get("image").and_then(|node| self.images.refer(node, self.sink));
        let network = self.network_of(key, node);
        let provider = match node.get("provider").and_then(Node::text) {
            Some("sim") => ProviderKind::Sim,
            _ => ProviderKind::Qemu,
        };
        let count = match node.get("count") {
            Some(count) => self.count(count),
            None => Some(Count { min: 1, max: 1 }),
        };
        let memory = match node.get("memory") {
            Some(memory) => self.size(memory, LEAST_MEMORY, MOST_MEMORY),
            None => table::DEFAULT_MEMORY.parse().ok(),
        };
        let cpus = match node.get("cpus") {
            Some(cpus) => cpus.int().and_then(|cpus| u32::try_from(cpus).ok()),
            None => table::DEFAULT_CPUS.parse().ok(),
        };
        let disk = node.get("disk").map(|disk| self.size(disk, LEAST_DISK, MOST_DISK));
        let play = node.get("play").map(|play| self.file(play));
        Some(Group {
            name: self.key(key)?,
            image: image?,
            provider,
            network: network?,
            count: count?,
            memory: memory?,
            cpus: cpus?,
            disk: all(disk)?,
            cold: node.get("start").and_then(Node::text) == Some("cold"),
            play: all(play)?,
            vars: vars(node),
        })
    }

    fn network_of(&mut self, key: &Key, node: &Node) -> Option<NetworkName> {
        if let Some(network) = node.get("network") {
            return self.networks.refer(network, self.sink);
        }
        match self.networks.only() {
            Some(only) => only.parse().ok(),
            None if self.networks.is_empty() => {
                let message = format!("group `{}` has no network to attach to", key.text);
                let help = "add `networks: { lan: { cidr: 10.77.0.0/24 } }`".to_owned();
                if self.networks.is_sound() {
                    self.sink.add(Draft::new("no-network", key.at, message).help(help));
                }
                None
            }
            None => {
                let message = format!("group `{}` does not say which network it is on", key.text);
                let help = format!("add `network:` with one of {}", self.networks.some());
                self.sink.add(Draft::new("no-network", key.at, message).help(help));
                None
            }
        }
    }

    fn count(&mut self, node: &Node) -> Option<Count> {
        let number = |node: &Node| node.int().and_then(|number| u32::try_from(number).ok());
        if !matches!(node.kind, Kind::Map(_)) {
            let number = number(node)?;
            return Some(Count { min: number, max: number });
        }
        let max = node.get("max")?;
        let Some(min) = node.get("min") else {
            return Some(Count { min: 1, max: number(max)? });
        };
        let count = Count { min: number(min)?, max: number(max)? };
        if count.min > count.max {
            let message = format!("`min` is {}, which is more than `max`", count.min);
            let draft = Draft::new("out-of-range", min.at, message);
            self.sink.add(draft.also(max.at, "this is less"));
        }
        Some(count)
    }

    fn service(&mut self, key: &'a Key, node: &'a Node) -> Option<Service> {
        let on = node.get("on").and_then(|node| self.groups.refer(node, self.sink));
        let deploy = node.get("deploy").and_then(|node| self.file(node));
        let start = node.get("start").map(action);
        let stop = node.get("stop").map(action);
        let test = node.get("test").map(|node| self.test(node));
        let balancer = node.get("balancer").map(|node| self.balancer(node));
        Some(Service {
            name: self.key(key)?,
            on: on?,
            version: node.get("version")?.text()?.to_owned(),
            vars: vars(node),
            deploy: deploy?,
            start: all(start)?,
            stop: all(stop)?,
            test: all(test)?,
            balancer: all(balancer)?,
        })
    }

    fn test(&mut self, node: &Node) -> Option<Test> {
        let within = duration(node, "within", table::DEFAULT_WITHIN);
        let every = duration(node, "every", table::DEFAULT_EVERY);
        if let (Some(within), Some(every)) = (within, every) {
            let at = node.get("every").or_else(|| node.get("within")).map(|node| node.at);
            if let (true, Some(at)) = (every > within, at) {
                let message = "tries are further apart than the time there is for them";
                let help = format!(
                    "`every` is {}, `within` is {}",
                    updraft_base::span::render(every),
                    updraft_base::span::render(within)
                );
                self.sink.add(Draft::new("out-of-range", at, message).help(help));
            }
        }
        Some(Test { probe: probe(node)?, within: within?, every: every? })
    }

    fn balancer(&mut self, node: &Node) -> Option<Balancer> {
        let on = node.get("on").and_then(|node| self.groups.refer(node, self.sink));
        Some(Balancer {
            on: on?,
            listen: port(node.get("listen")?)?,
            port: port(node.get("port")?)?,
            drain: duration(node, "drain", table::DEFAULT_DRAIN)?,
        })
    }
}

/// An optional value that failed fails the whole; one that is not there does not.
fn all<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

fn vars(node: &Node) -> Map<String, Value> {
    node.get("vars").map(Node::to_json_map).unwrap_or_default()
}

fn duration(node: &Node, key: &str, default: &str) -> Option<Duration> {
    let text = node.get(key).map_or(Some(default), Node::text)?;
    format::duration(text).ok()
}

fn port(node: &Node) -> Option<u16> {
    node.int().and_then(|port| u16::try_from(port).ok())
}

fn action(node: &Node) -> Option<Action> {
    match (node.get("unit"), node.get("command")) {
        (Some(unit), _) => Some(Action::Unit(unit.text()?.to_owned())),
        (None, command) => Some(Action::Command(command?.text()?.to_owned())),
    }
}

fn probe(node: &Node) -> Option<Probe> {
    if let Some(http) = node.get("http") {
        let (port, path) = format::http_target(http.text()?).ok()?;
        let expect = node.get("expect").map(|expect| expect.text().map(ToOwned::to_owned));
        let status = match node.get("status") {
            Some(status) => u16::try_from(status.int()?).ok(),
            None => table::DEFAULT_STATUS.parse().ok(),
        };
        return Some(Probe::Http { port, path, expect: all(expect)?, status: status? });
    }
    match node.get("tcp") {
        Some(tcp) => port(tcp).map(Probe::Tcp),
        None => Some(Probe::Command(node.get("command")?.text()?.to_owned())),
    }
}

/// The place of a value, or of the thing it is missing from.
pub(crate) fn place(entry: &Entry, key: &str) -> Span {
    entry.value.get(key).map_or(entry.key.at, |node| node.at)
}
