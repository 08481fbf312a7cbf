//! The command line of `updraft image`, as it is written.

use super::Json;
use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Build images of the site; what is there is found.
    #[command(
        after_help = "Examples:\n  updraft image build             # all images of the site\n  updraft image build web -v      # one, telling every line\n  updraft image build web --json"
    )]
    Build(Build),
    /// List images in the store.
    #[command(
        after_help = "Examples:\n  updraft image ls\n  updraft image ls --json | jq '.[] | select(.used_by == [])'"
    )]
    Ls(Json),
    /// Show everything about an image: its layers, who uses it, what was sealed out of it.
    #[command(
        after_help = "Examples:\n  updraft image show web\n  updraft image show 84938191021c --json"
    )]
    Show {
        /// Image: its digest, the beginning of it, or its name, here in the site file first.
        image: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Boot an image of the site alone, on a disk that is thrown away, and run its `test:`.
    #[command(
        after_help = "The image is built first if it is not there. When something fails, the end of its console is shown.\n\nExamples:\n  updraft image test web\n  updraft image test web --json | jq '.checks'"
    )]
    Test(Test),
    /// Remove images that nothing uses.
    #[command(
        after_help = "Examples:\n  updraft image rm 84938191021c\n  updraft image rm --unused     # all, and what broken-off builds left behind"
    )]
    Rm {
        /// Images: their digest, the beginning of it, or their name.
        #[arg(required_unless_present = "unused")]
        images: Vec<String>,
        /// Every image that no site, template or other image uses.
        #[arg(long, conflicts_with = "images")]
        unused: bool,
    },
    /// Write an image, with those it lies on, to one file.
    #[command(after_help = "Example:\n  updraft image export web web.images")]
    Export {
        /// Image: its digest, the beginning of it, or its name, here in the site file first.
        image: String,
        /// File to write.
        file: Utf8PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take in the images of a file that `export` wrote: all of them, or none.
    #[command(after_help = "Example:\n  updraft image import web.images")]
    Import {
        /// File to read.
        file: Utf8PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Build {
    /// Images of the site file; all of them when not given.
    pub(crate) images: Vec<String>,
    /// Tell every line of what is done.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Test {
    /// Image of the site file.
    pub(crate) image: String,
    /// Tell every line of what is done.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
