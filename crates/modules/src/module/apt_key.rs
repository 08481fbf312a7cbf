//! `apt_key`: a key is among those that apt trusts, or is not (apt-key(8)).

use crate::args::Args;
use crate::context::Context;
use crate::module::get_url;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::process::{Cmd, Ran};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// A keyserver is asked this often.
const TRIES: usize = 5;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let ring = Ring {
        program: ctx.required("apt-key")?,
        keyring: args.str("keyring").filter(|path| !path.is_empty()),
        ctx,
    };
    let gpg = ctx.required("gpg")?;
    let given = |name| args.str(name).filter(|text| !text.is_empty());
    let fetch = |url: &str| {
        get_url::fetched(url, args.flag("validate_certs"), ctx).map_err(|fault| {
            let message = format!(
                "Failed to download key at {}: {}",
                crate::http::masked(url),
                fault.message
            );
            Fault { message, fields: fault.fields }
        })
    };
    let mut data = args.str("data").map(|text| text.as_bytes().to_vec());
    let mut id = given("id").map(str::to_owned);
    if id.is_none() {
        if given("keyserver").is_some() {
            return Err(fail!("Missing key_id, required with keyserver."));
        }
        if let Some(url) = given("url") {
            data = Some(fetch(url)?);
        }
        let data = data.as_deref().filter(|data| !data.is_empty());
        id = match (given("file"), data) {
            (Some(file), _) => {
                first_key(&Cmd::new(&gpg).arg("--with-colons").arg(file), file, ctx)?
            }
            (None, Some(data)) => {
                let cmd = Cmd::new(&gpg).args(["--with-colons", "-"]).input(data);
                first_key(&cmd, "inline data", ctx)?
            }
            (None, None) => None,
        };
    }
    let mut said = Map::from_iter([("id".to_owned(), json!(id))]);
    let Some(key) = id.as_deref().map(KeyId::parse).transpose()?.flatten() else {
        return Err(refused("Invalid key_id", said));
    };
    said.insert("short_id".to_owned(), key.short().into());
    said.insert("fp".to_owned(), key.long().into());
    said.insert("key_id".to_owned(), key.0.clone().into());
    let before = ring.keys(&key)?;
    let present = args.text("state") == "present";
    let changed = before.iter().any(|known| known == key.long()) != present;
    said.insert("before".to_owned(), before.into());
    said.insert("changed".to_owned(), changed.into());
    if !changed || ctx.check {
        return Ok(Outcome(said));
    }
    if !present {
        ring.remove(&key)?;
    } else if let Some(file) = given("file") {
        ring.add_file(file)?;
    } else if let Some(server) = given("keyserver") {
        ring.receive(server, &key)?;
    } else if let Some(data) = data.filter(|data| !data.is_empty()) {
        ring.add(data)?;
    } else if let Some(url) = given("url") {
        ring.add(fetch(url)?)?;
    } else {
        return Err(refused("No key to add ... how did i get here?!?!", said));
    }
    let after = ring.keys(&key)?;
    let there = after.iter().any(|known| known == key.long());
    said.insert("after".to_owned(), after.into());
    if there != present {
        let what = if present { "failed to add the key" } else { "the key was not removed" };
        let message = format!(
            "apt-key did not return an error, but {what} (check that the id is correct and *not* a subkey)"
        );
        return Err(refused(&message, said));
    }
    Ok(Outcome(said))
}

fn refused(message: &str, said: Map<String, Value>) -> Fault {
    Fault { message: message.to_owned(), fields: Box::new(said) }
}

/// What a task calls a key: eight, sixteen or more digits of its fingerprint, in capitals.
#[derive(Debug, PartialEq)]
struct KeyId(String);

impl KeyId {
    /// Nothing if it is none. Spellings that only Python reads as a number are left to it.
    fn parse(id: &str) -> Result<Option<Self>, Fault> {
        if id.contains(|c: char| c.is_whitespace() || "_+-".contains(c)) {
            return Err(Fault::beyond(format!("the key id {id} is not understood")));
        }
        let upper = id.to_uppercase();
        let digits = upper.strip_prefix("0X").unwrap_or(&upper);
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let long_enough = matches!(digits.len(), 8 | 16..);
        Ok((plain && long_enough).then(|| Self(digits.to_owned())))
    }

    /// What `apt-key del` understands everywhere.
    fn short(&self) -> &str {
        &self.0[self.0.len() - 8..]
    }

    /// What lists of keys are compared with.
    fn long(&self) -> &str {
        &self.0[self.0.len().saturating_sub(16)..]
    }
}

/// The keys that apt-key looks after.
struct Ring<'a> {
    program: PathBuf,
    keyring: Option<&'a str>,
    ctx: &'a Context,
}

