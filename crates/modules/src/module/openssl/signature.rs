//! How a key signs, and what became of it.

use super::der::{self, BIT_STRING, Reader, SEQUENCE};
use super::public::{Kind, Public};
use super::{Fault, Openssl, pem, strange};
use crate::outcome::OrFail;
use crate::place::Scratch;

/// One way to sign.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Algorithm {
    /// As it is shown.
    pub(super) name: &'static str,
    /// What a certificate has for it, in DER.
    pub(super) der: &'static [u8],
    /// The type of its keys.
    kind: &'static str,
    /// What is summed up by, if the key does not tell.
    digest: Option<&'static str>,
}

const fn rsa(name: &'static str, der: &'static [u8], digest: &'static str) -> Algorithm {
    Algorithm { name, der, kind: "RSA", digest: Some(digest) }
}

const fn ecdsa(name: &'static str, der: &'static [u8], digest: &'static str) -> Algorithm {
    Algorithm { name, der, kind: "ECC", digest: Some(digest) }
}

const RSA_256: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0];
const RSA_384: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12, 5, 0];
const RSA_512: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13, 5, 0];

const ALGORITHMS: &[Algorithm] = &[
    rsa("sha256WithRSAEncryption", RSA_256, "sha256"),
    rsa("sha384WithRSAEncryption", RSA_384, "sha384"),
    rsa("sha512WithRSAEncryption", RSA_512, "sha512"),
    ecdsa("ecdsa-with-SHA256", &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], "sha256"),
    ecdsa("ecdsa-with-SHA384", &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], "sha384"),
    ecdsa("ecdsa-with-SHA512", &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4], "sha512"),
    Algorithm {
        name: "ED25519",
        der: &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70],
        kind: "Ed25519",
        digest: None,
    },
    Algorithm {
        name: "ED448",
        der: &[0x30, 5, 6, 3, 0x2b, 0x65, 0x71],
        kind: "Ed448",
        digest: None,
    },
];

impl Algorithm {
    /// How a key of this type signs; the digest does not matter to all of them.
    pub(super) fn of(kind: Kind, digest: &str) -> Result<&'static Self, Fault> {
        let fits = |known: &&Self| {
            known.kind == kind.name() && known.digest.is_none_or(|known| known == digest)
        };
        ALGORITHMS.iter().find(fits).ok_or_else(|| strange("such a key or digest"))
    }

    /// The one that is written so.
    pub(super) fn read(content: &[u8]) -> Option<&'static Self> {
        ALGORITHMS.iter().find(|known| known.der[2..] == *content)
    }

    fn words(&self) -> Vec<&'static str> {
        self.digest.map_or_else(Vec::new, |digest| vec!["-digest", digest])
    }

    /// What is signed, how, and the signature, as one value.
    pub(super) fn sign(
        &self,
        signed: &[u8],
        private: &[u8],
        openssl: &Openssl<'_>,
    ) -> Result<Vec<u8>, Fault> {
        let file = Scratch::holding(&openssl.ctx.staging, "", signed)
            .or_fail("cannot write what is to be signed")?;
        let file = file.path().display().to_string();
        let words = ["pkeyutl", "-sign", "-inkey", "/dev/stdin", "-rawin", "-in", &file];
        let signature = openssl.makes(&[&words[..], &self.words()].concat(), private)?;
        let signature = der::value(BIT_STRING, &[&[0], &signature]);
        Ok(der::value(SEQUENCE, &[signed, self.der, &signature]))
    }

    /// Whether this key has signed `signed` in a value as [`Algorithm::sign`] makes it.
    pub(super) fn verify(
        &self,
        signed: &[u8],
        whole: &[u8],
        key: &Public,
        openssl: &Openssl<'_>,
    ) -> Result<bool, Fault> {
        let unclear = || strange("such a signature");
        if self.kind != key.kind.name() {
            // What is asked of other keys needs a digest; without one they answer with an error.
            let asked = Self::of(key.kind, "sha256")?;
            return if asked.digest.is_none_or(|_| self.digest.is_some()) {
                Ok(false)
            } else {
                Err(unclear())
            };
        }
        let rest = Reader::new(whole).sequence().map(|whole| whole.rest());
        let rest = rest.and_then(|rest| rest.strip_prefix(signed)?.strip_prefix(self.der));
        let signature = rest.and_then(|rest| Reader::new(rest).bits()).ok_or_else(unclear)?;
        let dir = &openssl.ctx.staging;
        let what = "cannot write what is signed";
        let signed = Scratch::holding(dir, "", signed).or_fail(what)?;
        let signature = Scratch::holding(dir, "", signature).or_fail(what)?;
        let (signed, signature) =
            (signed.path().display().to_string(), signature.path().display().to_string());
        let words = ["pkeyutl", "-verify", "-pubin", "-inkey", "/dev/stdin", "-rawin", "-in"];
        let words = [&words[..], &[&signed, "-sigfile", &signature], &self.words()].concat();
        let key = pem::render("PUBLIC KEY", &key.der);
        match openssl.run(&words, key.as_bytes())? {
            ran if ran.out().contains("Signature Verified Successfully") => Ok(true),
            ran if ran.out().contains("Signature Verification Failure") => Ok(false),
            _ => Err(unclear()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_signs_in_its_way() {
        for (kind, digest, name) in [
            (Kind::Rsa(2048), "sha256", Some("sha256WithRSAEncryption")),
            (Kind::Rsa(2048), "sha512", Some("sha512WithRSAEncryption")),
            (Kind::Ecc("secp256r1"), "sha384", Some("ecdsa-with-SHA384")),
            (Kind::Edwards("Ed25519"), "sha1", Some("ED25519")),
            (Kind::Rsa(2048), "sha1", None),
            (Kind::Edwards("X25519"), "sha256", None),
            (Kind::Dsa(1024), "sha256", None),
        ] {
            let told = Algorithm::of(kind, digest).ok();
            assert_eq!(told.map(|told| told.name), name, "{kind:?} {digest}");
        }
        for known in ALGORITHMS {
            let content = Reader::new(known.der).sequence().unwrap().rest();
            assert_eq!(Algorithm::read(content), Some(known));
        }
        assert_eq!(Algorithm::read(&[]), None);
    }
}
