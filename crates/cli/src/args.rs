//! The command line as it is written. What it means is decided elsewhere.

mod ad_hoc;
mod images;
mod vault;

pub(crate) use images::{Build as ImageBuild, Image, Test as ImageTest};

pub(crate) use ad_hoc::{AdHoc, AnsibleOnly, Become, Connect, Login};
pub(crate) use vault::{EncryptString, Vault, VaultCommon, VaultOptions};

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use updraft_control::Dialect;

/// Lift machines from nothing to running services: one file says what a site should be, `up`
/// makes it so.
#[derive(Debug, Parser)]
#[command(
    name = "updraft",
    version,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 something failed, 2 the site file or the command line is \
                  wrong, 3 changes are pending (plan --detailed-exitcode).\n\n\
                  Start with `updraft init`, or with examples/hello: `cd examples/hello && updraft up`."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Work in this directory.
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true)]
    pub(crate) directory: Option<Utf8PathBuf>,
    /// The site file.
    #[arg(long = "site", value_name = "FILE", default_value = "updraft.yaml", global = true)]
    pub(crate) site: Utf8PathBuf,
    /// Colour: `auto` on a terminal alone.
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub(crate) color: Color,
    /// Called by the name of one of Ansible's commands.
    #[arg(skip)]
    pub(crate) shim: bool,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a first site file here.
    #[command(
        after_help = "Examples:\n  updraft init\n  updraft init --name shop\n  mkdir -p ~/sites/shop && updraft -C ~/sites/shop init"
    )]
    Init(Init),
    /// Check the site file and every play it names; change nothing.
    #[command(
        after_help = "Examples:\n  updraft check\n  updraft check --json\n  updraft --site prod.yaml check"
    )]
    Check(Json),
    /// Print the JSON Schema of the site file.
    #[command(after_help = "Example:\n  updraft schema > updraft.schema.json")]
    Schema,
    /// Show what `up` would do; change nothing.
    #[command(
        after_help = "Examples:\n  updraft plan\n  updraft plan -o tonight.plan && updraft up tonight.plan\n  updraft plan --json | jq '.changes[] | select(.kind == \"destroy\")'\n  updraft plan --detailed-exitcode    # 0 nothing to do, 3 changes pending"
    )]
    Plan(Plan),
    /// Make the world match the site file, or apply a saved plan.
    #[command(
        after_help = "Examples:\n  updraft up\n  updraft up --yes            # do not ask before destroying something\n  updraft up tonight.plan     # exactly this plan, or nothing"
    )]
    Up(Up),
    /// Power every machine off. Disks and identities stay; `up` starts them again.
    #[command(after_help = "Example:\n  updraft down")]
    Down(Run),
    /// Remove every machine, disk and network of the site, and its state.
    #[command(after_help = "Examples:\n  updraft destroy\n  updraft destroy --yes")]
    Destroy(Confirm),
    /// Show how the site stands.
    #[command(
        after_help = "Examples:\n  updraft status\n  updraft status --json | jq '.machines[].name'"
    )]
    Status(Json),
    /// Show past runs, or the steps of one.
    #[command(
        after_help = "Examples:\n  updraft log\n  updraft log last           # the steps of the newest run; of another one, by a part of its id\n  updraft log last --json"
    )]
    Log(Log),
    /// Check what Updraft needs on this computer, and list everything it keeps here.
    #[command(after_help = "Examples:\n  updraft doctor\n  updraft doctor --json")]
    Doctor(Json),
    /// Log in to a machine of the site.
    #[command(
        after_help = "Examples:\n  updraft ssh worker-1\n  updraft ssh worker-1 -- sudo journalctl -u hello\n  updraft ssh ops@worker-1"
    )]
    Ssh(Ssh),
    /// Run a command on machines, many at a time.
    #[command(
        after_help = "Examples:\n  updraft exec all -- uptime\n  updraft exec 'worker:!worker-2' -- systemctl restart hello\n  updraft exec -i hosts.ini 'web[0:4]' --shell 'df -h / | tail -1'\n  updraft exec -i hosts.ini web -m service -a 'name=nginx state=restarted' -b"
    )]
    Exec(Box<Exec>),
    /// See which machines answer.
    #[command(after_help = "Examples:\n  updraft ping\n  updraft ping -i hosts.ini web")]
    Ping(Ping),
    /// Take away the agent that commands brought to hosts of an inventory.
    #[command(subcommand)]
    Agent(Agent),
    /// Copy a file to or from machines.
    #[command(
        after_help = "Examples:\n  updraft cp app.conf worker:/etc/app.conf    # to each machine of the group\n  updraft cp worker-1:/etc/os-release .\n  updraft cp -i hosts.ini motd all:/etc/motd"
    )]
    Cp(Cp),
    /// Run Ansible playbooks, on the site's machines or on an inventory's hosts.
    #[command(
        after_help = "Examples:\n  updraft play site.yml -i hosts\n  updraft play plays/worker.yaml --limit worker-1 --check --diff\n  updraft play site.yml -i hosts --tags web -e version=2\n  updraft play site.yml --json | jq 'select(.event == \"failed\") | .host, .causes, .variables'"
    )]
    Play(Box<Play>),
    /// Print the site as an Ansible inventory. A script that runs this is one for `ansible -i`.
    #[command(
        after_help = "Examples:\n  updraft inventory --list\n  updraft inventory --host worker-1\n  updraft inventory -i hosts.ini --graph --vars web\n  updraft inventory --ssh-config > ~/.ssh/config.d/hello\n  updraft inventory --hosts | sudo tee -a /etc/hosts"
    )]
    Inventory(Inventory),
    /// Encrypt, decrypt, show and edit files and values, as ansible-vault does.
    #[command(subcommand)]
    Vault(Vault),
    /// Install roles and collections, from files, folders and git.
    #[command(subcommand)]
    Galaxy(Galaxy),
    /// Start, stop and watch single machines.
    #[command(subcommand)]
    Machine(Machine),
    /// Deploy, start, stop and test services.
    #[command(subcommand)]
    Service(Service),
    /// Build, list, test, carry and remove images.
    #[command(subcommand)]
    Image(Image),
    /// Print completions for a shell.
    #[command(after_help = "Example:\n  updraft completions bash > /etc/bash_completion.d/updraft")]
    Completions {
        /// Shell.
        shell: clap_complete::Shell,
    },
    /// Have a machine go on when whoever holds a lock is killed; started by ourselves.
    #[command(hide = true)]
    Guard {
        /// The lock.
        lock: Utf8PathBuf,
        /// The monitor of the machine's QEMU.
        monitor: Utf8PathBuf,
    },
    /// Keep connections to hosts for later commands; started by ourselves.
    #[command(hide = true)]
    Keep {
        /// Where commands ask.
        socket: Utf8PathBuf,
        /// How long a connection is kept that nobody uses.
        #[arg(value_parser = updraft_base::span::parse)]
        idle: std::time::Duration,
    },
}

