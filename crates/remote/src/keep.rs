//! Connections that outlive the command which made them, as OpenSSH's `ControlPersist` does it.
//!
//! A process of our own holds them. Commands ask it over a socket that only their user can reach:
//! for shell text to be run, or for a stream to an agent. It connects where nothing is kept yet,
//! and ends when nobody has asked for a while. Who cannot reach it connects by itself.
//!
//! The agent that served a command stays for the next one. In between it is told hello, which ends
//! all that belonged to the conversation before, and it has to answer another hello before it is
//! handed on.
//!
//! A question is one line of JSON, and so is the answer. Behind the answer, an agent's bytes pass
//! as they are, and when the connection below them ends, why it did comes last; a command's output
//! and its end come in frames of the agent's protocol.

mod asking;
mod keeping;

pub use asking::Keeper;
pub use keeping::keep;

use crate::{RemoteError, SshTarget};
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use updraft_base::{Blame, Blamed as _};

/// The longest line: a target with its words and shell text.
const MOST_LINE: usize = 1 << 20;

/// What is asked for.
#[derive(Serialize, Deserialize)]
struct Question {
    target: SshTarget,
    want: Want,
}

#[derive(Serialize, Deserialize)]
enum Want {
    /// That something begins on the host.
    Begin(Work),
    /// That who comes next logs in anew.
    Forget,
}

#[derive(Serialize, Deserialize)]
enum Work {
    /// A stream to an agent.
    Agent,
    /// Shell text to be run, and how long it may take.
    Exec { shell: String, within: Option<Duration> },
}

#[derive(Serialize, Deserialize)]
enum Answer {
    /// What was asked for follows.
    Ready,
    /// Only the user's own `ssh` can reach this host.
    Direct,
    /// It could not be done.
    Refused(Refusal),
}

/// A [`RemoteError`] as it is told to another process.
#[derive(Serialize, Deserialize)]
struct Refusal {
    said: String,
    hint: Option<String>,
    unreachable: bool,
    blame: String,
}

impl Refusal {
    fn of(error: &RemoteError) -> Self {
        let blame = match error.blame() {
            Blame::Asked => "asked",
            Blame::World => "world",
            Blame::Passing => "passing",
            Blame::Bug => "bug",
        };
        Self {
            said: updraft_base::chain(error),
            hint: error.hint(),
            unreachable: error.is_unreachable(),
            blame: blame.to_owned(),
        }
    }

    fn into_error(self, host: &str) -> RemoteError {
        let blame = match self.blame.as_str() {
            "asked" => Blame::Asked,
            "world" => Blame::World,
            "passing" => Blame::Passing,
            _ => Blame::Bug,
        };
        let Self { said, hint, unreachable, .. } = self;
        RemoteError::Kept { host: host.to_owned(), said, hint, unreachable, blame }
    }
}

/// Whether the other end belongs to our own user. In a folder that others can write, anybody could
/// listen or ask.
fn is_ours(line: &UnixStream) -> bool {
    line.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
}

async fn write_line(
    to: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

/// Reads one line and nothing behind it.
async fn read_line<T: for<'a> Deserialize<'a>>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<T> {
    let mut line = Vec::new();
    loop {
        match from.read_u8().await? {
            b'\n' => return Ok(serde_json::from_slice(&line)?),
            _ if line.len() == MOST_LINE => return Err(io::ErrorKind::InvalidData.into()),
            byte => line.push(byte),
        }
    }
}
