//! The terminal: data on standard output, everything else on standard error.
//!
//! Only this crate prints. On a terminal a run shows what it is doing right now; elsewhere each
//! step is a plain line when it begins to matter: when it ends.
#![expect(clippy::print_stderr, reason = "this is the crate that prints")]

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;
use tokio::time::Instant;
use updraft_base::Blamed;
use updraft_control::{Event, Outcome, StepId};

use crate::args::{Color, Run};
use crate::timings::Timings;

/// What output may look like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// Colour on standard error.
    pub(crate) colour_err: bool,
    /// How wide standard error is.
    pub(crate) columns: usize,
    /// A person looks at standard error.
    live: bool,
    /// A person can be asked.
    asks: bool,
    /// A person types and sees what programs print.
    types: bool,
    /// Faults and warnings are marked as Ansible marks them.
    shim: bool,
}

impl Terminal {
    pub(crate) fn new(color: Color) -> Self {
        let wanted = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !crate::env::no_color(),
        };
        let err = std::io::stderr().is_terminal();
        Self {
            colour_err: wanted(err),
            columns: columns(),
            live: err,
            asks: std::io::stdin().is_terminal() && err,
            types: std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
            shim: false,
        }
    }

    /// Whether a person sees both what is printed and what is told beside it.
    pub(crate) fn is_watched(self) -> bool {
        self.live && std::io::stdout().is_terminal()
    }

    /// The same, with colour or without it whatever it looks like.
    pub(crate) fn coloured(self, colour_err: bool) -> Self {
        Self { colour_err, ..self }
    }

    /// The same, speaking as Ansible does if called by the name of one of its commands.
    pub(crate) fn speaking(self, shim: bool) -> Self {
        Self { shim, ..self }
    }

    /// Columns of standard output, if it is a terminal.
    pub(crate) fn width_of_out(self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    }

    /// Whether a person can be asked a question.
    pub(crate) fn can_ask(self) -> bool {
        self.asks
    }

    /// Whether a person types here and sees what is printed.
    pub(crate) fn can_type(self) -> bool {
        self.types
    }

    /// Asks a question that is answered with yes in full or by its first letter.
    pub(crate) fn ask(self, question: &str) -> bool {
        eprint!("{question} [y/N] ");
        drop(std::io::stderr().flush());
        let mut answer = String::new();
        match std::io::stdin().lock().read_line(&mut answer) {
            Ok(_) => matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"),
            Err(_) => false,
        }
    }

    /// Asks for a line of text; what is typed is not shown when it is `hidden`.
    pub(crate) fn read(self, question: &str, hidden: bool) -> Option<String> {
        use std::os::fd::AsFd as _;
        eprint!("{question}");
        drop(std::io::stderr().flush());
        let stdin = std::io::stdin();
        typed(stdin.as_fd(), &mut stdin.lock(), hidden)
    }

    /// As [`Terminal::read`], from the terminal even where standard input is something else; from
    /// that where there is no terminal.
    pub(crate) fn read_typed(self, question: &str, hidden: bool) -> Option<String> {
        use std::os::fd::AsFd as _;
        let tty = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").ok();
        match tty.filter(|_| !std::io::stdin().is_terminal()) {
            Some(mut tty) => {
                write!(tty, "{question}").ok()?;
                typed(tty.as_fd(), &mut std::io::BufReader::new(&tty), hidden)
            }
            None => self.read(question, hidden),
        }
    }

    /// Text in a colour, when colour is wanted on standard error.
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        match self.colour_err {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    /// An error with its causes on one line, and what to do next on another.
    pub(crate) fn complain(self, error: &(impl Blamed + 'static)) {
        self.complain_text(&updraft_base::chain(error), error.hint().as_deref());
    }

    /// Something that deserves a look and stops nothing.
    pub(crate) fn warn(self, message: &str) {
        let mark = if self.shim { "[WARNING]" } else { "warning" };
        crate::log::keep(&format!("[WARNING]: {message}\n\n"));
        eprintln!("{}: {message}", self.paint("1;35", mark));
    }

    /// An error that is only text.
    pub(crate) fn complain_text(self, message: &str, hint: Option<&str>) {
        let mark = if self.shim { "[ERROR]" } else { "error" };
        crate::log::keep(&format!("[ERROR]: {message}\n"));
        eprintln!("{}: {message}", self.paint("1;31", mark));
        if let Some(hint) = hint {
            eprintln!("{}: {hint}", self.paint("1;36", "help"));
        }
    }
}

/// A line from a terminal, or from whatever stands in for one.
fn typed(
    fd: std::os::fd::BorrowedFd<'_>,
    lines: &mut dyn std::io::BufRead,
    hidden: bool,
) -> Option<String> {
    let now = rustix::termios::OptionalActions::Now;
    let before = hidden.then(|| rustix::termios::tcgetattr(fd).ok()).flatten();
    if let Some(before) = &before {
        let mut silent = before.clone();
        silent.local_modes.remove(rustix::termios::LocalModes::ECHO);
        rustix::termios::tcsetattr(fd, now, &silent).ok()?;
    }
    let mut text = String::new();
    let read = lines.read_line(&mut text);
    if let Some(before) = &before {
        // A terminal that went away has nothing to put back.
        rustix::termios::tcsetattr(fd, now, before).ok();
        eprintln!();
    }
    read.ok().filter(|read| *read > 0).map(|_| text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Width of the terminal; of a usual one where there is none.
fn columns() -> usize {
    let told = rustix::termios::tcgetwinsize(std::io::stderr()).map(|size| size.ws_col);
    told.ok().filter(|columns| *columns > 0).map_or(100, usize::from)
}

/// Prints data.
pub(crate) fn out(text: &str) {
    crate::log::keep(text);
    // A reader that went away, as `head` does, wants no more of it.
    drop(std::io::stdout().write_all(text.as_bytes()));
}

/// Prints what is not data, as it is.
pub(crate) fn tell(text: &str) {
    crate::log::keep(text);
    // As for `out`; both must come in the order in which they were said.
    drop(std::io::stdout().flush());
    drop(std::io::stderr().write_all(text.as_bytes()));
}

/// Prints bytes as they come.
pub(crate) fn out_raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    // As for `out`.
    drop(out.write_all(bytes).and_then(|()| out.flush()));
}

/// Prints data as JSON.
pub(crate) fn json(value: &impl serde::Serialize) {
    let text = serde_json::to_string_pretty(value).expect("what is printed always serializes");
    out(&text);
    out("\n");
}

/// Prints a value as one line of JSON, of which more follow.
pub(crate) fn json_line(value: &impl serde::Serialize) {
    let mut text = serde_json::to_string(value).expect("what is printed always serializes");
    text.push('\n');
    out(&text);
}

/// Tells people something.
pub(crate) fn say(text: &str) {
    crate::log::keep(text);
    eprintln!("{text}");
}

/// Columns under each other, two spaces apart.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let pad = width.saturating_sub(cell.chars().count());
            line.push_str(cell);
            line.push_str(&" ".repeat(pad + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A span of time as people say it: `0.3s`, `12s`, `3m05s`.
pub(crate) fn took(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", span.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        _ => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}

/// Tells lines while a run is shown.
pub(crate) struct Teller {
    live: bool,
    bars: MultiProgress,
}

impl Teller {
    pub(crate) fn line(&self, text: &str) {
        match self.live {
            // Should the terminal go away, nobody is left to tell.
            true => drop(self.bars.println(text)),
            false => say(text),
        }
    }
}

/// Shows a run while it goes on.
pub(crate) struct RunView {
    terminal: Terminal,
    verbose: bool,
    bars: MultiProgress,
    running: HashMap<StepId, ProgressBar>,
    last: HashMap<StepId, String>,
    began: Instant,
    timings: Option<Timings>,
    /// The last line of the run: what changed.
    pub(crate) summary: String,
}

impl RunView {
    pub(crate) fn new(terminal: Terminal, run: &Run) -> Self {
        let target = match terminal.live {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        Self {
            terminal,
            verbose: run.verbose,
            bars: MultiProgress::with_draw_target(target),
            running: HashMap::new(),
            last: HashMap::new(),
            began: Instant::now(),
            timings: run.timings.then(Timings::default),
            summary: String::new(),
        }
    }

    /// Tells things beside the run, without breaking what is shown.
    pub(crate) fn teller(&self) -> Teller {
        Teller { live: self.terminal.live, bars: self.bars.clone() }
    }

    fn line(&self, text: &str) {
        self.teller().line(text);
    }

    /// Where the time of the run went, if that was asked for.
    pub(crate) fn timings(&mut self) -> Option<String> {
        let total = self.began.elapsed();
        self.timings.as_mut().map(|timings| timings.render(total, self.terminal.columns))
    }

    pub(crate) fn show(&mut self, event: Event) {
        let terminal = self.terminal;
        if let Some(timings) = &mut self.timings {
            timings.note(&event, self.began.elapsed());
        }
        match event {
            Event::RunStarted { already, steps, .. } => {
                if already > 0 {
                    self.line(&format!("Taking up a run: {already} of {steps} steps were done."));
                }
            }
            Event::StepStarted { step, .. } => {
                let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
                    .expect("the template is a constant");
                let bar = self.bars.add(ProgressBar::new_spinner().with_style(style));
                bar.set_message(step.title.clone());
                if terminal.live {
                    bar.enable_steady_tick(Duration::from_millis(120));
                }
                self.running.insert(step.id, bar);
            }
            Event::StepProgress { step, text } => {
                if let Some(bar) = self.running.get(&step.id) {
                    let short: String = text.chars().take(100).collect();
                    bar.set_message(format!("{}: {short}", step.title));
                }
                if self.verbose {
                    self.line(&format!("  {}: {text}", step.title));
                }
                self.last.insert(step.id, text);
            }
            // Where time goes is told at the end.
            Event::StepPhase { .. } => {}
            Event::StepRetried { step, fault, pause } => {
                let again = took(pause);
                self.line(&format!("{}: {}; again in {again}", step.title, fault.message));
            }
            Event::StepEnded { step, took: span } => {
                self.done(step.id);
                let mark = terminal.paint("32", "done");
                self.line(&format!("{mark}     {} ({})", step.title, took(span)));
            }
            Event::StepFailed { step, fault, undoing, .. } => {
                self.done(step.id);
                let mark = terminal.paint("1;31", "failed");
                self.line(&format!("{mark}   {}: {}", step.title, fault.message));
                if let Some(hint) = &fault.hint {
                    self.line(&format!("         {}: {hint}", terminal.paint("1;36", "help")));
                }
                if undoing {
                    self.line("         undoing what it had begun");
                }
            }
            Event::StepUndone { step, fault } => match fault {
                None => self.line(&format!("undone   {}", step.title)),
                Some(fault) => {
                    self.line(&format!("left     {}: {}", step.title, fault.message));
                }
            },
            Event::StepSkipped { step, because } => {
                if self.verbose {
                    self.line(&format!("skipped  {} ({} failed)", step.title, because.title));
                }
            }
            Event::RunEnded { outcome, counts, took: span } => {
                self.running.drain().for_each(|(_, bar)| bar.finish_and_clear());
                let mut parts = vec![format!("{} done", counts.done + counts.already)];
                let more = [
                    (counts.failed, "failed"),
                    (counts.undone, "undone"),
                    (counts.skipped, "skipped"),
                    (counts.left, "left"),
                ];
                parts.extend(
                    more.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")),
                );
                let word = match outcome {
                    Outcome::Done => "Done",
                    Outcome::Failed => "Failed",
                    Outcome::Stopped => "Stopped",
                };
                self.summary = format!("{word}: {} in {}.", parts.join(", "), took(span));
            }
        }
    }

    fn done(&mut self, step: StepId) {
        self.last.remove(&step);
        if let Some(bar) = self.running.remove(&step) {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [vec!["a".into(), "b".into()], vec!["long".into(), "ü".into(), "c".into()]];
        assert_eq!(table(&rows), "a     b\nlong  ü  c\n");
    }

    #[test]
    fn spans_are_short() {
        let told = |millis| took(Duration::from_millis(millis));
        assert_eq!([told(340), told(12_400), told(185_000)], ["0.3s", "12s", "3m05s"]);
    }
}
