//! `openssl_csr`: a certificate signing request in a file.
//!
//! The request is written here (`request.rs`) and `openssl` signs it and checks signatures.
//! Constraints of names, identifiers of authorities, points where lists are found, passphrases and
//! values that are not plain are left to Ansible's module before anything changes.

use super::extension::{AltName, Attribute, Extension, Marked, Usage, bit, like};
use super::privatekey::private_key;
use super::public::Public;
use super::request::Request;
use super::signature::Algorithm;
use super::{Openssl, Target, pem, strange, unhex};
use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail};
use serde_json::{Map, Value, json};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let present = args.text("state") == "present";
    let key = args.str("privatekey_path").or(args.str("privatekey_content"));
    if present && key.is_none() {
        return Err(fail!(
            "state is present but any of the following are missing: privatekey_path, privatekey_content"
        ));
    }
    let target = Target::asked(args, None, ctx)?;
    let asked = Asked::from(args)?;
    let openssl = Openssl::find(ctx)?;
    let content = target.content()?;
    let mut backup = None;
    let (changed, before, after);
    if present {
        let found = Found::observe(content, &openssl)?;
        let mut made = None;
        if args.flag("force") || asked.differs(&found, args, &openssl)? {
            if !ctx.check {
                let new = asked.sign(args, &openssl)?;
                backup = target.backup()?;
                target.write(new.content())?;
                made = Some(new);
            }
            changed = true;
        } else {
            changed = false;
        }
        before = found.shown()?;
        after = made.unwrap_or(found);
    } else {
        backup = target.backup()?;
        changed = target.remove()?;
        (before, after) = (json!({}), Found::Nothing);
    }
    let changed = if present { target.ensure_attributes()? || changed } else { changed };
    let given = |name| args.raw(name).cloned().unwrap_or_default();
    let subject: Vec<_> =
        asked.subject.iter().map(|(name, _, value)| json!([name, value])).collect();
    let outcome = Outcome::changed(changed)
        .with("privatekey", given("privatekey_path"))
        .with("subject", subject)
        .with("subjectAltName", asked.alt_names.clone())
        .with("keyUsage", given("key_usage"))
        .with("extendedKeyUsage", given("extended_key_usage"))
        .with("basicConstraints", given("basic_constraints"))
        .with("ocspMustStaple", args.flag("ocsp_must_staple"))
        .with("name_constraints_permitted", json!([]))
        .with("name_constraints_excluded", json!([]))
        .with("filename", target.path)
        .with("diff", json!({ "before": before, "after": after.shown()? }))
        .with_some("backup_file", backup);
    if !args.flag("return_content") {
        return Ok(outcome);
    }
    let text = String::from_utf8(after.content().to_vec());
    let text = text.map_err(|_| strange("a request that is no text"))?;
    Ok(outcome.with("csr", if text.is_empty() { Value::Null } else { text.into() }))
}

