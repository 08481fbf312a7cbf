//! `htpasswd`: a user and the hash of a password in a file that web servers read.
//!
//! The password is looked at here alone and never told to another program. What is known of the
//! hashes is in `updraft_crypt`; other kinds are left to Ansible's module.

use crate::args::Args;
use crate::attributes::Attributes;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place::{self, Rewrite};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest as _;
use std::fs;
use std::path::Path;
use updraft_crypt as crypt;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let (shown, name) = (args.text("path"), args.text("name"));
    let path = Path::new(shown);
    let present = args.text("state") == "present";
    let scheme = Scheme::named(args.text("hash_scheme"), present)?;
    let password = args.str("password");
    // A file that cannot be read as text fails in the words of whoever reads it.
    let text = match fs::read(path) {
        Ok(bytes) => Some(String::from_utf8(bytes).map_err(|_| strange("a file that is no text"))?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).or_fail(format!("cannot read {shown}")),
    };
    let users = Users::parse(text.as_deref().unwrap_or_default())?;
    let odd = |text: &str| text.len() > 255 || text.contains([':', '\n', '\r', '\t', '\0']);
    if odd(name) || present && password.is_none_or(|text| text.contains('\0') || text.len() > 72) {
        return Err(strange("such a name or password"));
    }
    let password = password.unwrap_or_default();
    let (message, after) = match &text {
        None if !present => {
            return Ok(Outcome::changed(false)
                .with("msg", format!("{name} not present"))
                .with("warnings", vec![format!("{shown} does not exist")]));
        }
        None if !args.flag("create") => {
            return Err(fail!("Destination {shown} does not exist"));
        }
        None if ctx.check => (format!("Create {shown}"), Some(users)),
        None => (
            format!("Created {shown} and added {name}"),
            Some(users.with(name, &scheme.hash(password)?)),
        ),
        Some(_) if !present => match users.hash(name) {
            Some(_) => (format!("Remove {name}"), Some(users.without(name))),
            None => (format!("{name} not present"), None),
        },
        Some(_) => {
            match users.hash(name).map(|known| scheme.verify(known, password)).transpose()? {
                Some(true) => (format!("{name} already present"), None),
                _ => {
                    let hash = scheme.hash(password)?;
                    (format!("Add/update {name}"), Some(users.with(name, &hash)))
                }
            }
        }
    };
    let mut changed = after.is_some();
    // Empty lines go in any case, and nobody is told.
    let kept = || text.as_deref().filter(|text| has_gaps(text)).map(without_gaps);
    if let Some(after) = after.map(|users| users.render()).or_else(kept)
        && !ctx.check
    {
        let dir = place::parent(path);
        fs::create_dir_all(dir).or_fail(format!("cannot create {}", dir.display()))?;
        let rewrite =
            Rewrite { backup: false, validate: None, unsafe_writes: args.flag("unsafe_writes") };
        place::rewrite(path, after.as_bytes(), &rewrite, ctx)?;
    }
    let mut message = message;
    if Attributes::asked(args).ensure(path, None, ctx)? {
        if changed {
            message.push_str(" and ");
        }
        changed = true;
        message.push_str("ownership, perms or SE linux context changed");
    }
    Ok(Outcome::changed(changed).with("msg", message))
}

fn strange(what: &str) -> Fault {
    Fault::beyond(format!("{what} is not supported"))
}

fn has_gaps(text: &str) -> bool {
    text.lines().any(|line| line.trim().is_empty())
}

fn without_gaps(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.trim().is_empty()).collect()
}

/// The lines of a file, without empty ones.
#[derive(Clone, Debug, PartialEq)]
struct Users(Vec<Line>);

#[derive(Clone, Debug, PartialEq)]
enum Line {
    User {
        name: String,
        hash: String,
    },
    /// A comment, or somebody who stands above already.
    Other(String),
}

impl Users {
    fn parse(text: &str) -> Result<Self, Fault> {
        let mut users = Self(Vec::new());
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let parts: Vec<&str> = line.trim_end().split(':').collect();
            let line = match parts.as_slice() {
                _ if line.trim_start().starts_with('#') => Line::Other(line.to_owned()),
                [name, _] if users.hash(name).is_some() => Line::Other(line.to_owned()),
                [name, hash] => Line::User { name: (*name).to_owned(), hash: (*hash).to_owned() },
                _ => return Err(strange("a line that is not a name and a hash")),
            };
            users.0.push(line);
        }
        Ok(users)
    }

    fn hash(&self, wanted: &str) -> Option<&str> {
        self.0.iter().find_map(|line| match line {
            Line::User { name, hash } if name == wanted => Some(hash.as_str()),
            _ => None,
        })
    }

    fn with(mut self, wanted: &str, wanted_hash: &str) -> Self {
        for line in &mut self.0 {
            if let Line::User { name, hash } = line
                && name == wanted
            {
                wanted_hash.clone_into(hash);
                return self;
            }
        }
        self.0.push(Line::User { name: wanted.to_owned(), hash: wanted_hash.to_owned() });
        self
    }

    fn without(mut self, wanted: &str) -> Self {
        self.0.retain(|line| !matches!(line, Line::User { name, .. } if name == wanted));
        self
    }

    fn render(&self) -> String {
        let line = |line: &Line| match line {
            Line::User { name, hash } => format!("{name}:{hash}\n"),
            Line::Other(text) => format!("{text}\n"),
        };
        self.0.iter().map(line).collect()
    }
}

/// What a new hash is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scheme {
    Apache,
    Sha1,
    Plain,
    /// One of crypt(3), by its full name.
    Crypt(&'static str),
}

