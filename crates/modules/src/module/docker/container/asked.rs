//! What a task asks of a container, in the daemon's terms.
//!
//! Everything is read, looked up and refused here, before a container is looked at.

use super::super::words::{bytes, labels, nanoseconds, rounded};
use super::super::{Docker, beyond};
use super::mounts::Mounts;
use super::options::{OPTIONS, Place};
use super::ports::Ports;
use crate::args::{Args, text_of};
use crate::context::Context;
use crate::json;
use crate::outcome::{Fault, fail};
use crate::shlex;
use serde_json::{Map, Value, json};
use std::fs;

/// What a container is if a task does not say, where it asks for that.
const OF_OLD: &[(&str, Preset)] = &[
    ("auto_remove", Preset::Flag(false)),
    ("detach", Preset::Flag(true)),
    ("init", Preset::Flag(false)),
    ("interactive", Preset::Flag(false)),
    ("memory", Preset::Text("0")),
    ("paused", Preset::Flag(false)),
    ("privileged", Preset::Flag(false)),
    ("read_only", Preset::Flag(false)),
    ("tty", Preset::Flag(false)),
];

#[derive(Clone, Copy, Debug)]
enum Preset {
    Flag(bool),
    Text(&'static str),
}

/// What a task asks for.
pub(super) struct Asked {
    /// Options that are asked for, each in the words in which the daemon has it.
    values: Map<String, Value>,
    mounts: Mounts,
    ports: Ports,
    /// Networks with their ids; nothing if they are no matter.
    pub(super) networks: Option<Vec<Map<String, Value>>>,
    /// Whether the labels of its image count as asked for.
    keeps_labels: bool,
    pub(super) warnings: Vec<Value>,
}

impl Asked {
    pub(super) fn from(args: &Args, docker: &Docker<'_>, ctx: &Context) -> Result<Self, Fault> {
        let given = given(args);
        let mut asked = Self {
            values: Map::new(),
            mounts: Mounts::default(),
            ports: Ports::default(),
            networks: None,
            keeps_labels: args.text("image_label_mismatch") == "ignore",
            warnings: Vec::new(),
        };
        for option in OPTIONS {
            asked.take(option.name, &given, args, docker)?;
        }
        asked.mounts = Mounts::asked(args, ctx)?;
        asked.ports = Ports::asked(args)?;
        let networks = asked.networks.as_deref().unwrap_or_default();
        asked.ports.settle(args, networks, docker)?;
        Ok(asked)
    }

