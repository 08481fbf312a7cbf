//! A resident Python that runs modules, each in a fork of it: its imports are paid for once.
//!
//! There is one for each interpreter and library of a connection, which for other users is a
//! connection of their own. Its program is in no file and in no argument: it comes over its
//! standard input, which is a socket. So do the jobs, with their outputs' descriptors beside them.

#![expect(
    clippy::disallowed_methods,
    reason = "the agent runs on targets, where nothing stands between it and the system"
)]

use crate::connection::{Task, lock};
use crate::exec::{MOST_SAID, said_too_much, sleep};
use crate::failure::system;
use crate::time::Deadline;
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use updraft_wire::{Failure, ForeignModule, ForeignOutput, ModuleRequest};

const PROGRAM: &str = include_str!("zygote.py");

/// Reads the program from the socket and runs it.
const BOOT: &str = "import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_STREAM,0,0)
r=lambda n:s.recv(n,socket.MSG_WAITALL)
exec(compile(r(int(r(8))).decode(),'updraft-zygote','exec'),\
{'__name__':'zygote','LINE':s,'LIBRARY':r(int(r(8))).decode()})";

/// How long an interpreter may take to be ready. It compiles the library the first time, on a
/// machine that may be busy with its own start.
const START: Duration = Duration::from_secs(120);

/// What a pipe holds (pipe(7)).
const CHUNK: usize = 64 << 10;

/// Between asking a module to end and making it.
const POLITE: Duration = Duration::from_secs(2);

/// The zygotes of a connection.
#[derive(Default)]
pub(crate) struct Zygotes(Mutex<HashMap<(String, PathBuf), Arc<Slot>>>);

/// Locked while the interpreter is being started, so that it is started once.
type Slot = Mutex<Option<Arc<Zygote>>>;

/// A resident interpreter.
pub(crate) struct Zygote {
    line: Mutex<UnixStream>,
    jobs: Mutex<HashMap<u32, Arc<Job>>>,
    next: AtomicU32,
    gone: AtomicBool,
}

/// A module that runs.
struct Job {
    /// As `waitpid` has it; -1 while it runs.
    status: AtomicI32,
    ended: AtomicBool,
    wake: OwnedFd,
}

impl Zygotes {
    /// The zygote of an interpreter; or what the interpreter said when it could not be one.
    pub(crate) fn get(
        &self,
        interpreter: &str,
        library: &Path,
    ) -> Result<Result<Arc<Zygote>, ForeignOutput>, Failure> {
        let key = (interpreter.to_owned(), library.to_owned());
        let slot = Arc::clone(lock(&self.0).entry(key).or_default());
        let mut slot = lock(&slot);
        if let Some(zygote) = slot.as_ref().filter(|zygote| !zygote.gone.load(Ordering::SeqCst)) {
            return Ok(Ok(Arc::clone(zygote)));
        }
        let started = Zygote::start(interpreter, library)?;
        if let Ok(zygote) = &started {
            *slot = Some(Arc::clone(zygote));
        }
        Ok(started)
    }
}

