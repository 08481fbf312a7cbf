//! SSH public keys, written out or in files.
//!
//! A private key is refused and never shown.
//! Never here: other secrets.

use crate::extend::unreadable;
use crate::fault::Draft;
use crate::source::Source;
use crate::text::{Span, is_private_key};
use crate::yaml::clip;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8Path;

/// Types of keys that OpenSSH 9.2 accepts for logging in; certificates are none of a person's.
const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Whether a text is a key and not the path of one.
pub(crate) fn is_literal(text: &str) -> bool {
    let looks = ["ssh-", "ecdsa-", "sk-"].iter().any(|start| text.starts_with(start));
    looks && text.contains(char::is_whitespace)
}

/// A key that stands in the site file.
pub(crate) fn literal(text: &str, at: Span) -> Result<String, Box<Draft>> {
    public_key(text).map_err(|why| bad(at, format!("this is not a public key: {why}")))
}

/// The keys of a file: one a line, with empty lines and comments between.
pub(crate) fn from_file(
    path: &Utf8Path,
    source: &dyn Source,
    at: Span,
) -> Result<Vec<String>, Box<Draft>> {
    let bytes = source.read(path).map_err(|error| Box::new(unreadable(path, &error, at)))?;
    let text = String::from_utf8_lossy(&bytes);
    if is_private_key(&text) {
        let message = format!("`{path}` is a private key; only its public half belongs here");
        let help = match path.as_str().ends_with(".pub") {
            true => "`ssh-keygen -y` writes the public half".to_owned(),
            false => format!("name `{path}.pub`"),
        };
        return Err(Box::new(Draft::new("private-key", at, message).help(help)));
    }
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    let mut keys = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        keys.push(public_key(line).map_err(|why| {
            let message = format!("line {number} of `{path}` is not a public key: {why}");
            bad(at, message)
        })?);
    }
    match keys.is_empty() {
        true => Err(bad(at, format!("there is no key in `{path}`"))),
        false => Ok(keys),
    }
}

fn bad(at: Span, message: String) -> Box<Draft> {
    Box::new(Draft::new("bad-public-key", at, message))
}

/// A line of an `authorized_keys` file without options: type, key, comment (sshd(8),
/// "AUTHORIZED_KEYS FILE FORMAT"). The reason never repeats the line.
fn public_key(line: &str) -> Result<String, String> {
    let mut words = line.split_whitespace();
    let kind = words.next().unwrap_or_default();
    if !TYPES.contains(&kind) {
        return Err(match TYPES.iter().any(|known| line.contains(&format!(" {known} "))) {
            true => "options in front of a key are not possible here".to_owned(),
            false => format!("`{}` is no type of key", clip(kind.get(..40).unwrap_or(kind))),
        });
    }
    let blob = words.next().ok_or("there is nothing after its type")?;
    let bytes =
        STANDARD.decode(blob).map_err(|_| "its second word is not base64, or is cut off")?;
    // RFC 4253 section 6.6: the blob begins with its type once more, after four bytes of length.
    let inner = bytes
        .split_at_checked(4)
        .and_then(|(length, rest)| {
            let length = u32::from_be_bytes(length.try_into().ok()?);
            rest.get(..usize::try_from(length).ok()?)
        })
        .ok_or("it is cut off")?;
    if inner != kind.as_bytes() {
        return Err(format!("it says `{kind}`, but holds a key of another type"));
    }
    // An ed25519 key is 32 bytes after its own length; every other key is longer.
    if bytes.len() < 4 + kind.len() + 4 + 32 {
        return Err("it is cut off".to_owned());
    }
    Ok(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    #[test]
    fn a_public_key_is_kept_with_its_comment() {
        assert_eq!(
            public_key(&format!("{ED25519}  ops@hello")),
            Ok(format!("{ED25519} ops@hello"))
        );
    }

    #[test]
    fn what_is_not_a_public_key_is_refused() {
        let cut = &ED25519[..ED25519.len() - 8];
        let other = ED25519.replace("ssh-ed25519 ", "ssh-rsa ");
        let options = format!("restrict {ED25519} x");
        for bad in ["", "ssh-dss AAAA", "ssh-ed25519", "ssh-ed25519 !!!!", cut, &other, &options] {
            assert!(public_key(bad).is_err(), "`{bad}` was accepted");
        }
    }
}
