//! QEMU's machine protocol: one JSON object a line, over the monitor's socket.
//!
//! Commands carry an id, answers repeat it, events come whenever they like (QEMU,
//! docs/interop/qmp-spec.txt). We ask a handful of commands and let every event pass by.

use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf,
};
use tokio::net::UnixStream;
use tokio::time::Instant;
use updraft_base::{Blame, Blamed};

/// A line longer than this is not QEMU talking: its longest answers are schemas of about 200 KiB.
const LONGEST_LINE: usize = 4 << 20;

/// How long to stay away from a monitor that has no room for one more caller.
const TURNED_AWAY: Duration = Duration::from_millis(5);

/// Why the monitor did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QmpError {
    #[error("cannot reach the guest's monitor")]
    Connect { source: io::Error },
    #[error("lost the guest's monitor")]
    Lost { source: io::Error },
    #[error("the guest's monitor did not answer `{command}` within {within:?}")]
    Deadline { command: String, within: Duration },
    #[error("the guest's monitor refused `{command}`: {reason}")]
    Refused { command: String, reason: String },
    #[error("the guest's monitor said something that is not its protocol: {line}")]
    NotQmp { line: String },
}

impl Blamed for QmpError {
    fn blame(&self) -> Blame {
        match self {
            Self::Connect { .. } | Self::Lost { .. } | Self::Deadline { .. } => Blame::Passing,
            Self::Refused { .. } => Blame::World,
            Self::NotQmp { .. } => Blame::Bug,
        }
    }
}

/// A conversation with a monitor. A monitor talks to one client at a time; others wait.
pub(crate) struct Qmp<S> {
    from: BufReader<ReadHalf<S>>,
    to: WriteHalf<S>,
    next_id: u64,
}

impl Qmp<UnixStream> {
    /// Connects to a monitor's socket and greets it.
    pub(crate) async fn connect(path: &Path, within: Duration) -> Result<Self, QmpError> {
        let deadline = Instant::now() + within;
        let stream = loop {
            match UnixStream::connect(path).await {
                // QEMU keeps one caller waiting and turns the next away until it has looked, which
                // on a machine where everything starts at once takes a while.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() >= deadline {
                        return Err(QmpError::Connect { source: error });
                    }
                    tokio::time::sleep(TURNED_AWAY).await;
                }
                other => break other.map_err(|source| QmpError::Connect { source })?,
            }
        };
        Self::greet(stream, within).await
    }
}

