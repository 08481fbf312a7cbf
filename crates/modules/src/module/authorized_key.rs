//! `authorized_key`: public keys that may log in as a user.

use crate::accounts;
use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let user = args.text("user");
    let account = accounts::user(user, ctx);
    let path = match (args.str("path"), &account) {
        (Some(path), _) => PathBuf::from(path.replace("%u", user).replace("%%", "%")),
        (None, Some(account)) => Path::new(&account.home).join(".ssh/authorized_keys"),
        (None, None) if ctx.check => {
            return Err(fail!(
                "Either user must exist or you must provide full path to key file in check mode"
            ));
        }
        (None, None) => {
            return Err(fail!(
                "Failed to lookup user {user}: \"getpwnam(): name not found: '{user}'\""
            ));
        }
    };
    if args.text("key").trim_start().starts_with("http") {
        return Err(fail!(
            "fetch the keys with uri first and give them as text: urls are not read"
        ));
    }
    let path = if args.flag("follow") { place::real(&path) } else { path };
    let before = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).or_fail(format!("cannot read {}", path.display())),
    };
    let after = edit(
        &before,
        &Wanted {
            keys: args.text("key"),
            present: args.text("state") == "present",
            exclusive: args.flag("exclusive"),
            options: args.str("key_options"),
            comment: args.str("comment"),
        },
    )?;
    let changed = after.is_some();
    let mut outcome = Outcome::changed(changed);
    for name in
        ["user", "key", "state", "key_options", "comment", "path", "manage_dir", "exclusive"]
    {
        outcome = outcome.with(name, args.raw(name).cloned().unwrap_or_default());
    }
    let shown = path.display().to_string();
    if let Some(after) = after {
        if ctx.diff {
            let diff = json!({
                "before_header": shown, "after_header": shown, "before": before, "after": after,
            });
            outcome = outcome.with("diff", diff);
        }
        if !ctx.check {
            let owner = account.as_ref().map(|account| (account.uid, account.gid));
            let manage = args.flag("manage_dir");
            write(&path, &after, owner, manage, ctx)?;
        }
    }
    Ok(outcome.with("keyfile", shown))
}

fn write(
    path: &Path,
    text: &str,
    owner: Option<(u32, u32)>,
    manage_dir: bool,
    ctx: &Context,
) -> Result<(), Fault> {
    let what = |path: &Path| format!("cannot write {}", path.display());
    let own = |path: &Path| match owner {
        Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    };
    let dir = place::parent(path);
    if manage_dir {
        if !dir.exists() {
            place::make_private_dir(dir).or_fail(what(dir))?;
        }
        own(dir).or_fail(what(dir))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).or_fail(what(dir))?;
    }
    let fresh = !path.exists();
    let scratch = place::Scratch::holding(&ctx.staging, "", text.as_bytes()).or_fail(what(path))?;
    place::replace(scratch.path(), path, true, false)?;
    if fresh || manage_dir {
        own(path).or_fail(what(path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).or_fail(what(path))?;
    }
    Ok(())
}

/// What a task asks of a key file.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    keys: &'a str,
    present: bool,
    exclusive: bool,
    options: Option<&'a str>,
    comment: Option<&'a str>,
}

/// One line of a key file (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    options: Vec<String>,
    kind: String,
    blob: String,
    comment: String,
}

impl Key {
    fn parse(line: &str) -> Option<Self> {
        let words = split_unquoted(line.trim(), ' ');
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let at = words.iter().take(2).position(|word| is_kind(word))?;
        let options = if at == 1 {
            split_unquoted(words[0], ',').into_iter().map(str::to_owned).collect()
        } else {
            Vec::new()
        };
        let blob = words.get(at + 1)?;
        if blob.len() < 16
            || !blob.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
        {
            return None;
        }
        Some(Self {
            options,
            kind: words[at].to_owned(),
            blob: (*blob).to_owned(),
            comment: words[at + 2..].join(" "),
        })
    }

