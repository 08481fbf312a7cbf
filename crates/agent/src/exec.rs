//! Running one command: its output as it comes, its deadline, its end.

#![expect(
    clippy::disallowed_methods,
    reason = "the agent runs on targets, where nothing stands between it and the system"
)]

use crate::connection::{Connection, Task};
use crate::failure::{refused, system};
use crate::time::Deadline;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use updraft_wire::{Exec, Exit, Failure, OutputTag, Response};

/// Between asking a cancelled command to end and making it.
const POLITE: Duration = Duration::from_secs(1);

/// After a command was killed, how long to wait for its end. It does not come when the command
/// belongs to another user or sits in a system call that cannot be interrupted.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// As many bytes are kept of a program whose output is handed over whole: a quarter of the longest
/// message, since JSON may write one byte as several.
pub(crate) const MOST_SAID: usize = updraft_wire::MAX_MESSAGE / 4;

/// What a pipe holds (pipe(7)), so one read empties it.
const CHUNK: usize = 64 << 10;

/// Runs a command and streams its output.
pub(crate) fn run(
    connection: &Connection,
    task: &Arc<Task>,
    exec: &Exec,
) -> Result<Response, Failure> {
    let exit = follow(task, exec, &mut |tag, chunk| connection.output(task.id, tag, chunk))?;
    Ok(Response::Exec(exit))
}

/// Runs a command to its end and returns its exit status and standard output, for probes.
pub(crate) fn collect(exec: &Exec) -> Result<(Exit, Vec<u8>), Failure> {
    let mut said = Vec::new();
    let exit = follow(&Task::alone(), exec, &mut |_, chunk| {
        if said.len() < CHUNK {
            said.extend_from_slice(chunk);
        }
        true
    })?;
    Ok((exit, said))
}

/// Runs a command to its end and returns all that it wrote. One that writes more than [`MOST_SAID`]
/// is ended, which is a failure.
pub(crate) fn gather(task: &Arc<Task>, exec: &Exec) -> Result<(Exit, Vec<u8>, Vec<u8>), Failure> {
    let (mut out, mut err, mut fits) = (Vec::new(), Vec::new(), true);
    let exit = follow(task, exec, &mut |tag, chunk| {
        fits &= out.len() + err.len() + chunk.len() <= MOST_SAID;
        match tag {
            _ if !fits => {}
            OutputTag::Out => out.extend_from_slice(chunk),
            OutputTag::Err => err.extend_from_slice(chunk),
        }
        fits
    })?;
    if fits { Ok((exit, out, err)) } else { Err(said_too_much()) }
}

/// Why a program was ended that wrote more than [`MOST_SAID`].
pub(crate) fn said_too_much() -> Failure {
    system("cannot keep what it writes", format_args!("more than {} MiB", MOST_SAID >> 20))
}

/// Starts a command and hands on what it writes, until it ends or its task is given up.
fn follow(
    task: &Arc<Task>,
    exec: &Exec,
    hear: &mut dyn FnMut(OutputTag, &[u8]) -> bool,
) -> Result<Exit, Failure> {
    let (mut command, name) = prepare(exec)?;
    let (woken, wake) = rustix::pipe::pipe_with(
        rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK,
    )
    .map_err(|fault| system("cannot make a pipe", fault))?;
    let own = wake.try_clone().map_err(|fault| system("cannot copy a descriptor", fault))?;
    task.wake_by(wake);
    let child =
        command.spawn().map_err(|fault| system(format_args!("cannot run `{name}`"), fault))?;
    Running::watch(child, own)?.follow(task, deadline(exec), &woken, hear)
}

fn deadline(exec: &Exec) -> Option<Deadline> {
    (exec.deadline_ms > 0).then(|| Deadline::after(Duration::from_millis(exec.deadline_ms)))
}

fn prepare(exec: &Exec) -> Result<(Command, String), Failure> {
    let (program, args) = exec.argv.split_first().ok_or_else(|| refused("no command was given"))?;
    let words = exec.argv.iter().chain(exec.env.keys()).chain(exec.env.values());
    if words.chain(exec.chdir.iter()).any(|word| word.contains('\0')) {
        return Err(refused("a command must not contain a zero byte"));
    }
    let mut command = Command::new(program);
    command.args(args).envs(&exec.env);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if let Some(directory) = &exec.chdir {
        // Checked here because a missing directory and a missing program give the same error.
        if !Path::new(directory).is_dir() {
            return Err(system(format_args!("cannot run in `{directory}`"), "no such directory"));
        }
        command.current_dir(directory);
    }
    Ok((command, program.clone()))
}

struct Running {
    child: Child,
    group: Pid,
    ended: Arc<AtomicBool>,
}

