//! Runs programs for modules: own process group, no terminal, a way to stop, nothing left behind.
//!
//! This is the only place in the crate that spawns. A child gets the context's environment and
//! nothing else, and its standard input is `/dev/null` unless something is to be read from it.

use crate::context::Context;
use crate::discreet;
use crate::outcome::{Fault, fail, numbered};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;
use updraft_spec::CAUSE;

/// A program to run.
#[derive(Clone, Debug)]
pub(crate) struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    env: BTreeMap<String, String>,
    dir: Option<PathBuf>,
    input: Option<Vec<u8>>,
    within: Option<Duration>,
    umask: Option<u32>,
}

/// How a program ended and what it said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ran {
    /// Exit status, or minus the number of the signal that ended it.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Ran {
    pub(crate) fn success(&self) -> bool {
        self.code == 0
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Cmd {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            dir: None,
            input: None,
            within: None,
            umask: None,
        }
    }

    /// The first word is the program.
    pub(crate) fn argv(words: &[String]) -> Option<Self> {
        let (program, args) = words.split_first()?;
        Some(Self::new(program).args(args))
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// Output in plain English, to be parsed or matched.
    pub(crate) fn plain_locale(self) -> Self {
        ["LANG", "LC_ALL", "LC_MESSAGES"].into_iter().fold(self, |cmd, name| cmd.env(name, "C"))
    }

    pub(crate) fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Kills the program and its children when it takes longer.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
        self
    }

    /// Gives the program a file mode creation mask of its own.
    pub(crate) fn umask(mut self, mask: Option<u32>) -> Self {
        self.umask = mask;
        self
    }

    /// The command line as a shell would take it, for results and messages.
    pub(crate) fn line(&self) -> String {
        self.words().iter().map(|word| crate::shlex::quote(word)).collect::<Vec<_>>().join(" ")
    }

    /// The same line as Ansible shows it where a program failed.
    pub(crate) fn shown(&self) -> String {
        discreet::line(&self.words())
    }

    fn words(&self) -> Vec<String> {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|word| word.to_string_lossy().into_owned()).collect()
    }

    /// The same with homes and variables of the environment filled in in every word, as Ansible's
    /// modules run programs.
    pub(crate) fn expanded(mut self, ctx: &Context) -> Self {
        for word in std::iter::once(&mut self.program).chain(&mut self.args) {
            if let Some(text) = word.to_str() {
                *word = crate::place::expand(text, ctx).into();
            }
        }
        self
    }

    /// Runs the program to its end.
    ///
    /// Reading stops when the program has ended and its pipes are drained, even if a background
    /// child still holds them. An error means it could not be started, or was stopped because its
    /// time was up or the context was cancelled; its whole process group is then gone.
    pub(crate) fn run(&self, ctx: &Context) -> io::Result<Ran> {
        let mut child = self.spawn_when_free(ctx)?;
        let deadline = self.within.map(|limit| ctx.time.steady() + limit);
        let ended = self.talk(&mut child, deadline, ctx);
        if ended.is_err() {
            if let Ok(pid) = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)).ok_or(()) {
                // It may have ended by itself in the meantime, which is as good.
                rustix::process::kill_process_group(pid, Signal::KILL).ok();
            }
            child.wait()?;
        }
        ended
    }

    /// Runs a program that has to succeed; if it does not, the fault says how it ended, as
    /// Ansible's own modules have it.
    pub(crate) fn checked(&self, ctx: &Context) -> Result<Ran, Fault> {
        let ran = self.run(ctx).map_err(|error| not_run(self.shown(), &error))?;
        self.judged(ran)
    }

    /// What the program said if it succeeded, and else the fault that [`Cmd::checked`] has.
    pub(crate) fn judged(&self, ran: Ran) -> Result<Ran, Fault> {
        if ran.success() {
            return Ok(ran);
        }
        Err(Fault::new(discreet::text(ran.err().trim_end()))
            .with("cmd", self.shown())
            .with("rc", ran.code)
            .with("stdout", ran.out())
            .with("stderr", ran.err()))
    }

    /// Starts the program, waiting a moment if its file is still open for writing.
    ///
    /// A program that was just written may be held open by a child that another thread has forked
    /// and that has not got to its exec yet; the kernel then answers ETXTBSY.
    fn spawn_when_free(&self, ctx: &Context) -> io::Result<Child> {
        for _ in 0..50 {
            match self.spawn(ctx) {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    ctx.time.sleep(Duration::from_millis(10));
                }
                spawned => return spawned,
            }
        }
        self.spawn(ctx)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "modules run on targets, where there is no updraft_host; this is their one spawner"
    )]
    fn spawn(&self, ctx: &Context) -> io::Result<Child> {
        let program = self.resolve(ctx);
        let mut command = match self.umask {
            None => {
                let mut command = std::process::Command::new(&program);
                command.arg0(&self.program);
                command
            }
            // The mask of a process is that of all its threads, so a process of its own sets it.
            Some(mask) => {
                let mut command = std::process::Command::new("/bin/sh");
                command.args(["-c", "umask \"$0\" && exec \"$@\""]);
                command.arg(format!("{mask:04o}")).arg(&program);
                command
            }
        };
        command
            .args(&self.args)
            .env_clear()
            .envs(&ctx.inherited)
            .envs(&ctx.env)
            .envs(&self.env)
            .process_group(0)
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command.spawn()
    }

    /// A bare name is looked up in the child's own PATH.
    fn resolve(&self, ctx: &Context) -> OsString {
        let path = self.env.get("PATH").map(String::as_str).or_else(|| ctx.var("PATH"));
        if self.program.as_encoded_bytes().contains(&b'/') {
            return self.program.clone();
        }
        let dirs = path.unwrap_or("/bin:/usr/bin").split(':').chain(["/sbin", "/usr/sbin"]);
        dirs.map(|dir| Path::new(dir).join(&self.program))
            .find(|file| {
                file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
            })
            .map_or_else(|| self.program.clone(), PathBuf::into_os_string)
    }

    fn talk(
        &self,
        child: &mut Child,
        deadline: Option<Duration>,
        ctx: &Context,
    ) -> io::Result<Ran> {
        let mut ran = Ran::default();
        let mut stdout = child.stdout.take();
        let mut stderr = child.stderr.take();
        let mut stdin = child.stdin.take();
        let mut pending: &[u8] = self.input.as_deref().unwrap_or_default();
        stdout.as_ref().map(never_block).transpose()?;
        stderr.as_ref().map(never_block).transpose()?;
        stdin.as_ref().map(never_block).transpose()?;
        // Kernels before 5.3 have no pidfd; there a short tick finds out that the child ended.
        let pidfd: Option<OwnedFd> = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        let tick = Duration::from_millis(if pidfd.is_some() { 200 } else { 20 });
        loop {
            if ctx.stopped() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped before it ended"));
            }
            if deadline.is_some_and(|deadline| ctx.time.steady() >= deadline) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "took too long"));
            }
            if pending.is_empty() {
                stdin = None;
            }
            let ended = child.try_wait()?;
            let wait = if ended.is_some() { Duration::ZERO } else { tick };
            let ready = wait_for(
                stdout.as_ref().map(AsFd::as_fd),
                stderr.as_ref().map(AsFd::as_fd),
                stdin.as_ref().map(AsFd::as_fd),
                pidfd.as_ref().filter(|_| ended.is_none()).map(AsFd::as_fd),
                wait,
            )?;
            if ready.stdout && drain(stdout.as_mut(), &mut ran.stdout)? {
                stdout = None;
            }
            if ready.stderr && drain(stderr.as_mut(), &mut ran.stderr)? {
                stderr = None;
            }
            if let (true, Some(pipe)) = (ready.stdin, stdin.as_mut()) {
                match pipe.write(pending) {
                    Ok(written) => pending = &pending[written..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // The child does not want to read more; that is its business.
                    Err(_) => pending = &[],
                }
            }
            if let Some(status) = ended
                && !ready.stdout
                && !ready.stderr
            {
                ran.code = status.code().unwrap_or_else(|| -status.signal().unwrap_or(255));
                return Ok(ran);
            }
        }
    }
}

