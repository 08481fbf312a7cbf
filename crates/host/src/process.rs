//! Starting, feeding and ending processes of this computer.

#![expect(clippy::disallowed_methods, reason = "this is the module everybody else is sent to")]

use crate::cmd::{SEARCH_PATH, tail};
use crate::{Cmd, CmdOutput, HostError};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

/// More output than this is a program gone wild; the rest is thrown away.
const MOST_OUTPUT: u64 = 64 << 20;

/// A running program and its three streams.
///
/// Dropping it kills the program and what it started.
pub struct Child {
    /// Its standard input; drop it to close it.
    pub stdin: Option<ChildStdin>,
    /// Its standard output.
    pub stdout: ChildStdout,
    /// Its standard error.
    pub stderr: ChildStderr,
    inner: tokio::process::Child,
    group: Group,
    cmd: String,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit status; 128 plus the signal's number when a signal ended it.
    pub status: i32,
}

impl Child {
    /// The command, redacted.
    pub fn cmd(&self) -> &str {
        &self.cmd
    }

    /// The process id, while it has not been waited for.
    pub fn id(&self) -> Option<u32> {
        self.inner.id()
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn wait(&mut self) -> Result<Ended, HostError> {
        let status = self.inner.wait().await;
        let status = status.map_err(|source| HostError::Lost { cmd: self.cmd.clone(), source })?;
        self.group.disarm();
        Ok(Ended { status: status_of(status) })
    }

    /// Kills it and what it started, and waits for its end.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn kill(&mut self) -> Result<Ended, HostError> {
        self.group.kill();
        self.wait().await
    }
}

/// A process group that is killed when its guard is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn disarm(&mut self) {
        self.0 = None;
    }

    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            // The only failure is that the group ended a moment ago: nothing to do then.
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(cmd: &Cmd) -> Command {
    let mut command = Command::new(&cmd.program);
    command
        .args(&cmd.args)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .envs((!cmd.own_locale).then_some(("LC_ALL", "C.UTF-8")))
        .envs(cmd.env.iter().map(|(name, value)| (name, value)));
    if let Some(cwd) = &cmd.cwd {
        command.current_dir(cwd);
    }
    command
}

/// The program by its place in our fixed `PATH`: which `PATH` the standard library searches when
/// the child's is set is its own affair.
fn resolved(mut cmd: Cmd) -> Result<Cmd, HostError> {
    let missing = || HostError::Missing { program: cmd.program.to_string_lossy().into_owned() };
    let program = Path::new(&cmd.program);
    if program.components().count() > 1 {
        return if program.exists() { Ok(cmd) } else { Err(missing()) };
    }
    let found = SEARCH_PATH
        .split(':')
        .map(|dir| Path::new(dir).join(program))
        .find(|at| at.is_file() && rustix::fs::access(at, rustix::fs::Access::EXEC_OK).is_ok());
    cmd.program = found.ok_or_else(missing)?.into_os_string();
    Ok(cmd)
}

fn start_error(redacted: &str, source: io::Error) -> HostError {
    HostError::Start { cmd: redacted.to_owned(), source }
}

fn status_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

pub(crate) fn spawn(cmd: Cmd) -> Result<Child, HostError> {
    let redacted = cmd.redacted();
    let mut cmd = resolved(cmd)?;
    let mut inner = command(&cmd)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| start_error(&redacted, source))?;
    let group = Group::of(&inner);
    let mut stdin = inner.stdin.take();
    let stdout = inner.stdout.take().expect("a piped stdout");
    let stderr = inner.stderr.take().expect("a piped stderr");
    if let Some(bytes) = cmd.stdin.take() {
        let mut pipe = stdin.take().expect("a piped stdin");
        // Ends with the child at the latest: its end closes the pipe. A child that does not read
        // all of it is its own business.
        tokio::spawn(async move { drop(pipe.write_all(&bytes).await) });
    }
    Ok(Child { stdin, stdout, stderr, inner, group, cmd: redacted })
}

pub(crate) async fn run(cmd: Cmd) -> Result<CmdOutput, HostError> {
    let within = cmd.deadline;
    let accepted = cmd.clone();
    let mut child = spawn(cmd)?;
    // Closed, unless bytes were given, which `spawn` has taken then.
    child.stdin = None;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ended = tokio::time::timeout(within, async {
        let Child { stdout: out, stderr: err, .. } = &mut child;
        let (out, err) = tokio::join!(collect(out, &mut stdout), collect(err, &mut stderr));
        let lost = |source| HostError::Lost { cmd: accepted.redacted(), source };
        out.and(err).map_err(lost)?;
        child.wait().await
    })
    .await;
    let cmd = accepted.redacted();
    match ended {
        Err(_) => {
            child.kill().await?;
            Err(HostError::Deadline { cmd, within, stderr: tail(&stderr) })
        }
        Ok(Err(error)) => Err(error),
        Ok(Ok(Ended { status })) if accepted.accepts(status) => {
            Ok(CmdOutput { cmd, status, stdout, stderr })
        }
        Ok(Ok(Ended { status })) => Err(HostError::Failed { cmd, status, stderr: tail(&stderr) }),
    }
}

async fn collect(from: &mut (impl AsyncRead + Unpin), into: &mut Vec<u8>) -> io::Result<()> {
    let mut limited = from.take(MOST_OUTPUT);
    limited.read_to_end(into).await?;
    // Keep the pipe moving so that the program can end.
    tokio::io::copy(limited.into_inner(), &mut tokio::io::sink()).await?;
    Ok(())
}

pub(crate) fn spawn_detached(cmd: Cmd, log: &Path) -> Result<u32, HostError> {
    let redacted = cmd.redacted();
    let cmd = resolved(cmd)?;
    let open = |source| HostError::File { act: "write", path: log.to_owned(), source };
    let out = OpenOptions::new().create(true).append(true).mode(0o600).open(log).map_err(open)?;
    let err = out.try_clone().map_err(open)?;
    // `setsid` calls setsid(2) and becomes the program, so the id we get is the program's. Doing
    // it ourselves between fork and exec would need unsafe code.
    let Cmd { program, args, .. } = &cmd;
    let mut wrapped = resolved(Cmd::new("setsid").arg("--").arg(program).args(args))?;
    wrapped.env.clone_from(&cmd.env);
    wrapped.cwd.clone_from(&cmd.cwd);
    let child = command(&wrapped)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .kill_on_drop(false)
        .spawn()
        .map_err(|source| start_error(&redacted, source))?;
    let id = child.id().expect("a child that was not waited for");
    // Dropped without waiting: tokio reaps it should it end while we are here, and init does
    // after us.
    drop(child);
    Ok(id)
}
