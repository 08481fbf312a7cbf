//! The nftables table of one network: its text, and whether it is still there.
//!
//! One table for each network, so that making, repairing and removing one is one transaction of
//! the kernel and touches nothing else.

use serde_json::Value;
use updraft_base::{Digest, SiteId};
use updraft_provider::NetworkOrder;

/// Name of the table of a network.
pub(crate) fn table(site: SiteId, bridge: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("updraft_{}_{}", site.tail(), bridge.chars().map(plain).collect::<String>())
}

/// What each rule carries, so that a rule that was changed or is missing is seen.
fn mark(site: SiteId, order: &NetworkOrder) -> String {
    let rules = rules(order);
    let text: Vec<&str> = rules.iter().map(|(_, rule)| rule.as_str()).collect();
    format!("updraft:{site}:{}", Digest::of(text.join("\n")).short())
}

/// The rules by chain.
///
/// Guests get out under the host's address, and answers get back. Nothing from outside may begin
/// to talk to a guest. Frames between guests pass the same hooks where `br_netfilter` is loaded:
/// they are accepted and keep their addresses.
fn rules(order: &NetworkOrder) -> Vec<(&'static str, String)> {
    let (bridge, cidr) = (&order.bridge, order.cidr.trunc());
    vec![
        ("forward", format!("iifname \"{bridge}\" accept")),
        ("forward", format!("oifname \"{bridge}\" ct state established,related accept")),
        ("forward", format!("oifname \"{bridge}\" drop")),
        (
            "postrouting",
            format!("ip saddr {cidr} ip daddr != {cidr} oifname != \"{bridge}\" masquerade"),
        ),
    ]
}

/// The text that makes the table so, whatever it was before, in one transaction.
pub(crate) fn ensure(site: SiteId, order: &NetworkOrder) -> String {
    let (table, mark) = (table(site, &order.bridge), mark(site, order));
    let chain = |name: &str, hook: &str| {
        let mut text = format!("    chain {name} {{\n        {hook}\n");
        for (_, rule) in rules(order).iter().filter(|(chain, _)| *chain == name) {
            text.push_str(&format!("        {rule} comment \"{mark}\"\n"));
        }
        text + "    }\n"
    };
    format!(
        "add table ip {table}\ndelete table ip {table}\ntable ip {table} {{\n    comment \"updraft:{site}\"\n{}{}}}\n",
        chain("forward", "type filter hook forward priority filter; policy accept;"),
        chain("postrouting", "type nat hook postrouting priority srcnat; policy accept;"),
    )
}

/// The text that removes the table; no error when it is not there.
pub(crate) fn destroy(site: SiteId, bridge: &str) -> String {
    let table = table(site, bridge);
    format!("add table ip {table}\ndelete table ip {table}\n")
}

/// Whether the answer of `nft -j list table` holds the network's table as we made it.
pub(crate) fn intact(ruleset: &Value, site: SiteId, order: &NetworkOrder) -> bool {
    let (table, mark) = (table(site, &order.bridge), mark(site, order));
    let objects = ruleset.get("nftables").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let ours = |kind: &str| -> Vec<&Value> {
        objects
            .iter()
            .filter_map(|object| object.get(kind))
            .filter(|object| object.get("family").is_some_and(|family| family == "ip"))
            .filter(|object| object.get("table").is_some_and(|name| name == table.as_str()))
            .collect()
    };
    let found = ours("rule");
    let marked =
        found.iter().filter(|rule| rule.get("comment").is_some_and(|c| c == mark.as_str()));
    let hooks = ours("chain");
    let hooked = ["forward", "postrouting"]
        .iter()
        .all(|hook| hooks.iter().any(|chain| chain.get("hook").is_some_and(|found| found == hook)));
    hooked && found.len() == rules(order).len() && marked.count() == found.len()
}

/// Whether the answer of `nft -j list table` holds a rule that this site did not write.
pub(crate) fn is_foreign(listed: &Value, site: SiteId) -> bool {
    let prefix = format!("updraft:{site}:");
    let objects = listed.get("nftables").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    objects.iter().filter_map(|object| object.get("rule")).any(|rule| {
        let comment = rule.get("comment").and_then(Value::as_str).unwrap_or_default();
        !comment.starts_with(&prefix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn site() -> SiteId {
        "01JD6N2QHZ8M4T6W9XK3PBCDEF".parse().unwrap()
    }

    fn order() -> NetworkOrder {
        NetworkOrder {
            name: "lan".parse().unwrap(),
            cidr: "10.77.0.0/24".parse().unwrap(),
            bridge: "ub-abc123".to_owned(),
        }
    }

    #[test]
    fn the_table_is_replaced_in_one_transaction() {
        let text = ensure(site(), &order());
        let mark = mark(site(), &order());
        assert_eq!(
            text,
            format!(
                "add table ip updraft_pbcdef_ub_abc123
delete table ip updraft_pbcdef_ub_abc123
table ip updraft_pbcdef_ub_abc123 {{
    comment \"updraft:01JD6N2QHZ8M4T6W9XK3PBCDEF\"
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname \"ub-abc123\" accept comment \"{mark}\"
        oifname \"ub-abc123\" ct state established,related accept comment \"{mark}\"
        oifname \"ub-abc123\" drop comment \"{mark}\"
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 10.77.0.0/24 ip daddr != 10.77.0.0/24 oifname != \"ub-abc123\" masquerade comment \"{mark}\"
    }}
}}
"
            )
        );
    }

    fn listed(marks: &[&str]) -> Value {
        let table = table(site(), "ub-abc123");
        let chain = |name: &str| json!({ "chain": { "family": "ip", "table": table, "name": name, "hook": name } });
        let rules = marks.iter().map(
            |mark| json!({ "rule": { "family": "ip", "table": table, "chain": "forward", "comment": mark } }),
        );
        let objects: Vec<Value> =
            [chain("forward"), chain("postrouting")].into_iter().chain(rules).collect();
        json!({ "nftables": objects })
    }

    #[test]
    fn a_table_with_rules_of_others_is_foreign() {
        assert!(!is_foreign(&Value::Null, site()));
        assert!(!is_foreign(&listed(&[&mark(site(), &order())]), site()));
        assert!(is_foreign(&listed(&["somebody else's"]), site()));
    }

    #[test]
    fn a_rule_that_is_missing_changed_or_added_is_seen() {
        let mark = mark(site(), &order());
        let mark = mark.as_str();
        let check = |marks: &[&str]| intact(&listed(marks), site(), &order());
        assert!(check(&[mark; 4]));
        assert!(!check(&[mark; 3]));
        assert!(!check(&[mark; 5]));
        assert!(!check(&[mark, mark, mark, "somebody else's"]));
        assert!(!intact(&json!({ "nftables": [] }), site(), &order()));
    }
}
