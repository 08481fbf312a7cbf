//! What `systemctl` does and says, from the manager itself where that comes to the same.
//!
//! Here are the program and its words; [`crate::manager`] has the protocol.

use crate::args::Args;
use crate::context::Context;
use crate::manager::{Manager, full_name};
use crate::outcome::{Fault, OrFail};
use crate::process::{Cmd, Ran};
use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The program with what every call carries, and the manager that spares most calls.
pub(crate) struct Systemctl<'a> {
    program: std::path::PathBuf,
    flags: Vec<String>,
    /// Process 1, if it may be asked itself and answers.
    pub(crate) manager: RefCell<Option<Manager<'a>>>,
    ctx: &'a Context,
}

impl<'a> Systemctl<'a> {
    /// Finds the program and connects with the manager.
    pub(crate) fn new(args: &Args, ctx: &'a Context) -> Result<Self, Fault> {
        let program = ctx.required("systemctl")?;
        let mut flags = Vec::new();
        if args.text("scope") != "system" {
            flags.push(format!("--{}", args.text("scope")));
        }
        if args.flag("no_block") {
            flags.push("--no-block".to_owned());
        }
        if args.flag("force") {
            flags.push("--force".to_owned());
        }
        let socket = ctx.manager.as_deref().filter(|_| flags.is_empty() && !offline(ctx));
        let manager = socket.and_then(|socket| Manager::connect(socket, ctx).ok());
        Ok(Self { program, flags, manager: RefCell::new(manager), ctx })
    }

    /// What the manager answers in the program's stead. Nothing where the program knows more: of
    /// init scripts, of odd names, of what to say when the manager refuses.
    fn ask(&self, words: &[&str]) -> Option<Ran> {
        let mut manager = self.manager.borrow_mut();
        let manager = manager.as_mut()?;
        let unit = words.last().filter(|word| plain(word))?;
        let script = || Path::new("/etc/init.d").join(unit.trim_end_matches(".service")).exists();
        match words {
            ["is-enabled", _] if !script() => {
                let word = manager.unit_file_state(unit).ok()?;
                let code = match word.as_str() {
                    "enabled" | "static" => 0,
                    "disabled" | "masked" => 1,
                    _ => return None,
                };
                Some(Ran { code, stdout: word.into_bytes(), ..Ran::default() })
            }
            ["--no-reload", "enable", _] if !script() => {
                manager.enable(unit).ok().map(|()| Ran::default())
            }
            ["enable", _] if !script() => {
                manager.enable(unit).and_then(|()| manager.reload()).ok().map(|()| Ran::default())
            }
            ["daemon-reload"] => manager.reload().ok().map(|()| Ran::default()),
            ["start" | "stop" | "restart" | "reload", _] => {
                let result = manager.job(words[0], unit).ok()?;
                if matches!(result.as_str(), "done" | "skipped") {
                    return Some(Ran::default());
                }
                let stderr = job_failed(unit, &result, manager).into_bytes();
                Some(Ran { code: 1, stderr, ..Ran::default() })
            }
            _ => None,
        }
    }

    /// What `systemctl` with these words does and says.
    pub(crate) fn call(&self, words: &[&str]) -> Result<Ran, Fault> {
        if let Some(ran) = self.ask(words) {
            return Ok(ran);
        }
        let mut cmd = Cmd::new(&self.program).args(&self.flags).args(words).plain_locale();
        if self.ctx.var("XDG_RUNTIME_DIR").is_none() {
            let uid = rustix::process::geteuid().as_raw();
            cmd = cmd.env("XDG_RUNTIME_DIR", format!("/run/user/{uid}"));
        }
        cmd.run(self.ctx).or_fail("cannot run systemctl")
    }
}

/// Whether a name is one of a unit and needs no more than a suffix.
pub(crate) fn plain(unit: &str) -> bool {
    unit.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.@".contains(&byte))
}

/// `systemctl`'s words for a job that did not end well.
fn job_failed(unit: &str, result: &str, manager: &mut Manager<'_>) -> String {
    let name = full_name(unit);
    match result {
        "lost" => format!("Lost the connection to systemd while it was busy with {name}.\n"),
        "canceled" => format!("Job for {name} canceled.\n"),
        "timeout" => format!("Job for {name} timed out.\n"),
        "dependency" => {
            format!("A dependency job for {name} failed. See 'journalctl -xe' for details.\n")
        }
        "invalid" => format!("{name} is not active, cannot reload.\n"),
        "assert" => format!("Assertion failed on job for {name}.\n"),
        "unsupported" => {
            format!("Operation on or unit type of {name} not supported on this system.\n")
        }
        "once" => format!("Unit {name} was started already once and can't be started again.\n"),
        _ => {
            let why = manager.why(unit).map_or(String::new(), |why| format!(" because {why}"));
            format!(
                "Job for {name} failed{why}.\nSee \"systemctl status {name}\" and \"journalctl \
                 -xeu {name}\" for details.\n"
            )
        }
    }
}

/// Whether systemd cannot be expected to answer: a chroot, or told so.
pub(crate) fn offline(ctx: &Context) -> bool {
    ctx.var("SYSTEMD_OFFLINE") == Some("1") || in_chroot(ctx)
}

/// Whether our root is not the root of process 1.
pub(crate) fn in_chroot(ctx: &Context) -> bool {
    if ctx.var("debian_chroot").is_some() {
        return true;
    }
    match (Path::new("/").metadata(), Path::new("/proc/1/root/.").metadata()) {
        (Ok(ours), Ok(theirs)) => (ours.dev(), ours.ino()) != (theirs.dev(), theirs.ino()),
        // Without a view of process 1, only root directories of filesystems have a low number:
        // 2 on ext, 128 on XFS, 256 on Btrfs.
        (Ok(ours), Err(_)) => !matches!(ours.ino(), 2 | 128 | 256),
        (Err(_), _) => false,
    }
}
