//! `x509_certificate`: a certificate that its own key or that of an authority has signed.
//!
//! What there is to compare is compared as Ansible's module does, with the request and the key that
//! the task names. Other providers, passphrases, moments that are not plain, and requests and
//! certificates that are not understood are left to Ansible's module before anything changes.

use super::certificate::{Certificate, moment, stamp};
use super::csr::Found as FoundRequest;
use super::extension::{Extension, Marked, authority, key_identifier, like};
use super::privatekey::private_key;
use super::public::{Public, number};
use super::request::Request;
use super::signature::Algorithm;
use super::{Openssl, Target, pem, strange};
use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let given = |name| args.raw(name).cloned().unwrap_or_default();
    let told = |changed: bool| {
        Outcome::changed(changed)
            .with("filename", args.text("path"))
            .with("privatekey", given("privatekey_path"))
            .with("csr", given("csr_path"))
    };
    if args.text("state") == "absent" {
        let target = Target::anywhere(args, None, ctx)?;
        let backup = target.backup()?;
        let outcome = told(target.remove()?).with_some("backup_file", backup);
        let returns = args.flag("return_content");
        return Ok(if returns { outcome.with("certificate", Value::Null) } else { outcome });
    }
    let target = Target::asked(args, None, ctx)?;
    let openssl = Openssl::find(ctx)?;
    let asked = Asked::from(args, &openssl)?;
    let before = Found::observe(target.content()?, &openssl)?;
    let replaces = args.flag("force") || asked.differs(&before, &openssl)?;
    let (mut made, mut backup) = (None, None);
    if replaces && !ctx.check {
        let new = asked.sign(&openssl)?;
        backup = target.backup()?;
        target.write(new.content())?;
        made = Some(new);
    }
    let changed = target.ensure_attributes()? || replaces;
    let after = made.as_ref().unwrap_or(&before);
    let (serial, not_before, not_after) = match after {
        Found::Certificate { certificate, .. } if !ctx.check => {
            (certificate.serial.clone(), certificate.not_before, certificate.not_after)
        }
        _ => (random_serial()?, asked.not_before.at, asked.not_after.at),
    };
    let mut outcome = told(changed)
        .with("serial_number", number(&serial))
        .with("notBefore", stamp(not_before))
        .with("notAfter", stamp(not_after))
        .with("diff", json!({ "before": before.shown(ctx)?, "after": after.shown(ctx)? }))
        .with_some("backup_file", backup);
    if asked.issuer.is_some() {
        outcome = outcome
            .with("ca_cert", given("ownca_path"))
            .with("ca_privatekey", given("ownca_privatekey_path"));
    }
    if !args.flag("return_content") {
        return Ok(outcome);
    }
    let text = String::from_utf8(after.content().to_vec());
    let text = text.map_err(|_| strange("a certificate that is no text"))?;
    Ok(outcome.with("certificate", if text.is_empty() { Value::Null } else { text.into() }))
}

/// A moment from or to which a certificate is valid.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: DateTime,
    /// Counted from now, and thus another each time.
    relative: bool,
}

impl Moment {
    fn asked(args: &Args, name: &str, ctx: &Context) -> Result<Self, Fault> {
        let text = args.text(name);
        let now = now(ctx);
        let at = match text.strip_prefix(['+', '-']) {
            Some(spans) => seconds(spans).and_then(|seconds| {
                let span = jiff::Span::new().try_seconds(seconds).ok()?;
                if text.starts_with('-') { now.checked_sub(span) } else { now.checked_add(span) }
                    .ok()
            }),
            None => moment(text),
        };
        let at = at.filter(|at| (1950..9999).contains(&at.year()));
        let at = at.ok_or_else(|| strange(&format!("such a {name}")))?;
        Ok(Self { at, relative: text.starts_with(['+', '-']) })
    }

    fn is(&self, at: DateTime) -> bool {
        !self.relative && self.at == at
    }
}

fn now(ctx: &Context) -> DateTime {
    let now = ctx.time.now().to_zoned(TimeZone::UTC).datetime();
    now.with().subsec_nanosecond(0).build().unwrap_or(now)
}

