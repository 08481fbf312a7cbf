//! What an image is made of, layer by layer: the identity by which plans know it, and the recipes
//! by which the store does.
//!
//! Never here: building.

use crate::ControlError;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use updraft_base::{Digest, Hasher};
use updraft_image::Agent;
use updraft_site::{Admin, Firmware, Image, ImportFormat, ImportPlace, Origin, Recipe, Site};

/// One image of the store on the way to an image of the site.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// What the store makes it from.
    pub(crate) recipe: updraft_image::Recipe,
    /// What is done inside a machine that has booted the one below; `None` for the lowest.
    pub(crate) dressing: Option<Dressing>,
}

/// What is done inside a machine to make a layer.
#[derive(Clone, Debug)]
pub(crate) struct Dressing {
    /// Packages to install first.
    pub(crate) packages: Vec<String>,
    /// The play to apply then.
    pub(crate) play: Option<Utf8PathBuf>,
    /// Variables for it.
    pub(crate) vars: Map<String, Value>,
    /// Accounts that stay in the image.
    pub(crate) admins: Vec<Admin>,
}

/// The images of the store that an image of the site is made of, the lowest first. An image that
/// only gives another one a new name has none of its own.
///
/// # Errors
/// When a play cannot be read.
pub(crate) fn stack(
    site: &Site,
    image: &Image,
    agent: &Agent,
    plays: Plays<'_>,
) -> Result<Vec<Layer>, ControlError> {
    let recipe = &image.recipe;
    let mut layers = Vec::new();
    let bottom = |origin| {
        let recipe = updraft_image::Recipe { name: image.name.clone(), origin };
        vec![Layer { recipe, dressing: None }]
    };
    let in_origin = match &recipe.origin {
        Origin::Bootstrap { suite, mirror, disk: _ } => {
            layers = bottom(updraft_image::Origin::Bootstrap {
                bootstrap: suite.clone(),
                packages: recipe.packages.clone(),
                mirror: mirror.clone(),
            });
            true
        }
        Origin::Import { place, format, digest, firmware, disk: _ } => {
            layers = bottom(updraft_image::Origin::Import {
                import: match place {
                    ImportPlace::File(path) => updraft_image::Place::File(path.clone().into()),
                    ImportPlace::Url(url) => updraft_image::Place::Url(url.clone()),
                },
                format: match format {
                    ImportFormat::Detect => updraft_image::Format::Detect,
                    ImportFormat::Qcow2 => updraft_image::Format::Qcow2,
                    ImportFormat::Raw => updraft_image::Format::Raw,
                    ImportFormat::Box => updraft_image::Format::Box,
                },
                digest: *digest,
                firmware: match firmware {
                    Firmware::Bios => updraft_image::Firmware::Bios,
                    Firmware::Uefi => updraft_image::Firmware::Uefi,
                },
            });
            false
        }
        Origin::From(below) => {
            let below = site.image(below).expect("a checked site names only images it has");
            layers.extend(stack(site, below, agent, plays)?);
            false
        }
    };
    if let Some(dressing) = dressing(recipe, in_origin, plays)? {
        let packages = if in_origin { Vec::new() } else { recipe.packages.clone() };
        let below = layers.last().expect("an image begins somewhere").recipe.digest(agent);
        let origin = updraft_image::Origin::Layer {
            below,
            dressing,
            packages: packages.clone(),
            play: recipe.play.clone().map(Into::into),
        };
        layers.push(Layer {
            recipe: updraft_image::Recipe { name: image.name.clone(), origin },
            dressing: Some(Dressing {
                packages,
                play: recipe.play.clone(),
                vars: recipe.vars.clone(),
                admins: recipe.admins.clone(),
            }),
        });
    }
    Ok(layers)
}

/// Digests of plays, by their path.
pub(crate) type Plays<'a> = &'a mut dyn FnMut(&Utf8Path) -> Result<Digest, ControlError>;

/// Identity of an image, which plans compare and machines remember: its recipe, down to the lowest
/// layer. Neither its name nor the agent inside is part of it.
///
/// # Errors
/// When a play cannot be read.
pub(crate) fn identity(
    site: &Site,
    image: &Image,
    plays: Plays<'_>,
) -> Result<Digest, ControlError> {
    let recipe = &image.recipe;
    let mut hasher = Hasher::default();
    let in_origin = match &recipe.origin {
        Origin::Bootstrap { suite, mirror, disk: _ } => {
            hasher.field("bootstrap");
            hasher.field(suite);
            hasher.field(mirror.as_deref().unwrap_or_default());
            sorted(&recipe.packages).for_each(|name| hasher.field(name));
            true
        }
        // The bytes are what was named: where they come from changes nothing.
        Origin::Import { digest, format, firmware, place: _, disk: _ } => {
            hasher.field("import");
            hasher.field(digest.to_string());
            hasher.field(format!("{format:?} {firmware:?}"));
            false
        }
        Origin::From(below) => {
            let below = site.image(below).expect("a checked site names only images it has");
            hasher.field("from");
            hasher.field(identity(site, below, plays)?.to_string());
            false
        }
    };
    let base = hasher.finish();
    match dressing(recipe, in_origin, plays)? {
        None => Ok(base),
        Some(dressing) => {
            let mut hasher = Hasher::default();
            hasher.field("layer");
            hasher.field(base.to_string());
            hasher.field(dressing.to_string());
            Ok(hasher.finish())
        }
    }
}

