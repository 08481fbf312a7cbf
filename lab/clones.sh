#!/usr/bin/env bash
# Clones of a machine on real guests: cold and live, each with an identity of its own, kept by `up`,
# known to every command, removed; and our program killed on the way.
#
#   lab/clones.sh
#
# Needs root and the release build. It takes some minutes, the more of them where the image is not in
# the store.
set -euo pipefail
# shellcheck source=lab/one-guest.sh
. "$(dirname "$0")/one-guest.sh"

# What makes a machine itself, one thing a line.
self() {
  inside "$1" 'cat /etc/machine-id /etc/hostname /proc/sys/kernel/random/boot_id /etc/ssh/ssh_host_ed25519_key.pub; cat /sys/class/net/eth0/address; ip -o -4 addr show dev eth0 | tr -s " " | cut -d " " -f 4; ip -o -6 addr show dev eth0 | tr -s " " | cut -d " " -f 4; hostname; head -c 16 /dev/urandom | od -An -tx1'
}

# Whether these machines share a line of that.
nothing_in_common() {
  local machine
  for machine in "$@"; do self "$machine" | sort -u; done | grep . | sort | uniq -d >"$scratch/common"
  if [ -s "$scratch/common" ]; then fail "$* have in common: $(cat "$scratch/common")"; fi
}

clones() {
  must inventory --list
  jq -r '.clones.hosts // [] | sort | join(" ")' "$scratch/out"
}

write_site cold
must up --yes
# One that still boots has clones that still boot.
until_true "sshd" 300 answers_ssh web-1
before=$(inside web-1 'cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub /sys/class/net/eth0/address')
inside web-1 'echo disk >/srv/disk; echo memory >/dev/shm/memory' >/dev/null

claim "a live clone goes on where the machine is, as somebody else, and the machine notices next to nothing"
must machine clone web-1 --as twin --live
says "$scratch/err" 'web-1 stood still for [0-9]+ ms'
tail -n 2 "$scratch/err" >&2
same "$(inside twin 'cat /srv/disk /dev/shm/memory')" "disk
memory" "what the clone has"
nothing_in_common web-1 twin
clock_is_right twin
same "$(inside web-1 'cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub /sys/class/net/eth0/address')" "$before" "the machine"
until_true "the clone's network" 300 answers_ssh twin
until_true "the machine's network" 300 answers_ssh web-1

claim "cold clones boot, two at once, each as itself"
must machine clone web-1 --count 2
same "$(clones)" "twin web-1-clone-1 web-1-clone-2" "clones"
same "$(inside web-1-clone-1 'cat /srv/disk; ls /dev/shm')" disk "what a cold clone has"
nothing_in_common web-1 twin web-1-clone-1 web-1-clone-2
until_true "a clone's network" 300 answers_ssh web-1-clone-2

claim "up keeps them, status tells them, and names of the site file are not given away"
must plan
says "$scratch/out" '^Nothing to do'
must status
says "$scratch/out" 'twin .*clone of web-1'
if ud machine clone web-1 --as web-2; then fail "a clone got a name of the site file"; fi
if ud machine clone web-1 --as twin; then fail "a clone was made twice"; fi
if ud machine destroy web-1 --yes; then fail "a machine of the site file was removed"; fi
must machine destroy web-1-clone-1 --yes
must machine destroy web-1-clone-2 --yes
same "$(clones)" twin "clones"

claim "down and up bring a live clone back from its own disk, as what it became"
became=$(inside twin 'cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub /sys/class/net/eth0/address')
must down
if ud machine clone web-1 --as late; then fail "a machine that is off was cloned"; fi
must up --yes
same "$(inside twin 'cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub /sys/class/net/eth0/address')" "$became" "the clone"
until_true "its network" 300 answers_ssh twin
must machine destroy twin --yes

claim "one whose agent does not answer is refused before anything is made"
inside web-1 'systemd-run --quiet --on-active=1 systemctl stop updraft-agent' >/dev/null
until_true "the agent to be gone" 60 sh -c "! '$updraft' -C '$site' ping --timeout 2s web-1"
if ud machine clone web-1 --as mute --live; then fail "it was cloned"; fi
says "$scratch/err" 'does not answer'
same "$(find "$site/.updraft/guests" -mindepth 1 -maxdepth 1 | wc -l)" 1 "guests' folders"
must machine stop web-1
must up --yes

claim "killed at any moment, the same command comes to one clone that is itself, and nothing is half made"
for seconds in 0.1 0.3 0.4 0.5 0.6 0.7 1 2 4; do
  killed_after $seconds machine clone web-1 --as twin --live
  until_true "the machine to go on" 30 can_write web-1
  # It may have come to its end by then.
  ud machine clone web-1 --as twin --live || says "$scratch/err" 'there is a machine .twin. already'
  same "$(clones)" twin "clones after a kill at $seconds s"
  nothing_in_common web-1 twin
  until_true "its network" 300 answers_ssh twin
  nothing_half_made
  must machine destroy twin --yes
done
for line in 3 5 7; do
  dies_at "$line" machine clone web-1 --as twin --live
  must up --yes
  must plan
  says "$scratch/out" '^Nothing to do'
  case $(clones) in
    twin) nothing_in_common web-1 twin && must machine destroy twin --yes ;;
    '') ;;
    *) fail "clones are $(clones)" ;;
  esac
done

claim "everything goes with destroy"
must machine clone web-1 --as twin
must destroy --yes
[ ! -e "$site/.updraft" ] || fail "something is left: $(find "$site/.updraft")"
end_claim
