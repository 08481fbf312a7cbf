//! The lines of Ansible's default callback.
//!
//! People grep them, so spaces and widths are those of ansible-core 2.19.14.

use super::faults::{chain_text, fault_text, warnings_of};
use super::{At, Counts, Event, Recap, Show, Style, diff};
use crate::fault::Cause;
use crate::template::Dialect;
use crate::value::{Dict, Indent, Value, python_json};
use crate::yaml::Origin;
use std::collections::HashSet;

/// Marks a result that is told even without `-v`; for `debug` it says so.
pub(crate) const SHOW: &str = "_ansible_verbose_always";
pub(crate) const SHOW_DEBUG: &str = "debug";

/// Marks a result that nobody is shown, whatever the task says.
pub(crate) const NO_LOG: &str = "_ansible_no_log";

/// What a result has for an exception when tracebacks are not asked for.
pub(crate) const NO_TRACEBACK: &str = "(traceback unavailable)";

/// How to show a run.
#[derive(Clone, Copy, Debug)]
pub struct ScreenOptions {
    /// `-v` so many times.
    pub verbosity: u8,
    /// With colours.
    pub colour: bool,
    /// Columns of the terminal less one; 79 where there is none.
    pub width: usize,
    /// Whose words are used for failures.
    pub dialect: Dialect,
    /// What the settings of the default callback say.
    pub show: Show,
}

/// Some lines, and whether they belong on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// They go to standard error.
    pub error: bool,
    /// The lines, each ended.
    pub text: String,
}

impl Piece {
    fn out(text: String) -> Self {
        Self { error: false, text }
    }

    fn error(text: String) -> Self {
        Self { error: true, text }
    }
}

