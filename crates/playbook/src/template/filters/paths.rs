//! Filters over paths and addresses. They look at text alone.

use super::Filter;
use crate::template::{Fault, Interp, url};
use crate::value::Value;

pub(super) fn find(name: &str) -> Option<Filter> {
    Some(match name {
        "basename" => |_, value, _| {
            let text = value.to_text();
            Ok(Value::str(text.rsplit_once('/').map_or(text.as_str(), |(_, name)| name)))
        },
        "dirname" => |_, value, _| Ok(Value::from(dirname(&value.to_text()))),
        "splitext" => |_, value, _| {
            let text = value.to_text();
            let name_at = text.rfind('/').map_or(0, |at| at + 1);
            let leading = text[name_at..].len() - text[name_at..].trim_start_matches('.').len();
            let at = text[name_at + leading..]
                .rfind('.')
                .map_or(text.len(), |at| at + name_at + leading);
            Ok(Value::strings([&text[..at], &text[at..]]))
        },
        "expanduser" => |cx, value, _| Ok(Value::from(expand_user(cx, &value.to_text()))),
        "expandvars" => |cx, value, _| {
            let mut text = value.to_text();
            for (name, content) in &cx.cx.world.env {
                text = text.replace(&format!("${{{name}}}"), content);
            }
            Ok(Value::from(text))
        },
        "realpath" => |_, value, _| {
            let text = value.to_text();
            let path = std::fs::canonicalize(&text).map(|path| path.display().to_string());
            Ok(Value::from(path.unwrap_or_else(|_| normal(&text))))
        },
        "normpath" => |_, value, _| Ok(Value::from(normal(&value.to_text()))),
        "relpath" => |_, value, call| {
            let start = call.text(0, "start").unwrap_or_else(|| ".".to_owned());
            let (path, start) = (normal(&value.to_text()), normal(&start));
            let parts = |text: &str| -> Vec<String> {
                text.split('/')
                    .filter(|part| !part.is_empty() && *part != ".")
                    .map(str::to_owned)
                    .collect()
            };
            let (path, start) = (parts(&path), parts(&start));
            let common = path.iter().zip(&start).take_while(|(a, b)| a == b).count();
            let mut out = vec!["..".to_owned(); start.len() - common];
            out.extend_from_slice(&path[common..]);
            Ok(Value::from(if out.is_empty() { ".".to_owned() } else { out.join("/") }))
        },
        "path_join" => |_, value, _| {
            let parts = match (value.as_list(), &value) {
                (Some(items), _) => items.iter().map(Value::to_text).collect(),
                (None, Value::Str(text)) => vec![text.to_string()],
                _ => {
                    return Err(Fault::new(format!(
                        "|path_join expects string or sequence, got <class '{}'> instead.",
                        value.type_name()
                    )));
                }
            };
            let mut out = String::new();
            for part in parts {
                if part.starts_with('/') {
                    out = part;
                } else {
                    if !out.is_empty() && !out.ends_with('/') {
                        out.push('/');
                    }
                    out.push_str(&part);
                }
            }
            Ok(Value::from(out))
        },
        "win_basename" => |_, value, _| {
            let text = value.to_text();
            Ok(Value::str(text.rsplit(['\\', '/']).next().unwrap_or_default()))
        },
        "win_dirname" => |_, value, _| {
            let text = value.to_text();
            let (drive, rest) = split_drive(&text);
            let at = rest.rfind(['\\', '/']).map_or(0, |at| at + 1);
            let head = rest[..at].trim_end_matches(['\\', '/']);
            Ok(Value::from(format!("{drive}{}", if head.is_empty() { &rest[..at] } else { head })))
        },
        "win_splitdrive" => |_, value, _| {
            let text = value.to_text();
            let (drive, rest) = split_drive(&text);
            Ok(Value::strings([drive, rest]))
        },
        "commonpath" => |_, value, _| {
            let Some(paths) = value.as_list() else {
                return Err(Fault::new(format!(
                    "|commonpath expects sequence, got <class '{}'> instead.",
                    value.type_name()
                )));
            };
            let paths: Vec<String> = paths.iter().map(Value::to_text).collect();
            common_path(&paths).map(Value::from)
        },
        "urldecode" => |_, value, _| Ok(Value::from(url::decode(&value.to_text(), true))),
        "urlsplit" => |_, value, call| {
            let parts = url::split(&value.to_text()).into_value();
            match call.text(0, "query").filter(|wanted| !wanted.is_empty()) {
                Some(wanted) => parts.get(&wanted).cloned().ok_or_else(|| {
                    Fault::new(format!("urlsplit: unknown URL component: {wanted}"))
                }),
                None => Ok(parts),
            }
        },
        "ipwrap" => |_, value, _| {
            let wrap = |text: String| match text.parse::<std::net::Ipv6Addr>() {
                Ok(_) => format!("[{text}]"),
                Err(_) => text,
            };
            Ok(match value.as_list() {
                Some(items) => Value::strings(items.iter().map(|item| wrap(item.to_text()))),
                None => Value::from(wrap(value.to_text())),
            })
        },
        "fileglob" => {
            |_, value, _| Ok(Value::strings(crate::template::lookups::glob(&value.to_text())))
        }
        _ => return None,
    })
}

