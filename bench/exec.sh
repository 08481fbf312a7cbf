#!/usr/bin/env bash
# How long `uptime` takes on twenty hosts over SSH: ours, pyinfra and ansible in turn; then ours on
# connections that were kept, by each host's shell and by the command module.
#
#   bench/exec.sh [HOSTS] [ROUNDS]
#
# The hosts are a fleet of namespaces on this machine and share its cores with the contestants.
set -euo pipefail
cd "$(dirname "$0")/.."

hosts=${1:-20}
rounds=${2:-5}
updraft=${UPDRAFT:-$PWD/target/release/updraft}
fleet=$PWD/target/lab/bench
peers=$(scripts/peers.sh)
home=$(mktemp -d)
missed=0

clean_up() {
  lab/fleet.sh --dir "$fleet" down
  rm -rf "$home"
}
trap clean_up EXIT

lab/fleet.sh --dir "$fleet" --name bench --net 10.76 up "$hosts" >&2
inventory=$fleet/hosts.ini
# A home of their own, so that nobody's settings or open connections take part.
# `fleet.sh ctl` does the same; its shell would be on everybody's clock.
ctl="nsenter --net=/run/netns/bench-ctl env HOME=$home ANSIBLE_FORKS=$hosts"
# The run that does not count pushes our agent and fills the caches of all three.
bench/measure.py --title "uptime on $hosts hosts" --rounds "$rounds" --warm 1 --out bench/out/exec.json \
  --agreed 0.5 --of updraft "$ctl UPDRAFT_KEEP=0s $updraft exec -i $inventory all -- uptime" \
  --of pyinfra "$ctl $peers/pyinfra --no-wait -y $fleet/pyinfra.py exec -- uptime" \
  --of "ansible, ssh kept" "$ctl $peers/ansible -i $inventory all -m command -a uptime" \
  --of "ansible, raw" "$ctl $peers/ansible -i $inventory all -m raw -a uptime" || missed=1
bench/measure.py --title "uptime on $hosts hosts, connections kept" --rounds "$rounds" --warm 1 --out bench/out/exec-kept.json \
  --agreed 0.06 --of updraft "$ctl $updraft exec -i $inventory all -- uptime" || missed=1
bench/measure.py --title "the command module on $hosts hosts, connections kept" --rounds "$rounds" --warm 1 \
  --out bench/out/exec-kept-module.json \
  --agreed 0.06 --of updraft "$ctl $updraft exec -i $inventory all -m command -a uptime" || missed=1
[ $missed = 0 ]
