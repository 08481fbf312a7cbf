//! The check and the pattern of each format against examples of texts.

use super::*;
use jsonschema::Validator;
use serde_json::json;
use std::sync::LazyLock;

/// For each format, texts that are of it, texts that its pattern refuses too, and texts that
/// only arithmetic refuses.
type Examples = (Format, &'static [&'static str], &'static [&'static str], &'static [&'static str]);
const EXAMPLES: &[Examples] = &[
    (Format::Name, &["a", "web-1", "0"], &["", "A", "a_b", "-a", "a-", "a b", "é", "a\n"], &[]),
    (Format::GroupName, &["web", "allow", "all-1"], &["all", "localhost", "ungrouped"], &[]),
    (Format::AccountName, &["ops", "rooted", "a1"], &["root", "1a", "a_b", "Ops"], &[]),
    (Format::VariableName, &["a", "_x", "A_1"], &["", "1a", "a-b", "a b", "é"], &[]),
    (Format::Domain, &["test", "a.b-c.example"], &["", ".a", "a.", "a..b", "A.b", "a_b.c"], &[]),
    (
        Format::Cidr,
        &["10.77.0.0/24", "172.16.0.0/16", "192.168.1.8/29"],
        &[
            "",
            "10.77.0.0",
            "10.77.0.0/30",
            "10.77.0.0/8",
            "10.77.0.256/24",
            "::/24",
            "10.0.0.0/024",
        ],
        &["10.77.0.1/24", "127.0.0.0/24", "0.0.0.0/16", "224.0.0.0/16", "169.254.0.0/16"],
    ),
    (
        Format::Size,
        &["512MiB", "512 M", "1.5GB", "0B", "2tib"],
        &["", "512", "MiB", "1.GiB", ".5GiB", "-1GiB", " 1GiB", "1GiB ", "1 GiBB", "1,5GiB"],
        &["99999999TiB"],
    ),
    (
        Format::Duration,
        &["30s", "0s", "1h30m", "1h 30m", "250ms", "5min"],
        &["", "30", "s", "1.5s", "-1s", "1h30", " 30s", "30S", "30 s"],
        &["400d"],
    ),
    (Format::Wait, &["1ms", "10m0s", "0h1s"], &["0s", "0m0s", "0", "00ms"], &["400d"]),
    (
        Format::Url,
        &["http://a/b.qcow2", "https://mirror.test:8080/a%20b", "http://127.0.0.1:1"],
        &["", "a", "/a", "ftp://a/b", "http://", "http:///a", "https://a:b@c/d", "http://a b"],
        &[],
    ),
    (
        Format::Place,
        &["a.box", "/srv/a.box", "https://mirror.test/a.box"],
        &["", "a/", "a\nb"],
        &["ftp://a/b", "https://a:b@c/d"],
    ),
    (
        Format::Sha256,
        &[
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ],
        &[
            "",
            "sha256:",
            "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
        ],
        &[],
    ),
    (
        Format::Path,
        &["a", "../a/b.yaml", "/a b", "é"],
        &["", "a/", "/", "a\u{0}b", "a\nb", "\u{1b}[1m"],
        &[],
    ),
    (
        Format::Key,
        &["~/.ssh/id.pub", "ssh-ed25519 AAAA ops"],
        &["", "a\nb", "-----BEGIN RSA PRIVATE KEY-----", "PuTTY-User-Key-File-3: x"],
        &[" "],
    ),
    (Format::Suite, &["bookworm", "stable-security", "24.04"], &["", "Book", "a b", "-a"], &[]),
    (
        Format::Package,
        &["nginx", "g++", "libc6:i386", "nginx=1.22.1-9+deb12u1", "nginx/bookworm-backports"],
        &["", "n", "Nginx", "nginx curl", "nginx=", "nginx/", "a_b", "nginx:"],
        &[],
    ),
    (
        Format::Mirror,
        &["http://a/debian", "https://a", "file:/srv", "copy:///srv"],
        &["", "a/debian", "ftp://a", "http://", "http://a b"],
        &[],
    ),
    (
        Format::Version,
        &["v1", "1.10", "2024-01-01", "a/b:c~d+e"],
        &["", "v 1", "-1", ".1", "é"],
        &[],
    ),
    (Format::Unit, &["a.service", "a@b.timer", "dev-x.device"], &["", "a b", "-a", "a/b"], &[]),
    (Format::Words, &["a", " a "], &["", " ", "\n"], &[]),
    (
        Format::HttpTarget,
        &[":8080/health", "8080/health?a=b", ":80", "80"],
        &["", "/health", ":/", "http://a/", ":80/a b", ":800000/", ":80health"],
        &[":0/", ":65536/"],
    ),
];

fn pattern(format: Format) -> Validator {
    let schema = json!({ "type": "string", "pattern": format.pattern() });
    jsonschema::validator_for(&schema).expect("a pattern is one")
}

#[test]
fn check_and_pattern_say_the_same() {
    for (format, good, bad, arithmetic) in EXAMPLES {
        let pattern = pattern(*format);
        let matches = |text: &str| pattern.is_valid(&json!(text));
        for text in *good {
            assert_eq!(format.check(text), Ok(()), "{format:?} `{text}`");
            assert!(matches(text), "{format:?} `{text}`");
        }
        for text in *bad {
            assert!(format.check(text).is_err(), "{format:?} `{text}`");
            assert!(!matches(text), "{format:?} `{text}`");
        }
        for text in *arithmetic {
            assert!(format.check(text).is_err(), "{format:?} `{text}`");
            assert!(matches(text), "{format:?} `{text}`");
        }
    }
}

static PATTERNS: LazyLock<Vec<(Format, Validator)>> =
    LazyLock::new(|| EXAMPLES.iter().map(|(format, ..)| (*format, pattern(*format))).collect());

proptest::proptest! {
    #[test]
    fn what_a_check_accepts_its_pattern_accepts(
        text in "[a-z0-9A-Z.:/ _=+~@-]{0,12}|[0-9]{1,3}[a-zA-Z ]{1,4}|\\PC{0,6}",
    ) {
        for (format, pattern) in PATTERNS.iter() {
            let fits = format.check(&text).is_ok();
            proptest::prop_assert!(!fits || pattern.is_valid(&json!(text)), "{format:?} `{text}`");
        }
    }
}
