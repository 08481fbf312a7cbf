//! Ports of a container: which it shows, and where they are to be found on the host.

use super::super::{Docker, beyond};
use crate::args::{Args, text_of};
use crate::outcome::{Fault, fail};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// An address of the host that a port is to be found at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bind {
    /// Nothing stands for the address that is asked for in general.
    ip: Option<String>,
    /// Nothing leaves the choice to the daemon.
    port: Option<String>,
}

/// What a task asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    /// Ports with their protocols, or without for TCP, as they were given.
    published: Option<Vec<(String, Vec<Bind>)>>,
    exposed: BTreeSet<(i64, String)>,
    all: Option<bool>,
}

impl Ports {
    pub(super) fn asked(args: &Args) -> Result<Self, Fault> {
        let mut ports = Self { all: args.maybe("publish_all_ports"), ..Self::default() };
        if args.raw("published_ports").is_some() {
            ports.published = Some(published(&args.list("published_ports"))?);
        }
        for port in args.list("exposed_ports") {
            ports.expose(port.trim())?;
        }
        for (port, _) in ports.published.iter().flatten() {
            let (port, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            ports.exposed.insert((number(port)?, protocol.to_owned()));
        }
        Ok(ports)
    }

    fn expose(&mut self, text: &str) -> Result<(), Fault> {
        let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = port.split_once('-').unwrap_or((port, port));
        // Python tells more of what is wrong with such a port.
        let odd = || beyond(format!("the port {text}"));
        let first: i64 = first.trim().parse().map_err(|_| odd())?;
        let last: i64 = last.trim().parse().map_err(|_| odd())?;
        if !(0..=65535).contains(&first) || !(first..=65535).contains(&last) {
            return Err(odd());
        }
        self.exposed.extend((first..=last).map(|port| (port, protocol.to_owned())));
        Ok(())
    }

    /// Puts the address that is asked for in general where none is given.
    pub(super) fn settle(
        &mut self,
        args: &Args,
        networks: &[Map<String, Value>],
        docker: &Docker<'_>,
    ) -> Result<(), Fault> {
        let mut open: Vec<_> = self
            .published
            .iter_mut()
            .flatten()
            .flat_map(|(_, binds)| binds)
            .filter(|bind| bind.ip.is_none())
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let ip = match args.str("default_host_ip") {
            Some(ip) => ip.to_owned(),
            None => bridged(networks, docker)?.unwrap_or_else(|| "0.0.0.0".to_owned()),
        };
        for bind in &mut open {
            bind.ip = Some(ip.clone());
        }
        Ok(())
    }

    /// What these ports should look like on a container of `image`.
    pub(super) fn expected(
        &self,
        image: &Value,
        expected: &mut Map<String, Value>,
    ) -> Result<(), Fault> {
        let of_image = image["Config"]["ExposedPorts"].as_object();
        let mut exposed: BTreeSet<String> =
            of_image.into_iter().flatten().map(|(port, _)| with_protocol(port)).collect();
        exposed.extend(self.exposed.iter().map(|(port, protocol)| format!("{port}/{protocol}")));
        expected.insert("exposed_ports".into(), exposed.into_iter().collect());
        if let Some(all) = self.all {
            expected.insert("publish_all_ports".into(), all.into());
        }
        let Some(published) = &self.published else { return Ok(()) };
        let mut bound = Map::new();
        for (port, binds) in published {
            if binds.len() > 1 && binds.iter().any(|bind| bind.port.is_none()) {
                return Err(beyond("a port that is published twice, once anywhere,"));
            }
            bound.insert(with_protocol(port), told(binds));
        }
        expected.insert("published_ports".into(), bound.into());
        Ok(())
    }

    /// Adds them to what makes a container.
    pub(super) fn create(&self, data: &mut Map<String, Value>, host: &mut Map<String, Value>) {
        let exposed: Map<_, _> = self
            .exposed
            .iter()
            .map(|(port, protocol)| (format!("{port}/{protocol}"), json!({})))
            .collect();
        data.insert("ExposedPorts".into(), exposed.into());
        if let Some(published) = &self.published {
            let bound: Map<_, _> =
                published.iter().map(|(port, binds)| (with_protocol(port), told(binds))).collect();
            host.insert("PortBindings".into(), bound.into());
        }
        if self.all == Some(true) {
            host.insert("PublishAllPorts".into(), true.into());
        }
    }
}

/// What a container shows.
pub(super) fn exposed(container: &Value) -> Value {
    let all = container["Config"]["ExposedPorts"].as_object();
    let mut told: Vec<Value> = Vec::new();
    for (port, _) in all.into_iter().flatten() {
        let port = with_protocol(port);
        let (number, protocol) = port.rsplit_once('/').unwrap_or((&port, "tcp"));
        let range = number.split_once('-').and_then(|(first, last)| {
            Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?))
        });
        match range {
            Some((first, last)) => {
                told.extend((first..=last).map(|port| format!("{port}/{protocol}").into()));
            }
            None => told.push(port.into()),
        }
    }
    told.into()
}

