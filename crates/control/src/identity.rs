//! Who a machine is: what it is told, and what the operator's `ssh` needs to know of it.

use crate::place::Place;
use crate::sessions::Party;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use updraft_base::{Blame, Blamed, Chance as _, Clock, MachineId, MachineName, unix_nanos};
use updraft_engine::{Journal, JournalError};
use updraft_host::OsChance;
use updraft_plan::{Memory, NameEntry, Plan};
use updraft_site::Site;
use updraft_wire::{AdminAccount, HostsLine, Identity, Interface, Seed};

/// What was known about a machine could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// In the site's state.
    #[error(transparent)]
    State(#[from] JournalError),
    /// In a file beside it.
    #[error("cannot write `{path}`")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Blamed for KeepError {
    fn blame(&self) -> Blame {
        match self {
            Self::State(error) => error.blame(),
            Self::File { .. } => Blame::World,
        }
    }
}

/// Lines for `/etc/hosts`: every machine of the site.
pub(crate) fn hosts(plan: &Plan) -> Arc<Vec<HostsLine>> {
    let line = |entry: &NameEntry| {
        let names = vec![format!("{}.{}", entry.name, plan.domain), entry.name.to_string()];
        (entry.address.to_string(), names)
    };
    Arc::new(plan.names.iter().map(line).collect())
}

/// What a machine is told. It makes its own host key, so no secret is in it.
pub(crate) fn render(
    site: &Site,
    plan: &Plan,
    hosts: Arc<Vec<HostsLine>>,
    party: &Party,
    interface: Interface,
    digest: String,
    clock: &dyn Clock,
) -> Identity {
    let now = clock.now();
    // A clone is in no list of the site's machines; it knows itself.
    let own = interface.address.split('/').next().unwrap_or_default();
    let hosts = match hosts.iter().any(|(at, _)| at == own) {
        true => hosts,
        false => {
            let names = vec![format!("{}.{}", party.name, plan.domain), party.name.to_string()];
            let mut all = Vec::clone(&hosts);
            all.push((own.to_owned(), names));
            Arc::new(all)
        }
    };
    Identity {
        digest,
        machine: party.id.to_string(),
        machine_id: party.id.as_hex(),
        hostname: party.name.to_string(),
        domain: plan.domain.clone(),
        interfaces: vec![interface],
        resolvers: resolvers(),
        hosts,
        host_keys: Vec::new(),
        admins: site
            .admins
            .iter()
            .map(|admin| AdminAccount { name: admin.name.to_string(), keys: admin.keys.clone() })
            .collect(),
        time: Some(unix_nanos(now)),
        seed: Some(seed()),
        quiet_ms: None,
    }
}

/// Chance for the machine's kernel, from this computer's.
fn seed() -> Seed {
    let mut chance = OsChance;
    Seed((0..4).map(|_| format!("{:016x}", chance.next_u64())).collect())
}

/// The name servers of this machine that a guest can reach too: not those on loopback.
fn resolvers() -> Vec<String> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("nameserver")?.trim().parse::<Ipv4Addr>().ok())
        .filter(|address| !address.is_loopback())
        .map(|address| address.to_string())
        .collect()
}

fn key_of(name: &MachineName) -> String {
    format!("hostkey/{name}")
}

/// Keeps a machine's public host keys.
///
/// # Errors
/// When the state cannot be written.
pub(crate) fn remember(
    journal: &Journal,
    party: &Party,
    host_keys: &[String],
) -> Result<(), KeepError> {
    let known = json!({ "id": party.id.to_string(), "keys": host_keys });
    let before: Option<Value> = journal.state_get(&key_of(&party.name))?;
    if before.as_ref() != Some(&known) {
        journal.state_put(&key_of(&party.name), &known)?;
    }
    Ok(())
}

/// Whether a machine's host keys were ever kept: it has been itself.
///
/// # Errors
/// When the state cannot be read.
pub(crate) fn is_remembered(journal: &Journal, party: &Party) -> Result<bool, KeepError> {
    let known: Option<Value> = journal.state_get(&key_of(&party.name))?;
    Ok(known.as_ref().and_then(|k| k.get("id")?.as_str()) == Some(&party.id.to_string()))
}

