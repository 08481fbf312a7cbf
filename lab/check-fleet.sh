#!/usr/bin/env bash
# Checks that a fleet does what the tests built on it take for granted, and leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

fleet=$PWD/target/lab/check
run() { lab/fleet.sh --dir "$fleet" "$@"; }
fail() { echo "check-fleet: $*" >&2 && exit 1; }
trap 'run down' EXIT

look() {
  ip -o link show | awk -F': ' '{print $2}'
  nft list ruleset
  ip netns list
  cat /proc/sys/net/ipv4/ip_forward
  find /sys/fs/cgroup -name 'updraft-lab*' -path '*check-*'
  # The first namespace of a machine has `ip netns` mount its folder, for good.
  findmnt -rno TARGET | grep -vx /run/netns
}

over_ssh() {
  local host=$1
  shift
  run ctl ssh -n -i "$fleet/id_ed25519" -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=2 \
    -o UserKnownHostsFile="$fleet/known_hosts" "root@$(run ip "$host")" "$@"
}

check_variant() {
  look >"$fleet.before"
  run --name check --net 10.75 "$@" up 3 >/dev/null

  [ "$(over_ssh 2 hostname)" = check-2 ] || fail "host 2 does not know its name"
  over_ssh 2 touch /etc/marked
  ! over_ssh 1 test -e /etc/marked 2>/dev/null || fail "hosts share a disk"

  run kill 2
  ! over_ssh 2 true 2>/dev/null || fail "a killed host answers"
  run boot 2
  over_ssh 2 test -e /etc/marked || fail "a disk was lost with the power"
  run reset 2 >/dev/null
  ! over_ssh 2 test -e /etc/marked || fail "a reset host kept its disk"

  run unplug 3
  ! over_ssh 3 true 2>/dev/null || fail "a host without its cable answers"
  run plug 3
  run wait
  over_ssh 3 true || fail "a host with its cable back does not answer"

  run down
  look | diff "$fleet.before" - || fail "something was left behind"
}

mkdir -p "$(dirname "$fleet")"
check_variant
check_variant --systemd --nat
rm -f "$fleet.before"
echo "check-fleet: both kinds of fleet held" >&2
