#!/usr/bin/env bash
# Debian 13 on real guests that start live. Its sshd reads the host keys itself and gives them to
# those that serve connections (OpenSSH 9.8 and newer), so it has to take new ones into its memory
# before anybody can reach it under the new identity.
#
#   lab/trixie.sh
#
# Needs root, a release build and Debian's archive. The image and its template stay in the store.
set -euo pipefail
# shellcheck source=lab/common.sh
. "$(dirname "$0")/common.sh"

site=$scratch/trixie
trap 'clean_up $?' EXIT

on() { "$updraft" -C "$site" exec "$1" --shell "$2" 2>/dev/null | sed 's/^[^|]*| //'; }

# Only a host key that Updraft has written into known_hosts is taken.
as_admin() {
  local machine=$1
  shift
  ssh -F "$site/.updraft/ssh_config" -i "$scratch/ops" -o BatchMode=yes -o StrictHostKeyChecking=yes "ops@$machine" "$@"
}

# The key that a machine shows to whoever connects.
key_shown() { ssh-keyscan -T 10 -t ed25519 "$(address_of "$1")" 2>/dev/null | awk '{print $3}'; }

key_written() { on "$1" "awk '{print \$2}' /etc/ssh/ssh_host_ed25519_key.pub"; }

has_started_anew() {
  local now
  now=$(as_admin "$1" cat /proc/sys/kernel/random/boot_id) && [ "$now" != "$2" ]
}

mkdir -p "$site"
ssh-keygen -q -t ed25519 -N '' -C ops -f "$scratch/ops"
cp "$scratch/ops.pub" "$site/ops.pub"
cat >"$site/updraft.yaml" <<'YAML'
site: trixie
domain: trixie.test
admins: { ops: { keys: [ops.pub] } }
networks: { lan: { cidr: 10.83.0.0/24 } }
images:
  debian:
    bootstrap: trixie
    live: true
groups:
  web: { image: debian, memory: 320MiB, count: 3 }
YAML

claim "three machines of Debian 13 start live, and a second up does nothing"
must image build debian
must up --yes
must plan --detailed-exitcode
says <(on web-1 'cat /etc/os-release') '^VERSION_CODENAME=trixie'
says <(on web-1 'test -x /usr/lib/openssh/sshd-session && echo gives') '^gives'

claim "each shows a host key of its own to the first who connects, and never another's"
keys=
for machine in web-1 web-2 web-3; do
  shown=$(key_shown $machine)
  same "$shown" "$(key_written $machine)" "the key that $machine shows"
  same "$(as_admin $machine hostname)" "$machine" "the name of $machine by SSH"
  keys+="$shown $(on $machine 'cat /etc/machine-id /proc/sys/kernel/random/boot_id | tr "\n" " "')"$'\n'
done
same "$(tr ' ' '\n' <<<"$keys" | grep . | sort -u | wc -l)" 9 "keys, machine-ids and boot ids of three machines"

claim "they are the same machines after a restart"
before=$(key_shown web-2)
boot=$(as_admin web-2 cat /proc/sys/kernel/random/boot_id)
as_admin web-2 sudo systemctl reboot || true
until_true "ssh after the restart" 300 has_started_anew web-2 "$boot"
same "$(key_shown web-2)" "$before" "the key after a restart"
must plan --detailed-exitcode
end_claim
