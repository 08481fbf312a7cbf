//! Which crate may depend on which: the `edges` block of ARCHITECTURE.md against the manifests.
//!
//! The block has one line for each crate, lowest first. What a crate may use stands above it, which
//! also keeps the graph free of cycles. An edge nobody uses any more is a fault as much as a new one.
//! Tests may use `testkit` without saying so; their other extra edges stand in `tests of` lines.
//!
//! ```text
//! base:
//! wire: base
//! tests of wire: site
//! ```

use super::Fault;
use super::crates::Package;
use super::tree::{File, Tree};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const DOCUMENT: &str = "ARCHITECTURE.md";
const FREE_IN_TESTS: &str = "testkit";
const TESTS_OF: &str = "tests of ";

/// The edges a document allows, with the line each crate's list stands on.
#[derive(Debug, Default)]
struct Allowed {
    normal: BTreeMap<String, (usize, Vec<String>)>,
    tests: BTreeMap<String, (usize, Vec<String>)>,
}

pub(super) fn check(tree: &Tree, packages: &[Package], faults: &mut Vec<Fault>) {
    let Some(document) = tree.get(DOCUMENT) else {
        return faults.push(Fault::new(DOCUMENT, 1, "missing: it states the allowed edges"));
    };
    let Some(allowed) = parse(document, faults) else {
        let message = "no ```edges block; `cargo xtask tidy --edges` prints what it would hold";
        return faults.push(Fault::new(DOCUMENT, 1, message));
    };
    for package in packages {
        let name = &package.name;
        let Some((line, listed)) = allowed.normal.get(name) else {
            faults.push(Fault::new(
                DOCUMENT,
                1,
                format!("crate `{name}` is missing in the edges block"),
            ));
            continue;
        };
        compare(package, &package.needs, *line, listed, "", faults);
        let in_tests: Vec<String> = extra_in_tests(package);
        let (line, listed) = allowed.tests.get(name).cloned().unwrap_or((*line, Vec::new()));
        compare(package, &in_tests, line, &listed, TESTS_OF, faults);
    }
    for (name, (line, _)) in allowed.normal.iter().chain(&allowed.tests) {
        if !packages.iter().any(|package| package.name == *name) {
            faults.push(Fault::new(DOCUMENT, *line, format!("there is no crate `{name}`")));
        }
    }
}

/// What the tests of a crate use beyond what the crate itself uses.
fn extra_in_tests(package: &Package) -> Vec<String> {
    let extra = |name: &&String| *name != FREE_IN_TESTS && !package.needs.contains(name);
    package.needs_for_tests.iter().filter(extra).cloned().collect()
}

fn compare(
    package: &Package,
    used: &[String],
    line: usize,
    listed: &[String],
    whose: &str,
    faults: &mut Vec<Fault>,
) {
    let name = &package.name;
    for target in used.iter().filter(|target| !listed.contains(target)) {
        let manifest = format!("{}/Cargo.toml", package.folder);
        let message =
            format!("the edge from {whose}`{name}` to `{target}` is not in {DOCUMENT}:{line}");
        faults.push(Fault::new(&manifest, 1, message));
    }
    for target in listed.iter().filter(|target| !used.contains(target)) {
        let message = format!("{whose}`{name}` does not use `{target}` any more");
        faults.push(Fault::new(DOCUMENT, line, message));
    }
}

fn parse(document: &File, faults: &mut Vec<Fault>) -> Option<Allowed> {
    let mut allowed = Allowed::default();
    let mut inside = false;
    let mut found = false;
    for (number, line) in document.lines() {
        if line.trim_end() == "```edges" {
            (inside, found) = (true, true);
        } else if inside && line.starts_with("```") {
            inside = false;
        } else if inside
            && !line.trim().is_empty()
            && let Err(message) = parse_line(&mut allowed, number, line)
        {
            faults.push(Fault::new(&document.path, number, message));
        }
    }
    found.then_some(allowed)
}

