//! Why there is no image.

use std::path::PathBuf;
use std::time::Duration;
use updraft_base::{Blame, Blamed, ByteSize, Digest, ImageName};
use updraft_host::HostError;

/// Why an image could not be built, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The recipe holds a word that no tool should see.
    #[error("image `{image}`: `{word}` is not the name of a release, a package or a mirror")]
    Recipe {
        /// The image.
        image: ImageName,
        /// The word.
        word: String,
    },
    /// There is no agent to put inside.
    #[error("`{}` is not the agent's binary", .0.display())]
    NoAgent(PathBuf),
    /// Images are not built on this kind of computer.
    #[error("images cannot be built on {0}")]
    Architecture(&'static str),
    /// Too little room to begin.
    #[error(
        "building image `{image}` needs {needed} of disk space and `{}` has {free}",
        path.display()
    )]
    Space {
        /// The image.
        image: ImageName,
        /// What a build takes at most.
        needed: ByteSize,
        /// What is there.
        free: ByteSize,
        /// Where.
        path: PathBuf,
    },
    /// A tool failed.
    #[error("cannot build image `{image}`: {stage} failed")]
    Build {
        /// The image.
        image: ImageName,
        /// What was being done.
        stage: &'static str,
        /// How it failed.
        source: HostError,
    },
    /// A tool ended with an error.
    #[error("cannot build image `{image}`: {stage} ended with status {status}: {said}")]
    Tool {
        /// The image.
        image: ImageName,
        /// What was being done.
        stage: &'static str,
        /// Exit status.
        status: i32,
        /// Its last words.
        said: String,
    },
    /// A tool has not moved for too long and was killed.
    #[error(
        "cannot build image `{image}`: {stage} has not moved for {idle:?}; its last word: {said}"
    )]
    Stuck {
        /// The image.
        image: ImageName,
        /// What was being done.
        stage: &'static str,
        /// How long.
        idle: Duration,
        /// Its last words.
        said: String,
    },
    /// What the tools made is not what they ought to make.
    #[error("cannot build image `{image}`: {what}")]
    Content {
        /// The image.
        image: ImageName,
        /// What is wrong.
        what: String,
    },
    /// A file is not the one that was asked for.
    #[error("image `{image}`: `{place}` has the digest {found}, and {wanted} was asked for")]
    Mismatch {
        /// The image.
        image: ImageName,
        /// The file.
        place: String,
        /// What was asked for.
        wanted: Digest,
        /// What is there.
        found: Digest,
    },
    /// A file is of no kind that an image can be made from.
    #[error("cannot make image `{image}`: {what}")]
    Foreign {
        /// The image.
        image: ImageName,
        /// What it is instead.
        what: String,
    },
    /// A file with images in it cannot be taken in.
    #[error("nothing was taken out of `{}`: {what}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Somebody still uses it.
    #[error("image {} is in use by {}", digest.short(), users.join(", "))]
    InUse {
        /// The image.
        digest: Digest,
        /// Who uses it.
        users: Vec<String>,
    },
    /// The description of an image cannot be read.
    #[error("`{}` is not the description of an image", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// The store could not be used.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Blamed for ImageError {
    fn blame(&self) -> Blame {
        match self {
            Self::Recipe { .. }
            | Self::InUse { .. }
            | Self::Mismatch { .. }
            | Self::Foreign { .. }
            | Self::Bundle { .. } => Blame::Asked,
            Self::NoAgent(_)
            | Self::Architecture(_)
            | Self::Space { .. }
            | Self::Tool { .. }
            | Self::Content { .. }
            | Self::Description { .. } => Blame::World,
            Self::Stuck { .. } => Blame::Passing,
            Self::Build { source, .. } | Self::Host(source) => source.blame(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Space { path, .. } => Some(format!(
                "free some space on the disk that holds `{}`, or remove images that no site uses",
                path.display()
            )),
            Self::Tool { said, .. } if said.contains("No space left on device") => {
                Some("free some disk space and run the same command again".to_owned())
            }
            Self::Tool { said, .. } if said.contains("Unable to locate package") => {
                Some("correct the names under `packages:` of the image".to_owned())
            }
            Self::Tool { said, .. } if said.contains("is not signed") => Some(
                "put the keys of that archive into /usr/share/keyrings: Ubuntu's are in its \
                 package ubuntu-keyring"
                    .to_owned(),
            ),
            Self::Tool { said, .. }
                if ["Could not resolve", "Temporary failure", "Could not connect"]
                    .iter()
                    .any(|sign| said.contains(sign)) =>
            {
                Some("check that this computer's own `apt-get update` works".to_owned())
            }
            Self::Stuck { .. } => Some(
                "check the network to the package mirror, then run the same command again"
                    .to_owned(),
            ),
            Self::NoAgent(_) => Some("build the agent: cargo build -p updraft-agent".to_owned()),
            Self::InUse { .. } => Some(
                "destroy the sites and remove the images that use it first; `updraft image ls` \
                 shows them"
                    .to_owned(),
            ),
            Self::Mismatch { found, .. } => Some(format!(
                "fetch the file again; or, if this is the one you mean, write `digest: sha256:{found}`"
            )),
            Self::Bundle { .. } => Some("export the images again".to_owned()),
            Self::Description { path, .. } => path
                .parent()
                .map(|dir| format!("remove the directory `{}` and build again", dir.display())),
            Self::Build { source, .. } | Self::Host(source) => source.hint(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_whose_keys_are_missing_is_told_where_they_are() {
        let said = "E: The repository 'http://archive.test/ubuntu noble InRelease' is not signed.";
        let error = ImageError::Tool {
            image: "noble".parse().expect("a name"),
            stage: "fetching and installing packages",
            status: 25,
            said: said.to_owned(),
        };
        assert!(error.hint().is_some_and(|hint| hint.contains("ubuntu-keyring")));
    }
}
