//! The orders of version numbers that the `version` test knows.

use super::Fault;
use crate::value::Value;
use std::cmp::Ordering;

/// Compares two versions by one of Ansible's rules.
///
/// # Errors
/// When there is no such rule, or a version is not written by it.
pub(crate) fn compare(kind: &str, a: &str, b: &str) -> Result<Ordering, Fault> {
    let both = |parse: fn(&str) -> Option<Vec<Part>>, what: &str| {
        let read = |text: &str| {
            parse(text)
                .ok_or_else(|| Fault::new(format!("Version comparison failed: {what} '{text}'")))
        };
        Ok(read(a)?.cmp(&read(b)?))
    };
    match kind {
        "loose" => loose(a, b),
        "strict" => both(strict, "invalid version number"),
        "semver" | "semantic" => both(semantic, "invalid semantic version"),
        "pep440" => both(pep440, "Invalid version:"),
        other => Err(Fault::new(format!(
            "Invalid version type ({other}). Must be one of 'loose', 'strict', 'semver', 'semantic', 'pep440'"
        ))),
    }
}

/// A piece of a version, in an order that puts a pre-release before and a post-release behind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Before,
    Number(u64),
    Word(String),
    End,
    After(u64),
    Local(Vec<Part>),
}

/// Python's LooseVersion: runs of digits and runs of letters, compared one by one.
fn loose(a: &str, b: &str) -> Result<Ordering, Fault> {
    let parts = |text: &str| -> Vec<Value> {
        let mut out: Vec<String> = Vec::new();
        let mut kind = ' ';
        for c in text.chars() {
            let now = if c.is_ascii_digit() {
                '0'
            } else if c.is_ascii_lowercase() {
                'a'
            } else {
                '-'
            };
            if c == '.' {
                kind = ' ';
                continue;
            }
            if now == kind
                && let Some(last) = out.last_mut()
            {
                last.push(c);
            } else {
                out.push(c.to_string());
                kind = now;
            }
        }
        out.into_iter()
            .map(|part| part.parse().map_or_else(|_| Value::from(part), Value::Int))
            .collect()
    };
    let (a_parts, b_parts) = (parts(a), parts(b));
    let mixed = a_parts.iter().zip(&b_parts).find(|(a, b)| a != b);
    crate::value::compare(&Value::list(a_parts.clone()), &Value::list(b_parts.clone())).ok_or_else(
        || {
            let (a, b) = mixed.map_or(("int", "str"), |(a, b)| (a.type_name(), b.type_name()));
            Fault::new(format!(
                "Version comparison failed: '<' not supported between instances of '{a}' and '{b}'"
            ))
        },
    )
}

fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Two or three numbers, and perhaps `a` or `b` with a number.
fn strict(text: &str) -> Option<Vec<Part>> {
    let at = text.find(['a', 'b']).unwrap_or(text.len());
    let (release, pre) = text.split_at(at);
    let mut parts: Vec<Part> =
        release.split('.').map(|part| number(part).map(Part::Number)).collect::<Option<_>>()?;
    match parts.len() {
        2 => parts.push(Part::Number(0)),
        3 => {}
        _ => return None,
    }
    if pre.is_empty() {
        parts.push(Part::End);
    } else {
        let (kind, count) = pre.split_at(1);
        parts.extend([Part::Word(kind.to_owned()), Part::Number(number(count)?)]);
    }
    Some(parts)
}

/// Semantic Versioning 2.0.0, section 11.
fn semantic(text: &str) -> Option<Vec<Part>> {
    let core = text.split('+').next().unwrap_or_default();
    let (release, pre) = match core.split_once('-') {
        Some((release, pre)) => (release, Some(pre)),
        None => (core, None),
    };
    let plain = |text: &str| text == "0" || !text.starts_with('0');
    let mut parts: Vec<Part> = release
        .split('.')
        .map(|part| number(part).filter(|_| plain(part)).map(Part::Number))
        .collect::<Option<_>>()?;
    if parts.len() != 3 {
        return None;
    }
    let Some(pre) = pre else {
        parts.push(Part::End);
        return Some(parts);
    };
    for word in pre.split('.') {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if word.is_empty() || !word.chars().all(fits) {
            return None;
        }
        parts.push(match number(word) {
            Some(number) => Part::Number(number),
            None => Part::Word(word.to_owned()),
        });
    }
    // A longer pre-release comes after the shorter one that it begins with.
    parts.push(Part::Before);
    Some(parts)
}

