//! Playbooks and inventories.

use super::{Context, Result, callbacks};
use crate::args::{AdHoc, Become, Exec, Inventory, Login, Play, VaultOptions};
use crate::progress::{Lines, Plain, PlayView, Quiet};
use crate::ui;
use async_trait::async_trait;
use camino::Utf8Path;
use std::sync::Arc;
use std::time::Duration;
use updraft_base::Secret;
use updraft_control::{
    AdHocRequest, Audience, Callback, Config, ControlError, Dict, Difference, Gathering, Listing,
    ListingOptions, LoadFault, MinimalOptions, Operator, PlayListing, PlayRequest, Purpose,
    Reacher, RunOptions, ScreenOptions, Sessions, Show, Style, VaultSources, Way,
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
        let _quiet = Quiet::keep();
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

/// Gets the password that hosts are logged in to with, if one is asked for.
pub(super) async fn with_login(context: &mut Context, login: &Login) -> Result<()> {
    let config = &context.settings.config;
    let file = login.password_file.as_ref().map(|file| file.to_string());
    let file = file.or_else(|| config.connection_password_file.value.clone());
    context.settings.password = if login.ask_pass || *config.ask_pass {
        let typist = super::vault::Typist(context.terminal);
        typist.ask("SSH password: ", true).await.map(Secret::new)
    } else {
        file.map(|file| password_of(context, &file)).transpose()?
    };
    Ok(())
}

/// The password in a file.
fn password_of(context: &Context, file: &str) -> Result<Secret<String>> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        context.asked(&format!("cannot read the password file `{file}`: {error}"), None)
    })?;
    Ok(Secret::new(text.trim().to_owned()))
}

/// The inventories that are meant: those that were named, or the one of `ansible.cfg`, or for
/// Ansible's own commands the one of the computer.
fn sources(context: &Context, named: &[String]) -> Vec<String> {
    let config = &context.settings.config;
    match (named, config.inventory.told()) {
        ([], Some(told)) => told.clone(),
        ([], None) if context.global.shim => vec!["/etc/ansible/hosts".to_owned()],
        (named, _) => named.to_vec(),
    }
}

/// Hosts, with what reaches them.
struct Hosts {
    inventory: updraft_control::Inventory,
    machines: Vec<(String, Way)>,
    sessions: Option<Arc<Sessions>>,
}

/// The hosts of inventories, or those of the site that lies here.
fn hosts(
    context: &Context,
    named: &[String],
    extra_vars: &Dict,
) -> std::result::Result<Hosts, ControlError> {
    let sources = sources(context, named);
    if sources.is_empty() && context.global.site.exists() {
        let control =
            updraft_control::SiteControl::open(&context.global.site, context.settings.clone())?;
        let machines = match control.machine_names().is_empty() {
            true => Vec::new(),
            false => control.ways("all")?,
        };
        let sessions = Some(Arc::new(control.sessions()?));
        return Ok(Hosts { inventory: control.inventory()?, machines, sessions });
    }
    let inventory = updraft_control::load_inventory(&sources, &context.settings, extra_vars)?;
    told(context, &inventory, 0);
    Ok(Hosts { inventory, machines: Vec::new(), sessions: None })
}

/// Reads inventories anew, for a play that asks for it.
fn refresh(
    sources: Vec<String>,
    settings: &updraft_control::Settings,
    extra_vars: &Dict,
) -> updraft_control::Refresh {
    let (settings, extra_vars) = (settings.clone(), extra_vars.clone());
    Arc::new(move || {
        updraft_control::load_inventory(&sources, &settings, &extra_vars).map_err(|error| {
            match error {
                ControlError::Playbook(faults) => faults,
                other => updraft_control::Faults::from(updraft_control::LoadFault::bare(
                    other.to_string(),
                )),
            }
        })
    })
}

/// Says what deserves a word about an inventory.
fn told(context: &Context, inventory: &updraft_control::Inventory, verbosity: u8) {
    inventory.warnings.iter().for_each(|warning| context.terminal.warn(warning));
    if verbosity > 2 {
        inventory.notes.iter().for_each(|note| ui::say(note));
    }
}