/// What `ansible-galaxy` is for.
#[derive(Subcommand, Debug)]
pub(crate) enum Galaxy {
    /// Install what a requirements file or the command line names.
    #[command(
        after_help = "A name that only a galaxy server knows is refused: fetch its archive first.\n\nExamples:\n  updraft galaxy install -r requirements.yml\n  updraft galaxy install ./web.tar.gz git+https://example.com/ansible-role-db.git,v2,db\n  updraft galaxy install --collection ./acme-tools-1.0.0.tar.gz -p roles"
    )]
    Install(GalaxyInstall),
}

#[derive(Args, Debug)]
pub(crate) struct GalaxyInstall {
    /// Roles: a file, a folder or a git repository, as `SOURCE[,VERSION[,NAME]]`.
    pub(crate) roles: Vec<String>,
    /// A requirements file; may be given again.
    #[arg(short, long = "role-file", visible_alias = "requirements-file", value_name = "FILE")]
    pub(crate) requirements: Vec<PathBuf>,
    /// A collection: a file, a folder or a git repository; may be given again.
    #[arg(short, long = "collection", value_name = "SOURCE")]
    pub(crate) collections: Vec<String>,
    /// Folder for roles; the first of Ansible's own by default.
    #[arg(short = 'p', long, value_name = "DIR")]
    pub(crate) roles_path: Option<PathBuf>,
    /// Folder for collections; the first of Ansible's own by default.
    #[arg(long, value_name = "DIR")]
    pub(crate) collections_path: Option<PathBuf>,
    /// Replace what is there.
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Of requirements files, only what this is.
    #[arg(skip)]
    pub(crate) only: Option<updraft_control::Thing>,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Json {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Name of the site; the directory's by default.
    #[arg(long)]
    pub(crate) name: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// Save the plan: `updraft up FILE` then applies exactly it.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<Utf8PathBuf>,
    /// Print the plan as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit with 3 when there is something to do.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Run {
    /// How many steps run at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) width: u16,
    /// Tell each step's progress, line by line.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Show at the end where the time went: each step with its phases.
    #[arg(long)]
    pub(crate) timings: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Confirm {
    /// Do not ask before destroying something.
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Args, Debug)]
pub(crate) struct Up {
    /// A plan saved by `updraft plan -o`.
    #[arg(value_name = "PLAN")]
    pub(crate) plan: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
}

#[derive(Args, Debug)]
pub(crate) struct Log {
    /// A run: its id, the beginning or end of it, or `last`.
    pub(crate) run: Option<String>,
    /// How many runs to show.
    #[arg(short = 'n', long, default_value_t = 20)]
    pub(crate) limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Ssh {
    /// Machine, with the account before an `@` if it is not root.
    pub(crate) machine: String,
    /// Command to run there instead of a shell.
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
}

/// Which machines, out of which list.
#[derive(Args, Clone, Debug)]
pub(crate) struct Hosts {
    /// Inventory: file, directory, script or `host,host`. The site's machines when not given.
    #[arg(short, long, value_name = "INVENTORY")]
    pub(crate) inventory: Vec<String>,
    /// How many machines at once.
    #[arg(short = 'F', long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) forks: u16,
}

#[derive(Args, Debug)]
pub(crate) struct Exec {
    /// Machines and groups, as Ansible writes them: `web:&staging:!web3`, `web[1:5]`, `all`.
    pub(crate) pattern: String,
    #[command(flatten)]
    pub(crate) hosts: Hosts,
    /// Run this text through /bin/sh.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["command", "module", "module_args"])]
    pub(crate) shell: Option<String>,
    /// Give up on a machine after this.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = updraft_base::span::parse)]
    pub(crate) timeout: std::time::Duration,
    /// Print the answers as JSON when all are in.
    #[arg(long)]
    pub(crate) json: bool,
    /// Command and its arguments.
    #[arg(
        last = true,
        required_unless_present_any = ["shell", "module", "module_args", "list_hosts"],
        conflicts_with_all = ["module", "module_args"]
    )]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) ad_hoc: AdHoc,
    /// What `ansible` takes and `updraft exec` takes in its own way.
    #[arg(skip)]
    pub(crate) ansible: Option<AnsibleOnly>,
}

