//! Builds the world a site lives in: its providers and the image store.

use crate::ControlError;
use crate::actor::fault;
use crate::inside::{self, Inside, Report};
use crate::layers::{self, Dressing, Layer};
use crate::place::Place;
use crate::sessions::Providers;
use crate::settings::Settings;
use camino::Utf8Path;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use updraft_base::{Blame, ByteSize, Digest, ImageName, SiteId};
use updraft_engine::{StepContext, StepFault};
use updraft_host::{Host, HostError, LocalHost};
use updraft_image::seal::{self, Removed};
use updraft_image::{Agent, Begun, Image, ImageError, Store};
use updraft_provider::sim::{SimWorld, Tempo};
use updraft_provider::{Boot, Firmware, ImageFiles, Provider, ProviderError, SiteMark};
use updraft_qemu::{Accel, QemuProvider};
use updraft_site::{Image as SiteImage, ProviderKind, Site};

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
                templates: settings.store.join("templates"),
                accel: Accel::Auto,
                guard: settings.program.clone(),
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
    let agent = settings.agent.as_ref().ok_or_else(|| {
        ProviderError::new(Blame::World, "this updraft was built without its agent")
            .hinting("build it with `make build`")
    })?;
    let path = settings.store.join("agents").join(agent.digest().to_string());
    if !path.exists() {
        let cannot = |error: HostError| {
            ProviderError::new(Blame::World, "the agent cannot be kept in the store").because(error)
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        LocalHost.make_dir(folder, 0o755).await.map_err(cannot)?;
        LocalHost.write_atomic(&path, agent.bytes(), 0o755).await.map_err(cannot)?;
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
            let found = simulated || self.find(site, image).await.is_some();
            if found {
                present.extend(self.identity(site, image).ok());
            }
        }
        present
    }

    pub(crate) fn identity(&self, site: &Site, image: &SiteImage) -> Result<Digest, ControlError> {
        layers::identity(site, image, &mut |play| crate::play::digest(play, &self.settings))
    }

    fn agent_digest(&self) -> Option<Agent> {
        let digest = self.settings.agent.as_ref()?.digest();
        Some(Agent { binary: PathBuf::new(), digest })
    }

    fn stack(
        &self,
        site: &Site,
        image: &SiteImage,
        agent: &Agent,
    ) -> Result<Vec<Layer>, ControlError> {
        let plays = &mut |play: &Utf8Path| crate::play::digest(play, &self.settings);
        layers::stack(site, image, agent, plays)
    }

    /// The image of the store that an image of the site stands for, if it is there.
    pub(crate) async fn find(&self, site: &Site, image: &SiteImage) -> Option<Image> {
        let agent = self.agent_digest()?;
        let top = self.stack(site, image, &agent).ok()?.pop()?;
        self.store.find(top.recipe.digest(&agent)).await.ok().flatten()
    }

    /// The files machines of this provider start from, noted as used by the site.
    pub(crate) async fn files(
        &self,
        site: &Site,
        provider: &str,
        name: &ImageName,
        digest: Digest,
        disk: ByteSize,
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
        let asked = self.asked(site, name, digest)?;
        let image = self.find(site, asked).await.ok_or_else(|| {
            StepFault::new(Blame::World, format!("image `{name}` is not in the store"))
                .hinting("`updraft up` builds it")
        })?;
        if disk < image.facts.disk {
            let needed = image.facts.disk;
            let message = format!("a disk of {disk} does not hold image `{name}`");
            return Err(StepFault::new(Blame::Asked, message)
                .hinting(format!("write `disk: {}MiB` for the image", needed.as_mib())));
        }
        if let Some(id) = self.site {
            let note = format!("{} ({})", site.name, absolute(site.file.clone().into()).display());
            self.store.refer(image.digest, id, &note).await.map_err(|error| fault(&error))?;
        }
        image_files(&image, &self.settings).await.map_err(|error| fault(&error))
    }

    /// The image of that name, if its recipe is still the one that was planned with.
    fn asked<'a>(
        &self,
        site: &'a Site,
        name: &ImageName,
        digest: Digest,
    ) -> Result<&'a SiteImage, StepFault> {
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
        Ok(image)
    }

    pub(crate) async fn build(
        &self,
        site: &Site,
        name: &ImageName,
        digest: Digest,
        context: &StepContext,
    ) -> Result<Value, StepFault> {
        let image = self.asked(site, name, digest)?;
        let built = self.ensure(site, image, &|text| context.report(text)).await;
        let built = built.map_err(|error| fault(&error))?;
        Ok(json!({ "digest": built.digest.to_string() }))
    }

    /// The image of the store that an image of the site stands for: found, or made from the lowest
    /// layer that is missing.
    ///
    /// # Errors
    /// When it cannot be made. Layers that were finished stay.
    pub async fn ensure(
        &self,
        site: &Site,
        image: &SiteImage,
        report: Report<'_>,
    ) -> Result<Image, ControlError> {
        let path = agent_path(&self.settings).await?;
        let agent = Agent::load(&LocalHost, &path).await?;
        let stack = self.stack(site, image, &agent)?;
        let mut below: Option<Image> = None;
        // From the top: what is there needs nothing that lies below it.
        let mut first = stack.len();
        while first > 0 && below.is_none() {
            below = self.store.find(stack[first - 1].recipe.digest(&agent)).await?;
            first -= usize::from(below.is_none());
        }
        if first < stack.len() {
            inside::sweep(&self.settings, &self.store).await?;
        }
        for layer in &stack[first..] {
            let made = match (&layer.dressing, &below) {
                (Some(dressing), Some(below)) => {
                    self.dress(layer, dressing, below, &agent, report).await?
                }
                _ => self.store.build(&layer.recipe, &agent, report).await?,
            };
            below = Some(made);
        }
        Ok(below.expect("an image is made of something"))
    }

    /// Makes a layer: inside a machine that has booted the image below.
    async fn dress(
        &self,
        layer: &Layer,
        dressing: &Dressing,
        below: &Image,
        agent: &Agent,
        report: Report<'_>,
    ) -> Result<Image, ControlError> {
        let draft = match self.store.begin(&layer.recipe, agent, report).await? {
            Begun::There(image) => return Ok(image),
            Begun::Draft(draft) => draft,
        };
        let name = &layer.recipe.name;
        let inside = match Inside::make(&self.settings, draft.dir(), below, name).await {
            Ok(inside) => inside,
            Err(fault) => {
                draft.discard().await?;
                return Err(fault.into());
            }
        };
        let worked = async {
            let (packages, removed) = work(&inside, dressing, report).await?;
            report("keeping what was done");
            Ok::<_, StepFault>((inside.hand_over().await?, packages, removed))
        };
        let (overlay, packages, removed) = match worked.await {
            Ok(worked) => worked,
            Err(fault) => {
                inside.end().await?;
                draft.discard().await?;
                return Err(fault.into());
            }
        };
        let image = draft.publish_layer(below, &overlay, packages, removed).await?;
        report(&format!("image {name} is ready: {} stored", image.facts.stored));
        Ok(image)
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

/// What a machine boots of an image.
///
/// # Errors
/// When the agent that an image made by others needs is not in this updraft.
pub(crate) async fn image_files(
    image: &Image,
    settings: &Settings,
) -> Result<ImageFiles, ProviderError> {
    let boot = match image.facts.firmware {
        None => Boot::Kernel {
            kernel: image.kernel(),
            initrd: image.initrd(),
            cmdline: image.cmdline().to_owned(),
        },
        Some(firmware) => Boot::Firmware {
            firmware: match firmware {
                updraft_image::Firmware::Bios => Firmware::Bios,
                updraft_image::Firmware::Uefi => Firmware::Uefi,
            },
            agent: agent_path(settings).await?,
        },
    };
    Ok(ImageFiles { disk: image.disk(), boot })
}

/// Everything that makes a layer, and then the seal. Returns how many packages there are and what
/// was taken out.
async fn work(
    inside: &Inside,
    dressing: &Dressing,
    report: Report<'_>,
) -> Result<(u32, Vec<Removed>), StepFault> {
    inside.come_up(&dressing.admins, report).await?;
    if !dressing.packages.is_empty() {
        inside.install(&dressing.packages, report).await?;
    }
    if let Some(play) = &dressing.play {
        inside.play(play, &dressing.vars, report).await?;
    }
    let counted = inside.shell(COUNT_PACKAGES, SEALED_WITHIN, None).await?;
    report("sealing it");
    let said = inside.shell(&seal::script(), SEALED_WITHIN, None).await?;
    if said.code != 0 {
        let last = said.text.lines().last().unwrap_or_default();
        return Err(StepFault::new(Blame::World, format!("it cannot be sealed: {last}")));
    }
    Ok((counted.text.trim().parse().unwrap_or(0), seal::read_report(&said.text)))
}

/// How many packages are installed, where somebody knows.
const COUNT_PACKAGES: &str =
    "if command -v dpkg-query >/dev/null; then dpkg-query -W | wc -l; else rpm -qa | wc -l; fi";

/// Removing files and telling the disk of it: seconds, minutes on a busy emulated machine.
const SEALED_WITHIN: std::time::Duration = std::time::Duration::from_secs(300);
