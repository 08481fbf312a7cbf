//! Ansible's commands by their own names: a link to this program that is called `ansible-playbook`
//! takes what that takes, so that scripts run unchanged.

use crate::args::{
    AdHoc, AnsibleOnly, Cli, Color, Command, Exec, Galaxy, GalaxyInstall, Global, Hosts, Inventory,
    Play, Vault,
};
use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use updraft_control::Thing;

/// What `--version` says: scripts look for the version of the language in brackets.
const VERSION: &str = concat!("[core 2.19.14] (updraft ", env!("CARGO_PKG_VERSION"), ")");

/// Runs Ansible playbooks.
#[derive(Debug, Parser)]
#[command(name = "ansible-playbook", version = VERSION, infer_long_args = true)]
struct AnsiblePlaybook {
    #[command(flatten)]
    play: Play,
    /// Say what would change, change nothing.
    // `-C` of ours is a directory, so the option is there once more under this letter alone.
    #[arg(short = 'C', id = "C")]
    c: bool,
}

/// Shows an inventory.
#[derive(Debug, Parser)]
#[command(name = "ansible-inventory", version = VERSION, infer_long_args = true)]
struct AnsibleInventory {
    #[command(flatten)]
    inventory: Inventory,
}

/// Runs one module on many hosts.
#[derive(Debug, Parser)]
#[command(name = "ansible", version = VERSION, infer_long_args = true)]
struct Ansible {
    /// Hosts and groups.
    pattern: String,
    #[command(flatten)]
    ad_hoc: AdHoc,
    #[command(flatten)]
    only: AnsibleOnly,
    /// Say what would change, change nothing.
    #[arg(short = 'C', id = "C")]
    c: bool,
}

impl Ansible {
    fn exec(mut self) -> Exec {
        self.ad_hoc.check |= self.c;
        Exec {
            pattern: self.pattern,
            hosts: Hosts { inventory: self.only.inventory.clone(), forks: 0 },
            shell: None,
            timeout: std::time::Duration::ZERO,
            json: false,
            command: Vec::new(),
            ad_hoc: self.ad_hoc,
            ansible: Some(self.only),
        }
    }
}

/// Encrypts and decrypts.
#[derive(Debug, Parser)]
#[command(name = "ansible-vault", version = VERSION, infer_long_args = true)]
struct AnsibleVault {
    #[command(subcommand)]
    command: Vault,
}

/// Installs roles and collections.
#[derive(Debug, Parser)]
#[command(name = "ansible-galaxy", version = VERSION, infer_long_args = true)]
struct AnsibleGalaxy {
    #[command(subcommand)]
    command: GalaxyCommand,
}

#[derive(Debug, Subcommand)]
enum GalaxyCommand {
    /// Install roles, and with -r the collections of the file as well.
    Install(RoleInstall),
    /// Roles.
    Role {
        #[command(subcommand)]
        command: RoleCommand,
    },
    /// Collections.
    Collection {
        #[command(subcommand)]
        command: CollectionCommand,
    },
}

#[derive(Debug, Subcommand)]
enum RoleCommand {
    /// Install roles.
    Install(RoleInstall),
}

#[derive(Debug, Subcommand)]
enum CollectionCommand {
    /// Install collections.
    Install(CollectionInstall),
}

#[derive(Args, Debug)]
struct RoleInstall {
    /// Roles: a file, a folder or a git repository, as `SOURCE[,VERSION[,NAME]]`.
    roles: Vec<String>,
    /// A requirements file.
    #[arg(short = 'r', long = "role-file", value_name = "FILE")]
    requirements: Vec<PathBuf>,
    /// Folder for roles.
    #[arg(short = 'p', long, value_name = "DIR")]
    roles_path: Option<PathBuf>,
    #[command(flatten)]
    how: GalaxyHow,
}

#[derive(Args, Debug)]
struct CollectionInstall {
    /// Collections: a file, a folder or a git repository.
    collections: Vec<String>,
    /// A requirements file.
    #[arg(short = 'r', long = "requirements-file", value_name = "FILE")]
    requirements: Vec<PathBuf>,
    /// Folder for collections.
    #[arg(short = 'p', long, value_name = "DIR")]
    collections_path: Option<PathBuf>,
    #[command(flatten)]
    how: GalaxyHow,
}