    /// Reads one option.
    fn take(
        &mut self,
        name: &str,
        given: &Map<String, Value>,
        args: &Args,
        docker: &Docker<'_>,
    ) -> Result<(), Fault> {
        if name == "env" {
            if let Some(env) = environment(args)? {
                self.values.insert(name.to_owned(), env);
            }
            return Ok(());
        }
        if name == "networks" {
            self.networks = networks(args, docker)?;
            return Ok(());
        }
        let Some(value) = given.get(name) else { return Ok(()) };
        let value = match name {
            "mounts" | "volumes" | "exposed_ports" | "publish_all_ports" | "published_ports" => {
                return Ok(());
            }
            "command" | "entrypoint" => {
                let lasting = args.text("command_handling") == "correct";
                match command(name, value, lasting)? {
                    Some(words) => words,
                    None => return Ok(()),
                }
            }
            "cpus" => {
                let billions = value.as_f64().and_then(|cpus| rounded(cpus * 1e9));
                billions.ok_or_else(|| beyond("such a number of cpus"))?.into()
            }
            "devices" => items(value).map(|device| device_of(&device)).collect(),
            "device_read_bps" | "device_write_bps" | "device_read_iops" | "device_write_iops" => {
                rates(value)?
            }
            "device_requests" | "platform" => return Err(beyond(format!("`{name}`"))),
            "etc_hosts" => {
                let hosts = value.as_object().into_iter().flatten();
                hosts.map(|(host, ip)| Value::from(format!("{host}:{}", text_of(ip)))).collect()
            }
            "healthcheck" => healthcheck(value)?,
            "ipc_mode" | "pid_mode" | "network_mode" => self.neighbour(&text_of(value), docker)?,
            "memory" | "memory_reservation" | "kernel_memory" | "shm_size" => {
                bytes(&text_of(value))?.into()
            }
            "memory_swap" => match text_of(value).as_str() {
                "unlimited" | "-1" => Value::from(-1),
                size => bytes(size)?.into(),
            },
            "labels" => labels(value.as_object().unwrap_or(&Map::new()))?.into(),
            "links" => links(value, args.text("name")),
            "log_options" => self.log_options(value),
            "mac_address" => text_of(value).replace('-', ":").into(),
            "sysctls" => {
                let all = value.as_object().into_iter().flatten();
                all.map(|(key, value)| (key.clone(), Value::from(text_of(value))))
                    .collect::<Map<_, _>>()
                    .into()
            }
            "tmpfs" => {
                let all = items(value);
                all.map(|one| {
                    let (place, options) = one.split_once(':').unwrap_or((&one, ""));
                    (place.to_owned(), Value::from(options))
                })
                .collect::<Map<_, _>>()
                .into()
            }
            "ulimits" => {
                items(value).map(|limit| limit_of(&limit)).collect::<Result<Value, _>>()?
            }
            _ => value.clone(),
        };
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    /// What is shared with another container names it by its id.
    fn neighbour(&mut self, mode: &str, docker: &Docker<'_>) -> Result<Value, Fault> {
        let Some(name) = mode.strip_prefix("container:") else { return Ok(mode.into()) };
        match docker.container(name)? {
            Some(found) => Ok(format!("container:{}", text_of(&found["Id"])).into()),
            None => {
                let warning = format!("Cannot find a container with name or ID \"{name}\"");
                self.warnings.push(warning.into());
                Ok(mode.into())
            }
        }
    }

    fn log_options(&mut self, value: &Value) -> Value {
        let mut options = Map::new();
        for (key, value) in value.as_object().into_iter().flatten() {
            let text = text_of(value);
            if !value.is_string() {
                self.warnings.push(
                    format!(
                        "Non-string value found for log_options option '{key}'. The value is automatically converted to '{text}'. If this is not correct, or you want to avoid such warnings, please quote the value."
                    )
                    .into(),
                );
            }
            options.insert(key.clone(), text.into());
        }
        options.into()
    }

    fn value(&self, name: &str) -> Value {
        self.values.get(name).cloned().unwrap_or_default()
    }

    /// Whether the daemon's own system has to be known.
    pub(super) fn needs_host(&self) -> bool {
        self.values.get("network_mode").is_some_and(|mode| *mode == "default")
    }

    /// What a container of `image` should have of each option.
    pub(super) fn expected(&self, image: &Value) -> Result<Map<String, Value>, Fault> {
        let mut expected = self.values.clone();
        for name in ["image", "networks"] {
            expected.shift_remove(name);
        }
        expected.insert("env".into(), self.environment_with(image));
        let usual = &image["Config"]["Cmd"];
        if expected.get("command") == Some(&json!([])) && usual.get(0).is_some() {
            expected.insert("command".into(), usual.clone());
        }
        if let Some(Value::Object(labels)) = self.values.get("labels") {
            let of_image = image["Config"]["Labels"].as_object().filter(|_| self.keeps_labels);
            let mut all = of_image.cloned().unwrap_or_default();
            all.extend(labels.clone());
            expected.insert("labels".into(), all.into());
        }
        self.mounts.expected(image, &mut expected);
        self.ports.expected(image, &mut expected)?;
        Ok(expected)
    }

    /// What is asked for in the environment, and what the image brings.
    fn environment_with(&self, image: &Value) -> Value {
        let mut all = Map::new();
        let given = self.value("env");
        for line in items(&image["Config"]["Env"]).chain(items(&given)) {
            let (name, value) = line.split_once('=').unwrap_or((&line, ""));
            all.insert(name.to_owned(), value.into());
        }
        all.iter().map(|(name, value)| format!("{name}={}", text_of(value))).collect()
    }

    /// Labels of the image that are not asked for.
    pub(super) fn labels_lost(&self, image: &Value) -> Vec<String> {
        if self.keeps_labels {
            return Vec::new();
        }
        let asked = self.value("labels");
        let of_image = image["Config"]["Labels"].as_object().into_iter().flatten();
        of_image
            .map(|(name, _)| name)
            .filter(|name| asked.get(name.as_str()).is_none())
            .cloned()
            .collect()
    }

    /// What makes such a container of `image`.
    pub(super) fn create(&self, image: &str) -> Map<String, Value> {
        let mut data = Map::new();
        let mut host = Map::new();
        for option in OPTIONS {
            let Some(value) = self.values.get(option.name).cloned() else { continue };
            match option.place {
                Place::Config(key) => data.insert(key.to_owned(), value),
                Place::Host(key) => host.insert(key.to_owned(), value),
                Place::Own => continue,
            };
        }
        self.attach(&mut data);
        if let Some(driver) = self.values.get("log_driver") {
            let config = match self.value("log_options") {
                Value::Null => json!({}),
                options => options,
            };
            host.insert("LogConfig".into(), json!({ "Type": driver, "Config": config }));
        }
        if let Some(policy) = self.restart_policy() {
            host.insert("RestartPolicy".into(), policy);
        }
        self.mounts.create(&mut data, &mut host);
        self.ports.create(&mut data, &mut host);
        if !host.is_empty() {
            data.insert("HostConfig".into(), host.into());
        }
        data.insert("Image".into(), image.into());
        data
    }

    /// What a container listens to and tells.
    fn attach(&self, data: &mut Map<String, Value>) {
        let interactive = self.value("interactive");
        let attached = self.value("detach") != true;
        let fed = attached && interactive == true;
        data.insert("AttachStdout".into(), attached.into());
        data.insert("AttachStderr".into(), attached.into());
        data.insert("AttachStdin".into(), fed.into());
        data.insert("StdinOnce".into(), fed.into());
        data.insert("OpenStdin".into(), interactive);
    }

    fn restart_policy(&self) -> Option<Value> {
        let policy = self.values.get("restart_policy")?;
        Some(json!({ "Name": policy, "MaximumRetryCount": self.value("restart_retries") }))
    }

    /// What changes a container that lives.
    pub(super) fn update(&self) -> Map<String, Value> {
        let mut data = Map::new();
        for option in OPTIONS.iter().filter(|option| option.lives) {
            if let (Place::Host(key), Some(value)) = (option.place, self.values.get(option.name)) {
                data.insert(key.to_owned(), value.clone());
            }
        }
        if let Some(policy) = self.restart_policy() {
            data.insert("RestartPolicy".into(), policy);
        }
        data
    }
}

/// What a container has of an option.
pub(super) fn found(name: &str, place: Place, container: &Value) -> Value {
    let (config, host) = (&container["Config"], &container["HostConfig"]);
    match (place, name) {
        (_, "healthcheck") => match &config["Healthcheck"] {
            Value::Null => json!({ "Test": ["NONE"] }),
            check if check["Test"] == json!(["NONE"]) => json!({ "Test": ["NONE"] }),
            check => check.clone(),
        },
        (Place::Config(key), _) => config[key].clone(),
        (Place::Host(key), _) => host[key].clone(),
        (_, "interactive") => (config["OpenStdin"] == true).into(),
        (_, "detach") => {
            (!(config["AttachStderr"] == true && config["AttachStdout"] == true)).into()
        }
        (_, "log_driver") => host["LogConfig"]["Type"].clone(),
        (_, "log_options") => host["LogConfig"]["Config"].clone(),
        (_, "restart_policy") => host["RestartPolicy"]["Name"].clone(),
        (_, "restart_retries") => host["RestartPolicy"]["MaximumRetryCount"].clone(),
        (_, "mounts") => super::mounts::mounted(container),
        (_, "volumes") => config["Volumes"].clone(),
        (_, "volume_binds") => host["Binds"].clone(),
        (_, "published_ports") => host["PortBindings"].clone(),
        (_, "exposed_ports") => super::ports::exposed(container),
        (_, "publish_all_ports") => host["PublishAllPorts"].clone(),
        _ => Value::Null,
    }
}

/// Options as they are given, with what follows from others.
fn given(args: &Args) -> Map<String, Value> {
    let mut given: Map<String, Value> = OPTIONS
        .iter()
        .filter_map(|option| Some((option.name.to_owned(), args.raw(option.name)?.clone())))
        .collect();
    if args.text("container_default_behavior") == "compatibility" {
        for (name, preset) in OF_OLD {
            given.entry((*name).to_owned()).or_insert_with(|| match preset {
                Preset::Flag(flag) => (*flag).into(),
                Preset::Text(text) => (*text).into(),
            });
        }
    }
    let first = args.raw("networks").map(|networks| &networks[0]["name"]);
    if let (true, Some(Value::String(first))) = (args.flag("networks_cli_compatible"), first) {
        given.entry("network_mode").or_insert_with(|| first.as_str().into());
    }
    given
}

/// Whether `name` is on, where a task may leave that to what was once usual.
pub(super) fn flag(name: &str, args: &Args) -> Option<bool> {
    args.maybe(name).or_else(|| {
        let old = args.text("container_default_behavior") == "compatibility";
        OF_OLD.iter().filter(|_| old).find(|(known, _)| *known == name).and_then(|(_, preset)| {
            match preset {
                Preset::Flag(flag) => Some(*flag),
                Preset::Text(_) => None,
            }
        })
    })
}

/// Texts of a list.
fn items(value: &Value) -> impl Iterator<Item = String> {
    value.as_array().into_iter().flatten().map(text_of)
}

/// The words of a command, and nothing if it says nothing.
fn command(name: &str, value: &Value, lasting: bool) -> Result<Option<Value>, Fault> {
    let split = |text: &str| shlex::split(text).map_err(|_| beyond(format!("such a {name}")));
    let empty = matches!(value, Value::Array(items) if items.is_empty()) || *value == "";
    let words = match value {
        _ if !lasting && empty => return Ok(None),
        Value::Array(_) if lasting => items(value).collect(),
        Value::Array(_) => split(&items(value).collect::<Vec<_>>().join(" "))?,
        Value::Object(_) => return Err(beyond(format!("such a {name}"))),
        text => split(&text_of(text))?,
    };
    Ok(Some(words.into()))
}

/// The environment of `env_file` and `env`, one `NAME=value` each.
fn environment(args: &Args) -> Result<Option<Value>, Fault> {
    let (file, env) = (args.str("env_file"), args.dict("env"));
    if file.is_none() && env.is_none() {
        return Ok(None);
    }
    let mut all = Map::new();
    if let Some(file) = file {
        let text = fs::read_to_string(file).map_err(|_| beyond(format!("the file {file}")))?;
        for line in text.split(['\n', '\r']).filter(|line| !line.starts_with('#')) {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (name, value) = line.split_once('=').ok_or_else(|| {
                fail!(
                    "An unexpected Docker error occurred: Invalid line in environment file {file}:\n{line}"
                )
            })?;
            all.insert(name.to_owned(), value.into());
        }
    }
    for (name, value) in env.into_iter().flatten() {
        all.insert(name.clone(), checked_text(name, value)?.into());
    }
    Ok(Some(all.iter().map(|(name, value)| format!("{name}={}", text_of(value))).collect()))
}

/// Text that must be text already: numbers in an environment are usually a mistake.
fn checked_text(key: &str, value: &Value) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text.clone()),
        _ => Err(fail!(
            "Non-string value found for env option. Ambiguous env options must be wrapped in quotes to avoid them being interpreted. Key: {key}"
        )),
    }
}

