//! A certificate signing request (RFC 2986).
//!
//! A request is read only if it is written again in the very same bytes, so nothing in it can be
//! passed over. Never here: arguments of a task.

use super::Fault;
use super::der::{self, OBJECT_IDENTIFIER, Reader, SEQUENCE, SET};
use super::extension::{
    Marked, Name, read_extensions, read_name, render_extensions, render_name, show_extensions,
    show_name,
};
use super::public::Public;
use serde_json::{Map, Value};

/// The attribute of a request that holds extensions.
const EXTENSIONS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];

/// A request without its signature.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) subject: Name,
    pub(super) key: Public,
    pub(super) extensions: Vec<Marked>,
}

impl Request {
    /// As it is signed.
    pub(super) fn render(&self) -> Vec<u8> {
        let attributes = match self.extensions.is_empty() {
            true => Vec::new(),
            false => {
                let oid = der::value(OBJECT_IDENTIFIER, &[EXTENSIONS]);
                let values = der::value(SET, &[&render_extensions(&self.extensions)]);
                der::value(SEQUENCE, &[&oid, &values])
            }
        };
        let name = render_name(&self.subject);
        let attributes = der::value(0xa0, &[&attributes]);
        der::value(SEQUENCE, &[&der::natural(0), &name, &self.key.der, &attributes])
    }

    /// Reads a signed one.
    pub(super) fn parse(signed: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(signed);
        let whole = outer.sequence()?;
        let mut info = whole.clone().sequence()?;
        info.natural()?;
        let subject = read_name(info.sequence()?)?;
        let key = Public::parse(&der::value(SEQUENCE, &[info.sequence()?.rest()]))?;
        let mut attributes = Reader::new(info.take(0xa0)?);
        let mut extensions = Vec::new();
        if !attributes.is_empty() {
            let mut attribute = attributes.sequence()?;
            attribute.take(OBJECT_IDENTIFIER)?;
            let values = Reader::new(attribute.take(SET)?).sequence()?;
            extensions = read_extensions(values)?;
        }
        let request = Self { subject, key, extensions };
        let same = outer.is_empty() && whole.rest().starts_with(&request.render());
        same.then_some(request)
    }

    /// As a diff shows it; `valid` tells of its signature.
    pub(super) fn shown(&self, valid: bool) -> Result<Value, Fault> {
        let mut shown = Map::new();
        show_name("subject", &self.subject, &mut shown);
        show_extensions(&self.extensions, &mut shown);
        self.key.show(&mut shown)?;
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        put("name_constraints_permitted", Value::Null);
        put("name_constraints_excluded", Value::Null);
        put("name_constraints_critical", false.into());
        put("signature_valid", valid.into());
        put("can_parse_csr", true.into());
        Ok(shown.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::extension::{AltName, Attribute, Extension, Usage};
    use super::*;
    use serde_json::json;

    fn request() -> Request {
        let key = [
            0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
            11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
        ];
        let part = |name, value: &str| (Attribute::named(name).unwrap(), value.to_owned());
        let names = ["DNS:a.example", "IP:10.0.0.1", "IP:fe80::1", "email:a@b", "URI:http://a/b"];
        let names = names.iter().map(|name| AltName::parse(name).unwrap()).collect();
        Request {
            subject: vec![part("C", "DE"), part("commonName", "ä"), part("emailAddress", "a@b")],
            key: Public::parse(&key).unwrap(),
            extensions: vec![
                (Extension::AltNames(names), false),
                (Extension::KeyUsage(0xa0), true),
                (Extension::Usages(vec![Usage::named("serverAuth").unwrap()]), false),
                (Extension::Basic(true, Some(200)), true),
                (Extension::Staple, false),
                (Extension::KeyIdentifier(vec![1, 2]), false),
            ],
        }
    }

    fn signed(request: &Request) -> Vec<u8> {
        der::value(SEQUENCE, &[&request.render(), &der::value(SEQUENCE, &[]), &[3, 2, 0, 1]])
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let full = request();
        assert_eq!(Request::parse(&signed(&full)), Some(full.clone()));
        let bare = Request { subject: Vec::new(), extensions: Vec::new(), ..full };
        assert_eq!(Request::parse(&signed(&bare)), Some(bare));
    }

    #[test]
    fn what_would_be_written_otherwise_is_not_understood() {
        let full = request();
        let mut twice = full.clone();
        twice.extensions.push((Extension::Staple, false));
        assert_eq!(Request::parse(&signed(&twice)), None);
        let bytes = signed(&full);
        assert!((0..bytes.len()).all(|end| Request::parse(&bytes[..end]).is_none()));
        let more: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert_eq!(Request::parse(&more), None);
    }

    #[test]
    fn a_request_is_shown_as_ansible_shows_it() {
        let shown = request().shown(true).unwrap();
        assert_eq!(shown["subject"]["commonName"], "ä");
        assert_eq!(shown["key_usage"], json!(["Digital Signature", "Key Encipherment"]));
        assert_eq!(shown["basic_constraints"], json!(["CA:TRUE", "pathlen:200"]));
        assert_eq!(shown["subject_key_identifier"], "01:02");
        assert_eq!(shown["subject_alt_name"][2], "IP:fe80::1");
        let usage = &shown["extensions_by_oid"]["2.5.29.15"];
        assert_eq!(usage, &json!({ "critical": true, "value": "AwIFoA==" }));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_request_or_none(at in 0_usize..400, byte in 0_u8..) {
            let mut bytes = signed(&request());
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Some(read) = Request::parse(&bytes) {
                proptest::prop_assert!(bytes[4..].windows(8).any(|part| read.render().starts_with(part)));
            }
        }
    }
}
