//! `docker_network`: a network with these options, made anew where it has others, and the
//! containers on it.

use super::compare::same;
use super::words::{labels, worded};
use super::{Differences, Docker, Version, beyond, json, quoted, warnings};
use crate::args::{Args, text_of};
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail};
use serde_json::{Map, Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let docker = Docker::connect(args, ctx)?;
    let given = |name: &str| args.raw(name).is_some();
    docker.require(&[
        ("config_from", Version(1, 30), given("config_from")),
        ("config_only", Version(1, 30), given("config_only")),
        ("scope", Version(1, 30), given("scope")),
        ("attachable", Version(1, 26), given("attachable")),
        ("enable_ipv4", Version(1, 47), given("enable_ipv4")),
    ])?;
    let found = docker.network(args.text("name"))?.unwrap_or_default();
    let asked = Asked::from(args, &found)?;
    let mut work = Work {
        args,
        ctx,
        docker,
        asked,
        found,
        actions: Vec::new(),
        changed: false,
        told: Differences::default(),
        diff: Map::new(),
        warnings: Vec::new(),
    };
    let network = match args.text("state") {
        "absent" => {
            work.told.add("exists", false, !work.found.is_null());
            work.remove()?;
            None
        }
        _ => Some(work.present()?),
    };
    let (shown, debug) = (ctx.diff, args.flag("debug"));
    let mut outcome = Outcome::changed(work.changed);
    if shown || ctx.check || debug {
        if shown {
            work.told.before_and_after(&mut work.diff);
        }
        outcome = outcome.with("diff", work.diff);
    }
    // What was taken away is told of in any case.
    if ctx.check || debug || network.is_none() {
        outcome = outcome.with("actions", work.actions);
    }
    Ok(outcome.with_some("network", network).with("warnings", work.warnings))
}

/// What a task asks for.
struct Asked {
    driver: String,
    driver_options: Map<String, Value>,
    labels: Map<String, Value>,
    /// Where addresses come from, with every key, if only as null.
    pools: Vec<Map<String, Value>>,
    /// Names of containers; those that are on it now if none are asked for.
    connected: Vec<String>,
}

impl Asked {
    fn from(args: &Args, found: &Value) -> Result<Self, Fault> {
        let mut connected = args.list("connected");
        if connected.is_empty() {
            connected = containers(found);
        }
        let none = Map::new();
        let dict = |name: &str| args.dict(name).unwrap_or(&none);
        let pools = args.raw("ipam_config").and_then(Value::as_array).into_iter().flatten();
        let pools: Vec<_> = pools.filter_map(Value::as_object).cloned().collect();
        for pool in &pools {
            let subnet = pool["subnet"].as_str().ok_or_else(|| beyond("a pool without subnet"))?;
            if !is_subnet(subnet) {
                return Err(fail!("\"{subnet}\" is not a valid CIDR"));
            }
        }
        let driver = if args.flag("config_only") { "null" } else { args.text("driver") };
        Ok(Self {
            driver: driver.to_owned(),
            driver_options: worded(dict("driver_options")),
            labels: labels(dict("labels"))?,
            pools,
            connected,
        })
    }
}

/// What a task does to one network, and what it tells of that.
struct Work<'a> {
    args: &'a Args,
    ctx: &'a Context,
    docker: Docker<'a>,
    asked: Asked,
    /// The network as it is; null if there is none.
    found: Value,
    actions: Vec<Value>,
    changed: bool,
    told: Differences,
    diff: Map<String, Value>,
    warnings: Vec<Value>,
}