impl Exec {
    /// Is a module asked for, and not a command?
    pub(crate) fn is_ad_hoc(&self) -> bool {
        let asked = &self.ad_hoc;
        self.ansible.is_some()
            || asked.module.is_some()
            || asked.module_args.is_some()
            || asked.list_hosts
    }
}

#[derive(Args, Debug)]
pub(crate) struct Ping {
    /// Machines and groups, as Ansible writes them.
    #[arg(default_value = "all")]
    pub(crate) pattern: String,
    #[command(flatten)]
    pub(crate) hosts: Hosts,
    /// Give up on a machine after this.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = updraft_base::span::parse)]
    pub(crate) timeout: std::time::Duration,
    /// Print the answers as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Remove the agent and all that it keeps from hosts; the next play brings it again.
    #[command(
        after_help = "Examples:\n  updraft agent rm -i hosts.ini\n  updraft agent rm -i hosts.ini 'web:!web3' --json"
    )]
    Rm(AgentRm),
}

#[derive(Args, Debug)]
pub(crate) struct AgentRm {
    /// Hosts and groups, as Ansible writes them.
    #[arg(default_value = "all")]
    pub(crate) pattern: String,
    #[command(flatten)]
    pub(crate) hosts: Hosts,
    /// Give up on a host after this.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = updraft_base::span::parse)]
    pub(crate) timeout: std::time::Duration,
    /// Print what was removed as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Cp {
    /// File here, or `PATTERN:PATH` there.
    pub(crate) from: String,
    /// File or directory here, or `PATTERN:PATH` there.
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) hosts: Hosts,
}

