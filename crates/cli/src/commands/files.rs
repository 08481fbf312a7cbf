//! Commands about the site file itself.

use super::{Context, Ended, FAILED, Result};
use crate::args::{Cli, Init};
use crate::ui;
use clap::CommandFactory as _;
use std::io::Write as _;
use updraft_base::{SiteName, counted};
use updraft_control::{ControlError, SiteControl};

/// `updraft init`
pub(crate) fn init(context: &Context, args: &Init) -> Result {
    let here = std::env::current_dir().unwrap_or_default();
    let folder = here.file_name().and_then(|name| name.to_str()).unwrap_or("site");
    let name = args.name.clone().unwrap_or_else(|| label(folder));
    let name: SiteName = name.parse().map_err(|error: updraft_base::NameError| {
        context.asked(&error.to_string(), Some("give another one with --name"))
    })?;
    let mut files = vec![(context.global.site.to_string(), updraft_site::starter(&name))];
    let plays = updraft_site::starter_plays();
    files.extend(plays.iter().map(|(path, text)| (path.to_string(), text.to_string())));
    if let Some((path, _)) = files.iter().find(|(path, _)| std::path::Path::new(path).exists()) {
        return Err(context.asked(&format!("`{path}` is there already; nothing was written"), None));
    }
    for (path, text) in &files {
        let path = std::path::Path::new(path);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = made.and_then(|()| {
            let mut file = std::fs::File::create_new(path)?;
            file.write_all(text.as_bytes())
        });
        if let Err(error) = written {
            let message = format!("cannot write `{}`: {error}", path.display());
            context.terminal.complain_text(&message, None);
            return Err(Ended(FAILED));
        }
        ui::out(&format!("{}\n", path.display()));
    }
    ui::say(&format!("Wrote {} files. `updraft plan` shows what they would do.", files.len()));
    Ok(0)
}

/// A folder's name as a name: what does not fit becomes a hyphen.
fn label(folder: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = folder.chars().map(fits).take(40).collect();
    let text = text.trim_matches('-');
    if text.is_empty() { "site".to_owned() } else { text.to_owned() }
}

/// `updraft check`
pub(crate) fn check(context: &Context, json: bool) -> Result {
    let checked = SiteControl::open(&context.global.site, context.settings.clone())
        .and_then(|control| control.desired().map(|_| control));
    match checked {
        Ok(control) => {
            let site = control.site();
            if json {
                ui::json(&serde_json::json!({ "version": 1, "faults": [], "more": 0 }));
            } else {
                let machines: u32 = site.groups.iter().map(|group| group.count.wanted()).sum();
                ui::say(&format!(
                    "{} is fine: {} in {}, {}.",
                    context.global.site,
                    counted(machines as usize, "machine"),
                    counted(site.groups.len(), "group"),
                    counted(site.services.len(), "service")
                ));
            }
            Ok(0)
        }
        Err(ControlError::Site(faults)) if json => {
            ui::json(&faults.to_json());
            Err(Ended(super::ASKED))
        }
        Err(error) => Err(context.fail_control(&error)),
    }
}

/// `updraft schema`
pub(crate) fn schema() -> Result {
    ui::json(&updraft_site::schema());
    Ok(0)
}

/// `updraft completions`
pub(crate) fn completions(shell: clap_complete::Shell) -> Result {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "updraft", &mut text);
    ui::out(&String::from_utf8_lossy(&text));
    Ok(0)
}
