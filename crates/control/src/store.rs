//! The image store, for people: building, listing, testing, carrying and removing images.

use crate::ControlError;
use crate::inside::{self, Inside, Report};
use crate::settings::Settings;
use crate::site::SiteControl;
use crate::world::ImageStore;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use updraft_base::{ByteSize, Digest, ImageName};
use updraft_engine::StepFault;
use updraft_image::seal::Removed;
use updraft_image::{Image, Origin};

/// An image in the store, for people.
#[derive(Clone, Debug, Serialize)]
pub struct ImageView {
    /// Its digest.
    pub digest: String,
    /// Name in the site file it was built for.
    pub name: String,
    /// What it was made from, in a few words.
    pub made_from: String,
    /// Digest of the image it lies on.
    pub below: Option<String>,
    /// Packages that its recipe asks for.
    pub packages: Vec<String>,
    /// How it boots: `kernel`, `bios` or `uefi`.
    pub boots: &'static str,
    /// Size of its disk.
    pub disk: String,
    /// Room it takes, beside the images below.
    pub on_disk: String,
    /// When it was built.
    pub created: String,
    /// Kernel beside its disk; empty where there is none.
    pub kernel: String,
    /// Who uses it: sites, templates, images on top of it.
    pub used_by: Vec<String>,
}

/// Everything that is known about an image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageDetails {
    /// The image.
    #[serde(flatten)]
    pub view: ImageView,
    /// The images it is made of, the lowest first, itself last.
    pub layers: Vec<LayerView>,
    /// How many packages are installed; 0 where nobody counted.
    pub installed: u32,
    /// Content of its disk.
    pub content: String,
    /// What was taken out when it was sealed.
    pub removed: Vec<RemovedView>,
    /// Where it is.
    pub path: String,
}

/// One of the images that an image is made of.
#[derive(Clone, Debug, Serialize)]
pub struct LayerView {
    /// Its digest.
    pub digest: String,
    /// Name in the site file.
    pub name: String,
    /// What it was made from, in a few words.
    pub made_from: String,
}

/// What was taken out of an image, of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct RemovedView {
    /// What kind.
    pub what: String,
    /// How many files.
    pub files: u32,
    /// How many bytes.
    pub bytes: u64,
    /// Some of them.
    pub examples: Vec<String>,
}

/// An image that was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct BuiltImage {
    /// Name in the site file.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// It was there already.
    pub known: bool,
}

/// How the test of an image went.
#[derive(Clone, Debug, Serialize)]
pub struct ImageTest {
    /// Name in the site file.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// It came up and every command succeeded.
    pub ok: bool,
    /// Its commands.
    pub checks: Vec<ImageCheck>,
    /// Why it could not be tried at all.
    pub fault: Option<String>,
    /// The end of its console, when something failed.
    pub console: String,
}

/// One command of the test of an image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageCheck {
    /// The command.
    pub command: String,
    /// It succeeded.
    pub ok: bool,
    /// Its exit status.
    pub status: i32,
    /// What it said.
    pub said: String,
}

/// How long a command of a test may take.
const CHECK_WITHIN: Duration = Duration::from_secs(600);

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
    let facts = &image.facts;
    Ok(ImageView {
        digest: image.digest.to_string(),
        name: facts.recipe.name.to_string(),
        made_from: made_from(image),
        below: facts.recipe.below().map(|below| below.to_string()),
        packages: match &facts.recipe.origin {
            Origin::Bootstrap { packages, .. } | Origin::Layer { packages, .. } => packages.clone(),
            Origin::Import { .. } => Vec::new(),
        },
        boots: match facts.firmware {
            None => "kernel",
            Some(updraft_image::Firmware::Bios) => "bios",
            Some(updraft_image::Firmware::Uefi) => "uefi",
        },
        disk: about(facts.disk),
        on_disk: about(facts.stored),
        created: facts.created.strftime("%Y-%m-%d %H:%M").to_string(),
        kernel: facts.kernel.clone(),
        used_by: store.store().users(image.digest).await?,
    })
}

/// What an image was made from, in a few words.
fn made_from(image: &Image) -> String {
    match &image.facts.recipe.origin {
        Origin::Bootstrap { bootstrap, .. } => bootstrap.clone(),
        Origin::Import { import, .. } => import.to_string(),
        Origin::Layer { below, play, packages, .. } => {
            let file = |play: &std::path::PathBuf| {
                play.file_name().map(|name| name.to_string_lossy().into_owned())
            };
            let mut words = vec![below.short()];
            words.extend(
                (!packages.is_empty()).then(|| updraft_base::counted(packages.len(), "package")),
            );
            words.extend(play.as_ref().and_then(file));
            words.join(" + ")
        }
    }
}

