//! Filters over text.

use super::{Filter, required, urlize};
use crate::template::methods::{capitalize, split};
use crate::template::wrap::wrap;
use crate::template::{Fault, ops, pattern, printf, url};
use crate::value::{Call, Value};
use std::sync::Arc;

pub(super) fn find(name: &str) -> Option<Filter> {
    Some(match name {
        "upper" => |_, value, _| Ok(Value::from(value.to_text().to_uppercase())),
        "lower" => |_, value, _| Ok(Value::from(value.to_text().to_lowercase())),
        "capitalize" => |_, value, _| Ok(Value::from(capitalize(&value.to_text()))),
        "title" => |_, value, _| Ok(Value::from(title_words(&value.to_text()))),
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
            let long = call.flag(1, "break_long_words").unwrap_or(true);
            let hyphens = call.flag(3, "break_on_hyphens").unwrap_or(true);
            let lines: Vec<String> = value
                .to_text()
                .lines()
                .map(|line| wrap(line, width, long, hyphens).join(&joiner))
                .collect();
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
        "urlize" => urlize::filter,
        "escape" | "e" | "forceescape" => |_, value, _| Ok(Value::from(escape(&value.to_text()))),
        "striptags" => |_, value, _| {
            let bare = pattern::regex("<!--.*?-->|<[^>]*>", false, false, true)?;
            let text = bare.replace_all(&value.to_text(), "").into_owned();
            Ok(Value::from(text.split_whitespace().collect::<Vec<_>>().join(" ")))
        },
        "regex_replace" => |_, value, call| {
            let found = Options::of(call, 2, 3)?;
            let regex = found.regex(&call.text(0, "pattern").unwrap_or_default())?;
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
            if let Some(wanted) = call.int(5, "mandatory_count").filter(|wanted| *wanted != 0)
                && i64::try_from(count) != Ok(wanted)
            {
                // The reference shows its `count` argument where it means the matches.
                return Err(Fault::new(format!(
                    "'{}' should match {wanted} times, but matches {most} times in '{text}'",
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
            Ok(Value::from(match call.text(0, "re_type").as_deref().unwrap_or("python") {
                "posix_basic" => text
                    .chars()
                    .flat_map(|c| "].[^$*\\".contains(c).then_some('\\').into_iter().chain([c]))
                    .collect(),
                "python" => pattern::escape(&text),
                "posix_extended" => {
                    return Err(Fault::new("Regex type (posix_extended) not yet implemented"));
                }
                other => return Err(Fault::new(format!("Invalid regex type ({other})"))),
            }))
        },
        "urlencode" => |_, value, _| {
            let plus = |value: &Value| url::encode(&value.to_text(), "").replace("%20", "+");
            let pair = |key: &Value, value: &Value| format!("{}={}", plus(key), plus(value));
            let pairs: Vec<String> = match (value.as_dict(), value.as_list()) {
                (Some(entries), _) => {
                    entries.iter().map(|(key, value)| pair(&key.to_value(), value)).collect()
                }
                (None, Some(items)) => items
                    .iter()
                    .map(|item| match item.as_list() {
                        Some([key, value]) => Ok(pair(key, value)),
                        _ => Err(Fault::new("urlencode takes text, a dict, or a list of pairs")),
                    })
                    .collect::<Result<_, _>>()?,
                (None, None) => return Ok(Value::from(url::encode(&value.to_text(), "/"))),
            };
            Ok(Value::from(pairs.join("&")))
        },
        "xmlattr" => |_, value, call| {
            let Some(entries) = value.as_dict() else {
                return Err(Fault::new(format!(
                    "'{}' object has no attribute 'items'",
                    value.type_name()
                )));
            };
            let mut out = Vec::new();
            for (key, value) in entries {
                if value.is_none() {
                    continue;
                }
                let key = key.to_string();
                if key.contains(|c: char| c.is_whitespace() || "/>=".contains(c)) {
                    return Err(Fault::new(format!(
                        "Invalid character in attribute name: '{key}'"
                    )));
                }
                out.push(format!("{}=\"{}\"", escape(&key), escape(&value.to_text())));
            }
            let lead = !out.is_empty() && call.flag(0, "autospace").unwrap_or(true);
            Ok(Value::from(format!("{}{}", if lead { " " } else { "" }, out.join(" "))))
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
    for wanted in call.args.iter().skip(1) {
        group_of(&wanted.to_text())?;
    }
    let found = regex.captures(text.as_str()).map_err(|error| Fault::new(error.to_string()))?;
    let Some(found) = found else { return Ok(Value::None) };
    if call.args.len() <= 1 {
        return Ok(Value::str(found.get(0).map_or("", |m| m.as_str())));
    }
    let mut groups = Vec::new();
    for wanted in &call.args[1..] {
        let wanted = wanted.to_text();
        let group = match group_of(&wanted)? {
            Group::Number(number) if number < found.len() => found.get(number),
            Group::Name(name) if regex.capture_names().flatten().any(|known| known == name) => {
                found.name(name)
            }
            _ => return Err(Fault::new("no such group")),
        };
        groups.push(group.map_or(Value::None, |m| Value::str(m.as_str())));
    }
    Ok(Value::List(Arc::new(groups)))
}

enum Group<'t> {
    Number(usize),
    Name(&'t str),
}

/// The group that `\\1` or `\\g<name>` means. Two backslashes, as they are written in a playbook's
/// expressions by mistake, mean none.
fn group_of(wanted: &str) -> Result<Group<'_>, Fault> {
    let Some(rest) = wanted.strip_prefix('\\') else { return Err(Fault::new("Unknown argument")) };
    let none = || Fault::new("'NoneType' object has no attribute 'group'");
    if let Some(rest) = rest.strip_prefix('g') {
        let name = rest.strip_prefix('<').and_then(|rest| rest.rsplit_once('>'));
        let (name, _) = name.filter(|(name, _)| !name.is_empty()).ok_or_else(none)?;
        return Ok(name.parse().map_or(Group::Name(name), Group::Number));
    }
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    rest[..digits].parse().map(Group::Number).map_err(|_| none())
}

pub(super) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&#34;").replace('\'', "&#39;")
}

/// Jinja's `title`: words begin after white space, hyphens and opening brackets, not after an
/// apostrophe.
fn title_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        let between = c.is_whitespace() || "-({[<".contains(c);
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = !between;
    }
    out
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

/// `shlex.quote`.
pub(crate) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\"'\"'"))
    }
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
    let before = if prefix == newline { prefix } else { prefix + &newline };
    if before != newline || call.named("prefix").is_some_and(Value::is_true) {
        out.push_str(&before.repeat(count("prefix_count")));
    }
    let body = format!("{decoration}{}", text.replace(&newline, &format!("{newline}{decoration}")));
    // A line of nothing but the decoration does not end in its space.
    let empty = format!("{}{newline}", decoration.trim_end());
    out.push_str(&body.replace(&format!("{decoration}{newline}"), &empty));
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
