//! A certificate of version 3 (RFC 5280).
//!
//! As a request, a certificate is read only if it is written again in the very same bytes. Never
//! here: arguments of a task.

use super::der::{self, INTEGER, Reader, SEQUENCE};
use super::extension::{
    Marked, Name, read_extensions, read_name, render_extensions, render_name, show_extensions,
    show_name,
};
use super::public::{Public, number};
use super::signature::Algorithm;
use super::{Fault, colons, sum};
use crate::place::Algorithm as Sum;
use jiff::civil::DateTime;
use serde_json::{Map, Value, json};

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// A certificate without its signature.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Certificate {
    /// The number's bytes, of which the first is not zero.
    pub(super) serial: Vec<u8>,
    pub(super) algorithm: &'static Algorithm,
    pub(super) issuer: Name,
    pub(super) not_before: DateTime,
    pub(super) not_after: DateTime,
    pub(super) subject: Name,
    pub(super) key: Public,
    pub(super) extensions: Vec<Marked>,
}

/// A moment as Ansible shows it.
pub(super) fn stamp(moment: DateTime) -> String {
    moment.strftime("%Y%m%d%H%M%SZ").to_string()
}

/// Reads fourteen digits and a Z.
pub(super) fn moment(text: &str) -> Option<DateTime> {
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize, length: usize| digits[at..at + length].parse::<i16>().ok();
    let small = |at| i8::try_from(part(at, 2)?).ok();
    let year = part(0, 4)?;
    let read = DateTime::new(year, small(4)?, small(6)?, small(8)?, small(10)?, small(12)?, 0);
    read.ok().filter(|_| year >= 1950)
}

fn render_time(moment: DateTime) -> Vec<u8> {
    let text = stamp(moment);
    match moment.year() < 2050 {
        true => der::value(UTC_TIME, &[&text.as_bytes()[2..]]),
        false => der::value(GENERALIZED_TIME, &[text.as_bytes()]),
    }
}

fn read_time((tag, content): (u8, &[u8])) -> Option<DateTime> {
    let text = std::str::from_utf8(content).ok()?;
    match tag {
        UTC_TIME => {
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            moment(&format!("{century}{text}"))
        }
        GENERALIZED_TIME => moment(text),
        _ => None,
    }
}

impl Certificate {
    /// As it is signed.
    pub(super) fn render(&self) -> Vec<u8> {
        let sign: &[u8] =
            if self.serial.first().is_none_or(|first| *first > 0x7f) { &[0] } else { &[] };
        let version = der::value(0xa0, &[&der::natural(2)]);
        let serial = der::value(INTEGER, &[sign, &self.serial]);
        let (issuer, subject) = (render_name(&self.issuer), render_name(&self.subject));
        let (from, to) = (render_time(self.not_before), render_time(self.not_after));
        let validity = der::value(SEQUENCE, &[&from, &to]);
        let extensions = match self.extensions.is_empty() {
            true => Vec::new(),
            false => der::value(0xa3, &[&render_extensions(&self.extensions)]),
        };
        let parts: &[&[u8]] = &[
            &version,
            &serial,
            self.algorithm.der,
            &issuer,
            &validity,
            &subject,
            &self.key.der,
            &extensions,
        ];
        der::value(SEQUENCE, parts)
    }

    /// Reads a signed one.
    pub(super) fn parse(signed: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(signed);
        let whole = outer.sequence()?;
        let mut info = whole.clone().sequence()?;
        info.take(0xa0)?;
        let serial = info.natural()?.to_vec();
        let algorithm = Algorithm::read(info.sequence()?.rest())?;
        let issuer = read_name(info.sequence()?)?;
        let mut validity = info.sequence()?;
        let (not_before, not_after) = (read_time(validity.next()?)?, read_time(validity.next()?)?);
        let subject = read_name(info.sequence()?)?;
        let key = Public::parse(&der::value(SEQUENCE, &[info.sequence()?.rest()]))?;
        let extensions = match info.is_empty() {
            true => Vec::new(),
            false => read_extensions(Reader::new(info.take(0xa3)?).sequence()?)?,
        };
        let certificate =
            Self { serial, algorithm, issuer, not_before, not_after, subject, key, extensions };
        let same = outer.is_empty() && whole.rest().starts_with(&certificate.render());
        same.then_some(certificate)
    }

    /// As a diff shows it; `whole` is what was signed with its signature.
    pub(super) fn shown(&self, whole: &[u8], now: DateTime) -> Result<Value, Fault> {
        let mut shown = Map::new();
        show_name("subject", &self.subject, &mut shown);
        show_name("issuer", &self.issuer, &mut shown);
        show_extensions(&self.extensions, &mut shown);
        self.key.show(&mut shown)?;
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        put("signature_algorithm", self.algorithm.name.into());
        put("version", 3.into());
        put("not_before", stamp(self.not_before).into());
        put("not_after", stamp(self.not_after).into());
        put("expired", (self.not_after < now).into());
        put("fingerprints", json!({ "sha256": colons(&sum(whole, Sum::Sha256)?) }));
        put("serial_number", number(&self.serial));
        put("ocsp_uri", Value::Null);
        put("issuer_uri", Value::Null);
        put("can_parse_certificate", true.into());
        Ok(shown.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::extension::{Attribute, Extension};
    use super::super::public::Kind;
    use super::*;

    fn certificate() -> Certificate {
        let key = [
            0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
            11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
        ];
        let name = |value: &str| vec![(Attribute::named("CN").unwrap(), value.to_owned())];
        Certificate {
            serial: vec![0x80, 1],
            algorithm: Algorithm::of(Kind::Edwards("Ed25519"), "").unwrap(),
            issuer: name("b"),
            not_before: moment("20491231235959Z").unwrap(),
            not_after: moment("20500101000000Z").unwrap(),
            subject: name("a"),
            key: Public::parse(&key).unwrap(),
            extensions: vec![
                (Extension::KeyIdentifier(vec![1, 2]), false),
                (Extension::Authority(vec![3]), false),
            ],
        }
    }

    fn signed(certificate: &Certificate) -> Vec<u8> {
        let algorithm = certificate.algorithm.der;
        der::value(SEQUENCE, &[&certificate.render(), algorithm, &[3, 2, 0, 1]])
    }

    #[test]
    fn a_certificate_is_read_as_it_was_written() {
        let full = certificate();
        assert_eq!(Certificate::parse(&signed(&full)), Some(full.clone()));
        let bytes = signed(&full);
        assert!((0..bytes.len()).all(|end| Certificate::parse(&bytes[..end]).is_none()));
        let bare = Certificate { extensions: Vec::new(), ..full };
        assert_eq!(Certificate::parse(&signed(&bare)), Some(bare));
    }

    #[test]
    fn moments_are_fourteen_digits() {
        assert_eq!(stamp(moment("20260102030405Z").unwrap()), "20260102030405Z");
        for text in ["20260102030405", "2026010203045Z", "20261302030405Z", "19490102030405Z", ""] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn a_certificate_is_shown_as_ansible_shows_it() {
        let full = certificate();
        let shown = full.shown(&[], moment("20500101000001Z").unwrap()).unwrap();
        assert_eq!((&shown["serial_number"], &shown["expired"]), (&json!(32769), &json!(true)));
        assert_eq!(shown["authority_key_identifier"], "03");
        assert_eq!(shown["issuer"], json!({ "commonName": "b" }));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_certificate_or_none(at in 0_usize..200, byte in 0_u8..) {
            let mut bytes = signed(&certificate());
            let at = at % bytes.len();
            bytes[at] = byte;
            drop(Certificate::parse(&bytes));
        }
    }
}
