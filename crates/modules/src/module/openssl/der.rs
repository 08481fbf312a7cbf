//! Reads and writes DER (ITU-T X.690), as far as keys and requests need it.
//!
//! Whatever the bytes, there is an answer: lengths are checked against what is there, and nothing
//! is followed deeper than it is asked for. Never here: what the values mean.

/// INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// BIT STRING.
pub(super) const BIT_STRING: u8 = 0x03;
/// OCTET STRING.
pub(super) const OCTET_STRING: u8 = 0x04;
/// OBJECT IDENTIFIER.
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
/// SET.
pub(super) const SET: u8 = 0x31;
/// SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;

/// A value whose content is these parts.
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let start = length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1);
    let length = &length[start..];
    let mut all = vec![tag];
    if length.len() > 1 || length[0] > 0x7f {
        all.push(u8::try_from(length.len()).unwrap_or(8) | 0x80);
    }
    all.extend([length, &content].concat());
    all
}

/// A whole number.
pub(super) fn natural(number: u32) -> Vec<u8> {
    let bytes = [&[0], &number.to_be_bytes()[..]].concat();
    let zeros = bytes.windows(2).take_while(|pair| pair[0] == 0 && pair[1] < 0x80).count();
    value(INTEGER, &[&bytes[zeros..]])
}

/// Values that stand one after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes of those that are still to be read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag and the content of the next value.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        // Tags of more than one byte are in no key.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x84 => {
                let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = after;
                let length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                // DER has the shortest form alone.
                if bytes[0] == 0 || length < 0x80 {
                    return None;
                }
                length
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, content))
    }

    /// The content of the next value if it has this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.next()?;
        (found == tag).then_some(content)
    }

    /// What is in the next value, which is a SEQUENCE.
    pub(super) fn sequence(&mut self) -> Option<Self> {
        self.take(SEQUENCE).map(Self)
    }

    /// The bytes of the next value, an INTEGER that is not negative; none of them leads with zero.
    pub(super) fn natural(&mut self) -> Option<&'a [u8]> {
        let bytes = self.take(INTEGER)?;
        let first = *bytes.first()?;
        (first < 0x80).then(|| if first == 0 { &bytes[1..] } else { bytes })
    }

    /// The bytes of the next value, a BIT STRING of whole bytes.
    pub(super) fn bits(&mut self) -> Option<&'a [u8]> {
        self.take(BIT_STRING)?.strip_prefix(&[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_their_order() {
        let mut reader = Reader::new(&[0x30, 7, 2, 1, 5, 3, 2, 0, 9, 2, 2, 0, 0x80]);
        let mut inner = reader.sequence().unwrap();
        assert_eq!(inner.natural(), Some(&[5][..]));
        assert_eq!(inner.bits(), Some(&[9][..]));
        assert!(inner.is_empty() && inner.next().is_none());
        assert_eq!(reader.natural(), Some(&[0x80][..]));
        assert!(reader.is_empty());
    }

    #[test]
    fn values_are_written_in_the_shortest_form() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x10000] {
            let content = vec![7; length];
            let written = value(4, &[&content]);
            assert_eq!(Reader::new(&written).next(), Some((4, &content[..])), "{length}");
        }
        for (number, bytes) in [(0, &[0][..]), (0x7f, &[0x7f]), (0x80, &[0, 0x80]), (256, &[1, 0])]
        {
            assert_eq!(Reader::new(&natural(number)).take(INTEGER), Some(bytes), "{number}");
        }
    }

    #[test]
    fn what_is_not_der_is_refused() {
        for bytes in [
            &[][..],
            &[2],
            &[2, 1],
            &[2, 0x80, 0, 0],
            &[2, 0x81, 1, 5],
            &[2, 0x82, 0, 0x80],
            &[2, 0x84, 0xff, 0xff, 0xff, 0xff, 0],
            &[2, 0x85, 1, 0, 0, 0, 0, 0],
            &[0x1f, 0x81, 1, 0],
        ] {
            assert!(Reader::new(bytes).next().is_none(), "{bytes:x?}");
        }
        assert_eq!(Reader::new(&[2, 1, 0x80]).natural(), None);
        assert_eq!(Reader::new(&[2, 0]).natural(), None);
        assert_eq!(Reader::new(&[3, 2, 1, 0x80]).bits(), None);
        let long: Vec<u8> = [4, 0x81, 0x80].into_iter().chain([7; 128]).collect();
        assert_eq!(Reader::new(&long).next().map(|(_, content)| content.len()), Some(128));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(0_u8.., 0..64)) {
            let mut reader = Reader::new(&bytes);
            while let Some((_, content)) = reader.next() {
                let read = [Reader::new(content).natural(), Reader::new(content).bits()];
                assert!(read.iter().flatten().all(|part| part.len() <= content.len()));
            }
        }
    }
}