impl Scheme {
    fn named(name: &str, present: bool) -> Result<Self, Fault> {
        Ok(match name {
            "apr_md5_crypt" => Self::Apache,
            "ldap_sha1" => Self::Sha1,
            "plaintext" => Self::Plain,
            "bcrypt" => Self::Crypt("bcrypt"),
            "md5_crypt" => Self::Crypt("md5_crypt"),
            "sha256_crypt" => Self::Crypt("sha256_crypt"),
            "sha512_crypt" => Self::Crypt("sha512_crypt"),
            // Nothing is hashed for somebody who goes.
            _ if !present => Self::Apache,
            other => return Err(strange(&format!("the hash {other}"))),
        })
    }

    fn hash(self, password: &str) -> Result<String, Fault> {
        let name = match self {
            Self::Apache => "apr_md5_crypt",
            Self::Sha1 => return Ok(sha1(password)),
            Self::Plain => return Ok(password.to_owned()),
            Self::Crypt(name) => name,
        };
        let mut bytes = vec![0; crypt::salt_size(name)];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .or_fail("cannot draw a salt")?;
        let salt = crypt::salt_of(&bytes);
        match self {
            Self::Apache => Ok(crypt::apr1(password, &salt)),
            _ => crypt::hash(name, password, &salt, None, None).map_err(Fault::new),
        }
    }

    /// Whether a hash is that of the password. Which kinds are known hangs on what is asked for:
    /// anything else is text that says itself.
    fn verify(self, known: &str, password: &str) -> Result<bool, Fault> {
        let kind = match known.strip_prefix('$').and_then(|rest| rest.split('$').next()) {
            Some("2a" | "2b" | "2y") => "bcrypt",
            Some("2" | "2x") => return Err(strange("an old form of bcrypt")),
            Some("1") => "md5_crypt",
            Some("5") => "sha256_crypt",
            Some("6") => "sha512_crypt",
            Some("apr1") => "apr_md5_crypt",
            _ => "",
        };
        let understood = match self {
            Self::Crypt(name) => kind == name || kind == "apr_md5_crypt",
            _ => !matches!(kind, "" | "md5_crypt"),
        };
        if understood {
            return crypt::verify(known, password).ok_or_else(|| strange("such a hash"));
        }
        let letter = |b: u8| b.is_ascii_alphanumeric() || b"./".contains(&b);
        if known.len() == 13 && known.bytes().all(letter) {
            return Err(strange("the hash des_crypt"));
        }
        if known.starts_with("{SHA}") {
            return Ok(known == sha1(password));
        }
        Ok(known == password)
    }
}

fn sha1(password: &str) -> String {
    format!("{{SHA}}{}", STANDARD.encode(sha1::Sha1::digest(password)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn play(args: Value) -> Done {
        let spec = updraft_spec::find("htpasswd").unwrap();
        let ctx = Context::system();
        let args = Args::check(spec, "htpasswd", args.as_object().unwrap(), &ctx)?;
        run(&args, &ctx)
    }

    #[test]
    fn users_come_change_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/passwords");
        let user = |name: &str, password: &str| json!({ "path": path, "name": name, "password": password });
        let said = |done: Done| {
            let fields = done.unwrap().0;
            (fields["changed"] == true, fields["msg"].as_str().unwrap().to_owned())
        };
        let shown = path.display();
        assert_eq!(
            said(play(user("ann", "one"))),
            (true, format!("Created {shown} and added ann"))
        );
        assert_eq!(said(play(user("ann", "one"))), (false, "ann already present".into()));
        assert_eq!(said(play(user("ann", "two"))), (true, "Add/update ann".into()));
        assert_eq!(said(play(user("bob", "two"))), (true, "Add/update bob".into()));
        let gone = json!({ "path": path, "name": "ann", "state": "absent" });
        assert_eq!(said(play(gone.clone())), (true, "Remove ann".into()));
        assert_eq!(said(play(gone)), (false, "ann not present".into()));
        assert!(fs::read_to_string(&path).unwrap().starts_with("bob:$apr1$"));
    }

    #[test]
    fn each_kind_of_hash_is_known_again() {
        for name in ["apr_md5_crypt", "ldap_sha1", "plaintext", "md5_crypt"] {
            let scheme = Scheme::named(name, true).unwrap();
            let hash = scheme.hash("secret").unwrap();
            assert_eq!(scheme.verify(&hash, "secret"), Ok(true), "{hash}");
            assert_eq!(scheme.verify(&hash, "other"), Ok(false), "{hash}");
        }
        let bcrypt = "$2y$05$123456789012345678901u.97m5mwuxOR3RvRKYm9sasohx5Mnzwq";
        assert_eq!(Scheme::Apache.verify(bcrypt, "secret"), Ok(true));
        // passlib's list for this scheme has no bcrypt.
        assert_eq!(Scheme::Crypt("md5_crypt").verify(bcrypt, "secret"), Ok(false));
        let left = |fault: Fault| fault.fields.contains_key(updraft_wire::BEYOND);
        assert!(Scheme::named("des_crypt", true).is_err_and(left));
        assert!(Scheme::Apache.verify("rl.3StKT.4T8M", "x").is_err_and(left));
    }

    #[test]
    fn comments_stay_and_empty_lines_go() {
        let users = Users::parse("# ours\n\nann:x \nbob:y\nann:z\n").unwrap();
        assert_eq!(users.clone().with("bob", "w").render(), "# ours\nann:x\nbob:w\nann:z\n");
        assert_eq!(
            users.without("bob").with("cleo", "v").render(),
            "# ours\nann:x\nann:z\ncleo:v\n"
        );
        assert!(Users::parse("no hash\n").is_err());
        assert_eq!(without_gaps("a:b\n\n \nc:d"), "a:b\nc:d");
    }
}
