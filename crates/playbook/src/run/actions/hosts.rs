//! Actions on hosts and time: `add_host`, `group_by`, `pause`, `wait_for_connection`.

use super::super::execute::{Call, Crew, number};
use super::super::outcome::{failed, put};
use super::done;
use crate::inventory::is_localhost;
use crate::output::Event;
use crate::value::Dict;
use crate::value::Value;
use std::time::Duration;

impl Crew<'_> {
    pub(super) fn add_host(&self, call: &Call<'_>) -> Dict {
        let text =
            |names: &[&str]| names.iter().find_map(|name| call.args.get(*name)).map(Value::to_text);
        let Some(name) = text(&["name", "hostname", "host"]) else {
            return failed("name, host or hostname needs to be provided");
        };
        let (host, port) = match name.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') && port.parse::<u16>().is_ok() => {
                (host.to_owned(), port.parse().ok())
            }
            _ => (name.clone(), None),
        };
        let groups =
            match ["groups", "groupname", "group"].iter().find_map(|name| call.args.get(*name)) {
                Some(value) => match value.as_list() {
                    Some(items) => items.iter().map(Value::to_text).collect(),
                    None => value
                        .to_text()
                        .split(',')
                        .map(|group| group.trim().to_owned())
                        .collect::<Vec<_>>(),
                },
                None => Vec::new(),
            };
        let vars: Vec<(String, Value)> = call
            .args
            .iter()
            .map(|(key, value)| (key.to_json_key(), value.clone()))
            .filter(|(key, _)| {
                !matches!(
                    key.as_str(),
                    "name" | "hostname" | "host" | "groups" | "groupname" | "group"
                )
            })
            .collect();
        let known = self.shared.inventory().contains(&host);
        let added = Value::dict_of([
            ("host_name", Value::str(&host)),
            ("groups", Value::strings(&groups)),
            ("host_vars", Value::dict_of(vars.clone())),
        ]);
        self.shared.change_inventory(move |inventory| {
            inventory.add_host(&host, None);
            for group in groups.iter().filter(|group| !group.is_empty()) {
                inventory.add_host(&host, Some(group));
            }
            if let Some(port) = port {
                inventory.set_host_var(&host, "ansible_ssh_port", Value::Int(port));
            }
            for (key, value) in &vars {
                inventory.set_host_var(&host, key, value.clone());
            }
        });
        let mut result = done(!known);
        put(&mut result, "add_host", added);
        result
    }

    pub(super) fn group_by(&self, call: &Call<'_>) -> Dict {
        let Some(key) = call.args.get("key").map(Value::to_text) else {
            return failed("the 'key' param is required when using group_by");
        };
        let key = key.replace(' ', "-");
        let parents: Vec<String> = match call.args.get("parents") {
            Some(value) => value.as_list().map_or_else(
                || vec![value.to_text()],
                |items| items.iter().map(Value::to_text).collect(),
            ),
            None => vec!["all".to_owned()],
        };
        let host = call.scope.host.name.clone();
        let known = self.shared.inventory().groups_of(&host).contains(&key);
        let (name, above) = (key.clone(), parents.clone());
        self.shared.change_inventory(move |inventory| {
            let key = &name;
            // When the inventory is read anew the host may be gone from it.
            if !inventory.contains(&host) && !is_localhost(&host) {
                return;
            }
            inventory.add_host(&host, Some(key));
            for parent in &above {
                let parent = parent.replace(' ', "-");
                let parent = inventory.add_group(&parent);
                if parent != *key && !inventory.group_within(&parent, key) {
                    inventory.groups[&parent].children.insert(key.clone());
                }
            }
        });
        let mut result = done(!known);
        put(&mut result, "add_group", Value::str(&key));
        put(&mut result, "parent_groups", Value::strings(&parents));
        result
    }

    pub(super) async fn pause(&self, call: &Call<'_>) -> Dict {
        let seconds = match (call.args.get("seconds"), call.args.get("minutes")) {
            (Some(value), None) => number(call.context, value).map(Some),
            (None, Some(value)) => number(call.context, value).map(|minutes| Some(minutes * 60.0)),
            (None, None) => Ok(None),
            _ => return failed("parameters are mutually exclusive: minutes|seconds"),
        };
        let seconds = match seconds {
            // Ansible pauses for a second at least.
            Ok(seconds) => seconds.map(|seconds| seconds.max(1.0)),
            Err(fault) => return failed(fault.what),
        };
        let prompt = call.args.get("prompt").map(Value::to_text);
        let mut result = done(false);
        match (seconds, prompt) {
            (Some(seconds), prompt) => {
                let text = match (prompt, seconds) {
                    (Some(prompt), _) => prompt,
                    (None, seconds) => format!("Pausing for {} seconds", seconds as i64),
                };
                self.sink.event(Event::Said(text));
                self.operator.sleep(Duration::from_secs_f64(seconds.min(1e9))).await;
                put(&mut result, "delta", Value::Int(seconds as i64));
            }
            (None, prompt) => {
                let prompt = prompt
                    .unwrap_or_else(|| "Press enter to continue, Ctrl+C to interrupt".to_owned());
                let hidden = call.args.get("echo").and_then(Value::as_boolean) == Some(false);
                let said = self.operator.ask(&format!("{prompt}:"), hidden).await;
                put(&mut result, "user_input", Value::from(said.unwrap_or_default()));
            }
        }
        put(&mut result, "echo", true);
        put(&mut result, "rc", 0i64);
        result
    }

    /// Tries until the host answers.
    pub(super) async fn wait_for_connection(&self, call: &Call<'_>) -> Dict {
        let read = |name: &str, default: f64| match call.args.get(name) {
            Some(value) => number(call.context, value),
            None => Ok(default),
        };
        let (timeout, delay, pause) =
            match (read("timeout", 600.0), read("delay", 0.0), read("sleep", 1.0)) {
                (Ok(timeout), Ok(delay), Ok(pause)) => (timeout, delay, pause.max(0.05)),
                (Err(fault), ..) | (_, Err(fault), _) | (.., Err(fault)) => {
                    return failed(fault.what);
                }
            };
        self.operator.sleep(Duration::from_secs_f64(delay.clamp(0.0, 1e9))).await;
        let began = self.shared.world.clock.now();
        loop {
            let result = self.module(call, "ping", &Dict::new()).await;
            if !super::super::outcome::flag(&result, "unreachable") {
                let mut result = done(false);
                let elapsed = self.shared.world.clock.now().duration_since(began).as_secs();
                put(&mut result, "elapsed", Value::Int(elapsed));
                return result;
            }
            let waited = self.shared.world.clock.now().duration_since(began).as_secs_f64();
            if waited >= timeout {
                let msg = result.get("msg").map(Value::to_text).unwrap_or_default();
                return failed(format!("timed out waiting for ping module test: {msg}"));
            }
            self.operator.sleep(Duration::from_secs_f64(pause)).await;
        }
    }
}
