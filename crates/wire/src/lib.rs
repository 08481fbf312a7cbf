//! Frames and messages between controller and agent.
//!
//! Version 1. Everything that crosses a connection to an agent is defined here and nowhere else:
//! the frame header ([`frame`]), and the JSON bodies of requests and answers ([`message`]), with
//! what modules in Python wrote among them.
//! Never here: reading or writing a socket, deciding anything, running anything.

pub mod frame;
pub mod message;
mod python;

pub use frame::{
    Decoded, Decoder, Frame, FrameError, Kind, MAX_BODY, MAX_ID, MAX_MESSAGE, OutputTag, PREAMBLE,
    VERSION,
};
pub use message::*;
pub use python::from_python;
