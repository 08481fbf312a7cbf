#!/usr/bin/env bash
# Has rsync keep trees the same here and on hosts with a real sshd, by a playbook that looks at what
# is told and what is left. Anybody's ansible-playbook runs it too.
#
#   lab/synchronize.sh       the program in target/release; UPDRAFT=FILE is another one,
#                            ANSIBLE=FILE an ansible-playbook that has ansible.posix
set -euo pipefail
cd "$(dirname "$0")/.."

fleet=$PWD/target/lab/synchronize
program=$(realpath "${UPDRAFT:-target/release/updraft}")
run() { lab/fleet.sh --dir "$fleet" "$@"; }
trap 'run down' EXIT

mkdir -p "$(dirname "$fleet")"
# Nothing of a run that was cut off.
run down
run --name sync --net 10.76 up 2 >/dev/null
mkdir -p "$fleet"/{home,tree/deep}
echo one >"$fleet/tree/one"
echo two >"$fleet/tree/deep/two"
ln -s one "$fleet/tree/link"

mkdir "$fleet/bin"
ln -s "${ANSIBLE:-$program}" "$fleet/bin/ansible-playbook"
run ctl env -u SSH_AUTH_SOCK HOME="$fleet/home" UPDRAFT_KEEP=0s ANSIBLE_NOCOLOR=1 \
  "$fleet/bin/ansible-playbook" -i "$fleet/hosts.ini" -e "tree=$fleet/tree" lab/synchronize/play.yml "$@" </dev/null
echo "synchronize: trees were kept the same" >&2
