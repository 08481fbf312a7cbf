//! `openssl_privatekey`: a private key in a file of its own.
//!
//! Whether a key is replaced is decided before anything is made, by [`decide`] alone, from a file
//! that is either understood for certain or certain to be no key; anything else is left to
//! Ansible's module, and so are passphrases and raw keys. Never here: what is in a public key
//! (`public.rs`).

use super::public::{Kind, Public, is_known};
use super::{Openssl, Target, pem, strange};
use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let target = Target::asked(args, Some("0600"), ctx)?;
    let kind = args.text("type");
    let told = |changed: bool| {
        let outcome = Outcome::changed(changed)
            .with("type", kind)
            .with("size", args.int("size").unwrap_or_default())
            .with("filename", target.path);
        if kind == "ECC" { outcome.with("curve", args.text("curve")) } else { outcome }
    };
    if args.text("state") == "absent" {
        target.content()?;
        let backup = target.backup()?;
        let outcome = told(target.remove()?)
            .with("fingerprint", Value::Null)
            .with("diff", json!({ "before": {}, "after": {} }))
            .with_some("backup_file", backup);
        let returns = args.flag("return_content");
        return Ok(if returns { outcome.with("privatekey", Value::Null) } else { outcome });
    }
    let asked = Asked::from(args)?;
    let openssl = Openssl::find(ctx)?;
    let before = Found::observe(target.content()?, &openssl)?;
    let decision = decide(&asked, &before)?;
    asked.can_be_made(decision)?;
    let mut backup = None;
    let mut after = None;
    if decision != Decision::Keep && !ctx.check {
        backup = target.backup()?;
        let new = match &before {
            Found::Key { content, .. } if decision == Decision::Convert => content.clone(),
            _ => asked.generate(&openssl)?,
        };
        let new = openssl.makes(asked.form().words(), &new)?;
        let key = Found::key(new, asked.form(), &["pkey", "-pubout", "-outform", "DER"], &openssl)?;
        target.write(key.content())?;
        after = Some(key);
    }
    let changed = target.ensure_attributes()? || decision != Decision::Keep;
    let after = after.as_ref().unwrap_or(&before);
    let fingerprint = match after {
        Found::Key { public, .. } => openssl.fingerprints(&public.der)?,
        _ => Value::Null,
    };
    let mut outcome = told(changed)
        .with("fingerprint", fingerprint)
        .with("diff", json!({ "before": before.shown()?, "after": after.shown()? }))
        .with_some("backup_file", backup);
    if args.flag("return_content") {
        outcome = outcome.with("privatekey", after.returned());
    }
    if decision == Decision::Generate && !ctx.check && asked.is_deprecated() {
        let curve = args.text("curve");
        let warning = format!("Elliptic curves of type {curve} should not be used for new keys!");
        outcome = outcome.with("warnings", vec![warning]);
    }
    Ok(outcome)
}

/// In which form a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Pkcs1,
    Pkcs8,
}

impl Form {
    /// What openssl writes a key in this form with.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Pkcs1 => &["pkey", "-traditional"],
            Self::Pkcs8 => &["pkey"],
        }
    }
}

/// What a task asks for.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    kind: &'a str,
    size: i64,
    curve: &'a str,
    format: &'a str,
    converts: bool,
    regenerate: &'a str,
}

/// What becomes of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Keep,
    Generate,
    Convert,
}

impl<'a> Asked<'a> {
    fn from(args: &'a Args) -> Result<Self, Fault> {
        if args.str("passphrase").is_some() {
            return Err(strange("a passphrase"));
        }
        if args.text("format") == "raw" {
            return Err(strange("a raw key"));
        }
        let (kind, curve) = (args.text("type"), args.text("curve"));
        if kind == "ECC" && !is_known(curve) {
            return Err(strange("a curve that is not always known"));
        }
        Ok(Self {
            kind,
            size: args.int("size").unwrap_or_default(),
            curve,
            format: args.text("format"),
            converts: args.text("format_mismatch") == "convert",
            regenerate: if args.flag("force") { "always" } else { args.text("regenerate") },
        })
    }

    fn form(&self) -> Form {
        match self.format {
            "pkcs1" => Form::Pkcs1,
            "pkcs8" => Form::Pkcs8,
            _ if matches!(self.kind, "RSA" | "DSA" | "ECC") => Form::Pkcs1,
            _ => Form::Pkcs8,
        }
    }

    fn fits(&self, public: &Public) -> bool {
        let size = usize::try_from(self.size).ok();
        match public.kind {
            Kind::Rsa(found) => self.kind == "RSA" && size == Some(found),
            Kind::Dsa(found) => self.kind == "DSA" && size == Some(found),
            Kind::Ecc(found) => self.kind == "ECC" && self.curve == found,
            Kind::Edwards(name) => self.kind == name,
        }
    }