#[derive(Args, Debug)]
pub(crate) struct Play {
    /// Playbooks.
    #[arg(required = true)]
    pub(crate) playbooks: Vec<Utf8PathBuf>,
    /// Inventory: file, directory, script or `host,host`. The site's machines when not given.
    #[arg(short, long, visible_alias = "inventory-file", value_name = "INVENTORY")]
    pub(crate) inventory: Vec<String>,
    /// Only these hosts.
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) limit: Option<String>,
    /// Variables: `key=value`, JSON, or `@file`.
    #[arg(short, long, value_name = "VARS")]
    pub(crate) extra_vars: Vec<String>,
    /// Only tasks with these tags.
    #[arg(short, long, value_name = "TAGS", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,
    /// No tasks with these tags.
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub(crate) skip_tags: Vec<String>,
    /// Say what would change, change nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// Show how files change.
    #[arg(short = 'D', long)]
    pub(crate) diff: bool,
    /// How many hosts at once: 25 when nothing is said.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) forks: Option<u16>,
    #[command(flatten)]
    pub(crate) become_: Become,
    #[command(flatten)]
    pub(crate) connect: Connect,
    #[command(flatten)]
    pub(crate) login: Login,
    /// How to reach hosts that say nothing of it: ssh, local.
    #[arg(short, long, value_name = "WAY")]
    pub(crate) connection: Option<String>,
    /// Run notified handlers on hosts that failed, too.
    #[arg(long)]
    pub(crate) force_handlers: bool,
    /// Log in as this user.
    #[arg(short, long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Tell more: -v results, -vv and more as Ansible does.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(flatten)]
    pub(crate) vault: VaultOptions,
    /// Begin at the task of this name; wildcards may stand in it.
    #[arg(long, value_name = "TASK")]
    pub(crate) start_at_task: Option<String>,
    /// Ask before each task.
    #[arg(long)]
    pub(crate) step: bool,
    /// Forget the facts of hosts that earlier runs kept (`fact_caching` of ansible.cfg).
    #[arg(long)]
    pub(crate) flush_cache: bool,
    /// Understand playbooks as this ansible-core does: 2.14 or 2.19, which is the usual.
    #[arg(long, value_name = "VERSION")]
    pub(crate) dialect: Option<Dialect>,
    /// Then tell each line that was come by and that the other dialect reads differently.
    #[arg(long)]
    pub(crate) dialect_report: bool,
    /// Only check that the playbooks can be read.
    #[arg(long)]
    pub(crate) syntax_check: bool,
    /// Only list the tasks that are known before a run.
    #[arg(long)]
    pub(crate) list_tasks: bool,
    /// Only list the tags of these tasks.
    #[arg(long)]
    pub(crate) list_tags: bool,
    /// Only list the hosts each play would run on.
    #[arg(long)]
    pub(crate) list_hosts: bool,
    /// Print what happens as JSON, an object a line; the recap is the last.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct InventoryForm {
    /// Groups, hosts and variables as JSON, as Ansible expects of a script.
    #[arg(long)]
    pub(crate) list: bool,
    /// Variables of one host as JSON.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Groups within groups, and their hosts.
    #[arg(long)]
    pub(crate) graph: bool,
    /// Configuration for ssh.
    #[arg(long)]
    pub(crate) ssh_config: bool,
    /// Lines for /etc/hosts.
    #[arg(long)]
    pub(crate) hosts: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Inventory {
    #[command(flatten)]
    pub(crate) form: InventoryForm,
    /// The group that --graph begins with.
    #[arg(value_name = "GROUP", default_value = "all")]
    pub(crate) group: String,
    /// Print YAML instead of JSON.
    #[arg(short = 'y', long)]
    pub(crate) yaml: bool,
    /// Print TOML instead of JSON.
    #[arg(long, conflicts_with = "yaml")]
    pub(crate) toml: bool,
    /// Show variables in the graph.
    #[arg(long)]
    pub(crate) vars: bool,
    /// Give variables where they were set, not everything with each host.
    #[arg(long)]
    pub(crate) export: bool,
    /// Write to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<Utf8PathBuf>,
    /// Only these hosts.
    #[arg(short, long, value_name = "PATTERN", allow_hyphen_values = true)]
    pub(crate) limit: Option<String>,
    /// Variables: `key=value`, JSON, or `@file`.
    #[arg(short, long, value_name = "VARS")]
    pub(crate) extra_vars: Vec<String>,
    /// Variables beside the playbooks of this directory too.
    #[arg(long, value_name = "DIR")]
    pub(crate) playbook_dir: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) vault: VaultOptions,
    /// Read this inventory instead of the site.
    #[arg(short, long, visible_alias = "inventory-file", value_name = "INVENTORY")]
    pub(crate) inventory: Vec<String>,
    /// Tell more.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Machine {
    /// Power machines on and wait until they answer.
    #[command(after_help = "Example:\n  updraft machine start worker-2")]
    Start(Machines),
    /// Power machines off.
    #[command(after_help = "Example:\n  updraft machine stop worker-2")]
    Stop(Machines),
    /// Give one machine more or less memory and CPUs, or a larger disk.
    #[command(
        after_help = "A disk grows while its machine runs and never shrinks; memory and CPUs change with a restart: out of the balancers, off, on, tested, back in.\n\nThe site file stays as it is: the next `up` gives the machine what its group says there. Write the new values into the group to keep them, or to give them to all of its machines.\n\nExamples:\n  updraft machine resize db-1 --disk 20GiB\n  updraft machine resize worker-2 --memory 1GiB --cpus 2"
    )]
    Resize(Resize),
    /// Make machines from a machine that runs, each with an identity of its own.
    ///
    /// They have the machine's disk as it is now. They are not in the site file: `up` keeps them and
    /// has them run, no play configures them, and they serve behind no balancer.
    #[command(
        after_help = "Examples:\n  updraft machine clone worker-1                  # worker-1-clone-1\n  updraft machine clone worker-1 --as rehearsal\n  updraft machine clone worker-1 --count 3\n  updraft machine destroy rehearsal"
    )]
    Clone(Clone),
    /// Remove a clone with its disk.
    #[command(after_help = "Example:\n  updraft machine destroy worker-1-clone-1")]
    Destroy {
        /// Clone.
        machine: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Take a snapshot of a machine: of its disk, and of its memory if asked for.
    ///
    /// A machine that runs goes on running: its agent holds its disk still for some milliseconds.
    #[command(
        after_help = "Examples:\n  updraft machine snapshot worker-1\n  updraft machine snapshot worker-1 --label nightly --keep 7\n  updraft machine snapshot worker-1 --memory --label before-upgrade"
    )]
    Snapshot(Snapshot),
    /// List snapshots.
    #[command(
        after_help = "Examples:\n  updraft machine snapshots\n  updraft machine snapshots worker-1 --json"
    )]
    Snapshots {
        /// Machine; all of them when not given.
        machine: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Bring a machine back to a snapshot. What it wrote since is lost; the snapshot stays.
    #[command(
        after_help = "Examples:\n  updraft machine revert worker-1 last\n  updraft machine revert worker-1 k3f9qa --yes"
    )]
    Revert {
        /// Machine.
        machine: String,
        /// Snapshot: its name, a label that only one has, or `last`.
        snapshot: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Remove a snapshot.
    #[command(after_help = "Example:\n  updraft machine drop worker-1 k3f9qa")]
    Drop {
        /// Machine.
        machine: String,
        /// Snapshot: its name, a label that only one has, or `last`.
        snapshot: String,
        #[command(flatten)]
        run: Run,
    },
    /// Attach to a machine's console. Ctrl-] leaves it.
    #[command(
        after_help = "Examples:\n  updraft machine console worker-1\n  updraft machine console worker-1 --log     # what it printed so far"
    )]
    Console {
        /// Machine.
        machine: String,
        /// Print what the console printed so far, and leave.
        #[arg(long)]
        log: bool,
    },
}

