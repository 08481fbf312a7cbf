//! Faults and warnings as text, with the lines of the file that they are about.

use crate::fault::LoadFault;
use crate::value::Value;
use crate::yaml::Origin;

/// A fault as Ansible prints it: with its place and the lines it stands in.
pub fn fault_text(fault: &LoadFault) -> String {
    let place = fault.at.as_ref().map(origin_text).unwrap_or_default();
    format!("[ERROR]: {}\n{place}", fault.what)
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
    format!("Origin: {}\n\n{}\n", origin.full(), excerpt(origin))
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
fn excerpt(origin: &Origin) -> String {
    const WIDTH: usize = 120;
    let Ok(text) = std::fs::read_to_string(&*origin.file) else { return String::new() };
    let last = origin.line as usize;
    let first = last.saturating_sub(2).max(1);
    let digits = last.to_string().len();
    let mut out = String::new();
    for (index, line) in text.lines().enumerate().take(last).skip(first - 1) {
        let line = format!("{:>digits$} {line}", index + 1);
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
