//! Files of the controller: where they are looked for, and what is made of them.

use crate::template::interp::with_last_newlines;
use crate::template::{Fault, Interp, Syntax, pattern};
use crate::value::{Call, Value};
use std::path::{Path, PathBuf};

/// A file of the controller, found where Ansible looks: in the role's `subdir`, the role, the
/// directory of the task file, the playbook's directory.
pub(crate) fn find_file(
    cx: &mut Interp<'_>,
    subdir: &str,
    name: &str,
) -> Result<Option<PathBuf>, Fault> {
    Ok(candidates(cx, subdir, name)?.into_iter().find(|path| path.exists()))
}

/// Where a file of the controller is looked for, in order.
fn candidates(cx: &mut Interp<'_>, subdir: &str, name: &str) -> Result<Vec<PathBuf>, Fault> {
    let name = crate::template::filters::expand_user(cx, name);
    if Path::new(&name).is_absolute() {
        return Ok(vec![PathBuf::from(name)]);
    }
    let pair = |place: PathBuf| [place.join(subdir).join(&name), place.join(&name)];
    Ok(places(cx)?.into_iter().flat_map(pair).collect())
}

/// That a file is nowhere, with all the places where it was looked for.
pub(crate) fn not_found(cx: &mut Interp<'_>, subdir: &str, name: &str) -> String {
    let places = candidates(cx, subdir, name).unwrap_or_default();
    // One that says itself where it is was looked for nowhere else.
    let places = places.iter().filter(|_| !name.starts_with(['/', '~']));
    let mut searched: String = places.map(|path| format!("\n\t{}", path.display())).collect();
    if !searched.is_empty() {
        searched.insert_str(0, "\nSearched in:");
    }
    format!(
        "Could not find or access '{name}'{searched} on the Ansible Controller.\nIf you are using a module and expect the file to exist on the remote, see the remote_src option"
    )
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

pub(super) fn read_each(
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
                    "Unable to access the file '{name}': File not found. Use -vvvvv to see paths searched."
                )));
            }
        }
    }
    Ok(out)
}

pub(super) fn template(
    cx: &mut Interp<'_>,
    terms: &[Value],
    call: &Call,
) -> Result<Vec<Value>, Fault> {
    let mut syntax = Syntax::default();
    for (option, mark) in [
        ("variable_start_string", &mut syntax.variable.0),
        ("variable_end_string", &mut syntax.variable.1),
        ("comment_start_string", &mut syntax.comment.0),
        ("comment_end_string", &mut syntax.comment.1),
    ] {
        if let Some(asked) = call.named(option).filter(|asked| !asked.is_none()) {
            *mark = asked.to_text();
        }
    }
    syntax.trim_blocks = call.named("trim_blocks").and_then(Value::as_boolean).unwrap_or(true);
    let vars = call.named("template_vars").and_then(Value::as_dict).cloned().unwrap_or_default();
    let mut out = Vec::new();
    for term in terms {
        let name = term.to_text();
        let Some(path) = find_file(cx, "templates", &name)? else {
            return Err(Fault::new(format!(
                "the template file {name} could not be found for the lookup"
            )));
        };
        let text = read(cx, &path)?;
        let mut syntax = syntax.clone();
        let source = syntax.header(&text).map_err(Fault::new)?;
        let tree = crate::template::parse::parse_template(source, &syntax).map_err(|fault| {
            Fault::new(format!("{}:{}: {}", path.display(), fault.line, fault.what))
        })?;
        let full = path.display().to_string();
        let mut inner = cx.nested(cx.cx);
        for (name, value) in [("template_path", &name), ("template_fullpath", &full)] {
            inner.frames[0].insert(name.into(), Value::str(value));
        }
        for (key, value) in &vars {
            inner.frames[0].insert(key.to_json_key().into(), value.clone());
        }
        if inner.depth > 30 {
            return Err(Fault::new("Recursive loop detected in template"));
        }
        let value = inner.native_of(&tree)?;
        let value = inner.deep(&value)?;
        out.push(with_last_newlines(inner.leave(value)?, source, "\n"));
    }
    Ok(out)
}

pub(super) fn fileglob(
    cx: &mut Interp<'_>,
    terms: &[Value],
    _call: &Call,
) -> Result<Vec<Value>, Fault> {
    let mut out = Vec::new();
    for term in terms {
        let term = crate::template::filters::expand_user(cx, &term.to_text());
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

pub(super) fn first_found(
    cx: &mut Interp<'_>,
    terms: &[Value],
    call: &Call,
) -> Result<Vec<Value>, Fault> {
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
    // Only `with_first_found` looks into a directory that goes with the action.
    let subdir = call.named("_subdir").map(Value::to_text).unwrap_or_default();
    for file in &files {
        if let Some(path) = find_file(cx, &subdir, file)? {
            return Ok(vec![Value::from(path.display().to_string())]);
        }
    }
    if skip {
        return Ok(Vec::new());
    }
    Err(Fault::new("No file was found when using first_found."))
}
