//! Tells programs of OpenSSH a passphrase that they would ask for at a terminal.
//!
//! It is neither among arguments nor in the environment: it lies in a private file for as long as
//! the program runs, and a private script shows it to whoever is asked.

use crate::context::Context;
use crate::outcome::{Fault, OrFail};
use crate::place::Scratch;
use crate::process::Cmd;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The answer to every question, until it is dropped.
pub(crate) struct Askpass {
    script: Scratch,
    _secret: Scratch,
}

impl Askpass {
    pub(crate) fn new(passphrase: &str, ctx: &Context) -> Result<Self, Fault> {
        let what = || format!("cannot write to {}", ctx.staging.display());
        let line = format!("{passphrase}\n");
        let secret = Scratch::holding(&ctx.staging, "", line.as_bytes()).or_fail(what())?;
        let shown = crate::shlex::quote(&secret.path().display().to_string());
        let text = format!("#!/bin/sh\nexec cat {shown}\n");
        let script = Scratch::holding(&ctx.staging, "", text.as_bytes()).or_fail(what())?;
        fs::set_permissions(script.path(), fs::Permissions::from_mode(0o700)).or_fail(what())?;
        Ok(Self { script, _secret: secret })
    }

    /// The command, told where to ask (ssh-keygen(1), ENVIRONMENT).
    pub(crate) fn answers(&self, cmd: Cmd) -> Cmd {
        cmd.env("SSH_ASKPASS", self.script.path().display().to_string())
            .env("SSH_ASKPASS_REQUIRE", "force")
            // Before OpenSSH 8.4 a display was what made it ask there.
            .env("DISPLAY", ":0")
    }
}
