#!/usr/bin/env bash
# A suite of Ubuntu on a real guest: built from Ubuntu's archive, booted, told who it is, reached by
# SSH, and the same machine after a restart.
#
#   lab/ubuntu.sh [SUITE]      noble unless another one is named
#
# Needs root, a release build, Ubuntu's archive (UBUNTU_MIRROR names another than the usual one) and
# its keys in /usr/share/keyrings, which `scripts/setup.sh long` puts there. The image stays in the
# store.
set -euo pipefail
# shellcheck source=lab/common.sh
. "$(dirname "$0")/common.sh"

suite=${1:-noble}
mirror=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}
site=$scratch/ubuntu
trap 'clean_up $?' EXIT

on() { "$updraft" -C "$site" exec "$1" --shell "$2" 2>/dev/null | sed 's/^[^|]*| //'; }

as_admin() { ssh -F "$site/.updraft/ssh_config" -i "$scratch/ops" -o BatchMode=yes ops@web-1 "$@"; }

keys=/usr/share/keyrings/ubuntu-archive-keyring.gpg
[ -e $keys ] || fail "there is no $keys: scripts/setup.sh long puts it there"
mkdir -p "$site"
ssh-keygen -q -t ed25519 -N '' -C ops -f "$scratch/ops"
cp "$scratch/ops.pub" "$site/ops.pub"
# Since 24.04 systemd listens for sshd, which starts with the first connection.
cat >"$site/updraft.yaml" <<YAML
site: ubuntu
domain: ubuntu.test
admins: { ops: { keys: [ops.pub] } }
networks: { lan: { cidr: 10.82.0.0/24 } }
images:
  ubuntu:
    bootstrap: $suite
    mirror: $mirror
    test: ["grep -q $suite /etc/os-release", "systemctl is-active ssh.socket || systemctl is-active ssh"]
groups:
  web: { image: ubuntu, memory: 384MiB }
YAML

claim "$suite is built from $mirror"
must image build ubuntu

claim "a machine comes up from it, and a second up does nothing"
must up --yes
must plan --detailed-exitcode

claim "it is the machine that was planned, and its admin comes in by SSH and may become root"
says <(on web-1 'cat /etc/os-release') "^VERSION_CODENAME=$suite"
same "$(on web-1 hostname)" web-1 "its name"
same "$(on web-1 "ip -4 -o addr show scope global | awk '{print \$4}'")" "$(address_of web-1)/24" "its addresses"
until_true "ssh as the admin" 300 as_admin sudo -n true
same "$(as_admin hostname)" web-1 "its name by SSH"
same "$(on web-1 'ls /etc/ssh/ssh_host_*_key | wc -l')" 1 "host keys"

claim "it is the same machine after a restart with another memory and a larger disk"
before=$(on web-1 'cat /etc/machine-id /etc/ssh/ssh_host_*_key.pub')
sed -i 's/memory: 384MiB/memory: 448MiB, disk: 3GiB/' "$site/updraft.yaml"
must up --yes
same "$(on web-1 'cat /etc/machine-id /etc/ssh/ssh_host_*_key.pub')" "$before" "machine-id and host keys"
size=$(on web-1 "df --output=size -BM / | tail -n 1 | tr -dc 0-9")
[ "$size" -gt 2700 ] || fail "its root filesystem has $size MiB"
until_true "ssh after the restart" 300 as_admin true
must plan --detailed-exitcode
end_claim