impl Ring<'_> {
    fn cmd(&self) -> Cmd {
        let cmd = Cmd::new(&self.program);
        match self.keyring {
            Some(path) => cmd.args(["--keyring", path]),
            None => cmd,
        }
    }

    /// Ids of all keys, as short as the one that is asked for.
    fn keys(&self, like: &KeyId) -> Result<Vec<String>, Fault> {
        let cmd = self.cmd().args(["adv", "--list-public-keys", "--keyid-format=long"]);
        let ran = call(&cmd, self.ctx)?;
        if !ran.success() {
            return Err(failed("Unable to list public keys", &cmd, &ran));
        }
        let mut keys = parse_keys(&ran.out());
        if like.0.len() == 8 {
            for key in &mut keys {
                *key = key.chars().skip(key.chars().count().saturating_sub(8)).collect();
            }
        }
        Ok(keys)
    }

    fn add(&self, data: Vec<u8>) -> Result<(), Fault> {
        let cmd = self.cmd().args(["add", "-"]).input(data);
        let ran = call(&cmd, self.ctx)?;
        if ran.success() {
            return Ok(());
        }
        Err(failed("Unable to add a key from binary data", &cmd, &ran))
    }

    fn add_file(&self, file: &str) -> Result<(), Fault> {
        let cmd = self.cmd().args(["add", file]);
        let ran = call(&cmd, self.ctx)?;
        if ran.success() {
            return Ok(());
        }
        let message = format!("Unable to add a key from file {file}");
        Err(failed(&message, &cmd, &ran).with("keyfile", file))
    }

    fn remove(&self, key: &KeyId) -> Result<(), Fault> {
        let cmd = self.cmd().args(["del", key.short()]);
        let ran = call(&cmd, self.ctx)?;
        if ran.success() {
            return Ok(());
        }
        let message = format!("Unable to remove a key with id {}", key.short());
        Err(failed(&message, &cmd, &ran).with("key_id", key.short()))
    }

    fn receive(&self, server: &str, key: &KeyId) -> Result<(), Fault> {
        let mut cmd = self.cmd().args(["adv", "--no-tty", "--keyserver", server]);
        let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
        let mut proxies = names.iter().filter_map(|name| self.ctx.var(name));
        if let Some(proxy) = proxies.find(|proxy| !proxy.is_empty()) {
            cmd = cmd.arg("--keyserver-options").arg(format!("http-proxy={proxy}"));
        }
        let cmd = cmd.args(["--recv", &key.0]);
        let mut ran = Ran::default();
        for _ in 0..TRIES {
            ran = call(&plainly(&cmd), self.ctx)?;
            if ran.success() {
                return Ok(());
            }
        }
        let forced = json!({ "LANG": "C", "LC_ALL": "C", "LC_MESSAGES": "C", "LANGUAGE": "C" });
        let id = &key.0;
        Err(if ran.code == 2 && ran.out().contains("not found on keyserver") {
            fail!("Key {id} not found on keyserver {server}").with("cmd", cmd.line())
        } else {
            let message = format!("Error fetching key {id} from keyserver: {server}");
            failed(&message, &cmd, &ran)
        }
        .with("forced_environment", forced))
    }
}

/// The id of the first key that gpg finds.
fn first_key(cmd: &Cmd, what: &str, ctx: &Context) -> Result<Option<String>, Fault> {
    let ran = call(&plainly(cmd), ctx)?;
    if !ran.success() {
        return Err(fail!("Unable to extract key from '{what}'")
            .with("stdout", ran.out())
            .with("stderr", ran.err()));
    }
    Ok(parse_keys(&ran.out()).into_iter().next())
}

/// Ids of keys and of their parts, from gpg's lists for people or for programs.
fn parse_keys(text: &str) -> Vec<String> {
    let is_key = |line: &&str| {
        (line.starts_with("pub") || line.starts_with("sub")) && !line.contains("expired")
    };
    let id = |line: &str| {
        let kind = line.split_whitespace().nth(1).map(|word| word.split('/').collect::<Vec<_>>());
        match kind.as_deref() {
            Some([_, id]) => Some((*id).to_owned()),
            _ => line.split(':').nth(4).map(str::to_owned),
        }
    };
    text.split('\n').filter(is_key).filter_map(id).collect()
}

fn plainly(cmd: &Cmd) -> Cmd {
    cmd.clone().plain_locale().env("LANGUAGE", "C")
}

fn call(cmd: &Cmd, ctx: &Context) -> Result<Ran, Fault> {
    cmd.run(ctx).or_fail(format!("cannot run {}", cmd.line()))
}

fn failed(message: &str, cmd: &Cmd, ran: &Ran) -> Fault {
    fail!("{message}")
        .with("cmd", cmd.line())
        .with("rc", ran.code)
        .with("stdout", ran.out())
        .with("stderr", ran.err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_eight_sixteen_or_more_digits() {
        let cases = [
            ("0x1234abcd", Some(("1234ABCD", "1234ABCD"))),
            ("1234567890ABCDEF", Some(("90ABCDEF", "1234567890ABCDEF"))),
            ("FFFF1234567890ABCDEF", Some(("90ABCDEF", "1234567890ABCDEF"))),
            ("1234567", None),
            ("123456789", None),
            ("xyz", None),
            ("0x", None),
        ];
        for (id, expected) in cases {
            let read = KeyId::parse(id).unwrap();
            let shown = read.as_ref().map(|key| (key.short(), key.long()));
            assert_eq!(shown, expected, "{id}");
        }
        for odd in ["1234 ABCD", "1234_5678"] {
            let fault = KeyId::parse(odd).unwrap_err();
            assert!(fault.fields.contains_key(updraft_wire::BEYOND), "{odd}");
        }
    }

    #[test]
    fn keys_are_found_in_lists_for_people_and_for_programs() {
        let people = "/x/a.gpg\n---\npub   rsa4096/648ACFD622F3D138 2019-01-20 [SC]\n      \
            80D1\nuid  [ unknown] A\nsub   rsa4096/0E98404D386FA1D9 2019-01-20 [S]\n\
            pub   rsa2048/1111111111111111 2010-01-01 [SC] [expired: 2011-01-01]\n";
        assert_eq!(parse_keys(people), ["648ACFD622F3D138", "0E98404D386FA1D9"]);
        let programs = "tru::1:1\npub:-:2048:1:96E9EB0E4FCB0000:1700000000:::-:::scSC::::::23::0:\n\
            fpr:::::::::B076991A:\nsub:-:2048:1:AAAA:1::::::e::::::23:\n";
        assert_eq!(parse_keys(programs), ["96E9EB0E4FCB0000", "AAAA"]);
        assert!(parse_keys("pub\n").is_empty());
    }
}
