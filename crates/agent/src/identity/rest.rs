//! A machine that others go on from comes to rest; what goes on from there comes back to life.
//!
//! At rest everything but systemd and the agent stands still, so that nothing draws random numbers
//! or keeps time before the machine was told who it is. What a machine needs to become itself, it
//! has done then as far as it can: each that goes on from there is waited for, and the others' work
//! is not in its way, because the agent goes ahead of everything.
//!
//! Never here: what is to be forgotten of the other machine.

#![expect(
    clippy::disallowed_methods,
    reason = "the agent runs on targets, where nothing stands between it and the system"
)]

use super::inherited::{boot, cover_boot_id, drawn, remove, remove_traces, rename_journal};
use super::{HOSTNAME, MACHINE_ID, ensure_file, read, rehearsal};
use crate::failure::system;
use crate::root::Root;
use crate::tell;
use crate::time::{Deadline, pause};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;
use updraft_base::MachineId;
use updraft_wire::{Failure, Response};

/// Whether a control group stands still (cgroup v2).
const FREEZE: &str = "cgroup.freeze";

/// Services, each of them a control group.
const SERVICES: &str = "/sys/fs/cgroup/system.slice";

/// People who are logged in, all of them.
const PEOPLE: &str = "/sys/fs/cgroup/user.slice";

/// The one that is never held.
const AGENT: &str = "updraft-agent.service";

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

/// The machine that came to rest. Is there while anything still stands, for an agent that starts
/// anew meanwhile.
const RESTING: &str = "/run/updraft/resting";

/// Where that is, and what else is gone with a boot.
pub(super) const RUN: &str = "/run/updraft";

/// Has this machine come to rest, for others to go on from.
pub(crate) fn rest(root: &Root) -> Result<Response, Failure> {
    mark(root, &boot(root))?;
    rehearsal::rehearse(root);
    remove_traces(root)?;
    // A file that only grows is written sooner.
    super::write_there(&root.at(HOSTNAME), b"", 0o644)
        .map_err(|fault| system(format_args!("cannot write `{HOSTNAME}`"), fault))?;
    if root.is_system() {
        cover_boot_id()?;
        tell_of_copies("disable");
        rustix::fs::sync();
    }
    for group in groups(root).filter(|group| !group.ends_with(AGENT)) {
        switch(&group, "1")?;
    }
    if root.is_system() {
        go_ahead();
    }
    Ok(Response::Done)
}

/// Writes down that this machine has come to rest as `machine`.
pub(super) fn mark(root: &Root, machine: &str) -> Result<(), Failure> {
    ensure_file(root, RESTING, machine.as_bytes(), 0o600).map(drop)
}

/// Whether something may stand still here.
pub(super) fn is_marked(root: &Root) -> bool {
    root.at(RESTING).exists()
}

/// Lets go what is asked for things from outside. The [`HOUSEKEEPERS`]
/// follow with [`let_rest_go`].
pub(super) fn let_go(root: &Root) -> Result<(), Failure> {
    super::ALONE.store(false, Ordering::Relaxed);
    let keeps_house = |group: &PathBuf| HOUSEKEEPERS.iter().any(|name| group.ends_with(name));
    held(root).filter(|group| !keeps_house(group)).try_for_each(|group| switch(&group, "0"))
}

/// Lets go everything that still stands, unless this machine is still the one that came to rest. An
/// agent of another user than root may not, and leaves it to the machine's own.
pub(super) fn let_rest_go(root: &Root) -> Result<(), Failure> {
    let may = !root.is_system() || rustix::process::geteuid().is_root();
    let resting = root.at(RESTING);
    if !may || !resting.exists() || read(root, RESTING)? == boot(root) {
        return Ok(());
    }
    let_all_go(root)
}

/// As [`let_rest_go`], whoever this machine is.
pub(super) fn let_all_go(root: &Root) -> Result<(), Failure> {
    stand_back(root);
    super::ALONE.store(false, Ordering::Relaxed);
    // What was logged so far is journald's, which stands still up to here.
    if let Ok(template) = read(root, RESTING)?.parse::<MachineId>() {
        rename_journal(root, &template.as_hex(), read(root, MACHINE_ID)?.trim())?;
    }
    held(root).try_for_each(|group| switch(&group, "0"))?;
    if root.is_system() {
        tell_of_copies("enable");
    }
    remove(&root.at(RESTING))
}

/// The kernel's driver for QEMU's generation id, which renews the random numbers.
const HEARS_OF_COPIES: &str = "/sys/bus/acpi/drivers/vmgenid";

/// The event by which QEMU tells a guest that it goes on as another one (QEMU,
/// include/hw/acpi/acpi_dev_interface.h, `ACPI_VMGENID_CHANGE_STATUS`).
const COPIED: &str = "/sys/firmware/acpi/interrupts/gpe05";

/// Has the kernel hear of that event, or not. Where no driver waits for it, interpreting what the
/// firmware says of it is a twentieth of what an emulated machine runs on its way to become itself.
fn tell_of_copies(how: &str) {
    if Path::new(COPIED).exists() && !Path::new(HEARS_OF_COPIES).exists() {
        // A machine that hears of it takes longer, and nothing else.
        drop(fs::write(COPIED, how));
    }
}

/// The control groups that can stand still.
fn groups(root: &Root) -> impl Iterator<Item = PathBuf> {
    let services = fs::read_dir(root.at(SERVICES)).into_iter().flatten();
    let services = services.filter_map(|entry| Some(entry.ok()?.path()));
    let people = root.at(PEOPLE);
    services.chain([people]).filter(|group| group.join(FREEZE).exists())
}

