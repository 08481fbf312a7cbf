//! `known_hosts`: the keys by which hosts are known to ssh (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
//!
//! Whether a line is about a host is asked of ssh-keygen, which also knows hashed names.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place;
use crate::process::{Cmd, Ran};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha1::{Digest, Sha1};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let host = args.text("name").to_lowercase();
    let path = Path::new(args.text("path"));
    let present = args.text("state") == "present";
    let keygen = ctx.program("ssh-keygen").ok_or_else(|| {
        let paths = ctx.var("PATH").unwrap_or_default();
        fail!("Failed to find required executable \"ssh-keygen\" in paths: {paths}")
    })?;
    let keygen = |words: &[&str], file: &Path| {
        let cmd = Cmd::new(&keygen).args(words).arg("-f").arg(file).plain_locale();
        let ran = cmd.run(ctx).or_fail("cannot run ssh-keygen")?;
        Ok::<_, Fault>((ran, cmd.line()))
    };
    let given = args.str("key").filter(|key| !key.is_empty());
    if given.is_none() && present {
        return Err(fail!("No key specified when adding a host"));
    }
    let mut key = given.map(str::to_owned);
    if let Some(text) = key.as_mut() {
        if args.flag("hash_host") {
            let mut salt = [0; 20];
            rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())
                .or_fail("cannot draw a salt")?;
            *text = with_hashed_name(text, &host, &salt)?;
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if host.match_indices(',').any(|(at, _)| !host[..at].trim_end().is_empty()) {
            return Err(fail!(
                "Comma separated list of names is not supported. Please pass a single name to lookup in the known_hosts file."
            ));
        }
        let scratch = place::Scratch::holding(&ctx.staging, "", text.as_bytes())
            .or_fail(format!("cannot write to {}", ctx.staging.display()))?;
        if keygen(&["-F", &host], scratch.path())?.0.stdout.is_empty() {
            return Err(fail!("Host parameter does not match hashed host field in supplied key"));
        }
    }
    let wanted = key.as_deref().map(Key::read).transpose()?;
    let seen = if path.exists() {
        let (ran, _) = keygen(&["-F", &host], path)?;
        look(&ran, wanted.as_ref())?
    } else {
        Seen::default()
    };
    let (before, header) = match fs::read(path) {
        Ok(bytes) => (String::from_utf8_lossy(&bytes).into_owned(), args.text("path")),
        Err(error) if error.kind() == ErrorKind::NotFound => (String::new(), "/dev/null"),
        Err(error) => return Err(error).or_fail(format!("Failed to read '{}'", path.display())),
    };
    let after = edit(&before, seen, key.as_deref().filter(|_| present), present);
    let stays = !present && seen.line.is_none() && key.is_some();
    let changed = !stays && (seen.replace || seen.found != present);
    let mut outcome = Outcome::changed(changed);
    // The real module ends early when it only looks, and then tells no more than this.
    if !ctx.check || stays {
        for name in ["name", "key", "path", "hash_host", "state"] {
            outcome = outcome.with(name, args.raw(name).cloned().unwrap_or_default());
        }
    }
    outcome = outcome.with(
        "diff",
        json!({
            "before_header": header, "after_header": args.text("path"),
            "before": before, "after": after,
        }),
    );
    if changed && !ctx.check {
        if seen.found && !present && key.is_none() {
            let (ran, line) = keygen(&["-R", &host], path)?;
            if !ran.success() {
                return Err(Fault::new(ran.err().trim_end())
                    .with("cmd", line)
                    .with("rc", ran.code));
            }
        } else {
            let what = format!("Failed to write to file '{}'", path.display());
            let scratch = place::Scratch::holding(place::parent(path), "", after.as_bytes());
            place::replace(scratch.or_fail(what)?.path(), path, true, false)?;
        }
    }
    Ok(outcome)
}

/// What a file says of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Seen {
    found: bool,
    /// The key differs from the one that is asked for, or is not there.
    replace: bool,
    /// The line of a key of the same type, counted from one.
    line: Option<usize>,
}

/// What ssh-keygen found.
fn look(ran: &Ran, wanted: Option<&Key>) -> Result<Seen, Fault> {
    // Before OpenSSH 6.4 nothing found was a success.
    if ran.stdout.is_empty() && ran.stderr.is_empty() && [0, 1].contains(&ran.code) {
        return Ok(Seen::default());
    }
    let (out, err) = (ran.out(), ran.err());
    if !ran.success() {
        return Err(fail!("ssh-keygen failed (rc={}, stdout='{out}',stderr='{err}')", ran.code));
    }
    match wanted {
        None => Ok(Seen { found: true, replace: false, line: None }),
        Some(wanted) => compare(&out, wanted.clone()),
    }
}

