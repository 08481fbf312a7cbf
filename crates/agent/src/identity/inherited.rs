//! What a machine has from the one it was copied from, and must not keep.
//!
//! A disk may be another machine's copy, and so may all that runs: a machine that goes on from a
//! template has its memory, random numbers and boot id too. What is found here goes before this
//! machine has a network, so that nothing of the other one is ever heard.
//!
//! Never here: deciding what the new identity is.

#![expect(
    clippy::disallowed_methods,
    reason = "the agent runs on targets, where nothing stands between it and the system"
)]

use super::{MACHINE_ID, Record, read};
use crate::failure::system;
use crate::files::random;
use crate::root::Root;
use crate::time::{Deadline, pause};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use updraft_wire::{Failure, Identity, Seed};

/// Which machine this boot has been, gone with the boot.
const THIS_BOOT: &str = "/run/updraft/machine";

/// The boot id we put over the kernel's.
const BOOT_ID: &str = "/run/updraft/boot_id";

/// The kernel's (proc_sys_kernel(5)).
const KERNEL_BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Programs that services with an identity of their own bring: run in the order of their names,
/// without arguments, after everything of the old identity is gone and before there is a network.
/// One that fails refuses the new identity. People read of them in docs/identity.md.
const HOOKS: &str = "/etc/updraft/identity.d";

/// One hook may take so long: an emulated database may have to start anew.
const HOOK: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Files that hold something of who a machine is, besides those that an identity names.
const TRACES: &[&str] = &["/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret"];

/// Directories whose files are leases and names of a client of DHCP.
const LEASES: &[(&str, &str)] = &[
    ("/run/systemd/netif/leases", ""),
    ("/var/lib/dhcp", ".leases"),
    ("/var/lib/NetworkManager", ".lease"),
];

/// How a machine came to be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is what it was, or was nobody.
    Itself,
    /// Its disk comes from another machine.
    Disk,
    /// It goes on where another machine was stopped: what runs has been the other one.
    Memory,
}

impl Origin {
    /// How the machine with this record came to be the wanted one.
    pub(super) fn of(root: &Root, before: Option<&Record>, wanted: &Identity) -> Self {
        let was = boot(root);
        if !was.is_empty() && was != wanted.machine {
            return Self::Memory;
        }
        match before {
            Some(before) if before.machine != wanted.machine => Self::Disk,
            _ => Self::Itself,
        }
    }

    pub(super) fn is_copy(self) -> bool {
        self != Self::Itself
    }
}

/// Mixes chance of its own into the kernel's random numbers, and has it draw from there at once.
pub(super) fn reseed(seed: &Seed) -> Result<(), Failure> {
    let fault = |fault: &dyn std::fmt::Display| system("cannot renew the random numbers", fault);
    let mut device = fs::OpenOptions::new().write(true).open("/dev/urandom");
    let device = device.as_mut().map_err(|error| fault(error))?;
    device.write_all(seed.0.as_bytes()).map_err(|error| fault(&error))?;
    // RNDRESEEDCRNG, _IO('R', 7) of linux/random.h: what was written counts from now on, and not
    // only when the kernel renews its generator of its own accord, up to a minute later.
    #[expect(unsafe_code, reason = "an ioctl without argument, by its number from linux/random.h")]
    let done = unsafe { rustix::ioctl::ioctl(&*device, rustix::ioctl::NoArg::<0x5207>::new()) };
    done.map_err(|errno| fault(&errno))
}

/// Removes what belongs to the other machine: its host keys, leases, seeds, the boot it was in.
pub(super) fn forget(root: &Root, origin: Origin, wanted: &Identity) -> Result<(), Failure> {
    remove_traces(root)?;
    let dbus = root.at("/var/lib/dbus/machine-id");
    if fs::symlink_metadata(&dbus).is_ok_and(|facts| facts.is_file()) {
        super::ensure_file(
            root,
            "/var/lib/dbus/machine-id",
            format!("{}\n", wanted.machine_id).as_bytes(),
            0o644,
        )?;
    }
    // Where journald stands still, it is let go only after that.
    if !super::rest::is_marked(root) {
        rename_journal(root, read(root, MACHINE_ID)?.trim(), &wanted.machine_id)?;
    }
    if origin == Origin::Memory && root.is_system() {
        renew_boot_id()?;
    }
    Ok(())
}