/// What the command line and `ansible.cfg` say about how to run, as far as all commands share it.
async fn run_options(
    context: &Context,
    become_: &Become,
    user: Option<&String>,
    connection: Option<&String>,
) -> Result<RunOptions> {
    let config = &context.settings.config;
    let file = become_.become_password_file.as_ref().map(|file| file.to_string());
    let file = file.or_else(|| config.become_password_file.value.clone());
    let become_password = if become_.ask_become_pass || *config.become_ask_pass {
        let typist = super::vault::Typist(context.terminal);
        let login = context.settings.password.as_ref();
        let question = match login {
            Some(_) => "BECOME password[defaults to SSH password]: ",
            None => "BECOME password: ",
        };
        match (typist.ask(question, true).await, login) {
            (Some(typed), Some(login)) if typed.is_empty() => Some(login.clone()),
            (typed, _) => typed.map(Secret::new),
        }
    } else {
        file.map(|file| password_of(context, &file)).transpose()?
    };
    let told =
        |word: Option<&String>, setting: &Option<String>| word.cloned().or_else(|| setting.clone());
    Ok(RunOptions {
        become_it: become_.become_other || *config.become_it,
        become_method: told(become_.become_method.as_ref(), &config.become_method),
        become_user: told(become_.become_user.as_ref(), &config.become_user),
        become_password,
        remote_user: told(user, &config.remote_user),
        connection: told(connection, &config.transport).filter(|way| way != "smart"),
        strategy: config.strategy.value.clone(),
        gathering: match config.gathering.as_str() {
            "explicit" => Gathering::Explicit,
            "smart" => Gathering::Smart,
            _ => Gathering::Implicit,
        },
        any_errors_fatal: *config.any_errors_fatal,
        error_on_missing_handler: *config.error_on_missing_handler,
        no_log: *config.no_log,
        task_timeout: u64::try_from(*config.task_timeout).unwrap_or(0),
        ..RunOptions::ordinary()
    })
}

/// How many hosts at once: as was asked, as `ansible.cfg` says, or what fits the command.
fn forks(context: &Context, asked: Option<u16>) -> usize {
    let config = &context.settings.config;
    match (asked, config.forks.told()) {
        (Some(asked), _) => usize::from(asked),
        (None, Some(told)) => usize::try_from(*told).unwrap_or(1).max(1),
        (None, None) if context.global.shim => RunOptions::ordinary().forks,
        (None, None) => usize::from(FORKS),
    }
}

fn verbosity(context: &Context, asked: u8) -> u8 {
    asked.max(u8::try_from(*context.settings.config.verbosity).unwrap_or(0))
}

/// Says where settings come from, to those who ask to be told more.
fn tell_config(config: &Config, verbosity: u8) {
    if verbosity > 0 {
        match &config.file {
            Some(file) => ui::out(&format!("Using {} as config file\n", file.display())),
            None => ui::out("No config file found; using defaults\n"),
        }
    }
}

/// Tags that were asked for, or those of `ansible.cfg`.
fn tags(asked: &[String], told: &[String]) -> Vec<String> {
    if asked.is_empty() { told.to_vec() } else { asked.to_vec() }
}

