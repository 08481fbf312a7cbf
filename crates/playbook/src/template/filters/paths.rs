//! Filters over paths and addresses. They look at text alone.

use super::Filter;
use crate::template::{Fault, Interp};
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
            let parts = match value.as_list() {
                Some(items) => items.iter().map(Value::to_text).collect(),
                None => vec![value.to_text()],
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
        "urlsplit" => |_, value, call| {
            let parts = urlsplit(&value.to_text());
            match call.text(0, "query") {
                Some(wanted) => parts
                    .get(&wanted)
                    .cloned()
                    .ok_or_else(|| Fault::new(format!("unknown URL component: {wanted}"))),
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

/// `~` and `~/…` with the home directory of the one who runs us.
pub(crate) fn expand_user(cx: &Interp<'_>, text: &str) -> String {
    match (text.strip_prefix('~'), cx.cx.world.env.get("HOME")) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            format!("{home}{rest}")
        }
        _ => text.to_owned(),
    }
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
    match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

fn urlsplit(url: &str) -> Value {
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            (scheme, rest)
        }
        _ => ("", rest),
    };
    let (netloc, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let (user, address) = netloc.rsplit_once('@').unwrap_or(("", netloc));
    let (username, password) = match user.split_once(':') {
        Some((name, password)) => (Value::str(name), Value::str(password)),
        None if user.is_empty() => (Value::None, Value::None),
        None => (Value::str(user), Value::None),
    };
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().map_or(Value::None, Value::Int))
        }
        _ => (address, Value::None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    Value::dict_of([
        ("fragment", Value::str(fragment)),
        ("hostname", if host.is_empty() { Value::None } else { Value::from(host) }),
        ("netloc", Value::str(netloc)),
        ("password", password),
        ("path", Value::str(path)),
        ("port", port),
        ("query", Value::str(query)),
        ("scheme", Value::from(scheme.to_ascii_lowercase())),
        ("username", username),
    ])
}
