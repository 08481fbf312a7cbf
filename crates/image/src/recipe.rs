//! What an image is made from.

use crate::{ImageError, guest, initrd, seal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use updraft_base::{Digest, Hasher, ImageName};
use updraft_host::Host;

/// Raised when the way images are built changes in something that the other inputs of
/// [`Recipe::digest`] do not show.
const BUILDER: &str = "1";

/// What an image is made from, as the site file says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// Name in the site file; for people, no part of the digest.
    pub name: ImageName,
    /// Where it begins.
    #[serde(flatten)]
    pub origin: Origin,
}

/// Where an image begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Origin {
    /// Packages of a distribution.
    Bootstrap {
        /// Release: `bookworm`.
        bootstrap: String,
        /// Packages to install beside what every guest needs.
        packages: Vec<String>,
        /// Where to get packages from; `None` takes what this computer's own apt uses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mirror: Option<String>,
    },
    /// A disk that others made.
    Import {
        /// Where its file is; no part of the digest.
        import: Place,
        /// What the file is.
        format: Format,
        /// Content of the file.
        digest: Digest,
        /// What starts its boot loader.
        firmware: Firmware,
    },
    /// Another image, and what was done inside a machine that had booted it.
    Layer {
        /// The other image, as the store names it.
        below: Digest,
        /// What was done: packages, the play with everything it reaches, accounts.
        dressing: Digest,
        /// Packages that were installed, for people.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        packages: Vec<String>,
        /// The play that was applied, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        play: Option<PathBuf>,
    },
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On this computer.
    File(PathBuf),
    /// At a URL with http or https; there is no password in it.
    Url(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// What the file of an imported disk is, once unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// What its first bytes say.
    Detect,
    /// A disk in QEMU's format.
    Qcow2,
    /// The bytes of the disk.
    Raw,
    /// A Vagrant box for libvirt.
    Box,
}

/// What starts a machine's boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    /// A PC's BIOS.
    Bios,
    /// UEFI.
    Uefi,
}

impl Recipe {
    /// A recipe that begins with the packages of a release.
    pub fn bootstrap(name: ImageName, release: &str, packages: &[&str]) -> Self {
        let packages = packages.iter().map(|name| (*name).to_owned()).collect();
        let origin = Origin::Bootstrap { bootstrap: release.to_owned(), packages, mirror: None };
        Self { name, origin }
    }

    /// The name of the image in the store: the same inputs give the same digest.
    ///
    /// The versions of packages are no input: an image that is there is good until it is removed.
    /// The agent counts where it is put inside from without.
    pub fn digest(&self, agent: &Agent) -> Digest {
        let mut hasher = Hasher::default();
        match &self.origin {
            Origin::Bootstrap { .. } => {
                let base = self.base_digest().expect("a bootstrap has a base");
                hasher.field(base.to_string());
                hasher.field(agent.digest.to_string());
                for entry in guest::files() {
                    hasher.field(entry.path());
                    hasher.field(entry.content());
                }
                hasher.field(initrd::INIT);
                initrd::DRIVERS.iter().for_each(|driver| hasher.field(driver));
            }
            Origin::Import { digest, format, firmware, import: _ } => {
                hasher.field("import");
                hasher.field(digest.to_string());
                hasher.field(format!("{format:?} {firmware:?}"));
            }
            Origin::Layer { below, dressing, packages: _, play: _ } => {
                hasher.field("layer");
                hasher.field(below.to_string());
                hasher.field(dressing.to_string());
                hasher.field(seal::script());
            }
        }
        hasher.finish()
    }

    /// The image that this one lies on.
    pub fn below(&self) -> Option<Digest> {
        match &self.origin {
            Origin::Layer { below, .. } => Some(*below),
            Origin::Bootstrap { .. } | Origin::Import { .. } => None,
        }
    }

    /// The name of the system before anything of ours is added: packages and where they come from.
    pub(crate) fn base_digest(&self) -> Option<Digest> {
        let Origin::Bootstrap { bootstrap, packages, mirror } = &self.origin else { return None };
        let mut hasher = Hasher::default();
        hasher.field(BUILDER);
        guest::DPKG.iter().for_each(|option| hasher.field(option));
        hasher.field(std::env::consts::ARCH);
        hasher.field(bootstrap);
        let own = packages.iter().map(String::as_str);
        for package in guest::PACKAGES.iter().copied().chain(own).collect::<BTreeSet<_>>() {
            hasher.field(package);
        }
        hasher.field(mirror.as_deref().unwrap_or_default());
        Some(hasher.finish())
    }

    /// Refuses words that the tools would take for something else.
    pub(crate) fn check(&self) -> Result<(), ImageError> {
        let word = |text: &str| {
            !text.is_empty()
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-._:~/".contains(c))
        };
        let bad = match &self.origin {
            Origin::Bootstrap { bootstrap, packages, mirror } => {
                std::iter::once(bootstrap).chain(packages).chain(mirror).find(|text| !word(text))
            }
            Origin::Layer { packages, .. } => packages.iter().find(|text| !word(text)),
            Origin::Import { .. } => None,
        };
        match bad {
            Some(word) => Err(ImageError::Recipe { image: self.name.clone(), word: word.clone() }),
            None => Ok(()),
        }
    }
}

