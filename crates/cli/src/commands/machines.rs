//! Commands for single machines.

use super::change::listen;
use super::{Context, Ended, FAILED, Result, snapshots};
use crate::args::{Confirm, Machine};
use crate::ui;
use std::io::Read;
use std::os::fd::AsFd as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use updraft_control::{Attached, CloneWish, Outcome};

/// `updraft machine …`
pub(crate) async fn machine(context: &Context, command: &Machine) -> Result {
    match command {
        Machine::Start(args) => power(context, &args.pattern, &args.run, true).await,
        Machine::Stop(args) => power(context, &args.pattern, &args.run, false).await,
        Machine::Resize(args) => super::resize::resize(context, args).await,
        Machine::Clone(args) => clone(context, args).await,
        Machine::Destroy { machine, confirm } => destroy(context, machine, confirm).await,
        Machine::Snapshot(args) => snapshots::take(context, args).await,
        Machine::Snapshots { machine, json } => {
            snapshots::list(context, machine.as_deref(), *json).await
        }
        Machine::Revert { machine, snapshot, confirm } => {
            snapshots::revert(context, machine, snapshot, confirm).await
        }
        Machine::Drop { machine, snapshot, run } => {
            snapshots::drop_one(context, machine, snapshot, run).await
        }
        Machine::Console { machine, log } => console(context, machine, *log).await,
    }
}

async fn clone(context: &Context, args: &crate::args::Clone) -> Result {
    let control = context.open_for(&args.run)?;
    let change = control.take().map_err(|error| context.fail_control(&error))?;
    let stop = listen();
    let wish = CloneWish {
        of: args.machine.clone(),
        name: args.name.clone(),
        count: u32::from(args.count),
        live: args.live,
    };
    let plan = context.planned(&stop, change.plan_clone(&wish)).await?;
    snapshots::end(context, &change, plan, true, &args.run, &stop).await
}

async fn destroy(context: &Context, machine: &str, confirm: &Confirm) -> Result {
    let control = context.open_for(&confirm.run)?;
    let change = control.take().map_err(|error| context.fail_control(&error))?;
    let stop = listen();
    let plan = context.planned(&stop, change.plan_destroy_clone(machine)).await?;
    let code = snapshots::end(context, &change, plan, confirm.yes, &confirm.run, &stop).await?;
    change.forget_clone(machine).map_err(|error| context.fail_control(&error))?;
    Ok(code)
}

async fn power(context: &Context, pattern: &str, run: &crate::args::Run, on: bool) -> Result {
    let control = context.open_for(run)?;
    let fail = |error| context.fail_control(&error);
    let names = control.machines_matching(pattern).map_err(fail)?;
    let change = control.take().map_err(fail)?;
    let stop = listen();
    let plan = match on {
        true => context.planned(&stop, change.plan_start(&names)).await?,
        false => context.planned(&stop, change.plan_stop(&names)).await?,
    };
    if plan.is_empty() {
        ui::say("Nothing to do.");
        return Ok(0);
    }
    match context.carry_out(&change, plan, true, run, &stop).await? {
        Outcome::Done => Ok(0),
        Outcome::Failed | Outcome::Stopped => Err(Ended(FAILED)),
    }
}

/// What leaves the console: Ctrl-], as in telnet and virsh.
const LEAVE: u8 = 0x1d;

async fn console(context: &Context, machine: &str, log: bool) -> Result {
    let control = context.site()?;
    let fail = |error| context.fail_control(&error);
    let console = control.console(machine).await.map_err(fail)?;
    if log {
        let text = std::fs::read(&console.log).map_err(|error| {
            let message = format!("cannot read `{}`: {error}", console.log.display());
            context.terminal.complain_text(&message, None);
            Ended(FAILED)
        })?;
        ui::out(&String::from_utf8_lossy(&text));
        return Ok(0);
    }
    if !context.terminal.can_type() {
        let hint = format!("`updraft machine console {machine} --log` prints what it has shown");
        return Err(
            context.asked("a console needs a terminal, to type at and to leave", Some(&hint))
        );
    }
    let attached = console.attach(&context.settings).await.map_err(fail)?;
    ui::say(&format!("Console of {machine}. Ctrl-] leaves it."));
    let raw = RawTerminal::enter();
    let Attached { line, .. } = attached;
    // Ctrl-C is a key like any other here; this hears SIGTERM, so that the terminal is put back.
    let stop = listen();
    let ended = tokio::select! {
        left = converse(line, std::io::stdin()) => match left {
            true => "Left the console.",
            false => "The console has closed: the machine went off.",
        },
        () = stop.wait_asked() => "Left the console.",
    };
    drop(raw);
    ui::say(&format!("\n{ended}"));
    Ok(0)
}

/// Types `keys` at the console behind `line` and shows what it says, until somebody leaves (true) or
/// it closes (false).
async fn converse(line: UnixStream, mut keys: impl Read + Send + 'static) -> bool {
    let (mut from, mut to) = line.into_split();
    let typed = tokio::task::spawn_blocking(move || {
        let mut byte = [0];
        let runtime = tokio::runtime::Handle::current();
        while let Ok(1) = keys.read(&mut byte) {
            if byte[0] == LEAVE || runtime.block_on(to.write_all(&byte)).is_err() {
                break;
            }
        }
        // Given back, not dropped: where our side closes, the emulator closes the other, and that
        // would be taken for a machine that went off.
        to
    });
    let screen = async {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            ui::out_raw(&buffer[..read]);
        }
    };
    tokio::select! {
        _to = typed => true,
        () = screen => false,
    }
}

/// The terminal as it was, put back when this is dropped.
struct RawTerminal(Option<rustix::termios::Termios>);

impl RawTerminal {
    /// Passes every key on at once. Where standard input is no terminal, nothing happens.
    fn enter() -> Self {
        let stdin = std::io::stdin();
        let Ok(before) = rustix::termios::tcgetattr(stdin.as_fd()) else { return Self(None) };
        let mut raw = before.clone();
        raw.make_raw();
        let set =
            rustix::termios::tcsetattr(stdin.as_fd(), rustix::termios::OptionalActions::Now, &raw);
        Self(set.is_ok().then_some(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let now = rustix::termios::OptionalActions::Now;
            // The terminal went away: there is nothing to put back.
            rustix::termios::tcsetattr(std::io::stdin().as_fd(), now, before).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What QEMU does: it closes a console whose only user has closed.
    async fn close_when_closed(mut line: UnixStream) {
        let mut rest = Vec::new();
        line.read_to_end(&mut rest).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_leaves_a_console_is_not_told_that_it_closed() {
        for _ in 0..200 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            tokio::spawn(close_when_closed(theirs));
            assert!(converse(ours, &b"ls\r\x1d"[..]).await);
        }
    }

    #[tokio::test]
    async fn a_machine_that_went_off_is_told_from_one_that_was_left() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (keys, _keyboard) = std::io::pipe().unwrap();
        drop(theirs);
        assert!(!converse(ours, keys).await);
    }
}
