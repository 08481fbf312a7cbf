//! The lines of Ansible's `minimal` and `oneline` callbacks, which ad-hoc commands print with.

use super::faults::{fault_text, warnings_of};
use super::screen::shown;
use super::{Event, diff};
use crate::template::Dialect;
use crate::value::{Indent, Value, python_json};
use std::collections::HashSet;

/// Modules whose answer is shown as what the command said (ansible-core 2.19, `MODULE_NO_JSON`).
const COMMANDS: &[&str] = &["command", "shell", "raw"];

/// How to show an ad-hoc command.
#[derive(Clone, Debug)]
pub struct MinimalOptions {
    /// The module, as it was named.
    pub module: String,
    /// `-v` so many times.
    pub verbosity: u8,
    /// With colours.
    pub colour: bool,
    /// One line for each host.
    pub one_line: bool,
    /// Lines around a change.
    pub diff_context: usize,
    /// Whose words are used for failures.
    pub dialect: Dialect,
}

/// Turns events into lines.
#[derive(Debug)]
pub struct Minimal {
    options: MinimalOptions,
    last_fault: Option<String>,
    /// Warnings that were told; the same is told once.
    told: HashSet<String>,
}

impl Minimal {
    /// A renderer.
    pub fn new(options: MinimalOptions) -> Self {
        Self { options, last_fault: None, told: HashSet::new() }
    }

    /// The text of an event, each line ended: what belongs on standard output, and what belongs on
    /// standard error.
    pub fn render(&mut self, event: &Event) -> (String, String) {
        let mut err = match event {
            Event::Ok { result, .. }
            | Event::Failed { result, .. }
            | Event::Unreachable { result, .. } => self.warnings(result),
            _ => String::new(),
        };
        let out = match event {
            Event::Ok { at, changed, result, .. } => {
                let (word, code) = if *changed { ("CHANGED", "0;33") } else { ("SUCCESS", "0;32") };
                self.diff_of(result) + &self.said(&at.host, word, " =>", code, result)
            }
            Event::Failed { at, result, why, .. } => {
                let classic = self.options.dialect == Dialect::Core214;
                if !classic && self.last_fault.as_ref() != Some(why) {
                    err += &(self.paint("0;31", &format!("[ERROR]: {why}")) + "\n\n");
                    self.last_fault = Some(why.clone());
                }
                self.diff_of(result) + &self.said(&at.host, "FAILED", "! =>", "0;31", result)
            }
            Event::Skipped { at, .. } => {
                self.paint("0;36", &format!("{} | SKIPPED", at.host)) + "\n"
            }
            Event::Unreachable { at, result, .. } => {
                let line = match self.options.one_line {
                    true => {
                        let why = result.get("msg").map(Value::to_text).unwrap_or_default();
                        format!("{} | UNREACHABLE!: {why}", at.host)
                    }
                    false => format!("{} | UNREACHABLE! => {}", at.host, self.json(result)),
                };
                self.paint("1;31", &line) + "\n"
            }
            Event::Said(text) => format!("{text}\n"),
            Event::Warning(text) => {
                err = self.paint("1;35", &format!("[WARNING]: {text}")) + "\n";
                String::new()
            }
            Event::Fault(fault) => {
                err = self.paint("0;31", fault_text(fault).trim_end_matches('\n')) + "\n";
                String::new()
            }
            _ => String::new(),
        };
        (out, err)
    }

    fn warnings(&mut self, result: &Value) -> String {
        let mut lines = warnings_of(result);
        lines.retain(|line| self.told.insert(line.clone()));
        lines.iter().map(|line| self.paint("1;35", line) + "\n").collect()
    }