impl Zygote {
    fn start(
        interpreter: &str,
        library: &Path,
    ) -> Result<Result<Arc<Self>, ForeignOutput>, Failure> {
        let cannot = |fault: std::io::Error| system("cannot speak to an interpreter", fault);
        let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
        let mut child = Command::new(interpreter)
            .args(["-c", BOOT])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|fault| system(format_args!("cannot run `{interpreter}`"), fault))?;
        let library = library.to_string_lossy();
        let mut text = Vec::new();
        for part in [PROGRAM, &library] {
            text.extend(format!("{:8}", part.len()).into_bytes());
            text.extend(part.as_bytes());
        }
        // An interpreter that does not take it says why on its standard error.
        drop((&ours).write_all(&text));
        ours.set_read_timeout(Some(START)).map_err(cannot)?;
        let mut reader = BufReader::new(ours.try_clone().map_err(cannot)?);
        let mut first = String::new();
        let ready = reader.read_line(&mut first).is_ok() && first == "ready\n";
        let mut complaints = child.stderr.take();
        if !ready {
            // Killed first, because its standard error ends with it.
            drop(child.kill());
            let mut said = Vec::new();
            if let Some(pipe) = &mut complaints {
                drop(pipe.read_to_end(&mut said));
            }
            let status = child.wait().map_err(cannot)?;
            return Ok(Err(ForeignOutput {
                code: status.code().unwrap_or(1),
                stderr: String::from_utf8_lossy(&said).into_owned(),
                interpreter: interpreter.to_owned(),
                ..ForeignOutput::default()
            }));
        }
        ours.set_read_timeout(None).map_err(cannot)?;
        let zygote = Arc::new(Self {
            line: Mutex::new(ours),
            jobs: Mutex::default(),
            next: AtomicU32::new(1),
            gone: AtomicBool::new(false),
        });
        let listener = Arc::downgrade(&zygote);
        let heard = std::thread::Builder::new().name("zygote".to_owned()).spawn(move || {
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
                if let Some(zygote) = listener.upgrade() {
                    zygote.hear(line.trim_end());
                }
                line.clear();
            }
            if let Some(zygote) = listener.upgrade() {
                zygote.lost();
            }
            // Waited for here, so that it does not stay behind as a zombie.
            drop(child.wait());
        });
        heard.map_err(|fault| system("cannot start a thread", fault))?;
        if let Some(mut pipe) = complaints {
            // Emptied, so that it never stands still over what nobody reads.
            let drained = std::thread::Builder::new().name("zygote says".to_owned());
            let drained = drained.spawn(move || std::io::copy(&mut pipe, &mut std::io::sink()));
            drained.map_err(|fault| system("cannot start a thread", fault))?;
        }
        Ok(Ok(zygote))
    }

    /// `done ID STATUS`
    fn hear(&self, line: &str) {
        let mut words = line.split(' ').skip(1);
        let id = words.next().and_then(|word| word.parse().ok());
        let status = words.next().and_then(|word| word.parse().ok());
        if let (Some(id), Some(status)) = (id, status)
            && let Some(job) = lock(&self.jobs).remove(&id)
        {
            job.end(status);
        }
    }

    /// The interpreter is gone, and with it the only one who could tell how its jobs end.
    fn lost(&self) {
        self.gone.store(true, Ordering::SeqCst);
        for (_, job) in lock(&self.jobs).drain() {
            job.end(KILLED);
        }
    }

    /// Runs a module in a fork.
    pub(super) fn run(
        &self,
        task: &Arc<Task>,
        request: &ModuleRequest,
        module: &ForeignModule,
        payload: &Path,
        args: Map<String, Value>,
    ) -> Result<ForeignOutput, Failure> {
        let pipe = |flags| {
            pipe_with(PipeFlags::CLOEXEC | flags)
                .map_err(|fault| system("cannot make a pipe", fault))
        };
        let (out, their_out) = pipe(PipeFlags::empty())?;
        let (err, their_err) = pipe(PipeFlags::empty())?;
        for end in [&out, &err] {
            rustix::fs::fcntl_setfl(end, rustix::fs::OFlags::NONBLOCK)
                .map_err(|fault| system("cannot set up a pipe", fault))?;
        }
        let (woken, wake) = pipe(PipeFlags::NONBLOCK)?;
        task.wake_by(wake.try_clone().map_err(|fault| system("cannot copy a descriptor", fault))?);
        let job = Arc::new(Job { status: AtomicI32::new(-1), ended: AtomicBool::new(false), wake });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.jobs).insert(id, Arc::clone(&job));
        let body = json!({
            "id": id, "name": module.name, "payload": payload.to_string_lossy(),
            "env": request.env, "args": args,
        });
        let sent = self.send(&body.to_string(), &[&their_out, &their_err]);
        drop((their_out, their_err));
        if let Err(fault) = sent {
            lock(&self.jobs).remove(&id);
            return Err(system("cannot hand a module to its interpreter", fault));
        }
        let mut limit =
            (request.timeout > 0).then(|| Deadline::after(Duration::from_secs(request.timeout)));
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (mut out, mut err) = (Some(out), Some(err));
        let mut killing: Option<Deadline> = None;
        let mut timed_out = false;
        loop {
            let ended = job.ended.load(Ordering::SeqCst);
            // After the end the pipes are emptied; before, one read each keeps both moving.
            for (pipe, said) in [(&mut out, &mut stdout), (&mut err, &mut stderr)] {
                while read_some(pipe, said) && ended && said.len() <= MOST_SAID {}
            }
            let too_much = stdout.len() + stderr.len() > MOST_SAID;
            if too_much {
                // Nobody reads it, and a module that writes on is told so.
                (out, err) = (None, None);
            }
            if ended && too_much {
                return Err(said_too_much());
            }
            if ended {
                break;
            }
            let overdue = limit.is_some_and(Deadline::passed);
            if overdue {
                timed_out = true;
                limit = None;
            }
            if (overdue || too_much || task.is_cancelled()) && killing.is_none() {
                self.kill(id, rustix::process::Signal::TERM);
                killing = Some(Deadline::after(POLITE));
            } else if killing.is_some_and(Deadline::passed) {
                self.kill(id, rustix::process::Signal::KILL);
                killing = Some(Deadline::after(POLITE));
            }
            let next = [limit, killing].into_iter().flatten().min_by_key(|until| until.left());
            sleep(&[&out, &err], &woken, next)?;
        }
        Ok(ForeignOutput {
            code: code(job.status.load(Ordering::SeqCst)),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            interpreter: String::new(),
            timed_out,
        })
    }

    fn kill(&self, id: u32, signal: rustix::process::Signal) {
        let body = json!({ "kill": id, "signal": signal.as_raw() });
        // Without an interpreter there is nobody left to kill; its end ends the job.
        drop(self.send(&body.to_string(), &[]));
    }

    fn send(&self, body: &str, descriptors: &[&OwnedFd]) -> std::io::Result<()> {
        let length = u32::try_from(body.len()).map_err(std::io::Error::other)?.to_be_bytes();
        let line = lock(&self.line);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let borrowed: Vec<_> = descriptors.iter().map(|descriptor| descriptor.as_fd()).collect();
        if !borrowed.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&borrowed));
        }
        let sent = loop {
            let words = [IoSlice::new(&length)];
            match sendmsg(&*line, &words, &mut ancillary, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                outcome => break outcome?,
            }
        };
        (&*line).write_all(&length[sent..])?;
        (&*line).write_all(body.as_bytes())
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // The end of its line ends it; what it runs goes on, as a module must.
        drop(lock(&self.line).shutdown(std::net::Shutdown::Write));
    }
}

/// The status of a process that was killed, as `waitpid` has it.
const KILLED: i32 = 9;

impl Job {
    fn end(&self, status: i32) {
        self.status.store(status, Ordering::SeqCst);
        self.ended.store(true, Ordering::SeqCst);
        // The reader may have given up already.
        rustix::io::write(&self.wake, &[0]).ok();
    }
}

/// The exit code in a status of `waitpid`.
fn code(status: i32) -> i32 {
    match status & 0x7f {
        0 => (status >> 8) & 0xff,
        signal => 128 + signal,
    }
}

/// Reads what a pipe holds just now; whether there may be more.
fn read_some(pipe: &mut Option<OwnedFd>, into: &mut Vec<u8>) -> bool {
    let Some(open) = pipe.as_ref() else { return false };
    let mut chunk = vec![0; CHUNK];
    match rustix::io::read(open, &mut chunk) {
        Ok(length @ 1..) => into.extend_from_slice(&chunk[..length]),
        Err(Errno::INTR) => {}
        Err(Errno::AGAIN) => return false,
        Ok(_) | Err(_) => *pipe = None,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_how_a_process_ended() {
        assert_eq!((code(0), code(0x100), code(KILLED)), (0, 1, 137));
    }
}
