//! One function per command: from arguments to an exit code.

mod callbacks;
mod change;
mod files;
mod galaxy;
mod hosts;
mod images;
mod logs;
mod machines;
mod plays;
mod read;
mod resize;
mod services;
mod snapshots;
mod vault;

use crate::args::{Agent, Cli, Color, Command, Global};
use crate::env;
use crate::ui::Terminal;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use updraft_base::{Blame, Blamed};
use updraft_control::{AgentProgram, Config, ControlError, Here, Settings, SiteControl};
use updraft_host::SystemClock;

/// Something failed: ours, or the world's.
pub(crate) const FAILED: u8 = 1;
/// The site file or the command line is wrong.
pub(crate) const ASKED: u8 = 2;
/// Changes are pending.
pub(crate) const PENDING: u8 = 3;

/// Why a command ended early, with the exit code it ends with.
pub(crate) struct Ended(pub(crate) u8);

/// What a command returns: its exit code, or why it ended early.
pub(crate) type Result<T = u8> = std::result::Result<T, Ended>;

/// What every command has at hand.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) terminal: Terminal,
    pub(crate) settings: Settings,
}

impl Context {
    /// Prints an error; the command ends with the code that fits who is to blame.
    pub(crate) fn fail(&self, error: &(impl Blamed + 'static)) -> Ended {
        self.terminal.complain(error);
        Ended(match error.blame() {
            Blame::Asked => ASKED,
            Blame::World | Blame::Passing | Blame::Bug => FAILED,
        })
    }

    /// As [`Context::fail`], with the excerpts that faults of files come with.
    pub(crate) fn fail_control(&self, error: &ControlError) -> Ended {
        match error {
            ControlError::Site(faults) => {
                eprint_text(&faults.render(self.terminal.colour_err, self.terminal.columns));
                Ended(ASKED)
            }
            other => self.fail(other),
        }
    }

    /// The command line is wrong.
    pub(crate) fn asked(&self, message: &str, hint: Option<&str>) -> Ended {
        self.terminal.complain_text(message, hint);
        Ended(ASKED)
    }

    /// The site file, read and checked.
    pub(crate) fn site(&self) -> Result<SiteControl> {
        if !self.global.site.exists() {
            let message = format!("there is no site file `{}` here", self.global.site);
            return Err(self.asked(
                &message,
                Some(
                    "`updraft init` writes a first one; -C DIR or --site FILE names another place",
                ),
            ));
        }
        SiteControl::open(&self.global.site, self.settings.clone())
            .map_err(|error| self.fail_control(&error))
    }
}

fn eprint_text(text: &str) {
    crate::ui::say(text.trim_end());
}

/// Runs a command to its exit code.
pub(crate) async fn run(cli: Cli) -> u8 {
    let terminal = Terminal::new(cli.global.color).speaking(cli.global.shim);
    if let Some(directory) = &cli.global.directory
        && let Err(error) = std::env::set_current_dir(directory)
    {
        terminal.complain_text(&format!("cannot work in `{directory}`: {error}"), None);
        return ASKED;
    }
    let crash_at = env::crash_at().map(|text| text.parse::<updraft_control::CrashPlan>());
    let crash_at = match crash_at.transpose() {
        Ok(plan) => plan,
        Err(error) => {
            terminal.complain_text(&format!("{}: {error}", env::CRASH_AT), None);
            return ASKED;
        }
    };
    let keep = match env::keep() {
        Ok(keep) => keep,
        Err(error) => {
            terminal.complain_text(&format!("{}: {error}", env::KEEP), None);
            return ASKED;
        }
    };
    let dialect = match env::dialect() {
        Ok(dialect) => dialect,
        Err(error) => {
            terminal.complain_text(&format!("{}: {error}", env::DIALECT), None);
            return ASKED;
        }
    };
    let environment = env::all();
    let config = match config(&environment) {
        Ok(config) => config,
        Err(told) => {
            terminal.complain_text(&told, None);
            return ASKED;
        }
    };
    let terminal = match (*config.force_colour, *config.no_colour) {
        _ if cli.global.color != Color::Auto || !speaks_ansible(&cli.command) => terminal,
        (true, _) => terminal.coloured(true),
        (false, true) => terminal.coloured(false),
        (false, false) => terminal,
    };
    if let Some(path) = config.log_path.as_deref().filter(|_| speaks_ansible(&cli.command))
        && let Err(error) = crate::log::begin(path.as_ref(), &env::login(), Arc::new(SystemClock))
    {
        // As Ansible: what cannot be kept is shown all the same.
        terminal.warn(&format!("log file at '{path}' is not writeable: {error}"));
    }
    config.warnings.iter().for_each(|warning| terminal.warn(warning));
    let settings = Settings {
        home: env::home(),
        store: env::store(),
        runtime: env::runtime(),
        user: env::user(),
        login: env::login(),
        remote_user: None,
        password: None,
        command: command_line(),
        agent: crate::agent::binary().map(AgentProgram::new),
        clock: Arc::new(SystemClock),
        width: 8,
        crash_at,
        keep,
        ssh_auth_sock: env::ssh_auth_sock(),
        module_path: Vec::new(),
        program: Some(format!("/proc/{}/exe", std::process::id()).into()),
        roles_path: updraft_control::roles_path(&config, env::home().as_deref()),
        environment,
        config: Arc::new(config),
        dialect,
        differences: None,
        vault: Arc::default(),
    };
    let mut context = Context { global: cli.global, terminal, settings };
    let ended = match cli.command {
        Command::Init(args) => files::init(&context, &args),
        Command::Check(args) => files::check(&context, args.json),
        Command::Schema => files::schema(),
        Command::Completions { shell } => files::completions(shell),
        Command::Guard { lock, monitor } => {
            let done = updraft_control::guard(lock.as_std_path(), monitor.as_std_path()).await;
            done.map(|()| 0).map_err(|error| context.fail(&error))
        }
        Command::Keep { socket, idle } => {
            let kept = updraft_control::keep(&context.settings, socket.as_std_path(), idle).await;
            kept.map(|()| 0).map_err(|error| context.fail(&error))
        }
        Command::Plan(args) => read::plan(&context, &args).await,
        Command::Status(args) => read::status(&context, args.json).await,
        Command::Doctor(args) => read::doctor(&context, args.json).await,
        Command::Log(args) => logs::log(&context, &args),
        Command::Up(args) => change::up(&context, &args).await,
        Command::Down(args) => change::down(&context, &args).await,
        Command::Destroy(args) => change::destroy(&context, &args).await,
        Command::Ssh(args) => hosts::ssh(&context, &args).await,
        Command::Exec(args) => match plays::with_login(&mut context, &args.ad_hoc.login).await {
            Ok(()) if args.is_ad_hoc() => plays::ad_hoc(&mut context, &args).await,
            Ok(()) => hosts::exec(&context, &args).await,
            Err(ended) => Err(ended),
        },
        Command::Ping(args) => hosts::ping(&context, &args).await,
        Command::Agent(Agent::Rm(args)) => hosts::remove_agents(&context, &args).await,
        Command::Cp(args) => hosts::cp(&context, &args).await,
        Command::Play(args) => plays::play(&mut context, &args).await,
        Command::Inventory(args) => plays::inventory(&mut context, &args).await,
        Command::Vault(command) => vault::vault(&context, &command).await,
        Command::Galaxy(args) => galaxy::galaxy(&context, &args).await,
        Command::Machine(args) => machines::machine(&context, &args).await,
        Command::Service(args) => services::service(&context, &args).await,
        Command::Image(args) => images::image(&context, &args).await,
    };
    match ended {
        Ok(code) | Err(Ended(code)) => code,
    }
}

/// Does Ansible have a command for this, which `log_path` is about?
fn speaks_ansible(command: &Command) -> bool {
    match command {
        Command::Exec(args) => args.is_ad_hoc(),
        Command::Play(_) | Command::Inventory(_) | Command::Vault(_) | Command::Galaxy(_) => true,
        _ => false,
    }
}

/// `ansible.cfg` and the environment.
fn config(env: &BTreeMap<String, String>) -> std::result::Result<Config, String> {
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let home = env::home();
    let here = Here { env, home: home.as_deref(), cwd: &cwd };
    Config::load(&here)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// The command as it was typed, for the journal. No option of ours takes a secret as its value,
/// except variables and arguments of modules, which are left out.
fn command_line() -> String {
    let mut words = vec!["updraft".to_owned()];
    let mut hide = false;
    for word in std::env::args().skip(1) {
        let variables =
            matches!(word.as_str(), "-e" | "-a" | "--args") || word.starts_with("--extra-vars");
        let told = ["--extra-vars=", "--args="].iter().any(|option| word.starts_with(option));
        words.push(match hide || told {
            true => "…".to_owned(),
            false => word,
        });
        hide = variables;
    }
    words.join(" ")
}