impl<S: AsyncRead + AsyncWrite> Qmp<S> {
    /// Reads the greeting and leaves the mode in which nothing but negotiation is allowed.
    pub(crate) async fn greet(stream: S, within: Duration) -> Result<Self, QmpError> {
        let (from, to) = tokio::io::split(stream);
        let mut qmp = Self { from: BufReader::new(from), to, next_id: 1 };
        let deadline = || QmpError::Deadline { command: "the greeting".to_owned(), within };
        let greeting = tokio::time::timeout(within, qmp.line()).await.map_err(|_| deadline())??;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::NotQmp { line: greeting.to_string() });
        }
        qmp.execute("qmp_capabilities", json!({}), within).await?;
        Ok(qmp)
    }

    /// Asks one command and waits for its answer; events and late answers are passed over.
    pub(crate) async fn execute(
        &mut self,
        command: &str,
        arguments: Value,
        within: Duration,
    ) -> Result<Value, QmpError> {
        let id = self.next_id;
        self.next_id += 1;
        let mut text = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        text.push('\n');
        let asked = async {
            self.to.write_all(text.as_bytes()).await.map_err(|source| QmpError::Lost { source })?;
            loop {
                let mut answer = self.line().await?;
                if answer.get("id").and_then(Value::as_u64) != Some(id) {
                    continue;
                }
                if let Some(error) = answer.get("error") {
                    let reason = error.get("desc").and_then(Value::as_str).unwrap_or("no reason");
                    return Err(QmpError::Refused {
                        command: command.to_owned(),
                        reason: reason.to_owned(),
                    });
                }
                return Ok(answer.get_mut("return").map(Value::take).unwrap_or_default());
            }
        };
        let deadline = || QmpError::Deadline { command: command.to_owned(), within };
        tokio::time::timeout(within, asked).await.map_err(|_| deadline())?
    }

    async fn line(&mut self) -> Result<Value, QmpError> {
        let lost = |source| QmpError::Lost { source };
        let mut line = Vec::new();
        loop {
            let chunk = self.from.fill_buf().await.map_err(lost)?;
            if chunk.is_empty() {
                return Err(lost(io::ErrorKind::UnexpectedEof.into()));
            }
            let (used, done) = match chunk.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (chunk.len(), false),
            };
            line.extend_from_slice(&chunk[..used]);
            self.from.consume(used);
            if done || line.len() > LONGEST_LINE {
                break;
            }
        }
        serde_json::from_slice(&line).map_err(|_| {
            line.truncate(200);
            QmpError::NotQmp { line: String::from_utf8_lossy(&line).trim().to_owned() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, DuplexStream};

    const SOON: Duration = Duration::from_secs(5);
    const GREETING: &str =
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}}}}\r\n";

    /// A monitor that says its lines, one for each command it is asked, and tells what it heard.
    async fn monitor(mut stream: DuplexStream, lines: &[&str]) -> Vec<Value> {
        let mut heard = Vec::new();
        stream.write_all(GREETING.as_bytes()).await.unwrap();
        for line in lines {
            let mut command = Vec::new();
            while !command.ends_with(b"\n") {
                command.push(stream.read_u8().await.unwrap());
            }
            heard.push(serde_json::from_slice(&command).unwrap());
            stream.write_all(line.as_bytes()).await.unwrap();
        }
        heard
    }

    #[tokio::test]
    async fn events_between_question_and_answer_are_passed_over() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let talk = async {
            let mut qmp = Qmp::greet(ours, SOON).await.unwrap();
            qmp.execute("query-status", json!({}), SOON).await.unwrap()
        };
        let lines = [
            "{\"return\": {}, \"id\": 1}\r\n",
            "{\"event\": \"RESUME\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}\r\n\
             {\"return\": {\"status\": \"running\"}, \"id\": 2}\r\n",
        ];
        let (status, heard) = tokio::join!(talk, monitor(theirs, &lines));
        assert_eq!(status["status"], "running");
        assert_eq!(heard[0]["execute"], "qmp_capabilities");
        assert_eq!(heard[1], json!({ "execute": "query-status", "arguments": {}, "id": 2 }));
    }

    #[tokio::test]
    async fn a_refusal_tells_its_reason() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let talk = async {
            let mut qmp = Qmp::greet(ours, SOON).await.unwrap();
            qmp.execute("fly", json!({}), SOON).await.unwrap_err()
        };
        let lines = [
            "{\"return\": {}, \"id\": 1}\n",
            "{\"id\": 2, \"error\": {\"class\": \"CommandNotFound\", \"desc\": \"The command fly has not been found\"}}\n",
        ];
        let (error, _) = tokio::join!(talk, monitor(theirs, &lines));
        assert_eq!(
            error.to_string(),
            "the guest's monitor refused `fly`: The command fly has not been found"
        );
    }

    #[tokio::test]
    async fn a_monitor_that_is_full_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp");
        let socket = tokio::net::UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        // As QEMU listens: one caller waits, the next is turned away.
        let listener = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => break assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        let ours = waiting.len();
        let open = async {
            for _ in 0..ours {
                drop(listener.accept().await.unwrap());
            }
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(GREETING.as_bytes()).await.unwrap();
            stream.write_all(b"{\"return\": {}, \"id\": 1}\n").await.unwrap();
            stream
        };
        let (qmp, _stream) = tokio::join!(Qmp::connect(&path, SOON), open);
        qmp.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_monitor_is_given_up() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let error = Qmp::greet(ours, SOON).await.err().unwrap();
        assert!(matches!(error, QmpError::Deadline { .. }), "{error}");
        drop(theirs);
    }

    #[tokio::test]
    async fn what_is_not_json_is_told() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(b"SSH-2.0-OpenSSH\r\n").await.unwrap();
        let error = Qmp::greet(ours, SOON).await.err().unwrap();
        assert!(error.to_string().ends_with("SSH-2.0-OpenSSH"), "{error}");
    }
}