/// A name as it was given, what it names, and its value.
type Part = (String, &'static Attribute, String);

/// What a task asks for.
struct Asked {
    subject: Vec<Part>,
    ordered: bool,
    /// As given, or made of the common name.
    alt_names: Value,
    /// All but the identifier of the key.
    extensions: Vec<Marked>,
    identifier: Identifier,
}

/// Which identifier of its key a request has.
#[derive(Clone, Debug, PartialEq)]
enum Identifier {
    Without,
    OfKey,
    Given(Vec<u8>),
}

impl Asked {
    fn from(args: &Args) -> Result<Self, Fault> {
        const BEYOND: &[&str] = &[
            "privatekey_passphrase",
            "authority_key_identifier",
            "authority_cert_issuer",
            "authority_cert_serial_number",
        ];
        const BEYOND_LISTS: &[&str] =
            &["name_constraints_permitted", "name_constraints_excluded", "crl_distribution_points"];
        let listed = |name: &&&str| args.raw(name).is_some_and(|list| *list != json!([]));
        let given = |name: &&&str| args.raw(name).is_some();
        let mut beyond = BEYOND.iter().filter(given).chain(BEYOND_LISTS.iter().filter(listed));
        if let Some(name) = beyond.next() {
            return Err(strange(name));
        }
        let identifier = match args.str("subject_key_identifier") {
            Some(_) if args.flag("create_subject_key_identifier") => {
                return Err(fail!(
                    "subject_key_identifier cannot be specified if create_subject_key_identifier is true"
                ));
            }
            Some(text) => {
                let bytes = unhex(&text.replace(':', ""));
                Identifier::Given(bytes.ok_or_else(|| strange("such an identifier of a key"))?)
            }
            None if args.flag("create_subject_key_identifier") => Identifier::OfKey,
            None => Identifier::Without,
        };
        let (subject, ordered) = subject(args)?;
        let alt_names = alt_names(args, &subject);
        let extensions = extensions(args, &alt_names)?;
        Ok(Self { subject, ordered, alt_names, extensions, identifier })
    }

    /// The request for this key.
    fn request(&self, key: &Public) -> Result<Request, Fault> {
        let subject = self.subject.iter().map(|(_, part, value)| (*part, value.clone())).collect();
        let mut extensions = self.extensions.clone();
        let identifier = match &self.identifier {
            Identifier::Without => None,
            Identifier::OfKey => Some(key.identifier()?),
            Identifier::Given(bytes) => Some(bytes.clone()),
        };
        extensions.extend(identifier.map(|bytes| (Extension::KeyIdentifier(bytes), false)));
        Ok(Request { subject, key: key.clone(), extensions })
    }

    /// Whether what is there is to be replaced.
    fn differs(&self, found: &Found, args: &Args, openssl: &Openssl<'_>) -> Result<bool, Fault> {
        let Found::Request { request, valid, .. } = found else { return Ok(true) };
        let (public, _) = private_key(args, "privatekey", openssl)?;
        Ok(!valid || !same(request, &self.request(&public)?, self.ordered))
    }

    fn sign(&self, args: &Args, openssl: &Openssl<'_>) -> Result<Found, Fault> {
        let (public, private) = private_key(args, "privatekey", openssl)?;
        let algorithm = Algorithm::of(public.kind, args.text("digest"))?;
        let request = self.request(&public)?;
        let whole = algorithm.sign(&request.render(), &private, openssl)?;
        let content = pem::render("CERTIFICATE REQUEST", &whole).into_bytes();
        Ok(Found::Request { content, request: Box::new(request), valid: true })
    }
}

/// The subject as it is given, and whether its order counts.
fn subject(args: &Args) -> Result<(Vec<Part>, bool), Fault> {
    const SINGLE: &[(&str, &str)] = &[
        ("C", "country_name"),
        ("ST", "state_or_province_name"),
        ("L", "locality_name"),
        ("O", "organization_name"),
        ("OU", "organizational_unit_name"),
        ("CN", "common_name"),
        ("emailAddress", "email_address"),
    ];
    let mut given: Vec<(&str, &str)> = Vec::new();
    let single = SINGLE.iter().map(|(name, arg)| (*name, args.text(arg)));
    given.extend(single.filter(|(_, value)| !value.is_empty()));
    if let Some(subject) = args.dict("subject") {
        spread(subject, &mut given)?;
    }
    let list = args.raw("subject_ordered").and_then(Value::as_array);
    let list = list.filter(|list| !list.is_empty());
    if let Some(list) = list {
        if !given.is_empty() {
            return Err(fail!("subject_ordered cannot be combined with any other subject field"));
        }
        for entry in list {
            let entry = entry.as_object().filter(|entry| entry.len() == 1);
            spread(entry.ok_or_else(|| strange("such a subject"))?, &mut given)?;
        }
    }
    let parts = given.into_iter().map(|(name, value)| {
        let part = Attribute::named(name).filter(|part| part.takes(value));
        Some((name.to_owned(), part?, value.to_owned()))
    });
    let parts: Option<Vec<_>> = parts.collect();
    Ok((parts.ok_or_else(|| strange("such a subject"))?, list.is_some()))
}

/// Names with their values, of which each may have several.
fn spread<'a>(
    names: &'a Map<String, Value>,
    all: &mut Vec<(&'a str, &'a str)>,
) -> Result<(), Fault> {
    for (name, value) in names {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            all.push((name, value.as_str().ok_or_else(|| strange("such a subject"))?));
        }
    }
    Ok(())
}

/// The other names of a subject: those that are given, else its common name.
fn alt_names(args: &Args, subject: &[Part]) -> Value {
    let given = args.raw("subject_alt_name").cloned().unwrap_or_default();
    let none = given.as_array().is_none_or(Vec::is_empty);
    if !none || !args.flag("use_common_name_for_san") {
        return given;
    }
    let common = subject.iter().find(|(name, ..)| matches!(name.as_str(), "commonName" | "CN"));
    common.map_or(given, |(_, _, value)| json!([format!("DNS:{value}")]))
}

