//! The known word nearest to one that is not known.
//!
//! Never here: what the words mean.

/// The candidate that `word` was most likely meant to be, if any comes near.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Longer words are nothing that was mistyped, and the distance costs their product.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let word: Vec<char> = word.to_lowercase().chars().collect();
    // One change in three characters still looks alike.
    let most = word.len().div_ceil(3).max(1);
    let mut found: Option<(usize, &'a str)> = None;
    for candidate in candidates.into_iter().filter(|candidate| candidate.len() <= LONGEST) {
        let letters: Vec<char> = candidate.chars().collect();
        // A word that differs in length by more differs by at least as many letters.
        if letters.len().abs_diff(word.len()) > most {
            continue;
        }
        let distance = distance(&word, &letters);
        let nearer = found.is_none_or(|(least, _)| distance < least);
        if distance <= most && distance < letters.len() && nearer {
            found = Some((distance, candidate));
        }
    }
    found.map(|(_, candidate)| candidate)
}

/// Edits between two words: a character more, less or different, or two swapped
/// (the restricted distance of Damerau and Levenshtein).
fn distance(a: &[char], b: &[char]) -> usize {
    // Names of one kind tend to begin alike, and what is alike costs nothing.
    let same = a.iter().zip(b).take_while(|(left, right)| left == right).count();
    let (a, b) = (&a[same..], &b[same..]);
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, right) in b.iter().enumerate() {
            let mut best =
                (last[j] + usize::from(left != right)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *left == b[j - 1] && a[i - 1] == *right {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_near() {
        let words = ["memory", "network", "count", "on"];
        assert_eq!(nearest("memroy", words), Some("memory"));
        assert_eq!(nearest("Network", words), Some("network"));
        assert_eq!(nearest("coutn", words), Some("count"));
        assert_eq!(nearest("no", words), Some("on"));
    }

    #[test]
    fn another_word_is_not_near() {
        assert_eq!(nearest("firewall", ["memory", "network"]), None);
        assert_eq!(nearest("x", ["a", "b"]), None);
    }
}
