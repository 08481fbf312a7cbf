//! `deb822_repository`: a file of apt's sources in the form of deb822(5), and the key beside it.

use crate::args::{Args, text_of};
use crate::attributes::Attributes;
use crate::context::Context;
use crate::module::get_url;
use crate::outcome::{Done, Fault, OrFail, Outcome};
use crate::place::{self, Scratch};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const PARTS: &str = "/etc/apt/sources.list.d";
const KEYRINGS: &str = "/etc/apt/keyrings";

/// Arguments that become a field, in the order in which they are written.
const FIELDS: &[&str] = &[
    "allow_downgrade_to_insecure",
    "allow_insecure",
    "allow_weak",
    "architectures",
    "by_hash",
    "check_date",
    "check_valid_until",
    "components",
    "date_max_future",
    "enabled",
    "inrelease_path",
    "languages",
    "name",
    "pdiffs",
    "signed_by",
    "suites",
    "targets",
    "trusted",
    "types",
    "uris",
];

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let slug = slug(args.text("name"));
    let dest = Path::new(PARTS).join(format!("{slug}.sources"));
    if args.text("state") == "absent" {
        return remove(&slug, &dest, ctx);
    }
    let fields = FIELDS.iter().filter(|name| **name != "signed_by");
    for value in fields.filter_map(|name| args.raw(name)) {
        written(value)?;
    }
    let mut key = Key::default();
    if let Some(asked) = args.str("signed_by") {
        key = ensure_key(asked, &slug, ctx)?;
    }
    let mut repo = String::new();
    for name in FIELDS {
        let told = match args.raw(name) {
            None => continue,
            Some(_) if *name == "signed_by" => &Value::from(key.told.as_str()),
            Some(value) => value,
        };
        let text = written(told)?;
        let space = if text.is_empty() || text.starts_with('\n') { "" } else { " " };
        repo.push_str(&format!("{}:{space}{text}\n", field(name)));
    }
    let mut changed = key.changed;
    changed |= ensure_content(&dest, repo.as_bytes(), ctx)?;
    changed |= Attributes::asked(args).ensure(&dest, None, ctx)?;
    Ok(Outcome::changed(changed)
        .with("repo", repo)
        .with("dest", dest.display().to_string())
        .with("key_filename", key.file.map(|file| file.display().to_string())))
}

