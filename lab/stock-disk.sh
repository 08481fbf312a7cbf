#!/usr/bin/env bash
# Makes a disk as distributions make their cloud images: partitions, a boot loader that BIOS and
# UEFI start, a stock initial RAM disk, cloud-init. Nothing of it is ours, and nothing is mounted.
#
#   lab/stock-disk.sh FILE      a raw disk; one that this script made before is left as it is
#
# Needs root, mmdebstrap, e2fsprogs, mtools, grub-pc-bin and grub-efi-amd64-bin. To boot sooner on an
# emulated processor, the stages of cloud-init that only run other people's scripts are left out.
set -euo pipefail

readonly out=$1
readonly esp_mib=16 root_mib=1200
# Which script made it: an older one may have put less in it.
this=$(sha256sum "$0" | cut -d ' ' -f 1)
readonly this
if [ -e "$out" ] && [ "$(cat "$out.made-by" 2>/dev/null)" = "$this" ]; then exit 0; fi
mkdir -p "$(dirname "$out")"
work=$(mktemp -d "${TMPDIR:-/tmp}/updraft-stock.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

mmdebstrap --quiet --mode=root --variant=minbase --format=tar \
  --aptopt='Apt::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --include=systemd-sysv,udev,dbus,iproute2,kmod,linux-image-cloud-amd64,initramfs-tools \
  --include=cloud-init,cloud-guest-utils,netplan.io,openssh-server,sudo \
  bookworm root.tar
mkdir tree
tar -C tree -xpf root.tar --exclude='./dev/*'
rm root.tar
echo 'LABEL=root / ext4 defaults 0 1' >tree/etc/fstab
echo 'datasource_list: [NoCloud, None]' >tree/etc/cloud/cloud.cfg.d/90_dpkg.cfg
units=tree/etc/systemd/system
mkdir -p $units/multi-user.target.wants
ln -s /lib/systemd/system/systemd-networkd.service $units/multi-user.target.wants/
for unit in cloud-config.service cloud-final.service apt-daily.timer apt-daily-upgrade.timer \
  e2scrub_reap.service; do
  ln -sf /dev/null $units/$unit
done
kernel=$(basename tree/boot/vmlinuz-*)
ln -sf "boot/$kernel" tree/vmlinuz
ln -sf "boot/${kernel/vmlinuz/initrd.img}" tree/initrd.img

cat >early.cfg <<'CFG'
search --no-floppy --label root --set=root
linux /vmlinuz root=LABEL=root ro console=ttyS0
initrd /initrd.img
boot
CFG
common=(part_msdos ext2 search search_label linux normal)
grub-mkimage -O i386-pc -o core.img -c early.cfg -p /boot/grub biosdisk "${common[@]}"
grub-mkimage -O x86_64-efi -o bootx64.efi -c early.cfg -p /boot/grub fat "${common[@]}"
truncate -s ${esp_mib}M esp.img
mformat -i esp.img -v ESP ::
mmd -i esp.img ::EFI ::EFI/BOOT
mcopy -i esp.img bootx64.efi ::EFI/BOOT/BOOTX64.EFI
mke2fs -q -t ext4 -L root -d tree root.img ${root_mib}M

# Puts bytes, told in hexadecimal, at a place of the disk.
poke() { printf '%b' "$(printf '%s' "$2" | sed 's/../\\x&/g')" | dd of=disk bs=1 seek="$1" conv=notrunc status=none; }
# A number of 32 bits, lowest byte first.
little() { printf '%08x' "$1" | sed -E 's/(..)(..)(..)(..)/\4\3\2\1/'; }

# A PC's boot sector, then GRUB's core in the gap before the first partition: where its own boot
# sector looks for it when nothing else is said (GRUB, boot/i386/pc/boot.S).
truncate -s $((1 + esp_mib + root_mib))M disk
dd if=/usr/lib/grub/i386-pc/boot.img of=disk bs=440 count=1 conv=notrunc status=none
poke $((0x66)) 9090
dd if=core.img of=disk bs=512 seek=1 conv=notrunc status=none
poke 446 "80feffff83feffff$(little $(((1 + esp_mib) * 2048)))$(little $((root_mib * 2048)))"
poke 462 "00feffffeffeffff$(little 2048)$(little $((esp_mib * 2048)))"
poke 510 55aa
dd if=esp.img of=disk bs=1M seek=1 conv=notrunc status=none
dd if=root.img of=disk bs=1M seek=$((1 + esp_mib)) conv=notrunc,sparse status=none
mv disk "$out.part"
mv "$out.part" "$out"
echo "$this" >"$out.made-by"
