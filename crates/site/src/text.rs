//! The text of a site file, and places in it.
//!
//! Every span is in bytes of [`Text::text`] and stands on character borders.
//! Never here: YAML.

use camino::Utf8PathBuf;

/// A stretch of one of the files that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    /// Which file, in the order they were read.
    pub(crate) file: usize,
    /// First byte.
    pub(crate) start: usize,
    /// First byte after it.
    pub(crate) end: usize,
}

impl Span {
    /// From the start of this one to the end of the other.
    pub(crate) fn to(self, other: Self) -> Self {
        Self { end: other.end.max(self.end), ..self }
    }
}

/// One file that was read.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) path: Utf8PathBuf,
    /// The file without a byte order mark. Private keys in it are masked, byte for byte.
    pub(crate) text: String,
    /// Byte at which each line starts.
    lines: Vec<usize>,
}

impl Text {
    pub(crate) fn new(path: Utf8PathBuf, text: &str) -> Self {
        let lines = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1))
            .collect();
        Self { path, text: mask_private_keys(text), lines }
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub(crate) fn place(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines[line.saturating_sub(1)];
        let before = self.text.get(start..at).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// The stretch cut where its first line ends, so that an excerpt stays one line.
    pub(crate) fn first_line(&self, start: usize, end: usize) -> (usize, usize) {
        let stretch = self.text.get(start..end).unwrap_or_default();
        let line = stretch.lines().next().unwrap_or_default();
        (start, start + line.trim_end().len())
    }
}

/// Whether a text holds a private key.
pub(crate) fn is_private_key(text: &str) -> bool {
    text.contains("PRIVATE KEY-----") || text.contains("PuTTY-User-Key-File")
}

/// Replaces what stands between the first and last line of each private key with stars, so that no
/// excerpt can show it. Every byte of ASCII stays one byte.
fn mask_private_keys(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let opens = line.contains("-----BEGIN") && line.contains("PRIVATE KEY");
        let opens = opens || line.contains("PuTTY-User-Key-File");
        let closes = line.contains("-----END");
        inside |= opens;
        if inside {
            masked.extend(line.chars().map(|c| match c {
                c if c.is_whitespace() || !c.is_ascii() => c,
                _ => '*',
            }));
        } else {
            masked.push_str(line);
        }
        inside &= !closes;
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let text = Text::new("a.yaml".into(), "é: ü\nsite: x\n");
        assert_eq!(text.place(0), (1, 1));
        assert_eq!(text.place("é: ".len()), (1, 4));
        assert_eq!(text.place("é: ü\nsite: ".len()), (2, 7));
        assert_eq!(text.place(text.text.len()), (3, 1));
    }

    #[test]
    fn a_private_key_is_masked_and_everything_else_stays_in_place() {
        let file = "a: |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  c2VjcmV0\n  -----END OPENSSH PRIVATE KEY-----\nb: 1\n";
        let text = Text::new("a.yaml".into(), file);
        assert!(!text.text.contains("c2VjcmV0"));
        assert_eq!(text.text.len(), file.len());
        assert!(text.text.ends_with("\nb: 1\n"));
    }
}