#[derive(Args, Debug)]
#[group(id = "shape", required = true, multiple = true, args = ["memory", "cpus", "disk"])]
pub(crate) struct Resize {
    /// Machine.
    pub(crate) machine: String,
    /// Memory, at least 64MiB.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<updraft_base::ByteSize>,
    /// Virtual CPUs.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(crate) cpus: Option<u32>,
    /// Disk, at least what it has.
    #[arg(long, value_name = "SIZE")]
    pub(crate) disk: Option<updraft_base::ByteSize>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Args, Debug)]
pub(crate) struct Clone {
    /// Machine.
    pub(crate) machine: updraft_base::MachineName,
    /// Name of the clone.
    #[arg(long = "as", value_name = "NAME", conflicts_with = "count")]
    pub(crate) name: Option<updraft_base::MachineName>,
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) count: u16,
    /// With its memory: each goes on where the machine is, and boots nothing.
    #[arg(long)]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Args, Debug)]
pub(crate) struct Snapshot {
    /// Machine.
    pub(crate) machine: String,
    /// What to call it; several may have one label.
    #[arg(long, value_name = "TEXT", value_parser = label)]
    pub(crate) label: Option<String>,
    /// Keep memory and devices too: the machine goes on from there, and boots nothing.
    #[arg(long)]
    pub(crate) memory: bool,
    /// Keep so many with this label, this one among them: older ones are removed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) keep: Option<u16>,
    #[command(flatten)]
    pub(crate) run: Run,
}

