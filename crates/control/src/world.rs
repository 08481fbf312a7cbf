//! Builds the world a site lives in: its providers and the image store.

use crate::actor::fault;
use crate::layers;
use crate::place::Place;
use crate::sessions::Providers;
use crate::settings::Settings;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use updraft_base::{Blame, Digest, ImageName, SiteId};
use updraft_engine::{StepContext, StepFault};
use updraft_host::{Host, HostError, LocalHost};
use updraft_image::{Agent, Image, ImageError, Store};
use updraft_provider::sim::{SimWorld, Tempo};
use updraft_provider::{Boot, ImageFiles, Provider, ProviderError, SiteMark};
use updraft_qemu::{Accel, QemuProvider};
use updraft_site::{Image as SiteImage, ProviderKind, Recipe, Site};

/// The providers a site may have machines at: those it names, and those it named before, which
/// may still have some.
pub(crate) fn providers(
    site: &Site,
    id: SiteId,
    place: &Place,
    settings: &Settings,
) -> Result<Providers, ProviderError> {
    let mark = SiteMark { id, name: site.name.clone() };
    let used = |kind: ProviderKind| site.groups.iter().any(|group| group.provider == kind);
    let mut providers = Providers::new();
    if used(ProviderKind::Qemu) || place.guests().exists() {
        let qemu = QemuProvider::new(
            updraft_qemu::Settings {
                mark: mark.clone(),
                state: absolute(place.root().to_owned()),
                runtime: settings.runtime.clone(),
                verdicts: settings.store.join("kvm"),
                accel: Accel::Auto,
            },
            Arc::new(LocalHost),
        );
        let kind = ProviderKind::Qemu.as_str().to_owned();
        providers.insert(kind, Arc::new(qemu) as Arc<dyn Provider>);
    }
    if used(ProviderKind::Sim) || place.sim().exists() {
        let world = SimWorld::kept_in(place.sim(), Tempo::INSTANT);
        providers.insert(ProviderKind::Sim.as_str().to_owned(), Arc::new(world.provider(mark)));
    }
    Ok(providers)
}

