//! Headers and sizes of what we write: Rust modules and shell scripts.
//!
//! Never here: formatting (rustfmt) and style of code (clippy, shellcheck).

use super::Fault;
use super::tree::{File, Tree};

const RUST_WORTH_A_THOUGHT: usize = 600;
const RUST_LIMIT: usize = 1_200;
const SHELL_LIMIT: usize = 300;

pub(super) fn check(tree: &Tree, faults: &mut Vec<Fault>, notes: &mut Vec<Fault>) {
    for file in tree.files.iter().filter(|file| !file.is_data()) {
        if file.is_rust() {
            check_header(file, faults);
            check_size(file, faults, notes);
        } else if file.text.starts_with("#!") {
            check_script(file, faults);
        }
    }
}

fn check_header(file: &File, faults: &mut Vec<Fault>) {
    let opens = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    if !opens.starts_with("//! ") {
        let message = "open with `//!`: what this is, the rule it keeps, what is never here";
        faults.push(Fault::new(&file.path, 1, message));
    }
}

fn check_size(file: &File, faults: &mut Vec<Fault>, notes: &mut Vec<Fault>) {
    let lines = file.text.lines().count();
    if lines > RUST_LIMIT {
        faults.push(Fault::new(
            &file.path,
            RUST_LIMIT + 1,
            format!("{lines} lines, at most {RUST_LIMIT}"),
        ));
    } else if lines > RUST_WORTH_A_THOUGHT {
        let message = format!("{lines} lines, past {RUST_WORTH_A_THOUGHT} think about two files");
        notes.push(Fault::new(&file.path, RUST_WORTH_A_THOUGHT + 1, message));
    }
}

fn check_script(file: &File, faults: &mut Vec<Fault>) {
    let shebang = file.text.lines().next().unwrap_or("");
    let lines = file.text.lines().count();
    if lines > SHELL_LIMIT {
        faults.push(Fault::new(
            &file.path,
            SHELL_LIMIT + 1,
            format!("{lines} lines, at most {SHELL_LIMIT}"),
        ));
    }
    if shebang.contains("bash") && !file.text.contains("\nset -euo pipefail\n") {
        faults.push(Fault::new(&file.path, 2, "add `set -euo pipefail`"));
    }
    if !file.executable && is_ours(&file.path) {
        faults.push(Fault::new(&file.path, 1, "has an interpreter line, so make it executable"));
    }
    if !file.text.lines().nth(1).unwrap_or("").starts_with(['#', '"']) {
        faults.push(Fault::new(&file.path, 2, "say on the second line what the script does"));
    }
}

/// Scripts an operator or CI starts; those of examples travel to other machines as data.
fn is_ours(path: &str) -> bool {
    ["scripts/", "lab/", "bench/", ".ci/"].iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_file(path: &str, text: &str) -> (usize, usize) {
        let (mut faults, mut notes) = (Vec::new(), Vec::new());
        check(&Tree::of(&[(path, text)]), &mut faults, &mut notes);
        (faults.len(), notes.len())
    }

    #[test]
    fn a_module_opens_with_its_header() {
        assert_eq!(check_file("crates/base/src/mac.rs", "//! Addresses.\n"), (0, 0));
        assert_eq!(check_file("crates/base/src/mac.rs", "use std::fmt;\n//! Late.\n"), (1, 0));
        assert_eq!(check_file("crates/base/tests/golden/mac.rs", "use std::fmt;\n"), (0, 0));
    }

    #[test]
    fn a_long_file_is_noted_and_a_too_long_one_fails() {
        let of = |lines: usize| format!("//! Long.\n{}", "//\n".repeat(lines - 1));
        assert_eq!(check_file("crates/base/src/a.rs", &of(600)), (0, 0));
        assert_eq!(check_file("crates/base/src/a.rs", &of(601)), (0, 1));
        assert_eq!(check_file("crates/base/src/a.rs", &of(1_200)), (0, 1));
        assert_eq!(check_file("crates/base/src/a.rs", &of(1_201)), (1, 0));
    }

    #[test]
    fn a_script_stops_at_the_first_failure_and_says_what_it_is() {
        assert_eq!(
            check_file("examples/a.sh", "#!/bin/bash\n# Does.\nset -euo pipefail\n"),
            (0, 0)
        );
        assert_eq!(check_file("examples/a.sh", "#!/bin/bash\necho\n"), (2, 0));
        assert_eq!(
            check_file("lab/a.sh", "#!/bin/bash\n# Does.\nset -euo pipefail\n"),
            (1, 0),
            "not executable"
        );
    }
}