#[derive(Args, Debug)]
struct GalaxyHow {
    /// Replace what is there.
    #[arg(short, long)]
    force: bool,
    /// Tell more.
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

impl RoleInstall {
    fn install(self, only: Option<Thing>) -> GalaxyInstall {
        // As Ansible: who says where roles go means roles alone.
        let only = only.or_else(|| self.roles_path.is_some().then_some(Thing::Role));
        GalaxyInstall {
            roles: self.roles,
            requirements: self.requirements,
            collections: Vec::new(),
            roles_path: self.roles_path,
            collections_path: None,
            force: self.how.force,
            json: false,
            only,
        }
    }
}

impl AnsibleGalaxy {
    fn install(self) -> Galaxy {
        Galaxy::Install(match self.command {
            GalaxyCommand::Install(asked) => asked.install(None),
            GalaxyCommand::Role { command: RoleCommand::Install(asked) } => {
                asked.install(Some(Thing::Role))
            }
            GalaxyCommand::Collection { command: CollectionCommand::Install(asked) } => {
                GalaxyInstall {
                    roles: Vec::new(),
                    requirements: asked.requirements,
                    collections: asked.collections,
                    roles_path: None,
                    collections_path: asked.collections_path,
                    force: asked.how.force,
                    json: false,
                    only: Some(Thing::Collection),
                }
            }
        })
    }
}

/// The command line of this process, by the name that it was called by. Ends the process where the
/// command line is wrong, or asks for help.
pub(crate) fn parse() -> Cli {
    let words: Vec<OsString> = std::env::args_os().collect();
    parsed(&words).unwrap_or_else(|error| error.exit())
}

fn parsed(words: &[OsString]) -> Result<Cli, clap::Error> {
    let called = words.first().and_then(|called| Path::new(called).file_name());
    Ok(match called.and_then(OsStr::to_str) {
        Some("ansible-playbook") => {
            let AnsiblePlaybook { mut play, c } = AnsiblePlaybook::try_parse_from(words)?;
            play.check |= c;
            without_site(Command::Play(Box::new(play)))
        }
        Some("ansible-inventory") => {
            without_site(Command::Inventory(AnsibleInventory::try_parse_from(words)?.inventory))
        }
        Some("ansible") => {
            without_site(Command::Exec(Box::new(Ansible::try_parse_from(words)?.exec())))
        }
        Some("ansible-vault") => {
            without_site(Command::Vault(AnsibleVault::try_parse_from(words)?.command))
        }
        Some("ansible-galaxy") => {
            without_site(Command::Galaxy(AnsibleGalaxy::try_parse_from(words)?.install()))
        }
        _ => Cli::try_parse_from(words)?,
    })
}

/// A command of Ansible's knows nothing of a site file that happens to lie here.
fn without_site(command: Command) -> Cli {
    let global =
        Global { directory: None, site: Utf8PathBuf::new(), color: Color::Auto, shim: true };
    Cli { global, command }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(line: &str) -> (Play, Global) {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        match parsed(&words).unwrap() {
            Cli { command: Command::Play(play), global } => (*play, global),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_link_takes_what_ansibles_command_takes() {
        let (asked, global) = play("/opt/bin/ansible-playbook -CD -i hosts -c local site.yml");
        assert!(asked.check && asked.diff);
        assert_eq!((asked.forks, asked.connection.as_deref()), (None, Some("local")));
        assert_eq!(asked.inventory, ["hosts"]);
        assert_eq!(global.site, "", "it would take the site file that lies here");
        assert_eq!(play("ansible-playbook -f 7 site.yml").0.forks, Some(7));
        let line = "ansible-playbook --inventory-file hosts -T 5 -M mods:more --ssh-extra-args -v --scp-extra-args -l site.yml";
        let asked = play(line).0;
        assert_eq!(
            (asked.inventory.as_slice(), asked.connect.timeout),
            (["hosts".to_owned()].as_slice(), Some(5))
        );
        assert_eq!(asked.connect.ssh_extra_args.as_deref(), Some("-v"));
        assert_eq!(asked.connect.module_path, ["mods", "more"].map(PathBuf::from));
    }

    #[test]
    fn by_our_own_name_the_same_letter_is_a_directory() {
        let (asked, global) = play("updraft -C there play site.yml");
        assert!(!asked.check);
        assert_eq!(global.directory.unwrap(), "there");
        assert_eq!(global.site, "updraft.yaml");
    }

    #[test]
    fn an_ad_hoc_command_is_taken_in_any_order() {
        let words = "ansible --list-hosts -i a, web -m ping -C -b --private-key k".split(' ');
        let words: Vec<OsString> = words.map(OsString::from).collect();
        let Command::Exec(exec) = parsed(&words).unwrap().command else { panic!() };
        assert_eq!((exec.pattern.as_str(), exec.ad_hoc.module.as_deref()), ("web", Some("ping")));
        assert!(exec.is_ad_hoc() && exec.ad_hoc.list_hosts && exec.ad_hoc.check);
        assert!(exec.ad_hoc.become_.become_other);
        assert_eq!(exec.ansible.unwrap().connect.private_key.as_deref(), Some("k"));
    }

    #[test]
    fn options_of_a_vault_stand_before_and_after_texts() {
        let line = "ansible-vault encrypt_string --vault-id a@b -n x text --output f";
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let Command::Vault(Vault::EncryptString(asked)) = parsed(&words).unwrap().command else {
            panic!()
        };
        assert_eq!(
            (asked.texts.as_slice(), asked.names.as_slice()),
            (["text".to_owned()].as_slice(), ["x".to_owned()].as_slice())
        );
        assert_eq!(asked.output.output.as_deref(), Some("f"));
    }

    #[test]
    fn what_is_wrong_is_said_in_the_name_of_the_command() {
        let words = ["ansible-playbook", "--no-such-thing"].map(OsString::from);
        let error = parsed(&words).unwrap_err().to_string();
        assert!(error.contains("Usage: ansible-playbook"), "{error}");
    }
}
