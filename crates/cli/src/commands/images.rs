//! Commands for images and their store.

use super::{ASKED, Context, Ended, FAILED, Result};
use crate::args::{Image, ImageBuild, ImageTest};
use crate::ui::{self, table};
use camino::Utf8Path;
use std::future::Future;
use tokio::time::Instant;
use updraft_control::{BuiltImage, ImageDetails, ImageView, SiteControl};

/// `updraft image …`
pub(crate) async fn image(context: &Context, command: &Image) -> Result {
    match command {
        Image::Build(args) => build(context, args).await,
        Image::Ls(args) => ls(context, args.json).await,
        Image::Show { image, json } => show(context, image, *json).await,
        Image::Test(args) => test(context, args).await,
        Image::Rm { images, unused } => rm(context, images, *unused).await,
        Image::Export { image, file, json } => export(context, image, file, *json).await,
        Image::Import { file, json } => import(context, file, *json).await,
    }
}

/// Runs something that may have machines, until it is done or somebody interrupts it. Then nothing
/// half made stays.
async fn interruptible<T>(context: &Context, work: impl Future<Output = T>) -> Result<T> {
    let interrupted = async {
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        match terminate {
            Ok(mut terminate) => {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
            }
            Err(_) => drop(tokio::signal::ctrl_c().await),
        }
    };
    // Dropping the work ends its tools and gives its locks back; machines are swept afterwards.
    tokio::select! {
        done = work => return Ok(done),
        () = interrupted => {}
    }
    updraft_control::sweep_images(&context.settings)
        .await
        .map_err(|error| context.fail_control(&error))?;
    ui::say("Interrupted; nothing half made is left.");
    Err(Ended(FAILED))
}

async fn build(context: &Context, args: &ImageBuild) -> Result {
    let site = context.site()?;
    let began = Instant::now();
    let last = std::sync::Mutex::new(String::new());
    let report = |image: &str, text: &str| {
        let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last != text && (args.verbose || is_stage(text)) {
            ui::say(&format!("{image}: {text}"));
        }
        text.clone_into(&mut last);
    };
    let built = interruptible(context, site.build_images(&args.images, &report)).await?;
    let built = built.map_err(|error| context.fail_control(&error))?;
    if args.json {
        ui::json(&built);
    } else {
        built.iter().for_each(|image| ui::out(&line(image)));
    }
    let new = built.iter().filter(|image| !image.known).count();
    ui::say(&match new {
        0 => "Nothing to build.".to_owned(),
        1 => format!("Built 1 image in {}.", ui::took(began.elapsed())),
        n => format!("Built {n} images in {}.", ui::took(began.elapsed())),
    });
    Ok(0)
}

/// Whether a line tells of a stage rather than of a detail: tools and consoles write as they like.
fn is_stage(text: &str) -> bool {
    const STAGES: &[&str] = &[
        "booting it",
        "converting",
        "fetching",
        "image ",
        "installing",
        "keeping",
        "making",
        "sealing",
        "telling it",
        "unpacking",
        "waiting",
    ];
    STAGES.iter().any(|stage| text.starts_with(stage))
}

fn line(image: &BuiltImage) -> String {
    let short: String = image.digest.chars().take(12).collect();
    format!("{short}  {}{}\n", image.name, if image.known { "  (there already)" } else { "" })
}