/// The machines whose host keys were ever kept.
///
/// # Errors
/// When the state cannot be read.
pub(crate) fn all_remembered(journal: &Journal) -> Result<BTreeSet<MachineId>, JournalError> {
    let known = journal.state_all("hostkey/")?;
    Ok(known.iter().filter_map(|(_, known)| known.get("id")?.as_str()?.parse().ok()).collect())
}

/// Forgets a machine's host keys, unless another machine has its name by now.
///
/// # Errors
/// As [`remember`].
pub(crate) fn forget(
    journal: &Journal,
    name: &MachineName,
    id: MachineId,
) -> Result<(), KeepError> {
    let known: Option<Value> = journal.state_get(&key_of(name))?;
    let same = known.as_ref().and_then(|k| k.get("id")?.as_str()) == Some(&id.to_string());
    if same {
        journal.state_forget(&key_of(name))?;
    }
    Ok(())
}

/// Key of the choices of earlier plans in the site's state.
pub(crate) const MEMORY: &str = "memory";

/// The choices of earlier plans.
///
/// # Errors
/// When the state cannot be read.
pub(crate) fn memory(journal: &Journal) -> Result<Memory, JournalError> {
    Ok(journal.state_get(MEMORY)?.unwrap_or_default())
}

/// Writes what `ssh` reads: host keys by name, and addresses. Once a run, however many machines it
/// made; files that are as they should be are left alone.
///
/// # Errors
/// When the state cannot be read, or a file beside it cannot be written.
pub(crate) fn write_ssh_files(
    journal: &Journal,
    place: &Place,
    site: &Site,
) -> Result<(), KeepError> {
    let domain = site.domain.as_str();
    let user = site.admins.first().map(|admin| admin.name.as_str());
    let memory = memory(journal)?;
    let mut known_hosts = String::new();
    for (key, value) in journal.state_all("hostkey/")? {
        let Some(name) = key.strip_prefix("hostkey/") else { continue };
        let Ok(machine) = name.parse::<MachineName>() else { continue };
        let Some(drawn) = memory.machines.get(&machine) else { continue };
        let keys = value.get("keys").and_then(|keys| keys.as_array()).cloned().unwrap_or_default();
        for line in keys.iter().filter_map(|line| line.as_str()) {
            // A public key line is `algorithm base64 comment`; known_hosts has no comment.
            let key: Vec<&str> = line.split_whitespace().take(2).collect();
            writeln!(known_hosts, "{name},{name}.{domain},{} {}", drawn.address, key.join(" "))
                .expect("a string takes all text");
        }
    }
    write_file(&place.known_hosts(), &known_hosts)?;
    let machines = memory.machines.iter().map(|(name, drawn)| (name, drawn.address));
    write_file(&place.ssh_config(), &ssh_config(place, domain, user, machines))
}

/// Which exchange of keys ssh tries first with our guests. All of them are on this computer, where
/// nobody records what passes in order to break it one day; the exchange that would hold even then,
/// OpenSSH's default since 9.0, takes half a second more of an emulated processor.
pub(crate) const KEY_EXCHANGE: &str = "^curve25519-sha256";

/// Configuration for `ssh`: addresses by name, and host keys that must match.
pub(crate) fn ssh_config<'a>(
    place: &Place,
    domain: &str,
    user: Option<&str>,
    machines: impl Iterator<Item = (&'a MachineName, Ipv4Addr)>,
) -> String {
    let root = std::path::absolute(place.root()).unwrap_or_else(|_| place.root().to_owned());
    let known_hosts = root.join("known_hosts");
    let mut text = String::new();
    for (name, address) in machines {
        write!(
            text,
            "Host {name} {name}.{domain}\n    HostName {address}\n    HostKeyAlias {name}\n    \
             UserKnownHostsFile \"{}\"\n    StrictHostKeyChecking yes\n    \
             KexAlgorithms {KEY_EXCHANGE}\n",
            known_hosts.display()
        )
        .expect("a string takes all text");
        if let Some(user) = user {
            writeln!(text, "    User {user}").expect("a string takes all text");
        }
    }
    text
}

fn write_file(path: &Path, text: &str) -> Result<(), KeepError> {
    if std::fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    let fault = |source| KeepError::File { path: path.to_owned(), source };
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(fault)?;
    file.write_all(text.as_bytes()).map_err(fault)?;
    std::fs::rename(&fresh, path).map_err(fault)
}
