#!/usr/bin/env bash
# Packs a raw disk as `vagrant package` leaves a box of vagrant-libvirt: the size of the disk in GiB
# is in its words.
#
#   lab/pack-box.sh DISK BOX
#
# Needs qemu-utils. The disk is left as it is, the box appears when it is whole.
set -euo pipefail

readonly disk=$1 box=$2 gib=2
work=$(mktemp -d "$(dirname "$box")/pack.XXXXXX")
trap 'rm -rf "$work"' EXIT

qemu-img convert -O qcow2 "$disk" "$work/box.img"
qemu-img resize -q "$work/box.img" ${gib}G
echo '{"provider": "libvirt", "format": "qcow2", "virtual_size": '$gib'}' >"$work/metadata.json"
printf 'Vagrant.configure("2") do |config|\n  config.vm.provider :libvirt\nend\n' >"$work/Vagrantfile"
tar -C "$work" -czf "$work/whole.box" ./metadata.json ./Vagrantfile ./box.img
mv "$work/whole.box" "$box"