/// A size rounded to whole mebibytes: for people.
pub(crate) fn about(size: ByteSize) -> String {
    ByteSize::mib(size.as_mib()).to_string()
}

/// The image that a person means: by its digest or the beginning of it, or by its name, of which
/// there must be one.
fn meant<'a>(all: &'a [Image], name: &str) -> Result<&'a Image, ControlError> {
    let by_digest: Vec<_> =
        all.iter().filter(|image| image.digest.to_string().starts_with(name)).collect();
    let by_name: Vec<_> =
        all.iter().filter(|image| image.facts.recipe.name.as_str() == name).collect();
    match (by_name.as_slice(), by_digest.as_slice()) {
        ([image], _) | ([], [image]) => Ok(image),
        (named, found) => Err(ControlError::Unknown {
            what: if named.len() + found.len() == 0 { "image" } else { "single image" },
            name: name.to_owned(),
            known: all
                .iter()
                .map(|image| format!("{} {}", image.digest.short(), image.facts.recipe.name))
                .collect(),
        }),
    }
}

/// Everything about one image, by its digest or its name.
///
/// # Errors
/// When a name fits none or several, or the store cannot be read.
pub async fn image_details(settings: &Settings, name: &str) -> Result<ImageDetails, ControlError> {
    let store = ImageStore::new(settings, None);
    let all = store.store().list().await?;
    let image = meant(&all, name)?;
    let chain = store.store().chain(image.digest).await?;
    let layers = chain.iter().map(|layer| LayerView {
        digest: layer.digest.to_string(),
        name: layer.facts.recipe.name.to_string(),
        made_from: made_from(layer),
    });
    let removed = image.facts.removed.iter().map(|removed: &Removed| RemovedView {
        what: removed.what.clone(),
        files: removed.files,
        bytes: removed.bytes.as_bytes(),
        examples: removed.examples.clone(),
    });
    Ok(ImageDetails {
        view: view(&store, image).await?,
        layers: layers.collect(),
        installed: image.facts.packages,
        content: image.facts.content.to_string(),
        removed: removed.collect(),
        path: image.dir.display().to_string(),
    })
}

/// Removes images: those named by a digest, the beginning of one or a name, or all that nothing
/// uses, and then what builds that died left behind. Returns the digests of those removed.
///
/// # Errors
/// When a name fits none or several, when somebody uses one, or when the store cannot be written.
pub async fn remove_images(
    settings: &Settings,
    names: &[String],
    unused: bool,
) -> Result<Vec<String>, ControlError> {
    let store = ImageStore::new(settings, None);
    inside::sweep(settings, store.store()).await?;
    if unused {
        let removed = store.store().remove_unused().await?;
        return Ok(removed.iter().map(Digest::to_string).collect());
    }
    let all = store.store().list().await?;
    let chosen: Vec<&Image> =
        names.iter().map(|name| meant(&all, name)).collect::<Result<_, _>>()?;
    let mut removed = Vec::new();
    for image in chosen {
        store.store().remove(image.digest).await?;
        removed.push(image.digest.to_string());
    }
    Ok(removed)
}

/// Writes an image, with those it lies on, to one file. Returns what is in it.
///
/// # Errors
/// When a name fits none or several, or the file cannot be written.
pub async fn export_image(
    settings: &Settings,
    name: &str,
    to: &Path,
) -> Result<Vec<ImageView>, ControlError> {
    let store = ImageStore::new(settings, None);
    let all = store.store().list().await?;
    let image = meant(&all, name)?;
    let mut views = Vec::new();
    for image in store.store().export(image.digest, to).await? {
        views.push(view(&store, &image).await?);
    }
    Ok(views)
}

/// Takes in the images of a file: all of them, or none.
///
/// # Errors
/// When the file is not what it says, or the store cannot be written.
pub async fn import_images(
    settings: &Settings,
    from: &Path,
) -> Result<Vec<BuiltImage>, ControlError> {
    let store = ImageStore::new(settings, None);
    let taken = store.store().import(from).await?;
    let built = taken.into_iter().map(|taken| BuiltImage {
        name: taken.image.facts.recipe.name.to_string(),
        digest: taken.image.digest.to_string(),
        known: taken.known,
    });
    Ok(built.collect())
}

