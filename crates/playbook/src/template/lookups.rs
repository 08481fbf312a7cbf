//! Lookups: what templates fetch from the controller's side, and the `with_…` loops.
//!
//! Files are read, the environment handed in is consulted; nothing is executed.

use super::filters::short_name;
use super::{Fault, Interp, Syntax, ops, pattern};
use crate::value::{Call, Value};
use std::path::{Path, PathBuf};

/// A lookup: its terms, and the named arguments.
type Lookup = fn(&mut Interp<'_>, &[Value], &Call) -> Result<Vec<Value>, Fault>;

pub(crate) fn exists(name: &str) -> bool {
    find(name).is_some()
}

/// `lookup(name, …)` and, with `as_list`, `query(name, …)`.
pub(crate) fn call(cx: &mut Interp<'_>, as_list: bool, call: &Call) -> Result<Value, Fault> {
    let Some(name) = call.args.first() else {
        return Err(Fault::new("lookup() takes the name of a lookup"));
    };
    let name = name.to_text();
    let as_list = as_list || call.named("wantlist").is_some_and(Value::is_true);
    let found = match run(cx, &name, &call.args[1..], call) {
        Ok(found) => found,
        Err(fault) => {
            return match call.text(usize::MAX, "errors").as_deref() {
                Some("ignore" | "warn") if as_list => Ok(Value::list(Vec::new())),
                Some("ignore" | "warn") => Ok(Value::None),
                _ => Err(fault),
            };
        }
    };
    if as_list {
        return Ok(Value::list(found));
    }
    match found.len() {
        0 => Ok(Value::list(Vec::new())),
        1 => Ok(found.into_iter().next().expect("has one element")),
        _ if found.iter().all(|value| matches!(value, Value::Str(_))) => {
            Ok(Value::from(found.iter().map(Value::to_text).collect::<Vec<_>>().join(",")))
        }
        _ => Ok(Value::list(found)),
    }
}

/// Runs a lookup over terms, as `with_<name>` does.
pub(crate) fn run(
    cx: &mut Interp<'_>,
    name: &str,
    terms: &[Value],
    call: &Call,
) -> Result<Vec<Value>, Fault> {
    let short = short_name(name);
    let Some(lookup) = find(short) else {
        return Err(Fault::new(format!("lookup plugin '{name}' not found")));
    };
    if !matches!(short, "vars" | "first_found") {
        for term in terms {
            cx.defined(term)?;
        }
    }
    let found = lookup(cx, terms, call).map(|found| {
        // What leaves a lookup is kept in variables, which know lists but no tuples.
        found
            .into_iter()
            .map(|value| match value {
                Value::Tuple(items) => Value::List(items),
                value => value,
            })
            .collect()
    });
    found.map_err(|mut fault| {
        if !fault.undefined {
            fault.what = format!("The lookup plugin '{short}' failed: {}", fault.what);
        }
        fault
    })
}

fn find(name: &str) -> Option<Lookup> {
    Some(match name {
        "env" => |cx, terms, call| {
            let mut out = Vec::new();
            for term in terms {
                let name = term.to_text();
                out.push(match (cx.cx.world.env.get(name.trim()), call.named("default")) {
                    (Some(value), _) => Value::str(value),
                    (None, Some(default)) => default.clone(),
                    (None, None) => Value::str(""),
                });
            }
            Ok(out)
        },
        "file" => |cx, terms, call| {
            let strip_end = call.named("rstrip").is_none_or(Value::is_true);
            let strip_start = call.named("lstrip").is_some_and(Value::is_true);
            read_each(cx, terms, "files", |text| {
                let text = if strip_end { text.trim_end() } else { text };
                Value::str(if strip_start { text.trim_start() } else { text })
            })
        },
        "unvault" => |cx, terms, _| read_each(cx, terms, "files", |text| Value::str(text)),
        "lines" => |_, _, _| {
            Err(Fault::new("`lines` runs a command on the controller, which is not supported"))
        },
        "template" => template,
        "fileglob" => fileglob,
        "first_found" => first_found,
        "vars" => |cx, terms, call| {
            let mut out = Vec::new();
            for term in terms {
                let name = term.to_text();
                let value = match cx.cx.scope.get(&name) {
                    Some(value) => cx.deep(&value)?,
                    None => match call.named("default") {
                        Some(default) => default.clone(),
                        None => {
                            return Err(Fault {
                                undefined: true,
                                ..Fault::new(format!("No variable named '{name}' was found."))
                            });
                        }
                    },
                };
                out.push(value);
            }
            Ok(out)
        },
        "varnames" => |cx, terms, _| {
            let mut out = Vec::new();
            let mut names = cx.cx.scope.names();
            names.sort();
            for term in terms {
                let regex = pattern::regex(&term.to_text(), false, false, false)?;
                out.extend(
                    names
                        .iter()
                        .filter(|name| regex.is_match(&***name).unwrap_or(false))
                        .map(Value::str),
                );
            }
            Ok(out)
        },
        "dict" => |_, terms, _| {
            let mut out = Vec::new();
            for term in terms {
                let Some(entries) = term.as_dict() else {
                    return Err(Fault::new("the 'dict' lookup plugin expects a dictionary"));
                };
                for (key, value) in entries {
                    out.push(Value::dict_of([("key", key.to_value()), ("value", value.clone())]));
                }
            }
            Ok(out)
        },
        "items" => |_, terms, _| {
            let mut out = Vec::new();
            for term in terms {
                match term.as_list() {
                    Some(items) => out.extend_from_slice(items),
                    None => out.push(term.clone()),
                }
            }
            Ok(out)
        },
        "list" => |_, terms, _| Ok(terms.to_vec()),
        "flattened" => |_, terms, _| {
            fn flatten(items: &[Value], out: &mut Vec<Value>) {
                for item in items {
                    match item.as_list() {
                        Some(inner) => flatten(inner, out),
                        None if item.is_none() => {}
                        None => out.push(item.clone()),
                    }
                }
            }
            let mut out = Vec::new();
            flatten(terms, &mut out);
            Ok(out)
        },
        "indexed_items" => |_, terms, _| {
            let mut all = Vec::new();
            for term in terms {
                match term.as_list() {
                    Some(items) => all.extend_from_slice(items),
                    None => all.push(term.clone()),
                }
            }
            Ok(all
                .into_iter()
                .enumerate()
                .map(|(index, item)| Value::tuple(vec![Value::from(index), item]))
                .collect())
        },
        "together" => |_, terms, _| {
            let lists: Result<Vec<_>, _> = terms.iter().map(ops::iterate).collect();
            let lists = lists?;
            let count = lists.iter().map(Vec::len).max().unwrap_or(0);
            Ok((0..count)
                .map(|index| {
                    Value::list(
                        lists
                            .iter()
                            .map(|list| list.get(index).cloned().unwrap_or_default())
                            .collect(),
                    )
                })
                .collect())
        },
        "nested" | "cartesian" => |_, terms, _| {
            let lists: Result<Vec<_>, _> = terms
                .iter()
                .map(|term| {
                    if term.as_str().is_some() {
                        Ok(vec![term.clone()])
                    } else {
                        ops::iterate(term)
                    }
                })
                .collect();
            Ok(super::filters::product(&lists?).into_iter().map(Value::list).collect())
        },
        "subelements" => |cx, terms, _| {
            let [items, name, ..] = terms else {
                return Err(Fault::new("subelements takes a list and the name of an element"));
            };
            let skip = terms
                .get(2)
                .and_then(|options| options.get("skip_missing"))
                .is_some_and(Value::is_true);
            let call = Call { args: vec![name.clone(), Value::Bool(skip)], named: Vec::new() };
            let pairs = ops::iterate(&cx.filter("subelements", items.clone(), &call)?)?;
            let key = name.to_text();
            // Unlike the filter, the lookup gives the item without what it went over.
            Ok(pairs
                .iter()
                .filter_map(|pair| {
                    let [item, element] = pair.as_list()? else { return None };
                    let mut rest = item.as_dict()?.clone();
                    rest.shift_remove(key.as_str());
                    Some(Value::list(vec![Value::dict(rest), element.clone()]))
                })
                .collect())
        },
        "sequence" => |_, terms, call| {
            let mut out = Vec::new();
            if terms.is_empty() {
                out.extend(sequence("", call)?);
            }
            for term in terms {
                out.extend(sequence(&term.to_text(), call)?);
            }
            Ok(out)
        },
        "random_choice" => |cx, terms, _| match terms {
            [] => Ok(Vec::new()),
            terms => {
                let list = Value::list(terms.to_vec());
                cx.filter("random", list, &Call::default()).map(|one| vec![one])
            }
        },
        "inventory_hostnames" => |cx, terms, _| {
            let groups = cx.name("groups")?;
            let mut out: Vec<Value> = Vec::new();
            for part in terms.iter().flat_map(|term| {
                term.to_text().split([':', ',']).map(str::to_owned).collect::<Vec<_>>()
            }) {
                let (sign, name) = match part.chars().next() {
                    Some(sign @ ('!' | '&')) => (sign, &part[1..]),
                    _ => ('+', part.as_str()),
                };
                let members = match groups.get(name).and_then(Value::as_list) {
                    Some(members) => members.to_vec(),
                    None => vec![Value::str(name)],
                };
                match sign {
                    '!' => out.retain(|host| !members.contains(host)),
                    '&' => out.retain(|host| members.contains(host)),
                    _ => members.into_iter().for_each(|host| {
                        if !out.contains(&host) {
                            out.push(host);
                        }
                    }),
                }
            }
            Ok(out)
        },
        "ini" => ini,
        "csvfile" => csvfile,
        _ => return None,
    })
}

/// A file of the controller, found where Ansible looks: in the role's `subdir`, the role, the
/// directory of the task file, the playbook's directory.
pub(crate) fn find_file(
    cx: &mut Interp<'_>,
    subdir: &str,
    name: &str,
) -> Result<Option<PathBuf>, Fault> {
    let name = super::filters::expand_user(cx, name);
    if Path::new(&name).is_absolute() {
        return Ok(Some(PathBuf::from(name)).filter(|path| path.exists()));
    }
    for place in places(cx)? {
        for candidate in [place.join(subdir).join(&name), place.join(&name)] {
            if candidate.exists() {
                return Ok(Some(candidate));
            }
        }
    }
    Ok(None)
}

fn places(cx: &mut Interp<'_>) -> Result<Vec<PathBuf>, Fault> {
    let mut places = Vec::new();
    let path = cx.name("ansible_search_path")?;
    if let Some(items) = path.as_list() {
        places.extend(items.iter().map(|item| PathBuf::from(item.to_text())));
    }
    {
        let name = "playbook_dir";
        let value = cx.name(name)?;
        if let Some(text) = value.as_str() {
            places.push(PathBuf::from(text));
        }
    }
    Ok(places)
}

fn read(cx: &Interp<'_>, path: &Path) -> Result<String, Fault> {
    cx.cx.world.vault.read_text(path).map_err(Fault::new)
}

fn read_each(
    cx: &mut Interp<'_>,
    terms: &[Value],
    subdir: &str,
    make: impl Fn(&str) -> Value,
) -> Result<Vec<Value>, Fault> {
    let mut out = Vec::new();
    for term in terms {
        let name = term.to_text();
        match find_file(cx, subdir, &name)? {
            Some(path) => out.push(make(&read(cx, &path)?)),
            None => {
                return Err(Fault::new(format!(
                    "Unable to access the file '{name}': it was not found"
                )));
            }
        }
    }
    Ok(out)
}

fn template(cx: &mut Interp<'_>, terms: &[Value], call: &Call) -> Result<Vec<Value>, Fault> {
    let mut syntax = Syntax { keep_trailing_newline: true, ..Syntax::default() };
    if let Some(marks) = call.text(usize::MAX, "variable_start_string") {
        syntax.variable.0 = marks;
    }
    if let Some(marks) = call.text(usize::MAX, "variable_end_string") {
        syntax.variable.1 = marks;
    }
    let vars = call.named("template_vars").and_then(Value::as_dict).cloned().unwrap_or_default();
    let mut out = Vec::new();
    for term in terms {
        let name = term.to_text();
        let Some(path) = find_file(cx, "templates", &name)? else {
            return Err(Fault::new(format!(
                "the template file {name} could not be found for the lookup"
            )));
        };
        let tree = super::parse::parse_template(&read(cx, &path)?, &syntax).map_err(|fault| {
            Fault::new(format!("{}:{}: {}", path.display(), fault.line, fault.what))
        })?;
        let mut inner = cx.nested(cx.cx);
        for (key, value) in &vars {
            inner.frames[0].insert(key.to_json_key().into(), value.clone());
        }
        if inner.depth > 30 {
            return Err(Fault::new("Recursive loop detected in template"));
        }
        out.push(Value::from(inner.text_of(&tree)?));
    }
    Ok(out)
}

fn fileglob(cx: &mut Interp<'_>, terms: &[Value], _call: &Call) -> Result<Vec<Value>, Fault> {
    let mut out = Vec::new();
    for term in terms {
        let term = super::filters::expand_user(cx, &term.to_text());
        if term.starts_with('/') {
            out.extend(glob(&term));
            continue;
        }
        for place in places(cx)? {
            let found: Vec<String> = ["files", ""]
                .iter()
                .map(|subdir| glob(&place.join(subdir).join(&term).display().to_string()))
                .find(|found| !found.is_empty())
                .unwrap_or_default();
            if !found.is_empty() {
                out.extend(found);
                break;
            }
        }
    }
    Ok(out.into_iter().map(Value::from).collect())
}

/// Regular files that match a shell pattern in the last part of the path, sorted.
pub(crate) fn glob(term: &str) -> Vec<String> {
    let (directory, name) = term.rsplit_once('/').unwrap_or((".", term));
    let directory = if directory.is_empty() { "/" } else { directory };
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|entry| {
            pattern::fnmatch(name, entry) && (name.starts_with('.') || !entry.starts_with('.'))
        })
        .collect();
    found.sort();
    found.into_iter().map(|entry| format!("{}/{entry}", directory.trim_end_matches('/'))).collect()
}

