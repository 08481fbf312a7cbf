//! Facts of a machine's own making: files and programs in `facts.d`.

use super::Facts;
use crate::context::Context;
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
    let Ok(meta) = file.metadata() else { return format!("Could not stat {shown}").into() };
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
    parse(&text).unwrap_or_else(|| {
        format!("error loading facts as JSON or ini - please check content: {shown}").into()
    })
}

/// JSON, or else the sections of an INI file.
fn parse(text: &str) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let mut sections = Map::new();
    let mut section: Option<(String, Map<String, Value>)> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if let Some((name, map)) = section.take() {
                sections.insert(name, Value::Object(map));
            }
            section = Some((name.to_owned(), Map::new()));
        } else {
            let (key, value) = trimmed.split_once(['=', ':'])?;
            let (_, map) = section.as_mut()?;
            map.insert(key.trim().to_lowercase(), value.trim().into());
        }
    }
    let (name, map) = section?;
    sections.insert(name, Value::Object(map));
    Some(Value::Object(sections))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts_are_json_or_ini_or_a_complaint() {
        assert_eq!(parse("{\"a\": 1}"), Some(json!({ "a": 1 })));
        assert_eq!(
            parse("# c\n[main]\nRole = web\nport: 80\n[x]\n"),
            Some(json!({ "main": { "role": "web", "port": "80" }, "x": {} }))
        );
        assert_eq!(parse("just words"), None);
        assert_eq!(parse("a=b"), None);
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
