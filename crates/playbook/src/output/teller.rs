//! Who tells a run on standard output: Ansible's callbacks of that kind, by their names.

use super::account::Account;
use super::profile::Profile;
use super::{Event, Minimal, MinimalOptions, Piece, Screen, ScreenOptions, Show, Style};
use std::sync::Arc;
use updraft_base::Clock;

/// A callback that tells a run on standard output (`stdout_callback`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Callback {
    /// Ansible's own.
    #[default]
    Default,
    /// `community.general.yaml`.
    Yaml,
    /// `ansible.posix.debug`.
    Debug,
    /// `ansible.posix.json`: one object at the end.
    Json,
    /// One result after the other, as ad-hoc commands have it.
    Minimal,
    /// The same, a line for each.
    OneLine,
    /// `community.general.null`: nothing.
    Null,
}

impl Callback {
    /// The callback of this name, with or without its collection.
    pub fn named(name: &str) -> Option<Self> {
        Some(match bare(name) {
            "default" => Self::Default,
            "yaml" | "community.general.yaml" => Self::Yaml,
            "debug" | "ansible.posix.debug" => Self::Debug,
            "json" | "ansible.posix.json" => Self::Json,
            "minimal" => Self::Minimal,
            "oneline" => Self::OneLine,
            "null" | "community.general.null" => Self::Null,
            _ => return None,
        })
    }

    /// Whether it tells tasks as a whole: [`Event::Settled`] is for those that do.
    pub fn wants_settled(self) -> bool {
        matches!(self, Self::Json | Self::Minimal | Self::OneLine)
    }
}

/// A name without the collection that is Ansible's own.
pub(super) fn bare(name: &str) -> &str {
    let ours = ["ansible.builtin.", "ansible.legacy."];
    ours.iter().find_map(|place| name.strip_prefix(place)).unwrap_or(name)
}

/// A callback that tells something besides (`callbacks_enabled`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// `ansible.posix.timer`: how long the run took.
    Timer,
    /// `ansible.posix.profile_tasks`: how long each task took.
    Tasks,
    /// `ansible.posix.profile_roles`: how long each role took.
    Roles,
}

impl Extra {
    /// The callback of this name, with or without its collection.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("ansible.posix.").unwrap_or(bare(name)) {
            "timer" => Self::Timer,
            "profile_tasks" => Self::Tasks,
            "profile_roles" => Self::Roles,
            _ => return None,
        })
    }
}

/// Turns events into lines.
pub struct Teller {
    main: Main,
    extras: Vec<Profile>,
}

enum Main {
    Screen(Screen),
    /// What is told at once is told by the screen.
    Account(Box<Account>, Screen),
    Minimal(Minimal),
    Null(Screen),
}

impl Teller {
    /// A callback, and what tells something besides.
    pub fn new(
        callback: Callback,
        extras: &[Extra],
        mut options: ScreenOptions,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        match callback {
            Callback::Yaml => options.show.style = Style::Blocks,
            Callback::Debug => options.show.style = Style::Debug,
            _ => {}
        }
        let screen = Screen::new(options);
        let main = match callback {
            Callback::Default | Callback::Yaml | Callback::Debug => Main::Screen(screen),
            Callback::Json => {
                let Show { custom_stats, .. } = options.show;
                Main::Account(Box::new(Account::new(custom_stats, Arc::clone(clock))), screen)
            }
            Callback::Minimal | Callback::OneLine => Main::Minimal(Minimal::new(MinimalOptions {
                module: String::new(),
                verbosity: options.verbosity,
                colour: options.colour,
                one_line: callback == Callback::OneLine,
                diff_context: options.show.diff_context,
                dialect: options.dialect,
            })),
            Callback::Null => Main::Null(screen),
        };
        let extra = |extra: &Extra| Profile::new(*extra, &options, Arc::clone(clock));
        Self { main, extras: extras.iter().map(extra).collect() }
    }

    /// The lines of an event by where they go. Events must come in order.
    pub fn pieces(&mut self, event: &Event) -> Vec<Piece> {
        let mut pieces = match &mut self.main {
            Main::Screen(screen) => screen.pieces(event),
            Main::Account(account, screen) => match account.hear(event) {
                Some(text) => vec![Piece { error: false, text }],
                None => at_once(screen, event),
            },
            Main::Null(screen) => at_once(screen, event),
            Main::Minimal(minimal) => in_brief(minimal, event),
        };
        for extra in &mut self.extras {
            let text = extra.hear(event);
            if !text.is_empty() {
                pieces.push(Piece { error: false, text });
            }
        }
        pieces
    }
}

/// What is no callback's to tell.
fn at_once(screen: &mut Screen, event: &Event) -> Vec<Piece> {
    match event {
        Event::Said(_)
        | Event::Detail(..)
        | Event::Warning(_)
        | Event::Deprecated(_)
        | Event::Fault(_) => screen.pieces(event),
        _ => Vec::new(),
    }
}

fn in_brief(minimal: &mut Minimal, event: &Event) -> Vec<Piece> {
    let told = match event {
        Event::Settled { action, told, .. } => {
            minimal.task_of(action);
            told
        }
        // Of an item only how files change.
        Event::Ok { at, result, diff: true, .. } if at.item.is_some() => {
            let text = minimal.diff_of(result);
            let none = text.is_empty();
            return if none { Vec::new() } else { vec![Piece { error: false, text }] };
        }
        Event::Said(_) | Event::Warning(_) | Event::Fault(_) => event,
        _ => return Vec::new(),
    };
    let (out, err) = minimal.render(told);
    [(true, err), (false, out)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(error, text)| Piece { error, text })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_are_known_with_and_without_their_collection() {
        for name in ["minimal", "ansible.builtin.minimal", "ansible.legacy.minimal"] {
            assert_eq!(Callback::named(name), Some(Callback::Minimal), "{name}");
        }
        assert_eq!(Callback::named("ansible.posix.json"), Some(Callback::Json));
        assert_eq!(Callback::named("community.general.unixy"), None);
        assert_eq!(Extra::named("timer"), Some(Extra::Timer));
        assert_eq!(Extra::named("ansible.posix.profile_tasks"), Some(Extra::Tasks));
        assert_eq!(Extra::named("community.general.say"), None);
    }
}
