//! Why a command could not be carried out, for everything that `control` does.

use crate::identity::KeepError;
use crate::sessions::SessionError;
use std::path::PathBuf;
use updraft_base::{Blame, Blamed};
use updraft_engine::{EngineError, JournalError};
use updraft_host::HostError;
use updraft_plan::PlanError;
use updraft_provider::ProviderError;

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The site file has faults.
    #[error("the site file has faults")]
    Site(updraft_site::Faults),
    /// A playbook or an inventory has faults.
    #[error("{0}")]
    Playbook(updraft_playbook::Faults),
    /// No hosts can be chosen.
    #[error("{0}")]
    Targets(String),
    /// A host could not be used.
    #[error(transparent)]
    Reach(#[from] crate::hosts::ReachError),
    /// No plan can be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No clones can be planned.
    #[error(transparent)]
    Clone(#[from] updraft_plan::PlanCloneError),
    /// The site file asks for the machine.
    #[error("the site file asks for `{machine}`")]
    Asked {
        /// Machine.
        machine: String,
    },
    /// A provider failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A run could not go on.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A machine's agent could not be talked to.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What was learned could not be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// Something on this computer failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Something about images failed.
    #[error(transparent)]
    Image(#[from] updraft_image::ImageError),
    /// A machine that was run for an image could not do what it was for.
    #[error(transparent)]
    Inside(#[from] updraft_engine::StepFault),
    /// Another run is changing the site.
    #[error("site `{site}` is being changed by {holder}")]
    Held {
        /// The site.
        site: String,
        /// Who holds it and since when.
        holder: String,
    },
    /// A saved plan does not fit any more.
    #[error("the saved plan no longer fits: {}", moved.join(", "))]
    Stale {
        /// What moved.
        moved: Vec<String>,
    },
    /// A saved plan cannot be read.
    #[error("`{path}` is not a plan that this updraft can apply: {why}")]
    NotAPlan {
        /// File.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A name matches nothing.
    #[error("there is no {what} `{name}`{}", if known.is_empty() { String::new() } else { format!(" (there is {})", known.join(", ")) })]
    Unknown {
        /// Machine, group, service, run, image.
        what: &'static str,
        /// The name.
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// A name matches more than one thing.
    #[error("{what} `{name}` may be any of {}", those.join(", "))]
    Ambiguous {
        /// Snapshot.
        what: &'static str,
        /// The name.
        name: String,
        /// What it may be.
        those: Vec<String>,
    },
    /// A machine runs and its agent does not answer, where it would be needed.
    #[error("`{machine}` is on and its agent does not answer: {why}")]
    Silent {
        /// Machine.
        machine: String,
        /// What is known about it.
        why: String,
    },
    /// Somebody is at a machine's console.
    #[error("the console of `{machine}` is in use by {holder}")]
    AtConsole {
        /// Machine.
        machine: String,
        /// Who is there and since when.
        holder: String,
    },
    /// The machine is not there or not on.
    #[error("`{machine}` is {state}")]
    NotRunning {
        /// Machine.
        machine: String,
        /// How it stands.
        state: String,
    },
}

impl Blamed for ControlError {
    fn blame(&self) -> Blame {
        match self {
            Self::Site(_) | Self::Playbook(_) | Self::Targets(_) => Blame::Asked,
            Self::Plan(error) => error.blame(),
            Self::Clone(error) => error.blame(),
            Self::Asked { .. } => Blame::Asked,
            Self::Reach(error) => error.blame(),
            Self::Provider(error) => error.blame(),
            Self::Journal(error) => error.blame(),
            Self::Engine(error) => error.blame(),
            Self::Session(error) => error.blame(),
            Self::Keep(error) => error.blame(),
            Self::Host(error) => error.blame(),
            Self::Image(error) => error.blame(),
            Self::Inside(error) => error.blame(),
            Self::Held { .. } | Self::Stale { .. } | Self::NotRunning { .. } => Blame::World,
            Self::NotAPlan { .. } | Self::Unknown { .. } | Self::AtConsole { .. } => Blame::World,
            Self::Ambiguous { .. } | Self::Silent { .. } => Blame::World,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Plan(error) => error.hint(),
            Self::Clone(error) => error.hint(),
            Self::Asked { .. } => Some(
                "change the `count:` of its group and say `updraft up`; `updraft destroy` removes all"
                    .to_owned(),
            ),
            Self::Reach(error) => error.hint(),
            Self::Provider(error) => error.hint(),
            Self::Journal(error) => error.hint(),
            Self::Engine(error) => error.hint(),
            Self::Session(error) => error.hint(),
            Self::Host(error) => error.hint(),
            Self::Inside(error) => error.hint(),
            Self::Image(error) => error.hint(),
            Self::Held { .. } => Some("wait until it is done, or stop it with Ctrl-C".to_owned()),
            Self::Stale { .. } => Some("make a new plan with `updraft plan -o FILE`".to_owned()),
            Self::AtConsole { machine, .. } => Some(format!(
                "leave it there with Ctrl-]; `updraft machine console {machine} --log` prints what it has shown"
            )),
            Self::Silent { machine, .. } => Some(format!(
                "`updraft machine console {machine}` shows what it is doing; `updraft up` mends a machine that stands still"
            )),
            Self::Ambiguous { .. } => Some("name one of them by its id".to_owned()),
            Self::NotRunning { .. } => Some("`updraft up` starts it".to_owned()),
            _ => None,
        }
    }
}
