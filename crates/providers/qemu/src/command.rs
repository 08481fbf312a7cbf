//! The command line of QEMU for one guest: pure, and held by a golden file.

use crate::Acceleration;
use crate::memory::Layout;
use crate::place::Place;
use std::ffi::OsString;
use std::path::Path;
use updraft_base::Mac;
use updraft_host::Cmd;
use updraft_provider::{Boot, Firmware, MachineOrder, outlet};

/// Name of the virtio-serial port that the agent serves.
pub(crate) const AGENT_PORT: &str = "updraft.agent.0";

/// The emulator for guests of this computer's kind.
pub(crate) fn emulator() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "qemu-system-aarch64",
        _ => "qemu-system-x86_64",
    }
}

/// What tells the emulator how to run a guest's instructions.
///
/// Emulated: 128 MiB of translated code. 64 MiB are enough to boot, 32 MiB are not (19 s instead of
/// 12 s); a machine that is configured after it fills 100 MiB, and with 64 MiB translates twice what
/// it needs: 16.4 s of processor for the three of hello instead of 15.5 s, each five times in turn.
/// A machine takes what it fills: 40 MiB more then. `qemu64` boots faster than newer models, because
/// newer instructions cost an emulator more than they save (17.9 s instead of 12.3 s with Nehalem).
/// Measured 2026-11-21 and 22, QEMU 7.2, Debian 12 guest.
pub(crate) fn acceleration_args(acceleration: &Acceleration) -> [&'static str; 4] {
    match acceleration {
        Acceleration::Kvm => ["-accel", "kvm", "-cpu", "host"],
        Acceleration::Emulated { .. } => ["-accel", "tcg,tb-size=128", "-cpu", "qemu64"],
    }
}

