//! Machines that a pattern names, out of the site or of inventories, and ways to each of them.

use crate::ControlError;
use crate::place::Place;
use crate::sessions::{Party, SessionError, Sessions};
use crate::settings::Settings;
use crate::site::SiteControl;
use crate::world::agent_path;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use updraft_base::{Blame, Blamed, MachineName, Secret};
use updraft_host::{Cmd, Host as _, LocalHost};
use updraft_plan::Memory;
use updraft_playbook::config::Config;
use updraft_playbook::inventory::{self, Inventory, Listing, ListingOptions, Reading, Scripts};
use updraft_playbook::value::Dict;
use updraft_remote::{
    AgentBinary, Keeper, Output, Password, RemoteError, Session, Ssh, SshTarget, SshUser,
};
use updraft_site::Site;
use updraft_wire::{Exec, Exit, Request};

/// How long an agent that is there may take to answer the first word.
const HELLO_WITHIN: Duration = Duration::from_secs(20);

/// Why a host could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// A machine of the site.
    #[error(transparent)]
    Machine(#[from] SessionError),
    /// A host of an inventory.
    #[error(transparent)]
    Host(#[from] RemoteError),
    /// A machine of the site that was never made.
    #[error("`{0}` is not made yet")]
    NotMade(MachineName),
    /// The agent of a machine of the site is not taken away.
    #[error("the agent of `{0}` is a part of it: it is how the site reaches it")]
    PartOf(MachineName),
    /// A host said something that makes no sense.
    #[error("cannot tell whether the agent is gone; the host said `{0}`")]
    Unclear(String),
    /// This computer's own agent.
    #[error("cannot start the agent here")]
    Local(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Blamed for ReachError {
    fn blame(&self) -> Blame {
        match self {
            Self::Machine(error) => error.blame(),
            Self::Host(error) => error.blame(),
            Self::PartOf(_) => Blame::Asked,
            Self::Local(_) | Self::NotMade(_) | Self::Unclear(_) => Blame::World,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Machine(error) => error.hint(),
            Self::Host(error) => error.hint(),
            Self::NotMade(_) => Some("`updraft up` makes it".to_owned()),
            Self::PartOf(_) => Some("name hosts of an inventory: `-i`".to_owned()),
            Self::Local(_) | Self::Unclear(_) => None,
        }
    }
}

/// A way to one host.
#[derive(Clone, Debug)]
pub enum Way {
    /// A machine of the site, through its own channel.
    Machine(Party),
    /// None: a machine of the site that was never made. Nothing else of its name is touched.
    NotMade(MachineName),
    /// A host, through SSH.
    Ssh(SshTarget),
    /// This computer.
    Local,
}

/// Reaches hosts and keeps conversations with those that need one.
pub struct Reacher {
    sessions: Option<Arc<Sessions>>,
    ssh: Arc<Ssh>,
    /// Whoever keeps connections for later commands.
    keeper: Option<Keeper>,
    settings: Settings,
    /// The agents that can be brought to hosts: megabytes, so all conversations share them.
    agents: OnceLock<Vec<AgentBinary>>,
}

impl Reacher {
    /// Reaches machines through `sessions`, if there is a site, and hosts through SSH.
    pub fn new(settings: &Settings, sessions: Option<Arc<Sessions>>) -> Self {
        Self {
            sessions,
            ssh: ssh_of(settings),
            keeper: crate::kept::keeper(settings),
            settings: settings.clone(),
            agents: OnceLock::new(),
        }
    }

    fn agents(&self) -> &[AgentBinary] {
        self.agents.get_or_init(|| agents_of(&self.settings))
    }

    /// A conversation with an agent on the host, which is brought there if need be.
    ///
    /// # Errors
    /// When the host cannot be reached, or no agent can be run there.
    pub async fn session(&self, way: &Way) -> Result<Arc<dyn Session>, ReachError> {
        match way {
            Way::Machine(party) => {
                let sessions = self.sessions.as_ref().expect("machines come from a site");
                Ok(sessions.get(party, HELLO_WITHIN).await?)
            }
            Way::Ssh(target) => {
                if let Some(keeper) = self.keeper.as_ref().filter(|_| target.password.is_none())
                    && let Some(kept) = keeper.agent(target).await
                {
                    return Ok(Arc::new(kept?));
                }
                let connection = self.ssh.connect(target).await?;
                Ok(Arc::new(connection.agent(self.agents()).await?))
            }
            Way::NotMade(machine) => Err(ReachError::NotMade(machine.clone())),
            Way::Local => self.local().await,
        }
    }

    /// Has the next conversation with a host begin with a login of its own, which knows the groups
    /// that its user has by then. Conversations that go on are not cut off.
    pub async fn log_in_anew(&self, way: &Way) {
        if let (Way::Ssh(target), Some(keeper)) = (way, &self.keeper) {
            keeper.forget(target).await;
        }
    }

    async fn local(&self) -> Result<Arc<dyn Session>, ReachError> {
        let path =
            agent_path(&self.settings).await.map_err(|error| ReachError::Local(Box::new(error)))?;
        let session =
            updraft_remote::local_session(&LocalHost, &path, &self.settings.environment).await?;
        Ok(Arc::new(session))
    }

    /// Runs a command. On a host of an inventory it needs no agent.
    ///
    /// # Errors
    /// When the host cannot be reached or is lost. A command that fails is no error.
    pub async fn exec(
        &self,
        way: &Way,
        argv: &[String],
        output: &mut dyn Output,
        within: Duration,
    ) -> Result<Exit, ReachError> {
        if let Way::Ssh(target) = way {
            return self.exec_over_ssh(target, &shell_text(argv), output, within).await;
        }
        let exec = Exec {
            argv: argv.to_vec(),
            deadline_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            ..Exec::default()
        };
        Ok(self.session(way).await?.exec(exec, output).await?)
    }

    async fn exec_over_ssh(
        &self,
        target: &SshTarget,
        shell: &str,
        output: &mut dyn Output,
        within: Duration,
    ) -> Result<Exit, ReachError> {
        if let Some(keeper) = self.keeper.as_ref().filter(|_| target.password.is_none())
            && let Some(kept) = keeper.exec(target, shell, output, Some(within)).await
        {
            return Ok(kept?);
        }
        let connection = self.ssh.connect(target).await?;
        let exit = connection.exec(shell, output, Some(within)).await;
        connection.close().await;
        Ok(exit?)
    }

    /// Takes the agent away from a host, with all that it keeps there; how many there were. The next
    /// play brings it again.
    ///
    /// # Errors
    /// When the host cannot be reached, or is a machine of a site: its agent is a part of it.
    pub async fn remove_agent(&self, way: &Way, within: Duration) -> Result<usize, ReachError> {
        let mut said = Said::default();
        match way {
            Way::Ssh(target) => {
                let text = updraft_remote::agent_removal();
                self.exec_over_ssh(target, &text, &mut said, within).await?;
                // The one that was kept runs though its file is gone.
                self.log_in_anew(way).await;
            }
            Way::Local => return Ok(0),
            Way::Machine(party) => return Err(ReachError::PartOf(party.name.clone())),
            Way::NotMade(machine) => return Err(ReachError::NotMade(machine.clone())),
        }
        let text = String::from_utf8_lossy(&said.0);
        text.trim().parse().map_err(|_| ReachError::Unclear(text.trim().to_owned()))
    }

    /// Whether the host answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self, way: &Way, within: Duration) -> Result<(), ReachError> {
        if let Way::Ssh(target) = way {
            return self.exec_over_ssh(target, "exit 0", &mut Silent, within).await.map(drop);
        }
        let session = self.session(way).await?;
        session.call(Request::Ping, within).await.map(drop).map_err(ReachError::from)
    }
}

/// How this user reaches hosts over SSH.
pub(crate) fn ssh_of(settings: &Settings) -> Arc<Ssh> {
    let user = SshUser {
        home: settings.home.clone().unwrap_or_else(|| PathBuf::from("/")),
        name: settings.login.clone(),
        agent: settings.ssh_auth_sock.clone(),
        environment: Vec::new(),
    };
    Ssh::new(Arc::new(LocalHost), user)
}

/// The agents that this program can bring to hosts.
pub(crate) fn agents_of(settings: &Settings) -> Vec<AgentBinary> {
    let ours = settings.agent.as_ref();
    let ours = ours.map(|agent| AgentBinary::new(std::env::consts::ARCH, agent.bytes()));
    ours.into_iter().collect()
}

/// Keeps what a host says.
#[derive(Default)]
struct Said(Vec<u8>);

impl Output for Said {
    fn chunk(&mut self, _stream: updraft_remote::Stream, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

struct Silent;

impl Output for Silent {
    fn chunk(&mut self, _stream: updraft_remote::Stream, _bytes: &[u8]) {}
}

/// Words as one text for a shell that reads them back as they were.
fn shell_text(argv: &[String]) -> String {
    if let [shell, flag, text] = argv
        && shell == "/bin/sh"
        && flag == "-c"
    {
        return text.clone();
    }
    // Only a NUL cannot be quoted, and argv cannot hold one.
    shlex::try_join(argv.iter().map(String::as_str)).unwrap_or_else(|_| argv.join(" "))
}

/// Runs inventory scripts on this computer, in the environment of whoever runs us.
struct LocalScripts<'a>(&'a Settings);

impl Scripts for LocalScripts<'_> {
    fn run(&self, script: &Path, args: &[&str]) -> Result<inventory::Said, String> {
        let cmd = Cmd::new(script).args(args).within(Duration::from_secs(120)).accept_all();
        let cmd = cmd.environment(&self.0.environment);
        let ran = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(LocalHost.run(cmd))
        });
        let output = ran.map_err(|error| {
            let told = updraft_base::chain(&error);
            format!("Failed to execute inventory script command '{}'. {told}", script.display())
        })?;
        if output.status != 0 {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!(
                "Inventory script returned non-zero exit code {}. Standard error from inventory script: {}",
                output.status,
                errors.trim()
            ));
        }
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        match String::from_utf8(output.stdout) {
            Ok(stdout) => Ok(inventory::Said { stdout, stderr }),
            Err(_) => Err(format!(
                "Inventory script result contained characters that cannot be interpreted as UTF-8. Standard error from inventory script: {}",
                stderr.trim()
            )),
        }
    }
}

