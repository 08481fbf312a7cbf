//! Commands for single machines.

use super::change::listen;
use super::{Context, Ended, FAILED, Result};
use crate::args::Machine;
use crate::ui;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use updraft_control::Outcome;

/// `updraft machine …`
pub(crate) async fn machine(context: &Context, command: &Machine) -> Result {
    match command {
        Machine::Start(args) => power(context, &args.pattern, &args.run, true).await,
        Machine::Stop(args) => power(context, &args.pattern, &args.run, false).await,
        Machine::Console { machine, log } => console(context, machine, *log).await,
    }
}

async fn power(context: &Context, pattern: &str, run: &crate::args::Run, on: bool) -> Result {
    let control = context.open_for(run)?;
    let fail = |error| context.fail_control(&error);
    let names = control.machines_matching(pattern).map_err(fail)?;
    let change = control.take().map_err(fail)?;
    let plan = match on {
        true => change.plan_start(&names).await,
        false => change.plan_stop(&names).await,
    }
    .map_err(fail)?;
    if plan.is_empty() {
        ui::say("Nothing to do.");
        return Ok(0);
    }
    let stop = listen();
    match context.carry_out(&change, plan, true, run, &stop).await? {
        Outcome::Done => Ok(0),
        Outcome::Failed | Outcome::Stopped => Err(Ended(FAILED)),
    }
}

/// What leaves the console: Ctrl-], as in telnet and virsh.
const LEAVE: u8 = 0x1d;

async fn console(context: &Context, machine: &str, log: bool) -> Result {
    let control = context.site()?;
    let console = control.console(machine).await.map_err(|error| context.fail_control(&error))?;
    let fail = |what: &str, error: std::io::Error| {
        context.terminal.complain_text(&format!("{what}: {error}"), None);
        Ended(FAILED)
    };
    if log {
        let text = std::fs::read(&console.log)
            .map_err(|error| fail(&format!("cannot read `{}`", console.log.display()), error))?;
        ui::out(&String::from_utf8_lossy(&text));
        return Ok(0);
    }
    let socket = tokio::net::UnixStream::connect(&console.socket)
        .await
        .map_err(|error| fail(&format!("cannot reach the console of `{machine}`"), error))?;
    ui::say(&format!("Console of {machine}. Ctrl-] leaves it."));
    let raw = RawTerminal::enter();
    let (mut from, mut to) = socket.into_split();
    let keys = tokio::task::spawn_blocking(move || {
        let mut byte = [0];
        let runtime = tokio::runtime::Handle::current();
        while let Ok(1) = std::io::stdin().lock().read(&mut byte) {
            if byte[0] == LEAVE || runtime.block_on(to.write_all(&byte)).is_err() {
                break;
            }
        }
    });
    let screen = async {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            ui::out_raw(&buffer[..read]);
        }
    };
    tokio::select! {
        _ = keys => {}
        () = screen => {}
    }
    drop(raw);
    ui::say("");
    Ok(0)
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