impl Work<'_> {
    fn present(&mut self) -> Result<Value, Fault> {
        let differences =
            if self.found.is_null() { Differences::default() } else { self.differences() };
        self.told.add("exists", true, !self.found.is_null());
        if self.args.flag("force") || !differences.0.is_empty() {
            self.remove()?;
            self.found = Value::Null;
        }
        self.create()?;
        self.connect()?;
        if !self.args.flag("appends") {
            let mut others = containers(&self.found);
            others.retain(|name| !self.asked.connected.contains(name));
            for name in &others {
                self.disconnect(name)?;
            }
        }
        if self.ctx.diff || self.ctx.check || self.args.flag("debug") {
            let names: Value = differences.0.iter().map(|(name, ..)| name.as_str()).collect();
            self.diff.insert("differences".into(), names);
            self.told.merge(differences);
        }
        Ok(self.docker.network(self.args.text("name"))?.unwrap_or_default())
    }

    /// How the network differs from what is asked for.
    fn differences(&self) -> Differences {
        let (args, found) = (self.args, &self.found);
        let mut all = Differences::default();
        let or = |value: &Value, otherwise: Value| {
            if value.is_null() { otherwise } else { value.clone() }
        };
        if let Some(only) = args.maybe("config_only") {
            let is = or(&found["ConfigOnly"], false.into());
            if is != only {
                all.add("config_only", only, is);
            }
        }
        if let Some(from) = args.str("config_from") {
            let is = or(&found["ConfigFrom"]["Network"], "".into());
            if is != from {
                all.add("config_from", from, is);
            }
        }
        if !self.asked.driver.is_empty() && found["Driver"] != *self.asked.driver {
            all.add("driver", self.asked.driver.as_str(), found["Driver"].clone());
        }
        parts("driver_options", &self.asked.driver_options, &found["Options"], &mut all);
        let ipam = &found["IPAM"];
        if let Some(driver) = args.str("ipam_driver").filter(|driver| !driver.is_empty())
            && ipam["Driver"] != *driver
        {
            all.add("ipam_driver", driver, ipam.clone());
        }
        if let Some(options) = args.dict("ipam_driver_options") {
            let is = or(&ipam["Options"], json!({}));
            if !same(&is, &options.clone().into()) {
                all.add("ipam_driver_options", options.clone(), is);
            }
        }
        self.pools(&mut all);
        for (name, key) in [("enable_ipv4", "EnableIPv4"), ("enable_ipv6", "EnableIPv6")] {
            let is = or(&found[key], false.into());
            if let Some(wanted) = args.maybe(name).filter(|wanted| is != *wanted) {
                all.add(name, wanted, is);
            }
        }
        let flag = |name: &str, key: &str, all: &mut Differences| {
            let is = or(&found[key], false.into());
            if let Some(wanted) = args.maybe(name).filter(|wanted| is != *wanted) {
                all.add(name, wanted, found[key].clone());
            }
        };
        flag("internal", "Internal", &mut all);
        if let Some(scope) = args.str("scope").filter(|scope| found["Scope"] != **scope) {
            all.add("scope", scope, found["Scope"].clone());
        }
        flag("attachable", "Attachable", &mut all);
        flag("ingress", "Ingress", &mut all);
        parts("labels", &self.asked.labels, &found["Labels"], &mut all);
        all
    }

    /// How the pools of addresses differ.
    fn pools(&self, all: &mut Differences) {
        if self.asked.pools.is_empty() {
            return;
        }
        let config = &self.found["IPAM"]["Config"];
        let found: Vec<Map<String, Value>> = config
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .map(|pool| pool.iter().map(|(key, value)| (ours(key), value.clone())).collect())
            .collect();
        if found.is_empty() {
            let asked: Value = self.asked.pools.clone().into();
            all.add("ipam_config", asked, config.clone());
            return;
        }
        for (index, asked) in self.asked.pools.iter().enumerate() {
            let wanted = normal_pool(asked);
            let none = Map::new();
            let (fitting, normal) = found
                .iter()
                .map(|pool| (pool, normal_pool(pool)))
                .find(|(_, pool)| {
                    wanted.iter().all(|(key, value)| {
                        value.is_null() || pool.get(key).is_some_and(|is| same(is, value))
                    })
                })
                .unwrap_or((&none, Map::new()));
            for (key, value) in asked.iter().filter(|(_, value)| !value.is_null()) {
                if normal.get(key) != wanted.get(key) {
                    let is = fitting.get(key).cloned().unwrap_or_default();
                    all.add(format!("ipam_config[{index}].{key}"), value.clone(), is);
                }
            }
        }
    }

    fn create(&mut self) -> Result<(), Fault> {
        if !self.found.is_null() {
            return Ok(());
        }
        let (args, name) = (self.args, self.args.text("name"));
        let mut data = Map::new();
        data.insert("Name".into(), name.into());
        data.insert("Driver".into(), self.asked.driver.as_str().into());
        data.insert("Options".into(), self.asked.driver_options.clone().into());
        for (option, key) in [
            ("config_only", "ConfigOnly"),
            ("enable_ipv6", "EnableIPv6"),
            ("enable_ipv4", "EnableIPv4"),
            ("scope", "Scope"),
            ("attachable", "Attachable"),
            ("ingress", "Ingress"),
        ] {
            data.extend(args.raw(option).map(|value| (key.to_owned(), value.clone())));
        }
        if let Some(from) = args.str("config_from").filter(|from| !from.is_empty()) {
            data.insert("ConfigFrom".into(), json!({ "Network": from }));
        }
        if args.flag("internal") {
            data.insert("Internal".into(), true.into());
        }
        data.insert("Labels".into(), self.asked.labels.clone().into());
        let driver = args.str("ipam_driver").filter(|driver| !driver.is_empty());
        let options = args.dict("ipam_driver_options");
        let with_options = options.is_some_and(|options| !options.is_empty());
        if driver.is_some() || with_options || !self.asked.pools.is_empty() {
            let pool = |pool: &Map<String, Value>| {
                json!({
                    "Subnet": pool["subnet"],
                    "IPRange": pool["iprange"],
                    "Gateway": pool["gateway"],
                    "AuxiliaryAddresses": pool["aux_addresses"],
                })
            };
            let pools: Value = self.asked.pools.iter().map(pool).collect();
            let driver = args.str("ipam_driver");
            data.insert(
                "IPAM".into(),
                json!({ "Driver": driver, "Config": pools, "Options": options }),
            );
        }
        if !self.ctx.check {
            let answer = self
                .docker
                .post_json("/networks/create".to_owned(), &[], &data)
                .and_then(|answer| json(&answer))?;
            self.warnings.extend(warnings(&answer, "Warning"));
            self.found = self.docker.network_by_id(&text_of(&answer["Id"]))?.unwrap_or_default();
        }
        let driver = &self.asked.driver;
        self.actions.push(format!("Created network {name} with driver {driver}").into());
        self.changed = true;
        Ok(())
    }

    fn remove(&mut self) -> Result<(), Fault> {
        if self.found.is_null() {
            return Ok(());
        }
        let name = self.args.text("name");
        for container in containers(&self.docker.network(name)?.unwrap_or_default()) {
            self.disconnect(&container)?;
        }
        if !self.ctx.check {
            self.docker.delete(format!("/networks/{}", quoted(name)), &[])?;
            // A network of a swarm goes on all its machines, which takes a while.
            while self.found["Scope"] == "swarm"
                && !self.ctx.stopped()
                && self.docker.network(name)?.is_some()
            {
                self.ctx.time.sleep(Duration::from_millis(100));
            }
        }
        self.actions.push(format!("Removed network {name}").into());
        self.changed = true;
        Ok(())
    }

    /// Puts on it what should be on it and exists.
    fn connect(&mut self) -> Result<(), Fault> {
        let there = containers(&self.found);
        let network = quoted(self.args.text("name"));
        for name in self.asked.connected.clone() {
            if there.contains(&name) || self.docker.container(&name)?.is_none() {
                continue;
            }
            if !self.ctx.check {
                let data = json!({ "Container": name, "EndpointConfig": null });
                self.docker.told(format!("/networks/{network}/connect"), data)?;
            }
            self.actions.push(format!("Connected container {name}").into());
            self.changed = true;
            self.told.add(format!("connected.{name}"), true, false);
        }
        Ok(())
    }

    fn disconnect(&mut self, name: &str) -> Result<(), Fault> {
        if !self.ctx.check {
            let network = quoted(self.args.text("name"));
            let data = json!({ "Container": name, "Force": true });
            self.docker.told(format!("/networks/{network}/disconnect"), data)?;
        }
        self.actions.push(format!("Disconnected container {name}").into());
        self.changed = true;
        self.told.add(format!("connected.{name}"), false, true);
        Ok(())
    }
}