fn device_of(device: &str) -> Value {
    let mut parts = device.splitn(4, ':');
    let host = parts.next().unwrap_or_default();
    let inside = parts.next().unwrap_or(host);
    let permissions = parts.next().unwrap_or("rwm");
    json!({ "CgroupPermissions": permissions, "PathInContainer": inside, "PathOnHost": host })
}

fn rates(value: &Value) -> Result<Value, Fault> {
    let one = |device: &Value| {
        let rate = match &device["rate"] {
            Value::String(rate) => bytes(rate)?.into(),
            rate => rate.clone(),
        };
        Ok(json!({ "Path": device["path"], "Rate": rate }))
    };
    value.as_array().into_iter().flatten().map(one).collect()
}

fn limit_of(limit: &str) -> Result<Value, Fault> {
    let parts: Vec<&str> = limit.split(':').collect();
    let odd = || beyond(format!("the limit {limit}"));
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| odd());
    match parts.as_slice() {
        [name, both] => {
            let both = number(both)?;
            Ok(json!({ "Name": name, "Soft": both, "Hard": both }))
        }
        [name, soft, hard] => {
            Ok(json!({ "Name": name, "Soft": number(soft)?, "Hard": number(hard)? }))
        }
        _ => Err(odd()),
    }
}

fn links(value: &Value, name: &str) -> Value {
    let one = |link: String| {
        let (link, alias) = link.split_once(':').unwrap_or((&link, &link));
        Value::from(format!("/{link}:/{name}/{alias}"))
    };
    items(value).map(one).collect()
}

