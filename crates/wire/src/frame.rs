//! The frame: nine bytes of header, then a body.
//!
//! ```text
//! length  u32 little endian   bytes of body, at most 1 MiB
//! kind    u8                  see Kind
//! id      u32 little endian   which request it belongs to; 0 for a hello
//! body    length bytes
//! ```
//!
//! A connection begins, in each direction, with [`PREAMBLE`] and a hello. A virtio-serial line
//! outlives both ends, so bytes of an earlier connection may come first, cut off anywhere: a
//! [`Decoder`] skips all up to the preamble, and one in the middle of a frame starts anew. No frame
//! can contain the preamble, whatever its body, so the content of a file or the output of a
//! command cannot begin a connection of its own.
//!
//! Never here: reading or writing a socket, or what a message means.

use crate::{Hello, Request, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Version of frames and messages. Controller and agent refuse each other when it differs.
pub const VERSION: u16 = 1;

/// Largest body of one frame.
pub const MAX_BODY: usize = 1 << 20;

/// Largest message, which may come in several frames of kind [`Kind::Part`] and a last one.
pub const MAX_MESSAGE: usize = 64 << 20;

/// Largest request id. The top bit stays clear, so that no id can look like part of the preamble.
pub const MAX_ID: u32 = 0x7fff_ffff;

/// Bytes of header.
pub const HEADER: usize = 9;

/// What a connection begins with, in each direction.
///
/// None of these bytes occurs in UTF-8 (RFC 3629 section 3: F8 to FF never do), so no JSON body
/// contains it. Bodies of data and output are cut in two where they would; see [`Frame::encode`].
/// The first byte stands nowhere else in it, so a preamble that was cut off anywhere cannot be
/// completed by the beginning of the next one.
pub const PREAMBLE: [u8; 16] = [
    0xff, 0xfb, 0xf8, 0xfd, 0xfa, 0xfe, 0xf9, 0xfc, 0xfe, 0xfa, 0xfd, 0xf8, 0xfb, 0xf9, 0xfc, 0xfa,
];

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// First frame in each direction: [`Hello`].
    Hello,
    /// [`Request`], from the controller.
    Request,
    /// [`Response`], from the agent; the last frame of its id.
    Response,
    /// A chunk of a command's output: one byte of [`OutputTag`], then the chunk.
    Output,
    /// A chunk of a file; an empty one ends the file.
    Data,
    /// The controller no longer wants the answer.
    Cancel,
    /// A piece of a request or response that does not fit one frame; the rest follows.
    Part,
    /// A [`Response`] to one of several things that a request asks for; more frames follow.
    Step,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Request => 2,
            Self::Response => 3,
            Self::Output => 4,
            Self::Data => 5,
            Self::Cancel => 6,
            Self::Part => 7,
            Self::Step => 8,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Hello,
            2 => Self::Request,
            3 => Self::Response,
            4 => Self::Output,
            5 => Self::Data,
            6 => Self::Cancel,
            7 => Self::Part,
            8 => Self::Step,
            _ => return None,
        })
    }
}

/// Which of a command's outputs a chunk belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputTag {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Why bytes are not a frame, or a body not a message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than allowed.
    #[error("a frame of {length} bytes is longer than the {MAX_BODY} that are allowed")]
    TooLong {
        /// Length its header tells.
        length: usize,
    },
    /// No such kind.
    #[error("{code} is not a kind of frame")]
    Kind {
        /// Code its header tells.
        code: u8,
    },
    /// An id with the top bit set.
    #[error("{id} is not a request id")]
    Id {
        /// Id its header tells.
        id: u32,
    },
    /// Parts that add up to more than a message may have.
    #[error("a message is longer than the {MAX_MESSAGE} bytes that are allowed")]
    MessageTooLong,
    /// An output frame without a valid tag.
    #[error("a chunk of output does not say which output it is")]
    Tag,
    /// The body is not the message its kind says.
    #[error("a frame's body is not a message")]
    Message {
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// One unit on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub kind: Kind,
    /// Which request it belongs to.
    pub id: u32,
    /// What it carries, encoded.
    pub body: Vec<u8>,
}

impl Frame {
    /// A hello. Send [`PREAMBLE`] before it.
    pub fn hello(hello: &Hello) -> Self {
        Self { kind: Kind::Hello, id: 0, body: json(hello) }
    }

    /// A request.
    pub fn request(id: u32, request: &Request) -> Self {
        Self { kind: Kind::Request, id, body: json(request) }
    }