    /// Refuses or hands on what a new key cannot be.
    fn can_be_made(&self, decision: Decision) -> Result<(), Fault> {
        if decision != Decision::Generate {
            return Ok(());
        }
        match self.kind {
            "RSA" if !(1024..=16384).contains(&self.size) => Err(strange("such a size of a key")),
            "DSA" if ![1024, 2048, 3072].contains(&self.size) => {
                Err(strange("such a size of a key"))
            }
            "X25519" | "X448" | "Ed25519" | "Ed448" if self.form() == Form::Pkcs1 => {
                Err(strange("such a form of a key"))
            }
            _ => Ok(()),
        }
    }

    /// Whether new keys should not be like this.
    fn is_deprecated(&self) -> bool {
        self.kind == "ECC" && (self.curve == "secp192r1" || self.curve.starts_with("brainpool"))
    }

    /// A new key, in openssl's own form.
    fn generate(&self, openssl: &Openssl<'_>) -> Result<Vec<u8>, Fault> {
        let size = self.size;
        let option;
        match self.kind {
            "RSA" => {
                option = format!("rsa_keygen_bits:{size}");
                openssl.makes(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &option], &[])
            }
            "ECC" => {
                let curve = match self.curve {
                    "secp256r1" => "prime256v1",
                    "secp192r1" => "prime192v1",
                    other => other,
                };
                option = format!("ec_paramgen_curve:{curve}");
                let words = ["genpkey", "-algorithm", "EC", "-pkeyopt", &option];
                let named = ["-pkeyopt", "ec_param_enc:named_curve"];
                openssl.makes(&[&words[..], &named].concat(), &[])
            }
            "DSA" => {
                option = format!("dsa_paramgen_bits:{size}");
                let small = if size < 2048 { "160" } else { "256" };
                let small = format!("dsa_paramgen_q_bits:{small}");
                let words = ["genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", &option];
                let params = openssl.makes(&[&words[..], &["-pkeyopt", &small]].concat(), &[])?;
                openssl.makes(&["genpkey", "-paramfile", "/dev/stdin"], &params)
            }
            kind => openssl.makes(&["genpkey", "-algorithm", kind], &[]),
        }
    }
}

/// What lies where the key is to be.
#[derive(Clone, Debug, PartialEq)]
enum Found {
    Nothing,
    /// A file that is no key, or one that nobody reads without a passphrase.
    Unreadable(Vec<u8>),
    Key {
        content: Vec<u8>,
        form: Form,
        public: Box<Public>,
    },
}

impl Found {
    fn observe(content: Option<Vec<u8>>, openssl: &Openssl<'_>) -> Result<Self, Fault> {
        const VALID: &[u8] = b"Key is valid\n";
        let Some(content) = content else { return Ok(Self::Nothing) };
        let form = match Looks::of(&content) {
            Looks::Key(form) => form,
            Looks::Unreadable => return Ok(Self::Unreadable(content)),
            Looks::Unclear => return Err(strange("what is in the place of the key")),
        };
        let words = ["pkey", "-check", "-pubout", "-outform", "DER"];
        let told = openssl.reads(&words, &content)?.unwrap_or_default();
        let public = told.strip_prefix(VALID).and_then(Public::parse).map(Box::new);
        let public = public.ok_or_else(|| strange("the key that is there"))?;
        Ok(Self::Key { content, form, public })
    }

    /// A key that was just made.
    fn key(
        content: Vec<u8>,
        form: Form,
        words: &[&str],
        openssl: &Openssl<'_>,
    ) -> Result<Self, Fault> {
        let told = openssl.makes(words, &content)?;
        let public = Public::parse(&told).map(Box::new);
        let public = public.ok_or_else(|| fail!("openssl made a key that is not understood"))?;
        Ok(Self::Key { content, form, public })
    }

    fn content(&self) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::Unreadable(content) | Self::Key { content, .. } => content,
        }
    }

    /// As a diff shows it.
    fn shown(&self) -> Result<Value, Fault> {
        match self {
            Self::Nothing => Ok(json!({})),
            Self::Unreadable(_) => Ok(json!({ "can_parse_key": false, "key_is_consistent": null })),
            Self::Key { public, .. } => public.shown(),
        }
    }

    /// As it is returned where the content is asked for.
    fn returned(&self) -> Value {
        match std::str::from_utf8(self.content()) {
            Ok("") => Value::Null,
            Ok(text) if pem::is_in(text.as_bytes()) => text.into(),
            _ => STANDARD.encode(self.content()).into(),
        }
    }
}