/// Turns events into lines.
#[derive(Debug)]
pub struct Screen {
    options: ScreenOptions,
    /// What was told of faults and warnings; the same is told once.
    told: HashSet<String>,
    /// The banner of a task that waits until one of its hosts has something to say.
    pending: Option<String>,
    /// Where the task stands that runs.
    task_at: Option<Origin>,
    dry: bool,
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
        Self { options, told: HashSet::new(), pending: None, task_at: None, dry: false }
    }

    /// The text of an event, each line ended. Events must come in order.
    pub fn render(&mut self, event: &Event) -> String {
        self.pieces(event).into_iter().map(|piece| piece.text).collect()
    }

    /// The lines of an event by where they go. Events must come in order.
    pub fn pieces(&mut self, event: &Event) -> Vec<Piece> {
        let show = self.options.show;
        match event {
            Event::PlaybookBegan { file, plays } => {
                if self.options.verbosity < 2 {
                    return Vec::new();
                }
                let name = file.rsplit('/').next().unwrap_or(file);
                let text = self.banner(&format!("PLAYBOOK: {name}"));
                vec![Piece::out(text + &format!("{plays} plays in {file}\n"))]
            }
            Event::PlayBegan { name, check, .. } => {
                self.dry |= *check;
                let mark = if *check && show.check_markers { " [CHECK MODE]" } else { "" };
                let title = match name.trim() {
                    "" => format!("PLAY{mark}"),
                    name => format!("PLAY [{name}]{mark}"),
                };
                vec![Piece::out(self.banner(&title))]
            }
            Event::TaskBegan { name, args, handler, origin, check, .. } => {
                let kind = if *handler { "RUNNING HANDLER" } else { "TASK" };
                let mark = if *check && show.check_markers { " [CHECK MODE]" } else { "" };
                let mut text = self.banner(&format!("{kind} [{}{args}]{mark}", name.trim()));
                if self.options.verbosity >= 2 {
                    text.push_str(&self.task_path(origin.as_ref()));
                }
                self.task_at.clone_from(origin);
                self.pending = Some(text);
                match show.ok_hosts && show.skipped_hosts {
                    true => self.open(),
                    false => Vec::new(),
                }
            }
            Event::Ok { at, changed, result, always, diff } => {
                let (word, colour) =
                    if *changed { ("changed", Colour::Yellow) } else { ("ok", Colour::Green) };
                let mut pieces = Vec::new();
                if *changed || show.ok_hosts {
                    pieces = self.open();
                    pieces.extend(self.warnings(result));
                    let mut line = format!("{word}: [{}]{}", host(at), item(at));
                    if *always || self.options.verbosity > 0 {
                        line.push_str(&format!(" => {}", self.result(result)));
                    }
                    let diff = if *changed && *diff { self.diff(result) } else { String::new() };
                    pieces.push(Piece::out(diff + &self.line(colour, &line)));
                }
                pieces
            }
            Event::Failed { at, result, why, origin, causes, variables, ignored } => {
                let mut pieces = self.open();
                pieces.extend(self.warnings(result));
                let mut text = match self.options.dialect {
                    Dialect::Core214 => self.exception(result),
                    Dialect::Core219 => self.fault(why, origin.as_ref(), causes),
                };
                let line = match &at.item {
                    Some(_) => format!(
                        "failed: [{}]{} => {}",
                        host(at),
                        failed_item(at),
                        self.result(result)
                    ),
                    None => {
                        if show.path_on_failure && self.options.verbosity < 2 {
                            text.push_str(&self.task_path(self.task_at.as_ref()));
                        }
                        format!("fatal: [{}]: FAILED! => {}", host(at), self.result(result))
                    }
                };
                text.push_str(&self.line(Colour::Red, &line));
                pieces.push(Piece { error: show.failed_stderr, text });
                if *ignored && at.item.is_none() {
                    pieces.push(Piece::out(self.line(Colour::Cyan, "...ignoring")));
                }
                if !variables.is_empty() {
                    let lines: Vec<String> = variables.iter().map(ToString::to_string).collect();
                    let lines = lines.join("\n  ");
                    let text = format!("variables, and who set them last:\n  {lines}\n");
                    pieces.push(Piece { error: show.failed_stderr, text });
                }
                pieces
            }
            Event::Skipped { at, result } => {
                if !show.skipped_hosts {
                    return Vec::new();
                }
                let mut pieces = self.open();
                pieces.extend(self.warnings(result));
                let mut line = format!("skipping: [{}]{}", at.host, item(at));
                if at.item.is_some() {
                    line.push(' ');
                }
                if self.options.verbosity > 0 {
                    line.push_str(&format!(" => {}", self.result(result)));
                }
                pieces.push(Piece::out(self.line(Colour::Cyan, &line)));
                pieces
            }
            Event::Unreachable { at, result, why, origin, ignored } => {
                let mut pieces = self.open();
                pieces.extend(self.warnings(result));
                let mut text = match self.options.dialect {
                    Dialect::Core214 => String::new(),
                    Dialect::Core219 => self.fault(why, origin.as_ref(), &[]),
                };
                // Of an item it is said as of any failure; the loop says that the host is gone.
                let line = match &at.item {
                    Some(_) => format!(
                        "failed: [{}]{} => {}",
                        host(at),
                        failed_item(at),
                        self.result(result)
                    ),
                    None => {
                        format!("fatal: [{}]: UNREACHABLE! => {}", host(at), self.result(result))
                    }
                };
                text.push_str(&self.line(Colour::Red, &line));
                pieces.push(Piece { error: show.failed_stderr, text });
                if *ignored && at.item.is_none() {
                    pieces.push(Piece::out(self.line(Colour::Cyan, "...ignoring")));
                }
                pieces
            }
            Event::LoopEnded { at, result, unreachable, ignored } => {
                let mut pieces = Vec::new();
                if let Some(result) = result {
                    let word = if *unreachable { "UNREACHABLE" } else { "FAILED" };
                    let line = format!("fatal: [{}]: {word}! => {}", host(at), self.result(result));
                    let text = self.line(Colour::Red, &line);
                    pieces.push(Piece { error: show.failed_stderr, text });
                }
                if *ignored {
                    pieces.push(Piece::out(self.line(Colour::Cyan, "...ignoring")));
                }
                pieces
            }
            Event::Retrying { at, task, left, result } => {
                let mut line =
                    format!("FAILED - RETRYING: [{}]: {task} ({left} retries left).", host(at));
                if self.options.verbosity > 2 {
                    line.push_str(&format!("Result was: {}", self.result(result)));
                }
                vec![Piece::out(self.line(Colour::Plain, &line))]
            }
            Event::Included { what, hosts, item } => {
                let mut pieces = self.open();
                let mut line = format!("included: {what} for {}", hosts.join(", "));
                if let Some(item) = item {
                    line.push_str(&format!(" => (item={item})"));
                }
                pieces.push(Piece::out(self.line(Colour::Cyan, &line)));
                pieces
            }
            Event::NoHostsMatched => {
                vec![Piece::out(self.line(Colour::Cyan, "skipping: no hosts matched"))]
            }
            Event::NoHostsLeft => vec![Piece::out(self.banner("NO MORE HOSTS LEFT"))],
            Event::Said(text) => vec![Piece::out(self.line(Colour::Plain, text))],
            Event::Detail(level, text) if self.options.verbosity >= *level || show.details => {
                vec![Piece::out(self.line(Colour::Blue, text))]
            }
            Event::Awaited { task, hosts } if show.host_starts => {
                let line = |host: &String| {
                    self.line(Colour::Green, &format!(" [started TASK: {task} on {host}]"))
                };
                vec![Piece::out(hosts.iter().map(line).collect())]
            }
            Event::Awaited { .. } | Event::Detail(..) | Event::Settled { .. } => Vec::new(),
            Event::Warning(text) => self.warning(text).into_iter().collect(),
            Event::Deprecated(fault) => {
                let told = self.told.insert(format!("{fault}"));
                let text = format!("[DEPRECATION WARNING]: {}\n", super::warning_text(fault));
                let told = told.then(|| Piece::error(self.line(Colour::Purple, &text)));
                let how = told.as_ref().and_then(|_| self.warning(NO_DEPRECATIONS));
                how.into_iter().chain(told).collect()
            }
            // 2.14 has it in the result alone.
            Event::Fault(_) if self.options.dialect == Dialect::Core214 => Vec::new(),
            Event::Fault(fault) => {
                let text = format!("{}\n", fault_text(fault).trim_end_matches('\n'));
                vec![Piece::error(self.paint(Colour::Red, &text))]
            }
            Event::Ended(recap) if recap.broken.is_some() => Vec::new(),
            Event::Ended(recap) => vec![Piece::out(self.recap(recap))],
        }
    }

    /// The banner of the task that runs, unless it was shown.
    fn open(&mut self) -> Vec<Piece> {
        self.pending.take().map(Piece::out).into_iter().collect()
    }

    fn task_path(&self, origin: Option<&Origin>) -> String {
        let Some(origin) = origin else { return String::new() };
        let path = std::path::absolute(&*origin.file)
            .map_or_else(|_| origin.file.to_string(), |path| path.display().to_string());
        self.line(Colour::Plain, &format!("task path: {path}:{}", origin.line))
    }

    fn warning(&mut self, text: &str) -> Option<Piece> {
        let line = format!("[WARNING]: {text}");
        self.told.insert(line.clone()).then(|| Piece::error(self.line(Colour::Purple, &line)))
    }

    /// The warnings that a result carries.
    fn warnings(&mut self, result: &Value) -> Vec<Piece> {
        let mut lines = warnings_of(result);
        lines.retain(|line| self.told.insert(line.clone()));
        lines.iter().map(|line| Piece::error(self.line(Colour::Purple, line))).collect()
    }

    /// A line that is ended, if it is not yet.
    fn line(&self, colour: Colour, text: &str) -> String {
        self.paint(colour, text) + if text.ends_with('\n') { "" } else { "\n" }
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
        banner(text, self.options.width)
    }

    /// Why a task failed, with the lines of the playbook it stands in. The same is told once.
    fn fault(&mut self, why: &str, origin: Option<&Origin>, causes: &[Cause]) -> String {
        if why.is_empty() {
            return String::new();
        }
        // What programs say for a terminal ends its lines in a way of its own.
        let text = chain_text(why, origin, causes).replace("\r\n", "\n");
        if !self.told.insert(text.clone()) {
            return String::new();
        }
        let text = text.trim_end_matches('\n');
        self.paint(Colour::Red, text) + if origin.is_some() { "\n\n" } else { "\n" }
    }

    /// That 2.14 met something that it did not expect, by the last line of what it says of it.
    fn exception(&self, result: &Value) -> String {
        let told = result.get("exception").and_then(Value::as_str).unwrap_or_default();
        let last = told.trim_end().lines().last().unwrap_or_default();
        if last.is_empty() || last == NO_TRACEBACK {
            return String::new();
        }
        let text = format!(
            "An exception occurred during task execution. To see the full traceback, use -vvv. The error was: {last}"
        );
        self.line(Colour::Red, &text)
    }

    fn diff(&self, result: &Value) -> String {
        let Some(found) = result.get("diff") else { return String::new() };
        let text = diff::render(found, self.options.show.diff_context);
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
        let shown = shown(result, self.options.verbosity);
        match self.options.show.style {
            Style::Json => {}
            Style::Yaml => return super::yaml::render(&shown),
            Style::Blocks => return super::yaml::blocks(&shown),
            Style::Debug => return spoken(shown),
        }
        let usual = result.get(SHOW).is_some() || self.options.verbosity > 2;
        let indented = self.options.show.pretty.unwrap_or(usual);
        let indent = Indent { width: indented.then_some(4), sorted: true, ascii: false };
        python_json(&shown.to_json(), indent)
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
        if self.options.show.custom_stats && !recap.custom.is_empty() {
            text.push_str(&self.custom_stats(recap));
        }
        if self.dry && self.options.show.check_markers {
            text.push_str(&self.banner("DRY RUN"));
        }
        text
    }

    fn custom_stats(&self, recap: &Recap) -> String {
        let dump = |stats: &Dict| {
            let indent = Indent { width: Some(1), sorted: true, ascii: false };
            python_json(&Value::dict(stats.clone()).to_json(), indent).replace('\n', "")
        };
        let mut text = self.banner("CUSTOM STATS: ");
        let mut hosts: Vec<_> = recap.custom.iter().filter(|(name, _)| !name.is_empty()).collect();
        hosts.sort_by_key(|(name, _)| name.as_str());
        for (host, stats) in hosts {
            text.push_str(&format!("\t{host}: {}\n", dump(stats)));
        }
        if let Some(stats) = recap.custom.get("") {
            text.push_str(&format!("\n\tRUN: {}\n", dump(stats)));
        }
        text + "\n"
    }
}

