//! Disks that boot by themselves: a boot loader that says hello, started by either firmware.

use crate::common::Lab;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use updraft_base::{ByteSize, Digest, MachineId, Timestamp};
use updraft_host::{Cmd, Host as _, LocalHost, OsChance};
use updraft_provider::{Boot, Firmware, ImageFiles, MachineOrder, Power, Provider as _, Start};

/// One disk for both: a PC's boot sector with GRUB's core behind it, and a partition for UEFI.
///
/// GRUB speaks to the serial port itself: firmware that shows a screen there moves the cursor, and
/// now and then breaks a word in two or loses a letter.
const DISK: &str = r#"
cat > early.cfg <<'CFG'
serial --unit=0
terminal_output serial
echo hello from $grub_platform
sleep 600
CFG
grub-mkimage -O i386-pc -o core.img -c early.cfg -p / biosdisk part_msdos echo sleep serial terminal
grub-mkimage -O x86_64-efi -o bootx64.efi -c early.cfg -p / part_msdos fat echo sleep serial terminal
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
            if log.contains(hello) {
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