/// A key that a task names by its path or gives the content of, and its public one.
pub(super) fn private_key(
    args: &Args,
    name: &str,
    openssl: &Openssl<'_>,
) -> Result<(Public, Vec<u8>), Fault> {
    let path = args.str(&format!("{name}_path"));
    let content = match (path, args.str(&format!("{name}_content"))) {
        (Some(path), _) => fs::read(path).map_err(|_| strange("a private key that is not read"))?,
        (None, content) => content.unwrap_or_default().into(),
    };
    match Found::observe(Some(content), openssl)? {
        Found::Key { content, public, .. } => Ok((*public, content)),
        _ => Err(strange("the private key")),
    }
}

/// What a file looks like before openssl reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Key(Form),
    Unreadable,
    Unclear,
}

impl Looks {
    fn of(content: &[u8]) -> Self {
        if !pem::is_in(content) {
            // Raw keys are known by their length alone.
            let raw = [32, 56, 57].contains(&content.len());
            return if raw { Self::Unclear } else { Self::Unreadable };
        }
        Self::of_text(content).unwrap_or(Self::Unclear)
    }

    /// The same of a file that holds one PEM object and nothing else.
    fn of_text(content: &[u8]) -> Option<Self> {
        let (label, body) = pem::sole(content)?;
        let inside = body.iter().any(|line| line.is_empty());
        let sealed = body.first() == Some(&"Proc-Type: 4,ENCRYPTED");
        Some(match label {
            "ENCRYPTED PRIVATE KEY" if !inside => Self::Unreadable,
            "RSA PRIVATE KEY" | "DSA PRIVATE KEY" | "EC PRIVATE KEY" if sealed => Self::Unreadable,
            _ if inside => return None,
            "RSA PRIVATE KEY" | "DSA PRIVATE KEY" | "EC PRIVATE KEY" => Self::Key(Form::Pkcs1),
            "PRIVATE KEY" => Self::Key(Form::Pkcs8),
            _ => return None,
        })
    }
}

