//! `slurp`: a file's content, in Base64.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Outcome, fail, numbered, plain};
use std::path::Path;
use updraft_spec::CAUSE;

pub(crate) fn run(args: &Args, _ctx: &Context) -> Done {
    let source = args.text("src");
    let bytes = std::fs::read(source).map_err(|error| {
        let fault = match error.kind() {
            std::io::ErrorKind::NotFound => fail!("File not found: {source}"),
            std::io::ErrorKind::PermissionDenied => fail!("File is not readable: {source}"),
            _ if Path::new(source).is_dir() => {
                fail!("Source is a directory and must be a file: {source}")
            }
            _ => return fail!("Unable to slurp file: {}", plain(&error)),
        };
        fault.with(CAUSE, format!("{}: '{source}'", numbered(&error)))
    })?;
    Ok(Outcome::changed(false)
        .with("content", base64(&bytes))
        .with("source", source)
        .with("encoding", "base64"))
}

/// Base64 with padding (RFC 4648 section 4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for index in 0..4 {
            if index <= chunk.len() {
                let letter = LETTERS[(word >> (18 - 6 * index) & 63) as usize];
                out.push(char::from(letter));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        // RFC 4648 section 10.
        for (text, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
