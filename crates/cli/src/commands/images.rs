//! Commands for the image store.

use super::{Context, Result};
use crate::args::Image;
use crate::ui::{self, table};

/// `updraft image …`
pub(crate) async fn image(context: &Context, command: &Image) -> Result {
    match command {
        Image::Ls(args) => ls(context, args.json).await,
        Image::Rm { images, unused } => rm(context, images, *unused).await,
    }
}

async fn ls(context: &Context, json: bool) -> Result {
    let images = updraft_control::images(&context.settings)
        .await
        .map_err(|error| context.fail_control(&error))?;
    if json {
        ui::json(&images);
        return Ok(0);
    }
    let head = ["image", "name", "suite", "size", "on disk", "made", "used by"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for image in &images {
        let sites = match image.sites.len() {
            0 => "nothing".to_owned(),
            1 => "1 site".to_owned(),
            n => format!("{n} sites"),
        };
        rows.push(vec![
            image.digest.chars().take(12).collect(),
            image.name.clone(),
            image.suite.clone(),
            image.disk.clone(),
            image.on_disk.clone(),
            image.created.clone(),
            sites,
        ]);
    }
    ui::out(&table(&rows));
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