/// How the daemon finds out whether a container is well.
fn healthcheck(value: &Value) -> Result<Value, Fault> {
    let mut check = Map::new();
    for (ours, theirs) in [
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start_period", "StartPeriod"),
        ("start_interval", "StartInterval"),
    ] {
        if let Some(time) = value[ours].as_str() {
            let time = nanoseconds(time)?;
            if time != 0 {
                check.insert(theirs.to_owned(), time.into());
            }
        }
    }
    if let Some(retries) = value["retries"].as_i64().filter(|retries| *retries != 0) {
        check.insert("Retries".into(), retries.into());
    }
    let compatible = value["test_cli_compatible"] == true;
    let said = match &value["test"] {
        Value::Null => false,
        Value::Array(words) => !words.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Bool(flag) => *flag,
        _ => return Err(beyond("such a test of health")),
    };
    let none = Ok(json!({ "Test": ["NONE"] }));
    match &value["test"] {
        Value::Null if compatible => {}
        Value::Null => return none,
        _ if !said => return none,
        Value::Array(_) => {
            check.insert("Test".into(), items(&value["test"]).collect());
        }
        test => {
            check.insert("Test".into(), json!(["CMD-SHELL", text_of(test)]));
        }
    }
    Ok(check.into())
}

/// Networks with their ids and with links taken apart.
fn networks(args: &Args, docker: &Docker<'_>) -> Result<Option<Vec<Map<String, Value>>>, Fault> {
    let Some(Value::Array(given)) = args.raw("networks") else { return Ok(None) };
    let mut networks = Vec::new();
    for network in given.iter().filter_map(Value::as_object) {
        let mut network = network.clone();
        if network["links"].as_array().is_some_and(|links| !links.is_empty()) {
            let links = items(&network["links"]);
            let apart = |link: String| {
                let (link, alias) = link.split_once(':').unwrap_or((&link, &link));
                json!([link, alias])
            };
            let links: Value = links.map(apart).collect();
            network.insert("links".into(), links);
        }
        if let Some(address) = network["mac_address"].as_str().map(|mac| mac.replace('-', ":")) {
            network.insert("mac_address".into(), address.into());
        }
        let name = text_of(&network["name"]);
        network.insert("id".into(), network_id(&name, docker)?.into());
        networks.push(network);
    }
    Ok(Some(networks))
}