fn first_found(cx: &mut Interp<'_>, terms: &[Value], call: &Call) -> Result<Vec<Value>, Fault> {
    let words = |value: &Value| -> Vec<String> {
        match value.as_list() {
            Some(items) => {
                items.iter().filter(|item| !item.is_undefined()).map(Value::to_text).collect()
            }
            None => value.to_text().split([',', ';', ':']).map(str::to_owned).collect(),
        }
    };
    let mut skip = call.named("skip").is_some_and(Value::is_true);
    let mut files: Vec<String> = Vec::new();
    let mut add = |files_value: Option<&Value>, paths: Option<&Value>| {
        let names = files_value.map(words).unwrap_or_default();
        match paths.map(words).filter(|paths| !paths.is_empty()) {
            Some(paths) => {
                for path in paths {
                    files.extend(
                        names.iter().map(|name| format!("{}/{name}", path.trim_end_matches('/'))),
                    );
                }
            }
            None => files.extend(names),
        }
    };
    add(call.named("files"), call.named("paths"));
    for term in terms {
        match term.as_dict() {
            Some(entries) => {
                skip |= entries.get("skip").is_some_and(Value::is_true);
                add(entries.get("files"), entries.get("paths"));
            }
            None if term.is_undefined() => {}
            None => match term.as_list() {
                Some(items) => items.iter().for_each(|item| match item.as_dict() {
                    Some(entries) => add(entries.get("files"), entries.get("paths")),
                    None => add(Some(&Value::list(vec![item.clone()])), None),
                }),
                None => add(Some(&Value::list(vec![term.clone()])), None),
            },
        }
    }
    let subdirs: Vec<String> = match call.named("_subdir") {
        Some(subdir) => vec![subdir.to_text()],
        None => ["files", "templates", "vars", "tasks"].map(str::to_owned).to_vec(),
    };
    for file in &files {
        for subdir in &subdirs {
            if let Some(path) = find_file(cx, subdir, file)? {
                return Ok(vec![Value::from(path.display().to_string())]);
            }
        }
    }
    if skip {
        return Ok(Vec::new());
    }
    Err(Fault::new("No file was found when using first_found."))
}

