//! Playbooks and inventories.

use super::{Context, Result};
use crate::args::{Inventory, Play, VaultOptions};
use crate::ui;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use updraft_control::{
    ControlError, Operator, PlayRequest, Purpose, Reacher, RunOptions, ScreenOptions, SiteControl,
    VaultSources,
};

/// How many hosts at once when nothing is said: an agent answers in milliseconds, so a play on more
/// waits for hosts and not for us.
const FORKS: u16 = 25;

/// The person at the terminal.
pub(super) struct Person(pub(super) crate::ui::Terminal);

#[async_trait]
impl Operator for Person {
    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    async fn ask(&self, question: &str, hidden: bool) -> Option<String> {
        let terminal = self.0;
        if !terminal.can_ask() {
            return None;
        }
        let question = question.to_owned();
        tokio::task::spawn_blocking(move || terminal.read(&question, hidden)).await.ok()?
    }
}

/// Gets the passwords that are named, for whatever is encrypted.
async fn with_vault(context: &mut Context, options: &VaultOptions) -> Result<()> {
    let sources = VaultSources::from(options);
    let vault = super::vault::passwords(context, &sources, Purpose::Run).await?;
    context.settings.vault = Arc::new(vault);
    Ok(())
}

/// `updraft play`
pub(crate) async fn play(context: &mut Context, args: &Play) -> Result {
    with_vault(context, &args.vault).await?;
    let fail = |error: ControlError| match &error {
        // As ansible-playbook: 4 for what cannot be read.
        ControlError::Playbook(_) => {
            context.fail_control(&error);
            super::Ended(4)
        }
        other => context.fail_control(other),
    };
    let mut settings = context.settings.clone();
    settings.remote_user.clone_from(&args.user);
    let site: Option<SiteControl> = match args.inventory.is_empty() && context.global.site.exists()
    {
        true => Some(context.site()?),
        false => None,
    };
    let (inventory, machines, sessions) = match &site {
        Some(control) => {
            let ways = match control.machine_names().is_empty() {
                true => Vec::new(),
                false => control.ways("all").map_err(fail)?,
            };
            let sessions = Arc::new(control.sessions().map_err(fail)?);
            (control.inventory().map_err(fail)?, ways, Some(sessions))
        }
        None => {
            let inventory = updraft_control::load_inventory(&args.inventory).map_err(fail)?;
            (inventory, Vec::new(), None)
        }
    };
    let options = RunOptions {
        extra_vars: updraft_control::extra_vars(&args.extra_vars).map_err(fail)?,
        tags: args.tags.clone(),
        skip_tags: args.skip_tags.clone(),
        limit: args.limit.clone(),
        check: args.check,
        diff: args.diff,
        forks: usize::from(args.forks.unwrap_or(FORKS)),
        become_it: args.become_other,
        become_method: args.become_method.clone(),
        become_user: args.become_user.clone(),
        remote_user: args.user.clone(),
        connection: args.connection.clone(),
        force_handlers: args.force_handlers,
        verbosity: args.verbose,
        ..RunOptions::ordinary()
    };
    let screen = ScreenOptions {
        verbosity: args.verbose,
        colour: context.terminal.colour_err && !args.json,
        diff: args.diff,
        width: context.terminal.columns.max(79),
    };
    let request = PlayRequest {
        playbooks: args.playbooks.clone(),
        inventory,
        options,
        screen,
        syntax_check: args.syntax_check,
        list_hosts: args.list_hosts,
    };
    let reacher = Reacher::new(&settings, sessions);
    let person = Person(context.terminal);
    let print: fn(&str) = if args.json { |_| {} } else { ui::out };
    let played =
        updraft_control::play(&request, &reacher, machines, &settings, &person, print).await;
    let recap = played.map_err(fail)?;
    if args.json {
        ui::json(&recap.to_json());
    }
    Ok(recap.exit_code())
}

/// `updraft inventory`
pub(crate) async fn inventory(context: &mut Context, args: &Inventory) -> Result {
    with_vault(context, &args.vault).await?;
    let fail = |error: ControlError| context.fail_control(&error);
    let form = &args.form;
    if form.ssh_config || form.hosts {
        let control = context.site()?;
        let text = match form.ssh_config {
            true => control.ssh_config(),
            false => control.hosts_lines(),
        };
        ui::out(&text.map_err(fail)?);
        return Ok(0);
    }
    let inventory = match args.inventory.is_empty() {
        true => context.site()?.inventory(),
        false => updraft_control::load_inventory(&args.inventory),
    }
    .map_err(fail)?;
    let faults = |faults| fail(ControlError::Playbook(faults));
    match &form.host {
        Some(name) => match inventory.host(name, &context.settings.vault).map_err(faults)? {
            Some(vars) => ui::json(&vars),
            None => {
                return Err(fail(ControlError::Unknown {
                    what: "host",
                    name: name.clone(),
                    known: inventory.hosts().take(12).map(str::to_owned).collect(),
                }));
            }
        },
        None => ui::json(&inventory.list(&context.settings.vault).map_err(faults)?),
    }
    Ok(0)
}
