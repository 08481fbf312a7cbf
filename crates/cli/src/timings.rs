//! Where the time of a run goes: each step with its phases as a bar over one line of time.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;
use updraft_control::{Event, StepId};

use crate::ui::took;

/// Columns that times and gaps take, left of the bars.
const TIMES: usize = 18;

/// The widest bars: more of it shows nothing new.
const WIDEST: usize = 60;

/// Something that took time.
#[derive(Debug)]
struct Span {
    title: String,
    from: Duration,
    until: Duration,
    phases: Vec<(String, Duration)>,
}

/// Collects what a run tells, with the moments at which it was told.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    open: HashMap<StepId, Span>,
    ended: Vec<Span>,
}

impl Timings {
    /// Notes an event that came at `now`, counted from the beginning of the command.
    pub(crate) fn note(&mut self, event: &Event, now: Duration) {
        match event {
            Event::StepStarted { step, .. } => {
                let title = step.title.clone();
                let span = Span { title, from: now, until: now, phases: Vec::new() };
                self.open.insert(step.id, span);
            }
            Event::StepPhase { step, name } => {
                if let Some(span) = self.open.get_mut(&step.id) {
                    span.phases.push((name.clone(), now));
                }
            }
            Event::StepEnded { step, .. } | Event::StepFailed { step, .. } => {
                if let Some(span) = self.open.remove(&step.id) {
                    self.ended.push(Span { until: now, ..span });
                }
            }
            Event::RunStarted { .. }
            | Event::StepProgress { .. }
            | Event::StepRetried { .. }
            | Event::StepUndone { .. }
            | Event::StepSkipped { .. }
            | Event::RunEnded { .. } => {}
        }
    }

    /// The waterfall, for a terminal of this many columns. `total` is how long the command took.
    pub(crate) fn render(&mut self, total: Duration, columns: usize) -> String {
        self.ended.sort_by_key(|span| (span.from, span.until));
        let rows: Vec<(String, Duration, Duration)> =
            self.ended.iter().flat_map(Span::rows).collect();
        let titles = rows.iter().map(|(title, ..)| title.chars().count()).max().unwrap_or(0);
        let width = columns.saturating_sub(titles + TIMES).clamp(10, WIDEST);
        let mut text = format!("{:>7}  {:>7}  of {}\n", "from", "took", took(total));
        for (title, from, until) in rows {
            let bar = bar(from, until, total, width);
            writeln!(text, "{:>7}  {:>7}  {bar} {title}", precise(from), precise(until - from))
                .expect("a string takes all text");
        }
        text
    }
}

impl Span {
    /// The span and its phases, which end where the next one begins.
    fn rows(&self) -> Vec<(String, Duration, Duration)> {
        let mut rows = vec![(self.title.clone(), self.from, self.until)];
        let ends = self.phases.iter().skip(1).map(|(_, at)| *at).chain([self.until]);
        let phases = self.phases.iter().zip(ends);
        rows.extend(phases.map(|((name, from), until)| (format!("  {name}"), *from, until)));
        rows
    }
}

/// A stretch of a line of time, at least one mark wide.
fn bar(from: Duration, until: Duration, total: Duration, width: usize) -> String {
    let place = |at: Duration| match total.is_zero() {
        true => 0,
        // Below `width`, which is small.
        false => (at.as_secs_f64() / total.as_secs_f64() * width as f64) as usize,
    };
    let from = place(from).min(width - 1);
    let until = place(until).clamp(from + 1, width);
    format!("{}{}{}", "·".repeat(from), "█".repeat(until - from), "·".repeat(width - until))
}

/// A span of time to the millisecond: `0.012s`, `12.345s`.
fn precise(span: Duration) -> String {
    format!("{}.{:03}s", span.as_secs(), span.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(title: &str, from: u64, until: u64, phases: &[(&str, u64)]) -> Span {
        let at = Duration::from_millis;
        Span {
            title: title.to_owned(),
            from: at(from),
            until: at(until),
            phases: phases.iter().map(|(name, from)| ((*name).to_owned(), at(*from))).collect(),
        }
    }

    #[test]
    fn steps_stand_in_the_order_they_began_with_their_phases_below() {
        let mut timings = Timings::default();
        timings.ended.push(span("start a", 500, 1000, &[("boot", 500), ("identity", 900)]));
        timings.ended.push(span("create a", 0, 500, &[]));
        let told = timings.render(Duration::from_secs(1), TIMES + 10 + "  identity".len());
        let wanted = "   from     took  of 1.0s
 0.000s   0.500s  █████····· create a
 0.500s   0.500s  ·····█████ start a
 0.500s   0.400s  ·····████·   boot
 0.900s   0.100s  ·········█   identity
";
        assert_eq!(told, wanted);
    }

    #[test]
    fn what_took_no_time_still_shows() {
        let at = Duration::from_millis;
        assert_eq!(bar(at(10), at(10), at(10), 4), "···█");
        assert_eq!(bar(at(0), at(0), at(0), 4), "█···");
        assert_eq!(bar(at(3), at(20), at(10), 4), "·███");
    }
}
