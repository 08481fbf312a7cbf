//! What comes before and around a document: files, encodings, line ends, secrets.

use updraft_site::{Faults, MemorySource, load};

fn faults(source: &MemorySource) -> Faults {
    load("here/updraft.yaml".into(), source).expect_err("a fault")
}

fn faults_of(text: impl Into<Vec<u8>>) -> Faults {
    faults(&MemorySource::default().with("here/updraft.yaml", text))
}

fn places(faults: &Faults) -> Vec<(&'static str, usize, usize)> {
    faults.iter().map(|fault| (fault.code, fault.line, fault.column)).collect()
}

#[test]
fn a_file_that_is_not_there_is_a_fault_like_any_other() {
    let rendered = faults(&MemorySource::default()).render(false, 80);
    assert_eq!(
        rendered,
        "error[missing-file]: there is no file `here/updraft.yaml`\n\
         --> here/updraft.yaml\n \
         = help: `updraft init` writes one to start from\n\n"
    );
}

#[test]
fn bytes_that_are_not_utf_8_are_told_where_they_begin() {
    assert_eq!(places(&faults_of(b"site: hello\ndomain: caf\xe9\n")), [("yaml", 2, 12)]);
}

#[test]
fn a_file_of_more_than_a_mebibyte_is_not_read() {
    let text = format!("site: hello\n# {}\n", "x".repeat(1 << 20));
    assert_eq!(places(&faults_of(text)), [("too-large", 1, 1)]);
}

#[test]
fn places_are_right_with_every_end_of_line_and_a_byte_order_mark() {
    let text = "site: hello\n# é\ncolour: red\n";
    let wanted = [("unknown-key", 3, 1)];
    assert_eq!(places(&faults_of(text)), wanted);
    assert_eq!(places(&faults_of(text.replace('\n', "\r\n"))), wanted);
    assert_eq!(places(&faults_of(format!("\u{feff}{text}"))), wanted);
    assert_eq!(places(&faults_of(text.replace('\n', "\r"))), [("yaml", 1, 12)]);
}

#[test]
fn a_home_that_is_not_known_leaves_the_path_as_it_is() {
    let text = "site: hello\nadmins: { ops: { keys: [~/id.pub] } }\n";
    let faults = faults_of(text);
    assert_eq!(faults.iter().next().unwrap().message, "there is no file `here/~/id.pub`");
}

#[test]
fn faults_of_an_extended_file_are_told_in_it() {
    let source = MemorySource::default()
        .with("here/updraft.yaml", "extends: ../base/site.yaml\ndomain: [x]\n")
        .with("here/../base/site.yaml", "site: hello\ncolour: red\n");
    let told: Vec<_> = faults(&source)
        .iter()
        .map(|fault| (fault.file.to_string(), fault.code, fault.line))
        .collect();
    assert_eq!(
        told,
        [
            ("here/updraft.yaml".to_owned(), "wrong-type", 2),
            ("here/../base/site.yaml".to_owned(), "unknown-key", 2),
        ]
    );
}

/// Everything that faults can be made to say.
fn everything_said(faults: &Faults) -> String {
    let json = serde_json::to_string(&faults.to_json()).expect("JSON");
    let told: String = faults.iter().map(|fault| format!("{fault:?}")).collect();
    format!("{faults}{faults:?}{json}{told}{}", faults.render(false, 400))
}

#[test]
fn a_private_key_is_never_shown_wherever_it_stands() {
    static GOOD: &str = include_str!("cases/good/hello.yaml");
    const SECRET: &str = "c2VjcmV0";
    let key = |newline: &str| {
        let kind = "OPENSSH PRIVATE KEY";
        format!("\"-----BEGIN {kind}-----{newline}{SECRET}{newline}-----END {kind}-----\"")
    };
    let ends = |c: char| c.is_whitespace() || ",[]{}:".contains(c);
    let words: Vec<(usize, &str)> = GOOD
        .split(ends)
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr() as usize - GOOD.as_ptr() as usize, word))
        .collect();
    assert!(words.len() > 80);
    let mut told = 0;
    for (at, word) in words {
        for newline in ["\\n", " ", "\n        "] {
            let text = format!("{}{}{}", &GOOD[..at], key(newline), &GOOD[at + word.len()..]);
            let source = MemorySource::default().with("here/updraft.yaml", text);
            if let Err(faults) = load("here/updraft.yaml".into(), &source) {
                let said = everything_said(&faults);
                assert!(!said.contains(SECRET), "in place of `{word}`: {said}");
                told += 1;
            }
        }
    }
    assert!(told > 200, "{told}");
}

#[test]
fn nothing_that_moves_a_cursor_reaches_the_terminal() {
    let text = "site: \"\\e[2J\"\n\"a\\u0007b\": 1\nextends: \"x\\e]0;title\\a\"\ngroups: { \"\\e[1m\": 2 }\n";
    let said = faults_of(text).render(false, 80);
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
}
