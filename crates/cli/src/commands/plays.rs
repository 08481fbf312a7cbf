//! Playbooks and inventories.

use super::{Context, Result};
use crate::args::{Inventory, Play, VaultOptions};
use crate::ui;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use updraft_control::{
    ControlError, Gathering, Listing, Operator, Piece, PlayRequest, Purpose, Reacher, RunOptions,
    ScreenOptions, Show, SiteControl, VaultSources,
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
        ControlError::Playbook(faults) => {
            for fault in &faults.0 {
                let text = updraft_control::fault_text(fault);
                ui::say(&context.terminal.paint("0;31", text.trim_end()));
            }
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
    let sources = args.inventory.clone();
    let refresh: updraft_control::Refresh = Arc::new(move || {
        updraft_control::load_inventory(&sources).map_err(|error| match error {
            ControlError::Playbook(faults) => faults,
            other => updraft_control::Faults::from(updraft_control::LoadFault {
                at: None,
                what: other.to_string(),
            }),
        })
    });
    let config = Arc::clone(&settings.config);
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
        force_handlers: args.force_handlers || *config.force_handlers,
        strategy: config.strategy.value.clone(),
        gathering: match config.gathering.as_str() {
            "explicit" => Gathering::Explicit,
            "smart" => Gathering::Smart,
            _ => Gathering::Implicit,
        },
        any_errors_fatal: *config.any_errors_fatal,
        error_on_missing_handler: *config.error_on_missing_handler,
        private_role_vars: config.private_role_vars.told().copied(),
        no_log: *config.no_log,
        task_timeout: u64::try_from(*config.task_timeout).unwrap_or(0),
        start_at: args.start_at_task.clone(),
        step: args.step,
        refresh: site.is_none().then_some(refresh),
        verbosity: args.verbose,
        ..RunOptions::ordinary()
    };
    let screen = ScreenOptions {
        verbosity: args.verbose,
        colour: context.terminal.colour_err && !args.json,
        diff: args.diff,
        width: context.terminal.width_of_out().map_or(79, |columns| (columns - 1).max(79)),
        show: Show {
            ok_hosts: *config.display_ok_hosts,
            skipped_hosts: *config.display_skipped_hosts,
            failed_stderr: *config.display_failed_stderr,
            custom_stats: *config.show_custom_stats,
            check_markers: *config.check_mode_markers,
            path_on_failure: *config.show_task_path_on_failure,
        },
    };
    let request = PlayRequest {
        playbooks: args.playbooks.clone(),
        inventory,
        options,
        screen,
        syntax_check: args.syntax_check,
        list: Listing { hosts: args.list_hosts, tasks: args.list_tasks, tags: args.list_tags },
    };
    let reacher = Reacher::new(&settings, sessions);
    let person = Person(context.terminal);
    let print: fn(&Piece) = match args.json {
        true => |_| {},
        false => |piece| if piece.error { ui::tell(&piece.text) } else { ui::out(&piece.text) },
    };
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