impl Running {
    /// Watches a child; its end writes a byte to `wake`.
    ///
    /// The child stays a zombie until [`Running::follow`] has done with it, so its number cannot
    /// become another process's while signals may still be sent to it.
    fn watch(child: Child, wake: OwnedFd) -> Result<Self, Failure> {
        let raw = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let group = raw.expect("the kernel gives positive process ids");
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let watcher = std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(Errno::INTR) = rustix::process::waitid(WaitId::Pid(group), options) {}
            seen.store(true, Ordering::SeqCst);
            // The reader may have given up already.
            rustix::io::write(&wake, &[0]).ok();
        });
        watcher.map_err(|fault| system("cannot start a thread", fault))?;
        Ok(Self { child, group, ended })
    }

    /// Passes output on until the command has ended. What it left running keeps its pipes but is
    /// not waited for.
    fn follow(
        &mut self,
        task: &Task,
        deadline: Option<Deadline>,
        woken: &OwnedFd,
        output: &mut dyn FnMut(OutputTag, &[u8]) -> bool,
    ) -> Result<Exit, Failure> {
        let mut out = self.child.stdout.take().map(OwnedFd::from);
        let mut err = self.child.stderr.take().map(OwnedFd::from);
        for pipe in [&out, &err].into_iter().flatten() {
            let made = rustix::fs::fcntl_setfl(pipe, rustix::fs::OFlags::NONBLOCK);
            made.map_err(|fault| system("cannot set up a pipe", fault))?;
        }
        let mut state = Ending::default();
        let mut buffer = vec![0; CHUNK];
        loop {
            let ended = self.ended.load(Ordering::SeqCst);
            for (pipe, tag) in [(&mut out, OutputTag::Out), (&mut err, OutputTag::Err)] {
                // After the end the pipe is emptied; before, one read each keeps both moving.
                while let Some(open) = pipe.as_ref() {
                    match rustix::io::read(open, &mut buffer) {
                        Ok(0) => *pipe = None,
                        Ok(length) => {
                            if !output(tag, &buffer[..length]) {
                                state.unread = true;
                            }
                            if !ended {
                                break;
                            }
                        }
                        Err(Errno::INTR) => {}
                        Err(Errno::AGAIN) => break,
                        Err(_) => *pipe = None,
                    }
                }
            }
            if ended {
                break;
            }
            let gone = self.hasten(task, deadline, &mut state);
            if gone {
                return Ok(Exit { code: 137, timed_out: state.timed_out });
            }
            sleep(&[&out, &err], woken, state.next(deadline))?;
        }
        let status =
            self.child.wait().map_err(|fault| system("cannot learn a command's end", fault))?;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(Exit { code, timed_out: state.timed_out })
    }

    /// Kills the command when it is time to; returns whether to give up waiting for it.
    fn hasten(&self, task: &Task, deadline: Option<Deadline>, state: &mut Ending) -> bool {
        let signal = |signal| {
            // It may have ended just now, or belong to somebody else; waiting tells.
            rustix::process::kill_process_group(self.group, signal).ok();
        };
        if (task.is_cancelled() || state.unread) && state.asked.is_none() && state.killed.is_none()
        {
            signal(Signal::TERM);
            state.asked = Some(Deadline::after(POLITE));
        }
        let overdue = deadline.is_some_and(Deadline::passed) && !state.timed_out;
        if overdue {
            state.timed_out = true;
        }
        let asked_long_ago = state.asked.is_some_and(Deadline::passed);
        if (overdue || asked_long_ago) && state.killed.is_none() {
            signal(Signal::KILL);
            state.killed = Some(Deadline::after(LAST_WAIT));
        }
        state.killed.is_some_and(Deadline::passed)
    }
}

/// Waits until a pipe has something, a byte comes to `woken`, or it is time.
pub(crate) fn sleep(
    pipes: &[&Option<OwnedFd>],
    woken: &OwnedFd,
    until: Option<Deadline>,
) -> Result<(), Failure> {
    let open = pipes.iter().filter_map(|pipe| pipe.as_ref());
    let mut fds: Vec<PollFd<'_>> =
        open.map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)).collect();
    fds.push(PollFd::new(woken, PollFlags::IN));
    let limit = until.map(|until| until.left()).and_then(|left| Timespec::try_from(left).ok());
    match rustix::event::poll(&mut fds, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(fault) => return Err(system("cannot wait for a command", fault)),
    }
    // Bytes here only wake; what happened stands elsewhere.
    rustix::io::read(woken, &mut [0; 16]).ok();
    Ok(())
}

/// How far the ending of a command that did not end by itself has come.
#[derive(Default)]
struct Ending {
    unread: bool,
    timed_out: bool,
    asked: Option<Deadline>,
    killed: Option<Deadline>,
}

impl Ending {
    /// When to look again at the latest.
    fn next(&self, deadline: Option<Deadline>) -> Option<Deadline> {
        let deadline = deadline.filter(|_| !self.timed_out);
        let asked = self.asked.filter(|_| self.killed.is_none());
        [deadline, asked, self.killed].into_iter().flatten().min_by_key(|at| at.left())
    }
}