fn compare(told: &str, mut wanted: Key) -> Result<Seen, Fault> {
    let mut line = None;
    for text in told.lines().filter(|text| !text.is_empty()) {
        if text.starts_with('#') {
            let number = text.split_once("found: line ").and_then(|(_, rest)| {
                rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
            });
            let number = number.ok_or_else(|| {
                fail!("failed to parse output of ssh-keygen for line number: '{text}'")
            })?;
            line = Some(number);
            continue;
        }
        let found = Key::read(text)?;
        let marked = found.marker.as_ref().is_some_and(|marker| {
            marker.starts_with("@cert-authority") || marker.starts_with("@revoke")
        });
        // A name keeps the hash it has.
        if !marked && wanted.host.starts_with("|1|") && found.host.starts_with("|1|") {
            wanted.host.clone_from(&found.host);
        }
        if wanted == found {
            return Ok(Seen { found: true, replace: false, line });
        }
        if !marked && wanted.kind == found.kind {
            return Ok(Seen { found: true, replace: true, line });
        }
    }
    Ok(Seen { found: true, replace: true, line: None })
}

/// One line of a file, without its comment.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    marker: Option<String>,
    host: String,
    kind: String,
    key: String,
}

impl Key {
    fn read(line: &str) -> Result<Self, Fault> {
        let mut words = line.split_whitespace().map(str::to_owned).peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        match (words.next(), words.next(), words.next()) {
            (Some(host), Some(kind), Some(key)) => Ok(Self { marker, host, kind, key }),
            _ => Err(fail!("invalid key specified: {}", line.trim())),
        }
    }
}

/// The line of a key in which the name is a hash.
fn with_hashed_name(line: &str, host: &str, salt: &[u8]) -> Result<String, Fault> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let name =
        format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hmac(salt, host.as_bytes())));
    let at = usize::from(line.trim_start().starts_with('@'));
    *words.get_mut(at).ok_or_else(|| fail!("invalid key specified: {line}"))? = &name;
    Ok(words.join(" "))
}

/// HMAC-SHA-1 (RFC 2104) with a key of at most one block.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha1::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha1::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

/// The text after the change: the line that was found goes, the new one comes last.
fn edit(before: &str, seen: Seen, key: Option<&str>, present: bool) -> String {
    let goes = seen.line.filter(|_| seen.replace || !present);
    let lines = before.split_inclusive('\n').enumerate();
    let kept = lines.filter(|(at, _)| goes != Some(at + 1)).map(|(_, line)| line);
    let mut after: String = kept.collect();
    if let Some(key) = key.filter(|_| seen.replace || seen.line.is_none()) {
        // A last line that does not end would swallow the key.
        if !after.is_empty() && !after.ends_with('\n') {
            after.push('\n');
        }
        after.push_str(key);
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "# Host a found: line 2 \na ssh-rsa AAAA me@x\n# Host a found: line 4\na ssh-ed25519 BBBB\n";

    #[test]
    fn a_key_is_found_replaced_or_added() {
        let seen = |replace, line| Seen { found: true, replace, line };
        for (key, expected) in [
            ("a ssh-rsa AAAA", seen(false, Some(2))),
            ("a ssh-ed25519 BBBB", seen(false, Some(4))),
            ("a ssh-ed25519 CCCC", seen(true, Some(4))),
            ("a ecdsa DDDD", seen(true, None)),
        ] {
            assert_eq!(compare(TOLD, Key::read(key).unwrap()).unwrap(), expected, "{key}");
        }
    }

    #[test]
    fn a_marked_line_is_nobodys_but_its_own() {
        let told = "# Host a found: line 1 CA\n@cert-authority a ssh-rsa AAAA\n";
        let key = |text| compare(told, Key::read(text).unwrap()).unwrap();
        assert_eq!(key("@cert-authority a ssh-rsa AAAA").line, Some(1));
        assert_eq!(key("a ssh-rsa BBBB"), Seen { found: true, replace: true, line: None });
    }

    #[test]
    fn a_hashed_name_keeps_its_hash() {
        let told = "# Host a found: line 1\n|1|x|y ssh-rsa AAAA\n";
        let seen = compare(told, Key::read("|1|p|q ssh-rsa AAAA").unwrap()).unwrap();
        assert!(!seen.replace);
    }

    #[test]
    fn lines_go_and_come() {
        let at = |line, replace| Seen { found: true, replace, line };
        for (before, seen, key, present, after) in [
            ("x\ny\n", at(Some(1), true), Some("k\n"), true, "y\nk\n"),
            ("x\ny\n", at(Some(1), false), Some("k\n"), true, "x\ny\n"),
            ("x\ny", Seen::default(), Some("k\n"), true, "x\ny\nk\n"),
            ("x\ny\n", at(Some(2), false), None, false, "x\n"),
            ("x\ny\n", at(None, false), None, false, "x\ny\n"),
        ] {
            assert_eq!(edit(before, seen, key, present), after, "{seen:?}");
        }
    }

    #[test]
    fn a_name_is_hashed_as_rfc_2104_says() {
        // RFC 2202, test case 1.
        let sum = hmac(&[0x0b; 20], b"Hi There");
        assert_eq!(STANDARD.encode(sum), "thcxhlUFcmTii8C2+zeMjvFGvgA=");
        let line = with_hashed_name("@revoked a ssh-rsa AAAA", "a", &[0; 20]).unwrap();
        assert!(line.starts_with("@revoked |1|AAAA") && line.ends_with(" ssh-rsa AAAA"));
    }
}
