//! What known_hosts files say of a host. The format is that of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
//!
//! Pure: texts in, verdict out. Never here: reading files, asking anybody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// What is known of one host, over all files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    keys: Vec<KnownKey>,
    /// A line trusts an authority to vouch for this host, which only `ssh` itself can check.
    pub(crate) by_authority: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KnownKey {
    file: String,
    line: usize,
    algorithm: String,
    blob: String,
    revoked: bool,
}

/// What to make of the key a host shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the known one.
    Same,
    /// Nothing is known of the host.
    Unknown,
    /// Another key of the host is known.
    Changed { file: String, line: usize },
    /// The key must not be trusted any more.
    Revoked { file: String, line: usize },
}

impl Known {
    /// Adds what a file says of any of the names of a host.
    pub(crate) fn add(&mut self, file: &str, text: &str, names: &[String]) {
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split_whitespace();
            let Some(mut first) = words.next().filter(|word| !word.starts_with('#')) else {
                continue;
            };
            let marker = first.starts_with('@').then_some(first);
            if marker.is_some() {
                let Some(word) = words.next() else {
                    continue;
                };
                first = word;
            }
            let (Some(algorithm), Some(blob)) = (words.next(), words.next()) else {
                continue;
            };
            if !names.iter().any(|name| matches(first, name)) {
                continue;
            }
            match marker {
                Some("@cert-authority") => self.by_authority = true,
                None | Some("@revoked") => self.keys.push(KnownKey {
                    file: file.to_owned(),
                    line: index + 1,
                    algorithm: algorithm.to_owned(),
                    blob: blob.to_owned(),
                    revoked: marker.is_some(),
                }),
                Some(_) => {}
            }
        }
    }

    /// Kinds of key that are known, such as `ssh-ed25519`: a host should be asked for one of these.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter(|key| !key.revoked).map(|key| key.algorithm.as_str())
    }

    /// What to make of a key.
    pub(crate) fn judge(&self, blob: &str) -> Verdict {
        let place = |key: &KnownKey| (key.file.clone(), key.line);
        if let Some(key) = self.keys.iter().find(|key| key.revoked && key.blob == blob) {
            let (file, line) = place(key);
            return Verdict::Revoked { file, line };
        }
        let mut known = self.keys.iter().filter(|key| !key.revoked).peekable();
        let Some(first) = known.peek().map(|key| place(key)) else {
            return Verdict::Unknown;
        };
        if known.any(|key| key.blob == blob) {
            return Verdict::Same;
        }
        Verdict::Changed { file: first.0, line: first.1 }
    }
}

/// How a host is called in known_hosts files.
pub(crate) fn name_of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// The line that makes a key known; hashed if the user's configuration wants that.
pub(crate) fn line(name: &str, algorithm: &str, blob: &str, salt: Option<[u8; 20]>) -> String {
    let name = match salt {
        None => name.to_owned(),
        Some(salt) => {
            format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hash(&salt, name)))
        }
    };
    format!("{name} {algorithm} {blob}\n")
}

fn hash(salt: &[u8], name: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).expect("HMAC takes keys of any length");
    mac.update(name.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Whether a list of patterns, or a hashed name, means this host.
fn matches(patterns: &str, name: &str) -> bool {
    if let Some(hashed) = patterns.strip_prefix("|1|") {
        let parts = hashed.split_once('|');
        let decoded = parts.and_then(|(salt, sum)| {
            Some((STANDARD.decode(salt).ok()?, STANDARD.decode(sum).ok()?))
        });
        return decoded.is_some_and(|(salt, sum)| hash(&salt, name) == sum);
    }
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if glob(pattern, name) => return false,
            None if glob(pattern, name) => found = true,
            _ => {}
        }
    }
    found
}

