//! `updraft galaxy`: roles and collections.

use super::{Context, Result};
use crate::args::{Galaxy, GalaxyInstall};
use crate::{env, ui};
use std::path::PathBuf;
use updraft_control::{GalaxyWish, Installed, galaxy_install};

/// Runs one of its commands.
pub(super) async fn galaxy(context: &Context, command: &Galaxy) -> Result {
    match command {
        Galaxy::Install(args) => install(context, args).await,
    }
}

async fn install(context: &Context, args: &GalaxyInstall) -> Result {
    if args.requirements.is_empty() && args.roles.is_empty() && args.collections.is_empty() {
        let hint = "name a requirements file with -r, a role, or a collection with -c";
        return Err(context.asked("there is nothing to install", Some(hint)));
    }
    let config = &context.settings.config;
    let own =
        |name: &str| env::home().unwrap_or_else(|| PathBuf::from("/")).join(".ansible").join(name);
    let first =
        |paths: &[String], name: &str| paths.first().map_or_else(|| own(name), PathBuf::from);
    let roles_path = args.roles_path.clone();
    let collections_path = args.collections_path.clone();
    let wish = GalaxyWish {
        requirements: args.requirements.clone(),
        roles: args.roles.clone(),
        collections: args.collections.clone(),
        roles_path: roles_path.unwrap_or_else(|| first(&config.roles_path, "roles")),
        collections_path: collections_path
            .unwrap_or_else(|| first(&config.collections_path, "collections")),
        force: args.force,
        only: args.only,
    };
    let mut all = Vec::new();
    let mut tell = |done: &Installed| {
        if args.json {
            all.push(done.clone());
            return;
        }
        let version = done.version.as_ref().map(|v| format!(" {v}")).unwrap_or_default();
        let what = if done.already { "is there already" } else { "installed" };
        let (kind, name, path) = (done.kind, &done.name, done.path.display());
        ui::say(&format!("{kind} {name}{version}: {what} in {path}"));
        if !done.missing.is_empty() {
            context.terminal.warn(&format!(
                "{kind} {name} needs {}, which is not there and not in these files",
                done.missing.join(", ")
            ));
        }
    };
    let ended = galaxy_install(&wish, &mut tell).await;
    if args.json {
        ui::out(&format!("{}\n", serde_json::json!({ "installed": all })));
    }
    ended.map(|()| 0).map_err(|error| context.fail(&error))
}