/// `updraft play`
pub(crate) async fn play(context: &mut Context, args: &Play) -> Result {
    with_vault(context, &args.vault).await?;
    with_login(context, &args.login).await?;
    let fail = |error: ControlError| match &error {
        // As ansible-playbook: 1 for what is not there or cannot be decrypted, 4 for what cannot be
        // read.
        ControlError::Playbook(faults) => {
            for fault in &faults.0 {
                let text = updraft_control::fault_text(fault);
                ui::say(&context.terminal.paint("0;31", text.trim_end()));
            }
            let elsewhere = |fault: &LoadFault| fault.is_sealed() || fault.is_missing();
            super::Ended(if faults.0.iter().any(elsewhere) { super::FAILED } else { 4 })
        }
        other => fail_hosts(context, other),
    };
    if let Some(fault) = args.playbooks.iter().find_map(|file| no_playbook(file)) {
        ui::say(&context.terminal.paint("0;31", &updraft_control::fault_text(&fault)));
        return Err(super::Ended(super::FAILED));
    }
    let mut settings = context.settings.clone();
    args.connect.apply(&mut settings);
    settings.dialect = args.dialect.unwrap_or(settings.dialect);
    settings.differences = args.dialect_report.then(Arc::default);
    let config = Arc::clone(&settings.config);
    let extra_vars =
        updraft_control::extra_vars(&args.extra_vars, &settings.vault).map_err(fail)?;
    let verbosity = verbosity(context, args.verbose);
    if !args.json {
        tell_config(&config, verbosity);
    }
    let callback = callbacks::main(context, &config, &args.playbooks)?;
    let diff = args.diff || *config.diff_always;
    let mut options = RunOptions {
        extra_vars,
        tags: tags(&args.tags, &config.run_tags),
        skip_tags: tags(&args.skip_tags, &config.skip_tags),
        limit: args.limit.clone(),
        check: args.check,
        diff,
        forks: forks(context, args.forks),
        force_handlers: args.force_handlers || *config.force_handlers,
        start_at: args.start_at_task.clone(),
        flush_cache: args.flush_cache,
        step: args.step,
        debugger: *config.task_debugger,
        explain: !context.global.shim,
        verbosity,
        brief: verbosity == 0 && !args.json && callback == Callback::Default,
        settled: !args.json && callback.wants_settled(),
        ..run_options(context, &args.become_, args.user.as_ref(), args.connection.as_ref()).await?
    };
    settings.remote_user.clone_from(&options.remote_user);
    let found = hosts(context, &args.inventory, &options.extra_vars)
        .map_err(|error| fail_hosts(context, &error))?;
    if found.sessions.is_none() {
        let sources = sources(context, &args.inventory);
        options.refresh = Some(refresh(sources, &settings, &options.extra_vars));
    }
    let (_, warnings) =
        updraft_control::targets(&found.inventory, "all", args.limit.as_deref(), &config)
            .map_err(fail)?;
    if context.global.shim {
        warnings.iter().for_each(|warning| context.terminal.warn(warning));
    }
    let screen = ScreenOptions {
        verbosity,
        colour: context.terminal.colour_err && !args.json,
        width: context.terminal.width_of_out().map_or(79, |columns| (columns - 1).max(79)),
        dialect: settings.dialect,
        show: Show {
            ok_hosts: *config.display_ok_hosts,
            skipped_hosts: *config.display_skipped_hosts,
            failed_stderr: *config.display_failed_stderr,
            custom_stats: *config.show_custom_stats,
            check_markers: *config.check_mode_markers,
            path_on_failure: *config.show_task_path_on_failure,
            host_starts: *config.show_per_host_start,
            diff_context: usize::try_from(*config.diff_context).unwrap_or(0),
            style: if *config.result_format == "yaml" { Style::Yaml } else { Style::Json },
            pretty: config.pretty_results.told().copied(),
            details: *config.debug,
        },
    };
    let request = PlayRequest {
        playbooks: args.playbooks.clone(),
        inventory: found.inventory,
        options,
        screen,
        callback,
        extras: callbacks::extras(context, &config),
        log_verbosity: u8::try_from(*config.log_verbosity).unwrap_or(0),
        log: crate::log::keep,
        syntax_check: args.syntax_check,
        list: PlayListing { hosts: args.list_hosts, tasks: args.list_tasks, tags: args.list_tags },
    };
    let reacher = Reacher::new(&settings, found.sessions);
    let person = Person(context.terminal);
    let audience: Box<dyn Audience> = match context.terminal.is_watched() {
        _ if args.json => Box::new(Lines),
        true if !context.global.shim => Box::new(PlayView::new(context.terminal)),
        _ => Box::new(Plain),
    };
    let machines = found.machines;
    let played =
        updraft_control::play(&request, &reacher, machines, &settings, &person, &*audience).await;
    drop(audience);
    if args.json
        && let Err(ControlError::Playbook(faults)) = &played
    {
        faults.0.iter().for_each(|fault| ui::json_line(&fault.to_json()));
    }
    let recap = played.map_err(fail)?;
    let differences = settings.differences.as_ref().map(|found| found.all());
    if args.json {
        let mut told = recap.to_json();
        if let Some(differences) = &differences {
            told["dialects"] = differences.iter().map(Difference::to_json).collect();
        }
        told["event"] = "recap".into();
        ui::json_line(&told);
    } else if let Some(differences) = &differences {
        ui::say(&report(differences));
    }
    Ok(recap.exit_code())
}

/// What is said of a playbook that is not there.
fn no_playbook(file: &Utf8Path) -> Option<LoadFault> {
    let what = match file.metadata() {
        Err(_) => "could not be found",
        Ok(found) if found.is_dir() => "does not appear to be a file",
        Ok(_) => return None,
    };
    Some(LoadFault::bare(format!("the playbook: {file} {what}")))
}