/// `*` is any text, `?` any character, case does not matter.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_ascii_lowercase().chars().collect();
    let text: Vec<char> = text.to_ascii_lowercase().chars().collect();
    // Where to go on if what follows the last star does not fit.
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            retry = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((star, from)) = retry {
            (p, t, retry) = (star + 1, from + 1, Some((star, from + 1)));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, host: &str, port: u16, blob: &str) -> Verdict {
        let mut known = Known::default();
        known.add("known_hosts", text, &[name_of(host, port)]);
        known.judge(blob)
    }

    #[test]
    fn a_host_is_known_by_name_pattern_port_or_hash() {
        let text = "web-1,10.0.0.1 ssh-ed25519 AAAA\n";
        assert_eq!(judge(text, "web-1", 22, "AAAA"), Verdict::Same);
        assert_eq!(judge(text, "WEB-1", 22, "AAAA"), Verdict::Same);
        assert_eq!(judge(text, "10.0.0.1", 22, "AAAA"), Verdict::Same);
        assert_eq!(judge(text, "web-1", 2222, "AAAA"), Verdict::Unknown);
        assert_eq!(judge("[web-1]:2222 ssh-rsa B", "web-1", 2222, "B"), Verdict::Same);
        assert_eq!(judge("*.test,!bad.test ssh-rsa B", "a.test", 22, "B"), Verdict::Same);
        assert_eq!(judge("*.test,!bad.test ssh-rsa B", "bad.test", 22, "B"), Verdict::Unknown);
        // Made by ssh-keygen -H of OpenSSH 9.2 from `example.com`, and by ourselves.
        let theirs = "|1|Coayl2rkz2UKZnPiPNY9qg7MmLw=|TrXVGnZ3Z0SPm/6VuDRTJ9h9Iaw= ssh-rsa B\n";
        let ours = line("example.com", "ssh-rsa", "B", Some([7; 20]));
        for hashed in [theirs, &ours] {
            assert_eq!(judge(hashed, "example.com", 22, "B"), Verdict::Same);
            assert_eq!(judge(hashed, "example.org", 22, "B"), Verdict::Unknown);
        }
    }

    #[test]
    fn another_key_is_told_by_its_line_unless_one_line_fits() {
        let text = "# mine\n\nweb-1 ssh-ed25519 OLD\nweb-1 ssh-ed25519 NEW comment\n";
        assert_eq!(judge(text, "web-1", 22, "NEW"), Verdict::Same);
        let changed = Verdict::Changed { file: "known_hosts".to_owned(), line: 3 };
        assert_eq!(judge(text, "web-1", 22, "EVIL"), changed);
    }

    #[test]
    fn a_revoked_key_is_never_good() {
        let text = "web-1 ssh-ed25519 KEY\n@revoked * ssh-ed25519 KEY\n";
        let revoked = Verdict::Revoked { file: "known_hosts".to_owned(), line: 2 };
        assert_eq!(judge(text, "web-1", 22, "KEY"), revoked);
    }

    #[test]
    fn an_authority_is_noticed_and_left_to_ssh() {
        let mut known = Known::default();
        known.add("f", "@cert-authority *.test ssh-ed25519 CA\n", &["web.test".to_owned()]);
        assert!(known.by_authority);
        assert_eq!(known.judge("CA"), Verdict::Unknown);
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        for text in [
            "web-1",
            "web-1 ssh-rsa",
            "@revoked",
            "|1|x web-1 ssh-rsa",
            "|1|a|b ssh-rsa K",
            "\u{0}",
        ] {
            assert_eq!(judge(text, "web-1", 22, "K"), Verdict::Unknown, "{text:?}");
        }
    }

    #[test]
    fn stars_and_question_marks_stand_for_text() {
        for (pattern, text) in
            [("*", ""), ("a*c", "abc"), ("a*c", "ac"), ("?b*", "abc"), ("*a*b", "xaabab")]
        {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*c", "ab"), ("?", ""), ("a", "ab"), ("*a?", "ba")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }
}