    fn paint(&self, code: &str, text: &str) -> String {
        match self.options.colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    /// A result as JSON: over several lines, or on one without blanks between its entries.
    fn json(&self, result: &Value) -> String {
        let width = Some(if self.options.one_line { 0 } else { 4 });
        let indent = Indent { width, sorted: true, ascii: false };
        let text = python_json(&shown(result, self.options.verbosity).to_json(), indent);
        if self.options.one_line { text.replace('\n', "") } else { text }
    }

    fn said(&self, host: &str, word: &str, arrow: &str, code: &str, result: &Value) -> String {
        let module = &self.options.module;
        let short = ["ansible.builtin.", "ansible.legacy."]
            .iter()
            .find_map(|place| module.strip_prefix(place))
            .unwrap_or(module);
        let command = COMMANDS.contains(&short)
            && result.get("ansible_job_id").is_none()
            && result.get("module_stderr").is_none();
        let text = |name: &str| result.get(name).map(Value::to_text).unwrap_or_default();
        let line = if command {
            let status = result.get("rc").map_or_else(|| "-1".to_owned(), Value::to_text);
            if self.options.one_line {
                let flat = |name: &str| text(name).replace('\n', "\\n").replace('\r', "\\r");
                let errors = match flat("stderr") {
                    errors if errors.is_empty() => errors,
                    errors => format!(" (stderr) {errors}"),
                };
                format!("{host} | {word} | rc={status} | (stdout) {}{errors}", flat("stdout"))
            } else {
                let said = text("stdout") + &text("stderr") + &text("msg");
                format!("{host} | {word} | rc={status} >>\n{said}")
            }
        } else {
            format!("{host} | {word}{arrow} {}", self.json(result))
        };
        self.paint(code, &line) + "\n"
    }

    fn diff_of(&self, result: &Value) -> String {
        match result.get("diff") {
            Some(found) => match diff::render(found, self.options.diff_context) {
                text if text.is_empty() => text,
                text => text + "\n",
            },
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::At;
    use super::*;

    fn show(module: &str, one_line: bool, event: &Event) -> String {
        let options = MinimalOptions {
            module: module.to_owned(),
            verbosity: 0,
            colour: false,
            one_line,
            diff_context: 3,
            dialect: Dialect::default(),
        };
        Minimal::new(options).render(event).0
    }

    fn at() -> At {
        At { host: "h".to_owned(), delegate: None, item: None }
    }

    // Every line below was printed by ansible-core 2.19.14 on 2026-11-22.
    #[test]
    fn lines_are_those_of_ad_hoc_commands() {
        let pong = Value::dict_of([("ping", Value::str("pong")), ("changed", Value::Bool(false))]);
        let ok = Event::Ok { at: at(), changed: false, result: pong, always: false, diff: false };
        assert_eq!(
            show("ping", false, &ok),
            "h | SUCCESS => {\n    \"changed\": false,\n    \"ping\": \"pong\"\n}\n"
        );
        assert_eq!(
            show("ping", true, &ok),
            "h | SUCCESS => {\"changed\": false,\"ping\": \"pong\"}\n"
        );
        let said = Value::dict_of([
            ("rc", Value::Int(0)),
            ("stdout", Value::str("a\nb")),
            ("stderr", Value::str("")),
        ]);
        let ran = Event::Ok { at: at(), changed: true, result: said, always: false, diff: false };
        assert_eq!(show("command", false, &ran), "h | CHANGED | rc=0 >>\na\nb\n");
        assert_eq!(
            show("ansible.builtin.command", true, &ran),
            "h | CHANGED | rc=0 | (stdout) a\\nb\n"
        );
        let broken = Value::dict_of([
            ("rc", Value::Int(3)),
            ("stdout", Value::str("out")),
            ("stderr", Value::str("err")),
            ("msg", Value::str("non-zero return code")),
            ("failed", Value::Bool(true)),
        ]);
        let failed = |result: Value| Event::Failed {
            at: at(),
            result,
            why: "Task failed: Module failed: non-zero return code".to_owned(),
            origin: None,
            causes: Vec::new(),
            variables: Vec::new(),
            ignored: false,
        };
        assert_eq!(
            show("shell", false, &failed(broken)),
            "h | FAILED | rc=3 >>\nouterrnon-zero return code\n"
        );
        let msg = Value::dict_of([("msg", Value::str("no")), ("failed", Value::Bool(true))]);
        assert_eq!(
            show("fail", false, &failed(msg.clone())),
            "h | FAILED! => {\n    \"msg\": \"no\"\n}\n"
        );
        let gone = Event::Unreachable {
            at: at(),
            result: msg.clone(),
            why: "Task failed: no".to_owned(),
            origin: None,
            ignored: false,
        };
        assert_eq!(show("ping", false, &gone), "h | UNREACHABLE! => {\n    \"msg\": \"no\"\n}\n");
        assert_eq!(show("ping", true, &gone), "h | UNREACHABLE!: no\n");
        assert_eq!(show("x", false, &Event::Skipped { at: at(), result: msg }), "h | SKIPPED\n");
    }
}
