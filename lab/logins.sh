#!/usr/bin/env bash
# Shows on hosts with a real sshd that a password lets us in where no key does, however it is given,
# and that `updraft agent rm` takes the agent away from all of them and nothing else.
#
#   lab/logins.sh            the program in target/release; UPDRAFT=FILE is another one
set -euo pipefail
cd "$(dirname "$0")/.."

fleet=$PWD/target/lab/logins
program=$(realpath "${UPDRAFT:-target/release/updraft}")
run() { lab/fleet.sh --dir "$fleet" "$@"; }
fail() { echo "logins: $*" >&2 && exit 1; }
trap 'run down' EXIT

# Nobody's keys but those that an inventory names, and no connection of an earlier step.
updraft() {
  run ctl env -u SSH_AUTH_SOCK HOME="$fleet/home" UPDRAFT_KEEP=0s NO_COLOR=1 "$program" "$@"
}

# What is on the disk of a host, but for logs of logins.
disk() {
  run enter "$1" find / -xdev -not -path '/var/log/*' \( -type f -printf '%p %s\n' -o -printf '%p\n' \) |
    sort
}

said() {
  local wanted=$1 text
  shift
  text=$("$@" 2>&1) || fail "\`$*\` failed: $text"
  grep -qF -- "$wanted" <<<"$text" || fail "\`$*\` does not say \`$wanted\` but: $text"
}

refused() {
  local wanted=$1 text
  shift
  ! text=$("$@" 2>&1) || fail "\`$*\` was let in: $text"
  grep -qF -- "$wanted" <<<"$text" || fail "\`$*\` does not say \`$wanted\` but: $text"
}

mkdir -p "$(dirname "$fleet")"
# Nothing of a run that was cut off.
run down
run --name login --net 10.74 up 2 >/dev/null
mkdir -p "$fleet/home"
password=$(head -c 12 /dev/urandom | base64)
printf '%s\n' "$password" >"$fleet/password"
echo another >"$fleet/wrong"
for host in 1 2; do
  run enter $host useradd --create-home ops
  # Given on standard input, as arguments are for everybody to read.
  printf 'ops:%s\n' "$password" | run enter $host chpasswd
  # Directories that programs make for everybody are not the agent's.
  run enter $host install -d -o ops -g ops /home/ops/.cache
  disk $host >"$fleet/before.$host"
done
hosts=$fleet/by-password.ini
sed '/private_key/d; s/^ansible_user=.*/ansible_user=ops/' "$fleet/hosts.ini" >"$hosts"

refused "does not let \`ops\` in" updraft exec -i "$hosts" all -- whoami
refused "the password is not taken" \
  updraft exec -i "$hosts" all --connection-password-file "$fleet/wrong" -- whoami
said "2 hosts: 2 ok." updraft exec -i "$hosts" all --connection-password-file "$fleet/password" -- whoami

# Typed by a person.
typed() { updraft_on_terminal exec -i "$hosts" login-1 -k -m ping; }
updraft_on_terminal() {
  run ctl env -u SSH_AUTH_SOCK HOME="$fleet/home" UPDRAFT_KEEP=0s \
    lab/terminal.py --when "SSH password: " "$password\\r" -- "$program" "$@"
}
said '"ping": "pong"' typed

# Of an inventory, and for a play.
printf 'ansible_password=%s\n' "$password" >>"$hosts"
printf -- '- hosts: all\n  gather_facts: false\n  tasks:\n    - ping:\n' >"$fleet/play.yml"
said "login-2" updraft play -i "$hosts" "$fleet/play.yml"

for host in 1 2; do
  disk $host | diff "$fleet/before.$host" - >/dev/null && fail "host $host has no agent"
done
said "login-2: the agent is gone" updraft agent rm -i "$hosts"
said '"removed": false' updraft agent rm -i "$hosts" --json
for host in 1 2; do
  disk $host | diff "$fleet/before.$host" - || fail "host $host is not what it was"
done
echo "logins: passwords let us in, and the agent went away" >&2