/// What to do about what is there.
fn decide(asked: &Asked<'_>, found: &Found) -> Result<Decision, Fault> {
    let regenerate = asked.regenerate;
    if regenerate == "always" {
        return Ok(Decision::Generate);
    }
    let (form, public) = match found {
        Found::Nothing => return Ok(Decision::Generate),
        Found::Unreadable(_) if regenerate == "full_idempotence" => return Ok(Decision::Generate),
        Found::Unreadable(_) => {
            return Err(fail!(
                "Unable to read the key. The key is protected with a another passphrase / no passphrase or broken. Will not proceed. To force regeneration, call the module with `generate` set to `full_idempotence` or `always`, or with `force=true`."
            ));
        }
        Found::Key { form, public, .. } => (*form, public),
    };
    let replaces = matches!(regenerate, "partial_idempotence" | "full_idempotence");
    if regenerate != "never" && !asked.fits(public) {
        if replaces {
            return Ok(Decision::Generate);
        }
        return Err(fail!(
            "Key has wrong type and/or size. Will not proceed. To force regeneration, call the module with `generate` set to `partial_idempotence`, `full_idempotence` or `always`, or with `force=true`."
        ));
    }
    if asked.format == "auto_ignore" || form == asked.form() {
        return Ok(Decision::Keep);
    }
    if asked.converts {
        let edwards = matches!(public.kind, Kind::Edwards(_));
        return match edwards && asked.form() == Form::Pkcs1 {
            true => Err(strange("such a form of a key")),
            false => Ok(Decision::Convert),
        };
    }
    match regenerate {
        "never" => Ok(Decision::Keep),
        _ if replaces => Ok(Decision::Generate),
        _ => Err(fail!(
            "Key has wrong format. Will not proceed. To force regeneration, call the module with `generate` set to `partial_idempotence`, `full_idempotence` or `always`, or with `force=true`. To convert the key, set `format_mismatch` to `convert`."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X25519: &[u8] = &[
        0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 3, 0x21, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
        12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
    ];

    fn key() -> Found {
        let public = Box::new(Public::parse(X25519).unwrap());
        Found::Key { content: b"key".to_vec(), form: Form::Pkcs8, public }
    }

    fn asked<'a>(kind: &'a str, regenerate: &'a str) -> Asked<'a> {
        Asked { kind, size: 4096, curve: "", format: "auto_ignore", converts: false, regenerate }
    }

    #[test]
    fn what_becomes_of_a_key_is_as_ansible_has_it() {
        use Decision::{Generate, Keep};
        let broken = Found::Unreadable(b"broken".to_vec());
        for (regenerate, same, other, unreadable) in [
            ("never", Some(Keep), Some(Keep), None),
            ("fail", Some(Keep), None, None),
            ("partial_idempotence", Some(Keep), Some(Generate), None),
            ("full_idempotence", Some(Keep), Some(Generate), Some(Generate)),
            ("always", Some(Generate), Some(Generate), Some(Generate)),
        ] {
            let decided = |kind, found: &Found| decide(&asked(kind, regenerate), found).ok();
            assert_eq!(decided("X25519", &key()), same, "{regenerate}");
            assert_eq!(decided("Ed25519", &key()), other, "{regenerate}");
            assert_eq!(decided("RSA", &key()), other, "{regenerate}");
            assert_eq!(decided("X25519", &broken), unreadable, "{regenerate}");
            assert_eq!(decided("X25519", &Found::Nothing), Some(Generate), "{regenerate}");
        }
    }

    #[test]
    fn another_form_of_a_key_counts_when_it_is_asked_for() {
        use Decision::{Generate, Keep};
        let of = |regenerate, format, kind| Asked { format, ..asked(kind, regenerate) };
        for (regenerate, decision) in [
            ("never", Some(Keep)),
            ("fail", None),
            ("partial_idempotence", Some(Generate)),
            ("full_idempotence", Some(Generate)),
        ] {
            let pkcs1 = of(regenerate, "pkcs1", "X25519");
            assert_eq!(decide(&pkcs1, &key()).ok(), decision, "{regenerate}");
            let pkcs8 = of(regenerate, "auto", "X25519");
            assert_eq!(decide(&pkcs8, &key()).ok(), Some(Keep), "{regenerate}");
        }
        let rsa = Public::parse(&[
            0x30, 0x1a, 0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0, 3, 9, 0,
            0x30, 6, 2, 1, 0x41, 2, 1, 3,
        ]);
        let rsa =
            Found::Key { content: Vec::new(), form: Form::Pkcs8, public: Box::new(rsa.unwrap()) };
        let converts = Asked { converts: true, ..of("never", "auto", "RSA") };
        assert_eq!(decide(&converts, &rsa).ok(), Some(Decision::Convert));
        let handed = decide(&converts, &key()).unwrap_err();
        assert_eq!(handed.fields[updraft_wire::BEYOND], true);
    }

    #[test]
    fn files_are_keys_or_certainly_none_or_unclear() {
        let pem = |label: &str, body: &str| {
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
        };
        for (text, looks) in [
            (String::new(), Looks::Unreadable),
            ("no key\n".to_owned(), Looks::Unreadable),
            ("x".repeat(32), Looks::Unclear),
            ("x".repeat(57), Looks::Unclear),
            (pem("RSA PRIVATE KEY", "AAAA"), Looks::Key(Form::Pkcs1)),
            (pem("EC PRIVATE KEY", "AAAA"), Looks::Key(Form::Pkcs1)),
            (pem("PRIVATE KEY", "AAAA"), Looks::Key(Form::Pkcs8)),
            (pem("ENCRYPTED PRIVATE KEY", "AAAA"), Looks::Unreadable),
            (
                pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: X\n\nAAAA"),
                Looks::Unreadable,
            ),
            (pem("OPENSSH PRIVATE KEY", "AAAA"), Looks::Unclear),
            (pem("CERTIFICATE", "AAAA"), Looks::Unclear),
            (pem("PRIVATE KEY", "AAAA").repeat(2), Looks::Unclear),
            (format!("text\n{}", pem("PRIVATE KEY", "AAAA")), Looks::Unclear),
            (pem("PRIVATE KEY", "AAAA").replace("END PRIV", "END RSA PRIV"), Looks::Unclear),
            (pem("PRIVATE KEY", "AAAA").replace('\n', "\r\n"), Looks::Unclear),
            ("-----BEGIN PRIVATE KEY-----".to_owned(), Looks::Unclear),
        ] {
            assert_eq!(Looks::of(text.as_bytes()), looks, "{text}");
        }
        assert_eq!(Looks::of(b"\xff-----BEGIN PRIVATE KEY-----\n"), Looks::Unclear);
    }

    #[test]
    fn new_keys_have_sizes_that_are_made_everywhere() {
        for (kind, size, made) in [
            ("RSA", 1023, false),
            ("RSA", 2048, true),
            ("RSA", 16385, false),
            ("DSA", 1024, true),
            ("DSA", 1536, false),
            ("Ed25519", 1, true),
        ] {
            let asked = Asked { size, ..asked(kind, "always") };
            assert_eq!(asked.can_be_made(Decision::Generate).is_ok(), made, "{kind} {size}");
            assert!(asked.can_be_made(Decision::Keep).is_ok());
        }
    }
}