/// PEP 440: `1!2.0rc1.post2.dev3+local`.
fn pep440(text: &str) -> Option<Vec<Part>> {
    let lower = text.trim().to_ascii_lowercase();
    let pattern = r"^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(alpha|beta|preview|pre|a|b|c|rc)[-_.]?(\d*))?(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$";
    let regex = super::pattern::regex(pattern, false, false, false).ok()?;
    let found = regex.captures(lower.as_str()).ok()??;
    let group = |index: usize| found.get(index).map(|m| m.as_str());
    let count = |index: usize| group(index).and_then(number).unwrap_or(0);
    let mut release: Vec<u64> = group(2)?.split('.').filter_map(number).collect();
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    let mut parts = vec![Part::Number(count(1))];
    parts.extend(release.into_iter().map(Part::Number));
    // What comes before any further number of the release.
    parts.push(Part::Before);
    let post = group(5).or_else(|| group(6));
    match group(3) {
        Some(kind) => {
            let kind = match kind {
                "alpha" | "a" => "a",
                "beta" | "b" => "b",
                _ => "rc",
            };
            parts.extend([Part::Word(kind.to_owned()), Part::Number(count(4))]);
        }
        None if post.is_none() && group(8).is_some() => parts.push(Part::Before),
        None => parts.push(Part::End),
    }
    match (group(5), post) {
        (Some(number), _) => parts.push(Part::After(number.parse().ok()?)),
        (None, Some(_)) => parts.push(Part::After(count(7))),
        (None, None) => parts.push(Part::Before),
    }
    match group(8) {
        Some(_) => parts.push(Part::Number(count(9))),
        None => parts.push(Part::End),
    }
    if let Some(local) = group(10) {
        let words = local.split(['-', '_', '.']);
        parts.push(Part::Local(
            words
                .map(|word| match number(word) {
                    Some(number) => Part::After(number),
                    None => Part::Word(word.to_owned()),
                })
                .collect(),
        ));
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each list is in rising order.
    #[test]
    fn versions_are_ordered_by_their_rules() {
        for (kind, versions) in [
            ("loose", ["1.2", "1.2.1", "1.10", "2.0"].as_slice()),
            ("strict", &["0.5a1", "0.5b3", "0.5", "0.9.6", "1.0.4a3", "1.0.4"]),
            (
                "semver",
                &[
                    "1.0.0-alpha",
                    "1.0.0-alpha.1",
                    "1.0.0-alpha.beta",
                    "1.0.0-beta",
                    "1.0.0-beta.2",
                    "1.0.0-beta.11",
                    "1.0.0-rc.1",
                    "1.0.0",
                    "1.0.1",
                ],
            ),
            (
                "pep440",
                &[
                    "1.0.dev1",
                    "1.0a1.dev1",
                    "1.0a1",
                    "1.0b2",
                    "1.0rc1",
                    "1.0",
                    "1.0+local",
                    "1.0.post1",
                    "1.0.1",
                    "1.1.dev1",
                    "1.1",
                    "1!0.1",
                ],
            ),
        ] {
            for pair in versions.windows(2) {
                assert_eq!(compare(kind, pair[0], pair[1]), Ok(Ordering::Less), "{kind} {pair:?}");
                assert_eq!(compare(kind, pair[1], pair[0]), Ok(Ordering::Greater), "{pair:?}");
                assert_eq!(compare(kind, pair[0], pair[0]), Ok(Ordering::Equal), "{pair:?}");
            }
        }
        assert_eq!(compare("pep440", "1.0", "1.0.0"), Ok(Ordering::Equal));
        assert_eq!(compare("semver", "1.0.0+a", "1.0.0+b"), Ok(Ordering::Equal));
        for (kind, wrong) in [("semver", "1.0"), ("strict", "1"), ("pep440", "x"), ("nope", "1")] {
            assert!(compare(kind, wrong, wrong).is_err(), "{kind} {wrong}");
        }
        assert!(compare("loose", "1.x", "1.0").is_err());
    }
}