/// How a mapping of texts differs, key by key.
fn parts(name: &str, wanted: &Map<String, Value>, found: &Value, all: &mut Differences) {
    if wanted.is_empty() {
        return;
    }
    match found.as_object().filter(|found| !found.is_empty()) {
        None => all.add(name, wanted.clone(), found.clone()),
        Some(found) => {
            for (key, value) in wanted.iter().filter(|(key, value)| found.get(*key) != Some(value))
            {
                let is = found.get(key).cloned().unwrap_or_default();
                all.add(format!("{name}.{key}"), value.clone(), is);
            }
        }
    }
}

/// Names of the containers on a network.
fn containers(network: &Value) -> Vec<String> {
    let all = network["Containers"].as_object().into_iter().flatten();
    all.map(|(_, container)| text_of(&container["Name"])).collect()
}

/// What a key of a pool is called in a task.
fn ours(key: &str) -> String {
    match key {
        "AuxiliaryAddresses" => "aux_addresses".to_owned(),
        key => key.to_lowercase(),
    }
}

/// A pool with its addresses in the one way of writing them.
fn normal_pool(pool: &Map<String, Value>) -> Map<String, Value> {
    let normal = |key: &str, value: &Value| match (key, value) {
        ("subnet" | "iprange", Value::String(text)) => network(text).into(),
        ("gateway", Value::String(text)) => address(text).into(),
        ("aux_addresses", Value::Object(map)) => {
            let each = |(name, value): (&String, &Value)| {
                (
                    name.clone(),
                    value.as_str().map_or_else(|| value.clone(), |text| address(text).into()),
                )
            };
            map.iter().map(each).collect::<Map<_, _>>().into()
        }
        (_, value) => value.clone(),
    };
    pool.iter().map(|(key, value)| (key.clone(), normal(key, value))).collect()
}

