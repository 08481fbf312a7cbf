//! Names and extensions of requests and certificates (RFC 5280, 7633).
//!
//! Names, usages and extensions beyond the tables here are not understood. What reads a whole
//! writes it again to compare, so the readers here need not tell every form apart.

use super::der::{
    self, BIT_STRING, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE, SET,
};
use super::{colons, hex};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const BOOLEAN: u8 = 0x01;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;

/// A part of a name: what it is called, its identifier's content, the kind of string.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Attribute {
    /// As it is shown; then the other names.
    pub(super) names: &'static [&'static str],
    oid: &'static [u8],
    string: u8,
}

const ATTRIBUTES: &[Attribute] = &[
    Attribute { names: &["countryName", "C"], oid: &[0x55, 4, 6], string: PRINTABLE },
    Attribute { names: &["stateOrProvinceName", "ST"], oid: &[0x55, 4, 8], string: UTF8 },
    Attribute { names: &["localityName", "L"], oid: &[0x55, 4, 7], string: UTF8 },
    Attribute { names: &["organizationName", "O"], oid: &[0x55, 4, 10], string: UTF8 },
    Attribute { names: &["organizationalUnitName", "OU"], oid: &[0x55, 4, 11], string: UTF8 },
    Attribute { names: &["commonName", "CN"], oid: &[0x55, 4, 3], string: UTF8 },
    Attribute {
        names: &["emailAddress"],
        oid: &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
        string: IA5,
    },
];

impl Attribute {
    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ATTRIBUTES.iter().find(|known| known.names.contains(&name))
    }

    /// Whether every version of Python's cryptography takes this as its value.
    pub(super) fn takes(&self, value: &str) -> bool {
        let fits = (1..=64).contains(&value.chars().count());
        fits && match self.string {
            PRINTABLE => value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_uppercase()),
            IA5 => value.bytes().all(|byte| byte.is_ascii_graphic()),
            _ => !value.chars().any(char::is_control),
        }
    }
}

/// One thing a key may be used for: what it is called, and its identifier's content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Usage {
    names: [&'static str; 2],
    oid: &'static [u8],
}

const USAGES: &[Usage] = &[
    Usage {
        names: ["TLS Web Server Authentication", "serverAuth"],
        oid: &[0x2b, 6, 1, 5, 5, 7, 3, 1],
    },
    Usage {
        names: ["TLS Web Client Authentication", "clientAuth"],
        oid: &[0x2b, 6, 1, 5, 5, 7, 3, 2],
    },
    Usage { names: ["Code Signing", "codeSigning"], oid: &[0x2b, 6, 1, 5, 5, 7, 3, 3] },
    Usage { names: ["E-mail Protection", "emailProtection"], oid: &[0x2b, 6, 1, 5, 5, 7, 3, 4] },
    Usage { names: ["Time Stamping", "timeStamping"], oid: &[0x2b, 6, 1, 5, 5, 7, 3, 8] },
    Usage { names: ["OCSP Signing", "OCSPSigning"], oid: &[0x2b, 6, 1, 5, 5, 7, 3, 9] },
    Usage { names: ["Any Extended Key Usage", "anyExtendedKeyUsage"], oid: &[0x55, 0x1d, 37, 0] },
];

impl Usage {
    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        USAGES.iter().find(|known| known.names.contains(&name))
    }
}

/// What a key may be used for, in the order of the bits.
const BITS: &[[&str; 2]] = &[
    ["Digital Signature", "digitalSignature"],
    ["Non Repudiation", "nonRepudiation"],
    ["Key Encipherment", "keyEncipherment"],
    ["Data Encipherment", "dataEncipherment"],
    ["Key Agreement", "keyAgreement"],
    ["Certificate Sign", "keyCertSign"],
    ["CRL Sign", "cRLSign"],
];

/// The bit of a use of a key.
pub(super) fn bit(name: &str) -> Option<u8> {
    let at = BITS.iter().position(|names| names.contains(&name))?;
    Some(0x80 >> at)
}

/// Another name of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AltName {
    Dns(String),
    Email(String),
    Uri(String),
    Ip(IpAddr),
}