/// Reads inventories that are named on the command line.
///
/// # Errors
/// When one is not there or has faults.
pub fn load_inventory(
    sources: &[String],
    settings: &Settings,
    extra_vars: &Dict,
) -> Result<Inventory, ControlError> {
    let world = crate::play::loader(settings, Dict::new(), false).world;
    let scripts = LocalScripts(settings);
    let reading = Reading { world: &world, scripts: Some(&scripts), extra_vars };
    Inventory::load(sources, &reading).map_err(ControlError::Playbook)
}

/// The hosts of a pattern that a limit leaves, and what is to be said about it.
///
/// # Errors
/// When the pattern or the limit cannot be read, or nothing is left of hosts that are there.
pub fn targets(
    inventory: &Inventory,
    pattern: &str,
    limit: Option<&str>,
    config: &Config,
) -> Result<(Vec<String>, Vec<String>), ControlError> {
    let broken = |what: String| ControlError::Targets(what);
    let hosts = inventory.hosts_matching(pattern).map_err(broken)?;
    let hosts = match limit {
        Some(limit) => inventory.limited(hosts, limit).map_err(broken)?,
        None => hosts,
    };
    let empty = inventory.hosts().next().is_none();
    let local = matches!(pattern, "localhost" | "127.0.0.1" | "::1");
    if hosts.is_empty() && !empty {
        return Err(broken(
            "Specified inventory, host pattern and/or --limit leaves us with no hosts to target."
                .to_owned(),
        ));
    }
    let mut warnings = Vec::new();
    if empty && *config.localhost_warning && !local {
        warnings.push(
            "provided hosts list is empty, only localhost is available. Note that the implicit localhost does not match 'all'"
                .to_owned(),
        );
    }
    for part in limit.into_iter().chain([pattern]) {
        let said = inventory.mismatches(part, &config.host_pattern_mismatch).map_err(broken)?;
        warnings.extend(said);
    }
    Ok((hosts, warnings))
}

