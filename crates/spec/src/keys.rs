//! Modules of keys and of what is signed with them.

use crate::{Arg, Kind, Preset, arg};

pub(crate) const OPENSSL_PRIVATEKEY_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
    arg("size", Kind::Int).default(Preset::Int(4096)),
    arg("type", Kind::Str)
        .choices(&["DSA", "ECC", "Ed25519", "Ed448", "RSA", "X25519", "X448"])
        .default(Preset::Str("RSA")),
    arg("curve", Kind::Str).choices(&[
        "secp224r1",
        "secp256k1",
        "secp256r1",
        "secp384r1",
        "secp521r1",
        "secp192r1",
        "brainpoolP256r1",
        "brainpoolP384r1",
        "brainpoolP512r1",
        "sect163k1",
        "sect163r2",
        "sect233k1",
        "sect233r1",
        "sect283k1",
        "sect283r1",
        "sect409k1",
        "sect409r1",
        "sect571k1",
        "sect571r1",
    ]),
    arg("passphrase", Kind::Str).secret(),
    arg("cipher", Kind::Str).default(Preset::Str("auto")),
    arg("format", Kind::Str)
        .choices(&["pkcs1", "pkcs8", "raw", "auto", "auto_ignore"])
        .default(Preset::Str("auto_ignore")),
    arg("format_mismatch", Kind::Str)
        .choices(&["regenerate", "convert"])
        .default(Preset::Str("regenerate")),
    arg("select_crypto_backend", Kind::Str)
        .choices(&["auto", "cryptography"])
        .default(Preset::Str("auto")),
    arg("regenerate", Kind::Str)
        .choices(&["never", "fail", "partial_idempotence", "full_idempotence", "always"])
        .default(Preset::Str("full_idempotence")),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("path", Kind::Path).required(),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("return_content", Kind::Bool).default(Preset::Bool(false)),
];
