//! One module on many hosts: a play of one task, run by the same engine as any other.

use crate::ControlError;
use crate::hosts::{Reacher, Way};
use crate::play::{Hosts, loader};
use crate::settings::Settings;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use updraft_playbook::inventory::Inventory;
use updraft_playbook::output::{Event, Minimal, MinimalOptions, Recap, Sink};
use updraft_playbook::{Operator, Playbook, RunOptions};

/// Modules that make no sense without arguments (ansible-core 2.19, `MODULE_REQUIRE_ARGS`).
const NEED_ARGS: &[&str] = &["command", "shell", "raw", "script", "expect"];

/// What is asked of an ad-hoc command.
pub struct AdHocRequest {
    /// The hosts: all of them, and the limit is in the options.
    pub pattern: String,
    /// The module.
    pub module: String,
    /// Its arguments: `key=value …`, or a JSON object.
    pub args: Option<String>,
    /// Have it go on in the background for so many seconds at most; 0 does not.
    pub background: u64,
    /// Seconds between two looks at it.
    pub poll: u64,
    /// Seconds it may take; 0 is no limit.
    pub timeout: u64,
    /// Where files of the command are looked for, and variables beside a playbook.
    pub dir: PathBuf,
    /// Hosts and variables.
    pub inventory: Inventory,
    /// How to run.
    pub options: RunOptions,
    /// How to show it.
    pub screen: MinimalOptions,
    /// A directory that gets each host's result in a file.
    pub tree: Option<PathBuf>,
}

impl AdHocRequest {
    /// What is wrong with the command as it stands, if anything is.
    pub fn fault(&self) -> Option<String> {
        let short = short(&self.module);
        if self.args.as_deref().is_none_or(str::is_empty) && NEED_ARGS.contains(&short) {
            let meant = if self.pattern.ends_with(".yml") {
                " (did you mean to run ansible-playbook?)"
            } else {
                ""
            };
            return Some(format!("No argument passed to {} module{meant}", self.module));
        }
        (short == "import_playbook")
            .then(|| format!("'{}' is not a valid action for ad-hoc commands", self.module))
    }

    /// The play that does it.
    fn play(&self) -> String {
        let mut task = Map::new();
        let args = self.args.clone().unwrap_or_default();
        let object = args.trim_start().starts_with('{').then(|| serde_json::from_str(&args).ok());
        match object.flatten() {
            Some(Value::Object(mut entries)) => {
                entries.insert("module".to_owned(), json!(self.module));
                task.insert("action".to_owned(), Value::Object(entries));
            }
            _ => {
                task.insert("action".to_owned(), json!(format!("{} {args}", self.module)));
            }
        }
        if self.background > 0 {
            task.insert("async".to_owned(), json!(self.background));
            task.insert("poll".to_owned(), json!(self.poll));
        }
        if self.timeout > 0 {
            task.insert("timeout".to_owned(), json!(self.timeout));
        }
        json!([{
            "name": "Ansible Ad-Hoc",
            "hosts": self.pattern,
            "gather_facts": false,
            "tasks": [task],
        }])
        .to_string()
    }
}

fn short(module: &str) -> &str {
    ["ansible.builtin.", "ansible.legacy."]
        .iter()
        .find_map(|place| module.strip_prefix(place))
        .unwrap_or(module)
}

/// Who prints.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    /// Standard output.
    pub out: fn(&str),
    /// Standard error.
    pub err: fn(&str),
}

struct MinimalSink<'a> {
    screen: Mutex<Minimal>,
    tree: Option<&'a Path>,
    streams: Streams,
}

impl Sink for MinimalSink<'_> {
    fn event(&self, event: Event) {
        if let Some(tree) = self.tree
            && let Event::Ok { at, result, .. }
            | Event::Failed { at, result, .. }
            | Event::Unreachable { at, result, .. } = &event
        {
            // As Ansible: a tree that cannot be written does not stop the command.
            drop(std::fs::create_dir_all(tree));
            drop(std::fs::write(tree.join(&at.host), result.to_json().to_string()));
        }
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let (out, err) = screen.render(&event);
        if !err.is_empty() {
            (self.streams.err)(&err);
        }
        (self.streams.out)(&out);
    }
}

/// Runs one module on hosts.
///
/// # Errors
/// When the module or its arguments make no sense; then nothing was changed.
pub async fn ad_hoc(
    request: &AdHocRequest,
    reacher: &Reacher,
    machines: Vec<(String, Way)>,
    settings: &Settings,
    operator: &dyn Operator,
    streams: Streams,
) -> Result<Recap, ControlError> {
    let name = format!("<adhoc '{}' task>", request.module);
    let loader = loader(settings, request.options.extra_vars.clone(), true);
    let playbook = Playbook::from_text(&name, &request.play(), &request.dir, &loader)
        .map_err(ControlError::Playbook)?;
    let hosts = Hosts {
        reacher,
        settings,
        machines: machines.into_iter().collect(),
        open: tokio::sync::Mutex::default(),
    };
    let sink = MinimalSink {
        screen: Mutex::new(Minimal::new(request.screen.clone())),
        tree: request.tree.as_deref(),
        streams,
    };
    playbook
        .run(&request.inventory, &hosts, operator, &request.options, &sink)
        .await
        .map_err(ControlError::Playbook)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(module: &str, args: Option<&str>) -> AdHocRequest {
        AdHocRequest {
            pattern: "all".to_owned(),
            module: module.to_owned(),
            args: args.map(str::to_owned),
            background: 0,
            poll: 15,
            timeout: 0,
            dir: PathBuf::from("."),
            inventory: Inventory::default(),
            options: RunOptions::ordinary(),
            screen: MinimalOptions {
                module: module.to_owned(),
                verbosity: 0,
                colour: false,
                one_line: false,
                diff_context: 3,
                dialect: Default::default(),
            },
            tree: None,
        }
    }

    fn task(module: &str, args: &str) -> Value {
        let plays: Value = serde_json::from_str(&request(module, Some(args)).play()).unwrap();
        plays[0]["tasks"][0].clone()
    }

    #[test]
    fn arguments_are_words_or_json() {
        assert_eq!(
            task("file", "path=/x state=absent"),
            json!({"action": "file path=/x state=absent"})
        );
        assert_eq!(
            task("command", r#"{"cmd": "id"}"#),
            json!({"action": {"cmd": "id", "module": "command"}})
        );
        // Not JSON, so it is what it looks like.
        assert_eq!(task("shell", "{ id; }"), json!({"action": "shell { id; }"}));
    }

    #[test]
    fn what_makes_no_sense_is_said_as_ansible_says_it() {
        let fault = |module: &str, args| request(module, args).fault();
        assert_eq!(fault("command", None).unwrap(), "No argument passed to command module");
        assert!(fault("import_playbook", Some("x.yml")).unwrap().contains("not a valid action"));
        assert_eq!(fault("ping", None), None);
    }
}
