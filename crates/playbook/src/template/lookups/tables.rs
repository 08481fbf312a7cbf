//! Values out of INI, properties and CSV files.

use super::files::find_file;
use crate::template::{Fault, Interp, filters, pattern};
use crate::value::{Call, Value};
use std::path::Path;

/// Options of a lookup: those named in the call, and those that stand in a term as `name=value`.
struct Options<'c> {
    call: &'c Call,
    inline: Vec<(String, String)>,
}

impl<'c> Options<'c> {
    /// The key of a term, and the options. In an INI term, words that follow a value belong to it.
    fn read(
        term: &str,
        call: &'c Call,
        known: &[&str],
        joined: bool,
    ) -> Result<(String, Self), Fault> {
        let mut key = String::new();
        let mut inline: Vec<(String, String)> = Vec::new();
        for word in crate::parse::split::words(term).map_err(Fault::new)? {
            match (word.split_once('='), inline.last_mut()) {
                (Some((name, value)), _) if known.contains(&name) => {
                    inline.push((name.to_owned(), crate::parse::split::unquote(value)));
                }
                (Some((name, _)), _) if !joined || key.is_empty() => {
                    return Err(Fault::new(format!("'{name}' is not a valid option")));
                }
                (_, Some((_, value))) if joined => {
                    value.push(' ');
                    value.push_str(&word);
                }
                _ => {
                    if !key.is_empty() {
                        key.push(' ');
                    }
                    key.push_str(&word);
                }
            }
        }
        if inline.is_empty() && joined {
            key = term.to_owned();
        }
        Ok((key, Self { call, inline }))
    }

    fn value(&self, name: &str) -> Option<Value> {
        let inline = self.inline.iter().find(|(key, _)| key == name);
        inline.map(|(_, value)| Value::str(value)).or_else(|| self.call.named(name).cloned())
    }

    fn text(&self, name: &str, default: &str) -> String {
        let value = self.value(name).filter(|value| !value.is_none());
        value.map_or_else(|| default.to_owned(), |value| value.to_text())
    }

    fn flag(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.as_boolean().unwrap_or(false))
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, Fault> {
        let text = self.text(name, "");
        if text.is_empty() {
            return Ok(default);
        }
        text.trim().parse().map_err(|_| {
            Fault::new(format!(
                "Config '{name}' has an invalid value: Invalid value provided for 'int': '{text}'"
            ))
        })
    }
}

fn text_of(cx: &Interp<'_>, path: &Path, options: &Options<'_>) -> Result<String, Fault> {
    let bytes = cx.cx.world.vault.read(path).map_err(Fault::new)?;
    filters::decode(bytes, &options.text("encoding", "utf-8"))
}

const INI: &[&str] = &[
    "type",
    "file",
    "section",
    "re",
    "encoding",
    "default",
    "case_sensitive",
    "allow_no_value",
    "allow_none",
    "interpolation",
];

/// One section of an INI file: names and values in their order.
type Section = Vec<(String, Option<String>)>;