impl AltName {
    /// Reads `DNS:name` and the like, of those that mean the same to every version of Python.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(':')?;
        let name = match kind {
            "DNS" => Self::Dns(value.to_owned()),
            "email" => Self::Email(value.to_owned()),
            "URI" => Self::Uri(value.to_owned()),
            "IP" => Self::Ip(value.parse().ok()?),
            _ => return None,
        };
        name.is_plain().then_some(name)
    }

    fn is_plain(&self) -> bool {
        let word = |text: &str, others: &[u8]| {
            let all = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
            !text.is_empty() && text.bytes().all(all)
        };
        match self {
            Self::Dns(name) => {
                !name.is_empty() && name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            }
            Self::Email(name) => name
                .split_once('@')
                .is_some_and(|(user, host)| word(user, b"._-") && word(host, b".-")),
            Self::Uri(uri) => uri.split_once("://").is_some_and(|(scheme, rest)| {
                let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let small = !host.bytes().any(|byte| byte.is_ascii_uppercase());
                let path = path.is_empty() || word(path, b"/._~-");
                matches!(scheme, "http" | "https") && word(host, b".-") && small && path
            }),
            // Not all write those that hold one of the fourth version in the same way.
            Self::Ip(IpAddr::V6(address)) => address.segments()[..5].iter().any(|part| *part != 0),
            Self::Ip(IpAddr::V4(_)) => true,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Dns(name) => format!("DNS:{name}"),
            Self::Email(name) => format!("email:{name}"),
            Self::Uri(name) => format!("URI:{name}"),
            Self::Ip(address) => format!("IP:{address}"),
        }
    }

    fn render(&self) -> Vec<u8> {
        match self {
            Self::Email(name) => der::value(0x81, &[name.as_bytes()]),
            Self::Dns(name) => der::value(0x82, &[name.as_bytes()]),
            Self::Uri(name) => der::value(0x86, &[name.as_bytes()]),
            Self::Ip(IpAddr::V4(address)) => der::value(0x87, &[&address.octets()]),
            Self::Ip(IpAddr::V6(address)) => der::value(0x87, &[&address.octets()]),
        }
    }

    fn read((tag, content): (u8, &[u8])) -> Option<Self> {
        let text = || String::from_utf8(content.to_vec()).ok();
        let name = match tag {
            0x81 => Self::Email(text()?),
            0x82 => Self::Dns(text()?),
            0x86 => Self::Uri(text()?),
            0x87 if content.len() == 4 => {
                Self::Ip(Ipv4Addr::from(<[u8; 4]>::try_from(content).ok()?).into())
            }
            0x87 => Self::Ip(Ipv6Addr::from(<[u8; 16]>::try_from(content).ok()?).into()),
            _ => return None,
        };
        name.is_plain().then_some(name)
    }
}

/// What an extension says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Extension {
    AltNames(Vec<AltName>),
    /// The bits of the first seven uses.
    KeyUsage(u8),
    Usages(Vec<&'static Usage>),
    /// Whether it is an authority, and how many others may stand below it.
    Basic(bool, Option<u32>),
    /// The server has to bring proof that the certificate is not revoked.
    Staple,
    KeyIdentifier(Vec<u8>),
    /// The identifier of the key that signed.
    Authority(Vec<u8>),
}

const ALT_NAMES: (&[u8], &str) = (&[0x55, 0x1d, 17], "2.5.29.17");
const KEY_USAGE: (&[u8], &str) = (&[0x55, 0x1d, 15], "2.5.29.15");
const EXTENDED_USAGE: (&[u8], &str) = (&[0x55, 0x1d, 37], "2.5.29.37");
const BASIC: (&[u8], &str) = (&[0x55, 0x1d, 19], "2.5.29.19");
const FEATURE: (&[u8], &str) = (&[0x2b, 6, 1, 5, 5, 7, 1, 24], "1.3.6.1.5.5.7.1.24");
const KEY_IDENTIFIER: (&[u8], &str) = (&[0x55, 0x1d, 14], "2.5.29.14");
const AUTHORITY: (&[u8], &str) = (&[0x55, 0x1d, 35], "2.5.29.35");

impl Extension {
    /// The content of the identifier, and how it is written.
    pub(super) fn oid(&self) -> (&'static [u8], &'static str) {
        match self {
            Self::AltNames(_) => ALT_NAMES,
            Self::KeyUsage(_) => KEY_USAGE,
            Self::Usages(_) => EXTENDED_USAGE,
            Self::Basic(..) => BASIC,
            Self::Staple => FEATURE,
            Self::KeyIdentifier(_) => KEY_IDENTIFIER,
            Self::Authority(_) => AUTHORITY,
        }
    }

    fn render(&self) -> Vec<u8> {
        match self {
            Self::AltNames(names) => {
                let names: Vec<_> = names.iter().flat_map(AltName::render).collect();
                der::value(SEQUENCE, &[&names])
            }
            Self::KeyUsage(bits) => {
                let unused = u8::try_from(bits.trailing_zeros().min(8)).unwrap_or(8);
                der::value(BIT_STRING, &[&[unused, *bits]])
            }
            Self::Usages(usages) => {
                let usages =
                    usages.iter().flat_map(|one| der::value(OBJECT_IDENTIFIER, &[one.oid]));
                der::value(SEQUENCE, &[&usages.collect::<Vec<_>>()])
            }
            Self::Basic(authority, below) => {
                let authority =
                    if *authority { der::value(BOOLEAN, &[&[0xff]]) } else { Vec::new() };
                let below = below.map(der::natural).unwrap_or_default();
                der::value(SEQUENCE, &[&authority, &below])
            }
            Self::Staple => der::value(SEQUENCE, &[&der::natural(5)]),
            Self::KeyIdentifier(identifier) => der::value(OCTET_STRING, &[identifier]),
            Self::Authority(identifier) => {
                der::value(SEQUENCE, &[&der::value(0x80, &[identifier])])
            }
        }
    }