fn extensions(args: &Args, alt_names: &Value) -> Result<Vec<Marked>, Fault> {
    let mut all = Vec::new();
    let mut add = |extension, critical| all.push((extension, args.flag(critical)));
    let names = alt_names.as_array().map(Vec::as_slice).unwrap_or_default();
    if !names.is_empty() {
        let names = names.iter().map(|name| AltName::parse(name.as_str()?)).collect();
        let names: Option<Vec<_>> = names;
        let names = names.ok_or_else(|| strange("such a subject_alt_name"))?;
        add(Extension::AltNames(names), "subject_alt_name_critical");
    }
    let usage = args.list("key_usage");
    if !usage.is_empty() {
        let bits = usage.iter().try_fold(0, |bits, name| Some(bits | bit(name)?));
        let bits = bits.ok_or_else(|| strange("such a key_usage"))?;
        add(Extension::KeyUsage(bits), "key_usage_critical");
    }
    let usages = args.list("extended_key_usage");
    if !usages.is_empty() {
        let usages: Option<Vec<_>> = usages.iter().map(|name| Usage::named(name)).collect();
        let usages = usages.ok_or_else(|| strange("such an extended_key_usage"))?;
        add(Extension::Usages(usages), "extended_key_usage_critical");
    }
    let constraints = args.list("basic_constraints");
    if !constraints.is_empty() {
        let basic = basic(&constraints).ok_or_else(|| strange("such basic_constraints"))?;
        add(basic, "basic_constraints_critical");
    }
    if args.flag("ocsp_must_staple") {
        add(Extension::Staple, "ocsp_must_staple_critical");
    }
    Ok(all)
}

fn basic(constraints: &[String]) -> Option<Extension> {
    let (mut authority, mut below) = (false, None);
    for constraint in constraints {
        match constraint.as_str() {
            "CA:TRUE" => authority = true,
            "CA:FALSE" => authority = false,
            // What int() takes beside digits is not known here.
            other => {
                let digits = other.strip_prefix("pathlen:")?;
                below =
                    Some(digits.parse().ok().filter(|below: &u32| below.to_string() == digits)?);
            }
        }
    }
    // Only an authority has something below it.
    (authority || below.is_none()).then_some(Extension::Basic(authority, below))
}

/// Whether a request is what is asked for. The order of names and usages does not count, nor that
/// of a subject that is not `ordered`, nor how often one of them is named.
fn same(found: &Request, asked: &Request, ordered: bool) -> bool {
    fn set<T: PartialEq>(one: &[T], other: &[T]) -> bool {
        one.iter().all(|item| other.contains(item)) && other.iter().all(|item| one.contains(item))
    }
    let extension = |(asked, critical): &Marked| {
        like(&found.extensions, asked).is_some_and(|(there, there_critical)| {
            critical == there_critical
                && match (there, asked) {
                    (Extension::AltNames(one), Extension::AltNames(other)) => set(one, other),
                    (Extension::Usages(one), Extension::Usages(other)) => set(one, other),
                    (one, other) => one == other,
                }
        })
    };
    let subject = match ordered {
        true => found.subject == asked.subject,
        false => set(&found.subject, &asked.subject),
    };
    subject
        && found.key == asked.key
        && found.extensions.len() == asked.extensions.len()
        && asked.extensions.iter().all(extension)
}

/// What lies where the request is to be.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Nothing,
    /// A file that is no request.
    Unreadable(Vec<u8>),
    Request {
        content: Vec<u8>,
        request: Box<Request>,
        valid: bool,
    },
}

impl Found {
    pub(super) fn observe(content: Option<Vec<u8>>, openssl: &Openssl<'_>) -> Result<Self, Fault> {
        let Some(content) = content else { return Ok(Self::Nothing) };
        if !pem::is_in(&content) {
            return Ok(Self::Unreadable(content));
        }
        let unclear = || strange("what is in the place of the request");
        if pem::sole(&content).is_none_or(|(label, _)| label != "CERTIFICATE REQUEST") {
            return Err(unclear());
        }
        let ran = openssl.run(&["req", "-verify", "-outform", "DER"], &content)?;
        let valid = match ran.err() {
            said if said.contains("verify OK") => true,
            said if said.contains("verify failure") => false,
            _ => return Err(unclear()),
        };
        let request = Request::parse(&ran.stdout).ok_or_else(unclear)?;
        Ok(Self::Request { content, request: Box::new(request), valid })
    }

    fn content(&self) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::Unreadable(content) | Self::Request { content, .. } => content,
        }
    }

    /// As a diff shows it.
    fn shown(&self) -> Result<Value, Fault> {
        match self {
            Self::Nothing => Ok(json!({})),
            Self::Unreadable(_) => Ok(json!({ "can_parse_csr": false })),
            Self::Request { request, valid, .. } => request.shown(*valid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_read_as_far_as_they_are_plain() {
        for (given, read) in [
            (&["CA:TRUE"][..], Some((true, None))),
            (&["CA:TRUE", "pathlen:0"], Some((true, Some(0)))),
            (&["CA:FALSE"], Some((false, None))),
            (&["CA:TRUE", "CA:FALSE"], Some((false, None))),
            (&["pathlen:1"], None),
            (&["CA:TRUE", "pathlen: 1"], None),
            (&["CA:TRUE", "pathlen:01"], None),
            (&["CA:true"], None),
        ] {
            let given: Vec<_> = given.iter().map(|text| (*text).to_owned()).collect();
            let read = read.map(|(authority, below)| Extension::Basic(authority, below));
            assert_eq!(basic(&given), read, "{given:?}");
        }
    }
}
