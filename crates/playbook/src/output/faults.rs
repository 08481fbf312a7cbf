//! Faults and warnings as text, with the lines of the file that they are about.

use crate::fault::{Cause, LoadFault};
use crate::value::Value;
use crate::yaml::Origin;

/// A fault as Ansible prints it: with its place and the lines it stands in.
pub fn fault_text(fault: &LoadFault) -> String {
    let place = fault.at.as_ref().map(origin_text).unwrap_or_default();
    match fault.help {
        Some(help) => {
            format!("[ERROR]: {}\n{}\n\n\n{help}\n", fault.what, place.trim_end_matches('\n'))
        }
        None => format!("[ERROR]: {}\n{place}", fault.what),
    }
}

/// The same for what is only a warning, without the word.
pub(crate) fn warning_text(fault: &LoadFault) -> String {
    let place = fault.at.as_ref().map(origin_text).unwrap_or_default();
    match place.as_str() {
        "" => fault.what.clone(),
        place => format!("{}\n{}", fault.what, place.trim_end_matches('\n')),
    }
}

pub(super) fn origin_text(origin: &Origin) -> String {
    if origin.line == 0 {
        return format!("Origin: {}\n\n", origin.absolute());
    }
    format!("Origin: {}\n\n{}\n", origin.full(), excerpt(origin))
}

/// Why a task failed, with the place of each reason. Reasons at one place are one sentence, and so is
/// one that has no place.
pub(super) fn chain_text(why: &str, origin: Option<&Origin>, causes: &[Cause]) -> String {
    let mut groups: Vec<&Cause> = Vec::new();
    for cause in causes {
        let joined = groups.last().is_some_and(|last| {
            !cause.apart
                && ((cause.at.is_none() && cause.help.is_none())
                    || (cause.at == last.at && cause.help == last.help))
        });
        if !joined {
            groups.push(cause);
        }
    }
    if groups.len() < 2 {
        let only = groups.first();
        let place = only.and_then(|only| only.at.as_ref()).or(origin);
        let place = place.map(origin_text).unwrap_or_default();
        return match only.and_then(|only| only.help.as_ref()) {
            Some(help) => {
                format!("[ERROR]: {why}\n{}\n\n{help}\n\n", place.trim_end_matches('\n'))
            }
            None => format!("[ERROR]: {why}\n{place}"),
        };
    }
    let mut text = format!("[ERROR]: {why}\n\n");
    for (index, group) in groups.iter().enumerate() {
        let inner = groups.get(index + 1).map_or("", |inner| inner.what.as_str());
        let own = match group.what.strip_suffix(inner).filter(|_| !inner.is_empty()) {
            Some(outer) => format!("{}.", outer.trim_end_matches([' ', ':'])),
            None => group.what.clone(),
        };
        if index > 0 {
            text.truncate(text.trim_end_matches('\n').len());
            text.push_str("\n\n<<< caused by >>>\n\n");
        }
        text.push_str(&own);
        match (&group.at, &group.help) {
            (Some(at), help) => {
                text.push('\n');
                text.push_str(&origin_text(at));
                if let Some(help) = help {
                    text.truncate(text.trim_end_matches('\n').len());
                    text.push('\n');
                    text.push_str(&format!("\n{help}\n"));
                }
            }
            (None, Some(help)) => text.push_str(&format!(" {help}\n")),
            (None, None) => text.push_str("\n\n"),
        }
    }
    text
}

/// The place of a task as ansible-core 2.14 adds it to what is wrong.
pub(crate) fn offending_line(origin: &Origin) -> String {
    let file = origin.absolute();
    let mut text = format!(
        "\n\nThe error appears to be in '{file}': line {}, column {}, but may\nbe elsewhere in the file depending on the exact syntax problem.\n",
        origin.line, origin.column
    );
    let source = std::fs::read_to_string(&*origin.file)
        .ok()
        .filter(|text| !crate::vault::is_encrypted(text.as_bytes()))
        .unwrap_or_default();
    let mut lines = source.lines().skip((origin.line as usize).saturating_sub(2));
    let before = if origin.line > 1 { lines.next().unwrap_or_default() } else { "" };
    if let Some(line) = lines.next() {
        let mark = " ".repeat((origin.column as usize).saturating_sub(1));
        text.push_str(&format!(
            "\nThe offending line appears to be:\n\n{}\n{}\n{mark}^ here\n",
            before.trim_end(),
            line.trim_end()
        ));
    }
    text
}

/// The lines of the warnings that a result carries.
pub(super) fn warnings_of(result: &Value) -> Vec<String> {
    let list = |name: &str| -> Vec<Value> {
        result.get(name).and_then(Value::as_list).unwrap_or_default().to_vec()
    };
    let warnings = list("warnings");
    let warnings = warnings.iter().map(|warning| format!("[WARNING]: {}", warning.to_text()));
    let deprecations = list("deprecations");
    let deprecations = deprecations.iter().map(|one| {
        let msg = one.get("msg").map_or_else(|| one.to_text(), Value::to_text);
        let when = match one.get("version").filter(|version| !version.is_none()) {
            Some(version) => format!("in version {}", version.to_text()),
            None => "in the future".to_owned(),
        };
        format!(
            "[DEPRECATION WARNING]: {msg} This feature will be removed {when}. Deprecation warnings can be disabled by setting `deprecation_warnings=False` in ansible.cfg."
        )
    });
    warnings.chain(deprecations).collect()
}

/// The line that is meant and the two before it, with a mark under the column.
pub(super) fn excerpt(origin: &Origin) -> String {
    const WIDTH: usize = 120;
    let Ok(text) = std::fs::read_to_string(&*origin.file) else { return String::new() };
    if crate::vault::is_encrypted(text.as_bytes()) {
        return "(source not shown: content encrypted)\n".to_owned();
    }
    let last = origin.line as usize;
    let first = last.saturating_sub(2).max(1);
    let digits = last.to_string().len();
    let mut out = String::new();
    for (index, line) in text.lines().enumerate().take(last).skip(first - 1) {
        let gap = if line.is_empty() { "" } else { " " };
        let line = format!("{:>digits$}{gap}{line}", index + 1);
        if line.chars().count() > WIDTH {
            out.extend(line.chars().take(WIDTH - 3));
            out.push_str("...\n");
        } else {
            out.push_str(&line);
            out.push('\n');
        }
    }
    let column = origin.column as usize;
    out.push_str(&format!("{}^ column {column}\n", " ".repeat(digits + column)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_an_encrypted_file_are_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret.yml").display().to_string();
        std::fs::write(&file, "$ANSIBLE_VAULT;1.1;AES256\n6162\n6364\n").unwrap();
        let at = Origin { file: file.as_str().into(), line: 2, column: 1 };
        let shown = format!("Origin: {file}:2:1\n\n(source not shown: content encrypted)\n");
        assert_eq!(origin_text(&at).trim_end(), shown.trim_end());
        assert!(!offending_line(&at).contains("6162"));
    }
}