/// The way to a host of an inventory, as its variables say.
pub fn way_of(name: &str, vars: &Map<String, Value>, settings: &Settings) -> Way {
    let text = |keys: &[&str]| {
        keys.iter().find_map(|key| match vars.get(*key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    };
    let words = |key: &str| text(&[key]).and_then(|args| shlex::split(&args)).unwrap_or_default();
    // Of two names for one thing Ansible takes the one that is about SSH.
    let address = text(&["ansible_ssh_host", "ansible_host"]);
    let local = match text(&["ansible_connection"]).as_deref() {
        Some("local") => true,
        Some(_) => false,
        None => name == "localhost" && address.is_none(),
    };
    if local {
        return Way::Local;
    }
    let config = &settings.config;
    let told =
        |setting: &Option<String>| setting.as_deref().and_then(shlex::split).unwrap_or_default();
    let mut args = told(&config.ssh_args);
    args.extend(match vars.contains_key("ansible_ssh_common_args") {
        true => words("ansible_ssh_common_args"),
        false => told(&config.ssh_common_args),
    });
    args.extend(words("ansible_ssh_extra_args"));
    // What was said before outranks it, as `ssh` takes the first.
    let timeout = text(&["ansible_ssh_timeout", "ansible_timeout"])
        .and_then(|seconds| seconds.parse().ok())
        .or_else(|| config.timeout.told().copied());
    if let Some(seconds) = timeout {
        args.extend(["-o".to_owned(), format!("ConnectTimeout={seconds}")]);
    }
    let key = text(&["ansible_ssh_private_key_file", "ansible_private_key_file"]);
    Way::Ssh(SshTarget {
        name: name.to_owned(),
        address: address.unwrap_or_else(|| name.to_owned()),
        user: text(&["ansible_ssh_user", "ansible_user"]).or_else(|| settings.remote_user.clone()),
        port: text(&["ansible_ssh_port", "ansible_port"]).and_then(|port| port.parse().ok()),
        key: key.or_else(|| config.private_key_file.value.clone()).map(PathBuf::from),
        args,
        password: text(&["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"])
            .map(|password| Password(Secret::new(password)))
            .or_else(|| settings.password.clone().map(Password)),
        check_host_key: match vars.get("ansible_host_key_checking") {
            Some(Value::Bool(check)) => Some(*check),
            _ => config.host_key_checking.told().copied(),
        },
    })
}

impl SiteControl {
    /// The site as an inventory: its groups, its machines with their addresses, and variables.
    ///
    /// # Errors
    /// When the site's state cannot be read.
    pub fn inventory(&self) -> Result<Inventory, ControlError> {
        Ok(site_inventory(self.site(), &self.memory()?, self.place()))
    }

    /// Configuration for `ssh` that reaches the site's machines.
    ///
    /// # Errors
    /// When the site's state cannot be read.
    pub fn ssh_config(&self) -> Result<String, ControlError> {
        let memory = self.memory()?;
        let user = self.site().admins.first().map(|admin| admin.name.as_str());
        let machines = memory.machines.iter().map(|(name, drawn)| (name, drawn.address));
        Ok(crate::identity::ssh_config(self.place(), &self.site().domain, user, machines))
    }

    /// Lines for `/etc/hosts` with the site's machines.
    ///
    /// # Errors
    /// When the site's state cannot be read.
    pub fn hosts_lines(&self) -> Result<String, ControlError> {
        let domain = &self.site().domain;
        let line = |(name, drawn): (&MachineName, &updraft_plan::Drawn)| {
            format!("{} {name}.{domain} {name}\n", drawn.address)
        };
        Ok(self.memory()?.machines.iter().map(line).collect())
    }

    /// The ways to the machines that a pattern names, each with the machine's name.
    ///
    /// # Errors
    /// When the pattern names nothing.
    pub fn ways(&self, pattern: &str) -> Result<Vec<(String, Way)>, ControlError> {
        let memory = self.memory()?;
        let way = |name: MachineName| {
            let way = match memory.machines.contains_key(&name) {
                true => Way::Machine(self.party(name.as_str())?),
                false => Way::NotMade(name.clone()),
            };
            Ok((name.to_string(), way))
        };
        self.machines_matching(pattern)?.into_iter().map(way).collect()
    }

    /// The machines that a pattern names, in the order of the site file.
    ///
    /// # Errors
    /// When the pattern names nothing or cannot be read.
    pub fn machines_matching(&self, pattern: &str) -> Result<Vec<MachineName>, ControlError> {
        let names = matching(&self.inventory()?, pattern)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }
}

/// The group of an inventory in which clones are.
const CLONES: &str = "clones";

/// A site as an inventory: its groups, its machines with their addresses, and variables.
pub(crate) fn site_inventory(site: &Site, memory: &Memory, place: &Place) -> Inventory {
    let known_hosts = crate::world::absolute(place.known_hosts());
    let reach = |name: &MachineName, vars: &mut Map<String, Value>| {
        let Some(drawn) = memory.machines.get(name) else { return };
        let args = format!(
            "-o UserKnownHostsFile={} -o HostKeyAlias={name} -o StrictHostKeyChecking=yes",
            known_hosts.display()
        );
        vars.insert("ansible_host".to_owned(), json!(drawn.address));
        vars.insert("ansible_ssh_common_args".to_owned(), json!(args));
        if let Some(admin) = site.admins.first() {
            vars.insert("ansible_user".to_owned(), json!(admin.name));
        }
    };
    let groups = site.groups.iter().map(|group| {
        let machine = |name: MachineName| {
            let mut vars = group.vars.clone();
            reach(&name, &mut vars);
            for service in site.services_on(&group.name) {
                vars.extend(service.vars.clone());
            }
            vars.insert("updraft_site".to_owned(), json!(site.name));
            vars.insert("updraft_domain".to_owned(), json!(site.domain));
            (name.to_string(), vars)
        };
        let machines: Vec<_> = group.machine_names().map(machine).collect();
        (group.name.to_string(), machines)
    });
    let mut groups: Vec<_> = groups.collect();
    // Clones are in no group of the site file: its plays are not theirs.
    let clones = memory.machines.iter().filter_map(|(name, drawn)| {
        let cloned = drawn.cloned.as_ref()?;
        let mut vars = Map::new();
        reach(name, &mut vars);
        vars.insert("updraft_site".to_owned(), json!(site.name));
        vars.insert("updraft_domain".to_owned(), json!(site.domain));
        vars.insert("updraft_clone_of".to_owned(), json!(cloned.of));
        Some((name.to_string(), vars))
    });
    let clones: Vec<_> = clones.collect();
    if !clones.is_empty() {
        groups.push((CLONES.to_owned(), clones));
    }
    Inventory::from_groups(groups)
}

/// The ways to the hosts of an inventory that a pattern names, each with the host's name.
///
/// # Errors
/// When the pattern names nothing, or the inventory has faults.
pub fn ways_of(
    inventory: &Inventory,
    pattern: &str,
    settings: &Settings,
) -> Result<Vec<(String, Way)>, ControlError> {
    let names = matching(inventory, pattern)?;
    let listing = Listing::new(inventory, &settings.vault, ListingOptions::default())
        .map_err(ControlError::Playbook)?;
    names
        .into_iter()
        .map(|name| {
            let vars = listing.host(&name).map(|vars| vars.to_json());
            let vars = vars.and_then(|vars| vars.as_object().cloned()).unwrap_or_default();
            let way = way_of(&name, &vars, settings);
            Ok((name, way))
        })
        .collect()
}

/// The hosts that a pattern names.
///
/// # Errors
/// When it names none or cannot be read.
pub fn matching(inventory: &Inventory, pattern: &str) -> Result<Vec<String>, ControlError> {
    let unknown = |why: Option<String>| ControlError::Unknown {
        what: "host or group",
        name: why.unwrap_or_else(|| pattern.to_owned()),
        known: inventory.groups().take(12).map(str::to_owned).collect(),
    };
    match inventory.hosts_matching(pattern) {
        Ok(names) if names.is_empty() => Err(unknown(None)),
        Ok(names) => Ok(names),
        Err(why) => Err(unknown(Some(why))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_a_shell_as_they_were() {
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(shell_text(&words(&["uptime"])), "uptime");
        let odd = words(&["echo", "a b", "", "it's", "$HOME", "*"]);
        assert_eq!(shlex::split(&shell_text(&odd)), Some(odd));
        assert_eq!(shell_text(&words(&["/bin/sh", "-c", "a | b"])), "a | b");
    }
}
