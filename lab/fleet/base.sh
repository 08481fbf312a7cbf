#!/usr/bin/env bash
# The root file system that all hosts of all fleets share; sourced by lab/fleet.sh.
# shellcheck disable=SC2154 # names are set by lab/fleet.sh
set -euo pipefail

base_suite=bookworm
base_packages=openssh-server,python3,python3-apt,sudo,iproute2,iputils-ping,procps,rsync,ca-certificates,systemd-sysv,dbus
base_cache=${UPDRAFT_LAB_CACHE:-/var/cache/updraft-lab}
# Named by what it is made from, so a change of this file makes a new one.
base=$base_cache/base-$(cat "${BASH_SOURCE[0]}" "$(dirname "${BASH_SOURCE[0]}")/init" | sha256sum | cut -c 1-12)

# Units that a host in namespaces cannot or need not run.
base_masked=(
  systemd-networkd.service systemd-resolved.service systemd-timesyncd.service systemd-udevd.service
  systemd-udev-trigger.service systemd-logind.service systemd-remount-fs.service
  systemd-pstore.service systemd-journal-flush.service systemd-sysctl.service
  systemd-modules-load.service getty@tty1.service console-getty.service getty-static.service
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
  sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount dev-hugepages.mount
)

ensure_base() {
  [ -d "$base" ] && return
  mkdir -p "$base_cache"
  (
    flock 9
    [ -d "$base" ] && exit
    local made=$base.part unit
    rm -rf "$made"
    echo "fleet: making $base, once" >&2
    # A mirror's Release file may have expired on a machine whose clock is ahead.
    mmdebstrap --quiet --variant=minbase --include="$base_packages" \
      --aptopt='Acquire::Check-Valid-Until "false"' "$base_suite" "$made"
    rm -rf "${made:?}"/dev/* "$made"/etc/ssh/ssh_host_* "$made/etc/resolv.conf"
    for unit in "${base_masked[@]}"; do ln -sf /dev/null "$made/etc/systemd/system/$unit"; done
    ln -sf /lib/systemd/system/multi-user.target "$made/etc/systemd/system/default.target"
    : >"$made/etc/machine-id"
    printf '[Journal]\nStorage=volatile\n' >"$made/etc/systemd/journald.conf"
    # Many connections at once are what a fleet is for, so sshd must not drop any.
    printf '%s\n' 'UseDNS no' 'MaxStartups 200' 'MaxSessions 100' 'PermitRootLogin yes' \
      'LogLevel ERROR' >"$made/etc/ssh/sshd_config.d/fleet.conf"
    install -d -m 700 "$made/root/.ssh"
    install -m 755 "$here/fleet/init" "$made/sbin/fleet-init"
    mv "$made" "$base"
  ) 9>"$base_cache/lock"
}
