//! Versions of Python packages and what is asked of them (PEP 440).
//!
//! Only the spelling that tools themselves write is read; what is spelled otherwise, or asks what
//! tools answer differently, is `None`: not surely understood.

use std::cmp::Ordering;

/// What compares two versions, the longer ones first.
pub(super) const OPERATORS: &[&str] = &["~=", "==", "!=", "<=", ">=", "<", ">"];

/// A version, in the order of its parts: of two that are equal so far the next part decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    /// Without the zeros at its end.
    release: Vec<u64>,
    stage: Stage,
    post: Option<u64>,
    dev: Dev,
    /// What follows a plus sign, in small letters.
    local: Option<String>,
}

/// What a release is on its way to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Only `.devN`: it comes before the first alpha.
    Begun,
    Alpha(u64),
    Beta(u64),
    Candidate(u64),
    Final,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dev {
    Number(u64),
    None,
}

impl Version {
    /// Reads `1.2`, `1.2rc1`, `1.2.post3`, `1.2.dev4`, `1.2+cu118` and what is put together so.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (text, local) = match text.split_once('+') {
            Some((public, local)) => {
                let word = |word: &str| {
                    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric());
                    plain && !word.is_empty() && (word == "0" || !word.starts_with('0'))
                };
                local.split('.').all(word).then_some(())?;
                (public, Some(local.to_ascii_lowercase()))
            }
            None => (text, None),
        };
        let (mut number, mut rest) = number(text)?;
        let mut release = vec![number];
        while let Some(after) = rest.strip_prefix('.')
            && after.starts_with(|c: char| c.is_ascii_digit())
        {
            (number, rest) = self::number(after)?;
            release.push(number);
        }
        while release.len() > 1 && release.last() == Some(&0) {
            release.pop();
        }
        let mut stage = Stage::Final;
        type Make = fn(u64) -> Stage;
        let stages: [(&str, Make); 3] =
            [("rc", Stage::Candidate), ("a", Stage::Alpha), ("b", Stage::Beta)];
        for (letters, make) in stages {
            if let Some(after) = rest.strip_prefix(letters) {
                (number, rest) = self::number(after)?;
                stage = make(number);
                break;
            }
        }
        let mut post = None;
        if let Some(after) = rest.strip_prefix(".post") {
            (number, rest) = self::number(after)?;
            post = Some(number);
        }
        let mut dev = Dev::None;
        if let Some(after) = rest.strip_prefix(".dev") {
            (number, rest) = self::number(after)?;
            dev = Dev::Number(number);
            if stage == Stage::Final && post.is_none() {
                stage = Stage::Begun;
            }
        }
        rest.is_empty().then_some(Self { release, stage, post, dev, local })
    }

    fn public(&self) -> Self {
        Self { local: None, ..self.clone() }
    }

    fn is_prerelease(&self) -> bool {
        self.stage != Stage::Final || self.dev != Dev::None
    }

    fn is_bare(&self) -> bool {
        !self.is_prerelease() && self.post.is_none()
    }

    /// Whether the release begins with these numbers.
    fn begins_with(&self, numbers: &[u64]) -> bool {
        let own = self.release.iter().copied().chain(std::iter::repeat(0));
        own.zip(numbers).all(|(own, wanted)| own == *wanted)
    }
}

/// The number that a text begins with, and what follows.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// One thing that is asked of a version, such as `>=1.2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    /// As it is written without spaces.
    pub(super) text: String,
    operator: &'static str,
    /// What is compared with; of `1.2.*` it is `1.2`.
    version: Version,
    /// The numbers of the release as they are written.
    numbers: Vec<u64>,
    /// Whether `.*` follows.
    any: bool,
}

