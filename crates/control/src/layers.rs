//! What an image is made of, layer by layer: the identity by which plans know it.
//!
//! Never here: building.

use camino::Utf8Path;
use std::collections::BTreeSet;
use updraft_base::{Digest, Hasher};
use updraft_site::{Image, Origin, Recipe, Site};

use crate::ControlError;

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
