//! Who this machine is: told once by its controller, kept in files, made true at once.
//!
//! Everything is written only where it differs, so telling a machine the same again changes
//! nothing. The record of it comes last: whoever waits for the record finds all the rest in place.
//! Never here: computing the identity's digest, which is the controller's word for it.

mod accounts;
mod block;
mod inherited;
mod network;
mod rehearsal;
mod rest;
mod ssh;

use crate::failure::{refused, system};
use crate::root::Root;
use crate::{clock, files, tell};
use inherited::Origin;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use updraft_base::MachineId;
use updraft_wire::{Failure, Identity, Response};

pub(crate) use rest::rest;
pub(crate) use ssh::host_keys;

/// Which machine systemd and others take this one for (machine-id(5)).
const MACHINE_ID: &str = "/etc/machine-id";

/// Its name, without its domain.
const HOSTNAME: &str = "/etc/hostname";

/// Where the identity is kept, without private keys.
const RECORD: &str = "/var/lib/updraft/identity.json";

/// What the firmware says this machine is: QEMU's `-uuid`.
const FIRMWARE: &str = "/sys/class/dmi/id/product_uuid";

/// Between two looks for the record. Where the kernel tells of changes, they are noticed earlier.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Held while an identity is applied.
static APPLYING: Mutex<()> = Mutex::new(());

/// Something was written that may not be on the disk yet.
static WROTE: AtomicBool = AtomicBool::new(false);

/// Everything but the agent and systemd stands still, and the machine is somebody only once it has been
/// told: nobody reads what is written, and what is left of it when that is cut off is told again.
/// Files are written where they are then, and not beside their place and renamed: ext4 brings a file
/// to the disk at once when it is put in another one's place.
static ALONE: AtomicBool = AtomicBool::new(false);

/// The record that was read last, and what it says.
static UNDERSTOOD: Mutex<Option<(Vec<u8>, Record)>> = Mutex::new(None);

/// What this machine is, while it is not on the disk yet.
static UNSYNCED: Mutex<Option<Record>> = Mutex::new(None);

/// The record of an identity.
#[derive(Clone, Serialize, Deserialize)]
struct Record {
    machine: String,
    digest: String,
    identity: Identity,
}

fn record(root: &Root) -> Option<Record> {
    if root.is_system()
        && let Some(record) = crate::connection::lock(&UNSYNCED).clone()
    {
        return Some(record);
    }
    let text = fs::read(root.at(RECORD)).ok()?;
    let mut understood = crate::connection::lock(&UNDERSTOOD);
    if understood.as_ref().is_none_or(|(known, _)| *known != text) {
        let record = serde_json::from_slice(&text).ok()?;
        *understood = Some((text, record));
    }
    understood.as_ref().map(|(_, record)| record.clone())
}

/// The machine's id, if it was ever told.
pub(crate) fn machine(root: &Root) -> Option<String> {
    record(root).map(|record| record.machine)
}

/// Digest of the identity applied last; empty before the first.
pub(crate) fn digest(root: &Root) -> String {
    record(root).map(|record| record.digest).unwrap_or_default()
}

/// Makes this machine what `wanted` says.
pub(crate) fn apply(root: &Root, wanted: &Identity) -> Result<Response, Failure> {
    check(wanted)?;
    let _applying = crate::connection::lock(&APPLYING);
    let before = record(root);
    let origin = Origin::of(root, before.as_ref(), wanted);
    let before = before.map(|record| record.identity);
    ALONE.store(origin == Origin::Memory && rest::is_marked(root), Ordering::Relaxed);
    if root.is_system() {
        wanted.time.map_or(Ok(()), clock::bring_to)?;
        wanted.seed.as_ref().map_or(Ok(()), inherited::reseed)?;
    }
    if origin.is_copy() {
        inherited::forget(root, origin, wanted)?;
    }
    let relisten = ssh::ensure_host_keys(root, wanted)?;
    set_name(root, wanted)?;
    set_machine_id(root, &wanted.machine_id, origin)?;
    accounts::ensure(root, wanted, before.as_ref(), origin)?;
    if origin.is_copy() {
        inherited::run_hooks(root)?;
    }
    if relisten.is_awaited() {
        // Whoever stands still hears nothing.
        rest::let_go(root)?;
    }
    // Nothing may be heard of a machine before it is itself: the network comes last.
    relisten.wait();
    network::ensure(root, wanted, before.as_ref(), origin)?;
    let mut kept = wanted.clone();
    kept.time = None;
    kept.seed = None;
    kept.quiet_ms = None;
    kept.host_keys.iter_mut().for_each(|key| key.private.clear());
    let record =
        Record { machine: wanted.machine.clone(), digest: wanted.digest.clone(), identity: kept };
    inherited::remember_boot(root, &wanted.machine)?;
    if origin != Origin::Memory || !root.is_system() {
        keep(root, &record)?;
        return Ok(Response::Done);
    }
    // It is waited for, and syncing takes a quarter of a second of an emulated processor. Cut off
    // before it is on the disk the machine boots as nobody, and is told again.
    *crate::connection::lock(&UNSYNCED) = Some(record);
    Ok(Response::Done)
}