fn told(binds: &[Bind]) -> Value {
    let one = |bind: &Bind| {
        json!({
            "HostIp": bind.ip.clone().unwrap_or_default(),
            "HostPort": bind.port.clone().unwrap_or_default(),
        })
    };
    binds.iter().map(one).collect()
}

fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// The address that the first of these networks with one of its own binds ports to.
fn bridged(networks: &[Map<String, Value>], docker: &Docker<'_>) -> Result<Option<String>, Fault> {
    for network in networks {
        let name = text_of(&network["name"]);
        let found = docker.network(&name)?.ok_or_else(|| {
            fail!("Cannot inspect the network '{name}' to determine the default IP")
        })?;
        let ip = &found["Options"]["com.docker.network.bridge.host_binding_ipv4"];
        if let (true, Some(ip)) = (found["Driver"] == "bridge", ip.as_str())
            && !ip.is_empty()
        {
            return Ok(Some(ip.to_owned()));
        }
    }
    Ok(None)
}

fn published(given: &[String]) -> Result<Vec<(String, Vec<Bind>)>, Fault> {
    if given.iter().any(|port| port == "all") {
        return Err(fail!(
            "Specifying \"all\" in published_ports is no longer allowed. Set publish_all_ports to \"true\" instead to randomly assign port mappings for those not specified by published_ports."
        ));
    }
    let mut all: Vec<(String, Vec<Bind>)> = Vec::new();
    for text in given {
        let parts = colons(text)?;
        let (inner, protocol) = match parts.last().map(|last| last.split_once('/')) {
            Some(Some((_, protocol))) if protocol.contains('/') => {
                return Err(beyond(format!("the port {text}")));
            }
            Some(Some((port, protocol))) => (range(port)?, Some(protocol)),
            _ => (range(parts.last().map_or("", String::as_str))?, None),
        };
        let outer = |port: &str| -> Result<Vec<Option<String>>, Fault> {
            if inner.len() == 1 {
                return Ok(vec![Some(port.to_owned())]);
            }
            Ok(range(port)?.into_iter().map(|port| Some(port.to_string())).collect())
        };
        let (ip, ports) = match parts.as_slice() {
            [_] => (None, vec![None; inner.len()]),
            [port, _] => (None, outer(port)?),
            [ip, port, _] => {
                let ports = if port.is_empty() { vec![None; inner.len()] } else { outer(port)? };
                (Some(address(ip)?), ports)
            }
            _ => {
                return Err(fail!(
                    "Invalid port description \"{text}\" - expected 1 to 3 colon-separated parts, but got {}. Maybe you forgot to use square brackets ([...]) around an IPv6 address?",
                    parts.len()
                ));
            }
        };
        for (inner, port) in inner.into_iter().zip(ports) {
            let key = match protocol {
                Some(protocol) if !protocol.is_empty() => format!("{inner}/{protocol}"),
                _ => inner.to_string(),
            };
            let bind = Bind { ip: ip.clone(), port };
            match all.iter_mut().find(|(known, _)| *known == key) {
                Some((_, binds)) => binds.push(bind),
                None => all.push((key, vec![bind])),
            }
        }
    }
    Ok(all)
}