/// The seconds of `1w2d3h4m5s`, of which each may be left out and the last letter, too.
fn seconds(mut spans: &str) -> Option<i64> {
    let mut units = [('w', 604_800), ('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)].iter();
    let mut sum: i64 = 0;
    if spans.is_empty() {
        return None;
    }
    while !spans.is_empty() {
        let end = spans.find(|c: char| !c.is_ascii_digit()).unwrap_or(spans.len());
        let count: i64 = spans[..end].parse().ok()?;
        let letter = spans[end..].chars().next().unwrap_or('s').to_ascii_lowercase();
        let (_, length) = units.find(|(unit, _)| *unit == letter)?;
        sum = sum.checked_add(count.checked_mul(*length)?)?;
        spans = spans.get(end + 1..).unwrap_or_default();
    }
    Some(sum)
}

/// A number of at most 159 bits.
fn random_serial() -> Result<Vec<u8>, Fault> {
    let mut bytes = [0; 20];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .or_fail("cannot draw a number")?;
    bytes[0] &= 0x7f;
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    Ok(bytes[start..].to_vec())
}

/// Who signs, if it is not the certificate's own key.
struct Issuer {
    certificate: Certificate,
    private: Vec<u8>,
    marks: bool,
}

/// What a task asks for.
struct Asked {
    /// The key that the task names, and whether there is one.
    key: Option<(Public, Vec<u8>)>,
    /// The request and whether its key has signed it; an empty one where none is named.
    request: Option<(Request, bool)>,
    issuer: Option<Issuer>,
    algorithm: &'static Algorithm,
    not_before: Moment,
    not_after: Moment,
    keeps_stamps: bool,
    identifier: String,
}

impl Asked {
    fn from(args: &Args, openssl: &Openssl<'_>) -> Result<Self, Fault> {
        let provider = match args.text("provider") {
            own @ ("selfsigned" | "ownca") => own,
            _ => return Err(strange("such a provider")),
        };
        if ["privatekey_passphrase", "ownca_privatekey_passphrase"]
            .iter()
            .any(|name| args.raw(name).is_some())
        {
            return Err(strange("a passphrase"));
        }
        let one_of = |names: [&str; 2]| match names.iter().any(|name| args.raw(name).is_some()) {
            true => Ok(()),
            false => Err(fail!(
                "One of {} and {} must be specified for the {provider} provider.",
                names[0],
                names[1]
            )),
        };
        if provider == "selfsigned" {
            one_of(["privatekey_path", "privatekey_content"])?;
        } else {
            one_of(["ownca_path", "ownca_content"])?;
            one_of(["ownca_privatekey_path", "ownca_privatekey_content"])?;
        }
        let not_before = Moment::asked(args, &format!("{provider}_not_before"), openssl.ctx)?;
        let not_after = Moment::asked(args, &format!("{provider}_not_after"), openssl.ctx)?;
        if not_after.at < not_before.at {
            return Err(strange("a certificate that ends before it begins"));
        }
        if provider == "ownca" && args.raw("csr_path").or(args.raw("csr_content")).is_none() {
            return Err(fail!("csr_path or csr_content is required for ownca provider"));
        }
        let own = [
            ("csr_path", "certificate signing request"),
            ("privatekey_path", "private key"),
            ("ownca_path", "CA certificate"),
            ("ownca_privatekey_path", "CA private key"),
        ];
        for (name, what) in own {
            let counts = match name {
                "privatekey_path" => provider == "selfsigned",
                other => provider == "ownca" || !other.starts_with("ownca"),
            };
            if let Some(path) = args.str(name).filter(|path| counts && !Path::new(path).exists()) {
                return Err(fail!("The {what} file {path} does not exist"));
            }
        }
        let names_key = args.raw("privatekey_path").or(args.raw("privatekey_content")).is_some();
        let key = names_key.then(|| private_key(args, "privatekey", openssl)).transpose()?;
        let request = match named(args, "csr")? {
            Some(content) => match FoundRequest::observe(Some(content), openssl)? {
                FoundRequest::Request { request, valid, .. } => Some((*request, valid)),
                _ => return Err(strange("such a request")),
            },
            None => None,
        };
        let digest = args.text(&format!("{provider}_digest"));
        let (issuer, algorithm) = if provider == "ownca" {
            let content = named(args, "ownca")?;
            let Found::Certificate { certificate, .. } = Found::observe(content, openssl)? else {
                return Err(strange("such a CA certificate"));
            };
            let (public, private) = private_key(args, "ownca_privatekey", openssl)?;
            if public != certificate.key {
                return Err(fail!("The CA private key does not belong to the CA certificate"));
            }
            let marks = args.flag("ownca_create_authority_key_identifier");
            let certificate = *certificate;
            (Some(Issuer { certificate, private, marks }), Algorithm::of(public.kind, digest)?)
        } else {
            let kind = key.as_ref().map(|(public, _)| public.kind);
            (None, Algorithm::of(kind.ok_or_else(|| strange("no key"))?, digest)?)
        };
        let identifier = args.text(&format!("{provider}_create_subject_key_identifier")).to_owned();
        let keeps_stamps = args.flag("ignore_timestamps");
        Ok(Self {
            key,
            request,
            issuer,
            algorithm,
            not_before,
            not_after,
            keeps_stamps,
            identifier,
        })
    }

    /// What the certificate says of the key that signed it, if that is asked for.
    fn authority(&self) -> Result<Option<Vec<u8>>, Fault> {
        let Some(issuer) = self.issuer.as_ref().filter(|issuer| issuer.marks) else {
            return Ok(None);
        };
        match key_identifier(&issuer.certificate.extensions) {
            Some(identifier) => Ok(Some(identifier.to_vec())),
            None => issuer.certificate.key.identifier().map(Some),
        }
    }

    /// The extensions but for those that are made here.
    fn compared<'b>(&self, extensions: &'b [Marked]) -> Vec<&'b Marked> {
        let makes_authority = self.issuer.as_ref().is_some_and(|issuer| issuer.marks);
        let compares = |(extension, _): &&Marked| match extension {
            Extension::KeyIdentifier(_) => self.identifier == "never_create",
            Extension::Authority(_) => !makes_authority,
            _ => true,
        };
        extensions.iter().filter(compares).collect()
    }

    /// Whether what is there is to be replaced.
    fn differs(&self, found: &Found, openssl: &Openssl<'_>) -> Result<bool, Fault> {
        let Found::Certificate { certificate, whole, .. } = found else { return Ok(true) };
        if self.key.as_ref().is_some_and(|(public, _)| *public != certificate.key) {
            return Ok(true);
        }
        let empty =
            Request { subject: Vec::new(), key: certificate.key.clone(), extensions: Vec::new() };
        let (request, valid) =
            self.request.as_ref().map_or((&empty, true), |(request, valid)| (request, *valid));
        let there = self.compared(&certificate.extensions);
        let wanted = self.compared(&request.extensions);
        let same = valid
            && request.key == certificate.key
            && request.subject == certificate.subject
            && there.len() == wanted.len()
            && there.iter().all(|one| like(&request.extensions, &one.0) == Some(*one));
        if !same || !self.identifies(certificate, request)? {
            return Ok(true);
        }
        let (from, to) = (certificate.not_before, certificate.not_after);
        let valid = self.not_before.is(from) && self.not_after.is(to);
        if !(self.keeps_stamps || valid) {
            return Ok(true);
        }
        let signer = match (&self.issuer, &self.key) {
            (Some(issuer), _) => &issuer.certificate.key,
            (None, Some((public, _))) => public,
            (None, None) => return Err(strange("no key")),
        };
        if !certificate.algorithm.verify(&certificate.render(), whole, signer, openssl)? {
            return Ok(true);
        }
        let Some(issuer) = &self.issuer else { return Ok(false) };
        let wanted = self.authority()?;
        let marked = authority(&certificate.extensions);
        Ok(issuer.certificate.subject != certificate.issuer
            || wanted.is_some_and(|wanted| marked != Some(wanted.as_slice())))
    }

    /// Whether the identifier of the key is as asked for.
    fn identifies(&self, certificate: &Certificate, request: &Request) -> Result<bool, Fault> {
        if self.identifier == "never_create" {
            return Ok(true);
        }
        let Some(there) = key_identifier(&certificate.extensions) else { return Ok(false) };
        let given = key_identifier(&request.extensions);
        match given.filter(|_| self.identifier == "create_if_not_provided") {
            Some(given) => Ok(there == given),
            None => Ok(there == certificate.key.identifier()?),
        }
    }

    fn sign(&self, openssl: &Openssl<'_>) -> Result<Found, Fault> {
        let request = self.request.as_ref().map(|(request, _)| request);
        let subject = request.map(|request| request.subject.clone()).unwrap_or_default();
        let own = self.key.as_ref();
        let (key, private, issuer) = match (&self.issuer, own, request) {
            (Some(issuer), _, Some(request)) => {
                (&request.key, &issuer.private, issuer.certificate.subject.clone())
            }
            (None, Some((public, private)), _) => (public, private, subject.clone()),
            _ => return Err(strange("no key")),
        };
        let marks = self.authority()?;
        let given = request.map(|request| request.extensions.as_slice()).unwrap_or_default();
        let stays = |(extension, _): &&Marked| match extension {
            Extension::KeyIdentifier(_) => self.identifier != "always_create",
            Extension::Authority(_) => marks.is_none(),
            _ => true,
        };
        let mut extensions: Vec<Marked> = given.iter().filter(stays).cloned().collect();
        if self.identifier != "never_create" && key_identifier(&extensions).is_none() {
            extensions.push((Extension::KeyIdentifier(key.identifier()?), false));
        }
        extensions.extend(marks.map(|marks| (Extension::Authority(marks), false)));
        let certificate = Certificate {
            serial: random_serial()?,
            algorithm: self.algorithm,
            issuer,
            not_before: self.not_before.at,
            not_after: self.not_after.at,
            subject,
            key: key.clone(),
            extensions,
        };
        let whole = self.algorithm.sign(&certificate.render(), private, openssl)?;
        let content = pem::render("CERTIFICATE", &whole).into_bytes();
        Ok(Found::Certificate { content, whole, certificate: Box::new(certificate) })
    }
}