/// A headline of so many columns less one.
pub(super) fn banner(text: &str, width: usize) -> String {
    let stars = width.saturating_sub(text.chars().count()).max(3);
    format!("\n{text} {}\n", "*".repeat(stars))
}

/// A result as JSON, and what a program or a module said as it said it.
fn spoken(shown: Value) -> String {
    const SAID: [&str; 5] = ["stdout", "stderr", "msg", "module_stdout", "module_stderr"];
    let mut rest = shown.as_dict().cloned().unwrap_or_default();
    let said: Vec<String> = SAID
        .iter()
        .filter_map(|name| Some((name, rest.shift_remove(*name)?)))
        .filter(|(_, said)| said.is_true())
        .map(|(name, said)| format!("\n\n{}:\n\n{}\n", name.to_uppercase(), said.to_text()))
        .collect();
    for name in ["stdout_lines", "stderr_lines"] {
        rest.shift_remove(name);
    }
    let indent = Indent { width: Some(4), sorted: true, ascii: false };
    python_json(&Value::dict(rest).to_json(), indent) + &said.concat()
}

/// What nobody is shown of `debug` (ansible-core 2.19, `_hide_in_debug`).
const HIDDEN_IN_DEBUG: &[&str] = &[
    "changed",
    "skipped",
    "invocation",
    "skip_reason",
    "ansible_loop_var",
    "ansible_index_var",
    "ansible_loop",
];