    /// An answer.
    pub fn response(id: u32, response: &Response) -> Self {
        Self { kind: Kind::Response, id, body: json(response) }
    }

    /// The answer to one of several things that a request asks for.
    pub fn step(id: u32, response: &Response) -> Self {
        Self { kind: Kind::Step, id, body: json(response) }
    }

    /// A chunk of output.
    pub fn output(id: u32, tag: OutputTag, chunk: &[u8]) -> Self {
        let mut body = Vec::with_capacity(chunk.len() + 1);
        body.push(match tag {
            OutputTag::Out => 1,
            OutputTag::Err => 2,
        });
        body.extend_from_slice(chunk);
        Self { kind: Kind::Output, id, body }
    }

    /// A chunk of a file; empty at its end.
    pub fn data(id: u32, chunk: Vec<u8>) -> Self {
        Self { kind: Kind::Data, id, body: chunk }
    }

    /// Gives a request up.
    pub fn cancel(id: u32) -> Self {
        Self { kind: Kind::Cancel, id, body: Vec::new() }
    }

    /// The message of a hello, request or response.
    ///
    /// # Errors
    /// When the body is not that message.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        serde_json::from_slice(&self.body).map_err(|source| FrameError::Message { source })
    }

    /// The chunk of an output frame.
    ///
    /// # Errors
    /// When the tag is missing or unknown.
    pub fn chunk(&self) -> Result<(OutputTag, &[u8]), FrameError> {
        match self.body.split_first() {
            Some((1, chunk)) => Ok((OutputTag::Out, chunk)),
            Some((2, chunk)) => Ok((OutputTag::Err, chunk)),
            _ => Err(FrameError::Tag),
        }
    }

    /// Appends the frame, in as many pieces as its length and content ask for.
    ///
    /// # Panics
    /// When the id is above [`MAX_ID`].
    pub fn encode(&self, into: &mut Vec<u8>) {
        assert!(self.id <= MAX_ID, "request ids stay below 2^31");
        match self.kind {
            Kind::Data => split(&self.body, MAX_BODY, |piece| {
                put(into, Kind::Data, self.id, &[], piece);
            }),
            Kind::Output => {
                let (tag, chunk) = self.body.split_at(self.body.len().min(1));
                split(chunk, MAX_BODY - 1, |piece| put(into, Kind::Output, self.id, tag, piece));
            }
            Kind::Hello
            | Kind::Request
            | Kind::Response
            | Kind::Cancel
            | Kind::Part
            | Kind::Step => {
                let mut rest = &self.body[..];
                while rest.len() > MAX_BODY {
                    let (piece, after) = rest.split_at(MAX_BODY);
                    put(into, Kind::Part, self.id, &[], piece);
                    rest = after;
                }
                put(into, self.kind, self.id, &[], rest);
            }
        }
    }

    /// The frame as bytes; see [`Frame::encode`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.body.len() + HEADER);
        self.encode(&mut bytes);
        bytes
    }
}

/// What a [`Decoder`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A connection begins here; what follows has nothing to do with what came before.
    Preamble,
    /// A frame. Messages that came in parts are whole.
    Frame(Frame),
}

/// Finds frames in a stream of bytes that arrive in chunks of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the unread part of the buffer begins.
    start: usize,
    /// Up to where no preamble begins, except for one that is cut off at the buffer's end.
    scanned: usize,
    /// Where a preamble begins that was found but not yet reached.
    preamble: Option<usize>,
    /// Between a preamble and the next fault.
    synced: bool,
    parts: BTreeMap<u32, Vec<u8>>,
}

impl Decoder {
    /// A decoder that waits for a preamble.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes as they were read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && (self.start == self.buffer.len() || self.start > MAX_BODY) {
            // A preamble may begin in the last bytes that were read, if they were not what the
            // header before them had announced.
            let gone = self.start.min(self.scanned);
            self.buffer.drain(..gone);
            self.scanned -= gone;
            self.preamble = self.preamble.map(|at| at - gone);
            self.start -= gone;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next thing in the bytes so far, or `None` when more are needed.
    ///
    /// # Errors
    /// When the bytes are not frames. The decoder then skips everything up to the next preamble.
    pub fn decode(&mut self) -> Result<Option<Decoded>, FrameError> {
        loop {
            if self.preamble.is_none() {
                self.scan();
            }
            let end = self.preamble.unwrap_or(self.buffer.len());
            if self.synced && self.start <= end {
                match self.frame(end) {
                    Ok(Some(frame)) => {
                        if let Some(whole) = self.assemble(frame)? {
                            return Ok(Some(Decoded::Frame(whole)));
                        }
                        continue;
                    }
                    Ok(None) => {}
                    Err(fault) => {
                        self.lose();
                        return Err(fault);
                    }
                }
            }
            if let Some(at) = self.preamble.take() {
                self.start = at + PREAMBLE.len();
                self.scanned = self.start;
                self.synced = true;
                self.parts.clear();
                return Ok(Some(Decoded::Preamble));
            }
            if !self.synced {
                self.start = self.scanned;
            }
            return Ok(None);
        }
    }

