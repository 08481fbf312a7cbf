//! What looks like a password in command lines and in what programs say, masked.
//!
//! Ansible guesses so too (`heuristic_log_sanitize` and `_clean_args` of its `basic.py`), and what
//! is masked here is what is masked there: its false positives too, since people compare.

use crate::shlex;

pub(crate) const MASK: &str = "********";

/// A command line as a shell would take it, without the values of options that are called
/// `pass…`, and without passwords in addresses.
pub(crate) fn line(words: &[String]) -> String {
    let mut value_follows = false;
    let mut shown = Vec::new();
    for word in words {
        if std::mem::take(&mut value_follows) {
            shown.push(shlex::quote(MASK));
            continue;
        }
        if names_a_password(word) {
            if let Some((name, _)) = word.split_once('=') {
                shown.push(shlex::quote(&format!("{name}={MASK}")));
                continue;
            }
            value_follows = true;
        }
        shown.push(shlex::quote(&text(word)));
    }
    shown.join(" ")
}

fn names_a_password(word: &str) -> bool {
    ["", "-", "--"]
        .iter()
        .any(|dashes| word.strip_prefix(dashes).is_some_and(|name| name.starts_with("pass")))
}

/// A text with a mask in place of what stands between the colon and the last `@` of
/// `scheme://user:password@host` and `user:password@host`.
pub(crate) fn text(said: &str) -> String {
    let letters: Vec<char> = said.chars().collect();
    let mut masked = Vec::new();
    // What is behind this is done.
    let mut done = letters.len();
    while let Some(at) = letters[..done].iter().rposition(|letter| *letter == '@') {
        let Some((start, colon)) = password_before(&letters[..at]) else {
            break;
        };
        masked.push(letters[at..done].iter().collect::<String>());
        masked.push(MASK.to_owned());
        masked.push(letters[start..=colon].iter().collect());
        done = start;
    }
    masked.push(letters[..done].iter().collect());
    masked.into_iter().rev().collect()
}

/// Where an address that ends here begins, and its colon in front of a password. Schemes are looked
/// for from the end; where none has a colon behind it, the address begins with the text.
fn password_before(letters: &[char]) -> Option<(usize, usize)> {
    let mut end = letters.len();
    loop {
        let start = letters[..end].windows(3).rposition(|three| three == [':', '/', '/']);
        // Not the colon of a scheme, and where there is none the first three letters are no name.
        let from = start.unwrap_or(0) + 3;
        let colon = letters.iter().skip(from).position(|letter| *letter == ':');
        match (colon, start) {
            (Some(colon), _) => return Some((start.unwrap_or(0), from + colon)),
            // A scheme at the very start is where everything has been looked through.
            (None, None | Some(0)) => return None,
            (None, Some(start)) => end = start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_are_masked_as_ansible_masks_them() {
        // What heuristic_log_sanitize of ansible-core 2.19.14 makes of the same.
        let cases = [
            ("", ""),
            ("nothing: here", "nothing: here"),
            ("https://me:secret@host/path", "https://me:********@host/path"),
            ("bob:secret@host", "bob:********@host"),
            ("me:secret@host", "me:secret@host"),
            ("mail to me@host", "mail to me@host"),
            ("http://a:b@c then https://d:e@f.", "http://a:********@c then https://d:********@f."),
            ("http://host/ wrote to me@host", "http:********@host"),
            (
                "fatal: repository 'https://u:p@h/r' not found",
                "fatal: repository 'https://u:********@h/r' not found",
            ),
            ("time 12:30, me@host", "time 12:********@host"),
            ("://:@", "://:********@"),
            ("übel:wort@ort", "übel:********@ort"),
        ];
        for (said, wanted) in cases {
            assert_eq!(text(said), wanted, "{said}");
        }
    }

    #[test]
    fn values_of_options_that_are_called_pass_are_masked() {
        let words = ["tool", "--password", "a b", "--passwd=c", "-pass", "d", "bob:e@host", "x y"];
        assert_eq!(
            line(&words.map(str::to_owned)),
            "tool --password '********' '--passwd=********' -pass '********' 'bob:********@host' 'x y'"
        );
    }
}