fn sequence(term: &str, call: &Call) -> Result<Vec<Value>, Fault> {
    let number = |text: &str| -> Result<i64, Fault> {
        let found = match text.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        };
        found.ok_or_else(|| Fault::new(format!("can't parse '{text}' as a number")))
    };
    let (mut start, mut end, mut count, mut stride, mut format) =
        (1, None, None, None, String::new());
    let mut set = |key: &str, value: &str| -> Result<(), Fault> {
        match key {
            "start" => start = number(value)?,
            "end" => end = Some(number(value)?),
            "count" => count = Some(number(value)?),
            "stride" => stride = Some(number(value)?),
            "format" => format = value.to_owned(),
            _ => return Err(Fault::new(format!("unrecognized arguments to with_sequence: {key}"))),
        }
        Ok(())
    };
    for (name, value) in &call.named {
        if !matches!(&**name, "wantlist" | "errors") {
            set(name, &value.to_text())?;
        }
    }
    if term.contains('=') {
        for pair in term.split_whitespace() {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| Fault::new(format!("unknown word `{pair}`")))?;
            set(key, value)?;
        }
    } else if !term.is_empty() {
        let (range, shape) = term.split_once(':').unwrap_or((term, ""));
        let (range, step) = range.split_once('/').unwrap_or((range, ""));
        match range.split_once('-') {
            Some((first, last)) => {
                set("start", first)?;
                set("end", last)?;
            }
            None => set("end", range)?,
        }
        if !step.is_empty() {
            set("stride", step)?;
        }
        set("format", shape)?;
    }
    let stride = stride.unwrap_or(1);
    let end = match (end, count) {
        (Some(end), None) => end,
        (None, Some(0)) => return Ok(Vec::new()),
        (None, Some(count)) => start + count.saturating_mul(stride) - stride,
        _ => return Err(Fault::new("must specify either count or end in with_sequence")),
    };
    if stride == 0 || (end - start) / stride > 1_000_000 {
        return Err(Fault::new("a sequence of that length is refused"));
    }
    if stride > 0 && end < start {
        return Err(Fault::new("to count backwards make stride negative"));
    }
    if stride < 0 && end > start {
        return Err(Fault::new("to count forward don't make stride negative"));
    }
    let mut out = Vec::new();
    let mut at = start;
    while (stride > 0 && at <= end) || (stride < 0 && at >= end) {
        out.push(if format.is_empty() {
            Value::from(at.to_string())
        } else {
            Value::from(super::printf::percent(&format, &Value::Int(at))?)
        });
        at += stride;
    }
    Ok(out)
}

