#!/usr/bin/env bash
# Has containers, images and networks come and go on a daemon of Debian's, on a host that has no
# Python, by a playbook that looks at what is told and at what docker itself says of it.
#
#   lab/containers.sh       the program in target/release; UPDRAFT=FILE is another one
set -euo pipefail
cd "$(dirname "$0")/.."

base=$PWD/target/lab/containers.tar
program=$(realpath "${UPDRAFT:-target/release/updraft}")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# The base system, made once.
if [ ! -e "$base" ]; then
  mkdir -p "$(dirname "$base")"
  mmdebstrap --quiet --variant=minbase --aptopt='Apt::Install-Recommends "false"' \
    --include=docker.io,docker-registry,busybox-static,iptables bookworm "$base.part.tar"
  mv "$base.part.tar" "$base"
fi
chmod 755 "$root"
tar -C "$root" -xf "$base"
if [ -e "$root/usr/bin/python3" ]; then
  echo "containers: there is a Python, which makes this no proof" >&2
  exit 1
fi
install -D "$program" "$root/srv/ansible-playbook"
cp lab/containers/play.yml "$root/srv"
cat >"$root/srv/registry.yml" <<'REGISTRY'
version: 0.1
storage: {filesystem: {rootdirectory: /srv/registry}}
http: {addr: 127.0.0.1:5000}
log: {level: error}
REGISTRY

# What starts the daemon inside, waits for it and plays; everything ends with it.
cat >"$root/srv/inside" <<'INSIDE'
set -eu
dockerd --iptables=false --bridge=none >/var/log/dockerd 2>&1 </dev/null &
daemon=$!
docker-registry serve /srv/registry.yml >/var/log/registry 2>&1 </dev/null &
for _ in $(seq 240); do
  if docker version >/dev/null 2>&1; then
    break
  fi
  sleep 0.5
done
docker version >/dev/null || { tail -n 20 /var/log/dockerd >&2; exit 1; }
cd /srv
status=0
/srv/ansible-playbook -i localhost, -c local play.yml "$@" || status=$?
# What still runs holds mounts; the daemon takes them down.
docker ps --quiet | xargs --no-run-if-empty docker kill >/dev/null
kill "$daemon"
wait "$daemon" || true
exit "$status"
INSIDE
# shellcheck disable=SC2016 # the inner shell expands it
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 ANSIBLE_NOCOLOR=1 UPDRAFT_KEEP=0s root="$root" \
  unshare --mount --uts --ipc --net --pid --fork --kill-child -- sh -ec '
    ip link set lo up
    mount --rbind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    mount -t tmpfs tmpfs "$root/run"
    cd "$root"
    mkdir -p .old
    pivot_root . .old
    umount -l /.old
    exec sh /srv/inside "$@"' sh "$@"
echo "containers: they came and went" >&2
