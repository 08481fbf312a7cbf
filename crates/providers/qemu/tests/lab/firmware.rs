//! Disks that boot by themselves: a boot loader that says hello, started by either firmware.

use crate::common::Lab;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use updraft_base::{ByteSize, Digest, MachineId, Timestamp};
use updraft_host::{Cmd, Host as _, LocalHost, OsChance};
use updraft_provider::{Boot, Firmware, ImageFiles, MachineOrder, Power, Provider as _, Start};

/// One disk for both: a PC's boot sector with GRUB's core behind it, and a partition for UEFI.
const DISK: &str = r#"
echo 'echo hello from $grub_platform; sleep --verbose 600' > early.cfg
grub-mkimage -O i386-pc -o core.img -c early.cfg -p / biosdisk part_msdos echo sleep normal serial terminal
grub-mkimage -O x86_64-efi -o bootx64.efi -c early.cfg -p / part_msdos fat echo sleep normal
truncate -s 16M esp.img
mformat -i esp.img ::
mmd -i esp.img ::EFI ::EFI/BOOT
mcopy -i esp.img bootx64.efi ::EFI/BOOT/BOOTX64.EFI
truncate -s 17M disk.raw
dd if=/usr/lib/grub/i386-pc/boot.img of=disk.raw bs=440 count=1 conv=notrunc status=none
printf '\220\220' | dd of=disk.raw bs=1 seek=102 conv=notrunc status=none
dd if=core.img of=disk.raw bs=512 seek=1 conv=notrunc status=none
# Type ef, from the first MiB, 16 MiB long.
printf '\200\376\377\377\357\376\377\377\000\010\000\000\000\200\000\000' |
    dd of=disk.raw bs=1 seek=446 conv=notrunc status=none
printf '\125\252' | dd of=disk.raw bs=1 seek=510 conv=notrunc status=none
dd if=esp.img of=disk.raw bs=1M seek=1 conv=notrunc status=none
qemu-img convert -O qcow2 disk.raw disk.qcow2
"#;

fn order(dir: &Path, firmware: Firmware) -> MachineOrder {
    MachineOrder {
        id: MachineId::draw(Timestamp::UNIX_EPOCH, &mut OsChance),
        name: "stock-1".parse().unwrap(),
        group: "stock".parse().unwrap(),
        memory: ByteSize::mib(256),
        cpus: 1,
        disk: ByteSize::mib(32),
        image: Digest::of("stock"),
        files: ImageFiles {
            disk: dir.join("disk.qcow2"),
            boot: Boot::Firmware { firmware, agent: dir.join("early.cfg") },
        },
        nics: Vec::new(),
        outlet: true,
        start: Start::Cold,
    }
}

/// What a console shows, without the escape sequences (ECMA-48, 5.4) by which firmware moves the
/// cursor: now and then one comes in the middle of a word.
fn without_escapes(log: &str) -> String {
    let mut parts = log.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let end = part.find(|c: char| ('@'..='~').contains(&c)).map_or(part.len(), |at| at + 1);
        text + &part[end..]
    })
}

#[test]
fn words_are_found_among_escape_sequences() {
    let log = "\x1b[2J\x1b[02;24Hhe\x1b[07;02H\x1b[07;03Hllo from pc\x1b[0m; \x1b[1";
    assert_eq!(without_escapes(log), "hello from pc; ");
}

#[tokio::test]
async fn a_disk_boots_by_its_own_boot_loader_through_either_firmware() {
    let lab = Lab::new("firmware").await;
    let provider = lab.provider(1);
    let dir = tempfile::tempdir().unwrap();
    LocalHost.run(Cmd::new("bash").args(["-ec", DISK]).cwd(dir.path())).await.unwrap();
    for (firmware, hello) in [(Firmware::Bios, "hello from pc"), (Firmware::Uefi, "hello from efi")]
    {
        let order = order(dir.path(), firmware);
        provider.create_machine(&order).await.unwrap();
        provider.start_machine(order.id).await.unwrap();
        let began = Instant::now();
        loop {
            let log = std::fs::read(provider.console_log(order.id)).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            if without_escapes(&log).contains(hello) {
                println!("{hello} after {:?}", began.elapsed());
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(90), "no `{hello}` in: {log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let seen = provider.observe().await.unwrap();
        assert_eq!(seen.machines[0].power, Power::On);
        provider.destroy_machine(order.id).await.unwrap();
        assert!(provider.observe().await.unwrap().machines.is_empty());
    }
}
