//! How long runs, tasks and roles took: the lines of `ansible.posix`'s callbacks `timer`,
//! `profile_tasks` and `profile_roles`.

use super::screen::banner;
use super::{Event, Extra, ScreenOptions};
use crate::yaml::Origin;
use indexmap::IndexMap;
use jiff::tz::TimeZone;
use std::sync::Arc;
use updraft_base::{Clock, Timestamp};

/// Columns of the lines that do not follow the terminal.
const WIDTH: usize = 79;

/// Columns of how long something took.
const TOOK: usize = 9;

/// Tasks that are told of at most: the longest.
const LONGEST: usize = 20;

/// A stopwatch.
pub(super) struct Profile {
    of: Extra,
    width: usize,
    paths: bool,
    clock: Arc<dyn Clock>,
    began: Timestamp,
    /// When a line with the time was written last.
    marked: Timestamp,
    /// What runs, and since when.
    current: Option<(Key, Timestamp)>,
    took: IndexMap<Key, f64>,
}

/// A task by its name and its place, or a role by its name.
type Key = (String, Option<Origin>);

impl Profile {
    pub(super) fn new(of: Extra, options: &ScreenOptions, clock: Arc<dyn Clock>) -> Self {
        let began = clock.now();
        Self {
            of,
            width: options.width,
            paths: options.verbosity >= 2,
            clock,
            began,
            marked: began,
            current: None,
            took: IndexMap::new(),
        }
    }

    /// What is told of an event; mostly nothing.
    pub(super) fn hear(&mut self, event: &Event) -> String {
        match (event, self.of) {
            (Event::TaskBegan { name, origin, .. }, Extra::Tasks) => {
                self.next((name.trim().to_owned(), origin.clone()))
            }
            (Event::TaskBegan { role, action, .. }, Extra::Roles) => {
                let name = role.as_ref().map_or(action, |role| role);
                self.next((name.clone(), None))
            }
            (Event::Ended(recap), of) if recap.broken.is_none() => match of {
                Extra::Timer => self.run(),
                Extra::Tasks => self.tasks(),
                Extra::Roles => self.roles(),
            },
            _ => String::new(),
        }
    }

    fn next(&mut self, key: Key) -> String {
        let line = self.mark();
        self.stop();
        self.took.entry(key.clone()).or_default();
        self.current = Some((key, self.clock.now()));
        line
    }

    fn stop(&mut self) {
        if let Some((key, since)) = self.current.take() {
            *self.took.entry(key).or_default() += seconds(since, self.clock.now());
        }
    }

    /// The time, how long it is since it was told last, and since the run began.
    fn mark(&mut self) -> String {
        let now = self.clock.now();
        let (step, whole) = (seconds(self.marked, now), seconds(self.began, now));
        self.marked = now;
        let time = now.to_zoned(TimeZone::system()).strftime("%A %d %B %Y  %H:%M:%S %z");
        filled(&format!("{time} ({}){}{}", clock_text(step), " ".repeat(7), clock_text(whole)), '*')
    }

    fn run(&self) -> String {
        let whole = seconds(self.began, self.clock.now()) as u64;
        let (days, hours) = (whole / 86_400, whole % 86_400 / 3_600);
        let (minutes, seconds) = (whole % 3_600 / 60, whole % 60);
        banner("PLAYBOOK RECAP", self.width)
            + &format!(
                "Playbook run took {days} days, {hours} hours, {minutes} minutes, {seconds} seconds\n\r\n"
            )
    }

    fn tasks(&mut self) -> String {
        let mut text = banner("TASKS RECAP", self.width) + &self.mark() + &filled("", '=');
        self.stop();
        let columns = self.width;
        for ((name, origin), took) in self.longest().into_iter().take(LONGEST) {
            let took = format!(" {took:.2}s");
            text += &format!("{:-<1$}{took:->TOOK$}\n", format!("{name} "), columns - TOOK);
            if let Some(origin) = origin.filter(|_| self.paths) {
                let path = format!("{}:{} ", origin.absolute(), origin.line);
                text += &format!("{path:-<columns$}\n");
            }
        }
        text
    }

