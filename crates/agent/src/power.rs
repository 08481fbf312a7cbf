//! Powering the machine off, or rebooting it.

#![expect(
    clippy::disallowed_methods,
    reason = "the agent runs on targets, where nothing stands between it and the system"
)]

use crate::failure::system;
use crate::root::Root;
use crate::{identity, tell};
use rustix::system::RebootCommand;
use std::path::Path;
use std::process::{Command, Stdio};
use updraft_wire::{Failure, PowerAction, Response};

/// Syncs filesystems and asks the machine's init to end it in order. Where no systemd runs, the
/// kernel is asked directly: everything worth keeping has been synced then.
pub(crate) fn switch(root: &Root, action: PowerAction) -> Result<Response, Failure> {
    // What cannot be kept is told again after the next boot, and must not hold the machine up.
    if let Err(failure) = identity::settle(root) {
        tell(&format!("updraft-agent: the identity is not kept: {}\n", failure.message));
    }
    rustix::fs::sync();
    let (verb, command) = match action {
        PowerAction::Off => ("poweroff", RebootCommand::PowerOff),
        PowerAction::Reboot => ("reboot", RebootCommand::Restart),
    };
    let fault = |fault: &dyn std::fmt::Display| system(format_args!("cannot {verb}"), fault);
    if Path::new("/run/systemd/system").is_dir() {
        let said = Command::new("systemctl")
            .args(["--no-block", verb])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| fault(&error))?;
        if !said.status.success() {
            return Err(fault(&String::from_utf8_lossy(&said.stderr).trim()));
        }
        return Ok(Response::Done);
    }
    rustix::system::reboot(command).map_err(|error| fault(&error))?;
    Ok(Response::Done)
}