pub(super) fn ini(cx: &mut Interp<'_>, terms: &[Value], call: &Call) -> Result<Vec<Value>, Fault> {
    let mut out = Vec::new();
    for term in terms {
        let (key, options) = Options::read(&term.to_text(), call, INI, true)?;
        if key.is_empty() {
            return Err(Fault::new(format!(
                "No key to look up was provided as first term within string inline options: {}",
                term.to_text()
            )));
        }
        let file = options.text("file", "ansible.ini");
        let Some(path) = find_file(cx, "files", &file)? else {
            return Err(Fault::new(format!("cannot read `{file}`: No such file or directory")));
        };
        let (section, text) = if options.text("type", "ini") == "properties" {
            let name = "java_properties".to_owned();
            (name, format!("[java_properties]\n{}", text_of(cx, &path, &options)?))
        } else {
            (options.text("section", "global"), text_of(cx, &path, &options)?)
        };
        let with_case = options.flag("case_sensitive");
        let alone = options.flag("allow_no_value") || options.flag("allow_none");
        let sections = sections(&text, &file, with_case, alone)?;
        let Some((_, pairs)) = sections.iter().find(|(name, _)| *name == section) else {
            return Err(Fault::new(format!("No section '{section}' in '{file}'.")));
        };
        // What stands under DEFAULT is in every section that has no word of its own.
        let defaults = sections.iter().find(|(name, _)| name == "DEFAULT").map(|(_, pairs)| pairs);
        let inherited = defaults
            .into_iter()
            .flatten()
            .filter(|(name, _)| !pairs.iter().any(|(own, _)| own == name));
        let all: Vec<_> = pairs.iter().chain(inherited).collect();
        let plain = |value: &Option<String>| -> Result<Option<Value>, Fault> {
            match value {
                Some(text) if options.text("interpolation", "true") != "False" => {
                    interpolate(text, &all).map(Value::from).map(Some)
                }
                Some(text) => Ok(Some(Value::str(text))),
                None => Ok(None),
            }
        };
        if options.flag("re") {
            let regex = pattern::regex(&format!(r"\A(?:{key})"), false, false, false)?;
            for (name, value) in &all {
                if regex.is_match(name).unwrap_or(false) {
                    out.push(plain(value)?.unwrap_or_default());
                }
            }
            continue;
        }
        let wanted = if with_case { key.clone() } else { key.to_lowercase() };
        match all.iter().find(|(name, _)| *name == wanted) {
            Some((_, value)) => out.extend(plain(value)?),
            None => {
                let default = options.value("default").unwrap_or_else(|| Value::str(""));
                match default.as_list() {
                    Some(items) => out.extend_from_slice(items),
                    None if default.is_none() => {}
                    None => out.push(default),
                }
            }
        }
    }
    Ok(out)
}

/// `%(name)s` filled in, `%%` a percent sign.
fn interpolate(text: &str, all: &[&(String, Option<String>)]) -> Result<String, Fault> {
    let mut out = text.to_owned();
    // As many rounds as Python's configparser takes.
    for _ in 0..10 {
        let Some(start) = out.find("%(") else { break };
        let Some(end) = out[start..].find(")s") else { break };
        let name = out[start + 2..start + end].to_lowercase();
        let Some((_, value)) = all.iter().find(|(key, _)| *key == name) else {
            return Err(Fault::new(format!("Bad value substitution: key '{name}' is missing")));
        };
        out.replace_range(start..start + end + 2, value.as_deref().unwrap_or_default());
    }
    Ok(out.replace("%%", "%"))
}

/// Reads an INI file as Python's configparser reads it.
fn sections(
    text: &str,
    file: &str,
    with_case: bool,
    alone: bool,
) -> Result<Vec<(String, Section)>, Fault> {
    let mut out: Vec<(String, Section)> = Vec::new();
    let mut indent = 0;
    for (number, line) in text.lines().enumerate() {
        let bare = line.trim();
        if bare.starts_with(['#', ';']) {
            continue;
        }
        let depth = line.len() - line.trim_start().len();
        let open = out.last_mut().and_then(|(_, pairs)| pairs.last_mut());
        if let Some((_, Some(value))) = open
            && (bare.is_empty() || depth > indent)
        {
            value.push('\n');
            value.push_str(bare);
            continue;
        }
        if bare.is_empty() {
            continue;
        }
        indent = depth;
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            out.push((name.0.to_owned(), Vec::new()));
            continue;
        }
        let Some((section, pairs)) = out.last_mut() else {
            return Err(Fault::new(format!(
                "File contains no section headers. line: {}",
                number + 1
            )));
        };
        let (name, value) = match bare.split_once(['=', ':']) {
            Some((name, value)) => (name.trim(), Some(value.trim().to_owned())),
            None if alone => (bare, None),
            None => {
                return Err(Fault::new(format!(
                    "Source contains parsing errors: '{file}' [line {:>2}]: {line:?}",
                    number + 1
                )));
            }
        };
        let name = if with_case { name.to_owned() } else { name.to_lowercase() };
        if pairs.iter().any(|(other, _)| *other == name) {
            return Err(Fault::new(format!(
                "Duplicate option in '{file}'.: option '{name}' in section '{section}' already exists"
            )));
        }
        pairs.push((name, value));
    }
    for (_, pairs) in &mut out {
        for value in pairs.iter_mut().filter_map(|(_, value)| value.as_mut()) {
            *value = value.trim_end().to_owned();
        }
    }
    Ok(out)
}