fn address(text: &str) -> String {
    text.parse::<IpAddr>().map_or_else(|_| text.to_owned(), |address| address.to_string())
}

/// A network, unless it is none or has bits of an address in it.
fn network(text: &str) -> String {
    let parsed = text.split_once('/').and_then(|(address, bits)| {
        let bits: u32 = bits.parse().ok()?;
        match address.parse::<IpAddr>().ok()? {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                (bits <= 32 && address.to_bits() & host == 0)
                    .then(|| format!("{}/{bits}", Ipv4Addr::from_bits(address.to_bits())))
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(bits).unwrap_or(0);
                (bits <= 128 && address.to_bits() & host == 0)
                    .then(|| format!("{}/{bits}", Ipv6Addr::from_bits(address.to_bits())))
            }
        }
    });
    parsed.unwrap_or_else(|| text.to_owned())
}

/// Whether this looks like a network with the length of its prefix.
fn is_subnet(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let number = |text: &str, longest: usize, most: u32| {
        (1..=longest).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'))
            && text.parse().is_ok_and(|number: u32| number <= most)
    };
    let parts: Vec<&str> = address.split('.').collect();
    let digits = |part: &&str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if parts.len() == 4 && parts.iter().all(digits) {
        return number(bits, 2, 32);
    }
    !address.is_empty()
        && address.chars().all(|c| c.is_ascii_hexdigit() || c == ':')
        && number(bits, 3, 129)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_from_what_is_none() {
        for text in ["10.0.0.0/8", "10.0.0.0/0", "fd00::/64", "999.0.0.0/32"] {
            assert!(is_subnet(text), "{text}");
        }
        for text in ["10.0.0.0", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/08", "x::/64", "fd00::/1000"]
        {
            assert!(!is_subnet(text), "{text}");
        }
        assert_eq!(network("fd00:0:0::/64"), "fd00::/64");
        assert_eq!(network("10.0.0.1/8"), "10.0.0.1/8");
        assert_eq!(network("0.0.0.0/0"), "0.0.0.0/0");
        assert_eq!(address("fd00:0::1"), "fd00::1");
    }
}
