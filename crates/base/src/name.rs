//! Names that people give to things: checked once, then safe in paths, hostnames and argv.

use std::fmt;
use std::str::FromStr;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than a DNS label may be.
    #[error("`{name}` is {length} characters long, a name has at most 63")]
    TooLong {
        /// The text as given.
        name: String,
        /// Its length in characters.
        length: usize,
    },
    /// A character that has no place in a name.
    #[error("`{name}` contains `{found}`: a name is lowercase letters, digits and hyphens")]
    Character {
        /// The text as given.
        name: String,
        /// The first character that does not fit.
        found: char,
    },
    /// Starts or ends with a hyphen.
    #[error("`{name}` must start and end with a letter or digit")]
    Edge {
        /// The text as given.
        name: String,
    },
}

/// RFC 1123 section 2.1 and RFC 1035 section 2.3.1, lowercase only: what every name here keeps,
/// because each of them ends up in hostnames, file names and command lines.
fn check_label(text: &str) -> Result<(), NameError> {
    let name = || text.to_owned();
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(found) = text.chars().find(|c| !fits(*c)) {
        return Err(NameError::Character { name: name(), found });
    }
    if text.len() > 63 {
        return Err(NameError::TooLong { name: name(), length: text.len() });
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(NameError::Edge { name: name() });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// A lowercase DNS label of 1 to 63 bytes.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check_label(text).map(|()| Self(text.to_owned()))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
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

name! {
    /// Name of a site.
    SiteName
}
name! {
    /// Name of a machine, unique within its site; also its hostname.
    MachineName
}
name! {
    /// Name of a group of machines of one shape; also the Ansible group.
    GroupName
}
name! {
    /// Name of an image within a site file.
    ImageName
}
name! {
    /// Name of a network within a site file.
    NetworkName
}
name! {
    /// Name of a service.
    ServiceName
}
name! {
    /// Name of an admin's account on machines.
    UserName
}

impl MachineName {
    /// The name of the `number`th machine of a group: `worker-1`, `worker-2`, …
    ///
    /// # Errors
    /// When group name and number together are longer than a label may be.
    pub fn numbered(group: &GroupName, number: u32) -> Result<Self, NameError> {
        format!("{group}-{number}").parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_lowercase_dns_label() {
        assert!("web-1".parse::<MachineName>().is_ok());
        for bad in ["", "Web", "web_1", "-web", "web-", "a/b", "a b", &"x".repeat(64)] {
            assert!(bad.parse::<MachineName>().is_err(), "`{bad}` was accepted");
        }
    }
}