const CSV: &[&str] = &["col", "keycol", "default", "delimiter", "file", "encoding"];

pub(super) fn csvfile(
    cx: &mut Interp<'_>,
    terms: &[Value],
    call: &Call,
) -> Result<Vec<Value>, Fault> {
    let known = |name: &str| CSV.contains(&name) || matches!(name, "wantlist" | "errors");
    if let Some((name, _)) = call.named.iter().find(|(name, _)| !known(name)) {
        return Err(Fault::new(format!("'{name}' is not a valid option")));
    }
    if terms.is_empty() {
        return Err(Fault::new("Search key is required but was not found"));
    }
    let mut out = Vec::new();
    for term in terms {
        let (key, options) = Options::read(&term.to_text(), call, CSV, false)?;
        if key.trim().is_empty() {
            return Err(Fault::new("Search key is required but was not found"));
        }
        let delimiter = match options.text("delimiter", "TAB").as_str() {
            "TAB" | "\\t" => '\t',
            other => match other.chars().collect::<Vec<_>>()[..] {
                [one] => one,
                _ => return Err(Fault::new("\"delimiter\" must be a 1-character string")),
            },
        };
        let (column, key_column) = (options.number("col", 1)?, options.number("keycol", 0)?);
        let file = options.text("file", "ansible.csv");
        let Some(path) = find_file(cx, "files", &file)? else {
            return Err(Fault::new(format!("cannot read `{file}`: No such file or directory")));
        };
        let rows = rows(&text_of(cx, &path, &options)?, delimiter);
        match rows.iter().find(|row| row.get(key_column).is_some_and(|cell| *cell == key)) {
            Some(row) => match row.get(column) {
                Some(cell) => out.push(Value::str(cell)),
                None => return Err(Fault::new("list index out of range")),
            },
            None => match options.value("default") {
                Some(default) if default.as_list().is_some() => {
                    out.extend_from_slice(default.as_list().unwrap_or_default());
                }
                Some(default) if !default.is_none() => out.push(default),
                _ => {}
            },
        }
    }
    Ok(out)
}

/// Rows of cells; a cell in quotes may hold the delimiter, line breaks and doubled quotes.
fn rows(text: &str, delimiter: char) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut begun = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' if quoted => quoted = false,
            '"' if cell.is_empty() && !begun => {
                quoted = true;
                begun = true;
            }
            c if !quoted && c == delimiter => {
                row.push(std::mem::take(&mut cell));
                begun = false;
            }
            '\r' if !quoted => {}
            '\n' if !quoted => {
                if !row.is_empty() || !cell.is_empty() || begun {
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                begun = false;
            }
            c => cell.push(c),
        }
    }
    if !row.is_empty() || !cell.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_in_quotes_are_whole() {
        let text = "a,\"b, \"\"c\"\"\",d\r\n\n\"x\ny\",z";
        assert_eq!(rows(text, ','), [vec!["a", "b, \"c\"", "d"], vec!["x\ny", "z"]]);
    }

    #[test]
    fn ini_files_are_read_as_configparser_reads_them() {
        let text = "# c\n[a]\nUser = x ; no comment\nlong = 1\n  2\n\n  3\nempty =\n[b]\nalone\n";
        let read = sections(text, "f", false, true).unwrap();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            read[0].1,
            [
                ("user".to_owned(), some("x ; no comment")),
                ("long".to_owned(), some("1\n2\n\n3")),
                ("empty".to_owned(), some("")),
            ]
        );
        assert_eq!(read[1].1, [("alone".to_owned(), None)]);
        assert!(sections(text, "f", false, false).is_err());
        assert!(sections("[a]\nx=1\nX=2", "f", false, false).is_err());
        assert!(sections("x=1", "f", false, false).is_err());
    }
}
