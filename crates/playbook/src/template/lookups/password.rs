//! The `password` lookup: a random password, kept in a file of the controller.

use crate::template::mersenne::{EMPTY, MersenneTwister};
use crate::template::{Fault, Interp, filters};
use crate::value::{Call, Value};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use updraft_base::Chance;
use updraft_crypt as crypt;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
const KNOWN: &[&str] = &["length", "encrypt", "chars", "ident", "seed"];

struct Wanted {
    path: PathBuf,
    length: usize,
    chars: Vec<char>,
    encrypt: Option<String>,
    ident: Option<String>,
    seed: Option<String>,
}

pub(super) fn lookup(
    cx: &mut Interp<'_>,
    terms: &[Value],
    call: &Call,
) -> Result<Vec<Value>, Fault> {
    terms.iter().map(|term| one(cx, &term.to_text(), call).map(Value::from)).collect()
}

fn one(cx: &mut Interp<'_>, term: &str, call: &Call) -> Result<String, Fault> {
    let wanted = wanted(cx, term, call)?;
    let kept = wanted.path != Path::new("/dev/null");
    if kept && !cx.cx.world.commands.may_write() {
        return Err(Fault::new("a password is kept only when its turn has come"));
    }
    let _lock = kept.then(|| Lock::take(&wanted.path)).transpose()?;
    let content = std::fs::read_to_string(&wanted.path).ok().filter(|_| kept);
    let (mut changed, password, mut salt, mut ident) = match content {
        Some(content) => {
            let (password, salt, ident) = parse(content.trim_end());
            (false, password, salt, ident)
        }
        None => (true, random(cx, &wanted)?, None, None),
    };
    if let (Some(kept), Some(asked)) = (&ident, &wanted.ident)
        && kept != asked
    {
        return Err(Fault::new(format!(
            "The ident parameter provided ({kept}) does not match the stored one ({asked})."
        )));
    }
    let ident_before = ident.is_some();
    ident = ident.or_else(|| wanted.ident.clone());
    if let Some(kind) = &wanted.encrypt {
        if salt.is_none() {
            changed = true;
            salt = Some(crypt::salt(&mut *cx.cx.world.commands.chance(), crypt::salt_size(kind)));
        }
        if ident.is_none() && kind == "bcrypt" {
            ident = Some("2b".to_owned());
        }
        changed |= ident.is_some() && !ident_before;
    }
    if changed && kept {
        write(&wanted.path, &password, salt.as_deref(), ident.as_deref())?;
    }
    match &wanted.encrypt {
        Some(kind) => {
            let salt = salt.unwrap_or_default();
            crypt::hash(kind, &password, &salt, None, ident.as_deref()).map_err(Fault::new)
        }
        None => Ok(password),
    }
}

fn wanted(cx: &mut Interp<'_>, term: &str, call: &Call) -> Result<Wanted, Fault> {
    let mut path = String::new();
    let mut inline = Vec::new();
    for word in crate::parse::split::words(term).map_err(Fault::new)? {
        match word.split_once('=') {
            Some((name, value)) if !path.is_empty() => {
                if !KNOWN.contains(&name) {
                    return Err(Fault::new(format!(
                        "Unrecognized parameter(s) given to password lookup: {name}"
                    )));
                }
                inline.push((name.to_owned(), Value::from(crate::parse::split::unquote(value))));
            }
            _ if !inline.is_empty() => {
                return Err(Fault::new(
                    "Unrecognized value after key=value parameters given to password lookup",
                ));
            }
            _ => {
                if !path.is_empty() {
                    path.push(' ');
                }
                path.push_str(&word);
            }
        }
    }
    let option = |name: &str| {
        let inline = inline.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        inline.or_else(|| call.named(name).cloned()).filter(|value| !value.is_none())
    };
    let text = |name: &str| option(name).map(|value| value.to_text());
    let length = match text("length") {
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| Fault::new(format!("Invalid value provided for 'integer': '{text}'")))?,
        None => 20,
    };
    let path = filters::expand_user(cx, &path);
    let base = cx.name("playbook_dir")?;
    let path = Path::new(base.as_str().filter(|text| !text.is_empty()).unwrap_or(".")).join(path);
    Ok(Wanted {
        path,
        length,
        chars: candidates(option("chars")),
        encrypt: text("encrypt").filter(|kind| !kind.is_empty()),
        ident: text("ident"),
        seed: text("seed"),
    })
}