/// A label is one short line that is not mistaken for anything else.
fn label(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) {
        return Err("a label has 1 to 64 bytes and no control characters".to_owned());
    }
    match text == "last" {
        true => Err("`last` means the newest snapshot".to_owned()),
        false => Ok(text.to_owned()),
    }
}

#[derive(Args, Debug)]
pub(crate) struct Machines {
    /// Machines and groups, as Ansible writes them.
    pub(crate) pattern: String,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Args, Debug)]
pub(crate) struct ServiceRun {
    /// Service.
    pub(crate) service: String,
    /// Only on these machines.
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) limit: Option<String>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Deploy a service's version again, machine by machine.
    #[command(
        after_help = "Examples:\n  updraft service deploy hello\n  updraft service deploy hello --limit worker-2"
    )]
    Deploy(ServiceRun),
    /// Start a service.
    #[command(after_help = "Example:\n  updraft service start hello")]
    Start(ServiceRun),
    /// Stop a service, out of its balancer first.
    #[command(after_help = "Example:\n  updraft service stop hello --limit worker-2")]
    Stop(ServiceRun),
    /// Test a service on each of its machines.
    #[command(
        after_help = "Examples:\n  updraft service test hello\n  updraft service test --json hello"
    )]
    Test {
        /// Service; all of them when not given.
        service: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
