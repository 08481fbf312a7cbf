#!/usr/bin/env bash
# A Vagrant box on a real guest: packed as Vagrant packs them for libvirt, unpacked, booted by its
# own boot loader, told who it is, and grown while it runs.
#
#   lab/box.sh
#
# Needs root, a release build, and what lab/stock-disk.sh needs. The stock disk is kept in target/;
# the image is in a store of this story's own.
set -euo pipefail
# shellcheck source=lab/common.sh
. "$(dirname "$0")/common.sh"

site=$scratch/box
export UPDRAFT_STORE=$scratch/store
disk=$repository/target/lab-stock/disk.raw
trap 'clean_up $?' EXIT

on() { "$updraft" -C "$site" exec "$1" --shell "$2" 2>/dev/null | sed 's/^[^|]*| //'; }

# The id that was drawn for the one machine there is, as hexadecimal digits.
drawn_id() { tr '\0' '\n' <"/proc/$(guests)/cmdline" | sed -n '/^-uuid$/{n;s/-//g;p}'; }

mkdir -p "$site"
ssh-keygen -q -t ed25519 -N '' -C ops -f "$scratch/ops"
cp "$scratch/ops.pub" "$site/ops.pub"

claim "a stock disk is packed as a box"
"$repository/lab/stock-disk.sh" "$disk"
"$repository/lab/pack-box.sh" "$disk" "$site/stock.box"
cat >"$site/updraft.yaml" <<YAML
site: boxes
domain: boxes.test
admins: { ops: { keys: [ops.pub] } }
networks: { lan: { cidr: 10.82.0.0/24 } }
images:
  stock: { box: stock.box, digest: "sha256:$(sha256sum "$site/stock.box" | cut -d ' ' -f 1)" }
groups:
  old: { image: stock, memory: 384MiB }
YAML

claim "a machine comes up from it"
must up --yes
must plan --detailed-exitcode

claim "it is the machine that was planned, and its admin may become root"
same "$(on old-1 hostname)" old-1 "its name"
same "$(on old-1 'cat /etc/machine-id')" "$(drawn_id)" "its machine-id"
same "$(on old-1 "ip -4 -o addr show scope global | awk '{print \$4}'")" "$(address_of old-1)/24" "its addresses"
until_true "ssh as the admin" 180 ssh -F "$site/.updraft/ssh_config" -i "$scratch/ops" -o BatchMode=yes ops@old-1 sudo -n true

claim "its disk grows while it runs, with its partition and its filesystem"
boot=$(on old-1 'cat /proc/sys/kernel/random/boot_id')
must machine resize old-1 --disk 4GiB
size=$(on old-1 "df --output=size -BM / | tail -n 1 | tr -dc 0-9")
[ "$size" -gt 3600 ] || fail "its root filesystem has $size MiB"
same "$(on old-1 'cat /proc/sys/kernel/random/boot_id')" "$boot" "its boot"

claim "it is the same machine after a restart with more memory"
sed -i 's/memory: 384MiB/memory: 448MiB, disk: 4GiB/' "$site/updraft.yaml"
keys=$(on old-1 'cat /etc/ssh/ssh_host_*_key.pub' | sort)
must up --yes
same "$(on old-1 'cat /etc/ssh/ssh_host_*_key.pub' | sort)" "$keys" "its host keys"
same "$(on old-1 hostname)" old-1 "its name"
must plan --detailed-exitcode
end_claim
