//! What a public key is: its type, and the numbers in it.
//!
//! Read from a SubjectPublicKeyInfo (RFC 5280, 3279, 5480, 8410). One that Python's cryptography
//! would not write in these very bytes is none of ours.

use super::der::{OBJECT_IDENTIFIER, Reader};
use super::{Fault, colons, pem, strange, sum, unhex};
use crate::place::Algorithm;
use serde_json::{Map, Value, json};

/// A public key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Public {
    pub(super) kind: Kind,
    numbers: Map<String, Value>,
    pub(super) der: Vec<u8>,
}

/// Of what type and size a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rsa(usize),
    Dsa(usize),
    Ecc(&'static str),
    /// One of those that have a single size, by its name.
    Edwards(&'static str),
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rsa(_) => "RSA",
            Self::Dsa(_) => "DSA",
            Self::Ecc(_) => "ECC",
            Self::Edwards(name) => name,
        }
    }
}

// The identifiers' contents.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
const ECC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const EDWARDS: &[(&[u8], &str, usize)] = &[
    (&[0x2b, 0x65, 0x6e], "X25519", 32),
    (&[0x2b, 0x65, 0x6f], "X448", 56),
    (&[0x2b, 0x65, 0x70], "Ed25519", 32),
    (&[0x2b, 0x65, 0x71], "Ed448", 57),
];
/// Curves that every version of Python's cryptography knows, and how many bits their numbers have.
const CURVES: &[(&[u8], &str, usize)] = &[
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1], "secp192r1", 192),
    (&[0x2b, 0x81, 4, 0, 33], "secp224r1", 224),
    (&[0x2b, 0x81, 4, 0, 10], "secp256k1", 256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], "secp256r1", 256),
    (&[0x2b, 0x81, 4, 0, 34], "secp384r1", 384),
    (&[0x2b, 0x81, 4, 0, 35], "secp521r1", 521),
    (&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7], "brainpoolP256r1", 256),
    (&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 11], "brainpoolP384r1", 384),
    (&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 13], "brainpoolP512r1", 512),
];

/// Whether a curve is one of those that are read and made here.
pub(super) fn is_known(curve: &str) -> bool {
    CURVES.iter().any(|(_, name, _)| *name == curve)
}

impl Public {
    /// Reads a key.
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(der);
        let mut info = outer.sequence()?;
        let mut algorithm = info.sequence()?;
        let key = info.bits()?;
        if !outer.is_empty() || !info.is_empty() {
            return None;
        }
        let identifier = algorithm.take(OBJECT_IDENTIFIER)?;
        let (kind, numbers) = match identifier {
            RSA => {
                let mut outer = Reader::new(key);
                let mut key = outer.sequence()?;
                let (modulus, exponent) = (key.natural()?, key.natural()?);
                if algorithm.next()? != (5, &[][..]) || !key.is_empty() || !outer.is_empty() {
                    return None;
                }
                let size = bits(modulus);
                let told = [
                    ("size", size.into()),
                    ("modulus", number(modulus)),
                    ("exponent", number(exponent)),
                ];
                (Kind::Rsa(size), told.to_vec())
            }
            DSA => {
                let mut params = algorithm.sequence()?;
                let (p, q, g) = (params.natural()?, params.natural()?, params.natural()?);
                let mut key = Reader::new(key);
                let y = key.natural()?;
                let size = bits(p);
                let known = [1024, 2048, 3072, 4096].contains(&size);
                if !known || !params.is_empty() || !key.is_empty() {
                    return None;
                }
                let told = [
                    ("size", size.into()),
                    ("p", number(p)),
                    ("q", number(q)),
                    ("g", number(g)),
                    ("y", number(y)),
                ];
                (Kind::Dsa(size), told.to_vec())
            }
            ECC => {
                let curve = algorithm.take(OBJECT_IDENTIFIER)?;
                let (_, name, size) = CURVES.iter().find(|known| known.0 == curve)?;
                // The point as it is, not compressed.
                let point = key.strip_prefix(&[4])?;
                if point.len() != 2 * size.div_ceil(8) {
                    return None;
                }
                let (x, y) = point.split_at(point.len() / 2);
                let told = [
                    ("curve", (*name).into()),
                    ("x", number(x)),
                    ("y", number(y)),
                    ("exponent_size", (*size).into()),
                ];
                (Kind::Ecc(name), told.to_vec())
            }
            other => {
                let (_, name, length) = EDWARDS.iter().find(|known| known.0 == other)?;
                if key.len() != *length {
                    return None;
                }
                (Kind::Edwards(name), Vec::new())
            }
        };
        if !algorithm.is_empty() {
            return None;
        }
        let numbers = numbers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Some(Self { kind, numbers, der: der.to_vec() })
    }

    /// The sum that is shown where there is one alone.
    fn fingerprint(&self) -> Result<Value, Fault> {
        Ok(json!({ "sha256": colons(&sum(&self.der, Algorithm::Sha256)?) }))
    }

    /// What certificates know it by (RFC 5280, 4.2.1.2, the first way).
    pub(super) fn identifier(&self) -> Result<Vec<u8>, Fault> {
        let mut info = Reader::new(&self.der).sequence();
        let bits = info.as_mut().and_then(|info| {
            info.sequence()?;
            info.bits()
        });
        let bits = bits.ok_or_else(|| strange("such a key"))?;
        unhex(&sum(bits, Algorithm::Sha1)?).ok_or_else(|| strange("such a key"))
    }

    /// Puts it into what a diff shows of something that holds it.
    pub(super) fn show(&self, shown: &mut Map<String, Value>) -> Result<(), Fault> {
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        put("public_key", pem::render("PUBLIC KEY", &self.der).into());
        put("public_key_type", self.kind.name().into());
        put("public_key_data", self.numbers.clone().into());
        put("public_key_fingerprints", self.fingerprint()?);
        Ok(())
    }

    /// As a diff shows the key that it belongs to.
    pub(super) fn shown(&self) -> Result<Value, Fault> {
        Ok(json!({
            "can_parse_key": true,
            "key_is_consistent": null,
            "public_key": pem::render("PUBLIC KEY", &self.der),
            "public_key_fingerprints": self.fingerprint()?,
            "type": self.kind.name(),
            "public_data": self.numbers,
        }))
    }
}