fn ini(cx: &mut Interp<'_>, terms: &[Value], call: &Call) -> Result<Vec<Value>, Fault> {
    let file = call.text(usize::MAX, "file").unwrap_or_else(|| "ansible.ini".to_owned());
    let section = call.text(usize::MAX, "section").unwrap_or_else(|| "global".to_owned());
    let kind = call.text(usize::MAX, "type").unwrap_or_else(|| "ini".to_owned());
    let Some(path) = find_file(cx, "files", &file)? else {
        return Err(Fault::new(format!("file `{file}` was not found")));
    };
    let text = read(cx, &path)?;
    let wanted = if kind == "properties" { String::new() } else { section };
    let mut current = String::new();
    let mut pairs = Vec::new();
    for line in
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
    {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = name.trim().to_owned();
        } else if current == wanted
            && let Some((key, value)) = line.split_once(['=', ':'])
        {
            pairs.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let mut out = Vec::new();
    for term in terms {
        let key = term.to_text().to_ascii_lowercase();
        if call.named("re").is_some_and(Value::is_true) {
            let regex = pattern::regex(&key, false, false, false)?;
            out.extend(
                pairs
                    .iter()
                    .filter(|(name, _)| regex.is_match(name).unwrap_or(false))
                    .map(|(_, value)| Value::str(value)),
            );
        } else if let Some((_, value)) = pairs.iter().find(|(name, _)| *name == key) {
            out.push(Value::str(value));
        } else {
            out.push(call.named("default").cloned().unwrap_or_else(|| Value::str("")));
        }
    }
    Ok(out)
}

fn csvfile(cx: &mut Interp<'_>, terms: &[Value], call: &Call) -> Result<Vec<Value>, Fault> {
    let file = call.text(usize::MAX, "file").unwrap_or_else(|| "ansible.csv".to_owned());
    let delimiter = call.text(usize::MAX, "delimiter").unwrap_or_else(|| "TAB".to_owned());
    let delimiter =
        if matches!(delimiter.as_str(), "TAB" | "t") { "\t".to_owned() } else { delimiter };
    let column = usize::try_from(call.int(usize::MAX, "col").unwrap_or(1)).unwrap_or(1);
    let Some(path) = find_file(cx, "files", &file)? else {
        return Err(Fault::new(format!("file `{file}` was not found")));
    };
    let text = read(cx, &path)?;
    let mut out = Vec::new();
    for term in terms {
        let key = term.to_text();
        let row = text
            .lines()
            .map(|line| {
                line.split(delimiter.as_str())
                    .map(|cell| cell.trim_matches('"'))
                    .collect::<Vec<_>>()
            })
            .find(|row| row.first() == Some(&key.as_str()));
        match row.and_then(|row| row.get(column).map(|cell| Value::str(*cell))) {
            Some(cell) => out.push(cell),
            None => out.extend(call.named("default").cloned()),
        }
    }
    Ok(out)
}
