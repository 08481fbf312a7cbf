#!/usr/bin/env bash
# What Ansible's language costs: ours, pyinfra, mitogen and ansible in turn on the same hosts.
#
#   bench/play.sh [--ours]
#
# The hosts are a fleet of namespaces on this machine and share its cores with the contestants.
# `--ours` leaves the others out.
set -euo pipefail
cd "$(dirname "$0")/.."

alone=${1:-}
updraft=${UPDRAFT:-$PWD/target/release/updraft}
fleet=$PWD/target/lab/bench
inventory=$fleet/hosts.ini
plays=$PWD/bench/play
peers=$(scripts/peers.sh)
home=$(mktemp -d)
missed=0

on_fleet() { lab/fleet.sh --dir "$fleet" "$@"; }

relay=
clean_up() {
  [ -z "$relay" ] || kill "$relay" 2>/dev/null || true
  on_fleet down
  rm -rf "$home"
}
trap clean_up EXIT

# fleet_of N: new hosts 1 to N, and no others.
fleet_of() {
  on_fleet down
  on_fleet --name bench --net 10.76 up "$1" >&2
}

# A home of their own, so that nobody's settings or open connections take part.
# `fleet.sh ctl` does the same; its shell would be on everybody's clock.
ctl="nsenter --net=/run/netns/bench-ctl env HOME=$home UPDRAFT_KEEP=0s"
strategies=$(dirname "$(find "$peers/../lib" -path '*/ansible_mitogen/plugins/strategy/mitogen_linear.py')")
ansible="$ctl ANSIBLE_FORKS=10 ANSIBLE_PIPELINING=True"
mitogen="$ansible ANSIBLE_STRATEGY_PLUGINS=$strategies ANSIBLE_STRATEGY=mitogen_linear"

# measure OUT OPTION...
measure() {
  local out=$1
  shift
  bench/measure.py --out "bench/out/play-$out.json" --folder "$plays" "$@" || missed=1
}

# Fills `contestants` with those who can run a playbook, on all hosts or on some.
run_by_all() {
  local play=$1 limit=${2:-all}
  contestants=(--of updraft "$ctl $updraft play -i $inventory --limit $limit --forks 10 $play.yml")
  [ "$alone" != --ours ] || return 0
  local hosts
  hosts=$(dirname "$inventory")/pyinfra.py
  [ ! -e "$plays/$play.py" ] || [ ! -e "$hosts" ] \
    || contestants+=(--of pyinfra "$ctl $peers/pyinfra --no-wait -y $hosts $play.py")
  contestants+=(--of mitogen "$mitogen $peers/ansible-playbook -i $inventory --limit $limit $play.yml")
  contestants+=(--of ansible "$ansible $peers/ansible-playbook -i $inventory --limit $limit $play.yml")
}

fleet_of 10
run_by_all site
measure first --title "21 tasks on 10 new hosts" --rounds 2 --warm 0 --agreed 1.5 \
  --before "$PWD/lab/fleet.sh --dir $fleet reset $(seq -s ' ' 10)" "${contestants[@]}"
measure second --title "21 tasks on 10 hosts, nothing to change" --rounds 2 --agreed 0.4 "${contestants[@]}"

measure kept --title "the same on connections that were kept" --rounds 5 \
  --of updraft "$ctl UPDRAFT_KEEP=1m $updraft play -i $inventory --limit all --forks 10 site.yml"

run_by_all files bench-1
measure files --title "20 files on 1 host, nothing to change" --rounds 5 --beyond 0.04 \
  "${contestants[@]:0:3}" --of "updraft, one task" "$ctl $updraft play -i $inventory --limit bench-1 file.yml" \
  "${contestants[@]:3}"

run_by_all facts bench-1
measure facts --title "facts of 1 host" --rounds 5 --beyond 0.025 \
  "${contestants[@]:0:3}" --of "updraft, ping" "$ctl $updraft play -i $inventory --limit bench-1 ping.yml" \
  "${contestants[@]:3}"

# The same host a tenth of a second away. pyinfra does not know a host's key by another name.
ip=$(on_fleet ip 1)
$ctl bench/relay.py 2222 "$ip" 22 0.05 &
relay=$!
until $ctl bash -c ': >/dev/tcp/127.0.0.1/2222' 2>/dev/null; do
  kill -0 "$relay" # or there is nothing to wait for
  sleep 0.1
done
mkdir -p "$fleet/far"
sed -e '/^bench-1 /s/=.*/=127.0.0.1 ansible_port=2222/' -e '/^bench-\([^1]\|1[0-9]\)/d' \
  -e "s/ssh_common_args='/&-o HostKeyAlias=bench-1 /" "$inventory" >"$fleet/far/hosts.ini"
near=$inventory
inventory=$fleet/far/hosts.ini
for play in files mixed site; do
  run_by_all $play
  measure "far-$play" --title "$play.yml on 1 host 0.1 s away, nothing to change" --rounds 2 "${contestants[@]}"
done
kill "$relay"
inventory=$near

run_by_all nothing
measure nothing --title "a playbook that does nothing" --rounds 5 --agreed 0.015 "${contestants[@]}"

python3 - >"$home/inventory" <<'PYTHON'
for group in range(100):
    print(f"[group{group}]")
    for host in range(100):
        print(f"host{group * 100 + host:05}.example.com ansible_host=10.{group}.0.{host} rack={group}")
print("[all:vars]\nansible_user=ops\n[even:children]")
for group in range(0, 100, 2):
    print(f"group{group}")
PYTHON
asked="-i $home/inventory --host host00001.example.com"
contestants=(--of updraft "$updraft inventory $asked")
[ "$alone" = --ours ] || contestants+=(--of ansible "$peers/ansible-inventory $asked")
measure inventory --title "an inventory of 10,000 hosts" --rounds 5 --agreed 0.05 "${contestants[@]}"

fleet_of 200
contestants=(--of updraft "$ctl $updraft play -i $inventory --forks 200 three.yml")
measure many-new --title "three tasks on 200 new hosts" --rounds 1 --warm 0 --memory 120 "${contestants[@]}"
[ "$alone" = --ours ] || contestants+=(--of ansible "$ctl ANSIBLE_PIPELINING=True $peers/ansible-playbook -i $inventory --forks 50 three.yml")
measure many --title "three tasks on 200 hosts" --rounds 1 --memory 120 "${contestants[@]}"
[ $missed = 0 ]