/// What a machine that went on as another one still has to do once it has answered: all that nobody
/// waits for, once it was quiet for `quiet` or a while of its own choice. It takes a minute, most of
/// it asleep; elsewhere there is nothing to do.
pub(crate) fn follow_up(root: &Root, quiet: Option<Duration>) {
    if crate::connection::lock(&UNSYNCED).is_none() {
        return;
    }
    rest::stand_back_alone();
    if let Err(failure) = rest::let_go(root) {
        tell(&format!("updraft-agent: {}\n", failure.message));
    }
    rest::wait_for_people(quiet);
    if let Err(failure) = settle(root) {
        tell(&format!("updraft-agent: the identity is not kept: {}\n", failure.message));
    }
    rest::tell_services(root);
}

/// Lets go what may stand still for a while after a machine went on as another one: whoever has it do
/// anything finds all of it running.
pub(crate) fn let_rest_go(root: &Root) {
    if let Err(failure) = rest::let_rest_go(root) {
        tell(&format!("updraft-agent: {}\n", failure.message));
    }
}

/// Brings what this machine was told to its disk, if it is not there yet.
pub(crate) fn settle(root: &Root) -> Result<(), Failure> {
    let _applying = crate::connection::lock(&APPLYING);
    let record = crate::connection::lock(&UNSYNCED).clone();
    record.map_or(Ok(()), |record| keep(root, &record))?;
    *crate::connection::lock(&UNSYNCED) = None;
    Ok(())
}

/// Brings everything to the disk, and the record of it after.
fn keep(root: &Root, record: &Record) -> Result<(), Failure> {
    let text = serde_json::to_vec_pretty(record).expect("an identity is plain data");
    let known = fs::read(root.at(RECORD)).is_ok_and(|known| known == text);
    if root.is_system() && (WROTE.swap(false, Ordering::Relaxed) || !known) {
        // Nothing of ours was synced yet, and other programs wrote too, not all of which sync. The
        // record must not survive a loss of power that takes what it stands for.
        rustix::fs::sync();
    }
    if !known {
        let path = root.at(RECORD);
        make_parent(&path)?;
        files::write(&path, &text, 0o600)?;
    }
    Ok(())
}

/// Writes down which machine this boot is, if the disk was told so in an earlier one: then it is not
/// told again, and what goes on from its memory has to see that it is somebody else. Before anybody
/// can ask for that memory, so before the agent answers.
pub(crate) fn note_boot(root: &Root) {
    if let Some(machine) = machine(root)
        && is_this(&machine, &firmware(root))
        && let Err(failure) = inherited::remember_boot(root, &machine)
    {
        tell(&format!("updraft-agent: {}\n", failure.message));
    }
}

/// Waits until the record belongs to this very machine. A disk that came from another machine
/// carries the other's record, and is told apart by what the firmware says.
pub(crate) fn wait(root: &Root) -> Result<(), String> {
    let path = root.at(RECORD);
    let directory = path.parent().expect("the record is in a directory");
    let fault =
        |fault: &dyn std::fmt::Display| format!("cannot watch `{}`: {fault}", directory.display());
    fs::create_dir_all(directory).map_err(|error| fault(&error))?;
    let watch = watch(directory).map_err(|error| fault(&error))?;
    let firmware = firmware(root);
    let mut told = false;
    loop {
        match machine(root) {
            // What the firmware says is fixed while a machine that goes on as another one runs.
            Some(machine)
                if is_this(&machine, &firmware) || inherited::is_boot_of(root, &machine) =>
            {
                return Ok(());
            }
            Some(machine) if !told => {
                tell(&format!(
                    "updraft-agent: the identity here is that of `{machine}`, not of this machine\n"
                ));
                told = true;
            }
            _ => {}
        }
        let limit = rustix::time::Timespec::try_from(LOOK_AGAIN).expect("a second is a time");
        let mut fds = [rustix::event::PollFd::new(&watch, rustix::event::PollFlags::IN)];
        // An interrupted wait is one more look.
        rustix::event::poll(&mut fds, Some(&limit)).ok();
        let mut events = [0; 4096];
        rustix::io::read(&watch, &mut events).ok();
    }
}