async fn ls(context: &Context, json: bool) -> Result {
    let images = updraft_control::images(&context.settings)
        .await
        .map_err(|error| context.fail_control(&error))?;
    if json {
        ui::json(&images);
        return Ok(0);
    }
    let head = ["image", "name", "made from", "boots", "size", "on disk", "made", "used by"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for image in &images {
        rows.push(vec![
            image.digest.chars().take(12).collect(),
            image.name.clone(),
            short_text(&image.made_from),
            image.boots.to_owned(),
            image.disk.clone(),
            image.on_disk.clone(),
            image.created.clone(),
            users(image),
        ]);
    }
    ui::out(&table(&rows));
    Ok(0)
}

/// The end of a long text: of a path or a URL it tells more than the beginning.
fn short_text(text: &str) -> String {
    const MOST: usize = 40;
    let length = text.chars().count();
    match length > MOST {
        true => format!("…{}", text.chars().skip(length - MOST).collect::<String>()),
        false => text.to_owned(),
    }
}

fn users(image: &ImageView) -> String {
    let count = |what: &str| image.used_by.iter().filter(|user| user.starts_with(what)).count();
    let told = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let all: Vec<String> =
        ["site", "template", "image"].iter().filter_map(|what| told(count(what), what)).collect();
    match all.is_empty() {
        true => "nothing".to_owned(),
        false => all.join(", "),
    }
}

/// The image that a name means: of several with this name, that of the site file here.
async fn meant(context: &Context, name: &str) -> String {
    let site = SiteControl::open(&context.global.site, context.settings.clone());
    match site {
        Ok(site) => site.image_digest(name).await.unwrap_or_else(|| name.to_owned()),
        // Images are shared by sites, so none is needed to look at them.
        Err(_) => name.to_owned(),
    }
}

async fn show(context: &Context, name: &str, json: bool) -> Result {
    let name = meant(context, name).await;
    let image = updraft_control::image_details(&context.settings, &name)
        .await
        .map_err(|error| context.fail_control(&error))?;
    if json {
        ui::json(&image);
        return Ok(0);
    }
    ui::out(&details(&image));
    Ok(0)
}

fn details(image: &ImageDetails) -> String {
    let view = &image.view;
    let kernel = match view.kernel.as_str() {
        "" => format!("its own boot loader, by {}", view.boots),
        kernel => format!("kernel {kernel} beside the disk"),
    };
    let installed = match image.installed {
        0 => "not counted".to_owned(),
        count => count.to_string(),
    };
    let mut rows = vec![
        ("image", view.digest.clone()),
        ("name", view.name.clone()),
        ("made", view.created.clone()),
        ("boots", kernel),
        ("disk", format!("{}, {} stored", view.disk, view.on_disk)),
        ("content", image.content.clone()),
        ("packages", installed),
        ("path", image.path.clone()),
    ];
    let shorten = |digest: &str| digest.chars().take(12).collect::<String>();
    for (at, layer) in image.layers.iter().rev().enumerate() {
        let key = if at == 0 { "layers" } else { "" };
        rows.push((key, format!("{} {}: {}", shorten(&layer.digest), layer.name, layer.made_from)));
    }
    if view.used_by.is_empty() {
        rows.push(("used by", "nothing".to_owned()));
    }
    for (at, user) in view.used_by.iter().enumerate() {
        rows.push((if at == 0 { "used by" } else { "" }, user.clone()));
    }
    for (at, removed) in image.removed.iter().enumerate() {
        let key = if at == 0 { "sealed" } else { "" };
        let example = removed.examples.first().map(|path| format!(", such as {path}"));
        let text = format!(
            "{}: {} {}, {} bytes{}",
            removed.what,
            removed.files,
            if removed.files == 1 { "file" } else { "files" },
            removed.bytes,
            example.unwrap_or_default()
        );
        rows.push((key, text));
    }
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    table(&rows)
}

async fn test(context: &Context, args: &ImageTest) -> Result {
    let site = context.site()?;
    let began = Instant::now();
    let report = |text: &str| {
        if args.verbose || is_stage(text) {
            ui::say(&format!("{}: {text}", args.image));
        }
    };
    let test = interruptible(context, site.test_image(&args.image, &report)).await?;
    let test = test.map_err(|error| context.fail_control(&error))?;
    if args.json {
        ui::json(&test);
        return Ok(if test.ok { 0 } else { FAILED });
    }
    for check in &test.checks {
        let mark = if check.ok { "ok    " } else { "failed" };
        ui::out(&format!("{mark}  {}\n", check.command));
        if !check.ok {
            ui::out(&format!("        status {}: {}\n", check.status, check.said));
        }
    }
    if !test.ok {
        if let Some(fault) = &test.fault {
            context.terminal.complain_text(fault, None);
        } else if !test.console.is_empty() {
            ui::say(&format!("the end of its console:\n{}", test.console));
        }
        ui::say(&format!("Image {} fails its test.", test.name));
        return Err(Ended(FAILED));
    }
    let took = ui::took(began.elapsed());
    ui::say(&match test.checks.len() {
        0 => format!("Image {} boots; its recipe has no `test:`. {took}.", test.name),
        1 => format!("Image {} boots and passes its command in {took}.", test.name),
        n => format!("Image {} boots and passes its {n} commands in {took}.", test.name),
    });
    Ok(0)
}

async fn rm(context: &Context, images: &[String], unused: bool) -> Result {
    let removed = updraft_control::remove_images(&context.settings, images, unused)
        .await
        .map_err(|error| context.fail_control(&error))?;
    for image in &removed {
        ui::out(&format!("{image}\n"));
    }
    ui::say(&format!(
        "Removed {}.",
        if removed.len() == 1 { "1 image".to_owned() } else { format!("{} images", removed.len()) }
    ));
    Ok(0)
}

async fn export(context: &Context, image: &str, file: &Utf8Path, json: bool) -> Result {
    if file.is_dir() {
        return Err(context.asked(&format!("`{file}` is a directory, not a file"), None));
    }
    let image = meant(context, image).await;
    let work = updraft_control::export_image(&context.settings, &image, file.as_std_path());
    let images =
        interruptible(context, work).await?.map_err(|error| context.fail_control(&error))?;
    if json {
        ui::json(&images);
        return Ok(0);
    }
    for image in &images {
        let short: String = image.digest.chars().take(12).collect();
        ui::out(&format!("{short}  {}\n", image.name));
    }
    ui::say(&format!(
        "Wrote {} to {file}.",
        if images.len() == 1 { "1 image".to_owned() } else { format!("{} images", images.len()) }
    ));
    Ok(0)
}

async fn import(context: &Context, file: &Utf8Path, json: bool) -> Result {
    if !file.is_file() {
        context.terminal.complain_text(&format!("there is no file `{file}`"), None);
        return Err(Ended(ASKED));
    }
    let work = updraft_control::import_images(&context.settings, file.as_std_path());
    let taken =
        interruptible(context, work).await?.map_err(|error| context.fail_control(&error))?;
    if json {
        ui::json(&taken);
        return Ok(0);
    }
    taken.iter().for_each(|image| ui::out(&line(image)));
    let new = taken.iter().filter(|image| !image.known).count();
    ui::say(&match new {
        0 => "Nothing to take in.".to_owned(),
        1 => "Took in 1 image.".to_owned(),
        n => format!("Took in {n} images."),
    });
    Ok(0)
}
