//! What an image is made from.

use crate::{ImageError, guest, initrd};
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
    /// Debian release: `bookworm`.
    pub bootstrap: String,
    /// Packages to install beside what every guest needs.
    pub packages: Vec<String>,
    /// Where to get packages from; `None` takes what this computer's own apt uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
}

impl Recipe {
    /// The name of the image in the store: the same inputs give the same digest.
    ///
    /// The versions of packages are no input: an image that is there is good until it is removed.
    pub fn digest(&self, agent: &Agent) -> Digest {
        let mut hasher = Hasher::default();
        hasher.field(self.base_digest().to_string());
        hasher.field(agent.digest.to_string());
        for entry in guest::files() {
            hasher.field(entry.path());
            hasher.field(entry.content());
        }
        hasher.field(initrd::INIT);
        initrd::DRIVERS.iter().for_each(|driver| hasher.field(driver));
        hasher.finish()
    }

    /// The name of the system before anything of ours is added: packages and where they come from.
    pub(crate) fn base_digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        hasher.field(BUILDER);
        hasher.field(std::env::consts::ARCH);
        hasher.field(&self.bootstrap);
        let own = self.packages.iter().map(String::as_str);
        for package in guest::PACKAGES.iter().copied().chain(own).collect::<BTreeSet<_>>() {
            hasher.field(package);
        }
        hasher.field(self.mirror.as_deref().unwrap_or_default());
        hasher.finish()
    }

    /// Everything to install: what every guest needs, then the recipe's own.
    pub(crate) fn all_packages(&self) -> Result<Vec<String>, ImageError> {
        let mut all: Vec<String> = guest::PACKAGES.iter().map(|name| (*name).to_owned()).collect();
        all.push(format!("linux-image-cloud-{}", debian_arch()?));
        for package in &self.packages {
            if !all.contains(package) {
                all.push(package.clone());
            }
        }
        Ok(all)
    }

    /// Refuses words that the tools would take for something else.
    pub(crate) fn check(&self) -> Result<(), ImageError> {
        let word = |text: &str| {
            !text.is_empty()
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-._:~/".contains(c))
        };
        let bad = std::iter::once(&self.bootstrap)
            .chain(&self.packages)
            .chain(&self.mirror)
            .find(|text| !word(text));
        match bad {
            Some(word) => Err(ImageError::Recipe { image: self.name.clone(), word: word.clone() }),
            None => Ok(()),
        }
    }
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
        Recipe {
            name: "debian".parse().unwrap(),
            bootstrap: "bookworm".to_owned(),
            packages: packages.iter().map(|name| (*name).to_owned()).collect(),
            mirror: None,
        }
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
        let all = recipe(&["sudo", "curl"]).all_packages().unwrap();
        assert_eq!(all.iter().filter(|name| *name == "sudo").count(), 1);
        assert_eq!(all.last().map(String::as_str), Some("curl"));
    }

    #[test]
    fn words_that_a_tool_would_take_for_an_option_are_refused() {
        assert!(recipe(&["libstdc++6", "python3:any"]).check().is_ok());
        for bad in ["--include=x", "a b", "$(reboot)", ""] {
            assert!(recipe(&[bad]).check().is_err(), "`{bad}` was accepted");
        }
    }
}
