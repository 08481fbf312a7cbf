//! SSH by the user's own `ssh`, for everything the in-process client cannot honour: jump hosts,
//! certificates, hardware keys, Kerberos, shared connections.

use super::settings::ssh_args;
use crate::target::{SshTarget, SshUser};
use crate::{Output, RemoteError, Stream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::ChildStdin;
use tokio::time::{Instant, timeout, timeout_at};
use updraft_host::{Child, Cmd, Host};
use updraft_wire::Exit;

/// How long to wait for `ssh` to end once its output has ended, or after it was killed.
const END: Duration = Duration::from_secs(5);

/// How much of what `ssh` says about itself is kept.
const MOST_COMPLAINT: usize = 8 << 10;

/// ssh(1): 255 if an error occurred, else the status of the command.
const SSH_FAILED: i32 = 255;

/// The command that runs shell text on a target.
pub(crate) fn command(target: &SshTarget, user: &SshUser, shell: &str) -> Cmd {
    let mut cmd = Cmd::new("ssh").args(ssh_args(target)).args([
        // There is nobody at a terminal who could be asked.
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=10",
        "-o",
        "ServerAliveInterval=15",
        "-o",
        "ServerAliveCountMax=3",
        "-o",
        "ClearAllForwardings=yes",
        "-o",
        "RemoteCommand=none",
        "-T",
    ]);
    cmd = with_environment(cmd, user);
    cmd.arg("--").arg(&target.address).arg(shell)
}

/// Gives a command what `ssh` needs of the user's environment.
pub(crate) fn with_environment(cmd: Cmd, user: &SshUser) -> Cmd {
    let mut cmd = cmd.env("HOME", &user.home).env("USER", &user.name).env("LOGNAME", &user.name);
    if let Some(agent) = &user.agent {
        cmd = cmd.env("SSH_AUTH_SOCK", agent);
    }
    user.environment.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value))
}

/// Runs shell text and streams its output.
pub(crate) async fn exec(
    host: &dyn Host,
    target: &SshTarget,
    user: &SshUser,
    shell: &str,
    output: &mut dyn Output,
    within: Option<Duration>,
) -> Result<Exit, RemoteError> {
    let mut child = spawn(host, target, user, shell).await?;
    child.stdin = None;
    let until = within.map(|within| Instant::now() + within);
    let (mut out, mut err) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let (mut out_open, mut err_open) = (true, true);
    let mut complaint = Vec::new();
    while out_open || err_open {
        let Child { stdout, stderr, .. } = &mut child;
        let read = async {
            tokio::select! {
                read = stdout.read(&mut out), if out_open => (Stream::Out, read),
                read = stderr.read(&mut err), if err_open => (Stream::Err, read),
            }
        };
        let (stream, length) = match until {
            None => read.await,
            Some(until) => match timeout_at(until, read).await {
                Ok(read) => read,
                Err(_) => {
                    end(&mut child, &target.name).await?;
                    return Ok(Exit { code: 137, timed_out: true });
                }
            },
        };
        match (stream, length) {
            (Stream::Out, Ok(0) | Err(_)) => out_open = false,
            (Stream::Err, Ok(0) | Err(_)) => err_open = false,
            (Stream::Out, Ok(length)) => output.chunk(Stream::Out, &out[..length]),
            (Stream::Err, Ok(length)) => {
                keep(&mut complaint, &err[..length]);
                output.chunk(Stream::Err, &err[..length]);
            }
        }
    }
    let code = wait(&mut child, &target.name).await?;
    if code == SSH_FAILED
        && let Some(fault) = explain(target, &complaint)
    {
        return Err(fault);
    }
    Ok(Exit { code, timed_out: false })
}

/// Runs shell text whose streams become ours.
pub(crate) async fn stream(
    host: &dyn Host,
    target: &SshTarget,
    user: &SshUser,
    shell: &str,
) -> Result<(SshStream, Complaint), RemoteError> {
    let child = spawn(host, target, user, shell).await?;
    let complaint = Complaint::default();
    Ok((SshStream { child, complaint: complaint.clone(), deaf: false }, complaint))
}

/// What `ssh` said on its standard error.
#[derive(Clone, Default)]
pub(crate) struct Complaint(Arc<Mutex<Vec<u8>>>);

impl Complaint {
    /// A better error than that the connection was lost, if `ssh` gave a reason.
    pub(crate) fn explain(&self, target: &SshTarget) -> Option<RemoteError> {
        explain(target, &self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The streams of a running `ssh`. It is killed when they are dropped.
pub(crate) struct SshStream {
    child: Child,
    complaint: Complaint,
    deaf: bool,
}

impl SshStream {
    /// Takes what `ssh` says about itself, so that it never waits for us to.
    fn listen(&mut self, context: &mut Context<'_>) {
        let mut bytes = [0; 1024];
        while !self.deaf {
            let mut chunk = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.child.stderr).poll_read(context, &mut chunk) {
                Poll::Ready(Ok(())) if !chunk.filled().is_empty() => {
                    let mut kept = self.complaint.0.lock().unwrap_or_else(PoisonError::into_inner);
                    keep(&mut kept, chunk.filled());
                }
                Poll::Ready(_) => self.deaf = true,
                Poll::Pending => return,
            }
        }
    }
}

impl AsyncRead for SshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.listen(context);
        Pin::new(&mut self.child.stdout).poll_read(context, into)
    }
}

impl SshStream {
    fn stdin(self: Pin<&mut Self>) -> std::io::Result<Pin<&mut ChildStdin>> {
        let closed = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.get_mut().child.stdin.as_mut().map(Pin::new).ok_or_else(closed)
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.stdin()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stdin()?.poll_flush(context)
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.get_mut().child.stdin = None;
        Poll::Ready(Ok(()))
    }
}

