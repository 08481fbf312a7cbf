//! Zip files, of what Python reads: deflated, and the same bytes for the same files.

use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::collections::BTreeMap;
use std::io::Write as _;

/// Moments of a zip are in MS-DOS's form; this is the first it can tell, 1980-01-01.
const DATE: u16 = 0x21;

/// Version 2.0 of the format has deflate.
const VERSION: u16 = 20;

const DEFLATED: u16 = 8;

/// Archives stay far below the format's limit of 4 GiB; what is not, is cut off and refused by
/// whoever reads it.
fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A zip of files by their names.
pub(super) fn zip(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in files {
        let at = size(out.len());
        let mut checksum = flate2::Crc::new();
        checksum.update(content);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory does not fail.
        let packed = encoder.write_all(content).and_then(|()| encoder.finish()).unwrap_or_default();
        let mut common = Vec::new();
        for word in [VERSION, 0x0800, DEFLATED, 0, DATE] {
            common.extend(word.to_le_bytes());
        }
        for word in [checksum.sum(), size(packed.len()), size(content.len())] {
            common.extend(word.to_le_bytes());
        }
        common.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        common.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(packed);
        directory.extend(b"PK\x01\x02");
        directory.extend(VERSION.to_le_bytes());
        directory.extend(&common);
        // No comment, first disk, no attributes.
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = size(out.len());
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    let count = u16::try_from(files.len()).unwrap_or(u16::MAX).to_le_bytes();
    out.extend(count);
    out.extend(count);
    out.extend(size(directory.len()).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let files = |text: &str| BTreeMap::from([("a/b.py".to_owned(), text.as_bytes().to_vec())]);
        assert_eq!(zip(&files("x = 1\n")), zip(&files("x = 1\n")));
        assert_ne!(zip(&files("x = 1\n")), zip(&files("x = 2\n")));
        assert_eq!(zip(&BTreeMap::new()).len(), 22);
    }
}
