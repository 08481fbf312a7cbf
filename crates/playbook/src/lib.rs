//! The Ansible language, as ansible-core 2.19 has it: inventory, variables, templates, order.
//!
//! Playbooks are read and checked whole before anything is changed; modules run elsewhere, through
//! a session that somebody hands in. What is not supported is an error that names file, line and
//! word.
//!
//! Never here: opening connections, starting processes, reading the clock or the environment,
//! printing.

pub mod config;
mod fault;
mod foreign;
pub mod galaxy;
pub mod inventory;
pub mod output;
mod parse;
mod plugins;
mod run;
pub mod template;
pub mod value;
pub mod vault;
pub mod yaml;

pub use fault::{Cause, Faults, LoadFault};
pub use foreign::Modules;
pub use parse::key_values;
pub use parse::{Loader, Playbook};
pub use plugins::{Partner, Plugins, Starter};
pub use run::{Gathering, HostTarget, Listing, Operator, Reach, ReachError, Refresh, RunOptions};