/// Removes what builds and tests that were broken off left behind, their machines first.
///
/// # Errors
/// When a machine cannot be removed or the store cannot be written.
pub async fn sweep_images(settings: &Settings) -> Result<(), ControlError> {
    Ok(inside::sweep(settings, ImageStore::new(settings, None).store()).await?)
}

impl SiteControl {
    /// The site's images of these names; all of them when there are none.
    fn chosen(&self, names: &[String]) -> Result<Vec<&updraft_site::Image>, ControlError> {
        let site = self.site();
        let known = || site.images.iter().map(|image| image.name.to_string()).collect();
        if names.is_empty() {
            return Ok(site.images.iter().collect());
        }
        let find = |name: &String| {
            site.images.iter().find(|image| image.name.as_str() == name).ok_or_else(|| {
                ControlError::Unknown { what: "image", name: name.clone(), known: known() }
            })
        };
        names.iter().map(find).collect()
    }

    /// The digest of the image in the store that an image of the site stands for now, if it is
    /// there.
    pub async fn image_digest(&self, name: &str) -> Option<String> {
        let image = self.site().images.iter().find(|image| image.name.as_str() == name)?;
        let found = ImageStore::new(self.settings(), None).find(self.site(), image).await?;
        Some(found.digest.to_string())
    }

    /// Builds images of the site: those that are named, or all. What is there is found.
    ///
    /// # Errors
    /// When one cannot be built. Those before it stay.
    pub async fn build_images(
        &self,
        names: &[String],
        report: &(dyn Fn(&str, &str) + Send + Sync),
    ) -> Result<Vec<BuiltImage>, ControlError> {
        let store = ImageStore::new(self.settings(), None);
        let mut built = Vec::new();
        for image in self.chosen(names)? {
            let name = image.name.to_string();
            let known = store.find(self.site(), image).await.is_some();
            let made = store.ensure(self.site(), image, &|text| report(&name, text)).await?;
            built.push(BuiltImage { name, digest: made.digest.to_string(), known });
        }
        Ok(built)
    }

    /// Boots an image of the site alone, on a disk that is thrown away, and runs the commands of
    /// its recipe's `test:`. Builds it first if it is not there.
    ///
    /// # Errors
    /// When it cannot be built or no machine can be made. An image that does not come up, or whose
    /// commands fail, is no error.
    pub async fn test_image(
        &self,
        name: &str,
        report: Report<'_>,
    ) -> Result<ImageTest, ControlError> {
        let chosen = self.chosen(&[name.to_owned()])?;
        let asked = chosen.first().expect("one was named");
        let settings = self.settings();
        let store = ImageStore::new(settings, None);
        let image = store.ensure(self.site(), asked, report).await?;
        inside::sweep(settings, store.store()).await?;
        let scratch = store.store().scratch("test").await?;
        let inside = Inside::make(settings, &scratch.dir, &image, &asked.name).await;
        let inside = match inside {
            Ok(inside) => inside,
            Err(fault) => {
                scratch.discard().await?;
                return Err(fault.into());
            }
        };
        let tried = try_image(&inside, &asked.name, &image, &asked.test, report).await;
        inside.end().await?;
        scratch.discard().await?;
        Ok(tried)
    }
}

async fn try_image(
    inside: &Inside,
    name: &ImageName,
    image: &Image,
    commands: &[String],
    report: Report<'_>,
) -> ImageTest {
    let mut test = ImageTest {
        name: name.to_string(),
        digest: image.digest.to_string(),
        ok: true,
        checks: Vec::new(),
        fault: None,
        console: String::new(),
    };
    let tried: Result<(), StepFault> = async {
        inside.come_up(&[], report).await?;
        for command in commands {
            report(command);
            let said = inside.shell(command, CHECK_WITHIN, None).await?;
            let ok = said.code == 0;
            test.ok &= ok;
            let said_text = said.text.trim().to_owned();
            let command = command.clone();
            test.checks.push(ImageCheck { command, ok, status: said.code, said: said_text });
        }
        Ok(())
    }
    .await;
    if let Err(fault) = tried {
        test.ok = false;
        test.fault = Some(fault.message);
    }
    if !test.ok {
        test.console = inside.console().await;
    }
    test
}
