//! Amounts of memory and disk.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, written as people write it: `512MiB`, `10GiB`, `1.5GB`.
///
/// Binary units (KiB, MiB, GiB, TiB; also K, M, G, T as QEMU and Ansible read them) count in 1024,
/// decimal ones (kB, MB, GB, TB) in 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const UNITS: &[(&str, u64)] = &[
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("b", 1),
];

impl ByteSize {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many mebibytes.
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// So many gibibytes.
    pub const fn gib(gibibytes: u64) -> Self {
        Self(gibibytes << 30)
    }

    /// The number of bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// The number of whole mebibytes, rounded up: what QEMU's `-m` takes.
    pub const fn as_mib(self) -> u64 {
        self.0.div_ceil(1 << 20)
    }
}

impl fmt::Display for ByteSize {
    /// The largest binary unit that divides the amount, so that the text reads back to it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let text = units
            .iter()
            .find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit))
            .map_or_else(
                || format!("{}B", self.0),
                |(name, unit)| format!("{}{name}", self.0 / unit),
            );
        f.pad(&text)
    }
}

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No number in front.
    #[error("`{0}` is not a size such as 512MiB or 10GiB")]
    NotASize(String),
    /// The number has no unit.
    #[error("`{0}` has no unit; write {0}MiB or {0}GiB")]
    NoUnit(String),
    /// The unit is none that is known.
    #[error("`{unit}` is not a unit of size; use B, KiB, MiB, GiB, TiB, kB, MB, GB or TB")]
    Unit {
        /// The unit as given.
        unit: String,
    },
    /// More than fits 64 bits.
    #[error("`{0}` is more than can be counted")]
    TooLarge(String),
}

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = (&trimmed[..end], trimmed[end..].trim());
        if number.is_empty() || number.starts_with('.') || number.ends_with('.') {
            return Err(SizeError::NotASize(text.to_owned()));
        }
        if unit.is_empty() {
            return Err(SizeError::NoUnit(text.to_owned()));
        }
        let lower = unit.to_ascii_lowercase();
        let factor = UNITS
            .iter()
            .find(|(name, _)| *name == lower)
            .map(|(_, factor)| *factor)
            .ok_or_else(|| SizeError::Unit { unit: unit.to_owned() })?;
        let bytes = match number.split_once('.') {
            None => number.parse::<u64>().ok().and_then(|whole| whole.checked_mul(factor)),
            Some((whole, part)) => {
                fraction(whole, part, factor).map_err(|()| SizeError::NotASize(text.to_owned()))?
            }
        };
        bytes.map(Self).ok_or_else(|| SizeError::TooLarge(text.to_owned()))
    }
}

/// `whole.part` units of `factor` bytes; `Ok(None)` when it does not fit, `Err` when not a number.
fn fraction(whole: &str, part: &str, factor: u64) -> Result<Option<u64>, ()> {
    // Nine digits keep the product below 2^70 and say more than any disk needs.
    if part.len() > 9 {
        return Err(());
    }
    let scale = 10u128.pow(u32::try_from(part.len()).map_err(|_| ())?);
    let whole: u64 = whole.parse().map_err(|_| ())?;
    let part: u128 = part.parse().map_err(|_| ())?;
    let factor = u128::from(factor);
    Ok(u64::try_from(u128::from(whole) * factor + part * factor / scale).ok())
}

impl serde::Serialize for ByteSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<ByteSize>().map(ByteSize::as_bytes);
        assert_eq!(read("512MiB"), Ok(512 << 20));
        assert_eq!(read("512 M"), Ok(512 << 20));
        assert_eq!(read("1.5GiB"), Ok(3 << 29));
        assert_eq!(read("1GB"), Ok(1_000_000_000));
        assert_eq!(read("0B"), Ok(0));
        for bad in
            ["", "MiB", "12", "12 parsecs", "1.GiB", ".5GiB", "1.2.3GiB", "-1GiB", "99999999TiB"]
        {
            assert!(read(bad).is_err(), "`{bad}` was accepted");
        }
    }

    #[test]
    fn a_size_is_written_so_that_it_reads_back() {
        for bytes in [0, 1, 1023, 1024, 1 << 20, 3 << 29, 1_000_000_000, u64::MAX] {
            let size = ByteSize::bytes(bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
