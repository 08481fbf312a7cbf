//! The lines of Ansible's default callback.
//!
//! People grep them, so spaces and widths are those of ansible-core 2.19.14.

use super::{At, Counts, Event, Recap, diff};
use crate::value::{Dict, Indent, Value, python_json};
use crate::yaml::Origin;

/// Marks a result that is told even without `-v`; for `debug` it says so.
pub(crate) const SHOW: &str = "_ansible_verbose_always";
pub(crate) const SHOW_DEBUG: &str = "debug";

/// Marks a result that nobody is shown, whatever the task says.
pub(crate) const NO_LOG: &str = "_ansible_no_log";

/// How to show a run.
#[derive(Clone, Copy, Debug)]
pub struct ScreenOptions {
    /// `-v` so many times.
    pub verbosity: u8,
    /// With colours.
    pub colour: bool,
    /// Show how files change.
    pub diff: bool,
    /// Columns of the terminal; 79 where there is none.
    pub width: usize,
}

/// Turns events into lines.
#[derive(Debug)]
pub struct Screen {
    options: ScreenOptions,
    /// The banner of a task waits until one of its hosts says something.
    last_fault: Option<String>,
}

#[derive(Clone, Copy)]
enum Colour {
    Plain,
    Green,
    Yellow,
    Red,
    Cyan,
    Purple,
    Blue,
}

impl Screen {
    /// A renderer.
    pub fn new(options: ScreenOptions) -> Self {
        Self { options, last_fault: None }
    }

    /// The text of an event, each line ended. Events must come in order.
    pub fn render(&mut self, event: &Event) -> String {
        match event {
            Event::PlayBegan { name, .. } => self.banner(&format!("PLAY [{name}]")),
            Event::TaskBegan { name, handler, origin, .. } => {
                self.last_fault = None;
                let kind = if *handler { "RUNNING HANDLER" } else { "TASK" };
                let mut text = self.banner(&format!("{kind} [{name}]"));
                if let Some(origin) = origin.as_ref().filter(|_| self.options.verbosity >= 2) {
                    let path = format!("task path: {}:{}\n", origin.file, origin.line);
                    text.push_str(&self.paint(Colour::Plain, &path));
                }
                text
            }
            Event::Ok { at, changed, result, always } => {
                let (word, colour) =
                    if *changed { ("changed", Colour::Yellow) } else { ("ok", Colour::Green) };
                let mut line = format!("{word}: [{}]{}", host(at), item(at));
                if *always || self.options.verbosity > 0 {
                    line.push_str(&format!(" => {}", self.result(result)));
                }
                self.diff(result) + &self.line(colour, &line)
            }
            Event::Failed { at, result, why, origin, ignored } => {
                let mut text = self.fault(why, origin.as_ref());
                let line = match &at.item {
                    Some(_) => format!(
                        "failed: [{}]{} => {}",
                        host(at),
                        failed_item(at),
                        self.result(result)
                    ),
                    None => {
                        format!("fatal: [{}]: FAILED! => {}", host(at), self.result(result))
                    }
                };
                text.push_str(&self.diff(result));
                text.push_str(&self.line(Colour::Red, &line));
                if *ignored && at.item.is_none() {
                    text.push_str(&self.line(Colour::Cyan, "...ignoring"));
                }
                text
            }
            Event::Skipped { at, result } => {
                let mut line = format!("skipping: [{}]{}", host(at), item(at));
                if self.options.verbosity > 0 {
                    line.push_str(&format!(" => {}", self.result(result)));
                } else if at.item.is_some() {
                    line.push(' ');
                }
                self.line(Colour::Cyan, &line)
            }
            Event::Unreachable { at, result, ignored } => {
                let line = match &at.item {
                    Some(_) => format!(
                        "fatal: [{}]{}: UNREACHABLE! => {}",
                        host(at),
                        failed_item(at),
                        self.result(result)
                    ),
                    None => {
                        format!("fatal: [{}]: UNREACHABLE! => {}", host(at), self.result(result))
                    }
                };
                let mut text = self.line(Colour::Red, &line);
                if *ignored {
                    text.push_str(&self.line(Colour::Cyan, "...ignoring"));
                }
                text
            }
            Event::LoopIgnored => self.line(Colour::Cyan, "...ignoring"),
            Event::Retrying { at, task, left, result } => {
                let mut line =
                    format!("FAILED - RETRYING: [{}]: {task} ({left} retries left).", host(at));
                if self.options.verbosity > 2 {
                    line.push_str(&format!("Result was: {}", self.result(result)));
                }
                self.line(Colour::Plain, &line)
            }
            Event::Included { what, hosts, item } => {
                let mut line = format!("included: {what} for {}", hosts.join(", "));
                if let Some(item) = item {
                    line.push_str(&format!(" => (item={item})"));
                }
                self.line(Colour::Cyan, &line)
            }
            Event::NoHostsMatched => self.line(Colour::Cyan, "skipping: no hosts matched"),
            Event::NoHostsLeft => self.banner("NO MORE HOSTS LEFT"),
            Event::Said(text) => self.line(Colour::Plain, text),
            Event::Warning(text) => self.line(Colour::Purple, &format!("[WARNING]: {text}")),
            Event::Fault(text) => self.line(Colour::Red, &format!("[ERROR]: {text}")),
            Event::Ended(recap) => self.recap(recap),
        }
    }

