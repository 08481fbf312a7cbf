//! The lines of Ansible's `minimal` and `oneline` callbacks, which ad-hoc commands print with.

use super::faults::{chain_text, fault_text, warnings_of};
use super::screen::{NO_TRACEBACK, SHOW, shown};
use super::teller::bare;
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
    /// Tasks stand somewhere: it is a play.
    of_play: bool,
    /// Warnings that were told; the same is told once.
    told: HashSet<String>,
}

impl Minimal {
    /// A renderer.
    pub fn new(options: MinimalOptions) -> Self {
        Self { options, last_fault: None, of_play: false, told: HashSet::new() }
    }

    /// What comes next is a play's task of this module.
    pub(super) fn task_of(&mut self, module: &str) {
        self.of_play = true;
        self.options.module = module.to_owned();
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
            Event::Failed { at, result, why, origin, causes, .. } => {
                let classic = self.options.dialect == Dialect::Core214;
                if !classic && !self.options.one_line && self.last_fault.as_ref() != Some(why) {
                    let place = origin.as_ref().filter(|_| self.of_play);
                    let text = chain_text(why, place, causes);
                    err += &(self.paint("0;31", text.trim_end_matches('\n')) + "\n\n");
                    self.last_fault = Some(why.clone());
                }
                let said = self.said(&at.host, "FAILED", "! =>", "0;31", result);
                let more = match self.options.one_line && !classic {
                    true => self.twice(&at.host, result),
                    false => (String::new(), String::new()),
                };
                self.diff_of(result) + &more.0 + &said + &more.1
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
        if !self.options.one_line {
            let indent = Indent { width: Some(4), sorted: true, ascii: false };
            return python_json(&shown(result, self.options.verbosity).to_json(), indent);
        }
        // Nothing of `debug` is hidden, and what asks for several lines leaves their blanks.
        let entries = result.as_dict().into_iter().flatten();
        let plain = entries.filter(|(key, _)| key.as_str() != Some(SHOW));
        let plain = Value::dict(plain.map(|(key, value)| (key.clone(), value.clone())).collect());
        let width = Some(if result.get(SHOW).is_some() { 4 } else { 0 });
        let indent = Indent { width, sorted: true, ascii: false };
        let text = python_json(&shown(&plain, self.options.verbosity).to_json(), indent);
        text.replace('\n', "")
    }

    /// What `oneline` says of a failure before and after the line that says it.
    fn twice(&self, host: &str, result: &Value) -> (String, String) {
        if self.is_command(result) {
            let line = format!("{host} | FAILED! => {}", self.json(result));
            return (String::new(), self.paint("0;31", &line) + "\n");
        }
        // A loop has no exception of its own.
        let told = result.get("exception").map(Value::to_text);
        let Some(told) =
            told.or_else(|| result.get("results").is_none().then(|| NO_TRACEBACK.to_owned()))
        else {
            return Default::default();
        };
        let last = told.trim().lines().last().unwrap_or_default();
        let line = format!(
            "An exception occurred during task execution. To see the full traceback, use -vvv. The error was: {last}"
        );
        (self.paint("0;31", &line) + "\n", String::new())
    }

    /// Whether what the command said is shown, not the result.
    fn is_command(&self, result: &Value) -> bool {
        COMMANDS.contains(&bare(&self.options.module))
            && result.get("ansible_job_id").is_none()
            && result.get("module_stderr").is_none()
    }

    fn said(&self, host: &str, word: &str, arrow: &str, code: &str, result: &Value) -> String {
        let text = |name: &str| result.get(name).map(Value::to_text).unwrap_or_default();
        let line = if self.is_command(result) {
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

    /// How files change.
    pub(super) fn diff_of(&self, result: &Value) -> String {
        match result.get("diff") {
            Some(found) if !self.options.one_line => diff::render(found, self.options.diff_context),
            _ => String::new(),
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