    fn roles(&mut self) -> String {
        const NAME: usize = 70;
        let line = |name: &str, took: f64| {
            let took = format!(" {took:.2}s");
            format!("{:-<NAME$}{took:->TOOK$}\n", format!("{name} "))
        };
        let mut text = banner("ROLES RECAP", self.width) + &self.mark() + &filled("", '=');
        self.stop();
        let all = self.longest();
        all.iter().for_each(|((name, _), took)| text += &line(name, *took));
        text + &filled("", '~') + &line("total", all.iter().map(|(_, took)| took).sum())
    }

    /// What took longest comes first; of equals, what came first.
    fn longest(&self) -> Vec<(Key, f64)> {
        let mut all: Vec<(Key, f64)> =
            self.took.iter().map(|(key, took)| (key.clone(), *took)).collect();
        all.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        all
    }
}

fn seconds(since: Timestamp, until: Timestamp) -> f64 {
    until.duration_since(since).as_secs_f64().max(0.0)
}

/// Hours, minutes, seconds and thousandths.
fn clock_text(seconds: f64) -> String {
    let millis = (seconds * 1_000.0) as u64;
    let (hours, minutes) = (millis / 3_600_000, millis % 3_600_000 / 60_000);
    format!("{hours}:{minutes:02}:{:02}.{:03}", millis % 60_000 / 1_000, millis % 1_000)
}

/// A line that is filled up.
fn filled(text: &str, with: char) -> String {
    let text = if text.is_empty() { String::new() } else { format!("{text} ") };
    let left = WIDTH.saturating_sub(text.len()).max(3);
    format!("{text}{} \n", String::from(with).repeat(left))
}

#[cfg(test)]
mod tests {
    use super::super::{Recap, Show};
    use super::*;
    use crate::template::Dialect;
    use std::sync::Mutex;
    use std::time::Duration;

    /// A clock that the test moves.
    struct Moved(Mutex<Timestamp>);

    impl Clock for Moved {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
    }

    // As ansible.posix 2.1.0 has it, but for the zone of the machine.
    #[test]
    fn tasks_are_told_by_how_long_they_took() {
        let clock = Arc::new(Moved(Mutex::new(Timestamp::UNIX_EPOCH)));
        let pass = |millis| *clock.0.lock().unwrap() += Duration::from_millis(millis);
        let options = ScreenOptions {
            verbosity: 0,
            colour: false,
            width: 79,
            dialect: Dialect::default(),
            show: Show::default(),
        };
        let mut profiles: Vec<Profile> = [Extra::Timer, Extra::Tasks, Extra::Roles]
            .into_iter()
            .map(|of| Profile::new(of, &options, clock.clone()))
            .collect();
        let task = |name: &str, role: Option<&str>| Event::TaskBegan {
            name: name.to_owned(),
            args: String::new(),
            action: "command".to_owned(),
            role: role.map(str::to_owned),
            handler: false,
            check: false,
            origin: None,
        };
        for (name, role, millis) in
            [("a", None, 15), ("web : b", Some("web"), 61_234), ("c", None, 500)]
        {
            let told = profiles[1].hear(&task(name, role));
            assert!(told.contains("1970") && told.ends_with("* \n") && told.len() == 81, "{told}");
            profiles[2].hear(&task(name, role));
            pass(millis);
        }
        let end = Event::Ended(Recap::default());
        let told: Vec<String> = profiles.iter_mut().map(|profile| profile.hear(&end)).collect();
        assert!(told[0].ends_with("Playbook run took 0 days, 0 hours, 1 minutes, 1 seconds\n\r\n"));
        assert!(told[1].contains("(0:00:00.500)       0:01:01.749"), "{}", told[1]);
        let lines = |text: &str| text.lines().skip(4).map(str::to_owned).collect::<Vec<_>>();
        let line = |name: &str, took: &str| {
            format!("{name} {}", "-".repeat(79 - 2 - name.len() - took.len())) + " " + took
        };
        assert_eq!(
            lines(&told[1]),
            [line("web : b", "61.23s"), line("c", "0.50s"), line("a", "0.01s")]
        );
        let roles = lines(&told[2]);
        assert_eq!(roles[..2], [line("web", "61.23s"), line("command", "0.52s")]);
        assert_eq!(roles[3], line("total", "61.75s"));
    }
}
