//! Which networks a container is on, and as what.

use super::super::compare::{Rule, Shape, fits};
use super::super::{Docker, Refusal, quoted};
use crate::args::text_of;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// A network that a container should be on and is not, or not as is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Missing {
    pub(super) asked: Map<String, Value>,
    /// How it is on it now; null if it is not.
    pub(super) found: Value,
}

/// What is asked for of a network, beside which one it is.
pub(super) fn parameters(network: &Map<String, Value>) -> Map<String, Value> {
    let others = network.iter().filter(|(key, _)| !matches!(key.as_str(), "id" | "name"));
    others.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// What has to change for `container` to be on the networks that are asked for.
pub(super) fn missing(asked: &[Map<String, Value>], container: &Value) -> Vec<Missing> {
    let connected = &container["NetworkSettings"]["Networks"];
    let mut missing = Vec::new();
    for asked in asked {
        let found = &connected[text_of(&asked["name"])];
        if found.is_null() {
            missing.push(Missing { asked: asked.clone(), found: Value::Null });
        } else if differs(asked, found) {
            let config = &found["IPAMConfig"];
            let found = json!({
                "name": asked["name"],
                "ipv4_address": config["IPv4Address"],
                "ipv6_address": config["IPv6Address"],
                "aliases": found["Aliases"],
                "links": found["Links"],
                "mac_address": found["MacAddress"],
            });
            missing.push(Missing { asked: asked.clone(), found });
        }
    }
    missing
}

fn differs(asked: &Map<String, Value>, found: &Value) -> bool {
    let config = &found["IPAMConfig"];
    let other_address = |ours: &str, theirs: &str| {
        let asked = text(&asked[ours]);
        !asked.is_empty() && config[theirs].as_str().map(normal) != Some(normal(asked))
    };
    let links: Value =
        pairs(&asked["links"]).map(|(link, alias)| format!("{link}:{alias}")).collect();
    let mac = text(&asked["mac_address"]);
    let lacks = |asked: &Value, found: &Value| {
        asked.as_array().is_some_and(|asked| !asked.is_empty())
            && !fits(asked, found, Rule::AllowMore, Shape::Set)
    };
    other_address("ipv4_address", "IPv4Address")
        || other_address("ipv6_address", "IPv6Address")
        || lacks(&asked["aliases"], &found["Aliases"])
        || lacks(&links, &found["Links"])
        || (!mac.is_empty() && found["MacAddress"] != *mac)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn pairs(links: &Value) -> impl Iterator<Item = (String, String)> {
    let links = links.as_array().into_iter().flatten();
    links.map(|link| (text_of(&link[0]), text_of(&link[1])))
}

/// An address in the one way of writing it.
fn normal(address: &str) -> String {
    address.parse::<IpAddr>().map_or_else(|_| address.to_owned(), |address| address.to_string())
}

/// Networks that `container` is on and that are not asked for.
pub(super) fn extra(asked: &[Map<String, Value>], container: &Value) -> Vec<Value> {
    let connected = container["NetworkSettings"]["Networks"].as_object();
    let others = connected
        .into_iter()
        .flatten()
        .filter(|(name, _)| !asked.iter().any(|asked| asked["name"] == **name));
    others.map(|(name, found)| json!({ "name": name, "id": found["NetworkID"] })).collect()
}

/// How a container is to be on a network, in the daemon's words.
pub(super) fn endpoint(parameters: &Map<String, Value>) -> Value {
    let mut endpoint = Map::new();
    let given = |name: &str| {
        let value = parameters.get(name).cloned().unwrap_or_default();
        let empty = match &value {
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            other => other.is_null(),
        };
        (!empty).then_some(value)
    };
    if let Some(links) = given("links") {
        let mut links: Vec<_> = pairs(&links).collect();
        links.sort();
        let told = |(link, alias): &(String, String)| match alias.as_str() {
            "" => link.clone(),
            alias => format!("{link}:{alias}"),
        };
        endpoint.insert("Links".into(), links.iter().map(told).collect());
    }
    for (ours, theirs) in [("aliases", "Aliases"), ("mac_address", "MacAddress")] {
        endpoint.extend(given(ours).map(|value| (theirs.to_owned(), value)));
    }
    let mut config = Map::new();
    for (ours, theirs) in [("ipv4_address", "IPv4Address"), ("ipv6_address", "IPv6Address")] {
        config.extend(given(ours).map(|value| (theirs.to_owned(), value)));
    }
    if !config.is_empty() {
        endpoint.insert("IPAMConfig".into(), config.into());
    }
    endpoint.into()
}

impl Docker<'_> {
    /// Takes a container from a network.
    pub(super) fn disconnect(&self, container: &str, network: &str) -> Result<(), Refusal> {
        let data = json!({ "Container": container });
        self.told(format!("/networks/{}/disconnect", quoted(network)), data)
    }

    /// Puts a container on a network.
    pub(super) fn join(
        &self,
        container: &str,
        network: &str,
        parameters: &Map<String, Value>,
    ) -> Result<(), Refusal> {
        let data = json!({ "Container": container, "EndpointConfig": endpoint(parameters) });
        self.told(format!("/networks/{}/connect", quoted(network)), data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: Value) -> Map<String, Value> {
        let mut asked = value.as_object().unwrap().clone();
        for key in ["ipv4_address", "ipv6_address", "aliases", "links", "mac_address"] {
            asked.entry(key).or_insert(Value::Null);
        }
        asked
    }

    #[test]
    fn a_container_is_on_its_networks_as_it_is_asked_to_be() {
        let container = json!({ "NetworkSettings": { "Networks": {
            "a": { "IPAMConfig": { "IPv6Address": "fd00::1" }, "Aliases": ["x", "0f"], "Links": ["l:m"],
                   "MacAddress": "02:42", "NetworkID": "1" },
            "b": { "IPAMConfig": null, "Aliases": null, "NetworkID": "2" },
        } } });
        for (wanted, missed) in [
            (json!({ "name": "a" }), false),
            (json!({ "name": "a", "ipv6_address": "fd00:0::1", "aliases": ["x"] }), false),
            (json!({ "name": "a", "links": [["l", "m"]], "mac_address": "02:42" }), false),
            (json!({ "name": "a", "ipv4_address": "10.0.0.1" }), true),
            (json!({ "name": "a", "aliases": ["y"] }), true),
            (json!({ "name": "a", "links": [["l", "n"]] }), true),
            (json!({ "name": "b", "aliases": ["y"] }), true),
            (json!({ "name": "b", "aliases": [] }), false),
            (json!({ "name": "c" }), true),
        ] {
            assert_eq!(
                missing(&[asked(wanted.clone())], &container).len(),
                usize::from(missed),
                "{wanted}"
            );
        }
        let extra = extra(&[asked(json!({ "name": "a" }))], &container);
        assert_eq!(extra, [json!({ "name": "b", "id": "2" })]);
    }

    #[test]
    fn what_is_asked_for_is_told_in_the_daemons_words() {
        let network = asked(json!({ "name": "a", "id": "1", "ipv4_address": "10.0.0.1",
            "links": [["z", "y"], ["a", "b"]], "aliases": ["x"] }));
        assert_eq!(
            endpoint(&parameters(&network)),
            json!({ "Links": ["a:b", "z:y"], "Aliases": ["x"], "IPAMConfig": { "IPv4Address": "10.0.0.1" } })
        );
    }
}