/// The letters that `chars` allows: names of Python's sets, or the letters themselves.
fn candidates(chars: Option<Value>) -> Vec<char> {
    let words: Vec<String> = match &chars {
        None => ["ascii_letters", "digits", ".,:-_"].map(str::to_owned).to_vec(),
        Some(chars) => match chars.as_list() {
            Some(items) => items.iter().map(Value::to_text).collect(),
            None => {
                let text = chars.to_text();
                let comma = text.contains(",,").then(|| ",".to_owned());
                let words = text.replace(",,", ",");
                let words = words.split(',').filter(|word| !word.is_empty()).map(str::to_owned);
                comma.into_iter().chain(words).collect()
            }
        },
    };
    let mut out = String::new();
    for word in &words {
        match word.as_str() {
            "ascii_letters" => out.extend([LOWER, UPPER]),
            "ascii_lowercase" => out.push_str(LOWER),
            "ascii_uppercase" => out.push_str(UPPER),
            "digits" => out.push_str("0123456789"),
            "hexdigits" => out.push_str("0123456789abcdefABCDEF"),
            "octdigits" => out.push_str("01234567"),
            "punctuation" => out.push_str(PUNCTUATION),
            "whitespace" => out.push_str(" \t\n\r\u{b}\u{c}"),
            "printable" => {
                out.extend(["0123456789", LOWER, UPPER, PUNCTUATION, " \t\n\r\u{b}\u{c}"])
            }
            literal => out.push_str(literal),
        }
    }
    out.chars().filter(|c| !matches!(c, '"' | '\'')).collect()
}

/// What Python chooses for the same seed; otherwise nobody can foresee it.
fn random(cx: &Interp<'_>, wanted: &Wanted) -> Result<String, Fault> {
    let mut chance: Box<dyn Chance> = match &wanted.seed {
        Some(seed) => Box::new(MersenneTwister::from_text(seed)),
        None => cx.cx.world.commands.chance(),
    };
    let count = wanted.chars.len() as u64;
    if count == 0 && wanted.length > 0 {
        return Err(Fault::new(EMPTY));
    }
    Ok((0..wanted.length).map(|_| wanted.chars[chance.below(count) as usize]).collect())
}

/// `password salt=… ident=…`.
fn parse(content: &str) -> (String, Option<String>, Option<String>) {
    let Some((password, rest)) = content.rsplit_once(" salt=") else {
        return (content.to_owned(), None, None);
    };
    match rest.rsplit_once(" ident=") {
        Some((salt, ident)) => (password.to_owned(), Some(salt.to_owned()), Some(ident.to_owned())),
        None => (password.to_owned(), Some(rest.to_owned()), None),
    }
}

fn write(
    path: &Path,
    password: &str,
    salt: Option<&str>,
    ident: Option<&str>,
) -> Result<(), Fault> {
    let mut content = password.to_owned();
    if let Some(salt) = salt {
        content.push_str(&format!(" salt={salt}"));
        if let Some(ident) = ident {
            content.push_str(&format!(" ident={ident}"));
        }
    }
    content.push('\n');
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .map_err(|error| Fault::new(format!("cannot write `{}`: {error}", path.display())))
}

/// Only one process makes the password of a file: the others find the lock that Ansible takes too.
struct Lock(PathBuf);

impl Lock {
    fn take(path: &Path) -> Result<Self, Fault> {
        let fault = |error: std::io::Error| {
            Fault::new(format!("cannot write beside `{}`: {error}", path.display()))
        };
        let parent = path.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(fault)?;
        let digest = filters::sha1_hex(path.display().to_string().as_bytes());
        let lock = parent.join(format!("{digest}.ansible_lockfile"));
        match std::fs::OpenOptions::new().write(true).create_new(true).open(&lock) {
            Ok(_) => Ok(Self(lock)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Fault::new(format!(
                    "Password lookup cannot get the lock; another run is at it, or left `{}` behind",
                    lock.display()
                )))
            }
            Err(error) => Err(fault(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A lock that stays is told to the next one who wants it.
        drop(std::fs::remove_file(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_password_is_read_with_its_salt() {
        assert_eq!(parse("a b"), ("a b".to_owned(), None, None));
        assert_eq!(parse("a salt=x"), ("a".to_owned(), Some("x".to_owned()), None));
        let whole = ("a salt=b".to_owned(), Some("x".to_owned()), Some("2b".to_owned()));
        assert_eq!(parse("a salt=b salt=x ident=2b"), whole);
    }

    #[test]
    fn letters_are_named_or_written_out() {
        let text = |value: Value| candidates(Some(value)).into_iter().collect::<String>();
        assert_eq!(text(Value::str("digits,,ab")), ",0123456789ab");
        assert_eq!(text(Value::strings(["octdigits", "'\"x"])), "01234567x");
    }
}
