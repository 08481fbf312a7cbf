//! The image store, for people: what is in it, and removing what nothing uses.

use crate::ControlError;
use crate::settings::Settings;
use crate::world::ImageStore;
use serde::Serialize;
use updraft_image::Image;

/// An image in the store, for people.
#[derive(Clone, Debug, Serialize)]
pub struct ImageView {
    /// Its digest.
    pub digest: String,
    /// Name in the site file it was built for.
    pub name: String,
    /// Suite it was bootstrapped from.
    pub suite: String,
    /// Packages on top of what every guest has.
    pub packages: Vec<String>,
    /// Size of its disk.
    pub disk: String,
    /// Room it takes.
    pub on_disk: String,
    /// When it was built.
    pub created: String,
    /// Kernel inside.
    pub kernel: String,
    /// Sites that use it.
    pub sites: Vec<String>,
}

/// Every image in the store.
///
/// # Errors
/// When the store cannot be read.
pub async fn images(settings: &Settings) -> Result<Vec<ImageView>, ControlError> {
    let store = ImageStore::new(settings, None);
    let mut views = Vec::new();
    for image in store.store().list().await? {
        views.push(view(&store, &image).await?);
    }
    Ok(views)
}

async fn view(store: &ImageStore, image: &Image) -> Result<ImageView, ControlError> {
    let references = store.store().references(image.digest).await?;
    let facts = &image.facts;
    Ok(ImageView {
        digest: image.digest.to_string(),
        name: facts.recipe.name.to_string(),
        suite: facts.recipe.bootstrap.clone(),
        packages: facts.recipe.packages.clone(),
        disk: about(facts.disk),
        on_disk: about(facts.stored),
        created: facts.created.strftime("%Y-%m-%d %H:%M").to_string(),
        kernel: facts.kernel.clone(),
        sites: references.iter().map(|reference| reference.note.clone()).collect(),
    })
}

/// A size rounded to whole mebibytes: for people.
pub(crate) fn about(size: updraft_base::ByteSize) -> String {
    updraft_base::ByteSize::mib(size.as_mib()).to_string()
}

/// Removes images: those named by a digest or the beginning of one, or all that nothing uses.
/// Returns the digests of those removed.
///
/// # Errors
/// When a name fits none or several, when a site uses one, or when the store cannot be written.
pub async fn remove_images(
    settings: &Settings,
    names: &[String],
    unused: bool,
) -> Result<Vec<String>, ControlError> {
    let store = ImageStore::new(settings, None);
    let all = store.store().list().await?;
    let mut chosen = Vec::new();
    if unused {
        for image in &all {
            if store.store().references(image.digest).await?.is_empty() {
                chosen.push(image.digest);
            }
        }
    }
    for name in names {
        let fits: Vec<_> =
            all.iter().filter(|image| image.digest.to_string().starts_with(name)).collect();
        match fits.as_slice() {
            [image] => chosen.push(image.digest),
            _ => {
                return Err(ControlError::Unknown {
                    what: if fits.is_empty() { "image" } else { "single image" },
                    name: name.clone(),
                    known: all.iter().map(|image| image.digest.short()).collect(),
                });
            }
        }
    }
    let mut removed = Vec::new();
    for digest in chosen {
        store.store().remove(digest).await?;
        removed.push(digest.to_string());
    }
    Ok(removed)
}
