//! Whether a PostgreSQL server holds a password already, as far as that can be seen in what it holds.
//!
//! Never here: setting one. The server makes the hash, by its own settings.

use super::strange;
use crate::outcome::Fault;
use crate::place::md5_of;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Whether `wanted` has to be told to the server, which holds `current` and would make a hash of
/// the kind `encryption`; empty means that there shall be none.
pub(super) fn differs(
    wanted: &str,
    current: Option<&str>,
    user: &str,
    encryption: &str,
) -> Result<bool, Fault> {
    if wanted.is_empty() {
        return Ok(current.is_some());
    }
    if Scram::parse(wanted).is_some() {
        return Ok(current != Some(wanted));
    }
    if let Some(scram) = current.and_then(Scram::parse) {
        return scram.is_of(wanted).map(|same| !same);
    }
    if wanted.starts_with("md5") && wanted.chars().count() == 35 {
        return Ok(current != Some(wanted));
    }
    Ok(match encryption {
        "md5" => current != Some(&format!("md5{}", md5_of(format!("{wanted}{user}").as_bytes()))),
        // What is held is no such hash, or there is none.
        "scram-sha-256" => true,
        _ => false,
    })
}

/// What a server holds of a password (PostgreSQL manual, pg_authid; RFC 5803).
struct Scram<'a> {
    rounds: u32,
    salt: &'a str,
    server_key: &'a str,
}

impl<'a> Scram<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (start, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let ((rounds, salt), (stored_key, server_key)) =
            (start.split_once(':')?, keys.split_once(':')?);
        let is_code = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
        };
        if !rounds.bytes().all(|byte| byte.is_ascii_digit())
            || ![salt, stored_key, server_key].into_iter().all(is_code)
        {
            return None;
        }
        Some(Self { rounds: rounds.parse().ok()?, salt, server_key })
    }

    /// Whether it was made of this password (RFC 5802 section 3).
    fn is_of(&self, password: &str) -> Result<bool, Fault> {
        // RFC 4013 changes nothing in what is printed in ASCII, and refuses its control characters.
        if !password.is_ascii() {
            return Err(strange("a password in other letters"));
        }
        if password.bytes().any(|byte| byte.is_ascii_control()) {
            return Ok(false);
        }
        let (Ok(salt), Ok(key)) = (STANDARD.decode(self.salt), STANDARD.decode(self.server_key))
        else {
            return Ok(false);
        };
        let salted = stretched(password.as_bytes(), &salt, self.rounds);
        Ok(Hmac::new(&salted).of(b"Server Key")[..] == key[..])
    }
}

/// HMAC-SHA-256 (RFC 2104) with a key that is used often.
struct Hmac {
    inner: Sha256,
    outer: Sha256,
}

impl Hmac {
    fn new(key: &[u8]) -> Self {
        let digest;
        let key = if key.len() > 64 {
            digest = Sha256::digest(key);
            &digest[..]
        } else {
            key
        };
        let pad = |byte: u8| {
            let mut block = [byte; 64];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            Sha256::new().chain_update(block)
        };
        Self { inner: pad(0x36), outer: pad(0x5c) }
    }

    fn of(&self, text: &[u8]) -> [u8; 32] {
        let inner = self.inner.clone().chain_update(text).finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }
}

/// PBKDF2 with HMAC-SHA-256, one block of it (RFC 8018 section 5.2).
fn stretched(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let hmac = Hmac::new(password);
    let mut last = hmac.of(&[salt, &1_u32.to_be_bytes()].concat());
    let mut sum = last;
    for _ in 1..rounds {
        last = hmac.of(&last);
        sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 7677 section 3: the user has the password "pencil".
    fn pencil() -> String {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = stretched(b"pencil", &salt, 4096);
        let key = STANDARD.encode(Hmac::new(&salted).of(b"Server Key"));
        format!("SCRAM-SHA-256$4096:{}${}:{key}", STANDARD.encode(&salt), STANDARD.encode([1; 32]))
    }

    #[test]
    fn keys_are_those_of_the_standards() {
        // RFC 4231 section 4.3.
        let code = Hmac::new(b"Jefe").of(b"what do ya want for nothing?");
        assert_eq!(code[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        // RFC 7914 section 11.
        let key = stretched(b"passwd", b"salt", 1);
        assert_eq!(key[..8], [0x55, 0xac, 0x04, 0x6e, 0x56, 0xe3, 0x08, 0x9f]);
    }

    #[test]
    fn a_password_is_known_in_each_kind_of_hash() {
        let (scram, other) = (pencil(), pencil().replace("4096", "4095"));
        let md5 = "md59543f1d82624df2b31672ec0f7050460";
        let of_bob = format!("md5{}", md5_of(b"pencilbob"));
        for (wanted, current, encryption, expected) in [
            ("", None, "md5", false),
            ("", Some("x"), "md5", true),
            ("pencil", Some(&*scram), "md5", false),
            ("pencil2", Some(&*scram), "md5", true),
            ("pen\x07cil", Some(&*scram), "md5", true),
            (&*scram, Some(&*scram), "md5", false),
            (&*other, Some(&*scram), "md5", true),
            (&*scram, None, "md5", true),
            (md5, Some(md5), "scram-sha-256", false),
            (md5, None, "scram-sha-256", true),
            ("pencil", Some(&*of_bob), "md5", false),
            ("pencil", Some(&*of_bob), "scram-sha-256", true),
            ("pencil", None, "md5", true),
            ("pencil", None, "on", false),
        ] {
            let told = differs(wanted, current, "bob", encryption).unwrap();
            assert_eq!(told, expected, "{wanted} {current:?} {encryption}");
        }
        let fault = differs("passwört", Some(&scram), "bob", "md5").unwrap_err();
        assert!(fault.fields.contains_key(updraft_wire::BEYOND));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_stumble(text in "\\PC*") {
            drop(differs(&text, Some(&text), "bob", "md5"));
        }
    }
}
