//! Filters over text.

use super::{Filter, required};
use crate::template::methods::{capitalize, split, title};
use crate::template::{Fault, ops, pattern, printf};
use crate::value::{Call, Value};
use std::sync::Arc;

pub(super) fn find(name: &str) -> Option<Filter> {
    Some(match name {
        "upper" => |_, value, _| Ok(Value::from(value.to_text().to_uppercase())),
        "lower" => |_, value, _| Ok(Value::from(value.to_text().to_lowercase())),
        "capitalize" => |_, value, _| Ok(Value::from(capitalize(&value.to_text()))),
        "title" => |_, value, _| Ok(Value::from(title(&value.to_text()))),
        "trim" => |_, value, call| {
            let text = value.to_text();
            Ok(match call.text(0, "chars") {
                Some(set) => Value::str(text.trim_matches(|c| set.contains(c))),
                None => Value::str(text.trim()),
            })
        },
        "replace" => |_, value, call| {
            let (old, new) =
                (required(call, 0, "old")?.to_text(), required(call, 1, "new")?.to_text());
            let text = value.to_text();
            Ok(Value::from(
                match call.int(2, "count").and_then(|count| usize::try_from(count).ok()) {
                    Some(count) => text.replacen(&old, &new, count),
                    None => text.replace(&old, &new),
                },
            ))
        },
        "split" => |_, value, call| {
            let most = call.int(1, "maxsplit").and_then(|most| usize::try_from(most).ok());
            split(&value.to_text(), call.text(0, "sep").as_deref(), most, false).map(Value::strings)
        },
        "join" => |cx, value, call| {
            let separator = call.text(0, "d").unwrap_or_default();
            let attribute = call.get(1, "attribute").filter(|name| !name.is_none()).cloned();
            let mut words = Vec::new();
            for item in ops::iterate(&value)? {
                let item = match &attribute {
                    Some(name) => super::lists::path(cx, &item, name)?,
                    None => item,
                };
                words.push(cx.leave(item)?.to_text());
            }
            Ok(Value::from(words.join(&separator)))
        },
        "indent" => |_, value, call| {
            let first = call.flag(1, "first").unwrap_or(false);
            let blank = call.flag(2, "blank").unwrap_or(false);
            let pad = match call.get(0, "width") {
                None => "    ".to_owned(),
                Some(Value::Str(text)) => text.to_string(),
                Some(width) => {
                    " ".repeat(usize::try_from(width.as_int().unwrap_or(4)).unwrap_or(0).min(1000))
                }
            };
            Ok(Value::from(indent(&value.to_text(), &pad, first, blank)))
        },
        "center" => |_, value, call| {
            let width =
                usize::try_from(call.int(0, "width").unwrap_or(80)).unwrap_or(0).min(100_000);
            let text = value.to_text();
            let missing = width.saturating_sub(text.chars().count());
            let left = missing / 2 + (missing & width & 1);
            Ok(Value::from(format!("{}{text}{}", " ".repeat(left), " ".repeat(missing - left))))
        },
        "truncate" => |_, value, call| {
            let text = value.to_text();
            let length = usize::try_from(call.int(0, "length").unwrap_or(255)).unwrap_or(0);
            let kill = call.flag(1, "killwords").unwrap_or(false);
            let end = call.text(2, "end").unwrap_or_else(|| "...".to_owned());
            let leeway = usize::try_from(call.int(3, "leeway").unwrap_or(5)).unwrap_or(0);
            if text.chars().count() <= length + leeway {
                return Ok(value);
            }
            let kept: String =
                text.chars().take(length.saturating_sub(end.chars().count())).collect();
            let kept = if kill {
                kept.as_str()
            } else {
                kept.rsplit_once(' ').map_or(kept.as_str(), |(head, _)| head)
            };
            Ok(Value::from(format!("{kept}{end}")))
        },
        "wordcount" => |_, value, _| {
            let text = value.to_text();
            Ok(Value::from(
                text.split(|c: char| !c.is_alphanumeric() && c != '_')
                    .filter(|word| !word.is_empty())
                    .count(),
            ))
        },
        "wordwrap" => |_, value, call| {
            let width = usize::try_from(call.int(0, "width").unwrap_or(79)).unwrap_or(79).max(1);
            let joiner = call.text(2, "wrapstring").unwrap_or_else(|| "\n".to_owned());
            let lines: Vec<String> =
                value.to_text().split('\n').flat_map(|line| wrap(line, width)).collect();
            Ok(Value::from(lines.join(&joiner)))
        },
        "format" => |_, value, call| {
            let args = match (&call.named[..], &call.args[..]) {
                ([], args) => Value::tuple(args.to_vec()),
                (named, _) => {
                    Value::dict_of(named.iter().map(|(name, value)| (name, value.clone())))
                }
            };
            printf::percent(&value.to_text(), &args).map(Value::from)
        },
        "quote" => |_, value, _| {
            Ok(Value::from(quote(&if value.is_none() { String::new() } else { value.to_text() })))
        },
        "comment" => |_, value, call| {
            let style = call.text(0, "style").unwrap_or_else(|| "plain".to_owned());
            comment(&value.to_text(), &style, call).map(Value::from)
        },
        "escape" | "e" | "forceescape" => |_, value, _| {
            let text = value.to_text();
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            Ok(Value::from(text.replace('"', "&#34;").replace('\'', "&#39;")))
        },
        "striptags" => |_, value, _| {
            let bare = pattern::regex("<!--.*?-->|<[^>]*>", false, false, true)?;
            let text = bare.replace_all(&value.to_text(), "").into_owned();
            Ok(Value::from(text.split_whitespace().collect::<Vec<_>>().join(" ")))
        },
        "regex_replace" => |_, value, call| {
            let found = Options::of(call, 2, 3)?;
            let regex = found.regex(&required(call, 0, "pattern")?.to_text())?;
            let replacement = call.text(1, "replacement").unwrap_or_default();
            let most =
                call.int(4, "count").and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
            let text = value.to_text();
            let mut out = String::new();
            let mut end = 0;
            let mut count = 0;
            for capture in regex.captures_iter(text.as_str()) {
                let capture = capture.map_err(|error| Fault::new(error.to_string()))?;
                let whole = capture.get(0).expect("group 0 is the match");
                out.push_str(&text[end..whole.start()]);
                out.push_str(&pattern::expand(&replacement, &capture)?);
                end = whole.end();
                count += 1;
                if most > 0 && count >= most {
                    break;
                }
            }
            if let (Some(least), true) = (call.int(5, "mandatory_count"), true)
                && (count as i64) < least
            {
                return Err(Fault::new(format!(
                    "'{}' should match {least} times, but matches {count} times in '{text}'",
                    required(call, 0, "pattern")?.to_text()
                )));
            }
            out.push_str(&text[end..]);
            Ok(Value::from(out))
        },
        "regex_search" => regex_search,
        "regex_findall" => |_, value, call| {
            let options = Options {
                multiline: call.flag(1, "multiline").unwrap_or(false),
                ignore_case: call.flag(2, "ignorecase").unwrap_or(false),
            };
            let regex = options.regex(&required(call, 0, "regex")?.to_text())?;
            let text = value.to_text();
            let mut all = Vec::new();
            for capture in regex.captures_iter(text.as_str()) {
                let capture = capture.map_err(|error| Fault::new(error.to_string()))?;
                let group =
                    |index: usize| Value::str(capture.get(index).map_or("", |m| m.as_str()));
                all.push(match capture.len() {
                    1 => group(0),
                    2 => group(1),
                    more => Value::list((1..more).map(group).collect()),
                });
            }
            Ok(Value::list(all))
        },
        "regex_escape" => |_, value, call| {
            let text = value.to_text();
            Ok(Value::from(match call.text(0, "re_type").as_deref() {
                Some("posix_basic") => text
                    .chars()
                    .flat_map(|c| "].[^$*\\".contains(c).then_some('\\').into_iter().chain([c]))
                    .collect(),
                _ => pattern::escape(&text),
            }))
        },
        "urlencode" => |_, value, _| {
            Ok(Value::from(match value.as_dict() {
                Some(entries) => entries
                    .iter()
                    .map(|(key, value)| {
                        format!(
                            "{}={}",
                            percent(&key.to_string(), ""),
                            percent(&value.to_text(), "")
                        )
                    })
                    .collect::<Vec<_>>()
                    .join("&"),
                None => percent(&value.to_text(), "/"),
            }))
        },
        "splitlines" => |_, value, _| Ok(Value::strings(value.to_text().lines())),
        _ => return None,
    })
}