impl Clause {
    /// Reads an operator and a version.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let operator = OPERATORS.iter().copied().find(|operator| text.starts_with(operator))?;
        let written = text[operator.len()..].trim_start_matches(' ');
        let (plain, any) = match written.strip_suffix(".*") {
            Some(plain) => (plain, true),
            None => (written, false),
        };
        let version = Version::parse(plain)?;
        let release = plain.find(|c: char| !(c.is_ascii_digit() || c == '.'));
        let release = plain[..release.unwrap_or(plain.len())].trim_end_matches('.');
        let numbers: Vec<u64> =
            release.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let exact = matches!(operator, "==" | "!=");
        // Of numbers that begin with a zero, and of what leads to a release, older tools compare
        // the beginning as text.
        let steady = version.is_bare()
            && version.local.is_none()
            && release.split('.').all(|number| number == "0" || !number.starts_with('0'));
        let allowed = match operator {
            "~=" => steady && !any && numbers.len() > 1,
            _ if any => steady && exact,
            _ => exact || version.local.is_none(),
        };
        let text = format!("{operator}{written}");
        allowed.then_some(Self { text, operator, version, numbers, any })
    }

    /// Whether two clauses that are written differently may count as one.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.operator == other.operator && self.version == other.version && self.any == other.any
    }

    /// Whether a version is what is asked for.
    pub(super) fn holds(&self, found: &Version) -> Option<bool> {
        let wanted = &self.version;
        let public = found.public();
        let order = public.cmp(wanted);
        let same_release = found.release == wanted.release;
        Some(match self.operator {
            // Older tools take the letters for the next number.
            "==" | "!=" if self.any && found.is_prerelease() => return None,
            "==" | "!=" => {
                let equal = if self.any {
                    found.begins_with(&self.numbers)
                } else if wanted.local.is_some() {
                    found == wanted
                } else {
                    order == Ordering::Equal
                };
                equal == (self.operator == "==")
            }
            "<=" => order != Ordering::Greater,
            ">=" => order != Ordering::Less,
            "~=" => {
                let kept = &self.numbers[..self.numbers.len() - 1];
                order != Ordering::Less && found.begins_with(kept)
            }
            "<" => {
                let leads_to = same_release && found.is_prerelease() && !wanted.is_prerelease();
                match order {
                    // Not every tool says the same of what leads to a release that was mended.
                    Ordering::Less if leads_to && wanted.post.is_some() => return None,
                    Ordering::Less => !leads_to,
                    _ => false,
                }
            }
            _ => {
                let mends = same_release && (found.post.is_some() || found.local.is_some());
                match order {
                    Ordering::Less => false,
                    _ if mends && wanted.is_bare() => false,
                    // Nor of what mends one that was only led to, or mended before.
                    _ if mends && (wanted.is_prerelease() || found.local.is_some()) => return None,
                    order => order == Ordering::Greater,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_in_the_order_of_their_releases() {
        let ordered = [
            "0.9",
            "1.0.dev1",
            "1.0a1.dev2",
            "1.0a1",
            "1.0a2",
            "1.0b1",
            "1.0rc1.dev3",
            "1.0rc1",
            "1.0",
            "1.0.post1.dev4",
            "1.0.post1",
            "1.0.1",
            "1.2",
            "1.10",
            "2026.1",
        ];
        let read = ordered.map(|text| Version::parse(text).unwrap());
        assert!(read.is_sorted_by(|one, next| one < next), "{read:?}");
        assert_eq!(Version::parse("1"), Version::parse("1.0.0"));
    }

    #[test]
    fn what_is_spelled_otherwise_is_not_surely_understood() {
        for text in [
            "",
            "x",
            "v1.0",
            "1!1.0",
            "1.0-1",
            "1.0-beta",
            "1.0.RC1",
            "1.0c1",
            "1.0a",
            "1.0.post",
            "1.",
            "1.0+",
            "1.0+a_b",
            "1.0+a..b",
            "1.0+01",
            "1.0 ",
            "1.x",
            "99999999999999999999",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        for text in [
            "1.0",
            ">1.0+x",
            "~=1",
            "~=1.*",
            "===1.0",
            "==1.0a1.*",
            "~=1.0rc1",
            "==1.02.*",
            "==1.0+x.*",
            "=1",
            "<=",
            "== ",
        ] {
            assert_eq!(Clause::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_clause_holds_for_what_it_asks() {
        for (clause, holds, fails) in [
            ("==1.0", "1 1.0.0 1.0+x", "1.1 1.0.post1 1.0rc1"),
            ("==1.0+x", "1.0+x 1.0+X", "1.0 1.0+y"),
            ("!= 1.0", "1.1 1.0rc1", "1.0 1.0+x"),
            ("==1.2.*", "1.2 1.2.0 1.2.3 1.2.post1 1.2.3+x", "1.20 1.3 1"),
            ("==1.0.*", "1 1.0.7", "1.1"),
            ("!=1.2.*", "1.3", "1.2.9"),
            (">=1.2", "1.2 1.2+x 1.10 2", "1.2rc1 1.1.9"),
            ("<=1.2", "1.2 1.2+x 1.2rc1 1.1", "1.2.post1 1.3"),
            ("~=2.2", "2.2 2.3 2.99", "2.1 3.0 2.2rc1"),
            ("~=1.4.5", "1.4.5 1.4.9", "1.5 1.4.4"),
            ("~=1.4.0", "1.4 1.4.9", "1.5"),
            ("==2026.01.02", "2026.1.2", "2026.1"),
            ("<1.2", "1.1 1.1.post1 1.1rc1", "1.2 1.2rc1 1.2.dev1 1.2+x 1.3"),
            ("<1.2rc2", "1.2rc1 1.2b1 1.1", "1.2rc2 1.2"),
            (">1.2", "1.3 1.2.1 1.3rc1", "1.2 1.2.post1 1.2+x 1.2rc1 1.1"),
            (">1.2.post1", "1.2.post2 1.3", "1.2.post1 1.2"),
            (">1.2rc1", "1.2rc2 1.2", "1.2rc1 1.2b1"),
        ] {
            let read = Clause::parse(clause).unwrap();
            assert_eq!(read.text, clause.replace(' ', ""));
            for (versions, expected) in [(holds, true), (fails, false)] {
                for version in versions.split(' ') {
                    let told = read.holds(&Version::parse(version).unwrap());
                    assert_eq!(told, Some(expected), "{version} {clause}");
                }
            }
        }
        for (clause, version) in [
            ("<1.2.post1", "1.2rc1"),
            ("==1.2.*", "1.2rc1"),
            (">1.2rc1", "1.2.post1"),
            (">1.2.post1", "1.2.post2+x"),
        ] {
            let read = Clause::parse(clause).unwrap();
            assert_eq!(read.holds(&Version::parse(version).unwrap()), None, "{version} {clause}");
        }
    }
}