/// Where a guest's memory is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Memory<'a> {
    /// In its process: it boots.
    Own,
    /// In a file that is written as the guest runs: it boots, to become a template. Nothing in
    /// what it sees says who it is.
    Kept(&'a Path),
    /// In a file that is copied on write: it waits for the state of a template's devices, and gets
    /// its cards only when it has that.
    Copied(&'a Path),
    /// In its process: it waits for all memory and the state of its devices, which are where they
    /// were in the guest that these come from.
    Handed(Layout),
}

/// Version of the devices that a template's guest has. Machines can only go on from a template of
/// the same: raise it with every change to the command line that what runs inside can see.
pub(crate) const LAYOUT: &str = "4";

/// Slots for cards that are plugged in while a guest runs. Each costs what runs inside some time
/// and memory, so no more than a site has use for.
pub(crate) const SLOTS: usize = 4;

/// The command that runs a guest. `place` is where its files are.
pub(crate) fn qemu(
    order: &MachineOrder,
    place: &Place,
    acceleration: &Acceleration,
    memory: Memory<'_>,
) -> Cmd {
    let uefi = matches!(order.files.boot, Boot::Firmware { firmware: Firmware::Uefi, .. });
    let flash = if uefi { ",pflash0=code,pflash1=state" } else { "" };
    let slots = !matches!(memory, Memory::Own | Memory::Handed(Layout::Plain));
    let backend = if slots { ",memory-backend=ram" } else { "" };
    let mut cmd = Cmd::new(emulator())
        .args(["-name", &format!("guest={},process=updraft-guest", order.name)])
        .args(uuid_args(order, memory))
        .args(memory_args(order, memory))
        .args(["-machine", &format!("q35,graphics=off,usb=off,vmport=off,hpet=off{flash}{backend}")])
        .args(acceleration_args(acceleration))
        .args(["-m", &format!("{}M", order.memory.as_mib())])
        .args(["-smp", &order.cpus.to_string()])
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"])
        .arg("-pidfile")
        .arg(place.pidfile())
        .args(boot_args(order, place, acceleration, memory))
        .arg("-blockdev")
        .arg(format!(
            "driver=qcow2,node-name=disk,discard=unmap,file.driver=file,file.discard=unmap,file.filename={}",
            comma_safe(&place.disk().to_string_lossy())
        ))
        .args(["-device", "virtio-blk-pci,drive=disk,bootindex=1"])
        .args(seed_args(order, place))
        .args(["-device", "virtio-rng-pci"])
        .args(["-device", &format!("vmgenid,guid={}", generation(order, memory))])
        .args(["-device", "virtio-serial-pci"])
        .args(slot_args(slots));
    let sockets = [
        ("agent", place.agent_socket(), String::new()),
        ("qmp", place.qmp_socket(), String::new()),
        (
            "console",
            place.console_socket(),
            format!(",logfile={},logappend=on", comma_safe(&place.console_log().to_string_lossy())),
        ),
    ];
    for (name, path, more) in sockets {
        let path = comma_safe(&path.to_string_lossy());
        cmd = cmd
            .args(["-chardev", &format!("socket,id={name},path={path},server=on,wait=off{more}")]);
    }
    cmd = cmd
        .args(["-device", &format!("virtserialport,chardev=agent,name={AGENT_PORT}")])
        .args(["-mon", "chardev=qmp,mode=control"])
        .args(["-serial", "chardev:console"]);
    if matches!(memory, Memory::Copied(_) | Memory::Handed(_)) {
        cmd = cmd.args(["-S", "-incoming", "defer"]);
    }
    let vhost = if matches!(acceleration, Acceleration::Kvm) { ",vhost=on" } else { "" };
    for (index, mac) in cards(order, memory).into_iter().enumerate() {
        let tap = tap_name(order, index);
        let slot = match slots {
            true => format!(",bus={},id=nic{index}", slot_name(index)),
            false => String::new(),
        };
        cmd = cmd
            .args([
                "-netdev",
                &format!("tap,id=net{index},ifname={tap},script=no,downscript=no{vhost}"),
            ])
            .args([
                "-device",
                &format!("virtio-net-pci,netdev=net{index},mac={mac},romfile={slot}"),
            ]);
    }
    if matches!(memory, Memory::Copied(_)) {
        return cmd;
    }
    if order.outlet {
        cmd = cmd.args(["-netdev", "user,id=outlet,ipv6=off"]).args([
            "-device",
            &format!("virtio-net-pci,netdev=outlet,mac={},romfile=", outlet::MAC),
        ]);
    }
    cmd
}

/// The cards that a guest has from the start of its process.
fn cards(order: &MachineOrder, memory: Memory<'_>) -> Vec<Mac> {
    let own = order.nics.iter().map(|nic| nic.mac);
    match memory {
        Memory::Kept(_) => vec![Mac::TEMPLATE; cards_of_template(order)],
        // It must have what its template has.
        Memory::Copied(_) => own.chain([Mac::TEMPLATE]).take(cards_of_template(order)).collect(),
        Memory::Own | Memory::Handed(_) => own.collect(),
    }
}

/// A template has one card, on an interface that QEMU makes and takes along with it, in no network:
/// plugging one in would cost what goes on from there a quarter of the time that it takes to come to
/// life. What others made has none: it may wait for an answer on any card that it finds.
pub(crate) fn cards_of_template(order: &MachineOrder) -> usize {
    match order.files.boot {
        Boot::Kernel { .. } => 1,
        Boot::Firmware { .. } => 0,
    }
}

/// Code of Debian's UEFI (package ovmf), and what it remembers when it is new.
pub(crate) const UEFI_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
pub(crate) const UEFI_STATE: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// Who the firmware says it is. What a template's guest saw of that, all copies would see.
fn uuid_args(order: &MachineOrder, memory: Memory<'_>) -> Vec<String> {
    match memory {
        Memory::Kept(_) => Vec::new(),
        Memory::Own | Memory::Copied(_) | Memory::Handed(_) => {
            vec!["-uuid".to_owned(), order.id.as_uuid()]
        }
    }
}

/// Memory in a file. `share=off` maps it copy-on-write; from QEMU 8.2 on, `readonly=on,rom=off`
/// would say the same and open the file for reading only.
fn memory_args(order: &MachineOrder, memory: Memory<'_>) -> Vec<String> {
    let (file, share) = match memory {
        Memory::Own | Memory::Handed(Layout::Plain) => return Vec::new(),
        Memory::Handed(Layout::Slots) => {
            let size = order.memory.as_mib();
            return vec!["-object".to_owned(), format!("memory-backend-ram,id=ram,size={size}M")];
        }
        Memory::Kept(file) => (file, "on"),
        Memory::Copied(file) => (file, "off"),
    };
    let (size, file) = (order.memory.as_mib(), comma_safe(&file.to_string_lossy()));
    vec![
        "-object".to_owned(),
        format!("memory-backend-file,id=ram,size={size}M,mem-path={file},share={share}"),
    ]
}

/// Which of its lives a guest is in: one that goes on from a moment that was kept is in another, and
/// its kernel renews its random numbers (virtual machine generation id, docs/specs/vmgenid.rst).
fn generation(order: &MachineOrder, memory: Memory<'_>) -> String {
    match memory {
        Memory::Handed(_) => "auto".to_owned(),
        _ => order.id.as_uuid(),
    }
}

fn slot_args(slots: bool) -> Vec<String> {
    let slots = if slots { SLOTS } else { 0 };
    let slot = |index| format!("pcie-root-port,id={},chassis={}", slot_name(index), index + 1);
    (0..slots).flat_map(|index| ["-device".to_owned(), slot(index)]).collect()
}

/// Name of the slot for a card.
pub(crate) fn slot_name(index: usize) -> String {
    format!("slot{index}")
}

/// What boots: a kernel, or what the firmware finds.
fn boot_args(
    order: &MachineOrder,
    place: &Place,
    acceleration: &Acceleration,
    memory: Memory<'_>,
) -> Vec<OsString> {
    match &order.files.boot {
        Boot::Kernel { kernel, initrd, cmdline } => {
            let mut cmdline = format!("{cmdline} panic=10");
            // What has to be translated is what time goes into: docs/decisions/0015.
            if matches!(acceleration, Acceleration::Emulated { .. }) {
                cmdline += " norandmaps mitigations=off";
            }
            if !matches!(memory, Memory::Kept(_)) {
                let (id, name) = (order.id.as_hex(), &order.name);
                cmdline += &format!(" systemd.machine_id={id} systemd.hostname={name}");
            }
            vec![
                "-kernel".into(),
                kernel.into(),
                "-initrd".into(),
                initrd.into(),
                "-append".into(),
                cmdline.into(),
            ]
        }
        Boot::Firmware { firmware: Firmware::Bios, .. } => Vec::new(),
        Boot::Firmware { firmware: Firmware::Uefi, .. } => {
            let state = comma_safe(&place.firmware_state().to_string_lossy());
            vec![
                "-blockdev".into(),
                format!("driver=raw,node-name=code,read-only=on,file.driver=file,file.filename={UEFI_CODE}").into(),
                "-blockdev".into(),
                format!("driver=raw,node-name=state,file.driver=file,file.filename={state}").into(),
            ]
        }
    }
}

/// The seed as a second disk, for images that are told by one.
fn seed_args(order: &MachineOrder, place: &Place) -> Vec<OsString> {
    match &order.files.boot {
        Boot::Kernel { .. } => Vec::new(),
        Boot::Firmware { .. } => {
            let seed = comma_safe(&place.seed().to_string_lossy());
            vec![
                "-blockdev".into(),
                format!(
                    "driver=raw,node-name=seed,read-only=on,file.driver=file,file.filename={seed}"
                )
                .into(),
                "-device".into(),
                "virtio-blk-pci,drive=seed".into(),
            ]
        }
    }
}

/// Name of the tap of a machine's card: at most 15 bytes, told apart by the random end of the id.
pub(crate) fn tap_name(order: &MachineOrder, index: usize) -> String {
    tap_of(&order.id.tail(), index)
}

/// As [`tap_name`], from the end of an id.
pub(crate) fn tap_of(tail: &str, index: usize) -> String {
    match index {
        0 => format!("ud{tail}"),
        more => format!("ud{tail}n{more}"),
    }
}

/// A comma in a value is doubled (qemu(1), "keyvalue" options).
fn comma_safe(text: &str) -> String {
    text.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::tests::{order, place};

    fn check_golden(memory: Memory<'_>, name: &str) {
        let emulated = Acceleration::Emulated { why: String::new() };
        let cmd = qemu(&order(), &place(), &emulated, memory);
        let mut text = String::new();
        for word in cmd.argv() {
            let word = word.to_string_lossy();
            text.push_str(if word.starts_with('-') { "\n" } else { " " });
            text.push_str(&word);
        }
        let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if text.trim() != expected.trim() {
            std::fs::write(golden.with_extension("new"), text.trim().to_owned() + "\n").unwrap();
        }
        assert_eq!(text.trim(), expected.trim(), "see tests/{name} and the .new beside it");
    }

    #[test]
    fn the_command_line_is_the_one_that_was_tested() {
        check_golden(Memory::Own, "qemu.golden");
    }

    /// A change here needs a new [`LAYOUT`].
    #[test]
    fn a_template_and_its_machines_have_the_same_devices_in_the_same_places() {
        check_golden(Memory::Kept("/store/templates/t/ram".as_ref()), "template.golden");
        check_golden(Memory::Copied("/store/templates/t/ram".as_ref()), "live.golden");
        check_golden(Memory::Handed(Layout::Slots), "handed-slots.golden");
        check_golden(Memory::Handed(Layout::Plain), "handed-plain.golden");
    }

    #[test]
    fn nothing_a_template_sees_says_who_it_is() {
        let emulated = Acceleration::Emulated { why: String::new() };
        let cmd = qemu(&order(), &place(), &emulated, Memory::Kept("/ram".as_ref()));
        let words: Vec<String> =
            cmd.argv().iter().map(|word| word.to_string_lossy().into_owned()).collect();
        assert!(!words.contains(&"-uuid".to_owned()));
        assert!(words.iter().all(|word| !word.contains("systemd.hostname")), "{words:?}");
    }

    #[test]
    fn tap_names_fit_the_kernel_and_differ() {
        let names: Vec<String> = (0..3).map(|index| tap_name(&order(), index)).collect();
        assert!(names.iter().all(|name| name.len() <= 15), "{names:?}");
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn a_comma_in_a_path_does_not_end_an_option() {
        assert_eq!(comma_safe("/srv/a,b"), "/srv/a,,b");
    }
}