/// Digest of what is done inside an image; `None` when nothing is. `installed` says that its
/// packages are there already.
fn dressing(
    recipe: &Recipe,
    installed: bool,
    plays: Plays<'_>,
) -> Result<Option<Digest>, ControlError> {
    let packages = if installed { &[][..] } else { &recipe.packages };
    if packages.is_empty() && recipe.play.is_none() && recipe.admins.is_empty() {
        return Ok(None);
    }
    let mut hasher = Hasher::default();
    for name in sorted(packages) {
        hasher.field("package");
        hasher.field(name);
    }
    if let Some(play) = &recipe.play {
        hasher.field("play");
        hasher.field(plays(play)?.to_string());
        hasher.field(serde_json::to_vec(&recipe.vars).expect("plain data always serializes"));
    }
    for admin in &recipe.admins {
        hasher.field("admin");
        hasher.field(admin.name.as_str());
        admin.keys.iter().for_each(|key| hasher.field(key));
    }
    Ok(Some(hasher.finish()))
}

fn sorted(packages: &[String]) -> impl Iterator<Item = &String> {
    packages.iter().collect::<BTreeSet<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use updraft_site::MemorySource;

    const IMAGES: &str = "
site: pictures
admins: { ops: { keys: [ops.pub] } }
images:
  debian: { bootstrap: bookworm, packages: [curl] }
  base: { from: debian, play: base.yaml }
  web: { from: base, packages: [nginx-light], play: web.yaml, vars: { port: 80 } }
  same: { from: base }
  cloud: { file: base.yaml, digest: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 }
";

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    fn site(text: &str) -> Site {
        let source = MemorySource::default()
            .with("updraft.yaml", text)
            .with("base.yaml", "[]")
            .with("web.yaml", "[]")
            .with("ops.pub", KEY);
        updraft_site::load("updraft.yaml".into(), &source)
            .unwrap_or_else(|faults| panic!("{}", faults.render(false, 100)))
    }

    /// Names of an image in the store, the lowest layer first, and its identity in plans. Plays
    /// are told apart by their path and `edited`.
    fn names(text: &str, image: &str, edited: &str) -> (Vec<Digest>, Digest) {
        let site = site(text);
        let image = site.image(&image.parse().unwrap()).unwrap();
        let agent = Agent { binary: "/agent".into(), digest: Digest::of("agent") };
        let mut plays = |play: &Utf8Path| {
            let content = if edited == play.as_str() { "edited" } else { play.as_str() };
            Ok::<_, ControlError>(Digest::of(content))
        };
        let stack = stack(&site, image, &agent, &mut plays).unwrap();
        let digests = stack.iter().map(|layer| layer.recipe.digest(&agent)).collect();
        (digests, identity(&site, image, &mut plays).unwrap())
    }

    #[test]
    fn a_changed_play_makes_its_layer_anew_and_keeps_those_below() {
        let (before, was) = names(IMAGES, "web", "");
        assert_eq!(before.len(), 3);
        let (after, is) = names(IMAGES, "web", "web.yaml");
        assert_eq!(before[..2], after[..2]);
        assert_ne!(before[2], after[2]);
        assert_ne!(was, is);
        // One further down takes those on top of it along.
        let (lower, _) = names(IMAGES, "web", "base.yaml");
        assert_eq!(before[0], lower[0]);
        assert!(before[1] != lower[1] && before[2] != lower[2]);
    }

    #[test]
    fn everything_that_is_put_inside_counts_and_names_do_not() {
        let (_, before) = names(IMAGES, "web", "");
        for (old, new) in [
            ("port: 80", "port: 81"),
            ("nginx-light", "haproxy"),
            ("vars: { port: 80 }", "vars: { port: 80 }, admins: [ops]"),
            ("bookworm", "trixie"),
        ] {
            assert_ne!(names(&IMAGES.replace(old, new), "web", "").1, before, "{new}");
        }
        let renamed = IMAGES.replace("  base:", "  other:").replace("from: base", "from: other");
        assert_eq!(names(&renamed, "web", "").1, before);
        let tested = IMAGES.replace("play: web.yaml", "play: web.yaml, test: [\"true\"]");
        assert_eq!(names(&tested, "web", "").1, before);
    }

    #[test]
    fn an_image_that_adds_nothing_is_the_one_below() {
        assert_eq!(names(IMAGES, "same", "").0, names(IMAGES, "base", "").0);
    }

    #[test]
    fn machines_made_before_there_were_layers_keep_their_image() {
        // Written down on machines since the first version.
        let mut hasher = Hasher::default();
        ["bootstrap", "bookworm", "", "curl"].iter().for_each(|field| hasher.field(field));
        assert_eq!(names(IMAGES, "debian", "").1, hasher.finish());
    }

    #[test]
    fn where_a_disk_comes_from_does_not_count() {
        let moved = IMAGES.replace("file: base.yaml", "url: http://mirror.test/disk");
        assert_eq!(names(IMAGES, "cloud", ""), names(&moved, "cloud", ""));
    }
}
