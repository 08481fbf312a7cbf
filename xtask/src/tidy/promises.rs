//! The invariants table of ARCHITECTURE.md: each row names something that holds it, and it exists.
//!
//! The last cell of a row holds, in backticks, either a test as `crate::module::test_name` or the
//! path of a script in this repository. Never here: running the tests.

use super::Fault;
use super::crates::Package;
use super::tree::{File, Tree};

const DOCUMENT: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Invariants";

pub(super) fn check(tree: &Tree, packages: &[Package], faults: &mut Vec<Fault>) {
    // A missing document is reported where its edges are checked.
    let Some(document) = tree.get(DOCUMENT) else { return };
    let mut inside = false;
    let mut rows = 0;
    for (number, line) in document.lines() {
        if line.starts_with("## ") {
            inside = line.starts_with(HEADING);
        }
        if !inside || !line.starts_with('|') {
            continue;
        }
        rows += 1;
        // The first two rows are the table's head and its rule.
        if rows <= 2 {
            continue;
        }
        let cell = line.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or("");
        let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            faults.push(Fault::new(
                DOCUMENT,
                number,
                "the row names no test that holds the invariant",
            ));
        }
        for name in names {
            if let Err(message) = find(tree, packages, name) {
                faults.push(Fault::new(DOCUMENT, number, message));
            }
        }
    }
    if rows <= 2 {
        faults.push(Fault::new(DOCUMENT, 1, format!("no table below `{HEADING}`")));
    }
}

fn find(tree: &Tree, packages: &[Package], name: &str) -> Result<(), String> {
    let Some((first, rest)) = name.split_once("::") else {
        return match tree.get(name) {
            Some(_) => Ok(()),
            None => Err(format!("there is no file `{name}`")),
        };
    };
    let short = first.strip_prefix("updraft_").unwrap_or(first);
    let Some(package) = packages.iter().find(|package| package.name == short) else {
        return Err(format!("`{name}`: there is no crate `{first}`"));
    };
    let (modules, test) = match rest.rsplit_once("::") {
        Some((modules, test)) => (modules.split("::").collect(), test),
        None => (Vec::new(), rest),
    };
    let holds = |file: &&File| {
        file.is_rust()
            && has_test(&file.text, test)
            && modules.iter().all(|module| is_in(file, module))
    };
    match tree.below(&package.folder).find(holds) {
        Some(_) => Ok(()),
        None => Err(format!("there is no test `{name}` below {}", package.folder)),
    }
}

/// Whether a module of that name is the file, a folder above it, or written inside it.
fn is_in(file: &File, module: &str) -> bool {
    let path = file.path.trim_end_matches(".rs");
    path.split('/').any(|part| part == module) || file.text.contains(&format!("mod {module} {{"))
}

/// Whether `text` has a function of that name with a test attribute in the lines before it.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let plain = format!("fn {name}(");
    lines.iter().enumerate().any(|(index, line)| {
        let declares = line.strip_prefix("async ").unwrap_or(line).starts_with(&plain);
        let attributes =
            lines[..index].iter().rev().take_while(|line| line.starts_with(['#', '/']));
        declares
            && attributes.into_iter().any(|line| line.starts_with("#[") && line.contains("test"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "//! J.\nmod tests {\n    /// Says.\n    #[tokio::test]\n    async fn a_start_comes_first() {}\n    fn helper() {}\n}\n";

    fn check_row(cell: &str) -> Vec<String> {
        let document =
            format!("## Invariants\n\n| what | held by |\n| --- | --- |\n| order | {cell} |\n");
        let packages = [Package {
            name: "engine".into(),
            folder: "crates/engine".into(),
            ..Package::default()
        }];
        let tree = Tree::of(&[
            (DOCUMENT, &document),
            ("crates/engine/src/journal.rs", CODE),
            ("lab/hello.sh", ""),
        ]);
        let mut faults = Vec::new();
        check(&tree, &packages, &mut faults);
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn a_row_may_name_a_test_or_a_script() {
        for cell in [
            "`engine::journal::tests::a_start_comes_first`",
            "`updraft_engine::journal::a_start_comes_first`, `lab/hello.sh`",
        ] {
            assert_eq!(check_row(cell), Vec::<String>::new(), "{cell}");
        }
    }

    #[test]
    fn a_row_whose_test_is_gone_is_a_fault() {
        for cell in [
            "nothing",
            "`engine::journal::helper`",
            "`engine::other::a_start_comes_first`",
            "`ghost::a_start_comes_first`",
            "`lab/gone.sh`",
        ] {
            assert_eq!(check_row(cell).len(), 1, "{cell}");
        }
    }

    #[test]
    fn a_document_without_the_table_is_a_fault() {
        let mut faults = Vec::new();
        check(&Tree::of(&[(DOCUMENT, "# A\n")]), &[], &mut faults);
        assert_eq!(faults.len(), 1);
    }
}