/// Those that do.
fn held(root: &Root) -> impl Iterator<Item = PathBuf> {
    groups(root)
        .filter(|group| fs::read(group.join(FREEZE)).is_ok_and(|state| state.starts_with(b"1")))
}

fn switch(group: &Path, state: &str) -> Result<(), Failure> {
    let act = if state == "0" { "let go" } else { "hold" };
    fs::write(group.join(FREEZE), format!("{state}\n"))
        .map_err(|fault| system(format_args!("cannot {act} `{}`", group.display()), fault))
}

// linux/sched.h.
const SCHED_OTHER: i32 = 0;
const SCHED_FIFO: i32 = 1;
/// What a thread starts, programs above all, is scheduled like everything else.
const SCHED_RESET_ON_FORK: i32 = 0x4000_0000;

/// Has the agent's threads run whenever they have something to do. On its way to become itself a
/// machine is waited for, and what else wants its processor then (systemd, which hears of the new
/// time; the kernel's workers, which hear of everything that has happened to the devices) would
/// take a third of the time.
fn go_ahead() {
    schedule_all(SCHED_FIFO | SCHED_RESET_ON_FORK, 1);
}

/// Has the agent's threads take their turns again.
fn stand_back(root: &Root) {
    if root.is_system() {
        schedule_all(SCHED_OTHER, 0);
    }
}

/// As [`stand_back`], for the calling thread alone.
pub(super) fn stand_back_alone() {
    schedule(0, SCHED_OTHER, 0);
}

fn schedule_all(policy: i32, priority: i32) {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten();
    let ids = threads.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.for_each(|id| schedule(id, policy, priority));
}

/// A kernel that does not let us (RT_GROUP_SCHED) costs time and nothing else.
fn schedule(thread: i32, policy: i32, priority: i32) {
    #[repr(C)]
    struct Parameters {
        priority: i32,
    }
    #[expect(unsafe_code, reason = "sched_setscheduler(2), which rustix does not have")]
    unsafe extern "C" {
        fn sched_setscheduler(pid: i32, policy: i32, parameters: *const Parameters) -> i32;
    }
    #[expect(unsafe_code, reason = "it reads one structure, which is there")]
    unsafe {
        sched_setscheduler(thread, policy, &Parameters { priority });
    }
}

/// Between two looks at what the processor does.
const IDLE_LOOK: Duration = Duration::from_millis(250);

/// So long after it went on, and up to as long again by chance, a machine begins with what nobody
/// waits for, if it was not told another time. Who asks for a machine is often about to log in.
const REST_AFTER: Duration = Duration::from_secs(5);

/// At the latest after this long more it begins, however busy the machine is.
const REST_WITHIN: Duration = Duration::from_secs(5);

/// So long after that, and up to as long again by chance, a machine has the services start anew that
/// know the other one's id, which costs 3 s of an emulated processor.
const TELL_AFTER: Duration = Duration::from_secs(30);

/// At the latest after this long more, services are told, however busy the machine is.
const TELL_WITHIN: Duration = Duration::from_secs(20);

/// Leaves the processor and the disk to whoever waits for the machine.
pub(super) fn wait_for_people(quiet: Option<Duration>) {
    wait(quiet.unwrap_or(REST_AFTER), REST_WITHIN);
}

/// Waits for `after`, up to as long again by chance, and then for calm.
fn wait(after: Duration, within: Duration) {
    pause(after + after * u32::from(drawn()) / 256);
    wait_for_calm(within);
}

/// Lets the housekeepers go, and once nothing else wants the processor has those start anew
/// that know the other machine's id: journald keeps a machine-id for its files, networkd one for
/// DHCP, each for as long as it runs. Nobody waits for it.
pub(super) fn tell_services(root: &Root) {
    if let Err(failure) = let_rest_go(root) {
        tell(&format!("updraft-agent: {}\n", failure.message));
    }
    wait(TELL_AFTER, TELL_WITHIN);
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
    use super::super::inherited::remember_boot;
    use super::*;

    #[test]
    fn what_stands_still_is_let_go_and_who_keeps_house_last() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path().to_owned());
        assert_eq!(let_go(&root), Ok(()), "a machine without control groups holds nothing");
        let groups = [
            "system.slice/ssh.service",
            "system.slice/cron.service",
            "user.slice",
            "system.slice/updraft-agent.service",
        ];
        let switch = |group: &str| root.at(&format!("/sys/fs/cgroup/{group}/{FREEZE}"));
        for group in groups {
            fs::create_dir_all(switch(group).parent().unwrap()).unwrap();
            fs::write(switch(group), "0\n").unwrap();
        }
        fs::write(root.at("/sys/fs/cgroup/system.slice/cgroup.procs"), "").unwrap();
        let states = || groups.map(|group| fs::read_to_string(switch(group)).unwrap());
        remember_boot(&root, "template").unwrap();
        assert_eq!(rest(&root), Ok(Response::Done));
        assert_eq!(states(), ["1\n", "1\n", "1\n", "0\n"]);
        let_rest_go(&root).unwrap();
        assert_eq!(states(), ["1\n", "1\n", "1\n", "0\n"], "the machine is not itself yet");
        remember_boot(&root, "machine").unwrap();
        let_go(&root).unwrap();
        assert_eq!(states(), ["0\n", "1\n", "0\n", "0\n"]);
        let_rest_go(&root).unwrap();
        assert_eq!(states(), ["0\n"; 4]);
        assert!(!root.at(RESTING).exists());
    }
}