/// The fault of a program that could not be run, as Ansible's own modules tell it; `line` is what
/// is shown of the command.
pub(crate) fn not_run(line: String, error: &io::Error) -> Fault {
    let program = crate::shlex::split(&line).ok().and_then(|words| words.into_iter().next());
    let cause = format!("{}: b'{}'", numbered(error), program.unwrap_or_default());
    let fault = fail!("Error executing command.").with("cmd", line);
    let fault = fault.with("stdout", "").with("stderr", "").with(CAUSE, cause);
    fault.with("rc", error.raw_os_error().unwrap_or(257))
}

fn never_block(pipe: &impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(pipe)?;
    Ok(rustix::fs::fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}

#[derive(Default)]
struct Ready {
    stdout: bool,
    stderr: bool,
    stdin: bool,
}

type Fd<'a> = Option<std::os::fd::BorrowedFd<'a>>;

fn wait_for(
    stdout: Fd<'_>,
    stderr: Fd<'_>,
    stdin: Fd<'_>,
    pidfd: Fd<'_>,
    wait: Duration,
) -> io::Result<Ready> {
    let asked = [
        (stdout, PollFlags::IN),
        (stderr, PollFlags::IN),
        (stdin, PollFlags::OUT),
        (pidfd, PollFlags::IN),
    ];
    let mut places = Vec::with_capacity(4);
    let mut fds = Vec::with_capacity(4);
    for (place, (fd, flags)) in asked.into_iter().enumerate() {
        if let Some(fd) = fd {
            places.push(place);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        }
    }
    let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
    match poll(&mut fds, Some(&wait)) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
        Err(error) => return Err(error.into()),
    }
    let mut ready = Ready::default();
    for (place, fd) in places.into_iter().zip(&fds) {
        let hit = !fd.revents().is_empty();
        match place {
            0 => ready.stdout = hit,
            1 => ready.stderr = hit,
            2 => ready.stdin = hit,
            _ => {}
        }
    }
    Ok(ready)
}