/// Everything to install: what every guest needs, then the recipe's own.
pub(crate) fn all_packages(suite: &str, own: &[String]) -> Result<Vec<String>, ImageError> {
    let mut all: Vec<String> = guest::PACKAGES.iter().map(|name| (*name).to_owned()).collect();
    all.push(match is_ubuntu(suite) {
        true => "linux-image-virtual".to_owned(),
        false => format!("linux-image-cloud-{}", debian_arch()?),
    });
    for package in own {
        if !all.contains(package) {
            all.push(package.clone());
        }
    }
    Ok(all)
}

/// Suites of Ubuntu that are or will be supported while this is used (releases.ubuntu.com,
/// November 2026); every other suite is Debian's or made like it.
pub(crate) fn is_ubuntu(suite: &str) -> bool {
    ["focal", "jammy", "noble", "questing", "resolute"].contains(&suite)
}

/// Debian's word for this computer's architecture.
fn debian_arch() -> Result<&'static str, ImageError> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => Err(ImageError::Architecture(other)),
    }
}

/// The agent that is put into images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its binary, statically linked for this computer's architecture.
    pub binary: PathBuf,
    /// Content of the binary.
    pub digest: Digest,
}

impl Agent {
    /// Looks at an agent's binary.
    ///
    /// # Errors
    /// When it is not there or is no program.
    pub async fn load(host: &dyn Host, binary: &Path) -> Result<Self, ImageError> {
        let content = host.read(binary).await?;
        match content.filter(|content| content.starts_with(b"\x7fELF")) {
            Some(content) => Ok(Self { binary: binary.to_owned(), digest: Digest::of(content) }),
            None => Err(ImageError::NoAgent(binary.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(packages: &[&str]) -> Recipe {
        Recipe::bootstrap("debian".parse().unwrap(), "bookworm", packages)
    }

    fn agent(content: &str) -> Agent {
        Agent { binary: "/agent".into(), digest: Digest::of(content) }
    }

    #[test]
    fn the_digest_depends_on_what_is_inside_and_not_on_its_spelling() {
        let digest = |packages: &[&str]| recipe(packages).digest(&agent("a"));
        assert_eq!(digest(&["haproxy", "curl"]), digest(&["curl", "haproxy", "curl"]));
        assert_ne!(digest(&["haproxy"]), digest(&["haproxy", "curl"]));
        assert_ne!(recipe(&[]).digest(&agent("a")), recipe(&[]).digest(&agent("b")));
        let renamed = Recipe { name: "other".parse().unwrap(), ..recipe(&[]) };
        assert_eq!(renamed.digest(&agent("a")), recipe(&[]).digest(&agent("a")));
    }

    #[test]
    fn a_package_is_installed_once() {
        let own = ["sudo", "curl"].map(str::to_owned);
        let all = all_packages("bookworm", &own).unwrap();
        assert_eq!(all.iter().filter(|name| *name == "sudo").count(), 1);
        assert_eq!(all.last().map(String::as_str), Some("curl"));
    }

    #[test]
    fn where_a_file_comes_from_changes_nothing_and_what_lies_below_does() {
        let import = |place: &str, firmware| Recipe {
            name: "cloud".parse().unwrap(),
            origin: Origin::Import {
                import: Place::File(place.into()),
                format: Format::Detect,
                digest: Digest::of("disk"),
                firmware,
            },
        };
        let name = |recipe: Recipe| recipe.digest(&agent("a"));
        assert_eq!(name(import("/a", Firmware::Bios)), name(import("/b", Firmware::Bios)));
        assert_ne!(name(import("/a", Firmware::Bios)), name(import("/a", Firmware::Uefi)));
        let layer = |below: &str, dressing: &str| Recipe {
            name: "web".parse().unwrap(),
            origin: Origin::Layer {
                below: Digest::of(below),
                dressing: Digest::of(dressing),
                packages: Vec::new(),
                play: None,
            },
        };
        assert_ne!(name(layer("a", "x")), name(layer("b", "x")));
        assert_ne!(name(layer("a", "x")), name(layer("a", "y")));
    }

    #[test]
    fn a_description_of_an_earlier_version_is_read() {
        let text = r#"{"name":"debian","bootstrap":"bookworm","packages":["curl"]}"#;
        let read: Recipe = serde_json::from_str(text).unwrap();
        assert_eq!(read, recipe(&["curl"]));
    }

    #[test]
    fn words_that_a_tool_would_take_for_an_option_are_refused() {
        assert!(recipe(&["libstdc++6", "python3:any"]).check().is_ok());
        for bad in ["--include=x", "a b", "$(reboot)", ""] {
            assert!(recipe(&[bad]).check().is_err(), "`{bad}` was accepted");
        }
    }
}
