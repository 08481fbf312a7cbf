//! Reading frames from a line and handing them to the connection they belong to.

use crate::connection::Connection;
use crate::outbox::{Outbox, Sink};
use crate::root::Root;
use crate::{peer, port, tell};
use rustix::io::Errno;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use updraft_wire::{Decoded, Decoder, Frame, Hello, Kind, PREAMBLE, VERSION};

/// How long to wait for a port that is not there yet, before asking again.
const PORT_PAUSE: Duration = Duration::from_millis(50);

/// Largest read; a pipe holds as much.
const CHUNK: usize = 64 << 10;

/// Serves standard input and output until the input ends.
///
/// With `announce` the agent says hello first, unasked, with nonce 0: whoever started it through
/// sudo learns that way that the password was accepted and who speaks now.
pub(crate) fn stdio(root: Root, announce: bool) {
    let (outbox, _writer) = Outbox::start(Stdout);
    if announce {
        greet(&outbox, &root, 0);
    }
    let mut ending = Vec::new();
    let end = serve(&root, &outbox, &mut ending, |into| {
        loop {
            match rustix::io::read(rustix::stdio::stdin(), &mut *into) {
                Err(Errno::INTR) => {}
                outcome => return outcome.map_err(Into::into),
            }
        }
    });
    if let Err(fault) = end {
        tell(&format!("updraft-agent: cannot read requests: {fault}\n"));
    }
    // Work that must not be cut off may be that of an earlier connection.
    for earlier in ending {
        drop(earlier.join());
    }
}

/// Serves a virtio-serial port for ever; returns only when the port cannot be used.
pub(crate) fn port(root: Root, path: &Path) -> Result<(), String> {
    settle_before_the_end(root.clone());
    crate::freeze::let_go_of_the_dead();
    crate::identity::note_boot(&root);
    crate::identity::let_rest_go(&root);
    let mut told = false;
    loop {
        match port::open(path) {
            Ok((mut reader, writer)) => {
                told = false;
                let (outbox, _writer) = Outbox::start(writer);
                // Whoever still waits for the agent before this one learns that it is gone: the
                // line itself does not end when a machine restarts.
                greet(&outbox, &root, 0);
                // We go on whatever becomes of the line, and so do they.
                let end = serve(&root, &outbox, &mut Vec::new(), |into| reader.read(into));
                if let Err(fault) = end {
                    tell(&format!("updraft-agent: lost `{}`: {fault}\n", path.display()));
                }
            }
            Err(fault) if fault.kind() == io::ErrorKind::PermissionDenied => {
                return Err(format!("cannot open `{}`: {fault}", path.display()));
            }
            Err(fault) if !told => {
                tell(&format!("updraft-agent: waiting for `{}`: {fault}\n", path.display()));
                told = true;
            }
            Err(_) => {}
        }
        crate::time::pause(PORT_PAUSE);
    }
}

/// A machine that restarts of its own accord ends us first. What it was told may not be on its disk
/// by then, and without that it would boot as nobody, in no network.
fn settle_before_the_end(root: Root) {
    let mut signals = match Signals::new([SIGTERM]) {
        Ok(signals) => signals,
        Err(fault) => return tell(&format!("updraft-agent: cannot hear of an end: {fault}\n")),
    };
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            if let Err(failure) = crate::identity::settle(&root) {
                tell(&format!("updraft-agent: the identity is not kept: {}\n", failure.message));
            }
            std::process::exit(0);
        }
    });
}

/// Serves a line until it ends. A preamble on it begins a new connection and ends the old one, which
/// is among those that are `ending` while it has something to wait for.
fn serve(
    root: &Root,
    outbox: &Outbox,
    ending: &mut Vec<JoinHandle<()>>,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<()> {
    let mut decoder = Decoder::new();
    let mut current: Option<(u64, Arc<Connection>)> = None;
    let mut chunk = vec![0; CHUNK];
    let end = loop {
        let length = match read(&mut chunk) {
            Ok(0) => break Ok(()),
            Ok(length) => length,
            Err(fault) => break Err(fault),
        };
        decoder.push(&chunk[..length]);
        loop {
            match decoder.decode() {
                Ok(None) => break,
                Ok(Some(Decoded::Preamble)) => {}
                Ok(Some(Decoded::Frame(frame))) if frame.kind == Kind::Hello => {
                    greeted(root, outbox, &frame, &mut current, ending);
                }
                Ok(Some(Decoded::Frame(frame))) => {
                    if let Some((_, connection)) = &current {
                        connection.take(frame);
                    }
                }
                Err(fault) => {
                    tell(&format!("updraft-agent: skipping to the next connection: {fault}\n"))
                }
            }
        }
    };
    if let Some((_, connection)) = current.take() {
        connection.end();
    }
    end
}

/// Answers a hello. The same hello again is answered again and changes nothing: a controller that
/// does not know whether it was heard repeats itself.
fn greeted(
    root: &Root,
    outbox: &Outbox,
    frame: &Frame,
    current: &mut Option<(u64, Arc<Connection>)>,
    ending: &mut Vec<JoinHandle<()>>,
) {
    let Ok(hello) = frame.message::<Hello>() else {
        return;
    };
    match current {
        Some((nonce, connection)) if *nonce == hello.nonce => {
            greet(connection.outbox(), root, hello.nonce);
        }
        _ => {
            let outbox = outbox.renewed();
            match current.take() {
                Some((_, old)) if old.is_idle() => old.end(),
                // It may have to wait for a module that must not be cut off.
                Some((_, old)) => {
                    ending.retain(|earlier| !earlier.is_finished());
                    ending.push(std::thread::spawn(move || old.end()));
                }
                None => {}
            }
            greet(&outbox, root, hello.nonce);
            if hello.version == VERSION {
                *current = Some((hello.nonce, Connection::begin(outbox, root.clone())));
            }
        }
    }
}

fn greet(outbox: &Outbox, root: &Root, nonce: u64) {
    let hello = Hello { version: VERSION, nonce, peer: Some(peer::describe(root)) };
    let mut bytes = PREAMBLE.to_vec();
    Frame::hello(&hello).encode(&mut bytes);
    outbox.send_bytes(bytes);
}

struct Stdout;

impl Sink for Stdout {
    fn write(&mut self, bytes: &[u8], _stale: &dyn Fn() -> bool) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match rustix::io::write(rustix::stdio::stdout().as_fd(), rest) {
                Ok(length) => rest = &rest[length..],
                Err(Errno::INTR) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(())
    }
}