/// How many bits a number has that does not lead with a zero.
fn bits(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(first) => bytes.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0),
        None => 0,
    }
}

/// A number; one that is larger than numbers of JSON can be here is written out.
pub(super) fn number(bytes: &[u8]) -> Value {
    const LIMB: u64 = 1_000_000_000;
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let bytes = &bytes[start..];
    if bytes.len() <= 8 {
        return bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)).into();
    }
    let mut limbs: Vec<u64> = vec![0];
    for byte in bytes {
        let mut carry = u64::from(*byte);
        for limb in &mut limbs {
            let sum = *limb * 256 + carry;
            (*limb, carry) = (sum % LIMB, sum / LIMB);
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    let mut text = limbs.pop().unwrap_or(0).to_string();
    for limb in limbs.iter().rev() {
        text.push_str(&format!("{limb:09}"));
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    const ED25519: &str = "302a300506032b6570032100\
        19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
    const P256: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200\
        0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
        7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

    #[test]
    fn keys_are_told_apart() {
        let ed25519 = Public::parse(&key(ED25519)).unwrap();
        assert_eq!(ed25519.kind, Kind::Edwards("Ed25519"));
        assert!(ed25519.numbers.is_empty());
        let p256 = Public::parse(&key(P256)).unwrap();
        assert_eq!(p256.kind, Kind::Ecc("secp256r1"));
        assert_eq!(p256.numbers["exponent_size"], 256);
        assert_eq!(
            p256.numbers["x"],
            "43872280807156713839160376167191808430140484563252114113014272064716834774966"
        );
        let rsa = "301b300d06092a864886f70d0101010500030a003007020200c1020103";
        let rsa = Public::parse(&key(rsa)).unwrap();
        assert_eq!(rsa.kind, Kind::Rsa(8));
        assert_eq!(Value::from(rsa.numbers), json!({ "size": 8, "modulus": 193, "exponent": 3 }));
    }

    #[test]
    fn other_forms_of_keys_are_not_understood() {
        let other = [
            P256.replace("030107034200", "030106034200"),
            P256.replace("03420004", "03420006"),
            ED25519.replace("2b6570", "2b6572"),
            format!("{ED25519}00"),
            ED25519[..80].to_owned(),
        ];
        for hex in other {
            assert_eq!(Public::parse(&key(&hex)), None, "{hex}");
        }
        let whole = key(P256);
        assert!((0..whole.len()).all(|end| Public::parse(&whole[..end]).is_none()));
    }

    #[test]
    fn numbers_of_any_size_are_written_in_decimal() {
        assert_eq!(number(&[]), 0);
        assert_eq!(number(&[0, 1, 0]), 256);
        assert_eq!(number(&[0xff; 8]), u64::MAX);
        assert_eq!(number(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), "18446744073709551616");
        // 10^18, which ends a limb with nothing but zeros, times 256.
        let even = [0x0d, 0xe0, 0xb6, 0xb3, 0xa7, 0x64, 0, 0, 0];
        assert_eq!(number(&even), "256000000000000000000");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_key_or_none(at in 0_usize..91, byte in 0_u8..) {
            let mut bytes = key(P256);
            bytes[at] = byte;
            drop(Public::parse(&bytes));
        }
    }
}