/// Removes the files that hold something of who a machine is and are not written anew at once.
pub(super) fn remove_traces(root: &Root) -> Result<(), Failure> {
    for path in super::ssh::key_paths(root) {
        remove(&path)?;
    }
    for path in TRACES {
        remove(&root.at(path))?;
    }
    for (directory, end) in LEASES {
        let Ok(entries) = fs::read_dir(root.at(directory)) else { continue };
        for entry in entries.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().ends_with(end) && entry.path().is_file() {
                remove(&entry.path())?;
            }
        }
    }
    Ok(())
}

pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => {
            Err(system(format_args!("cannot remove `{}`", path.display()), fault))
        }
        _ => Ok(()),
    }
}

/// What was logged so far goes on under the new machine-id, where journalctl looks for it.
pub(super) fn rename_journal(root: &Root, old: &str, new: &str) -> Result<(), Failure> {
    if old.len() != 32 || new.len() != 32 || old == new {
        return Ok(());
    }
    for journal in ["/run/log/journal", "/var/log/journal"] {
        let from = root.at(&format!("{journal}/{old}"));
        let to = root.at(&format!("{journal}/{new}"));
        if from.is_dir() && !to.exists() {
            fs::rename(&from, &to).map_err(|fault| {
                system(format_args!("cannot rename `{}`", from.display()), fault)
            })?;
        }
    }
    Ok(())
}

/// Puts a file of ours over the kernel's boot id, which cannot be changed. It says the same at first.
///
/// Where others go on from this machine, this is done for all of them: systemd reads the table of
/// mounts anew after each change to it.
pub(super) fn cover_boot_id() -> Result<(), Failure> {
    let id = fs::read(KERNEL_BOOT_ID).map_err(|fault| no_boot_id(&fault))?;
    // It lies there already in what goes on from a template, and in a copy of a copy.
    if fs::read(BOOT_ID).is_ok_and(|ours| ours == id) {
        return Ok(());
    }
    fs::create_dir_all("/run/updraft").map_err(|fault| no_boot_id(&fault))?;
    fs::write(BOOT_ID, id).map_err(|fault| no_boot_id(&fault))?;
    rustix::mount::mount_bind(BOOT_ID, KERNEL_BOOT_ID).map_err(|fault| no_boot_id(&fault))
}

/// Whoever asks from now on sees a boot that no other machine had.
fn renew_boot_id() -> Result<(), Failure> {
    let hex = random()?;
    // RFC 9562 section 5.4: version 4, variant 10.
    let id = format!(
        "{}-{}-4{}-a{}-{}\n",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    );
    cover_boot_id()?;
    // As long as the one before: whoever reads it meanwhile sees a whole one.
    let file = fs::OpenOptions::new().write(true).open(BOOT_ID);
    file.and_then(|mut file| file.write_all(id.as_bytes())).map_err(|fault| no_boot_id(&fault))
}

fn no_boot_id(fault: &dyn std::fmt::Display) -> Failure {
    system("cannot give this boot its own id", fault)
}

/// Which machine this boot has been; empty when nobody wrote it down.
pub(super) fn boot(root: &Root) -> String {
    read(root, THIS_BOOT).unwrap_or_default().trim().to_owned()
}

/// Whether this boot was told to be this machine.
pub(super) fn is_boot_of(root: &Root, machine: &str) -> bool {
    boot(root) == machine
}

/// Writes down which machine this boot is.
pub(super) fn remember_boot(root: &Root, machine: &str) -> Result<(), Failure> {
    super::ensure_file(root, THIS_BOOT, format!("{machine}\n").as_bytes(), 0o644).map(drop)
}

/// Runs what services with an identity of their own have brought.
pub(super) fn run_hooks(root: &Root) -> Result<(), Failure> {
    let Ok(entries) = fs::read_dir(root.at(HOOKS)) else { return Ok(()) };
    let mut hooks: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    hooks.sort();
    if !hooks.is_empty() {
        // They may ask anything of anybody.
        super::rest::let_all_go(root)?;
    }
    for hook in hooks {
        let fault = |why: &dyn std::fmt::Display| {
            system(format_args!("`{}` refuses the new identity", hook.display()), why)
        };
        let child = Command::new(&hook)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.map_err(|error| fault(&error))?;
        wait_for(&mut child).map_err(|why| fault(&why))?;
    }
    Ok(())
}