    fn read(oid: &[u8], value: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(value);
        Some(match oid {
            _ if oid == ALT_NAMES.0 => Self::AltNames(all(outer.sequence()?, AltName::read)?),
            _ if oid == KEY_USAGE.0 => match outer.take(BIT_STRING)? {
                [_, bits] if *bits != 0 && bits & 1 == 0 => Self::KeyUsage(*bits),
                _ => return None,
            },
            _ if oid == EXTENDED_USAGE.0 => {
                let usage = |(tag, oid): (u8, &[u8])| {
                    USAGES.iter().find(|known| tag == OBJECT_IDENTIFIER && known.oid == oid)
                };
                Self::Usages(all(outer.sequence()?, usage)?)
            }
            _ if oid == BASIC.0 => {
                let mut inner = outer.sequence()?;
                let mut next = inner.next();
                let authority = next == Some((BOOLEAN, &[0xff][..]));
                if authority {
                    next = inner.next();
                }
                let below = match next {
                    Some((INTEGER, bytes)) if bytes.len() <= 4 => {
                        Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
                    }
                    Some(_) => return None,
                    None => None,
                };
                Self::Basic(authority, below)
            }
            _ if oid == FEATURE.0 => Self::Staple,
            _ if oid == KEY_IDENTIFIER.0 => Self::KeyIdentifier(outer.take(OCTET_STRING)?.to_vec()),
            _ if oid == AUTHORITY.0 => Self::Authority(outer.sequence()?.take(0x80)?.to_vec()),
            _ => return None,
        })
    }
}

/// Reads every value there is.
pub(super) fn all<'a, T>(
    mut reader: Reader<'a>,
    read: impl Fn((u8, &'a [u8])) -> Option<T>,
) -> Option<Vec<T>> {
    let mut found = Vec::new();
    while !reader.is_empty() {
        found.push(read(reader.next()?)?);
    }
    Some(found)
}

/// The parts of a name, in their order.
pub(super) type Name = Vec<(&'static Attribute, String)>;

/// Writes a name.
pub(super) fn render_name(name: &Name) -> Vec<u8> {
    let parts = name.iter().flat_map(|(part, value)| {
        let oid = der::value(OBJECT_IDENTIFIER, &[part.oid]);
        let value = der::value(part.string, &[value.as_bytes()]);
        der::value(SET, &[&der::value(SEQUENCE, &[&oid, &value])])
    });
    der::value(SEQUENCE, &[&parts.collect::<Vec<_>>()])
}

/// Reads the parts of a name.
pub(super) fn read_name(parts: Reader<'_>) -> Option<Name> {
    all(parts, |(tag, content)| {
        let mut part = Reader::new(content).sequence()?;
        let oid = part.take(OBJECT_IDENTIFIER)?;
        let known = ATTRIBUTES.iter().find(|known| tag == SET && known.oid == oid)?;
        let value = std::str::from_utf8(part.take(known.string)?).ok()?;
        known.takes(value).then(|| (known, value.to_owned()))
    })
}

/// Puts a name into what a diff shows.
pub(super) fn show_name(key: &str, name: &Name, shown: &mut Map<String, Value>) {
    let pairs = name.iter().map(|(part, value)| (part.names[0], value.as_str()));
    let by_name: Map<String, Value> =
        pairs.clone().map(|(name, value)| (name.to_owned(), value.into())).collect();
    shown.insert(key.to_owned(), by_name.into());
    shown.insert(
        format!("{key}_ordered"),
        pairs.map(|(name, value)| json!([name, value])).collect(),
    );
}

/// An extension, and whether it is critical.
pub(super) type Marked = (Extension, bool);

/// Writes extensions.
pub(super) fn render_extensions(extensions: &[Marked]) -> Vec<u8> {
    let all = extensions.iter().flat_map(|(extension, critical)| {
        let oid = der::value(OBJECT_IDENTIFIER, &[extension.oid().0]);
        let critical = if *critical { der::value(BOOLEAN, &[&[0xff]]) } else { Vec::new() };
        let value = der::value(OCTET_STRING, &[&extension.render()]);
        der::value(SEQUENCE, &[&oid, &critical, &value])
    });
    der::value(SEQUENCE, &[&all.collect::<Vec<_>>()])
}

/// Reads extensions, of which each kind may be there once.
pub(super) fn read_extensions(values: Reader<'_>) -> Option<Vec<Marked>> {
    let extensions = all(values, |(_, content)| {
        let mut parts = Reader::new(content);
        let oid = parts.take(OBJECT_IDENTIFIER)?;
        let (tag, value) = parts.next()?;
        let critical = tag == BOOLEAN;
        let value = if critical { parts.take(OCTET_STRING)? } else { value };
        Some((Extension::read(oid, value)?, critical))
    })?;
    let twice = extensions
        .iter()
        .enumerate()
        .any(|(at, (one, _))| extensions[..at].iter().any(|(other, _)| other.oid() == one.oid()));
    (!twice).then_some(extensions)
}

/// The extension of the same kind as another.
pub(super) fn like<'a>(extensions: &'a [Marked], other: &Extension) -> Option<&'a Marked> {
    find(extensions, other.oid())
}

