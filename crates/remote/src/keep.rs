//! Connections that outlive the command which made them, as OpenSSH's `ControlPersist` does it.
//!
//! A process of our own holds them. Commands ask it over a socket that only their user can reach:
//! for shell text to be run, or for a stream to an agent. It connects where nothing is kept yet,
//! and ends when nobody has asked for a while. Who cannot reach it connects by itself.
//!
//! The agent that served a command stays for the next one. In between it is told hello, which ends
//! all that belonged to the conversation before, and it has to answer another hello before it is
//! handed on. That answer is handed on with it, so that nobody has to ask a third time.
//!
//! A question is JSON behind its length, and so is the answer. Behind the answer, an agent's bytes
//! pass as they are, and when the connection below them ends, why it did comes last; a command's output
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
use updraft_wire::Hello;

/// The longest message in bytes: a target with its words and shell text.
const MOST: usize = 1 << 20;

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
    /// An agent follows that has said this hello.
    Greeted(Hello),
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

/// Writes one message: its length in four bytes, the highest first, and then its JSON.
async fn tell(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(json);
    to.write_all(&bytes).await?;
    to.flush().await
}

/// Reads one message and nothing behind it.
async fn hear<T: for<'a> Deserialize<'a>>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = from.read_u32().await? as usize;
    if length > MOST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut json = vec![0; length];
    from.read_exact(&mut json).await?;
    Ok(serde_json::from_slice(&json)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_is_heard_and_nothing_behind_it() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        tell(&mut here, &Answer::Direct).await.unwrap();
        here.write_all(b"more").await.unwrap();
        assert!(matches!(hear(&mut there).await.unwrap(), Answer::Direct));
        let mut more = [0; 4];
        there.read_exact(&mut more).await.unwrap();
        assert_eq!(&more, b"more");
    }

    #[tokio::test]
    async fn a_length_that_no_message_has_is_refused_before_anything_is_read() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        here.write_u32(u32::MAX).await.unwrap();
        let fault = hear::<Answer>(&mut there).await.err().unwrap();
        assert_eq!(fault.kind(), io::ErrorKind::InvalidData);
    }
}