/// An address of the host, an IPv6 one without its brackets.
fn address(text: &str) -> Result<String, Fault> {
    let parts: Vec<&str> = text.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() == 4 && parts.iter().all(digits) {
        return Ok(text.to_owned());
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(bare) if bare.contains('%') => Err(beyond("an address with a zone")),
        Some(bare)
            if !bare.is_empty() && bare.chars().all(|c| c.is_ascii_hexdigit() || c == ':') =>
        {
            Ok(bare.to_owned())
        }
        _ => Err(fail!(
            "Bind addresses for published ports must be IPv4 or IPv6 addresses, not hostnames. Use the dig lookup to resolve hostnames. (Found hostname: {text})"
        )),
    }
}

/// Text split at its colons, but for those in brackets.
fn colons(text: &str) -> Result<Vec<String>, Fault> {
    let mut parts = vec![String::new()];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let last = parts.len() - 1;
        match c {
            ':' => {
                parts.push(String::new());
                rest = &rest[1..];
            }
            '[' => {
                let at = text.len() - rest.len() + 1;
                let end = rest.find(']').ok_or_else(|| {
                    fail!(
                        "Cannot find closing \"]\" in input \"{text}\" for opening \"[\" at index {at}!"
                    )
                })?;
                parts[last].push_str(&rest[..=end]);
                rest = &rest[end + 1..];
            }
            c => {
                parts[last].push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Ok(parts)
}

/// A port or a range of them.
fn range(text: &str) -> Result<Vec<i64>, Fault> {
    let Some((first, last)) = text.split_once('-') else {
        return Ok(vec![number(text)?]);
    };
    let bad = || fail!("Invalid port range: \"{text}\"");
    let first: i64 = first.trim().parse().map_err(|_| bad())?;
    let last: i64 = last.trim().parse().map_err(|_| bad())?;
    if last < first {
        return Err(bad());
    }
    // More than there are ports would only fill memory.
    if last - first > 65535 {
        return Err(beyond(format!("the port range {text}")));
    }
    Ok((first..=last).collect())
}

fn number(text: &str) -> Result<i64, Fault> {
    text.trim().parse().map_err(|_| fail!("Invalid port: \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_port_is_read_or_refused(text in "[0-9:\\[\\]/a-c.%-]{0,14}") {
            drop((published(std::slice::from_ref(&text)), Ports::default().expose(&text)));
        }
    }

    fn bind(ip: Option<&str>, port: Option<&str>) -> Bind {
        Bind { ip: ip.map(str::to_owned), port: port.map(str::to_owned) }
    }

    #[test]
    fn ports_are_published_where_they_are_asked_to_be() {
        let read = |text: &str| published(&[text.to_owned()]).unwrap();
        for (text, expected) in [
            ("80", vec![("80", bind(None, None))]),
            ("8080:80/udp", vec![("80/udp", bind(None, Some("8080")))]),
            ("8000-8010:80", vec![("80", bind(None, Some("8000-8010")))]),
            ("127.0.0.1::80", vec![("80", bind(Some("127.0.0.1"), None))]),
            ("[::1]:81:80/", vec![("80", bind(Some("::1"), Some("81")))]),
            (
                "1.2.3.4:91-92:81-82",
                vec![
                    ("81", bind(Some("1.2.3.4"), Some("91"))),
                    ("82", bind(Some("1.2.3.4"), Some("92"))),
                ],
            ),
            ("91-99:81-82", vec![("81", bind(None, Some("91"))), ("82", bind(None, Some("92")))]),
        ] {
            let expected: Vec<_> =
                expected.into_iter().map(|(port, bind)| (port.to_owned(), vec![bind])).collect();
            assert_eq!(read(text), expected, "{text}");
        }
        let twice = published(&["80:80".to_owned(), "81:80".to_owned()]).unwrap();
        assert_eq!(twice[0].1.len(), 2);
        for text in ["x", "1:2:3:4", "host:1:2", "2-1", "all", "[::1:80", "80/a/b", ""] {
            assert!(published(&[text.to_owned()]).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_are_shown_one_by_one() {
        let container =
            json!({ "Config": { "ExposedPorts": { "80": {}, "7-8/udp": {}, "x-y/tcp": {} } } });
        assert_eq!(exposed(&container), json!(["80/tcp", "7/udp", "8/udp", "x-y/tcp"]));
        let mut ports = Ports::default();
        ports.expose("7-8/udp").unwrap();
        ports.expose("80").unwrap();
        assert_eq!(ports.exposed.len(), 3);
        assert!(ports.expose("8-7").is_err());
    }
}