/// What is said once, before the first thing that will mean something else one day.
const NO_DEPRECATIONS: &str =
    "Deprecation warnings can be disabled by setting `deprecation_warnings=False` in ansible.cfg.";

/// What people are shown of a result of `debug`.
pub(crate) fn of_debug(result: &Value) -> Value {
    let entries = result.as_dict().into_iter().flatten();
    let only_msg = result.as_dict().is_some_and(|entries| entries.contains_key("msg"));
    let kept = entries.filter(|(key, _)| match &*key.to_json_key() {
        "msg" | "exception" | "warnings" | "deprecations" => true,
        key => !only_msg && !HIDDEN_IN_DEBUG.contains(&key) || key.starts_with('_'),
    });
    Value::dict(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
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
                || matches!(key.as_str(), "failed" | "skipped" | "warnings" | "deprecations")
                || (detail && verbosity < 3)
                || (only_msg && key != "msg")
                || (of_debug && HIDDEN_IN_DEBUG.contains(&key.as_str()));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Screen {
        Screen::new(ScreenOptions {
            verbosity: 0,
            colour: false,
            width: 79,
            dialect: Dialect::default(),
            show: Show::default(),
        })
    }

    fn at(item: Option<&str>) -> At {
        At { host: "localhost".to_owned(), delegate: None, item: item.map(str::to_owned) }
    }

    // Every line below was printed by ansible-core 2.19.14 on 2026-11-21.
    #[test]
    fn who_begins_a_task_is_told_where_that_is_wanted() {
        let hosts = vec!["a".to_owned(), "b".to_owned()];
        let began = Event::Awaited { task: "web : greet".to_owned(), hosts };
        let mut screen = screen();
        assert_eq!(screen.render(&began), "");
        screen.options.show.host_starts = true;
        let told = " [started TASK: web : greet on a]\n [started TASK: web : greet on b]\n";
        assert_eq!(screen.render(&began), told);
    }

    #[test]
    fn lines_are_those_that_people_know() {
        let mut screen = screen();
        let mut show = |event: Event| screen.render(&event);
        assert_eq!(
            show(Event::PlayBegan { name: "localhost".to_owned(), check: false, origin: None }),
            "\nPLAY [localhost] ***************************************************************\n"
        );
        assert_eq!(
            show(Event::TaskBegan {
                name: "debug".to_owned(),
                args: String::new(),
                action: "debug".to_owned(),
                role: None,
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
            show(Event::Ok {
                at: at(None),
                changed: false,
                result: debug,
                always: true,
                diff: false
            }),
            "ok: [localhost] => {\n    \"msg\": \"inc\"\n}\n"
        );
        // The line says already what became of the task.
        let skipped = Value::dict_of([("skipped", Value::Bool(true)), ("rc", Value::Int(0))]);
        assert_eq!(shown(&skipped, 3), Value::dict_of([("rc", Value::Int(0))]));
        let empty = Value::dict(Dict::new());
        assert_eq!(
            show(Event::Ok {
                at: at(Some("{'b': 1}")),
                changed: true,
                result: empty.clone(),
                always: false,
                diff: false,
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
                causes: Vec::new(),
                variables: Vec::new(),
                ignored: true
            }),
            "[ERROR]: Task failed: Action failed: bad\nfatal: [localhost]: FAILED! => {\"changed\": false, \"msg\": \"bad\"}\n...ignoring\n"
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
