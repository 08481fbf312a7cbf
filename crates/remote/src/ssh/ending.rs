//! Why a connection ended, for whoever finds that nothing comes any more.
//!
//! Never here: ending one.

use russh::ChannelStream;
use russh::client::{DisconnectReason, Msg};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Why a connection ended; its first reason is the one that counts.
#[derive(Clone, Default)]
pub(crate) struct Ending(Arc<OnceLock<String>>);

impl Ending {
    /// Notes what the transport says of it. A host that does not answer is given up after
    /// `patience`.
    pub(crate) fn note(&self, reason: &DisconnectReason<russh::Error>, patience: Duration) {
        let said = match reason {
            DisconnectReason::ReceivedDisconnect(info) if info.message.is_empty() => {
                "it closed the connection".to_owned()
            }
            DisconnectReason::ReceivedDisconnect(info) => {
                format!("it closed the connection: {}", info.message.trim())
            }
            DisconnectReason::Error(russh::Error::KeepaliveTimeout) => {
                format!("no answer came for {}", updraft_base::span::render(patience))
            }
            DisconnectReason::Error(russh::Error::Disconnect | russh::Error::HUP) => {
                "it closed the connection".to_owned()
            }
            DisconnectReason::Error(other) => other.to_string(),
        };
        // Whatever is said later follows from the first.
        self.0.set(said).ok();
    }

    /// Why it ended, if it has and that is known.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// The streams of an agent. Where the connection has ended below them, reading is an error that
/// says why.
pub(crate) struct AgentStream {
    stream: ChannelStream<Msg>,
    ending: Ending,
}

impl AgentStream {
    pub(crate) fn new(stream: ChannelStream<Msg>, ending: Ending) -> Self {
        Self { stream, ending }
    }
}

impl AsyncRead for AgentStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        let over = matches!(read, Poll::Ready(Ok(())))
            && into.filled().len() == before
            && into.remaining() > 0;
        match self.ending.reason().filter(|_| over) {
            Some(reason) => Poll::Ready(Err(io::Error::other(reason.to_owned()))),
            None => read,
        }
    }
}

impl AsyncWrite for AgentStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts_and_a_silent_host_is_told_as_such() {
        let ending = Ending::default();
        assert_eq!(ending.reason(), None);
        let silent = DisconnectReason::Error(russh::Error::KeepaliveTimeout);
        ending.note(&silent, Duration::from_secs(60));
        ending.note(&DisconnectReason::Error(russh::Error::HUP), Duration::from_secs(60));
        assert_eq!(ending.reason(), Some("no answer came for 1m"));
    }
}
