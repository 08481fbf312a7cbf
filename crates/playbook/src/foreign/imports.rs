//! What a Python text imports, without a Python: names in `import` and `from … import`.

/// One name that is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    /// Dotted name of what stands after `import` or `from`, absolute.
    pub(super) from: String,
    /// The name taken from it; `None` for a plain `import`.
    pub(super) name: Option<String>,
    /// It stands under a `try`, so that its absence is provided for.
    pub(super) optional: bool,
}

/// All imports of a text. `package` is the dotted name of the package it belongs to, for
/// imports that are relative to it.
pub(super) fn scan(text: &str, package: &str) -> Vec<Import> {
    let mut found = Vec::new();
    // Indentation of the `try`s around the line.
    let mut tries: Vec<usize> = Vec::new();
    for (indent, line) in lines(text) {
        tries.retain(|at| *at < indent);
        for statement in line.split(';').map(str::trim) {
            let word = statement.split([' ', '\t', ':', '(']).next().unwrap_or_default();
            match word {
                "try" => {
                    tries.push(indent);
                    // `try: import x` on one line.
                    if let Some((_, rest)) = statement.split_once(':') {
                        one(rest.trim(), package, true, &mut found);
                    }
                }
                "import" | "from" => one(statement, package, !tries.is_empty(), &mut found),
                _ => {}
            }
        }
    }
    found
}

fn one(statement: &str, package: &str, optional: bool, found: &mut Vec<Import>) {
    let words: Vec<&str> = statement.split([' ', '\t', '(', ')', ',']).collect();
    let mut names = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let keyword = words.next();
    let mut from = String::new();
    if keyword == Some("from") {
        // `from . import x` and `from .. import x` may have blanks after the dots.
        for word in words.by_ref() {
            if word == "import" {
                break;
            }
            from.push_str(word);
        }
    } else if keyword != Some("import") {
        return;
    }
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        if word == "as" {
            words.next();
            continue;
        }
        names.push(word.to_owned());
    }
    if keyword == Some("import") {
        found.extend(names.into_iter().map(|from| Import { from, name: None, optional }));
        return;
    }
    let Some(from) = absolute(&from, package) else { return };
    found.extend(names.into_iter().map(|name| Import {
        from: from.clone(),
        name: Some(name),
        optional,
    }));
}

/// `..a.b` seen from a package.
fn absolute(from: &str, package: &str) -> Option<String> {
    let name = from.trim_start_matches('.');
    let dots = from.len() - name.len();
    if dots == 0 {
        return Some(name.to_owned());
    }
    let mut base: Vec<&str> = package.split('.').collect();
    let keep = base.len().checked_sub(dots - 1)?;
    base.truncate(keep);
    if !name.is_empty() {
        base.push(name);
    }
    Some(base.join("."))
}

/// Logical lines with their indentation: without comments and texts, and with what stands in
/// brackets or goes on after a backslash on one line.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    let mut line = String::new();
    let mut depth = 0usize;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        match c {
            '#' => rest = after.find('\n').map_or("", |at| &after[at..]),
            '\\' => rest = after.strip_prefix('\n').unwrap_or(after),
            '"' | '\'' => {
                rest = after_text(rest, c);
                line.push('_');
            }
            '\n' if depth == 0 => {
                finish(&mut line, &mut out);
                rest = after;
            }
            _ => {
                match c {
                    '(' | '[' | '{' => depth += 1,
                    ')' | ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                line.push(if c == '\n' { ' ' } else { c });
                rest = after;
            }
        }
    }
    finish(&mut line, &mut out);
    out
}

fn finish(line: &mut String, out: &mut Vec<(usize, String)>) {
    let indent = line.chars().take_while(|c| c.is_whitespace()).count();
    if !line.trim().is_empty() {
        out.push((indent, line.trim().to_owned()));
    }
    line.clear();
}

/// What follows the text that begins here with `quote`, one or three of it.
fn after_text(rest: &str, quote: char) -> &str {
    let three = if quote == '"' { "\"\"\"" } else { "'''" };
    let (mut rest, long) = match rest.strip_prefix(three) {
        Some(rest) => (rest, true),
        None => (&rest[1..], false),
    };
    while let Some(c) = rest.chars().next() {
        if long && let Some(after) = rest.strip_prefix(three) {
            return after;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => rest = rest.get(rest.chars().next().map_or(0, char::len_utf8)..).unwrap_or(""),
            '\n' if !long => return rest,
            c if c == quote && !long => return rest,
            _ => {}
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        scan(text, "ansible_collections.a.b.plugins.modules")
            .into_iter()
            .map(|import| {
                let name = import.name.map(|name| format!(":{name}")).unwrap_or_default();
                format!("{}{name}{}", import.from, if import.optional { "?" } else { "" })
            })
            .collect()
    }

    #[test]
    fn imports_are_found_however_they_are_written() {
        assert_eq!(told("import os, sys as s\n"), ["os", "sys"]);
        assert_eq!(
            told("from ansible.module_utils.a import (b,  # why\n    c as d,\n)\n"),
            ["ansible.module_utils.a:b", "ansible.module_utils.a:c"]
        );
        assert_eq!(told("from x import a, \\\n  b; import c\n"), ["x:a", "x:b", "c"]);
        assert_eq!(
            told("from ..module_utils import z\nfrom ..module_utils.q import r\nfrom . import e"),
            [
                "ansible_collections.a.b.plugins.module_utils:z",
                "ansible_collections.a.b.plugins.module_utils.q:r",
                "ansible_collections.a.b.plugins.modules:e",
            ]
        );
    }

    #[test]
    fn what_a_text_says_is_no_import() {
        assert!(told("D = '''\nimport no\n'''\nx = 'import no'  # import no\n").is_empty());
        assert_eq!(told("\"\"\"import no\"\"\"\nimport yes\n"), ["yes"]);
    }

    #[test]
    fn an_import_under_a_try_may_fail() {
        assert_eq!(
            told(
                "try:\n    import a\nexcept ImportError:\n    import b\nimport c\ntry: import d\n"
            ),
            ["a?", "b", "c", "d?"]
        );
    }
}