    /// Looks for a preamble in the bytes that were not looked at before.
    fn scan(&mut self) {
        let from = self.scanned;
        let found = find(&self.buffer[from..], &PREAMBLE);
        self.preamble = found.map(|at| from + at);
        let cut_off = self.buffer.len().saturating_sub(PREAMBLE.len() - 1);
        self.scanned = self.preamble.unwrap_or(from.max(cut_off));
    }

    /// Takes one frame that ends before `end`.
    fn frame(&mut self, end: usize) -> Result<Option<Frame>, FrameError> {
        let bytes = &self.buffer[self.start..end];
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [a, b, c, d, code, e, f, g, h] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let id = u32::from_le_bytes([e, f, g, h]);
        if length > MAX_BODY {
            return Err(FrameError::TooLong { length });
        }
        let kind = Kind::from_code(code).ok_or(FrameError::Kind { code })?;
        if id > MAX_ID {
            return Err(FrameError::Id { id });
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = Frame { kind, id, body: body.to_vec() };
        self.start += HEADER + length;
        Ok(Some(frame))
    }

    /// Puts parts together; `None` when the message is not whole yet.
    fn assemble(&mut self, mut frame: Frame) -> Result<Option<Frame>, FrameError> {
        match frame.kind {
            Kind::Part => {
                let held: usize = self.parts.values().map(Vec::len).sum();
                if held + frame.body.len() > MAX_MESSAGE {
                    self.lose();
                    return Err(FrameError::MessageTooLong);
                }
                self.parts.entry(frame.id).or_default().append(&mut frame.body);
                Ok(None)
            }
            Kind::Hello | Kind::Request | Kind::Response | Kind::Cancel | Kind::Step => {
                if let Some(mut whole) = self.parts.remove(&frame.id) {
                    whole.append(&mut frame.body);
                    frame.body = whole;
                }
                Ok(Some(frame))
            }
            Kind::Output | Kind::Data => Ok(Some(frame)),
        }
    }

    fn lose(&mut self) {
        self.synced = false;
        self.parts.clear();
        self.start = self.preamble.unwrap_or(self.scanned.max(self.start));
    }
}

fn json(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages have string keys and no fallible serializer")
}

fn put(into: &mut Vec<u8>, kind: Kind, id: u32, tag: &[u8], body: &[u8]) {
    let length = u32::try_from(tag.len() + body.len()).expect("a body is at most 1 MiB");
    into.extend_from_slice(&length.to_le_bytes());
    into.push(kind.code());
    into.extend_from_slice(&id.to_le_bytes());
    into.extend_from_slice(tag);
    into.extend_from_slice(body);
}

/// Hands out `body` in pieces of at most `most` bytes, none of which contains the first half of
/// the preamble.
///
/// The header between two pieces ends the likeness: the third byte of a length is at most 0x10,
/// the fourth is 0, and the last of an id is below 0x80, while each byte of the preamble is 0xf8
/// or more. So half a preamble may neither end in a header nor begin in one.
fn split(body: &[u8], most: usize, mut piece: impl FnMut(&[u8])) {
    let half = &PREAMBLE[..PREAMBLE.len() / 2];
    let mut rest = body;
    loop {
        let window = &rest[..rest.len().min(most)];
        let length = find(window, half).map_or(window.len(), |at| at + half.len() / 2);
        let (now, later) = rest.split_at(length);
        piece(now);
        if later.is_empty() {
            return;
        }
        rest = later;
    }
}

/// Where `needle` first occurs.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = hay[from..].iter().position(|byte| *byte == needle[0]) {
        from += at;
        if hay[from..].starts_with(needle) {
            return Some(from);
        }
        from += 1;
    }
    None
}
