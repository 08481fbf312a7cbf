//! Ansible's callbacks: which of them tell a play.

use super::{Context, Ended, FAILED, Result};
use camino::Utf8PathBuf;
use std::path::PathBuf;
use updraft_control::{Callback, Config, Extra};

/// Callbacks of the collection that all of Ansible's went to, which are known by their short names.
const ELSEWHERE: &[&str] = &[
    "actionable",
    "context_demo",
    "counter_enabled",
    "dense",
    "diy",
    "full_skip",
    "print_task",
    "selective",
    "skippy",
    "stderr",
    "tasks_only",
    "unixy",
];

/// Who tells the play: `stdout_callback`.
pub(super) fn main(
    context: &Context,
    config: &Config,
    playbooks: &[Utf8PathBuf],
) -> Result<Callback> {
    let name = config.stdout_callback.as_str();
    if let Some(callback) = Callback::named(name) {
        return Ok(callback);
    }
    let beside = playbooks.iter().filter_map(|file| Some(file.parent()?.join("callback_plugins")));
    let dirs = beside.map(Utf8PathBuf::into_std_path_buf);
    let mut dirs = dirs.chain(config.callbacks.iter().map(PathBuf::from));
    let known = name.contains('.')
        || ELSEWHERE.contains(&name)
        || dirs.any(|dir| dir.join(format!("{name}.py")).is_file());
    if !known {
        context.terminal.complain_text(
            &format!("Could not load '{name}' callback plugin."),
            Some("stdout_callback in ansible.cfg or ANSIBLE_STDOUT_CALLBACK names it"),
        );
        return Err(Ended(FAILED));
    }
    let text = "callbacks in Python are not run; the play is told as the default one tells it";
    context.terminal.warn(&format!("callback plugin '{name}': {text}"));
    Ok(Callback::Default)
}

/// Who tells something besides: `callbacks_enabled`.
pub(super) fn extras(context: &Context, config: &Config) -> Vec<Extra> {
    let named = config.callbacks_enabled.iter().filter_map(|name| {
        let extra = Extra::named(name);
        if extra.is_none() && Callback::named(name).is_none() {
            let text = "callbacks in Python are not run";
            context.terminal.warn(&format!("Skipping callback plugin '{name}': {text}"));
        }
        extra
    });
    named.collect()
}
