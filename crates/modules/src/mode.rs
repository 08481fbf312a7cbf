//! Permission bits: octal and symbolic forms, and what they make of a file's present mode.
//!
//! Never here: changing a file.

use crate::outcome::{Fault, fail};
use serde_json::Value;

/// What decides how a symbolic mode is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present {
    /// The twelve permission bits the file has now.
    pub(crate) bits: u32,
    pub(crate) directory: bool,
    /// The process's umask, which bounds clauses that name nobody (`+x`).
    pub(crate) umask: u32,
}

/// A mode that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ModeError {
    #[error("bad symbolic permission for mode: {0}")]
    Clause(String),
    #[error("{0:o}")]
    NotPermissions(u64),
}

/// The bits that `asked` gives to a file that has `present`.
///
/// A number is taken as it is, text as octal or else as symbolic clauses.
pub(crate) fn resolve(asked: &Value, present: Present) -> Result<u32, ModeError> {
    match asked {
        Value::Number(number) => {
            let bits = number.as_u64().ok_or_else(|| ModeError::Clause(number.to_string()))?;
            within(bits)
        }
        Value::String(text) => {
            let digits = text.trim().trim_start_matches("0o");
            if digits.bytes().all(|b| b.is_ascii_digit())
                && let Ok(bits) = u64::from_str_radix(digits, 8)
            {
                return within(bits);
            }
            symbolic(text, present)
        }
        other => Err(ModeError::Clause(crate::args::text_of(other))),
    }
}

fn within(bits: u64) -> Result<u32, ModeError> {
    u32::try_from(bits)
        .ok()
        .filter(|bits| bits & !0o7777 == 0)
        .ok_or(ModeError::NotPermissions(bits))
}

fn symbolic(text: &str, present: Present) -> Result<u32, ModeError> {
    let mut bits = present.bits;
    for clause in text.split(',') {
        let bad = || ModeError::Clause(clause.to_owned());
        let is_operator = |c: char| matches!(c, '+' | '-' | '=');
        let start = clause.find(is_operator).unwrap_or(clause.len());
        let (named, mut rest) = clause.split_at(start);
        let masked = named.is_empty();
        let users = if named.is_empty() || named == "a" { "ugo" } else { named };
        if !users.chars().all(|c| "ugo".contains(c)) {
            return Err(bad());
        }
        while let Some(operator) = rest.chars().next() {
            let end = rest[1..].find(is_operator).map_or(rest.len(), |at| at + 1);
            let perms = &rest[1..end];
            if !perms.chars().all(|c| "rwxXstugo".contains(c)) {
                return Err(bad());
            }
            for user in users.chars() {
                let granted = granted(user, perms, bits, masked, present);
                bits = match operator {
                    '+' => bits | granted,
                    '-' => bits & !granted,
                    _ => (bits & !scope(user)) | granted,
                };
            }
            rest = &rest[end..];
        }
    }
    Ok(bits)
}

/// The bits that `=` replaces for one kind of user.
fn scope(user: char) -> u32 {
    match user {
        'u' => 0o4700,
        'g' => 0o2070,
        _ => 0o1007,
    }
}

/// The bits that `perms` stand for when given to `user`.
fn granted(user: char, perms: &str, bits: u32, masked: bool, present: Present) -> u32 {
    let shift = match user {
        'u' => 6,
        'g' => 3,
        _ => 0,
    };
    let allowed = if masked { !present.umask } else { u32::MAX };
    let executable = present.directory || bits & 0o111 != 0;
    perms.chars().fold(0, |sum, perm| {
        sum | match (perm, user) {
            ('r', _) => (4 << shift) & allowed,
            ('w', _) => (2 << shift) & allowed,
            ('x', _) => (1 << shift) & allowed,
            ('X', _) if executable => 1 << shift,
            ('s', 'u') => 0o4000,
            ('s', 'g') => 0o2000,
            ('t', 'o') => 0o1000,
            ('u', _) => ((bits >> 6) & 7) << shift,
            ('g', _) => ((bits >> 3) & 7) << shift,
            ('o', _) => (bits & 7) << shift,
            _ => 0,
        }
    })
}

/// Bits as Ansible writes them: `0644`, `01777`.
pub(crate) fn render(bits: u32) -> String {
    format!("0{:03o}", bits & 0o7777)
}

/// The umask a task asks for: text of octal digits.
pub(crate) fn umask_of(value: Option<&Value>) -> Result<Option<u32>, Fault> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => {
            let digits = text.trim();
            let digits = digits.strip_prefix("0o").unwrap_or(digits);
            let mask = u32::from_str_radix(digits, 8).ok().filter(|mask| *mask <= 0o777);
            let why = format!("invalid literal for int() with base 8: '{text}'");
            mask.map(Some)
                .ok_or_else(|| fail!("umask must be an octal integer").with("details", why))
        }
        Some(_) => Err(fail!("umask must be defined as a quoted octal integer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(asked: impl Into<Value>, bits: u32, directory: bool, expected: u32) {
        let asked = asked.into();
        let present = Present { bits, directory, umask: 0o022 };
        assert_eq!(resolve(&asked, present), Ok(expected), "{asked} on {bits:o}");
    }

    #[test]
    fn octal_text_and_numbers_are_taken_as_they_are() {
        check("0644", 0, false, 0o644);
        check("644", 0, false, 0o644);
        check("1777", 0, true, 0o1777);
        check(0o755, 0, false, 0o755);
    }

    #[test]
    fn symbolic_clauses_work_on_the_present_mode() {
        check("u=rw,g=r,o=", 0o777, false, 0o640);
        check("u=rwX,go=rX", 0o600, false, 0o644);
        check("u=rwX,go=rX", 0o700, false, 0o755);
        check("u=rwX,go=rX", 0o600, true, 0o755);
        check("a+x", 0o644, false, 0o755);
        check("+w", 0o444, false, 0o644);
        check("u+s,g+s,o+t", 0o755, true, 0o7755);
        check("g=u", 0o640, false, 0o660);
        check("o=g-w", 0o660, false, 0o664);
        check("u=rwx,g-w+x", 0o620, false, 0o710);
        check("ug=rw", 0o000, false, 0o660);
        check("u=rw", 0o4755, false, 0o655);
    }

    #[test]
    fn nonsense_is_refused() {
        let present = Present { bits: 0o644, directory: false, umask: 0o022 };
        for asked in ["u=q", "z+r", "rw-r--r--q"] {
            assert!(resolve(&Value::from(asked), present).is_err(), "{asked}");
        }
        assert!(resolve(&Value::from("77777"), present).is_err());
        assert!(resolve(&Value::from(100_000), present).is_err());
    }

    #[test]
    fn a_umask_is_text_of_octal_digits() {
        assert_eq!(umask_of(None).unwrap(), None);
        assert_eq!(umask_of(Some(&Value::from("0o27"))).unwrap(), Some(0o27));
        assert!(umask_of(Some(&Value::from(27))).is_err());
        assert!(umask_of(Some(&Value::from("9"))).is_err());
    }

    #[test]
    fn bits_are_written_with_a_leading_zero() {
        assert_eq!(render(0o644), "0644");
        assert_eq!(render(0o1777), "01777");
        assert_eq!(render(0), "0000");
    }
}