struct Options {
    ignore_case: bool,
    multiline: bool,
}

impl Options {
    fn of(call: &Call, case: usize, lines: usize) -> Result<Self, Fault> {
        Ok(Self {
            ignore_case: call.flag(case, "ignorecase").unwrap_or(false),
            multiline: call.flag(lines, "multiline").unwrap_or(false),
        })
    }

    fn regex(&self, source: &str) -> Result<fancy_regex::Regex, Fault> {
        pattern::regex(source, self.ignore_case, self.multiline, false)
    }
}

fn regex_search(
    _cx: &mut crate::template::Interp<'_>,
    value: Value,
    call: &Call,
) -> Result<Value, Fault> {
    let options = Options {
        ignore_case: call.named("ignorecase").is_some_and(Value::is_true),
        multiline: call.named("multiline").is_some_and(Value::is_true),
    };
    let regex = options.regex(&required(call, 0, "regex")?.to_text())?;
    let text = value.to_text();
    let found = regex.captures(text.as_str()).map_err(|error| Fault::new(error.to_string()))?;
    let Some(found) = found else { return Ok(Value::None) };
    if call.args.len() <= 1 {
        return Ok(Value::str(found.get(0).map_or("", |m| m.as_str())));
    }
    let mut groups = Vec::new();
    for wanted in &call.args[1..] {
        let wanted = wanted.to_text();
        let group = match wanted.strip_prefix('\\') {
            Some(rest) if rest.starts_with('g') => {
                let name = rest[1..].trim_start_matches('<').trim_end_matches('>');
                match name.parse::<usize>() {
                    Ok(number) => found.get(number),
                    Err(_) => found.name(name),
                }
            }
            Some(number) => number.parse().ok().and_then(|number: usize| found.get(number)),
            None => return Err(Fault::new("Unknown argument")),
        };
        groups.push(group.map_or(Value::None, |m| Value::str(m.as_str())));
    }
    Ok(Value::List(Arc::new(groups)))
}

