//! The text that `ansible-vault` writes: a header line, then hexadecimal digits in lines of 80.
//!
//! Never here: keys, passwords, what is inside.

use super::VaultError;

/// What every encrypted text begins with.
const MARK: &str = "$ANSIBLE_VAULT";

/// Characters in a line of the body.
const WIDTH: usize = 80;

/// The only cipher there is: AES-256 in counter mode, with an HMAC-SHA-256.
const CIPHER: &str = "AES256";

/// Does this begin as encrypted text does?
pub fn is_encrypted(text: &[u8]) -> bool {
    text.starts_with(MARK.as_bytes())
}

/// An encrypted text taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The label in its header, if it has one.
    pub id: Option<String>,
    pub(super) salt: Vec<u8>,
    pub(super) code: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl Envelope {
    /// Takes encrypted text apart. Nothing in it is trusted yet.
    ///
    /// # Errors
    /// When it is not in the form that `ansible-vault` writes.
    pub fn parse(text: &[u8]) -> Result<Self, VaultError> {
        if !is_encrypted(text) {
            return Err(VaultError::Plain);
        }
        let text = std::str::from_utf8(text).map_err(|_| VaultError::Envelope)?;
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default();
        let mut fields = header.trim().split(';').map(str::trim);
        let (mark, version, cipher) = (fields.next(), fields.next(), fields.next());
        let (Some(_), Some(_), Some(cipher)) = (mark, version, cipher) else {
            return Err(VaultError::Envelope);
        };
        let id = fields.next().map(str::to_owned);
        if cipher != CIPHER {
            return Err(VaultError::Cipher(cipher.to_owned()));
        }
        // Indent and the blanks of a pasted block are no part of the digits.
        let digits: String = lines.flat_map(|line| line.trim().chars()).collect();
        let inner = unhex(digits.as_bytes())?;
        let mut parts = inner.splitn(3, |byte| *byte == b'\n');
        let (Some(salt), Some(code), Some(body)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(VaultError::Body);
        };
        Ok(Self { id, salt: unhex(salt)?, code: unhex(code)?, body: unhex(body)? })
    }

    /// The text of it, ending with a newline. A label makes it version 1.2; the label `default` is
    /// no label.
    pub fn to_text(&self) -> String {
        let mut out = match self.id.as_deref() {
            Some(id) if id != super::DEFAULT_ID => format!("{MARK};1.2;{CIPHER};{id}\n"),
            _ => format!("{MARK};1.1;{CIPHER}\n"),
        };
        let inner = [hex(&self.salt), hex(&self.code), hex(&self.body)].join("\n");
        let digits = hex(inner.as_bytes());
        let mut rest = digits.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(WIDTH));
            out.push_str(line);
            out.push('\n');
            rest = more;
        }
        out
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    out
}

fn unhex(digits: &[u8]) -> Result<Vec<u8>, VaultError> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if !digits.len().is_multiple_of(2) {
        return Err(VaultError::Hex("Odd-length string"));
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let (high, low) = (digit(pair[0]), digit(pair[1]));
            let byte = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
            byte.ok_or(VaultError::Hex("Non-hexadecimal digit found"))
        })
        .collect()
}
