#!/usr/bin/env bash
# A fleet of small Debian hosts on this machine: real sshd, own disks, own addresses, no emulation.
#
#   lab/fleet.sh [FLAGS] up N          make hosts 1..N and wait until they answer
#   lab/fleet.sh [FLAGS] wait          wait until every host answers
#   lab/fleet.sh [FLAGS] inventory     write hosts.ini, pyinfra.py and known_hosts, print the first
#   lab/fleet.sh [FLAGS] ctl CMD...    run a command where the hosts can be reached
#   lab/fleet.sh [FLAGS] enter I CMD.. run a command inside host I, without ssh
#   lab/fleet.sh [FLAGS] ip I          print the address of host I
#   lab/fleet.sh [FLAGS] kill I        pull the plug of host I; its disk stays
#   lab/fleet.sh [FLAGS] boot I        start it again
#   lab/fleet.sh [FLAGS] reset I...    kill them, throw their disks away, start them
#   lab/fleet.sh [FLAGS] unplug I      take its network cable out, so that it hangs
#   lab/fleet.sh [FLAGS] plug I        put the cable back
#   lab/fleet.sh [FLAGS] stat          hosts that are up, their memory and disks
#   lab/fleet.sh [FLAGS] down          remove the fleet and all it made
#   lab/fleet.sh base                  make the shared root file system, once
#
#   --dir DIR      where the fleet lives (target/lab/fleet); every later call names the same
#   --name NAME    first part of host names, at most 6 letters (fleet); only for `up`
#   --net A.B      the fleet's network is A.B.0.0/16 (10.79); only for `up`
#   --systemd      systemd is process 1 of each host, instead of a script; only for `up`
#   --nat          hosts reach the Debian mirror as this machine does; only for `up`
#
# A host is a set of namespaces over one shared root file system with an overlay of its own. The
# bridge between them is in a namespace too. There is no user namespace: root in a host is root of
# this machine, so run nothing there that you do not trust.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=lab/fleet/base.sh
. "$here/fleet/base.sh"
# shellcheck source=lab/fleet/host.sh
. "$here/fleet/host.sh"
# shellcheck source=lab/fleet/net.sh
. "$here/fleet/net.sh"

dir=$here/../target/lab/fleet
name=fleet
net=10.79
systemd=no
nat=no

die() { echo "fleet: $*" >&2; exit 1; }

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; }

# Waits until a command succeeds; says what it waited for when it never does.
until_true() {
  local what=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || die "gave up waiting for $what"
    sleep 0.05
  done
}

address_of() { echo "$net.$(($1 / 200 + 1)).$(($1 % 200 + 10))"; }

hosts() { [ -d "$dir/hosts" ] && find "$dir/hosts" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n; }

need_host() { [ -d "$dir/hosts/${1:-}" ] || die "there is no host \`${1:-}\` in $dir"; }

# The flags of `up` are kept, so that later calls cannot contradict them.
save_flags() { printf 'name=%s\nnet=%s\nsystemd=%s\nnat=%s\n' "$name" "$net" "$systemd" "$nat" >"$dir/flags"; }

load_flags() {
  [ -e "$dir/flags" ] || die "there is no fleet in $dir"
  # shellcheck source=/dev/null
  . "$dir/flags"
}

