//! Facts of a machine's own making: files and programs in `facts.d`.

use super::Facts;
use crate::context::Context;
use crate::outcome::plain;
use crate::process::Cmd;
use serde_json::{Map, Value};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// A program that tells facts gets as long as Ansible gives all of gathering.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn gather(dir: &str, ctx: &Context) -> Facts {
    let mut facts = Facts::new();
    let Ok(entries) = fs::read_dir(dir) else { return facts };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        let Some(name) = file.file_name().and_then(|name| name.to_str()) else { continue };
        if let Some(name) = name.strip_suffix(".fact") {
            facts.insert(name.to_owned(), one(&file, ctx));
        }
    }
    facts
}

fn one(file: &Path, ctx: &Context) -> Value {
    let shown = file.display();
    let meta = match file.metadata() {
        Ok(meta) => meta,
        Err(error) => {
            return format!("Could not stat fact ({shown}): {}", plain(&error)).into();
        }
    };
    let text = if meta.permissions().mode() & 0o100 != 0 {
        match Cmd::new(file).within(PATIENCE).run(ctx) {
            Ok(ran) if ran.success() => ran.out(),
            Ok(ran) => {
                let err = ran.err();
                return format!(
                    "Failure executing fact script ({shown}), rc: {}, err: {err}",
                    ran.code
                )
                .into();
            }
            Err(error) => {
                return format!("Could not execute fact script ({shown}): {error}").into();
            }
        }
    } else {
        match fs::read(file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(_) => return format!("Could not read {shown}").into(),
        }
    };
    match parse(&text) {
        Ok(value) => value,
        Err(None) => {
            format!("error loading facts as JSON or ini - please check content: {shown}").into()
        }
        Err(Some(why)) => {
            format!("error loading facts as ini - please check content: {shown} ({why})").into()
        }
    }
}

/// JSON, or else the sections of an INI file. An error is none where it is neither, and says what
/// is wrong with a value.
fn parse(text: &str) -> Result<Value, Option<String>> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let mut sections: Map<String, Value> = Map::new();
    let mut name: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.entry(header).or_insert_with(|| Map::new().into());
            name = Some(header.to_owned());
            continue;
        }
        let (key, value) = trimmed.split_once(['=', ':']).ok_or(None)?;
        let section = name.as_ref().and_then(|name| sections.get_mut(name)?.as_object_mut());
        section.ok_or(None)?.insert(key.trim().to_lowercase(), value.trim().into());
    }
    for section in sections.values_mut() {
        let raw = section.as_object().cloned().unwrap_or_default();
        for value in section.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let text = value.as_str().unwrap_or_default();
            *value = interpolated(text, &raw, 0)?.into();
        }
    }
    Ok(Value::Object(sections))
}

/// A value with what Python's `configparser` puts in its place: `%%` and `%(other)s`.
fn interpolated(
    text: &str,
    section: &Map<String, Value>,
    depth: usize,
) -> Result<String, Option<String>> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("%%") {
            out.push('%');
            rest = after;
        } else if let Some((name, after)) =
            rest.strip_prefix("%(").and_then(|inner| inner.split_once(")s"))
        {
            let other = section.get(&name.to_lowercase()).and_then(Value::as_str);
            match other.filter(|_| depth < 10) {
                Some(other) => out.push_str(&interpolated(other, section, depth + 1)?),
                None => return Err(Some(format!("bad interpolation variable reference '{name}'"))),
            }
            rest = after;
        } else {
            return Err(Some(format!("'%' must be followed by '%' or '(', found: '{rest}'")));
        }
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts_are_json_or_ini_or_a_complaint() {
        assert_eq!(parse("{\"a\": 1}"), Ok(json!({ "a": 1 })));
        assert_eq!(
            parse("# c\n[main]\nRole = web\nport: 80\n[x]\n"),
            Ok(json!({ "main": { "role": "web", "port": "80" }, "x": {} }))
        );
        assert_eq!(parse("just words"), Err(None));
        assert_eq!(parse("a=b"), Err(None));
        let values = parse("[s]\nport = 80\nurl = x:%(port)s\nshare = 5%%\n").unwrap();
        assert_eq!((&values["s"]["url"], &values["s"]["share"]), (&json!("x:80"), &json!("5%")));
        let why = parse("[s]\na = 5 % b\n").unwrap_err().unwrap();
        assert_eq!(why, "'%' must be followed by '%' or '(', found: '% b'");
    }

    #[test]
    fn programs_are_run_and_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("p.fact");
        fs::write(&program, "#!/bin/sh\necho '{\"n\": 2}'\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("f.fact"), "[s]\nk=v\n").unwrap();
        fs::write(dir.path().join("ignored.txt"), "x").unwrap();
        let facts = gather(dir.path().to_str().unwrap(), &Context::system());
        assert_eq!(Value::Object(facts), json!({ "f": { "s": { "k": "v" } }, "p": { "n": 2 } }));
    }
}
