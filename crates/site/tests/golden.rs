//! Every case file loads to what stands beside it: the site, or its faults as they are shown.
//!
//! `UPDATE=1` rewrites what stands beside them; the difference is reviewed like code.

use camino::{Utf8Path, Utf8PathBuf};
use std::fs;
use std::io;
use updraft_site::{CODES, Source, load};

/// The folder of cases. Keys and plays that cases name are in it too; `~` is its `keys`.
struct Cases(Utf8PathBuf);

impl Source for Cases {
    fn read(&self, path: &Utf8Path) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(path))
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        self.0.join(path).is_file()
    }

    fn home(&self) -> Option<Utf8PathBuf> {
        Some("keys".into())
    }
}

fn cases() -> Cases {
    Cases(Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"))
}

fn files(folder: &str) -> Vec<Utf8PathBuf> {
    let mut files: Vec<Utf8PathBuf> = cases()
        .0
        .join(folder)
        .read_dir_utf8()
        .expect("a folder of cases")
        .map(|entry| Utf8Path::new(folder).join(entry.expect("an entry").file_name()))
        .filter(|path| path.extension() == Some("yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no cases in {folder}");
    files
}

#[expect(clippy::disallowed_methods, reason = "the tests' own switch, not the program's")]
fn update() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| value == "1")
}

/// Compares with the golden file beside the case; gives the difference for a report.
fn check_golden(case: &Utf8Path, found: &str) -> Option<String> {
    let golden = cases().0.join(case).with_extension("txt");
    if update() {
        fs::write(&golden, found).expect("a writable checkout");
        return None;
    }
    let wanted = fs::read_to_string(&golden).unwrap_or_default();
    (wanted != found).then(|| format!("{case}\n--- wanted\n{wanted}\n--- found\n{found}"))
}

fn check_bad(folder: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in files(folder) {
        match load(&case, &cases()) {
            Ok(_) => wrong.push(format!("{case} has no fault")),
            Err(faults) => wrong.extend(check_golden(&case, &faults.render(false, 100))),
        }
    }
    wrong
}

#[test]
fn good_files_load_to_the_site_beside_them() {
    let mut wrong = Vec::new();
    for case in files("good") {
        match load(&case, &cases()) {
            Ok(site) => wrong.extend(check_golden(&case, &format!("{site:#?}\n"))),
            Err(faults) => wrong.push(faults.render(false, 100)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bad_files_tell_the_faults_beside_them() {
    let folders = ["bad", "bad-semantic", "bad-yaml"];
    let wrong: Vec<_> = folders.into_iter().flat_map(check_bad).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_is_told_by_a_case_and_every_told_code_is_known() {
    let mut told: Vec<&str> = Vec::new();
    for case in ["bad", "bad-semantic", "bad-yaml"].into_iter().flat_map(files) {
        if let Err(faults) = load(&case, &cases()) {
            told.extend(faults.iter().map(|fault| fault.code));
        }
    }
    for (code, _) in CODES {
        assert!(told.contains(code), "no case tells `{code}`");
    }
    for code in told {
        assert!(CODES.iter().any(|(known, _)| *known == code), "`{code}` is not in the list");
    }
}

#[test]
fn a_fault_has_its_place_in_json_too() {
    let faults = load("bad/unknown-key.yaml".into(), &cases()).unwrap_err();
    let json = serde_json::to_value(faults.to_json()).unwrap();
    let faults = json["faults"].as_array().unwrap();
    let first = faults.iter().find(|fault| fault["line"] == 8).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(first["code"], "unknown-key");
    assert_eq!(first["file"], "bad/unknown-key.yaml");
    assert_eq!(first["column"], 20);
    assert_eq!(first["message"], "unknown key `memroy` in group `web`");
    assert_eq!(first["help"], "did you mean `memory`?");
}

#[test]
fn colour_changes_nothing_but_escapes() {
    let faults = load("bad/unknown-key.yaml".into(), &cases()).unwrap_err();
    let coloured = faults.render(true, 100);
    assert!(coloured.contains("\u{1b}["));
    assert!(coloured.contains("unknown key `memroy`"));
    assert!(!faults.render(false, 100).contains('\u{1b}'));
}

#[test]
fn the_reference_in_docs_is_the_one_the_table_gives() {
    let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/site-file.md");
    let wanted = updraft_site::reference();
    if update() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/site-file.md is stale: run this test with UPDATE=1");
}