    fn render(&self) -> String {
        let mut parts = Vec::new();
        if !self.options.is_empty() {
            parts.push(self.options.join(","));
        }
        parts.extend([self.kind.clone(), self.blob.clone()]);
        if !self.comment.is_empty() {
            parts.push(self.comment.clone());
        }
        parts.join(" ")
    }
}

fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| word.starts_with(start))
}

/// Splits at a character outside double quotes.
fn split_unquoted(text: &str, at: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if c == at && !quoted => {
                parts.push(&text[start..index]);
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The new text of a key file, or nothing if it is as wanted already.
///
/// Lines that are not keys stay where they are; keys that are new or differ go to the end.
fn edit(before: &str, wanted: &Wanted<'_>) -> Result<Option<String>, Fault> {
    let mut asked: Vec<Key> = Vec::new();
    for line in wanted.keys.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut key = Key::parse(line).ok_or_else(|| fail!("invalid key specified: {line}"))?;
        if let Some(options) = wanted.options {
            key.options = split_unquoted(options, ',')
                .into_iter()
                .filter(|option| !option.is_empty())
                .map(str::to_owned)
                .collect();
        }
        if let Some(comment) = wanted.comment {
            comment.clone_into(&mut key.comment);
        }
        asked.push(key);
    }
    let mut kept: Vec<&Key> = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    let mut changed = false;
    for line in before.lines() {
        let found = Key::parse(line).filter(|_| !line.trim_start().starts_with('#'));
        let Some(found) = found else {
            lines.push(line.to_owned());
            continue;
        };
        let same = asked.iter().find(|key| key.blob == found.blob);
        let stays = match same {
            Some(key) => wanted.present && *key == found && !kept.contains(&key),
            None => !(wanted.present && wanted.exclusive),
        };
        if stays {
            kept.extend(same);
            lines.push(line.to_owned());
        } else {
            changed = true;
        }
    }
    if wanted.present {
        for key in &asked {
            if !kept.contains(&key) {
                kept.push(key);
                lines.push(key.render());
                changed = true;
            }
        }
    }
    Ok(changed.then(|| lines.iter().map(|line| format!("{line}\n")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA ann@x";
    const B: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ bob";

    fn check(before: &str, wanted: Wanted<'_>, after: Option<&str>) {
        assert_eq!(edit(before, &wanted).unwrap().as_deref(), after, "{wanted:?}");
    }

    fn present(keys: &str) -> Wanted<'_> {
        Wanted { keys, present: true, exclusive: false, options: None, comment: None }
    }

    #[test]
    fn a_key_is_added_once() {
        check("", present(A), Some(&format!("{A}\n")));
        check(&format!("# team\n{A}\n"), present(A), None);
        check(&format!("{A}\n"), present(&format!("{A}\n{B}")), Some(&format!("{A}\n{B}\n")));
    }

    #[test]
    fn a_key_with_other_options_or_comment_is_replaced() {
        let limited = format!("command=\"a,b c\",no-pty {A}");
        let wanted = Wanted { options: Some("command=\"a,b c\",no-pty"), ..present(A) };
        check(&format!("{A}\n{B}\n"), wanted, Some(&format!("{B}\n{limited}\n")));
        check(&format!("{limited}\n"), wanted, None);
        let wanted = Wanted { comment: Some("new"), ..present(A) };
        check(&format!("{A}\n"), wanted, Some("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA new\n"));
    }

    #[test]
    fn others_go_when_asked_and_a_key_goes_whatever_its_comment() {
        let wanted = Wanted { exclusive: true, ..present(A) };
        check(&format!("# note\n{B}\n{A}\n"), wanted, Some(&format!("# note\n{A}\n")));
        let absent = Wanted { present: false, ..present("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA") };
        check(&format!("{A}\n{B}\n"), absent, Some(&format!("{B}\n")));
        check(&format!("{B}\n"), absent, None);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(edit("", &present("not a key")).is_err());
        assert!(edit("", &present("ssh-ed25519 short")).is_err());
    }
}