/// The lines that the dialects read differently, as people read them.
fn report(differences: &[Difference]) -> String {
    let mut text = match differences {
        [] => "Both dialects read everything that was come by alike.".to_owned(),
        _ => "Read differently:".to_owned(),
    };
    for found in differences {
        let at = found.at.as_ref().map_or_else(String::new, |at| format!("{at}  "));
        let source = found.text.lines().next().unwrap_or_default();
        text += &format!(
            "\n  {at}{source}\n      2.14: {}\n      2.19: {}",
            found.core214, found.core219
        );
    }
    text
}

/// Something in the files of an inventory: told with its place.
fn fail_told(context: &Context, faults: &updraft_control::Faults) -> super::Ended {
    for fault in &faults.0 {
        let text = updraft_control::fault_text(fault);
        ui::say(&context.terminal.paint("0;31", text.trim_end()));
    }
    super::Ended(super::FAILED)
}

/// Hosts cannot be known: 1 for Ansible's own commands.
fn fail_hosts(context: &Context, error: &ControlError) -> super::Ended {
    let ended = context.fail_control(error);
    if context.global.shim { super::Ended(super::FAILED) } else { ended }
}

/// `updraft exec -m MODULE`, which is `ansible`
pub(crate) async fn ad_hoc(context: &mut Context, args: &Exec) -> Result {
    let asked: &AdHoc = &args.ad_hoc;
    with_vault(context, &asked.vault).await?;
    let mut settings = context.settings.clone();
    let config = Arc::clone(&settings.config);
    let only = args.ansible.as_ref();
    if let Some(only) = only {
        only.connect.apply(&mut settings);
    }
    let fail = |error: ControlError| fail_hosts(context, &error);
    let extra_vars =
        updraft_control::extra_vars(&asked.extra_vars, &settings.vault).map_err(fail)?;
    let verbosity = verbosity(context, asked.verbose);
    tell_config(&config, verbosity);
    let found = hosts(context, &args.hosts.inventory, &extra_vars).map_err(fail)?;
    if verbosity > 2 {
        found.inventory.notes.iter().for_each(|note| ui::say(note));
    }
    let limit = asked.limit.as_deref();
    let names = match updraft_control::targets(&found.inventory, &args.pattern, limit, &config) {
        Ok((names, warnings)) => {
            warnings.iter().for_each(|warning| context.terminal.warn(warning));
            names
        }
        Err(error) if asked.limit.is_some() => return Err(fail(error)),
        Err(_) => {
            context.terminal.warn("No hosts matched, nothing to do");
            Vec::new()
        }
    };
    if asked.list_hosts {
        ui::out(&format!("  hosts ({}):\n", names.len()));
        names.iter().for_each(|name| ui::out(&format!("    {name}\n")));
        return Ok(0);
    }
    let module = asked.module.clone().unwrap_or_else(|| config.module_name.value.clone());
    let callback = config.stdout_callback.as_str();
    let one_line = asked.one_line || (*config.ad_hoc_callbacks && callback == "oneline");
    let diff = asked.diff || *config.diff_always;
    let shim_forks = only.map(|only| only.forks);
    let options = RunOptions {
        extra_vars,
        limit: asked.limit.clone(),
        check: asked.check,
        diff,
        forks: forks(context, shim_forks.unwrap_or(Some(args.hosts.forks))),
        flush_cache: only.is_some_and(|only| only.flush_cache),
        verbosity,
        ..run_options(context, &asked.become_, asked.user.as_ref(), asked.connection.as_ref())
            .await?
    };
    settings.remote_user.clone_from(&options.remote_user);
    let request = AdHocRequest {
        pattern: args.pattern.clone(),
        screen: MinimalOptions {
            module: module.clone(),
            verbosity,
            colour: context.terminal.colour_err,
            one_line,
            diff_context: usize::try_from(*config.diff_context).unwrap_or(0),
            dialect: settings.dialect,
        },
        module,
        args: asked.module_args.clone().or_else(|| config.module_args.value.clone()),
        background: asked.background,
        poll: asked.poll.unwrap_or_else(|| u64::try_from(*config.poll_interval).unwrap_or(15)),
        timeout: asked.task_timeout,
        dir: match &asked.playbook_dir {
            Some(dir) => dir.clone().into_std_path_buf(),
            None => std::path::PathBuf::from("."),
        },
        inventory: found.inventory,
        options,
        tree: asked.tree.clone().map(camino::Utf8PathBuf::into_std_path_buf),
    };
    if let Some(fault) = request.fault() {
        return Err(super::vault::fail(context, &updraft_control::VaultFault::Usage(fault)));
    }
    if names.is_empty() {
        return Ok(0);
    }
    let reacher = Reacher::new(&settings, found.sessions);
    let person = Person(context.terminal);
    let tell: fn(&str) = |text| ui::say(text.trim_end_matches('\n'));
    let ran = updraft_control::ad_hoc(
        &request,
        &reacher,
        found.machines,
        &settings,
        &person,
        updraft_control::Streams { out: ui::out, err: tell },
    );
    match ran.await {
        Ok(recap) => Ok(recap.exit_code()),
        // What a module says before it is sent, it says for every host.
        Err(ControlError::Playbook(faults)) => {
            for fault in &faults.0 {
                let text = updraft_control::fault_text(fault);
                ui::say(&context.terminal.paint("0;31", text.trim_end()));
            }
            let error = ControlError::Playbook(faults);
            let told = serde_json::json!({"changed": false, "msg": error.to_string()});
            let told = Listing::json_text(&told);
            names.iter().for_each(|name| ui::out(&format!("{name} | FAILED! => {told}")));
            Ok(2)
        }
        Err(error) => Err(fail(error)),
    }
}