/// Reads what is there; true at the end of the stream.
fn drain(pipe: Option<&mut impl Read>, into: &mut Vec<u8>) -> io::Result<bool> {
    let Some(pipe) = pipe else { return Ok(true) };
    let mut chunk = [0; 16 * 1024];
    match pipe.read(&mut chunk) {
        Ok(0) => Ok(true),
        Ok(read) => {
            into.extend_from_slice(&chunk[..read]);
            Ok(false)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(text: &str) -> Cmd {
        Cmd::new("/bin/sh").args(["-c", text])
    }

    #[test]
    fn a_program_gets_its_input_and_its_output_is_kept_apart() {
        let ran = sh("cat; echo oops >&2; exit 3").input("hello").run(&Context::system()).unwrap();
        assert_eq!((ran.code, ran.out().as_str(), ran.err().as_str()), (3, "hello", "oops\n"));
    }

    #[test]
    fn more_than_a_pipe_holds_goes_both_ways_at_once() {
        let input = vec![b'x'; 1 << 20];
        let ran = sh("tee /dev/stderr").input(input.clone()).run(&Context::system()).unwrap();
        assert_eq!((ran.stdout.len(), ran.stderr.len()), (input.len(), input.len()));
    }

    #[test]
    fn a_background_child_does_not_hold_the_answer_back() {
        let ctx = Context::system();
        let ran = sh("sleep 5 & echo started $!").run(&ctx).unwrap();
        assert!(ran.out().starts_with("started "));
        assert!(ctx.time.steady() < Duration::from_secs(4));
        let pid = ran.out().trim_start_matches("started ").trim().to_owned();
        sh(&format!("kill {pid}")).run(&ctx).unwrap();
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed_with_its_children() {
        let ctx = Context::system();
        let error = sh("sleep 60 & sleep 60").within(Duration::from_millis(50)).run(&ctx);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(ctx.time.steady() < Duration::from_secs(10));
    }

    #[test]
    fn a_signal_is_told_as_a_negative_code() {
        assert_eq!(sh("kill -9 $$").run(&Context::system()).unwrap().code, -9);
    }

    #[test]
    fn a_program_may_have_a_mask_of_its_own() {
        let ctx = Context::system();
        let ran = sh("umask; echo \"$0\"").arg("a b").umask(Some(0o27)).run(&ctx).unwrap();
        assert_eq!(ran.out(), "0027\na b\n");
    }

    #[test]
    fn words_are_expanded_as_paths_are() {
        let mut ctx = Context::system();
        ctx.env = [("HOME", "/h"), ("A", "1")].map(|(k, v)| (k.into(), v.into())).into();
        let cmd = Cmd::new("~/bin/x").args(["$A", "~", "a~", "b${A}c", "$NONE"]).expanded(&ctx);
        assert_eq!(cmd.line(), "/h/bin/x 1 /h 'a~' b1c '$NONE'");
    }

    #[test]
    fn the_child_sees_the_contexts_environment_and_no_other() {
        let mut ctx = Context::system();
        ctx.inherited = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())].into();
        ctx.env = [("B".to_owned(), "3".to_owned())].into();
        let ran = sh("echo $A$B$HOME").run(&ctx).unwrap();
        assert_eq!(ran.out(), "13\n");
    }
}
