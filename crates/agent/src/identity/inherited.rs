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

use super::{Record, read};
use crate::failure::system;
use crate::files::random;
use crate::root::Root;
use crate::tell;
use crate::time::{Deadline, pause};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use updraft_wire::{Failure, Identity, Seed};

/// Which machine this boot has been, gone with the boot.
const THIS_BOOT: &str = "/run/updraft/machine";

/// The boot id we put over the kernel's.
const BOOT_ID: &str = "/run/updraft/boot_id";

/// The kernel's (proc_sys_kernel(5)).
const KERNEL_BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Whether a control group stands still (cgroup v2).
const FREEZE: &str = "cgroup.freeze";

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
    let dbus = root.at("/var/lib/dbus/machine-id");
    if fs::symlink_metadata(&dbus).is_ok_and(|facts| facts.is_file()) {
        super::ensure_file(
            root,
            "/var/lib/dbus/machine-id",
            format!("{}\n", wanted.machine_id).as_bytes(),
            0o644,
        )?;
    }
    rename_journal(root, wanted)?;
    if origin == Origin::Memory && root.is_system() {
        renew_boot_id()?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => {
            Err(system(format_args!("cannot remove `{}`", path.display()), fault))
        }
        _ => Ok(()),
    }
}

/// What was logged so far goes on under the new machine-id, where journalctl looks for it.
fn rename_journal(root: &Root, wanted: &Identity) -> Result<(), Failure> {
    let old = read(root, "/etc/machine-id")?;
    let old = old.trim();
    if old.len() != 32 || old == wanted.machine_id {
        return Ok(());
    }
    for journal in ["/run/log/journal", "/var/log/journal"] {
        let from = root.at(&format!("{journal}/{old}"));
        let to = root.at(&format!("{journal}/{}", wanted.machine_id));
        if from.is_dir() && !to.exists() {
            fs::rename(&from, &to).map_err(|fault| {
                system(format_args!("cannot rename `{}`", from.display()), fault)
            })?;
        }
    }
    Ok(())
}

/// Puts a boot id of our own over the kernel's, which cannot be changed: whoever asks from now on
/// sees a boot that no other machine had.
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
    let fault = |fault: &dyn std::fmt::Display| system("cannot give this boot its own id", fault);
    fs::create_dir_all("/run/updraft").map_err(|error| fault(&error))?;
    fs::write(BOOT_ID, id).map_err(|error| fault(&error))?;
    // The file is the one that is mounted there already when a copy is copied.
    if fs::read(BOOT_ID).ok() != fs::read(KERNEL_BOOT_ID).ok() {
        rustix::mount::mount_bind(BOOT_ID, KERNEL_BOOT_ID).map_err(|error| fault(&error))?;
    }
    Ok(())
}

