//! Looks for templates: they belong to no site, so a site that was never up finds them too.

use crate::world::{self, ImageStore};
use crate::{ControlError, Place, Settings};
use std::collections::BTreeMap;
use std::path::PathBuf;
use updraft_base::{Digest, SiteId};
use updraft_host::OsChance;
use updraft_plan::TemplateFacts;
use updraft_site::{ProviderKind, Site};

/// The templates at the providers of a site. None is looked for where no image is live.
///
/// # Errors
/// When a provider cannot be asked.
pub(crate) async fn observe(
    site: &Site,
    id: Option<SiteId>,
    place: &Place,
    settings: &Settings,
) -> Result<Vec<TemplateFacts>, ControlError> {
    if site.images.iter().all(|image| !image.live) {
        return Ok(Vec::new());
    }
    // Nothing is made with this mark: it is only looked, at what carries none.
    let id = id.unwrap_or_else(|| SiteId::draw(settings.clock.now(), &mut OsChance));
    let images = ImageStore::new(settings, None);
    let mut disks: BTreeMap<Digest, PathBuf> = BTreeMap::new();
    for image in site.images.iter().filter(|image| image.live) {
        if let (Ok(digest), Some(found)) =
            (images.identity(site, image), images.find(site, image).await)
        {
            disks.insert(digest, found.disk());
        }
    }
    let mut all = Vec::new();
    for (kind, provider) in world::providers(site, id, place, settings)? {
        let simulated = kind == ProviderKind::Sim.as_str();
        all.extend(provider.templates().await?.into_iter().map(|seen| TemplateFacts {
            provider: kind.clone(),
            name: seen.name,
            image: seen.order.image,
            memory: seen.order.memory,
            cpus: seen.order.cpus,
            disk: seen.order.disk,
            // One of an earlier build of the image has an earlier agent in it.
            current: seen.current
                && (simulated || disks.get(&seen.order.image) == Some(&seen.order.files.disk)),
            used: !seen.users.is_empty(),
        }));
    }
    Ok(all)
}