/// `updraft inventory`
pub(crate) async fn inventory(context: &mut Context, args: &Inventory) -> Result {
    with_vault(context, &args.vault).await?;
    let fail = |error: ControlError| fail_hosts(context, &error);
    let usage = |text: &str| {
        super::vault::fail(context, &updraft_control::VaultFault::Usage(text.to_owned()))
    };
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
    let actions = [form.list, form.graph, form.host.is_some()];
    if actions.iter().filter(|asked| **asked).count() > 1 {
        return Err(usage(
            "Conflicting options used, only one of --host, --graph or --list can be used at the same time.",
        ));
    }
    if !actions.contains(&true) {
        return Err(usage(
            "No action selected, at least one of --host, --graph or --list needs to be specified.",
        ));
    }
    let extra_vars =
        updraft_control::extra_vars(&args.extra_vars, &context.settings.vault).map_err(fail)?;
    let inventory = if sources(context, &args.inventory).is_empty() {
        context.site()?.inventory().map_err(fail)?
    } else {
        hosts(context, &args.inventory, &extra_vars).map_err(fail)?.inventory
    };
    let limit = match &args.limit {
        Some(limit) if form.list => {
            let all = inventory.hosts().map(str::to_owned).collect();
            let kept = inventory.limited(all, limit);
            Some(kept.map_err(|what| fail(ControlError::Targets(what)))?.into_iter().collect())
        }
        _ => None,
    };
    let options = ListingOptions {
        export: args.export,
        limit,
        extra_vars,
        playbook_dir: args.playbook_dir.clone().map(camino::Utf8PathBuf::into_std_path_buf),
    };
    let listing = Listing::new(&inventory, &context.settings.vault, options)
        .map_err(|faults| fail(ControlError::Playbook(faults)))?;
    let text = match &form.host {
        Some(name) => {
            let vars = listing
                .host(name)
                .ok_or_else(|| usage("You must pass a single valid host to --host parameter"))?;
            match args.yaml {
                true => Listing::yaml_text(&vars),
                false => Listing::json_text(&vars.to_json()),
            }
        }
        None if form.graph => listing
            .graph(&args.group, args.vars)
            .map_err(|faults| fail_told(context, &faults))?
            .ok_or_else(|| usage("Pattern must be valid group name when using --graph"))?,
        None if args.yaml => Listing::yaml_text(&listing.tree()),
        None if args.toml => listing.toml_text().map_err(|what| usage(&what))?,
        None => Listing::json_text(&listing.list()),
    };
    match &args.output {
        Some(file) => std::fs::write(file, text).map_err(|error| {
            let told = format!("Unable to write to destination file '{file}': {error}");
            context.terminal.complain_text(&told, None);
            super::Ended(super::FAILED)
        })?,
        None => ui::out(&text),
    }
    Ok(0)
}