fn watch(directory: &Path) -> rustix::io::Result<rustix::fd::OwnedFd> {
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    let watch = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    add_watch(&watch, directory, WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE)?;
    Ok(watch)
}

/// The id that the firmware gives this machine; empty where it gives none.
fn firmware(root: &Root) -> String {
    fs::read_to_string(root.at(FIRMWARE)).unwrap_or_default()
}

/// Whether a record's machine is this one. Where the firmware says nothing, there is nothing to
/// compare with, and the record stands.
fn is_this(machine: &str, firmware: &str) -> bool {
    let firmware = firmware.trim();
    firmware.is_empty()
        || machine
            .parse::<MachineId>()
            .is_ok_and(|machine| machine.as_uuid().eq_ignore_ascii_case(firmware))
}

/// Refuses an identity that would write nonsense into files.
fn check(wanted: &Identity) -> Result<(), Failure> {
    let name = |text: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if text.is_empty() || text.starts_with('-') || !text.chars().all(fits) {
            return Err(refused(format_args!("`{text}` is not a name")));
        }
        Ok(())
    };
    let address = |text: &str| {
        let parsed = text.parse::<IpAddr>();
        parsed.map(drop).map_err(|_| refused(format_args!("`{text}` is not an address")))
    };
    let line = |text: &str| {
        if text.contains(['\n', '\r', '\0']) {
            return Err(refused("a key must be on one line"));
        }
        Ok(())
    };
    wanted
        .machine
        .parse::<MachineId>()
        .map_err(|_| refused(format_args!("`{}` is not a machine's id", wanted.machine)))?;
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if wanted.machine_id.len() != 32 || !wanted.machine_id.chars().all(hex) {
        return Err(refused(format_args!("`{}` is not a machine-id", wanted.machine_id)));
    }
    name(&wanted.hostname)?;
    if !wanted.domain.is_empty() {
        name(&wanted.domain)?;
    }
    for interface in &wanted.interfaces {
        network::parse(&interface.address)?;
        interface.gateway.as_deref().map_or(Ok(()), address)?;
    }
    wanted.resolvers.iter().try_for_each(|resolver| address(resolver))?;
    for (at, names) in wanted.hosts.iter() {
        address(at)?;
        names.iter().try_for_each(|text| name(text))?;
    }
    for key in &wanted.host_keys {
        name(&key.algorithm)?;
        line(&key.public)?;
    }
    for admin in &wanted.admins {
        name(&admin.name)?;
        admin.keys.iter().try_for_each(|key| line(key))?;
    }
    Ok(())
}

fn set_name(root: &Root, wanted: &Identity) -> Result<(), Failure> {
    ensure_file(root, HOSTNAME, format!("{}\n", wanted.hostname).as_bytes(), 0o644)?;
    let old = read(root, "/etc/hosts")?;
    let old = if old.is_empty() {
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned()
    } else {
        old
    };
    let lines: Vec<String> =
        wanted.hosts.iter().map(|(at, names)| format!("{at} {}", names.join(" "))).collect();
    ensure_file(root, "/etc/hosts", block::replace(&old, &lines).as_bytes(), 0o644)?;
    if root.is_system()
        && rustix::system::uname().nodename().to_bytes() != wanted.hostname.as_bytes()
    {
        rustix::system::sethostname(wanted.hostname.as_bytes())
            .map_err(|fault| system("cannot set the hostname", fault))?;
    }
    Ok(())
}

