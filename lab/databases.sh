#!/usr/bin/env bash
# Has databases and their users come and go on servers of Debian, on a host that has no Python, by a
# playbook that looks at what is told and what is left.
#
#   lab/databases.sh       the program in target/release; UPDRAFT=FILE is another one
set -euo pipefail
cd "$(dirname "$0")/.."

base=$PWD/target/lab/databases.tar
program=$(realpath "${UPDRAFT:-target/release/updraft}")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# The base system, made once.
if [ ! -e "$base" ]; then
  mkdir -p "$(dirname "$base")"
  mmdebstrap --quiet --variant=minbase --aptopt='Apt::Install-Recommends "false"' \
    --include=postgresql,mariadb-server,mariadb-client bookworm "$base.part.tar"
  mv "$base.part.tar" "$base"
fi
chmod 755 "$root"
tar -C "$root" -xf "$base"
if [ -e "$root/usr/bin/python3" ]; then
  echo "databases: there is a Python, which makes this no proof" >&2
  exit 1
fi
install -D "$program" "$root/srv/ansible-playbook"
cp lab/databases/play.yml "$root/srv"
# Whoever is on the machine is who they say; over the network passwords count.
sed -i '/^local/s/peer/trust/' "$root/etc/postgresql/15/main/pg_hba.conf"

# What starts the servers inside, waits for them and plays; everything ends with it.
cat >"$root/srv/inside" <<'INSIDE'
set -eu
mkdir -p /run/mysqld
chown mysql /run/mysqld
pg_ctlcluster 15 main start
mariadbd --user=mysql >/var/log/mariadb 2>&1 </dev/null &
for _ in $(seq 120); do
  if pg_isready -q && mariadb-admin --silent ping 2>/dev/null; then
    break
  fi
  sleep 0.5
done
mariadb-admin --silent ping
cd /srv
exec /srv/ansible-playbook -i localhost, -c local play.yml "$@"
INSIDE
# shellcheck disable=SC2016 # the inner shell expands it
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 ANSIBLE_NOCOLOR=1 UPDRAFT_KEEP=0s root="$root" \
  unshare --mount --uts --ipc --net --pid --fork --kill-child -- sh -ec '
    ip link set lo up
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/run"
    mkdir -p "$root/run/postgresql"
    chmod 1777 "$root/run/postgresql"
    exec chroot "$root" sh /srv/inside "$@"' sh "$@"
echo "databases: they came and went" >&2
