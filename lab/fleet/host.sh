#!/usr/bin/env bash
# One host of a fleet: its disk, its namespaces, its processes; sourced by lab/fleet.sh.
# shellcheck disable=SC2154 # names are set by lab/fleet.sh
set -euo pipefail

# Where cgroup version 2 is mounted, which is what systemd inside a host needs.
cgroups=/sys/fs/cgroup
[ -d $cgroups/unified ] && cgroups=$cgroups/unified

# Makes what must be on the disk before the first boot. A host's key is made here, so that it is
# known before anybody connects.
prepare_disk() {
  local host=$1 upper=$dir/hosts/$1/upper
  [ -e "$upper/etc/hostname" ] && return
  mkdir -p "$upper"/{etc/ssh,usr/sbin,root/.ssh} "$dir/hosts/$host"/{work,root}
  chmod 700 "$upper/root" "$upper/root/.ssh"
  cp "$dir/id_ed25519.pub" "$upper/root/.ssh/authorized_keys"
  ssh-keygen -q -t ed25519 -N '' -C "$name-$host" -f "$upper/etc/ssh/ssh_host_ed25519_key"
  printf '127.0.0.1 localhost\n%s %s\n' "$(address_of "$host")" "$name-$host" >"$upper/etc/hosts"
  cat /etc/resolv.conf >"$upper/etc/resolv.conf"
  if [ "$systemd" = no ]; then
    # Nothing starts services here, so packages must not try.
    printf '#!/bin/sh\nexit 101\n' >"$upper/usr/sbin/policy-rc.d"
    chmod 755 "$upper/usr/sbin/policy-rc.d"
  fi
  echo "$name-$host" >"$upper/etc/hostname"
}

boot_host() {
  local host=$1 own_cgroup=()
  prepare_disk "$host"
  ensure_cable "$host"
  [ "$systemd" = no ] || own_cgroup=(--cgroup)
  (
    if [ "$systemd" = yes ]; then
      mkdir -p "$cgroups/updraft-lab/$name-$host"
      echo $BASHPID >"$cgroups/updraft-lab/$name-$host/cgroup.procs"
    fi
    exec setsid nsenter --net="/run/netns/$name-$host" \
      unshare "${own_cgroup[@]}" --mount --pid --uts --ipc --fork --kill-child -- \
      "$here/fleet.sh" --dir "$dir" __inside "$host"
  ) </dev/null >"$dir/hosts/$host/log" 2>&1 9>&- &
  echo $! >"$dir/hosts/$host/pid"
}

# The rest of the boot, as process 1 of the host's own namespaces. Ends by becoming its init.
become_host() {
  local host=$1 root=$dir/hosts/$1/root node
  mount --make-rprivate /
  mount -t overlay overlay \
    -o "lowerdir=$base,upperdir=$dir/hosts/$host/upper,workdir=$dir/hosts/$host/work" "$root"
  cd "$root"
  mkdir -p dev proc sys run tmp .old
  mount -t proc proc proc
  mount -t sysfs -o ro sysfs sys
  # There is one kernel for all: only what belongs to the host's own network may be written.
  mount --bind proc/sys proc/sys
  mount -o remount,bind,ro proc/sys
  mount --bind proc/sys/net proc/sys/net
  mount -o remount,bind,rw proc/sys/net
  [ ! -e proc/sysrq-trigger ] || mount --bind /dev/null proc/sysrq-trigger
  mount -t tmpfs -o mode=755,size=1m tmpfs dev
  for node in null zero full random urandom tty; do
    : >dev/$node
    mount --bind /dev/$node dev/$node
  done
  mkdir dev/pts dev/shm
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
  mount -t tmpfs -o mode=1777 tmpfs dev/shm
  mount -t tmpfs -o mode=755,size=64m tmpfs run
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  ln -s fd/0 dev/stdin
  ln -s fd/1 dev/stdout
  ln -s fd/2 dev/stderr
  hostname "$name-$host"
  # With the version 1 hierarchies in sight systemd would write to all of this machine's.
  [ "$systemd" = no ] || mount -t cgroup2 cgroup2 sys/fs/cgroup
  pivot_root . .old
  umount -l /.old
  rmdir /.old
  local clean=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb)
  if [ "$systemd" = yes ]; then
    exec "${clean[@]}" container=updraft-lab /sbin/init </dev/null >/run/init.log 2>&1
  fi
  exec "${clean[@]}" LANG=C.UTF-8 HOME=/root /sbin/fleet-init </dev/null >/run/init.log 2>&1
}

# The process that holds the host's namespaces open, if it is still ours.
holder_of() {
  local pid
  pid=$(cat "$dir/hosts/$1/pid" 2>/dev/null) || return 1
  # Process ids are used again, so the command line must be the one we started.
  tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$dir" || return 1
  echo "$pid"
}

init_of() {
  local holder
  holder=$(holder_of "$1") && pgrep -P "$holder" | head -n 1 | grep .
}

is_up() { init_of "$1" >/dev/null; }

processes_of() {
  local init
  init=$(init_of "$1") && pgrep --ns "$init" --nslist pid
}

enter_host() {
  local host=$1 init
  shift
  init=$(init_of "$host") || die "host $host is not up"
  nsenter -t "$init" -m -p -u -i -n -r -w "$@"
}

kill_host() {
  local init
  init=$(init_of "$1") || return 0
  kill -KILL "$init"
  until_true "the end of host $1" 10 is_gone "$1"
}

is_gone() { ! holder_of "$1" >/dev/null; }

remove_host() {
  local host=$1 group=$cgroups/updraft-lab/$name-$1
  if [ -d "$group" ]; then
    until_true "the last process of host $host" 10 find "$group" -depth -type d -exec rmdir {} +
    rmdir --ignore-fail-on-non-empty "$cgroups/updraft-lab"
  fi
  if [ -e "/run/netns/$name-$host" ]; then ip netns del "$name-$host"; fi
}