fn remove(slug: &str, dest: &Path, ctx: &Context) -> Done {
    let keys = ["asc", "gpg"].map(|ending| key_file(slug, ending));
    let mut changed = false;
    for path in [dest, &keys[0], &keys[1]].into_iter().filter(|path| path.exists()) {
        changed = true;
        if !ctx.check {
            fs::remove_file(path).or_fail(format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(Outcome::changed(changed)
        .with("repo", Value::Null)
        .with("dest", dest.display().to_string())
        .with("key_filename", keys[1].display().to_string()))
}

/// The key of a repository, once it is where apt finds it.
#[derive(Default)]
struct Key {
    changed: bool,
    file: Option<PathBuf>,
    /// What the field says: a file, fingerprints, or the key itself.
    told: String,
}

fn ensure_key(asked: &str, slug: &str, ctx: &Context) -> Result<Key, Fault> {
    let plain = |file| Key { changed: false, file, told: asked.to_owned() };
    if Path::new(asked).is_file() {
        return Ok(plain(Some(PathBuf::from(asked))));
    }
    match scheme(asked).as_deref() {
        None => {
            written(&Value::from(asked))?;
            return Ok(plain(None));
        }
        Some("http" | "https") => {}
        Some(other) => return Err(Fault::beyond(format!("{other} urls are not supported"))),
    }
    let found = get_url::fetched(asked, true, ctx).map_err(|fault| {
        let why = fault.message.trim_start_matches("Request failed: ");
        Fault { message: format!("Could not fetch signed_by key: {why}"), fields: fault.fields }
    })?;
    if found.is_empty() {
        return Ok(plain(Some(PathBuf::from(asked))));
    }
    let armored = found.windows(ARMOR.len()).any(|part| part == ARMOR);
    let file = key_file(slug, if armored { "asc" } else { "gpg" });
    let mut changed = false;
    if fs::read(&file).ok().as_deref() != Some(&found) {
        ensure_keyrings(ctx)?;
        changed = ensure_content(&file, &found, ctx)?;
    }
    let mode = Attributes::default().with_mode(Some("0644".into()));
    changed |= mode.ensure(&file, None, ctx)?;
    Ok(Key { changed, told: file.display().to_string(), file: Some(file) })
}

const ARMOR: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";

fn ensure_keyrings(ctx: &Context) -> Result<(), Fault> {
    let dir = Path::new(KEYRINGS);
    if !dir.is_dir() && !ctx.check {
        let made = fs::DirBuilder::new().mode(0o755).create(dir);
        made.or_fail(format!("cannot make {KEYRINGS}"))?;
    }
    let mut root = Attributes::default().with_mode(Some("0755".into()));
    root.owner = Some("root".to_owned());
    root.group = Some("root".to_owned());
    root.ensure(dir, None, ctx).map(drop)
}

fn ensure_content(path: &Path, content: &[u8], ctx: &Context) -> Result<bool, Fault> {
    if fs::read(path).ok().as_deref() == Some(content) {
        return Ok(false);
    }
    if !ctx.check {
        let what = format!("cannot write {}", path.display());
        let scratch = Scratch::holding(&ctx.staging, "", content).or_fail(what)?;
        place::replace(scratch.path(), path, true, false)?;
    }
    Ok(true)
}

fn key_file(slug: &str, ending: &str) -> PathBuf {
    Path::new(KEYRINGS).join(format!("{slug}.{ending}"))
}

/// The name of a repository as the name of a file.
fn slug(name: &str) -> String {
    let mut out = String::new();
    let mut gap = false;
    for c in name.to_lowercase().chars() {
        let space = c == '_' || c.is_whitespace();
        match c {
            _ if space && !gap => out.push('-'),
            'a'..='z' | '0'..='9' | '-' => out.push(c),
            _ => {}
        }
        gap = space;
    }
    out
}

/// What a field is called (sources.list(5)).
fn field(argument: &str) -> String {
    match argument {
        "name" => "X-Repolib-Name".to_owned(),
        "uris" => "URIs".to_owned(),
        _ => {
            let words = argument.split('_').map(|word| {
                let (first, rest) = word.split_at(1.min(word.len()));
                first.to_uppercase() + rest
            });
            words.collect::<Vec<_>>().join("-")
        }
    }
}

/// A value as it stands in the file; lines after the first are indented, a dot stands for an empty
/// one.
fn written(value: &Value) -> Result<String, Fault> {
    let text = match value {
        Value::Bool(flag) => return Ok(if *flag { "yes" } else { "no" }.to_owned()),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(" "),
        other => text_of(other),
    };
    if !text.contains('\n') {
        return Ok(text);
    }
    let lines: String = crate::split_lines(text.trim())
        .into_iter()
        .map(str::trim)
        .map(|line| format!("\n    {}", if line.is_empty() { "." } else { line }))
        .collect();
    // Ansible's module ends in its own way where a field would be nothing but empty lines.
    (!lines.is_empty())
        .then_some(lines)
        .ok_or_else(|| Fault::beyond("a field has only empty lines"))
}

/// The scheme of a url, if it is one.
fn scheme(text: &str) -> Option<String> {
    let (scheme, _) = text.trim_start().split_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let is = scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(plain);
    is.then(|| scheme.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_repository_is_a_file_named_after_it() {
        let cases = [
            ("debian", "debian"),
            ("Lab  Repo_one!", "lab-repo-one"),
            ("a - b", "a---b"),
            ("ü_.x", "-x"),
        ];
        for (name, expected) in cases {
            assert_eq!(slug(name), expected, "{name}");
        }
    }

    #[test]
    fn fields_are_called_as_apt_calls_them() {
        let cases = [
            ("name", "X-Repolib-Name"),
            ("uris", "URIs"),
            ("by_hash", "By-Hash"),
            ("allow_downgrade_to_insecure", "Allow-Downgrade-To-Insecure"),
        ];
        for (argument, expected) in cases {
            assert_eq!(field(argument), expected);
        }
    }

    #[test]
    fn values_are_written_as_deb822_has_them() {
        let cases = [
            (json!(true), "yes"),
            (json!(false), "no"),
            (json!(10), "10"),
            (json!(["a", "b"]), "a b"),
            (json!([]), ""),
            (json!("one"), "one"),
            (json!("one\n\n two\n"), "\n    one\n    .\n    two"),
        ];
        for (value, expected) in cases {
            assert_eq!(written(&value).unwrap(), expected, "{value}");
        }
        assert!(written(&json!("\n")).unwrap_err().fields.contains_key(updraft_wire::BEYOND));
    }

    #[test]
    fn keys_are_told_from_urls() {
        let cases = [
            ("https://a.test/key", Some("https")),
            ("FILE:///x", Some("file")),
            ("-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n", None),
            ("0123ABCD", None),
            ("/no/such:file", None),
        ];
        for (text, expected) in cases {
            assert_eq!(scheme(text).as_deref(), expected, "{text}");
        }
    }
}