    fn line(&self, colour: Colour, text: &str) -> String {
        self.paint(colour, text) + "\n"
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            _ if !self.options.colour => return text.to_owned(),
            Colour::Plain => return text.to_owned(),
            Colour::Green => "0;32",
            Colour::Yellow => "0;33",
            Colour::Red => "0;31",
            Colour::Cyan => "0;36",
            Colour::Purple => "1;35",
            Colour::Blue => "0;34",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    fn banner(&self, text: &str) -> String {
        let stars = self.options.width.saturating_sub(text.chars().count()).max(3);
        format!("\n{text} {}\n", "*".repeat(stars))
    }

    /// Why a task failed, with the lines of the playbook it stands in. Told once per task.
    fn fault(&mut self, why: &str, origin: Option<&Origin>) -> String {
        if self.last_fault.as_deref() == Some(why) {
            return String::new();
        }
        self.last_fault = Some(why.to_owned());
        let mut text = format!("[ERROR]: {why}\n");
        if let Some(origin) = origin {
            text.push_str(&format!("Origin: {origin}\n\n"));
            text.push_str(&excerpt(origin));
        }
        text.push('\n');
        self.paint(Colour::Red, text.trim_end_matches('\n')) + "\n\n"
    }

    fn diff(&self, result: &Value) -> String {
        if !self.options.diff {
            return String::new();
        }
        let Some(found) = result.get("diff") else { return String::new() };
        let text = diff::render(found);
        if !self.options.colour {
            return text;
        }
        text.split_inclusive('\n')
            .map(|line| {
                let colour = match line.chars().next() {
                    Some('+') => Colour::Green,
                    Some('-') => Colour::Red,
                    Some('@') => Colour::Cyan,
                    _ => Colour::Plain,
                };
                self.paint(colour, line.trim_end_matches('\n')) + "\n"
            })
            .collect()
    }

    /// A result as JSON: over many lines for those who asked or where the action asks for it.
    fn result(&self, result: &Value) -> String {
        let indented = result.get(SHOW).is_some() || self.options.verbosity > 2;
        let indent = Indent { width: indented.then_some(4), sorted: true, ascii: false };
        python_json(&shown(result, self.options.verbosity).to_json(), indent)
    }

    fn recap(&self, recap: &Recap) -> String {
        let mut text = self.banner("PLAY RECAP");
        let mut hosts: Vec<(&String, &Counts)> = recap.hosts.iter().collect();
        hosts.sort_by_key(|(name, _)| name.as_str());
        for (name, counts) in hosts {
            let colour = if counts.failed + counts.unreachable > 0 {
                Colour::Red
            } else if counts.changed > 0 {
                Colour::Yellow
            } else {
                Colour::Green
            };
            let fields = [
                ("ok", counts.ok, Colour::Green),
                ("changed", counts.changed, Colour::Yellow),
                ("unreachable", counts.unreachable, Colour::Red),
                ("failed", counts.failed, Colour::Red),
                ("skipped", counts.skipped, Colour::Cyan),
                ("rescued", counts.rescued, Colour::Yellow),
                ("ignored", counts.ignored, Colour::Blue),
            ];
            let fields: Vec<String> = fields
                .into_iter()
                .map(|(name, count, colour)| {
                    let field = format!("{name}={count:<4}");
                    if count > 0 { self.paint(colour, &field) } else { field }
                })
                .collect();
            text.push_str(&format!(
                "{} : {}\n",
                self.paint(colour, &format!("{name:<26}")),
                fields.join(" ")
            ));
        }
        text.push('\n');
        if let Some(broken) = &recap.broken {
            text.push_str(&self.line(Colour::Red, &format!("[ERROR]: {broken}")));
        }
        text
    }
}

/// What people are shown of a result.
pub(super) fn shown(result: &Value, verbosity: u8) -> Value {
    let empty = Dict::new();
    let entries = result.as_dict().unwrap_or(&empty);
    let of_debug = entries.get(SHOW).and_then(Value::as_str) == Some(SHOW_DEBUG);
    let only_msg = of_debug && entries.contains_key("msg");
    let kept: Dict = entries
        .iter()
        .filter(|(key, _)| {
            let key = key.to_json_key();
            let detail = matches!(key.as_str(), "invocation" | "diff" | "exception");
            let hidden = key.starts_with("_ansible_")
                || key == "failed"
                || (detail && verbosity < 3)
                || (only_msg && key != "msg")
                || (of_debug && matches!(key.as_str(), "changed" | "skipped" | "skip_reason"));
            !hidden
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Value::dict(kept)
}

fn host(at: &At) -> String {
    match &at.delegate {
        Some(delegate) => format!("{} -> {delegate}", at.host),
        None => at.host.clone(),
    }
}

fn item(at: &At) -> String {
    at.item.as_ref().map(|item| format!(" => (item={item})")).unwrap_or_default()
}

fn failed_item(at: &At) -> String {
    at.item.as_ref().map(|item| format!(" (item={item})")).unwrap_or_default()
}

/// The line that is meant and the two before it, with a mark under the column.
fn excerpt(origin: &Origin) -> String {
    const WIDTH: usize = 120;
    let Ok(text) = std::fs::read_to_string(&*origin.file) else { return String::new() };
    let last = origin.line as usize;
    let first = last.saturating_sub(2).max(1);
    let digits = last.to_string().len();
    let mut out = String::new();
    for (index, line) in text.lines().enumerate().take(last).skip(first - 1) {
        let line = format!("{:>digits$} {line}", index + 1);
        if line.chars().count() > WIDTH {
            out.extend(line.chars().take(WIDTH - 3));
            out.push_str("...\n");
        } else {
            out.push_str(&line);
            out.push('\n');
        }
    }
    let column = origin.column as usize;
    out.push_str(&format!("{}^ column {column}\n", " ".repeat(digits + column)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Screen {
        Screen::new(ScreenOptions { verbosity: 0, colour: false, diff: true, width: 79 })
    }

    fn at(item: Option<&str>) -> At {
        At { host: "localhost".to_owned(), delegate: None, item: item.map(str::to_owned) }
    }

    // Every line below was printed by ansible-core 2.19.14 on 2026-11-21.
    #[test]
    fn lines_are_those_that_people_know() {
        let mut screen = screen();
        let mut show = |event: Event| screen.render(&event);
        assert_eq!(
            show(Event::PlayBegan { name: "localhost".to_owned(), check: false }),
            "\nPLAY [localhost] ***************************************************************\n"
        );
        assert_eq!(
            show(Event::TaskBegan {
                name: "debug".to_owned(),
                handler: false,
                check: false,
                origin: None
            }),
            "\nTASK [debug] *******************************************************************\n"
        );
        let debug = Value::dict_of([
            ("msg", Value::str("inc")),
            ("changed", Value::Bool(false)),
            (SHOW, Value::str(SHOW_DEBUG)),
        ]);
        assert_eq!(
            show(Event::Ok { at: at(None), changed: false, result: debug, always: true }),
            "ok: [localhost] => {\n    \"msg\": \"inc\"\n}\n"
        );
        let empty = Value::dict(Dict::new());
        assert_eq!(
            show(Event::Ok {
                at: at(Some("{'b': 1}")),
                changed: true,
                result: empty.clone(),
                always: false
            }),
            "changed: [localhost] => (item={'b': 1})\n"
        );
        assert_eq!(
            show(Event::Skipped { at: at(Some("a")), result: empty.clone() }),
            "skipping: [localhost] => (item=a) \n"
        );
        assert_eq!(
            show(Event::Skipped { at: at(None), result: empty.clone() }),
            "skipping: [localhost]\n"
        );
        let failed = Value::dict_of([
            ("msg", Value::str("bad")),
            ("failed", Value::Bool(true)),
            ("changed", Value::Bool(false)),
        ]);
        assert_eq!(
            show(Event::Failed {
                at: at(None),
                result: failed.clone(),
                why: "Task failed: Action failed: bad".to_owned(),
                origin: None,
                ignored: true
            }),
            "[ERROR]: Task failed: Action failed: bad\n\nfatal: [localhost]: FAILED! => {\"changed\": false, \"msg\": \"bad\"}\n...ignoring\n"
        );
        assert_eq!(
            show(Event::Included {
                what: "/p/inc.yml".to_owned(),
                hosts: vec!["localhost".to_owned()],
                item: Some("1".to_owned())
            }),
            "included: /p/inc.yml for localhost => (item=1)\n"
        );
        let mut recap = Recap::default();
        *recap.count("localhost") = Counts {
            ok: 40,
            changed: 9,
            failed: 1,
            skipped: 2,
            rescued: 1,
            ignored: 11,
            unreachable: 0,
        };
        assert_eq!(
            show(Event::Ended(recap)),
            "\nPLAY RECAP *********************************************************************\nlocalhost                  : ok=40   changed=9    unreachable=0    failed=1    skipped=2    rescued=1    ignored=11  \n\n"
        );
    }

    #[test]
    fn exit_codes_are_ansibles() {
        let mut recap = Recap::default();
        assert_eq!(recap.exit_code(), 0);
        recap.count("a").failed = 1;
        assert_eq!(recap.exit_code(), 2);
        recap.count("b").unreachable = 1;
        assert_eq!(recap.exit_code(), 4);
    }
}
