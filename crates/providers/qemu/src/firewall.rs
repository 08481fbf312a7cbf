//! Firewalls of others that keep guests from getting out: found and told, never changed.
//!
//! A forwarded packet passes the base chains of every table, and each of them may drop it whatever
//! the others accept (nft(8), "accept ... ends evaluation of the current base chain"). Docker sets
//! the policy of `ip filter FORWARD` to drop for all traffic but its own, and other firewalls do
//! likewise. Guests then boot, answer us, and get no answer from anywhere else.

use serde_json::Value;
use std::fmt;
use updraft_host::{Cmd, Host, HostError};

/// What every bridge of ours is called at its beginning.
const OUR_BRIDGES: &str = "ud-";

/// A chain that drops packets of guests, because no rule in its table lets them pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    family: String,
    table: String,
    chain: String,
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.chain)
    }
}

impl Barrier {
    /// Commands for people that let guests pass.
    pub fn remedy(&self) -> String {
        format!(
            "nft 'insert rule {self} iifname \"{OUR_BRIDGES}*\" accept; \
             insert rule {self} oifname \"{OUR_BRIDGES}*\" ct state established,related accept'"
        )
    }
}

/// The barriers of this computer. None where there is no nftables, or it may not be looked at.
///
/// # Errors
/// When what `nft` tells cannot be read.
pub async fn barriers(host: &dyn Host) -> Result<Vec<Barrier>, HostError> {
    let Some(chains) = list(host, &["chains"]).await? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for barrier in dropping(&chains) {
        let table = list(host, &["table", &barrier.family, &barrier.table]).await?;
        if table.is_some_and(|table| !lets_pass(&table)) {
            found.push(barrier);
        }
    }
    Ok(found)
}

async fn list(host: &dyn Host, what: &[&str]) -> Result<Option<Value>, HostError> {
    let out = host.run(Cmd::new("nft").args(["-j", "list"]).args(what).accept(1)).await;
    match out {
        Ok(out) if out.status == 0 => out.json().map(Some),
        Ok(_) | Err(HostError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn objects<'a>(listed: &'a Value, kind: &'static str) -> impl Iterator<Item = &'a Value> {
    let all = listed.get("nftables").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    all.iter().filter_map(move |object| object.get(kind))
}

/// The base chains on the way of forwarded packets that drop what no rule decides about.
fn dropping(chains: &Value) -> Vec<Barrier> {
    let text = |chain: &Value, key: &str| chain.get(key).and_then(Value::as_str).map(str::to_owned);
    objects(chains, "chain")
        .filter(|chain| text(chain, "hook").as_deref() == Some("forward"))
        .filter(|chain| text(chain, "policy").as_deref() == Some("drop"))
        .filter_map(|chain| {
            let family = text(chain, "family")?;
            let concerns_us = ["ip", "inet"].contains(&family.as_str());
            let (table, chain) = (text(chain, "table")?, text(chain, "name")?);
            concerns_us.then_some(Barrier { family, table, chain })
        })
        .collect()
}

/// Whether a rule of the table, in whichever of its chains, accepts what comes from our bridges.
fn lets_pass(table: &Value) -> bool {
    let ours = |name: &str| match name.strip_suffix('*') {
        Some(prefix) => OUR_BRIDGES.starts_with(prefix) || prefix.starts_with(OUR_BRIDGES),
        None => name.starts_with(OUR_BRIDGES),
    };
    objects(table, "rule").filter_map(|rule| rule.get("expr")?.as_array()).any(|rule| {
        let from_us = rule.iter().filter_map(|part| part.get("match")).any(|part| {
            let key = part.pointer("/left/meta/key").and_then(Value::as_str);
            let right = part.get("right").and_then(Value::as_str);
            key == Some("iifname") && right.is_some_and(ours)
        });
        from_us && rule.iter().any(|part| part.get("accept").is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As nftables 1.0.6 lists what Docker 28 makes, shortened.
    fn docker(rules: &[Value]) -> Value {
        let chain = |name: &str| json!({ "chain": { "family": "ip", "table": "filter", "name": name, "handle": 1 } });
        let base = |table: &str, name: &str, hook: &str, policy: &str| {
            json!({ "chain": { "family": "ip", "table": table, "name": name, "handle": 3,
                "type": "filter", "hook": hook, "prio": 0, "policy": policy } })
        };
        let mut all = vec![
            json!({ "metainfo": { "version": "1.0.6", "json_schema_version": 1 } }),
            chain("DOCKER-USER"),
            base("filter", "FORWARD", "forward", "drop"),
            base("filter", "INPUT", "input", "drop"),
            base("updraft_x", "forward", "forward", "accept"),
        ];
        let rule = |expr: &Value| json!({ "rule": { "family": "ip", "table": "filter", "chain": "DOCKER-USER", "handle": 9, "expr": expr } });
        all.extend(rules.iter().map(rule));
        json!({ "nftables": all })
    }

    fn from(interface: &str, verdict: &str) -> Value {
        json!([
            { "match": { "op": "==", "left": { "meta": { "key": "iifname" } }, "right": interface } },
            { verdict: null }
        ])
    }

    #[test]
    fn a_chain_that_drops_forwarded_packets_is_found_by_its_policy() {
        let found = dropping(&docker(&[]));
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["ip filter FORWARD"]
        );
        assert!(
            found[0].remedy().contains("insert rule ip filter FORWARD iifname \"ud-*\" accept")
        );
        assert_eq!(dropping(&json!({ "nftables": [] })), []);
    }

    #[test]
    fn a_rule_for_our_bridges_opens_the_way() {
        assert!(!lets_pass(&docker(&[])));
        assert!(!lets_pass(&docker(&[from("docker0", "accept"), from("ud-*", "drop")])));
        for interface in ["ud-*", "ud-12345678", "u*", "ud-1*"] {
            assert!(lets_pass(&docker(&[from(interface, "accept")])), "{interface}");
        }
    }
}
