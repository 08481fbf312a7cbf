//! Ethernet addresses.

use crate::Chance;
use std::fmt;
use std::str::FromStr;

/// An Ethernet address, written `52:54:00:…` in lowercase with colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// The card of a template's guest, which is in no network. Whoever goes on from there gives it an
    /// address of its own.
    pub const TEMPLATE: Self = Self([0x52, 0x54, 0x00, 0x00, 0x00, 0x00]);

    /// Draws an address in QEMU's locally used range.
    pub fn draw(chance: &mut dyn Chance) -> Self {
        let [a, b, c, ..] = chance.next_u64().to_le_bytes();
        // 52:54:00 is the prefix QEMU documents for guests: locally administered, unicast.
        Self([0x52, 0x54, 0x00, a, b, c])
    }

    /// The six bytes.
    pub fn octets(&self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mac({self})")
    }
}

/// Not an Ethernet address.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an Ethernet address such as 52:54:00:12:34:56")]
pub struct MacError(String);

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let fault = || MacError(text.to_owned());
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(fault)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| fault())?;
        }
        parts.next().is_none().then_some(Self(octets)).ok_or_else(fault)
    }
}

impl serde::Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_both_spellings_and_written_in_one() {
        let mac: Mac = "52-54-00-AB-cd-01".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:ab:cd:01");
        assert!("52:54:00:ab:cd".parse::<Mac>().is_err());
        assert!("52:54:00:ab:cd:01:02".parse::<Mac>().is_err());
    }
}