fn set_machine_id(root: &Root, wanted: &str, origin: Origin) -> Result<(), Failure> {
    let old = read(root, MACHINE_ID)?;
    if old.trim() == wanted {
        return Ok(());
    }
    let text = format!("{wanted}\n");
    if let Err(refusal) = ensure_file(root, MACHINE_ID, text.as_bytes(), 0o444) {
        // systemd puts a file of its own over it when the disk could not be written while it
        // started (machine-id(5)); what lies under a mount cannot be renamed, but it can be written.
        fs::write(root.at(MACHINE_ID), text).map_err(|_| refusal)?;
    }
    if root.is_system() && !old.trim().is_empty() && origin != Origin::Memory {
        tell("updraft-agent: what runs already keeps the earlier machine-id until the next boot\n");
    }
    Ok(())
}

/// A file's text; empty when there is none.
fn read(root: &Root, path: &str) -> Result<String, Failure> {
    match fs::read_to_string(root.at(path)) {
        Ok(text) => Ok(text),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(fault) => Err(system(format_args!("cannot read `{path}`"), fault)),
    }
}

/// Sees to it that a file has this content; returns whether it had another. It is synced with
/// everything else, before the record.
fn ensure_file(root: &Root, path: &str, content: &[u8], mode: u32) -> Result<bool, Failure> {
    let target = root.at(path);
    let facts = fs::symlink_metadata(&target);
    let is_file = facts.as_ref().is_ok_and(|facts| facts.is_file());
    if is_file && fs::read(&target).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    let has_mode = facts.as_ref().is_ok_and(|facts| facts.mode() & 0o7777 == mode);
    if ALONE.load(Ordering::Relaxed) && (facts.is_err() || is_file && has_mode) {
        write_there(&target, content, mode)
            .map_err(|fault| system(format_args!("cannot write `{path}`"), fault))?;
    } else {
        make_parent(&target)?;
        files::place(&target, content, mode)?;
    }
    WROTE.store(true, Ordering::Relaxed);
    Ok(true)
}

/// Writes a file where it is, or makes it there.
fn write_there(target: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).mode(mode);
    let mut file = match options.open(target) {
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(target.parent().expect("a file is in a directory"))?;
            options.open(target)?
        }
        other => other?,
    };
    let facts = file.metadata()?;
    if facts.mode() & 0o7777 != mode {
        // What is masked for new files is not for these.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    file.write_all(content)?;
    if facts.len() > content.len() as u64 { file.set_len(content.len() as u64) } else { Ok(()) }
}