async fn spawn(
    host: &dyn Host,
    target: &SshTarget,
    user: &SshUser,
    shell: &str,
) -> Result<Child, RemoteError> {
    let helper = |source| RemoteError::Helper { host: target.name.clone(), source };
    host.spawn(command(target, user, shell)).await.map_err(helper)
}

async fn wait(child: &mut Child, name: &str) -> Result<i32, RemoteError> {
    let helper = |source| RemoteError::Helper { host: name.to_owned(), source };
    match timeout(END, child.wait()).await {
        Ok(ended) => ended.map(|ended| ended.status).map_err(helper),
        Err(_) => end(child, name).await,
    }
}

async fn end(child: &mut Child, name: &str) -> Result<i32, RemoteError> {
    let helper = |source| RemoteError::Helper { host: name.to_owned(), source };
    child.kill().await.map(|ended| ended.status).map_err(helper)
}

fn keep(complaint: &mut Vec<u8>, chunk: &[u8]) {
    let room = MOST_COMPLAINT.saturating_sub(complaint.len());
    complaint.extend_from_slice(&chunk[..chunk.len().min(room)]);
}

/// What `ssh` meant, from its words; `None` when they are none of its own. They are those of
/// OpenSSH 9.2 and have not changed in a decade.
fn explain(target: &SshTarget, complaint: &[u8]) -> Option<RemoteError> {
    let text = String::from_utf8_lossy(complaint);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let says = |what: &str| lines.iter().rev().find(|line| line.contains(what)).copied();
    let host = target.name.clone();
    let address = &target.address;
    if let Some(line) = says("Offending") {
        // Offending ED25519 key in /root/.ssh/known_hosts:3
        let place = line.rsplit(" in ").next().unwrap_or_default();
        let (file, number) = place.rsplit_once(':').unwrap_or((place, ""));
        return Some(RemoteError::HostKeyChanged {
            host,
            fingerprint: fingerprint(&lines),
            file: file.to_owned(),
            line: number.parse().unwrap_or(0),
            fix: format!("ssh-keygen -R '{address}' -f '{file}'"),
        });
    }
    if says("Host key verification failed").is_some() {
        return Some(RemoteError::HostKeyUnknown {
            host,
            fingerprint: fingerprint(&lines),
            fix: format!("ssh '{address}' true"),
        });
    }
    if let Some(line) = says("Permission denied (") {
        let user = line.split_once('@').map(|(user, _)| user);
        let user = user.or(target.user.as_deref()).unwrap_or("the configured user").to_owned();
        return Some(RemoteError::AuthFailed { host, user, reason: line.to_owned() });
    }
    let unreachable = [
        "Could not resolve hostname",
        "Connection refused",
        "Connection timed out",
        "Operation timed out",
        "No route to host",
        "Network is unreachable",
        "kex_exchange_identification",
        "banner exchange",
        "UNKNOWN port 65535",
    ];
    let line = unreachable.iter().find_map(|what| says(what));
    if let Some(line) = line {
        return Some(RemoteError::Unreachable { host, reason: line.to_owned() });
    }
    let own =
        ["ssh: ", "Timeout, server", "client_loop:", "Bad owner or permissions", "command-line"];
    let line = own.iter().find_map(|what| says(what))?;
    Some(RemoteError::Lost { host, reason: line.to_owned() })
}

fn fingerprint(lines: &[&str]) -> String {
    let words = lines.iter().flat_map(|line| line.split_whitespace());
    let found =
        words.map(|word| word.trim_end_matches('.')).find(|word| word.starts_with("SHA256:"));
    found.unwrap_or("a key that ssh does not tell").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(words: &str) -> RemoteError {
        explain(&SshTarget::named("web-1"), words.as_bytes()).expect("ssh's own words")
    }

    #[test]
    fn the_words_of_ssh_become_errors_that_name_the_host() {
        let changed = explained(
            "@@@@@@@@@@@\nThe fingerprint for the ED25519 key sent by the remote host is\n\
             SHA256:abc.\nOffending ED25519 key in /root/.ssh/known_hosts:3\n\
             Host key verification failed.\n",
        );
        assert!(matches!(
            &changed,
            RemoteError::HostKeyChanged { fingerprint, file, line: 3, .. }
                if fingerprint == "SHA256:abc" && file == "/root/.ssh/known_hosts"
        ));
        let unknown =
            explained("No ED25519 host key is known for web-1.\nHost key verification failed.\n");
        assert!(matches!(unknown, RemoteError::HostKeyUnknown { .. }));
        let denied = explained("Warning: x\nroot@web-1: Permission denied (publickey).\n");
        assert!(matches!(&denied, RemoteError::AuthFailed { user, .. } if user == "root"));
        let refused = explained("ssh: connect to host web-1 port 22: Connection refused\r\n");
        assert!(matches!(refused, RemoteError::Unreachable { .. }));
        assert!(explain(&SshTarget::named("web-1"), b"grep: no such file\n").is_none());
    }

    #[test]
    fn no_word_of_an_inventory_becomes_an_option() {
        let target = SshTarget { port: Some(2222), ..SshTarget::named("web-1") };
        let cmd = command(&target, &SshUser::default(), "uptime");
        let argv: Vec<_> =
            cmd.argv().iter().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(argv[argv.len() - 3..], ["--", "web-1", "uptime"]);
        assert_eq!(argv[1..3], ["-o", "Port=2222"]);
    }
}
