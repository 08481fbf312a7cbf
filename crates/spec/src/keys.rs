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

pub(crate) const OPENSSL_CSR_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("digest", Kind::Str).default(Preset::Str("sha256")),
    arg("privatekey_path", Kind::Path),
    arg("privatekey_content", Kind::Str).secret(),
    arg("privatekey_passphrase", Kind::Str).secret(),
    arg("version", Kind::Int).choices(&["1"]).default(Preset::Int(1)),
    arg("subject", Kind::Dict),
    arg("subject_ordered", Kind::List).of(Kind::Dict),
    arg("country_name", Kind::Str).aka(&["C", "countryName"]),
    arg("state_or_province_name", Kind::Str).aka(&["ST", "stateOrProvinceName"]),
    arg("locality_name", Kind::Str).aka(&["L", "localityName"]),
    arg("organization_name", Kind::Str).aka(&["O", "organizationName"]),
    arg("organizational_unit_name", Kind::Str).aka(&["OU", "organizationalUnitName"]),
    arg("common_name", Kind::Str).aka(&["CN", "commonName"]),
    arg("email_address", Kind::Str).aka(&["E", "emailAddress"]),
    arg("subject_alt_name", Kind::List).aka(&["subjectAltName"]),
    arg("subject_alt_name_critical", Kind::Bool)
        .aka(&["subjectAltName_critical"])
        .default(Preset::Bool(false)),
    arg("use_common_name_for_san", Kind::Bool)
        .aka(&["useCommonNameForSAN"])
        .default(Preset::Bool(true)),
    arg("key_usage", Kind::List).aka(&["keyUsage"]),
    arg("key_usage_critical", Kind::Bool).aka(&["keyUsage_critical"]).default(Preset::Bool(false)),
    arg("extended_key_usage", Kind::List).aka(&["extKeyUsage", "extendedKeyUsage"]),
    arg("extended_key_usage_critical", Kind::Bool)
        .aka(&["extKeyUsage_critical", "extendedKeyUsage_critical"])
        .default(Preset::Bool(false)),
    arg("basic_constraints", Kind::List).aka(&["basicConstraints"]),
    arg("basic_constraints_critical", Kind::Bool)
        .aka(&["basicConstraints_critical"])
        .default(Preset::Bool(false)),
    arg("ocsp_must_staple", Kind::Bool).aka(&["ocspMustStaple"]).default(Preset::Bool(false)),
    arg("ocsp_must_staple_critical", Kind::Bool)
        .aka(&["ocspMustStaple_critical"])
        .default(Preset::Bool(false)),
    arg("name_constraints_permitted", Kind::List),
    arg("name_constraints_excluded", Kind::List),
    arg("name_constraints_critical", Kind::Bool).default(Preset::Bool(false)),
    arg("create_subject_key_identifier", Kind::Bool).default(Preset::Bool(false)),
    arg("subject_key_identifier", Kind::Str),
    arg("authority_key_identifier", Kind::Str),
    arg("authority_cert_issuer", Kind::List),
    arg("authority_cert_serial_number", Kind::Int),
    arg("crl_distribution_points", Kind::List).of(Kind::Dict),
    arg("select_crypto_backend", Kind::Str)
        .choices(&["auto", "cryptography"])
        .default(Preset::Str("auto")),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("path", Kind::Path).required(),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("return_content", Kind::Bool).default(Preset::Bool(false)),
];

const IDENTIFIERS: &[&str] = &["create_if_not_provided", "always_create", "never_create"];

pub(crate) const X509_CERTIFICATE_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
    arg("path", Kind::Path).required(),
    arg("provider", Kind::Str).choices(&["acme", "ownca", "selfsigned"]),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("csr_path", Kind::Path),
    arg("csr_content", Kind::Str),
    arg("ignore_timestamps", Kind::Bool).default(Preset::Bool(true)),
    arg("select_crypto_backend", Kind::Str)
        .choices(&["auto", "cryptography"])
        .default(Preset::Str("auto")),
    arg("privatekey_path", Kind::Path),
    arg("privatekey_content", Kind::Str).secret(),
    arg("privatekey_passphrase", Kind::Str).secret(),
    arg("acme_accountkey_path", Kind::Path),
    arg("acme_challenge_path", Kind::Path),
    arg("acme_chain", Kind::Bool).default(Preset::Bool(false)),
    arg("acme_directory", Kind::Str)
        .default(Preset::Str("https://acme-v02.api.letsencrypt.org/directory")),
    arg("ownca_path", Kind::Path),
    arg("ownca_content", Kind::Str),
    arg("ownca_privatekey_path", Kind::Path),
    arg("ownca_privatekey_content", Kind::Str).secret(),
    arg("ownca_privatekey_passphrase", Kind::Str).secret(),
    arg("ownca_digest", Kind::Str).default(Preset::Str("sha256")),
    arg("ownca_version", Kind::Int).choices(&["3"]).default(Preset::Int(3)),
    arg("ownca_not_before", Kind::Str).default(Preset::Str("+0s")),
    arg("ownca_not_after", Kind::Str).default(Preset::Str("+3650d")),
    arg("ownca_create_subject_key_identifier", Kind::Str)
        .choices(IDENTIFIERS)
        .default(Preset::Str("create_if_not_provided")),
    arg("ownca_create_authority_key_identifier", Kind::Bool).default(Preset::Bool(true)),
    arg("selfsigned_version", Kind::Int).choices(&["3"]).default(Preset::Int(3)),
    arg("selfsigned_digest", Kind::Str).default(Preset::Str("sha256")),
    arg("selfsigned_not_before", Kind::Str)
        .aka(&["selfsigned_notBefore"])
        .default(Preset::Str("+0s")),
    arg("selfsigned_not_after", Kind::Str)
        .aka(&["selfsigned_notAfter"])
        .default(Preset::Str("+3650d")),
    arg("selfsigned_create_subject_key_identifier", Kind::Str)
        .choices(IDENTIFIERS)
        .default(Preset::Str("create_if_not_provided")),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("return_content", Kind::Bool).default(Preset::Bool(false)),
];