fn make_parent(target: &Path) -> Result<(), Failure> {
    let parent = target.parent().expect("a file is in a directory");
    fs::create_dir_all(parent)
        .map_err(|fault| system(format_args!("cannot make `{}`", parent.display()), fault))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use updraft_wire::{AdminAccount, HostKey, Interface};

    const MACHINE: &str = "01KAJ6H2C4B8Y3V7Q9WXZ5T0AN";

    pub(super) fn wanted() -> Identity {
        Identity {
            digest: "d1".to_owned(),
            machine: MACHINE.to_owned(),
            machine_id: MACHINE.parse::<MachineId>().unwrap().as_hex(),
            hostname: "worker-1".to_owned(),
            domain: "hello.test".to_owned(),
            interfaces: vec![Interface {
                mac: "52:54:00:00:00:01".parse().unwrap(),
                address: "10.77.0.11/24".to_owned(),
                gateway: Some("10.77.0.1".to_owned()),
            }],
            resolvers: vec!["10.77.0.1".to_owned()],
            hosts: vec![("10.77.0.11".to_owned(), vec!["worker-1".to_owned()])].into(),
            host_keys: vec![HostKey {
                algorithm: "ed25519".to_owned(),
                private: "PRIVATE\n".to_owned(),
                public: "ssh-ed25519 AAAA worker-1".to_owned(),
            }],
            admins: vec![AdminAccount {
                name: "ops".to_owned(),
                keys: vec!["ssh-ed25519 BBBB me".to_owned()],
            }],
            time: Some(0),
            seed: None,
            quiet_ms: None,
        }
    }

    fn machine_root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path().to_owned());
        for path in ["/etc/ssh", "/etc/sudoers.d", "/home", "/etc/skel"] {
            fs::create_dir_all(root.at(path)).unwrap();
        }
        fs::write(root.at("/etc/hosts"), "127.0.0.1 localhost\n10.9.9.9 mine\n").unwrap();
        fs::write(root.at("/etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n").unwrap();
        fs::write(root.at("/etc/group"), "root:x:0:\n").unwrap();
        fs::write(root.at("/etc/shadow"), "root:*:19000:0:99999:7:::\n").unwrap();
        fs::write(root.at("/etc/skel/.profile"), "umask 022\n").unwrap();
        (directory, root)
    }

    /// Every file below a directory, with its mode, content and moment of change.
    fn tree(top: &Path) -> BTreeMap<String, (u32, String, std::time::SystemTime)> {
        let mut found = BTreeMap::new();
        let mut left = vec![top.to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    left.push(entry.path());
                    continue;
                }
                let facts = entry.metadata().unwrap();
                let text = fs::read_to_string(entry.path()).unwrap();
                let name = entry.path().strip_prefix(top).unwrap().display().to_string();
                let mode = facts.permissions().mode() & 0o7777;
                found.insert(name, (mode, text, facts.modified().unwrap()));
            }
        }
        found
    }

    #[test]
    fn a_machine_becomes_what_it_is_told_and_keeps_what_is_not_ours() {
        let (directory, root) = machine_root();
        assert_eq!(apply(&root, &wanted()), Ok(Response::Done));
        let files = tree(directory.path());
        let text = |name: &str| files[name].1.as_str();
        assert_eq!(text("etc/hostname"), "worker-1\n");
        assert_eq!(text("etc/machine-id").trim(), wanted().machine_id);
        assert!(text("etc/hosts").starts_with("127.0.0.1 localhost\n10.9.9.9 mine\n"));
        assert!(text("etc/hosts").contains("\n10.77.0.11 worker-1\n"));
        let network = text("etc/systemd/network/10-updraft-52-54-00-00-00-01.network");
        assert!(network.contains("MACAddress=52:54:00:00:00:01\n"), "{network}");
        assert!(network.contains("Address=10.77.0.11/24\n"), "{network}");
        assert!(network.contains("Gateway=10.77.0.1\n"), "{network}");
        assert!(text("etc/resolv.conf").contains("search hello.test\nnameserver 10.77.0.1\n"));
        assert_eq!(files["etc/ssh/ssh_host_ed25519_key"].0, 0o600);
        assert_eq!(text("etc/ssh/ssh_host_ed25519_key"), "PRIVATE\n");
        assert_eq!(host_keys(&root), ["ssh-ed25519 AAAA worker-1"]);
        assert!(text("etc/passwd").contains("\nops:x:1000:1000::/home/ops:"));
        assert_eq!(text("home/ops/.profile"), "umask 022\n");
        assert!(text("home/ops/.ssh/authorized_keys").contains("\nssh-ed25519 BBBB me\n"));
        assert_eq!(files["home/ops/.ssh/authorized_keys"].0, 0o600);
        assert_eq!(files["etc/sudoers.d/updraft-admins"].0, 0o440);
        assert_eq!(machine(&root).as_deref(), Some(MACHINE));
        assert_eq!(digest(&root), "d1");
    }

    #[test]
    fn the_record_holds_no_private_key() {
        let (_directory, root) = machine_root();
        apply(&root, &wanted()).unwrap();
        let text = fs::read_to_string(root.at(RECORD)).unwrap();
        assert!(!text.contains("PRIVATE"), "{text}");
    }

    #[test]
    fn the_record_holds_no_chance_either() {
        let (_directory, root) = machine_root();
        let seed = updraft_wire::Seed("c0ffee".to_owned());
        assert!(!format!("{seed:?}").contains("c0ffee"));
        apply(&root, &Identity { seed: Some(seed), ..wanted() }).unwrap();
        assert!(!fs::read_to_string(root.at(RECORD)).unwrap().contains("c0ffee"));
    }

    #[test]
    fn a_copy_of_another_machine_keeps_none_of_its_keys() {
        let (_directory, root) = machine_root();
        apply(&root, &wanted()).unwrap();
        let mut other = wanted();
        other.machine = "01KAJ6H2C4B8Y3V7Q9WXZ5T0AP".to_owned();
        other.host_keys[0].algorithm = "rsa".to_owned();
        other.host_keys[0].public = "ssh-rsa CCCC worker-2".to_owned();
        apply(&root, &other).unwrap();
        assert_eq!(host_keys(&root), ["ssh-rsa CCCC worker-2"]);
        assert!(!root.at("/etc/ssh/ssh_host_ed25519_key").exists());
    }

    #[test]
    fn telling_a_machine_the_same_again_changes_nothing() {
        let (directory, root) = machine_root();
        apply(&root, &wanted()).unwrap();
        let before = tree(directory.path());
        apply(&root, &wanted()).unwrap();
        assert_eq!(tree(directory.path()), before);
    }

    #[test]
    fn what_is_no_longer_wanted_goes() {
        let (_directory, root) = machine_root();
        apply(&root, &wanted()).unwrap();
        let mine = "ssh-ed25519 CCCC my own\n";
        let keys = root.at("/home/ops/.ssh/authorized_keys");
        fs::write(&keys, format!("{mine}{}", fs::read_to_string(&keys).unwrap())).unwrap();
        let mut other = wanted();
        other.admins.clear();
        other.interfaces[0].mac = "52:54:00:00:00:02".parse().unwrap();
        Arc::make_mut(&mut other.hosts)[0].0 = "10.77.0.12".to_owned();
        apply(&root, &other).unwrap();
        assert_eq!(fs::read_to_string(&keys).unwrap(), mine);
        assert!(!root.at("/etc/sudoers.d/updraft-admins").exists());
        let networks: Vec<_> = fs::read_dir(root.at("/etc/systemd/network")).unwrap().collect();
        assert_eq!(networks.len(), 1);
        let hosts = fs::read_to_string(root.at("/etc/hosts")).unwrap();
        assert!(hosts.contains("10.77.0.12 worker-1") && !hosts.contains("10.77.0.11"), "{hosts}");
    }

    #[test]
    fn an_identity_that_would_smuggle_lines_into_files_is_refused_before_anything_is_written() {
        let (directory, root) = machine_root();
        let before = tree(directory.path());
        let spoilt: [fn(&mut Identity); 7] = [
            |it| it.hostname = "a\nb".to_owned(),
            |it| it.admins[0].name = "ops ALL=(ALL) ALL".to_owned(),
            |it| it.admins[0].keys[0] = "key\nother".to_owned(),
            |it| Arc::make_mut(&mut it.hosts)[0].1[0] = "a b".to_owned(),
            |it| it.host_keys[0].algorithm = "../x".to_owned(),
            |it| it.interfaces[0].address = "10.77.0.11".to_owned(),
            |it| it.machine_id = "short".to_owned(),
        ];
        for spoil in spoilt {
            let mut wanted = wanted();
            spoil(&mut wanted);
            assert!(apply(&root, &wanted).is_err(), "{wanted:?}");
        }
        assert_eq!(tree(directory.path()), before);
    }

    #[test]
    fn a_record_from_another_machine_is_not_ours() {
        let uuid = MACHINE.parse::<MachineId>().unwrap().as_uuid();
        assert!(is_this(MACHINE, &format!("{}\n", uuid.to_uppercase())));
        assert!(!is_this(MACHINE, "00000000-0000-4000-8000-000000000000\n"));
        assert!(is_this(MACHINE, ""));
    }

    #[test]
    fn waiting_ends_when_the_record_comes() {
        let (_directory, root) = machine_root();
        let waiting = {
            let root = root.clone();
            std::thread::spawn(move || wait(&root))
        };
        apply(&root, &wanted()).unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(()));
    }

    #[test]
    fn what_goes_on_from_a_later_boot_is_seen_to_be_a_copy() {
        let (_directory, root) = machine_root();
        fs::create_dir_all(root.at(FIRMWARE).parent().unwrap()).unwrap();
        let uuid = MACHINE.parse::<MachineId>().unwrap().as_uuid();
        fs::write(root.at(FIRMWARE), format!("{uuid}\n")).unwrap();
        apply(&root, &wanted()).unwrap();
        // The next boot: nothing is told, because everything is so already.
        fs::remove_dir_all(root.at("/run")).unwrap();
        note_boot(&root);
        let id = "01JZZZZZZZZZZZZZZZZZZZZZZY";
        let other = Identity { machine: id.to_owned(), ..wanted() };
        assert_eq!(Origin::of(&root, record(&root).as_ref(), &other), Origin::Memory);
        // Whoever waits for this machine's identity is not held up by the other one's firmware.
        apply(&root, &other).unwrap();
        assert_eq!(wait(&root), Ok(()));
        // The firmware is the original's, so an agent that starts again does not take it for that.
        note_boot(&root);
        assert_eq!(Origin::of(&root, record(&root).as_ref(), &other), Origin::Itself);
    }
}
