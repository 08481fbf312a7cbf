//! Trying a service from the machine itself, and talking to a Unix socket.

use crate::exec;
use crate::failure::system;
use crate::time::Deadline;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use updraft_wire::{Exec, Failure, Probe, ProbeTarget, Probed, Response};

/// More of a body is not looked at.
const MOST_BODY: usize = 1 << 20;

/// Longer than any service of ours takes to answer on its own socket.
const SOCKET: Duration = Duration::from_secs(10);

/// Tries a service once.
pub(crate) fn probe(probe: &Probe) -> Response {
    // A deadline of 0 would fail each trial; nobody means that.
    let deadline = Deadline::after(Duration::from_millis(probe.deadline_ms.max(1)));
    let outcome = match &probe.target {
        ProbeTarget::Tcp { host, port } => {
            connect(host, *port, deadline).map(|_| "accepted the connection".to_owned())
        }
        ProbeTarget::Http { host, port, path, status, expect } => http(host, *port, path, deadline)
            .and_then(|answer| judge(&answer, *status, expect.as_deref())),
        ProbeTarget::Command { shell } => command(shell, probe.deadline_ms.max(1)),
    };
    Response::Probed(match outcome {
        Ok(saw) => Probed { healthy: true, saw },
        Err(saw) => Probed { healthy: false, saw },
    })
}

/// Sends text to a Unix socket and returns what comes back.
pub(crate) fn socket(path: &str, send: &str) -> Result<Response, Failure> {
    let deadline = Deadline::after(SOCKET);
    let talk = || -> io::Result<String> {
        let mut socket = UnixStream::connect(path)?;
        socket.set_write_timeout(Some(SOCKET))?;
        socket.write_all(send.as_bytes())?;
        let mut answer = Vec::new();
        read(
            &mut socket,
            |socket, left| socket.set_read_timeout(Some(left)),
            deadline,
            &mut answer,
        )?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let text = talk().map_err(|fault| system(format_args!("cannot talk to `{path}`"), fault))?;
    Ok(Response::Text { text })
}

fn connect(host: &str, port: u16, deadline: Deadline) -> Result<TcpStream, String> {
    let found = (host, port).to_socket_addrs().map_err(|fault| format!("{host}: {fault}"))?;
    let mut refusal = format!("{host} has no address");
    for address in found {
        let left = deadline.left();
        if left.is_zero() {
            return Err("no answer in time".to_owned());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(fault) => refusal = format!("{address}: {}", plain(&fault)),
        }
    }
    Err(refusal)
}

fn http(host: &str, port: u16, path: &str, deadline: Deadline) -> Result<Vec<u8>, String> {
    let mut stream = connect(host, port, deadline)?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    if path.contains(char::is_whitespace) {
        return Err(format!("`{path}` is not a path"));
    }
    // HTTP/1.0, so that the body ends with the connection and is never chunked (RFC 1945).
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: updraft\r\nAccept: */*\r\n\r\n"
    );
    let mut answer = Vec::new();
    let mut talk = || -> io::Result<()> {
        stream.set_write_timeout(Some(deadline.left().max(Duration::from_millis(1))))?;
        stream.write_all(request.as_bytes())?;
        read(&mut stream, |stream, left| stream.set_read_timeout(Some(left)), deadline, &mut answer)
    };
    talk().map_err(|fault| plain(&fault))?;
    Ok(answer)
}

/// Reads until the end, the most that is looked at, or the deadline.
fn read<S: Read>(
    stream: &mut S,
    limit: impl Fn(&S, Duration) -> io::Result<()>,
    deadline: Deadline,
    into: &mut Vec<u8>,
) -> io::Result<()> {
    let mut chunk = [0; 16 << 10];
    while into.len() < MOST_BODY {
        let left = deadline.left();
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        limit(stream, left)?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => into.extend_from_slice(&chunk[..length]),
            Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// Whether an HTTP answer is the expected one; either way, what it was.
fn judge(answer: &[u8], wanted: Option<u16>, expect: Option<&str>) -> Result<String, String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) =
        text.split_once("\r\n\r\n").or_else(|| text.split_once("\n\n")).unwrap_or((&text, ""));
    let mut words = head.split_whitespace();
    let status = words
        .next()
        .filter(|word| word.starts_with("HTTP/"))
        .and_then(|_| words.next())
        .and_then(|word| word.parse::<u16>().ok())
        .ok_or_else(|| "the answer is not HTTP".to_owned())?;
    let fits = wanted.map_or((200..400).contains(&status), |wanted| wanted == status);
    if !fits {
        return Err(format!("status {status}"));
    }
    match expect {
        Some(expect) if !body.contains(expect) => {
            Err(format!("status {status}, but the body does not contain `{expect}`"))
        }
        _ => Ok(format!("status {status}")),
    }
}

fn command(shell: &str, deadline_ms: u64) -> Result<String, String> {
    let argv = ["/bin/sh", "-c", shell].map(str::to_owned).to_vec();
    let run = Exec { argv, deadline_ms, ..Exec::default() };
    let (exit, said) = exec::collect(&run).map_err(|failure| failure.message)?;
    let said = String::from_utf8_lossy(&said);
    let last: String = said.trim().lines().last().unwrap_or_default().chars().take(200).collect();
    let saw = match (exit.timed_out, last.is_empty()) {
        (true, _) => "no end in time".to_owned(),
        (false, true) => format!("exit status {}", exit.code),
        (false, false) => format!("exit status {}: {last}", exit.code),
    };
    if exit.code == 0 && !exit.timed_out { Ok(saw) } else { Err(saw) }
}

fn plain(fault: &io::Error) -> String {
    match fault.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "no answer in time".to_owned(),
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_answer_counts_when_status_and_text_are_the_expected_ones() {
        let answer = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nall is ok\n";
        assert_eq!(judge(answer, None, Some("ok")), Ok("status 200".to_owned()));
        assert_eq!(judge(answer, Some(204), None), Err("status 200".to_owned()));
        assert!(judge(answer, None, Some("fine")).unwrap_err().contains("fine"));
        assert!(judge(b"HTTP/1.1 503 no\r\n\r\n", None, None).is_err());
        assert!(judge(b"SSH-2.0-OpenSSH\r\n", None, None).is_err());
        assert!(judge(b"", None, None).is_err());
    }

    #[test]
    fn a_service_that_accepts_and_says_nothing_is_unhealthy_at_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = ProbeTarget::Http {
            host: "127.0.0.1".to_owned(),
            port,
            path: "/".to_owned(),
            status: None,
            expect: None,
        };
        let answer = probe(&Probe { target, deadline_ms: 50 });
        let expected = Probed { healthy: false, saw: "no answer in time".to_owned() };
        assert_eq!(answer, Response::Probed(expected));
    }

    #[test]
    fn a_command_is_healthy_when_it_exits_with_zero() {
        let try_it = |shell: &str| {
            let target = ProbeTarget::Command { shell: shell.to_owned() };
            match probe(&Probe { target, deadline_ms: 5_000 }) {
                Response::Probed(probed) => probed,
                other => panic!("{other:?}"),
            }
        };
        assert!(try_it("true").healthy);
        let bad = try_it("echo no config; exit 3");
        assert_eq!((bad.healthy, &*bad.saw), (false, "exit status 3: no config"));
    }
}