/// What a task names by its path or gives the content of.
fn named(args: &Args, name: &str) -> Result<Option<Vec<u8>>, Fault> {
    match (args.str(&format!("{name}_path")), args.str(&format!("{name}_content"))) {
        (Some(path), _) => fs::read(path).map(Some).map_err(|_| strange("a file that is not read")),
        (None, content) => Ok(content.map(|content| content.as_bytes().to_vec())),
    }
}

/// What lies where the certificate is to be.
#[derive(Clone, Debug)]
enum Found {
    Nothing,
    /// A file that is no certificate.
    Unreadable(Vec<u8>),
    Certificate {
        content: Vec<u8>,
        whole: Vec<u8>,
        certificate: Box<Certificate>,
    },
}

impl Found {
    fn observe(content: Option<Vec<u8>>, openssl: &Openssl<'_>) -> Result<Self, Fault> {
        let Some(content) = content else { return Ok(Self::Nothing) };
        if !pem::is_in(&content) {
            return Ok(Self::Unreadable(content));
        }
        let unclear = || strange("a certificate such as is there");
        if pem::sole(&content).is_none_or(|(label, _)| label != "CERTIFICATE") {
            return Err(unclear());
        }
        let whole = openssl.reads(&["x509", "-outform", "DER"], &content)?.ok_or_else(unclear)?;
        let certificate = Certificate::parse(&whole).map(Box::new).ok_or_else(unclear)?;
        Ok(Self::Certificate { content, whole, certificate })
    }

