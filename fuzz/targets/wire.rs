//! No bytes make the decoder of frames fall over, and it gives the same frames however they arrive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use updraft_wire::{Decoded, Decoder, Frame, Hello, PREAMBLE, Request, Response};

/// What comes out of these pieces after the last connection began in them. What is cut off before it
/// looks like a frame or like none, as more or less of it is there.
fn decoded<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Vec<Frame> {
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    for piece in std::iter::once(PREAMBLE.as_slice()).chain(pieces) {
        decoder.push(piece);
        loop {
            match decoder.decode() {
                Ok(Some(Decoded::Preamble)) => out.clear(),
                Ok(Some(Decoded::Frame(frame))) => out.push(frame),
                Ok(None) => break,
                Err(_) => {}
            }
        }
    }
    out
}

fuzz_target!(|bytes: &[u8]| {
    let whole = decoded(std::iter::once(bytes));
    assert_eq!(whole, decoded(bytes.chunks(1)));
    let mut decoder = Decoder::new();
    decoder.push(&PREAMBLE);
    decoder.push(bytes);
    while let Ok(Some(decoded)) = decoder.decode() {
        if let Decoded::Frame(frame) = decoded {
            messages(&frame);
        }
    }
});

/// A body is every kind of message, or an error.
fn messages(frame: &Frame) {
    drop(frame.message::<Hello>());
    drop(frame.message::<Request>());
    drop(frame.message::<Response>());
    drop(frame.chunk().map(|(_, chunk)| chunk.len()));
}