fn parse_line(allowed: &mut Allowed, number: usize, line: &str) -> Result<(), String> {
    let (left, right) = line.split_once(':').ok_or("an edges line reads `crate: crate crate`")?;
    let targets: Vec<String> = right.split_whitespace().map(str::to_owned).collect();
    let (name, in_tests) = match left.strip_prefix(TESTS_OF) {
        Some(name) => (name.trim().to_owned(), true),
        None => (left.trim().to_owned(), false),
    };
    if !in_tests && let Some(late) = targets.iter().find(|name| !allowed.normal.contains_key(*name))
    {
        return Err(format!("`{late}` does not stand above `{name}`"));
    }
    let table = if in_tests { &mut allowed.tests } else { &mut allowed.normal };
    match table.insert(name.clone(), (number, targets)) {
        Some((earlier, _)) => Err(format!("`{name}` stands on line {earlier} already")),
        None => Ok(()),
    }
}

/// The block as the manifests have it, lowest crate first.
pub(super) fn render(packages: &[Package]) -> String {
    let mut text = String::from("```edges\n");
    let mut waiting: Vec<&Package> = packages.iter().collect();
    let mut placed: Vec<&str> = Vec::new();
    // Cargo refuses cycles, so each round places at least one crate.
    while !waiting.is_empty() {
        let is_ready =
            |package: &&&Package| package.needs.iter().all(|n| placed.contains(&n.as_str()));
        let Some(next) = waiting.iter().filter(is_ready).min_by_key(|package| package.needs.len())
        else {
            break;
        };
        let next = *next;
        waiting.retain(|package| package.name != next.name);
        placed.push(&next.name);
        let line = format!("{}: {}", next.name, next.needs.join(" "));
        writeln!(text, "{}", line.trim_end()).expect("a String takes any text");
        let extra = extra_in_tests(next);
        if !extra.is_empty() {
            writeln!(text, "{TESTS_OF}{}: {}", next.name, extra.join(" "))
                .expect("a String takes any text");
        }
    }
    text + "```\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, needs: &[&str], needs_for_tests: &[&str]) -> Package {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Package {
            name: name.to_owned(),
            folder: format!("crates/{name}"),
            needs: owned(needs),
            needs_for_tests: owned(needs_for_tests),
        }
    }

    fn check_edges(document: &str, packages: &[Package]) -> Vec<String> {
        let mut faults = Vec::new();
        check(&Tree::of(&[(DOCUMENT, document)]), packages, &mut faults);
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn an_allowed_edge_is_silent_and_testkit_is_free_in_tests() {
        let packages =
            [package("base", &[], &[]), package("wire", &["base"], &["testkit", "base"])];
        assert_eq!(
            check_edges("# A\n```edges\nbase:\nwire: base\n```\n", &packages),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_new_edge_and_a_dead_edge_are_both_named() {
        let packages = [
            package("base", &[], &[]),
            package("plan", &[], &[]),
            package("wire", &["plan"], &["base"]),
        ];
        let faults = check_edges("```edges\nbase:\nplan: base\nwire:\n```\n", &packages);
        assert_eq!(
            faults,
            [
                "ARCHITECTURE.md:3: `plan` does not use `base` any more",
                "crates/wire/Cargo.toml:1: the edge from `wire` to `plan` is not in ARCHITECTURE.md:4",
                "crates/wire/Cargo.toml:1: the edge from tests of `wire` to `base` is not in ARCHITECTURE.md:4",
            ]
        );
    }

    #[test]
    fn an_edge_upwards_and_a_stranger_are_refused() {
        let faults =
            check_edges("```edges\nwire: base\nbase:\nghost:\n```\n", &[package("base", &[], &[])]);
        assert_eq!(
            faults,
            [
                "ARCHITECTURE.md:2: `base` does not stand above `wire`",
                "ARCHITECTURE.md:4: there is no crate `ghost`",
            ]
        );
    }

    #[test]
    fn a_document_without_the_block_says_how_to_get_one() {
        let faults = check_edges("# A\n", &[]);
        assert!(faults[0].contains("cargo xtask tidy --edges"), "{faults:?}");
    }

    #[test]
    fn the_rendered_block_passes_the_check() {
        let packages = [
            package("cli", &["wire", "base"], &["site"]),
            package("base", &[], &[]),
            package("site", &["base"], &[]),
            package("wire", &["base"], &["testkit"]),
        ];
        assert_eq!(check_edges(&render(&packages), &packages), Vec::<String>::new());
    }
}