    fn content(&self) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::Unreadable(content) | Self::Certificate { content, .. } => content,
        }
    }

    /// As a diff shows it.
    fn shown(&self, ctx: &Context) -> Result<Value, Fault> {
        match self {
            Self::Nothing => Ok(json!({})),
            Self::Unreadable(_) => Ok(json!({ "can_parse_certificate": false })),
            Self::Certificate { certificate, whole, .. } => certificate.shown(whole, now(ctx)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_from_the_longest_to_the_shortest() {
        for (text, sum) in [
            ("0s", Some(0)),
            ("3650d", Some(315_360_000)),
            ("1w2d3h4m5s", Some(604_800 + 172_800 + 10_800 + 240 + 5)),
            ("1D30", Some(86_430)),
            ("7", Some(7)),
            ("", None),
            ("5s5s", None),
            ("1h1d", None),
            ("d", None),
            ("1y", None),
            ("99999999999999999999w", None),
        ] {
            assert_eq!(seconds(text), sum, "{text}");
        }
    }

    #[test]
    fn numbers_are_drawn_without_a_leading_zero() {
        for _ in 0..100 {
            let serial = random_serial().unwrap();
            assert!(serial.len() <= 20 && (serial.len() < 20 || serial[0] < 0x80));
            assert_ne!(serial[0], 0);
        }
    }
}
