//! Identities: drawn once, written wherever the thing lives, never reused.

use crate::{Chance, Timestamp};
use std::fmt;
use std::str::FromStr;
use ulid::Ulid;

/// Not a ULID.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a ULID of 26 characters")]
pub struct IdError {
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// Draws a new identity. The time makes ids sort by age; chance makes them unique.
            pub fn draw(at: Timestamp, chance: &mut dyn Chance) -> Self {
                let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
                Self(Ulid::from_parts(millis, chance.next_u128()))
            }

            /// The same 128 bits in the form of a UUID, for places that know only UUIDs
            /// (SMBIOS, cloud tags).
            pub fn as_uuid(&self) -> String {
                let h = format!("{:032x}", u128::from(self.0));
                format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
            }

            /// The same 128 bits as 32 hexadecimal digits, the form of `/etc/machine-id`.
            pub fn as_hex(&self) -> String {
                format!("{:032x}", u128::from(self.0))
            }

            /// The last six characters, lowercase: for names of interfaces, which the kernel
            /// limits to 15 bytes. Random bits, so unlikely to meet another.
            pub fn tail(&self) -> String {
                self.0.to_string()[20..].to_ascii_lowercase()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0.to_string())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Ulid::from_string(text)
                    .map(Self)
                    .map_err(|_| IdError { text: text.to_owned() })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id! {
    /// Identity of a site: drawn when its state is first made, kept there.
    SiteId
}
id! {
    /// Identity of a machine: drawn while planning, before the machine exists.
    MachineId
}
id! {
    /// Identity of one execution of a plan.
    RunId
}
id! {
    /// Identity of a snapshot of a machine: drawn while planning, before the snapshot exists.
    SnapshotId
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededChance;

    #[test]
    fn an_id_survives_its_text_and_sorts_by_age() {
        let mut chance = SeededChance::new(7);
        let early = MachineId::draw("2026-01-01T00:00:00Z".parse().unwrap(), &mut chance);
        let late = MachineId::draw("2026-01-02T00:00:00Z".parse().unwrap(), &mut chance);
        assert!(early < late);
        assert_eq!(early.to_string().parse::<MachineId>().unwrap(), early);
        assert_eq!(early.as_uuid().replace('-', ""), early.as_hex());
        assert!("not an id".parse::<MachineId>().is_err());
    }
}