pub(crate) fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Puts the agent's binary where programs that take a path find it, and returns the path.
///
/// # Errors
/// When this updraft was built without its agent, or the store cannot be written.
pub(crate) async fn agent_path(settings: &Settings) -> Result<PathBuf, ProviderError> {
    let bytes = settings.agent.ok_or_else(|| {
        ProviderError::new(Blame::World, "this updraft was built without its agent")
            .hinting("build it with `make build`")
    })?;
    let path = settings.store.join("agents").join(Digest::of(bytes).to_string());
    if !path.exists() {
        let cannot = |error: HostError| {
            ProviderError::new(Blame::World, "the agent cannot be kept in the store").because(error)
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        LocalHost.make_dir(folder, 0o755).await.map_err(cannot)?;
        LocalHost.write_atomic(&path, bytes, 0o755).await.map_err(cannot)?;
    }
    Ok(path)
}

/// Images of a site: what they are made from, whether they are there, and where.
///
/// An image's identity, which plans compare and machines remember, is its recipe. The store also
/// counts the agent inside: a newer updraft builds a fresh image for new machines, and does not
/// replace the machines that are there.
pub struct ImageStore {
    store: Store,
    site: Option<SiteId>,
    settings: Settings,
}

impl ImageStore {
    /// The store of this user. `site` is noted as a user of the images it starts from.
    pub fn new(settings: &Settings, site: Option<SiteId>) -> Self {
        let host: Arc<dyn Host> = Arc::new(LocalHost);
        Self {
            store: Store::new(settings.store.clone(), host, Arc::clone(&settings.clock)),
            site,
            settings: settings.clone(),
        }
    }

    /// The store itself.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Which of the site's images need not be built: those in the store, and those that only
    /// simulated machines start from.
    pub async fn present(&self, site: &Site) -> BTreeSet<Digest> {
        let mut present = BTreeSet::new();
        for image in &site.images {
            let simulated = site
                .groups
                .iter()
                .filter(|group| group.image == image.name)
                .all(|group| group.provider == ProviderKind::Sim);
            let found = simulated || self.find(&image.name, &image.recipe).await.is_some();
            if found {
                present.extend(self.identity(site, image).ok());
            }
        }
        present
    }

    fn identity(&self, site: &Site, image: &SiteImage) -> Result<Digest, crate::ControlError> {
        layers::identity(site, image, &mut |play| crate::play::digest(play, &self.settings))
    }

    fn agent_digest(&self) -> Option<Agent> {
        let digest = Digest::of(self.settings.agent?);
        Some(Agent { binary: PathBuf::new(), digest })
    }

    async fn find(&self, name: &ImageName, recipe: &Recipe) -> Option<Image> {
        let agent = self.agent_digest()?;
        self.store.find(recipe_of(name, recipe).digest(&agent)).await.ok().flatten()
    }

    /// The files machines of this provider start from, noted as used by the site.
    pub(crate) async fn files(
        &self,
        site: &Site,
        provider: &str,
        name: &ImageName,
        digest: Digest,
    ) -> Result<ImageFiles, StepFault> {
        if provider == ProviderKind::Sim.as_str() {
            let nowhere = PathBuf::from("/dev/null");
            return Ok(ImageFiles {
                disk: nowhere.clone(),
                boot: Boot::Kernel {
                    kernel: nowhere.clone(),
                    initrd: nowhere,
                    cmdline: String::new(),
                },
            });
        }
        let recipe = self.recipe(site, name, digest)?;
        let image = self.find(name, recipe).await.ok_or_else(|| {
            StepFault::new(Blame::World, format!("image `{name}` is not in the store"))
                .hinting("`updraft up` builds it")
        })?;
        if let Some(id) = self.site {
            let note = format!("{} ({})", site.name, absolute(site.file.clone().into()).display());
            self.store.refer(image.digest, id, &note).await.map_err(|error| fault(&error))?;
        }
        Ok(ImageFiles {
            disk: image.disk(),
            boot: Boot::Kernel {
                kernel: image.kernel(),
                initrd: image.initrd(),
                cmdline: image.cmdline().to_owned(),
            },
        })
    }

    fn recipe<'a>(
        &self,
        site: &'a Site,
        name: &ImageName,
        digest: Digest,
    ) -> Result<&'a Recipe, StepFault> {
        let image = site.image(name).ok_or_else(|| {
            StepFault::new(Blame::Asked, format!("image `{name}` is not in the site file"))
        })?;
        if self.identity(site, image).ok() != Some(digest) {
            return Err(StepFault::new(
                Blame::Asked,
                format!("the recipe of image `{name}` changed since the plan was made"),
            )
            .hinting("run `updraft up` again"));
        }
        Ok(&image.recipe)
    }

    pub(crate) async fn build(
        &self,
        site: &Site,
        name: &ImageName,
        digest: Digest,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let recipe = recipe_of(name, self.recipe(site, name, digest)?);
        let path = agent_path(&self.settings).await.map_err(|error| fault(&error))?;
        let agent = Agent::load(&LocalHost, &path).await.map_err(|error| fault(&error))?;
        let progress = |text: &str| context.report(text);
        let built = self.store.build(&recipe, &agent, &progress).await;
        let built = built.map_err(|error| fault(&error))?;
        Ok(json!({ "digest": built.digest.to_string() }))
    }

    /// The site uses no image any more.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn release(&self) -> Result<(), ImageError> {
        let Some(site) = self.site else { return Ok(()) };
        for image in self.store.list().await? {
            self.store.unrefer(image.digest, site).await?;
        }
        Ok(())
    }
}

fn recipe_of(name: &ImageName, recipe: &Recipe) -> updraft_image::Recipe {
    let (suite, mirror) = match &recipe.origin {
        updraft_site::Origin::Bootstrap { suite, mirror, .. } => (suite.clone(), mirror.clone()),
        // Refused by the builder, which knows no such suite.
        _ => (String::new(), None),
    };
    updraft_image::Recipe {
        name: name.clone(),
        bootstrap: suite,
        packages: recipe.packages.clone(),
        mirror,
    }
}