fn wait_for(child: &mut Child) -> Result<(), String> {
    let deadline = Deadline::after(HOOK);
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(status.to_string()),
            Err(fault) => return Err(fault.to_string()),
            Ok(None) if deadline.passed() => {
                // It is given up either way.
                drop(child.kill());
                drop(child.wait());
                return Err(format!("it took longer than {} s", HOOK.as_secs()));
            }
            Ok(None) => pause(LOOK_AGAIN),
        }
    }
}

/// A number between 0 and 255; 0 where there is no chance.
pub(super) fn drawn() -> u8 {
    random().ok().and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(machine: &str) -> Identity {
        Identity { machine: machine.to_owned(), ..super::super::tests::wanted() }
    }

    fn record(machine: &str) -> Record {
        Record { machine: machine.to_owned(), digest: String::new(), identity: identity(machine) }
    }

    #[test]
    fn a_copy_is_told_from_the_original_by_its_disk_and_by_what_runs() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path().to_owned());
        let wanted = identity("A");
        assert_eq!(Origin::of(&root, None, &wanted), Origin::Itself);
        assert_eq!(Origin::of(&root, Some(&record("A")), &wanted), Origin::Itself);
        assert_eq!(Origin::of(&root, Some(&record("B")), &wanted), Origin::Disk);
        remember_boot(&root, "B").unwrap();
        assert_eq!(Origin::of(&root, Some(&record("B")), &wanted), Origin::Memory);
        // Cut off after the record was written: what runs was another one all the same.
        assert_eq!(Origin::of(&root, Some(&record("A")), &wanted), Origin::Memory);
        remember_boot(&root, &wanted.machine).unwrap();
        assert_eq!(Origin::of(&root, Some(&record("A")), &wanted), Origin::Itself);
    }

    #[test]
    fn nothing_of_the_other_machine_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path().to_owned());
        let old = "0123456789abcdef0123456789abcdef";
        let traces = [
            "/etc/ssh/ssh_host_rsa_key",
            "/etc/ssh/ssh_host_rsa_key.pub",
            "/var/lib/systemd/random-seed",
            "/run/systemd/netif/leases/2",
            "/var/lib/dhcp/dhclient.eth0.leases",
        ];
        let kept = ["/etc/ssh/sshd_config", "/var/lib/dhcp/notes"];
        for path in traces.iter().chain(&kept) {
            fs::create_dir_all(root.at(path).parent().unwrap()).unwrap();
            fs::write(root.at(path), "old").unwrap();
        }
        let journal = root.at(&format!("/run/log/journal/{old}"));
        fs::create_dir_all(journal).unwrap();
        fs::create_dir_all(root.at("/var/lib/dbus")).unwrap();
        fs::write(root.at("/var/lib/dbus/machine-id"), old).unwrap();
        fs::write(root.at("/etc/machine-id"), old).unwrap();
        let wanted = identity("A");
        forget(&root, Origin::Disk, &wanted).unwrap();
        assert!(traces.iter().all(|path| !root.at(path).exists()));
        assert!(kept.iter().all(|path| root.at(path).exists()));
        assert!(root.at(&format!("/run/log/journal/{}", wanted.machine_id)).is_dir());
        let dbus = fs::read_to_string(root.at("/var/lib/dbus/machine-id")).unwrap();
        assert_eq!(dbus.trim(), wanted.machine_id);
    }

    #[test]
    fn a_hook_that_fails_refuses_the_identity() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path().to_owned());
        assert_eq!(run_hooks(&root), Ok(()));
        fs::create_dir_all(root.at(HOOKS)).unwrap();
        let hook = |name: &str, text: &str| {
            let path = root.at(&format!("{HOOKS}/{name}"));
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        let told = root.at("/told");
        hook("10-first", &format!("#!/bin/sh\necho first >{}\n", told.display()));
        assert_eq!(run_hooks(&root), Ok(()));
        assert_eq!(fs::read_to_string(&told).unwrap(), "first\n");
        hook("20-second", "#!/bin/sh\nexit 3\n");
        let message = run_hooks(&root).unwrap_err().message;
        assert!(message.contains("20-second") && message.contains('3'), "{message}");
    }
}