fn network_id(name: &str, docker: &Docker<'_>) -> Result<String, Fault> {
    let filters = json::python(&json!({ "name": [name] }));
    let all = docker
        .get("/networks".to_owned(), &[("filters", &filters)])
        .map_err(|refusal| fail!("Error getting network id for {name} - {refusal}"))?;
    let found = all.as_array().into_iter().flatten().find(|network| network["Name"] == *name);
    found.and_then(|network| network["Id"].as_str()).map(str::to_owned).ok_or_else(|| {
        fail!("Parameter error: network named {name} could not be found. Does it exist?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_health_are_told_as_the_daemon_has_them() {
        for (given, expected) in [
            (json!({ "test": "true" }), json!({ "Test": ["CMD-SHELL", "true"] })),
            (
                json!({ "test": ["CMD", "x"], "interval": "1s", "retries": 3 }),
                json!({ "Interval": 1_000_000_000, "Retries": 3, "Test": ["CMD", "x"] }),
            ),
            (json!({ "interval": "1s" }), json!({ "Test": ["NONE"] })),
            (json!({ "test": [] }), json!({ "Test": ["NONE"] })),
            (
                json!({ "interval": "1s", "timeout": "0s", "test_cli_compatible": true }),
                json!({ "Interval": 1_000_000_000 }),
            ),
            (json!({ "test": ["NONE"] }), json!({ "Test": ["NONE"] })),
        ] {
            assert_eq!(healthcheck(&given).unwrap(), expected, "{given}");
        }
        assert!(healthcheck(&json!({ "test": "x", "timeout": "5" })).is_err());
    }

    #[test]
    fn commands_are_words() {
        for (value, lasting, expected) in [
            (json!("a 'b c'"), true, Some(json!(["a", "b c"]))),
            (json!(["a b", 1]), true, Some(json!(["a b", "1"]))),
            (json!(["a b", 1]), false, Some(json!(["a", "b", "1"]))),
            (json!([]), true, Some(json!([]))),
            (json!([]), false, None),
            (json!(""), true, Some(json!([]))),
        ] {
            assert_eq!(command("command", &value, lasting).unwrap(), expected, "{value}");
        }
        assert!(command("command", &json!("a 'b"), true).is_err());
    }

    #[test]
    fn devices_and_limits_fall_into_parts() {
        let device = device_of("/dev/a:/dev/b");
        assert_eq!(device["PathInContainer"], "/dev/b");
        assert_eq!(device["CgroupPermissions"], "rwm");
        assert_eq!(device_of("/dev/a")["PathInContainer"], "/dev/a");
        assert_eq!(limit_of("nofile:1:2").unwrap()["Hard"], 2);
        assert_eq!(limit_of("nofile:1").unwrap()["Hard"], 1);
        assert!(limit_of("nofile").is_err() && limit_of("a:b").is_err());
    }
}