fn find<'a>(extensions: &'a [Marked], oid: (&[u8], &str)) -> Option<&'a Marked> {
    extensions.iter().find(|(extension, _)| extension.oid() == oid)
}

/// The identifier of the key among extensions.
pub(super) fn key_identifier(extensions: &[Marked]) -> Option<&[u8]> {
    match find(extensions, KEY_IDENTIFIER) {
        Some((Extension::KeyIdentifier(bytes), _)) => Some(bytes),
        _ => None,
    }
}

/// The identifier of the key that signed among extensions.
pub(super) fn authority(extensions: &[Marked]) -> Option<&[u8]> {
    match find(extensions, AUTHORITY) {
        Some((Extension::Authority(bytes), _)) => Some(bytes),
        _ => None,
    }
}

/// Puts extensions into what a diff shows.
pub(super) fn show_extensions(extensions: &[Marked], shown: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    let sorted = |mut words: Vec<&str>| {
        words.sort_unstable();
        Value::from(words)
    };
    for (name, oid) in [
        ("key_usage", KEY_USAGE),
        ("extended_key_usage", EXTENDED_USAGE),
        ("basic_constraints", BASIC),
        ("ocsp_must_staple", FEATURE),
        ("subject_alt_name", ALT_NAMES),
    ] {
        let found = find(extensions, oid);
        let value = match found.map(|(extension, _)| extension) {
            Some(Extension::KeyUsage(bits)) => {
                let uses = BITS.iter().enumerate().filter(|(at, _)| bits & (0x80 >> at) != 0);
                sorted(uses.map(|(_, names)| names[0]).collect())
            }
            Some(Extension::Usages(usages)) => {
                sorted(usages.iter().map(|usage| usage.names[0]).collect())
            }
            Some(Extension::Basic(authority, below)) => {
                let authority = if *authority { "CA:TRUE" } else { "CA:FALSE" };
                let below = below.map(|below| format!("pathlen:{below}"));
                [authority.to_owned()].into_iter().chain(below).collect()
            }
            Some(Extension::Staple) => true.into(),
            Some(Extension::AltNames(names)) => names.iter().map(AltName::text).collect(),
            _ => Value::Null,
        };
        put(name, value);
        put(&format!("{name}_critical"), found.is_some_and(|(_, critical)| *critical).into());
    }
    let identifier =
        |bytes: Option<&[u8]>| bytes.map_or(Value::Null, |bytes| colons(&hex(bytes)).into());
    put("subject_key_identifier", identifier(key_identifier(extensions)));
    put("authority_key_identifier", identifier(authority(extensions)));
    put("authority_cert_issuer", Value::Null);
    put("authority_cert_serial_number", Value::Null);
    let values = extensions.iter().map(|(extension, critical)| {
        let value = json!({ "critical": critical, "value": STANDARD.encode(extension.render()) });
        (extension.oid().1.to_owned(), value)
    });
    put("extensions_by_oid", values.collect::<Map<_, _>>().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_plain_are_not_taken() {
        for name in [
            "a.example",
            "DNS:",
            "DNS:ä.example",
            "IP:10.0.0.0/8",
            "IP:10.0.0.01",
            "IP:::ffff:10.0.0.1",
            "email:a",
            "URI:http://A/",
            "URI:http://a/?b",
            "URI:ldap://a/",
            "RID:1.2.3",
            "dirName:CN=a",
        ] {
            assert_eq!(AltName::parse(name), None, "{name}");
        }
        for (name, value, taken) in [
            ("C", "DE", true),
            ("C", "Germany", false),
            ("CN", "a b", true),
            ("CN", "", false),
            ("emailAddress", "ä@b", false),
        ] {
            assert_eq!(Attribute::named(name).unwrap().takes(value), taken, "{name} {value}");
        }
    }
}