/// Which machine this boot has been; empty when nobody wrote it down.
fn boot(root: &Root) -> String {
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

/// Services that nobody outside asks for anything. What they do for a machine that has just come to
/// life (udev's rules for its card, the journal's files, networkd's look at the card) would take the
/// processor from whoever wants the machine first, and can wait.
const HOUSEKEEPERS: &[&str] = &[
    "cron.service",
    "systemd-journald.service",
    "systemd-networkd.service",
    "systemd-timesyncd.service",
    "systemd-udevd.service",
];

/// Is there while housekeepers still stand, for an agent that starts anew meanwhile.
const RESTING: &str = "/run/updraft/resting";

/// Lets go what stands still since the machine became a template: everything but systemd itself and
/// the agent, so that nothing of the other machine ran until now. The [`HOUSEKEEPERS`] follow with
/// [`let_rest_go`].
pub(super) fn let_go(root: &Root) -> Result<(), Failure> {
    let (later, now): (Vec<_>, Vec<_>) = held(root)
        .into_iter()
        .partition(|group| HOUSEKEEPERS.iter().any(|name| group.ends_with(name)));
    if !later.is_empty() {
        super::ensure_file(root, RESTING, b"", 0o600)?;
    }
    now.iter().try_for_each(|group| go(group))
}

/// Lets go everything that still stands. An agent of another user than root may not, and leaves it to
/// the machine's own.
pub(super) fn let_rest_go(root: &Root) -> Result<(), Failure> {
    let resting = root.at(RESTING);
    let may = !root.is_system() || rustix::process::geteuid().is_root();
    if !may || !resting.exists() {
        return Ok(());
    }
    held(root).iter().try_for_each(|group| go(group))?;
    remove(&resting)
}

/// The control groups that stand still.
fn held(root: &Root) -> Vec<PathBuf> {
    let groups = root.at("/sys/fs/cgroup");
    let services = fs::read_dir(groups.join("system.slice")).into_iter().flatten();
    let services = services.filter_map(|entry| Some(entry.ok()?.path()));
    let stands =
        |group: &PathBuf| fs::read(group.join(FREEZE)).is_ok_and(|state| state.starts_with(b"1"));
    services.chain([groups.join("user.slice")]).filter(stands).collect()
}

fn go(group: &Path) -> Result<(), Failure> {
    fs::write(group.join(FREEZE), "0\n")
        .map_err(|fault| system(format_args!("cannot let go `{}`", group.display()), fault))
}

/// Runs what services with an identity of their own have brought.
pub(super) fn run_hooks(root: &Root) -> Result<(), Failure> {
    let Ok(entries) = fs::read_dir(root.at(HOOKS)) else { return Ok(()) };
    let mut hooks: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    hooks.sort();
    if !hooks.is_empty() {
        // They may ask anything of anybody.
        let_rest_go(root)?;
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

/// Between two looks at what the processor does.
const IDLE_LOOK: Duration = Duration::from_millis(250);

/// So long after it went on, and up to as long again by chance, a machine has the services start anew
/// that know the other one's id: that costs 3 s of an emulated processor, which many that came to
/// life together would take from each other while people wait for all of them.
const TELL_AFTER: Duration = Duration::from_secs(30);

/// At the latest after this long more, services are told, however busy the machine is.
const TELL_WITHIN: Duration = Duration::from_secs(20);

/// At the latest after this long the housekeepers are let go.
const REST_WITHIN: Duration = Duration::from_secs(5);

/// Once nothing else wants the processor, lets the housekeepers go, and later has those start anew
/// that know the other machine's id: journald keeps a machine-id for its files, networkd one for
/// DHCP, each for as long as it runs. Nobody waits for it.
pub(super) fn tell_services(root: &Root) {
    let root = root.clone();
    std::thread::spawn(move || {
        wait_for_calm(REST_WITHIN);
        if let Err(failure) = let_rest_go(&root) {
            tell(&format!("updraft-agent: {}\n", failure.message));
        }
        pause(TELL_AFTER + TELL_AFTER * u32::from(drawn()) / 256);
        wait_for_calm(TELL_WITHIN);
        let said = Command::new("systemctl")
            .args(["--no-block", "try-restart"])
            .args(["systemd-journald.service", "systemd-networkd.service"])
            .stdin(Stdio::null())
            .output();
        if let Ok(said) = said
            && !said.status.success()
        {
            let words = String::from_utf8_lossy(&said.stderr);
            tell(&format!("updraft-agent: cannot tell services their new id: {}\n", words.trim()));
        }
    });
}

/// A number between 0 and 255; 0 where there is no chance.
fn drawn() -> u8 {
    random().ok().and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok()).unwrap_or(0)
}

/// Waits until the processors were idle for two looks in a row.
fn wait_for_calm(within: Duration) {
    let deadline = Deadline::after(within);
    let mut before = idle_share();
    let mut calm = 0;
    while calm < 2 && !deadline.passed() {
        pause(IDLE_LOOK);
        let now = idle_share();
        let (idle, all) = (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1));
        calm = if idle * 10 >= all * 8 { calm + 1 } else { 0 };
        before = now;
    }
}

/// Ticks the processors were idle, and all ticks (proc_stat(5)).
fn idle_share() -> (u64, u64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let numbers = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).take(8).collect();
    (ticks.iter().skip(3).take(2).sum(), ticks.iter().sum())
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
    fn what_stands_still_is_let_go_and_who_keeps_house_last() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path().to_owned());
        assert_eq!(let_go(&root), Ok(()), "a machine without control groups holds nothing");
        let groups = ["system.slice/ssh.service", "system.slice/cron.service", "user.slice"];
        let switch = |group: &str| root.at(&format!("/sys/fs/cgroup/{group}/{FREEZE}"));
        for group in groups {
            fs::create_dir_all(switch(group).parent().unwrap()).unwrap();
            fs::write(switch(group), "1\n").unwrap();
        }
        fs::write(root.at("/sys/fs/cgroup/system.slice/cgroup.procs"), "").unwrap();
        let states = || groups.map(|group| fs::read_to_string(switch(group)).unwrap());
        let_rest_go(&root).unwrap();
        assert_eq!(states(), ["1\n"; 3], "the machine is not itself yet");
        let_go(&root).unwrap();
        assert_eq!(states(), ["0\n", "1\n", "0\n"]);
        let_rest_go(&root).unwrap();
        assert_eq!(states(), ["0\n"; 3]);
        assert!(!root.at(RESTING).exists());
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