fn indent(text: &str, pad: &str, first: bool, blank: bool) -> String {
    let mut out = String::new();
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let wanted = if index == 0 { first } else { blank || !line.is_empty() };
        if wanted {
            out.push_str(pad);
        }
        out.push_str(line);
    }
    out
}

fn wrap(line: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let current = lines.last_mut().expect("begins with one line");
        let length = current.chars().count();
        if length > 0 && length + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if length > 0 {
                current.push(' ');
            }
            current.push_str(word);
        }
    }
    lines
}

/// `shlex.quote`.
pub(crate) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\"'\"'"))
    }
}

/// Percent-encoding of everything but letters, digits, `-._~` and `safe`.
fn percent(text: &str, safe: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        if byte.is_ascii_alphanumeric()
            || "-._~".contains(c)
            || (byte.is_ascii() && safe.contains(c))
        {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Ansible's `comment` filter.
fn comment(text: &str, style: &str, call: &Call) -> Result<String, Fault> {
    let (beginning, decoration, end) = match style {
        "plain" => ("", "# ", ""),
        "erlang" => ("", "% ", ""),
        "c" => ("", "// ", ""),
        "cblock" => ("/*", " * ", " */"),
        "xml" => ("<!--", " - ", "-->"),
        other => {
            return Err(Fault::new(format!(
                "Invalid style '{other}'. Available styles: plain, erlang, c, cblock, xml"
            )));
        }
    };
    let named = |name: &str, default: &str| {
        call.named(name).map_or_else(|| default.to_owned(), Value::to_text)
    };
    let count =
        |name: &str| call.named(name).and_then(Value::as_int).unwrap_or(1).clamp(0, 1000) as usize;
    let newline = named("newline", "\n");
    let decoration = named("decoration", decoration);
    let beginning = named("beginning", beginning);
    let end = named("end", end);
    let edge = decoration.trim_end().to_owned();
    let prefix = named("prefix", &edge);
    let postfix = named("postfix", &edge);
    let mut out = String::new();
    if !beginning.is_empty() {
        out.push_str(&beginning);
        out.push_str(&newline);
    }
    let lines = |line: &str, times: usize| format!("{line}{newline}").repeat(times);
    if !prefix.is_empty() {
        out.push_str(&lines(&prefix, count("prefix_count")));
    }
    let body: Vec<String> = text
        .split(newline.as_str())
        .map(|line| format!("{decoration}{line}").trim_end().to_owned())
        .collect();
    // Ansible writes an empty line as the decoration without its space.
    out.push_str(&body.join(&newline));
    let after = count("postfix_count");
    for _ in 0..after {
        out.push_str(&newline);
        out.push_str(&postfix);
    }
    if !end.is_empty() {
        out.push_str(&newline);
        out.push_str(&end);
    }
    Ok(out)
}
