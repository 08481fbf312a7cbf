//! Whatever comes in, a site or its faults come out: no panic, no silence.

use proptest::prelude::*;
use updraft_site::{Faults, MemorySource, Site, load, schema};

const GOOD: &str = include_str!("cases/good/hello.yaml");
const KEY: &str = include_str!("cases/keys/ops.pub");

fn source(text: &[u8]) -> MemorySource {
    let play = "- hosts: all\n";
    MemorySource::default()
        .with("site/updraft.yaml", text)
        .with("site/../plays/balancer.yaml", play)
        .with("site/../plays/worker.yaml", play)
        .with("site/../plays/hello.yaml", play)
        .with("home/ops.pub", KEY)
        .at_home("home")
}

fn read(text: &[u8]) -> Result<Site, Faults> {
    load("site/updraft.yaml".into(), &source(text))
}

/// Loads, and looks at everything that faults can be asked for.
fn check_answer(text: &[u8]) -> Result<(), TestCaseError> {
    let Err(faults) = read(text) else { return Ok(()) };
    prop_assert!(faults.count() > 0);
    let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
    for fault in &faults {
        prop_assert!(fault.code != "bug" && fault.code != "bad-value", "{fault:?}");
        prop_assert!((1..=lines).contains(&fault.line), "{fault:?}");
        prop_assert!(fault.column >= 1, "{fault:?}");
        prop_assert!(!fault.message.contains('\n'), "{fault:?}");
    }
    let places: Vec<_> = faults.iter().map(|fault| (fault.line, fault.column)).collect();
    prop_assert!(places.is_sorted(), "{places:?}");
    prop_assert!(!faults.render(false, 80).is_empty());
    prop_assert!(!faults.render(true, 20).is_empty());
    Ok(())
}

/// One change to a text.
#[derive(Clone, Debug)]
enum Edit {
    Delete(prop::sample::Index, usize),
    Insert(prop::sample::Index, String),
    Copy(prop::sample::Index, prop::sample::Index, usize),
    Line(prop::sample::Index, prop::sample::Index),
    Value(prop::sample::Index, String),
}

fn scrap() -> impl Strategy<Value = String> {
    prop_oneof![
        "[\\[\\]{}:,#&*!|>'\"%@`~?\n\t -]{1,4}",
        "[a-z0-9-]{1,6}",
        "\\PC{0,4}",
        prop::sample::select(vec![
            "- ",
            ": ",
            "<<: *x",
            "&x ",
            "*x",
            "!vault ",
            "null",
            "~",
            "0",
            "-1",
            "1e9",
            "0x10",
            "99999999999999999999",
            "10.77.0.0/24",
            "10.77.0.0/33",
            "é",
            "\u{0}",
            "\u{2028}",
            "true",
            "[]",
            "{}",
            "\"\"",
            "'",
            "|\n  text",
            "from: debian",
            "live: true",
            "---\n",
            "hello",
            "worker",
            "debian",
            "512MiB",
            "1B",
            "0s",
            "9d",
        ])
        .prop_map(str::to_owned),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 1..40usize).prop_map(|(at, count)| Edit::Delete(at, count)),
        (at(), scrap()).prop_map(|(at, text)| Edit::Insert(at, text)),
        (at(), at(), 1..80usize).prop_map(|(from, to, count)| Edit::Copy(from, to, count)),
        (at(), at()).prop_map(|(from, to)| Edit::Line(from, to)),
        (at(), scrap()).prop_map(|(at, text)| Edit::Value(at, text)),
    ]
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        match edit {
            _ if chars.is_empty() => break,
            Edit::Delete(at, count) => {
                let at = at.index(chars.len());
                chars.drain(at..(at + count).min(chars.len()));
            }
            Edit::Insert(at, text) => {
                let at = at.index(chars.len());
                chars.splice(at..at, text.chars());
            }
            Edit::Copy(from, to, count) => {
                let from = from.index(chars.len());
                let piece: Vec<char> = chars[from..(from + count).min(chars.len())].to_vec();
                let to = to.index(chars.len());
                chars.splice(to..to, piece);
            }
            Edit::Line(from, to) => {
                let text: String = chars.iter().collect();
                let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
                let line = lines.remove(from.index(lines.len()));
                lines.insert(to.index(lines.len() + 1), line);
                chars = lines.concat().chars().collect();
            }
            Edit::Value(at, value) => {
                // The word around a place gives way.
                let ends = |c: &char| c.is_whitespace() || ",[]{}".contains(*c);
                let at = at.index(chars.len());
                let start = chars[..at].iter().rposition(ends).map_or(0, |before| before + 1);
                let end = chars[at..].iter().position(ends).map_or(chars.len(), |after| at + after);
                chars.splice(start..end.max(start), value.chars());
            }
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_answer(&bytes)?;
    }

    #[test]
    fn random_yaml_gives_an_answer(pieces in prop::collection::vec(scrap(), 0..60)) {
        check_answer(pieces.concat().as_bytes())?;
    }

    #[test]
    fn a_mutated_site_gives_an_answer(edits in prop::collection::vec(edit(), 1..6)) {
        check_answer(apply(GOOD, &edits).as_bytes())?;
    }
}

#[test]
fn the_schema_is_one() {
    jsonschema::meta::validate(&schema()).unwrap();
}

#[test]
fn a_file_of_five_thousand_lines_loads() {
    let mut text = String::from(
        "site: large\nnetworks: { lan: { cidr: 10.0.0.0/16 } }\nimages: { d: { bootstrap: bookworm } }\ngroups:\n",
    );
    for number in 0..1_250 {
        text.push_str(&format!(
            "  g{number}:\n    image: d\n    count: 8\n    vars: {{ a: 1, b: [x, y], c: {{ d: e }} }}\n"
        ));
    }
    let site = read(text.as_bytes()).unwrap();
    assert_eq!(site.groups.iter().flat_map(|group| group.machine_names()).count(), 10_000);
}

#[test]
fn a_file_full_of_faults_tells_some_and_says_how_many_more() {
    let mut text = String::from("site: large\ngroups:\n");
    for number in 0..3_000 {
        text.push_str(&format!("  g{number}: {{ imag: d{number}, network: lan{number} }}\n"));
    }
    let faults = read(text.as_bytes()).unwrap_err();
    assert_eq!(faults.iter().count(), 100);
    assert_eq!(faults.count(), 9_000);
    assert!(faults.render(false, 80).ends_with("and 8900 more faults\n\n"));
}