cmd_up() {
  local count=${1:-} host
  [[ $count =~ ^[1-9][0-9]*$ ]] || die "up needs a number of hosts"
  [[ $net =~ ^[0-9]+\.[0-9]+$ ]] || die "a fleet's network is given as two numbers, A.B"
  [[ $name =~ ^[a-z]{1,6}$ ]] || die "a fleet's name is 1 to 6 lowercase letters"
  [ "$count" -le 2000 ] || die "at most 2000 hosts"
  mkdir -p "$dir/hosts"
  if [ -e "$dir/flags" ]; then load_flags; else save_flags; fi
  ensure_base
  [ -e "$dir/id_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$dir/id_ed25519"
  ensure_network
  for host in $(seq "$count"); do
    [ -d "$dir/hosts/$host" ] && is_up "$host" && continue
    boot_host "$host"
  done
  cmd_wait
  cmd_inventory
}

cmd_wait() {
  local host
  for host in $(hosts); do
    until_true "port 22 of host $host" 60 answers_ssh "$host"
    if [ "$systemd" = yes ]; then
      until_true "systemd of host $host" 60 enter_host "$host" systemctl is-system-running
    fi
  done
}

answers_ssh() {
  nsenter --net="/run/netns/$name-ctl" timeout 5 \
    bash -c "exec 3<>/dev/tcp/$(address_of "$1")/22 && read -r -n 7 -u 3 banner && [ \"\$banner\" = SSH-2.0 ]"
}

cmd_inventory() {
  local host key=$dir/id_ed25519 known=$dir/known_hosts
  for host in $(hosts); do
    read -r kind blob _ <"$dir/hosts/$host/upper/etc/ssh/ssh_host_ed25519_key.pub"
    echo "$(address_of "$host"),$name-$host $kind $blob"
  done >"$known"
  {
    echo '[fleet]'
    for host in $(hosts); do echo "$name-$host ansible_host=$(address_of "$host")"; done
    echo '[all:vars]'
    echo 'ansible_user=root'
    echo "ansible_ssh_private_key_file=$key"
    echo 'ansible_python_interpreter=/usr/bin/python3'
    echo "ansible_ssh_common_args='-o UserKnownHostsFile=$known -o IdentitiesOnly=yes'"
  } >"$dir/hosts.ini"
  {
    echo 'hosts = ['
    for host in $(hosts); do
      echo "    ('$(address_of "$host")', {'ssh_user': 'root', 'ssh_key': '$key', 'ssh_known_hosts_file': '$known'}),"
    done
    echo ']'
  } >"$dir/pyinfra.py"
  echo "$dir/hosts.ini"
}

cmd_reset() {
  local host
  for host; do need_host "$host"; done
  for host; do kill_host "$host"; done
  for host; do
    rm -rf "$dir/hosts/$host"
    boot_host "$host"
  done
  cmd_wait
  cmd_inventory
}

cmd_stat() {
  local host up=0 all=0 rss=0 pid more
  for host in $(hosts); do
    all=$((all + 1))
    is_up "$host" || continue
    up=$((up + 1))
    for pid in $(processes_of "$host"); do
      more=$(awk '/^VmRSS/ {print $2}' "/proc/$pid/status" 2>/dev/null || true)
      rss=$((rss + ${more:-0}))
    done
  done
  echo "hosts $up of $all up, memory $((rss / 1024)) MiB, disks $(du -sm "$dir/hosts" | cut -f 1) MiB"
}

cmd_down() {
  local host
  for host in $(hosts); do kill_host "$host"; done
  for host in $(hosts); do remove_host "$host"; done
  remove_network
  rm -rf "$dir"
}

while [ $# -gt 0 ]; do
  case $1 in
    --dir) dir=$2 && shift 2 ;;
    --name) name=$2 && shift 2 ;;
    --net) net=$2 && shift 2 ;;
    --systemd) systemd=yes && shift ;;
    --nat) nat=yes && shift ;;
    -*) die "unknown flag \`$1\`" ;;
    *) break ;;
  esac
done
dir=$(realpath -m "$dir")
command=${1:-help}
shift || true

case $command in
  help) usage && exit 2 ;;
  base | up | __inside) ;;
  down) [ -e "$dir/flags" ] || exit 0 ;;&
  *) load_flags ;;
esac
[ "$(id -u)" = 0 ] || die "namespaces and overlays need root"

case $command in
  base) ensure_base && echo "$base" ;;
  up) cmd_up "$@" ;;
  wait) cmd_wait ;;
  inventory) cmd_inventory ;;
  ctl) exec nsenter --net="/run/netns/$name-ctl" "$@" ;;
  enter) need_host "${1:-}" && enter_host "$@" ;;
  ip) need_host "${1:-}" && address_of "$1" ;;
  kill) need_host "${1:-}" && kill_host "$1" ;;
  boot) need_host "${1:-}" && boot_host "$1" && cmd_wait ;;
  reset) cmd_reset "$@" ;;
  unplug) need_host "${1:-}" && ip -n "$name-ctl" link set "$name$1" down ;;
  plug) need_host "${1:-}" && ip -n "$name-ctl" link set "$name$1" up ;;
  stat) cmd_stat ;;
  down) cmd_down ;;
  __inside) load_flags && ensure_base && become_host "$1" ;;
  *) usage && exit 2 ;;
esac