fn dirname(text: &str) -> String {
    match text.rsplit_once('/') {
        Some((head, _)) => {
            let trimmed = head.trim_end_matches('/');
            if trimmed.is_empty() {
                head.to_owned() + if head.is_empty() { "/" } else { "" }
            } else {
                trimmed.to_owned()
            }
        }
        None => String::new(),
    }
}

/// `~` and `~/…` with the home directory of the one who runs us, `~name` with that of another user.
pub(crate) fn expand_user(cx: &Interp<'_>, text: &str) -> String {
    let Some(rest) = text.strip_prefix('~') else { return text.to_owned() };
    let (name, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let home = match name {
        "" => cx.cx.world.env.get("HOME").cloned(),
        name => home_of(name),
    };
    home.map_or_else(|| text.to_owned(), |home| format!("{home}{below}"))
}

/// The home of a user of this computer, as passwd(5) has it.
fn home_of(name: &str) -> Option<String> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let entry = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let entry = entry.into_iter().find(|entry| entry.first() == Some(&name))?;
    entry.get(5).map(|home| (*home).to_owned())
}

/// A drive letter or a share, and the rest: `ntpath.splitdrive`.
fn split_drive(text: &str) -> (&str, &str) {
    let slash = |c: char| matches!(c, '\\' | '/');
    if let Some(rest) = text.strip_prefix(slash).and_then(|rest| rest.strip_prefix(slash)) {
        let Some(host) = rest.find(slash) else { return (text, "") };
        let share = host + 1;
        let end = rest[share..].find(slash).map_or(rest.len(), |at| share + at);
        return text.split_at(end + 2);
    }
    let has_drive = text.chars().nth(1) == Some(':');
    let end = text.char_indices().nth(2).map_or(text.len(), |(at, _)| at);
    text.split_at(if has_drive { end } else { 0 })
}

/// `os.path.commonpath`.
fn common_path(paths: &[String]) -> Result<String, Fault> {
    let absolute = paths.iter().filter(|path| path.starts_with('/')).count();
    if paths.is_empty() {
        return Err(Fault::new("commonpath() arg is an empty sequence"));
    }
    if absolute != 0 && absolute != paths.len() {
        return Err(Fault::new("Can't mix absolute and relative paths"));
    }
    fn parts(path: &str) -> impl Iterator<Item = &str> {
        path.split('/').filter(|part| !part.is_empty() && *part != ".")
    }
    let mut common: Vec<&str> = parts(&paths[0]).collect();
    for path in &paths[1..] {
        let same = common.iter().zip(parts(path)).take_while(|(a, b)| **a == *b).count();
        common.truncate(same);
    }
    Ok(format!("{}{}", if absolute > 0 { "/" } else { "" }, common.join("/")))
}

/// `os.path.normpath`.
fn normal(text: &str) -> String {
    let absolute = text.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    // POSIX leaves two slashes at the beginning to the system, and Python leaves them alone.
    let two = text.starts_with("//") && !text.starts_with("///");
    match (absolute, joined.is_empty()) {
        (true, _) => format!("{}{joined}", if two { "//" } else { "/" }),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}
